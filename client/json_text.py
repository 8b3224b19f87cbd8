"""JSON that somebody else wrote: a node's reply, a file that is said to hold a receipt."""

import sys
from typing import Any, Final

import eth_account  # noqa: F401
import msgspec

_MAX_RECURSION: Final = 10_000
"""eth_account imports py_ecc, which sets Python's recursion limit to 100,000 for the whole process. JSON nested half as
deep then overflows the 8 MiB stack inside the decoder, and any node or file ends the process. Measured: msgspec
overflows it at about 25,000."""

sys.setrecursionlimit(min(sys.getrecursionlimit(), _MAX_RECURSION))


def parse_json(data: bytes | str) -> Any:
    """Raises `msgspec.DecodeError`, also for what is nested deeper than anything that is ever sent."""
    try:
        return msgspec.json.decode(data)
    except RecursionError as error:
        raise msgspec.DecodeError("it is nested too deeply") from error
