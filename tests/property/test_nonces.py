"""Nonce windows against a plain set of used numbers."""

from hypothesis import given
from hypothesis import strategies as st

from chain.account import NonceWindow
from tests.vectors import reference

offsets = st.lists(st.one_of(st.integers(0, 12), st.integers(0, 255)), max_size=80)


@given(st.integers(0, 2**40), offsets)
def test_a_window_remembers_every_used_nonce_and_no_other(start: int, offsets: list[int]) -> None:
    window, used = NonceWindow(start, 0), set[int]()
    base, above = start, set[int]()
    for offset in offsets:
        nonce = window.base + offset
        if window.is_used(nonce):
            assert nonce in used
            continue
        assert nonce not in used
        before = window
        window = window.use(nonce)
        used.add(nonce)
        base, above = reference.use_nonce(base, above, nonce)
        assert window == NonceWindow(base, reference.pack_window(base, above))
        assert window.covers(before)
        assert not before.covers(window)
        assert window.used & 1 == 0
        assert window.used < 2**256
    assert all(window.is_used(nonce) for nonce in used)
    assert window.next_nonce == max(used, default=start - 1) + 1
    nearby = range(start, window.limit + 10)
    assert [nonce for nonce in nearby if window.is_used(nonce)] == sorted(used)


@given(st.integers(0, 600), st.integers(0, 2**256 - 1), st.integers(0, 600), st.integers(0, 2**256 - 1), st.booleans())
def test_covers_is_what_it_says(base: int, used: int, other_base: int, other_used: int, is_likely: bool) -> None:
    earlier, later = NonceWindow(base, used), NonceWindow(other_base, other_used)
    if is_likely:  # a random pair hardly ever covers
        later = NonceWindow(base + other_base % 300, (used >> other_base % 300) | other_used)
    numbers = range(1300)
    expected = later.base >= earlier.base and all(later.is_used(n) for n in numbers if earlier.is_used(n))
    assert later.covers(earlier) is expected
