"""The calls that the compiled engine makes.  Names, not addresses, so that compiled code can be cached."""

from __future__ import annotations

import platform

from numba import types

_int = types.int32
_long = types.int64
_size = types.uint64
_pointer = types.uintp

read = types.ExternalFunction("read", _long(_int, _pointer, _size))
write = types.ExternalFunction("write", _long(_int, _pointer, _size))
memcpy = types.ExternalFunction("memcpy", _pointer(_pointer, _pointer, _size))
ppoll = types.ExternalFunction("ppoll", _int(_pointer, _size, _pointer, _pointer))
epoll_wait = types.ExternalFunction("epoll_wait", _int(_int, _pointer, _int, _int))
epoll_ctl = types.ExternalFunction("epoll_ctl", _int(_int, _int, _int, _pointer))
clock_gettime = types.ExternalFunction("clock_gettime", _int(_int, _pointer))
syscall = types.ExternalFunction("syscall", _long(_long, _pointer, _long, _long, _pointer))
errno_location = types.ExternalFunction("__errno_location", types.CPointer(_int)())

CLOCK_MONOTONIC = 1
EPOLL_CTL_DEL = 2
EPOLLIN = 1
SYS_FUTEX = 202 if platform.machine() == "x86_64" else 98
FUTEX_WAIT, FUTEX_WAKE = range(2)

# struct epoll_event is packed on x86-64 only (uapi/linux/eventpoll.h); in 32-bit words:
EPOLL_EVENT_WORDS = 3 if platform.machine() == "x86_64" else 4
EPOLL_DATA_WORD = 1 if platform.machine() == "x86_64" else 2
