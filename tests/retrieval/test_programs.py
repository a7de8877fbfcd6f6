"""What all three programs do alike: configuration errors, commands, and how they end."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hostemu.retrieval.config import Config, IspAssignment
from tests.retrieval.harness import (
    FARMS,
    center_config,
    command_of,
    farm_config,
    isp_config,
    loopback_block,
    running,
    span,
)

PROGRAMS = (*FARMS, "isp_server", "center")
USAGE = ("cpu_ns", "max_lag_ns", "p99_lag_ns", "maxrss_bytes")

all_programs = pytest.mark.parametrize("module", PROGRAMS)


def config_of(module: str, folder: Path) -> Config:
    if module in FARMS:
        return farm_config(loopback_block(), 3)
    if module == "isp_server":
        return isp_config()
    return center_config(folder, IspAssignment("127.0.0.1", 9, (span(loopback_block(), 3),)))


@all_programs
def test_the_end_of_its_input_ends_a_program_with_its_result(tmp_path: Path, module: str) -> None:
    with running(module, config_of(module, tmp_path), tmp_path) as program:
        program.wait_for("ready")
        result = program.stop()
    assert all(isinstance(result[name], int) for name in USAGE)


@all_programs
def test_sigterm_ends_a_running_program_with_its_result(tmp_path: Path, module: str) -> None:
    with running(module, config_of(module, tmp_path), tmp_path) as program:
        program.wait_for("ready")
        program.start()
        assert program.report()["maxrss_bytes"] > 0
        program.terminate()
        program.wait_for("result")
        assert program.wait() == 0
        assert program.error_text() == ""


@all_programs
def test_a_program_without_input_ends(tmp_path: Path, module: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(config_of(module, tmp_path).to_json())
    argv = [*command_of(module), str(path)]
    run = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=True)
    assert [json.loads(line)["event"] for line in run.stdout.splitlines()] == ["ready", "result"]


@all_programs
def test_a_program_whose_reader_has_gone_ends(tmp_path: Path, module: str) -> None:
    with running(module, config_of(module, tmp_path), tmp_path) as program:
        program.wait_for("ready")
        assert program.process.stdout is not None
        program.process.stdout.close()
        program.send({"do": "report"})
        assert program.wait() == 0


@all_programs
def test_a_program_whose_reader_does_not_read_still_obeys_and_ends(tmp_path: Path, module: str) -> None:
    """A pipe holds 64 kB, and each report takes some 300 bytes."""
    with running(module, config_of(module, tmp_path), tmp_path) as program:
        program.wait_for("ready")
        for _ in range(1000):
            program.send({"do": "report"})
        program.close_input()
        assert program.wait() == 0


@all_programs
def test_commands_that_are_none_are_told_on_stderr_and_change_nothing(tmp_path: Path, module: str) -> None:
    with running(module, config_of(module, tmp_path), tmp_path) as program:
        program.wait_for("ready")
        assert program.process.stdin is not None
        program.process.stdin.write(b"[1, 2]\nnonsense\n")
        program.send({"do": "dance"})
        program.send({"do": "start", "at_ns": "soon"})
        program.stop()
        errors = program.error_text()
    assert errors.count("not a command") == 2
    assert errors.count("unknown command") == 2


@all_programs
def test_a_command_without_an_end_is_dropped_and_the_next_is_obeyed(tmp_path: Path, module: str) -> None:
    with running(module, config_of(module, tmp_path), tmp_path) as program:
        program.wait_for("ready")
        assert program.process.stdin is not None
        program.process.stdin.write(b"x" * (1 << 18) + b"\n")
        assert program.report()["timers"] >= 0
        program.stop()
        errors = program.error_text()
    assert "command of more than 65536 bytes: dropped" in errors


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown key": ({"colour": "red"}, "'colour'", "an unknown key"),
    "wrong type": ({"authentication": 5}, "'authentication'", "one of xor, hmac-sha256"),
}


@all_programs
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_configuration_is_told_with_file_and_key(tmp_path: Path, module: str, case: str) -> None:
    change, key, words = WRONG[case]
    text = json.dumps({**json.loads(config_of(module, tmp_path).to_json()), **change})
    with running(module, text, tmp_path) as program:
        program.wait_for("error")
        assert program.wait() == 2
        errors = program.error_text()
    assert f"{module}-0.json" in errors
    assert key in errors
    assert words in errors


@all_programs
def test_a_missing_configuration_is_told(tmp_path: Path, module: str) -> None:
    argv = [*command_of(module), str(tmp_path / "none.json")]
    run = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    assert run.returncode == 2
    assert b"none.json" in run.stderr


def test_an_address_in_use_is_told(terminals: str, tmp_path: Path) -> None:
    config = farm_config(loopback_block(), 3)
    with running(terminals, config, tmp_path) as first:
        first.wait_for("ready")
        with running(terminals, config, tmp_path) as second:
            assert "cannot listen" in second.wait_for("error")["message"]
            assert second.wait() == 1


def test_a_port_in_use_is_told_by_the_isp_server(tmp_path: Path) -> None:
    with running("isp_server", isp_config(), tmp_path) as first:
        port = first.wait_for("ready")["port"]
        with running("isp_server", isp_config(port=port), tmp_path) as second:
            assert f"port {port}" in second.wait_for("error")["message"]
            assert second.wait() == 3
