"""The node's pages and what machines read beside JSON-RPC, on the node's one port. Reads; never asks the sequencer."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, TypeAlias

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from chain.errors import NotFound, Refusal
from explorer import exports
from explorer.api import etherscan, rest
from explorer.events import Events
from explorer.headers import IMMUTABLE, with_security_headers
from explorer.pages import (
    accounts,
    blocks,
    charts,
    developers,
    epochs,
    files,
    home,
    instructions,
    operator,
    participants,
    payments,
    records,
    reserves,
    search,
    statements,
    verify,
)
from explorer.site import Site, get_path
from explorer.sources import Sources
from explorer.static_files import PREFIX
from node.http_protocol import sending_while_open
from node.refusals import Overloaded

_READ_METHODS: Final = ["GET", "HEAD"]

_Show: TypeAlias = Callable[[Site, Request], Awaitable[Response]]

_PAGES: Final[dict[str, _Show]] = {
    "/": home.show,
    "/payments": payments.show,
    "/tx/{id}": records.show,
    "/tx/{id}/receipt": records.show_receipt,
    "/address/{address}": accounts.show,
    "/address/{address}/deposits": accounts.show_deposits,
    "/address/{address}/files": accounts.show_files,
    "/address/{address}/uploads": accounts.show_uploads,
    "/address/{address}/purchases": accounts.show_purchases,
    "/address/{address}/sales": accounts.show_sales,
    "/address/{address}/earnings": accounts.show_earnings,
    "/address/{address}/owners": accounts.show_owners,
    "/address/{address}/instructions": accounts.show_instructions,
    "/address/{address}/statement": statements.show,
    "/address/{address}/proof": accounts.show_proof,
    "/files": files.show_list,
    "/file/{id}": files.show,
    "/instructions": instructions.show_list,
    "/instruction/{id}": instructions.show,
    "/participants": participants.show,
    "/blocks": blocks.show_list,
    "/block/{block}": blocks.show,
    "/epochs": epochs.show_list,
    "/epoch/{epoch}": epochs.show,
    "/token/{asset}": payments.show_token,
    "/charts": charts.show,
    "/reserves": reserves.show,
    "/operator": operator.show,
    "/search": search.show,
    "/verify": verify.show,
    "/developers": developers.show,
}

_ADVICE: Final = {
    400: "Something in the address is not what this page takes.",
    401: "This page is the operator's. It opens with the token of the node's configuration, given as the password.",
    404: "There is nothing at this address. A payment, an instruction or a file is found by its id, an account by its "
    "address, a block by its number or hash: the search field above takes them all.",
    405: "Pages are only read. JSON-RPC is spoken by POST to / or /rpc.",
    500: "The page could not be made. The ledger itself is not touched by that; the node's log says what happened.",
    503: "Too many pages are being read at the moment. Payments go before pages: please try again in a moment.",
}

_HEALTH, _API = "/health", "/api"
"""Below these, errors are JSON."""


class Explorer:
    """An ASGI application."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._site = Site(sources)
        self._events = Events(sources, self._site.stopping)
        self._static = {file.path: file for file in self._site.pages.static.values()}
        self._answer = with_security_headers(self._route())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope, receive, sending_while_open(scope, send))

    def stop(self) -> None:
        """Ends what goes on for long: streams of events, in order; files, broken off."""
        self._site.stopping.set()

    def close(self) -> None:
        """No page may be asked for any more. Waits for those being made; the index is free to close then."""
        self._sources.readers.close()

    def _route(self) -> FastAPI:
        app = FastAPI(title="Tallystick", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
        for path, show in _PAGES.items():
            app.add_api_route(path, self._bind(show), methods=_READ_METHODS)
        app.add_api_route("/api/v1/events", self._events.answer, methods=_READ_METHODS)
        for part in (rest, etherscan, exports):
            app.include_router(part.make_router(self._site))
        app.add_api_route(PREFIX + "{rest:path}", self._give_static, methods=_READ_METHODS)
        app.add_api_route("/health/live", self._say_live, methods=_READ_METHODS)
        app.add_api_route("/health/ready", self._say_ready, methods=_READ_METHODS)
        app.add_api_route("/metrics", self._give_metrics, methods=_READ_METHODS)
        app.add_exception_handler(Refusal, self._say_refusal)
        app.add_exception_handler(HTTPException, self._say_error)
        # Only says so to the reader: the exception goes on to the server, which logs it.
        app.add_exception_handler(Exception, self._say_error)
        return app

    def _bind(self, show: _Show) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            request.state.head = self._site.get_head()
            return await show(self._site, request)

        return answer

    async def _give_static(self, request: Request) -> Response:
        file = self._static.get(get_path(request))
        if file is None:
            raise HTTPException(404)
        return Response(file.content, media_type=file.media_type, headers={"cache-control": IMMUTABLE})

    # --- for machines

    async def _say_live(self) -> dict[str, str]:
        return {"status": "live"}

    async def _say_ready(self) -> Response:
        is_ready, report = self._sources.report_health()
        return JSONResponse(report, 200 if is_ready else 503)

    async def _give_metrics(self) -> Response:
        return Response(self._sources.render_metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    # --- when it does not work

    async def _say_refusal(self, request: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refusal)
        if isinstance(refusal, Overloaded):
            return self._answer_error(request, 503, refusal.code, str(refusal), {"retry-after": "1"})
        status = 404 if isinstance(refusal, NotFound) else 400
        return self._answer_error(request, status, refusal.code, str(refusal))

    async def _say_error(self, request: Request, error: Exception) -> Response:
        status, headers = 500, None
        if isinstance(error, HTTPException):
            status, headers = error.status_code, error.headers
        return self._answer_error(request, status, "", "", headers)

    def _answer_error(
        self, request: Request, status: int, code: str, reason: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        """A page for people, JSON where machines ask. `code`, `reason`: of a refusal."""
        phrase = HTTPStatus(status).phrase
        if get_path(request).startswith(_HEALTH):
            return JSONResponse({"status": status, "detail": phrase}, status, headers)
        if get_path(request).startswith(_API):
            error = {"code": code or phrase.lower().replace(" ", "_"), "message": reason or phrase}
            return JSONResponse({"error": error}, status, headers)
        page = self._site.pages.render(
            "error.html", status=status, phrase=phrase, reason=reason, advice=_ADVICE.get(status, "")
        )
        return HTMLResponse(page, status, headers)
