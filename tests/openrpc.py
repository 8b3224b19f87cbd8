"""Holds OpenRPC documents against the specification's own schema, and answers against a document."""

import json
from typing import Any

from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from tests.conftest import NODE_MODULES

DOCUMENT = "urn:document"


def read_schema(package: str) -> Any:
    """The one JSON value that the package's module exports."""
    lines = (NODE_MODULES / package / "index.js").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("exports.") and " = {" in line]
    return json.loads(line.partition(" = ")[2].rstrip(";"))


def check_document(document: Any) -> None:
    """Raises `ValidationError` for what is no OpenRPC document."""
    schema, schema_of_schemas = read_schema("@open-rpc/meta-schema"), read_schema("@json-schema-tools/meta-schema")
    resource = Resource.from_contents(schema_of_schemas, default_specification=DRAFT7)
    names = ("https://meta.json-schema.tools", "https://meta.json-schema.tools/")
    registry: Any = Registry().with_resources([(name, resource) for name in names])
    Draft7Validator(schema, registry=registry).validate(document)


class Interface:
    """What a document says of each method."""

    def __init__(self, document: Any) -> None:
        self.methods: dict[str, Any] = {method["name"]: method for method in document["methods"]}
        resource = Resource.from_contents(document, default_specification=DRAFT7)
        self._registry: Any = Registry().with_resource(DOCUMENT, resource)

    def check_result(self, method: str, result: Any) -> None:
        """Raises `ValidationError`."""
        self.check(self.methods[method]["result"]["schema"], result)

    def check_params(self, method: str, params: list[Any]) -> None:
        """Raises `ValidationError`."""
        wanted = self.methods[method]["params"]
        assert len([each for each in wanted if each["required"]]) <= len(params) <= len(wanted), method
        for each, value in zip(wanted, params, strict=False):
            self.check(each["schema"], value)

    def check_form(self, name: str, value: Any) -> None:
        """Against one of the document's schemas. Raises `ValidationError`."""
        self.check({"$ref": f"#/components/schemas/{name}"}, value)

    def check(self, schema: Any, value: Any) -> None:
        Draft7Validator(_anchor(schema), registry=self._registry).validate(value)


def _anchor(schema: Any) -> Any:
    """With its references to the document made whole."""
    if isinstance(schema, dict):
        return {
            name: DOCUMENT + value if name == "$ref" and value.startswith("#") else _anchor(value)
            for name, value in schema.items()
        }
    return [_anchor(each) for each in schema] if isinstance(schema, list) else schema
