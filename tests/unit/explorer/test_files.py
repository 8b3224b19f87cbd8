"""The catalogue: every file is found by what it is, its page says what the ledger says of it, and what a validator
wrote is text."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from msgspec.structs import replace

from chain.instruction import ListFile, SignedInstruction
from chain.kinds import EXTEND, PURCHASE, UPLOAD
from chain.params import Market
from chain.wire import encode_address, encode_bytes
from explorer.files import describe_line, read_file_query
from explorer.formatting import (
    describe_token,
    format_amount,
    format_day,
    format_percent,
    format_size,
    format_time,
    make_visible,
    shorten_name,
)
from explorer.pages.files import ROWS_SHOWN
from node.catalogue import compute_file_status
from node.ethereum.submission import EpochState
from node.index import IndexedFile, files
from node.index.words import fold_tags, fold_text
from node.ledger_info import ETHER_INFO, AssetInfo
from node.refusals import Overloaded
from tests.unit.explorer.conftest import LISTED, World
from tests.unit.explorer.machines import fetch
from tests.unit.explorer.market import HOSTILE, MarketLedger, list_files, list_prices
from tests.unit.explorer.reading import Answer, Page
from tests.unit.explorer.turning import check_both_ways, join, turn

NAME, TYPE, PRICE, SALES, KEPT, SINCE = range(6)
"""Columns of the list."""


async def read(world: World, path: str, status: int = 200) -> Page:
    answer = await fetch(world.explorer, path)
    assert answer.status == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.page


def write(exchange: MarketLedger, asset: bytes, base_units: int) -> str:
    info = AssetInfo("TOK1", LISTED) if asset == exchange.token else ETHER_INFO
    token = describe_token(asset, info)
    return f"{format_amount(base_units, token)} {token.symbol}"


def show(words: str) -> str:
    """As a page has what others wrote, blanks as `Page` takes them."""
    return " ".join(make_visible(words).split())


# --- the list


def has_words(file: IndexedFile, *words: str) -> bool:
    text = fold_text("\n".join([file.name, file.description, file.media_type, *file.tags]))
    return all(word in text for word in words)


def list_filters(exchange: MarketLedger) -> Iterator[tuple[list[tuple[str, str]], list[IndexedFile]]]:
    """Filters, as pairs of a URL, and the files that they let through, newest first."""
    everything = list_files(exchange)
    live = [file for file in everything if not file.is_delisted]
    validator, owner, node = exchange.validators[0], everything[3].owner, exchange.nodes[1]
    yield [], live
    yield [("status", "listed")], live
    yield [("status", "all")], everything
    yield [("q", "weather")], [file for file in live if has_words(file, "weather")]
    yield [("q", "RAIN ZÜRICH")], [file for file in live if has_words(file, "rain", "zürich")]
    yield [("q", "measured"), ("status", "all")], [file for file in everything if has_words(file, "measured")]
    yield [("q", "of")], [file for file in live if has_words(file, "of")]
    yield [("q", "no such words")], []
    yield [("q", "\"'%_--")], []
    yield [("tag", "Weather")], [file for file in live if "weather" in file.tags]
    yield [("tag", "zürich"), ("tag", "csv")], [file for file in live if {"Zürich", "csv"} <= set(file.tags)]
    yield [("tag", "nothing")], []
    yield [("mediaType", "text/csv")], [file for file in live if file.media_type == "text/csv"]
    yield [("mediaType", "IMAGE")], [file for file in live if file.media_type.startswith("image/")]
    yield [("validator", encode_address(validator))], [file for file in live if file.validator == validator]
    yield [("owner", encode_bytes(owner))], [file for file in live if file.owner == owner]
    yield [("serviceNode", encode_address(node))], [file for file in live if file.service_node == node]
    yield [("asset", encode_address(exchange.token))], [file for file in live if file.asset == exchange.token]
    yield [("validator", "0x" + "11" * 20)], []
    yield (
        [("q", "2025"), ("tag", "weather"), ("asset", "0x" + "00" * 20), ("status", "all")],
        [
            file
            for file in everything
            if has_words(file, "2025") and "weather" in file.tags and file.asset != exchange.token
        ],
    )


async def test_every_filter_finds_its_files_and_both_ways_lead_over_the_same_pages(
    market: World, exchange: MarketLedger
) -> None:
    found = 0
    for pairs, wanted in list_filters(exchange):
        query = urlencode([*pairs, ("limit", "7")])
        leaves = await check_both_ways(market, f"/files?{query}", [encode_bytes(file.id) for file in wanted])
        assert bool(wanted) != ("No file fits this filter." in leaves[0].answer.text)
        page = leaves[0].answer.page
        for link in [
            page.get_link("CSV"),
            page.get_link("JSON"),
            *[link for leaf in leaves for link in leaf.links.values()],
        ]:
            assert set(pairs) <= set(parse_qsl(urlsplit(link).query)), f"{link} forgets what was asked"
        assert bool(page.get_link("Clear")) == bool(pairs)
        found += bool(wanted)
    assert found > 12, "the exchange answers too few of the filters"


async def test_a_row_says_what_the_ledger_says(market: World, exchange: MarketLedger) -> None:
    rows = (await read(market, "/files?limit=100&status=all")).get_rows("Files")
    statuses = set()
    for row, file in zip(rows, list_files(exchange), strict=True):
        line = describe_line(file, exchange.market, market.now)
        assert row[NAME].startswith(" ".join(make_visible(shorten_name(file.name)).split()))
        assert all(show(tag) in row[NAME] for tag in file.tags)
        assert row[TYPE] == f"{show(shorten_name(file.media_type)) or 'type not said'}{format_size(file.size)}"
        assert row[PRICE].startswith(write(exchange, file.asset, file.price))
        share = line.owner_share
        assert share is not None
        percent = format_percent(math.floor(Fraction(share.amount * 10_000, file.price) + Fraction(1, 2)))
        assert row[PRICE].endswith(f"{percent} to the owner: {write(exchange, file.asset, share.amount)}")
        assert row[SALES] == f"{file.sale_count:,}"
        assert row[KEPT] == format_day(file.keep_until)
        status = compute_file_status(file, market.now)
        # The name or a tag may be such a word itself.
        assert (status == "listed") != (f" {status}" in row[NAME])
        statuses.add(status)
    assert statuses == {"listed", "delisted", "expired"}


async def test_the_same_tag_is_offered_whatever_its_case_and_chosen_ones_are_taken_out_again(
    market: World, exchange: MarketLedger
) -> None:
    page = await read(market, "/files?q=of&tag=weather")
    (out,) = [link for words, link in page.links if "take it out" in words]
    assert out == "/files?q=of"
    more = [link for words, link in page.links if "tag=weather&tag=" in link]
    assert more and not [link for link in more if "tag=weather&tag=weather" in link]
    assert "/files?q=of&tag=weather&tag=z%C3%BCrich" in more and "Zürich" not in "".join(more)
    hidden = [attributes for tag, attributes in page.elements if tag == "input" and attributes.get("type") == "hidden"]
    assert [(field["name"], field["value"]) for field in hidden] == [("tag", "weather")], "Apply forgets the tag"
    tags = [tag for file in list_files(exchange) if not file.is_delisted for tag in fold_tags(file.tags)]
    counts = Counter(tags)
    page = await read(market, "/files")
    offered = [dict(parse_qsl(urlsplit(link).query))["tag"] for words, link in page.links if " file" in words]
    assert offered == sorted(offered, key=lambda tag: -counts[tag])
    assert offered[0] == counts.most_common(1)[0][0]
    for tag in offered[:3]:
        leaves = await turn(market, f"/files?limit=100&{urlencode({'tag': tag})}")
        assert len(join(leaves)) == counts[tag]


async def test_a_search_that_goes_on_for_long_says_so(
    market: World, exchange: MarketLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_VISITED", 5)
    leaves = await turn(market, f"/files?asset={encode_address(exchange.token)}&limit=4")
    wanted = [file for file in list_files(exchange) if file.asset == exchange.token and not file.is_delisted]
    assert join(leaves) == [encode_bytes(file.id) for file in wanted]
    assert [leaf for leaf in leaves if "The search goes on on the next page." in leaf.answer.text]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("validator=0x12", "validator"), ("owner=me", "owner"), ("serviceNode=0x", "serviceNode"),
        ("asset=ETH", "asset"), ("status=lost", "status"), ("q=a&q=b", "q"), ("q=" + "a" * 257, "q"),
        ("mediaType=" + "a" * 257, "mediaType"),
        ("&".join([f"tag={number}" for number in range(9)]), "tag"), ("limit=0", "limit"), ("limit=ten", "limit"),
        ("before=x", "cursor"), (f"before={'0' * 16}&after={'0' * 16}", "before, after"),
        ("owner=%3Cscript%3Ealert(1)%3C/script%3E", "owner"),
    ],
)  # fmt: skip
async def test_a_value_that_is_none_is_named_and_nothing_is_listed(market: World, query: str, named: str) -> None:
    answer = await fetch(market.explorer, f"/files?{query}")
    assert answer.status == 400
    page = answer.page
    assert named in page.text and not page.get_rows("Files") and not page.get_link("CSV")
    assert "<script>alert" not in answer.text


def test_a_query_comes_back_as_it_was_asked() -> None:
    given = [("tag", " b "), ("q", "words"), ("tag", "a"), ("tag", "b"), ("limit", "3"), ("owner", ""), ("before", "1")]
    query = read_file_query(given, status="all")
    assert query.pairs == (("q", "words"), ("tag", "b"), ("tag", "a"), ("status", "all"))
    assert (query.wanted.tags, query.wanted.text, query.wanted.is_all) == (("b", "a"), "words", True)
    assert read_file_query(parse_qsl(query.encode()[1:])) == query
    assert query.remove_tag("b") == "?q=words&tag=a&status=all"
    assert query.add_tag("c&d") == "?q=words&tag=b&tag=a&status=all&tag=c%26d"
    assert read_file_query([("status", "listed")], status="all").wanted.is_all, "what is fixed was asked for otherwise"
    assert read_file_query([]).encode() == ""


async def test_too_many_readers_are_not_told_that_their_filter_is_wrong(
    market: World, exchange: MarketLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(question: Any) -> Any:
        raise Overloaded(64)

    file = encode_bytes(list_files(exchange)[0].id)
    monkeypatch.setattr(market.sources.readers, "work", refuse)
    for path in ("/files", f"/file/{file}", "/participants", "/instructions"):
        answer = await fetch(market.explorer, path)
        assert (answer.status, answer.headers.get("retry-after")) == (503, "1")


# --- one


async def test_a_file_says_what_the_ledger_says_of_it(market: World, exchange: MarketLedger) -> None:
    listings = {
        placed.record.instruction.file: placed.record.instruction
        for placed in exchange.instructions
        if isinstance(placed.record, SignedInstruction) and isinstance(placed.record.instruction, ListFile)
    }
    keys, nodes = set(), set()
    for file in list_files(exchange):
        page = await read(market, f"/file/{encode_bytes(file.id)}")
        pairs = [(name, " ".join(value.split())) for name, value in page.pairs]
        listing, line = listings[file.id], describe_line(file, exchange.market, market.now)
        for name, value in {
            "File id": encode_bytes(file.id),
            "State": line.status,
            "Validator": encode_address(file.validator),
            "Owner": encode_address(file.owner),
            "Service node": "none: its validator keeps it"
            if file.service_node is None
            else encode_address(file.service_node),
            "Type": show(file.media_type) or "not said",
            "Price": write(exchange, file.asset, file.price),
            "Sales": f"{file.sale_count:,}",
            "Size": format_size(file.size),
            "Storage listed for": f"{file.storage_days:,} day" + "s" * (file.storage_days != 1),
            "Content hash": f"{encode_bytes(file.content_hash)} SHA-256",
            "Listing": encode_bytes(file.listing),
        }.items():
            assert any(name == found and shown.startswith(value) for found, shown in pairs), (name, value)
        assert ("Kept until", format_day(file.keep_until)) in [(name, value[:10]) for name, value in pairs]
        assert any(
            value.startswith(format_time(file.keep_until * 1000)) for name, value in pairs if name == "Kept until"
        )
        key = dict(pairs)["Key"]
        keys.add(key)
        assert key.startswith("in this node's escrow") == bool(listing.sealed_key)
        assert ("Key hash" in dict(pairs)) == any(listing.key_hash) == (not key.startswith("none"))
        nodes.add(file.service_node is None)
        assert [row[:3] for row in page.get_rows("Shares")] == [
            [
                {"service_node": "service node"}.get(share.role, share.role),
                encode_address(share.account),
                f"+{write(exchange, file.asset, share.amount)}",
            ]
            for share in line.shares
        ]
        assert sum([share.amount for share in line.shares]) == file.price
        prices = list_prices(exchange, file.id)
        assert [row[1:] for row in page.get_rows("Prices")] == [
            [f"{price.block:,}", write(exchange, file.asset, price.price)] for price in prices
        ]
        sales = list_payments(exchange, file, PURCHASE)
        assert [row[1] for row in page.get_rows("Sales")] == sales[:ROWS_SHOWN]
        assert bool(sales) != ("Nobody has bought it yet." in page.text)
        storage = [*list_payments(exchange, file, EXTEND), *list_payments(exchange, file, UPLOAD)]
        assert [row[1] for row in page.get_rows("Upload and extensions")] == storage[:ROWS_SHOWN]
        assert bool(storage) != ("No service node was paid for keeping it." in page.text)
        mine = [
            encode_bytes(placed.record.id)
            for placed in reversed(exchange.instructions)
            if getattr(placed.record.instruction, "file", None) == file.id  # type: ignore[union-attr]
        ]
        assert [row[1] for row in page.get_rows("Instructions")] == mine[:ROWS_SHOWN]
        assert (f"/instructions?file={encode_bytes(file.id)}" in [link for _, link in page.links]) == (
            len(mine) > ROWS_SHOWN
        )
        assert show(file.name) in page.text and show(file.description) in page.text
    assert len(keys) == 3 and nodes == {True, False}


def list_payments(exchange: MarketLedger, file: IndexedFile, kind: str) -> list[str]:
    """Ids, newest first."""
    return [
        encode_bytes(placed.record.id)
        for placed in reversed(exchange.payments)
        if (placed.record.payment.kind, placed.record.payment.reference) == (kind, file.id)  # type: ignore[union-attr]
    ]


async def test_what_is_too_much_for_a_page_is_a_link_away(
    market: World, exchange: MarketLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.pages.files.ROWS_SHOWN", 1)
    monkeypatch.setattr("explorer.pages.files.PRICES_SHOWN", 1)
    file = max(list_files(exchange), key=lambda file: len(list_prices(exchange, file.id)) * min(file.sale_count, 2))
    file_id = encode_bytes(file.id)
    page = await read(market, f"/file/{file_id}")
    links = [link for _, link in page.links]
    for path, count in (
        (f"/payments?reference={file_id}&kind=purchase", file.sale_count),
        (f"/instructions?file={file_id}", len(list_prices(exchange, file.id))),
    ):
        assert path in links
        assert len(join(await turn(market, f"{path}&limit=5"))) >= count > 1
    assert f"/api/v1/files/{file_id}/prices" in links


async def test_the_state_of_a_file_follows_the_clock(market: World, exchange: MarketLedger) -> None:
    file = next(file for file in list_files(exchange) if not file.is_delisted and file.keep_until * 1000 > market.now)
    for now, state in ((file.keep_until * 1000, "listed"), (file.keep_until * 1000 + 1, "expired")):
        market.now = now
        page = await read(market, f"/file/{encode_bytes(file.id)}")
        assert dict(page.pairs)["State"] == state
        rows = (await read(market, f"/files?owner={encode_address(file.owner)}&limit=100")).get_rows("Files")
        (row,) = [row for row in rows if row[KEPT] == format_day(file.keep_until) and show(file.name)[:9] in row[NAME]]
        assert (" expired" in row[NAME]) == (state == "expired")
    delisted = next(file for file in list_files(exchange) if file.is_delisted)
    market.now = delisted.keep_until * 1000 + 1
    assert dict((await read(market, f"/file/{encode_bytes(delisted.id)}")).pairs)["State"] == "delisted"


async def test_the_registry_proves_a_file_once_its_epoch_is_on_ethereum(market: World, exchange: MarketLedger) -> None:
    file = next(file for file in reversed(list_files(exchange)) if file.epoch > 1)
    path = f"/file/{encode_bytes(file.id)}"

    async def find_source() -> list[Any]:
        page = await read(market, path)
        return [attributes["data-source"] for _, attributes in page.elements if "data-source" in attributes]

    market.send(exchange, file.epoch - 1, EpochState.FINAL)
    assert await find_source() == []
    assert "once its epoch is on Ethereum" in (await read(market, path)).text
    market.send(exchange, file.epoch, EpochState.SENT)
    assert await find_source() == []
    market.send(exchange, file.epoch, EpochState.MINED)
    assert await find_source() == [f"/api/v1/files/{encode_bytes(file.id)}/proof?epoch={file.epoch}"]


@pytest.mark.parametrize(
    "text", ["0x" + "12" * 32, "0x12", "x", "0x" + "1" * 5000, "<script>", "\u202e", "0x" + "00" * 32]
)
async def test_what_is_no_file_is_not_found(market: World, text: str) -> None:
    answer = await fetch(market.explorer, f"/file/{text}")
    assert answer.status == 404 and "There is nothing at this address." in answer.page.text
    assert "\u202e" not in answer.text and len(answer.body) < 10_000


async def test_the_id_of_a_payment_or_an_instruction_is_no_file(market: World, exchange: MarketLedger) -> None:
    for placed in (exchange.payments[0], exchange.instructions[0]):
        assert (await fetch(market.explorer, f"/file/{encode_bytes(placed.record.id)}")).status == 404


async def test_an_id_is_taken_in_any_case(market: World, exchange: MarketLedger) -> None:
    file = list_files(exchange)[0]
    for text in (encode_bytes(file.id), "0x" + file.id.hex().upper(), "0X" + file.id.hex()):
        assert encode_bytes(file.id) in (await read(market, f"/file/{text}")).text


# --- what others wrote


def list_pages(exchange: MarketLedger, file: IndexedFile) -> list[str]:
    """All that a file is named on."""
    file_id = encode_bytes(file.id)
    paths = [
        f"/file/{file_id}", f"/instruction/{encode_bytes(file.listing)}", f"/instructions?file={file_id}",
        f"/block/{file.block}", f"/search?{urlencode({'q': file.description[:100]})}", f"/search?q={file_id}",
        f"/payments?reference={file_id}", f"/files?{urlencode({'q': file.name, 'tag': file.tags[0]})}",
        f"/files?owner={encode_address(file.owner)}&limit=100",
        *[
            f"/address/{encode_address(file.validator)}/{tab}?limit=100"
            for tab in ("files", "uploads", "sales", "earnings", "instructions")
        ],
    ]  # fmt: skip
    for kind in (PURCHASE, UPLOAD, EXTEND):
        paths += [f"/tx/{payment}" for payment in list_payments(exchange, file, kind)[:1]]
    return [*paths, *[f"/tx/{payment}/receipt" for payment in list_payments(exchange, file, PURCHASE)[:1]]]


async def test_hostile_texts_are_text_on_every_page(market: World, exchange: MarketLedger) -> None:
    wrote = {file.name: file for file in list_files(exchange) if file.name in HOSTILE}
    assert set(wrote) == set(HOSTILE)
    for name, file in wrote.items():
        for path in list_pages(exchange, file):
            answer = await fetch(market.explorer, path)
            if answer.status == 303:
                assert answer.headers["location"].startswith("/file/")
                continue
            assert answer.status == 200 or path.startswith("/search"), path
            check_harmless(answer, path)
        page = (await fetch(market.explorer, f"/file/{encode_bytes(file.id)}")).page
        assert show(name) in page.text and show(file.description) in page.text
        assert all(show(tag) in page.text for tag in file.tags)


def check_harmless(answer: Answer, path: str) -> None:
    page = answer.page
    for tag, attributes in page.elements:
        assert tag != "script" or "src" in attributes, path
        assert not [name for name in attributes if name.startswith("on")], path
        assert not (attributes.get("href") or "").lower().startswith("javascript:"), path
        assert tag != "img" or (attributes["src"] or "").startswith("/static/"), path
    assert "h1" in [tag for tag, _ in page.elements] and len([tag for tag, _ in page.elements if tag == "h1"]) == 1
    formless = set("\u202e\u2066\u2067\u200f\u200b\u2028\u3164\ufeff\x00\x07\x1b\x7f")
    shown = re.sub(r'(value|href)="[^"]*"', "", answer.text)
    assert not formless.intersection(shown), path
    assert len(answer.body) < 400_000, path


async def test_no_page_shows_a_sealed_key(market: World, exchange: MarketLedger) -> None:
    sealed = {
        placed.record.instruction.file: placed.record.instruction.sealed_key.hex()
        for placed in exchange.instructions
        if isinstance(placed.record, SignedInstruction)
        and isinstance(placed.record.instruction, ListFile)
        and placed.record.instruction.sealed_key
    }
    assert len(sealed) > 5
    paths = [
        "/files?limit=100&status=all",
        "/instructions?limit=100",
        "/export/files.json?status=all",
        "/api/v1/files?limit=100&status=all",
    ]
    for file in list_files(exchange):
        if file.id in sealed:
            file_id, listing = encode_bytes(file.id), encode_bytes(file.listing)
            paths += [
                f"/file/{file_id}",
                f"/instruction/{listing}",
                f"/api/v1/files/{file_id}",
                f"/api/v1/instructions/{listing}",
            ]
    for path in paths:
        answer = await fetch(market.explorer, path)
        assert answer.status == 200, path
        assert not [key for key in sealed.values() if key in answer.text or key[:40] in answer.text], path


def test_shares_are_said_exactly() -> None:
    base = make_exchange_file()
    for price, percents in ((1, ["100 %"]), (3, ["33.33 %", "66.67 %"]), (200, ["40 %", "55 %", "5 %"])):
        line = describe_line(replace(base, price=price), Market(4_000, 5_500, 500), 0)
        assert [format_percent(share.percent) for share in line.shares] == percents
        assert sum([share.amount for share in line.shares]) == price
    kept_by_validator = describe_line(replace(base, price=200, service_node=None), Market(4_000, 5_500, 500), 0)
    assert [(share.role, share.amount) for share in kept_by_validator.shares] == [("validator", 80), ("owner", 120)]
    assert describe_line(replace(base, price=7), Market(10_000, 0, 0), 0).owner_share is None


def make_exchange_file() -> IndexedFile:
    from tests.unit.explorer.test_sentences import make_file

    return make_file()


def test_every_hostile_text_is_told_apart() -> None:
    for one, other in itertools.combinations(HOSTILE, 2):
        assert make_visible(one) != make_visible(other)
