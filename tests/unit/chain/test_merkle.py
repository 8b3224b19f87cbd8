"""What the vectors do not say of the trees: growing, rewriting, and arguments that are not even nodes."""

from random import Random

import pytest

from chain.errors import InvalidProof
from chain.hashing import (
    ACCOUNT_LEAF,
    CREDIT_LEAF,
    DEBIT_LEAF,
    LIST_LEAF,
    LIST_NODE,
    SUM_NODE,
    WITHDRAWAL_LEAF,
    keccak,
)
from chain.merkle import (
    EMPTY_SUM,
    LIST_PADDING,
    ListFrontier,
    ListTree,
    MutableListTree,
    SumFrontier,
    SumNode,
    SumTree,
    check_list_proof,
    check_sum_proof,
    compute_depth,
    compute_list_root,
    compute_sum_root,
    hash_list_leaf,
    hash_sum_node,
)
from chain.primitives import MAX_U128
from tests.unit.chain.actors import some_hash
from tests.vectors import reference


def make_leaves(count: int) -> list[SumNode]:
    return [(some_hash(f"leaf {number}"), number * 3 + 1) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "depth"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (2**20, 20), (2**20 + 1, 21)]
)
def test_depth(count: int, depth: int) -> None:
    assert compute_depth(count) == depth


# --- list trees


def test_list_padding_is_hashed_like_anything_else() -> None:
    assert LIST_PADDING[0] == bytes(32)
    assert LIST_PADDING[1] == keccak(LIST_NODE + bytes(64))
    assert len(LIST_PADDING) == 65


def test_a_list_tree_that_grows_has_the_root_of_the_whole_one_at_any_time() -> None:
    items = [bytes([number]) for number in range(70)]
    frontier = ListFrontier()
    assert frontier.root == bytes(32)
    for count, item in enumerate(items, 1):
        frontier.append(item)
        assert frontier.root == ListTree(items[:count]).root == reference.list_root(items[:count])


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_proofs_of_leaves_that_are_not_there(count: int) -> None:
    growing = MutableListTree()
    growing.update((index, hash_list_leaf(b"x")) for index in range(count))
    trees = ListTree([b"x"] * count), growing, SumTree(make_leaves(count))
    for tree in trees:
        for index in (-1, count, count + 1, 2**40):
            with pytest.raises(IndexError):
                tree.prove(index)


def test_negative_places_are_refused() -> None:
    for count in (1, 2, 3):
        with pytest.raises(InvalidProof, match="index -1 is not below"):
            compute_list_root(b"x", -1, count, [bytes(32)] * compute_depth(count))
        with pytest.raises(InvalidProof, match="index -1 is not below"):
            compute_sum_root(EMPTY_SUM, -1, count, [EMPTY_SUM] * compute_depth(count))


# --- list trees that change


def test_a_list_tree_that_changes_begins_empty() -> None:
    tree = MutableListTree()
    assert (tree.count, tree.root, tree.update([])) == (0, bytes(32), [])


@pytest.mark.parametrize("seed", range(10))
def test_a_list_tree_that_changes_is_the_one_built_anew(seed: int) -> None:
    """Also from the nodes that it said that it wrote, kept by (level, index): what the node's proof store relies on."""
    random = Random(seed)
    tree, items = MutableListTree(), list[bytes]()
    stored: dict[tuple[int, int], bytes] = {}
    for _ in range(30):
        changed = {random.randrange(len(items)) for _ in range(random.randrange(5))} if items else set[int]()
        batch = [(index, random.randbytes(4)) for index in sorted(changed)]
        batch += [(len(items) + place, random.randbytes(4)) for place in range(random.choice([0, 0, 1, 2, 3, 9]))]
        for index, item in batch:
            items[index : index + 1] = [item]
        written = tree.update([(index, hash_list_leaf(item)) for index, item in batch])
        stored |= {(level, index): node for level, index, node in written}
        assert len({(level, index) for level, index, _ in written}) == len(written)
        assert (tree.count, tree.root) == (len(items), ListTree(items).root)
        assert tree.root == reference.list_root(items)
        for index, item in enumerate(items):
            siblings = tree.prove(index)
            assert siblings == ListTree(items).prove(index)
            places = [(height, index >> height ^ 1) for height in range(compute_depth(len(items)))]
            assert siblings == [stored.get(place, LIST_PADDING[place[0]]) for place in places]
            check_list_proof(item, index, len(items), siblings, tree.root)


def test_a_list_tree_that_changes_says_every_node_that_changed() -> None:
    tree = MutableListTree()
    leaves = [hash_list_leaf(bytes([number])) for number in range(6)]
    assert [place[:2] for place in tree.update(enumerate(leaves[:1]))] == [(0, 0)]
    assert [place[:2] for place in tree.update([(1, leaves[1])])] == [(0, 1), (1, 0)]
    assert [place[:2] for place in tree.update([(0, leaves[2])])] == [(0, 0), (1, 0)]
    written = tree.update([(2, leaves[2]), (3, leaves[3]), (4, leaves[4])])
    assert [place[:2] for place in written] == [(0, 2), (0, 3), (0, 4), (1, 1), (1, 2), (2, 0), (2, 1), (3, 0)]
    assert [place[:2] for place in tree.update([(5, leaves[5])])] == [(0, 5), (1, 2), (2, 1), (3, 0)]


@pytest.mark.parametrize("index", [4, 5, -1, -4])
def test_leaves_of_a_list_tree_enter_without_gaps(index: int) -> None:
    tree = MutableListTree()
    tree.update((at, hash_list_leaf(b"x")) for at in range(3))
    with pytest.raises(IndexError):
        tree.update([(index, hash_list_leaf(b"y"))])


# --- sum trees


def test_a_sum_tree_that_grows_has_the_root_of_the_whole_one_at_any_time() -> None:
    leaves = make_leaves(70)
    frontier, tree = SumFrontier(), SumTree()
    assert frontier.root == tree.root == EMPTY_SUM
    for count, leaf in enumerate(leaves, 1):
        frontier.append(*leaf)
        tree.update([(count - 1, leaf)])
        assert frontier.root == tree.root == reference.sum_root(leaves[:count])


def test_a_frontier_goes_on_from_its_peaks() -> None:
    leaves = make_leaves(21)
    for stop in range(21):
        first = SumFrontier()
        for leaf in leaves[:stop]:
            first.append(*leaf)
        second = SumFrontier(first.count, first.peaks)
        for leaf in leaves[stop:]:
            second.append(*leaf)
        assert second.root == reference.sum_root(leaves)


def test_a_sum_tree_goes_on_from_its_packed_leaves() -> None:
    leaves = make_leaves(21)
    tree = SumTree.from_packed_leaves(SumTree(leaves).packed_leaves)
    assert (tree.count, tree.root) == (21, reference.sum_root(leaves))
    assert [tree.get_leaf_sum(index) for index in range(22)] == [amount for _, amount in leaves] + [0]
    assert SumTree.from_packed_leaves(b"").root == EMPTY_SUM


def test_rewriting_leaves_and_adding_some_at_once() -> None:
    leaves = make_leaves(5)
    tree = SumTree(leaves)
    changed = [(some_hash(f"changed {number}"), number) for number in range(12)]
    tree.update([(4, changed[4]), (0, changed[0]), (5, changed[5])])
    leaves[0], leaves[4] = changed[0], changed[4]
    leaves.append(changed[5])
    assert tree.root == reference.sum_root(leaves)
    tree.update((index, changed[index]) for index in range(6, 12))
    leaves += changed[6:]
    assert tree.root == reference.sum_root(leaves)
    for index in range(12):
        assert tree.prove(index) == reference.sum_proof(leaves, index)


def test_what_an_update_wrote_is_every_node_that_changed() -> None:
    """Nodes kept by (level, index) across updates give every proof: what the node's proof store relies on."""
    leaves, tree = make_leaves(3), SumTree()
    stored: dict[tuple[int, int], bytes] = {}
    batches = [list(enumerate(leaves)), [(1, (some_hash("x"), 9)), (3, (some_hash("y"), 8)), (4, (some_hash("z"), 7))]]
    for batch in batches:
        stored |= {(level, index): packed for level, index, packed in tree.update(batch)}
    for index in range(tree.count):
        siblings = [stored.get((height, index >> height ^ 1), bytes(48)) for height in range(compute_depth(tree.count))]
        unpacked = [(packed[:32], int.from_bytes(packed[32:], "big")) for packed in siblings]
        assert tree.prove(index) == unpacked


def test_leaves_enter_without_gaps() -> None:
    tree = SumTree(make_leaves(3))
    for index in (4, -1):
        with pytest.raises(IndexError):
            tree.update([(index, (some_hash("x"), 1))])


def test_a_tree_of_two_empty_children_is_empty() -> None:
    assert hash_sum_node(EMPTY_SUM, EMPTY_SUM) == EMPTY_SUM
    assert hash_sum_node((bytes(32), 0), (some_hash("x"), 0))[0] != bytes(32)


# Python's integers have no width, so a sum that is not a u128 must be refused by name and never reach the hash.
@pytest.mark.parametrize("amount", [-1, -(2**128), 2**128, 2**200])
def test_sums_that_are_no_amounts(amount: int) -> None:
    leaf, other = (some_hash("a"), 5), (some_hash("b"), amount)
    with pytest.raises(InvalidProof):
        check_sum_proof(leaf, 0, 2, [other], (some_hash("root"), (5 + amount) % 2**128))
    with pytest.raises(InvalidProof):
        check_sum_proof(other, 0, 2, [leaf], (some_hash("root"), (5 + amount) % 2**128))
    with pytest.raises(InvalidProof):
        check_sum_proof(other, 0, 1, [], other)


def test_a_negative_sibling_does_not_cancel_a_debt() -> None:
    with pytest.raises(InvalidProof):
        compute_sum_root((some_hash("a"), MAX_U128), 0, 4, [(some_hash("b"), MAX_U128), (some_hash("c"), -MAX_U128)])


def test_no_kind_of_node_passes_for_another() -> None:
    """The same 64 or 96 bytes under each tag give different hashes, and list and sum trees share no root."""
    for size in (33, 64, 96, 208):
        data = bytes(range(256))[:size]
        tags = (LIST_LEAF, LIST_NODE, ACCOUNT_LEAF, SUM_NODE, DEBIT_LEAF, CREDIT_LEAF, WITHDRAWAL_LEAF)
        assert len({keccak(tag + data) for tag in tags}) == len(tags)


def test_list_leaf_and_node_in_each_other_s_place() -> None:
    tree = ListTree([b"a", b"b", b"c", b"d"])
    leaf, node = tree.levels[0][0], tree.levels[1]
    for item in (
        leaf,
        node[0],
        tree.levels[0][0] + tree.levels[0][1],
        LIST_NODE + tree.levels[0][0] + tree.levels[0][1],
    ):
        with pytest.raises(InvalidProof):
            check_list_proof(item, 0, 2, [node[1]], tree.root)
        with pytest.raises(InvalidProof):
            check_list_proof(item, 0, 4, [tree.levels[0][1], node[1]], tree.root)
