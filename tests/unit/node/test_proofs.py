"""Proofs of accounts as of any sealed epoch, and while the file that they come from is being made again."""

from contextlib import closing
from pathlib import Path

import pytest

from chain.errors import NotFound
from chain.evidence import check_account_proof
from node.proofs import ProofReader, ProofWriter
from node.refusals import Overloaded
from tests.unit.chain.actors import ALICE, BOB, CAROL, PARAMETERS, deposit
from tests.unit.node.chronicle import Chronicle

ASSET = deposit(0, ALICE, 1).asset


def make_history() -> Chronicle:
    """Epoch 1 credits Alice, epoch 2 Bob."""
    chronicle = Chronicle()
    for index, account in enumerate((ALICE, BOB)):
        chronicle.add_block(deposit(index, account, 5))
        chronicle.cut()
        chronicle.seal()
    return chronicle


def test_an_epoch_that_is_not_in_yet_is_no_answer(tmp_path: Path) -> None:
    """Neither "no such account", which would be false, nor another epoch's leaf."""
    chronicle, path = make_history(), tmp_path / "proofs.sqlite"
    with closing(ProofWriter(path, PARAMETERS.genesis_hash)) as writer, closing(ProofReader(path)) as reader:
        for epoch in (1, 2):
            with pytest.raises(Overloaded):
                reader.prove_account(ASSET, ALICE, epoch, epoch)
            writer.write(chronicle.sealed[epoch])
        assert reader.prove_account(ASSET, ALICE, 1, 1).leaf == reader.prove_account(ASSET, ALICE, 2, 2).leaf
        assert reader.prove_account(ASSET, BOB, 2, 2).leaf.closing == 5
        with pytest.raises(NotFound):
            reader.prove_account(ASSET, BOB, 1, 1)
        with pytest.raises(NotFound):
            reader.prove_account(ASSET, CAROL, 2, 2)


def test_an_epoch_written_again_is_the_same(tmp_path: Path) -> None:
    chronicle, path = make_history(), tmp_path / "proofs.sqlite"
    with closing(ProofWriter(path, PARAMETERS.genesis_hash)) as writer, closing(ProofReader(path)) as reader:
        for epoch in (1, 2, 1, 2):
            writer.write(chronicle.sealed[epoch])
        assert writer.epoch == 2
        check_account_proof(reader.prove_account(ASSET, ALICE, 2, 2), chronicle.sealed[2].commitment)
