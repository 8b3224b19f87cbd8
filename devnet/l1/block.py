"""What a block holds, and how its body is kept on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import rlp
from eth.vm.forks.prague.blocks import PragueBlockHeader as Header
from eth_typing import Address

__all__ = [
    "Block",
    "Header",
    "Log",
    "MinedTransaction",
    "decode_body",
    "decode_header",
    "encode_body",
    "get_base_fee",
]


@dataclass(frozen=True, slots=True)
class Log:
    address: bytes
    """20 bytes."""
    topics: tuple[bytes, ...]
    """At most 4, 32 bytes each."""
    data: bytes


@dataclass(frozen=True, slots=True)
class MinedTransaction:
    """A transaction and what came of it."""

    raw: bytes
    """EIP-2718 encoding, as it was sent."""
    hash: bytes
    sender: Address
    status: int
    """1 success, 0 reverted or failed."""
    gas_used: int
    cumulative_gas_used: int
    """Of the block up to and including this transaction."""
    contract_address: bytes | None
    """Of the contract this transaction was to create (whether or not it succeeded)."""
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Block:
    header: Header
    transactions: tuple[MinedTransaction, ...]

    @property
    def number(self) -> int:
        return self.header.block_number

    @property
    def hash(self) -> bytes:
        return self.header.hash


def get_base_fee(header: Header) -> int:
    """Wei per gas. py-evm's types leave room for headers from before London; here there are none."""
    return cast(int, header.base_fee_per_gas)


def decode_header(encoded: bytes) -> Header:
    header: Header = rlp.decode(encoded, sedes=Header)
    return header


def encode_body(transactions: tuple[MinedTransaction, ...]) -> bytes:
    """RLP; empty for no transactions."""
    if not transactions:
        return b""
    encoded: bytes = rlp.encode(
        [
            [
                mined.raw,
                mined.hash,
                mined.sender,
                rlp.sedes.big_endian_int.serialize(mined.status),
                rlp.sedes.big_endian_int.serialize(mined.gas_used),
                rlp.sedes.big_endian_int.serialize(mined.cumulative_gas_used),
                mined.contract_address or b"",
                [[log.address, list(log.topics), log.data] for log in mined.logs],
            ]
            for mined in transactions
        ]
    )
    return encoded


def decode_body(encoded: bytes) -> tuple[MinedTransaction, ...]:
    if not encoded:
        return ()
    return tuple(
        MinedTransaction(
            raw=raw,
            hash=hash_,
            sender=Address(sender),
            status=int.from_bytes(status, "big"),
            gas_used=int.from_bytes(gas_used, "big"),
            cumulative_gas_used=int.from_bytes(cumulative_gas_used, "big"),
            contract_address=contract_address or None,
            logs=tuple(Log(address, tuple(topics), data) for address, topics, data in logs),
        )
        for raw, hash_, sender, status, gas_used, cumulative_gas_used, contract_address, logs in rlp.decode(encoded)
    )
