"""An Ethereum in memory, behind the gateway's interface: blocks, a pool, reorganisations, faults, and the rules of the
contract as far as the committer and the watcher meet them. It fails the test when its caller does what it never should.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import rlp
from coincurve import PrivateKey
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes

from chain.block import Deposit
from chain.commitment import (
    NO_COMMITMENT,
    AssetCommitment,
    Commitment,
    compute_stored_hash,
    hash_commitment,
)
from chain.hashing import keccak
from chain.primitives import ETHER, ZERO_HASH, Address, Hash, Signature
from chain.signatures import compute_address, sign_digest
from node.ethereum.abi import load_abi
from node.ethereum.faults import ContractError, EthereumFault, Reverted, WrongDeployment
from node.ethereum.gateway import Gateway
from node.ethereum.l1 import (
    CommittedEvent,
    Deployment,
    DepositEvent,
    Head,
    L1Block,
    ListedAsset,
    QueuedDeposit,
    SendOutcome,
    SendResult,
    TxReceipt,
)

L1_CHAIN_ID = 31337
SETTLEMENT = bytes.fromhex("5e77" * 10)
START_S = 1_700_000_000
GAS = 100_000
GWEI = 10**9
TIP = GWEI
OPERATOR = PrivateKey(b"\x01" * 32)
TOKEN = b"\xaa" * 20
ACCOUNT: LocalAccount = Account.from_key(b"\x02" * 32)


@dataclass(frozen=True)
class Transaction:
    hash: Hash
    nonce: int
    gas_limit: int
    max_fee: int
    priority_fee: int
    epoch: int
    commitment: Commitment
    previous: Commitment
    signature: Signature
    is_foreign: bool = False


@dataclass(frozen=True)
class Mined:
    """A block, and the state after it."""

    block: L1Block
    epoch: int = 0
    included_at: int = 0
    final_epoch: int = 0
    nonce: int = 0
    stored: Mapping[int, tuple[Hash, int]] = field(default_factory=dict)
    assets: tuple[ListedAsset, ...] = ()
    deposits: Mapping[Address, tuple[QueuedDeposit, ...]] = field(default_factory=dict)
    claimed: Mapping[Address, int] = field(default_factory=dict)
    sent: Mapping[Address, int] = field(default_factory=dict)
    """To the contract without a deposit; negative for what a token took away."""
    events: tuple[Any, ...] = ()
    receipts: tuple[TxReceipt, ...] = ()
    transactions: tuple[Transaction, ...] = ()


class SimulatedL1(Gateway):
    def __init__(self, challenge_period: int = 100, base_fee: int = 10 * GWEI) -> None:
        super().__init__(_NoTransport(), L1_CHAIN_ID, SETTLEMENT)
        self.now_ms = START_S * 1000
        self.base_fee = base_fee
        self.has_base_fee = True
        """False: a chain without EIP-1559, whose blocks show none; what mining takes at least is the same."""
        self.gas_price = 2 * GWEI
        """What the client suggests on such a chain."""
        self.balance = 10**20
        self.finality_depth = 3
        self.pool: dict[int, Transaction] = {}
        self.waiting_foreign: list[Transaction] = []
        self.is_gossiping = True
        """False: transactions are accepted, and go nowhere."""
        self.is_reverting: ContractError | None = None
        self.refusal: SendResult | None = None
        self.wrong: WrongDeployment | None = None
        self.fault: Callable[[str], bool] = lambda method: False
        """Whether a question fails; asked with its name."""
        self.is_token_silent = False
        """Whether tokens answer `balanceOf` with nothing of the standard's form."""
        self.token_fault: EthereumFault | None = None
        self.calls: dict[str, int] = {}
        self.sent: list[Transaction] = []
        self.reverted_count = 0
        self._salt = 0
        self.operator_previous = NO_COMMITMENT
        self.deployment = Deployment(
            l1_chain_id=L1_CHAIN_ID,
            settlement=SETTLEMENT,
            ledger_chain_id=self.domain.chain_id,
            domain_separator=self.domain.separator,
            operator=compute_address(OPERATOR.public_key),
            cold_key=b"\x0b" * 20,
            listing_key=b"\x0c" * 20,
            native_asset=TOKEN,
            challenge_period=challenge_period,
            answer_period=10,
            follow_up=10,
            min_interval=1,
            max_silence=1000,
            listing_delay=0,
            deployed_at=START_S,
        )
        genesis = L1Block(0, keccak(b"genesis"), START_S, base_fee)
        self.newest_time = START_S
        """Of all blocks there ever were: a view that lags shows an older one."""
        self.chain = [Mined(genesis, assets=(ListedAsset(TOKEN, START_S),))]

    @property
    def top(self) -> Mined:
        return self.chain[-1]

    def clock(self) -> int:
        return self.now_ms

    # --- what happens on the chain

    def mine(self, seconds: int = 12) -> None:
        """A block: those in the pool whose nonce is next and whose fee is enough, after those of others."""
        self.now_ms += seconds * 1000
        self._salt += 1
        number = self.top.block.number + 1
        block = L1Block(number, keccak(b"%d/%d" % (number, self._salt)), self.now_ms // 1000, self._shown_base_fee)
        self.newest_time = max(self.newest_time, block.timestamp)
        state = replace(self.top, block=block, events=(), receipts=(), transactions=())
        for transaction in self.waiting_foreign:
            state = self._execute(state, transaction)
        self.waiting_foreign = []
        while (mine := self.pool.get(state.nonce)) is not None and mine.max_fee >= self.base_fee:
            del self.pool[mine.nonce]
            state = self._execute(state, mine)
        self.chain.append(state)

    @property
    def _shown_base_fee(self) -> int | None:
        return self.base_fee if self.has_base_fee else None

    def reorganise(self, depth: int, *, keep_transactions: bool = True) -> None:
        """The last `depth` blocks give way to as many empty ones; their transactions go back to the pool, or away."""
        depth = min(depth, len(self.chain) - 1)
        if depth == 0:
            return
        taken = self.chain[-depth:]
        del self.chain[-depth:]
        if keep_transactions:
            for mined in taken:
                for transaction in mined.transactions:
                    if transaction.is_foreign:
                        self.waiting_foreign.append(transaction)
                    else:
                        self.pool[transaction.nonce] = transaction
        pool, foreign = self.pool, self.waiting_foreign
        self.pool, self.waiting_foreign = {}, []
        for _ in taken:
            self.mine(0)
        self.pool, self.waiting_foreign = pool, foreign

    def deposit(self, amounts: list[int], account: bytes = b"\x77" * 20, asset: Address = TOKEN) -> None:
        """A block with these deposits in it."""
        self.mine()
        state = self.chain.pop()
        for amount in amounts:
            queue = state.deposits.get(asset, ())
            cumulative = amount + (queue[-1].cumulative if queue else 0)
            queued = QueuedDeposit(asset, len(queue), account, amount, cumulative, state.block.timestamp)
            event = DepositEvent(
                asset,
                queued.index,
                account,
                amount,
                state.block.number,
                state.block.hash,
                keccak(b"deposit" + state.block.hash + bytes((len(queue),))),
                len(state.events),
            )
            deposits = {**state.deposits, asset: (*queue, queued)}
            state = replace(state, deposits=deposits, events=(*state.events, event))
        self.chain.append(state)

    def claim(self, amount: int, asset: Address = TOKEN, final_epoch: int = 1) -> None:
        """A block in which so much of a final epoch's withdrawals is paid."""
        self.mine()
        state = self.chain.pop()
        claimed = {**state.claimed, asset: state.claimed.get(asset, 0) + amount}
        self.chain.append(replace(state, claimed=claimed, final_epoch=final_epoch))

    def send_to_contract(self, amount: int, asset: Address = TOKEN) -> None:
        self.mine()
        state = self.chain.pop()
        self.chain.append(replace(state, sent={**state.sent, asset: state.sent.get(asset, 0) + amount}))

    def list_asset(self, asset: Address, listed_at: int) -> None:
        self.mine()
        state = self.chain.pop()
        self.chain.append(replace(state, assets=(*state.assets, ListedAsset(asset, listed_at))))

    def seal(self, **changes: Any) -> tuple[Commitment, Signature]:
        """The operator's next commitment, cut now."""
        previous = self.operator_previous
        commitment = Commitment(
            epoch=previous.epoch + 1,
            previous=ZERO_HASH if previous.epoch == 0 else hash_commitment(previous, self.domain),
            first_block=previous.last_block + 1,
            last_block=previous.last_block + 3,
            cut_at=self.now_ms,
            blocks_root=keccak(b"blocks"),
            extra_root=ZERO_HASH,
            assets=(AssetCommitment(TOKEN, keccak(b"state"), 5, 1, 0, 0, ZERO_HASH, 0, 0),),
        )
        for name, value in changes.items():
            commitment = Commitment(
                **{f: value if f == name else getattr(commitment, f) for f in commitment.__struct_fields__}
            )
        self.operator_previous = commitment
        return commitment, sign_digest(OPERATOR, hash_commitment(commitment, self.domain))

    def submit_as_stranger(self, previous: Commitment, commitment: Commitment, signature: Signature) -> None:
        """Somebody else sends it; it is in the next block, before ours."""
        self._salt += 1
        self.waiting_foreign.append(
            Transaction(
                hash=keccak(b"foreign%d" % self._salt),
                nonce=0,
                gas_limit=GAS,
                max_fee=0,
                priority_fee=0,
                epoch=commitment.epoch,
                commitment=commitment,
                previous=previous,
                signature=signature,
                is_foreign=True,
            )
        )

    def use_nonce(self) -> None:
        """A transaction of our account that the committer never made, in a block of its own."""
        self.mine()
        self.pool.pop(self.top.nonce, None)
        state = self.chain.pop()
        self.chain.append(replace(state, nonce=state.nonce + 1))

    def _execute(self, state: Mined, transaction: Transaction) -> Mined:
        is_success = self._find_refusal(state, transaction.previous, transaction.commitment) is None
        if not transaction.is_foreign:
            assert transaction.nonce == state.nonce
            self.reverted_count += not is_success
            state = replace(state, nonce=state.nonce + 1)
            price = min(transaction.max_fee, self.base_fee + transaction.priority_fee)
            self.balance -= price * GAS
        else:
            price = self.base_fee
        receipt = TxReceipt(transaction.hash, state.block.number, state.block.hash, is_success, GAS, price, None)
        state = replace(
            state,
            receipts=(*state.receipts, receipt),
            transactions=(*state.transactions, transaction),
        )
        if not is_success:
            return state
        digest = hash_commitment(transaction.commitment, self.domain)
        event = CommittedEvent(
            transaction.commitment,
            transaction.signature,
            digest,
            state.block.timestamp,
            state.block.number,
            state.block.hash,
            transaction.hash,
        )
        return replace(
            state,
            epoch=transaction.epoch,
            included_at=state.block.timestamp,
            stored={**state.stored, transaction.epoch: (digest, state.block.timestamp)},
            events=(*state.events, event),
        )

    def _find_refusal(self, state: Mined, previous: Commitment, commitment: Commitment) -> ContractError | None:
        if self.is_reverting is not None:
            return self.is_reverting
        if commitment.epoch != state.epoch + 1:
            return ContractError(
                "EpochMismatch", (("expected", str(state.epoch + 1)), ("given", str(commitment.epoch)))
            )
        if state.epoch and hash_commitment(previous, self.domain) != state.stored[state.epoch][0]:
            return ContractError("CommitmentMismatch")
        if state.epoch == 0 and previous != NO_COMMITMENT:
            return ContractError("CommitmentMismatch")
        if commitment.cut_at > state.block.timestamp * 1000:
            return ContractError("CutInFuture")
        return None

    # --- the gateway's questions

    def _ask_simulated(self, method: str) -> None:
        self.calls[method] = self.calls.get(method, 0) + 1
        if self.wrong is not None:
            raise self.wrong
        if self.fault(method):
            raise EthereumFault(f"{method}: simulated")

    def _at(self, number: int) -> Mined:
        if number >= len(self.chain):
            raise EthereumFault(f"there is no block {number}")
        return self.chain[number]

    async def verify(self) -> None:
        self._ask_simulated("verify")

    async def find_block(self, at: int | str) -> L1Block | None:
        self._ask_simulated("find_block")
        if at == "latest":
            return self.top.block
        if at == "finalized":
            return self.chain[max(0, len(self.chain) - 1 - self.finality_depth)].block
        assert isinstance(at, int)
        return self.chain[at].block if at < len(self.chain) else None

    async def get_head(self, at: int) -> Head:
        self._ask_simulated("get_head")
        mined = self._at(at)
        return Head(mined.epoch, mined.included_at, mined.final_epoch)

    async def get_commitment_hash(self, epoch: int, at: int) -> Hash:
        self._ask_simulated("get_commitment_hash")
        stored = self._at(at).stored.get(epoch)
        return ZERO_HASH if stored is None else compute_stored_hash(*stored)

    async def get_assets(self, first: int, at: int) -> list[ListedAsset]:
        self._ask_simulated("get_assets")
        return list(self._at(at).assets[first:])

    async def get_deposit_count(self, asset: Address, at: int) -> int:
        self._ask_simulated("get_deposit_count")
        return len(self._at(at).deposits.get(asset, ()))

    async def get_deposits(self, asset: Address, first: int, count: int, at: int) -> list[QueuedDeposit]:
        self._ask_simulated("get_deposits")
        found = list(self._at(at).deposits.get(asset, ())[first : first + count])
        assert len(found) == count, "deposits asked for that are not queued"
        return found

    async def get_held(self, asset: Address, at: int) -> int:
        self._ask_simulated("get_held")
        queue = self._at(at).deposits.get(asset, ())
        return (queue[-1].cumulative if queue else 0) - self._at(at).claimed.get(asset, 0)

    async def get_token_balance(self, asset: Address, account: Address, at: int) -> int | None:
        assert account == SETTLEMENT
        if self.token_fault is not None:
            raise self.token_fault
        return None if self.is_token_silent else await self.get_held(asset, at) + self._at(at).sent.get(asset, 0)

    async def get_deposit_events(self, asset: Address, first: int, last: int) -> list[DepositEvent]:
        return [e for e in self._get_events(first, last) if isinstance(e, DepositEvent) and e.asset == asset]

    async def get_committed_events(self, first: int, last: int) -> list[CommittedEvent]:
        return [event for event in self._get_events(first, last) if isinstance(event, CommittedEvent)]

    def _get_events(self, first: int, last: int) -> list[Any]:
        self._ask_simulated("get_logs")
        assert first <= last < len(self.chain)
        return [event for mined in self.chain[first : last + 1] for event in mined.events]

    async def get_nonce(self, account: Address, at: int) -> int:
        self._ask_simulated("get_nonce")
        return self._at(at).nonce

    async def get_balance(self, account: Address, at: int) -> int:
        self._ask_simulated("get_balance")
        if account == SETTLEMENT:
            return await self.get_held(ETHER, at) + self._at(at).sent.get(ETHER, 0)
        return self.balance

    async def get_suggested_tip(self) -> int:
        self._ask_simulated("get_suggested_tip")
        return TIP

    async def get_suggested_gas_price(self) -> int:
        self._ask_simulated("get_suggested_gas_price")
        return self.gas_price

    async def explain_commit(self, sender: Address, data: bytes, at: int) -> ContractError | None:
        self._ask_simulated("explain_commit")
        previous, commitment, _ = _decode_commit(data)
        return self._find_refusal(self._at(at), previous, commitment)

    async def estimate_commit_gas(self, sender: Address, data: bytes) -> int:
        self._ask_simulated("estimate_commit_gas")
        previous, commitment, _ = _decode_commit(data)
        refusal = self._find_refusal(self.top, previous, commitment)
        if refusal is not None:
            raise Reverted(refusal)
        return GAS

    async def send(self, raw: bytes) -> SendResult:
        self._ask_simulated("send")
        transaction = _decode_transaction(raw)
        self.sent.append(transaction)
        assert transaction.commitment.cut_at <= self.newest_time * 1000, "sent before its time"
        if self.refusal is not None:
            return self.refusal
        if transaction.nonce < self.top.nonce:
            return SendResult(SendOutcome.NONCE_TOO_LOW, "nonce too low")
        if self.balance < transaction.gas_limit * transaction.max_fee:
            return SendResult(SendOutcome.OUT_OF_FUNDS, "insufficient funds")
        pooled = self.pool.get(transaction.nonce)
        if pooled == transaction:
            return SendResult(SendOutcome.ALREADY_KNOWN, "already known")
        if pooled is not None and not (
            8 * transaction.max_fee >= 9 * pooled.max_fee and 8 * transaction.priority_fee >= 9 * pooled.priority_fee
        ):
            return SendResult(SendOutcome.UNDERPRICED, "replacement transaction underpriced")
        if self.is_gossiping:
            self.pool[transaction.nonce] = transaction
        return SendResult(SendOutcome.ACCEPTED)

    async def get_receipt(self, l1_transaction: Hash) -> TxReceipt | None:
        self._ask_simulated("get_receipt")
        for mined in self.chain:
            for receipt in mined.receipts:
                if receipt.l1_transaction == l1_transaction:
                    return receipt
        return None


class FakeSink:
    """A ledger that takes exactly what the protocol allows."""

    def __init__(self) -> None:
        self.assets: tuple[Address, ...] = ()
        self.deposit_counts: dict[Address, int] = {}
        self.deposits: list[Deposit] = []
        self.batches: list[int] = []

    async def list_assets(self, assets: list[Address]) -> None:
        assert not set(assets) & set(self.assets), "listed twice"
        self.assets = (*self.assets, *assets)

    async def credit_deposits(self, deposits: list[Deposit]) -> None:
        self.batches.append(len(deposits))
        for deposit in deposits:
            assert deposit.asset in self.assets, "a deposit of an asset that is not listed"
            assert deposit.index == self.deposit_counts.get(deposit.asset, 0), "a gap, or a repetition"
            self.deposit_counts[deposit.asset] = deposit.index + 1
            self.deposits.append(deposit)


class _NoTransport:
    async def call(self, method: str, params: Any) -> Any:
        raise AssertionError(f"{method} got past the simulation")

    async def close(self) -> None:
        return


def _decode_commit(data: bytes) -> tuple[Commitment, Commitment, Signature]:
    function = load_abi("Settlement")._functions["commit"]
    assert data[:4] == function.id[:4]
    from node.ethereum.abi import _decode
    from node.ethereum.gateway import _make_commitment

    previous, commitment, signature = _decode([parameter.type for parameter in function.inputs], data[4:], "commit")
    return _make_commitment(previous), _make_commitment(commitment), signature


def _decode_legacy(raw: bytes) -> dict[str, Any]:
    """With the chain id in its `v` (EIP-155), and its gas price as both fees."""
    nonce, price, gas, to, value, data, v, *_ = rlp.decode(raw)
    numbers = [int.from_bytes(field, "big") for field in (nonce, price, gas, value, v)]
    fees = {"maxFeePerGas": numbers[1], "maxPriorityFeePerGas": numbers[1]}
    return {"nonce": numbers[0], "gas": numbers[2], "value": numbers[3], "to": to, "data": data, **fees} | {
        "chainId": (numbers[4] - 35) // 2
    }


def _decode_transaction(raw: bytes) -> Transaction:
    form = _decode_legacy(raw) if raw[0] >= 0xC0 else TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    assert form["chainId"] == L1_CHAIN_ID
    assert bytes(form["to"]) == SETTLEMENT
    assert form["value"] == 0
    assert form["maxPriorityFeePerGas"] <= form["maxFeePerGas"]
    previous, commitment, signature = _decode_commit(bytes(form["data"]))
    return Transaction(
        hash=keccak(raw),
        nonce=form["nonce"],
        gas_limit=form["gas"],
        max_fee=form["maxFeePerGas"],
        priority_fee=form["maxPriorityFeePerGas"],
        epoch=commitment.epoch,
        commitment=commitment,
        previous=previous,
        signature=signature,
    )
