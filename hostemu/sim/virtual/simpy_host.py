"""SimPy processes as a host among guests of a calendar: they are handed frames, and send some, exactly in time.

The environment behind such a host is the calendar's: it is taken on to the moment of each frame that comes, and to
each of its own events, and never further.  It counts ns.
"""

from __future__ import annotations

import ctypes
import math
import struct

from simpy import Environment, Store

from hostemu.base.errors import InputError
from hostemu.gine import Simulated
from hostemu.gine.frames import VNET_BYTES
from hostemu.gine.world import NEVER_NS, SAID_BYTES

_CALL = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p
)


class SimpyHost:
    """A host that is played by the processes of `env`, which is at 0 and of this host alone.

    received: frames that have come (bytes from the Ethernet header on), for a process to get.
    What a process raises, the calendar's `play` raises; the host then says nothing more.
    """

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.received = Store(env)
        self._failure: BaseException | None = None
        self._said: list[bytes] = []
        self._function = _CALL(self._called)

    @property
    def host(self) -> Simulated:
        """For Network.simulated; valid as long as this object."""
        address = ctypes.cast(self._function, ctypes.c_void_p).value
        assert address is not None
        return Simulated(address, 0, self._check)

    def send(self, frame: bytes) -> None:
        """Send a frame, from its Ethernet header on, at the environment's present moment."""
        self._said.append(frame)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _called(self, _handle: int, now_ns: int, frame: int | None, size: int, said: int) -> int:
        if self._failure is None:
            try:
                self._take_on(now_ns)
                if frame:
                    self.received.put(ctypes.string_at(frame, size)[VNET_BYTES:])
                    self._take_on(now_ns)
            except BaseException as error:  # it would end in compiled code
                self._failure = error
        next_ns = NEVER_NS if self._failure or math.isinf(self.env.peek()) else int(self.env.peek())
        data = struct.pack("<q", next_ns)
        for each in self._said:
            row = bytes(VNET_BYTES) + each
            data += struct.pack("<q", len(row)) + row.ljust(len(row) + 7 & ~7, b"\0")
        self._said.clear()
        if len(data) > SAID_BYTES:
            self._failure = InputError(
                "a SimPy host sends too much at one moment", expected=f"{SAID_BYTES} bytes", found=str(len(data))
            )
            data = struct.pack("<q", NEVER_NS)
        ctypes.memmove(said, data, len(data))
        return len(data)

    def _take_on(self, now_ns: int) -> None:
        """Play everything up to a moment, and what happens at it."""
        if now_ns > self.env.now:
            self.env.run(until=now_ns)
        while self.env.peek() <= now_ns:
            self.env.step()
