"""The watcher against a real Ethereum client, and several assets. The test mines, so nothing here waits."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from chain.primitives import ETHER
from node.ethereum.abi import load_abi
from node.ethereum.deploy import Call, Sender, deploy_test_token, make_approval, make_deposit_call, make_mint
from node.ethereum.endpoints import Endpoints
from node.ethereum.gateway import Gateway
from node.ethereum.store import EthereumStore
from node.ethereum.watch_decision import WatcherSettings
from node.ethereum.watcher import Watcher
from tests.integration.ethereum import CHAIN_ID, FUNDER, STRANGER, Anvil, Settled, run_anvil, settle
from tests.integration.line import Line
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


def open_line(settled: Settled, line: Line) -> Gateway:
    settlement = settled.gateway.settlement
    return Gateway(Endpoints([line], CHAIN_ID, settlement), CHAIN_ID, settlement)


async def move(settled: Settled, anvil: Anvil) -> None:
    """The client was started again, as this process."""
    await anvil.call("evm_setAutomine", False)
    settled.anvil = anvil
    settled.gateway = open_line(settled, Line(anvil.endpoint))
    settled.funder = Sender(anvil.endpoint, FUNDER, poll_interval_ms=10)


async def reorganise(settled: Settled, depth: int, outcome: str) -> None:
    """The deposit in the last blocks is gone, or back in a later block, or another one is in its place."""
    await settled.anvil.reorganise(depth)
    await settled.anvil.call("anvil_dropAllTransactions")
    if outcome != "gone":
        await settled.deposit(ETHER, 5 if outcome == "back" else 6)


async def deposit_many(settled: Settled, transactions: int, each: int, pause: int) -> None:
    """Deposits of ether, `each` in one transaction, of `each` wei down to 1; between two of them, `pause` empty
    blocks."""
    call = load_abi("Settlement").encode_call("depositEther", ACCOUNT)
    program = (
        # The call into memory, the count on the stack.
        *(b"\x7f" + call[:32], b"\x5f\x52", b"\x7f" + call[32:].ljust(32, b"\0"), b"\x60\x20\x52"),
        b"\x61" + each.to_bytes(2),
        b"\x5b",  # again:
        # call(gas, settlement, value = count, in 0..36, out 0..0), pop
        *(b"\x5f\x5f\x60\x24\x5f\x84", b"\x73" + settled.gateway.settlement, b"\x5a\xf1\x50"),
        b"\x60\x01\x90\x03\x80" + b"\x60" + (33 + 2 + 33 + 3 + 3).to_bytes(1) + b"\x57",  # count -= 1; if count: again
    )
    anvil = settled.anvil
    for _ in range(transactions):
        await anvil.call(
            "eth_sendTransaction",
            {
                "from": FUNDER.address,
                "data": "0x" + b"".join(program).hex(),
                "value": hex(each * (each + 1) // 2),
                "gas": hex(200_000 + 80_000 * each),
            },
        )
        await anvil.call("anvil_mine", hex(1 + pause), hex(12))
    await anvil.read_time()


async def check_credited(settled: Settled, sink: FakeSink) -> None:
    """The ledger has what the contract's queues hold, from the blocks that are there."""
    newest = await settled.gateway.get_block("latest")
    for asset in (ETHER, settled.token):
        count = await settled.gateway.get_deposit_count(asset, newest.number)
        queued = await settled.gateway.get_deposits(asset, 0, count, newest.number)
        mine = [d for d in sink.deposits if d.asset == asset]
        assert [(d.index, d.account, d.amount) for d in mine] == [(q.index, q.account, q.amount) for q in queued]
    hashes = {number: (await settled.gateway.get_block(number)).hash for number in {d.l1_block for d in sink.deposits}}
    assert {d.l1_block: d.l1_block_hash for d in sink.deposits} == hashes


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


@pytest.mark.parametrize(
    "make_worse",
    [
        lambda logs: logs * 5,
        lambda logs: logs[::-1],
        lambda logs: [*[{**log, "blockHash": "0x" + "ab" * 32} for log in logs], *logs],
    ],
    ids=["five_times", "backwards", "with_those_of_a_fork"],
)
async def test_redelivered_logs_and_five_restarts_credit_once(
    settled: Settled, store: EthereumStore, make_worse: Callable[[list[Any]], list[Any]]
) -> None:
    sink, line = FakeSink(), Line(settled.anvil.endpoint)
    line.lie = lambda method, params, answer: make_worse(answer) if method == "eth_getLogs" else answer
    gateway = open_line(settled, line)
    for amount in range(1, 6):
        await settled.deposit(ETHER, amount)  # while the node is down
        watcher = Watcher(gateway, store, sink, settled.deployment, WatcherSettings(1), settled.anvil.clock)
        await watcher.tick()
        await watcher.tick()
        assert watcher.status()["state"] == "synced" and len(sink.deposits) == 2 + amount
        store.forget_cursor()
    await check_credited(settled, sink)


async def test_logs_of_a_fork_alone_are_named_and_credit_nothing(settled: Settled, store: EthereumStore) -> None:
    sink, line = FakeSink(), Line(settled.anvil.endpoint)
    gateway = open_line(settled, line)
    line.lie = lambda method, params, answer: (
        [{**log, "blockHash": "0x" + "ab" * 32} for log in answer] if method == "eth_getLogs" else answer
    )
    watcher = Watcher(gateway, store, sink, settled.deployment, WatcherSettings(1), settled.anvil.clock)
    await watcher.tick()
    assert watcher.status()["state"] == "logs_contradict" and sink.deposits == [] and watcher.synced is None
    line.lie = lambda method, params, answer: answer
    await watcher.tick()
    assert watcher.status()["state"] == "synced" and len(sink.deposits) == 2


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


@pytest.mark.parametrize("outcome", ["gone", "back", "another"])
@pytest.mark.parametrize("depth", [1, 5, 20])
async def test_a_deposit_that_is_reorganised_before_it_is_final(
    settled: Settled, store: EthereumStore, depth: int, outcome: str
) -> None:
    sink = FakeSink()
    watcher = watch(settled, store, sink, confirmations=depth + 1)
    await settled.anvil.mine(depth)
    await watcher.tick()
    assert len(sink.deposits) == 2
    await settled.deposit(ETHER, 5)
    await settled.anvil.mine(depth - 1)
    await watcher.tick()
    await reorganise(settled, depth, outcome)
    await settled.anvil.mine(depth + 1)
    await watcher.tick()
    assert [d.amount for d in sink.deposits[2:]] == {"gone": [], "back": [5], "another": [6]}[outcome]
    assert (watcher.status()["state"], watcher.status()["deep_reorgs"]) == ("synced", 0)
    await check_credited(settled, sink)


@pytest.mark.parametrize("outcome", ["gone", "back", "another"])
@pytest.mark.parametrize("depth", [1, 5, 20])
async def test_a_deposit_that_is_reorganised_after_it_was_credited(
    settled: Settled, store: EthereumStore, depth: int, outcome: str
) -> None:
    """A reorganisation deeper than the confirmations: named and counted, and no other deposit suffers from it."""
    sink = FakeSink()
    watcher = watch(settled, store, sink)
    await settled.deposit(ETHER, 5)
    await settled.anvil.mine(depth - 1)
    await watcher.tick()
    assert watcher.status()["state"] == "synced" and len(sink.deposits) == 3
    await reorganise(settled, depth, outcome)
    for is_restarted in (False, True):
        if is_restarted:
            watcher = watch(settled, store, sink)
        await settled.deposit(settled.token, 7)
        await watcher.tick()
        status = watcher.status()
        assert status["deep_reorgs"] == (not is_restarted)
        assert status["deposits_lost"] == (outcome != "back")
        assert status["state"] == (
            "deposits_vanished" if outcome != "back" else "synced" if is_restarted else "final_block_replaced"
        )
        assert sink.deposits[-1].asset == settled.token and sink.deposits[-1].amount == 7
    assert [d.amount for d in sink.deposits if d.asset == ETHER] == [10**18, 5]
    await settled.deposit(ETHER, 5)
    await watcher.tick()
    assert watcher.status()["deposits_lost"] == (outcome == "another")
    assert [d.amount for d in sink.deposits if d.asset == ETHER] == [10**18, 5] + [5] * (outcome != "gone")


async def test_a_client_that_comes_back_as_it_was_before(anvil_path: Path, tmp_path: Path) -> None:
    """Killed, and started again from a state it had written earlier: what is final is below what was read."""
    state, older = tmp_path / "state.json", tmp_path / "older.json"
    arguments = ("--state", str(state), "--preserve-historical-states")
    sink = FakeSink()
    async with run_anvil(anvil_path, *arguments) as anvil:
        settled = await settle(anvil)
        store = EthereumStore(tmp_path / "ethereum.sqlite", CHAIN_ID, settled.gateway.settlement)
        watcher = watch(settled, store, sink)
        await watcher.tick()
        await settled.deposit(settled.token, 3)
        anvil.process.terminate()
        await anvil.process.wait()
        await watcher.tick()
        assert watcher.status()["state"] == "l1_unreachable" and len(sink.deposits) == 2
        port = int(anvil.url.rpartition(":")[2])
    shutil.copy(state, older)
    async with run_anvil(anvil_path, *arguments, port=port) as anvil:
        await move(settled, anvil)
        watcher = watch(settled, store, sink)
        await watcher.tick()
        assert watcher.status()["state"] == "synced" and len(sink.deposits) == 3
        await settled.deposit(ETHER, 4)
        await anvil.mine(2)
        await watcher.tick()
        assert len(sink.deposits) == 4
        anvil.process.kill()
        await anvil.process.wait()
    shutil.copy(older, state)
    async with run_anvil(anvil_path, *arguments, port=port) as anvil:
        await move(settled, anvil)
        watcher = watch(settled, store, sink)
        for _ in range(2):
            await watcher.tick()
            assert (watcher.status()["state"], watcher.status()["is_ok"]) == ("l1_behind", True)
        await settled.deposit(settled.token, 8)
        await anvil.mine(4)
        await watcher.tick()  # another chain up to there: the ether is not in it
        assert watcher.status()["state"] == "deposits_vanished" and watcher.status()["deep_reorgs"] == 1
        assert [d.amount for d in sink.deposits if d.asset == settled.token] == [10**20, 3, 8]
        await settled.deposit(ETHER, 4)
        await watcher.tick()
        assert watcher.status()["state"] == "synced" and len(sink.deposits) == 5
        store.close()


async def test_a_client_that_goes_away_in_the_middle_of_a_catch_up(settled: Settled, store: EthereumStore) -> None:
    sink, line = FakeSink(), Line(settled.anvil.endpoint)
    gateway = open_line(settled, line)
    await deposit_many(settled, transactions=6, each=20, pause=9)
    watcher = Watcher(
        gateway, store, sink, settled.deployment, WatcherSettings(1, log_range=7, batch_size=8), settled.anvil.clock
    )
    tell = line.call
    answers_left = 0

    async def answer(method: str, params: Any) -> Any:
        nonlocal answers_left
        answers_left -= 1
        line.is_cut = answers_left < 0
        return await tell(method, params)

    line.call = answer  # type: ignore[method-assign]
    outages, credited = 0, set()
    while watcher.status()["state"] != "synced":
        answers_left = 40 + 4 * outages  # not enough for a batch, and then for one, and for some
        await watcher.tick()
        outages += watcher.status()["state"] == "l1_unreachable"
        credited.add(len(sink.deposits))
        assert outages < 100
    assert outages > 3 and len(credited) > 3
    await check_credited(settled, sink)


@pytest.mark.long
async def test_three_thousand_deposits_over_a_long_range_with_a_kill_in_the_middle(
    settled: Settled, store: EthereumStore
) -> None:
    sink = FakeSink()
    await deposit_many(settled, transactions=30, each=100, pause=10)
    settings = {"log_range": 7, "batch_size": 250}
    watcher = watch(settled, store, sink, **settings)
    running = asyncio.create_task(watcher.tick())
    while len(sink.deposits) < 1_000:
        await asyncio.sleep(0)
        assert not running.done()
    assert watcher.status()["state"] == "catching_up" and watcher.status()["is_ok"]
    assert watcher.status()["detail"].startswith("catching up: 1,0")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    watcher = watch(settled, store, sink, **settings)
    assert watcher.status()["deposits_missing"] == 0  # nobody has looked yet
    await watcher.tick()
    assert watcher.status()["state"] == "synced" and sink.deposit_counts == {ETHER: 3_001, settled.token: 1}
    amounts = [d.amount for d in sink.deposits if d.asset == ETHER]
    assert amounts == [10**18, *[*range(100, 0, -1)] * 30]
    for number, block_hash in {d.l1_block: d.l1_block_hash for d in sink.deposits}.items():
        assert (await settled.gateway.get_block(number)).hash == block_hash


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
        await asyncio.wait_for(watcher.change.wait_until(lambda: watcher.synced is not None), 120)
        assert len(sink.deposits) == 2
        await settled.funder.send(make_deposit_call(settled.gateway.settlement, ETHER, ACCOUNT, 9))
        await asyncio.wait_for(watcher.change.wait_until(lambda: len(sink.deposits) == 3), 120)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        store.close()
