"""That the index is always exactly as far as it says, however often and wherever it stops."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain.block import Header, encode_block, encode_record
from chain.commitment import Commitment
from chain.errors import BrokenInvariant, MalformedBytes
from chain.instruction import Delist, ListFile, Register, UpdatePrice
from chain.params import Parameters
from chain.payment import Output
from chain.primitives import ETHER, ZERO_ADDRESS, ZERO_HASH
from node.entries import BLOCK_PREFIX, encode_asset, encode_cut, encode_genesis, encode_seal
from node.index import IndexWriter, writer
from tests.unit.node.index.exchange import RandomExchange
from tests.unit.node.index.history import RandomLedger, apply, dump


def test_stopping_anywhere_changes_nothing(history: RandomLedger, index_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    rng = random.Random(12)
    start = 0
    while start < len(history.entries):
        index = IndexWriter(path, history.parameters.genesis_hash)
        assert index.height == start
        chunk = list(enumerate(history.entries))[start : start + rng.randrange(1, 12)]
        index.apply(chunk)
        index.close()
        start += len(chunk)
    assert dump(path) == dump(index_path)


def test_what_a_killed_writer_leaves_is_gone_on_with(history: RandomLedger, index_path: Path, tmp_path: Path) -> None:
    """The files as they are while the writer has them open are what a kill leaves."""
    path = tmp_path / "first" / "index.sqlite"
    path.parent.mkdir()
    index = IndexWriter(path, history.parameters.genesis_hash)
    step = len(history.entries) // 4
    for stop in range(step, len(history.entries), step):
        apply(index, history.entries[:stop], chunk_size=7)
        left = tmp_path / f"killed at {stop}"
        left.mkdir()
        for file in path.parent.iterdir():
            if not file.name.endswith("-shm"):
                shutil.copy(file, left)
        next_index = IndexWriter(left / path.name, history.parameters.genesis_hash)
        assert next_index.height == stop
        apply(next_index, history.entries)
        next_index.close()
        assert dump(left / path.name) == dump(index_path)
    index.close()


def test_forgetting_what_it_remembers_changes_nothing(
    history: RandomLedger, index_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_MAX_REMEMBERED", 0)
    index = IndexWriter(tmp_path / "index.sqlite", history.parameters.genesis_hash)
    apply(index, history.entries, chunk_size=3)
    index.close()
    assert dump(tmp_path / "index.sqlite") == dump(index_path)


@pytest.mark.parametrize("chunk_size", [1, 3, 20])
@pytest.mark.parametrize("bound", [0, 1, 5])
def test_forgetting_files_changes_nothing(
    bound: int,
    chunk_size: int,
    history: RandomExchange,
    index_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "_MAX_REMEMBERED_FILES", bound)
    index = IndexWriter(tmp_path / "index.sqlite", history.parameters.genesis_hash)
    seen = set()
    for start in range(0, len(history.entries), chunk_size):
        apply(index, history.entries[: start + chunk_size])
        assert index._market is not None
        seen.add(len(index._market._files))
    index.close()
    assert max(seen) <= bound < len(history.files)
    assert dump(tmp_path / "index.sqlite") == dump(index_path)


def test_what_a_chunk_changed_is_not_kept_in_memory(history: RandomExchange, tmp_path: Path) -> None:
    index = IndexWriter(tmp_path / "index.sqlite", history.parameters.genesis_hash)
    for start in range(0, len(history.entries), 20):
        apply(index, history.entries[: start + 20])
        market = index._market
        assert market is not None
        for changed in (market._registrations, market._counts, market._tags, market._earnings, market._changed_files):
            assert not changed
        assert not any(index._rows.values())
    index.close()


def test_what_a_failed_chunk_said_is_forgotten(tmp_path: Path) -> None:
    """Whatever was remembered of it: files, prices, roles, tags, earnings, accounts. Another history follows, from the
    same beginning."""
    history, other = RandomExchange(44), RandomExchange(44)
    for each in (history, other):
        each.list_asset()
        each.list_asset()
        for _ in range(40):
            each.add_block()
    start = len(history.entries)
    assert history.entries == other.entries
    other._chance.seed("from here on, something else")
    for _ in range(40):
        history.add_block()
        other.add_block()
    index = IndexWriter(tmp_path / "index.sqlite", history.parameters.genesis_hash)
    apply(index, history.entries[:start])
    chunk = list(enumerate(other.entries))[start:]
    with pytest.raises(MalformedBytes):
        index.apply([*chunk, (len(other.entries), b"\xff")])
    apply(index, history.entries)
    index.close()
    whole = IndexWriter(tmp_path / "whole.sqlite", history.parameters.genesis_hash)
    apply(whole, history.entries)
    whole.close()
    assert dump(tmp_path / "index.sqlite") == dump(tmp_path / "whole.sqlite")
    assert set(other.files) - set(history.files)
    assert set(history.files) - set(other.files)


def test_whatever_a_record_says_it_is_taken_or_named(history: RandomExchange, tmp_path: Path) -> None:
    """Bits flipped in records, as an audit of an altered journal may meet them. Nothing of it is left."""
    rng = random.Random(15)
    index = IndexWriter(tmp_path / "index.sqlite", history.parameters.genesis_hash)
    apply(index, history.entries)
    before = dump(tmp_path / "index.sqlite")
    state, refused = history.ledger.state, 0
    for _ in range(60):
        records = [encode_record(record) for record in history._make_records()]
        header = Header(state.block_number + 1, state.block_hash, history.timestamp, bytes(32), len(records))
        for place, record in enumerate(records):
            for _ in range(20):
                flipped = bytearray(record)
                flipped[rng.randrange(len(record))] ^= 1 << rng.randrange(8)
                block = encode_block(header, [*records[:place], bytes(flipped), *records[place + 1 :]])
                with pytest.raises((BrokenInvariant, MalformedBytes)) as caught:
                    index.apply([(index.height, BLOCK_PREFIX + block), (index.height + 1, b"\xff")])
                refused += caught.type is BrokenInvariant
    assert refused > 100
    assert dump(tmp_path / "index.sqlite") == before
    index.close()


def test_sealed_epochs_are_not_kept_in_memory(history: RandomLedger, tmp_path: Path) -> None:
    index = IndexWriter(tmp_path / "index.sqlite", history.parameters.genesis_hash)
    apply(index, history.entries)
    assert set(index._epochs) == set(range(1, history.epoch + 1)) - set(history.sealed)
    index.close()


def test_heights_go_on_one_by_one(history: RandomLedger, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    index = IndexWriter(path, history.parameters.genesis_hash)
    entries = list(enumerate(history.entries))
    assert index.height == 0
    index.apply(entries[:10])
    before = dump(path)
    for gap in (
        [entries[11]],
        [entries[9]],
        [entries[0]],
        [*entries[10:13], entries[14]],
        [*entries[10:12], entries[11]],
    ):
        with pytest.raises(BrokenInvariant, match="index wants"):
            index.apply(gap)
        assert index.height == 10
        assert dump(path) == before
    index.apply([])
    assert index.height == 10
    index.apply(entries[10:])
    assert index.height == len(entries)
    index.close()


def test_a_chunk_that_fails_leaves_nothing(history: RandomLedger, index_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    index = IndexWriter(path, history.parameters.genesis_hash)
    entries = list(enumerate(history.entries))
    for start in range(0, len(entries), 9):
        chunk = entries[start : start + 9]
        with pytest.raises(MalformedBytes):
            index.apply([*chunk, (start + len(chunk), b"\xff")])
        assert index.height == start
        index.apply(chunk)
    index.close()
    assert dump(path) == dump(index_path)


def test_a_write_that_fails_leaves_nothing(history: RandomLedger, index_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    index = IndexWriter(path, history.parameters.genesis_hash)
    apply(index, history.entries[:30])
    before = dump(path)
    index._db.execute("CREATE TEMP TRIGGER fail BEFORE UPDATE ON main.progress BEGIN SELECT RAISE(ABORT, 'full'); END")
    index._db.execute("CREATE TEMP TRIGGER fail2 BEFORE INSERT ON main.progress BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        apply(index, history.entries)
    assert index.height == 30
    assert dump(path) == before
    index._db.execute("DROP TRIGGER temp.fail")
    index._db.execute("DROP TRIGGER temp.fail2")
    apply(index, history.entries)
    index.close()
    assert dump(path) == dump(index_path)


def test_deleted_it_is_built_again_the_same(history: RandomLedger, index_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    for _ in range(2):
        index = IndexWriter(path, history.parameters.genesis_hash)
        assert index.height == 0
        apply(index, history.entries)
        index.close()
        assert dump(path) == dump(index_path)
        path.unlink()


def test_a_log_without_its_file_is_not_gone_on_with(history: RandomLedger, index_path: Path, tmp_path: Path) -> None:
    """Who deletes the file of a killed writer may leave its log."""
    path = tmp_path / "index.sqlite"
    killed = IndexWriter(path, history.parameters.genesis_hash)
    apply(killed, history.entries)
    shutil.copy(tmp_path / "index.sqlite-wal", tmp_path / "left")
    killed.close()
    path.unlink()
    (tmp_path / "left").rename(tmp_path / "index.sqlite-wal")
    index = IndexWriter(path, history.parameters.genesis_hash)
    assert index.height == 0
    apply(index, history.entries)
    index.close()
    assert dump(path) == dump(index_path)


def spoil_version(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()


def spoil_application(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA application_id = 99")
    db.close()


def spoil_genesis(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE progress SET genesis_hash = ?", (bytes(32),))
    db.commit()
    db.close()


def spoil_progress(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("DELETE FROM progress")
    db.commit()
    db.close()


def spoil_header(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 500)


def spoil_pages(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\xff" * (len(data) - 100))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "spoil", [spoil_version, spoil_application, spoil_genesis, spoil_progress, spoil_header, spoil_pages, empty]
)
def test_a_file_of_no_use_is_deleted_and_built_again(
    spoil: Callable[[Path], None], history: RandomLedger, index_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "index.sqlite"
    index = IndexWriter(path, history.parameters.genesis_hash)
    apply(index, history.entries)
    index.close()
    spoil(path)
    index = IndexWriter(path, history.parameters.genesis_hash)
    assert index.height == 0
    apply(index, history.entries)
    index.close()
    assert dump(path) == dump(index_path)


def test_another_ledgers_index_is_not_taken_over(history: RandomLedger, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    index = IndexWriter(path, history.parameters.genesis_hash)
    apply(index, history.entries)
    index.close()
    other = IndexWriter(path, b"\x01" * 32)
    assert other.height == 0
    with pytest.raises(BrokenInvariant, match="not the one of this index"):
        other.apply([(0, history.entries[0])])
    other.close()


def make_block(history: RandomLedger, **changes: object) -> bytes:
    """The next block of `history`, with a deposit, its header altered."""
    state = history.ledger.state
    fields = {
        "number": state.block_number + 1,
        "previous": state.block_hash,
        "timestamp": history.timestamp,
        "records_root": bytes(32),
        "record_count": 1,
    }
    deposit = history.make_deposit(ETHER, state.deposit_counts[ETHER], history.accounts[0], 1)
    return BLOCK_PREFIX + encode_block(Header(**(fields | changes)), [encode_record(deposit)])


def test_entries_that_contradict_those_before_are_refused(tmp_path: Path) -> None:
    history = RandomExchange(3)
    history.run(100)
    while history.waiting:
        history.seal()
    history.cut()
    path = tmp_path / "index.sqlite"
    index = IndexWriter(path, history.parameters.genesis_hash)
    apply(index, history.entries)
    before = dump(path)

    state = history.ledger.state
    cut_epoch = history.waiting[0][0].commitment
    alice, bob = history.accounts[:2]
    header = Header(state.block_number + 1, state.block_hash, history.timestamp, bytes(32), 1)

    def in_block(*records: object) -> bytes:
        encoded = [encode_record(record) for record in records]
        return BLOCK_PREFIX + encode_block(header, encoded)

    def commit(**changes: int) -> bytes:
        fields = {name: getattr(cut_epoch, name) for name in Commitment.__struct_fields__}
        return encode_seal(Commitment(**(fields | changes)), bytes(65))

    listings = [placed.record for placed in history.instructions if isinstance(placed.record.instruction, ListFile)]
    unknown, kept = b"\x07" * 32, next(file for file in state.files.values() if file.service_node != ZERO_ADDRESS)
    bought = history.make_purchase(alice, kept.id, 99)
    extended = history.make_extension(kept.id, 1, 99)
    uploaded = history.make_upload(listings[0].instruction, bob)
    first, *others = bought.outputs
    for payment in (bought, extended, uploaded):  # so that it is not for want of money
        assert state.get_balance(payment.asset, payment.payer) >= payment.total

    def sign_changed(order: Any, **changes: Any) -> Any:
        return history.sign(msgspec.structs.replace(order, **changes))

    balance = state.get_balance(ETHER, alice)
    next_index = state.deposit_counts[ETHER]
    contradictions = {
        "another beginning": encode_genesis(history.parameters),
        "an asset listed twice": encode_asset(history.assets[1]),
        "a block number too high": make_block(history, number=header.number + 1),
        "a block number again": make_block(history, number=header.number - 1),
        "another previous block": make_block(history, previous=bytes(32)),
        "a time that falls": make_block(history, timestamp=history.headers[-1].timestamp - 1),
        "an asset that is not listed": in_block(history.make_deposit(b"\x05" * 20, 0, alice, 1)),
        "a payment in such an asset": in_block(history.make_payment(alice, 99, [Output(bob, 1)], asset=b"\x05" * 20)),
        "more than the payer has": in_block(history.make_payment(alice, 99, [Output(bob, balance + 1)])),
        "a payer that has nothing": in_block(history.make_payment(b"\x06" * 20, 99, [Output(bob, 1)])),
        "a payment to nobody": in_block(sign_changed(bought, kind="transfer", outputs=())),
        "a file listed twice": in_block(listings[0]),
        "a listing in another asset": in_block(sign_changed(listings[0].instruction, file=unknown, asset=b"\x05" * 20)),
        "a price of nothing": in_block(history.sign(UpdatePrice(alice, 99, 0, unknown, 7))),
        "an end of nothing": in_block(history.sign(Delist(alice, 99, 0, unknown))),
        "a role that there is not": in_block(history.sign(Register(alice, 99, 0, "king"))),
        "a role that is not taken so": in_block(history.sign(Register(alice, 99, 0, "owner"))),
        "an upload of nothing": in_block(sign_changed(uploaded, reference=unknown)),
        "a purchase of nothing": in_block(sign_changed(bought, reference=unknown)),
        "a purchase at another price": in_block(sign_changed(bought, outputs=(Output(first.to, 1), *others))),
        "a purchase from another": in_block(
            sign_changed(bought, outputs=(Output(unknown[:20], first.amount), *others))
        ),
        "a purchase with a share left out": in_block(sign_changed(bought, outputs=tuple(others))),
        "an extension of nothing": in_block(sign_changed(extended, reference=unknown)),
        "a deposit left out": in_block(history.make_deposit(ETHER, next_index + 1, alice, 1)),
        "a deposit again": in_block(history.make_deposit(ETHER, next_index - 1, alice, 1)),
        "a cut of an epoch to come": encode_cut(history.epoch + 1, history.timestamp),
        "a cut of a cut epoch": encode_cut(history.epoch - 1, history.timestamp),
        "a seal of the open epoch": commit(epoch=history.epoch),
        "a seal of a sealed epoch": commit(epoch=max(history.sealed)),
        "a seal from another block on": commit(first_block=cut_epoch.first_block + 1),
        "a seal up to another block": commit(last_block=cut_epoch.last_block + 1),
        "a seal of another time": commit(cut_at=cut_epoch.cut_at + 1),
    }
    for what, entry in contradictions.items():
        with pytest.raises(BrokenInvariant):
            index.apply([(index.height, entry)])
            pytest.fail(f"{what} was taken")
        assert (index.height, dump(path)) == (len(history.entries), before), what
    history.seal()
    history.add_block()
    apply(index, history.entries)
    index.close()


def test_nothing_comes_before_the_parameters(history: RandomLedger, tmp_path: Path) -> None:
    index = IndexWriter(tmp_path / "index.sqlite", history.parameters.genesis_hash)
    with pytest.raises(BrokenInvariant, match="parameters"):
        index.apply([(0, encode_asset(ETHER))])
    index.close()


def test_there_is_room_for_32_assets(tmp_path: Path) -> None:
    parameters = Parameters(1, b"\x01" * 20, ETHER, 1)
    index = IndexWriter(tmp_path / "index.sqlite", parameters.genesis_hash)
    entries = [encode_genesis(parameters)] + [encode_asset(bytes((number,)) * 20) for number in range(32)]
    apply(index, entries)
    with pytest.raises(BrokenInvariant, match="32"):
        index.apply([(33, encode_asset(b"\xff" * 20))])
    assert index.height == 33
    index.close()


def test_a_block_beyond_the_room_of_places_is_refused(
    history: RandomLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_RECORDS", 2)
    index = IndexWriter(tmp_path / "index.sqlite", history.parameters.genesis_hash)
    with pytest.raises(BrokenInvariant, match="the index takes 2"):
        apply(index, history.entries)
    index.close()


def test_what_is_not_said_takes_no_room(history: RandomLedger, index_path: Path) -> None:
    *_, references, memos = zip(*dump(index_path)["payments"], strict=True)
    assert ZERO_HASH not in references
    assert "" not in memos
    assert None in references
    assert None in memos
