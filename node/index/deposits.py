"""Deposits, singly and in lists, newest first or last."""

import sqlite3
from collections.abc import Collection
from contextlib import closing
from typing import Any, Final

from chain.primitives import Address
from node.index.cursors import decode_place, encode_place
from node.index.lookups import Addresses, check_limit, find_account, list_assets
from node.index.payments import MAX_VISITED
from node.index.records import IndexedDeposit, Page
from node.index.schema import MAX_PLACE, RECORD_BITS, decode_amount, pack_place, unpack_place

_SELECT: Final = (
    "SELECT d.place, d.id, d.asset, d.position, d.account, d.amount, b.timestamp, b.epoch "
    f"FROM deposits d CROSS JOIN blocks b ON b.number = d.place >> {RECORD_BITS} WHERE"
)


def read_deposit(db: sqlite3.Connection, addresses: Addresses, place: int) -> IndexedDeposit | None:
    """None when no deposit stands there."""
    row = db.execute(f"{_SELECT} d.place = ?", (place,)).fetchone()
    return None if row is None else _build(db, addresses, row)


def list_deposits(
    db: sqlite3.Connection,
    addresses: Addresses,
    account: Address | None,
    cursor: str | None,
    limit: int,
    *,
    assets: Collection[Address] | None = None,
    is_ascending: bool = False,
) -> Page[IndexedDeposit]:
    """One page, beyond the cursor; of some assets, or of all. Where others stand between, it may be short and go on.
    Raises `MalformedRequest` (limit, cursor)."""
    check_limit(limit)
    low, high = 0, MAX_PLACE
    if cursor is not None and is_ascending:
        low = min(decode_place(cursor) + 1, MAX_PLACE)
    elif cursor is not None:
        high = decode_place(cursor)
    condition = "" if account is None else "d.account = ? AND "
    key = () if account is None else (find_account(db, account),)
    wanted = {number for number, asset in enumerate(list_assets(db)) if assets is None or asset in assets}
    rows = db.execute(
        f"{_SELECT} {condition}d.place >= ? AND d.place < ? "
        f"ORDER BY d.place {'ASC' if is_ascending else 'DESC'} LIMIT ?",
        (*key, low, high, MAX_VISITED + 1),
    )
    items: list[IndexedDeposit] = []
    last = 0
    with closing(rows):
        for visited, row in enumerate(rows):
            place, _, asset, *_ = row
            if visited == MAX_VISITED or (asset in wanted and len(items) == limit):
                return Page(tuple(items), encode_place(last))
            if asset in wanted:
                items.append(_build(db, addresses, row))
            last = place
    return Page(tuple(items), None)


def encode_deposit_cursor(deposit: IndexedDeposit) -> str:
    """Where the list goes on beside this deposit, in either direction."""
    return encode_place(pack_place(deposit.block, deposit.record))


def _build(db: sqlite3.Connection, addresses: Addresses, row: tuple[Any, ...]) -> IndexedDeposit:
    place, deposit_id, asset, position, account, amount, timestamp, epoch = row
    block, record = unpack_place(place)
    return IndexedDeposit(
        id=deposit_id,
        block=block,
        record=record,
        timestamp=timestamp,
        epoch=epoch,
        asset=list_assets(db)[asset],
        index=position,
        account=addresses(db, account),
        amount=decode_amount(amount),
    )
