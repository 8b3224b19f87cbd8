"""The JSON-RPC edge: the specification's own examples, what it leaves open, and HTTP around it.

https://www.jsonrpc.org/specification
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import node.rpc.envelope
import node.rpc.server
from chain.errors import MalformedRequest, NotFound
from node.app import RECURSION_LIMIT
from node.refusals import Overloaded
from node.rpc.envelope import MAX_BATCH, Call, EnvelopeError, InvalidCall, decode_body
from node.rpc.methods import METHODS
from node.rpc.server import RpcServer
from node.sequencer import SequencerStopped
from node.verification import Refused
from tests.unit.node.running import settle, soon

MAX_BODY = 1 << 20


class FakeMethods:
    """Receipts for payments that are `["good"]`; notes in which order things happened."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.fault: BaseException | None = None

    async def send_payments(self, submissions: list[bytes]) -> list[Any]:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        self.events.append(f"payments {len(submissions)}")
        return [
            b'{"receipt":%s}' % params
            if params == b'["good"]'
            else Refused("nonce_used", "nonce 7 is used", {"nonce": "0x7", "nextNonce": "0x8"})
            for params in submissions
        ]


async def subtract(methods: FakeMethods, params: bytes) -> int:
    values = msgspec.json.decode(params)
    if isinstance(values, dict):
        return values["minuend"] - values["subtrahend"]  # type: ignore[no-any-return]
    return values[0] - values[1]  # type: ignore[no-any-return]


async def total(methods: FakeMethods, params: bytes) -> int:
    return sum(msgspec.json.decode(params))


async def get_data(methods: FakeMethods, params: bytes) -> list[Any]:
    assert params == b"[]"
    return ["hello", 5]


async def note(methods: FakeMethods, params: bytes) -> None:
    methods.events.append("note")


async def refuse(methods: FakeMethods, params: bytes) -> None:
    raise NotFound("that")


async def refuse_malformed(methods: FakeMethods, params: bytes) -> None:
    raise MalformedRequest("params: not that")


async def refuse_overloaded(methods: FakeMethods, params: bytes) -> None:
    raise Overloaded(17)


async def fail(methods: FakeMethods, params: bytes) -> None:
    raise KeyError("a secret of the operator")


async def stop(methods: FakeMethods, params: bytes) -> None:
    raise SequencerStopped("the sequencer has stopped")


FAKES: dict[str, Any] = {
    "subtract": subtract,
    "sum": total,
    "get_data": get_data,
    "update": note,
    "notify_sum": note,
    "notify_hello": note,
    "refuse": refuse,
    "refuse_malformed": refuse_malformed,
    "refuse_overloaded": refuse_overloaded,
    "fail": fail,
    "stop": stop,
}


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> FakeMethods:
    monkeypatch.setattr(node.rpc.server, "METHODS", FAKES)
    return FakeMethods()


@pytest.fixture
def server(methods: FakeMethods) -> RpcServer:
    return RpcServer(methods, MAX_BODY)  # type: ignore[arg-type]


async def ask(server: RpcServer, body: Any) -> Any:
    """The decoded answer to a body, given as JSON text or as what becomes one; None for no answer."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await soon(server.answer(text))
    return json.loads(answer) if answer else None


def call(method: str, params: Any = None, **members: Any) -> dict[str, Any]:
    form = {"jsonrpc": "2.0", "method": method, **members}
    return form if params is None else {**form, "params": params}


def result(value: Any, call_id: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "result": value, "id": call_id}


def is_error(answer: Any, number: int, call_id: Any = None) -> bool:
    """An error with this number and id, of exactly the members that the specification names."""
    assert set(answer) == {"jsonrpc", "error", "id"} and answer["jsonrpc"] == "2.0"
    assert {"code", "message"} <= set(answer["error"]) <= {"code", "message", "data"}
    assert isinstance(answer["error"]["message"], str)
    return (answer["error"]["code"], answer["id"]) == (number, call_id)


# --- the specification's examples


async def test_positional_parameters(server: RpcServer) -> None:
    assert await ask(server, call("subtract", [42, 23], id=1)) == result(19, 1)
    assert await ask(server, call("subtract", [23, 42], id=2)) == result(-19, 2)


async def test_named_parameters(server: RpcServer) -> None:
    assert await ask(server, call("subtract", {"subtrahend": 23, "minuend": 42}, id=3)) == result(19, 3)
    assert await ask(server, call("subtract", {"minuend": 42, "subtrahend": 23}, id=4)) == result(19, 4)


async def test_notifications_are_carried_out_and_not_answered(server: RpcServer, methods: FakeMethods) -> None:
    assert await ask(server, call("update", [1, 2, 3, 4, 5])) is None
    assert await ask(server, call("foobar")) is None
    assert methods.events == ["note"]


async def test_a_method_that_does_not_exist(server: RpcServer) -> None:
    assert is_error(await ask(server, call("foobar", id="1")), -32601, "1")


async def test_invalid_json(server: RpcServer) -> None:
    assert is_error(await ask(server, b'{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]'), -32700)


async def test_an_invalid_request_object(server: RpcServer) -> None:
    assert is_error(await ask(server, b'{"jsonrpc": "2.0", "method": 1, "params": "bar"}'), -32600)


async def test_a_batch_of_invalid_json(server: RpcServer) -> None:
    body = b"""[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method"
    ]"""
    assert is_error(await ask(server, body), -32700)


async def test_an_empty_batch(server: RpcServer) -> None:
    assert is_error(await ask(server, b"[]"), -32600)
    assert is_error(await ask(server, b" [ ] "), -32600)


async def test_an_invalid_batch_that_is_not_empty(server: RpcServer) -> None:
    (answer,) = await ask(server, b"[1]")
    assert is_error(answer, -32600)


async def test_an_invalid_batch(server: RpcServer) -> None:
    answers = await ask(server, b"[1,2,3]")
    assert len(answers) == 3 and all(is_error(answer, -32600) for answer in answers)


async def test_a_mixed_batch(server: RpcServer, methods: FakeMethods) -> None:
    answers = await ask(
        server,
        [
            call("sum", [1, 2, 4], id="1"),
            call("notify_hello", [7]),
            call("subtract", [42, 23], id="2"),
            {"foo": "boo"},
            call("foo.get", {"name": "myself"}, id="5"),
            call("get_data", id="9"),
        ],
    )
    assert len(answers) == 5
    assert answers[0] == result(7, "1")
    assert answers[1] == result(19, "2")
    assert is_error(answers[2], -32600)
    assert is_error(answers[3], -32601, "5")
    assert answers[4] == result(["hello", 5], "9")
    assert methods.events == ["note"]


async def test_a_batch_of_notifications_alone(server: RpcServer, methods: FakeMethods) -> None:
    assert await ask(server, [call("notify_sum", [1, 2, 4]), call("notify_hello", [7])]) is None
    assert methods.events == ["note", "note"]


# --- ids

IDS = [0, 1, -1, 2**53, 2**64, 10**30, 1.5, -0.25, "", "a", "1", 'é\u2028\n"\\', "\x00", None]


@pytest.mark.parametrize("call_id", IDS)
async def test_an_id_comes_back_as_it_is(server: RpcServer, call_id: Any) -> None:
    assert await ask(server, call("sum", [1], id=call_id)) == result(1, call_id)
    assert is_error(await ask(server, call("nothing", id=call_id)), -32601, call_id)
    assert await ask(server, [call("tally_sendPayment", ["good"], id=call_id)]) == [
        result({"receipt": ["good"]}, call_id)
    ]


@pytest.mark.parametrize("call_id", IDS)
async def test_the_id_of_a_broken_call_is_told_where_it_can_be(server: RpcServer, call_id: Any) -> None:
    for broken in ({"method": 1}, {"jsonrpc": "1.0", "method": "sum"}, {"jsonrpc": "2.0"}, call("sum", "text")):
        assert is_error(await ask(server, {**broken, "id": call_id}), -32600, call_id)


@pytest.mark.parametrize("call_id", [{}, [], [1], {"a": 1}, True, False])
async def test_what_cannot_be_an_id(server: RpcServer, methods: FakeMethods, call_id: Any) -> None:
    assert is_error(await ask(server, call("update", id=call_id)), -32600)
    assert is_error(await ask(server, {"method": 1, "id": call_id}), -32600)
    assert methods.events == []


async def test_a_call_with_the_id_null_is_no_notification(server: RpcServer) -> None:
    assert await ask(server, call("sum", [1], id=None)) == result(1, None)


# --- what is no call

NO_CALLS = [
    None,
    1,
    "text",
    True,
    {},
    {"method": "sum", "params": [1], "id": 1},
    call("sum", [1], id=1, jsonrpc="1.0"),
    call("sum", [1], id=1, jsonrpc=2.0),
    {"jsonrpc": "2.0", "id": 1},
    {"jsonrpc": "2.0", "method": None, "id": 1},
    {"jsonrpc": "2.0", "method": ["sum"], "id": 1},
    {"jsonrpc": "2.0", "method": "sum", "params": None, "id": 1},
    call("sum", 1, id=1),
    call("sum", "text", id=1),
    call("sum", True, id=1),
]


@pytest.mark.parametrize("body", NO_CALLS)
async def test_what_is_no_call_is_an_invalid_request(server: RpcServer, body: Any) -> None:
    call_id = body.get("id") if isinstance(body, dict) else None
    assert is_error(await ask(server, body), -32600, call_id)
    answers = await ask(server, [call("sum", [1], id="before"), body, call("sum", [2], id="after")])
    assert answers[0] == result(1, "before") and answers[2] == result(2, "after")
    assert is_error(answers[1], -32600, call_id)


NO_JSON = {
    "nothing": b"",
    "blanks": b" \t\r\n",
    "half an object": b'{"jsonrpc":"2.0"',
    "half a batch": b'[{"jsonrpc":"2.0","method":"sum","id":1}',
    "two objects": b'{"jsonrpc":"2.0","method":"sum","id":1}{}',
    "a comma too many": b"[1,]",
    "junk, then broken": b"[1,2,",
    "single quotes": b"{'jsonrpc':'2.0'}",
    "a byte order mark": b'\xef\xbb\xbf{"jsonrpc":"2.0","method":"sum","id":1}',
    "UTF-16": '{"jsonrpc":"2.0","method":"sum","id":1}'.encode("utf-16"),
    "an id that is not UTF-8": b'{"jsonrpc":"2.0","method":"sum","params":[1],"id":"\xff"}',
    "parameters that are not UTF-8": b'{"jsonrpc":"2.0","method":"sum","params":["\xff"],"id":1}',
    "a method that is not UTF-8": b'{"jsonrpc":"2.0","method":"\xff","id":1}',
    "an unknown member that is not UTF-8": b'{"jsonrpc":"2.0","method":"sum","id":1,"x":"\xff"}',
    "a batch that is not UTF-8": b'[{"jsonrpc":"2.0","method":"sum","id":1},{"id":"\xff"}]',
    "encoded surrogates": b'{"jsonrpc":"2.0","method":"sum","id":"\xed\xa0\x80"}',
    "NaN": b'{"jsonrpc":"2.0","method":"sum","params":[NaN],"id":1}',
    "a number with a leading zero": b'{"jsonrpc":"2.0","method":"sum","params":[],"id":01}',
    "a raw control character": b'{"jsonrpc":"2.0","method":"sum","params":[],"id":"\n"}',
    "lists in lists": b"[" * 100_000,
    "lists in lists, closed": b"[" * 100_000 + b"]" * 100_000,
    "objects in objects": b'{"a":' * 100_000,
    "parameters in parameters": b'{"jsonrpc":"2.0","method":"sum","params":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "parameters in parameters of a batch": b'[{"jsonrpc":"2.0","method":"x","params":'
    + b"[" * 9999
    + b"]" * 9999
    + b"}]",
}


@pytest.fixture
def recursion_limit() -> Iterator[None]:
    """The node's. Other tests import what raises it, and then less is nested too deeply."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(RECURSION_LIMIT)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("recursion_limit")
@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
async def test_what_is_no_json_is_a_parse_error(server: RpcServer, body: bytes) -> None:
    assert is_error(await ask(server, body), -32700)


def test_members_that_nobody_asked_for_are_left_alone() -> None:
    is_batch, (item,) = decode_body(b'{"x":[{}],"jsonrpc":"2.0","method":"m","id":1,"y":null}')
    assert not is_batch
    assert isinstance(item, Call) and item.method == "m" and not item.is_notification


# --- batches


async def test_a_thousand_calls_are_answered_in_order(server: RpcServer) -> None:
    answers = await ask(server, [call("subtract", [number, 1], id=number) for number in range(MAX_BATCH)])
    assert answers == [result(number - 1, number) for number in range(MAX_BATCH)]


async def test_one_more_is_refused_as_a_whole(server: RpcServer, methods: FakeMethods) -> None:
    assert is_error(await ask(server, [call("update", id=1)] * (MAX_BATCH + 1)), -32600)
    assert is_error(await ask(server, [call("update")] * (MAX_BATCH + 1)), -32600)
    assert methods.events == []


async def test_what_does_not_fit_the_answer_of_a_batch_is_refused(
    server: RpcServer, methods: FakeMethods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand full blocks would be gigabytes. Payments are always answered: they have been made."""
    monkeypatch.setattr(node.rpc.server, "MAX_ANSWER_BYTES", 80)
    pay = call("tally_sendPayment", ["good"], id=4)
    batch = [call("get_data", id=1), call("get_data", id=2), call("get_data", id=3), call("update", id=9), pay]
    first, second, refused, never, receipt = await ask(server, batch)
    assert (first, second) == (result(["hello", 5], 1), result(["hello", 5], 2))
    assert is_error(refused, -32003, 3) and refused["error"]["data"]["code"] == "answer_too_large"
    assert is_error(never, -32003, 9)
    assert receipt == result({"receipt": ["good"]}, 4)
    assert methods.events == ["payments 1"]


async def test_between_two_calls_of_a_batch_others_have_their_turn(server: RpcServer, methods: FakeMethods) -> None:
    batch = asyncio.create_task(ask(server, [call("update", id=number) for number in range(MAX_BATCH)]))
    await settle()
    assert 0 < len(methods.events) < MAX_BATCH
    await batch


@pytest.mark.parametrize("item", [b"1", b'{"jsonrpc":"2.0","method":"sum"}', b'{"jsonrpc":"1.0","method":7}'])
def test_of_a_batch_that_is_too_long_no_item_is_looked_into(monkeypatch: pytest.MonkeyPatch, item: bytes) -> None:
    """An 8 MiB body holds four million; one by one they would take seconds, in which the node does nothing else."""

    def look(*arguments: Any) -> None:
        raise AssertionError("an item was looked into")

    monkeypatch.setattr(node.rpc.envelope, "_decode_call", look)
    monkeypatch.setattr(node.rpc.envelope, "_check_call", look)
    with pytest.raises(EnvelopeError, match="a batch of 1001 calls"):
        decode_body(b"[" + b",".join([item] * 1001) + b"]")


def test_a_batch_of_junk_within_the_limit_is_answered_item_by_item() -> None:
    is_batch, items = decode_body(b"[" + b"1," * 999 + b"1]")
    assert is_batch and len(items) == 1000 and all(isinstance(item, InvalidCall) for item in items)


async def test_payments_side_by_side_go_together_and_other_calls_wait_for_them(
    server: RpcServer, methods: FakeMethods
) -> None:
    answers = await ask(
        server,
        [
            call("tally_sendPayment", ["good"], id=1),
            call("tally_sendPayment", ["bad"], id=2),
            call("tally_sendPayment", ["good"]),  # a notification: carried out, not answered
            call("update", id=3),
            1,
            call("tally_sendPayment", ["good"], id=4),
        ],
    )
    assert methods.events == ["payments 3", "note", "payments 1"]
    assert [answer["id"] for answer in answers] == [1, 2, 3, None, 4]
    assert answers[0]["result"] == {"receipt": ["good"]}
    assert answers[1]["error"]["data"]["code"] == "nonce_used"


async def test_a_payment_sent_as_a_notification_is_not_answered(server: RpcServer, methods: FakeMethods) -> None:
    assert await ask(server, call("tally_sendPayment", ["good"])) is None
    assert await ask(server, [call("tally_sendPayment", ["bad"])]) is None
    assert methods.events == ["payments 1"] * 2


# --- whatever comes

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CALLS = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "2.0", "2.0", "1.0", 2.0, None]),
        "method": st.sampled_from(["update", "refuse", "stop", "nothing", "tally_sendPayment"]) | VALUES,
        "params": st.sampled_from([[], {}, ["good"]]) | VALUES,
        "id": VALUES,
        "more": VALUES,
    },
)


def count_answers(form: Any) -> int:
    """How many answers a well-formed body gets."""
    if isinstance(form, list):
        return sum(count_answers(item) for item in form if not isinstance(item, list)) + sum(
            isinstance(item, list) for item in form
        )
    is_call = (
        isinstance(form, dict)
        and form.get("jsonrpc") == "2.0"
        and isinstance(form.get("method"), str)
        and isinstance(form.get("params", []), list | dict)
    )
    return 0 if is_call and "id" not in form else 1


def answer_alone(body: bytes) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node.rpc.server, "METHODS", {**FAKES, "fail": note, "sum": note, "subtract": note})
        return asyncio.run(RpcServer(FakeMethods(), MAX_BODY).answer(body))  # type: ignore[arg-type]


@given(CALLS | VALUES | st.lists(CALLS | VALUES, min_size=1, max_size=6))
def test_every_body_gets_as_many_answers_as_it_holds_calls(form: Any) -> None:
    if form == []:
        return  # an error of its own
    answer = answer_alone(json.dumps(form).encode())
    answers = json.loads(answer) if answer else []
    if not isinstance(form, list):
        answers = [answers] if answer else []
    assert len(answers) == count_answers(form)
    for each in answers:
        assert set(each) in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"})


@given(
    st.sampled_from([b'{"jsonrpc":"2.0","method":"update","params":[1,"a"],"id":"\\u00e9"}', b'[{"jsonrpc":"2.0"},1]']),
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 255)), max_size=4),
    st.integers(0, 100),
)
def test_no_bytes_at_all_make_it_fail(body: bytes, changes: list[tuple[int, int]], end: int) -> None:
    changed = bytearray(body[:end] if end % 3 == 0 else body)
    for place, value in changes:
        if place < len(changed):
            changed[place] = value
    answer = answer_alone(bytes(changed))
    if answer:
        json.loads(answer)


# --- errors


async def test_a_refusal_has_its_number_and_its_name(server: RpcServer) -> None:
    answer = await ask(server, call("tally_sendPayment", ["bad"], id=1))
    assert answer["error"] == {
        "code": -32003,
        "message": "nonce 7 is used",
        "data": {"code": "nonce_used", "message": "nonce 7 is used", "nonce": "0x7", "nextNonce": "0x8"},
    }


@pytest.mark.parametrize(
    "method, number, data",
    [
        ("refuse", -32001, {"code": "not_found", "message": "that is not known here", "what": "that"}),
        (
            "refuse_malformed",
            -32602,
            {"code": "malformed_request", "message": "params: not that", "problem": "params: not that"},
        ),
        (
            "refuse_overloaded",
            -32005,
            {
                "code": "overloaded",
                "message": "too much is waiting to be done; try again in a moment",
                "backlog": "0x11",
            },
        ),
        ("stop", -32003, {"code": "halted", "message": "the sequencer has stopped"}),
    ],
)
async def test_refusals_of_other_methods(server: RpcServer, method: str, number: int, data: Any) -> None:
    answer = await ask(server, call(method, id=1))
    assert is_error(answer, number, 1)
    assert answer["error"]["data"] == data
    assert await ask(server, call(method)) is None


async def test_a_fault_of_ours_is_an_internal_error_without_details(server: RpcServer) -> None:
    answers = await ask(server, [call("fail", id=1), call("sum", [1], id=2)])
    assert is_error(answers[0], -32603, 1)
    assert "secret" not in json.dumps(answers)
    assert answers[1] == result(1, 2)


async def test_payments_while_the_sequencer_is_stopped_are_halted(server: RpcServer, methods: FakeMethods) -> None:
    methods.fault = SequencerStopped("the sequencer has stopped")
    answers = await ask(server, [call("tally_sendPayment", ["good"], id=1), call("tally_sendPayment", ["good"])])
    (answer,) = answers
    assert is_error(answer, -32003, 1) and answer["error"]["data"]["code"] == "halted"


async def test_payments_that_are_refused_together_hear_the_refusal(server: RpcServer, methods: FakeMethods) -> None:
    methods.fault = Overloaded(17)
    answers = await ask(server, [call("tally_sendPayment", ["good"], id=number) for number in (1, 2)])
    assert [answer["error"]["data"]["code"] for answer in answers] == ["overloaded"] * 2
    assert is_error(answers[0], -32005, 1)


async def test_payments_that_meet_a_fault_of_ours_leave_the_rest_of_the_batch_alone(
    server: RpcServer, methods: FakeMethods
) -> None:
    methods.fault = KeyError("a secret of the operator")
    answers = await ask(
        server, [call("tally_sendPayment", ["good"], id=1), call("tally_sendPayment", []), call("sum", [1], id=2)]
    )
    assert is_error(answers[0], -32603, 1)
    assert "secret" not in json.dumps(answers)
    assert answers[1:] == [result(1, 2)]


# --- HTTP


class Exchange:
    """One request to the ASGI application, its body in chunks, and what it answered."""

    def __init__(self, *chunks: bytes, method: str = "POST", headers: Any = (), is_cut_off: bool = False) -> None:
        self.scope = {"type": "http", "method": method, "path": "/", "headers": list(headers)}
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": chunk, "more_body": is_cut_off or number < len(chunks)}
            for number, chunk in enumerate(chunks, start=1)
        ]
        self._messages = iter([*messages, {"type": "http.disconnect"}])
        self.received = 0
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        self.received += 1
        return next(self._messages)

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])


async def exchange(server: RpcServer, *chunks: bytes, **options: Any) -> Exchange:
    done = Exchange(*chunks, **options)
    await soon(server(done.scope, done.receive, done.send))
    return done


SUM = json.dumps(call("sum", [1, 2], id=1)).encode()


async def test_an_answer_is_json_that_any_origin_may_read(server: RpcServer) -> None:
    done = await exchange(server, SUM)
    assert done.status == 200
    assert json.loads(done.body) == result(3, 1)
    assert done.headers[b"content-type"] == b"application/json"
    assert done.headers[b"content-length"] == str(len(done.body)).encode()
    assert done.headers[b"access-control-allow-origin"] == b"*"
    assert done.headers[b"cache-control"] == b"no-store"


async def test_a_body_may_come_in_chunks(server: RpcServer) -> None:
    done = await exchange(server, *[SUM[at : at + 1] for at in range(len(SUM))], b"")
    assert json.loads(done.body) == result(3, 1)


async def test_errors_of_the_envelope_are_answers_too(server: RpcServer) -> None:
    done = await exchange(server, b"{")
    assert done.status == 200 and is_error(json.loads(done.body), -32700)


async def test_nothing_to_answer_is_no_content(server: RpcServer) -> None:
    done = await exchange(server, json.dumps(call("update")).encode())
    assert (done.status, done.body) == (204, b"")
    assert b"content-length" not in done.headers, "RFC 9110, section 8.6"


async def test_a_preflight_is_answered_for_browsers(server: RpcServer) -> None:
    done = await exchange(server, method="OPTIONS")
    assert (done.status, done.body, done.received) == (204, b"", 0)
    assert done.headers[b"access-control-allow-origin"] == b"*"
    assert b"POST" in done.headers[b"access-control-allow-methods"]
    assert done.headers[b"access-control-allow-headers"] == b"content-type"


async def test_a_body_that_announces_to_be_too_large_is_not_read(server: RpcServer) -> None:
    done = await exchange(server, b"x", headers=[(b"content-length", str(MAX_BODY + 1).encode())])
    assert (done.status, done.received) == (413, 0)
    assert is_error(json.loads(done.body), -32600)


@pytest.mark.parametrize("sizes", [[MAX_BODY + 1], [MAX_BODY, 1], [MAX_BODY // 2] * 3])
async def test_a_body_that_grows_too_large_is_not_read_on(server: RpcServer, sizes: list[int]) -> None:
    done = await exchange(server, *[b" " * size for size in sizes], b"{}", b"{}")
    assert (done.status, done.received) == (413, len(sizes))


async def test_a_body_of_just_the_limit_is_read(server: RpcServer) -> None:
    done = await exchange(server, SUM.ljust(MAX_BODY), headers=[(b"content-length", str(MAX_BODY).encode())])
    assert json.loads(done.body) == result(3, 1)


@pytest.mark.parametrize("chunks", [[], [SUM[:10]], [SUM[:10], SUM[10:]]])
async def test_a_caller_who_goes_before_the_end_is_not_answered(
    server: RpcServer, methods: FakeMethods, chunks: list[bytes]
) -> None:
    done = await exchange(server, *chunks, is_cut_off=True)
    assert done.sent == []


# --- the methods themselves


def test_every_method_of_the_interface_is_there() -> None:
    assert set(METHODS) | {"tally_sendPayment"} == {
        "tally_getInfo",
        "tally_sendPayment",
        "tally_getReceipt",
        "tally_getPayment",
        "tally_getAccount",
        "tally_getBlock",
        "tally_getCommitment",
        "tally_listCommitments",
        "tally_getPaymentProof",
        "tally_getAccountProof",
        "tally_getStatement",
        "tally_listPayments",
        "tally_quote",
        "tally_sendInstruction",
        "tally_sendUpload",
        "tally_getStorageCharge",
        "tally_getFile",
        "tally_listFiles",
        "tally_getPurchase",
        "tally_listRegistrations",
        "tally_listInstructions",
        "tally_getFileProof",
        "tally_getRolesProof",
        "rpc.discover",
    }


class Unreachable:
    """Stands for all that a method works on: malformed parameters are refused before any of it is touched."""

    def __getattr__(self, name: str) -> Any:
        def use(*arguments: Any, **options: Any) -> Any:
            raise AssertionError(f"{name} was used")

        return use


ADDRESS, HASH = "0x" + "11" * 20, "0x" + "22" * 32

MALFORMED: list[tuple[str, Any]] = [
    ("tally_getInfo", [1]),
    ("tally_getInfo", {"x": 1}),
    ("rpc.discover", [1]),
    *[
        (method, params)
        for method in ("tally_getReceipt", "tally_getPayment", "tally_getPaymentProof")
        for params in ([], [HASH, 1], [1], [None], ["0x"], [HASH + "00"], [HASH[2:]], {"x": HASH}, {}, {"id": 1})
    ],
    *[("tally_getAccount", params) for params in ([], [1], [HASH], [ADDRESS, ADDRESS], {"address": None})],
    *[("tally_getAccountProof", params) for params in ([ADDRESS], [ADDRESS, ADDRESS], [1, ADDRESS, 1], {"asset": 1})],
    *[("tally_getStatement", params) for params in ([ADDRESS], [ADDRESS, ADDRESS, -1], [ADDRESS, ADDRESS, 1, "", 1])],
    *[
        ("tally_listPayments", params)
        for params in (
            [1],
            ["x"],
            [{}, {}],
            [{"sort": "asc"}],
            [{"account": 1}],
            [{"asset": "0x"}],
            [{"reference": 7}],
            [{"from": -1}],
            [{"to": 1.5}],
            [{"kind": 7}],
            [{"cursor": 7}],
            [{"cursor": "x" * 65}],
            [{"limit": 1001}],
            [{"limit": "many"}],
            {"sort": "asc"},
        )
    ],
    *[
        ("tally_quote", params)
        for params in (
            [],
            ["transfer"],
            [1, {}],
            ["transfer", []],
            ["transfer", {}],
            ["transfer", {"from": ADDRESS}],
            ["transfer", {"from": ADDRESS, "asset": ADDRESS, "nonce": 0}],
            ["transfer", {"from": ADDRESS, "asset": ADDRESS, "nonce": 0, "to": ADDRESS}],
            ["transfer", {"from": ADDRESS, "asset": ADDRESS, "nonce": 0, "to": ADDRESS, "amount": 1, "outputs": []}],
            ["transfer", {"from": ADDRESS, "asset": ADDRESS, "nonce": 0, "outputs": {}}],
            ["transfer", {"from": ADDRESS, "asset": ADDRESS, "nonce": 0, "to": ADDRESS, "amount": 1, "fee": 1}],
            ["transfer", {"from": ADDRESS, "asset": ADDRESS, "nonce": 0, "to": ADDRESS, "amount": 1, "memo": 1}],
            ["tip", {"from": ADDRESS, "asset": ADDRESS, "nonce": 0, "to": ADDRESS, "amount": 1, "days": 1}],
            ["upload", {"from": ADDRESS, "to": ADDRESS}],
            ["upload", {"from": ADDRESS, "to": ADDRESS, "reference": HASH, "listing": {}}],
            ["upload", {"from": ADDRESS, "to": ADDRESS, "reference": HASH, "amount": 1}],
            ["upload", {"from": ADDRESS, "to": ADDRESS, "reference": 1}],
            ["purchase", {"from": ADDRESS}],
            ["purchase", {"from": ADDRESS, "reference": ADDRESS}],
            ["purchase", {"from": ADDRESS, "reference": HASH, "to": ADDRESS}],
            ["purchase", {"from": ADDRESS, "reference": HASH, "outputs": []}],
            ["extend", {"from": ADDRESS, "days": 1}],
            ["extend", {"from": ADDRESS, "days": 1, "reference": HASH, "to": ADDRESS}],
        )
    ],
    *[
        ("tally_sendInstruction", params)
        for params in ([], [{}], [{}, "0x", 1], {}, {"instruction": {}}, {"instruction": {}, "signature": "", "x": 1})
    ],
    *[
        ("tally_sendUpload", params)
        for params in ([], [{}, "", {}], [{}, "", {}, "", 1], {"listing": {}, "payment": {}}, {"x": 1})
    ],
    *[
        ("tally_getStorageCharge", params)
        for params in (
            [],
            [1, 1],
            [-1, 1, ADDRESS],
            ["0x1" + "0" * 16, 1, ADDRESS],
            [1, 36_501, ADDRESS],
            [1, 1, HASH],
            [1, 1, ADDRESS, 1],
            [1.5, 1, ADDRESS],
        )
    ],
    *[("tally_getFile", params) for params in ([], [1], [ADDRESS], [HASH, 1], {"id": HASH}, [None])],
    *[("tally_getPurchase", params) for params in ([], [HASH], [HASH, HASH], [ADDRESS, HASH], [HASH, ADDRESS, 1])],
    *[
        ("tally_listFiles", params)
        for params in (
            [1],
            [{}, {}],
            [{"sort": "price"}],
            {"sort": "price"},
            [{"text": 1}],
            [{"text": "x" * 257}],
            [{"text": ["x"]}],
            [{"tag": 1}],
            [{"tag": {}}],
            [{"tag": [1]}],
            [{"tag": ["a"] * 9}],
            [{"mediaType": 1}],
            [{"mediaType": "x" * 257}],
            [{"validator": HASH}],
            [{"owner": 1}],
            [{"serviceNode": "0x"}],
            [{"asset": ADDRESS[:-1]}],
            [{"status": "delisted"}],
            [{"status": 1}],
            [{"status": None}],
            [{"status": {}}],
            [{"cursor": 7}],
            [{"cursor": "x" * 65}],
            [{"limit": 1001}],
            [{"limit": -1}],
            [{"limit": "many"}],
        )
    ],
    *[
        ("tally_listCommitments", params)
        for params in ([1], [{}, {}], [{"epoch": 1}], [{"cursor": 7}], [{"limit": 101}], [{"limit": "many"}])
    ],
    *[
        ("tally_listRegistrations", params)
        for params in (
            [1],
            [{"account": ADDRESS}],
            [{"role": "king"}],
            [{"role": 1}],
            [{"role": []}],
            [{"role": {}}],
            [{"validator": HASH}],
            [{"cursor": "x" * 65}],
            [{"limit": 1001}],
            {"role": "king"},
        )
    ],
    *[
        ("tally_listInstructions", params)
        for params in (
            [1],
            [{"type": "Register"}],
            [{"account": HASH}],
            [{"file": ADDRESS}],
            [{"cursor": 1}],
            [{"limit": 1001}],
        )
    ],
    *[
        (method, params)
        for method, key in (("tally_getFileProof", HASH), ("tally_getRolesProof", ADDRESS))
        for params in ([], [key], ["0x", 1], [1, 1], [key, -1], [key, "final"], [key, {}], [key, 1, 1])
    ],
]

QUOTED = f'"from":"{ADDRESS}","asset":"{ADDRESS}","nonce":0,"to":"{ADDRESS}","amount":1'


@pytest.mark.parametrize(
    "method, params",
    [
        ("tally_listFiles", '[{"text":"a\\udfff"}]'),
        ("tally_listFiles", '[{"mediaType":"\\uDFFF"}]'),
        ("tally_listFiles", '[{"tag":"\\ud800a"}]'),
        ("tally_listFiles", '[{"tag":["\\ud800"]}]'),
        ("tally_listFiles", '{"\\ud800":"a"}'),
        ("tally_listPayments", '[{"kind":"\\ud800"}]'),
        ("tally_listPayments", '[{"cursor":"\\ud800"}]'),
        ("tally_quote", f'["\\ud800",{{{QUOTED}}}]'),
        ("tally_quote", f'["tip",{{{QUOTED},"memo":"\\ud800"}}]'),
        ("tally_getReceipt", '{"\\ud800":"0x"}'),
    ],
)
async def test_half_a_surrogate_pair_is_no_parameter(method: str, params: str) -> None:
    """JSON can write it down, and UTF-8 cannot: no index can be asked for it, and no answer can hold it."""
    function: Callable[..., Awaitable[Any]] = METHODS[method]
    with pytest.raises(MalformedRequest) as refused:
        await function(Touchable(), params.encode())
    assert msgspec.json.encode([refused.value.message, refused.value.values])


async def test_a_file_cannot_have_a_tag_longer_than_any_has() -> None:
    function: Callable[..., Awaitable[Any]] = METHODS["tally_listFiles"]
    for tag in ("x" * 257, ["x" * 257]):
        with pytest.raises(MalformedRequest, match="tag"):
            await function(Touchable(), msgspec.json.encode([{"tag": tag}]))


@pytest.mark.parametrize("method, params", MALFORMED)
async def test_malformed_parameters_are_refused_before_anything_is_looked_at(method: str, params: Any) -> None:
    function: Callable[..., Awaitable[Any]] = METHODS[method]
    with pytest.raises(MalformedRequest):
        await function(Touchable(), msgspec.json.encode(params))


class Touchable:
    """A method may take hold of its parts, and use none of them."""

    archive = info = sequencer = escrow = catalogue = Unreachable()
    send_instruction = send_upload = Unreachable().send
