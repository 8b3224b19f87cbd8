"""JSON-RPC 2.0 and HTTP, without a network."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devnet.l1 import rpc
from devnet.l1.app import STACK_BYTES
from devnet.l1.rpc import RpcApplication


@pytest.fixture
def executor():
    usual = threading.stack_size(STACK_BYTES)
    with ThreadPoolExecutor(1) as executor:
        executor.submit(int).result()  # the thread starts here, with the stack it has in the process
        threading.stack_size(usual)
        yield executor


@pytest.fixture
def application(devnet, executor):
    return RpcApplication(devnet.methods, executor)


@pytest.fixture
def ask(application, executor):
    def send(message):
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        answer = executor.submit(application.answer, body).result()
        return json.loads(answer) if answer else None

    return send


def request(method="eth_chainId", **fields):
    return {"jsonrpc": "2.0", "id": 1, "method": method, **fields}


def test_a_request_is_answered_with_its_id(ask):
    for id_ in (1, 0, "a", None, 1.5):
        assert ask(request(id=id_)) == {"jsonrpc": "2.0", "id": id_, "result": "0x7a69"}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "\xff"}', -32700),
        (b"[" * 100_000, -32700),
        ([], -32600),
        ([request()] * (rpc.MAX_BATCH + 1), -32600),
        (5, -32600),
        ("eth_chainId", -32600),
        (None, -32600),
        ({}, -32600),
        ({"id": 1, "method": "eth_chainId"}, -32600),
        (request(jsonrpc="1.0"), -32600),
        (request(method=5), -32600),
        (request(params="x"), -32600),
        (request(params=None), -32600),
        (request(id=[1]), -32600),
        (request(id=True), -32600),
        (request("eth_unknown"), -32601),
        (request("eth_sendTransaction", params=[{}]), -32601),
        (request(params={"a": 1}), -32602),
        (request(params=[1]), -32602),
        (request("eth_getBalance"), -32602),
        (request("eth_getBalance", params=["0x12"]), -32602),
        (request("eth_getBalance", params=["0x" + "00" * 20, "latest", 1]), -32602),
        (request("eth_getBalance", params=["0x" + "00" * 20, "0x99"]), -32000),
    ],
)
def test_errors_have_their_codes(ask, message, code):
    answer = ask(message)
    assert set(answer) == {"jsonrpc", "id", "error"}
    assert answer["error"]["code"] == code
    assert set(answer["error"]) == {"code", "message"}


def test_an_error_answers_the_id_if_it_can(ask):
    assert ask(request("eth_unknown", id=7))["id"] == 7
    assert ask({"id": 8})["id"] == 8
    assert ask(request(id=[1]))["id"] is None


def test_a_batch_is_answered_in_its_order_without_the_notifications(ask):
    notification = {"jsonrpc": "2.0", "method": "eth_blockNumber"}
    answers = ask([request(id=1), notification, request("nope", id=2), 5, request("net_version", id=3)])
    assert [(answer["id"], answer.get("result")) for answer in answers] == [
        (1, "0x7a69"),
        (2, None),
        (None, None),
        (3, "31337"),
    ]


def test_notifications_are_carried_out_and_not_answered(ask, devnet, sign):
    raw = "0x" + sign().hex()
    assert ask({"jsonrpc": "2.0", "method": "eth_sendRawTransaction", "params": [raw]}) is None
    assert ask([{"jsonrpc": "2.0", "method": "nope"}]) is None
    assert len(devnet.mine().transactions) == 1


def test_a_revert_carries_code_3_and_the_data(ask):
    code = "0x60ab5f5360015ffd"  # reverts with the byte 0xab
    answer = ask(request("eth_call", params=[{"data": code}, "latest"]))
    assert answer["error"] == {"code": 3, "message": "execution reverted", "data": "0xab"}


def test_a_fault_of_ours_is_answered_and_logged(ask, devnet, monkeypatch, caplog):
    def fail(*_):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(devnet.chain, "open_state", fail)
    answer = ask(request("eth_getBalance", params=["0x" + "00" * 20]))
    assert answer["error"] == {"code": -32603, "message": "internal error"}
    assert "secret" in caplog.text


# -- HTTP --------------------------------------------------------------------------------------------------------------


async def send_http(application, method="POST", path="/", chunks=(b"",), headers=()):
    events = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    events[-1]["more_body"] = False
    sent = []

    async def receive():
        return events.pop(0) if events else {"type": "http.disconnect"}

    async def send(event):
        sent.append(event)

    await application({"type": "http", "method": method, "path": path, "headers": list(headers)}, receive, send)
    if not sent:
        return None
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(event.get("body", b"") for event in sent)


async def test_a_body_may_come_in_pieces(application):
    body = json.dumps(request()).encode()
    status, headers, answer = await send_http(application, chunks=(body[:9], body[9:]))
    assert (status, json.loads(answer)["result"]) == (200, "0x7a69")
    assert headers[b"content-length"] == str(len(answer)).encode()
    assert headers[b"access-control-allow-origin"] == b"*"


async def test_preflight(application):
    status, headers, body = await send_http(application, "OPTIONS")
    assert (status, body) == (204, b"")
    assert headers[b"access-control-allow-origin"] == b"*"
    assert b"POST" in headers[b"access-control-allow-methods"]
    assert headers[b"access-control-allow-headers"] == b"*"


@pytest.mark.parametrize("origin", [b"null", b"http://127.0.0.1:8645", b"https://elsewhere.example"])
async def test_pages_of_any_origin_may_ask_also_those_read_from_disk(application, origin):
    asked = [(b"origin", origin), (b"content-type", b"application/json")]
    wanted = [(b"origin", origin), (b"access-control-request-headers", b"content-type")]
    for method, sent in (("OPTIONS", wanted), ("POST", asked)):
        _, headers, _ = await send_http(application, method, chunks=(json.dumps(request()).encode(),), headers=sent)
        assert headers[b"access-control-allow-origin"] == b"*"


async def test_a_notification_has_no_body(application):
    body = json.dumps({"jsonrpc": "2.0", "method": "eth_chainId"}).encode()
    status, _, answer = await send_http(application, chunks=(body,))
    assert (status, answer) == (204, b"")


async def test_a_body_is_bounded(application):
    piece = b" " * (1 << 20)
    status, _, answer = await send_http(application, chunks=(piece,) * 6)
    assert (status, json.loads(answer)["error"]["code"]) == (413, -32600)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 405), ("PUT", "/", 405), ("POST", "/health", 405), ("POST", "/other", 404), ("GET", "/health", 200)],
)
async def test_other_requests(application, method, path, status):
    assert (await send_http(application, method, path))[0] == status


async def test_a_client_that_hangs_up_is_not_answered(application):
    async def receive():
        return {"type": "http.disconnect"}

    async def send(event):
        raise AssertionError(event)

    await asyncio.wait_for(application({"type": "http", "method": "POST", "path": "/"}, receive, send), 5)
