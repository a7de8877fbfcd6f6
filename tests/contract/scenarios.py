"""What the contract has every kind of guest do; the tests judge what comes back.

Most guests live in a lab only: what is called from outside is a function of (argument, emit).  What leaves a guest as
it was is a function of (guest, folder), and all those share a guest.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostemuError
from hostemu.guests import Guest, GuestSpec, NicSpec, backend

Argument = dict[str, Any]
"""backend, is_copy, folder."""

Emit = Callable[[dict[str, Any]], None]
Check = Callable[[Guest, Path], Any]

SPEC = GuestSpec(
    name="tested",
    nics=(
        NicSpec(
            name="eth0",
            mac="02:00:00:00:00:01",
            addresses=("10.0.0.2/24",),
            routes=(("0.0.0.0/0", "10.0.0.1"),),
            local_prefixes=("10.9.0.0/24",),
            neighbours=(("10.0.0.1", "02:00:00:00:00:02"),),
        ),
        NicSpec(name="eth1", mac="02:00:00:00:00:03"),
    ),
    sysctls={"net.core.somaxconn": "4096", "net.no.such": "1"},
)
PATIENCE_S = 20.0


BYTES = bytes(range(256))


def soon() -> Deadline:
    """A deadline that only a failure reaches."""
    return Deadline.after(PATIENCE_S, "the guest")


def create(argument: Argument, spec: GuestSpec = SPEC) -> Guest:
    """A guest of the kind under test, not started."""
    spec = replace(spec, is_copy=argument["is_copy"])
    return backend(argument["backend"]).create(spec, Path(argument["folder"], spec.name))


@contextmanager
def ready(guest: Guest) -> Iterator[Guest]:
    """The guest, started, until it is stopped."""
    with guest:
        guest.start(soon())
        guest.wait_ready(soon())
        yield guest


def attempt(function: Callable[[], Any]) -> dict[str, Any]:
    """What came of it: {"seen": …}, or {"error": …} with where it came from, so that others are tried, too."""
    try:
        return {"seen": function()}
    except Exception:
        return {"error": traceback.format_exc()}


def together(argument: Argument, checks: tuple[Check, ...]) -> dict[str, Any]:
    """All of these done with one guest, by name."""
    with ready(create(argument)) as guest:
        folder = Path(argument["folder"])
        return {check.__name__: attempt(lambda check=check: check(guest, folder)) for check in checks}  # type: ignore[misc]


def error(function: Callable[[], Any]) -> str:
    """The class of the error that a call raises."""
    try:
        function()
    except HostemuError as error:
        return type(error).__name__
    return "none"


def probe(argument: Argument, _emit: Emit) -> dict[str, Any]:
    """What the backend says of itself."""
    found = backend(argument["backend"]).probe()
    return {"usable": found.usable, "reason": found.reason}


def shared(argument: Argument, _emit: Emit) -> dict[str, Any]:
    """What can be done with one guest after the other."""
    return together(argument, (commands, failures, conversation, endings, files, nics, standing_still))


def commands(guest: Guest, _folder: Path) -> dict[str, Any]:
    """Commands that succeed: output, input, environment."""
    echo = guest.run(["echo", "a", "b"], deadline=soon())
    return {
        "echo": [list(echo.argv), echo.exit_status, echo.stdout.decode(), echo.stderr.decode()],
        "cat": guest.run(["cat"], stdin=b"x" * 200_000, deadline=soon()).stdout == b"x" * 200_000,
        "env": b"COLOUR=green" in guest.run(["env"], env={"COLOUR": "green"}, deadline=soon()).stdout.splitlines(),
    }


def failures(guest: Guest, _folder: Path) -> dict[str, Any]:
    """Commands that fail, in a guest that goes on."""
    began_s = time.monotonic()
    late = error(lambda: guest.run(["sleep", "1000"], deadline=Deadline.after(0.2, "sleep")))
    return {
        "false": error(lambda: guest.run(["false"], deadline=soon())),
        "unchecked": guest.run(["false"], deadline=soon(), check=False).exit_status,
        "absent": error(lambda: guest.run(["no-such-program"], deadline=soon())),
        "absent status": guest.run(["no-such-program"], deadline=soon(), check=False).exit_status,
        "late": late,
        "late within patience": time.monotonic() - began_s < PATIENCE_S,
        "alive afterwards": guest.run(["true"], deadline=soon()).exit_status,
    }


def conversation(guest: Guest, folder: Path) -> dict[str, Any]:
    """A program that is talked to, and ends when its input does."""
    with guest.spawn(["cat"], log=folder / "log") as program:
        answers = []
        for line in (b"first\n", b"second\n"):
            program.stdin.write(line)
            program.stdin.flush()
            program.poll()
            answers.append(os.read(program.stdout.fileno(), 100).decode())
        running = program.poll()
        program.stdin.close()
        return {
            "answers": answers,
            "while running": running,
            "status": program.wait(soon()),
            "rest": program.stdout.read().decode(),
            "stopped": program.stop(),
        }


def endings(guest: Guest, _folder: Path) -> dict[str, Any]:
    """Programs that are ended in every way."""
    statuses = {}
    for way in ("terminate", "kill", "stop"):
        with guest.spawn(["cat"]) as program:
            getattr(program, way)()
            statuses[way] = program.wait(soon())
            program.kill()
            program.terminate()
            statuses[f"{way} again"] = program.stop()
    with guest.spawn(["cat"]) as program:
        late = error(lambda: program.wait(Deadline.after(0.05, "cat")))
    return {"statuses": statuses, "late": late, "left by the block": program.poll() is not None}


def files(guest: Guest, folder: Path) -> dict[str, Any]:
    """Files into the guest and out of it."""
    given, taken = folder / "given", folder / "taken"
    given.write_bytes(BYTES)
    guest.put(given, "there")
    guest.get("there", taken)
    return {
        "equal": taken.read_bytes() == BYTES,
        "seen by programs": guest.run(["cat", "there"], deadline=soon()).stdout == BYTES,
        "absent": error(lambda: guest.get("absent", taken)),
        "upwards": error(lambda: guest.put(given, "../outside")),
        "absolute": error(lambda: guest.put(given, str(folder / "outside"))),
        "outside": (folder / "outside").exists(),
    }


def nics(guest: Guest, _folder: Path) -> dict[str, Any]:
    """The emulator's ends of the NICs."""
    fds = [guest.nic_fd("eth0"), guest.nic_fd("eth1")]
    guest.set_link("eth0", up=False)
    guest.set_link("eth0", up=True)
    return {
        "distinct": len(set(fds)),
        "blocking": [os.get_blocking(fd) for fd in fds],
        "absent": error(lambda: guest.nic_fd("eth7")),
        "absent link": error(lambda: guest.set_link("eth7", up=True)),
    }


def standing_still(guest: Guest, _folder: Path) -> dict[str, Any]:
    """Pause, resume, usage."""
    with guest.spawn(["cat"]) as program:
        guest.pause()
        guest.resume()
        program.stdin.write(b"x\n")
        program.stdin.flush()
        program.poll()
        answer = os.read(program.stdout.fileno(), 10).decode()
        used, own = guest.usage(), program.usage()
        return {"answer": answer, "numbers": [used.cpu_s, used.rss_bytes, used.rx_frames, own.cpu_s, own.rss_bytes]}


def not_running(argument: Argument, _emit: Emit) -> dict[str, list[str]]:
    """A guest that is not started yet, and one that is stopped."""
    guest = create(argument)
    before = _uses(guest)
    with guest:
        guest.start(soon())
        again = error(lambda: guest.start(soon()))
        guest.stop()
        guest.stop()
        return {"before": before, "started twice": [again], "after": _uses(guest)}


def _uses(guest: Guest) -> list[str]:
    return [
        error(lambda: guest.wait_ready(soon())),
        error(lambda: guest.run(["true"], deadline=soon())),
        error(lambda: guest.spawn(["true"])),
        error(lambda: guest.nic_fd("eth0")),
        error(guest.pause),
        error(guest.resume),
        error(guest.usage),
    ]


def nature(argument: Argument, _emit: Emit) -> dict[str, Any]:
    """What a backend tells a campaign of itself, and how many processes of the host's a running guest is."""
    own = backend(argument["backend"])
    before = own.preparation()
    with ready(create(argument)) as guest, guest.spawn(["cat"]):
        processes = [str(pid) for pid in guest.host_pids()]
        return {
            "identity": [[type(key).__name__, type(value).__name__] for key, value in own.identity().items()],
            "same again": own.identity() == own.identity(),
            "told or why not": bool(before.reason) or isinstance(before.packages, tuple),
            "in proc": [Path("/proc", pid).is_dir() for pid in processes],
            "has own kernel": own.has_own_kernel,
        }


def leaks(argument: Argument, _emit: Emit) -> dict[str, list[int]]:
    """Descriptors and programs left after lives of several lengths."""
    _live(argument, 4)  # what is made once, is made
    fds, programs = [], []
    for steps in range(5):
        before = descriptors(), children()  # of a test run, other tests' may still be there
        _live(argument, steps)
        fds.append(descriptors() - before[0])
        programs.append(children() - before[1])
    return {"descriptors": fds, "programs": programs}


def _live(argument: Argument, steps: int) -> None:
    """So many steps in the life of a guest, then an error."""
    try:
        with create(argument) as guest:
            for step in (
                lambda: guest.start(soon()),
                lambda: guest.wait_ready(soon()),
                lambda: guest.run(["true"], deadline=soon()),
                lambda: guest.spawn(["cat"]),
            )[:steps]:
                step()
            raise InterruptedError
    except InterruptedError:
        return


def descriptors() -> int:
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def children() -> int:
    """How many processes this one has started and not buried."""
    return sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children"))
