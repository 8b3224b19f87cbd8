"""How other committers and watchers have failed, each as a test of ours. The docstrings say what happened elsewhere."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from chain.commitment import NO_COMMITMENT
from node.app import JournalBehindChain, Node
from node.ethereum.commit_decision import ORDINARY, Situation, compute_bump
from node.ethereum.committer import Committer
from node.ethereum.faults import ContractError
from node.ethereum.gateway import classify_send_refusal
from node.ethereum.l1 import SendOutcome, SendResult
from node.ethereum.store import EthereumStore
from node.ethereum.submission import Attempt, AttemptOutcome, EpochState, EpochStatus
from node.health import Check, Health
from tests.unit.node.ethereum.simulated import GAS, GWEI, L1_CHAIN_ID, SETTLEMENT, SimulatedL1

Start = Callable[..., Committer]
Open = Callable[[], EthereumStore]


def get_status(committer: Committer, epoch: int = 1) -> EpochStatus:
    status = committer.get_epoch(epoch)
    assert status is not None
    return status


def get_attempts(committer: Committer, epoch: int = 1) -> tuple[Attempt, ...]:
    return get_status(committer, epoch).attempts


def get_situation(committer: Committer) -> str:
    situation: str = committer.status()["state"]
    return situation


async def submit(l1: SimulatedL1, committer: Committer) -> None:
    """The next epoch's commitment, and its first attempt."""
    await committer.submit(*l1.seal())
    await committer.tick()


async def mine(l1: SimulatedL1, committer: Committer, count: int = 1, seconds: int = 12) -> None:
    """One block at a time, and a look after each."""
    for _ in range(count):
        l1.mine(seconds)
        await committer.tick()


async def check_committed(l1: SimulatedL1, committer: Committer, epochs: int, *, reverted: int = 0) -> None:
    """Each once, in order, and it is known what became of every attempt."""
    await mine(l1, committer, l1.finality_depth + 1)
    events = [event for mined in l1.chain for event in mined.events]
    assert [event.commitment.epoch for event in events] == list(range(1, epochs + 1))
    assert committer.mined_epoch == l1.top.epoch == epochs
    assert l1.reverted_count == reverted
    assert get_situation(committer) == "idle"
    for event in events:
        status = get_status(committer, event.commitment.epoch)
        assert status.inclusion is not None
        assert (status.digest, status.inclusion.l1_transaction) == (event.digest, event.l1_transaction)
        assert all(attempt.outcome is not None for attempt in status.attempts)


@contextmanager
def an_endpoint_behind(l1: SimulatedL1, blocks: int) -> Iterator[None]:
    """It has not seen the newest blocks. The network has."""
    unseen = l1.chain[-blocks:]
    del l1.chain[-blocks:]
    yield
    l1.chain += unseen


# ---------------------------------------------------------------------------------------------------------------- fees


async def test_a_fee_doubled_without_a_cap(l1: SimulatedL1, start: Start) -> None:
    """The fee was doubled at every retry, without a bound, until one transaction cost all that the account had."""
    cap = 120 * GWEI
    committer = start(max_fee_wei=cap)
    await submit(l1, committer)
    for _ in range(30):
        l1.base_fee = min(3 * l1.base_fee, 10_000 * GWEI)
        await mine(l1, committer, seconds=60)
    offers = [transaction.max_fee for transaction in l1.sent]
    assert max(offers) <= cap and offers == sorted(offers)
    assert len(set(offers)) == len(get_attempts(committer)) == 3
    assert get_situation(committer) == "fee_cap_reached"
    l1.base_fee = 10 * GWEI
    await mine(l1, committer)
    await check_committed(l1, committer, 1)


async def test_a_fee_raised_by_more_than_replacing_needs(l1: SimulatedL1, start: Start) -> None:
    """The fee was doubled although the network's had not moved: it was the pool that had lost the transaction."""
    committer = start()
    await submit(l1, committer)
    l1.is_gossiping = False
    l1.pool.clear()
    for _ in range(6):
        await mine(l1, committer, seconds=60)
    fees = [attempt.fees for attempt in get_attempts(committer)]
    assert len(fees) == 7
    for fee, bumped in pairwise(fees):
        assert bumped.max_fee == compute_bump(fee.max_fee)
        assert bumped.priority_fee == compute_bump(fee.priority_fee)


def accepts_geth(old: int, new: int) -> bool:
    """10 %, rounded down, and more than before: core/txpool/legacypool/list.go. Erigon, Besu and reth as well."""
    return new > old and new >= old * 110 // 100


def accepts_tenth_rounded_up(old: int, new: int) -> bool:
    return 10 * new >= 11 * old and new > old


def accepts_eighth(old: int, new: int) -> bool:
    """12.5 %, as OpenEthereum asked, and some chains do today."""
    return new >= old + (old >> 3) and new > old


def accepts_eighth_rounded_up(old: int, new: int) -> bool:
    return 8 * new >= 9 * old and new > old


@pytest.mark.parametrize("accepts", [accepts_geth, accepts_tenth_rounded_up, accepts_eighth, accepts_eighth_rounded_up])
def test_a_bump_too_small_to_replace(accepts: Callable[[int, int], bool]) -> None:
    """A raise of 10 % did not suit a client that wants 12.5 %; one of a wei too little, lost in rounding, none."""
    chance = random.Random(1)
    fees = [*range(2_000), *[chance.randrange(2**63) for _ in range(2_000)], *[10**power for power in range(19)]]
    for fee in fees:
        assert accepts(fee, compute_bump(fee)), fee


@pytest.mark.parametrize("floor", [1, 2, 7, 8, 9])
async def test_a_bump_at_tiny_fees(l1: SimulatedL1, start: Start, monkeypatch: Any, floor: int) -> None:
    """At a tip of a few wei, an eighth more was rounded to nothing more, and no replacement was ever taken."""

    async def get_suggested_tip() -> int:
        return floor

    monkeypatch.setattr(l1, "get_suggested_tip", get_suggested_tip)
    l1.base_fee = 0
    l1.mine()
    committer = start(min_priority_fee_wei=1)
    await submit(l1, committer)
    stuck = l1.pool[0]
    l1.base_fee = 1000
    await mine(l1, committer, seconds=60)
    assert l1.pool[0] != stuck, "not replaced"
    assert get_situation(committer) == "in_flight"
    await mine(l1, committer)
    await check_committed(l1, committer, 1)


# -------------------------------------------------------------------------------------------------------- what is mined


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_only_the_dearest_attempt_polled(l1: SimulatedL1, start: Start, position: int) -> None:
    """Only the newest attempt's receipt was asked for. An older, cheaper one was mined, and was waited for no more."""
    committer = start()
    await submit(l1, committer)
    while len(get_attempts(committer)) < 3:
        l1.pool.clear()
        await mine(l1, committer, seconds=60)
    attempts = get_attempts(committer)
    l1.pool[0] = next(transaction for transaction in l1.sent if transaction.hash == attempts[position].hash)
    await mine(l1, committer)
    status = get_status(committer)
    assert status.inclusion is not None and status.inclusion.l1_transaction == attempts[position].hash
    await check_committed(l1, committer, 1)
    expected = [AttemptOutcome.REPLACED] * 3
    expected[position] = AttemptOutcome.INCLUDED
    assert [attempt.outcome for attempt in get_attempts(committer)] == expected


async def test_a_confirmation_test_with_its_sign_reversed(l1: SimulatedL1, start: Start) -> None:
    """A commitment counted as confirmed as long as it had too few confirmations, and not once it had enough."""
    confirmations = 5
    l1.deployment = msgspec.structs.replace(l1.deployment, challenge_period=1)
    committer = start(confirmations=confirmations)
    await submit(l1, committer)
    await mine(l1, committer)
    seen = []
    for _ in range(3 * confirmations):
        status = get_status(committer)
        seen.append((status.confirmations, committer.final_epoch, status.state is EpochState.FINAL))
        await mine(l1, committer)
    # The window of a second is over at the block after the one that included it.
    assert seen == [(depth, depth > confirmations, depth > confirmations) for depth in range(1, 3 * confirmations + 1)]


@pytest.mark.parametrize(
    ("offset", "outcome"), [(-1, None), (0, AttemptOutcome.REPLACED), (1, AttemptOutcome.REPLACED)]
)
async def test_off_by_one_at_the_confirmation_depth(
    l1: SimulatedL1, start: Start, offset: int, outcome: AttemptOutcome | None
) -> None:
    """With N confirmations asked for, N − 1 were enough, or N were not: the block itself was counted twice, or not."""
    confirmations = 6
    committer = start(confirmations=confirmations)
    await submit(l1, committer)
    l1.pool.clear()
    await mine(l1, committer, seconds=60)
    assert len(get_attempts(committer)) == 2
    await mine(l1, committer)
    assert committer.mined_epoch == 1, "one confirmation: its own block"
    await mine(l1, committer, confirmations - 1 + offset)
    assert get_status(committer).confirmations == confirmations + offset
    assert get_attempts(committer)[0].outcome is outcome


async def test_a_receipts_status_never_read(l1: SimulatedL1, start: Start) -> None:
    """A transaction that was mined and had reverted counted as a success, as it had a receipt."""
    committer = start()
    await submit(l1, committer)
    l1.is_reverting = ContractError("CutInFuture")
    await mine(l1, committer)
    assert committer.mined_epoch == 0 and get_status(committer).state is EpochState.SENT
    assert get_situation(committer) == "reverting"
    assert get_attempts(committer)[0].outcome is None, "not final yet"
    await mine(l1, committer, l1.finality_depth)
    (reverted,) = get_attempts(committer)
    assert reverted.outcome is AttemptOutcome.REVERTED and reverted.gas_used == GAS
    assert reverted.problem == "CutInFuture()"
    l1.is_reverting = None
    await mine(l1, committer, 2)
    await check_committed(l1, committer, 1, reverted=1)
    assert [attempt.nonce for attempt in get_attempts(committer)] == [0, 1]
    assert get_status(committer).cost == sum(attempt.cost for attempt in get_attempts(committer)) > 0


async def test_resubmitted_after_it_was_mined(l1: SimulatedL1, start: Start, open_store: Open) -> None:
    """What was mined already was sent again, with a new nonce, after a late receipt, a restart or a lost record."""
    committer = start()
    await submit(l1, committer)
    sent = len(l1.sent)
    l1.fault = lambda method: method == "get_receipt"
    await mine(l1, committer, 5, seconds=60)
    assert committer.mined_epoch == 0 and get_situation(committer) == "l1_unreachable"
    assert len(l1.sent) == sent, "it is there, only its receipt is late"
    l1.fault = lambda method: False
    for _ in range(3):
        await mine(l1, committer, 2, seconds=60)
        committer = start(open_store())
    assert len(l1.sent) == sent
    await check_committed(l1, committer, 1)


async def test_gas_estimated_at_a_nearly_full_block_and_never_again(
    l1: SimulatedL1, start: Start, monkeypatch: Any
) -> None:
    """The client bounded its estimate by what the pending block had left. The limit was kept for all retries, and each
    of them ran out of gas."""
    estimates = [GAS // 2, GAS]
    execute = l1._execute

    async def estimate_commit_gas(sender: bytes, data: bytes) -> int:
        return estimates.pop(0) if len(estimates) > 1 else estimates[0]

    def execute_within_limit(state: Any, transaction: Any) -> Any:
        is_enough = transaction.gas_limit >= GAS
        l1.is_reverting = None if is_enough else ContractError("OutOfGas")
        after = execute(state, transaction)
        l1.is_reverting = None
        return after

    monkeypatch.setattr(l1, "estimate_commit_gas", estimate_commit_gas)
    monkeypatch.setattr(l1, "_execute", execute_within_limit)
    committer = start()
    await submit(l1, committer)
    assert l1.sent[0].gas_limit == GAS // 2 * 5 // 4
    await mine(l1, committer)
    assert committer.mined_epoch == 0 and l1.reverted_count == 1
    assert l1.sent[-1].gas_limit == GAS * 5 // 4 and l1.sent[-1].nonce == 1
    await mine(l1, committer)
    await check_committed(l1, committer, 1, reverted=1)
    assert "out of gas" in get_attempts(committer)[0].problem


async def test_the_gas_limit_of_a_bump_is_not_that_of_the_first_attempt(
    l1: SimulatedL1, start: Start, monkeypatch: Any
) -> None:
    """Only the fees of a replacement were new. The state had moved on, and the old gas limit was too low for it."""
    gas = GAS

    async def estimate_commit_gas(sender: bytes, data: bytes) -> int:
        return gas

    monkeypatch.setattr(l1, "estimate_commit_gas", estimate_commit_gas)
    committer = start()
    await submit(l1, committer)
    l1.pool.clear()
    gas = 2 * GAS
    await mine(l1, committer, seconds=60)
    assert [attempt.gas_limit for attempt in get_attempts(committer)] == [GAS * 5 // 4, 2 * GAS * 5 // 4]


# --------------------------------------------------------------------------------------------------- the client's words


@pytest.mark.parametrize(
    ("client", "message", "outcome"),
    [
        ("geth", "already known", SendOutcome.ALREADY_KNOWN),
        ("geth", "nonce too low: next nonce 24, tx nonce 0", SendOutcome.NONCE_TOO_LOW),
        ("geth", "nonce too low: address 0x…, tx: 0 state: 24", SendOutcome.NONCE_TOO_LOW),
        ("geth", "replacement transaction underpriced", SendOutcome.UNDERPRICED),
        ("geth", "transaction underpriced", SendOutcome.UNDERPRICED),
        ("geth", "transaction underpriced: tip needed 1000000, tip permitted 1", SendOutcome.UNDERPRICED),
        ("geth", "transaction gas price below minimum: gas tip cap 1, minimum needed 2", SendOutcome.UNDERPRICED),
        (
            "geth",
            "max fee per gas less than block base fee: address 0x…, maxFeePerGas: 1, baseFee: 7",
            SendOutcome.UNDERPRICED,
        ),
        (
            "geth",
            "insufficient funds for gas * price + value: balance 1, tx cost 2, overshot 1",
            SendOutcome.OUT_OF_FUNDS,
        ),
        ("geth", "txpool is full", SendOutcome.REFUSED),
        ("geth", "exceeds block gas limit", SendOutcome.REFUSED),
        ("Erigon", "ALREADY_EXISTS: already known", SendOutcome.ALREADY_KNOWN),
        ("Erigon", "INTERNAL_ERROR: existing tx with same hash", SendOutcome.ALREADY_KNOWN),
        ("Erigon", "INTERNAL_ERROR: nonce too low", SendOutcome.NONCE_TOO_LOW),
        ("Erigon", "INTERNAL_ERROR: could not replace existing tx", SendOutcome.UNDERPRICED),
        ("Erigon", "FEE_TOO_LOW: underpriced", SendOutcome.UNDERPRICED),
        ("Erigon", "fee too low", SendOutcome.UNDERPRICED),
        ("Erigon", "INTERNAL_ERROR: insufficient funds", SendOutcome.OUT_OF_FUNDS),
        ("Erigon", "INTERNAL_ERROR: pending sub-pool is full", SendOutcome.REFUSED),
        ("Nethermind", "AlreadyKnown", SendOutcome.ALREADY_KNOWN),
        ("Nethermind", "OldNonce, Current nonce: 24, nonce of rejected tx: 0", SendOutcome.NONCE_TOO_LOW),
        ("Nethermind", "ReplacementNotAllowed", SendOutcome.UNDERPRICED),
        ("Nethermind", "FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 1, BaseFee: 7", SendOutcome.UNDERPRICED),
        ("Nethermind", "FeeTooLowToCompete", SendOutcome.UNDERPRICED),
        ("Nethermind", "InsufficientFunds, Account balance: 1, cumulative cost: 2", SendOutcome.OUT_OF_FUNDS),
        ("Nethermind", "GasLimitExceeded", SendOutcome.REFUSED),
        ("Besu", "Known transaction", SendOutcome.ALREADY_KNOWN),
        ("Besu", "Nonce too low", SendOutcome.NONCE_TOO_LOW),
        ("Besu", "Replacement transaction underpriced", SendOutcome.UNDERPRICED),
        ("Besu", "Gas price below configured minimum gas price", SendOutcome.UNDERPRICED),
        ("Besu", "Gas price below current base fee", SendOutcome.UNDERPRICED),
        ("Besu", "Upfront cost exceeds account balance", SendOutcome.OUT_OF_FUNDS),
        ("reth", "already known", SendOutcome.ALREADY_KNOWN),
        ("reth", "nonce too low: next nonce 24, tx nonce 0", SendOutcome.NONCE_TOO_LOW),
        ("reth", "replacement transaction underpriced", SendOutcome.UNDERPRICED),
        ("reth", "transaction underpriced", SendOutcome.UNDERPRICED),
        ("reth", "max fee per gas less than block base fee", SendOutcome.UNDERPRICED),
        ("reth", "insufficient funds for gas * price + value: have 1 want 2", SendOutcome.OUT_OF_FUNDS),
        ("anvil", "transaction already imported", SendOutcome.ALREADY_KNOWN),
        ("anvil", "nonce too low", SendOutcome.NONCE_TOO_LOW),
        ("anvil", "replacement transaction underpriced", SendOutcome.UNDERPRICED),
        ("anvil", "max fee per gas less than block base fee", SendOutcome.UNDERPRICED),
        ("anvil", "Insufficient funds for gas * price + value", SendOutcome.OUT_OF_FUNDS),
    ],
)
async def test_replacement_underpriced_worded_differently_by_each_client(
    l1: SimulatedL1, start: Start, client: str, message: str, outcome: SendOutcome
) -> None:
    """One client's words were looked for. Another's ended the retries, or raised an alarm for nothing."""
    assert classify_send_refusal(message) is outcome, client
    committer = start()
    l1.refusal = SendResult(classify_send_refusal(message), message)
    await submit(l1, committer)
    is_success = outcome in (SendOutcome.ALREADY_KNOWN, SendOutcome.NONCE_TOO_LOW)
    assert committer.status()["is_ok"] == is_success
    l1.refusal = None
    await mine(l1, committer, 2)
    await check_committed(l1, committer, 1)


# ------------------------------------------------------------------------------------------- restarts, and old records


async def sealed_only(l1: SimulatedL1, committer: Committer) -> None:
    await committer.submit(*l1.seal())


async def signed_not_sent(l1: SimulatedL1, committer: Committer) -> None:
    l1.fault = lambda method: method == "send"
    await submit(l1, committer)
    l1.fault = lambda method: False
    assert l1.sent == [] and len(get_attempts(committer)) == 1


async def sent(l1: SimulatedL1, committer: Committer) -> None:
    await submit(l1, committer)


async def sent_and_forgotten(l1: SimulatedL1, committer: Committer) -> None:
    await submit(l1, committer)
    l1.pool.clear()


async def mined_not_seen(l1: SimulatedL1, committer: Committer) -> None:
    await submit(l1, committer)
    l1.mine()


@pytest.mark.parametrize("reach", [sealed_only, signed_not_sent, sent, sent_and_forgotten, mined_not_seen])
async def test_a_restart_lost_pending_work(l1: SimulatedL1, start: Start, open_store: Open, reach: Any) -> None:
    """What was not mined yet was in memory alone. After a restart nobody knew of it, and it was never committed."""
    committer = start()
    await reach(l1, committer)
    attempts = get_attempts(committer)
    committer = start(open_store())
    assert get_attempts(committer) == attempts
    await committer.tick()
    await mine(l1, committer, 2)
    await check_committed(l1, committer, 1)
    assert {transaction.nonce for transaction in l1.sent} == {0}


async def test_the_contract_ahead_of_the_store(l1: SimulatedL1, start: Start) -> None:
    """The contract had more epochs than the database. The next one was sent with a number long taken, for ever."""
    committer = start()
    seals = [l1.seal()]
    for _ in range(3):
        before = NO_COMMITMENT if len(seals) == 1 else seals[-2][0]
        l1.submit_as_stranger(before, *seals[-1])
        l1.mine()
        seals.append(l1.seal())
    await committer.submit(*seals[0])
    await committer.tick()
    assert committer.mined_epoch == 3 and l1.sent == []
    for seal in seals:
        await committer.submit(*seal)
    await committer.tick()
    await mine(l1, committer)
    await check_committed(l1, committer, 4)
    assert [transaction.epoch for transaction in l1.sent] == [4]


async def test_an_old_backup_of_the_store(l1: SimulatedL1, start: Start, store: EthereumStore, tmp_path: Path) -> None:
    """A database restored from yesterday made the node send yesterday's transactions again, at new nonces."""
    committer = start()
    await submit(l1, committer)
    await mine(l1, committer)
    await submit(l1, committer)  # in flight when the copy is made
    with sqlite3.connect(tmp_path / "old.sqlite") as copy, sqlite3.connect(tmp_path / "ethereum.sqlite") as original:
        original.backup(copy)
    l1.pool.clear()
    await mine(l1, committer, seconds=60)
    assert len(get_attempts(committer, 2)) == 2
    await mine(l1, committer)
    last = l1.seal()
    await committer.submit(*last)
    await committer.tick()
    sent = len(l1.sent)

    restored = EthereumStore(tmp_path / "old.sqlite", L1_CHAIN_ID, SETTLEMENT)
    committer = start(restored)
    assert committer.mined_epoch == 1
    await committer.tick()
    assert committer.mined_epoch == 2 and len(l1.sent) == sent, "found on chain"
    await committer.submit(*last)
    await committer.tick()
    assert {transaction.nonce for transaction in l1.sent[sent:]} == {2}
    await mine(l1, committer)
    await check_committed(l1, committer, 3)
    restored.close()


async def test_an_old_backup_of_the_journal(l1: SimulatedL1, start: Start, open_store: Open) -> None:
    """A node restored from a copy went on from there, and signed a second history beside the one on chain."""
    committer = start()
    for _ in range(3):
        await submit(l1, committer)
        await mine(l1, committer)
    node = object.__new__(Node)
    node._committer, node._epochs = start(open_store()), SimpleNamespace(sealed_epoch=3)  # type: ignore[assignment]
    await node._committer.tick()
    node._check_journal()
    node._epochs.sealed_epoch = 2  # type: ignore[misc]
    with pytest.raises(JournalBehindChain, match="epoch 3"):
        node._check_journal()


async def test_an_old_backup_of_journal_and_store_together(l1: SimulatedL1, start: Start, tmp_path: Path) -> None:
    """All of a machine restored at once agreed with itself, so nothing seemed wrong with it."""
    committer = start()
    first = l1.seal()
    await committer.submit(*first)
    await committer.tick()
    await mine(l1, committer)
    await submit(l1, committer)
    await mine(l1, committer)
    sent = len(l1.sent)
    restored = EthereumStore(tmp_path / "restored.sqlite", L1_CHAIN_ID, SETTLEMENT)
    committer = start(restored)
    await committer.submit(*first)
    l1.operator_previous = first[0]
    await committer.submit(*l1.seal(cut_at=l1.now_ms))  # the second history's next epoch, signed before a look
    await mine(l1, committer, 3)
    assert get_situation(committer) == "diverged" and committer.end is not None
    assert len(l1.sent) == sent
    restored.close()


# -------------------------------------------------------------------------------------------- endpoints that are not so


async def test_one_endpoint_trusted_with_a_stale_chain(l1: SimulatedL1, start: Start) -> None:
    """An endpoint that had stopped at an old block was believed: what was committed counted as lost, and was sent
    again."""
    committer = start()
    await submit(l1, committer)
    await mine(l1, committer)
    sent = len(l1.sent)
    with an_endpoint_behind(l1, 1):
        for _ in range(3):
            await committer.tick()
            assert committer.mined_epoch == 1 and get_situation(committer) == "waiting_for_l1_block"
        l1.now_ms += 600_000
        await committer.tick()
        assert get_situation(committer) == "l1_behind" and not committer.status()["is_ok"]
    assert len(l1.sent) == sent and committer.mined_epoch == 1
    await check_committed(l1, committer, 1)


async def test_one_endpoint_trusted_with_a_fork(l1: SimulatedL1, start: Start) -> None:
    """An endpoint on a fork of its own was believed: its chain had other blocks, and the true one's were forgotten."""
    l1.finality_depth = 20
    committer = start()
    await submit(l1, committer)
    await mine(l1, committer)
    true_chain, true_pool = list(l1.chain), dict(l1.pool)
    l1.reorganise(1, keep_transactions=False)
    for _ in range(3):
        await mine(l1, committer)
    assert {transaction.hash for transaction in l1.sent} == {l1.sent[0].hash}, "the same bytes, on either fork"
    l1.chain, l1.pool = true_chain, true_pool
    await mine(l1, committer, 3)
    await check_committed(l1, committer, 1)


async def test_partial_logs(l1: SimulatedL1, start: Start, monkeypatch: Any) -> None:
    """An endpoint left logs out without a word, and an epoch was skipped."""
    committer = start()
    for _ in range(3):
        l1.submit_as_stranger(l1.operator_previous, *l1.seal())
        l1.mine()
    ask = l1.get_committed_events
    for lost in (1, 2, 3):

        async def lose_one(first: int, last: int, lost: int = lost) -> list[Any]:
            return [event for event in await ask(first, last) if event.commitment.epoch != lost]

        monkeypatch.setattr(l1, "get_committed_events", lose_one)
        await committer.tick()
        assert get_situation(committer) == "l1_unreachable"
        assert f"epoch {lost}" in committer.status()["detail"]
        assert committer.mined_epoch == lost - 1, "up to there it is sure"
    monkeypatch.setattr(l1, "get_committed_events", ask)
    await committer.tick()
    await check_committed(l1, committer, 3)


async def test_logs_delivered_again_and_again(l1: SimulatedL1, start: Start, monkeypatch: Any) -> None:
    """A log delivered twice was counted twice."""
    committer = start()
    for _ in range(2):
        l1.submit_as_stranger(l1.operator_previous, *l1.seal())
        l1.mine()
    ask = l1.get_committed_events

    async def repeat(first: int, last: int) -> list[Any]:
        return 5 * await ask(first, last)

    monkeypatch.setattr(l1, "get_committed_events", repeat)
    for _ in range(5):
        await committer.tick()
    await submit(l1, committer)
    await mine(l1, committer)
    await check_committed(l1, committer, 3)


async def test_a_log_of_a_block_that_is_gone(l1: SimulatedL1, start: Start, monkeypatch: Any) -> None:
    """After a reorganisation the old block's log came along with the new one's, and the old block was remembered."""
    committer = start()
    first = l1.seal()
    l1.submit_as_stranger(NO_COMMITMENT, *first)
    l1.mine()
    (gone,) = await l1.get_committed_events(0, 1)
    l1.reorganise(1)
    l1.mine()
    ask = l1.get_committed_events

    async def mix(low: int, high: int) -> list[Any]:
        return [gone, *await ask(low, high)]

    monkeypatch.setattr(l1, "get_committed_events", mix)
    await committer.tick()
    assert committer.mined_epoch == 0 and get_situation(committer) == "l1_unreachable"
    monkeypatch.setattr(l1, "get_committed_events", ask)
    await committer.tick()
    await check_committed(l1, committer, 1)
    inclusion = get_status(committer).inclusion
    assert inclusion is not None and inclusion.l1_block_hash != gone.l1_block_hash


# -------------------------------------------------------------------------------------------------------------- nonces


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_nonce_from_an_endpoint_that_lags(
    l1: SimulatedL1, start: Start, open_store: Open, is_restarted: bool
) -> None:
    """The next nonce was asked of an endpoint that had not seen the last transaction, and was used a second time."""
    committer = start()
    await submit(l1, committer)
    await mine(l1, committer)
    await committer.submit(*l1.seal())
    sent = len(l1.sent)
    if is_restarted:
        committer = start(open_store())
    with an_endpoint_behind(l1, 1):
        for _ in range(60):
            l1.now_ms += 12_000
            await committer.tick()
            assert get_situation(committer) in ("waiting_for_l1_block", "l1_behind")
        assert get_situation(committer) == "l1_behind"
    assert len(l1.sent) == sent
    await mine(l1, committer, 2)
    assert [transaction.nonce for transaction in l1.sent] == [0, 1]
    await check_committed(l1, committer, 2)


async def test_twenty_four_missing_nonces(l1: SimulatedL1, start: Start) -> None:
    """The pool had lost 24 transactions. New ones, numbered after them, waited behind the gap for ever."""
    l1.finality_depth = 64
    committer = start()
    for _ in range(24):
        await submit(l1, committer)
        await mine(l1, committer)
    assert l1.top.nonce == committer.mined_epoch == 24
    l1.mine()
    l1.reorganise(25, keep_transactions=False)
    assert l1.top.nonce == 0 and l1.pool == {}
    await committer.tick()
    assert committer.mined_epoch == 0
    await submit(l1, committer)
    await mine(l1, committer, 25)
    await check_committed(l1, committer, 25)
    included = [get_attempts(committer, epoch)[-1].nonce for epoch in range(1, 26)]
    assert included == list(range(25))


async def test_a_nonce_count_that_goes_backwards(l1: SimulatedL1, start: Start, monkeypatch: Any) -> None:
    """The count came from another of the provider's machines each time. It went back, and a nonce was used twice."""
    committer = start()
    for _ in range(3):
        await submit(l1, committer)
        await mine(l1, committer)
    l1.use_nonce()
    ask, wrong = l1.get_nonce, [0, 4, 1, 2, 0, 4]

    async def waver(account: bytes, at: int) -> int:
        return min(wrong.pop(0), await ask(account, at)) if wrong else await ask(account, at)

    monkeypatch.setattr(l1, "get_nonce", waver)
    sent = len(l1.sent)
    await submit(l1, committer)
    await mine(l1, committer, 6)
    assert all(transaction.nonce >= 3 for transaction in l1.sent[sent:]), "that of its own last one is used up"
    await check_committed(l1, committer, 4)


async def test_accepted_but_never_gossiped(l1: SimulatedL1, start: Start) -> None:
    """The endpoint took the transaction, and told nobody. It was waited for without an end, and without a name."""
    committer = start()
    l1.is_gossiping = False
    await submit(l1, committer)
    l1.pool.clear()
    sent, named_after = len(l1.sent), 0
    for block in range(1, 121):
        await mine(l1, committer)
        if not committer.status()["is_ok"]:
            named_after = named_after or block
    assert len(l1.sent) - sent >= 120, "sent again with every block"
    assert get_situation(committer) == "fee_cap_reached"
    assert 0 < named_after * 12 <= 1_200, "seconds"
    assert committer.status()["lag_ms"] == 120 * 12_000
    assert {attempt.nonce for attempt in get_attempts(committer)} == {0}
    l1.is_gossiping = True
    await mine(l1, committer, 2)
    await check_committed(l1, committer, 1)


# ------------------------------------------------------------------------------------------------------------- silence


async def test_a_cap_reached_and_then_weeks_of_silence(l1: SimulatedL1, start: Start) -> None:
    """The fee had reached its cap. For weeks nothing was committed, and every health check said 200 OK."""
    committer = start(max_fee_wei=30 * GWEI)
    health = Health()
    health.add(
        "committer",
        lambda: Check(committer.status()["state"], committer.status()["is_ok"], committer.status()["detail"]),
    )
    await committer.tick()
    assert health.report()[1]["status"] == "ready"
    l1.base_fee = 31 * GWEI
    l1.mine()
    told = committer.change.wait_until(lambda: not committer.status()["is_ok"])
    with capture_logs() as logs:
        await submit(l1, committer)
    await told
    (entered,) = [log for log in logs if log["event"] == "committer_situation"]
    assert (entered["log_level"], entered["situation"]) == ("error", "fee_cap_reached")
    since = committer.status()["since"]
    for _ in range(3 * 7 * 24):
        l1.mine(seconds=3600)
        await committer.tick()
        status = committer.status()
        assert (status["state"], status["is_ok"], status["since"]) == ("fee_cap_reached", False, since)
        assert str(31 * GWEI) in status["detail"] and str(30 * GWEI) in status["detail"]
        is_ready, report = health.report()
        assert is_ready and report["status"] == "degraded"
        assert report["checks"]["committer"]["state"] == "fee_cap_reached"
    assert status["lag_ms"] == 3 * 7 * 24 * 3_600_000 and status["lag_epochs"] == 1
    l1.base_fee = 10 * GWEI
    await mine(l1, committer, 2)
    assert health.report()[1]["status"] == "ready"
    await check_committed(l1, committer, 1)


def test_every_situation_is_ordinary_or_an_alarm() -> None:
    """A state that nobody had thought of was taken for a healthy one."""
    assert {situation for situation in Situation if situation not in ORDINARY} >= {
        Situation.FEE_CAP_REACHED,
        Situation.OVER_BUDGET,
        Situation.OUT_OF_FUNDS,
        Situation.UNDERPRICED,
        Situation.REFUSED,
        Situation.REVERTING,
        Situation.HALTED,
        Situation.DIVERGED,
        Situation.L1_STALLED,
        Situation.L1_BEHIND,
        Situation.L1_UNREACHABLE,
    }
