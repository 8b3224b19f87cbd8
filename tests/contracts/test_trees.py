"""The proof libraries against naive trees: every index of every shape, and what must not pass for a proof."""

from __future__ import annotations

import random

import pytest
from eth_utils import keccak
from web3.contract import Contract

from tests.contracts import reference
from tests.contracts.evm import Evm, Refused, refused
from tests.contracts.reference import EMPTY, ZERO_HASH, SumNode

COUNTS = [1, 2, 3, 4, 5, 8, 11]
MAX_SUM = 2**128 - 1


@pytest.fixture
def harness(evm: Evm) -> Contract:
    return evm.deploy("VectorHarness")


def sum_root(evm: Evm, harness: Contract, leaf: SumNode, index: int, count: int, siblings: list[SumNode]) -> SumNode:
    nodes = [tuple(sibling) for sibling in siblings]
    return SumNode(*evm.call(harness.functions.sumRoot(tuple(leaf), index, count, nodes)))


def make_leaves(count: int, seed: int = 0) -> list[SumNode]:
    amounts = random.Random(seed)
    return [SumNode(keccak(text=f"leaf {seed} {i}"), amounts.randrange(1, 2**64)) for i in range(count)]


@pytest.mark.parametrize("count", COUNTS)
def test_list_proofs_verify_at_their_true_index_alone(evm: Evm, harness: Contract, count: int) -> None:
    leaves = [reference.list_leaf(bytes([i])) for i in range(count)]
    root = reference.list_root(leaves)
    for index in range(count):
        siblings = reference.list_proof(leaves, index)
        for other in range(count):
            computed = evm.call(harness.functions.listRoot(leaves[index], other, count, siblings))
            assert (computed == root) == (other == index)
        for other in (count, count + index, 2 ** len(siblings) + index, 2**255 + index):
            with refused("IndexOutOfRange", other, count):
                evm.call(harness.functions.listRoot(leaves[index], other, count, siblings))


@pytest.mark.parametrize("count", COUNTS)
def test_sum_proofs_verify_at_their_true_index_alone(evm: Evm, harness: Contract, count: int) -> None:
    leaves = make_leaves(count)
    root = reference.sum_root(leaves)
    for index in range(count):
        siblings = reference.sum_proof(leaves, index)
        assert sum_root(evm, harness, leaves[index], index, count, siblings) == root
        for other in set(range(count)) - {index}:
            try:
                assert sum_root(evm, harness, leaves[index], other, count, siblings) != root
            except Refused as refusal:
                assert refusal.name == "PaddingNotEmpty"
        for other in (count, 2 ** len(siblings) + index, 2**255 + index):
            with refused("IndexOutOfRange", other, count):
                sum_root(evm, harness, leaves[index], other, count, siblings)


def test_proof_length_is_the_logarithm_of_the_count(evm: Evm, harness: Contract) -> None:
    for count in (1, 2, 3, 4, 5, 7, 8, 9, 1023, 1024, 1025, 2**63, 2**64 - 1):
        depth = reference.compute_depth(count)
        siblings = [ZERO_HASH] * depth
        evm.call(harness.functions.listRoot(keccak(b"leaf"), 0, count, siblings))
        for length in {max(depth - 1, 0), depth + 1, 0} - {depth}:
            with refused("ProofLengthMismatch", depth, length):
                evm.call(harness.functions.listRoot(keccak(b"leaf"), 0, count, [ZERO_HASH] * length))
            with refused("ProofLengthMismatch", depth, length):
                sum_root(evm, harness, SumNode(keccak(b"leaf"), 1), 0, count, [EMPTY] * length)


def test_an_empty_tree_has_no_proofs(evm: Evm, harness: Contract) -> None:
    with refused("IndexOutOfRange", 0, 0):
        evm.call(harness.functions.listRoot(ZERO_HASH, 0, 0, []))
    with refused("IndexOutOfRange", 0, 0):
        sum_root(evm, harness, EMPTY, 0, 0, [])


def test_a_single_leaf_is_its_own_root(evm: Evm, harness: Contract) -> None:
    leaf = SumNode(keccak(b"leaf"), 7)
    assert sum_root(evm, harness, leaf, 0, 1, []) == leaf


@pytest.mark.parametrize("count", [3, 5, 6, 9])
def test_padding_is_empty_at_every_level(evm: Evm, harness: Contract, count: int) -> None:
    """A phantom in the padding would let every real entry be proven while the balance is gone."""
    leaves = make_leaves(count)
    index = count - 1
    siblings = reference.sum_proof(leaves, index)
    beyond = [level for level in range(len(siblings)) if ((index >> level) ^ 1) << level >= count]
    assert beyond
    for level in beyond:
        assert siblings[level] == EMPTY
        for phantom in (SumNode(keccak(b"phantom"), 0), SumNode(ZERO_HASH, 1), SumNode(keccak(b"phantom"), 1)):
            forged = [*siblings[:level], phantom, *siblings[level + 1 :]]
            with refused("PaddingNotEmpty", level):
                sum_root(evm, harness, leaves[index], index, count, forged)


def test_sums_stay_within_128_bits(evm: Evm, harness: Contract) -> None:
    leaves = [SumNode(keccak(bytes([i])), amount) for i, amount in enumerate([MAX_SUM - 10, 4, 3, 3])]
    for index in range(4):
        proof = reference.sum_proof(leaves, index)
        assert sum_root(evm, harness, leaves[index], index, 4, proof).sum == MAX_SUM
    for index, amount, level in [(0, MAX_SUM, 4), (1, 15, MAX_SUM - 10)]:
        leaf = SumNode(keccak(b"more"), amount)
        with refused("SumTooLarge", amount + level):
            sum_root(evm, harness, leaf, index, 4, reference.sum_proof(leaves, index))
    siblings = [SumNode(keccak(b"a"), 0), SumNode(keccak(b"b"), MAX_SUM)]
    with refused("SumTooLarge", MAX_SUM + 1):
        sum_root(evm, harness, SumNode(keccak(b"leaf"), 1), 0, 4, siblings)


def test_both_sums_are_bound_and_not_only_their_total(evm: Evm, harness: Contract) -> None:
    """The flaw of early proof-of-liabilities trees: money moved from one child to the other under the same parent."""
    leaves = make_leaves(4)
    root = reference.sum_root(leaves)
    for index in range(4):
        siblings = reference.sum_proof(leaves, index)
        leaf = SumNode(leaves[index].hash, leaves[index].sum + 1)
        moved = [SumNode(siblings[0].hash, siblings[0].sum - 1), *siblings[1:]]
        computed = sum_root(evm, harness, leaf, index, 4, moved)
        assert computed.sum == root.sum
        assert computed.hash != root.hash


def test_leaves_and_nodes_have_tags_of_their_own(evm: Evm, harness: Contract) -> None:
    left, right = keccak(b"left"), keccak(b"right")
    node = evm.call(harness.functions.listRoot(left, 0, 2, [right]))
    assert node == keccak(b"\x81" + left + right)
    assert evm.call(harness.functions.listLeaf(left + right)) == keccak(b"\x80" + left + right) != node
    assert evm.call(harness.functions.listLeaf(b"")) == keccak(b"\x80")
    pair = sum_root(evm, harness, SumNode(left, 1), 0, 2, [SumNode(right, 2)])
    assert pair.hash not in (node, keccak(left + right), keccak(b"\x80" + left + right))


def test_no_two_proofs_claim_the_same_money(evm: Evm, harness: Contract) -> None:
    """However a tree was built, what can be proven of it never sums to more than its root."""
    seeded = random.Random(4)
    for _ in range(6):
        count = seeded.randrange(1, 9)
        leaves = make_leaves(count, seeded.randrange(10**6))
        root = reference.sum_root(leaves)
        committed = seeded.randrange(1, 2 * count + 1)
        proven = 0
        for index in range(committed):
            depth = reference.compute_depth(committed)
            levels = reference.sum_levels(leaves)
            if depth != len(levels) - 1 or index >= len(levels[0]):
                continue
            siblings = reference.sum_proof(leaves, index)
            try:
                if sum_root(evm, harness, levels[0][index], index, committed, siblings) == root:
                    proven += levels[0][index].sum
            except Refused as refusal:
                assert refusal.name == "PaddingNotEmpty"
        assert proven <= root.sum
