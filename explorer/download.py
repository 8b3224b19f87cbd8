"""Files that are made while they are sent: whole, or visibly broken off; never cut in silence.

Nothing is sent before the first part is there, so what is refused is refused with its status. After that, whatever goes
wrong goes on to the server, which closes the connection before the file's end. A reader who takes next to nothing is
cut off, as on a WebSocket: places are few. So are all when the node stops, who can ask whoever answers then.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Final

import structlog
from fastapi import Response
from starlette.types import Message, Receive, Scope, Send

from node.http_protocol import find_transport
from node.refusals import Overloaded

_PATIENCE_SECONDS: Final = 30.0
_LEAST_PROGRESS: Final = 16 << 10
"""Bytes that a reader takes in that time, or is cut off."""

_FAREWELL_SECONDS: Final = 1.0
"""Until the server has heard of a connection that was aborted."""

_log = structlog.get_logger(__name__)


class Gate:
    """Lets so many in at once, and no more."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.count = 0
        """Of those that are in."""

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Raises `Overloaded` when it is full."""
        if self.count >= self._limit:
            raise Overloaded(self.count)
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


class Download(Response):
    """A file. Ends, and leaves the gate, as soon as the reader goes away or takes too little, or the node stops."""

    def __init__(
        self,
        begin: Callable[[], Awaitable[AsyncGenerator[bytes, None]]],
        gate: Gate,
        name: str,
        media_type: str,
        *,
        stopping: asyncio.Event,
        patience_s: float = _PATIENCE_SECONDS,
    ) -> None:
        """`begin`: what must be known before the first byte; then the parts. May raise refusals. `stopping`: set when
        nothing that takes long is to go on."""
        self._begin, self._gate, self._name = begin, gate, name
        self._stopping, self._patience_s = stopping, patience_s
        self.status_code, self.media_type, self.background = 200, media_type, None
        self.init_headers({"content-disposition": f'attachment; filename="{name}"'})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await self._start(send)
            await send({"type": "http.response.body", "body": b""})
            return
        with self._gate.enter():
            outlet = _Outlet(send, find_transport(scope), self._patience_s)
            streaming = asyncio.ensure_future(self._stream(outlet.send))
            gone = asyncio.ensure_future(_wait_until_gone(receive))
            stop = asyncio.ensure_future(self._stopping.wait())
            tasks: list[asyncio.Future[Any]] = [streaming, gone, stop]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if streaming not in done and gone not in done:
                    raise _Broken("the node stops")
            except _Broken as broken:
                if not outlet.is_begun:
                    raise Overloaded(self._gate.count) from broken
                _log.warning("file_broken_off", name=self._name, reason=str(broken))
                if outlet.abort():
                    # Otherwise the server would miss the end of the answer, and say so.
                    await asyncio.wait([gone], timeout=_FAREWELL_SECONDS)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _stream(self, send: Send) -> None:
        async with aclosing(await self._begin()) as parts:
            await self._start(send)
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})


class _Broken(Exception):
    """Why a file is broken off, by our own will."""


class _Outlet:
    """Where a file goes. Watches that it is taken."""

    def __init__(self, send: Send, transport: asyncio.Transport | None, patience_s: float) -> None:
        """`transport`: None where the server does not tell: then each message has to be taken in time."""
        self.is_begun = False
        """Whether anything was sent."""
        self._send, self._transport, self._patience_s = send, transport, patience_s

    async def send(self, message: Message) -> None:
        """Raises `_Broken` for a reader who has taken nothing worth mentioning for too long."""
        self.is_begun = True
        sending = asyncio.ensure_future(self._send(message))
        try:
            while True:
                before = self._count_untaken()
                done, _ = await asyncio.wait([sending], timeout=self._patience_s)
                if done:
                    return sending.result()
                if before - self._count_untaken() < _LEAST_PROGRESS:
                    raise _Broken("the reader takes nothing")
        finally:
            sending.cancel()

    def abort(self) -> bool:
        """At once, whatever has not been taken. Whether it could be done: else the server closes the connection."""
        if self._transport is None:
            return False
        self._transport.abort()
        return True

    def _count_untaken(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()


async def _wait_until_gone(receive: Receive) -> None:
    """A server says once that the request is complete, then nothing until the reader goes."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        await asyncio.sleep(0)
