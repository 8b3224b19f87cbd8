"""A statement is what an account's entries say: opening, each change with the balance after it, closing."""

from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import pytest

from chain.primitives import ETHER, Address
from chain.wire import encode_address, encode_bytes
from explorer.formatting import describe_token, format_amount, format_change, format_time, make_visible
from node.index import StatementEntry, TimeSpan
from node.ledger_info import AssetInfo
from node.payment_status import Commitments
from node.refusals import Overloaded
from tests.unit.explorer.conftest import LISTED, World
from tests.unit.explorer.machines import commit, fetch
from tests.unit.explorer.reading import Page
from tests.unit.explorer.turning import Leaf, check_both_ways
from tests.unit.node.index.history import PlacedRecord, RandomLedger
from tests.unit.node.index.oracle import is_within, make_entries

Entries = list[tuple[PlacedRecord, StatementEntry]]


async def read(world: World, path: str, status: int = 200) -> Page:
    answer = await fetch(world.explorer, path)
    assert answer.status == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.page


class Book:
    """Of one account in one asset."""

    def __init__(self, history: RandomLedger, account: Address, asset: Address) -> None:
        self.path = f"/address/{encode_address(account)}/statement?asset={encode_address(asset)}"
        self.all: Entries = list(make_entries(history, account, asset))
        self._token = describe_token(
            asset, AssetInfo("ETH" if asset == ETHER else f"TOK{history.assets.index(asset)}", LISTED)
        )

    def amount(self, base_units: int) -> str:
        return f"{format_amount(base_units, self._token)} {self._token.symbol}"

    def change(self, base_units: int) -> str:
        return f"{format_change(base_units, self._token)} {self._token.symbol}"

    async def check(
        self, world: World, query: str, is_in: Callable[[PlacedRecord], bool], commitments: Commitments
    ) -> list[Leaf]:
        """That the statement has just the entries that are in, whichever way its pages are turned."""
        entries = [(placed, entry) for placed, entry in self.all if is_in(placed)]
        keys = [f"{entry.block}-{entry.record}-{entry.is_credit}-{entry.output}" for _, entry in entries]
        leaves = await check_both_ways(world, f"{self.path}{query}", keys)
        rows = [row for leaf in leaves for row in leaf.answer.page.get_rows("Entries")]
        for row, (placed, entry) in zip(rows, entries, strict=True):
            change = entry.amount if entry.is_credit else -entry.amount
            assert row[0] == format_time(placed.timestamp)
            assert row[1].endswith(commitments.compute_status(placed.epoch))
            assert row[4:] == [encode_bytes(entry.id), self.change(change), self.amount(entry.balance)]
        for leaf in leaves[:1] + leaves[-1:]:
            self._check_totals(leaf.answer.page, entries, is_in)
        if not entries:
            assert "Nothing moved in this time." in leaves[0].answer.text
        return leaves

    def _check_totals(self, page: Page, entries: Entries, is_in: Callable[[PlacedRecord], bool]) -> None:
        credits = [entry.amount for _, entry in entries if entry.is_credit]
        debits = [entry.amount for _, entry in entries if not entry.is_credit]
        assert page.get_pair("Received").startswith(self.change(sum(credits)))
        assert page.get_pair("Received").endswith(f"{len(credits)} {'credit' if len(credits) == 1 else 'credits'}")
        assert page.get_pair("Paid").startswith(self.change(-sum(debits)))
        assert page.get_pair("Paid").endswith(f"{len(debits)} {'debit' if len(debits) == 1 else 'debits'}")
        if entries:
            first, last = entries[0][1], entries[-1][1]
            opening = first.balance - (first.amount if first.is_credit else -first.amount)
            assert page.get_pair("Opening balance") == self.amount(opening)
            assert page.get_pair("Closing balance") == self.amount(last.balance)
        else:
            assert page.get_pair("Opening balance") == page.get_pair("Closing balance")


def list_books(history: RandomLedger) -> list[Book]:
    return [Book(history, account, asset) for account in history.accounts[:2] for asset in history.assets[:2]]


async def test_a_statement_of_all_time_has_every_entry(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    longest = 0
    for book in list_books(history):
        leaves = await book.check(world, "&limit=15", lambda _: True, commitments)
        longest = max(longest, len(leaves))
        assert leaves[0].answer.page.get_pair("Opening balance") == book.amount(0)
    assert longest > 2
    await book.check(world, "", lambda _: True, commitments)


async def test_a_statement_of_an_epoch_has_the_entries_of_its_blocks(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    book = list_books(history)[0]
    for epoch in range(1, history.epoch + 1):
        leaves = await book.check(world, f"&epoch={epoch}&limit=7", _is_of(epoch), commitments)
        before = [entry.balance for placed, entry in book.all if placed.epoch < epoch]
        page = leaves[0].answer.page
        assert page.get_pair("Opening balance") == book.amount(before[-1] if before else 0)
        for link in [page.get_link("CSV"), *[link for leaf in leaves for link in leaf.links.values()]]:
            assert dict(parse_qsl(urlsplit(link).query))["epoch"] == f"{epoch}"


def _is_of(epoch: int) -> Callable[[PlacedRecord], bool]:
    return lambda placed: placed.epoch == epoch


async def test_a_statement_of_a_time_has_the_entries_of_that_time(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    book = list_books(history)[1]
    seconds = [header.timestamp // 1000 for header in history.headers]
    third, middle = seconds[len(seconds) // 3], seconds[len(seconds) // 2]
    day = format_time(history.headers[0].timestamp)[:10]
    for query, span in (
        (f"&from={middle}", TimeSpan(middle, None)),
        (f"&to={middle}", TimeSpan(None, middle)),
        (f"&from={third}&to={middle}", TimeSpan(third, middle)),
        (f"&from={middle}&to={third}", TimeSpan(middle, third)),
        (f"&from={middle}&to={middle}", TimeSpan(middle, middle)),
        (f"&from={day}", TimeSpan(seconds[0], None)),
        ("&to=2000-01-01", TimeSpan(None, 0)),
        ("&from=2999-12-31", TimeSpan(2**40, None)),
        (f"&from={day}&to=2999-12-31", TimeSpan(seconds[0], None)),
    ):
        await book.check(world, query + "&limit=15", _is_in(span), commitments)


def _is_in(span: TimeSpan) -> Callable[[PlacedRecord], bool]:
    return lambda placed: is_within(placed.timestamp, span)


async def test_a_row_says_who_was_on_the_other_side(world: World, history: RandomLedger) -> None:
    kinds = set()
    for book in list_books(history):
        rows = (await read(world, book.path + "&limit=100")).get_rows("Entries")
        for row, (placed, entry) in zip(rows, book.all, strict=False):
            record: object = placed.record
            payment = getattr(record, "payment", None)
            if payment is None:
                assert row[1].startswith("Deposit") and row[2] == "Ethereum"
                kinds.add("deposit")
                continue
            kinds.add(payment.kind)
            assert row[3] == " ".join(make_visible(payment.memo).split())
            if entry.is_credit:
                assert row[2] == encode_address(payment.payer)
            elif len(payment.outputs) > 1:
                assert row[2] == f"{len(payment.outputs)} outputs"
            else:
                to = encode_address(payment.outputs[0].to)
                assert row[2] == (f"{to} on Ethereum" if payment.kind == "withdraw" else to)
    assert kinds == {"deposit", "transfer", "tip", "withdraw"}


async def test_the_asset_is_the_first_that_the_account_has(world: World, history: RandomLedger) -> None:
    account = history.accounts[0]
    bare = f"/address/{encode_address(account)}/statement"
    page, named = await read(world, bare), await read(world, Book(history, account, history.assets[0]).path)
    assert page.get_rows("Entries") == named.get_rows("Entries") and page.pairs == named.pairs
    # Of who has nothing: the first that is listed.
    page = await read(world, f"/address/0x{'01' * 20}/statement")
    assert page.get_pair("Closing balance") == "0 ETH"
    assert "Nothing moved in this time." in page.text


async def test_an_asset_that_nobody_listed_has_no_entries(world: World, history: RandomLedger) -> None:
    page = await read(world, f"/address/{encode_address(history.accounts[0])}/statement?asset=0x{'77' * 20}")
    assert page.get_pair("Closing balance") == "0 base units of 0x777777…"
    assert "Nothing moved in this time." in page.text


@pytest.mark.parametrize(
    ("query", "status", "named"),
    [
        ("epoch=1&from=2023-11-14", 400, "epoch, from, to"), ("epoch=1&to=5", 400, "epoch, from, to"),
        ("epoch=x", 400, "epoch"), ("epoch=-1", 400, "epoch"), ("epoch=" + "9" * 30, 400, "epoch"),
        ("epoch=99", 404, "epoch 99"), ("epoch=0", 404, "epoch 0"), ("from=soon", 400, "from"),
        ("to=2026-13-01", 400, "to"), ("asset=TOK", 400, "asset"), ("asset=%3Cb%3E", 400, "asset"),
        ("cursor=x", 400, "cursor"), (f"cursor={'0' * 16}", 400, "cursor"), ("limit=0", 400, "limit"),
        ("limit=501", 400, "limit"), ("limit=x", 400, "limit"),
    ],
)  # fmt: skip
async def test_what_is_no_statement_is_refused_by_name(
    world: World, history: RandomLedger, query: str, status: int, named: str
) -> None:
    page = await read(world, f"/address/{encode_address(history.accounts[0])}/statement?{query}", status)
    assert named in page.text
    assert not page.get_rows("Entries") and not page.get_link("CSV")
    assert page.get_rows("Balances"), "the account is there all the same"


async def test_a_busy_node_says_that_it_is_busy(
    world: World, history: RandomLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Overloaded(64)

    monkeypatch.setattr(world.index, "get_statement_totals", refuse)
    answer = await fetch(world.explorer, f"/address/{encode_address(history.accounts[0])}/statement")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_any_place_is_a_cursor(world: World, history: RandomLedger) -> None:
    """Also one of another statement: it goes on from there."""
    book = list_books(history)[0]
    page = await read(world, f"{book.path}&cursor={'7' + 'f' * 15}{'0' * 16}")
    assert not page.get_rows("Entries") and page.get_link("First")
    page = await read(world, f"{book.path}&cursor={'0' * 32}&limit=100")
    assert len(page.get_rows("Entries")) == min(100, len(book.all))


async def test_a_statement_says_which_entries_it_shows_and_where_all_are(world: World, history: RandomLedger) -> None:
    """So that nobody takes a page on paper for all of it."""
    book = max(list_books(history), key=lambda book: len(book.all))
    count = len(book.all)
    assert count > 21
    leaves = await book.check(world, "&limit=7", lambda _: True, world.sources.commitments)
    for place, leaf in enumerate(leaves):
        last = min(7 * place + 7, count)
        assert f"Entries {7 * place + 1} to {last} of {count}, oldest first" in leaf.answer.page.text
    paths = [str(attributes.get("href")) for tag, attributes in leaves[0].answer.page.elements if tag == "a"]
    (whole,) = [path for path in paths if path.endswith("limit=500")]
    page = await read(world, whole)
    assert len(page.get_rows("Entries")) == count
    assert f"Entries 1 to {count} of {count}, oldest first" in page.text
    assert "All on one page" not in page.text
