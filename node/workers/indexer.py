"""The indexer: follows the journal and keeps the index, which everything that is looked up is looked up in."""

from pathlib import Path

from node.framing import WorkerChannel
from node.index import IndexWriter


def run_indexer(channel: WorkerChannel, path: str) -> None:
    """First message: the genesis hash, answered with the height from which entries are wanted. Then lists of
    (height, entry), each answered with the next height once it is written."""
    index = IndexWriter(Path(path), channel.receive())
    channel.send(index.height)
    while True:
        index.apply(channel.receive())
        channel.send(index.height)
