"""The JSON-RPC methods of an Ethereum client, as far as wallets, libraries and the node need them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from eth_typing import Address

from devnet.l1.block import Block, Header
from devnet.l1.chain import Chain
from devnet.l1.encoding import (
    Json,
    encode_block,
    encode_data,
    encode_fee_history,
    encode_log,
    encode_mined_transaction,
    encode_pending_block,
    encode_pooled_transaction,
    encode_proof,
    encode_quantity,
    encode_receipt,
    encode_word,
)
from devnet.l1.execution import Call, ExecutionFailed, ExecutionReverted, create_next_header
from devnet.l1.fees import SUGGESTED_TIP_WEI, compute_fee_history, compute_next_base_fee
from devnet.l1.filters import FilterNotFound, Filters, TooManyFilters
from devnet.l1.logs import FoundLog, TooManyResults, find_logs, iterate_logs
from devnet.l1.parameters import (
    LATEST,
    BlockId,
    Decoder,
    InvalidParameter,
    LogQuery,
    decode_address,
    decode_block_count,
    decode_block_id,
    decode_boolean,
    decode_call,
    decode_data,
    decode_hash,
    decode_log_query,
    decode_no_overrides,
    decode_percentiles,
    decode_quantity,
    decode_slot,
    decode_slots,
)
from devnet.l1.pool import Refusal
from devnet.l1.proof import prove_account

CLIENT_VERSION: Final = "Tallystick-L1/0.1.0/py-evm-prague"

METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
SERVER_ERROR: Final = -32000
LIMIT_EXCEEDED: Final = -32005
REVERTED: Final = 3


class RpcError(Exception):
    """What a client is answered.

    data: 0x-hex, for a revert what the contract returned."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class UnknownBlock(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Method:
    """decoders: of the parameters in their order; those beyond `required` may be left out at the end."""

    handler: Callable[..., Any]
    decoders: tuple[Decoder[Any], ...] = ()
    required: int = 0

    def decode(self, params: list[Any]) -> list[Any]:
        """InvalidParameter."""
        if len(params) > len(self.decoders):
            raise InvalidParameter(f"too many arguments, want at most {len(self.decoders)}")
        if len(params) < self.required:
            raise InvalidParameter(f"missing value for required argument {len(params)}")
        decoded = []
        for position, (decoder, value) in enumerate(zip(self.decoders, params, strict=False)):
            if value is None and position >= self.required:
                break
            try:
                decoded.append(decoder(value))
            except InvalidParameter as error:
                raise InvalidParameter(f"invalid argument {position}: {error}") from error
        return decoded


class Methods:
    """Handlers are safe from any thread and return what JSON can say."""

    def __init__(self, chain: Chain, *, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._chain = chain
        self._filters = Filters(stopwatch)
        block, full = decode_block_id, decode_boolean
        self._methods: dict[str, Method] = {
            "web3_clientVersion": Method(lambda: CLIENT_VERSION),
            "net_version": Method(lambda: str(chain.chain_id)),
            "net_listening": Method(lambda: True),
            "net_peerCount": Method(lambda: "0x0"),
            "eth_chainId": Method(lambda: encode_quantity(chain.chain_id)),
            "eth_syncing": Method(lambda: False),
            "eth_accounts": Method(list),
            "eth_blockNumber": Method(lambda: encode_quantity(chain.head.block_number)),
            "eth_gasPrice": Method(self.get_gas_price),
            "eth_maxPriorityFeePerGas": Method(lambda: encode_quantity(SUGGESTED_TIP_WEI)),
            "eth_blobBaseFee": Method(lambda: "0x1"),
            "eth_feeHistory": Method(self.get_fee_history, (decode_block_count, block, decode_percentiles), 2),
            "eth_getBalance": Method(self.get_balance, (decode_address, block), 1),
            "eth_getTransactionCount": Method(self.get_transaction_count, (decode_address, block), 1),
            "eth_getCode": Method(self.get_code, (decode_address, block), 1),
            "eth_getStorageAt": Method(self.get_storage_at, (decode_address, decode_slot, block), 2),
            "eth_getProof": Method(self.get_proof, (decode_address, decode_slots, block), 2),
            "eth_call": Method(self.call_contract, (decode_call, block, decode_no_overrides), 1),
            "eth_estimateGas": Method(self.estimate_gas, (decode_call, block, decode_no_overrides), 1),
            "eth_sendRawTransaction": Method(self.send_raw_transaction, (decode_data,), 1),
            "eth_getBlockByNumber": Method(self.get_block, (block, full), 1),
            "eth_getBlockByHash": Method(self.get_block, (decode_block_hash, full), 1),
            "eth_getBlockTransactionCountByNumber": Method(self.get_block_transaction_count, (block,), 1),
            "eth_getBlockTransactionCountByHash": Method(self.get_block_transaction_count, (decode_block_hash,), 1),
            "eth_getUncleCountByBlockNumber": Method(self.get_uncle_count, (block,), 1),
            "eth_getUncleCountByBlockHash": Method(self.get_uncle_count, (decode_block_hash,), 1),
            "eth_getTransactionByHash": Method(self.get_transaction, (decode_hash,), 1),
            "eth_getTransactionByBlockNumberAndIndex": Method(self.get_transaction_in, (block, decode_quantity), 2),
            "eth_getTransactionByBlockHashAndIndex": Method(
                self.get_transaction_in, (decode_block_hash, decode_quantity), 2
            ),
            "eth_getTransactionReceipt": Method(self.get_receipt, (decode_hash,), 1),
            "eth_getBlockReceipts": Method(self.get_block_receipts, (block,), 1),
            "eth_getLogs": Method(self.get_logs, (decode_log_query,), 1),
            "eth_newFilter": Method(self.create_log_filter, (decode_log_query,), 1),
            "eth_newBlockFilter": Method(self.create_block_filter),
            "eth_getFilterChanges": Method(self.get_filter_changes, (decode_quantity,), 1),
            "eth_getFilterLogs": Method(self.get_filter_logs, (decode_quantity,), 1),
            "eth_uninstallFilter": Method(self._filters.uninstall, (decode_quantity,), 1),
        }

    def call(self, name: str, params: list[Any]) -> Any:
        """The result, ready for JSON. RpcError."""
        method = self._methods.get(name)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, f"the method {name} does not exist/is not available")
        try:
            return method.handler(*method.decode(params))
        except InvalidParameter as error:
            raise RpcError(INVALID_PARAMS, str(error)) from error
        except ExecutionReverted as error:
            raise RpcError(REVERTED, str(error), encode_data(error.data)) from error
        except UnknownBlock as error:
            raise RpcError(SERVER_ERROR, "header not found") from error
        except (TooManyResults, TooManyFilters) as error:
            raise RpcError(LIMIT_EXCEEDED, str(error)) from error
        except (Refusal, ExecutionFailed, FilterNotFound) as error:
            raise RpcError(SERVER_ERROR, str(error)) from error

    # -- state ---------------------------------------------------------------------------------------------------------

    def get_balance(self, address: Address, block_id: BlockId = LATEST) -> str:
        return encode_quantity(self._chain.open_state(self._get_header(block_id)).get_balance(address))

    def get_transaction_count(self, address: Address, block_id: BlockId = LATEST) -> str:
        if block_id.tag == "pending":
            return encode_quantity(self._chain.get_pending_nonce(address))
        return encode_quantity(self._chain.open_state(self._get_header(block_id)).get_nonce(address))

    def get_code(self, address: Address, block_id: BlockId = LATEST) -> str:
        return encode_data(self._chain.open_state(self._get_header(block_id)).get_code(address))

    def get_storage_at(self, address: Address, slot: int, block_id: BlockId = LATEST) -> str:
        return encode_word(self._chain.open_state(self._get_header(block_id)).get_storage(address, slot))

    def get_proof(self, address: Address, slots: tuple[int, ...], block_id: BlockId = LATEST) -> Json:
        header = self._get_header(block_id)
        return encode_proof(prove_account(self._chain.open_database(), header.state_root, address, slots))

    def call_contract(self, request: Call, block_id: BlockId = LATEST, _overrides: None = None) -> str:
        return encode_data(self._chain.call(request, self._get_header(block_id)))

    def estimate_gas(self, request: Call, block_id: BlockId = LATEST, _overrides: None = None) -> str:
        return encode_quantity(self._chain.estimate_gas(request, self._get_header(block_id)))

    def send_raw_transaction(self, raw: bytes) -> str:
        return encode_data(self._chain.submit(raw))

    # -- fees ----------------------------------------------------------------------------------------------------------

    def get_gas_price(self) -> str:
        return encode_quantity(compute_next_base_fee(self._chain.head) + SUGGESTED_TIP_WEI)

    def get_fee_history(self, block_count: int, newest: BlockId, percentiles: tuple[float, ...] = ()) -> Json:
        return encode_fee_history(compute_fee_history(self._chain, block_count, self._get_header(newest), percentiles))

    # -- blocks --------------------------------------------------------------------------------------------------------

    def get_block(self, block_id: BlockId, is_full: bool = False) -> Json | None:
        if block_id.tag == "pending":
            header = create_next_header(self._chain.head, self._chain.next_block_due)
            return encode_pending_block(header, self._chain.list_executable(), is_full=is_full)
        block = self._find_block(block_id)
        return None if block is None else encode_block(block, is_full=is_full)

    def get_block_transaction_count(self, block_id: BlockId) -> str | None:
        if block_id.tag == "pending":
            return encode_quantity(len(self._chain.list_executable()))
        block = self._find_block(block_id)
        return None if block is None else encode_quantity(len(block.transactions))

    def get_uncle_count(self, block_id: BlockId) -> str | None:
        return None if self._find_header(block_id) is None else "0x0"

    def get_block_receipts(self, block_id: BlockId) -> list[Json] | None:
        block = self._find_block(block_id)
        return None if block is None else [encode_receipt(block, index) for index in range(len(block.transactions))]

    # -- transactions --------------------------------------------------------------------------------------------------

    def get_transaction(self, hash_: bytes) -> Json | None:
        if (pooled := self._chain.get_pooled(hash_)) is not None:
            return encode_pooled_transaction(pooled)
        place = self._chain.find_transaction(hash_)
        return None if place is None else encode_mined_transaction(*place)

    def get_transaction_in(self, block_id: BlockId, index: int) -> Json | None:
        if block_id.tag == "pending":
            pooled = self._chain.list_executable()
            return encode_pooled_transaction(pooled[index]) if index < len(pooled) else None
        block = self._find_block(block_id)
        return None if block is None or index >= len(block.transactions) else encode_mined_transaction(block, index)

    def get_receipt(self, hash_: bytes) -> Json | None:
        place = self._chain.find_transaction(hash_)
        return None if place is None else encode_receipt(*place)

    # -- logs ----------------------------------------------------------------------------------------------------------

    def get_logs(self, query: LogQuery) -> list[Json]:
        return [encode_log(found) for found in self._find_logs(query)]

    def create_log_filter(self, query: LogQuery) -> str:
        return encode_quantity(self._filters.install(query, self._chain.head.block_number + 1))

    def create_block_filter(self) -> str:
        return encode_quantity(self._filters.install(None, self._chain.head.block_number + 1))

    def get_filter_changes(self, id_: int) -> list[Any]:
        """Since the last call: hashes of blocks, or logs within the filter's own range."""
        head = self._chain.head.block_number
        installed = self._filters.advance(id_, head + 1)
        if installed.query is None:
            headers = map(self._chain.get_header, range(installed.next_block, head + 1))
            return [encode_data(header.hash) for header in headers if header is not None]
        query = installed.query
        first = max(query.first.number or 0, installed.next_block)
        last = head if query.last.number is None else min(query.last.number, head)
        found = find_logs(self._chain, query.wanted, first, last)
        return [encode_log(log) for log in found]

    def get_filter_logs(self, id_: int) -> list[Json]:
        query = self._filters.get(id_).query
        if query is None:
            raise FilterNotFound
        return self.get_logs(query)

    def _find_logs(self, query: LogQuery) -> list[FoundLog]:
        if query.block_hash is not None:
            block = self._find_block(BlockId(hash=query.block_hash))
            if block is None:
                raise RpcError(SERVER_ERROR, "unknown block")
            return [found for found in iterate_logs(block) if query.wanted.matches(found.log)]
        first, last = self._get_range(query)
        if first > last:
            raise InvalidParameter("invalid block range params")
        return find_logs(self._chain, query.wanted, first, last)

    def _get_range(self, query: LogQuery) -> tuple[int, int]:
        """Numbers; a range may reach beyond the head."""
        first, last = (self._get_number(bound) for bound in (query.first, query.last))
        return first, last

    def _get_number(self, block_id: BlockId) -> int:
        return self._get_header(block_id).block_number if block_id.number is None else block_id.number

    # -- finding blocks ------------------------------------------------------------------------------------------------

    def _get_header(self, block_id: BlockId) -> Header:
        """UnknownBlock. The state of the pending block is that of the latest: nothing is executed ahead."""
        header = self._find_header(block_id)
        if header is None:
            raise UnknownBlock
        return header

    def _find_header(self, block_id: BlockId) -> Header | None:
        if block_id.hash is not None:
            return self._chain.get_header_by_hash(block_id.hash)
        if block_id.number is not None:
            return self._chain.get_header(block_id.number)
        return self._chain.get_header(0) if block_id.tag == "earliest" else self._chain.head

    def _find_block(self, block_id: BlockId) -> Block | None:
        header = self._find_header(block_id)
        return None if header is None else self._chain.get_block(header)


def decode_block_hash(value: Any) -> BlockId:
    return BlockId(hash=decode_hash(value))
