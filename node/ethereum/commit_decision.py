"""What the committer does next, decided from what it remembers and what it sees. Pure: no clock, no I/O, no memory.

The promises, and where they are kept:
- One commitment in flight: only the one after the contract's head is ever sent.
- All attempts for it carry one nonce, the next free one of our account, so that at most one can be mined. Another nonce
  is taken only when that one is used up and the commitment is still not included.
- What is on chain is adopted, whoever sent it; what a reorganisation took back is open again.
- L1 time never goes back: what is older than something seen before is an endpoint that lags, and decides nothing.
- A replacement raises both fees by at least an eighth, enough for every client's rule, and only once an L1 block has
  passed without it. Nothing costs more per gas, or may cost more per day, than the settings say.
- Whatever keeps a commitment from Ethereum has a name.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from chain.primitives import Hash
from node.ethereum.faults import ContractError
from node.ethereum.l1 import MAX_WEI_PER_GAS, Head, L1Block, SendOutcome, SendResult, TxReceipt
from node.ethereum.submission import Attempt, AttemptOutcome, Fees, Inclusion

DAY_MS: Final = 86_400_000


class Situation(StrEnum):
    """One word for where the committer is; the same in health, metrics and logs."""

    STARTING = "starting"
    IDLE = "idle"
    """Everything sealed is included."""
    ADOPTING = "adopting"
    """Reading from the chain several commitments that were not known here."""
    WAITING_FOR_L1_TIME = "waiting_for_l1_time"
    """The newest L1 block is older than the cut, so the contract would call the cut a future one."""
    WAITING_FOR_L1_BLOCK = "waiting_for_l1_block"
    """The newest L1 block shown is older than one that was seen: another endpoint answered, a little behind."""
    IN_FLIGHT = "in_flight"

    # What follows needs somebody's eyes.
    FEE_CAP_REACHED = "fee_cap_reached"
    OVER_BUDGET = "over_budget"
    OUT_OF_FUNDS = "out_of_funds"
    UNDERPRICED = "underpriced"
    """The endpoint will not have our fee, and it is not yet time to raise it."""
    REFUSED = "refused"
    """The endpoint will not have the transaction, for a reason of its own."""
    REVERTING = "reverting"
    """The contract would refuse the commitment."""
    HALTED = "halted"
    """The contract has halted: it takes no commitments any more."""
    SEAL_MISSING = "seal_missing"
    """A later epoch is sealed, but the one that is next is not here."""
    DIVERGED = "diverged"
    """Another commitment than the one sealed here was included. Nothing that follows ours can be."""
    KEY_MISSING = "key_missing"
    """There is no key to pay with. What others send is adopted meanwhile."""
    L1_STALLED = "l1_stalled"
    """There are no new L1 blocks."""
    L1_BEHIND = "l1_behind"
    """The newest L1 block shown is far older than one that was seen."""
    L1_UNREACHABLE = "l1_unreachable"
    WRONG_CHAIN = "wrong_chain"
    NO_CONTRACT = "no_contract"
    WRONG_CONTRACT = "wrong_contract"


ORDINARY: Final = frozenset(
    (
        Situation.STARTING,
        Situation.IDLE,
        Situation.ADOPTING,
        Situation.WAITING_FOR_L1_TIME,
        Situation.WAITING_FOR_L1_BLOCK,
        Situation.IN_FLIGHT,
    )
)
"""Everything else is an alarm."""


class CommitterSettings(msgspec.Struct, frozen=True):
    confirmations: int | None = None
    """L1 blocks, its own counted, after which an L1 block counts as final; None: what the chain calls finalized."""
    poll_interval_ms: int = 4_000
    rebroadcast_interval_ms: int = 12_000
    bump_interval_ms: int = 48_000
    stall_after_ms: int = 300_000
    """The newest L1 block may be so old, by our clock, while a commitment is waiting, or if it is behind."""
    max_fee_wei: int = 200 * 10**9
    """Per gas, never offered more."""
    min_priority_fee_wei: int = 10**7
    daily_budget_wei: int = 5 * 10**17
    """What the transactions of any 24 hours may cost, the one in flight counted at its worst."""
    log_range: int = 2_000
    """L1 blocks that one query for logs covers; endpoints limit it."""

    def __post_init__(self) -> None:
        positive = (
            "poll_interval_ms",
            "rebroadcast_interval_ms",
            "bump_interval_ms",
            "stall_after_ms",
            "max_fee_wei",
            "min_priority_fee_wei",
            "daily_budget_wei",
            "log_range",
        )
        for name in positive:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive")
        if self.confirmations is not None and self.confirmations < 1:
            raise ValueError("confirmations must be positive")
        if not self.min_priority_fee_wei <= self.max_fee_wei <= MAX_WEI_PER_GAS:
            raise ValueError(f"max_fee_wei must be from min_priority_fee_wei to {MAX_WEI_PER_GAS}")


class Waiting(msgspec.Struct, frozen=True):
    """The commitment to be included next."""

    epoch: int
    cut_at: int
    """Milliseconds."""
    attempts: tuple[Attempt, ...]
    """All for this epoch, in the order they were made."""
    is_seal_here: bool = True


class State(msgspec.Struct, frozen=True):
    """What the committer remembers."""

    settings: CommitterSettings
    inclusion: Inclusion | None
    """The newest one known."""
    diverged_epoch: int | None
    waiting: Waiting | None
    open_attempts: tuple[Attempt, ...]
    """Of all epochs: those of which it is not known what became of them."""
    next_own_nonce: int
    """One above that of our attempt which was included last; 0 if none was."""
    spent: int
    """Wei that attempts settled in the last 24 hours of L1 time have cost."""
    last_broadcast: Mapping[Hash, tuple[int, SendResult]]
    """Attempt → when it was last sent (ms), and what the endpoint said. Not kept over a restart: all is due then."""
    resumed_at: int = 0
    """Milliseconds: when this life began, or a reorganisation last took inclusions back. What was in flight before is
    sent again then, and has its time once more before it is outbid."""
    newest_l1_time: int = 0
    """Unix seconds: of the newest L1 block looked at. Not kept over a restart: then that of the inclusion counts."""
    key_problem: str | None = None
    """Why there is no key to pay with; None if there is one."""

    @property
    def included_epoch(self) -> int:
        return 0 if self.inclusion is None else self.inclusion.epoch


class Account(msgspec.Struct, frozen=True):
    """Our account, as of the newest L1 block."""

    nonce: int
    final_nonce: int
    """As of the newest final L1 block."""
    balance: int
    suggested_fees: Fees
    """What the client would offer now: its tip, of EIP-1559, as `priority_fee` alone; or, on a chain without base fees,
    its gas price as both."""
    receipts: Mapping[Hash, TxReceipt]
    """Of those open attempts whose nonce is used up, as far as there are any."""


class Simulation(msgspec.Struct, frozen=True):
    """What the client says to the commitment, were it sent now: gas, or the contract's no, or the client's own."""

    gas: int = 0
    error: ContractError | None = None
    problem: str = ""

    @property
    def is_halted(self) -> bool:
        return self.error is not None and self.error.name == "Halted"


class Contract(msgspec.Struct, frozen=True):
    """Where the contract stands."""

    head: Head
    inclusion_block_hash: Hash | None
    """Hash of the block that now has the number of the newest known inclusion's; None if there is none."""


class Observations(msgspec.Struct, frozen=True):
    """One look at Ethereum, as of its newest block."""

    now_ms: int
    latest: L1Block
    contract: Contract | None = None
    """None if nobody asked yet: a block that is behind is not asked about the contract."""
    account: Account | None = None
    """None if nobody asked yet: looked at only when something waits or is open."""
    simulation: Simulation | None = None
    """None if nobody asked yet."""


# ------------------------------------------------------------------------------------------------------------- actions


class Reopen(msgspec.Struct, frozen=True):
    """Forget the inclusions from this epoch on."""

    first_epoch: int


class Adopt(msgspec.Struct, frozen=True):
    """Read from the chain's logs the commitments from this epoch on, up to the contract's head."""

    first_epoch: int
    last_epoch: int


class LookAtContract(msgspec.Struct, frozen=True):
    """Observe the contract, then decide again."""


class LookAtAccount(msgspec.Struct, frozen=True):
    """Observe the account, then decide again."""


class Simulate(msgspec.Struct, frozen=True):
    """Ask the client what the commitment would cost, then decide again."""

    epoch: int


class Settle(msgspec.Struct, frozen=True):
    """Note what became of an attempt."""

    attempt: Attempt
    outcome: AttemptOutcome
    tx_receipt: TxReceipt | None
    """None if another transaction used its nonce."""


class Sign(msgspec.Struct, frozen=True):
    """Sign a transaction, write it down, then send it."""

    epoch: int
    number: int
    nonce: int
    gas_limit: int
    fees: Fees
    is_legacy: bool = False


class Send(msgspec.Struct, frozen=True):
    """Send the same bytes again."""

    attempt: Attempt


Step: TypeAlias = Reopen | Adopt | LookAtContract | LookAtAccount | Simulate | Settle
"""What must be known, or noted, before anything can be decided."""

Action: TypeAlias = Sign | Send


class Decision(msgspec.Struct, frozen=True):
    situation: Situation
    detail: str = ""
    actions: tuple[Action, ...] = ()


class Undecided(msgspec.Struct, frozen=True):
    """First these, then decide again, from what is remembered and seen after them."""

    steps: tuple[Step, ...]


# ------------------------------------------------------------------------------------------------------------ deciding


def decide(state: State, seen: Observations) -> Decision | Undecided:
    if is_behind(state, seen.latest):
        return _decide_behind(state, seen)
    # What the chain shows comes first: nothing else is decided while the inclusions known here are not those up there.
    if seen.contract is None:
        return _look_again(LookAtContract())
    head = seen.contract.head
    if head.epoch < state.included_epoch:
        return _look_again(Reopen(head.epoch + 1))
    if state.inclusion is not None and seen.contract.inclusion_block_hash != state.inclusion.l1_block_hash:
        return _look_again(Reopen(state.included_epoch))
    if head.epoch > state.included_epoch:
        return _look_again(Adopt(state.included_epoch + 1, head.epoch))
    if state.key_problem is None and seen.account is None and (state.waiting is not None or state.open_attempts):
        return _look_again(LookAtAccount())
    settled = _settle_attempts(state, seen)
    if settled:
        return _look_again(*settled)

    if state.diverged_epoch is not None:
        return Decision(Situation.DIVERGED, f"another commitment of epoch {state.diverged_epoch} was included")
    if state.key_problem is not None:
        return _decide_without_key(state, seen)
    if state.waiting is None or seen.account is None:
        return Decision(Situation.IDLE)
    if not state.waiting.is_seal_here:
        return Decision(Situation.SEAL_MISSING, f"epoch {state.waiting.epoch} is next")
    decision = _decide_waiting(state, state.waiting, seen, seen.account)
    return decision if isinstance(decision, Undecided) else _name_stall(state, seen, decision)


def is_behind(state: State, latest: L1Block) -> bool:
    """Whether the newest L1 block shown is older than what is known to be there. Its number says less: it may be lower
    after a reorganisation, its time can not be for long."""
    return latest.timestamp < _find_l1_time(state)


def _find_l1_time(state: State) -> int:
    """Unix seconds: L1 was as far as that."""
    return max(state.newest_l1_time, 0 if state.inclusion is None else state.inclusion.included_at)


def _decide_behind(state: State, seen: Observations) -> Decision:
    """Nothing follows from a block that is behind; but what is on its way may be sent again, wherever it goes."""
    # Our clock may have been put back: then L1 knows better how late it is.
    now_ms = max(seen.now_ms, _find_l1_time(state) * 1000)
    is_long = now_ms - seen.latest.timestamp * 1000 > state.settings.stall_after_ms
    decision = Decision(
        Situation.L1_BEHIND if is_long else Situation.WAITING_FOR_L1_BLOCK,
        f"the newest L1 block shown, {seen.latest.number}, is older than one that was seen before",
    )
    return _hold(state, seen, _find_newest(state.waiting), decision)


def _decide_without_key(state: State, seen: Observations) -> Decision | Undecided:
    """Nothing can be paid for. But a contract that has halted is the end of the ledger, whoever could pay."""
    waiting = state.waiting
    if waiting is not None and waiting.is_seal_here and seen.latest.timestamp * 1000 >= waiting.cut_at:
        if seen.simulation is None:
            return _look_again(Simulate(waiting.epoch))
        if seen.simulation.is_halted:
            return Decision(Situation.HALTED, str(seen.simulation.error))
    missing = Decision(Situation.KEY_MISSING, f"there is no key to pay for commitments with: {state.key_problem}")
    return _hold(state, seen, _find_newest(waiting), missing)


def _decide_waiting(state: State, waiting: Waiting, seen: Observations, account: Account) -> Decision | Undecided:
    if seen.latest.timestamp * 1000 < waiting.cut_at:
        return Decision(
            Situation.WAITING_FOR_L1_TIME,
            f"epoch {waiting.epoch} was cut at {waiting.cut_at} ms, L1 is at {seen.latest.timestamp} s",
        )
    nonce = max(account.nonce, state.next_own_nonce)
    live = [attempt for attempt in waiting.attempts if attempt.nonce == nonce and attempt.outcome is None]
    if not live:
        return _decide_attempt(state, waiting, seen, account, nonce, None)
    newest = live[-1]
    is_passed_over = seen.latest.number > newest.l1_block
    since_ms = max(newest.sent_at, state.resumed_at)
    if is_passed_over and _is_due(seen.now_ms, since_ms, state.settings.bump_interval_ms):
        return _decide_attempt(state, waiting, seen, account, nonce, newest)
    return _hold(state, seen, newest, _describe_flight(state, newest))


def _decide_attempt(
    state: State, waiting: Waiting, seen: Observations, account: Account, nonce: int, live: Attempt | None
) -> Decision | Undecided:
    """A new attempt: the first one with its nonce, or a dearer one in the place of `live`."""
    settings, base_fee = state.settings, seen.latest.base_fee
    floor = _find_dearest([attempt for attempt in state.open_attempts if attempt.nonce == nonce])
    fees = compute_fees(base_fee, account.suggested_fees, floor, settings)
    if fees is None and live is None and floor is not None:
        # An attempt of another epoch has this nonce, too dear to be replaced. If a pool still has it, it will be mined,
        # and frees us; if it was lost, the most that we may offer is taken.
        bumped = settings.max_fee_wei if base_fee is None else compute_bump(floor.priority_fee)
        fees = Fees(settings.max_fee_wei, min(bumped, settings.max_fee_wei))
    simulation = seen.simulation
    if simulation is None:
        return _look_again(Simulate(waiting.epoch))
    if simulation.error is not None:
        # Not even `live` is sent again: mined, it would cost its gas for nothing. This comes before the cap: a contract
        # that has halted has, at any fee.
        return Decision(Situation.HALTED if simulation.is_halted else Situation.REVERTING, str(simulation.error))
    least = account.suggested_fees.max_fee if base_fee is None else base_fee
    if fees is None or fees.max_fee < least:
        offered = 0 if floor is None else floor.max_fee
        wanted = "gas price" if base_fee is None else "base fee"
        problem = f"the {wanted} is {least} wei, the last offer {offered}, the cap {settings.max_fee_wei}"
        return _hold(state, seen, live, Decision(Situation.FEE_CAP_REACHED, problem))
    if simulation.problem:
        return _hold(state, seen, live, Decision(Situation.REFUSED, simulation.problem))

    gas_limit = max(compute_gas_limit(simulation.gas), 2 * _find_exhausted(waiting, account))
    most_cost = gas_limit * fees.max_fee
    spent = compute_spent(state.spent, state.open_attempts, account)
    spent += compute_in_flight(state.open_attempts, account, nonce)
    if spent + most_cost > settings.daily_budget_wei:
        problem = (
            f"{spent} wei spent in 24 hours or on the way, {most_cost} wanted, {settings.daily_budget_wei} allowed"
        )
        return _hold(state, seen, live, Decision(Situation.OVER_BUDGET, problem))
    if account.balance < most_cost:
        problem = f"the balance is {account.balance} wei, {most_cost} are needed"
        return _hold(state, seen, live, Decision(Situation.OUT_OF_FUNDS, problem))
    number = 1 + len(waiting.attempts)
    return Decision(
        Situation.IN_FLIGHT,
        f"epoch {waiting.epoch}, attempt {number}",
        (Sign(waiting.epoch, number, nonce, gas_limit, fees, is_legacy=base_fee is None),),
    )


def _settle_attempts(state: State, seen: Observations) -> list[Settle]:
    """What became of the attempts whose nonce is used up, once that is final: their receipt says it; without, another
    transaction used the nonce. The one that was included is settled with its inclusion, and reopened with it."""
    account = seen.account
    if account is None:
        return []
    settled = []
    for attempt in state.open_attempts:
        receipt = account.receipts.get(attempt.hash)
        if attempt.nonce >= account.final_nonce:
            continue
        if receipt is None:
            settled.append(Settle(attempt, AttemptOutcome.REPLACED, None))
        elif not receipt.is_success:
            settled.append(Settle(attempt, AttemptOutcome.REVERTED, receipt))
    return settled


def _hold(state: State, seen: Observations, live: Attempt | None, decision: Decision) -> Decision:
    """No new attempt; the one that is out, if any, is sent again when it is time."""
    if live is None:
        return decision
    broadcast = state.last_broadcast.get(live.hash)
    if broadcast is not None and not _is_due(seen.now_ms, broadcast[0], state.settings.rebroadcast_interval_ms):
        return decision
    return msgspec.structs.replace(decision, actions=(*decision.actions, Send(live)))


def _describe_flight(state: State, attempt: Attempt) -> Decision:
    broadcast = state.last_broadcast.get(attempt.hash)
    situation = Situation.IN_FLIGHT
    detail = f"epoch {attempt.epoch}, attempt {attempt.number}"
    if broadcast is not None:
        result = broadcast[1]
        situation = _SITUATION_OF_SENDING.get(result.outcome, Situation.IN_FLIGHT)
        if situation is not Situation.IN_FLIGHT:
            detail = f"{detail}: {result.message}"
    return Decision(situation, detail)


_SITUATION_OF_SENDING: Final = {
    SendOutcome.UNDERPRICED: Situation.UNDERPRICED,
    SendOutcome.OUT_OF_FUNDS: Situation.OUT_OF_FUNDS,
    SendOutcome.REFUSED: Situation.REFUSED,
}


def _name_stall(state: State, seen: Observations, decision: Decision) -> Decision:
    """Waiting for a block is only ordinary while blocks come."""
    age_ms = seen.now_ms - seen.latest.timestamp * 1000
    if age_ms <= state.settings.stall_after_ms or decision.situation not in ORDINARY:
        return decision
    return msgspec.structs.replace(
        decision,
        situation=Situation.L1_STALLED,
        detail=f"the newest L1 block, {seen.latest.number}, is {age_ms // 1000} s old",
    )


def _look_again(*steps: Step) -> Undecided:
    return Undecided(steps)


def _is_due(now_ms: int, since_ms: int, interval_ms: int) -> bool:
    """Also when the clock was put back: better too early once than not for hours."""
    return now_ms < since_ms or now_ms - since_ms >= interval_ms


# ---------------------------------------------------------------------------------------------------------------- fees


def compute_bump(fee: int) -> int:
    """An eighth more, rounded up, and at least 1 wei: clients want 10 to 12.5 %."""
    return max(fee + 1, -(-fee * 9 // 8))


def compute_fees(base_fee: int | None, suggested: Fees, floor: Fees | None, settings: CommitterSettings) -> Fees | None:
    """What to offer: twice the base fee, so that it holds through six full blocks (EIP-1559: an eighth each), and the
    suggested tip; on a chain without base fees, the suggested gas price. But enough more than `floor` to replace it,
    and never more than the cap. None: both do not fit."""
    least = Fees(0, 0) if floor is None else Fees(compute_bump(floor.max_fee), compute_bump(floor.priority_fee))
    priority_fee = max(suggested.priority_fee, settings.min_priority_fee_wei)
    if base_fee is None:
        price = min(max(suggested.max_fee, priority_fee, least.max_fee, least.priority_fee), settings.max_fee_wei)
        return None if price < max(least.max_fee, least.priority_fee) else Fees(price, price)
    max_fee = 2 * base_fee + priority_fee
    max_fee = min(max(max_fee, least.max_fee), settings.max_fee_wei)
    priority_fee = min(max(priority_fee, least.priority_fee), max_fee)
    if max_fee < least.max_fee or priority_fee < least.priority_fee:
        return None
    return Fees(max_fee, priority_fee)


def compute_spent(settled: int, open_attempts: Sequence[Attempt], account: Account | None) -> int:
    """Wei that the transactions of the last 24 hours have cost, as the budget counts them: those that are `settled`,
    and those that have reverted, but not finally yet."""
    receipts = [] if account is None else [account.receipts.get(attempt.hash) for attempt in open_attempts]
    return settled + sum([receipt.gas_used * receipt.effective_gas_price for receipt in receipts if receipt])


def compute_in_flight(open_attempts: Sequence[Attempt], account: Account, nonce: int) -> int:
    """Wei that may be spent yet, at worst, on other nonces than this one: of each, its dearest attempt. There are such
    after a reorganisation that took back what had used a lower nonce."""
    worst: dict[int, int] = {}
    for attempt in open_attempts:
        if attempt.nonce >= account.nonce and attempt.nonce != nonce:
            worst[attempt.nonce] = max(attempt.most_cost, worst.get(attempt.nonce, 0))
    return sum(worst.values())


def compute_gas_limit(estimate: int) -> int:
    """A quarter more: the state may move between the estimate and the block."""
    return estimate + estimate // 4


def _find_newest(waiting: Waiting | None) -> Attempt | None:
    """The newest attempt, if it may still be mined."""
    if waiting is None or not waiting.attempts or waiting.attempts[-1].outcome is not None:
        return None
    return waiting.attempts[-1]


def _find_exhausted(waiting: Waiting, account: Account) -> int:
    """The most gas that an attempt for this commitment was given, and ran out of; 0 if none did. The estimate that it
    was made from may well be given again, so without this a client that estimates too low would use up the budget."""
    exhausted = [0]
    for attempt in waiting.attempts:
        receipt = account.receipts.get(attempt.hash)
        gas_used = attempt.gas_used if receipt is None else receipt.gas_used
        is_reverted = attempt.outcome is AttemptOutcome.REVERTED if receipt is None else not receipt.is_success
        # A call within the transaction is given all but a 64th of what is left (EIP-150).
        if is_reverted and gas_used is not None and 64 * gas_used >= 63 * attempt.gas_limit:
            exhausted.append(attempt.gas_limit)
    return max(exhausted)


def _find_dearest(attempts: list[Attempt]) -> Fees | None:
    if not attempts:
        return None
    return Fees(
        max([attempt.fees.max_fee for attempt in attempts]), max([attempt.fees.priority_fee for attempt in attempts])
    )
