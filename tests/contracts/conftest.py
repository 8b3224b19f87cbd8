"""One chain for all contract tests, and a ledger at stages of its life: each built once, each test starts from one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.evm import Evm
from tests.contracts.ledger import Ledger, withdrawal
from tests.contracts.reference import ETHER


class Stages:
    def __init__(self) -> None:
        self.evm = Evm()
        self.built: dict[Callable[[Stages], Ledger], tuple[Ledger, Any]] = {}

    def get(self, build: Callable[[Stages], Ledger]) -> Ledger:
        """What `build` builds, with the chain as it left it, however often it is asked for."""
        if build not in self.built:
            self.built[build] = build(self), self.evm.tester.take_snapshot()
        ledger, snapshot = self.built[build]
        self.evm.tester.revert_to_snapshot(snapshot)
        return ledger.copy()


def build_deployed(stages: Stages) -> Ledger:
    return Ledger.deploy(stages.evm)


def build_running(stages: Stages) -> Ledger:
    ledger = stages.get(build_deployed)
    ledger.deposit(1000)
    ledger.deposit(500, ETHER)
    ledger.wait()
    ledger.commit()
    ledger.deposit(300)
    ledger.wait()
    ledger.commit(withdrawals={ledger.token.address: [withdrawal(1, ledger.users[0], 150)]})
    ledger.deposit(70)
    ledger.deposit(30, ETHER)
    ledger.wait()
    return ledger


def build_withdrawn(stages: Stages) -> Ledger:
    ledger = stages.get(build_deployed)
    ledger.deposit(10_000)
    ledger.deposit(10_000, ETHER)
    ledger.wait()
    ledger.commit(
        withdrawals={
            ledger.token.address: [withdrawal(i, ledger.users[i % 3], 100 + i) for i in range(5)],
            ETHER: [withdrawal(10 + i, ledger.users[4], 200 + i) for i in range(3)],
        }
    )
    return ledger


def build_final(stages: Stages) -> Ledger:
    ledger = stages.get(build_withdrawn)
    ledger.finalise()
    return ledger


@pytest.fixture(scope="session")
def stages() -> Stages:
    return Stages()


@pytest.fixture
def evm(stages: Stages) -> Evm:
    """The chain, after the deployment of a ledger."""
    return stages.get(build_deployed).evm


@pytest.fixture
def ledger(stages: Stages, evm: Evm) -> Ledger:
    """Freshly deployed: ether and a token listed, nothing deposited, nothing committed."""
    return stages.get(build_deployed)


@pytest.fixture
def running(stages: Stages, evm: Evm) -> Ledger:
    """Two epochs committed, deposits in both assets before and after, a withdrawal in the second; an hour later."""
    return stages.get(build_running)


@pytest.fixture
def withdrawn(stages: Stages, evm: Evm) -> Ledger:
    """One epoch, not final, with five withdrawals of the token and three of ether."""
    return stages.get(build_withdrawn)


@pytest.fixture
def final(stages: Stages, evm: Evm) -> Ledger:
    """The same epoch, final."""
    return stages.get(build_final)
