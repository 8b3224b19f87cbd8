"""For who writes programs: where to ask, what to sign, and examples that run as they stand."""

from fastapi import Request, Response

from explorer.site import Site, get_origin


async def show(site: Site, request: Request) -> Response:
    """Raises `MalformedRequest` for a host that is none."""
    origin = get_origin(request)
    info = site.sources.info.describe()
    return await site.show(
        request,
        "developers.html",
        origin=origin,
        socket=origin.replace("http", "ws", 1) + "/ws",
        domain=info["domain"],
        assets=site.tokens.list_all(),
        native=next((asset["address"] for asset in info["assets"] if asset["native"]), ""),
    )
