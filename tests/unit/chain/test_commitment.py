"""Commitments in the journal's bytes, and small things about them. Digests are vectors."""

import msgspec
import pytest

from chain.commitment import (
    NO_COMMITMENT,
    AssetCommitment,
    Commitment,
    decode_commitment,
    encode_commitment,
    hash_commitment,
)
from chain.errors import MalformedBytes
from chain.merkle import EMPTY_SUM
from tests.unit.chain.actors import DOMAIN, ETHER, TOKEN, make_empty_line, some_hash

LINE = AssetCommitment(TOKEN, some_hash("s"), 10**20, 9, 8, 7, some_hash("w"), 3, 10**9)
COMMITMENT = Commitment(
    7, some_hash("p"), 101, 300, 10**12, some_hash("b"), some_hash("e"), (make_empty_line(ETHER), LINE)
)


@pytest.mark.parametrize("count", [0, 1, 2, 32])
def test_it_comes_back_as_it_went(count: int) -> None:
    commitment = msgspec.structs.replace(COMMITMENT, assets=(LINE,) * count)
    data = encode_commitment(commitment)
    assert len(data) == 8 + 32 + 3 * 8 + 64 + 2 + count * 148
    assert decode_commitment(data) == commitment


def test_no_byte_may_be_missing_or_added() -> None:
    data = encode_commitment(COMMITMENT)
    for size in range(len(data)):
        with pytest.raises(MalformedBytes):
            decode_commitment(data[:size])
    with pytest.raises(MalformedBytes, match="left over"):
        decode_commitment(data + b"\x00")


def test_every_field_is_in_the_digest() -> None:
    digests = {hash_commitment(COMMITMENT, DOMAIN)}
    fields = [name for name in Commitment.__struct_fields__ if name != "assets"]
    for name in fields:
        value = getattr(COMMITMENT, name)
        changed = msgspec.structs.replace(COMMITMENT, **{name: value + 1 if isinstance(value, int) else some_hash("x")})
        digests.add(hash_commitment(changed, DOMAIN))
    for name in AssetCommitment.__struct_fields__:
        value = getattr(LINE, name)
        other = value + 1 if isinstance(value, int) else some_hash("x")[: len(value)]
        changed = msgspec.structs.replace(LINE, **{name: other})
        digests.add(
            hash_commitment(msgspec.structs.replace(COMMITMENT, assets=(make_empty_line(ETHER), changed)), DOMAIN)
        )
    assert len(digests) == 1 + len(fields) + len(AssetCommitment.__struct_fields__)


def test_blocks_are_counted_and_an_epoch_may_have_none() -> None:
    assert COMMITMENT.block_count == 200
    assert msgspec.structs.replace(COMMITMENT, last_block=100).block_count == 0


def test_what_stands_before_the_first() -> None:
    assert (NO_COMMITMENT.epoch, NO_COMMITMENT.last_block, NO_COMMITMENT.assets) == (0, 0, ())
    assert make_empty_line(TOKEN).state == make_empty_line(TOKEN).withdrawals == EMPTY_SUM
    assert (LINE.state, LINE.withdrawals) == ((some_hash("s"), 10**20), (some_hash("w"), 10**9))
