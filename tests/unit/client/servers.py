"""HTTP servers of a test: they answer what they are told to, and keep what they were asked."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from chain.errors import Refusal
from chain.wire import encode_bytes

Answer = bytes | int | None
"""A body under status 200; a status with no body; None: the connection is closed without a word."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A caller that has gone is part of some tests."""


@contextmanager
def serve(
    answer: Callable[[bytes], Answer], show: Callable[[str], tuple[int, bytes]] = lambda _: (404, b"")
) -> Iterator[str]:
    """The address of a server whose POSTs are answered by `answer`. `show`: path → HTTP status and body, for GETs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            reply = answer(body)
            if reply is None:
                self.close_connection = True
                return
            content = b"" if isinstance(reply, int) else reply
            self.send_response(reply if isinstance(reply, int) else 200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            status, content = show(self.path)
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer_json_rpc(handle: Callable[[str, list[Any]], Any]) -> Callable[[bytes], bytes]:
    """JSON-RPC 2.0 over `handle(method, params)`; what it refuses goes out as the node writes refusals."""

    def answer_one(request: Any) -> dict[str, Any]:
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            return {**reply, "result": handle(request["method"], request["params"])}
        except Refusal as refusal:
            return {**reply, "error": encode_refusal(refusal)}

    def answer(body: bytes) -> bytes:
        form = msgspec.json.decode(body)
        return msgspec.json.encode([answer_one(item) for item in form] if isinstance(form, list) else answer_one(form))

    return answer


def encode_refusal(refusal: Refusal) -> dict[str, Any]:
    values = {}
    for name, value in refusal.values.items():
        head, *rest = name.split("_")
        shown = hex(value) if isinstance(value, int) else encode_bytes(value) if isinstance(value, bytes) else value
        values[head + "".join(word.capitalize() for word in rest)] = shown
    return {
        "code": -32003,
        "message": refusal.message,
        "data": {"code": refusal.code, "message": refusal.message, **values},
    }
