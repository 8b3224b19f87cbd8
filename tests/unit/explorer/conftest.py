from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chain.commitment import hash_commitment
from chain.params import Parameters
from chain.primitives import Hash
from chain.state import State
from explorer.app import Explorer
from explorer.pages.home import EPOCHS_SHOWN
from explorer.sources import Readers, Sources
from node.archive import Archive
from node.catalogue import Catalogue
from node.config import ExplorerConfig
from node.entries import BlockEntry, decode_entry, encode_genesis
from node.epochs import EpochKeeper
from node.escrow import Escrow
from node.ethereum.change import Change
from node.ethereum.committer import Committer
from node.ethereum.reserves import Reserves
from node.ethereum.submission import Attempt, AttemptOutcome, EpochState, EpochStatus, Fees, Inclusion
from node.follower import Progress
from node.index import IndexReader, IndexWriter
from node.journal import LevelDBJournal
from node.ledger_info import AssetInfo, LedgerInfo, Position
from node.operations import OperationsReport
from node.proofs import ProofReader
from node.sequencer import Sequencer
from tests.unit.explorer.market import MarketLedger, make_market
from tests.unit.node.index.history import RandomLedger, apply

NO_PROOFS = cast(ProofReader, None)
"""The sealer's file, which nobody here asks."""

OPERATOR = bytes(range(20))
LISTED = 18
"""Decimals of every token in these tests."""


class World:
    """An explorer over an index and a journal, and everything it is told that is in neither. To be changed at will."""

    def __init__(
        self, directory: Path, parameters: Parameters, clock_ms: int, ledger: MarketLedger | None = None
    ) -> None:
        """`directory`: as `build_ledger` leaves it. `ledger`: one whose files are bought."""
        self.index = IndexReader(directory / "index.sqlite")
        self.journal = LevelDBJournal(directory / "journal")
        self.statuses: dict[int, EpochStatus] = {}
        self.info = LedgerInfo(parameters, OPERATOR, lambda: self.position)
        self.due_at = 0
        self.now = clock_ms
        self.is_ready = True
        self.health: dict[str, Any] = {"status": "ready", "checks": {"watcher": _check("synced")}}
        self.durable, self.indexed = Progress(self.journal.height), Progress(self.journal.height)
        self.change = Change()
        self.reserves = Reserves()
        self.archive = Archive(
            parameters,
            self.journal,
            self.durable,
            self.index,
            self.indexed,
            NO_PROOFS,
            cast(Sequencer, SimpleNamespace(durable_block=self.index.get_counters().block, find_recent=_forget)),
            cast(Committer, SimpleNamespace(get_epoch=self.statuses.get, final_epoch=0)),
            cast(EpochKeeper, SimpleNamespace(sealed_epoch=self.index.get_sealed_epoch())),
        )
        catalogue = Catalogue(
            self.archive,
            self.index,
            State(parameters) if ledger is None else ledger.ledger.state,
            Escrow(parameters.domain, None if ledger is None else ledger.escrow),
            lambda: self.now,
        )
        self.sources = Sources(
            index=self.index,
            archive=self.archive,
            get_purchase=catalogue.get_purchase,
            market=parameters.market,
            info=self.info,
            config=ExplorerConfig(),
            durable=self.durable,
            indexed=self.indexed,
            commitments_change=self.change,
            get_epoch=self.statuses.get,
            get_due_at=lambda: self.due_at,
            get_reserves=lambda: self.reserves,
            report_operations=_report_nothing,
            operator_token=None,
            report_health=lambda: (self.is_ready, self.health),
            render_metrics=lambda: b"tallystick_blocks 7\n",
            clock_ms=lambda: self.now,
            readers=Readers(),
        )
        self.explorer = Explorer(self.sources)

    @property
    def position(self) -> Position:
        """As the committer's word has it."""
        counters = self.index.get_counters()
        mined = [status.epoch for status in self.statuses.values() if status.inclusion is not None]
        final = [status.epoch for status in self.statuses.values() if status.state == EpochState.FINAL]
        return Position(
            epoch=counters.epoch,
            head_block=counters.block,
            sealed_epoch=counters.sealed_epoch,
            mined_epoch=max(mined, default=0),
            final_epoch=max(final, default=0),
        )

    def close(self) -> None:
        self.explorer.close()
        self.archive.close()
        self.index.close()
        self.journal.close()

    def fail(self, status: str, *names: str, detail: str = "") -> None:
        self.health = {
            "status": status,
            "checks": {"sequencer": _check("running"), **{name: _check("out_of_reach", detail) for name in names}},
        }
        self.is_ready = status != "unready"

    def send(self, ledger: RandomLedger, epoch: int, state: EpochState) -> EpochStatus:
        """Makes the committer say that `epoch`, which is sealed, is that far."""
        commitment = ledger.sealed[epoch][0].commitment
        is_sent, is_mined = state != EpochState.SEALED, state in (EpochState.MINED, EpochState.FINAL)
        attempts = tuple(
            [
                Attempt(
                    epoch=epoch,
                    number=number,
                    hash=(epoch + 1000 * (2 - number)).to_bytes(32),
                    nonce=epoch,
                    gas_limit=200_000,
                    fees=Fees(100 * number, 1),
                    raw=b"\x02",
                    sent_at=commitment.cut_at,
                    l1_block=1000 + epoch,
                    outcome=outcome if is_mined else None,
                    gas_used=98_352 * (number - 1) if is_mined else None,
                    effective_gas_price=1_000_000_007 if is_mined else None,
                )
                for number, outcome in ((1, AttemptOutcome.REPLACED), (2, AttemptOutcome.INCLUDED))
            ]
        )
        inclusion = Inclusion(
            epoch=epoch, digest=bytes(32), included_at=commitment.cut_at // 1000, l1_transaction=epoch.to_bytes(32),
            l1_block=1000 + epoch, l1_block_hash=bytes(32), gas_used=98_352, effective_gas_price=1_000_000_007,
        )  # fmt: skip
        self.statuses[epoch] = EpochStatus(
            epoch=epoch,
            state=state,
            digest=hash_commitment(commitment, ledger.parameters.domain),
            sealed_at=commitment.cut_at,
            attempts=attempts if is_sent else (),
            inclusion=inclusion if is_mined else None,
            confirmations=1 if is_mined else 0,
            final_at=None,
            is_ours=is_mined,
        )
        return self.statuses[epoch]


def _forget(payment_id: Hash) -> None:
    """What the sequencer remembers of payments that the index has."""


async def _report_nothing() -> OperationsReport:
    raise AssertionError("nobody has the token")


def _check(state: str, detail: str = "") -> dict[str, Any]:
    return {"state": state, "ok": state != "out_of_reach", "detail": detail}


@pytest.fixture(scope="session")
def history() -> RandomLedger:
    """A few hundred records over many epochs, the last of them sealed. Not to be changed by a test."""
    ledger = RandomLedger(7)
    ledger.run(100)
    for _ in range(EPOCHS_SHOWN):
        ledger.add_block()
        ledger.add_block()
        ledger.cut()
    while ledger.waiting:
        ledger.seal()
    ledger.add_block()
    return ledger


@pytest.fixture(scope="session")
def ledger_directory(history: RandomLedger, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of `history`."""
    directory = tmp_path_factory.mktemp("explorer")
    build_ledger(directory, history.parameters, history.entries)
    return directory


@pytest.fixture
def world(history: RandomLedger, ledger_directory: Path) -> Iterator[World]:
    """Over `history`."""
    world = World(ledger_directory, history.parameters, history.timestamp + 5_000)
    for number, asset in enumerate(history.assets):
        world.info.take_asset(asset, AssetInfo(f"TOK{number}", LISTED))
    yield world
    world.close()


@pytest.fixture(scope="session")
def exchange() -> MarketLedger:
    """A data exchange, over several epochs. Not to be changed by a test."""
    return make_market(5, 500)


@pytest.fixture(scope="session")
def exchange_directory(exchange: MarketLedger, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of `exchange`."""
    directory = tmp_path_factory.mktemp("exchange")
    build_ledger(directory, exchange.parameters, exchange.entries)
    return directory


@pytest.fixture
def market(exchange: MarketLedger, exchange_directory: Path) -> Iterator[World]:
    """Over `exchange`."""
    world = World(exchange_directory, exchange.parameters, exchange.timestamp + 5_000, exchange)
    world.info.take_asset(exchange.assets[0])
    world.info.take_asset(exchange.token, AssetInfo("TOK1", LISTED))
    yield world
    world.close()


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[[RandomLedger | None], World]]:
    """Over any ledger; None for one that has only begun."""
    worlds: list[World] = []

    def make(ledger: RandomLedger | None) -> World:
        parameters = RandomLedger(1).parameters if ledger is None else ledger.parameters
        directory = tmp_path / str(len(worlds))
        build_ledger(directory, parameters, [encode_genesis(parameters)] if ledger is None else ledger.entries)
        worlds.append(World(directory, parameters, parameters.first_cut_at + 10_000))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


def build_ledger(directory: Path, parameters: Parameters, entries: list[bytes]) -> None:
    """A journal with signed blocks, and its index, as a node leaves them."""
    directory.mkdir(exist_ok=True)
    journal = LevelDBJournal(directory / "journal")
    for height, data in enumerate(entries):
        entry = decode_entry(data)
        number = entry.block.header.number if isinstance(entry, BlockEntry) else None
        journal.append(height, data, number)
        if number is not None:
            journal.put_signature(number, number.to_bytes(65, "big"))
    journal.close()
    writer = IndexWriter(directory / "index.sqlite", parameters.genesis_hash)
    apply(writer, entries)
    writer.close()
