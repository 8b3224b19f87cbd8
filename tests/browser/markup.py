"""Just enough of a reader of HTML to look at a thousand pages without a browser: elements, classes, texts."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Final

_VOID: Final = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_BLANKS: Final = re.compile(r"\s+")


class Element:
    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Element | str] = []

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    @property
    def text(self) -> str:
        """Of all that is in it, blanks as a browser shows them; what a script or a style holds is no text."""
        return _BLANKS.sub(" ", "".join(self._list_texts())).strip()

    def find_all(self, tag: str | None = None, name: str | None = None) -> "Iterator[Element]":
        """Below this one, in the order of the document; `name` is one of the class."""
        for child in self.children:
            if isinstance(child, Element):
                if tag in (None, child.tag) and (name is None or name in child.classes):
                    yield child
                yield from child.find_all(tag, name)

    def find(self, tag: str | None = None, name: str | None = None) -> "Element":
        for element in self.find_all(tag, name):
            return element
        raise AssertionError(f"no <{tag or '*'} class={name}> in: {self.text[:500]}")

    def _list_texts(self) -> Iterator[str]:
        if self.tag in ("script", "style"):
            return
        for child in self.children:
            if isinstance(child, Element):
                yield from child._list_texts()
            else:
                yield child


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        names = [element.tag for element in self.open]
        if tag in _VOID:
            return
        assert names[-1] == tag or tag in names, f"</{tag}> closes nothing"
        while self.open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(text: str) -> Element:
    builder = _Builder()
    builder.feed(text)
    builder.close()
    return builder.open[0]
