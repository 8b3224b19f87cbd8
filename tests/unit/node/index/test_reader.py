"""Everything that can be asked, against the same question put to plain lists."""

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from chain.account import AccountLeaf
from chain.block import DEPOSIT, PAYMENT, Deposit, get_record_type
from chain.errors import BrokenInvariant, MalformedRequest, UnknownKind
from chain.kinds import WITHDRAW
from chain.merkle import ListTree, SumTree
from chain.payment import Output, SignedPayment
from chain.primitives import ETHER, ZERO_HASH, Address, Hash
from chain.statement import (
    Credit,
    Debit,
    Withdrawal,
    compute_credits_root,
    compute_debits_root,
    hash_withdrawal,
)
from node.index import IndexedPayment, IndexReader, IndexWriter, Page, PaymentFilter, StatementEntry, payments
from node.index.records import IndexedBlock, IndexedEpoch, WithdrawalPlace
from tests.unit.node.index.history import PlacedRecord, RandomLedger, apply

Item = TypeVar("Item")


def read_pages(get_page: Callable[[str | None], Page[Item]], limit: int) -> list[Item]:
    """All items, page after page; every page but the last is full."""
    items: list[Item] = []
    cursor = None
    for _ in range(2000):
        page = get_page(cursor)
        assert len(page.items) == limit or (page.cursor is None and len(page.items) < limit)
        items += page.items
        cursor = page.cursor
        if cursor is None:
            return items
    raise AssertionError(f"pages without end, the last at {cursor}")


# --- payments


def describe(placed: PlacedRecord) -> IndexedPayment:
    assert isinstance(placed.record, SignedPayment)
    payment = placed.record.payment
    return IndexedPayment(
        id=placed.record.id,
        block=placed.block,
        record=placed.index,
        timestamp=placed.timestamp,
        epoch=placed.epoch,
        kind=payment.kind,
        asset=payment.asset,
        payer=payment.payer,
        nonce=payment.nonce,
        total=payment.total,
        outputs=payment.outputs,
        reference=payment.reference,
    )


def is_wanted(placed: PlacedRecord, wanted: PaymentFilter) -> bool:
    assert isinstance(placed.record, SignedPayment)
    payment = placed.record.payment
    second = placed.timestamp // 1000
    return (
        wanted.account in (None, payment.payer, *[output.to for output in payment.outputs])
        and wanted.asset in (None, payment.asset)
        and wanted.kind in (None, payment.kind)
        and wanted.reference in (None, payment.reference)
        and (wanted.from_s is None or second >= wanted.from_s)
        and (wanted.to_s is None or second <= wanted.to_s)
    )


def make_filter(history: RandomLedger, rng: random.Random) -> PaymentFilter:
    def sometimes(choices: Any) -> Any:
        return rng.choice(choices) if rng.random() < 0.4 else None

    seconds = [header.timestamp // 1000 + step for header in history.headers for step in (-1, 0, 1)]
    return PaymentFilter(
        account=sometimes([*history.accounts, *history.strangers, b"\x01" * 20]),
        asset=sometimes([*history.assets, b"\x02" * 20]),
        kind=sometimes(["transfer", "tip", "withdraw"]),
        reference=sometimes([*history.references, b"\x03" * 32]),
        from_s=sometimes([0, *seconds, 2**64 - 1]),
        to_s=sometimes([0, *seconds, 2**64 - 1]),
    )


def test_payments_are_listed_newest_first_under_every_filter(history: RandomLedger, reader: IndexReader) -> None:
    rng = random.Random(3)
    found = 0
    for _ in range(400):
        wanted, limit = make_filter(history, rng), rng.choice((1, 2, 7, 100))
        listed = read_pages(lambda cursor: reader.list_payments(wanted, cursor, limit), limit)  # noqa: B023
        assert listed == [describe(placed) for placed in reversed(history.payments) if is_wanted(placed, wanted)], (
            wanted
        )
        found += len(listed)
    assert found > 1000


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
    writer = IndexWriter(tmp_path / "index.sqlite", history.parameters.genesis_hash)
    apply(writer, history.entries)
    reader = IndexReader(tmp_path / "index.sqlite")
    there = [describe(placed) for placed in reversed(history.payments)]
    listed: list[IndexedPayment] = []
    cursor = None
    for _ in there:
        page = reader.list_payments(cursor=cursor, limit=3)
        listed += page.items
        cursor = page.cursor
        if cursor is None:
            break
        history.add_block()
        apply(writer, history.entries)
    assert listed == there
    assert len(history.payments) > len(there)
    writer.close()
    reader.close()


def test_a_rare_thing_is_sought_for_a_bounded_time_and_then_on_the_next_page(
    history: RandomLedger, reader: IndexReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payments, "MAX_VISITED", 3)
    wanted = PaymentFilter(account=history.accounts[0], kind="tip")
    listed: list[IndexedPayment] = []
    cursor, short_count = None, 0
    for _ in history.records:
        page = reader.list_payments(wanted, cursor, limit=2)
        listed += page.items
        cursor = page.cursor
        if cursor is None:
            break
        short_count += len(page.items) < 2
    assert listed == [describe(placed) for placed in reversed(history.payments) if is_wanted(placed, wanted)]
    assert short_count > 0


def test_what_is_no_sound_question_is_refused(reader: IndexReader) -> None:
    for limit in (0, -1, 1001):
        with pytest.raises(MalformedRequest, match="limit"):
            reader.list_payments(limit=limit)
    for cursor in (
        "",
        "0" * 15,
        "0" * 17,
        "G" * 16,
        "8" + "0" * 15,
        "A" * 16,
        " " + "0" * 15,
        "٠" * 16,
        "0" * 16 + "\n",
    ):
        with pytest.raises(MalformedRequest, match="cursor"):
            reader.list_payments(cursor=cursor)
        for list_page in (reader.list_entries, reader.list_debits, reader.list_credits):
            with pytest.raises(MalformedRequest, match="cursor"):
                list_page(b"\x01" * 20, ETHER, 1, cursor)
    with pytest.raises(UnknownKind):
        reader.list_payments(PaymentFilter(kind="gift"))
    with pytest.raises(MalformedRequest, match="reference"):
        reader.list_payments(PaymentFilter(reference=ZERO_HASH))
    for limit in (0, 65_537):
        with pytest.raises(MalformedRequest, match="limit"):
            reader.list_block_hashes(1, limit=limit)
        with pytest.raises(MalformedRequest, match="limit"):
            reader.list_withdrawals(1, ETHER, limit=limit)


def test_numbers_that_no_block_or_epoch_can_have_find_nothing(history: RandomLedger, reader: IndexReader) -> None:
    for number in (-1, 0, 2**63 - 1, 2**63, 2**64 - 1, 2**300):
        assert reader.get_block(number) is None
        assert reader.get_epoch(number) is None
        assert reader.get_seal(number) is None
        assert reader.get_epoch_of_block(number) is None
        assert reader.list_block_hashes(number) == []
        assert reader.list_withdrawals(number, ETHER) == []
        assert reader.get_statement_totals(history.accounts[0], ETHER, number) is None
        assert reader.list_entries(history.accounts[0], ETHER, number) == Page((), None)
    assert reader.list_blocks(before=-5) == reader.list_blocks(before=0) == reader.list_blocks(before=1) == []
    assert reader.list_block_hashes(1, start=2**64) == []
    assert reader.list_block_hashes(2, start=-1) == reader.list_block_hashes(2)


# --- records, blocks, epochs


def test_every_record_is_found_by_its_id(history: RandomLedger, reader: IndexReader) -> None:
    for placed in history.records:
        assert reader.locate(placed.record.id) == (placed.block, placed.index)
        if isinstance(placed.record, SignedPayment):
            assert reader.get_payment(placed.record.id) == describe(placed)
        else:
            assert reader.get_payment(placed.record.id) is None
    assert reader.locate(history.records[0].record.id[:31] + b"\0") is None
    assert reader.get_payment(b"\x09" * 32) is None


def test_blocks(history: RandomLedger, reader: IndexReader) -> None:
    epochs = {placed.block: placed.epoch for placed in history.records}
    blocks = [
        IndexedBlock(header.number, block_hash, header.timestamp, header.record_count, epochs[header.number])
        for header, block_hash in zip(history.headers, history.hashes, strict=True)
    ]
    for block in blocks:
        assert reader.get_block(block.number) == reader.find_block(block.hash) == block
        assert reader.get_epoch_of_block(block.number) == block.epoch
    assert reader.find_block(blocks[0].hash[:31] + b"\0") is None
    assert reader.list_blocks(limit=1000) == blocks[::-1]
    assert reader.list_blocks(before=20, limit=4) == blocks[15:19][::-1]


def test_epochs(history: RandomLedger, reader: IndexReader) -> None:
    listed = {epoch.number: epoch for epoch in reader.list_epochs(limit=1000)}
    assert list(listed) == list(range(history.epoch, 0, -1))
    assert list(listed.values())[3:5] == reader.list_epochs(before=history.epoch - 2, limit=2)
    for number, epoch in listed.items():
        assert reader.get_epoch(number) == epoch
        records = [placed for placed in history.records if placed.epoch == number]
        blocks = sorted({placed.block for placed in records})
        assert epoch.record_count == len(records)
        assert epoch.payment_count == len([1 for placed in records if isinstance(placed.record, SignedPayment)])
        assert list(range(epoch.first_block, epoch.last_block + 1)) == blocks
        assert epoch.is_sealed == (number in history.sealed)
        if number in history.sealed:
            assert epoch.cut_at == history.sealed[number][0].commitment.cut_at
    assert listed[history.epoch].cut_at is None
    assert any(epoch.last_block < epoch.first_block for epoch in listed.values())


def test_seals(history: RandomLedger, reader: IndexReader) -> None:
    assert reader.get_sealed_epoch() == max(history.sealed)
    for number in range(1, history.epoch + 1):
        seal = reader.get_seal(number)
        if number in history.sealed:
            assert seal is not None
            assert (seal.commitment, seal.signature) == (
                history.sealed[number][0].commitment,
                history.sealed[number][1],
            )
        else:
            assert seal is None


def test_block_hashes_are_the_leaves_that_the_commitment_was_made_of(
    history: RandomLedger, reader: IndexReader
) -> None:
    for number, (sealed, _) in history.sealed.items():
        hashes = reader.list_block_hashes(number)
        assert ListTree(hashes).root == sealed.commitment.blocks_root
        assert reader.list_block_hashes(number, start=2, limit=3) == hashes[2:5]


def test_counters(history: RandomLedger, reader: IndexReader) -> None:
    counters = reader.get_counters()
    assert counters.height == reader.get_height() == len(history.entries)
    assert (counters.block, counters.timestamp) == (len(history.headers), history.headers[-1].timestamp)
    assert (counters.epoch, counters.sealed_epoch) == (history.epoch, max(history.sealed))
    assert (counters.record_count, counters.payment_count) == (len(history.records), len(history.payments))
    state = history.ledger.state
    assert counters.account_count == len({account for balances in state.balances.values() for account in balances})
    assert [line.asset for line in counters.assets] == list(history.assets)
    for line in counters.assets:
        made = [placed.record.payment for placed in history.payments if placed.record.payment.asset == line.asset]
        withdrawn = [payment.total for payment in made if payment.kind == WITHDRAW]
        deposited = [placed.record.amount for placed in history.deposits if placed.record.asset == line.asset]
        assert (line.payment_count, line.volume) == (len(made), sum([payment.total for payment in made]))
        assert (line.withdrawal_count, line.withdrawn) == (len(withdrawn), sum(withdrawn))
        assert (line.deposit_count, line.deposited) == (len(deposited), sum(deposited))
        assert line.deposited - line.withdrawn == state.totals[line.asset]


# --- statements


def make_entries(history: RandomLedger, account: Address, asset: Address) -> Iterator[tuple[int, StatementEntry]]:
    """(epoch, entry) of all entries of an account, by going through everything."""
    balance = 0
    for placed in history.records:
        record = placed.record
        entries: list[tuple[bool, int, int, int]] = []
        if isinstance(record, Deposit):
            if (record.account, record.asset) == (account, asset):
                entries.append((True, 0, record.index, record.amount))
        elif record.payment.asset == asset:
            if record.payment.payer == account:
                entries.append((False, 0, record.payment.nonce, record.payment.total))
            if record.payment.kind != WITHDRAW:
                for index, output in enumerate(record.payment.outputs):
                    if output.to == account:
                        entries.append((True, index, record.payment.nonce, output.amount))
        for is_credit, output_index, number, amount in entries:
            balance += amount if is_credit else -amount
            yield (
                placed.epoch,
                StatementEntry(
                    is_credit=is_credit,
                    type=get_record_type(record),
                    block=placed.block,
                    record=placed.index,
                    output=output_index,
                    number=number,
                    id=record.id,
                    amount=amount,
                    balance=balance,
                ),
            )


def test_statements_hold_every_entry_with_the_balance_after_it(history: RandomLedger, reader: IndexReader) -> None:
    for account in history.accounts:
        for asset in history.assets:
            entries = list(make_entries(history, account, asset))
            closing = 0
            for epoch in range(1, history.epoch + 1):
                expected = [entry for number, entry in entries if number == epoch]
                for limit in (1, 3, 1000):
                    listed = read_pages(
                        lambda cursor: reader.list_entries(account, asset, epoch, cursor, limit),  # noqa: B023
                        limit,
                    )
                    assert listed == expected
                totals = reader.get_statement_totals(account, asset, epoch)
                assert totals is not None
                assert totals.opening == closing
                assert totals.debits == sum([entry.amount for entry in expected if not entry.is_credit])
                assert totals.credits == sum([entry.amount for entry in expected if entry.is_credit])
                closing = totals.closing
            assert closing == history.ledger.state.get_balance(asset, account)


def test_statements_lead_to_the_roots_of_the_account_leaves(history: RandomLedger, reader: IndexReader) -> None:
    leaves: list[tuple[int, AccountLeaf]] = [
        (epoch, leaf) for epoch in history.sealed for leaf in history.get_leaves(epoch)
    ]
    assert len(leaves) > 50
    for epoch, leaf in leaves:
        totals = reader.get_statement_totals(leaf.owner, leaf.asset, epoch)
        assert totals is not None
        assert (totals.opening, totals.debits, totals.credits) == (leaf.opening, leaf.debits, leaf.credits)
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


# --- withdrawals


def test_withdrawals_are_the_leaves_that_the_commitment_was_made_of(history: RandomLedger, reader: IndexReader) -> None:
    count = 0
    for epoch in history.sealed:
        for line in history.get_lines(epoch):
            withdrawals = reader.list_withdrawals(epoch, line.asset)
            tree = SumTree([(hash_withdrawal(withdrawal), withdrawal.amount) for withdrawal in withdrawals])
            assert (tree.root, len(withdrawals)) == (line.withdrawals, line.withdrawal_count)
            assert reader.list_withdrawals(epoch, line.asset, start=1, limit=2) == withdrawals[1:3]
            for index, withdrawal in enumerate(withdrawals):
                assert reader.find_withdrawal(withdrawal.id) == WithdrawalPlace(epoch, line.asset, index)
            count += len(withdrawals)
    assert count > 10
    open_epoch = [placed.record for placed in history.payments if placed.epoch == history.epoch]
    for asset in history.assets:
        assert reader.list_withdrawals(history.epoch, asset) == [
            Withdrawal(record.id, record.payment.outputs[0].to, record.payment.total)
            for record in open_epoch
            if record.payment.kind == WITHDRAW and record.payment.asset == asset
        ]


def test_only_withdrawals_have_a_place_among_them(history: RandomLedger, reader: IndexReader) -> None:
    for placed in history.records:
        is_withdrawal = isinstance(placed.record, SignedPayment) and placed.record.payment.kind == WITHDRAW
        assert (reader.find_withdrawal(placed.record.id) is not None) == is_withdrawal
    assert reader.find_withdrawal(b"\x09" * 32) is None
    assert reader.list_withdrawals(1, b"\x09" * 20) == []


# --- the file


def test_ids_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    """Nobody finds two such ids by chance, but their first bytes are no proof."""
    history = RandomLedger(8, account_count=2)
    alice, bob = history.accounts
    history.list_asset()
    history.add_block([history.make_deposit(ETHER, 0, alice, 100)])
    twins: list[Hash] = []
    records = []
    for nonce in range(3):
        signed = history.make_payment(alice, nonce, [Output(bob, 1)])
        twins.append(b"\xff" * 8 + signed.id[8:])
        records.append(SignedPayment(twins[-1], signed.payment, signed.signature))
    history.add_block(list(records))
    writer = IndexWriter(tmp_path / "index.sqlite", history.parameters.genesis_hash)
    apply(writer, history.entries)
    reader = IndexReader(tmp_path / "index.sqlite")
    assert [reader.locate(twin) for twin in twins] == [(2, 0), (2, 1), (2, 2)]
    assert reader.locate(b"\xff" * 32) is None
    writer.close()
    reader.close()


def test_a_reader_needs_a_file_of_this_version(tmp_path: Path, history: RandomLedger) -> None:
    path = tmp_path / "index ?#%.sqlite"
    with pytest.raises(sqlite3.OperationalError):
        IndexReader(path)
    assert not path.exists()
    IndexWriter(path, history.parameters.genesis_hash).close()
    IndexReader(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(BrokenInvariant):
        IndexReader(path)


def test_a_reader_cannot_write(reader: IndexReader) -> None:
    with reader._snapshot() as db, pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("UPDATE progress SET height = 0")


def test_threads_see_one_state_each_while_the_index_grows(tmp_path: Path) -> None:
    history = RandomLedger(9)
    history.run(80)
    path = tmp_path / "index.sqlite"
    writer = IndexWriter(path, history.parameters.genesis_hash)
    apply(writer, history.entries[:20])
    reader = IndexReader(path)
    is_done = threading.Event()
    problems: list[str] = []

    def watch() -> None:
        height = 0
        while True:
            is_last = is_done.is_set()
            seen = reader.get_counters()
            if seen.height < height or seen.payment_count != sum([line.payment_count for line in seen.assets]):
                problems.append(f"{seen}")
            height = seen.height
            listed = read_pages(lambda cursor: reader.list_payments(cursor=cursor, limit=50), 50)
            if len(listed) < seen.payment_count or len({payment.id for payment in listed}) != len(listed):
                problems.append(f"{len(listed)} payments listed of {seen.payment_count}")
            if is_last:
                return

    threads = [threading.Thread(target=watch) for _ in range(2)]
    for thread in threads:
        thread.start()
    apply(writer, history.entries, chunk_size=1)
    is_done.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert reader.get_height() == len(history.entries)
    writer.close()
    reader.close()


SMALL_TABLES = {"assets", "progress"}
"""At most 32 rows, and one: read as a whole."""


SEARCHES = {
    "FROM payments WHERE substr(id": "payments USING INDEX payments_by_id (<expr>=?)",
    "FROM deposits WHERE substr(id": "deposits USING INDEX deposits_by_id (<expr>=?)",
    "FROM blocks WHERE substr(hash": "blocks USING INDEX blocks_by_hash (<expr>=?)",
    "FROM blocks WHERE timestamp": "blocks USING COVERING INDEX blocks_by_timestamp (timestamp>?)",
    "FROM blocks WHERE number": "blocks USING INTEGER PRIMARY KEY (rowid",
    "FROM epochs WHERE number": "epochs USING INTEGER PRIMARY KEY (rowid",
    "FROM accounts WHERE id": "accounts USING INTEGER PRIMARY KEY (rowid=?)",
    "FROM accounts WHERE address": "accounts USING COVERING INDEX sqlite_autoindex_accounts_1 (address=?)",
    "FROM payments WHERE place": "payments USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    "FROM payments WHERE kind": (
        "payments USING COVERING INDEX payments_by_kind (kind=? AND asset=? AND rowid>? AND rowid<?)"
    ),
    "FROM payments WHERE substr(reference": (
        "payments USING INDEX payments_by_reference (<expr>=? AND rowid>? AND rowid<?)"
    ),
    "FROM payments p CROSS JOIN blocks": "p USING INTEGER PRIMARY KEY (rowid=?)",
    "FROM debits WHERE holding": "debits USING PRIMARY KEY (holding=? AND place",
    "FROM credits WHERE holding": "credits USING PRIMARY KEY (holding=? AND ",
    "FROM debits d": "d USING PRIMARY KEY (holding=? AND place>? AND place<?)",
    "FROM credits c": "c USING PRIMARY KEY (holding=? AND ",
    "FROM outputs": "outputs USING PRIMARY KEY (place=?)",
    "FROM withdrawals WHERE place": "withdrawals USING INTEGER PRIMARY KEY (rowid=?)",
    "FROM withdrawals WHERE recipient": (
        "withdrawals USING COVERING INDEX withdrawals_by_recipient (recipient=? AND asset=? AND rowid>? AND rowid<?)"
    ),
    "FROM withdrawals w": "w USING INDEX withdrawals_by_position (epoch=? AND asset=? AND position>?)",
}
"""What is looked for → how SQLite must find it, so that a range of places never stands in for an index."""


def test_every_look_up_is_a_search_in_an_index(history: RandomLedger, reader: IndexReader) -> None:
    """No statement that the reader issues walks through a table, or sorts."""
    statements: set[str] = set()
    with reader._snapshot() as db:
        pass
    db.set_trace_callback(statements.add)
    account, asset, placed = history.accounts[0], history.assets[1], history.payments[0]
    rng = random.Random(4)
    for _ in range(300):
        reader.list_payments(make_filter(history, rng), limit=5)
    reader.list_payments()
    page = reader.list_payments(limit=1)
    reader.list_payments(cursor=page.cursor)
    reader.get_height()
    reader.get_counters()
    reader.locate(placed.record.id)
    reader.locate(b"\x09" * 32)
    reader.get_payment(placed.record.id)
    reader.get_block(1)
    reader.find_block(history.hashes[0])
    reader.list_blocks()
    reader.get_epoch(1)
    reader.get_epoch_of_block(1)
    reader.list_epochs()
    reader.list_block_hashes(1)
    reader.get_seal(1)
    reader.get_sealed_epoch()
    for epoch in (1, 2, 3, history.epoch):
        reader.get_statement_totals(account, asset, epoch)
        for list_page in (reader.list_entries, reader.list_debits, reader.list_credits):
            read_pages(lambda cursor: list_page(account, asset, epoch, cursor, 1), 1)  # noqa: B023
        for withdrawal in reader.list_withdrawals(epoch, asset):
            reader.find_withdrawal(withdrawal.id)
    db.set_trace_callback(None)
    selects = {statement for statement in statements if statement not in ("BEGIN", "COMMIT")}
    unseen = set(SEARCHES)
    for select in selects:
        steps = [step for _, _, _, step in db.execute(f"EXPLAIN QUERY PLAN {select}")]
        for step in steps:
            is_small = step in {f"SCAN {table}" for table in SMALL_TABLES}
            assert step.startswith("SEARCH") or is_small, f"{select}: {step}"
        if not any(f"FROM {table}" in select for table in SMALL_TABLES):
            found = [fragment for fragment in SEARCHES if fragment in select]
            assert len(found) == 1, select
            assert steps[0].startswith(f"SEARCH {SEARCHES[found[0]]}"), f"{select}: {steps}"
            unseen.discard(found[0])
    assert unseen == set()


def test_the_kinds_of_records_are_those_of_the_rules(history: RandomLedger, reader: IndexReader) -> None:
    types = {
        entry.type
        for account in history.accounts
        for epoch in range(1, history.epoch + 1)
        for entry in reader.list_entries(account, ETHER, epoch, limit=1000).items
    }
    assert types == {PAYMENT, DEPOSIT}


def test_an_index_without_blocks_answers(tmp_path: Path, history: RandomLedger) -> None:
    path = tmp_path / "index.sqlite"
    writer = IndexWriter(path, history.parameters.genesis_hash)
    reader = IndexReader(path)
    assert reader.get_height() == 0
    assert reader.list_payments() == Page((), None)
    assert reader.list_blocks() == []
    assert reader.list_epochs() == [IndexedEpoch(1, 1, 0, 0, 0, None, False)]
    assert reader.get_counters().assets == ()
    writer.close()
    reader.close()
