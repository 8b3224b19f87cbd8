"""How far a payment and an epoch have come, in the words of the glossary. Never more than there is evidence for."""

from enum import StrEnum

import msgspec

from node.ethereum.submission import Attempt, EpochStatus, Inclusion
from node.index import IndexedEpoch, IndexedRecord
from node.payment_status import PaymentStatus, compute_payment_status


class EpochStage(StrEnum):
    OPEN = "open"
    CUT = "cut"
    SEALED = "sealed"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"


class Mark(StrEnum):
    DONE = "done"
    CURRENT = "current"
    TODO = "todo"


class Line(msgspec.Struct, frozen=True):
    """The way of a record to finality, with what there is to show for each step."""

    record: IndexedRecord
    epoch: IndexedEpoch
    status: EpochStatus | None
    due_at: int
    """Milliseconds: when the open epoch ends."""

    @property
    def stage(self) -> EpochStage:
        return compute_epoch_stage(self.epoch, self.status)

    @property
    def marks(self) -> dict[str, Mark]:
        """Of the steps accepted, sealed, sent, committed, final; in this order."""
        stage = self.stage
        reached = {
            "accepted": True,
            "sealed": stage not in (EpochStage.OPEN, EpochStage.CUT),
            "sent": stage in (EpochStage.SENT, EpochStage.MINED, EpochStage.FINAL),
            "committed": self.inclusion is not None,
            "final": stage is EpochStage.FINAL,
        }
        first_open = next((name for name, is_reached in reached.items() if not is_reached), None)
        return {
            name: Mark.DONE if is_reached else Mark.CURRENT if name == first_open else Mark.TODO
            for name, is_reached in reached.items()
        }

    @property
    def inclusion(self) -> Inclusion | None:
        return None if self.status is None else self.status.inclusion

    @property
    def last_attempt(self) -> Attempt | None:
        return self.status.attempts[-1] if self.status is not None and self.status.attempts else None

    @property
    def word(self) -> PaymentStatus:
        return compute_payment_status(self.status)


def compute_epoch_stage(epoch: IndexedEpoch, status: EpochStatus | None) -> EpochStage:
    """What the committer says; before it says anything, what is in the journal."""
    if status is not None:
        return EpochStage(status.state.value)
    if epoch.is_sealed:
        return EpochStage.SEALED
    return EpochStage.OPEN if epoch.cut_at is None else EpochStage.CUT
