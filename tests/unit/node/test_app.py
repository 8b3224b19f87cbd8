"""The wiring's own tasks: what they ask, how often, and what they survive."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.app import Node
from node.config import EthereumConfig, KeyConfig, NodeConfig
from node.ethereum.faults import EthereumFault, WrongDeployment
from node.follower import Progress
from node.ledger_info import AssetInfo, LedgerInfo, Position
from tests.unit.chain.actors import ALICE, DOMAIN, ETHER, OPERATOR, PARAMETERS, TOKEN, deposit
from tests.unit.node.chronicle import Chronicle
from tests.unit.node.ethereum.simulated import SimulatedL1
from tests.unit.node.journals import MemoryJournal
from tests.unit.node.running import settle, soon

LATER_TOKEN = bytes(19) + b"\x07"
KEY = KeyConfig("unused.json", "unused.password")


class TokenGateway:
    """Answers what the confirmation asks."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fault: Exception | None = None
        self.on_token: Callable[[], None] = lambda: None
        """What happens elsewhere while a token is being asked."""

    async def check_deployment(self, *_: Any) -> None:
        await self._ask("deployment")

    async def get_token(self, asset: bytes) -> tuple[str, int]:
        await self._ask("token")
        self.on_token()
        return "TOK", 6

    async def _ask(self, what: str) -> None:
        self.calls.append(what)
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def gateway() -> TokenGateway:
    return TokenGateway()


@pytest.fixture
def node(gateway: TokenGateway, tmp_path: Path) -> Node:
    ethereum = EthereumConfig("http://127.0.0.1:1", 1, "0x" + DOMAIN.verifying_contract.hex(), poll_seconds=0.001)
    made: Any = Node(NodeConfig(ethereum, KEY, KEY, data_dir=str(tmp_path)))
    made._gateway = gateway
    made._parameters = PARAMETERS
    made._deployment = SimulatedL1().deployment
    made._info = LedgerInfo(PARAMETERS, OPERATOR, lambda: Position(1, 0, 0, 0, 0))
    made._info.take_asset(ETHER)
    made._info.take_asset(TOKEN)
    return made  # type: ignore[no-any-return]


async def end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def wait_for_polls(count: int = 10) -> None:
    """At least so many of the node's pauses."""
    await asyncio.sleep(0.002 * count)


async def test_what_is_confirmed_is_not_asked_again(node: Node, gateway: TokenGateway) -> None:
    task = asyncio.create_task(node._confirm_deployment())
    await wait_for_polls()
    assert gateway.calls == ["deployment", "token"]
    assert node._info.assets[TOKEN] == AssetInfo("TOK", 6)
    await end(task)


async def test_an_asset_listed_while_another_is_asked_about_is_asked_about_next(
    node: Node, gateway: TokenGateway
) -> None:
    gateway.on_token = lambda: None if LATER_TOKEN in node._info.assets else node._info.take_asset(LATER_TOKEN)
    task = asyncio.create_task(node._confirm_deployment())
    await wait_for_polls()
    assert not task.done(), task
    assert node._info.assets[LATER_TOKEN] == AssetInfo("TOK", 6)
    await end(task)


async def test_another_contract_ends_the_node_while_nothing_is_confirmed(node: Node, gateway: TokenGateway) -> None:
    gateway.fault = EthereumFault("no answer")
    task = asyncio.create_task(node._confirm_deployment())
    await wait_for_polls()
    assert not task.done()
    gateway.fault = WrongDeployment("wrong_contract", "another operator")
    with pytest.raises(WrongDeployment):
        await soon(task)


async def test_an_endpoint_that_goes_astray_later_does_not(node: Node, gateway: TokenGateway) -> None:
    task = asyncio.create_task(node._confirm_deployment())
    await wait_for_polls()
    gateway.fault = WrongDeployment("wrong_chain", "chain 2")
    node._info.take_asset(LATER_TOKEN)
    await wait_for_polls()
    await settle()
    assert gateway.calls[-1] == "token"
    assert not task.done()
    await end(task)


class ReadCounter(MemoryJournal):
    """Counts the entries that were read from it."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def read(self, height: int) -> Iterator[tuple[int, bytes]]:
        for item in super().read(height):
            self.reads += 1
            yield item


async def test_an_index_far_behind_is_waited_for_without_reading_the_journal_over_and_over(
    node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.app._MAX_REMEMBERED", 20)
    journal = ReadCounter()
    chronicle = Chronicle(journal)
    for number in range(100):
        chronicle.add_block(deposit(number, ALICE, 1))
    journal.reads = 0
    node._journal = journal
    node._indexer = SimpleNamespace(progress=Progress(0))
    node._sequencer = SimpleNamespace(remember=lambda *remembered: None)
    task = asyncio.create_task(node._remember_unindexed())
    while not task.done():
        node._indexer.progress.advance(node._indexer.progress.value + 1)
        await settle()
    await task
    assert journal.reads < 3 * journal.height
