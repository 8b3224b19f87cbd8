"""A development network in processes of its own, for tests that use the whole thing as its users do."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
from coincurve import PrivateKey

from chain import wire
from chain.params import Domain
from chain.payment import Output, Payment, compute_payment_id
from chain.primitives import ZERO_HASH, Address
from chain.signatures import compute_address, sign_digest

ROOT = Path(__file__).parent.parent
START_SECONDS = 180
PATIENCE_SECONDS = 120
"""Longer than anything takes, also on a machine that does much else: only what never comes is waited for so long."""

T = TypeVar("T")


def wait_until(look: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """What `look` returns once that is true."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen within {seconds} s")
        time.sleep(0.05)


class Network:
    """Started by `start`; the attributes hold from then on."""

    def __init__(self, directory: Path, *options: str, **environment: str) -> None:
        self.directory = directory
        self.options = options
        self.environment = environment
        self.ready_file = directory / "ready.json"
        self.process: subprocess.Popen[bytes] | None = None
        self.facts: dict[str, Any] = {}
        self.session = requests.Session()

    def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "devnet", "--data-dir", str(self.directory), "--port", "0", "--l1-port", "0"]
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--ready-file", str(self.ready_file), *self.options, *options],
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stderr=log,
                stdout=log,
            )
        process = self.process

        def is_ready() -> bool:
            if process.poll() is not None:
                pytest.fail(f"the network ended: {(self.directory / 'log').read_text()[-3000:]}")
            return self.ready_file.exists()

        wait_until(is_ready, "the network's start", START_SECONDS)
        self.facts = json.loads(self.ready_file.read_text())
        self.keys = [PrivateKey(bytes.fromhex(account["privateKey"][2:])) for account in self.facts["accounts"]]
        self.addresses = [compute_address(key.public_key) for key in self.keys]
        self.token: Address = bytes.fromhex(self.facts["token"][2:])
        self.domain = Domain(self.facts["ledgerChainId"], bytes.fromhex(self.facts["settlement"][2:]))

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(PATIENCE_SECONDS)
        self.ready_file.unlink(missing_ok=True)

    def find_node(self) -> int | None:
        """The process id of the node, which the launcher keeps running."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(OSError):
                if b"\0node\0" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        return None

    def kill_node(self) -> None:
        node = self.find_node()
        if node is not None:
            os.kill(node, signal.SIGKILL)

    # --- JSON-RPC

    def post(self, body: bytes, session: requests.Session | None = None) -> requests.Response:
        return (session or self.session).post(
            self.facts["rpcUrl"], data=body, headers={"content-type": "application/json"}, timeout=30
        )

    def ask(self, method: str, *params: Any, session: requests.Session | None = None) -> dict[str, Any]:
        """The whole answer."""
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer: dict[str, Any] = self.post(json.dumps(call).encode(), session).json()
        return answer

    def call(self, method: str, *params: Any, session: requests.Session | None = None) -> Any:
        answer = self.ask(method, *params, session=session)
        assert "result" in answer, answer
        return answer["result"]

    def refuse(self, method: str, *params: Any) -> str:
        """The name of the refusal."""
        answer = self.ask(method, *params)
        assert "error" in answer, answer
        code: str = answer["error"]["data"]["code"]
        return code

    def batch(self, calls: list[tuple[str, list[Any]]], session: requests.Session | None = None) -> list[Any]:
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in enumerate(calls)
        ]
        answers: list[Any] = self.post(json.dumps(body).encode(), session).json()
        return answers

    def is_serving(self) -> bool:
        try:
            return requests.get(self.facts["rpcUrl"] + "/health/ready", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    # --- money

    def sign(
        self, payer: int, outputs: list[tuple[Address, int]], nonce: int | None = None, **changes: Any
    ) -> list[Any]:
        """The parameters of `tally_sendPayment`."""
        payment = Payment(
            asset=changes.pop("asset", self.token),
            payer=self.addresses[payer],
            nonce=self.next_nonce(payer) if nonce is None else nonce,
            valid_until=changes.pop("valid_until", 0),
            kind=changes.pop("kind", "transfer"),
            reference=changes.pop("reference", ZERO_HASH),
            memo=changes.pop("memo", ""),
            outputs=tuple([Output(to, amount) for to, amount in outputs]),
        )
        assert not changes
        signature = sign_digest(self.keys[payer], compute_payment_id(payment, self.domain))
        return [wire.encode_payment(payment), wire.encode_bytes(signature)]

    def next_nonce(self, account: int) -> int:
        return int(self.call("tally_getAccount", wire.encode_address(self.addresses[account]))["nextNonce"], 16)

    def get_balance(self, address: Address, asset: Address | None = None) -> int:
        wanted = wire.encode_address(self.token if asset is None else asset)
        lines = self.call("tally_getAccount", wire.encode_address(address))["balances"]
        return sum([int(line["balance"], 16) for line in lines if line["asset"] == wanted])

    def wait_for_status(self, payment_id: str, *statuses: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            receipt: dict[str, Any] = self.call("tally_getReceipt", payment_id)
            return receipt if receipt["status"] in statuses else None

        found = wait_until(look, f"payment {payment_id} becoming {statuses}", seconds)
        assert found is not None
        return found

    def run_tally(self, *arguments: str, home: Path, key: int | None = None, **environment: str) -> "Outcome":
        """The `tally` command as a user runs it."""
        variables = {
            **os.environ,
            "HOME": str(home),
            "TALLY_NODE_URL": self.facts["rpcUrl"],
            "TALLY_L1_URL": self.facts["l1Url"],
            "TALLY_SETTLEMENT": self.facts["settlement"],
            **environment,
        }
        if key is not None:
            variables["TALLY_PRIVATE_KEY"] = self.facts["accounts"][key]["privateKey"]
        done = subprocess.run(
            [sys.executable, "-m", "client.cli", *arguments],
            cwd=ROOT, env=variables, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr)


class Outcome:
    """Of a command."""

    def __init__(self, status: int, output: str, errors: str) -> None:
        self.status = status
        self.output = output
        self.errors = errors

    def __repr__(self) -> str:
        return f"exit {self.status}\n{self.output}\n{self.errors}"


@contextlib.contextmanager
def run_network(directory: Path, *options: str, **environment: str) -> Iterator[Network]:
    network = Network(directory, *options, **environment)
    try:
        network.start()
        yield network
    finally:
        if network.process is not None and network.process.poll() is None:
            network.stop()
