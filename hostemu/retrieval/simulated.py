"""Terminals without a host: a farm that lives in the emulator (hostemu/retrieval/c/simulated/simulated.h)."""

from __future__ import annotations

import ctypes
import json
from functools import cache
from types import TracebackType
from typing import Any

from hostemu.base.errors import InputError
from hostemu.gine import Simulated
from hostemu.gine.network import parse_mac
from hostemu.guests.toolchain import compiled
from hostemu.retrieval.config import FarmConfig
from hostemu.retrieval.native import SOURCES

_SHARED = (
    "address",
    "auth",
    "config",
    "fields",
    "json",
    "power",
    "reasons",
    "session",
    "sha256",
    "streams",
    "text",
    "wire",
)
_KIND = ("-shared", "-fPIC", "-nostdlib", "-fno-stack-protector", "-fvisibility=hidden")
_COMPLAINT_BYTES = 4096
_RESULT_BYTES = 1 << 16


@cache
def _library() -> ctypes.CDLL:
    folder = SOURCES / "simulated"
    sources = [*sorted(folder.glob("*.c")), *(SOURCES / f"{name}.c" for name in _SHARED)]
    headers = [*sorted(folder.glob("*.h")), *sorted(SOURCES.glob("*.h"))]
    library = ctypes.CDLL(str(compiled("simulated", sources, headers, _KIND)))
    library.simulated_open.restype = ctypes.c_void_p
    library.simulated_counters.restype = ctypes.c_uint64
    return library


class SimulatedFarm:
    """A farm of terminals behind a port of the emulator's, in place of a guest.  A context manager.

    config: as of the farm program.  mac: of the port's host; gateway_mac: where its frames go.
    Raises InputError for terminals that cannot be simulated so, HostError without a compiler.
    """

    def __init__(self, config: FarmConfig, mac: str, gateway_mac: str) -> None:
        text = config.to_json().encode()
        complaint = ctypes.create_string_buffer(_COMPLAINT_BYTES)
        macs = (ctypes.c_uint64(parse_mac(mac)), ctypes.c_uint64(parse_mac(gateway_mac)))
        size = ctypes.c_uint64(len(text))
        handle = _library().simulated_open(text, size, *macs, complaint, ctypes.c_uint64(len(complaint)))
        if handle is None:
            first, *rest = complaint.value.decode(errors="replace").splitlines()
            raise InputError(first, found=" ".join(line.strip() for line in rest))
        self._handle: int | None = handle

    def __enter__(self) -> SimulatedFarm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free its memory; no emulator may still have it."""
        if self._handle is not None:
            _library().simulated_close(ctypes.c_void_p(self._handle))
            self._handle = None

    @property
    def host(self) -> Simulated:
        """What the emulator is to know of it."""
        assert self._handle is not None
        call = ctypes.cast(_library().simulated_call, ctypes.c_void_p).value
        assert call is not None
        return Simulated(call, self._handle)

    def start(self, at_ns: int) -> None:
        """Time 0 of all power cycles, of the clock by which the emulator calls it."""
        _library().simulated_start(ctypes.c_void_p(self._handle), ctypes.c_int64(at_ns))

    def result(self, now_ns: int) -> dict[str, Any]:
        """What the farm program says at its end; now_ns: when it is asked."""
        text = ctypes.create_string_buffer(_RESULT_BYTES)
        room = ctypes.c_uint64(len(text))
        _library().simulated_counters(ctypes.c_void_p(self._handle), ctypes.c_int64(now_ns), text, room)
        found: dict[str, Any] = json.loads(text.value)
        return found
