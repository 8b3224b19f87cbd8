"""Pictures of the ledger: payments and volume over time, the way of epochs to Ethereum, and what that costs."""

from typing import Final

import msgspec
from fastapi import Request, Response

from chain.errors import MalformedRequest
from explorer.pages.epochs import EpochLine, list_epoch_lines
from explorer.site import Site
from explorer.timelines import SPANS, Timeline, read_timeline
from node.index import IndexedEpoch

EPOCHS_SHOWN: Final = 30


class EpochPoint(msgspec.Struct, frozen=True):
    """An epoch that is on Ethereum."""

    line: EpochLine
    lag_ms: int
    """From the acceptance of its first record to its inclusion: the longest that one of them waited."""


class Charts(msgspec.Struct, frozen=True):
    timeline: Timeline
    epochs: list[EpochPoint]
    """Oldest first."""


async def show(site: Site, request: Request) -> Response:
    """`/charts?span=`. Raises `MalformedRequest`."""
    span = SPANS.get(request.query_params.get("span", "") or "day")
    if span is None:
        raise MalformedRequest("span: " + ", ".join(SPANS))
    sources, now = site.sources, site.sources.clock_ms()

    def read() -> tuple[Timeline, list[tuple[IndexedEpoch, int]]]:
        opened = []
        for epoch in sources.index.list_epochs(limit=EPOCHS_SHOWN + 1):
            first = sources.index.get_block(epoch.first_block)
            if first is not None and epoch.last_block >= epoch.first_block:
                opened.append((epoch, first.timestamp))
        return read_timeline(sources.index, span, now), opened

    timeline, opened = await site.ask(read)
    opened.reverse()
    lines = list_epoch_lines([epoch for epoch, _ in opened], sources.get_epoch)
    points = [
        EpochPoint(line, max(0, line.inclusion.included_at * 1000 - opened_at))
        for line, (_, opened_at) in zip(lines, opened, strict=True)
        if line.inclusion is not None
    ]
    return await site.show(request, "charts.html", charts=Charts(timeline, points), spans=list(SPANS.values()))
