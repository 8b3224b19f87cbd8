"""Asking before something is signed: what it is, on standard error, and a yes."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from chain import wire
from chain.instruction import Instruction, get_type
from chain.payment import Payment
from chain.primitives import Address
from client.cli import output
from client.cli.exits import BadUsage
from client.protocol import Asset

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before signing.")]


def ask_for_payment(
    payment: Payment,
    assets: Sequence[Asset],
    *,
    roles: dict[Address, str] | None = None,
    more: Sequence[tuple[str, str]] = (),
    is_confirmed: bool,
) -> None:
    """Shows a payment that is about to be signed, and asks. `roles`: what to call who is paid; `more`: what to show
    above it. Raises as `ask`."""
    asset = output.find_asset(payment.asset, assets)
    fields = [*more, ("payment", payment.kind), ("from", wire.encode_address(payment.payer))]
    for paid in payment.outputs:
        role = (roles or {}).get(paid.to)
        amount = output.show_amount(paid.amount, asset)
        fields.append((f"to {role}" if role else "to", f"{wire.encode_address(paid.to)}  {amount}"))
    if payment.memo:
        fields.append(("memo", output.show_text(payment.memo)))
    total = output.show_amount(payment.total, asset)
    ask([*fields, ("total", total)], f"Sign, and pay {total}?", is_confirmed=is_confirmed)


def ask_for_instruction(
    instruction: Instruction, assets: Sequence[Asset], *, more: Sequence[tuple[str, str]] = (), is_confirmed: bool
) -> None:
    """Shows an instruction that is about to be signed, and asks. `more`: what to show above it. Raises as `ask`."""
    ask([*more, *describe_instruction(instruction, assets)], "Sign it?", is_confirmed=is_confirmed)


def describe_instruction(instruction: Instruction, assets: Sequence[Asset]) -> list[tuple[str, str]]:
    """All of it but the nonce, which the wallet chooses."""
    shown = [field for field in output.show_instruction(instruction, assets) if field[0] != "nonce"]
    return [("instruction", get_type(instruction)), *shown]


def ask(fields: Sequence[tuple[str, str]], question: str, *, is_confirmed: bool) -> None:
    """Raises `typer.Abort` for a no, and `BadUsage` where there is nobody to ask."""
    output.note_fields(fields)
    if is_confirmed:
        return
    if not sys.stdin.isatty():
        raise BadUsage("nothing is signed without a yes, and there is nobody to ask: look at it, then give --yes")
    typer.confirm(question, abort=True, err=True)
