"""A worker that outlives its node: what it still has at hand must not be written over what the next one wrote."""

from contextlib import closing
from pathlib import Path

import pytest

from chain.errors import BrokenInvariant
from node.index import IndexReader, IndexWriter
from node.index.comparison import compare
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
