"""The catalogue and its methods, over a real journal, index and proofs: every answer fits the interface's document, and
shows what is durable and nothing else."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import node.archive
from chain import wire
from chain.commitment import hash_commitment
from chain.errors import Refusal
from chain.hashing import keccak
from chain.primitives import ZERO_HASH
from chain.receipt import check_instruction_receipt, check_receipt
from chain.registry import check_registry_proof
from chain.sealing import escrow_context, open_sealed_key, purchase_context, seal_key
from chain.signatures import sign_digest
from node.archive import Archive
from node.catalogue import Catalogue
from node.entries import GenesisEntry, decode_entry
from node.escrow import Escrow
from node.follower import Progress
from node.index import IndexReader, IndexWriter
from node.proofs import ProofReader
from node.rpc.methods import METHODS
from node.rpc.openrpc import get_document
from node.sequencer import PublishedBlock
from node.workers.sealer import Sealer
from tests.openrpc import Interface
from tests.unit.chain.actors import (
    ALICE,
    BOB,
    BOB_KEY,
    CAROL,
    DOMAIN,
    ETHER,
    OPERATOR,
    OPERATOR_KEY,
    TOKEN,
    make_key,
    make_payment,
    some_hash,
)
from tests.unit.chain.exchange import (
    DAY_MS,
    DORA,
    ERIK,
    FILE,
    GIB,
    NOW_MS,
    NOW_S,
    PARAMETERS,
    STORAGE_DAYS,
    UNKNOWN,
    UNPAID,
    delist,
    extend,
    list_file,
    purchase,
    register,
    register_owner,
    update_price,
)
from tests.unit.node.marketplace import STRANGER, STRANGER_KEY, make_upload, open_exchange, order, place
from tests.unit.node.running import Desk, settle, soon
from tests.unit.node.sockets import FakeCommitter, FakeEpochs

INTERFACE = Interface(json.loads(bytes(get_document())))
ESCROW_KEY = make_key("escrow")
FILE_KEY = some_hash("the file key")
NEW = some_hash("a file that is about to be listed")


class Shop:
    """A desk whose journal an index and a sealer follow when told to."""

    def __init__(self, desk: Desk, directory: Path, escrow: Escrow) -> None:
        self.desk = desk
        self._directory = directory
        self._writer = IndexWriter(directory / "index.sqlite", PARAMETERS.genesis_hash)
        self.index = IndexReader(directory / "index.sqlite")
        self._sealer = Sealer(GenesisEntry(PARAMETERS), directory / "proofs.sqlite", directory / "snapshots", None)
        self._proofs = ProofReader(directory / "proofs.sqlite")
        self.durable, self.indexed = Progress(desk.journal.height), Progress(0)
        self.epochs = FakeEpochs()
        parts: Any = (desk.journal, self.durable, self.index, self.indexed, self._proofs, desk.sequencer)
        others: Any = (FakeCommitter(), self.epochs)
        self.archive = Archive(PARAMETERS, *parts, *others)
        catalogue = Catalogue(self.archive, self.index, desk.sequencer.state, escrow, desk.clock)
        self.methods: Any = SimpleNamespace(archive=self.archive, catalogue=catalogue, sequencer=desk.sequencer)
        desk.listeners.append(self._take_durable)

    def _take_durable(self, block: PublishedBlock | None) -> None:
        if block is not None:
            self.archive.take_block(block)
        self.durable.advance(self.desk.journal.height)

    def follow(self) -> None:
        """Index and sealer come to where the journal is."""
        journal = self.desk.journal
        self._writer.apply(list(journal.read(self._writer.height)))
        self.indexed.advance(self._writer.height)

    async def seal(self) -> int:
        """Ends the open epoch, and has its commitment signed. Its number."""
        await soon(self.desk.sequencer.cut(self.desk.clock))
        for height, entry in list(self.desk.journal.read(self._sealer.height)):
            commitment = self._sealer.apply(height, decode_entry(entry))
        assert commitment is not None
        signature = sign_digest(OPERATOR_KEY, hash_commitment(commitment, DOMAIN))
        await soon(self.desk.sequencer.append_seal(commitment, signature))
        self.epochs.sealed_epoch = commitment.epoch
        self.follow()
        return commitment.epoch

    async def call(self, method: str, *params: Any) -> Any:
        """What it answers, as JSON, once the index is there; it is as the document says."""
        self.follow()
        return await self.call_at_once(method, *params)

    async def call_at_once(self, method: str, *params: Any) -> Any:
        shown = [wire.encode_bytes(param) if isinstance(param, bytes) else param for param in params]
        INTERFACE.check_params(method, shown)
        answer = await soon(METHODS[method](self.methods, msgspec.json.encode(shown)))
        form = msgspec.json.decode(msgspec.json.encode(answer))
        INTERFACE.check_result(method, form)
        return form

    async def refuse(self, method: str, *params: Any) -> str:
        with pytest.raises(Refusal) as refused:
            await self.call(method, *params)
        return refused.value.code

    async def list_all(self, method: str, **wanted: Any) -> list[Any]:
        """The items of all pages of two."""
        items: list[Any] = []
        cursor = None
        while True:
            page = await self.call(method, {**wanted, "limit": 2, **({} if cursor is None else {"cursor": cursor})})
            items += page["items"]
            cursor = page["cursor"]
            if cursor is None:
                return items

    def close(self) -> None:
        self.archive.close()
        self.index.close()
        self._proofs.close()
        self._writer.close()


@contextlib.asynccontextmanager
async def open_shop(directory: Path, escrow: Escrow) -> AsyncIterator[Shop]:
    async with open_exchange() as desk:
        shop = Shop(desk, directory, escrow)
        try:
            yield shop
        finally:
            shop.close()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path, Escrow(DOMAIN, ESCROW_KEY)) as opened:
        yield opened


def show(address: bytes) -> str:
    return wire.encode_address(address)


def show_hash(value: bytes) -> str:
    return wire.encode_bytes(value)


def seal(file: bytes = NEW) -> dict[str, Any]:
    """The fields of a listing of Alice's whose key is in escrow."""
    context = escrow_context(DOMAIN, ALICE, file)
    sealed = seal_key(FILE_KEY, ESCROW_KEY.public_key.format(), context, some_hash("ephemeral"))
    return {"key_hash": keccak(FILE_KEY), "sealed_key": sealed}


async def upload(shop: Shop, file: bytes, nonce: int = 0, **fields: Any) -> None:
    await soon(shop.desk.sequencer.submit_upload(*make_upload(file, nonce, fields)))


# --- a file


async def test_a_file_is_shown_with_all_that_its_listing_says(shop: Shop) -> None:
    await upload(shop, NEW, **seal(), name="Ein Bild ☕", media_type="image/png", tags=("art", "Café"), price=101)
    shown = await shop.call("tally_getFile", NEW)
    placed = await soon(shop.archive._locate(bytes.fromhex(shown["listing"][2:])))
    assert placed == (4, 0)
    assert shown == {
        "file": show_hash(NEW),
        "name": "Ein Bild ☕",
        "mediaType": "image/png",
        "tags": ["art", "Café"],
        "description": "Daily, by station.",
        "size": hex(GIB),
        "contentHash": show_hash(some_hash("content")),
        "keyHash": show_hash(keccak(FILE_KEY)),
        "isKeyInEscrow": True,
        "validator": show(ALICE),
        "owner": show(STRANGER),
        "asset": show(TOKEN),
        "price": hex(101),
        "shares": [
            {"role": "validator", "address": show(ALICE), "amount": hex(50)},
            {"role": "owner", "address": show(STRANGER), "amount": hex(46)},
            {"role": "service_node", "address": show(DORA), "amount": hex(5)},
        ],
        "storageDays": hex(STORAGE_DAYS),
        "keepUntil": hex(NOW_S + STORAGE_DAYS * 86_400),
        "serviceNode": show(DORA),
        "listing": shown["listing"],
        "listedAt": hex(NOW_MS),
        "block": "0x4",
        "index": "0x0",
        "status": "listed",
        "saleCount": "0x0",
        "sold": "0x0",
        "prices": [{"price": hex(101), "block": "0x4", "timestamp": hex(NOW_MS)}],
    }


async def test_a_file_that_its_validator_keeps_has_no_node_and_the_owner_that_share(shop: Shop) -> None:
    shown = await shop.call("tally_getFile", UNPAID)
    assert shown["serviceNode"] is None
    assert [(share["role"], share["amount"]) for share in shown["shares"]] == [("validator", "0x32"), ("owner", "0x32")]
    await place(shop.desk, list_file(NEW, key_hash=ZERO_HASH, sealed_key=b""))
    shown = await shop.call("tally_getFile", NEW)
    assert (shown["keyHash"], shown["isKeyInEscrow"]) == (None, False)


async def test_what_becomes_of_a_file_is_shown(shop: Shop) -> None:
    shop.desk.clock.now += 1000
    await place(shop.desk, update_price(7), purchase(FILE, 0, (ALICE, 3), (CAROL, 4)), extend(2, nonce=1))
    shown = await shop.call("tally_getFile", FILE)
    assert [price["price"] for price in shown["prices"]] == ["0x7", hex(100)]
    assert (shown["price"], shown["saleCount"], shown["sold"]) == ("0x7", "0x1", "0x7")
    assert int(shown["keepUntil"], 16) == NOW_S + (STORAGE_DAYS + 2) * 86_400
    shop.desk.clock.now = int(shown["keepUntil"], 16) * 1000
    assert (await shop.call("tally_getFile", FILE))["status"] == "listed"
    shop.desk.clock.now += 1
    assert (await shop.call("tally_getFile", FILE))["status"] == "expired"
    await place(shop.desk, delist(nonce=2))
    assert (await shop.call("tally_getFile", FILE))["status"] == "delisted"
    assert await shop.refuse("tally_getFile", UNKNOWN) == "not_found"


async def test_no_more_prices_are_shown_than_are_allowed(shop: Shop) -> None:
    await place(shop.desk, *[update_price(number + 1, nonce=number) for number in range(120)])
    shown = await shop.call("tally_getFile", FILE)
    assert [int(price["price"], 16) for price in shown["prices"]] == list(range(120, 20, -1))


async def test_a_file_and_its_prices_are_of_one_moment(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its price changes while they are read."""
    shop.follow()
    has_read, may_go_on = threading.Event(), threading.Event()
    get_file = shop.index.get_file

    def get_slowly(file: bytes) -> Any:
        found = get_file(file)
        has_read.set()
        assert may_go_on.wait(5)
        return found

    monkeypatch.setattr(shop.index, "get_file", get_slowly)
    reading = asyncio.create_task(shop.call_at_once("tally_getFile", FILE))
    assert await asyncio.to_thread(has_read.wait, 5)
    await place(shop.desk, update_price(7))
    shop.follow()
    may_go_on.set()
    shown = await soon(reading)
    assert shown["price"] == shown["prices"][0]["price"] == hex(100)


async def test_what_is_not_durable_is_not_shown(shop: Shop) -> None:
    plain = some_hash("a file in the clear")
    await place(shop.desk, list_file(plain, 9, key_hash=ZERO_HASH, sealed_key=b""))
    shop.follow()
    shop.desk.journal.hold()
    uploading = asyncio.create_task(shop.desk.sequencer.submit_upload(*make_upload(NEW)))
    buying = asyncio.create_task(shop.desk.sequencer.submit([order(purchase(plain, 0, (ALICE, 50), (CAROL, 50)))]))
    await shop.desk.journal.wait_until_held()
    await settle()
    assert shop.desk.sequencer.state.purchases, "applied, so that the next is checked against it"
    for method, params in (("tally_getFile", (NEW,)), ("tally_getPurchase", (plain, BOB))):
        assert await shop.refuse(method, *params) == "not_found"
    shop.desk.journal.release()
    await soon(asyncio.gather(uploading, buying))
    await shop.call("tally_getFile", NEW)
    await shop.call("tally_getPurchase", plain, BOB)


async def test_lists_wait_for_the_index_and_say_so_when_it_does_not_come(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has been answered as done is shown, or it is said that it cannot be yet: never an older state."""
    shop.follow()
    await upload(shop, NEW)
    waiting = asyncio.create_task(shop.call_at_once("tally_getFile", NEW))
    await settle()
    assert not waiting.done()
    shop.follow()
    assert (await soon(waiting))["file"] == show_hash(NEW)
    monkeypatch.setattr(node.archive, "_INDEX_PATIENCE_SECONDS", 0.01)
    await place(shop.desk, update_price(7, nonce=2))
    for method, params in [
        ("tally_getFile", [show_hash(FILE)]),
        ("tally_listFiles", []),
        ("tally_listRegistrations", []),
        ("tally_listInstructions", []),
    ]:
        with pytest.raises(Refusal) as refused:
            await soon(METHODS[method](shop.methods, msgspec.json.encode(params)))
        assert refused.value.code == "overloaded"


# --- purchases and keys


async def test_a_buyer_is_shown_the_receipt_and_gets_the_key(shop: Shop) -> None:
    await upload(shop, NEW, **seal())
    bought = order(purchase(NEW, 0, (ALICE, 50), (STRANGER, 45), (DORA, 5)))
    await soon(shop.desk.sequencer.submit([bought]))
    shown = await shop.call("tally_getPurchase", NEW, BOB)
    assert (shown["file"], shown["buyer"], shown["keyHash"]) == (
        show_hash(NEW),
        show(BOB),
        show_hash(keccak(FILE_KEY)),
    )
    receipt = wire.decode_receipt(shown["receipt"])
    check_receipt(receipt, DOMAIN, OPERATOR)
    assert receipt.signed == bought.signed
    sealed = bytes.fromhex(shown["sealedKey"][2:])
    assert open_sealed_key(sealed, BOB_KEY.secret, purchase_context(DOMAIN, NEW, BOB)) == FILE_KEY
    shop.desk.clock.now += 100 * DAY_MS
    await place(shop.desk, delist(9, file=NEW))
    assert (await shop.call("tally_getPurchase", NEW, BOB))["receipt"]["id"] == shown["receipt"]["id"], "for good"


async def test_nobody_else_is_shown_a_purchase(shop: Shop) -> None:
    await upload(shop, NEW, **seal())
    for file, buyer in ((NEW, BOB), (NEW, ALICE), (UNKNOWN, BOB), (FILE, ERIK)):
        assert await shop.refuse("tally_getPurchase", file, buyer) == "not_found"
    await place(shop.desk, make_payment((ALICE, 100), payer=BOB, reference=NEW))
    assert await shop.refuse("tally_getPurchase", NEW, BOB) == "not_found", "money alone buys nothing"


async def test_a_key_that_the_validator_kept_comes_with_no_purchase(shop: Shop) -> None:
    await place(shop.desk, list_file(NEW, sealed_key=b""))
    await place(shop.desk, purchase(NEW, 0, (ALICE, 50), (CAROL, 50)))
    shown = await shop.call("tally_getPurchase", NEW, BOB)
    assert (shown["keyHash"], shown["sealedKey"]) == (show_hash(some_hash("the file key")), None)


# --- lists


async def test_files_are_found_by_words_tags_and_people(shop: Shop) -> None:
    await upload(shop, NEW, name="Snowfall 2024", tags=("weather", "snow"), media_type="application/json")
    await place(shop.desk, delist(5, file=UNPAID))

    async def find(**wanted: Any) -> set[bytes]:
        page = await shop.call("tally_listFiles", wanted)
        return {bytes.fromhex(item["file"][2:]) for item in page["items"]}

    assert await find() == {FILE, NEW}
    assert await find(status="all") == {FILE, NEW, UNPAID}
    assert await find(text="snowfall") == await find(tag="snow") == {NEW}
    assert await find(tag=["weather", "rain"]) == {FILE}
    assert await find(mediaType="application/json") == await find(owner=show(STRANGER)) == {NEW}
    assert await find(validator=show(ALICE)) == await find(serviceNode=show(DORA)) == {FILE, NEW}
    assert await find(asset=show(ETHER)) == await find(validator=show(ERIK)) == set()
    page = await shop.call("tally_listFiles", {"status": "all"})
    assert [item["file"] for item in page["items"]] == [show_hash(file) for file in (NEW, UNPAID, FILE)], "newest first"
    assert await shop.list_all("tally_listFiles", status="all") == page["items"]
    assert [item["status"] for item in page["items"]] == ["listed", "delisted", "listed"]
    shown = await shop.call("tally_getFile", NEW)
    assert page["items"][0] == {name: value for name, value in shown.items() if name != "prices"}


async def test_the_owners_of_a_validator_are_listed_and_counted(shop: Shop) -> None:
    await upload(shop, NEW)
    await place(shop.desk, register_owner(DORA, ERIK), register_owner(BOB, ALICE))
    page = await shop.call("tally_listRegistrations", {"validator": show(ALICE)})
    assert page["count"] == "0x3"
    assert [(item["account"], item["namedOnly"]) for item in page["items"]] == [
        (show(BOB), False),
        (show(STRANGER), True),
        (show(CAROL), False),
    ]
    assert {(item["role"], item["validator"]) for item in page["items"]} == {("owner", show(ALICE))}
    assert await shop.list_all("tally_listRegistrations", validator=show(ALICE)) == page["items"]
    await soon(shop.desk.sequencer.submit([order(register_owner(STRANGER, ERIK), STRANGER_KEY)]))
    counts = [(await shop.call("tally_listRegistrations", {"validator": show(who)}))["count"] for who in (ALICE, ERIK)]
    assert counts == ["0x2", "0x2"], "who had only been named signed for another"


async def test_everybody_with_a_role_is_listed(shop: Shop) -> None:
    def name(item: Any) -> tuple[str, str]:
        return item["account"], item["role"]

    for role, people in (("validator", [ERIK, ALICE]), ("mart", [BOB, ERIK]), ("service_node", [DORA, ERIK])):
        page = await shop.call("tally_listRegistrations", {"role": role})
        assert [name(item) for item in page["items"]] == [(show(who), role) for who in people]
        assert (page["count"], page["cursor"]) == ("0x2", None)
    page = await shop.call("tally_listRegistrations")
    assert (page["count"], len(page["items"])) == ("0x7", 7)
    assert await shop.list_all("tally_listRegistrations") == page["items"]
    none = {"items": [], "count": "0x0", "cursor": None}
    assert await shop.call("tally_listRegistrations", {"role": "mart", "validator": show(ALICE)}) == none
    assert await shop.call("tally_listRegistrations", {"validator": show(STRANGER)}) == none


async def test_instructions_are_listed_as_receipts_without_siblings(shop: Shop) -> None:
    await place(shop.desk, update_price(7), register(CAROL, "mart"))
    page = await shop.call("tally_listInstructions", {"file": show_hash(FILE)})
    assert [item["instruction"]["type"] for item in page["items"]] == ["UpdatePrice", "ListFile"]
    for item in page["items"]:
        receipt = await shop.call("tally_getReceipt", item["id"])
        check_instruction_receipt(wire.decode_instruction_receipt(receipt), DOMAIN, OPERATOR)
        assert {**item, "siblings": receipt["siblings"]} == receipt
    of_carol = await shop.call("tally_listInstructions", {"account": show(CAROL)})
    assert [item["instruction"]["type"] for item in of_carol["items"]] == ["Register", "RegisterOwner"]
    everything = await shop.call("tally_listInstructions")
    assert len(everything["items"]) == 11
    assert await shop.list_all("tally_listInstructions") == everything["items"]
    payments = await shop.call("tally_listPayments", {"reference": show_hash(FILE)})
    assert [item["payment"]["kind"] for item in payments["items"]] == ["upload"], "which are no instructions"


@pytest.mark.parametrize("method", ["tally_listFiles", "tally_listRegistrations", "tally_listInstructions"])
@pytest.mark.parametrize("wanted", [{"limit": 0}, {"cursor": "x"}, {"cursor": ""}, {"cursor": "x" * 64}])
async def test_a_page_of_nothing_or_from_nowhere_is_refused(shop: Shop, method: str, wanted: dict[str, Any]) -> None:
    assert await shop.refuse(method, wanted) == "malformed_request"


# --- one record by its id


async def test_an_instruction_is_no_payment(shop: Shop) -> None:
    await place(shop.desk, register(CAROL, "mart"))
    listed = (await shop.call("tally_listInstructions", {"limit": 1}))["items"][0]["id"]
    for method in ("tally_getPayment", "tally_getPaymentProof"):
        assert await shop.refuse(method, listed) == "not_found"


async def test_a_block_shows_its_instructions_between_payments(shop: Shop) -> None:
    await place(shop.desk, make_payment(), update_price(7, 1), make_payment(nonce=2))
    block = await shop.call("tally_getBlock", "latest")
    assert [record["type"] for record in block["records"]] == ["payment", "instruction", "payment"]


async def test_an_account_shows_its_roles(shop: Shop) -> None:
    await upload(shop, NEW)
    expected = {
        ALICE: (["validator"], None),
        ERIK: (["validator", "mart", "service_node"], None),
        CAROL: (["owner"], show(ALICE)),
        STRANGER: (["owner"], show(ALICE)),
        OPERATOR: ([], None),
    }
    for account, (roles, validator) in expected.items():
        shown = await shop.call("tally_getAccount", account)
        assert (shown["roles"], shown["ownerUnder"]) == (roles, validator)


# --- proofs


@pytest.fixture
async def sealed_shop(shop: Shop) -> Shop:
    """Epoch 1 is the opening; in epoch 2 there is one file more and another price, in epoch 3 nothing."""
    await shop.seal()
    await place(shop.desk, update_price(7))
    await upload(shop, NEW, 1)
    for _ in range(2):
        shop.desk.clock.now += 1000
        await shop.seal()
    return shop


async def test_files_and_roles_are_proven_as_of_any_sealed_epoch(sealed_shop: Shop) -> None:
    shop = sealed_shop
    for epoch, price in ((1, 100), (2, 7), (3, 7), ("latest", 7)):
        shown = await shop.call("tally_getFileProof", FILE, epoch)
        assert shown["epoch"] == hex(3 if epoch == "latest" else epoch)
        proof = wire.decode_registry_proof(shown)
        check_registry_proof(proof, wire.decode_commitment(shown["commitment"]["message"]).extra_root)
        assert (shown["entry"]["price"], shown["entry"]["file"]) == (hex(price), show_hash(FILE))
        shown = await shop.call("tally_getRolesProof", ALICE, epoch)
        check_registry_proof(
            wire.decode_registry_proof(shown), wire.decode_commitment(shown["commitment"]["message"]).extra_root
        )
        assert shown["entry"]["roles"] == ["validator"]
    named = (await shop.call("tally_getRolesProof", STRANGER, 2))["entry"]
    assert named == {"account": show(STRANGER), "roles": ["owner"], "validator": show(ALICE), "namedOnly": True}


async def test_what_was_not_there_by_then_is_not_proven(sealed_shop: Shop) -> None:
    for method, key, epoch in [
        ("tally_getFileProof", NEW, 1),
        ("tally_getRolesProof", STRANGER, 1),
        ("tally_getFileProof", UNKNOWN, 3),
        ("tally_getRolesProof", OPERATOR, "latest"),
        ("tally_getFileProof", FILE, 0),
        ("tally_getFileProof", FILE, 4),
        ("tally_getRolesProof", ALICE, hex(2**64 - 1)),
    ]:
        assert await sealed_shop.refuse(method, key, epoch) == "not_found"


# --- what the node's own state would show


async def test_the_catalogue_says_of_every_file_what_the_rules_do(shop: Shop) -> None:
    await place(shop.desk, update_price(7), purchase(FILE, 0, (ALICE, 3), (CAROL, 4)), delist(9, file=UNPAID))
    await upload(shop, NEW, 1)
    await place(shop.desk, extend(3, NEW, 10))
    state = shop.desk.sequencer.state
    items = await shop.list_all("tally_listFiles", status="all")
    assert len(items) == len(state.files)
    for item in items:
        file = state.files[bytes.fromhex(item["file"][2:])]
        assert item["price"] == hex(file.price) and item["keepUntil"] == hex(file.keep_until)
        assert item["serviceNode"] == (show(file.service_node) if any(file.service_node) else None)
        assert (item["status"] == "delisted") is file.is_delisted
        assert item["listing"] == show_hash(file.listing)


@pytest.mark.parametrize(
    "text", ["abc\0def", '"', '""" OR "', "name:rain", "rain*", "(rain", "rain AND NOT", "^rain", "{a b}:", "-a"]
)
async def test_nothing_that_is_searched_for_is_syntax(shop: Shop, text: str) -> None:
    for wanted in ({"text": text}, {"tag": text}, {"mediaType": text}):
        assert (await shop.call("tally_listFiles", wanted))["items"] == []
