"""Is it alive, is it ready, and what is wrong: one answer for load balancers, people and pages.

Ready means that payments are taken and receipted. Trouble with Ethereum leaves the node ready, but degraded, with the
trouble named: receipts are still given, only commitments wait. That ends where a receipt would be an empty promise: the
contract has halted or has another commitment than ours, or this machine's clock is so far ahead of Ethereum that what
it dates could not be committed in time.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

READY: Final = "ready"
DEGRADED: Final = "degraded"
UNREADY: Final = "unready"

MAX_INDEX_LAG: Final = 10_000
"""Journal entries that the index may be behind before what is shown counts as stale."""


class Check(msgspec.Struct, frozen=True):
    """One thing that is looked at. `state` is a word that others can match on."""

    state: str
    is_ok: bool
    detail: str = ""
    is_vital: bool = False
    """Whether payments cannot be taken without it."""
    since: int | None = None
    """Milliseconds since 1970: when it came to that state, if that is noted."""


class Health:
    def __init__(self) -> None:
        self._checks: dict[str, Callable[[], Check]] = {}

    def add(self, name: str, check: Callable[[], Check]) -> None:
        self._checks[name] = check

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Whether the node is ready, and `{status, checks: {name: {state, ok, detail, since}}}`."""
        checks = {name: check() for name, check in self._checks.items()}
        is_ready = all(check.is_ok for check in checks.values() if check.is_vital)
        is_well = all(check.is_ok for check in checks.values())
        return is_ready, {
            "status": (READY if is_well else DEGRADED) if is_ready else UNREADY,
            "checks": {name: describe(check) for name, check in checks.items()},
        }


def describe(check: Check) -> dict[str, Any]:
    return {"state": check.state, "ok": check.is_ok, "detail": check.detail, "since": check.since}
