"""Whoever listens hears of the last thing that happened, soon, and not of each; and who has gone costs nothing."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.types import Message

from explorer import events
from explorer.app import Explorer
from node.ethereum.submission import EpochState
from node.http_protocol import TRANSPORT
from node.index import Counters, IndexWriter
from node.refusals import Overloaded
from tests.unit.explorer.conftest import World
from tests.unit.explorer.machines import Line, fetch
from tests.unit.explorer.test_records import open_late
from tests.unit.node.index.history import RandomLedger, apply

PATH: Final = "/api/v1/events"
MISSING: Final = 30
"""Entries that the index does not have at first."""

_PATIENCE_SECONDS: Final = 20.0


class Book:
    """A node whose index goes on when it is told to."""

    def __init__(self, world: World, writer: IndexWriter, ledger: RandomLedger) -> None:
        self.world, self._writer, self._ledger = world, writer, ledger
        self.height = len(ledger.entries) - MISSING

    def grow(self) -> int:
        self.height += 1
        apply(self._writer, self._ledger.entries[: self.height])
        self.world.indexed.advance(self.height)
        return self.height


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    ledger = RandomLedger(13)
    ledger.run(40)
    with open_late(tmp_path / "late", ledger, MISSING) as (world, writer):
        yield Book(world, writer, ledger)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause is long enough for many things to happen in it, and short enough to be waited for."""
    monkeypatch.setattr(events, "_INTERVAL_SECONDS", 0.05)


class Listener:
    """A browser with a page open."""

    def __init__(self, explorer: Explorer) -> None:
        self.start: Message | None = None
        self.is_over = False
        """Whether the stream was ended by the server, in order."""
        self._parts: asyncio.Queue[str] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._is_asked = False
        self._task = asyncio.create_task(self._listen(explorer))

    async def _listen(self, explorer: Explorer) -> None:
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": PATH, "raw_path": PATH.encode(), "query_string": b"", "root_path": "",
            "headers": [], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        }  # fmt: skip
        await explorer(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        for part in message["body"].decode().split("\n\n"):
            if part:
                self._parts.put_nowait(part)
        self.is_over = not message.get("more_body")

    async def hear(self) -> str:
        """The next event, as it is sent."""
        return await asyncio.wait_for(self._parts.get(), _PATIENCE_SECONDS)

    async def hear_head(self) -> dict[str, int]:
        part = await self.hear()
        name, _, data = part.partition("\n")
        assert name == "event: ledger", part
        head: dict[str, int] = json.loads(data.removeprefix("data: "))
        return head

    async def begin(self) -> dict[str, int]:
        assert await self.hear() == "retry: 2000"
        return await self.hear_head()

    def hears_nothing(self) -> bool:
        return self._parts.empty()

    async def leave(self) -> None:
        self._gone.set()
        await self.end()

    async def end(self) -> None:
        await asyncio.wait_for(self._task, _PATIENCE_SECONDS)


async def wait_until(is_reached: Callable[[], bool]) -> None:
    for _ in range(100_000):
        if is_reached():
            return
        await asyncio.sleep(0)
    raise AssertionError("it does not happen")


async def test_a_reader_is_told_at_once_how_far_the_ledger_is(world: World, history: RandomLedger) -> None:
    world.send(history, 1, EpochState.FINAL)
    world.send(history, 2, EpochState.MINED)
    listener = Listener(world.explorer)
    head = await listener.begin()
    assert head == {
        "height": len(history.entries), "block": len(history.headers), "epoch": history.epoch,
        "payments": len(history.payments), "mined": 2, "final": 1,
    }  # fmt: skip
    assert listener.start is not None and listener.start["status"] == 200
    headers = dict(listener.start["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-store" and headers[b"x-accel-buffering"] == b"no"
    await listener.leave()


async def test_what_the_index_gets_is_told(book: Book) -> None:
    listener = Listener(book.world.explorer)
    assert (await listener.begin())["height"] == book.height
    for _ in range(3):
        height = book.grow()
        assert (await listener.hear_head())["height"] == height
    await listener.leave()


async def test_many_changes_are_told_as_one_and_the_last_is_never_missed(book: Book) -> None:
    loop = asyncio.get_running_loop()
    listener = Listener(book.world.explorer)
    heads = [await listener.begin()]
    begun_at = loop.time()
    for _ in range(20):  # within the pause after the first, unless the machine is slow
        book.grow()
        await asyncio.sleep(0)
    while heads[-1]["height"] < book.height:
        heads.append(await listener.hear_head())
    assert len(heads) <= 2 + (loop.time() - begun_at) // events._INTERVAL_SECONDS
    assert [head["height"] for head in heads] == sorted({head["height"] for head in heads})
    await listener.leave()


async def test_what_happens_while_the_head_is_told_is_told_next(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    read = book.world.index.get_counters
    height = book.height

    def read_and_grow() -> Counters:
        """As when a block comes just after the index was asked."""
        counters = read()
        if book.height == height:
            loop.call_soon_threadsafe(book.grow)
        return counters

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(book.world.index, "get_counters", read_and_grow)
    listener = Listener(book.world.explorer)
    head = await listener.begin()
    while head["height"] < height + 1:
        head = await listener.hear_head()
    await listener.leave()


async def test_each_change_of_a_commitment_is_followed_by_an_event(world: World) -> None:
    listener = Listener(world.explorer)
    await listener.begin()
    world.change.notify()
    assert await listener.hear() == "event: commitments\ndata: {}"
    world.change.notify()  # in the pause
    world.change.notify()
    assert await listener.hear() == "event: commitments\ndata: {}"
    await asyncio.sleep(0.2)
    assert listener.hears_nothing()
    await listener.leave()


async def test_a_commitment_that_changes_while_the_head_is_told_is_told_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = world.index.get_counters
    loop = asyncio.get_running_loop()

    def read_and_notify() -> Counters:
        loop.call_soon_threadsafe(world.change.notify)
        return read()

    monkeypatch.setattr(world.index, "get_counters", read_and_notify)
    listener = Listener(world.explorer)
    await listener.begin()
    assert await listener.hear() == "event: commitments\ndata: {}"
    await listener.leave()


async def test_silence_is_broken_by_a_comment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_SILENCE_SECONDS", 0.02)
    listener = Listener(world.explorer)
    await listener.begin()
    for _ in range(3):
        assert await listener.hear() == ": still here"
    await listener.leave()


async def test_stopping_ends_every_stream_in_order(world: World) -> None:
    listeners = [Listener(world.explorer) for _ in range(3)]
    for listener in listeners:
        await listener.begin()
    world.explorer.stop()
    for listener in listeners:
        await listener.end()
        assert listener.is_over
    assert not world.indexed._waiters
    late = Listener(world.explorer)
    await late.begin()
    await late.end()
    assert late.is_over


async def test_who_has_gone_costs_nothing(world: World) -> None:
    listeners = [Listener(world.explorer) for _ in range(5)]
    for listener in listeners:
        await listener.begin()
    await wait_until(lambda: len(world.indexed._waiters) == 5)
    tasks = asyncio.all_tasks()
    for listener in listeners:
        await listener.leave()
        assert not listener.is_over, "nobody was there to be told"
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not world.indexed._waiters
    assert len(asyncio.all_tasks() & tasks) == 1, "something still waits"


class ClosedTransport:
    """As uvloop's, in the moment before the server hears that the reader has gone."""

    def __init__(self) -> None:
        self.is_closed = False

    def is_closing(self) -> bool:
        return self.is_closed


@pytest.mark.parametrize("is_closed", [True, False])
async def test_a_connection_that_has_just_closed_is_no_fault(world: World, is_closed: bool) -> None:
    transport, line, refused = ClosedTransport(), Line(), 0

    async def send(message: Message) -> None:
        nonlocal refused
        if message["type"] != "http.response.start":
            refused += 1
            transport.is_closed = is_closed
            asyncio.get_running_loop().call_soon(line.hang_up)
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": PATH, "raw_path": PATH.encode(), "query_string": b"", "root_path": "",
        "headers": [], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "extensions": {TRANSPORT: transport},
    }  # fmt: skip
    with contextlib.nullcontext() if is_closed else pytest.raises(RuntimeError, match="the handler is closed"):
        await asyncio.wait_for(world.explorer(scope, line.receive, send), _PATIENCE_SECONDS)
    assert refused > 0
    assert not world.indexed._waiters


async def test_beyond_so_many_readers_the_next_one_is_refused_by_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_READERS", 3)
    explorer = Explorer(world.sources)
    listeners = [Listener(explorer) for _ in range(3)]  # at once
    for listener in listeners:
        await listener.begin()
    answer = await fetch(explorer, PATH)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert json.loads(answer.body)["error"]["code"] == "overloaded"
    await listeners.pop().leave()
    listeners.append(Listener(explorer))
    await listeners[-1].begin()
    assert (await fetch(explorer, PATH)).status == 503
    for listener in listeners:
        await listener.leave()


async def test_readers_who_come_at_once_are_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_READERS", 3)
    explorer = Explorer(world.sources)
    listeners = [Listener(explorer) for _ in range(10)]
    await wait_until(lambda: all(listener.start for listener in listeners))
    statuses = [listener.start["status"] for listener in listeners if listener.start]
    assert sorted(statuses) == [200] * 3 + [503] * 7
    for listener in listeners:
        await listener.leave()


async def test_the_index_is_asked_once_for_all_who_listen(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the readers of one page would crowd out everybody else's, and each other."""
    count = 150
    asked: list[int] = []
    work = book.world.sources.readers.work

    async def work_and_count(question: Any) -> Any:
        asked.append(book.height)
        return await work(question)

    monkeypatch.setattr(book.world.sources.readers, "work", work_and_count)
    listeners = [Listener(book.world.explorer) for _ in range(count)]
    for listener in listeners:
        await listener.begin()
    asked.clear()
    height = book.grow()
    for listener in listeners:
        assert (await listener.hear_head())["height"] == height
    assert len(asked) == 1
    for listener in listeners:
        await listener.leave()


async def test_a_busy_node_tells_it_later(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener(book.world.explorer)
    await listener.begin()
    work = book.world.sources.readers.work
    refused: list[int] = []

    async def refuse_twice(question: Any) -> Any:
        if len(refused) < 2:
            refused.append(1)
            raise Overloaded(64)
        return await work(question)

    monkeypatch.setattr(book.world.sources.readers, "work", refuse_twice)
    height = book.grow()
    assert (await listener.hear_head())["height"] == height
    assert len(refused) == 2
    await listener.leave()


async def test_a_head_request_opens_no_stream(world: World) -> None:
    answer = await fetch(world.explorer, PATH, "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
