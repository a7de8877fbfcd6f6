"""Whatever arrives, the decoder answers with messages or a WireError, and with the same one however it was cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import FrameReader, Message, MessageType, WireError, decode_datagram, encode
from tests.protocol.strategies import MESSAGES

ABOUT_BYTES = {Reason.MALFORMED, Reason.OVERSIZED, Reason.TRUNCATED}
KINDS = st.sampled_from(MessageType)


def datagram_result(data: bytes) -> Message | Reason:
    """What a datagram decodes to, or why it does not."""
    try:
        return decode_datagram(data)
    except WireError as error:
        return error.reason


def stream_result(chunks: list[bytes]) -> Reason | None:
    """Why a stream is refused, None when it is not."""
    reader = FrameReader()
    try:
        for chunk in chunks:
            reader.feed(chunk)
        reader.close()
    except WireError as error:
        return error.reason
    return None


@given(st.binary(max_size=300))
@example(b"")
@example(b"\0")
def test_arbitrary_bytes_are_a_message_or_a_wire_error(data: bytes) -> None:
    result = datagram_result(data)
    assert result in ABOUT_BYTES if isinstance(result, Reason) else encode(result) == data


@given(kind=KINDS, body=st.binary(max_size=300))
def test_arbitrary_bodies_are_a_message_or_malformed(kind: MessageType, body: bytes) -> None:
    frame = (len(body) + 2).to_bytes(2, "big") + bytes([1, kind]) + body
    result = datagram_result(frame)
    assert result is Reason.MALFORMED if isinstance(result, Reason) else encode(result) == frame


@given(message=MESSAGES, data=st.data())
def test_a_frame_with_changed_bytes_is_another_message_or_a_wire_error(message: Message, data: st.DataObject) -> None:
    frame = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, min(len(frame), 64) - 1))] ^= data.draw(st.integers(1, 255))
    result = datagram_result(bytes(frame))
    assert result in ABOUT_BYTES if isinstance(result, Reason) else encode(result) == frame


@given(message=MESSAGES, at=st.integers(0, 64), cut=st.integers(0, 8), put=st.binary(max_size=8))
def test_a_frame_with_a_piece_replaced_is_another_message_or_a_wire_error(
    message: Message, at: int, cut: int, put: bytes
) -> None:
    frame = encode(message)
    changed = frame[:at] + put + frame[at + cut :]
    result = datagram_result(changed)
    assert result in ABOUT_BYTES if isinstance(result, Reason) else encode(result) == changed


@given(
    good=st.lists(MESSAGES, max_size=3),
    rest=st.binary(max_size=60),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_why_a_stream_is_refused_does_not_depend_on_its_cuts(
    good: list[Message], rest: bytes, cuts: list[int]
) -> None:
    stream = b"".join(map(encode, good)) + rest
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[begin:end] for begin, end in pairwise(bounds)]
    assert stream_result(chunks) == stream_result([stream])


@given(message=MESSAGES, others=st.lists(MESSAGES, max_size=3))
def test_messages_before_the_bad_one_are_given_when_they_came_before_it(
    message: Message, others: list[Message]
) -> None:
    reader = FrameReader()
    assert reader.feed(b"".join(map(encode, [message, *others]))) == [message, *others]
    with pytest.raises(WireError):
        reader.feed(b"\0\2\x63\1")


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_arbitrary_streams_give_messages_or_a_wire_error_about_bytes(chunks: list[bytes]) -> None:
    assert stream_result(chunks) in ABOUT_BYTES | {None}
