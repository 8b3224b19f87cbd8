"""No payment and no epoch is shown further than there is evidence for."""

import pytest

from explorer.status import EpochStage, compute_epoch_stage
from node.ethereum.submission import EpochState
from node.index import IndexedEpoch
from node.payment_status import PaymentStatus, compute_payment_status
from tests.unit.explorer.conftest import World
from tests.unit.node.index.history import RandomLedger


def test_a_payment_of_an_epoch_that_the_committer_has_not_seen_is_accepted() -> None:
    assert compute_payment_status(None) == PaymentStatus.ACCEPTED


@pytest.mark.parametrize(
    ("state", "payment", "epoch"),
    [
        (EpochState.SEALED, PaymentStatus.ACCEPTED, EpochStage.SEALED),
        (EpochState.SENT, PaymentStatus.ACCEPTED, EpochStage.SENT),
        (EpochState.MINED, PaymentStatus.COMMITTED, EpochStage.MINED),
        (EpochState.FINAL, PaymentStatus.FINAL, EpochStage.FINAL),
    ],
)
def test_a_payment_is_as_far_as_its_epoch(
    world: World, history: RandomLedger, state: EpochState, payment: PaymentStatus, epoch: EpochStage
) -> None:
    status = world.send(history, 1, state)
    indexed = world.index.get_epoch(1)
    assert indexed is not None
    assert compute_payment_status(status) == payment
    assert compute_epoch_stage(indexed, status) == epoch


@pytest.mark.parametrize(
    ("cut_at", "is_sealed", "stage"),
    [(None, False, EpochStage.OPEN), (1, False, EpochStage.CUT), (1, True, EpochStage.SEALED)],
)
def test_before_the_committer_knows_an_epoch_the_journal_says_how_far_it_is(
    cut_at: int | None, is_sealed: bool, stage: EpochStage
) -> None:
    epoch = IndexedEpoch(1, 1, 1, 1, 1, cut_at, is_sealed)
    assert compute_epoch_stage(epoch, None) == stage
