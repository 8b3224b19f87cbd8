"""Feeding a worker from the journal: in order, in bounded messages, and never anything that is not durable."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from node.follower import Follower, Progress
from node.framing import ChannelClosed
from tests.unit.node.journals import MemoryJournal
from tests.unit.node.running import settle, soon


class FakeWorker:
    """Answers each message with the height after it, when told to."""

    def __init__(self) -> None:
        self.sent: list[list[tuple[int, bytes]]] = []
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        self.drained = 0

    def send(self, message: list[tuple[int, bytes]]) -> None:
        self.sent.append(message)

    async def drain(self) -> None:
        self.drained += 1

    async def receive(self) -> Any:
        answer = await self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answer(self) -> None:
        self._answers.put_nowait(self.sent[-1][-1][0] + 1)

    def end(self) -> None:
        self._answers.put_nowait(ChannelClosed("a worker has ended"))


def make_journal(*sizes: int) -> MemoryJournal:
    journal = MemoryJournal()
    for height, size in enumerate(sizes):
        journal.append(height, bytes(size))
    return journal


@contextlib.asynccontextmanager
async def following(
    journal: MemoryJournal, durable: Progress, height: int = 0
) -> AsyncIterator[tuple[Follower, FakeWorker]]:
    worker = FakeWorker()

    async def take(answer: int) -> int:
        return answer

    follower = Follower(worker, journal, durable, height, take)  # type: ignore[arg-type]
    task = asyncio.create_task(follower.run())
    try:
        await settle()
        yield follower, worker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def heights(message: list[tuple[int, bytes]]) -> list[int]:
    return [height for height, _ in message]


async def test_what_is_there_is_sent_and_what_comes_follows() -> None:
    journal = make_journal(1, 1, 1)
    durable = Progress(3)
    async with following(journal, durable, height=1) as (follower, worker):
        assert [heights(message) for message in worker.sent] == [[1, 2]]
        assert follower.progress.value == 1, "sent is not done"
        worker.answer()
        await soon(follower.progress.reach(3))
        journal.append(3, b"next")
        await settle()
        assert len(worker.sent) == 1, "not durable for the sequencer yet"
        durable.advance(4)
        await settle()
        assert worker.sent[1] == [(3, b"next")]
        assert worker.drained == 2


async def test_one_message_at_a_time() -> None:
    durable = Progress(1)
    journal = make_journal(1)
    async with following(journal, durable) as (_, worker):
        for height in range(1, 5):
            journal.append(height, b"x")
            durable.advance(height + 1)
            await settle()
        assert len(worker.sent) == 1
        worker.answer()
        await settle()
        assert heights(worker.sent[1]) == [1, 2, 3, 4], "what piled up goes together"


async def test_a_message_is_bounded_in_entries_and_bytes() -> None:
    many = make_journal(*[1] * 5000)
    async with following(many, Progress(5000)) as (_, worker):
        assert len(worker.sent[0]) == 2048
    large = make_journal(*[1 << 20] * 9)
    async with following(large, Progress(9)) as (_, worker):
        assert len(worker.sent[0]) == 4
        worker.answer()
        await settle()
        assert heights(worker.sent[1]) == [4, 5, 6, 7]
    one = make_journal(5 << 20, 1)
    async with following(one, Progress(2)) as (_, worker):
        assert heights(worker.sent[0]) == [0], "an entry larger than the bound still goes, alone"


async def test_without_its_worker_there_is_no_going_on() -> None:
    worker = FakeWorker()

    async def take(answer: int) -> int:
        return answer

    follower = Follower(worker, make_journal(1), Progress(1), 0, take)  # type: ignore[arg-type]
    task = asyncio.create_task(follower.run())
    await settle()
    worker.end()
    with pytest.raises(ChannelClosed):
        await soon(task)


async def test_progress_wakes_those_it_has_reached_and_only_them() -> None:
    progress = Progress(5)
    await soon(progress.reach(5))
    waiting = {value: asyncio.create_task(progress.reach(value)) for value in (6, 7, 7, 9)}
    gone = asyncio.create_task(progress.reach(7))
    await settle()
    gone.cancel()
    await settle()
    progress.advance(4)
    assert progress.value == 5, "it only grows"
    progress.advance(7)
    await settle()
    assert [value for value, task in waiting.items() if task.done()] == [6, 7]
    progress.advance(100)
    await settle()
    assert all(task.done() for task in waiting.values())


async def test_those_who_give_up_waiting_leave_nothing_behind() -> None:
    progress = Progress()
    patient = asyncio.create_task(progress.reach(1))
    for _ in range(10):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(progress.reach(1), 0)
        hasty = asyncio.create_task(progress.reach(1))
        await settle()
        hasty.cancel()
    await settle()
    assert len(progress._waiters) == 1
    progress.advance(1)
    await soon(patient)
    assert progress._waiters == []
