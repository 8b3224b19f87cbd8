"""What a node says of itself at `/health/ready`, as far as commands show it."""

from typing import Final

import msgspec

from client.errors import BadReply

HEALTH_PATH: Final = "/health/ready"


class Check(msgspec.Struct, frozen=True):
    """One thing that the node looks at."""

    state: str
    """A word."""
    is_ok: bool = msgspec.field(name="ok")
    detail: str = ""


class _Report(msgspec.Struct):
    checks: dict[str, Check]


def read_health(body: bytes) -> dict[str, Check]:
    """The checks by name. Raises `BadReply`."""
    try:
        return msgspec.json.decode(body, type=_Report).checks
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise BadReply(f"{HEALTH_PATH} answers with something else than agreed: {error}") from error
