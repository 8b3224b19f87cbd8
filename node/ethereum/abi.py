"""Calls, results, events and errors of a contract, by its ABI (Solidity's contract ABI specification).

Values are what `eth_abi` makes of them, but addresses are 20 bytes in both directions. Decoding is strict: what was
decoded must encode to the same bytes again.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import msgspec
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError

from chain.encoding import encode_u256
from chain.hashing import keccak
from chain.primitives import Hash
from contracts import load_artifact
from node.ethereum.faults import ContractError, EthereumFault

_ARRAY_SUFFIX: Final = re.compile(r"\[\d*\]$")
_ERROR_STRING: Final = keccak(b"Error(string)")[:4]
_PANIC: Final = keccak(b"Panic(uint256)")[:4]
_MAX_TEXT: Final = 200
"""Characters of one argument of an error. It is shown and logged, and who answers may make it as long as it likes."""


class _Parameter(msgspec.Struct, frozen=True):
    name: str
    type: str
    """Canonical: structs spelled out as tuples."""
    is_indexed: bool


class _Item(msgspec.Struct, frozen=True):
    name: str
    id: bytes
    """keccak of the signature: its first 4 bytes select a function or an error, all 32 are an event's topic."""
    inputs: tuple[_Parameter, ...]
    outputs: tuple[_Parameter, ...]


class ContractAbi:
    def __init__(self, entries: Sequence[dict[str, Any]]) -> None:
        self._functions = {item.name: item for item in _read_items(entries, "function")}
        self._events = {item.name: item for item in _read_items(entries, "event")}
        self._errors = {item.id[:4]: item for item in _read_items(entries, "error")}
        self._constructor = [
            parameter.type
            for entry in entries
            if entry["type"] == "constructor"
            for parameter in _read_parameters(entry["inputs"])
        ]

    def encode_constructor(self, *arguments: Any) -> bytes:
        """What follows the bytecode in the creating transaction."""
        return encode(self._constructor, arguments)

    def encode_call(self, function: str, *arguments: Any) -> bytes:
        item = self._functions[function]
        return item.id[:4] + encode([parameter.type for parameter in item.inputs], arguments)

    def decode_result(self, function: str, data: bytes) -> tuple[Any, ...]:
        """Raises `EthereumFault` for bytes that no such function returns."""
        return _decode([parameter.type for parameter in self._functions[function].outputs], data, function)

    def get_topic(self, event: str) -> Hash:
        return self._events[event].id

    def decode_event(self, event: str, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
        """Argument name → value. Indexed arguments must be of value types. Raises `EthereumFault`."""
        item = self._events[event]
        indexed = [parameter for parameter in item.inputs if parameter.is_indexed]
        if len(topics) != 1 + len(indexed) or topics[0] != item.id:
            raise EthereumFault(f"a log that is not {event}")
        values = {
            parameter.name: _decode([parameter.type], topic, event)[0]
            for parameter, topic in zip(indexed, topics[1:], strict=True)
        }
        others = [parameter for parameter in item.inputs if not parameter.is_indexed]
        decoded = _decode([parameter.type for parameter in others], data, event)
        values.update(zip([parameter.name for parameter in others], decoded, strict=True))
        return values

    def decode_error(self, data: bytes) -> ContractError:
        """Whatever it is: bytes that no error of this contract has come back as `unknown`."""
        selector, body = data[:4], data[4:]
        try:
            if selector == _ERROR_STRING:
                return ContractError("Error", (("message", _to_text(_decode(["string"], body, "Error")[0])),))
            if selector == _PANIC:
                return ContractError("Panic", (("code", str(_decode(["uint256"], body, "Panic")[0])),))
            item = self._errors.get(selector)
            if item is not None:
                values = _decode([parameter.type for parameter in item.inputs], body, item.name)
                names = [parameter.name for parameter in item.inputs]
                return ContractError(
                    item.name, tuple([(name, _to_text(value)) for name, value in zip(names, values, strict=True)])
                )
        except EthereumFault:
            pass  # unknown, then
        return ContractError("unknown", (("data", _to_text(data)),) if data else ())


@cache
def load_abi(contract: str) -> ContractAbi:
    """Of a committed artifact, `Settlement` say."""
    return ContractAbi(load_artifact(contract).abi)


def encode_topic(value: int | bytes) -> str:
    """An integer or an address as the 32-byte word that an indexed argument is."""
    return "0x" + (encode_u256(value) if isinstance(value, int) else value.rjust(32, b"\x00")).hex()


def _read_items(entries: Sequence[dict[str, Any]], kind: str) -> list[_Item]:
    items = []
    for entry in entries:
        if entry["type"] == kind:
            inputs = _read_parameters(entry["inputs"])
            signature = f"{entry['name']}({','.join(parameter.type for parameter in inputs)})"
            items.append(
                _Item(entry["name"], keccak(signature.encode()), inputs, _read_parameters(entry.get("outputs", [])))
            )
    return items


def _read_parameters(forms: Sequence[dict[str, Any]]) -> tuple[_Parameter, ...]:
    return tuple([_Parameter(form["name"], _spell_type(form), form.get("indexed", False)) for form in forms])


def _spell_type(form: dict[str, Any]) -> str:
    declared: str = form["type"]
    if not declared.startswith("tuple"):
        return declared
    return f"({','.join(_spell_type(component) for component in form['components'])}){declared.removeprefix('tuple')}"


def _decode(types: Sequence[str], data: bytes, what: str) -> tuple[Any, ...]:
    try:
        values = decode(types, data)
        is_canonical = encode(types, values) == data
    except (
        DecodingError,
        EncodingError,
        UnicodeDecodeError,
        OverflowError,
    ) as error:  # the last: a length, or an offset
        raise EthereumFault(f"{what}: malformed ABI data: {error}") from error
    if not is_canonical:
        raise EthereumFault(f"{what}: ABI data that is not canonical")
    return tuple([_convert_addresses(kind, value) for kind, value in zip(types, values, strict=True)])


def _convert_addresses(kind: str, value: Any) -> Any:
    """eth_abi gives addresses as hex."""
    if kind == "address":
        return bytes.fromhex(value[2:])
    if _ARRAY_SUFFIX.search(kind):
        element = _ARRAY_SUFFIX.sub("", kind)
        return tuple([_convert_addresses(element, item) for item in value])
    if kind.startswith("("):
        return tuple(
            [_convert_addresses(member, item) for member, item in zip(_split_members(kind[1:-1]), value, strict=True)]
        )
    return value


@cache
def _split_members(body: str) -> tuple[str, ...]:
    """The top-level members of a tuple type, which may hold tuples itself."""
    members, depth, start = [], 0, 0
    for position, character in enumerate(body):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            members.append(body[start:position])
            start = position + 1
    members.append(body[start:])
    return tuple(members)


def _to_text(value: Any) -> str:
    return ("0x" + value[:_MAX_TEXT].hex() if isinstance(value, bytes) else str(value))[:_MAX_TEXT]
