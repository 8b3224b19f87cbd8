"""Values into the JSON of Ethereum clients: quantities as 0x-hex without leading zeros, bytes at their full length."""

from __future__ import annotations

from typing import Any, cast

import rlp
from eth.abc import SignedTransactionAPI
from eth_bloom.bloom import BloomFilter

from devnet.l1.block import Block, Header, Log, MinedTransaction, get_base_fee
from devnet.l1.fees import FeeHistory
from devnet.l1.logs import FoundLog
from devnet.l1.pool import PooledTransaction, decode_transaction
from devnet.l1.proof import AccountProof

Json = dict[str, Any]


def encode_quantity(value: int) -> str:
    return hex(value)


def encode_data(value: bytes) -> str:
    return "0x" + value.hex()


def encode_word(value: int) -> str:
    return f"0x{value:064x}"


def encode_bloom(bloom: int) -> str:
    return f"0x{bloom:0512x}"


def encode_header(header: Header) -> Json:
    return {
        "number": encode_quantity(header.block_number),
        "hash": encode_data(header.hash),
        "parentHash": encode_data(header.parent_hash),
        "nonce": encode_data(header.nonce),
        "mixHash": encode_data(header.mix_hash),
        "sha3Uncles": encode_data(header.uncles_hash),
        "logsBloom": encode_bloom(header.bloom),
        "stateRoot": encode_data(header.state_root),
        "transactionsRoot": encode_data(header.transaction_root),
        "receiptsRoot": encode_data(header.receipt_root),
        "withdrawalsRoot": encode_data(cast(bytes, header.withdrawals_root)),
        "requestsHash": encode_data(header.requests_hash),
        "parentBeaconBlockRoot": encode_data(cast(bytes, header.parent_beacon_block_root)),
        "miner": encode_data(header.coinbase),
        "difficulty": encode_quantity(header.difficulty),
        "totalDifficulty": "0x0",
        "extraData": encode_data(header.extra_data),
        "gasLimit": encode_quantity(header.gas_limit),
        "gasUsed": encode_quantity(header.gas_used),
        "timestamp": encode_quantity(header.timestamp),
        "baseFeePerGas": encode_quantity(get_base_fee(header)),
        "blobGasUsed": encode_quantity(header.blob_gas_used),
        "excessBlobGas": encode_quantity(header.excess_blob_gas),
    }


def encode_block(block: Block, *, is_full: bool) -> Json:
    return {
        **encode_header(block.header),
        "size": encode_quantity(compute_block_size(block.header, [mined.raw for mined in block.transactions])),
        "uncles": [],
        "withdrawals": [],
        "transactions": [
            encode_mined_transaction(block, index) if is_full else encode_data(mined.hash)
            for index, mined in enumerate(block.transactions)
        ],
    }


def encode_pending_block(header: Header, transactions: list[PooledTransaction], *, is_full: bool) -> Json:
    """The block that would come next. What only mining decides is null, as in geth."""
    return {
        **encode_header(header),
        **dict.fromkeys(("hash", "nonce", "miner")),
        "size": encode_quantity(compute_block_size(header, [pooled.raw for pooled in transactions])),
        "uncles": [],
        "withdrawals": [],
        "transactions": [
            encode_pooled_transaction(pooled) if is_full else encode_data(pooled.hash) for pooled in transactions
        ],
    }


def compute_block_size(header: Header, raw_transactions: list[bytes]) -> int:
    """Bytes of the block's RLP, which has neither uncles nor withdrawals. A legacy transaction is a list in it, all
    others are strings of bytes."""
    items = [rlp.decode(raw) if raw[0] >= 0xC0 else raw for raw in raw_transactions]
    return len(rlp.encode([rlp.decode(rlp.encode(header)), items, [], []]))


def encode_mined_transaction(block: Block, index: int) -> Json:
    mined = block.transactions[index]
    transaction = decode_transaction(mined.raw)
    price_wei = compute_effective_price(transaction, get_base_fee(block.header))
    return {
        **encode_transaction(transaction, mined.hash, mined.sender),
        "gasPrice": encode_quantity(price_wei),
        "blockHash": encode_data(block.hash),
        "blockNumber": encode_quantity(block.number),
        "transactionIndex": encode_quantity(index),
    }


def encode_pooled_transaction(pooled: PooledTransaction) -> Json:
    return {
        **encode_transaction(pooled.transaction, pooled.hash, pooled.sender),
        "gasPrice": encode_quantity(pooled.max_fee_wei),
        "blockHash": None,
        "blockNumber": None,
        "transactionIndex": None,
    }


def encode_transaction(transaction: SignedTransactionAPI, hash_: bytes, sender: bytes) -> Json:
    """What does not depend on the block it is in."""
    type_id = transaction.type_id or 0
    fields: Json = {
        "hash": encode_data(hash_),
        "type": encode_quantity(type_id),
        "chainId": None if transaction.chain_id is None else encode_quantity(transaction.chain_id),
        "nonce": encode_quantity(transaction.nonce),
        "from": encode_data(sender),
        "to": encode_data(transaction.to) if transaction.to else None,
        "value": encode_quantity(transaction.value),
        "gas": encode_quantity(transaction.gas),
        "input": encode_data(transaction.data),
        "r": encode_quantity(transaction.r),
        "s": encode_quantity(transaction.s),
    }
    if type_id == 0:
        return {**fields, "v": encode_quantity(get_legacy_v(transaction))}
    fields |= {
        "v": encode_quantity(transaction.y_parity),
        "yParity": encode_quantity(transaction.y_parity),
        "accessList": [
            {"address": encode_data(address), "storageKeys": [encode_word(slot) for slot in slots]}
            for address, slots in transaction.access_list
        ],
    }
    if type_id == 2:
        fields |= {
            "maxFeePerGas": encode_quantity(transaction.max_fee_per_gas),
            "maxPriorityFeePerGas": encode_quantity(transaction.max_priority_fee_per_gas),
        }
    return fields


def get_legacy_v(transaction: SignedTransactionAPI) -> int:
    v: int = transaction.v  # type: ignore[attr-defined]  # only legacy transactions have it
    return v


def compute_effective_price(transaction: SignedTransactionAPI, base_fee_wei: int) -> int:
    """Wei per gas that was paid: base fee and tip, at most the fee cap (EIP-1559)."""
    return min(transaction.max_fee_per_gas, base_fee_wei + transaction.max_priority_fee_per_gas)


def encode_receipt(block: Block, index: int) -> Json:
    mined = block.transactions[index]
    transaction = decode_transaction(mined.raw)
    first_log_index = sum(len(before.logs) for before in block.transactions[:index])
    return {
        "type": encode_quantity(transaction.type_id or 0),
        "status": encode_quantity(mined.status),
        "transactionHash": encode_data(mined.hash),
        "transactionIndex": encode_quantity(index),
        "blockHash": encode_data(block.hash),
        "blockNumber": encode_quantity(block.number),
        "from": encode_data(mined.sender),
        "to": encode_data(transaction.to) if transaction.to else None,
        "contractAddress": None if mined.contract_address is None else encode_data(mined.contract_address),
        "gasUsed": encode_quantity(mined.gas_used),
        "cumulativeGasUsed": encode_quantity(mined.cumulative_gas_used),
        "effectiveGasPrice": encode_quantity(compute_effective_price(transaction, get_base_fee(block.header))),
        "logsBloom": encode_bloom(compute_bloom(mined)),
        "logs": [
            encode_log(FoundLog(log, block.header, mined.hash, index, log_index))
            for log_index, log in enumerate(mined.logs, first_log_index)
        ],
    }


def compute_bloom(mined: MinedTransaction) -> int:
    return int(BloomFilter.from_iterable(value for log in mined.logs for value in iterate_bloomed(log)))


def iterate_bloomed(log: Log) -> tuple[bytes, ...]:
    return (log.address, *log.topics)


def encode_log(found: FoundLog) -> Json:
    return {
        "address": encode_data(found.log.address),
        "topics": [encode_data(topic) for topic in found.log.topics],
        "data": encode_data(found.log.data),
        "blockHash": encode_data(found.header.hash),
        "blockNumber": encode_quantity(found.header.block_number),
        "blockTimestamp": encode_quantity(found.header.timestamp),
        "transactionHash": encode_data(found.transaction_hash),
        "transactionIndex": encode_quantity(found.transaction_index),
        "logIndex": encode_quantity(found.log_index),
        "removed": False,
    }


def encode_fee_history(history: FeeHistory) -> Json:
    """Blob fees are always at their floor: there are no blobs here."""
    block_count = len(history.gas_used_ratios)
    fields: Json = {
        "oldestBlock": encode_quantity(history.oldest_block),
        "baseFeePerGas": [encode_quantity(fee) for fee in history.base_fees_wei],
        "gasUsedRatio": list(history.gas_used_ratios),
        "baseFeePerBlobGas": ["0x1"] * (block_count + 1),
        "blobGasUsedRatio": [0.0] * block_count,
    }
    if history.rewards_wei is not None:
        fields["reward"] = [[encode_quantity(tip) for tip in tips] for tips in history.rewards_wei]
    return fields


def encode_proof(proof: AccountProof) -> Json:
    return {
        "address": encode_data(proof.address),
        "balance": encode_quantity(proof.balance_wei),
        "nonce": encode_quantity(proof.nonce),
        "codeHash": encode_data(proof.code_hash),
        "storageHash": encode_data(proof.storage_root),
        "accountProof": [encode_data(node) for node in proof.nodes],
        "storageProof": [
            {
                "key": encode_word(slot.slot),
                "value": encode_quantity(slot.value),
                "proof": [encode_data(node) for node in slot.nodes],
            }
            for slot in proof.storage
        ],
    }
