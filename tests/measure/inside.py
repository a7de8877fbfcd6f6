"""Measurements inside a lab: functions of (argument, emit)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostemuError
from hostemu.guests import backend
from hostemu.guests.fake import FakeBackend, Faults
from hostemu.lab import NetNamespace
from hostemu.measure import number_of_guests
from hostemu.measure.bench import Bench
from hostemu.measure.block import Order, run_block
from hostemu.measure.definition import Campaign, Guests
from hostemu.measure.host_end import HostEnd
from hostemu.measure.plan import plan
from hostemu.measure.wiring import Wanted, joined
from hostemu.runner.farms import FARMS
from tests.measure.builders import campaign

Emit = Callable[[dict[str, Any]], None]


def blocks(argument: dict[str, Any], emit: Emit) -> None:
    """Every block of a campaign on some backends, one after the other."""
    made = Campaign.model_validate(argument["campaign"])
    for number, block in enumerate(plan(made, argument["backends"])):
        run_block(Order(made, block, Path(argument["folder"], str(number))), emit, FARMS)


def wirings(folder: str, _emit: Emit) -> dict[str, Any]:
    """Both directions of every wiring: who answers to a ping, who can connect, with an own prefix, too."""
    seen = {}
    for name in ("direct", "gine"):
        bench = Bench(backend("netns"), dict(campaign().figures())["boot"], {"wiring": name}, Path(folder, name))
        with joined(bench, Wanted(32 << 20, prefix="10.9.0.0/24")) as pair:
            answering = pair.host.answering(["10.0.0.2", "10.9.0.7", "10.0.0.99"], Deadline.after(1.5, "echoes"))
            with pair.guest.spawn(["sleep", "100"]):
                seen[name] = [sorted(answering), pair.host.connects("10.0.0.2", 4)]
    return seen


def host_ends(folder: str, _emit: Emit) -> dict[str, Any]:
    """What the host's side says of servers: one that listens, one that ends, one that does not exist."""
    soon = Deadline.after(10, "a server")
    with NetNamespace() as namespace:
        host = HostEnd(namespace, "127.0.0.1", Path(folder))
        script = "import socket, sys; s = socket.create_server(('127.0.0.1', 4321)); sys.stdin.read()"
        with host.spawn(["python3", "-c", script]) as server:
            host.wait_listening(server, 4321, soon)
            connects = [host.connects("127.0.0.1", 4321), host.connects("127.0.0.1", 4322)]
        before = host.datagrams()
        with host.spawn(["python3", "-c", _DATAGRAMS]) as sender:
            sender.wait(soon)
        return {
            "connects": connects,
            "datagrams": host.datagrams() - before,
            "ended": _said(lambda: host.wait_listening(_ended(host, soon), 4321, soon)),
            "absent": _said(lambda: host.spawn(["no-such-program"])),
        }


_DATAGRAMS = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for k in range(7):
    sock.sendto(b"x", ("127.0.0.1", 9))
"""


def _ended(host: HostEnd, soon: Deadline) -> Any:
    process = host.spawn(["true"])
    process.wait(soon)
    return process


def _said(function: Callable[[], object]) -> str:
    try:
        function()
    except HostemuError as error:
        return error.message
    return "no error"


def faulty_ramp(folder: str, _emit: Emit) -> dict[str, Any]:
    """A ramp of fake guests, the sixth of which does not start; nobody answers to pings."""
    number_of_guests.ECHO_S = 0.5
    settings = Guests.model_validate(
        {"repeats": 1, "timeout": "30 s", "memory": "32 MiB", "budgets": ["2 GiB"], "at_a_time": 2}
    )
    fake = FakeBackend(Faults(fails_to_start=frozenset({"guest-5"})))
    notes: list[str] = []
    bench = Bench(fake, settings, {"budget": "2 GiB"}, Path(folder), note=notes.append)
    with number_of_guests.opened(bench) as once:
        sample = once()
    return {"values": dict(sample.values), "raw": dict(sample.raw), "notes": notes}
