"""Cheap traffic: one connection sends what costs little to send and much to read, and nobody else waits for it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import node.rpc.server
import node.rpc.websocket
from node.metrics import CUT_OFF
from node.rpc.websocket import MAX_FRAGMENTS, SocketProtocol
from tests.unit.node.running import soon
from tests.unit.node.sockets import Client, Stand, open_stand, wait_until
from tests.unit.node.test_websocket import FakeMethods, call, echo, expect_close, fill, hold

MASK = bytes(4)
BEGIN, CONTINUE, END, PING = [bytes([head, 0x80]) + MASK for head in (0x01, 0x00, 0x80, 0x89)]
"""Empty frames of six bytes each."""

PATIENCE_SECONDS = 1.0
"""For an answer while others flood: generous, for a machine that has other things to do. A flood that held up the loop
took twenty times as long."""


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> FakeMethods:
    monkeypatch.setattr(node.rpc.server, "METHODS", {"echo": echo, "hold": hold, "fill": fill})
    return FakeMethods()


@pytest.fixture
async def stand(methods: FakeMethods) -> AsyncIterator[Stand]:
    async with open_stand(methods=methods) as made:
        yield made


def count_floods() -> float:
    count: float = CUT_OFF.labels("flood")._value.get()
    return count


def count_slices(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One item for each slice that any connection parses from now on."""
    parsed: list[int] = []
    parse_slice = SocketProtocol._parse_slice

    def note(protocol: SocketProtocol) -> bool:
        parsed.append(1)
        return parse_slice(protocol)

    monkeypatch.setattr(SocketProtocol, "_parse_slice", note)
    return parsed


@pytest.mark.parametrize("frames", [BEGIN + CONTINUE * 1200, PING * 100], ids=["fragments", "pings"])
async def test_empty_frames_beyond_all_measure_end_the_connection(stand: Stand, frames: bytes) -> None:
    floods = count_floods()
    async with stand.client() as client:
        client.connection.transport.write(frames)
        await expect_close(client, 1008)
    assert count_floods() == floods + 1


@pytest.mark.parametrize("frames", [BEGIN + CONTINUE * 700_000, PING * 700_000], ids=["fragments", "pings"])
async def test_of_a_long_flood_no_more_is_parsed_than_it_takes_to_see_it(
    stand: Stand, frames: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = count_slices(monkeypatch)
    reader, writer = await ask_for_handshake(stand)
    await soon(reader.readuntil(b"\r\n\r\n"))
    writer.write(frames)
    with contextlib.suppress(ConnectionError):
        while await soon(reader.read(1 << 16)):
            pass
    writer.close()
    assert len(parsed) < 20  # of 4,000


async def test_what_is_allowed_is_answered(stand: Stand) -> None:
    async with stand.client() as client:
        for _ in range(20):
            await soon(await client.connection.ping())
        client.connection.transport.write(BEGIN + CONTINUE * (MAX_FRAGMENTS - 2) + PING + END)
        assert (await client.receive())["error"]["code"] == -32700
        assert await client.call("echo", 1) == [1]


async def test_others_are_answered_while_a_connection_floods(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many frames as one message may have, again and again: nothing of it is a reason to end the connection."""
    parsed = count_slices(monkeypatch)
    async with stand.client() as other, stand.client() as client:
        client.connection.transport.write((BEGIN + CONTINUE * 900 + END) * 800)  # 4.3 MB, some 700,000 frames
        assert (await client.receive())["error"]["code"] == -32700  # it is being read
        for number in range(5):
            before, began = len(parsed), time.perf_counter()
            assert await other.call("echo", number) == [number]
            assert time.perf_counter() - began < PATIENCE_SECONDS
            assert len(parsed) - before < 100
        client.connection.transport.abort()


async def test_a_large_message_is_parsed_whole(stand: Stand) -> None:
    async with stand.client() as client:
        text = "x" * 60_000
        assert await client.call("echo", text) == [text]


async def test_frames_sent_before_the_handshake_is_done_wait_for_it(stand: Stand) -> None:
    reader, writer = await ask_for_handshake(stand)
    await asyncio.sleep(0)
    writer.write(PING)
    head = await soon(reader.readuntil(b"\r\n\r\n"))
    assert head.startswith(b"HTTP/1.1 101 ")
    writer.write(PING)
    assert await soon(reader.readexactly(2)) == b"\x8a\x00"
    writer.close()


async def test_a_handshake_that_is_none_is_not_waited_for(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.rpc.websocket, "_HANDSHAKE_SECONDS", 0.05)
    reader, writer = await ask_for_handshake(stand, b"a: " + b"x" * 10_000 + b"\r\n")
    assert await soon(reader.read()) == b""
    writer.close()


async def test_a_client_who_does_not_read_gets_no_pongs(stand: Stand) -> None:
    async with stand.client(max_queue=1) as client:
        for number in range(4):
            await client.send(call("fill", id=number))
        protocol = await find_protocol(stand)
        await wait_until(lambda: not protocol.is_writable)
        await asyncio.sleep(0.05)  # until the kernel's buffers are full
        before = protocol.transport.get_write_buffer_size()
        room = protocol._control_room
        client.connection.transport.write(PING * 30)
        await wait_until(lambda: protocol._control_room < room - 25)
        assert protocol.transport.get_write_buffer_size() <= before
        await drain(client, 4)


async def ask_for_handshake(stand: Stand, header: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client with no mind of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(
        b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    writer.write(header + b"\r\n")
    return reader, writer


async def find_protocol(stand: Stand) -> Any:
    await wait_until(lambda: stand.server._connections)
    (connection,) = stand.server._connections.values()
    return connection.socket


async def drain(client: Client, count: int) -> None:
    assert [(await client.receive())["id"] for _ in range(count)] == list(range(count))
