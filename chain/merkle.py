"""Merkle trees: plain lists, and trees whose nodes carry sums.

Both are binary, over `count` leaves padded to the next power of two. A proof is the siblings from the leaf upwards;
its length is exactly ceil(log2(count)), which fixes the place of every node, and the kinds of node are told apart by
their tags, so that no inner node can pass for a leaf, nor a leaf for an inner node.

In a list tree the padding is 32 zero bytes as a leaf hash, and nodes over padding are hashed like any other.
In a sum tree a node binds both children's hashes *and* both sums (binding only the total lets one leaf's amount be
hidden behind another's: Chalkias, Lewi, Mohassel, Nikolaenko, "Distributed Auditing Proofs of Liabilities", 2020), and
the empty subtree is the pair (zero hash, 0) at every level, so that a verifier can demand it wherever nothing is.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from chain.errors import InvalidProof
from chain.hashing import LIST_LEAF, LIST_NODE, SUM_NODE, keccak
from chain.primitives import MAX_U128, ZERO_HASH, Hash

SumNode: TypeAlias = tuple[Hash, int]
"""A hash and the sum of everything below it."""

EMPTY_SUM: Final[SumNode] = (ZERO_HASH, 0)

PACKED_SIZE: Final = 48
"""Bytes of a sum node packed: hash 32 ‖ sum u128."""
_PACKED_EMPTY: Final = bytes(PACKED_SIZE)


def compute_depth(count: int) -> int:
    """The length of every proof in a tree of `count` leaves: ceil(log2(count)), 0 for none."""
    return (count - 1).bit_length() if count else 0


# --- list trees


def hash_list_leaf(data: bytes) -> Hash:
    return keccak(LIST_LEAF + data)


def hash_list_node(left: Hash, right: Hash) -> Hash:
    return keccak(LIST_NODE + left + right)


def _build_padding(levels: int) -> tuple[Hash, ...]:
    padding = [ZERO_HASH]
    for _ in range(levels):
        padding.append(hash_list_node(padding[-1], padding[-1]))
    return tuple(padding)


LIST_PADDING: Final = _build_padding(64)
"""The hash of a subtree that holds nothing, by its height."""


class ListTree:
    """A whole list tree in memory: `levels[0]` are the leaf hashes, the last level is the root."""

    __slots__ = ("count", "levels")

    def __init__(self, items: Iterable[bytes]) -> None:
        level = [hash_list_leaf(item) for item in items]
        self.count = len(level)
        self.levels = [level]
        for height in range(compute_depth(self.count)):
            if len(level) & 1:
                level.append(LIST_PADDING[height])
            level = [hash_list_node(level[at], level[at + 1]) for at in range(0, len(level), 2)]
            self.levels.append(level)

    @property
    def root(self) -> Hash:
        return self.levels[-1][0] if self.count else ZERO_HASH

    def prove(self, index: int) -> list[Hash]:
        """Siblings of leaf `index`, from the leaf upwards. Raises IndexError outside 0 … count − 1."""
        if not 0 <= index < self.count:
            raise IndexError(f"leaf {index} of {self.count}")
        return [level[index >> height ^ 1] for height, level in enumerate(self.levels[:-1])]


class ListFrontier:
    """A list tree that only grows: keeps one complete subtree a level, and can tell its root at any time."""

    __slots__ = ("_peaks", "count")

    def __init__(self) -> None:
        self.count = 0
        self._peaks: list[Hash] = []

    def append(self, item: bytes) -> None:
        node = hash_list_leaf(item)
        height = 0
        while self.count >> height & 1:
            node = hash_list_node(self._peaks[height], node)
            height += 1
        if height == len(self._peaks):
            self._peaks.append(node)
        else:
            self._peaks[height] = node
        self.count += 1

    @property
    def root(self) -> Hash:
        if not self.count:
            return ZERO_HASH
        depth = compute_depth(self.count)
        if self.count == 1 << depth:
            return self._peaks[depth]
        node = LIST_PADDING[0]
        for height in range(depth):
            if self.count >> height & 1:
                node = hash_list_node(self._peaks[height], node)
            else:
                node = hash_list_node(node, LIST_PADDING[height])
        return node


class MutableListTree:
    """A list tree whose leaves may change and which grows at its end, one list of hashes a level."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels: list[list[Hash]] = [[]]

    @property
    def count(self) -> int:
        return len(self._levels[0])

    @property
    def root(self) -> Hash:
        return self._levels[-1][0] if self.count else ZERO_HASH

    def update(self, leaves: Iterable[tuple[int, Hash]]) -> list[tuple[int, int, Hash]]:
        """Sets leaf hashes, each at an index within the tree or at its end, and rehashes what lies above them.

        Returns every node that was written, as (level, index, hash); level 0 are the leaves.
        Raises IndexError for an index beyond the end.
        """
        written: list[tuple[int, int, Hash]] = []
        touched: set[int] = set()
        for index, leaf in leaves:
            _put(self._levels[0], index, leaf)
            touched.add(index)
            written.append((0, index, leaf))
        for height in range(compute_depth(self.count)):
            if height + 1 == len(self._levels):
                self._levels.append([])
            below, level = self._levels[height], self._levels[height + 1]
            touched = {index >> 1 for index in touched}
            for index in sorted(touched):
                right = below[2 * index + 1] if 2 * index + 1 < len(below) else LIST_PADDING[height]
                node = hash_list_node(below[2 * index], right)
                _put(level, index, node)
                written.append((height + 1, index, node))
        return written

    def prove(self, index: int) -> list[Hash]:
        """Siblings of leaf `index`, from the leaf upwards. Raises IndexError outside 0 … count − 1."""
        if not 0 <= index < self.count:
            raise IndexError(f"leaf {index} of {self.count}")
        places = [(height, index >> height ^ 1) for height in range(compute_depth(self.count))]
        return [
            self._levels[height][place] if place < len(self._levels[height]) else LIST_PADDING[height]
            for height, place in places
        ]


def _put(level: list[Hash], index: int, node: Hash) -> None:
    if index == len(level):
        level.append(node)
    elif 0 <= index < len(level):
        level[index] = node
    else:
        raise IndexError(f"node {index} of {len(level)}")


def compute_list_root(item: bytes, index: int, count: int, siblings: Sequence[Hash]) -> Hash:
    """The root of the tree of `count` leaves that holds `item` at `index`.

    Raises `InvalidProof` when the index is not below the count, or the number of siblings is not what it demands.
    """
    _check_place(index, count, len(siblings))
    node = hash_list_leaf(item)
    for height, sibling in enumerate(siblings):
        node = hash_list_node(sibling, node) if index >> height & 1 else hash_list_node(node, sibling)
    return node


def check_list_proof(item: bytes, index: int, count: int, siblings: Sequence[Hash], root: Hash) -> None:
    """Raises `InvalidProof` unless the tree of `count` leaves with this root holds `item` at `index`."""
    if compute_list_root(item, index, count, siblings) != root:
        raise InvalidProof(f"item {index} of {count} does not lead to the root")


# --- sum trees


def hash_sum_node(left: SumNode, right: SumNode) -> SumNode:
    """The parent of two nodes; empty if both are. The sum is not bounded here: whoever builds or verifies bounds it."""
    if left == EMPTY_SUM and right == EMPTY_SUM:
        return EMPTY_SUM
    total = left[1] + right[1]
    return (
        keccak(SUM_NODE + left[0] + left[1].to_bytes(16, "big") + right[0] + right[1].to_bytes(16, "big")),
        total,
    )


class SumFrontier:
    """A sum tree that only grows: keeps one complete subtree a level, and can tell its root and sum at any time."""

    __slots__ = ("_peaks", "count")

    def __init__(self, count: int = 0, peaks: Iterable[SumNode] = ()) -> None:
        self.count = count
        self._peaks: list[SumNode] = list(peaks)

    @property
    def peaks(self) -> tuple[SumNode, ...]:
        """With `count`, all that is needed to go on later."""
        return tuple(self._peaks)

    def append(self, leaf_hash: Hash, amount: int) -> None:
        node = (leaf_hash, amount)
        height = 0
        while self.count >> height & 1:
            node = hash_sum_node(self._peaks[height], node)
            height += 1
        if height == len(self._peaks):
            self._peaks.append(node)
        else:
            self._peaks[height] = node
        self.count += 1

    @property
    def root(self) -> SumNode:
        if not self.count:
            return EMPTY_SUM
        depth = compute_depth(self.count)
        if self.count == 1 << depth:
            return self._peaks[depth]
        node = EMPTY_SUM
        for height in range(depth):
            if self.count >> height & 1:
                node = hash_sum_node(self._peaks[height], node)
            else:
                node = hash_sum_node(node, EMPTY_SUM)
        return node


class SumTree:
    """A whole sum tree, packed: 48 bytes a node, one bytearray a level, so that a million leaves take 96 MB.

    Packed children lie side by side, so a parent's preimage is one slice of its level.
    """

    __slots__ = ("_levels", "count")

    def __init__(self, leaves: Iterable[SumNode] = ()) -> None:
        self.count = 0
        self._levels: list[bytearray] = [bytearray()]
        self.update(enumerate(leaves))

    @classmethod
    def from_packed_leaves(cls, packed: bytes) -> "SumTree":
        """The tree whose `packed_leaves` are these."""
        return cls([unpack_sum_node(packed[at : at + PACKED_SIZE]) for at in range(0, len(packed), PACKED_SIZE)])

    @property
    def packed_leaves(self) -> bytes:
        """48 bytes a leaf, in order."""
        return bytes(self._levels[0])

    def get_leaf_sum(self, index: int) -> int:
        """0 for a leaf that is not there yet."""
        at = index * PACKED_SIZE
        return int.from_bytes(self._levels[0][at + 32 : at + PACKED_SIZE], "big")

    @property
    def root(self) -> SumNode:
        return unpack_sum_node(bytes(self._levels[-1][:PACKED_SIZE])) if self.count else EMPTY_SUM

    def update(self, leaves: Iterable[tuple[int, SumNode]]) -> list[tuple[int, int, bytes]]:
        """Sets leaves, each at an index within the tree or at its end, and rehashes what lies above them.

        Returns every node that was written, as (level, index, packed node); level 0 are the leaves.
        Raises IndexError for an index beyond the end.
        """
        base = self._levels[0]
        written: list[tuple[int, int, bytes]] = []
        touched: set[int] = set()
        for index, (leaf_hash, amount) in leaves:
            packed = leaf_hash + amount.to_bytes(16, "big")
            if index == self.count:
                base += packed
                self.count += 1
            elif 0 <= index < self.count:
                base[index * PACKED_SIZE : (index + 1) * PACKED_SIZE] = packed
            else:
                raise IndexError(f"leaf {index} of {self.count}")
            touched.add(index)
            written.append((0, index, packed))
        for height in range(compute_depth(self.count)):
            if height + 1 == len(self._levels):
                self._levels.append(bytearray())
            touched = {index >> 1 for index in touched}
            self._hash_level(height + 1, touched, written)
        return written

    def _hash_level(self, height: int, indexes: set[int], written: list[tuple[int, int, bytes]]) -> None:
        below, level = self._levels[height - 1], self._levels[height]
        size = ((self.count - 1 >> height) + 1) * PACKED_SIZE
        if len(level) < size:
            level.extend(bytes(size - len(level)))
        for index in sorted(indexes):
            at = index * 2 * PACKED_SIZE
            pair = bytes(below[at : at + 2 * PACKED_SIZE]).ljust(2 * PACKED_SIZE, b"\0")
            total = int.from_bytes(pair[32:48], "big") + int.from_bytes(pair[80:96], "big")
            packed = keccak(SUM_NODE + pair) + total.to_bytes(16, "big")
            level[index * PACKED_SIZE : (index + 1) * PACKED_SIZE] = packed
            written.append((height, index, packed))

    def prove(self, index: int) -> list[SumNode]:
        """Siblings of leaf `index`, from the leaf upwards. Raises IndexError outside 0 … count − 1."""
        if not 0 <= index < self.count:
            raise IndexError(f"leaf {index} of {self.count}")
        siblings = []
        for height in range(compute_depth(self.count)):
            at = (index >> height ^ 1) * PACKED_SIZE
            packed = bytes(self._levels[height][at : at + PACKED_SIZE])
            siblings.append(unpack_sum_node(packed or _PACKED_EMPTY))
        return siblings


def unpack_sum_node(packed: bytes) -> SumNode:
    return packed[:32], int.from_bytes(packed[32:], "big")


def compute_sum_root(leaf: SumNode, index: int, count: int, siblings: Sequence[SumNode]) -> SumNode:
    """The root and sum of the tree of `count` leaves that holds `leaf` at `index`.

    Raises `InvalidProof`, in this order: index not below count, or a number of siblings other than the count demands;
    then from the leaf upwards: a sibling that lies wholly beyond the last leaf and is not empty; a sum, given or
    partial, that is negative or above 2^128 − 1.
    """
    _check_place(index, count, len(siblings))
    _check_sum(leaf[1], 0)
    node = leaf
    for height, sibling in enumerate(siblings):
        place = index >> height
        if (place ^ 1) << height >= count and sibling != EMPTY_SUM:
            raise InvalidProof(f"the sibling at height {height} lies beyond leaf {count - 1} and is not empty")
        _check_sum(sibling[1], height)
        _check_sum(node[1] + sibling[1], height + 1)
        node = hash_sum_node(sibling, node) if place & 1 else hash_sum_node(node, sibling)
    return node


def check_sum_proof(leaf: SumNode, index: int, count: int, siblings: Sequence[SumNode], root: SumNode) -> None:
    """Raises `InvalidProof` unless the tree with this root *and* sum holds `leaf` at `index`."""
    if compute_sum_root(leaf, index, count, siblings) != root:
        raise InvalidProof(f"leaf {index} of {count} does not lead to the root and its sum")


def _check_place(index: int, count: int, length: int) -> None:
    if not 0 <= index < count:
        raise InvalidProof(f"index {index} is not below the count {count}")
    if length != compute_depth(count):
        raise InvalidProof(f"{length} siblings, a tree of {count} has {compute_depth(count)}")


def _check_sum(total: int, height: int) -> None:
    if not 0 <= total <= MAX_U128:
        raise InvalidProof(f"the sum {total} at height {height} does not fit 128 bits")
