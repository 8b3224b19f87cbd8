"""The data exchange as its users meet it: `tally` against a running network, from the upload to the buyer's file."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain import wire
from chain.primitives import ETHER
from tests.network import ROOT, Network

pytestmark = pytest.mark.long

CONTENT = b"temperatures of a lake\n" * 100_000


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path / "network", "--epoch-seconds", "3")
    network.start()
    yield network
    network.stop()


class Shell:
    def __init__(self, network: Network, directory: Path) -> None:
        self.network = network
        self.directory = directory
        self.environment = {
            **os.environ,
            "TALLY_HOME": str(directory / "home"),
            "TALLY_NODE_URL": network.facts["rpcUrl"],
            "TALLY_L1_URL": network.facts["l1Url"],
        }

    def run(self, *arguments: str, key: int | None = None, code: int = 0) -> Any:
        """The JSON of `tally … --json`; on standard error, if it fails."""
        signer = [] if key is None else ["--private-key", wire.encode_bytes(self.network.keys[key].secret), "--yes"]
        done = subprocess.run(
            [sys.executable, "-m", "client.cli", *arguments, *signer, "--json"],
            cwd=self.directory,
            env={**self.environment, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout or done.stderr.splitlines()[-1])


def test_a_file_is_sold_bought_decrypted_and_proven(network: Network, tmp_path: Path) -> None:
    tally = Shell(network, tmp_path)
    validator, mart, keeper, owner = (wire.encode_address(address) for address in network.addresses[:4])

    def get_balance(address: str) -> int:
        return next(
            int(line["balance"], 16)
            for line in network.call("tally_getAccount", address)["balances"]
            if line["asset"] == wire.encode_address(ETHER)
        )

    for key, role in enumerate(("validator", "mart", "service-node")):
        tally.run("register", role, key=key)
    (tmp_path / "lake.csv").write_bytes(CONTENT)
    before = {address: get_balance(address) for address in (validator, mart, keeper, owner)}
    listed = tally.run("upload", "lake.csv", "--price", "0.000000000000000003", "--owner", owner, "--days", "30", key=0)
    charge = int(listed["payment"]["payment"]["outputs"][0]["amount"], 16)
    file = listed["file"]
    assert tally.run("roles", owner)["ownerUnder"] == validator
    assert [item["file"] for item in tally.run("files", "lake")["items"]] == [file]

    bought = tally.run("purchase", file, "--decrypt", "lake.csv.encrypted", "--output", "bought.csv", key=1)
    assert (tmp_path / "bought.csv").read_bytes() == CONTENT != (tmp_path / "lake.csv.encrypted").read_bytes()
    changes = {address: get_balance(address) - before[address] for address in before}
    assert changes == {validator: 1 - charge, mart: -3, keeper: charge, owner: 2}
    again = tally.run("purchase", file, key=1, code=1)
    assert again["error"]["code"] == "already_purchased"
    assert again["error"]["payment"] == bought["receipt"]["id"]

    (tmp_path / "r.json").write_text(json.dumps(bought["receipt"]))
    checked = tally.run("check-purchase", "r.json", "--file", file, "--buyer", mart)
    assert (checked["bought"], checked["checkedPrice"]) == (True, True)
    assert tally.run("check-purchase", "r.json", "--file", file, "--buyer", keeper, code=1)

    tally.run("update-price", file, "0.000000000000000005", key=0)
    tally.run("extend", file, "--days", "5", key=0)
    shown = tally.run("file", file)
    assert (shown["price"], [point["price"] for point in shown["prices"]]) == ("0x5", ["0x5", "0x3"])
    tally.run("delist", file, key=0)
    assert tally.run("files", "lake")["items"] == []

    tally.run("receipt", listed["listing"]["id"], "--wait", "committed", "--out", "l.json")
    assert tally.run("verify", "l.json")["verdict"] in ("committed", "final")
    for method, subject in (("tally_getFileProof", file), ("tally_getRolesProof", owner)):
        (tmp_path / "p.json").write_text(json.dumps(network.call(method, subject, "latest")))
        report = tally.run("verify", "p.json", "--settlement", network.facts["settlement"])
        assert report["verdict"] in ("committed", "final")
    summary = tally.run("audit")
    assert (summary["instructions"], summary["disagreementCount"]) == (6, 0)
