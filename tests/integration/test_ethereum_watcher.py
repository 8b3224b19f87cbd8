"""The watcher against a real Ethereum client, and several assets. The test mines, so nothing here waits."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chain.primitives import ETHER
from node.ethereum.abi import load_abi
from node.ethereum.deploy import Call, Sender, deploy_test_token, make_approval, make_deposit_call, make_mint
from node.ethereum.store import EthereumStore
from node.ethereum.watch_decision import WatcherSettings
from node.ethereum.watcher import Watcher
from tests.integration.ethereum import CHAIN_ID, STRANGER, Settled, run_anvil, settle
from tests.unit.node.ethereum.simulated import FakeSink

ACCOUNT = b"\x77" * 20


@pytest.fixture
async def settled(anvil_path: Path) -> AsyncIterator[Settled]:
    async with run_anvil(anvil_path) as anvil:
        yield await settle(anvil)


@pytest.fixture
def store(settled: Settled, tmp_path: Path) -> Any:
    store = EthereumStore(tmp_path / "ethereum.sqlite", CHAIN_ID, settled.gateway.settlement)
    yield store
    store.close()


def watch(settled: Settled, store: EthereumStore, sink: FakeSink, **settings: Any) -> Watcher:
    chosen = WatcherSettings(**{"confirmations": 1, **settings})
    return Watcher(settled.gateway, store, sink, settled.deployment, chosen, settled.anvil.clock)


async def test_deposits_are_credited_once_across_restarts(settled: Settled, store: EthereumStore) -> None:
    sink = FakeSink()
    watcher = watch(settled, store, sink, log_range=2)
    await watcher.tick()
    assert sink.assets == (ETHER, settled.token)
    assert [(d.asset, d.index, d.account, d.amount) for d in sink.deposits] == [
        (ETHER, 0, ACCOUNT, 10**18),
        (settled.token, 0, ACCOUNT, 10**20),
    ]
    for deposit in sink.deposits:
        receipt = await settled.gateway.get_receipt(deposit.l1_transaction)
        assert receipt is not None
        assert (receipt.l1_block, receipt.l1_block_hash) == (deposit.l1_block, deposit.l1_block_hash)
    for _ in range(3):  # restarts, with nothing new
        watcher = watch(settled, store, sink)
        await watcher.tick()
    await settled.deposit(settled.token, 3)  # while the node is down
    await settled.deposit(ETHER, 4)
    await settled.anvil.mine(5)
    store.forget_cursor()  # as if its file was lost
    watcher = watch(settled, store, sink, log_range=2)
    await watcher.tick()
    assert [(d.asset, d.index, d.amount) for d in sink.deposits[2:]] == [(settled.token, 1, 3), (ETHER, 1, 4)]
    assert watcher.synced is not None
    assert watcher.synced.l1_timestamp == settled.anvil.now_s


async def test_many_deposits_are_caught_up_in_batches(settled: Settled, store: EthereumStore) -> None:
    sink = FakeSink()
    await settled.anvil.call("evm_setAutomine", True)
    calls = [make_deposit_call(settled.gateway.settlement, settled.token, ACCOUNT, n + 1) for n in range(70)]
    await settled.funder.send_all(calls)
    await settled.anvil.read_time()
    watcher = watch(settled, store, sink, log_range=10, batch_size=16)
    await watcher.tick()
    token_deposits = [d.amount for d in sink.deposits if d.asset == settled.token]
    assert token_deposits == [10**20, *range(1, 71)]
    assert max(sink.batches) <= 2 * 16


async def test_a_reorganised_deposit_is_never_credited(settled: Settled, store: EthereumStore) -> None:
    sink = FakeSink()
    watcher = watch(settled, store, sink, confirmations=4)
    await settled.anvil.mine(4)
    await watcher.tick()
    assert len(sink.deposits) == 2
    await settled.deposit(ETHER, 5)
    await watcher.tick()
    assert len(sink.deposits) == 2
    await settled.anvil.call("anvil_reorg", 1, [])
    await settled.anvil.call("anvil_dropAllTransactions")
    await settled.deposit(ETHER, 6)
    await settled.anvil.mine(4)
    await watcher.tick()
    assert [d.amount for d in sink.deposits[2:]] == [6]


async def test_finalized_is_the_clients_word(anvil_path: Path, tmp_path: Path) -> None:
    async with run_anvil(anvil_path, "--slots-in-an-epoch", "2") as anvil:
        settled = await settle(anvil)
        store = EthereumStore(tmp_path / "ethereum.sqlite", CHAIN_ID, settled.gateway.settlement)
        sink = FakeSink()
        watcher = watch(settled, store, sink, confirmations=None)
        await watcher.tick()
        assert len(sink.deposits) < 2
        await anvil.mine(4)
        await watcher.tick()
        assert len(sink.deposits) == 2
        store.close()


async def test_an_asset_listed_later_comes_before_its_deposits(settled: Settled, store: EthereumStore) -> None:
    sink = FakeSink()
    watcher = watch(settled, store, sink)
    await watcher.tick()
    await settled.anvil.call("evm_setAutomine", True)
    stranger = Sender(settled.anvil.endpoint, STRANGER, poll_interval_ms=10)
    another = (await deploy_test_token(stranger)).address
    settlement = settled.gateway.settlement
    await stranger.send(Call(settlement, load_abi("Settlement").encode_call("listAsset", another)))
    await stranger.send_all([make_mint(another, stranger.address, 50), make_approval(another, settlement, 50)])
    await stranger.send(make_deposit_call(settlement, another, ACCOUNT, 50))
    await watcher.tick()
    assert sink.assets == (ETHER, settled.token, another)
    assert sink.deposits[-1].asset == another


async def test_it_runs_by_the_clock(anvil_path: Path, tmp_path: Path) -> None:
    async with run_anvil(anvil_path) as anvil:
        settled = await settle(anvil)
        await anvil.call("evm_setIntervalMining", 1)
        store = EthereumStore(tmp_path / "ethereum.sqlite", CHAIN_ID, settled.gateway.settlement)
        sink = FakeSink()
        watcher = watch(settled, store, sink, poll_interval_ms=100)
        running = asyncio.create_task(watcher.run())
        await asyncio.wait_for(watcher.change.wait_until(lambda: watcher.synced is not None), 20)
        assert len(sink.deposits) == 2
        await settled.funder.send(make_deposit_call(settled.gateway.settlement, ETHER, ACCOUNT, 9))
        await asyncio.wait_for(watcher.change.wait_until(lambda: len(sink.deposits) == 3), 20)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        store.close()
