"""Proof in the reader's own browser: green on what is true, red on whatever was changed, also from disk with the node
gone."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect

from chain import wire
from devnet.l1.process import L1Process
from tests.browser.conftest import CHALLENGE_SECONDS, EPOCH_SECONDS, TakeScreenshot
from tests.browser.past import Past
from tests.browser.watch import Reader
from tests.network import Network, run_network

Form = dict[str, Any]


@pytest.fixture(scope="module")
def receipt(network: Network, past: Past) -> Form:
    """Of a payment among many, in a block among several: no path of hashes is empty. Its epoch is final."""
    for sent in past.sent:
        if len(sent.payment.outputs) > 1 and sent.payment.memo:
            form: Form = network.wait_for_status(sent.name, "final")
            if len(form["siblings"]) > 2 and form["commitment"]["siblings"]:
                return form
    pytest.fail("no payment of the past is among others")


@pytest.fixture(scope="module")
def proof(network: Network, past: Past, receipt: Form) -> Form:
    """Of an account in the epoch of the receipt."""
    owner = wire.encode_address(past.accounts[0])
    epoch = receipt["commitment"]["epoch"]
    form: Form = network.call("tally_getAccountProof", owner, wire.encode_address(network.token), epoch)
    assert form["siblings"]
    return form


def verify(page: Page, form: Form) -> None:
    """Pastes a document into the Verify page, and has it checked."""
    # What comes into view from now on is about this document.
    page.locator(".outcome").evaluate("outcome => outcome.replaceChildren()")
    page.get_by_role("textbox", name="Text of the document").fill(json.dumps(form))
    page.get_by_role("button", name="Verify").click()


def expect_verdict(page: Page | Locator, *verdicts: str) -> None:
    expect(page.locator(", ".join([f".outcome [data-verdict={verdict}]" for verdict in verdicts]))).to_be_visible()


def expect_green(page: Page | Locator, *verdicts: str) -> None:
    """Of the outcome on a page, or in a part of one."""
    expect_verdict(page, *verdicts)
    steps = page.locator(".outcome ol.checks > li")
    assert steps.count() >= 5
    expect(page.locator(".outcome ol.checks > li:not(.done)")).to_have_count(0)


def expect_red(page: Page) -> None:
    expect_verdict(page, "failed")
    assert page.locator(".outcome ol.checks > li.failed").count() >= 1
    assert "✓" not in page.locator(".outcome .notice").inner_text()


# --- what is changed


def flip(text: str) -> str:
    """Another last digit."""
    return text[:-1] + f"{int(text[-1], 16) ^ 1:x}"


def raise_by_one(quantity: str) -> str:
    return hex(int(quantity, 16) + 1)


def change(*path: str | int, by: Callable[[Any], Any] = flip) -> Callable[[Form], Form]:
    def tamper(form: Form) -> Form:
        changed = copy.deepcopy(form)
        place = changed
        for name in path[:-1]:
            place = place[name]  # type: ignore[index]
        before = place[path[-1]]  # type: ignore[index]
        place[path[-1]] = by(before)  # type: ignore[index]
        assert place[path[-1]] != before  # type: ignore[index]
        return changed

    return tamper


def swap_outputs(form: Form) -> Form:
    changed = copy.deepcopy(form)
    changed["payment"]["outputs"][0], changed["payment"]["outputs"][1] = changed["payment"]["outputs"][1::-1]
    return changed


def claim_a_later_epoch(form: Form) -> Form:
    changed = copy.deepcopy(form)
    changed["commitment"]["epoch"] = raise_by_one(form["commitment"]["epoch"])
    changed["commitment"]["message"]["epoch"] = raise_by_one(form["commitment"]["message"]["epoch"])
    return changed


ANOTHER_ADDRESS: Final = "0x" + "5" * 40

TAMPERED_RECEIPTS: Final[dict[str, Callable[[Form], Form]]] = {
    "a larger amount": change("payment", "outputs", 0, "amount", by=raise_by_one),
    "another payee": change("payment", "outputs", 0, "to", by=lambda to: ANOTHER_ADDRESS),
    "outputs in another order": swap_outputs,
    "another memo": change("payment", "memo", by=lambda memo: memo + " "),
    "another nonce": change("payment", "nonce", by=raise_by_one),
    "another id": change("id"),
    "another signature of the payer": change("signature", by=lambda text: "0x" + flip(text[2:66]) + text[66:]),
    "a later block": change("block", "timestamp", by=raise_by_one),
    "another root of the block": change("block", "recordsRoot"),
    "another operator": change("block", "signature", by=lambda text: "0x" + flip(text[2:66]) + text[66:]),
    "another place in the block": change("index", by=lambda text: hex(int(text, 16) ^ 1)),
    "another neighbour in the block": change("siblings", 1),
    "a path that is too short": change("siblings", by=lambda siblings: siblings[:-1]),
    "another place in the epoch": change("commitment", "index", by=lambda text: hex(int(text, 16) ^ 1)),
    "another neighbour in the epoch": change("commitment", "siblings", 0),
    "another root of the epoch": change("commitment", "message", "blocksRoot"),
    "another total": change("commitment", "message", "assets", 0, "total", by=raise_by_one),
    "another epoch": claim_a_later_epoch,
    "another ledger": change("domain", "chainId", by=raise_by_one),
    "another contract": change("domain", "verifyingContract", by=lambda address: ANOTHER_ADDRESS),
}


@pytest.mark.long
def test_a_tampered_receipt_turns_red(page: Page, receipt: Form, take_screenshot: TakeScreenshot) -> None:
    page.goto("/verify")
    verify(page, receipt)
    expect_green(page, "final")
    for what, tamper in TAMPERED_RECEIPTS.items():
        print(what)
        verify(page, tamper(receipt))
        expect_red(page)
        take_screenshot(page, f"verify-{what.replace(' ', '-')}")
    verify(page, receipt)
    expect_green(page, "final")


def test_a_true_receipt_is_green_as_far_as_it_has_come(
    page: Page, receipt: Form, network: Network, past: Past, take_screenshot: TakeScreenshot
) -> None:
    page.goto("/verify")
    assert page.get_by_role("textbox", name="Ethereum RPC").input_value() == network.facts["l1Url"]
    verify(page, receipt)
    expect_green(page, "final")
    expect(page.locator(".outcome .notice")).to_contain_text(network.facts["settlement"])
    take_screenshot(page, "verify-final")
    # Without anybody who knows what the contract holds, only what the document says of itself.
    page.get_by_role("textbox", name="Ethereum RPC").fill("")
    verify(page, receipt)
    expect_verdict(page, "unchecked")
    assert page.locator(".outcome ol.checks > li.failed").count() == 0
    take_screenshot(page, "verify-unchecked")


def test_a_payment_just_made_is_accepted_and_no_more(page: Page, network: Network, past: Past) -> None:
    page.goto("/verify")
    for _ in range(3):  # should the epoch end in this very moment, the next one has begun
        sent = past.pay(4, (past.accounts[1], 7))
        form = network.call("tally_getReceipt", sent.name)
        if form["status"] == "accepted":
            break
    verify(page, form)
    expect_verdict(page, "accepted")
    verify(page, change("block", "timestamp", by=raise_by_one)(form))
    expect_red(page)


def test_the_page_of_a_payment_proves_it(
    page: Page, receipt: Form, network: Network, take_screenshot: TakeScreenshot
) -> None:
    page.goto(f"/tx/{receipt['id']}")
    page.get_by_role("button", name="Verify").click()
    expect_green(page, "final")
    take_screenshot(page, "payment-verified")


def test_a_node_that_lies_about_a_payment_is_seen(page: Page, receipt: Form, network: Network) -> None:
    """Its page asks the node for the receipt: what comes back is another one, true in itself."""
    lie = TAMPERED_RECEIPTS["a larger amount"](receipt)
    page.route("**/api/v1/payments/*/receipt", lambda route: route.fulfill(json=lie))
    page.goto(f"/tx/{receipt['id']}")
    page.get_by_role("button", name="Verify").click()
    expect_red(page)


TAMPERED_PROOFS: Final[dict[str, Callable[[Form], Form]]] = {
    "more was credited": change("leaf", "credits", by=raise_by_one),
    "a larger opening balance": change("leaf", "opening", by=raise_by_one),
    "another owner": change("leaf", "owner", by=lambda owner: ANOTHER_ADDRESS),
    "another place": change("index", by=lambda text: hex(int(text, 16) ^ 1)),
    "another neighbour": change("siblings", 0, "hash"),
    "a neighbour with more": change("siblings", 0, "sum", by=raise_by_one),
}


def test_the_page_of_an_account_proves_its_balance(
    page: Page, proof: Form, past: Past, network: Network, take_screenshot: TakeScreenshot
) -> None:
    """And its roles, each in a part of its own."""
    page.goto(f"/address/{wire.encode_address(past.accounts[0])}/proof")
    for name in ("Check it yourself", "Its roles"):
        part = page.get_by_role("region", name=name)
        part.get_by_role("button", name="Verify").click()
        expect_green(part, "committed", "final")
    expect(part.locator(".outcome")).to_contain_text("validator")
    take_screenshot(page, "account-verified")


def test_a_tampered_proof_of_an_account_turns_red(page: Page, proof: Form) -> None:
    page.goto("/verify")
    verify(page, proof)
    expect_green(page, "committed", "final")
    for what, tamper in TAMPERED_PROOFS.items():
        print(what)
        verify(page, tamper(proof))
        expect_red(page)
    verify(page, proof)
    expect_green(page, "committed", "final")


# --- without the node


@pytest.fixture(scope="module")
def leaving_network(tmp_path_factory: pytest.TempPathFactory, ethereum: L1Process) -> Iterator[Network]:
    """Another ledger on the same Ethereum, to be stopped."""
    directory = tmp_path_factory.mktemp("leaving")
    options = ["--l1-url", ethereum.url, "--epoch-seconds", str(EPOCH_SECONDS)]
    with run_network(directory, *options, "--challenge-period", str(CHALLENGE_SECONDS)) as network:
        network.session.headers["connection"] = "close"  # as in `network`
        yield network


@pytest.mark.long
def test_the_saved_page_verifies_from_disk_with_the_node_gone(
    browser: Browser, leaving_network: Network, tmp_path: Path, take_screenshot: TakeScreenshot
) -> None:
    network, l1_host = leaving_network, urlsplit(leaving_network.facts["l1Url"]).netloc
    url = network.facts["explorerUrl"]
    # No token is configured here.
    assert requests.get(f"{url}/operator", timeout=30).status_code == 404
    sent = Past(network).pay(0, (network.addresses[1], 5), memo="the node will be gone")
    network.wait_for_status(sent.name, "committed", "final")
    saved, file, tampered = tmp_path / "verify.html", tmp_path / "receipt.json", tmp_path / "tampered.json"

    reader = Reader(browser, url, {urlsplit(url).netloc, l1_host})
    page = reader.open("/verify", accept_downloads=True)
    with page.expect_download() as download:
        page.get_by_role("link", name="Save this page").click()
    download.value.save_as(saved)
    page.goto(f"/tx/{sent.name}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download this receipt").click()
    download.value.save_as(file)
    reader.close()
    assert reader.problems == []
    form = json.loads(file.read_text())
    tampered.write_text(json.dumps(TAMPERED_RECEIPTS["a larger amount"](form)))

    network.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=30)

    reader = Reader(browser, url, {l1_host})
    page = reader.open(saved.as_uri())
    page.locator("input[type=file]").set_input_files(file)
    expect_green(page, "committed", "final")
    expect(page.locator(".outcome")).to_contain_text("the node will be gone")
    take_screenshot(page, "verify-from-disk")
    page.locator("input[type=file]").set_input_files(tampered)
    expect_red(page)
    verify(page, form)
    expect_green(page, "committed", "final")
    reader.close()
    assert reader.problems == []
