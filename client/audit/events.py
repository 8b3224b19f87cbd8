"""What a ledger consists of, in its order, wherever it is read from."""

from typing import TypeAlias

import msgspec

from chain.block import Block
from chain.commitment import Commitment
from chain.primitives import Address, Hash, Signature


class AssetListed(msgspec.Struct, frozen=True):
    asset: Address


class BlockRead(msgspec.Struct, frozen=True):
    block: Block
    signature: Signature | None
    """None where the source has none; a remark or a disagreement is the source's to make."""
    stated_hash: Hash | None = None


class EpochCut(msgspec.Struct, frozen=True):
    epoch: int
    cut_at: int
    """Milliseconds."""


class EpochSealed(msgspec.Struct, frozen=True):
    """The published commitment of an epoch that was cut before."""

    commitment: Commitment
    signature: Signature
    l1_transaction: Hash | None = None
    """What the source says of Ethereum, if it says anything."""
    included_at: int | None = None


class Unreadable(msgspec.Struct, frozen=True):
    """Something that belongs here and is missing or malformed. The replay cannot go on over it."""

    where: str
    what: str


Event: TypeAlias = AssetListed | BlockRead | EpochCut | EpochSealed | Unreadable
