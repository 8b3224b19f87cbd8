"""The stylesheet: small, readable in both themes, and in need of nothing from elsewhere."""

import re

import pytest

from explorer.static_files import load_static_files

STYLE = load_static_files()["style.css"].content.decode()
COLOURS = {
    name: (light, dark)
    for name, light, dark in re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", STYLE)
}
THEMES = ("light", "dark")
MAX_SIZE = 25_000

TEXT = [
    *[(ink, ground) for ink in ("ink", "quiet", "accent") for ground in ("ground", "surface", "hover", "fresh")],
    *[(f"{word}-ink", word) for word in ("accepted", "committed", "final", "waiting", "trouble")],
    # Amounts with a sign; what is wrong with a field.
    *[(ink, ground) for ink in ("final-ink", "trouble-ink") for ground in ("ground", "surface", "hover", "fresh")],
    # The boxes of the strip.
    *[(ink, ground) for ink in ("ink",) for ground in ("waiting", "accepted", "committed", "final")],
    ("on-accent", "accent"),
]
"""Every ink on every ground that it may stand on."""

SHAPES = [("edge", "surface"), ("edge", "ground"), ("accent", "surface"), ("accent", "ground")]
"""Borders of what is filled in, bars, focus (WCAG 2.2, 1.4.11)."""


def compute_luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def compute_contrast(one: str, other: str) -> float:
    low, high = sorted([compute_luminance(one), compute_luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_the_guidelines_say() -> None:
    assert compute_contrast("#000000", "#ffffff") == pytest.approx(21)
    assert compute_contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("ink", "ground"), TEXT)
def test_text_is_readable(ink: str, ground: str, theme: str) -> None:
    place = THEMES.index(theme)
    assert compute_contrast(COLOURS[ink][place], COLOURS[ground][place]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("shape", "ground"), SHAPES)
def test_shapes_that_mean_something_are_seen(shape: str, ground: str, theme: str) -> None:
    place = THEMES.index(theme)
    assert compute_contrast(COLOURS[shape][place], COLOURS[ground][place]) >= 3


def test_every_colour_has_both_themes_and_is_tested() -> None:
    tested = {name for pair in [*TEXT, *SHAPES] for name in pair}
    assert set(COLOURS) - tested == {"line"}, "lines only divide"
    rules = STYLE.split("@media print")[0]
    plain = re.findall(r"#[0-9a-fA-F]{3,8}\b", re.sub(r"light-dark\([^)]*\)|url\([^)]*\)", "", rules))
    assert not plain, "a colour of one theme alone"
    assert set(re.findall(r"var\(--([a-z-]+)\)", STYLE)) <= {*COLOURS, "sans", "mono"}


def test_it_is_small_and_whole() -> None:
    assert len(STYLE.encode()) < MAX_SIZE
    assert STYLE.count("{") == STYLE.count("}")
    assert "@import" not in STYLE and "@font-face" not in STYLE
    assert all(address.startswith('"data:image/svg+xml,') for address in re.findall(r"url\(([^)]*)", STYLE))
