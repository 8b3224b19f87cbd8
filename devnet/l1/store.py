"""The chain's data directory: one LevelDB.

    key                        value
    c ‖ hash b32               content of that hash: trie node, contract code, or RLP of a header
    n ‖ number u64             block hash
    b ‖ number u64             body (`block.encode_body`); absent for a block without transactions
    l ‖ number u64             header's logs bloom, 256 bytes; absent for a block without logs
    t ‖ transaction hash b32   block number u64 ‖ index u32
    p ‖ sequence u64           raw transaction accepted into the pool and not mined
    m ‖ name                   `format`, `chain_id`: u64

The head is the last key under `n`: a block is one batch, so it is there whole or not at all. Nothing under `c` is ever
deleted, therefore every historic state stays readable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import plyvel

FORMAT = 1
"""Version of the layout above. Another one is refused, never converted: a devnet is started afresh."""

CONTENT, NUMBER, BODY, LOGS_BLOOM, TRANSACTION, POOL, META = (tag.encode() for tag in "cnbltpm")


class DataDirectoryError(Exception):
    """The data directory cannot be used: held by another process, written by another version, or damaged."""


@dataclass(slots=True)
class Batch:
    """Writes that reach the disk together or not at all."""

    puts: dict[bytes, bytes] = field(default_factory=dict)
    deletes: set[bytes] = field(default_factory=set)

    def put_content(self, hash_: bytes, content: bytes) -> None:
        self.puts[CONTENT + hash_] = content

    def put_block(self, number: int, hash_: bytes, body: bytes, logs_bloom: bytes) -> None:
        """An empty `body` or an all-zero `logs_bloom` is not stored: most blocks of a devnet are empty."""
        key = encode_u64(number)
        self.puts[NUMBER + key] = hash_
        if body:
            self.puts[BODY + key] = body
        if any(logs_bloom):
            self.puts[LOGS_BLOOM + key] = logs_bloom

    def put_transaction(self, hash_: bytes, number: int, index: int) -> None:
        self.puts[TRANSACTION + hash_] = encode_u64(number) + index.to_bytes(4, "big")

    def put_pooled(self, sequence: int, raw: bytes) -> None:
        self.puts[POOL + encode_u64(sequence)] = raw

    def delete_pooled(self, sequence: int) -> None:
        self.deletes.add(POOL + encode_u64(sequence))

    def put_meta(self, name: str, value: int) -> None:
        self.puts[META + name.encode()] = encode_u64(value)


class Store:
    """Reads are safe from any thread. `write` returns once the batch is on disk: not even a power cut loses it then."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            self._database: Any = plyvel.DB(
                str(directory),
                create_if_missing=True,
                paranoid_checks=True,
                bloom_filter_bits=10,
                lru_cache_size=32 << 20,
            )
        except plyvel.Error as error:
            raise DataDirectoryError(f"cannot open {directory}: {error}") from error

    def write(self, batch: Batch) -> None:
        with self._database.write_batch(sync=True) as writer:
            for key in batch.deletes:
                writer.delete(key)
            for key, value in batch.puts.items():
                writer.put(key, value)

    def close(self) -> None:
        self._database.close()
        # A cache inside `trie` holds on to what was read through it, this store included, to the end of the process:
        # too late for plyvel's destructor.
        del self._database

    def get_content(self, hash_: bytes) -> bytes | None:
        return self._get(CONTENT + hash_)

    def get_block_hash(self, number: int) -> bytes | None:
        return self._get(NUMBER + encode_u64(number))

    def get_head_number(self) -> int | None:
        """None in a fresh directory."""
        with self._database.iterator(prefix=NUMBER, reverse=True, include_value=False) as keys:
            key: bytes | None = next(keys, None)
        return None if key is None else int.from_bytes(key[1:], "big")

    def get_body(self, number: int) -> bytes:
        """Empty for a block without transactions."""
        return self._get(BODY + encode_u64(number)) or b""

    def get_transaction_place(self, hash_: bytes) -> tuple[int, int] | None:
        """(block number, index) of a mined transaction."""
        place = self._get(TRANSACTION + hash_)
        return None if place is None else (int.from_bytes(place[:8], "big"), int.from_bytes(place[8:], "big"))

    def get_meta(self, name: str) -> int | None:
        value = self._get(META + name.encode())
        return None if value is None else int.from_bytes(value, "big")

    def iterate_logs_blooms(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """(number, logs bloom) of the blocks from `first` to `last` that hold logs, ascending."""
        with self._database.iterator(
            start=LOGS_BLOOM + encode_u64(first), stop=LOGS_BLOOM + encode_u64(last), include_stop=True
        ) as entries:
            for key, bloom in entries:
                yield int.from_bytes(key[1:], "big"), int.from_bytes(bloom, "big")

    def iterate_pooled(self) -> Iterator[tuple[int, bytes]]:
        """(sequence, raw transaction) of the pool, in order of arrival."""
        with self._database.iterator(prefix=POOL) as entries:
            for key, raw in entries:
                yield int.from_bytes(key[1:], "big"), raw

    def _get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._database.get(key)
        return value


def encode_u64(value: int) -> bytes:
    return value.to_bytes(8, "big")
