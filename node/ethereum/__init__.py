"""The part of the node that speaks to Ethereum: `watcher` brings deposits in, `committer` brings commitments out."""

import sys
from typing import Final

import eth_account  # noqa: F401

_MAX_RECURSION: Final = 10_000
"""eth_account imports py_ecc, which sets Python's recursion limit to 100,000 for the whole process. JSON nested half as
deep then overflows the 8 MiB stack inside the decoder, and anybody who can send us some ends the process. Measured:
msgspec overflows it at about 25,000."""

sys.setrecursionlimit(min(sys.getrecursionlimit(), _MAX_RECURSION))
