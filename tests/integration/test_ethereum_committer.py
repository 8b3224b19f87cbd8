"""The committer against a real Ethereum client. The test mines and holds the clock, so nothing here waits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from chain.commitment import NO_COMMITMENT, Commitment, compute_stored_hash, hash_commitment
from chain.primitives import ETHER
from node.ethereum.commit_decision import CommitterSettings
from node.ethereum.committer import Committer
from node.ethereum.deploy import Call, Sender
from node.ethereum.endpoint import Endpoint
from node.ethereum.endpoints import Endpoints
from node.ethereum.faults import Reverted, WrongDeployment
from node.ethereum.gateway import Gateway
from node.ethereum.store import EthereumStore
from node.ethereum.submission import AttemptOutcome, EpochState
from tests.integration.ethereum import CHAIN_ID, CHALLENGE_PERIOD, GAS_ACCOUNT, STRANGER, Settled, run_anvil, settle

Start = Callable[..., Committer]


@pytest.fixture
async def settled(anvil_path: Path) -> AsyncIterator[Settled]:
    async with run_anvil(anvil_path) as anvil:
        yield await settle(anvil)


@pytest.fixture
def start(settled: Settled, tmp_path: Path) -> Any:
    """A committer over the store of that name: a restart, if there was one before."""
    stores: list[EthereumStore] = []

    def start_it(name: str = "ethereum.sqlite", **settings: Any) -> Committer:
        stores.append(EthereumStore(tmp_path / name, CHAIN_ID, settled.gateway.settlement))
        settings = {"confirmations": 3, **settings}
        return Committer(
            settled.gateway,
            stores[-1],
            GAS_ACCOUNT,
            settled.deployment,
            CommitterSettings(**settings),
            settled.anvil.clock,
        )

    yield start_it
    for store in stores:
        store.close()


async def test_epochs_go_from_sealed_to_final(settled: Settled, start: Start) -> None:
    committer = start()
    for epoch in (1, 2):
        commitment, signature = settled.seal()
        await committer.submit(commitment, signature)
        await committer.tick()
        assert committer.status()["state"] == "in_flight"
        await settled.anvil.mine()
        await committer.tick()
        assert committer.mined_epoch == epoch
        status = committer.get_epoch(epoch)
        assert status is not None and status.inclusion is not None and status.is_ours
        stored = await settled.gateway.get_commitment_hash(epoch, status.inclusion.l1_block)
        digest = hash_commitment(commitment, settled.domain)
        assert stored == compute_stored_hash(digest, status.inclusion.included_at)
        assert 0 < status.inclusion.gas_used < status.attempts[0].gas_limit
    assert committer.final_epoch == 0
    await settled.anvil.mine(3)
    await settled.anvil.mine(seconds=CHALLENGE_PERIOD)
    await settled.anvil.mine(2)
    await committer.tick()
    assert committer.final_epoch == 2
    status = committer.get_epoch(1)
    assert status is not None and status.state is EpochState.FINAL


async def test_a_lost_store_is_made_good_from_the_chain(settled: Settled, start: Start) -> None:
    committer = start()
    seals = [settled.seal()]
    await committer.submit(*seals[0])
    await committer.tick()
    await settled.anvil.mine()
    await committer.tick()

    restarted = start("another.sqlite", log_range=2)
    await restarted.tick()
    assert restarted.mined_epoch == 1
    adopted = restarted.get_commitment(1)
    assert adopted is not None and (adopted.commitment, adopted.signature) == seals[0]
    assert restarted.get_epoch(1).inclusion == committer.get_epoch(1).inclusion  # type: ignore[union-attr]
    await restarted.submit(*seals[0])
    await restarted.submit(*settled.seal())
    await restarted.tick()
    await settled.anvil.mine()
    await restarted.tick()
    assert restarted.mined_epoch == 2


async def test_a_store_lost_while_in_flight(settled: Settled, start: Start) -> None:
    """The new attempt is the same transaction, or the pool refuses it beside the old one; either way one is mined."""
    seal = settled.seal()
    committer = start()
    await committer.submit(*seal)
    await committer.tick()
    restarted = start("another.sqlite")
    await restarted.submit(*seal)
    await restarted.tick()
    await settled.anvil.mine()
    await restarted.tick()
    assert restarted.mined_epoch == 1
    assert await _count_transactions(settled) == 1


async def test_pre_empted_by_another_sender(settled: Settled, start: Start) -> None:
    committer = start()
    commitment, signature = settled.seal()
    await committer.submit(commitment, signature)
    await committer.tick()
    await settled.anvil.call("anvil_dropAllTransactions")
    await _submit_as_stranger(settled, NO_COMMITMENT, commitment, signature)
    await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None and status.state is EpochState.MINED and not status.is_ours
    await committer.submit(*settled.seal())
    await committer.tick()
    await settled.anvil.mine()
    await committer.tick()
    assert committer.mined_epoch == 2
    status = committer.get_epoch(2)
    assert status is not None and status.is_ours and status.attempts[0].nonce == 0


async def test_stuck_below_the_base_fee_then_bumped(settled: Settled, start: Start) -> None:
    committer = start()
    await settled.anvil.call("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    await settled.anvil.mine()
    await committer.submit(*settled.seal())
    await committer.tick()
    for _ in range(4):
        await settled.anvil.call("anvil_setNextBlockBaseFeePerGas", hex(20 * 10**9))
        await settled.anvil.mine()
        await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None and status.state is EpochState.SENT
    first, second = status.attempts
    assert first.nonce == second.nonce
    assert second.fees.max_fee > 40 * 10**9 and 8 * second.fees.priority_fee >= 9 * first.fees.priority_fee
    await settled.anvil.mine()
    await committer.tick()
    await settled.anvil.mine(3)
    await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None
    assert [attempt.outcome for attempt in status.attempts] == [AttemptOutcome.REPLACED, AttemptOutcome.INCLUDED]


async def test_dropped_from_the_pool_it_is_sent_again(settled: Settled, start: Start) -> None:
    committer = start()
    await committer.submit(*settled.seal())
    await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None
    dropped = "0x" + status.attempts[0].hash.hex()
    assert await settled.anvil.call("anvil_dropTransaction", dropped) == dropped
    await settled.anvil.mine()
    await committer.tick()
    assert committer.mined_epoch == 0
    await settled.anvil.mine()
    await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None and status.inclusion is not None
    assert status.inclusion.l1_transaction == status.attempts[0].hash and len(status.attempts) == 1


@pytest.mark.parametrize("depth", [1, 5, 20])
async def test_a_reorganisation_over_the_commitment(settled: Settled, start: Start, depth: int) -> None:
    committer = start(confirmations=64)
    await committer.submit(*settled.seal())
    await committer.tick()
    await settled.anvil.mine(depth)
    await committer.tick()
    before = committer.get_epoch(1)
    assert before is not None and before.inclusion is not None and before.confirmations == depth
    await settled.anvil.reorganise(depth)
    await committer.tick()
    assert committer.mined_epoch == 0
    assert committer.get_epoch(1).attempts[0].outcome is None  # type: ignore[union-attr]
    await settled.anvil.mine()
    await committer.tick()
    after = committer.get_epoch(1)
    assert after is not None and after.inclusion is not None
    assert after.inclusion.l1_block_hash != before.inclusion.l1_block_hash
    assert {attempt.nonce for attempt in after.attempts} == {before.attempts[0].nonce}


async def test_a_refused_commitment_has_the_contracts_words(settled: Settled, start: Start) -> None:
    committer = start()
    settled.deposited[ETHER] = (1, 10**18 + 1)
    await committer.submit(*settled.seal())
    await committer.tick()
    status = committer.status()
    assert status["state"] == "reverting"
    assert status["detail"].startswith("NotConserved(asset=0x" + "00" * 20)
    assert await _count_transactions(settled) == 0


async def test_out_of_funds_then_funded(settled: Settled, start: Start) -> None:
    committer = start()
    await settled.anvil.call("anvil_setBalance", GAS_ACCOUNT.address, "0x1")
    await committer.submit(*settled.seal())
    await committer.tick()
    assert committer.status()["state"] == "out_of_funds"
    await settled.anvil.call("anvil_setBalance", GAS_ACCOUNT.address, hex(10**18))
    await settled.anvil.mine()
    await committer.tick()
    await settled.anvil.mine()
    await committer.tick()
    assert committer.mined_epoch == 1


async def test_the_client_killed_is_a_named_state(settled: Settled, start: Start) -> None:
    committer = start()
    await committer.submit(*settled.seal())
    settled.anvil.process.kill()
    await settled.anvil.process.wait()
    await committer.tick()
    assert committer.status()["state"] == "l1_unreachable"
    assert committer.get_epoch(1).state is EpochState.SEALED  # type: ignore[union-attr]


async def test_another_chain_or_contract_is_a_loud_stop(settled: Settled) -> None:
    endpoint = Endpoint(settled.anvil.url)
    deployed_at = settled.deployment.deployed_at
    cases = [
        (1, settled.gateway.settlement, "wrong_chain"),
        (CHAIN_ID, b"\x01" * 20, "no_contract"),
        (CHAIN_ID, settled.token, "wrong_contract"),
    ]
    for chain_id, settlement, code in cases:
        gateway = Gateway(Endpoints([endpoint], chain_id, settlement), chain_id, settlement)
        with pytest.raises(WrongDeployment) as caught:
            await gateway.check_deployment(deployed_at, ETHER, None)
        assert caught.value.code == code
    gateway = settled.gateway
    for arguments in ((deployed_at + 1, ETHER, None), (deployed_at, settled.token, None), (deployed_at, ETHER, ETHER)):
        with pytest.raises(WrongDeployment) as caught:
            await gateway.check_deployment(*arguments)
        assert caught.value.code == "wrong_contract"
    await endpoint.close()


async def test_it_runs_by_the_clock(anvil_path: Path, tmp_path: Path) -> None:
    """As in the node: its own loop, a client that mines each second."""
    async with run_anvil(anvil_path) as anvil:
        settled = await settle(anvil)
        await anvil.call("evm_setIntervalMining", 1)
        store = EthereumStore(tmp_path / "ethereum.sqlite", CHAIN_ID, settled.gateway.settlement)
        settings = CommitterSettings(confirmations=1, poll_interval_ms=100)
        committer = Committer(settled.gateway, store, GAS_ACCOUNT, settled.deployment, settings, anvil.clock)
        running = asyncio.create_task(committer.run())
        for epoch in (1, 2):
            await anvil.read_time()
            await committer.submit(*settled.seal())
            reached = committer.change.wait_until(lambda epoch=epoch: committer.mined_epoch >= epoch)  # type: ignore[misc]
            await asyncio.wait_for(reached, 120)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        store.close()


async def _submit_as_stranger(settled: Settled, previous: Commitment, commitment: Commitment, signature: bytes) -> None:
    await settled.anvil.call("evm_setAutomine", True)
    stranger = Sender(settled.anvil.endpoint, STRANGER, poll_interval_ms=10)
    data = settled.gateway.encode_commit(previous, commitment, signature)
    await stranger.send(Call(settled.gateway.settlement, data))
    with pytest.raises(Reverted) as caught:  # a second time it is refused, by name
        await stranger.send(Call(settled.gateway.settlement, data))
    assert caught.value.error.name == "EpochMismatch"
    await settled.anvil.call("evm_setAutomine", False)
    await settled.anvil.read_time()


async def _count_transactions(settled: Settled) -> int:
    """Of the gas account, mined."""
    return int(await settled.anvil.call("eth_getTransactionCount", GAS_ACCOUNT.address, "latest"), 16)
