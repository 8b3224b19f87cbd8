"""What parsing may cost the event loop, whoever sends what: frames and heads are cheap to send and dear to read."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

from uvicorn.server import ServerState

_TURN_SECONDS: Final = 0.001
"""How long one connection is read from at a stretch, but for the slice that ends it."""

_REST: Final = 2
"""Seconds that the loop is left to others for each second of parsing."""

_SHORTEST_REST_SECONDS: Final = 0.001
"""What the loop's timers can tell apart; less is saved up."""


class ReadingShare:
    """Turns of one another: all connections that have much to parse leave payments two thirds of the loop's time.

    What is waiting is one function a connection, so the queue is as long as there are connections.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], bool]] = deque()
        self._owed = 0.0
        self._is_resting = False

    def work(self, parse_slice: Callable[[], bool]) -> None:
        """Calls it until it returns False: now, if nobody is to be waited for, else when its turn has come. Whoever
        asked first is first."""
        if self._is_resting or self._waiting:
            self._waiting.append(parse_slice)
        else:
            self._take_turn(parse_slice)

    def _take_turn(self, parse_slice: Callable[[], bool]) -> None:
        began = time.perf_counter()
        spent = 0.0
        has_more = True
        try:
            while has_more and spent < _TURN_SECONDS:
                has_more = False  # what raises is not called again
                has_more = parse_slice()
                spent = time.perf_counter() - began
        finally:
            self._owed += (time.perf_counter() - began) * _REST
            if has_more:
                self._waiting.append(parse_slice)
            if self._waiting or self._owed >= _SHORTEST_REST_SECONDS:
                self._rest()

    def _rest(self) -> None:
        self._is_resting = True
        self._loop.call_later(self._owed, self._resume)
        self._owed = 0.0

    def _resume(self) -> None:
        self._is_resting = False
        if self._waiting:
            self._take_turn(self._waiting.popleft())


_SHARES: Final[WeakKeyDictionary[ServerState, ReadingShare]] = WeakKeyDictionary()


def find_share(server_state: ServerState, loop: asyncio.AbstractEventLoop) -> ReadingShare:
    """The one that all connections of a server have in common."""
    share = _SHARES.get(server_state)
    if share is None:
        share = _SHARES[server_state] = ReadingShare(loop)
    return share
