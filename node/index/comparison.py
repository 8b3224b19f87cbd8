"""Holds an index against the journal that it should follow from: builds it again and names every row that differs."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias

from chain.errors import BrokenInvariant
from node.entries import GenesisEntry, decode_entry
from node.index.schema import TABLES, connect_reading, is_current
from node.index.words import quote_words
from node.index.writer import IndexWriter
from node.journal import Journal

_CHUNK_ENTRIES: Final = 64
"""Journal entries a transaction; a block under load holds hundreds of payments."""

_SELECT_TOTALS: Final = "SELECT id, block FROM words_data WHERE id = 1"
"""What FTS5 has counted: rows, and trigrams in them."""

_COUNT_WORD: Final = "SELECT count(*) FROM words WHERE words MATCH ?"

_Row: TypeAlias = tuple[Any, ...]


def compare(index_path: Path, journal: Journal) -> Iterator[str]:
    """One line for each difference; none when the index is what the journal says it should be.

    The index may be behind the journal, which is how a stopped node may leave it: it is then held against the beginning
    of the journal that it covers. Raises `BrokenInvariant` or `MalformedBytes` when the journal contradicts itself.
    """
    first = journal.get(0)
    if first is None:
        raise BrokenInvariant("the journal is empty")
    genesis = decode_entry(first)
    if not isinstance(genesis, GenesisEntry):
        raise BrokenInvariant("the journal does not begin with the ledger's parameters")
    genesis_hash = genesis.parameters.genesis_hash
    try:
        with closing(connect_reading(index_path)) as index:
            if not is_current(index):
                yield "index: of another version"
                return
            yield from _compare(index, journal, genesis_hash)
    except sqlite3.DatabaseError as error:
        yield f"index: cannot be read: {error}"


def _compare(index: sqlite3.Connection, journal: Journal, genesis_hash: bytes) -> Iterator[str]:
    # The look-ups trust the indexes of the file, so those must agree with its tables.
    for (problem,) in index.execute("PRAGMA integrity_check"):
        if problem != "ok":
            yield f"index: {problem}"
    height = index.execute("SELECT height FROM progress").fetchone()
    if height is None:
        yield "progress: its row is missing"
        return
    if height[0] > journal.height:
        yield f"progress: {height[0]} entries are in, the journal has {journal.height}"
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "index.sqlite"
        _build(path, journal, genesis_hash, height[0])
        with closing(connect_reading(path)) as truth:
            yield from _compare_tables(index, truth)


def _build(path: Path, journal: Journal, genesis_hash: bytes, height: int) -> None:
    wanted = islice(journal.read(0), height)
    with closing(IndexWriter(path, genesis_hash)) as writer:
        while chunk := list(islice(wanted, _CHUNK_ENTRIES)):
            try:
                writer.apply(chunk)
            except (sqlite3.IntegrityError, OverflowError) as error:
                # The file is new: what cannot be, two rows of one key or a number beyond all, is in the journal.
                raise BrokenInvariant(f"the journal says what cannot be: {error}") from error


def _compare_tables(index: sqlite3.Connection, truth: sqlite3.Connection) -> Iterator[str]:
    schema = "SELECT name, sql FROM sqlite_schema ORDER BY name"
    yield from _compare_rows("schema", 1, index.execute(schema), truth.execute(schema))
    for table, key_size in TABLES.items():
        ordered = f"SELECT * FROM {table} ORDER BY {', '.join(str(column + 1) for column in range(key_size))}"
        yield from _compare_rows(table, key_size, index.execute(ordered), truth.execute(ordered))
    yield from _compare_words(index, truth)


def _compare_words(index: sqlite3.Connection, truth: sqlite3.Connection) -> Iterator[str]:
    """The trigrams of `words`: where each stands, and whether it is found there when it is asked for. How they lie in
    the pages of FTS5 depends on the chunks that wrote them, and is passed over."""
    for table, row in (("words_config", "SELECT k, v FROM words_config ORDER BY k"), ("words_data", _SELECT_TOTALS)):
        yield from _compare_rows(table, 1, index.execute(row), truth.execute(row))
    for db in (index, truth):
        db.execute("CREATE VIRTUAL TABLE temp.word_places USING fts5vocab(main, words, instance)")
        db.execute("CREATE VIRTUAL TABLE temp.word_counts USING fts5vocab(main, words, row)")
    # In the order in which FTS5 keeps them, which is that of these columns: nothing is sorted, and little is held.
    places = "SELECT term, doc, offset FROM temp.word_places"
    yield from _compare_rows("words", 3, index.execute(places), truth.execute(places))
    for term, count in truth.execute("SELECT term, doc FROM temp.word_counts"):
        found = index.execute(_COUNT_WORD, (quote_words([term]),)).fetchone()[0]
        if found != count:
            yield f"words {term!r}: is found in {found} files, the journal says {count}"


def _compare_rows(table: str, key_size: int, found: Iterator[_Row], wanted: Iterator[_Row]) -> Iterator[str]:
    """Both in the order of their keys."""
    have, want = next(found, None), next(wanted, None)
    while have is not None or want is not None:
        if want is None or (have is not None and have[:key_size] < want[:key_size]):
            assert have is not None
            yield f"{table} {_describe(have[:key_size])}: is not in the journal"
            have = next(found, None)
        elif have is None or want[:key_size] < have[:key_size]:
            yield f"{table} {_describe(want[:key_size])}: is missing"
            want = next(wanted, None)
        else:
            if have != want:
                yield f"{table} {_describe(have[:key_size])}: is {_describe(have)}, the journal says {_describe(want)}"
            have, want = next(found, None), next(wanted, None)


def _describe(row: _Row) -> str:
    return " ".join([_describe_value(value) for value in row])


def _describe_value(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex() or "0"
    if isinstance(value, str) and not value.isprintable():
        return ascii(value)  # a memo may have line ends, or turn what follows around
    return str(value)
