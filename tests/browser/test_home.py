"""The front page: what was just paid is there at once."""

from collections.abc import Callable
from time import time

import pytest
from playwright.sync_api import Page

from chain.payment import compute_payment_id
from tests.browser.past import Past
from tests.browser.watch import Reader
from tests.network import Network

LIMIT_MS = 1000
"""From sending a payment until a reader sees it."""

_WATCH_FOR = """id => {
  window.seen = new Promise((resolve) => {
    const look = () => {
      const link = document.querySelector(`main a[href="/tx/${id}"]`);
      if (!link) return;
      observer.disconnect();
      resolve([Date.now(), link.closest("tr, li, article, section").textContent]);
    };
    const observer = new MutationObserver(look);
    observer.observe(document.body, { childList: true, subtree: true, attributes: true });
    look();
  });
}"""
"""`window.seen`: when the payment came into the page, by the clock that is also Python's, and the line it is in."""


def see_payment(page: Page, past: Past, network: Network, payer: int, **fields: object) -> tuple[int, str]:
    """Milliseconds from sending a payment until it is in the page, and the line it is in."""
    payment = past.write(payer, (network.addresses[1], 12_345 * 10**14), **fields)
    payment_id = compute_payment_id(payment, network.domain)
    page.evaluate(_WATCH_FOR, "0x" + payment_id.hex())
    sent_ms = time() * 1000
    past.send(payment)
    seen_ms, line = page.evaluate("window.seen")
    return int(seen_ms - sent_ms), line


@pytest.mark.timed
def test_a_payment_is_on_the_front_page_within_a_second(page: Page, past: Past, network: Network) -> None:
    page.goto("/")
    past.pay(2, (network.addresses[1], 1))
    past.wait_for_cut()
    for payer in range(2, 7):
        delay_ms, line = see_payment(page, past, network, payer)
        print(f"seen after {delay_ms} ms")
        assert delay_ms < LIMIT_MS
        assert "1.2345" in line and "accepted" in line.lower()


def test_the_front_page_without_javascript_has_it_when_asked_again(
    reader: Reader, past: Past, network: Network, take_screenshot: Callable[[Page, str], None]
) -> None:
    page = reader.open("/", java_script_enabled=False)
    sent = past.pay(3, (network.addresses[4], 1))
    link = page.locator(f'main a[href="/tx/{sent.name}"]')
    for _ in range(20):  # the index follows the journal within moments
        page.reload()
        if link.count():
            break
    assert link.count() == 1
    take_screenshot(page, "home-without-javascript")
