"""The recorder of what is done to bring a guest up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from hostemu.lab.kernel import NETWORK_AUDIT_EVENT
from hostemu.measure.trace import tracing


def test_programs_are_recorded_with_their_words() -> None:
    with tracing() as trace:
        subprocess.run(["true", "a", "b c"], check=True)
        os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)
    assert trace.commands == [["true", "a", "b c"], ["true"]]
    assert trace.arguments == 2


def test_files_are_recorded_once_when_they_are_written_and_not_when_they_are_read(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("x")
    with tracing() as trace:
        (tmp_path / "folder").mkdir()
        tmp_path.mkdir(exist_ok=True)
        for _ in range(2):
            (tmp_path / "folder" / "new").write_text("x")
        (tmp_path / "link").symlink_to("old")
        (tmp_path / "folder" / "new").rename(tmp_path / "moved")
        old.read_text()
        Path(os.devnull).write_text("x")
    names = [str(Path(name).relative_to(tmp_path)) for name in trace.files]
    assert names == ["folder", "link", "moved"]


def test_settings_and_privileges_are_recorded() -> None:
    with tracing() as trace:
        name = Path("/proc/self/comm")
        name.write_text(name.read_text())
        sys.audit(NETWORK_AUDIT_EVENT, 3)
        with suppress(PermissionError):  # asked for all the same
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    assert trace.settings == 4
    assert trace.privileges == ["network configuration", "packet sockets"]


def test_every_thread_is_seen_and_nothing_before_or_after(tmp_path: Path) -> None:
    (tmp_path / "before").write_text("x")
    with tracing() as trace:
        thread = threading.Thread(target=lambda: (tmp_path / "during").write_text("x"))
        thread.start()
        thread.join()
    (tmp_path / "after").write_text("x")
    assert [Path(name).name for name in trace.files] == ["during"]


def test_two_traces_do_not_disturb_each_other() -> None:
    with tracing() as outer:
        subprocess.run(["true"], check=True)
        with tracing() as inner:
            subprocess.run(["true", "x"], check=True)
    assert len(outer.commands) == 2
    assert inner.commands == [["true", "x"]]
