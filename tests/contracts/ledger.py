"""A deployment under test, and the operator that signs for it: honest unless told what to lie about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from eth_account import Account
from eth_keys.datatypes import PrivateKey
from eth_utils import keccak
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.types import TxReceipt

from tests.contracts import reference
from tests.contracts.evm import Evm, plain
from tests.contracts.reference import ETHER, NONE, Commitment, Domain, Line, SumNode, Withdrawal

HOUR = 3600
CHALLENGE_PERIOD = 7 * 24 * HOUR
MIN_INTERVAL = 60
MAX_SILENCE = 24 * HOUR
LISTING_DELAY = 2 * HOUR

OPERATOR = Account.from_key(keccak(text="operator"))
STRANGER = Account.from_key(keccak(text="stranger"))
COLD_KEY = Account.from_key(keccak(text="cold key"))


class Parameters(NamedTuple):
    operator: str
    cold_key: str
    listing_key: str
    native_asset: str = ETHER
    challenge_period: int = CHALLENGE_PERIOD
    answer_period: int = 12 * HOUR
    follow_up: int = 24 * HOUR
    min_interval: int = MIN_INTERVAL
    max_silence: int = MAX_SILENCE
    listing_delay: int = LISTING_DELAY


class Included(NamedTuple):
    commitment: Commitment
    digest: bytes
    included_at: int


class Claim(NamedTuple):
    """Arguments of `claimWithdrawal`."""

    commitment: Commitment
    included_at: int
    asset_index: int
    index: int
    id: bytes
    recipient: str
    amount: int
    siblings: Sequence[SumNode]


def sign(digest: bytes, key: Any = OPERATOR) -> bytes:
    """65 bytes r ‖ s ‖ v."""
    return bytes(Account.unsafe_sign_hash(digest, PrivateKey(key.key)).signature)


def withdrawal(number: int, recipient: str, amount: int) -> Withdrawal:
    return Withdrawal(keccak(text=f"withdrawal {number}"), recipient, amount)


class Ledger:
    """The settlement contract, its assets, and the commitments included so far."""

    def __init__(self, evm: Evm, settlement: Contract, token: Contract) -> None:
        self.evm = evm
        self.settlement = settlement
        self.functions = settlement.functions
        self.token = token
        self.users = evm.accounts[2:]
        self.listing_key = evm.accounts[1]
        self.challenge_period = int(self.functions.challengePeriod().call())
        self.domain = Domain(self.functions.ledgerChainId().call(), settlement.address)
        self.included: list[Included] = []
        self.withdrawals: dict[tuple[int, str], list[Withdrawal]] = {}

    @classmethod
    def deploy(cls, evm: Evm, **changes: Any) -> Ledger:
        """Lists ether, then a token of which all users have plenty, all approved."""
        token = evm.deploy("TestToken")
        parameters = Parameters(OPERATOR.address, COLD_KEY.address, evm.accounts[1])._replace(**changes)
        settlement = evm.deploy("Settlement", parameters, [ETHER, token.address])
        ledger = cls(evm, settlement, token)
        for key in (OPERATOR, COLD_KEY, STRANGER):
            evm.web3.eth.send_transaction({"from": evm.accounts[0], "to": key.address, "value": 10**18})
        for user in ledger.users[:4]:
            ledger.fund(token, user)
        return ledger

    def copy(self) -> Ledger:
        """The same ledger, with what was included so far in lists of its own."""
        ledger = Ledger(self.evm, self.settlement, self.token)
        ledger.included, ledger.withdrawals = list(self.included), dict(self.withdrawals)
        return ledger

    def fund(self, token: Contract, user: str) -> None:
        self.evm.send(token.functions.mint(user, 2**127))
        self.evm.send(token.functions.approve(self.settlement.address, 2**256 - 1), sender=user)

    # ---- deposits ----------------------------------------------------------------------------------------------------

    def deposit(self, amount: int, asset: str | None = None, user: int = 0, at: int | None = None) -> TxReceipt:
        """Deposits for the depositor, in the token unless an asset is named."""
        sender = self.users[user]
        asset = self.token.address if asset is None else asset
        if asset == ETHER:
            return self.evm.send(self.functions.depositEther(sender), sender, amount, at=at)
        return self.evm.send(self.functions.deposit(asset, sender, amount), sender, at=at)

    # ---- commitments -------------------------------------------------------------------------------------------------

    @property
    def last(self) -> Commitment:
        return self.included[-1].commitment if self.included else NONE

    @property
    def last_cut_at(self) -> int:
        return self.last.cut_at if self.included else 1000 * int(self.functions.deployedAt().call())

    def wait(self, seconds: int = HOUR) -> None:
        self.evm.travel(self.evm.now + seconds)

    def draft(self, withdrawals: Mapping[str, Sequence[Withdrawal]] | None = None, **changes: Any) -> Commitment:
        """What an honest operator would commit now, with these withdrawals, and with the fields named in `changes`."""
        previous = self.last
        lines = []
        for index in range(self.functions.assetCount().call()):
            asset, listed_at = self.functions.assetAt(index).call()
            if listed_at > self.evm.now:
                break
            before = previous.assets[index] if index < len(previous.assets) else Line(asset)
            lines.append(self.draft_line(asset, before, list((withdrawals or {}).get(asset, ()))))
        commitment = Commitment(
            epoch=previous.epoch + 1,
            previous=self.included[-1].digest if self.included else reference.ZERO_HASH,
            first_block=previous.last_block + 1,
            last_block=previous.last_block + 100,
            cut_at=1000 * self.evm.now,
            blocks_root=keccak(text=f"blocks {previous.epoch + 1}"),
            assets=tuple(lines),
        )
        return commitment._replace(**changes)

    def draft_line(self, asset: str, before: Line, withdrawals: list[Withdrawal]) -> Line:
        count = self.functions.depositCount(asset).call()
        deposited = self.cumulative(asset, count) - self.cumulative(asset, before.deposit_count)
        root = reference.sum_root([reference.withdrawal_leaf(item) for item in withdrawals] or [reference.EMPTY])
        return before._replace(
            state_root=keccak(text=f"state {asset} {count}"),
            total=before.total + deposited - root.sum,
            account_count=before.account_count + 1,
            deposit_count=count,
            withdrawals_root=root.hash,
            withdrawal_count=len(withdrawals),
            withdrawn=root.sum,
        )

    def cumulative(self, asset: str, count: int) -> int:
        return self.functions.depositAt(asset, count - 1).call()[2] if count else 0

    def commit_function(
        self,
        commitment: Commitment,
        previous: Commitment | None = None,
        signature: bytes | None = None,
    ) -> ContractFunction:
        if signature is None:
            signature = sign(self.domain.commitment_digest(commitment))
        return self.functions.commit(plain(self.last if previous is None else previous), plain(commitment), signature)

    def commit(
        self,
        commitment: Commitment | None = None,
        withdrawals: Mapping[str, Sequence[Withdrawal]] | None = None,
        at: int | None = None,
    ) -> TxReceipt:
        """Signs and submits, an honest one unless it is given."""
        commitment = self.draft(withdrawals) if commitment is None else commitment
        receipt = self.evm.send(self.commit_function(commitment), at=at)
        self.included.append(Included(commitment, self.domain.commitment_digest(commitment), self.evm.now))
        for asset, items in (withdrawals or {}).items():
            self.withdrawals[commitment.epoch, asset] = list(items)
        return receipt

    # ---- finality and claims -----------------------------------------------------------------------------------------

    def finalise(self) -> list[TxReceipt]:
        """Waits, and makes everything committed final; the receipt of each epoch."""
        final_epoch = self.functions.head().call()[2]
        self.evm.travel(max(self.evm.now, self.included[-1].included_at + self.challenge_period + 1))
        return [
            self.evm.send(self.functions.advanceFinalEpoch(item.digest, item.included_at))
            for item in self.included[final_epoch:]
        ]

    def claim_for(self, epoch: int, asset: str, index: int) -> Claim:
        commitment, _, included_at = self.included[epoch - 1]
        items = self.withdrawals[epoch, asset]
        siblings = reference.sum_proof([reference.withdrawal_leaf(item) for item in items], index)
        asset_index = [line.asset for line in commitment.assets].index(asset)
        return Claim(commitment, included_at, asset_index, index, *items[index], siblings)

    def claim_function(self, claim: Claim) -> ContractFunction:
        return self.functions.claimWithdrawal(*plain(claim))
