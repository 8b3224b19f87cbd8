"""Lists of payments: the page of all of them, and the lines that other pages show."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from chain import wire
from chain.errors import MalformedRequest, NotFound, UnknownKind
from chain.kinds import KIND_CODES
from chain.primitives import Address
from explorer.filters import Filter, encode_query, read_filter
from explorer.listing import Cursor, Slice, read_cursor, read_slice
from explorer.sentences import list_changes
from explorer.site import Site, get_path
from node.index import IndexedPayment, PaymentFilter, encode_cursor
from node.payment_status import Commitments, PaymentStatus


class PaymentLine(msgspec.Struct, frozen=True):
    payment: IndexedPayment
    status: PaymentStatus
    change: int | None = None
    """Base units that the account of the page gained or lost; None on pages of no account."""


class Links(msgspec.Struct, frozen=True):
    """Around a slice; empty for what is not there."""

    first: str
    previous: str
    next: str


class PaymentList(msgspec.Struct, frozen=True):
    """A filtered list, as its page shows it."""

    filter: Filter
    shown: dict[str, str]
    """What was asked, by name; without the account of a page that is of one."""
    lines: list[PaymentLine]
    links: Links
    csv: str
    json: str
    """Where the whole list is to be had as a file."""
    is_cut_short: bool
    """Whether the search went on for so long that the page ends early, and goes on on the next."""


async def show(site: Site, request: Request) -> Response:
    """The page of all payments. What is wrong with the filter is said above it, with nothing listed."""
    try:
        listed = await read_list(site, get_path(request), request.query_params)
    except (MalformedRequest, UnknownKind) as refusal:
        return await site.show(
            request, "payments.html", status=400, problem=str(refusal), listed=None, fields=request.query_params,
            kinds=list(KIND_CODES),
        )  # fmt: skip
    return await site.show(request, "payments.html", listed=listed, problem="", fields=listed.shown, kinds=list(KIND_CODES))


async def show_token(site: Site, request: Request) -> Response:
    """`/token/{address}`, which wallets and other explorers build: the payments in that asset. Raises `NotFound` for
    what is not listed."""
    text = request.path_params["asset"]
    try:
        asset = wire.decode_address(text, "asset")
    except MalformedRequest:
        raise NotFound(f"{text[:80]}, which is not an address of 40 hexadecimal digits,") from None
    if asset not in site.sources.info.assets:
        raise NotFound(f"asset {wire.encode_address(asset)}")
    return RedirectResponse(f"/payments?asset={wire.encode_address(asset)}", 303)


async def read_list(site: Site, path: str, parameters: Any, account: str | None = None) -> PaymentList:
    """`account`: the address that the page is of. Raises `MalformedRequest`, `UnknownKind`, `Overloaded`."""
    commitments = site.sources.commitments
    fixed = {} if account is None else {"account": account}
    chosen = read_filter(parameters, commitments, **fixed)
    cursor = read_cursor(parameters)
    listed = await read_payments(site, chosen.wanted, cursor)
    shown = {name: text for name, text in chosen.texts.items() if name not in fixed}
    limited = {**shown, "limit": str(cursor.limit)} if parameters.get("limit", "") else shown
    return PaymentList(
        filter=chosen,
        shown=shown,
        lines=list_payment_lines(listed.rows, commitments, None if account is None else chosen.wanted.account),
        links=build_links(path, limited, listed),
        csv=f"/export/payments.csv{chosen.encode()}",
        json=f"/export/payments.json{chosen.encode()}",
        is_cut_short=listed.older is not None and len(listed.rows) < cursor.limit,
    )


async def read_payments(site: Site, wanted: PaymentFilter, cursor: Cursor) -> Slice[IndexedPayment]:
    index = site.sources.index
    return await site.ask(lambda: read_slice(partial(index.list_payments, wanted), encode_cursor, cursor))


def build_links(path: str, shown: dict[str, str], listed: Slice[Any]) -> Links:
    return Links(
        first=path + encode_query(shown) if listed.newer else "",
        previous=path + encode_query({**shown, "after": listed.newer}) if listed.newer else "",
        next=path + encode_query({**shown, "before": listed.older}) if listed.older else "",
    )


def list_payment_lines(
    payments: Iterable[IndexedPayment], commitments: Commitments, account: Address | None = None
) -> list[PaymentLine]:
    return [
        PaymentLine(
            payment,
            commitments.compute_status(payment.epoch),
            None if account is None else _find_change(payment, account),
        )
        for payment in payments
    ]


def _find_change(payment: IndexedPayment, account: Address) -> int:
    """0 also for who only gets a withdrawal on Ethereum: nothing changes on the ledger."""
    return next((line.change for line in list_changes(payment) if line.account == account), 0)
