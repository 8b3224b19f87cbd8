"""How many files and sockets the process may have open, and how many of them connections may be."""

import resource
from typing import Final

MAX_OPEN_FILES: Final = 65_536
"""Wanted, if the system allows that many."""

MAX_CONNECTIONS: Final = 16_384
"""Some 20 KB each before anything is asked."""


def raise_limit() -> int:
    """Raises the soft limit as far as the hard one allows, up to `MAX_OPEN_FILES`; never lowers it. Returns what it
    then is, `MAX_OPEN_FILES` for none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_OPEN_FILES
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)


def compute_max_connections(max_open_files: int) -> int:
    """A quarter is kept for the journal, the index, the other processes and Ethereum."""
    return min(MAX_CONNECTIONS, max_open_files * 3 // 4)
