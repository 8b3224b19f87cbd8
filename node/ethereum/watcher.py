"""The watcher: brings deposits and new assets from Ethereum into the ledger, each exactly once.

`node.ethereum.watch_decision` decides; this loop looks, hands over, and writes down how far it came. If it dies:
- before the ledger has a deposit: the ledger's count does not have it either, and the next life begins there;
- after that, before the cursor is written: the same, from the count that has it. The cursor only tells where to begin
  to look, and which final block was read, so that one below it or another in its place is noticed;
- between noting what will be credited and crediting it: it is noted once more.

Knowingly missing: a reorganisation deeper than the confirmations can replace a deposit that was credited by another one
with the same index. It is named, counted and shown until it is back, not undone; the count of confirmations is where
that risk is chosen.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
import structlog

from chain.block import Deposit
from chain.errors import BrokenInvariant
from chain.primitives import Address
from node import metrics
from node.ethereum.change import Change
from node.ethereum.credited import Anchor, CreditedDeposit
from node.ethereum.deposit_search import DepositSearch
from node.ethereum.faults import EthereumFault, WrongDeployment
from node.ethereum.gateway import Gateway
from node.ethereum.l1 import Deployment, L1Block
from node.ethereum.pause import compute_pause_s
from node.ethereum.portion import Portion
from node.ethereum.store import EthereumStore
from node.ethereum.watch_decision import (
    Credit,
    CreditRequest,
    Decision,
    FoundDeposit,
    ListAssets,
    LookAtAnchors,
    LookAtConfirmed,
    LookAtDoubtful,
    LookAtList,
    LookAtQueues,
    Observations,
    Problem,
    Rewind,
    State,
    Step,
    Trust,
    WatcherSettings,
    WatcherSituation,
    compute_lost_count,
    decide,
    name_fault,
)

_MAX_ROUNDS: Final = 1_000
"""Of look and decide in one tick, besides the batches: one that needs more is read again at the next."""

_log = structlog.get_logger("node.ethereum.watcher")


class Sink(Protocol):
    """The ledger, as far as the watcher needs it. Both methods return when what they got is durable and counted."""

    @property
    def assets(self) -> tuple[Address, ...]:
        """In the contract's order."""

    @property
    def deposit_counts(self) -> Mapping[Address, int]:
        """Asset → deposits credited; the next one has this index. Absent is 0."""

    async def list_assets(self, assets: list[Address]) -> None:
        """The next ones of the contract's list."""

    async def credit_deposits(self, deposits: list[Deposit]) -> None:
        """In the order of the chain; of each asset, the next ones of its queue."""


class Synced(msgspec.Struct, frozen=True):
    """Every deposit, and every asset in force, up to and with this L1 block is in the ledger."""

    l1_block: int
    l1_timestamp: int
    """Seconds."""


class Watcher:
    """`run` ends only by cancellation, or by what must stop the node: whatever the sink raises, `BrokenInvariant`,
    `sqlite3.Error`. Methods belong to one event loop."""

    def __init__(
        self,
        gateway: Gateway,
        store: EthereumStore,
        sink: Sink,
        deployment: Deployment,
        settings: WatcherSettings,
        clock: Callable[[], int],
    ) -> None:
        """`clock`: milliseconds since 1970."""
        self.change = Change()
        """Notified when `synced` or the situation changes."""
        self.synced: Synced | None = None
        """Never goes back. None until the first look after a start is complete."""
        self.queued_counts: Mapping[Address, int] = {}
        """Asset → deposits in the contract's queue, as of the final L1 block that was last looked at; those that the
        ledger does not have yet are being credited."""
        self._gateway = gateway
        self._store = store
        self._sink = sink
        self._deployment = deployment
        self._settings = settings
        self._clock = clock
        self._decision = Decision(WatcherSituation.STARTING)
        self._detail = ""
        self._since = clock()
        self._faults = 0
        self._credited = 0
        self._deep_reorgs = 0
        self._lost = 0
        self._log_range = Portion(settings.log_range)
        self._batch = Portion(settings.batch_size)
        self._doubtful = store.get_doubtful_deposits()
        # What `State` says of these:
        self._highest_final: L1Block | None = None
        self._is_highest_by_confirmations = False
        self._complete: L1Block | None = None
        self._behind_since: int | None = None
        self._vanished: tuple[Problem, ...] = ()
        self._replaced = ""
        self._caught_up = 0
        self._is_list_checked = False

    @property
    def deposits_missing(self) -> int:
        """Deposits in the queue, as of the final L1 block that was last looked at, that are not credited yet."""
        counts = self._sink.deposit_counts
        return sum([max(0, queued - counts.get(asset, 0)) for asset, queued in self.queued_counts.items()])

    def status(self) -> dict[str, Any]:
        """For health, metrics and pages. Times in milliseconds."""
        problems = self._decision.problems
        return {
            "state": str(self._decision.situation),
            "is_ok": not problems,
            "since": self._since,
            "detail": self._detail,
            "problems": [{"situation": str(problem.situation), "detail": problem.detail} for problem in problems],
            "l1_block": None if self.synced is None else self.synced.l1_block,
            "l1_timestamp": None if self.synced is None else self.synced.l1_timestamp * 1000,
            "deposits_credited": self._credited,
            "deposits_missing": self.deposits_missing,
            "deposits_lost": self._lost,
            "deep_reorgs": self._deep_reorgs,
        }

    # -------------------------------------------------------------------------------------------------------- the loop

    async def run(self) -> None:
        while True:
            await self.tick()
            is_unfinished = self._decision.progress is WatcherSituation.CATCHING_UP and not self._faults
            pause_s = compute_pause_s(self._settings.poll_interval_ms, self._faults)
            await asyncio.sleep(0 if is_unfinished else pause_s)

    async def tick(self) -> None:
        """One look at the newest final block, and all that follows from it. Outside faults become the situation; what
        was credited before one stays credited, and the next tick goes on from there."""
        try:
            has_fault = await self._step()
        except EthereumFault as fault:
            self._faults += 1
            self._enter(name_fault(self._decision, Problem(WatcherSituation.L1_UNREACHABLE, str(fault))))
        except WrongDeployment as error:
            self._faults += 1
            self._enter(name_fault(self._decision, Problem(WatcherSituation(error.code), str(error))))
        else:
            self._faults = self._faults + 1 if has_fault else 0

    async def _step(self) -> bool:
        """Returns whether the deposits of some asset could not be read."""
        await self._gateway.verify()
        latest = await self._gateway.get_block("latest")
        final = await self._gateway.get_final_block(latest, self._settings.confirmations)
        seen = Observations(self._clock(), latest, final)
        search: DepositSearch | None = None
        for _ in range(_MAX_ROUNDS + self._settings.max_batches):
            decision = decide(self._remember(), seen)
            if isinstance(decision, Decision):
                break
            if decision.meanwhile is not None:
                self._enter(decision.meanwhile)
            if isinstance(decision.step, Rewind) and seen.is_rewound:
                raise EthereumFault("final blocks were replaced while they were read")
            if isinstance(decision.step, Credit):
                search = search or self._make_search(decision.step.at)
                seen = await self._credit(decision.step, seen, search)
            else:
                seen = await self._take(decision.step, seen)
        else:
            raise EthereumFault(f"one look needs more than {_MAX_ROUNDS} rounds")
        await self._conclude(decision, seen)
        return bool(seen.problems)

    async def _take(self, step: Step, seen: Observations) -> Observations:
        """Returns what is seen after it."""
        match step:
            case LookAtConfirmed(confirmations):
                confirmed = await self._gateway.get_final_block(seen.latest, confirmations)
                return msgspec.structs.replace(seen, confirmed=confirmed)
            case LookAtAnchors(numbers):
                hashes = {number: (await self._gateway.get_block(number)).hash for number in numbers}
                return msgspec.structs.replace(seen, hashes=hashes)
            case Rewind(replaced):
                await self._rewind(replaced)
                return msgspec.structs.replace(seen, hashes=None, is_rewound=True)
            case LookAtList(first, at):
                return msgspec.structs.replace(seen, listed=tuple(await self._gateway.get_assets(first, at.number)))
            case ListAssets(assets, at):
                await self._list_assets(assets, at)
                return msgspec.structs.replace(seen, listed=None)
            case LookAtQueues(assets, at):
                return await self._look_at_queues(assets, at, seen)
            case LookAtDoubtful(deposits, at):
                return await self._look_at_doubtful(deposits, at, seen)
            case Trust(deposits, at):
                await self._trust(deposits, at)
                return seen
            case Credit():
                raise AssertionError("needs a search")

    async def _conclude(self, decision: Decision, seen: Observations) -> None:
        if decision.progress is not WatcherSituation.L1_BEHIND:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = seen.now_ms
        if decision.final is not None:
            self._highest_final = decision.final
            self._is_highest_by_confirmations = decision.final == seen.confirmed
            self._is_list_checked = True
        if decision.advance is None:
            self._enter(decision)
            return
        final = decision.advance.final
        await asyncio.to_thread(self._store.set_cursor, final.number, final.hash)
        # If we die here, nothing is lost: `synced` is only known again after the next look.
        self._caught_up = 0
        if not seen.is_rewound:
            self._replaced = ""
        self._complete = final
        self._vanished = tuple([p for p in decision.problems if p.situation is WatcherSituation.DEPOSITS_VANISHED])
        if decision.advance.is_synced:
            self.synced = Synced(final.number, final.timestamp)
        self._enter(decision)
        self.change.notify()

    def _remember(self) -> State:
        cursor, counts = self._store.get_cursor(), dict(self._sink.deposit_counts)
        return State(
            settings=self._settings,
            deployed_at=self._deployment.deployed_at,
            max_silence=self._deployment.max_silence,
            assets=self._sink.assets,
            credited_counts=counts,
            cursor=None if cursor is None else Anchor(*cursor),
            newest_credited=self._store.get_newest_credited(),
            # One that was noted and not credited, because we died between, is noted once more.
            doubtful=tuple([one for one in self._doubtful if one.index < counts.get(one.asset, 0)]),
            highest_final=self._highest_final,
            is_highest_by_confirmations=self._is_highest_by_confirmations,
            complete=self._complete,
            vanished=self._vanished,
            behind_since=self._behind_since,
            replaced=self._replaced,
            caught_up=self._caught_up,
            is_list_checked=self._is_list_checked,
        )

    # ------------------------------------------------------------------------------------------------ what was replaced

    async def _rewind(self, replaced: Anchor) -> None:
        """Of the blocks that deposits were credited from, those that are still there are the first ones: found by
        bisection. What was credited from the others is in doubt, and the cursor goes back to before them."""
        anchors = self._store.get_credited_anchors()
        kept, lost = 0, len(anchors)
        while kept < lost:
            middle = (kept + lost) // 2
            block = await self._gateway.get_block(anchors[middle].l1_block)
            if block.hash == anchors[middle].l1_block_hash:
                kept = middle + 1
            else:
                lost = middle
        await asyncio.to_thread(self._store.rewind, anchors[kept - 1] if kept else None, replaced)
        self._deep_reorgs += 1
        metrics.DEEP_REORGANISATIONS.inc()
        self._complete = None
        self._is_list_checked = False
        self._doubtful = self._store.get_doubtful_deposits()
        self._replaced = f"L1 block {replaced.l1_block}, once final, was 0x{replaced.l1_block_hash.hex()}"
        _log.error(
            "final_l1_block_replaced",
            l1_block=replaced.l1_block,
            l1_block_hash="0x" + replaced.l1_block_hash.hex(),
            doubtful=len(self._doubtful),
        )

    async def _look_at_doubtful(
        self, deposits: tuple[CreditedDeposit, ...], at: L1Block, seen: Observations
    ) -> Observations:
        asset = deposits[0].asset
        queued = dict(seen.queued)
        try:
            for deposit in deposits:
                (queued[asset, deposit.index],) = await self._gateway.get_deposits(asset, deposit.index, 1, at.number)
        except EthereumFault as fault:
            return _give_up(seen, asset, Problem(WatcherSituation.L1_UNREACHABLE, str(fault)))
        return msgspec.structs.replace(seen, queued=queued)

    async def _trust(self, deposits: tuple[CreditedDeposit, ...], at: L1Block) -> None:
        await self._confirm(at)
        anchor = Anchor(at.number, at.hash)
        trusted = [msgspec.structs.replace(deposit, anchor=anchor) for deposit in deposits]
        await asyncio.to_thread(self._store.put_credited, trusted)
        self._doubtful = self._store.get_doubtful_deposits()
        _log.info("deposits_back", count=len(deposits), asset="0x" + deposits[0].asset.hex(), l1_block=at.number)

    # ---------------------------------------------------------------------------------------------------------- assets

    async def _list_assets(self, assets: tuple[Address, ...], at: L1Block) -> None:
        await self._confirm(at)
        known = self._sink.assets
        await self._sink.list_assets(list(assets))
        if self._sink.assets != (*known, *assets):
            raise BrokenInvariant("the ledger did not list what it was told to")
        _log.info("assets_listed", assets=["0x" + asset.hex() for asset in assets], l1_block=at.number)

    # -------------------------------------------------------------------------------------------------------- deposits

    async def _look_at_queues(self, assets: tuple[Address, ...], at: L1Block, seen: Observations) -> Observations:
        counts = dict(seen.counts)
        for asset in assets:
            try:
                counts[asset] = await self._gateway.get_deposit_count(asset, at.number)
            except EthereumFault as fault:
                seen = _give_up(seen, asset, Problem(WatcherSituation.L1_UNREACHABLE, str(fault)))
        self.queued_counts = {**self.queued_counts, **counts}
        return msgspec.structs.replace(seen, counts=counts)

    async def _credit(self, step: Credit, seen: Observations, search: DepositSearch) -> Observations:
        """Of each asset what can be read; an asset whose deposits can not be read keeps back no other's."""
        found: list[FoundDeposit] = []
        for request in step.requests:
            outcome = await self._read(request, search)
            if isinstance(outcome, Problem):
                seen = _give_up(seen, request.asset, outcome)
            else:
                found += outcome
        if found:
            await self._confirm(step.at)
            found.sort(key=lambda one: (one.deposit.l1_block, one.log_index))
            await self._hand_over([one.deposit for one in found])
            if self._decision.progress is WatcherSituation.CATCHING_UP:
                self._caught_up += len(found)
        return msgspec.structs.replace(seen, batches=seen.batches + 1)

    async def _read(self, request: CreditRequest, search: DepositSearch) -> list[FoundDeposit] | Problem:
        """Fewer than are requested, after an endpoint could not bear so many questions at once."""
        count = min(request.count, self._batch.count)
        try:
            outcome = await search.read(request.asset, request.first, count)
        except EthereumFault as fault:
            self._batch.take_refusal(count)
            return Problem(WatcherSituation.L1_UNREACHABLE, str(fault))
        self._batch.take_answer()
        return outcome

    async def _hand_over(self, deposits: list[Deposit]) -> None:
        expected = dict(self._sink.deposit_counts)
        for deposit in deposits:
            expected[deposit.asset] = deposit.index + 1
        noted = [
            CreditedDeposit(one.asset, one.index, one.account, one.amount, Anchor(one.l1_block, one.l1_block_hash))
            for one in deposits
        ]
        await asyncio.to_thread(self._store.put_credited, noted)
        # If we die here, they are noted and not credited; the next life notes them again.
        if self._doubtful:
            self._doubtful = self._store.get_doubtful_deposits()
        await self._sink.credit_deposits(deposits)
        if dict(self._sink.deposit_counts) != expected:
            raise BrokenInvariant("the ledger did not credit the deposits that it was given")
        self._credited += len(deposits)
        _log.info("deposits_credited", count=len(deposits), l1_block=deposits[-1].l1_block)

    def _make_search(self, final: L1Block) -> DepositSearch:
        cursor = self._store.get_cursor()
        return DepositSearch(
            self._gateway,
            final,
            None if cursor is None else Anchor(*cursor),
            self._log_range,
            self._show_search,
        )

    async def _confirm(self, final: L1Block) -> None:
        """Before what can not be undone. Raises `EthereumFault` if the final block was replaced in this look."""
        if (await self._gateway.get_block(final.number)).hash != final.hash:
            raise EthereumFault(f"L1 block {final.number} was replaced while it was read")

    # ----------------------------------------------------------------------------------------------------------- state

    def _enter(self, decision: Decision) -> None:
        before, self._decision = self._decision, decision
        self._lost = compute_lost_count(self._remember(), self.queued_counts)
        problems = decision.problems
        self._detail = problems[0].detail if problems else decision.detail
        known = {problem.situation for problem in before.problems}
        for problem in problems:
            if problem.situation not in known:
                _log.error("watcher_problem", situation=str(problem.situation), detail=problem.detail)
        if decision.situation is before.situation:
            return
        _log.info("watcher_situation", situation=str(decision.situation), before=str(before.situation))
        self._since = self._clock()
        self.change.notify()

    def _show_search(self, first: int, last: int) -> None:
        if self._decision.progress is WatcherSituation.CATCHING_UP and not self._decision.problems:
            self._detail = f"{self._decision.detail}, searching L1 blocks {first} to {last}"


def _give_up(seen: Observations, asset: Address, problem: Problem) -> Observations:
    return msgspec.structs.replace(seen, problems={**seen.problems, asset: problem})
