"""What is not there is said so, with a way on; what is the operator's opens with the token only."""

import re

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.browser.conftest import OPERATOR_TOKEN
from tests.browser.markup import parse
from tests.browser.past import Past
from tests.browser.site import OPERATOR
from tests.browser.watch import Reader
from tests.network import Network

UNKNOWN = "0x" + "ab" * 32


@pytest.mark.parametrize(
    "path",
    [
        f"/tx/{UNKNOWN}",
        "/tx/junk",
        f"/tx/{UNKNOWN}/receipt",
        "/block/999999999",
        f"/block/{UNKNOWN}",
        "/block/latest-but-one",
        "/epoch/999999999",
        "/epoch/first",
        "/address/0x1234",
        "/address/junk/statement",
        "/tx/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/no/such/page",
    ],
)
def test_an_unknown_name_gives_a_404_that_helps(network: Network, past: Past, path: str) -> None:
    answer = network.session.get(network.facts["explorerUrl"] + path, timeout=30)
    assert answer.status_code == 404
    page = parse(answer.text)
    main = page.find("main")
    assert "not" in main.text and len(main.text) > 80
    assert any(link.attributes.get("href") == "/" for link in main.find_all("a"))
    assert page.find("input").attributes["name"] == "q"
    assert not any(page.find("body").find_all("script"))


def test_the_way_on_from_a_404_works(reader: Reader, past: Past) -> None:
    reader.expect_trouble(f"/tx/{UNKNOWN}")
    page = reader.open(f"/tx/{UNKNOWN}")
    expect(page.get_by_role("main")).to_contain_text(UNKNOWN)
    page.keyboard.press("/")
    page.keyboard.type(past.sent[0].name)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/tx/{past.sent[0].name}$"))


def test_the_operators_page_needs_its_token(network: Network) -> None:
    url = network.facts["explorerUrl"] + "/operator"
    for authorization in (None, ("operator", "wrong"), (OPERATOR_TOKEN, ""), ("operator", OPERATOR_TOKEN[:-1])):
        answer = requests.get(url, auth=authorization, timeout=30)
        assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Basic ")
        assert "no-store" in answer.headers["cache-control"]
        # Nothing of what the page shows is in the refusal.
        assert "Committer" not in answer.text and "Budget" not in answer.text
    assert requests.get(f"{url}?token={OPERATOR_TOKEN}", timeout=30).status_code == 401
    assert requests.get(url, auth=("anybody", OPERATOR_TOKEN), timeout=30).status_code == 200
    bearer = {"authorization": f"Bearer {OPERATOR_TOKEN}"}
    assert requests.get(url, headers=bearer, timeout=30).status_code == 200


def test_the_operator_sees_how_the_node_is(reader: Reader, past: Past, network: Network) -> None:
    refused = network.refuse("tally_sendPayment", *network.sign(0, [(network.addresses[1], 10**30)]))
    page = reader.open("/operator", **OPERATOR)
    main = page.get_by_role("main")
    for words in ("Committer", "Budget of 24 hours", "Deposits waiting", refused.replace("_", " ")):
        expect(main).to_contain_text(re.compile(re.escape(words).replace(r"\ ", "[ _]"), re.IGNORECASE))
    assert OPERATOR_TOKEN not in page.content()


def test_no_page_links_to_the_operators(page: Page) -> None:
    page.goto("/")
    assert page.locator("a[href^='/operator']").count() == 0
