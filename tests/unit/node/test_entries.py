"""Journal entries: what an encoder made decodes to the same, and nothing else decodes at all."""

import pytest
from msgspec.structs import replace

from chain.block import Block, Header, build_records_tree, encode_block, encode_record
from chain.commitment import Commitment
from chain.errors import MalformedBytes
from chain.params import Market
from chain.primitives import MAX_ASSETS, MAX_U64
from node.entries import (
    BLOCK_PREFIX,
    AssetEntry,
    BlockEntry,
    CutEntry,
    Entry,
    GenesisEntry,
    SealEntry,
    decode_entry,
    encode_asset,
    encode_cut,
    encode_genesis,
    encode_seal,
)
from tests.unit.chain import exchange
from tests.unit.chain.actors import (
    BOB,
    CAROL,
    ETHER,
    PARAMETERS,
    TOKEN,
    deposit,
    make_empty_line,
    make_payment,
    sign,
    some_hash,
)

RECORDS = (deposit(0), sign(make_payment((BOB, 1), (CAROL, 2), memo="für dich")), sign(make_payment(kind="withdraw")))
HEADER = Header(7, some_hash("previous"), 1_800_000_000_123, build_records_tree(RECORDS).root, len(RECORDS))
COMMITMENT = Commitment(
    epoch=3,
    previous=some_hash("previous"),
    first_block=5,
    last_block=4,
    cut_at=MAX_U64,
    blocks_root=some_hash("blocks"),
    extra_root=bytes(32),
    assets=(make_empty_line(ETHER), make_empty_line(TOKEN)),
)
SIGNATURE = bytes(range(65))

RECORDS_OF_EXCHANGE = (exchange.sign(exchange.list_file()), exchange.sign(exchange.upload()))
FULL_MARKET = Market(10_000, 0, 0, tuple([(bytes([number]) * 20, MAX_U64 - number) for number in range(MAX_ASSETS)]))

ENTRIES: list[tuple[bytes, Entry]] = [
    (encode_genesis(PARAMETERS), GenesisEntry(PARAMETERS)),
    (encode_genesis(exchange.PARAMETERS), GenesisEntry(exchange.PARAMETERS)),
    (encode_genesis(replace(PARAMETERS, market=FULL_MARKET)), GenesisEntry(replace(PARAMETERS, market=FULL_MARKET))),
    (encode_asset(TOKEN), AssetEntry(TOKEN)),
    (
        BLOCK_PREFIX + encode_block(HEADER, [encode_record(record) for record in RECORDS]),
        BlockEntry(Block(HEADER, RECORDS)),
    ),
    (
        BLOCK_PREFIX + encode_block(HEADER, [encode_record(record) for record in (*RECORDS_OF_EXCHANGE, RECORDS[0])]),
        BlockEntry(Block(HEADER, (*RECORDS_OF_EXCHANGE, RECORDS[0]))),
    ),
    (encode_cut(3, 1_800_000_000_123), CutEntry(3, 1_800_000_000_123)),
    (encode_seal(COMMITMENT, SIGNATURE), SealEntry(COMMITMENT, SIGNATURE)),
]
NAMES = ["genesis", "genesis with a market", "genesis with a full market", "asset", "block", "upload", "cut", "seal"]


@pytest.mark.parametrize("encoded, entry", ENTRIES, ids=NAMES)
def test_an_entry_decodes_to_what_was_encoded(encoded: bytes, entry: Entry) -> None:
    assert decode_entry(encoded) == entry


@pytest.mark.parametrize("encoded", [encoded for encoded, _ in ENTRIES], ids=NAMES)
def test_no_entry_is_shorter_or_longer(encoded: bytes) -> None:
    for size in range(len(encoded)):
        with pytest.raises(MalformedBytes):
            decode_entry(encoded[:size])
    with pytest.raises(MalformedBytes):
        decode_entry(encoded + b"\0")


@pytest.mark.parametrize("kind", [5, 6, 127, 128, 255])
def test_other_kinds_are_not_known(kind: int) -> None:
    for encoded, _ in ENTRIES:
        with pytest.raises(MalformedBytes):
            decode_entry(bytes((kind,)) + encoded[1:])


def test_each_kind_is_told_by_its_first_byte() -> None:
    assert [encoded[0] for encoded, _ in ENTRIES] == [0, 0, 0, 1, 2, 2, 3, 4]
    assert BLOCK_PREFIX == b"\x02"


@pytest.mark.parametrize(
    "size",
    [0, 64],
)
def test_a_seal_has_its_whole_signature(size: int) -> None:
    with pytest.raises(MalformedBytes, match="without its signature"):
        decode_entry(b"\x04" + bytes(size))


def test_a_block_of_a_kind_of_record_that_is_not_known_is_malformed() -> None:
    record = bytearray(encode_record(RECORDS[0]))
    record[0] = 3
    header = Header(1, bytes(32), 1, bytes(32), 1)
    with pytest.raises(MalformedBytes, match="record type 3"):
        decode_entry(BLOCK_PREFIX + encode_block(header, [bytes(record)]))


def test_a_block_that_announces_more_records_than_it_has_ends_at_once() -> None:
    header = Header(1, bytes(32), 1, bytes(32), 2**32 - 1)
    with pytest.raises(MalformedBytes):
        decode_entry(BLOCK_PREFIX + encode_block(header, [encode_record(RECORDS[0])]))
