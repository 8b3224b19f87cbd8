"""What the watcher notes of the deposits that it credits, to see it if Ethereum takes one back."""

import msgspec

from chain.primitives import Address, Hash


class Anchor(msgspec.Struct, frozen=True):
    """An L1 block that was final when it was read."""

    l1_block: int
    l1_block_hash: Hash


class CreditedDeposit(msgspec.Struct, frozen=True):
    asset: Address
    index: int
    account: Address
    amount: int
    anchor: Anchor
    """The final block in which it was queued, or a later one as of which the queue held it."""
