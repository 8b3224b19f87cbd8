"""The parameters of a call, from their JSON text."""

from typing import Any, Final

import msgspec

from chain import wire
from chain.errors import MalformedRequest
from chain.primitives import Address

MAX_PAGE: Final = 1000
MAX_COMMITMENTS: Final = 100
"""Of a page: one has a line for each asset, and every attempt to send it."""
_DEFAULT_PAGE: Final = 50


def load_params(params: bytes) -> Any:
    """Raises `MalformedRequest`, also for half a surrogate pair, which JSON can write down and nothing else can."""
    try:
        values = msgspec.json.decode(params)
        if b"\\u" in params:
            msgspec.json.encode(values)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise MalformedRequest(f"params: {error}") from error
    return values


def take_params(params: bytes, *names: str, optional: int = 0) -> list[Any]:
    """The parameters in the order of `names`, by position or by name; the last `optional` ones may be missing and are
    then None. Raises `MalformedRequest` for missing, surplus or unknown ones."""
    values = load_params(params)
    if isinstance(values, dict):
        if not set(names).issuperset(values):
            raise MalformedRequest("params: unknown " + " ".join(sorted(set(values) - set(names))))
        required = names[: len(names) - optional]
        missing = [name for name in required if name not in values]
        if missing:
            raise MalformedRequest("params: missing " + " ".join(missing))
        return [values.get(name) for name in names]
    if not len(names) - optional <= len(values) <= len(names):
        raise MalformedRequest(f"params: {len(values)} given, wanted are: {' '.join(names) or 'none'}")
    return [*values, *[None] * (len(names) - len(values))]


def load_filter(params: bytes, known: set[str]) -> dict[str, Any]:
    """The one optional parameter of a list: what is to be in it. As `[filter]` or by itself. Raises `MalformedRequest`
    for a key that is not known."""
    (filters,) = take_params(params, "filter", optional=1) if params.strip()[:1] == b"[" else (load_params(params),)
    filters = {} if filters is None else filters
    if not isinstance(filters, dict) or not known.issuperset(filters):
        raise MalformedRequest("the filter is an object with keys out of: " + " ".join(sorted(known)))
    return filters


def decode_cursor(value: Any) -> str | None:
    """Raises `MalformedRequest` for what is no text of at most 64 characters."""
    if value is None or (isinstance(value, str) and len(value) <= 64):
        return value
    raise MalformedRequest("cursor: take it from the page before")


def take_limit(filters: dict[str, Any], most: int = MAX_PAGE) -> int:
    """How many items a page has. Raises `MalformedRequest`."""
    limit = filters.get("limit")
    return _DEFAULT_PAGE if limit is None else wire.decode_quantity(limit, "limit", most)


def take_address(filters: dict[str, Any], name: str) -> Address | None:
    """Raises `MalformedRequest`."""
    value = filters.get(name)
    return None if value is None else wire.decode_address(value, name)
