"""Result files of runs: HDF5, written whole or not at all."""

from hostemu.records.model import (
    HOST,
    LINE_COUNTERS,
    PROGRESS,
    REFUSAL,
    TALLY,
    TERMINAL,
    TIMES,
    RunRecord,
    records_equal,
)
from hostemu.records.store import SCHEMA_VERSION, RecordWriter, read_record, write_record
from hostemu.records.summary import summary
from hostemu.records.tally import CLASS_BITS, CLASSES, times_of

__all__ = [
    "CLASSES",
    "CLASS_BITS",
    "HOST",
    "LINE_COUNTERS",
    "PROGRESS",
    "REFUSAL",
    "SCHEMA_VERSION",
    "TALLY",
    "TERMINAL",
    "TIMES",
    "RecordWriter",
    "RunRecord",
    "read_record",
    "records_equal",
    "summary",
    "times_of",
    "write_record",
]
