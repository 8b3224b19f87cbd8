"""Feeding a worker from the journal: at its own pace, from wherever it stands, and never anything not durable."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from node.journal import Journal
from node.process import WorkerProcess

_MAX_ENTRIES: Final = 2048
_MAX_BYTES: Final = 4 << 20
"""Of one message: some hundred milliseconds of work for the worker."""


_BUSY_ENTRIES: Final = 8
"""More than these in one message, and the next one gathers longer: under load a follower's transactions cost the disk
more than their delay costs a reader."""
_BUSY_FACTOR: Final = 8


class Progress:
    """A number that only grows, and that others wait for."""

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    def advance(self, value: int) -> None:
        if value <= self.value:
            return
        self.value = value
        waiting = []
        for wanted, future in self._waiters:
            if wanted > value:
                waiting.append((wanted, future))
            elif not future.done():
                future.set_result(None)
        self._waiters = waiting

    async def reach(self, value: int) -> None:
        """Returns once the number is at least `value`."""
        if self.value < value:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiter = value, future
            self._waiters.append(waiter)
            try:
                await future
            except asyncio.CancelledError:
                # The number may stand still for long, and those who give up waiting must not pile up.
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                raise


class Follower:
    """Sends a worker what the journal holds from `height` on, and passes on what it answers."""

    def __init__(
        self,
        worker: WorkerProcess,
        journal: Journal,
        durable: Progress,
        height: int,
        on_answer: Callable[[Any], Awaitable[int]],
        gather_seconds: float = 0.0,
    ) -> None:
        """`durable` is the journal's height; `on_answer` takes the worker's answer and returns the height it names.
        `gather_seconds` passes between news and its sending, for workers whose every message costs them a commit."""
        self._worker = worker
        self._journal = journal
        self._durable = durable
        self._on_answer = on_answer
        self._gather_seconds = gather_seconds
        self._is_busy = False
        self.progress = Progress(height)
        """The height up to which the worker has everything."""

    async def run(self) -> None:
        """Runs until cancelled. Raises `ChannelClosed` when the worker ends: the node cannot go on."""
        while True:
            await self._durable.reach(self.progress.value + 1)
            await asyncio.sleep(self._gather_seconds * (_BUSY_FACTOR if self._is_busy else 1))
            self._worker.send(self._read_chunk())
            await self._worker.drain()
            self.progress.advance(await self._on_answer(await self._worker.receive()))

    def _read_chunk(self) -> list[tuple[int, bytes]]:
        chunk, size = [], 0
        for height, entry in self._journal.read(self.progress.value):
            chunk.append((height, entry))
            size += len(entry)
            if len(chunk) >= _MAX_ENTRIES or size >= _MAX_BYTES:
                break
        self._is_busy = len(chunk) > _BUSY_ENTRIES
        return chunk
