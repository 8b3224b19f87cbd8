"""A statement: all that an account paid and was paid in one asset, in an epoch or a span of time, with the balances."""

from collections.abc import Mapping
from typing import Final

import msgspec
from fastapi import Request, Response

from chain import wire
from chain.errors import MalformedRequest, NotFound
from chain.primitives import Address
from explorer.filters import decode_first_second, decode_last_second, encode_query
from explorer.listing import read_cursor
from explorer.pages.accounts import read_account
from explorer.pages.blocks import decode_number
from explorer.pages.payments import Links
from explorer.site import Site, get_path
from node.index import IndexedRecord, Page, Period, StatementEntry, StatementTotals, TimeSpan
from node.payment_status import PaymentStatus

ENTRIES_SHOWN: Final = 50
MOST_ENTRIES: Final = 500
"""On one page, which takes a fifth of a second then: for paper. Longer statements are for files."""

_NAMES: Final = ("asset", "epoch", "from", "to")


class StatementQuery(msgspec.Struct, frozen=True):
    """What a statement is of, as it stands in a URL."""

    asset: Address
    period: Period
    texts: dict[str, str]
    """By name; what was given, the asset filled in."""


class StatementLine(msgspec.Struct, frozen=True):
    entry: StatementEntry
    record: IndexedRecord
    status: PaymentStatus


class StatementView(msgspec.Struct, frozen=True):
    query: StatementQuery
    totals: StatementTotals
    lines: list[StatementLine]
    first_number: int
    """Of the first line, counted from 1 over the whole period."""
    links: Links
    whole: str
    """Where all entries stand on one page, to be printed; empty if they do here, or are too many."""
    csv: str
    json: str


async def show(site: Site, request: Request) -> Response:
    """`/address/{address}/statement?asset=&epoch=` or `&from=&to=`. Raises `NotFound` for what is no address."""
    account = await read_account(site, request.path_params["address"])
    default = account.holdings[0].asset if account.holdings else None
    status, problem, view = 200, "", None
    try:
        query = read_query(request.query_params, site, default)
        view = await _read(site, account.address, query, request)
    except MalformedRequest as refusal:
        status, problem = 400, str(refusal)
    except NotFound as refusal:
        status, problem = 404, str(refusal)
    fields = dict(request.query_params) if view is None else view.query.texts
    return await site.show(
        request, "statement.html", status=status, account=account, tab="statement", view=view,
        problem=problem, fields=fields, is_chosen=any(request.query_params.get(name) for name in _NAMES),
    )  # fmt: skip


def read_query(parameters: Mapping[str, str], site: Site, default_asset: Address | None) -> StatementQuery:
    """Without a period it is of all time. Raises `MalformedRequest`: an asset that is none, both kinds of period."""
    given = {name: parameters.get(name, "").strip() for name in _NAMES}
    texts = {name: text for name, text in given.items() if text}
    if "asset" in texts:
        asset = wire.decode_address(texts["asset"], "asset")
    else:
        asset = default_asset or next(iter(site.sources.info.assets), bytes(20))
    texts["asset"] = wire.encode_address(asset)
    if "epoch" in texts:
        if "from" in texts or "to" in texts:
            raise MalformedRequest("epoch, from, to: an epoch, or a span of time")
        epoch = decode_number(texts["epoch"])
        if epoch is None:
            raise MalformedRequest("epoch: a number")
        return StatementQuery(asset, epoch, texts)
    span = TimeSpan(
        decode_first_second(texts["from"], "from") if "from" in texts else None,
        decode_last_second(texts["to"], "to") if "to" in texts else None,
    )
    return StatementQuery(asset, span, texts)


async def _read(site: Site, account: Address, query: StatementQuery, request: Request) -> StatementView:
    index, commitments = site.sources.index, site.sources.commitments
    cursor = request.query_params.get("cursor", "").strip() or None
    limit = read_cursor({"limit": request.query_params.get("limit", "")}, ENTRIES_SHOWN, MOST_ENTRIES).limit
    asset, period, path = query.asset, query.period, get_path(request)

    def read() -> StatementView:
        totals = index.get_statement_totals(account, asset, period)
        if totals is None:
            raise NotFound(f"epoch {query.texts['epoch']}")
        page = index.list_entries(account, asset, period, cursor, limit)
        skipped = 0 if cursor is None else index.count_entries_before(account, asset, period, cursor)
        entry_count = totals.debit_count + totals.credit_count
        before = None if cursor is None else index.find_entries_before(account, asset, period, cursor, limit)
        lines = []
        for entry in page.items:
            record = index.get_record_at(entry.block, entry.record)
            assert record is not None
            lines.append(StatementLine(entry, record, commitments.compute_status(record.epoch)))
        shown = {**query.texts, **({"limit": str(limit)} if request.query_params.get("limit") else {})}
        exported = encode_query({"account": wire.encode_address(account), **query.texts})
        return StatementView(
            query=query,
            totals=totals,
            lines=lines,
            first_number=skipped + 1,
            whole=path + encode_query({**query.texts, "limit": str(MOST_ENTRIES)})
            if len(lines) < entry_count <= MOST_ENTRIES
            else "",
            links=_build_links(path, shown, page, cursor, before),
            csv=f"/export/statement.csv{exported}",
            json=f"/export/statement.json{exported}",
        )

    return await site.ask(read)


def _build_links(
    path: str, shown: dict[str, str], page: Page[StatementEntry], cursor: str | None, before: str | None
) -> Links:
    first = path + encode_query(shown)
    return Links(
        first="" if cursor is None else first,
        previous="" if cursor is None else path + encode_query({**shown, "cursor": before}),
        next="" if page.cursor is None else path + encode_query({**shown, "cursor": page.cursor}),
    )
