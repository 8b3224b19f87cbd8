"""What Prometheus sees of the committer, the watcher and the endpoints, as it is when asked."""

import math
from collections.abc import Iterable
from typing import Final

from prometheus_client import Gauge

from node import metrics
from node.ethereum.commit_decision import Situation
from node.ethereum.committer import Committer, FundsLevel
from node.ethereum.endpoints import Endpoints, EndpointState
from node.ethereum.watch_decision import WatcherSituation
from node.ethereum.watcher import Watcher

WEI_PER_GWEI: Final = 10**9


def set_gauges(committer: Committer, watcher: Watcher, endpoints: Endpoints) -> None:
    status, funds = committer.status(), committer.get_funds()
    _set_state(metrics.COMMITTER_STATE, Situation, status["state"])
    _set_state(metrics.FUNDS_STATE, FundsLevel, funds.level)
    metrics.LAG_EPOCHS.set(status["lag_epochs"])
    metrics.WAITING_SECONDS.set(status["lag_ms"] // 1000)
    metrics.ATTEMPTS_IN_FLIGHT.set(len(committer.attempts_in_flight))
    metrics.BALANCE_GWEI.set(math.nan if funds.balance is None else funds.balance // WEI_PER_GWEI)
    metrics.BUDGET_SPENT_GWEI.set(funds.spent // WEI_PER_GWEI)
    metrics.BUDGET_GWEI.set(funds.daily_budget // WEI_PER_GWEI)
    # Often far below one gwei: what it is for is a line in a graph, so here it is a fraction.
    metrics.L1_BASE_FEE_GWEI.set(math.nan if funds.base_fee is None else funds.base_fee / WEI_PER_GWEI)
    observed = watcher.status()
    _set_state(metrics.WATCHER_STATE, WatcherSituation, observed["state"])
    metrics.DEPOSITS_MISSING.set(observed["deposits_missing"])
    for endpoint in endpoints.report():
        for state in EndpointState:
            metrics.L1_ENDPOINT_STATE.labels(endpoint.name, state).set(endpoint.state is state)
        if endpoint.l1_block is not None:
            metrics.L1_ENDPOINT_BLOCK.labels(endpoint.name).set(endpoint.l1_block)


def _set_state(gauge: Gauge, words: Iterable[str], state: str) -> None:
    for word in words:
        gauge.labels(word).set(word == state)
