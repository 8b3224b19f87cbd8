"""`tally deploy` on an Ethereum that does not mine when it should, and `tally verify-source` of what came of it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from chain.primitives import ETHER
from client.contract_code import check_code
from client.settlement import Ethereum
from contracts import load_artifact
from node.ethereum.deploy import (
    Sender,
    SettlementParameters,
    compute_contract_address,
    deploy_settlement,
    make_settlement_call,
)
from node.ethereum.endpoint import Endpoint
from tests.integration.anvil import ask, start_anvil
from tests.network import ROOT, Outcome, wait_until
from tests.unit.client.source_server import API_KEY, JOB, serve_sources

COLD_KEY = "0x00000000000000000000000000000000000C01D0"
LISTING_KEY = "0x0000000000000000000000000000000000015710"
OPERATOR = "0x000000000000000000000000000000000000dEaD"
PAYER_SECRET = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
PAYER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
TESTNET = ("--chain-id", "11155111")

pytestmark = pytest.mark.long


class Chain:
    """anvil, which mines when it is told to."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, *params: Any) -> Any:
        return ask(self.url, method, *params)

    def mine(self, base_fee: int | None = None) -> None:
        if base_fee is not None:
            self.ask("anvil_setNextBlockBaseFeePerGas", hex(base_fee))
        self.ask("evm_mine")

    def count_transactions(self) -> int:
        return int(self.ask("eth_getTransactionCount", PAYER, "latest"), 16)

    def find_waiting(self) -> list[str]:
        return [
            transaction["hash"]
            for waiting in self.ask("txpool_content")["pending"].values()
            for transaction in waiting.values()
        ]


@pytest.fixture
def chain(request: pytest.FixtureRequest, anvil_path: Path, tmp_path: Path) -> Iterator[Chain]:
    """Parameter: more of anvil's options."""
    with start_anvil(anvil_path, tmp_path, "--no-mining", "--slots-in-an-epoch", "1", *request.param) as url:
        yield Chain(url)


class Deployer:
    """Somebody with a key in the environment."""

    def __init__(self, home: Path, chain: Chain) -> None:
        self.home = home
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TALLY", "ETHERSCAN"))},
            "HOME": str(home),
            "TALLY_L1_URL": chain.url,
            "TALLY_PRIVATE_KEY": PAYER_SECRET,
        }

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "client.cli", *arguments],
            cwd=ROOT, env=self.environment | environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def tally(self, *arguments: str, **environment: str) -> Outcome:
        process = self.start(*arguments, **environment)
        out, errors = process.communicate(timeout=120)
        return Outcome(process.returncode, out, errors)

    def deploy(self, *more: str) -> Outcome:
        return self.tally(*DEPLOY, *more)

    def find_undertakings(self) -> list[Path]:
        return list((self.home / ".tallystick" / "deploying").glob("*.json"))


DEPLOY = ("deploy", "--yes", "--operator", OPERATOR, "--cold-key", COLD_KEY, "--listing-key", LISTING_KEY)


@pytest.fixture
def deployer(tmp_path: Path, chain: Chain) -> Deployer:
    home = tmp_path / "home"
    home.mkdir()
    return Deployer(home, chain)


@pytest.mark.parametrize("chain", [TESTNET], indirect=True)
def test_interrupted_after_sending_it_goes_on_with_the_same_transaction(chain: Chain, deployer: Deployer) -> None:
    process = deployer.start(*DEPLOY)
    (sent,) = wait_until(chain.find_waiting, "the transaction in the pool")
    process.kill()
    process.communicate()
    # The pool forgets it, as pools do; only the run that follows can bring it back.
    chain.ask("anvil_dropTransaction", sent)
    assert chain.find_waiting() == []

    other = deployer.deploy("--min-interval", "600")
    assert other.status == 1 and "other undertaking" in other.errors and sent in other.errors
    waiting = deployer.deploy("--wait", "1")
    assert waiting.status == 2, waiting
    assert "not mined within 1 s" in waiting.errors and "no second contract" in waiting.errors
    assert chain.find_waiting() == [sent]

    again = deployer.start(*DEPLOY, "--json")
    wait_until(deployer.find_undertakings, "the note")
    chain.mine()
    out, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    deployed = json.loads(out)
    assert deployed["l1Transaction"] == sent
    creator = bytes.fromhex(PAYER[2:])
    assert bytes.fromhex(deployed["settlement"][2:]) == compute_contract_address(creator, 0)
    assert chain.count_transactions() == 1
    assert deployer.find_undertakings() == []


@pytest.mark.parametrize("chain", [TESTNET], indirect=True)
def test_one_that_was_mined_meanwhile_is_found_and_the_configuration_written(chain: Chain, deployer: Deployer) -> None:
    process = deployer.start(*DEPLOY)
    wait_until(chain.find_waiting, "the transaction in the pool")
    process.kill()
    process.communicate()
    chain.mine()
    outcome = deployer.deploy("--json")
    assert outcome.status == 0, outcome
    assert "going on with" in outcome.errors and "sent" not in outcome.errors
    assert chain.count_transactions() == 1 and chain.find_waiting() == []


@pytest.mark.parametrize("chain", [TESTNET], indirect=True)
def test_more_is_offered_on_the_same_nonce_where_a_block_asks_for_more(chain: Chain, deployer: Deployer) -> None:
    chain.mine(10**9)
    assert deployer.deploy("--wait", "1").status == 2
    chain.mine(90 * 10**9)  # from now on no block takes it, and anvil forgets it
    capped = deployer.deploy("--wait", "1", "--max-fee-gwei", "50")
    assert capped.status == 2, capped
    assert "a block asks for" in capped.errors and "the endpoint does not take it" in capped.errors
    found = re.search("going on with (0x[0-9a-f]{64})", capped.errors)
    assert found is not None

    deploying = deployer.start(*DEPLOY, "--json")
    wait_until(lambda: chain.find_waiting() not in ([], [found[1]]), "another one in its place")
    (second,) = chain.find_waiting()
    chain.mine()
    out, errors = deploying.communicate(timeout=120)
    assert deploying.returncode == 0, errors
    assert json.loads(out)["l1Transaction"] == second
    assert chain.count_transactions() == 1


@pytest.mark.parametrize("chain", [TESTNET], indirect=True)
def test_a_nonce_that_something_else_has_used_is_explained(chain: Chain, deployer: Deployer) -> None:
    process = deployer.start(*DEPLOY)
    (sent,) = wait_until(chain.find_waiting, "the transaction in the pool")
    process.kill()
    process.communicate()
    chain.ask("anvil_dropTransaction", sent)
    chain.ask("eth_sendTransaction", {"from": PAYER, "to": OPERATOR, "value": "0x1", "nonce": "0x0"})
    chain.mine()
    outcome = deployer.deploy()
    assert outcome.status == 1, outcome
    (note,) = deployer.find_undertakings()
    assert "was used by another transaction" in outcome.errors and str(note) in outcome.errors


@pytest.mark.parametrize("chain", [TESTNET], indirect=True)
def test_nothing_is_sent_that_cannot_be_paid_for_or_is_not_agreed_to(chain: Chain, deployer: Deployer) -> None:
    chain.ask("anvil_setBalance", PAYER, hex(10**15))
    poor = deployer.deploy("--json")
    assert poor.status == 1 and json.loads(poor.errors.splitlines()[-1])["error"]["code"] == "insufficient_funds"
    chain.ask("anvil_setBalance", PAYER, hex(10**18))
    chain.mine(20 * 10**9)
    capped = deployer.deploy("--max-fee-gwei", "1", "--json")
    assert capped.status == 1 and json.loads(capped.errors.splitlines()[-1])["error"]["code"] == "fee_cap_too_low"
    unasked = deployer.tally(*[argument for argument in DEPLOY if argument != "--yes"])
    assert unasked.status == 130, unasked
    for shown in ("Sepolia (11155111)", PAYER, "base fee", "a commitment an hour", "in 30 days"):
        assert shown in unasked.errors
    assert chain.find_waiting() == [] and deployer.find_undertakings() == []


class WithoutBaseFee:
    """The chain as one without EIP-1559 shows itself. (A client of that time does not know code as new as ours.)"""

    def __init__(self, url: str) -> None:
        self._endpoint = Endpoint(url)

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        assert method not in ("eth_maxPriorityFeePerGas", "eth_feeHistory")
        result = await self._endpoint.call(method, params)
        if method == "eth_getBlockByNumber":
            del result["baseFeePerGas"]
        return result

    async def close(self) -> None:
        await self._endpoint.close()


@pytest.mark.parametrize("chain", [TESTNET], indirect=True)
async def test_a_chain_without_a_base_fee_gets_a_legacy_transaction(chain: Chain) -> None:
    chain.ask("evm_setAutomine", True)
    transport = WithoutBaseFee(chain.url)
    try:
        sender = Sender(transport, Account.from_key(PAYER_SECRET))
        addresses = [bytes.fromhex(text[2:]) for text in (OPERATOR, COLD_KEY, LISTING_KEY)]
        parameters = SettlementParameters(*addresses, ETHER, 60, 60, 60, 1, 600, 60)
        quote = await sender.quote(make_settlement_call(parameters, [ETHER]))
        assert quote.base_fee is None
        assert quote.gas_price == quote.fees.max_fee == quote.fees.priority_fee > 0
        deployed = await deploy_settlement(sender, parameters, [ETHER])
        mined = chain.ask("eth_getTransactionByHash", "0x" + deployed.l1_transaction.hex())
        assert int(mined.get("type", "0x0"), 16) == 0 and int(mined["chainId"], 16) == 11_155_111
    finally:
        await transport.close()


@pytest.mark.parametrize("chain", [TESTNET], indirect=True)
def test_the_source_of_what_was_deployed_is_checked_and_published(
    chain: Chain, deployer: Deployer, tmp_path: Path
) -> None:
    chain.ask("evm_setAutomine", True)
    with serve_sources() as services:
        urls = ("--sourcify-url", services.sourcify_url, "--etherscan-url", services.etherscan_url)
        deployed = deployer.tally(*DEPLOY, "--verify-source", "--asset", "ether", *urls, ETHERSCAN_API_KEY=API_KEY)
        assert deployed.status == 0, deployed
        assert re.search(r"Sourcify +published", deployed.output) and re.search(
            r"Etherscan +published", deployed.output
        )
        found = re.search(r"settlement +(0x[0-9a-fA-F]{40})", deployed.output)
        assert found is not None
        (to_sourcify,) = services.find("POST sourcify")
        (to_etherscan,) = services.find("verifysourcecode")
        assert next(path for action, path, _ in services.requests if action == "GET sourcify").endswith(JOB)

        # What was sent is what created the contract.
        creation = chain.ask("eth_getTransactionByHash", to_sourcify["creationTransactionHash"])
        data = bytes.fromhex(creation["input"][2:])
        assert data == load_artifact("Settlement").bytecode + bytes.fromhex(to_etherscan["constructorArguments"])

        services.answers["POST sourcify"] = [(409, {"customCode": "already_verified", "message": "…", "errorId": "1"})]
        again = deployer.tally("verify-source", "--settlement", found[1], "--json", *urls)
        assert again.status == 0, again
        (row,) = json.loads(again.output)["services"]  # without a key, Etherscan is left out
        assert (row["service"], row["outcome"]) == ("Sourcify", "already_published")

        services.answers["POST sourcify"] = [(404, {"customCode": "unsupported_chain", "message": "…", "errorId": "1"})]
        refused = deployer.tally("verify-source", "--settlement", found[1], *urls)
        assert refused.status == 1 and "unsupported_chain" in refused.output

    checked = deployer.tally("verify-source", "--check", "--settlement", found[1], "--json")
    assert checked.status == 0, checked
    report = json.loads(checked.output)
    assert report["isOurs"] and report["problems"] == []
    assert report["values"]["operator"] == OPERATOR and report["values"]["assets"] == "ether"
    assert report["creation"] == to_sourcify["creationTransactionHash"]


@pytest.mark.parametrize("chain", [TESTNET], indirect=True)
def test_a_contract_that_only_looks_like_ours_is_not_called_ours(chain: Chain, deployer: Deployer) -> None:
    chain.ask("evm_setAutomine", True)
    deployed = json.loads(deployer.deploy("--json").output)
    settlement = bytes.fromhex(deployed["settlement"][2:])
    ethereum = Ethereum.at(chain.url)
    try:
        assert check_code(ethereum, settlement).is_ours
        code = chain.ask("eth_getCode", deployed["settlement"], "latest")
        # The same code at another address: bound to another one, and created by nobody.
        chain.ask("anvil_setCode", COLD_KEY, code)
        problems = check_code(ethereum, bytes.fromhex(COLD_KEY[2:])).problems
        assert any("not bound to this address" in problem for problem in problems)
        assert any("created it was not found" in problem for problem in problems)
        # And with another operator in one of the two places where it stands.
        place = 2 + 2 * load_artifact("Settlement").immutables["operator"][0]
        chain.ask("anvil_setCode", deployed["settlement"], code[:place] + "11" * 32 + code[place + 64 :])
        assert check_code(ethereum, settlement).problems == ("its code has two values of operator",)
    finally:
        ethereum.close()
