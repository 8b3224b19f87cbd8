"""Who takes part in the data exchange, and what an account has to do with it."""

import pytest

from chain.kinds import EXTEND, PURCHASE, UPLOAD
from chain.market import MART, OWNER, ROLE_BITS, SERVICE_NODE, VALIDATOR
from chain.primitives import Address
from chain.wire import encode_address, encode_bytes
from explorer.formatting import shorten_name
from explorer.sentences import list_changes
from node.ethereum.submission import EpochState
from node.index import Direction, PaymentFilter, Registration
from tests.unit.explorer.conftest import World
from tests.unit.explorer.machines import fetch
from tests.unit.explorer.market import MarketLedger, list_files, list_registrations, sum_earnings
from tests.unit.explorer.reading import Page
from tests.unit.explorer.test_files import show, write
from tests.unit.explorer.turning import check_both_ways, turn
from tests.unit.node.index.oracle import list_wanted

PARTS = {
    "validator": "as the validator, from sales",
    "owner": "as the owner, from sales",
    "service_node": "as the service node, from sales",
    "storage": "for storage, from uploads and extensions",
}
TABS = {
    "files": {VALIDATOR, OWNER, SERVICE_NODE},
    "uploads": {VALIDATOR, SERVICE_NODE},
    "purchases": {MART},
    "sales": {VALIDATOR, OWNER, SERVICE_NODE},
    "earnings": {VALIDATOR, OWNER, SERVICE_NODE},
    "owners": {VALIDATOR},
    "instructions": set(ROLE_BITS),
}


async def read(world: World, path: str, status: int = 200) -> Page:
    answer = await fetch(world.explorer, path)
    assert answer.status == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.page


def get_people(exchange: MarketLedger) -> list[Address]:
    """Everybody, and somebody who never came."""
    return [*exchange.keys, b"\x01" * 20]


# --- all of them


async def test_everybody_is_listed_by_role_and_counted(market: World, exchange: MarketLedger) -> None:
    everybody = list_registrations(exchange)
    assert {each.role for each in everybody} == set(ROLE_BITS)
    assert {each.is_named_only for each in everybody} == {True, False}
    for role in ("", *ROLE_BITS):
        wanted = [each for each in everybody if role in ("", each.role)]
        rows = []
        path = f"/participants?limit=4&role={role}"
        for leaf in await turn(market, path):
            rows += leaf.answer.page.get_rows("Participants")
            assert all(f"role={role}" in link for link in leaf.links.values()) or not role
        assert len(rows) == len(wanted)
        for row, each in zip(rows, wanted, strict=True):
            check_row(row, each, everybody)
        page = await read(market, path)
        counts = {name: value for name, value in page.pairs if name.endswith("s")}
        assert {name: int(counts[f"{name.replace('_', ' ').capitalize()}s"]) for name in ROLE_BITS} == {
            name: len([each for each in everybody if each.role == name]) for name in ROLE_BITS
        }


def check_row(row: list[str], each: Registration, everybody: list[Registration]) -> None:
    assert row[0] == encode_address(each.account)
    owners = [other for other in everybody if other.validator == each.account]
    role = each.role.replace("_", " ")
    counted = f"validator of {len(owners)} owner{'s' * (len(owners) != 1)}"
    assert row[1] == (counted if role == "validator" else role)
    named = " named by it, has not signed" if each.is_named_only else ""
    assert row[2] == ("–" if each.validator is None else encode_address(each.validator) + named)
    assert row[3] == f"{each.block:,}"


@pytest.mark.parametrize(
    ("query", "named"), [("role=king", "role"), ("role=%3Cb%3E", "role"), ("before=x", "cursor"), ("limit=0", "limit")]
)
async def test_a_role_that_is_none_is_refused(market: World, query: str, named: str) -> None:
    assert named in (await read(market, f"/participants?{query}", 400)).text


async def test_a_ledger_without_an_exchange_says_so(world: World) -> None:
    page = await read(world, "/participants")
    assert "Nobody yet." in page.text
    assert "No files yet." in (await read(world, "/files")).text
    assert "No instructions." in (await read(world, "/instructions")).text


# --- an account


async def test_an_account_shows_its_roles_and_the_tabs_that_go_with_them(market: World, exchange: MarketLedger) -> None:
    everybody = list_registrations(exchange)
    for account in get_people(exchange):
        address = encode_address(account)
        mine = {each.role: each for each in everybody if each.account == account}
        page = await read(market, f"/address/{address}")
        for role, each in mine.items():
            owners = len([other for other in everybody if other.validator == account])
            said = role.replace("_", " ")
            if role == VALIDATOR:
                said += f" with {owners} owner{'s' * (owners != 1)}"
            if each.validator is not None:
                said += f" of {encode_address(each.validator)}"
            if each.is_named_only:
                said += ", who named it in a listing: its own signature may still choose another"
            assert f"{said} since block {each.block:,}" in page.text
        links = [link for _, link in page.links]
        for tab, roles in TABS.items():
            assert (f"/address/{address}/{tab}" in links) == bool(roles & set(mine))
        order = [
            link.rpartition("/")[2] for link in links if link.startswith(f"/address/{address}/") and "?" not in link
        ]
        assert order == [*[tab for tab, roles in TABS.items() if roles & set(mine)], "deposits", "statement", "proof"]


async def test_every_tab_answers_for_everybody(market: World, exchange: MarketLedger) -> None:
    for account in get_people(exchange):
        for tab in TABS:
            page = await read(market, f"/address/{encode_address(account)}/{tab}")
            marked = [attributes["href"] for _, attributes in page.elements if attributes.get("aria-current") == "page"]
            assert marked == [f"/address/{encode_address(account)}/{tab}"], "the tab that is shown is among the tabs"


async def test_uploads_purchases_and_sales_are_those_of_the_ledger(market: World, exchange: MarketLedger) -> None:
    names = {file.id: file.name for file in list_files(exchange)}
    found = set()
    for account in (*exchange.validators[:2], *exchange.marts[:2], *exchange.nodes, *exchange.owners[:2], b"\x01" * 20):
        for path, label, wanted in (
            ("uploads?", "Uploads", PaymentFilter(account=account, kind=UPLOAD)),
            ("uploads?kind=extend&", "Uploads", PaymentFilter(account=account, kind=EXTEND)),
            ("purchases?", "Purchases", PaymentFilter(account=account, kind=PURCHASE, direction=Direction.OUT)),
            ("sales?", "Sales", PaymentFilter(account=account, kind=PURCHASE, direction=Direction.IN)),
        ):
            payments = list_wanted(exchange, wanted)
            keys = [encode_bytes(payment.id) for payment in payments]
            leaves = await check_both_ways(market, f"/address/{encode_address(account)}/{path}limit=11", keys)
            rows = [row for leaf in leaves for row in leaf.answer.page.get_rows(label)]
            for row, payment in zip(rows, payments, strict=True):
                (change,) = [line.change for line in list_changes(payment) if line.account == account]
                sign = "+" if change > 0 else "−" if change < 0 else ""
                assert row[4] == sign + write(exchange, payment.asset, abs(change))
                kind = {UPLOAD: "Upload", EXTEND: "Extension", PURCHASE: "Purchase"}[payment.kind]
                assert row[0] == show(kind + shorten_name(names[payment.reference]))
            found.add((path, bool(payments)))
            page = leaves[0].answer.page
            assert f"kind={wanted.kind}" in page.get_link("CSV") and encode_address(account) in page.get_link("JSON")
    assert len(found) == 8


async def test_earnings_add_up_to_what_the_rules_paid(market: World, exchange: MarketLedger) -> None:
    seen = set()
    for account in get_people(exchange):
        page = await read(market, f"/address/{encode_address(account)}/earnings")
        rows = page.get_rows("Earnings")
        earned = sum_earnings(exchange, account)
        totals: dict[bytes, int] = {}
        for each in earned:
            totals[each.asset] = totals.get(each.asset, 0) + each.amount
            seen.add(each.part)
        wanted = [
            [
                name_asset(exchange, each.asset),
                PARTS[each.part],
                f"{each.count:,}",
                f"+{write(exchange, each.asset, each.amount)}",
            ]
            for each in earned
        ]
        sums = [
            [name_asset(exchange, asset), "in all", "", f"+{write(exchange, asset, total)}"]
            for asset, total in totals.items()
        ]
        assert sorted(rows) == sorted([*wanted, *sums])
        assert bool(earned) != ("has earned nothing" in page.text)
        for label, kinds in (("Last sales", (PURCHASE,)), ("Last payments for storage", (UPLOAD, EXTEND))):
            payments = [
                payment
                for payment in list_wanted(exchange, PaymentFilter(account=account, direction=Direction.IN))
                if payment.kind in kinds
            ]
            assert [row[1] for row in page.get_rows(label)] == [encode_bytes(payment.id) for payment in payments[:10]]
    assert seen == set(PARTS)


def name_asset(exchange: MarketLedger, asset: bytes) -> str:
    return write(exchange, asset, 0).split(" ")[1]


async def test_the_owners_of_a_validator_and_the_files_of_each_role(market: World, exchange: MarketLedger) -> None:
    everybody = list_registrations(exchange)
    everything = list_files(exchange)
    for account in get_people(exchange):
        address = encode_address(account)
        owners = [each for each in everybody if each.validator == account]
        page = await read(market, f"/address/{address}/owners?limit=100")
        assert [row[0] for row in page.get_rows("Owners")] == [encode_address(each.account) for each in owners]
        said = (
            "1 owner belongs to this validator."
            if len(owners) == 1
            else f"{len(owners)} owners belong to this validator."
        )
        assert (said in page.text) == bool(owners)
        for role, attribute in ((VALIDATOR, "validator"), (OWNER, "owner"), (SERVICE_NODE, "service_node")):
            wanted = [encode_bytes(file.id) for file in everything if getattr(file, attribute) == account]
            await check_both_ways(market, f"/address/{address}/files?limit=6&as={role}", wanted)
    page = await read(market, f"/address/{encode_address(exchange.validators[0])}/files?as=mart", 400)
    assert "as: one of: validator owner service_node" in page.text
    assert (
        "kind" in (await read(market, f"/address/{encode_address(exchange.validators[0])}/uploads?kind=tip", 400)).text
    )


async def test_the_roles_of_an_account_are_proven_beside_its_balance(market: World, exchange: MarketLedger) -> None:
    for epoch in range(1, 5):
        market.send(exchange, epoch, EpochState.MINED)
    for account in (exchange.validators[0], b"\x01" * 20):
        path = f"/api/v1/accounts/{encode_address(account)}"
        for query, epoch in (("", 4), ("?epoch=2", 2)):
            page = await read(market, f"/address/{encode_address(account)}/proof{query}")
            sources = [attributes["data-source"] for _, attributes in page.elements if "data-source" in attributes]
            assert sources[0] == f"{path}/proof?asset={encode_address(exchange.assets[0])}&epoch={epoch}"
            assert sources[1:] == ([f"{path}/roles/proof?epoch={epoch}"] if account in exchange.keys else [])


@pytest.mark.parametrize("text", ["0x12", "x", "1" * 40])
async def test_what_is_no_address_is_not_found(market: World, text: str) -> None:
    for tab in TABS:
        assert (await fetch(market.explorer, f"/address/{text}/{tab}")).status == 404
