"""Slices of lists, newest first, with the way to the slices beside them.

A slice is asked for by a cursor in the URL: `before` for what is older than a row, `after` for what is newer. Cursors
name places in the ledger, which never change: whatever is added meanwhile, no row comes twice and none is missed.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from chain.errors import MalformedRequest
from node.index import Page, move_cursor

DEFAULT_LIMIT: Final = 25
MAX_LIMIT: Final = 100

Row = TypeVar("Row")


class Cursor(msgspec.Struct, frozen=True):
    """Where a slice begins; neither for the newest."""

    before: str | None = None
    after: str | None = None
    limit: int = DEFAULT_LIMIT


class Slice(msgspec.Struct, Generic[Row], frozen=True):
    rows: tuple[Row, ...]
    newer: str | None
    """The cursor `after` of the slice before this one; None when this is the newest."""
    older: str | None
    """The cursor `before` of the slice after this one; None when this is the oldest."""


class Read(Protocol[Row]):
    """One page of a list, beyond a cursor."""

    def __call__(self, cursor: str | None, limit: int, *, is_ascending: bool) -> Page[Row]: ...


def read_cursor(
    parameters: Mapping[str, str], default_limit: int = DEFAULT_LIMIT, max_limit: int = MAX_LIMIT
) -> Cursor:
    """Raises `MalformedRequest`: both cursors, a limit that is no number or out of bounds."""
    before, after, limit = [parameters.get(name, "").strip() for name in ("before", "after", "limit")]
    if before and after:
        raise MalformedRequest("before, after: one of them")
    if limit and not (limit.isascii() and limit.isdecimal() and len(limit) < 6 and 1 <= int(limit) <= max_limit):
        raise MalformedRequest(f"limit: from 1 to {max_limit}")
    return Cursor(before or None, after or None, int(limit) if limit else default_limit)


def take_limit(parameters: Mapping[str, str]) -> dict[str, str]:
    """The limit as it was given, to be asked for again; empty when none was."""
    return {"limit": parameters["limit"]} if parameters.get("limit") else {}


def read_slice(read: Read[Any], encode: Callable[[Any], str], cursor: Cursor) -> Slice[Any]:
    """`encode`: the cursor of a row. Raises what `read` raises."""
    if cursor.after is not None:
        page = read(cursor.after, cursor.limit, is_ascending=True)
        if page.cursor is not None:
            rows = page.items[::-1]
            older = encode(rows[-1]) if rows else move_cursor(cursor.after, 1)
            return Slice(rows, newer=page.cursor, older=older)
        # It reaches the newest: shown as the newest slice is, whole.
    before = cursor.before if cursor.after is None else None
    page = read(before, cursor.limit, is_ascending=False)
    newer = None
    if before is not None:
        newer = encode(page.items[0]) if page.items else move_cursor(before, -1)
    return Slice(page.items, newer=newer, older=page.cursor)
