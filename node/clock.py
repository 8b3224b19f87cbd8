"""The ledger's clock: this machine's, as far as it may be believed.

A block's time can not be taken back, and no epoch is cut before its blocks. One block dated days ahead, by a clock that
jumped, would keep every later commitment from Ethereum for days, and silence would end the ledger. So blocks are dated
at most a bound ahead of the newest L1 block.

Knowingly missing: until Ethereum has answered for the first time after a start, there is nothing to hold the clock
against.
"""

from collections.abc import Callable


class LedgerClock:
    """Milliseconds since 1970, when called."""

    def __init__(self, read_ms: Callable[[], int], get_l1_time: Callable[[], int], max_lead_s: int) -> None:
        """`get_l1_time`: Unix seconds of the newest L1 block seen, 0 for none."""
        self._read_ms = read_ms
        self._get_l1_time = get_l1_time
        self._max_lead_s = max_lead_s

    def __call__(self) -> int:
        return self._bound(self._read_ms())

    def find_problem(self) -> str | None:
        """Why blocks would not be dated by this machine's clock now."""
        now = self._read_ms()
        lead_ms = now - self._bound(now)
        if not lead_ms:
            return None
        return f"this machine's clock is {self._max_lead_s + lead_ms / 1000:.0f} s ahead of Ethereum's newest block"

    def _bound(self, now: int) -> int:
        l1_time = self._get_l1_time()
        return min(now, (l1_time + self._max_lead_s) * 1000) if l1_time else now
