"""Text as it is looked for: in one case and one form, by Unicode's rules and not by SQLite's, which know fewer scripts.

What is listed and what is asked for are folded alike, so that the trigrams of the one are found by those of the other.
Letters with and without an accent are told apart, and so are a Turkish ı and i; İ is found as i.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

MAX_TERMS: Final = 8
"""Of a search; those beyond are not looked at."""

MAX_TEXT_LENGTH: Final = 512
"""Characters of a search, longer than any name or tag; those beyond are not looked at."""

TRIGRAM: Final = 3
"""Characters of a term by which the full-text index can find it."""

_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")
"""What ends a text for SQLite, and what is no text in UTF-8."""


def fold_text(text: str) -> str:
    """As Unicode compares without regard to case and compatibility forms (Unicode Standard, 3.13, D146): ß is ss,
    final ς is σ, full-width and ligatures are the usual letters, composed and decomposed accents are the same."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", _NO_TEXT.sub(" ", text)).casefold())
    return folded.replace("i\u0307", "i")  # of İ, whose fold keeps its dot


def join_text(name: str, description: str, media_type: str, tags: Iterable[str]) -> str:
    """All of a file that is searched, folded. No term reaches from one of them to the next: terms have no line ends."""
    return fold_text("\n".join([name, description, media_type, *tags]))


def fold_tags(tags: Iterable[str]) -> list[str]:
    """As they are looked up, each once."""
    return list(dict.fromkeys([fold_text(tag) for tag in tags]))


def split_terms(text: str | None) -> list[str]:
    """What is looked for: at most `MAX_TERMS`, folded."""
    return [] if text is None else fold_text(text[:MAX_TEXT_LENGTH]).split()[:MAX_TERMS]


def quote_words(words: Iterable[str]) -> str:
    """A query of FTS5 for all of them. In quotes, with those inside doubled, nothing is syntax."""
    return " ".join(['"' + word.replace('"', '""') + '"' for word in words])
