"""Signing. What is refused of signatures is in the vectors."""

import pytest

from chain.errors import InvalidSignature
from chain.signatures import check_signer, recover_address, recover_public_key, sign_digest
from tests.unit.chain.actors import ALICE, ALICE_KEY, BOB, some_hash


def test_signing_is_deterministic_canonical_and_recovers() -> None:
    for number in range(50):
        digest = some_hash(f"digest {number}")
        signature = sign_digest(ALICE_KEY, digest)
        assert signature == sign_digest(ALICE_KEY, digest)
        assert signature[64] in (27, 28)
        assert recover_address(digest, signature) == ALICE
        assert recover_public_key(digest, signature) == ALICE_KEY.public_key.format(compressed=True)
        check_signer(digest, signature, ALICE)
        with pytest.raises(InvalidSignature, match=f"signed by 0x{ALICE.hex()}, not by 0x{BOB.hex()}"):
            check_signer(digest, signature, BOB)


def test_faults_are_named_in_their_order() -> None:
    digest, good = some_hash("digest"), sign_digest(ALICE_KEY, some_hash("digest"))
    for signature, problem in (
        (b"\xff" * 64, "65 bytes long, this one 64"),
        (b"\xff" * 65, "v is 27 or 28, here it is 255"),
        (b"\xff" * 64 + b"\x1b", "upper half"),
        (b"\xff" * 32 + good[32:], "recovers to no key"),
    ):
        with pytest.raises(InvalidSignature, match=problem):
            recover_address(digest, signature)


@pytest.mark.parametrize("size", [0, 20, 31, 33, 64])
def test_only_32_bytes_are_a_digest(size: int) -> None:
    with pytest.raises(InvalidSignature):
        recover_address(bytes(size), sign_digest(ALICE_KEY, some_hash("x")))
