"""What clients are told. Hashes and roots are recomputed here from the JSON alone."""

import pytest
import rlp
from eth_utils import keccak
from trie import HexaryTrie

from devnet.l1 import genesis
from devnet.l1.filters import EXPIRY_S
from devnet.l1.methods import Methods, RpcError

GWEI = 10**9
LOGGER = bytes.fromhex("5f355f52602a60205fa100")  # LOG1 of the first word of call data, topic 42
SENDER = "0x" + genesis.ACCOUNTS[0].hex()


@pytest.fixture
def ask(devnet):
    methods = devnet.methods

    def call(name, *params):
        return methods.call(name, list(params))

    return call


@pytest.fixture
def busy(devnet, sign, deploy):
    """Block 1: a deployment. Block 2: all types of transactions, two with logs, one that fails. Block 3: empty."""
    devnet.chain.submit(sign(to="", value=0, data=deploy(LOGGER), gas=200_000))
    contract = devnet.mine().transactions[0].contract_address
    call = {"to": contract, "value": 0, "data": b"\x05" * 32, "gas": 60_000}
    access = [{"address": "0x" + contract.hex(), "storageKeys": ["0x" + "00" * 31 + "01"]}]
    devnet.chain.submit(sign(0, nonce=1, **call))
    devnet.chain.submit(sign(1, gasPrice=2 * GWEI, **call))
    devnet.chain.submit(sign(2, gasPrice=2 * GWEI, type=1, accessList=access, gas=30_000))
    devnet.chain.submit(sign(3, to="", value=0, data=b"\xfe", gas=60_000))
    devnet.chain.submit(sign(4, accessList=access, gas=30_000, maxPriorityFeePerGas=3 * GWEI))
    assert len(devnet.mine().transactions) == 5
    devnet.mine()
    return contract


def to_bytes(text):
    return bytes.fromhex(text[2:])


def to_item(text):
    """A quantity as RLP has it."""
    return int(text, 16).to_bytes((int(text, 16).bit_length() + 7) // 8, "big")


def encode_header(block):
    data = "parentHash sha3Uncles miner stateRoot transactionsRoot receiptsRoot logsBloom"
    numbers = "difficulty number gasLimit gasUsed timestamp"
    return rlp.encode(
        [to_bytes(block[name]) for name in data.split()]
        + [to_item(block[name]) for name in numbers.split()]
        + [to_bytes(block["extraData"]), to_bytes(block["mixHash"]), to_bytes(block["nonce"])]
        + [to_item(block["baseFeePerGas"]), to_bytes(block["withdrawalsRoot"])]
        + [to_item(block["blobGasUsed"]), to_item(block["excessBlobGas"])]
        + [to_bytes(block["parentBeaconBlockRoot"]), to_bytes(block["requestsHash"])]
    )


def encode_transaction(transaction):
    type_ = int(transaction["type"], 16)
    fees = ["maxPriorityFeePerGas", "maxFeePerGas"] if type_ == 2 else ["gasPrice"]
    items = [to_item(transaction[name]) for name in ("nonce", *fees, "gas")]
    items += [to_bytes(transaction["to"] or "0x"), to_item(transaction["value"]), to_bytes(transaction["input"])]
    signature = [to_item(transaction[name]) for name in ("v", "r", "s")]
    if type_ == 0:
        return rlp.encode(items + signature)
    access = [
        [to_bytes(entry["address"]), [to_bytes(key) for key in entry["storageKeys"]]]
        for entry in transaction["accessList"]
    ]
    return bytes([type_]) + rlp.encode([to_item(transaction["chainId"]), *items, access, *signature])


def encode_receipt(receipt):
    logs = [
        [to_bytes(log["address"]), [to_bytes(topic) for topic in log["topics"]], to_bytes(log["data"])]
        for log in receipt["logs"]
    ]
    items = [to_item(receipt["status"]), to_item(receipt["cumulativeGasUsed"]), to_bytes(receipt["logsBloom"]), logs]
    prefix = b"" if receipt["type"] == "0x0" else bytes([int(receipt["type"], 16)])
    return prefix + rlp.encode(items)


def compute_root(items):
    trie = HexaryTrie({})
    for index, item in enumerate(items):
        trie[rlp.encode(index)] = item
    return "0x" + trie.root_hash.hex()


# -- blocks, transactions, receipts ------------------------------------------------------------------------------------


def test_block_hashes_are_those_of_their_json(ask, busy):
    parent = "0x" + "00" * 32
    for number in range(4):
        block = ask("eth_getBlockByNumber", hex(number), True)
        assert block["hash"] == "0x" + keccak(encode_header(block)).hex()
        assert block["parentHash"] == parent
        assert len(block["logsBloom"]) == 2 + 512
        parent = block["hash"]


def test_transactions_and_their_root_are_those_of_their_json(ask, busy):
    block = ask("eth_getBlockByNumber", "0x2", True)
    encoded = [encode_transaction(transaction) for transaction in block["transactions"]]
    assert ["0x" + keccak(item).hex() for item in encoded] == [each["hash"] for each in block["transactions"]]
    assert compute_root(encoded) == block["transactionsRoot"]
    assert {each["type"] for each in block["transactions"]} == {"0x0", "0x1", "0x2"}


def test_receipts_and_their_root_are_those_of_their_json(ask, busy):
    block = ask("eth_getBlockByNumber", "0x2", False)
    receipts = ask("eth_getBlockReceipts", "0x2")
    assert receipts == [ask("eth_getTransactionReceipt", hash_) for hash_ in block["transactions"]]
    assert compute_root([encode_receipt(receipt) for receipt in receipts]) == block["receiptsRoot"]
    assert [log["logIndex"] for receipt in receipts for log in receipt["logs"]] == ["0x0", "0x1"]
    assert sum(int(receipt["gasUsed"], 16) for receipt in receipts) == int(block["gasUsed"], 16)
    blooms = [int(receipt["logsBloom"], 16) for receipt in receipts]
    assert int(block["logsBloom"], 16) == blooms[0] | blooms[1] | blooms[2] | blooms[3] | blooms[4] != 0


def test_size_is_that_of_the_whole_block(ask, busy):
    block = ask("eth_getBlockByNumber", "0x2", True)
    items = [encode_transaction(transaction) for transaction in block["transactions"]]
    items = [rlp.decode(item) if item[0] >= 0xC0 else item for item in items]
    assert int(block["size"], 16) == len(rlp.encode([rlp.decode(encode_header(block)), items, [], []]))


def test_effective_price_is_base_fee_and_tip_under_the_cap(ask, busy):
    block = ask("eth_getBlockByNumber", "0x2", True)
    base_fee = int(block["baseFeePerGas"], 16)
    for transaction, receipt in zip(block["transactions"], ask("eth_getBlockReceipts", "0x2"), strict=True):
        if transaction["type"] == "0x2":
            cap, tip = (int(transaction[name], 16) for name in ("maxFeePerGas", "maxPriorityFeePerGas"))
            assert int(receipt["effectiveGasPrice"], 16) == min(cap, base_fee + tip)
        assert receipt["effectiveGasPrice"] == transaction["gasPrice"]


def test_a_creation_names_its_contract_and_a_failure_its_status(ask, busy):
    (receipt,) = ask("eth_getBlockReceipts", "0x1")
    assert (receipt["contractAddress"], receipt["to"], receipt["status"]) == ("0x" + busy.hex(), None, "0x1")
    failed = [receipt for receipt in ask("eth_getBlockReceipts", "0x2") if receipt["status"] == "0x0"]
    assert [receipt["gasUsed"] for receipt in failed] == [hex(60_000)]


def test_the_same_block_by_every_name(ask, busy):
    latest = ask("eth_getBlockByNumber", "latest", False)
    assert latest["number"] == "0x3"
    for tag in ("0x3", "safe", "finalized"):
        assert ask("eth_getBlockByNumber", tag) == latest
    assert ask("eth_getBlockByHash", latest["hash"], False) == latest
    assert ask("eth_getBlockByNumber", "earliest")["number"] == "0x0"


def test_transactions_by_place(ask, busy):
    block = ask("eth_getBlockByNumber", "0x2", True)
    for index, transaction in enumerate(block["transactions"]):
        assert ask("eth_getTransactionByHash", transaction["hash"]) == transaction
        assert ask("eth_getTransactionByBlockNumberAndIndex", "0x2", hex(index)) == transaction
        assert ask("eth_getTransactionByBlockHashAndIndex", block["hash"], hex(index)) == transaction
    assert ask("eth_getBlockTransactionCountByNumber", "0x2") == "0x5"
    assert ask("eth_getBlockTransactionCountByHash", block["hash"]) == "0x5"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getBlockByNumber", ["0x99", False]),
        ("eth_getBlockByHash", ["0x" + "12" * 32, False]),
        ("eth_getBlockTransactionCountByNumber", ["0x99"]),
        ("eth_getBlockReceipts", ["0x99"]),
        ("eth_getTransactionByHash", ["0x" + "12" * 32]),
        ("eth_getTransactionReceipt", ["0x" + "12" * 32]),
        ("eth_getTransactionByBlockNumberAndIndex", ["0x2", "0x5"]),
        ("eth_getUncleCountByBlockNumber", ["0x99"]),
    ],
)
def test_what_does_not_exist_is_null(ask, busy, method, params):
    assert ask(method, *params) is None


def test_content_that_is_no_block_is_not_taken_for_one(ask, busy, devnet):
    root = "0x" + devnet.chain.head.state_root.hex()
    assert ask("eth_getBlockByHash", root, False) is None


# -- what is pending ---------------------------------------------------------------------------------------------------


def test_a_pooled_transaction_is_seen_before_it_is_mined(ask, devnet, sign):
    hash_ = ask("eth_sendRawTransaction", "0x" + sign().hex())
    waiting = ask("eth_getTransactionByHash", hash_)
    assert [waiting[name] for name in ("blockHash", "blockNumber", "transactionIndex")] == [None] * 3
    assert ask("eth_getTransactionReceipt", hash_) is None
    assert ask("eth_getTransactionCount", SENDER, "latest") == "0x0"
    assert ask("eth_getTransactionCount", SENDER, "pending") == "0x1"
    pending = ask("eth_getBlockByNumber", "pending", False)
    assert (pending["number"], pending["hash"], pending["transactions"]) == ("0x1", None, [hash_])
    assert ask("eth_getTransactionByBlockNumberAndIndex", "pending", "0x0") == waiting
    assert ask("eth_getBlockTransactionCountByNumber", "pending") == "0x1"
    devnet.mine()
    assert ask("eth_getTransactionByHash", hash_)["blockNumber"] == "0x1"
    assert ask("eth_getTransactionCount", SENDER, "latest") == "0x1"


def test_refusals_come_in_geths_words(ask, devnet, sign):
    raw = "0x" + sign().hex()
    ask("eth_sendRawTransaction", raw)
    with pytest.raises(RpcError, match="already known") as caught:
        ask("eth_sendRawTransaction", raw)
    assert caught.value.code == -32000
    devnet.mine()
    with pytest.raises(RpcError, match="nonce too low: next nonce 1, tx nonce 0"):
        ask("eth_sendRawTransaction", raw)


# -- state -------------------------------------------------------------------------------------------------------------


def test_state_at_any_block_by_any_name(ask, busy, devnet):
    address = "0x" + busy.hex()
    assert ask("eth_getCode", address, "earliest") == "0x"
    assert ask("eth_getCode", address) == "0x" + LOGGER.hex()
    assert ask("eth_getBalance", SENDER, "0x0") == hex(genesis.BALANCE_WEI)
    hash_ = ask("eth_getBlockByNumber", "0x1")["hash"]
    for block in (
        "0x1",
        hash_,
        {"blockNumber": "0x1"},
        {"blockHash": hash_},
        {"blockHash": hash_, "requireCanonical": True},
    ):
        assert ask("eth_getTransactionCount", SENDER, block) == "0x1"
    assert ask("eth_getStorageAt", address, "0x0", "latest") == "0x" + "00" * 32


def test_state_of_an_unknown_block_is_an_error(ask):
    for block in ("0x99", "0x" + "12" * 32):
        with pytest.raises(RpcError, match="header not found") as caught:
            ask("eth_getBalance", SENDER, block)
        assert caught.value.code == -32000


def test_proof_json(ask, busy):
    proof = ask("eth_getProof", "0x" + busy.hex(), ["0x0", "0x" + "00" * 32], "latest")
    assert (proof["nonce"], proof["balance"]) == ("0x1", "0x0")
    assert [slot["value"] for slot in proof["storageProof"]] == ["0x0", "0x0"]
    assert "0x" + keccak(to_bytes(proof["accountProof"][0])).hex() == ask("eth_getBlockByNumber", "latest")["stateRoot"]


# -- fees --------------------------------------------------------------------------------------------------------------


def test_fee_history_json(ask, busy):
    history = ask("eth_feeHistory", "0x3", "latest", [50])
    assert history["oldestBlock"] == "0x1"
    assert [len(history[name]) for name in ("baseFeePerGas", "gasUsedRatio", "reward")] == [4, 3, 3]
    assert [len(history[name]) for name in ("baseFeePerBlobGas", "blobGasUsedRatio")] == [4, 3]
    assert "reward" not in ask("eth_feeHistory", 3, "latest")
    assert ask("eth_feeHistory", "0x400", "0x1", [])["oldestBlock"] == "0x0"


def test_gas_price_is_the_next_base_fee_and_a_tip(ask, busy):
    base_fee = int(ask("eth_feeHistory", "0x1", "latest")["baseFeePerGas"][-1], 16)
    assert int(ask("eth_gasPrice"), 16) == base_fee + int(ask("eth_maxPriorityFeePerGas"), 16)
    assert int(ask("eth_getBlockByNumber", "pending")["baseFeePerGas"], 16) == base_fee


# -- logs and filters --------------------------------------------------------------------------------------------------


def test_logs_json(ask, busy):
    found = ask("eth_getLogs", {"fromBlock": "earliest", "address": "0x" + busy.hex()})
    assert [(log["blockNumber"], log["logIndex"], log["removed"]) for log in found] == [
        ("0x2", "0x0", False),
        ("0x2", "0x1", False),
    ]
    assert found[0]["topics"] == ["0x" + "00" * 31 + "2a"]
    hash_ = found[0]["blockHash"]
    assert ask("eth_getLogs", {"blockHash": hash_}) == found
    assert ask("eth_getLogs", {}) == []
    assert ask("eth_getLogs", {"fromBlock": "0x3", "toBlock": "0x999"}) == []
    with pytest.raises(RpcError, match="unknown block"):
        ask("eth_getLogs", {"blockHash": "0x" + "12" * 32})
    with pytest.raises(RpcError, match="invalid block range"):
        ask("eth_getLogs", {"fromBlock": "0x3", "toBlock": "0x2"})


def test_filters_tell_what_is_new_once(ask, busy, devnet, sign):
    blocks, logs = ask("eth_newBlockFilter"), ask("eth_newFilter", {"address": "0x" + busy.hex()})
    assert ask("eth_getFilterChanges", blocks) == ask("eth_getFilterChanges", logs) == []
    devnet.chain.submit(sign(0, nonce=2, to=busy, value=0, data=b"\x06" * 32, gas=60_000))
    devnet.mine(2)
    hashes = [ask("eth_getBlockByNumber", number)["hash"] for number in ("0x4", "0x5")]
    assert ask("eth_getFilterChanges", blocks) == hashes
    assert [log["blockHash"] for log in ask("eth_getFilterChanges", logs)] == hashes[:1]
    assert ask("eth_getFilterChanges", blocks) == ask("eth_getFilterChanges", logs) == []
    assert ask("eth_uninstallFilter", blocks) is True
    assert ask("eth_uninstallFilter", blocks) is False
    with pytest.raises(RpcError, match="filter not found"):
        ask("eth_getFilterChanges", blocks)


def test_filter_logs_are_the_whole_range(ask, busy):
    id_ = ask("eth_newFilter", {"fromBlock": "0x0", "toBlock": "latest"})
    assert ask("eth_getFilterLogs", id_) == ask("eth_getLogs", {"fromBlock": "0x0"})
    with pytest.raises(RpcError, match="filter not found"):
        ask("eth_getFilterLogs", ask("eth_newBlockFilter"))


def test_filters_are_forgotten_when_not_polled_and_bounded(devnet, clock, monkeypatch):
    monkeypatch.setattr("devnet.l1.filters.MAX_FILTERS", 2)
    methods = Methods(devnet.chain, stopwatch=clock.measure)
    first = methods.call("eth_newBlockFilter", [])
    methods.call("eth_newBlockFilter", [])
    with pytest.raises(RpcError, match="filters are installed") as caught:
        methods.call("eth_newBlockFilter", [])
    assert caught.value.code == -32005
    clock.elapsed += EXPIRY_S - 1
    methods.call("eth_getFilterChanges", [first])
    clock.elapsed += 2
    methods.call("eth_newBlockFilter", [])
    methods.call("eth_getFilterChanges", [first])
    clock.elapsed += EXPIRY_S
    with pytest.raises(RpcError, match="filter not found"):
        methods.call("eth_getFilterChanges", [first])


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_who_is_there(ask):
    assert ask("eth_chainId") == "0x7a69"
    assert ask("net_version") == "31337"
    assert ask("net_listening") is True
    assert ask("eth_syncing") is False
    assert ask("eth_accounts") == []
    assert ask("eth_blockNumber") == "0x0"
    assert ask("web3_clientVersion").startswith("Tallystick-L1/")


def test_an_optional_parameter_may_be_null(ask):
    assert ask("eth_getBalance", SENDER, None) == hex(genesis.BALANCE_WEI)


def test_state_overrides_are_refused_not_ignored(ask):
    with pytest.raises(RpcError, match="overrides are not supported") as caught:
        ask("eth_call", {"to": SENDER}, "latest", {SENDER: {"balance": "0x1"}})
    assert caught.value.code == -32602
