"""Proof of purchase: a receipt decides, and nothing that is not exactly one passes."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain import wire
from chain.block import Header, build_records_tree, hash_header
from chain.errors import (
    InvalidProof,
    InvalidSignature,
    Refusal,
    WrongAsset,
    WrongKey,
    WrongOutputs,
    WrongPrice,
    WrongServiceNode,
)
from chain.hashing import keccak
from chain.kinds import PURCHASE
from chain.params import Domain
from chain.primitives import ETHER, ZERO_ADDRESS, ZERO_HASH
from chain.receipt import Receipt
from chain.sealing import purchase_context, seal_key
from chain.signatures import sign_digest
from client import market
from client.errors import WrongLedger
from client.keys import SigningKey
from client.market import Purchase
from client.protocol import decode_any_receipt, decode_held_instruction_receipt, decode_held_receipt
from client.purchases import (
    NoFileKey,
    Terms,
    check_file_key,
    check_purchase,
    compute_terms,
    find_terms,
    get_place,
    open_purchased_key,
)
from client.receipts import ReceiptStore
from tests.unit.client.market_scene import (
    EPHEMERAL,
    FILE,
    FILE_KEY,
    KEEPER,
    MART,
    MART_KEY,
    OWNER,
    PRICE,
    VALIDATOR,
    MarketScene,
    MarketServer,
    make_listing,
    make_market_payment,
)
from tests.unit.client.scene import (
    BOB,
    BOB_KEY,
    DOMAIN,
    LEDGER,
    MARKET,
    OPERATOR,
    OPERATOR_KEY,
    PARAMETERS,
    SETTLEMENT,
    TOKEN,
)

PINNED = msgspec.structs.replace(LEDGER, parameters=PARAMETERS)
TERMS = Terms(FILE, VALIDATOR, OWNER, TOKEN, PRICE, KEEPER, MARKET)
SHARES = ((VALIDATOR, 100), (OWNER, 90), (KEEPER, 10))
MART_SIGNING = SigningKey(MART_KEY.secret)


@pytest.fixture
def scene() -> MarketScene:
    return MarketScene()


def forge(scene: MarketScene, *shares: tuple[bytes, int], **fields: Any) -> Receipt:
    """A receipt that an operator signed for a payment that the rules refuse: what if there were one."""
    kind, payer = fields.pop("kind", PURCHASE), fields.pop("payer", MART)
    record = scene.sign(make_market_payment(kind, payer, *(shares or SHARES), nonce=7, **fields))
    tree = build_records_tree([record])
    header = Header(99, ZERO_HASH, scene.replay.state.timestamp, tree.root, 1)
    return Receipt(record, header, sign_digest(OPERATOR_KEY, hash_header(header, DOMAIN)), 0, tuple(tree.prove(0)))


def check(receipt: Receipt, **changes: Any) -> None:
    given = {"file": FILE, "buyer": MART, "domain": DOMAIN, "operator": OPERATOR, "terms": TERMS, **changes}
    check_purchase(receipt, **given)


class TestChecking:
    def test_who_has_bought_has_bought(self, scene: MarketScene) -> None:
        bought = scene.buy()
        receipt = decode_held_receipt(scene.get_receipt(bought)).receipt
        check(receipt)
        check(receipt, terms=None)
        check(forge(scene))
        scene.seal()
        committed = decode_held_receipt(scene.get_receipt(bought)).receipt
        assert committed.inclusion is not None
        check(committed)

    @pytest.mark.parametrize(
        ("fields", "refusal", "problem"),
        [
            ({"kind": "transfer"}, InvalidProof, "of kind transfer"),
            ({"reference": b"\x01" * 32}, InvalidProof, "was bought, not"),
            ({"payer": VALIDATOR}, InvalidProof, "has bought it, not"),
            ({"asset": ETHER}, WrongAsset, "the price is in asset"),
            (
                {"shares": ((VALIDATOR, 100), (OWNER, 90), (KEEPER, 9))},
                WrongPrice,
                "is 200 now, the payment states 199",
            ),
            ({"shares": ((VALIDATOR, 1),)}, WrongPrice, "states 1"),
            ({"shares": ((VALIDATOR, 100), (OWNER, 90), (BOB, 10))}, WrongServiceNode, "this payment pays"),
            ({"shares": ((VALIDATOR, 200),)}, WrongOutputs, "100 to"),
            ({"shares": ((VALIDATOR, 100), (BOB, 90), (KEEPER, 10))}, WrongOutputs, "90 to"),
            ({"shares": ((OWNER, 90), (VALIDATOR, 100), (KEEPER, 10))}, WrongOutputs, "100 to"),
            ({"shares": ((VALIDATOR, 100), (OWNER, 100))}, WrongOutputs, "10 to"),
        ],
    )
    def test_anything_else_is_refused_by_name(
        self, scene: MarketScene, fields: dict[str, Any], refusal: type[Refusal], problem: str
    ) -> None:
        receipt = forge(scene, *fields.pop("shares", ()), **fields)
        with pytest.raises(refusal, match=problem):
            check(receipt)

    def test_what_is_asked_about_counts_not_what_the_receipt_says(self, scene: MarketScene) -> None:
        receipt = forge(scene)
        for changes in ({"file": b"\x01" * 32}, {"buyer": BOB}, {"buyer": VALIDATOR}):
            with pytest.raises(InvalidProof):
                check(receipt, **changes)

    def test_the_refusals_come_in_their_documented_order(self, scene: MarketScene) -> None:
        """A receipt that is wrong in every way, put right bit by bit."""
        wrong: dict[str, Any] = {"kind": "transfer", "reference": b"\x01" * 32, "payer": VALIDATOR, "asset": ETHER}
        shares: tuple[tuple[bytes, int], ...] = ((BOB, 7),)
        expected: list[tuple[dict[str, Any], type[Refusal], str]] = [
            ({}, InvalidProof, "of kind"),
            ({"kind": PURCHASE}, InvalidProof, "was bought"),
            ({"reference": FILE}, InvalidProof, "has bought it"),
            ({"payer": MART}, WrongAsset, "asset"),
            ({"asset": TOKEN}, WrongPrice, "price"),
        ]
        unsigned = forge(scene, *shares, **wrong)
        with pytest.raises(InvalidSignature):
            check(msgspec.structs.replace(unsigned, header_signature=sign_digest(BOB_KEY, bytes(32))))
        for change, refusal, problem in expected:
            wrong |= change
            with pytest.raises(refusal, match=problem):
                check(forge(scene, *shares, **wrong))
        with pytest.raises(WrongOutputs):
            check(forge(scene, (BOB, PRICE), **wrong))
        check(forge(scene, *SHARES, **wrong))

    def test_no_byte_of_a_receipt_may_be_altered(self, scene: MarketScene) -> None:
        bought, other = scene.buy(), scene.upload
        form = scene.get_receipt(bought)
        for change in (
            {"id": wire.encode_bytes(other.id)},
            {"payment": wire.encode_payment(other.payment)},
            {"payment": {**form["payment"], "memo": "x"}},
            {"signature": wire.encode_bytes(other.signature)},
            {"block": scene.get_receipt(other)["block"]},
            {"index": "0x1"},
            {"siblings": ["0x" + "11" * 32]},
        ):
            receipt = decode_held_receipt({**form, **change}).receipt
            with pytest.raises((InvalidProof, InvalidSignature)):
                check(receipt)

    def test_a_commitment_that_it_does_not_lead_to_is_refused(self, scene: MarketScene) -> None:
        bought = scene.buy()
        scene.seal()
        receipt = decode_held_receipt(scene.get_receipt(bought)).receipt
        assert receipt.inclusion is not None
        wrong = msgspec.structs.replace(receipt.inclusion, index=receipt.inclusion.index + 1)
        with pytest.raises(InvalidProof):
            check(msgspec.structs.replace(receipt, inclusion=wrong))

    @pytest.mark.parametrize(
        "changes",
        [{"operator": BOB}, {"domain": Domain.of(1, SETTLEMENT)}, {"domain": Domain.of(31337, BOB)}],
        ids=["operator", "chain", "contract"],
    )
    def test_another_ledger_s_purchase_is_none(self, scene: MarketScene, changes: dict[str, Any]) -> None:
        with pytest.raises(InvalidSignature):
            check(forge(scene), terms=None, **changes)

    def test_where_the_keeper_is_not_known_whoever_got_the_commission_passes_and_nothing_else(
        self, scene: MarketScene
    ) -> None:
        terms = msgspec.structs.replace(TERMS, service_node=None)
        for keeper in (KEEPER, BOB):
            check(forge(scene, (VALIDATOR, 100), (OWNER, 90), (keeper, 10)), terms=terms)
        check(forge(scene, (VALIDATOR, 100), (OWNER, 100)), terms=terms)
        for shares in (((VALIDATOR, 100), (OWNER, 91), (KEEPER, 9)), ((VALIDATOR, 100), (BOB, 100)), ((BOB, 200),)):
            with pytest.raises(WrongOutputs):
                check(forge(scene, *shares), terms=terms)

    def test_a_file_that_nobody_keeps_has_no_commission(self, scene: MarketScene) -> None:
        terms = msgspec.structs.replace(TERMS, service_node=ZERO_ADDRESS)
        check(forge(scene, (VALIDATOR, 100), (OWNER, 100)), terms=terms)
        with pytest.raises(WrongOutputs):
            check(forge(scene), terms=terms)


def compute(listing: Any, others: list[Any], place: tuple[int, int] = (99, 0)) -> Terms:
    return compute_terms(listing, others, place=place, domain=DOMAIN, operator=OPERATOR, market=MARKET)


class TestTerms:
    def test_the_price_is_the_one_in_force_where_the_purchase_stands(self, scene: MarketScene) -> None:
        first = scene.reprice(300, 3)
        before = scene.replay.state.block_number
        second = scene.reprice(400, 4)
        listing = decode_held_instruction_receipt(scene.get_receipt(scene.listing)).receipt
        others = [decode_any_receipt(scene.get_receipt(each)).receipt for each in (second, scene.upload, first)]

        def compute_at(block: int, index: int = 0) -> Terms:
            return compute(listing, others, (block, index))

        assert compute_at(before + 2) == msgspec.structs.replace(TERMS, price=400)
        assert compute_at(before + 1, 1).price == 400, "of one block, the record before counts"
        assert compute_at(before + 1).price == 300
        assert compute_at(before).price == PRICE
        place = get_place(listing)
        assert compute_at(place[0], place[1] + 1) == msgspec.structs.replace(TERMS, service_node=None)
        with pytest.raises(InvalidProof, match="listed after"):
            compute_at(*place)

    def test_they_are_found_among_the_receipts_on_disk(self, scene: MarketScene, tmp_path: Path) -> None:
        store = ReceiptStore(DOMAIN.chain_id, tmp_path)
        assert find_terms(store, FILE, PINNED, place=(99, 0)) is None
        with pytest.raises(WrongLedger, match="parameters"):
            find_terms(store, FILE, LEDGER, place=(99, 0))
        other = scene.sign(make_listing(nonce=3, file=b"\x01" * 32, description=FILE.hex()))
        scene.add_block(other)
        for record in (scene.first, scene.upload, scene.reprice(300, 4), other):
            store.save(decode_any_receipt(scene.get_receipt(record)))
        assert find_terms(store, FILE, PINNED, place=(99, 0)) is None
        store.save(decode_any_receipt(scene.get_receipt(scene.listing)))
        assert find_terms(store, FILE, PINNED, place=(99, 0)) == msgspec.structs.replace(TERMS, price=300)

    def test_receipts_that_do_not_hold_are_no_terms(self, scene: MarketScene) -> None:
        listing = decode_held_instruction_receipt(scene.get_receipt(scene.listing)).receipt
        update = decode_held_instruction_receipt(scene.get_receipt(scene.reprice(1, 3))).receipt
        unsigned = sign_digest(BOB_KEY, bytes(32))
        with pytest.raises(InvalidSignature):
            compute(msgspec.structs.replace(listing, header_signature=unsigned), [])
        with pytest.raises(InvalidSignature):
            forged = msgspec.structs.replace(update, header_signature=unsigned)
            compute(listing, [forged])
        with pytest.raises(InvalidProof, match="lists no file"):
            compute(update, [])

    def test_nobody_else_s_instructions_and_payments_change_them(self, scene: MarketScene) -> None:
        listing = decode_held_instruction_receipt(scene.get_receipt(scene.listing)).receipt
        others = [decode_any_receipt(scene.get_receipt(record)).receipt for record in (scene.first, scene.buy())]
        assert compute(listing, others).service_node is None


class TestKeys:
    @pytest.fixture
    def purchase(self, scene: MarketScene) -> Purchase:
        scene.buy()
        form = MarketServer(scene).tally_getPurchase(wire.encode_bytes(FILE), wire.encode_address(MART))
        return market.decode_purchase(form)

    def test_the_buyer_opens_it(self, purchase: Purchase) -> None:
        assert open_purchased_key(purchase, MART_SIGNING, DOMAIN, keccak(FILE_KEY)) == FILE_KEY
        check(purchase.receipt.receipt)

    def test_nobody_else_does_nor_on_another_ledger(self, purchase: Purchase) -> None:
        with pytest.raises(WrongKey):
            open_purchased_key(purchase, SigningKey(BOB_KEY.secret), DOMAIN, keccak(FILE_KEY))
        with pytest.raises(WrongKey):
            open_purchased_key(purchase, MART_SIGNING, Domain.of(1, SETTLEMENT), keccak(FILE_KEY))

    def test_it_opens_for_that_file_alone(self, purchase: Purchase) -> None:
        with pytest.raises(WrongKey):
            other = msgspec.structs.replace(purchase, file=b"\x01" * 32)
            open_purchased_key(other, MART_SIGNING, DOMAIN, keccak(FILE_KEY))

    def test_a_key_that_is_not_the_listing_s_is_refused_whatever_the_node_says_of_it(self, purchase: Purchase) -> None:
        public_key = MART_KEY.public_key.format()
        sealed = seal_key(bytes(32), public_key, purchase_context(DOMAIN, FILE, MART), EPHEMERAL)
        wrong = msgspec.structs.replace(purchase, sealed_key=sealed, key_hash=keccak(bytes(32)))
        with pytest.raises(WrongKey, match="the listing says"):
            open_purchased_key(wrong, MART_SIGNING, DOMAIN, keccak(FILE_KEY))
        with pytest.raises(WrongKey):
            check_file_key(bytes(32), keccak(FILE_KEY))
        check_file_key(FILE_KEY, keccak(FILE_KEY))

    def test_where_there_is_none_it_is_said_why(self, purchase: Purchase) -> None:
        with pytest.raises(NoFileKey, match="not encrypted"):
            open_purchased_key(purchase, MART_SIGNING, DOMAIN, ZERO_HASH)
        with pytest.raises(NoFileKey, match="validator"):
            kept = msgspec.structs.replace(purchase, sealed_key=None)
            open_purchased_key(kept, MART_SIGNING, DOMAIN, keccak(FILE_KEY))
