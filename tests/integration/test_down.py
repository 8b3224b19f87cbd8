"""Ethereum away: payments go on, the trouble has a name, and what waited is committed once Ethereum is back."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from devnet.l1.process import L1Process
from tests.fault.lone_node import LoneNode, run_l1, set_up_network
from tests.network import Network, wait_until

pytestmark = pytest.mark.long


class Ethereum:
    """An embedded Ethereum that can be taken away, and comes back where it was."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._resources = ExitStack()
        self.l1: L1Process | None = None
        self._port = 0

    def start(self) -> L1Process:
        self.l1 = self._resources.enter_context(run_l1(self._directory, self._port))
        self._port = self.l1.port
        return self.l1

    def kill(self) -> None:
        assert self.l1 is not None
        self.l1.process.kill()
        self.l1.process.wait()

    def close(self) -> None:
        self._resources.close()


@pytest.fixture(scope="module")
def ethereum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ethereum]:
    ethereum = Ethereum(tmp_path_factory.mktemp("l1"))
    yield ethereum
    ethereum.close()


@pytest.fixture(scope="module")
def node(ethereum: Ethereum, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneNode]:
    """Running, with its first epoch committed."""
    directory = tmp_path_factory.mktemp("down")
    options = ("--epoch-seconds", "1", "--challenge-period", "3600")
    with set_up_network(directory, ethereum.start(), *options) as network:
        network.wait_for_status(pay(network), "committed")
    node = LoneNode(network)
    node.start()
    yield node
    if node.process is not None and node.process.poll() is None:
        node.stop()


def pay(network: Network, payer: int = 0) -> str:
    sent: str = network.call("tally_sendPayment", *network.sign(payer, [(network.addresses[1], 1)]))["id"]
    return sent


def read_health(network: Network) -> tuple[int, dict[str, Any]]:
    response = requests.get(network.facts["rpcUrl"] + "/health/ready", timeout=30)
    return response.status_code, response.json()


def test_payments_go_on_without_ethereum_and_commitments_catch_up(
    ethereum: Ethereum, node: LoneNode, tmp_path: Path
) -> None:
    wait_until(lambda: read_health(node)[1]["status"] == "ready", "a healthy node")
    ethereum.kill()

    def is_named() -> bool:
        status, health = read_health(node)
        assert status == 200  # payments are taken, so a load balancer must not turn away
        states = {name: check["state"] for name, check in health["checks"].items()}
        return (
            health["status"] == "degraded"
            and states["watcher"] == states["committer"] == "l1_unreachable"
            and health["checks"]["endpoints"]["state"] == "no_quorum"
            and health["checks"]["endpoints"]["detail"].endswith(" is failing")
        )

    wait_until(is_named, "the trouble's name")
    sent = [pay(node) for _ in range(5)]

    # A node that dies meanwhile comes back without Ethereum, and with all of it.
    node.stop(signal.SIGKILL)
    node.start()
    assert [node.call("tally_getReceipt", payment)["id"] for payment in sent] == sent
    sent += [pay(node) for _ in range(5)]
    wait_until(is_named, "the trouble's name")
    epoch = int(node.call("tally_getPayment", sent[-1])["epoch"], 16)

    # Overdue by a whole epoch: it waits, and says for what.
    def is_waiting() -> str | None:
        checks = read_health(node)[1]["checks"]
        return checks["epochs"]["detail"] if checks["epochs"]["state"] == "late" else None

    sealed = int(node.call("tally_getInfo")["lastCommitment"]["sealed"], 16)
    mined = int(node.call("tally_getInfo")["lastCommitment"]["mined"], 16)
    assert sealed <= mined + 1  # never more than one signed commitment that Ethereum has not seen
    assert wait_until(is_waiting, "the overdue epoch's name")
    assert int(node.call("tally_getInfo")["epoch"], 16) <= epoch + 1

    ethereum.start()
    for payment in sent:
        node.wait_for_status(payment, "committed")
    wait_until(lambda: read_health(node)[1]["status"] == "ready", "a healthy node")
    audit = node.run_tally("audit", "--json", home=tmp_path)
    assert audit.status == 0, audit
    assert json.loads(audit.output)["replayed"]


def test_a_first_start_waits_for_ethereum_and_ends_when_told(ethereum: Ethereum, node: LoneNode) -> None:
    """Without the contract's constants on disk there is nothing that could be signed."""
    if node.process is not None and node.process.poll() is None:
        node.stop()
    (node.data_dir / "deployment.json").unlink()
    ethereum.kill()
    started = len(node.read_log())
    node.start_silently()
    wait_until(lambda: "waiting for Ethereum" in node.read_log()[started:], "a node that waits")
    node.stop()
    assert node.process is not None
    assert node.process.returncode == 0

    node.start_silently()
    wait_until(lambda: node.read_log()[started:].count("waiting for Ethereum") > 1, "a node that waits")
    ethereum.start()
    node.read_port()
    wait_until(node.is_serving, "an answer")
    node.wait_for_status(pay(node), "committed")
    node.stop()
    assert node.process.returncode == 0


def test_another_chain_on_that_port_is_named_and_nothing_is_sent_to_it(
    ethereum: Ethereum, node: LoneNode, tmp_path: Path
) -> None:
    """Another network's Ethereum answers under the same URL: same chain id, but no contract there."""
    if node.process is None or node.process.poll() is not None:
        node.start()
    # A node whose Ethereum was never the right one ends: that is a configuration to be put right, not a fault.
    node.wait_for_status(pay(node), "committed")
    assert ethereum.l1 is not None
    port = ethereum.l1.port
    mined = int(node.call("tally_getInfo")["lastCommitment"]["mined"], 16)
    ethereum.kill()
    with run_l1(tmp_path / "other", port):
        sent = pay(node)

        def is_named() -> bool:
            status, health = read_health(node)
            states = {name: check["state"] for name, check in health["checks"].items()}
            return (
                status == 200
                and states["watcher"] == states["committer"] == "no_contract"
                and health["checks"]["endpoints"]["detail"].endswith(" is no_contract")
            )

        wait_until(is_named, "the wrong chain's name")
        assert node.call("tally_getReceipt", sent)["status"] == "accepted"
    ethereum.start()
    node.wait_for_status(sent, "committed")
    assert int(node.call("tally_getInfo")["lastCommitment"]["mined"], 16) > mined
    audit = node.run_tally("audit", home=tmp_path)
    assert audit.status == 0, audit
