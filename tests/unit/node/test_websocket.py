"""JSON-RPC over WebSocket: the same answers as by POST, in order, and bounds that a client cannot pass."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import node.rpc.server
import node.rpc.websocket
from chain.errors import NotFound
from node.rpc.websocket import SocketProtocol
from tests.unit.node.running import pay, soon
from tests.unit.node.sockets import MAX_MESSAGE, Stand, open_stand, wait_until


class FakeMethods:
    """Notes what was begun, and holds what a test holds."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.gate = asyncio.Event()

    async def send_payments(self, submissions: list[bytes]) -> list[bytes]:
        self.begun += submissions
        return [b'{"receipt":%s}' % params for params in submissions]


async def echo(methods: FakeMethods, params: bytes) -> Any:
    methods.begun.append(msgspec.json.decode(params))
    return msgspec.json.decode(params)


async def hold(methods: FakeMethods, params: bytes) -> Any:
    methods.begun.append("hold")
    await methods.gate.wait()
    return "held"


async def refuse(methods: FakeMethods, params: bytes) -> Any:
    raise NotFound("that")


async def fill(methods: FakeMethods, params: bytes) -> str:
    methods.begun.append("fill")
    return "x" * (1 << 20)


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> FakeMethods:
    fakes = {"echo": echo, "hold": hold, "refuse": refuse, "fill": fill}
    monkeypatch.setattr(node.rpc.server, "METHODS", fakes)
    return FakeMethods()


@pytest.fixture
async def stand(methods: FakeMethods) -> AsyncIterator[Stand]:
    async with open_stand(patience_s=0.1, methods=methods) as made:
        yield made


def call(method: str, *params: Any, **members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": list(params), **members}


# --- as by POST


MESSAGES: list[Any] = [
    call("echo", 1, id=1),
    call("refuse", id="a"),
    call("nothing", id=None),
    [call("echo", 1, id=1), call("tally_sendPayment", "a", id=2), call("refuse", id=3), 7],
    [],
    {"jsonrpc": "2.0"},
    "junk",
    "",
    "[" * 5000,
    '{"jsonrpc":"2.0","method":"echo","params":[],"id":1',
    "\x00",
    "💥",
]


@pytest.mark.parametrize("message", MESSAGES, ids=range(len(MESSAGES)))
async def test_every_message_is_answered_as_by_post(stand: Stand, message: Any) -> None:
    text = message if isinstance(message, str) else json.dumps(message)
    async with stand.client() as client:
        await client.send(text)
        assert await client.receive() == json.loads(await soon(stand.rpc.answer(text.encode())))
        assert await client.call("echo", "still there") == ["still there"]


async def test_notifications_are_carried_out_and_not_answered(stand: Stand, methods: FakeMethods) -> None:
    async with stand.client() as client:
        await client.send(call("echo", 1))
        await client.send([call("echo", 2), call("tally_sendPayment", "a")])
        assert await client.call("echo", 3) == [3]
    assert len(methods.begun) == 4 and {str(each) for each in methods.begun} == {"[1]", "[2]", "[3]", """b'["a"]'"""}


async def test_messages_are_worked_on_side_by_side_and_answered_in_their_order(
    stand: Stand, methods: FakeMethods
) -> None:
    async with stand.client() as client:
        await client.send(call("hold", id=0))
        for number in range(1, 6):
            await client.send(call("echo", number, id=number))
        await wait_until(lambda: len(methods.begun) == 6)
        methods.gate.set()
        assert [(await client.receive())["id"] for _ in range(6)] == [0, 1, 2, 3, 4, 5]


async def test_connections_do_not_wait_for_each_other(stand: Stand, methods: FakeMethods) -> None:
    async with stand.client() as held, stand.client() as client:
        await held.send(call("hold", id=0))
        assert await client.call("echo", 1) == [1]
        methods.gate.set()
        assert (await held.receive())["result"] == "held"


async def test_http_hears_that_subscriptions_need_a_connection(stand: Stand) -> None:
    for method in ("tally_subscribe", "tally_unsubscribe"):
        answer = json.loads(await stand.rpc.answer(json.dumps(call(method, "blocks", id=1)).encode()))
        assert answer["error"]["code"] == -32003
        assert answer["error"]["data"]["code"] == "connection_required"
        assert "/ws" in answer["error"]["message"]


# --- bounds


async def test_no_more_is_read_than_is_worked_on(stand: Stand, methods: FakeMethods) -> None:
    async with stand.client() as client:
        await client.send(call("hold", id=0))
        for number in range(1, 40):
            await client.send(call("echo", number, id=number))
        await wait_until(lambda: len(methods.begun) == node.rpc.websocket.MAX_UNDER_WAY)
        (connection,) = stand.server._connections.values()
        await asyncio.sleep(0.02)
        assert len(connection._under_way) == len(methods.begun) == node.rpc.websocket.MAX_UNDER_WAY
        methods.gate.set()
        assert [(await client.receive())["id"] for _ in range(40)] == list(range(40))


async def test_no_more_bytes_are_taken_in_hand_than_one_message_may_have(stand: Stand, methods: FakeMethods) -> None:
    blank = " " * (MAX_MESSAGE // 2)
    async with stand.client() as client:
        await client.send(call("hold", id=0))
        for number in range(1, 6):
            await client.send(json.dumps(call("echo", number, id=number)) + blank)
        await wait_until(lambda: len(methods.begun) == 3)
        await asyncio.sleep(0.02)
        assert len(methods.begun) == 3
        methods.gate.set()
        assert [(await client.receive())["id"] for _ in range(6)] == list(range(6))


async def test_a_message_of_just_the_limit_is_answered_and_a_larger_one_ends_the_connection(stand: Stand) -> None:
    text = json.dumps(call("echo", 1, id=1))
    async with stand.client() as client:
        await client.send(text.ljust(MAX_MESSAGE))
        assert (await client.receive())["result"] == [1]
        await client.send(text.ljust(MAX_MESSAGE + 1))
        await expect_close(client, 1009)


async def test_binary_frames_end_the_connection(stand: Stand) -> None:
    async with stand.client() as client:
        await client.send(json.dumps(call("echo", 1, id=1)).encode())
        await expect_close(client, 1003)


@pytest.mark.parametrize(
    "frame", [b"\x81\x81\x00\x00\x00\x00\xff", b"\xff" * 8, b"\x01\x81\x00\x00\x00\x00\x21\x82\x80\x00\x00\x00\x00"]
)
async def test_frames_that_are_none_end_the_connection_and_no_other(stand: Stand, frame: bytes) -> None:
    async with stand.client() as other, stand.client() as client:
        client.connection.transport.write(frame)
        with pytest.raises(ConnectionClosed):
            await soon(client.connection.recv())
        await wait_until(lambda: len(stand.server._connections) == 1)
        assert await other.call("echo", 1) == [1]


async def test_more_connections_than_allowed_are_told_so(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.rpc.websocket, "MAX_CONNECTIONS", 2)
    async with stand.client() as first, stand.client():
        with pytest.raises(InvalidStatus) as refused:
            async with stand.client():
                pass
        assert refused.value.response.status_code == 503
        assert json.loads(refused.value.response.body)["error"]["data"]["code"] == "overloaded"
        assert await first.call("echo", 1) == [1]
    await wait_until(lambda: not stand.server._connections)
    async with stand.client() as client:
        assert await client.call("echo", 1) == [1]


async def test_a_client_who_takes_nothing_is_cut_off(stand: Stand, methods: FakeMethods) -> None:
    async with stand.client(max_queue=1) as client, stand.client() as other:
        for number in range(8):
            await client.send(call("fill", id=number))
        await wait_until(lambda: len(stand.server._connections) == 1)
        assert await other.call("echo", 1) == [1]
        with pytest.raises(ConnectionClosed):
            while True:
                await soon(client.connection.recv())


class SlowTransport:
    """How much is not taken yet, each time it is asked."""

    def __init__(self, *sizes: int) -> None:
        self._sizes = list(sizes)

    def get_write_buffer_size(self) -> int:
        return self._sizes.pop(0)


@pytest.mark.parametrize("sizes", [(90_000, 60_000, 60_000, 43_616, 43_616, 27_233), (9, 9), (9, 0)])
async def test_who_takes_too_little_for_too_long_is_given_up(sizes: tuple[int, ...]) -> None:
    protocol: Any = SocketProtocol.__new__(SocketProtocol)
    protocol.writable, protocol.transport = asyncio.Event(), SlowTransport(*sizes)
    assert await soon(protocol.wait_until_writable(0.001)) is False
    assert protocol.transport._sizes == []


async def test_who_takes_enough_is_waited_for() -> None:
    protocol: Any = SocketProtocol.__new__(SocketProtocol)
    # Another look at the end of a wait, and one at the beginning of the next.
    sizes = [10**9 - 20_000 * (at // 2 + at % 2) for at in range(10_000)]
    protocol.writable, protocol.transport = asyncio.Event(), SlowTransport(*sizes)
    waiting = asyncio.create_task(protocol.wait_until_writable(0.001))
    await wait_until(lambda: len(protocol.transport._sizes) < 9_980)
    protocol.writable.set()
    assert await soon(waiting) is True


# --- other addresses, other ends


async def test_other_addresses_are_none(stand: Stand) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{stand.port}/elsewhere"):
            pass
    assert refused.value.response.status_code == 404


async def test_plain_http_hears_what_to_do(stand: Stand) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    answer = await soon(reader.read())
    assert answer.startswith(b"HTTP/1.1 426 ") and b"upgrade: websocket" in answer
    writer.close()


async def test_what_was_asked_before_the_node_stops_is_answered_then_the_end_is_said(
    stand: Stand, methods: FakeMethods
) -> None:
    async with stand.client() as client:
        await client.send(call("hold", id=0))
        await wait_until(lambda: methods.begun)
        closing = asyncio.create_task(stand.server.close())
        await asyncio.sleep(0)
        with pytest.raises(InvalidStatus):
            async with stand.client():
                pass
        methods.gate.set()
        assert (await client.receive())["result"] == "held"
        await expect_close(client, 1001)
        await soon(closing)


async def test_the_node_stops_though_a_call_never_ends(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.rpc.websocket, "_GRACE_SECONDS", 0.05)
    async with stand.client() as client:
        await client.send(call("hold", id=0))
        await wait_until(lambda: stand.server._connections)
        await soon(stand.server.close())
        await expect_close(client, 1001)


async def test_a_client_who_goes_leaves_nothing_behind(stand: Stand, methods: FakeMethods) -> None:
    async with stand.client() as client:
        await client.send(call("hold", id=0))
        await wait_until(lambda: methods.begun)
        client.connection.transport.abort()
    await wait_until(lambda: not stand.server._connections)
    # The stand checks that no subscription and no listener is left.


async def test_a_client_who_goes_is_seen_to_go_while_more_is_in_hand_than_is_read(
    stand: Stand, methods: FakeMethods
) -> None:
    async with stand.client() as client:
        for number in range(40):
            await client.send(call("hold", id=number))
        await wait_until(lambda: len(methods.begun) == node.rpc.websocket.MAX_UNDER_WAY)
        client.connection.transport.abort()
        await wait_until(lambda: not stand.server._connections)
    methods.gate.set()
    await asyncio.sleep(0.01)
    assert len(methods.begun) == node.rpc.websocket.MAX_UNDER_WAY


async def test_answers_that_are_not_sent_yet_count(stand: Stand, methods: FakeMethods) -> None:
    """All of a connection's: what each may come to, sixteen together may not."""
    async with stand.client() as client:
        await client.send(call("hold", id=0))
        for number in range(1, 10):
            await client.send([call("fill", id=number), call("fill", id=-number)])
        await wait_until(lambda: "fill" in methods.begun)
        await asyncio.sleep(0.02)
        assert methods.begun == ["hold", "fill"]
        (connection,) = stand.server._connections.values()
        assert 1 << 20 < connection._count_answer_bytes() < (1 << 20) + 100
        methods.gate.set()
        assert (await client.receive())["result"] == "held"
        for number in range(1, 10):
            assert [answer["id"] for answer in await client.receive()] == [number, -number]
        assert methods.begun == ["hold"] + ["fill"] * 18


async def test_a_payment_that_is_with_the_sequencer_is_made_though_its_payer_has_gone(stand: Stand) -> None:
    class Paying:
        async def send_payments(self, submissions: list[bytes]) -> list[bytes]:
            await stand.desk.sequencer.submit([pay(0)])
            raise AssertionError("nobody is there to be answered")

    methods: Any = Paying()
    stand.rpc._methods = methods
    head = stand.head
    stand.desk.journal.hold()
    async with stand.client() as client:
        await client.send(call("tally_sendPayment", id=0))
        await stand.desk.journal.wait_until_held()
        client.connection.transport.abort()
        await wait_until(lambda: not stand.server._connections)
    assert stand.head == head
    stand.desk.journal.release()
    await wait_until(lambda: stand.head == head + 1)


async def expect_close(client: Any, code: int) -> None:
    with pytest.raises(ConnectionClosed) as closed:
        await soon(client.connection.recv())
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
