"""The frame of a page, and the words that all pages are made of: whole, escaped, and usable without scripts."""

from typing import Any

import msgspec
import pytest

from chain.primitives import ETHER
from chain.wire import encode_address, encode_bytes
from explorer.charts import Point, draw_bars, draw_box, measure_count
from explorer.formatting import describe_token
from explorer.rendering import Pages
from node.ledger_info import ETHER_INFO
from tests.unit.explorer.reading import Page

PAGES = Pages()
TOKEN = describe_token(ETHER, ETHER_INFO)
ADDRESS = bytes(range(20))
ID = bytes(range(32))
NOW = 1_790_000_000_000
HOSTILE = ["<b>bold</b>", "\"><script>alert('x')</script>", "' onfocus='x", "&lt;i&gt;", "{{ 7*7 }}"]


def read(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert not page.open
    return page


def render(template: str, **values: Any) -> Page:
    """A template that has the macros as `show`."""
    text = '{% import "macros.html" as show %}' + template
    return read(PAGES._environment.from_string(text).render(now=NOW, token=TOKEN, **values))


def find(page: Page, tag: str) -> list[dict[str, str | None]]:
    return [attributes for name, attributes in page.elements if name == tag]


# --- the frame


def test_every_page_has_search_and_navigation_without_scripts() -> None:
    page = render('{% extends "base.html" %}')
    (search,) = [form for form in find(page, "form") if form.get("role") == "search"]
    assert (search["action"], search["method"]) == ("/search", "get")
    (field,) = find(page, "input")
    assert (field["name"], field["type"]) == ("q", "search")
    assert field["placeholder"] == "Address, payment, file, block, epoch"
    assert {"class": "sr", "for": field["id"]} in find(page, "label")
    paths = {link["href"] for link in find(page, "a")}
    assert paths >= {"/", "/payments", "/files", "/blocks", "/epochs", "/reserves", "/verify", "/developers"}
    assert not [link for link in find(page, "a") if "aria-current" in link]
    (theme,) = [box for box in find(page, "div") if box.get("class") == "theme"]
    assert "hidden" in theme, "it does nothing without a script"
    assert find(page, "script")[0] == {"src": PAGES.static["theme.js"].path}, "not at once: the page would flash"
    assert all("defer" in script for script in find(page, "script")[1:])


# --- values


def test_a_shortened_value_is_whole_for_machines_and_keyboards() -> None:
    text = encode_bytes(ID)
    page = render("{{ show.short(text) }}", text=text)
    (value,) = find(page, "code")
    assert page.text == text and value["title"] == text and value["tabindex"] == "0"
    page = render("{{ show.payment(id) }}", id=ID)
    assert page.text == text and find(page, "a")[0]["href"] == f"/tx/{text}"
    page = render("{{ show.address(address) }}", address=ADDRESS)
    assert page.text == encode_address(ADDRESS) and find(page, "a")[0]["href"] == f"/address/{encode_address(ADDRESS)}"
    assert render("{{ show.block(1234) }}").text == "1,234"


@pytest.mark.parametrize(
    ("change", "text", "name"), [(15, "+15", "plus"), (-15, "−15", "minus"), (0, "0", "")]
)  # fmt: skip
def test_a_change_says_its_sign_in_words_and_not_by_colour(change: int, text: str, name: str) -> None:
    page = render("{{ show.change(change, token) }}", change=change * 10**18)
    assert page.text == f"{text} ETH"
    assert find(page, "span")[0]["class"] == f"amount {name}"


def test_a_moment_has_its_age_and_an_age_its_moment() -> None:
    page = render("{{ show.moment(then, now) }}", then=NOW - 61_000)
    assert page.text == "2026-09-21 14:12:19.000 UTC 1 min ago"
    assert find(page, "time")[1]["title"] == "2026-09-21 14:12:19.000 UTC"
    assert "data-age" in find(page, "time")[1]


# --- structure


class Line(msgspec.Struct, frozen=True):
    account: bytes
    role: str
    change: int


def test_changes_are_a_table_of_accounts_and_signs() -> None:
    lines = [Line(ADDRESS, "Payer", -3), Line(bytes(20), "Recipient", 3)]
    page = render("{{ show.changes(lines, token) }}", lines=lines)
    assert page.get_rows("") == [
        [encode_address(ADDRESS), "Payer", "−0.000000000000000003 ETH"],
        [encode_address(bytes(20)), "Recipient", "+0.000000000000000003 ETH"],
    ]


@pytest.mark.parametrize(("mark", "said"), [("done", "done"), ("current", "now"), ("todo", "not yet"),
                                            ("failed", "failed")])  # fmt: skip
def test_a_step_says_in_words_how_far_it_is(mark: str, said: str) -> None:
    page = render('<ol>{% call show.step("Final", mark) %}since then{% endcall %}</ol>', mark=mark)
    assert page.text == f"Final {said} since then"
    (step,) = find(page, "li")
    assert step["class"] == mark and (step.get("aria-current") == "step") == (mark == "current")


def test_a_heading_says_where_the_page_stands() -> None:
    page = render('{{ show.heading("Block 7", trail=[("Blocks", "/blocks")], sub="sealed") }}')
    assert page.text == "Blocks Block 7 Block 7 sealed"
    assert find(page, "a") == [{"href": "/blocks"}]
    assert {"aria-current": "page"} in find(page, "li")
    page = render('{% call show.heading("Receipt") %}<a href="/x">Print</a>{% endcall %}')
    assert page.text == "Receipt Print" and not find(page, "nav")


def test_tabs_mark_the_current_one() -> None:
    page = render('{{ show.tabs([("a", "One", "/a"), ("b", "Two", "/b")], "b", "Parts") }}')
    assert find(page, "a") == [{"href": "/a"}, {"href": "/b", "aria-current": "page"}]


def test_a_pager_links_only_to_what_is_there() -> None:
    page = render('{{ show.pager("", "", "/payments?after=9", "newest first") }}')
    assert page.text == "First Previous Next newest first"
    assert find(page, "a") == [{"href": "/payments?after=9", "rel": "next"}]


def test_filters_are_labelled_and_keep_what_was_chosen() -> None:
    page = render(
        '{% call show.filters("/payments", reset="/payments") %}'
        '{{ show.choice_field("kind", "Kind", [("", "All"), ("tip", "Tips")], "tip") }}'
        '{{ show.text_field("to", "Counterparty", "0x12", error="not an address") }}'
        '{{ show.date_field("from", "From", "2026-01-01") }}{% endcall %}'
    )
    controls = [*find(page, "input"), *find(page, "select")]
    assert {label["for"] for label in find(page, "label")} == {control["id"] for control in controls}
    assert {"name": "to", "value": "0x12", "aria-invalid": "true", "aria-describedby": "error-to"}.items() <= (
        controls[0].items()
    )
    assert find(page, "p")[0]["id"] == "error-to" and "not an address" in page.text
    assert [option for option in find(page, "option") if "selected" in option] == [{"value": "tip", "selected": None}]
    (form,) = find(page, "form")
    assert (form["method"], form["action"]) == ("get", "/payments")
    assert find(page, "a") == [{"href": "/payments"}]


def test_a_chart_has_its_numbers_beside_it() -> None:
    chart = draw_bars(
        "Payments", [Point("1", "Hour 1", 5), Point("2", "Hour 2", 1_000)], measure_count("Count"), "Hour"
    )
    page = render("{{ show.chart(chart) }}", chart=chart)
    assert page.get_rows("") == [["Hour 1", "5"], ["Hour 2", "1,000"], ["All", "1,005"]]
    assert find(page, "details") and find(page, "figcaption")


def test_the_strip_links_to_its_epochs() -> None:
    boxes = [draw_box(8, "open", 1, "due in 5 s", 1, 2), draw_box(7, "final", 2_000, "1 min ago", 1, 1)]
    page = render("{{ show.strip(boxes) }}", boxes=boxes)
    assert [link["href"] for link in find(page, "a")] == ["/epoch/8", "/epoch/7"]
    assert [box["data-key"] for box in find(page, "li")] == ["epoch-8", "epoch-7"]
    assert "Epoch 8 1 payment open due in 5 s" in page.text
    assert "Epoch 7 2,000 payments final 1 min ago" in page.text


# --- what others say is text


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_are_text_in_every_macro(words: str) -> None:
    for template in (
        "{{ show.text(words) }}",
        "{{ show.heading(words, trail=[(words, words)], sub=words) }}",
        "{{ show.tabs([(words, words, words)], words, words) }}",
        "{{ show.pager(words, words, words, words) }}",
        "{{ show.text_field('memo', words, words, words, words) }}",
        "{{ show.choice_field('kind', words, [(words, words)], words, words) }}",
        "{{ show.short(words, words) }}{{ show.whole(words) }}{{ show.empty(words) }}",
        "{{ show.exports([(words, words)]) }}{{ show.chip(words) }}",
    ):
        harmless = render(template, words="harmless")
        page = render(template, words=words)
        assert [tag for tag, _ in page.elements] == [tag for tag, _ in harmless.elements], template
        assert [set(attributes) for _, attributes in page.elements] == [
            set(attributes) for _, attributes in harmless.elements
        ]
