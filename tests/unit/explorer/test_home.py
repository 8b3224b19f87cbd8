"""The front page says what the ledger says, and nothing more."""

import time
from collections.abc import Callable

import pytest

from chain.block import Deposit
from chain.kinds import WITHDRAW
from chain.payment import SignedPayment
from chain.primitives import ETHER
from chain.wire import encode_address, encode_bytes
from explorer.formatting import MAX_SYMBOL_LENGTH, describe_token, format_amount
from explorer.pages.home import BLOCKS_SHOWN, EPOCHS_SHOWN, PAYMENTS_SHOWN
from node.ethereum.submission import EpochState
from node.ledger_info import AssetInfo
from tests.unit.explorer.conftest import LISTED, World
from tests.unit.explorer.reading import Page, ask
from tests.unit.node.index.history import PlacedRecord, RandomLedger

MakeWorld = Callable[[RandomLedger | None], World]


async def read(world: World) -> Page:
    answer = await ask(world.explorer, "/")
    assert answer.status == 200
    return answer.page


def format_units(asset: bytes, base_units: int) -> str:
    return format_amount(base_units, describe_token(asset, AssetInfo("", LISTED)))


def get_symbol(ledger: RandomLedger, asset: bytes) -> str:
    return "ETH" if asset == ETHER else f"TOK{ledger.assets.index(asset)}"


async def test_the_last_payments_are_those_of_the_ledger(world: World, history: RandomLedger) -> None:
    rows = (await read(world)).get_rows("payments")
    expected = history.payments[::-1][:PAYMENTS_SHOWN]
    assert len(rows) == len(expected) == PAYMENTS_SHOWN
    kinds = {"transfer": "Transfer", "tip": "Tip", "withdraw": "Withdrawal"}
    assert {record.record.payment.kind for record in expected} == set(kinds), "the history lacks a kind"
    for row, placed in zip(rows, expected, strict=True):
        assert isinstance(placed.record, SignedPayment)
        payment = placed.record.payment
        assert row[:3] == [kinds[payment.kind], encode_bytes(placed.record.id), encode_address(payment.payer)]
        if len(payment.outputs) == 1:
            recipient = encode_address(payment.outputs[0].to)
            assert row[3] == (f"{recipient} on Ethereum" if payment.kind == WITHDRAW else recipient)
        else:
            said = f"{len(payment.outputs)} outputs " + " ".join(
                f"{encode_address(output.to)} {format_units(payment.asset, output.amount)} "
                f"{get_symbol(history, payment.asset)}"
                for output in payment.outputs
            )
            assert row[3].replace(" ", "") == said.replace(" ", "")
        amount = format_units(payment.asset, payment.total)
        assert row[4] == f"{amount} {get_symbol(history, payment.asset)}"


async def test_each_payment_is_as_far_as_its_own_epoch(world: World, history: RandomLedger) -> None:
    shown = history.payments[::-1][:PAYMENTS_SHOWN]
    epochs = sorted({placed.epoch for placed in shown}, reverse=True)
    assert epochs[0] == history.epoch, "the history does not end in an open epoch with a payment"
    assert len(epochs) >= 4, "the payments shown are of too few epochs"
    said = {epochs[0]: "accepted", epochs[1]: "accepted", epochs[2]: "committed"}
    world.send(history, epochs[1], EpochState.SENT)
    world.send(history, epochs[2], EpochState.MINED)
    for epoch in epochs[3:]:
        world.send(history, epoch, EpochState.FINAL)
        said[epoch] = "final"
    page = await read(world)
    assert [row[7] for row in page.get_rows("payments")] == [said[placed.epoch] for placed in shown]
    assert "success" not in page.text.lower()


async def test_without_word_from_ethereum_nothing_is_committed(world: World) -> None:
    page = await read(world)
    assert {row[7] for row in page.get_rows("payments")} == {"accepted"}
    assert {row[1] for row in page.get_rows("commitments")} == {"sealed"}
    assert "nothing is final yet" in page.text


async def test_the_last_blocks_are_those_of_the_ledger(world: World, history: RandomLedger) -> None:
    rows = (await read(world)).get_rows("blocks")
    headers, hashes = history.headers[::-1][:BLOCKS_SHOWN], history.hashes[::-1][:BLOCKS_SHOWN]
    assert [row[:3] for row in rows] == [
        [f"{header.number:,}", encode_bytes(block_hash), f"{header.record_count:,}"]
        for header, block_hash in zip(headers, hashes, strict=True)
    ]
    assert rows[0][4] == "5 s ago"


async def test_an_epoch_shows_its_state_and_its_transaction(world: World, history: RandomLedger) -> None:
    newest = history.epoch - 1
    world.send(history, newest, EpochState.SEALED)
    world.send(history, newest - 1, EpochState.SENT)
    world.send(history, newest - 2, EpochState.MINED)
    world.send(history, newest - 3, EpochState.FINAL)
    rows = (await read(world)).get_rows("commitments")
    assert [row[0] for row in rows] == [str(newest - number) for number in range(EPOCHS_SHOWN)]
    assert [row[1] for row in rows[:5]] == ["sealed", "sent", "mined", "final", "sealed"]
    assert rows[0][5:] == ["not sent yet", "–", "–"]
    assert rows[1][5:] == [encode_bytes((newest - 1).to_bytes(32)) + " attempt 2", "–", "–"]
    # 98,352 gas × 1,000,000,007 wei
    for row, epoch in ((rows[2], newest - 2), (rows[3], newest - 3)):
        transaction = f"{encode_bytes(epoch.to_bytes(32))} in block {1000 + epoch:,}"
        assert row[5:] == [transaction, "98,352", "0.000098352000688464 ETH"]
    for row in rows:
        commitment = history.sealed[int(row[0])][0].commitment
        first, last = commitment.first_block, commitment.last_block
        assert row[2] == ("none" if last < first else f"{first:,}" if last == first else f"{first:,} – {last:,}")


async def test_an_epoch_without_blocks_says_so(make_world: MakeWorld) -> None:
    ledger = RandomLedger(3)
    ledger.list_asset()
    ledger.cut()
    page = await read(make_world(ledger))
    ((number, state, blocks, records, *_),) = page.get_rows("commitments")
    assert (number, state, blocks, records) == ("1", "cut", "none", "0")


async def test_totals_are_sums_over_all_records(world: World, history: RandomLedger) -> None:
    page = await read(world)
    for place, asset in enumerate(history.assets, 1):
        payments = [placed.record for placed in history.payments if get_payment(placed).payment.asset == asset]
        totals = [signed.payment.total for signed in payments if isinstance(signed, SignedPayment)]
        withdrawn = [
            signed.payment.total
            for signed in payments
            if isinstance(signed, SignedPayment) and signed.payment.kind == WITHDRAW
        ]
        deposits = [get_deposit(placed).amount for placed in history.deposits if get_deposit(placed).asset == asset]
        assert page.get_rows(f"asset-{place}") == [
            [name, f"{len(amounts):,}", format_units(asset, sum(amounts))]
            for name, amounts in (
                ("Deposits", deposits),
                ("Payments", totals),
                ("of which withdrawals", withdrawn),
            )
        ]


def get_payment(placed: PlacedRecord) -> SignedPayment:
    assert isinstance(placed.record, SignedPayment)
    return placed.record


def get_deposit(placed: PlacedRecord) -> Deposit:
    assert isinstance(placed.record, Deposit)
    return placed.record


async def test_the_summary_says_how_far_the_ledger_is(world: World, history: RandomLedger) -> None:
    mined, final = history.epoch - 1, history.epoch - 2
    world.send(history, mined, EpochState.MINED)
    world.send(history, final, EpochState.FINAL)
    world.due_at = world.now + 61_000
    records = [placed for placed in history.records if placed.epoch == history.epoch]
    text = (await read(world)).text
    assert f"Head block {len(history.headers)} 5 s ago" in text
    noun = "record" if len(records) == 1 else "records"
    assert f"Open epoch {history.epoch} {len(records)} {noun}, due in 1 min" in text
    assert f"On Ethereum Epoch {mined} final up to {final}" in text
    assert f"Payments {len(history.payments)} " in text
    assert f"Ledger chain id {history.parameters.domain.chain_id}" in text
    assert encode_address(history.parameters.settlement) in text


@pytest.mark.parametrize(("late_ms", "said"), [(0, "due now"), (999, "due now"), (61_000, "was due 1 min ago")])
async def test_an_epoch_that_should_have_ended_says_since_when(world: World, late_ms: int, said: str) -> None:
    world.due_at = world.now - late_ms
    assert f", {said}" in (await read(world)).text


async def test_a_ledger_that_has_only_begun_says_so(make_world: MakeWorld) -> None:
    page = await read(make_world(None))
    for sentence in (
        "None yet The first deposit makes the first block",
        "Open epoch 1 empty, waits for its first record",
        "On Ethereum None yet nothing is final yet",
        "No payments yet.",
        "No epoch has ended yet, so nothing is committed to Ethereum.",
        "No blocks yet.",
        "No assets are listed yet.",
    ):
        assert sentence in page.text
    for section in ("payments", "commitments", "blocks", "totals"):
        assert not page.get_rows(section), "an empty ledger has nothing to put into tables"


async def test_a_token_that_has_not_said_its_decimals_is_shown_in_base_units(
    make_world: MakeWorld,
) -> None:
    ledger = RandomLedger(5)
    ledger.list_asset()
    ledger.list_asset()
    token = ledger.assets[1]
    ledger.add_block([ledger.make_deposit(token, 0, ledger.accounts[0], 1_500)])
    page = await read(make_world(ledger))  # whose info knows of no asset at all
    assert "amounts are in base units" in page.text
    assert page.get_rows("asset-2")[0] == ["Deposits", "1", "1,500"]
    assert encode_address(token) in page.text


# --- what others say is text


@pytest.mark.parametrize(
    "symbol", ["<b>bold", '"><script>', "'onload='x", "&lt;&amp;", "{{ 7*7 }}", "</bdi></td>", "\u202e</code>"]
)
async def test_a_hostile_symbol_is_text(world: World, history: RandomLedger, symbol: str) -> None:
    plain = (await read(world)).elements
    for asset in history.assets:
        world.info.assets[asset] = AssetInfo(symbol, LISTED)
    answer = await ask(world.explorer, "/")
    page = answer.page
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain], "the symbol made elements of its own"
    shown = symbol.replace("\u202e", "").replace(" ", "")
    assert (shown if len(shown) <= MAX_SYMBOL_LENGTH else shown[: MAX_SYMBOL_LENGTH - 1] + "…") in page.text
    assert "\u202e" not in answer.text


async def test_hostile_words_in_the_health_report_are_not_shown(world: World) -> None:
    words = "<img src=x onerror=alert(1)> & {{ 7*7 }}"
    world.fail("degraded", "watcher", detail=words)
    answer = await ask(world.explorer, "/")
    assert "onerror=alert" not in answer.text and "7*7" not in answer.text
    assert not [attributes for tag, attributes in answer.page.elements if tag == "img" and "onerror" in attributes]


# --- the banner


async def test_all_is_well_without_a_banner(world: World) -> None:
    assert (await read(world)).banner is None


async def test_a_banner_names_what_is_wrong_and_nothing_else(world: World) -> None:
    world.fail("degraded", "watcher", "committer", detail="no answer for 30 s")
    page = await read(world)
    assert page.banner == [
        "Deposits: out of reach",
        "Commitments: out of reach",
    ]
    assert "Payments are taken" in page.text


async def test_a_node_that_is_not_ready_still_shows_the_ledger(world: World) -> None:
    world.fail("unready", "sequencer")
    page = await read(world)
    assert page.banner == ["Payments: out of reach"]
    assert "takes no payments" in page.text
    assert len(page.get_rows("payments")) == PAYMENTS_SHOWN


# --- what it costs, and what it needs


async def test_the_page_needs_nothing_from_elsewhere_and_runs_its_own_files_alone(world: World) -> None:
    world.fail("degraded", "watcher")
    page = await read(world)
    for tag, attributes in page.elements:
        assert tag not in ("style", "iframe", "object", "embed", "base"), tag
        assert tag != "script" or "src" in attributes, "the policy forbids it"
        for name, value in attributes.items():
            assert name != "style" and not name.startswith("on"), f"{tag} {name}: the policy forbids it"
            if name in ("src", "href", "action"):
                assert value is not None and value.startswith(("/", "#")) and not value.startswith("//"), value


async def test_the_page_is_small_and_quick(world: World) -> None:
    answer = await ask(world.explorer, "/")
    assert len(answer.body) < 100_000
    durations = []
    for _ in range(20):
        start = time.perf_counter()
        await ask(world.explorer, "/")
        durations.append(time.perf_counter() - start)
    assert min(durations) < 0.02, f"{min(durations) * 1000:.1f} ms"
