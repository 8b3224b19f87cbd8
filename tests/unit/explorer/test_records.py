"""The page of a payment or a deposit says what the ledger says of it, no more than there is evidence for, and once it
is final always the same."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
import segno

from chain.block import Deposit
from chain.kinds import TIP, WITHDRAW
from chain.payment import Output, SignedPayment
from chain.primitives import ETHER, ZERO_HASH, Address
from chain.wire import encode_address, encode_bytes
from explorer import sources
from explorer.formatting import describe_token, format_amount, format_change, format_time, make_visible
from explorer.headers import LIVE, SETTLED
from node.ethereum.submission import AttemptOutcome, EpochState, EpochStatus
from node.index import IndexWriter
from node.ledger_info import AssetInfo
from tests.unit.explorer.conftest import LISTED, World, build_ledger
from tests.unit.explorer.machines import fetch
from tests.unit.explorer.reading import Answer, Page
from tests.unit.explorer.test_qr import read_modules
from tests.unit.node.index.history import PlacedRecord, RandomLedger, apply

MakeWorld = Callable[[RandomLedger | None], World]

KINDS = {"transfer": "Transfer", "tip": "Tip", "withdraw": "Withdrawal"}
STEPS = ("Accepted", "Sealed", "Sent to Ethereum", "Committed", "Final")


async def read(world: World, placed: PlacedRecord, status: int = 200) -> Page:
    answer = await fetch(world.explorer, f"/tx/{encode_bytes(placed.record.id)}")
    assert answer.status == status, answer.text
    return answer.page


def replay(history: RandomLedger) -> Iterator[tuple[PlacedRecord, dict[Address, int]]]:
    """Each record, and by how much it changed the balances in its asset: those that it changed, by the rules' own
    words."""
    balances: dict[tuple[Address, Address], int] = {}
    for placed in history.records:
        before = dict(balances)
        record = placed.record
        if isinstance(record, Deposit):
            asset = record.asset
            moves = [(record.account, record.amount)]
        else:
            asset = record.payment.asset
            moves = [(record.payment.payer, -output.amount) for output in record.payment.outputs]
            if record.payment.kind != WITHDRAW:
                moves += [(output.to, output.amount) for output in record.payment.outputs]
        for account, amount in moves:
            balances[asset, account] = balances.get((asset, account), 0) + amount
        yield (
            placed,
            {
                account: balance - before.get((asset, account), 0)
                for (held, account), balance in balances.items()
                if held == asset and balance != before.get((asset, account), 0)
            },
        )
    state = history.ledger.state
    assert all(balance == state.get_balance(asset, account) for (asset, account), balance in balances.items())


def name_token(history: RandomLedger, asset: Address) -> str:
    return "ETH" if asset == ETHER else f"TOK{history.assets.index(asset)}"


def write_amount(history: RandomLedger, asset: Address, base_units: int) -> str:
    token = describe_token(asset, AssetInfo(name_token(history, asset), LISTED))
    return f"{format_amount(base_units, token)} {token.symbol}"


def write_sentence(history: RandomLedger, record: SignedPayment | Deposit) -> str:
    """With whole addresses, as the page has them."""
    if isinstance(record, Deposit):
        amount = write_amount(history, record.asset, record.amount)
        return f"{amount} came from Ethereum for {encode_address(record.account)}"
    payment = record.payment
    payees = [encode_address(payee) for payee in dict.fromkeys([output.to for output in payment.outputs])]
    if payment.kind == WITHDRAW:
        to = f"for {payees[0]} to claim on Ethereum"
    elif payees == [encode_address(payment.payer)]:
        to = "to itself"
    elif len(payees) > 3:
        to = f"to {payees[0]}, {payees[1]} and {len(payees) - 2} others"
    else:
        to = "to " + (", ".join(payees[:-1]) + " and " if len(payees) > 1 else "") + payees[-1]
    verb = {WITHDRAW: "withdrew", TIP: "tipped"}.get(payment.kind, "paid")
    amount = write_amount(history, payment.asset, payment.total)
    link = ", reference" if payment.kind == WITHDRAW else " for"
    named = "" if payment.reference == ZERO_HASH else f"{link} {encode_bytes(payment.reference)}"
    return f"{encode_address(payment.payer)} {verb} {amount} {to}{named}"


# --- what it says


async def test_every_record_says_what_it_was_and_what_it_changed(world: World, history: RandomLedger) -> None:
    seen = set()
    for placed, changes in replay(history):
        record = placed.record
        page = await read(world, placed)
        asset = record.asset if isinstance(record, Deposit) else record.payment.asset
        token = describe_token(asset, AssetInfo(name_token(history, asset), LISTED))
        assert write_sentence(history, record) in page.text
        rows = page.get_rows("changes")
        shown = {row[0]: row[2] for row in rows}
        assert len(shown) == len(rows), "a party stands there twice"
        zeros = {account for account, change in shown.items() if change == f"0 {token.symbol}"}
        assert {account: change for account, change in shown.items() if account not in zeros} == {
            encode_address(account): f"{format_change(change, token)} {token.symbol}"
            for account, change in changes.items()
        }
        assert page.get_pair("Block") == f"{placed.block:,}, record {placed.index}"
        assert page.get_pair("Epoch") == f"{placed.epoch}"
        if isinstance(record, Deposit):
            assert page.get_pair("Deposit id") == encode_bytes(record.id)
            assert page.get_pair("Account") == encode_address(record.account)
            assert page.get_pair("Amount") == (
                f"{write_amount(history, asset, record.amount)} {record.amount:,} base units"
            )
            assert page.get_pair("Place in the contract's queue") == f"{record.index:,}"
            assert page.get_pair("L1 transaction") == encode_bytes(record.l1_transaction)
            assert page.get_pair("L1 block") == f"{record.l1_block:,}"
            seen.add("deposit")
            continue
        payment = record.payment
        parties = {payment.payer} | {output.to for output in payment.outputs if payment.kind != WITHDRAW}
        assert set(shown) == {encode_address(account) for account in parties}
        assert rows[0][0] == encode_address(payment.payer)
        assert page.get_pair("Payment id") == encode_bytes(record.id)
        assert page.get_pair("Time").startswith(format_time(placed.timestamp))
        assert page.get_pair("Kind") == KINDS[payment.kind]
        assert page.get_pair("Total") == (f"{write_amount(history, asset, payment.total)} {payment.total:,} base units")
        memo = " ".join(make_visible(payment.memo).split())
        assert page.get_pair("Memo") == (memo if payment.memo else "none")
        assert page.get_pair("Nonce") == f"{payment.nonce:,}"
        assert page.get_pair("Payer's signature") == encode_bytes(record.signature)
        assert page.get_pair("Valid until") == "for ever"
        assert page.get_pair("Reference") == (
            "none" if payment.reference == ZERO_HASH else encode_bytes(payment.reference)
        )
        for place, output in enumerate(payment.outputs):
            name = "To, on Ethereum" if payment.kind == WITHDRAW else "To"
            value = page.get_pair(f"{name}, output {place}" if len(payment.outputs) > 1 else name)
            assert value == encode_address(output.to) + write_amount(history, asset, output.amount)
        assert ("left the ledger. The contract on Ethereum pays it to" in page.text) == (payment.kind == WITHDRAW)
        seen |= {payment.kind, "memo" if payment.memo else "", "zero" if zeros else ""}
    assert seen >= {"deposit", "transfer", "tip", "withdraw", "memo", "zero"}, "the history lacks something"


async def test_a_hostile_memo_is_text(world: World, history: RandomLedger) -> None:
    hostile = [placed for placed in history.payments if "<script>" in cast(SignedPayment, placed.record).payment.memo]
    assert hostile
    for part in ("", "/receipt"):
        answer = await fetch(world.explorer, f"/tx/{encode_bytes(hostile[0].record.id)}{part}")
        assert "<script>alert" not in answer.text
        assert '<script>alert(1)</script> & <b>"quoted"</b>' in answer.page.text


# --- how far it is


def find_record(history: RandomLedger, epoch: int) -> PlacedRecord:
    return next(placed for placed in history.payments if placed.epoch == epoch)


async def test_before_the_committer_speaks_the_journal_says_how_far_it_is(make_world: MakeWorld) -> None:
    ledger = RandomLedger(5)
    ledger.run(12)
    while ledger.waiting:
        ledger.seal()
    ledger.add_block([ledger.make_deposit(ETHER, ledger.ledger.state.deposit_counts[ETHER], ledger.accounts[0], 2**64)])
    last = ledger.records[-1]
    world = make_world(ledger)
    world.due_at = world.now + 61_000
    page = await read(world, last)
    assert page.get_marks() == ["done", "current", "todo", "todo", "todo"]
    assert f"epoch {last.epoch} is open, due in 1 min" in page.get_step("Sealed")
    world.due_at = world.now - 1
    assert "due" not in (await read(world, last)).get_step("Sealed")
    ledger.cut()
    page = await read(make_world(ledger), last)
    assert page.get_marks() == ["done", "current", "todo", "todo", "todo"]
    assert "has ended, its roots are being computed" in page.get_step("Sealed")
    ledger.seal()
    page = await read(make_world(ledger), last)
    assert page.get_marks() == ["done", "done", "current", "todo", "todo"]
    assert f"in epoch {last.epoch}" in page.get_step("Sealed")
    assert "one transaction for the whole epoch" in page.get_step("Sent")


@pytest.mark.parametrize(
    ("state", "done", "word"),
    [
        (EpochState.SEALED, 2, "accepted"),
        (EpochState.SENT, 3, "accepted"),
        (EpochState.MINED, 4, "committed"),
        (EpochState.FINAL, 5, "final"),
    ],
)
async def test_each_stage_shows_its_evidence(
    world: World, history: RandomLedger, state: EpochState, done: int, word: str
) -> None:
    epoch = 3
    for number in range(1, epoch + 1):
        status = world.send(history, number, state)
    final_at = history.timestamp // 1000 + 3600
    world.statuses[epoch] = status = msgspec.structs.replace(status, final_at=final_at if done > 3 else None)
    for placed in (find_record(history, epoch), next(each for each in history.deposits if each.epoch == epoch)):
        page = await read(world, placed)
        assert page.get_marks() == ["done"] * done + ["current"] * (done < 5) + ["todo"] * (4 - done)
        assert f"record {placed.index} of block {placed.block:,}, on the node's disk" in page.get_step("Accepted")
        assert f"in epoch {epoch}, {format_time(status.sealed_at)}" in page.get_step("Sealed")
        if isinstance(placed.record, SignedPayment):
            assert page.get_pair("Status") == word
        if done == 2:
            assert "one transaction for the whole epoch" in page.get_step("Sent")
        else:
            assert f"{encode_bytes(status.attempts[-1].hash)}attempt 2" in page.get_step("Sent")
        if status.inclusion is None:
            assert "when the contract has the commitment" in page.get_step("Committed")
        else:
            assert f"L1 block {status.inclusion.l1_block:,}" in page.get_step("Committed")
            assert format_time(status.inclusion.included_at * 1000) in page.get_step("Committed")
            assert ("1 confirmation" in page.get_step("Committed")) == (done < 5)
        said = {4: "challenge period until", 5: "challenge period over at"}.get(
            done, "when the challenge period is over"
        )
        assert said in page.get_step("Final")
        assert (format_time(final_at * 1000) in page.get_step("Final")) == (done > 3)


async def test_a_commitment_that_another_brought_to_ethereum_is_said_to_be_so(
    world: World, history: RandomLedger
) -> None:
    status = world.send(history, 3, EpochState.MINED)
    for attempts in (status.attempts, ()):
        world.statuses[3] = msgspec.structs.replace(status, is_ours=False, attempts=attempts)
        page = await read(world, find_record(history, 3))
        assert page.get_marks() == ["done"] * 4 + ["current"]
        step = page.get_step("Sent")
        assert "by another sender" in step and "attempt" not in step
        assert status.inclusion is not None
        assert encode_bytes(status.inclusion.l1_transaction) in step


@pytest.mark.parametrize("outcome", [AttemptOutcome.REVERTED, AttemptOutcome.REPLACED])
async def test_an_attempt_that_came_to_nothing_says_what_became_of_it(
    world: World, history: RandomLedger, outcome: AttemptOutcome
) -> None:
    status = world.send(history, 3, EpochState.SENT)
    failed = tuple([msgspec.structs.replace(attempt, outcome=outcome) for attempt in status.attempts])
    world.statuses[3] = msgspec.structs.replace(status, attempts=failed, state=EpochState.SEALED)
    page = await read(world, find_record(history, 3))
    assert page.get_marks() == ["done", "done", "current", "todo", "todo"], "nothing is on its way"
    assert page.get_step("Sent").endswith(f", {outcome.value}")
    assert page.get_pair("Status") == "accepted"


# --- what is final


def make_final(world: World, history: RandomLedger, epoch: int) -> EpochStatus:
    for number in range(1, epoch + 1):
        status = world.send(history, number, EpochState.FINAL)
    world.statuses[epoch] = status = msgspec.structs.replace(status, final_at=status.sealed_at // 1000 + 3600)
    return status


async def test_what_is_final_is_the_same_page_at_any_time(world: World, history: RandomLedger) -> None:
    status = make_final(world, history, 7)
    records = [placed for placed in history.records if placed.epoch <= 7][::9]
    assert {type(placed.record) for placed in records} == {SignedPayment, Deposit}

    async def read_all(**headers: str) -> list[Answer]:
        paths = [f"/tx/{encode_bytes(placed.record.id)}" for placed in records]
        return [await fetch(world.explorer, path, **headers) for path in paths]

    before = await read_all()
    for answer in before:
        assert (answer.status, answer.headers["cache-control"]) == (200, SETTLED)
        page = answer.page
        assert page.banner is None and "As of" not in page.text
        assert not re.search(r"\b(ago|now|due)\b", page.text)
        assert not [attributes for _, attributes in page.elements if "data-age" in attributes]
    world.now += 86_400_000 * 400
    world.due_at = world.now + 5
    world.fail("unready", "watcher", detail="no answer")
    world.statuses[7] = msgspec.structs.replace(status, confirmations=99_000)
    world.send(history, 8, EpochState.MINED)
    after = await read_all()
    assert [answer.body for answer in after] == [answer.body for answer in before]
    assert [answer.headers for answer in after] == [answer.headers for answer in before]
    for answer, placed in zip(before, records, strict=True):
        path = f"/tx/{encode_bytes(placed.record.id)}"
        again = await fetch(world.explorer, path, if_none_match=answer.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
        assert again.headers["cache-control"] == SETTLED
        other = await fetch(world.explorer, path, if_none_match='"something else"')
        assert (other.status, other.body) == (200, answer.body)


async def test_what_is_not_final_is_not_kept(world: World, history: RandomLedger) -> None:
    make_final(world, history, 6)
    world.send(history, 7, EpochState.MINED)
    world.send(history, 8, EpochState.SENT)
    world.fail("degraded", "watcher")
    for epoch in (7, 8, history.epoch):
        answer = await fetch(world.explorer, f"/tx/{encode_bytes(find_record(history, epoch).record.id)}")
        assert answer.headers["cache-control"] == LIVE
        assert "etag" not in answer.headers
        assert answer.page.banner == ["Deposits: out of reach"]
        assert "As of" in answer.page.text


async def test_what_is_said_of_a_token_without_a_name_is_not_kept(world: World, history: RandomLedger) -> None:
    """After a start, before Ethereum has been asked."""
    make_final(world, history, 7)
    asset = history.assets[1]
    world.info.take_asset(asset)
    placed = next(
        placed
        for placed in history.payments
        if placed.epoch < 7 and cast(SignedPayment, placed.record).payment.asset == asset
    )
    for path in (f"/tx/{encode_bytes(placed.record.id)}", f"/block/{placed.block}", f"/epoch/{placed.epoch}"):
        world.info.take_asset(asset)
        answer = await fetch(world.explorer, path)
        assert answer.headers["cache-control"] == LIVE
        assert encode_address(asset)[:8] + "…" in answer.page.text
        world.info.take_asset(asset, AssetInfo("TOK1", LISTED))
        assert (await fetch(world.explorer, path)).headers["cache-control"] == SETTLED


# --- how it is found


@pytest.mark.parametrize("id_of", [lambda text: "0x" + text[2:].upper(), lambda text: text.upper()])
async def test_an_id_is_found_in_any_case(world: World, history: RandomLedger, id_of: Callable[[str], str]) -> None:
    for placed in (history.payments[0], history.deposits[0]):
        text = encode_bytes(placed.record.id)
        answer = await fetch(world.explorer, f"/tx/{id_of(text)}")
        assert answer.status == 200 and text in answer.page.text


@pytest.mark.parametrize(
    "text",
    [
        "0x" + "12" * 32,
        "0x12",
        "x",
        "0x" + "zz" * 32,
        "12" * 32,
        "0x" + "1" * 5000,
        "<script>",
        "\u202e",
        "0x" + "١" * 64,
    ],
)
async def test_what_is_no_record_is_not_found(world: World, text: str) -> None:
    for part in ("", "/receipt"):
        answer = await fetch(world.explorer, f"/tx/{text}{part}")
        assert answer.status == 404
        assert answer.headers["cache-control"] == LIVE
        assert "There is nothing at this address." in answer.page.text
        assert len(answer.body) < 10_000 and "\u202e" not in answer.text and "<script>\n" not in answer.text


@contextmanager
def open_late(directory: Path, ledger: RandomLedger, missing: int = 1) -> Iterator[tuple[World, IndexWriter]]:
    """A node whose index does not have the last entries yet."""
    build_ledger(directory, ledger.parameters, ledger.entries)
    for file in directory.glob("index.sqlite*"):
        file.unlink()
    writer = IndexWriter(directory / "index.sqlite", ledger.parameters.genesis_hash)
    apply(writer, ledger.entries[:-missing])
    world = World(directory, ledger.parameters, ledger.timestamp)
    world.indexed.value = len(ledger.entries) - missing
    sequencer: Any = SimpleNamespace(durable_block=len(ledger.headers), find_recent=lambda _: None)
    world.archive._sequencer = sequencer
    try:
        yield world, writer
    finally:
        world.close()
        writer.close()


@pytest.fixture
def late(tmp_path: Path) -> Iterator[tuple[World, IndexWriter, RandomLedger]]:
    ledger = RandomLedger(11)
    ledger.run(8)
    payer = next(account for account in ledger.accounts if ledger.ledger.state.get_balance(ETHER, account) > 10)
    nonce = ledger.ledger.state.get_nonces(payer).base
    ledger.add_block([ledger.make_payment(payer, nonce, [Output(ledger.accounts[0], 7)])])
    with open_late(tmp_path / "late", ledger) as (world, writer):
        yield world, writer, ledger


@pytest.mark.parametrize("path", ["/tx/{id}", "/tx/{id}/receipt", "/block/{number}", "/block/{hash}", "/search?q={id}"])
async def test_what_is_durable_is_waited_for(late: tuple[World, IndexWriter, RandomLedger], path: str) -> None:
    world, writer, ledger = late
    record_id = encode_bytes(ledger.records[-1].record.id)
    path = path.format(id=record_id, number=len(ledger.headers), hash=encode_bytes(ledger.hashes[-1]))
    asked = asyncio.create_task(fetch(world.explorer, path))
    while not world.indexed._waiters:
        assert not asked.done()
        await asyncio.sleep(0.001)
    apply(writer, ledger.entries)
    world.indexed.advance(len(ledger.entries))
    answer = await asked
    if path.startswith("/search"):
        assert (answer.status, answer.headers["location"]) == (303, f"/tx/{record_id}")
    else:
        assert answer.status == 200 and record_id in answer.page.text


async def test_the_wait_has_an_end(
    late: tuple[World, IndexWriter, RandomLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_SETTLE_SECONDS", 0.001)
    world, _, ledger = late
    answer = await fetch(world.explorer, f"/tx/{encode_bytes(ledger.records[-1].record.id)}")
    assert answer.status == 404
    assert not world.indexed._waiters


# --- on paper


async def test_a_receipt_says_what_binds_the_operator(world: World, history: RandomLedger) -> None:
    world.send(history, 3, EpochState.MINED)
    for placed in history.payments[::23]:
        record = placed.record
        assert isinstance(record, SignedPayment)
        answer = await fetch(world.explorer, f"/tx/{encode_bytes(record.id)}/receipt")
        assert answer.headers["cache-control"] == LIVE
        page = answer.page
        payment = record.payment
        assert write_sentence(history, record) in page.text
        assert page.get_pair("Amount") == write_amount(history, payment.asset, payment.total)
        assert page.get_pair("Paid by") == encode_address(payment.payer)
        paid_to = [value for name, value in page.pairs if name.startswith("Paid to")]
        assert len(paid_to) == len(payment.outputs)
        for value, output in zip(paid_to, payment.outputs, strict=True):
            assert value.startswith(encode_address(output.to))
        assert page.get_pair("Payment id") == encode_bytes(record.id)
        assert page.get_pair("Time") == format_time(placed.timestamp)
        assert page.get_pair("Block") == f"{placed.block:,}, record {placed.index}"
        assert page.get_pair("Block hash") == encode_bytes(history.hashes[placed.block - 1])
        assert page.get_pair("Operator's signature") == encode_bytes(placed.block.to_bytes(65))
        assert page.get_pair("Payer's signature") == encode_bytes(record.signature)
        status = "committed" if placed.epoch == 3 else "accepted"
        assert page.get_pair("Status") == f"{status} as of {format_time(world.now)}"
        assert ("L1 transaction" in dict(page.pairs)) == (placed.epoch == 3)


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({"host": "ledger.example"}, "http://ledger.example"),
        ({"host": "ledger.example:8645", "x_forwarded_proto": "https"}, "https://ledger.example:8645"),
        ({"host": "[::1]:8645"}, "http://[::1]:8645"),
        ({"host": "ledger.example", "x_forwarded_proto": "javascript"}, "http://ledger.example"),
        ({}, "http://127.0.0.1:2"),
    ],
)
async def test_a_printed_receipt_leads_back_to_where_it_is_checked(
    world: World, history: RandomLedger, headers: dict[str, str], origin: str
) -> None:
    record_id = encode_bytes(history.payments[0].record.id)
    answer = await fetch(world.explorer, f"/tx/{record_id}/receipt", **headers)
    address = f"{origin}/verify#{record_id}"
    assert address in answer.page.text
    (drawing,) = re.findall(r'<figure class="qr">(<svg.*?</svg>)', answer.text, re.DOTALL)
    code = segno.make(address, error="m", micro=False)
    assert read_modules(drawing) == [[bool(module) for module in row] for row in code.matrix_iter(border=4)]


@pytest.mark.parametrize(
    "host",
    [
        "<b>",
        "a b",
        'x"onload="y',
        "user:word@ledger.example",
        "[",
        "a/b",
        "ledger.example#",
        "é.example",
        "x" * 300,
        "",
    ],
)
async def test_a_host_that_is_none_is_not_shown(world: World, history: RandomLedger, host: str) -> None:
    for path in (f"/tx/{encode_bytes(history.payments[0].record.id)}/receipt", "/developers"):
        answer = await fetch(world.explorer, path, host=host)
        if answer.status == 400:
            assert "host" in answer.page.text
        else:  # the server's own address stands in
            assert answer.status == 200 and "http://127.0.0.1:2" in answer.page.text
        assert not host or f"//{host}" not in answer.text


async def test_a_deposit_has_no_receipt(world: World, history: RandomLedger) -> None:
    answer = await fetch(world.explorer, f"/tx/{encode_bytes(history.deposits[0].record.id)}/receipt")
    assert answer.status == 404
