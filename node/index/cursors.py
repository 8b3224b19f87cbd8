"""Cursors: where the next page of a list begins, as text that callers hand back unread.

Raises of every `decode_*`: `MalformedRequest` for any text that its `encode_*` did not make.
"""

import re
from typing import Final, TypeAlias

from chain.errors import MalformedRequest
from node.index.schema import MAX_PLACE

Slot: TypeAlias = tuple[int, int]
"""Where an entry stands in a statement: (place, 0) for a debit, (place, output + 1) for a credit."""

_NUMBER: Final = "[0-7][0-9a-f]{15}"  # 63 bits: what SQLite holds
_PLACE: Final = re.compile(_NUMBER, re.ASCII)
_PAIR: Final = re.compile(f"({_NUMBER})({_NUMBER})", re.ASCII)


def encode_place(place: int) -> str:
    return f"{place:016x}"


def decode_place(cursor: str) -> int:
    if _PLACE.fullmatch(cursor) is None:
        raise MalformedRequest("cursor: not one that an earlier page gave")
    return int(cursor, 16)


def encode_pair(first: int, second: int) -> str:
    return f"{first:016x}{second:016x}"


def decode_pair(cursor: str) -> tuple[int, int]:
    match = _PAIR.fullmatch(cursor)
    if match is None:
        raise MalformedRequest("cursor: not one that an earlier page gave")
    return int(match[1], 16), int(match[2], 16)


def move_cursor(cursor: str, places: int) -> str:
    """A cursor of a list of records, so many places further on in the ledger, as far as places go. Raises
    `MalformedRequest`."""
    return encode_place(min(max(decode_place(cursor) + places, 0), MAX_PLACE))
