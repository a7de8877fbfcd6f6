"""A hand-driven peer: sends what a test wants, on blocking sockets with time-outs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from hostemu.protocol.auth import SCHEMES, derive_key
from hostemu.protocol.wire import (
    NONCE_BYTES,
    Challenge,
    FrameReader,
    Hello,
    Information,
    Message,
    Request,
    decode_datagram,
    encode,
)
from tests.retrieval.harness import PORT, SHARED_SECRET

SCHEME = SCHEMES["hmac-sha256"]
TIMEOUT_S = 5.0


class Peer:
    """One socket that is connected to a program."""

    def __init__(
        self, kind: socket.SocketKind, address: tuple[str, int], timeout_s: float, buffer_bytes: int | None
    ) -> None:
        self.sock = socket.socket(socket.AF_INET, kind)
        self._reader = FrameReader()
        self._messages: list[Message] = []
        try:
            if buffer_bytes is not None:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            self.sock.settimeout(timeout_s)
            self.sock.connect(address)
        except BaseException:
            self.sock.close()
            raise

    def send(self, message: Message) -> None:
        self.sock.sendall(encode(message))

    def receive(self) -> Message | None:
        """The next message; None at the end of the stream."""
        if self.sock.type == socket.SOCK_DGRAM:
            return decode_datagram(self.sock.recv(1 << 16))
        while not self._messages:
            data = self.sock.recv(1 << 16)
            if not data:
                return None
            self._messages = self._reader.feed(data)
        return self._messages.pop(0)

    def is_dropped(self) -> bool:
        """Whether the connection has been closed or reset from the other side; waits for it."""
        try:
            return self.receive() is None
        except ConnectionResetError:
            return True

    def retrieve(self, device_id: int, isp_nonce: bytes) -> bytes:
        """One whole exchange as an ISP server does it; the sealed information."""
        self.send(Hello(device_id, isp_nonce))
        self.send(self.request(device_id, isp_nonce))
        information = self.receive()
        assert isinstance(information, Information)
        return information.sealed

    def request(self, device_id: int, isp_nonce: bytes, secret: bytes = SHARED_SECRET) -> Request:
        """The answer to the challenge that comes next."""
        challenge = self.receive()
        assert isinstance(challenge, Challenge)
        key = derive_key(secret, "shared", device_id)
        return Request(SCHEME.prove_isp(key, device_id, isp_nonce, challenge.terminal_nonce))


@contextmanager
def calling(
    address: str,
    *,
    port: int = PORT,
    kind: socket.SocketKind = socket.SOCK_STREAM,
    timeout_s: float = TIMEOUT_S,
    buffer_bytes: int | None = None,
) -> Iterator[Peer]:
    """A peer that is connected; raises what connecting raised.  buffer_bytes: of its receive buffer."""
    peer = Peer(kind, (address, port), timeout_s, buffer_bytes)
    with peer.sock:
        yield peer


def nonce(number: int) -> bytes:
    """A challenge of the ISP server's; distinct numbers give distinct ones."""
    return number.to_bytes(NONCE_BYTES, "big")
