"""A page that many ask for is made once, and nobody gets one from before they asked unless nothing happened since."""

import asyncio

import pytest
from fastapi import Response

from explorer import shared
from explorer.shared import SharedPage


class Kitchen:
    """Makes pages that hold the state in which they were begun."""

    def __init__(self) -> None:
        self.state = 0
        self.made = 0
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def make(self) -> Response:
        state = self.state
        self.made += 1
        self.begun.set()
        await self.gate.wait()
        return Response(str(state))


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch) -> Kitchen:
    monkeypatch.setattr(shared, "_INTERVAL_SECONDS", 0.0)
    return Kitchen()


async def test_a_hundred_readers_cost_one_page(kitchen: Kitchen) -> None:
    page = SharedPage(lambda: kitchen.state)
    answers = await asyncio.gather(*[page.get(kitchen.make) for _ in range(100)])
    assert kitchen.made == 1
    assert {bytes(answer.body) for answer in answers} == {b"0"}
    await page.get(kitchen.make)
    assert kitchen.made == 1, "nothing is new"


async def test_news_is_shown_to_whoever_asks_after_it(kitchen: Kitchen) -> None:
    page = SharedPage(lambda: kitchen.state)
    kitchen.gate.clear()
    first = asyncio.create_task(page.get(kitchen.make))
    await kitchen.begun.wait()
    kitchen.state = 1
    # The first page was begun before the news: who asks now must not get it, though it is being made.
    second = [asyncio.create_task(page.get(kitchen.make)) for _ in range(10)]
    await asyncio.sleep(0)
    kitchen.gate.set()
    assert (await first).body == b"0"
    assert {bytes((await answer).body) for answer in second} == {b"1"}
    assert kitchen.made == 2


async def test_a_page_grows_old(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    page = SharedPage(lambda: kitchen.state)
    await page.get(kitchen.make)
    monkeypatch.setattr(shared, "_MAX_AGE_SECONDS", 0.0)
    await page.get(kitchen.make)
    assert kitchen.made == 2


async def test_a_failure_is_told_and_not_kept(kitchen: Kitchen) -> None:
    page = SharedPage(lambda: kitchen.state)

    async def fail() -> Response:
        raise RuntimeError("broken")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            await page.get(fail)
    assert (await page.get(kitchen.make)).body == b"0"


async def test_a_reader_who_goes_takes_nothing_from_the_others(kitchen: Kitchen) -> None:
    page = SharedPage(lambda: kitchen.state)
    kitchen.gate.clear()
    gone, waiting = [asyncio.create_task(page.get(kitchen.make)) for _ in range(2)]
    await kitchen.begun.wait()
    gone.cancel()
    await asyncio.sleep(0)
    kitchen.gate.set()
    assert (await waiting).body == b"0"
    assert kitchen.made == 1
