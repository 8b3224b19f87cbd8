"""The catalogue: files singly and in lists, found by their words and tags, newest first or last.

Words are found through SQLite's FTS5 by their trigrams: any part of a word, in any script and case. Terms of fewer than
three characters have no trigram; they are looked for in the files that all else has chosen.
"""

import json
import sqlite3
from collections.abc import Collection
from contextlib import closing
from typing import Any, Final, TypeAlias

import msgspec

from chain.primitives import Address, Hash
from node.index.cursors import decode_place, encode_place
from node.index.lookups import Addresses, check_limit, find_account, find_file, list_assets
from node.index.records import Earnings, IndexedFile, Page, PricePoint, TagCount
from node.index.schema import MAX_PLACE, PARTS, RECORD_BITS, decode_amount, pack_place, unpack_place

MAX_VISITED: Final = 1_000
"""Files looked at to fill one page: some 20 ms."""

MAX_TERMS: Final = 8
"""Of a search; those beyond are not looked at."""

_TRIGRAM: Final = 3

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
    """Terms, all of which are somewhere in the name, description, type and tags."""
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
    column, source, keys = _choose_source(db, wanted)
    rows = db.execute(
        f"SELECT {column} FROM {source} {column} >= ? AND {column} < ? "
        f"ORDER BY {column} {'ASC' if is_ascending else 'DESC'} LIMIT ?",
        (*keys, low, high, MAX_VISITED + 1),
    )
    is_wanted = _Check(wanted)
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
    rows = db.execute("SELECT tag, count FROM tags WHERE count > 0 ORDER BY count DESC, tag DESC LIMIT ?", (limit,))
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
    """What is left to look at in a file that a source gave: all conditions, as each is quickly seen."""

    def __init__(self, wanted: FileFilter) -> None:
        self._wanted = wanted
        self._tags = {tag.casefold() for tag in wanted.tags}
        self._short = [term for term in split_terms(wanted.text) if len(term) < _TRIGRAM]
        self._media_type = None if wanted.media_type is None else wanted.media_type.casefold()

    def __call__(self, file: IndexedFile) -> bool:
        wanted = self._wanted
        return (
            (wanted.is_all or not file.is_delisted)
            and wanted.validator in (None, file.validator)
            and wanted.owner in (None, file.owner)
            and wanted.service_node in (None, file.service_node)
            and wanted.asset in (None, file.asset)
            and self._tags.issubset([tag.casefold() for tag in file.tags])
            and self._has_media_type(file)
            and self._has_short_terms(file)
        )

    def _has_media_type(self, file: IndexedFile) -> bool:
        if self._media_type is None:
            return True
        given = file.media_type.casefold()
        return given == self._media_type or given.startswith(self._media_type + "/")

    def _has_short_terms(self, file: IndexedFile) -> bool:
        if not self._short:
            return True
        text = "\n".join([file.name, file.description, file.media_type, *file.tags]).casefold()
        return all(term in text for term in self._short)


def split_terms(text: str | None) -> list[str]:
    """What is looked for: at most `MAX_TERMS`, case folded."""
    return [] if text is None else text.casefold().split()[:MAX_TERMS]


def _choose_source(db: sqlite3.Connection, wanted: FileFilter) -> _Source:
    """The index to walk: of the conditions that have one, that of which fewest files are expected."""
    words = [term for term in split_terms(wanted.text) if len(term) >= _TRIGRAM]
    if words:
        # Quoted, and quotes doubled: nothing in it is syntax.
        query = " ".join(['"' + word.replace('"', '""') + '"' for word in words])
        return "rowid", "words WHERE words MATCH ? AND", (query,)
    if wanted.tags:
        tags = [_find_tag(db, tag) for tag in wanted.tags]
        return "file", "file_tags WHERE tag = ? AND", (min(tags)[1],)
    if wanted.owner is not None:
        return "place", "files WHERE owner = ? AND", (find_account(db, wanted.owner),)
    if wanted.validator is not None:
        return "place", "files WHERE validator = ? AND", (find_account(db, wanted.validator),)
    if wanted.service_node is not None:
        return "place", "file_states WHERE service_node = ? AND", (find_account(db, wanted.service_node),)
    return "place", "files WHERE", ()


def _find_tag(db: sqlite3.Connection, tag: str) -> tuple[int, int]:
    """How many files have it, and its id; 0 and an id that nothing has for one that is not known."""
    row = db.execute("SELECT count, id FROM tags WHERE tag = ?", (tag.casefold(),)).fetchone()
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
