"""Commitments on their way to Ethereum, as the node tells of it: how far each is, what was tried, and what it cost."""

from typing import Any, Final

import msgspec

from chain import wire
from chain.primitives import MAX_U64, MAX_U256, Hash
from client.errors import BadReply
from client.protocol import (
    Call,
    EpochCommitment,
    decode_epoch_commitment,
    decode_optional,
    encode_place,
    take_list,
)

TRANSACTION_TYPES: Final = ("legacy", "eip1559")
OUTCOMES: Final = ("included", "reverted", "replaced")


class Attempt(msgspec.Struct, frozen=True):
    """One transaction of the node's."""

    number: int
    hash: Hash
    nonce: int
    type: str
    gas_limit: int
    max_fee: int
    """Wei per gas, as the next; of a legacy transaction both are its gas price."""
    priority_fee: int
    sent_at: int
    """Milliseconds."""
    outcome: str | None
    """None while it may still be mined."""
    problem: str | None
    """Why it was reverted, in the contract's words."""
    gas_used: int | None
    effective_gas_price: int | None
    cost: int | None
    """Wei; None while it is not known."""


class Way(msgspec.Struct, frozen=True):
    """What is known of one epoch's way to Ethereum. What is None has not happened."""

    signed: EpochCommitment
    sealed_at: int | None
    """Milliseconds."""
    attempts: tuple[Attempt, ...]
    cost: int
    """Wei: of all attempts together, as far as it is known."""
    is_ours: bool | None
    """Whether the node sent what is included."""
    l1_block_hash: Hash | None
    confirmations: int | None
    final_at: int | None
    """Unix seconds."""
    gas_used: int | None
    effective_gas_price: int | None

    @property
    def fee(self) -> int | None:
        """Wei that the transaction cost which is included, whoever sent it."""
        if self.gas_used is None or self.effective_gas_price is None:
            return None
        return self.gas_used * self.effective_gas_price

    @property
    def form(self) -> dict[str, Any]:
        return self.signed.form


class WaysPage(msgspec.Struct, frozen=True):
    items: tuple[Way, ...]
    """Newest first."""
    cursor: str | None


def get_way(epoch: int | str) -> Call[Way]:
    """By number, or `latest` (sealed), or `final`."""
    return Call("tally_getCommitment", (encode_place(epoch),), _decode_way)


def list_commitments(cursor: str | None = None, limit: int | None = None) -> Call[WaysPage]:
    query = {"cursor": cursor, "limit": None if limit is None else hex(limit)}
    given = {name: value for name, value in query.items() if value is not None}
    return Call("tally_listCommitments", (given,), _decode_page)


def _decode_page(form: Any) -> WaysPage:
    items, cursor = take_list(form, "items"), form.get("cursor")
    if cursor is not None and not isinstance(cursor, str):
        raise BadReply("a cursor that is no text")
    return WaysPage(tuple([_decode_way(item) for item in items]), cursor)


def _decode_way(form: Any) -> Way:
    signed = decode_epoch_commitment(form)
    is_ours, l1_block_hash = wire.get_field(form, "isOurs", "commitment"), form.get("l1BlockHash")
    if is_ours is not None and not isinstance(is_ours, bool):
        raise BadReply("isOurs is neither true nor false")
    return Way(
        signed=signed,
        sealed_at=decode_optional(form, "sealedAt"),
        attempts=tuple([_decode_attempt(item) for item in take_list(form, "attempts")]),
        cost=wire.decode_quantity(wire.get_field(form, "cost", "commitment"), "cost", MAX_U256),
        is_ours=is_ours,
        l1_block_hash=None if l1_block_hash is None else wire.decode_hash(l1_block_hash, "l1BlockHash"),
        confirmations=decode_optional(form, "confirmations"),
        final_at=decode_optional(form, "finalAt"),
        gas_used=decode_optional(form, "gasUsed"),
        effective_gas_price=decode_optional(form, "effectiveGasPrice"),
    )


def _decode_attempt(form: Any) -> Attempt:
    def take(name: str) -> int:
        return wire.decode_quantity(wire.get_field(form, name, "attempt"), name, MAX_U64)

    kind, outcome = wire.get_field(form, "type", "attempt"), wire.get_field(form, "outcome", "attempt")
    problem = wire.get_field(form, "problem", "attempt")
    if kind not in TRANSACTION_TYPES:
        raise BadReply(f"transaction type {kind!r} is not known")
    if outcome is not None and outcome not in OUTCOMES:
        raise BadReply(f"outcome {outcome!r} is not known")
    if problem is not None and not isinstance(problem, str):
        raise BadReply("a problem that is no text")
    return Attempt(
        number=take("number"),
        hash=wire.decode_hash(wire.get_field(form, "hash", "attempt"), "hash"),
        nonce=take("nonce"),
        type=kind,
        gas_limit=take("gasLimit"),
        max_fee=take("maxFeePerGas"),
        priority_fee=take("maxPriorityFeePerGas"),
        sent_at=take("sentAt"),
        outcome=outcome,
        problem=problem,
        gas_used=decode_optional(form, "gasUsed"),
        effective_gas_price=decode_optional(form, "effectiveGasPrice"),
        cost=decode_optional(form, "cost", MAX_U256),
    )
