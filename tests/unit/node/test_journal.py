"""The journal's contract, on the LevelDB that keeps it, and on the journal that other tests put in its place."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import plyvel
import pytest

import node.journal
from chain.encoding import encode_u64
from node.journal import HeightMismatch, Journal, JournalFailed, LevelDBJournal
from tests.unit.node.journals import MemoryJournal, open_leveldb

SIGNATURE = bytes(range(65))


@pytest.fixture
def leveldb(tmp_path: Path) -> Iterator[LevelDBJournal]:
    journal = open_leveldb(tmp_path)
    yield journal
    journal.close()


@pytest.fixture(params=[MemoryJournal, None], ids=["memory", "leveldb"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    if request.param is not None:
        yield request.param()
        return
    opened = open_leveldb(tmp_path)
    yield opened
    opened.close()


def fill(journal: Journal, count: int) -> list[tuple[int, bytes]]:
    entries = [(height, b"entry %d" % height) for height in range(count)]
    for height, entry in entries:
        journal.append(height, entry)
    return entries


def test_an_empty_journal_has_nothing(journal: Journal) -> None:
    assert journal.height == 0
    assert journal.get(0) is None
    assert list(journal.read(0)) == []
    assert journal.get_block_height(1) is None
    assert journal.get_signature(1) is None


def test_entries_are_read_in_order_from_any_height(journal: Journal) -> None:
    entries = fill(journal, 300)  # more than one byte of height
    assert journal.height == 300
    for height in (0, 1, 255, 256, 299):
        assert list(journal.read(height)) == entries[height:]
    assert list(journal.read(300)) == list(journal.read(301)) == []
    assert [journal.get(height) for height in (0, 256, 299, 300)] == [b"entry 0", b"entry 256", b"entry 299", None]


def test_reading_ends_where_the_end_was_when_it_began(journal: Journal) -> None:
    entries = fill(journal, 3)
    reading = journal.read(0)
    read = [next(reading)]
    journal.append(3, b"later")
    assert [*read, *reading] == entries


def test_the_second_of_two_writers_is_refused_and_changes_nothing(journal: Journal) -> None:
    entries = fill(journal, 2)
    seen_by_both = journal.height
    journal.append(seen_by_both, b"the first writer's")
    with pytest.raises(HeightMismatch):
        journal.append(seen_by_both, b"the second writer's")
    assert list(journal.read(0)) == [*entries, (2, b"the first writer's")]
    assert journal.height == 3


@pytest.mark.parametrize("height", [0, 1, 3, 2**63])
def test_only_the_next_height_is_written(journal: Journal, height: int) -> None:
    entries = fill(journal, 2)
    with pytest.raises(HeightMismatch):
        journal.append(height, b"here?", block_number=1)
    assert list(journal.read(0)) == entries
    assert journal.get_block_height(1) is None


def test_blocks_are_found_by_number_and_signed_beside(journal: Journal) -> None:
    journal.append(0, b"genesis")
    journal.append(1, b"block 1", 1)
    journal.append(2, b"cut")
    journal.append(3, b"block 2", 2)
    assert [journal.get_block_height(number) for number in (0, 1, 2, 3)] == [None, 1, 3, None]
    journal.put_signature(2, SIGNATURE)
    assert (journal.get_signature(1), journal.get_signature(2)) == (None, SIGNATURE)
    assert journal.height == 4, "signatures are not entries"


def test_what_was_appended_is_there_in_the_next_life(tmp_path: Path) -> None:
    journal = open_leveldb(tmp_path)
    entries = fill(journal, 3)
    journal.append(3, b"a block", 1)
    journal.put_signature(1, SIGNATURE)
    journal.close()
    again = open_leveldb(tmp_path)
    assert again.height == 4
    assert list(again.read(0)) == [*entries, (3, b"a block")]
    assert (again.get_block_height(1), again.get_signature(1)) == (3, SIGNATURE)
    again.append(4, b"on it goes")
    again.close()


def test_one_process_has_the_journal_at_a_time(tmp_path: Path, leveldb: LevelDBJournal) -> None:
    with pytest.raises(plyvel.IOError):
        open_leveldb(tmp_path)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_gap_is_found_not_skipped(tmp_path: Path, missing: int) -> None:
    journal = open_leveldb(tmp_path)
    fill(journal, 4)
    journal.close()
    tamper(tmp_path, lambda db: db.delete(b"e" + encode_u64(missing)))
    again = open_leveldb(tmp_path)
    assert again.height == 4
    with pytest.raises(HeightMismatch, match=f"entry {missing} is missing"):
        list(again.read(0))
    assert [height for height, _ in again.read(missing + 1)] == list(range(missing + 1, 4))
    again.close()


def test_an_entry_beyond_the_known_height_is_not_written_over(tmp_path: Path, leveldb: LevelDBJournal) -> None:
    """Were there a second writer on the same files, the height in memory would be stale; the one on disk decides."""
    fill(leveldb, 2)
    leveldb._db.put(b"e" + encode_u64(2), b"another writer's")
    with pytest.raises(HeightMismatch):
        leveldb.append(2, b"ours")
    assert leveldb.get(2) == b"another writer's"


def test_an_entry_is_there_whole_or_not_at_all(leveldb: LevelDBJournal) -> None:
    with pytest.raises(OverflowError):
        leveldb.append(0, b"a block whose number is none", block_number=-1)
    assert leveldb.get(0) is None
    leveldb.append(0, b"the entry")


def test_a_failed_write_says_so_and_the_height_stays(leveldb: LevelDBJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(leveldb, 1)
    monkeypatch.setattr(leveldb, "_db", Failing(leveldb._db))
    with pytest.raises(JournalFailed, match="no space left"):
        leveldb.append(1, b"lost")
    assert leveldb.height == 1


def test_appends_are_synced_and_signatures_are_not(leveldb: LevelDBJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A synced write a block is what durability costs; a signature can be made again."""
    recorder = Recording(leveldb._db)
    monkeypatch.setattr(leveldb, "_db", recorder)
    leveldb.append(0, b"a block", 1)
    leveldb.put_signature(1, SIGNATURE)
    assert recorder.calls == [("write_batch", True), ("put", False)]


def test_damage_is_refused_by_checksum(tmp_path: Path) -> None:
    journal = open_leveldb(tmp_path)
    fill(journal, 50)
    journal.close()
    (log,) = (tmp_path / "journal").glob("*.log")
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    with pytest.raises(plyvel.Error):
        open_leveldb(tmp_path)


def test_the_protocol_is_what_both_offer() -> None:
    wanted = {name for name in vars(Journal) if not name.startswith("_")}
    for implementation in (LevelDBJournal, MemoryJournal):
        assert wanted <= set(vars(implementation)) | {"height"}
    assert node.journal.Journal is Journal


def tamper(directory: Path, change: Callable[[Any], None]) -> None:
    db = plyvel.DB(str(directory / "journal"))
    change(db)
    db.close()


class Recording:
    """A database that notes how it is written."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self.calls: list[tuple[str, bool]] = []

    def get(self, key: bytes) -> Any:
        return self._db.get(key)

    def put(self, key: bytes, value: bytes, *, sync: bool = False) -> None:
        self.calls.append(("put", sync))
        self._db.put(key, value, sync=sync)

    def write_batch(self, *, sync: bool = False, **options: Any) -> Any:
        self.calls.append(("write_batch", sync))
        return self._db.write_batch(sync=sync, **options)

    def close(self) -> None:
        self._db.close()


class Failing(Recording):
    def write_batch(self, *, sync: bool = False, **options: Any) -> Any:
        raise plyvel.IOError("no space left on device")
