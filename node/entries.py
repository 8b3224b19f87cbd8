"""What the journal holds, in order: everything that ever happened to this ledger, and nothing else.

A journal begins with the parameters. Then come blocks, the assets that the contract listed, the cuts that end epochs
at a block boundary, and the seals: the commitments that followed from the cuts, signed.
"""

from typing import Final, TypeAlias

import msgspec

from chain.block import Block, decode_block
from chain.commitment import Commitment, decode_commitment, encode_commitment
from chain.encoding import Reader, encode_u16, encode_u64
from chain.errors import MalformedBytes
from chain.params import Market, Parameters
from chain.primitives import SIGNATURE_SIZE, Address, Signature

_GENESIS: Final = 0
_ASSET: Final = 1
_BLOCK: Final = 2
_CUT: Final = 3
_SEAL: Final = 4

BLOCK_PREFIX: Final = bytes((_BLOCK,))
"""Before `chain.block.encode_block`: an encoded block entry, made without a `BlockEntry` in between."""


class GenesisEntry(msgspec.Struct, frozen=True):
    parameters: Parameters


class AssetEntry(msgspec.Struct, frozen=True):
    """From here on the ledger knows this asset: the next of the contract's list."""

    asset: Address


class BlockEntry(msgspec.Struct, frozen=True):
    block: Block


class CutEntry(msgspec.Struct, frozen=True):
    """The epoch ends with the last block before this entry."""

    epoch: int
    cut_at: int
    """Milliseconds."""


class SealEntry(msgspec.Struct, frozen=True):
    """The signed commitment of an epoch that was cut before; later blocks may stand in between."""

    commitment: Commitment
    signature: Signature


Entry: TypeAlias = GenesisEntry | AssetEntry | BlockEntry | CutEntry | SealEntry


def encode_genesis(parameters: Parameters) -> bytes:
    """kind u8 ‖ L1 chain id u64 ‖ settlement 20 ‖ native asset 20 ‖ deployed at u64 ‖ validator share u16 ‖ owner share
    u16 ‖ commission u16 ‖ rate count u8 ‖ rates (asset 20 ‖ rate u64)"""
    market = parameters.market
    return b"".join(
        (
            bytes((_GENESIS,)),
            encode_u64(parameters.l1_chain_id),
            parameters.settlement,
            parameters.native_asset,
            encode_u64(parameters.deployed_at),
            encode_u16(market.validator_share),
            encode_u16(market.owner_share),
            encode_u16(market.commission),
            bytes((len(market.storage_rates),)),
            *[asset + encode_u64(rate) for asset, rate in market.storage_rates],
        )
    )


def encode_asset(asset: Address) -> bytes:
    """kind u8 ‖ asset 20"""
    return bytes((_ASSET,)) + asset


def encode_cut(epoch: int, cut_at: int) -> bytes:
    """kind u8 ‖ epoch u64 ‖ cutAt u64"""
    return bytes((_CUT,)) + encode_u64(epoch) + encode_u64(cut_at)


def encode_seal(commitment: Commitment, signature: Signature) -> bytes:
    """kind u8 ‖ signature 65 ‖ commitment"""
    return bytes((_SEAL,)) + signature + encode_commitment(commitment)


def decode_entry(data: bytes) -> Entry:
    """Inverse of the encoders above. Raises `MalformedBytes` for any other bytes."""
    if not data:
        raise MalformedBytes("an empty journal entry")
    kind, body = data[0], data[1:]
    if kind == _BLOCK:
        return BlockEntry(decode_block(body))
    if kind == _SEAL:
        if len(body) < SIGNATURE_SIZE:
            raise MalformedBytes("a seal without its signature")
        return SealEntry(decode_commitment(body[SIGNATURE_SIZE:]), body[:SIGNATURE_SIZE])
    reader = Reader(body)
    entry: Entry
    if kind == _GENESIS:
        entry = GenesisEntry(
            Parameters(
                l1_chain_id=reader.take_uint(8),
                settlement=reader.take(20),
                native_asset=reader.take(20),
                deployed_at=reader.take_uint(8),
                market=Market(
                    validator_share=reader.take_uint(2),
                    owner_share=reader.take_uint(2),
                    commission=reader.take_uint(2),
                    storage_rates=tuple([(reader.take(20), reader.take_uint(8)) for _ in range(reader.take_uint(1))]),
                ),
            )
        )
    elif kind == _ASSET:
        entry = AssetEntry(reader.take(20))
    elif kind == _CUT:
        entry = CutEntry(reader.take_uint(8), reader.take_uint(8))
    else:
        raise MalformedBytes(f"journal entry of kind {kind} is not known")
    reader.finish()
    return entry
