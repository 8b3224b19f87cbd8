"""One HTTP endpoint that misbehaves in every way it can. The timeouts are a few milliseconds, nothing sleeps."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from node.ethereum.endpoint import Endpoint
from node.ethereum.faults import EthereumFault, RpcError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[..., Awaitable[Endpoint]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    opened: list[Any] = []

    async def serve_it(handler: Handler, **options: Any) -> Endpoint:
        app = web.Application()
        app.router.add_post("/key-in-path", handler)
        server = TestServer(app)
        await server.start_server()
        endpoint = Endpoint(str(server.make_url("/key-in-path")), **options)
        opened.extend((endpoint, server))
        return endpoint

    yield serve_it
    for each in opened:
        await each.close()


async def echo(request: web.Request) -> web.Response:
    form = await request.json()
    assert form["jsonrpc"] == "2.0"
    return web.json_response({"jsonrpc": "2.0", "id": form["id"], "result": [form["method"], form["params"]]})


async def test_a_question_and_its_answer(serve: Serve) -> None:
    endpoint = await serve(echo)
    assert await endpoint.call("eth_call", [{"to": "0x"}, "latest"]) == ["eth_call", [{"to": "0x"}, "latest"]]


async def test_many_at_once_are_bounded(serve: Serve) -> None:
    running, most = 0, 0
    go = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            go.set()
        await go.wait()
        running -= 1
        return await echo(request)

    endpoint = await serve(slow, max_concurrent=3)
    await asyncio.gather(*[endpoint.call("m", [number]) for number in range(12)])
    assert most == 3


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"jsonrpc":"2.0","id":999,"result":1}'),
        (200, b'{"jsonrpc":"2.0","result":1}'),
        (500, b"oops"),
        (301, b""),
        (200, b'{"id":1,"error":"text"}'),
        (503, b'{"jsonrpc":"2.0","id":1,"result":1}'),
        (200, b'{"id":1,"result":' + b"[" * 100_000),
    ],
)
async def test_what_is_no_answer_is_a_fault(serve: Serve, status: int, body: bytes) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={"location": "/elsewhere"} if status == 301 else {})

    endpoint = await serve(answer)
    with pytest.raises(EthereumFault) as caught:
        await endpoint.call("m", [])
    assert not isinstance(caught.value, RpcError)
    assert "key-in-path" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 400, 429])
async def test_an_error_object_is_an_answer_whatever_the_status(serve: Serve, status: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        error = {"code": 3, "message": "execution reverted", "data": "0x12"}
        return web.json_response({"jsonrpc": "2.0", "id": 1, "error": error}, status=status)

    with pytest.raises(RpcError) as caught:
        await (await serve(answer)).call("eth_call", [])
    assert (caught.value.code, caught.value.message, caught.value.data) == (3, "execution reverted", "0x12")


async def test_a_provider_that_quotes_our_key_is_not_quoted(serve: Serve) -> None:
    async def answer(request: web.Request) -> web.Response:
        error = {"code": -32005, "message": "project /key-in-path with key-in-path has used up its credits"}
        return web.json_response({"jsonrpc": "2.0", "id": 1, "error": error}, status=429)

    endpoint = await serve(answer)
    with pytest.raises(RpcError) as caught:
        await endpoint.call("m", [])
    assert caught.value.message == "project /… with … has used up its credits"
    assert "key-in-path" not in str(caught.value) + endpoint.health.last_error


@pytest.mark.parametrize(
    ("url", "words", "shown"),
    [
        ("https://l1.example/v3/0123456789abcdef", "0123456789abcdef: over quota (v3)", "…: over quota (v3)"),
        ("https://user12:hunter%2322@l1.example/", "user12 hunter%2322 hunter#22", "… … …"),
        ("https://l1.example/?apikey=abcdef&x=1", "apikey abcdef 1", "apikey … 1"),
        ("https://l1.example/rpc", "header not found", "header not found"),
    ],
)
def test_what_may_be_a_key_is_hidden(url: str, words: str, shown: str) -> None:
    assert Endpoint(url)._hide(words) == shown


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde",
        b"HTTP/1.1 400 0123456789abcdef?\r\nContent-Length: y0123456789abcdef\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_a_fault_that_keeps_the_url_to_itself(answer: bytes) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = Endpoint(f"http://127.0.0.1:{port}/v3/0123456789abcdef?apikey=ab")
    with pytest.raises(EthereumFault) as caught:
        await endpoint.call("m", [])
    said = str(caught.value) + endpoint.health.last_fault
    assert "0123456789abcdef" not in said and "apikey" not in said and "127.0.0.1" in said
    await endpoint.close()
    server.close()
    await server.wait_closed()


async def test_the_words_of_an_error_are_cut(serve: Serve) -> None:
    async def answer(request: web.Request) -> web.Response:
        error = {"code": -32000, "message": "nonce too low " + "x" * 1_000_000}
        return web.json_response({"jsonrpc": "2.0", "id": 1, "error": error})

    with pytest.raises(RpcError) as caught:
        await (await serve(answer)).call("m", [])
    assert caught.value.message.startswith("nonce too low") and len(caught.value.message) == 1_000


async def test_cookies_are_not_kept(serve: Serve) -> None:
    sent: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        sent.append(len(request.cookies))
        response = await echo(request)
        response.set_cookie(f"cookie{len(sent)}", "x" * 1_000)
        return response

    endpoint = Endpoint(
        (await serve(answer))._url.replace("127.0.0.1", "localhost")
    )  # an address has no cookies anyway
    for _ in range(3):
        await endpoint.call("m", [])
    await endpoint.close()
    assert sent == [0, 0, 0]


async def test_silence_is_a_fault_after_the_timeout(serve: Serve) -> None:
    never = asyncio.Event()

    async def silent(request: web.Request) -> web.Response:
        await never.wait()
        return await echo(request)

    endpoint = await serve(silent, timeout_ms=30)
    with pytest.raises(EthereumFault):
        await endpoint.call("m", [])
    never.set()


async def test_a_flood_is_cut_off(serve: Serve) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(1_000):
                await response.write(b" " * 65_536)
        except ConnectionError:
            pass
        return response

    endpoint = await serve(flood, max_answer_bytes=1 << 20)
    with pytest.raises(EthereumFault):
        await endpoint.call("m", [])


async def test_a_dropped_connection_is_tried_once_more(serve: Serve) -> None:
    asked = 0

    async def drop_the_first(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if asked == 1:
            assert request.transport is not None
            request.transport.close()
        form = await request.json()
        return web.json_response({"jsonrpc": "2.0", "id": form["id"], "result": asked})

    assert await (await serve(drop_the_first)).call("m", []) == 2


async def test_nobody_there_is_a_fault_that_keeps_the_path_to_itself(unused_tcp_port_factory: Any) -> None:
    endpoint = Endpoint(f"http://127.0.0.1:{unused_tcp_port_factory()}/secret")
    with pytest.raises(EthereumFault) as caught:
        await endpoint.call("m", [])
    assert "secret" not in str(caught.value) and "127.0.0.1" in str(caught.value)
    await endpoint.close()


@pytest.mark.parametrize("url", ["", "localhost:8545", "ws://localhost", "http://", "/tmp/ipc"])
def test_an_endpoint_is_an_http_url(url: str) -> None:
    with pytest.raises(ValueError):
        Endpoint(url)


# --- how it has answered


class Ticking:
    """A clock that moves by so much at each look; nanoseconds."""

    def __init__(self, step_ns: int) -> None:
        self.step_ns = step_ns
        self.now_ns = 1_700_000_000_000_000_000

    def __call__(self) -> int:
        self.now_ns += self.step_ns
        return self.now_ns


async def test_answers_errors_and_faults_are_counted_apart(serve: Serve) -> None:
    answers = [
        web.json_response({"jsonrpc": "2.0", "id": 1, "result": 1}),
        web.Response(status=503, body=b"busy"),
        web.Response(status=502, body=b"<html>"),
        web.json_response({"jsonrpc": "2.0", "id": 4, "error": {"code": -32005, "message": "slow down " * 100}}),
        web.json_response({"jsonrpc": "2.0", "id": 5, "result": 1}),
    ]

    async def answer(request: web.Request) -> web.Response:
        return answers.pop(0)

    clock = Ticking(1_500_000)
    endpoint = await serve(answer, clock_ns=clock)
    health = endpoint.health
    assert (health.name, health.call_count, health.last_answer_at, health.latency_us) == (endpoint.name, 0, None, None)
    assert "key-in-path" not in health.name and health.name.startswith("127.0.0.1:")

    await endpoint.call("m", [])
    first_at = clock.now_ns // 1_000_000
    assert (endpoint.health.call_count, endpoint.health.faults_in_row) == (1, 0)
    assert (endpoint.health.last_answer_at, endpoint.health.latency_us) == (first_at, 1_500)

    for _ in range(2):
        with pytest.raises(EthereumFault):
            await endpoint.call("m", [])
    health = endpoint.health
    assert (health.call_count, health.fault_count, health.faults_in_row, health.error_count) == (3, 2, 2, 0)
    assert (health.last_answer_at, health.last_fault_at) == (first_at, clock.now_ns // 1_000_000)
    assert "HTTP 502" in health.last_fault and "key-in-path" not in health.last_fault

    with pytest.raises(RpcError):
        await endpoint.call("m", [])
    health = endpoint.health
    assert (health.faults_in_row, health.error_count) == (0, 1), "an error object is an answer"
    assert health.last_error_at == health.last_answer_at == clock.now_ns // 1_000_000
    assert health.last_error.startswith("m: slow down") and len(health.last_error) == 300

    clock.step_ns = -1_500_000  # put back meanwhile
    await endpoint.call("m", [])
    assert (endpoint.health.call_count, endpoint.health.latency_us) == (5, 0)


async def test_a_call_that_is_given_up_is_neither(serve: Serve) -> None:
    asked, never = asyncio.Event(), asyncio.Event()

    async def silent(request: web.Request) -> web.Response:
        asked.set()
        await never.wait()
        return await echo(request)

    endpoint = await serve(silent)
    call = asyncio.create_task(endpoint.call("m", []))
    await asked.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert (endpoint.health.call_count, endpoint.health.fault_count) == (0, 0)
    never.set()
