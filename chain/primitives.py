"""The sizes and bounds that every other module counts in."""

from typing import Final, TypeAlias

Address: TypeAlias = bytes
"""20 bytes."""

Hash: TypeAlias = bytes
"""32 bytes: a keccak-256 digest."""

Signature: TypeAlias = bytes
"""65 bytes: r (32) ‖ s (32) ‖ v (1, 27 or 28), s in the lower half of the order."""

ADDRESS_SIZE: Final = 20
HASH_SIZE: Final = 32
SIGNATURE_SIZE: Final = 65

ZERO_ADDRESS: Final[Address] = bytes(ADDRESS_SIZE)
ZERO_HASH: Final[Hash] = bytes(HASH_SIZE)

ETHER: Final[Address] = ZERO_ADDRESS
"""The asset that is ether itself; every other asset is the address of its ERC-20 contract."""

MAX_U32: Final = 2**32 - 1
MAX_U64: Final = 2**64 - 1
MAX_U128: Final = 2**128 - 1
MAX_U256: Final = 2**256 - 1

MAX_OUTPUTS: Final = 16
"""Outputs of one payment, so that one signature never buys unbounded work."""

MAX_MEMO_SIZE: Final = 256
"""Bytes of UTF-8."""

MAX_ASSETS: Final = 32
"""Assets of one deployment: the contract walks them all at every commitment."""

MAX_EPOCH_VOLUME: Final = 2**127
"""Base units that *payments* may add to an account's debits, or to its credits, within one epoch. Half of what a sum
tree can hold, so that deposits and forced withdrawals, which are never refused for this, always fit beside them."""

NONCE_WINDOW: Final = 256
"""Nonces above an account's base that may be used out of order."""

SHARES: Final = 10_000
"""Shares of a price are counted in hundredths of a percent (basis points)."""

MAX_STORAGE_DAYS: Final = 36_500
"""A hundred years: nobody pays for more at once, nor ahead of more."""
