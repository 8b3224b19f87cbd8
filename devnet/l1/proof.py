"""Merkle-Patricia proofs of accounts and their storage (EIP-1186), for any block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import rlp
from eth.constants import BLANK_ROOT_HASH
from eth.rlp.accounts import Account
from eth_hash.auto import keccak
from trie.hexary import HexaryTrie

from devnet.l1.execution import StateOverlay

HASHED_NODE_BYTES: Final = 32
"""A shorter node is written into its parent instead of being named by its hash, and so needs no entry of its own."""


@dataclass(frozen=True, slots=True)
class StorageProof:
    slot: int
    value: int
    nodes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AccountProof:
    """Nodes are RLP, from the root down. For what does not exist they show its absence."""

    address: bytes
    balance_wei: int
    nonce: int
    code_hash: bytes
    storage_root: bytes
    nodes: tuple[bytes, ...]
    storage: tuple[StorageProof, ...]


def prove_account(database: StateOverlay, state_root: bytes, address: bytes, slots: tuple[int, ...]) -> AccountProof:
    state = HexaryTrie(database, state_root)
    key = keccak(address)
    encoded = state[key]
    account = rlp.decode(encoded, sedes=Account) if encoded else Account()
    return AccountProof(
        address=address,
        balance_wei=account.balance,
        nonce=account.nonce,
        code_hash=account.code_hash,
        storage_root=account.storage_root,
        nodes=prove_key(state, key),
        storage=tuple(prove_slot(database, account.storage_root, slot) for slot in slots),
    )


def prove_slot(database: StateOverlay, storage_root: bytes, slot: int) -> StorageProof:
    if storage_root == BLANK_ROOT_HASH:
        return StorageProof(slot, 0, ())
    storage = HexaryTrie(database, storage_root)
    key = keccak(slot.to_bytes(32, "big"))
    encoded = storage[key]
    value = rlp.decode(encoded, sedes=rlp.sedes.big_endian_int) if encoded else 0
    return StorageProof(slot, value, prove_key(storage, key))


def prove_key(trie: HexaryTrie, key: bytes) -> tuple[bytes, ...]:
    root, *below = (rlp.encode(node) for node in trie.get_proof(key))  # type: ignore[no-untyped-call]
    return (root, *(node for node in below if len(node) >= HASHED_NODE_BYTES))
