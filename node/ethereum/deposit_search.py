"""Where deposits happened: the logs that belong to a stretch of the contract's queue, as of one final L1 block.

The queue holds each deposit's time, so the block is found by bisection and not by reading the chain from its start: a
restart in the middle of a long catch-up goes on where the ledger's count is, and days without deposits cost nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from chain.primitives import Address
from node.ethereum.credited import Anchor
from node.ethereum.faults import EthereumFault, RpcError
from node.ethereum.gateway import Gateway
from node.ethereum.l1 import DepositEvent, L1Block, QueuedDeposit
from node.ethereum.portion import Portion
from node.ethereum.watch_decision import FoundDeposit, Problem, match_deposits

_MAX_BLOCKS_KEPT: Final = 4_096
_MAX_LOGS_KEPT: Final = 4
"""For one deposit: there is one, and what else an endpoint makes up."""


class DepositSearch:
    """For one look. What is read of blocks is kept for as long: whoever uses what was found asks first whether the
    final block is still the same, and so all of it of one chain."""

    def __init__(
        self,
        gateway: Gateway,
        final: L1Block,
        cursor: Anchor | None,
        log_range: Portion,
        show: Callable[[int, int], None],
    ) -> None:
        """`cursor`: before it there is nothing to find, if the ledger is not an older copy than the cursor. `show`: is
        told the first and the last L1 block of each query for logs."""
        self._gateway = gateway
        self._final = final
        self._log_range = log_range
        self._show = show
        self._blocks: dict[int, L1Block] = {}
        self._after = cursor

    async def read(self, asset: Address, first: int, count: int) -> list[FoundDeposit] | Problem:
        """`count` deposits of the queue, which must be there. Raises `EthereumFault` or `WrongDeployment`."""
        queued = await self._gateway.get_deposits(asset, first, count, self._final.number)
        events = await self._read_events(asset, queued)
        await self._read_blocks({event.l1_block for event in events})
        blocks = {event.l1_block: await self._get_block(event.l1_block) for event in events}
        return match_deposits(queued, events, blocks)

    async def _read_events(self, asset: Address, queued: list[QueuedDeposit]) -> set[DepositEvent]:
        wanted: dict[int, set[DepositEvent]] = {deposit.index: set() for deposit in queued}
        first = await self._find_start(queued[0])
        is_near = self._final.number - first < self._log_range.count
        for deposit in queued:
            if not wanted[deposit.index] and not is_near:
                first = await self._gateway.find_block_at(deposit.timestamp, first, self._final.number, self._get_block)
            while not wanted[deposit.index]:
                last = min(first + self._log_range.count - 1, self._final.number)
                events = await self._query(asset, first, last)
                if events is None:
                    continue  # with a narrower range
                for event in events:
                    of_deposit = wanted.get(event.index, set())
                    if first <= event.l1_block <= last and len(of_deposit) < _MAX_LOGS_KEPT:
                        of_deposit.add(event)
                if not wanted[deposit.index] and (
                    last == self._final.number or (await self._get_block(last)).timestamp > deposit.timestamp
                ):
                    # It should have been there. To go on would be to read the chain to its end, each time again.
                    return set().union(*wanted.values())
                first = min(last + 1, self._final.number)
        return set().union(*wanted.values())

    async def _query(self, asset: Address, first: int, last: int) -> list[DepositEvent] | None:
        """None if the endpoint refused so wide a range; the next is half as wide."""
        self._show(first, last)
        try:
            events = await self._gateway.get_deposit_events(asset, first, last)
        except EthereumFault as fault:
            if self._log_range.take_refusal(last - first + 1) and isinstance(fault, RpcError):
                return None
            raise
        self._log_range.take_answer()
        return events

    async def _find_start(self, deposit: QueuedDeposit) -> int:
        if self._after is None or self._after.l1_block >= self._final.number:
            return 0
        is_after = (await self._get_block(self._after.l1_block)).timestamp < deposit.timestamp
        return self._after.l1_block + 1 if is_after else 0

    async def _read_blocks(self, numbers: set[int]) -> None:
        """All at once: how many really run at once is the endpoint's affair."""
        await asyncio.gather(*[self._get_block(number) for number in sorted(numbers)])

    async def _get_block(self, number: int) -> L1Block:
        block = self._blocks.get(number)
        if block is None:
            block = await self._gateway.get_block(number)
            if len(self._blocks) >= _MAX_BLOCKS_KEPT:
                self._blocks.clear()
            self._blocks[number] = block
        return block
