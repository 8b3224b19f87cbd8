"""Filters that clients install and poll. They live in memory, bounded in number, and are forgotten when not polled."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from devnet.l1.parameters import LogQuery

MAX_FILTERS: Final = 1_024
EXPIRY_S: Final = 300.0
"""Without a poll, as in geth."""


class FilterNotFound(Exception):
    def __init__(self) -> None:
        super().__init__("filter not found")


class TooManyFilters(Exception):
    def __init__(self) -> None:
        super().__init__(f"more than {MAX_FILTERS} filters are installed")


@dataclass(frozen=True, slots=True)
class Filter:
    query: LogQuery | None
    """None for a filter of blocks."""
    next_block: int
    """The first block whose news have not been fetched."""
    polled_at: float


class Filters:
    def __init__(self, stopwatch: Callable[[], float]) -> None:
        self._stopwatch = stopwatch
        self._filters: dict[int, Filter] = {}
        self._lock = threading.Lock()

    def install(self, query: LogQuery | None, next_block: int) -> int:
        """The filter's id. TooManyFilters."""
        now = self._stopwatch()
        with self._lock:
            self._filters = {id_: old for id_, old in self._filters.items() if now - old.polled_at < EXPIRY_S}
            if len(self._filters) >= MAX_FILTERS:
                raise TooManyFilters
            id_ = secrets.randbits(128) | 1 << 127
            self._filters[id_] = Filter(query, next_block, now)
        return id_

    def uninstall(self, id_: int) -> bool:
        with self._lock:
            return self._filters.pop(id_, None) is not None

    def get(self, id_: int) -> Filter:
        """FilterNotFound."""
        with self._lock:
            return self._find(id_)

    def advance(self, id_: int, next_block: int) -> Filter:
        """The filter as it was; from now on it begins at `next_block`. FilterNotFound."""
        with self._lock:
            before = self._find(id_)
            self._filters[id_] = replace(before, next_block=next_block, polled_at=self._stopwatch())
        return before

    def _find(self, id_: int) -> Filter:
        found = self._filters.get(id_)
        if found is None or self._stopwatch() - found.polled_at >= EXPIRY_S:
            raise FilterNotFound
        return found
