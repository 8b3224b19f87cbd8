"""The embedded Ethereum as web3.py and Foundry's `cast` see it: two clients that share no code with it."""

import json
import subprocess
import urllib.request

import pytest
import rlp
from eth_account import Account
from eth_utils import keccak
from trie import HexaryTrie
from web3 import AsyncHTTPProvider, AsyncWeb3, HTTPProvider, Web3
from web3.exceptions import ContractCustomError, ContractLogicError, Web3RPCError
from web3.middleware import SignAndSendRawMiddlewareBuilder

from contracts import load_artifact
from devnet.l1 import genesis
from devnet.l1.process import start_l1
from tests.network import PATIENCE_SECONDS

TOKEN = load_artifact("TestToken")
UNIT = 10**18
# Reverts with Error("no") as Solidity encodes it.
NO = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (2).to_bytes(32, "big") + b"no" + bytes(30)


@pytest.fixture(scope="module")
def l1(tmp_path_factory):
    with start_l1(tmp_path_factory.mktemp("l1")) as process:
        yield process


@pytest.fixture(scope="module")
def accounts():
    Account.enable_unaudited_hdwallet_features()
    return [Account.from_mnemonic(genesis.MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}") for index in range(3)]


@pytest.fixture(scope="module")
def web3(l1, accounts):
    web3 = Web3(HTTPProvider(l1.url))
    web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(accounts), layer=0)
    web3.eth.default_account = accounts[0].address
    return web3


def wait(web3, hash_):
    return web3.eth.wait_for_transaction_receipt(hash_, timeout=PATIENCE_SECONDS, poll_latency=0.02)


@pytest.fixture(scope="module")
def token(web3, accounts):
    contract = web3.eth.contract(abi=TOKEN.abi, bytecode=TOKEN.bytecode)
    head = web3.eth.block_number
    receipt = wait(web3, contract.constructor().transact())
    assert receipt["blockNumber"] <= head + 4  # the next but one, and room for a busy machine
    assert receipt["status"] == 1
    token = web3.eth.contract(receipt["contractAddress"], abi=TOKEN.abi)
    wait(web3, token.functions.mint(accounts[0].address, 100 * UNIT).transact())
    return token


# -- web3.py -----------------------------------------------------------------------------------------------------------


def test_a_contract_is_what_was_deployed(web3, token):
    assert (token.functions.name().call(), token.functions.decimals().call()) == ("Tally Token", 18)
    assert len(web3.eth.get_code(token.address)) == len(TOKEN.deployed_bytecode)


def test_a_transfer_with_its_event(web3, token, accounts):
    before = token.functions.balanceOf(accounts[1].address).call()
    receipt = wait(web3, token.functions.transfer(accounts[1].address, 7).transact())
    assert token.functions.balanceOf(accounts[1].address).call() == before + 7
    assert token.functions.balanceOf(accounts[1].address).call(block_identifier=receipt["blockNumber"] - 1) == before
    (event,) = token.events.Transfer().process_receipt(receipt)
    assert (event["args"]["to"], event["args"]["value"]) == (accounts[1].address, 7)
    found = token.events.Transfer().get_logs(from_block=0, argument_filters={"to": accounts[1].address})
    assert found[-1]["transactionHash"] == receipt["transactionHash"]
    transaction = web3.eth.get_transaction(receipt["transactionHash"])
    assert receipt["effectiveGasPrice"] == transaction["gasPrice"] <= transaction["maxFeePerGas"]


def test_filters_by_polling(web3, token, accounts):
    transfers = token.events.Transfer().create_filter(from_block="latest")
    blocks = web3.eth.filter("latest")
    receipt = wait(web3, token.functions.transfer(accounts[1].address, 1).transact())
    assert [event["transactionHash"] for event in transfers.get_new_entries()] == [receipt["transactionHash"]]
    assert receipt["blockHash"] in blocks.get_new_entries()
    assert web3.eth.uninstall_filter(transfers.filter_id)


def test_a_custom_error_arrives_with_its_data(web3, token, accounts):
    selector = keccak(text="ERC20InsufficientBalance(address,uint256,uint256)")[:4]
    with pytest.raises(ContractCustomError) as caught:
        token.functions.transfer(accounts[1].address, 10**30).call()
    assert caught.value.data.startswith("0x" + selector.hex())
    with pytest.raises(ContractCustomError):
        token.functions.transfer(accounts[1].address, 10**30).estimate_gas()


def test_a_reason_arrives_as_text(web3):
    init = b"\x60" + bytes([len(NO)]) + bytes.fromhex("80600a5f395ffd") + bytes(1) + NO
    with pytest.raises(ContractLogicError, match="execution reverted: no") as caught:
        web3.eth.call({"data": init})
    assert caught.value.data == "0x" + NO.hex()


def test_storage_is_proven_against_the_block_hash(web3, token, accounts):
    """As a verifier does that trusts nothing but a block hash."""
    block = web3.eth.get_block("latest")
    slot = keccak(bytes(12) + bytes.fromhex(accounts[0].address[2:]) + bytes(32))
    proof = web3.eth.get_proof(token.address, [int.from_bytes(slot, "big")], block["hash"])
    nodes = [rlp.decode(bytes(node)) for node in proof["accountProof"]]
    account = rlp.decode(HexaryTrie.get_from_proof(block["stateRoot"], keccak(hexstr=token.address), nodes))
    assert account[2:] == [bytes(proof["storageHash"]), bytes(proof["codeHash"])]
    nodes = [rlp.decode(bytes(node)) for node in proof["storageProof"][0]["proof"]]
    value = rlp.decode(HexaryTrie.get_from_proof(account[2], keccak(slot), nodes))
    balance = token.functions.balanceOf(accounts[0].address).call(block_identifier=block["number"])
    assert int.from_bytes(value, "big") == balance > 0


def test_every_kind_of_transaction(web3, accounts):
    fees = {"maxFeePerGas": web3.eth.gas_price * 2, "maxPriorityFeePerGas": web3.eth.max_priority_fee}
    access = [{"address": accounts[1].address, "storageKeys": ["0x" + "00" * 32]}]
    for fields in ({"gasPrice": web3.eth.gas_price * 2}, {"gasPrice": 10**10, "accessList": access, "type": 1}, fees):
        hash_ = web3.eth.send_transaction(
            {"to": accounts[2].address, "value": 1, "from": accounts[0].address, **fields}
        )
        assert wait(web3, hash_)["status"] == 1


def test_the_nonce_rules(web3, accounts):
    nonce = web3.eth.get_transaction_count(accounts[2].address)
    fields = {"to": accounts[0].address, "value": 1, "gas": 21_000, "gasPrice": 10**10, "chainId": 31337}
    ahead = accounts[2].sign_transaction({**fields, "nonce": nonce + 1}).raw_transaction
    hash_ = web3.eth.send_raw_transaction(ahead)
    with pytest.raises(Web3RPCError, match="already known"):
        web3.eth.send_raw_transaction(ahead)
    with pytest.raises(Web3RPCError, match="replacement transaction underpriced"):
        web3.eth.send_raw_transaction(
            accounts[2].sign_transaction({**fields, "nonce": nonce + 1, "gasPrice": 10**10 + 1}).raw_transaction
        )
    web3.eth.send_raw_transaction(accounts[2].sign_transaction({**fields, "nonce": nonce}).raw_transaction)
    assert web3.eth.get_transaction_count(accounts[2].address, "pending") == nonce + 2
    wait(web3, hash_)
    with pytest.raises(Web3RPCError, match="nonce too low"):
        web3.eth.send_raw_transaction(ahead)


def test_blocks_and_fees(web3):
    for tag in ("latest", "safe", "finalized", "earliest", "pending"):
        block = web3.eth.get_block(tag, full_transactions=True)
        assert len(block["logsBloom"]) == 256
        assert block["baseFeePerGas"] > 0
    history = web3.eth.fee_history(5, "latest", [10, 90])
    assert len(history["baseFeePerGas"]) == len(history["reward"]) + 1


async def test_the_asynchronous_client_and_batches(l1):
    web3 = AsyncWeb3(AsyncHTTPProvider(l1.url))
    try:
        assert await web3.eth.chain_id == 31337
        async with web3.batch_requests() as batch:
            for _ in range(20):
                batch.add(web3.eth.get_block("earliest"))
            assert {block["number"] for block in await batch.async_execute()} == {0}
    finally:
        await web3.provider.disconnect()


# -- cast --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cast(l1, cast_path, accounts):
    def run(*arguments, is_signed=False):
        key = ["--private-key", accounts[1].key.hex()] if is_signed else []
        command = [str(cast_path), *arguments, "--rpc-url", l1.url, *key]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_cast_sends_and_reads(cast, web3, token, accounts):
    target = accounts[2].address
    before = token.functions.balanceOf(target).call()
    wait(web3, token.functions.transfer(accounts[1].address, 50).transact())
    sent = cast("send", token.address, "transfer(address,uint256)", target, "3", "--json", is_signed=True)
    receipt = json.loads(sent.stdout)
    assert (receipt["status"], receipt["type"], len(receipt["logs"])) == ("0x1", "0x2", 1)
    assert cast("call", token.address, "balanceOf(address)(uint256)", target).stdout.split()[0] == str(before + 3)
    assert json.loads(cast("receipt", receipt["transactionHash"], "--json").stdout) == receipt
    assert cast("send", target, "--value", "1", "--legacy", is_signed=True).returncode == 0
    assert cast("block", "latest", "--full").returncode == 0
    assert json.loads(cast("block", receipt["blockNumber"], "--json").stdout)["hash"] == receipt["blockHash"]


def test_cast_reports_a_revert_with_its_data(cast, token, accounts):
    failed = cast("send", token.address, "transfer(address,uint256)", accounts[0].address, str(10**30), is_signed=True)
    assert failed.returncode != 0
    assert "execution reverted" in failed.stderr
    assert keccak(text="ERC20InsufficientBalance(address,uint256,uint256)")[:4].hex() in failed.stderr


def test_cast_reads_logs_and_proofs(cast, token, web3):
    assert token.address in cast("logs", "--from-block", "0", "--address", token.address).stdout
    assert json.loads(cast("proof", token.address, "0x2").stdout)["nonce"] == "0x1"
    storage = cast("storage", token.address, "2").stdout.strip()
    assert int(storage, 16) == token.functions.totalSupply().call()


# -- browsers ----------------------------------------------------------------------------------------------------------


def test_a_page_of_any_origin_may_ask(l1):
    preflight = urllib.request.Request(
        l1.url,
        method="OPTIONS",
        headers={
            "Origin": "https://wallet.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    with urllib.request.urlopen(preflight) as answer:
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "*")
        assert "POST" in answer.headers["access-control-allow-methods"]
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
    with urllib.request.urlopen(urllib.request.Request(l1.url, body, {"Origin": "https://wallet.example"})) as answer:
        assert answer.headers["access-control-allow-origin"] == "*"
        assert json.load(answer)["result"] == "0x7a69"


def test_health(l1):
    with urllib.request.urlopen(l1.url + "/health") as answer:
        assert int(json.load(answer)["block"], 16) >= 0
