"""The gateway over scripted answers: what is taken for an answer, and what every other answer is called."""

from collections.abc import Callable, Sequence
from typing import Any

import eth_abi
import pytest

from chain.commitment import AssetCommitment, Commitment, hash_commitment
from chain.hashing import keccak
from chain.params import Domain
from node.ethereum.abi import encode_topic, load_abi
from node.ethereum.endpoint import EndpointHealth
from node.ethereum.endpoints import Endpoints
from node.ethereum.faults import EthereumFault, Reverted, RpcError, WrongDeployment
from node.ethereum.gateway import Gateway, classify_send_refusal, decode_data, decode_quantity, find_revert
from node.ethereum.l1 import SendOutcome

SETTLEMENT = b"\x5e" * 20
CHAIN_ID = 5
HASH = "0x" + "ab" * 32
BLOCK = {"number": "0x10", "hash": HASH, "timestamp": "0x65", "baseFeePerGas": "0x7", "extra": []}
COMMITMENT = Commitment(
    epoch=3,
    previous=b"\x01" * 32,
    first_block=4,
    last_block=9,
    cut_at=1_000,
    blocks_root=b"\x02" * 32,
    extra_root=bytes(32),
    assets=tuple(
        [
            AssetCommitment(bytes((n,)) * 20, b"\x03" * 32, 2**127, n, n + 1, 0, bytes(32), 0, 2**128 - 1)
            for n in range(3)
        ]
    ),
)
COMMITMENT_ABI = (
    "(uint64,bytes32,uint64,uint64,uint64,bytes32,bytes32,"
    "(address,bytes32,uint128,uint64,uint64,uint64,bytes32,uint64,uint128)[])"
)


class Scripted:
    """Answers by method; a value, an error to raise, or a function of the parameters."""

    name = "scripted"
    health = EndpointHealth(name, 0, 0, 0, 0, None, None, None, "", None, "")

    def __init__(self, **answers: Any) -> None:
        self.answers = {"eth_chainId": hex(CHAIN_ID), "eth_getCode": "0x60", **answers}
        self.asked: list[tuple[str, Sequence[Any]]] = []

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        self.asked.append((method, params))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer(params) if callable(answer) else answer

    async def close(self) -> None:
        return


def open_over(member: Scripted) -> Gateway:
    return Gateway(Endpoints([member], CHAIN_ID, SETTLEMENT), CHAIN_ID, SETTLEMENT)


def open_gateway(**answers: Any) -> Gateway:
    return open_over(Scripted(**answers))


def to_tuple(commitment: Commitment) -> tuple[Any, ...]:
    lines = [
        (
            line.asset,
            line.state_root,
            line.total,
            line.account_count,
            line.deposit_count,
            line.forced_count,
            line.withdrawals_root,
            line.withdrawal_count,
            line.withdrawn,
        )
        for line in commitment.assets
    ]
    return (
        commitment.epoch,
        commitment.previous,
        commitment.first_block,
        commitment.last_block,
        commitment.cut_at,
        commitment.blocks_root,
        commitment.extra_root,
        lines,
    )


def make_committed_log(included_at: int = 77, **changes: Any) -> dict[str, Any]:
    digest = hash_commitment(COMMITMENT, Domain.of(CHAIN_ID, SETTLEMENT))
    data = eth_abi.encode(["uint64", COMMITMENT_ABI, "bytes"], [included_at, to_tuple(COMMITMENT), b"\x05" * 65])
    return {
        "address": "0x" + SETTLEMENT.hex(),
        "topics": ["0x" + load_abi("Settlement").get_topic("Committed").hex(), encode_topic(3), "0x" + digest.hex()],
        "data": "0x" + data.hex(),
        "blockNumber": "0x9",
        "blockHash": HASH,
        "transactionHash": HASH,
        "logIndex": "0x0",
        "removed": False,
        **changes,
    }


async def test_the_chain_and_the_contract_are_checked_once_and_again_after_a_fault() -> None:
    transport = Scripted(eth_getBlockByNumber=BLOCK)
    gateway = open_over(transport)
    await gateway.get_block("latest")
    await gateway.get_block(16)
    assert [method for method, _ in transport.asked] == [
        "eth_chainId",
        "eth_getCode",
        "eth_getBlockByNumber",
        "eth_getBlockByNumber",
    ]
    transport.answers["eth_getBlockByNumber"] = EthereumFault("down")
    with pytest.raises(EthereumFault):
        await gateway.get_block(16)
    transport.answers.update(eth_getBlockByNumber=BLOCK, eth_chainId="0x6")
    with pytest.raises(WrongDeployment) as caught:
        await gateway.get_block(16)
    assert caught.value.code == "wrong_chain"
    transport.answers.update(eth_chainId=hex(CHAIN_ID), eth_getCode="0x")
    with pytest.raises(WrongDeployment) as caught:
        await gateway.get_block(16)
    assert caught.value.code == "no_contract"
    transport.answers.update(eth_getCode="0x60")
    assert (await gateway.get_block(16)).number == 16


async def test_a_chain_without_base_fees_is_read_as_such() -> None:
    form = {name: value for name, value in BLOCK.items() if name != "baseFeePerGas"}
    assert (await open_gateway(eth_getBlockByNumber=form).get_block("latest")).base_fee is None


async def test_a_block_is_decoded_strictly() -> None:
    block = await open_gateway(eth_getBlockByNumber=BLOCK).get_block("latest")
    assert (block.number, block.hash, block.timestamp, block.base_fee) == (16, b"\xab" * 32, 101, 7)
    for field, wrong in [
        ("number", 16),
        ("number", "0x"),
        ("hash", "0xab"),
        ("timestamp", "0x1" + "0" * 16),
        ("baseFeePerGas", 7),
        ("hash", None),
    ]:
        with pytest.raises(EthereumFault):
            await open_gateway(eth_getBlockByNumber={**BLOCK, field: wrong}).get_block("latest")
    for wrong_block in (None, [], "0x"):
        with pytest.raises(EthereumFault):
            await open_gateway(eth_getBlockByNumber=wrong_block).get_block("latest")


@pytest.mark.parametrize("field", ["number", "timestamp", "baseFeePerGas"])
async def test_a_number_that_cannot_be_kept_is_a_fault(field: str) -> None:
    await open_gateway(eth_getBlockByNumber={**BLOCK, field: hex(2**63 - 1)}).get_block("latest")
    with pytest.raises(EthereumFault):
        await open_gateway(eth_getBlockByNumber={**BLOCK, field: hex(2**63)}).get_block("latest")


@pytest.mark.parametrize("place", range(3))
async def test_a_head_that_cannot_be_kept_is_a_fault(place: int) -> None:
    values = [9, 1_700_000_000, 4]
    values[place] = 2**63
    with pytest.raises(EthereumFault):
        await open_gateway(eth_call="0x" + eth_abi.encode(["uint64"] * 3, values).hex()).get_head(31)


@pytest.mark.parametrize(
    "changes", [{"blockNumber": hex(2**63)}, {"data": make_committed_log(included_at=2**63)["data"]}]
)
async def test_a_log_that_cannot_be_kept_is_a_fault(changes: dict[str, Any]) -> None:
    with pytest.raises(EthereumFault):
        await open_gateway(eth_getLogs=[make_committed_log(**changes)]).get_committed_events(1, 9)


@pytest.mark.parametrize("field", ["blockNumber", "gasUsed", "effectiveGasPrice"])
async def test_a_receipt_that_cannot_be_kept_is_a_fault(field: str) -> None:
    receipt = {"transactionHash": HASH, "blockNumber": "0x9", "blockHash": HASH, "status": "0x1"}
    receipt |= {"gasUsed": "0x1", "effectiveGasPrice": "0x1", field: hex(2**63)}
    with pytest.raises(EthereumFault):
        await open_gateway(eth_getTransactionReceipt=receipt).get_receipt(b"\x01" * 32)


async def test_a_nonce_that_cannot_be_kept_is_a_fault() -> None:
    with pytest.raises(EthereumFault):
        await open_gateway(eth_getTransactionCount=hex(2**63)).get_nonce(b"\x01" * 20, 1)


@pytest.mark.parametrize(("confirmations", "expected"), [(1, 16), (2, 15), (17, 0), (100, 0)])
async def test_the_final_block_counts_itself(confirmations: int, expected: int) -> None:
    gateway = open_gateway(eth_getBlockByNumber=lambda params: {**BLOCK, "number": params[0]})
    latest = await gateway.get_block(16)
    assert (await gateway.get_final_block(latest, confirmations)).number == expected


@pytest.mark.parametrize("timestamp", range(95, 130))
async def test_a_block_is_found_by_its_time(timestamp: int) -> None:
    times = [100, 100, 103, 104, 104, 110, 120]
    gateway = open_gateway(
        eth_getBlockByNumber=lambda params: {**BLOCK, "number": params[0], "timestamp": hex(times[int(params[0], 16)])}
    )
    found = await gateway.find_block_at(timestamp, 0, len(times) - 1)
    expected = [number for number, time in enumerate(times) if time >= timestamp]
    assert found == (expected[0] if expected else len(times) - 1)


async def test_the_head_is_read_as_of_a_block() -> None:
    transport = Scripted(eth_call="0x" + eth_abi.encode(["uint64"] * 3, [9, 1_700_000_000, 4]).hex())
    head = await open_over(transport).get_head(31)
    assert (head.epoch, head.included_at, head.final_epoch) == (9, 1_700_000_000, 4)
    method, params = transport.asked[-1]
    assert method == "eth_call" and params[1] == "0x1f"
    assert params[0] == {"to": "0x" + SETTLEMENT.hex(), "data": "0x8f7dcfa3"}


@pytest.mark.parametrize(
    "answer",
    [
        "0x",
        "0x00",
        "0x" + "00" * 95,
        "0x" + "00" * 128,
        "0x" + "ff" * 96,
        None,
        RpcError("eth_call", 3, "execution reverted", "0x"),
        RpcError("eth_call", -32000, "header not found"),
    ],
)
async def test_what_is_no_head_is_a_fault(answer: Any) -> None:
    with pytest.raises(EthereumFault):
        await open_gateway(eth_call=answer).get_head(31)


async def test_a_contract_without_our_functions_is_the_wrong_one() -> None:
    for answer in ("0x", RpcError("eth_call", 3, "execution reverted", "0x")):
        with pytest.raises(WrongDeployment) as caught:
            await open_gateway(eth_call=answer).get_deployment()
        assert caught.value.code == "wrong_contract"


async def test_commitments_are_read_from_their_logs() -> None:
    (event,) = await open_gateway(eth_getLogs=[make_committed_log()]).get_committed_events(1, 9)
    assert event.commitment == COMMITMENT
    assert (event.signature, event.included_at, event.l1_block) == (b"\x05" * 65, 77, 9)
    assert event.digest == hash_commitment(COMMITMENT, Domain.of(CHAIN_ID, SETTLEMENT))


@pytest.mark.parametrize(
    "changes",
    [
        {"topics": []},
        {"topics": make_committed_log()["topics"][:2]},
        {"topics": [*make_committed_log()["topics"][:2], HASH]},
        {"topics": [HASH, *make_committed_log()["topics"][1:]]},
        {"topics": "0x"},
        {"address": "0x" + "00" * 20},
        {"removed": True},
        {"data": make_committed_log()["data"] + "00"},
        {"data": make_committed_log()["data"][:-2]},
        {"data": "0x"},
        {"blockHash": None},
        {"blockNumber": "9"},
    ],
)
async def test_a_log_that_is_not_ours_or_lies_about_its_digest_is_a_fault(changes: dict[str, Any]) -> None:
    with pytest.raises(EthereumFault):
        await open_gateway(eth_getLogs=[make_committed_log(**changes)]).get_committed_events(1, 9)


def test_call_data_is_what_an_independent_encoder_makes() -> None:
    data = open_gateway().encode_commit(COMMITMENT, COMMITMENT, b"\x05" * 65)
    arguments = [to_tuple(COMMITMENT), to_tuple(COMMITMENT), b"\x05" * 65]
    assert data[4:] == eth_abi.encode([COMMITMENT_ABI, COMMITMENT_ABI, "bytes"], arguments)


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("already known", SendOutcome.ALREADY_KNOWN),
        ("AlreadyKnown", SendOutcome.ALREADY_KNOWN),
        ("Known transaction", SendOutcome.ALREADY_KNOWN),
        ("transaction already imported", SendOutcome.ALREADY_KNOWN),
        ("nonce too low: next nonce 3, tx nonce 2", SendOutcome.NONCE_TOO_LOW),
        ("OldNonce", SendOutcome.NONCE_TOO_LOW),
        ("replacement transaction underpriced", SendOutcome.UNDERPRICED),
        ("Replacement transaction underpriced", SendOutcome.UNDERPRICED),
        ("could not replace existing tx", SendOutcome.UNDERPRICED),
        ("transaction underpriced: tip needed 1, tip permitted 0", SendOutcome.UNDERPRICED),
        ("max fee per gas less than block base fee: address 0x…", SendOutcome.UNDERPRICED),
        ("insufficient funds for gas * price + value: balance 1", SendOutcome.OUT_OF_FUNDS),
        ("Insufficient funds for gas * price + value", SendOutcome.OUT_OF_FUNDS),
        ("Upfront cost exceeds account balance", SendOutcome.OUT_OF_FUNDS),
        ("txpool is full", SendOutcome.REFUSED),
        ("invalid chain id for signer: have 1 want 5", SendOutcome.REFUSED),
    ],
)
async def test_every_clients_words_for_a_send(message: str, outcome: SendOutcome) -> None:
    assert classify_send_refusal(message) is outcome
    result = await open_gateway(eth_sendRawTransaction=RpcError("eth_sendRawTransaction", -32000, message)).send(
        b"\x02"
    )
    assert (result.outcome, result.message) == (outcome, message)


async def test_a_send_without_an_answer_is_a_fault() -> None:
    with pytest.raises(EthereumFault):
        await open_gateway(eth_sendRawTransaction=EthereumFault("late")).send(b"\x02")


REVERT = "0x" + (keccak(b"EpochMismatch(uint64,uint64)")[:4] + eth_abi.encode(["uint64", "uint64"], [4, 7])).hex()
PANIC = "0x4e487b71" + eth_abi.encode(["uint256"], [17]).hex()


@pytest.mark.parametrize(
    ("error", "described"),
    [
        (RpcError("m", 3, "execution reverted", REVERT), "EpochMismatch(expected=4, given=7)"),
        (RpcError("m", -32000, "execution reverted", {"data": REVERT}), "EpochMismatch(expected=4, given=7)"),
        (RpcError("m", -32015, "VM execution error.", f"Reverted {REVERT}"), None),
        (RpcError("m", -32015, "Reverted", f"Reverted {REVERT}"), "EpochMismatch(expected=4, given=7)"),
        (RpcError("m", 3, "execution reverted"), "unknown()"),
        (RpcError("m", 3, "execution reverted", "0x12345678"), "unknown(data=0x12345678)"),
        (RpcError("m", 3, "execution reverted", REVERT[:-2]), f"unknown(data={REVERT[:-2]})"),
        (
            RpcError("m", 3, "execution reverted", "0x08c379a0" + eth_abi.encode(["string"], ["no"]).hex()),
            "Error(message=no)",
        ),
        (
            RpcError("m", 3, "execution reverted", "0x4e487b71" + eth_abi.encode(["uint256"], [17]).hex()),
            "Panic(code=17)",
        ),
        (RpcError("m", -32000, "gas required exceeds allowance"), None),
    ],
)
async def test_a_revert_is_decoded_whatever_the_client_calls_it(error: RpcError, described: str | None) -> None:
    gateway = open_gateway(eth_estimateGas=error)
    if described is None:
        assert find_revert(error) is None
        with pytest.raises(RpcError):
            await gateway.estimate_commit_gas(b"\x01" * 20, b"")
        return
    with pytest.raises(Reverted) as caught:
        await gateway.estimate_commit_gas(b"\x01" * 20, b"")
    assert str(caught.value.error) == described


def encode_word(value: int) -> str:
    return value.to_bytes(32).hex()


@pytest.mark.parametrize("offset", [32, 64, 2**63, 2**255, 2**256 - 1])
@pytest.mark.parametrize("length", [2**62, 2**63, 2**64, 2**255, 2**256 - 1])
async def test_lengths_and_offsets_beyond_memory_are_malformed(offset: int, length: int) -> None:
    nonsense = encode_word(offset) + encode_word(length)
    assert await open_gateway(eth_call="0x" + nonsense).get_token(b"\x01" * 20) == (None, None)
    revert = RpcError("m", 3, "execution reverted", "0x08c379a0" + nonsense)
    with pytest.raises(Reverted, match="unknown"):
        await open_gateway(eth_estimateGas=revert).estimate_commit_gas(b"\x01" * 20, b"")
    log = make_committed_log(data="0x" + encode_word(77) + nonsense + nonsense)
    with pytest.raises(EthereumFault):
        await open_gateway(eth_getLogs=[log]).get_committed_events(1, 9)


@pytest.mark.parametrize(
    "data", ["0x12345678" + "ff" * 10_000, "0x08c379a0" + eth_abi.encode(["string"], ["no" * 10_000]).hex()]
)
async def test_a_reason_is_cut(data: str) -> None:
    with pytest.raises(Reverted) as caught:
        await open_gateway(eth_estimateGas=RpcError("m", 3, "reverted", data)).estimate_commit_gas(b"\x01" * 20, b"")
    assert len(str(caught.value)) < 300


async def test_a_missing_tip_method_is_a_tip_of_zero_and_any_other_error_a_fault() -> None:
    method = "eth_maxPriorityFeePerGas"
    assert await open_gateway(**{method: RpcError(method, -32601, "no such method")}).get_suggested_tip() == 0
    with pytest.raises(RpcError):
        await open_gateway(**{method: RpcError(method, -32005, "slow down")}).get_suggested_tip()


@pytest.mark.parametrize("decode", [decode_quantity, decode_data])
@pytest.mark.parametrize("value", [None, 1, "", "0x0g", "12", b"0x12", ["0x12"], "0x" + "f" * 65, " 0x12", "0x12\n"])
def test_what_is_not_hex_is_a_fault(decode: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(EthereumFault):
        decode(value)


# --- tokens


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        ("TOK", "TOK"),
        ("₿", "₿"),
        ("", None),
        ("x" * 32, "x" * 32),
        ("x" * 33, None),
        ("a\x1b[2Jb", None),
        ("a\nb", None),
    ],
)
async def test_a_tokens_symbol_is_taken_if_it_can_be_shown(symbol: str, shown: str | None) -> None:
    def answer(params: Sequence[Any]) -> str:
        is_symbol = params[0]["data"] == "0x" + keccak(b"symbol()")[:4].hex()
        return "0x" + (eth_abi.encode(["string"], [symbol]) if is_symbol else eth_abi.encode(["uint8"], [6])).hex()

    assert await open_gateway(eth_call=answer).get_token(b"\x01" * 20) == (shown, 6)


async def test_a_token_that_does_not_say_or_says_nonsense_has_neither() -> None:
    for answer in ("0x", "0x1234", RpcError("eth_call", 3, "execution reverted", "0x")):
        assert await open_gateway(eth_call=answer).get_token(b"\x01" * 20) == (None, None)


async def test_a_balance_is_asked_of_the_token_as_of_a_block() -> None:
    transport = Scripted(eth_call="0x" + eth_abi.encode(["uint256"], [2**255]).hex())
    gateway = open_over(transport)
    assert await gateway.get_token_balance(b"\x01" * 20, SETTLEMENT, 31) == 2**255
    _, params = transport.asked[-1]
    data = "0x70a08231" + SETTLEMENT.rjust(32, b"\0").hex()
    assert params == [{"to": "0x" + "01" * 20, "data": data}, "0x1f"]


@pytest.mark.parametrize("answer", ["0x", "0x01", RpcError("eth_call", 3, "execution reverted", "0x")])
async def test_a_token_that_does_not_say_a_balance_has_none(answer: Any) -> None:
    assert await open_gateway(eth_call=answer).get_token_balance(b"\x01" * 20, SETTLEMENT, 31) is None


async def test_what_is_held_is_asked_of_the_contract_as_of_a_block() -> None:
    transport = Scripted(eth_call="0x" + eth_abi.encode(["uint256"], [7]).hex())
    assert await open_over(transport).get_held(b"\x01" * 20, 31) == 7
    _, params = transport.asked[-1]
    selector = keccak(b"held(address)")[:4].hex()
    assert params == [{"to": "0x" + SETTLEMENT.hex(), "data": f"0x{selector}" + "00" * 12 + "01" * 20}, "0x1f"]
