"""Files that are made while they are sent: whole, or visibly broken off; never cut in silence.

Nothing is sent before the first part is there, so what is refused is refused with its status. After that, whatever goes
wrong goes on to the server, which closes the connection before the file's end.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager

from fastapi import Response
from starlette.types import Receive, Scope, Send

from node.refusals import Overloaded


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
    """A file. Ends, and leaves the gate, as soon as the reader goes away."""

    def __init__(
        self,
        begin: Callable[[], Awaitable[AsyncGenerator[bytes, None]]],
        gate: Gate,
        name: str,
        media_type: str,
    ) -> None:
        """`begin`: what must be known before the first byte; then the parts. May raise refusals."""
        self._begin, self._gate = begin, gate
        self.status_code, self.media_type, self.background = 200, media_type, None
        self.init_headers({"content-disposition": f'attachment; filename="{name}"'})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await self._start(send)
            await send({"type": "http.response.body", "body": b""})
            return
        with self._gate.enter():
            tasks = [asyncio.ensure_future(self._stream(send)), asyncio.ensure_future(_wait_until_gone(receive))]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
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


async def _wait_until_gone(receive: Receive) -> None:
    """A server says once that the request is complete, then nothing until the reader goes."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        await asyncio.sleep(0)
