"""Epochs: when the open one is cut, and what happens to what the sealer computes for it.

An epoch is cut at a block boundary when its time is up, something is in it, the commitment before it is mined, and
every deposit that the contract will ask for has been credited. So a signed commitment can be mined whatever Ethereum
does next.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec
import structlog
from coincurve import PrivateKey

from chain.commitment import Commitment, hash_commitment
from chain.params import Parameters
from chain.primitives import Signature
from chain.signatures import sign_digest
from node.sequencer import Sequencer

_POLL_SECONDS: Final = 0.2

_log = structlog.get_logger(__name__)


class Timing(msgspec.Struct, frozen=True):
    """Seconds."""

    epoch: int
    min_interval: int
    max_silence: int
    max_clock_lead: int


class Settlement(Protocol):
    """What the epochs need to know of Ethereum."""

    @property
    def mined_epoch(self) -> int:
        """The last epoch whose commitment is on Ethereum, 0 for none."""

    @property
    def end(self) -> str | None:
        """Why no commitment of this ledger can be mined any more; None while one can."""

    @property
    def synced_until(self) -> int:
        """Unix seconds: every deposit and listing up to this L1 time is in the ledger; 0 if that is not known yet."""

    @property
    def newest_l1_time(self) -> int:
        """Unix seconds: of the newest L1 block seen, 0 for none."""

    @property
    def last_included_at(self) -> int:
        """Unix seconds: when the last commitment was mined, or the first deposit made; 0 if neither has been."""


class EpochKeeper:
    def __init__(
        self,
        sequencer: Sequencer,
        settlement: Settlement,
        timing: Timing,
        parameters: Parameters,
        operator_key: PrivateKey,
        sealed_epoch: int,
        clock_ms: Callable[[], int],
        submit: Callable[[Commitment, Signature], Awaitable[None]],
    ) -> None:
        self._sequencer = sequencer
        self._settlement = settlement
        self._timing = timing
        self._parameters = parameters
        self._key = operator_key
        self._clock_ms = clock_ms
        self._submit = submit
        self._due = self._compute_next_due(max(sequencer.state.last_cut_at, clock_ms() - timing.epoch * 1000))
        self.sealed_epoch = sealed_epoch
        """The last epoch whose seal is in the journal."""
        self.obstacle: str | None = None
        """Why the open epoch, though due, is not being cut."""

    @property
    def due_at(self) -> int:
        """Milliseconds: when the open epoch will be cut if anything is in it."""
        return self._due

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(_POLL_SECONDS)

    async def step(self) -> None:
        """Cuts the open epoch if it is time."""
        now = self._clock_ms()
        is_filled = self._sequencer.epoch_records > 0
        if not is_filled and not self._is_silence_near(now):
            self.obstacle = None
            if now >= self._due:
                self._due = self._compute_next_due(now)
            return
        if is_filled and now < self._due and not self._is_silence_near(now):
            return
        obstacle = self._find_obstacle(now)
        if obstacle != self.obstacle:
            _log.info("epoch is due", epoch=self._sequencer.state.epoch, obstacle=obstacle)
            self.obstacle = obstacle
        if obstacle is None:
            epoch, earliest = self._sequencer.state.epoch, self._compute_earliest_cut()
            # The cut waits its turn, and the clock may fall back meanwhile; the contract would never take it then.
            cut_at = await self._sequencer.cut(lambda: max(self._clock_ms(), earliest))
            self._due = self._compute_next_due(cut_at)
            _log.info("epoch cut", epoch=epoch, cut_at=cut_at)

    async def take_sealed(self, commitment: Commitment) -> None:
        """Signs what the sealer computed, journals it, and hands it to the committer."""
        if commitment.epoch <= self.sealed_epoch:
            return  # replayed: its seal is in the journal already
        signature = sign_digest(self._key, hash_commitment(commitment, self._parameters.domain))
        await self._sequencer.append_seal(commitment, signature)
        self.sealed_epoch = commitment.epoch
        _log.info("epoch sealed", epoch=commitment.epoch, blocks=commitment.block_count)
        await self._submit(commitment, signature)

    def _find_obstacle(self, now: int) -> str | None:
        state, settlement = self._sequencer.state, self._settlement
        if settlement.end is not None:
            return settlement.end
        if settlement.mined_epoch < state.epoch - 1:
            return "the last commitment is not mined yet"
        if settlement.mined_epoch >= state.epoch:
            return "Ethereum has a commitment of this epoch already: the journal is an old copy"
        if settlement.synced_until * 1000 <= state.last_cut_at:
            return "deposits up to the last cut are not known to be final yet"
        if now < self._compute_earliest_cut():
            return "the contract's minimal interval has not passed"
        # A cut is not dated before its blocks, which a clock that was ahead for a while may have dated into the future.
        if max(now, state.timestamp) > (settlement.newest_l1_time + self._timing.max_clock_lead) * 1000:
            return "this machine's clock is too far ahead of Ethereum"
        return None

    def _compute_earliest_cut(self) -> int:
        return self._sequencer.state.last_cut_at + self._timing.min_interval * 1000

    def _is_silence_near(self, now: int) -> bool:
        """Whether half of the silence that the contract bears has passed: then even an empty epoch is committed."""
        since = self._settlement.last_included_at
        return since > 0 and now >= since * 1000 + self._timing.max_silence * 500

    def _compute_next_due(self, after_ms: int) -> int:
        """The next full epoch since the deployment."""
        length, start = self._timing.epoch * 1000, self._parameters.first_cut_at
        return start + ((after_ms - start) // length + 1) * length
