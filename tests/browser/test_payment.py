"""A payment's page says what the ledger did, to the last base unit, and never more of its fate than there is evidence
for."""

import random
import re
from typing import Final

import pytest
import requests
from playwright.sync_api import Page, expect

from chain import wire
from chain.primitives import ETHER, ZERO_HASH
from tests.browser.conftest import CHALLENGE_SECONDS, EPOCH_SECONDS, TakeScreenshot
from tests.browser.markup import Element, parse
from tests.browser.past import HOSTILE_MEMOS, HOSTILE_NAMES, STATUSES, Past, Sent
from tests.browser.replay import replay
from tests.browser.site import name_account
from tests.network import Network

COUNT: Final = 1000

KINDS: Final = {
    "transfer": ("Transfer", "paid"),
    "tip": ("Tip", "tipped"),
    "withdraw": ("Withdrawal", "withdrew"),
    "upload": ("Upload", "uploaded"),
    "purchase": ("Purchase", "bought"),
    "extend": ("Extension", "extended"),
}
"""Kind → its name, and its verb."""

UNIT: Final = 18
"""Decimals of both assets."""


def parse_change(text: str) -> int:
    """Base units of "+1.5 TOK" or "−1,000 ETH"."""
    found = re.fullmatch(r"([+−]?)([0-9,]+)(?:\.([0-9]+))? (TOK|ETH)", text)
    assert found is not None, text
    sign, whole, fraction, _ = found.groups()
    units = int(whole.replace(",", "") + (fraction or "").ljust(UNIT, "0"))
    assert (units == 0) == (sign == ""), text
    return -units if sign == "−" else units


def read_changes(page: Element) -> dict[str, int]:
    changes: dict[str, int] = {}
    for row in page.find("main").find("table", "changes").find("tbody").find_all("tr"):
        account = row.find("a").attributes["href"].removeprefix("/address/")
        assert account not in changes, "a party has two lines"
        changes[account] = parse_change(row.find(None, "amount").text)
    return changes


def read_roles(page: Element) -> dict[str, str]:
    """Of those who take part, as the table of changes names them."""
    rows = page.find("main").find("table", "changes").find("tbody").find_all("tr")
    return {
        row.find("a").attributes["href"].removeprefix("/address/"): [cell.text for cell in row.find_all("td")][1]
        for row in rows
    }


def read_details(page: Element) -> dict[str, str]:
    """The table of details: name → text, of the first line of each name."""
    details: dict[str, str] = {}
    for line in page.find("main").find("dl", "pairs").find_all("div"):
        details.setdefault(line.find("dt").text, line.find("dd").text)
    return details


def read_steps(page: Element) -> dict[str, str]:
    """The way to finality: step → mark."""
    steps = page.find("main").find("ol", "steps")
    return {step.find("b").text: step.find(None, "mark").text for step in steps.find_all("li")}


def check_details(page: Element, sent: Sent, past: Past) -> None:
    payment, details = sent.payment, read_details(page)
    symbol = "ETH" if payment.asset == ETHER else "TOK"
    assert details["Payment id"] == sent.name
    parties = past.parties.get(sent.id)
    if parties is not None:
        check_file(page, sent, past)
        assert read_roles(page) == {wire.encode_address(party): role for party, role in parties.items()}
    payer = "From" if parties is None else "From the mart" if payment.kind == "purchase" else "From the validator"
    assert details[payer] == wire.encode_address(payment.payer)
    assert details["Kind"] == KINDS[payment.kind][0]
    assert details["Block"].startswith(f"{sent.block:,}, record ")
    assert parse_change("+" + details["Total"].split(f" {symbol}")[0] + f" {symbol}") == payment.total
    assert details["Nonce"] == f"{payment.nonce:,}"
    assert details["Reference"] == ("none" if payment.reference == ZERO_HASH else wire.encode_bytes(payment.reference))
    assert details["Memo"] == (HOSTILE_MEMOS.get(payment.memo, payment.memo) or "none")
    assert details["Valid until"] == ("2096-10-02 07:06:40.000 UTC" if payment.valid_until else "for ever")
    sentence = page.find("main").find("p", "sentence").text
    assert sentence.startswith(f"{details[payer]} {KINDS[payment.kind][1]} "), sentence


def check_file(page: Element, sent: Sent, past: Past) -> None:
    listed = past.files[sent.payment.reference]
    links = [link.attributes["href"] for link in page.find("main").find_all("a")]
    assert f"/file/{listed.name}" in links
    shown = HOSTILE_NAMES.get(listed.listing.name, listed.listing.name)
    named = read_details(page)["File"]
    assert named == shown or (named.endswith("…") and len(listed.listing.name) > 32)
    assert f"“{named}”" in page.find("main").find("p", "sentence").text


def check_steps(page: Element, status: str) -> None:
    """Nothing is called done that has not been."""
    steps = read_steps(page)
    assert list(steps) == ["Accepted", "Sealed", "Sent to Ethereum", "Committed", "Final"]
    assert steps["Accepted"] == "done"
    assert (steps["Committed"] == "done") == (status in ("committed", "final"))
    assert (steps["Final"] == "done") == (status == "final")
    assert "success" not in page.find("main").text.lower()


@pytest.mark.long
def test_the_page_equals_the_ledger_for_a_thousand_payments(network: Network, past: Past) -> None:
    chosen = random.Random(2).sample(past.sent, COUNT)
    assert {sent.payment.kind for sent in chosen} == set(KINDS)
    replayed = replay(network)
    for start in range(0, COUNT, 100):
        part = chosen[start : start + 100]
        before = past.get_statuses(part)
        pages = {}
        for sent in part:
            answer = network.session.get(f"{network.facts['explorerUrl']}/tx/{sent.name}", timeout=30)
            assert answer.status_code == 200
            pages[sent.name] = parse(answer.text)
        after = past.get_statuses(part)
        for sent in part:
            page = pages[sent.name]
            assert read_changes(page) == replayed.changes[sent.name], sent
            check_details(page, sent, past)
            shown = read_details(page)["Status"]
            known = [STATUSES.index(status) for status in (before[sent.name], after[sent.name])]
            assert known[0] <= STATUSES.index(shown) <= known[1], sent
            check_steps(page, shown)


def test_the_replay_agrees_with_the_ledger(network: Network, past: Past) -> None:
    """The oracle of the test above is held against the node's own balances."""
    replayed = replay(network)
    for number, account in enumerate(past.accounts):
        for asset in past.assets:
            balance = replayed.balances[wire.encode_address(account), wire.encode_address(asset)]
            assert balance == network.get_balance(account, asset), number
    assert set(replayed.changes) >= {sent.name for sent in past.sent}


@pytest.mark.long
def test_the_status_line_moves_by_itself_with_evidence_at_each_step(
    page: Page, network: Network, past: Past, take_screenshot: TakeScreenshot
) -> None:
    """Never ahead of what Ethereum says, and not much behind it."""
    past.pay(2, (past.accounts[3], 1))
    past.wait_for_cut()
    sent = past.pay(2, (past.accounts[3], 10**18))
    page.goto(f"/tx/{sent.name}")
    steps = page.get_by_role("list", name="From accepted to final")
    chip = page.locator("main dl.pairs .chip").first
    page.evaluate("window.isTheSamePage = true")

    def expect_marks(*marks: str, seconds: int) -> None:
        pattern = ".*".join([re.escape(mark) for mark in marks])
        expect(steps).to_have_text(re.compile(f".*{pattern}.*", re.DOTALL), timeout=seconds * 1000)

    expect(chip).to_have_text("accepted")
    expect_marks("Accepted done", "Sealed", "Committed not yet", "Final not yet", seconds=10)
    take_screenshot(page, "payment-accepted")

    expect_marks(
        "Accepted done", "Sealed done", "Sent to Ethereum done", "Committed done", seconds=4 * EPOCH_SECONDS + 15
    )
    expect(chip).to_have_text("committed")
    receipt = network.call("tally_getReceipt", sent.name)
    assert receipt["status"] in ("committed", "final")
    l1_transaction = receipt["commitment"]["l1Transaction"]
    expect(steps).to_contain_text(l1_transaction)
    expect(steps).to_contain_text(re.compile(r"attempt \d+"))
    expect(steps).to_contain_text(re.compile(r"\d+ confirmations?"))
    question = {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionReceipt", "params": [l1_transaction]}
    tx_receipt = requests.post(network.facts["l1Url"], json=question, timeout=30).json()["result"]
    assert tx_receipt["status"] == "0x1" and tx_receipt["to"].lower() == network.facts["settlement"].lower()
    expect(steps).to_contain_text(f"L1 block {int(tx_receipt['blockNumber'], 16):,}")
    take_screenshot(page, "payment-committed")

    expect_marks("Committed done", "Final done", seconds=CHALLENGE_SECONDS + 20)
    expect(chip).to_have_text("final")
    assert network.call("tally_getReceipt", sent.name)["status"] == "final"
    take_screenshot(page, "payment-final")
    assert page.evaluate("window.isTheSamePage") is True


def test_hostile_memos_are_text(page: Page, past: Past, take_screenshot: TakeScreenshot) -> None:
    """In a browser, too, where an event handler would run: `alert` would stop the page, and a dialog fails the test."""
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.set_viewport_size({"width": 360, "height": 740})
    for number, (memo, shown) in enumerate(HOSTILE_MEMOS.items()):
        sent = next(sent for sent in past.sent if sent.payment.memo == memo)
        page.goto(f"/tx/{sent.name}")
        expect(page.locator("main p.memo .words")).to_have_text(shown, use_inner_text=False)
        assert page.locator("main p.memo .words > *").count() == 0
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        take_screenshot(page, f"memo-{number}")
    assert dialogs == []


def test_parties_and_changes_in_the_browser(page: Page, network: Network, past: Past) -> None:
    replayed = replay(network)
    rng = random.Random(3)
    chosen = rng.sample([sent for sent in past.sent if len(sent.payment.outputs) > 3], 3)
    chosen += rng.sample([sent for sent in past.sent if sent.payment.kind == "withdraw"], 2)
    chosen += rng.sample(
        [sent for sent in past.sent if all(output.to == sent.payment.payer for output in sent.payment.outputs)], 2
    )
    for sent in chosen:
        page.goto(f"/tx/{sent.name}")
        rows = page.locator("main table.changes tbody tr").all()
        shown = {
            str(row.locator("a").first.get_attribute("href")).removeprefix("/address/"): parse_change(
                row.locator(".amount").inner_text().replace("\n", " ")
            )
            for row in rows
        }
        assert shown == replayed.changes[sent.name]


def test_paper_holds_what_it_says_it_holds(page: Page, past: Past) -> None:
    """Printed, nothing is left that can only be clicked, and a statement says which of its entries these are."""
    page.goto(f"/address/{name_account(past, 0)}/statement")
    page.emulate_media(media="print")
    expect(page.get_by_text(re.compile(r"^Entries 1 to \d+ of [\d,]+, oldest first"))).to_be_visible()
    for gone in ("Search the ledger", "Theme", "From (UTC)"):
        expect(page.get_by_label(gone)).to_be_hidden()
    expect(page.get_by_role("navigation", name="Pages", exact=True)).to_be_hidden()
    expect(page.get_by_role("link", name="CSV")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.documentElement).color") == "rgb(0, 0, 0)"
