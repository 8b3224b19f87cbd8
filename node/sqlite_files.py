"""SQLite files that can be made again: what makes one of no use, and how it is got rid of."""

import sqlite3
from pathlib import Path
from typing import Final

_DAMAGE: Final = frozenset((sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT))
_PRIMARY_CODE: Final = 0xFF
"""Extended error codes carry the primary one in their low byte (sqlite.org/rescode.html)."""


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is no database, or a damaged one; anything else (locked, full, unreadable) is not its fault."""
    return error.sqlite_errorcode & _PRIMARY_CODE in _DAMAGE


def remove(path: Path) -> None:
    # The log last: SQLite ignores one that lies beside an empty file, should we die in between.
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
