"""Answers from the index. Every answer shows one state of the ledger, some moments behind the journal.

Whatever is looked up is searched in an index of the file, and every list is bounded: by its limit, and, where a filter
has no index of its own, by how many records are visited to fill one page. No answer takes longer as history grows.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from chain.commitment import decode_commitment
from chain.errors import BrokenInvariant
from chain.primitives import Address, Hash
from chain.statement import Credit, Debit, Withdrawal
from node.index.lookups import check_limit, find_asset, find_record, list_assets
from node.index.payments import PaymentFilter, list_payments, read_payment
from node.index.records import (
    AssetCounters,
    Counters,
    IndexedBlock,
    IndexedEpoch,
    IndexedPayment,
    Page,
    Seal,
    StatementEntry,
    StatementTotals,
    WithdrawalPlace,
)
from node.index.schema import MAX_PLACE, connect_reading, decode_amount, is_current, unpack_place
from node.index.statements import list_credits, list_debits, list_entries, read_totals

MAX_SLICE: Final = 65_536
"""Leaves of a tree that are read at once."""

_MAX_ADDRESSES: Final = 65_536
"""Addresses remembered by account id."""

_SELECT_BLOCK: Final = "SELECT number, hash, timestamp, record_count, epoch FROM blocks"
_SELECT_EPOCH: Final = (
    "SELECT number, first_block, last_block, record_count, payment_count, cut_at, commitment IS NOT NULL FROM epochs"
)


class IndexReader:
    """Read-only, for any number of threads: each gets a connection of its own. The file must be there, as `IndexWriter`
    makes it. Anything not known is answered with None or an empty list."""

    def __init__(self, path: Path) -> None:
        """Raises `sqlite3.OperationalError` when there is no file, `BrokenInvariant` when it has other tables."""
        self._path = path
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        self._addresses: dict[int, Address] = {}
        with self._snapshot() as db:
            if not is_current(db):
                raise BrokenInvariant(f"{path} is not an index of this version, which its writer would rebuild")

    def close(self) -> None:
        """No thread may be asking any more."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    # --- how far the index is, and what it counted

    def get_height(self) -> int:
        """The number of journal entries that are in: whatever is asked after this shows at least those."""
        with self._snapshot() as db:
            height: int = db.execute("SELECT height FROM progress").fetchone()[0]
            return height

    def get_counters(self) -> Counters:
        with self._snapshot() as db:
            progress = db.execute(
                "SELECT height, block, timestamp, epoch, sealed_epoch, record_count, payment_count, account_count "
                "FROM progress"
            ).fetchone()
            assets = db.execute(
                "SELECT address, payment_count, volume, deposit_count, deposited, withdrawal_count, withdrawn "
                "FROM assets ORDER BY id"
            ).fetchall()
            return _build_counters(progress, assets)

    # --- records and blocks

    def locate(self, record_id: Hash) -> tuple[int, int] | None:
        """(block, record) of a payment or deposit."""
        with self._snapshot() as db:
            place = find_record(db, record_id)
            return None if place is None else unpack_place(place)

    def get_payment(self, payment_id: Hash) -> IndexedPayment | None:
        with self._snapshot() as db:
            place = find_record(db, payment_id)
            return None if place is None else read_payment(db, self._get_address, place)

    def list_payments(
        self, wanted: PaymentFilter | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[IndexedPayment]:
        """Newest first. Following the cursor shows every payment that was there at the first page exactly once, and
        none that came later.

        Raises, in this order: `MalformedRequest` (limit not from 1 to 1000, cursor), `UnknownKind`, `MalformedRequest`
        (reference zero).
        """
        with self._snapshot() as db:
            return list_payments(db, self._get_address, wanted or PaymentFilter(), cursor, limit)

    def get_block(self, number: int) -> IndexedBlock | None:
        with self._snapshot() as db:
            row = db.execute(f"{_SELECT_BLOCK} WHERE number = ?", (_clamp(number),)).fetchone()
            return None if row is None else IndexedBlock(*row)

    def find_block(self, block_hash: Hash) -> IndexedBlock | None:
        with self._snapshot() as db:
            row = db.execute(
                f"{_SELECT_BLOCK} WHERE substr(hash, 1, 8) = ? AND hash = ?", (block_hash[:8], block_hash)
            ).fetchone()
            return None if row is None else IndexedBlock(*row)

    def list_blocks(self, before: int | None = None, limit: int = 50) -> list[IndexedBlock]:
        """Newest first, those with numbers below `before`. Raises `MalformedRequest` (limit)."""
        check_limit(limit)
        with self._snapshot() as db:
            rows = db.execute(
                f"{_SELECT_BLOCK} WHERE number < ? ORDER BY number DESC LIMIT ?", (_clamp(before), limit)
            ).fetchall()
            return [IndexedBlock(*row) for row in rows]

    # --- epochs

    def get_epoch(self, number: int) -> IndexedEpoch | None:
        with self._snapshot() as db:
            row = db.execute(f"{_SELECT_EPOCH} WHERE number = ?", (_clamp(number),)).fetchone()
            return None if row is None else _build_epoch(row)

    def get_epoch_of_block(self, number: int) -> int | None:
        block = self.get_block(number)
        return None if block is None else block.epoch

    def list_epochs(self, before: int | None = None, limit: int = 50) -> list[IndexedEpoch]:
        """Newest first, those with numbers below `before`; the very first is the open one. Raises `MalformedRequest`
        (limit)."""
        check_limit(limit)
        with self._snapshot() as db:
            rows = db.execute(
                f"{_SELECT_EPOCH} WHERE number < ? ORDER BY number DESC LIMIT ?", (_clamp(before), limit)
            ).fetchall()
            return [_build_epoch(row) for row in rows]

    def list_block_hashes(self, epoch: int, start: int = 0, limit: int = MAX_SLICE) -> list[Hash]:
        """The leaves of the epoch's blocks tree from index `start` on. Raises `MalformedRequest` (limit)."""
        check_limit(limit, MAX_SLICE)
        with self._snapshot() as db:
            row = db.execute("SELECT first_block, last_block FROM epochs WHERE number = ?", (_clamp(epoch),)).fetchone()
            if row is None:
                return []
            rows = db.execute(
                "SELECT hash FROM blocks WHERE number >= ? AND number <= ? ORDER BY number LIMIT ?",
                (_clamp(row[0] + _clamp(start)), row[1], limit),
            ).fetchall()
            return [block_hash for (block_hash,) in rows]

    def get_seal(self, epoch: int) -> Seal | None:
        """None also when the epoch is known and not sealed yet."""
        with self._snapshot() as db:
            row = db.execute("SELECT commitment, signature FROM epochs WHERE number = ?", (_clamp(epoch),)).fetchone()
            return None if row is None or row[0] is None else Seal(decode_commitment(row[0]), row[1])

    def get_sealed_epoch(self) -> int:
        """The last epoch that is sealed, 0 for none."""
        with self._snapshot() as db:
            epoch: int = db.execute("SELECT sealed_epoch FROM progress").fetchone()[0]
            return epoch

    # --- statements

    def get_statement_totals(self, account: Address, asset: Address, epoch: int) -> StatementTotals | None:
        """Opening, sums and closing; of the open epoch: so far. None when there is no such epoch, zeros for an account
        or asset that is not known."""
        with self._snapshot() as db:
            return read_totals(db, account, asset, _clamp(epoch))

    def list_entries(
        self, account: Address, asset: Address, epoch: int, cursor: str | None = None, limit: int = 50
    ) -> Page[StatementEntry]:
        """Debits and credits in ledger order, each with the balance after it, which goes on from the opening one.

        Raises `MalformedRequest` (limit not from 1 to 1000, cursor)."""
        with self._snapshot() as db:
            return list_entries(db, account, asset, _clamp(epoch), cursor, limit)

    def list_debits(
        self, account: Address, asset: Address, epoch: int, cursor: str | None = None, limit: int = 1000
    ) -> Page[Debit]:
        """The leaves of the debits tree, in its order: ascending by nonce. Raises as `list_entries`."""
        with self._snapshot() as db:
            return list_debits(db, account, asset, _clamp(epoch), cursor, limit)

    def list_credits(
        self, account: Address, asset: Address, epoch: int, cursor: str | None = None, limit: int = 1000
    ) -> Page[Credit]:
        """The leaves of the credits tree, in its order: the ledger's. Raises as `list_entries`."""
        with self._snapshot() as db:
            return list_credits(db, account, asset, _clamp(epoch), cursor, limit)

    # --- withdrawals

    def list_withdrawals(self, epoch: int, asset: Address, start: int = 0, limit: int = MAX_SLICE) -> list[Withdrawal]:
        """The leaves of the withdrawals tree of (epoch, asset) from index `start` on. Raises `MalformedRequest`
        (limit)."""
        check_limit(limit, MAX_SLICE)
        with self._snapshot() as db:
            rows = db.execute(
                "SELECT p.id, w.recipient, p.total FROM withdrawals w CROSS JOIN payments p ON p.place = w.place "
                "WHERE w.epoch = ? AND w.asset = ? AND w.position >= ? ORDER BY w.position LIMIT ?",
                (_clamp(epoch), find_asset(db, asset), _clamp(start), limit),
            ).fetchall()
            return [Withdrawal(record_id, recipient, decode_amount(total)) for record_id, recipient, total in rows]

    def find_withdrawal(self, payment_id: Hash) -> WithdrawalPlace | None:
        """Where a payment of kind `withdraw` stands among its epoch's withdrawals."""
        with self._snapshot() as db:
            row = db.execute(
                "SELECT epoch, asset, position FROM withdrawals WHERE place = ?", (find_record(db, payment_id),)
            ).fetchone()
            return None if row is None else WithdrawalPlace(row[0], list_assets(db)[row[1]], row[2])

    # --- connections

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, inside a transaction: all that it reads is of one moment."""
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = connect_reading(self._path)
            with self._lock:
                self._connections.append(db)
        db.execute("BEGIN")
        try:
            yield db
        finally:
            db.execute("COMMIT")

    def _get_address(self, db: sqlite3.Connection, account: int) -> Address:
        """An account's address never changes, so what was read once is kept."""
        address = self._addresses.get(account)
        if address is None:
            row = db.execute("SELECT address FROM accounts WHERE id = ?", (account,)).fetchone()
            address = row[0]
            if len(self._addresses) >= _MAX_ADDRESSES:
                self._addresses.clear()
            self._addresses[account] = address
        return address


def _clamp(number: int | None) -> int:
    """What SQLite can compare: nothing that the index holds is above it."""
    return MAX_PLACE if number is None else max(0, min(number, MAX_PLACE))


def _build_epoch(row: tuple[Any, ...]) -> IndexedEpoch:
    number, first_block, last_block, record_count, payment_count, cut_at, is_sealed = row
    return IndexedEpoch(number, first_block, last_block, record_count, payment_count, cut_at, bool(is_sealed))


def _build_counters(progress: tuple[Any, ...], assets: list[tuple[Any, ...]]) -> Counters:
    height, block, timestamp, epoch, sealed_epoch, record_count, payment_count, account_count = progress
    return Counters(
        height=height,
        block=block,
        timestamp=timestamp,
        epoch=epoch,
        sealed_epoch=sealed_epoch,
        record_count=record_count,
        payment_count=payment_count,
        account_count=account_count,
        assets=tuple([_build_asset_counters(asset) for asset in assets]),
    )


def _build_asset_counters(row: tuple[Any, ...]) -> AssetCounters:
    address, payment_count, volume, deposit_count, deposited, withdrawal_count, withdrawn = row
    return AssetCounters(
        asset=address,
        payment_count=payment_count,
        volume=decode_amount(volume),
        deposit_count=deposit_count,
        deposited=decode_amount(deposited),
        withdrawal_count=withdrawal_count,
        withdrawn=decode_amount(withdrawn),
    )
