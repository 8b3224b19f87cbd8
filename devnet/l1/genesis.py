"""The first block, and who has money in it."""

from __future__ import annotations

from typing import Final

MNEMONIC: Final = "test test test test test test test test test test test junk"
"""The development mnemonic that every Ethereum tool knows. Its keys are public: they guard nothing, anywhere."""

ACCOUNTS: Final = tuple(
    bytes.fromhex(address)
    for address in (
        "f39fd6e51aad88f6f4ce6ab8827279cfffb92266",
        "70997970c51812dc3a010c7d01b50e0d17dc79c8",
        "3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
        "90f79bf6eb2c4f870365e785982e1f101e93b906",
        "15d34aaf54267db7d7c367839aaf71a00a2c6a65",
        "9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
        "976ea74026e726554db657fa54763abd0c3a0aa9",
        "14dc79964da2c08b23698b3d3cc7ca32193d9955",
        "23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f",
        "a0ee7a142d267c1f36714e4a8f75612f20a79720",
    )
)
"""m/44'/60'/0'/0/0 to /9 of the mnemonic, written out: deriving them would cost every start the import of a wallet."""

BALANCE_WEI: Final = 10_000 * 10**18
"""What each of the ten starts with."""

GAS_LIMIT: Final = 30_000_000
"""Of every block. The target of EIP-1559 is half of it."""

BASE_FEE_WEI: Final = 10**9
"""Of block 0, 1 gwei. An idle chain lets it fall to 7 wei, where integer division holds it: never to the 0 that makes
some wallets fall back to legacy transactions."""

DEFAULT_CHAIN_ID: Final = 31337
