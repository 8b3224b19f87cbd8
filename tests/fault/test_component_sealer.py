"""The sealer ended at every step between a cut and the next entry, then started again as the node starts it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import node.workers.sealer
from chain.commitment import Commitment
from chain.evidence import check_account_proof, get_line
from node.entries import GenesisEntry, SealEntry, decode_entry
from node.proofs import ProofReader, ProofWriter
from node.snapshots import find_newest_snapshot, write_snapshot
from node.workers.sealer import Sealer
from tests.unit.chain.actors import ALICE, BOB, CAROL, OPERATOR, PARAMETERS, TOKEN, deposit, make_payment, sign
from tests.unit.node.chronicle import Chronicle

PEOPLE = [ALICE, BOB, CAROL, OPERATOR]
EPOCHS = 4


class Killed(BaseException):
    """Where the process ends."""


@pytest.fixture
def chronicle() -> Chronicle:
    """Four epochs, each with one more account than the last; the seal of the last one was lost with the node."""
    chronicle = Chronicle()
    chronicle.add_block(deposit(0, ALICE, 1000))
    for epoch in range(EPOCHS):
        chronicle.add_block(sign(make_payment((PEOPLE[epoch], 10), nonce=epoch)))
        chronicle.cut()
        if epoch < EPOCHS - 1:
            chronicle.seal()
    chronicle.add_block(sign(make_payment(nonce=100)))
    return chronicle


class House:
    """The data directory of a sealer, and what it told the node."""

    def __init__(self, directory: Path, chronicle: Chronicle) -> None:
        self.proofs_path = directory / "proofs.sqlite"
        self.snapshots = directory / "snapshots"
        self.chronicle = chronicle
        self.sealed: dict[int, Commitment] = {}

    def live(self) -> None:
        """One life: from the snapshot that the node would choose to the end of the journal."""
        journal = self.chronicle.journal
        proven = ProofReader.read_epoch(self.proofs_path, PARAMETERS.genesis_hash)
        in_journal = [
            entry.commitment.epoch for _, data in journal.read(0) if isinstance(entry := decode_entry(data), SealEntry)
        ]
        snapshot = find_newest_snapshot(self.snapshots, PARAMETERS, journal, min(proven, in_journal[-1]))
        sealer = Sealer(
            GenesisEntry(PARAMETERS), self.proofs_path, self.snapshots, None if snapshot is None else snapshot.name
        )
        for height, data in journal.read(sealer.height):
            commitment = sealer.apply(height, decode_entry(data))
            if commitment is not None:
                assert self.sealed.setdefault(commitment.epoch, commitment) == commitment

    def check(self) -> None:
        """Whatever was told is right, what the journal has no seal of was told, and every account is proven as of
        every epoch."""
        expected = {epoch: sealed.commitment for epoch, sealed in self.chronicle.sealed.items()}
        assert self.sealed.items() <= expected.items()
        assert EPOCHS in self.sealed
        reader = ProofReader(self.proofs_path)
        for epoch, commitment in expected.items():
            line, _ = get_line(commitment, TOKEN)
            for who in PEOPLE[: line.account_count]:
                check_account_proof(reader.prove_account(TOKEN, who, epoch, line.account_count), commitment)
        reader.close()


def die_at(number: int, step: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    """The step as it is, but for the process ending before or after its call with this number, from 1."""
    calls = 0

    def run(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number and before:
            raise Killed
        result = step(*arguments)
        if calls == number:
            raise Killed
        return result

    return run


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, EPOCHS + 1))
@pytest.mark.parametrize("step", ["proofs", "snapshot"])
def test_ended_around_a_write_the_next_life_leaves_nothing_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chronicle: Chronicle, step: str, number: int, before: bool
) -> None:
    house = House(tmp_path, chronicle)
    if step == "proofs":
        write = die_at(number, ProofWriter.write, before=before)
        monkeypatch.setattr(ProofWriter, "write", write)
    else:
        monkeypatch.setattr(node.workers.sealer, "write_snapshot", die_at(number, write_snapshot, before=before))
    with pytest.raises(Killed):
        house.live()
    monkeypatch.undo()
    house.live()
    house.check()


@pytest.mark.parametrize("number", range(1, EPOCHS + 1))
def test_a_snapshot_that_was_being_written_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chronicle: Chronicle, number: int
) -> None:
    """The file is named when it is whole and on disk."""
    house = House(tmp_path, chronicle)
    monkeypatch.setattr(Path, "rename", die_at(number, Path.rename, before=True))
    with pytest.raises(Killed):
        house.live()
    monkeypatch.undo()
    assert len(list(house.snapshots.glob("*.snapshot"))) == min(number - 1, 2)
    house.live()
    house.check()


def test_many_lives_of_one_step_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chronicle: Chronicle) -> None:
    house = House(tmp_path, chronicle)
    for _ in range(3 * EPOCHS):
        monkeypatch.setattr(node.workers.sealer, "write_snapshot", die_at(1, write_snapshot, before=False))
        try:
            house.live()
        except Killed:
            continue
        finally:
            monkeypatch.undo()
    house.live()
    house.check()


@pytest.mark.parametrize("lost", ["proofs", "snapshots", "both"])
def test_what_is_derived_can_be_deleted(tmp_path: Path, chronicle: Chronicle, lost: str) -> None:
    house = House(tmp_path, chronicle)
    house.live()
    if lost in ("proofs", "both"):
        for path in tmp_path.glob("proofs.sqlite*"):
            path.unlink()
    if lost in ("snapshots", "both"):
        for path in house.snapshots.iterdir():
            path.unlink()
    house.live()
    house.check()
