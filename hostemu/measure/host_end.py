"""The host's side of a measurement: the namespace in which servers run that guests talk to."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.base.errors import RunError
from hostemu.guests.processes import NamespaceProcess
from hostemu.lab import NetNamespace
from hostemu.measure.echo import answering

_LISTENING, _BOUND = "0A", "07"  # states of TCP and UDP sockets in proc_pid_net(5), from include/net/tcp_states.h
_ESTABLISHED = "01"
_ARRIVED = ("InDatagrams", "NoPorts", "InErrors")
CONNECT_S = 2.0


class HostEnd:
    """Where the host's programs run.  address: what guests reach it by.  folder: for programs' logs."""

    def __init__(self, namespace: NetNamespace, address: str, folder: Path) -> None:
        self.namespace = namespace
        self.address = address
        self._folder = folder

    def spawn(self, argv: Sequence[str]) -> NamespaceProcess:
        """Start a program; its standard error goes to a file.  RunError when there is no such program."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            return NamespaceProcess(self.namespace, argv, None, self._folder / f"{argv[0]}.log", self._folder)
        except OSError as error:
            raise RunError(f"the host cannot start {argv[0]}", found=str(error)) from error

    def wait_listening(self, server: NamespaceProcess, port: int, deadline: Deadline, protocol: str = "tcp") -> None:
        """Wait until a server takes connections (or, for "udp", datagrams); RunError when it ends meanwhile."""
        state = _LISTENING if protocol == "tcp" else _BOUND

        def ready() -> bool:
            if server.poll() is not None:
                raise RunError(f"the server on port {port} has ended", expected="a running server")
            return port in _ports(server, protocol, state)

        deadline.wait_until(ready)

    def wait_idle(self, server: NamespaceProcess, port: int, deadline: Deadline) -> None:
        """Wait until nobody is connected to a server any more."""
        deadline.wait_until(lambda: port not in _ports(server, "tcp", _ESTABLISHED))

    def datagrams(self) -> int:
        """UDP datagrams that have arrived so far, wanted or not; Udp in /proc/net/snmp (RFC 1213)."""
        return self.namespace.call(lambda: arrived_datagrams(Path("/proc/thread-self/net/snmp").read_text()))

    def connects(self, address: str, port: int) -> bool:
        """Whether a TCP connection to this address comes about."""

        def attempt() -> bool:
            try:
                with socket.create_connection((address, port), CONNECT_S):
                    return True
            except OSError:
                return False

        return self.namespace.call(attempt)

    def answering(self, addresses: Iterable[str], deadline: Deadline) -> set[str]:
        """Which of these addresses answer to an ICMP echo request in time."""
        sock = self.namespace.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
        with sock:
            return answering(sock, addresses, deadline)


def _ports(server: NamespaceProcess, protocol: str, state: str) -> set[int]:
    """Local ports of the namespace's sockets in this state."""
    found = set()
    for pid in server.pids()[:1]:
        for family in ("", "6"):
            path = Path(f"/proc/{pid}/net/{protocol}{family}")
            found |= ports_in_state(path.read_text(), state) if path.exists() else set()
    return found


def ports_in_state(text: str, state: str) -> set[int]:
    """Local ports of sockets in a state (two hexadecimal digits), from /proc/PID/net/tcp or udp."""
    rows = (line.split() for line in text.splitlines()[1:])
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == state}


def arrived_datagrams(text: str) -> int:
    """From /proc/PID/net/snmp: UDP datagrams that came in, whether or not a program took them."""
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Udp:"))
    counts = dict(zip(names, map(int, values), strict=True))
    return sum(counts[name] for name in _ARRIVED)
