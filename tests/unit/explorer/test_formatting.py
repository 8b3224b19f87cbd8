"""Values in words: exact, and harmless whatever they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.primitives import ETHER, MAX_U128
from client.amounts import parse_amount
from explorer.formatting import (
    MAX_DECIMALS,
    MAX_SYMBOL_LENGTH,
    NAME_SHOWN,
    describe_token,
    format_age,
    format_amount,
    format_change,
    format_day,
    format_duration,
    format_machine_time,
    format_percent,
    format_size,
    format_time,
    make_visible,
    shorten_name,
)
from node.ledger_info import AssetInfo

ADDRESS = bytes.fromhex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266")


@pytest.mark.parametrize(
    ("base_units", "decimals", "text"),
    [
        (0, 18, "0"),
        (1, 18, "0.000000000000000001"),
        (10**18, 18, "1"),
        (15 * 10**17, 18, "1.5"),
        (1_234_567_890, 2, "12,345,678.9"),
        (999, 0, "999"),
        (1000, 0, "1,000"),
        # 2^53 + 1, the first integer that a float cannot hold
        (9_007_199_254_740_993, 0, "9,007,199,254,740,993"),
        (9_007_199_254_740_993, 6, "9,007,199,254.740993"),
        (MAX_U128, 18, "340,282,366,920,938,463,463.374607431768211455"),
        (1, MAX_DECIMALS, "0." + "0" * 76 + "1"),
    ],
)
def test_amounts_are_exact(base_units: int, decimals: int, text: str) -> None:
    assert format_amount(base_units, describe_token(ADDRESS, AssetInfo("T", decimals))) == text


@given(st.integers(0, MAX_U128), st.integers(0, 38))
def test_an_amount_is_read_back_as_what_it_was(base_units: int, decimals: int) -> None:
    text = format_amount(base_units, describe_token(ADDRESS, AssetInfo("T", decimals)))
    assert parse_amount(text.replace(",", ""), decimals) == base_units


@pytest.mark.parametrize("decimals", [None, MAX_DECIMALS + 1, 255, -1])
def test_without_decimals_that_make_sense_amounts_are_base_units(decimals: int | None) -> None:
    token = describe_token(ADDRESS, AssetInfo("T", decimals))
    assert not token.is_known
    assert format_amount(1500, token) == "1,500"


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        ("ETH", "ETH"),
        ("USD₮", "USD₮"),
        (None, "0xf39Fd6…"),
        ("", "0xf39Fd6…"),
        ("   ", "0xf39Fd6…"),
        ("\u202eKOT", "KOT"),  # right-to-left override
        ("T\u200bO\u2066K\x00", "TOK"),  # zero width, isolate, control
        ("\ud800K", "K"),  # a lone surrogate, which has no UTF-8
        ("\u3164", "0xf39Fd6…"),  # a letter by its category, of which nothing is seen
        ("\u2800\u115f\uffa0", "0xf39Fd6…"),
        ("\u2800ETH\u3164", "ETH"),
        ("ABCDEFGHIJKL", "ABCDEFGHIJKL"),
        ("ABCDEFGHIJKLM", "ABCDEFGHIJK…"),
    ],
)
def test_a_symbol_is_short_and_visible(symbol: str | None, shown: str) -> None:
    assert describe_token(ADDRESS, AssetInfo(symbol, 18)).symbol == shown


@given(st.text(max_size=40))
def test_any_symbol_can_be_shown(symbol: str) -> None:
    shown = describe_token(ETHER, AssetInfo(symbol, 18)).symbol
    assert 0 < len(shown) <= MAX_SYMBOL_LENGTH
    shown.encode()


@pytest.mark.parametrize(
    ("milliseconds_ago", "text"),
    [
        (0, "now"), (999, "now"), (1000, "1 s ago"), (59_999, "59 s ago"), (60_000, "1 min ago"),
        (3_599_999, "59 min ago"), (3_600_000, "1 h ago"), (86_399_999, "23 h ago"), (86_400_000, "1 d ago"),
        (-999, "now"), (-1000, "in 1 s"), (-3_600_000, "in 1 h"),
    ],
)  # fmt: skip
def test_an_age_is_rounded_down(milliseconds_ago: int, text: str) -> None:
    now = 1_700_000_000_000
    assert format_age(now - milliseconds_ago, now) == text


def test_times_are_said_to_the_millisecond() -> None:
    assert format_time(1_700_000_000_007) == "2023-11-14 22:13:20.007 UTC"
    assert format_machine_time(1_700_000_000_007) == "2023-11-14T22:13:20.007Z"


@given(st.integers(0, 2**64 - 1))
def test_any_time_can_be_said(time_ms: int) -> None:
    assert format_time(time_ms)
    assert format_machine_time(time_ms) == "" or time_ms < 253_402_300_800_000


@pytest.mark.parametrize(
    ("base_units", "text"), [(0, "0"), (15 * 10**17, "+1.5"), (-(15 * 10**17), "−1.5"), (-1, "−0.000000000000000001")]
)
def test_a_change_has_its_sign(base_units: int, text: str) -> None:
    assert format_change(base_units, describe_token(ADDRESS, AssetInfo("T", 18))) == text


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (0, "0 ms"), (999, "999 ms"), (1000, "1 s"), (5_250, "5.2 s"), (59_999, "59.9 s"), (60_000, "1 min"),
        (65_999, "1 min 5 s"), (3_600_000, "1 h"), (3_659_999, "1 h"), (3_660_000, "1 h 1 min"),
        (86_400_000, "1 d"), (100_000_000, "1 d 3 h"), (10**12, "11574 d 1 h"),
    ],
)  # fmt: skip
def test_a_duration_is_said_in_two_units(duration_ms: int, text: str) -> None:
    assert format_duration(duration_ms) == text


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("for <b>file</b> & 7", "for <b>file</b> & 7"),
        ("naïve 支払い ✓ 🎉", "naïve 支払い ✓ 🎉"),
        ("👩\u200d🚀", "👩\u200d🚀"),  # an astronaut: woman, joiner, rocket
        ("👩\u200dx", "👩⟨U+200D⟩x"),
        ("\u200d", "⟨U+200D⟩"),
        ("pay\u202eboB", "pay⟨U+202E⟩boB"),  # right-to-left override
        ("a\u2066b\u2069", "a⟨U+2066⟩b⟨U+2069⟩"),
        ("two\nlines\t", "two⟨U+000A⟩lines⟨U+0009⟩"),
        ("no\u00a0break\u3000wide", "no⟨U+00A0⟩break⟨U+3000⟩wide"),
        ("fill\u3164er", "fill⟨U+3164⟩er"),
        ("\x00\x7f", "⟨U+0000⟩⟨U+007F⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),  # a tag, which shows as nothing
    ],
)
def test_what_cannot_be_seen_is_shown_by_its_number(words: str, shown: str) -> None:
    assert make_visible(words) == shown


@given(st.text(max_size=80))
def test_any_words_can_be_shown(words: str) -> None:
    shown = make_visible(words)
    shown.encode()
    assert len(shown) >= len(words)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (1, "1 B"), (1023, "1,023 B"), (1024, "1 KiB"), (1535, "1.4 KiB"), (1536, "1.5 KiB"),
        (2**20 - 1, "1,023.9 KiB"), (2**20, "1 MiB"), (3 * 2**30, "3 GiB"), (2**50, "1 PiB"), (2**64 - 1, "15.9 EiB"),
    ],
)  # fmt: skip
def test_sizes_are_never_said_larger_than_they_are(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("hundredths", "text"),
    [(0, "0 %"), (1, "0.01 %"), (50, "0.5 %"), (3333, "33.33 %"), (5000, "50 %"), (5010, "50.1 %"), (10_000, "100 %")],
)
def test_percents_have_the_decimals_that_they_have(hundredths: int, text: str) -> None:
    assert format_percent(hundredths) == text


def test_a_day_is_one_of_utc() -> None:
    assert (format_day(0), format_day(86_399), format_day(86_400)) == ("1970-01-01", "1970-01-01", "1970-01-02")
    assert format_day(2**63) == str(2**63 * 1000), "beyond calendars"


def test_a_name_is_cut_where_it_stands_among_others() -> None:
    for length in (1, NAME_SHOWN - 1, NAME_SHOWN):
        assert shorten_name("é" * length) == "é" * length
    assert shorten_name("é" * (NAME_SHOWN + 1)) == "é" * (NAME_SHOWN - 1) + "…"
