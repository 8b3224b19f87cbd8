"""The explorer by keyboard alone: every stop can be seen, and there is a way from the front page to a proof."""

import json
import re
from typing import Final

from playwright.sync_api import Locator, Page, expect

from tests.browser.past import Past
from tests.browser.test_proof import expect_green
from tests.network import Network

MAX_STOPS: Final = 120

_LOOK_AT_FOCUS: Final = """() => {
  const at = document.activeElement;
  if (at === document.body) return null;
  const style = getComputedStyle(at);
  const box = at.getBoundingClientRect();
  const isMarked = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1 || style.boxShadow !== "none";
  return { what: at.outerHTML.slice(0, 200), isMarked, isThere: box.width > 0 && box.height > 0 };
}"""


def tab_to(page: Page, target: Locator, key: str = "Tab") -> None:
    """Every stop on the way has to be seen."""
    for _ in range(MAX_STOPS):
        page.keyboard.press(key)
        stop = page.evaluate(_LOOK_AT_FOCUS)
        if stop is None:
            continue  # it went around, through what is the browser's own
        assert stop["isThere"] and stop["isMarked"], stop["what"]
        if target.evaluate("target => target === document.activeElement"):
            return
    raise AssertionError(f"no way to {target} within {MAX_STOPS} stops")


def test_from_the_front_page_to_a_payment_to_its_proof(page: Page, past: Past, network: Network) -> None:
    receipt = network.wait_for_status(past.sent[0].name, "final")
    page.goto("/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()

    page.keyboard.press("/")
    page.keyboard.type(past.sent[0].name)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/tx/{past.sent[0].name}$"))
    tab_to(page, page.get_by_role("button", name="Verify"))
    page.keyboard.press("Enter")
    expect_green(page, "final")

    tab_to(
        page,
        page.get_by_role("navigation", name="Pages of the explorer").get_by_role("link", name="Verify"),
        "Shift+Tab",
    )
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/verify$"))
    tab_to(page, page.get_by_role("textbox", name="Text of the document"))
    page.keyboard.insert_text(json.dumps(receipt))
    tab_to(page, page.get_by_role("button", name="Verify"))
    page.keyboard.press("Enter")
    expect_green(page, "final")


def test_a_list_is_filtered_and_its_pages_are_turned(page: Page, past: Past) -> None:
    page.goto("/payments")
    tab_to(page, page.get_by_label("Kind"))
    page.keyboard.press("T")  # the first option that begins so
    tab_to(page, page.get_by_role("button", name="Apply"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("kind=transfer"))
    page.goto("/payments?kind=transfer&limit=5")
    tab_to(page, page.get_by_role("link", name="Next"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("kind=transfer.*before="))
    expect(page.get_by_label("Kind")).to_have_value("transfer")


def test_outputs_and_numbers_open_and_close(page: Page, past: Past) -> None:
    page.goto("/")
    for summary in (
        page.locator("main table.payments summary").first,
        page.locator("main figure.chart summary").first,
    ):
        details = summary.locator("xpath=..")
        summary.focus()
        page.keyboard.press("Enter")
        expect(details).to_have_attribute("open", "")
        page.keyboard.press("Enter")
        expect(details).not_to_have_attribute("open", "")
