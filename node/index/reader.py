"""Answers from the index. Every answer shows one state of the ledger, some moments behind the journal.

Whatever is looked up is searched in an index of the file, and every list is bounded: by its limit, and, where a filter
has no index of its own, by how many records are visited to fill one page. No answer takes longer as history grows.
"""

import sqlite3
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from chain.commitment import decode_commitment
from chain.errors import BrokenInvariant
from chain.primitives import Address, Hash
from chain.statement import Credit, Debit, Withdrawal
from node.index.deposits import list_deposits, read_deposit
from node.index.files import (
    FileFilter,
    find_purchase,
    list_earnings,
    list_files,
    list_prices,
    list_tags,
    read_file,
    read_names,
)
from node.index.instructions import list_instructions, read_instruction
from node.index.lookups import (
    check_limit,
    find_asset,
    find_file,
    find_record,
    find_time_span,
    list_assets,
    list_holdings,
)
from node.index.payments import PaymentFilter, count_payments, list_payments, read_payment
from node.index.records import (
    Activity,
    AssetCounters,
    Counters,
    Earnings,
    Holding,
    IndexedBlock,
    IndexedDeposit,
    IndexedEpoch,
    IndexedFile,
    IndexedInstruction,
    IndexedPayment,
    IndexedRecord,
    Page,
    Period,
    PricePoint,
    Registration,
    Seal,
    StatementEntry,
    StatementTotals,
    TagCount,
    WithdrawalPlace,
)
from node.index.registrations import count_registrations, list_registrations, list_roles
from node.index.schema import (
    MAX_PLACE,
    MAX_RECORDS,
    RECORD_BITS,
    connect_reading,
    decode_amount,
    is_current,
    pack_place,
    unpack_place,
)
from node.index.statements import (
    count_entries_before,
    find_page_before,
    list_credits,
    list_debits,
    list_entries,
    read_totals,
)

MAX_SLICE: Final = 65_536
"""Leaves of a tree that are read at once."""

_MAX_ADDRESSES: Final = 65_536
"""Addresses remembered by account id."""

_SELECT_BLOCK: Final = "SELECT number, hash, timestamp, record_count, epoch FROM blocks"
_SELECT_EPOCH: Final = (
    "SELECT number, first_block, last_block, record_count, payment_count, cut_at, commitment IS NOT NULL FROM epochs"
)


_COUNTERS: Final = "payment_count, volume, deposit_count, deposited, withdrawal_count, withdrawn"
"""Columns of `assets` and of `cuts`."""

_MAX_BLOCK: Final = MAX_PLACE >> RECORD_BITS


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
            return _build_counters(progress, _read_assets(db))

    # --- records and blocks

    def locate(self, record_id: Hash) -> tuple[int, int] | None:
        """(block, record) of a payment, a deposit or an instruction."""
        with self._snapshot() as db:
            place = find_record(db, record_id)
            return None if place is None else unpack_place(place)

    def get_record(self, record_id: Hash) -> IndexedRecord | None:
        """A payment, a deposit or an instruction."""
        with self._snapshot() as db:
            place = find_record(db, record_id)
            return None if place is None else self._read_record(db, place)

    def get_record_at(self, block: int, record: int) -> IndexedRecord | None:
        if not 0 <= record < MAX_RECORDS:
            return None
        with self._snapshot() as db:
            return self._read_record(db, pack_place(min(_clamp(block), _MAX_BLOCK), record))

    def list_records(self, block: int, start: int = 0, limit: int = 50) -> list[IndexedRecord]:
        """Of a block, in its order, from index `start` on. Raises `MalformedRequest` (limit)."""
        check_limit(limit)
        with self._snapshot() as db:
            found = self.get_block(block)
            stop = 0 if found is None else min(start + limit, found.record_count)
            records = [self._read_record(db, pack_place(block, index)) for index in range(max(start, 0), stop)]
            return [record for record in records if record is not None]

    def list_payments(
        self,
        wanted: PaymentFilter | None = None,
        cursor: str | None = None,
        limit: int = 50,
        *,
        is_ascending: bool = False,
    ) -> Page[IndexedPayment]:
        """Newest first, or last. Following the cursor, newest first, shows every payment that was there at the first
        page exactly once, and none that came later.

        Raises, in this order: `MalformedRequest` (limit not from 1 to 1000, cursor), `UnknownKind`, `MalformedRequest`
        (reference zero; direction or counterparty without account).
        """
        with self._snapshot() as db:
            return list_payments(
                db, self._get_address, wanted or PaymentFilter(), cursor, limit, is_ascending=is_ascending
            )

    def count_payments(self, wanted: PaymentFilter, cursor: str | None = None) -> tuple[int, str | None]:
        """How many `list_payments` shows from the cursor on, as far as one look goes, and where the next look begins;
        None after the last. For exports: what it costs grows with what is counted. Raises as `list_payments`."""
        with self._snapshot() as db:
            return count_payments(db, wanted, cursor)

    def list_deposits(
        self,
        account: Address | None = None,
        cursor: str | None = None,
        limit: int = 50,
        *,
        assets: Collection[Address] | None = None,
        is_ascending: bool = False,
    ) -> Page[IndexedDeposit]:
        """Newest first, or last, of one account or of all. Of `assets` alone, a page may be short and go on. Raises
        `MalformedRequest` (limit, cursor)."""
        with self._snapshot() as db:
            return list_deposits(
                db, self._get_address, account, cursor, limit, assets=assets, is_ascending=is_ascending
            )

    def list_instructions(
        self,
        account: Address | None = None,
        file: Hash | None = None,
        cursor: str | None = None,
        limit: int = 50,
        *,
        is_ascending: bool = False,
    ) -> Page[IndexedInstruction]:
        """Newest first, or last; of an account, of a file, or of all. Raises `MalformedRequest` (limit, cursor)."""
        with self._snapshot() as db:
            return list_instructions(db, self._get_address, account, file, cursor, limit, is_ascending=is_ascending)

    # --- the data exchange

    def get_file(self, file: Hash) -> IndexedFile | None:
        with self._snapshot() as db:
            place = find_file(db, file)
            return None if place is None else read_file(db, self._get_address, place)

    def list_files(
        self,
        wanted: FileFilter | None = None,
        cursor: str | None = None,
        limit: int = 50,
        *,
        is_ascending: bool = False,
    ) -> Page[IndexedFile]:
        """Newest first, or last. Where few of many are wanted, a page may be short and go on. Raises
        `MalformedRequest` (limit, cursor)."""
        with self._snapshot() as db:
            return list_files(db, self._get_address, wanted or FileFilter(), cursor, limit, is_ascending=is_ascending)

    def list_prices(self, file: Hash, cursor: str | None = None, limit: int = 50) -> Page[PricePoint]:
        """What a file cost from when on, newest first. Raises `MalformedRequest` (limit, cursor)."""
        with self._snapshot() as db:
            return list_prices(db, file, cursor, limit)

    def get_file_names(self, files: Collection[Hash]) -> dict[Hash, str]:
        """File → its name; without those that are not listed."""
        with self._snapshot() as db:
            return read_names(db, files)

    def find_purchase(self, file: Hash, buyer: Address) -> tuple[int, int] | None:
        """(block, record) of the payment by which the buyer bought the file."""
        with self._snapshot() as db:
            place = find_purchase(db, file, buyer)
            return None if place is None else unpack_place(place)

    def list_tags(self, limit: int = 50) -> list[TagCount]:
        """The tags of most files that are not delisted. Raises `MalformedRequest` (limit)."""
        with self._snapshot() as db:
            return list_tags(db, limit)

    def get_earnings(self, account: Address) -> tuple[Earnings, ...]:
        """What the account got on the data exchange, by asset and part."""
        with self._snapshot() as db:
            return list_earnings(db, account)

    def get_registrations(self, account: Address) -> tuple[Registration, ...]:
        """All roles of an account."""
        with self._snapshot() as db:
            return list_roles(db, self._get_address, account)

    def list_registrations(
        self,
        role: str | None = None,
        validator: Address | None = None,
        cursor: str | None = None,
        limit: int = 50,
        *,
        is_ascending: bool = False,
    ) -> Page[Registration]:
        """Newest first, or last; of a role, of a validator's owners, or of all. Raises `MalformedRequest` (limit,
        cursor), `UnknownRole`."""
        with self._snapshot() as db:
            return list_registrations(db, self._get_address, role, validator, cursor, limit, is_ascending=is_ascending)

    def count_registrations(self, role: str | None = None, validator: Address | None = None) -> int:
        """How many `list_registrations` shows in all. Raises `UnknownRole`."""
        with self._snapshot() as db:
            return count_registrations(db, role, validator)

    # --- accounts, blocks and epochs

    def get_holdings(self, account: Address) -> list[Holding]:
        """What the account has, and has done, in each asset in which it has an entry; in the contract's order."""
        with self._snapshot() as db:
            return list_holdings(db, account)

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

    def find_first_block(self, second: int) -> int | None:
        """The number of the first block whose time, in whole Unix seconds, is `second` or later."""
        with self._snapshot() as db:
            place, _ = find_time_span(db, second, None)
            return None if place == MAX_PLACE else unpack_place(place)[0]

    def list_blocks(self, before: int | None = None, limit: int = 50, first: int = 1) -> list[IndexedBlock]:
        """Newest first, those with numbers from `first` to below `before`. Raises `MalformedRequest` (limit)."""
        check_limit(limit)
        with self._snapshot() as db:
            rows = db.execute(
                f"{_SELECT_BLOCK} WHERE number >= ? AND number < ? ORDER BY number DESC LIMIT ?",
                (_clamp(first), _clamp(before), limit),
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

    def get_epoch_totals(self, number: int) -> tuple[AssetCounters, ...] | None:
        """What an epoch moved in each asset, of the open one so far; in the contract's order. None when there is no
        such epoch."""
        with self._snapshot() as db:
            row = db.execute("SELECT cut_at FROM epochs WHERE number = ?", (_clamp(number),)).fetchone()
            if row is None:
                return None
            before = _read_cut(db, number - 1)
            after = _read_assets(db) if row[0] is None else _read_cut(db, number)
            return tuple([_subtract(counters, before.get(asset)) for asset, counters in after.items()])

    def list_activity(self, length: int, since: int, limit: int = 10_000) -> list[Activity]:
        """Spans of `length` (one of `ACTIVITY_LENGTHS`) that begin at `since` or later and had payments, in order, then
        by the contract's order of assets. Milliseconds."""
        with self._snapshot() as db:
            assets = list_assets(db)
            rows = db.execute(
                "SELECT start, asset, payment_count, volume FROM activity WHERE length = ? AND start >= ? "
                "ORDER BY start, asset LIMIT ?",
                (length, _clamp(since), limit),
            ).fetchall()
            return [
                Activity(start, assets[asset], count, decode_amount(volume)) for start, asset, count, volume in rows
            ]

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

    def get_statement_totals(self, account: Address, asset: Address, period: Period) -> StatementTotals | None:
        """Opening, sums and closing; of what goes on: so far. None when there is no such epoch, zeros for an account
        or asset that is not known."""
        with self._snapshot() as db:
            return read_totals(db, account, asset, _clamp_period(period))

    def list_entries(
        self, account: Address, asset: Address, period: Period, cursor: str | None = None, limit: int = 50
    ) -> Page[StatementEntry]:
        """Debits and credits in ledger order, each with the balance after it, which goes on from the opening one.

        Raises `MalformedRequest` (limit not from 1 to 1000, cursor)."""
        with self._snapshot() as db:
            return list_entries(db, account, asset, _clamp_period(period), cursor, limit)

    def find_entries_before(
        self, account: Address, asset: Address, period: Period, cursor: str, limit: int = 50
    ) -> str | None:
        """The cursor of the page that ends where the one of `cursor` begins; None when that is the first page.

        Raises `MalformedRequest` (limit not from 1 to 1000, cursor)."""
        with self._snapshot() as db:
            return find_page_before(db, account, asset, _clamp_period(period), cursor, limit)

    def count_entries_before(self, account: Address, asset: Address, period: Period, cursor: str) -> int:
        """How many entries come before the page of `cursor`. Raises `MalformedRequest` (cursor)."""
        with self._snapshot() as db:
            return count_entries_before(db, account, asset, _clamp_period(period), cursor)

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
    def at_one_moment(self) -> Iterator[None]:
        """All that this thread asks within shows the same state of the ledger."""
        with self._snapshot():
            yield

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, inside a transaction: all that it reads is of one moment."""
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = connect_reading(self._path)
            with self._lock:
                self._connections.append(db)
        if db.in_transaction:
            yield db
            return
        db.execute("BEGIN")
        try:
            yield db
        finally:
            db.execute("COMMIT")

    def _read_record(self, db: sqlite3.Connection, place: int) -> IndexedRecord | None:
        addresses = self._get_address
        return (
            read_payment(db, addresses, place)
            or read_deposit(db, addresses, place)
            or read_instruction(db, addresses, place)
        )

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


def _clamp_period(period: Period) -> Period:
    return _clamp(period) if isinstance(period, int) else period


def _build_epoch(row: tuple[Any, ...]) -> IndexedEpoch:
    number, first_block, last_block, record_count, payment_count, cut_at, is_sealed = row
    return IndexedEpoch(number, first_block, last_block, record_count, payment_count, cut_at, bool(is_sealed))


def _build_counters(progress: tuple[Any, ...], assets: dict[Address, AssetCounters]) -> Counters:
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
        assets=tuple(assets.values()),
    )


def _read_assets(db: sqlite3.Connection) -> dict[Address, AssetCounters]:
    """As they stand now, in the contract's order."""
    rows = db.execute(f"SELECT address, {_COUNTERS} FROM assets ORDER BY id")
    return {row[0]: _build_asset_counters(row) for row in rows}


def _read_cut(db: sqlite3.Connection, epoch: int) -> dict[Address, AssetCounters]:
    """As they stood when an epoch was cut; nothing before the first."""
    assets = list_assets(db)
    rows = db.execute(f"SELECT asset, {_COUNTERS} FROM cuts WHERE epoch = ? ORDER BY asset", (epoch,))
    return {assets[asset]: _build_asset_counters((assets[asset], *counters)) for asset, *counters in rows}


def _subtract(after: AssetCounters, before: AssetCounters | None) -> AssetCounters:
    if before is None:
        return after
    return AssetCounters(
        after.asset,
        *[getattr(after, name) - getattr(before, name) for name in AssetCounters.__struct_fields__ if name != "asset"],
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
