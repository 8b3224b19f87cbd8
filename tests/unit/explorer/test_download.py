"""Who takes a file has a place; who takes nothing loses it, and nobody keeps a node from stopping."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.types import Message

from explorer.download import Download, Gate
from explorer.headers import with_security_headers
from node.http_protocol import TRANSPORT, HttpProtocol
from node.refusals import Overloaded
from tests.unit.explorer.machines import Line

BUFFER = 8 << 10
"""Bytes that the kernel keeps for each direction, about: small, so that a reader who takes nothing is soon felt."""

LAST_CHUNK = b"\r\n0\r\n\r\n"
"""Without it, a reader knows that the file is not whole."""

_PATIENCE_SECONDS = 20.0


async def begin_endless() -> AsyncGenerator[bytes, None]:
    async def make_parts() -> AsyncGenerator[bytes, None]:
        while True:
            yield b"x" * 20_000
            await asyncio.sleep(0)

    return make_parts()


class Counter:
    """Serves one endless file."""

    def __init__(self, patience_s: float) -> None:
        self.gate, self.stopping = Gate(1), asyncio.Event()
        self._patience_s = patience_s
        self.port = 0
        self.server: Any = None
        self.serving: Any = None

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        download = Download(
            begin_endless, self.gate, "endless.csv", "text/csv", stopping=self.stopping, patience_s=self._patience_s
        )
        await download(scope, receive, send)


@contextlib.asynccontextmanager
async def open_counter(patience_s: float) -> AsyncIterator[Counter]:
    """Behind the node's server and protocol, on a real socket."""
    counter = Counter(patience_s)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    config = uvicorn.Config(
        with_security_headers(counter.answer),
        interface="asgi3",
        http=HttpProtocol,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=30,
    )
    counter.server = uvicorn.Server(config)
    counter.server.capture_signals = contextlib.nullcontext
    counter.port = listener.getsockname()[1]
    counter.serving = asyncio.create_task(counter.server.serve(sockets=[listener]))
    try:
        yield counter
    finally:
        counter.stopping.set()
        counter.server.should_exit = True
        await asyncio.wait_for(counter.serving, _PATIENCE_SECONDS)


async def begin_reading(counter: Counter) -> socket.socket:
    """A reader who has asked, and taken the first bytes."""
    loop = asyncio.get_running_loop()
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    reader.setblocking(False)
    await loop.sock_connect(reader, ("127.0.0.1", counter.port))
    await loop.sock_sendall(reader, b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
    assert (await asyncio.wait_for(loop.sock_recv(reader, 15), _PATIENCE_SECONDS)) == b"HTTP/1.1 200 OK"
    return reader


async def read_to_the_end(reader: socket.socket) -> bytes:
    """What is still to be had."""
    rest = b""
    while part := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(reader, 1 << 20), _PATIENCE_SECONDS):
        rest += part
    return rest


async def wait_until_free(gate: Gate) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while gate.count:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def is_calm(log: pytest.LogCaptureFixture) -> bool:
    """Nothing for the operator but a line."""
    return not any(record.levelno >= logging.ERROR or record.exc_info for record in log.records)


async def test_a_reader_who_takes_nothing_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async with open_counter(patience_s=0.05) as counter:
        reader = await begin_reading(counter)
        assert counter.gate.count == 1
        await wait_until_free(counter.gate)
        assert not (await read_to_the_end(reader)).endswith(LAST_CHUNK)
        reader.close()
        with await begin_reading(counter):  # there is a place again
            assert counter.gate.count == 1
    assert is_calm(caplog)


async def test_a_stop_waits_for_no_reader(caplog: pytest.LogCaptureFixture) -> None:
    async with open_counter(patience_s=1000) as counter:
        reader = await begin_reading(counter)
        counter.stopping.set()
        counter.server.should_exit = True
        await asyncio.wait_for(counter.serving, _PATIENCE_SECONDS)
        assert counter.gate.count == 0
        assert not (await read_to_the_end(reader)).endswith(LAST_CHUNK)
        reader.close()
    assert is_calm(caplog)


async def test_before_its_first_byte_a_stop_refuses_the_file() -> None:
    gate, stopping, is_asked = Gate(1), asyncio.Event(), asyncio.Event()

    async def never_begin() -> AsyncGenerator[bytes, None]:
        is_asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    download, line = Download(never_begin, gate, "a.csv", "text/csv", stopping=stopping), Line()
    giving = asyncio.create_task(download({"type": "http", "method": "GET"}, line.receive, line.send))
    await is_asked.wait()
    stopping.set()
    with pytest.raises(Overloaded):
        await asyncio.wait_for(giving, _PATIENCE_SECONDS)
    assert (line.sent, gate.count) == ([], 0)


class Taker(Line):
    """Takes no message, but something of what was sent before, each time somebody looks."""

    def __init__(self, *untaken: int) -> None:
        super().__init__()
        self._untaken = list(untaken)
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        assert self._untaken, "cut off too late"
        return self._untaken.pop(0)

    def abort(self) -> None:
        self.is_aborted = True
        self.hang_up()

    async def send(self, message: Message) -> None:
        if not self._untaken:
            self.sent.append(message)
            return
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    "untaken",
    [
        # A look at the beginning of a wait, and one at its end.
        (90_000, 90_000),
        (90_000, 73_617),
        (90_000, 73_616, 73_616, 57_233),
        (90_000, 60_000, 60_000, 43_616, 43_616, 27_233),
        (9, 0),
    ],
)
async def test_who_takes_less_than_16_kilobytes_in_that_time_is_cut_off(untaken: tuple[int, ...]) -> None:
    taker, gate = Taker(*untaken), Gate(1)
    scope = {"type": "http", "method": "GET", "extensions": {TRANSPORT: taker}}
    download = Download(begin_endless, gate, "a.csv", "text/csv", stopping=asyncio.Event(), patience_s=0.001)
    await asyncio.wait_for(download(scope, taker.receive, taker.send), _PATIENCE_SECONDS)
    assert taker.is_aborted and taker.sent == [] and gate.count == 0
    assert not taker._untaken, "cut off too soon"
