"""Who has which role, newest first or last."""

import sqlite3
from typing import Any, Final

from chain.errors import UnknownRole
from chain.market import ROLE_BITS
from chain.primitives import Address
from node.index.cursors import decode_place, encode_place
from node.index.lookups import Addresses, check_limit, find_account
from node.index.records import Page, Registration
from node.index.schema import MAX_PLACE, RECORD_BITS, ROLES_BY_BIT, pack_place, unpack_place

_SELECT: Final = (
    "SELECT r.account, r.role, r.place, r.validator, r.named_only, b.timestamp FROM registrations r "
    f"CROSS JOIN blocks b ON b.number = r.place >> {RECORD_BITS} WHERE"
)
_OWNER: Final = ROLE_BITS["owner"]


def list_roles(db: sqlite3.Connection, addresses: Addresses, account: Address) -> tuple[Registration, ...]:
    """All roles of an account, in the order of `ROLE_BITS`."""
    rows = db.execute(f"{_SELECT} r.account = ? ORDER BY r.role", (find_account(db, account),))
    return tuple([_build(db, addresses, row) for row in rows])


def list_registrations(
    db: sqlite3.Connection,
    addresses: Addresses,
    role: str | None,
    validator: Address | None,
    cursor: str | None,
    limit: int,
    *,
    is_ascending: bool = False,
) -> Page[Registration]:
    """One page, beyond the cursor; of a role, of a validator's owners, or of all. Raises `MalformedRequest` (limit,
    cursor), `UnknownRole`."""
    check_limit(limit)
    low, high = 0, MAX_PLACE
    if cursor is not None and is_ascending:
        low = min(decode_place(cursor) + 1, MAX_PLACE)
    elif cursor is not None:
        high = decode_place(cursor)
    condition = ""
    keys: list[int] = []
    bit = _get_bit(role)
    if validator is not None:
        if bit not in (None, _OWNER):
            return Page((), None)
        condition, keys = "r.validator = ? AND ", [_find_key(db, validator)]
    elif bit is not None:
        condition, keys = "r.role = ? AND ", [bit]
    rows = db.execute(
        f"{_SELECT} {condition}r.place >= ? AND r.place < ? "
        f"ORDER BY r.place {'ASC' if is_ascending else 'DESC'} LIMIT ?",
        (*keys, low, high, limit + 1),
    ).fetchall()
    items = tuple([_build(db, addresses, row) for row in rows[:limit]])
    return Page(items, encode_place(rows[limit - 1][2]) if len(rows) > limit else None)


def count_registrations(db: sqlite3.Connection, role: str | None, validator: Address | None) -> int:
    """How many `list_registrations` shows in all. Raises `UnknownRole`."""
    bit = _get_bit(role)
    if validator is not None and bit not in (None, _OWNER):
        return 0
    if validator is not None:
        bits, key = [_OWNER], _find_key(db, validator)
    else:
        bits, key = [bit] if bit is not None else list(ROLES_BY_BIT), 0
    rows = [
        db.execute("SELECT count FROM registration_counts WHERE role = ? AND validator = ?", (each, key)).fetchone()
        for each in bits
    ]
    return sum([row[0] for row in rows if row is not None])


def encode_registration_cursor(registration: Registration) -> str:
    """Where the list goes on beside this registration, in either direction."""
    return encode_place(pack_place(registration.block, registration.record))


def _get_bit(role: str | None) -> int | None:
    if role is None:
        return None
    if role not in ROLE_BITS:
        raise UnknownRole(role)
    return ROLE_BITS[role]


def _find_key(db: sqlite3.Connection, validator: Address) -> int:
    """A key that nothing has, for an account that is not known."""
    account = find_account(db, validator)
    return -1 if account is None else account


def _build(db: sqlite3.Connection, addresses: Addresses, row: tuple[Any, ...]) -> Registration:
    account, role, place, validator, named_only, timestamp = row
    block, record = unpack_place(place)
    return Registration(
        account=addresses(db, account),
        role=ROLES_BY_BIT[role],
        validator=None if validator is None else addresses(db, validator),
        is_named_only=bool(named_only),
        block=block,
        record=record,
        timestamp=timestamp,
    )
