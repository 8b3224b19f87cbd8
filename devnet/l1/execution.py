"""py-evm at work: building blocks, and calls that change nothing. The rules are those of the Prague fork.

Knowingly missing: the contracts that Cancun and Prague keep in the state by a system call a block (EIP-4788, EIP-2935,
EIP-7002, EIP-7251). There is no beacon chain here, and without them an empty block leaves the state as it is, which
keeps an idle chain cheap. Blob and set-code transactions (types 3 and 4) are refused by the pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from eth.abc import ChainDatabaseAPI, ComputationAPI, ReceiptAPI, SignedTransactionAPI
from eth.consensus.context import ConsensusContext
from eth.db.atomic import AtomicDB
from eth.db.backends.base import BaseDB
from eth.db.chain import ChainDB
from eth.db.trie import make_trie_root_and_nodes
from eth.exceptions import (
    ContractCreationCollision,
    FullStack,
    InsufficientFunds,
    InsufficientStack,
    InvalidInstruction,
    InvalidJumpDestination,
    OutOfBoundsRead,
    OutOfGas,
    ReservedBytesInCode,
    Revert,
    StackDepthLimit,
    VMError,
    WriteProtection,
)
from eth.vm.chain_context import ChainContext
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.constants import STANDARD_TOKEN_COST, TOTAL_COST_FLOOR_PER_TOKEN
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth.vm.forks.shanghai.constants import INITCODE_WORD_COST
from eth.vm.spoof import SpoofTransaction
from eth_abi.abi import decode as decode_abi
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak
from eth_typing import Address

from devnet.l1 import genesis
from devnet.l1.block import Block, Header, Log, MinedTransaction, get_base_fee
from devnet.l1.store import Store

ZERO_HASH: Final = bytes(32)
COINBASE: Final = Address(bytes(20))
"""Where tips go: to nobody."""

TRANSFER_GAS: Final = 21_000
CALL_STIPEND: Final = 2_300
ESTIMATE_TOLERANCE: Final = (15, 1000)
"""eth_estimateGas stops searching within 1.5 % above what is needed, as geth does."""


class ExecutionReverted(Exception):
    """The call ended in REVERT.

    data: what it returned, any length."""

    def __init__(self, data: bytes) -> None:
        reason = decode_revert_reason(data)
        super().__init__("execution reverted" if reason is None else f"execution reverted: {reason}")
        self.data = data


class ExecutionFailed(Exception):
    """The call could not start, or ended in an exceptional halt. The message is in geth's words."""


@dataclass(frozen=True, slots=True)
class Call:
    """A message call without a signature. With both fees zero the base fee counts as zero, as in geth."""

    sender: Address
    to: Address | None
    """None creates a contract of `data`."""
    data: bytes = b""
    value_wei: int = 0
    gas: int | None = None
    max_fee_wei: int = 0
    max_tip_wei: int = 0
    access_list: tuple[tuple[Address, tuple[int, ...]], ...] = ()


class StateOverlay(BaseDB):
    """State as py-evm wants it: reads fall through to the store, writes stay here until their owner takes them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.writes: dict[bytes, bytes] = {}

    def __getitem__(self, key: bytes) -> bytes:
        if key in self.writes:
            return self.writes[key]
        content = self._store.get_content(key)
        if content is None:
            raise KeyError(key)
        return content

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.writes[key] = value

    def __delitem__(self, key: bytes) -> None:
        raise RuntimeError(f"content is never deleted, historic state needs it: {key.hex()}")

    def _exists(self, key: bytes) -> bool:
        return key in self.writes or self._store.get_content(key) is not None


def open_vm(overlay: StateOverlay, chain_id: int, header: Header) -> PragueVM:
    """A machine in the environment of `header` whose state is the one that `header.state_root` names."""
    database = AtomicDB(overlay)
    chain_database = cast(ChainDatabaseAPI, ChainDB(database))
    return PragueVM(header, chain_database, ChainContext(chain_id), ConsensusContext(database))


# -- blocks ------------------------------------------------------------------------------------------------------------


def build_genesis(overlay: StateOverlay, chain_id: int, timestamp: int, extra_data: bytes) -> Header:
    """Block 0 with the development accounts. `extra_data` (32 random bytes) keeps two chains from sharing a hash."""
    blank = PragueVM.create_genesis_header(timestamp=timestamp, gas_limit=genesis.GAS_LIMIT)
    state = open_vm(overlay, chain_id, cast(Header, blank)).state
    for address in genesis.ACCOUNTS:
        state.set_balance(Address(address), genesis.BALANCE_WEI)
    state.persist()
    return cast(
        Header,
        PragueVM.create_genesis_header(
            timestamp=timestamp,
            gas_limit=genesis.GAS_LIMIT,
            base_fee_per_gas=genesis.BASE_FEE_WEI,
            coinbase=COINBASE,
            extra_data=extra_data,
            parent_beacon_block_root=ZERO_HASH,
            state_root=state.state_root,
        ),
    )


def create_next_header(parent: Header, timestamp: int) -> Header:
    """The header of an empty child. Base fee by EIP-1559; prevRandao is no secret here, only different each block."""
    return cast(
        Header,
        PragueVM.create_header_from_parent(
            parent,
            timestamp=timestamp,
            gas_limit=parent.gas_limit,
            coinbase=COINBASE,
            mix_hash=keccak(parent.hash),
            parent_beacon_block_root=ZERO_HASH,
        ),
    )


class BlockBuilder:
    """One block in the making. Nothing reaches the store: `seal` hands out what must be written."""

    def __init__(self, store: Store, chain_id: int, parent: Header, timestamp: int) -> None:
        self._parent = parent
        self._header = create_next_header(parent, timestamp)
        self._overlay = StateOverlay(store)
        self._vm = open_vm(self._overlay, chain_id, self._header)
        self._transactions: list[SignedTransactionAPI] = []
        self._receipts: list[ReceiptAPI] = []
        self._mined: list[MinedTransaction] = []

    @property
    def base_fee_wei(self) -> int:
        return get_base_fee(self._header)

    @property
    def gas_left(self) -> int:
        return self._header.gas_limit - self._header.gas_used

    def get_nonce(self, address: Address) -> int:
        return self._vm.state.get_nonce(address)

    def apply(self, transaction: SignedTransactionAPI) -> None:
        """Executes the next transaction. ValidationError if it may not be in this block; nothing has changed then."""
        receipt, computation = self._vm.apply_transaction(self._header, transaction)
        gas_used_before = self._header.gas_used
        self._header = cast(Header, self._vm.add_receipt_to_header(self._header, receipt))
        self._transactions.append(transaction)
        self._receipts.append(receipt)
        self._mined.append(
            MinedTransaction(
                raw=transaction.encode(),
                hash=transaction.hash,
                sender=transaction.sender,
                status=int(computation.is_success),
                gas_used=receipt.gas_used - gas_used_before,
                cumulative_gas_used=receipt.gas_used,
                contract_address=None if transaction.to else computation.msg.storage_address,
                logs=tuple(
                    Log(log.address, tuple(topic.to_bytes(32, "big") for topic in log.topics), log.data)
                    for log in receipt.logs
                ),
            )
        )

    def seal(self) -> tuple[Block, dict[bytes, bytes]]:
        """The finished block and the new content (state nodes, code) that belongs to it."""
        if self._transactions:
            self._vm.state.persist()
            sealed = self._header.copy(
                state_root=self._vm.state.state_root,
                transaction_root=make_trie_root_and_nodes(tuple(self._transactions))[0],
                receipt_root=make_trie_root_and_nodes(tuple(self._receipts))[0],
            )
            self._header = cast(Header, sealed)
        PragueVM.validate_header(self._header, self._parent)
        return Block(self._header, tuple(self._mined)), self._overlay.writes


# -- calls -------------------------------------------------------------------------------------------------------------


def call(overlay: StateOverlay, chain_id: int, header: Header, request: Call) -> bytes:
    """What the call returns after block `header`, in that block's environment.

    ExecutionFailed (cannot start, or exceptional halt), ExecutionReverted."""
    caller = Caller(overlay, chain_id, header, request)
    computation, _ = caller.run(min(request.gas or header.gas_limit, header.gas_limit))
    check_success(computation)
    return computation.output


def estimate_gas(overlay: StateOverlay, chain_id: int, header: Header, request: Call) -> int:
    """A gas limit with which the call succeeds, at most 1.5 % above the smallest one.

    ExecutionFailed, ExecutionReverted: it fails even with all the gas that the caller can pay for."""
    caller = Caller(overlay, chain_id, header, request)
    highest = caller.compute_gas_allowance(min(request.gas or header.gas_limit, header.gas_limit))
    if highest < caller.minimum_gas:
        raise ExecutionFailed(f"gas required exceeds allowance ({highest})")
    if request.to is not None and not request.data and highest >= TRANSFER_GAS and caller.succeeds_with(TRANSFER_GAS):
        return TRANSFER_GAS

    computation, gas_used = caller.run(highest)
    if computation.is_error and isinstance(computation.error, OutOfGas):
        raise ExecutionFailed(f"gas required exceeds allowance ({highest})")
    check_success(computation)

    # A call must hold back 1/64 at each depth, and is given its refund only after the fact.
    guess = (gas_used + computation.get_gas_refund() + CALL_STIPEND) * 64 // 63
    lowest = gas_used - 1
    if guess < highest:
        lowest, highest = (lowest, guess) if caller.succeeds_with(guess) else (guess, highest)
    numerator, denominator = ESTIMATE_TOLERANCE
    while (highest - lowest - 1) * denominator > highest * numerator:
        middle = min((highest + lowest) // 2, lowest * 2)  # most calls need little: stay near the lower end
        lowest, highest = (lowest, middle) if caller.succeeds_with(middle) else (middle, highest)
    return highest


class Caller:
    """Runs one call any number of times, each time from the same state."""

    def __init__(self, overlay: StateOverlay, chain_id: int, header: Header, request: Call) -> None:
        if not request.max_fee_wei and not request.max_tip_wei:
            header = cast(Header, header.copy(base_fee_per_gas=0))
        elif request.max_fee_wei < get_base_fee(header):
            raise ExecutionFailed(
                f"max fee per gas less than block base fee: address {format_address(request.sender)}, "
                f"maxFeePerGas: {request.max_fee_wei}, baseFee: {header.base_fee_per_gas}"
            )
        self._vm = open_vm(overlay, chain_id, header)
        self._chain_id = chain_id
        self._request = request
        self.minimum_gas = compute_minimum_gas(self._create_transaction(0))

    def compute_gas_allowance(self, highest: int) -> int:
        """`highest`, or less if the sender cannot pay for so much."""
        request = self._request
        if not request.max_fee_wei:
            return highest
        balance = self._vm.state.get_balance(request.sender)
        if balance < request.value_wei:
            raise ExecutionFailed("insufficient funds for transfer")
        return min(highest, (balance - request.value_wei) // request.max_fee_wei)

    def run(self, gas: int) -> tuple[ComputationAPI, int]:
        """(computation, gas used). ExecutionFailed if it cannot start."""
        transaction = self._create_transaction(gas)
        self._check_startable(transaction)
        state = self._vm.state
        snapshot = state.snapshot()
        try:
            computation = state.apply_transaction(transaction)
        finally:
            state.revert(snapshot)
        return computation, PragueVM.finalize_gas_used(transaction, computation)

    def succeeds_with(self, gas: int) -> bool:
        if gas < self.minimum_gas:
            return False
        computation, _ = self.run(gas)
        return computation.is_success

    def _create_transaction(self, gas: int) -> SignedTransactionAPI:
        request = self._request
        unsigned = PragueTransactionBuilder.new_unsigned_dynamic_fee_transaction(
            chain_id=self._chain_id,
            nonce=self._vm.state.get_nonce(request.sender),
            max_priority_fee_per_gas=request.max_tip_wei,
            max_fee_per_gas=request.max_fee_wei,
            gas=gas,
            to=request.to or Address(b""),
            value=request.value_wei,
            data=request.data,
            access_list=request.access_list,
        )
        return cast(SignedTransactionAPI, SpoofTransaction(unsigned, from_=request.sender))

    def _check_startable(self, transaction: SignedTransactionAPI) -> None:
        if transaction.gas < self.minimum_gas:
            raise ExecutionFailed(f"intrinsic gas too low: have {transaction.gas}, want {self.minimum_gas}")
        balance = self._vm.state.get_balance(transaction.sender)
        cost = transaction.value + transaction.gas * transaction.max_fee_per_gas
        if balance < cost:
            raise ExecutionFailed(
                f"insufficient funds for gas * price + value: address {format_address(transaction.sender)} "
                f"have {balance} want {cost}"
            )


def check_success(computation: ComputationAPI) -> None:
    """ExecutionReverted, ExecutionFailed."""
    if computation.is_success:
        return
    if isinstance(computation.error, Revert):
        raise ExecutionReverted(computation.output)
    raise ExecutionFailed(describe_halt(computation.error))


HALTS: Final[dict[type[VMError], str]] = {
    OutOfGas: "out of gas",
    InsufficientStack: "stack underflow",
    FullStack: "stack limit reached 1024",
    InvalidJumpDestination: "invalid jump destination",
    InsufficientFunds: "insufficient balance for transfer",
    StackDepthLimit: "max call depth exceeded",
    ContractCreationCollision: "contract address collision",
    WriteProtection: "write protection",
    OutOfBoundsRead: "return data out of bounds",
    ReservedBytesInCode: "invalid code: must not begin with 0xef",
}
"""geth's words for exceptional halts, by py-evm's classes."""


def describe_halt(error: VMError) -> str:
    if isinstance(error, InvalidInstruction):
        return f"invalid opcode: {error}"
    return HALTS.get(type(error)) or str(error)


ERROR_SELECTOR: Final = bytes.fromhex("08c379a0")  # Error(string)
PANIC_SELECTOR: Final = bytes.fromhex("4e487b71")  # Panic(uint256)
PANICS: Final = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}


def decode_revert_reason(data: bytes) -> str | None:
    """The text of Solidity's Error(string) and Panic(uint256); None for anything else, custom errors among it."""
    try:
        if data[:4] == ERROR_SELECTOR:
            (reason,) = decode_abi(["string"], data[4:])
            return str(reason)
        if data[:4] == PANIC_SELECTOR:
            (code,) = decode_abi(["uint256"], data[4:])
            return PANICS.get(code, f"unknown panic code: {code:#x}")
    except (DecodingError, UnicodeDecodeError):
        return None  # a contract may revert with any bytes behind these four
    return None


# -- gas ---------------------------------------------------------------------------------------------------------------


def compute_intrinsic_gas(transaction: SignedTransactionAPI) -> int:
    """What is charged before the first instruction, initcode words (EIP-3860) included."""
    words = 0 if transaction.to else (len(transaction.data) + 31) // 32
    return transaction.intrinsic_gas + INITCODE_WORD_COST * words


def compute_floor_gas(data: bytes) -> int:
    """The least a transaction with this data uses, whatever it does (EIP-7623)."""
    zeros = data.count(0)
    tokens = zeros + (len(data) - zeros) * STANDARD_TOKEN_COST
    return TRANSFER_GAS + TOTAL_COST_FLOOR_PER_TOKEN * tokens


def compute_minimum_gas(transaction: SignedTransactionAPI) -> int:
    return max(compute_intrinsic_gas(transaction), compute_floor_gas(transaction.data))


def format_address(address: bytes) -> str:
    return f"0x{address.hex()}"
