"""The center's store: what became of every terminal of every run, in a database behind SQLAlchemy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import (
    URL,
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    ForeignKey,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    create_engine,
    event,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

from hostemu.base.errors import InputError, RunError
from hostemu.protocol.reasons import Outcome, Reason

BUSY_TIMEOUT_S = 5.0
"""How long SQLite waits for a lock of another process."""

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("run_id", String(200), primary_key=True),
    Column("started_at", DateTime, nullable=False, comment="UTC"),
    Column("authentication", String(40), nullable=False),
    Column("terminals", BigInteger, nullable=False, comment="in the plan"),
    Column("deadline_ns", BigInteger, nullable=False),
    Column("finished", Boolean, nullable=False, comment="whether every terminal has its row"),
    Column("makespan_ns", BigInteger),
    Column("retrieved", BigInteger),
    Column("failed", BigInteger),
)

terminals = Table(
    "terminals",
    metadata,
    Column("run_id", String(200), ForeignKey("runs.run_id"), primary_key=True),
    Column("device_id", BigInteger, primary_key=True, autoincrement=False),
    Column("outcome", SmallInteger, nullable=False, comment="hostemu.protocol.reasons.Outcome"),
    Column("reason", SmallInteger, nullable=False, comment="hostemu.protocol.reasons.Reason"),
    Column("attempts", BigInteger, nullable=False),
    Column("exchange_ns", BigInteger, nullable=False, comment="duration of the last attempt"),
    Column("retrieved_at_ns", BigInteger, nullable=False, comment="since the center's command; -1 when it was not"),
    Column("information", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)


class StoreError(RunError):
    """The store cannot be written or read."""


class StoredOutcome(NamedTuple):
    """One terminal's row, without its information.  retrieved_at_ns: since the center's command, −1 for never."""

    device_id: int
    outcome: Outcome
    reason: Reason
    attempts: int
    exchange_ns: int
    retrieved_at_ns: int


@dataclass(frozen=True)
class RunRow:
    """What is known of a run before it starts."""

    run_id: str
    authentication: str
    terminals: int
    deadline_ns: int


@dataclass(frozen=True)
class RunEnd:
    """What is known of a run when every terminal is accounted for."""

    makespan_ns: int
    retrieved: int
    failed: int


class Store:
    """One database.  A context manager; may be used by one thread at a time.

    SQLite writes ahead (WAL): what was committed survives the death of the process.  A log needs memory that all of
    its users share; is_remote: the file is that of another kernel, so that there is none, and a commit is written at
    once to survive this kernel's death, too.
    """

    def __init__(self, url: str, *, is_remote: bool = False) -> None:
        self._url = parse_url(url)
        self._engine = create_engine(self._url, connect_args=_connect_args(self._url))
        if self._url.get_backend_name() == "sqlite":
            event.listen(self._engine, "connect", _prepare_remote_sqlite if is_remote else _prepare_sqlite)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    def begin_run(self, run: RunRow) -> None:
        """Enter a new run; InputError when the store has it already, StoreError when it cannot be written."""
        row = {**vars(run), "started_at": datetime.now(UTC).replace(tzinfo=None), "finished": False}
        try:
            metadata.create_all(self._engine)
            with self._engine.begin() as connection:
                connection.execute(insert(runs), row)
        except IntegrityError as error:
            raise InputError(
                f"run {run.run_id!r} is in the store already",
                expected="a run_id that is new to the store",
                found=str(self._url),
                hint="choose another run_id, or another database",
            ) from error
        except SQLAlchemyError as error:
            raise self._failure(error) from error

    def add(self, rows: Sequence[Mapping[str, Any]], end: tuple[str, RunEnd] | None = None) -> None:
        """Insert rows of `terminals`, and with them the end of their run, in one transaction."""
        try:
            with self._engine.begin() as connection:
                if rows:
                    connection.execute(insert(terminals), list(rows))
                if end is not None:
                    _finish(connection, *end)
        except SQLAlchemyError as error:
            raise self._failure(error) from error

    def outcomes(self, run_id: str) -> list[StoredOutcome]:
        """All rows of a run, by device ID; those of an unfinished run are the ones that were committed."""
        columns = [terminals.c[name] for name in StoredOutcome._fields]
        query = select(*columns).where(terminals.c.run_id == run_id).order_by(terminals.c.device_id)
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(query).all()
        except SQLAlchemyError as error:
            raise self._failure(error) from error
        return [StoredOutcome(row[0], Outcome(row[1]), Reason(row[2]), *row[3:]) for row in rows]

    def information(self, run_id: str, device_id: int) -> bytes | None:
        """What a terminal handed over; None when it has no row (yet)."""
        key = (terminals.c.run_id == run_id) & (terminals.c.device_id == device_id)
        try:
            with self._engine.connect() as connection:
                return connection.execute(select(terminals.c.information).where(key)).scalar_one_or_none()
        except SQLAlchemyError as error:
            raise self._failure(error) from error

    def _failure(self, error: SQLAlchemyError) -> StoreError:
        cause = getattr(error, "orig", None) or error
        return StoreError(
            f"the store {self._url} failed",
            expected="a database that takes what is written",
            found=str(cause),
            hint="is the disk full, the file read-only, or the database locked by another program?",
        )


def parse_url(url: str) -> URL:
    """The parsed URL of a database; InputError when it is none."""
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, SQLAlchemyError) as error:
        raise InputError("no database URL", expected="such as sqlite:///center.sqlite", found=repr(url)) from error
    return parsed


def read_outcomes(url: str, run_id: str) -> list[StoredOutcome]:
    """What became of each terminal of a run, by device ID; InputError when there is no such SQLite file."""
    parsed = parse_url(url)
    file = parsed.database
    if parsed.get_backend_name() == "sqlite" and file and not Path(file).exists():
        raise InputError(f"no database {file}", expected="the file of a center's store", found="no such file")
    with Store(url) as store:
        return store.outcomes(run_id)


def _finish(connection: Connection, run_id: str, end: RunEnd) -> None:
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(finished=True, **vars(end)))


def _connect_args(url: URL) -> dict[str, Any]:
    if url.get_backend_name() != "sqlite":
        return {}
    return {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}


def _prepare_sqlite(connection: Any, _: Any) -> None:
    _carry_out(connection, "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON")


def _prepare_remote_sqlite(connection: Any, _: Any) -> None:
    _carry_out(connection, "locking_mode=EXCLUSIVE", "journal_mode=TRUNCATE", "synchronous=FULL", "foreign_keys=ON")


def _carry_out(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
