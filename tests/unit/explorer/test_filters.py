from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest

from chain.errors import MalformedRequest, UnknownKind
from chain.primitives import ETHER
from explorer.filters import (
    NAMES,
    decode_first_second,
    decode_last_second,
    encode_query,
    read_filter,
)
from node.index import Direction, PaymentFilter
from node.payment_status import Commitments, PaymentStatus

ALICE, BOB, TOKEN, ORDER = b"\xa1" * 20, b"\xb0" * 20, b"\x70" * 20, b"\x0d" * 32

FULL = {
    "account": "0x" + ALICE.hex(),
    "direction": "in",
    "counterparty": "0x" + BOB.hex(),
    "asset": "0x" + TOKEN.hex(),
    "kind": "transfer",
    "reference": "0x" + ORDER.hex(),
    "status": "committed",
    "from": "2026-01-31",
    "to": "1770000000",
}
COMMITMENTS = Commitments(mined_epoch=7, final_epoch=4)


def seconds(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]


def test_every_parameter_is_understood() -> None:
    assert set(FULL) == set(NAMES)
    chosen = read_filter(FULL, COMMITMENTS)
    assert chosen.wanted == PaymentFilter(
        account=ALICE,
        direction=Direction.IN,
        counterparty=BOB,
        asset=TOKEN,
        kind="transfer",
        reference=ORDER,
        from_s=seconds(2026, 1, 31),
        to_s=1_770_000_000,
        first_epoch=5,
        last_epoch=7,
    )
    assert chosen.status is PaymentStatus.COMMITTED


@pytest.mark.parametrize("name", NAMES)
def test_each_parameter_changes_what_is_wanted(name: str) -> None:
    needed = {"account": FULL["account"]} if name in ("direction", "counterparty") else {}
    with_it, without_it = read_filter({**needed, name: FULL[name]}, COMMITMENTS), read_filter(needed, COMMITMENTS)
    assert with_it.wanted != without_it.wanted
    assert with_it.texts == {**needed, name: FULL[name]}


def test_what_is_empty_or_of_no_filter_is_absent() -> None:
    for parameters in ({}, dict.fromkeys(NAMES, ""), dict.fromkeys(NAMES, "  "), {"before": "7", "theme": "dark"}):
        chosen = read_filter(parameters, COMMITMENTS)
        assert (chosen.wanted, chosen.texts, chosen.status) == (PaymentFilter(), {}, None)
        assert chosen.encode() == ""
    assert read_filter({"kind": " tip\n"}, COMMITMENTS).texts == {"kind": "tip"}
    assert read_filter({"asset": "0x" + "00" * 20}, COMMITMENTS).wanted.asset == ETHER


def test_what_is_fixed_stands_over_what_was_given() -> None:
    chosen = read_filter({"account": FULL["counterparty"], "kind": "tip"}, COMMITMENTS, account=FULL["account"])
    assert chosen.wanted == PaymentFilter(account=ALICE, kind="tip")
    assert chosen.texts == {"account": FULL["account"], "kind": "tip"}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        *[({name: text}, name) for name in ("account", "asset") for text in ("0x", "0x12", "a1" * 20, "0x" + "g" * 40)],
        ({"account": FULL["account"], "counterparty": "bob"}, "counterparty"),
        ({"account": FULL["account"], "direction": "both"}, "direction"),
        ({"account": FULL["account"], "direction": "IN"}, "direction"),
        ({"direction": "in"}, "direction, counterparty"),
        ({"counterparty": FULL["counterparty"]}, "direction, counterparty"),
        ({"reference": "0x12"}, "reference"),
        ({"reference": "0x" + "00" * 32}, "reference"),
        ({"status": "pending"}, "status"),
        ({"status": "Final"}, "status"),
        *[
            ({name: text}, name)
            for name in ("from", "to")
            for text in (
                "2026-02-30",
                "2026-13-01",
                "0000-01-01",
                "2026-1-31",
                "31.01.2026",
                "2026-01-31T00:00",
                "yesterday",
                "-1",
                "1.5",
                "1e9",
                "0x10",
                "٢٠٢٦-٠١-٣١",
                "٣",
                "9" * 13,
                "9" * 5000,
            )
        ],
    ],
)
def test_what_is_wrong_is_named(parameters: dict[str, str], named: str) -> None:
    with pytest.raises(MalformedRequest, match=rf"^(malformed request: )?{named}: ") as raised:
        read_filter(parameters, COMMITMENTS)
    assert len(str(raised.value)) < 200


def test_a_kind_that_there_is_not_has_its_own_refusal() -> None:
    with pytest.raises(UnknownKind):
        read_filter({"kind": "gift"}, COMMITMENTS)


def test_days_are_of_utc_and_whole() -> None:
    day = datetime(2023, 12, 25, tzinfo=UTC)
    for _ in range(500):
        text = day.date().isoformat()
        first, last = decode_first_second(text, "from"), decode_last_second(text, "to")
        assert datetime.fromtimestamp(first, UTC) == day
        assert last - first == 86_399
        day += timedelta(days=1)
        assert decode_first_second(day.date().isoformat(), "from") == last + 1
    assert decode_first_second("2024-02-29", "from") == seconds(2024, 2, 29)
    assert decode_last_second("9999-12-31", "to") == seconds(9999, 12, 31, 23, 59, 59)


def test_seconds_are_themselves() -> None:
    for text in ("0", "7", "1770000000", str(2**43)):
        assert decode_first_second(text, "from") == decode_last_second(text, "to") == int(text)
    for decode in (decode_first_second, decode_last_second):
        with pytest.raises(MalformedRequest, match=r"^to: "):
            decode(str(2**43 + 1), "to")


def test_a_filter_goes_into_a_url_and_comes_back() -> None:
    for names in ([], ["kind"], ["account", "direction", "from"], NAMES):
        chosen = read_filter({name: FULL[name] for name in names}, COMMITMENTS)
        again = read_filter(dict(parse_qsl(chosen.encode().removeprefix("?"), strict_parsing=bool(names))), COMMITMENTS)
        assert again == chosen


def test_a_url_may_differ_from_its_filter() -> None:
    chosen = read_filter({"kind": "tip", "status": "final"}, COMMITMENTS)
    assert chosen.encode(status="accepted", before="77") == "?kind=tip&status=accepted&before=77"
    assert chosen.encode(status=None) == "?kind=tip"
    assert chosen.encode(status=None, kind=None) == ""
    assert chosen.texts == {"kind": "tip", "status": "final"}


def test_queries_are_encoded_so_that_nothing_breaks_out() -> None:
    hostile = {"a": '"><script>&b=1#?', "é": " +%"}
    query = encode_query({**hostile, "none": None})
    assert not set(query) & set("\"<>#' \u00e9")
    assert dict(parse_qsl(query.removeprefix("?"))) == hostile
    assert encode_query({"none": None}) == encode_query({}) == ""


@pytest.mark.parametrize("commitments", [Commitments(m, f) for m in range(4) for f in range(m + 1)], ids=str)
def test_a_status_is_a_span_of_epochs(commitments: Commitments) -> None:
    """Every epoch is in the span of its own status, and of no other."""
    for epoch in range(1, 6):
        for status in PaymentStatus:
            wanted = read_filter({"status": status.value}, commitments).wanted
            is_within = (wanted.first_epoch is None or epoch >= wanted.first_epoch) and (
                wanted.last_epoch is None or epoch <= wanted.last_epoch
            )
            assert is_within == (commitments.compute_status(epoch) is status)
