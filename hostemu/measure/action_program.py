"""The program that figure `actions` runs in a guest: does one action again and again for as long as it is told.

A line on its standard input is an action's name and seconds; it answers with how often it did that.  Its own clocks
are not asked for more than when to stop: CPU time is read on the host.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hostemu.protocol.auth import SCHEMES, Scheme, derive_key, equal
from hostemu.protocol.wire import NONCE_BYTES

INFORMATION = bytes(200)
SECRET = bytes(32)
DEVICE_ID = 1
LOOPBACK = "127.0.0.1"
AT_A_TIME = 20
"""Actions between looks at the clock."""

Action = Callable[[], object]


@contextmanager
def authentication(name: str) -> Iterator[Action]:
    """Everything that ISP server, terminal and center compute for one exchange under a scheme, its keys at hand.

    The same functions, in the same order, as protocol/exchange, protocol/terminal and protocol/command call; only the
    center derives a key each time.
    """
    scheme: Scheme = SCHEMES[name]
    shared, own = (derive_key(SECRET, role, DEVICE_ID) for role in ("shared", "own"))
    ours, theirs = bytes(NONCE_BYTES), bytes(range(NONCE_BYTES))

    def exchange() -> None:
        nonces = (DEVICE_ID, ours, theirs)
        proof = scheme.prove_terminal(shared, *nonces)
        is_terminal = equal(proof, scheme.prove_terminal(shared, *nonces))
        is_isp = equal(scheme.prove_isp(shared, *nonces), scheme.prove_isp(shared, *nonces))
        sealed = scheme.seal(own, DEVICE_ID, ours, INFORMATION)
        proof = scheme.prove_information(shared, ours, theirs, sealed)
        is_whole = equal(proof, scheme.prove_information(shared, ours, theirs, sealed))
        opened = scheme.unseal(derive_key(SECRET, "own", DEVICE_ID), DEVICE_ID, ours, sealed)
        if not (is_terminal and is_isp and is_whole and opened == INFORMATION):
            raise ValueError(f"scheme {name} does not know its own proofs")

    yield exchange


@contextmanager
def connection() -> Iterator[Action]:
    """One TCP connection over the loopback: opened, taken, closed by both sides."""
    with socket.create_server((LOOPBACK, 0)) as server:
        address = server.getsockname()

        def connect() -> None:
            client = socket.create_connection(address)
            taken, _ = server.accept()
            client.close()
            taken.close()

        yield connect


ACTIONS = {
    "authentication": lambda: authentication("hmac-sha256"),
    "authentication_xor": lambda: authentication("xor"),
    "connection": connection,
}


def repeat(action: Action, seconds: float) -> int:
    """How often it was done, at least for so long."""
    ends_s, count = time.monotonic() + seconds, 0
    while time.monotonic() < ends_s:
        for _ in range(AT_A_TIME):
            action()
        count += AT_A_TIME
    return count


def main() -> None:
    """Answer every line, until there are no more."""
    for line in sys.stdin:
        name, seconds = line.split()
        with ACTIONS[name]() as action:
            action()
            print(repeat(action, float(seconds)), flush=True)


if __name__ == "__main__":
    main()
