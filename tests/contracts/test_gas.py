"""Gas: as it was, and within what was promised."""

from __future__ import annotations

import pytest

from tests.contracts.evm import Evm
from tests.contracts.gas import list_differences, measure
from tests.contracts.ledger import Ledger

COMMITMENT, FURTHER_ASSET = 95_000, 15_000
LIMITS = {
    "deposit, ether": 80_000,
    "deposit, token": 105_000,
    "commit, 1 asset": COMMITMENT,
    "commit, 2 assets": COMMITMENT + FURTHER_ASSET,
    "commit, 4 assets": COMMITMENT + 3 * FURTHER_ASSET,
    "claim, ether": 110_000,
    "claim, token": 110_000,
}


@pytest.fixture(scope="module")
def measured() -> dict[str, int]:
    return measure()


def test_gas_is_as_in_the_snapshot(measured: dict[str, int]) -> None:
    """After a change that is meant to cost what it costs: `python -m tests.contracts.gas --update`."""
    differences = list(list_differences(measured))
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("case", LIMITS)
def test_gas_is_within_its_limit(measured: dict[str, int], case: str) -> None:
    assert measured[case] <= LIMITS[case]


def test_further_assets_without_deposits_are_cheap(measured: dict[str, int]) -> None:
    costs = [measured[f"commit, {name}, no deposits"] for name in ("1 asset", "2 assets", "4 assets")]
    assert costs[1] - costs[0] <= FURTHER_ASSET
    assert costs[2] - costs[1] <= 2 * FURTHER_ASSET


def test_a_commitment_costs_the_same_whatever_was_paid(ledger: Ledger) -> None:
    """One payment or a million: the roots differ, and the numbers in it by some bytes."""
    ledger.deposit(10**24)
    ledger.wait()
    ledger.commit()
    ledger.wait()
    honest = ledger.draft()
    gas = {}
    for payments in (1, 10_000, 1_000_000):
        last = honest.first_block + payments
        assets = tuple(line._replace(account_count=line.account_count + payments) for line in honest.assets)
        many = honest._replace(last_block=last, assets=assets)
        snapshot = ledger.evm.tester.take_snapshot()
        gas[payments] = ledger.copy().commit(many)["gasUsed"]
        ledger.evm.tester.revert_to_snapshot(snapshot)
    assert max(gas.values()) < 1.01 * min(gas.values())


def test_the_code_fits(evm: Evm, ledger: Ledger) -> None:
    """EIP-170, with room for the disputes."""
    assert len(evm.web3.eth.get_code(ledger.settlement.address)) < 24_576 - 8_000
