from contextlib import closing

import pytest

from devnet.l1.store import Batch, DataDirectoryError, Store


@pytest.fixture
def store(tmp_path):
    with closing(Store(tmp_path)) as store:
        yield store


def test_a_fresh_directory_holds_nothing(store):
    assert store.get_head_number() is None
    assert store.get_meta("format") is None
    assert store.get_content(bytes(32)) is None
    assert list(store.iterate_pooled()) == []


def test_what_was_written_is_read_back_also_by_the_next_process(tmp_path):
    store = Store(tmp_path)
    batch = Batch()
    batch.put_content(b"h" * 32, b"header")
    batch.put_block(300, b"h" * 32, b"body", bytes(255) + b"\x05")
    batch.put_transaction(b"t" * 32, 300, 2)
    batch.put_pooled(7, b"raw")
    batch.put_meta("chain_id", 31337)
    store.write(batch)
    store.close()
    again = Store(tmp_path)
    assert again.get_content(b"h" * 32) == b"header"
    assert again.get_block_hash(300) == b"h" * 32
    assert again.get_body(300) == b"body"
    assert again.get_transaction_place(b"t" * 32) == (300, 2)
    assert list(again.iterate_pooled()) == [(7, b"raw")]
    assert list(again.iterate_logs_blooms(0, 1000)) == [(300, 5)]
    assert again.get_meta("chain_id") == 31337
    again.close()


def test_the_head_is_the_highest_number_not_the_last_written(store):
    for number in (9, 10, 256, 255):
        batch = Batch()
        batch.put_block(number, bytes([number % 256]) * 32, b"", bytes(256))
        store.write(batch)
    assert store.get_head_number() == 256


def test_range_of_blooms_includes_both_ends_and_skips_empty_blocks(store):
    batch = Batch()
    for number in range(1, 6):
        batch.put_block(number, bytes(32), b"", bytes(256) if number == 3 else b"\x01" * 256)
    store.write(batch)
    assert [number for number, _ in store.iterate_logs_blooms(2, 4)] == [2, 4]


def test_a_pooled_transaction_is_deleted_with_the_batch(store):
    batch = Batch()
    batch.put_pooled(1, b"a")
    batch.put_pooled(2, b"b")
    store.write(batch)
    batch = Batch()
    batch.delete_pooled(1)
    store.write(batch)
    assert list(store.iterate_pooled()) == [(2, b"b")]


def test_a_directory_is_for_one_process(tmp_path, store):
    with pytest.raises(DataDirectoryError, match="cannot open"):
        Store(tmp_path)
