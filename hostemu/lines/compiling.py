"""Compiled functions.

A `compilable` one has one body for two worlds: plain Python here, machine code where compiled code calls it.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import njit
from numba.extending import overload, register_jitable

from hostemu.base import streams
from hostemu.base.cache import cache_dir
from hostemu.base.errors import HostError

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

_GOLDEN = np.uint64(streams.GOLDEN)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_11, _27, _30, _31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)


def compilable(function: AnyFunction) -> AnyFunction:
    """Mark `function` as callable from compiled code; from Python it stays the plain function it is."""
    return cast(AnyFunction, register_jitable(no_cfunc_wrapper=True)(function))


def compiled(function: AnyFunction) -> AnyFunction:
    """The function in machine code, kept in the user's cache between runs; other threads run while it does.

    What it calls is of its own package, or of this one.
    """
    return compiled_with()(function)


def compiled_with(*packages: ModuleType) -> Callable[[AnyFunction], AnyFunction]:
    """As `compiled`, for a function that calls functions of these packages, too."""

    def compile_it(function: AnyFunction) -> AnyFunction:
        own = Path(inspect.getfile(function)).parent
        folder = _code_folder(own, *(Path(inspect.getfile(package)).parent for package in packages))
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = folder
        try:
            return cast(AnyFunction, njit(nogil=True, cache=bool(folder))(function))
        finally:
            numba.config.CACHE_DIR = before

    return compile_it


@cache
def _code_folder(*packages: Path) -> str:
    """Where machine code of these packages is kept; "" where nothing can be.

    Another folder for other sources: numba looks at a function's own file only, not at those of what it calls.
    The user may choose where, by NUMBA_CACHE_DIR.
    """
    files = [path for package in (*packages, Path(__file__).parent) for path in sorted(package.glob("*.py"))]
    files.append(Path(streams.__file__))
    digest = hashlib.blake2b(b"\0".join(path.read_bytes() for path in files), digest_size=8).hexdigest()
    if numba.config.CACHE_DIR:
        return str(Path(numba.config.CACHE_DIR) / digest)
    try:
        return str(cache_dir("compiled", digest))
    except HostError:
        return ""


def _draw_uniform(key: Any, counter: Any) -> Callable[..., Any]:
    def draw(key: Any, counter: Any) -> Any:
        word = np.uint64(key) + np.uint64(counter + 1) * _GOLDEN
        word = (word ^ (word >> _30)) * _MIX_1
        word = (word ^ (word >> _27)) * _MIX_2
        word = word ^ (word >> _31)
        return np.float64(word >> _11) * 2.0**-53

    return draw


# Compiled callers of streams.draw_uniform get this twin in wrapping 64-bit arithmetic.
overload(streams.draw_uniform)(_draw_uniform)
