"""Epochs: the list has each of them once; an epoch's page says what it moved, what is committed, and what that cost."""

from collections.abc import Callable

import msgspec
import pytest

from chain.block import Deposit
from chain.commitment import hash_commitment
from chain.kinds import WITHDRAW
from chain.primitives import ETHER, Address
from chain.wire import encode_bytes
from explorer.formatting import describe_token, format_amount, format_time
from explorer.headers import LIVE, SETTLED
from explorer.pages import epochs
from explorer.pages.epochs import BLOCKS_SHOWN
from node.ethereum.submission import AttemptOutcome, EpochState, Fees
from node.ledger_info import AssetInfo
from tests.unit.explorer.conftest import LISTED, World
from tests.unit.explorer.machines import fetch
from tests.unit.explorer.reading import Page
from tests.unit.explorer.turning import check_both_ways, read_leaf
from tests.unit.node.index.history import PlacedRecord, RandomLedger

MakeWorld = Callable[[RandomLedger | None], World]


async def read(world: World, path: str, status: int = 200) -> Page:
    answer = await fetch(world.explorer, path)
    assert answer.status == status, answer.text
    return answer.page


def format_units(asset: Address, base_units: int) -> str:
    return format_amount(base_units, describe_token(asset, AssetInfo("", LISTED)))


def list_records(history: RandomLedger, epoch: int) -> list[PlacedRecord]:
    return [placed for placed in history.records if placed.epoch == epoch]


def count_payments(history: RandomLedger, epoch: int) -> int:
    return len([placed for placed in history.payments if placed.epoch == epoch])


# --- the list


async def test_the_list_shows_every_epoch_once_on_both_ways(
    world: World, history: RandomLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"epoch-{number}" for number in range(history.epoch, 0, -1)]
    await check_both_ways(world, "/epochs", keys)
    monkeypatch.setattr(epochs, "DEFAULT_LIMIT", 4)
    leaves = await check_both_ways(world, "/epochs", keys)
    assert len(leaves) > 3
    for before in (0, 1, 2):
        leaf = await read_leaf(world, f"/epochs?before={before}")
        assert (leaf.keys, set(leaf.links)) == (["epoch-1"], {"First", "Previous"})
    for before in (history.epoch + 1, 10**17):
        leaf = await read_leaf(world, f"/epochs?before={before}")
        assert (leaf.keys, set(leaf.links)) == (leaves[0].keys, {"Next"})
    for junk in ("x", "-1", "9" * 19, "1.5"):
        assert "before: a number" in (await read(world, f"/epochs?before={junk}", 400)).text


async def test_each_epoch_of_the_list_is_as_far_as_there_is_evidence(world: World, history: RandomLedger) -> None:
    newest = history.epoch
    world.send(history, newest - 1, EpochState.SENT)
    world.send(history, newest - 2, EpochState.MINED)
    for epoch in range(1, newest - 2):
        world.send(history, epoch, EpochState.FINAL)
    rows = (await read(world, "/epochs")).get_rows("Epochs")
    assert [row[1] for row in rows] == ["open", "sent", "mined", *["final"] * (newest - 3)]
    for row in rows:
        epoch = int(row[0])
        records = list_records(history, epoch)
        blocks = sorted({placed.block for placed in records})
        assert row[3] == f"{len(records)}"
        assert row[2] == ("none" if not blocks else " – ".join(dict.fromkeys([f"{blocks[0]}", f"{blocks[-1]}"])))
        assert row[4] == ("open" if epoch == newest else row[4]) and row[4]


async def test_a_ledger_that_has_only_begun_has_one_epoch(make_world: MakeWorld) -> None:
    world = make_world(None)
    ((number, stage, blocks, records, *_),) = (await read(world, "/epochs")).get_rows("Epochs")
    assert (number, stage, blocks, records) == ("1", "open", "none", "0")
    page = await read(world, "/epoch/1")
    for words in ("without a block so far", "0, 0 of them payments", "No assets are listed yet.", "No blocks."):
        assert words in page.text
    assert not page.get_link("Newer") and not page.get_link("Older")


# --- one


async def test_every_epoch_shows_what_moved_in_it(world: World, history: RandomLedger) -> None:
    for epoch in range(1, history.epoch + 1):
        page = await read(world, f"/epoch/{epoch}")
        records = list_records(history, epoch)
        count = count_payments(history, epoch)
        noun = "payment" if count == 1 else "payments"
        assert page.get_pair("Records") == f"{len(records)}, {count} of them {noun}"
        blocks = sorted({placed.block for placed in records})
        shown = [f"block-{number}" for number in blocks[::-1][:BLOCKS_SHOWN]]
        assert [f"block-{row[0]}" for row in page.get_rows("Its last blocks")] == shown
        if blocks:
            assert page.get_pair("Began").startswith(format_time(history.headers[blocks[0] - 1].timestamp))
            assert page.get_pair("Blocks") == f"{blocks[0]} – {blocks[-1]}"
        else:
            assert (page.get_pair("Began"), page.get_pair("Blocks")) == ("without a block", "none")
        totals = {}
        for place in range(1, len(history.assets) + 1):
            rows = page.get_rows(f"asset-{place}")
            if rows:
                totals[place] = rows
        for place, asset in enumerate(history.assets, 1):
            sums = sum_up(records, asset)
            if place not in totals:  # listed later
                assert sums == [(0, 0)] * 3
                continue
            assert totals[place] == [
                [name, f"{number}", format_units(asset, amount)]
                for name, (number, amount) in zip(("Deposits", "Payments", "of which withdrawals"), sums, strict=True)
            ]
        assert page.get_link("Older") == (f"/epoch/{epoch - 1}" if epoch > 1 else "")
        assert page.get_link("Newer") == (f"/epoch/{epoch + 1}" if epoch < history.epoch else "")


def sum_up(records: list[PlacedRecord], asset: Address) -> list[tuple[int, int]]:
    """(count, base units) of deposits, of payments, and of withdrawals."""
    deposits, payments, withdrawals = [], [], []
    for placed in records:
        record = placed.record
        if isinstance(record, Deposit):
            if record.asset == asset:
                deposits.append(record.amount)
        elif record.payment.asset == asset:
            payments.append(record.payment.total)
            if record.payment.kind == WITHDRAW:
                withdrawals.append(record.payment.total)
    return [(len(amounts), sum(amounts)) for amounts in (deposits, payments, withdrawals)]


async def test_a_sealed_epoch_shows_what_the_operator_signed(world: World, history: RandomLedger) -> None:
    for epoch, (sealed, signature) in history.sealed.items():
        page = await read(world, f"/epoch/{epoch}")
        commitment = sealed.commitment
        assert page.get_pair("Stage") == "sealed"
        assert page.get_pair("Ended").startswith(format_time(commitment.cut_at))
        digest = hash_commitment(commitment, history.parameters.domain)
        assert page.get_pair("Digest") == encode_bytes(digest)
        assert page.get_pair("Previous") == encode_bytes(commitment.previous)
        assert page.get_pair("Blocks root") == encode_bytes(commitment.blocks_root)
        assert page.get_pair("Extra root") == encode_bytes(commitment.extra_root)
        assert page.get_pair("Operator's signature") == encode_bytes(signature)
        shown = {
            name: [" ".join(value.split()) for words, value in page.pairs if words == name]
            for name in (
                "State root",
                "All balances together",
                "Accounts",
                "Withdrawals root",
                "Withdrawn in this epoch",
            )
        }
        symbols = [
            "ETH" if line.asset == ETHER else f"TOK{history.assets.index(line.asset)}" for line in commitment.assets
        ]
        lines = list(zip(commitment.assets, symbols, strict=True))
        assert shown == {
            "State root": [encode_bytes(line.state_root) for line, _ in lines],
            "All balances together": [f"{format_units(line.asset, line.total)} {symbol}" for line, symbol in lines],
            "Accounts": [f"{line.account_count}" for line, _ in lines],
            "Withdrawals root": [encode_bytes(line.withdrawals_root) for line, _ in lines],
            "Withdrawn in this epoch": [
                f"{format_units(line.asset, line.withdrawn)} {symbol} in {line.withdrawal_count}"
                for line, symbol in lines
            ],
        }
    page = await read(world, f"/epoch/{history.epoch}")
    assert page.get_pair("Stage") == "open"
    assert "Digest" not in dict(page.pairs)


async def test_the_way_to_ethereum_is_shown_with_its_cost(world: World, history: RandomLedger) -> None:
    status = world.send(history, 3, EpochState.MINED)
    first, second = status.attempts
    attempts = (
        msgspec.structs.replace(
            first, outcome=AttemptOutcome.REVERTED, problem="CutInFuture(latest=1)", gas_used=40_000,
            effective_gas_price=10**9,
        ),
        msgspec.structs.replace(first, number=2, outcome=AttemptOutcome.REPLACED, gas_used=0, effective_gas_price=0),
        msgspec.structs.replace(second, number=3, raw=b"\xf8", fees=Fees(2_000_000_001, 2_000_000_001)),
    )  # fmt: skip
    world.statuses[3] = msgspec.structs.replace(status, attempts=attempts, confirmations=2, final_at=1_800_000_000)
    page = await read(world, "/epoch/3")
    inclusion = status.inclusion
    assert inclusion is not None
    assert page.get_pair("Stage") == "mined"
    assert page.get_pair("L1 transaction") == encode_bytes(inclusion.l1_transaction)
    assert page.get_pair("L1 block") == f"{inclusion.l1_block:,}, 2 confirmations"
    assert page.get_pair("Committed").startswith(format_time(inclusion.included_at * 1000))
    assert page.get_pair("Challenge period until").startswith(format_time(1_800_000_000_000))
    # 98,352 gas × 1,000,000,007 wei, and 40,000 gas × 1 gwei before
    assert page.get_pair("Fee") == "0.000098352000688464 ETH, at 1.000000007 gwei per gas"
    assert page.get_pair("Cost to the node") == "0.000138352000688464 ETH, for all attempts"
    assert page.get_pair("Gas") == f"98,352, {98_352 // count_payments(history, 3):,} a payment"
    name, after = encode_bytes(first.hash), encode_bytes(second.hash) + " legacy"
    assert [[*row[:2], *row[3:]] for row in page.get_rows("Attempts")] == [
        ["1", name, "3", "0.0000001", "0.000000001", "reverted CutInFuture(latest=1)",
         "40,000 of 200,000", "0.00004"],
        ["2", name, "3", "0.0000001", "0.000000001", "replaced", "– of 200,000", "0"],
        ["3", after, "3", "2.000000001", "–", "included", "98,352 of 200,000", "0.000098352000688464"],
    ]  # fmt: skip


async def test_what_is_not_known_yet_of_an_attempt_is_not_shown(world: World, history: RandomLedger) -> None:
    world.send(history, 3, EpochState.SENT)
    page = await read(world, "/epoch/3")
    assert [row[6:] for row in page.get_rows("Attempts")] == [["waits", "– of 200,000", "–"]] * 2
    assert page.get_pair("Cost to the node") == "0 ETH, for all attempts so far"


async def test_a_commitment_that_somebody_else_sent_says_so(world: World, history: RandomLedger) -> None:
    status = world.send(history, 3, EpochState.MINED)
    world.statuses[3] = msgspec.structs.replace(status, attempts=(), is_ours=False)
    page = await read(world, "/epoch/3")
    assert page.get_pair("L1 transaction").endswith("sent by somebody else")
    assert not page.get_rows("Attempts") and "Cost to the node" not in dict(page.pairs)
    (row,) = [row for row in (await read(world, "/epochs")).get_rows("Epochs") if row[0] == "3"]
    assert row[7] == "0.000098352000688464 ETH sent by somebody else; cost the node 0 ETH"


async def test_the_list_tells_a_fee_from_what_all_attempts_cost(world: World, history: RandomLedger) -> None:
    world.send(history, 2, EpochState.MINED)
    status = world.send(history, 3, EpochState.MINED)
    failed = msgspec.structs.replace(
        status.attempts[0], outcome=AttemptOutcome.REVERTED, gas_used=40_000, effective_gas_price=10**9
    )
    world.statuses[3] = msgspec.structs.replace(status, attempts=(failed, status.attempts[1]))
    waiting = world.send(history, 4, EpochState.SENT)
    world.statuses[4] = msgspec.structs.replace(waiting, attempts=(failed,))
    shown = {row[0]: row[7] for row in (await read(world, "/epochs")).get_rows("Epochs")}
    fee = "0.000098352000688464 ETH"
    assert (shown["1"], shown["2"]) == ("–", fee)
    assert shown["3"] == f"{fee} cost the node 0.000138352000688464 ETH"
    assert shown["4"] == "– cost the node 0.00004 ETH"


async def test_a_final_epoch_with_an_open_attempt_is_not_kept(world: World, history: RandomLedger) -> None:
    """Somebody else was first, and what became of ours will show."""
    status = world.send(history, 1, EpochState.FINAL)
    waiting = msgspec.structs.replace(status.attempts[0], outcome=None)
    world.statuses[1] = msgspec.structs.replace(status, attempts=(waiting,), is_ours=False)
    for path in ("/epoch/1", "/api/v1/epochs/1"):
        assert (await fetch(world.explorer, path)).headers["cache-control"] == LIVE
        world.statuses[1] = status
        assert (await fetch(world.explorer, path)).headers["cache-control"] == SETTLED
        world.statuses[1] = msgspec.structs.replace(status, attempts=(waiting,), is_ours=False)


async def test_an_epoch_without_payments_has_no_price_of_one(world: World, history: RandomLedger) -> None:
    empty = next(epoch for epoch in history.sealed if not count_payments(history, epoch))
    world.send(history, empty, EpochState.MINED)
    page = await read(world, f"/epoch/{empty}")
    assert page.get_pair("Gas") == "98,352"
    assert page.get_pair("Stage") == "mined"


async def test_a_final_epoch_is_the_same_page_at_any_time(world: World, history: RandomLedger) -> None:
    for epoch in range(1, 5):
        world.send(history, epoch, EpochState.FINAL)
    world.send(history, 5, EpochState.MINED)
    before = [await fetch(world.explorer, f"/epoch/{epoch}") for epoch in range(1, 5)]
    world.now += 10**10
    world.due_at = 7
    world.fail("degraded", "watcher")
    for epoch, answer in enumerate(before, 1):
        assert answer.headers["cache-control"] == SETTLED
        assert "ago" not in answer.page.text.split() and "confirmation" not in answer.text
        again = await fetch(world.explorer, f"/epoch/{epoch}")
        assert (again.body, again.headers) == (answer.body, answer.headers)
        kept = await fetch(world.explorer, f"/epoch/{epoch}", if_none_match=answer.headers["etag"])
        assert (kept.status, kept.body) == (304, b"")
    for epoch in (5, 6, history.epoch):
        answer = await fetch(world.explorer, f"/epoch/{epoch}")
        assert answer.headers["cache-control"] == LIVE and "etag" not in answer.headers


@pytest.mark.parametrize("text", ["0", "99", "x", "-1", "1.0", "0x1", "9" * 30, "١", "<b>"])
async def test_what_is_no_epoch_is_not_found(world: World, text: str) -> None:
    page = await read(world, f"/epoch/{text}", 404)
    assert "There is nothing at this address." in page.text
