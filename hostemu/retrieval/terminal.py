"""What all real terminals have in common: address, keys, information, power; and what their farm counts."""

from __future__ import annotations

import errno
import os
import socket
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field

from hostemu.protocol.auth import Credentials, Scheme
from hostemu.protocol.events import Event, Refused, Served
from hostemu.protocol.power import PowerCycle
from hostemu.protocol.reasons import Reason
from hostemu.protocol.terminal import NonceMemory, TerminalSession
from hostemu.protocol.wire import NONCE_BYTES
from hostemu.retrieval.config import Home
from hostemu.retrieval.reactor import Reactor
from hostemu.retrieval.sockets import reset

OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass
class FarmState:
    """What all terminals of a farm share, and what they count.

    calls, calls_by_reason: that terminals have made, and how they ended, Reason.NONE being success.
    """

    reactor: Reactor
    scheme: Scheme
    port: int
    is_silent_when_off: bool
    peer_timeout_ns: int
    home: Home | None = None
    served: int = 0
    connections: int = 0
    calls: int = 0
    calls_by_reason: Counter[Reason] = field(default_factory=Counter)
    refusals: Counter[Reason] = field(default_factory=Counter)
    spare_fd: int = -1

    def count(self, event: Event) -> None:
        """Count what an exchange came to."""
        match event:
            case Served():
                self.served += 1
            case Refused(reason):
                self.refusals[reason] += 1

    def reserve_fd(self) -> None:
        """Keep one descriptor back, to be able to turn callers away when there are no more."""
        self.spare_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def release_fd(self) -> None:
        """Give the spare descriptor up."""
        if self.spare_fd >= 0:
            os.close(self.spare_fd)
            self.spare_fd = -1

    def turn_away(self, listener: socket.socket) -> None:
        """Reset the next caller, for whom there is no descriptor; else it would be announced for ever."""
        self.release_fd()
        try:
            reset(listener.accept()[0])
            self.refusals[Reason.LOCAL] += 1
            self.reserve_fd()
        except OSError:
            return  # the caller has gone, or all descriptors are in use elsewhere: the next call tries again


@dataclass(frozen=True)
class Identity:
    """Who a terminal is, its number in the fleet, its address, and what it hands over."""

    index: int
    address: str
    credentials: Credentials
    information: bytes


class Terminal(ABC):
    """One terminal.  The farm calls `switch` with the first state, and then at every change."""

    def __init__(self, farm: FarmState, identity: Identity, power: PowerCycle) -> None:
        self.farm = farm
        self.address = identity.address
        self.power = power
        self.is_on = False
        self._identity = identity
        self._memory = NonceMemory()

    @abstractmethod
    def switch(self, is_on: bool) -> None:
        """Be on or off from now on; raises OSError when the address cannot be had."""

    @abstractmethod
    def expire(self, now_ns: int) -> None:
        """Forget what peers have left unfinished."""

    @abstractmethod
    def close(self) -> None:
        """Close every socket."""

    def session(self) -> TerminalSession:
        """This side of a new exchange."""
        nonce = os.urandom(NONCE_BYTES)
        who = self._identity
        return TerminalSession(who.credentials, self.farm.scheme, who.information, self._memory, nonce)


def information_of(device_id: int, size_bytes: int) -> bytes:
    """What device `device_id` hands over: a readable header, then filler up to `size_bytes`."""
    header = f"device {device_id}: information of {size_bytes} bytes\n".encode()
    filler = b"0123456789abcdefghijklmnopqrstuvwxyz\n"
    return (header + filler * (size_bytes // len(filler) + 1))[:size_bytes]
