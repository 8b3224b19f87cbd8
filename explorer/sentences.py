"""One line of plain words for every record, in parts, so that a page can link what a text only names."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from chain.kinds import EXTEND, PURCHASE, TIP, UPLOAD, WITHDRAW
from chain.market import MART, OWNER, SERVICE_NODE, VALIDATOR
from chain.payment import Output
from chain.primitives import ZERO_HASH, Address, Hash
from chain.wire import encode_address, encode_bytes
from explorer.formatting import Token, format_amount, make_visible, shorten_name
from node.index import IndexedDeposit, IndexedFile, IndexedInstruction, IndexedPayment, IndexedRecord

OUTPUTS_NAMED: Final = 3
"""Payees that a sentence names; the rest are counted."""

NAMES_OF_ROLES: Final = {VALIDATOR: "validator", MART: "mart", SERVICE_NODE: "service node", OWNER: "owner"}

NO_FILES: Final[Mapping[Hash, IndexedFile]] = {}


class Role(StrEnum):
    WORDS = "words"
    ACCOUNT = "account"
    RECIPIENT = "recipient"
    """An address on Ethereum: nothing of the ledger belongs to it there."""
    AMOUNT = "amount"
    REFERENCE = "reference"
    FILE = "file"


class Part(msgspec.Struct, frozen=True):
    role: Role
    text: str = ""
    """Of a file its name, as its validator wrote it."""
    address: Address = b""
    amount: int = 0
    """Base units of `asset`."""
    asset: Address = b""
    reference: Hash = b""
    """Of a file its id."""


class PartyRoles(msgspec.Struct, frozen=True):
    """What those are who take part in a payment, in plain words."""

    payer: str
    payees: tuple[str, ...]
    """One for each output."""


class PartyChange(msgspec.Struct, frozen=True):
    """What one account gained or lost by a record, in its asset."""

    account: Address
    role: str
    change: int
    """Base units; the sum over a payment's parties is zero, or minus what was withdrawn."""


class Named(Protocol):
    """Assets by their names."""

    def __getitem__(self, asset: Address, /) -> Token: ...


def tell(record: IndexedRecord, files: Mapping[Hash, IndexedFile] = NO_FILES) -> tuple[Part, ...]:
    """`files`: those that the record may name."""
    if isinstance(record, IndexedDeposit):
        return _tell_deposit(record)
    file = find_file(record, files)
    if isinstance(record, IndexedInstruction):
        return _tell_instruction(record, file)
    return _tell_payment(record, file)


def describe_record(record: IndexedRecord, tokens: Named, files: Mapping[Hash, IndexedFile] = NO_FILES) -> str:
    """As plain text, addresses shortened: "0xa1b2…c3d4 paid 2.5 TOK to 0xe5f6…a7b8"."""
    return "".join([_describe_part(part, tokens) for part in tell(record, files)])


def list_assets(parts: tuple[Part, ...]) -> list[Address]:
    """Those that the parts speak of."""
    return [part.asset for part in parts if part.role is Role.AMOUNT]


def find_file(record: IndexedRecord, files: Mapping[Hash, IndexedFile]) -> IndexedFile | None:
    """The file that a record is about. A reference that was a file's only later named something else: what is said of
    a payment does not change."""
    if isinstance(record, IndexedDeposit):
        return None
    if isinstance(record, IndexedInstruction):
        return None if record.file is None else files.get(record.file)
    file = files.get(record.reference)
    return file if file is not None and (file.block, file.record) < (record.block, record.record) else None


def list_changes(record: IndexedRecord, roles: PartyRoles | None = None) -> list[PartyChange]:
    """Each party once, payer first, with the exact change of its balance; nobody of an instruction. `roles`: of a
    payment that is not merely from payer to payees."""
    if isinstance(record, IndexedInstruction):
        return []
    if isinstance(record, IndexedDeposit):
        return [PartyChange(record.account, "depositor", record.amount)]
    roles = roles or PartyRoles("payer", ("payee",) * len(record.outputs))
    changes = {record.payer: -record.total}
    words = {record.payer: [roles.payer]}
    if record.kind != WITHDRAW:
        for output, role in zip(record.outputs, roles.payees, strict=True):
            changes[output.to] = changes.get(output.to, 0) + output.amount
            words.setdefault(output.to, []).append(role)
    return [PartyChange(account, _join(words[account]), change) for account, change in changes.items()]


def _tell_deposit(deposit: IndexedDeposit) -> tuple[Part, ...]:
    return (
        _name_amount(deposit.amount, deposit.asset),
        _say(" came from Ethereum for "),
        _name_account(deposit.account),
    )


def _tell_payment(payment: IndexedPayment, file: IndexedFile | None) -> tuple[Part, ...]:
    if file is not None and payment.kind in (UPLOAD, PURCHASE, EXTEND):
        return _tell_market_payment(payment, file)
    verb = {WITHDRAW: " withdrew ", TIP: " tipped "}.get(payment.kind, " paid ")
    parts = [_name_account(payment.payer), _say(verb), _name_amount(payment.total, payment.asset)]
    if payment.kind == WITHDRAW:
        # It has left the ledger; whether it was claimed, only the contract knows.
        recipient = Part(Role.RECIPIENT, address=payment.outputs[0].to)
        parts += [_say(" for "), recipient, _say(" to claim on Ethereum")]
    elif all(output.to == payment.payer for output in payment.outputs):
        parts.append(_say(" to itself"))
    else:
        parts += [_say(" to "), *_tell_payees(payment.outputs)]
    if payment.reference != ZERO_HASH:
        link = ", reference " if payment.kind == WITHDRAW else " for "
        named = Part(Role.REFERENCE, reference=payment.reference) if file is None else _name_file(file)
        parts += [_say(link), named]
    return tuple(parts)


def _tell_market_payment(payment: IndexedPayment, file: IndexedFile) -> tuple[Part, ...]:
    verb, link, other = {
        UPLOAD: (" uploaded ", " to ", payment.outputs[0].to),
        PURCHASE: (" bought ", " from ", file.validator),
        EXTEND: (" extended the storage of ", " at ", payment.outputs[0].to),
    }[payment.kind]
    return (
        _name_account(payment.payer),
        _say(verb),
        _name_file(file),
        _say(link),
        _say("itself") if other == payment.payer else _name_account(other),
        _say(" for "),
        _name_amount(payment.total, payment.asset),
    )


def _tell_instruction(instruction: IndexedInstruction, file: IndexedFile | None) -> tuple[Part, ...]:
    account = _name_account(instruction.account)
    if instruction.type == "Register":
        assert instruction.role is not None
        return account, _say(f" registered as a {NAMES_OF_ROLES[instruction.role]}")
    if instruction.type == "RegisterOwner":
        assert instruction.validator is not None
        return account, _say(" registered as an owner under "), _name_account(instruction.validator)
    assert file is not None, "the other types are of a file"
    if instruction.type == "Delist":
        return account, _say(" delisted "), _name_file(file)
    assert instruction.price is not None
    price = _name_amount(instruction.price, file.asset)
    if instruction.type == "UpdatePrice":
        return account, _say(" set the price of "), _name_file(file), _say(" to "), price
    return account, _say(" listed "), _name_file(file), _say(" of "), _name_account(file.owner), _say(" at "), price


def _tell_payees(outputs: tuple[Output, ...]) -> list[Part]:
    payees = list(dict.fromkeys([output.to for output in outputs]))
    named = payees if len(payees) <= OUTPUTS_NAMED else payees[: OUTPUTS_NAMED - 1]
    rest = len(payees) - len(named)
    parts: list[Part] = []
    for place, payee in enumerate(named):
        if place:
            parts.append(_say(" and " if place == len(named) - 1 and not rest else ", "))
        parts.append(_name_account(payee))
    if rest:
        parts.append(_say(f" and {rest} others"))
    return parts


def _say(words: str) -> Part:
    return Part(Role.WORDS, text=words)


def _name_account(address: Address) -> Part:
    return Part(Role.ACCOUNT, address=address)


def _name_amount(base_units: int, asset: Address) -> Part:
    return Part(Role.AMOUNT, amount=base_units, asset=asset)


def _name_file(file: IndexedFile) -> Part:
    return Part(Role.FILE, text=file.name, reference=file.id)


def _join(words: list[str]) -> str:
    """Each once: "mart, validator and owner"."""
    *first, last = dict.fromkeys(words)
    return f"{', '.join(first)} and {last}" if first else last


def _describe_part(part: Part, tokens: Named) -> str:
    if part.role is Role.AMOUNT:
        token = tokens[part.asset]
        unit = token.symbol if token.is_known else f"base units of {token.symbol}"
        return f"{format_amount(part.amount, token)} {unit}"
    if part.role in (Role.ACCOUNT, Role.RECIPIENT):
        return _shorten(encode_address(part.address))
    if part.role is Role.REFERENCE:
        return _shorten(encode_bytes(part.reference))
    if part.role is Role.FILE:
        return f"“{make_visible(shorten_name(part.text))}”"
    return part.text


def _shorten(text: str) -> str:
    return f"{text[:6]}…{text[-4:]}"
