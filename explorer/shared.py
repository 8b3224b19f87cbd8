"""A page that many look at while it changes: made once for all who ask at about the same time.

Without it, a hundred open front pages would be made a hundred times for every payment, in the process that orders
payments.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

from fastapi import Response

_INTERVAL_SECONDS: Final = 0.2
"""Between the beginnings of two of its making."""

_MAX_AGE_SECONDS: Final = 1.0
"""Of a page that is given again while nothing is new: ages in it are rounded to seconds."""


class SharedPage:
    """Whoever asks gets a page that was begun after they asked, or one that nothing has happened since."""

    def __init__(self, get_state: Callable[[], Hashable]) -> None:
        """`get_state`: of all that the page shows; the same while nothing is new."""
        self._get_state = get_state
        self._page: Response | None = None
        self._state: Hashable = None
        self._begun_at = float("-inf")
        """The loop's time."""
        self._next: asyncio.Future[Response] | None = None
        """Not begun yet: can still be joined."""
        self._making = asyncio.Lock()

    async def get(self, make: Callable[[], Awaitable[Response]]) -> Response:
        """Raises what `make` raises, to everybody who waits for it."""
        is_fresh = asyncio.get_running_loop().time() - self._begun_at < _MAX_AGE_SECONDS
        if self._page is not None and is_fresh and self._state == self._get_state():
            return self._page
        if self._next is None:
            self._next = asyncio.ensure_future(self._make(make))
        return await asyncio.shield(self._next)

    async def _make(self, make: Callable[[], Awaitable[Response]]) -> Response:
        async with self._making:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(max(0.0, self._begun_at + _INTERVAL_SECONDS - loop.time()))
            self._next = None
            begun_at, state = loop.time(), self._get_state()
            self._begun_at = begun_at
            self._page = None
            page = await make()
            self._page, self._state = page, state
            return page
