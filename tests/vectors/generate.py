"""Writes the vector files: `python -m tests.vectors.generate` (`--check` only compares). Deterministic.

Every `want` comes from `reference`, never from `chain`; an `error` is what the case was built to be refused for.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from eth_account import Account
from eth_keys import keys
from eth_utils import keccak

from tests.vectors import FOLDER, reference

Cases = Iterator[dict[str, Any]]

ETHER: Final = bytes(20)
TOKEN: Final = bytes.fromhex("7e" * 20)
SETTLEMENT: Final = bytes.fromhex("5e" * 20)
L1_CHAIN_ID: Final = 31337
DOMAIN: Final = reference.make_domain(reference.ledger_chain_id(L1_CHAIN_ID, SETTLEMENT), SETTLEMENT)
DEPLOYED_AT: Final = 1_800_000_000
GENESIS_JSON: Final = reference.parameters_json(L1_CHAIN_ID, SETTLEMENT, ETHER, DEPLOYED_AT)

PEOPLE: Final = ("alice", "bob", "carol", "dora", "erik", "operator")
KEYS: Final = {name: keccak(text=f"tallystick vector key of {name}") for name in PEOPLE}
ADDRESSES: Final = {name: reference.address_of(key) for name, key in KEYS.items()}
ALICE, BOB, CAROL, DORA, ERIK = (ADDRESSES[name] for name in PEOPLE[:5])

MARKET: Final = {"validatorShare": 5000, "ownerShare": 4500, "commission": 500, "storageRates": {TOKEN: 10**6}}
"""A twentieth for whoever keeps the files; of each GiB and day, a million base units."""

MAX_U32, MAX_U64, MAX_U128, MAX_U256 = (2**bits - 1 for bits in (32, 64, 128, 256))


def some_hash(text: str) -> bytes:
    return keccak(text=text)


def to_json(value: Any) -> Any:
    """Bytes as `0x` hex, integers as decimal strings; text and truth values as they are."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {name: to_json(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(member) for member in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def want(desc: str, given: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    return {"desc": desc, "input": to_json(given), "want": to_json(result)}


def refuse(desc: str, given: dict[str, Any], error: str) -> dict[str, Any]:
    return {"desc": desc, "input": to_json(given), "error": error}


def node_form(node: reference.SumNode) -> dict[str, Any]:
    return {"hash": node[0], "sum": node[1]}


# --- trees


def make_items(count: int) -> list[bytes]:
    """Records as a block lists them: type u8 ‖ id."""
    return [b"\x01" + some_hash(f"record {number}") for number in range(count)]


def make_list_trees() -> Cases:
    for count in (0, 1, 2, 3, 4, 5, 7, 8, 9, 16):
        items = make_items(count)
        proofs = [reference.list_proof(items, index) for index in range(count)]
        result = {"leaves": [keccak(b"\x80" + item) for item in items], "root": reference.list_root(items)}
        yield want(f"{count} leaves", {"items": items}, {**result, "proofs": proofs})
    yield want(
        "items of other lengths: empty, 1, 20 and 100 bytes",
        {"items": [b"", b"\x80", bytes(20), bytes(range(100))]},
        _list_tree_result([b"", b"\x80", bytes(20), bytes(range(100))]),
    )
    yield want("two equal items", {"items": [b"a", b"a"]}, _list_tree_result([b"a", b"a"]))


def _list_tree_result(items: list[bytes]) -> dict[str, Any]:
    return {
        "leaves": [keccak(b"\x80" + item) for item in items],
        "root": reference.list_root(items),
        "proofs": [reference.list_proof(items, index) for index in range(len(items))],
    }


def make_list_proofs() -> Cases:
    def given(items: list[bytes], index: int, /, **other: Any) -> dict[str, Any]:
        form = {
            "item": items[index],
            "index": index,
            "count": len(items),
            "siblings": reference.list_proof(items, index),
        }
        return {**form, "root": reference.list_root(items), **other}

    for count in (1, 2, 3, 5, 8):
        items = make_items(count)
        for index in range(count):
            yield want(f"leaf {index} of {count}", given(items, index), {"root": reference.list_root(items)})
    for count in (2, 3, 5, 8):
        items = make_items(count)
        for index in range(count):
            for other in range(count):
                if other != index:
                    desc = f"one leaf under two indexes: leaf {index} of {count} shown at index {other}"
                    yield refuse(desc, given(items, index, index=other), "root_mismatch")
    for count, depth in ((1, 0), (2, 1), (3, 2), (5, 3), (8, 3)):
        items = make_items(count)
        for factor in (1, 2, 2**40):
            index = count - 1
            far = index + factor * 2**depth
            desc = f"index bits beyond the depth: leaf {index} of {count} at index {index} + {factor}*2^{depth}"
            yield refuse(desc, given(items, index, index=far), "index_out_of_range")
    items = make_items(3)
    desc = "a padding place inside the width: index 3 of 3"
    yield refuse(desc, given(items, 2, index=3, siblings=reference.list_proof([*items, b""], 3)), "index_out_of_range")
    yield refuse(
        "an empty tree holds nothing",
        {"item": items[0], "index": 0, "count": 0, "siblings": [], "root": bytes(32)},
        "index_out_of_range",
    )
    for count in (2, 3, 5, 8):
        items = make_items(count)
        siblings = reference.list_proof(items, 0)
        desc = f"too short a proof: {count} leaves"
        yield refuse(desc, given(items, 0, siblings=siblings[:-1]), "proof_length_mismatch")
        desc = f"too long a proof: {count} leaves and one zero sibling more"
        yield refuse(desc, given(items, 0, siblings=[*siblings, bytes(32)]), "proof_length_mismatch")
    yield refuse(
        "too long a proof: one leaf and a sibling",
        given(make_items(1), 0, siblings=[bytes(32)]),
        "proof_length_mismatch",
    )
    items = make_items(4)
    left = reference.list_root(items[:2])
    right = reference.list_root(items[2:])
    desc = "an inner node as a leaf: the preimage of the left half as an item of a tree of 2"
    preimage = keccak(b"\x80" + items[0]) + keccak(b"\x80" + items[1])
    yield refuse(desc, given(items, 0, item=preimage, count=2, siblings=[right]), "root_mismatch")
    desc = "an inner node as a leaf: the hash of the left half as an item of a tree of 2"
    yield refuse(desc, given(items, 0, item=left, count=2, siblings=[right]), "root_mismatch")
    desc = "a leaf as an inner node: 2 siblings of a tree of 4 said to be a tree of 3"
    yield refuse(desc, given(items, 3, count=3), "index_out_of_range")
    items = make_items(5)
    siblings = reference.list_proof(items, 4)
    desc = "a count other than the tree's, of the same depth: the index is below it, the root is the same"
    yield want(desc, given(items, 4, count=6), {"root": reference.list_root(items)})
    desc = "siblings in the order from the root downwards"
    yield refuse(desc, given(make_items(8), 3, siblings=reference.list_proof(make_items(8), 3)[::-1]), "root_mismatch")
    desc = "another item"
    yield refuse(desc, given(items, 4, item=make_items(6)[5]), "root_mismatch")
    desc = "one bit of a sibling turned"
    turned = [bytes([siblings[0][0] ^ 1]) + siblings[0][1:], *siblings[1:]]
    yield refuse(desc, given(items, 4, siblings=turned), "root_mismatch")
    desc = "another root"
    yield refuse(desc, given(items, 4, root=reference.list_root(make_items(6))), "root_mismatch")


def make_sum_leaves(count: int) -> list[reference.SumNode]:
    return [(some_hash(f"sum leaf {number}"), 10**number + number) for number in range(count)]


def make_sum_trees() -> Cases:
    def tree(desc: str, leaves: list[reference.SumNode]) -> dict[str, Any]:
        proofs = [[node_form(node) for node in reference.sum_proof(leaves, index)] for index in range(len(leaves))]
        result = {"root": node_form(reference.sum_root(leaves)), "proofs": proofs}
        return want(desc, {"leaves": [node_form(leaf) for leaf in leaves]}, result)

    for count in (0, 1, 2, 3, 4, 5, 7, 8, 9, 16):
        yield tree(f"{count} leaves", make_sum_leaves(count))
    yield tree("leaves of sum 0 are leaves all the same", [(some_hash("nothing"), 0)] * 3)
    yield tree("a total of 2^128 - 1", [(some_hash("half"), 2**127), (some_hash("rest"), 2**127 - 1)])
    yield tree("one leaf of 2^128 - 1", [(some_hash("all"), MAX_U128)])


def make_sum_proofs() -> Cases:
    def given(leaves: list[reference.SumNode], index: int, /, **other: Any) -> dict[str, Any]:
        siblings = [node_form(node) for node in reference.sum_proof(leaves, index)]
        form = {"leaf": node_form(leaves[index]), "index": index, "count": len(leaves), "siblings": siblings}
        return {**form, "root": node_form(reference.sum_root(leaves)), **other}

    def change(siblings: list[dict[str, Any]], height: int, **fields: Any) -> list[dict[str, Any]]:
        return [{**node, **fields} if at == height else node for at, node in enumerate(siblings)]

    for count in (1, 2, 3, 5, 8):
        leaves = make_sum_leaves(count)
        for index in range(count):
            root = node_form(reference.sum_root(leaves))
            yield want(f"leaf {index} of {count}", given(leaves, index), {"root": root})
    largest = [(some_hash("half"), 2**127), (some_hash("rest"), 2**127 - 1)]
    yield want("a total of 2^128 - 1", given(largest, 0), {"root": node_form(reference.sum_root(largest))})

    for count in (2, 3, 5, 8):
        leaves = make_sum_leaves(count)
        for index in range(count):
            # A place whose other half is padding is refused for the padding, before the root is known to differ.
            other = index ^ 1 if index ^ 1 < count else 0
            desc = f"one leaf under two indexes: leaf {index} of {count} shown at index {other}"
            yield refuse(desc, given(leaves, index, index=other), "root_mismatch")
    for count, depth in ((1, 0), (2, 1), (3, 2), (5, 3), (8, 3)):
        for factor in (1, 2, 2**40):
            index = count - 1
            desc = f"index bits beyond the depth: leaf {index} of {count} at index {index} + {factor}*2^{depth}"
            far = index + factor * 2**depth
            yield refuse(desc, given(make_sum_leaves(count), index, index=far), "index_out_of_range")
    empty = {
        "leaf": node_form(reference.EMPTY),
        "index": 0,
        "count": 0,
        "siblings": [],
        "root": node_form(reference.EMPTY),
    }
    yield refuse(
        "phantom entry under count 0: an empty tree holds nothing, not even nothing", empty, "index_out_of_range"
    )
    for count in (2, 3, 5, 8):
        leaves = make_sum_leaves(count)
        siblings = given(leaves, 0)["siblings"]
        desc = f"too short a proof: {count} leaves"
        yield refuse(desc, given(leaves, 0, siblings=siblings[:-1]), "proof_length_mismatch")
        desc = f"too long a proof: {count} leaves and one empty sibling more"
        more = [*siblings, node_form(reference.EMPTY)]
        yield refuse(desc, given(leaves, 0, siblings=more), "proof_length_mismatch")

    # Money in the padding: trees whose real leaves are all provable and whose total holds more than they sum to.
    for count, width in ((3, 4), (5, 8), (6, 8)):
        leaves = make_sum_leaves(count)
        stuffed = [*leaves, *make_sum_leaves(width)[count:]]
        index = count - 1
        proof = [node_form(node) for node in reference.sum_proof(stuffed, index)]
        desc = f"phantom entry in the padding: {width} leaves said to be {count}, leaf {index}"
        root = node_form(reference.sum_root(stuffed))
        yield refuse(desc, given(leaves, index, siblings=proof, root=root), "padding_not_empty")
    leaves = make_sum_leaves(3)
    siblings = given(leaves, 2)["siblings"]
    desc = "padding with a sum and no hash"
    yield refuse(desc, given(leaves, 2, siblings=change(siblings, 0, sum=1)), "padding_not_empty")
    desc = "padding with a hash and no sum"
    yield refuse(desc, given(leaves, 2, siblings=change(siblings, 0, hash=some_hash("x"))), "padding_not_empty")
    leaves = make_sum_leaves(5)
    hashed = keccak(b"\x83" + bytes(96))
    desc = "padding hashed like a node of two empty ones, which it is not"
    yield refuse(
        desc, given(leaves, 4, siblings=change(given(leaves, 4)["siblings"], 1, hash=hashed)), "padding_not_empty"
    )
    desc = "padding is looked at before the sum: both are wrong"
    both = change(given(leaves, 4)["siblings"], 0, hash=some_hash("x"), sum=MAX_U128)
    yield refuse(desc, given(leaves, 4, siblings=both), "padding_not_empty")

    leaves = make_sum_leaves(4)
    siblings = given(leaves, 1)["siblings"]
    desc = "hidden sum: a unit moved from the sibling to the leaf, the total unchanged"
    richer = {"hash": leaves[1][0], "sum": leaves[1][1] + 1}
    poorer = change(siblings, 0, sum=leaves[0][1] - 1)
    yield refuse(desc, given(leaves, 1, leaf=richer, siblings=poorer), "root_mismatch")
    desc = "hidden sum: a unit moved from the upper sibling to the leaf"
    poorer = change(siblings, 1, sum=int(siblings[1]["sum"]) - 1)
    yield refuse(desc, given(leaves, 1, leaf=richer, siblings=poorer), "root_mismatch")
    desc = "wrong sum of the leaf"
    yield refuse(desc, given(leaves, 1, leaf=richer), "root_mismatch")
    desc = "the right root hash with another total"
    root = node_form(reference.sum_root(leaves))
    yield refuse(desc, given(leaves, 1, root={**root, "sum": root["sum"] + 1}), "root_mismatch")
    desc = "the right total under another root hash"
    yield refuse(desc, given(leaves, 1, root={**root, "hash": some_hash("x")}), "root_mismatch")
    desc = "wrong total of one leaf alone: the hash is right"
    alone = make_sum_leaves(1)
    yield refuse(desc, given(alone, 0, root={"hash": alone[0][0], "sum": 2}), "root_mismatch")
    desc = "a sum of 2^128: would wrap to 0"
    huge = [(some_hash("half"), 2**127), (some_hash("other half"), 2**127)]
    form = {"leaf": node_form(huge[0]), "index": 0, "count": 2, "siblings": [node_form(huge[1])]}
    wrapped = node_form((reference.sum_root(huge)[0], 0))
    yield refuse(desc, {**form, "root": wrapped}, "sum_too_large")
    desc = "a sum of 2^128 below the root: would wrap to a small total"
    four = [(some_hash("a"), 5), (some_hash("b"), MAX_U128), (some_hash("c"), 7), (some_hash("d"), 8)]
    form = {
        "leaf": node_form(four[0]),
        "index": 0,
        "count": 4,
        "siblings": [node_form(four[1]), node_form((bytes(32), 0))],
    }
    yield refuse(desc, {**form, "root": node_form((some_hash("x"), 4))}, "sum_too_large")
    desc = "an inner node as a leaf: the left half of 4 as a leaf of 2, hash and sum right"
    halves = [reference.sum_root(leaves[:2]), reference.sum_root(leaves[2:])]
    form = {"leaf": node_form(halves[0]), "index": 0, "count": 4, "siblings": [node_form(halves[1])], "root": root}
    yield refuse(desc, form, "proof_length_mismatch")


# --- leaves


def make_debits() -> Cases:
    def case(desc: str, **fields: Any) -> dict[str, Any]:
        preimage = reference.debit_preimage(fields)
        return want(desc, fields, {"preimage": preimage, "hash": keccak(preimage)})

    payment_id = some_hash("a payment")
    yield case("a payment's debit", type=1, number=7, id=payment_id, amount=10**18)
    yield case("nonce 0, amount 1", type=1, number=0, id=payment_id, amount=1)
    yield case("a forced withdrawal's debit", type=3, number=0, id=some_hash("a request"), amount=5)
    yield case("everything at its largest", type=255, number=MAX_U64, id=b"\xff" * 32, amount=MAX_U128)


def make_credits() -> Cases:
    def case(desc: str, **fields: Any) -> dict[str, Any]:
        preimage = reference.credit_preimage(fields)
        return want(desc, fields, {"preimage": preimage, "hash": keccak(preimage)})

    payment_id = some_hash("a payment")
    yield case("a payment's credit", block=1, record=0, output=0, type=1, id=payment_id, amount=10**18)
    yield case("the last output", block=258, record=4095, output=15, type=1, id=payment_id, amount=3)
    yield case("a deposit", block=9, record=1, output=0, type=2, id=reference.request_id(2, TOKEN, 0), amount=2**120)
    fields = {"block": MAX_U64, "record": MAX_U32, "output": 255, "type": 255, "id": b"\xff" * 32, "amount": MAX_U128}
    yield case("everything at its largest", **fields)


def make_withdrawals() -> Cases:
    def case(desc: str, **fields: Any) -> dict[str, Any]:
        preimage = reference.withdrawal_preimage(fields)
        return want(desc, fields, {"preimage": preimage, "hash": keccak(preimage)})

    yield case("a withdrawal", id=some_hash("a withdrawal"), recipient=BOB, amount=10**18)
    yield case("of 1", id=some_hash("a withdrawal"), recipient=CAROL, amount=1)
    yield case("everything at its largest", id=b"\xff" * 32, recipient=b"\xff" * 20, amount=MAX_U128)


def make_leaf(**fields: Any) -> dict[str, Any]:
    """An honest leaf after one debit and two credits, with `fields` changed."""
    return {
        "asset": TOKEN,
        "owner": ALICE,
        "epoch": 5,
        "nonceBase": 3,
        "nonceMap": 0b1010,
        "opening": 1000,
        "debits": 300,
        "credits": 50,
        "debitCount": 1,
        "creditCount": 2,
        "debitsRoot": some_hash("debits"),
        "creditsRoot": some_hash("credits"),
        **fields,
    }


def make_account_leaves() -> Cases:
    def case(desc: str, **fields: Any) -> dict[str, Any]:
        leaf = make_leaf(**fields)
        encoded = reference.account_leaf_bytes(leaf)
        hashed = keccak(b"\x82" + encoded)
        sound = reference.is_sound(leaf)
        # Of a leaf that contradicts itself nobody asks the closing balance, which may be no balance at all.
        result = {"encoded": encoded, "hash": hashed, "isSound": sound}
        return want(desc, leaf, {**result, "closing": reference.closing(leaf)} if sound else result)

    none = {"debits": 0, "debitCount": 0, "debitsRoot": bytes(32)}
    nothing = {**none, "credits": 0, "creditCount": 0, "creditsRoot": bytes(32)}
    yield case("debits and credits")
    yield case("first epoch: one deposit", epoch=1, nonceBase=0, nonceMap=0, opening=0, **none)
    yield case("ether, in an account that has paid in other assets only", asset=ETHER, nonceBase=9, opening=0, **none)
    yield case("everything paid out", opening=250, debits=300, credits=50)
    yield case("closing at 2^128 - 1", opening=MAX_U128 - 50, **none)
    yield case("the widest window: 255 used ahead of a free base", nonceMap=MAX_U256 - 1)
    yield case("more moved than is held: debits and credits of 2^127", debits=2**127, credits=2**127)
    yield case(
        "opening and credits are 2^128 together, the closing fits",
        opening=2**127,
        credits=2**127,
        debits=1,
        debitCount=1,
    )
    yield case("contradicts itself: bit 0 of the nonce map set", nonceMap=1)
    yield case("contradicts itself: closing below zero", opening=249)
    yield case("contradicts itself: closing of 2^128", opening=MAX_U128 - 49, **none)
    yield case("phantom debit under count 0: a sum", **{**none, "debits": 1})
    yield case("phantom debit under count 0: a root", **{**none, "debitsRoot": some_hash("x")})
    yield case("phantom credit under count 0: a sum", **{**nothing, "credits": 1})
    yield case("phantom credit under count 0: a root", **{**nothing, "creditsRoot": some_hash("x")})
    numbers = dict.fromkeys(("epoch", "nonceBase"), MAX_U64) | {"nonceMap": MAX_U256}
    numbers |= dict.fromkeys(("opening", "debits", "credits"), MAX_U128) | dict.fromkeys(
        ("debitCount", "creditCount"), MAX_U32
    )
    filled = {"asset": b"\xff" * 20, "owner": b"\xff" * 20, "debitsRoot": b"\xff" * 32, "creditsRoot": b"\xff" * 32}
    yield case("everything at its largest (bit 0 of the map set: contradicts itself)", **numbers, **filled)


def make_continues() -> Cases:
    earlier = make_leaf()
    after = {"opening": 750, "debits": 100, "debitsRoot": some_hash("later debits"), "nonceBase": 7, "nonceMap": 0}
    after |= {"credits": 0, "creditCount": 0, "creditsRoot": bytes(32)}

    def case(
        expected: bool, desc: str, later: dict[str, Any], later_epoch: int, before: dict[str, Any], at: int
    ) -> Any:
        found = reference.does_continue(later, later_epoch, before, at)
        if found is not expected:
            raise ValueError(f"{desc}: written to be {expected}, and it is not")
        given = {"later": later, "laterEpoch": later_epoch, "earlier": before, "earlierEpoch": at}
        return want(desc, given, {"continues": found})

    def yes(desc: str, later: dict[str, Any], later_epoch: int, before: dict[str, Any] = earlier, at: int = 5) -> Any:
        return case(True, desc, later, later_epoch, before, at)

    def no(desc: str, later: dict[str, Any], later_epoch: int, before: dict[str, Any] = earlier, at: int = 5) -> Any:
        return case(False, desc, later, later_epoch, before, at)

    yield yes("untouched: the same bytes in the next epoch", earlier, 6)
    yield yes("untouched for long", earlier, 500)
    yield yes("untouched since before the earlier commitment", earlier, 10, at=9)
    yield yes("changed in the next epoch, opening where it closed", make_leaf(epoch=6, **after), 6)
    yield yes("changed in the next epoch, shown two epochs later", make_leaf(epoch=6, **after), 7)
    yield yes("changed in between: any opening", make_leaf(epoch=7, **{**after, "opening": 1}), 7)
    yield yes("changed long after", make_leaf(epoch=90, **after), 100)
    yield yes("changed right after a commitment in which it was carried over", make_leaf(epoch=10, **after), 10, at=9)
    yield no("opening other than where it closed", make_leaf(epoch=6, **{**after, "opening": 749}), 6)
    yield no("opening other than where it closed, by gift", make_leaf(epoch=6, **{**after, "opening": 751}), 6)
    yield no("another owner", make_leaf(epoch=6, **after, owner=BOB), 6)
    yield no("another asset", make_leaf(epoch=6, **after, asset=ETHER), 6)
    yield no("another owner, nothing else changed", make_leaf(owner=BOB), 6)
    yield no("said to be untouched, with another balance", make_leaf(opening=999), 6)
    yield no("said to be untouched, with another nonce map", make_leaf(nonceMap=0b1110), 6)
    yield no("said to be of an earlier epoch", make_leaf(epoch=4), 6)
    yield no(
        "a leaf from the future: epoch above its commitment's, opening 0",
        make_leaf(epoch=7, **{**after, "opening": 0}),
        6,
    )
    yield yes("the same leaf in the commitment of its epoch: something in between", make_leaf(epoch=7, **after), 7)
    yield no("forgotten nonces: base and map reset", make_leaf(epoch=6, **{**after, "nonceBase": 0}), 6)
    yield no(
        "forgotten nonces: the base one lower", make_leaf(epoch=6, **{**after, "nonceBase": 2, "nonceMap": 0b10100}), 6
    )
    forgotten = {**after, "nonceBase": 3}
    yield no("forgotten nonces: an empty map over the same base", make_leaf(epoch=6, **forgotten), 6)
    yield no("forgotten nonces: one bit", make_leaf(epoch=6, **{**forgotten, "nonceMap": 0b1000}), 6)
    yield no(
        "forgotten nonces: one bit, with something in between", make_leaf(epoch=8, **{**forgotten, "nonceMap": 0b10}), 8
    )
    yield yes("more bits over the same base", make_leaf(epoch=6, **{**forgotten, "nonceMap": 0b11110}), 6)
    yield yes(
        "the base past one used nonce, the other still in the map",
        make_leaf(epoch=6, **{**after, "nonceBase": 5, "nonceMap": 0b10}),
        6,
    )
    yield no(
        "the base past one used nonce, the other forgotten",
        make_leaf(epoch=6, **{**after, "nonceBase": 5, "nonceMap": 0b100}),
        6,
    )
    yield no(
        "the base on a used nonce: it stays used only if in the map",
        make_leaf(epoch=6, **{**after, "nonceBase": 6, "nonceMap": 0}),
        6,
    )
    yield yes("the base far beyond the old window", make_leaf(epoch=6, **{**after, "nonceBase": 3 + 256}), 6)
    wide = make_leaf(nonceBase=0, nonceMap=1 << 255)
    yield yes(
        "the top bit of a window remembered as the lowest of the next",
        make_leaf(epoch=6, **{**after, "nonceBase": 254, "nonceMap": 0b10}),
        6,
        wide,
    )
    yield no(
        "the top bit of a window forgotten", make_leaf(epoch=6, **{**after, "nonceBase": 254, "nonceMap": 0}), 6, wide
    )


# --- signed messages


def make_domains() -> Cases:
    for desc, l1_chain_id, settlement in (
        ("a development chain", 31337, SETTLEMENT),
        ("Ethereum", 1, SETTLEMENT),
        ("another contract on the same chain", 1, TOKEN),
        ("the largest chain id, the highest address", MAX_U256, b"\xff" * 20),
    ):
        chain_id = reference.ledger_chain_id(l1_chain_id, settlement)
        separator = reference.domain_separator(reference.make_domain(chain_id, settlement))
        given = {"l1ChainId": l1_chain_id, "settlement": settlement}
        yield want(desc, given, {"ledgerChainId": chain_id, "domainSeparator": separator})


def make_genesis() -> Cases:
    def case(desc: str, l1_chain_id: int, settlement: bytes, native: bytes, deployed_at: int, **market: Any) -> Any:
        market = {**reference.MARKET, **market}
        text = reference.parameters_json(l1_chain_id, settlement, native, deployed_at, market)
        hashed = reference.genesis_hash(reference.ledger_chain_id(l1_chain_id, settlement), text)
        names = {"l1ChainId": l1_chain_id, "settlement": settlement, "nativeAsset": native, "deployedAt": deployed_at}
        result = {"canonicalJson": text, "parametersHash": keccak(text=text), "genesisHash": hashed}
        return want(desc, {**names, "market": market_form(market)}, result)

    common = L1_CHAIN_ID, SETTLEMENT, ETHER, DEPLOYED_AT
    yield case("a development chain, ether as the native asset", *common)
    yield case("another native asset", L1_CHAIN_ID, SETTLEMENT, TOKEN, DEPLOYED_AT)
    yield case("deployed a second later", L1_CHAIN_ID, SETTLEMENT, ETHER, DEPLOYED_AT + 1)
    yield case("Ethereum, addresses with letters", 1, bytes.fromhex("aB" * 20), bytes.fromhex("Cd" * 20), 1)
    yield case("another split", *common, validatorShare=4999, ownerShare=5001)
    yield case("a commission", *common, validatorShare=5000, ownerShare=4500, commission=500)
    yield case("everything to the validator", *common, validatorShare=10_000, ownerShare=0)
    yield case("one storage rate", *common, storageRates={TOKEN: 10**6})
    rates = {b"\xaa" * 20: 1, TOKEN: MAX_U64, ETHER: 7}
    yield case("several storage rates, in the order of their assets", *common, storageRates=rates)


def market_form(market: dict[str, Any]) -> dict[str, Any]:
    rates = [{"asset": asset, "rate": rate} for asset, rate in sorted(market["storageRates"].items())]
    return {**market, "storageRates": rates}


def make_payment(**fields: Any) -> dict[str, Any]:
    """Alice pays Bob, with `fields` changed."""
    return {
        "asset": TOKEN,
        "from": ALICE,
        "nonce": 0,
        "validUntil": 0,
        "kind": "transfer",
        "reference": bytes(32),
        "memo": "",
        "outputs": [{"to": BOB, "amount": 10**18}],
        **fields,
    }


def make_payments() -> Cases:
    def case(desc: str, domain: dict[str, Any] = DOMAIN, **fields: Any) -> dict[str, Any]:
        payment = make_payment(**fields)
        result = {
            "structHash": reference.struct_hash("Payment", payment, domain),
            "id": reference.digest("Payment", payment, domain),
            "signature": reference.sign("Payment", payment, domain, KEYS["alice"]),
        }
        return want(desc, {"domain": domain_form(domain), "payment": payment, "privateKey": KEYS["alice"]}, result)

    def bad(desc: str, error: str, **fields: Any) -> dict[str, Any]:
        form = {"domain": domain_form(DOMAIN), "payment": make_payment(**fields), "privateKey": KEYS["alice"]}
        return refuse(desc, form, error)

    def outputs(*amounts: int) -> list[dict[str, Any]]:
        return [{"to": some_hash(f"payee {number}")[:20], "amount": amount} for number, amount in enumerate(amounts)]

    yield case("a plain transfer")
    yield case("ether: the zero address as the asset", asset=ETHER)
    yield case("every field filled", nonce=255, validUntil=DEPLOYED_AT, reference=some_hash("an order"), memo="coffee")
    yield case("a tip", kind="tip")
    yield case("a withdrawal", kind="withdraw")
    yield case("an upload", kind="upload", reference=some_hash("a file"))
    shares = [{"to": ALICE, "amount": 50}, {"to": CAROL, "amount": 45}, {"to": DORA, "amount": 5}]
    yield case("a purchase", kind="purchase", reference=some_hash("a file"), outputs=shares)
    yield case("an extension", kind="extend", reference=some_hash("a file"))
    yield case("a memo beyond ASCII", memo="Grüße, 世界 🪵 נוֹ")
    yield case("a memo of 256 bytes in 64 characters", memo="🪵" * 64)
    yield case("a memo with zero, quote, backslash and newline", memo='\x00"\\\n')
    yield case("composed and decomposed letters are two memos: composed", memo="\u00e9")
    yield case("composed and decomposed letters are two memos: decomposed", memo="e\u0301")
    yield case("16 outputs", outputs=outputs(*range(1, 17)))
    yield case("paying oneself", outputs=[{"to": ALICE, "amount": 5}])
    yield case("two outputs to one payee", outputs=[{"to": BOB, "amount": 5}, {"to": BOB, "amount": 5}])
    yield case("the order of outputs counts", outputs=[{"to": CAROL, "amount": 1}, {"to": BOB, "amount": 2}])
    yield case("the order of outputs counts: turned", outputs=[{"to": BOB, "amount": 2}, {"to": CAROL, "amount": 1}])
    yield case(
        "everything at its largest",
        asset=b"\xff" * 20,
        nonce=MAX_U64,
        validUntil=MAX_U64,
        reference=b"\xff" * 32,
        memo="\x7f" * 256,
        outputs=[{"to": b"\xff" * 20, "amount": MAX_U128}],
    )
    yield case("a sum of 2^128 - 1", outputs=outputs(2**127, 2**127 - 1))
    other = reference.make_domain(reference.ledger_chain_id(1, SETTLEMENT), SETTLEMENT)
    yield case("replay on another chain: another id", domain=other)
    other = reference.make_domain(reference.ledger_chain_id(L1_CHAIN_ID, TOKEN), TOKEN)
    yield case("replay in another deployment: another id", domain=other)

    yield bad("a kind nobody knows", "unknown_kind", kind="mint")
    yield bad("kinds are exact", "unknown_kind", kind="Transfer")
    yield bad("no outputs", "no_outputs", outputs=[])
    yield bad("17 outputs", "too_many_outputs", outputs=outputs(*range(1, 18)))
    yield bad("from nobody", "zero_address", **{"from": ETHER})
    yield bad("to nobody", "zero_address", outputs=[{"to": BOB, "amount": 1}, {"to": ETHER, "amount": 1}])
    yield bad("an output of nothing", "zero_amount", outputs=outputs(1, 0))
    yield bad("an output of 2^128", "amount_too_large", outputs=outputs(2**128))
    yield bad("a sum of 2^128: would wrap to 0", "amount_too_large", outputs=outputs(2**127, 2**127))
    yield bad("a memo of 257 bytes", "memo_too_long", memo="a" * 257)
    yield bad("a memo of 256 characters in 258 bytes", "memo_too_long", memo="é" * 2 + "a" * 254)


def make_instruction(type_: str, /, **fields: Any) -> dict[str, Any]:
    """Alice instructs, with `fields` changed; its type among the members, as the interface shows it."""
    head = {"type": type_, "account": ALICE, "nonce": 0, "validUntil": 0}
    rest: dict[str, dict[str, Any]] = {
        "Register": {"role": "validator"},
        "RegisterOwner": {"validator": ERIK},
        "ListFile": {
            "file": some_hash("a file"),
            "owner": CAROL,
            "asset": TOKEN,
            "price": 100,
            "size": 2**30,
            "storageDays": 30,
            "contentHash": some_hash("its content"),
            "name": "Rainfall 2025",
            "mediaType": "text/csv",
            "tags": ["weather", "rain"],
            "description": "Daily, by station.",
            "keyHash": some_hash("its key's hash"),
            "sealedKey": bytes(range(81)),
        },
        "UpdatePrice": {"file": some_hash("a file"), "price": 7},
        "Delist": {"file": some_hash("a file")},
    }
    return {**head, **rest[type_], **fields}


def split_type(instruction: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(type, the message that is signed)"""
    return instruction["type"], {name: value for name, value in instruction.items() if name != "type"}


def make_instructions() -> Cases:
    def case(desc: str, type_: str, /, domain: dict[str, Any] = DOMAIN, **fields: Any) -> dict[str, Any]:
        instruction = make_instruction(type_, **fields)
        name, message = split_type(instruction)
        instruction_id = reference.digest(name, message, domain)
        signature = reference.sign(name, message, domain, KEYS["alice"])
        result = {"structHash": reference.struct_hash(name, message, domain), "id": instruction_id}
        result |= {
            "signature": signature,
            "journal": reference.instruction_bytes(name, message, instruction_id, signature),
        }
        form = {"domain": domain_form(domain), "instruction": instruction, "privateKey": KEYS["alice"]}
        return want(desc, form, result)

    def bad(desc: str, error: str, type_: str, /, **fields: Any) -> dict[str, Any]:
        form = {"domain": domain_form(DOMAIN), "instruction": make_instruction(type_, **fields)}
        return refuse(desc, {**form, "privateKey": KEYS["alice"]}, error)

    yield case("registration as a validator", "Register")
    yield case("registration as a mart", "Register", role="mart", nonce=255, validUntil=DEPLOYED_AT)
    yield case("registration as a service node", "Register", role="service_node", nonce=MAX_U64, validUntil=MAX_U64)
    yield case("registration of an owner", "RegisterOwner")
    yield case("registration of an owner under itself", "RegisterOwner", validator=ALICE)
    yield case("a listing", "ListFile")
    yield case("a listing for ether: the zero address as the asset", "ListFile", asset=ETHER)
    yield case("a listing whose validator is the owner", "ListFile", owner=ALICE)
    plain = {"mediaType": "", "tags": [], "description": "", "keyHash": bytes(32), "sealedKey": b""}
    yield case("a listing with the least: no text but a name, no tags, no key", "ListFile", **plain)
    yield case("a listing whose key the validator hands out", "ListFile", sealedKey=b"")
    yield case("a listing beyond ASCII", "ListFile", name="Grüße, 世界 🪵 נוֹ", tags=["café", "cafe\u0301", "1"])
    yield case("text with zero, quote, backslash and newline", "ListFile", description='\x00"\\\n', tags=["\x00"])
    yield case("text that reads like a number", "ListFile", name="2025", tags=["0x07", "7"], description="7")
    yield case("the order of tags counts", "ListFile", tags=["rain", "weather"])
    yield case("tags that run together alike: ab, c", "ListFile", tags=["ab", "c"])
    yield case("tags that run together alike: a, bc", "ListFile", tags=["a", "bc"])
    yield case("text that runs together alike over two members", "ListFile", name="Rainfall 2025text", mediaType="/csv")
    longest = {"name": "n" * 128, "mediaType": "m" * 64, "description": "🪵" * 128}
    tags = ["é" * 15 + f"{number:02}" for number in range(8)]
    numbers = {"nonce": MAX_U64, "validUntil": MAX_U64, "price": MAX_U128, "size": MAX_U64, "storageDays": 36_500}
    filled = {"owner": b"\xff" * 20, "asset": b"\xff" * 20, "sealedKey": b"\xff" * 81}
    filled |= dict.fromkeys(("file", "contentHash", "keyHash"), b"\xff" * 32)
    yield case("a listing with everything at its largest", "ListFile", **longest, tags=tags, **numbers, **filled)
    yield case("another price", "UpdatePrice")
    yield case("the highest price", "UpdatePrice", price=MAX_U128)
    yield case("the end of a listing", "Delist")
    other = reference.make_domain(reference.ledger_chain_id(1, SETTLEMENT), SETTLEMENT)
    yield case("replay on another chain: another id", "Delist", domain=other)
    other = reference.make_domain(reference.ledger_chain_id(L1_CHAIN_ID, TOKEN), TOKEN)
    yield case("replay in another deployment: another id", "ListFile", domain=other)

    yield bad("a role nobody knows", "unknown_role", "Register", role="admin")
    yield bad("roles are exact", "unknown_role", "Register", role="Mart")
    yield bad("an owner without a validator", "unknown_role", "Register", role="owner")
    for name in reference.INSTRUCTIONS:
        yield bad(f"{name} by nobody", "zero_address", name, account=ETHER)
    yield bad("an owner under nobody", "zero_address", "RegisterOwner", validator=ETHER)
    yield bad("a file of nobody", "zero_address", "ListFile", owner=ETHER)
    malformed = "malformed_instruction"
    yield bad("a price of nothing", malformed, "UpdatePrice", price=0)
    yield bad("a listing for nothing", malformed, "ListFile", price=0)
    yield bad("a file whose id is no reference", malformed, "ListFile", file=bytes(32))
    yield bad("a file of no bytes", malformed, "ListFile", size=0)
    yield bad("kept for no day", malformed, "ListFile", storageDays=0)
    yield bad("kept for more than a hundred years", malformed, "ListFile", storageDays=36_501)
    yield bad("a file without a name", malformed, "ListFile", name="")
    yield bad("a name of 129 bytes", malformed, "ListFile", name="é" * 64 + "n")
    yield bad("a media type of 65 bytes", malformed, "ListFile", mediaType="m" * 65)
    yield bad("9 tags", malformed, "ListFile", tags=[f"{number}" for number in range(9)])
    yield bad("a tag of 33 bytes", malformed, "ListFile", tags=["é" * 16 + "t"])
    yield bad("an empty tag", malformed, "ListFile", tags=["rain", ""])
    yield bad("a tag twice", malformed, "ListFile", tags=["rain", "weather", "rain"])
    yield bad("a description of 513 bytes", malformed, "ListFile", description="🪵" * 128 + "d")
    yield bad("a sealed key of 80 bytes", malformed, "ListFile", sealedKey=bytes(80))
    yield bad("a sealed key of 82 bytes", malformed, "ListFile", sealedKey=bytes(82))
    yield bad("a sealed key of what is not encrypted", malformed, "ListFile", keyHash=bytes(32))


def domain_form(domain: dict[str, Any]) -> dict[str, Any]:
    return {**domain, "verifyingContract": bytes.fromhex(domain["verifyingContract"][2:])}


def make_signatures() -> Cases:
    digest = some_hash("a digest to sign")

    def sign(name: str, message: bytes = digest) -> bytes:
        return bytes(Account.unsafe_sign_hash(message, KEYS[name]).signature)

    def case(desc: str, signature: bytes, error: str | None, signer: bytes = ALICE, message: bytes = digest) -> Any:
        form = {"digest": message, "signature": signature, "signer": signer}
        return refuse(desc, form, error) if error else want(desc, form, {"signer": signer})

    good = sign("alice")
    r, s, v = good[:32], good[32:64], good[64]
    by_v = {}
    for number in range(64):
        message = some_hash(f"digest {number}")
        by_v.setdefault(sign("alice", message)[64], (message, sign("alice", message)))
    for number in (27, 28):
        message, signature = by_v[number]
        yield case(f"v {number}", signature, None, message=message)
    yield case("by another", sign("bob"), None, signer=BOB)
    bad = "invalid_signature"
    yield case("somebody else's", sign("bob"), bad)
    yield case("over another digest", sign("alice", some_hash("another digest")), bad)
    yield case("the other v: recovers to another key", r + s + bytes([55 - v]), bad)
    for number in (27, 28):
        message, signature = by_v[number]
        yield case(f"v {number - 27} for {number}", signature[:64] + bytes([number - 27]), bad, message=message)
    for number in (2, 3, 26, 29, 30, 255):
        yield case(f"v {number}", r + s + bytes([number]), bad)
    yield case("v of EIP-155, chain id 1", r + s + bytes([v + 10]), bad)
    flipped = (reference.ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    yield case("malleable: high s with the other v, which recovers to the same key", r + flipped + bytes([55 - v]), bad)
    yield case("malleable: high s with the same v", r + flipped + bytes([v]), bad)
    zero, order = bytes(32), reference.ORDER.to_bytes(32, "big")
    yield case("r zero", zero + s + bytes([v]), bad)
    yield case("s zero", r + zero + bytes([v]), bad)
    yield case("all zero", bytes(65), bad)
    for number in (27, 28):
        desc = f"recovers to nobody, claimed for the zero address: r and s zero, v {number}"
        yield case(desc, zero + zero + bytes([number]), bad, signer=ETHER)
    yield case("r at the order", order + s + bytes([v]), bad)
    yield case("r above the order", b"\xff" * 32 + s + bytes([v]), bad)
    yield case("s at the order", r + order + bytes([v]), bad)
    # x^3 + 7 is no square for x = 5, so no point of the curve has that r.
    yield case("r that is on no point", (5).to_bytes(32, "big") + s + bytes([v]), bad)
    half = (reference.ORDER // 2).to_bytes(32, "big")
    above = (reference.ORDER // 2 + 1).to_bytes(32, "big")
    highest = r + half + bytes([v])
    somebody = keys.Signature(highest[:64] + bytes([v - 27])).recover_public_key_from_msg_hash(digest)
    yield case("the highest s that is allowed", highest, None, signer=somebody.to_canonical_address())
    yield case("the lowest s that is not", r + above + bytes([v]), bad)
    yield case("empty", b"", bad)
    yield case("64 bytes: without v", good[:64], bad)
    yield case("64 bytes: EIP-2098", r + (int.from_bytes(s, "big") | (v - 27) << 255).to_bytes(32, "big"), bad)
    yield case("66 bytes: one more", good + b"\x00", bad)
    yield case("v first", bytes([v]) + r + s, bad)


def make_request_ids() -> Cases:
    for desc, record_type, asset, index in (
        ("the first deposit of ether", 2, ETHER, 0),
        ("the second", 2, ETHER, 1),
        ("the first deposit of a token", 2, TOKEN, 0),
        ("the first forced withdrawal of a token", 3, TOKEN, 0),
        ("the last index", 2, b"\xff" * 20, MAX_U64),
    ):
        given = {"type": record_type, "asset": asset, "index": index}
        yield want(desc, given, {"id": reference.request_id(record_type, asset, index)})


def make_headers() -> Cases:
    def case(desc: str, domain: dict[str, Any] = DOMAIN, **fields: Any) -> dict[str, Any]:
        genesis = reference.genesis_hash(domain["chainId"], GENESIS_JSON)
        items = make_items(3)
        header = {"number": 1, "previous": genesis, "timestamp": DEPLOYED_AT * 1000 + 1}
        header |= {"recordsRoot": reference.list_root(items), "recordCount": len(items), **fields}
        result = {
            "structHash": reference.struct_hash("Block", header, domain),
            "hash": reference.digest("Block", header, domain),
            "signature": reference.sign("Block", header, domain, KEYS["operator"]),
        }
        given = {"domain": domain_form(domain), "header": header, "privateKey": KEYS["operator"]}
        return want(desc, given, result)

    yield case("block 1")
    yield case(
        "another block", number=2**40, previous=some_hash("a block"), timestamp=1_900_000_000_123, recordCount=4096
    )
    other = reference.make_domain(reference.ledger_chain_id(1, SETTLEMENT), SETTLEMENT)
    yield case("the same block of another deployment: another hash", domain=other)
    largest = {"number": MAX_U64, "previous": b"\xff" * 32, "timestamp": MAX_U64, "recordsRoot": b"\xff" * 32}
    yield case("everything at its largest", **largest, recordCount=MAX_U32)


def make_line(asset: bytes, **fields: Any) -> dict[str, Any]:
    return {
        "asset": asset,
        "stateRoot": some_hash("state of " + asset.hex()),
        "total": 10**24,
        "accountCount": 1_000_000,
        "depositCount": 70_000,
        "forcedCount": 3,
        "withdrawalsRoot": some_hash("withdrawals of " + asset.hex()),
        "withdrawalCount": 12,
        "withdrawn": 10**19,
        **fields,
    }


def make_empty_line(asset: bytes) -> dict[str, Any]:
    numbers = dict.fromkeys(("total", "accountCount", "depositCount", "forcedCount", "withdrawalCount", "withdrawn"), 0)
    return make_line(asset, stateRoot=bytes(32), withdrawalsRoot=bytes(32), **numbers)


def make_commitment(lines: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {
        "epoch": 7,
        "previous": some_hash("the commitment before"),
        "firstBlock": 101,
        "lastBlock": 300,
        "cutAt": (DEPLOYED_AT + 7 * 3600) * 1000,
        "blocksRoot": some_hash("blocks"),
        "extraRoot": bytes(32),
        "assets": lines,
        **fields,
    }


def make_commitments() -> Cases:
    def case(desc: str, lines: list[dict[str, Any]], domain: dict[str, Any] = DOMAIN, **fields: Any) -> dict[str, Any]:
        commitment = make_commitment(lines, **fields)
        result = {
            "structHash": reference.struct_hash("Commitment", commitment, domain),
            "digest": reference.digest("Commitment", commitment, domain),
            "signature": reference.sign("Commitment", commitment, domain, KEYS["operator"]),
        }
        given = {"domain": domain_form(domain), "commitment": commitment, "privateKey": KEYS["operator"]}
        return want(desc, given, result)

    yield case("no assets", [])
    yield case("one asset", [make_line(ETHER)])
    yield case("two assets", [make_line(ETHER), make_line(TOKEN)])
    yield case("the order of assets counts", [make_line(TOKEN), make_line(ETHER)])
    yield case("32 assets", [make_line(some_hash(f"asset {number}")[:20], total=number) for number in range(32)])
    yield case(
        "the first, without a block",
        [make_empty_line(ETHER)],
        epoch=1,
        previous=bytes(32),
        firstBlock=1,
        lastBlock=0,
        blocksRoot=bytes(32),
    )
    yield case("an extra root", [make_line(ETHER)], extraRoot=some_hash("extra"))
    other = reference.make_domain(reference.ledger_chain_id(1, SETTLEMENT), SETTLEMENT)
    yield case("replay in another deployment: another digest", [make_line(ETHER)], domain=other)
    numbers = dict.fromkeys(("accountCount", "depositCount", "forcedCount", "withdrawalCount"), MAX_U64)
    line = make_line(
        b"\xff" * 20, stateRoot=b"\xff" * 32, total=MAX_U128, withdrawalsRoot=b"\xff" * 32, withdrawn=MAX_U128
    )
    fields = dict.fromkeys(("epoch", "firstBlock", "lastBlock", "cutAt"), MAX_U64)
    fields |= dict.fromkeys(("previous", "blocksRoot", "extraRoot"), b"\xff" * 32)
    yield case("everything at its largest", [{**line, **numbers}], **fields)


def make_stored_hashes() -> Cases:
    for desc, digest, included_at in (
        ("a commitment", some_hash("a commitment"), DEPLOYED_AT + 3600),
        ("included a second later", some_hash("a commitment"), DEPLOYED_AT + 3601),
        ("the last second", b"\xff" * 32, MAX_U64),
    ):
        given = {"digest": digest, "includedAt": included_at}
        yield want(desc, given, {"hash": reference.stored_hash(digest, included_at)})


def make_withdrawal_claims() -> Cases:
    def withdrawals(count: int) -> list[dict[str, Any]]:
        people = (BOB, CAROL, ALICE)
        return [
            {"id": some_hash(f"withdrawal {number}"), "recipient": people[number % 3], "amount": 10**6 + number}
            for number in range(count)
        ]

    def leaves(items: list[dict[str, Any]]) -> list[reference.SumNode]:
        return [(keccak(reference.withdrawal_preimage(item)), item["amount"]) for item in items]

    def given(count: int, index: int, /, **other: Any) -> dict[str, Any]:
        items = withdrawals(count)
        root, total = reference.sum_root(leaves(items))
        line = make_line(TOKEN, withdrawalsRoot=root, withdrawalCount=count, withdrawn=total)
        siblings = [node_form(node) for node in reference.sum_proof(leaves(items), index)]
        claim = {"asset": TOKEN, "index": index, **items[index], "siblings": siblings}
        commitment = make_commitment([make_line(ETHER), line])
        return {"commitment": commitment, "claim": {**claim, **other}}

    for count in (1, 2, 3, 5, 8):
        for index in range(count):
            yield want(f"withdrawal {index} of {count}", given(count, index), {"assetIndex": 1})
    right = given(5, 2)
    yield refuse("another amount", given(5, 2, amount=10**6 + 3), "root_mismatch")
    yield refuse("another recipient", given(5, 2, recipient=CAROL), "root_mismatch")
    yield refuse("a decoy's id", given(5, 2, id=some_hash("withdrawal 3")), "root_mismatch")
    yield refuse("claimed twice: the same under another index", given(5, 2, index=3), "root_mismatch")
    yield refuse("claimed twice: index bits beyond the depth", given(5, 2, index=2 + 8), "index_out_of_range")
    yield refuse("claimed in the padding", given(5, 4, index=5), "index_out_of_range")
    siblings = right["claim"]["siblings"]
    yield refuse("too short a proof", given(5, 2, siblings=siblings[:-1]), "proof_length_mismatch")
    yield refuse(
        "too long a proof", given(5, 2, siblings=[*siblings, node_form(reference.EMPTY)]), "proof_length_mismatch"
    )
    yield refuse("from another asset's line", given(5, 2, asset=ETHER), "proof_length_mismatch")
    yield refuse("from an asset without a line", given(5, 2, asset=CAROL), "asset_not_in_commitment")


# --- the data exchange


def make_account_entry(account: bytes, *roles: str, **fields: Any) -> dict[str, Any]:
    return {"account": account, "roles": list(roles), "validator": None, "namedOnly": False, **fields}


def make_file_entry(**fields: Any) -> dict[str, Any]:
    return {
        "file": some_hash("a file"),
        "validator": ALICE,
        "owner": CAROL,
        "asset": TOKEN,
        "price": 100,
        "size": 2**30,
        "storageDays": 30,
        "keepUntil": DEPLOYED_AT + 30 * 86_400,
        "serviceNode": DORA,
        "listing": some_hash("a listing"),
        "delisted": False,
        **fields,
    }


def make_entries(count: int) -> list[dict[str, Any]]:
    """Accounts and files, as they may follow each other."""
    people = (
        make_account_entry(ALICE, "validator"),
        make_account_entry(DORA, "service_node"),
        make_account_entry(BOB, "mart"),
        make_account_entry(CAROL, "owner", validator=ALICE, namedOnly=True),
    )
    files = [make_file_entry(file=some_hash(f"file {number}"), price=100 + number) for number in range(count)]
    return [*people, *files][:count]


def make_registry_entries() -> Cases:
    def case(desc: str, entry: dict[str, Any]) -> dict[str, Any]:
        encoded = reference.entry_bytes(entry)
        return want(desc, entry, {"encoded": encoded, "leaf": keccak(b"\x80" + encoded)})

    for role in reference.ROLES[:3]:
        yield case(f"a {role}", make_account_entry(BOB, role))
    yield case("an owner who signed for it", make_account_entry(CAROL, "owner", validator=ALICE))
    yield case(
        "an owner who was named with an upload", make_account_entry(CAROL, "owner", validator=ALICE, namedOnly=True)
    )
    yield case("all roles, under itself", make_account_entry(ALICE, *reference.ROLES, validator=ALICE))
    yield case("a file", make_file_entry())
    yield case("a file that nobody keeps", make_file_entry(serviceNode=None))
    yield case("a file for ether, taken off the market", make_file_entry(asset=ETHER, delisted=True))
    numbers = {"price": MAX_U128, "size": MAX_U64, "storageDays": MAX_U32, "keepUntil": MAX_U64, "delisted": True}
    filled = dict.fromkeys(("validator", "owner", "asset", "serviceNode"), b"\xff" * 20)
    filled |= dict.fromkeys(("file", "listing"), b"\xff" * 32)
    yield case("a file with everything at its largest", make_file_entry(**numbers, **filled))


def make_registries() -> Cases:
    for count in (0, 1, 2, 3, 5, 8):
        entries = make_entries(count)
        items = [reference.entry_bytes(entry) for entry in entries]
        proofs = [reference.list_proof(items, index) for index in range(count)]
        result = {"root": reference.list_root(items), "extraRoot": reference.extra_root(items), "proofs": proofs}
        yield want(f"{count} entries", {"entries": entries}, result)


def make_registry_proofs() -> Cases:
    def given(count: int, index: int, /, **other: Any) -> dict[str, Any]:
        entries = make_entries(count)
        items = [reference.entry_bytes(entry) for entry in entries]
        form = {"entry": entries[index], "index": index, "count": count, "siblings": reference.list_proof(items, index)}
        return {**form, "extraRoot": reference.extra_root(items), **other}

    for count in (1, 2, 3, 5, 8):
        for index in range(count):
            yield want(f"entry {index} of {count}", given(count, index), {"extraRoot": given(count, 0)["extraRoot"]})
    for count in (2, 3, 5, 8):
        for index in range(count):
            for other in range(count):
                if other != index:
                    desc = f"one entry under two indexes: entry {index} of {count} shown at index {other}"
                    yield refuse(desc, given(count, index, index=other), "root_mismatch")
    # The root is the same for any count of this depth; the extra root is not.
    for count, other in ((3, 4), (5, 6), (5, 8), (8, 7)):
        yield refuse(
            f"another count of the same depth: {other} for {count}", given(count, 0, count=other), "root_mismatch"
        )
    yield refuse("another count of the same depth: 7 for 8, the last", given(8, 7, count=7), "index_out_of_range")
    yield refuse("another count: 9 for 8", given(8, 0, count=9), "proof_length_mismatch")
    yield refuse("a count of none", given(1, 0, count=0), "index_out_of_range")
    yield refuse("index bits beyond the depth", given(5, 1, index=1 + 8), "index_out_of_range")
    yield refuse("a place in the padding", given(5, 4, index=5), "index_out_of_range")
    siblings = given(5, 2)["siblings"]
    yield refuse("too short a proof", given(5, 2, siblings=siblings[:-1]), "proof_length_mismatch")
    yield refuse("too long a proof", given(5, 2, siblings=[*siblings, bytes(32)]), "proof_length_mismatch")
    turned = [bytes([siblings[0][0] ^ 1]) + siblings[0][1:], *siblings[1:]]
    yield refuse("one bit of a sibling turned", given(5, 2, siblings=turned), "root_mismatch")
    yield refuse("another extra root", given(5, 2, extraRoot=given(3, 2)["extraRoot"]), "root_mismatch")
    items = [reference.entry_bytes(entry) for entry in make_entries(5)]
    yield refuse(
        "the tree's root for the extra root", given(5, 2, extraRoot=reference.list_root(items)), "root_mismatch"
    )
    yield refuse("nothing listed: zero for the extra root", given(1, 0, extraRoot=bytes(32)), "root_mismatch")

    def altered(desc: str, index: int, **fields: Any) -> dict[str, Any]:
        form = given(5, index)
        return refuse(f"altered: {desc}", {**form, "entry": {**form["entry"], **fields}}, "root_mismatch")

    yield altered("another account", 1, account=ERIK)
    yield altered("a role more", 1, roles=["mart", "service_node"])
    yield altered("another role", 1, roles=["mart"])
    yield altered("no role", 1, roles=[])
    yield altered("an owner's validator", 3, validator=ERIK)
    yield altered("an owner without a validator", 3, validator=None)
    yield altered("an owner who is said to have signed", 3, namedOnly=False)
    changes: dict[str, Any] = {"file": some_hash("x"), "validator": ERIK, "owner": ERIK, "asset": ETHER, "price": 105}
    changes |= {"size": 1, "storageDays": 31, "keepUntil": DEPLOYED_AT, "serviceNode": None, "listing": some_hash("x")}
    for name, value in {**changes, "delisted": True}.items():
        yield altered(f"a file's {name}", 4, **{name: value})


def make_shares() -> Cases:
    def case(desc: str, price: int, split: tuple[int, int, int], service_node: bytes | None = DORA, **who: Any) -> Any:
        market = dict(zip(("validatorShare", "ownerShare", "commission"), split, strict=True))
        people = {"validator": ALICE, "owner": CAROL, "serviceNode": service_node, **who}
        outputs = reference.compute_shares(price, market, people["validator"], people["owner"], people["serviceNode"])
        if sum(output["amount"] for output in outputs) != price:
            raise ValueError(f"{desc}: the shares do not sum to the price")
        return want(desc, {"price": price, "market": market, **people}, {"outputs": outputs})

    halves, twentieth, thirds = (5000, 5000, 0), (5000, 4500, 500), (3333, 3333, 3334)
    for price in (1, 2, 3, 19, 20, 21, 99, 100, 101, 10_000, 10_001, 10**18 + 1, MAX_U128 - 1, MAX_U128):
        yield case(f"halves of {price}", price, halves, None)
        yield case(f"a commission of a twentieth of {price}", price, twentieth)
        yield case(f"a commission of a twentieth of {price}, and nobody keeps the file", price, twentieth, None)
        yield case(f"thirds of {price}", price, thirds)
    for price in (1, 9_999, 10_000, MAX_U128):
        yield case(f"all of {price} to the validator", price, (10_000, 0, 0))
        yield case(f"all of {price} to the owner", price, (0, 10_000, 0))
        yield case(f"all of {price} to the service node", price, (0, 0, 10_000))
        yield case(f"all of {price} to the service node, and there is none", price, (0, 0, 10_000), None)
        yield case(f"the least share of {price} to the validator", price, (1, 9_999, 0))
        yield case(f"the least share of {price} to the service node", price, (0, 9_999, 1))
        yield case(f"all but the least share of {price} to the validator", price, (9_999, 1, 0))
    yield case("validator and owner are one", 101, twentieth, owner=ALICE)
    yield case("all three are one", 101, twentieth, ALICE, owner=ALICE)


def make_storage_charges() -> Cases:
    def case(desc: str, size: int, days: int, rate: int) -> dict[str, Any]:
        daily = reference.compute_daily_charge(size, rate)
        return want(desc, {"size": size, "days": days, "rate": rate}, {"daily": daily, "total": days * daily})

    gib = 2**30
    yield case("a GiB for a day", gib, 1, 10**6)
    yield case("a byte for a day: rounded up to one base unit", 1, 1, 10**6)
    yield case("a byte for a hundred years: a base unit for each day", 1, 36_500, 1)
    yield case("a byte more than a GiB", gib + 1, 30, 10**6)
    yield case("a byte less than a GiB", gib - 1, 30, 10**6)
    yield case("just beyond a whole number", gib // 2 + 1, 7, 2)
    yield case("just a whole number", gib // 2, 7, 2)
    yield case("each day is rounded up, not their sum", gib // 3, 3, 1)
    yield case("1.000001 of a token of 6 decimals", gib, 1, 1_000_001)
    yield case("the largest file, the highest rate, a hundred years: fits 128 bits", MAX_U64, 36_500, MAX_U64)


# --- nonces, whole ledgers


def make_nonce_windows() -> Cases:
    def case(desc: str, base: int, used: set[int], nonce: int, error: str | None = None) -> dict[str, Any]:
        given = {"base": base, "map": reference.pack_window(base, used), "nonce": nonce}
        if error:
            return refuse(desc, given, error)
        base, used = reference.use_nonce(base, used, nonce)
        next_nonce = max(used, default=base - 1) + 1
        return want(desc, given, {"base": base, "map": reference.pack_window(base, used), "nextNonce": next_nonce})

    yield case("the first", 0, set(), 0)
    yield case("in order", 41, set(), 41)
    yield case("one ahead", 0, set(), 1)
    yield case("the last of the window", 0, set(), 255)
    yield case("the last of a window that has moved", 1000, {1001, 1003}, 1255)
    yield case("closing a gap: the base slides over what was used ahead", 10, {11, 12, 14}, 10)
    yield case("closing the only gap of a full window: the base slides by 256", 7, set(range(8, 7 + 256)), 7)
    yield case("closing a gap above the base: nothing slides", 10, {12, 14}, 13)
    yield case("the base slides up to the next gap", 0, {1, 2, 3, 5, 255}, 0)
    yield case("high numbers", 2**40, {2**40 + 2}, 2**40 + 1)
    yield case("twice: below the base", 42, set(), 41, "nonce_used")
    yield case("twice: far below the base", 2**40, set(), 0, "nonce_used")
    yield case("twice: in the map", 42, {45}, 45, "nonce_used")
    yield case("twice: the top bit of the map", 42, {42 + 255}, 42 + 255, "nonce_used")
    yield case("beyond the window", 0, set(), 256, "nonce_too_far")
    yield case("beyond a full window", 7, set(range(8, 7 + 256)), 7 + 256, "nonce_too_far")
    yield case("far beyond the window", 0, set(), MAX_U64, "nonce_too_far")


class History:
    """A ledger as it is written down: what was fed to the naive one, and what came out of it."""

    def __init__(self, market: dict[str, Any] = reference.MARKET) -> None:
        self.parameters = {"l1ChainId": L1_CHAIN_ID, "settlement": SETTLEMENT}
        self.parameters |= {"nativeAsset": ETHER, "deployedAt": DEPLOYED_AT, "market": market_form(market)}
        self.domain = DOMAIN
        self.naive = reference.NaiveLedger(self.domain, market)
        genesis = reference.parameters_json(L1_CHAIN_ID, SETTLEMENT, ETHER, DEPLOYED_AT, market)
        self.previous = reference.genesis_hash(self.domain["chainId"], genesis)
        self.steps: list[dict[str, Any]] = []
        self.blocks: list[dict[str, Any]] = []
        self.epochs: list[dict[str, Any]] = []

    def list_asset(self, asset: bytes) -> None:
        self.naive.list_asset(asset)
        self.steps.append({"listAsset": asset})

    def add_block(self, timestamp: int, *records: dict[str, Any]) -> None:
        """Records are instructions (they have a `type`), deposits (an `account`) and payments, not yet signed."""
        number = len(self.blocks) + 1
        items, encoded, forms = [], [], []
        for place, record in enumerate(records):
            if "type" in record:
                item, body, form = self._add_instruction(record, timestamp)
            elif "account" in record:
                item, body, form = self._add_deposit(record, number, place)
            else:
                item, body, form = self._add_payment(record, number, place, timestamp)
            items.append(item)
            encoded.append(reference.record_bytes(item[0], body))
            forms.append(form)
        header = {"number": number, "previous": self.previous, "timestamp": timestamp}
        header |= {"recordsRoot": reference.list_root(items), "recordCount": len(items)}
        self.previous = self.naive.end_block(header)
        self.blocks.append({"header": header, "hash": self.previous, "journal": reference.block_bytes(header, encoded)})
        self.steps.append({"block": {"timestamp": timestamp, "records": forms}})

    def _add_deposit(self, deposit: dict[str, Any], number: int, place: int) -> tuple[bytes, bytes, dict[str, Any]]:
        index = self.naive.deposits[deposit["asset"]]
        full = {"asset": deposit["asset"], "index": index, "account": deposit["account"], "amount": deposit["amount"]}
        full |= {"l1Block": 100 + number, "l1BlockHash": some_hash(f"L1 block {100 + number}")}
        full |= {"l1Transaction": some_hash(f"L1 transaction of deposit {index}")}
        deposit_id = self.naive.deposit(full["asset"], full["account"], full["amount"], number, place)
        form = {"type": "deposit", "id": deposit_id, "deposit": full}
        return b"\x02" + deposit_id, reference.deposit_bytes(full), form

    def _add_instruction(self, instruction: dict[str, Any], timestamp: int) -> tuple[bytes, bytes, dict[str, Any]]:
        name, message = split_type(instruction)
        instruction_id = self.naive.instruct(name, message, timestamp)
        signature = reference.sign(name, message, self.domain, find_key(message["account"]))
        form = {"type": "instruction", "id": instruction_id, "instruction": instruction, "signature": signature}
        return b"\x04" + instruction_id, reference.instruction_bytes(name, message, instruction_id, signature), form

    def _add_payment(
        self, payment: dict[str, Any], number: int, place: int, timestamp: int
    ) -> tuple[bytes, bytes, dict[str, Any]]:
        payment_id = self.naive.pay(payment, number, place, timestamp)
        signature = reference.sign("Payment", payment, self.domain, find_key(payment["from"]))
        form = {"type": "payment", "id": payment_id, "payment": payment, "signature": signature}
        return b"\x01" + payment_id, reference.payment_bytes(payment, payment_id, signature), form

    def cut(self, cut_at: int) -> None:
        self.steps.append({"cut": {"epoch": self.naive.epoch, "cutAt": cut_at}})
        commitment = self.naive.cut(cut_at)
        leaves = [
            [reference.account_leaf_bytes(self.naive.leaves[asset, account]) for account in self.naive.order[asset]]
            for asset in self.naive.assets
        ]
        digest = reference.digest("Commitment", commitment, self.domain)
        entries = [reference.entry_bytes(entry) for entry in self.naive.exchange.entries]
        self.epochs.append({"commitment": commitment, "digest": digest, "leaves": leaves, "entries": entries})

    def case(self, desc: str) -> dict[str, Any]:
        given = {"parameters": self.parameters, "steps": self.steps}
        return want(desc, given, {"blocks": self.blocks, "epochs": self.epochs})


def find_key(address: bytes) -> bytes:
    return next(key for name, key in KEYS.items() if ADDRESSES[name] == address)


def make_deposit(account: bytes, amount: int, asset: bytes = TOKEN) -> dict[str, Any]:
    return {"asset": asset, "account": account, "amount": amount}


def pay(payer: bytes, nonce: int, *outputs: tuple[bytes, int], **fields: Any) -> dict[str, Any]:
    forms = [{"to": to, "amount": amount} for to, amount in outputs]
    return make_payment(**{"from": payer}, nonce=nonce, outputs=forms, **fields)


def make_ledgers() -> Cases:
    start = DEPLOYED_AT * 1000

    idle = History()
    idle.cut(start + 1000)
    idle.list_asset(ETHER)
    idle.cut(start + 2000)
    idle.add_block(start + 2001, make_deposit(ALICE, 5, ETHER))
    idle.cut(start + 2001)
    yield idle.case("an idle ledger: no asset, then no block, then one deposit")

    plain = History()
    plain.list_asset(TOKEN)
    plain.add_block(start + 10, make_deposit(ALICE, 1000), make_deposit(BOB, 500))
    plain.add_block(start + 10, pay(ALICE, 0, (BOB, 100)))
    plain.add_block(start + 20, pay(BOB, 0, (CAROL, 600)), pay(CAROL, 0, (ALICE, 599), kind="tip", memo="Grüße"))
    plain.cut(start + 1000)
    plain.add_block(start + 1001, pay(CAROL, 1, (ALICE, 1)))
    plain.cut(start + 2000)
    yield plain.case("deposits, payments, an account that ends at zero, one that is carried over untouched")

    windows = History()
    windows.list_asset(TOKEN)
    windows.add_block(start + 10, make_deposit(ALICE, 1000))
    windows.add_block(start + 11, *[pay(ALICE, nonce, (BOB, 1 + nonce)) for nonce in (3, 255, 0, 2, 5, 1)])
    windows.cut(start + 1000)
    windows.add_block(start + 1001, *[pay(ALICE, nonce, (BOB, 1 + nonce)) for nonce in (6, 4, 260)])
    windows.cut(start + 2000)
    yield windows.case("nonces out of order, within a window and across a cut: debits ascend all the same")

    selves = History()
    selves.list_asset(TOKEN)
    selves.add_block(start + 10, make_deposit(ALICE, 10))
    selves.add_block(start + 11, pay(ALICE, 0, (ALICE, 10)))
    selves.add_block(start + 12, pay(ALICE, 1, (ALICE, 4), (BOB, 1), (BOB, 1), (ALICE, 4)))
    selves.cut(start + 1000)
    yield selves.case("paying oneself mints nothing; two outputs to one payee are two credits")

    leaving = History()
    leaving.list_asset(ETHER)
    leaving.list_asset(TOKEN)
    leaving.add_block(start + 10, make_deposit(ALICE, 10**18, ETHER), make_deposit(BOB, 10**6))
    leaving.add_block(
        start + 20,
        pay(ALICE, 0, (CAROL, 10**17), asset=ETHER, kind="withdraw"),
        pay(ALICE, 1, (ALICE, 10**16), asset=ETHER, kind="withdraw"),
        pay(BOB, 0, (BOB, 10**6), kind="withdraw"),
        pay(ALICE, 2, (ALICE, 10**16), asset=ETHER, kind="withdraw"),
    )
    leaving.cut(start + 1000)
    leaving.add_block(start + 1001, make_deposit(BOB, 7), pay(ALICE, 3, (BOB, 1), asset=ETHER, kind="withdraw"))
    leaving.cut(start + 2000)
    yield leaving.case("withdrawals leave the total and have their own tree, per asset and epoch")

    assets = History()
    assets.list_asset(ETHER)
    assets.add_block(start + 10, make_deposit(ALICE, 100, ETHER))
    assets.add_block(start + 11, *[pay(ALICE, nonce, (BOB, 1), asset=ETHER) for nonce in (0, 1, 4)])
    assets.cut(start + 1000)
    assets.list_asset(TOKEN)
    assets.add_block(start + 1001, make_deposit(ALICE, 50), make_deposit(BOB, 50))
    assets.add_block(start + 1002, pay(ALICE, 2, (BOB, 1)), pay(ALICE, 3, (BOB, 1), asset=ETHER))
    assets.cut(start + 2000)
    yield assets.case("one window for all assets: the first leaf in a second asset carries it")
    yield make_market_ledger()


def make_market_ledger() -> dict[str, Any]:
    """Alice and Erik are validators, Bob is a mart, Carol an owner, Dora a service node."""
    start, file, other, own = DEPLOYED_AT * 1000, some_hash("a file"), some_hash("another file"), some_hash("own file")
    market = History(MARKET)
    market.list_asset(TOKEN)
    market.add_block(
        start + 10,
        *[make_deposit(account, 10**9) for account in (ALICE, BOB, ERIK)],
        make_instruction("Register", role="validator"),
        make_instruction("Register", account=ERIK, role="validator", nonce=3),
        make_instruction("Register", account=DORA, role="service_node"),
        make_instruction("Register", account=BOB, role="mart"),
    )
    charge = 30 * 10**6
    market.add_block(
        start + 20,
        make_instruction("ListFile", nonce=1),
        pay(ALICE, 2, (DORA, charge), kind="upload", reference=file),
        pay(BOB, 1, (ALICE, 50), (CAROL, 45), (DORA, 5), kind="purchase", reference=file),
    )
    market.cut(start + 1000)
    market.add_block(
        start + 1001,
        make_instruction("UpdatePrice", nonce=3, price=19),
        make_instruction("RegisterOwner", account=CAROL, validator=ERIK),
        make_instruction("Register", account=ERIK, role="mart", nonce=0),
        make_instruction("Register", account=ERIK, role="service_node", nonce=1),
        pay(ERIK, 2, (ALICE, 9), (CAROL, 10), kind="purchase", reference=file),
        pay(ALICE, 4, (DORA, 3 * 10**6), kind="extend", reference=file, memo="three days more"),
        make_instruction("ListFile", account=ERIK, nonce=5, file=other, price=1, size=1, storageDays=2),
    )
    market.cut(start + 2000)
    market.cut(start + 2001)
    market.add_block(
        start + 90_000_500,
        pay(ERIK, 4, (ERIK, 2), kind="upload", reference=other),
        pay(BOB, 2, (CAROL, 1), kind="purchase", reference=other),
        make_instruction("Delist", nonce=5),
        make_instruction("ListFile", nonce=6, file=own, owner=ALICE, price=MAX_U128, sealedKey=b"", keyHash=bytes(32)),
        pay(ALICE, 7, (DORA, charge), kind="upload", reference=own),
        pay(ALICE, 8, (DORA, 10**6), kind="extend", reference=file),
    )
    market.cut(start + 90_001_000)
    return market.case("the data exchange: roles, an upload, listings, purchases, extensions, nonces out of order")


def make_sealed_keys() -> Cases:
    separator = reference.domain_separator(DOMAIN)
    file, key, ephemeral = some_hash("file"), some_hash("file key"), some_hash("ephemeral secret")
    escrow = separator + b"escrow" + ALICE + file
    purchase = separator + b"purchase" + file + BOB
    recipient = KEYS["operator"]

    def make(secret: bytes, context: bytes, *, file_key: bytes = key, ephemeral_secret: bytes = ephemeral) -> Any:
        public_key = reference.compress(reference.multiply(reference.SECPK1_G, secret))
        form = {"recipientSecret": secret, "recipientPublicKey": public_key, "context": context}
        sealed = reference.sealed_key(file_key, secret, context, ephemeral_secret)
        return {**form, "sealed": sealed}, {"key": file_key, "ephemeralSecret": ephemeral_secret}

    yield want("a validator's key, sealed to the escrow", *make(recipient, escrow))
    yield want("a buyer's key", *make(KEYS["bob"], purchase))
    yield want("another ephemeral key", *make(recipient, escrow, ephemeral_secret=some_hash("another")))
    yield want("a key of zeros", *make(recipient, escrow, file_key=bytes(32)))
    yield want("an empty context", *make(recipient, b""))
    for number in range(4):
        ephemeral_secret = some_hash(f"ephemeral secret {number}")
        yield want(f"ephemeral key {number}", *make(KEYS["carol"], purchase, ephemeral_secret=ephemeral_secret))

    given = make(recipient, escrow)[0]
    sealed = given["sealed"]
    for desc, other in (
        ("another's sealed key: listed by another validator", {"context": separator + b"escrow" + BOB + file}),
        ("another's sealed key: listed as another file", {"context": escrow[:-32] + some_hash("another file")}),
        ("another ledger", {"context": some_hash("another domain") + escrow[32:]}),
        ("a key for the escrow opened as a buyer's", {"context": separator + b"purchase" + file + ALICE}),
        ("another recipient", make_recipient("bob")),
        ("the first bit of the ephemeral key: the point of the other sign", {"sealed": turn_bit(sealed, 7)}),
        ("a bit of the ciphertext", {"sealed": turn_bit(sealed, 8 * 33)}),
        ("the last bit of the tag", {"sealed": turn_bit(sealed, 8 * 81 - 1)}),
        ("a byte less", {"sealed": sealed[:-1]}),
        ("a byte more", {"sealed": sealed + b"\0"}),
        ("nothing", {"sealed": b""}),
        ("no point: an unknown form", {"sealed": b"\x04" + sealed[1:]}),
        ("no point: x is not on the curve", {"sealed": b"\x02" + bytes(31) + b"\x05" + sealed[33:]}),
        ("no point: x above the field", {"sealed": b"\x02" + b"\xff" * 32 + sealed[33:]}),
        ("zeros", {"sealed": bytes(81)}),
    ):
        yield refuse(desc, {**given, **other}, "wrong_key")


def make_recipient(name: str) -> dict[str, bytes]:
    secret = KEYS[name]
    public_key = reference.compress(reference.multiply(reference.SECPK1_G, secret))
    return {"recipientSecret": secret, "recipientPublicKey": public_key}


def turn_bit(data: bytes, bit: int) -> bytes:
    """Bit 0 is the highest of the first byte."""
    return (int.from_bytes(data, "big") ^ 1 << (8 * len(data) - 1 - bit)).to_bytes(len(data), "big")


LAYOUTS: Final[dict[str, tuple[str, Callable[[], Cases]]]] = {
    "list_tree": ("leaf H(0x80 ‖ item), node H(0x81 ‖ left ‖ right), padding 32 zero bytes", make_list_trees),
    "list_proof": ("does the list tree of `count` leaves with this root hold `item` at `index`?", make_list_proofs),
    "sum_tree": (
        "node H(0x83 ‖ left hash ‖ left sum u128 ‖ right hash ‖ right sum u128), empty (0, 0)",
        make_sum_trees,
    ),
    "sum_proof": (
        "does the sum tree of `count` leaves with this root and sum hold `leaf` at `index`?",
        make_sum_proofs,
    ),
    "debit": ("H(0x84 ‖ type u8 ‖ number u64 ‖ id 32 ‖ amount u128)", make_debits),
    "credit": ("H(0x85 ‖ block u64 ‖ record u32 ‖ output u8 ‖ type u8 ‖ id 32 ‖ amount u128)", make_credits),
    "withdrawal": ("H(0x86 ‖ id 32 ‖ recipient 20 ‖ amount u128)", make_withdrawals),
    "account_leaf": (
        "the 208 bytes, H(0x82 ‖ them), and whether the leaf is free of contradiction",
        make_account_leaves,
    ),
    "continues": ("is `later`, committed in `laterEpoch`, an honest successor of `earlier`?", make_continues),
    "domain": (
        "ledger chain id 2^40 + first 5 bytes of H(L1 chain id u256 ‖ settlement 20); domain separator",
        make_domains,
    ),
    "genesis": ("H(0x8a ‖ ledger chain id u64 ‖ H(parameters as canonical JSON))", make_genesis),
    "payment": ("EIP-712: struct hash, digest (the payment id) and RFC 6979 signature", make_payments),
    "instruction": (
        "EIP-712: struct hash, digest (the instruction's id) and RFC 6979 signature; the journal's bytes",
        make_instructions,
    ),
    "signature": ("did `signer` sign `digest`? 65 bytes r ‖ s ‖ v, low s, v 27 or 28", make_signatures),
    "sealed_key": (
        "ephemeral public key 33 ‖ ciphertext 32 ‖ tag 16: ECIES over secp256k1, HKDF-SHA256, AES-256-GCM",
        make_sealed_keys,
    ),
    "request_id": ("H(0x89 ‖ type u8 ‖ asset 20 ‖ index u64)", make_request_ids),
    "header": ("EIP-712: struct hash, digest (the block hash) and RFC 6979 signature", make_headers),
    "commitment": ("EIP-712: struct hash, digest and RFC 6979 signature", make_commitments),
    "stored_hash": ("what the contract stores for an epoch: H(digest ‖ includedAt u64)", make_stored_hashes),
    "nonce_window": ("the window after `nonce` was used: base, map (bit k is base + k)", make_nonce_windows),
    "ledger": ("blocks and commitments that follow from a history", make_ledgers),
    "registry_entry": (
        "1 ‖ account 20 ‖ roles u8 ‖ validator 20 ‖ named only u8, or 2 ‖ file 32 ‖ …; leaf H(0x80 ‖ them)",
        make_registry_entries,
    ),
    "registry": ("list tree over the entries; extra root H(0x8b ‖ count u64 ‖ root), zero for none", make_registries),
    "registry_proof": ("does the registry with this extra root hold `entry` at `index`?", make_registry_proofs),
    "shares": (
        "what a purchase pays: validator and service node rounded down, the owner the rest, zero left out",
        make_shares,
    ),
    "storage_charge": ("ceil(size × rate / 2^30) for a day, times the days", make_storage_charges),
    "withdrawal_claim": ("does the claim lead to the root and sum of its asset's line?", make_withdrawal_claims),
}


def render(layout: str) -> str:
    about, make_cases = LAYOUTS[layout]
    cases = list(make_cases())
    descs = [case["desc"] for case in cases]
    if len(set(descs)) != len(descs):
        raise ValueError(f"{layout}: two cases are described alike: {sorted(d for d in descs if descs.count(d) > 1)}")
    return json.dumps({"about": about, "cases": cases}, ensure_ascii=False, indent=1) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file would change")
    is_check = parser.parse_args().check
    stale = []
    for layout in LAYOUTS:
        path = FOLDER / f"{layout}.json"
        text = render(layout)
        if path.exists() and path.read_text() == text:
            continue
        stale.append(layout)
        if not is_check:
            path.write_text(text)
    print("changed: " + ", ".join(stale) if stale else "nothing changed")
    return 1 if stale and is_check else 0


if __name__ == "__main__":
    sys.exit(main())
