"""The indexer: follows the journal and keeps the index, which everything that is looked up is looked up in."""

import sqlite3
from pathlib import Path

from chain.primitives import Hash
from node.framing import WorkerChannel
from node.index import IndexWriter
from node.sqlite_files import is_damage, remove


def run_indexer(channel: WorkerChannel, path: str) -> None:
    """First message: (genesis hash, the journal's height), answered with the height from which entries are wanted.
    Then lists of (height, entry), each answered with the next height once it is written."""
    genesis_hash, journal_height = channel.receive()
    index = open_index(Path(path), genesis_hash, journal_height)
    channel.send(index.height)
    while True:
        entries = channel.receive()
        try:
            index.apply(entries)
        except sqlite3.DatabaseError as error:
            if is_damage(error):  # the next start makes it anew
                index.close()
                remove(Path(path))
            raise
        channel.send(index.height)


def open_index(path: Path, genesis_hash: Hash, journal_height: int) -> IndexWriter:
    """The index, begun anew when it is ahead of the journal: then it is of one that an older copy has replaced."""
    index = IndexWriter(path, genesis_hash)
    if index.height > journal_height:
        index.close()
        remove(path)
        index = IndexWriter(path, genesis_hash)
    return index
