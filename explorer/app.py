"""The node's pages, its health and its metrics, on the node's one port. Reads the index only, never the sequencer."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, Final, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from chain.primitives import ETHER
from explorer.formatting import describe_token
from explorer.headers import IMMUTABLE, with_security_headers
from explorer.home import HomeFacts, list_epoch_lines, list_payment_lines, read_home
from explorer.ledger import read_ledger
from explorer.rendering import Pages
from explorer.static_files import PREFIX
from node.ethereum.submission import EpochStatus
from node.index import IndexReader
from node.ledger_info import ETHER_INFO, AssetInfo, LedgerInfo

_THREADS: Final = 2
"""Pages are made beside the event loop, which payments need, and each thread keeps a connection to the index."""

_MAX_WAITING: Final = 64
"""Pages being made or waiting for it; beyond, readers are asked to come back."""

_UNKNOWN: Final = AssetInfo(symbol=None, decimals=None)

_READ_METHODS: Final = ["GET", "HEAD"]

_ADVICE: Final = {
    404: "There is nothing at this address. So far, all that the explorer shows is on the front page; "
    "a payment is found by its id with the JSON-RPC method tally_getReceipt.",
    405: "Pages are only read. JSON-RPC is spoken by POST to / or /rpc.",
    500: "The page could not be made. The ledger itself is not touched by that; the node's log says what happened.",
    503: "Too many pages are being read at the moment. Payments go before pages: please try again in a moment.",
}

_Answer = TypeVar("_Answer")


class Explorer:
    """An ASGI application."""

    def __init__(
        self,
        index: IndexReader,
        get_epoch: Callable[[int], EpochStatus | None],
        get_due_at: Callable[[], int],
        info: LedgerInfo,
        report_health: Callable[[], tuple[bool, dict[str, Any]]],
        render_metrics: Callable[[], bytes],
        clock_ms: Callable[[], int],
    ) -> None:
        """`get_due_at`: milliseconds since 1970, when the open epoch will be cut if anything is in it. All but `index`
        are asked in the event loop only."""
        self._index = index
        self._get_epoch = get_epoch
        self._get_due_at = get_due_at
        self._info = info
        self._report_health = report_health
        self._render_metrics = render_metrics
        self._clock_ms = clock_ms
        self._pages = Pages()
        self._static = {file.path: file for file in self._pages.static.values()}
        self._threads = ThreadPoolExecutor(_THREADS, "explorer")
        self._waiting = 0
        self._answer = with_security_headers(self._route())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope, receive, send)

    def close(self) -> None:
        """No page may be asked for any more. Waits for those being made; the index is free to close then."""
        self._threads.shutdown()

    def _route(self) -> FastAPI:
        app = FastAPI(title="Tallystick", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
        app.add_api_route("/", self._show_home, methods=_READ_METHODS)
        app.add_api_route(PREFIX + "{rest:path}", self._give_static, methods=_READ_METHODS)
        app.add_api_route("/health/live", self._say_live, methods=_READ_METHODS)
        app.add_api_route("/health/ready", self._say_ready, methods=_READ_METHODS)
        app.add_api_route("/metrics", self._give_metrics, methods=_READ_METHODS)
        app.add_exception_handler(HTTPException, self._say_error)
        # Only says so to the reader: the exception goes on to the server, which logs it.
        app.add_exception_handler(Exception, self._say_error)
        return app

    # --- pages

    async def _show_home(self) -> Response:
        facts = await self._work(lambda: read_home(self._index))
        statuses = {epoch: self._get_epoch(epoch) for epoch in facts.epochs}
        values = self._describe_ledger() | self._describe_assets(facts) | {
            "facts": facts,
            "payments": list_payment_lines(facts, statuses),
            "epochs": list_epoch_lines(facts, statuses),
            "due_at": self._get_due_at(),
        }  # fmt: skip
        return HTMLResponse(await self._work(lambda: self._pages.render("home.html", **values)))

    def _describe_ledger(self) -> dict[str, Any]:
        """What is on every page."""
        _, health = self._report_health()
        return {"now": self._clock_ms(), "health": health, "ledger": read_ledger(self._info.describe())}

    def _describe_assets(self, facts: HomeFacts) -> dict[str, Any]:
        """The index may know of an asset that Ethereum has not been asked about yet."""
        listed = self._info.assets
        addresses = {*listed, *[line.asset for line in facts.counters.assets], *[pay.asset for pay in facts.payments]}
        tokens = {address: describe_token(address, listed.get(address, _UNKNOWN)) for address in addresses}
        return {"tokens": tokens, "ether": describe_token(ETHER, ETHER_INFO)}

    async def _give_static(self, request: Request) -> Response:
        file = self._static.get(request.url.path)
        if file is None:
            raise HTTPException(404)
        return Response(file.content, media_type=file.media_type, headers={"cache-control": IMMUTABLE})

    # --- for machines

    async def _say_live(self) -> dict[str, str]:
        return {"status": "live"}

    async def _say_ready(self) -> Response:
        is_ready, report = self._report_health()
        return JSONResponse(report, 200 if is_ready else 503)

    async def _give_metrics(self) -> Response:
        return Response(self._render_metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    # --- when it does not work

    async def _say_error(self, request: Request, error: Exception) -> Response:
        """A page for people; JSON below /health, which machines ask for."""
        status, headers = 500, None
        if isinstance(error, HTTPException):
            status, headers = error.status_code, error.headers
        phrase = HTTPStatus(status).phrase
        if request.url.path.startswith("/health"):
            return JSONResponse({"status": status, "detail": phrase}, status, headers)
        page = self._pages.render("error.html", status=status, phrase=phrase, advice=_ADVICE.get(status, ""))
        return HTMLResponse(page, status, headers)

    # --- threads

    async def _work(self, question: Callable[[], _Answer]) -> _Answer:
        """Raises `HTTPException` (503) when too much is waiting already."""
        if self._waiting >= _MAX_WAITING:
            raise HTTPException(503, headers={"retry-after": "1"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, question)
        finally:
            self._waiting -= 1
