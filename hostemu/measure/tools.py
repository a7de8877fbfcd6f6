"""The programs and files that measure: which are there, and of what content."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from hostemu.measure.throughput_tbench import CLIENT_FILES, OPERATIONS

PROGRAMS = ("iperf", "iperf3", "tbench", "tbench_srv")
DIGITS = 16
"""Of a checksum: enough to tell versions apart."""


def present_tools() -> dict[str, str]:
    """What is there, by name, with the beginning of its SHA-256 checksum."""
    programs = (shutil.which(name) for name in PROGRAMS)
    found = {Path(path).name: _checksum(Path(path)) for path in programs if path is not None}
    operations = next((path for path in CLIENT_FILES if path.exists()), None)
    return found if operations is None else {**found, OPERATIONS: _checksum(operations)}


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
