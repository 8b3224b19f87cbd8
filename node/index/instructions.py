"""Instructions, singly and in lists, newest first or last."""

import sqlite3
from typing import Any, Final

from chain.primitives import Address, Hash
from node.index.cursors import decode_place, encode_place
from node.index.lookups import Addresses, check_limit, find_account
from node.index.records import IndexedInstruction, Page
from node.index.schema import (
    INSTRUCTION_NAMES,
    MAX_PLACE,
    RECORD_BITS,
    ROLES_BY_BIT,
    decode_amount,
    pack_place,
    unpack_place,
)

_SELECT: Final = (
    "SELECT i.place, i.id, i.type, i.account, i.nonce, f.file, i.role, i.validator, i.price, b.timestamp, b.epoch "
    f"FROM instructions i CROSS JOIN blocks b ON b.number = i.place >> {RECORD_BITS} "
    "LEFT JOIN files f ON f.place = i.file WHERE"
)


def read_instruction(db: sqlite3.Connection, addresses: Addresses, place: int) -> IndexedInstruction | None:
    """None when no instruction stands there."""
    row = db.execute(f"{_SELECT} i.place = ?", (place,)).fetchone()
    return None if row is None else _build(db, addresses, row)


def list_instructions(
    db: sqlite3.Connection,
    addresses: Addresses,
    account: Address | None,
    file: Hash | None,
    cursor: str | None,
    limit: int,
    *,
    is_ascending: bool = False,
) -> Page[IndexedInstruction]:
    """One page, beyond the cursor; of an account, of a file, or of all. Of both, those of the file that the account
    gave. Raises `MalformedRequest` (limit, cursor)."""
    check_limit(limit)
    low, high = 0, MAX_PLACE
    if cursor is not None and is_ascending:
        low = min(decode_place(cursor) + 1, MAX_PLACE)
    elif cursor is not None:
        high = decode_place(cursor)
    conditions: list[str] = []
    keys: list[int] = []
    giver = None if account is None else _or_none(find_account(db, account))
    if file is not None:
        listed = db.execute("SELECT place, validator FROM files WHERE file = ?", (file,)).fetchone()
        # All instructions of a file are its validator's, so there is nothing to look for among those of another.
        if listed is None or giver not in (None, listed[1]):
            return Page((), None)
        conditions.append("i.file = ?")
        keys.append(listed[0])
    elif giver is not None:
        conditions.append("i.account = ?")
        keys.append(giver)
    rows = db.execute(
        f"{_SELECT} {' AND '.join([*conditions, 'i.place >= ?', 'i.place < ?'])} "
        f"ORDER BY i.place {'ASC' if is_ascending else 'DESC'} LIMIT ?",
        (*keys, low, high, limit + 1),
    ).fetchall()
    items = tuple([_build(db, addresses, row) for row in rows[:limit]])
    return Page(items, encode_place(rows[limit - 1][0]) if len(rows) > limit else None)


def encode_instruction_cursor(instruction: IndexedInstruction) -> str:
    """Where the list goes on beside this instruction, in either direction."""
    return encode_place(pack_place(instruction.block, instruction.record))


def _or_none(key: int | None) -> int:
    """A key that nothing has, for what is not known."""
    return -1 if key is None else key


def _build(db: sqlite3.Connection, addresses: Addresses, row: tuple[Any, ...]) -> IndexedInstruction:
    place, instruction_id, code, account, nonce, file, role, validator, price, timestamp, epoch = row
    block, record = unpack_place(place)
    return IndexedInstruction(
        id=instruction_id,
        block=block,
        record=record,
        timestamp=timestamp,
        epoch=epoch,
        type=INSTRUCTION_NAMES[code],
        account=addresses(db, account),
        nonce=nonce,
        file=file,
        role=None if role is None else ROLES_BY_BIT[role],
        validator=None if validator is None else addresses(db, validator),
        price=None if price is None else decode_amount(price),
    )
