"""While the node cannot open yet, because something that will come is not there: what it waits for, said by name.

A key's file that is not mounted yet, Ethereum out of reach at the very first start: neither is a reason to end, and
neither may be silent. `/health/ready` says 503 and the name, `/metrics` and the log say the same, every other page is a
sentence, and a JSON-RPC call is refused as `halted`. When what was missing comes, the node opens, without a restart.
"""

import asyncio
import contextlib
import html
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from enum import StrEnum
from typing import Final, TypeVar

import msgspec
import structlog
import uvicorn

from node import metrics
from node.health import UNREADY, Check, describe
from node.http_protocol import HttpProtocol
from node.rpc.envelope import REFUSED
from node.rpc.server import Receive, Scope, Send

_RETRY_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 1
_MAX_CONNECTIONS: Final = 256
_LIVE_PATH: Final = "/health/live"
_READY_PATH: Final = "/health/ready"
_METRICS_PATH: Final = "/metrics"

_Found = TypeVar("_Found")

_log = structlog.get_logger(__name__)


class Missing(StrEnum):
    """What the node cannot open without; the same word in health, metrics and logs."""

    OPERATOR_KEY = "operator_key_missing"
    """Nothing can be signed: no block, so no receipt either."""
    DEPLOYMENT = "waiting_for_ethereum"
    """The contract's constants are not on disk, and Ethereum does not answer."""


_WORDS: Final = {
    Missing.OPERATOR_KEY: "the operator's key",
    Missing.DEPLOYMENT: "Ethereum, to learn the contract's constants",
}


class Server(uvicorn.Server):
    """Leaves signals to the node."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Opening:
    """What is tried again until it is there. Answers on the node's port meanwhile, and only meanwhile."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._check = Check("opening", False, is_vital=True)
        self._problem = ""

    async def wait_for(self, missing: Missing, find: Callable[[], Awaitable[_Found]], fault: type[Exception]) -> _Found:
        """What `find` returns; as long as it raises `fault` it is asked again, and anything else it raises ends it."""
        try:
            return await find()
        except fault as error:
            self._say(missing, error)
        metrics.OPENING.labels(missing).set(1)
        try:
            async with self._answering():
                while True:
                    await asyncio.sleep(_RETRY_SECONDS)
                    try:
                        return await find()
                    except fault as error:
                        self._say(missing, error)
        finally:
            metrics.OPENING.labels(missing).set(0)

    def _say(self, missing: Missing, error: Exception) -> None:
        if str(error) != self._problem:
            self._problem = str(error)
            _log.warning(f"waiting for {_WORDS[missing]}", state=str(missing), problem=self._problem)
        self._check = Check(str(missing), False, f"waiting for {_WORDS[missing]}", is_vital=True)

    @contextlib.asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            proxy_headers=False,
            http=HttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        server = Server(config)
        # The server closes the socket that it is given; who connects in between waits in the queue of the other one.
        serving = asyncio.ensure_future(server.serve(sockets=[self._listener.dup()]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, check = scope["path"], self._check
        if path == _LIVE_PATH:
            await _respond(send, 200, b"application/json", msgspec.json.encode({"status": "live"}))
        elif path == _READY_PATH:
            report = {"status": UNREADY, "checks": {"opening": describe(check)}}
            await _respond(send, 503, b"application/json", msgspec.json.encode(report))
        elif path == _METRICS_PATH:
            await _respond(send, 200, b"text/plain; version=0.0.4", metrics.render())
        elif scope["method"] == "POST":
            data = {"code": "halted", "message": check.detail, "state": check.state}
            error = {"code": REFUSED, "message": check.detail, "data": data}
            body = {"jsonrpc": "2.0", "id": None, "error": error}
            await _respond(send, 503, b"application/json", msgspec.json.encode(body))
        else:
            await _respond(send, 503, b"text/html; charset=utf-8", _PAGE.format(html.escape(check.detail)).encode())


_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5"><title>Tallystick is opening</title>
<h1>Tallystick is opening</h1>
<p>This node is {}. Nothing is lost, and nothing is taken yet.</p>
</html>
"""


async def _respond(send: Send, status: int, content_type: bytes, body: bytes) -> None:
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"retry-after", b"2"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
