"""Parsing takes turns, and leaves the loop to others in between."""

from collections.abc import Callable
from typing import Any

import pytest

import node.rpc.reading
from node.rpc.reading import ReadingShare


class Loop:
    """Timers that ring when told to, and a clock that only work moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def perf_counter(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self.timers.append((delay, callback))

    def ring(self) -> float:
        """Lets the one rest end that there may be. Returns how long it was, in seconds."""
        ((delay, callback),) = self.timers
        self.timers.clear()
        callback()
        return delay


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop()
    monkeypatch.setattr(node.rpc.reading, "time", made)
    return made


@pytest.fixture
def share(loop: Any) -> ReadingShare:
    return ReadingShare(loop)


class Source:
    def __init__(self, loop: Loop, slices: int, cost_s: float) -> None:
        self._loop = loop
        self.left = slices
        self._cost_s = cost_s

    def __call__(self) -> bool:
        assert self.left > 0
        self._loop.now += self._cost_s
        self.left -= 1
        return self.left > 0


def test_little_is_parsed_at_once_and_what_it_cost_is_saved_up(loop: Loop, share: ReadingShare) -> None:
    for _ in range(9):
        share.work(Source(loop, 1, 0.00005))
    assert loop.timers == []
    share.work(Source(loop, 2, 0.00005))
    assert loop.ring() == pytest.approx(0.0011)


def test_much_is_parsed_in_a_third_of_the_time(loop: Loop, share: ReadingShare) -> None:
    source = Source(loop, 100, 0.0004)
    share.work(source)
    assert source.left == 97
    rested = 0.0
    while source.left:
        rested += loop.ring()
        assert source.left % 3 == 1 or source.left == 0
    assert rested == pytest.approx(2 * 99 * 0.0004)  # the last slice was too short to rest after


def test_one_slice_too_dear_ends_the_turn(loop: Loop, share: ReadingShare) -> None:
    source = Source(loop, 2, 0.5)
    share.work(source)
    assert source.left == 1
    assert loop.ring() == 1.0
    assert source.left == 0


def test_turns_go_round(loop: Loop, share: ReadingShare) -> None:
    many, few = Source(loop, 50, 0.002), Source(loop, 2, 0.002)
    share.work(many)
    share.work(few)
    share.work(Source(loop, 1, 0.002))
    assert (many.left, few.left) == (49, 2)
    seen = []
    while few.left:
        loop.ring()
        seen.append((many.left, few.left))
    assert seen == [(48, 2), (48, 1), (48, 1), (47, 1), (47, 0)]


def test_what_fails_is_dropped_and_the_others_go_on(loop: Loop, share: ReadingShare) -> None:
    def fail() -> bool:
        loop.now += 0.001
        raise RuntimeError("broken")

    other = Source(loop, 3, 0.001)
    with pytest.raises(RuntimeError):
        share.work(fail)
    share.work(other)
    assert other.left == 3
    while other.left:
        loop.ring()
    loop.ring()
    assert loop.timers == []
