"""The journal: append-only, and the only source of truth. Whatever else is on disk can be deleted and rebuilt from it.

Guarantees that others build on:
- `append` returns only when the entry is on disk (LevelDB's write-ahead log, synced). An entry is there whole or not.
- Compare-and-swap on height: an entry is written at the height its writer believes to be next, or not at all.
- Nothing appended is ever changed or removed.
- A failed write is fatal: `JournalFailed` is not to be retried. What is on disk is unknown until the next start.

Block signatures live beside the entries, because the operator signs a block only once it is durable. They are not
synced: they are deterministic, and `node.sequencer` signs again after a crash what was lost.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import plyvel

from chain.encoding import encode_u64
from chain.primitives import Signature

_ENTRY: Final = b"e"
_BLOCK_HEIGHT: Final = b"n"
_SIGNATURE: Final = b"s"
_KEY_SIZE: Final = 9
"""Bytes: a prefix, and a number."""


class JournalFailed(RuntimeError):
    """The entry may or may not be on disk. Stop; recover by replay."""


class HeightMismatch(RuntimeError):
    """Another entry stands, or is missing, where this one was to be appended: there are two writers, or a gap."""


class Journal(Protocol):
    """What the node needs of a journal. LevelDB below is for one machine; a replicated log can stand in its place."""

    @property
    def height(self) -> int:
        """The number of entries, which is the height of the next one."""

    def append(self, height: int, entry: bytes, block_number: int | None = None) -> None:
        """Durable when it returns. `block_number` lets the entry be found by it.

        Raises `HeightMismatch` if `height` is not the next; `JournalFailed` if the write failed.
        """

    def read(self, height: int) -> Iterator[tuple[int, bytes]]:
        """(height, entry) from `height` to what was the end when the iteration began."""

    def get(self, height: int) -> bytes | None: ...

    def get_block_height(self, number: int) -> int | None: ...

    def put_signature(self, number: int, signature: Signature) -> None: ...

    def get_signature(self, number: int) -> Signature | None: ...


class LevelDBJournal:
    """Keys: `e` ‖ height u64 → entry; `n` ‖ block number u64 → height u64; `s` ‖ block number u64 → signature."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._db = plyvel.DB(
            str(path), create_if_missing=True, paranoid_checks=True, write_buffer_size=16 << 20, max_open_files=256
        )
        self._height = self._find_height()

    @property
    def height(self) -> int:
        return self._height

    def append(self, height: int, entry: bytes, block_number: int | None = None) -> None:
        if height != self._height or self._db.get(_ENTRY + encode_u64(height)) is not None:
            raise HeightMismatch(f"entry {height} cannot follow {self._height} entries")
        try:
            with self._db.write_batch(transaction=True, sync=True) as batch:
                batch.put(_ENTRY + encode_u64(height), entry)
                if block_number is not None:
                    batch.put(_BLOCK_HEIGHT + encode_u64(block_number), encode_u64(height))
        except plyvel.Error as error:
            raise JournalFailed(str(error)) from error
        self._height = height + 1

    def read(self, height: int) -> Iterator[tuple[int, bytes]]:
        with self._db.iterator(start=_ENTRY + encode_u64(height), stop=_ENTRY + encode_u64(self._height)) as entries:
            for key, entry in entries:
                if key != _ENTRY + encode_u64(height):
                    raise HeightMismatch(f"entry {height} is missing from the journal")
                yield height, entry
                height += 1

    def get(self, height: int) -> bytes | None:
        entry: bytes | None = self._db.get(_ENTRY + encode_u64(height))
        return entry

    def get_block_height(self, number: int) -> int | None:
        height = self._db.get(_BLOCK_HEIGHT + encode_u64(number))
        return None if height is None else int.from_bytes(height, "big")

    def put_signature(self, number: int, signature: Signature) -> None:
        self._db.put(_SIGNATURE + encode_u64(number), signature)

    def get_signature(self, number: int) -> Signature | None:
        signature: Signature | None = self._db.get(_SIGNATURE + encode_u64(number))
        return signature

    def list_strays(self, last_block: int) -> Iterator[tuple[int | None, str]]:
        """What no writer of a journal of `last_block` blocks has left there: (block number or None, what it is). For
        audits: reads every key."""
        names = {_BLOCK_HEIGHT: "place", _SIGNATURE: "signature"}
        with self._db.iterator(include_value=False) as keys:
            for key in keys:
                prefix, number = key[:1], int.from_bytes(key[1:], "big")
                if len(key) != _KEY_SIZE or (prefix != _ENTRY and prefix not in names):
                    yield None, f"there is a key that is none of a journal's: 0x{key.hex()}"
                elif prefix in names and not 1 <= number <= last_block:
                    yield number, f"it has a {names[prefix]}, and no entry"

    def close(self) -> None:
        self._db.close()

    def _find_height(self) -> int:
        with self._db.iterator(prefix=_ENTRY, reverse=True, include_value=False) as keys:
            last = next(keys, None)
        return 0 if last is None else int.from_bytes(last[1:], "big") + 1
