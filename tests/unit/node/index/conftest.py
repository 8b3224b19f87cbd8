from collections.abc import Iterator
from pathlib import Path

import pytest

from node.index import IndexReader, IndexWriter
from tests.unit.node.index.exchange import RandomExchange
from tests.unit.node.index.history import apply


@pytest.fixture(scope="session", params=[1, 2], ids="seed {}".format)
def history(request: pytest.FixtureRequest) -> RandomExchange:
    """A few hundred records. Not to be changed by a test."""
    ledger = RandomExchange(request.param)
    ledger.run(150)
    return ledger


@pytest.fixture(scope="session")
def index_path(history: RandomExchange, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of `history`. Not to be changed by a test."""
    path = tmp_path_factory.mktemp("index") / "index.sqlite"
    writer = IndexWriter(path, history.parameters.genesis_hash)
    apply(writer, history.entries)
    writer.close()
    return path


@pytest.fixture
def reader(index_path: Path) -> Iterator[IndexReader]:
    reader = IndexReader(index_path)
    yield reader
    reader.close()
