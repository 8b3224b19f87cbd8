"""Transactions that were accepted and are not mined yet, and the rules by which they are accepted.

The words of the refusals are geth's, because wallets and libraries match on them. A transaction whose nonce is ahead of
its account's waits here until the gap is filled; one whose fee is below the base fee waits until that falls.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import rlp
from eth.abc import SignedTransactionAPI
from eth.constants import SECPK1_N, UINT_64_MAX
from eth.exceptions import UnrecognizedTransactionType
from eth.vm.forks.prague.constants import DELEGATION_DESIGNATION_PREFIX
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth.vm.forks.shanghai.constants import MAX_INITCODE_SIZE
from eth_keys.exceptions import BadSignature
from eth_typing import Address
from eth_utils.exceptions import ValidationError

from devnet.l1.execution import compute_floor_gas, compute_intrinsic_gas, format_address

MAX_TRANSACTIONS: Final = 8_192
"""In the pool, all senders together."""
MAX_RAW_BYTES: Final = 128 * 1024
"""Of one transaction, as in geth."""
MAX_FEE_BITS: Final = 256
PRICE_BUMP_PERCENT: Final = 10
"""A replacement must offer so much more, in both of its fees."""
SUPPORTED_TYPES: Final = (0, 1, 2)


class Refusal(Exception):
    """A transaction that is not accepted. The message says why, in geth's words."""


class MalformedTransaction(Refusal):
    pass


class TypeNotSupported(Refusal):
    def __init__(self) -> None:
        super().__init__("transaction type not supported")


class OversizedData(Refusal):
    def __init__(self, size: int) -> None:
        super().__init__(f"oversized data: transaction size {size}, limit {MAX_RAW_BYTES}")


class NotReplayProtected(Refusal):
    def __init__(self) -> None:
        super().__init__("only replay-protected (EIP-155) transactions allowed over RPC")


class WrongChainId(Refusal):
    def __init__(self, chain_id: int, expected: int) -> None:
        super().__init__(f"invalid chain id for signer: have {chain_id} want {expected}")


class InvalidSender(Refusal):
    def __init__(self) -> None:
        super().__init__("invalid sender")


class InitcodeTooLarge(Refusal):
    def __init__(self, size: int) -> None:
        super().__init__(f"max initcode size exceeded: code size {size}, limit {MAX_INITCODE_SIZE}")


class ExceedsBlockGasLimit(Refusal):
    def __init__(self) -> None:
        super().__init__("exceeds block gas limit")


class FieldTooHigh(Refusal):
    def __init__(self, name: str) -> None:
        super().__init__(f"{name} higher than 2^256-1")


class TipAboveFeeCap(Refusal):
    def __init__(self, tip_wei: int, fee_wei: int) -> None:
        super().__init__(
            "max priority fee per gas higher than max fee per gas: "
            f"maxPriorityFeePerGas: {tip_wei}, maxFeePerGas: {fee_wei}"
        )


class IntrinsicGasTooLow(Refusal):
    def __init__(self, gas: int, minimum: int) -> None:
        super().__init__(f"intrinsic gas too low: gas {gas}, minimum needed {minimum}")


class FloorGasTooLow(Refusal):
    def __init__(self, gas: int, minimum: int) -> None:
        super().__init__(f"insufficient gas for floor data gas cost: gas {gas}, minimum needed {minimum}")


class AlreadyKnown(Refusal):
    def __init__(self) -> None:
        super().__init__("already known")


class SenderNotExternallyOwned(Refusal):
    def __init__(self, sender: bytes) -> None:
        super().__init__(f"sender not an eoa: address {format_address(sender)}")


class NonceTooLow(Refusal):
    def __init__(self, nonce: int, expected: int) -> None:
        super().__init__(f"nonce too low: next nonce {expected}, tx nonce {nonce}")


class NonceHasMaxValue(Refusal):
    def __init__(self) -> None:
        super().__init__("nonce has max value")


class InsufficientFunds(Refusal):
    def __init__(self, balance_wei: int, cost_wei: int, queued_wei: int) -> None:
        queued = f", queued cost {queued_wei}" if queued_wei else ""
        super().__init__(
            f"insufficient funds for gas * price + value: balance {balance_wei}{queued}, tx cost {cost_wei}, "
            f"overshot {queued_wei + cost_wei - balance_wei}"
        )


class ReplacementUnderpriced(Refusal):
    def __init__(self) -> None:
        super().__init__("replacement transaction underpriced")


class PoolFull(Refusal):
    def __init__(self) -> None:
        super().__init__("txpool is full")


@dataclass(frozen=True, slots=True)
class PooledTransaction:
    raw: bytes
    """EIP-2718 encoding."""
    transaction: SignedTransactionAPI
    hash: bytes
    sender: Address
    nonce: int
    max_fee_wei: int
    """Per gas. A legacy transaction's gas price stands for both fees."""
    max_tip_wei: int
    cost_wei: int
    """The most that it can take from its sender: value and all its gas at the maximal fee."""

    def compute_tip(self, base_fee_wei: int) -> int:
        """Per gas, what is left for the block's builder; negative if the base fee is not covered."""
        return min(self.max_tip_wei, self.max_fee_wei - base_fee_wei)


class Nonces(Protocol):
    def get_nonce(self, address: Address) -> int: ...


class Accounts(Nonces, Protocol):
    """The state that a transaction is checked against."""

    def get_balance(self, address: Address) -> int: ...
    def get_code(self, address: Address) -> bytes: ...


# -- one transaction ---------------------------------------------------------------------------------------------------


def decode_transaction(raw: bytes) -> SignedTransactionAPI:
    """MalformedTransaction, TypeNotSupported. Strict: what it decodes to encodes to the same bytes again."""
    if not raw:
        raise MalformedTransaction("typed transaction too short")
    if raw[0] < 0xC0 and raw[0] not in SUPPORTED_TYPES[1:]:
        raise TypeNotSupported
    try:
        transaction: SignedTransactionAPI = PragueTransactionBuilder.decode(raw)
        canonical = transaction.encode()
    except (rlp.exceptions.RLPException, ValidationError, UnrecognizedTransactionType, TypeError, ValueError) as error:
        raise MalformedTransaction(f"rlp: {error}") from error
    if canonical != raw:
        raise MalformedTransaction("rlp: not in canonical form")
    return transaction


def check_transaction(raw: bytes, chain_id: int, gas_limit: int) -> PooledTransaction:
    """All that can be said of a transaction without the state.

    OversizedData, MalformedTransaction, TypeNotSupported, NotReplayProtected, WrongChainId, InitcodeTooLarge,
    ExceedsBlockGasLimit, NonceHasMaxValue, FieldTooHigh, TipAboveFeeCap, InvalidSender, IntrinsicGasTooLow,
    FloorGasTooLow, MalformedTransaction (a field out of bounds)."""
    if len(raw) > MAX_RAW_BYTES:
        raise OversizedData(len(raw))
    transaction = decode_transaction(raw)
    if transaction.chain_id is None:
        raise NotReplayProtected
    if transaction.chain_id != chain_id:
        raise WrongChainId(transaction.chain_id, chain_id)
    if not transaction.to and len(transaction.data) > MAX_INITCODE_SIZE:
        raise InitcodeTooLarge(len(transaction.data))
    if transaction.gas > gas_limit:
        raise ExceedsBlockGasLimit
    if transaction.nonce >= UINT_64_MAX:
        raise NonceHasMaxValue
    check_fees(transaction)
    sender = recover_sender(transaction)
    if transaction.gas < (intrinsic_gas := compute_intrinsic_gas(transaction)):
        raise IntrinsicGasTooLow(transaction.gas, intrinsic_gas)
    if transaction.gas < (floor_gas := compute_floor_gas(transaction.data)):
        raise FloorGasTooLow(transaction.gas, floor_gas)
    try:
        transaction.validate()  # the machine's own checks, so that what is accepted can be executed
    except ValidationError as error:
        raise MalformedTransaction(str(error)) from error
    return PooledTransaction(
        raw=raw,
        transaction=transaction,
        hash=transaction.hash,
        sender=sender,
        nonce=transaction.nonce,
        max_fee_wei=transaction.max_fee_per_gas,
        max_tip_wei=transaction.max_priority_fee_per_gas,
        cost_wei=transaction.value + transaction.gas * transaction.max_fee_per_gas,
    )


def check_fees(transaction: SignedTransactionAPI) -> None:
    for name, value in (
        ("value", transaction.value),
        ("max fee per gas", transaction.max_fee_per_gas),
        ("max priority fee per gas", transaction.max_priority_fee_per_gas),
    ):
        if value.bit_length() > MAX_FEE_BITS:
            raise FieldTooHigh(name)
    if transaction.max_priority_fee_per_gas > transaction.max_fee_per_gas:
        raise TipAboveFeeCap(transaction.max_priority_fee_per_gas, transaction.max_fee_per_gas)


def recover_sender(transaction: SignedTransactionAPI) -> Address:
    """20 bytes. InvalidSender, for a high s as well (EIP-2)."""
    if not 0 < transaction.r < SECPK1_N or not 0 < transaction.s <= SECPK1_N // 2:
        raise InvalidSender
    try:
        transaction.check_signature_validity()
        return transaction.sender
    except (ValidationError, BadSignature) as error:
        raise InvalidSender from error


# -- all of them -------------------------------------------------------------------------------------------------------


class Pool:
    """In memory; whoever owns it keeps it equal to the store. Not for several threads at once."""

    def __init__(self) -> None:
        self._sequences: dict[bytes, int] = {}
        self._by_hash: dict[bytes, PooledTransaction] = {}
        self._by_sender: dict[Address, dict[int, PooledTransaction]] = {}
        self._next_sequence = 0

    def __len__(self) -> int:
        return len(self._by_hash)

    def get(self, hash_: bytes) -> PooledTransaction | None:
        return self._by_hash.get(hash_)

    def get_sequence(self, hash_: bytes) -> int:
        """Its number in order of arrival; the key it has on disk."""
        return self._sequences[hash_]

    @property
    def next_sequence(self) -> int:
        return self._next_sequence

    def compute_next_nonce(self, sender: Address, account_nonce: int) -> int:
        """The account's nonce once all that is executable here has been mined."""
        waiting = self._by_sender.get(sender, {})
        while account_nonce in waiting:
            account_nonce += 1
        return account_nonce

    def check(self, candidate: PooledTransaction, accounts: Accounts) -> PooledTransaction | None:
        """The transaction that `candidate` would replace, if any.

        AlreadyKnown, SenderNotExternallyOwned, NonceTooLow, InsufficientFunds, ReplacementUnderpriced, PoolFull."""
        if candidate.hash in self._by_hash:
            raise AlreadyKnown
        code = accounts.get_code(candidate.sender)
        if code and not code.startswith(DELEGATION_DESIGNATION_PREFIX):
            raise SenderNotExternallyOwned(candidate.sender)
        if candidate.nonce < (account_nonce := accounts.get_nonce(candidate.sender)):
            raise NonceTooLow(candidate.nonce, account_nonce)

        waiting = self._by_sender.get(candidate.sender, {})
        queued_wei = sum(other.cost_wei for other in waiting.values() if other.nonce != candidate.nonce)
        if queued_wei + candidate.cost_wei > (balance_wei := accounts.get_balance(candidate.sender)):
            raise InsufficientFunds(balance_wei, candidate.cost_wei, queued_wei)

        replaced = waiting.get(candidate.nonce)
        if replaced is not None and not is_better(candidate, replaced):
            raise ReplacementUnderpriced
        if replaced is None and len(self) >= MAX_TRANSACTIONS:
            raise PoolFull
        return replaced

    def add(self, transaction: PooledTransaction, sequence: int) -> None:
        """One that passed `check`; what it replaces has been removed. `sequence` is at least `next_sequence`."""
        self._by_hash[transaction.hash] = transaction
        self._by_sender.setdefault(transaction.sender, {})[transaction.nonce] = transaction
        self._sequences[transaction.hash] = sequence
        self._next_sequence = sequence + 1

    def remove(self, transaction: PooledTransaction) -> None:
        del self._by_hash[transaction.hash]
        del self._sequences[transaction.hash]
        waiting = self._by_sender[transaction.sender]
        del waiting[transaction.nonce]
        if not waiting:
            del self._by_sender[transaction.sender]

    def find_stale(self, sender: Address, account_nonce: int) -> list[PooledTransaction]:
        """The sender's transactions that can never be mined any more: their nonce is used."""
        return [waiting for nonce, waiting in self._by_sender.get(sender, {}).items() if nonce < account_nonce]

    def snapshot(self) -> Candidates:
        """The transactions as they are now, for a block to be built from while the pool goes on."""
        return Candidates({sender: dict(waiting) for sender, waiting in self._by_sender.items()}, dict(self._sequences))


def is_better(candidate: PooledTransaction, replaced: PooledTransaction) -> bool:
    """Both fees must be raised by the price bump: else replacing would be a free way to make everybody work."""
    return all(
        new > old and new * 100 >= old * (100 + PRICE_BUMP_PERCENT)
        for new, old in (
            (candidate.max_fee_wei, replaced.max_fee_wei),
            (candidate.max_tip_wei, replaced.max_tip_wei),
        )
    )


class Candidates:
    """What a block may be built from, best tip first, then first come, each sender's own in order of nonce."""

    def __init__(self, by_sender: dict[Address, dict[int, PooledTransaction]], sequences: dict[bytes, int]) -> None:
        self._by_sender = by_sender
        self._sequences = sequences

    def iterate(self, accounts: Nonces, base_fee_wei: int) -> Iterator[PooledTransaction]:
        """Ask for the next one after executing, or deciding against, the last one. One whose predecessor was not
        executed does not come; `accounts` tells, it is the state of the block being built."""
        heap: list[tuple[int, int, PooledTransaction]] = []

        def push_next(sender: Address) -> None:
            candidate = self._by_sender[sender].get(accounts.get_nonce(sender))
            if candidate is not None and (tip_wei := candidate.compute_tip(base_fee_wei)) >= 0:
                heapq.heappush(heap, (-tip_wei, self._sequences[candidate.hash], candidate))

        for sender in self._by_sender:
            push_next(sender)
        while heap:
            _, _, candidate = heapq.heappop(heap)
            yield candidate
            if accounts.get_nonce(candidate.sender) > candidate.nonce:
                push_next(candidate.sender)

    def list_in_order(self, accounts: Nonces, base_fee_wei: int) -> list[PooledTransaction]:
        """What would be executed if all of it succeeded. `accounts` is the state before."""
        nonces = AssumedNonces(accounts)
        ordered = []
        for candidate in self.iterate(nonces, base_fee_wei):
            ordered.append(candidate)
            nonces.use(candidate.sender)
        return ordered


class AssumedNonces:
    """Nonces as they will be once certain transactions have been executed."""

    def __init__(self, accounts: Nonces) -> None:
        self._accounts = accounts
        self._nonces: dict[Address, int] = {}

    def get_nonce(self, address: Address) -> int:
        return self._nonces.setdefault(address, self._accounts.get_nonce(address))

    def use(self, address: Address) -> None:
        self._nonces[address] = self.get_nonce(address) + 1
