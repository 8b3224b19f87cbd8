"""The wiring: every part made, joined, run together, and stopped in order.

Data flows one way: edge → verifiers → sequencer → journal → receipts, and from the journal on to the index, the sealer,
and Ethereum. Whatever fails for good ends the whole process; what a restart finds on disk is all it needs.
"""

import asyncio
import contextlib
import fcntl
import logging
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog
import uvicorn
import uvloop
from coincurve import PrivateKey
from eth_account.signers.local import LocalAccount

from chain.block import Deposit
from chain.commitment import decode_commitment
from chain.payment import SignedPayment
from chain.primitives import ETHER, Address, Hash
from chain.signatures import compute_address
from chain.wire import decode_address, encode_address
from explorer.app import Explorer
from explorer.sources import Readers, Sources
from node import metrics
from node.archive import Archive
from node.catalogue import Catalogue
from node.clock import LedgerClock
from node.collector import relax_collector
from node.config import ConfigurationError, NodeConfig, read_operator_token
from node.deployment import open_deployment
from node.entries import BlockEntry, decode_entry
from node.epochs import EpochKeeper, Timing
from node.escrow import Escrow, confirm_escrow
from node.ethereum.commit_decision import CommitterSettings
from node.ethereum.committer import Committer, FundsLevel
from node.ethereum.endpoints import Endpoints, EndpointState, open_endpoints
from node.ethereum.faults import EthereumFault, WrongDeployment
from node.ethereum.gateway import Gateway
from node.ethereum.gauges import set_gauges
from node.ethereum.l1 import Deployment
from node.ethereum.reserves import INTERVAL_MS, ReservesReader
from node.ethereum.settlement_view import SettlementView
from node.ethereum.store import EthereumStore
from node.ethereum.watch_decision import WatcherSettings
from node.ethereum.watcher import Watcher
from node.follower import Follower, Progress
from node.health import MAX_INDEX_LAG, Check, Health
from node.index import IndexReader
from node.journal import LevelDBJournal
from node.keys import KeyMissing, open_account, open_signing_key
from node.ledger_info import AssetInfo, LedgerInfo, Position
from node.open_files import compute_max_connections, raise_limit
from node.opening import Missing, Opening, Server
from node.operations import Operations
from node.process import WorkerProcess
from node.proofs import ProofReader
from node.recovery import Recovered, open_ledger, read_header, recover
from node.rpc.feed import Feed
from node.rpc.methods import Methods
from node.rpc.protocol import MAX_HEADERS, limit_connections, refuse_head
from node.rpc.server import Receive, RpcServer, Scope, Send
from node.rpc.websocket import PATH as WEBSOCKET_PATH
from node.rpc.websocket import PING_INTERVAL_SECONDS, PING_TIMEOUT_SECONDS, SocketProtocol, WebSocketServer
from node.sequencer import PublishedBlock, Sequencer
from node.snapshots import find_newest_snapshot
from node.verification import VerifierPool

_MAX_REMEMBERED: Final = 2_000_000
"""Payments that the index may lack when serving begins; with more, it is waited for."""

_BLOCK_INTERVAL_SECONDS: Final = 0.001
"""Under load only: a payment that comes when no block has been begun for this long leaves at once."""

_GATHER_SECONDS: Final = 0.02
"""Between two messages to a follower. SQLite writes whole pages: one transaction for several blocks spares the disk
that the journal is synced to."""

RECURSION_LIMIT: Final = 1_000
"""Python's own default."""

_GRACE_SECONDS: Final = 5
"""For requests that are being answered when the node is told to stop."""

_Result = TypeVar("_Result")

_log = structlog.get_logger(__name__)


def run(config: NodeConfig, on_ready: Callable[[int], None] | None = None, parent_fd: int | None = None) -> None:
    """Runs a node until SIGTERM, SIGINT, or end of file on `parent_fd`. `on_ready` hears the port once requests are
    answered.

    Raises `ConfigurationError`, `DifferentLedger`, `WrongDeployment`, OSError (port taken, disk), and whatever ended a
    part that must not end: `JournalFailed`, `JournalBehindChain`, `BrokenInvariant`, `ChannelClosed`, …
    """
    # Some of what is imported raises it beyond what a stack holds: deeply nested JSON would then end the process.
    sys.setrecursionlimit(RECURSION_LIMIT)
    configure_logging(config)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(Node(config, on_ready, parent_fd).run())
        except BaseExceptionGroup as group:
            raise _find_cause(group) from group


def configure_logging(config: NodeConfig) -> None:
    """Structured lines on standard error: JSON, or for people."""
    renderer: Any = (
        structlog.processors.JSONRenderer() if config.log_format == "json" else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[config.log_level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def read_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class JournalBehindChain(RuntimeError):
    """The contract holds commitments that this journal knows nothing of. Restore the newest journal."""


class _Sink:
    """The ledger as the watcher sees it."""

    def __init__(self, sequencer: Sequencer, info: LedgerInfo) -> None:
        self._sequencer = sequencer
        self._info = info

    @property
    def assets(self) -> tuple[Address, ...]:
        return self._sequencer.state.assets

    @property
    def deposit_counts(self) -> Mapping[Address, int]:
        return self._sequencer.state.deposit_counts

    async def list_assets(self, assets: list[Address]) -> None:
        for asset in assets:
            await self._sequencer.list_asset(asset)
            self._info.take_asset(asset)

    async def credit_deposits(self, deposits: list[Deposit]) -> None:
        await self._sequencer.credit_deposits(deposits)
        metrics.DEPOSITS.inc(len(deposits))


class Node:
    """One run of the service. Parts are attributes, made in `_open` in the order in which they need each other."""

    def __init__(
        self, config: NodeConfig, on_ready: Callable[[int], None] | None = None, parent_fd: int | None = None
    ) -> None:
        self._config = config
        self._on_ready = on_ready
        self._parent_fd = parent_fd
        self._data_dir = Path(config.data_dir)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        if self._parent_fd is not None:
            # Nobody writes to it: it becomes readable when the parent, its only writer, has ended.
            loop.add_reader(self._parent_fd, self._stopping.set)
        with _bind(self._config.host, self._config.port) as listener:
            self._opening = Opening(listener)
            try:
                async with self._open():
                    await self._serve(listener)
            except* _Stopped:
                _log.info("stopped before serving")

    # --- opening

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        """Everything from disk, in a state to serve; closed again in the opposite order."""
        config = self._config
        escrow_key = None if config.escrow is None else open_signing_key(config.escrow, "escrow")
        gas_account = self._find_gas_account()
        operator_key = await self._or_stop(
            self._opening.wait_for(Missing.OPERATOR_KEY, self._find_operator_key, KeyMissing)
        )
        self._keys = {"operator": operator_key, "escrow": escrow_key}
        _check_keys_apart(operator=operator_key, gas=_get_key(gas_account), escrow=escrow_key)
        self._data_dir.mkdir(parents=True, exist_ok=True)
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(_lock(self._data_dir))
            settlement = decode_address(config.ethereum.settlement, "ethereum.settlement")
            ethereum = config.ethereum
            self._endpoints = open_endpoints(ethereum.urls, ethereum.chain_id, settlement, ethereum.quorum)
            gateway = Gateway(self._endpoints, ethereum.chain_id, settlement)
            stack.push_async_callback(gateway.close)
            deployment = await self._or_stop(
                self._opening.wait_for(
                    Missing.DEPLOYMENT,
                    lambda: open_deployment(self._data_dir / "deployment.json", gateway),
                    EthereumFault,
                )
            )
            _check_deployment(deployment, config, settlement, compute_address(operator_key.public_key))
            journal = LevelDBJournal(self._data_dir / "journal")
            stack.callback(journal.close)
            parameters = deployment.make_parameters(config.market.to_market())
            genesis = open_ledger(journal, parameters)
            recovered = recover(journal, self._data_dir / "snapshots", parameters, operator_key)
            store = EthereumStore(self._data_dir / "ethereum.sqlite", config.ethereum.chain_id, settlement)
            stack.callback(store.close)
            self._gateway, self._journal, self._deployment = gateway, journal, deployment
            self._parameters = parameters
            self._escrow = Escrow(parameters.domain, escrow_key)
            confirm_escrow(self._data_dir / "escrow.public", self._escrow)
            await self._open_ledger(stack, genesis, recovered, operator_key)
            await self._open_settlement(stack, store, gas_account, recovered, operator_key)
            yield

    async def _find_operator_key(self) -> PrivateKey:
        return await asyncio.to_thread(open_signing_key, self._config.operator, "operator")  # it takes a second

    def _find_gas_account(self) -> LocalAccount | None:
        """None while its file is not there. Raises `ConfigurationError` for one that is, and cannot be used."""
        try:
            return open_account(self._config.gas, "gas")
        except KeyMissing as error:
            _log.warning("there is no key to pay for commitments with", problem=str(error))
            return None

    async def _open_ledger(
        self, stack: contextlib.AsyncExitStack, genesis: bytes, recovered: Recovered, operator_key: PrivateKey
    ) -> None:
        """The sequencer, its verifiers, and the workers that follow the journal."""
        parameters, journal = self._parameters, self._journal
        self._durable = Progress(journal.height)
        # Dated so far ahead at most, everything can still be committed well before the silence that halts the contract.
        max_lead = max(self._config.max_clock_lead_seconds, self._deployment.max_silence // 4)
        self._clock = LedgerClock(read_clock_ms, lambda: self._settlement.newest_l1_time, max_lead)
        self._sequencer = Sequencer(
            recovered.state, journal, operator_key, self._clock, self._take_durable, _BLOCK_INTERVAL_SECONDS
        )
        self._sequencer.epoch_records = recovered.epoch_records
        self._verifiers = await VerifierPool.start(self._config.verifiers, parameters.domain)
        stack.push_async_callback(self._verifiers.stop)

        index_path = self._data_dir / "index.sqlite"
        indexer = await WorkerProcess.start("indexer", str(index_path))
        stack.push_async_callback(indexer.stop)
        indexer.send((parameters.genesis_hash, journal.height))
        indexed_height = await indexer.receive()
        self._indexer = Follower(indexer, journal, self._durable, indexed_height, self._take_indexed, _GATHER_SECONDS)
        self._index = IndexReader(index_path)
        stack.callback(self._index.close)

        proofs_path, snapshots = self._data_dir / "proofs.sqlite", self._data_dir / "snapshots"
        proven_epoch = ProofReader.read_epoch(proofs_path, parameters.genesis_hash)
        # A cut whose seal is not in the journal must be sealed again: the sealer begins before it.
        snapshot = find_newest_snapshot(snapshots, parameters, journal, min(proven_epoch, recovered.sealed_epoch))
        sealer = await WorkerProcess.start("sealer", str(proofs_path), str(snapshots))
        stack.push_async_callback(sealer.stop)
        sealer.send((genesis, None if snapshot is None else snapshot.name))
        sealed_height = await sealer.receive()
        self._sealer = Follower(sealer, journal, self._durable, sealed_height, self._take_sealed, _GATHER_SECONDS)
        self._proofs = ProofReader(proofs_path)
        stack.callback(self._proofs.close)

    async def _open_settlement(
        self,
        stack: contextlib.AsyncExitStack,
        store: EthereumStore,
        gas_account: LocalAccount | None,
        recovered: Recovered,
        operator_key: PrivateKey,
    ) -> None:
        """What speaks to Ethereum, and what is shown to the world."""
        config, deployment, parameters = self._config, self._deployment, self._parameters
        ethereum = config.ethereum
        poll_ms = int(ethereum.poll_seconds * 1000)
        self._info = LedgerInfo(parameters, deployment.operator, self._get_position)
        for asset in self._sequencer.state.assets:
            self._info.take_asset(asset)
        self._watcher = Watcher(
            self._gateway,
            store,
            _Sink(self._sequencer, self._info),
            deployment,
            WatcherSettings(confirmations=ethereum.confirmations, poll_interval_ms=poll_ms),
            read_clock_ms,
        )
        self._committer = Committer(
            self._gateway,
            store,
            gas_account,
            deployment,
            CommitterSettings(
                confirmations=ethereum.confirmations,
                poll_interval_ms=poll_ms,
                rebroadcast_interval_ms=int(ethereum.rebroadcast_seconds * 1000),
                bump_interval_ms=int(ethereum.bump_seconds * 1000),
                max_fee_wei=ethereum.max_fee_gwei * 10**9,
                daily_budget_wei=ethereum.daily_budget_gwei * 10**9,
            ),
            read_clock_ms,
        )
        if recovered.last_seal is not None:
            await self._committer.submit(recovered.last_seal.commitment, recovered.last_seal.signature)
        self._first_deposit_at = read_header(self._journal, 1).timestamp // 1000 if recovered.state.block_number else 0
        self._settlement = SettlementView(self._watcher, self._committer, lambda: self._first_deposit_at)
        self._epochs = EpochKeeper(
            self._sequencer,
            self._settlement,
            Timing(
                config.epoch_seconds, deployment.min_interval, deployment.max_silence, config.max_clock_lead_seconds
            ),
            parameters,
            operator_key,
            recovered.sealed_epoch,
            read_clock_ms,
            self._committer.submit,
        )
        self._reserves = ReservesReader(
            self._gateway,
            lambda: asyncio.to_thread(self._index.get_counters),
            lambda: 0 if self._watcher.synced is None else self._watcher.synced.l1_block,
            read_clock_ms,
            max(INTERVAL_MS, poll_ms),
        )
        self._operations = Operations(
            sequencer=self._sequencer,
            verifiers=self._verifiers,
            max_backlog=config.max_backlog,
            durable=self._durable,
            indexed=self._indexer.progress,
            sealed=self._sealer.progress,
            epochs=self._epochs,
            committer=self._committer,
            watcher=self._watcher,
            get_reserves=lambda: self._reserves.state,
            endpoints=self._endpoints,
            data_dir=self._data_dir,
            clock=read_clock_ms,
        )
        self._archive = Archive(
            parameters,
            self._journal,
            self._durable,
            self._index,
            self._indexer.progress,
            self._proofs,
            self._sequencer,
            self._committer,
            self._epochs,
        )
        stack.callback(self._archive.close)
        catalogue = Catalogue(self._archive, self._index, self._sequencer.state, self._escrow, read_clock_ms)
        self._methods = Methods(
            self._sequencer,
            self._verifiers,
            self._archive,
            self._info,
            config.max_backlog,
            self._find_halt,
            self._escrow,
            catalogue,
        )
        self._rpc = RpcServer(self._methods, config.max_body_bytes)
        self._feed = Feed(self._archive, self._sequencer, self._durable, self._committer)
        self._websockets = WebSocketServer(self._rpc, self._feed, config.max_body_bytes)
        self._health = self._make_health()
        self._explorer = Explorer(
            Sources(
                index=self._index,
                archive=self._archive,
                get_purchase=catalogue.get_purchase,
                market=parameters.market,
                info=self._info,
                config=config.explorer,
                durable=self._durable,
                indexed=self._indexer.progress,
                commitments_change=self._committer.change,
                get_epoch=self._committer.get_epoch,
                get_due_at=lambda: self._epochs.due_at,
                get_reserves=lambda: self._reserves.state,
                report_operations=self._operations.report,
                operator_token=read_operator_token(config),
                report_health=self._health.report,
                render_metrics=self._render_metrics,
                clock_ms=read_clock_ms,
                readers=Readers(),
            )
        )
        stack.callback(self._explorer.close)

    # --- running

    async def _serve(self, listener: socket.socket) -> None:
        """All parts side by side, until one fails or the node is told to stop."""
        port = listener.getsockname()[1]
        server = Server(
            uvicorn.Config(
                self._answer,
                interface="asgi3",
                proxy_headers=False,
                http=limit_connections(compute_max_connections(raise_limit())),
                ws=SocketProtocol,
                ws_max_size=self._config.max_body_bytes,
                ws_ping_interval=PING_INTERVAL_SECONDS,
                ws_ping_timeout=PING_TIMEOUT_SECONDS,
                ws_per_message_deflate=False,  # it would cost the event loop more than it saves the network
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
                backlog=2048,
            )
        )
        async with asyncio.TaskGroup() as group:
            # What payments need; ends last.
            inner = [
                group.create_task(part.run())
                for part in (self._verifiers, self._sequencer, self._indexer, self._sealer)
            ]
            await self._or_stop(self._remember_unindexed())
            # One look at Ethereum before anything is signed, if it answers: bounded by the endpoint's time-outs.
            await self._or_stop(self._committer.tick())
            self._check_journal()
            # What feeds on it.
            outer = [
                group.create_task(coroutine)
                for coroutine in (
                    self._watcher.run(),
                    self._committer.run(),
                    self._epochs.run(),
                    self._reserves.run(),
                    self._confirm_deployment(),
                    self._await_gas_account(),
                    self._guard_journal(),
                    self._feed.run(),
                )
            ]
            serving = group.create_task(server.serve(sockets=[listener]))
            relax_collector()
            _log.info("serving", port=port, head_block=self._sequencer.durable_block)
            if self._on_ready is not None:
                self._on_ready(port)
            try:
                await self._stopping.wait()
                _log.info("stopping")
            finally:  # also when a part has failed: clients hear that this is the end
                await self._websockets.close()
            server.should_exit = True
            self._explorer.stop()
            await serving
            await _cancel(outer)
            await self._sequencer.drain()
            await _cancel(inner)
        _log.info("stopped", head_block=self._sequencer.durable_block)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" or scope["path"] == WEBSOCKET_PATH:
            await self._websockets(scope, receive, send)
        elif len(scope["headers"]) > MAX_HEADERS:
            await refuse_head(send)
        elif scope["path"] in ("/", "/rpc") and scope["method"] in ("POST", "OPTIONS"):
            await self._rpc(scope, receive, send)
        else:
            await self._explorer(scope, receive, send)

    async def _remember_unindexed(self) -> None:
        """A payment sent again must be found, also while the index has not reached it."""
        while True:
            height, count = self._indexer.progress.value, 0
            blocks: list[tuple[int, int, list[Hash]]] = []
            for entry_height, entry in self._journal.read(height):
                decoded = decode_entry(entry)
                if isinstance(decoded, BlockEntry):
                    ids = [record.id for record in decoded.block.records]
                    blocks.append((entry_height, decoded.block.header.number, ids))
                    count += len(ids)
                if count > _MAX_REMEMBERED:
                    break
            else:
                for entry_height, number, ids in blocks:
                    self._sequencer.remember(entry_height, number, ids)
                return
            _log.warning("waiting for the index", height=height, journal_height=self._journal.height)
            # As far as was read: to look again at every step of it would read the journal a hundred times.
            await self._indexer.progress.reach(entry_height + 1)

    async def _confirm_deployment(self) -> None:
        """What is on disk about the contract is held against Ethereum as soon as that answers, and tokens are asked for
        their names.

        Raises `WrongDeployment` as long as it has never been confirmed in this life: somebody has just configured it,
        and is there to hear it. Later it is the endpoint that went astray: watcher and committer stand still and say
        so, payments go on.
        """
        parameters = self._parameters
        is_confirmed = is_said = False
        while True:
            try:
                if not is_confirmed:
                    await self._gateway.check_deployment(
                        parameters.deployed_at, parameters.native_asset, self._deployment.operator
                    )
                    is_confirmed = True
                for asset, info in tuple(self._info.assets.items()):  # the watcher may list another meanwhile
                    if asset != ETHER and info.decimals is None:
                        self._info.take_asset(asset, AssetInfo(*await self._gateway.get_token(asset)))
            except EthereumFault:
                if not is_confirmed and not is_said:
                    is_said = True  # once: how long it lasts, the watcher and the committer say
                    _log.warning("Ethereum is out of reach: the deployment is not confirmed yet")
            except WrongDeployment:
                if not is_confirmed:
                    raise
            await asyncio.sleep(self._config.ethereum.poll_seconds)

    async def _await_gas_account(self) -> None:
        """A key that comes later is taken then. One that comes and cannot be used is said to be so, and tried again:
        payments go on meanwhile."""
        while not self._committer.has_key:
            await asyncio.sleep(self._config.ethereum.poll_seconds)
            try:
                account = await asyncio.to_thread(open_account, self._config.gas, "gas")
                _check_keys_apart(operator=self._keys["operator"], gas=_get_key(account), escrow=self._keys["escrow"])
            except ConfigurationError as error:
                self._committer.say_key_problem(str(error))
            else:
                self._committer.take_account(account)
                _log.info("the key to pay for commitments with is here", account=account.address)

    async def _guard_journal(self) -> None:
        while True:
            await self._committer.change.wait()
            self._check_journal()

    def _check_journal(self) -> None:
        """Raises `JournalBehindChain`: to go on would be to sign a second history."""
        if self._committer.mined_epoch > self._epochs.sealed_epoch:
            raise JournalBehindChain(
                f"Ethereum has the commitment of epoch {self._committer.mined_epoch}, this journal ends in epoch "
                f"{self._epochs.sealed_epoch}: it is an old copy, or not the operator's only one"
            )

    # --- what the parts tell each other

    def _take_durable(self, block: PublishedBlock | None) -> None:
        if block is not None:
            self._archive.take_block(block)
            metrics.BLOCKS.inc()
            metrics.BLOCK_RECORDS.observe(len(block.records))
            metrics.PAYMENTS.inc(sum([isinstance(record, SignedPayment) for record in block.records]))
            if block.header.number == 1:
                self._first_deposit_at = block.header.timestamp // 1000
        self._durable.advance(self._journal.height)

    async def _take_indexed(self, height: int) -> int:
        self._sequencer.forget_until(height)
        return height

    async def _take_sealed(self, answer: tuple[int, list[bytes]]) -> int:
        height, sealed = answer
        for commitment in sealed:
            await self._epochs.take_sealed(decode_commitment(commitment))
        return height

    def _find_halt(self) -> str | None:
        """A receipt is a promise: none is given for what can not be committed any more, or not in time."""
        return self._committer.end or self._clock.find_problem()

    def _get_position(self) -> Position:
        return Position(
            epoch=self._sequencer.durable_epoch,
            head_block=self._sequencer.durable_block,
            sealed_epoch=self._epochs.sealed_epoch,
            mined_epoch=self._committer.mined_epoch,
            final_epoch=self._committer.final_epoch,
        )

    # --- how it is

    def _make_health(self) -> Health:
        health = Health()
        health.add("sequencer", self._check_sequencer)
        health.add("index", self._check_index)
        health.add("epochs", self._check_epochs)
        health.add("watcher", lambda: _check_status(self._watcher.status()))
        health.add("committer", lambda: _check_status(self._committer.status()))
        health.add("endpoints", lambda: check_endpoints(self._endpoints))
        health.add("funds", self._check_funds)
        return health

    def _check_sequencer(self) -> Check:
        if self._stopping.is_set():
            return Check("stopping", False, is_vital=True)
        halt = self._find_halt()
        return Check("running" if halt is None else "halted", halt is None, halt or "", is_vital=True)

    def _check_index(self) -> Check:
        lag = self._durable.value - self._indexer.progress.value
        return Check("current" if lag <= MAX_INDEX_LAG else "behind", lag <= MAX_INDEX_LAG, f"{lag} entries behind")

    def _check_epochs(self) -> Check:
        overdue = read_clock_ms() - self._epochs.due_at
        is_late = self._epochs.obstacle is not None and overdue > self._config.epoch_seconds * 1000
        return Check("late" if is_late else "on_time", not is_late, self._epochs.obstacle or "")

    def _check_funds(self) -> Check:
        funds = self._committer.get_funds()
        state, detail = funds.level, ""
        if funds.payable_count is not None:
            detail = f"enough for {funds.payable_count} commitments at the fees of now"
        return Check(str(state), state is not FundsLevel.LOW, detail)

    def _render_metrics(self) -> bytes:
        position = self._get_position()
        metrics.HEAD_BLOCK.set(position.head_block)
        metrics.OPEN_EPOCH.set(position.epoch)
        metrics.OPEN_EPOCH_RECORDS.set(self._sequencer.epoch_records)
        metrics.SEALED_EPOCH.set(position.sealed_epoch)
        metrics.MINED_EPOCH.set(position.mined_epoch)
        metrics.FINAL_EPOCH.set(position.final_epoch)
        metrics.BACKLOG.set(self._methods.backlog)
        metrics.INDEX_LAG.set(self._durable.value - self._indexer.progress.value)
        metrics.L1_SYNCED_AT.set(self._settlement.synced_until)
        set_gauges(self._committer, self._watcher, self._endpoints)
        return metrics.render()

    async def _or_stop(self, waiting: Coroutine[Any, Any, _Result]) -> _Result:
        """What `waiting` returns. Raises `_Stopped` if the node is told to stop before that."""
        task, stop = asyncio.ensure_future(waiting), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _Stopped
            return task.result()
        finally:
            await _cancel([task, stop])


class _Stopped(Exception):
    """The node was told to stop before it served."""


def _find_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What failed first; the rest followed from it."""
    first = group.exceptions[0]
    return _find_cause(first) if isinstance(first, BaseExceptionGroup) else first


async def _cancel(tasks: Iterable[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _bind(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=2048) as listener:
        # Accepted sockets inherit it; without it an answer's body waits 40 ms for the acknowledgement of its head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener


@contextlib.contextmanager
def _lock(data_dir: Path) -> Iterator[None]:
    """One node a data directory. The lock goes with the process, however that ends."""
    with (data_dir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(f"another node runs in {data_dir}") from error
        yield


def _get_key(account: LocalAccount | None) -> PrivateKey | None:
    return None if account is None else PrivateKey(bytes(account.key))


def _check_keys_apart(**keys: PrivateKey | None) -> None:
    """Raises `ConfigurationError` when one key stands under two names."""
    for (first, key), (second, other) in combinations(keys.items(), 2):
        if key is not None and other is not None and key.secret == other.secret:
            raise ConfigurationError(f"the {second} key and the {first} key must be two keys")


def _check_deployment(deployment: Deployment, config: NodeConfig, settlement: Address, operator: Address) -> None:
    if (deployment.l1_chain_id, deployment.settlement) != (config.ethereum.chain_id, settlement):
        raise ConfigurationError(
            f"data_dir belongs to contract {encode_address(deployment.settlement)} on chain {deployment.l1_chain_id}"
        )
    if deployment.operator != operator:
        raise ConfigurationError(
            f"the operator key is {encode_address(operator)}, the contract wants {encode_address(deployment.operator)}"
        )


def check_endpoints(endpoints: Endpoints) -> Check:
    """Everybody may see it: states by host, not what the endpoints said."""
    amiss = [report for report in endpoints.report() if not report.is_ok]
    if not amiss:
        return Check(EndpointState.OK, True)
    state = str(amiss[0].state) if endpoints.has_quorum else "no_quorum"
    since = min([report.since for report in amiss])
    return Check(state, False, ", ".join([f"{report.name} is {report.state}" for report in amiss]), since=since)


def _check_status(status: dict[str, Any]) -> Check:
    return Check(status["state"], status["is_ok"], status["detail"], since=status["since"])
