"""What a user shows to others, the contract first: proofs, built and verified in the form they are submitted in."""

import msgspec

from chain.account import AccountLeaf, encode_account_leaf, hash_account_leaf, is_leaf_sound
from chain.commitment import AssetCommitment, Commitment
from chain.errors import InvalidProof
from chain.merkle import SumNode, SumTree, check_sum_proof
from chain.primitives import Address
from chain.statement import Withdrawal, hash_withdrawal


class AccountProof(msgspec.Struct, frozen=True):
    """An account's leaf at its place in the state tree of one commitment."""

    leaf: AccountLeaf
    index: int
    siblings: tuple[SumNode, ...]


class WithdrawalClaim(msgspec.Struct, frozen=True):
    """All that `claimWithdrawal` takes, but for the commitment that it is checked against."""

    asset: Address
    index: int
    withdrawal: Withdrawal
    siblings: tuple[SumNode, ...]


def check_account_proof(proof: AccountProof, commitment: Commitment) -> None:
    """Raises `InvalidProof`, in this order: the asset has no line, the leaf is of a later epoch or contradicts itself,
    or it does not lead to the line's root and total."""
    line, _ = get_line(commitment, proof.leaf.asset)
    if proof.leaf.epoch > commitment.epoch:
        raise InvalidProof(f"the leaf is of epoch {proof.leaf.epoch}, the commitment of {commitment.epoch}")
    if not is_leaf_sound(proof.leaf):
        raise InvalidProof("the leaf contradicts itself")
    leaf = hash_account_leaf(encode_account_leaf(proof.leaf)), proof.leaf.closing
    check_sum_proof(leaf, proof.index, line.account_count, proof.siblings, line.state)


def build_withdrawal_claim(asset: Address, withdrawals: list[Withdrawal], index: int) -> WithdrawalClaim:
    """The claim of withdrawal `index` among all of one epoch and asset, in ledger order."""
    tree = SumTree([(hash_withdrawal(withdrawal), withdrawal.amount) for withdrawal in withdrawals])
    return WithdrawalClaim(asset, index, withdrawals[index], tuple(tree.prove(index)))


def check_withdrawal_claim(claim: WithdrawalClaim, commitment: Commitment) -> None:
    """Raises `InvalidProof` when the asset has no line, or the withdrawal does not lead to the line's root and sum."""
    line, _ = get_line(commitment, claim.asset)
    leaf = hash_withdrawal(claim.withdrawal), claim.withdrawal.amount
    check_sum_proof(leaf, claim.index, line.withdrawal_count, claim.siblings, line.withdrawals)


def get_line(commitment: Commitment, asset: Address) -> tuple[AssetCommitment, int]:
    """An asset's line and its index. Raises `InvalidProof` if the commitment has none."""
    for index, line in enumerate(commitment.assets):
        if line.asset == asset:
            return line, index
    raise InvalidProof(f"epoch {commitment.epoch} has no line for asset 0x{asset.hex()}")
