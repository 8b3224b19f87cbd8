"""Values as people read them. Exact: amounts with all the decimals they have, times with their milliseconds."""

import unicodedata
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

import msgspec

from chain.primitives import ETHER, Address
from chain.wire import encode_address
from node.ledger_info import AssetInfo

MAX_DECIMALS: Final = 77
"""ERC-20 gives a u8; above this not even one whole unit fits 256 bits, and nothing sensible can be shown."""

MAX_SYMBOL_LENGTH: Final = 12

NAME_SHOWN: Final = 32
"""Letters of a file's name where it stands among other words; it is whole on its own page."""

_NEVER_MS: Final = 253_402_300_800_000
"""The year 10000, which calendars in Python do not reach."""

_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

_SPANS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))

_JOINER: Final = "\u200d"
"""Makes one emoji of several."""

_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and signs by their category, but nothing is seen of them."""


class Token(msgspec.Struct, frozen=True):
    """An asset as pages name it."""

    address: Address
    symbol: str
    decimals: int
    """0 also when they are not known: then amounts are in base units, and say so."""
    is_known: bool
    """Whether the contract of the token has said its decimals."""


GWEI: Final = Token(ETHER, "gwei", 9, is_known=True)
"""Wei per gas, as people speak of it."""


def describe_token(address: Address, info: AssetInfo) -> Token:
    """`info` is what the token says of itself, and a token may say anything."""
    decimals = info.decimals if info.decimals is not None and 0 <= info.decimals <= MAX_DECIMALS else None
    return Token(
        address=address,
        symbol=_clean_symbol(info.symbol or "") or encode_address(address)[:8] + "…",
        decimals=decimals or 0,
        is_known=decimals is not None,
    )


def format_amount(base_units: int, token: Token) -> str:
    """Nothing is rounded: the whole units in groups of three, then every decimal up to the last that is not zero."""
    digits = str(base_units).rjust(token.decimals + 1, "0")
    split = len(digits) - token.decimals
    whole, fraction = f"{int(digits[:split]):,}", digits[split:].rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def format_change(base_units: int, token: Token) -> str:
    """With its sign, which is a real minus: "+1.5", "−1.5", "0"."""
    sign = "+" if base_units > 0 else "−" if base_units < 0 else ""
    return sign + format_amount(abs(base_units), token)


def format_count(count: int) -> str:
    return f"{count:,}"


def format_time(time_ms: int) -> str:
    """Of milliseconds since 1970: 2026-01-31 12:00:00.000 UTC."""
    if time_ms >= _NEVER_MS:
        return f"{time_ms} ms after 1970"
    return f"{_to_datetime(time_ms):%Y-%m-%d %H:%M:%S}.{time_ms % 1000:03} UTC"


def format_machine_time(time_ms: int) -> str:
    """For `datetime` attributes (RFC 3339); empty for what they cannot say."""
    if time_ms >= _NEVER_MS:
        return ""
    return f"{_to_datetime(time_ms):%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03}Z"


def format_day(time_s: int) -> str:
    """Of Unix seconds: 2026-01-31."""
    return format_time(time_s * 1000).partition(" ")[0]


def format_age(time_ms: int, now_ms: int) -> str:
    """In the largest unit that fits, rounded down: "59 s ago", "3 h ago", "in 5 s"; "now" within a second."""
    seconds = abs(now_ms - time_ms) // 1000
    for length, unit in _SPANS:
        if seconds >= length:
            span = f"{seconds // length} {unit}"
            return f"in {span}" if time_ms > now_ms else f"{span} ago"
    return "now"


def format_duration(duration_ms: int) -> str:
    """In its two largest units, rounded down: "340 ms", "5.2 s", "1 min 5 s", "2 h", "3 d 4 h"."""
    if duration_ms < 1000:
        return f"{duration_ms} ms"
    seconds = duration_ms // 1000
    if seconds < 60:
        tenths = duration_ms % 1000 // 100
        return f"{seconds}.{tenths} s" if tenths else f"{seconds} s"
    for (length, unit), (part, part_unit) in pairwise(_SPANS):
        if seconds >= length:
            rest = seconds % length // part
            return f"{seconds // length} {unit} {rest} {part_unit}" if rest else f"{seconds // length} {unit}"
    raise AssertionError("a minute is the shortest of the lengths")


def format_size(size: int) -> str:
    """Bytes in the largest unit that fits, to a tenth, rounded down: "1.5 MiB"."""
    step = min((size.bit_length() - 1) // 10, len(_SIZES) - 1) if size else 0
    whole, rest = divmod(size, 1 << 10 * step)
    tenths = rest * 10 >> 10 * step
    return f"{whole:,}.{tenths} {_SIZES[step]}" if tenths else f"{whole:,} {_SIZES[step]}"


def format_percent(hundredths: int) -> str:
    """Of hundredths of a percent: "50 %", "33.33 %"."""
    whole, rest = divmod(hundredths, 100)
    return f"{whole}.{rest:02}".rstrip("0") + " %" if rest else f"{whole} %"


def shorten_name(name: str) -> str:
    return name if len(name) <= NAME_SHOWN else name[: NAME_SHOWN - 1] + "…"


def make_visible(words: str) -> str:
    """What others wrote, with the number in the place of each letter that has no form of its own: controls, marks that
    turn the direction of writing, odd spaces, lone surrogates. So no two texts look alike that are not."""
    if words.isascii() and words.isprintable():
        return words
    return "".join([_show_letter(words, place) for place in range(len(words))])


def _show_letter(words: str, place: int) -> str:
    letter = words[place]
    category = unicodedata.category(letter)
    if letter == " " or (category[0] not in "CZ" and letter not in _BLANK):
        return letter
    if letter == _JOINER and unicodedata.category(words[place + 1 : place + 2] or " ") == "So":
        return letter
    return f"⟨U+{ord(letter):04X}⟩"


def _to_datetime(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1000, UTC)


def _clean_symbol(symbol: str) -> str:
    """Without what has no form of its own (controls, marks that turn the direction of writing, blank letters, lone
    surrogates), and cut to a length that no token needs more of."""
    visible = "".join(
        [letter for letter in symbol if unicodedata.category(letter)[0] not in "CZ" and letter not in _BLANK]
    )
    return visible if len(visible) <= MAX_SYMBOL_LENGTH else visible[: MAX_SYMBOL_LENGTH - 1] + "…"
