"""Fees, funds, nonces and other senders, at a real client's pool. The test mines and holds the clock: nothing waits."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chain.commitment import NO_COMMITMENT, Commitment
from chain.primitives import ETHER, Signature
from node.ethereum.committer import Committer
from node.ethereum.submission import AttemptOutcome
from tests.integration.committing import GWEI, Stand, open_stand
from tests.integration.ethereum import GAS_ACCOUNT, STRANGER


@pytest.fixture
async def stand(anvil_path: Path, tmp_path: Path) -> AsyncIterator[Stand]:
    async with open_stand(anvil_path, tmp_path) as stand:
        await stand.anvil.mine(base_fee=GWEI)
        yield stand


# ---------------------------------------------------------------------------------------------------------------- fees


async def test_a_base_fee_ten_times_higher_is_followed(stand: Stand) -> None:
    await stand.submit()
    await stand.tick()
    await stand.mine(4, base_fee=10 * GWEI)
    first, second = stand.get_attempts()
    assert first.nonce == second.nonce and first.fees.max_fee < 10 * GWEI < second.fees.max_fee
    assert 8 * second.fees.priority_fee >= 9 * first.fees.priority_fee
    assert not await stand.is_pooled(first.hash) and await stand.is_pooled(second.hash)
    await stand.mine(base_fee=10 * GWEI)
    await stand.check_committed()
    assert [attempt.outcome for attempt in stand.get_attempts()] == [AttemptOutcome.REPLACED, AttemptOutcome.INCLUDED]


async def test_a_base_fee_that_keeps_rising_is_followed_until_the_cap(stand: Stand) -> None:
    stand.start(max_fee_wei=60 * GWEI)
    await stand.submit()
    await stand.tick()
    for base_fee in (10, 30, 70, 70):
        await stand.mine(4, base_fee=base_fee * GWEI)
    offers = [attempt.fees.max_fee for attempt in stand.get_attempts()]
    assert offers == sorted(offers) and offers[-1] == 60 * GWEI
    assert stand.situation == "fee_cap_reached" and not stand.committer.status()["is_ok"]
    assert str(70 * GWEI) in stand.committer.status()["detail"]
    dearest = stand.get_attempts()[-1]
    await stand.anvil.call("anvil_dropAllTransactions")
    sent = stand.line.asked.count("eth_sendRawTransaction")
    await stand.mine(base_fee=70 * GWEI)
    assert stand.line.asked.count("eth_sendRawTransaction") == sent + 1, "the last offer stands, and is sent on"
    assert len(stand.get_attempts()) == len(offers)
    await stand.mine(base_fee=20 * GWEI)
    assert await stand.is_pooled(dearest.hash)
    await stand.mine(base_fee=20 * GWEI)
    await stand.check_committed()


async def test_a_cap_below_the_base_fee_is_named_at_the_first_look(stand: Stand) -> None:
    stand.start(max_fee_wei=5 * GWEI)
    await stand.anvil.mine(base_fee=10 * GWEI)
    await stand.submit()
    assert await stand.tick() == "fee_cap_reached"
    assert stand.get_attempts() == ()
    for _ in range(5):
        await stand.mine(base_fee=10 * GWEI)
        assert stand.situation == "fee_cap_reached" and not stand.committer.status()["is_ok"]
    await stand.anvil.mine(base_fee=GWEI)
    assert await stand.tick() == "in_flight", "without a restart"
    await stand.mine()
    await stand.check_committed()


async def test_a_chain_without_a_base_fee_is_paid_by_gas_price(stand: Stand) -> None:
    """Anvil takes what was signed before EIP-1559 as well."""
    stand.line.has_base_fee = False
    await stand.submit()
    assert await stand.tick() == "in_flight"
    (first,) = stand.get_attempts()
    assert first.is_legacy and first.fees.max_fee == first.fees.priority_fee
    await stand.mine(4, base_fee=10 * first.fees.max_fee)
    await stand.mine(8, base_fee=first.fees.max_fee)
    assert stand.committer.mined_epoch == 1
    await stand.submit()
    await stand.tick()
    await stand.mine()
    await stand.check_committed()
    for epoch in (1, 2):
        attempt = stand.get_attempts(epoch)[-1]
        known = await stand.anvil.call("eth_getTransactionByHash", "0x" + attempt.hash.hex())
        assert known["type"] == "0x0" and int(known["gasPrice"], 16) == attempt.fees.max_fee


async def test_a_chain_that_takes_up_base_fees_with_a_commitment_in_flight(stand: Stand) -> None:
    stand.line.has_base_fee = False
    await stand.submit()
    await stand.tick()
    stand.line.has_base_fee = True
    await stand.mine(4, base_fee=10 * GWEI)
    first, second = stand.get_attempts()
    assert (first.is_legacy, second.is_legacy) == (True, False)
    await stand.mine(base_fee=10 * GWEI)
    await stand.check_committed()


# --------------------------------------------------------------------------------------------------------------- funds


async def test_out_of_funds_until_funded(stand: Stand) -> None:
    await stand.anvil.call("anvil_setBalance", GAS_ACCOUNT.address, "0x1")
    await stand.submit()
    for _ in range(3):
        assert await stand.tick() == "out_of_funds"
        assert not stand.committer.status()["is_ok"] and "the balance is 1 wei" in stand.committer.status()["detail"]
        await stand.anvil.mine()
    assert stand.get_attempts() == ()
    await stand.anvil.call("anvil_setBalance", GAS_ACCOUNT.address, hex(10**18))
    await stand.mine()
    assert stand.situation == "in_flight"
    await stand.mine()
    await stand.check_committed()


async def test_the_funds_go_while_a_commitment_is_in_flight(stand: Stand) -> None:
    """The pool drops what cannot be paid for."""
    await stand.submit()
    await stand.tick()
    await stand.anvil.call("anvil_setBalance", GAS_ACCOUNT.address, "0x1")
    await stand.anvil.call("anvil_dropAllTransactions")
    await stand.mine(5)
    assert stand.situation == "out_of_funds"
    await stand.anvil.call("anvil_setBalance", GAS_ACCOUNT.address, hex(10**18))
    await stand.mine(3)
    await stand.check_committed()


async def test_over_budget_until_a_day_later(anvil_path: Path, tmp_path: Path) -> None:
    async with open_stand(anvil_path, tmp_path, max_silence=7 * 86_400) as stand:
        await stand.anvil.mine(base_fee=GWEI)
        await stand.submit()
        await stand.tick()
        await stand.mine()
        status = stand.committer.get_epoch(1)
        assert status is not None and status.cost > 0
        stand.start(daily_budget_wei=status.cost + 1)
        await stand.submit()
        assert await stand.tick() == "over_budget" and not stand.committer.status()["is_ok"]
        for _ in range(23):
            await stand.anvil.mine(seconds=3600, base_fee=1000)
            assert await stand.tick() == "over_budget"
            assert f"{status.cost} wei spent" in stand.committer.status()["detail"]
        assert stand.get_attempts(2) == ()
        await stand.anvil.mine(seconds=3600, base_fee=1000)
        await stand.tick()
        await stand.mine(2)
        await stand.check_committed()


# -------------------------------------------------------------------------------------------------------- the contract


async def test_the_contract_refuses_until_it_does_not(stand: Stand) -> None:
    """The commitment counts a deposit that a reorganisation has taken back, until it is there again."""
    count, total = stand.settled.deposited[ETHER]
    stand.settled.deposited[ETHER] = (count + 1, total + 5)
    await stand.submit()
    stand.settled.deposited[ETHER] = (count, total)
    for _ in range(3):
        assert await stand.tick() == "reverting"
        assert not stand.committer.status()["is_ok"] and stand.committer.status()["detail"].endswith(")")
        await stand.anvil.mine()
    assert stand.get_attempts() == () and await stand.count_mined() == 0
    await stand.settled.deposit(ETHER, 5)
    assert await stand.tick() == "in_flight"
    await stand.mine()
    await stand.check_committed()


async def test_one_mined_but_reverted_says_why_and_is_made_good(stand: Stand) -> None:
    """It was right when it was sent. A reorganisation took the deposit that it counts, before it was mined."""
    await stand.settled.deposit(ETHER, 5)
    await stand.submit()
    await stand.tick()
    raw = "0x" + stand.get_attempts()[0].raw.hex()
    await stand.anvil.reorganise(1)
    await stand.anvil.call("anvil_dropAllTransactions")
    await stand.anvil.call("eth_sendRawTransaction", raw)
    await stand.anvil.mine()
    await stand.tick()
    assert await stand.count_mined() == 1 and stand.committer.mined_epoch == 0
    assert stand.situation == "reverting"
    await stand.settled.deposit(ETHER, 5)
    count, total = stand.settled.deposited[ETHER]
    stand.settled.deposited[ETHER] = (count - 1, total - 5)
    await stand.tick()
    assert stand.situation == "in_flight"
    await stand.mine()
    await stand.check_committed(reverted=1)
    reverted, included = stand.get_attempts()
    assert reverted.problem and included.problem == "" and (reverted.nonce, included.nonce) == (0, 1)
    assert stand.committer.get_epoch(1).cost == reverted.cost + included.cost  # type: ignore[union-attr]


# --------------------------------------------------------------------------------- other senders, and our own account's


async def _send_as_stranger(stand: Stand, previous: Commitment, seal: tuple[Commitment, Signature]) -> None:
    data = stand.settled.gateway.encode_commit(previous, *seal)
    nonce = int(await stand.anvil.call("eth_getTransactionCount", STRANGER.address, "latest"), 16)
    await stand.send(STRANGER, nonce, 200 * GWEI, data, to=stand.settled.gateway.settlement)


def _get_seal(committer: Committer, epoch: int) -> tuple[Commitment, Signature]:
    seal = committer.get_commitment(epoch)
    assert seal is not None
    return seal.commitment, seal.signature


async def test_pre_empted_before_the_first_look(stand: Stand) -> None:
    await stand.submit()
    await _send_as_stranger(stand, NO_COMMITMENT, _get_seal(stand.committer, 1))
    await stand.mine()
    assert stand.situation == "idle" and stand.get_attempts() == ()
    await stand.check_committed(not_ours=(1,))


async def test_pre_empted_in_flight_our_transaction_gives_way_to_the_next_epochs(stand: Stand) -> None:
    """It is still in the pool and would revert. Its nonce is what the next epoch needs."""
    await stand.submit()
    await stand.tick()
    (stale,) = stand.get_attempts()
    await _send_as_stranger(stand, NO_COMMITMENT, _get_seal(stand.committer, 1))
    await stand.anvil.mine(base_fee=30 * GWEI)  # too dear for ours
    await stand.submit()
    await stand.tick()
    assert stand.committer.mined_epoch == 1 and not await stand.is_pooled(stale.hash)
    (attempt,) = stand.get_attempts(2)
    assert attempt.nonce == stale.nonce
    await stand.mine(base_fee=30 * GWEI)
    await stand.check_committed(not_ours=(1,))
    assert [attempt.outcome for attempt in stand.get_attempts(1)] == [AttemptOutcome.REPLACED]


async def test_pre_empted_in_the_same_block_costs_one_revert(stand: Stand) -> None:
    """Nothing avoids it; it is paid for, named, and the next epoch goes on."""
    await stand.submit()
    await stand.tick()
    await _send_as_stranger(stand, NO_COMMITMENT, _get_seal(stand.committer, 1))
    await stand.mine()
    await stand.submit()
    await stand.tick()
    await stand.mine()
    await stand.check_committed(not_ours=(1,), reverted=1)
    (reverted,) = stand.get_attempts(1)
    assert reverted.problem.startswith("EpochMismatch"), reverted.problem


async def test_a_dearer_transaction_of_our_account_on_our_nonce(stand: Stand) -> None:
    """In the pool before ours, by somebody who has the key as well: named, outbid in time, once the fees allow it."""
    await stand.send(GAS_ACCOUNT, 0, 20 * GWEI)
    await stand.submit()
    assert await stand.tick() == "underpriced"
    assert not stand.committer.status()["is_ok"] and "underpriced" in stand.committer.status()["detail"]
    for _ in range(4):
        await stand.mine(base_fee=30 * GWEI)
    assert stand.situation == "in_flight"
    assert await stand.is_pooled(stand.get_attempts()[-1].hash)
    await stand.mine(base_fee=30 * GWEI)
    await stand.check_committed()


async def test_a_transaction_of_our_account_mined_on_our_nonce(stand: Stand) -> None:
    await stand.submit()
    await stand.tick()
    await stand.send(GAS_ACCOUNT, 0, 50 * GWEI)
    await stand.mine()
    assert await stand.count_mined() == 1 and stand.committer.mined_epoch == 0
    first, second = stand.get_attempts()
    assert (first.nonce, second.nonce) == (0, 1)
    await stand.mine()
    await stand.check_committed(foreign=1)
    assert stand.get_attempts()[0].outcome is AttemptOutcome.REPLACED


async def test_transactions_of_our_account_beyond_a_gap(stand: Stand) -> None:
    """Nonces 1 and 24 are in the pool; 0 is not, and is the one that counts. The next epoch's 1 is taken already."""
    await stand.send(GAS_ACCOUNT, 1, 50 * GWEI)
    await stand.send(GAS_ACCOUNT, 24, 50 * GWEI)
    await stand.submit()
    await stand.tick()
    assert stand.get_attempts()[0].nonce == 0
    await stand.mine()
    assert await stand.count_mined() == 2, "the gap was closed by ours"
    await stand.submit()
    await stand.tick()
    assert stand.get_attempts(2)[0].nonce == 2
    await stand.mine()
    await stand.check_committed(foreign=1)
