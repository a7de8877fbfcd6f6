from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.protocol.auth import KEY_BYTES, SCHEMES, Credentials, Scheme, derive_key, equal
from hostemu.protocol.events import Failed, Refused, Retrieved, Served
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import NONCE_BYTES, Challenge, Hello, Information, Message, Refusal, Request, encode
from tests.protocol.builders import (
    CREDENTIALS,
    DEVICE_ID,
    HMAC,
    INFORMATION,
    ISP_NONCE,
    OWN_SECRET,
    SHARED_SECRET,
    TERMINAL_NONCE,
    XOR,
    Talk,
    begin,
    credentials_of,
    isp,
    sent,
    talk,
    terminal,
    unseal,
)

BOTH = pytest.mark.parametrize("scheme", list(SCHEMES.values()), ids=list(SCHEMES))
NONCES = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)
KEYS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
DEVICE_IDS = st.integers(0, 2**64 - 1)
INFORMATIONS = st.binary(max_size=300)


def retrieved_information(result: Talk, scheme: Scheme) -> bytes | None:
    """What the center gets, when the ISP server got anything."""
    (retrieved,) = (end for end in result.ends if isinstance(end, Retrieved))
    return unseal(scheme, retrieved)


@BOTH
@given(
    device_id=DEVICE_IDS,
    keys=st.tuples(KEYS, KEYS),
    nonces=st.tuples(NONCES, NONCES),
    information=INFORMATIONS,
)
def test_two_who_share_a_key_always_agree(
    scheme: Scheme, device_id: int, keys: tuple[bytes, bytes], nonces: tuple[bytes, bytes], information: bytes
) -> None:
    who = Credentials(device_id, *keys)
    server = isp(scheme, credentials=who, nonce=nonces[0])
    result = talk(server, terminal(scheme, credentials=who, information=information, nonce=nonces[1]))
    assert [type(end) for end in result.ends] == [Served, Retrieved]
    retrieved = result.ends[1]
    assert isinstance(retrieved, Retrieved)
    assert unseal(scheme, retrieved, who) == information


@BOTH
def test_a_terminal_with_another_key_is_refused_by_the_isp_server(scheme: Scheme) -> None:
    impostor = replace(CREDENTIALS, shared_key=bytes(KEY_BYTES))
    result = talk(isp(scheme), terminal(scheme, credentials=impostor))
    assert result.ends == [Failed(Reason.WRONG_KEY, 0), Refused(Reason.WRONG_KEY)]
    assert result.messages[-1] == Refusal(Reason.WRONG_KEY)


@BOTH
def test_an_isp_server_with_another_key_gets_no_information(scheme: Scheme) -> None:
    """It skips the check of the terminal, as an impostor would."""
    session = terminal(scheme)
    session.receive(Hello(DEVICE_ID, ISP_NONCE))
    proof = scheme.prove_isp(bytes(KEY_BYTES), DEVICE_ID, ISP_NONCE, TERMINAL_NONCE)
    assert sent(session.receive(Request(proof))) == [Refusal(Reason.WRONG_KEY)]


@BOTH
@pytest.mark.parametrize("proof", [b"", b"\0", bytes(16), bytes(32)])
def test_a_proof_of_another_form_is_a_wrong_key(scheme: Scheme, proof: bytes) -> None:
    session = terminal(scheme)
    session.receive(Hello(DEVICE_ID, ISP_NONCE))
    assert Refused(Reason.WRONG_KEY) in session.receive(Request(proof))
    server = isp(scheme)
    begin(server)
    assert Failed(Reason.WRONG_KEY, 0) in server.receive(Challenge(TERMINAL_NONCE, proof), 0)


@BOTH
def test_another_device_says_that_it_is_another_one(scheme: Scheme) -> None:
    result = talk(isp(scheme), terminal(scheme, credentials=credentials_of(DEVICE_ID + 1)))
    assert result.ends == [Refused(Reason.UNKNOWN_DEVICE), Failed(Reason.UNKNOWN_DEVICE, 0)]


def test_a_device_that_took_over_anothers_id_is_refused() -> None:
    """It has the ID, not the key: keys are diversified by ID."""
    moved = replace(credentials_of(DEVICE_ID + 1), device_id=DEVICE_ID)
    result = talk(isp(HMAC), terminal(HMAC, credentials=moved))
    assert result.ends[0] == Failed(Reason.WRONG_KEY, 0)


def test_hmac_binds_every_proof_to_its_device_even_when_two_share_a_key() -> None:
    key, other = CREDENTIALS.shared_key, DEVICE_ID + 1
    for prove in (HMAC.prove_isp, HMAC.prove_terminal):
        assert prove(key, DEVICE_ID, ISP_NONCE, TERMINAL_NONCE) != prove(key, other, ISP_NONCE, TERMINAL_NONCE)
    sealed = HMAC.seal(CREDENTIALS.own_key, DEVICE_ID, ISP_NONCE, INFORMATION)
    assert HMAC.unseal(CREDENTIALS.own_key, other, ISP_NONCE, sealed) is None


def reflect(scheme: Scheme) -> list[Message]:
    """Without any key: ask the terminal, in a second exchange, for the proof that the first one wants to see."""
    first = terminal(scheme, nonce=TERMINAL_NONCE)
    second = terminal(scheme, nonce=bytes(NONCE_BYTES))
    (wanted,) = sent(first.receive(Hello(DEVICE_ID, ISP_NONCE)))
    assert isinstance(wanted, Challenge)
    (given_away,) = sent(second.receive(Hello(DEVICE_ID, wanted.terminal_nonce)))
    assert isinstance(given_away, Challenge)
    return sent(first.receive(Request(given_away.proof)))


def test_hmac_refuses_a_reflected_proof() -> None:
    assert reflect(HMAC) == [Refusal(Reason.WRONG_KEY)]


def test_xor_serves_whoever_reflects_the_terminals_challenge() -> None:
    (answer,) = reflect(XOR)
    assert isinstance(answer, Information)


def test_hmac_proofs_of_the_two_sides_differ_even_when_the_nonces_are_exchanged() -> None:
    key = CREDENTIALS.shared_key
    of_terminal = HMAC.prove_terminal(key, DEVICE_ID, TERMINAL_NONCE, ISP_NONCE)
    assert of_terminal not in (
        HMAC.prove_isp(key, DEVICE_ID, ISP_NONCE, TERMINAL_NONCE),
        HMAC.prove_isp(key, DEVICE_ID, TERMINAL_NONCE, ISP_NONCE),
    )


def swap(kind: type[Message], **changes: bytes) -> Callable[[Message], Message]:
    """Someone in the middle who changes one kind of message."""
    return lambda message: replace(message, **changes) if isinstance(message, kind) else message  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "tamper",
    [
        swap(Hello, isp_nonce=bytes(NONCE_BYTES)),
        swap(Challenge, terminal_nonce=bytes(NONCE_BYTES)),
        swap(Challenge, proof=bytes(16)),
        swap(Request, proof=bytes(16)),
        swap(Information, sealed=b"forged"),
        swap(Information, sealed=b""),
        swap(Information, proof=bytes(16)),
        swap(Information, proof=b""),
    ],
)
def test_hmac_refuses_whatever_is_changed_on_the_way(tamper: Callable[[Message], Message]) -> None:
    result = talk(isp(HMAC), terminal(HMAC), tamper)
    assert result.ends_of(Retrieved) == []
    assert Reason.WRONG_KEY in {end.reason for end in result.ends if isinstance(end, Failed | Refused)}


@given(data=st.data())
def test_hmac_refuses_any_changed_bit_of_the_sealed_information(data: st.DataObject) -> None:
    sealed = bytearray(HMAC.seal(CREDENTIALS.own_key, DEVICE_ID, ISP_NONCE, INFORMATION))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert HMAC.unseal(CREDENTIALS.own_key, DEVICE_ID, ISP_NONCE, bytes(sealed)) is None


def test_an_isp_server_that_forges_information_is_found_out_by_the_center() -> None:
    """It knows the shared key, not the terminal's own one."""
    forged = HMAC.seal(CREDENTIALS.shared_key, DEVICE_ID, ISP_NONCE, b"forged")
    assert HMAC.unseal(CREDENTIALS.own_key, DEVICE_ID, ISP_NONCE, forged) is None


def test_hmac_information_of_an_earlier_exchange_does_not_pass_as_that_of_a_later_one() -> None:
    sealed = HMAC.seal(CREDENTIALS.own_key, DEVICE_ID, ISP_NONCE, INFORMATION)
    assert HMAC.unseal(CREDENTIALS.own_key, DEVICE_ID, bytes(NONCE_BYTES), sealed) is None


@BOTH
@given(data=st.binary(max_size=40))
def test_arbitrary_bytes_are_not_sealed_information(scheme: Scheme, data: bytes) -> None:
    assert scheme.unseal(CREDENTIALS.own_key, DEVICE_ID, ISP_NONCE, data) is None


def test_with_xor_one_overheard_exchange_reveals_the_shared_key() -> None:
    """This is why the scheme protects nothing: an eavesdropper becomes ISP server and terminal alike."""
    hello, challenge, *_ = talk(isp(XOR), terminal(XOR)).messages
    assert isinstance(hello, Hello)
    assert isinstance(challenge, Challenge)
    key = bytes(left ^ right for left, right in zip(hello.isp_nonce, challenge.proof, strict=True))
    assert key == CREDENTIALS.shared_key
    stolen = replace(CREDENTIALS, shared_key=key, own_key=bytes(KEY_BYTES))
    as_isp = talk(isp(XOR, credentials=stolen, nonce=b"n" * NONCE_BYTES), terminal(XOR))
    assert as_isp.ends_of(Served) == [Served()]
    as_terminal = talk(isp(XOR), terminal(XOR, credentials=stolen, information=b"forged"))
    assert len(as_terminal.ends_of(Retrieved)) == 1


def test_with_xor_known_information_reveals_the_terminals_own_key() -> None:
    """24 bytes are known for certain: the device ID, and whatever of the information can be guessed."""
    answer = talk(isp(XOR), terminal(XOR)).messages[-1]
    assert isinstance(answer, Information)
    known = DEVICE_ID.to_bytes(8, "big") + INFORMATION[:8]
    key = bytes(left ^ right for left, right in zip(known, answer.sealed, strict=False))
    assert key == CREDENTIALS.own_key


def test_with_xor_information_can_be_changed_on_the_way_unnoticed() -> None:
    def flip_last_bit(message: Message) -> Message:
        if not isinstance(message, Information):
            return message
        return replace(message, sealed=message.sealed[:-1] + bytes([message.sealed[-1] ^ 1]))

    got = retrieved_information(talk(isp(XOR), terminal(XOR), flip_last_bit), XOR)
    assert got == INFORMATION[:-1] + bytes([INFORMATION[-1] ^ 1])


def test_with_hmac_no_key_and_no_half_of_one_is_sent() -> None:
    said = b"".join(map(encode, talk(isp(HMAC), terminal(HMAC)).messages))
    assert INFORMATION in said
    assert not any(key[at : at + 8] in said for key in (CREDENTIALS.shared_key, CREDENTIALS.own_key) for at in (0, 8))


def test_keys_differ_by_secret_role_and_device() -> None:
    keys = {
        derive_key(secret, role, device_id)
        for secret in (SHARED_SECRET, OWN_SECRET)
        for role in ("shared", "own")
        for device_id in (0, 1, 256, 2**64 - 1)
    }
    assert len(keys) == 16
    assert {len(key) for key in keys} == {KEY_BYTES}


def test_schemes_are_found_by_their_names() -> None:
    assert {name: scheme.name for name, scheme in SCHEMES.items()} == {"xor": "xor", "hmac-sha256": "hmac-sha256"}
    assert (XOR.detects_replay, HMAC.detects_replay) == (False, True)


@given(left=st.binary(max_size=4), right=st.binary(max_size=4))
def test_equal_compares(left: bytes, right: bytes) -> None:
    assert equal(left, right) == (left == right)
    assert equal(left, bytes(left))
