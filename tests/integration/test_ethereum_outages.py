"""A real client out of reach, standing still, or back where it was before. The test holds the clock: nothing waits."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from node.ethereum.submission import EpochState
from tests.integration.committing import Stand, open_stand
from tests.integration.ethereum import run_anvil, settle


@pytest.fixture
async def stand(anvil_path: Path, tmp_path: Path) -> AsyncIterator[Stand]:
    async with open_stand(anvil_path, tmp_path) as stand:
        yield stand


async def before_the_first_look(stand: Stand) -> None:
    await stand.submit()


async def before_the_send(stand: Stand) -> None:
    """Signed and written down, but the line breaks at just that moment."""
    await stand.submit()
    stand.line.refused = "eth_sendRawTransaction"
    assert await stand.tick() == "l1_unreachable"
    stand.line.refused = ""
    assert not await stand.is_pooled(stand.get_attempts()[0].hash)


async def as_the_send_is_answered(stand: Stand) -> None:
    """The transaction is in the pool; that it was taken, nobody hears."""
    await stand.submit()
    stand.line.unanswered = "eth_sendRawTransaction"
    assert await stand.tick() == "l1_unreachable"
    stand.line.unanswered = ""
    assert await stand.is_pooled(stand.get_attempts()[0].hash)


async def after_the_send(stand: Stand) -> None:
    await stand.submit()
    assert await stand.tick() == "in_flight"


async def after_the_send_and_the_pool_forgets(stand: Stand) -> None:
    await after_the_send(stand)
    await stand.anvil.call("anvil_dropAllTransactions")


async def after_it_was_mined(stand: Stand) -> None:
    """In a block that the committer has not seen."""
    await after_the_send(stand)
    await stand.anvil.mine()


async def after_it_was_seen_to_be_mined(stand: Stand) -> None:
    await after_it_was_mined(stand)
    assert await stand.tick() == "idle"


PHASES = [
    before_the_first_look,
    before_the_send,
    as_the_send_is_answered,
    after_the_send,
    after_the_send_and_the_pool_forgets,
    after_it_was_mined,
    after_it_was_seen_to_be_mined,
]


@pytest.mark.parametrize("is_mining", [True, False], ids=["blocks_go_on", "no_blocks"])
@pytest.mark.parametrize("phase", PHASES)
async def test_ten_minutes_out_of_reach(
    stand: Stand, phase: Callable[[Stand], Awaitable[None]], is_mining: bool
) -> None:
    await phase(stand)
    stand.line.is_cut = True
    known = stand.get_attempts()
    since = stand.anvil.clock()
    for _ in range(20):
        if is_mining:
            await stand.anvil.mine(seconds=30)
        else:
            stand.wait(30)
        assert await stand.tick() == "l1_unreachable"
        status = stand.committer.status()
        assert not status["is_ok"] and "does not answer" in status["detail"]
        assert stand.get_attempts() == known, "nothing is decided blindly"
    assert status["since"] <= since + 30_000
    if phase is not after_it_was_seen_to_be_mined:
        assert status["lag_ms"] >= 600_000 and status["lag_epochs"] == 1
    await stand.submit()  # the next epoch is sealed meanwhile
    stand.line.is_cut = False
    for _ in range(4):
        await stand.tick()
        await stand.anvil.mine()
    await stand.tick()
    await stand.check_committed()


async def test_out_of_reach_and_restarted_meanwhile(stand: Stand) -> None:
    await after_the_send(stand)
    sent = stand.get_attempts()
    stand.line.is_cut = True
    for _ in range(3):
        stand.start()
        stand.wait(60)
        assert await stand.tick() == "l1_unreachable"
        assert stand.get_attempts() == sent and stand.committer.get_epoch(1).state is EpochState.SENT  # type: ignore[union-attr]
    await stand.anvil.call("anvil_dropAllTransactions")
    stand.line.is_cut = False
    await stand.mine(3)
    await stand.check_committed()


async def test_no_blocks_for_hours_is_named_and_costs_nothing(stand: Stand) -> None:
    await after_the_send(stand)
    sent = stand.get_attempts()
    for minute in range(1, 181):
        stand.wait(60)
        assert await stand.tick() == ("l1_stalled" if minute > 5 else "in_flight")
    assert "10800 s old" in stand.committer.status()["detail"]
    assert stand.get_attempts() == sent, "no block has passed it over: it is not bumped"
    await stand.mine()
    assert stand.situation == "idle"
    assert len(stand.get_attempts()) == 1
    await stand.submit()
    await stand.tick()
    await stand.mine()
    await stand.check_committed()


@pytest.mark.parametrize("times", [1, 4])
async def test_the_pool_forgets_again_and_again(stand: Stand, times: int) -> None:
    await after_the_send(stand)
    for _ in range(times):
        await stand.anvil.call("anvil_dropAllTransactions")
        assert not await stand.is_pooled(stand.get_attempts()[-1].hash)
        await stand.mine()
        assert await stand.is_pooled(stand.get_attempts()[-1].hash), "it is sent again"
        assert stand.committer.mined_epoch == 0
    await stand.mine()
    assert {attempt.nonce for attempt in stand.get_attempts()} == {0}
    await stand.check_committed()


async def test_a_client_that_comes_back_as_it_was_before(anvil_path: Path, tmp_path: Path) -> None:
    """Killed, and started again from a state it had written earlier: the chain is shorter than what was seen of it."""
    state, older = tmp_path / "state.json", tmp_path / "older.json"
    arguments = ("--state", str(state), "--preserve-historical-states")
    async with run_anvil(anvil_path, *arguments) as anvil:
        settled = await settle(anvil)
        stand = Stand(settled, tmp_path)
        await after_it_was_seen_to_be_mined(stand)
        await stand.mine(2)
        anvil.process.terminate()
        await anvil.process.wait()
        assert await stand.tick() == "l1_unreachable"
        port = int(anvil.url.rpartition(":")[2])
    shutil.copy(state, older)
    async with run_anvil(anvil_path, *arguments, port=port) as anvil:
        await stand.move(anvil)
        await stand.submit()
        await stand.tick()
        await stand.mine(6)
        assert stand.committer.mined_epoch == 2
        final_epoch = stand.committer.final_epoch
        now_s = anvil.now_s
        anvil.process.kill()
        await anvil.process.wait()
    shutil.copy(older, state)
    async with run_anvil(anvil_path, *arguments, port=port) as anvil:
        await stand.move(anvil)
        assert anvil.now_s < now_s
        newest = await settled.gateway.get_block("latest")
        assert (await settled.gateway.get_head(newest.number)).epoch == 1
        anvil.now_s = now_s
        sent = stand.get_attempts(2)
        for _ in range(20):
            assert await stand.tick() in ("waiting_for_l1_block", "l1_behind")
            assert stand.committer.mined_epoch == 2, "a client that is behind takes nothing back"
            assert stand.committer.final_epoch >= final_epoch
            stand.wait(30)
        assert stand.situation == "l1_behind" and not stand.committer.status()["is_ok"]
        await stand.mine(2)
        assert stand.committer.mined_epoch == 2
        assert stand.get_attempts(2)[0].hash == sent[0].hash
        await stand.check_committed()
        assert stand.committer.final_epoch >= final_epoch
        stand.close()
