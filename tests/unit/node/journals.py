"""Journals for tests: one in memory, and one around any other that polices its caller, waits, and fails on demand."""

import asyncio
import threading
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from chain.block import Block, hash_header
from chain.params import Domain
from chain.primitives import Address, Signature
from chain.signatures import recover_address
from node.entries import BlockEntry, decode_entry
from node.journal import HeightMismatch, Journal, JournalFailed, LevelDBJournal

PATIENCE_SECONDS = 5
"""Nothing here takes as long; a test that would hang fails instead."""


class MemoryJournal:
    """A journal that is quick, and gone with the test."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.block_heights: dict[int, int] = {}
        self.signatures: dict[int, Signature] = {}

    @property
    def height(self) -> int:
        return len(self.entries)

    def append(self, height: int, entry: bytes, block_number: int | None = None) -> None:
        if height != len(self.entries):
            raise HeightMismatch(f"entry {height} cannot follow {len(self.entries)} entries")
        self.entries.append(entry)
        if block_number is not None:
            self.block_heights[block_number] = height

    def read(self, height: int) -> Iterator[tuple[int, bytes]]:
        yield from list(enumerate(self.entries))[height:]

    def get(self, height: int) -> bytes | None:
        return self.entries[height] if height < len(self.entries) else None

    def get_block_height(self, number: int) -> int | None:
        return self.block_heights.get(number)

    def put_signature(self, number: int, signature: Signature) -> None:
        self.signatures[number] = signature

    def get_signature(self, number: int) -> Signature | None:
        return self.signatures.get(number)


class Failure(Enum):
    """How a write fails: before it did anything, or after it did everything."""

    LOST = "lost"
    DONE_BUT_REPORTED_FAILED = "done but reported failed"


class PolicingJournal:
    """Passes everything on to `inner`, and asserts that its one caller keeps the rules of a journal.

    - appends come one at a time, never on the event loop's thread, and never again after one has failed;
    - a block carries its number, has records, and hangs on the one before;
    - a signature is stored once its block is durable, in order, once, and is the operator's.

    A broken rule fails the call, and the test through `violations`, wherever the caller runs.
    """

    def __init__(self, inner: Journal, domain: Domain, operator: Address) -> None:
        self.inner = inner
        self.violations: list[str] = []
        self.append_count = 0
        self.signature_count = 0
        self.append_failures: dict[int, Failure] = {}
        """By the number of the append, from 0."""
        self.signature_failures: dict[int, Failure] = {}
        """By the number of the signature stored, from 0."""
        self._domain = domain
        self._operator = operator
        self._loop_thread = threading.get_ident()
        self._has_failed = False
        self._busy = threading.Lock()
        self._gate = threading.Event()
        self._gate.set()
        self._entered: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- waiting

    def hold(self) -> None:
        """From here on appends wait, before they have written anything."""
        self._loop = asyncio.get_running_loop()
        self._entered = asyncio.Event()
        self._gate.clear()

    async def wait_until_held(self) -> None:
        """Returns once an append waits."""
        assert self._entered is not None
        await asyncio.wait_for(self._entered.wait(), PATIENCE_SECONDS)
        self._entered.clear()

    def release(self) -> None:
        self._gate.set()

    # --- the journal

    @property
    def height(self) -> int:
        return self.inner.height

    def append(self, height: int, entry: bytes, block_number: int | None = None) -> None:
        if not self._busy.acquire(blocking=False):
            self._complain("two appends at a time")
        try:
            self._check_append(entry, block_number)
            if self._loop is not None and not self._gate.is_set():
                assert self._entered is not None
                self._loop.call_soon_threadsafe(self._entered.set)
                if not self._gate.wait(PATIENCE_SECONDS):
                    self._complain("an append was never let go on")
            failure = self.append_failures.get(self.append_count)
            self.append_count += 1
            self._has_failed = failure is not None
            if failure is Failure.LOST:
                raise JournalFailed("lost, as the test wants it")
            self.inner.append(height, entry, block_number)
            if failure is Failure.DONE_BUT_REPORTED_FAILED:
                raise JournalFailed("done, but reported failed, as the test wants it")
        finally:
            self._busy.release()

    def read(self, height: int) -> Iterator[tuple[int, bytes]]:
        return self.inner.read(height)

    def get(self, height: int) -> bytes | None:
        return self.inner.get(height)

    def get_block_height(self, number: int) -> int | None:
        return self.inner.get_block_height(number)

    def put_signature(self, number: int, signature: Signature) -> None:
        header = read_block(self.inner, number).header if self.inner.get_block_height(number) is not None else None
        if header is None:
            self._complain(f"block {number} is signed before it is durable")
        elif recover_address(hash_header(header, self._domain), signature) != self._operator:
            self._complain(f"block {number} is not signed by the operator")
        if number > 1 and self.inner.get_signature(number - 1) is None:
            self._complain(f"block {number} is signed before block {number - 1}")
        failure = self.signature_failures.get(self.signature_count)
        self.signature_count += 1
        self._has_failed = failure is not None
        if failure is Failure.LOST:
            raise JournalFailed("a signature lost, as the test wants it")
        self.inner.put_signature(number, signature)
        if failure is Failure.DONE_BUT_REPORTED_FAILED:
            raise JournalFailed("a signature stored, but reported failed, as the test wants it")

    def get_signature(self, number: int) -> Signature | None:
        return self.inner.get_signature(number)

    def _check_append(self, entry: bytes, block_number: int | None) -> None:
        if self._has_failed:
            self._complain("an append after a failed write")
        if threading.get_ident() == self._loop_thread:
            self._complain("an append that blocks the event loop")
        decoded = decode_entry(entry)
        if not isinstance(decoded, BlockEntry):
            if block_number is not None:
                self._complain("a block number for what is no block")
            return
        header = decoded.block.header
        if header.number != block_number or not decoded.block.records:
            self._complain(f"block {header.number}, said to be {block_number}, of {header.record_count} records")
        if block_number is not None and block_number > 1:
            before = read_block(self.inner, block_number - 1).header
            if hash_header(before, self._domain) != header.previous:
                self._complain(f"block {block_number} does not follow block {block_number - 1}")

    def _complain(self, violation: str) -> None:
        self.violations.append(violation)
        raise AssertionError(violation)


def read_block(journal: Journal, number: int) -> Block:
    height = journal.get_block_height(number)
    assert height is not None
    data = journal.get(height)
    assert data is not None
    entry = decode_entry(data)
    assert isinstance(entry, BlockEntry)
    return entry.block


def open_leveldb(directory: Path) -> LevelDBJournal:
    return LevelDBJournal(directory / "journal")
