"""Network-namespace guests, tried out inside a lab: functions of (argument, emit)."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostemuError
from hostemu.guests import Guest, GuestSpec, NicSpec, backend
from hostemu.guests.api import HostInterface, Multicast
from hostemu.guests.processes import NamespaceProgram
from hostemu.lab import NetNamespace

Emit = Callable[[dict[str, Any]], None]
SPEC = GuestSpec(
    "tested",
    (
        NicSpec(
            "eth0",
            "02:00:00:00:00:01",
            addresses=("10.0.0.2/24", "fd00::2/64"),
            routes=(("0.0.0.0/0", "10.0.0.1"), ("::/0", "fd00::1")),
            local_prefixes=("10.9.0.0/24",),
            neighbours=(("10.0.0.1", "02:00:00:00:00:02"),),
            mtu=1400,
        ),
    ),
)
SEND = """import socket
for k in range(5):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(bytes(100), ("10.0.0.1", 9))
"""
SPIN = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\nsys.stdin.read()\n"
IGNORE = "import signal, sys\nsignal.signal(15, signal.SIG_IGN)\nprint('on', flush=True)\nsignal.pause()\n"
POLITE = "import signal, sys\nsignal.signal(15, lambda *_: sys.exit(7))\nprint('on', flush=True)\nsignal.pause()\n"
FAMILY = ["sh", "-c", "sleep 4711 & sleep 4711 & setsid sleep 4711 & echo started; exec sleep 4711"]


def soon() -> Deadline:
    """A deadline that only a failure reaches."""
    return Deadline.after(20.0, "the guest")


@contextmanager
def _guest(folder: str) -> Iterator[Guest]:
    with backend("netns").create(SPEC, Path(folder)) as guest:
        guest.start(soon())
        guest.wait_ready(soon())
        yield guest


def _states(word: str) -> list[str]:
    """The states of living processes with this word in their command line."""
    states = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and word.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                states.append((entry / "stat").read_text().rpartition(")")[2].split()[0])
        except OSError:
            continue
    return states


def network(folder: str, _emit: Emit) -> dict[str, str]:
    """What `ip` says in the guest."""
    with _guest(folder) as guest:
        return {
            what: guest.run(["ip", "-o", *what.split()], deadline=soon()).stdout.decode()
            for what in ("link show eth0", "addr show eth0", "route show table all", "neigh show", "-6 route show")
        }


def traffic(folder: str, _emit: Emit) -> dict[str, Any]:
    """Usage and frames of five datagrams, before, without and after a pulled cable."""
    with _guest(folder) as guest:
        fd = guest.nic_fd("eth0")
        _drain(fd)
        before = guest.usage()
        seen = []
        for up in (True, False, True):
            guest.set_link("eth0", up=up)
            _drain(fd)
            guest.run([sys.executable, "-c", SEND], deadline=soon(), check=False)
            seen.append(sum(frame[22:24] == b"\x08\x00" for frame in _drain(fd)))
        after = guest.usage()
        return {"datagrams": seen, "tx_frames": after.tx_frames - before.tx_frames, "cpu_s": after.cpu_s}


def _drain(fd: int) -> list[bytes]:
    frames = []
    try:
        while True:
            frames.append(os.read(fd, 70_000))
    except OSError:  # nothing more, or the far end is down
        return frames


def usage(folder: str, _emit: Emit) -> dict[str, Any]:
    """CPU time and memory of a program that has spun for 0.3 s: while it lives, and after its end."""
    with _guest(folder) as guest:
        with guest.spawn([sys.executable, "-c", SPIN]) as program:
            program.stdout.readline()
            alive, guest_alive = program.usage(), guest.usage()
            program.stdin.close()
            program.wait(soon())
            ended = program.usage()
        return {
            "alive": [alive.cpu_s, alive.rss_bytes, alive.maxrss_bytes],
            "guest": [guest_alive.cpu_s, guest_alive.rss_bytes],
            "ended": [ended.cpu_s, ended.rss_bytes, ended.maxrss_bytes],
            "guest afterwards": [guest.usage().cpu_s, guest.usage().rss_bytes],
        }


def families(folder: str, _emit: Emit) -> dict[str, int]:
    """How many of a program's four processes there are: running, after it was killed, after the guest's end."""
    with _guest(folder) as guest:
        with guest.spawn(FAMILY) as program:
            program.stdout.readline()
            soon().wait_until(lambda: len(_states("4711")) == 4)
            program.kill()
            program.wait(soon())
            killed = len(_states("4711"))
        guest.spawn(FAMILY).stdout.readline()
    return {"killed": killed, "guest ended": len(_states("4711"))}


def early_kills(folder: str, _emit: Emit) -> int:
    """How many of 60 programs that are killed while they start live on."""
    with _guest(folder) as guest:
        for k in range(60):
            program = guest.spawn(["sleep", "4712"])
            until_s = time.monotonic() + k * 1e-4
            while time.monotonic() < until_s:
                pass
            program.kill()
            program.wait(soon())
            program.stop()
        return len(_states("4712"))


def politeness(folder: str, _emit: Emit) -> dict[str, int]:
    """Exit statuses of stopped programs that catch, ignore or do not care about SIGTERM."""
    statuses = {}
    with _guest(folder) as guest:
        for name, program_text in (("catches", POLITE), ("ignores", IGNORE)):
            with guest.spawn([sys.executable, "-c", program_text]) as program:
                program.stdout.readline()
                statuses[name] = program.stop(grace_s=1.0)
        with guest.spawn(["sleep", "1000"]) as program:
            statuses["does not care"] = program.stop()
    return statuses


def pausing(folder: str, _emit: Emit) -> dict[str, list[str]]:
    """States of a program and its descendants: paused, resumed."""
    with _guest(folder) as guest, guest.spawn(FAMILY) as program:
        program.stdout.readline()
        soon().wait_until(lambda: len(_states("4711")) == 4)
        guest.pause()
        soon().wait_until(lambda: set(_states("4711")) == {"T"})
        paused = _states("4711")
        guest.resume()
        soon().wait_until(lambda: "T" not in _states("4711"))
        return {"paused": paused, "resumed": _states("4711")}


def sudden_death(folder: str, _emit: Emit) -> dict[str, Any]:
    """A program that is killed by somebody else."""
    with _guest(folder) as guest, guest.spawn(["sleep", "4713"], log=Path(folder, "log")) as program:
        soon().wait_until(lambda: len(_states("4713")) == 1)
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and b"4713" in (entry / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
        return {"rest": program.stdout.read().decode(), "status": program.wait(soon())}


def direct(folder: str, _emit: Emit) -> dict[str, Any]:
    """A guest that is wired to a namespace of the host's directly: who sees whom, and with what MAC address."""
    far = NicSpec("tap7", "02:00:00:00:00:01", addresses=("10.1.0.1/24",))
    near = NicSpec("eth0", "02:00:00:00:00:02", addresses=("10.1.0.2/24",), wire=HostInterface(far))
    spec = GuestSpec("wired", (near,))
    group = GuestSpec("grouped", (replace(near, wire=Multicast()),))
    with NetNamespace() as host, backend("netns").create(spec, Path(folder), host) as guest:
        guest.start(soon())
        guest.wait_ready(soon())
        listener = host.call(lambda: socket.create_server(("10.1.0.1", 4000)))
        script = "import socket; socket.create_connection(('10.1.0.1', 4000), 5); print(open('/proc/net/arp').read())"
        said = guest.run([sys.executable, "-c", script], deadline=soon()).stdout.decode()
        _, peer = listener.accept()
        return {
            "guest sees": said,
            "host sees": peer[0],
            "port": _kind(lambda: guest.nic_fd("eth0")),
            "no site": _kind(lambda: backend("netns").create(spec, Path(folder))),
            "no such wire": _kind(lambda: backend("netns").create(group, Path(folder), host)),
        }


def _kind(function: Callable[[], object]) -> str:
    try:
        function()
    except HostemuError as error:
        return type(error).__name__
    return "none"


def own_processes(folder: str, _emit: Emit) -> dict[str, int]:
    """How many of the host's processes a guest says that it is made of, before and while a family runs in it."""
    with _guest(folder) as guest:
        before = len(guest.host_pids())
        with guest.spawn(FAMILY) as program:
            program.stdout.readline()
            soon().wait_until(lambda: len(_states("4711")) == 4)
            return {"before": before, "with a family": len(guest.host_pids())}


def complaints(folder: str, _emit: Emit) -> str:
    """Let a command fail with words."""
    with _guest(folder) as guest:
        guest.run(["sh", "-c", "echo so sorry >&2; exit 3"], deadline=soon())
    return "no error"


def ended_unseen(folder: str, emit: Emit) -> list[int | None]:
    """Exit statuses of programs that had ended by themselves, nobody having asked, when they were ended."""
    statuses: list[int | None] = []
    with NetNamespace() as namespace:
        for _ in range(5):
            program = NamespaceProgram(namespace, ["/bin/sh", "-c", "exit 7"], None, Path("/"))
            os.waitid(os.P_PID, program.popen.pid, os.WEXITED | os.WNOWAIT)
            program.end()
            statuses.append(program.poll())
    return statuses
