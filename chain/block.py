"""Blocks: the records that became durable together, under one header that the operator signs.

A block lists its records as (type, id); what a record says in full travels beside it. Types: 1 payment, 2 deposit,
3 forced withdrawal, 4 instruction; forced withdrawals have no records yet.
"""

from typing import Final, TypeAlias

import msgspec

from chain.encoding import Reader, encode_u16, encode_u32, encode_u64, encode_u128, encode_u256
from chain.errors import MalformedBytes
from chain.hashing import REQUEST_ID, keccak
from chain.instruction import SignedInstruction, decode_signed_instruction, encode_signed_instruction
from chain.merkle import ListTree
from chain.params import Domain
from chain.payment import SignedPayment, decode_signed_payment, encode_signed_payment
from chain.primitives import Address, Hash

PAYMENT: Final = 1
DEPOSIT: Final = 2
FORCED_WITHDRAWAL: Final = 3
INSTRUCTION: Final = 4

BLOCK_TYPE: Final = "Block(uint64 number,bytes32 previous,uint64 timestamp,bytes32 recordsRoot,uint32 recordCount)"
_BLOCK_TYPE_HASH: Final = keccak(BLOCK_TYPE.encode())


class Deposit(msgspec.Struct, frozen=True):
    """A deposit that the contract queued, credited on the ledger."""

    id: Hash
    asset: Address
    index: int
    """Its place in the contract's queue of that asset, from 0."""
    account: Address
    amount: int
    l1_block: int
    l1_block_hash: Hash
    """The L1 block that it was read from."""
    l1_transaction: Hash


Record: TypeAlias = SignedPayment | Deposit | SignedInstruction


class Header(msgspec.Struct, frozen=True):
    number: int
    previous: Hash
    """Hash of the block before; of block 1, the genesis hash."""
    timestamp: int
    """Milliseconds, never falling."""
    records_root: Hash
    record_count: int


class Block(msgspec.Struct, frozen=True):
    header: Header
    records: tuple[Record, ...]


def compute_request_id(record_type: int, asset: Address, index: int) -> Hash:
    """The id of a deposit or forced withdrawal: H(0x89 ‖ type u8 ‖ asset 20 ‖ index u64)."""
    return keccak(REQUEST_ID + bytes((record_type,)) + asset + encode_u64(index))


def make_deposit(
    asset: Address,
    index: int,
    account: Address,
    amount: int,
    l1_block: int,
    l1_block_hash: Hash,
    l1_transaction: Hash,
) -> Deposit:
    deposit_id = compute_request_id(DEPOSIT, asset, index)
    return Deposit(deposit_id, asset, index, account, amount, l1_block, l1_block_hash, l1_transaction)


def get_record_type(record: Record) -> int:
    if type(record) is SignedPayment:
        return PAYMENT
    return DEPOSIT if type(record) is Deposit else INSTRUCTION


def encode_record_item(record_type: int, record_id: Hash) -> bytes:
    """What the records tree holds of a record: type u8 ‖ id 32."""
    return bytes((record_type,)) + record_id


def build_records_tree(records: tuple[Record, ...] | list[Record]) -> ListTree:
    return ListTree([encode_record_item(get_record_type(record), record.id) for record in records])


def hash_header(header: Header, domain: Domain) -> Hash:
    """The block hash: the EIP-712 digest of the header, which is what the operator signs."""
    return domain.compute_digest(
        keccak(
            b"".join(
                (
                    _BLOCK_TYPE_HASH,
                    encode_u256(header.number),
                    header.previous,
                    encode_u256(header.timestamp),
                    header.records_root,
                    encode_u256(header.record_count),
                )
            )
        )
    )


def encode_header(header: Header) -> bytes:
    """84 bytes: number u64 ‖ previous 32 ‖ timestamp u64 ‖ records root 32 ‖ record count u32."""
    return b"".join(
        (
            encode_u64(header.number),
            header.previous,
            encode_u64(header.timestamp),
            header.records_root,
            encode_u32(header.record_count),
        )
    )


def encode_record(record: Record) -> bytes:
    """type u8 ‖ size u16 ‖ the record"""
    if isinstance(record, SignedPayment):
        body = encode_signed_payment(record)
    elif isinstance(record, Deposit):
        body = _encode_deposit(record)
    else:
        body = encode_signed_instruction(record)
    return bytes((get_record_type(record),)) + encode_u16(len(body)) + body


def encode_block(header: Header, encoded_records: list[bytes]) -> bytes:
    """Journal form: the header's 84 bytes, then each record as `encode_record` made it."""
    return encode_header(header) + b"".join(encoded_records)


def decode_block(data: bytes) -> Block:
    """Inverse of `encode_block`. Ids, roots and signatures are taken as they stand, not checked.

    Raises `MalformedBytes` for any other bytes.
    """
    reader = Reader(data)
    header = Header(
        number=reader.take_uint(8),
        previous=reader.take(32),
        timestamp=reader.take_uint(8),
        records_root=reader.take(32),
        record_count=reader.take_uint(4),
    )
    records: list[Record] = []
    for _ in range(header.record_count):
        record_type = reader.take_uint(1)
        body = reader.take(reader.take_uint(2))
        if record_type == PAYMENT:
            records.append(decode_signed_payment(body))
        elif record_type == DEPOSIT:
            records.append(_decode_deposit(body))
        elif record_type == INSTRUCTION:
            records.append(decode_signed_instruction(body))
        else:
            raise MalformedBytes(f"record type {record_type} is not known")
    reader.finish()
    return Block(header, tuple(records))


def _encode_deposit(deposit: Deposit) -> bytes:
    return b"".join(
        (
            deposit.id,
            deposit.asset,
            encode_u64(deposit.index),
            deposit.account,
            encode_u128(deposit.amount),
            encode_u64(deposit.l1_block),
            deposit.l1_block_hash,
            deposit.l1_transaction,
        )
    )


def _decode_deposit(body: bytes) -> Deposit:
    reader = Reader(body)
    deposit = Deposit(
        id=reader.take(32),
        asset=reader.take(20),
        index=reader.take_uint(8),
        account=reader.take(20),
        amount=reader.take_uint(16),
        l1_block=reader.take_uint(8),
        l1_block_hash=reader.take(32),
        l1_transaction=reader.take(32),
    )
    reader.finish()
    return deposit
