"""Gas of what people do with the contract: `python -m tests.contracts.gas [--update]`.

Measured under Cancun rules in the steady state: no slot is written for the first time but those that every call writes anew.
`--update` rewrites `contracts/gas.json`; without it, the differences to that file are printed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from contracts import ARTIFACTS
from tests.contracts.evm import Evm
from tests.contracts.ledger import Ledger
from tests.contracts.reference import ETHER

SNAPSHOT = ARTIFACTS.parent / "gas.json"


def measure() -> dict[str, int]:
    """Name of the case to gas used."""
    return {
        **measure_deposits(),
        **measure_commitments(),
        **measure_claims(),
    }


def measure_deposits() -> dict[str, int]:
    ledger = Ledger.deploy(Evm())
    for asset in (ETHER, ledger.token.address):
        ledger.deposit(10**18, asset)
    return {
        "deposit, ether": ledger.deposit(10**18, ETHER)["gasUsed"],
        "deposit, token": ledger.deposit(10**18)["gasUsed"],
    }


def measure_commitments() -> dict[str, int]:
    from tests.contracts.ledger import COLD_KEY, OPERATOR, Parameters, withdrawal

    cases = {}
    for assets in (1, 2, 4):
        evm = Evm()
        tokens = [evm.deploy("TestToken") for _ in range(assets)]
        settlement = evm.deploy(
            "Settlement", Parameters(OPERATOR.address, COLD_KEY.address, evm.accounts[1]), [t.address for t in tokens]
        )
        ledger = Ledger(evm, settlement, tokens[0])
        ledger.fund(tokens[0], ledger.users[0])
        for token in tokens:
            ledger.fund(token, ledger.users[0])
        for epoch in range(4):
            if epoch < 3:
                for token in tokens:
                    ledger.deposit(10**18, token.address)
            ledger.wait()
            g = ledger.commit(None, {t.address: [withdrawal(1, ledger.users[0], 1)] for t in tokens})["gasUsed"]
            if epoch >= 2:
                cases[f"commit, {assets} assets, deposits {epoch < 3}"] = g
    return cases


def measure_claims() -> dict[str, int]:
    from tests.contracts.ledger import withdrawal

    ledger = Ledger.deploy(Evm())
    a = ledger.token.address
    cases = {}
    ledger.deposit(10**18, a)
    ledger.deposit(10**18, ETHER)
    ledger.wait()
    n = 1000
    ledger.commit(None, {x: [withdrawal(i, ledger.users[3], 10**6 + i) for i in range(n)] for x in (ETHER, a)})
    ledger.finalise()
    for x, nm in ((ETHER, "ether"), (a, "token")):
        for i in (0, 1, 500):
            cases[f"claim, {nm}, {i}"] = ledger.evm.send(ledger.claim_function(ledger.claim_for(1, x, i)))["gasUsed"]
    return cases


if __name__ == "__main__":
    for k, v in measure().items():
        print(k, v)
