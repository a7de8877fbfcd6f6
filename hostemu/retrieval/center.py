"""The center program: gives every ISP server its list, stores every terminal's outcome, says when all is done."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from ipaddress import ip_address
from time import monotonic_ns
from types import TracebackType

from hostemu.protocol.auth import SCHEMES, Scheme
from hostemu.protocol.command import CenterJob
from hostemu.protocol.events import Stored
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.wire import Target
from hostemu.retrieval.config import CenterConfig, IspAssignment
from hostemu.retrieval.console import Fields
from hostemu.retrieval.control import Emit, run_program
from hostemu.retrieval.job_link import JobLink
from hostemu.retrieval.reactor import Reactor
from hostemu.retrieval.store import RunEnd, RunRow, Store
from hostemu.retrieval.writer import Row, StoreWriter

PROGRESS_INTERVAL_NS = 200_000_000

MAX_INTEGER = (1 << 63) - 1
"""Of a database; a report has room for more."""


def targets_of(assignment: IspAssignment) -> list[Target]:
    """The list of one ISP server program."""
    targets = []
    for span in assignment.terminals:
        first = ip_address(span.first_address)
        addresses = ((first + offset).packed for offset in range(span.count))
        targets += [
            Target(span.first_device_id + offset, address, span.port) for offset, address in enumerate(addresses)
        ]
    return targets


class Center:
    """All lists of a run, and their one store."""

    def __init__(self, config: CenterConfig, reactor: Reactor, emit: Emit) -> None:
        self.config = config
        self.reactor = reactor
        self.retrieved = 0
        self.failed = 0
        self.failed_by_reason: Counter[Reason] = Counter()
        self.start_ns = 0
        self._emit = emit
        self._scheme: Scheme = SCHEMES[config.authentication.value]
        self._stack = ExitStack()
        self._rows: list[Row] = []
        self._links: list[JobLink] = []
        self._links_left = len(config.isps)
        self._is_flush_due = False
        self._end: RunEnd | None = None
        self._is_stored = False

    def __enter__(self) -> Center:
        with ExitStack() as stack:
            store = stack.enter_context(Store(self.config.database, is_remote=self.config.is_store_remote))
            run = RunRow(
                self.config.run_id, self.config.authentication.value, self.config.total, self.config.deadline_ns
            )
            store.begin_run(run)
            self._writer = stack.enter_context(StoreWriter(store, self.reactor))
            self._stack = stack.pop_all()
        self._links = [self._link(assignment) for assignment in self.config.isps]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in self._links:
            link.close()
        self._stack.close()

    def ready(self) -> Fields:
        """The store is open and the run entered."""
        return {"run_id": self.config.run_id, "total": self.config.total}

    def start(self, at_ns: int) -> None:
        """Time 0: call all ISP servers; from then on the deadline runs."""
        self.start_ns = at_ns
        self.reactor.call_at(at_ns, self._begin)
        self.reactor.call_at(at_ns + self.config.deadline_ns, self._give_up)

    def counters(self) -> Fields:
        """How far the run is."""
        return {
            "total": self.config.total,
            "retrieved": self.retrieved,
            "failed": self.failed,
            "failed_by_reason": {reason.name: count for reason, count in sorted(self.failed_by_reason.items())},
            "makespan_ns": None if self._end is None else self._end.makespan_ns,
            "is_stored": self._is_stored,
        }

    def stopping(self) -> None:
        """The run is stopped: terminals that are pending did not make it in time.  Raises StoreError."""
        self._give_up()
        self._flush()
        self._writer.flush()
        self._is_stored = self._end is not None

    def stored(self, event: Stored) -> None:
        """A terminal is accounted for."""
        report = event.report
        is_retrieved = report.outcome is Outcome.RETRIEVED
        if is_retrieved:
            self.retrieved += 1
        else:
            self.failed += 1
            self.failed_by_reason[report.reason] += 1
        self._rows.append(
            {
                "run_id": self.config.run_id,
                "device_id": report.device_id,
                "outcome": report.outcome.value,
                "reason": report.reason.value,
                "attempts": report.attempts,
                "exchange_ns": min(report.exchange_ns, MAX_INTEGER),
                "retrieved_at_ns": event.at_ns if is_retrieved else -1,
                "information": report.sealed,
            }
        )
        if not self._is_flush_due:
            self._is_flush_due = True
            self.reactor.call_soon(self._flush)

    def job_finished(self) -> None:
        """One list is done with."""
        self._links_left -= 1
        if not self._links_left:
            self._end = RunEnd(monotonic_ns() - self.start_ns, self.retrieved, self.failed)
            self._flush()
            self._writer.finish(self.config.run_id, self._end, self._done)

    def _link(self, assignment: IspAssignment) -> JobLink:
        job = CenterJob(targets_of(assignment), self._scheme, self.config.own_secret)
        return JobLink(self, job, (assignment.address, assignment.port))

    def _begin(self) -> None:
        for link in self._links:
            link.connect(self.start_ns + self.config.connect_deadline_ns)
        self._show_progress()

    def _give_up(self) -> None:
        for link in self._links:
            link.give_up(Reason.DEADLINE)

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._rows:
            self._writer.put(self._rows)
            self._rows = []

    def _show_progress(self) -> None:
        now_ns = monotonic_ns()
        if self._end is None:
            self._emit_progress(now_ns - self.start_ns)
            self.reactor.call_at(now_ns + PROGRESS_INTERVAL_NS, self._show_progress)

    def _emit_progress(self, at_ns: int) -> None:
        numbers = {"retrieved": self.retrieved, "failed": self.failed, "total": self.config.total}
        self._emit("progress", {"t_ns": at_ns, **numbers})

    def _done(self) -> None:
        self._is_stored = True
        if self._end is not None:
            self._emit_progress(self._end.makespan_ns)
            self._emit("done", self.counters())


def make_center(text: str, file: str, reactor: Reactor, emit: Emit) -> Center:
    """The center that a configuration asks for."""
    return Center(CenterConfig.from_json(text, file), reactor, emit)


if __name__ == "__main__":
    sys.exit(run_program("The center, driven by JSON lines.", make_center))
