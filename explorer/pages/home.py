"""The front page: how far the ledger is, what happened last, what of it is on Ethereum."""

from collections.abc import Awaitable
from typing import Final

import msgspec
from fastapi import Request, Response

from chain.primitives import Hash
from explorer.charts import Box, Chart, draw_box, draw_fill
from explorer.files import read_files
from explorer.formatting import format_age
from explorer.pages.charts import draw_payments
from explorer.pages.epochs import EpochLine, list_epoch_lines
from explorer.pages.payments import PaymentLine, list_payment_lines
from explorer.site import Site
from explorer.status import EpochStage
from explorer.timelines import SPANS, Timeline, read_timeline
from node.index import Counters, IndexedBlock, IndexedEpoch, IndexedFile, IndexedPayment, IndexReader

PAYMENTS_SHOWN: Final = 15
BLOCKS_SHOWN: Final = 8
EPOCHS_SHOWN: Final = 8


class HomeFacts(msgspec.Struct, frozen=True):
    """What the index has, all of one moment, newest first."""

    counters: Counters
    open_epoch: IndexedEpoch
    opened_at: int | None
    """Milliseconds: the time of the open epoch's first block."""
    payments: tuple[IndexedPayment, ...]
    files: dict[Hash, IndexedFile]
    """That the payments name."""
    blocks: tuple[IndexedBlock, ...]
    ended_epochs: tuple[IndexedEpoch, ...]
    timeline: Timeline


class Home(msgspec.Struct, frozen=True):
    facts: HomeFacts
    payments: list[PaymentLine]
    epochs: list[EpochLine]
    due_at: int
    boxes: list[Box]
    fill: Chart | None
    """None while the open epoch has no record: then nothing is due."""
    activity: Chart


async def show(site: Site, request: Request) -> Response:
    """Raises `Overloaded`."""

    def make() -> Awaitable[Response]:
        request.state.head = site.get_head()
        return _make(site, request)

    return await site.front.get(make)


async def _make(site: Site, request: Request) -> Response:
    sources = site.sources
    now = sources.clock_ms()
    facts = await site.ask(lambda: read_home(sources.index, now))
    epochs = list_epoch_lines(facts.ended_epochs, sources.get_epoch)
    due_at = sources.get_due_at()
    home = Home(
        facts=facts,
        payments=list_payment_lines(facts.payments, sources.commitments, None, facts.files),
        epochs=epochs,
        due_at=due_at,
        boxes=draw_boxes(facts, epochs, now, due_at),
        fill=_draw_open_epoch(facts, now, due_at),
        activity=draw_payments(facts.timeline, is_wide=True),
    )
    return await site.show(request, "home.html", home=home)


def draw_boxes(facts: HomeFacts, epochs: list[EpochLine], now: int, due_at: int) -> list[Box]:
    """The open epoch, filled by the time that is over; then the ended ones, newest first, filled by their payments."""
    open_epoch = facts.open_epoch
    most = max([epoch.payment_count for epoch in facts.ended_epochs], default=1)
    elapsed, length = _measure_open_epoch(facts, now, due_at)
    boxes = [
        draw_box(
            open_epoch.number, EpochStage.OPEN, open_epoch.payment_count,
            f"due {format_age(due_at, now)}" if open_epoch.record_count else "waits", elapsed, length,
        )
    ]  # fmt: skip
    for line in epochs:
        cut_at = line.epoch.cut_at
        note = "" if cut_at is None else format_age(cut_at, now)
        boxes.append(
            draw_box(line.epoch.number, line.stage, line.epoch.payment_count, note, line.epoch.payment_count, most)
        )
    return boxes


def _draw_open_epoch(facts: HomeFacts, now: int, due_at: int) -> Chart | None:
    if not facts.open_epoch.record_count:
        return None
    elapsed, length = _measure_open_epoch(facts, now, due_at)
    return draw_fill(f"Epoch {facts.open_epoch.number:,} is filling", elapsed, length, facts.open_epoch.record_count)


def _measure_open_epoch(facts: HomeFacts, now: int, due_at: int) -> tuple[int, int]:
    """Milliseconds: since its first block, and from there until it is due."""
    if facts.opened_at is None or not facts.open_epoch.record_count:
        return 0, 1
    return max(0, now - facts.opened_at), max(1, due_at - facts.opened_at)


def read_home(index: IndexReader, now: int) -> HomeFacts:
    """A handful of look-ups, none of which grows with history."""
    open_epoch, *ended = index.list_epochs(limit=EPOCHS_SHOWN + 1)
    first = index.get_block(open_epoch.first_block)
    payments = index.list_payments(limit=PAYMENTS_SHOWN).items
    return HomeFacts(
        counters=index.get_counters(),
        open_epoch=open_epoch,
        opened_at=None if first is None else first.timestamp,
        payments=payments,
        files=read_files(index, payments),
        blocks=tuple(index.list_blocks(limit=BLOCKS_SHOWN)),
        ended_epochs=tuple(ended),
        timeline=read_timeline(index, SPANS["hour"], now),
    )
