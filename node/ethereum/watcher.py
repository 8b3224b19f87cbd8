"""The watcher: brings deposits and new assets from Ethereum into the ledger, each exactly once.

Only final L1 blocks are read; when the chain's own finality lags so long that waiting for it would end the ledger by
silence, a number of confirmations counts instead, and the situation says so. What is new is what the contract's own
queue holds beyond the deposits that the ledger has: the ledger's count is the cursor, so a gap or a repetition can not
happen, whatever the logs say and wherever we died. Logs only add where a deposit happened; how far they were read is
noted, to find the next ones sooner.

Knowingly missing: a reorganisation deeper than the confirmations can replace a deposit that was credited by another one
with the same index. It is counted and logged, not undone; the count of confirmations is where that risk is chosen.
"""

import asyncio
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec
import structlog

from chain.block import Deposit, make_deposit
from chain.errors import BrokenInvariant
from chain.primitives import Address
from node.ethereum.change import Change
from node.ethereum.faults import EthereumFault, WrongDeployment
from node.ethereum.gateway import Gateway
from node.ethereum.l1 import Deployment, DepositEvent, L1Block, QueuedDeposit
from node.ethereum.store import EthereumStore

_MAX_PAUSE_MS: Final = 30_000

LAGGING_CONFIRMATIONS: Final = 64
"""L1 blocks, its own counted, after which an L1 block must do as final while the chain's own finality lags too long:
two of Ethereum's epochs, what finality takes when all is well."""

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


class WatcherSettings(msgspec.Struct, frozen=True):
    confirmations: int | None = None
    """L1 blocks, its own counted, after which an L1 block counts as final; None: what the chain calls finalized."""
    poll_interval_ms: int = 4_000
    log_range: int = 2_000
    """L1 blocks that one query for logs covers; endpoints limit it."""
    batch_size: int = 500
    """Deposits of one asset that are read, and handed over, at once."""

    def __post_init__(self) -> None:
        for name in ("poll_interval_ms", "log_range", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive")
        if self.confirmations is not None and self.confirmations < 1:
            raise ValueError("confirmations must be positive")


class WatcherSituation(StrEnum):
    STARTING = "starting"
    WAITING_FOR_FINALITY = "waiting_for_finality"
    """The contract is younger than the newest final L1 block."""
    CATCHING_UP = "catching_up"
    SYNCED = "synced"

    # What follows needs somebody's eyes.
    FINALITY_LAGS = "finality_lags"
    """What the chain calls finalized is older than half of the silence that the contract bears: a number of
    confirmations counts instead, and a reorganisation could take away what is credited."""
    DEPOSITS_VANISHED = "deposits_vanished"
    """The ledger has credited more than final L1 blocks hold: a reorganisation deeper than the confirmations."""
    L1_UNREACHABLE = "l1_unreachable"
    WRONG_CHAIN = "wrong_chain"
    NO_CONTRACT = "no_contract"
    WRONG_CONTRACT = "wrong_contract"


ORDINARY: Final = frozenset(
    (
        WatcherSituation.STARTING,
        WatcherSituation.WAITING_FOR_FINALITY,
        WatcherSituation.CATCHING_UP,
        WatcherSituation.SYNCED,
    )
)
"""Everything else is an alarm."""


class Synced(msgspec.Struct, frozen=True):
    """Every deposit, and every asset in force, up to and with this L1 block is in the ledger."""

    l1_block: int
    l1_timestamp: int
    """Seconds."""


class _DepositsVanished(Exception):
    pass


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
        self._situation = WatcherSituation.STARTING
        self._detail = ""
        self._since = clock()
        self._faults = 0
        self._deep_reorgs = 0
        self._credited = 0
        self._final: L1Block | None = None
        self._is_list_checked = False

    def status(self) -> dict[str, Any]:
        """For health, metrics and pages. Times in milliseconds."""
        return {
            "state": str(self._situation),
            "is_ok": self._situation in ORDINARY,
            "since": self._since,
            "detail": self._detail,
            "l1_block": None if self.synced is None else self.synced.l1_block,
            "l1_timestamp": None if self.synced is None else self.synced.l1_timestamp * 1000,
            "deposits_credited": self._credited,
            "deep_reorgs": self._deep_reorgs,
        }

    # -------------------------------------------------------------------------------------------------------- the loop

    async def run(self) -> None:
        while True:
            await self.tick()
            pause_ms = min(self._settings.poll_interval_ms << min(self._faults, 16), _MAX_PAUSE_MS)
            await asyncio.sleep(max(pause_ms, self._settings.poll_interval_ms) / 1000)

    async def tick(self) -> None:
        """One look at the newest final block, and all that follows from it. Outside faults become the situation; what
        was credited before one stays credited, and the next tick goes on from there."""
        try:
            await self._step()
        except EthereumFault as fault:
            self._faults += 1
            self._enter(WatcherSituation.L1_UNREACHABLE, str(fault))
        except WrongDeployment as error:
            self._faults += 1
            self._enter(WatcherSituation(error.code), str(error))
        except _DepositsVanished as error:
            self._enter(WatcherSituation.DEPOSITS_VANISHED, str(error))
        else:
            self._faults = 0

    async def _step(self) -> None:
        await self._gateway.verify()
        latest = await self._gateway.get_block("latest")
        final, situation = await self._find_final(latest)
        if final.timestamp <= self._deployment.deployed_at:
            self._enter(WatcherSituation.WAITING_FOR_FINALITY, f"final is block {final.number} of {final.timestamp} s")
            return
        if self._final is not None and (final.hash == self._final.hash or final.number < self._final.number):
            # Nothing new, or an endpoint that lags behind what was final already.
            self._enter(situation, "")
            return
        low = await self._find_first_unread(final)
        await self._list_assets(final)
        await self._credit_deposits(low, final)
        await asyncio.to_thread(self._store.set_cursor, final.number, final.hash)
        self._final = final
        self.synced = Synced(final.number, final.timestamp)
        self._enter(situation, "")
        self.change.notify()

    async def _find_final(self, latest: L1Block) -> tuple[L1Block, WatcherSituation]:
        """The newest final block, and what to call it once all up to it is read. No epoch is cut without a final block
        after the last cut, so to wait for the chain's finality for too long would end the ledger by silence."""
        final = await self._gateway.get_final_block(latest, self._settings.confirmations)
        lag = latest.timestamp - final.timestamp
        if self._settings.confirmations is not None or 2 * lag <= self._deployment.max_silence:
            return final, WatcherSituation.SYNCED
        confirmed = await self._gateway.get_final_block(latest, LAGGING_CONFIRMATIONS)
        return max(final, confirmed, key=lambda block: block.number), WatcherSituation.FINALITY_LAGS

    # ---------------------------------------------------------------------------------------------------------- assets

    async def _list_assets(self, final: L1Block) -> None:
        known = self._sink.assets
        if not self._is_list_checked:
            listed = [line.asset for line in await self._gateway.get_assets(0, final.number)]
            if tuple(listed[: len(known)]) != known:
                raise WrongDeployment("wrong_contract", "the ledger's assets are not those that the contract lists")
            self._is_list_checked = True
        added = []
        for line in await self._gateway.get_assets(len(known), final.number):
            if line.listed_at > final.timestamp:
                break  # the delay is the same for all, so none after it is in force either
            added.append(line.asset)
        if added:
            await self._sink.list_assets(added)
            if self._sink.assets != (*known, *added):
                raise BrokenInvariant("the ledger did not list what it was told to")
            _log.info("assets_listed", assets=["0x" + asset.hex() for asset in added], l1_block=final.number)

    # -------------------------------------------------------------------------------------------------------- deposits

    async def _credit_deposits(self, low: int, final: L1Block) -> None:
        """All that the contract has queued up to the final block, in batches, so that a long absence is caught up in
        bounded pieces. `low`: no event of a deposit that is not credited yet lies before this block."""
        counts = {asset: await self._gateway.get_deposit_count(asset, final.number) for asset in self._sink.assets}
        self.queued_counts = counts
        for asset, count in counts.items():
            credited = self._sink.deposit_counts.get(asset, 0)
            if credited > count:
                raise _DepositsVanished(
                    f"{credited} deposits of 0x{asset.hex()} are credited, {count} are final at L1 block {final.number}"
                )
        while missing := {
            asset: count - self._sink.deposit_counts.get(asset, 0)
            for asset, count in counts.items()
            if count > self._sink.deposit_counts.get(asset, 0)
        }:
            if sum(missing.values()) > self._settings.batch_size:
                self._enter(WatcherSituation.CATCHING_UP, f"{sum(missing.values())} deposits to credit")
            found: list[tuple[QueuedDeposit, DepositEvent]] = []
            for asset, count in missing.items():
                found += await self._read_deposits(asset, min(count, self._settings.batch_size), low, final)
            await self._hand_over(found)

    async def _read_deposits(
        self, asset: Address, count: int, low: int, final: L1Block
    ) -> list[tuple[QueuedDeposit, DepositEvent]]:
        """The next `count` deposits of the queue, each with the event that it left."""
        first = self._sink.deposit_counts.get(asset, 0)
        queued = await self._gateway.get_deposits(asset, first, count, final.number)
        events: dict[int, DepositEvent] = {}
        range_first = low
        if final.number - low >= self._settings.log_range:
            range_first = await self._gateway.find_block_at(queued[0].timestamp, low, final.number)
        while len(events) < count and range_first <= final.number:
            range_last = min(range_first + self._settings.log_range - 1, final.number)
            for event in await self._gateway.get_deposit_events(asset, range_first, range_last):
                if first <= event.index < first + count:
                    events[event.index] = event
            range_first = range_last + 1
        return [(deposit, _match(deposit, events.get(deposit.index))) for deposit in queued]

    async def _hand_over(self, found: list[tuple[QueuedDeposit, DepositEvent]]) -> None:
        found.sort(key=lambda pair: (pair[1].l1_block, pair[1].log_index))
        expected = dict(self._sink.deposit_counts)
        deposits = []
        for queued, event in found:
            expected[queued.asset] = queued.index + 1
            deposits.append(
                make_deposit(
                    asset=queued.asset,
                    index=queued.index,
                    account=queued.account,
                    amount=queued.amount,
                    l1_block=event.l1_block,
                    l1_block_hash=event.l1_block_hash,
                    l1_transaction=event.l1_transaction,
                )
            )
        await self._sink.credit_deposits(deposits)
        if dict(self._sink.deposit_counts) != expected:
            raise BrokenInvariant("the ledger did not credit the deposits that it was given")
        self._credited += len(deposits)
        _log.info("deposits_credited", count=len(deposits), l1_block=deposits[-1].l1_block)

    async def _find_first_unread(self, final: L1Block) -> int:
        """The first L1 block whose deposits may not be credited yet: after the cursor, if its block is still there."""
        cursor = self._store.get_cursor()
        if cursor is not None:
            number, block_hash = cursor
            if number > final.number:
                raise EthereumFault(f"the endpoint lags: block {number} was final, for it {final.number} is")
            if (await self._gateway.get_block(number)).hash == block_hash:
                return number + 1
            self._deep_reorgs += 1
            _log.error("final_l1_block_replaced", l1_block=number, l1_block_hash="0x" + block_hash.hex())
            await asyncio.to_thread(self._store.forget_cursor)
        return await self._gateway.find_block_at(self._deployment.deployed_at, 0, final.number)

    # ----------------------------------------------------------------------------------------------------------- state

    def _enter(self, situation: WatcherSituation, detail: str) -> None:
        self._detail = detail
        if situation is self._situation:
            return
        log = _log.info if situation in ORDINARY else _log.error
        log("watcher_situation", situation=str(situation), detail=detail, before=str(self._situation))
        self._situation, self._since = situation, self._clock()
        self.change.notify()


def _match(queued: QueuedDeposit, event: DepositEvent | None) -> DepositEvent:
    """The contract's queue and the logs must say the same."""
    if event is None:
        raise EthereumFault(f"the endpoint's logs lack deposit {queued.index} of 0x{queued.asset.hex()}")
    if (event.account, event.amount) != (queued.account, queued.amount):
        raise EthereumFault(f"the endpoint's logs contradict deposit {queued.index} of 0x{queued.asset.hex()}")
    return event
