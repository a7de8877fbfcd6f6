"""Result files of runs: HDF5, written whole or not at all."""

from hostemu.records.model import HOST, LINE_COUNTERS, PROGRESS, REFUSAL, TERMINAL, RunRecord, records_equal
from hostemu.records.store import SCHEMA_VERSION, RecordWriter, read_record, write_record
from hostemu.records.summary import summary

__all__ = [
    "HOST",
    "LINE_COUNTERS",
    "PROGRESS",
    "REFUSAL",
    "SCHEMA_VERSION",
    "TERMINAL",
    "RecordWriter",
    "RunRecord",
    "read_record",
    "records_equal",
    "summary",
    "write_record",
]
