"""The data exchange in the REST interface, against the lists of everything that happened in it."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from chain.hashing import keccak
from chain.instruction import ListFile, SignedInstruction
from chain.kinds import PURCHASE
from chain.market import OWNER, ROLE_BITS
from chain.payment import SignedPayment
from chain.registry import AccountEntry, FileEntry, check_registry_proof
from chain.sealing import open_sealed_key, purchase_context
from chain.wire import decode_registry_proof, encode_address, encode_bytes
from explorer.api import rest
from explorer.headers import IMMUTABLE, LIVE, SETTLED
from explorer.sentences import describe_record
from node.catalogue import Catalogue
from node.ethereum.submission import EpochState
from tests.unit.explorer.conftest import World
from tests.unit.explorer.machines import commit, fetch, fetch_json
from tests.unit.explorer.market import (
    MarketLedger,
    describe_instruction,
    list_files,
    list_prices,
    list_registrations,
    sum_earnings,
)
from tests.unit.explorer.test_files import list_filters, list_payments
from tests.unit.explorer.test_rest import JUNK, give_proofs, walk

API = rest.PREFIX


def get_catalogue(world: World) -> Catalogue:
    """Whose forms JSON-RPC has."""
    catalogue: Catalogue = world.sources.get_purchase.__self__  # type: ignore[attr-defined]
    return catalogue


# --- files


async def test_files_are_those_of_json_rpc_by_every_filter(market: World, exchange: MarketLedger) -> None:
    catalogue = get_catalogue(market)
    for pairs, wanted in list_filters(exchange):
        items = await walk(market, f"{API}/files?{urlencode([*pairs, ('limit', '7')])}")
        assert items == [catalogue.describe_file(file) for file in wanted], pairs
    for file in list_files(exchange):
        answer = await fetch(market.explorer, f"{API}/files/{encode_bytes(file.id)}")
        assert msgspec.json.decode(answer.body) == catalogue.describe_file(file)
        assert answer.headers["cache-control"] == LIVE, "it may be sold again"
    oldest = await fetch_json(market.explorer, f"{API}/files?limit=100&status=all")
    back = await walk(market, f"{API}/files?limit=7&status=all", "newer", "0" * 16)
    assert {item["file"] for item in back} == {item["file"] for item in oldest["items"]}


async def test_prices_sales_and_instructions_of_a_file(market: World, exchange: MarketLedger) -> None:
    for file in list_files(exchange)[:12]:
        file_id = encode_bytes(file.id)
        prices: list[Any] = []
        path = f"{API}/files/{file_id}/prices?limit=2"
        while True:
            answer = await fetch_json(market.explorer, path)
            prices += answer["items"]
            if answer["older"] is None:
                break
            path = f"{API}/files/{file_id}/prices?limit=2&before={answer['older']}"
        assert prices == [
            {
                "price": hex(each.price), "block": hex(each.block), "index": hex(each.record),
                "timestamp": hex(each.timestamp),
            }
            for each in list_prices(exchange, file.id)
        ]  # fmt: skip
        sales = await walk(market, f"{API}/files/{file_id}/sales?limit=2")
        assert [sale["id"] for sale in sales] == list_payments(exchange, file, PURCHASE)
        assert sum([int(sale["total"], 16) for sale in sales]) == file.sold
        instructions = await walk(market, f"{API}/instructions?limit=2&file={file_id}")
        assert [each["id"] for each in instructions][-1] == encode_bytes(file.listing)
        assert all(each["file"] == file_id for each in instructions)


async def test_the_most_used_tags_come_first(market: World, exchange: MarketLedger) -> None:
    every = await fetch_json(market.explorer, f"{API}/tags?limit=1000")
    counts = [int(item["fileCount"], 16) for item in every["items"]]
    assert counts == sorted(counts, reverse=True) and min(counts) > 0
    few = await fetch_json(market.explorer, f"{API}/tags?limit=3")
    assert few["items"] == every["items"][:3]


async def test_a_purchase_has_its_receipt_and_the_key_that_only_the_buyer_can_open(
    market: World, exchange: MarketLedger
) -> None:
    listings = {
        placed.record.instruction.file: placed.record.instruction
        for placed in exchange.instructions
        if isinstance(placed.record, SignedInstruction) and isinstance(placed.record.instruction, ListFile)
    }
    with_key = 0
    for placed in exchange.payments:
        assert isinstance(placed.record, SignedPayment)
        payment = placed.record.payment
        if payment.kind != PURCHASE:
            continue
        path = f"{API}/files/{encode_bytes(payment.reference)}/purchases/{encode_address(payment.payer)}"
        answer = await fetch(market.explorer, path)
        assert answer.headers["cache-control"] == LIVE and "etag" not in answer.headers
        form = msgspec.json.decode(answer.body)
        assert form["receipt"]["id"] == encode_bytes(placed.record.id)
        assert form["receipt"] == msgspec.json.decode(
            msgspec.json.encode(await market.archive.get_receipt(placed.record.id))
        )
        assert (form["file"], form["buyer"]) == (encode_bytes(payment.reference), encode_address(payment.payer))
        listing = listings[payment.reference]
        assert (form["sealedKey"] is None) == (not listing.sealed_key)
        if listing.sealed_key:
            sealed = bytes.fromhex(form["sealedKey"][2:])
            context = purchase_context(exchange.parameters.domain, payment.reference, payment.payer)
            key = open_sealed_key(sealed, exchange.keys[payment.payer].secret, context)
            assert encode_bytes(keccak(key)) == form["keyHash"]
            with_key += 1
    assert with_key > 10
    file, stranger = list_files(exchange)[0], encode_address(exchange.validators[0])
    for path, status in (
        (f"{encode_bytes(file.id)}/purchases/{stranger}", 404), (f"0x{'7' * 64}/purchases/{stranger}", 404),
        (f"{encode_bytes(file.id)}/purchases/0x12", 400), ("x/purchases/" + stranger, 400),
    ):  # fmt: skip
        await fetch_json(market.explorer, f"{API}/files/{path}", status)


async def test_proofs_of_files_and_roles_hold(market: World, exchange: MarketLedger, tmp_path: Path) -> None:
    final = 4
    for epoch in range(1, max(exchange.sealed) + 1):
        market.send(exchange, epoch, EpochState.FINAL if epoch <= final else EpochState.MINED)
    last = max(exchange.sealed)
    file = next(file for file in reversed(list_files(exchange)) if file.epoch <= final)
    paths = {
        f"files/{encode_bytes(file.id)}/proof": FileEntry,
        f"accounts/{encode_address(exchange.validators[0])}/roles/proof": AccountEntry,
    }
    with give_proofs(market, exchange, tmp_path / "proofs.sqlite"):
        for path, kind in paths.items():
            for query, epoch in (
                ("", last),
                ("?epoch=latest", last),
                (f"?epoch={final}", final),
                (f"?epoch={last}", last),
            ):
                answer = await fetch(market.explorer, f"{API}/{path}{query}")
                form = msgspec.json.decode(answer.body)
                assert form["epoch"] == hex(epoch)
                proof = decode_registry_proof(form)
                check_registry_proof(proof, exchange.sealed[epoch][0].commitment.extra_root)
                assert isinstance(proof.entry, kind)
                assert answer.headers["cache-control"] == (IMMUTABLE if query == f"?epoch={final}" else LIVE)
            for query, status in (("?epoch=x", 400), (f"?epoch={last + 1}", 404), ("?asset=1", 400)):
                await fetch_json(market.explorer, f"{API}/{path}{query}", status)
        for path in (f"files/0x{'7' * 64}/proof", f"accounts/{'0x' + '11' * 20}/roles/proof"):
            await fetch_json(market.explorer, f"{API}/{path}", 404)


# --- instructions


async def test_instructions_say_what_the_ledger_says(market: World, exchange: MarketLedger) -> None:
    commitments = commit(market, exchange)
    files = {file.id: file for file in list_files(exchange)}
    tokens = market.explorer._site.tokens
    items = await walk(market, f"{API}/instructions?limit=100")
    for item, placed in zip(items, reversed(exchange.instructions), strict=True):
        each = describe_instruction(placed)
        assert item == {
            "id": encode_bytes(each.id),
            "status": commitments.compute_status(each.epoch),
            "block": hex(each.block),
            "index": hex(each.record),
            "timestamp": hex(each.timestamp),
            "epoch": hex(each.epoch),
            "type": each.type,
            "account": encode_address(each.account),
            "nonce": hex(each.nonce),
            "role": each.role,
            "validator": None if each.validator is None else encode_address(each.validator),
            "file": None if each.file is None else encode_bytes(each.file),
            "price": None if each.price is None else hex(each.price),
            "sentence": describe_record(each, tokens, files),
        }
    for placed in exchange.instructions[::9]:
        path = f"{API}/instructions/{encode_bytes(placed.record.id)}"
        is_final = placed.epoch <= commitments.final_epoch
        answer = await fetch(market.explorer, path)
        assert answer.headers["cache-control"] == (SETTLED if is_final else LIVE)
        form = msgspec.json.decode(answer.body)
        (item,) = [item for item in items if item["id"] == form["id"]]
        assert {name: form[name] for name in item} == item
        receipt = await fetch(market.explorer, f"{path}/receipt")
        assert receipt.headers["cache-control"] == (IMMUTABLE if is_final else LIVE)
        by_rpc = msgspec.json.decode(msgspec.json.encode(await market.archive.get_receipt(placed.record.id)))
        assert msgspec.json.decode(receipt.body) == by_rpc
        assert (form["signature"], form["validUntil"]) == (by_rpc["signature"], by_rpc["instruction"]["validUntil"])
        assert (form["l1Transaction"] is None) == (by_rpc["commitment"] is None)
    account = exchange.validators[0]
    mine = await walk(market, f"{API}/accounts/{encode_address(account)}/instructions?limit=9")
    assert mine == [item for item in items if item["account"] == encode_address(account)]


async def test_records_of_a_block_hold_instructions_too(market: World, exchange: MarketLedger) -> None:
    for number in sorted({placed.block for placed in exchange.instructions})[::5]:
        answer = await fetch_json(market.explorer, f"{API}/blocks/{number}/records?limit=100")
        placed = [placed for placed in exchange.records if placed.block == number]
        assert [record[record["type"]]["id"] for record in answer["items"]] == [
            encode_bytes(each.record.id) for each in placed
        ]
        kinds = ["instruction" if isinstance(each.record, SignedInstruction) else None for each in placed]
        assert [record["type"] if kind else None for record, kind in zip(answer["items"], kinds, strict=True)] == kinds


# --- who takes part


async def test_roles_owners_and_earnings(market: World, exchange: MarketLedger) -> None:
    everybody = list_registrations(exchange)

    def describe(each: Any) -> dict[str, Any]:
        return {
            "account": encode_address(each.account),
            "role": each.role,
            "validator": None if each.validator is None else encode_address(each.validator),
            "namedOnly": each.is_named_only,
            "block": hex(each.block),
            "timestamp": hex(each.timestamp),
        }

    for role in ("", *ROLE_BITS):
        wanted = [describe(each) for each in everybody if role in ("", each.role)]
        assert await walk(market, f"{API}/registrations?limit=3&role={role}") == wanted
        assert (await fetch_json(market.explorer, f"{API}/registrations?role={role}"))["count"] == hex(len(wanted))
    order = list(ROLE_BITS)
    for account in [*exchange.keys, b"\x01" * 20]:
        address = encode_address(account)
        mine = sorted([each for each in everybody if each.account == account], key=lambda each: order.index(each.role))
        owners = [each for each in everybody if each.validator == account]
        answer = await fetch_json(market.explorer, f"{API}/accounts/{address}/roles")
        assert answer == {
            "address": address, "roles": [describe(each) for each in mine], "ownerCount": hex(len(owners)),
        }  # fmt: skip
        assert await walk(market, f"{API}/accounts/{address}/owners?limit=2") == [describe(each) for each in owners]
        shown = await fetch_json(market.explorer, f"{API}/accounts/{address}")
        assert shown["roles"] == [each.role for each in mine]
        validators = [encode_address(each.validator) for each in mine if each.validator is not None]
        assert shown["ownerUnder"] == (validators[0] if validators else None)
        earned = await fetch_json(market.explorer, f"{API}/accounts/{address}/earnings")
        assert sorted([tuple(item.values()) for item in earned["items"]]) == sorted(
            [
                (encode_address(each.asset), each.part, hex(each.count), hex(each.amount))
                for each in sum_earnings(exchange, account)
            ]
        )
        for role, attribute in (("validator", "validator"), (OWNER, "owner"), ("service_node", "service_node")):
            files = await walk(market, f"{API}/accounts/{address}/files?limit=9&as={role}")
            assert [item["file"] for item in files] == [
                encode_bytes(file.id) for file in list_files(exchange) if getattr(file, attribute) == account
            ]


# --- what is refused


@pytest.mark.parametrize(
    "path",
    [
        f"files/0x{'7' * 64}", f"files/0x{'7' * 64}/prices", f"files/0x{'7' * 64}/sales", f"instructions/0x{'7' * 64}",
        f"instructions/0x{'7' * 64}/receipt",
    ],
)  # fmt: skip
async def test_what_is_not_there_is_not_found(market: World, path: str) -> None:
    assert (await fetch_json(market.explorer, f"{API}/{path}", 404))["error"]["code"] == "not_found"


async def test_a_payment_is_no_instruction_and_no_file(market: World, exchange: MarketLedger) -> None:
    payment, instruction = [encode_bytes(each[0].record.id) for each in (exchange.payments, exchange.instructions)]
    for path in (
        f"instructions/{payment}", f"instructions/{payment}/receipt", f"payments/{instruction}",
        f"payments/{instruction}/receipt", f"payments/{instruction}/proof", f"files/{payment}",
        f"deposits/{instruction}",
    ):  # fmt: skip
        assert (await fetch_json(market.explorer, f"{API}/{path}", 404))["error"]["code"] == "not_found"


async def test_junk_is_refused_by_name(market: World, exchange: MarketLedger) -> None:
    listed = ("before", "limit")
    address, file = encode_address(exchange.validators[0]), encode_bytes(list_files(exchange)[0].id)
    queries = {
        "files": ("validator", "owner", "serviceNode", "asset", "status", "after", *listed),
        f"files/{file}/prices": listed,
        f"files/{file}/sales": (*listed, "after"),
        "tags": ("limit",),
        "registrations": ("role", "validator", "after", *listed),
        "instructions": ("account", "file", "after", *listed),
        f"accounts/{address}/owners": listed,
        f"accounts/{address}/files": ("as", *listed),
        f"accounts/{address}/instructions": listed,
    }
    table = [(f"{path}?{name}={junk}", name) for path, names in queries.items() for name in names for junk in JUNK]
    table += [(f"{path}/{junk}", "") for path in ("files", "instructions") for junk in JUNK if junk != "%00"]
    table += [
        (f"accounts/{junk}/{part}", "address") for part in ("roles", "earnings") for junk in JUNK if junk != "%00"
    ]
    table += [("files?q=a&q=b", "q"), ("files?x=1", "x"), ("files?" + "&".join([f"tag={n}" for n in range(9)]), "tag")]
    for path, name in table:
        error = (await fetch_json(market.explorer, f"{API}/{path}", 400))["error"]
        assert error["code"] == "malformed_request", path
        assert name in error["message"] or "cursor" in error["message"], (path, error)


async def test_search_finds_what_is_named_or_files_with_the_words(market: World, exchange: MarketLedger) -> None:
    file, instruction = list_files(exchange)[0], exchange.instructions[0]
    for words, paths, files in (
        (encode_bytes(file.id), [f"/file/{encode_bytes(file.id)}"], 0),
        (encode_bytes(instruction.record.id), [f"/instruction/{encode_bytes(instruction.record.id)}"], 0),
        ("weather", [], 5),
        ("no such thing", [], 0),
    ):
        answer = await fetch_json(market.explorer, f"{API}/search?{urlencode({'q': words})}")
        assert [match["path"] for match in answer["matches"]] == paths
        assert len(answer["files"]) == files
