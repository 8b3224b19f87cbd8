"""Who may read the operator's page: whoever has the token, which goes in a header and nowhere else."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

CHALLENGE: Final = 'Basic realm="operator", charset="UTF-8"'
"""What browsers are answered without the token: they ask for a name, which does not matter, and a password."""

_MAX_HEADER_SIZE: Final = 4096


def is_operator(headers: Mapping[str, str], token: str) -> bool:
    """Whether `authorization` brings the token: as the password of HTTP Basic (RFC 7617), or as a Bearer (RFC 6750).
    `headers`: names in lower case, values as Starlette decodes them. How long it takes says nothing of the token."""
    given = _read_secret(headers.get("authorization", ""))
    return given is not None and hmac.compare_digest(_hash(given), _hash(token.encode()))


def _read_secret(authorization: str) -> bytes | None:
    if len(authorization) > _MAX_HEADER_SIZE:
        return None
    scheme, _, credentials = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip(" ").encode()
        case "basic":
            try:
                decoded = base64.b64decode(credentials.strip(" "), validate=True)
            except (binascii.Error, ValueError):  # ValueError: letters beyond ASCII
                return None
            _, separator, password = decoded.partition(b":")
            return password if separator else None
        case _:
            return None


def _hash(secret: bytes) -> bytes:
    """So that not even the length can be told from the time of the comparison."""
    return hashlib.sha256(secret).digest()
