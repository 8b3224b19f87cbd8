"""A running node before a real client, over a line that is cut, loses transactions and is pre-empted: what it tells its
users meanwhile, and that in the end everything is on chain once."""

import json
import re
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes

from chain.hashing import keccak
from chain.primitives import ETHER
from node.ethereum.abi import load_abi
from node.ethereum.deploy import make_deposit_call
from tests.fault.lone_node import LoneNode, set_up_network
from tests.integration.anvil import ask, start_anvil
from tests.integration.line import Line, Relay
from tests.network import wait_until

pytestmark = pytest.mark.long

CONFIRMATIONS = 4
GWEI = 10**9
STRANGER: LocalAccount = Account.from_key(keccak(b"stranger"))


class Client:
    """Anvil. Mines every second, unless told not to."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, *params: Any) -> Any:
        return ask(self.url, method, *params)

    def pause(self) -> None:
        self.ask("evm_setIntervalMining", 0)

    def go_on(self) -> None:
        self.ask("evm_setIntervalMining", 1)

    def mine(self, blocks: int = 1) -> int:
        """The time of the newest block then."""
        for _ in range(blocks):
            self.ask("evm_mine")
        return int(self.ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def deposit(self, settlement: str, account: bytes, amount: int) -> str:
        """By one of anvil's own accounts; into the pool."""
        call = make_deposit_call(bytes.fromhex(settlement[2:]), ETHER, account, amount)
        sender = self.ask("eth_accounts")[8]
        form = {"from": sender, "to": settlement, "data": "0x" + call.data.hex(), "value": hex(call.value)}
        l1_transaction: str = self.ask("eth_sendTransaction", {**form, "gas": hex(300_000)})
        return l1_transaction

    def send(self, account: LocalAccount, nonce: int, max_fee: int, to: bytes, data: bytes = b"") -> None:
        signed = account.sign_transaction(
            {
                "type": 2,
                "chainId": int(self.ask("eth_chainId"), 16),
                "nonce": nonce,
                "gas": 500_000,
                "maxFeePerGas": max_fee,
                "maxPriorityFeePerGas": max_fee // 2,
                "to": to,
                "value": 0,
                "data": data,
            }
        )
        self.ask("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())


@pytest.fixture(scope="module")
def client(anvil_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with start_anvil(anvil_path, tmp_path_factory.mktemp("anvil"), "--block-time", "1") as url:
        yield Client(url)


@pytest.fixture(scope="module")
def line(client: Client) -> Iterator[Line]:
    with Relay(client.url).running() as relay:
        relay.line.name = relay.url
        yield relay.line


@pytest.fixture(scope="module")
def node(client: Client, line: Line, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneNode]:
    """Running, with its first epoch committed. It waits for four confirmations of deposits."""
    directory = tmp_path_factory.mktemp("network")
    l1: Any = SimpleNamespace(url=line.name)
    with set_up_network(directory, l1, "--epoch-seconds", "1", "--challenge-period", "3600") as network:
        network.wait_for_status(pay(network), "committed")
    config = directory / "node.toml"
    text = config.read_text()
    assert "confirmations = 1\n" in text
    config.write_text(text.replace("confirmations = 1\n", f"confirmations = {CONFIRMATIONS}\n"))
    node = LoneNode(network)
    node.start()
    client.ask("anvil_setBalance", STRANGER.address, hex(10**20))
    yield node
    if node.process is not None and node.process.poll() is None:
        node.stop()


@pytest.fixture(autouse=True)
def is_well_again(node: LoneNode, client: Client, line: Line) -> Iterator[None]:
    """Every test ends as it should: all that was sealed is on chain once, in order, and the node says it is well."""
    yield
    line.is_cut, line.is_swallowing, line.refused, line.unanswered = False, False, "", ""
    line.lie = lambda method, params, answer: answer
    client.go_on()
    if node.process is None or node.process.poll() is not None:
        node.start()
    node.wait_for_status(pay(node), "committed")
    wait_until(lambda: get_states(node)["committer"] == "idle", "a committer with nothing to do")
    mined = int(node.call("tally_getInfo")["lastCommitment"]["mined"], 16)
    assert list_committed(node, client) == list(range(1, mined + 1))
    for epoch in range(max(1, mined - 5), mined + 1):
        commitment = get_commitment(node, epoch)
        included = [attempt for attempt in commitment["attempts"] if attempt["outcome"] == "included"]
        assert len(included) == commitment["isOurs"]
        assert all(int(attempt["maxFeePerGas"], 16) > 0 for attempt in commitment["attempts"])


def pay(node: Any) -> str:
    sent: str = node.call("tally_sendPayment", *node.sign(0, [(node.addresses[1], 1)]))["id"]
    return sent


def get_states(node: LoneNode) -> dict[str, str]:
    response = requests.get(node.facts["rpcUrl"] + "/health/ready", timeout=30)
    assert response.status_code == 200, "payments are taken all the time"
    return {name: check["state"] for name, check in response.json()["checks"].items()}


def get_commitment(node: LoneNode, epoch: int) -> dict[str, Any]:
    commitment: dict[str, Any] = node.call("tally_getCommitment", hex(epoch))
    return commitment


def list_committed(node: LoneNode, client: Client) -> list[int]:
    """The epochs of the contract's logs, in their order."""
    topic = "0x" + load_abi("Settlement").get_topic("Committed").hex()
    query = {"fromBlock": "0x0", "toBlock": "latest", "address": node.facts["settlement"], "topics": [topic]}
    return [int(log["topics"][1], 16) for log in client.ask("eth_getLogs", query)]


def get_synced(node: LoneNode) -> int:
    """Seconds: the L1 time up to which deposits are credited."""
    text = requests.get(node.facts["rpcUrl"] + "/metrics", timeout=30).text
    found = re.search(r"^tally_l1_synced_seconds (\S+)$", text, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def wait_for_attempt(node: LoneNode, payment: str, count: int = 1) -> dict[str, Any]:
    """The commitment that has the payment, once so many attempts are known, and none is mined."""
    epoch = int(node.call("tally_getPayment", payment)["epoch"], 16)

    def look() -> dict[str, Any] | None:
        answer = node.ask("tally_getCommitment", hex(epoch))
        commitment: dict[str, Any] | None = answer.get("result")
        return commitment if commitment is not None and len(commitment["attempts"]) >= count else None

    found = wait_until(look, f"attempt {count} at epoch {epoch}", 60)
    assert found is not None and found["l1Transaction"] is None
    return found


def wait_for_state(node: LoneNode, state: str) -> None:
    wait_until(lambda: get_states(node)["committer"] == state, f"a committer that says {state}")


def open_gas_key(node: LoneNode) -> LocalAccount:
    keys = node.directory / "keys"
    keystore = json.loads((keys / "gas.json").read_text())
    account: LocalAccount = Account.from_key(Account.decrypt(keystore, (keys / "password").read_text()))
    return account


# ------------------------------------------------------------------------------------------------- retry until success


@pytest.mark.parametrize("trouble", ["out_of_reach", "sends_refused"])
def test_out_of_reach(node: LoneNode, line: Line, trouble: str) -> None:
    if trouble == "out_of_reach":
        line.is_cut = True
    else:
        line.refused = "eth_sendRawTransaction"
    sent = [pay(node)]
    wait_for_state(node, "l1_unreachable")
    sent.append(pay(node))
    if trouble == "out_of_reach":
        node.stop(signal.SIGKILL)
        node.start()
        wait_for_state(node, "l1_unreachable")
        sent.append(pay(node))
    line.is_cut, line.refused = False, ""
    for payment in sent:
        node.wait_for_status(payment, "committed")


def test_the_answers_to_sending_are_lost(node: LoneNode, line: Line) -> None:
    """The transactions are not: nothing is committed twice, and nobody needs to mend it first."""
    line.unanswered = "eth_sendRawTransaction"
    for _ in range(2):
        node.wait_for_status(pay(node), "committed")


def test_dropped_again_and_again(node: LoneNode, line: Line) -> None:
    """Every endpoint says that it took it. It is sent again, also by a node that was restarted, until somebody did."""
    line.is_swallowing = True
    payment = pay(node)
    before = wait_for_attempt(node, payment)
    count = len(line.swallowed)
    wait_until(lambda: len(line.swallowed) > count, "the same bytes again")
    assert set(line.swallowed[count - 1 :]) == {line.swallowed[-1]}
    node.stop(signal.SIGKILL)
    node.start()
    wait_until(lambda: len(line.swallowed) > count + 1, "the same bytes again, after a restart")
    line.is_swallowing = False
    node.wait_for_status(payment, "committed")
    after = get_commitment(node, int(before["epoch"], 16))
    assert before["attempts"][0]["hash"] in [attempt["hash"] for attempt in after["attempts"]]
    assert len({attempt["nonce"] for attempt in after["attempts"]}) == 1


def test_underpriced_beside_a_transaction_of_the_same_account(node: LoneNode, client: Client, line: Line) -> None:
    line.is_swallowing = True
    payment = pay(node)
    commitment = wait_for_attempt(node, payment)
    nonce = int(commitment["attempts"][0]["nonce"], 16)
    client.pause()
    client.send(open_gas_key(node), nonce, 1_000 * GWEI, b"\x99" * 20)
    line.is_swallowing = False
    wait_for_state(node, "underpriced")
    client.go_on()
    node.wait_for_status(payment, "committed")
    attempts = get_commitment(node, int(commitment["epoch"], 16))["attempts"]
    assert (int(attempts[0]["nonce"], 16), int(attempts[-1]["nonce"], 16)) == (nonce, nonce + 1)
    wait_until(
        lambda: get_commitment(node, int(commitment["epoch"], 16))["attempts"][0]["outcome"] == "replaced",
        "what became of the first attempt",
    )


def test_pre_empted_and_reverted(node: LoneNode, client: Client, line: Line) -> None:
    """Somebody else brings the commitment in, and ours is mined after it: the epoch counts, the revert has its name."""
    line.is_swallowing = True
    payment = pay(node)
    commitment = wait_for_attempt(node, payment)
    ours = line.swallowed[-1]
    form = TypedTransaction.from_bytes(HexBytes(ours)).as_dict()
    client.pause()
    nonce = int(client.ask("eth_getTransactionCount", STRANGER.address, "latest"), 16)
    client.send(STRANGER, nonce, 1_000 * GWEI, bytes(form["to"]), bytes(form["data"]))
    client.ask("eth_sendRawTransaction", ours)
    client.mine()
    client.go_on()
    line.is_swallowing = False
    node.wait_for_status(payment, "committed")

    def find_revert() -> dict[str, Any] | None:
        after = get_commitment(node, int(commitment["epoch"], 16))
        assert after["isOurs"] is False
        attempt: dict[str, Any] = after["attempts"][0]
        return attempt if attempt["outcome"] == "reverted" else None

    reverted = wait_until(find_revert, "what became of our attempt")
    assert reverted is not None
    assert reverted["problem"].startswith("EpochMismatch") and int(reverted["cost"], 16) > 0


def test_a_cap_reached_is_named_everywhere_at_once(node: LoneNode, line: Line) -> None:
    """Health, metrics, log, and the commitment itself, while payments go on."""
    told = len(node.read_log())

    def raise_base_fee(method: str, params: Sequence[Any], answer: Any) -> Any:
        return {**answer, "baseFeePerGas": hex(100_000 * GWEI)} if method == "eth_getBlockByNumber" else answer

    line.lie = raise_base_fee
    payment = pay(node)
    wait_for_state(node, "fee_cap_reached")
    response = requests.get(node.facts["rpcUrl"] + "/health/ready", timeout=30)
    assert response.json()["status"] == "degraded"
    assert str(100_000 * GWEI) in response.json()["checks"]["committer"]["detail"]
    metrics = requests.get(node.facts["rpcUrl"] + "/metrics", timeout=30).text
    assert 'tally_committer_state{state="fee_cap_reached"} 1.0' in metrics
    assert 'tally_committer_state{state="in_flight"} 0.0' in metrics
    log = node.read_log()[told:]
    assert "committer_situation" in log and "fee_cap_reached" in log
    epoch = int(node.call("tally_getPayment", payment)["epoch"], 16)
    assert get_commitment(node, epoch)["status"] == "sealed" and get_commitment(node, epoch)["attempts"] == []
    line.lie = lambda method, params, answer: answer
    node.wait_for_status(payment, "committed")


# ------------------------------------------------------------------------------------------------------------ deposits


@pytest.fixture
def paused(client: Client) -> Iterator[Client]:
    client.pause()
    yield client
    client.go_on()


def wait_for_balance(node: LoneNode, account: bytes, balance: int) -> None:
    wait_until(lambda: node.get_balance(account, ETHER) == balance, f"a balance of {balance}")


def test_a_deposit_waits_for_its_confirmations(node: LoneNode, paused: Client) -> None:
    account = b"\x31" * 20
    before = paused.mine()
    paused.deposit(node.facts["settlement"], account, 5)
    for confirmations in range(1, CONFIRMATIONS):
        paused.mine()
        assert confirmations < CONFIRMATIONS
    wait_until(lambda: get_synced(node) >= before, "the block before the deposit's")
    assert node.get_balance(account, ETHER) == 0
    paused.mine()
    wait_for_balance(node, account, 5)


def test_a_deposit_while_the_node_is_down(node: LoneNode, client: Client) -> None:
    account = b"\x32" * 20
    node.stop()
    client.deposit(node.facts["settlement"], account, 7)
    client.mine(CONFIRMATIONS)
    node.start()
    wait_for_balance(node, account, 7)


def test_a_deposit_delivered_five_times(node: LoneNode, paused: Client) -> None:
    """Five blocks in turn hold it, as the chain is reorganised; then the node forgets all that it has read. In between
    it is never credited, and after it never again."""
    account = b"\x33" * 20
    l1_transaction = paused.deposit(node.facts["settlement"], account, 9)
    raw = paused.ask("eth_getRawTransactionByHash", l1_transaction)
    blocks = set()
    for number in range(5):
        if number:
            paused.ask("anvil_reorg", 1, [])
            paused.ask("anvil_dropAllTransactions")
            paused.ask("eth_sendRawTransaction", raw)
        paused.mine()
        blocks.add(paused.ask("eth_getTransactionReceipt", l1_transaction)["blockHash"])
    assert len(blocks) == 5
    assert node.get_balance(account, ETHER) == 0
    paused.mine(CONFIRMATIONS)
    wait_for_balance(node, account, 9)
    node.stop()
    for path in node.data_dir.glob("ethereum.sqlite*"):
        path.unlink()
    node.start()
    newest = paused.mine(CONFIRMATIONS)
    wait_until(lambda: get_synced(node) >= newest - CONFIRMATIONS, "all that is final")
    assert node.get_balance(account, ETHER) == 9


def test_a_deposit_that_a_reorganisation_takes_back(node: LoneNode, paused: Client) -> None:
    account = b"\x34" * 20
    paused.deposit(node.facts["settlement"], account, 11)
    paused.mine(CONFIRMATIONS - 1)
    paused.ask("anvil_reorg", CONFIRMATIONS - 1, [])
    paused.ask("anvil_dropAllTransactions")
    paused.deposit(node.facts["settlement"], account, 13)
    paused.mine(CONFIRMATIONS + 1)
    wait_for_balance(node, account, 13)


# ------------------------------------------------------------------------------------------------------- an old backup


def test_an_old_copy_of_the_data_is_refused(node: LoneNode, tmp_path: Path) -> None:
    """It would sign a second history. Back with the newest data, all is well."""
    node.stop()
    shutil.copytree(node.data_dir, tmp_path / "old")
    node.start()
    node.wait_for_status(pay(node), "committed")
    node.stop()
    node.data_dir.rename(tmp_path / "new")
    shutil.copytree(tmp_path / "old", node.data_dir)
    told = len(node.read_log())
    assert not node.try_to_start()
    assert node.process is not None and node.process.returncode != 0
    assert "old copy" in node.read_log()[told:]
    shutil.rmtree(node.data_dir)
    (tmp_path / "new").rename(node.data_dir)
