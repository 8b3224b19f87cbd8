"""Replaying a ledger with a data exchange in it: its extra root, its snapshots, and every tampering by name."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec
import pytest

from chain.block import Block, Record, decode_block, encode_block, encode_record
from chain.commitment import hash_commitment
from chain.errors import BrokenInvariant
from chain.instruction import Instruction, SignedInstruction
from chain.ledger import Ledger
from chain.payment import Payment
from chain.primitives import ZERO_HASH
from chain.registry import RegistryChanges, decode_entry
from chain.transition import replay_block
from tests.unit.chain.actors import (
    ALICE,
    BOB,
    BOB_KEY,
    CAROL,
    DOMAIN,
    ETHER,
    START_MS,
    TOKEN,
    deposit,
    make_block,
    make_payment,
    some_hash,
)
from tests.unit.chain.exchange import (
    DORA,
    ERIK,
    FILE,
    OPENING,
    PARAMETERS,
    UNPAID,
    delist,
    extend,
    list_file,
    make_empty_exchange,
    make_instruction,
    purchase,
    register,
    register_owner,
    sign,
    sign_all,
    update_price,
    upload,
)
from tests.vectors import reference

NEW: Final = some_hash("a new file")
FRANK: Final = b"\xf4" * 20
"""Of whom nobody has heard, until a listing names him."""
SHARES: Final = ((ALICE, 50), (FRANK, 45), (DORA, 5))
DEPOSITS: Final = tuple(
    deposit(index, account, 10**12, asset)
    for asset in (ETHER, TOKEN)
    for index, account in enumerate((ALICE, BOB, CAROL, DORA, ERIK))
)


def make_ledger(*, is_auditing: bool = True, is_open: bool = True) -> Ledger:
    """With everybody's money in block 1 and, if it is open, `OPENING` in block 2."""
    ledger = Ledger(PARAMETERS, is_auditing=is_auditing)
    for asset in (ETHER, TOKEN):
        ledger.list_asset(asset)
    ledger.apply_block(make_block(ledger, *DEPOSITS))
    if is_open:
        apply(ledger, *OPENING)
    return ledger


def apply(ledger: Ledger, *orders: Payment | Instruction) -> Block:
    """A block of these."""
    block = make_block(ledger, *sign_all(orders))
    ledger.apply_block(block)
    return block


# --- the extra root


def test_without_roles_and_listings_the_extra_root_is_zero() -> None:
    ledger = make_ledger(is_open=False)
    assert ledger.extra_root == ZERO_HASH
    sealed = ledger.cut(1, START_MS + 1000)
    assert (sealed.commitment.extra_root, sealed.registry) == (ZERO_HASH, RegistryChanges(0, [], []))


def test_the_extra_root_says_who_takes_part_and_what_is_listed() -> None:
    ledger = make_ledger()
    sealed = ledger.cut(1, START_MS + 1000)
    entries = [entry for _, entry in sealed.registry.leaves]
    assert sealed.commitment.extra_root == ledger.extra_root == reference.extra_root(entries)
    decoded = [decode_entry(entry) for entry in entries]
    accounts = [entry.account for entry in decoded if hasattr(entry, "account")]
    files = [entry.file for entry in decoded if hasattr(entry, "file")]
    assert accounts == [ALICE, ERIK, BOB, DORA, CAROL]
    assert files == [ledger.state.files[FILE], ledger.state.files[UNPAID]]


def test_it_changes_with_the_epoch_that_changes_it() -> None:
    ledger = make_ledger()
    roots = [ledger.cut(1, START_MS + 1000).commitment.extra_root]
    assert ledger.cut(2, START_MS + 2000).commitment.extra_root == roots[0]
    for epoch, order in enumerate((purchase(), update_price(7), extend(1, nonce=1), delist(nonce=2)), 3):
        apply(ledger, order)
        assert ledger.extra_root == roots[-1]
        sealed = ledger.cut(epoch, START_MS + epoch * 1000)
        roots.append(sealed.commitment.extra_root)
        assert len(sealed.registry.leaves) == (0 if order == purchase() else 1)
    assert [first == second for first, second in pairwise(roots)] == [True, False, False, False]


def test_a_price_that_comes_back_has_the_root_that_it_had() -> None:
    ledger = make_ledger()
    before = ledger.cut(1, START_MS + 1000).commitment.extra_root
    apply(ledger, update_price(7), update_price(100, nonce=1))
    sealed = ledger.cut(2, START_MS + 2000)
    assert (sealed.commitment.extra_root, len(sealed.registry.leaves)) == (before, 1)


def test_instructions_touch_no_leaf() -> None:
    ledger = make_ledger()
    ledger.cut(1, START_MS + 1000)
    apply(ledger, register(ALICE, "mart"), update_price(7, nonce=1), list_file(NEW, 2), register(CAROL, "mart"))
    sealed = ledger.cut(2, START_MS + 2000)
    assert [(change.leaves, change.nodes) for change in sealed.changes] == [([], [])] * 2


def test_nonces_of_instructions_are_in_the_next_leaf() -> None:
    """Debits ascend all the same: one that waited in the window is passed by an instruction's nonce."""
    ledger = make_ledger()
    apply(ledger, make_payment(nonce=2), make_payment(nonce=1), update_price(7, nonce=0), make_payment(nonce=4))
    apply(ledger, update_price(8, nonce=3))
    sealed = ledger.cut(1, START_MS + 1000)
    (changes,) = [change for change in sealed.changes if change.asset == TOKEN]
    assert ledger.state.get_nonces(ALICE).base == 5
    assert changes.leaves[0][1][48:56] == (5).to_bytes(8, "big")


# --- snapshots


def test_a_restored_ledger_goes_on_as_if_it_had_never_stopped() -> None:
    ledger = make_ledger()
    apply(ledger, purchase(), update_price(7))
    ledger.cut(1, START_MS + 1000)
    restored = Ledger.restore(PARAMETERS, ledger.take_snapshot())
    assert restored.extra_root == ledger.extra_root
    assert restored.state.compute_fingerprint() == ledger.state.compute_fingerprint()
    for epoch in (2, 3):
        orders: tuple[Payment | Instruction, ...] = (
            (list_file(NEW, 1, owner=FRANK), upload(NEW, 2), register(DORA, "mart"), upload(UNPAID, 3))
            if epoch == 2
            else (purchase(NEW, 1, *SHARES), delist(nonce=4), extend(2, nonce=5))
        )
        block = make_block(ledger, *sign_all(orders))
        assert restored.apply_block(block) == ledger.apply_block(block)
        assert restored.state.compute_fingerprint() == ledger.state.compute_fingerprint()
        assert restored.cut(epoch, START_MS + epoch * 1000) == ledger.cut(epoch, START_MS + epoch * 1000)
        assert restored.take_snapshot() == ledger.take_snapshot()
        restored = Ledger.restore(PARAMETERS, restored.take_snapshot())


def test_what_was_bought_is_remembered() -> None:
    ledger = make_ledger()
    apply(ledger, purchase())
    ledger.cut(1, START_MS + 1000)
    restored = Ledger.restore(PARAMETERS, ledger.take_snapshot())
    with pytest.raises(BrokenInvariant, match="already_purchased"):
        apply(restored, purchase(FILE, 1))


def test_a_snapshot_stays_what_it_was() -> None:
    ledger = make_ledger()
    ledger.cut(1, START_MS + 1000)
    snapshot = ledger.take_snapshot()
    before = Ledger.restore(PARAMETERS, snapshot).state.compute_fingerprint()
    apply(ledger, purchase(), update_price(7), register(CAROL, "mart"))
    ledger.cut(2, START_MS + 2000)
    assert Ledger.restore(PARAMETERS, snapshot).state.compute_fingerprint() == before


# --- tampering

TAMPERINGS: Final[dict[str, tuple[Sequence[Record], str]]] = {
    "an instruction twice": (sign_all([update_price(7), update_price(7)]), "record 1 of block 3: nonce_used"),
    "an instruction on a payment's nonce": (sign_all([make_payment(), update_price(7)]), "record 1 .*: nonce_used"),
    "a payment on an instruction's nonce": (sign_all([update_price(7), make_payment()]), "record 1 .*: nonce_used"),
    "a late instruction": (sign_all([make_instruction("Delist", valid_until=5)]), "record 0 .*: expired"),
    "a nonce beyond the window": (sign_all([update_price(7, nonce=256)]), "record 0 .*: nonce_too_far"),
    "a role twice": (sign_all([register(BOB, "mart")]), "record 0 of block 3: already_registered"),
    "an owner under another validator": (sign_all([register_owner(CAROL, ERIK)]), "record 0 .*: already_registered"),
    "an owner under nobody": (sign_all([register_owner(BOB, CAROL)]), "record 0 of block 3: wrong_role"),
    "a listing by a mart": (sign_all([list_file(NEW, account=BOB)]), "record 0 of block 3: wrong_role"),
    "a file listed twice": (sign_all([list_file(FILE)]), "record 0 of block 3: already_listed"),
    "another validator's owner": (sign_all([list_file(NEW, account=ERIK)]), "record 0 .*: foreign_validator"),
    "an owner from a listing that is not paid for": (
        sign_all([list_file(NEW, owner=FRANK)]),
        "record 0 .*: wrong_role",
    ),
    "a listing paid for after something else": (
        (*sign_all([list_file(NEW, owner=FRANK)]), deposit(5), *sign_all([upload(NEW, 1)])),
        "record 0 of block 3: wrong_role",
    ),
    "a listing paid for before": (sign_all([upload(NEW, 1), list_file(NEW)]), "record 0 .*: unknown_reference"),
    "a listing paid for too little": (
        sign_all([list_file(NEW, owner=FRANK), upload(NEW, 1, amount=1)]),
        "record 1 of block 3: wrong_outputs",
    ),
    "another's price": (sign_all([update_price(7, account=ERIK)]), "record 0 of block 3: foreign_validator"),
    "another's end": (sign_all([delist(account=ERIK)]), "record 0 of block 3: foreign_validator"),
    "a purchase below the price": (
        sign_all([purchase(FILE, 0, (ALICE, 1))]),
        "record 0 of block 3: wrong_price",
    ),
    "a purchase at a price that came later": (
        sign_all([purchase(FILE, 0, (ALICE, 3), (CAROL, 4)), update_price(7)]),
        "record 0 of block 3: wrong_price",
    ),
    "a purchase twice": (sign_all([purchase(), purchase(FILE, 1)]), "record 1 of block 3: already_purchased"),
    "a purchase by who is no mart": (sign_all([purchase(payer=CAROL)]), "record 0 of block 3: wrong_role"),
    "a purchase that keeps the owner's share": (
        sign_all([purchase(FILE, 0, (ALICE, 50), (BOB, 45), (DORA, 5))]),
        "record 0 of block 3: wrong_outputs",
    ),
    "an upload twice": (sign_all([upload(FILE)]), "record 0 of block 3: already_uploaded"),
    "an extension of what nobody keeps": (sign_all([extend(1, UNPAID)]), "record 0 of block 3: not_uploaded"),
    "an extension by another": (sign_all([extend(1, payer=ERIK)]), "record 0 of block 3: foreign_validator"),
}


@pytest.mark.parametrize("is_auditing", [True, False], ids=["auditing", "replaying"])
@pytest.mark.parametrize(("records", "problem"), TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampering_stops_the_replay(records: Sequence[Record], problem: str, is_auditing: bool) -> None:
    ledger = make_ledger(is_auditing=is_auditing)
    with pytest.raises(BrokenInvariant, match=problem):
        ledger.apply_block(make_block(ledger, *records))


@pytest.mark.parametrize(("records", "problem"), TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampering_stops_the_replay_of_a_state_alone(records: Sequence[Record], problem: str) -> None:
    ledger, state = make_ledger(is_open=False), make_empty_exchange()
    state.block_hash, state.block_number, state.timestamp = ledger.state.block_hash, 1, ledger.state.timestamp
    replay_block(state, apply(ledger, *OPENING))
    assert state.compute_fingerprint() == ledger.state.compute_fingerprint()
    with pytest.raises(BrokenInvariant, match=problem):
        replay_block(state, make_block(ledger, *records))


def test_an_upload_does_not_reach_over_two_blocks() -> None:
    ledger = make_ledger()
    with pytest.raises(BrokenInvariant, match="record 0 of block 3: wrong_role"):
        apply(ledger, list_file(NEW, owner=FRANK))
    ledger = make_ledger()
    apply(ledger, list_file(NEW))
    apply(ledger, upload(NEW, 1))


LISTING: Final = sign(list_file(NEW))


def alter(signed: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(signed, **fields)


AUDITED: Final[dict[str, tuple[SignedInstruction, str]]] = {
    "another's signature": (alter(LISTING, signature=sign(list_file(NEW), BOB_KEY).signature), "invalid_signature"),
    "no signature": (alter(LISTING, signature=bytes(65)), "invalid_signature"),
    "a signature for another price": (
        alter(LISTING, signature=sign(list_file(NEW, price=99)).signature),
        "invalid_signature",
    ),
    "content under another's id": (alter(LISTING, instruction=list_file(NEW, price=99)), "invalid_proof: its id is"),
    "another id": (alter(LISTING, id=some_hash("x")), "invalid_proof: its id is 0x.*, its content gives 0x"),
    "a structure that signing does not mend": (sign(list_file(NEW, price=0)), "malformed_instruction: price"),
    "a role that nobody has": (sign(register(ALICE, "operator")), "unknown_role"),
    "an account of nobody": (
        alter(sign(make_instruction("Register")), instruction=register(bytes(20), "mart")),
        "zero_address",
    ),
}


@pytest.mark.parametrize(("record", "problem"), AUDITED.values(), ids=AUDITED)
def test_an_audit_computes_ids_and_signatures_again(record: SignedInstruction, problem: str) -> None:
    ledger = make_ledger()
    with pytest.raises(BrokenInvariant, match=f"record 0 of block 3: {problem}"):
        ledger.apply_block(make_block(ledger, record))


def test_an_instruction_for_another_deployment_does_not_count_here() -> None:
    elsewhere = msgspec.structs.replace(PARAMETERS, settlement=b"\x11" * 20)
    ledger = Ledger(elsewhere, is_auditing=True)
    with pytest.raises(BrokenInvariant, match="its content gives 0x"):
        ledger.apply_block(make_block(ledger, sign(make_instruction("Register"))))


def test_another_market_is_another_ledger() -> None:
    """Whoever changes the split begins anew: no block of the one hangs on the other."""
    other = msgspec.structs.replace(
        PARAMETERS, market=msgspec.structs.replace(PARAMETERS.market, owner_share=4501, commission=499)
    )
    block = make_block(Ledger(PARAMETERS), sign(make_instruction("Register")))
    with pytest.raises(BrokenInvariant, match="block 1 does not follow"):
        Ledger(other).apply_block(block)


def test_auditing_replaying_and_the_journal_give_the_same() -> None:
    auditing, replaying = make_ledger(), make_ledger(is_auditing=False)
    orders = (
        (list_file(NEW, 0, owner=FRANK), upload(NEW, 1)),
        (purchase(NEW, 0, *SHARES), register_owner(BOB, ERIK, 1), extend(2, nonce=2), delist(nonce=3)),
    )
    for part in orders:
        block = make_block(auditing, *sign_all(part))
        stored = decode_block(encode_block(block.header, [encode_record(record) for record in block.records]))
        assert stored == block
        assert auditing.apply_block(block) == replaying.apply_block(stored)
    first, second = auditing.cut(1, START_MS + 1000), replaying.cut(1, START_MS + 1000)
    assert first == second
    assert hash_commitment(first.commitment, DOMAIN) == hash_commitment(second.commitment, DOMAIN)
    assert auditing.state.compute_fingerprint() == replaying.state.compute_fingerprint()
