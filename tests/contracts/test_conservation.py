"""Random histories with an operator that lies at random: accepted is what the rules allow, and paid what is due."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.contracts import reference
from tests.contracts.evm import Evm, Refused
from tests.contracts.ledger import HOUR, MAX_SILENCE, MIN_INTERVAL, Ledger, withdrawal
from tests.contracts.reference import ETHER, Commitment, Line

AMOUNTS = st.one_of(st.integers(1, 1000), st.integers(1, 2**90))
# What a liar adds to a number: little, a power of two that a narrow type would lose, or what it takes to wrap 128 bits.
LIES = st.one_of(
    st.integers(-3, 3), st.sampled_from([2**32, 2**40, 2**64, 2**127, -(2**64)]), st.integers(-(2**90), 2**90)
)
FIELD_BITS = {"total": 128, "withdrawn": 128, "account_count": 64, "deposit_count": 64, "forced_count": 64}
EVM = Evm()
LEDGER = Ledger.deploy(EVM, challenge_period=HOUR)


class Conservation(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.snapshot = EVM.tester.take_snapshot()
        self.ledger = Ledger(EVM, LEDGER.settlement, LEDGER.token)
        self.assets = [ETHER, self.ledger.token.address]
        self.deposits: dict[str, list[tuple[int, int]]] = {asset: [] for asset in self.assets}
        """Amount and time of each."""
        self.paid = dict.fromkeys(self.assets, 0)
        self.donated = dict.fromkeys(self.assets, 0)
        self.claimed: set[tuple[int, str, int]] = set()
        self.final_epoch = 0
        self.first_deposit_at: int | None = None

    def teardown(self) -> None:
        EVM.tester.revert_to_snapshot(self.snapshot)

    @property
    def is_halted(self) -> bool:
        if self.first_deposit_at is None:
            return False
        included_at = self.ledger.included[-1].included_at if self.ledger.included else 0
        return EVM.now >= max(included_at, self.first_deposit_at) + MAX_SILENCE - 60

    # ---- what everybody does -----------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.ledger.wait()

    @precondition(lambda self: not self.is_halted)
    @rule(asset=st.integers(0, 1), user=st.integers(0, 3), amount=AMOUNTS)
    def deposit(self, asset: int, user: int, amount: int) -> None:
        address = self.assets[asset]
        amount = min(amount, 10**20) if address == ETHER else amount
        self.ledger.deposit(amount, address, user)
        self.deposits[address].append((amount, EVM.now))
        self.first_deposit_at = self.first_deposit_at or EVM.now

    @rule(amount=st.integers(1, 10**6))
    def donate(self, amount: int) -> None:
        token = self.ledger.token
        EVM.send(token.functions.transfer(self.ledger.settlement.address, amount), self.ledger.users[0])
        self.donated[token.address] += amount

    @rule(seconds=st.sampled_from([1, MIN_INTERVAL, HOUR, 5 * HOUR]))
    def wait(self, seconds: int) -> None:
        self.ledger.wait(seconds)

    # ---- the operator ------------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.is_halted and self.has_waited())
    @rule(shares=st.lists(st.integers(0, 100), max_size=4))
    def commit_honestly(self, shares: list[int]) -> None:
        self.ledger.commit(withdrawals=self.share_out(shares))

    @precondition(lambda self: not self.is_halted and self.has_waited())
    @rule(
        shares=st.lists(st.integers(0, 100), max_size=2),
        asset=st.integers(0, 1),
        changes=st.dictionaries(st.sampled_from(sorted(FIELD_BITS)), LIES, min_size=1, max_size=3),
    )
    def commit_anything(self, shares: list[int], asset: int, changes: dict[str, int]) -> None:
        withdrawals = self.share_out(shares)
        honest = self.ledger.draft(withdrawals=withdrawals)
        line = honest.assets[asset]
        values = {name: (getattr(line, name) + by) % 2 ** FIELD_BITS[name] for name, by in changes.items()}
        lines = list(honest.assets)
        lines[asset] = line._replace(**values)
        commitment = honest._replace(assets=tuple(lines))
        if self.is_acceptable(commitment):
            self.ledger.commit(commitment, withdrawals=withdrawals)
        else:
            with pytest.raises(Refused):
                EVM.call(self.ledger.commit_function(commitment))

    def has_waited(self) -> bool:
        return 1000 * EVM.now >= self.ledger.last_cut_at + 1000 * MIN_INTERVAL

    def share_out(self, shares: list[int]) -> dict[str, list[Any]]:
        """Withdrawals of so many percent of what is left, of both assets."""
        withdrawals: dict[str, list[Any]] = {}
        for line in self.ledger.draft().assets:
            left, items = line.total, []
            for number, share in enumerate(shares):
                amount = left * share // 100
                left -= amount
                items.append(withdrawal(number, self.ledger.users[number], amount))
            withdrawals[line.asset] = items
        return withdrawals

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

    # ---- claims ------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.final_epoch < len(self.ledger.included))
    @rule()
    def finalise(self) -> None:
        self.ledger.finalise()
        self.final_epoch = len(self.ledger.included)

    @precondition(lambda self: self.final_epoch > 0)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        epoch = data.draw(st.integers(1, self.final_epoch))
        asset = data.draw(st.sampled_from(self.assets))
        items = self.ledger.withdrawals.get((epoch, asset), [])
        if not items:
            return
        index = data.draw(st.integers(0, len(items) - 1))
        line = self.ledger.included[epoch - 1].commitment.assets[self.assets.index(asset)]
        root = reference.sum_root([reference.withdrawal_leaf(item) for item in items])
        is_honest = (root.hash, root.sum) == (line.withdrawals_root, line.withdrawn)
        try:
            EVM.send(self.ledger.claim_function(self.ledger.claim_for(epoch, asset, index)))
        except Refused as refusal:
            expected = "AlreadyClaimed" if (epoch, asset, index) in self.claimed else "RootMismatch"
            assert refusal.name == expected
            assert refusal.name == "AlreadyClaimed" or not is_honest
        else:
            assert is_honest and (epoch, asset, index) not in self.claimed
            self.claimed.add((epoch, asset, index))
            self.paid[asset] += items[index].amount

    # ---- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def money_is_conserved(self) -> None:
        balances = {
            ETHER: EVM.web3.eth.get_balance(self.ledger.settlement.address),
            self.assets[1]: self.ledger.token.functions.balanceOf(self.ledger.settlement.address).call(),
        }
        for index, asset in enumerate(self.assets):
            deposited = sum(amount for amount, _ in self.deposits[asset])
            held = self.ledger.functions.held(asset).call()
            assert held == deposited - self.paid[asset]
            assert balances[asset] == held + self.donated[asset]
            lines = [item.commitment.assets[index] for item in self.ledger.included]
            if lines:
                counted = sum(amount for amount, _ in self.deposits[asset][: lines[-1].deposit_count])
                assert lines[-1].total + sum(line.withdrawn for line in lines) == counted
                assert self.paid[asset] <= sum(line.withdrawn for line in lines)


TestConservation = Conservation.TestCase
TestConservation.settings = settings(
    max_examples=10,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
