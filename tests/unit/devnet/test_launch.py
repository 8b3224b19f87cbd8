"""The launcher's watch over the processes that it started: whatever ends for good is told, not kept quiet."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from chain.market import compute_daily_charge, compute_storage_charge
from chain.primitives import ETHER
from chain.wire import encode_address
from devnet.bootstrap import make_market, open_keys
from devnet.launch import _Devnet
from devnet.settings import DevnetOptions, DevnetProblem, Setup
from node.config import ExplorerConfig, MarketConfig, load_config
from node.keys import open_signing_key

PATIENCE_SECONDS = 20
TOKEN = b"\x70" * 20
SETUP = Setup(l1_chain_id=31337, settlement=bytes(range(20)), token=TOKEN, demo_keys=(), market=make_market(TOKEN))


class QuietDevnet(_Devnet):
    """A network whose deployment is there already, and whose node does as the test says."""

    keep_running: Callable[[], Awaitable[None]]

    async def _open_setup(self, keys: dict[str, Any]) -> Setup:
        return SETUP

    async def _keep_running(self, config: Path, port: "asyncio.Future[int]", parent_fd: int) -> None:
        await self.keep_running()


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., QuietDevnet]:
    def make(keep_running: Callable[[], Awaitable[None]], l1: "subprocess.Popen[bytes] | None" = None) -> QuietDevnet:
        devnet = QuietDevnet(DevnetOptions(data_dir=tmp_path), "http://127.0.0.1:1", l1, None)
        devnet.keep_running = keep_running
        return devnet

    return make


@pytest.fixture
def ending_process() -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"]) as process:
        yield process


@pytest.mark.parametrize(
    ("l1_url", "suggested"),
    [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("http://localhost:1", "http://localhost:1"),
        ("http://ethereum:8545", None),
        ("https://l1.example/v2/key", None),
    ],
)
def test_browsers_are_pointed_to_an_ethereum_of_their_own_machine_alone(
    tmp_path: Path, l1_url: str, suggested: str | None
) -> None:
    devnet = _Devnet(DevnetOptions(data_dir=tmp_path), l1_url, None, None)
    config = load_config(devnet._write_config(SETUP), {})
    assert config.explorer == ExplorerConfig(public_l1_url=suggested)
    assert (config.ethereum.url, config.ethereum.chain_id) == (l1_url, SETUP.l1_chain_id)


def test_the_node_is_given_the_market_that_the_ledger_was_begun_with(tmp_path: Path) -> None:
    devnet = _Devnet(DevnetOptions(data_dir=tmp_path), "http://127.0.0.1:1", None, None)
    begun_with = MarketConfig(4_000, 5_500, 500, {encode_address(TOKEN): 7})
    config = load_config(devnet._write_config(replace(SETUP, market=begun_with)), {})
    assert config.market == begun_with


def test_of_the_standard_market_every_wei_is_the_charge_of_some_size(tmp_path: Path) -> None:
    devnet = _Devnet(DevnetOptions(data_dir=tmp_path), "http://127.0.0.1:1", None, None)
    market = load_config(devnet._write_config(SETUP), {}).market.to_market()
    assert (market.validator_share, market.owner_share, market.commission) == (5_000, 5_000, 0)
    for amount in (1, 2, 3, 999_999_937, 1_000_001 * 10**12):
        assert compute_daily_charge(amount, ETHER, market) == amount
    # A file of 12,000 bytes for 30 days, and an amount with six decimals.
    assert compute_storage_charge(12_000, 30, TOKEN, market) == 36 * 10**12
    assert compute_daily_charge(10_000_010_000, TOKEN, market) == 1_000_001 * 10**12


def test_the_escrow_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = open_keys(tmp_path / "keys")
    assert len({account.address for account in keys.values()}) == len(keys)
    config = load_config(_Devnet(DevnetOptions(data_dir=tmp_path), "http://a:1", None, None)._write_config(SETUP), {})
    assert config.escrow is not None
    key = open_signing_key(config.escrow, "escrow")
    assert key.secret == bytes(keys["escrow"].key)
    assert open_keys(tmp_path / "keys")["escrow"].address == keys["escrow"].address


@pytest.mark.parametrize("content", [b"{}", b"", msgspec.json.encode({"l1_chain_id": 31337})])
async def test_a_directory_of_another_version_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "devnet.json").write_bytes(content)
    devnet = _Devnet(DevnetOptions(data_dir=tmp_path), "http://127.0.0.1:1", None, None)
    with pytest.raises(DevnetProblem, match=r"not written by this version.*Take another --data-dir"):
        await devnet._open_setup({})


def count_open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_a_node_that_does_not_start_is_told(start: Callable[..., QuietDevnet]) -> None:
    async def fail() -> None:
        raise DevnetProblem("the node did not start: exit status 1")

    with pytest.raises(DevnetProblem, match="exit status 1"):
        await asyncio.wait_for(start(fail).run(), PATIENCE_SECONDS)


async def test_an_ethereum_that_ends_is_told(
    start: Callable[..., QuietDevnet], ending_process: "subprocess.Popen[bytes]"
) -> None:
    devnet = start(asyncio.Event().wait, ending_process)
    with pytest.raises(DevnetProblem, match="Ethereum ended: exit status 7"):
        await asyncio.wait_for(devnet.run(), PATIENCE_SECONDS)


async def test_a_stop_is_no_problem_and_leaves_nothing_open(start: Callable[..., QuietDevnet]) -> None:
    begun = asyncio.Event()

    async def keep_running() -> None:
        begun.set()
        await asyncio.Event().wait()

    # The first run opens what stays open for good: the event loop's own signal pipe, say.
    for attempt in range(2):
        begun.clear()
        before = count_open_files()
        running = asyncio.create_task(start(keep_running).run())
        await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, PATIENCE_SECONDS)
        if attempt:
            assert count_open_files() == before
