"""Blocks in the journal's bytes. Headers, hashes and whole blocks are vectors, too."""

import pytest

from chain.block import (
    DEPOSIT,
    INSTRUCTION,
    PAYMENT,
    Block,
    Header,
    build_records_tree,
    compute_request_id,
    decode_block,
    encode_block,
    encode_header,
    encode_record,
    encode_record_item,
    get_record_type,
    hash_header,
)
from chain.errors import MalformedBytes
from chain.instruction import INSTRUCTIONS
from chain.merkle import check_list_proof
from chain.primitives import MAX_OUTPUTS
from tests.unit.chain.actors import ALICE, BOB, DOMAIN, TOKEN, deposit, make_payment, sign, some_hash
from tests.unit.chain.exchange import make_instruction
from tests.unit.chain.exchange import sign as sign_instruction

RECORDS = (
    deposit(0),
    sign(make_payment(memo="Grüße")),
    sign(make_payment(*[(BOB, 1)] * MAX_OUTPUTS, memo="m" * 256)),
    *[sign_instruction(make_instruction(name)) for name in INSTRUCTIONS],
)
TYPES = (DEPOSIT, PAYMENT, PAYMENT, *[INSTRUCTION] * len(INSTRUCTIONS))
HEADER = Header(5, some_hash("previous"), 10**12, build_records_tree(RECORDS).root, len(RECORDS))
ENCODED = encode_block(HEADER, [encode_record(record) for record in RECORDS])


def test_it_comes_back_as_it_went() -> None:
    assert decode_block(ENCODED) == Block(HEADER, RECORDS)
    assert len(encode_header(HEADER)) == 84
    assert ENCODED.startswith(encode_header(HEADER))


def test_no_byte_may_be_missing_or_added() -> None:
    for size in range(len(ENCODED)):
        with pytest.raises(MalformedBytes):
            decode_block(ENCODED[:size])
    for more in (b"\x00", encode_record(deposit(1))):
        with pytest.raises(MalformedBytes, match="left over"):
            decode_block(ENCODED + more)


@pytest.mark.parametrize("record_type", [0, 3, 5, 255])
def test_other_types_of_record_are_not_known_yet(record_type: int) -> None:
    with pytest.raises(MalformedBytes, match=f"record type {record_type} is not known"):
        decode_block(ENCODED[:84] + bytes([record_type]) + ENCODED[85:])


@pytest.mark.parametrize("body", [b"", encode_record(RECORDS[0])[3:-1], encode_record(RECORDS[0])[3:] + b"\x00"])
@pytest.mark.parametrize("record_type", [PAYMENT, DEPOSIT, INSTRUCTION])
def test_a_record_fills_its_size(record_type: int, body: bytes) -> None:
    header = Header(1, bytes(32), 1, bytes(32), 1)
    with pytest.raises(MalformedBytes):
        decode_block(encode_block(header, [bytes([record_type]) + len(body).to_bytes(2, "big") + body]))


def test_a_payment_is_not_a_deposit_nor_an_instruction() -> None:
    """The same bytes under another type are refused: no unsigned payment passes for a deposit, nor the reverse."""
    for record in RECORDS:
        data = encode_record(record)
        for other in {PAYMENT, DEPOSIT, INSTRUCTION} - {get_record_type(record)}:
            with pytest.raises(MalformedBytes):
                decode_block(encode_block(Header(1, bytes(32), 1, bytes(32), 1), [bytes([other]) + data[1:]]))


def test_the_tree_holds_type_and_id_of_each_record() -> None:
    tree = build_records_tree(RECORDS)
    for index, record in enumerate(RECORDS):
        assert get_record_type(record) == TYPES[index]
        item = encode_record_item(TYPES[index], record.id)
        assert item == bytes([TYPES[index]]) + record.id
        check_list_proof(item, index, len(RECORDS), tree.prove(index), HEADER.records_root)
    assert build_records_tree(list(RECORDS)).root == tree.root
    assert build_records_tree([]).root == bytes(32)


def test_every_field_of_a_header_is_in_its_hash() -> None:
    others = [
        HEADER,
        Header(6, HEADER.previous, HEADER.timestamp, HEADER.records_root, len(RECORDS)),
        Header(5, some_hash("x"), HEADER.timestamp, HEADER.records_root, len(RECORDS)),
        Header(5, HEADER.previous, HEADER.timestamp + 1, HEADER.records_root, len(RECORDS)),
        Header(5, HEADER.previous, HEADER.timestamp, some_hash("x"), len(RECORDS)),
        Header(5, HEADER.previous, HEADER.timestamp, HEADER.records_root, len(RECORDS) + 1),
    ]
    assert len({hash_header(header, DOMAIN) for header in others}) == len(others)


def test_request_ids_differ_by_type_asset_and_index() -> None:
    ids = {
        compute_request_id(kind, asset, index) for kind in (2, 3) for asset in (TOKEN, ALICE) for index in (0, 1, 2**32)
    }
    assert len(ids) == 12
