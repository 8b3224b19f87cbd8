"""What the watcher does next, decided from what it remembers and what it sees. Pure: no clock, no I/O, no memory.

The promises, and where they are kept:
- Nothing is read from a block that is not final, nor from one below a final block that was read before.
- The contract's queue says which deposits there are, the ledger's own count which of them is next: a gap or a
  repetition can not happen. Logs only add where a deposit happened; they must agree with the queue, and name a block of
  the final chain.
- What is wrong with one asset's deposits does not keep back another's.
- A final block that was replaced is noticed by its hash. Deposits credited from it are held against the queue until
  each is there again; those that are not are an alarm for as long.
- Whatever keeps deposits from the ledger has a name, and several such things have several.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from chain.block import Deposit, make_deposit
from chain.primitives import Address, Hash
from node.ethereum.credited import Anchor, CreditedDeposit
from node.ethereum.l1 import DepositEvent, L1Block, ListedAsset, QueuedDeposit

LAGGING_CONFIRMATIONS: Final = 64
"""L1 blocks, its own counted, after which an L1 block must do as final while the chain's own finality lags too long:
two of Ethereum's epochs, what finality takes when all is well."""


class WatcherSituation(StrEnum):
    """One word for where the watcher is; the same in health, metrics and logs."""

    STARTING = "starting"
    WAITING_FOR_FINALITY = "waiting_for_finality"
    """The contract is younger than the newest final L1 block."""
    CATCHING_UP = "catching_up"
    SYNCED = "synced"

    # What follows needs somebody's eyes; the first of them that is so names it all.
    WRONG_CHAIN = "wrong_chain"
    NO_CONTRACT = "no_contract"
    WRONG_CONTRACT = "wrong_contract"
    DEPOSITS_VANISHED = "deposits_vanished"
    """The ledger has credited what final L1 blocks do not hold, or hold otherwise: a reorganisation deeper than the
    confirmations."""
    L1_UNREACHABLE = "l1_unreachable"
    LOGS_CONTRADICT = "logs_contradict"
    """The endpoint's logs show another deposit than the queue, or one in a block that is not of the final chain."""
    LOGS_INCOMPLETE = "logs_incomplete"
    """The endpoint's logs lack a deposit that the queue holds."""
    L1_BEHIND = "l1_behind"
    """What the endpoint calls final is older than what was read before. An alarm only if it lasts."""
    L1_STALLED = "l1_stalled"
    """There are no new L1 blocks."""
    FINALITY_LAGS = "finality_lags"
    """What the chain calls finalized is older than half of the silence that the contract bears: a number of
    confirmations counts instead, and a reorganisation could take away what is credited."""
    FINAL_BLOCK_REPLACED = "final_block_replaced"
    """A reorganisation went deeper than what was final. Named until a later look has read all of a final block."""


_SEVERITY: Final = {situation: place for place, situation in enumerate(WatcherSituation)}


class WatcherSettings(msgspec.Struct, frozen=True):
    confirmations: int | None = None
    """L1 blocks, its own counted, after which an L1 block counts as final; None: what the chain calls finalized."""
    poll_interval_ms: int = 4_000
    log_range: int = 2_000
    """L1 blocks that one query for logs covers; endpoints limit it."""
    batch_size: int = 500
    """Deposits of one asset that are read, and handed over, at once."""
    max_batches: int = 64
    """In one look; the next one follows at once, and knows of newer blocks."""
    stall_after_ms: int = 300_000
    """The newest L1 block may be so old, by our clock, and what is final so long below what was."""

    def __post_init__(self) -> None:
        for name in ("poll_interval_ms", "log_range", "batch_size", "max_batches", "stall_after_ms"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive")
        if self.confirmations is not None and self.confirmations < 1:
            raise ValueError("confirmations must be positive")


class State(msgspec.Struct, frozen=True):
    """What the watcher remembers."""

    settings: WatcherSettings
    deployed_at: int
    """Seconds."""
    max_silence: int
    """Seconds."""
    assets: tuple[Address, ...]
    """The ledger's, in the contract's order."""
    credited_counts: Mapping[Address, int]
    """Asset → deposits credited; the next one has this index. Absent is 0."""
    cursor: Anchor | None
    """Up to it, all that the contract has queued is in the ledger. Kept over restarts."""
    newest_credited: Anchor | None
    """The highest one of the credited deposits that are remembered and not in doubt. Kept over restarts."""
    doubtful: tuple[CreditedDeposit, ...]
    """Those whose block was replaced, and that were not seen in the queue since. Kept over restarts."""
    highest_final: L1Block | None
    """The highest one that anything was decided from in this life."""
    is_highest_by_confirmations: bool
    """Whether that was so because finality lagged."""
    complete: L1Block | None
    """The final block that was last read to the end; None if what was final was replaced since."""
    vanished: tuple["Problem", ...]
    """What was found then about deposits that are credited, and not there any more."""
    behind_since: int | None
    """Milliseconds: when the first of those looks was that found the endpoint behind, without another between."""
    replaced: str
    """The final block that was replaced, in words, "" for none."""
    caught_up: int
    """Deposits credited in the catch-up that is under way, 0 if none is."""
    is_list_checked: bool
    """Whether the ledger's assets were held against the contract's in this life."""


class Problem(msgspec.Struct, frozen=True):
    situation: WatcherSituation
    detail: str


class Observations(msgspec.Struct, frozen=True):
    """One look at Ethereum. All but the first four: as of the final block, None or absent if nobody asked yet."""

    now_ms: int
    latest: L1Block
    final: L1Block
    """By the confirmations that are set, or by the chain's own word."""
    confirmed: L1Block | None = None
    """The one with `LAGGING_CONFIRMATIONS`."""
    hashes: Mapping[int, Hash] | None = None
    """Number → hash of the block that has it now."""
    is_rewound: bool = False
    """Whether that was made good for in this look."""
    listed: tuple[ListedAsset, ...] | None = None
    """The contract's, all until they were checked once, then those that the ledger does not have."""
    counts: Mapping[Address, int] = {}
    """Asset → deposits in the queue."""
    queued: Mapping[tuple[Address, int], QueuedDeposit] = {}
    """(asset, index) → what the queue holds in the place of a doubtful deposit."""
    problems: Mapping[Address, Problem] = {}
    """Asset → why its deposits are not read any further in this look."""
    batches: int = 0
    """Handed over in this look."""


# ------------------------------------------------------------------------------------------------------------- actions


class LookAtConfirmed(msgspec.Struct, frozen=True):
    """Observe the block with so many confirmations, then decide again."""

    confirmations: int


class LookAtAnchors(msgspec.Struct, frozen=True):
    """Observe which blocks have these numbers now."""

    numbers: tuple[int, ...]


class Rewind(msgspec.Struct, frozen=True):
    """Final blocks were replaced: find out from which one on, doubt the deposits credited from there, count it."""

    replaced: Anchor


class LookAtList(msgspec.Struct, frozen=True):
    """Observe the contract's assets from the `first`-th one on."""

    first: int
    at: L1Block


class ListAssets(msgspec.Struct, frozen=True):
    """Hand these over to the ledger."""

    assets: tuple[Address, ...]
    at: L1Block


class LookAtQueues(msgspec.Struct, frozen=True):
    """Observe how many deposits these assets have."""

    assets: tuple[Address, ...]
    at: L1Block


class LookAtDoubtful(msgspec.Struct, frozen=True):
    """Observe what the queue holds in the place of these; they are of one asset, and it holds something there."""

    deposits: tuple[CreditedDeposit, ...]
    at: L1Block


class Trust(msgspec.Struct, frozen=True):
    """The queue holds these as they were credited: they are in doubt no more."""

    deposits: tuple[CreditedDeposit, ...]
    at: L1Block


class CreditRequest(msgspec.Struct, frozen=True):
    asset: Address
    first: int
    count: int


class Credit(msgspec.Struct, frozen=True):
    """Read these deposits, each asset's by itself, and hand over to the ledger what was read."""

    requests: tuple[CreditRequest, ...]
    at: L1Block


Step: TypeAlias = (
    LookAtConfirmed | LookAtAnchors | Rewind | LookAtList | ListAssets | LookAtQueues | LookAtDoubtful | Trust | Credit
)
"""What must be known, or done, before anything else can be decided."""


class Advance(msgspec.Struct, frozen=True):
    """All that is queued up to this block is in the ledger: write the cursor."""

    final: L1Block
    is_synced: bool
    """Whether the ledger has nothing beyond it either, so that what is up to this block may be called complete."""


class Decision(msgspec.Struct, frozen=True):
    progress: WatcherSituation
    """An ordinary one."""
    detail: str = ""
    problems: tuple[Problem, ...] = ()
    """The worst one first."""
    advance: Advance | None = None
    final: L1Block | None = None
    """What it was decided from, if anything was."""

    @property
    def situation(self) -> WatcherSituation:
        return self.problems[0].situation if self.problems else self.progress


class Undecided(msgspec.Struct, frozen=True):
    """First this, then decide again, from what is remembered and seen after it."""

    step: Step
    meanwhile: Decision | None = None
    """What to show while it lasts, if it may take long."""


# ------------------------------------------------------------------------------------------------------------ deciding


def decide(state: State, seen: Observations) -> Decision | Undecided:
    is_lagging = _is_lagging(state, seen)
    if is_lagging and seen.confirmed is None:
        return Undecided(LookAtConfirmed(LAGGING_CONFIRMATIONS))
    final = seen.final
    if is_lagging and seen.confirmed is not None and seen.confirmed.number > final.number:
        final = seen.confirmed
    problems = _find_problems_of_all(state, seen, is_lagging)

    # Nothing is decided from less than was final before.
    highest = _find_highest(state)
    if final.number < highest:
        return _decide_behind(state, seen, final, highest, problems)
    if final.timestamp <= state.deployed_at:
        detail = f"final is block {final.number} of {final.timestamp} s"
        return _conclude(WatcherSituation.WAITING_FOR_FINALITY, detail, problems)
    if state.complete is not None and state.complete.hash == final.hash:
        return _conclude(WatcherSituation.SYNCED, "", [*problems, *state.vanished], final=final)

    # Whether what was final still is.
    anchors = [anchor for anchor in (state.cursor, state.newest_credited) if anchor is not None]
    if anchors and seen.hashes is None:
        return Undecided(LookAtAnchors(tuple(sorted({anchor.l1_block for anchor in anchors}))))
    for anchor in anchors:  # one that was not asked for comes from what this look has credited
        if seen.hashes is not None and seen.hashes.get(anchor.l1_block, anchor.l1_block_hash) != anchor.l1_block_hash:
            return Undecided(Rewind(anchor))

    # Assets come before their deposits.
    if seen.listed is None:
        return Undecided(LookAtList(len(state.assets) if state.is_list_checked else 0, final))
    listed = seen.listed
    if not state.is_list_checked:
        if tuple([line.asset for line in listed[: len(state.assets)]]) != state.assets:
            problem = "the ledger's assets are not those that the contract lists"
            problems.append(Problem(WatcherSituation.WRONG_CONTRACT, problem))
            return _conclude(WatcherSituation.STARTING, "", problems)
        listed = listed[len(state.assets) :]
    added = _find_assets_in_force(listed, final)
    if added:
        return Undecided(ListAssets(added, final))
    return _decide_deposits(state, seen, final, problems)


def _decide_deposits(state: State, seen: Observations, final: L1Block, problems: list[Problem]) -> Decision | Undecided:
    uncounted = [asset for asset in state.assets if asset not in seen.counts and asset not in seen.problems]
    if uncounted:
        return Undecided(LookAtQueues(tuple(uncounted), final))
    for asset in state.assets:
        step = _settle_doubts(state, seen, asset, final)
        if step is not None:
            return Undecided(step)

    is_synced = True
    missing: dict[Address, int] = {}
    for asset in state.assets:
        if asset in seen.counts:
            credited, count = state.credited_counts.get(asset, 0), seen.counts[asset]
            missing[asset] = max(0, count - credited)
            is_synced &= credited <= count
            vanished = _describe_vanished(state, seen, asset, final)
            if vanished:
                problems.append(Problem(WatcherSituation.DEPOSITS_VANISHED, vanished))
    problems += [seen.problems[asset] for asset in state.assets if asset in seen.problems]

    progress, detail = WatcherSituation.SYNCED, ""
    left = sum(missing.values())
    if left and (state.caught_up or left > state.settings.batch_size):
        progress = WatcherSituation.CATCHING_UP
        detail = f"catching up: {state.caught_up:,} of {state.caught_up + left:,} deposits"
    requests = tuple(
        [
            CreditRequest(asset, state.credited_counts.get(asset, 0), min(count, state.settings.batch_size))
            for asset, count in missing.items()
            if count and asset not in seen.problems
        ]
    )
    if requests and seen.batches < state.settings.max_batches:
        meanwhile = _conclude(progress, detail, problems, final=final) if detail else None
        return Undecided(Credit(requests, final), meanwhile)
    if left or seen.problems:
        return _conclude(progress if left else WatcherSituation.SYNCED, detail, problems, final=final)
    if not seen.is_rewound:  # a later look than the one that found out: it is over
        problems = [problem for problem in problems if problem.situation is not WatcherSituation.FINAL_BLOCK_REPLACED]
    return _conclude(progress, detail, problems, Advance(final, is_synced), final)


def _decide_behind(state: State, seen: Observations, final: L1Block, highest: int, problems: list[Problem]) -> Decision:
    detail = f"final is block {final.number}, read was up to block {highest}"
    if state.is_highest_by_confirmations:
        # Not the endpoint went back, but we went ahead while finality lagged.
        problems = [problem for problem in problems if problem.situation is not WatcherSituation.FINALITY_LAGS]
        problems.append(Problem(WatcherSituation.FINALITY_LAGS, f"finalized is block {final.number}, {detail}"))
        return _conclude(WatcherSituation.SYNCED, "", problems)
    since = seen.now_ms if state.behind_since is None else state.behind_since
    if not 0 <= seen.now_ms - since <= state.settings.stall_after_ms:
        problems.append(Problem(WatcherSituation.L1_BEHIND, detail))
    return _conclude(WatcherSituation.L1_BEHIND, detail, problems)


def _find_problems_of_all(state: State, seen: Observations, is_lagging: bool) -> list[Problem]:
    """Those that keep nothing from being read."""
    problems = []
    age_ms = seen.now_ms - seen.latest.timestamp * 1000
    if age_ms > state.settings.stall_after_ms:
        detail = f"the newest L1 block, {seen.latest.number}, is {age_ms // 1000} s old"
        problems.append(Problem(WatcherSituation.L1_STALLED, detail))
    if is_lagging:
        lag = seen.latest.timestamp - seen.final.timestamp
        detail = f"finalized is block {seen.final.number}, {lag} s before the newest"
        problems.append(Problem(WatcherSituation.FINALITY_LAGS, detail))
    if state.replaced:
        problems.append(Problem(WatcherSituation.FINAL_BLOCK_REPLACED, state.replaced))
    return problems


def _is_lagging(state: State, seen: Observations) -> bool:
    """No epoch is cut without a final block after the last cut, so to wait for the chain's finality for too long would
    end the ledger by silence."""
    lag = seen.latest.timestamp - seen.final.timestamp
    return state.settings.confirmations is None and 2 * lag > state.max_silence


def _find_highest(state: State) -> int:
    """The number of the highest final block that is known to have been read."""
    numbers = [anchor.l1_block for anchor in (state.cursor, state.newest_credited) if anchor is not None]
    if state.highest_final is not None:
        numbers.append(state.highest_final.number)
    return max(numbers, default=0)


def _find_assets_in_force(listed: Sequence[ListedAsset], final: L1Block) -> tuple[Address, ...]:
    added: list[Address] = []
    for line in listed:
        if line.listed_at > final.timestamp:
            break  # the delay is the same for all, so none after it is in force either
        added.append(line.asset)
    return tuple(added)


def _conclude(
    progress: WatcherSituation,
    detail: str,
    problems: list[Problem],
    advance: Advance | None = None,
    final: L1Block | None = None,
) -> Decision:
    ordered = sorted(problems, key=lambda problem: _SEVERITY[problem.situation])
    return Decision(progress, detail, tuple(ordered), advance, final)


def name_fault(before: Decision, problem: Problem) -> Decision:
    """What to say when a look ended in this one. What was found out about credited deposits holds until it is looked at
    again; how far they have come, too."""
    kept = (WatcherSituation.DEPOSITS_VANISHED, WatcherSituation.FINAL_BLOCK_REPLACED)
    problems = [problem, *[one for one in before.problems if one.situation in kept]]
    return _conclude(before.progress, before.detail, problems)


# -------------------------------------------------------------------------------------------------- credited deposits


def _settle_doubts(state: State, seen: Observations, asset: Address, final: L1Block) -> Step | None:
    """The queue is asked about each deposit in doubt; those that it holds as they were credited are trusted again."""
    if asset not in seen.counts or asset in seen.problems:
        return None
    queued = [deposit for deposit in state.doubtful if deposit.asset == asset and deposit.index < seen.counts[asset]]
    unseen = [deposit for deposit in queued if (asset, deposit.index) not in seen.queued]
    if unseen:
        return LookAtDoubtful(tuple(unseen[: state.settings.batch_size]), final)
    same = [deposit for deposit in queued if is_same(deposit, seen.queued[asset, deposit.index])]
    return Trust(tuple(same), final) if same else None


def _describe_vanished(state: State, seen: Observations, asset: Address, final: L1Block) -> str:
    """What of this asset is credited and not in the queue any more, in words; "" if nothing is."""
    credited, count = state.credited_counts.get(asset, 0), seen.counts[asset]
    parts = []
    if credited > count:
        parts.append(f"{credited} deposits of 0x{asset.hex()} are credited, {count} are final at block {final.number}")
    others = [one for one in state.doubtful if one.asset == asset and (asset, one.index) in seen.queued]
    if others:
        first = others[0]
        parts.append(
            f"{len(others)} deposits of 0x{asset.hex()} were replaced by others, the first is {first.index}, credited "
            f"from block {first.anchor.l1_block}"
        )
    return "; ".join(parts)


def compute_lost_count(state: State, counts: Mapping[Address, int]) -> int:
    """Deposits that are credited and, as far as is known, not in the queue as they were credited."""
    beyond = sum([max(0, state.credited_counts.get(asset, 0) - count) for asset, count in counts.items()])
    return beyond + sum([deposit.index < counts.get(deposit.asset, 0) for deposit in state.doubtful])


def is_same(credited: CreditedDeposit, queued: QueuedDeposit) -> bool:
    return (credited.account, credited.amount) == (queued.account, queued.amount)


# ------------------------------------------------------------------------------------------------------ queue and logs


class FoundDeposit(msgspec.Struct, frozen=True):
    deposit: Deposit
    log_index: int


def match_deposits(
    queued: Sequence[QueuedDeposit], events: Iterable[DepositEvent], blocks: Mapping[int, L1Block]
) -> list[FoundDeposit] | Problem:
    """Each deposit of the queue with the log that it left. `blocks`: those of the final chain that the logs speak of.

    Of several logs for one deposit, only one that says what the queue says, and names the block of the final chain
    whose time the queue has, counts; what else an endpoint delivers, or how often, does no harm.
    """
    shown_of: dict[tuple[Address, int], list[DepositEvent]] = {}
    for event in events:
        shown_of.setdefault((event.asset, event.index), []).append(event)
    found = []
    for deposit in queued:
        name = f"deposit {deposit.index} of 0x{deposit.asset.hex()}"
        shown = shown_of.get((deposit.asset, deposit.index), [])
        if not shown:
            return Problem(WatcherSituation.LOGS_INCOMPLETE, f"the logs lack {name}")
        right = {event for event in shown if _is_of(event, deposit, blocks.get(event.l1_block))}
        if len(right) != 1:
            return Problem(WatcherSituation.LOGS_CONTRADICT, f"the logs contradict {name}")
        event = right.pop()
        made = make_deposit(
            asset=deposit.asset,
            index=deposit.index,
            account=deposit.account,
            amount=deposit.amount,
            l1_block=event.l1_block,
            l1_block_hash=event.l1_block_hash,
            l1_transaction=event.l1_transaction,
        )
        found.append(FoundDeposit(made, event.log_index))
    return found


def _is_of(event: DepositEvent, deposit: QueuedDeposit, block: L1Block | None) -> bool:
    return (
        block is not None
        and event.l1_block_hash == block.hash
        and deposit.timestamp == block.timestamp
        and (event.account, event.amount) == (deposit.account, deposit.amount)
    )
