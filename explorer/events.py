"""What is new, as it happens: server-sent events, for pages that are open.

Events say that something changed and how far the ledger is, never what: the page asks again. So a reader that is slow
misses nothing, and costs no memory.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from explorer.headers import LIVE
from explorer.sources import Sources
from node.refusals import Overloaded

MAX_READERS: Final = 500
"""Open at once; beyond, pages are as good as without scripts."""

_INTERVAL_SECONDS: Final = 0.25
"""Between two events of one kind."""

_SILENCE_SECONDS: Final = 15.0
"""After which a comment is sent, so that no proxy takes the connection for dead."""


class Head(msgspec.Struct, frozen=True):
    """How far the index is."""

    height: int
    block: int
    epoch: int
    payments: int
    mined: int
    final: int


class Events:
    """`/api/v1/events`. One for each node."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._stopping = asyncio.Event()
        self._count = 0

    def stop(self) -> None:
        """Ends every stream: readers come back to whoever answers then."""
        self._stopping.set()

    async def answer(self, request: Request) -> Response:
        """Raises `Overloaded`."""
        if self._count >= MAX_READERS:
            raise Overloaded(self._count)
        if request.method == "HEAD":
            return Response(headers={"cache-control": LIVE}, media_type="text/event-stream")
        return StreamingResponse(
            self._stream(), headers={"cache-control": LIVE, "x-accel-buffering": "no"}, media_type="text/event-stream"
        )

    async def _stream(self) -> AsyncIterator[bytes]:
        self._count += 1
        try:
            yield b"retry: 2000\n\n"
            yield await self._tell_head()
            async for event in self._follow():
                yield event
        finally:
            self._count -= 1

    async def _follow(self) -> AsyncIterator[bytes]:
        height = self._sources.indexed.value
        waits: dict[str, asyncio.Future[Any]] = {}
        try:
            while True:
                # Begun before the pause below, so that nothing is missed in it.
                if "ledger" not in waits:
                    waits["ledger"] = asyncio.ensure_future(self._sources.indexed.reach(height + 1))
                if "commitments" not in waits:
                    waits["commitments"] = asyncio.ensure_future(self._sources.commitments_change.wait())
                if "stop" not in waits:
                    waits["stop"] = asyncio.ensure_future(self._stopping.wait())
                await asyncio.wait(waits.values(), timeout=_SILENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                news = [name for name, wait in waits.items() if wait.done()]
                for name in news:
                    del waits[name]
                if "stop" in news:
                    return
                if "ledger" in news:
                    height = self._sources.indexed.value
                    yield await self._tell_head()
                if "commitments" in news:
                    yield b"event: commitments\ndata: {}\n\n"
                if not news:
                    yield b": still here\n\n"
                await asyncio.sleep(_INTERVAL_SECONDS)
        finally:
            for wait in waits.values():
                wait.cancel()

    async def _tell_head(self) -> bytes:
        counters = await self._sources.work(self._sources.index.get_counters)
        commitments = self._sources.commitments
        head = Head(
            height=counters.height,
            block=counters.block,
            epoch=counters.epoch,
            payments=counters.payment_count,
            mined=commitments.mined_epoch,
            final=commitments.final_epoch,
        )
        return b"event: ledger\ndata: " + msgspec.json.encode(head) + b"\n\n"
