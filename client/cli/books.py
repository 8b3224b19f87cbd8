"""What is on the books of an account: `history statement`."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from chain import wire
from chain.block import PAYMENT
from chain.kinds import KIND_CODES
from chain.primitives import ZERO_HASH, Address
from chain.statement import Credit, Debit
from client.cli import options, output
from client.cli.exits import BadUsage
from client.cli.spreadsheets import guard, open_sheet, show_decimal
from client.movements import Direction, Movement, read_movements
from client.node import Node
from client.protocol import Asset, NodeInfo, StatementPage
from client.statements import check_commitment, check_sums

_SHOWN: Final = 50
"""Payments of a history, unless more are asked for."""

_PAGE: Final = 500

_HISTORY_COLUMNS: Final = (
    "time", "status", "kind", "direction", "payer", "payee", "amount", "asset", "asset_address", "base_units",
    "reference", "memo", "block", "record", "payment_id", "nonce",
)  # fmt: skip
_STATEMENT_COLUMNS: Final = (
    "kind", "paid_in", "paid_out", "balance", "asset", "asset_address", "paid_in_base_units", "paid_out_base_units",
    "balance_base_units", "block", "record", "id",
)  # fmt: skip

CsvFile = Annotated[
    str | None,
    typer.Option("--csv", metavar="FILE", help="Write a CSV file for spreadsheets; `-` for standard output."),
]


def register(app: typer.Typer) -> None:
    for command in (history, statement):
        app.command()(command)


def history(
    who: Annotated[str | None, typer.Argument(help=r"An address or a key's name. \[your key]")] = None,
    asset_name: Annotated[
        str | None, typer.Option("--asset", envvar="TALLY_ASSET", help=r"Symbol, address, or `ether`. \[all]")
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", help=f"One of: {' '.join(KIND_CODES)}.")] = None,
    direction: Annotated[str | None, typer.Option("--direction", help="Only what was paid `in`, or `out`.")] = None,
    counterparty: Annotated[
        str | None, typer.Option("--counterparty", help="Only from and to this address, or key's name.")
    ] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="Only what names these 32 bytes.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="`accepted`, `committed` or `final`.")] = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="Not before: a day, a time in UTC, or Unix seconds.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Not after; a day is meant to its end.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help=f"So many payments at most. [{_SHOWN}; with --csv all]")
    ] = None,
    has_all: Annotated[bool, typer.Option("--all", help="All that fit, shown as they come.")] = False,
    csv_file: CsvFile = None,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    is_json: options.Json = False,
) -> None:
    """Show what an account was paid and paid, newest first.

    Each payment's signature is checked, so nothing can be made up; that nothing is left out is what `tally statement`
    checks, which has the deposits, too.
    """
    _check_forms(csv_file, is_json)
    if has_all and limit is not None:
        raise BadUsage("either --all or --limit")
    if direction not in (None, "in", "out"):
        raise BadUsage("--direction in, or --direction out")
    chosen: dict[str, Any] = {
        "direction": direction,
        "counterparty": None if counterparty is None else options.parse_recipient(counterparty, keys_dir),
        "kind": kind,
        "reference": None if reference is None else options.parse_hash(reference, "--reference"),
        "status": status,
        "from_s": options.parse_moment(begin, "--from"),
        "to_s": options.parse_moment(end, "--to", is_end=True),
    }
    account = options.find_address(who, key, private_key, keys_dir)
    most = None if has_all or (csv_file is not None and limit is None) else limit or _SHOWN
    with Node(node_url) as node:
        info = node.get_info()
        if asset_name is not None:
            chosen["asset"] = options.choose_asset(asset_name, info.assets).address
        listing = _Listing(node, info, account, chosen, most)
        if csv_file is not None:
            _write_history(csv_file, listing, limit)
        elif is_json:
            _print_history_json(listing)
        else:
            _show_history(listing)


class _Listing:
    """The payments of a query, fetched page by page as they are shown."""

    def __init__(self, node: Node, info: NodeInfo, account: Address, chosen: dict[str, Any], most: int | None) -> None:
        self._node = node
        self._chosen = {name: value for name, value in chosen.items() if value is not None}
        self._most = most
        self.info = info
        self.account = account
        self.has_more = False
        """Whether there is more than was asked for, once all that is asked for has been read."""

    @property
    def filter(self) -> str:
        """As it is said to the reader."""
        said = {name.removesuffix("_s"): _say(value) for name, value in self._chosen.items()}
        return " ".join([f"{name}={value}" for name, value in said.items()]) or "none"

    def read(self) -> Iterator[Movement]:
        remaining, cursor = self._most, None
        while True:
            size = _PAGE if remaining is None else min(_PAGE, remaining)
            page = self._node.list_payments(account=self.account, **self._chosen, cursor=cursor, limit=size)
            for item in page.items:
                yield from [movement for movement in self._read(item) if self._is_wanted(movement)]
            cursor = page.cursor
            remaining = None if remaining is None else remaining - len(page.items)
            if cursor is None or remaining == 0:
                self.has_more = cursor is not None
                return

    def _read(self, item: Any) -> Iterator[Movement]:
        return read_movements(item, self.account, self.info.domain)

    def _is_wanted(self, movement: Movement) -> bool:
        """Of a payment with many outputs, some may be to others than was asked about."""
        other, direction = self._chosen.get("counterparty"), self._chosen.get("direction")
        if other is not None and movement.counterparty != other:
            return False
        if direction == "in":
            return movement.direction != Direction.OUT
        return direction != "out" or movement.direction in (Direction.OUT, Direction.SELF)


def statement(
    who: Annotated[str | None, typer.Argument(help=r"An address or a key's name. \[your key]")] = None,
    asset_name: options.AssetName = None,
    epoch: Annotated[str | None, typer.Option("--epoch", help=r"Its number. \[the open one]")] = None,
    csv_file: CsvFile = None,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    is_json: options.Json = False,
) -> None:
    """Show every debit and credit of an account in one epoch, with the balance after each.

    The balances are checked from the opening to the closing one, and once the epoch is sealed also that the operator
    committed to exactly these entries.
    """
    _check_forms(csv_file, is_json)
    address = options.find_address(who, key, private_key, keys_dir)
    with Node(node_url) as node:
        info = node.get_info()
        asset = options.choose_asset(asset_name, info.assets)
        number = info.epoch if epoch is None else options.parse_epoch(epoch, "--epoch")
        pages = list(node.iterate_statement(address, asset.address, number))
        check_sums(pages)
        if pages[0].debits is not None:
            _, ledger = options.contact(node, l1_url, settlement)
            check_commitment(pages, node.get_account_proof(address, asset.address, number), address, ledger)
    if csv_file is not None:
        _write_statement(csv_file, address, asset, info, pages)
    elif is_json:
        output.print_json(_join_pages(pages))
    else:
        _show_statement(address, asset, pages)


def _say(value: bytes | str | int) -> str:
    if isinstance(value, bytes):
        return wire.encode_address(value) if len(value) == 20 else wire.encode_bytes(value)
    return str(value)


# --- histories

_SIGNS: Final = {Direction.OUT: "-", Direction.IN: "+", Direction.SELF: "", Direction.L1: ""}


def _show_history(listing: _Listing) -> None:
    """Line by line, so that the first are there before the last are known."""
    output.print_line(wire.encode_address(listing.account), "bold")
    count = 0
    for movement in listing.read():
        if not count:
            names = f"{'time':<23} {'':<4} {'kind':<8} {'amount':>26}  {'from or to':<42}  {'status':<9}  id, memo"
            output.print_line(names, "bold")
        count += 1
        asset = output.find_asset(movement.asset, listing.info.assets)
        amount = _SIGNS[movement.direction] + output.show_amount(movement.amount, asset)
        memo = f"  {output.show_text(movement.memo)}" if movement.memo else ""
        moment, other = output.show_time(movement.timestamp // 1000), wire.encode_address(movement.counterparty)
        what = f"{moment} {movement.direction:<4} {movement.kind:<8} {amount:>26}  {other}"
        output.print_line(f"{what}  {movement.status:<9}  {wire.encode_bytes(movement.id)}{memo}")
    if not count:
        output.note("no payments")
    if listing.has_more:
        output.note("there are more: --limit N, or --all")


def _print_history_json(listing: _Listing) -> None:
    """One object, written as it comes."""
    write = sys.stdout.write
    write('{"address": ' + json.dumps(wire.encode_address(listing.account)) + ', "items": [')
    for number, movement in enumerate(listing.read()):
        write((",\n" if number else "\n") + json.dumps(_describe(movement, listing.info)))
    write(f'\n], "hasMore": {json.dumps(listing.has_more)}}}\n')


def _describe(movement: Movement, info: NodeInfo) -> dict[str, Any]:
    asset = output.find_asset(movement.asset, info.assets)
    return {
        "id": wire.encode_bytes(movement.id),
        "status": movement.status,
        "direction": movement.direction,
        "kind": movement.kind,
        "payer": wire.encode_address(movement.payer),
        "payee": wire.encode_address(movement.payee),
        "asset": wire.encode_address(movement.asset),
        "symbol": None if asset is None else asset.symbol,
        "amount": hex(movement.amount),
        "decimal": show_decimal(movement.amount, asset) or None,
        "reference": wire.encode_bytes(movement.reference),
        "memo": movement.memo,
        "nonce": hex(movement.nonce),
        "block": hex(movement.block),
        "record": hex(movement.record),
        "timestamp": hex(movement.timestamp),
    }


def _write_history(path: str, listing: _Listing, limit: int | None) -> None:
    facts = _describe_ledger(listing.account, listing.info) | {"filter": listing.filter}
    facts |= {} if limit is None else {"limit": f"the newest {limit} payments"}
    with open_sheet(path, facts, _HISTORY_COLUMNS) as sheet:
        for movement in listing.read():
            asset = output.find_asset(movement.asset, listing.info.assets)
            sheet.write(
                output.show_machine_time(movement.timestamp),
                movement.status,
                movement.kind,
                movement.direction,
                wire.encode_address(movement.payer),
                wire.encode_address(movement.payee),
                show_decimal(movement.amount, asset),
                "" if asset is None else guard(asset.symbol),
                wire.encode_address(movement.asset),
                str(movement.amount),
                "" if movement.reference == ZERO_HASH else wire.encode_bytes(movement.reference),
                guard(movement.memo),
                movement.block,
                movement.record,
                wire.encode_bytes(movement.id),
                str(movement.nonce),
            )
    _note_sheet(path, sheet.count)
    if listing.has_more:
        output.note("there are more: leave out --limit")


# --- statements


def _join_pages(pages: list[StatementPage]) -> dict[str, Any]:
    """One statement: the lists of all pages, everything else as the first page has it."""
    joined = dict(pages[0].form)
    for page in pages[1:]:
        for name in ("debits", "credits"):
            joined[name] = [*joined[name], *page.form[name]]
    joined["cursor"] = None
    return joined


def _show_statement(address: Address, asset: Asset, pages: list[StatementPage]) -> None:
    first = pages[0]
    output.print_line(f"{wire.encode_address(address)} in {asset.symbol}, epoch {first.epoch}", "bold")
    rows = [["opening", "", "", "", output.show_amount(first.opening, asset)]]
    for line in [line for page in pages for line in page.entries]:
        entry = line.entry
        sign = "+" if isinstance(entry, Credit) else "-"
        rows.append(
            [
                _name_entry(entry),
                f"{line.block}/{line.record}",
                wire.encode_bytes(entry.id),
                sign + output.show_amount(entry.amount, asset),
                output.show_amount(line.balance, asset),
            ]
        )
    rows.append(["closing", "", "", "", output.show_amount(first.closing, asset)])
    output.print_table(["entry", "block/record", "id", "amount", "balance"], rows, right=["amount", "balance"])
    if first.debits is None:
        output.note("no commitment holds these entries: the epoch is still open, or nothing happened in it")
    else:
        output.note("these are the entries that the operator has signed a commitment to")


def _write_statement(path: str, address: Address, asset: Asset, info: NodeInfo, pages: list[StatementPage]) -> None:
    first = pages[0]
    facts = _describe_ledger(address, info) | {
        "asset": f"{guard(asset.symbol)} {wire.encode_address(asset.address)}",
        "epoch": first.epoch,
        "opening": f"{show_decimal(first.opening, asset)} ({first.opening} base units)".strip(),
        "closing": f"{show_decimal(first.closing, asset)} ({first.closing} base units)".strip(),
        "committed": "by the operator's signature" if first.debits is not None else "not yet",
    }
    with open_sheet(path, facts, _STATEMENT_COLUMNS) as sheet:
        for line in [line for page in pages for line in page.entries]:
            entry = line.entry
            is_credit = isinstance(entry, Credit)
            amounts = (entry.amount if is_credit else None, None if is_credit else entry.amount, line.balance)
            sheet.write(
                _name_entry(entry),
                *["" if amount is None else show_decimal(amount, asset) for amount in amounts],
                guard(asset.symbol),
                wire.encode_address(asset.address),
                *["" if amount is None else str(amount) for amount in amounts],
                line.block,
                line.record,
                wire.encode_bytes(entry.id),
            )
    _note_sheet(path, sheet.count)


def _name_entry(entry: Debit | Credit) -> str:
    if entry.type != PAYMENT:
        return "deposit"
    return "credit" if isinstance(entry, Credit) else "debit"


# --- both


def _check_forms(csv_file: str | None, is_json: bool) -> None:
    if csv_file is not None and is_json:
        raise BadUsage("either --csv or --json")


def _describe_ledger(address: Address, info: NodeInfo) -> dict[str, Any]:
    """For the top of a file."""
    return {
        "account": wire.encode_address(address),
        "ledger_chain_id": info.domain.chain_id,
        "contract": wire.encode_address(info.domain.verifying_contract),
        "made_at": output.show_machine_time(int(time.time() * 1000)),
    }


def _note_sheet(path: str, count: int) -> None:
    if path != "-":
        output.note(f"{path}: {count} rows")
