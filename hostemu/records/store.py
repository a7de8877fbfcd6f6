"""Records as HDF5 files: attributes for single facts, a dataset per table, JSON for what has no fixed form."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hostemu.base.errors import InputError, RecordError
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.records.atomic import replace_file
from hostemu.records.model import TABLES, RunRecord, Table

SCHEMA_VERSION = 1
FORMAT = "hostemu record"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

_NAMES = ("mode", "backend", "engine", "scenario_name", "version", "started_at")
_FACTS = (*_NAMES, "seed", "time_scale", "complete", "makespan_ns")
_AS_JSON = ("host", "verdict", "extra")
_TEXTS = ("scenario_text", *_AS_JSON)
_ENUMS = {"outcome": Outcome, "reason": Reason}
_UNITS = {"_ns": "nanoseconds", "_s": "seconds", "_bytes": "bytes", "_frames": "frames"}
_COMPRESS_ROWS = 1000
_LATER = {"tally", "times"}
"""Tables that the first files of this schema do not have."""

_UNREADABLE = (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError)
"""What h5py and json raise over damaged files."""


def write_record(record: RunRecord, path: Path) -> None:
    """Write the record, whole or not at all; RecordError when the disk does not take it (what was there stays)."""
    image = _image(record)
    try:
        replace_file(path, image)
    except OSError as error:
        raise RecordError(
            f"cannot write record {path}: {error.strerror}",
            found=f"{len(image)} bytes to write",
            hint="free some space or name another folder; an earlier record of that name is still there",
        ) from error


def read_record(path: Path) -> RunRecord:
    """The record in a file; InputError when it is none, damaged, or of a schema version not understood."""
    _check_signature(path)
    try:
        # Without locks: files are replaced, never changed, and not every file system has locks.
        with h5py.File(path, "r", locking=False) as file:
            _check_format(file, path)
            record = _load(file)
    except _UNREADABLE as error:
        raise InputError(
            f"record {path} is damaged",
            found=f"{type(error).__name__}: {error}",
            hint="play the run again, or take a copy of the file from elsewhere",
        ) from error
    return record


class RecordWriter:
    """Keeps the record of a run in progress on disk: at most `interval_s` of it are lost in a crash."""

    def __init__(self, path: Path, interval_s: float) -> None:
        self.path = path
        self._interval_s = interval_s
        self._next_s = time.monotonic() + interval_s

    def checkpoint(self, make: Callable[[], RunRecord]) -> bool:
        """Write the record that `make` returns as incomplete, if it is time; says whether it was."""
        if time.monotonic() < self._next_s:
            return False
        write_record(replace(make(), complete=False), self.path)
        self._next_s = time.monotonic() + self._interval_s
        return True

    def finish(self, record: RunRecord) -> None:
        """Write the finished record."""
        write_record(record, self.path)


def _image(record: RunRecord) -> bytes:
    """The bytes of the file, made in memory: HDF5 does not fail cleanly on a full disk."""
    try:
        with h5py.File("record.h5", "w", driver="core", backing_store=False) as file:
            _fill(file, record)
            file.flush()
            image: bytes = file.id.get_file_image()
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordError("a record that no file can hold", found=f"{type(error).__name__}: {error}") from error
    return image


@dataclass(frozen=True)
class _Content:
    """What a file holds: facts as attributes (texts in them end at 64 KiB), longer texts and tables as datasets."""

    facts: dict[str, Any]
    texts: dict[str, str]
    tables: dict[str, Table]

    def digest(self) -> str:
        """SHA-256 of everything, since HDF5 itself does not notice all damage."""
        digest = hashlib.sha256(json.dumps([self.facts, self.texts], sort_keys=True).encode())
        for name in TABLES:
            digest.update(self.tables[name].tobytes())
        return digest.hexdigest()


def _content(record: RunRecord) -> _Content:
    values = {name: getattr(record, name) for name in (*_FACTS, *_TEXTS, *TABLES)}
    texts = {name: json.dumps(values[name], sort_keys=True) if name in _AS_JSON else values[name] for name in _TEXTS}
    return _Content({name: _plain(values[name]) for name in _FACTS}, texts, {name: values[name] for name in TABLES})


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _fill(file: h5py.File, record: RunRecord) -> None:
    content = _content(record)
    for name, table in content.tables.items():
        _check_table(name, table)
    file.attrs.update({"format": FORMAT, "schema_version": SCHEMA_VERSION, "sha256": content.digest()})
    file.attrs.update(content.facts)
    for name, text in content.texts.items():
        file.create_dataset(name, data=text)
    for name, table in content.tables.items():
        _write_table(file, name, table)


def _write_table(file: h5py.File, name: str, table: Table) -> None:
    options = {"compression": "gzip", "shuffle": True} if len(table) >= _COMPRESS_ROWS else {}
    dataset = file.create_dataset(name, data=table.astype(_stored_dtype(table.dtype)), **options)
    dataset.attrs["units"] = json.dumps({column: _unit(column) for column in table.dtype.names or ()})


def _unit(column: str) -> str:
    """The unit of a column, told from its name."""
    if column.startswith(("frames_", "bytes_")):
        return column.split("_")[0]
    if column in ("attempts", "attempts_max", "count", "retrieved", "failed", "terminals"):
        return "1"
    return next((unit for suffix, unit in _UNITS.items() if column.endswith(suffix)), "")


def _stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same with outcome and reason as HDF5 enumerations, so that other tools show names."""

    def column(name: str) -> Any:
        if name not in _ENUMS:
            return dtype[name]
        return h5py.enum_dtype({item.name: int(item) for item in _ENUMS[name]}, basetype="u1")

    return np.dtype([(name, column(name)) for name in dtype.names or ()])


def _check_table(name: str, table: Table) -> None:
    if table.dtype != TABLES[name]:
        raise TypeError(f"table {name} has columns {table.dtype}")
    for column in set(table.dtype.names or ()) & _ENUMS.keys():
        strange = np.setdiff1d(table[column], [int(item) for item in _ENUMS[column]])
        if len(strange):
            raise ValueError(f"unknown {column} {strange[0]}")


def _check_signature(path: Path) -> None:
    expected = "a file made by `hostemu run` or `hostemu simulate`"
    try:
        with path.open("rb") as file:
            start = file.read(len(HDF5_SIGNATURE))
    except FileNotFoundError:
        raise InputError(f"there is no record {path}", expected=expected) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", expected=expected) from error
    if start != HDF5_SIGNATURE:
        raise InputError(f"{path} is not a record", expected=expected, found="not an HDF5 file")


def _check_format(file: h5py.File, path: Path) -> None:
    if file.attrs.get("format") != FORMAT:
        raise InputError(f"{path} is not a record", expected=f"format {FORMAT!r}", found="another HDF5 file")
    version = int(file.attrs["schema_version"])
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path} is a record of another schema version",
            expected=f"version {SCHEMA_VERSION}",
            found=f"version {version}, written by hostemu {file.attrs.get('version', '?')}",
            hint="read it with the hostemu that wrote it",
        )


def _load(file: h5py.File) -> RunRecord:
    content = _Content(
        {name: _plain(file.attrs[name]) for name in _FACTS},
        {name: file[name][()].decode() for name in _TEXTS},
        {name: _read_table(file, name) for name in TABLES},
    )
    if content.digest() != file.attrs["sha256"]:
        raise ValueError("the content is not what was written")
    values: dict[str, Any] = {name: json.loads(content.texts[name]) for name in _AS_JSON}
    values |= content.facts | content.tables
    return RunRecord(scenario_text=content.texts["scenario_text"], **values)


def _read_table(file: h5py.File, name: str) -> Table:
    if name in _LATER and name not in file:
        return np.zeros(0, TABLES[name])
    stored, dtype = file[name][()], TABLES[name]
    if stored.dtype.names != dtype.names:
        raise ValueError(f"table {name} has columns {stored.dtype.names}")
    table: Table = stored.astype(dtype)
    _check_table(name, table)
    return table
