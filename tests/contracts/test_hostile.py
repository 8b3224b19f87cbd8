"""Tokens and receivers that were written to do harm: each harms at most itself."""

from __future__ import annotations

from typing import Any

import pytest
from eth_utils import keccak
from hexbytes import HexBytes
from web3.contract import Contract

from tests.contracts.evm import Evm, get_errors, refused
from tests.contracts.ledger import COLD_KEY, HOUR, OPERATOR, Ledger, Parameters, plain, sign, withdrawal
from tests.contracts.reference import ETHER, ZERO_ADDRESS

HONEST, TAKES_FEE, MOVES_NOTHING, REPORTS_FAILURE, TAKES_FROM_RECEIVER, CALLS_HOOK, REFUSES = range(7)
ACCEPTS, REFUSES_ETHER, FLOODS, BURNS, CALLS = range(5)


class Hostile:
    """A ledger that has listed ether, a good token, a bad one and a silent one, all with deposits."""

    def __init__(self, evm: Evm) -> None:
        good, self.bad, self.silent = (evm.deploy(name) for name in ("TestToken", "HostileToken", "SilentToken"))
        # Less than the longest silence, so that claims and deposits go side by side.
        parameters = Parameters(OPERATOR.address, COLD_KEY.address, evm.accounts[1], challenge_period=HOUR)
        assets = [ETHER, good.address, self.bad.address, self.silent.address]
        self.ledger = Ledger(evm, evm.deploy("Settlement", parameters, assets), good)
        self.evm = evm
        self.settlement = self.ledger.settlement
        self.user = self.ledger.users[0]
        for token in (good, self.bad, self.silent):
            self.ledger.fund(token, self.user)
            self.ledger.deposit(10_000, token.address)
        self.ledger.deposit(10_000, ETHER)
        self.receiver = evm.deploy("HostileReceiver")

    def behave(self, behaviour: int, hook: str = ZERO_ADDRESS) -> None:
        self.evm.send(self.bad.functions.behave(behaviour, hook))

    def plan(self, *calls: tuple[str, list[object]]) -> None:
        """Tells the receiver what to call on the settlement contract when it is given control."""
        data = [HexBytes(self.settlement.encode_abi(name, arguments)) for name, arguments in calls]
        self.evm.send(self.receiver.functions.plan(self.settlement.address, data))

    def get_results(self) -> list[str]:
        """How the planned calls ended: "" for success, else the name of the error."""
        count = self.receiver.functions.resultCount().call()
        results = [bytes(self.receiver.functions.results(i).call()) for i in range(count)]
        return ["" if result[0] else get_errors()[result[1:5]][0] for result in results]

    def execute(self, contract: Contract, name: str, *arguments: object) -> None:
        """Makes the receiver itself call."""
        data = HexBytes(contract.encode_abi(name, list(arguments)))
        self.evm.send(self.receiver.functions.execute(contract.address, data))

    def withdraw(self, asset: str, recipients: list[str], amount: int = 100) -> None:
        """Commits and finalises one withdrawal for each."""
        self.ledger.wait()
        items = [withdrawal(i, recipient, amount) for i, recipient in enumerate(recipients)]
        self.ledger.commit(withdrawals={asset: items})
        self.ledger.finalise()

    def is_solvent(self) -> bool:
        """The contract has at least what it owes, of everything."""
        tokens = (self.ledger.token, self.bad, self.silent)
        has = {token.address: token.functions.balanceOf(self.settlement.address).call() for token in tokens}
        has[ETHER] = self.evm.web3.eth.get_balance(self.settlement.address)
        return all(self.settlement.functions.held(asset).call() <= balance for asset, balance in has.items())


@pytest.fixture(scope="module")
def hostile_chain() -> tuple[Hostile, Any]:
    hostile = Hostile(Evm())
    return hostile, hostile.evm.tester.take_snapshot()


@pytest.fixture
def hostile(hostile_chain: tuple[Hostile, Any]) -> Hostile:
    hostile, snapshot = hostile_chain
    hostile.evm.tester.revert_to_snapshot(snapshot)
    hostile.ledger.included.clear()
    return hostile


# ---- deposits --------------------------------------------------------------------------------------------------------


def test_a_fee_is_not_credited(hostile: Hostile) -> None:
    hostile.behave(TAKES_FEE)
    hostile.ledger.deposit(1000, hostile.bad.address)
    assert hostile.ledger.functions.depositAt(hostile.bad.address, 1).call()[1:3] == [990, 10_990]
    assert hostile.ledger.functions.held(hostile.bad.address).call() == 10_990
    assert hostile.bad.functions.balanceOf(hostile.settlement.address).call() == 10_990


@pytest.mark.parametrize("behaviour", [MOVES_NOTHING, TAKES_FROM_RECEIVER])
def test_a_transfer_that_brings_nothing_is_refused(hostile: Hostile, behaviour: int) -> None:
    hostile.behave(behaviour)
    deposit = hostile.ledger.functions.deposit(hostile.bad.address, hostile.user, 1000)
    with refused("NothingReceived", hostile.bad.address):
        hostile.evm.call(deposit, hostile.user)


def test_a_transfer_that_reports_failure_is_refused(hostile: Hostile) -> None:
    hostile.behave(REPORTS_FAILURE)
    deposit = hostile.ledger.functions.deposit(hostile.bad.address, hostile.user, 1000)
    with refused("SafeERC20FailedOperation", hostile.bad.address):
        hostile.evm.call(deposit, hostile.user)


def test_a_token_that_returns_nothing_works(hostile: Hostile) -> None:
    token = hostile.silent
    assert hostile.ledger.functions.held(token.address).call() == 10_000
    hostile.withdraw(token.address, [hostile.user], 10_000)
    before = token.functions.balanceOf(hostile.user).call()
    hostile.evm.send(hostile.ledger.claim_function(hostile.ledger.claim_for(1, token.address, 0)))
    assert token.functions.balanceOf(hostile.user).call() == before + 10_000


def test_a_hook_cannot_deposit_inside_a_measured_deposit(hostile: Hostile) -> None:
    """Both would measure the inner one's money."""
    bad, receiver = hostile.bad, hostile.receiver.address
    for token in (bad, hostile.ledger.token):
        hostile.evm.send(token.functions.mint(receiver, 5000))
        hostile.execute(token, "approve", hostile.settlement.address, 5000)
    hostile.behave(CALLS_HOOK, receiver)
    permit = [0, 27, bytes(32), bytes(32)]
    hostile.plan(
        ("deposit", [bad.address, receiver, 700]),
        ("deposit", [hostile.ledger.token.address, receiver, 700]),
        ("depositWithPermit", [bad.address, receiver, 700, *permit]),
        ("depositEther", [receiver]),
    )
    hostile.ledger.deposit(1000, bad.address)
    assert hostile.get_results() == ["ReentrancyGuardReentrantCall"] * 4
    assert hostile.ledger.functions.depositCount(bad.address).call() == 2
    assert hostile.ledger.functions.held(bad.address).call() == 11_000
    assert hostile.is_solvent()


def test_a_hook_cannot_claim_inside_a_measured_deposit(hostile: Hostile) -> None:
    """The payout would lower the balance in the middle of the measurement, or raise another's."""
    hostile.withdraw(hostile.bad.address, [hostile.receiver.address])
    hostile.behave(CALLS_HOOK, hostile.receiver.address)
    claim = hostile.ledger.claim_for(1, hostile.bad.address, 0)
    hostile.plan(("claimWithdrawal", list(plain(claim))))
    hostile.ledger.deposit(1000, hostile.bad.address)
    assert hostile.get_results() == ["ReentrancyGuardReentrantCall"]
    assert hostile.ledger.functions.held(hostile.bad.address).call() == 11_000
    assert hostile.is_solvent()


def test_money_given_by_a_hook_is_credited_once(hostile: Hostile) -> None:
    """A hook that sends the contract tokens of its own raises what is measured; it is real money, and owed once."""
    bad, receiver = hostile.bad, hostile.receiver
    hostile.evm.send(bad.functions.mint(receiver.address, 500))
    hostile.evm.send(
        receiver.functions.plan(
            bad.address,
            [
                HexBytes(bad.encode_abi("behave", [HONEST, ZERO_ADDRESS])),
                HexBytes(bad.encode_abi("transfer", [hostile.settlement.address, 500])),
            ],
        )
    )
    hostile.behave(CALLS_HOOK, receiver.address)
    hostile.ledger.deposit(1000, bad.address)
    assert hostile.ledger.functions.held(bad.address).call() == 11_500
    assert hostile.is_solvent()


def test_a_commitment_inside_a_measured_deposit_does_not_see_it(hostile: Hostile) -> None:
    hostile.ledger.wait()
    commitment = hostile.ledger.draft()
    signature = sign(hostile.ledger.domain.commitment_digest(commitment))
    hostile.plan(("commit", [plain(hostile.ledger.last), plain(commitment), signature]))
    hostile.behave(CALLS_HOOK, hostile.receiver.address)
    hostile.ledger.deposit(1000, hostile.bad.address)
    assert hostile.get_results() == [""]
    assert hostile.ledger.functions.head().call()[0] == 1
    assert hostile.ledger.functions.depositCount(hostile.bad.address).call() == 2
    assert hostile.is_solvent()


# ---- claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", [REFUSES_ETHER, FLOODS, BURNS])
def test_a_receiver_that_refuses_ether_harms_itself_alone(hostile: Hostile, behaviour: int) -> None:
    hostile.withdraw(ETHER, [hostile.receiver.address, hostile.user])
    hostile.evm.send(hostile.receiver.functions.behave(behaviour))
    claim = hostile.ledger.claim_function(hostile.ledger.claim_for(1, ETHER, 0))
    with refused("EtherNotAccepted", hostile.receiver.address):
        hostile.evm.call(claim)
    before = hostile.evm.web3.eth.get_balance(hostile.user)
    hostile.evm.send(hostile.ledger.claim_function(hostile.ledger.claim_for(1, ETHER, 1)))
    assert hostile.evm.web3.eth.get_balance(hostile.user) == before + 100

    hostile.evm.send(hostile.receiver.functions.behave(ACCEPTS))
    hostile.evm.send(claim)
    assert hostile.evm.web3.eth.get_balance(hostile.receiver.address) == 100
    assert hostile.is_solvent()


def test_a_token_that_refuses_harms_itself_alone(hostile: Hostile) -> None:
    bad, good = hostile.bad.address, hostile.ledger.token.address
    hostile.ledger.wait()
    items = [withdrawal(1, hostile.user, 100)]
    hostile.ledger.commit(withdrawals={bad: items, good: items})
    hostile.ledger.finalise()
    for behaviour, error in [(REFUSES, ("Refused",)), (REPORTS_FAILURE, ("SafeERC20FailedOperation", bad))]:
        hostile.behave(behaviour)
        with refused(*error):
            hostile.evm.call(hostile.ledger.claim_function(hostile.ledger.claim_for(1, bad, 0)))
    assert not hostile.ledger.functions.isClaimed(1, bad, 0).call()
    hostile.evm.send(hostile.ledger.claim_function(hostile.ledger.claim_for(1, good, 0)))
    hostile.behave(HONEST)
    hostile.evm.send(hostile.ledger.claim_function(hostile.ledger.claim_for(1, bad, 0)))


@pytest.mark.parametrize("asset", ["ether", "hook token"])
def test_a_receiver_cannot_claim_twice_or_move_other_money(hostile: Hostile, asset: str) -> None:
    address = ETHER if asset == "ether" else hostile.bad.address
    receiver = hostile.receiver.address
    hostile.withdraw(address, [receiver, receiver])
    claims = [plain(hostile.ledger.claim_for(1, address, index)) for index in (0, 1)]
    hostile.plan(*[("claimWithdrawal", list(claim)) for claim in claims], ("depositEther", [receiver]))
    if asset == "hook token":
        hostile.behave(CALLS_HOOK, receiver)
    hostile.evm.send(hostile.ledger.claim_function(hostile.ledger.claim_for(1, address, 0)))
    assert hostile.get_results() == ["ReentrancyGuardReentrantCall"] * 3
    assert hostile.ledger.functions.held(address).call() == 9_900
    assert not hostile.ledger.functions.isClaimed(1, address, 1).call()
    assert hostile.is_solvent()


def test_one_transaction_may_claim_many(hostile: Hostile) -> None:
    """The lock is open again after each call, also within one transaction."""
    receiver = hostile.receiver.address
    hostile.withdraw(ETHER, [hostile.user] * 3)
    claims = [plain(hostile.ledger.claim_for(1, ETHER, index)) for index in (0, 1, 2, 0)]
    hostile.plan(*[("claimWithdrawal", list(claim)) for claim in claims])
    hostile.evm.send(hostile.receiver.functions.onTransfer())
    assert hostile.get_results() == [""] * 3 + ["AlreadyClaimed"]
    assert hostile.ledger.functions.held(ETHER).call() == 10_000 - 300
    assert hostile.evm.web3.eth.get_balance(receiver) == 0


def test_a_withdrawal_to_the_contract_itself_moves_nothing_else(hostile: Hostile) -> None:
    contract = hostile.settlement.address
    hostile.ledger.wait()
    items = [withdrawal(1, contract, 100), withdrawal(2, hostile.user, 100)]
    hostile.ledger.commit(withdrawals={ETHER: items, hostile.ledger.token.address: items})
    hostile.ledger.finalise()
    with refused("EtherNotAccepted", contract):
        hostile.evm.call(hostile.ledger.claim_function(hostile.ledger.claim_for(1, ETHER, 0)))
    hostile.evm.send(hostile.ledger.claim_function(hostile.ledger.claim_for(1, hostile.ledger.token.address, 0)))
    for asset in (ETHER, hostile.ledger.token.address):
        hostile.evm.send(hostile.ledger.claim_function(hostile.ledger.claim_for(1, asset, 1)))
    assert hostile.is_solvent()


def test_a_malicious_asset_cannot_reach_another_assets_money(hostile: Hostile) -> None:
    """The operator may print any amount of a token it controls; what that is worth is its holders' affair."""
    bad = hostile.bad.address
    hostile.evm.send(hostile.bad.functions.mint(hostile.user, 2**119))
    hostile.ledger.deposit(2**119, bad)
    hostile.ledger.wait()
    honest = hostile.ledger.draft()
    token_line = honest.assets[1]._replace(total=honest.assets[1].total + 1)
    forged = honest._replace(assets=(honest.assets[0], token_line, *honest.assets[2:]), extra_root=keccak(b"x"))
    with refused("NotConserved", hostile.ledger.token.address, 10_000, 10_001):
        hostile.evm.call(hostile.ledger.commit_function(forged))
