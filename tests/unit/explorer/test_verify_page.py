"""The Verify page is one file, which nothing outside it can change and which needs nothing outside it."""

import base64
import copy
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from chain.wire import encode_address
from explorer.ledger import LedgerFacts
from explorer.rendering import load_pages
from explorer.static_files import StaticFile
from explorer.verify_page import VerifyPage, make_verify_page
from tests.unit.client.scene import DOMAIN, OPERATOR, SETTLEMENT

LEDGER = LedgerFacts(
    chain_id=DOMAIN.chain_id,
    l1_chain_id=31337,
    settlement=encode_address(SETTLEMENT),
    operator=encode_address(OPERATOR),
)
MAX_WEIGHT = 150_000
EXECUTED = ("script", "style")


class Reader(HTMLParser):
    """Takes a page apart as a browser does: what stands in scripts and styles, and every attribute."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.contents: dict[str, list[str]] = {name: [] for name in EXECUTED}
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self._open: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in EXECUTED:
            self._open = tag
            self.contents[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open:
            self.contents[self._open][-1] += data


@pytest.fixture(scope="module")
def page() -> VerifyPage:
    return make_verify_page(load_pages(), LEDGER, "https://l1.example/key")


@pytest.fixture(scope="module")
def reader(page: VerifyPage) -> Reader:
    reader = Reader()
    reader.feed(page.content.decode())
    reader.close()
    return reader


def read_policy(policy: str) -> dict[str, list[str]]:
    return {words[0]: words[1:] for words in [part.split() for part in policy.split("; ")]}


def name_hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def test_the_policy_lets_run_what_is_in_the_page_and_nothing_else(page: VerifyPage, reader: Reader) -> None:
    policy = read_policy(page.policy)
    assert policy["script-src"] == [name_hash(content) for content in reader.contents["script"]]
    assert policy["style-src"] == [name_hash(content) for content in reader.contents["style"]]
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
    assert not re.search(r"unsafe|\*(?!;| |$)|data:(?!;)", page.policy.replace("img-src data:", "img-src"))


def test_the_saved_file_carries_the_same_policy(page: VerifyPage, reader: Reader) -> None:
    first = next(attributes for tag, attributes in reader.elements if "http-equiv" in attributes)
    assert first["http-equiv"] == "Content-Security-Policy"
    assert page.policy == first["content"] + "; frame-ancestors 'none'"
    tags = [tag for tag, _ in reader.elements]
    assert tags.index("meta") < min(tags.index(tag) for tag in EXECUTED)


def test_it_needs_no_other_file(reader: Reader) -> None:
    for tag, attributes in reader.elements:
        assert tag not in ("iframe", "object", "embed", "base")
        for name in ("src", "srcset", "data", "style"):
            assert attributes.get(name, "data:").startswith("data:"), f"{tag} {name}"
        if tag == "link":
            assert attributes["href"].startswith("data:")
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\((?![\"']?data:)|@import", reader.contents["style"][0])


def test_what_it_says_of_the_ledger_is_there_to_be_checked(reader: Reader) -> None:
    section = next(attributes for tag, attributes in reader.elements if attributes.get("class") == "verify")
    assert section["data-settlement"] == encode_address(SETTLEMENT)
    assert section["data-chain-id"] == "31337"
    assert section["data-l1-url"] == "https://l1.example/key"


def test_it_is_no_heavier_than_a_page_may_be(page: VerifyPage) -> None:
    assert len(page.content) < MAX_WEIGHT


def test_the_licences_of_what_is_in_it_are_in_it(page: VerifyPage) -> None:
    assert page.content.count(b"The MIT License (MIT)") == 2
    assert b"Copyright (c) 2022 Paul Miller" in page.content


@pytest.mark.parametrize("ending", ["</script>", "</SCRIPT ", "<!--", "<script>", "</style>", "\r\n", "\0"])
def test_a_file_that_would_break_out_of_the_page_stops_the_start(ending: str) -> None:
    pages = copy.copy(load_pages())
    file = pages.static["verify.js"]
    broken = StaticFile(file.content + b'\nvar x = "' + ending.encode() + b'";', file.media_type, file.path)
    pages.static = {**pages.static, "verify.js": broken}
    with pytest.raises(ValueError, match=r"verify\.js holds"):
        make_verify_page(pages, LEDGER, "")


def test_what_the_configuration_says_is_no_markup(page: VerifyPage) -> None:
    hostile = make_verify_page(load_pages(), LEDGER, '"><script>alert(1)</script>')
    assert b"<script>alert" not in hostile.content
    assert hostile.policy == page.policy


def test_the_tag_follows_the_content(page: VerifyPage) -> None:
    assert make_verify_page(load_pages(), LEDGER, "").tag != page.tag
    assert make_verify_page(load_pages(), LEDGER, "https://l1.example/key").tag == page.tag
