"""kill -9 of every process of a network under load. Nothing that was answered may be lost, doubled, or moved."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from chain import wire
from chain.commitment import hash_commitment
from client.settlement import Ethereum, SettlementReader
from tests.fault.load import Load
from tests.fault.processes import (
    find_l1,
    find_worker,
    is_alive,
    kill_node,
    list_descendants,
    wait_for_another,
)
from tests.network import Network, run_network, wait_until

SEED = int(os.environ.get("TALLY_TEST_SEED", "0")) or time.time_ns() % 2**32
"""Another one at every run; a failing one is run again by setting it."""

KILLS = 8
EPOCH_SECONDS = 2

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    print(f"TALLY_TEST_SEED={SEED}")
    directory = tmp_path_factory.mktemp("network")
    with run_network(directory, "--epoch-seconds", str(EPOCH_SECONDS), "--challenge-period", "3600") as running:
        yield running


def test_what_was_answered_survives_kills_under_load(network: Network, tmp_path: Path) -> None:
    rounds = random.Random(SEED)
    load = Load(network, f"{SEED} kills", range(6))
    before = load.read_balances()
    with load:
        for number in range(KILLS):
            known = len(load.receipts)
            load.wait_for_receipts(rounds.randint(1, 400))
            time.sleep(rounds.uniform(0, 0.02))  # some other place within the writing of a block
            kill_node(network)
            load.check_receipts(known)
            print(f"kill {number}: {len(load.receipts)} receipts, {load.repeated} sent again")
    assert load.repeated > 0
    load.check_receipts()
    load.check_ledger(before)
    check_commitments(network)
    check_audit(network, tmp_path)


@pytest.mark.parametrize("role", ["verifier", "indexer", "sealer"])
def test_the_death_of_a_worker_ends_the_node_and_another_one_goes_on(network: Network, role: str) -> None:
    load = Load(network, f"{SEED} {role}", range(6))
    before = load.read_balances()
    with load:
        load.wait_for_receipts(50)
        node = network.find_node()
        assert node is not None
        os.kill(find_worker(network, role), signal.SIGKILL)
        wait_until(lambda: not is_alive(node), f"the end of a node without its {role}")
        wait_for_another(network, node)
        load.wait_for_receipts(50)
    load.check_receipts()
    load.check_ledger(before)


def test_a_node_killed_between_cut_and_seal_seals_the_same_epoch(network: Network, tmp_path: Path) -> None:
    """With a sealer that still does its work and finds nobody to tell (SIGCONT), or with one that never does."""
    ending = random.Random(f"{SEED} cut").choice([signal.SIGCONT, signal.SIGKILL])
    print(f"the sealer's end: {ending.name}")
    with Load(network, f"{SEED} cut", range(2)) as load:
        load.wait_for_receipts(20)
        wait_until_caught_up(network)
        sealer = find_worker(network, "sealer")
        os.kill(sealer, signal.SIGSTOP)
        epoch = read_position(network)["epoch"]
        wait_until(lambda: read_position(network)["epoch"] > epoch, "a cut")
        load.wait_for_receipts(20)  # blocks of the next epoch stand between the cut and its seal
        assert read_position(network)["sealed"] < epoch
        kill_node(network, ending)
        wait_until(lambda: read_position(network)["mined"] >= epoch, f"epoch {epoch} on Ethereum")
    load.check_receipts()
    check_commitments(network)
    check_audit(network, tmp_path)


def test_a_node_killed_between_seal_and_commitment_commits_it_once(network: Network, tmp_path: Path) -> None:
    """Ethereum stands still meanwhile, so that the kill hits a commitment that is signed and not mined."""
    l1 = find_l1(network)
    with Load(network, f"{SEED} seal", range(2)) as load:
        load.wait_for_receipts(20)
        wait_until_caught_up(network)
        os.kill(l1, signal.SIGSTOP)
        try:
            epoch = read_position(network)["mined"] + 1
            wait_until(lambda: read_position(network)["sealed"] >= epoch, f"the seal of epoch {epoch}")
            signed = network.call("tally_getCommitment", epoch)
            kill_node(network)
            load.wait_for_receipts(10)  # without Ethereum, payments go on
            again = network.call("tally_getCommitment", epoch)
            assert (again["message"], again["signature"]) == (signed["message"], signed["signature"])
        finally:
            os.kill(l1, signal.SIGCONT)
        wait_until(lambda: read_position(network)["mined"] >= epoch, f"epoch {epoch} on Ethereum")
    check_commitments(network)
    check_audit(network, tmp_path)


def test_kills_around_every_step_of_an_epoch_leave_one_commitment_each(network: Network, tmp_path: Path) -> None:
    """As soon as a step is seen to be done, for each step in turn."""
    with Load(network, f"{SEED} steps", range(4)) as load:
        for name in ("epoch", "sealed", "sent", "mined"):
            load.wait_for_receipts(5)
            now = read_position(network)[name]
            wait_until(lambda name=name, now=now: read_position(network)[name] > now, f"the next {name}")  # type: ignore[misc]
            kill_node(network)
    load.check_receipts()
    check_commitments(network)
    check_audit(network, tmp_path)


def test_a_whole_network_killed_goes_on_where_it_was(network: Network, tmp_path: Path) -> None:
    load = Load(network, f"{SEED} network", range(4))
    before = load.read_balances()
    with load:
        load.wait_for_receipts(100)
        facts, l1_block = network.facts, read_l1_head(network)
        assert network.process is not None
        others = list_descendants(network.process.pid)
        assert len(others) >= 6  # Ethereum, node, two verifiers, indexer, sealer
        network.stop(signal.SIGKILL)
        wait_until(lambda: not any(is_alive(pid) for pid in others), "the end of all processes")
        network.start("--port", facts["rpcUrl"].rsplit(":", 1)[1])
        load.wait_for_receipts(50)
    for name in ("settlement", "token", "ledgerChainId", "operator", "accounts", "dataDir", "rpcUrl"):
        assert network.facts[name] == facts[name], name
    number, block_hash = l1_block
    assert ask_l1(network, "eth_getBlockByNumber", hex(number), False)["hash"] == block_hash
    load.check_receipts()
    load.check_ledger(before)
    check_commitments(network)
    check_audit(network, tmp_path)


# --- what must hold of Ethereum


def check_commitments(network: Network) -> None:
    """Once all epochs that have something in them are committed: each exactly once, in order, each naming the one
    before it, none left out."""
    epochs = wait_for_all_committed(network)
    ethereum = Ethereum.at(network.facts["l1Url"])
    try:
        reader = SettlementReader(ethereum, network.domain.verifying_contract)
        committed = list(reader.read_committed(1, 0))
    finally:
        ethereum.close()
    assert [event.commitment.epoch for event in committed] == list(range(1, epochs + 1))
    previous, last_block = bytes(32), 0
    for event in committed:
        assert event.commitment.previous == previous
        assert event.commitment.first_block == last_block + 1
        assert event.digest == hash_commitment(event.commitment, network.domain)
        published = network.call("tally_getCommitment", event.commitment.epoch)
        assert published["message"] == wire.encode_commitment(event.commitment)
        assert published["l1Transaction"] == wire.encode_bytes(event.l1_transaction)
        previous, last_block = event.digest, event.commitment.last_block


def check_audit(network: Network, home: Path) -> None:
    outcome = network.run_tally("audit", "--json", home=home)
    assert outcome.status == 0, outcome
    summary = json.loads(outcome.output)
    assert summary["replayed"]
    assert summary["disagreementCount"] == 0


# --- where the network is


def read_position(network: Network) -> dict[str, int]:
    """`epoch` is the open one; `sealed`, `sent` and `mined` are the last epochs of which that is true."""
    info = network.call("tally_getInfo")
    sealed = int(info["lastCommitment"]["sealed"], 16)
    latest = network.call("tally_getCommitment", "latest") if sealed else {"attempts": [], "l1Transaction": None}
    return {
        "epoch": int(info["epoch"], 16),
        "sealed": sealed,
        "sent": sealed if latest["attempts"] or latest["l1Transaction"] else sealed - 1,
        "mined": int(info["lastCommitment"]["mined"], 16),
    }


def wait_until_caught_up(network: Network) -> None:
    """Until whatever was cut is mined. Under load the next cut is an epoch away then."""

    def is_caught_up() -> bool:
        position = read_position(network)
        return position["epoch"] - 1 == position["sealed"] == position["mined"]

    wait_until(is_caught_up, "every cut epoch on Ethereum")


def wait_for_all_committed(network: Network) -> int:
    """Until the last block is in a mined epoch, whose number it returns. Nothing may be paid meanwhile."""

    def is_all_committed() -> bool:
        if read_position(network)["sealed"] == 0:
            return False
        latest = network.call("tally_getCommitment", "latest")
        head = network.call("tally_getInfo")["headBlock"]
        return bool(latest["l1Transaction"]) and latest["message"]["lastBlock"] == head

    wait_until(is_all_committed, "every block in a mined epoch")
    return read_position(network)["mined"]


def read_l1_head(network: Network) -> tuple[int, str]:
    block = ask_l1(network, "eth_getBlockByNumber", "latest", False)
    return int(block["number"], 16), block["hash"]


def ask_l1(network: Network, method: str, *params: Any) -> Any:
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    answer = requests.post(network.facts["l1Url"], json=call, timeout=30).json()
    assert "result" in answer, answer
    return answer["result"]
