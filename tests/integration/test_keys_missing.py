"""Keys that are not there at the start: named everywhere, and taken when they come, without a restart."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.fault.lone_node import LoneNode, run_l1, set_up_network
from tests.network import wait_until

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneNode]:
    directory = tmp_path_factory.mktemp("keys")
    with run_l1(tmp_path_factory.mktemp("l1")) as l1:
        with set_up_network(directory, l1, "--epoch-seconds", "1", "--challenge-period", "3600") as network:
            pass
        yield LoneNode(network)


@contextlib.contextmanager
def put_aside(path: Path) -> Iterator[Path]:
    """Its other name, from which the test may bring it back itself."""
    aside = path.with_suffix(".aside")
    path.rename(aside)
    try:
        yield aside
    finally:
        if aside.exists():
            aside.rename(path)


def read_state(url: str, check: str) -> str | None:
    try:
        checks = requests.get(url + "/health/ready", timeout=5).json()["checks"]
    except requests.RequestException:
        return None
    return str(checks[check]["state"]) if check in checks else None


def test_without_the_gas_key_payments_go_on_and_commitments_wait_for_it(node: LoneNode) -> None:
    with put_aside(node.data_dir.parent / "keys" / "gas.json") as aside, node.running():
        url = node.facts["rpcUrl"]
        wait_until(lambda: read_state(url, "committer") == "key_missing", "the name of what is wrong")
        answer = requests.get(url + "/health/ready", timeout=5)
        assert answer.status_code == 200 and answer.json()["status"] == "degraded"
        payment = node.call("tally_sendPayment", *node.sign(0, [(node.addresses[1], 1)]))["id"]
        page = requests.get(url + "/", timeout=10).text
        assert "key" in page.lower()
        aside.rename(aside.with_suffix(".json"))
        node.wait_for_status(payment, "committed")
        wait_until(lambda: read_state(url, "committer") == "idle", "an end of the alarm")


def test_without_the_operator_key_nothing_opens_until_it_is_there(node: LoneNode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with put_aside(node.data_dir.parent / "keys" / "operator.json") as aside:
        node.start_silently(TALLYSTICK_PORT=str(port))
        try:
            wait_until(lambda: read_state(url, "opening") == "operator_key_missing", "the name of what is wrong")
            assert requests.get(url + "/health/ready", timeout=5).status_code == 503
            assert 'tally_opening{state="operator_key_missing"} 1.0' in requests.get(url + "/metrics", timeout=5).text
            assert requests.get(url + "/", timeout=5).status_code == 503
            aside.rename(aside.with_suffix(".json"))
            assert node.read_port()
            payment = node.call("tally_sendPayment", *node.sign(0, [(node.addresses[1], 1)]))["id"]
            node.wait_for_status(payment, "committed")
        finally:
            node.stop()
