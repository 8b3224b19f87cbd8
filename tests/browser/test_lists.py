"""Lists: every row once, in order, over all pages, while payments go on; filters that live in the URL; files that are
exactly what the page shows."""

import csv
import io
import json
import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import pytest
from playwright.sync_api import Page, expect

from chain import wire
from chain.primitives import ETHER, ZERO_HASH
from tests.browser.markup import Element, parse
from tests.browser.past import STATUSES, Past, Sent
from tests.browser.watch import Reader
from tests.network import Network

MAX_PAGES: Final = 200

Meanwhile = Callable[[], object]


def walk(network: Network, path: str, relation: str = "next", meanwhile: Meanwhile = lambda: None) -> Iterator[Element]:
    """The page, and those that its pager leads to."""
    seen = set()
    for _ in range(MAX_PAGES):
        assert path not in seen, "the pager goes round in circles"
        seen.add(path)
        page = read_page(network, path)
        yield page
        found = [link for link in page.find_all("a") if link.attributes.get("rel") == relation]
        if not found:
            return
        path = found[0].attributes["href"]
        meanwhile()
    pytest.fail(f"more than {MAX_PAGES} pages")


def read_page(network: Network, path: str, status: int = 200) -> Element:
    answer = network.session.get(network.facts["explorerUrl"] + path, timeout=30)
    assert answer.status_code == status, f"{path}: {answer.status_code}"
    return parse(answer.text)


def list_ids(page: Element) -> list[str]:
    """Of the payments listed, from the top."""
    links = [link.attributes.get("href", "") for link in page.find("main").find("table", "payments").find_all("a")]
    return [link.removeprefix("/tx/") for link in links if link.startswith("/tx/")]


def collect(network: Network, path: str, relation: str = "next", meanwhile: Meanwhile = lambda: None) -> list[str]:
    return [
        payment_id
        for page in walk(network, path, relation, meanwhile)
        if any(page.find("main").find_all("table", "payments"))
        for payment_id in list_ids(page)
    ]


def name_newest_first(sent: list[Sent]) -> list[str]:
    return [payment.name for payment in reversed(sent)]


# --- paging


def test_no_row_is_repeated_or_missed_over_all_pages_while_payments_go_on(network: Network, past: Past) -> None:
    rng = random.Random(1)

    def pay() -> None:
        past.pay(rng.randrange(10), (network.addresses[0], 1))

    before = name_newest_first(past.sent)
    assert collect(network, "/payments", meanwhile=pay) == before
    # And back, from the oldest to the newest, which is not the same any more.
    *_, oldest = walk(network, "/payments?limit=100", meanwhile=pay)
    last = [link.attributes["href"] for link in oldest.find_all("a") if link.attributes.get("rel") == "prev"]
    pages = [list_ids(oldest)] + [list_ids(page) for page in walk(network, last[0], "prev", pay)]
    back = [payment_id for page in pages for payment_id in reversed(page)]
    newest_page = len(pages[-1])
    # The newest page is shown whole, so it may begin with rows of the page before it; none is missed.
    assert list(dict.fromkeys(back)) == [sent.name for sent in past.sent[: len(set(back))]]
    assert len(back) - len(set(back)) < newest_page
    assert set(back) >= set(before)


def test_an_account_lists_all_that_it_took_part_in(network: Network, past: Past) -> None:
    for number in (0, 9):
        account = past.accounts[number]
        wanted = [sent for sent in past.sent if is_party(sent, account)]
        assert collect(network, f"/address/{wire.encode_address(account)}") == name_newest_first(wanted)


def test_pages_are_turned_by_hand(page: Page, past: Past, network: Network) -> None:
    page.goto("/payments")
    pager = page.get_by_role("navigation", name="Pages").last

    everything = name_newest_first(past.sent)
    size = len(get_ids(page))
    assert size >= 20
    expect(pager.get_by_role("link", name="Previous")).to_have_count(0)
    for number in (1, 2, 3):
        pager.get_by_role("link", name="Next").click()
        expect(page).to_have_url(re.compile("before="))
        expect(page.locator(f"main a[href='/tx/{everything[number * size]}']").first).to_be_visible()
        assert get_ids(page) == everything[number * size : (number + 1) * size]
    pager.get_by_role("link", name="Previous").click()
    expect(page.locator(f"main a[href='/tx/{everything[2 * size]}']").first).to_be_visible()
    assert get_ids(page) == everything[2 * size : 3 * size]
    pager.get_by_role("link", name="First").click()
    expect(page.locator(f"main a[href='/tx/{everything[0]}']").first).to_be_visible()
    assert get_ids(page) == everything[:size]


def get_ids(page: Page) -> list[str]:
    """All of one moment: the page is kept current while it is read."""
    links = page.locator("main table.payments a[href^='/tx/']")
    found: list[str] = links.evaluate_all("links => links.map((link) => link.getAttribute('href').slice(4))")
    return found


def test_blocks_and_epochs_are_listed_once_each(network: Network, past: Past) -> None:
    for path, prefix in (("/blocks?limit=7", "/block/"), ("/epochs?limit=2", "/epoch/")):
        numbers = []
        for page in walk(network, path):
            rows = [row for row in page.find("main").find_all("tr") if any(row.find_all("td"))]
            links = [[link.attributes.get("href", "") for link in row.find_all("a")] for row in rows]
            numbers += [int(next(link for link in row if link.startswith(prefix))[len(prefix) :]) for row in links]
        assert numbers == list(range(numbers[0], 0, -1)), path
        assert len(numbers) >= 4


# --- filters


def is_party(sent: Sent, account: bytes) -> bool:
    return sent.payment.payer == account or account in [output.to for output in sent.payment.outputs]


FILTERS: Final[dict[str, tuple[Callable[[Past], dict[str, str]], Callable[[Past, Sent], bool]]]] = {
    "nothing": (lambda past: {}, lambda past, sent: True),
    "kind": (lambda past: {"kind": "withdraw"}, lambda past, sent: sent.payment.kind == "withdraw"),
    "asset": (
        lambda past: {"asset": wire.encode_address(ETHER)},
        lambda past, sent: sent.payment.asset == ETHER,
    ),
    "kind and asset": (
        lambda past: {"kind": "tip", "asset": wire.encode_address(ETHER)},
        lambda past, sent: sent.payment.kind == "tip" and sent.payment.asset == ETHER,
    ),
    "account": (
        lambda past: {"account": wire.encode_address(past.accounts[4])},
        lambda past, sent: is_party(sent, past.accounts[4]),
    ),
    "what an account paid": (
        lambda past: {"account": wire.encode_address(past.accounts[1]), "direction": "out"},
        lambda past, sent: sent.payment.payer == past.accounts[1],
    ),
    "what an account was paid": (
        lambda past: {"account": wire.encode_address(past.accounts[1]), "direction": "in"},
        lambda past, sent: past.accounts[1] in [output.to for output in sent.payment.outputs],
    ),
    "counterparty": (
        lambda past: {
            "account": wire.encode_address(past.accounts[0]),
            "counterparty": wire.encode_address(past.accounts[3]),
            "direction": "out",
        },
        lambda past, sent: (
            sent.payment.payer == past.accounts[0]
            and past.accounts[3] in [output.to for output in sent.payment.outputs]
        ),
    ),
    "reference": (
        lambda past: {"reference": wire.encode_bytes(past.references[3])},
        lambda past, sent: sent.payment.reference == past.references[3],
    ),
    "time": (
        lambda past: {"from": str(past.sent[200].timestamp // 1000), "to": str(past.sent[800].timestamp // 1000)},
        lambda past, sent: (
            past.sent[200].timestamp // 1000 <= sent.timestamp // 1000 <= past.sent[800].timestamp // 1000
        ),
    ),
    "date": (
        lambda past: {"from": name_day(past.sent[0]), "to": name_day(past.sent[0])},
        lambda past, sent: name_day(sent) == name_day(past.sent[0]),
    ),
    "everything at once": (
        lambda past: {
            "account": wire.encode_address(past.accounts[0]),
            "direction": "out",
            "asset": wire.encode_address(past.assets[1]),
            "kind": "transfer",
            "from": name_day(past.sent[0]),
        },
        lambda past, sent: (
            sent.payment.payer == past.accounts[0]
            and sent.payment.asset == past.assets[1]
            and sent.payment.kind == "transfer"
        ),
    ),
}
"""Name → its parameters, and whether it lets a payment through."""


def name_day(sent: Sent) -> str:
    return f"{datetime.fromtimestamp(sent.timestamp / 1000, UTC):%Y-%m-%d}"


each_filter = pytest.mark.parametrize("name", FILTERS)


@each_filter
def test_a_filter_lets_through_what_it_says(network: Network, past: Past, name: str) -> None:
    parameters, matches = FILTERS[name]
    wanted = [sent for sent in past.sent if matches(past, sent)]
    assert 0 < len(wanted) <= len(past.sent)
    query = urlencode(parameters(past) | {"limit": "100"})
    assert collect(network, f"/payments?{query}") == name_newest_first(wanted)


@each_filter
def test_an_export_is_exactly_the_filtered_view(network: Network, past: Past, name: str) -> None:
    parameters, matches = FILTERS[name]
    query = urlencode(parameters(past))
    shown = collect(network, f"/payments?{query}&limit=100")
    page = read_page(network, f"/payments?{query}")
    links = {link.text: link.attributes["href"] for link in page.find("main").find("p", "exports").find_all("a")}
    wanted = [sent for sent in reversed(past.sent) if matches(past, sent)]
    rows = [row for sent in wanted for row in describe_rows(sent, parameters(past).get("account"))]
    last = network.call("tally_getCommitment", "latest")
    for head, found in (download_csv(network, links["CSV"]), download_json(network, links["JSON"])):
        assert list(dict.fromkeys([row["payment_id"] for row in found])) == shown
        # What changes with time, or says again what another column says, is not in the oracle.
        assert [{column: row[column] for column in rows[0]} for row in found] == rows
        assert head["filter"] == parameters(past)
        assert int(head["payment_count"]) == len(wanted)
        assert int(head["last_block"]) >= past.sent[-1].block
        assert int(head["committed_epoch"]) >= int(last["message"]["epoch"], 16)
        if int(head["committed_epoch"]) == int(last["message"]["epoch"], 16):
            assert head["commitment_blocks_root"] == last["message"]["blocksRoot"]


def describe_rows(sent: Sent, account: str | None) -> Iterator[dict[str, str]]:
    payment = sent.payment
    for output in payment.outputs:
        payer, payee = wire.encode_address(payment.payer), wire.encode_address(output.to)
        if account not in (None, payer, payee):
            continue
        yield {
            "kind": payment.kind,
            "payer": payer,
            "payee": payee,
            "amount": format_units(output.amount),
            "asset_address": wire.encode_address(payment.asset),
            "base_units": str(output.amount),
            "reference": "" if payment.reference == ZERO_HASH else wire.encode_bytes(payment.reference),
            "memo": payment.memo,
            "block": str(sent.block),
            "payment_id": sent.name,
            "nonce": str(payment.nonce),
        }


def format_units(amount: int) -> str:
    """Both assets have 18 decimals."""
    whole, fraction = divmod(amount, 10**18)
    return f"{whole}.{fraction:018}".rstrip("0").rstrip(".")


def download(network: Network, path: str) -> str:
    answer = network.session.get(network.facts["explorerUrl"] + path, timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    return answer.content.decode()


def download_csv(network: Network, path: str) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The facts above the table, and its rows. Fails for a file without its last line."""
    text = download(network, path)
    head: dict[str, Any] = {}
    while text.startswith("# "):
        line, _, text = text.partition("\r\n")
        name, _, value = line.removeprefix("# ").partition(": ")
        head[name] = value
    head["filter"] = {} if head["filter"] == "none" else dict(parse_qsl(head["filter"]))
    columns, *lines = csv.reader(io.StringIO(text, newline=""))
    end = lines.pop()
    assert end == [f"# end of {len(lines)} rows"]
    rows = [dict(zip(columns, line, strict=True)) for line in lines]
    for row in rows:
        # No cell is a formula to a spreadsheet.
        assert row["memo"][:1] not in tuple("=+-@\t\r\n")
        row["memo"] = row["memo"].removeprefix("'")
    return head, rows


def download_json(network: Network, path: str) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """As above; every value of a row as text."""
    document = json.loads(download(network, path))
    assert document["complete"] is True and document["row_count"] == len(document["rows"])
    return document["header"], [{name: str(value) for name, value in row.items()} for row in document["rows"]]


def test_the_filter_by_status_is_as_truthful_as_the_receipts(network: Network, past: Past) -> None:
    """Statuses move on while pages are read: each is held between what it was before and what it is after."""
    past.pay(5, (past.accounts[6], 1))
    for number, status in enumerate(STATUSES):
        before = past.get_statuses(past.sent)
        shown = collect(network, f"/payments?status={status}&limit=100")
        after = past.get_statuses(past.sent)
        assert len(shown) == len(set(shown))
        for name in before:
            if name in shown:
                assert STATUSES.index(before[name]) <= number <= STATUSES.index(after[name])
            else:
                assert (before[name], after[name]) != (status, status)
    assert set(before.values()) >= {"final"}


def test_what_is_no_filter_is_said_so(network: Network, past: Past) -> None:
    for query in ("kind=gift", "asset=0x12", "from=yesterday", "status=done", "direction=up", "before=nonsense"):
        page = read_page(network, f"/payments?{query}", 400)
        assert query.partition("=")[0] in page.find("main").text.lower() or "cursor" in page.find("main").text.lower()
        assert not any(page.find("main").find_all("table", "payments"))


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_filters_live_in_the_url_and_survive_reload_and_back(
    reader: Reader, past: Past, network: Network, script: bool
) -> None:
    page = reader.open("/payments", java_script_enabled=script)
    form = page.get_by_role("form", name="Filters")
    account = wire.encode_address(past.accounts[0])
    day = name_day(past.sent[0])
    form.get_by_label("Account").fill(account.lower())
    form.get_by_label("Direction").select_option("Out")
    form.get_by_label("Counterparty").fill(wire.encode_address(past.accounts[1]))
    form.get_by_label("Asset").select_option("TOK")
    form.get_by_label("Kind").select_option("transfer")
    form.get_by_label("From (UTC)").fill(day)
    form.get_by_label("Reference").fill("")
    form.get_by_role("button", name="Apply").click()
    wanted = [
        sent
        for sent in reversed(past.sent)
        if sent.payment.payer == past.accounts[0]
        and sent.payment.kind == "transfer"
        and sent.payment.asset == network.token
        and past.accounts[1] in [output.to for output in sent.payment.outputs]
    ]

    def check() -> None:
        query = dict(parse_qsl(page.url.partition("?")[2]))
        assert query["account"] == account.lower() and query["direction"] == "out"
        assert query["kind"] == "transfer" and query["from"] == day
        expect(form.get_by_label("Account")).to_have_value(account.lower())
        expect(form.get_by_label("Direction")).to_have_value("out")
        expect(form.get_by_label("Asset")).to_have_value(wire.encode_address(network.token))
        expect(form.get_by_label("Kind")).to_have_value("transfer")
        expect(form.get_by_label("From (UTC)")).to_have_value(day)
        expect(page.locator(f"main a[href='/tx/{wanted[0].name}']").first).to_be_visible()
        shown = get_ids(page)
        assert shown == [sent.name for sent in wanted[: len(shown)]]
        assert len(shown) == len(wanted) or len(shown) >= 20

    expect(page).to_have_url(re.compile("direction=out"))
    check()
    page.reload()
    check()
    page.locator("main table.payments a[href^='/tx/']").first.click()
    expect(page).to_have_url(re.compile("/tx/0x"))
    page.go_back()
    check()
    form.get_by_role("link", name="Clear").click()
    expect(page).to_have_url(re.compile("/payments$"))
    expect(form.get_by_label("Account")).to_have_value("")

    form.get_by_label("Kind").select_option("transfer")
    form.get_by_role("button", name="Apply").click()
    page.get_by_role("link", name="Next").click()
    expect(page).to_have_url(re.compile("kind=transfer.*before="))
    expect(form.get_by_label("Kind")).to_have_value("transfer")
    transfers = [sent.name for sent in reversed(past.sent) if sent.payment.kind == "transfer"]
    shown = get_ids(page)
    assert shown == transfers[len(shown) : 2 * len(shown)]
