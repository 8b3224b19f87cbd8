"""What a connection may do before any application is asked, and for how long it may do nothing."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

import node.rpc.protocol
from node.metrics import CUT_OFF, REFUSED_CONNECTIONS
from node.rpc.protocol import MAX_HEAD_BYTES, MAX_HEADERS, BoundedProtocol, limit_connections, refuse_head
from tests.unit.node.running import soon
from tests.unit.node.sockets import BUFFER, wait_until

GET = b"GET /echo HTTP/1.1\r\nhost: x\r\n"
POST = b"POST /echo HTTP/1.1\r\nhost: x\r\n"


class Site:
    """Answers with what it was sent; `/large` with more than any buffer holds; `/stream` until it is released."""

    def __init__(self) -> None:
        self.port = 0
        self.begun: list[str] = []
        self.protocols: set[Any] = set()
        self.release = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if len(scope["headers"]) > MAX_HEADERS:
            await refuse_head(send)
            return
        self.begun.append(scope["path"])
        body, more = b"", scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        if scope["path"] == "/large":
            body = bytes(4 << 20)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            await self.release.wait()
        await send({"type": "http.response.body", "body": body})

    async def connect(self) -> "Peer":
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", self.port))
        return Peer(*await asyncio.open_connection(sock=made, limit=BUFFER))


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self) -> tuple[int, bytes]:
        """A response's status and body."""
        head = await soon(self.reader.readuntil(b"\r\n\r\n"))
        body = b""
        if b"transfer-encoding: chunked" in head:
            while size := int(await soon(self.reader.readuntil(b"\r\n")), 16):
                body += await soon(self.reader.readexactly(size))
                await soon(self.reader.readexactly(2))
            await soon(self.reader.readexactly(2))
        return int(head.split()[1]), body

    async def expect_end(self) -> None:
        with contextlib.suppress(ConnectionError):
            while await soon(self.reader.read(1 << 16)):
                pass
        self.writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    config = uvicorn.Config(
        made,
        interface="asgi3",
        http=BoundedProtocol,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    made.port = listener.getsockname()[1]
    made.protocols = server.server_state.connections
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield made
    finally:
        made.release.set()
        server.should_exit = True
        await soon(serving)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.rpc.protocol, "_LOOK_SECONDS", 0.02)


def count(reason: str) -> float:
    counted: float = CUT_OFF.labels(reason)._value.get()
    return counted


# --- heads


async def test_requests_are_answered_however_they_are_cut_into_pieces(site: Site) -> None:
    body = b"x" * 30_000
    request = POST + b"content-length: 30000\r\n\r\n" + body
    peer = await site.connect()
    for size in (7_001, 4_096, 100_000):
        for at in range(0, len(request), size):
            peer.send(request[at : at + size])
            await peer.writer.drain()
        assert await peer.receive() == (200, body)
    peer.writer.close()


async def test_a_head_of_nearly_the_limit_is_read(site: Site) -> None:
    peer = await site.connect()
    peer.send(GET + b"a: " + b"x" * (MAX_HEAD_BYTES - 100) + b"\r\n\r\n")
    assert await peer.receive() == (200, b"")
    peer.send(GET + b"a: b\r\n" * (MAX_HEADERS - 1) + b"\r\n")
    assert await peer.receive() == (200, b"")
    peer.writer.close()


@pytest.mark.parametrize(
    "head",
    [
        GET + b"a: " + b"x" * MAX_HEAD_BYTES + b"x" * 5000,
        GET + b"x" * MAX_HEAD_BYTES + b"x" * 5000,
        b"GET /" + b"x" * MAX_HEAD_BYTES + b"x" * 5000,
        GET + b"a: b\r\n" * 2000,
    ],
    ids=["value", "name", "path", "headers"],
)
async def test_a_head_beyond_the_limit_is_refused(site: Site, head: bytes) -> None:
    cut_off = count("head")
    peer = await site.connect()
    for at in range(0, len(head), 3000):
        peer.send(head[at : at + 3000])
    assert (await peer.receive())[0] == 431
    await peer.expect_end()
    assert count("head") == cut_off + 1 and site.begun == []


async def test_too_many_headers_that_come_at_once_are_refused(site: Site) -> None:
    peer = await site.connect()
    peer.send(GET + b"a: b\r\n" * MAX_HEADERS + b"\r\n")
    assert (await peer.receive())[0] == 431
    await peer.expect_end()
    assert site.begun == []


async def test_a_head_of_a_hundred_megabytes_costs_no_more_than_one_of_the_limit(site: Site) -> None:
    other, peer = await site.connect(), await site.connect()
    peer.send(GET + b"a: " + b"x" * (100 << 20))
    began = time.perf_counter()
    other.send(GET + b"\r\n")
    assert await other.receive() == (200, b"")
    assert time.perf_counter() - began < 1.0
    await peer.expect_end()
    assert site.begun == ["/echo"]
    other.writer.close()


@pytest.mark.parametrize(("path", "size"), [(b"/echo", MAX_HEAD_BYTES + 5000), (b"/early", 2 << 20)])
async def test_trailers_are_bounded(site: Site, path: bytes, size: int) -> None:
    peer = await site.connect()
    peer.send(b"POST " + path + b" HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
    await wait_until(lambda: site.begun)
    peer.send(b"a: " + b"x" * size)
    await peer.expect_end()


async def test_an_unwanted_body_is_dropped_and_the_next_request_answered(site: Site) -> None:
    peer = await site.connect()
    peer.send(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n")
    assert await peer.receive() == (200, b"")
    peer.send(bytes(3_000_000))
    peer.send(GET + b"\r\n")
    assert await peer.receive() == (200, b"")
    peer.writer.close()


async def test_bodies_and_chunks_are_no_heads(site: Site) -> None:
    peer = await site.connect()
    peer.send(POST + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 40_000 + b"0\r\n\r\n")
    assert await peer.receive() == (200, b"x" * 40_000)
    peer.writer.close()


async def test_requests_sent_together_are_answered_in_their_order(site: Site) -> None:
    count = 2000
    peer = await site.connect()
    for number in range(count):
        text = str(number).encode()
        peer.send(POST + b"content-length: %d\r\n\r\n" % len(text) + text)
    for number in range(count):
        assert await peer.receive() == (200, str(number).encode())
    peer.send(GET + b"\r\n")
    assert await peer.receive() == (200, b"")
    peer.writer.close()


async def test_of_requests_sent_together_few_are_taken_in_hand(site: Site) -> None:
    peer = await site.connect()
    peer.send(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n" + (GET + b"\r\n") * 5000)
    await wait_until(lambda: site.begun)
    await asyncio.sleep(0.02)
    (protocol,) = site.protocols
    assert len(protocol.pipeline) < 4096 // len(GET) + 1
    peer.writer.close()


# --- too many


async def test_connections_beyond_the_limit_are_closed_as_they_come(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "max_connections", 2)
    refused = count_refused()
    first, second = await site.connect(), await site.connect()
    await wait_until(lambda: len(site.protocols) == 2)
    third = await site.connect()
    await third.expect_end()
    assert count_refused() == refused + 1
    first.send(GET + b"\r\n")
    assert await first.receive() == (200, b"")
    second.writer.close()
    await wait_until(lambda: len(site.protocols) == 1)
    fourth = await site.connect()
    fourth.send(GET + b"\r\n")
    assert await fourth.receive() == (200, b"")
    for peer in (first, fourth):
        peer.writer.close()


def test_a_limit_is_of_one_server() -> None:
    assert limit_connections(7).max_connections == 7 != BoundedProtocol.max_connections


def count_refused() -> float:
    count: float = REFUSED_CONNECTIONS._value.get()
    return count


# --- silence


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET, GET + b"a: b\r\n", b"\r\n"])
async def test_who_sends_no_head_is_cut_off(site: Site, quick: None, sent: bytes) -> None:
    cut_off = count("no_head")
    peer = await site.connect()
    peer.send(sent)
    await peer.expect_end()
    assert count("no_head") == cut_off + 1 and site.begun == []


async def test_who_sends_an_empty_line_after_an_answer_is_cut_off(site: Site, quick: None) -> None:
    peer = await site.connect()
    peer.send(GET + b"\r\n")
    assert await peer.receive() == (200, b"")
    peer.send(b"\r\n")
    began = time.perf_counter()
    await peer.expect_end()
    assert time.perf_counter() - began < 3  # sooner than uvicorn's patience between two requests


async def test_who_sends_a_head_in_drops_is_cut_off(site: Site, quick: None) -> None:
    peer = await site.connect()

    async def drip() -> None:
        with contextlib.suppress(ConnectionError):
            peer.send(GET)
            while not peer.reader.at_eof():
                peer.send(b"a: b\r\n")
                await asyncio.sleep(0.004)

    dripping = asyncio.create_task(drip())
    await peer.expect_end()
    dripping.cancel()
    assert site.begun == []


async def test_who_sends_nothing_of_a_body_is_cut_off(site: Site, quick: None) -> None:
    cut_off = count("no_body")
    peer = await site.connect()
    peer.send(POST + b"content-length: 9\r\n\r\nx")
    await peer.expect_end()
    assert count("no_body") == cut_off + 1


async def test_who_takes_nothing_of_an_answer_is_cut_off(site: Site, quick: None) -> None:
    cut_off = count("takes_nothing")
    peer = await site.connect()
    peer.send(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    await wait_until(lambda: site.begun)
    await wait_until(lambda: not site.protocols)
    assert count("takes_nothing") == cut_off + 1
    await peer.expect_end()


async def test_who_waits_for_what_has_not_happened_yet_is_left_alone(site: Site, quick: None) -> None:
    peer = await site.connect()
    peer.send(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
    await wait_until(lambda: site.begun)
    (protocol,) = site.protocols
    looks = count_looks(protocol)
    await wait_until(lambda: len(looks) > 12)
    site.release.set()
    assert await peer.receive() == (200, b"first")
    peer.writer.close()


def count_looks(protocol: Any) -> list[None]:
    looks: list[None] = []
    find = protocol._find_reason_to_end

    def note() -> Any:
        looks.append(None)
        return find()

    protocol._find_reason_to_end = note
    return looks
