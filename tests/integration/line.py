"""Ways to an Ethereum client that a test can spoil: one inside the test's process, one between processes."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from node.ethereum.endpoint import Endpoint, EndpointHealth
from node.ethereum.faults import EthereumFault, RpcError

_TAG_POSITIONS = {
    "eth_getBlockByNumber": 0,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_getBalance": 1,
    "eth_call": 1,
    "eth_estimateGas": 1,
}
"""Method → which of its parameters says as of which block."""


class Line:
    """A `Transport`: one provider's endpoint, before a client that others see as it is."""

    def __init__(self, endpoint: Endpoint, name: str = "line") -> None:
        self.endpoint = endpoint
        self.name = name
        self.is_cut = False
        self.refused = ""
        """The method that does not get through."""
        self.unanswered = ""
        """The method that gets through, but its answer does not come back."""
        self.lag = 0
        """Blocks: it answers as if the newest so many were not there."""
        self.has_base_fee = True
        """False: its blocks are those of a chain without EIP-1559."""
        self.lie: Callable[[str, Sequence[Any], Any], Any] = lambda method, params, answer: answer
        """What it says instead of `answer`."""
        self.asked: list[str] = []
        """The methods, in order."""

    @property
    def health(self) -> EndpointHealth:
        return msgspec.structs.replace(self.endpoint.health, name=self.name)

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        self.asked.append(method)
        if self.is_cut or method == self.refused:
            raise EthereumFault(f"{method}: {self.name} does not answer")
        answer = await self._ask(method, params)
        if method == self.unanswered:
            raise EthereumFault(f"{method}: the answer of {self.name} was lost")
        if method == "eth_getBlockByNumber" and answer is not None and not self.has_base_fee:
            answer = {name: value for name, value in answer.items() if name != "baseFeePerGas"}
        return self.lie(method, params, answer)

    async def close(self) -> None:
        """The endpoint is its owner's."""

    async def _ask(self, method: str, params: Sequence[Any]) -> Any:
        if not self.lag:
            return await self.endpoint.call(method, params)
        top = max(0, int(await self.endpoint.call("eth_blockNumber", []), 16) - self.lag)
        if method == "eth_blockNumber":
            return hex(top)
        params = list(params)
        if (position := _TAG_POSITIONS.get(method)) is not None:
            tag = params[position]
            if tag in ("latest", "pending"):
                params[position] = hex(top)
            elif tag.startswith("0x") and int(tag, 16) > top:
                if method == "eth_getBlockByNumber":
                    return None
                raise RpcError(method, -32000, "header not found")
        answer = await self.endpoint.call(method, params)
        if method == "eth_getTransactionReceipt":
            return answer if answer is not None and int(answer["blockNumber"], 16) <= top else None
        if method == "eth_getLogs":  # what it has not seen it leaves out, and says nothing
            return [log for log in answer if int(log["blockNumber"], 16) <= top]
        return answer


class Wire:
    """A TCP port before a client's, for a node in a process of its own. Runs in a thread; the test cuts it."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._is_cut = False
        self._streams: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Connections break, and new ones are closed as soon as they are made."""
        self._do(self._cut)

    def mend(self) -> None:
        self._do(self._mend)

    @contextlib.contextmanager
    def running(self) -> Iterator["Wire"]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, family=socket.AF_INET)
        self.port = self._server.sockets[0].getsockname()[1]

    def _do(self, change: Callable[[], None]) -> None:
        async def run() -> None:
            change()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def _cut(self) -> None:
        self._is_cut = True
        for stream in self._streams:
            stream.transport.abort()

    def _mend(self) -> None:
        self._is_cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        self._streams.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            self._streams.discard(writer)
            return
        self._streams.add(far_writer)
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            for stream in (writer, far_writer):
                stream.transport.abort()
                self._streams.discard(stream)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._cut()
        pending = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side is gone; then the other goes, too."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
