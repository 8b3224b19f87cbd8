"""Statements: the entries of one account in one asset, from the running sums that the index keeps."""

import heapq
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Final, TypeAlias

from chain.block import DEPOSIT, PAYMENT
from chain.primitives import NONCE_WINDOW, Address, Hash
from chain.statement import Credit, Debit
from node.index.cursors import Slot, decode_pair, encode_pair
from node.index.lookups import check_limit, find_holding, find_period_span, read_credited, read_debited
from node.index.records import Page, Period, StatementEntry, StatementTotals
from node.index.schema import decode_amount, unpack_place

# CROSS JOIN and LEFT JOIN fix the order: the entries of the holding, and for each of them its record.
_DEBITS: Final = (
    "SELECT d.place, d.debited, p.nonce, p.id FROM debits d CROSS JOIN payments p ON p.place = d.place "
    "WHERE d.holding = ? AND d.place >= ? AND d.place < ? ORDER BY d.place"
)
_CREDITS: Final = (
    "SELECT c.place, c.output, c.credited, p.nonce, p.id, d.position, d.id FROM credits c "
    "LEFT JOIN payments p ON p.place = c.place LEFT JOIN deposits d ON d.place = c.place "
    "WHERE c.holding = ? AND (c.place, c.output) >= (?, ?) AND c.place < ? ORDER BY c.place, c.output"
)

# The slots of the last entries before one.
_DEBIT_SLOTS: Final = (
    "SELECT place FROM debits WHERE holding = ? AND place >= ? AND place < ? ORDER BY place DESC LIMIT ?"
)
_CREDIT_SLOTS: Final = (
    "SELECT place, output FROM credits WHERE holding = ? AND place >= ? AND (place, output) < (?, ?) "
    "ORDER BY place DESC, output DESC LIMIT ?"
)

_Entry: TypeAlias = tuple[Slot, int, int, Hash, int]
"""(slot, record type, number, id, amount); sorted by slot, which no two entries of a holding share."""

_WaitingDebit: TypeAlias = tuple[int, int, Hash, int]
"""(nonce, place, id, amount)"""


def read_totals(db: sqlite3.Connection, account: Address, asset: Address, period: Period) -> StatementTotals | None:
    """None when there is no such epoch; zeros for an account or asset that is not known. Of what goes on: so far."""
    span, holding = find_period_span(db, period), find_holding(db, account, asset)
    if span is None:
        return None
    if holding is None:
        return StatementTotals(0, 0, 0, 0, 0)
    low, high = span
    debited, debit_count = read_debited(db, holding, low)
    credited, credit_count = read_credited(db, holding, low)
    debited_after, debit_count_after = read_debited(db, holding, high)
    credited_after, credit_count_after = read_credited(db, holding, high)
    return StatementTotals(
        opening=credited - debited,
        debits=debited_after - debited,
        credits=credited_after - credited,
        debit_count=debit_count_after - debit_count,
        credit_count=credit_count_after - credit_count,
    )


def list_entries(
    db: sqlite3.Connection, account: Address, asset: Address, period: Period, cursor: str | None, limit: int
) -> Page[StatementEntry]:
    """One page in ledger order, with the balance after each. Raises `MalformedRequest` (limit, cursor)."""
    check_limit(limit)
    first = (0, 0) if cursor is None else decode_pair(cursor)
    span, holding = find_period_span(db, period), find_holding(db, account, asset)
    if span is None or holding is None:
        return Page((), None)
    low, high = span
    first = min(max(first, (low, 0)), (high, 0))
    items: list[StatementEntry] = []
    with ExitStack() as stack:
        place, slot = first
        credited, _ = read_credited(db, holding, place, max(slot - 1, 0))
        debited, _ = read_debited(db, holding, place + (slot > 0))
        balance = credited - debited
        debits = _walk_debits(db, stack, holding, first, high)
        credits = _walk_credits(db, stack, holding, first, high)
        for at, record_type, number, record_id, amount in heapq.merge(debits, credits):
            if len(items) == limit:
                return Page(tuple(items), encode_pair(*at))
            place, slot = at
            balance += amount if slot else -amount
            items.append(
                StatementEntry(
                    is_credit=slot > 0,
                    type=record_type,
                    block=unpack_place(place)[0],
                    record=unpack_place(place)[1],
                    output=max(slot - 1, 0),
                    number=number,
                    id=record_id,
                    amount=amount,
                    balance=balance,
                )
            )
    return Page(tuple(items), None)


def find_page_before(
    db: sqlite3.Connection, account: Address, asset: Address, period: Period, cursor: str, limit: int
) -> str | None:
    """The cursor of the page of `limit` entries that ends where `cursor` begins; None if that is the first page.
    Raises `MalformedRequest` (limit, cursor)."""
    check_limit(limit)
    place, slot = decode_pair(cursor)
    span, holding = find_period_span(db, period), find_holding(db, account, asset)
    if span is None or holding is None:
        return None
    low, high = span
    place, slot = min((place, slot), (high, 0))
    debits = db.execute(_DEBIT_SLOTS, (holding, low, place + (slot > 0), limit + 1)).fetchall()
    credits = db.execute(_CREDIT_SLOTS, (holding, low, place, max(slot - 1, 0), limit + 1)).fetchall()
    slots = sorted([(place, 0) for (place,) in debits] + [(place, output + 1) for place, output in credits])
    return encode_pair(*slots[-limit]) if len(slots) > limit else None


def count_entries_before(db: sqlite3.Connection, account: Address, asset: Address, period: Period, cursor: str) -> int:
    """How many entries the pages before the one of `cursor` show. Raises `MalformedRequest` (cursor)."""
    place, slot = decode_pair(cursor)
    span, holding = find_period_span(db, period), find_holding(db, account, asset)
    if span is None or holding is None:
        return 0
    low, high = span
    place, slot = max((low, 0), min((place, slot), (high, 0)))
    debits = read_debited(db, holding, place + (slot > 0))[1] - read_debited(db, holding, low)[1]
    credits = read_credited(db, holding, place, max(slot - 1, 0))[1] - read_credited(db, holding, low)[1]
    return debits + credits


def list_credits(
    db: sqlite3.Connection, account: Address, asset: Address, period: Period, cursor: str | None, limit: int
) -> Page[Credit]:
    """One page in the order of the credits tree. Raises `MalformedRequest` (limit, cursor)."""
    check_limit(limit)
    first = (0, 0) if cursor is None else decode_pair(cursor)
    span, holding = find_period_span(db, period), find_holding(db, account, asset)
    if span is None or holding is None:
        return Page((), None)
    low, high = span
    first = min(max(first, (low, 0)), (high, 0))
    with ExitStack() as stack:
        entries = list(islice(_walk_credits(db, stack, holding, first, high), limit + 1))
    return Page(
        tuple(
            [
                Credit(*unpack_place(place), slot - 1, record_type, record_id, amount)
                for (place, slot), record_type, _, record_id, amount in entries[:limit]
            ]
        ),
        encode_pair(*entries[limit][0]) if len(entries) > limit else None,
    )


def list_debits(
    db: sqlite3.Connection, account: Address, asset: Address, period: Period, cursor: str | None, limit: int
) -> Page[Debit]:
    """One page in the order of the debits tree, which is by nonce. Raises `MalformedRequest` (limit, cursor).

    The index has debits in ledger order, and that is nearly the order of nonces: whoever has used nonce n uses none
    below n − 255 any more. So a debit may be shown once a nonce 256 above it has been seen, and few wait. The cursor is
    the place from which to read on, and the nonce to begin with: what is below it has been shown.
    """
    check_limit(limit)
    resume, least = (0, 0) if cursor is None else decode_pair(cursor)
    span, holding = find_period_span(db, period), find_holding(db, account, asset)
    if span is None or holding is None:
        return Page((), None)
    low, high = span
    waiting: list[_WaitingDebit] = []
    with ExitStack() as stack:
        entries = _walk_debits(db, stack, holding, (max(resume, low), 0), high)
        debits = list(islice(_sort_by_nonce(entries, least, waiting), limit + 1))
    items = tuple([Debit(PAYMENT, nonce, record_id, amount) for nonce, _, record_id, amount in debits[:limit]])
    if len(debits) <= limit:
        return Page(items, None)
    resume = min([place for _, place, _, _ in [debits[limit], *waiting]])
    return Page(items, encode_pair(resume, debits[limit][0]))


def _sort_by_nonce(entries: Iterator[_Entry], least: int, waiting: list[_WaitingDebit]) -> Iterator[_WaitingDebit]:
    """Those with a nonce of at least `least`, ascending. `waiting` holds what was read and not given yet."""
    for (place, _), _, nonce, record_id, amount in entries:
        if nonce >= least:
            heapq.heappush(waiting, (nonce, place, record_id, amount))
        while waiting and waiting[0][0] <= nonce - NONCE_WINDOW:
            yield heapq.heappop(waiting)
    while waiting:
        yield heapq.heappop(waiting)


def _walk_debits(db: sqlite3.Connection, stack: ExitStack, holding: int, first: Slot, before: int) -> Iterator[_Entry]:
    """In ledger order, from slot `first` on, at places below `before`."""
    low = first[0] + (first[1] > 0)
    debited, _ = read_debited(db, holding, low)
    rows = db.execute(_DEBITS, (holding, low, before))
    stack.callback(rows.close)
    for place, packed, nonce, record_id in rows:
        after = decode_amount(packed)
        yield (place, 0), PAYMENT, nonce, record_id, after - debited
        debited = after


def _walk_credits(db: sqlite3.Connection, stack: ExitStack, holding: int, first: Slot, before: int) -> Iterator[_Entry]:
    """In ledger order, from slot `first` on, at places below `before`."""
    place, output = first[0], max(first[1] - 1, 0)
    credited, _ = read_credited(db, holding, place, output)
    rows = db.execute(_CREDITS, (holding, place, output, before))
    stack.callback(rows.close)
    for place, output, packed, nonce, payment_id, position, deposit_id in rows:
        after = decode_amount(packed)
        if payment_id is not None:
            yield (place, output + 1), PAYMENT, nonce, payment_id, after - credited
        else:
            yield (place, output + 1), DEPOSIT, position, deposit_id, after - credited
        credited = after
