"""Where what is costly to make is kept between runs: kernels, images, compiled guest programs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hostemu.base.errors import HostError

VARIABLE = "HOSTEMU_CACHE"


def cache_dir(*parts: str) -> Path:
    """A folder of the user's cache, made if need be; HostError when it cannot be written.

    $HOSTEMU_CACHE, else hostemu in $XDG_CACHE_HOME, else in ~/.cache (XDG Base Directory Specification).
    """
    own = os.environ.get(VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(own).expanduser() if own else Path(base).expanduser() / "hostemu"
    folder = folder.joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def unwritable(folder: Path, error: OSError) -> HostError:
    """The error that says so, and what to do."""
    return HostError(
        f"cannot write in the cache folder {folder}",
        found=error.strerror or str(error),
        hint=f"set {VARIABLE} to a writable folder",
    )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A draft beside `path` that takes its place when the block ends well, and is removed otherwise.

    Two processes that make the same file at the same time do not disturb each other: the last one wins.
    HostError when the folder cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise unwritable(path.parent, error) from error
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
