"""Lists of payments, newest first or last. The filter chooses which indexes are walked; each gives places in order."""

import heapq
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec

from chain.errors import MalformedRequest, UnknownKind
from chain.kinds import KIND_CODES, WITHDRAW
from chain.payment import Output
from chain.primitives import ZERO_HASH, Address, Hash
from node.index.cursors import decode_place, encode_place
from node.index.lookups import (
    Addresses,
    check_limit,
    find_account,
    find_asset,
    find_epochs_span,
    find_time_span,
    list_assets,
    read_credited,
    read_debited,
)
from node.index.records import IndexedPayment, Page
from node.index.schema import (
    KINDS_BY_CODE,
    MAX_PLACE,
    RECORD_BITS,
    decode_amount,
    pack_holding,
    pack_place,
    unpack_place,
)

MAX_VISITED: Final = 5_000
"""Records looked at to fill one page, where a filter has no index of its own: some 20 ms."""

MAX_COUNTED: Final = 100_000
"""Entries of indexes gone through in one look that only counts: some 10 ms."""

_Head: TypeAlias = tuple[int, int | None, int | None, int | None, int | None]
"""What filters look at: place, kind, asset, payer, payee. All but the place are None where a deposit stands."""

_Source: TypeAlias = tuple[str, str, tuple[Any, ...]]
"""The column of places, a table with a condition, and the values for it. Its index has the places in order."""

_SELECT_PAYMENT: Final = (
    "SELECT p.place, p.id, p.kind, p.asset, p.payer, p.nonce, p.total, p.payee, p.reference, p.memo, b.timestamp, "
    f"b.epoch FROM payments p CROSS JOIN blocks b ON b.number = p.place >> {RECORD_BITS} WHERE p.place = ?"
)
_ALL: Final = "payments p WHERE"
_BY_KIND: Final = "payments p WHERE p.kind = ? AND p.asset = ? AND"
_BY_REFERENCE: Final = "payments p WHERE substr(p.reference, 1, 8) = ? AND p.reference = ? AND"

# LEFT JOIN fixes the order, and lets deposits among the credits count as looked at.
_BY_PAYER: Final = "debits s LEFT JOIN payments p ON p.place = s.place WHERE s.holding = ? AND"
_BY_PAYEE: Final = "credits s LEFT JOIN payments p ON p.place = s.place WHERE s.holding = ? AND"
_BY_RECIPIENT: Final = (
    "withdrawals s LEFT JOIN payments p ON p.place = s.place WHERE s.recipient = ? AND s.asset = ? AND"
)

_SOME_WITHDRAWALS: Final = (
    "SELECT place FROM withdrawals WHERE recipient = ? AND asset = ? AND place >= ? AND place < ? LIMIT ?"
)


class Direction(StrEnum):
    """Of a payment, as an account sees it. Who pays oneself does both."""

    IN = "in"
    OUT = "out"


_TURNED: Final = {None: None, Direction.IN: Direction.OUT, Direction.OUT: Direction.IN}
"""What the other side sees."""


class PaymentFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of payments is to show; None for anything."""

    account: Address | None = None
    """The payer or a payee, the recipient of a withdrawal on L1 included."""
    direction: Direction | None = None
    """Only what the account paid, or only what was paid to it."""
    counterparty: Address | None = None
    """Who is on the other side of the account's payments."""
    asset: Address | None = None
    kind: str | None = None
    reference: Hash | None = None
    from_s: int | None = None
    """Unix seconds, included; of the block's time."""
    to_s: int | None = None
    """Unix seconds, included."""
    first_epoch: int | None = None
    last_epoch: int | None = None

    def check(self) -> None:
        """Raises `UnknownKind`; `MalformedRequest` for the reference zero, which means that nothing is named, and for a
        direction or a counterparty without an account."""
        if self.kind is not None and self.kind not in KIND_CODES:
            raise UnknownKind(self.kind)
        if self.reference == ZERO_HASH:
            raise MalformedRequest("reference: zero is what payments have that name nothing")
        if self.account is None and (self.direction is not None or self.counterparty is not None):
            raise MalformedRequest("direction, counterparty: of which account?")


def list_payments(
    db: sqlite3.Connection,
    addresses: Addresses,
    wanted: PaymentFilter,
    cursor: str | None,
    limit: int,
    *,
    is_ascending: bool = False,
) -> Page[IndexedPayment]:
    """One page, beyond the cursor. Raises `MalformedRequest` (limit, cursor), then what `PaymentFilter.check`
    raises."""
    check_limit(limit)
    start = None if cursor is None else decode_place(cursor)
    wanted.check()
    items: list[IndexedPayment] = []
    with ExitStack() as stack:
        walk = _Walk(db, stack, wanted, start, is_ascending)
        last = start
        for visited, head in enumerate(walk.heads()):
            if visited == MAX_VISITED:
                return Page(tuple(items), _encode_last(last, is_ascending))
            if walk.is_wanted(head):
                if len(items) == limit:
                    return Page(tuple(items), _encode_last(last, is_ascending))
                items.append(_build(db, addresses, _read_row(db, head[0])))
            last = head[0]
    return Page(tuple(items), None)


def read_payment(db: sqlite3.Connection, addresses: Addresses, place: int) -> IndexedPayment | None:
    """None when no payment stands there: a deposit, or nothing."""
    row = db.execute(_SELECT_PAYMENT, (place,)).fetchone()
    return None if row is None else _build(db, addresses, _Row(*row))


def count_payments(db: sqlite3.Connection, wanted: PaymentFilter, cursor: str | None) -> tuple[int, str | None]:
    """How many `list_payments` shows from the cursor on, as far as one look goes; and the cursor for the next look,
    None after the last. Raises as `list_payments` does."""
    start = None if cursor is None else decode_place(cursor)
    wanted.check()
    with ExitStack() as stack:
        walk = _Walk(db, stack, wanted, start, is_ascending=False)
        if wanted.account is None and wanted.reference is None:
            return walk.count_sources()
        count, last = 0, start
        for visited, head in enumerate(walk.heads()):
            if visited == MAX_VISITED:
                return count, _encode_last(last, is_ascending=False)
            count += walk.is_wanted(head)
            last = head[0]
    return count, None


def encode_cursor(payment: IndexedPayment) -> str:
    """Where the list goes on beside this payment, in either direction."""
    return encode_place(pack_place(payment.block, payment.record))


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
    memo: str | None
    timestamp: int
    epoch: int


class _Walk:
    """A filter with its addresses looked up, over a span of places."""

    def __init__(
        self,
        db: sqlite3.Connection,
        stack: ExitStack,
        wanted: PaymentFilter,
        start: int | None,
        is_ascending: bool,
    ) -> None:
        """`start`: the place beyond which the walk begins, in its own direction."""
        self._db, self._stack, self._is_ascending = db, stack, is_ascending
        spans = [
            find_time_span(db, wanted.from_s, wanted.to_s),
            find_epochs_span(db, wanted.first_epoch, wanted.last_epoch),
        ]
        if start is not None:
            spans.append((min(start + 1, MAX_PLACE), MAX_PLACE) if is_ascending else (0, start))
        self._low = max([low for low, _ in spans])
        self._high = max(self._low, min([high for _, high in spans]))
        self._kind = None if wanted.kind is None else KIND_CODES[wanted.kind]
        if wanted.asset is None:
            self._assets = list(range(len(list_assets(db))))
        else:
            asset = find_asset(db, wanted.asset)
            self._assets = [] if asset is None else [asset]
        if wanted.account is not None and wanted.counterparty is not None:
            wanted = self._begin_with_the_quieter(wanted, wanted.account, wanted.counterparty)
        self._wanted = wanted
        self._account = None if wanted.account is None else find_account(db, wanted.account)
        self._counterparty = None if wanted.counterparty is None else find_account(db, wanted.counterparty)
        # Without a reference, an account's own entries are walked, those of its direction alone.
        self._is_party_checked = wanted.account is not None and (
            wanted.reference is not None or wanted.counterparty is not None
        )

    def heads(self) -> Iterator[_Head]:
        """In the walk's direction, each place once; of all that is wanted, and maybe more."""
        last = None
        sources = [self._select(source) for source in self._choose_sources()]
        for head in heapq.merge(*sources, key=itemgetter(0), reverse=not self._is_ascending):
            if head[0] != last:
                yield head
            last = head[0]

    def is_wanted(self, head: _Head) -> bool:
        _, kind, asset, _, _ = head
        return (
            kind is not None
            and asset in self._assets
            and (self._kind is None or kind == self._kind)
            and (not self._is_party_checked or self._is_between(head))
        )

    def count_sources(self) -> tuple[int, str | None]:
        """How many of the newest places there are, if no two sources have the same one; and the cursor below them."""
        sources = self._choose_sources()
        share = max(1, MAX_COUNTED // max(1, len(sources)))
        low = self._low
        for place, table, key in sources:
            beyond = self._db.execute(
                f"SELECT {place} FROM {table} ORDER BY {place} DESC LIMIT 1 OFFSET ?", (*key, share)
            ).fetchone()
            if beyond is not None:
                low = max(low, beyond[0] + 1)
        counts = [
            # A source's last value is the upper end of its places, the one before it the lower.
            self._db.execute(f"SELECT count(*) FROM {table}", (*key[:-2], low, key[-1])).fetchone()[0]
            for _, table, key in sources
        ]
        return sum(counts), None if low == self._low else encode_place(low)

    def _begin_with_the_quieter(self, wanted: PaymentFilter, account: Address, counterparty: Address) -> PaymentFilter:
        """What two have paid each other is the same from either side, and sooner found from that of fewer entries."""
        turned = _TURNED[wanted.direction]
        if self._count_entries(counterparty, turned) >= self._count_entries(account, wanted.direction):
            return wanted
        return msgspec.structs.replace(wanted, account=counterparty, direction=turned, counterparty=account)

    def _count_entries(self, address: Address, direction: Direction | None) -> int:
        """How many there are to walk; of withdrawals to the address, as many as one walk looks at."""
        db, low, high, account = self._db, self._low, self._high, find_account(self._db, address)
        count = 0
        for asset in self._assets:
            holding = None if account is None else pack_holding(account, asset)
            if direction != Direction.IN and holding is not None:
                count += read_debited(db, holding, high)[1] - read_debited(db, holding, low)[1]
            if direction != Direction.OUT:
                if holding is not None:
                    count += read_credited(db, holding, high)[1] - read_credited(db, holding, low)[1]
                count += len(db.execute(_SOME_WITHDRAWALS, (address, asset, low, high, MAX_VISITED)).fetchall())
        return count

    def _choose_sources(self) -> list[_Source]:
        wanted = self._wanted
        if wanted.reference is not None:
            return [self._bound(_BY_REFERENCE, wanted.reference[:8], wanted.reference)]
        if wanted.account is not None:
            sources = []
            holdings = [] if self._account is None else [pack_holding(self._account, asset) for asset in self._assets]
            if wanted.direction != Direction.IN:
                sources += [self._bound(_BY_PAYER, holding) for holding in holdings]
            if wanted.direction != Direction.OUT:
                sources += [self._bound(_BY_PAYEE, holding) for holding in holdings]
                sources += [self._bound(_BY_RECIPIENT, wanted.account, asset) for asset in self._assets]
            return sources
        if wanted.kind is not None or wanted.asset is not None:
            kinds = KINDS_BY_CODE if self._kind is None else (self._kind,)
            return [self._bound(_BY_KIND, kind, asset) for kind in kinds for asset in self._assets]
        return [self._bound(_ALL)]

    def _bound(self, source: str, *key: Any) -> _Source:
        place = "p.place" if source.startswith("payments") else "s.place"
        return place, f"{source} {place} >= ? AND {place} < ?", (*key, self._low, self._high)

    def _select(self, source: _Source) -> Iterator[_Head]:
        place, table, key = source
        order = "ASC" if self._is_ascending else "DESC"
        rows = self._db.execute(
            f"SELECT {place}, p.kind, p.asset, p.payer, p.payee FROM {table} ORDER BY {place} {order}", key
        )
        self._stack.callback(rows.close)
        return rows

    def _is_between(self, head: _Head) -> bool:
        """Whether the account paid, or was paid by, the other side that is wanted, in the direction that is wanted."""
        wanted, payer = self._wanted, head[3]
        assert wanted.account is not None
        is_sent = wanted.direction != Direction.IN and payer == self._account
        if is_sent and (wanted.counterparty is None or self._is_payee(head, wanted.counterparty, self._counterparty)):
            return True
        is_other_payer = wanted.counterparty is None or payer == self._counterparty
        return (
            wanted.direction != Direction.OUT and is_other_payer and self._is_payee(head, wanted.account, self._account)
        )

    def _is_payee(self, head: _Head, address: Address, account: int | None) -> bool:
        """`account`: the id of the address, None if the ledger has none."""
        place, kind, asset, _, payee = head
        if kind == KIND_CODES[WITHDRAW]:
            return _read_recipient(self._db, place) == address
        if account is None or payee is not None:
            return account is not None and payee == account
        # One of many outputs: sought among the account's credits, which is quicker than to read them all.
        assert asset is not None
        credit = self._db.execute(
            "SELECT 1 FROM credits k WHERE k.holding = ? AND k.place = ? LIMIT 1", (pack_holding(account, asset), place)
        )
        return credit.fetchone() is not None


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
        memo=row.memo or "",
    )


def _encode_last(place: int | None, is_ascending: bool) -> str:
    """The cursor after the last place that was looked at, or where nothing was: before the first."""
    return encode_place(place if place is not None else 0 if is_ascending else MAX_PLACE)


def _read_row(db: sqlite3.Connection, place: int) -> _Row:
    """Of a payment that is there."""
    return _Row(*db.execute(_SELECT_PAYMENT, (place,)).fetchone())


def _read_outputs(db: sqlite3.Connection, place: int) -> list[tuple[int, int]]:
    """(account, amount) of a payment with more than one output."""
    rows = db.execute("SELECT payee, amount FROM outputs WHERE place = ? ORDER BY output", (place,))
    return [(payee, decode_amount(amount)) for payee, amount in rows]


def _read_recipient(db: sqlite3.Connection, place: int) -> Address:
    recipient: Address = db.execute("SELECT recipient FROM withdrawals WHERE place = ?", (place,)).fetchone()[0]
    return recipient
