"""The launcher's watch over the processes that it started: whatever ends for good is told, not kept quiet."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.primitives import ETHER
from devnet.launch import _Devnet
from devnet.settings import DevnetOptions, DevnetProblem, Setup
from node.config import ExplorerConfig, load_config

PATIENCE_SECONDS = 20
SETUP = Setup(l1_chain_id=31337, settlement=bytes(range(20)), token=ETHER, demo_keys=())


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
