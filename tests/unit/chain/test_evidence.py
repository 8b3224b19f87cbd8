"""Proofs of accounts and withdrawals against a commitment of a whole ledger. Claims alone are vectors."""

from typing import Any

import msgspec
import pytest

from chain.account import NonceWindow, decode_account_leaf
from chain.errors import InvalidProof
from chain.evidence import (
    AccountProof,
    build_withdrawal_claim,
    check_account_proof,
    check_withdrawal_claim,
    get_line,
)
from chain.merkle import SumTree
from chain.primitives import ZERO_HASH
from tests.unit.chain.actors import (
    ALICE,
    BOB,
    CAROL,
    ETHER,
    START_MS,
    TOKEN,
    UNLISTED,
    deposit,
    make_block,
    make_ledger,
    make_payment,
    sign,
)

LEDGER = make_ledger(deposit(0, ALICE, 100), deposit(1, BOB, 50), deposit(2, CAROL, 7))
WITHDRAWING = [sign(make_payment((BOB, amount), kind="withdraw", nonce=amount)) for amount in (3, 1, 2)]
LEDGER.apply_block(make_block(LEDGER, *WITHDRAWING))
SEALED = LEDGER.cut(1, START_MS + 1000)
COMMITMENT = SEALED.commitment
(CHANGES,) = [change for change in SEALED.changes if change.asset == TOKEN]
LEAVES = [data for _, data in CHANGES.leaves]


def make_proof(place: int = 0, /, **fields: Any) -> AccountProof:
    """As the ledger committed it, with these fields of the leaf or the proof changed."""
    nodes = {(level, at): packed for level, at, packed in CHANGES.nodes if level == 0}
    tree = SumTree.from_packed_leaves(b"".join(nodes[0, at] for at in range(len(LEAVES))))
    proof = AccountProof(decode_account_leaf(LEAVES[place]), place, tuple(tree.prove(place)))
    of_proof = {name: fields.pop(name) for name in list(fields) if name in ("index", "siblings")}
    return msgspec.structs.replace(proof, leaf=msgspec.structs.replace(proof.leaf, **fields), **of_proof)


def test_every_account_is_proven_at_its_place() -> None:
    for index, owner in enumerate((ALICE, BOB, CAROL)):
        proof = make_proof(index)
        assert proof.leaf.owner == owner
        check_account_proof(proof, COMMITMENT)


@pytest.mark.parametrize(
    ("proof", "problem"),
    [
        (make_proof(asset=UNLISTED), "has no line for asset"),
        (make_proof(asset=ETHER), "index 0 is not below the count 0"),
        (make_proof(epoch=2), "the leaf is of epoch 2, the commitment of 1"),
        (make_proof(nonces=NonceWindow(0, 1)), "the leaf contradicts itself"),
        (make_proof(debits=200), "the leaf contradicts itself"),
        (make_proof(opening=2**128), "the leaf contradicts itself"),
        (make_proof(1, debits=1, opening=1), "the leaf contradicts itself"),  # a debit under count 0
        (make_proof(1, debits_root=b"\x01" * 32), "the leaf contradicts itself"),
        (make_proof(opening=1), "does not lead to the root and its sum"),
        (make_proof(opening=5, credits=95), "does not lead to the root and its sum"),  # the closing is right
        (make_proof(owner=CAROL), "does not lead to the root and its sum"),
        (make_proof(nonces=NonceWindow(0, 0)), "does not lead to the root and its sum"),
        (make_proof(epoch=0), "does not lead to the root and its sum"),
        (make_proof(index=1), "does not lead to the root and its sum"),
        (make_proof(index=4), "index 4 is not below the count 3"),
        (make_proof(siblings=()), "0 siblings, a tree of 3 has 2"),
    ],
)
def test_false_account_proofs(proof: AccountProof, problem: str) -> None:
    with pytest.raises(InvalidProof, match=problem):
        check_account_proof(proof, COMMITMENT)


def test_a_proof_is_of_one_commitment() -> None:
    ledger = make_ledger(deposit(0, ALICE, 100), deposit(1, BOB, 50), deposit(2, CAROL, 7))
    other = ledger.cut(1, START_MS + 1000).commitment
    with pytest.raises(InvalidProof, match="does not lead to the root"):
        check_account_proof(make_proof(), other)


def test_withdrawals_are_claimed_in_ledger_order() -> None:
    assert [withdrawal.amount for withdrawal in CHANGES.withdrawals] == [3, 1, 2]
    claims = [build_withdrawal_claim(TOKEN, CHANGES.withdrawals, index) for index in range(3)]
    for claim, signed in zip(claims, WITHDRAWING, strict=True):
        assert claim.withdrawal.id == signed.id
        check_withdrawal_claim(claim, COMMITMENT)
    with pytest.raises(InvalidProof, match="does not lead to the root and its sum"):
        check_withdrawal_claim(msgspec.structs.replace(claims[0], index=1), COMMITMENT)
    with pytest.raises(InvalidProof, match="index 0 is not below the count 0"):
        check_withdrawal_claim(msgspec.structs.replace(claims[0], asset=ETHER), COMMITMENT)


def test_lines_by_asset() -> None:
    assert get_line(COMMITMENT, ETHER) == (COMMITMENT.assets[0], 0)
    assert get_line(COMMITMENT, TOKEN) == (COMMITMENT.assets[1], 1)
    assert COMMITMENT.assets[0].state_root == ZERO_HASH
    with pytest.raises(InvalidProof, match="epoch 1 has no line for asset"):
        get_line(COMMITMENT, UNLISTED)
