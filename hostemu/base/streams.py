"""Named random streams.

A stream is a pure function from a counter to a number, keyed by (seed, name).  The same draw is therefore the
same number in a real program, in the simulator and in compiled code, in any order and without any state to share.
The generator is SplitMix64's output function over a Weyl sequence (Steele, Lea, Flood, OOPSLA 2014).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

MASK64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix64(value: int) -> int:
    """SplitMix64's finaliser: a bijection of 64-bit integers."""
    value &= MASK64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK64
    return value ^ (value >> 31)


def draw_u64(key: int, counter: int) -> int:
    """Draw number `counter` of the stream `key`: an integer in [0, 2**64)."""
    return mix64(key + (counter + 1) * GOLDEN)


def draw_uniform(key: int, counter: int) -> float:
    """Draw number `counter` of the stream `key`: a float in [0, 1), 53 bits."""
    return (draw_u64(key, counter) >> 11) * 2.0**-53


@dataclass(frozen=True)
class Stream:
    """One named stream; `key` is its 64-bit identity."""

    key: int

    @staticmethod
    def named(seed: int, *name: str | int) -> Stream:
        """The stream of a component, e.g. Stream.named(seed, "terminal", "off_time")."""
        text = "\x1f".join([str(seed), *map(str, name)])
        return Stream(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))

    def u64(self, counter: int) -> int:
        """An integer in [0, 2**64)."""
        return draw_u64(self.key, counter)

    def uniform(self, counter: int) -> float:
        """A float in [0, 1)."""
        return draw_uniform(self.key, counter)

    def between(self, counter: int, low: int, high: int) -> int:
        """An integer in [low, high], uniform to within 2**-53 of the width."""
        return low + int(draw_uniform(self.key, counter) * (high - low + 1))

    def octets(self, counter: int, length: int) -> bytes:
        """`length` bytes; distinct counters give independent strings."""
        key = draw_u64(self.key, counter)
        words = (draw_u64(key, index) for index in range((length + 7) // 8))
        return b"".join(word.to_bytes(8, "little") for word in words)[:length]
