"""ethereum.sqlite: what the committer must not forget, on disk before it acts on it.

Seals, signed transactions and inclusions of commitments, and how far the watcher has come. Every write is durable when
it returns (WAL, synchronous=FULL). All of it can be lost without harm: seals are in the journal, inclusions on the
chain. What is gone then is the record of attempts, and the fees of a transaction still in flight.

Writers may be on any thread; readers have a connection of their own, and do not wait for a write.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog

from chain.commitment import decode_commitment, encode_commitment
from chain.primitives import Address, Hash
from node.ethereum.credited import Anchor, CreditedDeposit
from node.ethereum.faults import WrongDeployment
from node.ethereum.submission import Attempt, AttemptOutcome, Fees, Inclusion, Seal
from node.sqlite_files import is_damage, remove

_log = structlog.get_logger("node.ethereum.store")

_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE deployment (l1_chain_id INTEGER NOT NULL, settlement BLOB NOT NULL);
CREATE TABLE seal (
    epoch INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    commitment BLOB NOT NULL,
    signature BLOB NOT NULL,
    sealed_at INTEGER NOT NULL
);
CREATE TABLE attempt (
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    nonce INTEGER NOT NULL,
    gas_limit INTEGER NOT NULL,
    max_fee INTEGER NOT NULL,
    priority_fee INTEGER NOT NULL,
    raw BLOB NOT NULL,
    sent_at INTEGER NOT NULL,
    l1_block INTEGER NOT NULL,
    outcome TEXT,
    gas_used INTEGER,
    effective_gas_price INTEGER,
    settled_at INTEGER,
    problem TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (epoch, number)
) WITHOUT ROWID;
CREATE INDEX attempt_open ON attempt (nonce) WHERE outcome IS NULL;
CREATE INDEX attempt_by_settlement ON attempt (settled_at) WHERE settled_at IS NOT NULL;
CREATE TABLE inclusion (
    epoch INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    included_at INTEGER NOT NULL,
    l1_transaction BLOB NOT NULL,
    l1_block INTEGER NOT NULL,
    l1_block_hash BLOB NOT NULL,
    gas_used INTEGER NOT NULL,
    effective_gas_price INTEGER NOT NULL
);
CREATE TABLE final_epoch (epoch INTEGER NOT NULL);
INSERT INTO final_epoch VALUES (0);
CREATE TABLE cursor (l1_block INTEGER NOT NULL, l1_block_hash BLOB NOT NULL);
"""
_CREDITED: Final = """
CREATE TABLE credited (
    asset BLOB NOT NULL,
    deposit_index INTEGER NOT NULL,
    account BLOB NOT NULL,
    amount BLOB NOT NULL,
    l1_block INTEGER NOT NULL,
    l1_block_hash BLOB NOT NULL,
    is_doubtful INTEGER NOT NULL,
    PRIMARY KEY (asset, deposit_index)
) WITHOUT ROWID;
CREATE INDEX credited_by_block ON credited (l1_block) WHERE NOT is_doubtful;
"""
_MIGRATIONS: Final = {
    1: "ALTER TABLE attempt ADD COLUMN problem TEXT NOT NULL DEFAULT '';" + _CREDITED,
}
"""Version → what makes the next one of it."""
NEWEST_CREDITED: Final = (
    "SELECT l1_block, l1_block_hash FROM credited WHERE NOT is_doubtful ORDER BY l1_block DESC LIMIT 1"
)
MAX_CREDITED_KEPT: Final = 2_000
"""Of each asset's credited deposits: a reorganisation that takes back more is noticed by their count alone."""
_ATTEMPT_COLUMNS: Final = (
    "epoch, number, hash, nonce, gas_limit, max_fee, priority_fee, raw, sent_at, l1_block, outcome, gas_used, "
    "effective_gas_price, problem"
)
_INCLUSION_COLUMNS: Final = (
    "epoch, digest, included_at, l1_transaction, l1_block, l1_block_hash, gas_used, effective_gas_price"
)


class EthereumStore:
    def __init__(self, path: Path, l1_chain_id: int, settlement: Address) -> None:
        """A damaged file is put aside, and another one begun.

        Raises `WrongDeployment` if the file belongs to another deployment, or to a later version of this program.
        """
        if _is_damaged(path):
            aside = path.with_name(path.name + ".damaged")
            _log.error("ethereum_store_damaged", file=str(path), put_aside=str(aside))
            path.replace(aside)
            remove(path)
        self._writer = _connect(path)
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute("PRAGMA synchronous = FULL")
        self._write_lock = threading.Lock()
        self._check(path, l1_chain_id, settlement)
        self._reader = _connect(path)
        self._reader.execute("PRAGMA query_only = ON")
        self._read_lock = threading.Lock()

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    # ----------------------------------------------------------------------------------------------------------- seals

    def put_seal(self, seal: Seal) -> None:
        """In the place of one of the same epoch that was found on chain."""
        with self._write() as cursor:
            cursor.execute("DELETE FROM seal WHERE epoch = ?", (seal.epoch,))
            _insert_seal(cursor, seal)

    def get_seal(self, epoch: int) -> Seal | None:
        row = self._read_one("SELECT commitment, signature, digest, sealed_at FROM seal WHERE epoch = ?", (epoch,))
        return None if row is None else Seal(decode_commitment(row[0]), row[1], row[2], row[3])

    def get_newest_sealed_epoch(self) -> int:
        """0 if there is none."""
        row = self._read_one("SELECT max(epoch) FROM seal")
        return row[0] or 0 if row else 0

    # -------------------------------------------------------------------------------------------------------- attempts

    def add_attempt(self, attempt: Attempt) -> None:
        with self._write() as cursor:
            cursor.execute(
                f"INSERT INTO attempt ({_ATTEMPT_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    attempt.epoch,
                    attempt.number,
                    attempt.hash,
                    attempt.nonce,
                    attempt.gas_limit,
                    attempt.fees.max_fee,
                    attempt.fees.priority_fee,
                    attempt.raw,
                    attempt.sent_at,
                    attempt.l1_block,
                    attempt.outcome,
                    attempt.gas_used,
                    attempt.effective_gas_price,
                    attempt.problem,
                ),
            )

    def get_attempts(self, epoch: int) -> tuple[Attempt, ...]:
        """In the order they were made."""
        return self._read_attempts("WHERE epoch = ? ORDER BY number", (epoch,))

    def get_open_attempts(self) -> tuple[Attempt, ...]:
        """Of all epochs: those of which it is not known what became of them."""
        return self._read_attempts("WHERE outcome IS NULL ORDER BY nonce, number")

    def settle_attempt(
        self,
        l1_transaction: Hash,
        outcome: AttemptOutcome,
        gas_used: int,
        effective_gas_price: int,
        now_ms: int,
        problem: str = "",
    ) -> None:
        with self._write() as cursor:
            _settle(cursor, l1_transaction, outcome, gas_used, effective_gas_price, now_ms, problem)

    def get_spent(self, since_ms: int) -> int:
        """Wei that attempts settled since then have cost."""
        rows = self._read("SELECT gas_used, effective_gas_price FROM attempt WHERE settled_at >= ?", (since_ms,))
        return sum([gas_used * price for gas_used, price in rows])

    # ------------------------------------------------------------------------------------------------------ inclusions

    def put_inclusion(self, inclusion: Inclusion, seal: Seal, now_ms: int) -> None:
        """With the commitment that was included, kept unless there is a seal of that epoch; settles the attempt that
        was included, if it was one of ours."""
        with self._write() as cursor:
            _insert_seal(cursor, seal)
            cursor.execute(
                f"INSERT OR REPLACE INTO inclusion ({_INCLUSION_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)",
                tuple([getattr(inclusion, field) for field in inclusion.__struct_fields__]),
            )
            _settle(
                cursor,
                inclusion.l1_transaction,
                AttemptOutcome.INCLUDED,
                inclusion.gas_used,
                inclusion.effective_gas_price,
                now_ms,
            )

    def get_inclusion(self, epoch: int) -> Inclusion | None:
        row = self._read_one(f"SELECT {_INCLUSION_COLUMNS} FROM inclusion WHERE epoch = ?", (epoch,))
        return None if row is None else Inclusion(*row)

    def get_newest_inclusion(self) -> Inclusion | None:
        row = self._read_one(f"SELECT {_INCLUSION_COLUMNS} FROM inclusion ORDER BY epoch DESC LIMIT 1")
        return None if row is None else Inclusion(*row)

    def get_diverged_epoch(self, after: int) -> int | None:
        """The first epoch above `after` of which another commitment was included than the one sealed here."""
        row = self._read_one(
            "SELECT min(inclusion.epoch) FROM inclusion JOIN seal USING (epoch) "
            "WHERE inclusion.epoch > ? AND inclusion.digest != seal.digest",
            (after,),
        )
        return None if row is None else row[0]

    def find_final_epoch(self, before_s: int, l1_block: int) -> int:
        """The newest epoch included before that time, and not after that block; 0 if there is none."""
        row = self._read_one(
            "SELECT epoch FROM inclusion WHERE included_at < ? AND l1_block <= ? ORDER BY epoch DESC LIMIT 1",
            (before_s, l1_block),
        )
        return 0 if row is None else row[0]

    def reopen(self, first_epoch: int) -> None:
        """A reorganisation took the inclusions from this epoch on: they and all their attempts are open again."""
        with self._write() as cursor:
            cursor.execute("DELETE FROM inclusion WHERE epoch >= ?", (first_epoch,))
            cursor.execute(
                "UPDATE attempt SET outcome = NULL, gas_used = NULL, effective_gas_price = NULL, settled_at = NULL, "
                "problem = '' WHERE epoch >= ?",
                (first_epoch,),
            )

    def get_final_epoch(self) -> int:
        row = self._read_one("SELECT epoch FROM final_epoch")
        return 0 if row is None else row[0]

    def set_final_epoch(self, epoch: int) -> None:
        with self._write() as cursor:
            cursor.execute("UPDATE final_epoch SET epoch = ?", (epoch,))

    # -------------------------------------------------------------------------------------------- the watcher's cursor

    def get_cursor(self) -> tuple[int, Hash] | None:
        """(number, hash) of the L1 block up to which everything is in the ledger."""
        row = self._read_one("SELECT l1_block, l1_block_hash FROM cursor")
        return None if row is None else (row[0], row[1])

    def forget_cursor(self) -> None:
        with self._write() as cursor:
            cursor.execute("DELETE FROM cursor")

    def set_cursor(self, l1_block: int, l1_block_hash: Hash) -> None:
        with self._write() as cursor:
            cursor.execute("DELETE FROM cursor")
            cursor.execute("INSERT INTO cursor VALUES (?, ?)", (l1_block, l1_block_hash))

    # ---------------------------------------------------------------------------------------- the deposits it credited

    def put_credited(self, deposits: Sequence[CreditedDeposit]) -> None:
        """In the place of what was noted of them before, and not in doubt. Of each asset the newest ones are kept."""
        with self._write() as cursor:
            cursor.executemany(
                "INSERT OR REPLACE INTO credited VALUES (?, ?, ?, ?, ?, ?, 0)",
                [
                    (
                        deposit.asset,
                        deposit.index,
                        deposit.account,
                        deposit.amount.to_bytes(16),
                        deposit.anchor.l1_block,
                        deposit.anchor.l1_block_hash,
                    )
                    for deposit in deposits
                ],
            )
            for asset in {deposit.asset for deposit in deposits}:
                cursor.execute(
                    "DELETE FROM credited WHERE asset = ?1 AND NOT is_doubtful AND deposit_index <= "
                    "(SELECT max(deposit_index) FROM credited WHERE asset = ?1) - ?2",
                    (asset, MAX_CREDITED_KEPT),
                )

    def get_doubtful_deposits(self) -> tuple[CreditedDeposit, ...]:
        """Those that `rewind` put in doubt, by asset and index."""
        rows = self._read(
            "SELECT asset, deposit_index, account, amount, l1_block, l1_block_hash FROM credited WHERE is_doubtful "
            "ORDER BY asset, deposit_index"
        )
        return tuple(
            [
                CreditedDeposit(asset, index, account, int.from_bytes(amount), Anchor(*anchor))
                for asset, index, account, amount, *anchor in rows
            ]
        )

    def get_credited_anchors(self) -> list[Anchor]:
        """The blocks of the deposits that are noted and not in doubt, the lowest first."""
        rows = self._read("SELECT DISTINCT l1_block, l1_block_hash FROM credited WHERE NOT is_doubtful ORDER BY 1")
        return [Anchor(*row) for row in rows]

    def get_newest_credited(self) -> Anchor | None:
        row = self._read_one(NEWEST_CREDITED)
        return None if row is None else Anchor(*row)

    def rewind(self, kept: Anchor | None, replaced: Anchor) -> None:
        """What was credited from blocks after `kept` is in doubt; a cursor at `replaced` goes back to `kept`."""
        with self._write() as cursor:
            first_lost = 0 if kept is None else kept.l1_block + 1
            cursor.execute("UPDATE credited SET is_doubtful = 1 WHERE l1_block >= ?", (first_lost,))
            cursor.execute(
                "DELETE FROM cursor WHERE l1_block = ? AND l1_block_hash = ?",
                (replaced.l1_block, replaced.l1_block_hash),
            )
            if cursor.rowcount and kept is not None and kept.l1_block < replaced.l1_block:
                cursor.execute("INSERT INTO cursor VALUES (?, ?)", (kept.l1_block, kept.l1_block_hash))

    # ------------------------------------------------------------------------------------------------------------- SQL

    def _check(self, path: Path, l1_chain_id: int, settlement: Address) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            with self._write() as cursor:
                _execute_all(cursor, _SCHEMA + _CREDITED)
                cursor.execute("INSERT INTO deployment VALUES (?, ?)", (l1_chain_id, settlement))
                cursor.execute(f"PRAGMA user_version = {_VERSION}")
        elif version > _VERSION:
            raise WrongDeployment("wrong_contract", f"{path.name} has version {version}, this program knows {_VERSION}")
        for old in range(version or _VERSION, _VERSION):
            with self._write() as cursor:
                _execute_all(cursor, _MIGRATIONS[old])
                cursor.execute(f"PRAGMA user_version = {old + 1}")
        found = self._writer.execute("SELECT l1_chain_id, settlement FROM deployment").fetchone()
        if found != (l1_chain_id, settlement):
            raise WrongDeployment(
                "wrong_contract",
                f"{path.name} belongs to contract 0x{found[1].hex()} on chain {found[0]}, "
                f"not to 0x{settlement.hex()} on chain {l1_chain_id}",
            )

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Cursor]:
        """One transaction: all of it or, when anything raises, nothing."""
        with self._write_lock:
            cursor = self._writer.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    def _read(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._read_lock:
            return self._reader.execute(statement, values).fetchall()

    def _read_one(self, statement: str, values: tuple[Any, ...] = ()) -> Any:
        with self._read_lock:
            return self._reader.execute(statement, values).fetchone()

    def _read_attempts(self, condition: str, values: tuple[Any, ...] = ()) -> tuple[Attempt, ...]:
        rows = self._read(f"SELECT {_ATTEMPT_COLUMNS} FROM attempt {condition}", values)
        return tuple([_make_attempt(row) for row in rows])


def _connect(path: Path) -> sqlite3.Connection:
    # Transactions are begun and ended in so many words; the locks above keep threads apart.
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)


def _execute_all(cursor: sqlite3.Cursor, statements: str) -> None:
    """Within the transaction: `executescript` would end it."""
    for statement in filter(str.strip, statements.split(";")):
        cursor.execute(statement)


def _is_damaged(path: Path) -> bool:
    """Reads all of it: a few rows an epoch."""
    if not path.exists():
        return False
    db = _connect(path)
    try:
        return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return True
        raise
    finally:
        db.close()


def _insert_seal(cursor: sqlite3.Cursor, seal: Seal) -> None:
    cursor.execute(
        "INSERT OR IGNORE INTO seal VALUES (?, ?, ?, ?, ?)",
        (seal.epoch, seal.digest, encode_commitment(seal.commitment), seal.signature, seal.sealed_at),
    )


def _settle(
    cursor: sqlite3.Cursor,
    l1_transaction: Hash,
    outcome: AttemptOutcome,
    gas_used: int,
    price: int,
    now_ms: int,
    problem: str = "",
) -> None:
    cursor.execute(
        "UPDATE attempt SET outcome = ?, gas_used = ?, effective_gas_price = ?, settled_at = ?, problem = ? "
        "WHERE hash = ?",
        (outcome, gas_used, price, now_ms, problem, l1_transaction),
    )


def _make_attempt(row: Any) -> Attempt:
    epoch, number, l1_hash, nonce, gas_limit, max_fee, priority_fee, raw, sent_at, l1_block = row[:10]
    outcome, gas, price, problem = row[10:]
    return Attempt(
        epoch=epoch,
        number=number,
        hash=l1_hash,
        nonce=nonce,
        gas_limit=gas_limit,
        fees=Fees(max_fee, priority_fee),
        raw=raw,
        sent_at=sent_at,
        l1_block=l1_block,
        outcome=None if outcome is None else AttemptOutcome(outcome),
        gas_used=gas,
        effective_gas_price=price,
        problem=problem,
    )
