"""QEMU's machine protocol, for callers that do not use asyncio: one loop, in a thread, for all monitors."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

from qemu.qmp import QMPClient, QMPError

from hostemu.base.deadline import Deadline
from hostemu.base.errors import GuestError

T = TypeVar("T")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="qmp", daemon=True).start()
    return loop


class Monitor:
    """The monitor of one QEMU process; GuestError when it refuses or does not answer in time."""

    def __init__(self, sock: socket.socket, guest: str) -> None:
        """sock: a connected socket whose other end QEMU has; it becomes the monitor's.  Connects when first used."""
        self._sock = sock
        self._guest = guest
        self._client: QMPClient | None = None

    def execute(self, command: str, deadline: Deadline, **arguments: Any) -> Any:
        """Carry out a command; returns its result."""
        return self._call(lambda: self._execute(command, arguments), command, deadline)

    def give_fd(self, fd: int, name: str, deadline: Deadline) -> None:
        """Hand QEMU a copy of a descriptor, under a name that later commands use."""
        self._call(lambda: self._give_fd(fd, name), "getfd", deadline)

    def close(self) -> None:
        """Hang up; harmless again."""
        if self._client is not None:
            deadline = Deadline.after(1.0, "the monitor to hang up")
            with suppress(GuestError):
                self._call(self._client.disconnect, "disconnect", deadline)
            self._client = None
        self._sock.close()

    async def _connected(self) -> QMPClient:
        if self._client is None:
            client = QMPClient(self._guest)
            await client.connect(self._sock)
            self._client = client
        return self._client

    async def _execute(self, command: str, arguments: dict[str, Any]) -> Any:
        client = await self._connected()
        return await client.execute(command, arguments or None)

    async def _give_fd(self, fd: int, name: str) -> None:
        client = await self._connected()
        client.send_fd_scm(fd)
        await client.execute("getfd", {"fdname": name})

    def _call(self, function: Callable[[], Coroutine[Any, Any, T]], what: str, deadline: Deadline) -> T:
        future = asyncio.run_coroutine_threadsafe(function(), _loop())
        try:
            return future.result(deadline.left_s())
        except (QMPError, OSError, EOFError) as error:
            future.cancel()
            silence = "no answer in time" if isinstance(error, TimeoutError) else "it has hung up"
            raise GuestError(
                f"QEMU of guest {self._guest} does not carry out {what}", found=str(error) or silence
            ) from error
