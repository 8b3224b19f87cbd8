"""Turns the pages of a list as a reader does, by its links. Looks at rows by their keys alone: that is quick."""

import html
import re
from typing import Final

import msgspec

from tests.unit.explorer.conftest import World
from tests.unit.explorer.machines import fetch
from tests.unit.explorer.reading import Answer

MAX_PAGES: Final = 200

_ROW: Final = re.compile(r'<tr data-key="([^"]*)"')
_PAGER: Final = re.compile(r'<nav class="pager".*?</nav>', re.DOTALL)
_LINK: Final = re.compile(r'<a href="([^"]*)"[^>]*>(First|Previous|Next)</a>')


class Leaf(msgspec.Struct, frozen=True):
    """One page of a list."""

    path: str
    answer: Answer
    keys: list[str]
    links: dict[str, str]
    """First, Previous, Next: as far as they are there."""


async def read_leaf(world: World, path: str) -> Leaf:
    answer = await fetch(world.explorer, path)
    assert answer.status == 200, answer.text
    (pager,) = _PAGER.findall(answer.text)
    links = {name: html.unescape(address) for address, name in _LINK.findall(pager)}
    return Leaf(path, answer, _ROW.findall(answer.text), links)


async def turn(world: World, path: str, way: str = "Next") -> list[Leaf]:
    leaves = [await read_leaf(world, path)]
    while way in leaves[-1].links:
        assert len(leaves) < MAX_PAGES, "pages without end"
        leaves.append(await read_leaf(world, leaves[-1].links[way]))
    return leaves


def join(leaves: list[Leaf]) -> list[str]:
    """The keys of all rows."""
    return [key for leaf in leaves for key in leaf.keys]


async def check_both_ways(world: World, path: str, expected: list[str]) -> list[Leaf]:
    """That Next leads over what is expected, Previous back over the same pages, and First to the first one."""
    leaves = await turn(world, path)
    shown = [leaf.keys for leaf in leaves]
    assert join(leaves) == expected, path
    if len(leaves) > 1:
        back = await turn(world, leaves[-1].path, "Previous")
        assert [leaf.keys for leaf in back] == shown[::-1], path
        assert (await read_leaf(world, leaves[-1].links["First"])).keys == shown[0]
    for number, leaf in enumerate(leaves):
        assert ("Previous" in leaf.links) == ("First" in leaf.links) == (number > 0)
    return leaves
