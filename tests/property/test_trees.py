"""Trees against the naive ones, and what no proof can be made to show."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import InvalidProof
from chain.hashing import SUM_NODE, keccak
from chain.merkle import (
    EMPTY_SUM,
    ListFrontier,
    ListTree,
    SumFrontier,
    SumNode,
    SumTree,
    check_list_proof,
    check_sum_proof,
    compute_depth,
    compute_list_root,
)
from chain.primitives import MAX_U128
from tests.property import strategies
from tests.vectors import reference

items = st.lists(st.binary(max_size=40), min_size=1, max_size=40)
amounts = st.one_of(st.integers(0, 5), st.integers(0, 2**100))
leaves = st.lists(st.tuples(strategies.hashes, amounts), min_size=1, max_size=40)


# --- the same roots and proofs as the naive trees


@given(items)
def test_list_trees(data: list[bytes]) -> None:
    tree, frontier = ListTree(data), ListFrontier()
    for item in data:
        frontier.append(item)
    assert tree.root == frontier.root == reference.list_root(data)
    for index, item in enumerate(data):
        siblings = tree.prove(index)
        assert siblings == reference.list_proof(data, index)
        check_list_proof(item, index, len(data), siblings, tree.root)


@given(leaves)
def test_sum_trees(data: list[SumNode]) -> None:
    tree, frontier = SumTree(data), SumFrontier()
    for leaf in data:
        frontier.append(*leaf)
    assert tree.root == frontier.root == reference.sum_root(data)
    for index, leaf in enumerate(data):
        siblings = tree.prove(index)
        assert siblings == reference.sum_proof(data, index)
        check_sum_proof(leaf, index, len(data), siblings, tree.root)


@given(leaves, st.lists(st.tuples(st.integers(0, 60), strategies.hashes, amounts), max_size=40), st.integers(1, 9))
def test_sum_trees_that_are_rewritten_and_grow(
    data: list[SumNode], changes: list[tuple[int, bytes, int]], batch: int
) -> None:
    """In batches, as epochs do; what each update says it wrote is enough to prove every leaf later."""
    tree = SumTree()
    written = {(level, at): node for level, at, node in tree.update(enumerate(data))}
    expected = list(data)
    for start in range(0, len(changes), batch):
        updates = []
        for place, leaf_hash, amount in changes[start : start + batch]:
            index = min(place, len(expected))
            expected[index : index + 1] = [(leaf_hash, amount)]
            updates.append((index, (leaf_hash, amount)))
        written |= {(level, at): node for level, at, node in tree.update(updates)}
    assert tree.root == reference.sum_root(expected)
    for index in range(len(expected)):
        siblings = [
            written.get((height, index >> height ^ 1), bytes(48)) for height in range(compute_depth(tree.count))
        ]
        proof = [(node[:32], int.from_bytes(node[32:], "big")) for node in siblings]
        assert proof == tree.prove(index) == reference.sum_proof(expected, index)


# --- soundness


@given(items, st.data())
def test_a_list_proof_shows_one_item_at_one_place(items: list[bytes], data: st.DataObject) -> None:
    tree, count = ListTree(items), len(items)
    index = data.draw(st.integers(0, count - 1))
    proof: dict[str, Any] = {"item": items[index], "index": index, "siblings": tree.prove(index)}
    mutate(proof, data, items)
    item, index, siblings = proof["item"], proof["index"], proof["siblings"]
    is_true = 0 <= index < count and item == items[index]
    if is_true and siblings == tree.prove(index):
        check_list_proof(item, index, count, siblings, tree.root)
    else:
        with pytest.raises(InvalidProof):
            check_list_proof(item, index, count, siblings, tree.root)


def mutate(proof: dict[str, Any], data: st.DataObject, items: list[bytes]) -> None:
    siblings = list(proof["siblings"])
    for change in data.draw(
        st.lists(st.sampled_from(["item", "index", "bits", "sibling", "swap", "drop", "add"]), max_size=2)
    ):
        if change == "item":
            proof["item"] = data.draw(st.one_of(st.sampled_from(items), st.binary(max_size=70)))
        elif change == "index":
            proof["index"] = data.draw(st.integers(-2, len(items) + 2))
        elif change == "bits":
            proof["index"] += data.draw(st.integers(1, 9)) << len(siblings)
        elif change == "sibling" and siblings:
            siblings[data.draw(st.integers(0, len(siblings) - 1))] = data.draw(strategies.hashes)
        elif change == "swap":
            siblings.reverse()
        elif change == "drop" and siblings:
            siblings.pop(data.draw(st.integers(0, len(siblings) - 1)))
        elif change == "add":
            siblings.insert(data.draw(st.integers(0, len(siblings))), data.draw(st.just(bytes(32)) | strategies.hashes))
    proof["siblings"] = siblings


@given(items, st.integers(0, 2**70), st.integers(0, 2**70))
def test_a_list_proof_has_one_length(items: list[bytes], index: int, count: int) -> None:
    tree = ListTree(items)
    siblings = tree.prove(index % len(items))
    if len(siblings) != compute_depth(count) or index >= count:
        with pytest.raises(InvalidProof):
            compute_list_root(items[0], index, count, siblings)


class LyingTree:
    """A sum tree of width 2^depth whose maker may note any sums in its nodes, and stuff any place, padding included."""

    def __init__(self, data: st.DataObject) -> None:
        self.depth = data.draw(st.integers(0, 4))
        places = st.one_of(st.just(EMPTY_SUM), st.tuples(strategies.hashes, st.integers(0, 9)))
        level = [data.draw(places) for _ in range(2**self.depth)]
        self.levels = [level]
        for _ in range(self.depth):
            pairs = list(zip(level[::2], level[1::2], strict=True))
            level = [self._join(left, right, data.draw(st.integers(0, 7))) for left, right in pairs]
            self.levels.append(level)
        self.root: SumNode = (level[0][0], data.draw(st.one_of(st.just(level[0][1]), st.integers(0, 99))))

    def _join(self, left: SumNode, right: SumNode, lie: int) -> SumNode:
        """The noted sum is the true one, or (once in four) another."""
        if left == right == EMPTY_SUM and lie != 1:
            return EMPTY_SUM
        node = keccak(SUM_NODE + left[0] + left[1].to_bytes(16, "big") + right[0] + right[1].to_bytes(16, "big"))
        return node, left[1] + right[1] if lie > 1 else lie

    def prove(self, index: int) -> list[SumNode]:
        return [self.levels[height][index >> height ^ 1] for height in range(self.depth)]


@given(st.data())
def test_no_two_sum_proofs_claim_the_same_money(data: st.DataObject) -> None:
    """Whatever tree a liar commits to: what can be proven sums to no more than the total; and if every one of the
    `count` places can be proven, to exactly the total, so that nothing hides in the padding or between the nodes."""
    tree = LyingTree(data)
    count = data.draw(st.integers(2**tree.depth // 2 + 1, 2**tree.depth)) if tree.depth else 1
    proven: dict[int, int] = {}
    for index in range(count):
        leaf = tree.levels[0][index]
        try:
            check_sum_proof(leaf, index, count, tree.prove(index), tree.root)
        except InvalidProof:
            continue
        proven[index] = leaf[1]
    assert sum(proven.values()) <= tree.root[1]
    if len(proven) == count:
        assert sum(proven.values()) == tree.root[1]


@given(leaves, st.data())
def test_a_sum_proof_shows_one_amount_at_one_place(leaves: list[SumNode], data: st.DataObject) -> None:
    tree, count = SumTree(leaves), len(leaves)
    index = data.draw(st.integers(0, count - 1))
    leaf, siblings, root = leaves[index], tree.prove(index), tree.root
    change = data.draw(st.sampled_from(["hash", "amount", "index", "bits", "sibling", "shift", "root", "drop", "add"]))
    if change == "hash":
        leaf = (data.draw(strategies.hashes), leaf[1])
    elif change == "amount":
        leaf = (leaf[0], data.draw(strategies.u128s))
    elif change == "index":
        index = data.draw(st.integers(-1, count + 1))
    elif change == "bits":
        index += data.draw(st.integers(1, 9)) << len(siblings)
    elif change == "sibling" and siblings:
        siblings[data.draw(st.integers(0, len(siblings) - 1))] = data.draw(strategies.sum_nodes)
    elif change == "shift" and siblings:
        # Money moved from a sibling to the leaf: the total stays, the true nodes do not.
        at = data.draw(st.integers(0, len(siblings) - 1))
        moved = data.draw(st.integers(-3, 3))
        leaf, siblings[at] = (leaf[0], leaf[1] + moved), (siblings[at][0], siblings[at][1] - moved)
    elif change == "root":
        root = data.draw(
            st.one_of(st.tuples(st.just(root[0]), strategies.u128s), st.tuples(strategies.hashes, st.just(root[1])))
        )
    elif change == "drop" and siblings:
        siblings.pop()
    elif change == "add":
        siblings.append(EMPTY_SUM)
    is_true = 0 <= index < count and leaf == leaves[index] and siblings == tree.prove(index) and root == tree.root
    if is_true:
        check_sum_proof(leaf, index, count, siblings, root)
    else:
        with pytest.raises(InvalidProof):
            check_sum_proof(leaf, index, count, siblings, root)


@given(st.lists(st.integers(2**127, MAX_U128), min_size=2, max_size=9))
def test_no_total_wraps(totals: list[int]) -> None:
    naive = [(bytes([number]) * 32, total) for number, total in enumerate(totals, 1)]
    try:
        siblings = reference.sum_proof(naive, 0)
    except OverflowError:
        return  # a partial sum is too large even to be hashed
    with pytest.raises(InvalidProof):
        check_sum_proof(naive[0], 0, len(naive), siblings, (b"\x01" * 32, sum(totals) % 2**128))
