"""Folders to work in, which nobody needs afterwards: removed in the end, or by the next one after a kill.

Each is locked by who works in it (flock(2)).  The lock ends with the process, however that ends, so that what a
killed one has left can be told from what somebody works in.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".work-"
SWEEP_LOCK = ".sweep.lock"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else holds the lock of this file meanwhile.  OSError when it cannot be written."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def work_folder(parent: Path) -> Iterator[tuple[Path, int]]:
    """A new folder below `parent`, and the descriptor that locks it, for children that are to hold it, too.

    OSError when there can be none.
    """
    with locked(parent / SWEEP_LOCK):
        work = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        descriptor = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield work, descriptor
    finally:
        _remove(work)
        os.close(descriptor)


def sweep(parent: Path) -> None:
    """Remove what processes that were killed have left below `parent`, and nothing that anyone still works in."""
    with locked(parent / SWEEP_LOCK):
        for work in parent.glob(f"{PREFIX}*"):
            if not _in_use(work):
                _remove(work)


def _in_use(work: Path) -> bool:
    try:
        descriptor = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # its owner has just removed it
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _remove(folder: Path) -> None:
    """Children that are just being killed may still write: what they add is left to the next sweep."""
    shutil.rmtree(folder, ignore_errors=True)
