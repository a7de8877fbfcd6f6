"""ISP server and terminal over channels that misbehave: whatever happens, both end, and neither is deceived."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hostemu.protocol.auth import Scheme
from hostemu.protocol.events import Event, Failed, Refused, Retrieved, Send, Served
from hostemu.protocol.exchange import ExchangeSettings, ExchangeState, IspExchange
from hostemu.protocol.reasons import Reason
from hostemu.protocol.terminal import NonceMemory, TerminalSession, TerminalState
from hostemu.protocol.wire import FrameReader, Message, WireError, decode_datagram, encode
from tests.protocol.builders import (
    CREDENTIALS,
    DATAGRAM,
    HMAC,
    INFORMATION,
    ISP_NONCE,
    MS,
    STREAM,
    XOR,
    isp,
    talk,
    terminal,
    unseal,
)
from tests.protocol.strategies import MESSAGES

STEPS = settings(max_examples=120, stateful_step_count=30, deadline=None)


class Conversation(RuleBasedStateMachine):
    """Both sides, the clock between them, and what must always hold.  Subclasses are the channels."""

    scheme: Scheme
    settings: ExchangeSettings
    is_open_to_attack = False

    isp: IspExchange
    terminal: TerminalSession

    @initialize(ahead=st.integers(0, 3))
    def begin(self, ahead: int) -> None:
        """Begin, and let the first `ahead` messages through, so that late states are met as often as early ones."""
        self.now_ns = 7_000 * MS
        self.began_ns = self.now_ns
        self.ends: list[Event] = []
        self.served: list[Event] = []
        self.isp = isp(self.scheme, settings=self.settings)
        self.terminal = terminal(self.scheme, memory=NonceMemory())
        self.from_isp(self.isp.begin(self.now_ns))
        for _ in range(ahead):
            self.one_goes_through()

    def one_goes_through(self) -> None:
        raise NotImplementedError

    def deliver_to_terminal(self, frame: bytes) -> None:
        raise NotImplementedError

    def deliver_to_isp(self, frame: bytes) -> None:
        raise NotImplementedError

    def from_isp(self, events: list[Event]) -> None:
        """The ISP server's driver."""
        for event in events:
            if isinstance(event, Send):
                self.deliver_to_terminal(encode(event.message))
            else:
                self.ends.append(event)

    def from_terminal(self, events: list[Event]) -> None:
        """The terminal's driver."""
        for event in events:
            if isinstance(event, Send):
                self.deliver_to_isp(encode(event.message))
            else:
                self.served.append(event)

    @rule(step_ns=st.sampled_from([1, 10 * MS, 250 * MS]))
    def time_passes(self, step_ns: int) -> None:
        self.now_ns += step_ns
        self.from_isp(self.isp.timer(self.now_ns))

    @invariant()
    def the_isp_server_ends_once_and_only_then_is_closed(self) -> None:
        assert all(isinstance(end, Retrieved | Failed) for end in self.ends)
        assert len(self.ends) == (self.isp.state is ExchangeState.CLOSED)

    @invariant()
    def a_timer_is_set_until_the_end_and_no_later_than_the_deadline(self) -> None:
        timer_at_ns = self.isp.timer_at_ns
        assert (timer_at_ns is None) == (self.isp.state is ExchangeState.CLOSED)
        if timer_at_ns is not None:
            total_ns = self.settings.connect_timeout_ns + self.settings.answer_timeout_ns
            assert timer_at_ns <= self.began_ns + total_ns

    @invariant()
    def the_terminal_serves_once_at_most(self) -> None:
        assert self.served.count(Served()) <= 1
        assert sum(isinstance(event, Refused) for event in self.served) <= 1

    @invariant()
    def what_is_retrieved_is_true_and_was_served(self) -> None:
        for end in self.ends:
            if isinstance(end, Retrieved):
                assert Served() in self.served
                assert unseal(self.scheme, end) == INFORMATION

    def teardown(self) -> None:
        """Left alone, the ISP server ends by its timers and the terminal by its driver's time-out."""
        if not hasattr(self, "isp"):
            return
        for _ in range(20):
            if self.isp.timer_at_ns is not None:
                self.now_ns = max(self.now_ns, self.isp.timer_at_ns)
                self.from_isp(self.isp.timer(self.now_ns))
                assert self.isp.timer_at_ns is None or self.isp.timer_at_ns > self.now_ns
        assert self.isp.state is ExchangeState.CLOSED
        self.terminal.broken(Reason.TIMEOUT)
        assert self.terminal.state is TerminalState.CLOSED
        self.the_isp_server_ends_once_and_only_then_is_closed()
        self.what_is_retrieved_is_true_and_was_served()


class DatagramConversation(Conversation):
    """UDP: each datagram may be lost, come twice, or come after its followers."""

    scheme = HMAC
    settings = DATAGRAM

    def __init__(self) -> None:
        super().__init__()
        self.to_terminal: list[bytes] = []
        self.to_isp: list[bytes] = []

    def deliver_to_terminal(self, frame: bytes) -> None:
        self.to_terminal.append(frame)

    def deliver_to_isp(self, frame: bytes) -> None:
        self.to_isp.append(frame)

    @rule()
    @precondition(lambda self: self.to_terminal or self.to_isp)
    def one_goes_through(self) -> None:
        """The latest message, in whichever direction, arrives once."""
        if self.to_isp:
            self.hand_to_isp(self.to_isp.pop())
        elif self.to_terminal:
            self.hand_to_terminal(self.to_terminal.pop())

    @rule(data=st.data(), stays=st.booleans())
    @precondition(lambda self: self.to_terminal)
    def one_reaches_the_terminal(self, data: st.DataObject, stays: bool) -> None:
        self.hand_to_terminal(pick(self.to_terminal, data, stays))

    @rule(data=st.data(), stays=st.booleans())
    @precondition(lambda self: self.to_isp)
    def one_reaches_the_isp_server(self, data: st.DataObject, stays: bool) -> None:
        self.hand_to_isp(pick(self.to_isp, data, stays))

    @rule(data=st.data())
    @precondition(lambda self: self.to_terminal or self.to_isp)
    def one_is_lost(self, data: st.DataObject) -> None:
        pick(self.to_terminal or self.to_isp, data, stays=False)

    def hand_to_terminal(self, frame: bytes) -> None:
        self.from_terminal(self.terminal.receive(decode_datagram(frame)))

    def hand_to_isp(self, frame: bytes) -> None:
        self.from_isp(self.isp.receive(decode_datagram(frame), self.now_ns))

    @invariant()
    def an_honest_channel_makes_nobody_refuse(self) -> None:
        if not self.is_open_to_attack:
            assert not any(isinstance(event, Refused) for event in self.served)
            reasons = {end.reason for end in self.ends if isinstance(end, Failed)}
            assert reasons <= {Reason.SILENT, Reason.TIMEOUT}


class XorDatagramConversation(DatagramConversation):
    """The legacy scheme over UDP: without an attacker it works as well."""

    scheme = XOR


OVERHEARD = talk(isp(HMAC, nonce=b"o" * 16), terminal(HMAC, information=b"old", nonce=b"t" * 16)).messages
"""An earlier exchange of the same two, which the attacker recorded."""


class AttackedConversation(DatagramConversation):
    """UDP with somebody in the middle who changes, invents and replays, but has no key."""

    is_open_to_attack = True

    @rule(message=st.one_of(st.sampled_from(OVERHEARD), MESSAGES), to_terminal=st.booleans())
    def a_message_is_put_in(self, message: Message, to_terminal: bool) -> None:
        (self.to_terminal if to_terminal else self.to_isp).append(encode(message))

    @rule(data=st.data())
    @precondition(lambda self: self.to_terminal or self.to_isp)
    def a_bit_is_changed(self, data: st.DataObject) -> None:
        queue = self.to_terminal or self.to_isp
        frame = bytearray(pick(queue, data, stays=False))
        frame[data.draw(st.integers(2, len(frame) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        queue.append(bytes(frame))

    @rule(data=st.data(), nonce=st.sampled_from([b"o" * 16, b"t" * 16, bytes(16)]))
    @precondition(lambda self: self.to_terminal or self.to_isp)
    def a_nonce_is_exchanged(self, data: st.DataObject, nonce: bytes) -> None:
        queue = self.to_terminal or self.to_isp
        queue.append(pick(queue, data, stays=False).replace(ISP_NONCE, nonce))

    def hand_to_terminal(self, frame: bytes) -> None:
        try:
            super().hand_to_terminal(frame)
        except WireError as error:
            self.from_terminal(self.terminal.broken(error.reason))

    def hand_to_isp(self, frame: bytes) -> None:
        try:
            super().hand_to_isp(frame)
        except WireError as error:
            self.from_isp(self.isp.broken(error.reason, self.now_ns))


class StreamConversation(Conversation):
    """TCP: bytes come in any pieces and in order, until somebody or something cuts the connection."""

    scheme = HMAC
    settings = STREAM

    def __init__(self) -> None:
        super().__init__()
        self.to_terminal = b""
        self.to_isp = b""
        self.is_cut = False
        self.terminal_reader, self.isp_reader = FrameReader(), FrameReader()

    def deliver_to_terminal(self, frame: bytes) -> None:
        self.to_terminal += frame

    def deliver_to_isp(self, frame: bytes) -> None:
        self.to_isp += frame

    @rule()
    @precondition(lambda self: not self.is_cut)
    def one_goes_through(self) -> None:
        """The connection is made, or all that is under way in one direction arrives."""
        if self.isp.state is ExchangeState.CONNECTING:
            self.the_connection_stands()
        elif self.to_terminal:
            self.some_bytes_reach_the_terminal(len(self.to_terminal))
        elif self.to_isp:
            self.some_bytes_reach_the_isp_server(len(self.to_isp))

    @rule()
    @precondition(lambda self: self.isp.state is ExchangeState.CONNECTING)
    def the_connection_stands(self) -> None:
        self.from_isp(self.isp.opened(self.now_ns))

    @rule(length=st.integers(1, 80))
    @precondition(lambda self: self.to_terminal and not self.is_cut)
    def some_bytes_reach_the_terminal(self, length: int) -> None:
        piece, self.to_terminal = self.to_terminal[:length], self.to_terminal[length:]
        for message in self.terminal_reader.feed(piece):
            self.from_terminal(self.terminal.receive(message))

    @rule(length=st.integers(1, 120))
    @precondition(lambda self: self.to_isp and not self.is_cut)
    def some_bytes_reach_the_isp_server(self, length: int) -> None:
        piece, self.to_isp = self.to_isp[:length], self.to_isp[length:]
        for message in self.isp_reader.feed(piece):
            self.from_isp(self.isp.receive(message, self.now_ns))

    @rule()
    @precondition(lambda self: not self.is_cut and self.isp.state is not ExchangeState.NEW)
    def the_connection_breaks(self) -> None:
        self.is_cut = True
        self.from_isp(self.isp.broken(_reason_of_end(self.isp_reader), self.now_ns))
        self.from_terminal(self.terminal.broken(_reason_of_end(self.terminal_reader)))
        assert self.isp.state is ExchangeState.CLOSED
        assert self.terminal.state is TerminalState.CLOSED


class XorStreamConversation(StreamConversation):
    """The legacy scheme over TCP."""

    scheme = XOR


def pick(queue: list[bytes], data: st.DataObject, stays: bool) -> bytes:
    """Any one of the queue, which may stay there and come again."""
    at = data.draw(st.integers(0, len(queue) - 1))
    return queue[at] if stays else queue.pop(at)


def _reason_of_end(reader: FrameReader) -> Reason:
    try:
        reader.close()
    except WireError as error:
        return error.reason
    return Reason.RESET


def _case(machine: type[Conversation]) -> type:
    case: type = machine.TestCase
    case.settings = STEPS  # type: ignore[attr-defined]
    return case


TestDatagramsLostDoubledAndOutOfOrder = _case(DatagramConversation)
TestDatagramsLostDoubledAndOutOfOrderWithXor = _case(XorDatagramConversation)
TestDatagramsWithSomebodyInTheMiddle = _case(AttackedConversation)
TestStreamsInPiecesAndCut = _case(StreamConversation)
TestStreamsInPiecesAndCutWithXor = _case(XorStreamConversation)


def test_over_a_perfect_channel_both_ends_are_successes() -> None:
    for channel in (STREAM, DATAGRAM):
        result = talk(isp(HMAC, settings=channel), terminal(HMAC))
        assert [type(end) for end in result.ends] == [Served, Retrieved]


def test_the_attackers_recording_is_of_other_information_under_the_same_keys() -> None:
    """Else the attack could not show anything."""
    old = talk(isp(HMAC, nonce=b"o" * 16), terminal(HMAC, information=b"old", nonce=b"t" * 16))
    (retrieved,) = (end for end in old.ends if isinstance(end, Retrieved))
    assert unseal(HMAC, retrieved) == b"old"
    assert unseal(HMAC, replace(retrieved, isp_nonce=bytes(16))) is None
    assert old.messages == OVERHEARD
    assert CREDENTIALS.own_key != CREDENTIALS.shared_key
