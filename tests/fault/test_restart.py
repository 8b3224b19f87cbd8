"""What a node finds when it starts: files gone, deposits made meanwhile. What it shows is the same as before."""

import asyncio
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chain import wire
from chain.primitives import ETHER, Address
from devnet.bootstrap import derive_accounts
from node.ethereum.deploy import Sender, make_approval, make_deposit_call
from node.ethereum.endpoint import Endpoint
from tests.exchange import Market
from tests.fault.load import read_blocks
from tests.fault.lone_node import LoneNode, run_l1, set_up_network
from tests.network import Network, wait_until

DERIVED = {
    "index": ["index.sqlite"],
    "proofs": ["proofs.sqlite"],
    "snapshots": ["snapshots"],
    "ethereum": ["ethereum.sqlite"],
    "all but the journal": ["index.sqlite", "proofs.sqlite", "snapshots", "ethereum.sqlite", "deployment.json"],
}

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneNode]:
    """Stopped, with two committed epochs and an open one; its Ethereum runs on. Every test leaves it stopped."""
    directory = tmp_path_factory.mktemp("restart")
    with run_l1(directory / "l1") as l1:
        options = ("--epoch-seconds", "1", "--challenge-period", "3600")
        with set_up_network(directory / "network", l1, *options) as network:
            market, file = trade(network)
            for number in range(2):
                sent = [network.call("tally_sendPayment", *params) for params in make_payments(network, number)]
                network.wait_for_status(sent[-1]["id"], "committed")
            for params in make_payments(network, 3):
                network.call("tally_sendPayment", *params)
        node = LoneNode(network)
        node.facts |= {"file": file, "people": [party.name for party in market.parties]}
        yield node


def trade(network: Network) -> tuple[Market, str]:
    """A file whose key is in escrow is uploaded, offered for less, bought and kept longer; another is delisted."""
    market, file = Market(network), b"\x66" * 32
    market.validator.upload(market.owner, market.service_node, **market.validator.seal(file, b"\x77" * 32))
    market.validator.instruct("UpdatePrice", file=file, price=60)
    market.mart.buy(file)
    market.validator.pay_quote("extend", reference=wire.encode_bytes(file), days=2)
    market.validator.instruct("Delist", file=market.validator.list_alone(market.owner))
    return market, wire.encode_bytes(file)


def make_payments(network: Network, number: int) -> list[list[Any]]:
    payee, reference = bytes([0x70 + number]) * 20, b"\x33" * 32
    return [
        network.sign(0, [(payee, 5), (network.addresses[2], 7)], memo=f"round {number}"),
        network.sign(1, [(payee, 3)], kind="tip", reference=reference),
        network.sign(2, [(network.addresses[2], 11)], kind="withdraw"),
        network.sign(3, [(network.addresses[4], 13)], asset=ETHER),
    ]


def read_answers(node: Network) -> dict[str, Any]:
    """Everything that a node shows, of the epochs that it has sealed by now. What may differ between two lives of it is
    left out: what the committer tried, how many confirmations there are, what time it is."""
    sealed = int(node.call("tally_getInfo")["lastCommitment"]["sealed"], 16)
    wait_until(lambda: node.call("tally_getCommitment", sealed)["l1Transaction"], "the last seal on Ethereum")
    answers: dict[str, Any] = {}

    def ask(method: str, *params: Any) -> Any:
        answers[f"{method} {params}"] = answer = node.ask(method, *params)
        return answer.get("result")

    payments = ask("tally_listPayments", {"limit": 100})["items"]
    for payment in payments:
        ask("tally_getReceipt", payment["id"])
        ask("tally_getPayment", payment["id"])
        ask("tally_getPaymentProof", payment["id"])
    for address in (*node.addresses, bytes([0x70]) * 20):
        account = wire.encode_address(address)
        ask("tally_getAccount", account)
        ask("tally_listPayments", {"account": account, "limit": 100})
        for epoch in range(1, sealed + 1):
            for asset in (ETHER, node.token):
                ask("tally_getAccountProof", account, wire.encode_address(asset), epoch)
                ask("tally_getStatement", account, wire.encode_address(asset), epoch)
    read_market_answers(node, sealed, ask)
    ask("tally_listPayments", {"reference": "0x" + "33" * 32})
    ask("tally_listPayments", {"kind": "withdraw", "asset": wire.encode_address(node.token)})
    for number in range(1, int(node.call("tally_getInfo")["headBlock"], 16) + 1):
        ask("tally_getBlock", number)
    for epoch in range(1, sealed + 1):
        commitment = ask("tally_getCommitment", epoch)
        for name in ("sealedAt", "attempts", "cost", "isOurs", "confirmations"):
            del commitment[name]
    return answers


def read_market_answers(node: Network, sealed: int, ask: Callable[..., Any]) -> None:
    file, people = node.facts["file"], node.facts["people"]
    ask("tally_getFile", file)
    ask("tally_listFiles", {"text": "rain", "status": "all"})
    ask("tally_listRegistrations", {})
    for instruction in ask("tally_listInstructions", {"limit": 100})["items"]:
        ask("tally_getReceipt", instruction["id"])
    purchase = ask("tally_getPurchase", file, people[2])
    assert len(purchase.pop("sealedKey")) == 2 + 2 * 81, "sealed anew for every answer"
    for account in people:
        ask("tally_getAccount", account)
        ask("tally_listInstructions", {"account": account})
        ask("tally_listRegistrations", {"validator": account})
        for epoch in range(1, sealed + 1):
            ask("tally_getRolesProof", account, epoch)
    for epoch in range(1, sealed + 1):
        ask("tally_getFileProof", file, epoch)


@pytest.fixture(scope="module")
def shown(node: LoneNode) -> dict[str, Any]:
    with node.running():
        wait_until(lambda: is_all_committed(node), "every block in a mined epoch")
        return read_answers(node)


@pytest.mark.parametrize("what", DERIVED)
def test_files_that_are_gone_are_made_again(node: LoneNode, shown: dict[str, Any], what: str) -> None:
    for name in DERIVED[what]:
        for path in node.data_dir.glob(name + "*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    with node.running():
        answers = read_answers(node)
        assert set(answers) == set(shown)
        assert [key for key in shown if answers[key] != shown[key]] == []


@pytest.mark.parametrize("damage", ["another beginning", "cut off", "empty"])
def test_files_that_are_damaged_are_made_again(node: LoneNode, shown: dict[str, Any], damage: str) -> None:
    snapshots = list((node.data_dir / "snapshots").iterdir())
    assert snapshots
    for path in (*[node.data_dir / name for name in DERIVED["all but the journal"] if name != "snapshots"], *snapshots):
        content = path.read_bytes()
        path.write_bytes(
            {
                "another beginning": b"no such thing".ljust(100) + content[100:],
                "cut off": content[: len(content) // 2],
                "empty": b"",
            }[damage]
        )
    with node.running():
        answers = read_answers(node)
        assert [key for key in shown if answers.get(key) != shown[key]] == []


def test_a_node_that_made_its_files_again_goes_on(node: LoneNode, shown: dict[str, Any], tmp_path: Path) -> None:
    del shown
    with node.running():
        sent = [node.call("tally_sendPayment", *params)["id"] for params in make_payments(node, 4)]
        for payment in sent:
            node.wait_for_status(payment, "committed")
        audit = node.run_tally("audit", home=tmp_path)
        assert audit.status == 0, audit
    audit = node.run_tally("audit", "--data-dir", str(node.data_dir), home=tmp_path)
    assert audit.status == 0, audit


@pytest.mark.parametrize(
    "environment, problem",
    [
        ({"TALLYSTICK_ESCROW__KEYSTORE": "keys/cold.json"}, "file keys are sealed to 0x"),
        ({"TALLYSTICK_ESCROW__KEYSTORE": "keys/operator.json"}, "the escrow key and the operator key must be two keys"),
        ({"TALLYSTICK_ESCROW__KEYSTORE": "keys/gas.json"}, "the escrow key and the gas key must be two keys"),
        ({"TALLYSTICK_MARKET__COMMISSION": "500"}, "sum to 10500"),
        ({"TALLYSTICK_MARKET__COMMISSION": "500", "TALLYSTICK_MARKET__OWNER_SHARE": "4500"}, "other parameters"),
    ],
)
def test_a_node_with_another_escrow_or_market_does_not_start(
    node: LoneNode, environment: dict[str, str], problem: str
) -> None:
    """Buyers would pay for keys that nobody can hand out, or another sum to somebody than the ledger says."""
    log_size = len(node.read_log())
    assert not node.try_to_start(**environment)
    assert node.process is not None and node.process.returncode not in (0, None)
    assert problem in node.read_log()[log_size:]


def test_deposits_made_while_the_node_was_down_are_credited_once(node: LoneNode, tmp_path: Path) -> None:
    amounts = {ETHER: [10**15, 2 * 10**15], node.token: [3, 5, 7]}
    owner = node.addresses[7]
    with node.running():
        before = {asset: node.get_balance(owner, asset) for asset in amounts}
    deposit(node, [(asset, amount) for asset, some in amounts.items() for amount in some])
    expected = {asset: before[asset] + sum(some) for asset, some in amounts.items()}

    def read() -> dict[bytes, int]:
        return {asset: node.get_balance(owner, asset) for asset in amounts}

    # At once, then as soon as something is credited, then when all of it is.
    for enough in (lambda: True, lambda: read() != before, lambda: read() == expected):
        node.start()
        wait_until(enough, "deposits credited")
        node.stop(signal.SIGKILL)
    with node.running():
        wait_until(lambda: read() == expected, "all deposits credited")
        # The next cut waits for all deposits that Ethereum has by then: none may come a second time.
        sent = node.call("tally_sendPayment", *node.sign(7, [(node.addresses[8], 1)], asset=ETHER))
        node.wait_for_status(sent["id"], "committed")
        assert read() == {**expected, ETHER: expected[ETHER] - 1}
        credited = [
            (record["deposit"]["asset"], record["deposit"]["index"])
            for block in read_blocks(node)
            for record in block["records"]
            if record["type"] == "deposit"
        ]
        assert len(credited) == len(set(credited))
        audit = node.run_tally("audit", home=tmp_path)
        assert audit.status == 0, audit


def deposit(node: Network, deposits: list[tuple[Address, int]]) -> None:
    """On Ethereum, by account 7 for itself; final when this returns."""

    async def send() -> None:
        endpoint = Endpoint(node.facts["l1Url"])
        try:
            sender = Sender(endpoint, derive_accounts()[7])
            settlement = node.domain.verifying_contract
            await sender.send(make_approval(node.token, settlement, 10**18))
            await sender.send_all(
                [make_deposit_call(settlement, asset, node.addresses[7], amount) for asset, amount in deposits]
            )
        finally:
            await endpoint.close()

    asyncio.run(send())


def is_all_committed(node: Network) -> bool:
    answer = node.ask("tally_getCommitment", "latest")
    if "result" not in answer or not answer["result"]["l1Transaction"]:
        return False
    return bool(answer["result"]["message"]["lastBlock"] == node.call("tally_getInfo")["headBlock"])
