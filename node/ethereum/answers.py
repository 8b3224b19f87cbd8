"""What an Ethereum endpoint answers, as it is held against another's: what is decoded from it, no more.

Clients differ in what they add to an answer, in the case of their hex and in their words; a liar differs in what
counts.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Final

from chain.primitives import ADDRESS_SIZE, HASH_SIZE
from node.ethereum.faults import EthereumFault
from node.ethereum.gateway import decode_block, decode_data, decode_quantity, decode_receipt, take_logs
from node.ethereum.l1 import MAX_NUMBER, L1Block, TxReceipt

NULL: Final = "null"
REVERTED: Final = "reverted"
"""A contract's no, whatever its reason: not every client gives it."""
SENT: Final = "sent"
REFUSED: Final = "refused"

SEND: Final = "eth_sendRawTransaction"
GET_BLOCK: Final = "eth_getBlockByNumber"
ESTIMATES: Final = frozenset(("eth_estimateGas", "eth_gasPrice", "eth_maxPriorityFeePerGas"))
"""What honest clients answer differently."""
EXECUTING: Final = frozenset(("eth_call", "eth_estimateGas"))
"""What a contract may refuse."""
TAGS: Final = frozenset(("latest", "safe", "finalized"))
"""What clients reach at different moments."""

_BLOCK_POSITIONS: Final = {
    GET_BLOCK: 0,
    "eth_call": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_getBalance": 1,
}
"""Method → which parameter says as of which block."""
_MAX_SHOWN: Final = 80
"""Characters of one value in a log line."""


def read_answer(method: str, params: Sequence[Any], form: Any) -> Hashable:
    """An answer as it is compared: what is decoded from it, no more. Raises `EthereumFault` for what is none."""
    match method:
        case "eth_getBlockByNumber":
            if form is None:
                return NULL
            block = decode_block(form)
            if params[0] not in TAGS and hex(block.number) != params[0]:
                raise EthereumFault(f"{method}: block {block.number} for block {int(params[0], 16)}")
            return block
        case "eth_getTransactionReceipt":
            return NULL if form is None else decode_receipt(form)
        case "eth_getLogs":
            return _read_logs(form)
        case "eth_call" | "eth_getCode":
            return decode_data(form)
        case "eth_getTransactionCount":
            return decode_quantity(form, MAX_NUMBER)
        case "eth_chainId" | "eth_getBalance" | "eth_estimateGas" | "eth_gasPrice" | "eth_maxPriorityFeePerGas":
            return decode_quantity(form)
        case "eth_sendRawTransaction":
            return SENT
    raise ValueError(f"{method} is not asked of several endpoints")


def _read_logs(form: Any) -> Hashable:
    logs = []
    for log in take_logs(form):
        logs.append(
            (
                decode_quantity(log.get("blockNumber"), MAX_NUMBER),
                decode_quantity(log.get("logIndex"), MAX_NUMBER),
                decode_data(log.get("blockHash"), HASH_SIZE),
                decode_data(log.get("transactionHash"), HASH_SIZE),
                decode_data(log.get("address"), ADDRESS_SIZE),
                tuple([decode_data(topic, HASH_SIZE) for topic in log["topics"]]),
                decode_data(log.get("data")),
                bool(log.get("removed")),
            )
        )
    return tuple(logs)


def find_block(method: str, params: Sequence[Any], answers: Iterable[Hashable] = ()) -> int | None:
    """Number of the L1 block that the answers to a question are about; None if they are as of whatever is newest."""
    place: Any = None
    if (position := _BLOCK_POSITIONS.get(method)) is not None:
        place = params[position]
    elif method == "eth_getLogs":
        place = params[0]["toBlock"]
    elif method == "eth_getTransactionReceipt":
        return max([answer.l1_block for answer in answers if isinstance(answer, TxReceipt)], default=None)
    return int(place, 16) if isinstance(place, str) and place.startswith("0x") else None


def describe_answer(key: Hashable) -> str:
    if isinstance(key, bytes):
        return f"0x{key.hex()}"[:_MAX_SHOWN]
    if isinstance(key, L1Block):
        return f"block 0x{key.hash.hex()} of {key.timestamp} s"
    if isinstance(key, TxReceipt):
        return f"{'success' if key.is_success else 'failure'} in block {key.l1_block} 0x{key.l1_block_hash.hex()}"
    if isinstance(key, tuple):
        return f"{len(key)} logs"
    return str(key)[:_MAX_SHOWN]
