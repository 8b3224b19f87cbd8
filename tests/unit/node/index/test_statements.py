"""Statements and holdings: entries, sums and counts, against those found by going through everything."""

import itertools
import random
from pathlib import Path

import pytest

from chain.account import AccountLeaf
from chain.errors import MalformedRequest
from chain.payment import Output
from chain.primitives import ETHER, Address
from chain.statement import Credit, Debit, compute_credits_root, compute_debits_root
from node.index import Holding, IndexReader, IndexWriter, Page, Period, StatementEntry, StatementTotals, TimeSpan
from tests.unit.node.index.history import RandomLedger, apply
from tests.unit.node.index.oracle import is_within, make_entries, make_span, open_index, read_pages


def check_statement(
    reader: IndexReader,
    account: Address,
    asset: Address,
    period: Period,
    before: list[StatementEntry],
    expected: list[StatementEntry],
) -> StatementTotals:
    """`before`: all entries up to the period."""
    totals = reader.get_statement_totals(account, asset, period)
    debits = [entry.amount for entry in expected if not entry.is_credit]
    credits = [entry.amount for entry in expected if entry.is_credit]
    assert totals == StatementTotals(
        opening=before[-1].balance if before else 0,
        debits=sum(debits),
        credits=sum(credits),
        debit_count=len(debits),
        credit_count=len(credits),
    )
    assert totals.closing == (expected[-1].balance if expected else totals.opening)
    for limit in (1, 3, 1000):
        assert (
            read_pages(lambda cursor: reader.list_entries(account, asset, period, cursor, limit), limit)  # noqa: B023
            == expected
        )
    return totals


def test_statements_of_epochs_hold_every_entry_with_the_balance_after_it(
    history: RandomLedger, reader: IndexReader
) -> None:
    for account in history.accounts:
        for asset in history.assets:
            entries = list(make_entries(history, account, asset))
            for epoch in range(1, history.epoch + 1):
                before = [entry for placed, entry in entries if placed.epoch < epoch]
                expected = [entry for placed, entry in entries if placed.epoch == epoch]
                totals = check_statement(reader, account, asset, epoch, before, expected)
            assert totals.closing == history.ledger.state.get_balance(asset, account)


def test_statements_of_spans_of_time_hold_every_entry_with_the_balance_after_it(
    history: RandomLedger, reader: IndexReader
) -> None:
    rng = random.Random(14)
    for account in history.accounts:
        for asset in history.assets:
            entries = list(make_entries(history, account, asset))
            for span in (TimeSpan(), *[make_span(history, rng) for _ in range(20)]):
                before = (
                    []
                    if span.from_s is None
                    else [entry for placed, entry in entries if placed.timestamp // 1000 < span.from_s]
                )
                expected = [entry for placed, entry in entries if is_within(placed.timestamp, span)]
                check_statement(reader, account, asset, span, before, expected)


def test_statements_are_read_backwards_in_the_same_pages(history: RandomLedger, reader: IndexReader) -> None:
    """From a page's cursor to that of the page before it, down to the first, whichever page one begins at."""
    rng = random.Random(15)
    periods: list[Period] = [TimeSpan(), *range(1, history.epoch + 1), *[make_span(history, rng) for _ in range(3)]]
    step_count = 0
    for account in history.accounts:
        for asset in history.assets:
            for period in periods:
                for limit in (1, 3, 20):
                    cursors: list[str | None] = [None]
                    while cursors[-1] is not None or len(cursors) == 1:
                        cursors.append(reader.list_entries(account, asset, period, cursors[-1], limit).cursor)
                    cursors.pop()
                    for before, cursor in itertools.pairwise(cursors):
                        assert cursor is not None
                        assert reader.find_entries_before(account, asset, period, cursor, limit) == before
                        step_count += 1
                    past = "7" + "f" * 15
                    entries = read_pages(
                        lambda cursor: reader.list_entries(account, asset, period, cursor, limit),  # noqa: B023
                        limit,
                    )
                    last = reader.find_entries_before(account, asset, period, past + past, limit)
                    assert list(reader.list_entries(account, asset, period, last, limit).items) == entries[-limit:]
                    nothing = "0" * 32
                    assert reader.find_entries_before(account, asset, period, nothing, limit) is None
    assert step_count > 1000


def test_a_page_backwards_is_asked_for_soundly(history: RandomLedger, reader: IndexReader) -> None:
    account, cursor = history.accounts[0], "0" * 32
    assert reader.find_entries_before(account, ETHER, 99, cursor) is None
    assert reader.find_entries_before(b"\x01" * 20, ETHER, 1, cursor) is None
    for limit in (0, 1001):
        with pytest.raises(MalformedRequest, match="limit"):
            reader.find_entries_before(account, ETHER, 1, cursor, limit)
    with pytest.raises(MalformedRequest, match="cursor"):
        reader.find_entries_before(account, ETHER, 1, "0" * 16)


def test_a_cursor_beyond_the_period_ends_it(history: RandomLedger, reader: IndexReader) -> None:
    past = ("7" + "f" * 15) * 2
    for period in (1, history.epoch, TimeSpan(), TimeSpan(0, 2**64)):
        assert reader.list_entries(history.accounts[0], ETHER, period, past) == Page((), None)
    for list_page in (reader.list_debits, reader.list_credits):
        assert list_page(history.accounts[0], ETHER, 1, past) == Page((), None)


def test_an_account_or_asset_that_is_not_known_has_nothing(history: RandomLedger, reader: IndexReader) -> None:
    for account, asset in ((b"\x01" * 20, ETHER), (history.strangers[0], ETHER), (history.accounts[0], b"\x02" * 20)):
        for period in (1, TimeSpan()):
            assert reader.get_statement_totals(account, asset, period) == StatementTotals(0, 0, 0, 0, 0)
            assert reader.list_entries(account, asset, period) == Page((), None)
    assert reader.get_statement_totals(history.accounts[0], ETHER, history.epoch + 1) is None


def test_holdings_are_what_the_statements_end_with(history: RandomLedger, reader: IndexReader) -> None:
    for account in history.accounts:
        holdings = []
        for asset in history.assets:
            entries = [entry for _, entry in make_entries(history, account, asset)]
            debits = [entry.amount for entry in entries if not entry.is_credit]
            credits = [entry.amount for entry in entries if entry.is_credit]
            if entries:
                holdings.append(Holding(asset, sum(debits), sum(credits), len(debits), len(credits)))
                assert holdings[-1].balance == history.ledger.state.get_balance(asset, account)
        assert reader.get_holdings(account) == holdings
    assert any(len(reader.get_holdings(account)) == 2 for account in history.accounts)
    assert reader.get_holdings(history.strangers[0]) == reader.get_holdings(b"\x01" * 20) == []


def test_a_holding_is_listed_from_its_first_entry(tmp_path: Path) -> None:
    ledger = RandomLedger(17, account_count=3)
    alice, bob, carol = ledger.accounts
    ledger.list_asset()
    ledger.list_asset()
    ledger.add_block([ledger.make_deposit(ledger.assets[1], 0, alice, 10)])
    ledger.add_block([ledger.make_payment(alice, 0, [Output(bob, 4), Output(bob, 6)], asset=ledger.assets[1])])
    with open_index(tmp_path / "index.sqlite", ledger) as (_, reader):
        assert reader.get_holdings(alice) == [Holding(ledger.assets[1], 10, 10, 1, 1)]
        assert reader.get_holdings(bob) == [Holding(ledger.assets[1], 0, 10, 0, 2)]
        assert reader.get_holdings(carol) == []


def test_statements_lead_to_the_roots_of_the_account_leaves(history: RandomLedger, reader: IndexReader) -> None:
    leaves: list[tuple[int, AccountLeaf]] = [
        (epoch, leaf) for epoch in history.sealed for leaf in history.get_leaves(epoch)
    ]
    assert len(leaves) > 50
    for epoch, leaf in leaves:
        totals = reader.get_statement_totals(leaf.owner, leaf.asset, epoch)
        assert totals is not None
        assert (totals.opening, totals.debits, totals.credits) == (leaf.opening, leaf.debits, leaf.credits)
        assert (totals.debit_count, totals.credit_count) == (leaf.debit_count, leaf.credit_count)
        for limit in (1, 2, 1000):
            debits: list[Debit] = read_pages(
                lambda cursor: reader.list_debits(leaf.owner, leaf.asset, epoch, cursor, limit),  # noqa: B023
                limit,
            )
            credits: list[Credit] = read_pages(
                lambda cursor: reader.list_credits(leaf.owner, leaf.asset, epoch, cursor, limit),  # noqa: B023
                limit,
            )
            assert compute_debits_root(debits) == (leaf.debits_root, leaf.debits)
            assert compute_credits_root(credits) == (leaf.credits_root, leaf.credits)
            assert (len(debits), len(credits)) == (leaf.debit_count, leaf.credit_count)


def test_debits_come_by_nonce_however_the_window_was_used(tmp_path: Path) -> None:
    history = RandomLedger(6, account_count=3)
    alice, bob, carol = history.accounts
    history.list_asset()
    history.add_block([history.make_deposit(ETHER, 0, alice, 10**6)])
    nonces: list[int] = []
    while len(nonces) < 900:
        window = history.ledger.state.get_nonces(alice)
        free = [base for base in range(window.base, window.limit) if not window.used >> base - window.base & 1]
        # The far end first, then anything, and the base late: as disordered as the window allows.
        choice = free[-1] if history.random.random() < 0.3 else history.random.choice(free)
        nonce = free[0] if history.random.random() < 0.2 else choice
        nonces.append(nonce)
        history.add_block(
            [
                history.make_payment(alice, nonce, [Output(bob, 1)]),
                history.make_payment(bob, len(nonces) - 1, [Output(carol, 1)]),
            ]
        )
    history.cut()
    writer = IndexWriter(tmp_path / "index.sqlite", history.parameters.genesis_hash)
    apply(writer, history.entries)
    reader = IndexReader(tmp_path / "index.sqlite")
    assert nonces != sorted(nonces)
    for limit in (1, 10, 255, 1000):
        debits = read_pages(lambda cursor: reader.list_debits(alice, ETHER, 1, cursor, limit), limit)  # noqa: B023
        assert [debit.number for debit in debits] == sorted(nonces)
    writer.close()
    reader.close()


def test_sums_outgrow_128_bits_and_stay_exact(tmp_path: Path) -> None:
    """A total never does, but the same money may go round for ever."""
    history = RandomLedger(7, account_count=2)
    alice, bob = history.accounts
    history.list_asset()
    amount = 2**127 - 1
    history.add_block([history.make_deposit(ETHER, 0, alice, amount)])
    for nonce in range(5):
        history.add_block(
            [
                history.make_payment(alice, nonce, [Output(bob, amount)]),
                history.make_payment(bob, nonce, [Output(alice, amount)]),
            ]
        )
        history.cut()
    writer = IndexWriter(tmp_path / "index.sqlite", history.parameters.genesis_hash)
    apply(writer, history.entries)
    reader = IndexReader(tmp_path / "index.sqlite")
    totals = reader.get_statement_totals(alice, ETHER, 5)
    assert totals is not None
    assert (totals.opening, totals.debits, totals.credits, totals.closing) == (amount,) * 4
    assert [entry.balance for entry in reader.list_entries(alice, ETHER, 5).items] == [0, amount]
    assert [credit.amount for credit in reader.list_credits(bob, ETHER, 5).items] == [amount]
    assert reader.get_counters().assets[0].volume == 10 * amount
    writer.close()
    reader.close()
