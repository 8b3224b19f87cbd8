"""Reading a ledger from a stopped node's data directory: the journal itself, and the index that follows from it.

The only part of the client, besides the commands that start one, that knows the node's code: what it reads is the
node's own files. It is imported when it is needed.
"""

from collections.abc import Iterator
from pathlib import Path

import plyvel

from chain.errors import BrokenInvariant, MalformedBytes
from chain.params import Parameters
from client.audit.events import AssetListed, BlockRead, EpochCut, EpochSealed, Event, Unreadable
from client.audit.findings import Findings
from client.errors import ClientError
from node.entries import AssetEntry, BlockEntry, CutEntry, Entry, GenesisEntry, SealEntry, decode_entry
from node.index import compare
from node.journal import HeightMismatch, LevelDBJournal


class NoJournal(ClientError):
    """There is none in that directory, a running node holds it, or it does not even begin."""


class JournalSource:
    """Every entry in order. What is beside the entries (places of blocks, signatures) is held against them."""

    def __init__(self, data_dir: Path, findings: Findings) -> None:
        """Raises `NoJournal`."""
        self._data_dir = data_dir
        self._findings = findings
        path = data_dir / "journal"
        if not path.is_dir():
            raise NoJournal(f"there is no journal in {data_dir}")
        try:
            self._journal = LevelDBJournal(path)
        except plyvel.IOError as error:
            raise NoJournal(f"{path} cannot be opened; is its node still running? {error}") from error
        except plyvel.Error as error:
            raise NoJournal(f"{path} is damaged: {error}") from error
        self.parameters = self._read_parameters()
        self._unsigned: list[int] = []
        self._last_signed = 0
        self._last_block = 0

    def close(self) -> None:
        self._journal.close()

    def read(self) -> Iterator[Event]:
        height = 0
        try:
            for height, data in self._journal.read(0):
                where = f"journal entry {height}"
                try:
                    entry = decode_entry(data)
                except MalformedBytes as error:
                    yield Unreadable(where, f"it cannot be decoded: {error}")
                    continue
                event = self._convert(height, entry)
                if event is not None:
                    yield event
        except HeightMismatch as error:
            yield Unreadable(f"journal entry {height + 1}", str(error))
        except plyvel.Error as error:
            yield Unreadable(f"journal entry {height + 1}", f"LevelDB cannot read it: {error}")
        self._check_signatures()
        self._check_strays()

    def compare_index(self) -> None:
        """Names every row of `index.sqlite` that does not follow from the journal."""
        path = self._data_dir / "index.sqlite"
        if not path.exists():
            self._findings.remark(f"there is no index in {self._data_dir}; the node builds it anew")
            return
        try:
            for difference in compare(path, self._journal):
                self._findings.add("index", difference)
        except (BrokenInvariant, MalformedBytes, HeightMismatch) as error:
            self._findings.add("index", f"it cannot be built from this journal: {error}")

    def _convert(self, height: int, entry: Entry) -> Event | None:
        if isinstance(entry, BlockEntry):
            number = entry.block.header.number
            self._last_block = max(self._last_block, number)
            found = self._journal.get_block_height(number)
            if found != height:
                self._findings.add(f"block {number}", f"it stands at journal entry {height}, its place says {found}")
            return BlockRead(entry.block, self._take_signature(number))
        if isinstance(entry, AssetEntry):
            return AssetListed(entry.asset)
        if isinstance(entry, CutEntry):
            return EpochCut(entry.epoch, entry.cut_at)
        if isinstance(entry, SealEntry):
            return EpochSealed(entry.commitment, entry.signature)
        if height != 0:
            return Unreadable(f"journal entry {height}", "the ledger begins a second time")
        return None

    def _take_signature(self, number: int) -> bytes | None:
        signature = self._journal.get_signature(number)
        if signature is None:
            self._unsigned.append(number)
        else:
            self._last_signed = number
        return signature

    def _check_signatures(self) -> None:
        """Signatures are not synced: a crash may lose the last ones, and the node then makes them again."""
        lost = [number for number in self._unsigned if number > self._last_signed]
        for number in self._unsigned[: len(self._unsigned) - len(lost)]:
            self._findings.add(f"block {number}", "its signature is missing, and later ones are there")
        if lost:
            self._findings.remark(f"blocks {lost[0]} to {lost[-1]} are not signed yet; the node does so when it starts")

    def _check_strays(self) -> None:
        """What was written beside an entry outlives its removal."""
        for number, what in self._journal.list_strays(self._last_block):
            self._findings.add("journal" if number is None else f"block {number}", what)

    def _read_parameters(self) -> Parameters:
        first = self._journal.get(0)
        try:
            entry = decode_entry(first or b"")
        except MalformedBytes as error:
            raise NoJournal(f"the journal in {self._data_dir} does not begin: {error}") from error
        if not isinstance(entry, GenesisEntry):
            raise NoJournal(f"the journal in {self._data_dir} does not begin with the ledger's parameters")
        return entry.parameters
