"""Lists and statements as files: `/export/payments.csv`, `/export/files.csv`, `/export/statement.csv`, and the same as
JSON.

A file shows one moment of the ledger: what comes while it is sent is not in it. It says at its top what it is of, which
ledger it is from, and how far that was on Ethereum; and at its end that it is whole. A file without that end was cut
off on its way.

CSV is RFC 4180 in UTF-8, with lines around the table that are one cell each, which begins with `# `: the facts above
it, `# end of N rows` below. A text may have ends of lines in it, and a memo may say `# end of 3 rows`: what counts is
the last row as a reader of CSV takes it, outside quotes.

Amounts are exact decimals without grouping, beside their base units; where a token does not say its decimals, the
decimals are left out and the base units stand alone. Times are ISO 8601 in UTC. A spreadsheet takes a cell that begins
with `=`, `+`, `-` or `@` for a formula, and what others wrote (a memo, a token's symbol, a name) may begin so: such a
text, and one that begins with an apostrophe, a tab or the end of a line, has one apostrophe more before it. JSON has
texts as they are.

A file of payments has one row for each output, so that amounts add up. If the filter names an account, of a payment to
many the outputs to others are left out, and `direction` says what the row is for the account: `out`, `in`, `self` (it
paid itself: no change), or `l1` (received on Ethereum, by another's withdrawal: no change of the balance here).

A file of the catalogue has one row for each file of the data exchange that was listed by then, with price, sales and
state as they are when the row is written. Tags are a list in JSON, and the text of that list in CSV; `owner_share` is
what the owner gets of a sale.
"""

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Request, Response

from chain import wire
from chain.errors import NotFound
from chain.kinds import WITHDRAW
from chain.payment import Output
from chain.primitives import ZERO_HASH, Address
from explorer import files, filters
from explorer.api.http import read_pairs, read_parameters
from explorer.download import Download, Gate
from explorer.files import FileLine, FileQuery, describe_line, read_file_query
from explorer.filters import read_filter
from explorer.formatting import Token, format_amount, format_machine_time
from explorer.pages.statements import StatementQuery, read_query
from explorer.site import Site, Tokens
from node.index import (
    IndexedDeposit,
    IndexedFile,
    IndexedInstruction,
    IndexedPayment,
    Page,
    PaymentFilter,
    StatementEntry,
    StatementTotals,
    encode_cursor,
    move_cursor,
)
from node.payment_status import Commitments
from node.refusals import Overloaded

MAX_EXPORTS: Final = 4
"""At once."""

SLICE: Final = 100
"""Payments or entries read at a stretch: some 5 ms. Payments that are being made come first."""

PAYMENT_COLUMNS: Final = (
    "time", "status", "kind", "direction", "payer", "payee", "amount", "asset", "asset_address", "base_units",
    "reference", "memo", "block", "epoch", "payment_id", "nonce",
)  # fmt: skip
STATEMENT_COLUMNS: Final = (
    "time", "status", "kind", "counterparty", "paid_in", "paid_out", "balance", "asset", "asset_address",
    "paid_in_base_units", "paid_out_base_units", "balance_base_units", "reference", "memo", "block", "epoch", "id",
    "number",
)  # fmt: skip

FILE_COLUMNS: Final = (
    "listed", "status", "name", "media_type", "tags", "description", "size", "price", "owner_share", "asset",
    "asset_address", "price_base_units", "owner_share_base_units", "validator", "owner", "service_node", "storage_days",
    "kept_until", "sale_count", "sold", "sold_base_units", "content_hash", "key_hash", "is_key_in_escrow", "block",
    "epoch", "file", "listing",
)  # fmt: skip

_WRITTEN_BY_OTHERS: Final = ("asset", "memo", "name", "media_type", "tags", "description")
"""Columns whose texts a spreadsheet must not take for formulas."""

_PATIENCE: Final = 100
_PAUSE_SECONDS: Final = 0.1
"""A file that has begun waits so often, and so long each time, while too many read pages."""

_FORMULA_SIGNS: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n", "'")

Row: TypeAlias = tuple[str | int | tuple[str, ...] | None, ...]

_Answer = TypeVar("_Answer")


class ExportBroken(RuntimeError):
    """The index gives other rows than it counted. What was sent of the file is not whole."""


class Moment(msgspec.Struct, frozen=True):
    """What a file is of; fixed when it begins."""

    start: str
    """The cursor of payments just above the newest."""
    commitments: Commitments
    facts: dict[str, Any]
    """Of the ledger, for the top of the file."""


class Form(Protocol):
    """Of a file. `parts` of the rows are joined as they are."""

    media_type: str

    def begin(self, facts: dict[str, Any], columns: Sequence[str]) -> bytes: ...

    def encode(self, rows: Sequence[Row], columns: Sequence[str], *, is_first: bool) -> bytes: ...

    def end(self, row_count: int) -> bytes: ...


def make_router(site: Site) -> APIRouter:
    """The paths of this module; they answer refusals as pages do."""
    router, gate = APIRouter(), Gate(MAX_EXPORTS)
    for ending, form in (("csv", CsvForm()), ("json", JsonForm())):
        router.add_route(f"/export/payments.{ending}", partial(_export_payments, site, gate, form), methods=["GET"])
        router.add_route(f"/export/files.{ending}", partial(_export_files, site, gate, form), methods=["GET"])
        router.add_route(f"/export/statement.{ending}", partial(_export_statement, site, gate, form), methods=["GET"])
    return router


async def _export_payments(site: Site, gate: Gate, form: Form, request: Request) -> Response:
    """The filter is that of the page. Raises `MalformedRequest`, `UnknownKind`."""
    parameters = read_parameters(request, filters.NAMES)
    read_filter(parameters, site.sources.commitments)
    return _give(site, gate, form, "payments", lambda: _begin_payments(site, form, parameters))


async def _export_files(site: Site, gate: Gate, form: Form, request: Request) -> Response:
    """The filter is that of the page. Raises `MalformedRequest`."""
    query = read_file_query(read_pairs(request, files.NAMES, files.REPEATED))
    return _give(site, gate, form, "files", lambda: _begin_files(site, form, query))


async def _export_statement(site: Site, gate: Gate, form: Form, request: Request) -> Response:
    """`?account=&asset=&epoch=` or `&from=&to=`; of all time without either. Raises `MalformedRequest`; `NotFound` for
    an epoch that has not begun."""
    parameters = read_parameters(request, ("account", "asset", "epoch", "from", "to"))
    account = wire.decode_address(parameters.get("account", ""), "account")
    query = read_query(parameters, site, None)
    return _give(site, gate, form, "statement", lambda: _begin_statement(site, form, account, query))


def _give(
    site: Site, gate: Gate, form: Form, what: str, begin: Callable[[], Awaitable[AsyncGenerator[bytes, None]]]
) -> Download:
    made_at = datetime.fromtimestamp(site.sources.clock_ms() // 1000, UTC)
    ending = form.media_type.partition(";")[0].rpartition("/")[2]
    name = f"tallystick-{what}-{made_at:%Y%m%dT%H%M%SZ}.{ending}"
    return Download(begin, gate, name, form.media_type, stopping=site.stopping)


# --- payments


async def _begin_payments(site: Site, form: Form, parameters: dict[str, str]) -> AsyncGenerator[bytes, None]:
    moment, _ = await _fix_moment(site, lambda: None)
    chosen = read_filter(parameters, moment.commitments)
    count = await _count_payments(site, chosen.wanted, moment.start)
    facts = {
        "content": "payments of a Tallystick ledger; newest first; one row for each output",
        **moment.facts,
        "filter": chosen.texts,
        "payment_count": count,
    }
    return _stream_payments(site, form, chosen.wanted, moment, facts)


async def _count_payments(site: Site, wanted: PaymentFilter, start: str) -> int:
    index, total = site.sources.index, 0
    cursor: str | None = start
    while cursor is not None:
        count, cursor = await _ask(site, partial(index.count_payments, wanted, cursor))
        total += count
        await asyncio.sleep(0)
    return total


async def _stream_payments(
    site: Site, form: Form, wanted: PaymentFilter, moment: Moment, facts: dict[str, Any]
) -> AsyncGenerator[bytes, None]:
    index, tokens = site.sources.index, site.tokens
    yield form.begin(facts, PAYMENT_COLUMNS)
    payment_count = row_count = 0

    def read(cursor: str, is_first: bool) -> tuple[int, int, bytes, str | None]:
        page = index.list_payments(wanted, cursor, SLICE)
        rows = [row for payment in page.items for row in list_rows(payment, wanted.account, moment.commitments, tokens)]
        encoded = form.encode(rows, PAYMENT_COLUMNS, is_first=is_first) if rows else b""
        return len(page.items), len(rows), encoded, page.cursor

    cursor: str | None = moment.start
    while cursor is not None:
        payments, rows, part, cursor = await _ask(site, partial(read, cursor, row_count == 0))
        payment_count += payments
        row_count += rows
        if part:
            yield part
        await asyncio.sleep(0)
    if payment_count != facts["payment_count"]:
        raise ExportBroken(f"{payment_count} payments where {facts['payment_count']} were counted")
    yield form.end(row_count)


def list_rows(
    payment: IndexedPayment, account: Address | None, commitments: Commitments, tokens: Tokens
) -> Iterable[Row]:
    token = tokens[payment.asset]
    for output in payment.outputs:
        direction = "" if account is None else _find_direction(payment, output, account)
        if direction is None:
            continue
        yield (
            _format_time(payment.timestamp),
            commitments.compute_status(payment.epoch),
            payment.kind,
            direction,
            wire.encode_address(payment.payer),
            wire.encode_address(output.to),
            _format_decimal(output.amount, token),
            token.symbol,
            wire.encode_address(payment.asset),
            str(output.amount),
            "" if payment.reference == ZERO_HASH else wire.encode_bytes(payment.reference),
            payment.memo,
            payment.block,
            payment.epoch,
            wire.encode_bytes(payment.id),
            str(payment.nonce),
        )


def _find_direction(payment: IndexedPayment, output: Output, account: Address) -> str | None:
    """What an output is for an account; None if it is nothing."""
    if payment.payer == account:
        return "self" if output.to == account and payment.kind != WITHDRAW else "out"
    if output.to != account:
        return None
    return "l1" if payment.kind == WITHDRAW else "in"


# --- files


async def _begin_files(site: Site, form: Form, query: FileQuery) -> AsyncGenerator[bytes, None]:
    moment, first = await _fix_moment(site, lambda: site.sources.index.list_files(query.wanted, None, SLICE))
    facts = {
        "content": "files of the data exchange on a Tallystick ledger; newest first; one row for each file",
        **moment.facts,
        "filter": query.pairs,
    }
    return _stream_files(site, form, query, first, moment, facts)


async def _stream_files(
    site: Site, form: Form, query: FileQuery, page: Page[IndexedFile], moment: Moment, facts: dict[str, Any]
) -> AsyncGenerator[bytes, None]:
    """Newest first, so that none listed meanwhile is in it."""
    sources, tokens = site.sources, site.tokens
    yield form.begin(facts, FILE_COLUMNS)
    row_count = 0
    while True:
        now = sources.clock_ms()
        rows = [_build_file_row(describe_line(file, sources.market, now), tokens) for file in page.items]
        if rows:
            yield form.encode(rows, FILE_COLUMNS, is_first=row_count == 0)
        row_count += len(rows)
        if page.cursor is None:
            break
        await asyncio.sleep(0)
        page = await _ask(site, partial(sources.index.list_files, query.wanted, page.cursor, SLICE))
    yield form.end(row_count)


def _build_file_row(line: FileLine, tokens: Tokens) -> Row:
    file, token = line.file, tokens[line.file.asset]
    share = 0 if line.owner_share is None else line.owner_share.amount
    return (
        _format_time(file.timestamp),
        line.status,
        file.name,
        file.media_type,
        file.tags,
        file.description,
        file.size,
        _format_decimal(file.price, token),
        _format_decimal(share, token),
        token.symbol,
        wire.encode_address(file.asset),
        str(file.price),
        str(share),
        wire.encode_address(file.validator),
        wire.encode_address(file.owner),
        "" if file.service_node is None else wire.encode_address(file.service_node),
        file.storage_days,
        format_machine_time(file.keep_until * 1000),
        file.sale_count,
        _format_decimal(file.sold, token),
        str(file.sold),
        wire.encode_bytes(file.content_hash),
        wire.encode_bytes(file.key_hash) if line.is_encrypted else "",
        "yes" if file.has_sealed_key else "no",
        file.block,
        file.epoch,
        wire.encode_bytes(file.id),
        wire.encode_bytes(file.listing),
    )


# --- statements


async def _begin_statement(
    site: Site, form: Form, account: Address, query: StatementQuery
) -> AsyncGenerator[bytes, None]:
    index, token = site.sources.index, site.tokens[query.asset]
    moment, totals = await _fix_moment(site, partial(index.get_statement_totals, account, query.asset, query.period))
    if totals is None:
        raise NotFound(f"epoch {query.period}")
    facts = {
        "content": "statement of an account on a Tallystick ledger; in ledger order; one row for each entry",
        **moment.facts,
        "account": wire.encode_address(account),
        "asset": token.symbol,
        "asset_address": wire.encode_address(query.asset),
        "period": {name: text for name, text in query.texts.items() if name != "asset"},
        **_describe_totals(totals, token),
        "row_count": totals.debit_count + totals.credit_count,
    }
    return _stream_statement(site, form, account, query, moment, facts)


async def _stream_statement(
    site: Site, form: Form, account: Address, query: StatementQuery, moment: Moment, facts: dict[str, Any]
) -> AsyncGenerator[bytes, None]:
    """Entries come in ledger order, so those of the moment when it began are the first ones."""
    index, token = site.sources.index, site.tokens[query.asset]
    yield form.begin(facts, STATEMENT_COLUMNS)
    wanted_count, row_count = facts["row_count"], 0

    def read(cursor: str | None, limit: int, is_first: bool) -> tuple[int, bytes, str | None]:
        page = index.list_entries(account, query.asset, query.period, cursor, limit)
        rows = [_build_entry_row(site, entry, moment.commitments, token) for entry in page.items]
        return len(rows), form.encode(rows, STATEMENT_COLUMNS, is_first=is_first), page.cursor

    cursor: str | None = None
    while row_count < wanted_count:
        limit = min(SLICE, wanted_count - row_count)
        count, part, cursor = await _ask(site, partial(read, cursor, limit, row_count == 0))
        row_count += count
        if count == 0 or (cursor is None and row_count < wanted_count):
            raise ExportBroken(f"{row_count} entries where {wanted_count} were counted")
        yield part
        await asyncio.sleep(0)
    yield form.end(row_count)


def _build_entry_row(site: Site, entry: StatementEntry, commitments: Commitments, token: Token) -> Row:
    record = site.sources.index.get_record_at(entry.block, entry.record)
    if record is None or isinstance(record, IndexedInstruction):
        raise ExportBroken(f"record {entry.record} of block {entry.block} is not in the index, or no payment")
    reference, memo, others = ZERO_HASH, "", []
    kind = "deposit"
    if not isinstance(record, IndexedDeposit):
        kind, reference, memo = record.kind, record.reference, record.memo
        others = [record.payer] if entry.is_credit else list(dict.fromkeys([output.to for output in record.outputs]))
    amounts = (entry.amount if entry.is_credit else None, None if entry.is_credit else entry.amount, entry.balance)
    return (
        _format_time(record.timestamp),
        commitments.compute_status(record.epoch),
        kind,
        " ".join([wire.encode_address(other) for other in others]),
        *[None if amount is None else _format_decimal(amount, token) for amount in amounts],
        token.symbol,
        wire.encode_address(token.address),
        *[None if amount is None else str(amount) for amount in amounts],
        "" if reference == ZERO_HASH else wire.encode_bytes(reference),
        memo,
        entry.block,
        record.epoch,
        wire.encode_bytes(entry.id),
        str(entry.number),
    )


def _describe_totals(totals: StatementTotals, token: Token) -> dict[str, str]:
    amounts = {
        "opening": totals.opening,
        "paid_in": totals.credits,
        "paid_out": totals.debits,
        "closing": totals.closing,
    }
    return {
        **({name: _format_decimal(amount, token) for name, amount in amounts.items()} if token.is_known else {}),
        **{f"{name}_base_units": str(amount) for name, amount in amounts.items()},
    }


# --- both


async def _fix_moment(site: Site, question: Callable[[], _Answer]) -> tuple[Moment, _Answer]:
    """All that is durable now is in the file, unless the index is far behind. Also what `question` finds in the index
    at that moment."""
    sources = site.sources
    await sources.settle()
    commitments, index = sources.commitments, sources.index
    mined = sources.get_epoch(commitments.mined_epoch) if commitments.mined_epoch else None

    def read() -> tuple[Any, ...]:
        newest = index.list_payments(limit=1).items
        start = move_cursor(encode_cursor(newest[0]), 1) if newest else "0" * 16
        return start, index.get_counters(), index.get_seal(commitments.mined_epoch), question()

    start, counters, seal, answer = await _ask(site, read)
    facts: dict[str, Any] = {
        "ledger_chain_id": site.ledger.chain_id,
        "contract": site.ledger.settlement,
        "l1_chain_id": site.ledger.l1_chain_id,
        "made_at": format_machine_time(sources.clock_ms()),
        "last_block": counters.block,
        "last_block_time": format_machine_time(counters.timestamp) if counters.block else "",
        "final_epoch": commitments.final_epoch,
        "committed_epoch": commitments.mined_epoch,
    }
    if mined is not None and mined.inclusion is not None and seal is not None:
        facts |= {
            "commitment_digest": wire.encode_bytes(mined.digest),
            "commitment_blocks_root": wire.encode_bytes(seal.commitment.blocks_root),
            "commitment_state_roots": {
                wire.encode_address(line.asset): wire.encode_bytes(line.state_root) for line in seal.commitment.assets
            },
            "commitment_l1_transaction": wire.encode_bytes(mined.inclusion.l1_transaction),
        }
    return Moment(start, commitments, facts), answer


async def _ask(site: Site, question: Callable[[], _Answer]) -> _Answer:
    """In its turn, when too many read pages: what has begun is not broken off for that. Raises `Overloaded` if it goes
    on for too long."""
    for _ in range(_PATIENCE):
        try:
            return await site.ask(question)
        except Overloaded:
            await asyncio.sleep(_PAUSE_SECONDS)
    return await site.ask(question)


def _format_decimal(base_units: int, token: Token) -> str:
    """Exact, without grouping; empty if the token does not say its decimals."""
    return format_amount(base_units, token).replace(",", "") if token.is_known else ""


@lru_cache(maxsize=1024)
def _format_time(time_ms: int) -> str:
    """Of a block; its records are next to each other."""
    return format_machine_time(time_ms)


# --- forms


class CsvForm:
    media_type = "text/csv; charset=utf-8"

    def begin(self, facts: dict[str, Any], columns: Sequence[str]) -> bytes:
        lines = [(f"# {name}: {self._describe(value)}",) for name, value in facts.items()]
        return _write_rows([*lines, columns])

    def encode(self, rows: Sequence[Row], columns: Sequence[str], *, is_first: bool) -> bytes:
        guarded = [columns.index(name) for name in _WRITTEN_BY_OTHERS if name in columns]
        lines = [[_write_list(cell) if isinstance(cell, tuple) else cell for cell in row] for row in rows]
        for cells in lines:
            for place in guarded:
                cells[place] = guard(str(cells[place]))
        return _write_rows(lines)

    def end(self, row_count: int) -> bytes:
        return f"# end of {row_count} rows\r\n".encode()

    def _describe(self, value: Any) -> str:
        return (urlencode(value) or "none") if isinstance(value, dict | tuple) else str(value)


def _write_list(texts: tuple[str, ...]) -> str:
    return msgspec.json.encode(texts).decode()


def _write_rows(rows: Iterable[Sequence[str | int | None]]) -> bytes:
    """What has a separator, a quote or the end of a line in it stays one cell: it is quoted."""
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\r\n").writerows(rows)
    return table.getvalue().encode()


class JsonForm:
    media_type = "application/json"

    def begin(self, facts: dict[str, Any], columns: Sequence[str]) -> bytes:
        return b'{"header":' + msgspec.json.encode(facts) + b',\n"rows":[\n'

    def encode(self, rows: Sequence[Row], columns: Sequence[str], *, is_first: bool) -> bytes:
        encoded = [msgspec.json.encode(dict(zip(columns, row, strict=True))) for row in rows]
        return (b"" if is_first else b",\n") + b",\n".join(encoded)

    def end(self, row_count: int) -> bytes:
        return b'\n],"row_count":%d,"complete":true}\n' % row_count


def guard(text: str) -> str:
    """A text that no spreadsheet takes for a formula. Without its first apostrophe, what it was made of."""
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text
