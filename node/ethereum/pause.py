"""How long to wait before Ethereum is looked at again."""

from typing import Final

_MAX_PAUSE_MS: Final = 30_000


def compute_pause_s(poll_interval_ms: int, faults: int) -> float:
    """Seconds. `faults`: looks in a row that failed; each doubles the interval, up to a bound or to the interval itself
    if that is longer."""
    backed_off_ms = min(poll_interval_ms << min(faults, 16), _MAX_PAUSE_MS)
    return max(backed_off_ms, poll_interval_ms) / 1000
