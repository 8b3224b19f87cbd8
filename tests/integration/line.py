"""Ways to an Ethereum client that a test can spoil: one inside the test's process, and the same between processes."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from aiohttp import web

from chain.hashing import keccak
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
        self.is_swallowing = False
        """Transactions are taken, and go nowhere but into `swallowed`."""
        self.swallowed: list[str] = []
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
        if method == "eth_sendRawTransaction" and self.is_swallowing:
            self.swallowed.append(params[0])
            return "0x" + keccak(bytes.fromhex(params[0][2:])).hex()
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


class Relay:
    """Serves a line over HTTP, to a node in a process of its own. Runs in a thread; the test spoils `line`."""

    def __init__(self, l1_url: str) -> None:
        self.line = Line(Endpoint(l1_url))
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self.url = ""

    @contextlib.contextmanager
    def running(self) -> Iterator["Relay"]:
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0]
        self.url = f"http://{host}:{port}"

    async def _stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()
        await self.line.endpoint.close()

    async def _serve(self, request: web.Request) -> web.Response:
        call = await request.json()
        answer = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            answer["result"] = await self.line.call(call["method"], call["params"])
        except RpcError as error:
            answer["error"] = {"code": error.code, "message": error.message, "data": error.data}
        except EthereumFault:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(answer)
