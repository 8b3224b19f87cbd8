"""Everything that can be asked, against the same question put to plain lists."""

import itertools
import random
import re
import sqlite3
import threading
from pathlib import Path

import pytest

from chain.block import DEPOSIT, PAYMENT, Deposit
from chain.errors import BrokenInvariant, MalformedRequest, UnknownKind
from chain.instruction import Instruction, SignedInstruction
from chain.kinds import WITHDRAW
from chain.merkle import ListTree, SumTree
from chain.payment import Output, SignedPayment
from chain.primitives import ETHER, ZERO_HASH, Address, Hash
from chain.statement import Withdrawal, hash_withdrawal
from node.index import (
    ACTIVITY_LENGTHS,
    Activity,
    AssetCounters,
    FileFilter,
    IndexedBlock,
    IndexedEpoch,
    IndexReader,
    IndexWriter,
    Page,
    PaymentFilter,
    TimeSpan,
    WithdrawalPlace,
)
from tests.unit.node.index.exchange import RandomExchange
from tests.unit.node.index.history import PlacedRecord, RandomLedger, apply
from tests.unit.node.index.oracle import describe_record, make_filter, make_span, open_index, read_pages


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
        assert reader.find_entries_before(history.accounts[0], ETHER, number, "0" * 32) is None
    assert reader.list_blocks(before=-5) == reader.list_blocks(before=0) == reader.list_blocks(before=1) == []
    assert reader.list_block_hashes(1, start=2**64) == []
    assert reader.list_block_hashes(2, start=-1) == reader.list_block_hashes(2)


# --- records, blocks, epochs


def test_every_record_is_found_by_its_id(history: RandomLedger, reader: IndexReader) -> None:
    for placed in history.records:
        assert reader.locate(placed.record.id) == (placed.block, placed.index)
        found = describe_record(placed)
        assert reader.get_record(placed.record.id) == reader.get_record_at(placed.block, placed.index) == found
    assert reader.locate(history.records[0].record.id[:31] + b"\0") is None
    assert reader.get_record(history.records[0].record.id[:31] + b"\0") is None
    assert reader.get_record(b"\x09" * 32) is None


def test_no_record_stands_where_none_was_placed(history: RandomLedger, reader: IndexReader) -> None:
    for header in history.headers:
        for record in (-1, header.record_count, 2**20 - 1, 2**20, 2**20 + 1, 2**43, 2**63, 2**300, -(2**300)):
            assert reader.get_record_at(header.number, record) is None
    for block in (-(2**300), -1, 0, len(history.headers) + 1, 2**43 - 1, 2**43, 2**63, 2**300):
        assert reader.get_record_at(block, 0) is None
        assert reader.list_records(block) == []


def test_a_blocks_records_are_listed_in_its_order(history: RandomLedger, reader: IndexReader) -> None:
    for header in history.headers:
        records = [describe_record(placed) for placed in history.records if placed.block == header.number]
        assert reader.list_records(header.number) == records
        assert reader.list_records(header.number, start=1, limit=2) == records[1:3]
        assert reader.list_records(header.number, start=header.record_count) == []
        assert reader.list_records(header.number, start=2**70) == []
        assert reader.list_records(header.number, start=-1, limit=1000) == records
    for limit in (0, 1001):
        with pytest.raises(MalformedRequest, match="limit"):
            reader.list_records(1, limit=limit)


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


def test_counters(history: RandomExchange, reader: IndexReader) -> None:
    counters = reader.get_counters()
    assert counters.height == reader.get_height() == len(history.entries)
    assert (counters.block, counters.timestamp) == (len(history.headers), history.headers[-1].timestamp)
    assert (counters.epoch, counters.sealed_epoch) == (history.epoch, max(history.sealed))
    assert (counters.record_count, counters.payment_count) == (len(history.records), len(history.payments))
    state = history.ledger.state
    named = {party for placed in history.instructions for party in list_parties(placed.record.instruction)}
    assert counters.account_count == len(named.union(*state.balances.values()))
    assert [line.asset for line in counters.assets] == list(history.assets)
    for line in counters.assets:
        assert line == count_asset(history.records, line.asset)
        assert line.deposited - line.withdrawn == state.totals[line.asset]


def list_parties(instruction: Instruction) -> list[Address]:
    return [instruction.account, *[getattr(instruction, name, instruction.account) for name in ("owner", "validator")]]


def count_asset(records: list[PlacedRecord], asset: bytes) -> AssetCounters:
    signed = [placed.record for placed in records if isinstance(placed.record, SignedPayment)]
    made = [record.payment for record in signed if record.payment.asset == asset]
    withdrawn = [payment.total for payment in made if payment.kind == WITHDRAW]
    deposits = [placed.record for placed in records if isinstance(placed.record, Deposit)]
    deposited = [deposit.amount for deposit in deposits if deposit.asset == asset]
    return AssetCounters(
        asset=asset,
        payment_count=len(made),
        volume=sum([payment.total for payment in made]),
        deposit_count=len(deposited),
        deposited=sum(deposited),
        withdrawal_count=len(withdrawn),
        withdrawn=sum(withdrawn),
    )


def test_epochs_have_moved_what_their_records_say(history: RandomLedger, reader: IndexReader) -> None:
    sizes = set()
    for number in range(1, history.epoch + 1):
        totals = reader.get_epoch_totals(number)
        assert totals is not None
        listed = history.assets[: len(totals)]  # those that the ledger knew by the end of the epoch
        records = [placed for placed in history.records if placed.epoch == number]
        assert totals == tuple([count_asset(records, asset) for asset in listed])
        assert not [placed for placed in records for asset in history.assets[len(totals) :] if is_in(placed, asset)]
        sizes.add(len(totals))
    assert sizes == {1, 2}
    for number in (-1, 0, history.epoch + 1, 2**63, 2**300):
        assert reader.get_epoch_totals(number) is None


def is_in(placed: PlacedRecord, asset: bytes) -> bool:
    record = placed.record
    if isinstance(record, SignedInstruction):
        return asset == getattr(record.instruction, "asset", None)
    return asset == (record.asset if isinstance(record, Deposit) else record.payment.asset)


# --- activity


def count_activity(history: RandomLedger, length: int) -> list[Activity]:
    spans: dict[tuple[int, int], Activity] = {}
    for placed in history.payments:
        payment = placed.record.payment
        start, asset = placed.timestamp // length * length, history.assets.index(payment.asset)
        known = spans.get((start, asset), Activity(start, payment.asset, 0, 0))
        spans[start, asset] = Activity(start, payment.asset, known.payment_count + 1, known.volume + payment.total)
    return [spans[key] for key in sorted(spans)]


def test_activity_is_counted_by_minute_hour_and_day(history: RandomLedger, reader: IndexReader) -> None:
    assert ACTIVITY_LENGTHS == (60_000, 60 * 60_000, 24 * 60 * 60_000)
    for length in ACTIVITY_LENGTHS:
        expected = count_activity(history, length)
        assert reader.list_activity(length, 0) == reader.list_activity(length, -(2**70)) == expected
        assert reader.list_activity(length, 0, limit=2) == expected[:2]
        for start in {activity.start for activity in expected}:
            for since in (start - 1, start, start + 1):
                assert reader.list_activity(length, since) == [each for each in expected if each.start >= since]
        assert reader.list_activity(length, 2**70) == []
    assert reader.list_activity(7, 0) == []
    assert len(count_activity(history, 60_000)) > 30


def test_activity_is_counted_once_however_often_the_writer_starts(tmp_path: Path) -> None:
    """Over days, with several blocks to a span and spans that several chunks write to."""
    history = RandomLedger(18)
    rng = random.Random(19)
    history.list_asset()
    history.list_asset()
    for _ in range(120):
        history.add_block()
        history.timestamp += rng.choice((0, 0, 0, 20_000, 600_000, 20_000_000))
    path = tmp_path / "index.sqlite"
    while True:
        writer = IndexWriter(path, history.parameters.genesis_hash)
        chunk = list(enumerate(history.entries))[writer.height :][: rng.choice((1, 2, 3, 5, 7, 11))]
        writer.apply(chunk)
        writer.close()
        if not chunk:
            break
    reader = IndexReader(path)
    for length in ACTIVITY_LENGTHS:
        expected = count_activity(history, length)
        assert reader.list_activity(length, 0) == expected
        assert sum([activity.payment_count for activity in expected]) == len(history.payments)
        assert 2 < len(expected) < len(history.payments)
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


def test_at_one_moment_the_ledger_stands_still(tmp_path: Path) -> None:
    history = RandomLedger(16)
    history.run(30)

    with open_index(tmp_path / "index.sqlite", history) as (writer, reader):

        def ask() -> tuple[object, ...]:
            return (
                reader.get_height(),
                reader.get_counters(),
                reader.list_payments(limit=3),
                reader.list_payments(limit=1000, is_ascending=True),
                reader.count_payments(PaymentFilter()),
                reader.list_deposits(limit=3),
                reader.list_blocks(limit=3),
                reader.list_epochs(limit=3),
                reader.get_epoch_totals(reader.get_counters().epoch),
                reader.list_activity(60_000, 0),
                [reader.get_holdings(account) for account in history.accounts],
                reader.get_statement_totals(history.accounts[0], ETHER, TimeSpan()),
            )

        def go_on() -> None:
            history.run(5)
            apply(writer, history.entries)

        before = ask()
        with reader.at_one_moment():
            assert ask() == before
            go_on()
            assert ask() == before
            with reader.at_one_moment():
                assert ask() == before
            assert ask() == before
        after = ask()
        for now, then in zip(after, before, strict=True):
            assert now != then
        with pytest.raises(MalformedRequest), reader.at_one_moment():
            reader.list_payments(limit=0)
        go_on()
        assert reader.get_height() == len(history.entries)


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
    "FROM blocks WHERE timestamp": "blocks USING INDEX blocks_by_timestamp (timestamp>?)",
    "FROM blocks WHERE number": "blocks USING INTEGER PRIMARY KEY (rowid",
    "FROM epochs WHERE number": "epochs USING INTEGER PRIMARY KEY (rowid",
    "FROM accounts WHERE id": "accounts USING INTEGER PRIMARY KEY (rowid=?)",
    "FROM accounts WHERE address": "accounts USING INDEX sqlite_autoindex_accounts_1 (address=?)",
    "FROM payments p WHERE p.place": "p USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    "FROM payments p WHERE p.kind": "p USING INDEX payments_by_kind (kind=? AND asset=? AND rowid>? AND rowid<?)",
    "FROM payments p WHERE substr(p.reference": (
        "p USING INDEX payments_by_reference (<expr>=? AND rowid>? AND rowid<?)"
    ),
    "FROM payments p CROSS JOIN blocks": "p USING INTEGER PRIMARY KEY (rowid=?)",
    "FROM debits WHERE holding": "debits USING PRIMARY KEY (holding=? AND place",
    "FROM credits WHERE holding": "credits USING PRIMARY KEY (holding=? AND ",
    "FROM credits k": "k USING PRIMARY KEY (holding=? AND place=?)",
    "FROM debits d": "d USING PRIMARY KEY (holding=? AND place>? AND place<?)",
    "FROM credits c": "c USING PRIMARY KEY (holding=? AND ",
    "FROM outputs": "outputs USING PRIMARY KEY (place=?)",
    "FROM withdrawals WHERE place": "withdrawals USING INTEGER PRIMARY KEY (rowid=?)",
    "FROM debits s": "s USING PRIMARY KEY (holding=? AND place>? AND place<?)",
    "FROM credits s": "s USING PRIMARY KEY (holding=? AND place>? AND place<?)",
    "FROM withdrawals WHERE recipient": (
        "withdrawals USING INDEX withdrawals_by_recipient (recipient=? AND asset=? AND rowid>? AND rowid<?)"
    ),
    "FROM withdrawals s": ("s USING INDEX withdrawals_by_recipient (recipient=? AND asset=? AND rowid>? AND rowid<?)"),
    "WHERE d.place": "d USING INTEGER PRIMARY KEY (rowid",
    "WHERE d.account": ("d USING INDEX deposits_by_account (account=? AND rowid>? AND rowid<?)"),
    "FROM cuts": "cuts USING PRIMARY KEY (epoch=?)",
    "FROM activity": "activity USING PRIMARY KEY (length=? AND start>?)",
    "FROM withdrawals w": "w USING INDEX withdrawals_by_position (epoch=? AND asset=? AND position>?)",
    "FROM instructions WHERE substr(id": "instructions USING INDEX instructions_by_id (<expr>=?)",
    "WHERE i.place": "i USING INTEGER PRIMARY KEY (rowid",
    "WHERE i.account": "i USING INDEX instructions_by_account (account=? AND rowid>? AND rowid<?)",
    "WHERE i.file": "i USING INDEX instructions_by_file (file=? AND rowid>? AND rowid<?)",
    "WHERE r.account": "r USING PRIMARY KEY (account=?)",
    "WHERE r.place": "r USING INDEX registrations_by_place (place>? AND place<?)",
    "WHERE r.role": "r USING INDEX registrations_by_role (role=? AND place>? AND place<?)",
    "WHERE r.validator": "r USING INDEX registrations_by_validator (validator=? AND place>? AND place<?)",
    "FROM registration_counts": "registration_counts USING PRIMARY KEY (role=? AND validator=?)",
    "FROM files WHERE file": "files USING INDEX sqlite_autoindex_files_1 (file=?)",
    "FROM files WHERE place": "files USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    "FROM files WHERE owner": "files USING INDEX files_by_owner (owner=? AND rowid>? AND rowid<?)",
    "FROM files WHERE validator": "files USING INDEX files_by_validator (validator=? AND rowid>? AND rowid<?)",
    "FROM file_states WHERE service_node": (
        "file_states USING INDEX file_states_by_service_node (service_node=? AND rowid>? AND rowid<?)"
    ),
    "FROM files f": "f USING INTEGER PRIMARY KEY (rowid=?)",
    "FROM file_tags": "file_tags USING PRIMARY KEY (tag=? AND file>? AND file<?)",
    "FROM tags WHERE tag": "tags USING INDEX sqlite_autoindex_tags_1 (tag=?)",
    "FROM tags WHERE count": "tags USING INDEX tags_by_count (count>?)",
    "FROM prices": "p USING PRIMARY KEY (file=? AND place<?)",
    "FROM purchases": "purchases USING PRIMARY KEY (file=? AND buyer=?)",
    "FROM earnings": "earnings USING PRIMARY KEY (account=?)",
    "FROM words": "SCAN words VIRTUAL TABLE INDEX",
}
"""What is looked for → how SQLite must find it, so that a range of places never stands in for an index. Whether that
covers all that is read is passed over."""


def test_every_look_up_is_a_search_in_an_index(history: RandomExchange, reader: IndexReader) -> None:
    """No statement that the reader issues walks through a table, or sorts."""
    statements: set[str] = set()
    with reader._snapshot() as db:
        pass
    db.set_trace_callback(statements.add)
    account, asset, placed = history.accounts[0], history.assets[1], history.payments[0]
    rng = random.Random(4)
    for number in range(300):
        wanted = make_filter(history, rng)
        reader.list_payments(wanted, limit=5, is_ascending=number % 2 == 0)
        reader.count_payments(wanted)
    reader.list_payments()
    page = reader.list_payments(limit=1)
    for is_ascending in (False, True):
        reader.list_payments(cursor=page.cursor, is_ascending=is_ascending)
        for holder in (None, account):
            deposits = reader.list_deposits(holder, limit=1, is_ascending=is_ascending)
            reader.list_deposits(holder, deposits.cursor, limit=1, is_ascending=is_ascending)
    for kind in (None, "transfer"):
        reader.count_payments(PaymentFilter(kind=kind), page.cursor)
    reader.list_deposits(account, limit=1, assets=[asset])
    reader.get_holdings(account)
    reader.get_height()
    reader.get_counters()
    reader.locate(placed.record.id)
    reader.locate(b"\x09" * 32)
    reader.get_record(placed.record.id)
    reader.get_record(history.deposits[0].record.id)
    reader.get_record_at(placed.block, placed.index)
    reader.list_records(placed.block)
    reader.get_block(1)
    reader.find_block(history.hashes[0])
    reader.list_blocks()
    reader.get_epoch(1)
    reader.get_epoch_of_block(1)
    reader.list_epochs()
    reader.list_block_hashes(1)
    reader.get_seal(1)
    reader.get_sealed_epoch()
    for length in ACTIVITY_LENGTHS:
        reader.list_activity(length, 0)
    ask_about_the_exchange(history, reader)
    for period in (TimeSpan(), history.epoch, *[make_span(history, rng) for _ in range(20)]):
        reader.get_statement_totals(account, asset, period)
        entries = reader.list_entries(account, asset, period, limit=1)
        if entries.cursor is not None:
            reader.find_entries_before(account, asset, period, entries.cursor)
    for epoch in (1, 2, 3, history.epoch):
        reader.get_epoch_totals(epoch)
        reader.get_statement_totals(account, asset, epoch)
        for list_page in (reader.list_entries, reader.list_debits, reader.list_credits):
            read_pages(lambda cursor: list_page(account, asset, epoch, cursor, 1), 1)  # noqa: B023
        for withdrawal in reader.list_withdrawals(epoch, asset):
            reader.find_withdrawal(withdrawal.id)
    db.set_trace_callback(None)
    selects = {statement for statement in statements if statement not in ("BEGIN", "COMMIT")}
    # What FTS5 does within, and what it asks once of a connection, about two rows of its own.
    selects -= {select for select in selects if select.startswith("--") or "words_config" in select}
    selects.discard("PRAGMA 'main'.data_version")
    unseen = set(SEARCHES)
    for select in selects:
        plan = db.execute(f"EXPLAIN QUERY PLAN {select}")
        steps = [step.replace("COVERING INDEX", "INDEX") for _, _, _, step in plan]
        for step in steps:
            is_small = step in {f"SCAN {table}" for table in SMALL_TABLES}
            is_match = re.fullmatch(r"SCAN words VIRTUAL TABLE INDEX \d+:M1><?", step)
            assert step.startswith("SEARCH") or is_small or is_match, f"{select}: {step}"
        if not any(f"FROM {table}" in select for table in SMALL_TABLES):
            found = [fragment for fragment in SEARCHES if fragment in select]
            assert len(found) == 1, select
            assert steps[0].startswith((f"SEARCH {SEARCHES[found[0]]}", SEARCHES[found[0]])), f"{select}: {steps}"
            unseen.discard(found[0])
    assert unseen == set()


def ask_about_the_exchange(history: RandomExchange, reader: IndexReader) -> None:
    file, account = history.files[0], history.accounts[0]
    accounts = (None, account)
    reader.get_file(file)
    reader.list_prices(file)
    reader.get_file_names([file, b"\x09" * 32])
    reader.find_purchase(file, account)
    reader.list_tags()
    reader.get_earnings(account)
    reader.get_registrations(account)
    reader.get_record(history.instructions[0].record.id)
    for is_ascending in (False, True):
        for role, validator in itertools.product((None, "mart", "owner"), accounts):
            reader.list_registrations(role, validator, is_ascending=is_ascending)
            reader.count_registrations(role, validator)
        for named, by in itertools.product((None, file), accounts):
            reader.list_instructions(by, named, is_ascending=is_ascending)
        for text, tags, owner, validator, node in itertools.product(
            (None, "rain", 'rain "a" x'), ((), ("rain",), ("rain", "weather")), accounts, accounts, accounts
        ):
            wanted = FileFilter(text=text, tags=tags, owner=owner, validator=validator, service_node=node)
            page = reader.list_files(wanted, limit=1, is_ascending=is_ascending)
            reader.list_files(wanted, page.cursor, limit=1, is_ascending=is_ascending)


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
