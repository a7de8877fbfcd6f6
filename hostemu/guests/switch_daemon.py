"""A switch as a program of its own, which virtualisers connect to: the thesis' network among UML guests.

vde_switch (VDE 2) where there is one, else uml_switch (uml-utilities), which only User-mode Linux can talk to.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostError
from hostemu.base.packages import how_to_install
from hostemu.guests.processes import NamespaceProgram
from hostemu.lab import NetNamespace

START_S = 10.0
LAB_FOLDER = Path("/dev/shm")
"""The lab's own; its paths are short enough for sockets."""

_numbers = itertools.count()


class SwitchDaemon:
    """A running switch; a context manager.  control: what a SwitchPort names.

    It must be in the namespace that its guests are in: the sockets by which User-mode Linux takes frames have
    abstract names, which belong to one network namespace (arch/um/drivers/daemon_user.c).
    """

    def __init__(self, site: NetNamespace, ports: int) -> None:
        """HostError when there is no such program, or it does not start."""
        self.control = LAB_FOLDER / f"switch-{os.getpid()}-{next(_numbers)}"
        listening = self.control / "ctl"
        if shutil.which("vde_switch"):
            argv = ["vde_switch", "-s", str(self.control), "-n", str(ports)]
        elif shutil.which("uml_switch"):
            argv, listening = ["uml_switch", "-unix", str(self.control)], self.control
        else:
            raise HostError(
                "no switch daemon",
                expected="vde_switch or uml_switch",
                found="neither",
                hint=how_to_install(["vde2"]),
            )
        # Its console ends the program with its input: a pipe that stays open.
        self._read_fd, self._write_fd = os.pipe2(os.O_CLOEXEC)
        log = self.control.with_suffix(".log")
        with log.open("wb") as said:
            self._program = NamespaceProgram(
                site, argv, None, LAB_FOLDER, stdin=self._read_fd, stdout=said, stderr=subprocess.STDOUT
            )
        try:
            self._await(listening, log)
        except BaseException:
            self.close()
            raise

    def _await(self, listening: Path, log: Path) -> None:
        deadline = Deadline.after(START_S, f"{listening} to be made")
        deadline.wait_until(lambda: listening.exists() or self._program.poll() is not None)
        if self._program.poll() is not None:
            raise HostError("the switch daemon has ended", found=log.read_text(errors="replace").strip()[-200:])

    def __enter__(self) -> SwitchDaemon:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it; harmless again."""
        self._program.end()
        for fd in (self._read_fd, self._write_fd):
            if fd >= 0:
                os.close(fd)
        self._read_fd = self._write_fd = -1
        if self.control.is_dir():
            shutil.rmtree(self.control, ignore_errors=True)
        else:
            self.control.unlink(missing_ok=True)
