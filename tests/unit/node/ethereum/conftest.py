from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.ethereum.commit_decision import CommitterSettings
from node.ethereum.committer import Committer
from node.ethereum.store import EthereumStore
from tests.unit.node.ethereum.simulated import ACCOUNT, L1_CHAIN_ID, SETTLEMENT, SimulatedL1


@pytest.fixture
def l1() -> SimulatedL1:
    return SimulatedL1()


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[[], EthereumStore]]:
    """Opens the one file of the test, again each time."""
    opened: list[EthereumStore] = []

    def open_it() -> EthereumStore:
        opened.append(EthereumStore(tmp_path / "ethereum.sqlite", L1_CHAIN_ID, SETTLEMENT))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], EthereumStore]) -> EthereumStore:
    return open_store()


@pytest.fixture
def start(l1: SimulatedL1, store: EthereumStore) -> Callable[..., Committer]:
    """A committer over the store of the test, or another one: a restart, if there was one before."""

    def start_it(over: EthereumStore = store, **settings: Any) -> Committer:
        return Committer(l1, over, ACCOUNT, l1.deployment, CommitterSettings(**settings), l1.clock)

    return start_it
