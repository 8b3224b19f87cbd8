"""Random histories, many questions at a time, writes held and released: at every moment the outside sees exactly what
is durable, everybody is answered rightly, and an audit agrees. A failing seed is in the test's name."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

import node.sequencer
from chain.block import Deposit
from chain.instruction import Instruction
from chain.market import compute_shares
from chain.payment import Payment, SignedPayment
from chain.state import State
from chain.transition import apply_cut, list_asset, replay_block
from node.entries import AssetEntry, BlockEntry, CutEntry, decode_entry
from node.sequencer import Declined, Placed
from node.verification import Verified
from tests.unit.chain import exchange
from tests.unit.chain.actors import (
    ALICE,
    ALICE_KEY,
    BOB,
    BOB_KEY,
    CAROL,
    CAROL_KEY,
    PARAMETERS,
    TOKEN,
    deposit,
    make_payment,
    sign,
    some_hash,
)
from tests.unit.chain.exchange import (
    DORA,
    ERIK,
    delist,
    list_file,
    purchase,
    register,
    register_owner,
    update_price,
    upload,
)
from tests.unit.node.journals import MemoryJournal
from tests.unit.node.marketplace import STRANGER, order
from tests.unit.node.running import Desk, audit, list_signed_ids, make_journal, running, settle, soon, verified

KEYS = {ALICE: ALICE_KEY, BOB: BOB_KEY, CAROL: CAROL_KEY}
PEOPLE = list(KEYS)
EVERYBODY = [*PEOPLE, DORA, ERIK, STRANGER]
STEPS = 60


class Durable:
    """What whoever reads the published entries, and nothing else, knows."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._state = State(desk.sequencer.state.parameters)
        self._height = 1

    def check(self) -> None:
        """The sequencer shows the same."""
        journal, sequencer, state = self._desk.journal, self._desk.sequencer, self._state
        while self._height < 1 + len(self._desk.published):
            data = journal.get(self._height)
            assert data is not None
            entry = decode_entry(data)
            if isinstance(entry, BlockEntry):
                replay_block(state, entry.block)
            elif isinstance(entry, AssetEntry):
                list_asset(state, entry.asset)
            elif isinstance(entry, CutEntry):
                apply_cut(state, entry.cut_at)
            self._height += 1
        assert (sequencer.durable_block, sequencer.durable_epoch) == (state.block_number, state.epoch)
        for who in EVERYBODY:
            assert sequencer.get_balance(TOKEN, who) == state.get_balance(TOKEN, who)
            assert sequencer.get_nonces(who) == state.get_nonces(who)
            assert sequencer.get_roles(who) == state.get_roles(who)


class Crowd:
    """Asks at random, and keeps what was answered."""

    def __init__(self, desk: Desk, chance: random.Random) -> None:
        self.desk = desk
        self.chance = chance
        self.durable = Durable(desk)
        self.known: list[Verified] = []
        self.uploads: list[tuple[Verified, Verified]] = []
        self.placed: dict[bytes, Placed] = {}
        self.declined: list[tuple[Verified, Declined]] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.deposits: list[Deposit] = []
        self.is_held = False

    def make_payment(self) -> Verified:
        """Mostly good; now and then one sent before, a nonce used before, or too much."""
        chance = self.chance
        if self.known and chance.random() < 0.3:
            return chance.choice(self.known)
        payer = chance.choice(PEOPLE)
        outputs = [
            (chance.choice(PEOPLE), chance.choice([1, 5, 40, 10**6])) for _ in range(chance.choice([1, 1, 2, 5]))
        ]
        kind = "withdraw" if len(outputs) == 1 and chance.random() < 0.2 else "transfer"
        payment = make_payment(*outputs, payer=payer, nonce=chance.randrange(40), kind=kind)
        made = verified(sign(payment, KEYS[payer]))
        self.known.append(made)
        return made

    async def submit(self, payments: list[Verified]) -> None:
        outcomes = await self.desk.sequencer.submit(payments)
        self.durable.check()
        for payment, outcome in zip(payments, outcomes, strict=True):
            if isinstance(outcome, Placed):
                assert self.placed.setdefault(payment.signed.id, outcome) == outcome
                assert outcome.block <= self.desk.sequencer.durable_block
            else:
                self.declined.append((payment, outcome))

    async def credit(self, deposits: list[Deposit]) -> None:
        await self.desk.sequencer.credit_deposits(deposits)
        self.durable.check()
        assert self.desk.sequencer.state.deposit_counts[TOKEN] > deposits[-1].index

    async def step(self) -> None:
        chance, sequencer = self.chance, self.desk.sequencer
        what = chance.random()
        if what < 0.5:
            payments = [self.make_payment() for _ in range(chance.choice([0, 1, 1, 1, 3, 8]))]
            self.tasks.append(asyncio.create_task(self.submit(payments)))
        elif what < 0.6:
            count = len(self.deposits)
            self.deposits += [
                deposit(count + index, chance.choice(PEOPLE), 50) for index in range(chance.choice([1, 3]))
            ]
            # As the watcher does: from what is credited on, or from before, if it does not know better.
            begin = min(chance.randrange(len(self.deposits)), sequencer.state.deposit_counts[TOKEN])
            self.tasks.append(asyncio.create_task(self.credit(self.deposits[begin:])))
        elif what < 0.65:
            self.tasks.append(asyncio.create_task(sequencer.cut(self.desk.clock)))
        elif what < 0.7 and self.tasks:
            chance.choice(self.tasks).cancel()
        elif what < 0.85:
            self.is_held = not self.is_held
            if self.is_held:
                self.desk.journal.hold()
            else:
                self.desk.journal.release()
        self.desk.clock.now += chance.choice([-7, 0, 0, 1, 900])
        if chance.random() < 0.7:
            await settle()
        self.durable.check()

    async def finish(self) -> None:
        self.desk.journal.release()
        outcomes = await soon(asyncio.gather(*self.tasks, return_exceptions=True))
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, asyncio.CancelledError), outcome
        await soon(self.desk.sequencer.drain())
        self.durable.check()


@pytest.mark.parametrize("seed", range(25))
async def test_a_random_history(tmp_path: Path, seed: int) -> None:
    inner = MemoryJournal()
    async with running(Desk(make_journal(inner), State(PARAMETERS))) as desk:
        crowd = Crowd(desk, random.Random(seed))
        await soon(desk.sequencer.list_asset(TOKEN))
        crowd.deposits = [deposit(0, ALICE, 300), deposit(1, BOB, 200)]
        await soon(crowd.credit(crowd.deposits[:]))
        for _ in range(STEPS):
            await crowd.step()
        await crowd.finish()
        state = desk.sequencer.state
    recovered = audit(inner, tmp_path, crowd.placed.items())
    assert recovered.compute_fingerprint() == state.compute_fingerprint()
    recorded = {
        record.id
        for _, data in inner.read(0)
        if isinstance(entry := decode_entry(data), BlockEntry)
        for record in entry.block.records
        if isinstance(record, SignedPayment)
    }
    for payment, outcome in crowd.declined:
        if outcome.is_nonce_used:
            assert outcome.refusal.code == "nonce_used"
            assert payment.signed.id not in recorded, "it is remembered, so it has its place"
    assert crowd.placed and crowd.declined, "a history in which nothing happens tests nothing"


class Traders(Crowd):
    """Likewise on the data exchange: whoever they are and whatever they have, they try everything."""

    FILES = tuple([some_hash(f"file {number}") for number in range(12)])

    def make_payment(self) -> Verified:
        chance = self.chance
        if self.known and chance.random() < 0.2:
            return chance.choice(self.known)
        who, nonce, file = chance.choice(PEOPLE), chance.randrange(60), chance.choice(self.FILES)
        made = order(self.make_order(who, nonce, file))
        self.known.append(made)
        return made

    def make_order(self, who: bytes, nonce: int, file: bytes) -> Payment | Instruction:
        chance = self.chance
        what = chance.random()
        files = self.desk.sequencer.state.files
        listed = chance.choice(list(files.values())) if files else None
        if what < 0.2:
            return register(who, chance.choice(["validator", "mart", "service_node"]), nonce)
        if what < 0.3:
            return register_owner(who, chance.choice(PEOPLE), nonce)
        if what < 0.4:
            return list_file(file, nonce, account=who, owner=chance.choice(EVERYBODY), size=1, price=4)
        if what < 0.5:
            return update_price(chance.choice([3, 4]), nonce, account=who, file=file)
        if what < 0.53:
            return delist(nonce, account=who, file=file)
        if what < 0.65 and listed is not None:
            return upload(
                listed.id, nonce, payer=listed.validator, to=chance.choice(PEOPLE), amount=listed.storage_days
            )
        if what < 0.9 and listed is not None:
            return purchase(listed.id, nonce, *compute_shares(listed, exchange.MARKET), payer=who)
        if what < 0.95 and listed is not None:
            return make_payment(
                (listed.service_node, 2), payer=listed.validator, nonce=nonce, kind="extend", reference=listed.id
            )
        return make_payment((chance.choice(PEOPLE), 5), payer=who, nonce=nonce)

    async def upload(self) -> None:
        """A new one, or one that was tried before."""
        chance = self.chance
        if not self.uploads or chance.random() < 0.7:
            who, nonce, file = chance.choice(PEOPLE), chance.randrange(60), chance.choice(self.FILES)
            listing = list_file(file, nonce, account=who, owner=chance.choice(EVERYBODY), size=1, price=4)
            days = chance.choice([30, 30, 30, 31])
            payment = upload(file, nonce + 1, payer=who, to=chance.choice(PEOPLE), amount=days)
            self.uploads.append((order(listing), order(payment)))
        parts = chance.choice(self.uploads)
        outcome = await self.desk.sequencer.submit_upload(*parts)
        self.durable.check()
        if isinstance(outcome, Declined):
            return
        for part, placed in zip(parts, outcome, strict=True):
            assert self.placed.setdefault(part.signed.id, placed) == placed

    async def step(self) -> None:
        if self.chance.random() < 0.3:
            self.tasks.append(asyncio.create_task(self.upload()))
        await super().step()


@pytest.mark.parametrize("seed", range(25))
async def test_a_random_history_of_the_exchange(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.sequencer, "MAX_BLOCK_RECORDS", 6)
    inner = MemoryJournal()
    async with running(Desk(make_journal(inner, exchange.PARAMETERS), State(exchange.PARAMETERS))) as desk:
        traders = Traders(desk, random.Random(seed))
        await soon(desk.sequencer.list_asset(TOKEN))
        traders.deposits = [deposit(index, who, 300) for index, who in enumerate(PEOPLE)]
        await soon(traders.credit(traders.deposits[:]))
        for nonce, role in ((61, "mart"), (62, "service_node"), (63, "validator")):
            await soon(traders.submit([order(register(who, role, nonce)) for who in PEOPLE]))
        for _ in range(2 * STEPS):
            await traders.step()
        await traders.finish()
        state = desk.sequencer.state
    recovered = audit(inner, tmp_path, traders.placed.items(), exchange.PARAMETERS)
    assert recovered.compute_fingerprint() == state.compute_fingerprint()
    recorded = set(list_signed_ids(inner))
    whole = [parts for parts in traders.uploads if {part.signed.id for part in parts} <= recorded]
    single = recorded - {part.signed.id for parts in whole for part in parts}
    sent_alone = {each.signed.id for each in traders.known}
    assert not {part.signed.id for parts in traders.uploads for part in parts} & single - sent_alone, (
        "half of an upload"
    )
    assert whole and state.files and state.purchases, "a history in which nothing happens tests nothing"
