"""What the epochs need to know of Ethereum, from those who look at it: `node.epochs.Settlement`."""

from collections.abc import Callable

from node.ethereum.committer import Committer
from node.ethereum.watcher import Watcher


class SettlementView:
    """Ethereum as the epochs see it."""

    def __init__(self, watcher: Watcher, committer: Committer, get_first_deposit_at: Callable[[], int]) -> None:
        """`get_first_deposit_at`: Unix seconds, of the first block, which holds the first deposit; 0 before it."""
        self._watcher = watcher
        self._committer = committer
        self._get_first_deposit_at = get_first_deposit_at

    @property
    def mined_epoch(self) -> int:
        return self._committer.mined_epoch

    @property
    def end(self) -> str | None:
        return self._committer.end

    @property
    def synced_until(self) -> int:
        return 0 if self._watcher.synced is None else self._watcher.synced.l1_timestamp

    @property
    def newest_l1_time(self) -> int:
        return max(self.synced_until, self._committer.newest_l1_time)

    @property
    def last_included_at(self) -> int:
        status = self._committer.get_epoch(self.mined_epoch)
        if status is None or status.inclusion is None:
            return self._get_first_deposit_at()
        return status.inclusion.included_at
