"""An endpoint whose answers are nonsense in some place: whatever it says, no part of the node ends by it.

Other tests hold that a lie is not believed. Here nobody else is asked, so only this holds: what comes of it is a named
situation of whoever asked, and the next look is as good as the first.
"""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chain.primitives import ETHER
from node.ethereum.abi import _ERROR_STRING, load_abi
from node.ethereum.committer import Committer
from node.ethereum.endpoints import Endpoints
from node.ethereum.faults import RpcError
from node.ethereum.gateway import Gateway
from node.ethereum.reserves import ReservesReader
from node.ethereum.store import EthereumStore
from node.ethereum.watcher import Watcher
from node.index.records import AssetCounters, Counters
from tests.simulation.endpoint import SimulatedEndpoint
from tests.simulation.node import ACCOUNT
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.weather import CALM
from tests.simulation.world import World
from tests.unit.node.ethereum.simulated import L1_CHAIN_ID, SETTLEMENT, TOKEN, FakeSink

_HOURS = 4
"""Of good weather, in which the chain gets something to answer with."""
_LIVES = 60
_LOOKS = 5
_MAX_DETAIL = 5_000
_WORDS = [0, 1, 2, 31, 32, 33, 64, 96, 127, 128, 255, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64]
_WORDS += [2**127, 2**128 - 1, 2**128, 2**255, 2**256 - 1]
_OTHERS: list[Any] = [None, 5, [], {}, "", "0x", True, -1, 1.5, "0x" + "ff" * 32, [[]]]
_FUNCTIONS = ("head", "commitmentHash", "assetCount", "assetAt", "depositCount", "depositAt", "held")
_METHODS = ("BlockByNumber", "TransactionCount", "Balance", "Logs", "TransactionReceipt")
_QUESTIONS = ["0x" + load_abi("Settlement")._functions[name].id[:4].hex() for name in _FUNCTIONS]
_QUESTIONS += ["eth_get" + name for name in _METHODS] * 2
_QUESTIONS += ["eth_estimateGas", "eth_maxPriorityFeePerGas", "eth_sendRawTransaction"]
_TEXTS = ["execution reverted", "", "already known", "x" * 1_000, "nonce too low", "\0\n", "replacement underpriced"]
_COUNTERS = Counters(
    height=9,
    block=9,
    timestamp=1,
    epoch=9,
    sealed_epoch=10**6,
    record_count=0,
    payment_count=0,
    account_count=0,
    assets=tuple([AssetCounters(asset, 0, 0, 1, 1, 0, 0) for asset in (TOKEN, ETHER)]),
)


class NonsenseEndpoint:
    """Answers as the true one, but one kind of question with something else in one place of the answer."""

    def __init__(self, true: SimulatedEndpoint, chance: random.Random) -> None:
        self.name = true.name
        self._true = true
        self._chance = chance
        self._question = chance.choice(_QUESTIONS)
        self._frequency = chance.choice((1.0, 1.0, 0.3))
        self._place = chance.random()
        self._word = chance.choice(_WORDS)
        self._other = chance.choice(_OTHERS)

    @property
    def health(self) -> Any:
        return self._true.health

    async def close(self) -> None:
        return

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        try:
            answer = await self._true.call(method, params)
        except KeyError:  # a function that the simulated contract does not have
            answer = "0x" + "00" * 32
        question = params[0]["data"][:10] if method == "eth_call" else method
        if question != self._question or self._chance.random() > self._frequency:
            return answer
        if self._place > 0.9:
            raise RpcError(method, 3, self._chance.choice(_TEXTS), "0x" + _ERROR_STRING.hex() + _encode(self._word) * 2)
        return self._spoil(answer)

    def _spoil(self, form: Any) -> Any:
        if isinstance(form, dict) and form:
            names = sorted(form)
            name = names[int(self._place * len(names))]
            return {**form, name: self._spoil(form[name])}
        if isinstance(form, list) and form:
            return [self._spoil(one) for one in form]
        if isinstance(form, str) and len(form) >= 66 and (len(form) - 2) % 64 == 0 and self._other is not None:
            # Another word in the place of one: a length, an offset, a time, an amount.
            place = 2 + 64 * self._chance.randrange((len(form) - 2) // 64)
            return form[:place] + _encode(self._word) + form[place + 64 :]
        return hex(self._word) if self._other is not None and self._place < 0.8 else self._other


def _encode(word: int) -> str:
    return (word % 2**256).to_bytes(32).hex()


async def live(seed: int, directory: Path) -> set[str]:
    """Returns the situations that were met."""
    chance = random.Random(f"nonsense {seed}")
    world = World(seed, directory)
    living = asyncio.get_running_loop().create_task(world.node.run())
    for _ in range(_HOURS):
        await world._run_hour(CALM, living)
    while not living.done():  # a life may be about to end by itself, and another to begin
        living.cancel()
        await asyncio.wait([living], timeout=1)
    world.fate.begin()
    world.endpoints[0]._see_raw = lambda raw, transaction: None
    met: set[str] = set()
    for life in range(_LIVES):
        members = [NonsenseEndpoint(world.endpoints[0], chance)]
        endpoints = Endpoints(members, L1_CHAIN_ID, SETTLEMENT, clock=world.clock)
        store = EthereumStore(directory / f"{life}.sqlite", L1_CHAIN_ID, SETTLEMENT)
        await _look(world, Gateway(endpoints, L1_CHAIN_ID, SETTLEMENT), store, met)
        await endpoints.close()
        store.close()
    return met


async def _look(world: World, gateway: Gateway, store: EthereumStore, met: set[str]) -> None:
    async def read_counters() -> Counters:
        return _COUNTERS

    deployment = world._make_deployment(world.terms.operator)
    committer = Committer(gateway, store, ACCOUNT, deployment, world.settings, world.clock)
    watcher = Watcher(gateway, store, FakeSink(), deployment, world.node._watcher_settings, world.clock)
    reserves = ReservesReader(gateway, read_counters, lambda: 0, world.clock)
    await committer.submit(*world.node.journal.seals[-1])
    for _ in range(_LOOKS):
        await committer.tick()
        await watcher.tick()
        await reserves.tick()
        for status in (committer.status(), watcher.status()):
            assert len(status["detail"]) < _MAX_DETAIL
            met.add(status["state"])
        assert committer.get_funds().level
        await asyncio.sleep(15)


@pytest.mark.long
@pytest.mark.parametrize("seed", [3, 7])
def test_no_answer_ends_a_part_of_the_node(seed: int, tmp_path: Path) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        met = runner.run(live(seed, tmp_path))
    assert {"l1_unreachable", "logs_contradict", "synced", "idle"} <= met
