"""Records of workloads: what each host's program has come to, as one JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hostemu.base.errors import InputError
from hostemu.records.atomic import replace_file

SCHEMA = 1
NAME = "workload.json"


@dataclass
class ProgramRecord:
    """One program.  host: "client-3".  Times count from the start of the run; -1: not (yet).

    exit_status: 128 + number after a signal; None while it runs, or when the run ended it.
    values: the numbers that it has said.
    """

    host: str
    group: str
    started_ns: int = -1
    ended_ns: int = -1
    exit_status: int | None = None
    values: list[float] = field(default_factory=list)


@dataclass
class WorkloadRecord:
    """A run of a workload.

    mode: "real", "virtual" or "simulated".  verdict: why it is invalid, if it is.
    charge: in virtual time, what computation takes: see measure.costs.Charge.
    charged_ns: what it has taken in all, by host.
    """

    name: str
    mode: str
    backend: str
    seed: int
    unit: str
    workload: str
    version: str
    started_at: str
    host: dict[str, Any]
    charge: dict[str, Any] = field(default_factory=dict)
    complete: bool = False
    duration_ns: int = 0
    verdict: list[str] = field(default_factory=list)
    programs: list[ProgramRecord] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    charged_ns: dict[str, int] = field(default_factory=dict)

    def conclude(self, awaited: Iterable[str]) -> None:
        """The run is over.  awaited: hosts whose programs should have ended, and well."""
        self.duration_ns = max((row.ended_ns for row in self.programs), default=0)
        ended = {row.host for row in self.programs if row.ended_ns >= 0}
        self.verdict += [f"{host} had not ended by the deadline" for host in awaited if host not in ended]
        self.verdict += [
            f"{row.host} ended with exit status {row.exit_status}" for row in self.programs if row.exit_status
        ]
        self.complete = True


def write_workload(record: WorkloadRecord, path: Path) -> None:
    """Write it whole, or leave what was there."""
    text = json.dumps({"schema": SCHEMA, **asdict(record)}, indent=1)
    replace_file(path, text.encode() + b"\n")


def read_workload(path: Path) -> WorkloadRecord:
    """The record of a file; InputError when it holds none of this version."""
    try:
        document = json.loads(path.read_text())
        schema = document.pop("schema")
        if schema != SCHEMA:
            raise InputError(f"{path} is of another version", expected=f"schema {SCHEMA}", found=str(schema))
        programs = [ProgramRecord(**row) for row in document.pop("programs")]
        return WorkloadRecord(programs=programs, **document)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no record of a workload", expected=NAME, found=str(error)) from error
