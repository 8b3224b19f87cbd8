"""Quotes: what a payment of the data exchange would be, from the node and, without it, from what is known.

A client never signs what a node hands it. It works out by itself what the payment has to be, asks the node for its
quote, and goes on only if that is the same payment; so the node's part is to say beforehand what the ledger would
refuse.
"""

from collections.abc import Mapping
from typing import Any, Final

from chain import wire
from chain.instruction import ListFile
from chain.kinds import EXTEND, PURCHASE, UPLOAD
from chain.market import File, compute_shares, compute_storage_charge
from chain.params import Market
from chain.payment import Output, Payment
from chain.primitives import ZERO_HASH, Address
from client.errors import ClientError
from client.node import Node

_COMPARED: Final = ("asset", "payer", "valid_until", "kind", "reference", "memo", "outputs")
"""All but the nonce, which the wallet chooses."""


class WrongQuote(ClientError):
    """The node quotes another payment than was asked for."""


def make_upload(listing: ListFile, service_node: Address, asset: Address, market: Market) -> Payment:
    """What keeping the file as long as its listing says costs. Raises `NoStorageRate`."""
    charge = compute_storage_charge(listing.size, listing.storage_days, asset, market)
    outputs = (Output(service_node, charge),)
    return Payment(asset, listing.account, 0, 0, UPLOAD, listing.file, "", outputs)


def make_purchase(file: File, buyer: Address, market: Market) -> Payment:
    """The price of a file, split as the chain parameters say."""
    outputs = tuple([Output(to, amount) for to, amount in compute_shares(file, market)])
    return Payment(file.asset, buyer, 0, 0, PURCHASE, file.id, "", outputs)


def make_extension(file: File, days: int, asset: Address, market: Market) -> Payment:
    """What keeping a file `days` longer costs. Raises `NoStorageRate`."""
    charge = compute_storage_charge(file.size, days, asset, market)
    outputs = (Output(file.service_node, charge),)
    return Payment(asset, file.validator, 0, 0, EXTEND, file.id, "", outputs)


def confirm_quote(node: Node, expected: Payment, details: Mapping[str, Any]) -> None:
    """Asks the node for its quote. `details`: what is particular to the kind; the rest is taken from `expected`.

    Raises what the ledger would refuse the payment with, and `WrongQuote` when the node would have something else
    signed.
    """
    common: dict[str, Any] = {"from": wire.encode_address(expected.payer)}
    if expected.memo:
        common["memo"] = expected.memo
    if expected.valid_until:
        common["validUntil"] = hex(expected.valid_until)
    check_quote(node.quote(expected.kind, {**common, **details}), expected)


def check_quote(quoted: Payment, expected: Payment) -> None:
    """Raises `WrongQuote` unless they differ in the nonce at most."""
    for name in _COMPARED:
        theirs, ours = getattr(quoted, name), getattr(expected, name)
        if theirs != ours:
            raise WrongQuote(f"the node quotes a payment whose {name} is {_show(theirs)}; asked for was {_show(ours)}")


def describe_upload(listing: ListFile, service_node: Address, asset: Address) -> dict[str, Any]:
    """The details of the quote of an upload that its listing goes before."""
    return {
        "to": wire.encode_address(service_node),
        "asset": wire.encode_address(asset),
        "listing": wire.encode_instruction(listing),
    }


def describe_purchase(expected: Payment) -> dict[str, Any]:
    return {"reference": wire.encode_bytes(expected.reference), "price": hex(expected.total)}


def describe_extension(expected: Payment, days: int) -> dict[str, Any]:
    return {
        "reference": wire.encode_bytes(expected.reference),
        "days": hex(days),
        "asset": wire.encode_address(expected.asset),
    }


def describe_single(expected: Payment) -> dict[str, Any]:
    """Of a payment to one recipient: a transfer, a tip."""
    (output,) = expected.outputs
    details = {
        "asset": wire.encode_address(expected.asset),
        "to": wire.encode_address(output.to),
        "amount": hex(output.amount),
    }
    if expected.reference != ZERO_HASH:
        details["reference"] = wire.encode_bytes(expected.reference)
    return details


def _show(value: Any) -> str:
    if isinstance(value, bytes):
        return wire.encode_address(value) if len(value) == 20 else wire.encode_bytes(value)
    if isinstance(value, tuple):
        return ", ".join([f"{output.amount} to {wire.encode_address(output.to)}" for output in value])
    return repr(value)
