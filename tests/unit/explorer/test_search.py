"""Search goes straight to what is named, asks back when that is two things, and says so when it is nothing."""

import html
from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest

from chain.payment import SignedPayment
from chain.primitives import ZERO_HASH
from chain.wire import encode_address, encode_bytes
from explorer.pages.search import FILES_SHOWN
from node.index.words import fold_text
from tests.unit.explorer.conftest import World
from tests.unit.explorer.machines import fetch
from tests.unit.explorer.market import MarketLedger, list_files
from tests.unit.explorer.reading import Page
from tests.unit.explorer.test_files import has_words
from tests.unit.explorer.turning import join, turn
from tests.unit.node.index.history import RandomLedger

MakeWorld = Callable[[RandomLedger | None], World]


async def search(world: World, words: str) -> str | Page:
    """Where it leads, or what it shows."""
    answer = await fetch(world.explorer, f"/search?q={quote(words)}")
    if answer.status == 303:
        assert answer.body == b""
        return answer.headers["location"]
    assert answer.headers["cache-control"] == "no-store"
    page = answer.page
    assert answer.status == (404 if "Not found:" in page.text else 200)
    return page


def list_hits(found: str | Page) -> list[tuple[str, str]]:
    assert isinstance(found, Page), f"it leads to {found}"
    return [(words, link) for words, link in found.links if words.startswith(("Block ", "Epoch ", "Payment", "Account"))
            and link not in ("/payments", "/blocks", "/epochs")]  # fmt: skip


def vary(value: bytes) -> list[str]:
    return [f"0x{value.hex()}", value.hex(), f"0x{value.hex().upper()}", f"0X{value.hex()}", f"  {value.hex()}\t"]


async def test_each_kind_of_thing_is_found(world: World, history: RandomLedger) -> None:
    payment, deposit = history.payments[3].record, history.deposits[3].record
    for text in vary(payment.id):
        assert await search(world, text) == f"/tx/{encode_bytes(payment.id)}"
    for text in vary(deposit.id):
        assert await search(world, text) == f"/tx/{encode_bytes(deposit.id)}"
    for text in vary(history.hashes[41]):
        assert await search(world, text) == "/block/42"
    for account in (history.accounts[0], b"\x01" * 20):
        for text in vary(account):
            assert await search(world, text) == f"/address/{encode_address(account)}"
    for reference in history.references:
        for text in vary(reference):
            assert await search(world, text) == f"/payments?reference={encode_bytes(reference)}"


async def test_where_it_leads_is_there(world: World, history: RandomLedger) -> None:
    for words in (history.payments[0].record.id.hex(), history.references[0].hex(), "block 7", "epoch 3",
                  history.accounts[0].hex(), history.hashes[0].hex()):  # fmt: skip
        path = await search(world, words)
        assert isinstance(path, str)
        assert (await fetch(world.explorer, path)).status == 200


@pytest.mark.parametrize(
    ("words", "path"),
    [("epoch 3", "/epoch/3"), ("Epoch #3", "/epoch/3"), ("EPOCH3", "/epoch/3"), ("block 3", "/block/3"),
     ("block #3", "/block/3"), ("Block 0,03", "/block/3"), ("100", "/block/100"), ("#100", "/block/100"),
     ("0100", "/block/100"), ("1,0,0", "/block/100")],
)  # fmt: skip
async def test_a_number_is_a_block_or_an_epoch(world: World, words: str, path: str) -> None:
    assert await search(world, words) == path


async def test_a_number_that_is_both_lists_both(world: World) -> None:
    for words in ("3", "#3", "003"):
        page = await search(world, words)
        assert list_hits(page) == [("Block 3", "/block/3"), ("Epoch 3", "/epoch/3")]
        assert isinstance(page, Page) and "This names more than one thing:" in page.text


async def test_what_a_payment_and_a_reference_share_lists_both(make_world: MakeWorld) -> None:
    ledger = RandomLedger(5)
    ledger.run(30)
    target = ledger.payments[0].record.id
    ledger.references[:] = [target]
    for _ in range(30):
        ledger.add_block()
    records = [placed.record for placed in ledger.payments]
    assert [signed for signed in records if isinstance(signed, SignedPayment) and signed.payment.reference == target]
    text = encode_bytes(target)
    assert list_hits(await search(make_world(ledger), target.hex())) == [
        (f"Payment or deposit {text}", f"/tx/{text}"),
        (f"Payments with the reference {text}", f"/payments?reference={text}"),
    ]


@pytest.mark.parametrize(
    "words",
    ["x", "0x", "0x12", "0", "#0", "epoch 99", "block 118", "epoch", "block", "-3", "3.5", "1e3", "٣", "3 4", ",",
     "9" * 24, "9" * 30, "ab" * 32, "0x" + "g" * 40, "0x" + "1" * 39, "'; DROP TABLE payments; --", "%", "_",
     "a" * 5000, "<script>alert(1)</script>", '"><b>', "{{ 7*7 }}", "\u202e", "\x00", "0x" + "00" * 32, "/tx/1",
     "javascript:alert(1)", "//evil.example"],
)  # fmt: skip
async def test_junk_is_not_found_and_is_text(world: World, words: str) -> None:
    page = await search(world, words)
    assert isinstance(page, Page), f"it leads to {page}"
    assert list_hits(page) == []
    assert "Not found:" in page.text and "What can be found, given in full:" in page.text
    (field,) = [attributes for tag, attributes in page.elements if tag == "input" and attributes.get("name") == "q"]
    assert field["value"] == words.strip()[:200]
    assert not [tag for tag, attributes in page.elements if tag == "script" and "src" not in attributes]
    assert "\u202e" not in page.text


async def test_a_file_and_an_instruction_are_found_by_their_ids(market: World, exchange: MarketLedger) -> None:
    """What was paid for the file, which names it, too, is on its page."""
    file = max(list_files(exchange), key=lambda file: file.sale_count)
    for text in vary(file.id):
        assert await search(market, text) == f"/file/{encode_bytes(file.id)}"
    for text in vary(file.listing):
        assert await search(market, text) == f"/instruction/{encode_bytes(file.listing)}"


async def test_words_that_name_nothing_are_sought_among_files(market: World, exchange: MarketLedger) -> None:
    live = [file for file in list_files(exchange) if not file.is_delisted]
    for words in ("weather", "Rainfall ZÜRICH", "=HYPERLINK", "💸💸💸", "مرحبا"):
        wanted = [file for file in live if has_words(file, *fold_text(words).split())]
        page = await search(market, words)
        assert isinstance(page, Page) and wanted and "Not found" not in page.text
        found = [link for _, link in page.links if link.startswith("/file/")]
        assert found == [f"/file/{encode_bytes(file.id)}" for file in wanted[:FILES_SHOWN]]
        assert page.get_link("All files with these words") == f"/files?{urlencode({'q': words})}"
        leaves = await turn(market, page.get_link("All files with these words") + "&limit=100")
        assert join(leaves) == [encode_bytes(file.id) for file in wanted]
    for words in ("no such words", "block 7"):
        found_or_page = await search(market, words)
        assert found_or_page == "/block/7" or "Not found" in found_or_page.text  # type: ignore[union-attr]


async def test_nothing_asked_is_no_error(world: World) -> None:
    for path in ("/search", "/search?q=", "/search?q=%20%20", "/search?other=1"):
        answer = await fetch(world.explorer, path)
        assert answer.status == 200
        assert "Not found" not in answer.page.text and "What can be found, given in full:" in answer.page.text


async def test_what_was_asked_comes_back_escaped(world: World) -> None:
    words = '"><script>alert(1)</script>'
    answer = await fetch(world.explorer, f"/search?q={quote(words)}")
    assert html.escape(words, quote=False).replace('"', "&#34;") in answer.text
    assert "<script>alert" not in answer.text


async def test_no_payment_is_found_by_naming_nothing(world: World, history: RandomLedger) -> None:
    named = [placed.record for placed in history.payments if isinstance(placed.record, SignedPayment)]
    assert [signed for signed in named if signed.payment.reference == ZERO_HASH]
    assert isinstance(await search(world, ZERO_HASH.hex()), Page)
