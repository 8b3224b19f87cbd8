"""The OpenAPI document (version 3.1), made from the table of endpoints and the types of their answers."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

import msgspec
from fastapi import Request, Response

from explorer.api.forms import Failure
from explorer.site import Site
from node import __version__

Answer: TypeAlias = Callable[[Site, Request], Awaitable[Response]]

_SCHEMAS: Final = "#/components/schemas/"
_ADDRESS: Final = {"type": "string", "pattern": "^0[xX][0-9a-fA-F]{40}$"}
_HASH: Final = {"type": "string", "pattern": "^0[xX][0-9a-fA-F]{64}$"}
_TIME: Final = {"type": "string", "pattern": r"^(\d{4}-\d{2}-\d{2}|\d{1,13})$", "examples": ["2026-01-31"]}


class Parameter(msgspec.Struct, frozen=True):
    name: str
    description: str
    schema: dict[str, Any]
    is_required: bool = False
    """Of a query. Those of a path always are."""


def whole_number(name: str, description: str, low: int, high: int, default: int | None = None) -> Parameter:
    schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    return Parameter(name, description, schema if default is None else {**schema, "default": default})


def text(name: str, description: str, **schema: Any) -> Parameter:
    return Parameter(name, description, {"type": "string", **schema})


def choice(name: str, description: str, options: Iterable[str]) -> Parameter:
    return Parameter(name, description, {"type": "string", "enum": list(options)})


def address(name: str, description: str) -> Parameter:
    return Parameter(name, description, _ADDRESS)


def digest(name: str, description: str) -> Parameter:
    return Parameter(name, description, _HASH)


def time(name: str, description: str) -> Parameter:
    return Parameter(name, description + ": a day of UTC, or Unix seconds; included.", _TIME)


class Endpoint(msgspec.Struct, frozen=True):
    """One path. `answer` raises refusals, which are said with their HTTP status."""

    path: str
    name: str
    """operationId"""
    group: str
    summary: str
    form: type | None
    """What is answered; None for what is no JSON."""
    answer: Answer | None = None
    """None for what another module answers."""
    path_parameters: tuple[Parameter, ...] = ()
    query: tuple[Parameter, ...] = ()
    description: str = ""
    media_type: str = "application/json"
    refusals: tuple[int, ...] = (400, 503)
    """HTTP statuses of what may be refused."""


_REFUSALS: Final = {
    400: "Something in the address is not what this path takes.",
    404: "There is no such thing on the ledger.",
    429: "Too much is being asked at the moment: try again in a moment, as Retry-After says.",
    503: "Too much is being asked at the moment: try again in a moment, as Retry-After says.",
}


def describe(endpoints: tuple[Endpoint, ...], description: str) -> dict[str, Any]:
    forms = [endpoint.form for endpoint in endpoints if endpoint.form is not None]
    references, components = msgspec.json.schema_components([Failure, *forms], ref_template=_SCHEMAS + "{name}")
    schemas = dict(zip(forms, references[1:], strict=True))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallystick",
            "version": __version__,
            "description": description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": group} for group in dict.fromkeys([endpoint.group for endpoint in endpoints])],
        "paths": {
            endpoint.path: {"get": _describe_operation(endpoint, schemas.get(endpoint.form))}  # type: ignore[arg-type]
            for endpoint in endpoints
        },
        "components": {"schemas": components},
    }


def _describe_operation(endpoint: Endpoint, schema: dict[str, Any] | None) -> dict[str, Any]:
    content: dict[str, Any] = {} if schema is None else {"schema": schema}
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "tags": [endpoint.group],
        "summary": endpoint.summary,
        "parameters": [
            *[_describe_parameter(parameter, "path") for parameter in endpoint.path_parameters],
            *[_describe_parameter(parameter, "query") for parameter in endpoint.query],
        ],
        "responses": {
            "200": {"description": "The answer.", "content": {endpoint.media_type: content}},
            **{
                str(status): {
                    "description": _REFUSALS[status],
                    "content": {"application/json": {"schema": {"$ref": _SCHEMAS + "Failure"}}},
                }
                for status in endpoint.refusals
            },
        },
    }
    if endpoint.description:
        operation["description"] = endpoint.description
    return operation


def _describe_parameter(parameter: Parameter, place: str) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": place,
        "required": parameter.is_required or place == "path",
        "description": parameter.description,
        "schema": parameter.schema,
    }
