"""`GET /ws`: JSON-RPC 2.0 over WebSocket (RFC 6455), and the only place where clients can subscribe.

A text message is what a body is by POST: a call, a batch, notifications. The messages of one connection are worked on
side by side, a few at a time, and answered in their order; what must happen in order goes into a batch. Who does not
read is not read from, and who takes nothing at all is cut off: a client costs no more than what it has in hand.
"""

import asyncio
from typing import Any, Final

import msgspec
import structlog
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame

from node.ethereum.change import Change
from node.metrics import CONNECTIONS, CUT_OFF
from node.refusals import Overloaded
from node.rpc.envelope import NULL, encode_refusal
from node.rpc.feed import Feed
from node.rpc.reading import find_share
from node.rpc.server import Receive, RpcServer, Scope, Send
from node.rpc.subscriptions import Caller, Subscriber
from node.workers.verifier import encode_refusal as describe_refusal

PATH: Final = "/ws"

MAX_CONNECTIONS: Final = 256

MAX_UNDER_WAY: Final = 16
"""Messages of one connection that are worked on, or answered and not sent yet. Further ones are not read."""

PING_INTERVAL_SECONDS: Final = 20.0
PING_TIMEOUT_SECONDS: Final = 40.0
"""Who does not answer a ping by then has gone: the connection is closed with 1011."""

MAX_FRAGMENTS: Final = 1024
"""Of one message, give or take those of a slice: empty ones never count against its bytes."""

MAX_CONTROL_FRAMES_PER_SECOND: Final = 10
_CONTROL_FRAME_BURST: Final = 64
"""Pings and pongs. Who sends more, or fragments beyond all measure, is closed with 1008."""

_SLICE_BYTES: Final = 1024
"""Parsed without a look at the clock: 170 empty frames, some milliseconds."""

_READ_AHEAD_BYTES: Final = 64 << 10
"""Received and not parsed yet, beyond which nothing more is received. Until then a client who goes is seen to go."""

_PATIENCE_SECONDS: Final = 30.0
_LEAST_PROGRESS: Final = 16 << 10
"""Bytes that a client takes in that time, or is cut off."""

_HANDSHAKE_SECONDS: Final = 10.0
"""Within which a request for one must turn out to be one: a malformed one is answered by nobody."""

_MAX_DROPPED_BYTES: Final = 16 << 20
"""Received from a client who has been told that this is the end, but goes on."""

_GRACE_SECONDS: Final = 4.0
"""For what is being answered when the node stops."""
_FAREWELL_SECONDS: Final = 1.0
"""For the close frame itself, and to receive what the client had sent before it read that."""

GOING_AWAY: Final = 1001
UNSUPPORTED_DATA: Final = 1003
POLICY_VIOLATION: Final = 1008
"""Close codes of RFC 6455, section 7.4.1."""

_PONG_HEAD: Final = b"\x8a"
_SOCKET: Final = "tallystick.socket"
_JSON_HEADERS: Final = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]

_log = structlog.get_logger(__name__)


class SocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's protocol, and what ASGI has no words for: whether there is room to write, and the end of a client who
    takes nothing. What comes in is parsed in slices and in turns, as `ReadingShare` gives them: a frame is six bytes to
    send and tens of microseconds to read."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._share = find_share(server_state, self.loop)
        self._held = b""
        self._parsed = 0
        """Bytes of `_held` that have been parsed."""
        self._has_turn = False
        """A turn is under way, or asked for."""
        self._is_over = False
        """The client has broken a rule. Nothing is parsed any more."""
        self._dropped_bytes = 0
        self.lost = asyncio.Event()
        """The transport has closed: nothing more can be sent, and nothing comes."""
        self._control_room = float(_CONTROL_FRAME_BURST)
        self._counted_at = 0.0
        self._end_timer: asyncio.TimerHandle | None = None

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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._end_within(_HANDSHAKE_SECONDS)

    async def run_asgi(self) -> None:
        self._cancel_end()
        extensions: dict[str, Any] | None = self.scope["extensions"]
        assert extensions is not None
        extensions[_SOCKET] = self
        try:
            await super().run_asgi()
        finally:
            self._end_within(_PATIENCE_SECONDS)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._end_within(_FAREWELL_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._held, self._parsed = b"", 0
        self.lost.set()
        self._cancel_end()
        super().connection_lost(exc)

    def _end_within(self, seconds: float) -> None:
        """Closing alone would wait for ever for a client that takes nothing to take what is left."""
        self._cancel_end()
        if not self.disconnected:
            self._end_timer = self.loop.call_later(seconds, self.transport.abort)

    def _cancel_end(self) -> None:
        if self._end_timer is not None:
            self._end_timer.cancel()
            self._end_timer = None

    # --- reading

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > _MAX_DROPPED_BYTES:
                self.transport.abort()
            return
        self._held = self._held[self._parsed :] + data if self._held else data
        self._parsed = 0
        self._go_on()
        self._adjust_reading()

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._go_on()
            self._adjust_reading()
        return message

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self._held:  # which may have waited for the handshake, or for a message that nobody wants any more
            self._go_on()

    def _go_on(self) -> None:
        if not self._has_turn and self._may_parse():
            self._has_turn = True
            self._share.work(self._parse_slice)

    def _may_parse(self) -> bool:
        """There is something, its turn has come in the protocol, and the message before it has been taken."""
        return (
            bool(self._held)
            and not self.read_paused
            and (self.handshake_complete or not self.handshake_initiated)
            and not self._is_over
            and not self.transport.is_closing()
        )

    def _parse_slice(self) -> bool:
        """Whether there is more to parse."""
        if self._may_parse():
            part = self._held[self._parsed : self._parsed + _SLICE_BYTES]
            self._parsed += len(part)
            if self._parsed >= len(self._held):
                self._held, self._parsed = b"", 0
            try:
                super().data_received(part)
                self._check_flood()
            except BaseException:
                self.transport.abort()
                raise
        self._has_turn = self._may_parse()
        if not self._has_turn:
            self._adjust_reading()
        return self._has_turn

    def _adjust_reading(self) -> None:
        """Uvicorn pauses after each message. Here reading goes on a little: it is how the end of a client is seen."""
        if self.transport.is_closing():
            return
        if len(self._held) - self._parsed > _READ_AHEAD_BYTES:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def handle_parser_exception(self) -> None:
        """Says why, and that there will be no more. Closing with something unread would reset the connection, and the
        client would seldom hear it: so what comes is received for a moment, and dropped."""
        assert self.conn.close_sent is not None
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        self.close_sent = self._is_over = True
        self._held, self._parsed = b"", 0
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(_FAREWELL_SECONDS, self.transport.abort)

    # --- floods

    def handle_ping(self) -> None:
        self._count_control_frame()
        if not self.is_writable:  # a client who does not read needs no proof that we are there
            self.conn.writes = [frame for frame in self.conn.writes if not frame.startswith(_PONG_HEAD)]
        super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        self._count_control_frame()
        super().handle_pong(event)

    def _count_control_frame(self) -> None:
        now = self.loop.time()
        regained = (now - self._counted_at) * MAX_CONTROL_FRAMES_PER_SECOND
        self._control_room = min(self._control_room + regained, _CONTROL_FRAME_BURST) - 1
        self._counted_at = now

    def _check_flood(self) -> None:
        if self._is_over or self.transport.is_closing():
            return
        if len(self.frames) > MAX_FRAGMENTS:
            problem = f"a message has at most {MAX_FRAGMENTS} fragments"
        elif self._control_room < 0:
            problem = f"at most {MAX_CONTROL_FRAMES_PER_SECOND} pings and pongs a second"
        else:
            return
        CUT_OFF.labels("flood").inc()
        self.conn.fail(POLICY_VIOLATION, problem)
        self.handle_parser_exception()


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


class _Exchange(Caller):
    """A message that is worked on, and its answer as soon as there is one."""

    def __init__(self, connection: "Connection", body: bytes) -> None:
        super().__init__(connection.subscriber, connection.feed)
        self._connection = connection
        self.body_bytes = len(body)
        self.answer = asyncio.create_task(connection.rpc.answer(body, self))

    async def wait_for_room(self) -> None:
        await self._connection.wait_for_room(self)


class _Ending(Exception):
    """Why the connection ends. `code` is None when the client has gone already."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Connection:
    """One client: what it asks is read, worked on and answered by three tasks; each subscription is one more."""

    max_bytes = 8 << 20
    """Of messages and answers in hand, finished or not, above which no other message is read. When the answers alone
    come to that, only the first message is worked on: its answer is bounded for itself, and makes room when sent."""
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
        self.rpc = rpc
        self.feed = feed
        self._stopping = stopping
        self.subscriber = Subscriber(feed, self)
        self._exchanges: asyncio.Queue[_Exchange] = asyncio.Queue()
        self._under_way: dict[_Exchange, None] = {}
        """In the order of the messages."""
        self._done = Change()

    async def run(self) -> None:
        """Until the client goes, does what is not to be done here, or the node stops. No task of it is left then.

        What is still under way is given up. A payment that is with the sequencer by then is made all the same; nobody
        waits for its receipt.
        """
        await self._send({"type": "websocket.accept"})
        parts = [
            asyncio.create_task(part()) for part in (self._read, self._write, self._wait_for_stop, self._wait_for_loss)
        ]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            ending = done.pop().exception()
        finally:
            answers = [exchange.answer for exchange in self._under_way]
            for task in [*parts, *answers]:
                task.cancel()
            await asyncio.gather(*parts, *answers, return_exceptions=True)
            await self.subscriber.close_all()
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
            exchange = _Exchange(self, text.encode())
            self._under_way[exchange] = None
            self._exchanges.put_nowait(exchange)

    async def _write(self) -> None:
        while True:
            exchange = await self._exchanges.get()
            answer = await exchange.answer
            if answer:
                await self.send(answer.decode())
            for opened in exchange.opened:
                opened.start()
            del self._under_way[exchange]
            self._done.notify()

    async def wait_for_room(self, exchange: _Exchange) -> None:
        """Before more of its answer is made."""
        await self._done.wait_until(
            lambda: next(iter(self._under_way)) is exchange or self._count_answer_bytes() < self.max_bytes
        )

    async def _wait_for_loss(self) -> None:
        """The end also while nothing is read, because too much is in hand."""
        await self.socket.lost.wait()
        raise _Ending(None)

    async def _wait_for_stop(self) -> None:
        """The end, when the node stops and what was asked before is answered."""
        await self._stopping.wait()
        try:
            await asyncio.wait_for(self._done.wait_until(lambda: not self._under_way), _GRACE_SECONDS)
        except TimeoutError:
            _log.warning("stopping before all is answered", messages=len(self._under_way))
        raise _Ending(GOING_AWAY, "the node is stopping")

    def _has_room(self) -> bool:
        in_hand = self._count_answer_bytes() + sum([exchange.body_bytes for exchange in self._under_way])
        return len(self._under_way) < MAX_UNDER_WAY and in_hand < self.max_bytes and not self._stopping.is_set()

    def _count_answer_bytes(self) -> int:
        return sum([exchange.answer_bytes for exchange in self._under_way])

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
