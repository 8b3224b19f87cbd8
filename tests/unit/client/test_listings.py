"""Listed files and quotes: nothing is believed, and nothing is signed, that its validator or the client did not say."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from chain import wire
from chain.errors import InsufficientBalance, InvalidSignature, NoStorageRate, NotFound, UnknownReference
from chain.instruction import UpdatePrice
from chain.kinds import EXTEND, PURCHASE, TIP, UPLOAD
from chain.payment import Output, Payment
from chain.primitives import ETHER, ZERO_HASH
from client.listings import WrongListing, fetch_file
from client.node import Node
from client.quotes import (
    WrongQuote,
    check_quote,
    confirm_quote,
    describe_extension,
    describe_purchase,
    describe_single,
    describe_upload,
    make_extension,
    make_purchase,
    make_upload,
)
from tests.unit.client.market_scene import (
    FILE,
    KEEPER,
    MART,
    OWNER,
    PRICE,
    STORAGE_CHARGE,
    VALIDATOR,
    MarketScene,
    MarketServer,
    make_listing,
    make_market_payment,
)
from tests.unit.client.scene import BOB, LEDGER, MARKET, TOKEN
from tests.unit.client.servers import answer_json_rpc, serve


@pytest.fixture
def server() -> MarketServer:
    return MarketServer(MarketScene())


@pytest.fixture
def node(server: MarketServer) -> Iterator[Node]:
    with serve(answer_json_rpc(server)) as url, Node(url, sleep=lambda _: None) as opened:
        yield opened


class TestFiles:
    def test_an_honest_node_s_file_is_taken(self, node: Node, server: MarketServer) -> None:
        checked = fetch_file(node, FILE, LEDGER)
        assert checked.info == node.get_file(FILE)
        assert checked.receipt.receipt.signed == server.scene.listing
        assert checked.listing == server.scene.listing.instruction

    def test_so_is_one_whose_price_changed_and_one_that_nobody_keeps(self, node: Node, server: MarketServer) -> None:
        for number in range(4):
            server.scene.reprice(300 + number, 3 + number)
        assert fetch_file(node, FILE, LEDGER).info.price == 303
        other = server.scene.sign(make_listing(nonce=9, file=b"\x42" * 32, key_hash=ZERO_HASH))
        server.scene.add_block(other)
        assert fetch_file(node, b"\x42" * 32, LEDGER).info.service_node is None

    def test_an_unknown_one_is_not_found(self, node: Node) -> None:
        with pytest.raises(NotFound):
            fetch_file(node, bytes(32), LEDGER)

    @pytest.mark.parametrize(
        "change",
        [
            {"file": "0x" + "42" * 32}, {"name": "sea.csv"}, {"mediaType": "text/html"}, {"tags": ["lake"]},
            {"description": ""}, {"size": "0x1"}, {"contentHash": "0x" + "42" * 32}, {"keyHash": None},
            {"isKeyInEscrow": False}, {"validator": wire.encode_address(BOB)}, {"owner": wire.encode_address(BOB)},
            {"asset": wire.encode_address(ETHER)}, {"storageDays": "0x1"}, {"price": "0x1"},
            {"serviceNode": wire.encode_address(BOB)},
        ],
    )  # fmt: skip
    def test_whatever_the_validator_did_not_sign_is_named(
        self, node: Node, server: MarketServer, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
    ) -> None:
        server.scene.reprice(300, 3)
        honest = server.tally_getFile
        monkeypatch.setattr(server, "tally_getFile", lambda file: {**honest(file), **change}, raising=False)
        with pytest.raises(WrongListing):
            fetch_file(node, FILE, LEDGER)

    def test_another_s_price_does_not_count_nor_one_of_another_file(
        self, node: Node, server: MarketServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = server.scene.sign(make_listing(nonce=3, file=b"\x42" * 32, price=7))
        update = server.scene.sign(UpdatePrice(VALIDATOR, 4, 0, b"\x42" * 32, 8))
        server.scene.add_block(other, update)
        listed = server.tally_listInstructions({"account": wire.encode_address(VALIDATOR)})
        honest = server.tally_getFile
        monkeypatch.setattr(server, "tally_listInstructions", lambda _: listed, raising=False)
        for price in (7, 8):
            monkeypatch.setattr(
                server, "tally_getFile", lambda file, price=price: {**honest(file), "price": hex(price)}, raising=False
            )
            with pytest.raises(WrongListing):
                fetch_file(node, FILE, LEDGER)

    def test_a_forged_change_of_the_price_is_refused(
        self, node: Node, server: MarketServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.scene.reprice(300, 3)
        honest_file, honest_list = server.tally_getFile, server.tally_listInstructions

        def forge(wanted: dict[str, Any]) -> dict[str, Any]:
            page = honest_list(wanted)
            page["items"][0]["instruction"]["price"] = "0x1"
            return page

        monkeypatch.setattr(server, "tally_getFile", lambda file: {**honest_file(file), "price": "0x1"}, raising=False)
        monkeypatch.setattr(server, "tally_listInstructions", forge, raising=False)
        with pytest.raises(InvalidSignature):
            fetch_file(node, FILE, LEDGER)

    def test_a_listing_in_no_block_of_the_operator_s_is_refused(self, node: Node) -> None:
        with pytest.raises(InvalidSignature):
            fetch_file(node, FILE, msgspec.structs.replace(LEDGER, operator=BOB))

    def test_a_payment_is_no_listing(self, node: Node, server: MarketServer, monkeypatch: pytest.MonkeyPatch) -> None:
        honest = server.tally_getFile
        change = {"listing": wire.encode_bytes(server.scene.upload.id)}
        monkeypatch.setattr(server, "tally_getFile", lambda file: {**honest(file), **change}, raising=False)
        with pytest.raises(WrongListing, match="lists no file"):
            fetch_file(node, FILE, LEDGER)

    def test_pages_without_end_are_given_up(
        self, node: Node, server: MarketServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        honest = server.tally_getFile
        asked: list[Any] = []

        def go_on(wanted: dict[str, Any]) -> dict[str, Any]:
            asked.append(wanted)
            return {"items": [], "cursor": "more"}

        monkeypatch.setattr(server, "tally_getFile", lambda file: {**honest(file), "price": "0x1"}, raising=False)
        monkeypatch.setattr(server, "tally_listInstructions", go_on, raising=False)
        with pytest.raises(WrongListing):
            fetch_file(node, FILE, LEDGER)
        assert len(asked) == 20


LISTING = make_listing(nonce=3, file=b"\x42" * 32, owner=BOB)


class TestQuotes:
    def test_what_is_to_be_paid_is_known_without_the_node(self, server: MarketServer) -> None:
        file = server.scene.replay.state.files[FILE]
        assert make_upload(LISTING, KEEPER, TOKEN, MARKET) == make_market_payment(
            UPLOAD, VALIDATOR, (KEEPER, STORAGE_CHARGE), reference=LISTING.file
        )
        assert make_purchase(file, MART, MARKET) == make_market_payment(
            PURCHASE, MART, (VALIDATOR, 100), (OWNER, 90), (KEEPER, 10)
        )
        assert make_extension(file, 5, TOKEN, MARKET) == make_market_payment(EXTEND, VALIDATOR, (KEEPER, 10))
        with pytest.raises(NoStorageRate):
            make_extension(file, 5, ETHER, MARKET)

    def test_an_honest_node_quotes_the_same(self, node: Node, server: MarketServer) -> None:
        file = server.scene.replay.state.files[FILE]
        confirm_quote(node, make_upload(LISTING, KEEPER, TOKEN, MARKET), describe_upload(LISTING, KEEPER, TOKEN))
        purchase = make_purchase(file, MART, MARKET)
        confirm_quote(node, purchase, describe_purchase(purchase))
        extension = make_extension(file, 5, TOKEN, MARKET)
        confirm_quote(node, extension, describe_extension(extension, 5))
        for reference in (ZERO_HASH, FILE):
            tip = make_market_payment(TIP, MART, (BOB, 7), reference=reference, memo="thanks", valid_until=2**40)
            confirm_quote(node, tip, describe_single(tip))

    def test_a_refusal_is_heard_before_anything_is_signed(self, node: Node, server: MarketServer) -> None:
        tip = make_market_payment(TIP, MART, (BOB, 10**9), reference=ZERO_HASH)
        with pytest.raises(InsufficientBalance):
            confirm_quote(node, tip, describe_single(tip))
        gone = make_market_payment(PURCHASE, MART, (BOB, 1), reference=b"\x01" * 32)
        with pytest.raises(UnknownReference):
            confirm_quote(node, gone, describe_purchase(gone))
        assert server.sent == []

    @pytest.mark.parametrize(
        "change",
        [
            lambda payment: msgspec.structs.replace(payment, asset=ETHER),
            lambda payment: msgspec.structs.replace(payment, payer=BOB),
            lambda payment: msgspec.structs.replace(payment, valid_until=1),
            lambda payment: msgspec.structs.replace(payment, kind="transfer"),
            lambda payment: msgspec.structs.replace(payment, reference=bytes(32)),
            lambda payment: msgspec.structs.replace(payment, memo="x"),
            lambda payment: msgspec.structs.replace(payment, outputs=(Output(BOB, PRICE),)),
            lambda payment: msgspec.structs.replace(payment, outputs=(*payment.outputs, Output(BOB, 1))),
            lambda payment: msgspec.structs.replace(payment, outputs=payment.outputs[::-1]),
        ],
    )
    def test_any_other_payment_than_was_asked_for_is_refused(
        self,
        node: Node,
        server: MarketServer,
        monkeypatch: pytest.MonkeyPatch,
        change: Callable[[Payment], Payment],
    ) -> None:
        expected = make_purchase(server.scene.replay.state.files[FILE], MART, MARKET)
        with pytest.raises(WrongQuote):
            check_quote(change(expected), expected)
        other = change(expected)
        quoted = {"payment": wire.encode_payment(other), "total": hex(other.total), "parties": []}
        monkeypatch.setattr(server, "tally_quote", lambda *_: quoted, raising=False)
        with pytest.raises(WrongQuote):
            confirm_quote(node, expected, describe_purchase(expected))

    def test_the_nonce_is_the_wallet_s(self, server: MarketServer) -> None:
        expected = make_purchase(server.scene.replay.state.files[FILE], MART, MARKET)
        check_quote(msgspec.structs.replace(expected, nonce=77), expected)
