"""The parameters of a call, from their JSON text."""

from typing import Any

import msgspec

from chain.errors import MalformedRequest


def load_params(params: bytes) -> Any:
    """Raises `MalformedRequest`."""
    try:
        return msgspec.json.decode(params)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedRequest(f"params: {error}") from error


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
