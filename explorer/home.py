"""The front page: how far the ledger is, what happened last, what of it is on Ethereum."""

from collections.abc import Mapping
from typing import Final

import msgspec

from explorer.status import EpochStage, PaymentStatus, compute_epoch_stage, compute_payment_status
from node.ethereum.submission import Attempt, EpochStatus, Inclusion
from node.index import Counters, IndexedBlock, IndexedEpoch, IndexedPayment, IndexReader

PAYMENTS_SHOWN: Final = 20
BLOCKS_SHOWN: Final = 10
EPOCHS_SHOWN: Final = 10


class HomeFacts(msgspec.Struct, frozen=True):
    """What the index has, newest first. Each list is of one moment, later ones perhaps of a later moment."""

    counters: Counters
    open_epoch: IndexedEpoch
    payments: tuple[IndexedPayment, ...]
    blocks: tuple[IndexedBlock, ...]
    ended_epochs: tuple[IndexedEpoch, ...]

    @property
    def epochs(self) -> set[int]:
        """Those whose way to Ethereum the page speaks of."""
        return {payment.epoch for payment in self.payments} | {epoch.number for epoch in self.ended_epochs}


class PaymentLine(msgspec.Struct, frozen=True):
    payment: IndexedPayment
    status: PaymentStatus


class EpochLine(msgspec.Struct, frozen=True):
    epoch: IndexedEpoch
    stage: EpochStage
    inclusion: Inclusion | None
    last_attempt: Attempt | None

    @property
    def fee_wei(self) -> int | None:
        """What the transaction cost that brought it to Ethereum."""
        return None if self.inclusion is None else self.inclusion.gas_used * self.inclusion.effective_gas_price


def read_home(index: IndexReader) -> HomeFacts:
    """Four look-ups, none of which grows with history."""
    open_epoch, *ended = index.list_epochs(limit=EPOCHS_SHOWN + 1)
    return HomeFacts(
        counters=index.get_counters(),
        open_epoch=open_epoch,
        payments=index.list_payments(limit=PAYMENTS_SHOWN).items,
        blocks=tuple(index.list_blocks(limit=BLOCKS_SHOWN)),
        ended_epochs=tuple(ended),
    )


def list_payment_lines(facts: HomeFacts, statuses: Mapping[int, EpochStatus | None]) -> list[PaymentLine]:
    return [PaymentLine(payment, compute_payment_status(statuses[payment.epoch])) for payment in facts.payments]


def list_epoch_lines(facts: HomeFacts, statuses: Mapping[int, EpochStatus | None]) -> list[EpochLine]:
    return [_build_epoch_line(epoch, statuses[epoch.number]) for epoch in facts.ended_epochs]


def _build_epoch_line(epoch: IndexedEpoch, status: EpochStatus | None) -> EpochLine:
    return EpochLine(
        epoch=epoch,
        stage=compute_epoch_stage(epoch, status),
        inclusion=None if status is None else status.inclusion,
        last_attempt=status.attempts[-1] if status is not None and status.attempts else None,
    )
