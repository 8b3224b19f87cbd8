"""`GET /ws`: JSON-RPC 2.0 over WebSocket (RFC 6455), and the only place where clients can subscribe.

A text message is what a body is by POST: a call, a batch, notifications. The messages of one connection are worked on
side by side, a few at a time, and answered in their order; what must happen in order goes into a batch. Who does not
read is not read from, and who takes nothing at all is cut off: a client costs no more than what it has in hand.
"""

import asyncio
from typing import Any, Final

import msgspec
import structlog
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from node.ethereum.change import Change
from node.metrics import CONNECTIONS
from node.refusals import Overloaded
from node.rpc.envelope import NULL, encode_refusal
from node.rpc.feed import Feed
from node.rpc.server import Receive, RpcServer, Scope, Send
from node.rpc.subscriptions import Caller, Opened, Subscriber
from node.workers.verifier import encode_refusal as describe_refusal

PATH: Final = "/ws"

MAX_CONNECTIONS: Final = 256

MAX_UNDER_WAY: Final = 16
"""Messages of one connection that are worked on, or answered and not sent yet. Further ones are not read."""

PING_INTERVAL_SECONDS: Final = 20.0
PING_TIMEOUT_SECONDS: Final = 40.0
"""Who does not answer a ping by then has gone: the connection is closed with 1011."""

_PATIENCE_SECONDS: Final = 30.0
_LEAST_PROGRESS: Final = 16 << 10
"""Bytes that a client takes in that time, or is cut off."""

_GRACE_SECONDS: Final = 4.0
"""For what is being answered when the node stops."""
_FAREWELL_SECONDS: Final = 1.0
"""For the close frame itself."""

GOING_AWAY: Final = 1001
UNSUPPORTED_DATA: Final = 1003
"""Close codes of RFC 6455, section 7.4.1."""

_SOCKET: Final = "tallystick.socket"
_JSON_HEADERS: Final = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]

_log = structlog.get_logger(__name__)


class SocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's protocol, and what ASGI has no words for: whether there is room to write, and the end of a client who
    takes nothing."""

    @property
    def is_open(self) -> bool:
        return not self.close_sent and not self.transport.is_closing()

    @property
    def is_writable(self) -> bool:
        return self.writable.is_set()

    async def wait_until_writable(self, patience_s: float) -> bool:
        """Whether there is room again. False: nothing worth mentioning has been taken for `patience_s`."""
        while not self.writable.is_set():
            before = self.transport.get_write_buffer_size()
            try:
                await asyncio.wait_for(self.writable.wait(), patience_s)
            except TimeoutError:
                if before - self.transport.get_write_buffer_size() < _LEAST_PROGRESS:
                    return False
        return True

    def abort(self) -> None:
        """At once, whatever has not been sent."""
        self.transport.abort()

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] | None = self.scope["extensions"]
        assert extensions is not None
        extensions[_SOCKET] = self
        await super().run_asgi()

    def keepalive_timeout(self) -> None:
        """Closing alone would wait for ever for a client that takes nothing to take what is left."""
        super().keepalive_timeout()
        self.loop.call_later(_FAREWELL_SECONDS, self.transport.abort)


class WebSocketServer:
    """An ASGI application for `GET /ws`, served with `SocketProtocol`."""

    def __init__(
        self, rpc: RpcServer, feed: Feed, max_message_bytes: int, patience_s: float = _PATIENCE_SECONDS
    ) -> None:
        self._rpc = rpc
        self._feed = feed
        self._max_message_bytes = max_message_bytes
        self._patience_s = patience_s
        self._connections: dict[asyncio.Task[Any], Connection] = {}
        self._stopping = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await _refuse_http(send)
            return
        await receive()  # the request to connect
        if scope["path"] != PATH:
            await _reject(send, 404, b"")
            return
        if self._stopping.is_set() or len(self._connections) >= MAX_CONNECTIONS:
            problem = encode_refusal(NULL, *describe_refusal(Overloaded(len(self._connections))))
            await _reject(send, 503, problem)
            return
        task = asyncio.current_task()
        assert task is not None
        connection = Connection(scope["extensions"][_SOCKET], receive, send, self._rpc, self._feed, self._stopping)
        connection.max_bytes, connection.patience_s = self._max_message_bytes, self._patience_s
        self._connections[task] = connection
        CONNECTIONS.set(len(self._connections))
        try:
            await connection.run()
        finally:
            del self._connections[task]
            CONNECTIONS.set(len(self._connections))

    async def close(self) -> None:
        """Ends all connections with 1001, once what they have asked is answered. Returns within `_GRACE_SECONDS` and
        a little."""
        self._stopping.set()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=_GRACE_SECONDS + 2 * _FAREWELL_SECONDS)
            for task in late:
                _log.warning("a connection is cut off")
                self._connections[task].socket.abort()


class _Exchange:
    """A message, and its answer as soon as there is one."""

    def __init__(self, size: int, caller: Caller, answer: "asyncio.Task[bytes]") -> None:
        self.size = size
        """Bytes that it stands for: of the message, then of the answer too."""
        self.opened: list[Opened] = caller.opened
        self.answer = answer


class _Ending(Exception):
    """Why the connection ends. `code` is None when the client has gone already."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Connection:
    """One client: what it asks is read, worked on and answered by three tasks; each subscription is one more."""

    max_bytes = 8 << 20
    """Of messages and answers in hand, above which no other message is read."""
    patience_s = _PATIENCE_SECONDS

    def __init__(
        self,
        socket: SocketProtocol,
        receive: Receive,
        send: Send,
        rpc: RpcServer,
        feed: Feed,
        stopping: asyncio.Event,
    ) -> None:
        self.socket = socket
        self._receive = receive
        self._send = send
        self._rpc = rpc
        self._feed = feed
        self._stopping = stopping
        self._subscriber = Subscriber(feed, self)
        self._exchanges: asyncio.Queue[_Exchange] = asyncio.Queue()
        self._under_way: set[_Exchange] = set()
        self._done = Change()

    async def run(self) -> None:
        """Until the client goes, does what is not to be done here, or the node stops. No task of it is left then."""
        await self._send({"type": "websocket.accept"})
        parts = [asyncio.create_task(part()) for part in (self._read, self._write, self._wait_for_stop)]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            ending = done.pop().exception()
        finally:
            answers = [exchange.answer for exchange in self._under_way]
            for task in [*parts, *answers]:
                task.cancel()
            await asyncio.gather(*parts, *answers, return_exceptions=True)
            await self._subscriber.close_all()
        if not isinstance(ending, _Ending | OSError):
            raise ending or RuntimeError("a part of a connection has ended without a reason")
        if isinstance(ending, _Ending) and ending.code is not None:
            await self._say_farewell(ending.code, ending.reason)

    # --- as subscriptions use it

    @property
    def is_writable(self) -> bool:
        return self.socket.is_writable

    async def wait_until_writable(self) -> None:
        if not await self.socket.wait_until_writable(self.patience_s):
            self.socket.abort()
            raise ConnectionAbortedError("the client takes nothing")

    async def send(self, text: str) -> None:
        """Raises OSError when the client has gone."""
        await self.wait_until_writable()
        if not self.socket.is_open:
            raise ConnectionAbortedError("the connection is closed")
        await self._send({"type": "websocket.send", "text": text})

    # --- calls

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                raise _Ending(None)
            text = message.get("text")
            if text is None:
                raise _Ending(UNSUPPORTED_DATA, "JSON-RPC is spoken in text frames")
            await self._done.wait_until(self._has_room)
            body = text.encode()
            caller = Caller(self._subscriber, self._feed)
            exchange = _Exchange(len(body), caller, asyncio.create_task(self._rpc.answer(body, caller)))
            self._under_way.add(exchange)
            self._exchanges.put_nowait(exchange)

    async def _write(self) -> None:
        while True:
            exchange = await self._exchanges.get()
            answer = await exchange.answer
            exchange.size += len(answer)
            if answer:
                await self.send(answer.decode())
            for opened in exchange.opened:
                opened.start()
            self._under_way.remove(exchange)
            self._done.notify()

    async def _wait_for_stop(self) -> None:
        """The end, when the node stops and what was asked before is answered."""
        await self._stopping.wait()
        try:
            await asyncio.wait_for(self._done.wait_until(lambda: not self._under_way), _GRACE_SECONDS)
        except TimeoutError:
            _log.warning("stopping before all is answered", messages=len(self._under_way))
        raise _Ending(GOING_AWAY, "the node is stopping")

    def _has_room(self) -> bool:
        in_hand = sum([exchange.size for exchange in self._under_way])
        return len(self._under_way) < MAX_UNDER_WAY and in_hand < self.max_bytes and not self._stopping.is_set()

    async def _say_farewell(self, code: int, reason: str) -> None:
        """As far as the client lets it be said."""
        if not self.socket.is_open:
            return
        try:
            await asyncio.wait_for(
                self._send({"type": "websocket.close", "code": code, "reason": reason}), _FAREWELL_SECONDS
            )
        except (TimeoutError, OSError):
            self.socket.abort()


async def _refuse_http(send: Send) -> None:
    """RFC 9110, section 15.5.22."""
    body = msgspec.json.encode({"error": "this is a WebSocket's address; over HTTP, JSON-RPC is spoken by POST to /"})
    headers = [*_JSON_HEADERS, (b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 426, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _reject(send: Send, status: int, body: bytes) -> None:
    """Instead of the handshake."""
    await send({"type": "websocket.http.response.start", "status": status, "headers": _JSON_HEADERS})
    await send({"type": "websocket.http.response.body", "body": body})
