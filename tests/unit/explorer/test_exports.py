"""Files: just what the list shows, whole or visibly broken, safe in a spreadsheet, and no work for who has gone."""

import asyncio
import csv
import gc
import io
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from chain.block import Record
from chain.commitment import hash_commitment
from chain.payment import Output, Payment, SignedPayment, compute_payment_id
from chain.primitives import ETHER, ZERO_HASH, Address
from chain.wire import encode_address, encode_bytes
from explorer import exports
from explorer.download import Download, Gate
from explorer.files import describe_line
from node.catalogue import compute_file_status
from node.index import IndexedPayment, IndexWriter
from node.ledger_info import AssetInfo
from node.refusals import Overloaded
from tests.unit.explorer.conftest import LISTED, World, build_ledger
from tests.unit.explorer.machines import Line, call, commit, fetch, make_queries
from tests.unit.explorer.market import MarketLedger, list_files, make_market
from tests.unit.explorer.test_files import list_filters
from tests.unit.node.index.history import RandomLedger, apply
from tests.unit.node.index.oracle import describe, make_entries

QUERIES = 40
WRITTEN = ("tags", "name", "media_type", "description")
HOSTILE = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "'", "＝1", '=HYPERLINK("x")', '"quoted", "=1"',
    "a,b;c", "line\r\nbreak", "# end of 1 rows", "<script>alert(1)</script>", "\u202egnp.exe", "\x00", "", " =1",
    "𝔘𝔫𝔦 🧾", "\u2028",
]  # fmt: skip


class Table:
    """A CSV file as a careful reader takes it."""

    def __init__(self, text: str) -> None:
        assert text.endswith("\r\n")
        *lines, end = csv.reader(io.StringIO(text, newline=""), strict=True)
        facts = list(takewhile(lambda cells: cells[0].startswith("# "), lines))
        assert all(len(cells) == 1 for cells in facts), "something of it is a cell of its own"
        self.facts = dict([cell.removeprefix("# ").split(": ", 1) for (cell,) in facts])
        columns, *rows = lines[len(facts) :]
        self.rows = [dict(zip(columns, cells, strict=True)) for cells in rows]
        assert end == [f"# end of {len(rows)} rows"]


def unguard(text: str) -> str:
    return text.removeprefix("'")


def count_base_units(amount: str) -> int:
    with localcontext(prec=80):
        return int(Decimal(amount).scaleb(LISTED).to_integral_exact())


def find_rows(payments: list[IndexedPayment], account: Address | None) -> list[tuple[str, str, str, str]]:
    """(payment, payee, base units, direction)"""
    rows = []
    for payment in payments:
        for output in payment.outputs:
            is_withdrawal = payment.kind == "withdraw"
            if account is None:
                direction = ""
            elif payment.payer == account:
                direction = "self" if output.to == account and not is_withdrawal else "out"
            elif output.to == account:
                direction = "l1" if is_withdrawal else "in"
            else:
                continue
            rows.append((encode_bytes(payment.id), encode_address(output.to), str(output.amount), direction))
    return rows


def take(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return row["payment_id"], row["payee"], row["base_units"], row["direction"]


# --- payments


async def test_a_file_is_just_what_the_filter_lists(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    for query, payments in make_queries(history, commitments, QUERIES):
        account = dict([part.split("=") for part in query.split("&") if part]).get("account")
        wanted = find_rows(payments, None if account is None else bytes.fromhex(account[2:]))
        table = Table((await fetch(world.explorer, f"/export/payments.csv?{query}")).text)
        assert [take(row) for row in table.rows] == wanted, query
        assert table.facts["payment_count"] == str(len(payments))
        assert table.facts["filter"] == (query or "none")
        document = msgspec.json.decode((await fetch(world.explorer, f"/export/payments.json?{query}")).body)
        assert list(document) == ["header", "rows", "row_count", "complete"]
        assert [take(row) for row in document["rows"]] == wanted
        assert (document["complete"], document["row_count"]) == (True, len(wanted))
        assert document["header"]["payment_count"] == len(payments)


async def test_rows_say_what_the_ledger_says_exactly(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    table = Table((await fetch(world.explorer, "/export/payments.csv")).text)
    document = msgspec.json.decode((await fetch(world.explorer, "/export/payments.json")).body)
    payments = {encode_bytes(placed.record.id): describe(placed) for placed in history.payments}
    assert tuple(table.rows[0]) == tuple(document["rows"][0]) == exports.PAYMENT_COLUMNS
    for row, form in zip(table.rows, document["rows"], strict=True):
        payment = payments[row["payment_id"]]
        assert datetime.fromisoformat(row["time"]) == datetime.fromtimestamp(payment.timestamp / 1000, UTC)
        assert row["time"].endswith("Z")
        assert row["status"] == commitments.compute_status(payment.epoch)
        assert count_base_units(row["amount"]) == int(row["base_units"])
        assert "," not in row["amount"] and "E" not in row["amount"]
        assert unguard(row["asset"]) == world_symbol(history, payment.asset)
        assert row["asset_address"] == encode_address(payment.asset)
        assert row["payer"] == encode_address(payment.payer)
        assert row["reference"] == ("" if payment.reference == ZERO_HASH else encode_bytes(payment.reference))
        assert (row["block"], row["epoch"], row["nonce"]) == (
            str(payment.block), str(payment.epoch), str(payment.nonce),
        )  # fmt: skip
        assert (row["kind"], form["memo"]) == (payment.kind, payment.memo)
        assert {name: str(value) for name, value in form.items() if name != "memo"} == {
            name: value for name, value in row.items() if name != "memo"
        }
    for asset in history.assets:
        total = sum([payment.total for payment in payments.values() if payment.asset == asset])
        rows = [row for row in table.rows if row["asset_address"] == encode_address(asset)]
        assert sum([int(row["base_units"]) for row in rows]) == total


def world_symbol(history: RandomLedger, asset: Address) -> str:
    return "ETH" if asset == ETHER else f"TOK{history.assets.index(asset)}"


async def test_the_top_says_what_the_file_is_of(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    answer = await fetch(world.explorer, "/export/payments.csv?kind=tip")
    commitment = history.sealed[commitments.mined_epoch][0].commitment
    facts = Table(answer.text).facts
    assert {name: facts[name] for name in facts if name not in ("content", "made_at", "commitment_state_roots")} == {
        "ledger_chain_id": str(history.parameters.domain.chain_id),
        "contract": encode_address(history.parameters.settlement),
        "l1_chain_id": str(history.parameters.l1_chain_id),
        "last_block": str(len(history.headers)),
        "last_block_time": Table(answer.text).facts["last_block_time"],
        "final_epoch": str(commitments.final_epoch),
        "committed_epoch": str(commitments.mined_epoch),
        "commitment_digest": encode_bytes(hash_commitment(commitment, history.parameters.domain)),
        "commitment_blocks_root": encode_bytes(commitment.blocks_root),
        "commitment_l1_transaction": encode_bytes(commitments.mined_epoch.to_bytes(32)),
        "filter": "kind=tip",
        "payment_count": str(len([placed for placed in history.payments if describe(placed).kind == "tip"])),
    }
    for line in commitment.assets:
        assert f"{encode_address(line.asset)}={encode_bytes(line.state_root)}" in facts["commitment_state_roots"]
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="tallystick-payments-')
    assert answer.headers["content-disposition"].endswith('.csv"')
    assert answer.headers["cache-control"] == "no-store"


async def test_before_the_first_commitment_and_payment_a_file_is_empty_and_whole(
    make_world: Callable[[RandomLedger | None], World],
) -> None:
    world = make_world(None)
    table = Table((await fetch(world.explorer, "/export/payments.csv")).text)
    assert (table.rows, table.facts["payment_count"], table.facts["committed_epoch"]) == ([], "0", "0")
    assert "commitment_digest" not in table.facts
    document = msgspec.json.decode((await fetch(world.explorer, "/export/payments.json")).body)
    assert (document["rows"], document["row_count"], document["complete"]) == ([], 0, True)


async def test_without_the_tokens_decimals_there_are_base_units_alone(world: World, history: RandomLedger) -> None:
    asset = next(asset for asset in history.assets if asset != ETHER)
    world.info.take_asset(asset, AssetInfo(None, None))
    table = Table((await fetch(world.explorer, f"/export/payments.csv?asset={encode_bytes(asset)}")).text)
    assert table.rows
    assert {row["amount"] for row in table.rows} == {""}
    assert all(int(row["base_units"]) > 0 for row in table.rows)


@pytest.mark.parametrize("symbol", ["=1+1", "@x", "+A", "-A"])
async def test_the_symbol_of_a_token_is_no_formula(world: World, history: RandomLedger, symbol: str) -> None:
    asset = next(asset for asset in history.assets if asset != ETHER)
    world.info.take_asset(asset, AssetInfo(symbol, 6))
    table = Table((await fetch(world.explorer, f"/export/payments.csv?asset={encode_bytes(asset)}")).text)
    assert {row["asset"] for row in table.rows} == {f"'{symbol}"}


@pytest.mark.parametrize("symbol", [",=1+1", '",=1+1', '"', ",", '=1,"2"'])
async def test_nothing_above_the_table_is_a_cell_of_its_own(world: World, history: RandomLedger, symbol: str) -> None:
    asset = next(asset for asset in history.assets if asset != ETHER)
    world.info.take_asset(asset, AssetInfo(symbol, 6))
    query = f"?account={encode_bytes(history.accounts[0])}&asset={encode_bytes(asset)}"
    table = Table((await fetch(world.explorer, f"/export/statement.csv{query}")).text)
    assert table.facts["asset"] == symbol
    assert table.rows


def make_hostile_ledger() -> RandomLedger:
    """One payment for each memo."""
    ledger = RandomLedger(5, account_count=2)
    ledger.list_asset()
    payer, payee = ledger.accounts
    ledger.add_block([ledger.make_deposit(ETHER, 0, payer, 10**6)])
    records: list[Record] = []
    for nonce, memo in enumerate(HOSTILE):
        payment = Payment(ETHER, payer, nonce, 0, "transfer", ZERO_HASH, memo, (Output(payee, 1),))
        payment_id = compute_payment_id(payment, ledger.parameters.domain)
        records.append(SignedPayment(payment_id, payment, bytes(65)))
    ledger.add_block(records)
    return ledger


@pytest.mark.parametrize("path", ["payments", "statement"])
async def test_hostile_memos_stay_texts_in_one_cell(
    make_world: Callable[[RandomLedger | None], World], path: str
) -> None:
    ledger = make_hostile_ledger()
    world = make_world(ledger)
    query = f"?account={encode_bytes(ledger.accounts[1])}"
    table = Table((await fetch(world.explorer, f"/export/{path}.csv{query}")).text)
    memos = [row["memo"] for row in table.rows]
    wanted = list(reversed(HOSTILE)) if path == "payments" else HOSTILE
    assert [unguard(memo) for memo in memos] == wanted
    for memo, original in zip(memos, wanted, strict=True):
        assert memo == (f"'{original}" if original[:1] in set("=+-@＝＋－＠\t\r\n'") - {""} else original)
    document = msgspec.json.decode((await fetch(world.explorer, f"/export/{path}.json{query}")).body)
    assert [row["memo"] for row in document["rows"]] == wanted


# --- files of the data exchange


async def test_the_catalogue_as_a_file_is_just_what_the_filter_lists(
    market: World, exchange: MarketLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "SLICE", 7)
    for pairs, wanted in list_filters(exchange):
        query = urlencode(pairs)
        table = Table((await fetch(market.explorer, f"/export/files.csv?{query}")).text)
        document = msgspec.json.decode((await fetch(market.explorer, f"/export/files.json?{query}")).body)
        assert (document["complete"], document["row_count"]) == (True, len(wanted))
        assert [tuple(pair) for pair in document["header"]["filter"]] == pairs
        assert table.facts["filter"] == (query or "none")
        for row, form, file in zip(table.rows, document["rows"], wanted, strict=True):
            assert tuple(row) == tuple(form) == exports.FILE_COLUMNS
            share = describe_line(file, exchange.market, market.now).owner_share
            assert share is not None
            assert form["tags"] == list(file.tags) and unguard(row["tags"]) == msgspec.json.encode(file.tags).decode()
            for name in ("name", "media_type", "description"):
                assert form[name] == getattr(file, name) == unguard(row[name])
                assert not row[name].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
            assert {name: str(form[name]) for name in form if name not in WRITTEN} == {
                name: row[name] for name in row if name not in WRITTEN
            }
            assert (form["file"], form["listing"]) == (encode_bytes(file.id), encode_bytes(file.listing))
            assert form["status"] == compute_file_status(file, market.now)
            assert count_base_units(form["price"]) == int(form["price_base_units"]) == file.price
            assert count_base_units(form["owner_share"]) == int(form["owner_share_base_units"]) == share.amount
            assert count_base_units(form["sold"]) == int(form["sold_base_units"]) == file.sold
            assert (form["validator"], form["owner"]) == (encode_address(file.validator), encode_address(file.owner))
            assert form["service_node"] == ("" if file.service_node is None else encode_address(file.service_node))
            assert datetime.fromisoformat(form["kept_until"]) == datetime.fromtimestamp(file.keep_until, UTC)
            assert form["is_key_in_escrow"] == ("yes" if file.has_sealed_key else "no")
    assert "sealed" not in table.facts["content"]


async def test_a_file_that_is_listed_meanwhile_is_not_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "SLICE", 2)
    ledger = make_market(5, 60)
    build_ledger(tmp_path / "ledger", ledger.parameters, ledger.entries)
    world = World(tmp_path / "ledger", ledger.parameters, ledger.timestamp, ledger)
    writer = IndexWriter(tmp_path / "ledger" / "index.sqlite", ledger.parameters.genesis_hash)
    there, line = [encode_bytes(file.id) for file in list_files(ledger)], Line()

    async def grow() -> None:
        while not line.is_whole:
            await asyncio.sleep(0)
            if line.sent:
                ledger.play(5)
                apply(writer, ledger.entries)

    growing = asyncio.create_task(grow())
    await call(world.explorer, "/export/files.csv?status=all", line)
    await growing
    assert len(list_files(ledger)) > len(there) > 4
    assert [row["file"] for row in Table(line.answer.text).rows] == there
    world.close()
    writer.close()


# --- statements


async def test_a_statement_has_every_entry_and_its_balance(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    payments = {placed.record.id: describe(placed) for placed in history.payments}
    for account in history.accounts[:3]:
        for asset in history.assets:
            made = list(make_entries(history, account, asset))
            for period in ("", *[f"&epoch={number}" for number in range(1, history.epoch + 1, 3)], "&from=1&to=9"):
                epoch = int(period[7:]) if period.startswith("&epoch") else None
                entries = [pair for pair in made if epoch in (None, pair[0].epoch) and "from" not in period]
                query = f"?account={encode_bytes(account)}&asset={encode_bytes(asset)}{period}"
                table = Table((await fetch(world.explorer, f"/export/statement.csv{query}")).text)
                assert [row["id"] for row in table.rows] == [encode_bytes(entry.id) for _, entry in entries]
                assert table.facts["row_count"] == str(len(entries))
                assert table.facts["account"] == encode_address(account)
                balance = int(table.facts["opening_base_units"])
                for row, (placed, entry) in zip(table.rows, entries, strict=True):
                    balance += int(row["paid_in_base_units"] or 0) - int(row["paid_out_base_units"] or 0)
                    assert str(balance) == row["balance_base_units"] == str(entry.balance)
                    assert count_base_units(row["balance"]) == balance
                    assert bool(row["paid_in"]) == entry.is_credit != bool(row["paid_out"])
                    assert row["status"] == commitments.compute_status(placed.epoch)
                    payment = payments.get(entry.id)
                    assert row["kind"] == ("deposit" if payment is None else payment.kind)
                    if payment is not None:
                        others = [payment.payer] if entry.is_credit else [output.to for output in payment.outputs]
                        assert set(row["counterparty"].split()) == {encode_address(other) for other in others}
                assert table.facts["closing_base_units"] == str(balance)
                document = msgspec.json.decode((await fetch(world.explorer, f"/export/statement.json{query}")).body)
                assert [row["id"] for row in document["rows"]] == [row["id"] for row in table.rows]
                assert document["complete"]


async def test_the_statement_of_an_epoch_that_has_not_begun_is_not_found(world: World, history: RandomLedger) -> None:
    query = f"?account={encode_bytes(history.accounts[0])}&epoch={history.epoch + 1}"
    answer = await fetch(world.explorer, f"/export/statement.csv{query}")
    assert answer.status == 404
    assert "content-disposition" not in answer.headers


# --- one moment


async def test_what_comes_meanwhile_is_not_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger grows between the slices of a file that has begun."""
    monkeypatch.setattr(exports, "SLICE", 10)
    ledger = RandomLedger(11)
    ledger.run(30)
    world, writer = make_growing_world(tmp_path, ledger)
    account = ledger.accounts[0]
    for path in ("payments.csv?", "payments.csv?account={}&", "statement.csv?account={}&"):
        before = len(ledger.entries)
        wanted = [describe(placed) for placed in reversed(ledger.payments)]
        entries = list(make_entries(ledger, account, ledger.assets[0]))

        line = Line()

        async def grow(line: Line = line) -> None:
            while not line.is_whole:
                await asyncio.sleep(0)
                if line.sent:
                    ledger.add_block()
                    apply(writer, ledger.entries)

        growing = asyncio.create_task(grow())
        await call(world.explorer, f"/export/{path.format(encode_bytes(account))}", line)
        await growing
        assert len(ledger.entries) > before + 3
        table = Table(line.answer.text)
        if path.startswith("statement"):
            assert [row["id"] for row in table.rows] == [encode_bytes(entry.id) for _, entry in entries]
        else:
            of = account if "account" in path else None
            concerned = [payment for payment in wanted if of is None or find_rows([payment], of)]
            assert [take(row) for row in table.rows] == find_rows(concerned, of)
    world.close()
    writer.close()


def make_growing_world(tmp_path: Path, ledger: RandomLedger) -> tuple[World, IndexWriter]:
    build_ledger(tmp_path / "ledger", ledger.parameters, ledger.entries)
    world = World(tmp_path / "ledger", ledger.parameters, ledger.timestamp)
    return world, IndexWriter(tmp_path / "ledger" / "index.sqlite", ledger.parameters.genesis_hash)


# --- when it does not work


@pytest.mark.parametrize("path", ["payments.csv", "payments.json", "statement.csv?account=0x{}"])
async def test_a_fault_in_the_middle_breaks_the_file_off(
    world: World, history: RandomLedger, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server closes the connection: nobody takes a part for the whole."""
    monkeypatch.setattr(exports, "SLICE", 5)
    name = "list_entries" if path.startswith("statement") else "list_payments"
    read, calls = getattr(world.index, name), 0

    def fail(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise OSError("the disk is gone")
        return read(*arguments, **named)

    monkeypatch.setattr(world.index, name, fail)
    line = Line()
    with pytest.raises(OSError, match="the disk is gone"):
        await call(world.explorer, f"/export/{path.format(history.accounts[0].hex())}", line)
    assert line.answer.status == 200 and line.answer.body
    assert not line.is_whole
    assert b"end of" not in line.answer.body and b'"complete"' not in line.answer.body


@pytest.mark.parametrize("path", ["payments.csv", "statement.csv?account=0x{}"])
async def test_rows_that_are_missing_are_not_passed_over(
    world: World, history: RandomLedger, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "list_entries" if path.startswith("statement") else "list_payments"
    read = getattr(world.index, name)

    def lose_one(*arguments: Any, **named: Any) -> Any:
        page = read(*arguments, **named)
        return msgspec.structs.replace(page, items=page.items[:-1]) if len(page.items) > 1 else page

    monkeypatch.setattr(world.index, name, lose_one)
    line = Line()
    with pytest.raises(exports.ExportBroken):
        await call(world.explorer, f"/export/{path.format(history.accounts[0].hex())}", line)
    assert not line.is_whole


async def test_a_file_that_has_begun_waits_while_too_many_read_pages(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_PAUSE_SECONDS", 0)
    work, calls = world.sources.readers.work, 0

    async def work_sometimes(question: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % 3:
            raise Overloaded(64)
        return await work(question)

    monkeypatch.setattr(world.sources.readers, "work", work_sometimes)
    Table((await fetch(world.explorer, "/export/payments.csv")).text)
    assert calls > 6

    async def never_work(question: Any) -> Any:
        raise Overloaded(64)

    monkeypatch.setattr(world.sources.readers, "work", never_work)
    assert (await fetch(world.explorer, "/export/payments.csv")).status == 503


async def test_who_goes_away_ends_the_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "SLICE", 5)
    gate = Gate(1)
    is_closed, line = asyncio.Event(), Line(hang_up_after=3)

    async def make_parts() -> Any:
        try:
            while True:
                yield b"part"
                await asyncio.sleep(0)
        finally:
            is_closed.set()

    async def begin() -> Any:
        return make_parts()

    download = Download(begin, gate, "endless.csv", "text/csv", stopping=asyncio.Event())
    await asyncio.wait_for(download({"type": "http", "method": "GET"}, line.receive, line.send), 10)
    assert is_closed.is_set()
    assert gate.count == 0
    assert not line.is_whole

    line = Line(hang_up_after=2)
    await call(world.explorer, "/export/payments.csv", line)
    assert not line.is_whole
    assert len(line.sent) < 10


async def test_who_goes_away_ends_the_count(
    world: World, history: RandomLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.index.payments.MAX_COUNTED", 2)
    line, count, looks = Line(), world.index.count_payments, 0
    loop = asyncio.get_running_loop()

    def count_and_go(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 3:
            loop.call_soon_threadsafe(line.hang_up)
        return count(*arguments)

    monkeypatch.setattr(world.index, "count_payments", count_and_go)
    await call(world.explorer, "/export/payments.csv", line)
    assert line.sent == []
    assert 3 <= looks < len(history.payments) // 2


async def test_no_more_than_a_few_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    is_open, read = asyncio.Event(), exports._fix_moment
    entered = asyncio.Semaphore(0)

    async def wait(*arguments: Any) -> Any:
        entered.release()
        await is_open.wait()
        return await read(*arguments)

    monkeypatch.setattr(exports, "_fix_moment", wait)
    files = [asyncio.create_task(fetch(world.explorer, "/export/payments.csv")) for _ in range(exports.MAX_EXPORTS)]
    for _ in files:
        await entered.acquire()
    refused = await fetch(world.explorer, "/export/payments.csv")
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    is_open.set()
    for file in await asyncio.gather(*files):
        Table(file.text)
    Table((await fetch(world.explorer, "/export/payments.csv")).text)


@pytest.mark.parametrize(
    "path",
    [
        "payments.csv?kind=zz", "payments.csv?limit=1", "payments.csv?before=1", "payments.json?account=1",
        "payments.csv?kind=tip&kind=tip", "files.csv?owner=1", "files.csv?limit=1", "files.json?q=a&q=b",
        "files.csv?status=gone", "statement.csv", "statement.csv?account=0x12",
        f"statement.csv?account=0x{'1' * 40}&epoch=x", f"statement.csv?account=0x{'1' * 40}&epoch=1&from=1",
    ],
)  # fmt: skip
async def test_what_no_list_takes_is_no_file(world: World, path: str) -> None:
    answer = await fetch(world.explorer, f"/export/{path}")
    assert answer.status == 400
    assert "content-disposition" not in answer.headers


@pytest.mark.parametrize(
    "path", ["payments.csv", "payments.json", "files.csv", "files.json", f"statement.csv?account=0x{'1' * 40}"]
)
async def test_head_costs_nothing_and_files_are_only_read(world: World, path: str) -> None:
    got, head = [await fetch(world.explorer, f"/export/{path}", method) for method in ("GET", "HEAD")]
    assert (got.status, got.headers) == (head.status, head.headers)
    assert head.body == b""
    assert (await fetch(world.explorer, f"/export/{path}", "POST")).status == 405


# --- size


async def test_a_large_file_takes_no_more_memory_than_a_small_one(
    make_world: Callable[[RandomLedger | None], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parts are dropped as they are sent, as a server does."""
    monkeypatch.setattr(exports, "SLICE", 20)
    ledger = RandomLedger(13, account_count=2)
    ledger.list_asset()
    payer, payee = ledger.accounts
    ledger.add_block([ledger.make_deposit(ETHER, 0, payer, 10**9)])
    nonce = 0
    for _ in range(10):
        ledger.add_block([ledger.make_payment(payer, nonce + step, [Output(payee, 1)]) for step in range(250)])
        nonce += 250
    world = make_world(ledger)

    async def measure(query: str) -> tuple[int, int]:
        size = 0

        async def send(message: Any) -> None:
            nonlocal size
            size += len(message.get("body", b""))

        line = Line()
        line.send = send  # type: ignore[method-assign]
        gc.collect()
        tracemalloc.start()
        try:
            await call(world.explorer, f"/export/payments.csv{query}", line)
            return size, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    await measure("")  # what is made once
    small_size, small_peak = await measure(f"?to={ledger.headers[3].timestamp // 1000}")
    size, peak = await measure("")
    assert size > small_size + 400_000
    assert peak < small_peak + 100_000, f"{peak} bytes for a file of {size}; {small_peak} for one of {small_size}"
