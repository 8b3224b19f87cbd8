"""How far a payment and an epoch have come, in the words of the glossary. Never more than there is evidence for."""

from enum import StrEnum

from node.ethereum.submission import EpochState, EpochStatus
from node.index import IndexedEpoch


class PaymentStatus(StrEnum):
    ACCEPTED = "accepted"
    COMMITTED = "committed"
    FINAL = "final"


class EpochStage(StrEnum):
    OPEN = "open"
    CUT = "cut"
    SEALED = "sealed"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"


def compute_payment_status(status: EpochStatus | None) -> PaymentStatus:
    """Of any payment in the epoch that the committer says `status` of; None if it has not heard of it."""
    if status is None or status.inclusion is None:
        return PaymentStatus.ACCEPTED
    return PaymentStatus.FINAL if status.state == EpochState.FINAL else PaymentStatus.COMMITTED


def compute_epoch_stage(epoch: IndexedEpoch, status: EpochStatus | None) -> EpochStage:
    """What the committer says; before it says anything, what is in the journal."""
    if status is not None:
        return EpochStage(status.state.value)
    if epoch.is_sealed:
        return EpochStage.SEALED
    return EpochStage.OPEN if epoch.cut_at is None else EpochStage.CUT
