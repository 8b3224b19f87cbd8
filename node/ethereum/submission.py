"""What is known of a commitment on its way to Ethereum: its seal, the attempts to send it, its inclusion."""

from enum import StrEnum

import msgspec

from chain.commitment import Commitment
from chain.primitives import Hash, Signature


class Fees(msgspec.Struct, frozen=True):
    """Of an EIP-1559 transaction; of a legacy one, both are its gas price. Wei per gas."""

    max_fee: int
    priority_fee: int
    """Part of `max_fee`, never above it."""


class Seal(msgspec.Struct, frozen=True):
    """A commitment that the operator has signed."""

    commitment: Commitment
    signature: Signature
    digest: Hash
    sealed_at: int
    """Milliseconds: when it came to the committer, or was found on chain."""

    @property
    def epoch(self) -> int:
        return self.commitment.epoch


class AttemptOutcome(StrEnum):
    """What became of a transaction of ours. Final only as far as its L1 block is."""

    INCLUDED = "included"
    REVERTED = "reverted"
    """Mined, and paid for, but the contract said no."""
    REPLACED = "replaced"
    """Its nonce was used by another transaction."""


class Attempt(msgspec.Struct, frozen=True):
    """One signed transaction. Those of one epoch and one nonce replace each other."""

    epoch: int
    number: int
    """From 1, within the epoch."""
    hash: Hash
    nonce: int
    gas_limit: int
    fees: Fees
    raw: bytes
    """What is broadcast: the signed transaction (EIP-2718)."""
    sent_at: int
    """Milliseconds: when it was written down, just before it was first sent."""
    l1_block: int
    """The newest L1 block then."""
    outcome: AttemptOutcome | None = None
    """None while it may still be mined."""
    gas_used: int | None = None
    effective_gas_price: int | None = None
    """Wei per gas."""
    problem: str = ""
    """Why it was reverted, in the contract's words."""

    @property
    def is_legacy(self) -> bool:
        """Whether its bytes are a transaction from before EIP-2718: an RLP list, which begins with 0xc0 or above."""
        return self.raw[:1] >= b"\xc0"

    @property
    def cost(self) -> int:
        """Wei that it has cost; 0 while that is not known, and for what was never mined."""
        return (self.gas_used or 0) * (self.effective_gas_price or 0)

    @property
    def most_cost(self) -> int:
        """Wei that it can cost at most."""
        return self.gas_limit * self.fees.max_fee


class Inclusion(msgspec.Struct, frozen=True):
    """Where a commitment was included, whoever sent it."""

    epoch: int
    digest: Hash
    included_at: int
    """Seconds: what the contract noted."""
    l1_transaction: Hash
    l1_block: int
    l1_block_hash: Hash
    gas_used: int
    effective_gas_price: int
    """Wei per gas."""


class EpochState(StrEnum):
    SEALED = "sealed"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"


class EpochStatus(msgspec.Struct, frozen=True):
    """All that is known of one epoch's way to Ethereum. What is None has not happened."""

    epoch: int
    state: EpochState
    digest: Hash
    sealed_at: int
    """Milliseconds."""
    attempts: tuple[Attempt, ...]
    inclusion: Inclusion | None
    confirmations: int
    """L1 blocks from the one that includes it to the newest, both counted; 0 if it is not mined."""
    final_at: int | None
    """Seconds: the L1 time after which it can not be questioned any more."""
    is_ours: bool
    """Whether the transaction that was included is one of the attempts."""

    @property
    def cost(self) -> int:
        """Wei that all attempts together have cost, as far as it is known what became of them."""
        return sum([attempt.cost for attempt in self.attempts])

    @property
    def is_settled(self) -> bool:
        """Whether it is known of all attempts what became of them."""
        return all(attempt.outcome is not None for attempt in self.attempts)
