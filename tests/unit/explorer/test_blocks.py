"""Blocks: the list shows each of them once, whichever way its pages are turned, and a block's page all its records."""

from collections.abc import Callable

import pytest

from chain.block import Deposit, Record
from chain.payment import Output
from chain.primitives import ETHER
from chain.wire import encode_address, encode_bytes
from explorer.formatting import format_time
from explorer.headers import LIVE, SETTLED
from explorer.listing import DEFAULT_LIMIT
from explorer.pages.blocks import RECORDS_SHOWN
from node.ethereum.submission import EpochState
from tests.unit.explorer.conftest import World
from tests.unit.explorer.machines import fetch
from tests.unit.explorer.reading import Page
from tests.unit.explorer.turning import check_both_ways, read_leaf
from tests.unit.node.index.history import RandomLedger

MakeWorld = Callable[[RandomLedger | None], World]


async def read(world: World, path: str, status: int = 200) -> Page:
    answer = await fetch(world.explorer, path)
    assert answer.status == status, answer.text
    return answer.page


# --- the list


async def test_the_list_shows_every_block_once_on_both_ways(world: World, history: RandomLedger) -> None:
    keys = [f"block-{header.number}" for header in reversed(history.headers)]
    leaves = await check_both_ways(world, "/blocks", keys)
    assert [len(leaf.keys) for leaf in leaves[:-1]] == [DEFAULT_LIMIT] * (len(leaves) - 1)
    epochs = {placed.block: placed.epoch for placed in history.records}
    rows = [row for leaf in leaves for row in leaf.answer.page.get_rows("Blocks")]
    for row, header, block_hash in zip(rows, history.headers[::-1], history.hashes[::-1], strict=True):
        assert row[:4] == [
            f"{header.number:,}", encode_bytes(block_hash), f"{header.record_count:,}", f"{epochs[header.number]}",
        ]  # fmt: skip


async def test_the_blocks_of_an_epoch_are_those_that_its_commitment_covers(world: World, history: RandomLedger) -> None:
    counts = set()
    for epoch in range(1, history.epoch + 1):
        blocks = sorted({placed.block for placed in history.records if placed.epoch == epoch}, reverse=True)
        leaves = await check_both_ways(world, f"/blocks?epoch={epoch}", [f"block-{number}" for number in blocks])
        assert all(f"epoch={epoch}" in link for leaf in leaves for link in leaf.links.values())
        assert f"Blocks of epoch {epoch}" in leaves[0].answer.page.text
        if not blocks:
            assert "This epoch has no blocks." in leaves[0].answer.page.text
        counts.add(min(len(leaves), 2) if blocks else 0)
    assert counts == {0, 1, 2}, "the history lacks an epoch without blocks, or a long one"


async def test_a_block_that_the_list_does_not_have_is_a_cursor_too(world: World, history: RandomLedger) -> None:
    head = len(history.headers)
    newest = (await read_leaf(world, "/blocks")).keys
    for before in (head + 1, head + 2, 10**18 - 1):
        leaf = await read_leaf(world, f"/blocks?before={before}")
        assert (leaf.keys, set(leaf.links)) == (newest, {"Next"})
    for before in (0, 1, 2):
        leaf = await read_leaf(world, f"/blocks?before={before}")
        assert (leaf.keys, set(leaf.links)) == (["block-1"], {"First", "Previous"})
    epoch = 3
    numbers = sorted({placed.block for placed in history.records if placed.epoch == epoch})
    assert (await read_leaf(world, f"/blocks?epoch={epoch}&before=1")).keys == [f"block-{numbers[0]}"]
    assert (await read_leaf(world, f"/blocks?epoch={epoch}&before={head}")).keys[0] == f"block-{numbers[-1]}"


@pytest.mark.parametrize(
    ("query", "status"),
    [("before=x", 400), ("before=-1", 400), ("before=١", 400), ("epoch=x", 400), ("before=" + "9" * 19, 400),
     ("epoch=" + "9" * 19, 400), ("epoch=0", 404), ("epoch=99", 404), (f"epoch={2**59}", 404)],
)  # fmt: skip
async def test_what_is_no_number_or_no_epoch_is_refused(world: World, query: str, status: int) -> None:
    page = await read(world, f"/blocks?{query}", status)
    assert query.partition("=")[0] in page.text and not page.get_rows("Blocks")


async def test_a_ledger_without_blocks_says_so(make_world: MakeWorld) -> None:
    world = make_world(None)
    for path in ("/blocks", "/blocks?epoch=1", "/blocks?before=1"):
        leaf = await read_leaf(world, path)
        assert (leaf.keys, leaf.links) == ([], {})
        assert "No blocks yet." in leaf.answer.page.text
    assert (await fetch(world.explorer, "/block/1")).status == 404


# --- one


async def test_a_block_is_found_by_number_and_by_hash(world: World, history: RandomLedger) -> None:
    for number in (1, 2, 50, len(history.headers)):
        header, block_hash = history.headers[number - 1], history.hashes[number - 1]
        page = await read(world, f"/block/{number}")
        for text in (encode_bytes(block_hash), "0x" + block_hash.hex().upper()):
            other = await read(world, f"/block/{text}")
            assert (other.text, other.links) == (page.text, page.links)
        records = [placed for placed in history.records if placed.block == number]
        assert page.get_pair("Hash") == encode_bytes(block_hash)
        assert page.get_pair("Time").startswith(format_time(header.timestamp))
        assert page.get_pair("Epoch") == f"{records[0].epoch}"
        assert page.get_pair("Records") == f"{len(records)}"
        assert page.get_pair("Previous block") == (
            encode_bytes(header.previous) if number > 1 else "the ledger's parameters: it is the first"
        )
        rows = page.get_rows("records")
        assert [(row[0], row[2]) for row in rows] == [
            (str(placed.index), encode_bytes(placed.record.id)) for placed in records
        ]
        for row, placed in zip(rows, records, strict=True):
            record = placed.record
            party = record.account if isinstance(record, Deposit) else record.payment.payer
            assert encode_address(party) in row[1]
            assert ("came from Ethereum" in row[1]) == isinstance(record, Deposit)
        assert page.get_link("Older") == (f"/block/{number - 1}" if number > 1 else "")
        assert page.get_link("Newer") == (f"/block/{number + 1}" if number < len(history.headers) else "")


@pytest.mark.parametrize("text", ["0", "118", "x", "-1", "1.0", "0x12", "0x" + "12" * 32, "9" * 30, "<b>", "١", " "])
async def test_what_is_no_block_is_not_found(world: World, text: str) -> None:
    answer = await fetch(world.explorer, f"/block/{text}")
    assert answer.status == 404
    assert "There is nothing at this address." in answer.page.text


async def test_a_full_block_shows_its_records_in_its_order_on_both_ways(make_world: MakeWorld) -> None:
    ledger = RandomLedger(5)
    ledger.list_asset()
    count = 2 * RECORDS_SHOWN + 7
    records: list[Record] = [ledger.make_deposit(ETHER, index, ledger.accounts[0], index + 1) for index in range(count)]
    ledger.add_block(records)
    payer, payee = ledger.accounts[:2]
    ledger.add_block([ledger.make_payment(payer, 0, [Output(payee, 1)])])
    world = make_world(ledger)
    page = await read(world, "/block/1")
    pages = [page]
    while page.get_link("Next"):
        page = await read(world, page.get_link("Next"))
        pages.append(page)
    shown = [[row[2] for row in page.get_rows("records")] for page in pages]
    assert [len(rows) for rows in shown] == [RECORDS_SHOWN, RECORDS_SHOWN, 7]
    assert [record_id for rows in shown for record_id in rows] == [encode_bytes(record.id) for record in records]
    back = [shown[-1]]
    while page.get_link("Previous"):
        page = await read(world, page.get_link("Previous"))
        back.append([row[2] for row in page.get_rows("records")])
    assert back == shown[::-1]
    assert pages[-1].get_link("First") == "/block/1" and not pages[0].get_link("First")
    # Whoever begins in between comes back to the beginning.
    page = await read(world, "/block/1?from=20")
    assert page.get_rows("records")[0][0] == "20" and page.get_link("Previous") == "/block/1"
    for junk in ("from=x", "from=-1", f"from={count}", "from=" + "9" * 30):
        assert f"from: a number up to {count - 1}" in (await read(world, f"/block/1?{junk}", 400)).text
    assert (await read(world, f"/block/1?from={count - 1}")).get_rows("records")[0][0] == f"{count - 1}"


async def test_a_final_block_is_the_same_page_at_any_time(world: World, history: RandomLedger) -> None:
    for epoch in range(1, 4):
        world.send(history, epoch, EpochState.FINAL)
    world.send(history, 5, EpochState.MINED)
    before = await fetch(world.explorer, "/block/2")
    assert before.headers["cache-control"] == SETTLED
    assert before.page.get_pair("Status") == "final"
    world.now += 10**9
    world.fail("unready", "watcher")
    after = await fetch(world.explorer, "/block/2")
    assert (after.body, after.headers) == (before.body, before.headers)
    assert (await fetch(world.explorer, "/block/2", if_none_match=before.headers["etag"])).status == 304
    number = next(placed.block for placed in history.records if placed.epoch == 5)
    answer = await fetch(world.explorer, f"/block/{number}")
    assert (answer.headers["cache-control"], answer.page.get_pair("Status")) == (LIVE, "committed")


async def test_the_last_block_is_not_settled_before_the_next_one_is_there(make_world: MakeWorld) -> None:
    """Its page gets a link to that."""
    ledger = RandomLedger(5)
    ledger.run(3)
    ledger.cut()
    while ledger.waiting:
        ledger.seal()
    world = make_world(ledger)
    for epoch in ledger.sealed:
        world.send(ledger, epoch, EpochState.FINAL)
    last = len(ledger.headers)
    assert (await fetch(world.explorer, f"/block/{last - 1}")).headers["cache-control"] == SETTLED
    answer = await fetch(world.explorer, f"/block/{last}")
    assert answer.page.get_pair("Status") == "final"
    assert answer.headers["cache-control"] == LIVE
