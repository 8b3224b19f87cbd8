"""A real node: keys, `tally deploy`, the configuration it writes, `tally node`, on an Ethereum that is not ours."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from client.cli import run
from tests.integration.anvil import ask, start_anvil
from tests.network import ROOT, Outcome, wait_until

COLD_KEY = "0x00000000000000000000000000000000000C01D0"
LISTING_KEY = "0x0000000000000000000000000000000000015710"
EPOCH_SECONDS = 3

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def anvil(anvil_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Mines by the clock, and finalises: its URL."""
    options = ("--block-time", "1", "--slots-in-an-epoch", "1")
    with start_anvil(anvil_path, tmp_path_factory.mktemp("anvil"), *options) as url:
        yield url


class Operator:
    """Somebody who runs a ledger of their own, with a home directory and nothing else."""

    def __init__(self, home: Path, l1_url: str) -> None:
        self.home = home
        self.l1_url = l1_url
        self.password = home / "password"
        self.password.write_text("correct horse battery staple\n")
        self.config = home / "node.toml"
        self.addresses: dict[str, str] = {}
        self.settlement = ""
        self.node_url = ""

    def tally(self, *arguments: str, **environment: str) -> Outcome:
        done = subprocess.run(
            self._command(arguments), cwd=ROOT, env=self._environment(environment),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr)

    def do(self, *arguments: str) -> Any:
        """What the command answers; it must succeed."""
        outcome = self.tally(*arguments, "--json")
        assert outcome.status == 0, outcome
        return json.loads(outcome.output)

    def make_key(self, name: str) -> None:
        self.addresses[name] = self.do("keys", "new", name, "--password-file", str(self.password))["address"]

    def fund(self, name: str) -> None:
        (rich, *_) = ask(self.l1_url, "eth_accounts")
        payment = {"from": rich, "to": self.addresses[name], "value": hex(10**19)}
        transaction = ask(self.l1_url, "eth_sendTransaction", payment)
        wait_until(lambda: ask(self.l1_url, "eth_getTransactionReceipt", transaction), "the payment's block")

    @contextlib.contextmanager
    def running(self, config: Path | None = None) -> Iterator["subprocess.Popen[bytes]"]:
        """`tally node`, once it says its port. Killed at the end if it still runs."""
        log = self.home / "node.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._command(("node", "--config", str(config or self.config))),
                cwd=ROOT, env=self._environment({}), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        try:

            def read_port() -> "re.Match[str] | None":
                assert process.poll() is None, log.read_text()
                return re.search(r"listening on port (\d+)", log.read_text())

            found = wait_until(read_port, "the node's start")
            assert found is not None
            self.node_url = f"http://127.0.0.1:{found[1]}"
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def write_config(self, name: str, *changes: tuple[str, str]) -> Path:
        """The configuration with parts of its text replaced."""
        text = self.config.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = self.home / name
        path.write_text(text)
        return path

    @staticmethod
    def _command(arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "client.cli", *arguments]

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("TALLY")},
            "HOME": str(self.home),
            "TALLY_L1_URL": self.l1_url,
            "TALLY_NODE_URL": self.node_url,
            **({"TALLY_SETTLEMENT": self.settlement} if self.settlement else {}),
            **more,
        }


@pytest.fixture(scope="module")
def operator(anvil: str, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """With a contract deployed, and a configuration that `tally deploy` wrote."""
    operator = Operator(tmp_path_factory.mktemp("operator"), anvil)
    for name in ("operator", "gas", "alice", "bob"):
        operator.make_key(name)
    for name in ("gas", "alice"):
        operator.fund(name)
    deployed = operator.do(
        "deploy", "--yes", "--operator", "operator", "--cold-key", COLD_KEY, "--listing-key", LISTING_KEY,
        "--key", "gas", "--password-file", str(operator.password), "--out-config", str(operator.config),
        "--challenge-period", "4", "--answer-period", "4", "--follow-up", "4", "--min-interval", "1",
    )  # fmt: skip
    operator.settlement = deployed["settlement"]
    # What `tally deploy` cannot know: how fast this Ethereum is, and where there is room.
    text = operator.config.read_text().replace("[ethereum]", "[ethereum]\npoll_seconds = 0.5")
    operator.config.write_text(f'data_dir = "ledger"\nport = 0\nepoch_seconds = {EPOCH_SECONDS}\n{text}')
    return operator


def test_a_ledger_from_its_keys_to_its_audit(operator: Operator, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    with operator.running() as node:
        alice = ("--key", "alice", "--password-file", str(operator.password))
        info = requests.post(
            operator.node_url, json={"jsonrpc": "2.0", "id": 1, "method": "tally_getInfo"}, timeout=30
        ).json()["result"]
        assert info["settlement"] == operator.settlement
        assert info["operator"] == operator.addresses["operator"]
        assert operator.do("deposit", "2.5", *alice)["credited"]
        operator.do("send", operator.addresses["bob"], "1.25", "--out", str(receipt), *alice)
        assert operator.tally("verify", str(receipt)).status in (0, 2)
        operator.do("receipt", str(receipt), "--wait", "committed", "--out", str(receipt))
        verified = operator.tally("verify", str(receipt))
        assert verified.status == 0, verified
        assert operator.settlement in verified.output
        summary = operator.do("audit")
        assert (summary["payments"], summary["disagreementCount"]) == (1, 0)

        second = operator.tally("node", "--config", str(operator.config))
        assert second.status == 64, second
        assert "another node runs in" in second.errors

        node.send_signal(signal.SIGTERM)
        assert node.wait(120) == 0
    assert operator.tally("audit", "--data-dir", str(operator.home / "ledger")).status == 0

    with operator.running() as node:
        again = operator.do("balance", "bob")
        assert any(int(line["balance"], 16) == 1_250_000_000_000_000_000 for line in find_balances(again)), again
        node.send_signal(signal.SIGINT)
        assert node.wait(120) == 0


def find_balances(answer: Any) -> list[dict[str, Any]]:
    return answer["balances"] if isinstance(answer, dict) else answer  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("port = 0", "port = 0\nprot = 1", "prot"),
        ("[ethereum]", "[ethereum]\ngas_price = 1", "gas_price"),
        ("[gas]", "[petrol]", "petrol"),
        ("chain_id = 31337", "", "chain_id"),
        ("epoch_seconds = 3", "epoch_seconds = 0", "epoch_seconds"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_by_the_keys_name(
    operator: Operator, capsys: pytest.CaptureFixture[str], old: str, new: str, named: str
) -> None:
    assert run(["node", "--config", str(operator.write_config("senseless.toml", (old, new)))]) == 64
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("TALLYSTICK_PROT", "1", "prot"),
        ("TALLYSTICK_ETHEREUM__GAS_PRICE", "1", "gas_price"),
        ("TALLYSTICK_EPOCH_SECONDS", "soon", "epoch_seconds"),
        ("TALLYSTICK_ETHEREUM__SETTLEMENT", "0x12", "settlement"),
    ],
)
def test_a_variable_that_makes_no_sense_is_refused_by_its_name(
    operator: Operator,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    named: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert run(["node", "--config", str(operator.config)]) == 64
    assert named in capsys.readouterr().err


def test_what_does_not_fit_the_contract_is_refused_by_name(operator: Operator) -> None:
    elsewhere = ('data_dir = "ledger"', 'data_dir = "elsewhere"')
    stranger = "0x" + "12" * 20
    chain = ("chain_id = 31337", "chain_id = 1")
    contract = (operator.settlement, stranger)
    keys = find_keystores(operator)
    cases = [
        ((elsewhere, chain), 1, "31337"),
        ((elsewhere, contract), 1, "there is no contract at"),
        ((elsewhere, (keys["operator"], keys["bob"])), 64, "the operator key is"),
        ((elsewhere, (keys["gas"], keys["operator"])), 64, "must be two keys"),
        ((elsewhere, (f'"{operator.password.name}"', f'"{operator.config}"')), 64, "cannot be opened"),
        # The directory is of a ledger already: it is never mixed with another one's.
        ((contract,), 64, "data_dir belongs to"),
    ]
    for changes, status, named in cases:
        refused = operator.tally("node", "--config", str(operator.write_config("wrong.toml", *changes)))
        assert refused.status == status, (changes, refused)
        assert named in refused.errors, (changes, refused)


def test_a_contract_with_senseless_parameters_is_not_deployed(operator: Operator) -> None:
    arguments = (
        "deploy", "--yes", "--operator", "operator", "--cold-key", COLD_KEY, "--listing-key", LISTING_KEY,
        "--key", "gas", "--password-file", str(operator.password),
    )  # fmt: skip
    blocks = ask(operator.l1_url, "eth_getTransactionCount", operator.addresses["gas"], "latest")
    refused = operator.tally(*arguments, "--min-interval", "100", "--max-silence", "399")
    assert refused.status == 1, refused
    assert "refuses these parameters" in refused.errors
    assert ask(operator.l1_url, "eth_getTransactionCount", operator.addresses["gas"], "latest") == blocks


def find_keystores(operator: Operator) -> dict[str, str]:
    """Name → path, as the configuration names it: from its own directory."""
    return {key["name"]: os.path.relpath(key["keystore"], operator.home) for key in operator.do("keys", "list")}
