"""What is loaded into User-mode Linux: descriptors are asked anew when epoll finds nothing after a signal, once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostemu.base.cache import VARIABLE
from hostemu.base.packages import missing
from hostemu.guests.uml import preloaded

pytestmark = pytest.mark.skipif(bool(missing(["cc"])), reason="no C compiler")

ASKING = """
import json, os, select, socket

def ask(times):
    return [len(epoll.poll(0)) for _ in range(times)]

near, far = socket.socketpair()
near.setblocking(False)
epoll = select.epoll()
epoll.register(near, select.EPOLLIN | select.EPOLLET)
seen = {"empty": ask(3)}
far.send(b"frame")
seen["unread"] = ask(6)
near.recv(10)
seen["read"] = ask(3)
epoll.modify(near, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
seen["written to"] = ask(4)
epoll.modify(near, select.EPOLLIN | select.EPOLLET)
epoll.unregister(near)
far.send(b"frame")
seen["unknown"] = ask(3)
print(json.dumps(seen))
"""


def asked(library: Path | None) -> dict[str, list[int]]:
    """How many descriptors each of some epoll_wait(2) finds, in a process that has the library or not."""
    environment = {**os.environ, **({} if library is None else {"LD_PRELOAD": str(library)})}
    done = subprocess.run(
        [sys.executable, "-c", ASKING], env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stderr == ""
    found: dict[str, list[int]] = json.loads(done.stdout)
    return found


def test_what_epoll_does_not_tell_is_found_after_the_next_signal() -> None:
    without, with_it = asked(None), asked(preloaded("recheck"))
    assert without["unread"] == [1, 0, 0, 0, 0, 0]
    assert with_it["unread"] == [1, 0, 1, 0, 1, 0]
    quiet = {"empty": [0, 0, 0], "read": [0, 0, 0], "written to": [1, 0, 0, 0], "unknown": [0, 0, 0]}
    assert {name: with_it[name] for name in quiet} == quiet
    assert {name: without[name] for name in quiet} == quiet


def test_a_folder_with_separators_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a folder: mine"
    monkeypatch.setenv(VARIABLE, str(folder))
    monkeypatch.setattr("hostemu.guests.uml.LAB_FOLDER", tmp_path)
    library = preloaded("recheck")
    assert library == preloaded("recheck")
    assert library.parent == tmp_path
    assert library.resolve().is_relative_to(folder)
    assert asked(library)["unread"] == [1, 0, 1, 0, 1, 0]
