"""The page of an instruction says what was signed and how far it is, and the list has each of them once."""

from typing import Any

import pytest

from chain.instruction import ListFile, SignedInstruction
from chain.market import ROLE_BITS
from chain.primitives import ZERO_HASH
from chain.wire import encode_address, encode_bytes, encode_instruction
from explorer.formatting import format_time, make_visible
from explorer.headers import LIVE, SETTLED
from explorer.rendering import load_pages
from explorer.sentences import NAMES_OF_ROLES
from node.ethereum.submission import EpochState
from node.ledger_info import AssetInfo
from tests.unit.explorer.conftest import World
from tests.unit.explorer.machines import commit, fetch
from tests.unit.explorer.market import MarketLedger, describe_instruction, list_files
from tests.unit.explorer.reading import Page
from tests.unit.explorer.test_files import write
from tests.unit.explorer.turning import check_both_ways
from tests.unit.node.index.history import PlacedRecord

TITLES = {
    "Register": "Registration", "RegisterOwner": "Registration", "ListFile": "Listing", "UpdatePrice": "Price change",
    "Delist": "Delisting",
}  # fmt: skip


async def read(world: World, placed: PlacedRecord) -> Page:
    answer = await fetch(world.explorer, f"/instruction/{encode_bytes(placed.record.id)}")
    assert answer.status == 200, answer.text
    return answer.page


async def test_every_instruction_says_what_was_signed_and_where_it_stands(
    market: World, exchange: MarketLedger
) -> None:
    commitments = commit(market, exchange)
    assets = {file.id: file.asset for file in list_files(exchange)}
    seen = set()
    for placed in exchange.instructions:
        signed = placed.record
        assert isinstance(signed, SignedInstruction)
        form = encode_instruction(signed.instruction)
        page = await read(market, placed)
        for name, value in {
            "Type": form["type"],
            "Account": form["account"],
            "Nonce": f"{signed.instruction.nonce:,}",
            "Valid until": "for ever",
            "Instruction id": encode_bytes(signed.id),
            "Status": commitments.compute_status(placed.epoch),
            "Block": f"{placed.block:,}, record {placed.index}",
            "Epoch": f"{placed.epoch}",
            "Signature": encode_bytes(signed.signature),
        }.items():
            assert page.get_pair(name) == value
        assert page.get_pair("Time").startswith(format_time(placed.timestamp))
        assert TITLES[form["type"]] in page.text
        assert page.get_marks()[0] == "done" and "receipt signed" in page.get_step("Accepted")
        if "role" in form:
            assert page.get_pair("Role") == NAMES_OF_ROLES[form["role"]]
        if "validator" in form:
            assert page.get_pair("Validator") == form["validator"]
        if "file" in form:
            assert page.get_pair("File") == form["file"]
        if "price" in form:
            price = int(form["price"], 16)
            amount = write(exchange, assets[signed.instruction.file], price)  # type: ignore[union-attr]
            assert page.get_pair("Price") == f"{amount} {price:,} base units"
        if isinstance(signed.instruction, ListFile):
            check_listing(page, signed.instruction)
        (section,) = [attributes for _, attributes in page.elements if "data-source" in attributes]
        assert section["data-source"] == f"/api/v1/instructions/{encode_bytes(signed.id)}/receipt"
        seen.add((form["type"], form.get("role")))
    assert len(seen) == 7


def check_listing(page: Page, listing: ListFile) -> None:
    for name, value in {
        "Owner": encode_address(listing.owner),
        "Name": make_visible(listing.name),
        "Type of the content": make_visible(listing.media_type) or "not said",
        "Description": make_visible(listing.description) or "none",
        "Size": f"{listing.size:,} byte" + "s" * (listing.size != 1),
        "Storage": f"{listing.storage_days:,} day" + "s" * (listing.storage_days != 1),
        "Content hash": f"{encode_bytes(listing.content_hash)} SHA-256",
        "Key hash": "none: the content is not encrypted"
        if listing.key_hash == ZERO_HASH
        else encode_bytes(listing.key_hash),
        "Sealed key": "there is one, sealed to the escrow" if listing.sealed_key else "none",
    }.items():
        assert page.get_pair(name) == " ".join(value.split()), name
    assert all(" ".join(make_visible(tag).split()) in page.get_pair("Tags") for tag in listing.tags)
    assert encode_address(listing.asset) in page.get_pair("Asset")


async def test_all_of_them_are_listed_once_on_both_ways(market: World, exchange: MarketLedger) -> None:
    everything = [describe_instruction(placed) for placed in reversed(exchange.instructions)]
    file, validator = list_files(exchange)[5], exchange.validators[0]
    for query, wanted in (
        ("", everything),
        ("&account=&file=", everything),
        (f"&account={encode_address(validator).lower()}", [each for each in everything if each.account == validator]),
        (f"&file={encode_bytes(file.id)}", [each for each in everything if each.file == file.id]),
        (
            f"&account={encode_address(file.validator)}&file={encode_bytes(file.id)}",
            [each for each in everything if each.file == file.id],
        ),
        (f"&account={encode_address(exchange.marts[0])}&file={encode_bytes(file.id)}", []),
        (f"&file={'0x' + '77' * 32}", []),
    ):
        keys = [encode_bytes(each.id) for each in wanted]
        leaves = await check_both_ways(market, f"/instructions?limit=20{query}", keys)
        assert bool(wanted) != ("No instructions." in leaves[0].answer.text)
        if "account=&" not in query:
            parts = [part for part in query.split("&") if part]
            assert all(part in link for leaf in leaves for link in leaf.links.values() for part in parts)
    keys = [encode_bytes(each.id) for each in everything if each.account == validator]
    await check_both_ways(market, f"/address/{encode_address(validator)}/instructions?limit=9", keys)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("account=0x12", "account"),
        ("file=x", "file"),
        ("before=x", "cursor"),
        ("limit=0", "limit"),
        ("after=1", "cursor"),
    ],
)
async def test_a_value_that_is_none_is_refused(market: World, query: str, named: str) -> None:
    answer = await fetch(market.explorer, f"/instructions?{query}")
    assert answer.status == 400 and named in answer.page.text


async def test_what_is_final_is_the_same_page_at_any_time(market: World, exchange: MarketLedger) -> None:
    """Whatever becomes of its file later."""
    final = 3
    for epoch in range(1, final + 1):
        market.send(exchange, epoch, EpochState.FINAL)
    for placed in exchange.instructions:
        path = f"/instruction/{encode_bytes(placed.record.id)}"
        before = await fetch(market.explorer, path)
        assert before.headers["cache-control"] == (SETTLED if placed.epoch <= final else LIVE)
        if placed.epoch > final:
            continue
        market.now += 86_400_000 * 400
        market.fail("unready", "watcher")
        after = await fetch(market.explorer, path)
        assert (after.body, after.headers) == (before.body, before.headers)
        assert (await fetch(market.explorer, path, if_none_match=before.headers["etag"])).status == 304
        assert "expired" not in before.page.text and "ago" not in before.page.text.split()
    market.info.take_asset(exchange.token, AssetInfo(None, None))
    priced = [each for each in map(describe_instruction, exchange.instructions) if each.price and each.epoch <= final]
    assets = {file.id: file.asset for file in list_files(exchange)}
    for instruction in priced:
        answer = await fetch(market.explorer, f"/instruction/{encode_bytes(instruction.id)}")
        assert instruction.file is not None
        is_known = assets[instruction.file] != exchange.token
        assert answer.headers["cache-control"] == (SETTLED if is_known else LIVE), "the token may still say its name"


async def test_an_instruction_is_found_among_payments_and_no_payment_among_instructions(
    market: World, exchange: MarketLedger
) -> None:
    instruction, payment = [
        encode_bytes(records[0].record.id) for records in (exchange.instructions, exchange.payments)
    ]
    answer = await fetch(market.explorer, f"/tx/{instruction}")
    assert (answer.status, answer.headers["location"]) == (303, f"/instruction/{instruction}")
    for path in (
        f"/instruction/{payment}",
        "/instruction/0x12",
        f"/instruction/0x{'7' * 64}",
        f"/tx/{instruction}/receipt",
    ):
        answer = await fetch(market.explorer, path)
        assert answer.status == 404 and "There is nothing at this address." in answer.page.text


async def test_blocks_list_instructions_with_the_rest(market: World, exchange: MarketLedger) -> None:
    blocks = {placed.block for placed in exchange.instructions}
    for number in sorted(blocks)[:40]:
        page = (await fetch(market.explorer, f"/block/{number}")).page
        placed_here = [placed for placed in exchange.records if placed.block == number]
        rows = page.get_rows("records")
        assert [row[2] for row in rows] == [encode_bytes(placed.record.id) for placed in placed_here]
        for placed in placed_here:
            is_instruction = isinstance(placed.record, SignedInstruction)
            part = "instruction" if is_instruction else "tx"
            assert f"/{part}/{encode_bytes(placed.record.id)}" in [link for _, link in page.links]
    uploads = [placed for placed in exchange.payments if placed.record.payment.kind == "upload"]  # type: ignore[union-attr]
    page = (await fetch(market.explorer, f"/block/{uploads[0].block}")).page
    assert " listed “" in page.text and " uploaded “" in page.text


def test_every_type_and_role_has_a_name() -> None:
    filters: Any = load_pages()._environment.filters
    for name, title in TITLES.items():
        assert filters["type"](name) == title
    for role in ROLE_BITS:
        assert filters["role"](role) == role.replace("_", " ")
