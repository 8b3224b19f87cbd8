"""Sealing file keys. The bytes are in the vectors; here: what is bound, and that nothing altered opens."""

import pytest

from chain.errors import WrongKey
from chain.instruction import SEALED_KEY_SIZE
from chain.sealing import escrow_context, open_sealed_key, purchase_context, seal_key
from chain.signatures import recover_public_key, sign_digest
from tests.unit.chain.actors import ALICE, ALICE_KEY, BOB, BOB_KEY, CAROL_KEY, DOMAIN, PARAMETERS, some_hash

KEY = some_hash("file key")
FILE = some_hash("file")
EPHEMERAL = some_hash("ephemeral")
BOB_PUBLIC = BOB_KEY.public_key.format()
CONTEXT = purchase_context(DOMAIN, FILE, BOB)
SEALED = seal_key(KEY, BOB_PUBLIC, CONTEXT, EPHEMERAL)


def test_a_sealed_key_opens_with_the_private_key_alone() -> None:
    assert len(SEALED) == SEALED_KEY_SIZE
    assert open_sealed_key(SEALED, BOB_KEY.secret, CONTEXT) == KEY
    assert KEY not in SEALED
    for other in (ALICE_KEY, CAROL_KEY):
        with pytest.raises(WrongKey):
            open_sealed_key(SEALED, other.secret, CONTEXT)


def test_a_key_is_sealed_to_whoever_signed() -> None:
    digest = some_hash("a purchase")
    public_key = recover_public_key(digest, sign_digest(ALICE_KEY, digest))
    sealed = seal_key(KEY, public_key, CONTEXT, EPHEMERAL)
    assert open_sealed_key(sealed, ALICE_KEY.secret, CONTEXT) == KEY


def test_sealing_is_deterministic_and_every_input_counts() -> None:
    assert seal_key(KEY, BOB_PUBLIC, CONTEXT, EPHEMERAL) == SEALED
    others = {
        seal_key(some_hash("x"), BOB_PUBLIC, CONTEXT, EPHEMERAL),
        seal_key(KEY, ALICE_KEY.public_key.format(), CONTEXT, EPHEMERAL),
        seal_key(KEY, BOB_PUBLIC, CONTEXT + b"x", EPHEMERAL),
        seal_key(KEY, BOB_PUBLIC, CONTEXT, some_hash("x")),
    }
    # But for the file key, each changes the key stream: two sealings under one ephemeral key never share it.
    assert len({sealed[33:65] for sealed in (*others, SEALED)}) == 5


def test_no_altered_byte_opens() -> None:
    for place in range(SEALED_KEY_SIZE):
        for bit in range(8):
            altered = bytearray(SEALED)
            altered[place] ^= 1 << bit
            with pytest.raises(WrongKey):
                open_sealed_key(bytes(altered), BOB_KEY.secret, CONTEXT)


def test_no_other_length_opens() -> None:
    for sealed in (b"", SEALED[:-1], SEALED + b"\0", SEALED[:33], SEALED * 2):
        with pytest.raises(WrongKey, match="81 bytes"):
            open_sealed_key(sealed, BOB_KEY.secret, CONTEXT)


def test_what_is_no_point_is_said_to_be_none() -> None:
    for prefix in (b"\0", b"\1", b"\4", b"\xff"):
        with pytest.raises(WrongKey, match="point"):
            open_sealed_key(prefix + SEALED[1:], BOB_KEY.secret, CONTEXT)


def test_every_part_of_a_context_is_bound() -> None:
    other_domain = type(DOMAIN)(PARAMETERS.domain.chain_id + 1, DOMAIN.verifying_contract)
    contexts = {
        escrow_context(DOMAIN, ALICE, FILE),
        escrow_context(DOMAIN, BOB, FILE),
        escrow_context(DOMAIN, ALICE, some_hash("another file")),
        escrow_context(other_domain, ALICE, FILE),
        purchase_context(DOMAIN, FILE, ALICE),
        purchase_context(DOMAIN, FILE, BOB),
        purchase_context(DOMAIN, some_hash("another file"), ALICE),
        purchase_context(other_domain, FILE, ALICE),
    }
    assert len(contexts) == 8
    for context in contexts:
        sealed = seal_key(KEY, BOB_PUBLIC, context, EPHEMERAL)
        for other in contexts - {context}:
            with pytest.raises(WrongKey, match="another purpose"):
                open_sealed_key(sealed, BOB_KEY.secret, other)


@pytest.mark.parametrize(
    ("key", "public_key", "ephemeral", "problem"),
    [
        (KEY[:-1], BOB_PUBLIC, EPHEMERAL, "a file key is 32 bytes"),
        (KEY, BOB_KEY.public_key.format(compressed=False), EPHEMERAL, "a public key is 33 bytes"),
        (KEY, b"\5" + BOB_PUBLIC[1:], EPHEMERAL, "invalid"),
        (KEY, BOB_PUBLIC, EPHEMERAL[:-1], "a private key is 32 bytes"),
        (KEY, BOB_PUBLIC, bytes(32), "Secret scalar"),
        (KEY, BOB_PUBLIC, b"\xff" * 32, "Secret scalar"),
    ],
)
def test_what_cannot_be_sealed_is_said(key: bytes, public_key: bytes, ephemeral: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        seal_key(key, public_key, CONTEXT, ephemeral)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(32), b"\xff" * 32, bytes(33)])
def test_what_is_no_private_key_is_not_tried(secret: bytes) -> None:
    with pytest.raises(ValueError, match=r"Secret|a private key is 32 bytes"):
        open_sealed_key(SEALED, secret, CONTEXT)
