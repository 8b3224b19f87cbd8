"""The data exchange in the journal: what a restart brings back of it, from the beginning and from snapshots, and what
can be proven of it as of any epoch."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain.block import Block, Record
from chain.commitment import Commitment
from chain.errors import BrokenInvariant, NotFound
from chain.hashing import keccak
from chain.instruction import Instruction
from chain.market import Market, Roles
from chain.params import Parameters
from chain.payment import Payment
from chain.primitives import ZERO_ADDRESS, Address, Hash
from chain.registry import (
    AccountEntry,
    FileEntry,
    check_registry_proof,
    encode_account_key,
    encode_entry,
    encode_file_key,
)
from chain.state import State
from node.entries import GenesisEntry, decode_entry
from node.proofs import ProofReader, ProofWriter
from node.recovery import DifferentLedger, Recovered, open_ledger, recover
from node.refusals import Overloaded
from node.snapshots import find_newest_snapshot, read_snapshot, write_snapshot
from node.workers.sealer import Sealer
from tests.unit.chain import actors
from tests.unit.chain.actors import ALICE, BOB, CAROL, ETHER, OPERATOR_KEY, TOKEN, deposit, some_hash
from tests.unit.chain.exchange import (
    DORA,
    ERIK,
    FILE,
    MARKET,
    OPENING,
    PARAMETERS,
    UNPAID,
    delist,
    extend,
    list_file,
    purchase,
    register,
    register_owner,
    sign_all,
    update_price,
    upload,
)
from tests.unit.node.chronicle import Chronicle, WatchedJournal, encode_block_entry, sign_block
from tests.unit.node.journals import MemoryJournal
from tests.unit.node.marketplace import PEOPLE, STRANGER, find_refusal, place, submit
from tests.unit.node.running import Desk, make_journal, running

NEW = some_hash("a file of a stranger's")
PURCHASES = {FILE + BOB: purchase(), FILE + ERIK: purchase(payer=ERIK)}


def add(chronicle: Chronicle, *orders: Payment | Instruction) -> Block:
    """One block of them, signed."""
    return chronicle.add_block(*sign_all(orders))


def begin() -> Chronicle:
    chronicle = Chronicle(parameters=PARAMETERS)
    credits: list[Record] = [
        deposit(index, who, 10**12, asset) for asset in (ETHER, TOKEN) for index, who in enumerate(PEOPLE)
    ]
    chronicle.add_block(*credits)
    return chronicle


def end_epoch(chronicle: Chronicle) -> Commitment:
    commitment = chronicle.cut()
    chronicle.seal()
    return commitment


@pytest.fixture
def chronicle() -> Chronicle:
    """Three sealed epochs of trade, and a fourth that is open."""
    chronicle = begin()
    add(chronicle, *OPENING)
    end_epoch(chronicle)
    add(chronicle, purchase(), update_price(200))
    add(chronicle, list_file(NEW, 1, owner=STRANGER), upload(NEW, 2))
    end_epoch(chronicle)
    add(chronicle, extend(3, nonce=3), update_price(100, nonce=4), delist(5, file=UNPAID))
    end_epoch(chronicle)
    add(chronicle, purchase(payer=ERIK), register(CAROL, "mart"))
    return chronicle


def take_snapshots(chronicle: Chronicle, directory: Path) -> list[Path]:
    """As the sealer leaves them, with the proofs beside. Returns them, oldest first."""
    directory.mkdir(exist_ok=True)
    sealer = Sealer(GenesisEntry(PARAMETERS), directory.parent / "proofs.sqlite", directory, None)
    for height, entry in chronicle.journal.read(1):
        sealer.apply(height, decode_entry(entry))
    return sorted(directory.glob("*.snapshot"))


def recover_from(chronicle: Chronicle, snapshots: Path) -> tuple[Recovered, int]:
    """What recovery comes to, and the height that it replayed from."""
    journal = chronicle.journal
    assert isinstance(journal, WatchedJournal)
    journal.read_from.clear()
    recovered = recover(journal, snapshots, PARAMETERS, OPERATOR_KEY)
    (height,) = journal.read_from
    return recovered, height


# --- recovery


@pytest.mark.parametrize("with_snapshots", [False, True])
def test_a_restart_brings_back_roles_files_purchases_and_what_the_epoch_changed(
    chronicle: Chronicle, tmp_path: Path, with_snapshots: bool
) -> None:
    if with_snapshots:
        take_snapshots(chronicle, tmp_path / "snapshots")
    recovered, height = recover_from(chronicle, tmp_path / "snapshots")
    assert (height == 1) is not with_snapshots
    state, expected = recovered.state, chronicle.ledger.state
    for part in ("roles", "files", "purchases", "registry_changes", "nonces"):
        assert getattr(state, part) == getattr(expected, part) != {}
    assert state.compute_fingerprint() == expected.compute_fingerprint()
    assert recovered.epoch_records == 2
    assert state.roles[STRANGER] == Roles(8, ALICE, is_named_only=True)
    assert set(state.purchases) == set(PURCHASES)
    assert state.files[UNPAID].is_delisted and state.files[FILE].price == 100


@pytest.mark.parametrize("with_snapshots", [False, True])
async def test_a_restarted_ledger_knows_all_payments_and_instructions_again(
    chronicle: Chronicle, tmp_path: Path, with_snapshots: bool
) -> None:
    """Whatever is sent once more, or would take something twice, is refused as it would have been before."""
    if with_snapshots:
        take_snapshots(chronicle, tmp_path / "snapshots")
    state = recover_from(chronicle, tmp_path / "snapshots")[0].state
    desk = Desk(make_journal(chronicle.journal), state)
    desk.clock.now = chronicle.ledger.state.timestamp
    async with running(desk):
        again = [*OPENING, purchase(), update_price(200), upload(NEW, 2), extend(3, nonce=3), register(CAROL, "mart")]
        assert {find_refusal(outcome) for outcome in await submit(desk, *again)} == {"nonce_used"}
        twice = [
            register(ALICE, "validator", nonce=9),
            register_owner(CAROL, ERIK, nonce=9),
            list_file(FILE, 9),
            delist(9, file=UNPAID),
            upload(NEW, 9),
            purchase(FILE, 9),
        ]
        assert [find_refusal(outcome) for outcome in await submit(desk, *twice)] == [
            "already_registered",
            "already_registered",
            "already_listed",
            "delisted",
            "already_uploaded",
            "already_purchased",
        ]
        await place(desk, purchase(payer=CAROL, nonce=1), extend(1, nonce=9))


def test_a_snapshot_holds_the_exchange(chronicle: Chronicle, tmp_path: Path) -> None:
    chronicle.cut()
    taken = chronicle.ledger.take_snapshot()
    assert (len(taken.registry), len(taken.purchases)) == (len(PEOPLE) + 1 + 3, 2)
    write_snapshot(tmp_path, PARAMETERS, 33, taken)
    (path,) = tmp_path.iterdir()
    assert read_snapshot(path) == (33, taken)


def test_a_snapshot_of_a_version_before_the_exchange_is_passed_over(chronicle: Chronicle, tmp_path: Path) -> None:
    older, newer = take_snapshots(chronicle, tmp_path / "snapshots")
    fields = msgspec.msgpack.decode(newer.read_bytes()[32:])
    del fields["registry"], fields["purchases"]
    body = msgspec.msgpack.encode(fields)
    newer.write_bytes(keccak(body) + body)
    assert find_newest_snapshot(tmp_path / "snapshots", PARAMETERS, chronicle.journal) == older


def test_a_snapshot_whose_registry_is_not_the_committed_one_is_found(chronicle: Chronicle, tmp_path: Path) -> None:
    """Whoever could write a role into a file that is derived would still be found out by the next seal."""
    chronicle.cut()
    snapshots = tmp_path / "snapshots"
    newest = take_snapshots(chronicle, snapshots)[-1]
    height, taken = read_snapshot(newest)
    given = encode_entry(AccountEntry(BOB, Roles(0xF, ALICE)))
    registry = tuple([given if entry[1:21] == BOB else entry for entry in taken.registry])
    assert registry != taken.registry
    write_snapshot(snapshots, PARAMETERS, height, msgspec.structs.replace(taken, registry=registry))
    chronicle.seal()
    sealer = Sealer(GenesisEntry(PARAMETERS), tmp_path / "proofs.sqlite", snapshots, newest.name)
    with pytest.raises(BrokenInvariant, match="is not what its records lead to"):
        for at, entry in chronicle.journal.read(height):
            sealer.apply(at, decode_entry(entry))


@pytest.mark.parametrize(
    "market",
    [
        Market(),
        Market(5000, 4500, 500),
        Market(5000, 4500, 500, ((TOKEN, 10**6 + 1),)),
        Market(5000, 4500, 500, ((ETHER, 1), (TOKEN, 10**6))),
        Market(4500, 5000, 500, ((TOKEN, 10**6),)),
        Market(5000, 4499, 501, ((TOKEN, 10**6),)),
    ],
)
def test_a_journal_of_another_market_is_of_another_ledger(market: Market) -> None:
    other: Parameters = msgspec.structs.replace(PARAMETERS, market=market)
    assert other.genesis_hash != PARAMETERS.genesis_hash and other.domain == PARAMETERS.domain
    journal = MemoryJournal()
    open_ledger(journal, PARAMETERS)
    with pytest.raises(DifferentLedger):
        open_ledger(journal, other)
    open_ledger(journal, msgspec.structs.replace(actors.PARAMETERS, market=MARKET))


# --- what does not fit


def change_record(number: int, index: int, change: Callable[[Any], Any]) -> Callable[[MemoryJournal], None]:
    """Another record under the same id, header and signature."""

    def tamper(journal: MemoryJournal) -> None:
        height = journal.block_heights[number]
        block: Block = decode_entry(journal.entries[height]).block  # type: ignore[union-attr]
        records = list(block.records)
        records[index] = change(records[index])
        journal.entries[height] = encode_block_entry(Block(block.header, tuple(records)))

    return tamper


def change_instruction(**fields: Any) -> Callable[[Any], Any]:
    return lambda record: msgspec.structs.replace(
        record, instruction=msgspec.structs.replace(record.instruction, **fields)
    )


TAMPERINGS: dict[str, tuple[Callable[[MemoryJournal], None], str]] = {
    "another price": (change_record(2, 7, change_instruction(price=99)), "wrong_price"),
    "another role": (change_record(2, 4, change_instruction(role="service_node")), "wrong_role"),
    "another owner": (change_record(2, 7, change_instruction(owner=BOB)), "record 0 of block 3: wrong_outputs"),
    "another file": (change_record(2, 7, change_instruction(file=UNPAID)), "unknown_reference"),
    "another size": (change_record(2, 7, change_instruction(size=1)), "wrong_outputs"),
    "another end": (change_record(5, 2, change_instruction(file=FILE)), "delisted"),
}


@pytest.mark.parametrize("tamper, problem", TAMPERINGS.values(), ids=TAMPERINGS)
def test_a_journal_whose_instructions_were_changed_stops_recovery(
    chronicle: Chronicle, tmp_path: Path, tamper: Callable[[MemoryJournal], None], problem: str
) -> None:
    assert isinstance(chronicle.journal, MemoryJournal)
    tamper(chronicle.journal)
    with pytest.raises(BrokenInvariant, match=problem):
        recover(chronicle.journal, tmp_path, PARAMETERS, OPERATOR_KEY)


@pytest.mark.parametrize("kept", [0, 1])
def test_half_an_upload_of_an_unknown_owner_is_no_history(chronicle: Chronicle, tmp_path: Path, kept: int) -> None:
    records = sign_all([list_file(some_hash("x"), 6, owner=DORA), upload(some_hash("x"), 7)])
    block = actors.make_block(chronicle.ledger, records[kept])
    chronicle.append(encode_block_entry(block), block.header.number)
    chronicle.journal.put_signature(block.header.number, sign_block(block))
    with pytest.raises(BrokenInvariant, match="unknown_reference" if kept else "wrong_role"):
        recover(chronicle.journal, tmp_path, PARAMETERS, OPERATOR_KEY)


# --- proofs

GROWTH: list[list[Payment | Instruction]] = [
    [register(ALICE, "validator", nonce=10)],
    [register(BOB, "mart")],
    [register(DORA, "service_node"), register(ALICE, "mart")],
    [],
    [register_owner(CAROL, ALICE), list_file(FILE, 1), upload(FILE, 2)],
    [update_price(7, 3), list_file(NEW, 4, owner=STRANGER), upload(NEW, 5), list_file(UNPAID, 6)],
    [purchase(FILE, 1, (ALICE, 3), (CAROL, 4)), delist(7, file=UNPAID), register_owner(BOB, ALICE, 2)],
    [register(ERIK, "mart"), extend(2, nonce=8), update_price(9, 9)],
]
"""What each epoch does: the registry grows by 1, 1, 1, none, 2, 3, none and 1 entries."""


def grow(chronicle: Chronicle) -> dict[int, State]:
    """Lives through `GROWTH`. Returns roles and files as they were at the end of each epoch."""
    seen = {}
    for epoch, orders in enumerate(GROWTH, start=1):
        if orders:
            add(chronicle, *orders)
        state = State(PARAMETERS)
        state.roles, state.files = dict(chronicle.ledger.state.roles), dict(chronicle.ledger.state.files)
        seen[epoch] = state
        end_epoch(chronicle)
    return seen


def check_all_proofs(reader: ProofReader, chronicle: Chronicle, seen: dict[int, State]) -> None:
    """Every account and file that there has ever been, as of every epoch."""
    last = seen[len(GROWTH)]
    for epoch, state in seen.items():
        extra_root = chronicle.sealed[epoch].commitment.extra_root
        for account in last.roles:
            check_entry(reader, extra_root, encode_account_key(account), epoch, find_account(state, account))
        for file in last.files:
            check_entry(reader, extra_root, encode_file_key(file), epoch, find_file(state, file))


def find_account(state: State, account: Address) -> AccountEntry | None:
    return AccountEntry(account, state.roles[account]) if account in state.roles else None


def find_file(state: State, file: Hash) -> FileEntry | None:
    return FileEntry(state.files[file]) if file in state.files else None


def check_entry(reader: ProofReader, extra_root: Hash, key: bytes, epoch: int, expected: Any) -> None:
    if expected is None:
        with pytest.raises(NotFound):
            reader.prove_entry(key, epoch)
        return
    proof = reader.prove_entry(key, epoch)
    assert proof.entry == expected
    check_registry_proof(proof, extra_root)


def test_every_entry_is_proven_as_of_every_epoch(tmp_path: Path) -> None:
    chronicle = begin()
    seen = grow(chronicle)
    take_snapshots(chronicle, tmp_path / "snapshots")
    counts = [len(state.roles) + len(state.files) for state in seen.values()]
    assert counts == [1, 2, 3, 3, 5, 8, 8, 9]
    with closing(ProofReader(tmp_path / "proofs.sqlite")) as reader:
        check_all_proofs(reader, chronicle, seen)
        alice = reader.prove_entry(encode_account_key(ALICE), 8)
        assert (alice.index, alice.count, len(alice.siblings)) == (0, 9, 4)
        for key in (encode_account_key(ZERO_ADDRESS), encode_file_key(some_hash("unknown"))):
            with pytest.raises(NotFound):
                reader.prove_entry(key, 8)


def test_entries_are_proven_again_after_the_file_of_proofs_was_lost(tmp_path: Path) -> None:
    chronicle = begin()
    seen = grow(chronicle)
    take_snapshots(chronicle, tmp_path / "snapshots")
    (tmp_path / "proofs.sqlite").unlink()
    take_snapshots(chronicle, tmp_path / "snapshots")
    with closing(ProofReader(tmp_path / "proofs.sqlite")) as reader:
        check_all_proofs(reader, chronicle, seen)


def test_entries_written_by_two_lives_are_those_of_one(tmp_path: Path) -> None:
    chronicle = begin()
    seen = grow(chronicle)
    older, _ = take_snapshots(chronicle, tmp_path / "snapshots")
    sealer = Sealer(GenesisEntry(PARAMETERS), tmp_path / "proofs.sqlite", tmp_path / "snapshots", older.name)
    for height, entry in chronicle.journal.read(sealer.height):
        sealer.apply(height, decode_entry(entry))
    with closing(ProofReader(tmp_path / "proofs.sqlite")) as reader:
        check_all_proofs(reader, chronicle, seen)


def test_an_entry_of_an_epoch_that_is_not_in_yet_is_no_answer(tmp_path: Path) -> None:
    chronicle, path = begin(), tmp_path / "proofs.sqlite"
    grow(chronicle)
    with closing(ProofWriter(path, PARAMETERS.genesis_hash)) as writer, closing(ProofReader(path)) as reader:
        for epoch in range(1, len(GROWTH) + 1):
            with pytest.raises(Overloaded):
                reader.prove_entry(encode_account_key(ALICE), epoch)
            writer.write(chronicle.sealed[epoch])
            reader.prove_entry(encode_account_key(ALICE), epoch)
            with pytest.raises(NotFound):
                reader.prove_entry(encode_account_key(STRANGER), min(epoch, 5))


def test_an_epoch_of_no_entries_has_none_to_prove(tmp_path: Path) -> None:
    chronicle, path = begin(), tmp_path / "proofs.sqlite"
    end_epoch(chronicle)
    assert chronicle.sealed[1].commitment.extra_root == bytes(32)
    with closing(ProofWriter(path, PARAMETERS.genesis_hash)) as writer, closing(ProofReader(path)) as reader:
        writer.write(chronicle.sealed[1])
        for key in (encode_account_key(ALICE), encode_file_key(FILE)):
            with pytest.raises(NotFound):
                reader.prove_entry(key, 1)
