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
from node.index.lookups import check_limit, find_epoch_span, find_holding, read_credited, read_debited
from node.index.records import Page, StatementEntry, StatementTotals
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

_Entry: TypeAlias = tuple[Slot, int, int, Hash, int]
"""(slot, record type, number, id, amount); sorted by slot, which no two entries of a holding share."""

_WaitingDebit: TypeAlias = tuple[int, int, Hash, int]
"""(nonce, place, id, amount)"""


def read_totals(db: sqlite3.Connection, account: Address, asset: Address, epoch: int) -> StatementTotals | None:
    """None when there is no such epoch; zeros for an account or asset that is not known. Of the open epoch: so far."""
    span, holding = find_epoch_span(db, epoch), find_holding(db, account, asset)
    if span is None:
        return None
    if holding is None:
        return StatementTotals(0, 0, 0)
    low, high = span
    debited, credited = read_debited(db, holding, low), read_credited(db, holding, low)
    return StatementTotals(
        opening=credited - debited,
        debits=read_debited(db, holding, high) - debited,
        credits=read_credited(db, holding, high) - credited,
    )


def list_entries(
    db: sqlite3.Connection, account: Address, asset: Address, epoch: int, cursor: str | None, limit: int
) -> Page[StatementEntry]:
    """One page in ledger order, with the balance after each. Raises `MalformedRequest` (limit, cursor)."""
    check_limit(limit)
    first = (0, 0) if cursor is None else decode_pair(cursor)
    span, holding = find_epoch_span(db, epoch), find_holding(db, account, asset)
    if span is None or holding is None:
        return Page((), None)
    low, high = span
    first = max(first, (low, 0))
    items: list[StatementEntry] = []
    with ExitStack() as stack:
        place, slot = first
        balance = read_credited(db, holding, place, max(slot - 1, 0)) - read_debited(db, holding, place + (slot > 0))
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


def list_credits(
    db: sqlite3.Connection, account: Address, asset: Address, epoch: int, cursor: str | None, limit: int
) -> Page[Credit]:
    """One page in the order of the credits tree. Raises `MalformedRequest` (limit, cursor)."""
    check_limit(limit)
    first = (0, 0) if cursor is None else decode_pair(cursor)
    span, holding = find_epoch_span(db, epoch), find_holding(db, account, asset)
    if span is None or holding is None:
        return Page((), None)
    low, high = span
    with ExitStack() as stack:
        entries = list(islice(_walk_credits(db, stack, holding, max(first, (low, 0)), high), limit + 1))
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
    db: sqlite3.Connection, account: Address, asset: Address, epoch: int, cursor: str | None, limit: int
) -> Page[Debit]:
    """One page in the order of the debits tree, which is by nonce. Raises `MalformedRequest` (limit, cursor).

    The index has debits in ledger order, and that is nearly the order of nonces: whoever has used nonce n uses none
    below n − 255 any more. So a debit may be shown once a nonce 256 above it has been seen, and few wait. The cursor is
    the place from which to read on, and the nonce to begin with: what is below it has been shown.
    """
    check_limit(limit)
    resume, least = (0, 0) if cursor is None else decode_pair(cursor)
    span, holding = find_epoch_span(db, epoch), find_holding(db, account, asset)
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
    debited = read_debited(db, holding, low)
    rows = db.execute(_DEBITS, (holding, low, before))
    stack.callback(rows.close)
    for place, packed, nonce, record_id in rows:
        after = decode_amount(packed)
        yield (place, 0), PAYMENT, nonce, record_id, after - debited
        debited = after


def _walk_credits(db: sqlite3.Connection, stack: ExitStack, holding: int, first: Slot, before: int) -> Iterator[_Entry]:
    """In ledger order, from slot `first` on, at places below `before`."""
    place, output = first[0], max(first[1] - 1, 0)
    credited = read_credited(db, holding, place, output)
    rows = db.execute(_CREDITS, (holding, place, output, before))
    stack.callback(rows.close)
    for place, output, packed, nonce, payment_id, position, deposit_id in rows:
        after = decode_amount(packed)
        if payment_id is not None:
            yield (place, output + 1), PAYMENT, nonce, payment_id, after - credited
        else:
            yield (place, output + 1), DEPOSIT, position, deposit_id, after - credited
        credited = after
