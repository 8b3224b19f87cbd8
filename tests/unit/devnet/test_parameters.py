"""Parameters are taken strictly: one spelling of each value, and bounds on everything."""

import pytest
from eth_typing import Address

from devnet.l1 import parameters
from devnet.l1.execution import Call
from devnet.l1.logs import LogFilter
from devnet.l1.parameters import LATEST, BlockId, InvalidParameter, LogQuery

HASH = "0x" + "ab" * 32
ADDRESS = "0x" + "cd" * 20


@pytest.mark.parametrize(
    ("decode", "value", "want"),
    [
        (parameters.decode_quantity, "0x0", 0),
        (parameters.decode_quantity, "0xfF", 255),
        (parameters.decode_quantity, "0x" + "f" * 64, 2**256 - 1),
        (parameters.decode_data, "0x", b""),
        (parameters.decode_data, "0x00Ff", b"\x00\xff"),
        (parameters.decode_slot, "0x7", 7),
        (parameters.decode_slot, "0x" + "0" * 63 + "7", 7),
        (parameters.decode_block_id, "latest", LATEST),
        (parameters.decode_block_id, "safe", LATEST),
        (parameters.decode_block_id, "finalized", LATEST),
        (parameters.decode_block_id, "pending", BlockId(tag="pending")),
        (parameters.decode_block_id, "earliest", BlockId(tag="earliest")),
        (parameters.decode_block_id, "0x10", BlockId(number=16)),
        (parameters.decode_block_id, HASH, BlockId(hash=b"\xab" * 32)),
        (parameters.decode_block_id, {"blockNumber": "0x10"}, BlockId(number=16)),
        (parameters.decode_block_id, {"blockHash": HASH, "requireCanonical": True}, BlockId(hash=b"\xab" * 32)),
        (parameters.decode_block_count, "0xa", 10),
        (parameters.decode_block_count, 10, 10),
        (parameters.decode_percentiles, [0, 5.5, 100], (0.0, 5.5, 100.0)),
        (parameters.decode_percentiles, None, ()),
    ],
)
def test_accepted(decode, value, want):
    assert decode(value) == want


@pytest.mark.parametrize(
    ("decode", "value"),
    [
        *((parameters.decode_quantity, value) for value in (1, None, True, "", "0x", "1", "0x01", "0xg", " 0x1")),
        (parameters.decode_quantity, "0x1" + "0" * 64),
        *((parameters.decode_data, value) for value in (None, 5, "", "00", "0x0", "0xzz", "0x00 ", "0X00")),
        (parameters.decode_data, "0x" + "00" * (parameters.MAX_DATA_BYTES + 1)),
        *((parameters.decode_address, value) for value in ("0x", ADDRESS[:-2], ADDRESS + "00")),
        *((parameters.decode_hash, value) for value in ("0x", HASH[:-2], HASH + "00")),
        *((parameters.decode_slot, value) for value in (7, "7", "0x", "0x1" + "0" * 64)),
        *((parameters.decode_block_id, value) for value in ("newest", 5, "5", "0x05", [], {}, {"blockNumber": 5})),
        (parameters.decode_block_id, {"blockNumber": "0x1", "blockHash": HASH}),
        (parameters.decode_block_id, {"blockHash": HASH, "requireCanonical": 1}),
        (parameters.decode_block_id, {"blockHash": HASH, "other": 1}),
        *((parameters.decode_call, value) for value in (None, [], {"gasLimit": "0x1"}, {"data": "0x1"}, {"value": 1})),
        (parameters.decode_call, {"data": "0x01", "input": "0x02"}),
        (parameters.decode_call, {"gasPrice": "0x1", "maxFeePerGas": "0x1"}),
        (parameters.decode_call, {"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}),
        (parameters.decode_call, {"accessList": [{"storageKeys": []}]}),
        *((parameters.decode_block_count, value) for value in (0, -1, True, "0x0", 1.5)),
        *((parameters.decode_percentiles, value) for value in ([101], [-1], [2, 1], ["5"], [True], [0] * 101, "5")),
        *((parameters.decode_log_query, value) for value in ({"topic": []}, {"address": "0x"}, {"topics": ["0x"]})),
        (parameters.decode_log_query, {"topics": [None] * 5}),
        (parameters.decode_log_query, {"blockHash": HASH, "fromBlock": "0x1"}),
        (parameters.decode_log_query, {"fromBlock": HASH}),
        (parameters.decode_log_query, {"address": [ADDRESS] * 1001}),
        (parameters.decode_slots, ["0x1"] * 1025),
        (parameters.decode_no_overrides, {ADDRESS: {}}),
    ],
)  # fmt: skip
def test_refused(decode, value):
    with pytest.raises(InvalidParameter):
        decode(value)


def test_a_call_object():
    assert parameters.decode_call({}) == Call(Address(bytes(20)), None)
    decoded = parameters.decode_call(
        {
            "from": ADDRESS,
            "to": ADDRESS,
            "input": "0x0102",
            "value": "0x5",
            "gas": "0x5208",
            "maxFeePerGas": "0xa",
            "maxPriorityFeePerGas": "0x2",
            "accessList": [{"address": ADDRESS, "storageKeys": [HASH]}],
            "nonce": "0x1",
            "type": "0x2",
            "chainId": "0x1",
        }
    )
    address = Address(b"\xcd" * 20)
    access = ((address, (int(HASH, 16),)),)
    assert decoded == Call(address, address, b"\x01\x02", 5, 21_000, 10, 2, access)


def test_a_legacy_price_is_both_fees_and_null_is_absence():
    decoded = parameters.decode_call({"to": None, "gasPrice": "0x7", "maxFeePerGas": None, "data": "0x01"})
    assert (decoded.to, decoded.max_fee_wei, decoded.max_tip_wei, decoded.data) == (None, 7, 7, b"\x01")


def test_a_log_query():
    topic = b"\xab" * 32
    decoded = parameters.decode_log_query(
        {"address": [ADDRESS], "topics": [None, HASH, [HASH, HASH], []], "fromBlock": "0x1", "toBlock": "latest"}
    )
    anything, one = frozenset(), frozenset({topic})
    wanted = LogFilter(frozenset({b"\xcd" * 20}), (anything, one, one, anything))
    assert decoded == LogQuery(wanted, BlockId(number=1), LATEST)
    assert parameters.decode_log_query({"blockHash": HASH}) == LogQuery(LogFilter(), block_hash=topic)
