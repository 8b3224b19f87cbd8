"""Lists of payments and of deposits, both ways, under every filter, against the same question put to plain lists."""

import random
import sqlite3
from pathlib import Path

import pytest

from chain.errors import MalformedRequest
from chain.kinds import KIND_CODES
from chain.payment import Output, Payment, SignedPayment, compute_payment_id
from chain.primitives import ETHER, MAX_MEMO_SIZE
from node.index import (
    Direction,
    IndexedDeposit,
    IndexedPayment,
    IndexReader,
    Page,
    PaymentFilter,
    deposits,
    encode_cursor,
    encode_deposit_cursor,
    move_cursor,
    payments,
)
from tests.unit.node.index.history import MEMOS, RandomLedger, apply
from tests.unit.node.index.oracle import (
    describe,
    describe_deposit,
    list_wanted,
    make_filter,
    open_index,
    read_pages,
)


def test_payments_are_listed_both_ways_under_every_filter(history: RandomLedger, reader: IndexReader) -> None:
    rng = random.Random(3)
    found = 0
    for _ in range(300):
        wanted, limit = make_filter(history, rng), rng.choice((1, 2, 7, 100))
        expected = list_wanted(history, wanted)
        for is_ascending in (False, True):
            listed = read_pages(
                lambda cursor: reader.list_payments(wanted, cursor, limit, is_ascending=is_ascending),  # noqa: B023
                limit,
            )
            assert listed == (expected[::-1] if is_ascending else expected), wanted
        found += len(expected)
    assert found > 500


def test_the_looks_of_a_count_add_up_to_the_list(
    history: RandomLedger, reader: IndexReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payments, "MAX_VISITED", 7)
    monkeypatch.setattr(payments, "MAX_COUNTED", 30)
    rng = random.Random(13)
    look_counts = set()
    for _ in range(200):
        wanted = make_filter(history, rng)
        expected = list_wanted(history, wanted)
        start = None
        if expected and rng.random() < 0.5:
            begin = rng.choice(expected)
            start, expected = encode_cursor(begin), expected[expected.index(begin) + 1 :]
        counts: list[int] = []
        for _ in history.records:
            count, start = reader.count_payments(wanted, start)
            counts.append(count)
            if start is None:
                break
        assert start is None
        assert sum(counts) == len(expected), wanted
        look_counts.add(len(counts))
    assert len(look_counts) > 3


@pytest.mark.parametrize("bound", [1, 10, 100])
def test_no_look_of_a_count_goes_far(
    history: RandomLedger, reader: IndexReader, monkeypatch: pytest.MonkeyPatch, bound: int
) -> None:
    monkeypatch.setattr(payments, "MAX_COUNTED", bound)
    for wanted, source_count in (
        (PaymentFilter(), 1),
        (PaymentFilter(asset=ETHER, kind="transfer"), 1),
        (PaymentFilter(asset=ETHER), len(KIND_CODES)),
        (PaymentFilter(kind="transfer"), len(history.assets)),
    ):
        expected = list_wanted(history, wanted)
        cursor, counts = None, []
        for _ in range(len(expected) + 1):
            count, cursor = reader.count_payments(wanted, cursor)
            assert count <= max(bound, source_count)
            assert cursor is None or count > 0
            counts.append(count)
            if cursor is None:
                break
        assert cursor is None and sum(counts) == len(expected)


def test_one_among_many_payees_is_found_without_reading_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = RandomLedger(29, account_count=9)
    payer, sought, *others = ledger.accounts
    ledger.list_asset()
    ledger.add_block([ledger.make_deposit(ETHER, 0, payer, 1000)])
    reference = ledger.references[0]
    for nonce in range(6):
        payees = [*others, sought] if nonce % 2 else others
        payment = Payment(ETHER, payer, nonce, 0, "transfer", reference, "", tuple([Output(to, 1) for to in payees]))
        ledger.add_block([SignedPayment(compute_payment_id(payment, ledger.parameters.domain), payment, bytes(65))])
    read_outputs, reads = payments._read_outputs, []

    def read_and_count(db: sqlite3.Connection, place: int) -> list[tuple[int, int]]:
        reads.append(place)
        return read_outputs(db, place)

    monkeypatch.setattr(payments, "_read_outputs", read_and_count)
    with open_index(tmp_path / "index.sqlite", ledger) as (_, reader):
        wanted = PaymentFilter(account=sought, reference=reference)
        assert list(reader.list_payments(wanted).items) == list_wanted(ledger, wanted)
        assert len(reads) == 3, "of what is listed alone"
        assert reader.count_payments(wanted) == (3, None)
        assert len(reads) == 3


def test_every_payment_is_a_cursor_for_both_ways(history: RandomLedger, reader: IndexReader) -> None:
    everything = list_wanted(history, PaymentFilter())
    for place, payment in enumerate(everything):
        cursor = encode_cursor(payment)
        older, newer = everything[place + 1 :][:3], everything[:place][-3:][::-1]
        assert list(reader.list_payments(cursor=cursor, limit=3).items) == older
        assert list(reader.list_payments(cursor=cursor, limit=3, is_ascending=True).items) == newer
        assert payment in reader.list_payments(cursor=move_cursor(cursor, 1), limit=1).items
        assert payment in reader.list_payments(cursor=move_cursor(cursor, -1), limit=1, is_ascending=True).items


def test_cursors_lie_within_what_the_index_can_compare(reader: IndexReader) -> None:
    first, last = "0" * 16, "7" + "f" * 15
    assert move_cursor(first, -1) == first
    assert move_cursor(last, 1) == last
    with pytest.raises(MalformedRequest, match="cursor"):
        move_cursor("last", 1)
    for list_page in (reader.list_payments, reader.list_deposits):
        assert list_page(cursor=first) == list_page(cursor=last, is_ascending=True) == Page((), None)
        assert list_page(cursor=last) == list_page()
        assert list_page(cursor=first, is_ascending=True) == list_page(is_ascending=True)
    assert reader.count_payments(PaymentFilter(), first) == (0, None)


def test_what_an_account_sees_of_its_payments(tmp_path: Path) -> None:
    """Every way in which two parties can meet in a payment, by name."""
    ledger = RandomLedger(11, account_count=4)
    alice, bob, carol, dora = ledger.accounts
    stranger = ledger.strangers[0]
    ledger.list_asset()
    ledger.add_block([ledger.make_deposit(ETHER, place, who, 1000) for place, who in enumerate((alice, bob, carol))])
    made = {
        "alice to bob": ledger.make_payment(alice, 0, [Output(bob, 1)]),
        "bob to alice": ledger.make_payment(bob, 0, [Output(alice, 2)]),
        "alice to alice": ledger.make_payment(alice, 1, [Output(alice, 3)]),
        "alice to alice and bob": ledger.make_payment(alice, 2, [Output(alice, 4), Output(bob, 5)]),
        "bob to alice, twice": ledger.make_payment(bob, 1, [Output(alice, 6), Output(alice, 7)]),
        "carol to alice and bob": ledger.make_payment(carol, 0, [Output(alice, 8), Output(bob, 9)]),
        "alice, out to a stranger": ledger.make_payment(alice, 3, [Output(stranger, 10)], "withdraw"),
        "alice, out to bob": ledger.make_payment(alice, 4, [Output(bob, 11)], "withdraw"),
        "bob, out to bob": ledger.make_payment(bob, 2, [Output(bob, 12)], "withdraw"),
        "bob, a tip to dora": ledger.make_payment(bob, 3, [Output(dora, 13)], "tip"),
    }
    for record in made.values():
        ledger.add_block([record])
    names = {record.id: name for name, record in made.items()}
    expected = {
        (alice, None, None): [*list(made)[:8]],
        (alice, Direction.OUT, None): [
            "alice to bob", "alice to alice", "alice to alice and bob", "alice, out to a stranger", "alice, out to bob"
        ],
        (alice, Direction.IN, None): [
            "bob to alice", "alice to alice", "alice to alice and bob", "bob to alice, twice", "carol to alice and bob"
        ],
        (alice, None, alice): ["alice to alice", "alice to alice and bob"],
        (alice, Direction.IN, alice): ["alice to alice", "alice to alice and bob"],
        (alice, Direction.OUT, alice): ["alice to alice", "alice to alice and bob"],
        (alice, None, bob): [
            "alice to bob", "bob to alice", "alice to alice and bob", "bob to alice, twice", "alice, out to bob"
        ],
        (alice, Direction.OUT, bob): ["alice to bob", "alice to alice and bob", "alice, out to bob"],
        (alice, Direction.IN, bob): ["bob to alice", "bob to alice, twice"],
        (bob, Direction.IN, alice): ["alice to bob", "alice to alice and bob", "alice, out to bob"],
        (bob, None, bob): ["bob, out to bob"],
        (bob, None, carol): ["carol to alice and bob"],
        (bob, Direction.OUT, carol): [],
        (alice, None, stranger): ["alice, out to a stranger"],
        (stranger, None, None): ["alice, out to a stranger"],
        (stranger, Direction.IN, None): ["alice, out to a stranger"],
        (stranger, Direction.IN, alice): ["alice, out to a stranger"],
        (stranger, Direction.OUT, None): [],
        (stranger, None, bob): [],
        (stranger, None, stranger): [],
        (dora, Direction.IN, bob): ["bob, a tip to dora"],
        (dora, None, b"\x01" * 20): [],
        (b"\x01" * 20, None, None): [],
        (b"\x01" * 20, None, dora): [],
    }  # fmt: skip
    with open_index(tmp_path / "index.sqlite", ledger) as (_, reader):
        for (account, direction, counterparty), wanted_names in expected.items():
            wanted = PaymentFilter(account=account, direction=direction, counterparty=counterparty)
            ascending = reader.list_payments(wanted, is_ascending=True)
            assert [names[payment.id] for payment in ascending.items] == wanted_names
            assert reader.list_payments(wanted).items == ascending.items[::-1]
            assert reader.count_payments(wanted) == (len(wanted_names), None)


def test_what_two_paid_each_other_is_sought_on_the_quieter_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = RandomLedger(23, account_count=4)
    busy, quiet, *others = ledger.accounts
    stranger = ledger.strangers[0]
    ledger.list_asset()
    ledger.add_block([ledger.make_deposit(ETHER, place, who, 1000) for place, who in enumerate(ledger.accounts)])
    sought = {
        quiet: ledger.make_payment(busy, 0, [Output(quiet, 1)]),
        stranger: ledger.make_payment(busy, 1, [Output(stranger, 2)], "withdraw"),
    }
    for record in sought.values():
        ledger.add_block([record])
    for nonce in range(20):
        ledger.add_block([ledger.make_payment(busy, 2 + nonce, [Output(others[nonce % 2], 1)])])
        ledger.add_block([ledger.make_payment(others[0], nonce, [Output(busy, 1)])])
    monkeypatch.setattr(payments, "MAX_VISITED", 3)
    with open_index(tmp_path / "index.sqlite", ledger) as (_, reader):
        for other, record in sought.items():
            for direction in (None, Direction.OUT):
                wanted = PaymentFilter(account=busy, direction=direction, counterparty=other)
                for is_ascending in (False, True):
                    page = reader.list_payments(wanted, is_ascending=is_ascending)
                    assert ([payment.id for payment in page.items], page.cursor) == ([record.id], None)
                assert reader.count_payments(wanted) == (1, None)
            assert reader.list_payments(PaymentFilter(account=busy, direction=Direction.IN, counterparty=other)) == (
                Page((), None)
            )
        nobody = PaymentFilter(account=busy, counterparty=b"\x01" * 20)
        assert reader.list_payments(nobody) == Page((), None)


def test_a_side_needs_an_account(reader: IndexReader) -> None:
    for wanted in (PaymentFilter(direction=Direction.IN), PaymentFilter(counterparty=b"\x01" * 20)):
        with pytest.raises(MalformedRequest, match="of which account"):
            reader.list_payments(wanted)
        with pytest.raises(MalformedRequest, match="of which account"):
            reader.count_payments(wanted)


def test_epochs_bound_a_list(history: RandomLedger, reader: IndexReader) -> None:
    for first in range(history.epoch + 2):
        for last in range(history.epoch + 2):
            within = [payment for payment in list_wanted(history, PaymentFilter()) if first <= payment.epoch <= last]
            wanted = PaymentFilter(first_epoch=first, last_epoch=last)
            assert list(reader.list_payments(wanted, limit=1000).items) == within
            assert reader.count_payments(wanted) == (len(within), None)


def test_memos_come_back_as_they_were(history: RandomLedger, reader: IndexReader) -> None:
    seen = set()
    for placed in history.payments:
        found = reader.get_record(placed.record.id)
        assert isinstance(found, IndexedPayment)
        assert found.memo == placed.record.payment.memo
        seen.add(found.memo)
    assert len(seen) > len(MEMOS) / 2


@pytest.mark.parametrize("memo", ["", *MEMOS], ids=ascii)
def test_every_memo_that_is_allowed_is_kept_whole(memo: str, tmp_path: Path) -> None:
    assert len(memo.encode()) <= MAX_MEMO_SIZE
    ledger = RandomLedger(12, account_count=2)
    alice, bob = ledger.accounts
    ledger.list_asset()
    ledger.add_block([ledger.make_deposit(ETHER, 0, alice, 10)])
    signed = ledger.make_payment(alice, 0, [Output(bob, 1)], memo=memo)
    ledger.add_block([signed])
    with open_index(tmp_path / "index.sqlite", ledger) as (_, reader):
        (listed,) = reader.list_payments().items
        assert reader.get_record(signed.id) == reader.get_record_at(2, 0) == listed
        assert listed.memo == memo


def test_deposits_are_listed_both_ways(history: RandomLedger, reader: IndexReader) -> None:
    everything = [describe_deposit(placed) for placed in reversed(history.deposits)]
    assert len(everything) > 50
    for account in (None, *history.accounts, history.strangers[0], b"\x01" * 20):
        expected = [deposit for deposit in everything if account in (None, deposit.account)]
        for limit in (1, 4, 1000):
            for is_ascending in (False, True):
                listed = read_pages(
                    lambda cursor: reader.list_deposits(account, cursor, limit, is_ascending=is_ascending),  # noqa: B023
                    limit,
                )
                assert listed == (expected[::-1] if is_ascending else expected)
        for place, deposit in enumerate(expected):
            cursor = encode_deposit_cursor(deposit)
            older, newer = expected[place + 1 :][:2], expected[:place][-2:][::-1]
            assert list(reader.list_deposits(account, cursor, 2).items) == older
            assert list(reader.list_deposits(account, cursor, 2, is_ascending=True).items) == newer
    for limit in (0, 1001):
        with pytest.raises(MalformedRequest, match="limit"):
            reader.list_deposits(limit=limit)
    with pytest.raises(MalformedRequest, match="cursor"):
        reader.list_deposits(cursor="7")


def test_deposits_of_some_assets_are_listed_over_what_stands_between(
    history: RandomLedger, reader: IndexReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deposits, "MAX_VISITED", 5)
    everything = [describe_deposit(placed) for placed in reversed(history.deposits)]
    unlisted, looks = b"\x02" * 20, set()
    for account in (None, history.accounts[0]):
        for assets in (history.assets[:1], history.assets[1:], (), (unlisted,), (unlisted, history.assets[1])):
            wanted = [
                deposit for deposit in everything if account in (None, deposit.account) and deposit.asset in assets
            ]
            for is_ascending in (False, True):
                listed: list[IndexedDeposit] = []
                cursor = None
                for _ in everything:
                    page = reader.list_deposits(account, cursor, 2, assets=assets, is_ascending=is_ascending)
                    listed, cursor = [*listed, *page.items], page.cursor
                    looks.add(len(page.items))
                    if cursor is None:
                        break
                assert cursor is None and listed == (wanted[::-1] if is_ascending else wanted)
    assert looks == {0, 1, 2}


def test_the_second_of_a_block_is_inside_a_span_that_ends_with_it(history: RandomLedger, reader: IndexReader) -> None:
    for placed in history.payments[::10]:
        second = placed.timestamp // 1000
        within = PaymentFilter(from_s=second, to_s=second)
        assert describe(placed) in reader.list_payments(within, limit=1000).items
        for outside in (PaymentFilter(from_s=second + 1), PaymentFilter(to_s=second - 1)):
            assert describe(placed) not in reader.list_payments(outside, limit=1000).items


def test_pages_go_on_where_they_ended_while_payments_arrive(tmp_path: Path) -> None:
    history = RandomLedger(5)
    history.run(40)
    there = list_wanted(history, PaymentFilter())
    with open_index(tmp_path / "index.sqlite", history) as (writer, reader):

        def read_on(is_ascending: bool) -> list[IndexedPayment]:
            """With a new block between pages, until 60 are in."""
            listed: list[IndexedPayment] = []
            cursor = None
            for _ in range(1000):
                page = reader.list_payments(cursor=cursor, limit=3, is_ascending=is_ascending)
                listed += page.items
                cursor = page.cursor
                if cursor is None:
                    break
                if len(history.headers) < 60:
                    history.add_block()
                    apply(writer, history.entries)
            assert cursor is None
            return listed

        assert read_on(is_ascending=False) == there
        assert read_on(is_ascending=True) == list_wanted(history, PaymentFilter())[::-1]
    assert len(history.payments) > len(there)


@pytest.mark.parametrize("is_ascending", [False, True])
def test_a_rare_thing_is_sought_for_a_bounded_time_and_then_on_the_next_page(
    is_ascending: bool, history: RandomLedger, reader: IndexReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payments, "MAX_VISITED", 3)
    for wanted in (
        PaymentFilter(account=history.accounts[0], kind="tip"),
        PaymentFilter(account=history.accounts[0], counterparty=history.accounts[1]),
        PaymentFilter(reference=history.references[0], kind="withdraw"),
    ):
        listed: list[IndexedPayment] = []
        cursor, short_count = None, 0
        for _ in history.records:
            page = reader.list_payments(wanted, cursor, limit=2, is_ascending=is_ascending)
            listed += page.items
            cursor = page.cursor
            if cursor is None:
                break
            short_count += len(page.items) < 2
        assert cursor is None
        assert listed == list_wanted(history, wanted)[:: -1 if is_ascending else 1]
        assert short_count > 0
