"""HTTP as the node's server speaks it: uvicorn's protocol, and what ASGI has no words for."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

TRANSPORT: Final = "tallystick.transport"
"""Of a scope's `extensions`: the connection's `asyncio.Transport`. It knows how much of what was sent has not been
taken yet, and can be aborted."""

_Message: TypeAlias = MutableMapping[str, Any]


class HttpProtocol(HttpToolsProtocol):
    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, Any] = {TRANSPORT: self.transport}
        self.scope["extensions"] = extensions


def find_transport(scope: MutableMapping[str, Any]) -> asyncio.Transport | None:
    """None where another server answers, which does not tell."""
    transport: asyncio.Transport | None = scope.get("extensions", {}).get(TRANSPORT)
    return transport


def sending_while_open(
    scope: MutableMapping[str, Any], send: Callable[[_Message], Awaitable[None]]
) -> Callable[[_Message], Awaitable[None]]:
    """Who went away just now is no fault of ours. The protocol drops what is sent after it has heard of that; in the
    moment before, the transport is closed already, and uvloop's raises RuntimeError for it."""
    transport = find_transport(scope)

    async def send_while_open(message: _Message) -> None:
        try:
            await send(message)
        except RuntimeError:
            if transport is None or not transport.is_closing():
                raise

    return send_while_open
