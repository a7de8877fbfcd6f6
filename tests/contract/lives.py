"""Lives of guests with a kernel of their own: how they die, what they hold, what they share; see `scenarios`."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostemuError
from hostemu.guests import Guest, GuestSpec, NicSpec
from hostemu.guests.processes import number_here
from tests.contract.real import asker
from tests.contract.scenarios import SPEC, Argument, Emit, attempt, children, create, error, ready, soon

LAST_WORDS = "so this is how it ends"
SLEEP = ["sleep", "1000"]
CRASH = ["sh", "-c", "echo c > /proc/sysrq-trigger; sleep 1000"]
SWAPPED = (
    NicSpec("eth1", "02:00:00:00:00:01", addresses=("10.0.0.2/24",), neighbours=(("10.0.0.1", "02:00:00:00:00:02"),)),
    NicSpec("eth0", "02:00:00:00:00:03", addresses=("10.0.3.2/24",)),
)
"""NICs in another order than their names."""

ROOMY_BYTES, BULKY_BYTES = 48 << 20, 12 << 20
"""Memory of a guest that has iperf; a file that has no room in a smaller one's memory, packed and unpacked."""

BRIEF_S = 0.3


def lives(argument: Argument, _emit: Emit) -> dict[str, Any]:
    """Each is a life of its own; the first three are those of one guest."""
    folder = Path(argument["folder"])
    guest = create(argument)
    checks: dict[str, Callable[[], Any]] = {
        "killed": lambda: killed(guest),
        "crashed": lambda: crashed(guest),
        "stopped while paused": lambda: stopped_while_paused(guest),
        "pair": lambda: pair(argument, folder),
        "shares": lambda: shares(argument),
        "refusals": lambda: refusals(argument, folder),
        "bulky": lambda: bulky(argument, folder),
    }
    return {name: attempt(check) for name, check in checks.items()}


def told(function: Callable[[], Any]) -> dict[str, Any]:
    """The error that a call raises, and how long it took."""
    began_s = time.monotonic()
    try:
        function()
    except HostemuError as raised:
        kind, text, log = type(raised).__name__, str(raised), raised.log
    else:
        kind, text, log = "none", "", None
    return {
        "kind": kind,
        "text": text,
        "log": log is not None and log.exists(),
        "elapsed_s": time.monotonic() - began_s,
    }


def kill_virtualiser(guest: Guest) -> None:
    """End the guest from outside, as the host's kernel does that runs out of memory."""
    os.kill(number_here(guest.host_pids()[0]), signal.SIGKILL)


def killed(guest: Guest) -> dict[str, Any]:
    """A command runs when the guest is killed; then it is used some more."""
    with ready(guest):
        failing = told(lambda: guest.run(["false"], deadline=soon()))
        guest.run(["sh", "-c", f"echo {LAST_WORDS} > /dev/console"], deadline=soon())
        program = guest.spawn(["cat"])
        killer = threading.Timer(BRIEF_S, kill_virtualiser, [guest])
        killer.start()
        running = told(lambda: guest.run(SLEEP, deadline=soon()))
        killer.join()
        uses = {
            "run": told(lambda: guest.run(["true"], deadline=soon())),
            "spawn": told(lambda: guest.spawn(["true"])),
            "pause": told(guest.pause),
            "usage": told(guest.usage),
            "put": told(lambda: guest.put(Path("/etc/hostname"), "x")),
            "clock": told(guest.clock_offset_ns),
        }
        found = {"failing": failing, "running": running, "uses": uses, "status": program.poll()}
        soon().wait_until(lambda: not guest.host_pids())
    return {**found, "children": children(), "afterwards": error(guest.usage)}


def crashed(guest: Guest) -> dict[str, Any]:
    """The guest's kernel panics; it is the second life of a guest that was killed."""
    with ready(guest):
        alive = guest.run(["echo", "again"], deadline=soon()).stdout.decode()
        return {"alive": alive, **told(lambda: guest.run(CRASH, deadline=soon()))}


def stopped_while_paused(guest: Guest) -> dict[str, Any]:
    """A paused guest with programs is stopped; it is the third life of a guest that crashed."""
    began_s = time.monotonic()
    with ready(guest):
        guest.run(["true"], deadline=soon())
        programs = [guest.spawn(["cat"]) for _ in range(3)]
        guest.pause()
        began_s = time.monotonic()
    elapsed_s = time.monotonic() - began_s
    return {"statuses": [program.poll() for program in programs], "elapsed_s": elapsed_s, "children": children()}


def pair(argument: Argument, folder: Path) -> dict[str, Any]:
    """Two guests that are the same but for their names; with programs, files, and NICs in disorder."""
    (folder / "letter").write_text("dear guest\n")
    spec = replace(
        SPEC,
        nics=SWAPPED,
        memory_bytes=ROOMY_BYTES,
        programs=("iperf",),
        files={"/usr/share/deep/letter": folder / "letter"},
    )
    first, second = (create(argument, replace(spec, name=name)) for name in ("first", "second"))
    with ready(first), ready(second):
        both = (first, second)
        return {
            "random": [_said(guest, "head -c 16 /dev/urandom | md5sum").split()[0] for guest in both],
            "late_s": [_wall_error_s(guest) for guest in both],
            "addresses": [_addresses(guest) for guest in both],
            "letters": [_said(guest, "cat /usr/share/deep/letter") for guest in both],
            "iperf": [_said(guest, "iperf -v 2>&1; true") for guest in both],
            "listing": _said(first, "ls -l /own | wc -l; echo x > /own/mine; cat /own/mine").split(),
            "private": _said(second, "test -e /own/mine && echo seen || echo unseen").split(),
            "answers": [_answers(guest) for guest in both],
            "pids": len(set(first.host_pids()) & set(second.host_pids())),
        }


def _said(guest: Guest, script: str) -> str:
    return guest.run(["sh", "-c", script], deadline=soon()).stdout.decode()


def _wall_error_s(guest: Guest) -> float:
    """How far the guest's time of day is off at least, knowing whole seconds of it."""
    before_s = time.time()
    said_s = int(_said(guest, "date +%s"))
    return max(0.0, before_s - 1 - said_s, said_s - time.time())


def _addresses(guest: Guest) -> dict[str, list[str]]:
    """By the name of the NIC: its MAC address, its IPv4 addresses."""
    found = {}
    for name in ("eth0", "eth1"):
        said = _said(guest, f"ip addr show dev {name}")
        found[name] = re.findall(r"link/ether (\S+)", said) + re.findall(r"inet (\S+)", said)
    return found


def _answers(guest: Guest) -> int:
    """Of three echo requests to the NIC that is the first, but called the second."""
    return asker(guest, "eth1").answers(3, 20.0)


def shares(argument: Argument) -> dict[str, Any]:
    """A guest with the host's files, and a folder to write in; temporary files are its own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        return _shares(argument, Path(folder).resolve())


def _shares(argument: Argument, folder: Path) -> dict[str, Any]:
    shared, outside = folder / "shared", folder / "outside"
    for path in (shared, outside):
        path.mkdir()
    (folder / "note").write_text("of the host\n")
    (shared / "given").write_text("given\n")
    with ready(create(argument, replace(SPEC, name="sharing", shares=shared))) as guest:
        found = {
            "sees": guest.sees_host_files,
            "folder": _said(guest, "pwd").strip() == str(shared),
            "reads": [_said(guest, f"cat {folder}/note"), _said(guest, "cat given")],
            "passwd": _said(guest, "cat /etc/passwd") == Path("/etc/passwd").read_text(),
            "writes": _said(guest, "echo from the guest > letter; mkdir deep; echo x > deep/y; cat letter"),
            "outside": error(lambda: _said(guest, f"echo x > {outside}/file")),
            "over": error(lambda: _said(guest, f"echo x >> {folder}/note")),
            "temporary": _said(guest, "echo x > $TMPDIR/x; ls $TMPDIR").split(),
            "own pseudo files": _said(guest, "cat /proc/sys/kernel/hostname; ls /sys/class/net").split(),
        }
        with guest.spawn(["sh", "-c", "pwd; cat > by-a-program"]) as program:
            found["spawned"] = program.stdout.readline().decode().strip() == str(shared)
            program.stdin.write(b"said\n")
            program.stdin.close()
            program.wait(soon())
        (shared / "later").write_text("later\n")
        found["later"] = _said(guest, "cat later")
    return {
        **found,
        "seen by the host": (shared / "letter").read_text() + (shared / "by-a-program").read_text(),
        "nothing outside": list(outside.iterdir()) == [] and (folder / "note").read_text() == "of the host\n",
    }


def refusals(argument: Argument, folder: Path) -> dict[str, Any]:
    """Guests that cannot be: too little memory, a kernel that is none, a program that there is not."""
    (folder / "no-kernel").write_bytes(os.urandom(5000))
    before = children()
    specs = {
        "memory": GuestSpec("small", SPEC.nics, memory_bytes=4 << 20),
        "garbage": GuestSpec("garbage", SPEC.nics, kernel=folder / "no-kernel"),
        "absent": GuestSpec("absent", SPEC.nics, kernel=folder / "absent-kernel"),
        "program": GuestSpec("program", SPEC.nics, programs=("hostemu-no-such-program",)),
    }
    found = {}
    for name, spec in specs.items():
        guest = create(argument, spec)
        found[name] = told(lambda guest=guest: guest.start(Deadline.after(20.0, "a guest")))  # type: ignore[misc]
        guest.stop()
    return {**found, "children": children() - before}


def bulky(argument: Argument, folder: Path) -> dict[str, Any]:
    """A guest whose image is too large for its memory."""
    (folder / "bulk").write_bytes(os.urandom(BULKY_BYTES))
    with create(argument, replace(SPEC, name="bulky", files={"/bulk": folder / "bulk"})) as guest:
        return told(lambda: _come_up(guest))


def _come_up(guest: Guest) -> None:
    guest.start(soon())
    guest.wait_ready(soon())
