"""From the error of a JSON-RPC reply back to the refusal that it stands for."""

from dataclasses import fields
from typing import Any

from chain import errors
from chain.errors import MalformedRequest, Refusal
from chain.primitives import MAX_U256
from chain.wire import decode_quantity
from client.errors import RefusedByNode, RpcError

BUSY_CODES = frozenset({"rate_limited", "overloaded"})
"""Refusals that say: later."""


def _collect(refusal: type[Refusal]) -> dict[str, type[Refusal]]:
    found: dict[str, type[Refusal]] = {}
    for subclass in refusal.__subclasses__():
        if subclass.__module__ == errors.__name__:
            found[subclass.code] = subclass
        found |= _collect(subclass)
    return found


REFUSALS: dict[str, type[Refusal]] = _collect(Refusal)
"""code → class"""


def read_refusal(error: RpcError) -> Refusal | RpcError:
    """The named refusal in `error`, or `error` itself if it names none.

    A class of `chain.errors` is used when the values are there and fit it; otherwise `RefusedByNode` keeps them as they
    came, because a refusal must not get lost over its explanation.
    """
    data = error.data
    if not isinstance(data, dict) or not isinstance(data.get("code"), str):
        return error
    code = data["code"]
    message = str(data.get("message", error.message))
    values = {name: value for name, value in data.items() if name not in ("code", "message")}
    refusal = REFUSALS.get(code)
    if refusal is not None:
        arguments = _read_values(refusal, message, values)
        if arguments is not None:
            return refusal(**arguments)
    return RefusedByNode(code, message, values)


def _read_values(refusal: type[Refusal], message: str, values: dict[str, Any]) -> dict[str, Any] | None:
    """The fields of the class from JSON; None unless all are there and of their type."""
    arguments: dict[str, Any] = {}
    for field in fields(refusal):
        value = values.get(field.name, values.get(_to_camel_case(field.name)))
        if value is None and field.name == "problem":
            value = message
        try:
            arguments[field.name] = _read_value(field.type, value)
        except (MalformedRequest, ValueError):
            return None
    return arguments


def _read_value(kind: Any, value: Any) -> Any:
    if kind in (int, "int"):
        return decode_quantity(value, "value", MAX_U256)
    if not isinstance(value, str):
        raise ValueError("a value that is no text")
    if kind in (bytes, "bytes"):
        return bytes.fromhex(value.removeprefix("0x"))
    return value


def _to_camel_case(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join([word.capitalize() for word in rest])
