"""What fees were, and what to offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devnet.l1.block import Block, Header, get_base_fee
from devnet.l1.chain import Chain
from devnet.l1.execution import create_next_header
from devnet.l1.pool import decode_transaction

SUGGESTED_TIP_WEI: Final = 10**9
"""1 gwei per gas. Blocks are never full for long here, so nothing is gained by looking at what others pay."""

MAX_HISTORY_BLOCKS: Final = 1_024


@dataclass(frozen=True, slots=True)
class FeeHistory:
    oldest_block: int
    base_fees_wei: tuple[int, ...]
    """Of each block and of the one after the newest."""
    gas_used_ratios: tuple[float, ...]
    rewards_wei: tuple[tuple[int, ...], ...] | None
    """Per block, the tip at each percentile of its gas; None if no percentiles were asked for."""


def compute_next_base_fee(header: Header) -> int:
    """Of the block after this one; it does not depend on when that comes."""
    return get_base_fee(create_next_header(header, header.timestamp + 1))


def compute_fee_history(chain: Chain, block_count: int, newest: Header, percentiles: tuple[float, ...]) -> FeeHistory:
    """At most MAX_HISTORY_BLOCKS, and no more than there are."""
    block_count = min(block_count, MAX_HISTORY_BLOCKS, newest.block_number + 1)
    oldest_block = newest.block_number + 1 - block_count
    found = map(chain.get_header, range(oldest_block, newest.block_number + 1))
    headers = [header for header in found if header is not None]
    return FeeHistory(
        oldest_block=oldest_block,
        base_fees_wei=(*map(get_base_fee, headers), compute_next_base_fee(newest)),
        gas_used_ratios=tuple(header.gas_used / header.gas_limit for header in headers),
        rewards_wei=tuple(compute_rewards(chain.get_block(header), percentiles) for header in headers)
        if percentiles
        else None,
    )


def compute_rewards(block: Block, percentiles: tuple[float, ...]) -> tuple[int, ...]:
    """Tips at the percentiles (ascending) of the block's gas, the cheapest gas first; zeros for an empty block."""
    if not block.transactions:
        return (0,) * len(percentiles)
    tips = sorted(
        (compute_effective_tip(mined.raw, get_base_fee(block.header)), mined.gas_used) for mined in block.transactions
    )
    rewards = []
    index, gas_passed = 0, tips[0][1]
    for percentile in percentiles:
        threshold = block.header.gas_used * percentile / 100
        while gas_passed < threshold and index < len(tips) - 1:
            index += 1
            gas_passed += tips[index][1]
        rewards.append(tips[index][0])
    return tuple(rewards)


def compute_effective_tip(raw: bytes, base_fee_wei: int) -> int:
    transaction = decode_transaction(raw)
    return min(transaction.max_priority_fee_per_gas, transaction.max_fee_per_gas - base_fee_wei)
