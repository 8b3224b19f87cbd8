"""One chain and one deployment for all contract tests; each test starts from the same block."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from web3.contract import Contract

from tests.contracts.evm import Evm
from tests.contracts.ledger import Ledger


@pytest.fixture(scope="session")
def shared_evm() -> Evm:
    return Evm()


@pytest.fixture(scope="session")
def deployment(shared_evm: Evm) -> tuple[Contract, Contract]:
    ledger = Ledger.deploy(shared_evm)
    return ledger.settlement, ledger.token


@pytest.fixture
def evm(shared_evm: Evm, deployment: tuple[Contract, Contract]) -> Iterator[Evm]:
    snapshot = shared_evm.tester.take_snapshot()
    yield shared_evm
    shared_evm.tester.revert_to_snapshot(snapshot)


@pytest.fixture
def ledger(evm: Evm, deployment: tuple[Contract, Contract]) -> Ledger:
    """Freshly deployed: ether and a token listed, nothing deposited, nothing committed."""
    return Ledger(evm, *deployment)
