"""JSON-RPC 2.0 over HTTP: a bare ASGI application.

POST /         a request, or a batch of them answered in its order; notifications are answered with nothing
OPTIONS /      CORS preflight: pages of any origin may ask, it is a development network
GET /health    200 with the head's number
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from typing import Any, Final

import msgspec

from devnet.l1.methods import Methods, RpcError

logger = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 5 << 20
MAX_BATCH: Final = 1_000

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CORS: Final = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
]
JSON_TYPE: Final = (b"content-type", b"application/json")


class BodyTooLarge(Exception):
    pass


class ClientGone(Exception):
    pass


class RpcApplication:
    """The executor's threads do the work, so that the event loop stays free to accept and to tell the time; they need a
    large stack (`app.STACK_BYTES`) even to decode a request."""

    def __init__(self, methods: Methods, executor: Executor) -> None:
        self._methods = methods
        self._executor = executor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"no handler for {scope['type']}")
        match scope["method"], scope["path"]:
            case "OPTIONS", _:
                await respond(send, 204)
            case "POST", "/":
                await self._answer(receive, send)
            case "GET", "/health":
                await respond(send, 200, msgspec.json.encode({"block": self._methods.call("eth_blockNumber", [])}))
            case _, "/" | "/health":
                await respond(send, 405)
            case _:
                await respond(send, 404)

    async def _answer(self, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive)
        except BodyTooLarge:
            await respond(send, 413, encode_error(None, INVALID_REQUEST, f"more than {MAX_BODY_BYTES} bytes"))
            return
        except ClientGone:
            return
        answer = await asyncio.get_running_loop().run_in_executor(self._executor, self.answer, body)
        await respond(send, 200 if answer else 204, answer)

    def answer(self, body: bytes) -> bytes:
        """The response to a request or a batch; empty if there is nothing to answer."""
        try:
            message = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return encode_error(None, PARSE_ERROR, "parse error")
        if not isinstance(message, list):
            answer = self._answer_one(message)
            return b"" if answer is None else msgspec.json.encode(answer)
        if not message:
            return encode_error(None, INVALID_REQUEST, "empty batch")
        if len(message) > MAX_BATCH:
            return encode_error(None, INVALID_REQUEST, f"batch too large: {len(message)}, at most {MAX_BATCH}")
        answers = [answer for request in message if (answer := self._answer_one(request)) is not None]
        return msgspec.json.encode(answers) if answers else b""

    def _answer_one(self, request: Any) -> dict[str, Any] | None:
        """None for a notification."""
        if not is_request(request):
            return create_error(get_id(request), INVALID_REQUEST, "invalid request")
        answer = self._call(request)
        return answer if "id" in request else None

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        id_ = request.get("id")
        params = request.get("params", [])
        if isinstance(params, dict):
            return create_error(id_, INVALID_PARAMS, "parameters go by position")
        try:
            return {"jsonrpc": "2.0", "id": id_, "result": self._methods.call(request["method"], params)}
        except RpcError as error:
            return create_error(id_, error.code, str(error), error.data)
        except Exception:
            # A fault of ours: whoever asked must get an answer, and the log the reason.
            logger.exception("internal error in %s", request["method"])
            return create_error(id_, INTERNAL_ERROR, "internal error")


def is_request(request: Any) -> bool:
    return (
        isinstance(request, dict)
        and request.get("jsonrpc") == "2.0"
        and isinstance(request.get("method"), str)
        and isinstance(request.get("params", []), list | dict)
        and is_id(request.get("id"))
    )


def is_id(id_: Any) -> bool:
    return id_ is None or (isinstance(id_, str | int | float) and not isinstance(id_, bool))


def get_id(request: Any) -> Any:
    """Of an invalid request, as far as it can be told."""
    id_ = request.get("id") if isinstance(request, dict) else None
    return id_ if is_id(id_) else None


def create_error(id_: Any, code: int, message: str, data: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": id_, "error": error}


def encode_error(id_: Any, code: int, message: str) -> bytes:
    return msgspec.json.encode(create_error(id_, code, message))


async def read_body(receive: Receive) -> bytes:
    """BodyTooLarge, ClientGone."""
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        body += event.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
        if not event.get("more_body", False):
            return bytes(body)


async def respond(send: Send, status: int, body: bytes = b"") -> None:
    headers = [*CORS, (b"content-length", str(len(body)).encode())] if status != 204 else list(CORS)
    if body:
        headers.append(JSON_TYPE)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
