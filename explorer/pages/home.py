"""The front page: how far the ledger is, what happened last, what of it is on Ethereum."""

from typing import Final

import msgspec
from fastapi import Request, Response

from explorer.pages.epochs import EpochLine, list_epoch_lines
from explorer.pages.payments import PaymentLine, list_payment_lines
from explorer.site import Site
from explorer.timelines import SPANS, Timeline, read_timeline
from node.index import Counters, IndexedBlock, IndexedEpoch, IndexedPayment, IndexReader

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
    blocks: tuple[IndexedBlock, ...]
    ended_epochs: tuple[IndexedEpoch, ...]
    timeline: Timeline


class Home(msgspec.Struct, frozen=True):
    facts: HomeFacts
    payments: list[PaymentLine]
    epochs: list[EpochLine]
    due_at: int


async def show(site: Site, request: Request) -> Response:
    sources = site.sources
    now = sources.clock_ms()
    facts = await site.ask(lambda: read_home(sources.index, now))
    home = Home(
        facts,
        list_payment_lines(facts.payments, sources.commitments),
        list_epoch_lines(facts.ended_epochs, sources.get_epoch),
        sources.get_due_at(),
    )
    return await site.show(request, "home.html", home=home)


def read_home(index: IndexReader, now: int) -> HomeFacts:
    """A handful of look-ups, none of which grows with history."""
    open_epoch, *ended = index.list_epochs(limit=EPOCHS_SHOWN + 1)
    first = index.get_block(open_epoch.first_block)
    return HomeFacts(
        counters=index.get_counters(),
        open_epoch=open_epoch,
        opened_at=None if first is None else first.timestamp,
        payments=index.list_payments(limit=PAYMENTS_SHOWN).items,
        blocks=tuple(index.list_blocks(limit=BLOCKS_SHOWN)),
        ended_epochs=tuple(ended),
        timeline=read_timeline(index, SPANS["hour"], now),
    )
