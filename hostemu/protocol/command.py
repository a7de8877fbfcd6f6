"""The conversation between the center and one ISP server program, over TCP.

center                        ISP server
IDLE --opened: Command…, Start--> IDLE --Command…--> LISTED --Start--> RUNNING
RUNNING <--Report, one per terminal-- RUNNING
FINISHED <--Done-- DONE
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto

from hostemu.protocol.auth import Scheme, derive_key
from hostemu.protocol.events import Begin, Event, Finished, Refused, Send, Stored
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.wire import Command, Done, Message, MessageType, Refusal, Report, Start, Target

TARGETS_PER_COMMAND = 500
"""A target takes 12 to 28 bytes, so that 500 of them fit a frame."""


class JobState(Enum):
    """Where a list stands, seen from either side."""

    IDLE = auto()
    LISTED = auto()
    RUNNING = auto()
    CLOSED = auto()


class IspService:
    """The ISP server's side: collects the list; `targets` is complete when Begin was returned."""

    def __init__(self) -> None:
        self.state = JobState.IDLE
        self.targets: list[Target] = []

    def receive(self, message: Message) -> list[Event]:
        """What to do about a message of the center."""
        handler = SERVICE_TRANSITIONS.get((self.state, message.type))
        return self._refuse(Reason.UNEXPECTED) if handler is None else handler(self, message)

    def broken(self, reason: Reason) -> list[Event]:
        """The center left or sent no message: nobody is there to report to."""
        if self.state is JobState.CLOSED:
            return []
        self.state = JobState.CLOSED
        return [Refused(reason)]

    def done(self) -> list[Event]:
        """Every terminal was reported."""
        self.state = JobState.CLOSED
        return [Send(Done(len(self.targets)))]

    def _refuse(self, reason: Reason) -> list[Event]:
        if self.state is JobState.CLOSED:
            return []
        self.state = JobState.CLOSED
        return [Send(Refusal(reason)), Refused(reason)]

    def _on_command(self, message: Message) -> list[Event]:
        assert isinstance(message, Command)
        self.targets += message.targets
        self.state = JobState.LISTED
        return []

    def _on_start(self, message: Message) -> list[Event]:
        assert isinstance(message, Start)
        if message.total != len(self.targets):
            return self._refuse(Reason.MALFORMED)
        self.state = JobState.RUNNING
        return [Begin()]


SERVICE_TRANSITIONS: dict[tuple[JobState, MessageType], Callable[[IspService, Message], list[Event]]] = {
    (JobState.IDLE, MessageType.COMMAND): IspService._on_command,
    (JobState.LISTED, MessageType.COMMAND): IspService._on_command,
    (JobState.LISTED, MessageType.START): IspService._on_start,
}
"""(state, message) → handler.  A pair that is not here is refused as UNEXPECTED."""


class CenterJob:
    """The center's side: gives one list to one ISP server program and accounts for every terminal of it.

    own_secret: what the terminals' own keys are derived from; the center checks the seals with it.
    """

    def __init__(self, targets: Sequence[Target], scheme: Scheme, own_secret: bytes) -> None:
        self.state = JobState.IDLE
        self.pending = {target.device_id: target for target in targets}
        self._targets = tuple(targets)
        self._scheme = scheme
        self._own_secret = own_secret
        self._commanded_ns: int | None = None

    def opened(self, now_ns: int) -> list[Event]:
        """The connection to the ISP server stands: give the command."""
        self._commanded_ns = now_ns
        self.state = JobState.RUNNING
        pieces = range(0, len(self._targets), TARGETS_PER_COMMAND)
        commands = [Command(self._targets[at : at + TARGETS_PER_COMMAND]) for at in pieces]
        return [*map(Send, commands), Send(Start(len(self._targets)))]

    def receive(self, message: Message, now_ns: int) -> list[Event]:
        """What to do about a message of the ISP server."""
        handler = JOB_TRANSITIONS.get((self.state, message.type))
        if handler is not None:
            return handler(self, message, now_ns)
        return [] if self.state is JobState.CLOSED else self.broken(Reason.UNEXPECTED, now_ns)

    def broken(self, reason: Reason, now_ns: int) -> list[Event]:
        """The list will not be finished: whatever is pending has failed, for `reason`."""
        if self.state is JobState.CLOSED:
            return []
        self.state = JobState.CLOSED
        lost = [Report(device_id, Outcome.FAILED, reason, 0, 0, b"", b"") for device_id in self.pending]
        self.pending.clear()
        return [*(Stored(report, self._age_ns(now_ns)) for report in lost), Finished()]

    def _age_ns(self, now_ns: int) -> int:
        """Since the command was given; 0 when it never was."""
        return 0 if self._commanded_ns is None else now_ns - self._commanded_ns

    def _on_report(self, message: Message, now_ns: int) -> list[Event]:
        assert isinstance(message, Report)
        if message.outcome is Outcome.PENDING or message.device_id not in self.pending:
            return self.broken(Reason.UNEXPECTED, now_ns)
        del self.pending[message.device_id]
        return [Stored(self._checked(message), self._age_ns(now_ns))]

    def _checked(self, report: Report) -> Report:
        """The report with its information unsealed, or failed as BAD_SEAL."""
        if report.outcome is not Outcome.RETRIEVED:
            return report
        key = derive_key(self._own_secret, "own", report.device_id)
        information = self._scheme.unseal(key, report.device_id, report.isp_nonce, report.sealed)
        numbers = (report.attempts, report.exchange_ns, report.isp_nonce)
        if information is None:
            return Report(report.device_id, Outcome.FAILED, Reason.BAD_SEAL, *numbers, b"")
        return Report(report.device_id, report.outcome, report.reason, *numbers, information)

    def _on_done(self, message: Message, now_ns: int) -> list[Event]:
        if self.pending:
            return self.broken(Reason.PROGRAM_LOST, now_ns)
        self.state = JobState.CLOSED
        return [Finished()]

    def _on_refusal(self, message: Message, now_ns: int) -> list[Event]:
        assert isinstance(message, Refusal)
        return self.broken(message.reason, now_ns)


JOB_TRANSITIONS: dict[tuple[JobState, MessageType], Callable[[CenterJob, Message, int], list[Event]]] = {
    (JobState.RUNNING, MessageType.REPORT): CenterJob._on_report,
    (JobState.RUNNING, MessageType.DONE): CenterJob._on_done,
    (JobState.RUNNING, MessageType.REFUSAL): CenterJob._on_refusal,
}
"""(state, message) → handler.  A pair that is not here loses the list as UNEXPECTED; CLOSED ignores everything."""
