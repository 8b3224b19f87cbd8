"""Pages, receipts and subscriptions about old blocks do not hold up payments."""

import asyncio
import threading
from typing import Any

import pytest

import node.archive
from node.refusals import Overloaded
from tests.unit.explorer.conftest import World


async def test_a_block_that_is_not_at_hand_is_read_once_in_a_thread_for_all_who_ask(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoding a full one takes a good part of a second, and payments run on the loop."""
    reads: list[str] = []
    read = world.archive._read_block

    def note(number: int) -> Any:
        reads.append(threading.current_thread().name)
        return read(number)

    monkeypatch.setattr(world.archive, "_read_block", note)
    views = await asyncio.gather(*[world.archive.load_block(3) for _ in range(10)])
    assert len({id(view) for view in views}) == 1
    assert len(reads) == 1 and reads[0].startswith("blocks"), reads
    assert world.archive.find_block_at_hand(3) is views[0]


async def test_readers_of_cold_blocks_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.archive, "_MAX_LOADING", 2)
    outcomes = await asyncio.gather(*[world.archive.load_block(3) for _ in range(3)], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(Overloaded) == 1
