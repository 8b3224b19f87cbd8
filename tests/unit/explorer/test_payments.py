"""The list of payments: every filter shows what it should and nothing else, on whichever way one turns its pages."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from chain.kinds import WITHDRAW
from chain.payment import SignedPayment
from chain.primitives import ETHER, ZERO_HASH
from chain.wire import encode_address, encode_bytes
from explorer.formatting import make_visible
from explorer.listing import DEFAULT_LIMIT
from explorer.pages import payments as pages
from node.index import Direction, IndexedPayment, PaymentFilter, payments
from node.payment_status import PaymentStatus
from node.refusals import Overloaded
from tests.unit.explorer.conftest import World
from tests.unit.explorer.machines import commit, fetch, make_queries
from tests.unit.explorer.reading import Page
from tests.unit.explorer.turning import Leaf, check_both_ways, join, turn
from tests.unit.node.index.history import RandomLedger
from tests.unit.node.index.oracle import describe, list_wanted

QUERIES = 12
"""At random; each costs as many pages as it fills."""


async def read(world: World, path: str, status: int = 200) -> Page:
    answer = await fetch(world.explorer, path)
    assert answer.status == status, answer.text
    return answer.page


def list_ids(page: Page) -> list[str]:
    return [row[1] for row in page.get_rows("Payments")]


async def check(world: World, path: str, expected: list[IndexedPayment]) -> list[Leaf]:
    leaves = await check_both_ways(world, path, [encode_bytes(payment.id) for payment in expected])
    assert bool(expected) != ("No payment fits this filter." in leaves[0].answer.text)
    return leaves


def make_filters(history: RandomLedger) -> list[tuple[dict[str, str], PaymentFilter, PaymentStatus | None]]:
    """Each parameter alone, where it stands alone, and many of them in pairs."""
    account, other = history.accounts[0], history.accounts[1]
    begin = datetime.fromtimestamp(history.headers[0].timestamp // 1000, UTC).date()
    end = datetime.fromtimestamp(history.headers[-1].timestamp // 1000, UTC).date()
    middle = history.headers[len(history.headers) // 2].timestamp // 1000
    asset, reference = history.assets[1], history.references[0]
    hexed, capital = encode_address(account), "0x" + other.hex().upper()

    def midnight(day: object) -> int:
        return int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp())

    return [
        ({}, PaymentFilter(), None),
        ({"asset": encode_address(asset)}, PaymentFilter(asset=asset), None),
        ({"asset": "0x" + "00" * 20}, PaymentFilter(asset=ETHER), None),
        ({"asset": "0x" + "77" * 20}, PaymentFilter(asset=b"\x77" * 20), None),
        *[({"kind": kind}, PaymentFilter(kind=kind), None) for kind in ("transfer", "tip", "withdraw")],
        ({"account": hexed}, PaymentFilter(account=account), None),
        ({"account": capital}, PaymentFilter(account=other), None),
        ({"account": encode_address(history.strangers[0])}, PaymentFilter(account=history.strangers[0]), None),
        ({"account": "0x" + "01" * 20}, PaymentFilter(account=b"\x01" * 20), None),
        *[
            ({"account": hexed, "direction": way}, PaymentFilter(account=account, direction=way), None)
            for way in Direction
        ],
        ({"account": hexed, "counterparty": capital}, PaymentFilter(account=account, counterparty=other), None),
        ({"account": hexed, "counterparty": hexed}, PaymentFilter(account=account, counterparty=account), None),
        ({"reference": encode_bytes(reference)}, PaymentFilter(reference=reference), None),
        ({"reference": encode_bytes(b"\x05" * 32)}, PaymentFilter(reference=b"\x05" * 32), None),
        *[({"status": str(status)}, PaymentFilter(), status) for status in PaymentStatus],
        ({"from": str(begin)}, PaymentFilter(from_s=midnight(begin)), None),
        ({"to": str(end)}, PaymentFilter(to_s=midnight(end) + 86_399), None),
        ({"to": str(begin - timedelta(1))}, PaymentFilter(to_s=midnight(begin) - 1), None),
        ({"from": str(end + timedelta(1))}, PaymentFilter(from_s=midnight(end) + 86_400), None),
        ({"from": str(middle)}, PaymentFilter(from_s=middle), None),
        ({"to": str(middle)}, PaymentFilter(to_s=middle), None),
        ({"from": str(middle), "to": str(middle)}, PaymentFilter(from_s=middle, to_s=middle), None),
        ({"from": str(middle), "to": str(middle - 1)}, PaymentFilter(from_s=middle, to_s=middle - 1), None),
        ({"kind": "tip", "asset": encode_address(asset)}, PaymentFilter(kind="tip", asset=asset), None),
        ({"account": hexed, "kind": "withdraw"}, PaymentFilter(account=account, kind="withdraw"), None),
        ({"account": hexed, "status": "final"}, PaymentFilter(account=account), PaymentStatus.FINAL),
        ({"status": "committed", "from": str(middle)}, PaymentFilter(from_s=middle), PaymentStatus.COMMITTED),
        ({"reference": encode_bytes(reference), "kind": "tip"}, PaymentFilter(reference=reference, kind="tip"), None),
    ]  # fmt: skip


async def test_every_filter_lists_what_happened_and_both_ways_lead_over_the_same_pages(
    world: World, history: RandomLedger
) -> None:
    commitments = commit(world, history)
    found = 0
    for texts, wanted, status in make_filters(history):
        expected = [
            payment
            for payment in list_wanted(history, wanted)
            if status is None or commitments.compute_status(payment.epoch) is status
        ]
        leaves = await check(world, f"/payments?limit=70&{urlencode(texts)}", expected)
        found += bool(expected)
        first = leaves[0].answer.page
        files = [first.get_link("CSV"), first.get_link("JSON")]
        for link in [*files, *[link for leaf in leaves for link in leaf.links.values()]]:
            query = dict(parse_qsl(urlsplit(link).query))
            assert {name: query.get(name) for name in texts} == texts, f"{link} forgets what was asked"
        assert bool(first.get_link("Clear")) == bool(texts)
    assert found > 15, "the history answers too few of the filters"


async def test_filters_at_random_list_what_happened(world: World, history: RandomLedger) -> None:
    for query, expected in make_queries(history, commit(world, history), QUERIES):
        await check(world, f"/payments?limit=70&{query}", expected)


async def test_a_page_has_so_many_rows_and_says_what_is_asked(world: World, history: RandomLedger) -> None:
    page = await read(world, "/payments")
    assert len(list_ids(page)) == DEFAULT_LIMIT
    account = encode_address(history.accounts[0])
    page = await read(world, f"/payments?account={account.lower()}&kind=tip&status=accepted&from=2023-11-01&limit=3")
    assert len(list_ids(page)) <= 3
    fields = {attributes.get("name"): attributes.get("value") for tag, attributes in page.elements if tag == "input"}
    assert (fields["account"], fields["from"], fields["to"]) == (account.lower(), "2023-11-01", "")
    chosen = {attributes.get("value") for tag, attributes in page.elements if "selected" in attributes}
    assert {"tip", "accepted"} <= chosen


async def test_a_search_that_goes_on_for_long_says_so(
    world: World, history: RandomLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payments, "MAX_VISITED", 10)
    account, other = history.accounts[0], history.accounts[2]
    path = f"/payments?account={encode_address(account)}&counterparty={encode_address(other)}"
    leaves = await turn(world, path)
    assert join(leaves) == [
        encode_bytes(payment.id) for payment in list_wanted(history, PaymentFilter(account=account, counterparty=other))
    ]
    *cut, last = leaves
    assert len(cut) > 1
    for leaf in cut:
        assert "The search goes on on the next page." in leaf.answer.text
        assert leaf.keys or "No payment fits this filter on this page." in leaf.answer.text
    assert "The search goes on" not in last.answer.text


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("account=0x12", "account"), ("asset=ETH", "asset"), ("kind=gift", "gift"), ("reference=0x12", "reference"),
        (f"reference={encode_bytes(ZERO_HASH)}", "reference"), ("status=lost", "status"), ("from=yesterday", "from"),
        ("to=2026-02-30", "to"), ("from=2026-1-1", "from"), ("to=-1", "to"), ("direction=up", "direction"),
        ("direction=in", "direction"), (f"counterparty=0x{'1' * 40}", "counterparty"), ("limit=0", "limit"),
        ("limit=ten", "limit"), ("before=x", "cursor"), ("after=x", "cursor"), ("from=99999999999999999999", "from"),
        (f"before={'0' * 16}&after={'0' * 16}", "before, after"),
        ("account=%3Cscript%3Ealert(1)%3C/script%3E", "account"), ("kind=%3Cb%3Ebold", "<b>bold"),
    ],
)  # fmt: skip
async def test_a_value_that_is_none_is_named_and_nothing_is_listed(world: World, query: str, named: str) -> None:
    answer = await fetch(world.explorer, f"/payments?{query}")
    assert answer.status == 400
    page = answer.page
    assert not page.get_rows("Payments") and not page.get_link("CSV")
    assert named in page.text
    assert "<script>alert" not in answer.text and "<b>bold" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_what_others_wrote_is_text(world: World, history: RandomLedger) -> None:
    """In a field that comes back to who wrote it."""
    hostile = "\"><script>alert(1)</script>'\u202e"
    answer = await fetch(world.explorer, "/payments?" + urlencode({"account": hostile}))
    assert answer.status == 400
    assert "<script>alert" not in answer.text
    assert [attributes for tag, attributes in answer.page.elements if tag == "script" and "src" not in attributes] == []
    fields = {attributes.get("name"): attributes.get("value") for tag, attributes in answer.page.elements}
    assert fields["account"] == hostile


async def test_bytes_that_are_no_text_are_a_value_like_any_other(world: World) -> None:
    assert (await fetch(world.explorer, "/payments?account=\udcff")).status == 400
    assert (await fetch(world.explorer, "/payments?nothing=\udcff\udc80")).status == 200
    assert (await fetch(world.explorer, "/nothing?\udcff")).status == 404


async def test_a_head_request_is_answered_as_the_page_is(world: World) -> None:
    for path in ("/payments", "/payments?kind=gift", "/payments?kind=tip"):
        page, head = await fetch(world.explorer, path), await fetch(world.explorer, path, "HEAD")
        assert (head.status, head.headers) == (page.status, page.headers)


async def test_too_many_readers_are_not_told_that_their_filter_is_wrong(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise Overloaded(64)

    monkeypatch.setattr(pages, "read_payments", refuse)
    for path in ("/payments", "/address/0x" + "11" * 20):
        answer = await fetch(world.explorer, path)
        assert (answer.status, answer.headers.get("retry-after")) == (503, "1")


async def test_beyond_the_oldest_payment_there_are_no_older_ones(world: World) -> None:
    page = await read(world, f"/payments?before={'0' * 16}")
    assert "No payments yet" not in page.text
    assert "No older payments." in page.text
    assert list_ids(await read(world, page.get_link("First")))


async def test_a_row_says_what_the_ledger_says(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    page = await read(world, "/payments?limit=100")
    rows = page.get_rows("Payments")
    expected = [describe(placed) for placed in history.payments[::-1][:100]]
    for row, payment in zip(rows, expected, strict=True):
        assert row[2] == encode_address(payment.payer)
        assert row[5] == f"{payment.block:,}"
        assert row[7] == commitments.compute_status(payment.epoch)
        for output in payment.outputs:
            assert encode_address(output.to) in row[3]
        assert ("on Ethereum" in row[3]) == (payment.kind == WITHDRAW)
    assert all(isinstance(placed.record, SignedPayment) for placed in history.payments)
    assert make_visible("\u202e") not in page.text  # memos are not in lists
