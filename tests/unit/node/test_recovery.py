"""Coming back: the state that the journal leads to, from the beginning or from a snapshot, or a loud stop."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import node.snapshots
from chain.block import Block, Header, encode_block, encode_record
from chain.errors import BrokenInvariant, MalformedBytes
from chain.hashing import keccak
from chain.params import Parameters
from chain.state import State
from node.entries import (
    BLOCK_PREFIX,
    GenesisEntry,
    SealEntry,
    decode_entry,
    encode_asset,
    encode_cut,
    encode_genesis,
)
from node.recovery import DifferentLedger, Recovered, open_ledger, read_header, recover, sign_missing
from node.snapshots import find_newest_snapshot, read_snapshot, write_snapshot
from node.workers.sealer import Sealer
from tests.unit.chain.actors import (
    ALICE,
    BOB,
    BOB_KEY,
    CAROL,
    OPERATOR_KEY,
    PARAMETERS,
    TOKEN,
    deposit,
    make_payment,
    sign,
    some_hash,
)
from tests.unit.node.chronicle import Chronicle, WatchedJournal, encode_block_entry, sign_block
from tests.unit.node.journals import MemoryJournal

OTHER_PARAMETERS = Parameters(l1_chain_id=1, settlement=b"\x5f" * 20, native_asset=bytes(20), deployed_at=1)


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    return tmp_path / "snapshots"


@pytest.fixture
def chronicle() -> Chronicle:
    """Three epochs, sealed, and a fourth that is open; block 1 to 7, two a cut and one open."""
    chronicle = Chronicle()
    chronicle.add_block(deposit(0, ALICE, 1000), deposit(1, BOB, 1000))
    for epoch in range(3):
        chronicle.add_block(
            sign(make_payment((BOB, 10 + epoch), (CAROL, 1), nonce=2 * epoch)),
            sign(make_payment((CAROL, 1), nonce=2 * epoch + 7)),
        )
        chronicle.add_block(sign(make_payment((ALICE, 3), payer=BOB, nonce=epoch, kind="withdraw"), BOB_KEY))
        chronicle.cut()
        chronicle.seal()
    chronicle.add_block(deposit(2, CAROL, 5), sign(make_payment(nonce=100)))
    return chronicle


def take_snapshots(chronicle: Chronicle, directory: Path) -> list[Path]:
    """As the sealer leaves them. Returns them, oldest first."""
    directory.mkdir(exist_ok=True)
    sealer = Sealer(GenesisEntry(PARAMETERS), directory.parent / "proofs.sqlite", directory, None)
    for height, entry in chronicle.journal.read(1):
        sealer.apply(height, decode_entry(entry))
    return sorted(directory.glob("*.snapshot"))


def recover_from(chronicle: Chronicle, snapshots: Path) -> tuple[Recovered, int]:
    """What recovery comes to, and the height that it replayed from. It must be what the journal says."""
    journal = chronicle.journal
    assert isinstance(journal, WatchedJournal)
    journal.read_from.clear()
    recovered = recover(journal, snapshots, PARAMETERS, OPERATOR_KEY)
    assert recovered.state.compute_fingerprint() == chronicle.ledger.state.compute_fingerprint()
    (height,) = journal.read_from
    return recovered, height


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the choice of snapshots warns of."""
    said: list[dict[str, Any]] = []

    class Log:
        def warning(self, event: str, **values: Any) -> None:
            said.append({"event": event, **values})

    monkeypatch.setattr(node.snapshots, "_log", Log())
    return said


# --- the beginning


def test_a_new_journal_begins_with_the_parameters_and_is_recognised_again() -> None:
    journal = MemoryJournal()
    assert open_ledger(journal, PARAMETERS) == encode_genesis(PARAMETERS) == journal.get(0)
    assert open_ledger(journal, PARAMETERS) == encode_genesis(PARAMETERS)
    assert journal.height == 1


@pytest.mark.parametrize(
    "other",
    [
        msgspec.structs.replace(PARAMETERS, l1_chain_id=1),
        msgspec.structs.replace(PARAMETERS, settlement=BOB),
        msgspec.structs.replace(PARAMETERS, native_asset=TOKEN),
        msgspec.structs.replace(PARAMETERS, deployed_at=PARAMETERS.deployed_at + 1),
    ],
)
def test_a_journal_of_other_parameters_is_of_another_ledger(other: Parameters) -> None:
    journal = MemoryJournal()
    open_ledger(journal, other)
    with pytest.raises(DifferentLedger):
        open_ledger(journal, PARAMETERS)


def test_from_an_empty_ledger(snapshots: Path) -> None:
    journal = MemoryJournal()
    open_ledger(journal, PARAMETERS)
    recovered = recover(journal, snapshots, PARAMETERS, OPERATOR_KEY)
    assert recovered.state.compute_fingerprint() == State(PARAMETERS).compute_fingerprint()
    assert (recovered.epoch_records, recovered.sealed_epoch, recovered.last_seal) == (0, 0, None)


# --- what is told beside the state


def test_from_the_whole_journal(chronicle: Chronicle, snapshots: Path) -> None:
    recovered, height = recover_from(chronicle, snapshots)
    assert height == 1
    assert (recovered.epoch_records, recovered.sealed_epoch) == (2, 3)
    assert recovered.last_seal is not None and recovered.last_seal.commitment == chronicle.sealed[3].commitment


@pytest.mark.parametrize("has_blocks_since", [False, True])
@pytest.mark.parametrize("with_snapshots", [False, True])
def test_a_cut_that_was_not_sealed_stays_cut_and_unsealed(
    chronicle: Chronicle, snapshots: Path, with_snapshots: bool, has_blocks_since: bool
) -> None:
    chronicle.cut()
    if has_blocks_since:
        chronicle.add_block(sign(make_payment(nonce=101)))
    if with_snapshots:
        take_snapshots(chronicle, snapshots)
    recovered, height = recover_from(chronicle, snapshots)
    assert (height == 1) is not with_snapshots
    assert (recovered.state.epoch, recovered.sealed_epoch) == (5, 3)
    assert recovered.epoch_records == int(has_blocks_since)


def test_a_seal_after_the_snapshot_is_told_again(chronicle: Chronicle, snapshots: Path) -> None:
    take_snapshots(chronicle, snapshots)
    recovered, _ = recover_from(chronicle, snapshots)
    assert isinstance(recovered.last_seal, SealEntry)
    assert (recovered.last_seal.commitment.epoch, recovered.sealed_epoch, recovered.epoch_records) == (3, 3, 2)


# --- snapshots


def test_from_the_newest_snapshot(chronicle: Chronicle, snapshots: Path) -> None:
    paths = take_snapshots(chronicle, snapshots)
    assert len(paths) == 2, "the two newest are kept"
    _, height = recover_from(chronicle, snapshots)
    assert paths[1].name == f"{height:020d}.snapshot"
    assert read_snapshot(paths[1])[0] == height


def test_a_snapshot_holds_the_whole_ledger(chronicle: Chronicle, tmp_path: Path) -> None:
    chronicle.cut()
    taken = chronicle.ledger.take_snapshot()
    write_snapshot(tmp_path, PARAMETERS, 33, taken)
    (path,) = tmp_path.iterdir()
    assert read_snapshot(path) == (33, taken)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "only a checksum": lambda data: data[:32],
    "cut short": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "a bit flipped": lambda data: data[:100] + bytes((data[100] ^ 1,)) + data[101:],
    "checksum of something else": lambda data: bytes(32) + data[32:],
    "not a snapshot at all": lambda data: keccak(b"\x93\x01\x02\x03") + b"\x93\x01\x02\x03",
    "not MessagePack": lambda data: keccak(b"\xc1") + b"\xc1",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_snapshot_is_passed_over_for_the_one_before(
    chronicle: Chronicle, snapshots: Path, warnings: list[dict[str, Any]], damage: Callable[[bytes], bytes]
) -> None:
    older, newer = take_snapshots(chronicle, snapshots)
    newer.write_bytes(damage(newer.read_bytes()))
    _, height = recover_from(chronicle, snapshots)
    assert older.name == f"{height:020d}.snapshot"
    assert [(warning["event"], warning["file"]) for warning in warnings] == [("snapshot passed over", newer.name)]
    older.write_bytes(damage(older.read_bytes()))
    _, height = recover_from(chronicle, snapshots)
    assert height == 1


def test_an_unreadable_or_unfinished_file_is_no_snapshot(chronicle: Chronicle, snapshots: Path) -> None:
    older, newer = take_snapshots(chronicle, snapshots)
    newer.rename(newer.with_suffix(".unfinished"))
    newer.mkdir()
    _, height = recover_from(chronicle, snapshots)
    assert older.name == f"{height:020d}.snapshot"


def test_a_snapshot_of_another_ledger_is_passed_over(
    chronicle: Chronicle, snapshots: Path, warnings: list[dict[str, Any]]
) -> None:
    _, newer = take_snapshots(chronicle, snapshots)
    height, taken = read_snapshot(newer)
    write_snapshot(snapshots, OTHER_PARAMETERS, height + 1, taken)
    assert find_newest_snapshot(snapshots, PARAMETERS, chronicle.journal) == newer
    assert [warning["reason"] for warning in warnings] == ["not of this journal"]


def test_a_snapshot_ahead_of_a_restored_older_journal_is_passed_over(
    chronicle: Chronicle, snapshots: Path, warnings: list[dict[str, Any]]
) -> None:
    older, newer = take_snapshots(chronicle, snapshots)
    height, _ = read_snapshot(newer)
    backup = MemoryJournal()
    for at, entry in list(chronicle.journal.read(0))[: height - 1]:
        decoded = decode_entry(entry)
        backup.append(at, entry, decoded.block.header.number if hasattr(decoded, "block") else None)
    assert find_newest_snapshot(snapshots, PARAMETERS, backup) == older
    assert [warning["file"] for warning in warnings] == [newer.name]


def test_a_snapshot_of_a_journal_that_went_another_way_is_passed_over(chronicle: Chronicle, snapshots: Path) -> None:
    """The same height, other blocks: a backup was restored and lived on."""
    older, newer = take_snapshots(chronicle, snapshots)
    height, taken = read_snapshot(newer)
    write_snapshot(snapshots, PARAMETERS, height, msgspec.structs.replace(taken, block_hash=some_hash("other")))
    assert find_newest_snapshot(snapshots, PARAMETERS, chronicle.journal) == older


@pytest.mark.parametrize(
    "changes", [{"last_cut_at": 1_800_000_900_000}, {"epoch": 5}], ids=["cut at another time", "another epoch"]
)
def test_a_snapshot_of_another_cut_is_passed_over(
    chronicle: Chronicle, snapshots: Path, changes: dict[str, int]
) -> None:
    """The same blocks, cut otherwise: going on from it would give commitments that the journal contradicts."""
    older, newer = take_snapshots(chronicle, snapshots)
    height, taken = read_snapshot(newer)
    write_snapshot(snapshots, PARAMETERS, height, msgspec.structs.replace(taken, **changes))
    assert find_newest_snapshot(snapshots, PARAMETERS, chronicle.journal) == older


def test_a_snapshot_of_an_epoch_without_blocks_stands_on_its_cut(snapshots: Path) -> None:
    chronicle = Chronicle()
    chronicle.cut()
    (path,) = take_snapshots(chronicle, snapshots)
    _, height = recover_from(chronicle, snapshots)
    assert path.name == f"{height:020d}.snapshot"
    other = Chronicle()
    other.cut(PARAMETERS.first_cut_at + 77)
    assert find_newest_snapshot(snapshots, PARAMETERS, other.journal) is None


@pytest.mark.parametrize("max_epoch, found", [(3, 3), (2, 2), (1, None), (0, None), (9, 3)])
def test_the_newest_snapshot_up_to_an_epoch(
    chronicle: Chronicle, snapshots: Path, max_epoch: int, found: int | None
) -> None:
    take_snapshots(chronicle, snapshots)
    path = find_newest_snapshot(snapshots, PARAMETERS, chronicle.journal, max_epoch)
    assert (None if path is None else read_snapshot(path)[1].epoch - 1) == found


def test_snapshots_of_a_history_that_a_backup_undid_make_room(chronicle: Chronicle, snapshots: Path) -> None:
    """Were the highest kept, those of the journal that stands would be deleted as soon as they are written."""
    chronicle.cut()
    snapshot = chronicle.ledger.take_snapshot()
    for height in (100, 90, 80, 4, 7):
        write_snapshot(snapshots, PARAMETERS, height, snapshot)
    assert sorted(int(path.stem) for path in snapshots.iterdir()) == [4, 7]
    write_snapshot(snapshots, PARAMETERS, 9, snapshot)
    assert sorted(int(path.stem) for path in snapshots.iterdir()) == [7, 9]


# --- signatures


@pytest.mark.parametrize("missing", [1, 3, 8])
def test_lost_signatures_are_made_again_byte_by_byte(chronicle: Chronicle, snapshots: Path, missing: int) -> None:
    journal = chronicle.journal
    assert isinstance(journal, MemoryJournal)
    before = dict(journal.signatures)
    assert len(before) == 8
    for number in range(8 - missing + 1, 9):
        del journal.signatures[number]
    recover(journal, snapshots, PARAMETERS, OPERATOR_KEY)
    assert journal.signatures == before


def test_only_what_is_missing_is_signed(chronicle: Chronicle) -> None:
    journal = chronicle.journal
    assert isinstance(journal, MemoryJournal)
    journal.signatures[7] = b"left alone"
    del journal.signatures[8]
    sign_missing(journal, PARAMETERS, OPERATOR_KEY, 8)
    assert journal.signatures[7] == b"left alone"
    assert len(journal.signatures[8]) == 65


def test_a_block_that_cannot_be_found_is_a_broken_journal(chronicle: Chronicle) -> None:
    assert read_header(chronicle.journal, 1).number == 1
    with pytest.raises(BrokenInvariant, match="block 99 is missing"):
        read_header(chronicle.journal, 99)


# --- what does not fit


def change_block(place: int, /, **fields: Any) -> Callable[[MemoryJournal], None]:
    """Another header over the same records."""

    def change(journal: MemoryJournal) -> None:
        block = decode_block_at(journal, place)
        replace(journal, place, Block(msgspec.structs.replace(block.header, **fields), block.records))

    return change


def decode_block_at(journal: MemoryJournal, number: int) -> Block:
    entry = decode_entry(journal.entries[journal.block_heights[number]])
    return entry.block  # type: ignore[union-attr]


def replace(journal: MemoryJournal, number: int, block: Block) -> None:
    journal.entries[journal.block_heights[number]] = encode_block_entry(block)


def change_records(number: int, change: Callable[[list[Any]], list[Any]]) -> Callable[[MemoryJournal], None]:
    """Other records under the same header."""

    def tamper(journal: MemoryJournal) -> None:
        block = decode_block_at(journal, number)
        records = change(list(block.records))
        header = block.header
        journal.entries[journal.block_heights[number]] = BLOCK_PREFIX + encode_block(
            msgspec.structs.replace(header, record_count=len(records)), [encode_record(record) for record in records]
        )

    return tamper


def make_richer(records: list[Any]) -> list[Any]:
    """Alice spends what she does not have, under the id of an honest payment."""
    first = records[0]
    outputs = tuple(msgspec.structs.replace(output, amount=10**6) for output in first.payment.outputs)
    return [
        msgspec.structs.replace(first, payment=msgspec.structs.replace(first.payment, outputs=outputs)),
        *records[1:],
    ]


def drop(at: int) -> Callable[[MemoryJournal], None]:
    return lambda journal: journal.entries.pop(at) and None


def swap(one: int, other: int) -> Callable[[MemoryJournal], None]:
    def change(journal: MemoryJournal) -> None:
        journal.entries[one], journal.entries[other] = journal.entries[other], journal.entries[one]

    return change


def add(entry: bytes) -> Callable[[MemoryJournal], None]:
    return lambda journal: journal.append(journal.height, entry)


TAMPERINGS: dict[str, tuple[Callable[[MemoryJournal], None], str]] = {
    "block dropped": (drop(3), "comes where 1 is next"),
    "blocks swapped": (swap(4, 5), "comes where 2 is next"),
    "block renumbered": (change_block(2, number=3), "comes where 2 is next"),
    "another predecessor": (change_block(2, previous=bytes(32)), "does not follow"),
    "dated before the last": (change_block(2, timestamp=1), "is dated"),
    "dated into a closed epoch": (change_block(4, timestamp=1_800_000_000_020), "is dated"),
    "redated": (change_block(2, timestamp=1_800_000_000_021), "block 3 does not follow"),
    "another root": (change_block(2, records_root=bytes(32)), "records root"),
    "record removed": (change_records(2, lambda records: records[1:]), "records root"),
    "record repeated": (change_records(2, lambda records: [*records, records[0]]), "records root"),
    "records swapped": (change_records(2, lambda records: records[::-1]), "records root"),
    "no records left": (change_records(2, lambda records: []), "has 0 records"),
    "payment beyond the balance": (change_records(2, make_richer), "insufficient_balance"),
    "asset listing dropped": (drop(2), "not listed"),
    "asset listed twice": (add(encode_asset(TOKEN)), "listed twice"),
    "cut dropped": (drop(6), "cut of epoch 2"),
    "cut twice": (add(encode_cut(3, 2_000_000_000_000)), "cut of epoch 3"),
    "cut before its blocks": (add(encode_cut(4, 1_800_000_000_000)), "cut at"),
    "a second beginning": (add(encode_genesis(PARAMETERS)), "begins twice"),
}


@pytest.mark.parametrize("tamper, problem", TAMPERINGS.values(), ids=TAMPERINGS)
def test_a_journal_that_contradicts_itself_stops_recovery(
    chronicle: Chronicle, snapshots: Path, tamper: Callable[[MemoryJournal], None], problem: str
) -> None:
    journal = chronicle.journal
    assert isinstance(journal, MemoryJournal)
    tamper(journal)
    with pytest.raises(BrokenInvariant, match=problem):
        recover(journal, snapshots, PARAMETERS, OPERATOR_KEY)


@pytest.mark.parametrize("entry", [b"", b"\x09", b"\x02", b"\x03" + bytes(15), encode_asset(TOKEN) + b"\0"])
def test_bytes_that_are_no_entry_stop_recovery(chronicle: Chronicle, snapshots: Path, entry: bytes) -> None:
    chronicle.append(entry)
    with pytest.raises(MalformedBytes):
        recover(chronicle.journal, snapshots, PARAMETERS, OPERATOR_KEY)


def test_a_block_replayed_twice_is_refused(chronicle: Chronicle, snapshots: Path) -> None:
    """The last block once more, with the number that would come next: its payment's nonce is used."""
    journal = chronicle.journal
    assert isinstance(journal, MemoryJournal)
    last = decode_block_at(journal, 8)
    header = Header(
        9, chronicle.ledger.state.block_hash, last.header.timestamp, last.header.records_root, last.header.record_count
    )
    again = Block(header, last.records)
    chronicle.append(encode_block_entry(again), 9)
    journal.put_signature(9, sign_block(again))
    with pytest.raises(BrokenInvariant, match=r"deposit 2 .* comes where 3 is next"):
        recover(journal, snapshots, PARAMETERS, OPERATOR_KEY)
