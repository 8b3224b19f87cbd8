"""The clock that blocks are dated by."""

import pytest

from node.clock import LedgerClock

MAX_LEAD_S = 100


def read(now_ms: int, l1_time: int) -> tuple[int, str | None]:
    clock = LedgerClock(lambda: now_ms, lambda: l1_time, MAX_LEAD_S)
    return clock(), clock.find_problem()


@pytest.mark.parametrize("now_ms", [0, 999_999, 1_000_000, 1_012_345, 1_100_000])
def test_it_is_this_machines_while_it_is_not_far_ahead_of_ethereum(now_ms: int) -> None:
    assert read(now_ms, 1000) == (now_ms, None)


@pytest.mark.parametrize("now_ms", [1_100_001, 10**15])
def test_it_stops_where_no_commitment_could_follow_in_time(now_ms: int) -> None:
    time_ms, problem = read(now_ms, 1000)
    assert time_ms == 1_100_000
    assert problem is not None and "ahead of Ethereum" in problem


def test_an_ethereum_that_never_answered_holds_nothing_back() -> None:
    assert read(10**15, 0) == (10**15, None)
