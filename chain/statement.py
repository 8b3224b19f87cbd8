"""Statements: all debits and all credits of one account, in one asset, in one epoch, as two sum trees.

Debits stand strictly ascending by (type, number), credits strictly ascending by their place in the ledger, so that one
false debit among a million dust credits cannot hide, and a missing credit can be found by halving.
"""

from collections.abc import Iterable

import msgspec

from chain.hashing import CREDIT_LEAF, DEBIT_LEAF, WITHDRAWAL_LEAF, keccak
from chain.merkle import SumFrontier, SumNode
from chain.primitives import Address, Hash


class Debit(msgspec.Struct, frozen=True, gc=False, order=True):
    """What an account gave. Ordered by (type, number), which no two debits of an account share."""

    type: int
    """The type of the record: payment or forced withdrawal."""
    number: int
    """The payment's nonce, or the request's index."""
    id: Hash
    amount: int


class Credit(msgspec.Struct, frozen=True, gc=False, order=True):
    """What an account got. Ordered by its place in the ledger (block, record, output), which no two credits share."""

    block: int
    record: int
    output: int
    """0 for a deposit."""
    type: int
    id: Hash
    amount: int


class Withdrawal(msgspec.Struct, frozen=True, gc=False):
    """What left the ledger for L1, in ledger order within its epoch and asset."""

    id: Hash
    recipient: Address
    amount: int


def hash_debit(debit: Debit) -> Hash:
    """H(0x84 ‖ type u8 ‖ number u64 ‖ id 32 ‖ amount u128)"""
    return keccak(
        DEBIT_LEAF
        + debit.type.to_bytes(1, "big")
        + debit.number.to_bytes(8, "big")
        + debit.id
        + debit.amount.to_bytes(16, "big")
    )


def hash_credit(credit: Credit) -> Hash:
    """H(0x85 ‖ block u64 ‖ record u32 ‖ output u8 ‖ type u8 ‖ id 32 ‖ amount u128)"""
    return keccak(
        CREDIT_LEAF
        + credit.block.to_bytes(8, "big")
        + credit.record.to_bytes(4, "big")
        + bytes((credit.output, credit.type))
        + credit.id
        + credit.amount.to_bytes(16, "big")
    )


def hash_withdrawal(withdrawal: Withdrawal) -> Hash:
    """H(0x86 ‖ id 32 ‖ recipient 20 ‖ amount u128)"""
    return keccak(WITHDRAWAL_LEAF + withdrawal.id + withdrawal.recipient + withdrawal.amount.to_bytes(16, "big"))


def compute_debits_root(debits: Iterable[Debit]) -> SumNode:
    """Root and sum of debits already in order."""
    frontier = SumFrontier()
    for debit in debits:
        frontier.append(hash_debit(debit), debit.amount)
    return frontier.root


def compute_credits_root(credits: Iterable[Credit]) -> SumNode:
    """Root and sum of credits already in order."""
    frontier = SumFrontier()
    for credit in credits:
        frontier.append(hash_credit(credit), credit.amount)
    return frontier.root


class OpenStatement:
    """A statement of the open epoch, hashed as it grows.

    Credits arrive in order. A debit may arrive out of order, but only within the nonce window: once the base has passed
    a nonce, no smaller one can come, so it may enter the tree. What is still in the window waits.
    """

    __slots__ = ("_waiting", "credits", "credits_total", "debits", "debits_total")

    def __init__(self) -> None:
        self.debits = SumFrontier()
        self.credits = SumFrontier()
        self.debits_total = 0
        self.credits_total = 0
        self._waiting: list[Debit] = []

    def add_credit(self, credit: Credit) -> None:
        self.credits.append(hash_credit(credit), credit.amount)
        self.credits_total += credit.amount

    def add_debit(self, debit: Debit, nonce_base: int) -> None:
        """`nonce_base` is the account's after this debit: debits below it are complete."""
        self.debits_total += debit.amount
        if not self._waiting and debit.number < nonce_base:
            self.debits.append(hash_debit(debit), debit.amount)
            return
        self._waiting.append(debit)
        self._waiting.sort()
        while self._waiting and self._waiting[0].number < nonce_base:
            passed = self._waiting.pop(0)
            self.debits.append(hash_debit(passed), passed.amount)

    def close(self) -> None:
        """At the cut: what waits in the window follows, ascending."""
        for debit in self._waiting:
            self.debits.append(hash_debit(debit), debit.amount)
        self._waiting.clear()
