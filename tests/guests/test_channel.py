"""The host's end of the channel: frames, requests, deadlines, a guest that dies, an agent that reads slowly."""

from __future__ import annotations

import errno
import re
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.deadline import Deadline
from hostemu.base.errors import CommandFailed, DeadlineExceeded, GuestError
from hostemu.guests.channel import (
    HEAD,
    MAX_PAYLOAD,
    SEED_BYTES,
    STREAMS,
    VERSION,
    WINDOW_BYTES,
    FrameKind,
    FrameSplitter,
    frame,
    spawn_payload,
    strings,
)
from hostemu.guests.toolchain import NATIVE
from tests.guests.agents import RELEASE, talking

FRAMES = st.lists(
    st.tuples(st.sampled_from(FrameKind), st.integers(0, STREAMS), st.binary(max_size=300)), max_size=12
)
LINE_BYTES = 64


def soon() -> Deadline:
    """A deadline that only a failure reaches."""
    return Deadline.after(10.0, "the played agent")


def shortly() -> Deadline:
    """A deadline that is to be reached."""
    return Deadline.after(0.05, "an answer that does not come")


def header(name: str) -> dict[str, int]:
    """The constants of the agent's header: `NAME = number` or `NAME = number << places`."""
    text = re.sub(r"/\*.*?\*/", "", (NATIVE / name).read_text(), flags=re.DOTALL)
    found = re.findall(r"\b([A-Z_]+) = (\d+)(?: << (\d+))?,", text)
    return {constant: int(number) << int(places or 0) for constant, number, places in found}


def test_both_ends_have_the_same_table_of_frames() -> None:
    theirs = header("frames.h")
    limits = {
        "FRAME_HEAD_BYTES": HEAD.size,
        "FRAME_MAX_PAYLOAD": MAX_PAYLOAD,
        "WINDOW_BYTES": WINDOW_BYTES,
        "CHANNEL_VERSION": VERSION,
    }
    assert theirs == {**limits, **{kind.name: kind.value for kind in FrameKind}}


@given(frames=FRAMES, cuts=st.lists(st.integers(0, 4000)))
def test_frames_are_the_same_however_the_stream_is_cut(
    frames: list[tuple[FrameKind, int, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(frame(*one) for one in frames)
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    splitter, seen = FrameSplitter(), []
    for start, end in pairwise(ends):
        seen += splitter.feed(stream[start:end])
    assert seen == frames


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_whatever_comes_is_cut_into_frames_or_refused(pieces: list[bytes]) -> None:
    splitter, fed, found = FrameSplitter(), 0, 0
    try:
        for piece in pieces:
            fed += len(piece)
            found += sum(HEAD.size + len(payload) for _, _, payload in splitter.feed(piece))
    except ValueError:
        return
    assert found <= fed


@pytest.mark.parametrize(
    "head",
    [
        HEAD.pack(MAX_PAYLOAD + 1, FrameKind.STDOUT, 0, 1),
        HEAD.pack(0, FrameKind.STDOUT, 1, 1),
        HEAD.pack(0, 0, 0, 1),
        HEAD.pack(0, 250, 0, 1),
        b"Kernel panic - not syncing",
    ],
)
def test_what_is_no_frame_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError, match=r"no frame of an agent|FrameKind"):
        FrameSplitter().feed(head)


def test_the_longest_payload_is_a_frame_and_a_longer_one_is_not() -> None:
    longest = b"x" * MAX_PAYLOAD
    assert FrameSplitter().feed(frame(FrameKind.STDIN, 7, longest)) == [(FrameKind.STDIN, 7, longest)]
    with pytest.raises(ValueError, match=str(MAX_PAYLOAD)):
        frame(FrameKind.STDIN, 7, longest + b"x")


def test_an_order_holds_folder_root_arguments_and_environment() -> None:
    payload = spawn_payload(["sh", "-c", ""], {"A": "b=c"}, "/own", "")
    assert payload == b"\3\0\1\0" + b"/own\0\0sh\0-c\0\0A=b=c\0"


def test_a_guest_is_ready_when_its_agent_says_so() -> None:
    with talking() as (channel, agent):
        with pytest.raises(DeadlineExceeded):
            channel.wait_ready(shortly())
        agent.ready()
        channel.wait_ready(soon())
        assert channel.release == RELEASE


def test_a_late_answer_is_nobodys_and_the_channel_goes_on() -> None:
    with talking() as (channel, agent), ThreadPoolExecutor(1) as other:
        with pytest.raises(DeadlineExceeded):
            channel.request(FrameKind.READ, b"/late", shortly())
        stream, _ = agent.hear(FrameKind.READ)
        agent.say(FrameKind.ANSWER, stream, b"too late")
        asked = other.submit(agent.answer, b"in time", FrameKind.READ)
        assert channel.request(FrameKind.READ, b"/soon", soon()) == b"in time"
        assert asked.result() == b"/soon"


def test_every_request_gets_its_own_answer() -> None:
    """Ten at a time; the agent answers the last one first."""
    with talking() as (channel, agent), ThreadPoolExecutor(10) as askers:
        asked = [askers.submit(channel.request, FrameKind.READ, b"%d" % number, soon()) for number in range(10)]
        heard = [agent.hear(FrameKind.READ) for _ in asked]
        assert len({stream for stream, _ in heard}) == 10
        for stream, payload in reversed(heard):
            agent.say(FrameKind.ANSWER, stream, b"answer to " + payload)
        assert [one.result() for one in asked] == [b"answer to %d" % number for number in range(10)]


def test_an_errno_in_an_answer_is_an_error_of_the_system() -> None:
    with talking() as (channel, agent), ThreadPoolExecutor(1) as other:
        other.submit(agent.answer, struct.pack("<I", errno.EROFS), FrameKind.WRITE)
        with pytest.raises(OSError, match="Read-only") as caught:
            channel.checked(FrameKind.WRITE, strings("/proc/x") + b"1", soon())
        assert caught.value.errno == errno.EROFS
        other.submit(agent.answer, struct.pack("<I", 0) + b"content", FrameKind.READ)
        assert channel.checked(FrameKind.READ, b"/proc/x", soon()) == b"content"


@pytest.mark.parametrize("last_words", [b"", b"Kernel panic - not syncing: nothing to run"])
def test_whoever_waits_for_a_guest_that_dies_is_told_at_once(last_words: bytes) -> None:
    with talking() as (channel, agent):

        def die() -> None:
            agent.hear(FrameKind.CLOCK)
            agent.sock.sendall(last_words)
            agent.sock.close()

        killer = threading.Thread(target=die)
        killer.start()
        began_s = time.monotonic()
        with pytest.raises(GuestError) as caught:
            channel.request(FrameKind.CLOCK, b"", soon())
        killer.join()
        assert not isinstance(caught.value, CommandFailed)
        assert time.monotonic() - began_s < 5.0
        assert not channel.is_open
        for use in (lambda: channel.send(FrameKind.END, 0), lambda: channel.wait_ready(soon())):
            with pytest.raises(GuestError, match="has died"):
                use()


def test_a_closed_channel_refuses_everything_and_may_be_closed_again() -> None:
    with talking() as (channel, _agent):
        channel.close()
        channel.close()
        with pytest.raises(GuestError):
            channel.request(FrameKind.CLOCK, b"", soon())


@given(payloads=st.lists(st.binary(max_size=200), max_size=6), reads=st.lists(st.integers(1, 100), min_size=1))
def test_no_more_is_on_its_way_than_the_line_takes(payloads: list[bytes], reads: list[int]) -> None:
    whole = b"".join(frame(FrameKind.STDIN, 1, payload) for payload in payloads)
    with talking(LINE_BYTES) as (channel, agent):
        for payload in payloads:
            channel.send(FrameKind.STDIN, 1, payload)
        got, turn = bytearray(), 0
        while len(got) < len(whole):
            on_its_way = len(agent.sock.recv(1 << 16, socket.MSG_PEEK))
            assert on_its_way <= LINE_BYTES
            piece = agent.sock.recv(reads[turn % len(reads)])
            got += piece
            turn += 1
            agent.say(FrameKind.ACK, 0, struct.pack("<I", len(piece)))
        assert got == whole


def test_a_line_whose_reader_acknowledges_nothing_carries_no_more() -> None:
    with talking(LINE_BYTES) as (channel, agent):
        channel.send(FrameKind.STDIN, 1, bytes(1000))
        time.sleep(0.05)
        assert len(agent.sock.recv(1 << 16)) == LINE_BYTES
        assert agent.hears_nothing()
        agent.say(FrameKind.ACK, 0, struct.pack("<I", 10))
        assert len(agent.sock.recv(1 << 16)) == 10


def test_the_kernels_answers_come_in_order_and_those_of_an_earlier_batch_do_not() -> None:
    with talking() as (channel, agent):
        first = channel.netlink(b"first batch", soon())
        assert agent.hear(FrameKind.NETLINK) == (0, b"first batch")
        for answer in (b"one", b"two", b"left over"):
            agent.say(FrameKind.NETLINK, 0, answer)
        assert [first(), first()] == [b"one", b"two"]
        agent.ready()
        channel.wait_ready(soon())  # so that what was left over has come in
        second = channel.netlink(b"second batch", soon())
        agent.say(FrameKind.NETLINK, 0, b"three")
        assert second() == b"three"
        with pytest.raises(DeadlineExceeded):
            channel.netlink(b"third batch", shortly())()


def test_a_stream_in_use_is_never_given_to_another() -> None:
    with talking() as (channel, _agent):
        kept = channel.open_stream(lambda _kind, _payload: None)
        others = set()
        for _ in range(STREAMS + 10):
            stream = channel.open_stream(lambda _kind, _payload: None)
            channel.close_stream(stream)
            others.add(stream)
        assert kept not in others
        assert others == set(range(1, STREAMS + 1)) - {kept}


def test_the_offset_of_a_clock_is_that_of_the_quickest_answer() -> None:
    ahead_ns, delays_s = 5_000_000_000, (0.2, 0.0, 0.1, 0.0, 0.05)
    with talking() as (channel, agent):

        def tell() -> None:
            for delay_s in delays_s:
                stream, _ = agent.hear(FrameKind.CLOCK)
                time.sleep(delay_s)
                agent.say(FrameKind.ANSWER, stream, struct.pack("<QQ", time.monotonic_ns() + ahead_ns, 0))

        clock = threading.Thread(target=tell)
        clock.start()
        assert abs(channel.clock_offset_ns(soon()) - ahead_ns) < 5_000_000
        clock.join()


def test_a_seed_is_the_time_of_day_and_random() -> None:
    seeds = []
    with talking() as (channel, agent), ThreadPoolExecutor(1) as other:
        for _ in range(2):
            asked = other.submit(agent.answer, bytes(4), FrameKind.RESEED)
            channel.reseed(soon())
            seeds.append(asked.result())
    assert all(abs(struct.unpack_from("<Q", seed)[0] - time.time_ns()) < 10e9 for seed in seeds)
    assert seeds[0][8:] != seeds[1][8:]
    assert {len(seed) for seed in seeds} == {8 + SEED_BYTES}
