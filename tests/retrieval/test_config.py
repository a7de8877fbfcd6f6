"""Configurations: exact round trips, and errors that name what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.errors import InputError
from hostemu.protocol.power import Phase
from hostemu.retrieval.config import CenterConfig, FarmConfig, IspAssignment, IspConfig, Transport
from tests.retrieval.harness import center_config, farm_config, isp_config, span

FARM = farm_config("10.128.0.0", 100)
ISP = isp_config(source_addresses=("10.0.0.1", "fd00::1"), transport=Transport.UDP)
CENTER = center_config(
    Path("folder"),
    IspAssignment("10.0.0.6", 7000, (span("10.128.0.0", 100), span("fd00::", 50, 100))),
    IspAssignment("10.0.0.6", 7001, (span("10.128.1.0", 10, 150),)),
)


def changed(config: FarmConfig | IspConfig | CenterConfig, path: str, value: Any) -> str:
    """The configuration's text with one value replaced, or (value KeyError) removed."""
    tree = json.loads(config.to_json())
    *outer, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    node = tree
    for part in outer:
        node = node[part]
    if value is KeyError:
        del node[last]
    else:
        node[last] = value
    return json.dumps(tree)


def test_every_configuration_survives_json_exactly() -> None:
    assert FarmConfig.from_json(FARM.to_json()) == FARM
    assert IspConfig.from_json(ISP.to_json()) == ISP
    assert CenterConfig.from_json(CENTER.to_json()) == CENTER
    assert CENTER.total == 160


def test_keys_with_defaults_may_be_missing() -> None:
    text = changed(FARM, "peer_timeout_ns", KeyError)
    assert FarmConfig.from_json(text).peer_timeout_ns == 10_000_000_000


@pytest.mark.parametrize(
    ("config", "path", "value", "key", "expected", "found"),
    [
        (FARM, "colour", "red", "colour", "one of seed, ", "an unknown key"),
        (FARM, "power/colour", "red", "power.colour", "one of on_ns, ", "an unknown key"),
        (FARM, "seed", KeyError, "seed", "an integer", "missing"),
        (FARM, "power", KeyError, "power", "an object", "missing"),
        (FARM, "seed", "7", "seed", "an integer", "'7'"),
        (FARM, "seed", True, "seed", "an integer", "True"),
        (FARM, "power/redraw", 1, "power.redraw", "true or false", "1"),
        (FARM, "power/phase", "late", "power.phase", "one of random, on, off", "'late'"),
        (FARM, "transport", "sctp", "transport", "one of tcp, udp", "'sctp'"),
        (FARM, "shared_secret", "xyz", "shared_secret", "bytes in hexadecimal", "'xyz'"),
        (FARM, "first_address", "10.0.0", "first_address", "an IPv4 or IPv6 address", "'10.0.0'"),
        (FARM, "first_address", "255.255.255.200", "first_address", "99 more after it", "255.255.255.200"),
        (FARM, "port", 0, "port", "1 to 65535", "0"),
        (FARM, "count", 0, "count", "1 to 9223372036854775807", "0"),
        (FARM, "information_bytes", 20_000, "information_bytes", "0 to 15000", "20000"),
        (FARM, "power/off_max_ns", 0, "power.off_max_ns", "1000000000 to", "0"),
        (FARM, "first_device_id", 2**63 - 1, "first_device_id", "0 to 9223372036854775708", "9223372036854775807"),
        (FARM, "seed", -1, "seed", "0 to 9223372036854775807", "-1"),
        (FARM, "first_index", 2**63, "first_index", "0 to 9223372036854775708", "9223372036854775808"),
        (FARM, "peer_timeout_ns", 2**60 + 1, "peer_timeout_ns", "1 to 1152921504606846976", "1152921504606846977"),
        (ISP, "retry/max_attempts", 0, "retry.max_attempts", "at least 1", "0"),
        (ISP, "retry", [], "retry", "an object", "[]"),
        (ISP, "source_addresses", "10.0.0.1", "source_addresses", "a list", "'10.0.0.1'"),
        (ISP, "source_addresses/1", "there", "source_addresses[1]", "an IPv4 or IPv6 address", "'there'"),
        (CENTER, "isps", [], "isps", "at least one ISP server", "[]"),
        (CENTER, "isps/0/terminals/1/count", 0, "isps[0].terminals[1].count", "at least 1", "0"),
        (CENTER, "isps/1/terminals/0/first_device_id", 150, "isps", "every device ID once", "device 150 twice"),
        (CENTER, "isps/1/terminals", [], "isps[1].terminals", "at least one range", "[]"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(
    config: FarmConfig | IspConfig | CenterConfig, path: str, value: Any, key: str, expected: str, found: str
) -> None:
    with pytest.raises(InputError) as caught:
        type(config).from_json(changed(config, path, value), "some.json")
    error = caught.value
    assert error.message == f"some.json: key {key!r} is wrong"
    assert expected in str(error.expected)
    assert found in str(error.found)


@pytest.mark.parametrize("text", ["", "{", "[]", "5"])
def test_a_text_that_is_no_json_object_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError, match=r"some\.json"):
        IspConfig.from_json(text, "some.json")


def test_phases_are_written_by_name() -> None:
    assert json.loads(FARM.to_json())["power"]["phase"] == Phase.ON.value
