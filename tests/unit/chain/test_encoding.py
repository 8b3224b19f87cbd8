"""Widths, what is left over, and the one form of JSON that is hashed."""

from collections.abc import Callable

import pytest

from chain import encoding
from chain.encoding import Reader, encode_address_word, encode_canonical_json
from chain.errors import MalformedBytes
from chain.hashing import keccak


@pytest.mark.parametrize(
    ("encode", "size"),
    [
        (encoding.encode_u16, 2),
        (encoding.encode_u32, 4),
        (encoding.encode_u64, 8),
        (encoding.encode_u128, 16),
        (encoding.encode_u256, 32),
    ],
)
def test_integers_have_one_width_and_never_wrap(encode: Callable[[int], bytes], size: int) -> None:
    largest = 2 ** (8 * size) - 1
    assert encode(0) == bytes(size)
    assert encode(1) == bytes(size - 1) + b"\x01"
    assert encode(largest) == b"\xff" * size
    for number in (-1, largest + 1):
        with pytest.raises(OverflowError):
            encode(number)


def test_address_words() -> None:
    assert encode_address_word(b"\xab" * 20) == bytes(12) + b"\xab" * 20


def test_canonical_json() -> None:
    assert encode_canonical_json({"b": "2", "a": "1", "Z": "é"}) == '{"Z":"é","a":"1","b":"2"}'.encode()


def test_a_reader_takes_in_order_and_wants_it_all() -> None:
    reader = Reader(b"\x01\x02\x03\x04")
    assert reader.take(1) == b"\x01"
    assert reader.take_uint(2) == 0x0203
    with pytest.raises(MalformedBytes, match="1 bytes left over after offset 3"):
        reader.finish()
    with pytest.raises(MalformedBytes, match="2 bytes wanted at offset 3, 4 in all"):
        reader.take(2)
    assert reader.take(1) == b"\x04"
    reader.finish()


def test_keccak_is_the_one_of_ethereum() -> None:
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak(b"abc").hex() == "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"
