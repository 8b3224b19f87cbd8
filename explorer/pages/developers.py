"""For who writes programs: where to ask, what to sign, and examples that run as they stand."""

from typing import Any

from fastapi import Request, Response

from explorer.site import Site, get_origin


async def show(site: Site, request: Request) -> Response:
    origin = get_origin(request)
    values: dict[str, Any] = {
        "origin": origin,
        "socket": origin.replace("http", "ws", 1) + "/ws",
        "domain": site.sources.info.describe()["domain"],
        "assets": site.tokens.list_all(),
    }
    return await site.show(request, "developers.html", **values)
