"""The sequencer, with the disk held still where it matters: order, group commit, and nothing told too soon."""

import asyncio
from typing import Any

import pytest

import node.sequencer
from chain.account import NonceWindow
from chain.commitment import NO_COMMITMENT
from chain.errors import (
    BrokenInvariant,
    Expired,
    InsufficientBalance,
    NonceTooFar,
    NonceUsed,
    UnknownAsset,
    WrongOutputs,
)
from chain.payment import SignedPayment
from chain.state import State
from node.entries import AssetEntry, BlockEntry, CutEntry, SealEntry
from node.sequencer import MAX_BLOCK_RECORDS, Declined, Placed, PublishedBlock, SequencerStopped
from tests.unit.chain.actors import (
    ALICE,
    BOB,
    BOB_KEY,
    CAROL,
    CAROL_KEY,
    OPERATOR,
    PARAMETERS,
    START_MS,
    TOKEN,
    UNLISTED,
    deposit,
    make_payment,
    sign,
)
from tests.unit.node.journals import open_leveldb
from tests.unit.node.running import (
    FUNDS,
    Clock,
    Desk,
    audit,
    list_payment_ids,
    make_journal,
    open_desk,
    pay,
    read_entries,
    running,
    settle,
    soon,
    verified,
)

# --- one payment


async def test_a_single_payment_under_no_load_is_one_block_with_one_record() -> None:
    async with open_desk() as desk:
        payment = pay(0)
        assert await soon(desk.sequencer.submit([payment])) == [Placed(2, 0)]
        assert desk.sequencer.durable_block == 2
        (block,) = desk.blocks[1:]
        assert block.records == [payment.signed]
        assert block.tree.root == block.header.records_root
        assert (block.header.number, block.header.previous) == (2, desk.blocks[0].hash)
        assert desk.sequencer.find_recent(payment.signed.id) == Placed(2, 0)


async def test_under_load_payments_wait_for_each_other_a_little_and_no_longer() -> None:
    async with running(Desk(make_journal(), State(PARAMETERS), min_interval_s=0.05)) as desk:
        await desk.fund(ALICE, BOB)
        first = asyncio.create_task(desk.sequencer.submit([pay(0)]))
        await settle()
        second = asyncio.create_task(desk.sequencer.submit([pay(1)]))
        await settle()
        assert desk.sequencer.durable_block == 1, "begun so soon after the last, a block is left to fill"
        assert (await soon(first), await soon(second)) == ([Placed(2, 0)], [Placed(2, 1)])


async def test_what_is_full_or_followed_by_a_cut_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.sequencer, "MAX_BLOCK_RECORDS", 2)
    async with running(Desk(make_journal(), State(PARAMETERS), min_interval_s=3600)) as desk:
        await desk.fund(ALICE, BOB)
        assert await soon(desk.sequencer.submit([pay(0), pay(1)])) == [Placed(2, 0), Placed(2, 1)]
        alone = asyncio.create_task(desk.sequencer.submit([pay(2)]))
        await settle()
        assert not alone.done()
        await soon(desk.sequencer.cut(desk.clock))
        assert await soon(alone) == [Placed(3, 0)]


async def test_nothing_to_order_is_answered_without_a_block() -> None:
    async with open_desk() as desk:
        assert await soon(desk.sequencer.submit([])) == []
        assert desk.sequencer.durable_block == 1


async def test_a_refused_payment_makes_no_block_and_leaves_no_trace() -> None:
    async with open_desk() as desk:
        before = desk.sequencer.state.compute_fingerprint()
        (outcome,) = await soon(desk.sequencer.submit([pay(0, (BOB, FUNDS + 1))]))
        assert isinstance(outcome, Declined) and isinstance(outcome.refusal, InsufficientBalance)
        assert desk.sequencer.state.compute_fingerprint() == before
        assert (desk.sequencer.durable_block, desk.sequencer.unindexed) == (1, 0)


async def test_paying_oneself_changes_nothing_but_the_nonce() -> None:
    async with open_desk() as desk:
        await soon(desk.sequencer.submit([pay(0, (ALICE, FUNDS))]))
        assert desk.sequencer.get_balance(TOKEN, ALICE) == FUNDS
        assert desk.sequencer.get_nonces(ALICE) == NonceWindow(1)


# --- many at once


async def test_the_same_payment_a_hundred_times_in_parallel_is_charged_once() -> None:
    async with open_desk() as desk:
        answers = await soon(asyncio.gather(*[desk.sequencer.submit([pay(0, (BOB, 10))]) for _ in range(100)]))
        assert answers == [[Placed(2, 0)]] * 100
        assert desk.sequencer.get_balance(TOKEN, ALICE) == FUNDS - 10
        assert len(list_payment_ids(desk.journal)) == 1


async def test_a_repetition_gets_the_first_place_before_durability_and_after() -> None:
    async with open_desk() as desk:
        first = await desk.hold_with(pay(0))
        in_flight = asyncio.create_task(desk.sequencer.submit([pay(0)]))
        drafted = asyncio.create_task(desk.sequencer.submit([pay(1), pay(1)]))
        await settle()
        assert not in_flight.done(), "an answer that rests on what is not durable"
        assert desk.sequencer.find_recent(pay(0).signed.id) is None
        desk.journal.release()
        assert await soon(first) == await soon(in_flight) == [Placed(2, 0)]
        assert await soon(drafted) == [Placed(3, 0), Placed(3, 0)]
        assert await soon(desk.sequencer.submit([pay(1), pay(0)])) == [Placed(3, 0), Placed(2, 0)]
        assert desk.sequencer.durable_block == 3


async def test_a_repetition_is_found_even_when_it_would_be_refused_by_now() -> None:
    async with open_desk() as desk:
        payment = pay(0, valid_until=START_MS // 1000 + 1)
        assert await soon(desk.sequencer.submit([payment])) == [Placed(2, 0)]
        desk.clock.now += 3_600_000
        assert await soon(desk.sequencer.submit([payment])) == [Placed(2, 0)]


async def test_a_thousand_payments_in_parallel_keep_the_total() -> None:
    people = [BOB, CAROL, OPERATOR, ALICE]
    async with open_desk(ALICE, BOB) as desk:
        there = [pay(nonce, (people[nonce % 4], 1 + nonce)) for nonce in range(256)]
        back = [
            verified(sign(make_payment((ALICE, 3), (CAROL, 1), nonce=nonce, payer=BOB), BOB_KEY))
            for nonce in range(256)
        ]
        answers = await soon(asyncio.gather(*[desk.sequencer.submit([payment]) for payment in there + back]))
        assert all(isinstance(outcome, Placed) for (outcome,) in answers)
        assert sum(desk.sequencer.get_balance(TOKEN, who) for who in people) == 2 * FUNDS
        assert len(set(list_payment_ids(desk.journal))) == 512


async def test_what_arrives_during_a_write_lands_in_one_next_block() -> None:
    async with open_desk() as desk:
        first = await desk.hold_with(pay(0))
        later = [asyncio.create_task(desk.sequencer.submit([pay(nonce)])) for nonce in range(1, 51)]
        await settle()
        desk.journal.release()
        assert await soon(first) == [Placed(2, 0)]
        assert await soon(asyncio.gather(*later)) == [[Placed(3, index)] for index in range(50)]
        assert [block.header.record_count for block in desk.blocks] == [2, 1, 50]


async def test_order_within_and_across_submissions_is_the_order_of_arrival() -> None:
    async with open_desk() as desk:
        first = await desk.hold_with(pay(7))
        tasks = [
            asyncio.create_task(desk.sequencer.submit([pay(nonce) for nonce in nonces]))
            for nonces in ([3, 1, 2], [9, 0], [5])
        ]
        await settle()
        desk.journal.release()
        await soon(asyncio.gather(first, *tasks))
        nonces = [record.payment.nonce for record in desk.blocks[-1].records if isinstance(record, SignedPayment)]
        assert nonces == [3, 1, 2, 9, 0, 5]


async def test_each_gets_its_own_outcome_where_refusals_stand_between() -> None:
    async with open_desk() as desk:
        desk.clock.now = START_MS + 60_000
        submission = [
            pay(0, (CAROL, 5)),
            pay(0, (CAROL, 6)),  # another payment on a used nonce
            pay(1, (CAROL, FUNDS)),  # 5 are gone
            pay(1, asset=UNLISTED),
            pay(1, valid_until=START_MS // 1000 + 59),
            pay(256 + 1),
            pay(1, (BOB, 1), (CAROL, 1), kind="tip"),
            pay(1, (CAROL, FUNDS - 5)),
            verified(sign(make_payment((ALICE, FUNDS), payer=CAROL), CAROL_KEY)),  # what it has just got
        ]
        outcomes = await soon(desk.sequencer.submit(submission))
        refusals = [outcome.refusal if isinstance(outcome, Declined) else outcome for outcome in outcomes]
        assert [type(refusal) for refusal in refusals] == [
            Placed,
            NonceUsed,
            InsufficientBalance,
            UnknownAsset,
            Expired,
            NonceTooFar,
            WrongOutputs,
            Placed,
            Placed,
        ]
        assert [outcome.is_nonce_used for outcome in outcomes if isinstance(outcome, Declined)] == [True] + [False] * 5
        assert [outcome for outcome in outcomes if isinstance(outcome, Placed)] == [
            Placed(2, 0),
            Placed(2, 1),
            Placed(2, 2),
        ]
        assert desk.sequencer.get_balance(TOKEN, CAROL) == 0


async def test_a_submission_longer_than_a_block_goes_on_in_the_next() -> None:
    count = MAX_BLOCK_RECORDS + 10
    async with open_desk() as desk:
        template = pay(0)
        # Only ids need to differ; 4,096 signatures are not what is tested.
        submission = [
            verified(
                SignedPayment(
                    nonce.to_bytes(32, "big"), make_payment((ALICE, 1), nonce=nonce), template.signed.signature
                )
            )
            for nonce in range(count)
        ]
        outcomes = await soon(desk.sequencer.submit([*submission, submission[0]]))
        assert outcomes == [
            *[Placed(2, index) for index in range(MAX_BLOCK_RECORDS)],
            *[Placed(3, index) for index in range(10)],
            Placed(2, 0),
        ]
        assert [block.header.record_count for block in desk.blocks[1:]] == [MAX_BLOCK_RECORDS, 10]
        assert desk.sequencer.backlog == 0


async def test_the_backlog_counts_what_waits_to_be_ordered() -> None:
    async with open_desk() as desk:
        tasks = [asyncio.create_task(desk.sequencer.submit([pay(0), pay(1)])) for _ in range(3)]
        await asyncio.sleep(0)
        assert desk.sequencer.backlog == 6
        await soon(asyncio.gather(*tasks))
        assert desk.sequencer.backlog == 0


async def test_those_who_only_hear_of_others_payments_are_all_answered() -> None:
    """One asks for what is being written, another just as the write ends: neither is forgotten."""
    async with open_desk() as desk:
        first = await desk.hold_with(pay(0))
        before = asyncio.create_task(desk.sequencer.submit([pay(0)]))
        await settle()
        after: list[asyncio.Task[Any]] = []

        def ask_again(block: PublishedBlock | None) -> None:
            if not after:
                after.append(asyncio.create_task(desk.sequencer.submit([pay(0)])))

        desk.listeners.append(ask_again)
        desk.journal.release()
        assert await soon(first) == [Placed(2, 0)]
        assert await soon(asyncio.gather(before, *after)) == [[Placed(2, 0)]] * 2


# --- what the outside sees


async def test_balances_and_nonces_show_only_what_is_durable() -> None:
    async with open_desk() as desk:
        sequencer = desk.sequencer

        def look() -> tuple[int, int, int, int]:
            return (
                sequencer.get_balance(TOKEN, ALICE),
                sequencer.get_balance(TOKEN, BOB),
                sequencer.get_balance(TOKEN, CAROL),
                sequencer.get_nonces(ALICE).next_nonce,
            )

        start = look()
        assert start == (FUNDS, FUNDS, 0, 0)
        first = await desk.hold_with(pay(0, (CAROL, 10), (CAROL, 5), (BOB, 1)))
        second = asyncio.create_task(sequencer.submit([pay(1, (CAROL, 100)), pay(2, (BOB, 7))]))
        credit = asyncio.create_task(sequencer.credit_deposits([deposit(2, CAROL, 1000)]))
        await settle()
        assert sequencer.state.get_balance(TOKEN, CAROL) == 1115, "applied, so that the next is checked against it"
        assert look() == start
        desk.journal.release()
        await soon(first)
        assert look()[0] in (FUNDS - 16, FUNDS - 123), "never half of a block"
        await soon(asyncio.gather(second, credit))
        assert look() == (FUNDS - 123, FUNDS + 8, 1115, 3)


async def test_an_unknown_account_has_nothing_and_an_unlisted_asset_neither() -> None:
    async with open_desk() as desk:
        assert desk.sequencer.get_balance(UNLISTED, ALICE) == desk.sequencer.get_balance(TOKEN, CAROL) == 0
        assert desk.sequencer.get_nonces(CAROL) == NonceWindow()


async def test_check_tells_the_refusal_and_writes_nothing() -> None:
    async with open_desk() as desk:
        before = desk.sequencer.state.compute_fingerprint()
        desk.sequencer.check(make_payment((BOB, FUNDS)))
        with pytest.raises(InsufficientBalance):
            desk.sequencer.check(make_payment((BOB, FUNDS + 1)))
        with pytest.raises(Expired):
            desk.sequencer.check(make_payment(valid_until=1))
        assert desk.sequencer.state.compute_fingerprint() == before


async def test_a_header_is_signed_only_once_its_block_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    signed_at: list[tuple[int, int]] = []
    sign_digest = node.sequencer.sign_digest
    async with open_desk() as desk:

        def spy(key: Any, digest: bytes) -> bytes:
            signed_at.append((desk.journal.height, desk.sequencer.state.block_number))
            return sign_digest(key, digest)

        monkeypatch.setattr(node.sequencer, "sign_digest", spy)
        held = await desk.hold_with(pay(0))
        assert (desk.sequencer.state.block_number, signed_at) == (2, [])
        height = desk.journal.height
        desk.journal.release()
        await soon(held)
        assert signed_at == [(height + 1, 2)]


async def test_listeners_hear_of_a_block_before_its_payers_and_never_before_it_is_durable() -> None:
    async with open_desk() as desk:
        held = await desk.hold_with(pay(0))
        assert len(desk.blocks) == 1
        desk.journal.release()
        await soon(held)
        assert len(desk.blocks) == 2
        assert desk.journal.get_signature(2) == desk.blocks[1].signature


async def test_the_memory_of_payments_ends_when_the_index_has_them() -> None:
    async with open_desk() as desk:
        await soon(desk.sequencer.submit([pay(0), pay(1)]))
        await soon(desk.sequencer.submit([pay(2)]))
        assert desk.sequencer.unindexed == 3
        height = desk.journal.get_block_height(2)
        assert height is not None
        desk.sequencer.forget_until(height)
        assert desk.sequencer.unindexed == 3, "the index has what lies below the height, not at it"
        desk.sequencer.forget_until(height + 1)
        assert desk.sequencer.unindexed == 1
        assert desk.sequencer.find_recent(pay(0).signed.id) is None
        (outcome,) = await soon(desk.sequencer.submit([pay(0)]))
        assert isinstance(outcome, Declined) and outcome.is_nonce_used, "the index is to be asked"
        desk.sequencer.forget_until(desk.journal.height)
        assert desk.sequencer.unindexed == 0


async def test_a_block_remembered_at_the_start_answers_with_its_places() -> None:
    async with open_desk() as desk:
        sequencer = desk.sequencer
        await soon(sequencer.submit([pay(0)]))
        again = Desk(make_journal(desk.journal.inner), sequencer.state)
    async with running(again):
        credited = deposit(0, ALICE, FUNDS)
        again.sequencer.remember(3, 1, [credited.id])
        again.sequencer.remember(4, 2, [pay(0).signed.id])
        assert await soon(again.sequencer.submit([pay(0)])) == [Placed(2, 0)]
        again.sequencer.forget_until(4)
        assert again.sequencer.unindexed == 1


# --- deposits, assets, epochs


async def test_deposits_told_again_are_credited_once() -> None:
    async with open_desk(ALICE) as desk:
        held = await desk.hold_with(pay(0, (ALICE, 1)))
        batch = [deposit(index, CAROL, 10) for index in range(5)]
        tasks = [asyncio.create_task(desk.sequencer.credit_deposits(part)) for part in (batch[:3], batch, batch[2:])]
        await settle()
        desk.journal.release()
        await soon(asyncio.gather(held, *tasks))
        await soon(desk.sequencer.credit_deposits(batch))
        assert desk.sequencer.get_balance(TOKEN, CAROL) == 40, "indexes 1 to 4; 0 was Alice's"
        assert desk.sequencer.state.deposit_counts[TOKEN] == 5


async def test_deposits_already_credited_make_no_block() -> None:
    async with open_desk() as desk:
        await soon(desk.sequencer.credit_deposits([deposit(0, ALICE, FUNDS), deposit(1, BOB, FUNDS)]))
        await soon(desk.sequencer.credit_deposits([]))
        assert desk.sequencer.durable_block == 1


async def test_more_deposits_than_a_block_takes_make_several() -> None:
    async with open_desk(ALICE) as desk:
        await soon(
            desk.sequencer.credit_deposits([deposit(index, CAROL, 1) for index in range(1, MAX_BLOCK_RECORDS + 3)])
        )
        assert [block.header.record_count for block in desk.blocks[1:]] == [MAX_BLOCK_RECORDS, 2]
        assert desk.sequencer.get_balance(TOKEN, CAROL) == MAX_BLOCK_RECORDS + 2


@pytest.mark.parametrize("asset, index", [(UNLISTED, 0), (TOKEN, 7)])
async def test_a_deposit_that_cannot_be_the_next_stops_the_sequencer(asset: bytes, index: int) -> None:
    desk = Desk(make_journal(), State(PARAMETERS))
    task = asyncio.create_task(desk.sequencer.run())
    await soon(desk.fund(ALICE))
    with pytest.raises(SequencerStopped):
        await soon(desk.sequencer.credit_deposits([deposit(index, ALICE, 1, asset)]))
    with pytest.raises(BrokenInvariant):
        await soon(task)


async def test_an_asset_listed_twice_stops_the_sequencer_and_whoever_asked_hears_of_it() -> None:
    desk = Desk(make_journal(), State(PARAMETERS))
    task = asyncio.create_task(desk.sequencer.run())
    await soon(desk.sequencer.list_asset(TOKEN))
    with pytest.raises(SequencerStopped):
        await soon(desk.sequencer.list_asset(TOKEN))
    with pytest.raises(BrokenInvariant):
        await soon(task)


async def test_a_cut_falls_between_the_blocks_before_and_after_it() -> None:
    async with open_desk() as desk:
        first = await desk.hold_with(pay(0))
        before = asyncio.create_task(desk.sequencer.submit([pay(1)]))
        await settle()
        cut = asyncio.create_task(desk.sequencer.cut(lambda: START_MS + 5000))
        await settle()
        after = asyncio.create_task(desk.sequencer.submit([pay(2)]))
        listed = asyncio.create_task(desk.sequencer.list_asset(CAROL))
        await settle()
        assert desk.sequencer.durable_epoch == 1
        desk.journal.release()
        assert await soon(asyncio.gather(first, before, cut, after, listed)) == [
            [Placed(2, 0)],
            [Placed(3, 0)],
            START_MS + 5000,
            [Placed(4, 0)],
            None,
        ]
        kinds = [type(entry) for entry in read_entries(desk.journal)[4:]]
        assert kinds == [BlockEntry, BlockEntry, CutEntry, BlockEntry, AssetEntry]
        assert (desk.sequencer.durable_epoch, desk.sequencer.epoch_records) == (2, 1)
        times = [block.header.timestamp for block in desk.blocks]
        assert times[2] <= START_MS + 5000 < times[3]


async def test_a_cut_may_end_an_epoch_without_blocks() -> None:
    async with open_desk() as desk:
        assert await soon(desk.sequencer.cut(desk.clock)) == START_MS + 1000
        assert await soon(desk.sequencer.cut(desk.clock)) == START_MS + 1001, "never two at one time"
        assert desk.sequencer.durable_epoch == 3


async def test_times_never_fall_though_the_clock_does() -> None:
    async with open_desk() as desk:
        desk.clock.now = START_MS + 9000
        await soon(desk.sequencer.submit([pay(0)]))
        desk.clock.now = START_MS - 50_000
        await soon(desk.sequencer.submit([pay(1)]))
        assert await soon(desk.sequencer.cut(desk.clock)) == START_MS + 9000, "not before the last block"
        await soon(desk.sequencer.submit([pay(2)]))
        desk.clock.now = START_MS + 20_000
        await soon(desk.sequencer.submit([pay(3)]))
        times = [block.header.timestamp - START_MS for block in desk.blocks]
        assert times == [1000, 9000, 9000, 9001, 20_000]


async def test_the_first_block_is_later_than_the_deployment_whatever_the_clock_says() -> None:
    async with running(Desk(make_journal(), State(PARAMETERS), Clock(0))) as desk:
        await soon(desk.fund(ALICE))
        assert desk.blocks[0].header.timestamp == START_MS + 1


async def test_a_payment_is_expired_by_the_time_of_its_block() -> None:
    async with open_desk() as desk:
        second = START_MS // 1000 + 10
        desk.clock.now = second * 1000
        (outcome,) = await soon(desk.sequencer.submit([pay(0, valid_until=second)]))
        assert outcome == Placed(2, 0)
        desk.clock.now += 1
        (outcome,) = await soon(desk.sequencer.submit([pay(1, valid_until=second)]))
        assert isinstance(outcome, Declined)
        assert (outcome.refusal.code, outcome.is_nonce_used) == ("expired", False)


async def test_a_seal_is_an_entry_of_its_own() -> None:
    async with open_desk() as desk:
        await soon(desk.sequencer.append_seal(NO_COMMITMENT, bytes(65)))
        assert read_entries(desk.journal)[-1] == SealEntry(NO_COMMITMENT, bytes(65))
        assert desk.published[-1] is None


async def test_the_records_of_the_open_epoch_are_counted() -> None:
    async with open_desk(ALICE) as desk:
        assert desk.sequencer.epoch_records == 1
        await soon(desk.sequencer.submit([pay(0), pay(1), pay(0)]))
        assert desk.sequencer.epoch_records == 3
        await soon(desk.sequencer.cut(desk.clock))
        assert desk.sequencer.epoch_records == 0


# --- stopping


async def test_drain_returns_when_all_asked_until_then_is_answered() -> None:
    async with open_desk() as desk:
        await soon(desk.sequencer.drain())
        first = await desk.hold_with(pay(0))
        second = asyncio.create_task(desk.sequencer.submit([pay(1)]))
        cut = asyncio.create_task(desk.sequencer.cut(desk.clock))
        third = asyncio.create_task(desk.sequencer.submit([pay(2)]))
        await asyncio.sleep(0)
        drained = asyncio.create_task(desk.sequencer.drain())
        await settle()
        assert not drained.done()
        desk.journal.release()
        await soon(drained)
        assert first.done() and second.done() and cut.done() and third.done()


async def test_drain_does_not_wait_for_what_comes_later() -> None:
    async with open_desk() as desk:
        first = await desk.hold_with(pay(0))
        drained = asyncio.create_task(desk.sequencer.drain())
        await settle()
        later: list[asyncio.Task[Any]] = []

        def keep_paying(block: PublishedBlock | None) -> None:
            if len(later) < 100:
                later.append(asyncio.create_task(desk.sequencer.submit([pay(1 + len(later))])))

        desk.listeners.append(keep_paying)
        desk.journal.release()
        await soon(drained)
        assert first.done() and len(later) < 10
        desk.listeners.remove(keep_paying)
        await soon(asyncio.gather(*later))


async def test_those_who_wait_hear_when_it_stops_and_nobody_after() -> None:
    desk = Desk(make_journal(), State(PARAMETERS))
    task = asyncio.create_task(desk.sequencer.run())
    await soon(desk.fund(ALICE))
    in_flight = await desk.hold_with(pay(0))
    drafted = asyncio.create_task(desk.sequencer.submit([pay(1)]))
    await settle()
    asking = [
        asyncio.create_task(question)
        for question in (
            desk.sequencer.cut(desk.clock),
            desk.sequencer.submit([pay(2)]),
            desk.sequencer.credit_deposits([deposit(1)]),
            desk.sequencer.list_asset(CAROL),
            desk.sequencer.drain(),
        )
    ]
    await settle()
    task.cancel()
    desk.journal.release()
    outcomes = await soon(asyncio.gather(in_flight, drafted, *asking, return_exceptions=True))
    assert [type(outcome) for outcome in outcomes] == [SequencerStopped] * 7
    for question in (desk.sequencer.submit([pay(3)]), desk.sequencer.cut(desk.clock)):
        with pytest.raises(SequencerStopped):
            await soon(question)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert desk.journal.violations == []


async def test_an_asker_who_goes_harms_nobody() -> None:
    async with open_desk() as desk:
        first = await desk.hold_with(pay(0))
        gone = [
            asyncio.create_task(question)
            for question in (
                desk.sequencer.submit([pay(1)]),
                desk.sequencer.credit_deposits([deposit(2, CAROL, 5)]),
                desk.sequencer.cut(desk.clock),
                desk.sequencer.submit([pay(2)]),
                desk.sequencer.list_asset(CAROL),
            )
        ]
        await settle()
        for task in gone:
            task.cancel()
        first.cancel()
        staying = asyncio.create_task(desk.sequencer.submit([pay(3), pay(1)]))
        await settle()
        desk.journal.release()
        assert await soon(staying) == [Placed(5, 0), Placed(3, 0)]
        assert desk.sequencer.get_balance(TOKEN, CAROL) == 5
        assert await soon(desk.sequencer.submit([pay(0), pay(2)])) == [Placed(2, 0), Placed(4, 0)]


# --- on a real disk


async def test_what_a_real_journal_holds_is_what_was_answered(tmp_path: Any) -> None:
    inner = open_leveldb(tmp_path)
    acknowledged: dict[bytes, Placed] = {}
    async with open_desk(inner=inner) as desk:

        async def submit(payments: list[Any]) -> None:
            outcomes = await desk.sequencer.submit(payments)
            acknowledged.update({payment.signed.id: placed for payment, placed in zip(payments, outcomes, strict=True)})

        for epoch in range(3):
            nonces = range(40 * epoch, 40 * epoch + 40)
            await soon(
                asyncio.gather(
                    *[submit([pay(nonce, (BOB, 1), (CAROL, 2))]) for nonce in nonces],
                    submit(
                        [verified(sign(make_payment((CAROL, 1), payer=BOB, nonce=epoch, kind="withdraw"), BOB_KEY))]
                    ),
                    desk.sequencer.credit_deposits([deposit(2 + epoch, CAROL, 1)]),
                )
            )
            desk.clock.now += 10_000
            await soon(desk.sequencer.cut(desk.clock))
        state = desk.sequencer.state
    assert len(acknowledged) == 123
    inner.close()
    reopened = open_leveldb(tmp_path)
    recovered = audit(reopened, tmp_path / "snapshots", acknowledged.items())
    assert recovered.compute_fingerprint() == state.compute_fingerprint()
    reopened.close()
