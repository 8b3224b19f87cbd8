"""What a development network is started with, and what it remembers of itself in its data directory."""

from pathlib import Path
from typing import Final

import msgspec

from chain.primitives import Address
from node.config import MarketConfig

MNEMONIC: Final = "test test test test test test test test test test test junk"
"""The well-known development mnemonic: everybody has these keys, so nothing of worth may ever be sent to them."""

ACCOUNT_COUNT: Final = 10
DEFAULT_PORT: Final = 8645
DEFAULT_L1_PORT: Final = 8545


class DevnetOptions(msgspec.Struct, frozen=True):
    data_dir: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    l1_port: int = DEFAULT_L1_PORT
    l1_url: str | None = None
    """Another client than the embedded one; it must mine by the clock."""
    epoch_seconds: int = 10
    challenge_period: int = 60
    """Seconds; of a new deployment only."""
    ready_file: Path | None = None
    demo: bool = False


class Setup(msgspec.Struct, frozen=True):
    """A finished set-up: one deployment, funded. Written once, when all of it is done."""

    l1_chain_id: int
    settlement: Address
    token: Address
    demo_keys: tuple[bytes, ...]
    """Private keys of accounts that hold test money on the ledger, for the demonstration."""
    market: MarketConfig
    """What the ledger was begun with: a later version's defaults do not change it."""


class DevnetProblem(Exception):
    """The development network cannot be started; the message says why and what to do."""
