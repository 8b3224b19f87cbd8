"""What is noted of credited deposits: found again, put in doubt from a block on, and bounded."""

from collections.abc import Callable

import msgspec

from node.ethereum.credited import Anchor, CreditedDeposit
from node.ethereum.store import MAX_CREDITED_KEPT, EthereumStore

A, B = b"\xaa" * 20, b"\xbb" * 20


def make_credited(index: int, l1_block: int, asset: bytes = A) -> CreditedDeposit:
    return CreditedDeposit(asset, index, b"\x77" * 20, 2**128 - 1 - index, make_anchor(l1_block))


def make_anchor(l1_block: int) -> Anchor:
    return Anchor(l1_block, l1_block.to_bytes(32))


def test_it_is_there_again_after_reopening(open_store: Callable[[], EthereumStore]) -> None:
    noted = [make_credited(0, 5), make_credited(1, 7), make_credited(0, 7, B)]
    open_store().put_credited(noted)
    store = open_store()
    assert store.get_newest_credited() == make_anchor(7) and store.get_doubtful_deposits() == ()
    assert store.get_credited_anchors() == [make_anchor(5), make_anchor(7)]
    store.rewind(make_anchor(5), make_anchor(7))
    assert open_store().get_doubtful_deposits() == (noted[1], noted[2])
    assert store.get_newest_credited() == make_anchor(5)
    back = msgspec.structs.replace(noted[1], anchor=make_anchor(9))
    store.put_credited([back])
    assert store.get_doubtful_deposits() == (noted[2],) and store.get_newest_credited() == make_anchor(9)


def test_a_replaced_cursor_goes_back_to_what_was_kept_and_another_stays(store: EthereumStore) -> None:
    store.put_credited([make_credited(0, 5), make_credited(1, 12)])
    store.set_cursor(9, make_anchor(9).l1_block_hash)
    store.rewind(make_anchor(5), make_anchor(12))  # above the cursor
    assert store.get_cursor() == (9, make_anchor(9).l1_block_hash)
    store.rewind(make_anchor(5), make_anchor(9))
    assert store.get_cursor() == (5, make_anchor(5).l1_block_hash)
    store.rewind(None, make_anchor(5))
    assert store.get_cursor() is None and len(store.get_doubtful_deposits()) == 2


def test_only_the_newest_of_each_asset_and_those_in_doubt_are_kept(store: EthereumStore) -> None:
    store.put_credited([make_credited(0, 5), make_credited(0, 5, B)])
    store.rewind(None, make_anchor(5))
    store.put_credited([make_credited(index, 6 + index) for index in range(1, MAX_CREDITED_KEPT + 11)])
    anchors = store.get_credited_anchors()
    assert len(anchors) == MAX_CREDITED_KEPT and anchors[0] == make_anchor(17)
    assert store.get_doubtful_deposits() == (make_credited(0, 5), make_credited(0, 5, B))
