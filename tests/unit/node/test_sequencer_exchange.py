"""The sequencer and the data exchange: instructions are ordered as payments are, an upload is whole or not there, and
nothing of either is told too soon."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

import chain.transition
import node.sequencer
from chain.errors import AlreadyPurchased, Refusal
from chain.market import NO_ROLES, Roles
from node.sequencer import Declined, Placed, SequencerStopped
from tests.unit.chain.actors import ALICE, BOB, CAROL, ETHER, TOKEN, UNLISTED, make_payment, some_hash
from tests.unit.chain.exchange import (
    CHARGE,
    DAY_MS,
    DORA,
    ERIK,
    FILE,
    NOW_MS,
    NOW_S,
    PARAMETERS,
    STORAGE_DAYS,
    UNPAID,
    delist,
    extend,
    list_file,
    purchase,
    register,
    register_owner,
    update_price,
    upload,
)
from tests.unit.node.journals import open_leveldb
from tests.unit.node.marketplace import (
    FUNDS,
    STRANGER,
    STRANGER_KEY,
    find_refusal,
    list_uploads,
    make_upload,
    open_exchange,
    order,
    place,
    submit,
)
from tests.unit.node.running import (
    Desk,
    audit,
    list_signed_ids,
    make_journal,
    read_blocks,
    running,
    settle,
    soon,
)

OPENING_BLOCK = 3
NEW = some_hash("a file that is about to be listed")


# --- instructions


async def test_an_instruction_is_ordered_as_a_payment_is() -> None:
    async with open_exchange() as desk:
        instruction = order(register(CAROL, "mart"))
        assert await soon(desk.sequencer.submit([instruction])) == [Placed(4, 0)]
        assert desk.blocks[-1].records == [instruction.signed]
        assert desk.sequencer.find_recent(instruction.signed.id) == Placed(4, 0)
        assert desk.sequencer.get_roles(CAROL).names == ["mart", "owner"]
        assert desk.sequencer.get_nonces(CAROL).is_used(0)


async def test_each_order_of_a_submission_is_checked_after_those_before_it() -> None:
    async with open_exchange() as desk:
        outcomes = await submit(
            desk,
            purchase(payer=CAROL),  # who is no mart yet
            register(CAROL, "mart", nonce=1),
            purchase(payer=CAROL, nonce=2),
            register(CAROL, "mart", nonce=3),
            update_price(7),
            purchase(),  # at the price of before
            purchase(FILE, 0, (ALICE, 3), (CAROL, 4)),
            delist(nonce=1),
            update_price(8, nonce=2),
            register_owner(BOB, ALICE, nonce=1),
            list_file(NEW, nonce=2, owner=BOB),
            upload(NEW, nonce=3),
        )
        refused = {index: find_refusal(each) for index, each in enumerate(outcomes) if isinstance(each, Declined)}
        assert refused == {0: "wrong_role", 3: "already_registered", 5: "wrong_price", 8: "delisted"}
        places = [each for each in outcomes if isinstance(each, Placed)]
        assert places == [Placed(4, index) for index in range(len(outcomes) - len(refused))]
        assert desk.sequencer.state.files[NEW].service_node == DORA


async def test_a_refused_instruction_makes_no_block_and_leaves_no_trace() -> None:
    async with open_exchange() as desk:
        before = desk.sequencer.state.compute_fingerprint()
        outcomes = await submit(desk, register(ALICE, "validator"), list_file(), update_price(1, account=BOB))
        assert [find_refusal(outcome) for outcome in outcomes] == [
            "already_registered",
            "already_listed",
            "foreign_validator",
        ]
        assert [outcome.is_nonce_used for outcome in outcomes if isinstance(outcome, Declined)] == [False] * 3
        assert desk.sequencer.state.compute_fingerprint() == before
        assert desk.sequencer.durable_block == OPENING_BLOCK


async def test_instructions_and_payments_share_the_nonces_of_an_account() -> None:
    async with open_exchange() as desk:
        await place(desk, register(CAROL, "mart"))
        payment, instruction = await submit(desk, make_payment(payer=CAROL), register(CAROL, "service_node"))
        assert (find_refusal(payment), find_refusal(instruction)) == ("nonce_used", "nonce_used")
        assert isinstance(payment, Declined) and payment.is_nonce_used, "the index is to be asked"


async def test_the_same_instruction_a_hundred_times_in_parallel_is_one_record() -> None:
    async with open_exchange() as desk:
        instruction = order(register(CAROL, "mart"))
        answers = await soon(asyncio.gather(*[desk.sequencer.submit([instruction]) for _ in range(100)]))
        assert answers == [[Placed(4, 0)]] * 100
        assert list_signed_ids(desk.journal).count(instruction.signed.id) == 1


async def test_a_listing_alone_names_an_owner_who_is_registered_even_if_its_payment_comes_right_after_it() -> None:
    """Each would stand where an upload's stands; but they were not sent as one."""
    async with open_exchange() as desk:
        listing, payment = make_upload(NEW)
        outcomes = await soon(desk.sequencer.submit([listing, payment]))
        assert [find_refusal(outcome) for outcome in outcomes] == ["wrong_role", "unknown_reference"]


async def test_two_purchases_of_one_file_in_one_block_are_one_and_a_refusal_that_names_it() -> None:
    async with open_exchange() as desk:
        first, second = order(purchase()), order(purchase(nonce=1))
        placed, declined = await soon(desk.sequencer.submit([first, second]))
        assert placed == Placed(4, 0)
        assert isinstance(declined, Declined) and isinstance(declined.refusal, AlreadyPurchased)
        assert declined.refusal.payment == first.signed.id
        assert desk.sequencer.get_balance(TOKEN, BOB) == FUNDS - 100


async def test_a_file_expires_by_the_time_of_the_block() -> None:
    async with open_exchange() as desk:
        desk.clock.now = NOW_MS // 1000 * 1000 + STORAGE_DAYS * DAY_MS
        await place(desk, extend(1))
        desk.clock.now += DAY_MS
        await place(desk, purchase())
        desk.clock.now += 1
        outcomes = await submit(desk, purchase(payer=ERIK), extend(1, nonce=1))
        assert [find_refusal(outcome) for outcome in outcomes] == ["file_expired"] * 2


# --- uploads


async def test_an_upload_is_a_listing_and_its_payment_one_right_after_the_other() -> None:
    async with open_exchange() as desk:
        listing, payment = make_upload(NEW)
        assert await soon(desk.sequencer.submit_upload(listing, payment)) == [Placed(4, 0), Placed(4, 1)]
        assert desk.blocks[-1].records == [listing.signed, payment.signed]
        assert desk.sequencer.get_roles(STRANGER) == Roles(8, ALICE, is_named_only=True)
        assert desk.sequencer.state.files[NEW].service_node == DORA
        assert desk.sequencer.state.files[NEW].keep_until == NOW_S + STORAGE_DAYS * DAY_MS // 1000
        assert desk.sequencer.get_balance(TOKEN, ALICE) == FUNDS - 2 * CHARGE, "the opening's, and this one's"
        assert desk.sequencer.get_balance(TOKEN, DORA) == FUNDS + 2 * CHARGE


LISTINGS: list[tuple[str, dict[str, Any]]] = [
    ("expired", {"valid_until": NOW_S - 1}),
    ("nonce_used", {"nonce": 255}),
    ("nonce_too_far", {"nonce": 256}),
    ("wrong_role", {"account": BOB}),
    ("already_listed", {"file": FILE}),
    ("unknown_asset", {"asset": UNLISTED}),
    ("foreign_validator", {"owner": BOB}),
]
PAYMENTS: list[tuple[str, dict[str, Any]]] = [
    ("unknown_asset", {"asset": UNLISTED}),
    ("expired", {"valid_until": NOW_S - 1}),
    ("nonce_used", {"nonce": 255}),
    ("nonce_used", {"nonce": 0}),  # the listing's
    ("nonce_too_far", {"nonce": 257}),  # the listing's moves the window by one
    ("foreign_validator", {"payer": ERIK}),
    ("no_storage_rate", {"asset": ETHER}),
    ("wrong_service_node", {"to": BOB}),
    ("wrong_outputs", {"amount": CHARGE - 1}),
    ("wrong_outputs", {"amount": CHARGE + 1}),
    ("insufficient_balance", {}),
    ("epoch_limit", {}),
]


def change(is_of_payment: bool, changes: dict[str, Any]) -> tuple[Any, Any]:
    """The upload of NEW, with its listing or its payment changed."""
    listing = {"file": NEW, "nonce": 0, "owner": STRANGER, **({} if is_of_payment else changes)}
    payment = {"file": listing["file"], "nonce": 1, **(changes if is_of_payment else {})}
    return order(list_file(**listing)), order(upload(**payment))


@pytest.mark.parametrize(
    "name, is_of_payment, changes",
    [(name, False, changes) for name, changes in LISTINGS] + [(name, True, changes) for name, changes in PAYMENTS],
    ids=[f"listing-{name}" for name, _ in LISTINGS] + [f"payment-{name}" for name, _ in PAYMENTS],
)
async def test_an_upload_refused_for_either_leaves_nothing_of_both(
    name: str, is_of_payment: bool, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_exchange() as desk:
        await place(desk, register_owner(BOB, ERIK, nonce=1))
        if name == "insufficient_balance":
            await place(desk, make_payment((BOB, desk.sequencer.get_balance(TOKEN, ALICE) - CHARGE + 1), nonce=2))
        if name == "epoch_limit":
            monkeypatch.setattr(chain.transition, "MAX_EPOCH_VOLUME", 2 * CHARGE - 1)
        sequencer = desk.sequencer
        before, height = sequencer.state.compute_fingerprint(), desk.journal.height
        outcome = await soon(sequencer.submit_upload(*change(is_of_payment, changes)))
        assert find_refusal(outcome) == name
        assert outcome.is_nonce_used == (name == "nonce_used" and changes["nonce"] == 255)
        assert (sequencer.state.compute_fingerprint(), desk.journal.height) == (before, height)
        assert sequencer.get_roles(STRANGER) == NO_ROLES and not sequencer.get_nonces(ALICE).is_used(0)
        monkeypatch.undo()
        if name == "insufficient_balance":
            await place(desk, make_payment((ALICE, 10**9), payer=BOB, nonce=2))
        placed = await soon(sequencer.submit_upload(*make_upload(NEW)))
        assert [place.index for place in placed] == [0, 1], "nothing that it needs has been used"


async def test_the_same_upload_a_hundred_times_in_parallel_is_charged_once() -> None:
    async with open_exchange() as desk:
        parts = make_upload(NEW)
        answers = await soon(asyncio.gather(*[desk.sequencer.submit_upload(*parts) for _ in range(100)]))
        assert answers == [[Placed(4, 0), Placed(4, 1)]] * 100
        assert desk.sequencer.get_balance(TOKEN, ALICE) == FUNDS - 2 * CHARGE
        assert list_uploads(desk.journal).count((NEW, True)) == 1


async def test_an_upload_sent_again_gets_its_places_before_durability_and_after() -> None:
    async with open_exchange() as desk:
        parts = make_upload(NEW)
        desk.journal.hold()
        first = asyncio.create_task(desk.sequencer.submit_upload(*parts))
        await desk.journal.wait_until_held()
        again = asyncio.create_task(desk.sequencer.submit_upload(*parts))
        apart = asyncio.create_task(desk.sequencer.submit([parts[1], parts[0]]))
        await settle()
        assert not again.done() and not apart.done(), "an answer that rests on what is not durable"
        assert desk.sequencer.find_recent(parts[0].signed.id) is None
        desk.journal.release()
        assert await soon(first) == await soon(again) == [Placed(4, 0), Placed(4, 1)]
        assert await soon(apart) == [Placed(4, 1), Placed(4, 0)]
        assert desk.sequencer.durable_block == 4


async def test_an_upload_sent_again_is_found_even_when_it_would_be_refused_by_now() -> None:
    async with open_exchange() as desk:
        parts = make_upload(NEW, 0, {"valid_until": NOW_S + 1}, {"valid_until": NOW_S + 1})
        first = await soon(desk.sequencer.submit_upload(*parts))
        desk.clock.now += DAY_MS
        assert await soon(desk.sequencer.submit_upload(*parts)) == first == [Placed(4, 0), Placed(4, 1)]


async def test_what_was_sent_apart_is_found_as_an_upload() -> None:
    async with open_exchange() as desk:
        listing, payment = order(list_file(NEW)), order(upload(NEW, 1))
        await soon(desk.sequencer.submit([listing]))
        outcome = await soon(desk.sequencer.submit_upload(listing, order(upload(NEW, 2))))
        assert find_refusal(outcome) == "nonce_used" and outcome.is_nonce_used
        await soon(desk.sequencer.submit([payment]))
        assert await soon(desk.sequencer.submit_upload(listing, payment)) == [Placed(4, 0), Placed(5, 0)]


async def test_of_two_uploads_of_one_file_one_is_there() -> None:
    async with open_exchange() as desk:
        one, other = make_upload(NEW), make_upload(NEW, 2, {"name": "Another"})
        placed, declined = await soon(
            asyncio.gather(desk.sequencer.submit_upload(*one), desk.sequencer.submit_upload(*other))
        )
        assert placed == [Placed(4, 0), Placed(4, 1)]
        assert find_refusal(declined) == "already_listed"
        assert not desk.sequencer.get_nonces(ALICE).is_used(2)


@pytest.mark.parametrize("before, expected", [(2, Placed(4, 2)), (3, Placed(5, 0)), (4, Placed(5, 0))])
async def test_an_upload_is_never_split_over_two_blocks(
    before: int, expected: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_exchange() as desk:
        monkeypatch.setattr(node.sequencer, "MAX_BLOCK_RECORDS", 4)
        first = await desk.hold_with(order(make_payment(nonce=9)))
        tasks = [
            asyncio.create_task(desk.sequencer.submit([order(make_payment(nonce=10 + number))]))
            for number in range(before)
        ]
        uploading = asyncio.create_task(desk.sequencer.submit_upload(*make_upload(NEW)))
        after = asyncio.create_task(desk.sequencer.submit([order(make_payment(nonce=20))]))
        await settle()
        desk.journal.release()
        await soon(asyncio.gather(first, *tasks))
        at = Placed(expected.block + 1, expected.index)  # the held one took a block
        assert await soon(uploading) == [at, Placed(at.block, at.index + 1)]
        (last,) = await soon(after)
        assert (last.block, last.index) > (at.block, at.index + 1), "nothing overtakes it"


@pytest.mark.parametrize("seed", range(5))
async def test_however_full_blocks_are_a_listing_is_followed_by_its_payment(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    async with open_exchange() as desk:
        monkeypatch.setattr(node.sequencer, "MAX_BLOCK_RECORDS", 5)
        tasks = []
        for number in range(60):
            nonce = 3 * number
            if chance.random() < 0.5:
                tasks.append(desk.sequencer.submit_upload(*make_upload(some_hash(f"file {number}"), nonce)))
            else:
                count = chance.choice([1, 1, 2, 3])
                tasks.append(desk.sequencer.submit([order(make_payment(nonce=nonce + each)) for each in range(count)]))
        await soon(asyncio.gather(*tasks))
        listed = [entry for entry in list_uploads(desk.journal) if entry[0] not in (FILE, UNPAID)]
        assert len(listed) > 15 and all(is_paid for _, is_paid in listed)
        counts = [block.header.record_count for block in read_blocks(desk.journal)[OPENING_BLOCK:]]
        assert max(counts) == 5 and min(counts[:-1]) >= 4


async def test_an_upload_counts_twice_in_the_backlog_and_the_epoch() -> None:
    async with open_exchange() as desk:
        epoch_records = desk.sequencer.epoch_records
        task = asyncio.create_task(desk.sequencer.submit_upload(*make_upload(NEW)))
        refused = asyncio.create_task(desk.sequencer.submit_upload(*make_upload(FILE, 5)))
        await asyncio.sleep(0)
        assert desk.sequencer.backlog == 4
        await soon(asyncio.gather(task, refused))
        assert desk.sequencer.backlog == 0
        assert desk.sequencer.epoch_records == epoch_records + 2


async def test_the_memory_of_instructions_and_uploads_ends_when_the_index_has_them() -> None:
    async with open_exchange() as desk:
        desk.sequencer.forget_until(desk.journal.height)
        assert desk.sequencer.unindexed == 0
        parts = make_upload(NEW)
        await soon(desk.sequencer.submit_upload(*parts))
        await place(desk, register(CAROL, "mart"))
        assert desk.sequencer.unindexed == 3
        height = desk.journal.get_block_height(4)
        assert height is not None
        desk.sequencer.forget_until(height + 1)
        assert desk.sequencer.unindexed == 1
        outcome = await soon(desk.sequencer.submit_upload(*parts))
        assert isinstance(outcome, Declined) and outcome.is_nonce_used, "the index is to be asked"
        assert await place(desk, register(CAROL, "mart")) == [Placed(5, 0)]


async def test_what_is_remembered_at_the_start_answers_uploads_with_their_places() -> None:
    async with open_exchange() as desk:
        parts = make_upload(NEW)
        await soon(desk.sequencer.submit_upload(*parts))
        height = desk.journal.height - 1
        again = Desk(make_journal(desk.journal.inner), desk.sequencer.state)
    async with running(again):
        again.sequencer.remember(height, 4, [part.signed.id for part in parts])
        assert await soon(again.sequencer.submit_upload(*parts)) == [Placed(4, 0), Placed(4, 1)]


# --- what the outside sees


async def test_roles_nonces_and_balances_show_only_what_is_durable() -> None:
    async with open_exchange() as desk:
        sequencer = desk.sequencer

        def look() -> tuple[Any, ...]:
            return (
                sequencer.get_roles(STRANGER),
                sequencer.get_roles(CAROL).names,
                sequencer.get_nonces(CAROL),
                sequencer.get_nonces(ALICE).is_used(0),
                sequencer.get_balance(TOKEN, ALICE),
                sequencer.get_balance(TOKEN, DORA),
            )

        start = look()
        charged = FUNDS - CHARGE, FUNDS + CHARGE
        assert start == (NO_ROLES, ["owner"], start[2], False, *charged)
        desk.journal.hold()
        first = asyncio.create_task(sequencer.submit_upload(*make_upload(NEW)))
        await desk.journal.wait_until_held()
        second = asyncio.create_task(
            sequencer.submit(
                [
                    order(register(CAROL, "mart")),
                    order(register(CAROL, "validator", nonce=1)),
                    order(register_owner(STRANGER, ERIK), STRANGER_KEY),
                ]
            )
        )
        await settle()
        assert sequencer.state.get_roles(STRANGER).validator == ERIK, "applied, so that the next is checked against it"
        assert look() == start
        desk.journal.release()
        await soon(first)
        seen = look()
        assert seen[0] in (Roles(8, ALICE, is_named_only=True), Roles(8, ERIK))
        assert seen[1] in (["owner"], ["validator", "mart", "owner"]), "never half of a block"
        await soon(second)
        assert look()[:2] == (Roles(8, ERIK), ["validator", "mart", "owner"])
        assert look()[4:] == (FUNDS - 2 * CHARGE, FUNDS + 2 * CHARGE)


async def test_check_upload_tells_the_refusal_and_writes_nothing() -> None:
    async with open_exchange() as desk:
        before = desk.sequencer.state.compute_fingerprint()
        desk.sequencer.check_upload(list_file(NEW, owner=STRANGER), upload(NEW, 1))
        with pytest.raises(Refusal) as refused:
            desk.sequencer.check_upload(list_file(NEW, owner=STRANGER), upload(NEW, 1, amount=1))
        assert refused.value.code == "wrong_outputs"
        assert desk.sequencer.state.compute_fingerprint() == before


# --- stopping


async def test_who_waits_for_an_upload_hears_when_it_stops() -> None:
    async with open_exchange() as working:
        journal = working.journal.inner
        state = working.sequencer.state
    desk = Desk(make_journal(journal), state)
    task = asyncio.create_task(desk.sequencer.run())
    desk.journal.hold()
    in_flight = asyncio.create_task(desk.sequencer.submit_upload(*make_upload(NEW)))
    await desk.journal.wait_until_held()
    drafted = asyncio.create_task(desk.sequencer.submit_upload(*make_upload(some_hash("another"), 2)))
    await settle()
    task.cancel()
    desk.journal.release()
    outcomes = await soon(asyncio.gather(in_flight, drafted, return_exceptions=True))
    assert [type(outcome) for outcome in outcomes] == [SequencerStopped] * 2
    with pytest.raises(SequencerStopped):
        await soon(desk.sequencer.submit_upload(*make_upload(NEW)))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert desk.journal.violations == []


async def test_an_uploader_who_goes_harms_nobody() -> None:
    async with open_exchange() as desk:
        first = await desk.hold_with(order(make_payment(nonce=9)))
        parts = make_upload(NEW)
        gone = asyncio.create_task(desk.sequencer.submit_upload(*parts))
        await settle()
        gone.cancel()
        await settle()
        desk.journal.release()
        await soon(first)
        assert await soon(desk.sequencer.submit_upload(*parts)) == [Placed(5, 0), Placed(5, 1)]


# --- on a real disk


async def test_what_a_real_journal_holds_of_the_exchange_is_what_was_answered(tmp_path: Path) -> None:
    inner = open_leveldb(tmp_path)
    acknowledged: dict[bytes, Placed] = {}
    async with open_exchange(inner) as desk:

        async def keep(parts: list[Any], asking: Any) -> None:
            outcomes = await asking
            acknowledged.update({part.signed.id: placed for part, placed in zip(parts, outcomes, strict=True)})

        for epoch in range(3):
            nonce = 40 * epoch
            parts = [make_upload(some_hash(f"file {epoch} {number}"), nonce + 2 * number) for number in range(8)]
            prices = [order(update_price(10 + number, nonce + 20 + number)) for number in range(3)]
            await soon(
                asyncio.gather(
                    *[keep(list(part), desk.sequencer.submit_upload(*part)) for part in parts],
                    *[keep([price], desk.sequencer.submit([price])) for price in prices],
                )
            )
            desk.clock.now += 10_000
            await soon(desk.sequencer.cut(desk.clock))
        state = desk.sequencer.state
    assert len(acknowledged) == 3 * (16 + 3)
    inner.close()
    reopened = open_leveldb(tmp_path)
    recovered = audit(reopened, tmp_path / "snapshots", acknowledged.items(), PARAMETERS)
    assert recovered.compute_fingerprint() == state.compute_fingerprint()
    assert len(recovered.files) == 2 + 24 and recovered.files[FILE].price in (10, 11, 12)
    reopened.close()
