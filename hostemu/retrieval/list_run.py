"""One list of terminals being retrieved: the schedule on one side, attempts on sockets on the other."""

from __future__ import annotations

import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic_ns

from hostemu.protocol.auth import SCHEMES, derive_key
from hostemu.protocol.events import Failed, Retrieved
from hostemu.protocol.exchange import ExchangeSettings, IspExchange
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.retriever import Retriever
from hostemu.protocol.wire import NONCE_BYTES, Report, Target
from hostemu.retrieval.attempt import Attempt, Callee, Sources, TcpAttempt, UdpAttempt
from hostemu.retrieval.config import IspConfig, Transport
from hostemu.retrieval.reactor import Reactor, Timer

ATTEMPTS_AT_ONCE = 16
"""Attempts begun before the loop looks at its sockets again."""

OnReport = Callable[[Report], None]


@dataclass
class IspCounts:
    """What an ISP server program counts.  by_reason: how attempts ended, Reason.NONE being success."""

    attempts: int = 0
    retrieved: int = 0
    failed: int = 0
    by_reason: Counter[Reason] = field(default_factory=Counter)


def callee_of(target: Target) -> Callee:
    """The socket address of a terminal of a list."""
    family = socket.AF_INET if len(target.address) == 4 else socket.AF_INET6
    return Callee(family, (socket.inet_ntop(family, target.address), target.port))


class ListRun:
    """Retrieves one list.  `on_report` is called for every terminal, with `left` saying how many are to come."""

    def __init__(
        self, config: IspConfig, reactor: Reactor, targets: Sequence[Target], counts: IspCounts, on_report: OnReport
    ) -> None:
        uses_tcp = config.transport is Transport.TCP
        self._reactor = reactor
        self._counts = counts
        self._on_report = on_report
        self._targets = targets
        self._callees = [callee_of(target) for target in targets]
        self._keys = [derive_key(config.shared_secret, "shared", target.device_id) for target in targets]
        self._scheme = SCHEMES[config.authentication.value]
        self._settings = ExchangeSettings(uses_tcp, config.connect_timeout_ns, config.answer_timeout_ns)
        kind = socket.SOCK_STREAM if uses_tcp else socket.SOCK_DGRAM
        self._sources = Sources(kind, config.source_addresses)
        self._make: type[Attempt] = TcpAttempt if uses_tcp else UdpAttempt
        self._retriever = Retriever(len(targets), config.concurrency, config.retry)
        self._attempts: dict[int, Attempt] = {}
        self._due: deque[int] = deque()
        self._wake: Timer | None = None
        self._is_held = False
        self._is_scheduled = False

    @property
    def left(self) -> int:
        """Terminals that are not accounted for yet."""
        return self._retriever.left

    def start(self) -> None:
        """Begin."""
        self._queue(self._retriever.wake(monotonic_ns()))

    def hold(self, is_held: bool) -> None:
        """While held, no attempt is begun; those under way go on."""
        self._is_held = is_held
        self._schedule()

    def abandon(self) -> None:
        """Give all attempts up; nobody is told."""
        self._due.clear()
        if self._wake is not None:
            self._wake.cancel()
        for attempt in self._attempts.values():
            attempt.abandon()
        self._attempts.clear()

    def _queue(self, indexes: Iterable[int]) -> None:
        self._due.extend(indexes)
        self._schedule()
        wake_ns = self._retriever.next_wake_ns
        if wake_ns is not None and (self._wake is None or wake_ns < self._wake.due_ns):
            if self._wake is not None:
                self._wake.cancel()
            self._wake = self._reactor.call_at(wake_ns, self._woken)

    def _woken(self) -> None:
        self._wake = None
        self._queue(self._retriever.wake(monotonic_ns()))

    def _schedule(self) -> None:
        if self._due and not self._is_held and not self._is_scheduled:
            self._is_scheduled = True
            self._reactor.call_soon(self._begin_some)

    def _begin_some(self) -> None:
        self._is_scheduled = False
        for _ in range(min(ATTEMPTS_AT_ONCE, len(self._due))):
            self._begin(self._due.popleft())
        self._schedule()

    def _begin(self, index: int) -> None:
        device_id = self._targets[index].device_id
        exchange = IspExchange(device_id, self._keys[index], self._scheme, os.urandom(NONCE_BYTES), self._settings)
        attempt = self._make(self._reactor, index, exchange, self._ended)
        self._attempts[index] = attempt
        self._counts.attempts += 1
        attempt.begin(self._sources, self._callees[index])

    def _ended(self, index: int, event: Retrieved | Failed) -> None:
        del self._attempts[index]
        now_ns = monotonic_ns()
        if isinstance(event, Failed):
            self._counts.by_reason[event.reason] += 1
            started = self._retriever.failed(index, event.reason, now_ns)
        else:
            self._counts.by_reason[Reason.NONE] += 1
            started = self._retriever.succeeded(index, now_ns)
        self._queue(started)
        if self._retriever.outcome[index] is not Outcome.PENDING:
            self._report(index, event)

    def _report(self, index: int, event: Retrieved | Failed) -> None:
        retriever = self._retriever
        if isinstance(event, Retrieved):
            self._counts.retrieved += 1
            proof = (event.isp_nonce, event.sealed)
        else:
            self._counts.failed += 1
            proof = (b"", b"")
        device_id = self._targets[index].device_id
        how = (retriever.outcome[index], retriever.reason[index], retriever.attempts[index], event.elapsed_ns)
        self._on_report(Report(device_id, *how, *proof))
