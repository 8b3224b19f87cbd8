"""A node that cannot pay for its commitments, and strangers who send them in its place."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from eth_account import Account

from tests.network import Network, run_network, wait_until

pytestmark = pytest.mark.long

STRANGER = 5


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """The node's own key has never had any ether."""
    directory = tmp_path_factory.mktemp("network")
    keystore, password_file = directory / "poor.json", directory / "password"
    keystore.write_text(json.dumps(Account.encrypt(secrets.token_bytes(32), "a password", "pbkdf2", 2)))
    password_file.write_text("a password")
    keys = {"TALLYSTICK_GAS__KEYSTORE": str(keystore), "TALLYSTICK_GAS__PASSWORD_FILE": str(password_file)}
    with run_network(directory, "--epoch-seconds", "2", "--challenge-period", "3600", **keys) as running:
        yield running


def make_waiting(network: Network) -> int:
    """The epoch whose commitment waits, after a payment if there is none: the one after it is cut only once it is in
    the contract."""
    last = network.call("tally_getInfo")["lastCommitment"]
    if last["sealed"] == last["mined"]:
        network.call("tally_sendPayment", *network.sign(0, [(network.addresses[1], 1)]))
    epoch = int(last["mined"], 16) + 1
    wait_until(lambda: "result" in network.ask("tally_getCommitment", epoch), f"the seal of epoch {epoch}")
    return epoch


def read_committer(network: Network) -> dict[str, Any]:
    checks = requests.get(network.facts["rpcUrl"] + "/health/ready", timeout=10).json()["checks"]
    return dict(checks["committer"])


def find_mined(network: Network) -> int:
    return int(network.call("tally_getInfo")["lastCommitment"]["mined"], 16)


def test_a_stranger_commits_for_a_node_without_ether_and_the_ledger_goes_on(network: Network, tmp_path: Path) -> None:
    for _ in range(2):
        epoch = make_waiting(network)
        wait_until(lambda: read_committer(network)["state"] == "out_of_funds", "the name of what is wrong")
        listed = network.run_tally("commitments", home=tmp_path)
        assert listed.status == 0 and "out_of_funds" in listed.errors, listed
        sent = network.run_tally("commit", "--yes", "--json", home=tmp_path, key=STRANGER)
        assert sent.status == 0, sent
        shown = json.loads(sent.output)
        assert int(shown["epoch"], 16) == epoch
        wait_until(lambda epoch=epoch: find_mined(network) == epoch, "the node's adopting it")
        way = network.call("tally_getCommitment", epoch)
        assert (way["status"], way["isOurs"], way["cost"]) == ("mined", False, "0x0")
        assert (way["l1Transaction"], way["l1Block"]) == (shown["l1Transaction"], shown["l1Block"])
        assert (way["gasUsed"], way["effectiveGasPrice"]) == (shown["gasUsed"], shown["effectiveGasPrice"])
    page = requests.get(f"{network.facts['rpcUrl']}/epoch/{epoch}", timeout=10).text
    assert "sent by somebody else" in page
    again = network.run_tally("commit", str(epoch), "--yes", "--json", home=tmp_path, key=STRANGER)
    assert again.status == 1 and json.loads(again.errors.splitlines()[-1])["error"]["code"] == "already_included", again


def test_a_stranger_needs_no_node_but_the_commitment(network: Network, tmp_path: Path) -> None:
    """It was saved in time, or comes from a mirror; what came before it stands in the contract's logs."""
    epoch = make_waiting(network)
    file = tmp_path / "commitment.json"
    file.write_text(network.run_tally("commitments", str(epoch), "--json", home=tmp_path).output)
    nowhere = {"TALLY_NODE_URL": "http://127.0.0.1:1"}
    sent = network.run_tally("commit", "--yes", "--file", str(file), home=tmp_path, key=STRANGER, **nowhere)
    assert sent.status == 0, sent
    wait_until(lambda: find_mined(network) == epoch, "the node's adopting it")
    assert network.call("tally_getCommitment", epoch)["isOurs"] is False
