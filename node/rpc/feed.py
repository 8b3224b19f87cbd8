"""What subscriptions have in common: the ledger as it grows, what is told of it, and how much of the loop it may cost.

Everything here is pulled. The sequencer knows of no subscription; what is told is read from where it is durable, made
once for all who hear it, and never queued for anybody.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, Final, TypeAlias

import msgspec

from chain.payment import SignedPayment
from node.archive import Archive, BlockView
from node.ethereum.change import Change
from node.ethereum.committer import Committer
from node.ethereum.submission import EpochState, EpochStatus
from node.follower import Progress
from node.metrics import SUBSCRIPTIONS
from node.payment_status import PaymentStatus
from node.sequencer import Sequencer

MAX_SUBSCRIPTIONS_IN_ALL: Final = 1024

_REST: Final = 2
"""Seconds that the loop is left to others for each second of telling, however many there are to tell."""
_SHORTEST_REST_SECONDS: Final = 0.001
"""What the loop's timers can tell apart; less is saved up."""

_WOKEN_AT_ONCE: Final = 64

_KEPT_BLOCKS: Final = 64
_KEPT_RECORDS: Final = 16_384
"""Some 40 MB, texts included. One block is kept whatever its size."""

_KEPT_CHANGES: Final = 1000
"""Of commitments. Who has not been told them by then is told that they lag."""

_Mark: TypeAlias = tuple[Any, ...]


class Pace:
    """Turns of one another: all who take them leave payments two thirds of the loop's time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._owed = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """For a few milliseconds of work that waits for nothing. Whoever asked first is first."""
        async with self._lock:
            began = time.perf_counter()
            yield
            self._owed += (time.perf_counter() - began) * _REST
            rest = self._owed if self._owed >= _SHORTEST_REST_SECONDS else 0.0
            self._owed -= rest
            await asyncio.sleep(rest)


class BlockTexts:
    """A block, with what is told of it as JSON text, made when first asked for."""

    def __init__(self, archive: Archive, view: BlockView) -> None:
        self._archive = archive
        self.view = view
        self._payments: dict[int, str] = {}

    @cached_property
    def header(self) -> str:
        """As receipts show it."""
        return bytes(self.view.json).decode()

    def describe_payment(self, index: int, signed: SignedPayment) -> str:
        """As lists show it. Whatever has become of it since, it is shown as it became durable: accepted."""
        text = self._payments.get(index)
        if text is None:
            item = self._archive.describe_item(self.view, index, signed, PaymentStatus.ACCEPTED)
            text = self._payments[index] = msgspec.json.encode(item).decode()
        return text


class CommitmentLog:
    """What became of commitments, as it happens: each time how `tally_getCommitment` would have answered. The newest
    are kept. Of changes that follow each other at once, only the last may be seen."""

    def __init__(self, archive: Archive, committer: Committer) -> None:
        self._archive = archive
        self._committer = committer
        self._first_open = archive.final_epoch + 1
        self._marks: dict[int, _Mark] = {}
        self._texts: deque[str] = deque(maxlen=_KEPT_CHANGES)
        self.count = 0
        """Texts since the node began."""
        self.change = Change()
        """Notified when there is another."""

    @property
    def oldest(self) -> int:
        """The number, from 0, of the oldest text that is kept."""
        return self.count - len(self._texts)

    def get(self, number: int) -> str:
        return self._texts[number - self.oldest]

    async def run(self) -> None:
        await self._look(is_news=False)
        while True:
            # Asked for before looking, which takes its time: no change is missed.
            changed = asyncio.create_task(self._committer.change.wait())
            try:
                await self._look(is_news=True)
                await changed
            finally:
                changed.cancel()

    async def _look(self, *, is_news: bool) -> None:
        """At every epoch that is sealed and was not final at the last look."""
        for epoch in range(self._first_open, self._archive.sealed_epoch + 1):
            way = self._archive.describe_way(epoch)
            if way is None:
                return  # the committer has not been given it yet, and will say so
            status, form = way
            mark = _mark(status)
            if self._marks.get(epoch) != mark:
                self._marks[epoch] = mark
                if is_news:
                    self._add(msgspec.json.encode(form).decode())
            if status.state == EpochState.FINAL and epoch == self._first_open:
                self._first_open += 1
                del self._marks[epoch]
            await asyncio.sleep(0)

    def _add(self, text: str) -> None:
        self._texts.append(text)
        self.count += 1
        self.change.notify()


class Feed:
    def __init__(self, archive: Archive, sequencer: Sequencer, durable: Progress, committer: Committer) -> None:
        """`durable` is the journal's height."""
        self._archive = archive
        self._sequencer = sequencer
        self._durable = durable
        self._blocks: OrderedDict[int, BlockTexts] = OrderedDict()
        self._kept_records = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._subscription_count = 0
        self.pace = Pace()
        self.commitments = CommitmentLog(archive, committer)

    @property
    def head(self) -> int:
        """The number of the last durable block."""
        return self._sequencer.durable_block

    @property
    def subscription_count(self) -> int:
        return self._subscription_count

    @subscription_count.setter
    def subscription_count(self, count: int) -> None:
        self._subscription_count = count
        SUBSCRIPTIONS.set(count)

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._wake_listeners())
            group.create_task(self.commitments.run())

    async def wait_for_blocks(self) -> None:
        """Until something has become durable since the call."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    def find_block(self, number: int) -> BlockTexts | None:
        """A durable block; None when it has to be loaded first."""
        texts = self._blocks.get(number)
        if texts is None:
            view = self._archive.find_block_at_hand(number)
            texts = None if view is None else self._keep(number, view)
        return texts

    async def load_block(self, number: int) -> None:
        """Has it read from the journal, so that it is found. Raises `Overloaded` when many wait for such already."""
        if self.find_block(number) is None:
            self._keep(number, await self._archive.load_block(number, is_kept=False))

    def _keep(self, number: int, view: BlockView) -> BlockTexts:
        texts = self._blocks.get(number)
        if texts is None:
            texts = self._blocks[number] = BlockTexts(self._archive, view)
            self._kept_records += len(view.records)
            while len(self._blocks) > 1 and (len(self._blocks) > _KEPT_BLOCKS or self._kept_records > _KEPT_RECORDS):
                self._kept_records -= len(self._blocks.popitem(last=False)[1].view.records)
        return texts

    async def _wake_listeners(self) -> None:
        """In slices: a thousand listeners who all wake at once would hold up payments."""
        height = self._durable.value
        while True:
            await self._durable.reach(height + 1)
            height = self._durable.value
            woken = [future for future in self._waiting if not future.done()]
            self._waiting.clear()
            for at in range(0, len(woken), _WOKEN_AT_ONCE):
                async with self.pace.turn():
                    for future in woken[at : at + _WOKEN_AT_ONCE]:
                        if not future.done():
                            future.set_result(None)


def _mark(status: EpochStatus) -> _Mark:
    """What makes news when it is another: all but confirmations, which come with every L1 block."""
    inclusion = status.inclusion
    return (
        status.state,
        tuple([(attempt.hash, attempt.outcome) for attempt in status.attempts]),
        None if inclusion is None else (inclusion.l1_transaction, inclusion.l1_block_hash),
    )
