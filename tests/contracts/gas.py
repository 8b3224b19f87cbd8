"""Gas of what people do with the contract: `python -m tests.contracts.gas [--update]`.

Prints the differences to `contracts/gas.json`, and fails if there are any; `--update` rewrites that file.
Everything but a first deposit or commitment is measured in the steady state: what is written for the first time is only
what every such call writes anew.
Commitments have one withdrawal of each asset, and credit one deposit of each asset unless the case says otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from contracts import ARTIFACTS
from tests.contracts.evm import Evm
from tests.contracts.ledger import COLD_KEY, OPERATOR, Ledger, Parameters, withdrawal
from tests.contracts.reference import ETHER

SNAPSHOT = ARTIFACTS.parent / "gas.json"
WITHDRAWALS = 1000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.gas", description="Measure the contract's gas.")
    parser.add_argument("--update", action="store_true", help="rewrite contracts/gas.json")
    arguments = parser.parse_args()
    measured = measure()
    differences = list(list_differences(measured))
    print("\n".join(differences) or "as in contracts/gas.json")
    if arguments.update:
        SNAPSHOT.write_text(json.dumps(measured, indent=2) + "\n")
        return 0
    return 1 if differences else 0


def list_differences(measured: dict[str, int]) -> Iterator[str]:
    """One line for each case that is not as in the snapshot."""
    snapshot: dict[str, int] = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
    for case in sorted(measured.keys() | snapshot.keys()):
        before, after = snapshot.get(case), measured.get(case)
        if before is None or after is None:
            yield f"{case}: {before or 'new'} -> {after or 'gone'}"
        elif before != after:
            yield f"{case}: {before} -> {after} ({after - before:+d})"


def measure() -> dict[str, int]:
    """Name of each case to the gas its transaction uses."""
    cases = dict(measure_deposits())
    for asset_count in (1, 2, 4):
        cases |= measure_commitments(asset_count)
    return cases | dict(measure_claims())


def measure_deposits() -> Iterator[tuple[str, int]]:
    for name in ("ether", "token"):
        ledger = Ledger.deploy(Evm())
        asset = ETHER if name == "ether" else ledger.token.address
        yield f"deposit, {name}, first of the ledger", ledger.deposit(10**18, asset)["gasUsed"]
        yield f"deposit, {name}", ledger.deposit(10**18, asset)["gasUsed"]


def measure_commitments(asset_count: int) -> dict[str, int]:
    evm = Evm()
    tokens = [evm.deploy("TestToken") for _ in range(asset_count)]
    parameters = Parameters(OPERATOR.address, COLD_KEY.address, evm.accounts[1])
    settlement = evm.deploy("Settlement", parameters, [token.address for token in tokens])
    ledger = Ledger(evm, settlement, tokens[0])
    for token in tokens:
        ledger.fund(token, ledger.users[0])

    name = f"commit, {asset_count} asset{'s' if asset_count > 1 else ''}"
    cases = {}
    for epoch, case in enumerate((f"{name}, first of the ledger", "", name, f"{name}, no deposits"), start=1):
        for token in tokens if epoch < 4 else ():
            ledger.deposit(10**18, token.address)
        ledger.wait()
        items = [withdrawal(epoch, ledger.users[1], 10**15)]
        cases[case] = ledger.commit(withdrawals={token.address: items for token in tokens})["gasUsed"]
    del cases[""]
    return cases


def measure_claims() -> Iterator[tuple[str, int]]:
    """Of two assets with a thousand withdrawals each, to one who has some already."""
    ledger = Ledger.deploy(Evm())
    assets = {"ether": ETHER, "token": ledger.token.address}
    items = [withdrawal(i, ledger.users[3], 10**6 + i) for i in range(WITHDRAWALS)]
    for asset in assets.values():
        ledger.deposit(10**18, asset)
    ledger.wait()
    ledger.commit(withdrawals=dict.fromkeys(assets.values(), items))
    yield "advance the final epoch", ledger.finalise()[-1]["gasUsed"]
    for name, asset in assets.items():
        for case, index in ((f"claim, {name}", 500), (f"claim, {name}, beside another", 501)):
            yield case, ledger.evm.send(ledger.claim_function(ledger.claim_for(1, asset, index)))["gasUsed"]


if __name__ == "__main__":
    sys.exit(main())
