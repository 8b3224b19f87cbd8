"""Pictures show the numbers they were given, whatever those and their names are."""

from fractions import Fraction
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.primitives import ETHER, MAX_U128
from explorer.charts import (
    Box,
    Chart,
    Measure,
    Point,
    draw_bars,
    draw_box,
    draw_dots,
    draw_fill,
    format_short,
    measure_amount,
    measure_count,
    measure_duration,
)
from explorer.formatting import describe_token, format_duration
from node.ledger_info import AssetInfo

PAYMENTS = measure_count("Payments")
GAS = measure_count("Gas")
VOLUME = measure_amount("Volume", describe_token(ETHER, AssetInfo("ETH", 18)))
LAG = measure_duration("Wait")

ALLOWED = {
    "svg": {"class", "viewBox", "role", "aria-label", "aria-hidden", "focusable", "preserveAspectRatio"},
    "g": {"class"},
    "title": set(),
    "text": {"x", "y", "text-anchor"},
    "line": {"class", "x1", "x2", "y1", "y2"},
    "rect": {"class", "x", "y", "width", "height", "fill", "pointer-events"},
    "circle": {"class", "cx", "cy", "r"},
    "polyline": {"class", "points"},
}
"""Nothing that the pages' policy forbids, and nothing that runs or loads."""

HOSTILE = ["<script>alert(1)</script>", '"><b x="', "'&amp;\"", "]]>", "\x00\x0b", "\u202eevil", "\ud800", "{{ 7*7 }}"]

unhurried = settings(deadline=None)
"""How long a picture takes depends on the machine."""

values = st.lists(st.integers(0, 2**140), max_size=70)


def name_points(numbers: list[int] | list[int | None]) -> list[Point]:
    return [Point(str(place), f"Hour {place}", number) for place, number in enumerate(numbers)]


def read(drawing: str) -> ElementTree.Element:
    """Raises AssertionError for what a drawing may not hold."""
    root = ElementTree.fromstring(drawing)
    for element in root.iter():
        assert set(element.keys()) <= ALLOWED[element.tag], ElementTree.tostring(element)
    return root


def list_bars(chart: Chart) -> list[tuple[str, Fraction]]:
    """Of each bar what it says and how high it is, 0 where none is drawn."""
    bars = []
    for group in read(chart.drawing).iter("g"):
        seen = [rect for rect in group.iter("rect") if rect.get("fill") != "none"]
        assert len(seen) <= 1
        bars.append((group.findtext("title") or "", Fraction(seen[0].get("height", "")) if seen else Fraction(0)))
    return bars


def list_ticks(chart: Chart) -> list[str]:
    """Of the axis, from 0 up."""
    root = read(chart.drawing)
    lines = len(list(root.iter("line")))
    return [text.text or "" for text in root.iter("text")][:lines]


# --- bars


@unhurried
@given(values)
def test_the_table_says_every_value_and_their_sum(numbers: list[int]) -> None:
    chart = draw_bars("Payments an hour", name_points(numbers), PAYMENTS, "Hour")
    assert chart.columns == ("Hour", "Payments")
    assert chart.rows == tuple([(f"Hour {place}", f"{number:,}") for place, number in enumerate(numbers)])
    assert chart.foot == ("All", f"{sum(numbers):,}")
    assert [said for said, _ in list_bars(chart)] == [": ".join(row) for row in chart.rows]


@unhurried
@given(st.lists(st.integers(0, 2**140), min_size=2, max_size=70))
def test_bars_are_as_high_as_their_values(numbers: list[int]) -> None:
    heights = [height for _, height in list_bars(draw_bars("Payments", name_points(numbers), PAYMENTS, "Hour"))]
    most = max(numbers)
    for number, height in zip(numbers, heights, strict=True):
        assert (height == 0) == (number == 0)
        if height > 1:  # below, it is only seen
            # Drawn in tenths, and rounded down, as the highest is.
            assert abs(height - max(heights) * number / Fraction(most)) <= Fraction(2, 10)


@unhurried
@given(values)
def test_all_is_drawn_within_the_picture(numbers: list[int]) -> None:
    for measure, is_wide in ((PAYMENTS, False), (VOLUME, True), (LAG, False)):
        chart, width = draw_bars("Volume", name_points(numbers), measure, "Hour", is_wide=is_wide), 360 << is_wide
        for element in read(chart.drawing).iter():
            if element.tag == "rect":
                left, top = Fraction(element.get("x", "")), Fraction(element.get("y", ""))
                assert left >= 0 and left + Fraction(element.get("width", "")) <= width
                assert top >= 0 and top + Fraction(element.get("height", "")) <= 148
            elif element.tag == "text":
                assert 0 <= Fraction(element.get("x", "")) <= width
                assert 0 <= Fraction(element.get("y", "")) <= 170


def test_a_picture_says_in_words_what_it_shows() -> None:
    points = name_points([1, 2, 1_000])
    label = read(draw_bars("Payments an hour", points, PAYMENTS, "Hour").drawing).get("aria-label")
    assert label == "Payments an hour. Hour 0 to Hour 2: 1,003 in all, 1,000 at most."
    label = read(draw_dots("Gas a payment", name_points([900, None, 70]), GAS, "Epoch").drawing).get("aria-label")
    assert label == "Gas a payment. Hour 0 to Hour 2: from 70 to 900, last 70."


def test_nothing_is_a_picture_too() -> None:
    for chart in (
        draw_bars("Payments", [], PAYMENTS, "Hour"),
        draw_dots("Gas", [], GAS, "Epoch", is_log=True),
        draw_dots("Gas", name_points([None]), GAS, "Epoch"),
    ):
        assert "Nothing to show yet" in chart.drawing
        assert "Nothing to show yet" in (read(chart.drawing).get("aria-label") or "")


def test_amounts_are_exact_at_any_size() -> None:
    chart = draw_bars("Volume", name_points([MAX_U128, 1]), VOLUME, "Hour")
    assert chart.rows[0][1] == "340,282,366,920,938,463,463.374607431768211455 ETH"
    assert chart.rows[1][1] == "0.000000000000000001 ETH"
    assert chart.foot[1] == "340,282,366,920,938,463,463.374607431768211456 ETH"


# --- axes


@pytest.mark.parametrize(
    ("measure", "most", "ticks"),
    [
        (PAYMENTS, 0, ["0", "1"]),
        (PAYMENTS, 1, ["0", "1"]),
        (PAYMENTS, 5, ["0", "2", "4", "6"]),
        (PAYMENTS, 4_000, ["0", "1,000", "2,000", "3,000", "4,000"]),
        (PAYMENTS, 4_001, ["0", "2,000", "4,000", "6,000"]),
        (PAYMENTS, 1_500_000, ["0", "500k", "1M", "1.5M"]),
        (VOLUME, 3, ["0", "1×10⁻¹⁸", "2×10⁻¹⁸", "3×10⁻¹⁸"]),
        (VOLUME, 10**18, ["0", "0.5", "1"]),
        (LAG, 61_000, ["0", "30 s", "1 min", "1 min 30 s"]),
        (LAG, 3_600_000 * 30, ["0", "12 h", "1 d", "1 d 12 h"]),
        (LAG, 86_400_000 * 35, ["0", "10 d", "20 d", "30 d", "40 d"]),
    ],
)
def test_gridlines_are_at_round_numbers(measure: Measure, most: int, ticks: list[str]) -> None:
    assert list_ticks(draw_bars("Any", name_points([most]), measure, "Hour")) == ticks


@unhurried
@given(st.integers(0, 2**140))
def test_gridlines_are_few_and_enclose_every_value(most: int) -> None:
    for measure in (PAYMENTS, VOLUME, LAG):
        chart = draw_bars("Any", name_points([most]), measure, "Hour")
        assert 2 <= len(list_ticks(chart)) <= 5
        (_, height) = list_bars(chart)[0]
        assert height <= 140
        assert most == 0 or height >= 60, "most of the picture is empty"


@unhurried
@given(st.integers(0, 2**140), st.integers(0, 30))
def test_a_short_number_is_exact(value: int, decimals: int) -> None:
    assert read_short(format_short(value, decimals)) == Fraction(value, 10**decimals)


def read_short(text: str) -> Fraction:
    mantissa, _, power = text.replace(",", "").partition("×10")
    if power:
        exponent = int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
        return Fraction(mantissa) * Fraction(10) ** exponent
    digits = mantissa.rstrip("kMbnt")
    return Fraction(digits) * {"": 1, "k": 10**3, "M": 10**6, "bn": 10**9, "tn": 10**12}[mantissa[len(digits) :]]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0, 18, "0"), (5, 2, "0.05"), (2500, 0, "2,500"), (9999, 0, "9,999"), (10_000, 0, "10k"),
        (1_500_000_000, 0, "1.5bn"), (2 * 10**18, 18, "2"), (2, 9, "2×10⁻⁹"), (3 * 10**15, 0, "3×10¹⁵"),
    ],
)  # fmt: skip
def test_a_short_number_is_short(value: int, decimals: int, text: str) -> None:
    assert format_short(value, decimals) == text


# --- dots


def list_dots(chart: Chart) -> list[tuple[Fraction, Fraction]]:
    return [(Fraction(dot.get("cx", "")), Fraction(dot.get("cy", ""))) for dot in read(chart.drawing).iter("circle")]


def test_a_line_joins_only_neighbours_that_are_there() -> None:
    chart = draw_dots("Lag", name_points([1, 2, None, 3, None, 4, 5, 6]), LAG, "Epoch")
    lines = [line.get("points", "").split() for line in read(chart.drawing).iter("polyline")]
    dots = [f"{float(x):g},{float(y):g}" for x, y in list_dots(chart)]
    assert [len(line) for line in lines] == [2, 3]
    assert lines[0] + lines[1] == dots[:2] + dots[3:]
    assert [row[1] for row in chart.rows] == ["1 ms", "2 ms", "–", "3 ms", "–", "4 ms", "5 ms", "6 ms"]


@unhurried
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=40), st.booleans())
def test_more_is_never_drawn_lower(numbers: list[int], is_log: bool) -> None:
    dots = list_dots(draw_dots("Gas", name_points(numbers), GAS, "Epoch", is_log=is_log))
    assert len(dots) == len(numbers)
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    heights = [dots[place][1] for place in order]
    assert heights == sorted(heights, reverse=True)
    assert all(8 <= y <= 148 and 0 <= x <= 360 for x, y in dots)
    assert [x for x, _ in dots] == sorted([x for x, _ in dots])


def test_a_logarithmic_axis_has_a_gridline_at_each_power_of_ten() -> None:
    chart = draw_dots("Gas", name_points([61, 98_352]), GAS, "Epoch", is_log=True)
    assert list_ticks(chart) == ["10", "100", "1,000", "10k", "100k"]
    heights = [Fraction(line.get("y1", "")) for line in read(chart.drawing).iter("line")]
    steps = [low - high for low, high in pairwise(heights)]
    assert max(steps) - min(steps) < 3, "powers of ten are about equally far from each other"


# --- the open epoch, the strip


@pytest.mark.parametrize(
    ("elapsed_ms", "filled"), [(0, None), (15_000, "90"), (59_999, "359.9"), (60_000, "360"), (90_000, "360")]
)
def test_the_open_epoch_fills_with_time(elapsed_ms: int, filled: str | None) -> None:
    chart = draw_fill("Epoch 7", elapsed_ms, 60_000, 1)
    bars = [rect.get("width") for rect in read(chart.drawing).iter("rect") if rect.get("class") == "bar"]
    assert bars == ([] if filled is None else [filled])
    said = f"{format_duration(elapsed_ms)} of 1 min"
    assert chart.rows == (("Time", said), ("Records so far", "1"))
    assert read(chart.drawing).get("aria-label") == f"Epoch 7: {said}, 1 record so far"


def test_an_epoch_that_never_ends_by_time_is_drawn() -> None:
    read(draw_fill("Epoch 7", 5, 0, 0).drawing)


@pytest.mark.parametrize(("level", "full", "height"), [(0, 10, "0"), (1, 3, "33.3"), (10, 10, "100"), (11, 10, "100"),
                                                       (5, 0, "0")])  # fmt: skip
def test_a_box_is_filled_from_below(level: int, full: int, height: str) -> None:
    box = draw_box(7, "open", 3, "due in 5 s", level, full)
    (fill,) = read(box.drawing).iter("rect")
    assert fill.get("height") == height
    assert Fraction(fill.get("y", "")) + Fraction(height) == 100
    assert isinstance(box, Box) and (box.epoch, box.stage, box.payment_count) == (7, "open", 3)


# --- what others say is text


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_are_text(words: str) -> None:
    points = [Point(words, words, 1), Point(words, words, 2)]
    token = describe_token(ETHER, AssetInfo(words, 18))
    plain = [element.tag for element in read(draw_bars("x", name_points([1, 2]), VOLUME, "x").drawing).iter()]
    chart = draw_bars(words, points, measure_amount(words, token), words)
    assert [element.tag for element in read(chart.drawing).iter()] == plain
    for drawing in (chart.drawing, draw_dots(words, points, GAS, words).drawing, draw_fill(words, 1, 2, 3).drawing):
        read(drawing)
        drawing.encode()
        assert "<script" not in drawing and "\u202e" not in drawing and "\x00" not in drawing
