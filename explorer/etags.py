"""Entity tags (RFC 9110, section 8.8.3): what a reader has already is not sent again."""

import hashlib
import re
from typing import Final

from starlette.requests import Request

_TAG: Final = re.compile(r'\s*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')


def make_etag(body: bytes) -> str:
    """A strong one: the same for the same bytes alone."""
    return f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'


def has_already(request: Request, etag: str) -> bool:
    """Whether `If-None-Match` names it: by weak comparison (what a proxy has packed is marked as weak), in a list, or
    by `*`. A field that is none of these names nothing."""
    text = ",".join(request.headers.getlist("if-none-match")).strip()
    if text == "*":
        return True
    place = 0
    while match := _TAG.match(text, place):
        if match[1] == etag:
            return True
        place = match.end()
    return False
