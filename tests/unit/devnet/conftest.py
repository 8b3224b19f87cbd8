"""A chain with a clock in the test's hands, and accounts that sign for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from devnet.l1 import genesis
from devnet.l1.block import Block
from devnet.l1.chain import Chain
from devnet.l1.methods import Methods
from devnet.l1.store import Store

GWEI = 10**9
START = 1_700_000_000


@dataclass
class Clock:
    """Unix seconds, and a stopwatch; both move only when told to."""

    now: float = START
    elapsed: float = 0.0
    steps: list[float] = field(default_factory=list)
    """How far the stopwatch jumps at each look, while there are any."""

    def read(self) -> float:
        return self.now

    def measure(self) -> float:
        self.elapsed += self.steps.pop(0) if self.steps else 0.0
        return self.elapsed


@dataclass
class Devnet:
    """A chain that can be closed and opened again."""

    directory: Path
    clock: Clock
    store: Store
    chain: Chain

    def mine(self, blocks: int = 1) -> Block:
        for _ in range(blocks):
            self.clock.now = max(self.clock.now, self.chain.next_block_due)
            block = self.chain.mine()
            assert block is not None
        return block

    def reopen(self) -> None:
        self.store.close()
        self.store = Store(self.directory)
        self.chain = Chain(self.store, clock=self.clock.read, stopwatch=self.clock.measure)

    @property
    def methods(self) -> Methods:
        return Methods(self.chain, stopwatch=self.clock.measure)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def devnet(tmp_path: Path, clock: Clock) -> Iterator[Devnet]:
    store = Store(tmp_path)
    net = Devnet(tmp_path, clock, store, Chain(store, clock=clock.read, stopwatch=clock.measure))
    yield net
    net.store.close()


@pytest.fixture(scope="session")
def accounts() -> tuple[LocalAccount, ...]:
    Account.enable_unaudited_hdwallet_features()
    return tuple(Account.from_mnemonic(genesis.MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}") for index in range(10))


Sign = Callable[..., bytes]


@pytest.fixture(scope="session")
def sign(accounts: tuple[LocalAccount, ...]) -> Sign:
    """The raw transaction of an account, by its index; a plain transfer of 1 wei unless said otherwise."""

    def sign_transaction(index: int = 0, **fields: Any) -> bytes:
        transaction = {"nonce": 0, "to": "0x" + "77" * 20, "value": 1, "gas": 21_000, "chainId": 31337, **fields}
        if "gasPrice" not in transaction:
            transaction = {"type": 2, "maxFeePerGas": 3 * GWEI, "maxPriorityFeePerGas": GWEI, **transaction}
        transaction = {name: value for name, value in transaction.items() if value is not None}
        return bytes(accounts[index].sign_transaction(transaction).raw_transaction)

    return sign_transaction


def deploy_code(runtime: bytes) -> bytes:
    """Init code that leaves `runtime`: PUSH2 length, DUP1, PUSH1 offset, PUSH0, CODECOPY, PUSH0, RETURN."""
    return b"\x61" + len(runtime).to_bytes(2, "big") + bytes.fromhex("80600a5f395ff3") + runtime


@pytest.fixture(scope="session")
def deploy() -> Callable[[bytes], bytes]:
    return deploy_code
