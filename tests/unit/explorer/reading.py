"""Asks an ASGI application as a server does, and reads a page as a person does: what stands in which table."""

from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from starlette.types import ASGIApp

_VOID = {"meta", "link", "img", "br", "input"}
_INLINE = {"a", "b", "bdi", "code", "i", "small", "span", "strong", "time"}
"""What stands on one line with the text around it."""


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def page(self) -> "Page":
        page = Page()
        page.feed(self.text)
        page.close()
        assert not page.open, f"not closed: {page.open}"
        return page


async def ask(application: ASGIApp, path: str, method: str = "GET") -> Answer:
    """Whatever the application raises is raised here."""
    sent: list[Any] = []
    await _call(application, path, method, sent)
    return _collect(sent)


async def ask_failing(application: ASGIApp, path: str) -> tuple[Answer, BaseException]:
    """The answer, and what the server behind it gets to log."""
    sent: list[Any] = []
    with pytest.raises(Exception) as raised:
        await _call(application, path, "GET", sent)
    return _collect(sent), raised.value


async def _call(application: ASGIApp, path: str, method: str, sent: list[Any]) -> None:
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)


def _collect(sent: list[Any]) -> Answer:
    assert [message["type"] for message in sent[:1]] == ["http.response.start"]
    names = [name.decode() for name, _ in sent[0]["headers"]]
    assert len(names) == len(set(names)), f"a header is given twice: {names}"
    return Answer(
        sent[0]["status"],
        {name.decode(): value.decode() for name, value in sent[0]["headers"]},
        b"".join([message.get("body", b"") for message in sent[1:]]),
    )


class Page(HTMLParser):
    """Raises AssertionError for elements that are not nested as they were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        """Rows of cells by the id of the heading that names their section, and by the label of the table."""
        self.links: list[tuple[str, str]] = []
        """(text, address)"""
        self.pairs: list[tuple[str, str]] = []
        """Names and values of description lists."""
        self.steps: list[tuple[str, str]] = []
        """(mark, words) of the way to finality."""
        self.banner: list[str] | None = None
        """The points of the banner."""
        self._label = ""

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag in _VOID:
            return
        self.open.append((tag, attributes))
        rows = self.tables.setdefault(self._get_section(), [])
        if tag == "tr":
            row: list[str] = []
            rows.append(row)
            if self._label:
                self.tables.setdefault(self._label, []).append(row)
        elif tag == "table":
            self._label = attributes.get("aria-label") or ""
        elif tag == "a":
            self.links.append(("", attributes.get("href") or ""))
        elif tag == "dt":
            self.pairs.append(("", ""))
        elif tag in ("td", "th"):
            rows[-1].append("")
        elif tag == "section" and "banner" in (attributes.get("class") or ""):
            self.banner = []
        elif tag == "li" and self.banner is not None and self._is_in_banner():
            self.banner.append("")
        elif tag == "li" and self._is_in_steps():
            self.steps.append((attributes.get("class") or "", ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()
        if tag not in _INLINE:
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._is_within("td") or self._is_within("th"):
            row = self.tables[self._get_section()][-1]
            row[-1] = f"{row[-1]}{data}"
        elif self.banner and self._is_within("li") and self._is_in_banner():
            self.banner[-1] += data
        if self._is_within("a"):
            text, address = self.links[-1]
            self.links[-1] = text + data, address
        if self.pairs and self._is_within("dt"):
            self.pairs[-1] = self.pairs[-1][0] + data, ""
        elif self.pairs and self._is_within("dd"):
            name, value = self.pairs[-1]
            self.pairs[-1] = name, value + data
        if self.steps and self._is_within("li") and self._is_in_steps():
            mark, words = self.steps[-1]
            self.steps[-1] = mark, words + data

    def get_rows(self, section: str) -> list[list[str]]:
        """Without the one of headings."""
        return [[" ".join(cell.split()) for cell in row] for row in self.tables.get(section, [])[1:]]

    def get_link(self, text: str) -> str:
        """Where the only link of that name leads; empty when there is none, as on the first and the last of pages."""
        found = [address for words, address in self.links if words == text]
        assert len(found) <= 1, f"{text} leads to {found}"
        return found[0] if found else ""

    def get_pair(self, name: str) -> str:
        """The only value of that name."""
        (value,) = [value for words, value in self.pairs if words == name]
        return " ".join(value.split())

    def get_marks(self) -> list[str]:
        return [mark for mark, _ in self.steps]

    def get_step(self, name: str) -> str:
        """What is said of the step, behind its name."""
        (words,) = [" ".join(words.split()) for _, words in self.steps if words.startswith(name)]
        return words.removeprefix(name).strip()

    def _is_within(self, tag: str) -> bool:
        return any(name == tag for name, _ in self.open)

    def _is_in_banner(self) -> bool:
        return any("banner" in (attributes.get("class") or "") for _, attributes in self.open)

    def _is_in_steps(self) -> bool:
        return any(attributes.get("class") == "steps" for _, attributes in self.open)

    def _get_section(self) -> str:
        for name, attributes in reversed(self.open):
            if name == "section":
                return attributes.get("aria-labelledby") or ""
        return ""
