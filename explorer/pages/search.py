"""Search: what is named exactly is gone to at once; what could be two things is asked back; words that name nothing are
sought among files; junk is not found."""

import re
from typing import Final
from urllib.parse import quote

import msgspec
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from chain.primitives import ADDRESS_SIZE, HASH_SIZE, ZERO_HASH
from chain.wire import encode_address, encode_bytes
from explorer.files import describe_line
from explorer.formatting import make_visible, shorten_name
from explorer.site import Site
from node.index import FileFilter, IndexedFile, IndexedInstruction, IndexReader, PaymentFilter

_HEX: Final = re.compile(r"(?:0x)?([0-9a-f]+)", re.ASCII | re.IGNORECASE)
_NUMBER: Final = re.compile(r"(?:(block|epoch)\s*#?\s*|#)?([0-9][0-9,]{0,24})", re.ASCII | re.IGNORECASE)

FILES_SHOWN: Final = 5
"""That have the words, where these name nothing exactly."""


class Hit(msgspec.Struct, frozen=True):
    name: str
    path: str


async def show(site: Site, request: Request) -> Response:
    words = request.query_params.get("q", "").strip()[:200]
    hits = await find(site, words)
    if len(hits) == 1:
        return RedirectResponse(hits[0].path, 303)
    files = await find_files(site, words) if not hits else ()
    status = 200 if hits or files or not words else 404
    sources = site.sources
    lines = [describe_line(file, sources.market, sources.clock_ms()) for file in files]
    return await site.show(request, "search.html", status=status, words=words, hits=hits, files=lines)


async def find(site: Site, words: str) -> list[Hit]:
    """All that the words name exactly; empty when there is nothing."""
    return await site.find(lambda: _find(site.sources.index, words)) if words else []


async def find_files(site: Site, words: str) -> tuple[IndexedFile, ...]:
    """The newest whose name, tags or description have the words."""
    if not words:
        return ()
    wanted = FileFilter(text=words)
    page = await site.ask(lambda: site.sources.index.list_files(wanted, None, FILES_SHOWN))
    return page.items


def name_file(file: IndexedFile) -> Hit:
    return Hit(f"File “{make_visible(shorten_name(file.name))}”", f"/file/{encode_bytes(file.id)}")


def _find(index: IndexReader, words: str) -> list[Hit]:
    number = _NUMBER.fullmatch(words)
    if number is not None:
        kind, digits = (number[1] or "").lower(), number[2].replace(",", "")
        return _find_number(index, kind, int(digits)) if len(digits) < 19 else []
    data = _HEX.fullmatch(words)
    if data is None:
        return []
    if len(data[1]) == 2 * ADDRESS_SIZE:
        address = encode_address(bytes.fromhex(data[1]))
        return [Hit(f"Account {address}", f"/address/{address}")]
    if len(data[1]) == 2 * HASH_SIZE:
        return _find_hash(index, bytes.fromhex(data[1]))
    return []


def _find_number(index: IndexReader, kind: str, number: int) -> list[Hit]:
    hits = []
    if kind != "epoch" and index.get_block(number) is not None:
        hits.append(Hit(f"Block {number:,}", f"/block/{number}"))
    if kind != "block" and index.get_epoch(number) is not None:
        hits.append(Hit(f"Epoch {number:,}", f"/epoch/{number}"))
    return hits


def _find_hash(index: IndexReader, value: bytes) -> list[Hit]:
    text = encode_bytes(value)
    hits = []
    file = index.get_file(value)
    if file is not None:
        hits.append(name_file(file))
    record = index.get_record(value)
    if isinstance(record, IndexedInstruction):
        hits.append(Hit(f"Instruction {text}", f"/instruction/{text}"))
    elif record is not None:
        hits.append(Hit(f"Payment or deposit {text}", f"/tx/{text}"))
    block = index.find_block(value)
    if block is not None:
        hits.append(Hit(f"Block {block.number:,}", f"/block/{block.number}"))
    # What is paid for a file is on its page.
    if file is None and value != ZERO_HASH and index.list_payments(PaymentFilter(reference=value), limit=1).items:
        hits.append(Hit(f"Payments with the reference {text}", f"/payments?reference={quote(text)}"))
    return hits
