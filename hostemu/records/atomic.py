"""Files that are replaced whole or not at all, whatever happens to the writer or the disk."""

from __future__ import annotations

import fcntl
import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_SUFFIX = ".part"


def replace_file(path: Path, data: bytes) -> None:
    """Make `data` the content of `path`, on disk when this returns; OSError leaves what was there.

    Drafts that killed writers have left beside it are removed.
    """
    _remove_stale_drafts(path)
    with _new_draft(path) as (draft, file):
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        draft.replace(path)
    _sync_folder(path.parent)


@contextmanager
def _new_draft(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A file beside `path`, locked as long as its writer lives; removed unless it has been renamed."""
    while True:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_SUFFIX}")
        with draft.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink == 0:
                continue  # taken for stale by another writer before it was locked
            try:
                yield draft, file
            finally:
                draft.unlink(missing_ok=True)
            return


def _remove_stale_drafts(path: Path) -> None:
    """A lock ends with its process; a process number would mean nothing in another process namespace."""
    for draft in path.parent.glob(f".{glob.escape(path.name)}.*{_SUFFIX}"):
        with suppress(OSError), draft.open("rb") as file:  # OSError: it is in use, or has just gone
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
