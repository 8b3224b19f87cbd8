"""Receipts: the operator's binding promise that a payment, or an instruction, stands at one place of one block, and,
once its epoch is committed, the path from there to what Ethereum holds."""

import msgspec

from chain.block import INSTRUCTION, PAYMENT, Header, encode_record_item, hash_header
from chain.commitment import Commitment, hash_commitment
from chain.errors import InvalidProof
from chain.instruction import SignedInstruction, check_signed_instruction
from chain.merkle import check_list_proof
from chain.params import Domain
from chain.payment import SignedPayment, check_signed_payment
from chain.primitives import Address, Hash, Signature
from chain.signatures import check_signer


class Inclusion(msgspec.Struct, frozen=True):
    """Where a block stands in a commitment, and where that stands on Ethereum."""

    commitment: Commitment
    index: int
    """The block's place in the epoch, from 0."""
    siblings: tuple[Hash, ...]
    l1_transaction: Hash
    included_at: int
    """Unix seconds: the time of the L1 block that holds the commitment."""


class Receipt(msgspec.Struct, frozen=True):
    signed: SignedPayment
    header: Header
    header_signature: Signature
    index: int
    """The payment's place in the block, from 0."""
    siblings: tuple[Hash, ...]
    inclusion: Inclusion | None = None


class InstructionReceipt(msgspec.Struct, frozen=True):
    """The same of an instruction."""

    signed: SignedInstruction
    header: Header
    header_signature: Signature
    index: int
    siblings: tuple[Hash, ...]
    inclusion: Inclusion | None = None


def check_receipt(receipt: Receipt, domain: Domain, operator: Address) -> None:
    """Whether the payer authorised this payment and the operator promised it this place.

    Raises, in this order: what `check_signed_payment` raises; `InvalidProof` when the id is not the payment's, when
    the payment was expired at the block's time, or the record does not lead to the records root; `InvalidSignature`
    when the operator did not sign the header.
    """
    signed = receipt.signed
    checked = check_signed_payment(signed.payment, signed.signature, domain)
    if checked.id != signed.id:
        raise InvalidProof(f"the payment's id is 0x{checked.id.hex()}, the receipt says 0x{signed.id.hex()}")
    _check_time(signed.payment.valid_until, receipt.header)
    _check_place(PAYMENT, receipt, domain, operator)


def check_instruction_receipt(receipt: InstructionReceipt, domain: Domain, operator: Address) -> None:
    """Whether the account authorised this instruction and the operator promised it this place.

    Raises, in this order: what `check_signed_instruction` raises, then like `check_receipt`.
    """
    signed = receipt.signed
    checked = check_signed_instruction(signed.instruction, signed.signature, domain)
    if checked.id != signed.id:
        raise InvalidProof(f"the instruction's id is 0x{checked.id.hex()}, the receipt says 0x{signed.id.hex()}")
    _check_time(signed.instruction.valid_until, receipt.header)
    _check_place(INSTRUCTION, receipt, domain, operator)


def check_inclusion(header: Header, inclusion: Inclusion, domain: Domain) -> Hash:
    """Whether the block stands in the commitment. Returns the commitment's digest, to be compared with Ethereum.

    Raises `InvalidProof` when the block's number or time is not the one of that place, or its hash does not lead to the
    blocks root.
    """
    commitment = inclusion.commitment
    if header.number != commitment.first_block + inclusion.index:
        raise InvalidProof(f"place {inclusion.index} of epoch {commitment.epoch} is not block {header.number}")
    if header.timestamp > commitment.cut_at:
        raise InvalidProof(f"block {header.number} is later than the cut of epoch {commitment.epoch}")
    block_hash = hash_header(header, domain)
    check_list_proof(block_hash, inclusion.index, commitment.block_count, inclusion.siblings, commitment.blocks_root)
    return hash_commitment(commitment, domain)


def _check_time(valid_until: int, header: Header) -> None:
    if valid_until and header.timestamp > valid_until * 1000:
        raise InvalidProof("it had expired at the time of its block")


def _check_place(record_type: int, receipt: Receipt | InstructionReceipt, domain: Domain, operator: Address) -> None:
    header = receipt.header
    item = encode_record_item(record_type, receipt.signed.id)
    check_list_proof(item, receipt.index, header.record_count, receipt.siblings, header.records_root)
    check_signer(hash_header(header, domain), receipt.header_signature, operator)
