"""Fixed-width big-endian bytes, 32-byte words of EIP-712, and canonical JSON."""

import json
from collections.abc import Mapping
from typing import Any

from chain.errors import MalformedBytes
from chain.primitives import Address


def encode_u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def encode_u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def encode_u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def encode_u128(value: int) -> bytes:
    return value.to_bytes(16, "big")


def encode_u256(value: int) -> bytes:
    """Also the EIP-712 word of any unsigned integer."""
    return value.to_bytes(32, "big")


def encode_address_word(address: Address) -> bytes:
    """The EIP-712 word of an address: 12 zero bytes, then its 20."""
    return bytes(12) + address


def encode_canonical_json(value: Mapping[str, Any]) -> bytes:
    """Sorted keys, no spaces, UTF-8. Integers come as decimal strings: readers of JSON disagree on large numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Reader:
    """Takes fixed-width fields off the front of `data`; refuses short input, and with `finish` anything left over.

    Raises `MalformedBytes` wherever the bytes run out.
    """

    __slots__ = ("_data", "_offset")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def take(self, size: int) -> bytes:
        end = self._offset + size
        if end > len(self._data):
            raise MalformedBytes(f"{size} bytes wanted at offset {self._offset}, {len(self._data)} in all")
        taken = self._data[self._offset : end]
        self._offset = end
        return taken

    def take_uint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def finish(self) -> None:
        if self._offset != len(self._data):
            raise MalformedBytes(f"{len(self._data) - self._offset} bytes left over after offset {self._offset}")
