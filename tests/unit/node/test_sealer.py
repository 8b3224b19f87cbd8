"""The sealer: the commitments it computes, the snapshots and proofs it leaves, the errors that it does not let pass."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

import node.proofs
from chain.block import Record, build_records_tree
from chain.commitment import Commitment
from chain.errors import BrokenInvariant, NotFound
from chain.evidence import check_account_proof, get_line
from chain.primitives import Address
from node.entries import CutEntry, GenesisEntry, decode_entry, encode_seal
from node.proofs import ProofReader, ProofWriter
from node.snapshots import find_newest_snapshot, read_snapshot, write_snapshot
from node.workers.sealer import Sealer
from tests.unit.chain.actors import (
    ALICE,
    ALICE_KEY,
    BOB,
    ETHER,
    PARAMETERS,
    TOKEN,
    UNLISTED,
    deposit,
    get_address,
    make_key,
    make_payment,
    sign,
    some_hash,
)
from tests.unit.node.chronicle import Chronicle, encode_block_entry, sign_commitment

PEOPLE = [ALICE, *[get_address(make_key(f"person {number}")) for number in range(1, 9)]]
GROWTH = [1, 2, 3, 5, 8, 9]
"""Accounts of TOKEN at the end of each epoch: every shape of tree up to a depth of 4, each reached from the last."""


def grow(chronicle: Chronicle) -> dict[tuple[int, Address], int]:
    """Lives through the epochs of `GROWTH` and one more, in which nothing happens. In each a few are touched, most are
    not. Returns the balances by (epoch, account)."""
    balances = {}
    chronicle.add_block(deposit(0, ALICE, 10_000), deposit(0, ALICE, 50, ETHER))
    nonce = 0
    for epoch, count in enumerate(GROWTH, start=1):
        records: list[Record] = []
        for newcomer in PEOPLE[GROWTH[epoch - 2] if epoch > 1 else 1 : count]:
            records.append(sign(make_payment((newcomer, 100 + nonce), nonce=nonce), ALICE_KEY))
            nonce += 1
        if epoch == 4:
            records.append(sign(make_payment((PEOPLE[1], 1), (ALICE, 2), nonce=nonce)))
            nonce += 1
        if epoch == 5:
            records.append(deposit(1, PEOPLE[2], 5))
        if records:
            chronicle.add_block(*records)
        chronicle.cut()
        chronicle.seal()
        balances.update({(epoch, who): chronicle.ledger.state.get_balance(TOKEN, who) for who in PEOPLE[:count]})
    chronicle.cut()
    chronicle.seal()
    last = len(GROWTH) + 1
    balances.update({(last, who): chronicle.ledger.state.get_balance(TOKEN, who) for who in PEOPLE})
    return balances


class SealerDesk:
    """A sealer and its files."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.proofs_path = directory / "proofs.sqlite"
        self.snapshots = directory / "snapshots"

    def open(self, snapshot: str | None = None) -> Sealer:
        return Sealer(GenesisEntry(PARAMETERS), self.proofs_path, self.snapshots, snapshot)

    def feed(self, sealer: Sealer, chronicle: Chronicle, until: int | None = None) -> dict[int, Commitment]:
        """The journal's entries from where the sealer stands, `until` excluded. Returns what it sealed, by epoch."""
        sealed = {}
        for height, entry in chronicle.journal.read(sealer.height):
            if until is not None and height >= until:
                break
            commitment = sealer.apply(height, decode_entry(entry))
            if commitment is not None:
                sealed[commitment.epoch] = commitment
        return sealed

    def find_snapshot(self, chronicle: Chronicle, max_epoch: int) -> str | None:
        path = find_newest_snapshot(self.snapshots, PARAMETERS, chronicle.journal, max_epoch)
        return None if path is None else path.name


@pytest.fixture
def desk(tmp_path: Path) -> SealerDesk:
    return SealerDesk(tmp_path / "desk")


@pytest.fixture
def chronicle() -> Chronicle:
    return Chronicle()


def commitments(chronicle: Chronicle) -> dict[int, Commitment]:
    return {epoch: sealed.commitment for epoch, sealed in chronicle.sealed.items()}


# --- commitments


def test_the_commitments_are_those_of_the_ledger(desk: SealerDesk, chronicle: Chronicle) -> None:
    grow(chronicle)
    assert desk.feed(desk.open(), chronicle) == commitments(chronicle)
    counts = [get_line(sealed.commitment, TOKEN)[0].account_count for sealed in chronicle.sealed.values()]
    assert counts == [*GROWTH, GROWTH[-1]]


@pytest.mark.parametrize("epochs", range(1, len(GROWTH) + 1))
def test_from_a_snapshot_the_commitments_are_identical(desk: SealerDesk, chronicle: Chronicle, epochs: int) -> None:
    grow(chronicle)
    until = next(
        height
        for height, entry in chronicle.journal.read(0)
        if isinstance(cut := decode_entry(entry), CutEntry) and cut.epoch == epochs + 1
    )
    first = desk.feed(desk.open(), chronicle, until)
    assert max(first) == epochs
    snapshot = desk.find_snapshot(chronicle, epochs)
    assert snapshot is not None
    second = desk.feed(desk.open(snapshot), chronicle)
    assert min(second) == epochs + 1
    assert {**first, **second} == commitments(chronicle)


def test_a_cut_whose_seal_was_lost_is_sealed_again_alike(desk: SealerDesk, chronicle: Chronicle) -> None:
    chronicle.add_block(deposit(0))
    chronicle.cut()
    chronicle.seal()
    chronicle.add_block(deposit(1))
    chronicle.cut()
    first = desk.feed(desk.open(), chronicle)
    again = desk.feed(desk.open(desk.find_snapshot(chronicle, max_epoch=1)), chronicle)
    assert again[2] == first[2]
    assert desk.find_snapshot(chronicle, max_epoch=0) is None


# --- what it does not let pass


def test_entries_come_in_order_without_a_gap(desk: SealerDesk, chronicle: Chronicle) -> None:
    sealer = desk.open()
    entries = dict(chronicle.journal.read(0))
    with pytest.raises(BrokenInvariant, match="comes where 1 is next"):
        sealer.apply(2, decode_entry(entries[2]))
    sealer = desk.open()
    sealer.apply(1, decode_entry(entries[1]))
    with pytest.raises(BrokenInvariant, match="comes where 2 is next"):
        sealer.apply(1, decode_entry(entries[1]))


def test_a_journal_begins_once(desk: SealerDesk) -> None:
    with pytest.raises(BrokenInvariant, match="second beginning"):
        desk.open().apply(1, GenesisEntry(PARAMETERS))


def test_a_block_that_the_rules_refuse_stops_it(desk: SealerDesk, chronicle: Chronicle) -> None:
    """A sequencer that lets Alice spend twice is found out here."""
    chronicle.add_block(deposit(0, ALICE, 10))
    block = chronicle.add_block(sign(make_payment((BOB, 6))))
    twice = sign(make_payment((BOB, 6), nonce=1))
    forged = msgspec.structs.replace(block, records=(block.records[0], twice))
    other = Chronicle()
    other.add_block(deposit(0, ALICE, 10))
    header = msgspec.structs.replace(
        forged.header,
        record_count=2,
        records_root=build_records_tree(forged.records).root,
        previous=other.ledger.state.block_hash,
    )
    other.append(encode_block_entry(msgspec.structs.replace(forged, header=header)), 2)
    with pytest.raises(BrokenInvariant, match="insufficient_balance"):
        desk.feed(desk.open(), other)


def change_line(commitment: Commitment, **changes: Any) -> Commitment:
    *others, last = commitment.assets
    return msgspec.structs.replace(commitment, assets=(*others, msgspec.structs.replace(last, **changes)))


MISMATCHES: dict[str, Any] = {
    "state root": lambda commitment: change_line(commitment, state_root=some_hash("other")),
    "total": lambda commitment: change_line(commitment, total=1),
    "account count": lambda commitment: change_line(commitment, account_count=1),
    "withdrawals root": lambda commitment: change_line(commitment, withdrawals_root=some_hash("other")),
    "extra root": lambda commitment: msgspec.structs.replace(commitment, extra_root=some_hash("other")),
    "blocks root": lambda commitment: msgspec.structs.replace(commitment, blocks_root=some_hash("other")),
    "previous": lambda commitment: msgspec.structs.replace(commitment, previous=some_hash("other")),
    "cut at": lambda commitment: msgspec.structs.replace(commitment, cut_at=commitment.cut_at + 1),
    "last block": lambda commitment: msgspec.structs.replace(commitment, last_block=commitment.last_block + 1),
    "epoch": lambda commitment: msgspec.structs.replace(commitment, epoch=commitment.epoch - 1),
    "later epoch": lambda commitment: msgspec.structs.replace(commitment, epoch=commitment.epoch + 1),
    "a line less": lambda commitment: msgspec.structs.replace(commitment, assets=commitment.assets[:1]),
    "no lines": lambda commitment: msgspec.structs.replace(commitment, assets=()),
}


@pytest.mark.parametrize("has_restarted", [False, True], ids=["in one life", "from a snapshot"])
@pytest.mark.parametrize("change", MISMATCHES.values(), ids=MISMATCHES)
def test_a_seal_that_the_records_do_not_lead_to_is_found(
    desk: SealerDesk, chronicle: Chronicle, change: Any, has_restarted: bool
) -> None:
    chronicle.add_block(deposit(0, ALICE, 100))
    chronicle.cut()
    chronicle.seal()
    chronicle.add_block(sign(make_payment((BOB, 1))))
    commitment = chronicle.cut()
    sealer = desk.open()
    desk.feed(sealer, chronicle)
    if has_restarted:
        snapshot = desk.find_snapshot(chronicle, 2)
        assert snapshot is not None
        sealer = desk.open(snapshot)
    wrong = change(commitment)
    chronicle.append(encode_seal(wrong, sign_commitment(wrong)))
    with pytest.raises(BrokenInvariant, match="is not what its records lead to"):
        desk.feed(sealer, chronicle)


@pytest.mark.parametrize("has_restarted", [False, True], ids=["in one life", "from a snapshot"])
def test_a_right_seal_passes_once(desk: SealerDesk, chronicle: Chronicle, has_restarted: bool) -> None:
    chronicle.add_block(deposit(0, ALICE, 100))
    chronicle.cut()
    sealer = desk.open()
    desk.feed(sealer, chronicle)
    if has_restarted:
        sealer = desk.open(desk.find_snapshot(chronicle, 1))
    chronicle.add_block(sign(make_payment((BOB, 1))))
    chronicle.seal()
    desk.feed(sealer, chronicle)
    chronicle.seal()
    with pytest.raises(BrokenInvariant):
        desk.feed(sealer, chronicle)


def test_a_snapshot_whose_trees_are_not_the_committed_ones_is_found(desk: SealerDesk, chronicle: Chronicle) -> None:
    chronicle.add_block(deposit(0, ALICE, 100), deposit(1, BOB, 100))
    chronicle.cut()
    desk.feed(desk.open(), chronicle)
    (path,) = desk.snapshots.iterdir()
    height, taken = read_snapshot(path)
    ether, token = taken.assets
    swapped = msgspec.structs.replace(token, leaves=token.leaves[48:] + token.leaves[:48])
    write_snapshot(desk.snapshots, PARAMETERS, height, msgspec.structs.replace(taken, assets=(ether, swapped)))
    chronicle.seal()
    with pytest.raises(BrokenInvariant, match="is not what its records lead to"):
        desk.feed(desk.open(desk.find_snapshot(chronicle, 1)), chronicle)


# --- proofs


def test_every_account_is_proven_as_of_every_epoch(desk: SealerDesk, chronicle: Chronicle) -> None:
    balances = grow(chronicle)
    desk.feed(desk.open(), chronicle)
    reader = ProofReader(desk.proofs_path)
    for (epoch, who), balance in balances.items():
        commitment = chronicle.sealed[epoch].commitment
        line, _ = get_line(commitment, TOKEN)
        proof = reader.prove_account(TOKEN, who, epoch, line.account_count)
        check_account_proof(proof, commitment)
        assert (proof.leaf.owner, proof.leaf.closing, proof.index) == (who, balance, PEOPLE.index(who))
        assert proof.leaf.epoch <= epoch
    ether, _ = get_line(chronicle.sealed[7].commitment, ETHER)
    proof = reader.prove_account(ETHER, ALICE, 7, ether.account_count)
    check_account_proof(proof, chronicle.sealed[7].commitment)
    assert (proof.leaf.epoch, proof.leaf.closing) == (1, 50), "untouched since"


def test_proofs_written_by_two_lives_are_those_of_one(desk: SealerDesk, chronicle: Chronicle, tmp_path: Path) -> None:
    grow(chronicle)
    one_life = SealerDesk(tmp_path / "one life")
    one_life.feed(one_life.open(), chronicle)
    desk.feed(desk.open(), chronicle)
    snapshot = desk.find_snapshot(chronicle, 6)
    assert snapshot is not None
    desk.feed(desk.open(snapshot), chronicle)
    desk.feed(desk.open(), chronicle)  # and all of it once more
    assert dump(desk.proofs_path) == dump(one_life.proofs_path)


def test_who_has_no_leaf_yet_is_not_found(desk: SealerDesk, chronicle: Chronicle) -> None:
    grow(chronicle)
    desk.feed(desk.open(), chronicle)
    reader = ProofReader(desk.proofs_path)
    reader.prove_account(TOKEN, PEOPLE[2], 3, 3)
    for asset, owner, epoch, count in [
        (TOKEN, PEOPLE[2], 2, 2),
        (TOKEN, UNLISTED, 7, 9),
        (ETHER, PEOPLE[1], 7, 1),
        (UNLISTED, ALICE, 7, 9),
    ]:
        with pytest.raises(NotFound):
            reader.prove_account(asset, owner, epoch, count)


def test_how_far_the_proofs_reach_is_told_without_a_sealer(desk: SealerDesk, chronicle: Chronicle) -> None:
    assert ProofReader.read_epoch(desk.proofs_path, PARAMETERS.genesis_hash) == 0
    assert not desk.proofs_path.exists(), "asking leaves nothing"
    grow(chronicle)
    desk.feed(desk.open(), chronicle)
    assert ProofReader.read_epoch(desk.proofs_path, PARAMETERS.genesis_hash) == 7
    assert ProofReader.read_epoch(desk.proofs_path, some_hash("another ledger")) == 0


def test_a_file_of_another_ledger_is_begun_anew(desk: SealerDesk, chronicle: Chronicle) -> None:
    grow(chronicle)
    desk.feed(desk.open(), chronicle)
    writer = ProofWriter(desk.proofs_path, some_hash("another ledger"))
    assert writer.epoch == 0
    writer.close()
    assert ProofReader.read_epoch(desk.proofs_path, PARAMETERS.genesis_hash) == 0


@pytest.mark.parametrize("statements", range(13))
def test_a_file_whose_writer_died_at_its_birth_is_begun_anew(
    desk: SealerDesk, chronicle: Chronicle, monkeypatch: pytest.MonkeyPatch, statements: int
) -> None:
    """Killed after any of the statements that make the file."""

    class Killed(BaseException):
        pass

    class DyingConnection(sqlite3.Connection):
        left = statements

        def step(self) -> None:
            if self.left == 0:
                raise Killed
            self.left -= 1

        def executescript(self, script: str, /) -> sqlite3.Cursor:
            for statement in script.split(";"):
                if statement.strip():
                    self.step()
                    super().execute(statement)
            return self.cursor()

        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            if not sql.startswith(("SELECT", "PRAGMA journal", "PRAGMA synchronous")) and sql != "PRAGMA user_version":
                self.step()
            return super().execute(sql, parameters)

        def commit(self) -> None:
            self.step()
            super().commit()

    connect = sqlite3.connect
    monkeypatch.setattr(node.proofs.sqlite3, "connect", lambda path: connect(path, factory=DyingConnection))
    with contextlib.suppress(Killed):
        ProofWriter(desk.proofs_path, PARAMETERS.genesis_hash)
    monkeypatch.undo()
    assert ProofReader.read_epoch(desk.proofs_path, PARAMETERS.genesis_hash) == 0
    grow(chronicle)
    desk.feed(desk.open(), chronicle)
    assert ProofReader.read_epoch(desk.proofs_path, PARAMETERS.genesis_hash) == 7


def dump(path: Path) -> list[Any]:
    db = sqlite3.connect(path)
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    rows = [row for table in tables for row in db.execute(f"SELECT '{table}', * FROM {table} ORDER BY 2, 3")]
    db.close()
    return sorted(rows, key=repr)
