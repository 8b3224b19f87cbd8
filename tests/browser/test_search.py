"""Search: what is found is one step away, what is not is said so. `/` is on every page."""

import re

import pytest
from playwright.sync_api import Page, expect

from chain import wire
from tests.browser.past import Past, Sent
from tests.browser.site import find_best_seller
from tests.browser.watch import Reader
from tests.network import Network


def search(page: Page, words: str) -> None:
    box = page.get_by_role("searchbox", name="Search the ledger")
    box.fill(words)
    box.press("Enter")


@pytest.fixture(scope="module")
def sent(past: Past) -> Sent:
    """A payment with a reference."""
    return next(sent for sent in past.sent if sent.payment.reference in past.references)


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_exact_hits_jump(reader: Reader, network: Network, past: Past, sent: Sent, script: bool) -> None:
    listed = find_best_seller(past)
    block = network.call("tally_getBlock", sent.block)["header"]
    account = wire.encode_address(sent.payment.payer)
    page = reader.open("/", java_script_enabled=script)
    for words, path in {
        sent.name: f"/tx/{sent.name}",
        f"  {sent.name.upper().replace('0X', '0x')} ": f"/tx/{sent.name}",
        account: f"/address/{account}",
        account.lower(): f"/address/{account}",
        f"block {sent.block}": f"/block/{sent.block}",
        block["hash"]: f"/block/{sent.block}",
        "epoch 2": "/epoch/2",
        listed.name: f"/file/{listed.name}",
        wire.encode_bytes(listed.listing_id): f"/instruction/{wire.encode_bytes(listed.listing_id)}",
    }.items():
        search(page, words)
        expect(page, words).to_have_url(re.compile(rf"^[^?]*{re.escape(path)}$", re.IGNORECASE))


def test_a_number_jumps_where_it_is_of_one_thing_and_asks_back_where_it_is_of_two(page: Page, past: Past) -> None:
    page.goto("/")
    newest = past.pay(1, (past.accounts[2], 1)).block
    search(page, str(newest))
    expect(page).to_have_url(re.compile(rf"/block/{newest}$"))
    search(page, "1")
    main = page.get_by_role("main")
    expect(main.get_by_role("link", name="Block 1")).to_have_attribute("href", "/block/1")
    expect(main.get_by_role("link", name="Epoch 1")).to_have_attribute("href", "/epoch/1")


def test_a_reference_leads_to_all_that_was_paid_for_it(page: Page, past: Past, sent: Sent) -> None:
    page.goto("/")
    search(page, wire.encode_bytes(sent.payment.reference))
    expect(page.get_by_role("main")).to_contain_text("payments", ignore_case=True)
    wanted = [other.name for other in past.sent if other.payment.reference == sent.payment.reference]
    assert len(wanted) > 1
    for name in wanted[-10:]:
        expect(page.locator(f'main a[href="/tx/{name}"]').first).to_be_visible()


def test_words_that_name_nothing_are_sought_among_files(page: Page, past: Past) -> None:
    page.goto("/")
    search(page, "harbour")
    listings = [(listed, listed.listing) for listed in past.files.values() if not listed.is_delisted]
    wanted = [
        listed
        for listed, listing in listings
        if "harbour" in " ".join([listing.name, listing.description, *listing.tags]).casefold()
    ]
    assert 4 <= len(wanted) <= 5  # all that a search shows
    rows = page.locator("main table[aria-label=Files] tbody tr")
    expect(rows).to_have_count(len(wanted))
    expect(rows.locator("a").first).to_have_attribute("href", f"/file/{wanted[-1].name}")
    page.get_by_role("link", name="All files with these words").click()
    expect(page).to_have_url(re.compile(r"/files\?q=harbour$"))
    expect(rows).to_have_count(len(wanted))


@pytest.mark.parametrize(
    "words",
    [
        "no such thing",
        "0x" + "ab" * 32,
        "0x" + "ab" * 31,
        "99999999999999999999999",
        "<script>alert(2)</script>",
        "' OR 1=1 --",
        "%00%ff",
        "\u202e0xabc",
        "💸" * 50,
    ],
)
def test_junk_is_not_found(reader: Reader, past: Past, words: str) -> None:
    page = reader.open("/")
    reader.expect_trouble("/search")
    search(page, words)
    expect(page.get_by_role("main")).to_contain_text(re.compile("not found|nothing", re.IGNORECASE))
    expect(page.get_by_role("searchbox")).to_be_visible()


def test_a_slash_goes_to_the_search_and_is_not_typed(page: Page) -> None:
    page.goto("/")
    box = page.get_by_role("searchbox")
    expect(box).not_to_be_focused()
    page.keyboard.press("/")
    expect(box).to_be_focused()
    expect(box).to_have_value("")
    page.keyboard.type("a/b")
    expect(box).to_have_value("a/b")
