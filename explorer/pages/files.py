"""The catalogue of the data exchange: the list of files, and one with its prices, sales, storage and instructions."""

from collections.abc import Mapping
from functools import partial
from typing import Final

import msgspec
from fastapi import Request, Response

from chain import wire
from chain.errors import MalformedRequest, NotFound
from chain.kinds import EXTEND, PURCHASE, UPLOAD
from chain.primitives import Hash
from explorer.files import FileLine, FileQuery, describe_line, read_file_query
from explorer.listing import Slice, read_cursor, read_slice, take_limit
from explorer.pages.instructions import InstructionLine, list_instruction_lines
from explorer.pages.payments import Links, PaymentLine, build_links, list_payment_lines
from explorer.site import Site, get_path
from node.index import (
    IndexedFile,
    IndexedInstruction,
    IndexedPayment,
    IndexReader,
    Page,
    PaymentFilter,
    PricePoint,
    TagCount,
    encode_file_cursor,
)
from node.index.words import fold_tags

TAGS_SHOWN: Final = 20
ROWS_SHOWN: Final = 10
"""Of each list on a file's page; the whole lists are a link away."""
PRICES_SHOWN: Final = 20


class FileList(msgspec.Struct, frozen=True):
    query: FileQuery
    lines: list[FileLine]
    tags: list[TagCount]
    """The most used ones, without those that are chosen."""
    links: Links
    csv: str
    json: str
    is_cut_short: bool
    """Whether the search went on for so long that the page ends early, and goes on on the next."""


class _FileFacts(msgspec.Struct, frozen=True):
    """What the index has of a file, all of one moment, newest first."""

    file: IndexedFile
    prices: Page[PricePoint]
    sales: Page[IndexedPayment]
    storage: tuple[IndexedPayment, ...]
    """The upload, and extensions."""
    instructions: Page[IndexedInstruction]


class FileView(msgspec.Struct, frozen=True):
    line: FileLine
    prices: Page[PricePoint]
    sales: list[PaymentLine]
    storage: list[PaymentLine]
    has_more_storage: bool
    instructions: list[InstructionLine]
    has_more_instructions: bool
    proof: str
    """Where the registry's proof of it is to be had; empty before it is on Ethereum."""


async def show_list(site: Site, request: Request) -> Response:
    """`/files?q=&tag=…`. What is wrong with the filter is said above it, with nothing listed."""
    given = request.query_params.multi_items()
    try:
        query = read_file_query(given)
        listed = await read_list(site, get_path(request), query, request.query_params)
    except MalformedRequest as refusal:
        return await site.show(
            request, "files.html", status=400, problem=str(refusal), listed=None, fields=dict(given), chosen=(),
        )  # fmt: skip
    return await site.show(request, "files.html", listed=listed, problem="", fields=query.fields, chosen=query.tags)


async def show(site: Site, request: Request) -> Response:
    """`/file/{id}`. Raises `NotFound`, `Overloaded`."""
    text = request.path_params["id"]
    try:
        file_id = wire.decode_hash(text, "id")
    except MalformedRequest:
        raise NotFound(f"{text[:80]}, which is not an id of 64 hexadecimal digits,") from None
    facts = await site.find(lambda: _read(site.sources.index, file_id))
    if facts is None:
        raise NotFound(f"a file with the id {wire.encode_bytes(file_id)}")
    sources, file = site.sources, facts.file
    commitments, files = sources.commitments, {file.id: file}
    newest = commitments.mined_epoch
    path = f"/api/v1/files/{wire.encode_bytes(file.id)}/proof?epoch={newest}"
    view = FileView(
        line=describe_line(file, sources.market, sources.clock_ms()),
        prices=facts.prices,
        sales=list_payment_lines(facts.sales.items, commitments),
        storage=list_payment_lines(facts.storage[:ROWS_SHOWN], commitments),
        has_more_storage=len(facts.storage) > ROWS_SHOWN,
        instructions=list_instruction_lines(facts.instructions.items, commitments, files),
        has_more_instructions=facts.instructions.cursor is not None,
        proof=path if file.epoch <= newest else "",
    )
    return await site.show(request, "file.html", view=view)


async def read_list(
    site: Site, path: str, query: FileQuery, parameters: Mapping[str, str], asked: Mapping[str, str] | None = None
) -> FileList:
    """`parameters`: where the list begins, and how many it shows. `asked`: what stands in the path's query in place of
    the filter. Raises `MalformedRequest`, `Overloaded`."""
    index, now, cursor = site.sources.index, site.sources.clock_ms(), read_cursor(parameters)
    chosen = fold_tags(query.tags)
    listed: Slice[IndexedFile]
    listed, tags = await site.ask(
        lambda: (
            read_slice(partial(index.list_files, query.wanted), encode_file_cursor, cursor),
            index.list_tags(TAGS_SHOWN),
        )
    )
    shown = [*(asked.items() if asked else query.pairs), *take_limit(parameters).items()]
    return FileList(
        query=query,
        lines=[describe_line(file, site.sources.market, now) for file in listed.rows],
        # What is asked for is trimmed, so that those with blanks around them cannot be.
        tags=[each for each in tags if each.tag not in chosen and each.tag == each.tag.strip()],
        links=build_links(path, shown, listed),
        csv=f"/export/files.csv{query.encode()}",
        json=f"/export/files.json{query.encode()}",
        is_cut_short=listed.older is not None and len(listed.rows) < cursor.limit,
    )


def _read(index: IndexReader, file_id: Hash) -> _FileFacts | None:
    file = index.get_file(file_id)
    if file is None:
        return None
    uploads, extensions = [
        index.list_payments(PaymentFilter(reference=file_id, kind=kind), limit=ROWS_SHOWN + 1).items
        for kind in (UPLOAD, EXTEND)
    ]
    return _FileFacts(
        file=file,
        prices=index.list_prices(file_id, None, PRICES_SHOWN),
        sales=index.list_payments(PaymentFilter(reference=file_id, kind=PURCHASE), limit=ROWS_SHOWN),
        storage=(*extensions, *uploads),
        instructions=index.list_instructions(None, file_id, None, ROWS_SHOWN),
    )
