"""Our node, as far as Ethereum concerns it: a journal that survives, the real committer, watcher, epoch keeper and
store, and a life that may end before or after any write and any question."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from coincurve import PrivateKey
from eth_account import Account
from eth_account.signers.local import LocalAccount

from chain.block import Deposit
from chain.commitment import AssetCommitment, Commitment, hash_commitment
from chain.hashing import keccak
from chain.params import Parameters
from chain.primitives import ZERO_HASH, Address, Hash, Signature
from node.epochs import EpochKeeper, Timing
from node.ethereum.commit_decision import ORDINARY, CommitterSettings, Situation
from node.ethereum.committer import Committer
from node.ethereum.endpoint import VerifiedTransport
from node.ethereum.gateway import Gateway
from node.ethereum.l1 import Deployment
from node.ethereum.settlement_view import SettlementView
from node.ethereum.store import EthereumStore
from node.ethereum.watcher import Watcher, WatcherSettings

ACCOUNT: LocalAccount = Account.from_key(b"\x02" * 32)
OPERATOR = PrivateKey(b"\x01" * 32)
EPOCH_SECONDS = 3600
_BUSY_SECONDS, _IDLE_SECONDS = 12, 600
"""Between two looks: while something waits, and while nothing does. The node itself looks every 4 s."""


class Crashed(BaseException):
    """The power goes off."""


class Fate:
    """When the node dies: before or after which of its steps."""

    def __init__(self) -> None:
        self.steps_left: int | None = None
        self.is_dead = False
        self.died = asyncio.Event()
        self.step_count = 0

    def begin(self) -> None:
        self.is_dead = False
        self.died = asyncio.Event()

    def kill(self) -> None:
        self.is_dead = True
        self.steps_left = None
        self.died.set()

    def step(self) -> None:
        """Raises `Crashed` when it is time, and ever after."""
        self.step_count += 1
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left <= 0:
                self.kill()
        if self.is_dead:
            raise Crashed


class MortalStore(EthereumStore):
    """Every write is whole or not at all; before it and after it, all may end."""

    fate: Fate | None = None

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Cursor]:
        if self.fate is not None:
            self.fate.step()
        with super()._write() as cursor:
            yield cursor
        if self.fate is not None:
            self.fate.step()


class LedgerState(msgspec.Struct):
    epoch: int
    last_cut_at: int
    timestamp: int


class Cut(msgspec.Struct, frozen=True):
    epoch: int
    cut_at: int
    lines: tuple[tuple[Address, int, int], ...]
    """(asset, deposits, sum of them)"""


class Journal:
    """What the node never loses: deposits, cuts, seals. Also the sequencer and the sealer over it."""

    def __init__(self, parameters: Parameters, fate: Fate) -> None:
        self._parameters = parameters
        self._fate = fate
        self.assets: tuple[Address, ...] = ()
        self.deposits: list[Deposit] = []
        self.deposit_counts: Mapping[Address, int] = {}
        self._totals: dict[Address, int] = {}
        self.cuts: list[Cut] = []
        self.seals: list[tuple[Commitment, Signature]] = []
        self.sealed_at: list[float] = []
        """By the true time."""
        self.epoch_records = 0
        self.now: Callable[[], float] = lambda: 0.0
        self.state = LedgerState(1, parameters.first_cut_at, 0)

    # --- the sink of the watcher

    async def list_assets(self, assets: list[Address]) -> None:
        self._fate.step()
        for asset in assets:
            assert asset not in self.assets, "listed twice"
            self.assets = (*self.assets, asset)
        self._fate.step()

    async def credit_deposits(self, deposits: list[Deposit]) -> None:
        for deposit in deposits:
            self._fate.step()
            index = self.deposit_counts.get(deposit.asset, 0)
            assert deposit.asset in self.assets, "a deposit of an asset that is not listed"
            assert deposit.index == index, "a gap, or a repetition"
            self.deposit_counts = {**self.deposit_counts, deposit.asset: index + 1}
            self._totals[deposit.asset] = self._totals.get(deposit.asset, 0) + deposit.amount
            self.deposits.append(deposit)
            self.epoch_records += 1
        self._fate.step()

    # --- the sequencer of the epoch keeper

    async def cut(self, clock: Callable[[], int]) -> int:
        cut_at = max(clock(), self.state.timestamp)
        self._fate.step()
        lines = tuple([(asset, self.deposit_counts.get(asset, 0), self._totals.get(asset, 0)) for asset in self.assets])
        self.cuts.append(Cut(self.state.epoch, cut_at, lines))
        self.state = LedgerState(self.state.epoch + 1, cut_at, cut_at)
        self.epoch_records = 0
        self._fate.step()
        return cut_at

    async def append_seal(self, commitment: Commitment, signature: Signature) -> None:
        self._fate.step()
        assert commitment.epoch == len(self.seals) + 1
        self.seals.append((commitment, signature))
        self.sealed_at.append(self.now())
        self._fate.step()

    # --- the sealer

    def seal(self, cut: Cut) -> Commitment:
        previous = self.seals[cut.epoch - 2][0] if cut.epoch > 1 else None
        digest = ZERO_HASH if previous is None else hash_commitment(previous, self._parameters.domain)
        first_block = 1 if previous is None else previous.last_block + 1
        lines = [
            AssetCommitment(asset, keccak(b"%d" % cut.epoch), total, count, count, 0, ZERO_HASH, 0, 0)
            for asset, count, total in cut.lines
        ]
        root = keccak(cut.cut_at.to_bytes(8))
        return Commitment(cut.epoch, digest, first_block, first_block + 2, cut.cut_at, root, ZERO_HASH, tuple(lines))


class Node:
    """One life after the other. `run` ends only by cancellation, or by an error that no life may end with."""

    def __init__(
        self,
        make_transport: Callable[[], VerifiedTransport],
        deployment: Deployment,
        committer_settings: CommitterSettings,
        watcher_settings: WatcherSettings,
        path: Path,
        clock: Callable[[], int],
        fate: Fate,
        observe: Callable[["Node"], None],
    ) -> None:
        """`clock`: milliseconds since 1970, as wrong as it may be. `observe` is called after each look."""
        self.fate = fate
        self.parameters = Parameters(
            deployment.l1_chain_id, deployment.settlement, deployment.native_asset, deployment.deployed_at
        )
        self.journal = Journal(self.parameters, fate)
        self.path = path
        self.down_seconds: Callable[[], float] = lambda: 5.0
        """How long it takes until the next life."""
        self.is_file_lost: Callable[[], bool] = lambda: False
        """Whether the next life finds no `ethereum.sqlite`."""
        self.life_count = 0
        self.born_at = 0.0
        self.committer: Committer | None = None
        self.watcher: Watcher | None = None
        self.keeper: EpochKeeper | None = None
        self.losses = 0
        self._make_transport = make_transport
        self._deployment = deployment
        self._committer_settings = committer_settings
        self._watcher_settings = watcher_settings
        self._clock = clock
        self._observe = observe
        self._wake = asyncio.Event()
        self._file: sqlite3.Connection | None = None

    def is_stored(self, raw: bytes) -> bool:
        """Whether the file holds this transaction, for whoever else looks into it."""
        if self._file is None:
            self._file = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        found = self._file.execute("SELECT 1 FROM attempt WHERE hash = ? AND raw = ?", (keccak(raw), raw)).fetchone()
        return found is not None

    async def run(self) -> None:
        while True:
            await self._live()
            self.committer = self.watcher = self.keeper = None
            await asyncio.sleep(self.down_seconds())
            if self.is_file_lost():
                self.losses += 1
                for file in self.path.parent.glob(self.path.name + "*"):
                    file.unlink()

    async def _live(self) -> None:
        """From a start to its end. All that a start needs is on disk."""
        self.fate.begin()
        self.life_count += 1
        self.born_at = asyncio.get_running_loop().time()
        transport = self._make_transport()
        tasks: list[asyncio.Task[None]] = []
        store = MortalStore(self.path, self._deployment.l1_chain_id, self._deployment.settlement)
        try:
            store.fate = self.fate
            gateway = Gateway(transport, self._deployment.l1_chain_id, self._deployment.settlement)
            await self._open(gateway, store)
            for loop in (self._commit, self._watch, self._keep_epochs):
                tasks.append(asyncio.create_task(loop()))
            tasks.append(asyncio.create_task(self._die()))
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except Crashed:
            self.fate.kill()
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, BaseException) and not isinstance(outcome, (Crashed, asyncio.CancelledError)):
                    raise outcome
            with contextlib.suppress(Crashed):
                await transport.close()
            if self._file is not None:
                self._file.close()
                self._file = None
            store.close()

    async def _die(self) -> None:
        await self.fate.died.wait()

    async def _open(self, gateway: Gateway, store: EthereumStore) -> None:
        journal, deployment = self.journal, self._deployment
        self.watcher = Watcher(gateway, store, journal, deployment, self._watcher_settings, self._clock)
        self.committer = Committer(gateway, store, ACCOUNT, deployment, self._committer_settings, self._clock)
        if journal.seals:
            await self.committer.submit(*journal.seals[-1])
        view = SettlementView(self.watcher, self.committer, self._first_deposit_at)
        timing = Timing(EPOCH_SECONDS, deployment.min_interval, deployment.max_silence, 900)
        self.keeper = EpochKeeper(
            journal,  # type: ignore[arg-type]
            view,
            timing,
            self.parameters,
            OPERATOR,
            len(journal.seals),
            self._clock,
            self.committer.submit,
        )
        await self._seal()

    def _first_deposit_at(self) -> int:
        return self._deployment.deployed_at if self.journal.deposits else 0

    async def _seal(self) -> None:
        journal = self.journal
        assert self.keeper is not None
        for cut in journal.cuts[len(journal.seals) :]:
            await self.keeper.take_sealed(journal.seal(cut))
            self._wake.set()

    # -------------------------------------------------------------------------------------------------------- the loops

    async def _commit(self) -> None:
        committer = self.committer
        assert committer is not None
        while True:
            self._wake.clear()
            await committer.tick()
            if self.fate.is_dead:
                raise Crashed
            self._observe(self)
            situation = committer.status()["state"]
            is_idle = situation == Situation.IDLE and not committer.attempts_in_flight
            is_settled = situation == Situation.IDLE and committer.newest_sealed_epoch == committer.mined_epoch
            pause = _IDLE_SECONDS if is_idle or is_settled else _BUSY_SECONDS
            if situation not in ORDINARY:
                pause = 4 * _BUSY_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def _watch(self) -> None:
        watcher = self.watcher
        assert watcher is not None
        while True:
            await watcher.tick()
            if self.fate.is_dead:
                raise Crashed
            await asyncio.sleep(_IDLE_SECONDS if watcher.status()["is_ok"] else 10 * _BUSY_SECONDS)

    async def _keep_epochs(self) -> None:
        assert self.keeper is not None
        while True:
            await self.keeper.step()
            await self._seal()
            await asyncio.sleep(60)


def list_hashes(seals: Sequence[tuple[Commitment, Signature]], parameters: Parameters) -> list[Hash]:
    return [hash_commitment(commitment, parameters.domain) for commitment, _ in seals]
