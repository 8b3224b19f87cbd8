"""The committer: brings every sealed commitment onto Ethereum, in order, exactly once, and knows where each one is.

`node.ethereum.commit_decision` decides; this loop looks, acts, and writes down before it acts. If the process dies:
- before a signed transaction is in the store: it was never sent; another one is signed after the restart;
- after that, sent or not: the same bytes are sent again, or found to be mined;
- after it was mined: the commitment is found in the contract's logs and adopted, as anybody else's would be.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import msgspec
import structlog
from eth_account.signers.local import LocalAccount

from chain.commitment import NO_COMMITMENT, Commitment, compute_stored_hash, hash_commitment
from chain.errors import BrokenInvariant, InvalidSignature
from chain.primitives import Address, Hash, Signature
from chain.signatures import check_signer
from node import metrics
from node.ethereum.change import Change
from node.ethereum.commit_decision import (
    DAY_MS,
    ORDINARY,
    Account,
    Action,
    Adopt,
    CommitterSettings,
    Contract,
    Decision,
    LookAtAccount,
    LookAtContract,
    Observations,
    Reopen,
    Send,
    Settle,
    Sign,
    Simulate,
    Simulation,
    Situation,
    State,
    Step,
    Waiting,
    compute_spent,
    decide,
)
from node.ethereum.faults import EthereumFault, Reverted, RpcError, WrongDeployment
from node.ethereum.gateway import Gateway
from node.ethereum.l1 import CommittedEvent, Deployment, L1Block, SendOutcome, SendResult, TxReceipt
from node.ethereum.pause import compute_pause_s
from node.ethereum.portion import Portion
from node.ethereum.store import EthereumStore
from node.ethereum.submission import Attempt, AttemptOutcome, EpochState, EpochStatus, Fees, Inclusion, Seal

_MAX_ROUNDS: Final = 16
"""Of look and decide in one tick: a chain that changes under our eyes more often is read again at the next."""
_MAX_PROBLEM: Final = 300
"""Characters kept of why an attempt was reverted."""
_MAX_CLOCK_LAG_S: Final = 900
"""An L1 block further ahead of our clock says nothing about what is behind: it, or our clock, is wrong."""
_BALANCE_AGE_MS: Final = 60_000
"""How old the balance that is shown may become while nothing waits, and so nobody looks at the account."""

_log = structlog.get_logger("node.ethereum.committer")


LOW_FUNDS_COUNT: Final = 48
"""Commitments: with a balance for fewer, two days of hours, somebody should send ether."""
_TYPICAL_GAS: Final = 100_000
"""Of a commitment, before the first one is known."""


class FundsLevel(StrEnum):
    UNKNOWN = "unknown"
    """The balance, or what gas costs, has not been read yet."""
    LOW = "low"
    ENOUGH = "enough"


class Funds(msgspec.Struct, frozen=True):
    """What commitments may cost, and have cost. Wei."""

    balance: int | None
    """Of the account that pays; None if it has not been asked for yet."""
    balance_l1_block: int
    """The L1 block as of which that is, 0 for none."""
    daily_budget: int
    spent: int
    """Of the last 24 hours, as the budget counts it."""
    max_fee: int
    """Per gas: the cap."""
    base_fee: int | None
    """Per gas: of the newest L1 block seen; None before one was seen, and on a chain without base fees."""
    gas_price: int | None = None
    """Per gas: what would be offered now, at least; None if that is not known."""
    commitment_gas: int = _TYPICAL_GAS
    """What the last commitment took."""

    @property
    def payable_count(self) -> int | None:
        """Commitments that the balance pays for at the fees of now; None if it, or they, are not known."""
        if self.balance is None or not self.gas_price or not self.commitment_gas:
            return None
        return self.balance // (self.gas_price * self.commitment_gas)

    @property
    def level(self) -> FundsLevel:
        count = self.payable_count
        if count is None:
            return FundsLevel.UNKNOWN
        return FundsLevel.LOW if count < LOW_FUNDS_COUNT else FundsLevel.ENOUGH


class Committer:
    """One for one contract and one account, whose nonces are its alone. Methods belong to one event loop.

    `run` ends only by cancellation, or by what must stop the node: `BrokenInvariant`, `sqlite3.Error`.
    """

    def __init__(
        self,
        gateway: Gateway,
        store: EthereumStore,
        account: LocalAccount | None,
        deployment: Deployment,
        settings: CommitterSettings,
        clock: Callable[[], int],
    ) -> None:
        """`account`: who pays; None if the key is not there yet. `clock`: milliseconds since 1970."""
        self.change = Change()
        """Notified when the state of an epoch, `mined_epoch`, `final_epoch` or the situation changes."""
        self._gateway = gateway
        self._store = store
        self._account = account
        self._key_problem = "its file is not there"
        self._deployment = deployment
        self._settings = settings
        self._clock = clock
        self._log_range = Portion(settings.log_range)
        self._wake = asyncio.Event()
        self._situation = Situation.STARTING
        self._detail = ""
        self.end: str | None = None
        """Why no commitment of this ledger can ever be included again, if so."""
        self._since = clock()
        self._faults = 0
        self._final_epoch = store.get_final_epoch()
        self._broadcasts: dict[Hash, tuple[int, SendResult]] = {}
        self._resumed_at = clock()
        self._balance: tuple[int, int, int] | None = None
        """(wei, L1 block, when it was read in ms)"""
        self._seen: Observations | None = None
        self._seen_with: Inclusion | None = None
        """The newest inclusion known when that was seen."""
        self._newest_l1_time = 0
        self._final_block: L1Block | None = None
        self._agreed_epoch = 0
        """Up to here, what is included is what was sealed here."""
        self._settled_inclusion: Inclusion | None = None
        """The newest inclusion, once it was seen in a final block: need not be looked at again."""
        self._load()

    # ------------------------------------------------------------------------------------------------------ for others

    @property
    def mined_epoch(self) -> int:
        """The last epoch included, as of the newest L1 block; 0 if there is none. A reorganisation can lower it."""
        return 0 if self._inclusion is None else self._inclusion.epoch

    @property
    def final_epoch(self) -> int:
        """The last epoch that can not be questioned any more, as of the newest final L1 block; 0 if there is none."""
        return self._final_epoch

    @property
    def newest_l1_time(self) -> int:
        """Unix seconds: of the newest L1 block seen, 0 for none."""
        return 0 if self._seen is None else self._seen.latest.timestamp

    @property
    def newest_sealed_epoch(self) -> int:
        """The last epoch whose commitment is here, 0 for none."""
        return self._newest_sealed

    @property
    def attempts_in_flight(self) -> tuple[Attempt, ...]:
        """Of all epochs: those of which it is not known what became of them."""
        return self._open_attempts

    def take_account(self, account: LocalAccount) -> None:
        """The key to pay with has come."""
        self._account, self._seen = account, None
        self._wake.set()

    def get_funds(self) -> Funds:
        settled = self._store.get_spent(self._find_now(self._newest_l1_time) - DAY_MS)
        balance, l1_block, _ = (None, 0, 0) if self._balance is None else self._balance
        seen, account = self._seen, None if self._seen is None else self._seen.account
        base_fee = None if seen is None else seen.latest.base_fee
        suggested = 0 if account is None else account.suggested_fees.priority_fee
        gas_price = (base_fee or 0) + max(suggested, self._settings.min_priority_fee_wei)
        return Funds(
            balance=balance,
            balance_l1_block=l1_block,
            daily_budget=self._settings.daily_budget_wei,
            spent=compute_spent(settled, self._open_attempts, account),
            max_fee=self._settings.max_fee_wei,
            base_fee=base_fee,
            gas_price=None if seen is None else min(gas_price, self._settings.max_fee_wei),
            commitment_gas=_TYPICAL_GAS if self._inclusion is None else self._inclusion.gas_used,
        )

    @property
    def has_key(self) -> bool:
        return self._account is not None

    def say_key_problem(self, problem: str) -> None:
        """Why there is no key yet."""
        self._key_problem = problem

    async def submit(self, commitment: Commitment, signature: Signature) -> None:
        """Takes a commitment over. Durable when it returns. The same again changes nothing.

        If another one of its epoch is on chain already, the situation becomes `diverged`. Raises `BrokenInvariant` if
        another one of its epoch was submitted before: the operator signs one.
        """
        digest = hash_commitment(commitment, self._gateway.domain)
        known = self._store.get_seal(commitment.epoch)
        if known is not None and known.digest == digest:
            return
        if known is not None and self._store.get_inclusion(commitment.epoch) is None:
            raise BrokenInvariant(f"two commitments of epoch {commitment.epoch} were sealed")
        seal = Seal(commitment, signature, digest, sealed_at=self._clock())
        await asyncio.to_thread(self._store.put_seal, seal)
        self._agreed_epoch = min(self._agreed_epoch, commitment.epoch - 1)
        self._load()
        self.change.notify()
        self._wake.set()

    def get_epoch(self, epoch: int) -> EpochStatus | None:
        """None if it is neither sealed nor included."""
        seal = self._store.get_seal(epoch)
        if seal is None:
            return None
        inclusion = self._store.get_inclusion(epoch)
        attempts = self._store.get_attempts(epoch)
        if inclusion is None:
            state, confirmations = EpochState.SENT if attempts else EpochState.SEALED, 0
        else:
            state = EpochState.FINAL if epoch <= self._final_epoch else EpochState.MINED
            newest = inclusion.l1_block if self._seen is None else self._seen.latest.number
            confirmations = max(1, newest - inclusion.l1_block + 1)
        return EpochStatus(
            epoch=epoch,
            state=state,
            digest=seal.digest,
            sealed_at=seal.sealed_at,
            attempts=attempts,
            inclusion=inclusion,
            confirmations=confirmations,
            final_at=None if inclusion is None else inclusion.included_at + self._deployment.challenge_period,
            is_ours=inclusion is not None and any(a.hash == inclusion.l1_transaction for a in attempts),
        )

    def get_commitment(self, epoch: int) -> Seal | None:
        """As it was submitted or, if it never was, as it was found on chain."""
        return self._store.get_seal(epoch)

    def status(self) -> dict[str, Any]:
        """For health, metrics and pages. Times in milliseconds, amounts in wei."""
        waiting = None if self._waiting_seal is None else self._waiting_seal.sealed_at
        latest = None if self._seen is None else self._seen.latest
        account = None if self._seen is None else self._seen.account
        return {
            "state": str(self._situation),
            "is_ok": self._situation in ORDINARY,
            "since": self._since,
            "detail": self._detail,
            "account": None if self._account is None else self._account.address,
            "balance": None if account is None else account.balance,
            "sealed_epoch": self._newest_sealed,
            "mined_epoch": self.mined_epoch,
            "final_epoch": self._final_epoch,
            "lag_epochs": max(0, self._newest_sealed - self.mined_epoch),
            "lag_ms": 0 if waiting is None else max(0, self._clock() - waiting),
            "attempts": len(self._attempts),
            "l1_block": None if latest is None else latest.number,
            "l1_timestamp": None if latest is None else latest.timestamp * 1000,
            "base_fee": None if latest is None else latest.base_fee,
        }

    # -------------------------------------------------------------------------------------------------------- the loop

    async def run(self) -> None:
        while True:
            self._wake.clear()
            await self.tick()
            pause_s = compute_pause_s(self._settings.poll_interval_ms, self._faults)
            try:
                await asyncio.wait_for(self._wake.wait(), pause_s)
            except TimeoutError:
                continue

    async def tick(self) -> None:
        """One look, and all that follows from it. Outside faults become the situation; the next tick tries again."""
        try:
            await self._step()
        except EthereumFault as fault:
            self._faults += 1
            self._enter(Situation.L1_UNREACHABLE, str(fault))
        except WrongDeployment as error:
            self._faults += 1
            self._enter(Situation(error.code), str(error))
        else:
            self._faults = 0

    async def _step(self) -> None:
        seen = await self._look()
        for _ in range(_MAX_ROUNDS):
            decision = decide(self._remember(seen.latest), seen)
            if isinstance(decision, Decision):
                break
            for step in decision.steps:
                seen = await self._take(step, seen)
        else:
            raise EthereumFault(f"the chain changed {_MAX_ROUNDS} times while it was read")
        is_new_block = self._remember_seen(seen)
        is_end = decision.situation in (Situation.HALTED, Situation.DIVERGED)
        self.end = f"{decision.situation}: {decision.detail}" if is_end else None
        self._enter(decision.situation, decision.detail)
        for action in decision.actions:
            await self._act(action, seen)
        if decision.actions:  # what the endpoint said to it may be the situation now
            after = decide(self._remember(seen.latest), seen)
            if isinstance(after, Decision):
                self._enter(after.situation, after.detail)
        if seen.contract is None:
            return
        if is_new_block or self._final_block is None:
            await self._advance_final_epoch(seen.latest)
        if self._account is not None and (self._balance is None or self._is_balance_old(self._balance[2])):
            balance = await self._gateway.get_balance(_get_address(self._account), seen.latest.number)
            self._balance = (balance, seen.latest.number, self._clock())

    def _remember_seen(self, seen: Observations) -> bool:
        """Whether it is a new block. One that is behind is not remembered."""
        if seen.contract is None:
            return False
        is_new_block = self._seen is None or self._seen.latest.hash != seen.latest.hash
        self._seen, self._seen_with = seen, self._inclusion
        self._newest_l1_time = self._measure_l1_time(seen.latest)
        return is_new_block

    def _measure_l1_time(self, latest: L1Block) -> int:
        """Unix seconds: of the newest L1 block, this one included if its time is plausible."""
        is_plausible = latest.timestamp <= self._clock() // 1000 + _MAX_CLOCK_LAG_S
        return max(self._newest_l1_time, latest.timestamp) if is_plausible else self._newest_l1_time

    def _find_now(self, newest_l1_time: int) -> int:
        """Milliseconds: what the budget's day is measured by. Our own clock may be put forward, and would forget what
        was spent; it counts only as long as no L1 block with a plausible time was seen."""
        return newest_l1_time * 1000 or self._clock()

    def _is_balance_old(self, read_at: int) -> bool:
        return not 0 <= self._clock() - read_at < _BALANCE_AGE_MS

    async def _take(self, step: Step, seen: Observations) -> Observations:
        """Returns what is seen after it."""
        match step:
            case LookAtContract():
                return msgspec.structs.replace(seen, contract=await self._look_at_contract(seen.latest))
            case LookAtAccount():
                return msgspec.structs.replace(seen, account=await self._look_at_account(seen.latest))
            case Simulate(epoch):
                return msgspec.structs.replace(seen, simulation=await self._simulate(epoch))
            case Reopen(first_epoch):
                _log.warning("commitments_reopened", first_epoch=first_epoch, mined_epoch=self.mined_epoch)
                await asyncio.to_thread(self._store.reopen, first_epoch)
                self._broadcasts.clear()
                self._resumed_at = self._clock()
                self._load()
                self.change.notify()
                return await self._look()
            case Adopt():
                await self._adopt(step, seen.latest)
                return await self._look()
            case Settle(attempt, outcome, tx_receipt):
                await self._settle(attempt, outcome, tx_receipt)
                return seen

    async def _act(self, action: Action, seen: Observations) -> None:
        match action:
            case Sign():
                attempt = self._sign(action, seen.latest)
                await asyncio.to_thread(self._store.add_attempt, attempt)
                metrics.ATTEMPTS.inc()
                # If we die here, the restart sends these bytes.
                self._load()
                self.change.notify()
                await self._send(attempt)
            case Send(attempt):
                await self._send(attempt)

    # --------------------------------------------------------------------------------------------------------- looking

    async def _look(self) -> Observations:
        """While the newest block is the same, nothing is asked again: the account, and the simulation, are as of it."""
        now_ms = self._clock()
        await self._gateway.verify()
        latest = await self._gateway.get_block("latest")
        if (
            self._seen is not None
            and self._seen.latest.hash == latest.hash
            and self._seen_with == self._inclusion
            and self._seen.contract is not None
            and self._seen.contract.head.epoch == self.mined_epoch
        ):
            simulation = self._seen.simulation
            if simulation is not None and simulation.problem:
                simulation = None  # a busy endpoint, say: where blocks come only with transactions, none may follow
            return msgspec.structs.replace(self._seen, now_ms=now_ms, simulation=simulation)
        return Observations(now_ms, latest)

    async def _look_at_contract(self, latest: L1Block) -> Contract:
        return Contract(await self._gateway.get_head(latest.number), await self._look_at_inclusion(latest))

    async def _look_at_inclusion(self, latest: L1Block) -> Hash | None:
        """Empty if there is no such block now."""
        inclusion = self._inclusion
        if inclusion is None or inclusion == self._settled_inclusion:
            return None if inclusion is None else inclusion.l1_block_hash
        block = await self._gateway.find_block(inclusion.l1_block)
        if block is None or latest.number < inclusion.l1_block:
            return b""
        return block.hash

    async def _look_at_account(self, latest: L1Block) -> Account:
        gateway, address = self._gateway, _get_address(self._account)
        final = await gateway.get_final_block(latest, self._settings.confirmations)
        nonce, final_nonce, balance, fees = await asyncio.gather(
            gateway.get_nonce(address, latest.number),
            gateway.get_nonce(address, final.number),
            gateway.get_balance(address, latest.number),
            self._get_suggested_fees(latest),
        )
        receipts = {}
        for attempt in self._open_attempts:
            if attempt.nonce < nonce:
                receipt = await gateway.get_receipt(attempt.hash)
                if receipt is not None:
                    receipts[attempt.hash] = receipt
        self._balance = (balance, latest.number, self._clock())
        return Account(nonce, final_nonce, balance, fees, receipts)

    async def _get_suggested_fees(self, latest: L1Block) -> Fees:
        if latest.base_fee is not None:
            return Fees(0, await self._gateway.get_suggested_tip())
        price = await self._gateway.get_suggested_gas_price()
        return Fees(price, price)

    async def _simulate(self, epoch: int) -> Simulation:
        # Without a key, what the contract says is of interest all the same, and the sender is nothing to it.
        sender = self._deployment.operator if self._account is None else _get_address(self._account)
        try:
            return Simulation(gas=await self._gateway.estimate_commit_gas(sender, self._encode_commit(epoch)))
        except Reverted as reverted:
            return Simulation(error=reverted.error)
        except RpcError as error:
            return Simulation(problem=str(error))

    async def _advance_final_epoch(self, latest: L1Block) -> None:
        final = await self._gateway.get_final_block(latest, self._settings.confirmations)
        if final.timestamp <= self._deployment.deployed_at or (
            self._final_block is not None and final.number <= self._final_block.number
        ):
            return
        # The pointer in the contract is moved by whoever claims; for us a window that is over is as good.
        pointer = min((await self._gateway.get_head(final.number)).final_epoch, self.mined_epoch)
        over = self._store.find_final_epoch(final.timestamp - self._deployment.challenge_period, final.number)
        self._final_block = final
        if self._inclusion is not None and self._inclusion.l1_block <= final.number:
            self._settled_inclusion = self._inclusion
        if max(pointer, over) > self._final_epoch:
            self._final_epoch = max(pointer, over)
            await asyncio.to_thread(self._store.set_final_epoch, self._final_epoch)
            _log.info("epoch_final", epoch=self._final_epoch)
            self.change.notify()

    # ---------------------------------------------------------------------------------------------------------- acting

    async def _adopt(self, step: Adopt, latest: L1Block) -> None:
        """Reads the `Committed` logs, from the last inclusion known, in bounded pieces, each kept as it comes."""
        low = (
            await self._gateway.find_block_at(self._deployment.deployed_at, 0, latest.number)
            if self._inclusion is None
            else self._inclusion.l1_block
        )
        expected = step.first_epoch
        if expected < step.last_epoch:
            self._enter(Situation.ADOPTING, f"epochs {expected} to {step.last_epoch}")
        while expected <= step.last_epoch and low <= latest.number:
            high = min(low + self._log_range.count - 1, latest.number)
            try:
                events = await self._gateway.get_committed_events(low, high)
            except EthereumFault as fault:
                if self._log_range.take_refusal(high - low + 1) and isinstance(fault, RpcError):
                    continue  # with a narrower range
                raise
            self._log_range.take_answer()
            for event in events:
                if event.commitment.epoch > expected:
                    raise EthereumFault(f"the endpoint's logs lack the commitment of epoch {expected}")
                if event.commitment.epoch == expected:
                    await self._adopt_event(event, latest)
                    expected += 1
            low = high + 1
        if expected <= step.last_epoch:
            raise EthereumFault(f"the endpoint's logs lack the commitment of epoch {expected}")

    async def _adopt_event(self, event: CommittedEvent, latest: L1Block) -> None:
        try:
            check_signer(event.digest, event.signature, self._deployment.operator)
        except InvalidSignature as error:  # the contract takes no such, and to believe it could end the node
            epoch = event.commitment.epoch
            raise EthereumFault(
                f"the operator did not sign the endpoint's commitment of epoch {epoch}: {error}"
            ) from error
        stored = await self._gateway.get_commitment_hash(event.commitment.epoch, latest.number)
        if stored != compute_stored_hash(event.digest, event.included_at):
            raise EthereumFault(f"the endpoint's logs contradict the contract's epoch {event.commitment.epoch}")
        receipt = await self._gateway.get_receipt(event.l1_transaction)
        if receipt is None or receipt.l1_block_hash != event.l1_block_hash:
            raise EthereumFault(f"the endpoint has no receipt of 0x{event.l1_transaction.hex()}, but its logs")
        inclusion = Inclusion(
            epoch=event.commitment.epoch,
            digest=event.digest,
            included_at=event.included_at,
            l1_transaction=event.l1_transaction,
            l1_block=event.l1_block,
            l1_block_hash=event.l1_block_hash,
            gas_used=receipt.gas_used,
            effective_gas_price=receipt.effective_gas_price,
        )
        seal = Seal(event.commitment, event.signature, event.digest, sealed_at=event.included_at * 1000)
        await asyncio.to_thread(self._store.put_inclusion, inclusion, seal, inclusion.included_at * 1000)
        if any(attempt.hash == inclusion.l1_transaction for attempt in self._open_attempts):
            metrics.COST_GWEI.inc(inclusion.gas_used * inclusion.effective_gas_price // 10**9)
        self._load()
        _log.info(
            "commitment_included",
            epoch=inclusion.epoch,
            l1_block=inclusion.l1_block,
            l1_transaction="0x" + inclusion.l1_transaction.hex(),
            gas_used=inclusion.gas_used,
        )
        self.change.notify()

    async def _settle(self, attempt: Attempt, outcome: AttemptOutcome, tx_receipt: TxReceipt | None) -> None:
        gas_used, price, problem = 0, 0, ""
        if tx_receipt is not None:
            gas_used, price = tx_receipt.gas_used, tx_receipt.effective_gas_price
            problem = await self._explain(attempt, tx_receipt)
        _log.info("attempt_settled", epoch=attempt.epoch, attempt=attempt.number, outcome=str(outcome), problem=problem)
        now_ms = self._find_now(self._newest_l1_time)
        await asyncio.to_thread(self._store.settle_attempt, attempt.hash, outcome, gas_used, price, now_ms, problem)
        metrics.COST_GWEI.inc(gas_used * price // 10**9)
        self._load()
        self.change.notify()

    async def _explain(self, attempt: Attempt, tx_receipt: TxReceipt) -> str:
        """Why it was reverted, as far as the chain still knows: clients forget old states."""
        if tx_receipt.gas_used >= attempt.gas_limit:
            return "out of gas"
        sender, data = _get_address(self._account), self._encode_commit(attempt.epoch)
        try:
            error = await self._gateway.explain_commit(sender, data, tx_receipt.l1_block)
        except RpcError as fault:
            return f"not known: {fault.message}"[:_MAX_PROBLEM]
        return "not known: played again, it is taken" if error is None else str(error)[:_MAX_PROBLEM]

    def _sign(self, action: Sign, latest: L1Block) -> Attempt:
        if self._account is None:
            raise BrokenInvariant("a transaction is to be signed, but there is no key")
        fees: dict[str, Any] = (
            {"gasPrice": action.fees.max_fee}
            if action.is_legacy
            else {
                "type": 2,
                "maxFeePerGas": action.fees.max_fee,
                "maxPriorityFeePerGas": action.fees.priority_fee,
            }
        )
        signed = self._account.sign_transaction(
            {
                **fees,
                "chainId": self._gateway.l1_chain_id,
                "nonce": action.nonce,
                "gas": action.gas_limit,
                "to": self._gateway.settlement,
                "value": 0,
                "data": self._encode_commit(action.epoch),
            }
        )
        return Attempt(
            epoch=action.epoch,
            number=action.number,
            hash=bytes(signed.hash),
            nonce=action.nonce,
            gas_limit=action.gas_limit,
            fees=action.fees,
            raw=bytes(signed.raw_transaction),
            sent_at=self._clock(),
            l1_block=latest.number,
        )

    async def _send(self, attempt: Attempt) -> None:
        result = await self._gateway.send(attempt.raw)
        self._broadcasts[attempt.hash] = (self._clock(), result)
        getattr(_log, _LEVEL_BY_OUTCOME.get(result.outcome, "warning"))(
            "commitment_sent",
            epoch=attempt.epoch,
            attempt=attempt.number,
            l1_transaction="0x" + attempt.hash.hex(),
            nonce=attempt.nonce,
            max_fee=attempt.fees.max_fee,
            outcome=str(result.outcome),
            message=result.message,
        )

    def _encode_commit(self, epoch: int) -> bytes:
        seal = self._store.get_seal(epoch)
        previous = self._store.get_seal(epoch - 1)
        if seal is None or (previous is None and epoch > 1):
            raise BrokenInvariant(f"epoch {epoch} is to be sent, but it or the one before it is not in the store")
        before = NO_COMMITMENT if previous is None else previous.commitment
        return self._gateway.encode_commit(before, seal.commitment, seal.signature)

    # ---------------------------------------------------------------------------------------------------------- memory

    def _load(self) -> None:
        """From the store, after everything that changes it."""
        self._inclusion = self._store.get_newest_inclusion()
        self._newest_sealed = self._store.get_newest_sealed_epoch()
        self._agreed_epoch = min(self._agreed_epoch, self.mined_epoch)
        self._diverged_epoch = self._store.get_diverged_epoch(self._agreed_epoch)
        if self._diverged_epoch is None:
            self._agreed_epoch = self.mined_epoch
        self._open_attempts = self._store.get_open_attempts()
        in_flight = {attempt.hash for attempt in self._open_attempts}
        self._broadcasts = {l1_hash: sent for l1_hash, sent in self._broadcasts.items() if l1_hash in in_flight}
        self._waiting_seal = self._store.get_seal(self.mined_epoch + 1)
        self._attempts = self._store.get_attempts(self.mined_epoch + 1)
        self._next_own_nonce = 0
        if self._inclusion is not None:
            for attempt in self._store.get_attempts(self._inclusion.epoch):
                if attempt.hash == self._inclusion.l1_transaction:
                    self._next_own_nonce = attempt.nonce + 1

    def _remember(self, latest: L1Block) -> State:
        waiting = None
        if self._newest_sealed > self.mined_epoch:
            cut_at = 0 if self._waiting_seal is None else self._waiting_seal.commitment.cut_at
            waiting = Waiting(self.mined_epoch + 1, cut_at, self._attempts, self._waiting_seal is not None)
        return State(
            settings=self._settings,
            inclusion=self._inclusion,
            diverged_epoch=self._diverged_epoch,
            waiting=waiting,
            open_attempts=self._open_attempts,
            next_own_nonce=self._next_own_nonce,
            spent=0
            if waiting is None
            else self._store.get_spent(self._find_now(self._measure_l1_time(latest)) - DAY_MS),
            last_broadcast=self._broadcasts,
            resumed_at=self._resumed_at,
            newest_l1_time=self._newest_l1_time,
            key_problem=None if self._account is not None else self._key_problem,
        )

    def _enter(self, situation: Situation, detail: str) -> None:
        self._detail = detail
        if situation is self._situation:
            return
        log = _log.info if situation in ORDINARY else _log.error
        log("committer_situation", situation=str(situation), detail=detail, before=str(self._situation))
        self._situation, self._since = situation, self._clock()
        self.change.notify()


def _get_address(account: LocalAccount | None) -> Address:
    if account is None:
        raise BrokenInvariant("the account is to be looked at, but there is no key")
    return bytes.fromhex(account.address[2:])


_LEVEL_BY_OUTCOME: Final = {
    SendOutcome.ACCEPTED: "info",
    SendOutcome.ALREADY_KNOWN: "debug",
    SendOutcome.NONCE_TOO_LOW: "info",
}
"""By name: a method taken here would be that of a logger not configured yet. The last two are successes: it is in the
pool, or something with its nonce is mined, which the next look shows."""
