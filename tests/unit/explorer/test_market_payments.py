"""Payments of the data exchange: who gained and who lost, by role, on pages and for programs, is what happened."""

import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from chain.block import Deposit
from chain.instruction import SignedInstruction
from chain.kinds import EXTEND, KIND_CODES, PURCHASE, UPLOAD, WITHDRAW
from chain.market import compute_daily_charge
from chain.payment import SignedPayment
from chain.primitives import Address
from chain.wire import encode_address, encode_bytes
from explorer.formatting import describe_token, format_change, make_visible, shorten_name
from explorer.headers import LIVE, SETTLED
from node.ethereum.submission import EpochState
from node.index import IndexedFile, IndexedPayment
from node.ledger_info import ETHER_INFO, AssetInfo
from tests.unit.explorer.conftest import LISTED, World
from tests.unit.explorer.machines import commit, fetch, fetch_json
from tests.unit.explorer.market import MarketLedger, list_files, list_parts, make_market
from tests.unit.explorer.test_files import show, write
from tests.unit.node.index.history import PlacedRecord, RandomLedger
from tests.unit.node.index.oracle import describe

COUNT = 1_000
SEED = 9


def replay(ledger: RandomLedger) -> Iterator[tuple[PlacedRecord, dict[Address, int]]]:
    """Each payment, and by how much it changed the balances in its asset, of all who take part: those after, less those
    before, as the ledger has them in the end."""
    balances: Counter[tuple[Address, Address]] = Counter()
    for placed in ledger.records:
        record = placed.record
        if isinstance(record, Deposit):
            balances[record.asset, record.account] += record.amount
        elif isinstance(record, SignedPayment):
            payment = record.payment
            credited = [] if payment.kind == WITHDRAW else list(payment.outputs)
            parties = {payment.payer, *[output.to for output in credited]}
            before = {party: balances[payment.asset, party] for party in parties}
            balances[payment.asset, payment.payer] -= payment.total
            for output in credited:
                balances[payment.asset, output.to] += output.amount
            yield placed, {party: balances[payment.asset, party] - before[party] for party in parties}
    state = ledger.ledger.state
    assert all(balance == state.get_balance(asset, account) for (asset, account), balance in balances.items())


def list_roles(ledger: MarketLedger) -> dict[bytes, dict[Address, list[str]]]:
    """Payment → account → what it is there, by the rules' own words."""
    roles: dict[bytes, dict[Address, list[str]]] = {}
    for payment, parts in list_parts(ledger):
        mine = roles.setdefault(payment.id, {payment.payer: ["mart" if payment.kind == PURCHASE else "validator"]})
        for part, to, _ in parts:
            mine.setdefault(to, []).append("service node" if part in ("storage", "service_node") else part)
    return roles


def write_roles(payment: IndexedPayment, account: Address, roles: dict[bytes, dict[Address, list[str]]]) -> str:
    if payment.id in roles:
        *first, last = dict.fromkeys(roles[payment.id][account])
        return f"{', '.join(first)} and {last}" if first else last
    is_payee = payment.kind != WITHDRAW and account in [output.to for output in payment.outputs]
    return " and ".join(["payer"] * (account == payment.payer) + ["payee"] * is_payee)


@pytest.mark.long
async def test_pages_and_programs_are_told_what_the_ledger_did_with_a_thousand_payments(
    make_world: Callable[[RandomLedger | None], World],
) -> None:
    ledger = make_market(SEED, 1_100)
    world = make_world(ledger)
    world.info.take_asset(ledger.assets[0])
    world.info.take_asset(ledger.token, AssetInfo("TOK1", LISTED))
    roles = list_roles(ledger)
    kinds: Counter[str] = Counter()
    several = 0
    for placed, changes in random.Random(SEED).sample(list(replay(ledger)), COUNT):
        payment = describe(placed)
        info = AssetInfo("TOK1", LISTED) if payment.asset == ledger.token else ETHER_INFO
        token = describe_token(payment.asset, info)
        expected = {
            encode_address(account): (write_roles(payment, account, roles), change)
            for account, change in changes.items()
        }
        rows = (await fetch(world.explorer, f"/tx/{encode_bytes(payment.id)}")).page.get_rows("changes")
        assert len(rows) == len(expected) and rows[0][0] == encode_address(payment.payer)
        assert {row[0]: (row[1], row[2]) for row in rows} == {
            account: (role, f"{format_change(change, token)} {token.symbol}")
            for account, (role, change) in expected.items()
        }
        answer = await fetch_json(world.explorer, f"/api/v1/payments/{encode_bytes(payment.id)}")
        assert {party["address"]: (party["role"], int(party["change"], 16)) for party in answer["parties"]} == expected
        kinds[payment.kind] += 1
        several += any(" and " in role for role, _ in expected.values())
    assert set(kinds) == set(KIND_CODES) and min(kinds.values()) > 50, kinds
    assert several > 5


async def test_a_payment_of_the_exchange_names_its_file_and_what_it_paid_for(
    market: World, exchange: MarketLedger
) -> None:
    files = {file.id: file for file in list_files(exchange)}
    roles = list_roles(exchange)
    for payment, parts in list_parts(exchange):
        file = files[payment.reference]
        page = (await fetch(market.explorer, f"/tx/{encode_bytes(payment.id)}")).page
        name = make_visible(shorten_name(file.name))
        assert show(write_sentence(exchange, payment, file, name)) in page.text
        assert page.get_pair("File") == " ".join(name.split())
        assert page.get_pair("Kind") == {UPLOAD: "Upload", PURCHASE: "Purchase", EXTEND: "Extension"}[payment.kind]
        assert page.get_pair("Reference") == encode_bytes(file.id)
        assert f"/file/{encode_bytes(file.id)}" in [link for _, link in page.links]
        payer = roles[payment.id][payment.payer][0]
        assert page.get_pair(f"From the {payer}") == encode_address(payment.payer)
        for part, to, amount in parts:
            role = "service node" if part in ("storage", "service_node") else part
            value = encode_address(to) + write(exchange, payment.asset, amount)
            assert page.get_pair(f"To the {role}") == value
        answer = await fetch_json(market.explorer, f"/api/v1/payments/{encode_bytes(payment.id)}")
        assert answer["fileName"] == file.name
        if payment.kind == PURCHASE:
            assert answer["storageDays"] is None and "Storage" not in dict(page.pairs)
        else:
            days = payment.total // compute_daily_charge(file.size, payment.asset, exchange.market)
            assert days == file.storage_days or payment.kind == EXTEND
            assert answer["storageDays"] == hex(days)
            assert page.get_pair("Storage") == f"{days:,} day{'s' * (days != 1)}"
        paper = (await fetch(market.explorer, f"/tx/{encode_bytes(payment.id)}/receipt")).page
        assert encode_bytes(file.id) in paper.get_pair("File") and show(file.name) in paper.get_pair("File")
        assert [value.startswith(encode_address(to)) for (_, to, _), (_, value) in zip(
            parts, [pair for pair in paper.pairs if pair[0].startswith("Paid to the ")], strict=True
        )] == [True] * len(parts)  # fmt: skip


def write_sentence(exchange: MarketLedger, payment: IndexedPayment, file: IndexedFile, name: str) -> str:
    other = file.validator if payment.kind == PURCHASE else payment.outputs[0].to
    verb, link = {UPLOAD: ("uploaded", "to"), PURCHASE: ("bought", "from"), EXTEND: ("extended the storage of", "at")}[
        payment.kind
    ]
    named = "itself" if other == payment.payer else encode_address(other)
    amount = write(exchange, payment.asset, payment.total)
    return f"{encode_address(payment.payer)} {verb} “{name}” {link} {named} for {amount}"


async def test_what_is_final_stays_as_it_was_whatever_becomes_of_the_file(
    make_world: Callable[[RandomLedger | None], World],
) -> None:
    """Its price, its node and its state change; what was paid for it does not."""
    ledger = make_market(3, 60)
    early = make_world(ledger)
    final = max(ledger.sealed)
    purchases = [payment for payment, _ in list_parts(ledger) if payment.epoch <= final]
    ledger.play(150)
    late = make_world(ledger)
    assert len({payment.kind for payment in purchases}) == 3
    for world in (early, late):
        world.info.take_asset(ledger.assets[0])
        world.info.take_asset(ledger.token, AssetInfo("TOK1", LISTED))
        for epoch in range(1, final + 1):
            world.send(ledger, epoch, EpochState.FINAL)
    for payment in purchases:
        for path in (f"/tx/{encode_bytes(payment.id)}", f"/api/v1/payments/{encode_bytes(payment.id)}"):
            answers = [await fetch(world.explorer, path) for world in (early, late)]
            assert answers[0].headers["cache-control"] == SETTLED
            assert (answers[0].body, answers[0].headers) == (answers[1].body, answers[1].headers)


async def test_lists_name_files_too(market: World, exchange: MarketLedger) -> None:
    commitments = commit(market, exchange)
    files = {file.id: file for file in list_files(exchange)}
    page = (await fetch(market.explorer, "/payments?limit=100")).page
    newest = [describe(placed) for placed in exchange.payments[::-1][:100]]
    items = (await fetch_json(market.explorer, "/api/v1/payments?limit=100"))["items"]
    for row, item, payment in zip(page.get_rows("Payments"), items, newest, strict=True):
        file = files.get(payment.reference)
        assert item["fileName"] == (None if file is None else file.name)
        assert row[0].endswith(show(shorten_name(file.name)) if file else row[0])
        assert row[7] == item["status"] == commitments.compute_status(payment.epoch)
    home = (await fetch(market.explorer, "/")).page
    assert [row[0] for row in home.get_rows("Last payments")] == [row[0] for row in page.get_rows("Payments")[:15]]


async def test_an_account_that_only_signs_has_no_entry(market: World, exchange: MarketLedger) -> None:
    """Instructions move no money: they are in no list of payments and in no statement."""
    ids = {encode_bytes(placed.record.id) for placed in exchange.instructions}
    assert all(isinstance(placed.record, SignedInstruction) for placed in exchange.instructions)
    account = encode_address(exchange.validators[0])
    for path in (f"/address/{account}?limit=100", f"/address/{account}/statement?limit=500"):
        answer = await fetch(market.explorer, path)
        assert answer.status == 200 and answer.headers["cache-control"] == LIVE
        assert not [record_id for record_id in ids if record_id in answer.text]
