"""The catalogue: files singly and in lists, found by their words and tags, newest first or last.

Words are found through SQLite's FTS5 by their trigrams: any part of a word, in any script, folded as `node.index.words`
says. Terms of fewer than three characters have no trigram; they are looked for in the files that all else has chosen.
FTS5 itself goes on until it has found something: where many files have all trigrams of a term and none has the term, it
passes them all, some 60 ms for 100,000. That alone is not bounded by how many files a page looks at.
"""

import json
import sqlite3
from collections.abc import Collection
from contextlib import closing
from typing import Any, Final, TypeAlias

import msgspec

from chain.primitives import Address, Hash
from node.index.cursors import decode_place, encode_place
from node.index.lookups import Addresses, Span, check_limit, find_account, find_file, list_assets
from node.index.records import Earnings, IndexedFile, Page, PricePoint, TagCount
from node.index.schema import MAX_PLACE, PARTS, RECORD_BITS, decode_amount, pack_place, unpack_place
from node.index.words import TRIGRAM, fold_tags, fold_text, join_text, quote_words, split_terms

MAX_VISITED: Final = 1_000
"""Files looked at to fill one page: some 50 ms."""

_SELECT: Final = (
    "SELECT f.place, f.file, f.validator, f.owner, f.asset, s.price, f.size, f.storage_days, s.keep_until, "
    "s.service_node, i.id, b.timestamp, b.epoch, f.content_hash, f.name, f.media_type, f.tags, f.description, "
    "f.key_hash, f.has_sealed_key, s.is_delisted, s.sale_count, s.sold FROM files f "
    "CROSS JOIN file_states s ON s.place = f.place CROSS JOIN instructions i ON i.place = f.place "
    f"CROSS JOIN blocks b ON b.number = f.place >> {RECORD_BITS} WHERE f.place = ?"
)

_Source: TypeAlias = tuple[str, str, tuple[Any, ...]]
"""The column of places, a table with a condition, and the values for it. Its index has the places in order."""


class FileFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of files is to show; None for anything."""

    text: str | None = None
    """Terms, all of which are somewhere in the name, description, type and tags; see `node.index.words`."""
    tags: tuple[str, ...] = ()
    """All of them, in any case."""
    media_type: str | None = None
    """In any case; "image" stands for all "image/…"."""
    validator: Address | None = None
    owner: Address | None = None
    service_node: Address | None = None
    asset: Address | None = None
    is_all: bool = False
    """Those that were delisted, too."""


def read_file(db: sqlite3.Connection, addresses: Addresses, place: int) -> IndexedFile | None:
    """The file whose listing stands there."""
    row = db.execute(_SELECT, (place,)).fetchone()
    return None if row is None else _build(db, addresses, row)


def list_files(
    db: sqlite3.Connection,
    addresses: Addresses,
    wanted: FileFilter,
    cursor: str | None,
    limit: int,
    *,
    is_ascending: bool = False,
) -> Page[IndexedFile]:
    """One page, beyond the cursor. Where few of many are wanted, it may be short and go on. Raises `MalformedRequest`
    (limit, cursor)."""
    check_limit(limit)
    low, high = 0, MAX_PLACE
    if cursor is not None and is_ascending:
        low = min(decode_place(cursor) + 1, MAX_PLACE)
    elif cursor is not None:
        high = decode_place(cursor)
    source = _choose_source(db, wanted, (low, high))
    column, table, keys = source
    rows = db.execute(
        f"SELECT {column} FROM {table} {column} >= ? AND {column} < ? "
        f"ORDER BY {column} {'ASC' if is_ascending else 'DESC'} LIMIT ?",
        (*keys, low, high, MAX_VISITED + 1),
    )
    is_wanted = _Check(wanted, is_found_by_words=table == _BY_WORDS)
    items: list[IndexedFile] = []
    last = 0
    with closing(rows):
        for visited, (place,) in enumerate(rows):
            if visited == MAX_VISITED:
                return Page(tuple(items), encode_place(last))
            file = read_file(db, addresses, place)
            if file is not None and is_wanted(file):
                if len(items) == limit:
                    return Page(tuple(items), encode_place(last))
                items.append(file)
            last = place
    return Page(tuple(items), None)


def list_prices(db: sqlite3.Connection, file: Hash, cursor: str | None, limit: int) -> Page[PricePoint]:
    """What a file cost from when on, newest first. Raises `MalformedRequest` (limit, cursor)."""
    check_limit(limit)
    high = MAX_PLACE if cursor is None else decode_place(cursor)
    rows = db.execute(
        "SELECT p.place, p.price, b.timestamp FROM prices p CROSS JOIN blocks b "
        f"ON b.number = p.place >> {RECORD_BITS} WHERE p.file = ? AND p.place < ? ORDER BY p.place DESC LIMIT ?",
        (find_file(db, file), high, limit + 1),
    ).fetchall()
    items = tuple([PricePoint(decode_amount(price), *unpack_place(place), time) for place, price, time in rows[:limit]])
    return Page(items, encode_place(rows[limit - 1][0]) if len(rows) > limit else None)


def read_names(db: sqlite3.Connection, files: Collection[Hash]) -> dict[Hash, str]:
    """File → its name; without those that are not listed."""
    names = {}
    for file in files:
        row = db.execute("SELECT name FROM files WHERE file = ?", (file,)).fetchone()
        if row is not None:
            names[file] = row[0]
    return names


def find_purchase(db: sqlite3.Connection, file: Hash, buyer: Address) -> int | None:
    """The place of the payment by which the buyer bought the file."""
    row = db.execute(
        "SELECT place FROM purchases WHERE file = ? AND buyer = ?", (find_file(db, file), find_account(db, buyer))
    ).fetchone()
    return None if row is None else row[0]


def list_tags(db: sqlite3.Connection, limit: int) -> list[TagCount]:
    """The tags of most files that are not delisted."""
    check_limit(limit)
    rows = db.execute("SELECT tag, count FROM tags WHERE count > 0 ORDER BY count DESC, tag LIMIT ?", (limit,))
    return [TagCount(tag, count) for tag, count in rows]


def list_earnings(db: sqlite3.Connection, account: Address) -> tuple[Earnings, ...]:
    """By asset, in the contract's order, and part."""
    rows = db.execute(
        "SELECT asset, part, count, amount FROM earnings WHERE account = ? ORDER BY asset, part",
        (find_account(db, account),),
    )
    assets = list_assets(db)
    return tuple(
        [Earnings(assets[asset], PARTS[part], count, decode_amount(amount)) for asset, part, count, amount in rows]
    )


def encode_file_cursor(file: IndexedFile) -> str:
    """Where the list goes on beside this file, in either direction."""
    return encode_place(pack_place(file.block, file.record))


class _Check:
    """What is left to look at in a file that a source gave: all conditions, as each is quickly seen, but for the terms
    that it was found by."""

    def __init__(self, wanted: FileFilter, *, is_found_by_words: bool) -> None:
        self._wanted = wanted
        self._tags = set(fold_tags(wanted.tags))
        self._terms = [term for term in split_terms(wanted.text) if len(term) < TRIGRAM or not is_found_by_words]
        self._media_type = None if wanted.media_type is None else fold_text(wanted.media_type)

    def __call__(self, file: IndexedFile) -> bool:
        wanted = self._wanted
        return (
            (wanted.is_all or not file.is_delisted)
            and wanted.validator in (None, file.validator)
            and wanted.owner in (None, file.owner)
            and wanted.service_node in (None, file.service_node)
            and wanted.asset in (None, file.asset)
            and self._tags.issubset(fold_tags(file.tags) if self._tags else ())
            and self._has_media_type(file)
            and self._has_terms(file)
        )

    def _has_media_type(self, file: IndexedFile) -> bool:
        if self._media_type is None:
            return True
        given = fold_text(file.media_type)
        return given == self._media_type or given.startswith(self._media_type + "/")

    def _has_terms(self, file: IndexedFile) -> bool:
        if not self._terms:
            return True
        text = join_text(file.name, file.description, file.media_type, file.tags)
        return all(term in text for term in self._terms)


_BY_WORDS: Final = "words WHERE words MATCH ? AND"


def _choose_source(db: sqlite3.Connection, wanted: FileFilter, span: Span) -> _Source:
    """The index to walk: of those that can be, the one of fewest files, as far as one page looks."""
    sources: list[_Source] = []
    words = [term for term in split_terms(wanted.text) if len(term) >= TRIGRAM]
    if words:
        sources.append(("rowid", _BY_WORDS, (quote_words(words),)))
    if wanted.tags:
        _, rarest = min([_find_tag(db, tag) for tag in wanted.tags])
        sources.append(("file", "file_tags WHERE tag = ? AND", (rarest,)))
    for column, table, account in (
        ("owner", "files", wanted.owner),
        ("validator", "files", wanted.validator),
        ("service_node", "file_states", wanted.service_node),
    ):
        if account is not None:
            sources.append(("place", f"{table} WHERE {column} = ? AND", (find_account(db, account),)))
    if len(sources) > 1:
        return min(sources, key=lambda source: _count(db, source, span))
    return sources[0] if sources else ("place", "files WHERE", ())


def _count(db: sqlite3.Connection, source: _Source, span: Span) -> int:
    """How many files there are to walk; no more than one page looks at."""
    column, table, keys = source
    rows = db.execute(
        f"SELECT {column} FROM {table} {column} >= ? AND {column} < ? LIMIT ?", (*keys, *span, MAX_VISITED)
    )
    return len(rows.fetchall())


def _find_tag(db: sqlite3.Connection, tag: str) -> tuple[int, int]:
    """How many files have it, and its id; 0 and an id that nothing has for one that is not known."""
    row = db.execute("SELECT count, id FROM tags WHERE tag = ?", (fold_text(tag),)).fetchone()
    return (0, 0) if row is None else row


def _build(db: sqlite3.Connection, addresses: Addresses, row: tuple[Any, ...]) -> IndexedFile:
    place, file, validator, owner, asset, price, size, days, keep_until, node, listing, timestamp, epoch, *rest = row
    content_hash, name, media_type, tags, description, key_hash, has_sealed_key, is_delisted, sale_count, sold = rest
    block, record = unpack_place(place)
    return IndexedFile(
        id=file,
        validator=addresses(db, validator),
        owner=addresses(db, owner),
        asset=list_assets(db)[asset],
        price=decode_amount(price),
        size=decode_amount(size),
        storage_days=days,
        keep_until=keep_until,
        service_node=None if node is None else addresses(db, node),
        listing=listing,
        block=block,
        record=record,
        timestamp=timestamp,
        epoch=epoch,
        content_hash=content_hash,
        name=name,
        media_type=media_type,
        tags=tuple(json.loads(tags)),
        description=description,
        key_hash=key_hash,
        has_sealed_key=bool(has_sealed_key),
        is_delisted=bool(is_delisted),
        sale_count=sale_count,
        sold=decode_amount(sold),
    )
