"""That nothing in the file can be altered without `compare` naming it."""

import json
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from chain.block import encode_block, encode_record
from chain.errors import BrokenInvariant
from chain.kinds import PURCHASE
from node.entries import BLOCK_PREFIX
from node.index import IndexWriter, compare
from node.index.schema import TABLES
from node.index.words import join_text
from node.journal import LevelDBJournal
from tests.unit.node.index.exchange import RandomExchange
from tests.unit.node.index.history import ListJournal, RandomLedger, apply, dump


@pytest.fixture
def copy_path(index_path: Path, tmp_path: Path) -> Path:
    """An index to spoil."""
    return Path(shutil.copy(index_path, tmp_path / "index.sqlite"))


def alter(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def find_differences(path: Path, history: RandomLedger) -> list[str]:
    return list(compare(path, ListJournal(history.entries)))


def test_a_true_index_has_no_differences(history: RandomLedger, index_path: Path) -> None:
    assert find_differences(index_path, history) == []


def test_a_leveldb_journal_will_do(tmp_path: Path) -> None:
    history = RandomLedger(4)
    history.run(6)
    journal = LevelDBJournal(tmp_path / "journal")
    for height, entry in enumerate(history.entries):
        journal.append(height, entry)
    index = IndexWriter(tmp_path / "index.sqlite", history.parameters.genesis_hash)
    index.apply(journal.read(0))
    index.close()
    assert list(compare(tmp_path / "index.sqlite", journal)) == []
    alter(tmp_path / "index.sqlite", "UPDATE blocks SET record_count = 77 WHERE number = 2")
    (line,) = compare(tmp_path / "index.sqlite", journal)
    assert line.startswith("blocks 2: is ")
    journal.close()


@pytest.mark.parametrize("table", TABLES)
def test_every_altered_column_is_named(table: str, history: RandomLedger, index_path: Path, tmp_path: Path) -> None:
    key_size = TABLES[table]
    db = sqlite3.connect(index_path)
    columns = [(row[1], row[2]) for row in db.execute(f"PRAGMA table_info({table})")][key_size:]
    keys = [row[1] for row in db.execute(f"PRAGMA table_info({table})")][:key_size]
    row_count = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    middle = db.execute(f"SELECT {', '.join(keys)} FROM {table} LIMIT 1 OFFSET {row_count // 2}").fetchone()
    db.close()
    where = " AND ".join([f"{key} = {value}" for key, value in zip(keys, middle, strict=True)])
    for column, kind in columns:
        if (table, column) == ("progress", "height"):
            continue  # That is: how far the index says it is. See below.
        path = Path(shutil.copy(index_path, tmp_path / f"{column}.sqlite"))
        altered = "x'c0ffee'" if kind == "BLOB" else f"coalesce({column}, 0) + 1000"
        alter(path, f"UPDATE {table} SET {column} = {altered} WHERE {where}")
        (line,) = find_differences(path, history)
        assert line.startswith(f"{table} {' '.join(map(str, middle))}: is ")


@pytest.mark.parametrize("table", [table for table in TABLES if table != "progress"])
def test_a_missing_row_is_named(table: str, history: RandomLedger, copy_path: Path) -> None:
    keys = dump(copy_path)[table][-1][: TABLES[table]]
    db = sqlite3.connect(copy_path)
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    db.close()
    where = " AND ".join([f"{column} = {value}" for column, value in zip(columns, keys, strict=False)])
    alter(copy_path, f"DELETE FROM {table} WHERE {where}")
    assert find_differences(copy_path, history) == [f"{table} {' '.join(map(str, keys))}: is missing"]


def test_rows_that_do_not_belong_are_named(history: RandomLedger, copy_path: Path) -> None:
    alter(
        copy_path,
        "INSERT INTO blocks VALUES (0, x'aa', 1, 1, 1)",
        "INSERT INTO credits VALUES (999999, 1, 0, x'01', 1)",
        "INSERT INTO accounts VALUES (999, x'bb')",
    )
    assert find_differences(copy_path, history) == [
        "accounts 999: is not in the journal",
        "blocks 0: is not in the journal",
        "credits 999999 1 0: is not in the journal",
    ]


# --- what files are found by


def alter_words(path: Path, text: str, *, is_inserted: bool, place: int | None = None) -> int:
    """In the full-text table, one row of `text`, at the place of the first listing but for another. The place."""
    db = sqlite3.connect(path)
    if place is None:
        place = db.execute("SELECT place FROM files ORDER BY place LIMIT 1").fetchone()[0]
    if is_inserted:
        db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (place, text))
    else:
        db.execute("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", (place, text))
    db.commit()
    db.close()
    return place


def read_first_text(path: Path) -> str:
    db = sqlite3.connect(path)
    name, description, media_type, tags = db.execute(
        "SELECT name, description, media_type, tags FROM files ORDER BY place LIMIT 1"
    ).fetchone()
    db.close()
    return join_text(name, description, media_type, json.loads(tags))


def test_a_word_that_nobody_wrote_is_named(history: RandomExchange, copy_path: Path) -> None:
    """By which a file would be found that does not say it."""
    place = alter_words(copy_path, "qqqq", is_inserted=True)
    totals, *lines = find_differences(copy_path, history)
    assert totals.startswith("words_data 1: is ")
    assert lines == [f"words qqq {place} {offset}: is not in the journal" for offset in (0, 1)]


def test_a_word_of_a_file_that_is_not_there_is_named(history: RandomExchange, copy_path: Path) -> None:
    alter_words(copy_path, "qqq", is_inserted=True, place=7)
    assert find_differences(copy_path, history)[1:] == ["words qqq 7 0: is not in the journal"]


def test_a_file_that_would_not_be_found_is_named(history: RandomExchange, copy_path: Path) -> None:
    text = read_first_text(copy_path)
    place = alter_words(copy_path, text, is_inserted=False)
    lines = find_differences(copy_path, history)
    terms = [(at, text[at : at + 3]) for at in range(len(text) - 2)]
    assert {f"words {term} {place} {at}: is missing" for at, term in terms if term.isprintable()} < set(lines)
    assert len([line for line in lines if line.endswith("is missing")]) == len(terms)
    assert any(line.startswith("words ") and "is found in" in line for line in lines)


def test_a_word_that_stands_elsewhere_is_named(history: RandomExchange, copy_path: Path) -> None:
    """As many words as there were, and in as many files."""
    text = read_first_text(copy_path)
    alter_words(copy_path, text, is_inserted=False)
    place = alter_words(copy_path, text[1:] + text[:1], is_inserted=True)
    lines = find_differences(copy_path, history)
    assert f"words {text[:3]} {place} 0: is missing" in lines
    assert f"words {text[1:4]} {place} 0: is not in the journal" in lines
    assert not any(line.startswith("words_data") for line in lines)


def test_a_word_that_is_there_and_not_found_is_named(history: RandomExchange, copy_path: Path) -> None:
    """Where FTS5 begins to look for a term is a table of its own."""
    alter(copy_path, "DELETE FROM words_idx WHERE term != x''")
    lines = find_differences(copy_path, history)
    assert len(lines) > 10
    assert all(line.startswith("words ") and ": is found in " in line for line in lines)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE words_config SET v = 9",
        "DELETE FROM words_config",
        "UPDATE words_data SET block = x'c0ffee' WHERE id = 1",
        "UPDATE words_data SET block = x'c0ffee' WHERE id = 10",
        "DELETE FROM words_data WHERE id = 10",
        "DELETE FROM words_data WHERE id = (SELECT max(id) FROM words_data)",
        "UPDATE words_data SET block = zeroblob(length(block)) WHERE id = (SELECT max(id) FROM words_data)",
        "DELETE FROM words_idx",
        "DROP TABLE words",
    ],
)
def test_a_full_text_table_of_no_use_is_named(statement: str, history: RandomExchange, copy_path: Path) -> None:
    alter(copy_path, statement)
    assert find_differences(copy_path, history) != []


def test_how_the_chunks_fell_is_no_difference(history: RandomExchange, tmp_path: Path) -> None:
    """The pages of FTS5 depend on it, what is found by them does not."""
    pages = set()
    for chunk_size in (1, 7, len(history.entries)):
        path = tmp_path / f"{chunk_size}.sqlite"
        index = IndexWriter(path, history.parameters.genesis_hash)
        apply(index, history.entries, chunk_size)
        index.close()
        assert find_differences(path, history) == []
        db = sqlite3.connect(path)
        pages.add(tuple(db.execute("SELECT id, block FROM words_data WHERE id > 10 ORDER BY id").fetchall()))
        db.close()
    assert len(pages) == 3


def test_a_difference_is_one_line_whatever_is_in_it(history: RandomExchange, copy_path: Path) -> None:
    """That anybody may have written, into a memo or a name."""
    alter(
        copy_path,
        "UPDATE payments SET memo = 'one' || char(10, 8238) || 'two' WHERE place = (SELECT max(place) FROM payments)",
    )
    (line,) = find_differences(copy_path, history)
    assert line.isprintable()
    assert r"'one\n\u202etwo'" in line


def test_a_changed_schema_is_named(history: RandomLedger, copy_path: Path) -> None:
    alter(copy_path, "DROP INDEX payments_by_id")
    (line,) = find_differences(copy_path, history)
    assert line.startswith("schema ")
    assert "missing" in line


def test_an_index_of_the_file_that_disagrees_with_its_table_is_named(history: RandomLedger, copy_path: Path) -> None:
    db = sqlite3.connect(copy_path)
    root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'blocks_by_hash'").fetchone()[0]
    page_size = db.execute("PRAGMA page_size").fetchone()[0]
    first = db.execute("SELECT substr(hash, 1, 8) FROM blocks LIMIT 1").fetchone()[0]
    db.close()
    data = bytearray(copy_path.read_bytes())
    at = data.index(first, (root - 1) * page_size, root * page_size)
    data[at] ^= 1
    copy_path.write_bytes(data)
    assert any("blocks_by_hash" in line for line in find_differences(copy_path, history))


def test_an_index_behind_its_journal_is_held_against_its_beginning(history: RandomLedger, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    index = IndexWriter(path, history.parameters.genesis_hash)
    apply(index, history.entries[:40])
    index.close()
    assert find_differences(path, history) == []
    alter(path, "UPDATE progress SET height = 39")
    assert find_differences(path, history) != []


def test_an_index_ahead_of_its_journal_is_named(history: RandomLedger, copy_path: Path) -> None:
    lines = list(compare(copy_path, ListJournal(history.entries[:-1])))
    assert lines[0] == f"progress: {len(history.entries)} entries are in, the journal has {len(history.entries) - 1}"


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("PRAGMA user_version = 99", "index: of another version"),
        ("DELETE FROM progress", "progress: its row is missing"),
    ],
)
def test_an_index_that_is_none_is_named(statement: str, line: str, history: RandomLedger, copy_path: Path) -> None:
    alter(copy_path, statement)
    assert find_differences(copy_path, history) == [line]


def test_a_file_that_cannot_be_read_is_named(history: RandomLedger, tmp_path: Path) -> None:
    assert find_differences(tmp_path / "none.sqlite", history)[0].startswith("index: cannot be read: ")
    (tmp_path / "junk.sqlite").write_bytes(b"junk" * 4096)
    assert find_differences(tmp_path / "junk.sqlite", history)[0].startswith("index: cannot be read: ")


def test_a_journal_without_a_beginning_is_no_journal(index_path: Path, history: RandomLedger) -> None:
    for entries in ([], history.entries[1:]):
        with pytest.raises(BrokenInvariant, match="journal"):
            list(compare(index_path, ListJournal(entries)))


def test_a_journal_that_says_what_cannot_be_builds_no_index(tmp_path: Path) -> None:
    """As one that was altered may: a number that SQLite has no room for, a file bought twice."""
    history = RandomExchange(6)
    history.run(60)
    path = tmp_path / "index.sqlite"
    index = IndexWriter(path, history.parameters.genesis_hash)
    apply(index, history.entries)
    index.close()
    bought = next(placed for placed in reversed(history.payments) if placed.record.payment.kind == PURCHASE)
    late = msgspec.structs.replace(bought.record.payment, nonce=2**64 - 1)
    block_entries = [place for place, entry in enumerate(history.entries) if entry.startswith(BLOCK_PREFIX)]
    height = block_entries[bought.block - 1]
    records = [placed.record for placed in history.records if placed.block == bought.block]
    header = history.headers[bought.block - 1]
    for what, altered in (
        ("too large", [*records[: bought.index], history.sign(late), *records[bought.index + 1 :]]),
        ("UNIQUE", [*records, bought.record]),
    ):
        counted = msgspec.structs.replace(header, record_count=len(altered))
        entry = BLOCK_PREFIX + encode_block(counted, [encode_record(record) for record in altered])
        with pytest.raises(BrokenInvariant, match=what):
            list(compare(path, ListJournal([*history.entries[:height], entry])))
