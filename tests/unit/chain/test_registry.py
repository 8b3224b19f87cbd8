"""The registry: its entries' bytes, its proofs, and its growth over epochs. More of the bytes are vectors."""

from random import Random
from typing import Any, Final

import msgspec
import pytest

from chain.errors import InvalidProof, MalformedBytes
from chain.market import File, Roles
from chain.merkle import LIST_PADDING, ListTree, compute_depth
from chain.primitives import MAX_U32, MAX_U64, MAX_U128, ZERO_ADDRESS, ZERO_HASH
from chain.registry import (
    AccountEntry,
    FileEntry,
    Registry,
    RegistryChanges,
    RegistryEntry,
    RegistryProof,
    check_registry_proof,
    compute_extra_root,
    decode_entry,
    encode_account_key,
    encode_entry,
    encode_file_key,
    get_key,
)
from chain.state import ACCOUNT_ENTRY, FILE_ENTRY, State
from chain.transition import apply_cut
from tests.unit.chain.actors import ALICE, BOB, CAROL, ETHER, START_MS, TOKEN, some_hash
from tests.unit.chain.exchange import (
    DORA,
    FILE,
    UNPAID,
    make_empty_exchange,
    make_exchange,
    play,
    register,
    update_price,
    upload,
)

COUNTS: Final = (1, 2, 3, 5, 8)


def make_file(**fields: Any) -> File:
    file = File(FILE, ALICE, CAROL, TOKEN, 100, 5, 30, 1_800_000_000, DORA, some_hash("listing"))
    return msgspec.structs.replace(file, **fields)


def make_entries(count: int) -> list[RegistryEntry]:
    """Accounts and files in turn."""
    return [
        FileEntry(make_file(id=some_hash(f"file {number}")))
        if number % 2
        else AccountEntry(some_hash(f"account {number}")[:20], Roles(1 + number % 8))
        for number in range(count)
    ]


def prove(entries: list[RegistryEntry], index: int) -> tuple[RegistryProof, bytes]:
    """The proof, and the extra root that it leads to."""
    tree = ListTree([encode_entry(entry) for entry in entries])
    proof = RegistryProof(entries[index], index, len(entries), tuple(tree.prove(index)))
    return proof, compute_extra_root(len(entries), tree.root)


def is_proven(proof: RegistryProof, extra_root: bytes) -> bool:
    try:
        check_registry_proof(proof, extra_root)
    except InvalidProof:
        return False
    return True


# --- proofs


@pytest.mark.parametrize("count", COUNTS)
def test_every_entry_is_proven_at_its_index_and_at_no_other(count: int) -> None:
    entries = make_entries(count)
    for index in range(count):
        proof, extra_root = prove(entries, index)
        check_registry_proof(proof, extra_root)
        for other in [*range(16), -1, index + 2 ** compute_depth(count), 2**64]:
            moved = msgspec.structs.replace(proof, index=other)
            assert is_proven(moved, extra_root) is (other == index)


@pytest.mark.parametrize("count", COUNTS)
def test_no_other_count(count: int) -> None:
    """A list tree alone has the same root for any count of its depth; the extra root binds it."""
    entries = make_entries(count)
    for index in range(count):
        proof, extra_root = prove(entries, index)
        for other in (*range(17), 2**64 - 1):
            counted = msgspec.structs.replace(proof, count=other)
            assert is_proven(counted, extra_root) is (other == count)


@pytest.mark.parametrize("count", COUNTS)
def test_no_other_siblings(count: int) -> None:
    entries = make_entries(count)
    for index in range(count):
        proof, extra_root = prove(entries, index)
        paths = [(*proof.siblings, ZERO_HASH), (*proof.siblings, LIST_PADDING[1])]
        for place in range(len(proof.siblings)):
            paths.append(proof.siblings[:place] + proof.siblings[place + 1 :])
            paths.append((*proof.siblings[:place], some_hash("x"), *proof.siblings[place + 1 :]))
        if len(set(proof.siblings)) > 1:
            paths.append(proof.siblings[::-1])
        for path in paths:
            assert not is_proven(msgspec.structs.replace(proof, siblings=path), extra_root)


def test_no_other_root() -> None:
    proof, extra_root = prove(make_entries(5), 2)
    tree = ListTree([encode_entry(entry) for entry in make_entries(5)])
    for other in (ZERO_HASH, tree.root, extra_root[::-1], prove(make_entries(4), 2)[1], prove(make_entries(6), 2)[1]):
        with pytest.raises(InvalidProof, match="entry 2 of 5 does not lead to the extra root"):
            check_registry_proof(proof, other)


ALTERED: Final[dict[str, RegistryEntry]] = {
    "another account": AccountEntry(BOB, Roles(8, ALICE, True)),
    "another role": AccountEntry(CAROL, Roles(1, ALICE, True)),
    "a role more": AccountEntry(CAROL, Roles(9, ALICE, True)),
    "no role": AccountEntry(CAROL, Roles(0, ALICE, True)),
    "another validator": AccountEntry(CAROL, Roles(8, BOB, True)),
    "no validator": AccountEntry(CAROL, Roles(8, ZERO_ADDRESS, True)),
    "signed for, it says": AccountEntry(CAROL, Roles(8, ALICE, False)),
    **{
        f"a file with another {name}": FileEntry(make_file(**{name: value}))
        for name, value in {
            "id": UNPAID,
            "validator": BOB,
            "owner": BOB,
            "asset": ETHER,
            "price": 101,
            "size": 6,
            "storage_days": 31,
            "keep_until": 1_800_000_001,
            "service_node": ZERO_ADDRESS,
            "listing": some_hash("x"),
            "is_delisted": True,
        }.items()
    },
}


@pytest.mark.parametrize("altered", ALTERED.values(), ids=ALTERED)
def test_no_other_entry(altered: RegistryEntry) -> None:
    entries: list[RegistryEntry] = [
        *make_entries(3),
        AccountEntry(CAROL, Roles(8, ALICE, True)),
        FileEntry(make_file()),
    ]
    index = 3 if isinstance(altered, AccountEntry) else 4
    proof, extra_root = prove(entries, index)
    check_registry_proof(proof, extra_root)
    assert encode_entry(altered) != encode_entry(entries[index])
    with pytest.raises(InvalidProof):
        check_registry_proof(msgspec.structs.replace(proof, entry=altered), extra_root)


def test_nothing_is_proven_of_an_empty_registry() -> None:
    assert compute_extra_root(0, ZERO_HASH) == ZERO_HASH
    for count in (0, 1, 2):
        proof = RegistryProof(AccountEntry(ALICE, Roles(1)), 0, count, (ZERO_HASH,) * compute_depth(count))
        assert not is_proven(proof, ZERO_HASH)


def test_a_record_s_path_is_no_entry_s() -> None:
    """The root of any other list tree, a block's or an epoch's, is no extra root."""
    items = [encode_entry(entry) for entry in make_entries(3)]
    proof, extra_root = prove(make_entries(3), 1)
    assert ListTree(items).root != extra_root
    assert not is_proven(proof, ListTree(items).root)


# --- bytes


@pytest.mark.parametrize(
    "entry",
    [
        AccountEntry(ALICE, Roles(1)),
        AccountEntry(CAROL, Roles(15, ALICE, True)),
        AccountEntry(bytes(20), Roles()),
        FileEntry(make_file()),
        FileEntry(make_file(service_node=ZERO_ADDRESS, is_delisted=True)),
        FileEntry(make_file(price=MAX_U128, size=MAX_U64, storage_days=MAX_U32, keep_until=MAX_U64)),
    ],
)
def test_entries_come_back_as_they_went(entry: RegistryEntry) -> None:
    encoded = encode_entry(entry)
    assert len(encoded) == (43 if isinstance(entry, AccountEntry) else 182)
    assert decode_entry(encoded) == entry
    assert get_key(encoded) == (ACCOUNT_ENTRY + entry.account if len(encoded) == 43 else FILE_ENTRY + entry.file.id)
    for size in range(len(encoded)):
        with pytest.raises(MalformedBytes):
            decode_entry(encoded[:size])
    with pytest.raises(MalformedBytes, match="left over"):
        decode_entry(encoded + b"\x00")
    for kind in (0, 3, 255):
        with pytest.raises(MalformedBytes, match="of an account or of a file"):
            decode_entry(bytes((kind,)) + encoded[1:])
    for truth in (2, 255):
        with pytest.raises(MalformedBytes, match="neither 0 nor 1"):
            decode_entry(encoded[:-1] + bytes((truth,)))


def test_keys_are_of_accounts_or_of_files() -> None:
    assert encode_account_key(ALICE) == get_key(encode_entry(AccountEntry(ALICE, Roles(1)))) == b"\x01" + ALICE
    assert encode_file_key(FILE) == get_key(encode_entry(FileEntry(make_file()))) == b"\x02" + FILE


# --- growth


def read_entries(state: State, keys: list[bytes]) -> list[bytes]:
    """As the state says now, in the order of the keys."""
    return [
        encode_entry(
            AccountEntry(key[1:], state.get_roles(key[1:]))
            if key[:1] == ACCOUNT_ENTRY
            else FileEntry(state.files[key[1:]])
        )
        for key in keys
    ]


def test_an_empty_registry() -> None:
    state = make_empty_exchange()
    registry = Registry()
    assert registry.seal(state) == RegistryChanges(0, [], [])
    assert (registry.root, list(registry.encode_entries(state))) == (ZERO_HASH, [])


def test_entries_stand_in_the_order_of_their_first_appearance() -> None:
    state = make_exchange()
    registry = Registry()
    changes = registry.seal(state)
    keys = list(dict.fromkeys(state.registry_changes))
    assert list(registry.encode_entries(state)) == read_entries(state, keys)
    assert (keys[0], keys[-1]) == (ACCOUNT_ENTRY + ALICE, FILE_ENTRY + UNPAID)
    assert changes.leaves == list(enumerate(read_entries(state, keys)))
    assert registry.root == compute_extra_root(len(keys), ListTree(read_entries(state, keys)).root)


def test_an_entry_keeps_its_index_for_good() -> None:
    state = make_exchange()
    registry = Registry()
    registry.seal(state)
    keys = [get_key(entry) for entry in registry.encode_entries(state)]
    apply_cut(state, START_MS + 6000)
    play(state, register(BOB, "validator"), upload(UNPAID), register(DORA, "mart"), timestamp=START_MS + 6001)
    play(state, update_price(7, nonce=1), timestamp=START_MS + 6001)
    changes = registry.seal(state)
    assert list(registry.encode_entries(state)) == read_entries(state, keys)
    assert [index for index, _ in changes.leaves] == sorted(
        keys.index(key) for key in (ACCOUNT_ENTRY + BOB, ACCOUNT_ENTRY + DORA, FILE_ENTRY + UNPAID, FILE_ENTRY + FILE)
    )
    assert changes.count == len(keys)
    assert registry.root == compute_extra_root(len(keys), ListTree(read_entries(state, keys)).root)


def test_an_epoch_without_changes_writes_nothing() -> None:
    state = make_exchange()
    registry = Registry()
    count, root = registry.seal(state).count, registry.root
    apply_cut(state, START_MS + 6000)
    assert registry.seal(state) == RegistryChanges(count, [], [])
    assert registry.root == root


def change_something(state: State, random: Random, number: int) -> None:
    """Accounts and files come and change, in any order."""
    lot = random.random()
    if lot < 0.4 or not state.files:
        account = some_hash(f"account {random.randrange(40)}")[:20]
        state.put_roles(account, Roles(random.randrange(1, 16)))
    elif lot < 0.7:
        state.put_file(make_file(id=some_hash(f"file {number}"), price=number + 1))
    else:
        file = random.choice(list(state.files.values()))
        state.put_file(msgspec.structs.replace(file, price=random.randrange(1, 100)))


@pytest.mark.parametrize("seed", range(8))
def test_over_epochs_it_is_the_tree_built_anew(seed: int) -> None:
    """Root, proofs from what each epoch wrote as of that epoch and of every later one, and a start in the middle."""
    random, state = Random(seed), make_empty_exchange()
    registry, keys = Registry(), list[bytes]()
    nodes: dict[tuple[int, int], list[tuple[int, bytes]]] = {}
    """(level, index) → (epoch, hash), ascending"""
    snapshots = []
    for epoch in range(1, 15):
        for number in range(random.randrange(6)):
            change_something(state, random, 100 * epoch + number)
        keys += [key for key in state.registry_changes if key not in keys]
        changes = registry.seal(state)
        apply_cut(state, START_MS + epoch)
        items = read_entries(state, keys)
        tree = ListTree(items)
        assert (list(registry.encode_entries(state)), changes.count) == (items, len(keys))
        assert registry.root == compute_extra_root(len(keys), tree.root)
        for level, index, node in changes.nodes:
            nodes.setdefault((level, index), []).append((epoch, node))
        snapshots.append((epoch, items, registry.root))
        restored = Registry(items)
        assert (restored.root, list(restored.encode_entries(state))) == (registry.root, items)
        if random.random() < 0.3:
            registry = restored
    for epoch, items, root in snapshots:
        for index, item in enumerate(items):
            siblings = tuple(
                find_node(nodes, height, index >> height ^ 1, epoch) for height in range(compute_depth(len(items)))
            )
            check_registry_proof(RegistryProof(decode_entry(item), index, len(items), siblings), root)


def find_node(nodes: dict[tuple[int, int], list[tuple[int, bytes]]], level: int, index: int, epoch: int) -> bytes:
    written = [node for at, node in nodes.get((level, index), []) if at <= epoch]
    return written[-1] if written else LIST_PADDING[level]
