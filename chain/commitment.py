"""Commitments: what goes to Ethereum for an epoch."""

from typing import Final

import msgspec

from chain.encoding import Reader, encode_address_word, encode_u16, encode_u64, encode_u128, encode_u256
from chain.hashing import keccak
from chain.merkle import SumNode
from chain.params import Domain
from chain.primitives import ZERO_HASH, Address, Hash

COMMITMENT_TYPE: Final = (
    "Commitment(uint64 epoch,bytes32 previous,uint64 firstBlock,uint64 lastBlock,uint64 cutAt,bytes32 blocksRoot,"
    "bytes32 extraRoot,AssetCommitment[] assets)"
)
ASSET_COMMITMENT_TYPE: Final = (
    "AssetCommitment(address asset,bytes32 stateRoot,uint128 total,uint64 accountCount,uint64 depositCount,"
    "uint64 forcedCount,bytes32 withdrawalsRoot,uint64 withdrawalCount,uint128 withdrawn)"
)
_COMMITMENT_TYPE_HASH: Final = keccak((COMMITMENT_TYPE + ASSET_COMMITMENT_TYPE).encode())
_ASSET_COMMITMENT_TYPE_HASH: Final = keccak(ASSET_COMMITMENT_TYPE.encode())


class AssetCommitment(msgspec.Struct, frozen=True):
    """One asset's line. Counts are cumulative; the withdrawals and their sum are this epoch's only."""

    asset: Address
    state_root: Hash
    total: int
    """Base units: the sum of all closing balances, which the state tree's root carries."""
    account_count: int
    deposit_count: int
    forced_count: int
    withdrawals_root: Hash
    withdrawal_count: int
    withdrawn: int

    @property
    def state(self) -> SumNode:
        return self.state_root, self.total

    @property
    def withdrawals(self) -> SumNode:
        return self.withdrawals_root, self.withdrawn


class Commitment(msgspec.Struct, frozen=True):
    epoch: int
    previous: Hash
    """Digest of the last commitment; zero for the first."""
    first_block: int
    last_block: int
    """first_block − 1 when the epoch has no blocks."""
    cut_at: int
    """Milliseconds: the node's clock at the cut."""
    blocks_root: Hash
    extra_root: Hash
    assets: tuple[AssetCommitment, ...]

    @property
    def block_count(self) -> int:
        return self.last_block - self.first_block + 1


NO_COMMITMENT: Final = Commitment(0, ZERO_HASH, 0, 0, 0, ZERO_HASH, ZERO_HASH, ())
"""What stands before the first commitment."""


def hash_commitment(commitment: Commitment, domain: Domain) -> Hash:
    """The EIP-712 digest: what the operator signs, and what the next commitment names as its previous."""
    return domain.compute_digest(
        keccak(
            b"".join(
                (
                    _COMMITMENT_TYPE_HASH,
                    encode_u256(commitment.epoch),
                    commitment.previous,
                    encode_u256(commitment.first_block),
                    encode_u256(commitment.last_block),
                    encode_u256(commitment.cut_at),
                    commitment.blocks_root,
                    commitment.extra_root,
                    keccak(b"".join([_hash_asset_commitment(line) for line in commitment.assets])),
                )
            )
        )
    )


def compute_stored_hash(digest: Hash, included_at: int) -> Hash:
    """What the contract keeps for an epoch: H(digest ‖ includedAt u64), the time in seconds."""
    return keccak(digest + encode_u64(included_at))


def encode_commitment(commitment: Commitment) -> bytes:
    """Journal form: epoch u64 ‖ previous 32 ‖ first block u64 ‖ last block u64 ‖ cutAt u64 ‖ blocks root 32 ‖ extra
    root 32 ‖ line count u16 ‖ per line: asset 20 ‖ state root 32 ‖ total u128 ‖ accounts u64 ‖ deposits u64 ‖ forced
    u64 ‖ withdrawals root 32 ‖ withdrawals u64 ‖ withdrawn u128."""
    lines = [
        b"".join(
            (
                line.asset,
                line.state_root,
                encode_u128(line.total),
                encode_u64(line.account_count),
                encode_u64(line.deposit_count),
                encode_u64(line.forced_count),
                line.withdrawals_root,
                encode_u64(line.withdrawal_count),
                encode_u128(line.withdrawn),
            )
        )
        for line in commitment.assets
    ]
    return b"".join(
        (
            encode_u64(commitment.epoch),
            commitment.previous,
            encode_u64(commitment.first_block),
            encode_u64(commitment.last_block),
            encode_u64(commitment.cut_at),
            commitment.blocks_root,
            commitment.extra_root,
            encode_u16(len(lines)),
            *lines,
        )
    )


def decode_commitment(data: bytes) -> Commitment:
    """Inverse of `encode_commitment`. Raises `MalformedBytes` for any other bytes."""
    reader = Reader(data)
    epoch, previous = reader.take_uint(8), reader.take(32)
    first_block, last_block, cut_at = reader.take_uint(8), reader.take_uint(8), reader.take_uint(8)
    blocks_root, extra_root = reader.take(32), reader.take(32)
    lines = tuple(
        [
            AssetCommitment(
                asset=reader.take(20),
                state_root=reader.take(32),
                total=reader.take_uint(16),
                account_count=reader.take_uint(8),
                deposit_count=reader.take_uint(8),
                forced_count=reader.take_uint(8),
                withdrawals_root=reader.take(32),
                withdrawal_count=reader.take_uint(8),
                withdrawn=reader.take_uint(16),
            )
            for _ in range(reader.take_uint(2))
        ]
    )
    reader.finish()
    return Commitment(epoch, previous, first_block, last_block, cut_at, blocks_root, extra_root, lines)


def _hash_asset_commitment(line: AssetCommitment) -> Hash:
    return keccak(
        b"".join(
            (
                _ASSET_COMMITMENT_TYPE_HASH,
                encode_address_word(line.asset),
                line.state_root,
                encode_u256(line.total),
                encode_u256(line.account_count),
                encode_u256(line.deposit_count),
                encode_u256(line.forced_count),
                line.withdrawals_root,
                encode_u256(line.withdrawal_count),
                encode_u256(line.withdrawn),
            )
        )
    )
