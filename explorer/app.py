"""The node's pages, its health and its metrics, on the node's one port. Reads the index only, never the sequencer."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from node.ethereum.submission import EpochStatus
from node.index import IndexReader
from node.ledger_info import LedgerInfo


class Explorer:
    """An ASGI application."""

    def __init__(
        self,
        index: IndexReader,
        get_epoch: Callable[[int], EpochStatus | None],
        info: LedgerInfo,
        report_health: Callable[[], tuple[bool, dict[str, Any]]],
        render_metrics: Callable[[], bytes],
    ) -> None:
        self._index = index
        self._get_epoch = get_epoch
        self._info = info
        self._app = FastAPI(title="Tallystick", docs_url=None, redoc_url=None, openapi_url=None)

        @self._app.get("/health/live")
        async def live() -> dict[str, str]:
            return {"status": "live"}

        @self._app.get("/health/ready")
        async def ready() -> Response:
            is_ready, report = report_health()
            return JSONResponse(report, 200 if is_ready else 503)

        @self._app.get("/metrics")
        async def metrics() -> Response:
            return Response(render_metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)
