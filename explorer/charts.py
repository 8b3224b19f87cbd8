"""Pictures of numbers, as SVG for the page, each with the table of the numbers behind it.

Everything is drawn with integers: amounts are beyond what a float holds. The markup is built as a tree, so whatever a
label holds is text. Colours come from the stylesheet by class, hence both themes; the policy of the pages forbids
`style`, so places and sizes are attributes.
"""

from collections.abc import Callable, Sequence
from typing import Final
from xml.etree import ElementTree

import msgspec
from markupsafe import Markup

from explorer.formatting import Token, format_amount, format_count, format_duration, make_visible

_WIDTH: Final = 360
_WIDE_WIDTH: Final = 2 * _WIDTH
"""Of a picture that has the page's width; its labels grow on narrow screens, and have the room."""
_HEIGHT: Final = 170
_TOP: Final = 8
_BOTTOM: Final = 22
"""What the labels below the axis need; twice that where they grow."""
_RIGHT: Final = 6
_LETTER: Final = 6
"""About the width of a letter of the labels, in units of the drawing; their size is in the stylesheet."""
_X_LABELS: Final = 4
_TICKS: Final = 4
_WIDEST_BAR: Final = 400
"""Tenths of a unit."""
_FRACTION_BITS: Final = 16

_SECOND: Final = 1000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DURATION_STEPS_MS: Final = (
    *[part * 10**power for power in range(3) for part in (1, 2, 5)],
    *[count * unit for unit in (_SECOND, _MINUTE) for count in (1, 2, 5, 10, 15, 30)],
    *[count * _HOUR for count in (1, 2, 3, 6, 12, 24)],
)

_SUFFIXES: Final = ("", "k", "M", "bn", "tn")
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Measure(msgspec.Struct, frozen=True):
    """What the values of a chart are."""

    name: str
    show: Callable[[int], str]
    """Exact, with its unit: for the table and for who points at a bar."""
    tick: Callable[[int], str]
    """Exact and short: for the axis."""
    steps: tuple[int, ...] = ()
    """From one gridline to the next, rising; beyond them, and without them, 1, 2 and 5 times powers of ten."""


class Point(msgspec.Struct, frozen=True):
    """One bar or dot."""

    label: str
    """Short, below the axis: "14:00"."""
    name: str
    """In full: "2026-01-31 14:00 UTC"."""
    value: int | None
    """Not below 0. None while there is nothing to say, which is not the same as 0."""


class Chart(msgspec.Struct, frozen=True):
    """`show.chart` of macros.html makes a figure of it."""

    title: str
    drawing: Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """The numbers behind the drawing, in full."""
    foot: tuple[str, ...] = ()
    """Their sum, where a sum says something."""


class Box(msgspec.Struct, frozen=True):
    """One epoch of the strip; `show.strip` of macros.html makes a list of them."""

    epoch: int
    stage: str
    payment_count: int
    note: str
    """"2 min ago", "due in 40 s"."""
    drawing: Markup


def measure_count(name: str) -> Measure:
    return Measure(name, format_count, format_short)


def measure_duration(name: str) -> Measure:
    """Of milliseconds."""
    return Measure(name, format_duration, lambda ms: format_duration(ms) if ms else "0", _DURATION_STEPS_MS)


def measure_amount(name: str, token: Token) -> Measure:
    """Of base units."""
    unit = token.symbol if token.is_known else f"base units of {token.symbol}"
    return Measure(
        name, lambda units: f"{format_amount(units, token)} {unit}", lambda units: format_short(units, token.decimals)
    )


def format_short(value: int, decimals: int = 0) -> str:
    """`value` times 10^−decimals in few letters, and still exact: "0.05", "2,500", "10k", "1.5bn", "2×10⁻⁹"."""
    if value == 0:
        return "0"
    digits = str(value).rstrip("0")
    exponent = len(str(value)) - len(digits) - decimals
    magnitude = len(digits) - 1 + exponent
    if -4 <= magnitude < 4:
        return _format_decimal(int(digits), exponent)
    thousands = magnitude // 3
    if 0 < thousands < len(_SUFFIXES):
        return _format_decimal(int(digits), exponent - 3 * thousands) + _SUFFIXES[thousands]
    mantissa = _format_decimal(int(digits), 1 - len(digits))
    return f"{mantissa}×10{str(magnitude).translate(_SUPERSCRIPTS)}"


# --- bars, dots


def draw_bars(title: str, points: Sequence[Point], measure: Measure, along: str, *, is_wide: bool = False) -> Chart:
    """What happened in each span of time, beside the others. `along`: what a point is ("Hour"). `is_wide` for one that
    stands alone."""
    values = [point.value or 0 for point in points]
    scale = _make_linear_scale(values, measure)
    total = measure.show(sum(values))
    summary = f"{_say_range(points)}: {total} in all, {measure.show(max(values))} at most" if points else ""
    svg, plot = _begin(title, summary, scale, measure, is_wide=is_wide)
    for place, point in enumerate(points):
        left, width = plot.get_slot(place, len(points))
        group = _add(svg, "g", {"class": "bar"})
        _add(group, "title", {}, f"{point.name}: {_show(point, measure)}")
        # What the pointer meets, also above a low bar.
        _add(group, "rect", {"x": _tenths(left), "y": str(_TOP), "width": _tenths(width),
                             "height": str(plot.height), "fill": "none", "pointer-events": "all"})  # fmt: skip
        gap = max(width // 6, (width - _WIDEST_BAR) // 2)
        height = _get_bar_height(point.value or 0, scale, plot)
        if height:
            _add(group, "rect", {"x": _tenths(left + gap), "y": _tenths(10 * plot.bottom - height),
                                 "width": _tenths(width - 2 * gap), "height": _tenths(height)})  # fmt: skip
    _label_x(svg, plot, points)
    return Chart(title, _finish(svg, plot, points), (along, measure.name), _list_rows(points, measure), ("All", total))


def draw_dots(title: str, points: Sequence[Point], measure: Measure, along: str, *, is_log: bool = False) -> Chart:
    """How something changed from one to the next; a line joins neighbours that both have a value. `is_log` for values
    that differ by orders of magnitude: then 0 is drawn as 1 is."""
    values = [point.value for point in points if point.value is not None]
    scale = _make_log_scale(values) if is_log else _make_linear_scale(values, measure)
    summary = ""
    if values:
        summary = (
            f"{_say_range(points)}: from {measure.show(min(values))} to {measure.show(max(values))}, "
            f"last {measure.show(values[-1])}"
        )
    svg, plot = _begin(title, summary, scale, measure)
    for line in _join_neighbours(points, scale, plot):
        _add(svg, "polyline", {"class": "path", "points": " ".join([f"{_tenths(x)},{_tenths(y)}" for x, y in line])})
    for place, point in enumerate(points):
        if point.value is not None:
            x, y = _place_dot(place, len(points), point.value, scale, plot)
            dot = _add(svg, "circle", {"class": "dot", "cx": _tenths(x), "cy": _tenths(y), "r": "3"})
            _add(dot, "title", {}, f"{point.name}: {_show(point, measure)}")
    _label_x(svg, plot, points)
    return Chart(title, _finish(svg, plot, values), (along, measure.name), _list_rows(points, measure))


# --- the open epoch, and those before it


def draw_fill(title: str, elapsed_ms: int, length_ms: int, record_count: int) -> Chart:
    """How much of the open epoch's time is over. It may be more than all: an epoch waits for what came before it."""
    said = f"{format_duration(elapsed_ms)} of {format_duration(length_ms)}"
    svg = ElementTree.Element(
        "svg", {"class": "level", "viewBox": f"0 0 {_WIDTH} 14", "preserveAspectRatio": "none", "role": "img"}
    )
    noun = "record" if record_count == 1 else "records"
    svg.set("aria-label", make_visible(f"{title}: {said}, {format_count(record_count)} {noun} so far"))
    _add(svg, "rect", {"class": "track", "width": str(_WIDTH), "height": "14"})
    filled = 10 * _WIDTH * min(elapsed_ms, length_ms) // max(length_ms, 1)
    if filled:
        _add(svg, "rect", {"class": "bar", "width": _tenths(filled), "height": "14"})
    rows = (("Time", said), ("Records so far", format_count(record_count)))
    return Chart(title, _write(svg), ("What", "So far"), rows)


def draw_box(epoch: int, stage: str, payment_count: int, note: str, level: int, full: int) -> Box:
    """The box is filled `level` of `full` high: by time for an open epoch, by payments for the others."""
    svg = ElementTree.Element(
        "svg", {"viewBox": "0 0 100 100", "preserveAspectRatio": "none", "aria-hidden": "true", "focusable": "false"}
    )
    height = 1000 * min(level, full) // max(full, 1)
    _add(svg, "rect", {"class": "fill", "y": _tenths(1000 - height), "width": "100", "height": _tenths(height)})
    return Box(epoch, stage, payment_count, note, _write(svg))


# --- scales


class _Scale(msgspec.Struct, frozen=True):
    """From values to heights."""

    bottom: int
    top: int
    ticks: tuple[int, ...]
    rise: Callable[[int], int]
    """A value, on the way from the bottom to the top; any unit, never falling."""

    def compute_height(self, value: int, height: int) -> int:
        """Of `height`, rounded down."""
        low, high = self.rise(self.bottom), self.rise(self.top)
        return height * (self.rise(max(value, self.bottom)) - low) // (high - low)


def _make_linear_scale(values: Sequence[int], measure: Measure) -> _Scale:
    most = max(values, default=0)
    step = _choose_step(most, measure.steps)
    count = max(1, -(-most // step))
    return _Scale(0, count * step, tuple([number * step for number in range(count + 1)]), lambda value: value)


def _choose_step(most: int, steps: Sequence[int]) -> int:
    """The shortest that needs at most `_TICKS` of itself."""
    for step in steps:
        if _TICKS * step >= most:
            return step
    unit = steps[-1] if steps else 1
    power: int = unit * 10 ** max(0, len(str(most // unit)) - 2)
    return next(part * power for part in (1, 2, 5, 10, 20, 50, 100) if _TICKS * part * power >= most)


def _make_log_scale(values: Sequence[int]) -> _Scale:
    least, most = max(1, min(values, default=1)), max(1, max(values, default=1))
    low = len(str(least)) - 1
    high = max(low + 1, len(str(most - 1)) if most > 1 else 0)
    return _Scale(10**low, 10**high, tuple([10**power for power in range(low, high + 1)]), _compute_log)


def _compute_log(value: int) -> int:
    """Base 2, in 2^−16, and straight between the powers of two: close enough for the eye, and without floats."""
    bits = max(value, 1).bit_length() - 1
    return (bits << _FRACTION_BITS) + (((max(value, 1) - (1 << bits)) << _FRACTION_BITS) >> bits)


# --- drawing. Places are in tenths of a unit where they are computed, in units where they are written.


class _Plot(msgspec.Struct, frozen=True):
    """Where the values are drawn; units."""

    left: int
    right: int
    letter: int
    """About the width of a letter of the labels."""
    bottom: int

    @property
    def height(self) -> int:
        return self.bottom - _TOP

    def get_slot(self, place: int, count: int) -> tuple[int, int]:
        """Left edge and width of one of `count`; tenths."""
        width = 10 * (self.right - self.left)
        left, right = width * place // count, width * (place + 1) // count
        return 10 * self.left + left, right - left


def _begin(
    title: str, summary: str, scale: _Scale, measure: Measure, *, is_wide: bool = False
) -> tuple[ElementTree.Element, _Plot]:
    """The picture with its gridlines."""
    width, letter = (_WIDE_WIDTH, 2 * _LETTER) if is_wide else (_WIDTH, _LETTER)
    svg = ElementTree.Element("svg", {"viewBox": f"0 0 {width} {_HEIGHT}", "role": "img"})
    if is_wide:
        svg.set("class", "wide")
    svg.set("aria-label", make_visible(f"{title}. {summary or 'Nothing to show yet'}."))
    labels = [measure.tick(tick) for tick in scale.ticks]
    left = min(width // 2, max([len(label) for label in labels]) * letter + 10)
    plot = _Plot(left, width - _RIGHT, letter, bottom=_HEIGHT - _BOTTOM * (letter // _LETTER))
    for tick, label in zip(scale.ticks, labels, strict=True):
        y = 10 * plot.bottom - scale.compute_height(tick, 10 * plot.height)
        kind = "base" if tick == scale.bottom else "grid"
        _add(svg, "line", {"class": kind, "x1": str(plot.left), "x2": str(plot.right),
                           "y1": _tenths(y), "y2": _tenths(y)})  # fmt: skip
        _add(svg, "text", {"x": str(plot.left - 5), "y": _tenths(y + 38), "text-anchor": "end"}, label)
    return svg, plot


def _label_x(svg: ElementTree.Element, plot: _Plot, points: Sequence[Point]) -> None:
    """A few of them, the last always: it is the newest."""
    step = -(-len(points) // _X_LABELS) if points else 1
    for place, point in enumerate(points):
        if (len(points) - 1 - place) % step:
            continue
        left, width = plot.get_slot(place, len(points))
        middle, half = left + width // 2, 10 * len(point.label) * plot.letter // 2
        anchor, x = "middle", middle
        if middle + half > 10 * (plot.right + _RIGHT):
            anchor, x = "end", 10 * (plot.right + _RIGHT)
        elif middle - half < 0:
            anchor, x = "start", 0
        _add(svg, "text", {"x": _tenths(x), "y": str(_HEIGHT - 8), "text-anchor": anchor}, point.label)


def _get_bar_height(value: int, scale: _Scale, plot: _Plot) -> int:
    """Tenths. What is not nothing is seen."""
    height = scale.compute_height(value, 10 * plot.height)
    return max(height, 10) if value else 0


def _place_dot(place: int, count: int, value: int, scale: _Scale, plot: _Plot) -> tuple[int, int]:
    left, width = plot.get_slot(place, count)
    return left + width // 2, 10 * plot.bottom - scale.compute_height(value, 10 * plot.height)


def _join_neighbours(points: Sequence[Point], scale: _Scale, plot: _Plot) -> list[list[tuple[int, int]]]:
    """The lines: a gap where a value is missing."""
    lines: list[list[tuple[int, int]]] = [[]]
    for place, point in enumerate(points):
        if point.value is None:
            lines.append([])
        else:
            lines[-1].append(_place_dot(place, len(points), point.value, scale, plot))
    return [line for line in lines if len(line) > 1]


def _finish(svg: ElementTree.Element, plot: _Plot, shown: Sequence[object]) -> Markup:
    if not shown:
        middle = {"x": str((plot.left + plot.right) // 2), "y": str(_HEIGHT // 2), "text-anchor": "middle"}
        _add(svg, "text", middle, "Nothing to show yet")
    return _write(svg)


# --- words


def _show(point: Point, measure: Measure) -> str:
    return "–" if point.value is None else measure.show(point.value)


def _list_rows(points: Sequence[Point], measure: Measure) -> tuple[tuple[str, str], ...]:
    return tuple([(point.name, _show(point, measure)) for point in points])


def _say_range(points: Sequence[Point]) -> str:
    return points[0].name if len(points) == 1 else f"{points[0].name} to {points[-1].name}"


def _format_decimal(digits: int, exponent: int) -> str:
    """`digits` times 10^exponent."""
    if exponent >= 0:
        return f"{digits * 10**exponent:,}"
    text = str(digits).rjust(1 - exponent, "0")
    whole, fraction = f"{int(text[:exponent]):,}", text[exponent:].rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


# --- markup


def _add(
    parent: ElementTree.Element, tag: str, attributes: dict[str, str], text: str | None = None
) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag, attributes)
    element.text = None if text is None else make_visible(text)
    return element


def _tenths(length: int) -> str:
    """From tenths of a unit, not below 0, to units."""
    return f"{length // 10}.{length % 10}" if length % 10 else str(length // 10)


def _write(svg: ElementTree.Element) -> Markup:
    return Markup(ElementTree.tostring(svg, encoding="unicode"))
