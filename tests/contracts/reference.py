"""The byte layouts the contracts must follow, written a second time: naive, slow, and sharing no code with `chain/`.

Trees are built by recursion over all leaves; typed data is hashed by eth-account from type tables.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eth_account.messages import encode_typed_data
from eth_utils import keccak, to_canonical_address

ZERO_HASH = bytes(32)
ZERO_ADDRESS = "0x" + "00" * 20
ETHER = ZERO_ADDRESS
EMPTY: SumNode


class SumNode(NamedTuple):
    hash: bytes
    sum: int


class Line(NamedTuple):
    """AssetCommitment, in the order of its ABI."""

    asset: str
    state_root: bytes = ZERO_HASH
    total: int = 0
    account_count: int = 0
    deposit_count: int = 0
    forced_count: int = 0
    withdrawals_root: bytes = ZERO_HASH
    withdrawal_count: int = 0
    withdrawn: int = 0


class Commitment(NamedTuple):
    """Commitment, in the order of its ABI."""

    epoch: int = 0
    previous: bytes = ZERO_HASH
    first_block: int = 0
    last_block: int = 0
    cut_at: int = 0
    blocks_root: bytes = ZERO_HASH
    extra_root: bytes = ZERO_HASH
    assets: tuple[Line, ...] = ()


class Withdrawal(NamedTuple):
    id: bytes
    recipient: str
    amount: int


EMPTY = SumNode(ZERO_HASH, 0)
NONE = Commitment()


def u(value: int, bits: int) -> bytes:
    return value.to_bytes(bits // 8, "big")


# ---- trees -----------------------------------------------------------------------------------------------------------


def compute_depth(count: int) -> int:
    depth = 0
    while 2**depth < count:
        depth += 1
    return depth


def list_leaf(data: bytes) -> bytes:
    return keccak(b"\x80" + data)


def list_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return ZERO_HASH
    level = leaves + [ZERO_HASH] * (2 ** compute_depth(len(leaves)) - len(leaves))
    while len(level) > 1:
        level = [keccak(b"\x81" + level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def list_proof(leaves: list[bytes], index: int) -> list[bytes]:
    level = leaves + [ZERO_HASH] * (2 ** compute_depth(len(leaves)) - len(leaves))
    siblings = []
    while len(level) > 1:
        siblings.append(level[index ^ 1])
        level = [keccak(b"\x81" + level[i] + level[i + 1]) for i in range(0, len(level), 2)]
        index //= 2
    return siblings


def sum_parent(left: SumNode, right: SumNode) -> SumNode:
    if left == EMPTY and right == EMPTY:
        return EMPTY
    parts = b"\x83" + left.hash + u(left.sum, 128) + right.hash + u(right.sum, 128)
    return SumNode(keccak(parts), left.sum + right.sum)


def sum_levels(leaves: list[SumNode]) -> list[list[SumNode]]:
    """All levels, leaves first, padded to a power of two."""
    levels = [leaves + [EMPTY] * (2 ** compute_depth(len(leaves)) - len(leaves))]
    while len(levels[-1]) > 1:
        level = levels[-1]
        levels.append([sum_parent(level[i], level[i + 1]) for i in range(0, len(level), 2)])
    return levels


def sum_root(leaves: list[SumNode]) -> SumNode:
    return sum_levels(leaves)[-1][0]


def sum_proof(leaves: list[SumNode], index: int) -> list[SumNode]:
    return [level[(index >> height) ^ 1] for height, level in enumerate(sum_levels(leaves)[:-1])]


# ---- leaves and ids --------------------------------------------------------------------------------------------------


def withdrawal_leaf(withdrawal: Withdrawal) -> SumNode:
    id_, recipient, amount = withdrawal
    return SumNode(keccak(b"\x86" + id_ + to_canonical_address(recipient) + u(amount, 128)), amount)


def debit_leaf(type_: int, number: int, id_: bytes, amount: int) -> bytes:
    return keccak(b"\x84" + u(type_, 8) + u(number, 64) + id_ + u(amount, 128))


def credit_leaf(block: int, record: int, output: int, type_: int, id_: bytes, amount: int) -> bytes:
    return keccak(b"\x85" + u(block, 64) + u(record, 32) + u(output, 8) + u(type_, 8) + id_ + u(amount, 128))


def request_id(type_: int, asset: str, index: int) -> bytes:
    return keccak(b"\x89" + u(type_, 8) + to_canonical_address(asset) + u(index, 64))


def commitment_hash(digest: bytes, included_at: int) -> bytes:
    return keccak(digest + u(included_at, 64))


def ledger_chain_id(l1_chain_id: int, settlement: str) -> int:
    return 2**40 + int.from_bytes(keccak(u(l1_chain_id, 256) + to_canonical_address(settlement))[:5], "big")


# ---- typed data ------------------------------------------------------------------------------------------------------


def _fields(declaration: str) -> list[dict[str, str]]:
    return [{"type": type_, "name": name} for type_, name in (field.split(" ") for field in declaration.split(","))]


COMMITMENT_TYPES = {
    "Commitment": _fields(
        "uint64 epoch,bytes32 previous,uint64 firstBlock,uint64 lastBlock,uint64 cutAt,bytes32 blocksRoot,"
        "bytes32 extraRoot,AssetCommitment[] assets"
    ),
    "AssetCommitment": _fields(
        "address asset,bytes32 stateRoot,uint128 total,uint64 accountCount,uint64 depositCount,uint64 forcedCount,"
        "bytes32 withdrawalsRoot,uint64 withdrawalCount,uint128 withdrawn"
    ),
}
OUTPUT_TYPES = {"Output": _fields("address to,uint128 amount")}
EMPTY_OUTPUT = {"to": ZERO_ADDRESS, "amount": 0}
PAYMENT_TYPES = {
    "Payment": _fields(
        "address asset,address from,uint64 nonce,uint64 validUntil,string kind,bytes32 reference,string memo,"
        "Output[] outputs"
    ),
    **OUTPUT_TYPES,
}
BLOCK_TYPES = {
    "Block": _fields("uint64 number,bytes32 previous,uint64 timestamp,bytes32 recordsRoot,uint32 recordCount")
}


class Domain(NamedTuple):
    chain_id: int
    settlement: str

    @property
    def fields(self) -> dict[str, Any]:
        return {
            "name": "Tallystick",
            "version": "1",
            "chainId": self.chain_id,
            "verifyingContract": self.settlement,
        }

    @property
    def separator(self) -> bytes:
        return bytes(encode_typed_data(self.fields, OUTPUT_TYPES, EMPTY_OUTPUT).header)

    def digest(self, types: dict[str, Any], message: dict[str, Any]) -> bytes:
        signable = encode_typed_data(self.fields, types, message)
        return keccak(b"\x19" + signable.version + signable.header + signable.body)

    def commitment_digest(self, commitment: Commitment) -> bytes:
        names = [field["name"] for field in COMMITMENT_TYPES["Commitment"]]
        line_names = [field["name"] for field in COMMITMENT_TYPES["AssetCommitment"]]
        message = dict(zip(names, commitment, strict=True))
        message["assets"] = [dict(zip(line_names, line, strict=True)) for line in commitment.assets]
        return self.digest(COMMITMENT_TYPES, message)
