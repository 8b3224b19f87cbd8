"""Deposits: who pays, what is credited, what is refused."""

from __future__ import annotations

import random

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_tester.exceptions import TransactionFailed
from eth_utils import keccak
from hexbytes import HexBytes

from tests.contracts.evm import Evm, get_events, refused
from tests.contracts.ledger import COLD_KEY, LISTING_DELAY, MAX_SILENCE, OPERATOR, Ledger, Parameters
from tests.contracts.reference import ETHER, ZERO_ADDRESS

LIMIT = 2**120
PERMIT_TYPES = {
    "Permit": [
        {"name": name, "type": type_}
        for name, type_ in {
            "owner": "address",
            "spender": "address",
            "value": "uint256",
            "nonce": "uint256",
            "deadline": "uint256",
        }.items()
    ]
}


def test_token_deposit_is_queued_for_the_account_and_paid_by_the_caller(ledger: Ledger) -> None:
    payer, account = ledger.users[0], ledger.users[1]
    token = ledger.token.address
    before = ledger.token.functions.balanceOf(payer).call()
    receipt = ledger.evm.send(ledger.functions.deposit(token, account, 700), payer)

    assert ledger.token.functions.balanceOf(payer).call() == before - 700
    assert ledger.token.functions.balanceOf(ledger.settlement.address).call() == 700
    assert ledger.functions.held(token).call() == 700
    assert ledger.functions.depositCount(token).call() == 1
    assert ledger.functions.depositAt(token, 0).call() == [account, 700, 700, ledger.evm.now]
    (event,) = get_events(ledger.settlement, "Deposited", receipt)
    assert event == {"asset": token, "index": 0, "account": account, "sender": payer, "amount": 700}


def test_ether_deposit_is_queued_for_the_account(ledger: Ledger) -> None:
    payer, account = ledger.users[0], ledger.users[1]
    receipt = ledger.evm.send(ledger.functions.depositEther(account), payer, value=900)

    assert ledger.evm.web3.eth.get_balance(ledger.settlement.address) == 900
    assert ledger.functions.held(ETHER).call() == 900
    assert ledger.functions.depositAt(ETHER, 0).call() == [account, 900, 900, ledger.evm.now]
    (event,) = get_events(ledger.settlement, "Deposited", receipt)
    assert event == {"asset": ETHER, "index": 0, "account": account, "sender": payer, "amount": 900}


def test_queues_are_per_asset_and_cumulative(ledger: Ledger) -> None:
    random_amounts = random.Random(1)
    expected: dict[str, list[tuple[str, int, int, int]]] = {ETHER: [], ledger.token.address: []}
    for _ in range(12):
        asset = random_amounts.choice(list(expected))
        user = random_amounts.randrange(4)
        amount = random_amounts.randrange(1, 10**18)
        ledger.deposit(amount, asset, user)
        queue = expected[asset]
        queue.append((ledger.users[user], amount, amount + (queue[-1][2] if queue else 0), ledger.evm.now))
    for asset, queue in expected.items():
        assert ledger.functions.depositCount(asset).call() == len(queue)
        assert [tuple(ledger.functions.depositAt(asset, i).call()) for i in range(len(queue))] == queue
        assert ledger.functions.depositAt(asset, len(queue)).call() == [ZERO_ADDRESS, 0, 0, 0]
        assert ledger.functions.held(asset).call() == queue[-1][2]


def test_nobody_can_spend_the_approval_of_another(ledger: Ledger) -> None:
    """The caller pays. Elsewhere `deposit` pulled the tokens of anybody who had approved."""
    victim, thief = ledger.users[0], ledger.evm.accounts[9]
    token = ledger.token.address
    assert ledger.token.functions.allowance(victim, ledger.settlement.address).call() > 0
    with refused("ERC20InsufficientAllowance", ledger.settlement.address, 0, 100):
        ledger.evm.call(ledger.functions.deposit(token, thief, 100), thief)
    with refused("ERC20InsufficientAllowance", ledger.settlement.address, 0, 100):
        ledger.evm.call(ledger.functions.deposit(token, victim, 100), thief)


def test_donations_are_not_deposits(ledger: Ledger) -> None:
    ledger.deposit(500)
    ledger.evm.send(ledger.token.functions.transfer(ledger.settlement.address, 10**6), ledger.users[0])
    assert ledger.functions.held(ledger.token.address).call() == 500
    assert ledger.functions.depositCount(ledger.token.address).call() == 1
    ledger.deposit(3)
    assert ledger.functions.depositAt(ledger.token.address, 1).call()[1:3] == [3, 503]


def test_ether_that_is_merely_sent_is_refused(ledger: Ledger) -> None:
    transaction = {"from": ledger.users[0], "to": ledger.settlement.address, "value": 1, "gas": 100_000}
    with pytest.raises(TransactionFailed):
        ledger.evm.web3.eth.call(transaction)


def test_deposits_of_an_asset_are_bounded(ledger: Ledger) -> None:
    user, token = ledger.users[0], ledger.token.address
    ledger.deposit(LIMIT - 10)
    with refused("AmountTooLarge", LIMIT + 1, LIMIT):
        ledger.evm.call(ledger.functions.deposit(token, user, 11), user)
    ledger.deposit(10)
    with refused("AmountTooLarge", LIMIT + 1, LIMIT):
        ledger.evm.call(ledger.functions.deposit(token, user, 1), user)
    assert ledger.functions.held(token).call() == LIMIT
    ledger.deposit(1, ETHER)


def test_refusals_in_their_order(ledger: Ledger, evm: Evm) -> None:
    """Each call has all the faults that are refused later, too."""
    user, unlisted = ledger.users[0], evm.deploy("TestToken").address
    deposit, deposit_ether = ledger.functions.deposit, ledger.functions.depositEther

    with refused("NotAToken", ETHER):
        evm.call(deposit(ETHER, ZERO_ADDRESS, 0), user)
    with refused("ZeroAddress"):
        evm.call(deposit(unlisted, ZERO_ADDRESS, 0), user)
    with refused("ZeroAmount"):
        evm.call(deposit(unlisted, user, 0), user)
    with refused("UnknownAsset", unlisted):
        evm.call(deposit(unlisted, user, 1), user)
    with refused("ZeroAddress"):
        evm.call(deposit_ether(ZERO_ADDRESS), user)
    with refused("ZeroAmount"):
        evm.call(deposit_ether(user), user)


def test_ether_where_it_is_not_listed_is_refused(evm: Evm) -> None:
    token = evm.deploy("TestToken")
    settlement = evm.deploy(
        "Settlement", Parameters(OPERATOR.address, COLD_KEY.address, evm.accounts[1]), [token.address]
    )
    with refused("UnknownAsset", ETHER):
        evm.call(settlement.functions.depositEther(evm.accounts[2]), value=1)


def test_an_asset_can_be_deposited_once_its_listing_is_in_force(ledger: Ledger, evm: Evm) -> None:
    token = evm.deploy("TestToken")
    ledger.fund(token, ledger.users[0])
    evm.send(ledger.functions.listAsset(token.address), ledger.listing_key)
    listed_at = evm.now + LISTING_DELAY
    evm.travel(listed_at - 1)
    with refused("AssetNotInForce", token.address, listed_at):
        evm.call(ledger.functions.deposit(token.address, ledger.users[0], 5), ledger.users[0])
    ledger.deposit(5, token.address, at=listed_at)


def test_a_silent_operator_gets_no_more_deposits(ledger: Ledger, evm: Evm) -> None:
    ledger.deposit(5)
    halted_at = evm.now + MAX_SILENCE
    user = ledger.users[0]
    ledger.deposit(5, at=halted_at)
    evm.travel(halted_at + 1)
    with refused("Halted", halted_at):
        evm.call(ledger.functions.deposit(ledger.token.address, user, 5), user)
    with refused("Halted", halted_at):
        evm.call(ledger.functions.depositEther(user), user, value=5)


def test_one_block_takes_any_number_of_deposits(ledger: Ledger, evm: Evm) -> None:
    """A cap on deposits a block lets one attacker shut out the rest."""
    token, contract = ledger.token, ledger.settlement
    depositor = evm.deploy("HostileReceiver")
    evm.send(token.functions.mint(depositor.address, 40))
    approve = token.encode_abi("approve", [contract.address, 40])
    evm.send(depositor.functions.execute(token.address, HexBytes(approve)))
    deposit = HexBytes(contract.encode_abi("deposit", [token.address, depositor.address, 1]))
    evm.send(depositor.functions.plan(contract.address, [deposit] * 40))
    evm.send(depositor.functions.onTransfer())
    assert ledger.functions.depositCount(token.address).call() == 40
    assert ledger.functions.depositAt(token.address, 39).call() == [depositor.address, 1, 40, evm.now]


# ---- permits ---------------------------------------------------------------------------------------------------------

OWNER = Account.from_key(keccak(text="permit owner"))


def permit(ledger: Ledger, value: int, deadline: int, key: LocalAccount = OWNER) -> tuple[int, int, bytes, bytes]:
    """Deadline, v, r, s of an EIP-2612 permit of the owner's for the contract."""
    domain = {
        "name": "Tally Token",
        "version": "1",
        "chainId": ledger.evm.web3.eth.chain_id,
        "verifyingContract": ledger.token.address,
    }
    message = {
        "owner": OWNER.address,
        "spender": ledger.settlement.address,
        "value": value,
        "nonce": ledger.token.functions.nonces(OWNER.address).call(),
        "deadline": deadline,
    }
    signed = key.sign_typed_data(domain, PERMIT_TYPES, message)
    return deadline, signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")


@pytest.fixture
def owner(ledger: Ledger) -> str:
    """Has tokens and ether for gas, and has approved nothing."""
    if OWNER.address not in ledger.evm.tester.get_accounts():
        ledger.evm.tester.add_account(OWNER.key.hex())
    ledger.evm.web3.eth.send_transaction({"from": ledger.users[0], "to": OWNER.address, "value": 10**18})
    ledger.evm.send(ledger.token.functions.mint(OWNER.address, 1000))
    return str(OWNER.address)


def test_permit_deposit_needs_no_approval(ledger: Ledger, owner: str) -> None:
    arguments = permit(ledger, 300, ledger.evm.now + 60)
    ledger.evm.send(ledger.functions.depositWithPermit(ledger.token.address, ledger.users[1], 300, *arguments), owner)
    assert ledger.functions.depositAt(ledger.token.address, 0).call()[:2] == [ledger.users[1], 300]
    assert ledger.token.functions.allowance(owner, ledger.settlement.address).call() == 0


def test_permit_submitted_by_somebody_else_first_does_no_harm(ledger: Ledger, owner: str) -> None:
    deadline, v, r, s = permit(ledger, 300, ledger.evm.now + 60)
    ledger.evm.send(
        ledger.token.functions.permit(owner, ledger.settlement.address, 300, deadline, v, r, s), ledger.users[3]
    )
    ledger.evm.send(ledger.functions.depositWithPermit(ledger.token.address, owner, 300, deadline, v, r, s), owner)
    assert ledger.functions.held(ledger.token.address).call() == 300


def test_permit_that_gives_nothing_lets_the_transfer_refuse(ledger: Ledger, owner: str) -> None:
    token, contract = ledger.token.address, ledger.settlement.address
    faulty = [
        permit(ledger, 300, ledger.evm.now - 1),
        permit(ledger, 300, ledger.evm.now + 60, Account.from_key(keccak(text="thief"))),
        permit(ledger, 299, ledger.evm.now + 60),
    ]
    for arguments in faulty:
        with refused("ERC20InsufficientAllowance", contract, 0, 300):
            ledger.evm.call(ledger.functions.depositWithPermit(token, owner, 300, *arguments), owner)


def test_permit_of_another_is_useless(ledger: Ledger, owner: str) -> None:
    arguments = permit(ledger, 300, ledger.evm.now + 60)
    thief = ledger.evm.accounts[9]
    with refused("ERC20InsufficientAllowance", ledger.settlement.address, 0, 300):
        ledger.evm.call(ledger.functions.depositWithPermit(ledger.token.address, thief, 300, *arguments), thief)


def test_permit_deposit_refuses_what_deposit_refuses(ledger: Ledger, evm: Evm, owner: str) -> None:
    arguments = permit(ledger, 300, evm.now + 60)
    unlisted = evm.deploy("TestToken").address
    function = ledger.functions.depositWithPermit
    with refused("NotAToken", ETHER):
        evm.call(function(ETHER, owner, 300, *arguments), owner)
    with refused("ZeroAddress"):
        evm.call(function(unlisted, ZERO_ADDRESS, 300, *arguments), owner)
    with refused("ZeroAmount"):
        evm.call(function(unlisted, owner, 0, *arguments), owner)
    with refused("UnknownAsset", unlisted):
        evm.call(function(unlisted, owner, 300, *arguments), owner)
    ledger.deposit(1)
    halted_at = evm.now + MAX_SILENCE
    evm.travel(halted_at + 1)
    with refused("Halted", halted_at):
        evm.call(function(ledger.token.address, owner, 300, *arguments), owner)
