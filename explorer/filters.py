"""What a list is to show, as it stands in a URL: one form for pages, exports and the REST interface.

| parameter | what it takes |
|---|---|
| `account` | an address: the payer or a payee, the recipient of a withdrawal included |
| `direction` | `in` or `out`, of the account |
| `counterparty` | an address: on the other side of the account |
| `asset` | an address; zeros are ether |
| `kind` | `transfer`, `tip`, `withdraw` |
| `reference` | 32 bytes |
| `status` | `accepted`, `committed`, `final` |
| `from`, `to` | a day of UTC, `2026-01-31`, or Unix seconds; both included |

A parameter that is empty counts as absent: forms send them so.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from chain import wire
from chain.errors import MalformedRequest
from node.index import Direction, PaymentFilter
from node.payment_status import Commitments, PaymentStatus

NAMES: Final = ("account", "direction", "counterparty", "asset", "kind", "reference", "status", "from", "to")

DAY_S: Final = 86_400
_MAX_SECONDS: Final = 2**43
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SECONDS: Final = re.compile(r"\d{1,13}", re.ASCII)


class Filter(msgspec.Struct, frozen=True):
    """A filter as it came, and what it means."""

    texts: dict[str, str]
    """By name; only what was given, trimmed."""
    wanted: PaymentFilter
    status: PaymentStatus | None

    def encode(self, **changes: str | None) -> str:
        """As a query string, with changes; None takes a parameter out."""
        return encode_query({**self.texts, **changes})


def read_filter(parameters: Mapping[str, str], commitments: Commitments, **fixed: str) -> Filter:
    """`fixed` stands over what was given. Raises `MalformedRequest`, naming the parameter; `UnknownKind`."""
    given = {name: parameters.get(name, "").strip() for name in NAMES} | fixed
    texts = {name: text for name, text in given.items() if text}

    def take(name: str, decode: Any) -> Any:
        return decode(texts[name], name) if name in texts else None

    status = take("status", _decode_status)
    first_epoch, last_epoch = (None, None) if status is None else commitments.find_epochs(status)
    wanted = PaymentFilter(
        account=take("account", wire.decode_address),
        direction=take("direction", _decode_direction),
        counterparty=take("counterparty", wire.decode_address),
        asset=take("asset", wire.decode_address),
        kind=texts.get("kind"),
        reference=take("reference", wire.decode_hash),
        from_s=take("from", decode_first_second),
        to_s=take("to", decode_last_second),
        first_epoch=first_epoch,
        last_epoch=last_epoch,
    )
    wanted.check()
    return Filter(texts, wanted, status)


def encode_query(parameters: Mapping[str, str | None]) -> str:
    """`?a=b…`, without what is None; empty when nothing is left."""
    return encode_pairs([(name, text) for name, text in parameters.items() if text is not None])


def encode_pairs(pairs: Sequence[tuple[str, str]]) -> str:
    """The same, where a name may stand more than once."""
    return f"?{urlencode(pairs)}" if pairs else ""


def decode_first_second(text: str, name: str) -> int:
    """Unix seconds: of the beginning of a day, or as they are given. Raises `MalformedRequest`."""
    return _decode_time(text, name, 0)


def decode_last_second(text: str, name: str) -> int:
    """Unix seconds: of the end of a day, or as they are given. Raises `MalformedRequest`."""
    return _decode_time(text, name, DAY_S - 1)


def _decode_time(text: str, name: str, offset: int) -> int:
    if _DATE.fullmatch(text):
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise MalformedRequest(f"{name}: there is no such day") from None
        return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) + offset
    if _SECONDS.fullmatch(text) and int(text) <= _MAX_SECONDS:
        return int(text)
    raise MalformedRequest(f"{name}: a day like 2026-01-31, or Unix seconds")


def _decode_direction(text: str, name: str) -> Direction:
    try:
        return Direction(text)
    except ValueError:
        raise MalformedRequest(f"{name}: in or out") from None


def _decode_status(text: str, name: str) -> PaymentStatus:
    try:
        return PaymentStatus(text)
    except ValueError:
        raise MalformedRequest(f"{name}: accepted, committed or final") from None
