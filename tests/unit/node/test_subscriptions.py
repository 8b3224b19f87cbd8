"""Subscriptions: everything durable is told, once and in order, to whoever asked for it; and what happens to those who
cannot keep up."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import node.rpc.feed
import node.rpc.subscriptions
from chain import wire
from chain.payment import Payment
from node.ethereum.submission import EpochState
from node.index import PaymentFilter
from node.rpc.feed import Pace
from node.rpc.subscriptions import MAX_BLOCKS_BACK, MAX_SUBSCRIPTIONS, is_wanted
from tests.unit.chain.actors import ALICE, BOB, CAROL, ETHER, TOKEN, UNLISTED, deposit, make_payment, some_hash
from tests.unit.chain.exchange import register
from tests.unit.node.marketplace import order
from tests.unit.node.running import pay, settle, soon
from tests.unit.node.sockets import Client, Stand, open_stand, wait_until

REFERENCE = some_hash("a file")


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with open_stand() as made:
        yield made


def show(data: bytes) -> str:
    return wire.encode_bytes(data)


async def hear_ids(client: Client, subscription: str, count: int) -> list[str]:
    return [(await client.hear(subscription))["id"] for _ in range(count)]


async def hears_nothing(stand: Stand, client: Client) -> bool:
    """Nothing is told of all that was durable before."""
    await settle()
    answer = await client.ask("tally_noSuchMethod")
    return "error" in answer and not client._told


# --- what is told


async def test_blocks_are_told_as_receipts_show_their_headers(stand: Stand) -> None:
    async with stand.client() as client:
        subscription = await client.call("tally_subscribe", "blocks")
        assert len(subscription) == 34 and subscription.startswith("0x")
        await stand.pay()
        await stand.pay_together(3)
        for number in (2, 3):
            view = await stand.archive.load_block(number)
            assert await client.hear(subscription) == wire.encode_header(view.header, view.hash, view.signature)


async def test_payments_are_told_as_lists_show_them(stand: Stand) -> None:
    async with stand.client() as client:
        subscription = await client.call("tally_subscribe", "payments")
        payment_id = await stand.pay((BOB, 3), memo="</script> ☕ \u202e")
        heard = await client.hear(subscription)
        view = await stand.archive.load_block(2)
        signed: Any = view.records[0]
        receipt = wire.encode_receipt(
            signed,
            "accepted",
            wire.encode_domain(stand.archive._parameters.domain),
            wire.encode_payment(signed.payment),
            wire.encode_header(view.header, view.hash, view.signature),
            0,
            [],
            None,
        )
        del receipt["siblings"]
        assert heard == receipt and heard["id"] == show(payment_id)


async def test_instructions_are_no_payments_and_the_blocks_of_them_are_blocks(stand: Stand) -> None:
    async with stand.client() as client:
        payments = await client.call("tally_subscribe", "payments", {"account": wire.encode_address(CAROL)})
        blocks = await client.call("tally_subscribe", "blocks")
        registration, tip = order(register(CAROL, "mart")), order(make_payment(payer=CAROL, nonce=1, kind="tip"))
        await stand.desk.sequencer.submit([registration, tip])
        heard = [await client.hear_any(), await client.hear_any()]
        told = {params["subscription"]: params["result"] for params in heard}
        assert told[payments]["id"] == show(tip.signed.id) and told[payments]["index"] == "0x1"
        assert told[blocks]["recordCount"] == "0x2"


async def test_deposits_are_no_payments_and_the_blocks_of_them_are_blocks(stand: Stand) -> None:
    async with stand.client() as client:
        payments = await client.call("tally_subscribe", "payments", {"fromBlock": 1})
        blocks = await client.call("tally_subscribe", "blocks", {"fromBlock": "0x1"})
        assert (await client.hear(blocks))["number"] == "0x1"
        await stand.desk.sequencer.credit_deposits([deposit(3, BOB)])
        assert (await client.hear(blocks))["number"] == "0x2"
        payment_id = await stand.pay()
        heard = [await client.hear_any(), await client.hear_any()]
        assert {params["subscription"]: params["result"].get("id") for params in heard} == {
            blocks: None,
            payments: show(payment_id),
        }


async def test_only_what_is_durable_is_told(stand: Stand) -> None:
    async with stand.client() as client:
        subscription = await client.call("tally_subscribe", "payments")
        task = await stand.desk.hold_with(pay(0))
        assert await hears_nothing(stand, client)
        stand.desk.journal.release()
        (placed,) = await soon(task)
        assert (await client.hear(subscription))["block"]["number"] == hex(placed.block)


FILTERS: list[tuple[dict[str, Any], PaymentFilter]] = [
    ({}, PaymentFilter()),
    ({"account": wire.encode_address(BOB)}, PaymentFilter(account=BOB)),
    ({"account": wire.encode_address(ALICE).lower()}, PaymentFilter(account=ALICE)),
    ({"asset": wire.encode_address(TOKEN)}, PaymentFilter(asset=TOKEN)),
    ({"asset": wire.encode_address(ETHER)}, PaymentFilter(asset=ETHER)),
    ({"kind": "tip"}, PaymentFilter(kind="tip")),
    ({"kind": "withdraw", "account": wire.encode_address(UNLISTED)}, PaymentFilter(kind="withdraw", account=UNLISTED)),
    ({"reference": show(REFERENCE)}, PaymentFilter(reference=REFERENCE)),
    (
        {"reference": show(REFERENCE), "account": wire.encode_address(CAROL), "asset": None},
        PaymentFilter(reference=REFERENCE, account=CAROL),
    ),
]

PAID: list[tuple[list[tuple[bytes, int]], dict[str, Any]]] = [
    ([(BOB, 1)], {}),
    ([(CAROL, 1)], {"kind": "tip"}),
    ([(BOB, 1), (CAROL, 2)], {"reference": REFERENCE}),
    ([(UNLISTED, 5)], {"kind": "withdraw"}),
    ([(ALICE, 5)], {"reference": REFERENCE}),
]


@pytest.mark.parametrize("given, meant", FILTERS, ids=range(len(FILTERS)))
async def test_a_filter_chooses(stand: Stand, given: dict[str, Any], meant: PaymentFilter) -> None:
    async with stand.client() as client:
        subscription = await client.call("tally_subscribe", "payments", given)
        wanted = []
        for outputs, fields in PAID:
            payment_id = await stand.pay(*outputs, **fields)
            if is_wanted(make_payment(*outputs, **fields), meant):
                wanted.append(show(payment_id))
        assert await hear_ids(client, subscription, len(wanted)) == wanted
        assert await hears_nothing(stand, client)


def test_the_filters_are_told_apart() -> None:
    """The table above chooses different payments with each."""
    payments: list[Payment] = [make_payment(*outputs, **fields) for outputs, fields in PAID]
    chosen = [[is_wanted(payment, meant) for payment in payments] for _, meant in FILTERS]
    assert chosen == [
        [True] * 5,
        [True, False, True, False, False],
        [True] * 5,
        [True] * 5,
        [False] * 5,
        [False, True, False, False, False],
        [False, False, False, True, False],
        [False, False, True, False, True],
        [False, False, True, False, False],
    ]


async def test_commitments_are_told_whenever_their_way_changes(stand: Stand) -> None:
    committer = stand.committer
    async with stand.client() as client:
        subscription = await client.call("tally_subscribe", "commitments")
        stand.epochs.sealed_epoch = 1
        seen = []
        for state, attempts, confirmations in (
            (EpochState.SEALED, 0, 0),
            (EpochState.SENT, 1, 0),
            (EpochState.SENT, 2, 0),
            (EpochState.MINED, 2, 1),
            (EpochState.SENT, 2, 0),  # a reorganisation
            (EpochState.MINED, 2, 1),
            (EpochState.MINED, 2, 2),  # no news: another L1 block
            (EpochState.FINAL, 2, 3),
        ):
            committer.move(1, state, attempts, confirmations)
            way = stand.archive.describe_way(1)
            assert way is not None
            if confirmations != 2:
                heard = await client.hear(subscription)
                assert heard == way[1]
                seen.append(heard["status"])
        assert seen == ["sealed", "sent", "sent", "mined", "sent", "mined", "final"]
        stand.epochs.sealed_epoch = 2
        committer.move(2, EpochState.SEALED)
        assert (await client.hear(subscription))["epoch"] == "0x2"
        assert await hears_nothing(stand, client)


async def test_what_was_known_before_is_no_news(stand: Stand) -> None:
    async with stand.client() as client:
        stand.epochs.sealed_epoch = 1
        first = await client.call("tally_subscribe", "commitments")
        stand.committer.move(1, EpochState.SEALED)
        assert (await client.hear(first))["status"] == "sealed"
        second = await client.call("tally_subscribe", "commitments")
        stand.committer.move(1, EpochState.SENT, 1)
        heard = [await client.hear_any(), await client.hear_any()]
        assert {params["subscription"] for params in heard} == {first, second}
        assert {params["result"]["status"] for params in heard} == {"sent"}


# --- beginning and ending


async def test_the_id_is_known_before_anything_is_told_of_it(stand: Stand) -> None:
    async with stand.client() as client:
        calls = [
            {"jsonrpc": "2.0", "id": topic, "method": "tally_subscribe", "params": [topic, {"fromBlock": 1}]}
            for topic in ("blocks", "payments")
        ]
        await stand.pay()
        await client.send(calls)
        answers = await client.receive()
        ids = {answer["result"]: answer["id"] for answer in answers}
        told = [await client.hear_any() for _ in range(3)]
        assert sorted([ids[params["subscription"]] for params in told]) == ["blocks", "blocks", "payments"]


async def test_after_unsubscribing_nothing_is_told(stand: Stand) -> None:
    async with stand.client() as client:
        subscription = await client.call("tally_subscribe", "payments")
        payment_id = await stand.pay()
        assert await hear_ids(client, subscription, 1) == [show(payment_id)]
        assert await client.call("tally_unsubscribe", subscription) is True
        assert await client.call("tally_unsubscribe", subscription) is False
        assert stand.feed.subscription_count == 0
        await stand.pay()
        assert await hears_nothing(stand, client)


async def test_a_subscription_is_the_connections_own(stand: Stand) -> None:
    async with stand.client() as client, stand.client() as other:
        subscription = await client.call("tally_subscribe", "blocks")
        assert await other.call("tally_unsubscribe", subscription) is False
        await stand.pay()
        assert (await client.hear(subscription))["number"] == "0x2"


async def test_a_subscription_whose_id_nobody_hears_is_none(stand: Stand) -> None:
    async with stand.client() as client:
        await client.send({"jsonrpc": "2.0", "method": "tally_subscribe", "params": ["blocks"]})
        await stand.pay()
        assert await hears_nothing(stand, client)
        assert stand.feed.subscription_count == 0


async def test_a_client_who_goes_ends_its_subscriptions(stand: Stand) -> None:
    async with stand.client() as client:
        await client.call("tally_subscribe", "blocks")
        await client.call("tally_subscribe", "commitments")
        assert stand.feed.subscription_count == 2
        client.connection.transport.abort()
        await wait_until(lambda: stand.feed.subscription_count == 0)
    await stand.pay()


MALFORMED: list[list[Any]] = [
    [],
    ["trades"],
    [1],
    [["blocks"]],
    ["blocks", {}, 1],
    ["blocks", []],
    ["blocks", {"account": wire.encode_address(BOB)}],
    ["commitments", {"fromBlock": 1}],
    ["payments", {"from": 1}],
    ["payments", {"account": "0x12"}],
    ["payments", {"asset": 7}],
    ["payments", {"kind": 7}],
    ["payments", {"reference": "0x00"}],
    ["payments", {"reference": "0x" + "00" * 32}],
    ["blocks", {"fromBlock": 0}],
    ["blocks", {"fromBlock": 3}],
    ["blocks", {"fromBlock": "latest"}],
    ["blocks", {"fromBlock": -1}],
]


async def test_malformed_subscriptions_are_refused_and_take_no_place(stand: Stand) -> None:
    async with stand.client() as client:
        for params in MALFORMED:
            assert (await client.refuse("tally_subscribe", *params))["code"] == "malformed_request", params
        assert (await client.refuse("tally_subscribe", "payments", {"kind": "gift"}))["code"] == "unknown_kind"
        for params in ([], [1], [None], ["0x", 1]):
            assert (await client.refuse("tally_unsubscribe", *params))["code"] == "malformed_request", params
        assert stand.feed.subscription_count == 0
        await client.call("tally_subscribe", "blocks", {"fromBlock": 2})
        await client.call("tally_subscribe", "blocks", None)


async def test_a_connection_has_so_many_subscriptions_and_no_more(stand: Stand) -> None:
    async with stand.client() as client:
        ids = [await client.call("tally_subscribe", "payments") for _ in range(MAX_SUBSCRIPTIONS)]
        assert len(set(ids)) == MAX_SUBSCRIPTIONS
        refused = await client.refuse("tally_subscribe", "payments")
        assert (refused["code"], refused["limit"]) == ("too_many_subscriptions", hex(MAX_SUBSCRIPTIONS))
        await client.call("tally_unsubscribe", ids[3])
        await client.call("tally_subscribe", "payments")


async def test_all_connections_together_have_so_many_and_no_more(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.rpc.subscriptions, "MAX_SUBSCRIPTIONS_IN_ALL", 3)
    async with stand.client() as client, stand.client() as other:
        for _ in range(3):
            await client.call("tally_subscribe", "blocks")
        assert (await other.ask("tally_subscribe", "blocks"))["error"]["code"] == -32005
        assert (await other.refuse("tally_subscribe", "blocks"))["code"] == "overloaded"


# --- keeping up


async def test_a_client_that_comes_back_misses_nothing(stand: Stand) -> None:
    """While payments go on, in blocks of one and of many. What was heard of a block that was not heard to its end is
    heard again: the client goes on from that block."""
    paid: list[str] = []

    async def keep_paying() -> None:
        for number in range(60):
            ids = await stand.pay_together(100) if number % 20 == 10 else [await stand.pay()]
            paid.extend([show(payment_id) for payment_id in ids])
            await asyncio.sleep(0)

    paying = asyncio.create_task(keep_paying())
    heard: list[str] = []
    following = stand.head + 1
    while len(heard) < 57 + 3 * 100:
        async with stand.client() as client:
            subscription = await client.call("tally_subscribe", "payments", {"fromBlock": following})
            for _ in range(3):  # blocks; then one is left in its middle, and the connection dropped
                item = await client.hear(subscription)
                block = item["block"]
                assert int(block["number"], 16) == following
                heard += [item["id"], *await hear_ids(client, subscription, int(block["recordCount"], 16) - 1)]
                following += 1
                if following > 61:
                    break
            else:
                await client.hear(subscription)
            client.connection.transport.abort()
    await soon(paying)
    assert heard == paid


async def test_history_goes_back_so_far_and_no_farther(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.rpc.subscriptions, "MAX_BLOCKS_BACK", 3)
    for _ in range(5):
        await stand.pay()
    async with stand.client() as client:
        refused = await client.refuse("tally_subscribe", "blocks", {"fromBlock": 3})
        assert (refused["code"], refused["fromBlock"], refused["oldest"]) == ("too_far_back", "0x3", "0x4")
        subscription = await client.call("tally_subscribe", "blocks", {"fromBlock": 4})
        assert [(await client.hear(subscription))["number"] for _ in range(3)] == ["0x4", "0x5", "0x6"]
    assert MAX_BLOCKS_BACK == 100_000


async def test_blocks_that_are_read_again_push_nobody_elses_out(stand: Stand) -> None:
    for _ in range(5):
        await stand.pay()
    stand.archive._blocks.clear()
    stand.archive._kept_records = 0
    async with stand.client() as client:
        subscription = await client.call("tally_subscribe", "blocks", {"fromBlock": 1})
        assert [(await client.hear(subscription))["number"] for _ in range(6)] == [hex(each) for each in range(1, 7)]
    assert not stand.archive._blocks


async def test_texts_are_made_once_for_all_who_hear_them(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    describe = stand.archive.describe_item

    def count(*arguments: Any) -> Any:
        made.append(arguments)
        return describe(*arguments)

    monkeypatch.setattr(stand.archive, "describe_item", count)
    async with stand.client() as first, stand.client() as second:
        ids = [await client.call("tally_subscribe", "payments") for client in (first, first, second)]
        await stand.pay_together(100)
        heard = [await client.hear_any() for client in (first, first, second) for _ in range(100)]
        assert len(heard) == 300 and {params["subscription"] for params in heard} == set(ids)
    assert len(made) == 100


async def test_no_more_texts_are_kept_than_are_allowed(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.rpc.feed, "_KEPT_RECORDS", 25)
    async with stand.client() as client:
        subscription = await client.call("tally_subscribe", "payments")
        ids = []
        for _ in range(4):
            ids += await stand.pay_together(10)
        assert await hear_ids(client, subscription, 40) == [show(each) for each in ids]
        assert list(stand.feed._blocks) == [4, 5] and stand.feed._kept_records == 20
        ids = await stand.pay_together(100)
        assert await hear_ids(client, subscription, 100) == [show(each) for each in ids]
        assert list(stand.feed._blocks) == [6] and stand.feed._kept_records == 100


async def test_a_reader_too_slow_is_told_so_and_goes_on_from_where_it_was(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.rpc.subscriptions, "MAX_LAG_BLOCKS", 20)
    async with stand.client(max_queue=1) as slow, stand.client() as quick:
        sluggish = await slow.call("tally_subscribe", "payments")
        prompt = await quick.call("tally_subscribe", "payments")
        paid = []
        for _ in range(200):
            paid.append(show(await stand.pay(memo="m" * 256)))
            assert await hear_ids(quick, prompt, 1) == paid[-1:]
        heard = []
        while "result" in (params := await slow.hear_any()):
            heard.append(params["result"]["id"])
        assert params["subscription"] == sluggish and set(params) == {"subscription", "error"}
        error = params["error"]
        assert error["code"] == -32005
        assert error["data"]["code"] == "subscription_lagged"
        assert 20 < int(error["data"]["behind"], 16) <= 200
        assert 0 < len(heard) < 180 and heard == paid[: len(heard)]
        await wait_until(lambda: stand.feed.subscription_count == 1)
        assert await slow.call("tally_unsubscribe", sluggish) is False
        again = await slow.call("tally_subscribe", "payments", {"fromBlock": error["data"]["nextBlock"]})
        # The last block heard in full is followed by the one that is named.
        heard += await hear_ids(slow, again, len(paid) - len(heard))
        assert heard == paid


async def test_who_begins_far_back_may_be_far_back(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.rpc.subscriptions, "MAX_LAG_BLOCKS", 5)
    paid = [show(await stand.pay()) for _ in range(30)]
    async with stand.client() as client:
        subscription = await client.call("tally_subscribe", "payments", {"fromBlock": 1})
        assert await hear_ids(client, subscription, 30) == paid


async def test_who_lags_behind_commitments_is_told_so(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.feed.commitments._texts = type(stand.feed.commitments._texts)(maxlen=3)
    async with stand.client(max_queue=1) as client:
        subscription = await client.call("tally_subscribe", "commitments")
        stand.epochs.sealed_epoch = 1
        for number in range(1, 201):
            count = stand.feed.commitments.count
            stand.committer.move(1, EpochState.SENT, number)
            await wait_until(lambda before=count: stand.feed.commitments.count > before)
        heard = 0
        while "result" in (params := await client.hear_any()):
            heard += 1
        assert params["subscription"] == subscription
        assert params["error"]["data"]["code"] == "subscription_lagged" and params["error"]["data"]["nextBlock"] is None
        assert heard < 200


async def test_a_fault_of_ours_ends_a_subscription_and_says_so(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stand.client() as client:
        subscription = await client.call("tally_subscribe", "blocks")

        def fail(number: int) -> Any:
            raise KeyError("a secret of the operator")

        monkeypatch.setattr(stand.archive, "find_block_at_hand", fail)
        await stand.pay()
        params = await client.hear_any()
        assert params == {"subscription": subscription, "error": {"code": -32603, "message": "internal error"}}
        await wait_until(lambda: stand.feed.subscription_count == 0)


async def test_payments_are_left_most_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many take turns, each second of work is followed by two of rest."""
    now = [0.0]
    rested: list[float] = []
    sleep = asyncio.sleep

    async def rest(seconds: float) -> None:
        rested.append(seconds)
        now[0] += seconds
        await sleep(0)

    monkeypatch.setattr(node.rpc.feed.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(node.rpc.feed.asyncio, "sleep", rest)
    pace = Pace()

    async def work() -> None:
        for _ in range(10):
            async with pace.turn():
                now[0] += 0.0003

    await asyncio.gather(*[work() for _ in range(5)])
    assert sum(rested) == pytest.approx(2 * 50 * 0.0003, abs=0.001)
    assert all(seconds == 0 or seconds >= 0.001 for seconds in rested)
