"""A sequencer at work on a small ledger, and an audit that shares nothing with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, Final

from chain.block import Block, Deposit, encode_record, hash_header
from chain.instruction import SignedInstruction
from chain.ledger import Ledger
from chain.params import Parameters
from chain.payment import SignedPayment
from chain.primitives import Address, Hash
from chain.signatures import check_signer
from chain.state import State
from node.entries import (
    AssetEntry,
    BlockEntry,
    CutEntry,
    Entry,
    GenesisEntry,
    SealEntry,
    decode_entry,
    encode_genesis,
)
from node.journal import Journal
from node.recovery import recover
from node.sequencer import Placed, PublishedBlock, Sequencer
from node.verification import Verified
from tests.unit.chain.actors import (
    ALICE,
    ALICE_KEY,
    BOB,
    BOB_KEY,
    DOMAIN,
    ETHER,
    OPERATOR,
    OPERATOR_KEY,
    PARAMETERS,
    START_MS,
    TOKEN,
    deposit,
    make_payment,
    sign,
)
from tests.unit.node.journals import PATIENCE_SECONDS, MemoryJournal, PolicingJournal

KEYS: Final = {ALICE: ALICE_KEY, BOB: BOB_KEY}
FUNDS: Final = 1_000_000


class Clock:
    """Milliseconds; stands still until told otherwise."""

    def __init__(self, now: int = START_MS + 1000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def verified(signed: SignedPayment | SignedInstruction) -> Verified:
    return Verified(signed, encode_record(signed), b"{}")


def pay(nonce: int, *outputs: tuple[Address, int], **fields: Any) -> Verified:
    """Alice pays Bob 1 TOKEN with this nonce, but for what is given; as a verifier lets it through."""
    return verified(sign(make_payment(*outputs, nonce=nonce, **fields)))


class Desk:
    """A sequencer over a policed journal, with what it told the outside."""

    def __init__(
        self, journal: PolicingJournal, state: State, clock: Clock | None = None, min_interval_s: float = 0.0
    ) -> None:
        self.journal = journal
        self.clock = clock or Clock()
        self.published: list[PublishedBlock | None] = []
        self.listeners: list[Callable[[PublishedBlock | None], None]] = [self.published.append]
        self.sequencer = Sequencer(state, journal, OPERATOR_KEY, self.clock, self._publish, min_interval_s)

    def _publish(self, block: PublishedBlock | None) -> None:
        for listener in self.listeners:
            listener(block)

    @property
    def blocks(self) -> list[PublishedBlock]:
        return [block for block in self.published if block is not None]

    async def fund(self, *accounts: Address) -> None:
        """Lists ETHER and TOKEN, and credits each account with `FUNDS` of TOKEN: block 1."""
        for asset in (ETHER, TOKEN):
            await self.sequencer.list_asset(asset)
        await self.sequencer.credit_deposits([deposit(index, who, FUNDS) for index, who in enumerate(accounts)])

    async def hold_with(self, payment: Verified) -> "asyncio.Task[Any]":
        """Has a payment written and the write held. Returns the task that waits for it."""
        self.journal.hold()
        task = asyncio.create_task(self.sequencer.submit([payment]))
        await self.journal.wait_until_held()
        return task


def make_journal(inner: Journal | None = None, parameters: Parameters = PARAMETERS) -> PolicingJournal:
    """Policed, and begun with its parameters."""
    inner = MemoryJournal() if inner is None else inner
    if inner.height == 0:
        inner.append(0, encode_genesis(parameters))
    return PolicingJournal(inner, DOMAIN, OPERATOR)


@contextlib.asynccontextmanager
async def running(desk: Desk) -> AsyncIterator[Desk]:
    """The desk at work. At the end it is stopped, and must not have failed or broken a rule."""
    task = asyncio.create_task(desk.sequencer.run())
    try:
        yield desk
    finally:
        desk.journal.release()
        is_running = not task.done()
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        assert desk.journal.violations == []
    assert is_running, outcome


@contextlib.asynccontextmanager
async def open_desk(*accounts: Address, inner: Journal | None = None) -> AsyncIterator[Desk]:
    """A desk at work on a new ledger in which these accounts (Alice and Bob, if none) are funded by block 1."""
    async with running(Desk(make_journal(inner), State(PARAMETERS))) as desk:
        await desk.fund(*(accounts or (ALICE, BOB)))
        yield desk


async def settle() -> None:
    """Lets everything run that can run without a write ending."""
    for _ in range(20):
        await asyncio.sleep(0)


async def soon(awaitable: Any) -> Any:
    """What it returns; fails the test rather than waiting for ever."""
    return await asyncio.wait_for(awaitable, PATIENCE_SECONDS)


def read_entries(journal: Journal) -> list[Entry]:
    return [decode_entry(data) for _, data in journal.read(0)]


def read_blocks(journal: Journal) -> list[Block]:
    return [entry.block for entry in read_entries(journal) if isinstance(entry, BlockEntry)]


def list_payment_ids(journal: Journal) -> list[Hash]:
    return [
        record.id for block in read_blocks(journal) for record in block.records if isinstance(record, SignedPayment)
    ]


def list_signed_ids(journal: Journal) -> list[Hash]:
    """Of payments and instructions."""
    return [record.id for block in read_blocks(journal) for record in block.records if not isinstance(record, Deposit)]


def audit(
    journal: Journal,
    snapshots: Path,
    acknowledged: Iterable[tuple[Hash, Placed]] = (),
    parameters: Parameters = PARAMETERS,
) -> State:
    """Holds a journal that nobody writes against the rules, by a full replay with every signature recovered.

    Whatever was acknowledged stands where its acknowledgement says, nothing signed stands twice, money is conserved,
    every block is signed, every seal is the replay's, and `node.recovery` comes to the very same state, which is
    returned.
    """
    recovered = recover(journal, snapshots, parameters, OPERATOR_KEY)
    ledger = Ledger(parameters, is_auditing=True)
    sealed = {}
    for entry in read_entries(journal):
        match entry:
            case GenesisEntry():
                assert entry.parameters == parameters
            case AssetEntry():
                ledger.list_asset(entry.asset)
            case BlockEntry():
                ledger.apply_block(entry.block)
            case CutEntry():
                sealed[entry.epoch] = ledger.cut(entry.epoch, entry.cut_at).commitment
            case SealEntry():
                assert sealed[entry.commitment.epoch] == entry.commitment
    assert recovered.state.compute_fingerprint() == ledger.state.compute_fingerprint()

    ids = list_signed_ids(journal)
    assert len(set(ids)) == len(ids), "a payment or instruction stands twice"
    blocks = {block.header.number: block for block in read_blocks(journal)}
    for record_id, placed in acknowledged:
        assert blocks[placed.block].records[placed.index].id == record_id, "acknowledged, and not there"
    for number, block in blocks.items():
        signature = journal.get_signature(number)
        assert signature is not None
        check_signer(hash_header(block.header, DOMAIN), signature, OPERATOR)

    deposits = [record for block in blocks.values() for record in block.records if isinstance(record, Deposit)]
    withdrawn = sum(
        record.payment.total
        for block in blocks.values()
        for record in block.records
        if isinstance(record, SignedPayment) and record.payment.kind == "withdraw"
    )
    held = sum(sum(balances.values()) for balances in ledger.state.balances.values())
    assert held == sum(record.amount for record in deposits) - withdrawn
    return recovered.state
