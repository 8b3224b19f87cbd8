"""One account: what it has, what it paid and was paid, what it does in the data exchange, and the proof that the books
on Ethereum say so."""

from collections.abc import Mapping
from functools import partial
from typing import Final

import msgspec
from fastapi import Request, Response

from chain import wire
from chain.errors import MalformedRequest, NotFound, UnknownKind
from chain.kinds import EXTEND, KIND_CODES, PURCHASE, UPLOAD
from chain.market import MART, OWNER, SERVICE_NODE, VALIDATOR
from chain.primitives import Address
from explorer.files import ALL, read_file_query, read_files
from explorer.listing import Slice, read_cursor, read_slice
from explorer.pages import files, instructions, participants
from explorer.pages.blocks import decode_number
from explorer.pages.payments import Links, PaymentLine, PaymentList, build_links, list_payment_lines, read_list
from explorer.site import Site, get_path
from node.index import (
    Direction,
    Earnings,
    Holding,
    IndexedDeposit,
    PaymentFilter,
    Registration,
    encode_deposit_cursor,
)

_PLAIN_TABS: Final = {
    "payments": "Payments",
    "deposits": "Deposits",
    "statement": "Statement",
    "proof": "Proof",
}
_MARKET_TABS: Final = {
    "files": ("Files", (VALIDATOR, OWNER, SERVICE_NODE)),
    "uploads": ("Uploads", (VALIDATOR, SERVICE_NODE)),
    "purchases": ("Purchases", (MART,)),
    "sales": ("Sales", (VALIDATOR, OWNER, SERVICE_NODE)),
    "earnings": ("Earnings", (VALIDATOR, OWNER, SERVICE_NODE)),
    "owners": ("Owners", (VALIDATOR,)),
    "instructions": ("Instructions", (VALIDATOR, MART, SERVICE_NODE, OWNER)),
}
"""Tab → its title, and the roles that have something there."""

FILE_PARAMETERS: Final = {VALIDATOR: "validator", OWNER: "owner", SERVICE_NODE: "serviceNode"}
"""What an account can be of a file → the parameter of a list of files that asks for it."""

EARNINGS_SHOWN: Final = 10
"""Payments of each kind beside the sums."""


class Account(msgspec.Struct, frozen=True):
    address: Address
    holdings: list[Holding]
    """In each asset in which it has an entry."""
    roles: tuple[Registration, ...]
    owner_count: int
    """Of owners who belong to it."""

    def list_tabs(self, current: str) -> list[tuple[str, str]]:
        """(name, title): of the data exchange those where its roles have something, and the one that is shown."""
        mine = {registration.role for registration in self.roles}
        market = [
            (name, title)
            for name, (title, roles) in _MARKET_TABS.items()
            if name == current or not mine.isdisjoint(roles)
        ]
        (payments, *others) = _PLAIN_TABS.items()
        return [payments, *market, *others]


class EarningsView(msgspec.Struct, frozen=True):
    lines: tuple[Earnings, ...]
    sales: list[PaymentLine]
    storage: list[PaymentLine]
    """The last uploads and extensions that it was paid for."""

    @property
    def totals(self) -> dict[Address, int]:
        """By asset, of all parts."""
        totals: dict[Address, int] = {}
        for line in self.lines:
            totals[line.asset] = totals.get(line.asset, 0) + line.amount
        return totals


class DepositList(msgspec.Struct, frozen=True):
    deposits: tuple[IndexedDeposit, ...]
    links: Links


async def show(site: Site, request: Request) -> Response:
    """`/address/{address}`: with the list of its payments. Raises `NotFound` for what is no address."""
    account = await read_account(site, request.path_params["address"])
    listed: PaymentList | None = None
    problem = ""
    try:
        listed = await read_list(site, get_path(request), request.query_params, wire.encode_address(account.address))
    except (MalformedRequest, UnknownKind) as refusal:
        problem = str(refusal)
    return await site.show(
        request, "account.html", status=400 if problem else 200, account=account, tab="payments", listed=listed,
        problem=problem, fields=request.query_params if listed is None else listed.shown, kinds=list(KIND_CODES),
    )  # fmt: skip


async def show_deposits(site: Site, request: Request) -> Response:
    """`/address/{address}/deposits`. Raises `NotFound` for what is no address, `MalformedRequest` for a cursor."""
    account = await read_account(site, request.path_params["address"])
    cursor, index = read_cursor(request.query_params), site.sources.index
    listed: Slice[IndexedDeposit] = await site.ask(
        lambda: read_slice(partial(index.list_deposits, account.address), encode_deposit_cursor, cursor)
    )
    shown = {"limit": str(cursor.limit)} if request.query_params.get("limit") else {}
    deposits = DepositList(listed.rows, build_links(get_path(request), shown, listed))
    return await site.show(request, "deposits.html", account=account, tab="deposits", deposits=deposits)


# --- in the data exchange


async def show_files(site: Site, request: Request) -> Response:
    """`/address/{address}/files?as=`: those of which it is the validator, the owner or the service node. Raises
    `NotFound` for what is no address, `MalformedRequest`."""
    account = await read_account(site, request.path_params["address"])
    choices = [role for role in FILE_PARAMETERS if role in {each.role for each in account.roles}] or [OWNER]
    role = request.query_params.get("as", "").strip() or choices[0]
    if role not in FILE_PARAMETERS:
        raise MalformedRequest(f"as: one of: {' '.join(FILE_PARAMETERS)}")
    query = read_file_query([], **{FILE_PARAMETERS[role]: wire.encode_address(account.address), "status": ALL})
    listed = await files.read_list(site, get_path(request), query, request.query_params, {"as": role})
    return await site.show(
        request, "account_files.html", account=account, tab="files", listed=listed, role=role, choices=choices
    )


async def show_uploads(site: Site, request: Request) -> Response:
    """`/address/{address}/uploads?kind=`: what it paid, or was paid, for storage. Raises as `show_files`."""
    kind = request.query_params.get("kind", "").strip() or UPLOAD
    if kind not in (UPLOAD, EXTEND):
        raise MalformedRequest(f"kind: {UPLOAD} or {EXTEND}")
    return await _show_market_payments(site, request, "uploads", {**request.query_params, "kind": kind})


async def show_purchases(site: Site, request: Request) -> Response:
    """`/address/{address}/purchases`: what it bought. Raises as `show_files`."""
    fixed = {"kind": PURCHASE, "direction": Direction.OUT}
    return await _show_market_payments(site, request, "purchases", request.query_params, **fixed)


async def show_sales(site: Site, request: Request) -> Response:
    """`/address/{address}/sales`: what it had a share of. Raises as `show_files`."""
    fixed = {"kind": PURCHASE, "direction": Direction.IN}
    return await _show_market_payments(site, request, "sales", request.query_params, **fixed)


async def show_earnings(site: Site, request: Request) -> Response:
    """`/address/{address}/earnings`. Raises `NotFound` for what is no address."""
    account = await read_account(site, request.path_params["address"])
    index, commitments, address = site.sources.index, site.sources.commitments, account.address

    def read() -> EarningsView:
        sales, uploads, extensions = [
            index.list_payments(
                PaymentFilter(account=address, direction=Direction.IN, kind=kind), limit=EARNINGS_SHOWN
            ).items
            for kind in (PURCHASE, UPLOAD, EXTEND)
        ]
        storage = sorted([*uploads, *extensions], key=lambda payment: (payment.block, payment.record), reverse=True)
        named = read_files(index, [*sales, *storage])
        return EarningsView(
            lines=index.get_earnings(address),
            sales=list_payment_lines(sales, commitments, address, named),
            storage=list_payment_lines(storage[:EARNINGS_SHOWN], commitments, address, named),
        )

    earnings = await site.ask(read)
    return await site.show(request, "earnings.html", account=account, tab="earnings", earnings=earnings)


async def show_owners(site: Site, request: Request) -> Response:
    """`/address/{address}/owners`: of a validator. Raises `NotFound` for what is no address, `MalformedRequest`."""
    account = await read_account(site, request.path_params["address"])
    listed = await participants.read_list(site, get_path(request), request.query_params, OWNER, account.address)
    return await site.show(request, "owners.html", account=account, tab="owners", listed=listed)


async def show_instructions(site: Site, request: Request) -> Response:
    """`/address/{address}/instructions`. Raises `NotFound` for what is no address, `MalformedRequest`."""
    account = await read_account(site, request.path_params["address"])
    listed = await instructions.read_list(site, get_path(request), request.query_params, account.address, None, {})
    return await site.show(request, "account_instructions.html", account=account, tab="instructions", listed=listed)


async def _show_market_payments(
    site: Site, request: Request, tab: str, parameters: Mapping[str, str], **fixed: str
) -> Response:
    account = await read_account(site, request.path_params["address"])
    address = wire.encode_address(account.address)
    listed = await read_list(site, get_path(request), parameters, address, **fixed)
    kind = parameters.get("kind", "")
    return await site.show(request, "account_payments.html", account=account, tab=tab, listed=listed, kind=kind)


# --- the proof


async def show_proof(site: Site, request: Request) -> Response:
    """`/address/{address}/proof?asset=&epoch=`: checked in the reader's browser. Raises `NotFound` for what is no
    address."""
    account = await read_account(site, request.path_params["address"])
    asset, epoch = [request.query_params.get(name, "").strip() for name in ("asset", "epoch")]
    newest = site.sources.commitments.mined_epoch
    problem = ""
    number = decode_number(epoch) if epoch else newest
    if epoch and (number is None or not 1 <= number <= newest):
        problem = (
            f"Epoch: a number from 1 to {newest}, the last that is on Ethereum."
            if newest
            else "No epoch is on Ethereum yet."
        )
    try:
        chosen = wire.decode_address(asset, "asset") if asset else None
    except MalformedRequest as refusal:
        chosen, problem = None, str(refusal)
    if chosen is None:
        chosen = account.holdings[0].asset if account.holdings else next(iter(site.sources.info.assets), None)
    source = roles_source = ""
    if chosen is not None and newest and not problem:
        path = f"/api/v1/accounts/{wire.encode_address(account.address)}"
        source = f"{path}/proof?asset={wire.encode_address(chosen)}&epoch={number}"
        roles_source = f"{path}/roles/proof?epoch={number}" if account.roles else ""
    return await site.show(
        request, "proof.html", status=400 if problem else 200, account=account, tab="proof", source=source,
        roles_source=roles_source,
        problem=problem, asset=chosen, epoch=epoch or (str(newest) if newest else ""),
    )  # fmt: skip


async def read_account(site: Site, text: str) -> Account:
    """Raises `NotFound` for what is no address; an address that the ledger never heard of has nothing."""
    try:
        address = wire.decode_address(text, "address")
    except MalformedRequest:
        raise NotFound(f"{text[:80]}, which is not an address of 40 hexadecimal digits,") from None
    index = site.sources.index
    return await site.ask(
        lambda: Account(
            address,
            index.get_holdings(address),
            index.get_registrations(address),
            index.count_registrations(OWNER, address),
        )
    )
