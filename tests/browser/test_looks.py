"""What every page has to be: whole at every width, in both themes, readable without JavaScript, light, accessible."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.browser.conftest import TakeScreenshot
from tests.browser.past import Past
from tests.browser.site import ERRORS, OPERATOR, PATHS
from tests.browser.watch import Reader

AXE: Final = Path(__file__).parent.parent / "node_modules" / "axe-core" / "axe.min.js"

WIDTHS: Final = {360: 740, 1400: 900}
"""Of a small phone and of a wide screen, with their heights."""

MAX_WEIGHT: Final = 150_000
"""Bytes that cross the network for a page, with nothing cached."""

_GRAVE: Final = ("serious", "critical")

every_page = pytest.mark.parametrize("name", PATHS)
both_themes = pytest.mark.parametrize("theme", ["light", "dark"])


@every_page
@both_themes
def test_a_page_fits_every_width_and_is_accessible(
    reader: Reader, past: Past, take_screenshot: TakeScreenshot, name: str, theme: str
) -> None:
    for width, height in WIDTHS.items():
        page = _open(reader, past, name, color_scheme=theme, viewport={"width": width, "height": height})
        assert _measure_overflow(page) == []
        take_screenshot(page, f"{name.replace(' ', '-').replace(',', '')}-{width}-{theme}")
        assert list(_find_violations(page)) == []
        page.context.close()


@every_page
def test_a_page_is_light_and_says_what_it_is(reader: Reader, past: Past, name: str) -> None:
    page = reader.open()
    weighed = _weigh(page.context.new_cdp_session(page))
    response = _go(reader, page, past, name)
    page.wait_for_load_state("load")
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe" not in response.headers["content-security-policy"]
    assert sum(weighed.values()) < MAX_WEIGHT, weighed
    assert page.title().endswith("· Tallystick")
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.locator("html")).to_have_attribute("lang", "en")


@every_page
def test_a_page_is_readable_without_javascript(
    reader: Reader, past: Past, take_screenshot: TakeScreenshot, name: str
) -> None:
    page = _open(reader, past, name, java_script_enabled=False, viewport={"width": 1000, "height": 800})
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    assert len(page.get_by_role("main").inner_text()) > 60
    expect(page.get_by_role("searchbox")).to_be_visible()
    for name_of_page in ("Home", "Payments", "Blocks", "Epochs", "Reserves", "Verify", "Developers"):
        expect(page.get_by_role("link", name=name_of_page, exact=True).first).to_be_visible()
    # Nothing waits for a script for ever, and nothing that only a script can do is offered.
    assert page.locator("button:visible:not([type=submit])").count() == 0
    take_screenshot(page, f"{name.replace(' ', '-').replace(',', '')}-without-javascript")


def _open(reader: Reader, past: Past, name: str, **options: Any) -> Page:
    page = reader.open(**options, **(OPERATOR if name == "operator" else {}))
    _go(reader, page, past, name)
    return page


def _go(reader: Reader, page: Page, past: Past, name: str) -> Any:
    path = PATHS[name](past)
    if name in ERRORS:
        reader.expect_trouble(path.partition("?")[0])
    response = page.goto(path)
    assert response is not None
    assert response.status == (404 if name in ERRORS else 200)
    return response


def _measure_overflow(page: Page) -> list[str]:
    """What sticks out to the right of the window, outside of boxes that scroll by themselves."""
    found: list[str] = page.evaluate(
        """() => {
          const root = document.scrollingElement;
          if (root.scrollWidth <= innerWidth) return [];
          return [`${root.scrollWidth} > ${innerWidth}`, ...[...document.querySelectorAll("body *")]
            .filter((element) => element.getBoundingClientRect().right > innerWidth)
            .map((element) => element.outerHTML.slice(0, 120))];
        }"""
    )
    return found


def _find_violations(page: Page) -> Iterator[str]:
    """Evaluated by the browser's debugger, which no policy holds back."""
    if not AXE.exists():
        pytest.fail(f"{AXE} is missing: run `make test`, or `npm ci` in tests/")
    page.evaluate(AXE.read_text() + "; undefined")
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    for violation in result["violations"]:
        if violation["impact"] in _GRAVE:
            for node in violation["nodes"]:
                yield f"{violation['id']}: {node['html'][:200]}: {node['failureSummary']}"


def _weigh(session: CDPSession) -> dict[str, int]:
    """Bytes as they crossed the network, headers included, by address; filled while the page loads."""
    names: dict[str, str] = {}
    weighed: dict[str, int] = {}

    def begin(event: dict[str, Any]) -> None:
        names[event["requestId"]] = event["request"]["url"]

    def end(event: dict[str, Any]) -> None:
        weighed[names[event["requestId"]]] = int(event["encodedDataLength"])

    session.on("Network.requestWillBeSent", begin)
    session.on("Network.loadingFinished", end)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    return weighed
