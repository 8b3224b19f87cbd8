"""Nonce windows against a plain set of numbers, and the account leaf's bytes. `continues` and soundness are vectors."""

import pytest

from chain.account import ACCOUNT_LEAF_SIZE, AccountLeaf, NonceWindow, decode_account_leaf, encode_account_leaf
from chain.errors import MalformedBytes
from chain.primitives import MAX_U32, MAX_U64, MAX_U128, MAX_U256
from tests.unit.chain.actors import ALICE, TOKEN, some_hash

LEAF = AccountLeaf(TOKEN, ALICE, 5, NonceWindow(3, 0b1010), 1000, 300, 50, 1, 2, some_hash("d"), some_hash("c"))


def test_a_window_knows_what_is_used() -> None:
    window = NonceWindow(10, 0b1010)
    assert [nonce for nonce in range(300) if window.is_used(nonce)] == [*range(10), 11, 13]
    assert (window.next_nonce, window.limit) == (14, 266)
    assert not window.is_used(2**64)
    assert NonceWindow().next_nonce == 0


def test_all_orders_end_in_the_same_window() -> None:
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1), (1, 3, 0, 2)):
        window = NonceWindow()
        for nonce in order:
            assert not window.is_used(nonce)
            window = window.use(nonce)
            assert window.used & 1 == 0
        assert window == NonceWindow(4, 0)


def test_a_window_covers_what_it_grew_from() -> None:
    first = NonceWindow(3, 0b1010)
    assert first.covers(first)
    assert NonceWindow(8, 0).covers(first)
    assert NonceWindow(2**63, 0).covers(first)
    assert not NonceWindow(2, MAX_U256 - 1).covers(first)
    assert not NonceWindow(6, 0).covers(first)  # 6 was used, 6 is free
    assert NonceWindow(5, 0b10).covers(first)
    assert not NonceWindow(5, 0b100).covers(first)


def test_a_leaf_is_208_bytes() -> None:
    data = encode_account_leaf(LEAF)
    assert len(data) == ACCOUNT_LEAF_SIZE == 208
    assert decode_account_leaf(data) == LEAF
    for other in (b"", data[:-1], data + b"\x00"):
        with pytest.raises(MalformedBytes):
            decode_account_leaf(other)


def test_a_leaf_at_its_largest() -> None:
    sums = MAX_U128, MAX_U128, MAX_U128
    largest = AccountLeaf(
        b"\xff" * 20,
        b"\xff" * 20,
        MAX_U64,
        NonceWindow(MAX_U64, MAX_U256),
        *sums,
        MAX_U32,
        MAX_U32,
        b"\xff" * 32,
        b"\xff" * 32,
    )
    assert encode_account_leaf(largest) == b"\xff" * 208
    assert decode_account_leaf(b"\xff" * 208) == largest
