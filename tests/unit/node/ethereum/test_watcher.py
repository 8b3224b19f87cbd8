"""The watcher over a simulated Ethereum: every deposit once, in order, none from a block that is not final."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain.block import compute_request_id
from chain.errors import BrokenInvariant
from node.ethereum.faults import EthereumFault, RpcError, WrongDeployment
from node.ethereum.l1 import DepositEvent, L1Block, QueuedDeposit
from node.ethereum.store import EthereumStore
from node.ethereum.watch_decision import LAGGING_CONFIRMATIONS, WatcherSettings
from node.ethereum.watcher import Synced, Watcher
from tests.unit.node.ethereum.simulated import (
    L1_CHAIN_ID,
    SETTLEMENT,
    START_S,
    TOKEN,
    FakeSink,
    Mined,
    SimulatedL1,
)

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


class Crash(BaseException):
    """The process dies here."""


class Lives:
    """What outlives the process: the chain, the ledger, the file. `watcher` is the life that goes on."""

    def __init__(
        self,
        l1: SimulatedL1,
        sink: FakeSink,
        open_store: Callable[[], EthereumStore],
        monkeypatch: pytest.MonkeyPatch,
        **settings: Any,
    ) -> None:
        self.l1, self.sink = l1, sink
        self.steps_left = -1
        """Steps until the process dies; negative: it does not. A step is a question, or a write before or after it."""
        self.steps = 0
        self.deaths = 0
        self.fault: Callable[[str], bool] = lambda method: False
        self._open_store = open_store
        self._settings = WatcherSettings(**settings)
        l1.fault = self._ask
        for name in ("list_assets", "credit_deposits"):
            monkeypatch.setattr(sink, name, self._make_deadly_write(getattr(sink, name)))
        self.begin()

    def begin(self) -> None:
        store = self._open_store()
        for name in ("put_credited", "set_cursor", "rewind"):
            setattr(store, name, self._make_deadly(getattr(store, name)))
        self.watcher = Watcher(self.l1, store, self.sink, self.l1.deployment, self._settings, self.l1.clock)

    async def tick(self) -> None:
        """Another life begins if this one ends."""
        try:
            await self.watcher.tick()
        except Crash:
            self.steps_left = -1
            self.deaths += 1
            self.begin()

    def _step(self) -> None:
        self.steps += 1
        self.steps_left -= 1
        if self.steps_left == 0:
            raise Crash

    def _ask(self, method: str) -> bool:
        self._step()
        return self.fault(method)

    def _make_deadly(self, write: Callable[..., None]) -> Callable[..., None]:
        def write_it(*arguments: Any) -> None:
            self._step()
            write(*arguments)
            self._step()

        return write_it

    def _make_deadly_write(self, write: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def write_it(*arguments: Any) -> None:
            self._step()
            await write(*arguments)
            self._step()

        return write_it


def check_all_credited_once(l1: SimulatedL1, sink: FakeSink) -> None:
    assert sink.assets == tuple([line.asset for line in l1.top.assets])
    for asset in sink.assets:
        queued = l1.top.deposits.get(asset, ())
        mine = [deposit for deposit in sink.deposits if deposit.asset == asset]
        assert [(d.index, d.account, d.amount) for d in mine] == [(d.index, d.account, d.amount) for d in queued]
    for deposit in sink.deposits:
        assert l1.chain[deposit.l1_block].block.hash == deposit.l1_block_hash


class LyingLogs:
    """What an endpoint may make of the logs. `chance` decides which, for each query."""

    def __init__(self, l1: SimulatedL1, chance: random.Random) -> None:
        self.rate = 0.0
        self._chance = chance
        self._tell = l1.get_deposit_events
        self._stale: list[DepositEvent] = []

    async def get_deposit_events(self, asset: bytes, first: int, last: int) -> list[DepositEvent]:
        events = await self._tell(asset, first, last)
        self._stale = (self._stale + events)[-20:]
        if self._chance.random() >= self.rate:
            return events
        replace = msgspec.structs.replace
        match self._chance.randrange(8):
            case 0:
                return []
            case 1:
                return events * 5
            case 2:
                return events[:-1]
            case 3:
                return self._chance.sample(events, len(events))
            case 4:
                return [replace(event, l1_block_hash=self._chance.randbytes(32)) for event in events]
            case 5:
                return [*[replace(event, amount=event.amount + 1) for event in events], *events]
            case 6:
                return [replace(event, index=event.index + 1) for event in events]
            case _:
                return self._stale  # of a fork, perhaps


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_each_deposit_is_credited_once(
    seed: int,
    l1: SimulatedL1,
    sink: FakeSink,
    open_store: Callable[[], EthereumStore],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faults, lying logs, endpoints that go back, deaths between any two steps, and reorganisations less deep than the
    confirmations, at random; then it calms down."""
    chance = random.Random(seed)
    logs = LyingLogs(l1, chance)
    monkeypatch.setattr(l1, "get_deposit_events", logs.get_deposit_events)
    lives = Lives(
        *(l1, sink, open_store, monkeypatch),
        confirmations=6,
        log_range=chance.choice((1, 5, 1000)),
        batch_size=chance.choice((1, 3, 500)),
        max_batches=chance.choice((1, 2, 64)),
    )
    synced = 0
    for _ in range(100):
        failing = chance.choice((0, 0.05, 0.3))
        lives.fault = lambda method, failing=failing: chance.random() < failing  # type: ignore[misc]
        logs.rate = chance.choice((0, 0, 0.5))
        hidden: list[Any] = []
        match chance.randrange(8):
            case 0 | 1:
                asset = chance.choice([line.asset for line in l1.top.assets])
                l1.deposit([chance.randint(1, 100) for _ in range(chance.randint(1, 4))], asset=asset)
            case 2:
                l1.reorganise(chance.randint(1, 5))
            case 3:
                lives.begin()
            case 4 if len(l1.top.assets) < 4:
                l1.list_asset(chance.randbytes(20), l1.now_ms // 1000)
            case 5:
                hidden = l1.chain[1:][-chance.randint(1, 4) :]  # an endpoint that is behind
                del l1.chain[len(l1.chain) - len(hidden) :]
            case _:
                l1.mine()
        lives.steps_left = chance.choice((-1, chance.randint(1, 40)))
        await lives.tick()
        l1.chain += hidden
        if lives.watcher.synced is not None:
            synced = max(synced, lives.watcher.synced.l1_block)
            assert synced <= max(0, l1.top.block.number - 5)
    lives.fault, lives.steps_left, logs.rate = lambda method: False, -1, 0
    for _ in range(6):
        l1.mine()
    for _ in range(1_000):
        await lives.tick()
        if lives.watcher.status()["state"] == "synced":
            break
    status = lives.watcher.status()
    assert (status["state"], status["problems"], status["deposits_missing"]) == ("synced", [], 0), status
    assert (status["deep_reorgs"], status["deposits_lost"]) == (0, 0)
    check_all_credited_once(l1, sink)


@pytest.mark.long
async def test_a_death_between_any_two_steps_harms_nothing(tmp_path: Path) -> None:
    """One history, with a death at its first step, its second, and so on until it is over before it dies: deposits of
    two assets are caught up with, and then a reorganisation below what was final puts them into other blocks."""
    for death in range(1, 1_000):
        l1, sink = SimulatedL1(), FakeSink()
        opened: list[EthereumStore] = []

        def open_store(death: int = death, opened: list[EthereumStore] = opened) -> EthereumStore:
            opened.append(EthereumStore(tmp_path / f"{death}.sqlite", L1_CHAIN_ID, SETTLEMENT))
            return opened[-1]

        with pytest.MonkeyPatch.context() as patch:
            lives = Lives(l1, sink, open_store, patch, confirmations=1, log_range=2, batch_size=2)
            lives.steps_left = death
            l1.list_asset(OTHER, START_S)
            for amount in (1, 4):
                l1.deposit([amount, amount + 1, amount + 2])
                l1.deposit([amount], asset=OTHER)
            await lives.tick()
            await lives.tick()
            taken = [(queued.amount, queued.asset) for queue in l1.top.deposits.values() for queued in queue[-1:]]
            l1.reorganise(2)
            for amount, asset in taken:
                for one in (amount - 2, amount - 1, amount) if asset == TOKEN else (amount,):
                    l1.deposit([one], asset=asset)
            for _ in range(2 + lives.deaths):
                l1.mine()
                await lives.tick()
            lives.steps_left, is_over = -1, lives.steps_left > 0
            for _ in range(2):  # the second one knows nothing of the replaced block any more
                l1.mine()
                await lives.tick()
            status = lives.watcher.status()
            assert (status["state"], status["deposits_lost"]) == ("synced", 0), (death, status)
            for asset in (TOKEN, OTHER):
                credited = [(d.index, d.amount) for d in sink.deposits if d.asset == asset]
                assert credited == [(queued.index, queued.amount) for queued in l1.top.deposits[asset]], death
        for store in opened:
            store.close()
        if is_over:
            assert death > 60, "too few steps to be what was meant"
            return
    raise AssertionError("it never ended")


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


# ------------------------------------------------------------------------------------------------ what an endpoint does


def get_problems(watcher: Watcher) -> list[str]:
    return [problem["situation"] for problem in watcher.status()["problems"]]


def hide(l1: SimulatedL1, count: int) -> list[Mined]:
    """The endpoint is behind by so many blocks, until they are put back."""
    hidden = l1.chain[-count:]
    del l1.chain[-count:]
    return hidden


async def test_an_endpoint_that_stays_behind_is_an_alarm_in_time(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher], open_store: Callable[[], EthereumStore]
) -> None:
    watcher = watch(confirmations=1, stall_after_ms=60_000)
    l1.mine()
    l1.deposit([1])
    l1.deposit([2])
    await watcher.tick()
    hidden, hidden_at = hide(l1, 2), l1.now_ms
    for one in (watcher, watch(open_store(), confirmations=1, stall_after_ms=60_000)):
        l1.now_ms = hidden_at
        await one.tick()
        assert (one.status()["state"], one.status()["is_ok"]) == ("l1_behind", True)
        l1.now_ms += 60_000
        await one.tick()
        assert "l1_behind" not in get_problems(one)
        l1.now_ms += 1
        await one.tick()
        assert "l1_behind" in get_problems(one) and sink.deposit_counts == {TOKEN: 2}
    l1.chain += hidden
    l1.deposit([3])
    await watcher.tick()
    assert watcher.status()["state"] == "synced" and sink.deposit_counts == {TOKEN: 3}
    hide(l1, 1)
    await watcher.tick()
    assert "l1_behind" not in get_problems(watcher), "the time that it may last begins anew"


async def test_no_new_block_for_long_is_named_and_over_with_the_next_one(
    l1: SimulatedL1, watch: Callable[..., Watcher]
) -> None:
    watcher = watch(confirmations=1)
    l1.mine()
    await watcher.tick()
    l1.now_ms += 300_000
    await watcher.tick()
    assert watcher.status()["state"] == "synced"
    l1.now_ms += 1_000
    await watcher.tick()
    assert watcher.status()["state"] == "l1_stalled" and not watcher.status()["is_ok"]
    l1.mine()
    await watcher.tick()
    assert watcher.status()["state"] == "synced"


async def test_what_is_wrong_with_one_assets_deposits_keeps_back_no_others(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = watch(confirmations=1, batch_size=2)
    l1.list_asset(OTHER, START_S)
    tell = l1.get_deposit_events

    async def fail(asset: bytes, first: int, last: int) -> list[DepositEvent]:
        if asset == TOKEN:
            raise EthereumFault("no answer")
        return await tell(asset, first, last)

    for amount in range(1, 6):
        l1.deposit([amount])
        l1.deposit([amount], asset=OTHER)
    with monkeypatch.context() as patch:
        patch.setattr(l1, "get_deposit_events", fail)
        await watcher.tick()
    assert get_problems(watcher) == ["l1_unreachable"] and watcher.synced is None
    assert sink.deposit_counts == {OTHER: 5} and watcher.status()["deposits_missing"] == 5
    await watcher.tick()
    assert watcher.status()["state"] == "synced" and sink.deposit_counts == {OTHER: 5, TOKEN: 5}
    assert watcher.status()["deposits_missing"] == 0


async def test_five_bad_things_at_once_are_all_named_and_the_rest_is_synced(
    l1: SimulatedL1, sink: FakeSink, open_store: Callable[[], EthereumStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finality lags; the cursor's block was replaced, and with it a deposit vanished; the logs of one asset do not
    come, those of another contradict the queue. Two more assets are as they should be."""
    vanished, unanswered, contradicted, good, new = TOKEN, OTHER, b"\xcc" * 20, b"\xdd" * 20, b"\xee" * 20
    watcher = Watcher(l1, open_store(), sink, l1.deployment, WatcherSettings(), l1.clock)
    for asset in (unanswered, contradicted, good):
        l1.list_asset(asset, START_S)
    for asset in (vanished, unanswered, contradicted, good):
        l1.deposit([1], asset=asset)
    l1.deposit([2], asset=vanished)  # the one that goes
    l1.finality_depth = 0
    await watcher.tick()
    assert watcher.status()["state"] == "synced" and len(sink.deposits) == 5
    l1.reorganise(1)
    l1.list_asset(new, START_S)
    for asset in (unanswered, contradicted, good, new):
        l1.deposit([3, 4], asset=asset)
    while 12 * len(l1.chain) < l1.deployment.max_silence:
        l1.mine()
        l1.finality_depth += 1
    for _ in range(LAGGING_CONFIRMATIONS):
        l1.mine()
        l1.finality_depth += 1
    tell = l1.get_deposit_events

    async def answer(asset: bytes, first: int, last: int) -> list[DepositEvent]:
        if asset == unanswered:
            raise EthereumFault("no answer")
        events = await tell(asset, first, last)
        return [msgspec.structs.replace(e, amount=9) for e in events] if asset == contradicted else events

    with monkeypatch.context() as patch:
        patch.setattr(l1, "get_deposit_events", answer)
        one = watcher
        for is_restarted in (False, True):
            if is_restarted:
                one = Watcher(l1, open_store(), sink, l1.deployment, WatcherSettings(), l1.clock)
            for _ in range(2):
                await one.tick()
                found = get_problems(one)
                assert found[:4] == ["deposits_vanished", "l1_unreachable", "logs_contradict", "finality_lags"]
                assert found[4:] == ["final_block_replaced"] * (not is_restarted)
                assert (one.status()["state"], one.status()["deposits_lost"]) == ("deposits_vanished", 1)
                assert one.status()["deposits_missing"] == 4
        assert sink.deposit_counts == {vanished: 2, unanswered: 1, contradicted: 1, good: 3, new: 2}
        assert watcher.status()["deep_reorgs"] == 1
    l1.deposit([2], asset=vanished)
    for _ in range(LAGGING_CONFIRMATIONS):
        l1.mine()
    l1.finality_depth = 0
    await watcher.tick()
    assert get_problems(watcher) == []
    assert sink.deposit_counts == {vanished: 2, unanswered: 3, contradicted: 3, good: 3, new: 2}
    assert watcher.status()["deposits_lost"] == watcher.status()["deposits_missing"] == 0


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_deposit_that_moved_to_another_block_is_back(
    is_restarted: bool,
    l1: SimulatedL1,
    sink: FakeSink,
    watch: Callable[..., Watcher],
    open_store: Callable[[], EthereumStore],
) -> None:
    """The queue holds it as it was credited, though its block was replaced: nothing is lost, and it was counted."""
    watcher = watch(confirmations=1)
    l1.mine()
    l1.deposit([5])
    await watcher.tick()
    l1.reorganise(1)
    l1.deposit([5])
    if is_restarted:
        watcher = watch(open_store(), confirmations=1)
    await watcher.tick()
    status = watcher.status()
    assert (status["state"], status["deep_reorgs"], status["deposits_lost"]) == ("final_block_replaced", 1, 0)
    assert watcher.synced == Synced(l1.top.block.number, l1.top.block.timestamp)
    l1.mine()
    await watcher.tick()
    assert watcher.status()["state"] == "synced" and len(sink.deposits) == 1
    l1.reorganise(2)  # it goes again
    l1.mine()
    await watcher.tick()
    assert (watcher.status()["state"], watcher.status()["deep_reorgs"]) == ("deposits_vanished", 2)


async def test_another_deposit_in_its_place_is_an_alarm_until_the_credited_one_is_back(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher], open_store: Callable[[], EthereumStore]
) -> None:
    watcher = watch(confirmations=1)
    l1.list_asset(OTHER, START_S)
    l1.deposit([1])
    l1.deposit([5, 6])
    before = list(l1.chain)
    await watcher.tick()
    l1.reorganise(1)
    l1.deposit([5, 7])
    for is_restarted in (False, True):
        one = watch(open_store(), confirmations=1) if is_restarted else watcher
        l1.deposit([8], asset=OTHER)
        l1.deposit([9])
        for _ in range(2):
            await one.tick()
            status = one.status()
            assert (status["state"], status["deposits_lost"]) == ("deposits_vanished", 1)
            assert "1 deposits of 0xaaaa" in status["detail"] and "the first is 2" in status["detail"]
    # What follows is credited all the same, and what is up to there may be called complete.
    assert sink.deposit_counts == {TOKEN: 5, OTHER: 2} and one.synced is not None
    assert one.synced.l1_block == l1.top.block.number
    assert [d.amount for d in sink.deposits if d.asset == TOKEN] == [1, 5, 6, 9, 9]
    l1.chain = before  # the first history wins in the end
    for _ in range(8):
        l1.deposit([9])
        l1.deposit([8], asset=OTHER)
    one = watch(open_store(), confirmations=1)
    await one.tick()
    l1.mine()
    await one.tick()
    assert (one.status()["state"], one.status()["deposits_lost"]) == ("synced", 0)
    assert [d.amount for d in sink.deposits if d.asset == TOKEN] == [1, 5, 6] + [9] * 8


async def test_a_block_that_is_replaced_while_it_is_read_credits_nothing(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = watch(confirmations=1)
    l1.deposit([5])
    tell = l1.get_deposit_events

    async def reorganise(asset: bytes, first: int, last: int) -> list[DepositEvent]:
        events = await tell(asset, first, last)
        await l1.find_block(events[0].l1_block)
        l1.reorganise(1)
        l1.deposit([6])
        return events

    with monkeypatch.context() as patch:
        patch.setattr(l1, "get_deposit_events", reorganise)
        await watcher.tick()
    assert sink.deposits == [] and not watcher.status()["is_ok"]
    await watcher.tick()
    assert [(d.amount, d.l1_block_hash) for d in sink.deposits] == [(6, l1.top.block.hash)]


async def test_an_endpoint_that_bears_fewer_blocks_a_query_is_asked_for_fewer(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = watch(confirmations=1, log_range=100)
    for _ in range(40):
        l1.mine()
        l1.deposit([1])
    tell, ranges = l1.get_deposit_events, []

    async def refuse(asset: bytes, first: int, last: int) -> list[DepositEvent]:
        ranges.append(last - first + 1)
        if ranges[-1] > 10:
            raise RpcError("eth_getLogs", -32005, "query exceeds max block range 10")
        return await tell(asset, first, last)

    monkeypatch.setattr(l1, "get_deposit_events", refuse)
    await watcher.tick()
    assert watcher.status()["state"] == "synced" and sink.deposit_counts == {TOKEN: 40}
    assert len([count for count in ranges if count > 10]) < 8, ranges


async def test_an_endpoint_that_bears_fewer_questions_at_once_is_asked_for_fewer_deposits(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rate limit: the same batch, tried again, would fail for ever."""
    watcher = watch(confirmations=1, batch_size=200)
    l1.deposit([1] * 250)
    tell = l1.get_deposits

    async def limit(asset: bytes, first: int, count: int, at: int) -> list[QueuedDeposit]:
        if count > 30:
            raise RpcError("eth_call", 429, "Too Many Requests")
        return await tell(asset, first, count, at)

    monkeypatch.setattr(l1, "get_deposits", limit)
    for _ in range(8):
        await watcher.tick()
        l1.mine()
    assert sink.deposit_counts == {TOKEN: 250} and watcher.status()["state"] == "synced"


async def test_an_older_copy_of_the_ledger_gets_again_what_it_lacks(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher], open_store: Callable[[], EthereumStore]
) -> None:
    """The cursor may be ahead of the ledger: the ledger's count is what counts."""
    for amount in (1, 2, 3):
        l1.deposit([amount])
    await watch(confirmations=1).tick()
    del sink.deposits[1:]
    sink.deposit_counts[TOKEN] = 1
    watcher = watch(open_store(), confirmations=1, log_range=1)
    await watcher.tick()
    assert watcher.status()["state"] == "synced" and [d.amount for d in sink.deposits] == [1, 2, 3]


# --------------------------------------------------------------------------------------------------- long absences


def fill_queue(l1: SimulatedL1, count: int, per_block: int, assets: tuple[bytes, ...], pause: int) -> None:
    """So many deposits of each asset, one asset after the other within a block, `pause` empty blocks between."""
    queues: dict[bytes, list[QueuedDeposit]] = {asset: [] for asset in assets}
    for first in range(0, count, per_block):
        for _ in range(pause):
            l1.mine()
        l1.mine()
        block, events = l1.top.block, []
        for asset in assets:
            for index in range(first, min(first + per_block, count)):
                account = index.to_bytes(20)
                queues[asset].append(QueuedDeposit(asset, index, account, index + 1, 0, block.timestamp))
                events.append(
                    DepositEvent(asset, index, account, index + 1, block.number, block.hash, bytes(32), len(events))
                )
        l1.chain[-1] = replace(l1.top, events=tuple(events))
    l1.chain.append(
        replace(
            l1.top,
            block=L1Block(l1.top.block.number + 1, b"\x99" * 32, l1.top.block.timestamp + 12, 1),
            deposits={asset: tuple(queue) for asset, queue in queues.items()},
            events=(),
        )
    )
    l1.now_ms += 12_000


@pytest.mark.long
async def test_a_hundred_thousand_deposits_of_two_assets_are_credited_in_pieces(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    l1.list_asset(OTHER, START_S)
    fill_queue(l1, 50_000, per_block=60, assets=(TOKEN, OTHER), pause=1)
    tell, shown, sizes = l1.get_deposit_events, [], []
    watcher = watch(confirmations=1, log_range=20)

    async def note(asset: bytes, first: int, last: int) -> list[DepositEvent]:
        events = await tell(asset, first, last)
        shown.append(watcher.status()["detail"])
        sizes.append(len(events))
        return events

    monkeypatch.setattr(l1, "get_deposit_events", note)
    ticks = 0
    while watcher.status()["state"] != "synced":
        await watcher.tick()
        ticks += 1
        assert ticks < 5
    assert sink.deposit_counts == {TOKEN: 50_000, OTHER: 50_000}
    assert [d.index for d in sink.deposits if d.asset == OTHER] == list(range(50_000))
    assert max(sink.batches) == 1_000 and max(sizes) <= 20 * 60 and len(sizes) < 500
    assert l1.calls["find_block"] < 20_000
    assert shown[0].startswith("catching up: 0 of 100,000 deposits, searching L1 blocks ")
    assert [text for text in shown if text.startswith("catching up: 50,000 of 100,000 deposits, searching")]


async def test_a_restart_in_the_middle_of_a_catch_up_goes_on_where_it_was(
    l1: SimulatedL1,
    sink: FakeSink,
    watch: Callable[..., Watcher],
    open_store: Callable[[], EthereumStore],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill_queue(l1, 200, per_block=2, assets=(TOKEN,), pause=9)
    asked: list[int] = []
    tell = l1.get_deposit_events

    async def note(asset: bytes, first: int, last: int) -> list[DepositEvent]:
        asked.append(first)
        return await tell(asset, first, last)

    monkeypatch.setattr(l1, "get_deposit_events", note)
    settings = {"confirmations": 1, "log_range": 25, "batch_size": 20, "max_batches": 3}
    watcher = watch(**settings)
    await watcher.tick()
    assert watcher.status()["state"] == "catching_up" and watcher.status()["is_ok"] and watcher.synced is None
    assert watcher.status()["detail"].startswith("catching up: 60 of 200 deposits")
    assert watcher.status()["deposits_missing"] == 140
    reached = sink.deposits[-1].l1_block
    asked.clear()
    watcher = watch(open_store(), **settings)
    await watcher.tick()
    assert min(asked) > reached and len(sink.deposits) == 120
    while watcher.status()["state"] != "synced":
        await watcher.tick()
    assert [d.index for d in sink.deposits] == list(range(200))
    assert watcher.status()["deposits_missing"] == 0


async def test_it_does_not_pause_while_it_catches_up(
    l1: SimulatedL1, sink: FakeSink, watch: Callable[..., Watcher]
) -> None:
    fill_queue(l1, 60, per_block=2, assets=(TOKEN,), pause=0)
    watcher = watch(confirmations=1, batch_size=2, max_batches=1, poll_interval_ms=3_600_000)
    running = asyncio.create_task(watcher.run())
    await asyncio.wait_for(watcher.change.wait_until(lambda: watcher.synced is not None), 20)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sink.deposit_counts == {TOKEN: 60}
