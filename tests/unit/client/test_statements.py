"""Statements: the sums, and the commitment to them."""

from typing import Any

import msgspec
import pytest

from chain import wire
from chain.account import decode_account_leaf, hash_account_leaf
from chain.block import PAYMENT
from chain.commitment import Commitment, hash_commitment
from chain.errors import InvalidProof, InvalidSignature
from chain.evidence import AccountProof
from chain.ledger import Ledger as Replay
from chain.merkle import SumTree
from chain.signatures import sign_digest
from chain.statement import Credit, Debit
from client import protocol
from client.audit.events import AssetListed, BlockRead, EpochCut
from client.protocol import CommittedAccount, StatementEntry, StatementPage
from client.statements import check_commitment, check_sums
from tests.unit.client.scene import (
    ALICE,
    BOB,
    BOB_KEY,
    DOMAIN,
    LEDGER,
    OPERATOR_KEY,
    PARAMETERS,
    TOKEN,
    Scene,
)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


@pytest.fixture(scope="module")
def committed(scene: Scene) -> CommittedAccount:
    """Bob's leaf of epoch 1."""
    replay, sealed = Replay(PARAMETERS), None
    for event in scene.events:
        if isinstance(event, AssetListed):
            replay.list_asset(event.asset)
        elif isinstance(event, BlockRead):
            replay.apply_block(event.block)
        elif isinstance(event, EpochCut):
            sealed = replay.cut(event.epoch, event.cut_at)
            break
    assert sealed is not None
    leaves = [leaf for _, leaf in sealed.changes[1].leaves]
    tree = SumTree([(hash_account_leaf(leaf), decode_account_leaf(leaf).closing) for leaf in leaves])
    index = next(place for place, leaf in enumerate(leaves) if decode_account_leaf(leaf).owner == BOB)
    proof = AccountProof(decode_account_leaf(leaves[index]), index, tuple(tree.prove(index)))
    commitment, signature, _ = scene.sealed[0]
    return CommittedAccount(1, commitment, signature, proof, {})


def make_pages(scene: Scene) -> list[StatementPage]:
    """Bob's statement of epoch 1, in two pages."""
    first = StatementEntry(2, 0, 0, Credit(2, 0, 0, PAYMENT, scene.first.id, 70), 70)
    second = StatementEntry(2, 1, 0, Credit(2, 1, 0, PAYMENT, scene.second.id, 30), 100)
    whole = StatementPage(TOKEN, 1, 0, 100, (first,), None, None, "more", {})
    return [whole, msgspec.structs.replace(whole, entries=(second,), cursor=None)]


def test_a_true_statement_holds(scene: Scene, committed: CommittedAccount) -> None:
    pages = make_pages(scene)
    check_sums(pages)
    check_commitment(pages, committed, BOB, LEDGER)


def alter(pages: list[StatementPage], **fields: Any) -> list[StatementPage]:
    entry = pages[1].entries[0]
    return [pages[0], msgspec.structs.replace(pages[1], entries=(msgspec.structs.replace(entry, **fields),))]


def test_sums_that_do_not_add_up_are_found(scene: Scene) -> None:
    pages = make_pages(scene)
    with pytest.raises(InvalidProof, match="balance is 100"):
        check_sums(alter(pages, balance=99))
    with pytest.raises(InvalidProof, match="comes after"):
        check_sums(alter(pages, record=0))
    with pytest.raises(InvalidProof, match="end in 100"):
        check_sums([msgspec.structs.replace(pages[0], closing=101), pages[1]])
    with pytest.raises(InvalidProof, match="end in 70"):
        check_sums(pages[:1])


def test_entries_that_were_not_committed_to_are_found(scene: Scene, committed: CommittedAccount) -> None:
    pages = make_pages(scene)
    other = Credit(2, 1, 0, PAYMENT, bytes(32), 30)
    with pytest.raises(InvalidProof, match="credits"):
        check_commitment(alter(pages, entry=other), committed, BOB, LEDGER)
    with pytest.raises(InvalidProof, match="debits"):
        check_commitment(alter(pages, entry=Debit(PAYMENT, 0, bytes(32), 1)), committed, BOB, LEDGER)
    with pytest.raises(InvalidProof, match="balances"):
        check_commitment([msgspec.structs.replace(pages[0], opening=1), pages[1]], committed, BOB, LEDGER)


def test_a_leaf_of_somebody_else_or_another_epoch_is_found(scene: Scene, committed: CommittedAccount) -> None:
    pages = make_pages(scene)
    with pytest.raises(InvalidProof, match="another account"):
        check_commitment(pages, committed, ALICE, LEDGER)
    with pytest.raises(InvalidProof, match="of epoch 1"):
        check_commitment([msgspec.structs.replace(page, epoch=2) for page in pages], committed, BOB, LEDGER)


def sign(commitment: Commitment, key: Any = OPERATOR_KEY) -> bytes:
    return sign_digest(key, hash_commitment(commitment, DOMAIN))


def test_a_commitment_that_the_operator_did_not_sign_is_found(scene: Scene, committed: CommittedAccount) -> None:
    forged = msgspec.structs.replace(committed, signature=sign(committed.commitment, BOB_KEY))
    with pytest.raises(InvalidSignature):
        check_commitment(make_pages(scene), forged, BOB, LEDGER)


def test_a_leaf_that_does_not_lead_to_the_commitment_is_found(scene: Scene, committed: CommittedAccount) -> None:
    proof = msgspec.structs.replace(committed.proof, leaf=msgspec.structs.replace(committed.proof.leaf, credits=101))
    with pytest.raises(InvalidProof):
        check_commitment(make_pages(scene), msgspec.structs.replace(committed, proof=proof), BOB, LEDGER)


def test_pages_are_read_in_the_order_of_the_ledger(scene: Scene) -> None:
    entry = {"type": "0x1", "block": "0x2", "record": "0x0", "id": wire.encode_bytes(scene.first.id)}
    form = {
        "address": wire.encode_address(BOB),
        "asset": wire.encode_address(TOKEN),
        "epoch": "0x1",
        "opening": "0x5",
        "closing": "0x5",
        "debits": [{**entry, "amount": "0x7", "balance": "0x0", "number": "0x3"}],
        "credits": [{**entry, "output": "0x0", "amount": "0x7", "balance": "0x5"}],
        "debitsRoot": None,
        "creditsRoot": None,
        "debitsSum": "0x7",
        "creditsSum": "0x7",
        "cursor": None,
    }
    page = protocol.get_statement(BOB, TOKEN, 1).read(form)
    assert [type(line.entry) for line in page.entries] == [Debit, Credit]
    assert page.debits is None
    sealed = protocol.get_statement(BOB, TOKEN, 1).read({**form, "debitsRoot": "0x" + "01" * 32})
    assert sealed.debits == (b"\x01" * 32, 7)
