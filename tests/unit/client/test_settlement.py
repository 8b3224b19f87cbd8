"""What Ethereum's JSON-RPC answers, read strictly."""

from typing import Any

import pytest

from client.errors import BadReply
from client.settlement import read_data, read_word


def test_data_is_0x_and_two_digits_a_byte() -> None:
    assert read_data("0x", "it") == b""
    assert read_data("0x00aBFf", "it") == b"\x00\xab\xff"


@pytest.mark.parametrize(
    "value",
    ["", "00", "0X00", "0x0", "0xgg", "0x 00", "0x00 ", "0x00 11", "0x00\n", "0x\u0660\u0660", None, 0, ["0x00"]],
    ids=repr,
)
def test_what_is_no_data_is_a_bad_reply(value: Any) -> None:
    with pytest.raises(BadReply, match="it: not 0x and hex digits"):
        read_data(value, "it")


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_word_has_32_bytes(size: int) -> None:
    assert read_word(bytes(32)) == bytes(32)
    with pytest.raises(BadReply):
        read_word(bytes(size))
