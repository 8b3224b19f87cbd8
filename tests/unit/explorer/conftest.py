from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.commitment import hash_commitment
from chain.params import Parameters
from explorer.app import Explorer
from explorer.home import EPOCHS_SHOWN
from node.entries import encode_genesis
from node.ethereum.submission import Attempt, EpochState, EpochStatus, Fees, Inclusion
from node.index import IndexReader, IndexWriter
from node.ledger_info import AssetInfo, LedgerInfo, Position
from tests.unit.node.index.history import RandomLedger, apply

OPERATOR = bytes(range(20))
LISTED = 18
"""Decimals of every token in these tests."""


class World:
    """An explorer over an index, and everything it is told that is not in the index. To be changed at will."""

    def __init__(self, path: Path, parameters: Parameters, clock_ms: int) -> None:
        self.index = IndexReader(path)
        self.statuses: dict[int, EpochStatus] = {}
        self.position = Position(epoch=1, head_block=0, sealed_epoch=0, mined_epoch=0, final_epoch=0)
        self.info = LedgerInfo(parameters, OPERATOR, lambda: self.position)
        self.due_at = 0
        self.now = clock_ms
        self.is_ready = True
        self.health: dict[str, Any] = {"status": "ready", "checks": {"watcher": _check("synced")}}
        self.explorer = Explorer(
            index=self.index,
            get_epoch=self.statuses.get,
            get_due_at=lambda: self.due_at,
            info=self.info,
            report_health=lambda: (self.is_ready, self.health),
            render_metrics=lambda: b"tallystick_blocks 7\n",
            clock_ms=lambda: self.now,
        )

    def close(self) -> None:
        self.explorer.close()
        self.index.close()

    def fail(self, status: str, *names: str, detail: str = "") -> None:
        self.health = {
            "status": status,
            "checks": {"sequencer": _check("running"), **{name: _check("out_of_reach", detail) for name in names}},
        }
        self.is_ready = status != "unready"

    def send(self, ledger: RandomLedger, epoch: int, state: EpochState) -> EpochStatus:
        """Makes the committer say that `epoch`, which is sealed, is that far."""
        commitment = ledger.sealed[epoch][0].commitment
        attempts = tuple(
            [
                Attempt(
                    epoch=epoch,
                    number=number,
                    hash=(epoch + 1000 * (2 - number)).to_bytes(32),
                    nonce=epoch,
                    gas_limit=200_000,
                    fees=Fees(100 * number, 1),
                    raw=b"",
                    sent_at=commitment.cut_at,
                    l1_block=1000 + epoch,
                )
                for number in (1, 2)
            ]
        )
        is_sent, is_mined = state != EpochState.SEALED, state in (EpochState.MINED, EpochState.FINAL)
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
def index_path(history: RandomLedger, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "index.sqlite"
    writer = IndexWriter(path, history.parameters.genesis_hash)
    apply(writer, history.entries)
    writer.close()
    return path


@pytest.fixture
def world(history: RandomLedger, index_path: Path) -> Iterator[World]:
    """Over `history`."""
    world = World(index_path, history.parameters, history.timestamp + 5_000)
    for number, asset in enumerate(history.assets):
        world.info.take_asset(asset, AssetInfo(f"TOK{number}", LISTED))
    yield world
    world.close()


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[[RandomLedger | None], World]]:
    """Over any ledger; None for one that has only begun."""
    worlds: list[World] = []

    def make(ledger: RandomLedger | None) -> World:
        parameters = RandomLedger(1).parameters if ledger is None else ledger.parameters
        path = tmp_path / f"{len(worlds)}.sqlite"
        writer = IndexWriter(path, parameters.genesis_hash)
        apply(writer, [encode_genesis(parameters)] if ledger is None else ledger.entries)
        writer.close()
        worlds.append(World(path, parameters, parameters.first_cut_at + 10_000))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
