"""Blocks: the list of them, and one with its records."""

from collections.abc import Mapping
from typing import Final

import msgspec
from fastapi import Request, Response

from chain import wire
from chain.errors import MalformedRequest, NotFound
from chain.primitives import Hash
from explorer.files import read_files
from explorer.filters import encode_query
from explorer.listing import DEFAULT_LIMIT, MAX_LIMIT
from explorer.pages.payments import Links
from explorer.sentences import Part, list_assets, tell
from explorer.site import Site, get_path
from node.index import IndexedBlock, IndexedEpoch, IndexedRecord
from node.payment_status import PaymentStatus

RECORDS_SHOWN: Final = 50


class BlockList(msgspec.Struct, frozen=True):
    epoch: IndexedEpoch | None
    """That the list is of; None for all."""
    blocks: tuple[IndexedBlock, ...]
    links: Links


class RecordLine(msgspec.Struct, frozen=True):
    record: IndexedRecord
    sentence: tuple[Part, ...]


class BlockView(msgspec.Struct, frozen=True):
    block: IndexedBlock
    previous: Hash | None
    """The hash of the block before; None for the first one, which names the ledger's parameters."""
    has_next: bool
    lines: list[RecordLine]
    links: Links
    status: PaymentStatus
    """Of everything in it."""


async def show_list(site: Site, request: Request) -> Response:
    """`/blocks?epoch=`. Raises `MalformedRequest`, `NotFound` for an epoch that is not there."""
    listed = await site.ask(lambda: _read_list(site, get_path(request), request.query_params))
    return await site.show(request, "blocks.html", listed=listed)


async def show(site: Site, request: Request) -> Response:
    """`/block/{number or hash}`. Raises `NotFound`, `MalformedRequest`."""
    block = await find_block(site, request.path_params["block"])
    start = read_number(request.query_params, "from", block.record_count - 1) or 0
    view = await site.ask(lambda: _read_block(site, block, start))
    # Without a next block, a link is still to come; and a token may still say its name and its decimals.
    tokens = site.tokens
    is_known = all(tokens[asset].is_known for line in view.lines for asset in list_assets(line.sentence))
    is_settled = view.status is PaymentStatus.FINAL and view.has_next and is_known
    return await site.show(request, "block.html", view=view, is_settled=is_settled)


async def find_block(site: Site, text: str) -> IndexedBlock:
    """By number or hash. Raises `NotFound`."""
    index = site.sources.index

    def find() -> IndexedBlock | None:
        number = decode_number(text)
        if number is not None:
            return index.get_block(number)
        try:
            return index.find_block(wire.decode_hash(text, "block"))
        except MalformedRequest:
            return None

    block = await site.find(find)
    if block is None:
        raise NotFound(f"block {text[:80]}")
    return block


def decode_number(text: str) -> int | None:
    """Of a path or a query: decimal digits; None for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def read_number(parameters: Mapping[str, str], name: str, maximum: int) -> int | None:
    """None if it is not given. Raises `MalformedRequest`."""
    text = parameters.get(name, "").strip()
    if not text:
        return None
    number = decode_number(text)
    if number is None or number > maximum:
        raise MalformedRequest(f"{name}: a number up to {maximum}")
    return number


def _read_list(site: Site, path: str, parameters: Mapping[str, str]) -> BlockList:
    """Block numbers have no gaps, so they are the cursors: `before` is the number below which the page begins."""
    index = site.sources.index
    head = index.get_counters().block
    number = read_number(parameters, "epoch", 2**62)
    epoch = None if number is None else index.get_epoch(number)
    if number is not None and epoch is None:
        raise NotFound(f"epoch {number}")
    first, end = (1, head + 1) if epoch is None else (epoch.first_block, epoch.last_block + 1)
    given = read_number(parameters, "before", 2**62)
    before = end if given is None else max(min(first + 1, end), min(given, end))  # never a page without blocks
    limit = read_number(parameters, "limit", MAX_LIMIT) or DEFAULT_LIMIT
    blocks = index.list_blocks(before, limit, first)
    shown = {name: parameters[name] for name in ("epoch", "limit") if parameters.get(name)}
    newer = min(before + limit, end)
    first_page = path + encode_query(shown)
    return BlockList(
        epoch=epoch,
        blocks=tuple(blocks),
        links=Links(
            first=first_page if before < end else "",
            previous="" if before >= end else first_page if newer == end else path + _encode(shown, newer),
            next=path + _encode(shown, blocks[-1].number) if blocks and blocks[-1].number > first else "",
        ),
    )


def _encode(shown: dict[str, str], before: int) -> str:
    return encode_query({**shown, "before": str(before)})


def _read_block(site: Site, block: IndexedBlock, start: int) -> BlockView:
    index = site.sources.index
    previous = index.get_block(block.number - 1)
    records = index.list_records(block.number, start, RECORDS_SHOWN)
    files = read_files(index, records)
    path, end = f"/block/{block.number}", start + len(records)
    before = max(0, start - RECORDS_SHOWN)
    return BlockView(
        block=block,
        previous=None if previous is None else previous.hash,
        has_next=index.get_block(block.number + 1) is not None,
        lines=[RecordLine(record, tell(record, files)) for record in records],
        links=Links(
            first=path if start else "",
            previous=f"{path}?from={before}" if before else path if start else "",
            next=f"{path}?from={end}" if end < block.record_count else "",
        ),
        status=site.sources.commitments.compute_status(block.epoch),
    )
