"""Verification: from the JSON of a submission to a record that the sequencer can order, or to a refusal.

Everything that can be said of a payment or an instruction without the state happens here, in parallel, in no order.
"""

from typing import Any, Final

import msgspec

from chain import wire
from chain.block import encode_record
from chain.errors import Refusal
from chain.instruction import check_signed_instruction
from chain.params import Domain
from chain.payment import check_signed_payment
from node.framing import WorkerChannel

INSTRUCTION_MARK: Final = b"i"
"""Begins no JSON text."""


def run_verifier(channel: WorkerChannel) -> None:
    """First message: (ledger chain id, contract). Then lists of submissions, each answered by a list of results."""
    chain_id, contract = channel.receive()
    domain = Domain(chain_id, contract)
    while True:
        channel.send([verify_submission(params, domain) for params in channel.receive()])


def verify_submission(params: bytes, domain: Domain) -> tuple[Any, ...]:
    """(encoded record, what it holds as JSON) or (code, message, values), from the JSON of `[payment, signature]`, or
    from `INSTRUCTION_MARK` and the JSON of `[instruction, signature]`."""
    try:
        if params[:1] == INSTRUCTION_MARK:
            return _verify_instruction(params[1:], domain)
        payment, signature = wire.decode_submission(params)
        signed = check_signed_payment(payment, signature, domain)
    except Refusal as refusal:
        return encode_refusal(refusal)
    return encode_record(signed), msgspec.json.encode(wire.encode_payment(payment))


def _verify_instruction(params: bytes, domain: Domain) -> tuple[Any, ...]:
    instruction, signature = wire.decode_instruction_submission(params)
    signed = check_signed_instruction(instruction, signature, domain)
    return encode_record(signed), msgspec.json.encode(wire.encode_instruction(instruction))


def encode_refusal(refusal: Refusal) -> tuple[str, str, dict[str, Any]]:
    return refusal.code, refusal.message, encode_values(refusal.values)


def encode_values(values: dict[str, Any]) -> dict[str, Any]:
    """A refusal's values in the forms of the interface, under camelCase names."""
    return {_to_camel_case(name): _encode_value(value) for name, value in values.items()}


def _encode_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return wire.encode_address(value) if len(value) == 20 else wire.encode_bytes(value)
    return wire.encode_quantity(value) if isinstance(value, int) else value


def _to_camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
