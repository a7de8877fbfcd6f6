"""A guest's agent played by the test, on the other end of a channel."""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from hostemu.guests.channel import VERSION, Channel, FrameKind, FrameSplitter, frame

PATIENCE_S = 10.0
RELEASE = "6.1.0-played"

Frame = tuple[FrameKind, int, bytes]


class PlayedAgent:
    """Hears what the host says, frame by frame, and says what the test wants."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_S)
        self.sock = sock
        self._splitter = FrameSplitter()
        self._heard: deque[Frame] = deque()

    def say(self, kind: FrameKind, stream: int = 0, payload: bytes = b"") -> None:
        """One frame to the host."""
        self.sock.sendall(frame(kind, stream, payload))

    def ready(self) -> None:
        """The agent's first word."""
        self.say(FrameKind.READY, 0, struct.pack("<I", VERSION) + RELEASE.encode())

    def hear(self, kind: FrameKind) -> tuple[int, bytes]:
        """Stream and payload of the host's next frame, which must be of this kind."""
        while not self._heard:
            data = self.sock.recv(1 << 16)
            assert data, "the host has hung up"
            self._heard += self._splitter.feed(data)
        heard, stream, payload = self._heard.popleft()
        assert heard is kind, f"the host said {heard.name}, not {kind.name}"
        return stream, payload

    def hears_nothing(self, seconds: float = 0.05) -> bool:
        """Whether the host says nothing for so long."""
        self.sock.settimeout(seconds)
        try:
            return not self._heard and not self.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(PATIENCE_S)

    def answer(self, payload: bytes, kind: FrameKind) -> bytes:
        """Wait for a request of this kind and answer it; returns what was asked."""
        stream, asked = self.hear(kind)
        self.say(FrameKind.ANSWER, stream, payload)
        return asked


@contextmanager
def talking(line_bytes: int | None = None) -> Iterator[tuple[Channel, PlayedAgent]]:
    """A channel and the agent at its other end."""
    near, far = socket.socketpair()
    with far:
        channel = Channel(near, "played", line_bytes)
        try:
            yield channel, PlayedAgent(far)
        finally:
            channel.close()
