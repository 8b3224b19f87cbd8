"""Messages between the node and its worker processes: a length, then MessagePack.

Both ends are this program at the same version, so the only bad input is a broken one: it ends the connection.
"""

import asyncio
import socket
from typing import Any, Final

import msgspec

MAX_FRAME_SIZE: Final = 64 << 20
"""Bytes. Far above any message of ours; a length beyond it is a broken stream."""

_LENGTH_SIZE: Final = 4
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder()


class ChannelClosed(ConnectionError):
    """The other process has ended, or its stream is broken."""


def encode_frame(message: Any) -> bytes:
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH_SIZE, "big") + body


class WorkerChannel:
    """The worker's end: blocking. `receive` raises `ChannelClosed` when the node has ended, and so ends the worker."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rb", buffering=1 << 20)

    def receive(self) -> Any:
        size = int.from_bytes(self._read(_LENGTH_SIZE), "big")
        if size > MAX_FRAME_SIZE:
            raise ChannelClosed(f"a frame of {size} bytes")
        return _decoder.decode(self._read(size))

    def send(self, message: Any) -> None:
        try:
            self._connection.sendall(encode_frame(message))
        except OSError as error:
            raise ChannelClosed("the node has ended") from error

    def _read(self, size: int) -> bytes:
        try:
            data: bytes | None = self._stream.read(size)
        except OSError as error:
            raise ChannelClosed("the node has ended") from error
        if data is None or len(data) < size:
            raise ChannelClosed("the node has ended")
        return data


async def receive_frame(reader: asyncio.StreamReader) -> Any:
    """The node's end. Raises `ChannelClosed` when the worker has ended."""
    try:
        size = int.from_bytes(await reader.readexactly(_LENGTH_SIZE), "big")
        if size > MAX_FRAME_SIZE:
            raise ChannelClosed(f"a frame of {size} bytes")
        return _decoder.decode(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise ChannelClosed("a worker has ended") from error
