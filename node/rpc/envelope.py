"""The envelope of JSON-RPC 2.0: calls, batches, notifications, and errors with their numbers."""

from typing import Any, Final, TypeAlias

import msgspec

MAX_BATCH: Final = 1000
"""Calls of one batch."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
NOT_FOUND: Final = -32001
REFUSED: Final = -32003
LIMIT_EXCEEDED: Final = -32005
"""Numbers of EIP-1474 where it has one."""

_NUMBERS: Final = {
    "malformed_request": INVALID_PARAMS,
    "malformed_payment": INVALID_PARAMS,
    "malformed_instruction": INVALID_PARAMS,
    "not_found": NOT_FOUND,
    "rate_limited": LIMIT_EXCEEDED,
    "overloaded": LIMIT_EXCEEDED,
    "too_many_subscriptions": LIMIT_EXCEEDED,
    "subscription_lagged": LIMIT_EXCEEDED,
}

NULL: Final = msgspec.Raw(b"null")
_NO_PARAMS: Final = msgspec.Raw(b"[]")


class Call(msgspec.Struct, gc=False):
    jsonrpc: str
    method: str
    params: msgspec.Raw = _NO_PARAMS
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_notification(self) -> bool:
        return self.id is msgspec.UNSET


class InvalidCall(msgspec.Struct):
    """What should have been a call, and what to answer."""

    problem: str
    id: msgspec.Raw = NULL


class Reply(msgspec.Struct, omit_defaults=True):
    """A result or an error, never both."""

    jsonrpc: str
    id: msgspec.Raw
    result: Any = msgspec.UNSET
    error: Any = msgspec.UNSET


Item: TypeAlias = Call | InvalidCall

_calls_decoder: Final = msgspec.json.Decoder(list[Call])
_raws_decoder: Final = msgspec.json.Decoder(list[msgspec.Raw])
_call_decoder: Final = msgspec.json.Decoder(Call)
_encoder: Final = msgspec.json.Encoder()


class EnvelopeError(Exception):
    """The whole body is answered with one error that has no id."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def decode_body(body: bytes) -> tuple[bool, list[Item]]:
    """Whether the body is a batch, and its calls.

    Raises `EnvelopeError`: not JSON in UTF-8, an empty batch, a batch of more than 1,000.
    """
    try:
        body.decode()  # what is passed on and echoed as it came must be text, too
        if body.lstrip()[:1] != b"[":
            return False, [_decode_call(body)]
        return True, _decode_calls(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EnvelopeError(PARSE_ERROR, f"not JSON: {error}") from error


def encode_result(call_id: msgspec.Raw, result: Any) -> bytes:
    return _encoder.encode(Reply("2.0", call_id, result=result))


def encode_error(call_id: msgspec.Raw, number: int, message: str, data: Any = msgspec.UNSET) -> bytes:
    error = {"code": number, "message": message}
    if data is not msgspec.UNSET:
        error["data"] = data
    return _encoder.encode(Reply("2.0", call_id, error=error))


def encode_refusal(call_id: msgspec.Raw, code: str, message: str, values: dict[str, Any]) -> bytes:
    return _encoder.encode(Reply("2.0", call_id, error=describe_refusal(code, message, values)))


def describe_refusal(code: str, message: str, values: dict[str, Any]) -> dict[str, Any]:
    """A refusal by its name, as an error object: `data` is {code, message, …values}."""
    return {"code": get_number(code), "message": message, "data": {**values, "code": code, "message": message}}


def get_number(code: str) -> int:
    """The JSON-RPC number of a refusal."""
    return _NUMBERS.get(code, REFUSED)


def _decode_calls(body: bytes) -> list[Item]:
    try:
        calls = _calls_decoder.decode(body)
        _check_count(len(calls))
        return [_check_call(call) for call in calls]
    except msgspec.ValidationError:  # some are no calls: take them one by one
        raws = _raws_decoder.decode(body)
        _check_count(len(raws))
        return [_decode_call(raw) for raw in raws]


def _check_count(count: int) -> None:
    """Before any item is looked into: there may be millions."""
    if not count:
        raise EnvelopeError(INVALID_REQUEST, "an empty batch")
    if count > MAX_BATCH:
        raise EnvelopeError(INVALID_REQUEST, f"a batch of {count} calls, at most {MAX_BATCH} are allowed")


def _decode_call(data: bytes | msgspec.Raw) -> Item:
    """Raises `msgspec.DecodeError` for what is not JSON."""
    try:
        return _check_call(_call_decoder.decode(data))
    except msgspec.ValidationError as error:
        return InvalidCall(f"not a JSON-RPC 2.0 call: {error}", _salvage_id(data))


def _check_call(call: Call) -> Item:
    call_id = NULL if isinstance(call.id, msgspec.UnsetType) else call.id
    if bytes(call_id)[:1] not in b'"-0123456789n':
        return InvalidCall("an id is a string, a number or null")
    if call.jsonrpc != "2.0":
        return InvalidCall('jsonrpc must be "2.0"', call_id)
    if bytes(call.params)[:1] not in (b"[", b"{"):
        return InvalidCall("params are a list or an object", call_id)
    return call


def _salvage_id(data: bytes | msgspec.Raw) -> msgspec.Raw:
    """The id of a broken call, if it has a proper one: the sender can then tell which of theirs it was."""
    try:
        form = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return NULL
    call_id = form.get("id") if isinstance(form, dict) else None
    is_proper = isinstance(call_id, str | int | float) and not isinstance(call_id, bool)
    return msgspec.Raw(msgspec.json.encode(call_id)) if is_proper else NULL
