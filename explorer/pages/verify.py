"""The page on which readers verify what they hold."""

from fastapi import Request, Response

from explorer.etags import has_already
from explorer.site import Site


async def show(site: Site, request: Request) -> Response:
    """`/verify`; the id of a payment may stand behind a #, which stays with the browser."""
    page = site.verify_page
    headers = {"content-security-policy": page.policy, "cache-control": "no-cache", "etag": page.tag}
    if has_already(request, page.tag):
        return Response(status_code=304, headers=headers)
    return Response(page.content, headers=headers, media_type="text/html")
