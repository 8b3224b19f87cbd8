"""Single look-ups that the lists are made of. Each takes a connection that is inside a transaction."""

import sqlite3
from collections.abc import Callable
from typing import Final, TypeAlias

from chain.errors import MalformedRequest
from chain.primitives import Address, Hash
from node.index.records import Holding, Period
from node.index.schema import MAX_PLACE, decode_amount, pack_holding, pack_place

MAX_LIMIT: Final = 1000
"""Items of one page."""

Addresses: TypeAlias = Callable[[sqlite3.Connection, int], Address]
"""Account id → its address."""

Span: TypeAlias = tuple[int, int]
"""Places from the first to before the second."""

_MAX_SECONDS: Final = 2**43
"""Later than any block, and still an integer of SQLite's when counted in milliseconds."""


def check_limit(limit: int, maximum: int = MAX_LIMIT) -> None:
    if not 1 <= limit <= maximum:
        raise MalformedRequest(f"limit: {limit} is not from 1 to {maximum}")


def find_record(db: sqlite3.Connection, record_id: Hash) -> int | None:
    """The place of a payment, a deposit or an instruction."""
    for table in ("payments", "deposits", "instructions"):
        row = db.execute(
            f"SELECT place FROM {table} WHERE substr(id, 1, 8) = ? AND id = ?", (record_id[:8], record_id)
        ).fetchone()
        if row is not None:
            place: int = row[0]
            return place
    return None


def list_assets(db: sqlite3.Connection) -> list[Address]:
    """In the contract's order, which is the order of their ids; at most 32."""
    return [address for (address,) in db.execute("SELECT address FROM assets ORDER BY id")]


def find_asset(db: sqlite3.Connection, address: Address) -> int | None:
    # At most 32 rows, on one page: no index is worth its while.
    row = db.execute("SELECT id FROM assets WHERE address = ?", (address,)).fetchone()
    return None if row is None else row[0]


def find_account(db: sqlite3.Connection, address: Address) -> int | None:
    row = db.execute("SELECT id FROM accounts WHERE address = ?", (address,)).fetchone()
    return None if row is None else row[0]


def find_file(db: sqlite3.Connection, file: Hash) -> int | None:
    """The place of its listing."""
    row = db.execute("SELECT place FROM files WHERE file = ?", (file,)).fetchone()
    return None if row is None else row[0]


def find_holding(db: sqlite3.Connection, account: Address, asset: Address) -> int | None:
    account_id, asset_id = find_account(db, account), find_asset(db, asset)
    return None if account_id is None or asset_id is None else pack_holding(account_id, asset_id)


def find_period_span(db: sqlite3.Connection, period: Period) -> Span | None:
    """The places of an epoch, of the open one so far, or of a span of time; None when there is no such epoch."""
    if not isinstance(period, int):
        return find_time_span(db, period.from_s, period.to_s)
    row = db.execute("SELECT first_block, last_block FROM epochs WHERE number = ?", (period,)).fetchone()
    return None if row is None else (pack_place(row[0], 0), pack_place(row[1] + 1, 0))


def find_epochs_span(db: sqlite3.Connection, first: int | None, last: int | None) -> Span:
    """The places of all epochs from `first` to `last`, both included; None for no end."""
    low = 0 if first is None else _find_epoch_start(db, first)
    high = MAX_PLACE if last is None else _find_epoch_start(db, last + 1)
    return low, high


def find_time_span(db: sqlite3.Connection, from_s: int | None, to_s: int | None) -> Span:
    """The places of all blocks whose time, in whole Unix seconds, is from `from_s` to `to_s`, both included;
    none when it ends before it begins."""
    low = 0 if from_s is None else _find_first_place(db, from_s)
    high = MAX_PLACE if to_s is None else _find_first_place(db, to_s + 1)
    return low, max(low, high)


def read_debited(db: sqlite3.Connection, holding: int, before: int) -> tuple[int, int]:
    """Sum and count of all debits of a holding at places below `before`."""
    row = db.execute(
        "SELECT debited, count FROM debits WHERE holding = ? AND place < ? ORDER BY place DESC LIMIT 1",
        (holding, before),
    ).fetchone()
    return (0, 0) if row is None else (decode_amount(row[0]), row[1])


def read_credited(db: sqlite3.Connection, holding: int, before: int, output: int = 0) -> tuple[int, int]:
    """Sum and count of all credits of a holding at places below `before`, and there at outputs below `output`."""
    row = db.execute(
        "SELECT credited, count FROM credits WHERE holding = ? AND (place, output) < (?, ?) "
        "ORDER BY place DESC, output DESC LIMIT 1",
        (holding, before, output),
    ).fetchone()
    return (0, 0) if row is None else (decode_amount(row[0]), row[1])


def list_holdings(db: sqlite3.Connection, account: Address) -> list[Holding]:
    """One for each listed asset in which the account has an entry, in the contract's order."""
    account_id = find_account(db, account)
    holdings: list[Holding] = []
    if account_id is None:
        return holdings
    for asset_id, asset in enumerate(list_assets(db)):
        holding = pack_holding(account_id, asset_id)
        debited, debit_count = read_debited(db, holding, MAX_PLACE)
        credited, credit_count = read_credited(db, holding, MAX_PLACE)
        if debit_count or credit_count:
            holdings.append(Holding(asset, debited, credited, debit_count, credit_count))
    return holdings


def _find_first_place(db: sqlite3.Connection, second: int) -> int:
    """The first place of the first block at or after a time; beyond every place when there is none."""
    row = db.execute(
        "SELECT number FROM blocks WHERE timestamp >= ? ORDER BY timestamp, number LIMIT 1",
        (min(max(second, 0), _MAX_SECONDS) * 1000,),
    ).fetchone()
    return MAX_PLACE if row is None else pack_place(row[0], 0)


def _find_epoch_start(db: sqlite3.Connection, epoch: int) -> int:
    """The first place of an epoch; beyond every place when it has not begun."""
    row = db.execute("SELECT first_block FROM epochs WHERE number = ?", (min(max(epoch, 1), MAX_PLACE),)).fetchone()
    return MAX_PLACE if row is None else pack_place(row[0], 0)
