"""The ledger's pipeline on one core, without processes and sockets: JSON in, receipts out, everything durable."""

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec
from coincurve import PrivateKey

from benchmarks.bare import measure_bare_recover
from benchmarks.load import Load, make_load
from benchmarks.market import Stand, register_marts
from chain import wire
from chain.block import make_deposit
from chain.params import Parameters
from chain.primitives import ETHER, ZERO_HASH, Address
from chain.signatures import compute_address
from chain.state import State
from node.archive import BlockView, encode_fresh_receipt
from node.collector import relax_collector
from node.entries import encode_genesis
from node.journal import LevelDBJournal
from node.sequencer import Placed, PublishedBlock, Sequencer
from node.verification import Verified, read_result
from node.workers.verifier import INSTRUCTION_MARK, verify_submission

_BATCH: Final = 500
_BATCHES: Final = 40
_ACCOUNTS: Final = 50


class PipelineFigures(msgspec.Struct, frozen=True):
    """All a second, on the one core that this process is put on."""

    transfers: float
    purchases: float
    bare: float
    """Recoveries alone."""


def measure_pipeline() -> PipelineFigures:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        with tempfile.TemporaryDirectory() as directory:
            return asyncio.run(_measure(Path(directory)))
    finally:
        os.sched_setaffinity(0, cores)


async def _measure(directory: Path) -> PipelineFigures:
    parameters = Parameters(31337, bytes(range(20)), ETHER, 1_700_000_000)
    domain = parameters.domain
    payers, marts = [
        [PrivateKey((first + number).to_bytes(32, "big")) for number in range(_ACCOUNTS)] for first in (1, 1_001)
    ]
    nonces: dict[Address, int] = {}
    stand, roles = Stand(0, ETHER, domain), register_marts(marts, domain, nonces)
    transfers = make_load(payers, ETHER, domain, _BATCH * _BATCHES, nonces)
    bare = measure_bare_recover(transfers)
    journal = LevelDBJournal(directory)
    journal.append(0, encode_genesis(parameters))
    pipeline = _Pipeline(parameters, journal)
    running = asyncio.ensure_future(pipeline.sequencer.run())
    await pipeline.sequencer.list_asset(ETHER)
    await pipeline.sequencer.credit_deposits(
        [
            make_deposit(ETHER, index, compute_address(key.public_key), 10**18, 1, ZERO_HASH, ZERO_HASH)
            for index, key in enumerate([*payers, *marts])
        ]
    )
    for submissions in (roles, stand.open(), stand.list_files(_BATCH * _BATCHES // _ACCOUNTS)):
        await pipeline.order([INSTRUCTION_MARK + submission for submission in submissions])
    purchases = stand.make_purchases(marts, stand.files, nonces)
    relax_collector()
    rates = await pipeline.measure(transfers, purchases)
    bare = max(bare, measure_bare_recover(transfers))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    journal.close()
    transfer_rate, purchase_rate = rates
    return PipelineFigures(transfer_rate, purchase_rate, bare)


class _Pipeline:
    def __init__(self, parameters: Parameters, journal: LevelDBJournal) -> None:
        self._domain = parameters.domain
        self._domain_json = msgspec.Raw(msgspec.json.encode(wire.encode_domain(parameters.domain)))
        self._blocks: dict[int, BlockView] = {}
        key = PrivateKey((1).to_bytes(32, "big"))
        self.sequencer = Sequencer(State(parameters), journal, key, lambda: time.time_ns() // 1_000_000, self._take)

    async def measure(self, *loads: Load) -> list[float]:
        """Payments a second, of each load. They take turns, batch by batch, so that whatever else this machine does
        meets them alike."""
        sides = [load.make_submissions() for load in loads]
        seconds = [0.0] * len(loads)
        for at in range(0, _BATCH * _BATCHES, _BATCH):
            for side, submissions in enumerate(sides):
                start = time.perf_counter()
                await self.order(submissions[at : at + _BATCH])
                seconds[side] += time.perf_counter() - start
        return [_BATCH * _BATCHES / elapsed for elapsed in seconds]

    async def order(self, submissions: list[bytes]) -> None:
        """Verifies, orders and receipts what must not be refused."""
        verdicts = [read_result(verify_submission(submission, self._domain)) for submission in submissions]
        verified = [verdict for verdict in verdicts if isinstance(verdict, Verified)]
        outcomes = await self.sequencer.submit(verified)
        for outcome, each in zip(outcomes, verified, strict=True):
            assert isinstance(outcome, Placed), outcome
            encode_fresh_receipt(outcome, each, self._blocks[outcome.block], self._domain_json)
        assert len(verified) == len(submissions), verdicts

    def _take(self, block: PublishedBlock | None) -> None:
        if block is not None:
            self._blocks[block.header.number] = BlockView.of(block)
