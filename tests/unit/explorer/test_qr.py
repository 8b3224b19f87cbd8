"""The code is the one that the library means, drawn dot for dot, and nothing else."""

import re
from xml.etree import ElementTree

import pytest
import segno

from explorer.qr import MAX_URL_LENGTH, draw_qr

URL = "https://ledger.example/verify?payment=0x" + "8f3a" * 16


def read_modules(drawing: str) -> list[list[bool]]:
    """What is dark, quiet zone included."""
    root = ElementTree.fromstring(drawing)
    (path,) = root.iter("path")
    size = int((root.get("viewBox") or "").split()[2])
    dark = [[False] * size for _ in range(size)]
    strokes = re.findall(r"M(\d+) (\d+)\.5h(\d+)", path.get("d", ""))
    assert "".join([f"M{x} {y}.5h{length}" for x, y, length in strokes]) == path.get("d")
    for x, y, length in strokes:
        for column in range(int(x), int(x) + int(length)):
            assert not dark[int(y)][column], "a module is drawn twice"
            dark[int(y)][column] = True
    return dark


@pytest.mark.parametrize("url", [URL, "http://127.0.0.1:8545/", "https://e/" + "x" * (MAX_URL_LENGTH - 10)])
def test_every_module_is_drawn_where_it_belongs(url: str) -> None:
    expected = [
        [bool(module) for module in row] for row in segno.make(url, error="m", micro=False).matrix_iter(border=4)
    ]
    assert read_modules(draw_qr(url, "Check this receipt")) == expected


def test_it_has_a_name_and_no_style() -> None:
    root = ElementTree.fromstring(draw_qr(URL, 'Check <this> & "that"'))
    assert root.get("role") == "img"
    assert root.get("aria-label") == root.findtext("title") == 'Check <this> & "that"'
    assert not [element for element in root.iter() if element.get("style") is not None]
    assert {element.tag for element in root.iter()} == {"svg", "title", "rect", "path"}
    assert [rect.get("fill") for rect in root.iter("rect")] == ["#fff"]


@pytest.mark.parametrize("url", ["https://e/" + "x" * MAX_URL_LENGTH, "https://exämple.org/"])
def test_what_no_phone_would_read_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        draw_qr(url, "x")
