"""Payments and volume over time, as charts show them: a row of equal spans up to now, the empty ones included."""

from typing import Final

import msgspec

from chain.primitives import Address
from node.index import ACTIVITY_LENGTHS, IndexReader

_MINUTE, _HOUR, _DAY = ACTIVITY_LENGTHS


class Span(msgspec.Struct, frozen=True):
    """What a chart covers."""

    name: str
    title: str
    length: int
    """Of one bar, ms."""
    count: int
    """Bars."""
    unit: str
    label: str
    """How a bar is labelled, and how in full; as `strftime` takes it."""
    full_label: str


SPANS: Final = {
    span.name: span
    for span in (
        Span("hour", "last hour, by the minute", _MINUTE, 60, "Minute", "%H:%M", "%Y-%m-%d %H:%M"),
        Span("day", "last day, by the hour", _HOUR, 24, "Hour", "%H:00", "%Y-%m-%d %H:00"),
        Span("month", "last 30 days", _DAY, 30, "Day", "%d %b", "%Y-%m-%d"),
    )
}


class Bar(msgspec.Struct, frozen=True):
    start: int
    """Milliseconds."""
    payment_count: int
    volumes: dict[Address, int]
    """Asset → base units; only those that had payments."""


class Timeline(msgspec.Struct, frozen=True):
    span: Span
    bars: tuple[Bar, ...]
    """Ascending; the last one is the one that goes on."""

    @property
    def assets(self) -> list[Address]:
        """That had payments, by the time of the first."""
        return list(dict.fromkeys([asset for bar in self.bars for asset in bar.volumes]))


def read_timeline(index: IndexReader, span: Span, now: int) -> Timeline:
    """`now`: milliseconds. At most a day's minutes of rows are read, whatever the history."""
    last = now - now % span.length
    starts = [last - span.length * place for place in range(span.count - 1, -1, -1)]
    counts = dict.fromkeys(starts, 0)
    volumes: dict[int, dict[Address, int]] = {start: {} for start in starts}
    for activity in index.list_activity(span.length, starts[0]):
        if activity.start in counts:  # a clock that went back may have left some ahead of now
            counts[activity.start] += activity.payment_count
            volumes[activity.start][activity.asset] = activity.volume
    return Timeline(span, tuple([Bar(start, counts[start], volumes[start]) for start in starts]))
