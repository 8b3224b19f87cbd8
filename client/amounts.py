"""Amounts as people write them: decimal units of an asset, to and from base units, with integers alone.

Decimal floating point is not used either: it rounds where nobody looks. What cannot be said exactly in the asset's
decimals is refused.
"""

import re
from typing import Final

from chain.primitives import MAX_U128

MAX_DECIMALS: Final = 77
"""ERC-20 gives a u8; above this not even one whole unit fits 256 bits."""

_DECIMAL: Final = re.compile(r"([0-9]{1,78})(?:\.([0-9]{1,78}))?", re.ASCII)


class MalformedAmount(ValueError):
    """Not an amount of this asset: no sign, no exponent, no separators, no more digits than the asset has."""


def parse_amount(text: str, decimals: int) -> int:
    """Base units of `text`, digits with at most one point: "1.5" with 18 decimals is 1500000000000000000.

    Raises `MalformedAmount` for, in this order: anything but digits with a point between them (so no sign, exponent,
    space, NaN); more decimals than the asset has, zeros included; more than 2^128 − 1 base units.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise MalformedAmount(f"{text!r} is not an amount: digits, with a point between them if need be")
    whole, fraction = match.group(1), match.group(2) or ""
    if len(fraction) > decimals:
        raise MalformedAmount(f"{text} has {len(fraction)} decimals, the asset has {decimals}")
    return _check_fits(int(whole + fraction.ljust(decimals, "0")), text)


def parse_base_units(text: str) -> int:
    """An amount already in base units, digits alone. Raises `MalformedAmount`, also above 2^128 − 1."""
    if not re.fullmatch(r"[0-9]{1,78}", text, re.ASCII):
        raise MalformedAmount(f"{text!r} is not a number of base units: digits alone")
    return _check_fits(int(text), text)


def format_amount(base_units: int, decimals: int) -> str:
    """The shortest text that `parse_amount` reads back as `base_units`, which are not negative."""
    digits = str(base_units).rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def _check_fits(base_units: int, text: str) -> int:
    if base_units > MAX_U128:
        raise MalformedAmount(f"{text} is above 2^128 - 1 base units")
    return base_units
