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
from benchmarks.load import make_load
from chain import wire
from chain.block import make_deposit
from chain.params import Parameters
from chain.primitives import ETHER, ZERO_HASH
from chain.signatures import compute_address
from chain.state import State
from node.archive import BlockView, encode_fresh_receipt
from node.collector import relax_collector
from node.entries import encode_genesis
from node.journal import LevelDBJournal
from node.sequencer import Placed, PublishedBlock, Sequencer
from node.verification import Verified, read_result
from node.workers.verifier import verify_submission

_BATCH: Final = 500
_BATCHES: Final = 40
_ACCOUNTS: Final = 50


def measure_pipeline() -> tuple[float, float]:
    """(payments a second, bare recoveries a second), both on the one core that this process is put on."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        with tempfile.TemporaryDirectory() as directory:
            return asyncio.run(_measure(Path(directory)))
    finally:
        os.sched_setaffinity(0, cores)


async def _measure(directory: Path) -> tuple[float, float]:
    parameters = Parameters(31337, bytes(range(20)), ETHER, 1_700_000_000)
    keys = [PrivateKey(number.to_bytes(32, "big")) for number in range(1, _ACCOUNTS + 1)]
    load = make_load(keys, ETHER, parameters.domain, _BATCH * _BATCHES, {})
    submissions = load.make_submissions()
    bare = measure_bare_recover(load)
    journal = LevelDBJournal(directory)
    journal.append(0, encode_genesis(parameters))
    blocks: dict[int, BlockView] = {}

    def take(block: PublishedBlock | None) -> None:
        if block is not None:
            blocks[block.header.number] = BlockView.of(block)

    sequencer = Sequencer(State(parameters), journal, keys[0], lambda: time.time_ns() // 1_000_000, take)
    running = asyncio.ensure_future(sequencer.run())
    await sequencer.list_asset(ETHER)
    await sequencer.credit_deposits(
        [
            make_deposit(ETHER, index, compute_address(key.public_key), 10**18, 1, ZERO_HASH, ZERO_HASH)
            for index, key in enumerate(keys)
        ]
    )
    relax_collector()
    domain = parameters.domain
    domain_json = msgspec.Raw(msgspec.json.encode(wire.encode_domain(domain)))
    start = time.perf_counter()
    for at in range(0, len(submissions), _BATCH):
        batch = submissions[at : at + _BATCH]
        verdicts = [read_result(verify_submission(submission, domain)) for submission in batch]
        verified = [verdict for verdict in verdicts if isinstance(verdict, Verified)]
        outcomes = await sequencer.submit(verified)
        for outcome, payment in zip(outcomes, verified, strict=True):
            assert isinstance(outcome, Placed)
            encode_fresh_receipt(outcome, payment, blocks[outcome.block], domain_json)
    elapsed = time.perf_counter() - start
    bare = max(bare, measure_bare_recover(load))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    journal.close()
    return len(submissions) / elapsed, bare
