"""A recorded exchange, played again to either side."""

from __future__ import annotations

import pytest

from hostemu.protocol.auth import Scheme
from hostemu.protocol.events import Event, Failed, Refused, Retrieved, Send, Served
from hostemu.protocol.exchange import ExchangeSettings, IspExchange
from hostemu.protocol.reasons import Reason
from hostemu.protocol.terminal import NonceMemory, TerminalSession
from hostemu.protocol.wire import FrameReader, Message, Refusal, encode
from tests.protocol.builders import DATAGRAM, HMAC, STREAM, XOR, begin, isp, talk, terminal, unseal

OLD_ISP_NONCE = b"i" * 16
OLD_TERMINAL_NONCE = b"t" * 16
NEW_TERMINAL_NONCE = b"T" * 16


def record(scheme: Scheme, memory: NonceMemory) -> dict[str, bytes]:
    """The bytes that each side sent in an exchange that succeeded."""
    server = isp(scheme, nonce=OLD_ISP_NONCE)
    done = talk(server, terminal(scheme, information=b"old", memory=memory, nonce=OLD_TERMINAL_NONCE))
    assert done.ends_of(Retrieved) != []
    return {
        side: b"".join(encode(message) for speaker, message in done.spoken if speaker == side)
        for side in ("isp", "terminal")
    }


def play_to_terminal(recording: bytes, session: TerminalSession) -> list[Event]:
    """What the terminal does about the ISP server's half of a recording."""
    return [event for message in FrameReader().feed(recording) for event in session.receive(message)]


def play_to_isp(recording: bytes, server: IspExchange) -> list[Event]:
    """What the ISP server does about the terminal's half of a recording."""
    begin(server)
    return [event for message in FrameReader().feed(recording) for event in server.receive(message, 0)]


def test_the_terminal_refuses_a_challenge_that_it_has_answered_before() -> None:
    memory = NonceMemory()
    recording = record(HMAC, memory)
    events = play_to_terminal(recording["isp"], terminal(HMAC, memory=memory, nonce=NEW_TERMINAL_NONCE))
    assert events == [Send(Refusal(Reason.REPLAY)), Refused(Reason.REPLAY)]


def test_a_terminal_that_has_forgotten_the_challenge_refuses_the_request() -> None:
    """It was off, or has met 64 others since: its own fresh nonce stands before the information."""
    recording = record(HMAC, NonceMemory())
    events = play_to_terminal(recording["isp"], terminal(HMAC, nonce=NEW_TERMINAL_NONCE))
    assert events[1:] == [Send(Refusal(Reason.WRONG_KEY)), Refused(Reason.WRONG_KEY)]
    assert Served() not in events


def test_64_exchanges_later_a_recording_is_still_refused() -> None:
    memory = NonceMemory()
    recording = record(HMAC, memory)
    for index in range(64):
        talk(isp(HMAC, nonce=bytes([index]) * 16), terminal(HMAC, memory=memory, nonce=bytes([index]) * 16))
    events = play_to_terminal(recording["isp"], terminal(HMAC, memory=memory, nonce=NEW_TERMINAL_NONCE))
    assert Refused(Reason.WRONG_KEY) in events
    assert Served() not in events


def test_a_terminal_that_uses_a_nonce_twice_has_its_memory_alone_to_stand_on() -> None:
    """Why nonces are to be used once."""
    memory = NonceMemory()
    recording = record(HMAC, memory)
    assert Served() in play_to_terminal(recording["isp"], terminal(HMAC, nonce=OLD_TERMINAL_NONCE))
    assert Served() not in play_to_terminal(recording["isp"], terminal(HMAC, memory=memory, nonce=OLD_TERMINAL_NONCE))


@pytest.mark.parametrize("scheme", [HMAC, XOR], ids=["hmac-sha256", "xor"])
@pytest.mark.parametrize("channel", [STREAM, DATAGRAM], ids=["stream", "datagram"])
def test_the_isp_server_refuses_a_recorded_answer_to_its_challenge(scheme: Scheme, channel: ExchangeSettings) -> None:
    recording = record(scheme, NonceMemory())
    events = play_to_isp(recording["terminal"], isp(scheme, settings=channel))
    assert events == [Send(Refusal(Reason.WRONG_KEY)), Failed(Reason.WRONG_KEY, 0)]


def half_replayed(scheme: Scheme) -> list[Event]:
    """Someone in the middle lets the authentication through and puts recorded information in the place of the new."""
    old = FrameReader().feed(record(scheme, NonceMemory())["terminal"])[1]

    def put_in(message: Message) -> Message:
        return old if message.type is old.type else message

    return list(talk(isp(scheme), terminal(scheme, information=b"new"), put_in).ends)


def test_hmac_refuses_recorded_information_after_a_true_authentication() -> None:
    assert half_replayed(HMAC) == [Served(), Failed(Reason.WRONG_KEY, 0), Refused(Reason.WRONG_KEY)]


def test_xor_takes_recorded_information_for_new() -> None:
    served, retrieved = half_replayed(XOR)
    assert served == Served()
    assert isinstance(retrieved, Retrieved)
    assert unseal(XOR, retrieved) == b"old"
