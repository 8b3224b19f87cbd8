"""Random histories with an operator that lies at random: accepted is what the rules allow, and paid what is due."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from tests.contracts import reference
from tests.contracts.evm import Evm, Refused
from tests.contracts.ledger import HOUR, MAX_SILENCE, MIN_INTERVAL, Ledger, withdrawal
from tests.contracts.reference import ETHER, Commitment, Line, Withdrawal

STEPS = 120
FIELD_BITS = {"total": 128, "withdrawn": 128, "account_count": 64, "deposit_count": 64, "forced_count": 64}
# Little, what a narrower type would lose, and what it takes to wrap 128 bits.
DIFFERENCES = [-3, -2, -1, 1, 2, 3, 2**32, 2**40, 2**64, 2**127, -(2**64), 2**128 - 1]


class History:
    """The contract, and what the money in it must be according to a second account of all that happened."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.evm = ledger.evm
        self.random = random.Random(seed)
        self.assets = [ETHER, ledger.token.address]
        # Of each asset: amount and time of every deposit, what was paid out, what was given for nothing.
        self.deposits: dict[str, list[tuple[int, int]]] = {asset: [] for asset in self.assets}
        self.paid = dict.fromkeys(self.assets, 0)
        self.donated = dict.fromkeys(self.assets, 0)
        self.claimed: set[tuple[int, str, int]] = set()
        self.final_epoch = 0
        self.happened: Counter[str] = Counter()

    def step(self) -> None:
        actions = [self.deposit] * 4 + [self.donate, self.wait] + [self.commit] * 3 + [self.lie] * 4 + [self.claim] * 4
        self.random.choice(actions)()
        self.check_money()

    # ---- what everybody does -----------------------------------------------------------------------------------------

    def deposit(self) -> None:
        asset = self.random.choice(self.assets)
        amount = self.random.randrange(1, 2 ** self.random.choice([4, 30, 60]))
        self.ledger.deposit(amount, asset, self.random.randrange(4))
        self.deposits[asset].append((amount, self.evm.now))

    def donate(self) -> None:
        token = self.ledger.token
        amount = self.random.randrange(1, 2**60)
        self.evm.send(token.functions.transfer(self.ledger.settlement.address, amount), self.ledger.users[0])
        self.donated[token.address] += amount

    def wait(self) -> None:
        self.ledger.wait(self.random.choice([1, MIN_INTERVAL, HOUR]))
        if self.evm.now + 3 * HOUR > self.ledger.last_cut_at // 1000 + MAX_SILENCE:
            self.commit()

    def claim(self) -> None:
        """Of any withdrawal of any epoch, once or again, whatever the operator had said about it."""
        if self.final_epoch < len(self.ledger.included) and self.random.random() < 0.5:
            self.ledger.finalise()
            self.final_epoch = len(self.ledger.included)
        places = [
            (epoch, asset, index)
            for (epoch, asset), items in self.ledger.withdrawals.items()
            for index in range(len(items))
            if epoch <= self.final_epoch
        ]
        if not places:
            return
        epoch, asset, index = place = self.random.choice(places[-12:])
        items = self.ledger.withdrawals[epoch, asset]
        line = self.ledger.included[epoch - 1].commitment.assets[self.assets.index(asset)]
        root = reference.sum_root([reference.withdrawal_leaf(item) for item in items])
        expected = None
        if place in self.claimed:
            expected = "AlreadyClaimed"
        elif root != (line.withdrawals_root, line.withdrawn):
            expected = "RootMismatch"
        try:
            self.evm.send(self.ledger.claim_function(self.ledger.claim_for(*place)))
        except Refused as refusal:
            assert refusal.name == expected
            self.happened[expected] += 1
        else:
            assert expected is None
            self.claimed.add(place)
            self.paid[asset] += items[index].amount
            self.happened["paid"] += 1

    # ---- the operator ------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        self.wait_for_cut()
        self.ledger.commit(withdrawals=self.share_out())
        self.happened["committed"] += 1

    def lie(self) -> None:
        self.wait_for_cut()
        withdrawals = self.share_out()
        honest = self.ledger.draft(withdrawals=withdrawals)
        index = self.random.randrange(2)
        lines = list(honest.assets)
        lines[index] = self.falsify(lines[index])
        commitment = honest._replace(assets=tuple(lines))
        if self.is_acceptable(commitment):
            self.ledger.commit(commitment, withdrawals=withdrawals)
            self.happened["lie accepted"] += 1
        else:
            with pytest.raises(Refused):
                self.evm.call(self.ledger.commit_function(commitment))
            self.happened["lie refused"] += 1

    def wait_for_cut(self) -> None:
        earliest = -(-self.ledger.last_cut_at // 1000) + MIN_INTERVAL
        self.evm.travel(max(self.evm.now, earliest))

    def share_out(self) -> dict[str, list[Withdrawal]]:
        """Withdrawals of parts of what is left of both assets."""
        withdrawals: dict[str, list[Withdrawal]] = {}
        for line in self.ledger.draft().assets:
            left = line.total
            withdrawals[line.asset] = []
            for number in range(self.random.randrange(4)):
                amount = left * self.random.randrange(50) // 100
                left -= amount
                withdrawals[line.asset].append(withdrawal(number, self.ledger.users[number], amount))
        return withdrawals

    def falsify(self, line: Line) -> Line:
        """Some lies break a rule; some keep all of them, and are the users' to find out."""
        if self.random.random() < 0.5:
            changes: dict[str, Any] = {
                name: (getattr(line, name) + self.random.choice(DIFFERENCES)) % 2 ** FIELD_BITS[name]
                for name in self.random.sample(sorted(FIELD_BITS), self.random.randrange(1, 4))
            }
            return line._replace(**changes)
        count = self.random.randrange(line.deposit_count + 1)
        missing = sum(amount for amount, _ in self.deposits[line.asset][count:])
        moved = self.random.randrange(1, line.total // 2 + 2)
        return line._replace(
            total=max(line.total - missing - moved, 0), withdrawn=line.withdrawn + moved, deposit_count=count
        )

    def is_acceptable(self, commitment: Commitment) -> bool:
        """The rules about assets, a second time."""
        previous = self.ledger.last
        for index, line in enumerate(commitment.assets):
            last = previous.assets[index] if previous.assets else Line(line.asset)
            queue = self.deposits[line.asset]
            if line.account_count < last.account_count or line.forced_count != 0:
                return False
            if not last.deposit_count <= line.deposit_count <= len(queue):
                return False
            if any(1000 * time < self.ledger.last_cut_at for _, time in queue[line.deposit_count :]):
                return False
            gained = sum(amount for amount, _ in queue[last.deposit_count : line.deposit_count])
            if line.total + line.withdrawn != last.total + gained:
                return False
        return True

    # ---- what always holds -------------------------------------------------------------------------------------------

    def check_money(self) -> None:
        contract = self.ledger.settlement.address
        balances = {
            ETHER: self.evm.web3.eth.get_balance(contract),
            self.ledger.token.address: self.ledger.token.functions.balanceOf(contract).call(),
        }
        for index, asset in enumerate(self.assets):
            held = self.ledger.functions.held(asset).call()
            assert held == sum(amount for amount, _ in self.deposits[asset]) - self.paid[asset]
            assert balances[asset] == held + self.donated[asset]
            lines = [item.commitment.assets[index] for item in self.ledger.included]
            if lines:
                withdrawn = sum(line.withdrawn for line in lines)
                counted = sum(amount for amount, _ in self.deposits[asset][: lines[-1].deposit_count])
                assert lines[-1].total + withdrawn == counted
                assert self.paid[asset] <= withdrawn


@pytest.mark.parametrize("seed", [1, 2])
def test_money_is_conserved_whatever_the_operator_says(seed: int) -> None:
    history = History(Ledger.deploy(Evm(), challenge_period=HOUR), seed)
    for _ in range(STEPS):
        history.step()
    events = ["committed", "lie accepted", "lie refused", "paid", "AlreadyClaimed", "RootMismatch"]
    assert all(history.happened[event] for event in events), history.happened
