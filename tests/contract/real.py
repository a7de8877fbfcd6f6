"""What guests that really run have to do with their one kernel, beside the contract's basics; see `scenarios`."""

from __future__ import annotations

import hashlib
import os
import select
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.guests import Guest, GuestProcess
from tests.contract.echo import Asker, drain
from tests.contract.scenarios import SPEC, Argument, Check, Emit, error, soon, together

MEGABYTE = 1 << 20
COMMANDS = 70
"""More than an agent has places for programs."""

ECHOES = 5
THREADS = 8
STEADY_S = 2.0
COUNT = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"]
SPIN = ["sh", "-c", "while :; do :; done"]
LINES = 150_000
QUIET_S = 0.3
"""How long nothing must happen where nothing is to happen."""


def shared(argument: Argument, _emit: Emit) -> dict[str, Any]:
    """What can be done with one guest after the other; its clock is looked at first, and before it is stopped."""
    first: dict[str, int] = {}

    def clock_first(guest: Guest, _folder: Path) -> None:
        first.update(at_ns=time.monotonic_ns(), offset_ns=guest.clock_offset_ns())

    def clock(guest: Guest, _folder: Path) -> dict[str, float]:
        time.sleep(max(0.0, STEADY_S - (time.monotonic_ns() - first["at_ns"]) / 1e9))
        elapsed_s = (time.monotonic_ns() - first["at_ns"]) / 1e9
        return {"elapsed_s": elapsed_s, "moved_ns": guest.clock_offset_ns() - first["offset_ns"]}

    before: tuple[Check, ...] = (at_once, clock_first, surroundings, wall_clock, traffic, cables)
    return together(argument, (*before, much_output, complaints, commands, crowded, large_files, clock, stillness))


def surroundings(guest: Guest, folder: Path) -> dict[str, Any]:
    """Folder and environment of commands and of programs that are spawned, and where their files are."""
    script = ["sh", "-c", "pwd; echo $COLOUR; echo made > made"]
    ran = guest.run(script, env={"COLOUR": "green"}, deadline=soon()).stdout.decode().split()
    guest.get("made", folder / "made")
    with guest.spawn(script, env={"COLOUR": "green"}) as program:
        spawned = program.stdout.read().decode().split()
    plain = guest.run(["sh", "-c", "echo ${COLOUR-none}; echo $PATH"], deadline=soon()).stdout.decode().split()
    return {"ran": ran, "spawned": spawned, "plain": plain, "made": (folder / "made").read_text()}


def wall_clock(guest: Guest, _folder: Path) -> dict[str, float]:
    """How much the guest's time of day is too early or too late, in seconds of which it tells whole ones."""
    before_s = time.time()
    said_s = int(guest.run(["date", "+%s"], deadline=soon()).stdout)
    return {"early_s": before_s - 1 - said_s, "late_s": said_s - time.time()}


def asker(guest: Guest, name: str = "eth0") -> Asker:
    """Asks through a NIC, as the gateway that the guest knows there."""
    nic = next(nic for nic in guest.spec.nics if nic.name == name)
    gateway, mac = nic.neighbours[0]
    return Asker(guest.nic_fd(nic.name), (mac, gateway), (nic.mac, nic.addresses[0].partition("/")[0]))


def at_once(guest: Guest, _folder: Path) -> int:
    """Whether the very first frame is answered; kernels drop frames of NICs whose queue is not at work yet."""
    return asker(guest).answers(1, 5.0)


def traffic(guest: Guest, _folder: Path) -> dict[str, Any]:
    """Counters before and after some frames in and out."""
    gateway = asker(guest)
    reached = gateway.reached(20.0)
    before = guest.usage()
    answered = gateway.answers(ECHOES, 20.0)
    after = guest.usage()
    moved = {
        name: getattr(after, name) - getattr(before, name)
        for name in ("rx_frames", "tx_frames", "rx_bytes", "tx_bytes", "cpu_s")
    }
    return {"reached": reached, "answered": answered, "rss_bytes": after.rss_bytes, **moved}


def cables(guest: Guest, _folder: Path) -> dict[str, Any]:
    """Answers with the cable in, out and in again; the other NIC's cable is left alone."""
    gateway, other = asker(guest), guest.nic_fd(SPEC.nics[1].name)
    before = gateway.answers(ECHOES, 20.0)
    guest.set_link("eth0", up=False)
    without = gateway.answers(ECHOES, QUIET_S)
    drain(guest.nic_fd("eth0"))
    guest.run(["sh", "-c", "nc 10.0.0.1 9 </dev/null & sleep 0.2; kill $!"], deadline=soon(), check=False)
    left = [frame for frame in drain(guest.nic_fd("eth0")) if frame[22:24] == b"\x08\x00"]
    guest.set_link("eth0", up=True)
    again = gateway.reached(20.0)
    return {
        "before": before,
        "without": without,
        "left without": len(left),
        "again": again and gateway.answers(ECHOES, 20.0),
        "other": error(lambda: os.write(other, bytes(10 + 60))),
    }


def much_output(guest: Guest, _folder: Path) -> dict[str, Any]:
    """A program that has a megabyte to say to somebody who sleeps in between."""
    expected = "".join(f"{number}\n" for number in range(1, LINES + 1)).encode()
    with guest.spawn(["seq", "1", str(LINES)]) as program:
        time.sleep(QUIET_S)
        waits = program.poll() is None
        got = bytearray()
        while data := program.stdout.read(100_000):
            got += data
            time.sleep(0.02)
        return {"waits": waits, "whole": got == expected, "status": program.wait(soon()), "bytes": len(got)}


def complaints(guest: Guest, folder: Path) -> dict[str, Any]:
    """Standard error: of a command, and in a program's log."""
    expected = "".join(f"{number}\n" for number in range(1, 20_001)).encode()
    script = ["sh", "-c", "seq 1 20000 >&2; echo done"]
    ran = guest.run(script, deadline=soon())
    with guest.spawn(script, log=folder / "complaints") as program:
        said = program.stdout.read()
        program.wait(soon())
    return {
        "ran": ran.stderr == expected,
        "logged": (folder / "complaints").read_bytes() == expected,
        "said": said.decode(),
    }


def commands(guest: Guest, _folder: Path) -> dict[str, Any]:
    """One command after the other, some of them given up."""
    outcomes, began_s = [], time.monotonic()
    for number in range(COMMANDS):
        if number % 10 == 9:
            outcomes.append(error(lambda: guest.run(["sleep", "1000"], deadline=Deadline.after(0.02, "a sleeper"))))
        else:
            done = guest.run(["echo", str(number)], deadline=soon())
            outcomes.append("none" if done.stdout == b"%d\n" % number else repr(done))
    return {"outcomes": outcomes, "elapsed_s": time.monotonic() - began_s}


def crowded(guest: Guest, _folder: Path) -> dict[str, Any]:
    """Several threads use one guest at a time: commands, and what a program uses."""
    with guest.spawn(["cat"]) as program, ThreadPoolExecutor(THREADS) as users:

        def use(number: int) -> bool:
            program.usage()
            words = [str(number), "x" * 1000 * number]
            return guest.run(["echo", *words], deadline=soon()).stdout.decode().split() == words[: 1 + bool(number)]

        return {"right": list(users.map(use, range(4 * THREADS)))}


def large_files(guest: Guest, folder: Path) -> dict[str, Any]:
    """A megabyte in and out again."""
    content, given, taken = os.urandom(MEGABYTE), folder / "large", folder / "large taken"
    given.write_bytes(content)
    guest.put(given, "large")
    there = guest.run(["md5sum", "large"], deadline=soon()).stdout.split()[0].decode()
    guest.get("large", taken)
    return {"there": there == hashlib.md5(content).hexdigest(), "taken": taken.read_bytes() == content}


def stillness(guest: Guest, _folder: Path) -> dict[str, Any]:
    """A guest that counts and one that spins are paused and go on."""
    with guest.spawn(COUNT) as program, guest.spawn(SPIN):
        counted = _counted(program, lambda numbers: len(numbers) >= 3, 20.0)
        guest.pause()
        counted += _counted(program, lambda _numbers: False, QUIET_S)  # what was on its way
        used_s = host_cpu_s(guest)
        paused = _counted(program, lambda _numbers: False, QUIET_S)
        used_s = host_cpu_s(guest) - used_s
        guest.resume()
        counted += _counted(program, lambda numbers: len(numbers) >= 3, 20.0)
    return {"paused": paused, "cpu_s": used_s, "in order": counted == list(range(1, len(counted) + 1))}


def _counted(program: GuestProcess, enough: Callable[[list[int]], bool], patience_s: float) -> list[int]:
    """The numbers that a program says until there are enough, or for so long."""
    data, end_s = b"", time.monotonic() + patience_s
    while (left_s := end_s - time.monotonic()) > 0:
        if select.select([program.stdout], [], [], left_s)[0]:
            data += os.read(program.stdout.fileno(), 4096)
        if enough(data.split()):
            break
    return [int(word) for word in data.split()]


def host_cpu_s(guest: Guest) -> float:
    """CPU time of the host's processes that make up a guest."""
    total = 0
    for pid in guest.host_pids():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")
