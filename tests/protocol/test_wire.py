from __future__ import annotations

import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.protocol.command import TARGETS_PER_COMMAND
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.wire import (
    MAX_FRAME_BYTES,
    Command,
    Done,
    FrameReader,
    Hello,
    Information,
    Message,
    MessageType,
    Report,
    Request,
    Start,
    Target,
    WireError,
    decode_datagram,
    encode,
)
from tests.protocol.strategies import MESSAGES

SECOND = Done(7)


def frame_of(kind: int, body: bytes, version: int = 1) -> bytes:
    """A frame put together by hand."""
    return (len(body) + 2).to_bytes(2, "big") + bytes([version, kind]) + body


def string(value: bytes) -> bytes:
    """A byte string as it stands in a body."""
    return len(value).to_bytes(2, "big") + value


def test_every_message_type_is_a_message_and_the_other_way_round() -> None:
    assert {kind.type for kind in typing.get_args(Message)} == set(MessageType)


@given(MESSAGES)
def test_a_message_survives_a_datagram(message: Message) -> None:
    assert decode_datagram(encode(message)) == message


@given(MESSAGES)
def test_a_frame_begins_with_length_version_and_type(message: Message) -> None:
    frame = encode(message)
    assert int.from_bytes(frame[:2], "big") == len(frame) - 2
    assert (frame[2], frame[3]) == (1, message.type)


@given(messages=st.lists(MESSAGES, max_size=6), data=st.data())
def test_the_cuts_of_a_stream_mean_nothing(messages: list[Message], data: st.DataObject) -> None:
    stream = b"".join(map(encode, messages))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    reader = FrameReader()
    bounds = zip([0, *cuts], [*cuts, len(stream)], strict=True)
    got = [message for begin, end in bounds for message in reader.feed(stream[begin:end])]
    reader.close()
    assert got == messages


@given(MESSAGES)
def test_a_stream_may_come_byte_by_byte(message: Message) -> None:
    frame = encode(message)
    reader = FrameReader()
    got = [got for at in range(len(frame)) for got in reader.feed(frame[at : at + 1])]
    assert got == [message]


@given(message=MESSAGES, data=st.data())
def test_a_stream_that_ends_inside_a_frame_is_truncated(message: Message, data: st.DataObject) -> None:
    frame = encode(message)
    end = data.draw(st.integers(1, len(frame) - 1))
    reader = FrameReader()
    assert reader.feed(frame[:end]) == []
    with pytest.raises(WireError) as caught:
        reader.close()
    assert caught.value.reason is Reason.TRUNCATED


def test_a_stream_may_end_between_frames_or_before_the_first() -> None:
    FrameReader().close()
    reader = FrameReader()
    assert reader.feed(encode(SECOND)) == [SECOND]
    reader.close()


@given(message=MESSAGES, data=st.data())
def test_a_cut_datagram_is_truncated(message: Message, data: st.DataObject) -> None:
    frame = encode(message)
    end = data.draw(st.integers(0, len(frame) - 1))
    with pytest.raises(WireError) as caught:
        decode_datagram(frame[:end])
    assert caught.value.reason is Reason.TRUNCATED


@given(message=MESSAGES, more=st.binary(min_size=1, max_size=20))
def test_a_datagram_with_something_after_the_frame_is_malformed(message: Message, more: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode_datagram(encode(message) + more)
    assert caught.value.reason is Reason.MALFORMED


@given(message=MESSAGES, more=st.binary(min_size=1, max_size=20))
def test_a_body_that_is_longer_than_its_fields_is_malformed(message: Message, more: bytes) -> None:
    frame = frame_of(message.type, encode(message)[4:] + more)
    _both_refuse(frame, Reason.MALFORMED)


@given(message=MESSAGES, data=st.data())
def test_a_body_that_ends_before_its_fields_is_malformed(message: Message, data: st.DataObject) -> None:
    body = encode(message)[4:]
    end = data.draw(st.integers(0, len(body) - 1))
    _both_refuse(frame_of(message.type, body[:end]), Reason.MALFORMED)


@pytest.mark.parametrize("length", [MAX_FRAME_BYTES + 1, 0xFFFF])
def test_a_frame_that_announces_too_much_is_refused_by_its_length_field_alone(length: int) -> None:
    _both_refuse(length.to_bytes(2, "big"), Reason.OVERSIZED)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"\0\0", id="empty"),
        pytest.param(b"\0\1\1", id="version alone"),
        pytest.param(frame_of(MessageType.DONE, bytes(8), version=0), id="version 0"),
        pytest.param(frame_of(MessageType.DONE, bytes(8), version=2), id="version 2"),
        pytest.param(frame_of(0, b""), id="type 0"),
        pytest.param(frame_of(6, b""), id="type 6"),
        pytest.param(frame_of(255, b""), id="type 255"),
        pytest.param(frame_of(MessageType.REFUSAL, b"\7"), id="unknown reason"),
        pytest.param(frame_of(MessageType.REFUSAL, b"\0"), id="refusal without a reason"),
        pytest.param(frame_of(MessageType.COMMAND, b"\0\1" + bytes(10) + string(b"12345")), id="address of 5 bytes"),
        pytest.param(frame_of(MessageType.COMMAND, b"\0\1" + bytes(10) + string(b"")), id="no address"),
        pytest.param(frame_of(MessageType.COMMAND, b"\xff\xff"), id="65535 targets in no bytes"),
        pytest.param(frame_of(MessageType.REPORT, bytes(8) + b"\3" + bytes(17)), id="unknown outcome"),
        pytest.param(frame_of(MessageType.REPORT, bytes(8) + b"\1\x63" + bytes(16)), id="report, unknown reason"),
        pytest.param(frame_of(MessageType.REQUEST, b"\xff\xff" + bytes(50)), id="string longer than the body"),
    ],
)
def test_what_has_a_frame_but_is_no_message_is_malformed(frame: bytes) -> None:
    _both_refuse(frame, Reason.MALFORMED)


def _both_refuse(frame: bytes, reason: Reason) -> None:
    with pytest.raises(WireError) as caught:
        decode_datagram(frame)
    assert caught.value.reason is reason
    with pytest.raises(WireError) as caught:
        FrameReader().feed(frame)
    assert caught.value.reason is reason


def test_a_frame_has_at_most_16_kib() -> None:
    assert MAX_FRAME_BYTES == 16_384


def test_the_longest_frame_passes_and_one_byte_more_does_not() -> None:
    room = MAX_FRAME_BYTES - 4
    longest = Request(bytes(room))
    assert decode_datagram(encode(longest)) == longest
    assert FrameReader().feed(encode(longest)) == [longest]
    with pytest.raises(WireError) as caught:
        encode(Request(bytes(room + 1)))
    assert caught.value.reason is Reason.OVERSIZED


@pytest.mark.parametrize(
    "message",
    [
        Information(bytes(70_000), b""),
        Hello(1, bytes(1 << 16)),
        Hello(1 << 64, bytes(16)),
        Start(-1),
        Report(1, Outcome.FAILED, Reason.SILENT, 1 << 32, 0, b"", b""),
        Command((Target(1, bytes(4), 1 << 16),)),
        Command((Target(1, bytes(4), 1),) * 70_000),
    ],
)
def test_what_no_field_can_hold_is_refused_by_the_encoder_with_the_same_error(message: Message) -> None:
    with pytest.raises(WireError, match="oversized") as caught:
        encode(message)
    assert caught.value.reason is Reason.OVERSIZED


def test_a_full_command_fits_a_frame_even_with_ipv6_addresses() -> None:
    command = Command(tuple(Target(index, bytes(16), 65535) for index in range(TARGETS_PER_COMMAND)))
    assert decode_datagram(encode(command)) == command


@given(messages=st.lists(MESSAGES, min_size=1, max_size=4), data=st.data())
def test_a_reader_keeps_less_than_a_frame_between_calls(messages: list[Message], data: st.DataObject) -> None:
    stream = b"".join(map(encode, messages))
    step = data.draw(st.integers(1, len(stream)))
    reader = FrameReader()
    for at in range(0, min(len(stream), 200 * step), step):
        reader.feed(stream[at : at + step])
        assert held_bytes(reader) < max(len(encode(message)) for message in messages)


def test_a_reader_of_an_endless_frame_never_holds_more_than_the_longest_one() -> None:
    reader = FrameReader()
    reader.feed(MAX_FRAME_BYTES.to_bytes(2, "big") + b"\1\3")
    for _ in range(MAX_FRAME_BYTES // 100 - 1):
        reader.feed(bytes(100))
        assert held_bytes(reader) < 2 + MAX_FRAME_BYTES
    with pytest.raises(WireError) as caught:
        reader.feed(bytes(200))
    assert caught.value.reason is Reason.MALFORMED


def held_bytes(reader: FrameReader) -> int:
    """What the reader keeps, which nobody but this test needs to know."""
    return len(reader._buffer)


def test_after_an_error_a_reader_gives_nothing_and_holds_nothing() -> None:
    """Where the next frame begins cannot be known; a peer that goes on must not fill memory."""
    reader = FrameReader()
    assert reader.feed(encode(SECOND) + b"\xff") == [SECOND]
    for _ in range(3):
        with pytest.raises(WireError) as caught:
            reader.feed(b"\xff" * 1000)
        assert caught.value.reason is Reason.OVERSIZED
        assert held_bytes(reader) == 0
    with pytest.raises(WireError):
        reader.feed(encode(SECOND))


def test_a_wire_error_tells_reason_and_detail() -> None:
    assert str(WireError(Reason.OVERSIZED, "frame of 9 bytes")) == "oversized: frame of 9 bytes"
