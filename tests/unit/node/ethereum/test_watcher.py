"""The watcher over a simulated Ethereum: every deposit once, in order, none from a block that is not final."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from chain.block import compute_request_id
from chain.errors import BrokenInvariant
from node.ethereum.faults import WrongDeployment
from node.ethereum.store import EthereumStore
from node.ethereum.watch_decision import LAGGING_CONFIRMATIONS, WatcherSettings
from node.ethereum.watcher import Synced, Watcher
from tests.unit.node.ethereum.simulated import START_S, TOKEN, FakeSink, SimulatedL1

OTHER = b"\xbb" * 20


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


@pytest.fixture
def watch(l1: SimulatedL1, sink: FakeSink, store: EthereumStore) -> Callable[..., Watcher]:
    def watch_it(over: EthereumStore = store, **settings: Any) -> Watcher:
        return Watcher(l1, over, sink, l1.deployment, WatcherSettings(**settings), l1.clock)

    return watch_it


async def test_nothing_is_credited_before_its_block_is_final(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher]
) -> None:
    watcher = watch(confirmations=3)
    l1.mine()
    l1.deposit([7])
    block = l1.top.block
    await watcher.tick()
    assert watcher.synced is None and watcher.status()["state"] == "waiting_for_finality"
    l1.mine()
    await watcher.tick()
    assert sink.deposits == [] and watcher.synced == Synced(1, l1.chain[1].block.timestamp)
    l1.mine()
    await watcher.tick()
    (deposit,) = sink.deposits
    assert (deposit.asset, deposit.index, deposit.amount) == (TOKEN, 0, 7)
    assert deposit.id == compute_request_id(2, TOKEN, 0)
    assert (deposit.l1_block, deposit.l1_block_hash) == (block.number, block.hash)
    assert watcher.synced == Synced(2, block.timestamp)
    assert watcher.status()["state"] == "synced" and watcher.status()["deposits_credited"] == 1


async def test_finalized_is_what_the_chain_says(l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher]) -> None:
    watcher = watch()
    l1.finality_depth = 10
    l1.deposit([7])
    for _ in range(9):
        l1.mine()
    await watcher.tick()
    assert sink.deposits == []
    l1.mine()
    await watcher.tick()
    assert len(sink.deposits) == 1


async def test_finality_that_lags_too_long_gives_way_to_confirmations(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher]
) -> None:
    """No epoch can be cut without a final L1 block after the last one: waiting on would end the ledger by silence."""
    watcher, half = watch(), l1.deployment.max_silence // 2
    l1.finality_depth = 10
    for _ in range(20):
        l1.mine()
    l1.deposit([7])
    await watcher.tick()
    final = l1.chain[-1 - l1.finality_depth].block

    async def mine_without_finality() -> None:
        l1.mine()
        l1.finality_depth += 1
        await watcher.tick()

    while l1.top.block.timestamp + 12 - final.timestamp <= half:
        await mine_without_finality()
    assert sink.deposits == [] and watcher.status()["state"] == "synced"
    for _ in range(LAGGING_CONFIRMATIONS):
        await mine_without_finality()
    assert [deposit.amount for deposit in sink.deposits] == [7]
    assert watcher.status()["state"] == "finality_lags" and not watcher.status()["is_ok"]
    assert watcher.synced is not None
    assert watcher.synced.l1_block == l1.top.block.number - LAGGING_CONFIRMATIONS + 1
    l1.finality_depth = 0  # it is back
    await watcher.tick()
    assert watcher.synced.l1_block == l1.top.block.number and watcher.status()["state"] == "synced"


async def test_set_confirmations_are_never_cut_short(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher]
) -> None:
    watcher = watch(confirmations=200)
    l1.deposit([7])
    for _ in range(198):
        l1.mine()
    await watcher.tick()
    assert sink.deposits == []
    l1.mine()
    await watcher.tick()
    assert len(sink.deposits) == 1


async def test_one_confirmation_is_the_newest_block(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher]
) -> None:
    watcher = watch(confirmations=1)
    l1.deposit([1, 2])
    await watcher.tick()
    assert [deposit.amount for deposit in sink.deposits] == [1, 2]


async def test_redelivery_and_restarts_credit_once(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher], open_store: Callable[[], EthereumStore]
) -> None:
    l1.deposit([1])
    for _ in range(5):
        await watch(open_store(), confirmations=1).tick()
    l1.deposit([2])
    await watch(open_store(), confirmations=1).tick()
    assert [deposit.amount for deposit in sink.deposits] == [1, 2]


async def test_after_a_long_absence_it_catches_up_in_bounded_pieces(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher]
) -> None:
    watcher = watch(confirmations=1, log_range=10, batch_size=4)
    l1.mine()
    await watcher.tick()
    for number in range(300):
        l1.mine()
        if number % 97 == 50:
            l1.deposit([1, 2, 3])
    l1.calls.clear()
    await watcher.tick()
    assert [deposit.index for deposit in sink.deposits] == list(range(9))
    assert sink.batches == [4, 4, 1]
    assert l1.calls["get_logs"] < 31 and l1.calls["find_block"] < 60, l1.calls


async def test_assets_are_listed_in_order_when_in_force_and_before_their_deposits(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher]
) -> None:
    watcher = watch(confirmations=1)
    l1.mine()
    await watcher.tick()
    assert sink.assets == (TOKEN,)
    in_force = l1.top.block.timestamp + 100
    l1.list_asset(OTHER, in_force)
    await watcher.tick()
    assert sink.assets == (TOKEN,)
    while l1.top.block.timestamp < in_force - 12:
        l1.mine()
    l1.deposit([5], asset=OTHER)
    l1.deposit([6])
    await watcher.tick()
    assert sink.assets == (TOKEN, OTHER)
    assert [(deposit.asset, deposit.amount) for deposit in sink.deposits] == [(OTHER, 5), (TOKEN, 6)]


async def test_a_ledger_with_other_assets_is_a_wrong_contract(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher]
) -> None:
    sink.assets = (OTHER,)
    watcher = watch(confirmations=1)
    l1.mine()
    await watcher.tick()
    assert watcher.status()["state"] == "wrong_contract" and watcher.synced is None


async def test_a_reorganised_deposit_is_not_credited_and_its_successor_is(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher]
) -> None:
    watcher = watch(confirmations=3)
    l1.mine()
    l1.deposit([5])
    await watcher.tick()
    l1.reorganise(1)
    l1.deposit([6])
    l1.mine()
    l1.mine()
    await watcher.tick()
    assert [deposit.amount for deposit in sink.deposits] == [6]
    assert watcher.status()["deep_reorgs"] == 0


async def test_a_reorganisation_deeper_than_final_is_named_and_passes_when_the_deposit_is_back(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher]
) -> None:
    watcher = watch(confirmations=1)
    l1.mine()
    l1.deposit([5])
    await watcher.tick()
    synced = watcher.synced
    l1.reorganise(1)
    l1.mine()
    for _ in range(3):
        await watcher.tick()
    assert watcher.status()["state"] == "deposits_vanished" and watcher.status()["deep_reorgs"] == 1
    assert watcher.synced == synced
    l1.deposit([5])
    l1.deposit([6])
    await watcher.tick()
    assert watcher.status()["state"] == "synced"
    assert [deposit.amount for deposit in sink.deposits] == [5, 6]


async def test_an_endpoint_that_lags_changes_nothing(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher], open_store: Callable[[], EthereumStore]
) -> None:
    watcher = watch(confirmations=1)
    for _ in range(5):
        l1.mine()
    await watcher.tick()
    synced = watcher.synced
    newest = l1.chain[4:]
    del l1.chain[4:]
    await watcher.tick()
    assert watcher.synced == synced
    restarted = watch(open_store(), confirmations=1)
    await restarted.tick()
    assert restarted.synced is None and restarted.status()["state"] == "l1_behind"
    l1.chain += newest
    await restarted.tick()
    assert restarted.synced == synced


@pytest.mark.parametrize("loss", ["all", "one", "amount"])
async def test_logs_that_contradict_the_queue_are_a_fault(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher], loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    watcher = watch(confirmations=1)
    l1.deposit([1, 2])
    events = await l1.get_deposit_events(TOKEN, 0, 1)
    wrong: list[Any] = {
        "all": [],
        "one": events[1:],
        "amount": [msgspec.structs.replace(events[0], amount=9), events[1]],
    }[loss]

    async def answer(asset: bytes, first: int, last: int) -> list[Any]:
        return wrong

    with monkeypatch.context() as patch:
        patch.setattr(l1, "get_deposit_events", answer)
        await watcher.tick()
    state = "logs_contradict" if loss == "amount" else "logs_incomplete"
    assert watcher.status()["state"] == state and sink.deposits == [] and watcher.synced is None
    await watcher.tick()
    assert len(sink.deposits) == 2


async def test_a_wrong_chain_is_named_and_credits_nothing(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher]
) -> None:
    watcher = watch(confirmations=1)
    l1.deposit([1])
    l1.wrong = WrongDeployment("wrong_chain", "another")
    await watcher.tick()
    assert watcher.status()["state"] == "wrong_chain" and not watcher.status()["is_ok"] and sink.deposits == []
    l1.wrong = None
    await watcher.tick()
    assert len(sink.deposits) == 1


async def test_a_ledger_that_does_not_count_what_it_was_given_stops_the_node(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget(deposits: list[Any]) -> None:
        return

    monkeypatch.setattr(sink, "credit_deposits", forget)
    l1.deposit([1])
    with pytest.raises(BrokenInvariant):
        await watch(confirmations=1).tick()


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_each_deposit_is_credited_once(
    seed: int,
    l1: SimulatedL1,
    sink: FakeSink,
    watch: Callable[..., Watcher],
    open_store: Callable[[], EthereumStore],
) -> None:
    """Faults, restarts and reorganisations less deep than the confirmations, at random; then it calms down."""
    chance = random.Random(seed)
    settings = {"confirmations": 6, "log_range": chance.choice((1, 5, 1000)), "batch_size": chance.choice((1, 3, 500))}
    watcher = watch(open_store(), **settings)
    for _ in range(100):
        failing = chance.choice((0, 0.05, 0.3))
        l1.fault = lambda method, failing=failing: chance.random() < failing  # type: ignore[misc]
        match chance.randrange(6):
            case 0:
                asset = chance.choice([line.asset for line in l1.top.assets])
                l1.deposit([chance.randint(1, 100) for _ in range(chance.randint(1, 4))], asset=asset)
            case 1:
                l1.reorganise(chance.randint(1, 5))
            case 2:
                watcher = watch(open_store(), **settings)
            case 3 if len(l1.top.assets) < 4:
                l1.list_asset(chance.randbytes(20), l1.now_ms // 1000)
            case _:
                l1.mine()
        await watcher.tick()
    l1.fault = lambda method: False
    for _ in range(6):
        l1.mine()
    await watcher.tick()
    assert watcher.status()["state"] == "synced" and watcher.status()["deep_reorgs"] == 0
    assert sink.assets == tuple([line.asset for line in l1.top.assets])
    for asset in sink.assets:
        queued = l1.top.deposits.get(asset, ())
        mine = [deposit for deposit in sink.deposits if deposit.asset == asset]
        assert [(d.index, d.account, d.amount) for d in mine] == [(d.index, d.account, d.amount) for d in queued]
    for deposit in sink.deposits:
        assert l1.chain[deposit.l1_block].block.hash == deposit.l1_block_hash


def test_the_simulation_starts_where_the_contract_does(l1: SimulatedL1) -> None:
    assert l1.top.block.timestamp == START_S == l1.deployment.deployed_at


async def test_what_the_queue_held_at_the_last_look_is_shown(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher]
) -> None:
    watcher = watch(confirmations=2)
    assert watcher.queued_counts == {}
    l1.deposit([1, 2])
    l1.deposit([3])
    await watcher.tick()
    assert watcher.queued_counts == {TOKEN: 2} and len(sink.deposits) == 2
    l1.mine()
    l1.fault = "get_logs".__eq__
    await watcher.tick()
    assert watcher.queued_counts == {TOKEN: 3} and len(sink.deposits) == 2  # seen, and not credited yet
