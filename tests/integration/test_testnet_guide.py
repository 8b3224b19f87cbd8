"""docs/testnet.md, command by command, on a local Ethereum with Sepolia's number; its table, and what it points to."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from client.settlement import COMMITTED_TOPIC
from contracts import compute_commit_gas
from node.config import load_config
from tests.integration.anvil import start_anvil
from tests.network import PATIENCE_SECONDS, ROOT
from tests.unit.client.source_server import API_KEY, SourceServices, serve_sources

GUIDE = (ROOT / "docs" / "testnet.md").read_text()
START = "tally node --config node.toml\n"
GAS_PRICES_GWEI = (1, 5, 20, 50)


def make_cost_table() -> str:
    """Ether, of one commitment and of one an hour for a day and for 30 days."""
    lines = ["| gas price | assets | one | a day | 30 days |", "|---|---|---|---|---|"]
    for price in GAS_PRICES_GWEI:
        for count in (1, 4):
            gwei = compute_commit_gas(count) * price
            cells = [show_ether(gwei * times) for times in (1, 24, 24 * 30)]
            lines.append(f"| {price} gwei | {count} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def show_ether(gwei: int) -> str:
    """With five decimals, rounded."""
    whole, part = divmod((gwei + 5_000) // 10_000, 10**5)
    return f"{whole}.{part:05}"


def find_commands() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)


def test_the_table_of_costs_is_what_the_contract_costs() -> None:
    table = GUIDE.split("a test holds this table to it -->\n\n", 1)[1]
    assert table.startswith(make_cost_table()), f"in its place:\n{make_cost_table()}"


def test_the_topic_is_the_events() -> None:
    assert f"`0x{COMMITTED_TOPIC.hex()}`" in GUIDE


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", GUIDE))
def test_what_it_points_to_is_there(target: str) -> None:
    assert (ROOT / "docs" / target).exists()


def test_the_example_is_a_configuration_once_it_is_filled_in(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "sepolia.toml").read_text()
    path = tmp_path / "node.toml"
    for number in (1, 2, 3):
        text = text.replace(f"<https://sepolia endpoint {number}>", f"https://sepolia{number}.example/key")
    text = text.replace("<address of the contract>", "0x5FbDB2315678afecb367f032d93F642f64180aa3")
    assert "<" not in text.split("data_dir", 1)[1]
    path.write_text(text)
    config = load_config(path, {})
    assert config.ethereum.chain_id == 11_155_111
    assert len(config.ethereum.urls) == 3
    assert config.ethereum.confirmations is None
    assert config.escrow is not None
    assert config.market.to_market().commission == 500


def test_the_compose_profile_is_the_node_alone() -> None:
    """Read by indentation: there is no YAML library here, and one for this would be one too many."""
    text = (ROOT / "docker-compose.yml").read_text()
    services = text.split("\nservices:\n", 1)[1].split("\nvolumes:\n", 1)[0]
    found = dict(re.findall(r"^  (\w+):\n((?:    .*\n|\n|  #.*\n)*)", services, re.MULTILINE))
    assert list(found) == ["ethereum", "deploy", "node", "testnet"]
    assert [name for name, body in found.items() if "profiles:" in body] == ["testnet"]
    testnet = found["testnet"]
    assert "profiles: [testnet]" in testnet
    assert "depends_on" not in testnet and "ethereum" not in testnet
    assert "command: [node, --config, /config/node.toml]" in testnet
    assert "- ${TALLYSTICK_CONFIG:-./sepolia}:/config:ro" in testnet and "- testnet:/data" in testnet
    assert "TALLYSTICK_DATA_DIR: /data/ledger" in testnet


@pytest.fixture
def chain(anvil_path: Path, tmp_path: Path) -> Iterator[str]:
    """Mines by the clock, and finalises: its URL."""
    options = ("--block-time", "1", "--slots-in-an-epoch", "1", "--chain-id", "11155111")
    with start_anvil(anvil_path, tmp_path, *options) as url:
        yield url


@pytest.fixture
def services() -> Iterator[SourceServices]:
    with serve_sources() as services:
        yield services


@pytest.mark.long
def test_the_commands_of_the_guide(chain: str, services: SourceServices, tmp_path: Path) -> None:
    blocks = find_commands()
    start = blocks.index(START)
    log = tmp_path / "node.log"
    before = "".join(blocks[:start])
    # What the reader puts in, and what would take hours.
    replaced = {
        'make setup && export PATH="$PWD/.venv/bin:$PATH"\n': "",
        "https://sepolia.example/your-key": chain,
        "ETHERSCAN_API_KEY=your-key": f"ETHERSCAN_API_KEY={API_KEY}",
        "--min-interval 300": "--min-interval 1",
        "epoch_seconds = 600 /": "epoch_seconds = 3 /",
    }
    for old, new in replaced.items():
        assert before.count(old) == 1, old
        before = before.replace(old, new)
    # The faucet.
    funded = "export LISTING=0x0000000000000000000000000000000000015710\n"
    assert funded in before
    faucet = (
        'for name in gas alice; do cast rpc anvil_setBalance "$(tally keys show $name --json | '
        'python3 -c \'import json, sys; print(json.load(sys.stdin)["address"])\')" 0xb1a2bc2ec50000 '
        f"--rpc-url {chain} > /dev/null; done\n"
    )
    before = before.replace(funded, funded + faucet)
    script = f"""
set -euo pipefail
{before}
echo "configuration: $PWD/node.toml"
TALLYSTICK_PORT=0 {START.strip()} > {log} 2>&1 &
node=$!
trap 'kill $node; wait $node || true' EXIT
while ! grep -q 'listening on port' {log}; do sleep 0.2; kill -0 $node; done
export TALLY_NODE_URL=http://127.0.0.1:$(sed -n 's/.*listening on port //p' {log} | head -1)
""" + "".join(blocks[start + 1 :]).replace("http://127.0.0.1:8645", "$TALLY_NODE_URL")
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    tally = bin_directory / "tally"
    tally.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m client.cli "$@"\n')
    tally.chmod(0o755)
    (bin_directory / "cast").symlink_to(ROOT / "tests" / "node_modules" / ".bin" / "cast")
    (tmp_path / "script").write_text(script)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TALLY", "ETHERSCAN"))},
        "HOME": str(tmp_path),
        "PATH": f"{bin_directory}:{os.environ['PATH']}",
        "TALLY_SOURCIFY_URL": services.sourcify_url,
        "TALLY_ETHERSCAN_URL": services.etherscan_url,
    }
    done = subprocess.run(
        ["bash", str(tmp_path / "script")], input="y\n" * 20,
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=3 * PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said + (log.read_text() if log.exists() else "")
    for words in ("Sepolia (11155111)", "the code is this release's", "published", "COMMITTED"):
        assert words in done.stdout + done.stderr, said
    settlement = load_config(tmp_path / "sepolia" / "node.toml", {}).ethereum.settlement
    topic = "0x" + COMMITTED_TOPIC.hex()
    query = {"address": settlement, "topics": [topic], "fromBlock": "0x0", "toBlock": "latest"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [query]}
    assert requests.post(chain, json=call, timeout=30).json()["result"]
    health, _ = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index('{"status"') :])
    assert health["status"] in ("ready", "degraded")
