"""The twin of the center program: commands every ISP server program and accounts for every terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hostemu.measure.costs import Costs
from hostemu.protocol.command import CenterJob
from hostemu.protocol.events import Event, Finished, Send, Stored
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.wire import FrameReader, Message, Report, WireError, encode
from hostemu.scenario.derive import ISP_PORT, list_of
from hostemu.sim.clock import Timer
from hostemu.sim.cpu import Thread
from hostemu.sim.kernel import Kernel
from hostemu.sim.network import Host
from hostemu.sim.plan import Plan, target
from hostemu.sim.tcp import TcpConnection

PROGRESS_INTERVAL_NS = 200_000_000
CONNECT_DEADLINE_NS = 10_000_000_000
"""From the run's time 0: the real program's default."""


@dataclass(frozen=True)
class Account:
    """What the center knows of one terminal.  at_ns: since its command was given."""

    report: Report
    at_ns: int


class Center:
    """The program.  accounts: by device ID; progress: (now_ns, retrieved, failed), at most 5 a second."""

    def __init__(
        self,
        plan: Plan,
        kernel: Kernel,
        thread: Thread,
        costs: Costs,
        on_progress: Callable[[int, int, int], None] | None,
    ) -> None:
        self.accounts: dict[int, Account] = {}
        self.progress: list[tuple[int, int, int]] = []
        self.retrieved = 0
        self.failed = 0
        self.finished_at_ns = -1
        self.finished = kernel.clock.env.event()
        self.plan = plan
        self.clock = kernel.clock
        self.thread = thread
        self.report_cost_ns = costs.center_report_ns
        self._kernel = kernel
        self._on_progress = on_progress
        self._jobs: list[Job] = []
        self._jobs_left = 0

    def start(self, isp_host: Host, programs: int) -> None:
        """Connect to every program; the run's time is 0."""
        self._jobs = [Job(self, number) for number in range(programs)]
        self._jobs_left = programs
        self.clock.at(self.plan.scenario.retrieval.deadline_ns, self._give_up)
        for job in self._jobs:
            job.connect(self._kernel, isp_host)

    def stored(self, event: Stored) -> None:
        """A terminal is accounted for."""
        self.accounts[event.report.device_id] = Account(event.report, event.at_ns)
        if event.report.outcome is Outcome.RETRIEVED:
            self.retrieved += 1
        else:
            self.failed += 1
        if self.clock.is_traced:
            self.clock.note("center", f"device {event.report.device_id} {event.report.outcome.name}")
        if not self.progress or self.clock.now_ns - self.progress[-1][0] >= PROGRESS_INTERVAL_NS:
            self._show_progress()

    def job_finished(self) -> None:
        """One list is done."""
        self._jobs_left -= 1
        if not self._jobs_left:
            self.finished_at_ns = self.clock.now_ns
            self._show_progress()
            self.clock.note("center", f"finished {self.retrieved} retrieved {self.failed} failed")
            self.finished.succeed()

    def _show_progress(self) -> None:
        self.progress.append((self.clock.now_ns, self.retrieved, self.failed))
        if self._on_progress is not None:
            self._on_progress(*self.progress[-1])

    def _give_up(self) -> None:
        for job in self._jobs:
            job.give_up()


class Job:
    """The conversation with one ISP server program."""

    def __init__(self, center: Center, number: int) -> None:
        plan = center.plan
        self._center = center
        self._number = number
        self._job = CenterJob(
            [target(index) for index in list_of(plan.scenario, number)], plan.scheme, plan.own_secret
        )
        self._reader = FrameReader()
        self._connection: TcpConnection | None = None
        self._timer = Timer(center.clock, self._not_reached)

    def connect(self, kernel: Kernel, isp_host: Host) -> None:
        """Call the program."""
        self._connection = kernel.connect(isp_host, self, port=ISP_PORT + self._number)
        self._timer.set(CONNECT_DEADLINE_NS)

    def opened(self) -> None:
        """The connection stands: give the command."""
        self._timer.clear()
        self._act(self._job.opened(self._center.clock.now_ns))

    def received(self, data: bytes) -> None:
        """Reports have come."""
        try:
            for message in self._reader.feed(data):
                cost_ns = self._center.report_cost_ns if isinstance(message, Report) else 0
                self._center.thread.do(cost_ns, self._received, message)
        except WireError as error:
            self.broken(error.reason)

    def broken(self, reason: Reason) -> None:
        """The program has gone."""
        self._center.thread.do(0, self._broken, Reason.PROGRAM_LOST)

    def give_up(self) -> None:
        """The run's time is over."""
        self._broken(Reason.DEADLINE)

    def _not_reached(self) -> None:
        self._broken(Reason.PROGRAM_LOST)

    def _received(self, message: Message) -> None:
        self._act(self._job.receive(message, self._center.clock.now_ns))

    def _broken(self, reason: Reason) -> None:
        self._act(self._job.broken(reason, self._center.clock.now_ns))

    def _act(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case Send(message) if self._connection is not None:
                    self._connection.send(encode(message))
                case Stored():
                    self._center.stored(event)
                case Finished():
                    self._finish()

    def _finish(self) -> None:
        self._timer.clear()
        if self._connection is not None:
            self._connection.abort()
        self._center.job_finished()
