"""The frame around every page: theme, search key, copying, and how a page is kept current. The node is played by the
test, which decides what it answers and when something is new; everything that the browser does is real."""

import re
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from explorer.formatting import format_age
from explorer.headers import CONTENT_SECURITY_POLICY
from explorer.ledger import LedgerFacts
from explorer.rendering import Pages
from tests.browser.watch import PATIENCE_MS, Reader

HOST: Final = "localhost"
BASE: Final = f"http://{HOST}"
NOW: Final = 1_790_000_000_000
ID: Final = "0x" + "8f3a" * 16
ADDRESS: Final = bytes(range(20))

_EVENTS: Final = """
window.sources = [];
window.EventSource = class extends EventTarget {
  static OPEN = 1;
  constructor(url) { super(); this.url = url; this.readyState = 0; sources.push(this); }
  open() { this.readyState = 1; this.dispatchEvent(new Event("open")); }
  emit(type, data) { this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data) })); }
  fail() { this.readyState = 0; this.dispatchEvent(new Event("error")); }
  close() { this.readyState = 2; }
};
const ask = window.fetch;
window.asked = 0;
window.fetch = (...question) => { window.asked += 1; return ask(...question); };
"""
"""Events in the test's hands, and a count of how often the page is read again."""

_SAY_SOMETHING_IS_NEW: Final = "sources.at(-1).emit('ledger', {height: %d, mined: 0, final: 0})"

_TEMPLATE: Final = """{% extends "ledger.html" %}{% import "macros.html" as show %}
{% set nav = "payments" %}
{% block title %}Frame{% endblock %}
{% block pace %} data-gap="400"{% endblock %}
{% block main %}
<h1>Frame</h1>
{% call show.filters("/payments") %}{{ show.text_field("memo", "Memo") }}{% endcall %}
<div data-live="facts"><p id="facts">{{ facts }}</p>{{ show.age(then, now) }}</div>
<table data-live="rows"><tbody>
{% for key, words in rows %}<tr data-key="{{ key }}"><td>{{ words }} {{ show.short(id) }}
  <details><summary>more of {{ key }}</summary>hidden {{ key }}</details></td></tr>{% endfor %}
</tbody></table>
<ul id="ages">{% for time in ages %}<li>{{ show.age(time, now) }}</li>{% endfor %}</ul>
<p>{{ show.whole(id) }}</p>
{% endblock %}"""


class Node:
    """What the page is made of."""

    def __init__(self) -> None:
        pages = Pages()
        self._files = {file.path: file for file in pages.static.values()}
        self._template = pages._environment.from_string(_TEMPLATE)
        self.values: dict[str, Any] = {
            "facts": "as it was", "rows": [("a", "first"), ("b", "second")], "ages": [], "then": NOW - 5_000,
            "head": "7 0 0",
        }  # fmt: skip
        self.health: dict[str, Any] = {"status": "ready", "checks": {}}
        self.now = NOW
        self.status = 200
        self.held: list[Route] | None = None
        """Questions that are not answered yet, if any is to wait."""

    def answer(self, route: Route) -> None:
        path = route.request.url.removeprefix(BASE)
        if path in self._files:
            file = self._files[path]
            route.fulfill(body=file.content, content_type=file.media_type)
            return
        assert path == "/page", path
        if self.held is None:
            self.fulfill(route)
        else:
            self.held.append(route)

    def fulfill(self, route: Route) -> None:
        body = self._template.render(
            **self.values, id=ID, now=self.now, health=self.health,
            ledger=LedgerFacts(chain_id=7, l1_chain_id=1, settlement="0x" + "ab" * 20, operator="0x" + "cd" * 20),
        )  # fmt: skip
        headers = {"content-security-policy": CONTENT_SECURITY_POLICY}
        route.fulfill(status=self.status, body=body, content_type="text/html; charset=utf-8", headers=headers)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def reader(browser: Browser) -> Iterator[Reader]:
    reader = Reader(browser, BASE, {HOST})
    yield reader
    reader.close()
    assert not reader.problems


def open_page(reader: Reader, node: Node, *scripts: str, **options: Any) -> Page:
    """With the clock stopped at `NOW`."""
    page = reader.open(**options)
    page.route("**/*", node.answer)
    for script in (_EVENTS, *scripts):
        page.add_init_script(script)
    if options.get("java_script_enabled", True):
        page.clock.install(time=NOW / 1000 - 3_600)  # it runs until it is stopped, and cannot be stopped in its past
        page.clock.pause_at(NOW / 1000)
    page.goto("/page")
    return page


@pytest.fixture
def page(reader: Reader, node: Node) -> Page:
    """Live: the events have begun, and said nothing new."""
    page = open_page(reader, node)
    page.evaluate("sources[0].open()")
    say_something_is_new(page, height=7)
    assert count_reads(page) == 0
    return page


def count_reads(page: Page) -> int:
    """After the first, which the browser did."""
    count: int = page.evaluate("asked")
    return count


def say_something_is_new(page: Page, height: int = 8) -> None:
    page.evaluate(_SAY_SOMETHING_IS_NEW % height)


def pass_time(page: Page, milliseconds: int) -> None:
    """Of the page's clock."""
    page.clock.run_for(milliseconds)


# --- theme


def get_ground(page: Page) -> str:
    ground: str = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return ground


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_theme_is_the_systems_until_the_reader_chooses(reader: Reader, node: Node, system: str) -> None:
    light, dark = "rgb(247, 247, 244)", "rgb(20, 24, 26)"
    page = open_page(reader, node, color_scheme=system)
    switch = page.get_by_label("Theme")
    expect(switch).to_have_value("system")
    assert get_ground(page) == (light if system == "light" else dark)
    for choice, ground in (("dark", dark), ("light", light)):
        switch.select_option(choice)
        assert get_ground(page) == ground
        page.reload()
        expect(switch).to_have_value(choice)
        assert get_ground(page) == ground
    switch.select_option("system")
    page.reload()
    assert get_ground(page) == (light if system == "light" else dark)


def test_where_nothing_may_be_stored_the_theme_holds_for_the_page(reader: Reader, node: Node) -> None:
    forbid = (
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
    )
    page = open_page(reader, node, forbid, color_scheme="light")
    page.get_by_label("Theme").select_option("dark")
    assert get_ground(page) == "rgb(20, 24, 26)"


def test_without_javascript_the_theme_is_the_systems_and_no_switch_is_shown(reader: Reader, node: Node) -> None:
    page = open_page(reader, node, color_scheme="dark", java_script_enabled=False)
    expect(page.locator("#theme")).to_be_hidden()
    expect(page.locator("#pulse")).to_be_hidden()
    expect(page.locator(".copy")).to_have_count(0)


# --- keys, values


def test_a_slash_goes_to_the_search_but_not_from_a_field(page: Page) -> None:
    page.keyboard.press("/")
    search = page.get_by_role("searchbox")
    expect(search).to_be_focused()
    expect(search).to_have_value("")
    page.keyboard.press("/")
    expect(search).to_have_value("/")
    memo = page.get_by_label("Memo")
    memo.press("/")
    expect(memo).to_be_focused()
    expect(memo).to_have_value("/")


def test_the_current_page_is_marked_in_the_navigation(page: Page) -> None:
    marked = page.get_by_role("navigation", name="Pages of the explorer").locator("[aria-current=page]")
    expect(marked).to_have_text(["Payments"])


def test_a_button_copies_the_whole_value_and_says_so(reader: Reader, node: Node) -> None:
    page = open_page(reader, node, permissions=["clipboard-read", "clipboard-write"])
    for place in (0, -1):  # shortened, in full
        page.evaluate("navigator.clipboard.writeText('')")
        button = page.get_by_role("main").get_by_role("button", name="Copy 0x8f3a8f3a…").nth(place)
        button.press("Enter")
        expect(button).to_have_attribute("data-state", "copied")
        pass_time(page, 60)
        expect(page.get_by_role("status").last).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == ID
        pass_time(page, 2_000)
        assert button.get_attribute("data-state") is None


def test_the_keyboard_opens_a_shortened_value(page: Page) -> None:
    value = page.locator("tr code.short").first
    narrow = value.evaluate(
        "element => element.querySelector('span').scrollWidth > element.querySelector('span').offsetWidth"
    )
    assert narrow, "the value is not shortened"
    value.focus()
    assert value.locator("i").evaluate("element => getComputedStyle(element).display") == "none"
    assert value.locator("span").evaluate("element => getComputedStyle(element).display") == "inline"
    assert value.inner_text() == ID


# --- live


def test_what_differs_is_replaced_and_the_rest_is_left_alone(page: Page, node: Node) -> None:
    page.evaluate("document.querySelectorAll('[data-live], tr').forEach((element) => { element.mine = true; })")
    node.values["rows"] = [("c", "new"), ("a", "first"), ("b", "changed")]
    node.now += 3_000
    say_something_is_new(page)
    pass_time(page, 10)
    expect(page.locator("tr")).to_have_count(3)
    expect(page.locator("tr td")).to_contain_text(["new", "first", "changed"])
    assert page.locator(".fresh").evaluate_all("rows => rows.map((row) => row.dataset.key)") == ["c"]
    mine = "elements => elements.filter((element) => element.mine).map((element) => element.dataset.live)"
    assert page.locator("[data-live]").evaluate_all(mine) == ["banner", "facts"]
    expect(page.locator("[data-live=facts] time")).to_have_text("8 s ago")
    expect(page.locator("tr .copy")).to_have_count(3)


def test_the_banner_comes_and_goes_while_the_page_is_open(page: Page, node: Node) -> None:
    banner = page.locator(".banner")
    expect(banner).to_have_count(0)
    well = node.health
    committer = {"state": "l1_unreachable", "ok": False, "detail": "10.0.0.7 said no", "since": NOW - 120_000}
    node.health = {"status": "degraded", "checks": {"committer": committer}}
    say_something_is_new(page)
    pass_time(page, 10)
    expect(banner.get_by_role("listitem")).to_have_text([re.compile(r"^Commitments: They wait: .+ Began 2 min ago\.$")])
    expect(page.locator("body")).not_to_contain_text("10.0.0.7")
    node.health = well
    say_something_is_new(page, 9)
    pass_time(page, 1_000)
    expect(banner).to_have_count(0)


def test_focus_and_what_was_opened_survive(page: Page, node: Node) -> None:
    summary = page.get_by_text("more of b")
    summary.press("Enter")
    expect(page.locator("details[open] summary")).to_have_text(["more of b"])
    node.values["rows"] = [("c", "new"), ("a", "first"), ("b", "changed")]
    say_something_is_new(page)
    pass_time(page, 10)
    expect(page.locator("tr")).to_have_count(3)
    assert page.locator("details[open] summary").all_inner_texts() == ["more of b"]
    expect(page.get_by_text("more of b")).to_be_focused()


def test_what_is_being_selected_is_left_in_peace(page: Page, node: Node) -> None:
    page.evaluate("getSelection().selectAllChildren(document.getElementById('facts'))")
    node.values |= {"facts": "changed", "rows": [("c", "new")]}
    say_something_is_new(page)
    pass_time(page, 10)
    expect(page.locator("tr")).to_have_count(1)
    expect(page.locator("#facts")).to_have_text("as it was")
    page.evaluate("getSelection().removeAllRanges()")
    page.wait_for_function("() => getSelection().isCollapsed", polling=10)
    pass_time(page, 400)
    expect(page.locator("#facts")).to_have_text("changed")


def test_a_burst_of_news_is_read_once_and_then_once_more(page: Page, node: Node) -> None:
    node.held = []
    for height in range(8, 28):
        say_something_is_new(page, height)
        pass_time(page, 50)
    assert count_reads(page) == 1, "a second question while the first is not answered"
    node.values["facts"] = "changed"
    wait_until(page, lambda: bool(node.held))
    held, node.held = node.held, None
    for route in held:
        node.fulfill(route)
    expect(page.locator("#facts")).to_have_text("changed")
    pass_time(page, 400)
    pass_time(page, 5_000)
    assert count_reads(page) == 2, "what came meanwhile is read once"


def wait_until(page: Page, is_so: Callable[[], bool]) -> None:
    """Lets the browser go on, whose clock stands still meanwhile."""
    deadline = monotonic() + PATIENCE_MS / 1000
    while not is_so():
        assert monotonic() < deadline
        page.evaluate("null")


def test_between_two_questions_is_a_pause(page: Page, node: Node) -> None:
    node.values["facts"] = "first"
    say_something_is_new(page)
    pass_time(page, 1)
    expect(page.locator("#facts")).to_have_text("first")
    say_something_is_new(page, 9)
    pass_time(page, 398)
    assert count_reads(page) == 1
    pass_time(page, 1)
    assert count_reads(page) == 2


def test_after_failures_it_waits_longer_and_longer(reader: Reader, node: Node) -> None:
    reader.expect_trouble("/page")
    page = open_page(reader, node, "Math.random = () => 0.5")
    pulse = page.locator("#pulse")
    page.evaluate("sources[0].open()")
    node.status = 503
    say_something_is_new(page)
    pass_time(page, 1)
    for place, wait_ms in enumerate((1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000), 1):
        expect(pulse).to_have_text("Not up to date, trying again")
        say_something_is_new(page)  # makes it no more impatient
        pass_time(page, wait_ms - 1)
        assert count_reads(page) == place
        page.evaluate("document.getElementById('pulse').textContent = ''")
        pass_time(page, 1)
        assert count_reads(page) == place + 1
    expect(pulse).to_have_text("Not up to date, trying again")
    node.status = 200
    node.values["facts"] = "changed"
    pass_time(page, 60_000)
    expect(page.locator("#facts")).to_have_text("changed")
    expect(pulse).to_have_text("Live")


def test_lost_events_are_asked_for_again_and_the_reader_is_told(reader: Reader, node: Node) -> None:
    page = open_page(reader, node, "Math.random = () => 0.5")
    pulse = page.locator("#pulse")
    page.evaluate("sources[0].open()")
    expect(pulse).to_have_text("Live")
    for wait_ms in (1_000, 2_000, 4_000):
        count = page.evaluate("sources.at(-1).fail(); sources.length")
        expect(pulse).to_have_text("Not live, trying again")
        pass_time(page, wait_ms - 1)
        assert page.evaluate("sources.length") == count
        pass_time(page, 1)
        assert page.evaluate("sources.length") == count + 1
    page.evaluate("sources.at(-1).open()")
    expect(pulse).to_have_text("Live")
    assert page.evaluate("sources.filter((source) => source.readyState !== 2).length") == 1


def test_nothing_is_asked_while_nobody_looks(page: Page, node: Node) -> None:
    look = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });" \
           "document.dispatchEvent(new Event('visibilitychange')); }"  # fmt: skip
    page.evaluate(look, True)
    assert page.evaluate("sources.map((source) => source.readyState)") == [2]
    pass_time(page, 600_000)
    assert count_reads(page) == 0 and page.evaluate("sources.length") == 1
    node.values["facts"] = "changed"
    page.evaluate(look, False)
    page.evaluate("sources[1].open()")
    say_something_is_new(page)
    pass_time(page, 10)
    expect(page.locator("#facts")).to_have_text("changed")


def test_a_page_without_anything_live_does_not_listen(reader: Reader, node: Node) -> None:
    node._template = node._template.environment.from_string(_TEMPLATE.replace("data-live", "data-still"))
    page = open_page(reader, node)
    assert page.evaluate("sources.length") == 0


def test_ages_are_said_as_the_node_says_them(reader: Reader, node: Node) -> None:
    ages = [0, 999, 1_000, 59_999, 60_000, 3_599_999, 3_600_000, 86_399_999, 86_400_000, 10**10]
    times = [NOW - age for age in ages] + [NOW + age for age in ages]
    node.values["ages"] = times
    # The node's clock is an hour before the reader's: ages are of the node's.
    node.now = NOW + 3_600_000
    page = open_page(reader, node)
    for passed_ms in (0, 1_000, 60_000, 3_600_000):
        pass_time(page, passed_ms)
        node.now += passed_ms
        shown = page.locator("#ages li").all_inner_texts()
        assert shown == [format_age(time, node.now) for time in times]
