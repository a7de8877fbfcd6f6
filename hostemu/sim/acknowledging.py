"""When a TCP receiver acknowledges: at once, with its own next data, or after a pause.

As Linux does it (net/ipv4/tcp_input.c, tcp_output.c): a new connection acknowledges at once ("quick"); whoever has
answered data with data is taken to be interactive, and waits for its next answer to carry the acknowledgement.
"""

from __future__ import annotations

DELAY_NS = 40_000_000  # TCP_DELACK_MIN, TCP_ATO_MIN
QUICK_ACKNOWLEDGEMENTS = 16  # TCP_MAX_QUICKACKS
FIRST_UNIT_BYTES = 536  # TCP_MSS_DEFAULT: what a segment is taken to hold until larger ones have come


class Acknowledging:
    """The rule, for one end of a connection."""

    __slots__ = ("_is_interactive", "_owed_bytes", "_quick_left", "_received_at_ns", "_unit_bytes")

    def __init__(self) -> None:
        self._quick_left = QUICK_ACKNOWLEDGEMENTS
        self._is_interactive = False
        self._received_at_ns = -DELAY_NS
        self._owed_bytes = 0
        self._unit_bytes = FIRST_UNIT_BYTES

    def received(self, now_ns: int, size_bytes: int) -> bool:
        """Data has come, in order; whether to acknowledge at once, else within DELAY_NS."""
        self._received_at_ns = now_ns
        self._owed_bytes += size_bytes
        self._unit_bytes = max(self._unit_bytes, size_bytes)
        return (self._quick_left > 0 and not self._is_interactive) or self._owed_bytes > self._unit_bytes

    def sent(self, now_ns: int, *, with_data: bool) -> None:
        """A segment has been sent; it carried an acknowledgement."""
        self._owed_bytes = 0
        self._quick_left = max(0, self._quick_left - 1)
        if with_data and now_ns - self._received_at_ns < DELAY_NS:
            self._is_interactive = True

    def waited_in_vain(self) -> None:
        """DELAY_NS have passed without data to send: not interactive after all."""
        self._is_interactive = False
