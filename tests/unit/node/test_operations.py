"""What the operator sees, over real parts: a ledger at work, a committer and a watcher on a simulated Ethereum."""

import asyncio
import contextlib
import math
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from chain.state import State
from node import __version__, metrics
from node.ethereum.commit_decision import CommitterSettings, Situation
from node.ethereum.committer import Committer, FundsLevel
from node.ethereum.endpoints import EndpointState, open_endpoints
from node.ethereum.faults import EthereumFault
from node.ethereum.gauges import set_gauges
from node.ethereum.reserves import AssetReserves, Reading, Reserves
from node.ethereum.store import EthereumStore
from node.ethereum.watch_decision import WatcherSettings, WatcherSituation
from node.ethereum.watcher import Watcher
from node.follower import Progress
from node.operations import COMMITMENTS_SHOWN, DepositsWaiting, Operations, measure_disk
from node.verification import VerifierPool
from tests.unit.chain.actors import ETHER, PARAMETERS, TOKEN
from tests.unit.node.ethereum.simulated import ACCOUNT, GWEI, L1_CHAIN_ID, SETTLEMENT, FakeSink, SimulatedL1
from tests.unit.node.running import Desk, make_journal, pay, settle
from tests.unit.node.test_epochs import Office, open_office

COUNTERS = ("tally_commitment_attempts_total", "tally_commitment_cost_gwei_total", "tally_deep_reorganisations_total")
GAUGES = (
    "tally_commitment_lag_epochs", "tally_commitment_waiting_seconds", "tally_commitment_attempts_in_flight",
    "tally_gas_balance_gwei", "tally_budget_spent_gwei", "tally_budget_gwei", "tally_l1_base_fee_gwei",
    "tally_deposits_missing",
)  # fmt: skip


class Site:
    """The parts of a node, and what is reported of them."""

    def __init__(self, office: Office, data_dir: Path) -> None:
        self.office, self.l1, self.data_dir = office, SimulatedL1(), data_dir
        self.store = EthereumStore(data_dir / "ethereum.sqlite", L1_CHAIN_ID, SETTLEMENT)
        self.committer = Committer(
            self.l1, self.store, ACCOUNT, self.l1.deployment, CommitterSettings(max_fee_wei=300 * GWEI), self.l1.clock
        )
        self.sink = FakeSink()
        self.watcher = Watcher(
            self.l1, self.store, self.sink, self.l1.deployment, WatcherSettings(confirmations=1), self.l1.clock
        )
        self.durable, self.indexed, self.sealed = Progress(12), Progress(9), Progress(5)
        self.reserves = Reserves()
        self.endpoints = open_endpoints(["http://127.0.0.1:1/secret"], 5, b"\x5e" * 20)
        self.operations = Operations(
            sequencer=office.desk.sequencer,
            verifiers=VerifierPool([]),
            max_backlog=50,
            durable=self.durable,
            indexed=self.indexed,
            sealed=self.sealed,
            epochs=office.keeper,
            committer=self.committer,
            watcher=self.watcher,
            get_reserves=lambda: self.reserves,
            endpoints=self.endpoints,
            data_dir=data_dir,
            clock=self.l1.clock,
        )


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_office() as office:
        site = Site(office, tmp_path)
        yield site
        await site.endpoints.close()
        site.store.close()


async def test_a_node_that_has_just_begun(site: Site) -> None:
    report = await site.operations.report()
    assert (report.read_at, report.started_at, report.version) == (site.l1.now_ms, site.l1.now_ms, __version__)
    assert (report.lag.index, report.lag.sealer) == (3, 7)
    assert (report.backlog.verifying, report.backlog.ordering, report.backlog.limit) == (0, 0, 50)
    assert (report.epoch.number, report.epoch.record_count) == (1, site.office.desk.sequencer.epoch_records)
    assert (report.epoch.due_at, report.epoch.obstacle) == (site.office.keeper.due_at, None)
    assert (report.committer.state, report.committer.last, report.committer.in_flight) == ("starting", (), ())
    assert report.committer.account == ACCOUNT.address
    assert (report.watcher.state, report.watcher.l1_block) == ("starting", None)
    (endpoint,) = report.endpoints
    assert (endpoint.name, endpoint.state, endpoint.health.call_count) == ("127.0.0.1:1", "untried", 0)


async def test_why_an_epoch_that_is_due_is_not_cut(site: Site) -> None:
    await site.office.pay(0)
    await site.office.at(3601)
    report = await site.operations.report()
    assert report.epoch.obstacle == "deposits up to the last cut are not known to be final yet"
    assert report.epoch.record_count == site.office.desk.sequencer.epoch_records > 0


async def test_what_waits_to_be_ordered(tmp_path: Path) -> None:
    site = Site(Office(Desk(make_journal(), State(PARAMETERS))), tmp_path)  # whose sequencer does not run
    waiting = asyncio.create_task(site.office.desk.sequencer.submit([pay(0), pay(1)]))
    await settle()
    assert (await site.operations.report()).backlog.ordering == 2
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    site.store.close()


async def test_commitments_on_their_way_and_behind(site: Site) -> None:
    for _ in range(COMMITMENTS_SHOWN + 2):
        await site.committer.submit(*site.l1.seal())
        await site.committer.tick()
        site.l1.mine()
        await site.committer.tick()
    await site.committer.submit(*site.l1.seal())
    await site.committer.tick()
    report = (await site.operations.report()).committer
    newest = COMMITMENTS_SHOWN + 3
    assert [status.epoch for status in report.last] == list(range(newest, newest - COMMITMENTS_SHOWN, -1))
    assert (report.state, report.is_ok, report.lag_epochs) == ("in_flight", True, 1)
    assert (report.sealed_epoch, report.mined_epoch) == (newest, newest - 1)
    assert [attempt.epoch for attempt in report.in_flight] == [newest]
    assert report.funds == site.committer.get_funds() and report.funds.spent > 0
    assert report.l1_block == site.l1.top.block.number


async def test_deposits_that_wait_are_told_apart(site: Site) -> None:
    """The ledger has two of the token, as `open_office` leaves it."""
    state = site.office.desk.sequencer.state
    credited = state.deposit_counts[TOKEN]
    site.watcher.queued_counts = {ETHER: 0, TOKEN: credited + 3}
    line = AssetReserves(TOKEN, 0, 0, 0, credited + 7, 0, 0, 0, 0)
    site.reserves = Reserves(Reading(0, site.l1.top.block, 0, 0, (line,)))
    report = (await site.operations.report()).watcher
    assert report.deposits == (
        DepositsWaiting(ETHER, 0, 0, None),
        DepositsWaiting(TOKEN, credited, credited + 3, credited + 7),
    )
    assert [(each.crediting, each.unfinal) for each in report.deposits] == [(0, 0), (3, 4)]


@pytest.mark.parametrize(
    ("final", "newest", "crediting", "unfinal"),
    [(None, None, 0, 0), (5, None, 0, 0), (9, 7, 4, 0), (None, 8, 0, 3), (4, 4, 0, 0), (5, 6, 0, 1)],
)
def test_what_was_read_earlier_never_makes_less_than_nothing(
    final: int | None, newest: int | None, crediting: int, unfinal: int
) -> None:
    waiting = DepositsWaiting(TOKEN, 5, final, newest)
    assert (waiting.crediting, waiting.unfinal) == (crediting, unfinal)


async def test_refusals_are_the_metrics_own(site: Site) -> None:
    before = metrics.count_refusals()
    for code in ("test_rare", *["test_frequent"] * 3):
        metrics.REFUSALS.labels(code).inc()
    after = metrics.count_refusals()
    assert after == {**before, "test_rare": 1, "test_frequent": 3}
    listed = (await site.operations.report()).refusals
    assert dict(listed) == after
    counts = [count for _, count in listed]
    assert counts == sorted(counts, reverse=True)


async def test_an_endpoint_out_of_reach_is_seen_and_keeps_its_key(site: Site) -> None:
    with pytest.raises(EthereumFault):
        await site.endpoints.call("eth_chainId", [])
    report = await site.operations.report()
    (endpoint,) = report.endpoints
    assert (endpoint.state, endpoint.is_ok) == ("failing", False)
    assert (endpoint.health.faults_in_row, endpoint.health.last_answer_at) == (1, None)
    assert "secret" not in str(msgspec.to_builtins(report, builtin_types=(bytes,)))


# --- the disk


def write(path: Path, size: int) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))


def test_files_are_measured_with_what_lies_beside_them(tmp_path: Path) -> None:
    for name, size in (("journal/1.ldb", 100), ("journal/2.log", 20), ("index.sqlite", 7), ("index.sqlite-wal", 5)):
        write(tmp_path / name, size)
    write(tmp_path / "index.sqlite-shm", 1)
    (tmp_path / "out").symlink_to("/")
    use = measure_disk(tmp_path)
    assert dict(use.parts) == {"journal": 120, "index.sqlite": 13, "out": 1}
    assert (use.total, use.problem) == (134, "") and use.free > 0


def test_a_file_that_is_gone_while_it_is_measured_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "journal" / "1.ldb", 100)
    with os.scandir(tmp_path / "journal") as entries:
        (entry,) = entries
    (tmp_path / "journal" / "1.ldb").unlink()

    @contextlib.contextmanager
    def scan(_: object):  # type: ignore[no-untyped-def]
        yield [entry]

    monkeypatch.setattr(os, "scandir", scan)
    use = measure_disk(tmp_path)
    assert (use.total, use.problem) == (0, "")


def test_a_disk_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    use = measure_disk(tmp_path / "none")
    assert (use.parts, use.total) == ((), 0) and "none" in use.problem


async def test_the_disk_is_looked_at_now_and_then(site: Site) -> None:
    first = (await site.operations.report()).disk
    write(site.data_dir / "more", 1000)
    site.l1.now_ms += 9_999
    assert (await site.operations.report()).disk is first
    site.l1.now_ms += 1
    assert dict((await site.operations.report()).disk.parts)["more"] == 1000


# --- what Prometheus sees


def read_metrics() -> dict[str, float]:
    """Sample, with its labels, → value."""
    samples = [sample for family in metrics.REGISTRY.collect() for sample in family.samples]
    return {
        sample.name + "".join([f" {value}" for value in sample.labels.values()]): sample.value for sample in samples
    }


async def test_every_state_of_committer_and_watcher_has_its_gauge(site: Site) -> None:
    await site.committer.tick()
    await site.watcher.tick()
    set_gauges(site.committer, site.watcher, site.endpoints)
    found = read_metrics()
    for name, words, state in (
        ("tally_committer_state", Situation, "idle"),
        ("tally_watcher_state", WatcherSituation, "waiting_for_finality"),
        ("tally_funds_state", FundsLevel, "enough"),
    ):
        assert {word: found[f"{name} {word}"] for word in words} == {word: float(word == state) for word in words}


async def test_every_state_of_an_endpoint_has_its_gauge(site: Site) -> None:
    with pytest.raises(EthereumFault):
        await site.endpoints.call("eth_chainId", [])
    set_gauges(site.committer, site.watcher, site.endpoints)
    found = read_metrics()
    states = {state: found[f"tally_l1_endpoint_state 127.0.0.1:1 {state}"] for state in EndpointState}
    assert states == {state: float(state is EndpointState.FAILING) for state in EndpointState}
    assert found["tally_l1_endpoint_faults_total 127.0.0.1:1"] > 0


async def test_what_commitments_wait_for_and_cost_is_counted(site: Site) -> None:
    before = read_metrics()
    set_gauges(site.committer, site.watcher, site.endpoints)
    unknown = read_metrics()
    assert math.isnan(unknown["tally_gas_balance_gwei"]) and math.isnan(unknown["tally_l1_base_fee_gwei"])
    for _ in range(2):
        await site.committer.submit(*site.l1.seal())
        await site.committer.tick()
        site.l1.mine()
        await site.committer.tick()
    await site.committer.submit(*site.l1.seal())
    await site.committer.tick()
    site.l1.now_ms += 7_000
    set_gauges(site.committer, site.watcher, site.endpoints)
    found, funds = read_metrics(), site.committer.get_funds()
    assert funds.balance is not None and funds.base_fee is not None and funds.spent > GWEI
    assert {name: found[name] - before[name] for name in COUNTERS} == {
        "tally_commitment_attempts_total": 3,
        "tally_commitment_cost_gwei_total": sum([site.store.get_attempts(epoch)[0].cost // GWEI for epoch in (1, 2)]),
        "tally_deep_reorganisations_total": 0,
    }
    assert {name: found[name] for name in GAUGES} == {
        "tally_commitment_lag_epochs": 1,
        "tally_commitment_waiting_seconds": 7,
        "tally_commitment_attempts_in_flight": 1,
        "tally_gas_balance_gwei": funds.balance // GWEI,
        "tally_budget_spent_gwei": funds.spent // GWEI,
        "tally_budget_gwei": funds.daily_budget // GWEI,
        "tally_l1_base_fee_gwei": funds.base_fee / GWEI,
        "tally_deposits_missing": site.watcher.deposits_missing,
    }
    text = metrics.render().decode()
    for name in (*COUNTERS, *GAUGES):
        assert f"\n{name} " in text


async def test_a_deep_reorganisation_is_counted(site: Site) -> None:
    before = read_metrics()["tally_deep_reorganisations_total"]
    for _ in range(3):
        site.l1.mine()
    await site.watcher.tick()
    site.l1.reorganise(2)
    for _ in range(3):
        site.l1.mine()
    await site.watcher.tick()
    assert site.watcher.status()["deep_reorgs"] == 1
    assert read_metrics()["tally_deep_reorganisations_total"] == before + 1
