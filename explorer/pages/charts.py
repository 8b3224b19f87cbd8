"""Pictures of the ledger: payments and volume over time, the way of epochs to Ethereum, and what that costs."""

from datetime import UTC, datetime
from typing import Final

import msgspec
from fastapi import Request, Response

from chain.errors import MalformedRequest
from explorer.charts import Chart, Point, draw_bars, draw_dots, measure_amount, measure_count, measure_duration
from explorer.formatting import Token
from explorer.pages.epochs import EpochLine, list_epoch_lines
from explorer.site import Site
from explorer.timelines import SPANS, Bar, Span, Timeline, read_timeline
from node.index import IndexedEpoch, IndexReader

EPOCHS_SHOWN: Final = 30


class Charts(msgspec.Struct, frozen=True):
    span: str
    charts: list[Chart]


async def show(site: Site, request: Request) -> Response:
    """`/charts?span=`. Raises `MalformedRequest`."""
    span = SPANS.get(request.query_params.get("span", "") or "day")
    if span is None:
        raise MalformedRequest("span: " + ", ".join(SPANS))
    sources, now = site.sources, site.sources.clock_ms()
    timeline, opened = await site.ask(lambda: _read(sources.index, span, now))
    lines = list_epoch_lines([epoch for epoch, _ in opened], sources.get_epoch)
    times = {epoch.number: opened_at for epoch, opened_at in opened}
    charts = [
        draw_payments(timeline),
        *[draw_volume(timeline, site.tokens[asset]) for asset in timeline.assets],
        draw_lag(lines, times),
        draw_gas(lines),
    ]
    return await site.show(request, "charts.html", view=Charts(span.name, charts), spans=list(SPANS.values()))


def draw_payments(timeline: Timeline, *, is_wide: bool = False) -> Chart:
    points = [_point(timeline.span, bar, bar.payment_count) for bar in timeline.bars]
    title, unit = f"Payments, {timeline.span.title}", timeline.span.unit
    return draw_bars(title, points, measure_count("Payments"), unit, is_wide=is_wide)


def draw_volume(timeline: Timeline, token: Token) -> Chart:
    points = [_point(timeline.span, bar, bar.volumes.get(token.address, 0)) for bar in timeline.bars]
    title = f"Volume in {token.symbol}, {timeline.span.title}"
    return draw_bars(title, points, measure_amount("Volume", token), timeline.span.unit)


def draw_lag(lines: list[EpochLine], times: dict[int, int]) -> Chart:
    """`times`: epoch → when its first record was accepted, ms."""
    points = [
        _epoch_point(
            line, max(0, line.inclusion.included_at * 1000 - times[line.epoch.number]) if line.inclusion else None
        )
        for line in lines
    ]
    return draw_dots("From acceptance to Ethereum, by epoch", points, measure_duration("Longest wait"), "Epoch")


def draw_gas(lines: list[EpochLine]) -> Chart:
    points = [
        _epoch_point(
            line,
            line.inclusion.gas_used // line.epoch.payment_count
            if line.inclusion and line.epoch.payment_count
            else None,
        )
        for line in lines
    ]
    return draw_dots("Gas per payment, by epoch", points, measure_count("Gas per payment"), "Epoch", is_log=True)


def _read(index: IndexReader, span: Span, now: int) -> tuple[Timeline, list[tuple[IndexedEpoch, int]]]:
    """The timeline, and the last epochs that have blocks with the time of their first one, oldest first."""
    opened = []
    for epoch in index.list_epochs(limit=EPOCHS_SHOWN):
        first = index.get_block(epoch.first_block)
        if first is not None and epoch.last_block >= epoch.first_block:
            opened.append((epoch, first.timestamp))
    return read_timeline(index, span, now), opened[::-1]


def _point(span: Span, bar: Bar, value: int) -> Point:
    moment = datetime.fromtimestamp(bar.start // 1000, UTC)
    return Point(f"{moment:{span.label}}", f"{moment:{span.full_label}} UTC", value)


def _epoch_point(line: EpochLine, value: int | None) -> Point:
    return Point(str(line.epoch.number), f"Epoch {line.epoch.number:,}", value)
