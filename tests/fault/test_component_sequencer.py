"""Every write of a journal failed in two ways, and what is there after a restart.

A write is "lost" (it fails before it did anything) or "done but reported failed". Whichever write it hits: nothing is
acknowledged after it, everyone who waits hears that the sequencer stopped, and an independent recovery finds every
acknowledged payment where its acknowledgement says, none twice. Then the same is asked again, and all of it is there
once.
"""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from chain.commitment import Commitment, hash_commitment
from chain.ledger import Ledger
from chain.primitives import Hash
from chain.signatures import sign_digest
from chain.state import State
from node.entries import AssetEntry, BlockEntry, CutEntry
from node.journal import JournalFailed
from node.recovery import recover
from node.sequencer import Declined, Placed, SequencerStopped
from node.verification import Verified
from tests.unit.chain.actors import (
    ALICE,
    BOB,
    BOB_KEY,
    CAROL,
    DOMAIN,
    ETHER,
    OPERATOR_KEY,
    PARAMETERS,
    START_MS,
    TOKEN,
    deposit,
    make_payment,
    sign,
)
from tests.unit.node.journals import Failure, open_leveldb
from tests.unit.node.running import (
    FUNDS,
    Desk,
    audit,
    list_payment_ids,
    make_journal,
    pay,
    read_blocks,
    read_entries,
    running,
    settle,
    soon,
    verified,
)

DEPOSITS = [deposit(0, ALICE, FUNDS), deposit(1, BOB, FUNDS), deposit(2, CAROL, 5)]
PAYMENTS = [
    *[pay(nonce, (BOB, 1 + nonce), (CAROL, 1)) for nonce in (0, 2, 1, 3, 4, 5)],
    *[verified(sign(make_payment((CAROL, 10 + nonce), payer=BOB, nonce=nonce), BOB_KEY)) for nonce in range(5)],
    verified(sign(make_payment((CAROL, 7), payer=BOB, nonce=5, kind="withdraw"), BOB_KEY)),
]
APPENDS = 11
SIGNATURES = 7
"""Of the history below, when nothing fails."""


class History:
    """What a node does in two epochs, and what of it was acknowledged."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.acknowledged: dict[Hash, Placed] = {}
        self.refused: list[BaseException] = []
        self.has_stopped = False

    async def live(self) -> None:
        """Runs until the end or the failure."""
        sequencer, clock = self.desk.sequencer, self.desk.clock
        for asset in (ETHER, TOKEN):
            if asset not in sequencer.state.assets:
                await self._do(sequencer.list_asset(asset))
        await self._do(sequencer.credit_deposits(DEPOSITS[:2]))
        await self._do(*[self._submit([payment]) for payment in PAYMENTS[:3]])
        await self._do(self._submit(PAYMENTS[3:5]), sequencer.credit_deposits(DEPOSITS))
        await self._do(self._submit(PAYMENTS[6:7]))
        if sequencer.state.epoch == 1:
            clock.now += 1000
            await self._do(sequencer.cut(clock))
        await self._do(self._submit(PAYMENTS[:8]))
        if self.desk.journal.height > 1:
            seal = self._seal()
            if seal is not None:
                await self._do(sequencer.append_seal(seal, sign_digest(OPERATOR_KEY, hash_commitment(seal, DOMAIN))))
        await self._do(self._submit(PAYMENTS[8:11]), self._submit([PAYMENTS[5]]))
        await self._do(self._submit([PAYMENTS[11]]), self._submit([PAYMENTS[11]]))

    async def _do(self, *questions: Awaitable[Any]) -> None:
        outcomes = await soon(asyncio.gather(*questions, return_exceptions=True))
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, SequencerStopped), outcome
                self.has_stopped = True

    async def _submit(self, payments: list[Verified]) -> None:
        outcomes = await self.desk.sequencer.submit(payments)
        assert not self.has_stopped, "acknowledged after the failure"
        for payment, outcome in zip(payments, outcomes, strict=True):
            assert isinstance(outcome, Placed), outcome
            assert self.acknowledged.setdefault(payment.signed.id, outcome) == outcome

    def _seal(self) -> Commitment | None:
        ledger = Ledger(PARAMETERS)
        for entry in read_entries(self.desk.journal):
            if isinstance(entry, AssetEntry):
                ledger.list_asset(entry.asset)
            elif isinstance(entry, BlockEntry):
                ledger.apply_block(entry.block)
            elif isinstance(entry, CutEntry):
                return ledger.cut(entry.epoch, entry.cut_at).commitment
        return None


async def live_until_failure(history: History) -> BaseException:
    """Returns what the sequencer ended with."""
    desk = history.desk
    task = asyncio.create_task(desk.sequencer.run())
    await history.live()
    await settle()
    assert task.done(), "it goes on after a failed write"
    with pytest.raises(SequencerStopped):
        await soon(desk.sequencer.submit([PAYMENTS[0]]))
    assert desk.journal.violations == []
    error = task.exception()
    assert error is not None
    return error


async def restart(directory: Path, before: History) -> None:
    """Recovers, audits, and asks for everything once more, as those who were not answered do."""
    inner = open_leveldb(directory)
    snapshots = directory / "snapshots"
    state = audit(inner, snapshots, before.acknowledged.items())
    desk = Desk(make_journal(inner), state)
    desk.clock.now = START_MS + 60_000
    for block in read_blocks(inner):
        height = inner.get_block_height(block.header.number)
        assert height is not None
        desk.sequencer.remember(height, block.header.number, [record.id for record in block.records])
    async with running(desk):
        after = History(desk)
        await after.live()
        assert not after.has_stopped
    assert before.acknowledged.items() <= after.acknowledged.items(), "the same place, before and after"
    final = audit(inner, snapshots, after.acknowledged.items())
    assert sorted(list_payment_ids(inner)) == sorted(payment.signed.id for payment in PAYMENTS)
    assert final.deposit_counts[TOKEN] == len(DEPOSITS)
    inner.close()


async def test_the_history_without_a_failure(tmp_path: Path) -> None:
    inner = open_leveldb(tmp_path)
    async with running(Desk(make_journal(inner), State(PARAMETERS))) as desk:
        history = History(desk)
        await history.live()
    assert not history.has_stopped
    assert len(history.acknowledged) == len(PAYMENTS)
    assert (desk.journal.append_count, desk.journal.signature_count) == (APPENDS, SIGNATURES)
    inner.close()
    await restart(tmp_path, history)


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize("number", range(APPENDS))
async def test_a_failed_append_ends_it_and_loses_and_doubles_nothing(
    tmp_path: Path, number: int, failure: Failure
) -> None:
    inner = open_leveldb(tmp_path)
    journal = make_journal(inner)
    journal.append_failures[number] = failure
    history = History(Desk(journal, State(PARAMETERS)))
    error = await live_until_failure(history)
    assert isinstance(error, JournalFailed)
    assert journal.append_count == number + 1, "never retried, nothing written after it"
    inner.close()
    await restart(tmp_path, history)


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize("number", range(SIGNATURES))
async def test_a_failed_signature_ends_it_too_and_is_made_again(tmp_path: Path, number: int, failure: Failure) -> None:
    """Its block is durable: but with a gap in the signatures, recovery could not tell which are missing."""
    inner = open_leveldb(tmp_path)
    journal = make_journal(inner)
    journal.signature_failures[number] = failure
    history = History(Desk(journal, State(PARAMETERS)))
    error = await live_until_failure(history)
    assert isinstance(error, JournalFailed)
    inner.close()
    await restart(tmp_path, history)


async def test_a_listener_that_fails_ends_it(tmp_path: Path) -> None:
    """Whoever feeds on durable blocks is part of the node: without it there is no going on."""
    inner = open_leveldb(tmp_path)
    desk = Desk(make_journal(inner), State(PARAMETERS))

    def fail(block: object) -> None:
        raise RuntimeError("a listener's bug")

    history = History(desk)
    task = asyncio.create_task(desk.sequencer.run())
    for asset in (ETHER, TOKEN):
        await soon(desk.sequencer.list_asset(asset))
    await soon(desk.sequencer.credit_deposits(DEPOSITS[:2]))
    desk.listeners.append(fail)
    with pytest.raises(SequencerStopped):
        await soon(desk.sequencer.submit(PAYMENTS[:1]))
    with pytest.raises(RuntimeError, match="a listener's bug"):
        await soon(task)
    inner.close()
    await restart(tmp_path, history)


async def test_stopped_in_the_middle_of_a_write_the_block_counts_or_not_but_wholly(tmp_path: Path) -> None:
    inner = open_leveldb(tmp_path)
    desk = Desk(make_journal(inner), State(PARAMETERS))
    history = History(desk)
    task = asyncio.create_task(desk.sequencer.run())
    for asset in (ETHER, TOKEN):
        await soon(desk.sequencer.list_asset(asset))
    await soon(desk.sequencer.credit_deposits(DEPOSITS[:2]))
    waiting = await desk.hold_with(PAYMENTS[0])
    task.cancel()
    desk.journal.release()
    (outcome,) = await soon(asyncio.gather(waiting, return_exceptions=True))
    assert isinstance(outcome, SequencerStopped)
    await settle()
    assert inner.get_signature(2) is None, "after its end it touches nothing"
    inner.close()
    await restart(tmp_path, history)


async def test_the_sequencer_that_recovery_feeds_refuses_what_stands_already(tmp_path: Path) -> None:
    """Without the memory of recent blocks, a payment sent again is declined as used, for the index to answer."""
    inner = open_leveldb(tmp_path)
    async with running(Desk(make_journal(inner), State(PARAMETERS))) as desk:
        await History(desk).live()
    recovered = recover(inner, tmp_path / "snapshots", PARAMETERS, OPERATOR_KEY)
    async with running(Desk(make_journal(inner), recovered.state)) as again:
        outcomes = await soon(again.sequencer.submit(PAYMENTS))
    assert all(isinstance(outcome, Declined) and outcome.is_nonce_used for outcome in outcomes)
    inner.close()
