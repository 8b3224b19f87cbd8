"""QR codes, so that a printed receipt leads back to where it is checked."""

from typing import Final
from xml.etree import ElementTree

import segno
from markupsafe import Markup

from explorer.formatting import make_visible

MAX_URL_LENGTH: Final = 512
"""Letters. More would make a code that phones do not read off paper."""

_QUIET_ZONE: Final = 4
"""Modules around the code (ISO/IEC 18004)."""


def draw_qr(url: str, title: str) -> Markup:
    """Black on white in every theme: readers expect it. Raises ValueError when `url` is too long or not ASCII."""
    if len(url) > MAX_URL_LENGTH or not url.isascii():
        raise ValueError(f"not a URL of at most {MAX_URL_LENGTH} ASCII letters")
    modules = segno.make(url, error="m", micro=False).matrix
    size = len(modules) + 2 * _QUIET_ZONE
    svg = ElementTree.Element(
        "svg", {"viewBox": f"0 0 {size} {size}", "role": "img", "aria-label": make_visible(title),
                "shape-rendering": "crispEdges"}
    )  # fmt: skip
    ElementTree.SubElement(svg, "title").text = make_visible(title)
    ElementTree.SubElement(svg, "rect", {"width": str(size), "height": str(size), "fill": "#fff"})
    ElementTree.SubElement(svg, "path", {"d": "".join(_list_strokes(modules)), "stroke": "#000"})
    return Markup(ElementTree.tostring(svg, encoding="unicode"))


def _list_strokes(modules: tuple[bytearray, ...]) -> list[str]:
    """Each run of dark modules is a line one unit thick, along its middle."""
    strokes = []
    for row, line in enumerate(modules):
        column = 0
        while column < len(line):
            end = column
            while end < len(line) and line[end]:
                end += 1
            if end > column:
                strokes.append(f"M{column + _QUIET_ZONE} {row + _QUIET_ZONE}.5h{end - column}")
            column = end + 1
    return strokes
