"""Writes the index from the journal's entries, a chunk a transaction.

The height of the next entry is written with the rows that follow from the entries before it, so the index always says
exactly how far it is, whenever the process dies. Entries come here only once the journal holds them, so the index is
behind the journal or level with it; synchronous = NORMAL may lose the last transactions to a power cut, never a part
of one, and they are then written again.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from msgspec.structs import astuple

from chain.block import Block, Deposit, hash_header
from chain.commitment import encode_commitment
from chain.errors import BrokenInvariant
from chain.kinds import EFFECTS, KIND_CODES, WITHDRAW
from chain.params import Domain, Parameters
from chain.payment import SignedPayment
from chain.primitives import MAX_ASSETS, ZERO_HASH, Address, Hash, Signature
from node.entries import (
    AssetEntry,
    BlockEntry,
    CutEntry,
    GenesisEntry,
    SealEntry,
    decode_entry,
    encode_genesis,
)
from node.index.market import INSERTS as MARKET_INSERTS
from node.index.market import MarketWriter
from node.index.schema import (
    ACTIVITY_LENGTHS,
    MAX_RECORDS,
    RECORD_BITS,
    SCHEMA,
    decode_amount,
    encode_amount,
    is_current,
    pack_holding,
)

_CACHE_KIB: Final = 64 * 1024
"""Pages that SQLite keeps: the upper levels of every tree, and all of a small index."""

_CHECKPOINT_PAGES: Final = 8192
"""32 MiB of write-ahead log between checkpoints, so that a page written by several chunks is copied once."""

_MAX_REMEMBERED: Final = 2**18
"""Accounts, and sums of holdings, that the writer keeps beside SQLite; beyond, it forgets and looks them up."""

_MAX_REMEMBERED_FILES: Final = 2**16

_INSERTS: Final = {
    "accounts": "INSERT INTO accounts VALUES (?, ?)",
    "blocks": "INSERT INTO blocks VALUES (?, ?, ?, ?, ?)",
    "payments": "INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "outputs": "INSERT INTO outputs VALUES (?, ?, ?, ?)",
    "deposits": "INSERT INTO deposits VALUES (?, ?, ?, ?, ?, ?)",
    "withdrawals": "INSERT INTO withdrawals VALUES (?, ?, ?, ?, ?)",
    "debits": "INSERT INTO debits VALUES (?, ?, ?, ?)",
    "credits": "INSERT INTO credits VALUES (?, ?, ?, ?, ?)",
    "cuts": "INSERT INTO cuts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    **MARKET_INSERTS,
}
_REPLACE_ASSET: Final = "REPLACE INTO assets VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_REPLACE_EPOCH: Final = "REPLACE INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_REPLACE_ACTIVITY: Final = "REPLACE INTO activity VALUES (?, ?, ?, ?, ?)"
_REPLACE_PROGRESS: Final = "REPLACE INTO progress VALUES (0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

_LAST_DEBIT: Final = "SELECT debited, count FROM debits WHERE holding = ? ORDER BY place DESC LIMIT 1"
_LAST_CREDIT: Final = "SELECT credited, count FROM credits WHERE holding = ? ORDER BY place DESC, output DESC LIMIT 1"

_Row: TypeAlias = tuple[Any, ...]


class _Progress(msgspec.Struct):
    """The one row of `progress`, kept up to date in memory."""

    genesis_hash: Hash
    genesis: bytes | None
    height: int
    block: int
    block_hash: Hash
    timestamp: int
    epoch: int
    sealed_epoch: int
    record_count: int
    payment_count: int
    account_count: int


class _Asset(msgspec.Struct):
    """A row of `assets`, kept up to date in memory, with its sums as integers."""

    id: int
    address: Address
    payment_count: int = 0
    volume: int = 0
    deposit_count: int = 0
    deposited: int = 0
    withdrawal_count: int = 0
    withdrawn: int = 0

    @classmethod
    def from_row(cls, row: _Row) -> "_Asset":
        asset_id, address, payments, volume, deposits, deposited, withdrawals, withdrawn = row
        return cls(
            id=asset_id,
            address=address,
            payment_count=payments,
            volume=decode_amount(volume),
            deposit_count=deposits,
            deposited=decode_amount(deposited),
            withdrawal_count=withdrawals,
            withdrawn=decode_amount(withdrawn),
        )

    def to_row(self) -> _Row:
        return (self.id, self.address, *self.to_counters())

    def to_counters(self) -> _Row:
        return (
            self.payment_count,
            encode_amount(self.volume),
            self.deposit_count,
            encode_amount(self.deposited),
            self.withdrawal_count,
            encode_amount(self.withdrawn),
        )


class _Epoch(msgspec.Struct):
    """The row of an epoch that is open or waits for its seal, kept up to date in memory."""

    number: int
    first_block: int
    last_block: int
    record_count: int = 0
    payment_count: int = 0
    cut_at: int | None = None
    commitment: bytes | None = None
    signature: Signature | None = None


class _Sum(msgspec.Struct):
    """Of one asset's debits, or credits, of one account."""

    amount: int = 0
    count: int = 0


class IndexWriter:
    """The only writer of its file. Not for use by two threads."""

    def __init__(self, path: Path, genesis_hash: Hash) -> None:
        """Goes on with the file if it is an index of this ledger with these tables, else deletes it and begins anew.

        Readers of a deleted file go on reading what is no longer written: open them after the writer.
        """
        self._db = _open(path, genesis_hash)
        self._parameters: Parameters | None = None
        self._market: MarketWriter | None = None
        self._load()

    @property
    def height(self) -> int:
        """Height of the next journal entry wanted: the number of entries that are in."""
        return self._progress.height

    def apply(self, entries: Iterable[tuple[int, bytes]]) -> None:
        """Writes what follows from `entries`, (height, journal entry), in one transaction: all of it or none.

        Raises `BrokenInvariant` when the heights do not go on from `height` one by one, or an entry contradicts those
        before it; `MalformedBytes` when it is no entry. What was written before stays, and `height` with it.
        """
        try:
            for height, data in entries:
                if height != self._progress.height:
                    raise BrokenInvariant(f"entry {height} comes where the index wants {self._progress.height}")
                self._add_entry(data)
                self._progress.height += 1
            self._write()
        except BaseException:
            self._load()
            raise

    def close(self) -> None:
        self._db.close()

    # --- from entries to rows

    def _add_entry(self, data: bytes) -> None:
        entry = decode_entry(data)
        if isinstance(entry, GenesisEntry):
            self._add_genesis(entry)
        elif self._parameters is None or self._market is None:
            raise BrokenInvariant("the journal does not begin with the ledger's parameters")
        elif isinstance(entry, BlockEntry):
            self._add_block(entry.block, self._parameters.domain, self._market)
        elif isinstance(entry, AssetEntry):
            self._add_asset(entry.asset)
        elif isinstance(entry, CutEntry):
            self._add_cut(entry)
        else:
            self._add_seal(entry)

    def _add_genesis(self, entry: GenesisEntry) -> None:
        if self._progress.height != 0 or entry.parameters.genesis_hash != self._progress.genesis_hash:
            raise BrokenInvariant(f"entry {self._progress.height} begins a ledger that is not the one of this index")
        self._progress.genesis = encode_genesis(entry.parameters)
        self._parameters = entry.parameters
        self._market = self._make_market()

    def _add_asset(self, address: Address) -> None:
        if address in self._assets or len(self._assets) == MAX_ASSETS:
            raise BrokenInvariant(f"asset 0x{address.hex()} is listed twice, or beyond {MAX_ASSETS}")
        self._assets[address] = _Asset(len(self._assets), address)

    def _add_block(self, block: Block, domain: Domain, market: MarketWriter) -> None:
        header, progress = block.header, self._progress
        epoch = self._epochs[progress.epoch]
        if header.number != progress.block + 1 or header.previous != progress.block_hash:
            raise BrokenInvariant(f"block {header.number} does not follow block {progress.block} of the index")
        if header.timestamp < progress.timestamp:
            raise BrokenInvariant(f"block {header.number} is dated before the block that it follows")
        if len(block.records) > MAX_RECORDS:
            raise BrokenInvariant(
                f"block {header.number} has {len(block.records)} records, the index takes {MAX_RECORDS}"
            )
        payments = self._rows["payments"]
        payment_count = len(payments)
        before = [(asset, asset.payment_count, asset.volume) for asset in self._assets.values()]
        place = header.number << RECORD_BITS
        for record in block.records:
            if isinstance(record, SignedPayment):
                self._add_payment(place, record)
                if record.payment.kind in EFFECTS:
                    market.add_payment(place, header.timestamp, record, self._get_asset(record.payment.asset).id)
            elif isinstance(record, Deposit):
                self._add_deposit(place, record)
            else:
                market.add_instruction(place, header.timestamp, record, lambda asset: self._get_asset(asset).id)
            place += 1
        block_hash = hash_header(header, domain)
        self._rows["blocks"].append((header.number, block_hash, header.timestamp, len(block.records), epoch.number))
        epoch.last_block = progress.block = header.number
        progress.block_hash, progress.timestamp = block_hash, header.timestamp
        for counted in (epoch, progress):
            counted.record_count += len(block.records)
            counted.payment_count += len(payments) - payment_count
        for asset, count, volume in before:
            if asset.payment_count > count:
                self._add_activity(header.timestamp, asset, asset.payment_count - count, asset.volume - volume)

    def _add_activity(self, timestamp: int, asset: _Asset, count: int, volume: int) -> None:
        for length in ACTIVITY_LENGTHS:
            key = length, timestamp - timestamp % length, asset.id
            known = self._activity.get(key)
            if known is None:
                row = self._db.execute(
                    "SELECT payment_count, volume FROM activity WHERE length = ? AND start = ? AND asset = ?", key
                ).fetchone()
                known = (0, 0) if row is None else (row[0], decode_amount(row[1]))
            self._activity[key] = known[0] + count, known[1] + volume

    def _add_payment(self, place: int, signed: SignedPayment) -> None:
        payment = signed.payment
        asset = self._get_asset(payment.asset)
        outputs, total = payment.outputs, payment.total
        if not outputs:
            raise BrokenInvariant("a payment without outputs")
        payer = self._get_account(payment.payer)
        self._debit(pack_holding(payer, asset.id), place, total)
        payee = None
        if payment.kind == WITHDRAW:
            self._add_withdrawal(place, asset, outputs[0].to, total)
        elif len(outputs) == 1:
            payee = self._get_account(outputs[0].to)
            self._credit(pack_holding(payee, asset.id), place, 0, total)
        else:
            for index, output in enumerate(outputs):
                account = self._get_account(output.to)
                self._credit(pack_holding(account, asset.id), place, index, output.amount)
                self._rows["outputs"].append((place, index, account, encode_amount(output.amount)))
        asset.payment_count += 1
        asset.volume += total
        self._rows["payments"].append(
            (
                place,
                signed.id,
                KIND_CODES[payment.kind],
                asset.id,
                payer,
                payment.nonce,
                encode_amount(total),
                payee,
                None if payment.reference == ZERO_HASH else payment.reference,
                payment.memo or None,
            )
        )

    def _add_withdrawal(self, place: int, asset: _Asset, recipient: Address, amount: int) -> None:
        key = self._progress.epoch, asset.id
        position = self._positions.get(key)
        if position is None:
            position = self._find_position(*key)
        self._positions[key] = position + 1
        self._rows["withdrawals"].append((place, self._progress.epoch, asset.id, position, recipient))
        asset.withdrawal_count += 1
        asset.withdrawn += amount

    def _add_deposit(self, place: int, deposit: Deposit) -> None:
        asset = self._get_asset(deposit.asset)
        if deposit.index != asset.deposit_count:
            raise BrokenInvariant(
                f"deposit {deposit.index} of asset 0x{deposit.asset.hex()} comes where {asset.deposit_count} is next"
            )
        account = self._get_account(deposit.account)
        self._credit(pack_holding(account, asset.id), place, 0, deposit.amount)
        self._rows["deposits"].append(
            (place, deposit.id, asset.id, deposit.index, account, encode_amount(deposit.amount))
        )
        asset.deposit_count += 1
        asset.deposited += deposit.amount

    def _add_cut(self, cut: CutEntry) -> None:
        progress = self._progress
        if cut.epoch != progress.epoch:
            raise BrokenInvariant(f"cut of epoch {cut.epoch} while {progress.epoch} is open")
        self._epochs[progress.epoch].cut_at = cut.cut_at
        for asset in self._assets.values():
            self._rows["cuts"].append((progress.epoch, asset.id, *asset.to_counters()))
        progress.epoch += 1
        self._epochs[progress.epoch] = _begin_epoch(progress.epoch, progress.block + 1)
        self._positions.clear()

    def _add_seal(self, seal: SealEntry) -> None:
        commitment, progress = seal.commitment, self._progress
        epoch = self._epochs.get(commitment.epoch)
        if commitment.epoch != progress.sealed_epoch + 1 or epoch is None or epoch.cut_at is None:
            raise BrokenInvariant(f"seal of epoch {commitment.epoch}, where {progress.sealed_epoch + 1} is next")
        claimed = commitment.first_block, commitment.last_block, commitment.cut_at
        if claimed != (epoch.first_block, epoch.last_block, epoch.cut_at):
            raise BrokenInvariant(f"seal of epoch {commitment.epoch} covers other blocks than were cut")
        epoch.commitment, epoch.signature = encode_commitment(commitment), seal.signature
        progress.sealed_epoch = commitment.epoch

    # --- entries of accounts

    def _debit(self, holding: int, place: int, amount: int) -> None:
        debited = self._get_sum(self._debited, _LAST_DEBIT, holding)
        if debited.amount + amount > self._get_sum(self._credited, _LAST_CREDIT, holding).amount:
            raise BrokenInvariant(f"a payment of {amount} that its payer did not have")
        debited.amount += amount
        debited.count += 1
        self._rows["debits"].append((holding, place, encode_amount(debited.amount), debited.count))

    def _credit(self, holding: int, place: int, output: int, amount: int) -> None:
        credited = self._get_sum(self._credited, _LAST_CREDIT, holding)
        credited.amount += amount
        credited.count += 1
        self._rows["credits"].append((holding, place, output, encode_amount(credited.amount), credited.count))

    def _get_sum(self, remembered: dict[int, _Sum], last: str, holding: int) -> _Sum:
        """What the holding has been debited, or credited, so far."""
        known = remembered.get(holding)
        if known is None:
            row = None
            if holding < pack_holding(self._stored_account_count + 1, 0):  # else an account of this chunk
                row = self._db.execute(last, (holding,)).fetchone()
            known = remembered[holding] = _Sum() if row is None else _Sum(decode_amount(row[0]), row[1])
        return known

    def _find_position(self, epoch: int, asset: int) -> int:
        row = self._db.execute(
            "SELECT max(position) FROM withdrawals WHERE epoch = ? AND asset = ?", (epoch, asset)
        ).fetchone()
        return 0 if row[0] is None else row[0] + 1

    def _get_asset(self, address: Address) -> _Asset:
        asset = self._assets.get(address)
        if asset is None:
            raise BrokenInvariant(f"asset 0x{address.hex()} is not listed")
        return asset

    def _get_account(self, address: Address) -> int:
        account = self._accounts.get(address)
        if account is None:
            row = self._db.execute("SELECT id FROM accounts WHERE address = ?", (address,)).fetchone()
            if row is None:
                self._progress.account_count += 1
                account = self._progress.account_count
                self._rows["accounts"].append((account, address))
            else:
                account = row[0]
            self._accounts[address] = account
        return account

    # --- the file

    def _write(self) -> None:
        # In key order, neighbours fall on one page one after the other.
        self._rows["debits"].sort()
        self._rows["credits"].sort()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._check_alone()
            for table, rows in self._rows.items():
                if rows:
                    self._db.executemany(_INSERTS[table], rows)
            self._db.executemany(_REPLACE_ASSET, [asset.to_row() for asset in self._assets.values()])
            activity = [(*key, count, encode_amount(volume)) for key, (count, volume) in self._activity.items()]
            self._db.executemany(_REPLACE_ACTIVITY, activity)
            if self._market is not None:
                self._market.write()
            self._db.executemany(_REPLACE_EPOCH, [astuple(epoch) for epoch in self._epochs.values()])
            self._db.execute(_REPLACE_PROGRESS, astuple(self._progress))
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._settle()

    def _check_alone(self) -> None:
        """A writer whose node was killed may still have a chunk at hand when the next node's writer begins: the one
        that comes second must not put its rows over those of the first."""
        height = self._db.execute("SELECT height FROM progress").fetchone()[0]
        if height != self._stored_height:
            raise BrokenInvariant(f"another writer took the index from {self._stored_height} entries to {height}")

    def _settle(self) -> None:
        """After a commit: the chunk's rows are in the file, and what is remembered stays within bounds."""
        self._stored_height = self._progress.height
        self._stored_account_count = self._progress.account_count
        for rows in self._rows.values():
            rows.clear()
        self._activity.clear()
        if self._market is not None:
            self._market.settle(_MAX_REMEMBERED_FILES)
        for number in [number for number in self._epochs if number <= self._progress.sealed_epoch]:
            del self._epochs[number]
        remembered: dict[Any, Any]
        for remembered in (self._accounts, self._debited, self._credited):
            if len(remembered) > _MAX_REMEMBERED:
                remembered.clear()

    def _load(self) -> None:
        """Takes everything that is kept in memory from the file, and forgets what a failed chunk left."""
        _, *progress = self._db.execute("SELECT * FROM progress").fetchone()
        self._progress = _Progress(*progress)
        genesis = self._progress.genesis
        self._parameters = None if genesis is None else _decode_parameters(genesis)
        assets = [_Asset.from_row(row) for row in self._db.execute("SELECT * FROM assets ORDER BY id")]
        self._assets = {asset.address: asset for asset in assets}
        unsealed = self._db.execute("SELECT * FROM epochs WHERE number > ?", (self._progress.sealed_epoch,))
        self._epochs = {row[0]: _Epoch(*row) for row in unsealed}
        self._stored_height = self._progress.height
        self._stored_account_count = self._progress.account_count
        self._positions: dict[tuple[int, int], int] = {}
        """(epoch, asset) → the position of the next withdrawal; the open epoch only."""
        self._accounts: dict[Address, int] = {}
        self._debited: dict[int, _Sum] = {}
        self._credited: dict[int, _Sum] = {}
        self._activity: dict[tuple[int, int, int], tuple[int, int]] = {}
        """(length, start, asset) → payments and volume; of what the chunk adds to, as it will stand after it."""
        self._rows: dict[str, list[_Row]] = {table: [] for table in _INSERTS}
        self._market = self._make_market()

    def _make_market(self) -> MarketWriter | None:
        """None until the ledger's parameters are known."""
        if self._parameters is None:
            return None
        return MarketWriter(self._db, self._parameters.market, self._rows, self._get_account)


def _begin_epoch(number: int, first_block: int) -> _Epoch:
    return _Epoch(number, first_block, last_block=first_block - 1)


def _open(path: Path, genesis_hash: Hash) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    if not _is_index_of(db, genesis_hash):
        db.close()
        # The log last: SQLite ignores one that lies beside an empty file, should we die in between.
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        db = sqlite3.connect(path, isolation_level=None)
        _create(db, genesis_hash)
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    return db


def _create(db: sqlite3.Connection, genesis_hash: Hash) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";\n"):
        db.execute(statement)
    # Block 1 will name the genesis hash as its previous.
    db.execute(_REPLACE_PROGRESS, astuple(_Progress(genesis_hash, None, 0, 0, genesis_hash, 0, 1, 0, 0, 0, 0)))
    db.execute(_REPLACE_EPOCH, astuple(_begin_epoch(1, 1)))
    db.execute("COMMIT")


def _is_index_of(db: sqlite3.Connection, genesis_hash: Hash) -> bool:
    """False also for a file that is no database, or a damaged one: like any index of no use, it is rebuilt."""
    try:
        if not is_current(db):
            return False
        row = db.execute("SELECT genesis_hash FROM progress").fetchone()
        return row is not None and row[0] == genesis_hash
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return False
        raise


def _decode_parameters(genesis: bytes) -> Parameters:
    entry = decode_entry(genesis)
    if not isinstance(entry, GenesisEntry):
        raise BrokenInvariant("the index does not hold the parameters of its ledger")
    return entry.parameters
