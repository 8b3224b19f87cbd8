"""Parameters in, JSON out: what every call of the interface does alike.

An answer that can never change has an ETag and is kept; any other is not kept at all. Scripts of any page may read it
(CORS): nothing here is private, and nothing can be changed.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chain.errors import MalformedRequest, NotFound, Refusal
from explorer.etags import has_already, make_etag
from explorer.headers import LIVE
from node.refusals import Overloaded

METHODS: Final = ["GET", "HEAD", "OPTIONS"]

RETRY_SECONDS: Final = 1

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

_JSON: Final = "application/json"
_CORS: Final = {"access-control-allow-origin": "*"}
_PREFLIGHT: Final = _CORS | {
    "access-control-allow-methods": "GET, HEAD, OPTIONS",
    "access-control-allow-headers": "*",
    "access-control-max-age": "86400",
}


def read_parameters(request: Request, known: Collection[str]) -> dict[str, str]:
    """By name, trimmed; what is empty counts as absent. Raises `MalformedRequest` for a parameter that is not known, or
    that is given twice: it would be answered as if it were not there."""
    return dict(read_pairs(request, known))


def read_pairs(request: Request, known: Collection[str], repeated: Collection[str] = ()) -> list[tuple[str, str]]:
    """As `read_parameters`, where some may be given more than once."""
    pairs: list[tuple[str, str]] = []
    seen: set[str] = set()
    for name, text in request.query_params.multi_items():
        if name not in known:
            raise MalformedRequest(f"{name[:40]}: no such parameter here; known are: {' '.join(known) or 'none'}")
        if name in seen and name not in repeated:
            raise MalformedRequest(f"{name}: given twice")
        seen.add(name)
        pairs.append((name, text.strip()))
    return [(name, text) for name, text in pairs if text]


def take_number(parameters: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """Raises `MalformedRequest` for what is no decimal number in these bounds, both included."""
    text = parameters.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
        raise MalformedRequest(f"{name}: a number from {low} to {high}")
    return int(text)


def say(body: bytes, request: Request, kept: str = LIVE) -> Response:
    """`body`: JSON. `kept`: `cache-control`; what is kept at all has an ETag, and is not sent to who has it already."""
    headers = _CORS | {"cache-control": kept}
    if kept == LIVE:
        return Response(body, media_type=_JSON, headers=headers)
    headers["etag"] = make_etag(body)
    if has_already(request, headers["etag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=_JSON, headers=headers)


def say_refusal(refusal: Refusal) -> Response:
    return say_error(get_status(refusal), refusal.code, refusal.message)


def say_error(status: int, code: str, message: str) -> Response:
    return say_as(status, {"error": {"code": code, "message": message}})


def say_as(status: int, form: Any) -> Response:
    """With any HTTP status; not to be kept."""
    headers = dict(_CORS)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["retry-after"] = str(RETRY_SECONDS)
    return Response(msgspec.json.encode(form), status, media_type=_JSON, headers=headers)


def get_status(refusal: Refusal) -> int:
    if isinstance(refusal, NotFound):
        return HTTPStatus.NOT_FOUND
    return HTTPStatus.SERVICE_UNAVAILABLE if isinstance(refusal, Overloaded) else HTTPStatus.BAD_REQUEST


def answering(handler: Handler, say_no: Callable[[Refusal], Response] = say_refusal) -> Handler:
    """The handler with its refusals said as answers. Anything else that it raises is a fault of ours and goes on to the
    server, which logs it."""

    async def answer(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        try:
            return await handler(request)
        except Refusal as refusal:
            return say_no(refusal)

    return answer
