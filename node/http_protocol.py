"""HTTP as the node's server speaks it: uvicorn's protocol, and what ASGI has no words for."""

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

TRANSPORT: Final = "tallystick.transport"
"""Of a scope's `extensions`: the connection's `asyncio.Transport`. It knows how much of what was sent has not been
taken yet, and can be aborted."""


class HttpProtocol(HttpToolsProtocol):
    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, Any] = {TRANSPORT: self.transport}
        self.scope["extensions"] = extensions
