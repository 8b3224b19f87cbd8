"""Lists of payments, newest first. The filter chooses which indexes are walked; each gives places in that order."""

import heapq
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final, TypeAlias

import msgspec

from chain.errors import MalformedRequest, UnknownKind
from chain.kinds import KIND_CODES, WITHDRAW
from chain.payment import Output
from chain.primitives import ZERO_HASH, Address, Hash
from node.index.cursors import decode_place, encode_place
from node.index.lookups import check_limit, find_account, find_asset, find_time_span, list_assets
from node.index.records import IndexedPayment, Page
from node.index.schema import KINDS_BY_CODE, MAX_PLACE, RECORD_BITS, decode_amount, pack_holding, unpack_place

MAX_VISITED: Final = 5_000
"""Records looked at to fill one page, where a filter has no index of its own: some 20 ms."""

Addresses: TypeAlias = Callable[[sqlite3.Connection, int], Address]
"""Account id → its address."""

_SELECT_PAYMENT: Final = (
    "SELECT p.place, p.id, p.kind, p.asset, p.payer, p.nonce, p.total, p.payee, p.reference, b.timestamp, b.epoch "
    f"FROM payments p CROSS JOIN blocks b ON b.number = p.place >> {RECORD_BITS} WHERE p.place = ?"
)
_WITHIN: Final = "place >= ? AND place < ? ORDER BY place DESC"
_ALL: Final = f"SELECT place FROM payments WHERE {_WITHIN}"
_BY_KIND: Final = f"SELECT place FROM payments WHERE kind = ? AND asset = ? AND {_WITHIN}"
_BY_REFERENCE: Final = f"SELECT place FROM payments WHERE substr(reference, 1, 8) = ? AND reference = ? AND {_WITHIN}"
_BY_PAYER: Final = f"SELECT place FROM debits WHERE holding = ? AND {_WITHIN}"
_BY_PAYEE: Final = f"SELECT place FROM credits WHERE holding = ? AND {_WITHIN}"
_BY_RECIPIENT: Final = f"SELECT place FROM withdrawals WHERE recipient = ? AND asset = ? AND {_WITHIN}"


class PaymentFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of payments is to show; None for anything."""

    account: Address | None = None
    """The payer or a payee, the recipient of a withdrawal on L1 included."""
    asset: Address | None = None
    kind: str | None = None
    reference: Hash | None = None
    from_s: int | None = None
    """Unix seconds, included; of the block's time."""
    to_s: int | None = None
    """Unix seconds, included."""

    def check(self) -> None:
        """Raises `UnknownKind`; `MalformedRequest` for the reference zero, which means that nothing is named."""
        if self.kind is not None and self.kind not in KIND_CODES:
            raise UnknownKind(self.kind)
        if self.reference == ZERO_HASH:
            raise MalformedRequest("reference: zero is what payments have that name nothing")


def list_payments(
    db: sqlite3.Connection, addresses: Addresses, wanted: PaymentFilter, cursor: str | None, limit: int
) -> Page[IndexedPayment]:
    """One page, at and below the cursor. Raises `MalformedRequest` (limit, cursor), then what `PaymentFilter.check`
    raises."""
    check_limit(limit)
    before = MAX_PLACE if cursor is None else decode_place(cursor)
    wanted.check()
    items: list[IndexedPayment] = []
    with ExitStack() as stack:
        walk = _Walk(db, stack, wanted, before)
        for visited, place in enumerate(walk.places()):
            if visited == MAX_VISITED:
                return Page(tuple(items), encode_place(before))
            row = _read_row(db, place)
            if row is not None and walk.is_wanted(row):
                if len(items) == limit:
                    return Page(tuple(items), encode_place(before))
                items.append(_build(db, addresses, row))
            before = place
    return Page(tuple(items), None)


def read_payment(db: sqlite3.Connection, addresses: Addresses, place: int) -> IndexedPayment | None:
    """None when no payment stands there: a deposit, or nothing."""
    row = _read_row(db, place)
    return None if row is None else _build(db, addresses, row)


class _Row(msgspec.Struct, array_like=True, gc=False):
    """A row of `payments` with its block's, packed as it is there."""

    place: int
    id: Hash
    kind: int
    asset: int
    payer: int
    nonce: int
    total: bytes
    payee: int | None
    reference: Hash | None
    timestamp: int
    epoch: int


class _Walk:
    """A filter with its addresses looked up, over a span of places."""

    def __init__(self, db: sqlite3.Connection, stack: ExitStack, wanted: PaymentFilter, before: int) -> None:
        self._db, self._stack, self._wanted = db, stack, wanted
        self._low, high = find_time_span(db, wanted.from_s, wanted.to_s)
        self._high = min(high, before)
        self._account = None if wanted.account is None else find_account(db, wanted.account)
        self._kind = None if wanted.kind is None else KIND_CODES[wanted.kind]
        if wanted.asset is None:
            self._assets = list(range(len(list_assets(db))))
        else:
            asset = find_asset(db, wanted.asset)
            self._assets = [] if asset is None else [asset]

    def places(self) -> Iterator[int]:
        """Descending, each once; of all that is wanted, and maybe more."""
        last = None
        for place in heapq.merge(*self._choose_sources(), reverse=True):
            if place != last:
                yield place
            last = place

    def is_wanted(self, row: _Row) -> bool:
        wanted = self._wanted
        return (
            row.asset in self._assets
            and (self._kind is None or row.kind == self._kind)
            and (wanted.reference is None or row.reference == wanted.reference)
            # Without a reference, an account's own entries are walked.
            and (wanted.account is None or wanted.reference is None or self._is_party(row, wanted.account))
        )

    def _choose_sources(self) -> list[Iterator[int]]:
        wanted = self._wanted
        if wanted.reference is not None:
            return [self._select(_BY_REFERENCE, wanted.reference[:8], wanted.reference)]
        if wanted.account is not None:
            sources = [self._select(_BY_RECIPIENT, wanted.account, asset) for asset in self._assets]
            if self._account is not None:
                for holding in [pack_holding(self._account, asset) for asset in self._assets]:
                    sources += [self._select(_BY_PAYER, holding), self._select(_BY_PAYEE, holding)]
            return sources
        if wanted.kind is not None or wanted.asset is not None:
            kinds = KINDS_BY_CODE if self._kind is None else (self._kind,)
            return [self._select(_BY_KIND, kind, asset) for kind in kinds for asset in self._assets]
        return [self._select(_ALL)]

    def _select(self, sql: str, *key: Any) -> Iterator[int]:
        rows = self._db.execute(sql, (*key, self._low, self._high))
        self._stack.callback(rows.close)
        return (place for (place,) in rows)

    def _is_party(self, row: _Row, address: Address) -> bool:
        if self._account is not None and self._account in (row.payer, row.payee):
            return True
        if row.kind == KIND_CODES[WITHDRAW]:
            return _read_recipient(self._db, row.place) == address
        return row.payee is None and self._account in [payee for payee, _ in _read_outputs(self._db, row.place)]


def _build(db: sqlite3.Connection, addresses: Addresses, row: _Row) -> IndexedPayment:
    total = decode_amount(row.total)
    outputs: tuple[Output, ...]
    if row.payee is not None:
        outputs = (Output(addresses(db, row.payee), total),)
    elif row.kind == KIND_CODES[WITHDRAW]:
        outputs = (Output(_read_recipient(db, row.place), total),)
    else:
        outputs = tuple([Output(addresses(db, payee), amount) for payee, amount in _read_outputs(db, row.place)])
    block, record = unpack_place(row.place)
    return IndexedPayment(
        id=row.id,
        block=block,
        record=record,
        timestamp=row.timestamp,
        epoch=row.epoch,
        kind=KINDS_BY_CODE[row.kind],
        asset=list_assets(db)[row.asset],
        payer=addresses(db, row.payer),
        nonce=row.nonce,
        total=total,
        outputs=outputs,
        reference=ZERO_HASH if row.reference is None else row.reference,
    )


def _read_row(db: sqlite3.Connection, place: int) -> _Row | None:
    row = db.execute(_SELECT_PAYMENT, (place,)).fetchone()
    return None if row is None else _Row(*row)


def _read_outputs(db: sqlite3.Connection, place: int) -> list[tuple[int, int]]:
    """(account, amount) of a payment with more than one output."""
    rows = db.execute("SELECT payee, amount FROM outputs WHERE place = ? ORDER BY output", (place,))
    return [(payee, decode_amount(amount)) for payee, amount in rows]


def _read_recipient(db: sqlite3.Connection, place: int) -> Address:
    recipient: Address = db.execute("SELECT recipient FROM withdrawals WHERE place = ?", (place,)).fetchone()[0]
    return recipient
