"""What is shown: tables for people, JSON for programs. Results on standard output, all else on standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chain import wire
from chain.instruction import MEMBERS, Instruction, ListFile, get_type
from chain.primitives import ZERO_HASH, Address
from client.amounts import format_amount
from client.protocol import AnyHeldReceipt, Asset, HeldInstructionReceipt, HeldReceipt

_WIDEST = 1000
"""Columns: what does not fit a terminal's line goes on in the next, and can still be copied."""

_JOINER = "\N{ZERO WIDTH JOINER}"
"""Part of many emoji."""

_console = Console(highlight=False, soft_wrap=True, width=_WIDEST)
_notes = Console(stderr=True, highlight=False, soft_wrap=True, width=_WIDEST)

_STATUS_STYLES = {"accepted": "yellow", "committed": "cyan", "final": "green", "void": "red", "failed": "red"}


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_line(text: str, style: str = "") -> None:
    _console.print(escape(text), style=style)


def note(text: str) -> None:
    """What helps people and is no result."""
    _notes.print(escape(text), style="dim")


def warn(text: str) -> None:
    _notes.print(f"[yellow]{escape(text)}[/]")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """`right`: columns of numbers. Cells are never cut: they get copied."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*[escape(cell) for cell in row])
    _console.print(table)


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    _console.print(_make_fields(fields))


def note_fields(fields: Iterable[tuple[str, str]]) -> None:
    """What helps people to decide and is no result."""
    _notes.print(_make_fields(fields))


def _make_fields(fields: Iterable[tuple[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(no_wrap=True)
    for name, value in fields:
        table.add_row(name, escape(value))
    return table


def print_receipt(held: AnyHeldReceipt, assets: Sequence[Asset], path: str) -> None:
    """A receipt's essentials, and where it is."""
    receipt = held.receipt
    header = receipt.header
    what = describe_payment(held, assets) if isinstance(held, HeldReceipt) else describe_instruction(held, assets)
    fields = [
        ("payment" if isinstance(held, HeldReceipt) else "instruction", wire.encode_bytes(held.id)),
        ("status", held.status),
        *what,
        ("block", f"{header.number}, record {receipt.index} of {header.record_count}"),
        ("time", show_time_ms(header.timestamp)),
    ]
    if receipt.inclusion is not None:
        inclusion = receipt.inclusion
        fields.append(("epoch", f"{inclusion.commitment.epoch}, on Ethereum since {show_time(inclusion.included_at)}"))
        fields.append(("l1 transaction", wire.encode_bytes(inclusion.l1_transaction)))
    fields.append(("receipt", path))
    print_fields(fields)


def describe_payment(held: HeldReceipt, assets: Sequence[Asset]) -> list[tuple[str, str]]:
    payment = held.receipt.signed.payment
    asset = find_asset(payment.asset, assets)
    fields = [("kind", payment.kind), ("from", wire.encode_address(payment.payer))]
    for output in payment.outputs:
        fields.append(("to", f"{wire.encode_address(output.to)}  {show_amount(output.amount, asset)}"))
    fields.append(("nonce", str(payment.nonce)))
    if any(payment.reference):
        fields.append(("reference", wire.encode_bytes(payment.reference)))
    if payment.memo:
        fields.append(("memo", show_text(payment.memo)))
    return fields


def describe_instruction(held: HeldInstructionReceipt, assets: Sequence[Asset]) -> list[tuple[str, str]]:
    instruction = held.receipt.signed.instruction
    return [("type", get_type(instruction)), *show_instruction(instruction, assets)]


def show_instruction(instruction: Instruction, assets: Sequence[Asset]) -> list[tuple[str, str]]:
    """Its members by name; what was left empty is left out."""
    fields = []
    for kind, name, attribute in MEMBERS[get_type(instruction)]:
        value = getattr(instruction, attribute)
        if isinstance(instruction, ListFile) and name == "asset":
            asset = find_asset(value, assets)
            fields.append((name, f"{asset.symbol if asset else 'unknown'} {wire.encode_address(value)}"))
        elif isinstance(instruction, ListFile) and name == "price":
            fields.append((name, show_amount(value, find_asset(instruction.asset, assets))))
        elif isinstance(instruction, ListFile) and name == "sealedKey":
            fields.append(("escrow", _describe_escrow(instruction)))
        elif value not in (0, "", (), ZERO_HASH) or name == "nonce":
            fields.append((name, _show_member(kind, value)))
    return fields


def _describe_escrow(listing: ListFile) -> str:
    if listing.key_hash == ZERO_HASH:
        return "the content is not encrypted"
    return "the node hands the key to buyers" if listing.sealed_key else "you hand the key to buyers"


def _show_member(kind: str, value: Any) -> str:
    if kind == "address":
        return wire.encode_address(value)
    if kind in ("bytes32", "bytes"):
        return wire.encode_bytes(value)
    if kind == "string[]":
        return ", ".join([show_text(text) for text in value])
    return show_text(value) if kind == "string" else str(value)


def find_asset(address: Address, assets: Sequence[Asset]) -> Asset | None:
    return next((asset for asset in assets if asset.address == address), None)


def show_amount(base_units: int, asset: Asset | None) -> str:
    """In the asset's units; in base units if its decimals are not known."""
    if asset is None:
        return f"{base_units} base units"
    if asset.decimals is None:
        return f"{base_units} base units of {asset.symbol}"
    return f"{format_amount(base_units, asset.decimals)} {asset.symbol}"


def show_ether(wei: int) -> str:
    return f"{format_amount(wei, 18)} ETH"


def show_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def show_time_ms(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{milliseconds % 1000:03} UTC"


def show_machine_time(milliseconds: int) -> str:
    """ISO 8601, in UTC."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"


def show_text(text: str) -> str:
    """What others wrote, with nothing in it that would steer a terminal or turn the direction of writing."""
    return "".join(
        [letter if letter.isprintable() or letter == _JOINER else "\N{REPLACEMENT CHARACTER}" for letter in text]
    )


def style_status(status: str) -> str:
    return _STATUS_STYLES.get(status, "")
