"""How far a payment has come, in the words of the glossary: it follows from its epoch alone, because commitments are
mined, and become final, one after the other."""

from enum import StrEnum

import msgspec

from node.ethereum.submission import EpochState, EpochStatus


class PaymentStatus(StrEnum):
    ACCEPTED = "accepted"
    COMMITTED = "committed"
    FINAL = "final"


def compute_payment_status(status: EpochStatus | None) -> PaymentStatus:
    """Of every payment in the epoch that the committer says `status` of; None if it has not heard of it."""
    if status is None or status.inclusion is None:
        return PaymentStatus.ACCEPTED
    return PaymentStatus.FINAL if status.state == EpochState.FINAL else PaymentStatus.COMMITTED


class Commitments(msgspec.Struct, frozen=True):
    """How far Ethereum is: the last epoch that is mined, and the last that is final; 0 for none."""

    mined_epoch: int
    final_epoch: int

    def compute_status(self, epoch: int) -> PaymentStatus:
        """Of every payment in that epoch."""
        if epoch <= self.final_epoch:
            return PaymentStatus.FINAL
        return PaymentStatus.COMMITTED if epoch <= self.mined_epoch else PaymentStatus.ACCEPTED

    def find_epochs(self, status: PaymentStatus) -> tuple[int | None, int | None]:
        """The first and the last epoch whose payments have that status; None where there is no end."""
        match status:
            case PaymentStatus.ACCEPTED:
                return self.mined_epoch + 1, None
            case PaymentStatus.COMMITTED:
                return self.final_epoch + 1, self.mined_epoch
            case PaymentStatus.FINAL:
                return None, self.final_epoch
