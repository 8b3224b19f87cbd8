"""Search: what is named exactly is gone to at once; what could be two things is asked back; junk is not found."""

import re
from typing import Final
from urllib.parse import quote

import msgspec
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from chain.primitives import ADDRESS_SIZE, HASH_SIZE, ZERO_HASH
from chain.wire import encode_address, encode_bytes
from explorer.site import Site
from node.index import IndexReader, PaymentFilter

_HEX: Final = re.compile(r"(?:0x)?([0-9a-f]+)", re.ASCII | re.IGNORECASE)
_NUMBER: Final = re.compile(r"(?:(block|epoch)\s*#?\s*|#)?([0-9][0-9,]{0,24})", re.ASCII | re.IGNORECASE)


class Hit(msgspec.Struct, frozen=True):
    name: str
    path: str


async def show(site: Site, request: Request) -> Response:
    words = request.query_params.get("q", "").strip()[:200]
    hits = await find(site, words)
    if len(hits) == 1:
        return RedirectResponse(hits[0].path, 303)
    return await site.show(request, "search.html", status=200 if hits or not words else 404, words=words, hits=hits)


async def find(site: Site, words: str) -> list[Hit]:
    """All that the words name exactly; empty when there is nothing."""
    return await site.find(lambda: _find(site.sources.index, words)) if words else []


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
    if index.get_record(value) is not None:
        hits.append(Hit(f"Payment or deposit {text}", f"/tx/{text}"))
    block = index.find_block(value)
    if block is not None:
        hits.append(Hit(f"Block {block.number:,}", f"/block/{block.number}"))
    if value != ZERO_HASH and index.list_payments(PaymentFilter(reference=value), limit=1).items:
        hits.append(Hit(f"Payments with the reference {text}", f"/payments?reference={quote(text)}"))
    return hits
