"""What the contract has every kind of guest do.  Each function starts a guest, uses it, and returns what it saw.

They are functions of (argument, emit), since most guests live in a lab only; the tests judge what comes back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostemuError
from hostemu.guests import Guest, GuestSpec, NicSpec, backend

Argument = dict[str, Any]
Emit = Callable[[dict[str, Any]], None]

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


def soon() -> Deadline:
    """A deadline that only a failure reaches."""
    return Deadline.after(PATIENCE_S, "the guest")


def _create(argument: Argument) -> Guest:
    return backend(argument["backend"]).create(SPEC, Path(argument["folder"], "guest"))


@contextmanager
def _ready(argument: Argument) -> Iterator[Guest]:
    with _create(argument) as guest:
        guest.start(soon())
        guest.wait_ready(soon())
        yield guest


def _error(function: Callable[[], Any]) -> str:
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


def commands(argument: Argument, _emit: Emit) -> dict[str, Any]:
    """Commands that succeed: output, input, environment."""
    with _ready(argument) as guest:
        echo = guest.run(["echo", "a", "b"], deadline=soon())
        return {
            "echo": [list(echo.argv), echo.exit_status, echo.stdout.decode(), echo.stderr.decode()],
            "cat": guest.run(["cat"], stdin=b"x" * 200_000, deadline=soon()).stdout == b"x" * 200_000,
            "env": b"COLOUR=green"
            in guest.run(["env"], env={"COLOUR": "green"}, deadline=soon()).stdout.splitlines(),
        }


def failures(argument: Argument, _emit: Emit) -> dict[str, Any]:
    """Commands that fail, in a guest that goes on."""
    with _ready(argument) as guest:
        began_s = time.monotonic()
        late = _error(lambda: guest.run(["sleep", "1000"], deadline=Deadline.after(0.2, "sleep")))
        return {
            "false": _error(lambda: guest.run(["false"], deadline=soon())),
            "unchecked": guest.run(["false"], deadline=soon(), check=False).exit_status,
            "absent": _error(lambda: guest.run(["no-such-program"], deadline=soon())),
            "absent status": guest.run(["no-such-program"], deadline=soon(), check=False).exit_status,
            "late": late,
            "late within patience": time.monotonic() - began_s < PATIENCE_S,
            "alive afterwards": guest.run(["true"], deadline=soon()).exit_status,
        }


def conversation(argument: Argument, _emit: Emit) -> dict[str, Any]:
    """A program that is talked to, and ends when its input does."""
    with _ready(argument) as guest, guest.spawn(["cat"], log=Path(argument["folder"], "log")) as program:
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


def endings(argument: Argument, _emit: Emit) -> dict[str, Any]:
    """Programs that are ended in every way."""
    with _ready(argument) as guest:
        statuses = {}
        for way in ("terminate", "kill", "stop"):
            with guest.spawn(["cat"]) as program:
                getattr(program, way)()
                statuses[way] = program.wait(soon())
                program.kill()
                program.terminate()
                statuses[f"{way} again"] = program.stop()
        with guest.spawn(["cat"]) as program:
            late = _error(lambda: program.wait(Deadline.after(0.05, "cat")))
        return {"statuses": statuses, "late": late, "left by the block": program.poll() is not None}


def files(argument: Argument, _emit: Emit) -> dict[str, Any]:
    """Files into the guest and out of it."""
    folder = Path(argument["folder"])
    given, taken = folder / "given", folder / "taken"
    given.write_bytes(bytes(range(256)))
    with _ready(argument) as guest:
        guest.put(given, "there")
        guest.get("there", taken)
        return {
            "equal": taken.read_bytes() == given.read_bytes(),
            "seen by programs": guest.run(["cat", "there"], deadline=soon()).stdout == given.read_bytes(),
            "absent": _error(lambda: guest.get("absent", taken)),
            "upwards": _error(lambda: guest.put(given, "../outside")),
            "absolute": _error(lambda: guest.put(given, str(folder / "outside"))),
        }


def nics(argument: Argument, _emit: Emit) -> dict[str, Any]:
    """The emulator's ends of the NICs."""
    with _ready(argument) as guest:
        fds = [guest.nic_fd("eth0"), guest.nic_fd("eth1")]
        guest.set_link("eth0", up=False)
        guest.set_link("eth0", up=True)
        return {
            "distinct": len(set(fds)),
            "blocking": [os.get_blocking(fd) for fd in fds],
            "absent": _error(lambda: guest.nic_fd("eth7")),
            "absent link": _error(lambda: guest.set_link("eth7", up=True)),
        }


def standing_still(argument: Argument, _emit: Emit) -> dict[str, Any]:
    """Pause, resume, usage."""
    with _ready(argument) as guest, guest.spawn(["cat"]) as program:
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
    guest = _create(argument)
    before = _uses(guest)
    with guest:
        guest.start(soon())
        again = _error(lambda: guest.start(soon()))
        guest.stop()
        guest.stop()
        return {"before": before, "started twice": [again], "after": _uses(guest)}


def _uses(guest: Guest) -> list[str]:
    return [
        _error(lambda: guest.wait_ready(soon())),
        _error(lambda: guest.run(["true"], deadline=soon())),
        _error(lambda: guest.spawn(["true"])),
        _error(lambda: guest.nic_fd("eth0")),
        _error(guest.pause),
        _error(guest.resume),
        _error(guest.usage),
    ]


def nature(argument: Argument, _emit: Emit) -> dict[str, Any]:
    """What a backend tells a campaign of itself, and how many processes of the host's a running guest is."""
    own = backend(argument["backend"])
    before = own.preparation()
    with _ready(argument) as guest, guest.spawn(["cat"]):
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
        before = _descriptors()
        _live(argument, steps)
        fds.append(_descriptors() - before)
        programs.append(_children())
    return {"descriptors": fds, "programs": programs}


def _live(argument: Argument, steps: int) -> None:
    """So many steps in the life of a guest, then an error."""
    try:
        with _create(argument) as guest:
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


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _children() -> int:
    return sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children"))
