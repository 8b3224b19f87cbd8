"""When an epoch is cut, and what becomes of what the sealer computes: a fake settlement, and a clock that is told."""

import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from chain.commitment import NO_COMMITMENT, Commitment, hash_commitment
from chain.primitives import Signature
from chain.signatures import check_signer
from node.entries import CutEntry, SealEntry
from node.epochs import EpochKeeper, Timing
from tests.unit.chain.actors import BOB, DOMAIN, OPERATOR, OPERATOR_KEY, PARAMETERS, START_MS
from tests.unit.node.running import Clock, Desk, open_desk, pay, read_entries, soon

START = START_MS // 1000
EPOCH, MIN_INTERVAL, MAX_SILENCE, MAX_CLOCK_LEAD = 3600, 60, 86_400, 900


class FakeSettlement(msgspec.Struct):
    """Ethereum as of now; seconds."""

    mined_epoch: int = 0
    synced_until: int = 0
    newest_l1_time: int = 0
    last_included_at: int = 0
    end: str | None = None

    def follow(self, now_ms: int) -> None:
        """Everything mined, read, and up to date."""
        self.synced_until = self.newest_l1_time = now_ms // 1000


class Office:
    """A keeper over a running sequencer."""

    def __init__(self, desk: Desk, sealed_epoch: int = 0) -> None:
        self.desk = desk
        self.settlement = FakeSettlement()
        self.submitted: list[tuple[Commitment, Signature]] = []
        self.keeper = EpochKeeper(
            desk.sequencer,
            self.settlement,
            Timing(EPOCH, MIN_INTERVAL, MAX_SILENCE, MAX_CLOCK_LEAD),
            PARAMETERS,
            OPERATOR_KEY,
            sealed_epoch,
            desk.clock,
            self._submit,
        )

    async def _submit(self, commitment: Commitment, signature: Signature) -> None:
        self.submitted.append((commitment, signature))

    @property
    def clock(self) -> Clock:
        return self.desk.clock

    @property
    def cuts(self) -> list[CutEntry]:
        return [entry for entry in read_entries(self.desk.journal) if isinstance(entry, CutEntry)]

    async def at(self, seconds: float) -> int:
        """A step this long after the deployment. Returns how many cuts there are."""
        self.clock.now = START_MS + int(seconds * 1000)
        await soon(self.keeper.step())
        return len(self.cuts)

    async def follow_at(self, seconds: float) -> int:
        """The same, with an Ethereum that is up to date."""
        self.settlement.follow(START_MS + int(seconds * 1000))
        return await self.at(seconds)

    async def pay(self, nonce: int) -> None:
        await soon(self.desk.sequencer.submit([pay(nonce)]))


@contextlib.asynccontextmanager
async def open_office() -> AsyncIterator[Office]:
    """The open epoch holds two deposits, made a second after the deployment."""
    async with open_desk() as desk:
        yield Office(desk)


# --- in time


async def test_an_epoch_is_cut_when_its_time_is_up_and_not_before() -> None:
    async with open_office() as office:
        assert office.keeper.due_at == START_MS + EPOCH * 1000
        assert await office.follow_at(EPOCH - 0.001) == 0
        assert await office.follow_at(EPOCH) == 1
        assert office.cuts == [CutEntry(1, START_MS + EPOCH * 1000)]
        assert office.keeper.due_at == START_MS + 2 * EPOCH * 1000
        assert office.keeper.obstacle is None


async def test_epochs_are_due_at_full_hours_since_the_deployment_however_late_one_was_cut() -> None:
    async with open_office() as office:
        assert await office.follow_at(EPOCH * 2.7) == 1
        assert office.keeper.due_at == START_MS + 3 * EPOCH * 1000
        await office.pay(0)
        office.settlement.mined_epoch = 1
        assert await office.follow_at(EPOCH * 3) == 2


async def test_an_empty_hour_makes_no_cut_and_uses_no_number() -> None:
    async with open_office() as office:
        await office.follow_at(EPOCH)
        office.settlement.mined_epoch = 1
        assert await office.follow_at(EPOCH * 2) == 1
        assert office.keeper.due_at == START_MS + 3 * EPOCH * 1000
        await office.pay(0)
        assert await office.follow_at(EPOCH * 2.5) == 1, "a payment after an empty hour waits for its own"
        assert await office.follow_at(EPOCH * 3) == 2
        assert office.cuts[1].epoch == 2


async def test_after_a_restart_what_is_overdue_is_cut_at_once() -> None:
    async with open_desk() as desk:
        desk.clock.now = START_MS + int(EPOCH * 5.3) * 1000
        office = Office(desk)
        assert office.keeper.due_at <= desk.clock.now
        assert await office.follow_at(EPOCH * 5.3) == 1
        assert office.keeper.due_at == START_MS + 6 * EPOCH * 1000


async def test_after_a_restart_soon_after_a_cut_the_epoch_has_its_full_hour() -> None:
    async with open_desk() as desk:
        await Office(desk).follow_at(EPOCH)
        again = Office(desk, sealed_epoch=1)
        assert again.keeper.due_at == START_MS + 2 * EPOCH * 1000


async def test_a_clock_before_the_deployment_still_has_an_hour_to_wait_for() -> None:
    async with open_desk() as desk:
        desk.clock.now = 0
        assert Office(desk).keeper.due_at == START_MS + EPOCH * 1000


# --- silence


async def test_half_of_the_silence_is_enough_to_commit_an_empty_epoch() -> None:
    async with open_office() as office:
        await office.follow_at(EPOCH)
        office.settlement.mined_epoch = 1
        office.settlement.last_included_at = START + EPOCH
        assert await office.follow_at(EPOCH + MAX_SILENCE / 2 - 1) == 1
        assert await office.follow_at(EPOCH + MAX_SILENCE / 2) == 2
        assert office.cuts[1].epoch == 2


async def test_silence_near_does_not_wait_for_the_hour() -> None:
    async with open_office() as office:
        office.settlement.last_included_at = START + 100 - MAX_SILENCE // 2
        assert await office.follow_at(99) == 0
        assert await office.follow_at(100) == 1


async def test_before_the_first_deposit_silence_does_not_count() -> None:
    async with open_desk() as desk:
        await soon(desk.sequencer.cut(desk.clock))
        office = Office(desk, sealed_epoch=1)
        office.settlement.mined_epoch = 1
        assert await office.follow_at(MAX_SILENCE * 10) == 1


async def test_silence_does_not_overcome_an_obstacle() -> None:
    async with open_office() as office:
        await office.follow_at(EPOCH)
        office.settlement.last_included_at = START
        assert await office.follow_at(MAX_SILENCE) == 1
        assert office.keeper.obstacle == "the last commitment is not mined yet"


# --- obstacles


async def test_the_last_commitment_must_be_mined() -> None:
    async with open_office() as office:
        await office.follow_at(EPOCH)
        await office.pay(0)
        assert await office.follow_at(2 * EPOCH) == 1
        assert office.keeper.obstacle == "the last commitment is not mined yet"
        office.settlement.mined_epoch = 1
        assert await office.follow_at(2 * EPOCH + 7) == 2
        assert office.keeper.obstacle is None


async def test_nothing_is_sealed_that_can_never_be_mined() -> None:
    async with open_office() as office:
        office.settlement.end = "halted: the contract takes no commitments any more"
        assert await office.follow_at(EPOCH) == 0
        assert office.keeper.obstacle == office.settlement.end


async def test_what_piled_up_goes_in_one_commitment() -> None:
    async with open_office() as office:
        await office.follow_at(EPOCH)
        for hour in range(2, 6):
            await office.pay(hour)
            assert await office.follow_at(hour * EPOCH) == 1
        office.settlement.mined_epoch = 1
        assert await office.follow_at(5 * EPOCH + 60) == 2
        assert office.cuts[1] == CutEntry(2, START_MS + (5 * EPOCH + 60) * 1000)


@pytest.mark.parametrize("synced_until, is_enough", [(0, False), (EPOCH - 1, False), (EPOCH, False), (EPOCH + 1, True)])
async def test_deposits_up_to_the_last_cut_must_be_known(synced_until: int, is_enough: bool) -> None:
    """A finalised L1 block *later* than the last cut has been read: the contract will not ask for an older deposit."""
    async with open_office() as office:
        await office.follow_at(EPOCH)
        office.settlement.mined_epoch = 1
        await office.pay(0)
        office.settlement.newest_l1_time = START + 2 * EPOCH
        office.settlement.synced_until = START + synced_until if synced_until else 0
        assert await office.at(2 * EPOCH) == (2 if is_enough else 1)
        if not is_enough:
            assert office.keeper.obstacle == "deposits up to the last cut are not known to be final yet"


async def test_the_first_epoch_waits_for_a_block_after_the_deployment() -> None:
    async with open_office() as office:
        office.settlement.newest_l1_time = START + EPOCH
        office.settlement.synced_until = START
        assert await office.at(EPOCH) == 0
        office.settlement.synced_until = START + 1
        assert await office.at(EPOCH) == 1


@pytest.mark.parametrize("mined_epoch", [1, 2, 7])
async def test_over_an_old_copy_of_the_journal_nothing_is_sealed(mined_epoch: int) -> None:
    """A backup was restored: to cut its open epoch would be to sign a second commitment of that number."""
    async with open_office() as office:
        office.settlement.mined_epoch = mined_epoch
        assert await office.follow_at(EPOCH) == 0
        assert office.keeper.obstacle == "Ethereum has a commitment of this epoch already: the journal is an old copy"


async def test_two_cuts_are_the_minimal_interval_apart() -> None:
    async with open_office() as office:
        await office.follow_at(2 * EPOCH - 30)
        office.settlement.mined_epoch = 1
        await office.pay(0)
        assert await office.follow_at(2 * EPOCH) == 1
        assert office.keeper.obstacle == "the contract's minimal interval has not passed"
        assert await office.follow_at(2 * EPOCH + MIN_INTERVAL - 31) == 1
        assert await office.follow_at(2 * EPOCH + MIN_INTERVAL - 30) == 2


async def test_they_are_also_when_the_clock_falls_back_before_the_boundary() -> None:
    """The cut waits its turn behind blocks; the contract would refuse one that is too close for ever."""
    async with open_office() as office:
        await office.follow_at(EPOCH)
        office.settlement.mined_epoch = 1
        await office.pay(0)
        office.settlement.follow(START_MS + 2 * EPOCH * 1000)
        first_look = [START_MS + 2 * EPOCH * 1000]
        office.clock.now = START_MS + (EPOCH + 5) * 1000
        office.keeper._clock_ms = lambda: first_look.pop() if first_look else office.clock.now
        await soon(office.keeper.step())
        assert office.cuts[1].cut_at == START_MS + (EPOCH + MIN_INTERVAL) * 1000


@pytest.mark.parametrize("lead, is_bearable", [(0, True), (MAX_CLOCK_LEAD, True), (MAX_CLOCK_LEAD + 1, False)])
async def test_a_clock_too_far_ahead_of_ethereum_seals_nothing(lead: int, is_bearable: bool) -> None:
    async with open_office() as office:
        office.settlement.follow(START_MS + (EPOCH - lead) * 1000)
        assert await office.at(EPOCH) == int(is_bearable)
        if not is_bearable:
            assert office.keeper.obstacle == "this machine's clock is too far ahead of Ethereum"


async def test_blocks_dated_too_far_ahead_are_not_sealed_though_the_clock_is_right_again() -> None:
    """A cut is never dated before its blocks, and what is dated ahead of Ethereum cannot be mined until it is past."""
    async with open_office() as office:
        office.clock.now = START_MS + 10 * EPOCH * 1000
        await office.pay(0)
        assert await office.follow_at(EPOCH) == 0
        assert office.keeper.obstacle == "this machine's clock is too far ahead of Ethereum"
        assert await office.follow_at(10 * EPOCH - MAX_CLOCK_LEAD) == 1
        assert office.cuts[0].cut_at == START_MS + 10 * EPOCH * 1000


async def test_an_obstacle_is_forgotten_once_nothing_is_due() -> None:
    async with open_office() as office:
        await office.at(EPOCH)
        assert office.keeper.obstacle is not None
        await office.follow_at(EPOCH + 1)
        assert office.keeper.obstacle is None
        await office.at(EPOCH + 2)
        assert office.keeper.obstacle is None


# --- what the sealer computed


COMMITMENT = msgspec.structs.replace(NO_COMMITMENT, epoch=1, first_block=1, last_block=1, cut_at=START_MS + 1)


async def test_what_was_sealed_is_signed_journaled_and_then_submitted() -> None:
    async with open_office() as office:
        await soon(office.keeper.take_sealed(COMMITMENT))
        ((commitment, signature),) = office.submitted
        assert commitment == COMMITMENT
        check_signer(hash_commitment(COMMITMENT, DOMAIN), signature, OPERATOR)
        assert read_entries(office.desk.journal)[-1] == SealEntry(COMMITMENT, signature)
        assert office.keeper.sealed_epoch == 1


async def test_nothing_is_submitted_before_its_seal_is_durable() -> None:
    """Two signed commitments of one epoch must never be abroad; the journal is what remembers the first."""
    async with open_office() as office:
        heights: list[int] = []

        async def submit(commitment: Commitment, signature: Signature) -> None:
            heights.append(office.desk.journal.height)

        office.keeper._submit = submit
        before = office.desk.journal.height
        await soon(office.keeper.take_sealed(COMMITMENT))
        assert heights == [before + 1]


async def test_what_is_sealed_again_in_a_replay_is_passed_over() -> None:
    async with open_office() as office:
        await soon(office.keeper.take_sealed(COMMITMENT))
        height = office.desk.journal.height
        await soon(office.keeper.take_sealed(COMMITMENT))
        assert (len(office.submitted), office.desk.journal.height) == (1, height)
        again = Office(office.desk, sealed_epoch=3)
        for epoch in (1, 2, 3):
            await soon(again.keeper.take_sealed(msgspec.structs.replace(COMMITMENT, epoch=epoch)))
        assert (again.submitted, again.keeper.sealed_epoch) == ([], 3)
        await soon(again.keeper.take_sealed(msgspec.structs.replace(COMMITMENT, epoch=4)))
        assert [commitment.epoch for commitment, _ in again.submitted] == [4]


async def test_the_operator_signs_no_two_commitments_of_one_epoch() -> None:
    async with open_office() as office:
        await soon(office.keeper.take_sealed(COMMITMENT))
        await soon(office.keeper.take_sealed(msgspec.structs.replace(COMMITMENT, blocks_root=BOB + bytes(12))))
        assert [commitment for commitment, _ in office.submitted] == [COMMITMENT]
