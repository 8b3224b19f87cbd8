"""What the sealer leaves for proofs: every version of every leaf and node of the state trees and of the registry, by
epoch.

Derived; SQLite, written by the sealer's process and read by the node's. A node as of an epoch is its newest version not
above it, so any account can be proven as of any epoch by one look-up a level.
"""

import sqlite3
from pathlib import Path
from typing import Final

from chain.account import decode_account_leaf, hash_account_leaf
from chain.errors import NotFound
from chain.evidence import AccountProof
from chain.ledger import SealedEpoch
from chain.merkle import EMPTY_SUM, LIST_PADDING, SumNode, compute_depth, unpack_sum_node
from chain.primitives import Address, Hash
from chain.registry import RegistryChanges, RegistryKey, RegistryProof, decode_entry, get_key
from chain.state import ACCOUNT_ENTRY
from node.refusals import Overloaded
from node.sqlite_files import is_damage, remove

_SCHEMA_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE sealed (genesis_hash BLOB NOT NULL, epoch INTEGER NOT NULL);
CREATE TABLE assets (id INTEGER PRIMARY KEY, address BLOB NOT NULL UNIQUE);
CREATE TABLE owners (
    asset INTEGER, owner BLOB, position INTEGER NOT NULL, PRIMARY KEY (asset, owner)
) WITHOUT ROWID;
CREATE TABLE leaves (
    asset INTEGER, position INTEGER, epoch INTEGER, leaf BLOB NOT NULL, PRIMARY KEY (asset, position, epoch)
) WITHOUT ROWID;
CREATE TABLE nodes (
    asset INTEGER, level INTEGER, position INTEGER, epoch INTEGER, node BLOB NOT NULL,
    PRIMARY KEY (asset, level, position, epoch)
) WITHOUT ROWID;
CREATE TABLE registry_counts (epoch INTEGER PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE registry_keys (key BLOB PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE registry_entries (
    position INTEGER, epoch INTEGER, entry BLOB NOT NULL, PRIMARY KEY (position, epoch)
) WITHOUT ROWID;
CREATE TABLE registry_nodes (
    level INTEGER, position INTEGER, epoch INTEGER, node BLOB NOT NULL, PRIMARY KEY (level, position, epoch)
) WITHOUT ROWID;
"""


class ProofWriter:
    """Begins anew when the file is of another ledger or another version, or damaged."""

    def __init__(self, path: Path, genesis_hash: Hash) -> None:
        self._path = path
        self._db = sqlite3.connect(path)
        if not _is_usable(self._db, genesis_hash):
            self._db.close()
            remove(path)
            self._db = sqlite3.connect(path)
            _prepare(self._db)
            self._db.executescript(_SCHEMA)
            self._db.execute("INSERT INTO sealed VALUES (?, 0)", (genesis_hash,))
            self._db.commit()
            # Last: a file that has the version has all the rest, wherever its writer died.
            self._db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")

    @property
    def epoch(self) -> int:
        """The last epoch that is in, 0 for none."""
        return _read_epoch(self._db)

    def write(self, sealed: SealedEpoch) -> None:
        """One transaction an epoch. Writing an epoch again, after a restart, writes the same rows.

        A file that turns out to be damaged is removed, and the error raised: the next start makes it anew.
        """
        try:
            self._write(sealed)
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                self._db.close()
                remove(self._path)
            raise

    def _write(self, sealed: SealedEpoch) -> None:
        epoch = sealed.commitment.epoch
        with self._db:
            for asset_id, changes in enumerate(sealed.changes):
                self._db.execute("INSERT OR IGNORE INTO assets VALUES (?, ?)", (asset_id, changes.asset))
                self._db.executemany(
                    "INSERT OR IGNORE INTO owners VALUES (?, ?, ?)",
                    [(asset_id, leaf[20:40], index) for index, leaf in changes.leaves],
                )
                self._db.executemany(
                    "INSERT OR REPLACE INTO leaves VALUES (?, ?, ?, ?)",
                    [(asset_id, index, epoch, leaf) for index, leaf in changes.leaves],
                )
                self._db.executemany(
                    "INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?, ?)",
                    [(asset_id, level, index, epoch, node) for level, index, node in changes.nodes if level],
                )
            self._write_registry(epoch, sealed.registry)
            self._db.execute("UPDATE sealed SET epoch = max(epoch, ?)", (epoch,))

    def _write_registry(self, epoch: int, changes: RegistryChanges) -> None:
        self._db.execute("INSERT OR REPLACE INTO registry_counts VALUES (?, ?)", (epoch, changes.count))
        self._db.executemany(
            "INSERT OR IGNORE INTO registry_keys VALUES (?, ?)",
            [(get_key(entry), index) for index, entry in changes.leaves],
        )
        self._db.executemany(
            "INSERT OR REPLACE INTO registry_entries VALUES (?, ?, ?)",
            [(index, epoch, entry) for index, entry in changes.leaves],
        )
        self._db.executemany(
            "INSERT OR REPLACE INTO registry_nodes VALUES (?, ?, ?, ?)",
            [(level, index, epoch, node) for level, index, node in changes.nodes],
        )

    def close(self) -> None:
        self._db.close()


class ProofReader:
    """Read-only. One thread at a time."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False, isolation_level=None)

    @staticmethod
    def read_epoch(path: Path, genesis_hash: Hash) -> int:
        """The last epoch in a file, 0 when there is no such file, or one that a writer would begin anew."""
        if not path.exists():
            return 0
        db = sqlite3.connect(path)
        try:
            return _read_epoch(db) if _is_usable(db, genesis_hash) else 0
        finally:
            db.close()

    def close(self) -> None:
        self._db.close()

    def prove_account(self, asset: Address, owner: Address, epoch: int, account_count: int) -> AccountProof:
        """The account's leaf as of the end of `epoch`, in the tree of `account_count` accounts that it had then.

        Raises `Overloaded` while the epoch is not in (the file is being made again after it was lost), `NotFound` when
        the account had no leaf by then.
        """
        self._check_epoch(epoch)
        row = self._db.execute(
            "SELECT asset, position FROM owners JOIN assets ON assets.id = owners.asset "
            "WHERE address = ? AND owner = ?",
            (asset, owner),
        ).fetchone()
        if row is None or row[1] >= account_count:
            raise NotFound(f"a leaf of account 0x{owner.hex()} in asset 0x{asset.hex()} and epoch {epoch}")
        asset_id, index = row
        siblings = tuple(
            [
                self._read_node(asset_id, height, index >> height ^ 1, epoch, account_count)
                for height in range(compute_depth(account_count))
            ]
        )
        return AccountProof(decode_account_leaf(self._read_leaf(asset_id, index, epoch)), index, siblings)

    def prove_entry(self, key: RegistryKey, epoch: int) -> RegistryProof:
        """A registry entry as of the end of `epoch`.

        Raises `Overloaded` while the epoch is not in, `NotFound` when there was no such entry by then.
        """
        self._check_epoch(epoch)
        count = self._db.execute("SELECT count FROM registry_counts WHERE epoch = ?", (epoch,)).fetchone()[0]
        row = self._db.execute("SELECT position FROM registry_keys WHERE key = ?", (key,)).fetchone()
        if row is None or row[0] >= count:
            what = f"account 0x{key[1:].hex()}" if key[:1] == ACCOUNT_ENTRY else f"file 0x{key[1:].hex()}"
            raise NotFound(f"an entry of {what} in the registry of epoch {epoch}")
        index = row[0]
        entry: bytes = self._db.execute(
            "SELECT entry FROM registry_entries WHERE position = ? AND epoch <= ? ORDER BY epoch DESC LIMIT 1",
            (index, epoch),
        ).fetchone()[0]
        siblings = tuple(
            [
                self._read_registry_node(height, index >> height ^ 1, epoch, count)
                for height in range(compute_depth(count))
            ]
        )
        return RegistryProof(decode_entry(entry), index, count, siblings)

    def _read_registry_node(self, level: int, index: int, epoch: int, count: int) -> Hash:
        if index << level >= count:
            return LIST_PADDING[level]
        node: Hash = self._db.execute(
            "SELECT node FROM registry_nodes WHERE level = ? AND position = ? AND epoch <= ? "
            "ORDER BY epoch DESC LIMIT 1",
            (level, index, epoch),
        ).fetchone()[0]
        return node

    def _check_epoch(self, epoch: int) -> None:
        if (behind := epoch - _read_epoch(self._db)) > 0:
            raise Overloaded(behind)

    def _read_leaf(self, asset_id: int, index: int, epoch: int) -> bytes:
        leaf: bytes = self._db.execute(
            "SELECT leaf FROM leaves WHERE asset = ? AND position = ? AND epoch <= ? ORDER BY epoch DESC LIMIT 1",
            (asset_id, index, epoch),
        ).fetchone()[0]
        return leaf

    def _read_node(self, asset_id: int, level: int, index: int, epoch: int, account_count: int) -> SumNode:
        if index << level >= account_count:
            return EMPTY_SUM
        if level == 0:
            leaf = self._read_leaf(asset_id, index, epoch)
            return hash_account_leaf(leaf), decode_account_leaf(leaf).closing
        row = self._db.execute(
            "SELECT node FROM nodes WHERE asset = ? AND level = ? AND position = ? AND epoch <= ? "
            "ORDER BY epoch DESC LIMIT 1",
            (asset_id, level, index, epoch),
        ).fetchone()
        return unpack_sum_node(row[0])


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")


def _is_usable(db: sqlite3.Connection, genesis_hash: Hash) -> bool:
    try:
        _prepare(db)
        if db.execute("PRAGMA user_version").fetchone()[0] != _SCHEMA_VERSION:
            return False
        return bool(db.execute("SELECT genesis_hash = ? FROM sealed", (genesis_hash,)).fetchone()[0])
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return False
        raise


def _read_epoch(db: sqlite3.Connection) -> int:
    epoch: int = db.execute("SELECT epoch FROM sealed").fetchone()[0]
    return epoch
