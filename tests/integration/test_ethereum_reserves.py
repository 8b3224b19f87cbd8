"""The reserves as a real Ethereum client tells them. The test mines, so nothing here waits."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chain.primitives import ETHER
from node.ethereum.deploy import make_mint
from node.ethereum.reserves import ReservesReader, Verdict
from node.index import AssetCounters, Counters
from tests.integration.ethereum import Settled, run_anvil, settle


@pytest.fixture
async def settled(anvil_path: Path) -> AsyncIterator[Settled]:
    async with run_anvil(anvil_path) as anvil:
        yield await settle(anvil)


async def test_deposits_what_was_sent_and_what_is_lost(settled: Settled) -> None:
    settlement = settled.gateway.settlement
    credited = {ETHER: (1, 10**18), settled.token: (1, 10**20)}

    async def get_counters() -> Counters:
        lines = [AssetCounters(asset, 0, 0, *sums, 0, 0) for asset, sums in credited.items()]
        return Counters(
            height=0, block=1, timestamp=0, epoch=1, sealed_epoch=0, record_count=0, payment_count=0, account_count=0,
            assets=tuple(lines),
        )  # fmt: skip

    reader = ReservesReader(settled.gateway, get_counters, lambda: 0, settled.anvil.clock)
    await reader.tick()
    assert reader.state.reading is not None and reader.state.fault is None, reader.state.fault
    for line in reader.state.reading.lines:
        assert (line.held, line.balance, line.owed) == (line.credited, line.credited, line.credited)
        assert line.verdict is Verdict.COVERED

    await settled.deposit(settled.token, 5)  # not credited
    await settled.anvil.call("evm_setAutomine", True)
    await settled.funder.send(make_mint(settled.token, settlement, 7))  # no deposit
    await settled.anvil.call("anvil_setBalance", "0x" + settlement.hex(), hex(10**18 - 1))  # as no chain can do
    await reader.tick()
    ether, token = reader.state.reading.lines
    assert (token.uncredited, token.held, token.balance, token.surplus) == (5, 10**20 + 5, 10**20 + 12, 7)
    assert token.verdict is Verdict.COVERED
    assert (ether.verdict, ether.shortfall) == (Verdict.SHORT, 1)
