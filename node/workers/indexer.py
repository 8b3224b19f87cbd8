"""The indexer: follows the journal and keeps the index, which everything that is looked up is looked up in."""

from pathlib import Path

from chain.primitives import Hash
from node.framing import WorkerChannel
from node.index import IndexWriter


def run_indexer(channel: WorkerChannel, path: str) -> None:
    """First message: (genesis hash, the journal's height), answered with the height from which entries are wanted.
    Then lists of (height, entry), each answered with the next height once it is written."""
    genesis_hash, journal_height = channel.receive()
    index = open_index(Path(path), genesis_hash, journal_height)
    channel.send(index.height)
    while True:
        index.apply(channel.receive())
        channel.send(index.height)


def open_index(path: Path, genesis_hash: Hash, journal_height: int) -> IndexWriter:
    """The index, begun anew when it is ahead of the journal: then it is of one that an older copy has replaced."""
    index = IndexWriter(path, genesis_hash)
    if index.height > journal_height:
        index.close()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        index = IndexWriter(path, genesis_hash)
    return index
