"""Waiting for something to become true elsewhere in the process."""

import asyncio
from collections.abc import Callable


class Change:
    """Wakes everybody who waits, once a `notify`. Nobody is owed a change made before they asked: look, then wait.

    For one event loop; `notify` may be called without anybody waiting.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self) -> None:
        """Until the next `notify`."""
        await self._event.wait()

    async def wait_until(self, is_reached: Callable[[], bool]) -> None:
        """Until `is_reached` holds, looked at now and after each `notify`."""
        while not is_reached():
            await self.wait()
