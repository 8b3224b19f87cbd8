"""What the operator wants to know of a running node, in one record: what waits, what is stuck, what it costs.

Collected from the parts when asked; nothing here is kept. All counts are since the start of the process, unless they
say otherwise. Times are milliseconds since 1970, amounts wei.
"""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from chain.primitives import Address
from node import __version__, metrics
from node.epochs import EpochKeeper
from node.ethereum.committer import Committer, Funds
from node.ethereum.endpoints import EndpointReport, Endpoints
from node.ethereum.reserves import Reserves
from node.ethereum.submission import Attempt, EpochStatus
from node.ethereum.watcher import Watcher
from node.follower import Progress
from node.sequencer import Sequencer
from node.verification import VerifierPool

COMMITMENTS_SHOWN: Final = 10

_DISK_AGE_MS: Final = 10_000
"""How old the disk's figures may become before the files are looked at again."""


class Backlog(msgspec.Struct, frozen=True):
    """Payments that are taken and not answered yet."""

    verifying: int
    ordering: int
    limit: int
    """Beyond it a sender hears `overloaded`."""


class Lag(msgspec.Struct, frozen=True):
    """Journal entries that a follower has not reached."""

    index: int
    sealer: int


class OpenEpoch(msgspec.Struct, frozen=True):
    number: int
    record_count: int
    due_at: int
    """When it will be cut if anything is in it."""
    obstacle: str | None
    """Why it is not, though due."""


class CommitterReport(msgspec.Struct, frozen=True):
    state: str
    is_ok: bool
    since: int
    detail: str
    account: str | None
    """Address of the one that pays; None while its key is not there."""
    sealed_epoch: int
    mined_epoch: int
    final_epoch: int
    lag_epochs: int
    """Sealed, and not mined."""
    lag_ms: int
    """How long the oldest of them has waited."""
    l1_block: int | None
    l1_timestamp: int | None
    funds: Funds
    in_flight: tuple[Attempt, ...]
    """Of all epochs: those of which it is not known what became of them."""
    last: tuple[EpochStatus, ...]
    """Newest first."""


class DepositsWaiting(msgspec.Struct, frozen=True):
    """Of one asset, counted from the first ever."""

    asset: Address
    credited: int
    final: int | None
    """In the contract's queue as of the final L1 block last looked at; None if none has been yet."""
    newest: int | None
    """In the queue as of the newest L1 block that the reserves were read from; None if they have not been yet."""

    @property
    def crediting(self) -> int:
        """Final, and on the way into the ledger."""
        return max(0, (self.final or 0) - self.credited)

    @property
    def unfinal(self) -> int:
        """On Ethereum, in blocks that are not final."""
        return max(0, (self.newest or 0) - max(self.credited, self.final or 0))


class WatcherReport(msgspec.Struct, frozen=True):
    state: str
    is_ok: bool
    since: int
    detail: str
    l1_block: int | None
    """Up to which all is in the ledger."""
    l1_timestamp: int | None
    credited_count: int
    deep_reorgs: int
    deposits: tuple[DepositsWaiting, ...]


class DiskUse(msgspec.Struct, frozen=True):
    """Bytes."""

    parts: tuple[tuple[str, int], ...]
    """What lies in the data directory by name, a file's companions counted with it."""
    free: int
    """Of the file system."""
    problem: str = ""
    """Why there are no figures, if so."""

    @property
    def total(self) -> int:
        return sum([size for _, size in self.parts])


class OperationsReport(msgspec.Struct, frozen=True):
    read_at: int
    started_at: int
    version: str
    backlog: Backlog
    lag: Lag
    epoch: OpenEpoch
    committer: CommitterReport
    watcher: WatcherReport
    refusals: tuple[tuple[str, int], ...]
    """By name, the most frequent first."""
    endpoints: tuple[EndpointReport, ...]
    """Of Ethereum, in the order of preference."""
    quorum: int
    """How many of them must say the same."""
    disk: DiskUse


class Operations:
    """Belongs to the event loop."""

    def __init__(
        self,
        *,
        sequencer: Sequencer,
        verifiers: VerifierPool,
        max_backlog: int,
        durable: Progress,
        indexed: Progress,
        sealed: Progress,
        epochs: EpochKeeper,
        committer: Committer,
        watcher: Watcher,
        get_reserves: Callable[[], Reserves],
        endpoints: Endpoints,
        data_dir: Path,
        clock: Callable[[], int],
    ) -> None:
        """`durable`, `indexed` and `sealed` are heights: of the journal, and of what its followers have of it."""
        self._sequencer = sequencer
        self._verifiers = verifiers
        self._max_backlog = max_backlog
        self._durable = durable
        self._indexed = indexed
        self._sealed = sealed
        self._epochs = epochs
        self._committer = committer
        self._watcher = watcher
        self._get_reserves = get_reserves
        self._endpoints = endpoints
        self._data_dir = data_dir
        self._clock = clock
        self._started_at = clock()
        self._disk: tuple[int, DiskUse] | None = None
        """(when it was looked at in ms, what was seen)"""

    async def report(self) -> OperationsReport:
        disk = await self._look_at_disk()
        return OperationsReport(
            read_at=self._clock(),
            started_at=self._started_at,
            version=__version__,
            backlog=Backlog(self._verifiers.count, self._sequencer.backlog, self._max_backlog),
            lag=Lag(self._durable.value - self._indexed.value, self._durable.value - self._sealed.value),
            epoch=OpenEpoch(
                self._sequencer.durable_epoch,
                self._sequencer.epoch_records,
                self._epochs.due_at,
                self._epochs.obstacle,
            ),
            committer=self._report_committer(),
            watcher=self._report_watcher(),
            refusals=tuple(sorted(metrics.count_refusals().items(), key=lambda item: (-item[1], item[0]))),
            endpoints=self._endpoints.report(),
            quorum=self._endpoints.quorum,
            disk=disk,
        )

    def _report_committer(self) -> CommitterReport:
        committer = self._committer
        status, newest = committer.status(), committer.newest_sealed_epoch
        epochs = [committer.get_epoch(epoch) for epoch in range(newest, max(0, newest - COMMITMENTS_SHOWN), -1)]
        return CommitterReport(
            state=status["state"],
            is_ok=status["is_ok"],
            since=status["since"],
            detail=status["detail"],
            account=status["account"],
            sealed_epoch=status["sealed_epoch"],
            mined_epoch=status["mined_epoch"],
            final_epoch=status["final_epoch"],
            lag_epochs=status["lag_epochs"],
            lag_ms=status["lag_ms"],
            l1_block=status["l1_block"],
            l1_timestamp=status["l1_timestamp"],
            funds=committer.get_funds(),
            in_flight=committer.attempts_in_flight,
            last=tuple([epoch for epoch in epochs if epoch is not None]),
        )

    def _report_watcher(self) -> WatcherReport:
        status, state = self._watcher.status(), self._sequencer.state
        reading = self._get_reserves().reading
        newest = {} if reading is None else {line.asset: line.queued_count for line in reading.lines}
        return WatcherReport(
            state=status["state"],
            is_ok=status["is_ok"],
            since=status["since"],
            detail=status["detail"],
            l1_block=status["l1_block"],
            l1_timestamp=status["l1_timestamp"],
            credited_count=status["deposits_credited"],
            deep_reorgs=status["deep_reorgs"],
            deposits=tuple(
                [
                    DepositsWaiting(
                        asset,
                        state.deposit_counts.get(asset, 0),
                        self._watcher.queued_counts.get(asset),
                        newest.get(asset),
                    )
                    for asset in state.assets
                ]
            ),
        )

    async def _look_at_disk(self) -> DiskUse:
        if self._disk is None or not 0 <= self._clock() - self._disk[0] < _DISK_AGE_MS:
            self._disk = (self._clock(), await asyncio.to_thread(measure_disk, self._data_dir))
        return self._disk[1]


def measure_disk(directory: Path) -> DiskUse:
    """Sizes as the files have them, holes included."""
    try:
        sizes: dict[str, int] = {}
        with os.scandir(directory) as entries:
            for entry in entries:
                # SQLite's log and shared memory, say, lie beside the file that they belong to.
                name = entry.name.removesuffix("-wal").removesuffix("-shm")
                sizes[name] = sizes.get(name, 0) + _measure(entry)
        return DiskUse(tuple(sorted(sizes.items())), shutil.disk_usage(directory).free)
    except OSError as error:
        return DiskUse((), 0, str(error))


def _measure(entry: "os.DirEntry[str]") -> int:
    try:
        if not entry.is_dir(follow_symlinks=False):
            return entry.stat(follow_symlinks=False).st_size
        with os.scandir(entry.path) as entries:
            return sum([_measure(inner) for inner in entries])
    except FileNotFoundError:
        return 0  # compacted away while we looked
