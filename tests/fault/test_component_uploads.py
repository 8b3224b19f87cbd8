"""Every write of a journal failed in two ways under uploads: a listing and its payment are both there afterwards or
both not, whatever was answered stands where the answer says, and asked again all of it is there once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chain.primitives import Hash
from chain.state import State
from node.journal import JournalFailed
from node.sequencer import Placed, SequencerStopped
from node.verification import Verified
from tests.unit.chain.actors import ALICE, ETHER, TOKEN, deposit, some_hash
from tests.unit.chain.exchange import CHARGE, OPENING, PARAMETERS, purchase, update_price
from tests.unit.node.journals import Failure, open_leveldb
from tests.unit.node.marketplace import FUNDS, PEOPLE, list_uploads, make_upload, order
from tests.unit.node.running import (
    Clock,
    Desk,
    audit,
    list_signed_ids,
    make_journal,
    read_blocks,
    running,
    settle,
    soon,
)

FILES = [some_hash(f"uploaded file {number}") for number in range(5)]
UPLOADS = [make_upload(file, 2 * number) for number, file in enumerate(FILES)]
INSTRUCTIONS = [order(each) for each in OPENING]
OTHERS = [order(update_price(100, nonce=20)), order(purchase())]
APPENDS = 7
"""Of the history below, when nothing fails."""


class History:
    """What uploaders ask of a node, and what of it was acknowledged."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.acknowledged: dict[Hash, Placed] = {}
        self.has_stopped = False

    async def live(self) -> None:
        """Runs until the end or the failure."""
        sequencer = self.desk.sequencer
        for asset in (ETHER, TOKEN):
            if asset not in sequencer.state.assets:
                await self._do(sequencer.list_asset(asset))
        await self._do(sequencer.credit_deposits([deposit(index, who, FUNDS) for index, who in enumerate(PEOPLE)]))
        await self._do(self._submit(INSTRUCTIONS))
        await self._do(self._upload(0))
        await self._do(*[self._upload(number) for number in (1, 2, 0, 3)])
        await self._do(self._submit(OTHERS[:1]), self._upload(4), self._submit(OTHERS[1:]))

    async def _do(self, *questions: Any) -> None:
        for outcome in await soon(asyncio.gather(*questions, return_exceptions=True)):
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, SequencerStopped), outcome
                self.has_stopped = True

    async def _submit(self, orders: list[Verified]) -> None:
        self._take(orders, await self.desk.sequencer.submit(orders))

    async def _upload(self, number: int) -> None:
        self._take(list(UPLOADS[number]), await self.desk.sequencer.submit_upload(*UPLOADS[number]))

    def _take(self, orders: list[Verified], outcomes: Any) -> None:
        assert not self.has_stopped, "acknowledged after the failure"
        for each, outcome in zip(orders, outcomes, strict=True):
            assert isinstance(outcome, Placed), outcome
            assert self.acknowledged.setdefault(each.signed.id, outcome) == outcome


def make_desk(inner: Any, state: State | None = None) -> Desk:
    return Desk(make_journal(inner, PARAMETERS), state or State(PARAMETERS), Clock(), min_interval_s=0.0)


def check_uploads(state: State, inner: Any) -> int:
    """Each is whole or not there, in the journal as in what follows from it. Returns how many are."""
    listed = {file for file, is_paid in list_uploads(inner) if is_paid and file in FILES}
    ids = set(list_signed_ids(inner))
    for file, parts in zip(FILES, UPLOADS, strict=True):
        assert {part.signed.id in ids for part in parts} == {file in listed}
        assert (file in state.files) is (file in listed)
    return len(listed)


async def restart(directory: Path, before: History) -> None:
    """Recovers, audits, and asks for everything once more, as those who were not answered do."""
    inner = open_leveldb(directory)
    state = audit(inner, directory / "snapshots", before.acknowledged.items(), PARAMETERS)
    check_uploads(state, inner)
    desk = make_desk(inner, state)
    for block in read_blocks(inner):
        height = inner.get_block_height(block.header.number)
        assert height is not None
        desk.sequencer.remember(height, block.header.number, [record.id for record in block.records])
    async with running(desk):
        after = History(desk)
        await after.live()
        assert not after.has_stopped
    assert before.acknowledged.items() <= after.acknowledged.items(), "the same place, before and after"
    final = audit(inner, directory / "snapshots", after.acknowledged.items(), PARAMETERS)
    assert check_uploads(final, inner) == len(UPLOADS)
    assert final.get_balance(TOKEN, ALICE) == FUNDS - (len(UPLOADS) + 1) * CHARGE + 50
    inner.close()


async def test_uploads_without_a_failure(tmp_path: Path) -> None:
    inner = open_leveldb(tmp_path)
    async with running(make_desk(inner)) as desk:
        history = History(desk)
        await history.live()
    assert not history.has_stopped
    assert desk.journal.append_count == APPENDS
    inner.close()
    await restart(tmp_path, history)


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize("number", range(APPENDS))
async def test_a_failed_append_leaves_every_upload_whole_or_not_there(
    tmp_path: Path, number: int, failure: Failure
) -> None:
    inner = open_leveldb(tmp_path)
    desk = make_desk(inner)
    desk.journal.append_failures[number] = failure
    history = History(desk)
    task = asyncio.create_task(desk.sequencer.run())
    await history.live()
    await settle()
    assert task.done() and isinstance(task.exception(), JournalFailed)
    assert desk.journal.append_count == number + 1 and desk.journal.violations == []
    with pytest.raises(SequencerStopped):
        await soon(desk.sequencer.submit_upload(*UPLOADS[0]))
    inner.close()
    await restart(tmp_path, history)


async def test_stopped_in_the_middle_of_a_write_an_upload_counts_or_not_but_wholly(tmp_path: Path) -> None:
    inner = open_leveldb(tmp_path)
    desk = make_desk(inner)
    history = History(desk)
    task = asyncio.create_task(desk.sequencer.run())
    await history.live()
    desk.journal.hold()
    extra = make_upload(some_hash("one more"), 30)
    waiting = asyncio.create_task(desk.sequencer.submit_upload(*extra))
    await desk.journal.wait_until_held()
    task.cancel()
    desk.journal.release()
    (outcome,) = await soon(asyncio.gather(waiting, return_exceptions=True))
    assert isinstance(outcome, SequencerStopped)
    await settle()
    inner.close()
    reopened = open_leveldb(tmp_path)
    recovered = audit(reopened, tmp_path / "snapshots", history.acknowledged.items(), PARAMETERS)
    present = {part.signed.id in list_signed_ids(reopened) for part in extra}
    assert present in ({True}, {False})
    assert (some_hash("one more") in recovered.files) is present.pop()
    reopened.close()
