"""Worker processes, as the node starts them: what they answer, and that they end when they should."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from chain import wire
from chain.block import Block, Header, decode_block, encode_block
from chain.commitment import Commitment, decode_commitment, encode_commitment
from node.entries import encode_genesis, encode_seal
from node.framing import ChannelClosed
from node.process import WorkerProcess
from node.verification import Refused, Verified, VerifierPool
from tests.unit.chain.actors import ALICE, BOB, DOMAIN, PARAMETERS, deposit, make_payment, sign
from tests.unit.node.chronicle import Chronicle, sign_commitment
from tests.unit.node.journals import PATIENCE_SECONDS
from tests.unit.node.running import soon

ROOT = Path(__file__).parents[3]


@contextlib.asynccontextmanager
async def started(role: str, *arguments: str) -> AsyncIterator[WorkerProcess]:
    worker = await WorkerProcess.start(role, *arguments)
    try:
        yield worker
    finally:
        await worker.stop()


def submit(nonce: int) -> bytes:
    signed = sign(make_payment(nonce=nonce))
    return msgspec.json.encode([wire.encode_payment(signed.payment), wire.encode_bytes(signed.signature)])


async def test_verifiers_give_each_its_verdict_in_order_over_many_messages() -> None:
    count = 64 * 4 + 3
    submissions = [b"no payment" if nonce % 10 == 7 else submit(nonce) for nonce in range(count)]
    pool = await VerifierPool.start(2, DOMAIN)
    task = asyncio.create_task(pool.run())
    try:
        verdicts = await asyncio.wait_for(pool.verify(submissions), 30)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await pool.stop()
    assert len(verdicts) == count
    for nonce, verdict in enumerate(verdicts):
        if nonce % 10 == 7:
            assert isinstance(verdict, Refused) and verdict.code == "malformed_payment"
            continue
        assert isinstance(verdict, Verified)
        assert verdict.signed == sign(make_payment(nonce=nonce))
        header = Header(1, bytes(32), 1, bytes(32), 1)
        assert decode_block(encode_block(header, [verdict.record])) == Block(header, (verdict.signed,))
        assert wire.decode_payment(verdict.json) == verdict.signed.payment


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_worker_outlives_what_stops_the_node_and_ends_when_it_is_stopped(number: signal.Signals) -> None:
    """Ctrl-C reaches the whole group, systemd's SIGTERM the whole unit; the node decides when its workers end."""
    worker = await WorkerProcess.start("verifier")
    worker.send((DOMAIN.chain_id, DOMAIN.verifying_contract))
    worker.send([b"1"])
    assert (await asyncio.wait_for(worker.receive(), 30))[0][0] == "malformed_payment"
    worker._process.send_signal(number)
    worker.send([b"2"])
    assert (await soon(worker.receive()))[0][0] == "malformed_payment"
    await soon(worker.stop())
    assert worker._process.returncode == 0


async def test_a_worker_that_dies_is_noticed() -> None:
    async with started("verifier") as worker:
        worker._process.kill()
        with pytest.raises(ChannelClosed):
            await soon(worker.receive())


async def test_a_role_that_no_worker_has_ends_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    async with started("juggler") as worker:
        with pytest.raises(ChannelClosed):
            await asyncio.wait_for(worker.receive(), 30)
    assert "no worker has the role 'juggler'" in capfd.readouterr().err


PARENT = """
import asyncio
from node.process import WorkerProcess

async def main():
    worker = await WorkerProcess.start("verifier")
    worker.send((1, bytes(20)))
    worker.send([b"x"])
    await worker.receive()
    print("ready", worker._process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_worker_ends_when_its_parent_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert parent.stdout is not None
    ready, pid = (await asyncio.wait_for(parent.stdout.readline(), 30)).split()
    assert ready == b"ready"
    os.kill(int(pid), 0)
    parent.kill()
    # Both hold the pipe: it ends when both are gone.
    assert await asyncio.wait_for(parent.stdout.read(), PATIENCE_SECONDS) == b""
    await parent.wait()


# --- the sealer


def live(chronicle: Chronicle) -> None:
    chronicle.add_block(deposit(0, ALICE, 1000))
    for epoch in range(3):
        chronicle.add_block(sign(make_payment((BOB, 1 + epoch), nonce=epoch)))
        chronicle.cut()
        chronicle.seal()


async def start_sealer(directory: Path, snapshot: str | None = None) -> tuple[WorkerProcess, int]:
    worker = await WorkerProcess.start("sealer", str(directory / "proofs.sqlite"), str(directory / "snapshots"))
    worker.send((encode_genesis(PARAMETERS), snapshot))
    return worker, await asyncio.wait_for(worker.receive(), 30)


async def test_the_sealer_answers_with_the_commitments_and_goes_on_from_its_snapshot(tmp_path: Path) -> None:
    chronicle = Chronicle()
    live(chronicle)
    entries = list(chronicle.journal.read(0))
    sealed: list[Commitment] = []
    worker, height = await start_sealer(tmp_path)
    assert height == 1
    for chunk in (entries[1:4], entries[4:9]):
        worker.send(chunk)
        height, commitments = await soon(worker.receive())
        assert height == chunk[-1][0] + 1
        sealed += [decode_commitment(data) for data in commitments]
    await soon(worker.stop())

    assert [commitment.epoch for commitment in sealed] == [1, 2]
    newest = max((tmp_path / "snapshots").iterdir()).name
    worker, height = await start_sealer(tmp_path, newest)
    assert newest == f"{height:020d}.snapshot"
    worker.send(entries[height:])
    assert await soon(worker.receive()) == [
        len(entries),
        encode_all(chronicle, 3),
    ]
    await soon(worker.stop())
    assert sealed == [chronicle.sealed[epoch].commitment for epoch in (1, 2)]


def encode_all(chronicle: Chronicle, *epochs: int) -> list[bytes]:
    return [encode_commitment(chronicle.sealed[epoch].commitment) for epoch in epochs]


async def test_the_sealer_ends_over_a_seal_that_is_not_its_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chronicle = Chronicle()
    chronicle.add_block(deposit(0, ALICE, 1000))
    commitment = chronicle.cut()
    wrong = msgspec.structs.replace(commitment, blocks_root=bytes(32))
    chronicle.append(encode_seal(wrong, sign_commitment(wrong)))
    worker, _ = await start_sealer(tmp_path)
    worker.send(list(chronicle.journal.read(1)))
    with pytest.raises(ChannelClosed):
        await soon(worker.receive())
    await worker.stop()
    assert worker._process.returncode == 1
    assert "the seal of epoch 1 is not what its records lead to" in capfd.readouterr().err
