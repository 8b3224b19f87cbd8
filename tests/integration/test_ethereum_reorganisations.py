"""A real client whose chain is reorganised over what the committer has done. The test mines: nothing waits."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chain.commitment import NO_COMMITMENT
from node.ethereum.submission import AttemptOutcome, EpochState
from tests.integration.committing import GWEI, Stand, open_stand
from tests.integration.ethereum import STRANGER


@pytest.fixture
async def stand(anvil_path: Path, tmp_path: Path) -> AsyncIterator[Stand]:
    async with open_stand(anvil_path, tmp_path) as stand:
        stand.start(confirmations=64)
        yield stand
        # Nothing is settled while so many confirmations are missing.


async def check_settled(stand: Stand) -> None:
    """As with fewer confirmations: another restart over the same store."""
    stand.start()
    await stand.check_committed()


async def reorganise(stand: Stand, depth: int, *, is_lost: bool) -> None:
    """`is_lost`: the transactions that were in the blocks do not wait in the pool either."""
    await stand.anvil.reorganise(depth)
    await stand.anvil.call("anvil_dropAllTransactions")
    if not is_lost:
        for epoch in range(1, len(stand.digests) + 1):
            await stand.anvil.call("eth_sendRawTransaction", "0x" + stand.get_attempts(epoch)[0].raw.hex())


@pytest.mark.parametrize("is_lost", [False, True], ids=["kept", "lost"])
@pytest.mark.parametrize("depth", [1, 5, 20])
async def test_over_one_commitment(stand: Stand, depth: int, is_lost: bool) -> None:
    await stand.submit()
    await stand.tick()
    await stand.mine(depth)
    before = stand.committer.get_epoch(1)
    assert before is not None and before.inclusion is not None and before.confirmations == depth
    await reorganise(stand, depth, is_lost=is_lost)
    await stand.tick()
    after = stand.committer.get_epoch(1)
    assert stand.committer.mined_epoch == 0
    assert after is not None and after.state is EpochState.SENT and after.attempts[0].outcome is None
    await stand.mine()
    after = stand.committer.get_epoch(1)
    assert after is not None and after.inclusion is not None
    assert after.inclusion.l1_block_hash != before.inclusion.l1_block_hash
    assert {attempt.nonce for attempt in after.attempts} == {0}
    await check_settled(stand)


@pytest.mark.parametrize("depth", [1, 5, 20])
async def test_over_one_commitment_that_is_in_another_block_already(stand: Stand, depth: int) -> None:
    """The new chain has it, too, elsewhere: the inclusion moves, and nothing is sent."""
    await stand.submit()
    await stand.tick()
    await stand.mine(depth)
    before = stand.committer.get_epoch(1)
    assert before is not None and before.inclusion is not None
    await reorganise(stand, depth, is_lost=False)
    await stand.anvil.mine()
    sent = stand.line.asked.count("eth_sendRawTransaction")
    await stand.tick()
    after = stand.committer.get_epoch(1)
    assert after is not None and after.inclusion is not None
    assert after.inclusion.l1_block == before.inclusion.l1_block + depth
    assert stand.line.asked.count("eth_sendRawTransaction") == sent
    assert len(after.attempts) == 1
    await check_settled(stand)


@pytest.mark.parametrize("is_lost", [False, True], ids=["kept", "lost"])
@pytest.mark.parametrize("apart", [1, 5])
async def test_over_two_commitments(stand: Stand, apart: int, is_lost: bool) -> None:
    for _ in range(2):
        await stand.submit()
        await stand.tick()
        await stand.mine(apart)
    assert stand.committer.mined_epoch == 2
    await reorganise(stand, 2 * apart, is_lost=is_lost)
    await stand.tick()
    assert stand.committer.mined_epoch == 0
    await stand.mine(2)
    assert stand.committer.mined_epoch == 2
    assert [stand.get_attempts(epoch)[-1].nonce for epoch in (1, 2)] == [0, 1]
    await check_settled(stand)


@pytest.mark.parametrize("is_lost", [False, True], ids=["kept", "lost"])
async def test_over_the_later_one_of_two_with_a_third_in_flight(stand: Stand, is_lost: bool) -> None:
    for _ in range(2):
        await stand.submit()
        await stand.tick()
        await stand.mine()
    await stand.submit()
    await stand.tick()
    third = stand.get_attempts(3)[0]
    await stand.anvil.reorganise(1)
    await stand.anvil.call("anvil_dropAllTransactions")
    if not is_lost:
        for attempt in (stand.get_attempts(2)[0], third):
            await stand.anvil.call("eth_sendRawTransaction", "0x" + attempt.raw.hex())
    await stand.tick()
    assert stand.committer.mined_epoch == 1
    await stand.mine(2)
    assert stand.committer.mined_epoch == 3
    assert [stand.get_attempts(epoch)[-1].nonce for epoch in (1, 2, 3)] == [0, 1, 2]
    await check_settled(stand)


async def test_over_a_block_in_which_another_sender_was_first(stand: Stand) -> None:
    """Their transaction and its block are gone, so ours counts again."""
    await stand.submit()
    await stand.tick()
    ours = stand.get_attempts()[0]
    commitment = stand.committer.get_commitment(1)
    assert commitment is not None
    data = stand.settled.gateway.encode_commit(NO_COMMITMENT, commitment.commitment, commitment.signature)
    await stand.anvil.call("anvil_dropAllTransactions")
    await stand.send(STRANGER, 0, 100 * GWEI, data, to=stand.settled.gateway.settlement)
    await stand.mine()
    status = stand.committer.get_epoch(1)
    assert status is not None and status.state is EpochState.MINED and not status.is_ours
    await reorganise(stand, 1, is_lost=True)
    await stand.tick()
    assert stand.committer.mined_epoch == 0 and await stand.is_pooled(ours.hash)
    await stand.mine()
    await check_settled(stand)
    assert stand.get_attempts()[0].outcome is AttemptOutcome.INCLUDED
