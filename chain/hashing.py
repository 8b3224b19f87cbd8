"""keccak-256, and the one-byte tags that keep every kind of hash input of ours apart.

Tags lie in 0x80–0x8f: below 0x80 are Ethereum's transaction types (EIP-2718), 0x19 begins signed data (EIP-191), and
RLP lists begin at 0xc0. So nothing hashed under one tag can be presented as anything else.
"""

from typing import Final

from sha3 import keccak_256

from chain.primitives import Hash

LIST_LEAF: Final = b"\x80"
LIST_NODE: Final = b"\x81"
ACCOUNT_LEAF: Final = b"\x82"
SUM_NODE: Final = b"\x83"
DEBIT_LEAF: Final = b"\x84"
CREDIT_LEAF: Final = b"\x85"
WITHDRAWAL_LEAF: Final = b"\x86"
ETHEREUM_PAYMENT: Final = b"\x88"
REQUEST_ID: Final = b"\x89"
GENESIS: Final = b"\x8a"
REGISTRY: Final = b"\x8b"


def keccak(data: bytes) -> Hash:
    """keccak-256 of `data` (the original padding, as Ethereum uses it; not FIPS-202 SHA3)."""
    return keccak_256(data).digest()  # type: ignore[no-any-return]
