"""Index and proofs when their workers fare badly: overtaken by the next node's, or with a file damaged under them."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chain.errors import BrokenInvariant
from node.framing import WorkerChannel, encode_frame
from node.index import IndexReader, IndexWriter, compare
from node.proofs import ProofWriter
from node.workers.indexer import run_indexer
from tests.unit.chain.actors import ALICE, PARAMETERS, deposit
from tests.unit.node.chronicle import Chronicle


def test_the_second_of_two_writers_gives_up_and_changes_nothing(tmp_path: Path) -> None:
    """The chunk is a cut: its rows are all replaced ones, so no key would stand in the way."""
    chronicle = Chronicle()
    chronicle.add_block(deposit(0, ALICE, 5))
    path, journal = tmp_path / "index.sqlite", chronicle.journal
    with closing(IndexWriter(path, PARAMETERS.genesis_hash)) as orphan:
        orphan.apply(journal.read(0))
        behind = orphan.height
        chronicle.cut()
        late_chunk = list(journal.read(behind))
        with closing(IndexWriter(path, PARAMETERS.genesis_hash)) as successor:
            successor.apply(late_chunk)
            chronicle.seal()
            chronicle.add_block(deposit(1, ALICE, 5))
            successor.apply(journal.read(successor.height))
            with pytest.raises(BrokenInvariant, match="another writer"):
                orphan.apply(late_chunk)
            assert list(compare(path, journal)) == []
            # The same the other way round: the successor is the one that was overtaken.
            chronicle.cut()
            orphan.apply(journal.read(orphan.height))
            with pytest.raises(BrokenInvariant, match="another writer"):
                successor.apply(journal.read(successor.height))
    assert list(compare(path, journal)) == []
    with closing(IndexReader(path)) as reader:
        assert reader.get_seal(1) is not None


def test_an_index_that_turns_out_to_be_damaged_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker ends, and the node with it; without the file the next start makes it anew, instead of ending, too."""
    path = tmp_path / "index.sqlite"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(encode_frame((PARAMETERS.genesis_hash, 5)) + encode_frame([]))
        monkeypatch.setattr(IndexWriter, "apply", find_damage)
        with pytest.raises(sqlite3.DatabaseError):
            run_indexer(WorkerChannel(theirs), str(path))
    assert list(tmp_path.iterdir()) == []


def test_proofs_that_turn_out_to_be_damaged_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "proofs.sqlite"
    writer = ProofWriter(path, PARAMETERS.genesis_hash)
    chronicle = Chronicle()
    chronicle.cut()
    monkeypatch.setattr(ProofWriter, "_write", find_damage)
    with pytest.raises(sqlite3.DatabaseError):
        writer.write(chronicle.sealed[1])
    assert list(tmp_path.iterdir()) == []


def find_damage(*_: object) -> None:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    raise error
