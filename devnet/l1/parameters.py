"""JSON-RPC parameters into values, strictly."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from eth_typing import Address

from devnet.l1.execution import Call
from devnet.l1.logs import LogFilter

MAX_DATA_BYTES: Final = 1 << 20
MAX_ACCESS_LIST: Final = 1_000
MAX_ALTERNATIVES: Final = 1_000
"""Of addresses, or of topics at one position, in a log filter."""
MAX_TOPICS: Final = 4
MAX_SLOTS: Final = 1_024
MAX_PERCENTILES: Final = 100

T = TypeVar("T")
Decoder = Callable[[Any], T]
Tag = Literal["latest", "pending", "earliest"]

QUANTITY: Final = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]*)")
DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
SLOT: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
TAGS: Final[dict[str, Tag]] = {
    "latest": "latest",
    "safe": "latest",
    "finalized": "latest",
    "pending": "pending",
    "earliest": "earliest",
}
"""A chain with one miner and no reorganisation: what is mined is final."""


class InvalidParameter(Exception):
    """The parameters are not what the method takes."""


@dataclass(frozen=True, slots=True)
class BlockId:
    """One of the three (EIP-1898)."""

    tag: Tag | None = None
    number: int | None = None
    hash: bytes | None = None


LATEST: Final = BlockId(tag="latest")


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Blocks by hash, or from `first` to `last`."""

    wanted: LogFilter
    first: BlockId = LATEST
    last: BlockId = LATEST
    block_hash: bytes | None = None


def decode_quantity(value: Any) -> int:
    """0x-hex without leading zeros, at most 256 bits."""
    if not isinstance(value, str) or QUANTITY.fullmatch(value) is None or len(value) > 66:
        raise InvalidParameter(f"not a quantity: {shorten(value)}")
    return int(value, 16)


def decode_data(value: Any) -> bytes:
    if not isinstance(value, str) or DATA.fullmatch(value) is None or len(value) > 2 + 2 * MAX_DATA_BYTES:
        raise InvalidParameter(f"not 0x-hex data: {shorten(value)}")
    return bytes.fromhex(value[2:])


def decode_fixed(value: Any, size: int) -> bytes:
    data = decode_data(value)
    if len(data) != size:
        raise InvalidParameter(f"expected {size} bytes, got {len(data)}")
    return data


def decode_hash(value: Any) -> bytes:
    return decode_fixed(value, 32)


def decode_address(value: Any) -> Address:
    return Address(decode_fixed(value, 20))


def decode_boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidParameter(f"not a boolean: {shorten(value)}")
    return value


def decode_list(value: Any, item: Decoder[T], longest: int) -> tuple[T, ...]:
    if not isinstance(value, list):
        raise InvalidParameter(f"not a list: {shorten(value)}")
    if len(value) > longest:
        raise InvalidParameter(f"a list of {len(value)}, at most {longest} are taken")
    return tuple(item(entry) for entry in value)


def decode_slot(value: Any) -> int:
    """A storage slot: 1 to 64 hex digits, since some clients send 32 bytes and some a quantity."""
    if not isinstance(value, str) or SLOT.fullmatch(value) is None:
        raise InvalidParameter(f"not a storage slot: {shorten(value)}")
    return int(value, 16)


def decode_slots(value: Any) -> tuple[int, ...]:
    return decode_list(value, decode_slot, MAX_SLOTS)


def decode_block_id(value: Any) -> BlockId:
    if isinstance(value, dict):
        return decode_block_object(value)
    if isinstance(value, str) and value in TAGS:
        return BlockId(tag=TAGS[value])
    if isinstance(value, str) and len(value) == 66:
        return BlockId(hash=decode_hash(value))
    return BlockId(number=decode_quantity(value))


def decode_block_object(value: dict[str, Any]) -> BlockId:
    check_keys(value, {"blockNumber", "blockHash", "requireCanonical"})
    if ("blockNumber" in value) == ("blockHash" in value):
        raise InvalidParameter("exactly one of blockNumber and blockHash is needed")
    decode_boolean(value.get("requireCanonical", False))  # there is nothing but the canonical chain
    if "blockHash" in value:
        return BlockId(hash=decode_hash(value["blockHash"]))
    number = value["blockNumber"]
    return decode_block_id(number) if number in TAGS else BlockId(number=decode_quantity(number))


def decode_call(value: Any) -> Call:
    """A transaction object. `data` and `input` are the same thing under two names."""
    if not isinstance(value, dict):
        raise InvalidParameter(f"not a call object: {shorten(value)}")
    check_keys(value, CALL_KEYS)
    fields = {key: entry for key, entry in value.items() if entry is not None}
    data, also_data = (decode_data(fields[key]) if key in fields else None for key in ("input", "data"))
    if data is not None and also_data is not None and data != also_data:
        raise InvalidParameter("data and input differ")
    max_fee_wei, max_tip_wei = decode_fees(fields)
    return Call(
        sender=decode_address(fields.get("from", "0x" + "00" * 20)),
        to=decode_address(fields["to"]) if "to" in fields else None,
        data=data or also_data or b"",
        value_wei=decode_quantity(fields.get("value", "0x0")),
        gas=decode_quantity(fields["gas"]) if "gas" in fields else None,
        max_fee_wei=max_fee_wei,
        max_tip_wei=max_tip_wei,
        access_list=decode_list(fields.get("accessList", []), decode_access, MAX_ACCESS_LIST),
    )


CALL_KEYS: Final = {
    *("from", "to", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value", "data", "input", "accessList"),
    *("nonce", "type", "chainId"),  # wallets send them along; a call has no use for them
}


def decode_fees(fields: dict[str, Any]) -> tuple[int, int]:
    """(maximal fee, maximal tip) per gas, in wei."""
    names = ("gasPrice", "maxFeePerGas", "maxPriorityFeePerGas")
    gas_price, max_fee, max_tip = (decode_quantity(fields[name]) if name in fields else None for name in names)
    if gas_price is not None:
        if max_fee is not None or max_tip is not None:
            raise InvalidParameter("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
        return gas_price, gas_price
    if max_fee is None:
        return 0, 0
    if (max_tip or 0) > max_fee:
        raise InvalidParameter(f"maxFeePerGas ({max_fee}) < maxPriorityFeePerGas ({max_tip})")
    return max_fee, max_tip or 0


def decode_access(value: Any) -> tuple[Address, tuple[int, ...]]:
    if not isinstance(value, dict) or "address" not in value:
        raise InvalidParameter(f"not an entry of an access list: {shorten(value)}")
    check_keys(value, {"address", "storageKeys"})
    return decode_address(value["address"]), decode_slots(value.get("storageKeys", []))


def decode_log_query(value: Any) -> LogQuery:
    if not isinstance(value, dict):
        raise InvalidParameter(f"not a filter object: {shorten(value)}")
    check_keys(value, {"address", "topics", "fromBlock", "toBlock", "blockHash"})
    fields = {key: entry for key, entry in value.items() if entry is not None}
    wanted = LogFilter(
        addresses=decode_alternatives(fields.get("address", []), decode_address),
        topics=decode_list(fields.get("topics", []), lambda topic: decode_alternatives(topic, decode_hash), MAX_TOPICS),
    )
    if "blockHash" in fields:
        if "fromBlock" in fields or "toBlock" in fields:
            raise InvalidParameter("cannot specify both blockHash and fromBlock/toBlock")
        return LogQuery(wanted, block_hash=decode_hash(fields["blockHash"]))
    return LogQuery(
        wanted,
        first=decode_block_bound(fields.get("fromBlock", "latest")),
        last=decode_block_bound(fields.get("toBlock", "latest")),
    )


def decode_block_bound(value: Any) -> BlockId:
    block_id = decode_block_id(value)
    if block_id.hash is not None:
        raise InvalidParameter("a range of blocks is bounded by numbers or tags")
    return block_id


def decode_alternatives(value: Any, item: Decoder[bytes]) -> frozenset[bytes]:
    """One, or a list of which one must match; null and the empty list match anything."""
    if value is None:
        return frozenset()
    if isinstance(value, list):
        return frozenset(decode_list(value, item, MAX_ALTERNATIVES))
    return frozenset((item(value),))


def decode_block_count(value: Any) -> int:
    """Of eth_feeHistory. Some clients send a JSON integer."""
    count = value if isinstance(value, int) and not isinstance(value, bool) else decode_quantity(value)
    if count < 1:
        raise InvalidParameter("the block count must be at least 1")
    return count


def decode_percentiles(value: Any) -> tuple[float, ...]:
    """Ascending, 0 to 100."""
    percentiles = decode_list(value or [], decode_percentile, MAX_PERCENTILES)
    if list(percentiles) != sorted(percentiles):
        raise InvalidParameter("percentiles must ascend")
    return percentiles


def decode_percentile(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise InvalidParameter(f"not a percentile: {shorten(value)}")
    return float(value)


def decode_no_overrides(value: Any) -> None:
    if value:
        raise InvalidParameter("state overrides are not supported")


def check_keys(value: dict[str, Any], known: set[str]) -> None:
    if unknown := sorted(value.keys() - known):
        raise InvalidParameter(f"unknown field: {shorten(unknown[0])}")


def shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
