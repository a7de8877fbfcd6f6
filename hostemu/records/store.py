"""Records as HDF5 files.

A file is written beside its name, flushed to disk and renamed over it: whatever happens, the name stands for the last
record that was finished.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hostemu.base.errors import InputError, RecordError
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.records.model import TABLES, RunRecord, Table

SCHEMA_VERSION = 1
FORMAT = "hostemu record"

_PLAIN = ("mode", "backend", "engine", "scenario_name", "scenario_text", "seed", "time_scale", "version")
_FACTS = (*_PLAIN, "started_at", "complete", "makespan_ns")
_AS_JSON = ("host", "verdict", "extra")
_ENUMS = {"outcome": Outcome, "reason": Reason}
_UNITS = {"_ns": "nanoseconds", "_s": "seconds", "_bytes": "bytes", "_frames": "frames"}
_COMPRESS_ROWS = 1000


def _unit(column: str) -> str:
    """The unit of a column, told from its name."""
    if column.startswith(("frames_", "bytes_")):
        return column.split("_")[0]
    if column in ("attempts", "count", "retrieved", "failed"):
        return "1"
    return next((unit for suffix, unit in _UNITS.items() if column.endswith(suffix)), "")


def _stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same with outcome and reason as HDF5 enumerations, so that other tools show names."""

    def column(name: str) -> Any:
        if name not in _ENUMS:
            return dtype.fields[name][0] if dtype.fields else dtype
        return h5py.enum_dtype({item.name: int(item) for item in _ENUMS[name]}, basetype="u1")

    return np.dtype([(name, column(name)) for name in dtype.names or ()])


def _write_table(file: h5py.File, name: str, table: Table) -> None:
    options = {"compression": "gzip", "shuffle": True} if len(table) >= _COMPRESS_ROWS else {}
    dataset = file.create_dataset(name, data=table.astype(_stored_dtype(table.dtype)), **options)
    dataset.attrs["units"] = json.dumps({column: _unit(column) for column in table.dtype.names or ()})


def _fill(file: h5py.File, record: RunRecord) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["schema_version"] = SCHEMA_VERSION
    for key in _FACTS:
        file.attrs[key] = getattr(record, key)
    file.attrs["makespan_ns_unit"] = "nanoseconds"
    for key in _AS_JSON:
        file.create_dataset(key, data=json.dumps(getattr(record, key), sort_keys=True))
    for key in TABLES:
        _write_table(file, key, getattr(record, key))


def _image(record: RunRecord) -> bytes:
    """The bytes of the file, made in memory: HDF5 does not fail cleanly on a full disk."""
    with h5py.File("record.h5", "w", driver="core", backing_store=False) as file:
        _fill(file, record)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def _draft_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _remove_stale_drafts(path: Path) -> None:
    """Drafts of writers that were killed: their process is gone."""
    for draft in path.parent.glob(f".{path.name}.*.part"):
        owner = draft.suffixes[-2].lstrip(".")
        if owner.isdigit() and not Path("/proc", owner).exists():
            draft.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_record(record: RunRecord, path: Path) -> None:
    """Write the record, whole or not at all; RecordError when the disk does not take it (what was there stays)."""
    image = _image(record)
    draft = _draft_name(path)
    _remove_stale_drafts(path)
    try:
        with draft.open("wb") as file:
            file.write(image)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise RecordError(
            f"cannot write {path}",
            found=str(error),
            hint="free some space or name another folder; an earlier record of that name is still there",
        ) from error


def read_record(path: Path) -> RunRecord:
    """The record in a file; InputError when it is none, or of a schema version not understood."""
    if not path.is_file():
        raise InputError(f"no record {path}", expected="a file made by `hostemu run` or `hostemu simulate`")
    try:
        with h5py.File(path, "r") as file:
            _check(file, path)
            return _load(file)
    except (OSError, KeyError, RuntimeError) as error:
        raise InputError(
            f"{path} is not a record", expected="an HDF5 file written by hostemu", found=str(error)
        ) from error


def _check(file: h5py.File, path: Path) -> None:
    if file.attrs.get("format") != FORMAT:
        raise InputError(f"{path} is not a record", expected=f"format {FORMAT!r}", found="another HDF5 file")
    version = int(file.attrs["schema_version"])
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path} is a record of another schema version",
            expected=f"version {SCHEMA_VERSION}",
            found=f"version {version}",
            hint="read it with the hostemu that wrote it: its attribute `version` says which",
        )


def _load(file: h5py.File) -> RunRecord:
    values: dict[str, Any] = {key: file.attrs[key] for key in _FACTS}
    values = {key: value.item() if isinstance(value, np.generic) else value for key, value in values.items()}
    values |= {key: json.loads(file[key][()]) for key in _AS_JSON}
    values |= {key: file[key][()].astype(dtype) for key, dtype in TABLES.items()}
    return RunRecord(**values)


class RecordWriter:
    """Keeps the record of a run in progress on disk: at most `interval_s` of it are lost in a crash."""

    def __init__(self, path: Path, interval_s: float) -> None:
        self.path = path
        self._interval_s = interval_s
        self._next_s = time.monotonic() + interval_s

    def checkpoint(self, make: Callable[[], RunRecord]) -> bool:
        """Write the unfinished record that `make` returns, if it is time; says whether it was."""
        if time.monotonic() < self._next_s:
            return False
        write_record(make(), self.path)
        self._next_s = time.monotonic() + self._interval_s
        return True

    def finish(self, record: RunRecord) -> None:
        """Write the finished record."""
        write_record(record, self.path)
