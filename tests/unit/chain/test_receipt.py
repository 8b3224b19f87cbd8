"""What a receipt proves, and the order in which a false one is refused."""

from typing import Any

import msgspec
import pytest

from chain import block
from chain.block import Header, build_records_tree, encode_record_item, hash_header
from chain.commitment import Commitment, hash_commitment
from chain.errors import InvalidProof, InvalidSignature, Refusal
from chain.instruction import INSTRUCTIONS
from chain.merkle import ListTree
from chain.payment import SignedPayment
from chain.primitives import ZERO_HASH
from chain.receipt import (
    Inclusion,
    InstructionReceipt,
    Receipt,
    check_inclusion,
    check_instruction_receipt,
    check_receipt,
)
from chain.signatures import sign_digest
from tests.unit.chain.actors import (
    ALICE_KEY,
    BOB_KEY,
    CAROL,
    DOMAIN,
    OPERATOR,
    OPERATOR_KEY,
    START_MS,
    deposit,
    make_payment,
    sign,
    some_hash,
)
from tests.unit.chain.exchange import make_instruction
from tests.unit.chain.exchange import sign as sign_instruction

PAYMENT = sign(make_payment(valid_until=START_MS // 1000 + 100))
RECORDS = (deposit(0), PAYMENT, sign(make_payment(nonce=1)))
TREE = build_records_tree(RECORDS)


def make_receipt(**fields: Any) -> Receipt:
    """Of the second of three records, with these fields of header and receipt changed; the header signed as it is."""
    key = fields.pop("key", OPERATOR_KEY)
    named = {name: fields.pop(name) for name in list(fields) if name in Header.__struct_fields__}
    given = {
        "number": 4,
        "previous": some_hash("p"),
        "timestamp": START_MS + 50,
        "records_root": TREE.root,
        "record_count": 3,
    }
    header = Header(**{**given, **named})
    receipt = Receipt(PAYMENT, header, sign_digest(key, hash_header(header, DOMAIN)), 1, tuple(TREE.prove(1)))
    return msgspec.structs.replace(receipt, **fields)


def assert_refused(receipt: Receipt, kind: type[Refusal], problem: str) -> None:
    with pytest.raises(kind, match=problem):
        check_receipt(receipt, DOMAIN, OPERATOR)


def test_a_sound_receipt() -> None:
    check_receipt(make_receipt(), DOMAIN, OPERATOR)


def test_every_place_of_a_block() -> None:
    for index, record in enumerate(RECORDS):
        if isinstance(record, SignedPayment):
            check_receipt(make_receipt(signed=record, index=index, siblings=tuple(TREE.prove(index))), DOMAIN, OPERATOR)


def test_false_receipts() -> None:
    redirected = msgspec.structs.replace(PAYMENT, payment=make_payment((CAROL, 1)))
    assert_refused(make_receipt(signed=redirected), InvalidSignature, "not by")
    renamed = msgspec.structs.replace(PAYMENT, id=some_hash("x"))
    assert_refused(make_receipt(signed=renamed), InvalidProof, "the payment's id is")
    broken = msgspec.structs.replace(PAYMENT, payment=make_payment((CAROL, 0)))
    assert_refused(make_receipt(signed=broken), Refusal, "amount zero")
    late = PAYMENT.payment.valid_until * 1000 + 1
    assert_refused(make_receipt(timestamp=late), InvalidProof, "had expired")
    check_receipt(make_receipt(timestamp=late - 1), DOMAIN, OPERATOR)
    assert_refused(make_receipt(index=2), InvalidProof, "does not lead to the root")
    assert_refused(make_receipt(index=1 + 4), InvalidProof, "index 5 is not below the count 3")
    assert_refused(make_receipt(siblings=()), InvalidProof, "0 siblings, a tree of 3 has 2")
    assert_refused(make_receipt(record_count=5), InvalidProof, "2 siblings, a tree of 5 has 3")
    assert_refused(make_receipt(records_root=some_hash("x")), InvalidProof, "does not lead to the root")
    assert_refused(make_receipt(key=BOB_KEY), InvalidSignature, "not by")
    assert_refused(make_receipt(key=ALICE_KEY), InvalidSignature, "not by")


def test_a_deposit_s_record_is_no_receipt_of_a_payment() -> None:
    same = msgspec.structs.replace(deposit(0), id=PAYMENT.id)
    tree = build_records_tree([same])
    false = make_receipt(records_root=tree.root, record_count=1, index=0, siblings=())
    assert_refused(false, InvalidProof, "does not lead to the root")


def test_a_signed_commitment_or_payment_is_no_signed_header() -> None:
    receipt = make_receipt()
    for digest in (PAYMENT.id, hash_commitment(COMMITMENT, DOMAIN), receipt.header.records_root):
        forged = msgspec.structs.replace(receipt, header_signature=sign_digest(OPERATOR_KEY, digest))
        assert_refused(forged, InvalidSignature, "not by")


# --- of instructions

VALID_UNTIL = START_MS // 1000 + 100
LISTING = sign_instruction(make_instruction("ListFile", valid_until=VALID_UNTIL))


def make_instruction_receipt(**fields: Any) -> InstructionReceipt:
    """Of the second of three records, with these fields of header and receipt changed; the header signed as it is."""
    signed = fields.pop("signed", LISTING)
    tree = build_records_tree((deposit(0), fields.pop("recorded", signed), PAYMENT))
    plain = make_receipt(**{"records_root": tree.root, "siblings": tuple(tree.prove(1)), **fields})
    return InstructionReceipt(signed, plain.header, plain.header_signature, plain.index, plain.siblings)


def assert_instruction_refused(receipt: InstructionReceipt, kind: type[Refusal], problem: str) -> None:
    with pytest.raises(kind, match=problem):
        check_instruction_receipt(receipt, DOMAIN, OPERATOR)


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_sound_receipts_of_instructions(name: str) -> None:
    signed = sign_instruction(make_instruction(name))
    check_instruction_receipt(make_instruction_receipt(signed=signed), DOMAIN, OPERATOR)


def test_false_receipts_of_instructions() -> None:
    changed = msgspec.structs.replace(LISTING, instruction=make_instruction("ListFile", price=1))
    assert_instruction_refused(make_instruction_receipt(signed=changed, recorded=LISTING), InvalidSignature, "not by")
    renamed = msgspec.structs.replace(LISTING, id=some_hash("x"))
    assert_instruction_refused(make_instruction_receipt(signed=renamed), InvalidProof, "the instruction's id is")
    broken = sign_instruction(make_instruction("ListFile", price=0))
    assert_instruction_refused(make_instruction_receipt(signed=broken), Refusal, "price: at least one base unit")
    another = sign_instruction(make_instruction("ListFile"), BOB_KEY)
    assert_instruction_refused(make_instruction_receipt(signed=another), InvalidSignature, "not by")
    late = VALID_UNTIL * 1000 + 1
    assert_instruction_refused(make_instruction_receipt(timestamp=late), InvalidProof, "had expired")
    check_instruction_receipt(make_instruction_receipt(timestamp=late - 1), DOMAIN, OPERATOR)
    assert_instruction_refused(make_instruction_receipt(index=2), InvalidProof, "does not lead to the root")
    assert_instruction_refused(make_instruction_receipt(index=5), InvalidProof, "index 5 is not below the count 3")
    assert_instruction_refused(make_instruction_receipt(siblings=()), InvalidProof, "0 siblings, a tree of 3 has 2")
    other = make_instruction_receipt(recorded=PAYMENT)
    assert_instruction_refused(other, InvalidProof, "does not lead to the root")
    for key in (ALICE_KEY, BOB_KEY):
        assert_instruction_refused(make_instruction_receipt(key=key), InvalidSignature, "not by")


def test_a_payment_s_record_is_no_receipt_of_an_instruction_nor_the_reverse() -> None:
    """The type of the record is in the tree, beside the id."""
    for record_type in (block.PAYMENT, block.DEPOSIT, block.FORCED_WITHDRAWAL):
        tree = ListTree([encode_record_item(record_type, LISTING.id)])
        false = make_instruction_receipt(records_root=tree.root, record_count=1, index=0, siblings=())
        assert_instruction_refused(false, InvalidProof, "does not lead to the root")
    tree = ListTree([encode_record_item(block.INSTRUCTION, PAYMENT.id)])
    false_payment = make_receipt(records_root=tree.root, record_count=1, index=0, siblings=())
    assert_refused(false_payment, InvalidProof, "does not lead to the root")


# --- inclusion

HEADER = make_receipt().header
BLOCKS = [some_hash("block 2"), some_hash("block 3"), hash_header(HEADER, DOMAIN), some_hash("block 5")]
COMMITMENT = Commitment(3, some_hash("c"), 2, 5, START_MS + 50, ListTree(BLOCKS).root, ZERO_HASH, ())


def make_inclusion(commitment: Commitment = COMMITMENT, **fields: Any) -> Inclusion:
    inclusion = Inclusion(commitment, 2, tuple(ListTree(BLOCKS).prove(2)), some_hash("L1"), 1_800_000_000)
    return msgspec.structs.replace(inclusion, **fields)


def test_a_sound_inclusion_gives_the_digest_to_compare() -> None:
    assert check_inclusion(HEADER, make_inclusion(), DOMAIN) == hash_commitment(COMMITMENT, DOMAIN)


def change(**fields: Any) -> Commitment:
    return msgspec.structs.replace(COMMITMENT, **fields)


@pytest.mark.parametrize(
    ("inclusion", "problem"),
    [
        (make_inclusion(index=1), "place 1 of epoch 3 is not block 4"),
        (make_inclusion(index=2 + 4), "place 6 of epoch 3 is not block 4"),
        (make_inclusion(change(first_block=3, last_block=6)), "place 2 of epoch 3 is not block 4"),
        (make_inclusion(change(cut_at=START_MS + 49)), "block 4 is later than the cut of epoch 3"),
        (make_inclusion(change(last_block=3)), "index 2 is not below the count 2"),
        (make_inclusion(change(last_block=1)), "index 2 is not below the count 0"),
        (make_inclusion(change(last_block=0)), "index 2 is not below the count -1"),
        (make_inclusion(change(last_block=9)), "2 siblings, a tree of 8 has 3"),
        (make_inclusion(change(blocks_root=some_hash("x"))), "does not lead to the root"),
        (make_inclusion(siblings=(some_hash("a"), some_hash("b"))), "does not lead to the root"),
    ],
)
def test_false_inclusions(inclusion: Inclusion, problem: str) -> None:
    with pytest.raises(InvalidProof, match=problem):
        check_inclusion(HEADER, inclusion, DOMAIN)


def test_another_header_does_not_fit_its_place() -> None:
    other = msgspec.structs.replace(HEADER, record_count=4)
    with pytest.raises(InvalidProof, match="does not lead to the root"):
        check_inclusion(other, make_inclusion(), DOMAIN)
