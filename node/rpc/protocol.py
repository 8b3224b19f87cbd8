"""Bounds for what HTTP allows before any application is asked: the head of a request, its trailers, and silence.

The parser collects a header's value by appending to it, and calls nobody until it is complete. So bytes are counted
here, as they are fed, and what is large is fed in slices and in turns, as `ReadingShare` gives them.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.server import ServerState

from node.http_protocol import HttpProtocol
from node.metrics import CUT_OFF, REFUSED_CONNECTIONS
from node.open_files import MAX_CONNECTIONS
from node.rpc.reading import find_share
from node.rpc.server import Send

MAX_HEAD_BYTES: Final = 32 << 10
"""Of a request's line and headers, or of its trailers; more is answered with 431 (RFC 6585, section 5). Up to a slice
that another request shares with it is not counted."""

MAX_HEADERS: Final = 100
"""With the trailers. A head that is complete at once is the application's to refuse, by `refuse_head`."""

_MAX_UNWANTED_BYTES: Final = 1 << 20
"""Of a body in chunks that has been answered already."""

_SLICE_BYTES: Final = 4096
"""Parsed without a look at the clock. A single request is seldom larger, and is parsed at once."""

_LOOK_SECONDS: Final = 5.0
"""Between two looks at a connection."""
_HEAD_LOOKS: Final = 2
"""After which a head that has not come, or not wholly, is waited for no longer: 10 to 15 seconds, and 10 after
connecting. Between two requests a connection may be idle for as long as uvicorn's `timeout_keep_alive`."""
_PATIENCE_LOOKS: Final = 6
"""After which a body of which nothing comes, or an answer of which nothing worth mentioning is taken, is given up: 30
to 35 seconds. A stream that has nothing to say is left alone."""
_LEAST_PROGRESS: Final = 16 << 10
"""Bytes of a full buffer that a client takes in that time."""


async def refuse_head(send: Send) -> None:
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 431, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class BoundedProtocol(HttpProtocol):
    max_connections = MAX_CONNECTIONS
    """Of the server, WebSockets too. Others are closed as they come."""

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
        self._head_bytes = 0
        """Fed since the last head was complete, or the last chunk of a body: of a head, or of trailers."""
        self._body_left: int | None = 0
        """Bytes of the body that are still to come, if one has begun; None if it comes in chunks."""
        self._timer: asyncio.TimerHandle | None = None
        self._silence = _Silence()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self.max_connections:
            REFUSED_CONNECTIONS.inc()
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self._timer = self.loop.call_later(_LOOK_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_looking()
        self._held, self._parsed = b"", 0
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._stop_looking()
        super().handle_websocket_upgrade()

    def resume_writing(self) -> None:
        self._silence.untaken_looks = 0
        super().resume_writing()

    # --- parsing

    def data_received(self, data: bytes) -> None:
        self._silence.is_broken = True
        if len(data) <= _SLICE_BYTES and not self._held:
            self._parse(data)
            return
        self._unset_keepalive_if_required()
        self._held = self._held[self._parsed :] + data if self._held else data
        self._parsed = 0
        self._go_on()
        self._adjust_reading()

    def _parse(self, data: bytes) -> None:
        cycle = self._get_cycle()
        body_bytes = 0 if cycle is None else len(cycle.body)
        super().data_received(data)
        latest = self._get_cycle()
        if latest is None or latest is cycle:
            self._count(len(data), latest is not None and len(latest.body) > body_bytes)
        else:  # a head is complete, and mostly its body, too
            self._head_bytes = 0
            if latest.more_body:
                length = _find_content_length(latest.scope["headers"])
                self._body_left = None if length is None else length - len(latest.body)

    def _count(self, size: int, is_body: bool) -> None:
        """What was fed without completing a head. `is_body`: some of it belongs to a body."""
        limit = MAX_HEAD_BYTES
        cycle = self._get_cycle()
        if cycle is not None and cycle.scope is self.scope:  # no other has begun
            if not cycle.more_body or self._body_left is not None:
                self._body_left = max(0, (self._body_left or 0) - size)
                return
            if is_body:
                self._head_bytes = 0
                return
            if cycle.response_complete:  # what is chunks, and what trailers, cannot be told then
                limit = _MAX_UNWANTED_BYTES
        self._head_bytes += size
        has_too_many = self._get_scope() is not None and len(self.headers) > MAX_HEADERS
        if (self._head_bytes > limit or has_too_many) and not self.transport.is_closing():
            self._refuse_head()

    def _get_cycle(self) -> RequestResponseCycle | None:
        """The last request whose head is complete, with its answer."""
        return self.cycle

    def _get_scope(self) -> object | None:
        """Of the last request that has begun."""
        return self.scope

    def _refuse_head(self) -> None:
        CUT_OFF.labels("head").inc()
        cycle = self._get_cycle()
        if cycle is None or cycle.response_complete:
            self.transport.write(STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def _parse_slice(self) -> bool:
        """Whether there is more to parse."""
        if self._may_parse():
            part = self._held[self._parsed : self._parsed + self._choose_size()]
            self._parsed += len(part)
            if self._parsed >= len(self._held):
                self._held, self._parsed = b"", 0
            try:
                self._parse(part)
            except BaseException:
                self.transport.abort()
                raise
        self._has_turn = self._may_parse()
        if not self._has_turn:
            self._adjust_reading()
            if self._held and self.pipeline:
                self.cycle.on_response = self._end_pipeline
        return self._has_turn

    def _choose_size(self) -> int:
        """A body whose length is known costs next to nothing, and is parsed at once as far as it is there."""
        cycle = self._get_cycle()
        is_in_body = cycle is not None and cycle.scope is self.scope and cycle.more_body
        return max(_SLICE_BYTES, self._body_left or 0) if is_in_body else _SLICE_BYTES

    def _may_parse(self) -> bool:
        """One request behind the one being answered is enough, however many have been sent."""
        return bool(self._held) and not self.pipeline and not self._has_ended()

    def _has_ended(self) -> bool:
        """Nothing more is to be read, or not by us."""
        return self.transport.is_closing() or self.transport.get_protocol() is not self

    def _go_on(self) -> None:
        if not self._has_turn and self._may_parse():
            self._has_turn = True
            self._share.work(self._parse_slice)

    def _end_pipeline(self) -> None:
        """In place of `on_response_complete` for the last one that was taken in hand."""
        self.on_response_complete()
        self._unset_keepalive_if_required()
        # Not at once: uvicorn calls this in the midst of an answer.
        self.loop.call_soon(self._go_on)

    def _adjust_reading(self) -> None:
        if self._has_ended():
            return
        if self._held:
            self.transport.pause_reading()
        elif not self.flow.read_paused:
            self.transport.resume_reading()

    # --- silence

    def _look(self) -> None:
        reason = self._find_reason_to_end()
        if reason is None:
            self._timer = self.loop.call_later(_LOOK_SECONDS, self._look)
            return
        CUT_OFF.labels(reason).inc()
        self.transport.abort()

    def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _find_reason_to_end(self) -> str | None:
        silence = self._silence
        if silence.note_untaken(self._count_untaken()) > _PATIENCE_LOOKS:
            return "takes_nothing"
        if silence.note_head(self._find_awaited_head()) >= _HEAD_LOOKS:
            return "no_head"
        if silence.note_body(self._is_awaiting_body()) >= _PATIENCE_LOOKS:
            return "no_body"
        return None

    def _count_untaken(self) -> int:
        """Bytes that wait for the client to take them; 0 while the application may add to them."""
        is_full = self.flow.write_paused or self.transport.is_closing()
        cycle = self._get_cycle()
        is_growing = not is_full and cycle is not None and not cycle.response_complete
        return 0 if is_growing else self.transport.get_write_buffer_size()

    def _find_awaited_head(self) -> object | None:
        """Something that stands for the head that the client is to send, or to complete; None if it need not."""
        if not self._is_listening():
            return None
        cycle = self._get_cycle()
        if cycle is not None and cycle.scope is self.scope:  # no other has begun
            # Whatever comes after an answer ends uvicorn's own patience, though it need not be a head.
            is_idle = cycle.response_complete and not self.pipeline
            if not is_idle or self.timeout_keep_alive_task is not None:
                return None
        return self._get_scope() or self

    def _is_awaiting_body(self) -> bool:
        cycle = self._get_cycle()
        return self._is_listening() and cycle is not None and cycle.more_body and not cycle.response_complete

    def _is_listening(self) -> bool:
        """It is for the client to send, if there is more."""
        return not self._held and not self.flow.read_paused and not self.transport.is_closing()


def limit_connections(count: int) -> type[BoundedProtocol]:
    """The protocol for a server that may have so many."""
    return type("BoundedProtocol", (BoundedProtocol,), {"max_connections": count})


def _find_content_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """None for a body in chunks. The parser has checked it."""
    for name, value in headers:
        if name == b"content-length":
            return int(value)
    return None


class _Silence:
    """For how many looks nothing has come of what is awaited."""

    def __init__(self) -> None:
        self.is_broken = False
        """Something was received since the last look."""
        self._head: object | None = None
        self._head_looks = 0
        self._body_looks = 0
        self._untaken_bytes = 0
        self.untaken_looks = 0

    def note_head(self, head: object | None) -> int:
        if head is None:
            self._head_looks = 0
        else:
            self._head_looks = self._head_looks + 1 if head is self._head else 1
        self._head = head
        return self._head_looks

    def note_body(self, is_awaited: bool) -> int:
        self._body_looks = self._body_looks + 1 if is_awaited and not self.is_broken else 0
        self.is_broken = False
        return self._body_looks

    def note_untaken(self, size: int) -> int:
        if size == 0:
            self.untaken_looks = 0
        elif self.untaken_looks == 0 or self._untaken_bytes - size >= _LEAST_PROGRESS:
            self._untaken_bytes, self.untaken_looks = size, 1
        else:
            self.untaken_looks += 1
        return self.untaken_looks
