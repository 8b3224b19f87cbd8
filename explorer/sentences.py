"""One line of plain words for every record, in parts, so that a page can link what a text only names."""

from enum import StrEnum
from typing import Final

import msgspec

from chain.kinds import TIP, WITHDRAW
from chain.payment import Output
from chain.primitives import ZERO_HASH, Address, Hash
from chain.wire import encode_address, encode_bytes
from explorer.formatting import Token, format_amount
from node.index import IndexedDeposit, IndexedPayment, IndexedRecord

OUTPUTS_NAMED: Final = 3
"""Payees that a sentence names; the rest are counted."""


class Role(StrEnum):
    WORDS = "words"
    ACCOUNT = "account"
    RECIPIENT = "recipient"
    """An address on Ethereum: nothing of the ledger belongs to it there."""
    AMOUNT = "amount"
    REFERENCE = "reference"


class Part(msgspec.Struct, frozen=True):
    role: Role
    text: str = ""
    address: Address = b""
    amount: int = 0
    """Base units of the record's asset."""
    reference: Hash = b""


class PartyChange(msgspec.Struct, frozen=True):
    """What one account gained or lost by a record, in its asset."""

    account: Address
    role: str
    change: int
    """Base units; the sum over a payment's parties is zero, or minus what was withdrawn."""


def tell(record: IndexedRecord) -> tuple[Part, ...]:
    return _tell_deposit(record) if isinstance(record, IndexedDeposit) else _tell_payment(record)


def describe_record(record: IndexedRecord, token: Token) -> str:
    """As plain text, addresses shortened: "0xa1b2…c3d4 paid 2.5 TOK to 0xe5f6…a7b8"."""
    return "".join([_describe_part(part, token) for part in tell(record)])


def list_changes(record: IndexedRecord) -> list[PartyChange]:
    """Each party once, payer first, with the exact change of its balance."""
    if isinstance(record, IndexedDeposit):
        return [PartyChange(record.account, "depositor", record.amount)]
    changes = {record.payer: -record.total}
    roles = {record.payer: "payer"}
    if record.kind != WITHDRAW:
        for output in record.outputs:
            changes[output.to] = changes.get(output.to, 0) + output.amount
            roles[output.to] = "payer and payee" if output.to == record.payer else "payee"
    return [PartyChange(account, roles[account], change) for account, change in changes.items()]


def _tell_deposit(deposit: IndexedDeposit) -> tuple[Part, ...]:
    return (
        Part(Role.AMOUNT, amount=deposit.amount),
        _say(" came from Ethereum for "),
        Part(Role.ACCOUNT, address=deposit.account),
    )


def _tell_payment(payment: IndexedPayment) -> tuple[Part, ...]:
    verb = {WITHDRAW: " withdrew ", TIP: " tipped "}.get(payment.kind, " paid ")
    parts = [Part(Role.ACCOUNT, address=payment.payer), _say(verb), Part(Role.AMOUNT, amount=payment.total)]
    if payment.kind == WITHDRAW:
        # It has left the ledger; whether it was claimed, only the contract knows.
        parts += [_say(" for "), Part(Role.RECIPIENT, address=payment.outputs[0].to), _say(" to claim on Ethereum")]
    elif all(output.to == payment.payer for output in payment.outputs):
        parts.append(_say(" to itself"))
    else:
        parts += [_say(" to "), *_tell_payees(payment.outputs)]
    if payment.reference != ZERO_HASH:
        link = ", reference " if payment.kind == WITHDRAW else " for "
        parts += [_say(link), Part(Role.REFERENCE, reference=payment.reference)]
    return tuple(parts)


def _tell_payees(outputs: tuple[Output, ...]) -> list[Part]:
    payees = list(dict.fromkeys([output.to for output in outputs]))
    named = payees if len(payees) <= OUTPUTS_NAMED else payees[: OUTPUTS_NAMED - 1]
    rest = len(payees) - len(named)
    parts: list[Part] = []
    for place, payee in enumerate(named):
        if place:
            parts.append(_say(" and " if place == len(named) - 1 and not rest else ", "))
        parts.append(Part(Role.ACCOUNT, address=payee))
    if rest:
        parts.append(_say(f" and {rest} others"))
    return parts


def _say(words: str) -> Part:
    return Part(Role.WORDS, text=words)


def _describe_part(part: Part, token: Token) -> str:
    if part.role is Role.AMOUNT:
        unit = token.symbol if token.is_known else f"base units of {token.symbol}"
        return f"{format_amount(part.amount, token)} {unit}"
    if part.role in (Role.ACCOUNT, Role.RECIPIENT):
        return _shorten(encode_address(part.address))
    if part.role is Role.REFERENCE:
        return _shorten(encode_bytes(part.reference))
    return part.text


def _shorten(text: str) -> str:
    return f"{text[:6]}…{text[-4:]}"
