"""What an audit has to say: disagreements, and remarks that are none."""

from collections.abc import Callable
from typing import Final

import msgspec

MAX_KEPT: Final = 1000
"""Disagreements kept word for word. One broken block can make a million; they are all counted."""


class Disagreement(msgspec.Struct, frozen=True):
    where: str
    """Block, record, epoch, journal entry, table: the place to look at."""
    what: str


class Findings:
    def __init__(self, on_found: Callable[[Disagreement], None] | None = None) -> None:
        self.count = 0
        self.kept: list[Disagreement] = []
        self.remarks: list[str] = []
        """What the reader should know and what is no fault, such as epochs that are not on Ethereum yet."""
        self._on_found = on_found

    def add(self, where: str, what: str) -> None:
        self.count += 1
        disagreement = Disagreement(where, what)
        if len(self.kept) < MAX_KEPT:
            self.kept.append(disagreement)
        if self._on_found is not None:
            self._on_found(disagreement)

    def remark(self, text: str) -> None:
        if len(self.remarks) < MAX_KEPT:
            self.remarks.append(text)
