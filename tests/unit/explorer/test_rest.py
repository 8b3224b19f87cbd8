"""The REST interface against the lists of everything that happened, and against its own document."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from chain.block import Deposit
from chain.errors import Refusal
from chain.evidence import check_account_proof
from chain.kinds import KIND_CODES
from chain.primitives import ETHER
from chain.wire import decode_account_proof, encode_address, encode_bytes
from explorer.api import rest
from explorer.headers import IMMUTABLE, LIVE, SETTLED
from explorer.sentences import describe_record
from explorer.site import Tokens
from node.ethereum.l1 import L1Block
from node.ethereum.reserves import AssetReserves, Fault, FaultKind, Reading, Reserves
from node.ledger_info import AssetInfo
from node.proofs import ProofReader, ProofWriter
from node.refusals import Overloaded
from tests.unit.explorer.conftest import World
from tests.unit.explorer.machines import commit, fetch, fetch_json, make_queries
from tests.unit.explorer.market import MarketLedger, describe_instruction
from tests.unit.node.index.history import RandomLedger
from tests.unit.node.index.oracle import describe, describe_deposit, make_entries

API = rest.PREFIX
JUNK = ["zz", "-1", "0x", "0x" + "g" * 40, "0x" + "1" * 39, "1e9", "١", "%00", "null", "9" * 30]
QUERIES = 60


@pytest.fixture
def proofs(world: World, history: RandomLedger, tmp_path: Path) -> Iterator[None]:
    with give_proofs(world, history, tmp_path / "proofs.sqlite"):
        yield


@pytest.fixture
def market_proofs(market: World, exchange: MarketLedger, tmp_path: Path) -> Iterator[None]:
    with give_proofs(market, exchange, tmp_path / "proofs.sqlite"):
        yield


@contextmanager
def give_proofs(world: World, ledger: RandomLedger, path: Path) -> Iterator[None]:
    """The sealer's file, for an archive that was made without."""
    writer = ProofWriter(path, ledger.parameters.genesis_hash)
    for sealed, _ in ledger.sealed.values():
        writer.write(sealed)
    writer.close()
    reader = ProofReader(path)
    world.archive._proofs = reader
    yield
    reader.close()


async def walk(world: World, path: str, way: str = "older", start: str = "") -> list[Any]:
    """All items of a list, from answer to answer: `older` from the newest on, `newer` from where `start` says."""
    parameter = {"older": "before", "newer": "after"}[way]
    items: list[Any] = []
    cursor = start
    for _ in range(500):
        joint = "&" if "?" in path else "?"
        answer = await fetch_json(world.explorer, f"{path}{joint}{parameter}={cursor}" if cursor else path)
        items = items + answer["items"] if way == "older" else answer["items"] + items
        cursor = answer[way]
        if cursor is None:
            return items
    raise AssertionError("a list without end")


# --- payments


async def test_every_filter_lists_what_happened_over_all_pages(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    found = 0
    for query, payments in make_queries(history, commitments, QUERIES):
        items = await walk(world, f"{API}/payments?limit=7&{query}")
        assert [item["id"] for item in items] == [encode_bytes(payment.id) for payment in payments], query
        found += len(items)
    assert found > 1000


async def test_the_way_back_shows_each_payment_once(world: World, history: RandomLedger) -> None:
    oldest = await fetch_json(world.explorer, f"{API}/payments?limit=1")
    while oldest["older"] is not None:
        oldest = await fetch_json(world.explorer, f"{API}/payments?limit=10&before={oldest['older']}")
    items = await walk(world, f"{API}/payments?limit=10", "newer", oldest["newer"])
    shown = [encode_bytes(payment.id) for payment in map(describe, reversed(history.payments))]
    # The newest answer is whole, so it may show again what the one before it has shown.
    assert [item["id"] for item in items][: len(shown)][:10] == shown[:10]
    assert set(shown) == {item["id"] for item in items + oldest["items"]}


async def test_an_item_says_what_the_ledger_says(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    items = await walk(world, f"{API}/payments?limit=100")
    tokens = Tokens(dict(world.info.assets))
    for item, placed in zip(items, reversed(history.payments), strict=True):
        payment = describe(placed)
        assert item == {
            "id": encode_bytes(payment.id),
            "status": commitments.compute_status(payment.epoch),
            "block": hex(payment.block),
            "index": hex(payment.record),
            "timestamp": hex(payment.timestamp),
            "epoch": hex(payment.epoch),
            "kind": payment.kind,
            "asset": encode_address(payment.asset),
            "from": encode_address(payment.payer),
            "nonce": hex(payment.nonce),
            "total": hex(payment.total),
            "outputs": [{"to": encode_address(output.to), "amount": hex(output.amount)} for output in payment.outputs],
            "reference": encode_bytes(payment.reference),
            "memo": payment.memo,
            "fileName": None,
            "sentence": describe_record(payment, tokens),
        }
    assert {item["status"] for item in items} == {"accepted", "committed", "final"}


async def test_a_payment_in_full_adds_up_and_has_the_evidence_that_json_rpc_has(
    world: World, history: RandomLedger
) -> None:
    commit(world, history)
    for placed in history.payments[::17]:
        payment_id = placed.record.id
        item = await fetch_json(world.explorer, f"{API}/payments/{encode_bytes(payment_id)}")
        by_rpc = await world.archive.get_payment(payment_id)
        assert {name: item[name] for name in by_rpc if name in item} == {
            name: value for name, value in by_rpc.items() if name != "payment"
        }
        changes = sum([int(party["change"], 16) for party in item["parties"]])
        assert changes == (-int(item["total"], 16) if item["kind"] == "withdraw" else 0)
        receipt = await fetch_json(world.explorer, f"{API}/payments/{item['id']}/receipt")
        assert receipt == msgspec.json.decode(msgspec.json.encode(await world.archive.get_receipt(payment_id)))
        proof = await fetch_json(world.explorer, f"{API}/payments/{item['id']}/proof")
        assert proof == msgspec.json.decode(msgspec.json.encode(await world.archive.prove_payment(payment_id)))


async def test_what_is_final_is_kept_and_not_sent_twice(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    kept = {"": SETTLED, "/receipt": IMMUTABLE, "/proof": IMMUTABLE}
    for placed in history.payments[::17]:
        is_final = placed.epoch <= commitments.final_epoch
        for part, how in kept.items():
            path = f"{API}/payments/{encode_bytes(placed.record.id)}{part}"
            answer = await fetch(world.explorer, path)
            assert answer.headers["cache-control"] == (how if is_final else LIVE)
            assert ("etag" in answer.headers) == is_final
            if is_final:
                again = await fetch(world.explorer, path, if_none_match=f'"other", W/{answer.headers["etag"]}')
                assert (again.status, again.body) == (304, b"")
                assert again.headers["etag"] == answer.headers["etag"]
                assert (await fetch(world.explorer, path, if_none_match='"other"')).body == answer.body


async def test_a_sentence_without_decimals_is_not_kept(world: World, history: RandomLedger) -> None:
    """The token has not been asked yet: its amounts will be said in other words."""
    commitments = commit(world, history)
    placed = next(
        placed
        for placed in history.payments
        if describe(placed).asset != ETHER and placed.epoch <= commitments.final_epoch
    )
    world.info.take_asset(describe(placed).asset, AssetInfo(None, None))
    path = f"{API}/payments/{encode_bytes(placed.record.id)}"
    assert (await fetch(world.explorer, path)).headers["cache-control"] == LIVE
    assert (await fetch(world.explorer, f"{path}/receipt")).headers["cache-control"] == IMMUTABLE


# --- deposits and accounts


async def test_deposits_of_all_and_of_each(world: World, history: RandomLedger) -> None:
    for account in (None, *history.accounts[:3]):
        wanted = [
            placed
            for placed in reversed(history.deposits)
            if isinstance(placed.record, Deposit) and account in (None, placed.record.account)
        ]
        path = f"{API}/deposits?limit=4" + ("" if account is None else f"&account={encode_address(account)}")
        items = await walk(world, path)
        assert [item["id"] for item in items] == [encode_bytes(placed.record.id) for placed in wanted]
    for placed in history.deposits[::9]:
        deposit = describe_deposit(placed)
        item = await fetch_json(world.explorer, f"{API}/deposits/{encode_bytes(deposit.id)}")
        assert (item["account"], item["amount"]) == (encode_address(deposit.account), hex(deposit.amount))
        assert (item["block"], item["record"], item["index"]) == (
            hex(deposit.block), hex(deposit.record), hex(deposit.index),
        )  # fmt: skip


async def test_an_account_and_its_statements(world: World, history: RandomLedger) -> None:
    for account in history.accounts[:4]:
        shown = await fetch_json(world.explorer, f"{API}/accounts/{encode_bytes(account)}")
        assert shown["address"] == encode_address(account)
        holdings = {line["asset"]: line for line in shown["holdings"]}
        for asset in history.assets:
            entries = list(make_entries(history, account, asset))
            path = f"{API}/accounts/{encode_bytes(account)}/statement?asset={encode_bytes(asset)}"
            got, cursor = [], ""
            for _ in range(100):
                answer = await fetch_json(world.explorer, f"{path}&limit=5&cursor={cursor}")
                got += answer["entries"]
                cursor = answer["cursor"]
                if cursor is None:
                    break
            assert got == [
                {
                    "isCredit": entry.is_credit,
                    "type": hex(entry.type),
                    "block": hex(entry.block),
                    "record": hex(entry.record),
                    "output": hex(entry.output),
                    "number": hex(entry.number),
                    "id": encode_bytes(entry.id),
                    "timestamp": hex(placed.timestamp),
                    "amount": hex(entry.amount),
                    "balance": hex(entry.balance),
                }
                for placed, entry in entries
            ]
            if not entries:
                assert encode_address(asset) not in holdings
                continue
            line = holdings[encode_address(asset)]
            assert line["balance"] == answer["closing"] == hex(entries[-1][1].balance)
            assert line["sent"] == hex(sum([entry.amount for _, entry in entries if not entry.is_credit]))
            assert line["received"] == answer["creditsSum"]


async def test_the_statement_of_an_epoch_is_kept_once_it_is_final(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    account, asset = history.accounts[0], history.assets[0]
    for epoch in range(1, history.epoch + 1):
        path = f"{API}/accounts/{encode_bytes(account)}/statement?asset={encode_bytes(asset)}&epoch={epoch}&limit=100"
        answer = await fetch(world.explorer, path)
        found = msgspec.json.decode(answer.body)
        entries = [entry for placed, entry in make_entries(history, account, asset) if placed.epoch == epoch]
        assert [entry["balance"] for entry in found["entries"]] == [hex(entry.balance) for entry in entries]
        assert answer.headers["cache-control"] == (SETTLED if epoch <= commitments.final_epoch else LIVE)
    missing = await fetch_json(world.explorer, path.replace(f"epoch={epoch}", f"epoch={epoch + 1}"), 404)
    assert missing["error"]["code"] == "not_found"


@pytest.mark.usefixtures("proofs")
async def test_the_proof_of_an_account_holds(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    account, asset = history.accounts[0], history.assets[0]
    path = f"{API}/accounts/{encode_bytes(account)}/proof?asset={encode_bytes(asset)}"
    last = max(history.sealed)
    for suffix, epoch in (("", last), ("&epoch=latest", last), ("&epoch=1", 1), (f"&epoch={last:#x}", last)):
        answer = await fetch(world.explorer, path + suffix)
        proof = msgspec.json.decode(answer.body)
        assert proof["epoch"] == hex(epoch)
        check_account_proof(decode_account_proof(proof), history.sealed[epoch][0].commitment)
        is_kept = epoch <= commitments.final_epoch and suffix
        assert answer.headers["cache-control"] == (IMMUTABLE if is_kept else LIVE)
    assert (await fetch(world.explorer, f"{path}&epoch={last + 1}")).status == 404


# --- blocks and epochs


async def test_blocks_by_page_number_and_hash(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    items = await walk(world, f"{API}/blocks?limit=9")
    assert [int(item["number"], 16) for item in items] == list(range(len(history.headers), 0, -1))
    assert [item["hash"] for item in items] == [encode_bytes(value) for value in reversed(history.hashes)]
    back = await walk(world, f"{API}/blocks?limit=9", "newer", "0")
    assert [int(item["number"], 16) for item in back][:9] == list(range(len(items), len(items) - 9, -1))
    assert {item["number"] for item in back} == {item["number"] for item in items}
    for item in items[::11]:
        assert item["status"] == commitments.compute_status(int(item["epoch"], 16))
        for name in (item["number"], str(int(item["number"], 16)), item["hash"]):
            assert await fetch_json(world.explorer, f"{API}/blocks/{name}") == item
    assert await fetch_json(world.explorer, f"{API}/blocks/latest") == items[0]


async def test_the_records_of_a_block_in_their_order(world: World, history: RandomLedger) -> None:
    for number in range(1, len(history.headers) + 1, 5):
        records, start = [], "0x0"
        while start is not None:
            path = f"{API}/blocks/{number}/records?limit=2&start={int(start, 16)}"
            answer = await fetch_json(world.explorer, path)
            records += answer["items"]
            start = answer["next"]
        assert [record[record["type"]]["id"] for record in records] == [
            encode_bytes(placed.record.id) for placed in history.records if placed.block == number
        ]


async def test_epochs_with_what_they_moved(world: World, history: RandomLedger) -> None:
    commit(world, history)
    items = await walk(world, f"{API}/epochs?limit=4")
    assert [int(item["epoch"], 16) for item in items] == list(range(history.epoch, 0, -1))
    assert items[0]["stage"] == "open"
    assert {"final", "mined", "sealed"} <= {item["stage"] for item in items}
    for item in items:
        number = int(item["epoch"], 16)
        answer = await fetch_json(world.explorer, f"{API}/epochs/{number}")
        assert {name: answer[name] for name in item} == item
        payments = [placed for placed in history.payments if placed.epoch == number]
        assert item["paymentCount"] == hex(len(payments))
        assert sum([int(line["volume"], 16) for line in answer["assets"]]) == sum(
            [describe(placed).total for placed in payments]
        )
        if item["stage"] in ("mined", "final"):
            commitment = await fetch(world.explorer, f"{API}/epochs/{number}/commitment")
            by_rpc = await world.archive.describe_commitment(number)
            assert msgspec.json.decode(commitment.body) == msgspec.json.decode(msgspec.json.encode(by_rpc))
            assert commitment.headers["cache-control"] == LIVE, "its confirmations go on"
    names = {"open": history.epoch, "latest": max(history.sealed), "final": len(history.sealed) // 2 // 2}
    for name, number in names.items():
        assert (await fetch_json(world.explorer, f"{API}/epochs/{name}"))["epoch"] == hex(number)


async def test_the_commitments_of_all_sealed_epochs(world: World, history: RandomLedger) -> None:
    commit(world, history)
    items = await walk(world, f"{API}/commitments?limit=4")
    by_rpc = await world.archive.list_commitments(None, 100)
    assert items == msgspec.json.decode(msgspec.json.encode(by_rpc["items"]))
    assert [int(item["epoch"], 16) for item in items] == sorted(history.sealed, reverse=True)
    for item in items:
        assert (await fetch_json(world.explorer, f"{API}/epochs/{item['epoch']}"))["cost"] == item["cost"]
        is_mined = item["status"] in ("mined", "final")
        # 98,352 gas × 1,000,000,007 wei; the attempt that was replaced has cost nothing
        assert [attempt["cost"] for attempt in item["attempts"] if is_mined] == (
            ["0x0", item["cost"]] if is_mined else []
        )
        assert int(item["cost"], 16) == (98_352 * 1_000_000_007 if is_mined else 0)
        assert item["isOurs"] is (True if is_mined else None)
    assert (await fetch(world.explorer, f"{API}/commitments")).headers["cache-control"] == LIVE


# --- the rest


async def test_the_ledger_counts_what_happened(world: World, history: RandomLedger) -> None:
    answer = await fetch_json(world.explorer, f"{API}/ledger")
    assert {name: answer[name] for name in world.info.describe()} == world.info.describe()
    assert answer["counters"]["paymentCount"] == hex(len(history.payments))
    assert answer["counters"]["recordCount"] == hex(len(history.records))
    world.health = {"status": "degraded", "checks": {}}
    assert (await fetch_json(world.explorer, f"{API}/ledger"))["status"] == "degraded"


async def test_activity_adds_up_in_every_length(world: World, history: RandomLedger) -> None:
    for length in ("minute", "hour", "day"):
        items, since = [], "0x0"
        while since is not None:
            path = f"{API}/activity?length={length}&limit=32&since={int(since, 16)}"
            answer = await fetch_json(world.explorer, path)
            items += answer["items"]
            since = answer["next"]
        assert sum([int(item["paymentCount"], 16) for item in items]) == len(history.payments)
        assert sum([int(item["volume"], 16) for item in items]) == sum(
            [describe(placed).total for placed in history.payments]
        )
        keys = [(item["start"], item["asset"]) for item in items]
        assert len(keys) == len(set(keys))


async def test_reserves_as_they_were_read(world: World, history: RandomLedger) -> None:
    assert await fetch_json(world.explorer, f"{API}/reserves") == {"reading": None, "fault": None}
    line = AssetReserves(
        asset=history.assets[1], credited_count=2, credited=50, withdrawn=20, queued_count=1, queued=40,
        queued_as_credited=None, held=40, balance=39,
    )  # fmt: skip
    reading = Reading(1_000, L1Block(5, b"\x05" * 32, b"\x04" * 32, 77), 9, 990, (line,))
    world.reserves = Reserves(reading, Fault(FaultKind.OUT_OF_REACH, "https://key@l1.example: no", 1_005, 3))
    answer = await fetch_json(world.explorer, f"{API}/reserves")
    assert answer["fault"] == {"kind": "out_of_reach", "since": hex(1_005), "count": "0x3"}
    (shown,) = answer["reading"]["assets"]
    assert (shown["uncredited"], shown["verdict"]) == ("-0xa", line.verdict)
    assert shown["owed"] == hex(line.owed) and shown["shortfall"] == hex(line.shortfall)


async def test_search_names_what_is_meant(world: World, history: RandomLedger) -> None:
    payment_id = encode_bytes(history.payments[0].record.id)
    found = await fetch_json(world.explorer, f"{API}/search?q={payment_id}")
    assert [match["path"] for match in found["matches"]] == [f"/tx/{payment_id}"]
    assert (await fetch_json(world.explorer, f"{API}/search?q=junk"))["matches"] == []


# --- what is refused


def list_refused() -> list[tuple[str, str]]:
    address, digest = "0x" + "11" * 20, "0x" + "22" * 32
    listed = ("before", "after", "limit")
    queries: dict[str, tuple[str, ...]] = {
        "payments": ("account", "counterparty", "asset", "kind", "reference", "status", "from", "to", *listed),
        "deposits": ("account", *listed),
        "blocks": listed,
        "epochs": listed,
        "activity": ("length", "since", "limit"),
        f"accounts/{address}/statement": ("asset", "epoch", "from", "to", "cursor", "limit"),
        f"accounts/{address}/proof": ("asset", "epoch"),
        "blocks/1/records": ("start", "limit"),
    }
    fixed = {f"accounts/{address}/statement": f"asset={address}&", f"accounts/{address}/proof": f"asset={address}&"}
    numbers = {"before", "after", "from", "to", "epoch", "start", "limit", "since"}
    table = [
        (f"{path}?{'' if name == 'asset' else fixed.get(path, '')}{name}={junk}", name)
        for path, names in queries.items()
        for name in names
        for junk in JUNK
        if not (name in numbers and junk == "9" * 30 and path in ("blocks", "epochs"))
    ]
    return [
        *table,
        ("payments?direction=in", "direction"),
        (f"payments?account={address}&direction=up", "direction"),
        (f"payments?counterparty={address}", "counterparty"),
        (f"payments?reference=0x{'0' * 64}", "reference"),
        ("payments?before=0000000000000001&after=0000000000000001", "before"),
        ("payments?limit=101", "limit"),
        ("payments?limit=0", "limit"),
        ("payments?from=2026-02-30", "from"),
        ("payments?kind=tip&kind=tip", "kind"),
        ("payments?cursor=1", "cursor"),
        (f"accounts/{address}/statement", "asset"),
        (f"accounts/{address}/statement?asset={address}&epoch=1&from=1", "epoch"),
        (f"accounts/{address}/proof", "asset"),
        ("ledger?x=1", "x"),
        (f"payments/{digest}?x=1", "x"),
        ("search", "q"),
        ("search?q=", "q"),
        (f"search?q={'1' * 201}", "q"),
        *[(f"payments/{junk}", "id") for junk in JUNK if junk != "%00"],
        *[(f"payments/{junk}/receipt", "id") for junk in JUNK if junk != "%00"],
        *[(f"accounts/{junk}", "address") for junk in JUNK if junk != "%00"],
        *[(f"blocks/{junk}", "block") for junk in JUNK if junk != "%00"],
        *[(f"epochs/{junk}", "epoch") for junk in JUNK if junk != "%00"],
    ]


async def test_junk_is_refused_by_name_and_changes_nothing(world: World) -> None:
    before = world.index.get_counters()
    for path, name in list_refused():
        answer = await fetch(world.explorer, f"{API}/{path}")
        assert answer.status == 400, f"{path}: {answer.status} {answer.text[:200]}"
        error = msgspec.json.decode(answer.body)["error"]
        assert error["code"] in ("malformed_request", "unknown_kind"), path
        assert name in error["message"] or error["code"] == "unknown_kind" or "cursor" in error["message"], (
            path,
            error,
        )
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cache-control"] == LIVE
    assert world.index.get_counters() == before


@pytest.mark.parametrize(
    "path",
    [
        f"payments/0x{'7' * 64}", f"payments/0x{'7' * 64}/receipt", f"payments/0x{'7' * 64}/proof",
        f"deposits/0x{'7' * 64}", "blocks/0", "blocks/999999", f"blocks/0x{'7' * 64}", "blocks/999999/records",
        "epochs/0", "epochs/999999", "epochs/999999/commitment", "nothing", "payments/", "",
    ],
)  # fmt: skip
async def test_what_is_not_there_is_not_found(world: World, path: str) -> None:
    assert (await fetch_json(world.explorer, f"{API}/{path}", 404))["error"]["code"] == "not_found"


async def test_a_deposit_is_no_payment_and_a_payment_no_deposit(world: World, history: RandomLedger) -> None:
    payment, deposit = [encode_bytes(records[0].record.id) for records in (history.payments, history.deposits)]
    for path in (f"payments/{deposit}", f"payments/{deposit}/receipt", f"deposits/{payment}"):
        assert (await fetch_json(world.explorer, f"{API}/{path}", 404))["error"]["code"] == "not_found"


async def test_who_is_too_many_is_asked_to_come_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(question: Any) -> Refusal:
        raise Overloaded(64)

    monkeypatch.setattr(world.sources.readers, "work", refuse)
    for path in ("ledger", "payments", "blocks/1", f"accounts/0x{'1' * 40}"):
        answer = await fetch(world.explorer, f"{API}/{path}")
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert msgspec.json.decode(answer.body)["error"]["code"] == "overloaded"


@pytest.mark.parametrize("path", ["ledger", "payments", "payments/0x12", "openapi.json"])
async def test_only_reading_is_answered(world: World, path: str) -> None:
    got, head = await fetch(world.explorer, f"{API}/{path}"), await fetch(world.explorer, f"{API}/{path}", "HEAD")
    assert (got.status, got.headers) == (head.status, head.headers)
    preflight = await fetch(world.explorer, f"{API}/{path}", "OPTIONS")
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, "*")
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = await fetch(world.explorer, f"{API}/{path}", method)
        assert answer.status == 405
        assert msgspec.json.decode(answer.body)["error"]["code"] == "method_not_allowed"
        assert {"GET", "HEAD"} <= set(answer.headers["allow"].replace(" ", "").split(","))


# --- the document


async def read_document(world: World) -> Any:
    answer = await fetch(world.explorer, f"{API}/openapi.json")
    assert answer.headers["access-control-allow-origin"] == "*"
    return msgspec.json.decode(answer.body)


async def test_the_document_is_sound(world: World) -> None:
    document = await read_document(world)
    assert document["openapi"] == "3.1.0"
    names = [operation["get"]["operationId"] for operation in document["paths"].values()]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        operation = methods["get"]
        assert set(operation["tags"]) <= tags and operation["summary"]
        in_path = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"]
        assert in_path == re.findall(r"\{(\w+)\}", path)
        assert all(parameter["required"] for parameter in operation["parameters"] if parameter["in"] == "path")
        for parameter in operation["parameters"]:
            Draft202012Validator.check_schema(parameter["schema"])
            assert parameter["description"]
        for response in operation["responses"].values():
            assert response["description"]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    references = set(re.findall(r'"#/components/schemas/(\w+)"', msgspec.json.encode(document).decode()))
    assert references == set(document["components"]["schemas"])


@pytest.mark.usefixtures("market_proofs")
async def test_every_path_answers_as_its_schema_says(market: World, exchange: MarketLedger) -> None:
    """A kind, or a type of instruction, after the other, each with the account that it is of."""
    commit(market, exchange)
    document = await read_document(market)
    deposit, asset = encode_bytes(exchange.deposits[0].record.id), encode_address(exchange.assets[0])
    payments = {describe(placed).kind: describe(placed) for placed in exchange.payments}
    instructions = {each.type: each for each in map(describe_instruction, exchange.instructions)}
    assert (len(payments), len(instructions)) == (len(KIND_CODES), 5)
    purchase = payments["purchase"]
    examples = {"asset": asset, "block": "4", "epoch": "1", "q": "3", "file": encode_bytes(purchase.reference)}
    seen = set()
    for path, methods in document["paths"].items():
        operation = methods["get"]
        content = next(iter(operation["responses"]["200"]["content"].values()))
        if not content:
            continue
        records: list[Any] = list(instructions.values() if "/instructions" in path else payments.values())
        for record in records:
            account = purchase.payer if "{buyer}" in path else record.account if "/instr" in path else record.payer
            if path.endswith(("/owners", "/files", "/earnings")):
                account = exchange.ledger.state.files[purchase.reference].owner
                account = exchange.ledger.state.files[purchase.reference].validator if "/owners" in path else account
            address = encode_address(account)
            record_id = deposit if "/deposits/" in path else encode_bytes(record.id)
            values = {**examples, "id": record_id, "address": address, "buyer": address}
            wanted = [parameter["name"] for parameter in operation["parameters"] if parameter["required"]]
            query = "&".join([f"{name}={values[name]}" for name in wanted if f"{{{name}}}" not in path])
            if "/roles/" in path and not exchange.ledger.state.get_roles(account).bits:
                continue
            answer = await fetch_json(market.explorer, f"{path.format(**values)}?{query}")
            schema = {**content["schema"], "components": document["components"]}
            Draft202012Validator(schema).validate(answer)
            if isinstance(answer.get("items"), list):
                assert answer["items"], path
            seen.add(path)
        failure = await fetch_json(market.explorer, f"{path.format(**values)}?{query}&unknown=1", 400)
        Draft202012Validator({"$ref": "#/components/schemas/Failure", "components": document["components"]}).validate(
            failure
        )
    assert len(seen) == len([endpoint for endpoint in rest.ENDPOINTS if endpoint.form is not None])


async def test_files_and_other_calls_are_in_the_document_and_answered(world: World, history: RandomLedger) -> None:
    document = await read_document(world)
    others = [path for path in document["paths"] if not path.startswith(API)]
    assert others == [
        "/export/payments.csv", "/export/payments.json", "/export/files.csv", "/export/files.json",
        "/export/statement.csv", "/export/statement.json", "/api",
    ]  # fmt: skip
    query = f"account={encode_bytes(history.accounts[0])}"
    for path in others[:-1]:
        operation = document["paths"][path]["get"]
        query = query.replace("account", "owner") if "files" in path else query.replace("owner", "account")
        answer = await fetch(world.explorer, f"{path}?{query}")
        assert answer.headers["content-type"].partition(";")[0] in operation["responses"]["200"]["content"]
        for parameter in operation["parameters"]:
            assert (await fetch(world.explorer, f"{path}?{query}&{parameter['name']}=")).status in (200, 400)
    for endpoint in rest.ENDPOINTS:
        is_elsewhere = endpoint.path in (f"{API}/events", *others)
        assert (endpoint.answer is None) == is_elsewhere
