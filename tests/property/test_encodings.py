"""decode(encode(x)) = x for every layout and every x; and no other bytes mean x."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import wire
from chain.account import AccountLeaf, decode_account_leaf, encode_account_leaf
from chain.block import Block, Header, decode_block, encode_block, encode_record
from chain.commitment import Commitment, decode_commitment, encode_commitment
from chain.errors import MalformedBytes, MalformedInstruction, MalformedPayment
from chain.evidence import AccountProof, WithdrawalClaim
from chain.instruction import (
    Instruction,
    SignedInstruction,
    compute_instruction_id,
    decode_signed_instruction,
    encode_signed_instruction,
    get_type,
)
from chain.payment import SignedPayment, decode_signed_payment, encode_signed_payment
from chain.receipt import Inclusion, InstructionReceipt, Receipt
from chain.registry import RegistryEntry, RegistryProof, decode_entry, encode_entry
from chain.statement import Withdrawal
from tests.property import strategies
from tests.unit.chain.actors import DOMAIN
from tests.vectors import reference


def encode_whole_block(block: Block) -> bytes:
    return encode_block(block.header, [encode_record(record) for record in block.records])


@given(strategies.signed_payments)
def test_payments_in_the_journal(signed: SignedPayment) -> None:
    assert decode_signed_payment(encode_signed_payment(signed)) == signed


@given(strategies.signed_instructions)
def test_instructions_in_the_journal(signed: SignedInstruction) -> None:
    assert decode_signed_instruction(encode_signed_instruction(signed)) == signed


@given(strategies.registry_entries)
def test_entries_of_the_registry(entry: RegistryEntry) -> None:
    assert decode_entry(encode_entry(entry)) == entry


@given(strategies.blocks())
def test_blocks_in_the_journal(block: Block) -> None:
    assert decode_block(encode_whole_block(block)) == block


@given(strategies.account_leaves)
def test_account_leaves(leaf: AccountLeaf) -> None:
    assert decode_account_leaf(encode_account_leaf(leaf)) == leaf


@given(strategies.commitments)
def test_commitments_in_the_journal(commitment: Commitment) -> None:
    assert decode_commitment(encode_commitment(commitment)) == commitment


DECODERS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "payment": (decode_signed_payment, encode_signed_payment),
    "instruction": (decode_signed_instruction, encode_signed_instruction),
    "registry entry": (decode_entry, encode_entry),
    "block": (decode_block, encode_whole_block),
    "account leaf": (decode_account_leaf, encode_account_leaf),
    "commitment": (decode_commitment, encode_commitment),
}


@pytest.mark.parametrize(("decode", "encode"), DECODERS.values(), ids=DECODERS)
@given(data=st.data())
def test_any_bytes_are_refused_or_the_only_ones_for_what_they_mean(
    decode: Callable[[bytes], Any], encode: Callable[[Any], bytes], data: st.DataObject
) -> None:
    sources = [
        strategies.signed_payments.map(encode_signed_payment),
        strategies.signed_instructions.map(encode_signed_instruction),
        strategies.registry_entries.map(encode_entry),
        strategies.blocks().map(encode_whole_block),
        strategies.account_leaves.map(encode_account_leaf),
        strategies.commitments.map(encode_commitment),
        st.binary(max_size=300),
    ]
    original = bytearray(data.draw(st.one_of(sources)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(original)))
        original[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        value = decode(bytes(original))
    except MalformedBytes:
        return
    assert encode(value) == original


# --- JSON


def through_json(form: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(form))


@given(strategies.signed_payments)
def test_payments_as_json(signed: SignedPayment) -> None:
    assert wire.decode_payment(msgspec.json.encode(wire.encode_payment(signed.payment))) == signed.payment
    submission = msgspec.json.encode([wire.encode_payment(signed.payment), wire.encode_bytes(signed.signature)])
    assert wire.decode_submission(submission) == (signed.payment, signed.signature)


@given(strategies.records)
def test_records_as_json(record: Any) -> None:
    assert wire.decode_record(through_json(wire.encode_record(record))) == record


@given(strategies.commitments)
def test_commitments_as_json(commitment: Commitment) -> None:
    assert wire.decode_commitment(through_json(wire.encode_commitment(commitment))) == commitment


@given(strategies.account_leaves, strategies.u64s, st.lists(strategies.sum_nodes, max_size=20).map(tuple))
def test_account_proofs_as_json(leaf: AccountLeaf, index: int, siblings: Any) -> None:
    # A leaf that closes below zero has no quantity to show; no honest node makes one.
    proof = AccountProof(msgspec.structs.replace(leaf, debits=0), index, siblings)
    assert wire.decode_account_proof(through_json(wire.encode_account_proof(proof))) == proof


withdrawals = st.builds(Withdrawal, strategies.hashes, strategies.addresses, strategies.u128s)


@given(strategies.addresses, strategies.u64s, withdrawals, st.lists(strategies.sum_nodes, max_size=20).map(tuple))
def test_claims_as_json(asset: bytes, index: int, withdrawal: Withdrawal, siblings: Any) -> None:
    claim = WithdrawalClaim(asset, index, withdrawal, siblings)
    assert wire.decode_withdrawal_claim(through_json(wire.encode_withdrawal_claim(claim))) == claim


some_siblings = st.lists(strategies.hashes, max_size=20).map(tuple)
inclusions = st.builds(
    Inclusion, strategies.commitments, strategies.u64s, some_siblings, strategies.hashes, strategies.u64s
)


@given(
    strategies.signed_payments,
    strategies.headers,
    strategies.signatures,
    strategies.u32s,
    some_siblings,
    st.none() | inclusions,
)
def test_receipts_as_json(
    signed: SignedPayment, header: Header, signature: bytes, index: int, siblings: Any, inclusion: Inclusion | None
) -> None:
    form = wire.encode_receipt(
        signed,
        "accepted",
        None,
        wire.encode_payment(signed.payment),
        wire.encode_header(header, bytes(32), signature),
        index,
        siblings,
        inclusion and wire.encode_inclusion(inclusion),
    )
    expected = Receipt(signed, header, signature, index, siblings, inclusion)
    assert wire.decode_receipt(through_json(form)) == expected


@given(strategies.instructions, strategies.signatures)
def test_instructions_as_json(instruction: Instruction, signature: bytes) -> None:
    form = through_json(wire.encode_instruction(instruction))
    assert wire.decode_instruction(form) == instruction
    submission = msgspec.json.encode([form, wire.encode_bytes(signature)])
    assert wire.decode_instruction_submission(submission) == (instruction, signature)


@given(strategies.instructions)
def test_ids_of_instructions_are_those_of_other_signers(instruction: Instruction) -> None:
    """From the JSON form, with the types that the interface publishes."""
    name, form = get_type(instruction), wire.encode_instruction(instruction)
    kinds = {member["name"]: member["type"] for member in wire.INSTRUCTION_EIP712_TYPES[name][name]}
    message = {
        member: int(form[member], 16) if kind.startswith("uint") else form[member] for member, kind in kinds.items()
    }
    domain = reference.make_domain(DOMAIN.chain_id, DOMAIN.verifying_contract)
    for member, kind in kinds.items():
        if kind in ("bytes", "bytes32"):
            message[member] = bytes.fromhex(form[member][2:])
    assert compute_instruction_id(instruction, DOMAIN) == reference.digest(name, message, domain)


@given(strategies.registry_entries, strategies.u64s, strategies.u64s, some_siblings)
def test_registry_proofs_as_json(entry: RegistryEntry, index: int, count: int, siblings: Any) -> None:
    proof = RegistryProof(entry, index, count, siblings)
    assert wire.decode_registry_proof(through_json(wire.encode_registry_proof(proof))) == proof


@given(
    strategies.signed_instructions,
    strategies.headers,
    strategies.signatures,
    strategies.u32s,
    some_siblings,
    st.none() | inclusions,
)
def test_receipts_of_instructions_as_json(
    signed: SignedInstruction, header: Header, signature: bytes, index: int, siblings: Any, inclusion: Inclusion | None
) -> None:
    form = wire.encode_receipt(
        signed,
        "accepted",
        None,
        wire.encode_instruction(signed.instruction),
        wire.encode_header(header, bytes(32), signature),
        index,
        siblings,
        inclusion and wire.encode_inclusion(inclusion),
    )
    expected = InstructionReceipt(signed, header, signature, index, siblings, inclusion)
    assert wire.decode_instruction_receipt(through_json(form)) == expected


@given(st.data())
def test_any_text_is_an_instruction_or_malformed(data: st.DataObject) -> None:
    """Nothing else comes out of the decoder: not for broken UTF-8, not for any turned byte."""
    form = wire.encode_instruction(data.draw(strategies.instructions))
    text = bytearray(msgspec.json.encode([form, "0x" + "1b" * 65]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        instruction, signature = wire.decode_instruction_submission(bytes(text))
    except MalformedInstruction:
        return
    again = msgspec.json.encode([wire.encode_instruction(instruction), wire.encode_bytes(signature)])
    assert wire.decode_instruction_submission(again) == (instruction, signature)


@given(st.data())
def test_any_text_is_a_payment_or_malformed(data: st.DataObject) -> None:
    """Nothing else comes out of the decoder: not for broken UTF-8, not for any turned byte."""
    text = bytearray(msgspec.json.encode(wire.encode_payment(data.draw(strategies.payments))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        payment = wire.decode_payment(bytes(text))
    except MalformedPayment:
        return
    assert wire.decode_payment(msgspec.json.encode(wire.encode_payment(payment))) == payment
