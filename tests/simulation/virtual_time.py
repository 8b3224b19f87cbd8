"""An event loop whose time is a number: what sleeps is woken at once, and the number moves to when it wanted to be.

No sockets, no threads: `asyncio.to_thread` runs in place. So a run is the same every time, and days cost nothing.
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class Deadlock(AssertionError):
    """Everything waits for something that nothing will ever do."""


class _NothingToSelect(selectors.SelectSelector):
    """Where a loop would wait for sockets, the time moves."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("the simulation waits, and no time is set for anything")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _NothingToSelect()
        super().__init__(self._virtual)
        self._clock_resolution = 1e-6  # a timer is due once the time is here, whatever rounding did to it

    def time(self) -> float:
        """Seconds since the run began."""
        return self._virtual.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except BaseException as error:  # noqa: BLE001 - to whoever awaits it, as a thread's would be
            future.set_exception(error)
        return future

    def _write_to_self(self) -> None:
        """Nobody sleeps in a system call who would have to be woken."""
