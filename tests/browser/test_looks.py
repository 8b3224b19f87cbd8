"""What every page has to be: whole at every width, in both themes, readable without JavaScript, light, accessible."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import CDPSession, Page, Response, expect

from tests.browser.conftest import TakeScreenshot
from tests.browser.past import Past
from tests.browser.site import ERRORS, OPERATOR, PATHS
from tests.browser.watch import Reader

AXE: Final = Path(__file__).parent.parent / "node_modules" / "axe-core" / "axe.min.js"

WIDE: Final = {"width": 1400, "height": 900}
NARROW: Final = {"width": 360, "height": 740}
"""Windows on a wide screen, and on a small phone."""

VIEWS: Final = (
    ("light", WIDE, True),
    ("light", NARROW, False),
    ("dark", NARROW, True),
    ("dark", WIDE, False),
)
"""Theme, window, and whether to look for what keeps people out: in each theme, and in each window, once."""

MAX_WEIGHT: Final = 150_000
"""Bytes that cross the network for a page, with nothing cached."""

_GRAVE: Final = ("serious", "critical")

every_page = pytest.mark.parametrize("name", PATHS)


@every_page
def test_a_page_is_light_fits_every_window_and_keeps_nobody_out(
    reader: Reader, past: Past, take_screenshot: TakeScreenshot, name: str
) -> None:
    page = reader.open(**(OPERATOR if name == "operator" else {}))
    weighed = _weigh(page.context.new_cdp_session(page))
    response = _go(reader, page, past, name)
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert sum(weighed.values()) < MAX_WEIGHT, weighed
    assert page.title().endswith("· Tallystick")
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.locator("html")).to_have_attribute("lang", "en")
    for theme, window, is_checked in VIEWS:
        # What has just come into a page fades in, where motion is wanted: colours are measured when they are there.
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.set_viewport_size(window)
        assert _measure_overflow(page) == [], f"{theme}, {window['width']} px"
        take_screenshot(page, f"{_name_file(name)}-{window['width']}-{theme}")
        if is_checked:
            assert list(_find_violations(page)) == [], f"{theme}, {window['width']} px"


@every_page
def test_a_page_is_readable_without_javascript(
    reader: Reader, past: Past, take_screenshot: TakeScreenshot, name: str
) -> None:
    page = reader.open(java_script_enabled=False, **(OPERATOR if name == "operator" else {}))
    _go(reader, page, past, name)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    assert len(page.get_by_role("main").inner_text()) > 50
    expect(page.get_by_role("searchbox")).to_be_visible()
    for name_of_page in ("Home", "Files", "Payments", "Blocks", "Epochs", "Reserves", "Verify", "Developers"):
        expect(page.get_by_role("link", name=name_of_page, exact=True).first).to_be_visible()
    # Nothing waits for a script for ever, and nothing that only a script can do is offered.
    assert page.locator("button:visible:not([type=submit])").count() == 0
    take_screenshot(page, f"{_name_file(name)}-without-javascript")


def _name_file(name: str) -> str:
    return name.replace(",", "").replace("'", "").replace(" ", "-")


def _go(reader: Reader, page: Page, past: Past, name: str) -> Response:
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
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text() + "; undefined")
    result = page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
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
