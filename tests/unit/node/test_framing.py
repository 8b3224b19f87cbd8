"""Messages between the node and its workers: what is sent arrives whole, and a broken stream ends the connection."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from node.framing import MAX_FRAME_SIZE, ChannelClosed, WorkerChannel, encode_frame, receive_frame

MESSAGE = [b"\x00\xff", "text", 2**63, None, {"a": [1, 2]}]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, WorkerChannel]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, WorkerChannel(theirs)


def make_reader(*parts: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    for part in parts:
        reader.feed_data(part)
    reader.feed_eof()
    return reader


async def test_a_message_arrives_as_it_was_sent(ends: tuple[socket.socket, WorkerChannel]) -> None:
    ours, channel = ends
    ours.sendall(encode_frame(MESSAGE) + encode_frame("next"))
    assert channel.receive() == MESSAGE
    assert channel.receive() == "next"
    channel.send(MESSAGE)
    assert await receive_frame(make_reader(ours.recv(1000))) == MESSAGE


async def test_a_message_in_pieces_arrives_whole() -> None:
    frame = encode_frame(MESSAGE)
    reader = make_reader(*[frame[at : at + 1] for at in range(len(frame))])
    assert await receive_frame(reader) == MESSAGE


@pytest.mark.parametrize("size", range(6))
async def test_a_stream_that_ends_early_is_a_closed_channel(size: int) -> None:
    frame = encode_frame(["ab"])
    assert len(frame) > 6
    with pytest.raises(ChannelClosed):
        await receive_frame(make_reader(frame[:size]))
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(frame[:size])
        ours.close()
        with pytest.raises(ChannelClosed):
            WorkerChannel(theirs).receive()


async def test_a_length_beyond_the_limit_is_a_broken_stream(ends: tuple[socket.socket, WorkerChannel]) -> None:
    ours, channel = ends
    length = (MAX_FRAME_SIZE + 1).to_bytes(4, "big")
    ours.sendall(length)
    with pytest.raises(ChannelClosed):
        channel.receive()
    with pytest.raises(ChannelClosed):
        await receive_frame(make_reader(length))


def test_sending_to_a_node_that_has_ended_is_a_closed_channel(ends: tuple[socket.socket, WorkerChannel]) -> None:
    ours, channel = ends
    ours.close()
    with pytest.raises(ChannelClosed):
        for _ in range(100):
            channel.send(bytes(1 << 16))
