"""An account's page: what it has, what came and went, and where its proof is to be had."""

from urllib.parse import parse_qs, urlsplit

import pytest

from chain.primitives import ETHER, Address
from chain.wire import encode_address, encode_bytes
from explorer.formatting import describe_token, format_amount
from node.ethereum.submission import EpochState
from node.index import PaymentFilter
from node.ledger_info import AssetInfo
from tests.unit.explorer.conftest import LISTED, OPERATOR, World
from tests.unit.explorer.machines import fetch
from tests.unit.explorer.reading import Page
from tests.unit.explorer.turning import check_both_ways
from tests.unit.node.index.history import RandomLedger
from tests.unit.node.index.oracle import describe_deposit, list_wanted, make_entries

STRANGER = b"\x01" * 20


async def read(world: World, path: str, status: int = 200) -> Page:
    answer = await fetch(world.explorer, path)
    assert answer.status == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.page


def write(history: RandomLedger, asset: Address, base_units: int) -> str:
    symbol = "ETH" if asset == ETHER else f"TOK{history.assets.index(asset)}"
    return f"{format_amount(base_units, describe_token(asset, AssetInfo(symbol, LISTED)))} {symbol}"


# --- what it has


async def test_an_account_has_what_its_entries_add_up_to(world: World, history: RandomLedger) -> None:
    for account in history.accounts:
        page = await read(world, f"/address/{encode_address(account)}")
        expected = []
        for asset in history.assets:
            entries = [entry for _, entry in make_entries(history, account, asset)]
            if not entries:
                continue
            credits = [entry.amount for entry in entries if entry.is_credit]
            debits = [entry.amount for entry in entries if not entry.is_credit]
            assert entries[-1].balance == history.ledger.state.get_balance(asset, account)
            expected.append(
                [
                    write(history, asset, 0).split(" ")[1],
                    write(history, asset, entries[-1].balance),
                    f"{write(history, asset, sum(credits))} in {len(credits):,}",
                    f"{write(history, asset, sum(debits))} in {len(debits):,}",
                    f"Statement in {write(history, asset, 0).split(' ')[1]}",
                ]
            )
        assert page.get_rows("Balances") == expected
        for asset in history.assets:
            path = f"/address/{encode_address(account)}/statement?asset={encode_address(asset)}"
            assert path in [link for _, link in page.links]


async def test_its_payments_are_those_of_the_ledger_on_both_ways(world: World, history: RandomLedger) -> None:
    for account in (*history.accounts[:3], *history.strangers, STRANGER):
        expected = [encode_bytes(payment.id) for payment in list_wanted(history, PaymentFilter(account=account))]
        await check_both_ways(world, f"/address/{encode_address(account)}?limit=40", expected)


async def test_a_change_is_what_the_account_gained_or_lost(world: World, history: RandomLedger) -> None:
    account = history.accounts[0]
    page = await read(world, f"/address/{encode_address(account)}?limit=100")
    changes: dict[bytes, int] = {}
    for asset in history.assets:
        for placed, entry in make_entries(history, account, asset):
            change = entry.amount if entry.is_credit else -entry.amount
            changes[placed.record.id] = changes.get(placed.record.id, 0) + change
    rows = page.get_rows("Payments")
    assert len(rows) > 20
    signs = set()
    for row in rows:
        change = changes.get(bytes.fromhex(row[1][2:]), 0)
        number, symbol = row[4].split(" ")
        sign = "+" if change > 0 else "−" if change < 0 else ""
        asset = history.assets[0] if symbol == "ETH" else history.assets[int(symbol[3:])]
        assert f"{number} {symbol}" == sign + write(history, asset, abs(change))
        signs.add(sign)
    assert signs >= {"+", "−"}


async def test_filters_narrow_its_payments(world: World, history: RandomLedger) -> None:
    account, other = history.accounts[:2]
    address = encode_address(account)
    for query, wanted in (
        (f"counterparty={encode_address(other)}", PaymentFilter(account=account, counterparty=other)),
        ("kind=withdraw", PaymentFilter(account=account, kind="withdraw")),
        # The account is that of the page, whatever the query says.
        (f"account={encode_address(other)}", PaymentFilter(account=account)),
    ):
        expected = [encode_bytes(payment.id) for payment in list_wanted(history, wanted)]
        leaves = await check_both_ways(world, f"/address/{address}?limit=30&{query}", expected)
        page = leaves[0].answer.page
        assert parse_qs(urlsplit(page.get_link("CSV")).query)["account"] == [address]
    page = await read(world, f"/address/{address}?direction=up", 400)
    assert "direction" in page.text and not page.get_rows("Payments")
    assert page.get_rows("Balances"), "what is wrong with the filter is nothing against the account"


async def test_an_address_that_was_never_paid_has_nothing(world: World) -> None:
    page = await read(world, f"/address/{encode_address(STRANGER)}")
    assert "This address has no balance and no entry on this ledger." in page.text
    assert "No payments yet." in page.text, "nothing is filtered"
    assert not page.get_link("Clear")
    assert "No payment fits this filter." in (await read(world, f"/address/{encode_address(STRANGER)}?kind=tip")).text
    assert "No deposits" in (await read(world, f"/address/{encode_address(STRANGER)}/deposits")).text


async def test_an_address_is_taken_in_any_case_and_shown_with_its_checksum(world: World, history: RandomLedger) -> None:
    account = history.accounts[0]
    right = encode_address(account)
    for text in (right, right.lower(), "0x" + account.hex().upper(), "0X" + account.hex()):
        for part in ("", "/deposits", "/statement", "/proof"):
            page = await read(world, f"/address/{text}{part}")
            assert right in page.text
            assert page.get_rows("Balances")


@pytest.mark.parametrize("text", ["0x12", "x", "1" * 40, "0x" + "g" * 40, "0x" + "1" * 41, "<b>", "0x" + "١" * 40])
async def test_what_is_no_address_is_not_found(world: World, text: str) -> None:
    for part in ("", "/deposits", "/statement", "/proof"):
        answer = await fetch(world.explorer, f"/address/{text}{part}")
        assert answer.status == 404 and "There is nothing at this address." in answer.page.text


async def test_the_operator_and_the_contract_are_named(world: World, history: RandomLedger) -> None:
    said = {
        OPERATOR: "This is the operator's address",
        history.parameters.settlement: "This is the address of the contract",
    }
    for address in (*said, history.accounts[0]):
        page = await read(world, f"/address/{address.hex().join(['0x', ''])}")
        assert [words for words in said.values() if words in page.text] == ([said[address]] if address in said else [])


# --- deposits


async def test_its_deposits_are_those_of_the_ledger_on_both_ways(world: World, history: RandomLedger) -> None:
    most = 0
    for account in history.accounts:
        deposits = [
            deposit for deposit in map(describe_deposit, reversed(history.deposits)) if deposit.account == account
        ]
        expected = [encode_bytes(deposit.id) for deposit in deposits]
        for query in ("", "?limit=3"):
            leaves = await check_both_ways(world, f"/address/{encode_address(account)}/deposits{query}", expected)
        most = max(most, len(leaves))
        rows = [row for leaf in leaves for row in leaf.answer.page.get_rows("Deposits")]
        for row, deposit in zip(rows, deposits, strict=True):
            assert row[:4] == [
                encode_bytes(deposit.id), "+" + write(history, deposit.asset, deposit.amount), f"{deposit.block:,}",
                f"{deposit.epoch}",
            ]  # fmt: skip
    assert most > 2


async def test_a_cursor_that_is_none_is_refused(world: World, history: RandomLedger) -> None:
    address = encode_address(history.accounts[0])
    for query, named in (("before=x", "cursor"), ("limit=0", "limit"), ("limit=ten", "limit")):
        page = await read(world, f"/address/{address}/deposits?{query}", 400)
        assert named in page.text and not page.get_rows("Deposits")


# --- the proof


def get_source(page: Page) -> str | None:
    sources = [attributes["data-source"] for _, attributes in page.elements if "data-source" in attributes]
    return sources[0] if sources else None


async def test_before_anything_is_on_ethereum_there_is_nothing_to_prove(world: World, history: RandomLedger) -> None:
    path = f"/address/{encode_address(history.accounts[0])}/proof"
    world.send(history, 1, EpochState.SENT)
    page = await read(world, path)
    assert get_source(page) is None
    assert "No epoch is on Ethereum yet: nothing to prove against." in page.text
    page = await read(world, path + "?epoch=1", 400)
    assert get_source(page) is None and "No epoch is on Ethereum yet" in page.text


async def test_a_proof_is_of_the_asset_and_the_epoch_that_are_asked_for(world: World, history: RandomLedger) -> None:
    for epoch in range(1, 6):
        world.send(history, epoch, EpochState.MINED)
    address, asset = encode_address(history.accounts[0]), encode_address(history.assets[1])
    first = encode_address(history.assets[0])
    path, api = f"/address/{address}/proof", f"/api/v1/accounts/{address}/proof"
    for query, source in (
        ("", f"{api}?asset={first}&epoch=5"),
        ("?epoch=&asset=", f"{api}?asset={first}&epoch=5"),
        ("?epoch=1", f"{api}?asset={first}&epoch=1"),
        (f"?epoch=5&asset={asset.lower()}", f"{api}?asset={asset}&epoch=5"),
    ):
        assert get_source(await read(world, path + query)) == source


@pytest.mark.parametrize(
    "query", ["epoch=0", "epoch=6", "epoch=-1", "epoch=x", "epoch=" + "9" * 30, "epoch=١", "epoch=1.5"]
)
async def test_an_epoch_that_is_not_on_ethereum_is_refused(world: World, history: RandomLedger, query: str) -> None:
    for epoch in range(1, 6):
        world.send(history, epoch, EpochState.MINED)
    page = await read(world, f"/address/{encode_address(history.accounts[0])}/proof?{query}", 400)
    assert get_source(page) is None
    assert "Epoch: a number from 1 to 5" in page.text


async def test_an_asset_that_is_no_address_is_refused(world: World, history: RandomLedger) -> None:
    world.send(history, 1, EpochState.MINED)
    page = await read(world, f"/address/{encode_address(history.accounts[0])}/proof?asset=%3Cb%3E", 400)
    assert get_source(page) is None and "asset: an address is 0x and 40 hex digits" in page.text


async def test_who_has_nothing_may_still_ask(world: World, history: RandomLedger) -> None:
    world.send(history, 1, EpochState.MINED)
    page = await read(world, f"/address/{encode_address(STRANGER)}/proof")
    assert (get_source(page) or "").endswith(f"?asset={encode_address(history.assets[0])}&epoch=1")
