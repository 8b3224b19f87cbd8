"""Amounts: exact, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.primitives import MAX_U128
from client.amounts import MalformedAmount, format_amount, parse_amount, parse_base_units


@pytest.mark.parametrize(
    ("text", "decimals", "base_units"),
    [
        ("0", 18, 0),
        ("1", 18, 10**18),
        ("1.5", 18, 15 * 10**17),
        ("0.000000000000000001", 18, 1),
        ("007", 2, 700),
        ("12.30", 2, 1230),
        ("42", 0, 42),
        # 30 digits, which no float holds
        ("123456789012.345678901234567890", 18, 123456789012345678901234567890),
        (str(MAX_U128), 0, MAX_U128),
    ],
)
def test_what_is_said_is_what_is_meant(text: str, decimals: int, base_units: int) -> None:
    assert parse_amount(text, decimals) == base_units


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "-1", "+1", "1e3", "1E3", "nan", "NaN", "inf", "Infinity", "1.", ".5", "1.2.3", "1,5", "1_000", "0x10",
        " 1", "1 ", "1\n", "١", "１", "1/2", "1" * 79,
    ],
)  # fmt: skip
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(MalformedAmount):
        parse_amount(text, 18)


@pytest.mark.parametrize(("text", "decimals"), [("1.234", 2), ("1.0", 0), ("0.0000000000000000001", 18), ("1.10", 1)])
def test_more_decimals_than_the_asset_has_are_refused_even_zeros(text: str, decimals: int) -> None:
    with pytest.raises(MalformedAmount, match="decimals"):
        parse_amount(text, decimals)


@pytest.mark.parametrize(("text", "decimals"), [(str(MAX_U128 + 1), 0), ("9" * 40, 18), ("340282366920938463464", 18)])
def test_more_than_an_amount_can_be_is_refused(text: str, decimals: int) -> None:
    with pytest.raises(MalformedAmount, match=r"2\^128"):
        parse_amount(text, decimals)


@given(st.integers(0, MAX_U128), st.integers(0, 38))
def test_formatting_is_undone_by_parsing(base_units: int, decimals: int) -> None:
    text = format_amount(base_units, decimals)
    assert parse_amount(text, decimals) == base_units
    assert "." not in text or not text.endswith(("0", "."))


@given(st.text(max_size=12))
def test_any_text_is_parsed_exactly_or_refused(text: str) -> None:
    try:
        base_units = parse_amount(text, 6)
    except MalformedAmount:
        return
    assert parse_amount(format_amount(base_units, 6), 6) == base_units


def test_base_units_are_digits_alone() -> None:
    assert parse_base_units("1000") == 1000
    for text in ("1.0", "-1", "1e3", "0x1", str(MAX_U128 + 1), ""):
        with pytest.raises(MalformedAmount):
            parse_base_units(text)
