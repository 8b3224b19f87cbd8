"""A refusal comes back as the class that it left as."""

from dataclasses import fields

import pytest

from chain import errors
from chain.errors import InsufficientBalance, NonceUsed, Refusal
from client.errors import RefusedByNode, RpcError
from client.refusals import REFUSALS, read_refusal
from tests.unit.client.servers import encode_refusal

SAMPLES = {int: 7, "int": 7, bytes: b"\x07" * 20, "bytes": b"\x07" * 20, str: "text", "str": "text"}


def read(form: dict[str, object]) -> Refusal | RpcError:
    return read_refusal(RpcError(form["code"], form["message"], form["data"]))  # type: ignore[arg-type]


def test_every_class_of_the_rules_is_known_by_its_code() -> None:
    named = {item.code: item for item in vars(errors).values() if isinstance(item, type) and hasattr(item, "code")}
    assert named == REFUSALS


@pytest.mark.parametrize("kind", REFUSALS.values(), ids=REFUSALS)
def test_each_refusal_survives_its_way_through_json(kind: type[Refusal]) -> None:
    refusal = kind(**{field.name: SAMPLES[field.type] for field in fields(kind)})  # type: ignore[index]
    received = read(encode_refusal(refusal))
    assert type(received) is kind
    assert isinstance(received, Refusal)
    assert (received.values, received.message) == (refusal.values, refusal.message)


def test_names_of_values_may_be_in_either_case() -> None:
    for name in ("nextNonce", "next_nonce"):
        data = {"code": "nonce_used", "message": "used", "nonce": "0x3", name: "7"}
        received = read_refusal(RpcError(-32003, "used", data))
        assert isinstance(received, NonceUsed)
        assert (received.nonce, received.next_nonce) == (3, 7)


def test_an_unknown_code_keeps_everything() -> None:
    data = {"code": "overloaded", "message": "later", "backlog": "0x7"}
    received = read_refusal(RpcError(-32005, "later", data))
    assert isinstance(received, RefusedByNode)
    assert isinstance(received, Refusal)
    assert (received.code, received.message, received.values) == ("overloaded", "later", {"backlog": "0x7"})
    assert str(received) == "later"


@pytest.mark.parametrize("values", [{}, {"balance": "0x1"}, {"asset": 1, "balance": "0x1", "needed": "0x2"}])
def test_a_known_code_with_other_values_is_still_a_refusal(values: dict[str, object]) -> None:
    data = {"code": InsufficientBalance.code, "message": "poor", **values}
    received = read_refusal(RpcError(-32003, "poor", data))
    assert isinstance(received, RefusedByNode)
    assert received.code == "insufficient_balance"


@pytest.mark.parametrize("data", [None, "text", [], {}, {"code": 7}])
def test_an_error_that_names_no_refusal_stays_what_it_is(data: object) -> None:
    error = RpcError(-32603, "internal error", data)
    assert read_refusal(error) is error
