"""The catalogue, and a file's page: whatever is listed is found, what is said of it is what was signed and paid, what a
validator wrote is text, and the reader's own browser proves it."""

import copy
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from chain import wire
from chain.instruction import ListFile
from chain.kinds import EXTEND, PURCHASE, UPLOAD
from chain.market import compute_shares
from chain.primitives import ETHER
from tests.browser.conftest import TakeScreenshot
from tests.browser.markup import Element
from tests.browser.past import HOSTILE_NAMES, Listed, Past, Sent
from tests.browser.site import find_best_seller, name_account
from tests.browser.test_lists import read_page, walk
from tests.browser.test_payment import parse_change
from tests.browser.test_proof import expect_green, expect_red
from tests.browser.watch import Reader
from tests.network import Network, wait_until

NARROW: Final = {"width": 360, "height": 740}

ROWS_SHOWN: Final = 10
"""Of a file's payments of a kind, on its page."""


def list_files(page: Element) -> list[str]:
    """The ids of the files listed, from the top."""
    rows = page.find("main").find("table", "lines").find("tbody").find_all("tr")
    return [row.attributes["data-key"] for row in rows]


def collect(network: Network, path: str) -> list[str]:
    return [
        name
        for page in walk(network, path)
        if any(page.find("main").find_all("table", "lines"))
        for name in list_files(page)
    ]


def select(past: Past, *words: str, **fields: object) -> list[str]:
    """The ids of those that have the words, each as the beginning of one, and the fields; newest first."""
    found = [
        listed.name
        for listed in past.files.values()
        if not listed.is_delisted
        and all(re.search(rf"\b{word}", get_words(listed.listing), re.IGNORECASE) for word in words)
        and all(getattr(listed.listing, name) == value for name, value in fields.items())
    ]
    return found[::-1]


def get_words(listing: ListFile) -> str:
    return " ".join([listing.name, *listing.tags, listing.description])


def show_name(listed: Listed) -> str:
    return HOSTILE_NAMES.get(listed.listing.name, listed.listing.name)


def list_payments(past: Past, listed: Listed, *kinds: str) -> list[Sent]:
    """Of a file, newest first."""
    return [
        sent
        for sent in reversed(past.sent)
        if sent.payment.kind in kinds and sent.payment.reference == listed.listing.file
    ]


def get_cards(page: Element) -> dict[str, str]:
    cards = page.find("main").find("dl", "cards")
    return {card.find("dt").text: card.find("dd").text for card in cards.find_all("div")}


def read_payments(page: Element, label: str) -> list[str]:
    """The ids of the payments in the table of the label; none without a table."""
    return [
        row.attributes["data-key"]
        for table in page.find("main").find_all("table", "payments")
        if table.attributes["aria-label"] == label
        for row in table.find("tbody").find_all("tr")
    ]


# --- what is said


def test_every_file_is_listed_once_over_all_pages(network: Network, past: Past) -> None:
    assert collect(network, "/files?limit=7") == select(past)
    *_, oldest = walk(network, "/files?limit=7")
    (newer,) = [link.attributes["href"] for link in oldest.find_all("a") if link.attributes.get("rel") == "prev"]
    back = [name for page in [oldest, *walk(network, newer, "prev")] for name in reversed(list_files(page))]
    # The newest page is shown whole, so it may begin with rows of the page before it.
    assert list(dict.fromkeys(back)) == select(past)[::-1]


def test_a_filter_lets_through_what_it_says(network: Network, past: Past) -> None:
    validator, owner = past.accounts[1], past.accounts[3]
    for query, wanted in {
        "q=rainfall": select(past, "rainfall"),
        "q=OF+Pri": select(past, "of", "pri"),
        "mediaType=TEXT/csv": select(past, media_type="text/csv"),
        f"validator={wire.encode_address(validator)}": select(past, account=validator),
        f"owner={wire.encode_address(owner)}&q=traffic": select(past, "traffic", owner=owner),
        f"asset={wire.encode_address(ETHER)}": select(past, asset=ETHER),
        "q=no+such+file": [],
    }.items():
        assert bool(wanted) == ("no+such" not in query), query
        assert collect(network, f"/files?{query}&limit=5") == wanted, query


@pytest.mark.long
def test_a_files_page_says_what_was_signed_and_paid(network: Network, past: Past) -> None:
    for listed in past.files.values():
        listing, page = listed.listing, read_page(network, f"/file/{listed.name}")
        symbol = "ETH" if listing.asset == ETHER else "TOK"
        assert page.find("h1").text == re.sub(r"\s+", " ", show_name(listed)).strip()
        cards = get_cards(page)
        assert parse_change(f"+{cards['Price']}") == listed.price, cards
        assert cards["Sales"] == f"{listed.sale_count:,}"
        shares = [
            (row.find("a").attributes["href"], parse_change([cell.text for cell in row.find_all("td")][2]))
            for row in page.find("main").find("table", "lines").find("tbody").find_all("tr")
        ]
        assert shares == [
            (f"/address/{wire.encode_address(to)}", amount)
            for to, amount in compute_shares(listed.to_rules(), past.market)
        ]
        details = {line.find("dt").text: line.find("dd").text for line in page.find("dl", "pairs").find_all("div")}
        assert details["File id"] == listed.name
        assert details["Validator"] == wire.encode_address(listing.account)
        assert details["Owner"] == wire.encode_address(listing.owner)
        assert details["Content hash"] == f"{wire.encode_bytes(listing.content_hash)} SHA-256"
        assert details["Listing"] == wire.encode_bytes(listed.listing_id)
        assert details["Asset"].startswith(symbol)
        node = listed.service_node
        assert details["Service node"] == (wire.encode_address(node) if node else "none: its validator keeps it")
        sales = [sent.name for sent in list_payments(past, listed, PURCHASE)]
        assert read_payments(page, "Sales") == sales[:ROWS_SHOWN]
        stored = [sent.name for sent in list_payments(past, listed, EXTEND) + list_payments(past, listed, UPLOAD)]
        assert read_payments(page, "Upload and extensions") == stored[:ROWS_SHOWN]


# --- in the browser


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_from_the_front_page_to_a_file_to_its_sale(
    reader: Reader, past: Past, script: bool, take_screenshot: TakeScreenshot
) -> None:
    page = reader.open("/", java_script_enabled=script)
    page.get_by_role("navigation", name="Pages of the explorer").get_by_role("link", name="Files").click()
    expect(page).to_have_url(re.compile("/files$"))
    form = page.get_by_role("form", name="Filters")
    form.get_by_label("Words").fill("Traf")
    form.get_by_label("Asset").select_option("TOK")
    form.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile("q=Traf"))
    rows = page.locator("main table.lines tbody tr")
    wanted = [past.files[bytes.fromhex(name[2:])] for name in select(past, "traf", asset=past.assets[1])]
    expect(rows).to_have_count(len(wanted))
    expect(form.get_by_label("Words")).to_have_value("Traf")

    # A tag is added to what is asked for, and taken out again.
    tag = next(tag for listed in wanted for tag in listed.listing.tags if tag not in ("traffic", "csv"))
    page.locator("main p a.chip", has_text=re.compile(rf"^{tag} ")).click()
    expect(page.get_by_text("With the tags")).to_be_visible()
    tagged = [listed for listed in wanted if tag in listed.listing.tags]
    assert tagged and len(tagged) < len(wanted)
    expect(rows).to_have_count(len(tagged))
    assert parse_qs(urlsplit(page.url).query)["tag"] == [tag]
    form.get_by_role("button", name="Apply").click()
    expect(rows).to_have_count(len(tagged))
    page.get_by_role("link", name=f"{tag} ✕").click()
    expect(rows).to_have_count(len(wanted))

    # Whoever has one file sees who else has a part in it, and what was paid.
    listed = max(wanted, key=lambda listed: listed.sale_count)
    assert listed.sale_count
    page.locator(f"main a[href='/file/{listed.name}']").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(listed.listing.name)
    assert page.title() == f"File {listed.listing.name} · Tallystick"
    take_screenshot(page, f"file-{'with' if script else 'without'}-script")
    sale = list_payments(past, listed, PURCHASE)[0]
    page.locator(f"main a[href='/tx/{sale.name}']").click()
    expect(page.locator("main p.sentence")).to_contain_text(f"bought “{listed.listing.name}” from")
    page.locator("main p.sentence a", has_text=listed.listing.name).click()
    expect(page).to_have_url(re.compile(f"/file/{listed.name}$"))


def test_a_sale_and_a_price_come_into_the_page_by_themselves(page: Page, past: Past) -> None:
    listed = next(listed for listed in past.files.values() if not past.has_bought(listed, 7))
    page.goto(f"/file/{listed.name}")
    page.evaluate("window.isTheSamePage = true")
    cards = page.locator("main dl.cards > div")
    expect(cards.nth(1).locator("dd").first).to_have_text(f"{listed.sale_count}")
    (sent,) = past.send(past.write_purchase(listed, 7))
    expect(page.locator(f"main table[aria-label=Sales] a[href='/tx/{sent.name}']")).to_be_visible()
    expect(cards.nth(1).locator("dd").first).to_have_text(f"{listed.sale_count}")
    past.set_price(listed, 123 * 10**16)
    symbol = "ETH" if listed.listing.asset == ETHER else "TOK"
    expect(cards.nth(0)).to_contain_text(f"1.23 {symbol}")
    expect(page.locator("main table[aria-label=Prices] tbody tr").first).to_contain_text(f"1.23 {symbol}")
    assert page.evaluate("window.isTheSamePage") is True


def test_what_is_delisted_is_out_of_the_catalogue_and_still_has_its_page(
    page: Page, network: Network, past: Past
) -> None:
    listed = next(listed for listed in past.files.values() if listed.listing.name == "Maps")
    page.goto(f"/file/{listed.name}")
    past.delist(listed)
    expect(page.locator("main dl.cards .chip")).to_have_text("delisted")
    assert collect(network, "/files?limit=100") == select(past)
    assert listed.name not in select(past)
    assert set(collect(network, "/files?limit=100&status=all")) == {each.name for each in past.files.values()}
    row = page.locator(f"main tr[data-key='{listed.name}']")
    page.goto("/files?q=maps&status=all")
    expect(row).to_contain_text("delisted")


def test_hostile_names_are_text(page: Page, past: Past, take_screenshot: TakeScreenshot) -> None:
    """In a browser, too, where an event handler would run: `alert` would stop the page, and a dialog fails the test."""
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.set_viewport_size(NARROW)
    hostile = [listed for listed in past.files.values() if listed.listing.name in HOSTILE_NAMES]
    assert len(hostile) == len(HOSTILE_NAMES)
    for number, listed in enumerate(hostile):
        page.goto(f"/file/{listed.name}")
        title = page.locator("main h1 .words")
        expect(title).to_have_text(show_name(listed), use_inner_text=False)
        assert page.locator("main .words > *").count() == 0
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        take_screenshot(page, f"file-name-{number}")
    for path in ("/files?limit=100", f"/address/{name_account(past, 0)}/files?limit=100", "/instructions?limit=100"):
        page.goto(path)
        assert page.locator("main .words > *").count() == 0
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), path
    assert dialogs == []


# --- proofs


@pytest.fixture(scope="module")
def proven(network: Network, past: Past) -> Listed:
    """A file whose epoch is on Ethereum, and final."""
    listed = find_best_seller(past)
    network.wait_for_status(list_payments(past, listed, PURCHASE)[0].name, "final")
    return listed


def test_the_page_of_a_file_proves_it(page: Page, proven: Listed, take_screenshot: TakeScreenshot) -> None:
    page.goto(f"/file/{proven.name}")
    page.get_by_role("button", name="Verify").click()
    expect_green(page, "committed", "final")
    expect(page.locator(".outcome")).to_contain_text(proven.name)
    take_screenshot(page, "file-verified")


def answer_with(form: dict[str, Any]) -> Callable[[Route], None]:
    return lambda route: route.fulfill(json=form)


def test_a_node_that_lies_about_a_file_is_seen(page: Page, network: Network, proven: Listed) -> None:
    path = f"/api/v1/files/{proven.name}/proof"

    def find_path() -> str:
        links = [link.attributes.get("href", "") for link in read_page(network, f"/file/{proven.name}").find_all("a")]
        return next(link for link in links if link.startswith(path))

    form: dict[str, Any] = network.session.get(network.facts["explorerUrl"] + find_path(), timeout=30).json()
    another = wire.encode_address(b"\x55" * 20)
    page.goto(f"/file/{proven.name}")
    for name, value in (("price", "0x1"), ("owner", another), ("keepUntil", "0x" + "7" * 8)):
        lie = copy.deepcopy(form)
        assert lie["entry"][name] != value
        lie["entry"][name] = value
        page.unroute_all()
        page.route(f"**{path}*", answer_with(lie))
        page.locator(".outcome").evaluate_all("found => found.forEach((outcome) => outcome.replaceChildren())")
        page.get_by_role("button", name="Verify").click()
        expect_red(page)


def test_the_page_of_an_instruction_proves_it(page: Page, proven: Listed, take_screenshot: TakeScreenshot) -> None:
    page.goto(f"/instruction/{wire.encode_bytes(proven.listing_id)}")
    expect(page.locator("main p.sentence")).to_contain_text(f"listed “{proven.listing.name}” of")
    page.get_by_role("button", name="Verify").click()
    expect_green(page, "final")
    take_screenshot(page, "instruction-verified")


def test_a_listing_just_made_has_no_proof_until_its_epoch_is_on_ethereum(
    page: Page, network: Network, past: Past
) -> None:
    before = len(past.files)
    template = find_best_seller(past).listing
    listing = type(template)(
        **{name: getattr(template, name) for name in template.__struct_fields__}
        | {
            "file": b"\x17" * 32,
            "name": "Just listed",
            "nonce": past.get_nonce(past.accounts.index(template.account)),
        }
    )
    listed = past.list_file(listing)
    assert len(past.files) == before + 1
    path = f"/file/{listed.name}"
    wait_until(lambda: network.session.get(network.facts["explorerUrl"] + path, timeout=30).ok, "the index's following")
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_have_text("Just listed")
    wait_until(lambda: "take the proof" in read_page(network, path).text, "its epoch's commitment")
    page.reload()
    page.get_by_role("button", name="Verify").click()
    expect_green(page, "committed", "final")
