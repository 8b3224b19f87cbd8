"""The charts add up to what happened, and say of Ethereum what the contract noted."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from chain.payment import SignedPayment
from chain.primitives import ETHER
from explorer.formatting import describe_token, format_amount, format_duration
from explorer.timelines import SPANS, Span, read_timeline
from node.ethereum.submission import EpochState
from node.ledger_info import AssetInfo
from tests.unit.explorer.conftest import LISTED, World
from tests.unit.explorer.machines import fetch
from tests.unit.explorer.reading import Answer, Page
from tests.unit.node.index.history import RandomLedger

MakeWorld = Callable[[RandomLedger | None], World]


def read_charts(answer: Answer) -> dict[str, list[list[str]]]:
    """The rows behind each chart, without the headings, by its title."""
    assert answer.status == 200
    charts = {}
    for figure in re.findall(r'<figure class="chart">.*?</figure>', answer.text, re.DOTALL):
        page = Page()
        page.feed(figure)
        (title,) = re.findall(r"<figcaption>(.*?)</figcaption>", figure)
        charts[title] = page.get_rows("")
    return charts


def name_bar(span: Span, start: int) -> str:
    moment = datetime.fromtimestamp(start // 1000, UTC)
    return f"{moment:{'%Y-%m-%d' if span.name == 'month' else '%Y-%m-%d %H:%M'}} UTC"


@pytest.mark.parametrize("name", list(SPANS))
@pytest.mark.parametrize("later_ms", [5_000, 1_200_000, 90_000_000])
async def test_bars_are_the_payments_of_their_span(
    world: World, history: RandomLedger, name: str, later_ms: int
) -> None:
    world.now = history.timestamp + later_ms
    span = SPANS[name]
    charts = read_charts(await fetch(world.explorer, f"/charts?span={name}"))
    last = world.now // span.length * span.length
    starts = [last - span.length * back for back in reversed(range(span.count))]
    payments = [(placed.timestamp, placed.record.payment) for placed in history.payments
                if isinstance(placed.record, SignedPayment) and placed.timestamp >= starts[0]]  # fmt: skip
    *bars, (all_words, total) = charts[f"Payments, {span.title}"]
    assert [bar[0] for bar in bars] == [name_bar(span, start) for start in starts]
    assert [int(bar[1].replace(",", "")) for bar in bars] == [
        len([time for time, _ in payments if start <= time < start + span.length]) for start in starts
    ]
    assert (all_words, total) == ("All", f"{len(payments):,}")
    for place, asset in enumerate(history.assets):
        symbol = "ETH" if asset == ETHER else f"TOK{place}"
        token = describe_token(asset, AssetInfo(symbol, LISTED))
        moved = [(time, payment.total) for time, payment in payments if payment.asset == asset]
        title = f"Volume in {symbol}, {span.title}"
        assert (title in charts) == bool(moved), "a chart of nothing"
        if not moved:
            continue
        sums = [sum([amount for time, amount in moved if start <= time < start + span.length]) for start in starts]
        assert [row[1] for row in charts[title]] == [
            f"{format_amount(amount, token)} {symbol}" for amount in [*sums, sum([amount for _, amount in moved])]
        ]


def test_the_history_fills_more_than_one_bar(world: World, history: RandomLedger) -> None:
    timeline = read_timeline(world.index, SPANS["hour"], history.timestamp)
    assert len([bar for bar in timeline.bars if bar.payment_count]) > 3
    assert set(timeline.assets) == set(history.assets)


async def test_what_lies_ahead_of_the_clock_is_left_out(world: World, history: RandomLedger) -> None:
    """A clock may have been set back: nothing is counted twice, and nothing fails."""
    now = history.headers[len(history.headers) // 2].timestamp
    timeline = read_timeline(world.index, SPANS["hour"], now)
    end = now // 60_000 * 60_000 + 60_000
    assert sum([bar.payment_count for bar in timeline.bars]) == len(
        [placed for placed in history.payments if end - 3_600_000 <= placed.timestamp < end]
    )


async def test_lag_and_gas_are_those_of_the_epochs_on_ethereum(world: World, history: RandomLedger) -> None:
    mined = 9
    for epoch in range(1, mined + 1):
        world.send(history, epoch, EpochState.FINAL)
    world.send(history, mined + 1, EpochState.SENT)
    charts = read_charts(await fetch(world.explorer, "/charts"))
    lag, gas = (
        dict(map(tuple, charts["From acceptance to Ethereum, by epoch"])),
        dict(map(tuple, charts["Gas per payment, by epoch"])),
    )
    filled = sorted({placed.epoch for placed in history.records})
    assert list(lag) == list(gas) == [f"Epoch {epoch}" for epoch in filled]
    for epoch in filled:
        first = min([placed.timestamp for placed in history.records if placed.epoch == epoch])
        count = len([placed for placed in history.payments if placed.epoch == epoch])
        if epoch > mined:
            assert (lag[f"Epoch {epoch}"], gas[f"Epoch {epoch}"]) == ("–", "–")
            continue
        # Ethereum counts whole seconds, so a short epoch may seem to be there before it began.
        included_at = history.sealed[epoch][0].commitment.cut_at // 1000 * 1000
        assert lag[f"Epoch {epoch}"] == format_duration(max(0, included_at - first))
        assert gas[f"Epoch {epoch}"] == (f"{98_352 // count:,}" if count else "–")


async def test_a_ledger_that_has_only_begun_has_empty_charts(make_world: MakeWorld) -> None:
    world = make_world(None)
    for name, span in SPANS.items():
        charts = read_charts(await fetch(world.explorer, f"/charts?span={name}"))
        assert list(charts) == [
            f"Payments, {span.title}", "From acceptance to Ethereum, by epoch", "Gas per payment, by epoch",
        ]  # fmt: skip
        assert {row[1] for row in charts[f"Payments, {span.title}"]} == {"0"}


async def test_the_span_is_one_of_three(world: World) -> None:
    day = await fetch(world.explorer, "/charts?span=day")
    for query in ("", "?span="):
        assert (await fetch(world.explorer, "/charts" + query)).body == day.body
    (current,) = [
        attributes["href"] for tag, attributes in day.page.elements
        if tag == "a" and "aria-current" in attributes and str(attributes["href"]).startswith("/charts?")
    ]  # fmt: skip
    assert current == "/charts?span=day"
    for junk in ("year", "<b>", "Day"):
        answer = await fetch(world.explorer, f"/charts?span={junk}")
        assert answer.status == 400 and "span: hour, day, month" in answer.page.text
