"""The committer over a simulated Ethereum: what becomes of one commitment, whatever the chain does."""

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from structlog.testing import LogCapture

from chain.commitment import NO_COMMITMENT, hash_commitment
from chain.errors import BrokenInvariant
from node.ethereum.commit_decision import DAY_MS, CommitterSettings, Situation
from node.ethereum.committer import Committer, Funds
from node.ethereum.faults import ContractError, RpcError, WrongDeployment
from node.ethereum.l1 import SendOutcome, SendResult
from node.ethereum.store import EthereumStore
from node.ethereum.submission import AttemptOutcome, EpochState
from tests.unit.node.ethereum.simulated import ACCOUNT, GAS, GWEI, L1_CHAIN_ID, SETTLEMENT, SimulatedL1

Start = Callable[..., Committer]


async def test_a_commitment_goes_from_sealed_to_final(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    await committer.submit(*l1.seal())
    status = committer.get_epoch(1)
    assert status is not None and status.state is EpochState.SEALED and status.confirmations == 0

    await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None and status.state is EpochState.SENT
    assert [attempt.nonce for attempt in status.attempts] == [0]
    assert committer.status()["state"] == "in_flight"
    assert committer.status()["lag_epochs"] == 1

    l1.mine()
    await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None and status.state is EpochState.MINED and status.inclusion is not None
    assert status.is_ours and status.inclusion.l1_transaction == status.attempts[0].hash
    assert status.attempts[0].outcome is AttemptOutcome.INCLUDED
    assert (status.inclusion.l1_block, status.inclusion.gas_used) == (1, GAS)
    assert status.inclusion.included_at == l1.top.block.timestamp
    assert status.final_at == l1.top.block.timestamp + 100
    assert (committer.mined_epoch, committer.final_epoch) == (1, 0)
    assert committer.status()["state"] == "idle"

    for _ in range(3 + 100 // 12):
        l1.mine()
        await committer.tick()
        assert committer.final_epoch == 0
    l1.mine()
    l1.mine()
    await committer.tick()
    assert committer.final_epoch == 1
    status = committer.get_epoch(1)
    assert status is not None and status.state is EpochState.FINAL and status.confirmations == len(l1.chain) - 1


async def test_a_window_is_over_only_after_its_last_second(l1: SimulatedL1, start: Start) -> None:
    committer = start(confirmations=1)
    await committer.submit(*l1.seal())
    await committer.tick()
    l1.mine()
    await committer.tick()
    l1.mine(seconds=100)
    await committer.tick()
    assert committer.final_epoch == 0
    l1.mine(seconds=1)
    await committer.tick()
    assert committer.final_epoch == 1


async def test_submitting_again_changes_nothing_but_another_one_is_a_broken_invariant(
    l1: SimulatedL1, start: Start
) -> None:
    committer = start()
    commitment, signature = l1.seal()
    await committer.submit(commitment, signature)
    await committer.submit(commitment, signature)
    l1.operator_previous = NO_COMMITMENT
    with pytest.raises(BrokenInvariant):
        await committer.submit(*l1.seal(cut_at=commitment.cut_at + 1))


async def test_it_waits_until_ethereum_has_reached_the_cut(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    l1.now_ms += 5_500
    await committer.submit(*l1.seal())
    await committer.tick()
    assert committer.status()["state"] == "waiting_for_l1_time"
    assert l1.sent == []
    l1.mine(seconds=1)
    await committer.tick()
    assert len(l1.sent) == 1


async def test_the_same_bytes_are_sent_again_then_a_dearer_transaction_with_the_same_nonce(
    l1: SimulatedL1, start: Start
) -> None:
    committer = start()
    await committer.submit(*l1.seal())
    await committer.tick()
    await committer.tick()
    assert len(l1.sent) == 1
    l1.is_gossiping = False
    l1.pool.clear()
    for _ in range(3):
        l1.mine(seconds=12)
        await committer.tick()
    assert len(l1.sent) == 4 and len({transaction.hash for transaction in l1.sent}) == 1
    l1.mine(seconds=12)
    await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None
    first, second = status.attempts
    assert first.nonce == second.nonce
    assert 8 * second.fees.max_fee >= 9 * first.fees.max_fee
    assert 8 * second.fees.priority_fee >= 9 * first.fees.priority_fee
    l1.is_gossiping = True
    l1.mine(seconds=12)
    await committer.tick()
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 1
    await _settle(l1, committer)
    assert [a.outcome for a in store_attempts(committer, 1)] == [AttemptOutcome.REPLACED, AttemptOutcome.INCLUDED]


async def test_any_attempt_counts_not_only_the_dearest(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    await committer.submit(*l1.seal())
    await committer.tick()
    first = l1.pool.pop(0)
    l1.mine(seconds=60)
    await committer.tick()
    assert len(store_attempts(committer, 1)) == 2
    l1.pool[0] = first
    l1.mine()
    await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None and status.inclusion is not None
    assert status.inclusion.l1_transaction == first.hash


async def test_no_bump_while_there_are_no_blocks(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    await committer.submit(*l1.seal())
    await committer.tick()
    for _ in range(20):
        l1.now_ms += 60_000
        await committer.tick()
    assert len(store_attempts(committer, 1)) == 1
    assert committer.status()["state"] == "l1_stalled"
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 1 and committer.status()["state"] == "idle"


async def test_a_bump_stops_at_the_cap_with_a_name(l1: SimulatedL1, start: Start) -> None:
    committer = start(max_fee_wei=24 * GWEI)
    await committer.submit(*l1.seal())
    await committer.tick()
    l1.base_fee = 23 * GWEI
    l1.mine(seconds=60)
    await committer.tick()
    fees = [attempt.fees.max_fee for attempt in store_attempts(committer, 1)]
    assert fees == [21 * GWEI, 24 * GWEI]
    l1.base_fee = 30 * GWEI
    l1.mine(seconds=60)
    await committer.tick()
    assert committer.status()["state"] == "fee_cap_reached"
    assert not committer.status()["is_ok"]
    sent = len(l1.sent)
    l1.mine(seconds=12)
    await committer.tick()
    assert len(l1.sent) == sent + 1 and l1.sent[-1].max_fee == 24 * GWEI
    l1.base_fee = 20 * GWEI
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 1 and committer.status()["state"] == "idle"


async def test_over_budget_and_out_of_funds_are_named_and_pass_without_a_restart(l1: SimulatedL1, start: Start) -> None:
    committer = start(daily_budget_wei=GAS * 21 * GWEI * 3 // 2)
    for expected in (1, 2):
        await committer.submit(*l1.seal())
        await committer.tick()
        if expected == 1:
            l1.mine()
            await committer.tick()
    assert committer.mined_epoch == 1
    assert committer.status()["state"] == "over_budget"
    l1.mine(seconds=86_401)
    l1.balance = 1
    await committer.tick()
    assert committer.status()["state"] == "out_of_funds"
    l1.balance = 10**18
    l1.mine()
    await committer.tick()
    assert committer.status()["state"] == "in_flight"


async def test_a_reverting_commitment_is_named_by_the_contracts_error_and_not_sent(
    l1: SimulatedL1, start: Start
) -> None:
    committer = start()
    l1.is_reverting = ContractError("NotConserved", (("expected", "5"),))
    await committer.submit(*l1.seal())
    await committer.tick()
    assert committer.status()["state"] == "reverting"
    assert committer.status()["detail"] == "NotConserved(expected=5)"
    assert l1.sent == []
    l1.is_reverting = ContractError("Halted")
    l1.mine()
    await committer.tick()
    assert committer.status()["state"] == "halted"
    assert committer.end == "halted: Halted()"
    l1.fault = lambda method: True
    await committer.tick()
    assert committer.status()["state"] == "l1_unreachable"
    assert committer.end == "halted: Halted()", "an endpoint that does not answer takes nothing back"
    l1.fault = lambda method: False
    l1.is_reverting = None
    l1.mine()
    await committer.tick()
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 1 and committer.end is None


async def test_one_mined_but_reverted_is_paid_for_and_tried_again_with_the_next_nonce(
    l1: SimulatedL1, start: Start
) -> None:
    committer = start()
    await committer.submit(*l1.seal())
    await committer.tick()
    l1.is_reverting = ContractError("CutInFuture")
    l1.mine()
    l1.is_reverting = None
    await committer.tick()
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 1
    await _settle(l1, committer)
    attempts = store_attempts(committer, 1)
    assert [(a.nonce, a.outcome) for a in attempts] == [(0, AttemptOutcome.REVERTED), (1, AttemptOutcome.INCLUDED)]
    assert attempts[0].gas_used == GAS


async def test_somebody_elses_submission_is_adopted(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    first, signature = l1.seal()
    await committer.submit(first, signature)
    l1.submit_as_stranger(NO_COMMITMENT, first, signature)
    l1.mine()
    await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None and status.state is EpochState.MINED and not status.is_ours
    assert l1.sent == []


async def test_pre_empted_in_flight_costs_one_revert_at_most_and_its_nonce_is_used_for_the_next(
    l1: SimulatedL1, start: Start
) -> None:
    committer = start()
    first, signature = l1.seal()
    await committer.submit(first, signature)
    await committer.tick()
    ours = l1.pool.pop(0)
    l1.submit_as_stranger(NO_COMMITMENT, first, signature)
    l1.mine()
    l1.pool[0] = ours  # still in the pool: its nonce is free, and it would revert
    await committer.submit(*l1.seal())
    await committer.tick()
    assert committer.mined_epoch == 1
    assert l1.pool[0].epoch == 2, "the stale transaction was not replaced"
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 2 and l1.reverted_count == 0
    await _settle(l1, committer)
    assert store_attempts(committer, 1)[0].outcome is AttemptOutcome.REPLACED


async def test_our_nonce_used_by_something_else(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    await committer.submit(*l1.seal())
    await committer.tick()
    l1.use_nonce()
    l1.pool.clear()
    chain_top = l1.chain[-1]
    assert chain_top.nonce >= 1
    await committer.tick()
    if committer.mined_epoch == 0:
        l1.mine()
        await committer.tick()
    assert committer.mined_epoch == 1


async def test_a_reorganisation_reopens_and_the_same_bytes_are_sent_again(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    l1.mine()
    await committer.submit(*l1.seal())
    await committer.tick()
    l1.mine()
    await committer.tick()
    before = committer.get_epoch(1)
    assert before is not None and before.inclusion is not None
    l1.reorganise(1, keep_transactions=False)
    await committer.tick()
    assert committer.mined_epoch == 0
    status = committer.get_epoch(1)
    assert status is not None and status.state is EpochState.SENT and status.attempts[0].outcome is None
    assert [transaction.hash for transaction in l1.sent] == [status.attempts[0].hash] * 2
    l1.mine()
    await committer.tick()
    after = committer.get_epoch(1)
    assert after is not None and after.inclusion is not None
    assert after.inclusion.l1_block_hash != before.inclusion.l1_block_hash


async def test_a_reorganisation_that_moves_the_inclusion_is_noticed(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    await committer.submit(*l1.seal())
    await committer.tick()
    l1.mine()
    await committer.tick()
    l1.reorganise(1)
    l1.mine(1)
    await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None and status.inclusion is not None
    assert status.inclusion.l1_block_hash == l1.top.block.hash
    assert status.inclusion.included_at == l1.top.block.timestamp


async def test_a_reorganisation_over_two_epochs_brings_both_back_in_order(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    for _ in range(2):
        await committer.submit(*l1.seal())
        await committer.tick()
        l1.mine()
        await committer.tick()
    assert committer.mined_epoch == 2
    l1.reorganise(2, keep_transactions=False)
    for _ in range(3):
        await committer.tick()
        l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 2
    assert l1.reverted_count == 0


async def test_a_restart_between_writing_down_and_sending_sends_those_bytes(
    l1: SimulatedL1, start: Start, open_store: Callable[[], EthereumStore]
) -> None:
    committer = start()
    await committer.submit(*l1.seal())
    l1.fault = lambda method: method == "send"
    await committer.tick()
    assert committer.status()["state"] == "l1_unreachable"
    attempts = store_attempts(committer, 1)
    assert len(attempts) == 1 and l1.sent == []
    l1.fault = lambda method: False
    restarted = start(open_store())
    await restarted.tick()
    assert [transaction.hash for transaction in l1.sent] == [attempts[0].hash]
    assert store_attempts(restarted, 1) == attempts


async def test_a_lost_store_is_made_good_from_the_chain(l1: SimulatedL1, start: Start, tmp_path: Path) -> None:
    committer = start()
    seals = []
    for _ in range(3):
        seals.append(l1.seal())
        await committer.submit(*seals[-1])
        await committer.tick()
        l1.mine()
        await committer.tick()
    empty = EthereumStore(tmp_path / "another.sqlite", L1_CHAIN_ID, SETTLEMENT)
    restarted = start(empty, log_range=2)
    assert restarted.mined_epoch == 0
    await restarted.tick()
    assert restarted.mined_epoch == 3
    kept = restarted.get_commitment(2)
    assert kept is not None and (kept.commitment, kept.signature) == seals[1]
    for seal in seals:
        await restarted.submit(*seal)
    await restarted.submit(*l1.seal())
    await restarted.tick()
    l1.mine()
    await restarted.tick()
    assert restarted.mined_epoch == 4
    empty.close()


async def test_a_lost_store_with_our_transaction_still_in_the_pool(
    l1: SimulatedL1, start: Start, tmp_path: Path
) -> None:
    committer = start()
    seal = l1.seal()
    await committer.submit(*seal)
    await committer.tick()
    l1.base_fee *= 2
    l1.mine(60)
    await committer.tick()
    l1.base_fee *= 100  # nothing of ours is mined for now
    empty = EthereumStore(tmp_path / "another.sqlite", L1_CHAIN_ID, SETTLEMENT)
    restarted = start(empty)
    await restarted.submit(*seal)
    l1.base_fee //= 200
    l1.mine(1)
    await restarted.tick()
    l1.mine()
    await restarted.tick()
    assert restarted.mined_epoch == 1 and l1.reverted_count == 0
    empty.close()


async def test_another_commitment_on_chain_stops_everything_loudly(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    ours = l1.seal()
    l1.operator_previous = NO_COMMITMENT
    theirs = l1.seal(extra_root=b"\x01" * 32)
    await committer.submit(*ours)
    l1.submit_as_stranger(NO_COMMITMENT, *theirs)
    l1.mine()
    await committer.tick()
    assert committer.status()["state"] == "diverged"
    status = committer.get_epoch(1)
    assert status is not None and status.inclusion is not None
    assert status.digest == hash_commitment(ours[0], l1.domain)
    assert status.inclusion.digest == hash_commitment(theirs[0], l1.domain)
    await committer.submit(*l1.seal())
    l1.mine()
    await committer.tick()
    assert committer.status()["state"] == "diverged" and l1.sent == []
    assert committer.end is not None and "epoch 1" in committer.end


async def test_diverging_from_what_was_adopted_before_is_as_loud(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    theirs = l1.seal(extra_root=b"\x01" * 32)
    l1.submit_as_stranger(NO_COMMITMENT, *theirs)
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 1
    l1.operator_previous = NO_COMMITMENT
    await committer.submit(*l1.seal())
    l1.mine()
    await committer.tick()
    assert committer.status()["state"] == "diverged"


async def test_a_gap_in_what_was_submitted_is_named(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    l1.seal()
    await committer.submit(*l1.seal())
    await committer.tick()
    assert committer.status()["state"] == "seal_missing"


async def test_logs_that_contradict_the_contract_are_a_fault(l1: SimulatedL1, start: Start, monkeypatch: Any) -> None:
    committer = start()
    l1.submit_as_stranger(NO_COMMITMENT, *l1.seal())
    l1.mine()
    (event,) = await l1.get_committed_events(0, 1)

    async def lie(first: int, last: int) -> list[Any]:
        return [msgspec.structs.replace(event, included_at=event.included_at + 1)]

    with monkeypatch.context() as patch:
        patch.setattr(l1, "get_committed_events", lie)
        await committer.tick()
    assert committer.status()["state"] == "l1_unreachable" and committer.mined_epoch == 0
    await committer.tick()
    assert committer.mined_epoch == 1


async def test_partial_logs_are_a_fault_not_a_gap(l1: SimulatedL1, start: Start, monkeypatch: Any) -> None:
    committer = start()
    for _ in range(2):
        previous = l1.operator_previous
        l1.submit_as_stranger(previous, *l1.seal())
        l1.mine()
    events = await l1.get_committed_events(0, 2)

    async def lose_one(first: int, last: int) -> list[Any]:
        return events[1:]

    with monkeypatch.context() as patch:
        patch.setattr(l1, "get_committed_events", lose_one)
        await committer.tick()
    assert committer.status()["state"] == "l1_unreachable" and committer.mined_epoch == 0
    await committer.tick()
    assert committer.mined_epoch == 2


async def test_an_endpoint_that_bears_fewer_blocks_a_query_is_asked_for_fewer(
    l1: SimulatedL1, start: Start, monkeypatch: Any
) -> None:
    committer = start()
    l1.submit_as_stranger(NO_COMMITMENT, *l1.seal())
    for _ in range(60):
        l1.mine()
    tell, ranges = l1.get_committed_events, []

    async def refuse(first: int, last: int) -> list[Any]:
        ranges.append(last - first + 1)
        if ranges[-1] > 10:
            raise RpcError("eth_getLogs", -32600, "you can make eth_getLogs requests with up to a 10 block range")
        return await tell(first, last)

    monkeypatch.setattr(l1, "get_committed_events", refuse)
    l1.submit_as_stranger(l1.operator_previous, *l1.seal())
    for _ in range(60):
        l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 2 and committer.status()["state"] == "idle"
    assert len([count for count in ranges if count > 10]) < 12, ranges


async def test_a_commitment_that_the_operator_did_not_sign_is_not_adopted(l1: SimulatedL1, start: Start) -> None:
    """An endpoint that made one up could otherwise end the node: its journal would look like an old copy."""
    committer = start()
    commitment, signature = l1.seal()
    l1.submit_as_stranger(NO_COMMITMENT, commitment, signature[:31] + bytes((signature[31] ^ 1,)) + signature[32:])
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 0 and committer.get_commitment(1) is None
    assert committer.status()["state"] == "l1_unreachable" and "did not sign" in committer.status()["detail"]


async def test_an_epoch_beyond_the_head_is_not_final(l1: SimulatedL1, start: Start, monkeypatch: Any) -> None:
    committer = start(confirmations=1)
    await committer.submit(*l1.seal())
    await committer.tick()
    l1.mine()
    l1.chain[-1] = dataclasses.replace(l1.top, final_epoch=2**62)
    await committer.tick()
    assert committer.final_epoch == 1 == committer.mined_epoch


async def test_what_was_in_flight_is_sent_again_and_given_its_time_before_it_is_outbid(
    l1: SimulatedL1, start: Start, open_store: Callable[[], EthereumStore]
) -> None:
    committer = start()
    await committer.submit(*l1.seal())
    await committer.tick()
    l1.mine()
    l1.mine(seconds=60)
    await committer.tick()
    assert committer.mined_epoch == 1
    l1.reorganise(2, keep_transactions=False)
    for _ in range(2):
        await committer.tick()
        l1.now_ms += 4_000
    assert [transaction.hash for transaction in l1.sent] == [l1.sent[0].hash] * 2

    l1.pool.clear()
    l1.mine(seconds=3600)
    committer = start(open_store())
    for _ in range(2):
        await committer.tick()
        l1.now_ms += 4_000
    assert [transaction.hash for transaction in l1.sent] == [l1.sent[0].hash] * 3
    l1.pool.clear()
    l1.mine(seconds=48)
    await committer.tick()
    assert l1.sent[-1].max_fee > l1.sent[0].max_fee and l1.sent[-1].nonce == 0


async def test_an_estimate_that_an_endpoint_would_not_make_is_asked_for_again_without_a_new_block(
    l1: SimulatedL1, start: Start, monkeypatch: Any
) -> None:
    committer = start()
    await committer.submit(*l1.seal())

    async def refuse(sender: bytes, data: bytes) -> int:
        raise RpcError("eth_estimateGas", 429, "Too Many Requests")

    with monkeypatch.context() as patch:
        patch.setattr(l1, "estimate_commit_gas", refuse)
        await committer.tick()
    assert committer.status()["state"] == "refused" and not l1.sent
    await committer.tick()
    assert committer.status()["state"] == "in_flight" and len(l1.sent) == 1


async def test_only_what_is_in_flight_is_remembered_as_sent(l1: SimulatedL1, start: Start) -> None:
    committer = start(confirmations=1)
    for _ in range(5):
        await committer.submit(*l1.seal())
        await committer.tick()
        l1.mine()
        await committer.tick()
    assert committer.mined_epoch == 5 and committer._broadcasts == {}


async def test_with_a_clock_that_is_far_behind_the_budget_is_still_of_a_day(l1: SimulatedL1, start: Start) -> None:
    """No block has a plausible time then; what was spent in all years would count."""
    committer = start(confirmations=1, daily_budget_wei=5 * 10**15)
    for _ in range(3):
        await committer.submit(*l1.seal())
        await committer.tick()
        l1.mine()
        await committer.tick()
        l1.mine(seconds=100_000)
    l1.now_ms -= 20 * 60_000
    committer = start(confirmations=1, daily_budget_wei=5 * 10**15)
    await committer.submit(*l1.seal(cut_at=l1.now_ms))
    await committer.tick()
    assert committer.status()["state"] in ("in_flight", "idle"), committer.status()["detail"]


@pytest.mark.parametrize("code", ["wrong_chain", "no_contract", "wrong_contract"])
async def test_a_wrong_deployment_sends_nothing_and_heals_when_the_cause_goes(
    l1: SimulatedL1, start: Start, code: Any
) -> None:
    committer = start()
    await committer.submit(*l1.seal())
    l1.wrong = WrongDeployment(code, "not ours")
    await committer.tick()
    assert committer.status()["state"] == code and not committer.status()["is_ok"]
    l1.wrong = None
    await committer.tick()
    assert committer.status()["state"] == "in_flight"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (SendOutcome.REFUSED, "refused"),
        (SendOutcome.OUT_OF_FUNDS, "out_of_funds"),
        (SendOutcome.UNDERPRICED, "underpriced"),
        (SendOutcome.NONCE_TOO_LOW, "in_flight"),
        (SendOutcome.ALREADY_KNOWN, "in_flight"),
    ],
)
async def test_what_the_endpoint_says_to_a_send_is_the_situation(
    l1: SimulatedL1, start: Start, outcome: SendOutcome, state: str
) -> None:
    committer = start()
    await committer.submit(*l1.seal())
    l1.refusal = SendResult(outcome, "the endpoint's words")
    await committer.tick()
    assert committer.status()["state"] == state
    if state != "in_flight":
        assert "the endpoint's words" in committer.status()["detail"]
    l1.refusal = None
    l1.mine(seconds=12)
    await committer.tick()
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 1


async def test_what_is_sent_is_logged_as_the_node_was_told_to_log(l1: SimulatedL1, start: Start) -> None:
    logs = LogCapture()
    structlog.configure(processors=[logs])  # as a node does: long after its modules were imported
    try:
        committer = start()
        await committer.submit(*l1.seal())
        await committer.tick()
    finally:
        structlog.reset_defaults()
    (sent,) = [entry for entry in logs.entries if entry["event"] == "commitment_sent"]
    assert (sent["log_level"], sent["epoch"], sent["outcome"]) == ("info", 1, "accepted")


async def test_waiting_for_a_change(l1: SimulatedL1, start: Start) -> None:
    import asyncio

    committer = start()
    waiting = asyncio.create_task(committer.change.wait_until(lambda: committer.mined_epoch >= 1))
    await committer.submit(*l1.seal())
    await committer.tick()
    l1.mine()
    assert not waiting.done()
    await committer.tick()
    await asyncio.wait_for(waiting, 5)


async def test_an_idle_tick_on_the_same_block_asks_almost_nothing(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    await committer.tick()
    l1.calls.clear()
    await committer.tick()
    assert sum(l1.calls.values()) <= 3, l1.calls


@pytest.mark.parametrize("seed", range(24))
async def test_whatever_happens_every_epoch_is_committed_once_and_in_order(
    seed: int, l1: SimulatedL1, start: Start, open_store: Callable[[], EthereumStore]
) -> None:
    """A seeded hostile Ethereum: faults at any question, lost transactions, reorganisations, another submitter, fee
    spikes, restarts. Then it calms down, and everything sealed must be included, within cap and budget."""
    chance = random.Random(seed)
    l1.finality_depth = 5
    cap, budget = 400 * GWEI, 10**18
    settings = {"max_fee_wei": cap, "daily_budget_wei": budget, "log_range": chance.choice((1, 3, 100))}
    store = open_store()
    committer = start(store, **settings)
    seals: list[Any] = []
    situations = set()
    for _ in range(80):
        failing = chance.random() * 0.1
        l1.fault = lambda method, failing=failing: chance.random() < failing  # type: ignore[misc]
        l1.is_gossiping = chance.random() > 0.2
        l1.base_fee = max(1, min(cap // 3, int(l1.base_fee * chance.uniform(0.5, 2))))
        match chance.randrange(10):
            case 0 | 1 if committer.mined_epoch == len(seals):
                seals.append(l1.seal())
                await committer.submit(*seals[-1])
            case 2:
                l1.reorganise(chance.randint(1, 5), keep_transactions=chance.random() < 0.5)
            case 3:
                l1.pool.clear()
            case 4 if seals:
                position = chance.randrange(len(seals))
                previous = seals[position - 1][0] if position else NO_COMMITMENT
                l1.submit_as_stranger(previous, *seals[position])
            case 5:
                store.close()
                store = open_store()
                committer = start(store, **settings)
            case 6:
                l1.use_nonce()
            case _:
                l1.mine(chance.choice((1, 12, 50)))
        await committer.tick()
        situations.add(committer.status()["state"])
        assert committer.mined_epoch <= len(seals)
    l1.fault, l1.is_gossiping, l1.base_fee = (lambda method: False), True, 1
    for _ in range(60):
        l1.mine(50)
        await committer.tick()
    assert committer.mined_epoch == l1.top.epoch == len(seals), (seed, committer.status(), situations)
    for epoch, (commitment, _) in enumerate(seals, 1):
        digest, included_at = l1.top.stored[epoch]
        status = committer.get_epoch(epoch)
        assert status is not None and status.inclusion is not None
        assert status.inclusion.digest == digest == hash_commitment(commitment, l1.domain)
        assert status.inclusion.included_at == included_at
        assert all(attempt.fees.max_fee <= cap for attempt in status.attempts)
        for attempt in status.attempts:
            assert (attempt.outcome is None) == (attempt.nonce >= l1.top.nonce), "an attempt nobody knows the end of"
    assert {Situation(situation) for situation in situations} <= set(Situation)


def store_attempts(committer: Committer, epoch: int) -> Any:
    status = committer.get_epoch(epoch)
    assert status is not None
    return status.attempts


async def _settle(l1: SimulatedL1, committer: Committer) -> None:
    """Until what is mined now is final."""
    for _ in range(l1.finality_depth + 1):
        l1.mine()
        await committer.tick()


def test_the_gas_account_is_the_one_shown(start: Start) -> None:
    assert start().status()["account"] == ACCOUNT.address


# --- what the operator sees


async def test_funds_are_what_the_budget_counts(l1: SimulatedL1, start: Start) -> None:
    committer = start(daily_budget_wei=10**17, max_fee_wei=300 * GWEI)
    assert committer.get_funds() == Funds(None, 0, 10**17, 0, 300 * GWEI, None)
    await committer.submit(*l1.seal())
    await committer.tick()
    assert [attempt.epoch for attempt in committer.attempts_in_flight] == [1]
    assert committer.get_funds() == Funds(10**20, 0, 10**17, 0, 300 * GWEI, 10 * GWEI, 11 * GWEI)
    l1.is_reverting = ContractError("CutInFuture")
    l1.mine()
    l1.is_reverting = None
    await committer.tick()
    cost = GAS * 11 * GWEI
    assert committer.get_funds().spent == cost, "reverted, and not finally yet"
    assert committer.get_funds().balance == 10**20 - cost
    l1.mine()
    await committer.tick()
    for _ in range(l1.finality_depth):
        l1.mine()
        await committer.tick()
    assert committer.attempts_in_flight == () and committer.mined_epoch == committer.newest_sealed_epoch == 1
    assert committer.get_funds().spent == 2 * cost
    l1.now_ms += DAY_MS + 1
    assert committer.get_funds().spent == 2 * cost, "a clock put forward forgets nothing"
    l1.mine()
    await committer.tick()
    assert committer.get_funds().spent == 0


async def test_the_balance_is_known_also_while_nothing_waits(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    await committer.tick()
    assert (committer.get_funds().balance, committer.get_funds().balance_l1_block) == (10**20, 0)
    l1.balance = 5
    for _ in range(4):
        l1.mine(12)
        await committer.tick()
    assert committer.get_funds().balance == 10**20
    l1.mine(12)
    await committer.tick()
    assert (committer.get_funds().balance, committer.get_funds().balance_l1_block) == (5, 5)


@pytest.mark.parametrize("is_key_here", [False, True])
async def test_a_halted_contract_ends_the_ledger_also_when_nothing_could_be_paid_for(
    l1: SimulatedL1, store: EthereumStore, is_key_here: bool
) -> None:
    """Without a key, or with fees above the cap, nothing is sent; the silence that follows ends the ledger as ever."""
    settings = CommitterSettings(max_fee_wei=30 * GWEI)
    committer = Committer(l1, store, ACCOUNT if is_key_here else None, l1.deployment, settings, l1.clock)
    l1.base_fee = 31 * GWEI
    l1.mine()
    await committer.submit(*l1.seal())
    await committer.tick()
    assert committer.status()["state"] == ("fee_cap_reached" if is_key_here else "key_missing")
    assert committer.end is None
    l1.is_reverting = ContractError("Halted")
    l1.mine(l1.deployment.max_silence)
    await committer.tick()
    assert committer.status()["state"] == "halted" and committer.end == "halted: Halted()"
    assert l1.sent == []


async def test_without_a_key_others_are_adopted_and_ours_waits_for_it(l1: SimulatedL1, store: EthereumStore) -> None:
    committer = Committer(l1, store, None, l1.deployment, CommitterSettings(), l1.clock)
    await committer.tick()
    assert committer.status()["state"] == "key_missing" and not committer.status()["is_ok"]
    first = l1.seal()
    await committer.submit(*first)
    l1.submit_as_stranger(NO_COMMITMENT, *first)
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 1 and committer.status()["state"] == "key_missing"
    await committer.submit(*l1.seal())
    l1.mine()
    await committer.tick()
    assert l1.sent == [] and committer.get_funds().balance is None
    committer.take_account(ACCOUNT)
    await committer.tick()
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 2 and committer.status()["state"] == "idle"


async def test_a_chain_without_base_fees_is_committed_to(l1: SimulatedL1, start: Start) -> None:
    l1.has_base_fee, l1.base_fee = False, 3 * GWEI
    l1.mine()
    committer = start()
    await committer.submit(*l1.seal())
    await committer.tick()
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 0  # 2 gwei were suggested, 3 are taken
    l1.gas_price = 4 * GWEI
    l1.mine(60)
    await committer.tick()
    l1.mine()
    await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None and status.inclusion is not None
    assert [(attempt.is_legacy, attempt.fees.max_fee) for attempt in status.attempts] == [
        (True, 2 * GWEI),
        (True, 4 * GWEI),
    ]
    assert status.cost == status.inclusion.gas_used * status.inclusion.effective_gas_price


async def test_a_mined_revert_is_kept_with_the_contracts_words(l1: SimulatedL1, start: Start) -> None:
    committer = start()
    await committer.submit(*l1.seal())
    await committer.tick()
    l1.is_reverting = ContractError("BondTooSmall", (("bond", "0"),))
    for _ in range(6):
        l1.mine()
        await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None
    (attempt,) = status.attempts
    assert (str(attempt.outcome), attempt.problem) == ("reverted", "BondTooSmall(bond=0)")
    assert status.cost == attempt.cost > 0 and status.inclusion is None
    assert committer.status()["state"] == "reverting"
    l1.is_reverting = None
    for _ in range(3):
        l1.mine()
        await committer.tick()
    status = committer.get_epoch(1)
    assert status is not None and status.inclusion is not None and len(status.attempts) == 2


async def test_an_endpoint_a_hundred_blocks_behind_takes_nothing_back(
    l1: SimulatedL1, start: Start, monkeypatch: Any
) -> None:
    committer = start()
    for _ in range(100):
        l1.mine()
    await committer.submit(*l1.seal())
    await committer.tick()
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 1
    await committer.submit(*l1.seal())
    await committer.tick()
    sent = len(l1.sent)
    chain = l1.chain
    for restarted in (committer, start()):
        monkeypatch.setattr(l1, "chain", chain[:5])
        l1.now_ms += 1_000
        await restarted.tick()
        assert restarted.status()["state"] == "l1_behind" and restarted.mined_epoch == 1
        monkeypatch.setattr(l1, "chain", chain)
    assert {transaction.nonce for transaction in l1.sent[sent:]} == {1}, "only what is in flight is sent, again"
    l1.mine()
    await committer.tick()
    assert committer.mined_epoch == 2 and committer.status()["state"] == "idle"
    assert [transaction.nonce for transaction in l1.sent if transaction.epoch == 1] == [0]


@pytest.mark.parametrize(
    ("balance", "gas_price", "level"),
    [
        (None, 20 * GWEI, "unknown"),
        (10**18, None, "unknown"),
        (0, 20 * GWEI, "low"),
        (48 * 90_000 * 20 * GWEI - 1, 20 * GWEI, "low"),
        (48 * 90_000 * 20 * GWEI, 20 * GWEI, "enough"),
    ],
)
def test_funds_are_low_before_they_are_out(balance: int | None, gas_price: int | None, level: str) -> None:
    funds = Funds(balance, 1, 10**17, 0, 300 * GWEI, 10 * GWEI, gas_price, 90_000)
    assert str(funds.level) == level
