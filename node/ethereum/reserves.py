"""The reserves: what the contract holds, against what the ledger owes, per asset, as of one L1 block.

What is owed has three parts: the balances on the ledger (credited − withdrawn), deposits that the contract has and the
ledger has not credited yet (queued − credited), and withdrawals that nobody has claimed yet (withdrawn − claimed, where
claimed = queued − held). Their sum is `held`, whatever the numbers are: that the three add up proves nothing. What can
be wrong, and is looked at, is this:

- the ledger credited just what the contract's queue says its first deposits were, not a unit more or less;
- no more was claimed than the ledger has withdrawn: each claim needs a withdrawal;
- the contract has what it counts as its own: its ether, or its balance in the token's own words, is at least `held`.

Not looked at here: whether the accounts' balances add up to credited − withdrawn. The sealer does that at every seal,
the contract at every commitment, and everybody with `tally audit`. All of it is as true as the endpoint's answers.

What the contract has beyond `held` was sent to it without a deposit. It belongs to nobody on the ledger, and the
contract never pays it out, so it makes up for nothing that is missing elsewhere.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final

import msgspec
import structlog

from chain.primitives import ETHER, Address
from node.ethereum.faults import EthereumFault, RpcError, WrongDeployment
from node.ethereum.gateway import Gateway
from node.ethereum.l1 import L1Block
from node.index import AssetCounters, Counters

INTERVAL_MS: Final = 30_000
"""Between two readings, or the node's poll interval if that is longer."""

_FIRST_INTERVAL_MS: Final = 3_000
"""While there is nothing to show: just after the start, the ledger may have no assets yet."""

_MAX_PROBLEM_LENGTH: Final = 300

_log = structlog.get_logger("node.ethereum.reserves")


class Verdict(StrEnum):
    COVERED = "covered"
    SHORT = "short"
    """Less can be paid out than is owed."""
    UNEXPLAINED = "unexplained"
    """What is owed can be paid, but the books do not agree: one of the checks fails."""
    UNKNOWN = "unknown"
    """The token does not say what the contract has of it."""


class AssetReserves(msgspec.Struct, frozen=True):
    """Base units. What is read is a field, what follows from it a property."""

    asset: Address
    credited_count: int
    credited: int
    """Deposits in the ledger."""
    withdrawn: int
    """By the ledger's withdrawals."""
    queued_count: int
    queued: int
    """Deposits in the contract's queue, those that the ledger has and those that it has not."""
    queued_as_credited: int | None
    """The contract's own sum of its first `credited_count` deposits; None if it does not have so many."""
    held: int
    """What the contract counts as its own: deposits less claims."""
    balance: int | None
    """What it really has; None if the token does not say, or cannot be asked."""

    @property
    def balances(self) -> int:
        """Of all accounts on the ledger."""
        return self.credited - self.withdrawn

    @property
    def uncredited(self) -> int:
        """Deposits on the way to the ledger. Negative if it credited more than there was."""
        return self.queued - self.credited

    @property
    def claimed(self) -> int:
        return self.queued - self.held

    @property
    def unclaimed(self) -> int:
        """Withdrawals on the way to their recipients. Negative if more was claimed than withdrawn."""
        return self.withdrawn - self.claimed

    @property
    def owed(self) -> int:
        """To accounts, depositors and recipients. What is negative above is a wrong, and no one owes less for it."""
        return self.balances + max(0, self.uncredited) + max(0, self.unclaimed)

    @property
    def payable(self) -> int:
        """What the contract can pay out: it pays no more than `held`, and no more than it has."""
        return self.held if self.balance is None else min(self.held, self.balance)

    @property
    def shortfall(self) -> int:
        return max(0, self.owed - self.payable)

    @property
    def surplus(self) -> int:
        """What it has beyond `held`, sent without a deposit; 0 if that is not known."""
        return 0 if self.balance is None else max(0, self.balance - self.held)

    @property
    def is_credit_right(self) -> bool:
        return self.queued_as_credited == self.credited

    @property
    def is_claim_right(self) -> bool:
        return 0 <= self.claimed <= self.withdrawn

    @property
    def is_balance_right(self) -> bool | None:
        """None if the token does not say."""
        return None if self.balance is None else self.balance >= self.held

    @property
    def verdict(self) -> Verdict:
        if self.shortfall:
            return Verdict.SHORT
        if not (self.is_credit_right and self.is_claim_right):
            return Verdict.UNEXPLAINED
        return Verdict.UNKNOWN if self.balance is None else Verdict.COVERED


class Reading(msgspec.Struct, frozen=True):
    read_at: int
    """Milliseconds, by our clock."""
    l1_block: L1Block
    """All that is Ethereum's is as of this block."""
    ledger_block: int
    ledger_time: int
    """Milliseconds: of the ledger's block, 0 for none. All that is the ledger's is as of this block."""
    lines: tuple[AssetReserves, ...]
    """In the contract's order of assets."""


class FaultKind(StrEnum):
    OUT_OF_REACH = "out_of_reach"
    """No answer of the endpoint, or none that can be read."""
    REFUSED = "refused"
    """The endpoint answers with an error."""
    ENDPOINT_BEHIND = "endpoint_behind"
    INDEX_BEHIND = "index_behind"
    """Withdrawals are final that the index does not have yet."""
    REPLACED = "replaced"
    """The L1 block gave way to another while it was read."""
    WRONG_DEPLOYMENT = "wrong_deployment"
    """Another chain, or another contract."""


class Fault(msgspec.Struct, frozen=True):
    """Why there is no newer reading."""

    kind: FaultKind
    problem: str
    """For the operator alone, and cut: an endpoint may say anything, its own address and keys included."""
    since: int
    """Milliseconds: when the first reading in a row failed."""
    count: int
    """Readings that have failed in a row."""


class Reserves(msgspec.Struct, frozen=True):
    """What is known now."""

    reading: Reading | None = None
    """The last one that was made; None before the first."""
    fault: Fault | None = None


class _NotComparable(Exception):
    """The two sides are not of moments that can be held against each other. The next reading will be."""

    def __init__(self, kind: FaultKind, problem: str) -> None:
        super().__init__(problem)
        self.kind = kind


class ReservesReader:
    """`run` ends only by cancellation. Methods belong to one event loop."""

    def __init__(
        self,
        gateway: Gateway,
        get_counters: Callable[[], Awaitable[Counters]],
        get_synced_block: Callable[[], int],
        clock: Callable[[], int],
        interval_ms: int = INTERVAL_MS,
    ) -> None:
        """`get_synced_block`: the L1 block up to which deposits are in the ledger, 0 for none. `clock`: milliseconds
        since 1970."""
        self.state = Reserves()
        self._gateway = gateway
        self._get_counters = get_counters
        self._get_synced_block = get_synced_block
        self._clock = clock
        self._interval_ms = interval_ms

    async def run(self) -> None:
        while True:
            await self.tick()
            has_lines = self.state.reading is not None and self.state.reading.lines
            await asyncio.sleep((self._interval_ms if has_lines else min(self._interval_ms, _FIRST_INTERVAL_MS)) / 1000)

    async def tick(self) -> None:
        """One reading. After an outside fault the last one stays, and the state says why."""
        try:
            self.state = Reserves(await self._read())
        except (EthereumFault, WrongDeployment, _NotComparable) as problem:
            before = self.state.fault
            if before is None:
                _log.warning("reserves_not_read", problem=str(problem))
            since, count = (self._clock(), 0) if before is None else (before.since, before.count)
            self.state = Reserves(self.state.reading, _describe(problem, since, count + 1))

    async def _read(self) -> Reading:
        """The ledger first, then Ethereum, as of a block that is not older: the contract then has every deposit that
        the ledger has, and a claim that it has paid is of a withdrawal that was counted."""
        counters, synced_block = await self._get_counters(), self._get_synced_block()
        block = await self._gateway.get_block("latest")
        read_until = 0 if self.state.reading is None else self.state.reading.l1_block.number
        if block.number < max(synced_block, read_until):
            raise _NotComparable(
                FaultKind.ENDPOINT_BEHIND,
                f"the endpoint is behind: its newest block is {block.number}, "
                f"{max(synced_block, read_until)} has been read before",
            )
        final_epoch = (await self._gateway.get_head(block.number)).final_epoch
        if final_epoch > counters.sealed_epoch:
            # Claims are of final epochs. Counted without those, they would be of more than was withdrawn.
            raise _NotComparable(
                FaultKind.INDEX_BEHIND,
                f"the index is behind: it ends with epoch {counters.sealed_epoch}, withdrawals can be claimed up to "
                f"epoch {final_epoch}",
            )
        lines = await asyncio.gather(*[self._read_asset(line, block.number) for line in counters.assets])
        if (await self._gateway.get_block(block.number)).hash != block.hash:
            raise _NotComparable(FaultKind.REPLACED, f"block {block.number} was replaced while it was read")
        return Reading(self._clock(), block, counters.block, counters.timestamp, tuple(lines))

    async def _read_asset(self, line: AssetCounters, at: int) -> AssetReserves:
        gateway, asset = self._gateway, line.asset
        queued_count = await gateway.get_deposit_count(asset, at)
        queued, queued_as_credited, held, balance = await asyncio.gather(
            self._sum_deposits(asset, queued_count, at),
            self._sum_deposits(asset, min(line.deposit_count, queued_count), at),
            gateway.get_held(asset, at),
            self._get_balance(asset, at),
        )
        return AssetReserves(
            asset=asset,
            credited_count=line.deposit_count,
            credited=line.deposited,
            withdrawn=line.withdrawn,
            queued_count=queued_count,
            queued=queued,
            queued_as_credited=queued_as_credited if line.deposit_count <= queued_count else None,
            held=held,
            balance=balance,
        )

    async def _get_balance(self, asset: Address, at: int) -> int | None:
        if asset == ETHER:
            return await self._gateway.get_balance(self._gateway.settlement, at)
        try:
            return await self._gateway.get_token_balance(asset, self._gateway.settlement, at)
        except RpcError:  # out of gas, say: one token that misbehaves must not hide the others
            return None

    async def _sum_deposits(self, asset: Address, count: int, at: int) -> int:
        """Of the first `count` of the queue."""
        if count == 0:
            return 0
        (last,) = await self._gateway.get_deposits(asset, count - 1, 1, at)
        return last.cumulative


def _describe(problem: Exception, since: int, count: int) -> Fault:
    if isinstance(problem, _NotComparable):
        kind = problem.kind
    elif isinstance(problem, WrongDeployment):
        kind = FaultKind.WRONG_DEPLOYMENT
    else:
        kind = FaultKind.REFUSED if isinstance(problem, RpcError) else FaultKind.OUT_OF_REACH
    words = str(problem)
    if len(words) > _MAX_PROBLEM_LENGTH:
        words = words[: _MAX_PROBLEM_LENGTH - 1] + "…"
    return Fault(kind, words, since, count)
