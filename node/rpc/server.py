"""`POST /` and `POST /rpc`: a bare ASGI application, because this is where the speed is decided.

The calls of a batch are answered in their order. Payments that stand next to each other are verified and ordered
together; any other call waits for those before it, so that it sees what they did.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

import msgspec
import structlog

from chain.errors import Refusal
from node.metrics import REFUSALS, REQUESTS
from node.refusals import AnswerTooLarge
from node.rpc.envelope import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NULL,
    REFUSED,
    Call,
    EnvelopeError,
    InvalidCall,
    Item,
    decode_body,
    encode_error,
    encode_refusal,
    encode_result,
)
from node.rpc.methods import METHODS, Answer, Methods
from node.rpc.subscriptions import SUBSCRIPTION_METHODS, Caller
from node.sequencer import SequencerStopped
from node.workers.verifier import encode_refusal as describe_refusal

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_ANSWER_BYTES: Final = 32 << 20
"""Of a batch: a thousand full blocks or pages would be gigabytes. Calls after that are refused, but for payments, which
have been made."""

_SEND_PAYMENT: Final = "tally_sendPayment"
_JSON_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"access-control-allow-origin", b"*"),
    (b"cache-control", b"no-store"),
]
_PREFLIGHT_HEADERS: Final = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (b"access-control-allow-headers", b"content-type"),
    (b"access-control-max-age", b"86400"),
]

_log = structlog.get_logger(__name__)


class _TooLarge(Exception):
    """The body is larger than this node reads."""


class _CallerGone(Exception):
    """The caller went before the body was complete."""


class RpcServer:
    def __init__(self, methods: Methods, max_body_bytes: int) -> None:
        self._methods = methods
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            await _respond(send, 204, b"", _PREFLIGHT_HEADERS)
            return
        try:
            body = await self._read_body(scope, receive)
        except _TooLarge:
            problem = f"the body is larger than {self._max_body_bytes} bytes"
            await _respond(send, 413, encode_error(NULL, INVALID_REQUEST, problem), _JSON_HEADERS)
            return
        except _CallerGone:
            return
        answer = await self.answer(body)
        await _respond(send, 200 if answer else 204, answer, _JSON_HEADERS)

    async def answer(self, body: bytes, caller: Caller | None = None) -> bytes:
        """The response to a body; empty when it holds notifications only. `caller`: who asks over a connection that
        stays, and can subscribe."""
        try:
            is_batch, items = decode_body(body)
        except EnvelopeError as error:
            return encode_error(NULL, error.number, str(error))
        replies = [reply for reply in await self._answer_items(items, caller) if reply]
        if not is_batch:
            return replies[0] if replies else b""
        return b"[" + b",".join(replies) + b"]" if replies else b""

    async def _answer_items(self, items: list[Item], caller: Caller | None) -> list[bytes]:
        replies: list[bytes] = []
        at = size = 0
        while at < len(items):
            if caller is not None:
                await caller.wait_for_room()
            end = at
            while end < len(items) and _is_payment(items[end]):
                end += 1
            is_payments = end > at
            if is_payments:
                answers = await self._answer_payments(items[at:end])
            else:
                end = at + 1
                answers = [await self._answer_item(items[at], size, caller)]
            replies += answers
            size += sum([len(answer) for answer in answers])
            if caller is not None:
                caller.answer_bytes = size
            if not is_payments:
                await asyncio.sleep(0)  # many look-ups end without waiting for anything: payments of others come first
            at = end
        return replies

    async def _answer_payments(self, calls: list[Any]) -> list[bytes]:
        REQUESTS.labels(_SEND_PAYMENT).inc(len(calls))
        try:
            answers = await self._methods.send_payments([bytes(call.params) for call in calls])
        except Exception as error:  # noqa: BLE001
            _note_fault(error, _SEND_PAYMENT)
            return [b"" if call.is_notification else _encode_failure(call.id, error) for call in calls]
        return [
            b"" if call.is_notification else _encode_payment_answer(call, answer)
            for call, answer in zip(calls, answers, strict=True)
        ]

    async def _answer_item(self, item: Item, size: int, caller: Caller | None) -> bytes:
        """`size`: bytes of the answers before it."""
        if isinstance(item, InvalidCall):
            return encode_error(item.id, INVALID_REQUEST, item.problem)
        call_id = NULL if isinstance(item.id, msgspec.UnsetType) else item.id
        ask = self._find(item, caller)
        if ask is None:
            REQUESTS.labels("unknown").inc()
            reply = encode_error(call_id, METHOD_NOT_FOUND, f"the method {item.method!r} does not exist")
        elif size > MAX_ANSWER_BYTES:
            reply = _encode_failure(call_id, AnswerTooLarge(MAX_ANSWER_BYTES))
        else:
            REQUESTS.labels(item.method).inc()
            reply = await self._call(call_id, item.method, ask)
        return b"" if item.is_notification else reply

    def _find(self, call: Call, caller: Caller | None) -> Callable[[], Awaitable[Any]] | None:
        """What carries out the call; None if there is no such method."""
        params = bytes(call.params)
        method = METHODS.get(call.method)
        if method is not None:
            return lambda: method(self._methods, params)
        subscription_method = SUBSCRIPTION_METHODS.get(call.method)
        if subscription_method is not None and not call.is_notification:  # whose id nobody hears is none
            return lambda: subscription_method(caller, params)
        return None

    async def _call(self, call_id: msgspec.Raw, method: str, ask: Callable[[], Awaitable[Any]]) -> bytes:
        try:
            return encode_result(call_id, await ask())
        except Exception as error:  # noqa: BLE001
            _note_fault(error, method)
            return _encode_failure(call_id, error)

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        limit = self._max_body_bytes
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > limit:
                raise _TooLarge
        chunks: list[bytes] = []
        size, is_complete = 0, False
        while not is_complete:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _CallerGone
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > limit:
                raise _TooLarge
            is_complete = not message.get("more_body", False)
        return b"".join(chunks)


def _is_payment(item: Item) -> bool:
    return isinstance(item, Call) and item.method == _SEND_PAYMENT


def _encode_payment_answer(call: Call, answer: Answer) -> bytes:
    assert not isinstance(call.id, msgspec.UnsetType)
    if isinstance(answer, bytes):
        return b'{"jsonrpc":"2.0","id":' + bytes(call.id) + b',"result":' + answer + b"}"
    REFUSALS.labels(answer.code).inc()
    return encode_refusal(call.id, answer.code, answer.message, answer.values)


def _note_fault(error: Exception, method: str) -> None:
    """The caller hears no more than that it was ours; the log hears everything. The state was not touched."""
    if not isinstance(error, Refusal | SequencerStopped):
        _log.error("a call failed", method=method, exc_info=error)


def _encode_failure(call_id: msgspec.Raw, error: Exception) -> bytes:
    if isinstance(error, Refusal):
        REFUSALS.labels(error.code).inc()
        return encode_refusal(call_id, *describe_refusal(error))
    if isinstance(error, SequencerStopped):
        return encode_error(call_id, REFUSED, str(error), {"code": "halted", "message": str(error)})
    return encode_error(call_id, INTERNAL_ERROR, "internal error; the operator's log has the details")


async def _respond(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    if status != 204:  # which must not say a length (RFC 9110, section 8.6)
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
