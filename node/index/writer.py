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

from chain.block import Block, Deposit, hash_header
from chain.commitment import encode_commitment
from chain.errors import BrokenInvariant
from chain.kinds import KIND_CODES, WITHDRAW
from chain.params import Domain
from chain.payment import SignedPayment
from chain.primitives import MAX_ASSETS, ZERO_HASH, Address, Hash
from node.entries import (
    AssetEntry,
    BlockEntry,
    CutEntry,
    GenesisEntry,
    SealEntry,
    decode_entry,
    encode_genesis,
)
from node.index.schema import (
    MAX_RECORDS,
    RECORD_BITS,
    SCHEMA,
    SCHEMA_VERSION,
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

_INSERTS: Final = {
    "accounts": "INSERT INTO accounts VALUES (?, ?)",
    "blocks": "INSERT INTO blocks VALUES (?, ?, ?, ?, ?)",
    "payments": "INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "outputs": "INSERT INTO outputs VALUES (?, ?, ?, ?)",
    "deposits": "INSERT INTO deposits VALUES (?, ?, ?, ?, ?, ?)",
    "withdrawals": "INSERT INTO withdrawals VALUES (?, ?, ?, ?, ?)",
    "debits": "INSERT INTO debits VALUES (?, ?, ?)",
    "credits": "INSERT INTO credits VALUES (?, ?, ?, ?)",
}

_Row: TypeAlias = tuple[Any, ...]


class _Asset:
    """An asset's row, kept up to date in memory."""

    __slots__ = (
        "address",
        "deposit_count",
        "deposited",
        "id",
        "payment_count",
        "volume",
        "withdrawal_count",
        "withdrawn",
    )

    def __init__(self, row: _Row) -> None:
        self.id, self.address, self.payment_count, volume, self.deposit_count, deposited = row[:6]
        self.withdrawal_count, withdrawn = row[6:]
        self.volume, self.deposited, self.withdrawn = map(decode_amount, (volume, deposited, withdrawn))

    def to_row(self) -> _Row:
        return (
            self.id,
            self.address,
            self.payment_count,
            encode_amount(self.volume),
            self.deposit_count,
            encode_amount(self.deposited),
            self.withdrawal_count,
            encode_amount(self.withdrawn),
        )


class _Epoch:
    """The row of an epoch that is open or waits for its seal."""

    __slots__ = (
        "commitment",
        "cut_at",
        "first_block",
        "last_block",
        "number",
        "payment_count",
        "record_count",
        "signature",
    )

    def __init__(self, row: _Row) -> None:
        self.number, self.first_block, self.last_block, self.record_count, self.payment_count = row[:5]
        self.cut_at, self.commitment, self.signature = row[5:]

    @classmethod
    def begin(cls, number: int, first_block: int) -> "_Epoch":
        return cls((number, first_block, first_block - 1, 0, 0, None, None, None))

    def to_row(self) -> _Row:
        return (
            self.number,
            self.first_block,
            self.last_block,
            self.record_count,
            self.payment_count,
            self.cut_at,
            self.commitment,
            self.signature,
        )


class IndexWriter:
    """The only writer of its file. Not for use by two threads."""

    def __init__(self, path: Path, genesis_hash: Hash) -> None:
        """Goes on with the file if it is an index of this ledger with these tables, else deletes it and begins anew.

        Readers of a deleted file go on reading what is no longer written: open them after the writer.
        """
        self._db = _open(path, genesis_hash)
        self._load()

    @property
    def height(self) -> int:
        """Height of the next journal entry wanted: the number of entries that are in."""
        return self._height

    def apply(self, entries: Iterable[tuple[int, bytes]]) -> None:
        """Writes what follows from `entries`, (height, journal entry), in one transaction: all of it or none.

        Raises `BrokenInvariant` when the heights do not go on from `height` one by one, or an entry contradicts those
        before it; `MalformedBytes` when it is no entry. What was written before stays, and `height` with it.
        """
        try:
            for height, data in entries:
                if height != self._height:
                    raise BrokenInvariant(f"entry {height} comes where the index wants {self._height}")
                self._add_entry(data)
                self._height += 1
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
        elif self._domain is None:
            raise BrokenInvariant("the journal does not begin with the ledger's parameters")
        elif isinstance(entry, BlockEntry):
            self._add_block(entry.block, self._domain)
        elif isinstance(entry, AssetEntry):
            self._add_asset(entry.asset)
        elif isinstance(entry, CutEntry):
            self._add_cut(entry)
        else:
            self._add_seal(entry)

    def _add_genesis(self, entry: GenesisEntry) -> None:
        if self._height != 0 or entry.parameters.genesis_hash != self._genesis_hash:
            raise BrokenInvariant(f"entry {self._height} begins a ledger that is not the one of this index")
        self._genesis = encode_genesis(entry.parameters)
        self._domain = entry.parameters.domain

    def _add_asset(self, address: Address) -> None:
        if address in self._assets or len(self._assets) == MAX_ASSETS:
            raise BrokenInvariant(f"asset 0x{address.hex()} is listed twice, or beyond {MAX_ASSETS}")
        self._assets[address] = _Asset((len(self._assets), address, 0, b"", 0, b"", 0, b""))

    def _add_block(self, block: Block, domain: Domain) -> None:
        header, epoch = block.header, self._epochs[self._epoch]
        if header.number != self._block + 1 or header.previous != self._block_hash:
            raise BrokenInvariant(f"block {header.number} does not follow block {self._block} of the index")
        if header.timestamp < self._timestamp:
            raise BrokenInvariant(f"block {header.number} is dated before the block that it follows")
        if len(block.records) > MAX_RECORDS:
            raise BrokenInvariant(f"block {header.number} has {len(block.records)} records, the index takes {MAX_RECORDS}")
        payments = self._rows["payments"]
        payment_count = len(payments)
        place = header.number << RECORD_BITS
        for record in block.records:
            if type(record) is SignedPayment:
                self._add_payment(place, record)
            else:
                self._add_deposit(place, record)  # type: ignore[arg-type]
            place += 1
        self._block, self._block_hash, self._timestamp = header.number, hash_header(header, domain), header.timestamp
        self._rows["blocks"].append(
            (header.number, self._block_hash, header.timestamp, len(block.records), self._epoch)
        )
        epoch.last_block = header.number
        epoch.record_count += len(block.records)
        epoch.payment_count += len(payments) - payment_count
        self._record_count += len(block.records)
        self._payment_count += len(payments) - payment_count

    def _add_payment(self, place: int, signed: SignedPayment) -> None:
        payment = signed.payment
        asset = self._get_asset(payment.asset)
        outputs, total = payment.outputs, payment.total
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
            )
        )

    def _add_withdrawal(self, place: int, asset: _Asset, recipient: Address, amount: int) -> None:
        key = self._epoch, asset.id
        position = self._positions.get(key)
        if position is None:
            position = self._find_position(*key)
        self._positions[key] = position + 1
        self._rows["withdrawals"].append((place, self._epoch, asset.id, position, recipient))
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
        if cut.epoch != self._epoch:
            raise BrokenInvariant(f"cut of epoch {cut.epoch} while {self._epoch} is open")
        self._epochs[self._epoch].cut_at = cut.cut_at
        self._epoch += 1
        self._epochs[self._epoch] = _Epoch.begin(self._epoch, self._block + 1)
        self._positions.clear()

    def _add_seal(self, seal: SealEntry) -> None:
        commitment = seal.commitment
        epoch = self._epochs.get(commitment.epoch)
        if commitment.epoch != self._sealed_epoch + 1 or epoch is None or epoch.cut_at is None:
            raise BrokenInvariant(f"seal of epoch {commitment.epoch}, where {self._sealed_epoch + 1} is next")
        claimed = commitment.first_block, commitment.last_block, commitment.cut_at
        if claimed != (epoch.first_block, epoch.last_block, epoch.cut_at):
            raise BrokenInvariant(f"seal of epoch {commitment.epoch} covers other blocks than were cut")
        epoch.commitment, epoch.signature = encode_commitment(commitment), seal.signature
        self._sealed_epoch = commitment.epoch

    # --- entries of accounts

    def _debit(self, holding: int, place: int, amount: int) -> None:
        before = self._debited.get(holding)
        if before is None:
            before = self._find_sum("SELECT debited FROM debits WHERE holding = ? ORDER BY place DESC LIMIT 1", holding)
        after = self._debited[holding] = before + amount
        if after > self._get_credited(holding):
            raise BrokenInvariant(f"a payment of {amount} that its payer did not have")
        self._rows["debits"].append((holding, place, encode_amount(after)))

    def _credit(self, holding: int, place: int, output: int, amount: int) -> None:
        after = self._credited[holding] = self._get_credited(holding) + amount
        self._rows["credits"].append((holding, place, output, encode_amount(after)))

    def _get_credited(self, holding: int) -> int:
        credited = self._credited.get(holding)
        if credited is None:
            credited = self._credited[holding] = self._find_sum(
                "SELECT credited FROM credits WHERE holding = ? ORDER BY place DESC, output DESC LIMIT 1", holding
            )
        return credited

    def _find_sum(self, sql: str, holding: int) -> int:
        if holding >= pack_holding(self._stored_account_count + 1, 0):
            return 0  # An account of this chunk: the file knows nothing of it.
        row = self._db.execute(sql, (holding,)).fetchone()
        return 0 if row is None else decode_amount(row[0])

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
                self._account_count += 1
                account = self._account_count
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
            for table, rows in self._rows.items():
                if rows:
                    self._db.executemany(_INSERTS[table], rows)
            self._db.executemany(
                "REPLACE INTO assets VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [asset.to_row() for asset in self._assets.values()]
            )
            self._db.executemany(
                "REPLACE INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [epoch.to_row() for epoch in self._epochs.values()]
            )
            self._db.execute(
                "UPDATE progress SET genesis = ?, height = ?, block = ?, block_hash = ?, timestamp = ?, epoch = ?, "
                "sealed_epoch = ?, record_count = ?, payment_count = ?, account_count = ?",
                (
                    self._genesis,
                    self._height,
                    self._block,
                    self._block_hash,
                    self._timestamp,
                    self._epoch,
                    self._sealed_epoch,
                    self._record_count,
                    self._payment_count,
                    self._account_count,
                ),
            )
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._settle()

    def _settle(self) -> None:
        """After a commit: the chunk's rows are in the file, and what is remembered stays within bounds."""
        self._stored_account_count = self._account_count
        for rows in self._rows.values():
            rows.clear()
        for number in [number for number in self._epochs if number <= self._sealed_epoch]:
            del self._epochs[number]
        for remembered in (self._accounts, self._debited, self._credited):
            if len(remembered) > _MAX_REMEMBERED:
                remembered.clear()

    def _load(self) -> None:
        """Takes everything that is kept in memory from the file, and forgets what a failed chunk left."""
        row = self._db.execute(
            "SELECT genesis_hash, genesis, height, block, block_hash, timestamp, epoch, sealed_epoch, record_count, "
            "payment_count, account_count FROM progress"
        ).fetchone()
        self._genesis_hash, self._genesis, self._height = row[:3]
        self._block, self._block_hash, self._timestamp, self._epoch, self._sealed_epoch = row[3:8]
        self._record_count, self._payment_count, self._account_count = row[8:]
        self._domain = None if self._genesis is None else _decode_domain(self._genesis)
        self._assets = {row[1]: _Asset(row) for row in self._db.execute("SELECT * FROM assets ORDER BY id")}
        unsealed = self._db.execute("SELECT * FROM epochs WHERE number > ? ORDER BY number", (self._sealed_epoch,))
        self._epochs = {row[0]: _Epoch(row) for row in unsealed}
        self._stored_account_count = self._account_count
        self._positions: dict[tuple[int, int], int] = {}
        """(epoch, asset) → the position of the next withdrawal; the open epoch only."""
        self._accounts: dict[Address, int] = {}
        self._debited: dict[int, int] = {}
        self._credited: dict[int, int] = {}
        self._rows: dict[str, list[_Row]] = {table: [] for table in _INSERTS}


def _open(path: Path, genesis_hash: Hash) -> sqlite3.Connection:
    db = _connect(path)
    if db is not None and _is_of(db, genesis_hash):
        return db
    if db is not None:
        db.close()
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    db = _connect(path)
    if db is None:
        raise BrokenInvariant(f"{path} was deleted and is no database again")
    db.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";\n"):
        db.execute(statement)
    db.execute("INSERT INTO progress VALUES (0, ?, NULL, 0, 0, ?, 0, 1, 0, 0, 0, 0)", (genesis_hash, genesis_hash))
    db.execute("INSERT INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _Epoch.begin(1, 1).to_row())
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")
    return db


def _connect(path: Path) -> sqlite3.Connection | None:
    """None when the file is not a database, or a damaged one: like any index that is of no use, it is rebuilt."""
    db = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    except sqlite3.DatabaseError as error:
        db.close()
        if error.sqlite_errorcode in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return None
        raise
    return db


def _is_of(db: sqlite3.Connection, genesis_hash: Hash) -> bool:
    if not is_current(db):
        return False
    stored: Hash = db.execute("SELECT genesis_hash FROM progress").fetchone()[0]
    return stored == genesis_hash


def _decode_domain(genesis: bytes) -> Domain:
    entry = decode_entry(genesis)
    if not isinstance(entry, GenesisEntry):
        raise BrokenInvariant("the index does not hold the parameters of its ledger")
    return entry.parameters.domain
