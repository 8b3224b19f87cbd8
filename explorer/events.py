"""What is new, as it happens: server-sent events, for pages that are open.

Events say that something changed and how far the ledger is, never what: the page asks again. So a reader that is slow
misses nothing, and costs no memory.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import msgspec
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from explorer.download import Gate
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

    def __init__(self, sources: Sources, stopping: asyncio.Event) -> None:
        """`stopping`: ends every stream when it is set. Readers come back to whoever answers then."""
        self._sources = sources
        self._stopping = stopping
        self._gate = Gate(MAX_READERS)
        self._asking = asyncio.Lock()
        self._asked_at = (-1, -1, -1)
        """How far all was when `_head` was asked for."""
        self._head = b""

    async def answer(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(headers={"cache-control": LIVE}, media_type="text/event-stream")
        return _EventStream(self._tell(), self._gate)

    async def _tell(self) -> AsyncGenerator[bytes, None]:
        waits: dict[str, asyncio.Future[Any]] = {}
        news = {"ledger"}  # to who has just come, all of it is
        yield b"retry: 2000\n\n"
        try:
            while "stop" not in news:
                # Begun before anything is told: what happens while it is told, and in the pause, is told next.
                self._begin_waits(waits)
                head = await self._read_head() if "ledger" in news else b""
                if head:
                    yield head
                if "commitments" in news:
                    yield b"event: commitments\ndata: {}\n\n"
                if not news:
                    yield b": still here\n\n"
                await asyncio.wait([waits["stop"]], timeout=_INTERVAL_SECONDS)
                untold = {"ledger"} if "ledger" in news and not head else set()
                if not untold:
                    await asyncio.wait(waits.values(), timeout=_SILENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                done = {name for name, wait in waits.items() if wait.done()}
                for name in done:
                    del waits[name]
                news = done | untold
        finally:
            for wait in waits.values():
                wait.cancel()

    def _begin_waits(self, waits: dict[str, asyncio.Future[Any]]) -> None:
        """Those that are not under way."""
        sources = self._sources
        if "ledger" not in waits:
            waits["ledger"] = asyncio.ensure_future(sources.indexed.reach(sources.indexed.value + 1))
        if "commitments" not in waits:
            waits["commitments"] = asyncio.ensure_future(sources.commitments_change.wait())
        if "stop" not in waits:
            waits["stop"] = asyncio.ensure_future(self._stopping.wait())

    async def _read_head(self) -> bytes:
        """Asked for once for all who are told the same. Empty when too much is being read: pages go before."""
        async with self._asking:
            commitments = self._sources.commitments
            asked_at = self._sources.indexed.value, commitments.mined_epoch, commitments.final_epoch
            if asked_at != self._asked_at:
                try:
                    counters = await self._sources.work(self._sources.index.get_counters)
                except Overloaded:
                    return b""
                head = Head(
                    height=counters.height,
                    block=counters.block,
                    epoch=counters.epoch,
                    payments=counters.payment_count,
                    mined=commitments.mined_epoch,
                    final=commitments.final_epoch,
                )
                self._head = b"event: ledger\ndata: " + msgspec.json.encode(head) + b"\n\n"
                self._asked_at = asked_at
            return self._head


class _EventStream(StreamingResponse):
    """Has its place from before the first byte until the reader goes or the events end."""

    def __init__(self, events: AsyncGenerator[bytes, None], gate: Gate) -> None:
        super().__init__(
            events, headers={"cache-control": LIVE, "x-accel-buffering": "no"}, media_type="text/event-stream"
        )
        self._events, self._gate = events, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises `Overloaded` when there is no place."""
        with self._gate.enter():
            async with aclosing(self._events):
                await super().__call__(scope, receive, send)
