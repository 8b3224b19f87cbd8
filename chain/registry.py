"""The registry: roles and listed files as a commitment holds them, in its `extraRoot`.

One list tree over all accounts that have a role and all files that were ever listed, in the order of their first
appearance; an entry keeps its index for good, and its leaf says what it is at the end of the epoch. `extraRoot` is
H(0x8b ‖ count u64 ‖ root), or zero as long as there are no entries: it binds the count, which a proof needs.
"""

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from chain.encoding import Reader, encode_u32, encode_u64, encode_u128
from chain.errors import InvalidProof, MalformedBytes
from chain.hashing import REGISTRY, keccak
from chain.market import File, Roles
from chain.merkle import MutableListTree, compute_list_root, hash_list_leaf
from chain.primitives import ADDRESS_SIZE, HASH_SIZE, ZERO_HASH, Address, Hash
from chain.state import ACCOUNT_ENTRY, FILE_ENTRY, State

RegistryKey: TypeAlias = bytes
"""1 ‖ account 20, or 2 ‖ file 32."""


class AccountEntry(msgspec.Struct, frozen=True):
    account: Address
    roles: Roles


class FileEntry(msgspec.Struct, frozen=True):
    file: File


RegistryEntry: TypeAlias = AccountEntry | FileEntry


class RegistryChanges(msgspec.Struct, frozen=True):
    """What one epoch wrote to the registry's tree: enough to prove any entry as of any epoch."""

    count: int
    """Entries at the end of the epoch."""
    leaves: list[tuple[int, bytes]]
    """(index, encoded entry)"""
    nodes: list[tuple[int, int, Hash]]
    """(level, index, hash); level 0 are the leaves."""


class RegistryProof(msgspec.Struct, frozen=True):
    """An entry at its place in the registry of one commitment."""

    entry: RegistryEntry
    index: int
    count: int
    siblings: tuple[Hash, ...]


class Registry:
    """The tree, brought up to date at the end of every epoch."""

    def __init__(self, entries: Iterable[bytes] = ()) -> None:
        """`entries`: those that it begins with, encoded, in order."""
        self._indexes: dict[RegistryKey, int] = {}
        self._tree = MutableListTree()
        self._write([(get_key(entry), entry) for entry in entries])

    @property
    def root(self) -> Hash:
        """As `extraRoot` says it."""
        return compute_extra_root(self._tree.count, self._tree.root)

    def seal(self, state: State) -> RegistryChanges:
        """Takes what the open epoch changed, before it is cut."""
        return self._write([(key, encode_entry(_read_entry(state, key))) for key in state.registry_changes])

    def encode_entries(self, state: State) -> Iterator[bytes]:
        """All of them, in order, as the state has them."""
        return (encode_entry(_read_entry(state, key)) for key in self._indexes)

    def _write(self, entries: Iterable[tuple[RegistryKey, bytes]]) -> RegistryChanges:
        leaves = [(self._indexes.setdefault(key, len(self._indexes)), entry) for key, entry in entries]
        leaves.sort()
        nodes = self._tree.update([(index, hash_list_leaf(entry)) for index, entry in leaves])
        return RegistryChanges(self._tree.count, leaves, nodes)


def compute_extra_root(count: int, root: Hash) -> Hash:
    """H(0x8b ‖ count u64 ‖ root 32), or zero for no entries."""
    return keccak(REGISTRY + encode_u64(count) + root) if count else ZERO_HASH


def check_registry_proof(proof: RegistryProof, extra_root: Hash) -> None:
    """Raises `InvalidProof` when the index is not below the count, the number of siblings is not what it demands, or
    the entry does not lead to the root."""
    root = compute_list_root(encode_entry(proof.entry), proof.index, proof.count, proof.siblings)
    if compute_extra_root(proof.count, root) != extra_root:
        raise InvalidProof(f"entry {proof.index} of {proof.count} does not lead to the extra root")


def encode_entry(entry: RegistryEntry) -> bytes:
    """43 bytes: 1 ‖ account 20 ‖ roles u8 ‖ validator 20 ‖ named only u8; or 182 bytes: 2 ‖ file 32 ‖ validator 20 ‖
    owner 20 ‖ asset 20 ‖ price u128 ‖ size u64 ‖ storage days u32 ‖ keep until u64 ‖ service node 20 ‖ listing 32 ‖
    delisted u8."""
    if isinstance(entry, AccountEntry):
        roles = entry.roles
        return b"".join(
            (ACCOUNT_ENTRY, entry.account, bytes((roles.bits,)), roles.validator, bytes((roles.is_named_only,)))
        )
    file = entry.file
    return b"".join(
        (
            FILE_ENTRY,
            file.id,
            file.validator,
            file.owner,
            file.asset,
            encode_u128(file.price),
            encode_u64(file.size),
            encode_u32(file.storage_days),
            encode_u64(file.keep_until),
            file.service_node,
            file.listing,
            bytes((file.is_delisted,)),
        )
    )


def decode_entry(data: bytes) -> RegistryEntry:
    """Inverse of `encode_entry`. Raises `MalformedBytes` for any other bytes."""
    reader = Reader(data)
    kind = reader.take(1)
    entry: RegistryEntry
    if kind == ACCOUNT_ENTRY:
        account, bits, validator = reader.take(20), reader.take_uint(1), reader.take(20)
        entry = AccountEntry(account, Roles(bits, validator, _take_bool(reader)))
    elif kind == FILE_ENTRY:
        entry = FileEntry(
            File(
                id=reader.take(32),
                validator=reader.take(20),
                owner=reader.take(20),
                asset=reader.take(20),
                price=reader.take_uint(16),
                size=reader.take_uint(8),
                storage_days=reader.take_uint(4),
                keep_until=reader.take_uint(8),
                service_node=reader.take(20),
                listing=reader.take(32),
                is_delisted=_take_bool(reader),
            )
        )
    else:
        raise MalformedBytes("a registry entry is of an account or of a file")
    reader.finish()
    return entry


def encode_account_key(account: Address) -> RegistryKey:
    return ACCOUNT_ENTRY + account


def encode_file_key(file: Hash) -> RegistryKey:
    return FILE_ENTRY + file


def get_key(entry: bytes) -> RegistryKey:
    """Of an encoded entry: what it begins with."""
    return entry[: 1 + (ADDRESS_SIZE if entry[:1] == ACCOUNT_ENTRY else HASH_SIZE)]


def _read_entry(state: State, key: RegistryKey) -> RegistryEntry:
    if key[:1] == ACCOUNT_ENTRY:
        return AccountEntry(key[1:], state.get_roles(key[1:]))
    return FileEntry(state.files[key[1:]])


_BOOLS: Final = {0: False, 1: True}


def _take_bool(reader: Reader) -> bool:
    value = _BOOLS.get(reader.take_uint(1))
    if value is None:
        raise MalformedBytes("neither 0 nor 1")
    return value
