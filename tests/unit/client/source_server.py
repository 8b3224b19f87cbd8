"""Sourcify and Etherscan as their documents describe them, as far as `tally verify-source` goes: one server that checks
what it is sent as strictly as they do, and plays through what they may answer."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

JOB = "9b2ec9ae-2ae4-4a2c-9b2e-0a5f0d6a5f1c"
TICKET = "a7lpxkm9kpcpicx7daftmjifrfhiuhf5vqqnawhkfhzfrcpnxj"
API_KEY = "THEKEYOFTHISTEST"


class SourceServices:
    """`answers`: what to say next, by action: (HTTP status, form). The last of them stays."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, list[tuple[int, Any]]] = {
            "POST sourcify": [(202, {"verificationId": JOB})],
            "GET sourcify": [(200, describe_job(None)), (200, describe_job({"match": "match"}))],
            "verifysourcecode": [(200, {"status": "1", "message": "OK", "result": TICKET})],
            "checkverifystatus": [
                (200, {"status": "0", "message": "NOTOK", "result": "Pending in queue"}),
                (200, {"status": "1", "message": "OK", "result": "Pass - Verified"}),
            ],
        }
        self.requests: list[tuple[str, str, Any]] = []
        """(action, path, body or query)"""

    @property
    def sourcify_url(self) -> str:
        return f"{self.url}/server"

    @property
    def etherscan_url(self) -> str:
        return f"{self.url}/v2/api"

    def find(self, action: str) -> list[Any]:
        return [body for named, _, body in self.requests if named == action]

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path.startswith("/server/v2/verify/"):
            action, sent = f"{method} sourcify", json.loads(body) if body else query
        elif parts.path == "/v2/api":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            sent = {**query, **form}
            action = sent.get("action", "")
            if "chainid" not in query:  # it is not looked for in the body
                return 200, {
                    "status": "0",
                    "message": "NOTOK",
                    "result": "Missing chainid parameter (required for v2 api)",
                }
            if sent.get("apikey") != API_KEY:
                return 200, {"status": "0", "message": "NOTOK", "result": f"Invalid API Key ({sent.get('apikey')})"}
        else:
            return 404, {"customCode": "route_not_found", "message": parts.path, "errorId": "1"}
        self.requests.append((action, parts.path, sent))
        steps = self.answers[action]
        return steps.pop(0) if len(steps) > 1 else steps[0]


def describe_job(contract: dict[str, Any] | None, error: dict[str, Any] | None = None) -> dict[str, Any]:
    """As `GET /v2/verify/{verificationId}` answers; None and no error: it still runs."""
    described: dict[str, Any] = {
        "isJobCompleted": contract is not None or error is not None,
        "verificationId": JOB,
        "jobStartTime": "2026-11-25T10:00:00Z",
        "contract": {"match": None, "creationMatch": None, "runtimeMatch": None, **(contract or {})},
    }
    return described if error is None else {**described, "error": error}


@contextmanager
def serve_sources() -> Iterator[SourceServices]:
    services = SourceServices()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("content-length", 0))))

        def do_GET(self) -> None:
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            status, form = services.answer(self.command, self.path, body)
            content = form if isinstance(form, bytes) else json.dumps(form).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    services.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield services
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
