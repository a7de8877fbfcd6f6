"""The program of figure `actions`: what it does, and how often."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from hostemu.measure.action_program import ACTIONS, AT_A_TIME, authentication, repeat
from hostemu.protocol.auth import SCHEMES, HmacScheme, XorScheme


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_is_done_again_and_again_for_as_long_as_wanted(name: str) -> None:
    with ACTIONS[name]() as action:
        began_s = time.monotonic()
        assert repeat(action, 0.02) >= AT_A_TIME
        assert time.monotonic() - began_s >= 0.02
        assert repeat(action, 0.0) == 0


@pytest.mark.parametrize(("name", "kind"), [("xor", XorScheme), ("hmac-sha256", HmacScheme)])
def test_one_authentication_calls_all_that_an_exchange_calls(
    monkeypatch: pytest.MonkeyPatch, name: str, kind: type
) -> None:
    counted: dict[str, int] = {}
    for method in ("prove_terminal", "prove_isp", "prove_information", "seal", "unseal"):

        def spy(*arguments: object, method: str = method) -> object:
            counted[method] = counted.get(method, 0) + 1
            return getattr(kind, method)(SCHEMES[name], *arguments)

        monkeypatch.setattr(SCHEMES[name], method, spy, raising=False)
    with authentication(name) as action:
        action()
    assert counted == {"prove_terminal": 2, "prove_isp": 2, "prove_information": 2, "seal": 1, "unseal": 1}


def test_a_scheme_that_does_not_work_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SCHEMES["xor"], "unseal", lambda *_: None, raising=False)
    with authentication("xor") as action, pytest.raises(ValueError, match="xor"):
        action()


def test_the_program_answers_every_line() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "hostemu.measure.action_program"],
        input="authentication 0.01\nconnection 0.01\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    counts = [int(line) for line in said.stdout.split()]
    assert len(counts) == 2
    assert min(counts) > 0
