"""What is known of Ethereum chains by their numbers: names, and where people look at them."""

from typing import Final

import msgspec


class Chain(msgspec.Struct, frozen=True):
    name: str
    explorer_url: str | None = None
    """What stands before `/tx/…` and `/address/…`."""
    is_local: bool = False
    """A chain of one machine, for development: a block there is never taken back."""


KNOWN: Final[dict[int, Chain]] = {
    1: Chain("Ethereum mainnet", "https://etherscan.io"),
    1_337: Chain("a development chain", is_local=True),
    17_000: Chain("Holesky", "https://holesky.etherscan.io"),
    31_337: Chain("a development chain", is_local=True),
    560_048: Chain("Hoodi", "https://hoodi.etherscan.io"),
    11_155_111: Chain("Sepolia", "https://sepolia.etherscan.io"),
}


def find_chain(l1_chain_id: int) -> Chain:
    return KNOWN.get(l1_chain_id, Chain("a chain without a well-known name"))
