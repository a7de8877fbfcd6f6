"""Mutual authentication of ISP server and terminal, and the terminal's seal over its information.

Each terminal shares a key with its ISP server and has a key of its own, which besides it only the center knows.
Two schemes:

xor           the thesis' (section 5.2): exclusive or over these keys.  A legacy model: whoever hears one exchange
              learns both keys.  It protects nothing and is here to be compared with.
hmac-sha256   proofs are HMAC-SHA256 (RFC 2104) over both nonces, the role and the device ID, so that none can be
              replayed, reflected or moved to another device; the seal is a MAC under the own key (it hides nothing).

`isp_nonce` and `terminal_nonce` are NONCE_BYTES of fresh randomness, made by the caller.
"""

from __future__ import annotations

import hashlib
import hmac
from abc import ABC, abstractmethod
from dataclasses import dataclass

KEY_BYTES = 16
TAG_BYTES = 16
"""HMAC-SHA256 truncated to 128 bits, as RFC 2104 section 5 allows."""


@dataclass(frozen=True)
class Credentials:
    """What a terminal knows: its ID, the key shared with its ISP server, the key of its own."""

    device_id: int
    shared_key: bytes
    own_key: bytes


def derive_key(secret: bytes, role: str, device_id: int) -> bytes:
    """A device's key, diversified from a fleet secret, so that servers need not store a key per device.

    role: "shared" (secret known to the ISP server) or "own" (secret known to the center).
    """
    text = b"hostemu key\0" + role.encode() + b"\0" + device_id.to_bytes(8, "big")
    return hmac.digest(secret, text, "sha256")[:KEY_BYTES]


class Scheme(ABC):
    """One way to authenticate; all methods are pure functions of their arguments."""

    name: str
    detects_replay: bool

    @abstractmethod
    def prove_terminal(self, key: bytes, device_id: int, isp_nonce: bytes, terminal_nonce: bytes) -> bytes:
        """The terminal's answer to the ISP server's challenge, under the shared key."""

    @abstractmethod
    def prove_isp(self, key: bytes, device_id: int, isp_nonce: bytes, terminal_nonce: bytes) -> bytes:
        """The ISP server's answer to the terminal's challenge, under the shared key."""

    @abstractmethod
    def prove_information(self, key: bytes, isp_nonce: bytes, terminal_nonce: bytes, sealed: bytes) -> bytes:
        """The terminal's proof over the sealed information, under the shared key."""

    @abstractmethod
    def prove_receipt(self, key: bytes, isp_nonce: bytes, terminal_nonce: bytes) -> bytes:
        """The ISP server's proof that it has the information, under the shared key."""

    @abstractmethod
    def seal(self, own_key: bytes, device_id: int, isp_nonce: bytes, information: bytes) -> bytes:
        """The information as only the center can check (and, with xor, read) it."""

    @abstractmethod
    def unseal(self, own_key: bytes, device_id: int, isp_nonce: bytes, sealed: bytes) -> bytes | None:
        """The information, or None when the seal is not of this key."""


def _repeat(key: bytes, length: int) -> bytes:
    return (key * (length // len(key) + 1))[:length]


def _xor(left: bytes, right: bytes) -> bytes:
    size = len(left)
    return (int.from_bytes(left, "big") ^ int.from_bytes(right[:size], "big")).to_bytes(size, "big")


class XorScheme(Scheme):
    """The thesis' scheme: the answer to a challenge is challenge XOR shared key; information XOR own key.

    The thesis gives no message formats; this is the simplest reading of its section 5.2.
    """

    name = "xor"
    detects_replay = False

    def prove_terminal(self, key: bytes, device_id: int, isp_nonce: bytes, terminal_nonce: bytes) -> bytes:
        return _xor(isp_nonce, _repeat(key, len(isp_nonce)))

    def prove_isp(self, key: bytes, device_id: int, isp_nonce: bytes, terminal_nonce: bytes) -> bytes:
        return _xor(terminal_nonce, _repeat(key, len(terminal_nonce)))

    def prove_information(self, key: bytes, isp_nonce: bytes, terminal_nonce: bytes, sealed: bytes) -> bytes:
        return b""

    def prove_receipt(self, key: bytes, isp_nonce: bytes, terminal_nonce: bytes) -> bytes:
        return b""

    def seal(self, own_key: bytes, device_id: int, isp_nonce: bytes, information: bytes) -> bytes:
        plain = device_id.to_bytes(8, "big") + information
        return _xor(plain, _repeat(own_key, len(plain)))

    def unseal(self, own_key: bytes, device_id: int, isp_nonce: bytes, sealed: bytes) -> bytes | None:
        plain = _xor(sealed, _repeat(own_key, len(sealed)))
        return plain[8:] if plain[:8] == device_id.to_bytes(8, "big") else None


class HmacScheme(Scheme):
    """HMAC-SHA256 challenge and response with fresh nonces from both sides."""

    name = "hmac-sha256"
    detects_replay = True

    @staticmethod
    def _tag(key: bytes, label: bytes, *parts: bytes) -> bytes:
        text = label + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(key, text, hashlib.sha256)[:TAG_BYTES]

    def prove_terminal(self, key: bytes, device_id: int, isp_nonce: bytes, terminal_nonce: bytes) -> bytes:
        return self._tag(key, b"terminal", device_id.to_bytes(8, "big"), isp_nonce, terminal_nonce)

    def prove_isp(self, key: bytes, device_id: int, isp_nonce: bytes, terminal_nonce: bytes) -> bytes:
        return self._tag(key, b"isp", device_id.to_bytes(8, "big"), isp_nonce, terminal_nonce)

    def prove_information(self, key: bytes, isp_nonce: bytes, terminal_nonce: bytes, sealed: bytes) -> bytes:
        return self._tag(key, b"information", isp_nonce, terminal_nonce, sealed)

    def prove_receipt(self, key: bytes, isp_nonce: bytes, terminal_nonce: bytes) -> bytes:
        return self._tag(key, b"receipt", isp_nonce, terminal_nonce)

    def seal(self, own_key: bytes, device_id: int, isp_nonce: bytes, information: bytes) -> bytes:
        tag = self._tag(own_key, b"seal", device_id.to_bytes(8, "big"), isp_nonce, information)
        return tag + information

    def unseal(self, own_key: bytes, device_id: int, isp_nonce: bytes, sealed: bytes) -> bytes | None:
        tag, information = sealed[:TAG_BYTES], sealed[TAG_BYTES:]
        expected = self._tag(own_key, b"seal", device_id.to_bytes(8, "big"), isp_nonce, information)
        return information if hmac.compare_digest(tag, expected) else None


SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (XorScheme(), HmacScheme())}


def equal(left: bytes, right: bytes) -> bool:
    """Compare two proofs in constant time."""
    return hmac.compare_digest(left, right)
