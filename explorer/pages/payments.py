"""Lists of payments: the page of all of them, and the lines that other pages show."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from chain import wire
from chain.errors import MalformedRequest, NotFound, UnknownKind
from chain.kinds import KIND_CODES
from chain.primitives import Address, Hash
from explorer.files import read_files
from explorer.filters import Filter, encode_pairs, read_filter
from explorer.listing import Cursor, Slice, read_cursor, read_slice
from explorer.sentences import NO_FILES, find_file, list_changes
from explorer.site import Site, get_path
from node.index import IndexedFile, IndexedPayment, PaymentFilter, encode_cursor
from node.payment_status import Commitments, PaymentStatus


class PaymentLine(msgspec.Struct, frozen=True):
    payment: IndexedPayment
    status: PaymentStatus
    change: int | None = None
    """Base units that the account of the page gained or lost; None on pages of no account."""
    file: IndexedFile | None = None
    """What is paid for, if it is one."""


class Links(msgspec.Struct, frozen=True):
    """Around a slice; empty for what is not there."""

    first: str
    previous: str
    next: str


class PaymentList(msgspec.Struct, frozen=True):
    """A filtered list, as its page shows it."""

    filter: Filter
    shown: dict[str, str]
    """What was asked, by name; without what the page fixes."""
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
    return await site.show(
        request, "payments.html", listed=listed, problem="", fields=listed.shown, kinds=list(KIND_CODES)
    )


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


async def read_list(
    site: Site, path: str, parameters: Mapping[str, str], account: str | None = None, **more: str
) -> PaymentList:
    """`account`: the address that the page is of; `more`: what else of the filter the page fixes. Raises
    `MalformedRequest`, `UnknownKind`, `Overloaded`."""
    commitments = site.sources.commitments
    fixed = more if account is None else {"account": account, **more}
    chosen = read_filter(parameters, commitments, **fixed)
    cursor = read_cursor(parameters)
    listed, files = await read_payments(site, chosen.wanted, cursor)
    shown = {name: text for name, text in chosen.texts.items() if name not in fixed}
    limited = {**shown, "limit": str(cursor.limit)} if parameters.get("limit", "") else shown
    return PaymentList(
        filter=chosen,
        shown=shown,
        lines=list_payment_lines(listed.rows, commitments, None if account is None else chosen.wanted.account, files),
        links=build_links(path, limited, listed),
        csv=f"/export/payments.csv{chosen.encode()}",
        json=f"/export/payments.json{chosen.encode()}",
        is_cut_short=listed.older is not None and len(listed.rows) < cursor.limit,
    )


async def read_payments(
    site: Site, wanted: PaymentFilter, cursor: Cursor
) -> tuple[Slice[IndexedPayment], dict[Hash, IndexedFile]]:
    """And the files that they name."""
    index = site.sources.index

    def read() -> tuple[Slice[IndexedPayment], dict[Hash, IndexedFile]]:
        listed: Slice[IndexedPayment] = read_slice(partial(index.list_payments, wanted), encode_cursor, cursor)
        return listed, read_files(index, listed.rows)

    return await site.ask(read)


def build_links(path: str, shown: Mapping[str, str] | Sequence[tuple[str, str]], listed: Slice[Any]) -> Links:
    """`shown`: what was asked, by name; as pairs where a name stands more than once."""
    pairs = list(shown.items()) if isinstance(shown, Mapping) else list(shown)
    return Links(
        first=path + encode_pairs(pairs) if listed.newer else "",
        previous=path + encode_pairs([*pairs, ("after", listed.newer)]) if listed.newer else "",
        next=path + encode_pairs([*pairs, ("before", listed.older)]) if listed.older else "",
    )


def list_payment_lines(
    payments: Iterable[IndexedPayment],
    commitments: Commitments,
    account: Address | None = None,
    files: Mapping[Hash, IndexedFile] = NO_FILES,
) -> list[PaymentLine]:
    return [
        PaymentLine(
            payment,
            commitments.compute_status(payment.epoch),
            None if account is None else _find_change(payment, account),
            find_file(payment, files),
        )
        for payment in payments
    ]


def _find_change(payment: IndexedPayment, account: Address) -> int:
    """0 also for who only gets a withdrawal on Ethereum: nothing changes on the ledger."""
    return next((line.change for line in list_changes(payment) if line.account == account), 0)
