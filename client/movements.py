"""What payments did for one account: a line for each output, so that amounts add up."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec

from chain import wire
from chain.errors import InvalidProof
from chain.kinds import WITHDRAW
from chain.params import Domain
from chain.payment import check_signed_payment
from chain.primitives import MAX_U32, MAX_U64, Address, Hash
from client.errors import BadReply
from client.protocol import decode_payment_form


class Direction(StrEnum):
    OUT = "out"
    IN = "in"
    SELF = "self"
    """The account paid itself: no change."""
    L1 = "l1"
    """Received on Ethereum, by another's withdrawal: no change of the balance here."""


class Movement(msgspec.Struct, frozen=True):
    id: Hash
    status: str
    direction: Direction
    kind: str
    payer: Address
    payee: Address
    asset: Address
    amount: int
    """Base units."""
    reference: Hash
    memo: str
    nonce: int
    block: int
    record: int
    timestamp: int
    """Milliseconds: the block's."""

    @property
    def counterparty(self) -> Address:
        return self.payee if self.direction in (Direction.OUT, Direction.SELF) else self.payer


def read_movements(item: Any, account: Address, domain: Domain) -> Iterator[Movement]:
    """Of an item of `tally_listPayments`, what concerns the account, in the order of the outputs.

    Raises what `check_signed_payment` raises, and `InvalidProof` when the id is not the payment's: a node can leave a
    payment out, and can not make one up. Raises `BadReply` for a payment that has nothing to do with the account.
    """
    payment = decode_payment_form(wire.get_field(item, "payment", "item"))
    signature = wire.decode_signature(wire.get_field(item, "signature", "item"), "signature")
    payment_id = wire.decode_hash(wire.get_field(item, "id", "item"), "id")
    if check_signed_payment(payment, signature, domain).id != payment_id:
        raise InvalidProof(f"the node shows 0x{payment_id.hex()}, which is not the id of the payment beside it")
    header = wire.get_field(item, "block", "item")
    has_any = False
    for output in payment.outputs:
        direction = _find_direction(payment.kind, account, payment.payer, output.to)
        if direction is None:
            continue
        has_any = True
        yield Movement(
            id=payment_id,
            status=str(wire.get_field(item, "status", "item")),
            direction=direction,
            kind=payment.kind,
            payer=payment.payer,
            payee=output.to,
            asset=payment.asset,
            amount=output.amount,
            reference=payment.reference,
            memo=payment.memo,
            nonce=payment.nonce,
            block=wire.decode_quantity(wire.get_field(header, "number", "block"), "number", MAX_U64),
            record=wire.decode_quantity(wire.get_field(item, "index", "item"), "index", MAX_U32),
            timestamp=wire.decode_quantity(wire.get_field(header, "timestamp", "block"), "timestamp", MAX_U64),
        )
    if not has_any:
        raise BadReply(f"payment 0x{payment_id.hex()} is neither from nor to the account that was asked about")


def _find_direction(kind: str, account: Address, payer: Address, payee: Address) -> Direction | None:
    if payer == account:
        return Direction.SELF if payee == account and kind != WITHDRAW else Direction.OUT
    if payee != account:
        return None
    return Direction.L1 if kind == WITHDRAW else Direction.IN
