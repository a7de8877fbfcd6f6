"""The ISP server program: takes a list from the center, retrieves, reports."""

from __future__ import annotations

import select
import socket
import sys
from collections import Counter
from time import monotonic_ns
from types import TracebackType

from hostemu.base.errors import HostError
from hostemu.protocol.command import IspService, JobState
from hostemu.protocol.events import Begin, Event, Refused, Send
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import FrameReader, Refusal, Report, WireError, encode
from hostemu.retrieval.call_run import CallRun
from hostemu.retrieval.config import IspConfig
from hostemu.retrieval.console import Fields
from hostemu.retrieval.control import Emit, run_program
from hostemu.retrieval.link import Link
from hostemu.retrieval.list_run import IspCounts, ListRun
from hostemu.retrieval.reactor import Reactor
from hostemu.retrieval.sockets import bound_socket, require_files, reset

COMMAND_TIMEOUT_NS = 10_000_000_000
"""How long a center may take to give its list, while it keeps others out."""

MAX_BACKLOG_BYTES = 1 << 20
"""Reports that the center has not taken yet; with more, no attempt is begun."""

SEND_BUFFER_BYTES = 1 << 18
"""Of the center's connection, so that not the kernel's choice decides when a center counts as slow."""

FILES_PER_ATTEMPT = 2
"""One of an attempt under way, and one of a call that is over and that its terminal has not closed yet."""

SPARE_FILES = 50
"""Descriptors beside those of attempts."""


class Conversation:
    """One center's connection, from the command to the last report."""

    def __init__(self, server: IspServer, sock: socket.socket) -> None:
        self._server = server
        self._service = IspService()
        self._reader = FrameReader()
        self._run: ListRun | CallRun | None = None
        self._reports: list[bytes] = []
        self._link = Link(server.reactor, sock, self)
        due_ns = monotonic_ns() + COMMAND_TIMEOUT_NS
        self._timer = server.reactor.call_at(due_ns, self._timed_out)

    @property
    def is_busy(self) -> bool:
        """Whether another center must not take this one's place."""
        return self._service.state is not JobState.CLOSED

    @property
    def backlog_bytes(self) -> int:
        """Reports that the center has not taken yet."""
        return self._link.backlog_bytes

    def received(self, data: bytes) -> None:
        """A piece of the list."""
        if not self.is_busy:
            return
        try:
            for message in self._reader.feed(data):
                self._act(self._service.receive(message))
                self._check_length()
        except WireError as error:
            self._refuse(error.reason)

    def ended(self) -> None:
        """The center will say no more, and nobody is there to report to."""
        self.broken(Reason.RESET)

    def broken(self, reason: Reason) -> None:
        """The center has gone."""
        self._act(self._service.broken(reason))
        self.close()

    def drained(self) -> None:
        """The center has taken what was waiting for it."""
        if self._run is not None:
            self._run.hold(False)

    def close(self) -> None:
        """Stop to retrieve, and reset the connection."""
        self._abandon()
        self._link.reset()

    def _abandon(self) -> None:
        self._timer.cancel()
        self._reports.clear()
        if self._run is not None:
            self._run.abandon()
            self._run = None

    def _timed_out(self) -> None:
        self._refuse(Reason.TIMEOUT)

    def _check_length(self) -> None:
        if len(self._service.targets) > self._server.config.list_size:
            self._refuse(Reason.OVERSIZED)

    def _refuse(self, reason: Reason) -> None:
        if self.is_busy:
            self._link.send(encode(Refusal(reason)))
        self._act(self._service.broken(reason))

    def _act(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Begin():
                    self._begin()
                case Send(message):
                    self._link.send(encode(message))
                case Refused(reason):
                    self._server.refusals[reason] += 1
                    self._abandon()
                    self._link.shut()

    def _begin(self) -> None:
        self._timer.cancel()
        server = self._server
        how = (server.config, server.reactor, self._service.targets, server.counts, self._reported)
        self._run = ListRun(*how) if server.call_socket is None else CallRun(*how, server.call_socket)
        server.lists += 1
        self._run.start()
        if not self._run.left:  # an empty list
            self._act(self._service.done())

    def _reported(self, report: Report) -> None:
        if not self._reports:
            self._server.reactor.call_soon(self._flush)
        self._reports.append(encode(report))

    def _flush(self) -> None:
        """Send what has been reported since the loop's last turn, and the end of the list if that was all."""
        if self._run is None or not self._reports:
            return
        self._link.send(b"".join(self._reports))
        self._reports.clear()
        if not self._run.left:
            self._act(self._service.done())
        elif self._link.backlog_bytes > MAX_BACKLOG_BYTES:
            self._run.hold(True)


class IspServer:
    """Listens for the center; one at a time is served."""

    def __init__(self, config: IspConfig, reactor: Reactor) -> None:
        self.config = config
        self.reactor = reactor
        self.counts = IspCounts()
        self.refusals: Counter[Reason] = Counter()
        self.lists = 0
        self.call_socket: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._conversation: Conversation | None = None

    def __enter__(self) -> IspServer:
        concurrency = self.config.concurrency
        require_files(
            FILES_PER_ATTEMPT * concurrency + SPARE_FILES,
            f"{concurrency} attempts at a time",
            "lower the concurrency",
        )
        self._listener = self._bound(self.config.port)
        try:
            if self.config.call_port is not None:
                self.call_socket = self._bound(self.config.call_port)
        except BaseException:
            self._listener.close()
            raise
        self._listener.listen()
        self.reactor.register(self._listener.fileno(), select.EPOLLIN, self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._conversation is not None:
            self._conversation.close()
        if self._listener is not None:
            self.reactor.forget(self._listener.fileno())
            self._listener.close()
        if self.call_socket is not None:
            self.call_socket.close()

    def ready(self) -> Fields:
        """Where the center is waited for, and, once it has come, terminals that call."""
        port = self.config.port if self._listener is None else self._listener.getsockname()[1]
        fields: Fields = {"address": self.config.address, "port": port}
        return fields if self.call_socket is None else {**fields, "call_port": self.call_socket.getsockname()[1]}

    def start(self, at_ns: int) -> None:
        """Nothing: it is the center's command that starts the retrieval."""

    def counters(self) -> Fields:
        """What has been attempted so far, and what came of it."""
        counts = self.counts
        return {
            "lists": self.lists,
            "attempts": counts.attempts,
            "attempts_by_reason": {reason.name: count for reason, count in sorted(counts.by_reason.items())},
            "retrieved": counts.retrieved,
            "failed": counts.failed,
            "refusals": {reason.name: count for reason, count in sorted(self.refusals.items())},
            "backlog_bytes": 0 if self._conversation is None else self._conversation.backlog_bytes,
        }

    def stopping(self) -> None:
        """Nothing is left to be done."""

    def _bound(self, port: int) -> socket.socket:
        try:
            return bound_socket(socket.SOCK_STREAM, self.config.address, port)
        except OSError as error:
            raise HostError(
                f"the ISP server cannot listen on {self.config.address} port {port}",
                expected="an address of this host, and a free port",
                found=error.strerror or str(error),
            ) from error

    def _accept(self, _: int) -> None:
        if self._listener is None:
            return
        try:
            sock = self._listener.accept()[0]
        except OSError:
            return
        sock.setblocking(False)
        if self._conversation is not None and self._conversation.is_busy:
            self._turn_away(sock)
            return
        if self._conversation is not None:
            self._conversation.close()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._conversation = Conversation(self, sock)

    def _turn_away(self, sock: socket.socket) -> None:
        self.refusals[Reason.UNEXPECTED] += 1
        try:
            sock.send(encode(Refusal(Reason.UNEXPECTED)))
        except OSError:
            pass  # it has gone by itself
        finally:
            reset(sock)


def make_isp_server(text: str, file: str, reactor: Reactor, emit: Emit) -> IspServer:
    """The ISP server that a configuration asks for."""
    return IspServer(IspConfig.from_json(text, file), reactor)


if __name__ == "__main__":
    sys.exit(run_program("An ISP server, driven by JSON lines.", make_isp_server))
