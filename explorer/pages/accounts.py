"""One account: what it has, what it paid and was paid, and the proof that the books on Ethereum say so."""

from functools import partial

import msgspec
from fastapi import Request, Response

from chain import wire
from chain.errors import MalformedRequest, NotFound, UnknownKind
from chain.kinds import KIND_CODES
from chain.primitives import Address
from explorer.listing import Slice, read_cursor, read_slice
from explorer.pages.blocks import decode_number
from explorer.pages.payments import Links, PaymentList, build_links, read_list
from explorer.site import Site, get_path
from node.index import Holding, IndexedDeposit, encode_deposit_cursor


class Account(msgspec.Struct, frozen=True):
    address: Address
    holdings: list[Holding]
    """In each asset in which it has an entry."""


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
    source = ""
    if chosen is not None and newest and not problem:
        source = (
            f"/api/v1/accounts/{wire.encode_address(account.address)}/proof"
            f"?asset={wire.encode_address(chosen)}&epoch={number}"
        )
    return await site.show(
        request, "proof.html", status=400 if problem else 200, account=account, tab="proof", source=source,
        problem=problem, asset=chosen, epoch=epoch or (str(newest) if newest else ""),
    )  # fmt: skip


async def read_account(site: Site, text: str) -> Account:
    """Raises `NotFound` for what is no address; an address that the ledger never heard of has nothing."""
    try:
        address = wire.decode_address(text, "address")
    except MalformedRequest:
        raise NotFound(f"{text[:80]}, which is not an address of 40 hexadecimal digits,") from None
    return Account(address, await site.ask(lambda: site.sources.index.get_holdings(address)))
