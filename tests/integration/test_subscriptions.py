"""A real node's WebSocket, as clients use it, and its answers against the OpenRPC document that it gives."""

import contextlib
import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema import ValidationError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from chain import wire
from chain.hashing import keccak
from tests.network import Network, run_network, wait_until
from tests.openrpc import Interface, check_document

PATIENCE_SECONDS = 60
"""Longer than anything here takes."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    directory = tmp_path_factory.mktemp("network")
    with run_network(directory, "--epoch-seconds", "3", "--challenge-period", "4") as running:
        yield running


class Client:
    def __init__(self, network: Network) -> None:
        url = network.facts["rpcUrl"].replace("http", "ws", 1) + "/ws"
        self._stack = contextlib.ExitStack()
        self._connection: ClientConnection = self._stack.enter_context(connect(url, max_size=None, compression=None))
        self._told: list[Any] = []

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def drop(self) -> None:
        """Without a word."""
        self._connection.socket.close()

    def send(self, message: Any) -> None:
        self._connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def receive(self) -> Any:
        return json.loads(self._connection.recv(PATIENCE_SECONDS))

    def ask(self, method: str, *params: Any) -> Any:
        self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        while "id" not in (message := self.receive()):
            self._told.append(message)
        return message

    def call(self, method: str, *params: Any) -> Any:
        answer = self.ask(method, *params)
        assert "result" in answer, answer
        return answer["result"]

    def hear(self, subscription: str) -> Any:
        message = self._told.pop(0) if self._told else self.receive()
        assert message["method"] == "tally_subscription" and message["params"]["subscription"] == subscription, message
        return message["params"]["result"]

    def expect_close(self, code: int) -> None:
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                self._connection.recv(PATIENCE_SECONDS)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == code


@pytest.fixture(scope="module")
def interface(network: Network) -> Interface:
    document = network.call("rpc.discover")
    check_document(document)
    return Interface(document)


def make_address() -> bytes:
    return secrets.token_bytes(20)


@pytest.mark.timed
def test_a_payment_is_heard_of_within_a_second(network: Network, interface: Interface) -> None:
    payee = make_address()
    with Client(network) as client:
        payments = client.call("tally_subscribe", "payments", {"account": wire.encode_address(payee)})
        signed = network.sign(0, [(payee, 5)])
        began = time.monotonic()
        receipt = network.call("tally_sendPayment", *signed)
        heard = client.hear(payments)
        assert time.monotonic() - began < 1
        siblings = receipt.pop("siblings")
        assert heard == receipt and siblings == []
        interface.check_form("ListedPayment", heard)
        listed = network.call("tally_listPayments", {"account": wire.encode_address(payee)})["items"]
        assert [{**item, "status": "accepted", "commitment": None} for item in listed] == [heard]

        assert client.call("tally_unsubscribe", payments) is True
        blocks = client.call("tally_subscribe", "blocks")
        later = client.call("tally_sendPayment", *network.sign(0, [(payee, 5)]))
        while (header := client.hear(blocks))["number"] != later["block"]["number"]:
            pass
        assert header == later["block"]
        interface.check_form("Header", header)


def test_a_commitment_is_heard_of_on_its_way_to_ethereum(network: Network, interface: Interface) -> None:
    with Client(network) as client:
        subscription = client.call("tally_subscribe", "commitments")
        sent = network.call("tally_sendPayment", *network.sign(1, [(make_address(), 5)]))
        seen: list[Any] = []
        epoch = None
        while not seen or seen[-1]["status"] != "final":
            heard = client.hear(subscription)
            interface.check_form("Commitment", heard)
            if epoch is None and heard["status"] == "mined":
                receipt = network.call("tally_getReceipt", sent["id"])
                if receipt["commitment"] is not None:
                    epoch = receipt["commitment"]["epoch"]
            if heard["epoch"] == epoch:
                seen.append(heard)
        assert [form["status"] for form in seen] == ["mined", "final"]
        assert {**network.call("tally_getCommitment", epoch), "confirmations": None} == {
            **seen[-1],
            "confirmations": None,
        }


def test_a_client_that_comes_back_under_load_has_missed_nothing(network: Network) -> None:
    """Four payers send batches meanwhile; the client is dropped ten times, wherever it is."""
    payee = make_address()
    account = wire.encode_address(payee)
    first = int(network.call("tally_getBlock", "latest")["header"]["number"], 16) + 1
    nonces = {payer: network.next_nonce(payer) for payer in (2, 3, 4, 5)}
    sent: dict[str, int] = {}

    def pay(payer: int) -> None:
        session = requests.Session()
        for at in range(0, 200, 20):
            calls: list[tuple[str, list[Any]]] = [
                ("tally_sendPayment", network.sign(payer, [(payee, 1)], nonce=nonces[payer] + at + number))
                for number in range(20)
            ]
            for answer in network.batch(calls, session):
                sent[answer["result"]["id"]] = int(answer["result"]["block"]["number"], 16)

    threads = [threading.Thread(target=pay, args=(payer,)) for payer in nonces]
    for thread in threads:
        thread.start()
    heard: dict[str, int] = {}
    following = first
    while len(heard) < 800:
        client = Client(network)
        subscription = client.call("tally_subscribe", "payments", {"account": account, "fromBlock": following})
        count, begin = 0, following
        # The block that a client is dropped in is heard again from its beginning: it must hear into another one.
        while len(heard) < 800 and (count < 70 or following == begin):
            item = client.hear(subscription)
            number = int(item["block"]["number"], 16)
            assert number >= following, "in order"
            count, following = count + 1, number
            heard[item["id"]] = number
        client.drop()
    for thread in threads:
        thread.join()
    assert heard == sent


def test_a_connection_answers_as_post_does(network: Network) -> None:
    call = {"jsonrpc": "2.0", "id": 7, "method": "tally_getBlock", "params": [1]}
    payee = make_address()
    nonce = network.next_nonce(6)
    payments = [
        {"jsonrpc": "2.0", "id": number, "method": "tally_sendPayment", "params": params}
        for number, params in enumerate([network.sign(6, [(payee, 1)], nonce=nonce + each) for each in range(50)])
    ]
    with Client(network) as client:
        for message in (call, [call, {**call, "method": "tally_nothing"}, 7], "junk", "[]", "[" * 100_000):
            text = message if isinstance(message, str) else json.dumps(message)
            client.send(text)
            assert client.receive() == network.post(text.encode()).json()
        client.send([*payments[:25], {**call, "method": "tally_subscribe", "params": ["blocks"]}])
        answers = client.receive()
        assert [answer["id"] for answer in answers] == [*range(25), 7]
        for each in payments[25:]:  # without waiting for answers
            client.send(each)
        seen = []
        while len(seen) < 25:
            message = client.receive()
            if "id" in message:
                seen.append(message)
        assert [answer["id"] for answer in seen] == list(range(25, 50))
        assert network.get_balance(payee) == 50
    for method in ("tally_subscribe", "tally_unsubscribe"):
        assert network.refuse(method, "blocks") == "connection_required"


def test_frames_that_are_none_of_ours_end_their_connection_and_no_other(network: Network) -> None:
    with Client(network) as other:
        with Client(network) as client:
            client.send(b'{"jsonrpc":"2.0","id":1,"method":"tally_getInfo","params":[]}')
            client.expect_close(1003)
        with Client(network) as client:
            with contextlib.suppress(ConnectionClosed):  # before it is sent whole
                client.send(" " * ((8 << 20) + 1))
            client.expect_close(1009)
        with Client(network) as client:
            client._connection.socket.sendall(b"\x81\x82\x00\x00\x00\x00\xff\xff")
            client.expect_close(1007)
        other.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tally_getInfo", "params": []}).ljust(8 << 20))
        assert other.receive()["result"]["name"] == "tallystick"
    assert requests.get(network.facts["rpcUrl"] + "/ws", timeout=30).status_code == 426
    wait_until(lambda: "tally_websocket_connections 0.0" in read_metrics(network), "the end of all connections")
    assert "tally_subscriptions 0.0" in read_metrics(network)


def read_metrics(network: Network) -> str:
    return requests.get(network.facts["rpcUrl"] + "/metrics", timeout=30).text


def test_every_answer_fits_the_document(network: Network, interface: Interface) -> None:
    alice, bob, token = network.facts["accounts"][7]["address"], wire.encode_address(make_address()), None
    token = network.facts["token"]
    payee = wire.decode_address(bob, "payee")
    sent = network.sign(7, [(payee, 3), (network.addresses[8], 4)], memo="⟨memo⟩", reference=keccak(b"a file"))
    receipt = network.call("tally_sendPayment", *sent)
    interface.check_params("tally_sendPayment", sent)
    interface.check_result("tally_sendPayment", receipt)
    withdrawal = network.call("tally_sendPayment", *network.sign(7, [(payee, 3)], kind="withdraw"))
    details = {"asset": token, "from": alice, "outputs": [{"to": bob, "amount": 1}]}

    def check(method: str, *params: Any) -> Any:
        interface.check_params(method, list(params))
        result = network.call(method, *params)
        interface.check_result(method, result)
        return result

    def check_all() -> None:
        check("tally_getInfo")
        for payment_id in (receipt["id"], withdrawal["id"]):
            check("tally_getReceipt", payment_id)
            check("tally_getPayment", payment_id)
            check("tally_getPaymentProof", payment_id)
        check("tally_getAccount", alice)
        check("tally_getAccount", wire.encode_address(make_address()))
        for block in (1, "latest", receipt["block"]["number"], receipt["block"]["hash"]):
            check("tally_getBlock", block)
        epoch = check("tally_getPayment", receipt["id"])["epoch"]
        for account in (alice, bob):
            check("tally_getStatement", account, token, epoch)
        check("tally_listPayments")
        check("tally_listPayments", {"account": alice, "kind": "transfer", "limit": 1})
        check("tally_quote", "transfer", details)

    check_all()
    network.wait_for_status(withdrawal["id"], "committed", "final")
    check_all()
    epoch = network.call("tally_getPayment", withdrawal["id"])["epoch"]
    for which in ("latest", epoch, int(epoch, 16)):
        check("tally_getCommitment", which)
        check("tally_getAccountProof", alice, token, which)
    assert check("rpc.discover")["info"]["version"] == network.call("tally_getInfo")["version"]
    with pytest.raises(ValidationError):
        interface.check_result("tally_getReceipt", {**receipt, "extra": 1})


def test_a_refusal_is_named_in_the_document(network: Network, interface: Interface) -> None:
    good = network.sign(9, [(make_address(), 1)])
    for method, params in (
        ("tally_getReceipt", ["0x" + "00" * 32]),
        ("tally_getReceipt", [7]),
        ("tally_sendPayment", [{**good[0], "memo": "another"}, good[1]]),
        ("tally_sendPayment", [{}, "0x"]),
        ("tally_sendPayment", network.sign(9, [(make_address(), 10**30)])),
        ("tally_getStatement", [wire.encode_address(make_address())] * 2 + [1]),
        ("tally_subscribe", ["blocks"]),
    ):
        error = network.ask(method, *params)["error"]
        named = {each["$ref"].rpartition("/")[2] for each in interface.methods[method]["errors"]}
        assert error["data"]["code"] in named, (method, error)


def test_the_failure_of_a_part_ends_the_node_and_is_told(network: Network) -> None:
    """And the client goes on with the next node where it was."""
    payee = make_address()
    with Client(network) as client:
        payments = client.call("tally_subscribe", "payments", {"account": wire.encode_address(payee)})
        network.call("tally_sendPayment", *network.sign(0, [(payee, 5)]))
        last = int(client.hear(payments)["block"]["number"], 16)
        node = network.find_node()
        assert node is not None
        workers = Path(f"/proc/{node}/task/{node}/children").read_text().split()
        os.kill(int(workers[0]), signal.SIGKILL)
        client.expect_close(1001)
    wait_until(lambda: network.find_node() not in (None, node) and network.is_serving(), "another node")
    with Client(network) as client:
        wanted = {"account": wire.encode_address(payee), "fromBlock": last + 1}
        payments = client.call("tally_subscribe", "payments", wanted)
        receipt = network.call("tally_sendPayment", *network.sign(0, [(payee, 5)]))
        assert client.hear(payments)["id"] == receipt["id"]


def test_the_end_of_the_node_is_told(network: Network) -> None:
    """The last test: the network is stopped."""
    with Client(network) as client, Client(network) as idle:
        client.call("tally_subscribe", "payments")
        network.stop()
        client.expect_close(1001)
        idle.expect_close(1001)
