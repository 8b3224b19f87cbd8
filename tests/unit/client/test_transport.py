"""JSON-RPC over HTTP: texts, replies, and what is tried again."""

from typing import Any

import msgspec
import pytest

from client import transport
from client.errors import BadReply, RpcError, Unreachable
from client.transport import (
    AsyncHttpTransport,
    HttpTransport,
    compute_pause,
    decode_batch,
    decode_reply,
    encode_batch,
    encode_request,
    name_endpoint,
)
from tests.unit.client.servers import Answer, serve


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value)


def test_requests_are_json_rpc_2() -> None:
    assert msgspec.json.decode(encode_request(("method", ["0x1", {"a": None}]))) == {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "method",
        "params": ["0x1", {"a": None}],
    }
    assert [item["id"] for item in msgspec.json.decode(encode_batch([("a", []), ("b", [])]))] == [0, 1]


def test_a_result_may_be_null() -> None:
    assert decode_reply(encode({"jsonrpc": "2.0", "id": 0, "result": None})).unwrap() is None


def test_an_error_is_raised_with_its_number_and_data() -> None:
    reply = decode_reply(encode({"id": 0, "error": {"code": -32000, "message": "no", "data": {"code": "x"}}}))
    with pytest.raises(RpcError, match="no") as raised:
        reply.unwrap()
    assert (raised.value.number, raised.value.data) == (-32000, {"code": "x"})


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"1", b"{}", b'{"error":1}', b'{"error":{"code":"x"}}'])
def test_what_is_no_reply_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(BadReply):
        decode_reply(body)


def test_the_replies_of_a_batch_are_put_in_the_order_of_the_requests() -> None:
    body = encode([{"id": 1, "result": "b"}, {"id": 0, "result": "a"}])
    assert [reply.unwrap() for reply in decode_batch(body, 2)] == ["a", "b"]


@pytest.mark.parametrize(
    "form",
    [
        [{"id": 0, "result": 1}],
        [{"id": 0, "result": 1}, {"id": 0, "result": 2}],
        [{"id": 0, "result": 1}, {"id": 2, "result": 2}],
        [{"id": 0, "result": 1}, {"id": "1", "result": 2}],
        [{"id": 0, "result": 1}, {"id": True, "result": 2}],
        [{"id": 0, "result": 1}, 7],
        {"id": 0, "result": 1},
        "text",
    ],
)
def test_a_batch_without_exactly_one_reply_each_is_refused(form: Any) -> None:
    with pytest.raises(BadReply):
        decode_batch(encode(form), 2)


def test_a_batch_refused_as_a_whole_raises_that_error() -> None:
    with pytest.raises(RpcError, match="too many"):
        decode_batch(encode({"id": None, "error": {"code": -32600, "message": "too many"}}), 2)


def test_pauses_double_and_are_bounded() -> None:
    assert all(0.05 <= compute_pause(0) <= 0.1 for _ in range(50))
    assert all(compute_pause(attempt) <= 3.0 for attempt in range(50))


class Script:
    """Answers one after another; the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.bodies: list[bytes] = []

    def __call__(self, body: bytes) -> Answer:
        self.bodies.append(body)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


GOOD = encode({"jsonrpc": "2.0", "id": 0, "result": "0x1"})


class TestBlocking:
    @pytest.mark.parametrize("fault", [429, 500, 502, 503, 504, None])
    def test_an_outside_fault_is_tried_again_with_the_very_same_bytes(self, fault: Answer) -> None:
        script, pauses = Script(fault, fault, GOOD), list[float]()
        with serve(script) as url:
            caller = HttpTransport(url, sleep=pauses.append)
            assert caller.call("method", 1) == "0x1"
            caller.close()
        assert len(script.bodies) == 3
        assert len(set(script.bodies)) == 1
        assert len(pauses) == 2

    def test_it_is_given_up_after_the_last_attempt(self) -> None:
        script = Script(503)
        with serve(script) as url, pytest.raises(Unreachable, match="503"):
            HttpTransport(url, attempts=3, sleep=lambda _: None).call("method")
        assert len(script.bodies) == 3

    @pytest.mark.parametrize("answer", [404, 401, b"<html>"])
    def test_what_is_no_node_is_not_asked_again(self, answer: Answer) -> None:
        script = Script(answer)
        with serve(script) as url, pytest.raises(BadReply):
            HttpTransport(url, sleep=lambda _: None).call("method")
        assert len(script.bodies) == 1

    def test_nobody_listening_is_unreachable(self) -> None:
        with pytest.raises(Unreachable, match="no connection"):
            HttpTransport("http://127.0.0.1:1", attempts=2, sleep=lambda _: None).call("method")

    def test_an_answer_that_never_comes_is_unreachable(self) -> None:
        def sleep_first(body: bytes) -> Answer:
            import time

            time.sleep(0.3)
            return GOOD

        with serve(sleep_first) as url, pytest.raises(Unreachable, match="no answer in time"):
            HttpTransport(url, timeout_s=0.05, attempts=1).call("method")

    def test_an_endless_answer_is_cut_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport, "MAX_REPLY_SIZE", 1000)
        with serve(Script(b"[" + b"1," * 2000)) as url, pytest.raises(BadReply, match="more than"):
            HttpTransport(url).call("method")

    @pytest.mark.parametrize("url", ["", "nonsense", "ftp://host/", "http://"])
    def test_what_is_no_http_address_is_said_to_be_none(self, url: str) -> None:
        with pytest.raises(BadReply):
            HttpTransport(url, attempts=1).call("method")

    def test_no_message_repeats_what_may_be_a_secret_in_the_address(self) -> None:
        url = "http://user:hunter2@127.0.0.1:1/v3/s3cr3t"
        with pytest.raises(Unreachable) as raised:
            HttpTransport(url, attempts=1).call("method")
        assert "127.0.0.1:1" in str(raised.value)
        assert "s3cr3t" not in str(raised.value)
        assert "hunter2" not in str(raised.value)

    def test_an_empty_batch_asks_nobody(self) -> None:
        assert HttpTransport("http://127.0.0.1:1").call_batch([]) == []


class TestAsync:
    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport, "compute_pause", lambda attempt: 0.0)

    @pytest.mark.parametrize("fault", [503, None])
    async def test_an_outside_fault_is_tried_again(self, fault: Answer) -> None:
        script = Script(fault, GOOD)
        with serve(script) as url:
            async with AsyncHttpTransport(url) as caller:
                assert await caller.post(b"{}") == GOOD
        assert len(script.bodies) == 2

    async def test_it_is_given_up_after_the_last_attempt(self) -> None:
        with serve(Script(503)) as url:
            async with AsyncHttpTransport(url, attempts=2) as caller:
                with pytest.raises(Unreachable, match="503"):
                    await caller.post(b"{}")

    async def test_nobody_listening_is_unreachable(self) -> None:
        async with AsyncHttpTransport("http://127.0.0.1:1/s3cr3t", attempts=2) as caller:
            with pytest.raises(Unreachable, match="no connection") as raised:
                await caller.post(b"{}")
        assert "s3cr3t" not in str(raised.value)

    async def test_an_endless_answer_is_cut_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport, "MAX_REPLY_SIZE", 1000)
        with serve(Script(b"[" + b"1," * 2000)) as url:
            async with AsyncHttpTransport(url) as caller:
                with pytest.raises(BadReply, match="more than"):
                    await caller.post(b"{}")


def test_endpoints_are_named_without_what_follows_the_host() -> None:
    assert name_endpoint("https://user:pass@node.example:8545/v3/key?token=1") == "node.example:8545"
    assert name_endpoint("https://node.example/key") == "node.example"
