"""That whoever turns pages, either way, sees every row, whatever is added meanwhile."""

import itertools
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain.errors import MalformedRequest
from explorer.listing import DEFAULT_LIMIT, MAX_LIMIT, Cursor, Slice, read_cursor, read_slice
from node.index import IndexReader, IndexWriter, PaymentFilter, encode_cursor, encode_deposit_cursor, payments
from tests.unit.node.index.history import RandomLedger, apply
from tests.unit.node.index.oracle import describe_deposit, list_wanted

FIRST, LAST = "0" * 16, "7" + "f" * 15
"""Cursors before and behind everything."""

LIMITS = (1, 2, 3, 7, 25, 100)


class Book:
    """A ledger that grows, and its index."""

    def __init__(self, path: Path) -> None:
        self.ledger = RandomLedger(21)
        self.ledger.run(40)
        self.writer = IndexWriter(path, self.ledger.parameters.genesis_hash)
        self.index = IndexReader(path)
        apply(self.writer, self.ledger.entries)

    def grow(self) -> None:
        self.ledger.add_block()
        apply(self.writer, self.ledger.entries)

    def close(self) -> None:
        self.index.close()
        self.writer.close()


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    book = Book(tmp_path / "index.sqlite")
    yield book
    book.close()


class Listing:
    """A list that can be read in slices, and what is in it."""

    def __init__(self, book: Book, kind: str) -> None:
        self._book = book
        account, other = book.ledger.accounts[:2]
        self._wanted = {
            "payments": PaymentFilter(),
            "of an account": PaymentFilter(account=account),
            "rare": PaymentFilter(account=account, counterparty=other),
            "never": PaymentFilter(account=account, counterparty=b"\x01" * 20),
            "deposits": None,
        }[kind]

    @property
    def rows(self) -> list[Any]:
        """Newest first."""
        if self._wanted is None:
            return [describe_deposit(placed) for placed in reversed(self._book.ledger.deposits)]
        return list_wanted(self._book.ledger, self._wanted)

    def read(self, **where: Any) -> Slice[Any]:
        if self._wanted is None:
            return read_slice(partial(self._book.index.list_deposits, None), encode_deposit_cursor, Cursor(**where))
        return read_slice(partial(self._book.index.list_payments, self._wanted), encode_cursor, Cursor(**where))

    def encode(self, row: Any) -> str:
        return encode_deposit_cursor(row) if self._wanted is None else encode_cursor(row)

    def walk_older(self, limit: int, growing: bool = False) -> list[Slice[Any]]:
        slices = [self.read(limit=limit)]
        while slices[-1].older is not None:
            assert len(slices) < 2000
            if growing:
                self._book.grow()
            slices.append(self.read(before=slices[-1].older, limit=limit))
        return slices

    def walk_newer(self, limit: int, growing: bool = False) -> list[Slice[Any]]:
        """Begins before everything. The last is the newest slice, which may repeat rows of those before it."""
        slices = [self.read(after=FIRST, limit=limit)]
        while slices[-1].newer is not None:
            assert len(slices) < 2000
            if growing and len(slices) < 30:
                self._book.grow()
            slices.append(self.read(after=slices[-1].newer, limit=limit))
        return slices


@pytest.fixture(params=["payments", "of an account", "rare", "never", "deposits"])
def listing(request: pytest.FixtureRequest, book: Book, monkeypatch: pytest.MonkeyPatch) -> Listing:
    monkeypatch.setattr(payments, "MAX_VISITED", 4)  # so that rare things leave slices short, even empty
    return Listing(book, request.param)


def join(slices: list[Slice[Any]]) -> list[Any]:
    return [row for each in slices for row in each.rows]


@pytest.mark.parametrize("limit", LIMITS)
def test_walking_older_shows_every_row_once(listing: Listing, limit: int) -> None:
    slices = listing.walk_older(limit)
    assert join(slices) == listing.rows
    assert slices[0].newer is None
    assert all(each.newer is not None for each in slices[1:])
    assert all(len(each.rows) <= limit for each in slices)


@pytest.mark.parametrize("limit", LIMITS)
def test_walking_newer_shows_every_row_once_but_for_the_last_slice(listing: Listing, limit: int) -> None:
    *slices, newest = listing.walk_newer(limit)
    seen = join([msgspec.structs.replace(each, rows=each.rows[::-1]) for each in slices])
    repeated = [row for row in newest.rows if row in seen]
    assert seen + [row for row in newest.rows[::-1] if row not in seen] == listing.rows[::-1]
    assert list(newest.rows[len(newest.rows) - len(repeated) :]) == repeated  # those at its end
    assert newest == listing.read(limit=limit)


@pytest.mark.parametrize("limit", (1, 3, 25))
def test_walking_older_is_not_disturbed_by_what_is_added(listing: Listing, limit: int) -> None:
    there = listing.rows
    assert join(listing.walk_older(limit, growing=True)) == there


@pytest.mark.parametrize("limit", (1, 3, 25))
def test_walking_newer_reaches_what_is_added(listing: Listing, limit: int) -> None:
    *slices, newest = listing.walk_newer(limit, growing=True)
    seen = join([msgspec.structs.replace(each, rows=each.rows[::-1]) for each in slices])
    assert seen + [row for row in newest.rows[::-1] if row not in seen] == listing.rows[::-1]


@pytest.mark.parametrize("limit", LIMITS)
def test_the_way_back_leads_to_where_one_was(book: Book, limit: int) -> None:
    """Of lists whose slices are full; those cut short by a long search may be cut elsewhere from the other side."""
    for kind in ("payments", "of an account", "deposits"):
        listing = Listing(book, kind)
        slices = listing.walk_older(limit)
        for newer, older in itertools.pairwise(slices):
            back = listing.read(after=older.newer, limit=limit)
            assert back.rows == newer.rows
            assert back.older is not None
            assert listing.read(before=back.older, limit=limit).rows == older.rows


def test_every_place_of_the_ledger_is_a_cursor(book: Book) -> None:
    """Also that of a row that the list does not have, or that is no row at all."""
    rng = random.Random(22)
    everything = [encode_cursor(row) for row in Listing(book, "payments").rows]
    places = [FIRST, LAST, f"{99 << 20:016x}", *rng.sample(everything, 20)]
    places += [encode_deposit_cursor(row) for row in Listing(book, "deposits").rows[:20]]
    for kind in ("payments", "of an account", "rare", "never", "deposits"):
        listing = Listing(book, kind)
        rows = listing.rows
        for place in places:
            older = [row for row in rows if listing.encode(row) < place]
            newer = [row for row in rows if listing.encode(row) > place]
            assert list(listing.read(before=place, limit=5).rows) == older[:5]
            after = listing.read(after=place, limit=5)
            # Whoever comes within a slice of the newest sees the newest slice.
            assert list(after.rows) == (newer[-5:] if len(newer) > 5 else rows[:5])
            assert (after.newer is None) == (len(newer) <= 5)


def test_what_was_never_a_cursor_is_refused(book: Book) -> None:
    for kind in ("payments", "deposits"):
        for text in ("x", "", FIRST[1:], FIRST + "0", "8" + FIRST[1:], LAST.upper(), "-" + FIRST[1:]):
            for where in ("before", "after"):
                with pytest.raises(MalformedRequest, match="cursor"):
                    Listing(book, kind).read(**{where: text})


def test_cursors_come_from_the_url() -> None:
    assert read_cursor({}) == read_cursor({"before": "", "after": " ", "limit": ""}) == Cursor()
    assert Cursor().limit == DEFAULT_LIMIT
    assert read_cursor({"before": f" {LAST} "}) == Cursor(before=LAST)
    assert read_cursor({"after": FIRST, "limit": "7"}) == Cursor(after=FIRST, limit=7)
    assert read_cursor({"limit": str(MAX_LIMIT)}).limit == MAX_LIMIT
    assert read_cursor({}, default_limit=3).limit == 3
    assert read_cursor({"limit": "1000"}, max_limit=1000).limit == 1000
    with pytest.raises(MalformedRequest, match="before, after"):
        read_cursor({"before": LAST, "after": FIRST})
    for limit in ("0", "-1", str(MAX_LIMIT + 1), "ten", "1.0", "1e1", "٣", "²", "1_0", "+5", "9" * 5000):
        with pytest.raises(MalformedRequest, match=f"limit: from 1 to {MAX_LIMIT}"):
            read_cursor({"limit": limit})
