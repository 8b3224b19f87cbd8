"""Starting a worker process and talking to it."""

import asyncio
import socket
import sys
from typing import Any

from node.framing import ChannelClosed, encode_frame, receive_frame


class WorkerProcess:
    """One `python -m node.workers` with its end of the socket. It ends when this end closes."""

    def __init__(
        self, role: str, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.role = role
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, role: str, *arguments: str) -> "WorkerProcess":
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "node.workers", role, str(theirs.fileno()), *arguments, pass_fds=[theirs.fileno()]
            )
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        return cls(role, process, reader, writer)

    def send(self, message: Any) -> None:
        """Raises `ChannelClosed` when it is known that the worker has ended."""
        if self._writer.is_closing():
            raise ChannelClosed(f"the {self.role} has ended")
        self._writer.write(encode_frame(message))

    async def drain(self) -> None:
        """Waits while the worker's socket is full."""
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise ChannelClosed(f"the {self.role} has ended") from error

    async def receive(self) -> Any:
        return await receive_frame(self._reader)

    async def stop(self) -> None:
        """Closes the socket, which the worker takes for the end, and waits for it; kills it after 10 s."""
        self._writer.close()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
