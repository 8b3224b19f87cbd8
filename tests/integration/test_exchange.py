"""The data exchange's money on a running network, by JSON-RPC and with a key for everybody: what each gets to the unit,
and that nothing moves which the rules do not say.

Of a price here, a validator gets half and the service node that keeps the file a twentieth. What costs nobody anything
is not asked of the network: the units' tests refuse it by name.
"""

import itertools
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from eth_account import Account
from eth_account.messages import encode_typed_data

from chain import wire
from chain.commitment import hash_commitment
from chain.primitives import ETHER, Hash
from chain.receipt import check_inclusion, check_instruction_receipt, check_receipt
from chain.registry import check_registry_proof
from chain.sealing import open_sealed_key, purchase_context
from client.content import decrypt_content, encrypt_content, generate_file_key
from client.settlement import Ethereum, SettlementReader
from tests.exchange import COMMISSION, Market, Party, Purse, check_conservation, list_all, read_records
from tests.network import Network, run_network, wait_until

EPOCH_SECONDS = 3
DAY_SECONDS = 86_400
TOKEN_RATE = 10**8
"""Of a development network: base units of tokens for keeping a byte for a day. In ether it is 1."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    directory = tmp_path_factory.mktemp("network")
    options = ("--epoch-seconds", str(EPOCH_SECONDS), "--challenge-period", "4")
    with run_network(directory, *options, **COMMISSION) as running:
        yield running


@pytest.fixture(scope="module")
def market(network: Network) -> Market:
    return Market(network)


def show(value: Hash) -> str:
    return wire.encode_bytes(value)


# --- roles


def test_each_role_is_registered_once_by_signature(network: Network, market: Market) -> None:
    for role in ("validator", "mart", "service_node"):
        party = Party(network)
        assert party.get_account()["roles"] == []
        receipt = wire.decode_instruction_receipt(party.register(role))
        check_instruction_receipt(receipt, network.domain, bytes.fromhex(network.facts["operator"][2:]))
        assert (party.get_account()["roles"], party.next_nonce()) == ([role], 1)
        again = party.sign(party.make_instruction("Register", role=role))
        assert party.refuse("tally_sendInstruction", *again)["code"] == "already_registered"
        assert party.next_nonce() == 1
    everything = Party(network, "validator", "mart", "service_node")
    everything.register_under(market.validator)
    assert everything.get_account()["roles"] == ["validator", "mart", "service_node", "owner"]


def test_a_registration_signed_by_another_program_from_the_published_types_is_accepted(network: Network) -> None:
    info = network.call("tally_getInfo")
    account = Account.create()
    form = {"account": account.address, "nonce": 0, "validUntil": 0, "role": "mart"}
    typed = encode_typed_data(info["domain"], info["otherTypes"]["Register"], form)
    signed = Account.sign_message(typed, account.key)
    receipt = network.call("tally_sendInstruction", {"type": "Register", **form}, "0x" + signed.signature.hex())
    assert receipt["id"] == "0x" + signed.message_hash.hex()
    assert network.call("tally_getAccount", account.address)["roles"] == ["mart"]


def test_owners_belong_to_one_validator_who_has_them_listed_and_counted(network: Network, market: Market) -> None:
    validator = Party(network, "validator")
    owners = [Party(network) for _ in range(9)]
    for owner in owners:
        assert owner.register_under(validator)["instruction"]["validator"] == validator.name
        assert owner.get_account()["ownerUnder"] == validator.name
        for other in (validator, market.other_validator):
            again = owner.sign(owner.make_instruction("RegisterOwner", validator=other.address))
            assert owner.refuse("tally_sendInstruction", *again)["code"] == "already_registered"
    items = list_all(validator, "tally_listRegistrations", validator=validator.name)
    assert [item["account"] for item in items] == [owner.name for owner in reversed(owners)]
    assert not any(item["namedOnly"] for item in items)
    assert validator.call("tally_listRegistrations", {"validator": validator.name})["count"] == hex(len(owners))
    under_none = Party(network)
    order = under_none.make_instruction("RegisterOwner", validator=market.mart.address)
    assert under_none.refuse("tally_sendInstruction", *under_none.sign(order))["code"] == "wrong_role"


# --- uploads


@pytest.mark.parametrize(
    "asset_name, size, charge",
    [
        ("ether", 1_000_001, 1_000_001),  # a price of 1.000001 in an asset of 6 decimals
        ("token", 10_000_010_000, 1_000_001 * 10**12),  # 1.000001 in one of 18, as the development token has
    ],
)
def test_an_upload_costs_what_is_quoted_to_the_unit(market: Market, asset_name: str, size: int, charge: int) -> None:
    asset = ETHER if asset_name == "ether" else market.network.token
    shown = wire.encode_address(asset)
    validator, node = market.validator, market.service_node
    purse = Purse(validator, node, market.owner, asset=asset)
    assert validator.call("tally_getStorageCharge", size, 1, shown) == {
        "charge": hex(charge),
        "dailyCharge": hex(charge),
    }
    listing = validator.make_listing(market.owner, size=size, asset=asset)
    listed, paid = validator.call("tally_sendUpload", *validator.sign_upload(listing, node))
    assert purse.compute_changes() == [-charge, charge, 0]
    assert (listed["block"], int(listed["index"], 16) + 1) == (paid["block"], int(paid["index"], 16))
    assert paid["payment"]["outputs"] == [{"to": node.name, "amount": hex(charge)}]

    for party, direction, side, change in ((validator, "out", "debits", -charge), (node, "in", "credits", charge)):
        wanted = {"account": party.name, "direction": direction, "kind": "upload", "reference": show(listing.file)}
        (item,) = validator.call("tally_listPayments", wanted)["items"]
        assert item["id"] == paid["id"]
        epoch = validator.call("tally_getPayment", paid["id"])["epoch"]
        statement = party.call("tally_getStatement", party.name, shown, epoch)
        (entry,) = [entry for entry in statement[side] if entry["id"] == paid["id"]]
        assert int(entry["amount"], 16) == abs(change)
    file = validator.get_file(listing.file)
    assert (file["serviceNode"], file["listing"]) == (node.name, listed["id"])


def test_an_owner_is_there_only_if_the_upload_was_paid(network: Network, market: Market) -> None:
    charge = 1000 * TOKEN_RATE
    validator, owner, node = Party(network, "validator", tokens=charge - 1), Party(network), market.service_node
    listing = validator.make_listing(owner)
    payment = validator.make_payment("upload", (node.address, charge), reference=listing.file, nonce=listing.nonce + 1)
    params = [*validator.sign(listing), *validator.sign(payment)]
    assert validator.refuse("tally_sendUpload", *params)["code"] == "insufficient_balance"
    assert (owner.get_account()["roles"], owner.get_account()["ownerUnder"]) == ([], None)
    assert owner.refuse("tally_getFile", show(listing.file))["code"] == "not_found"
    assert validator.call("tally_listRegistrations", {"validator": validator.name})["count"] == "0x0"
    assert (validator.next_nonce(), validator.get_balance()) == (1, charge - 1)

    network.call("tally_sendPayment", *network.sign(0, [(validator.address, 1)]))
    receipts = validator.call("tally_sendUpload", *params)
    assert (owner.get_account()["roles"], owner.get_account()["ownerUnder"]) == (["owner"], validator.name)
    (named,) = validator.call("tally_listRegistrations", {"validator": validator.name})["items"]
    assert (named["account"], named["namedOnly"]) == (owner.name, True)
    assert validator.call("tally_sendUpload", *params) == receipts, "sent again: the same, and charged once"
    assert validator.get_balance() == 0

    owner.register_under(market.other_validator)  # its own signature, which nobody had, may choose another
    assert owner.get_account()["ownerUnder"] == market.other_validator.name
    assert validator.call("tally_listRegistrations", {"validator": validator.name})["count"] == "0x0"


def test_a_quote_is_the_same_every_time_and_no_other_amount_is_taken(market: Market) -> None:
    validator, node = market.validator, market.service_node
    listing = validator.make_listing(market.owner, size=12_345, storage_days=67)
    form = wire.encode_instruction(listing)
    quote = validator.quote("upload", to=node.name, listing=form)
    assert quote == validator.quote("upload", to=node.name, listing=form)
    assert int(quote["total"], 16) == 12_345 * 67 * TOKEN_RATE
    purse = Purse(validator, node)
    for change in (-1, 1, -(12_345 * 67 * TOKEN_RATE) + 1, TOKEN_RATE):
        other = validator.make_payment(
            "upload", (node.address, int(quote["total"], 16) + change), reference=listing.file, nonce=listing.nonce + 1
        )
        params = [*validator.sign(listing), *validator.sign(other)]
        assert validator.refuse("tally_sendUpload", *params)["code"] == "wrong_outputs"
    assert purse.compute_changes() == [0, 0]


# --- purchases


@pytest.mark.parametrize(
    "price, validator, owner, node",
    [
        (2, 1, 1, 0),  # halved; a twentieth of 2 is nothing
        (3, 1, 2, 0),  # what a division leaves is the owner's
        (1, 0, 1, 0),
        (20, 10, 9, 1),
        (100, 50, 45, 5),
        (10**18 + 7, 5 * 10**17 + 3, 45 * 10**16 + 4, 5 * 10**16),
    ],
)
def test_a_price_is_split_to_the_unit(market: Market, price: int, validator: int, owner: int, node: int) -> None:
    file = market.validator.upload(market.owner, market.service_node, price=price)
    purse = Purse(market.mart, market.validator, market.owner, market.service_node)
    market.mart.buy(file)
    assert purse.compute_changes() == [-price, validator, owner, node]
    shown = market.mart.get_file(file)
    assert (shown["saleCount"], shown["sold"]) == ("0x1", hex(price))


def test_without_a_service_node_its_share_is_the_owner_s(market: Market) -> None:
    file = market.validator.list_alone(market.owner, price=100)
    purse = Purse(market.mart, market.validator, market.owner, market.service_node)
    market.mart.buy(file)
    assert purse.compute_changes() == [-100, 50, 50, 0]


def test_a_price_is_the_listing_s_and_what_it_was_before_is_refused(market: Market) -> None:
    file = market.validator.upload(market.owner, market.service_node, price=100)
    early = market.mart.quote("purchase", reference=show(file))
    market.validator.instruct("UpdatePrice", file=file, price=200)
    purse = Purse(market.mart, market.validator, market.owner, market.service_node)
    refusal = market.mart.refuse("tally_sendPayment", *market.mart.sign_quote(early))
    assert (refusal["code"], refusal["expected"], refusal["got"]) == ("wrong_price", hex(200), hex(100))
    for total in (1, 199, 201):
        cheap = market.mart.make_payment("purchase", (market.validator.address, total), reference=file)
        assert market.mart.refuse("tally_sendPayment", *market.mart.sign(cheap))["code"] == "wrong_price"
    details = {"from": market.mart.name, "reference": show(file), "price": 100}
    assert market.mart.refuse("tally_quote", "purchase", details)["code"] == "wrong_price"
    assert purse.compute_changes() == [0, 0, 0, 0]
    market.mart.buy(file)
    assert purse.compute_changes() == [-200, 100, 90, 10]
    assert [price["price"] for price in market.mart.get_file(file)["prices"]] == [hex(200), hex(100)]


def test_a_purchase_sent_100_times_in_parallel_is_charged_once_and_no_second_one_is(market: Market) -> None:
    file = market.validator.upload(market.owner, market.service_node, price=1000)
    purse = Purse(market.mart, market.validator, market.owner, market.service_node)
    params = market.mart.sign_quote(market.mart.quote("purchase", reference=show(file)))

    def send(_: int) -> Any:
        return market.network.call("tally_sendPayment", *params, session=requests.Session())

    with ThreadPoolExecutor(16) as threads:
        receipts = list(threads.map(send, range(100)))
    assert {(receipt["id"], receipt["block"]["hash"], receipt["index"]) for receipt in receipts} == {
        (receipts[0]["id"], receipts[0]["block"]["hash"], receipts[0]["index"])
    }
    once = [-1000, 500, 450, 50]
    assert purse.compute_changes() == once

    nonce = market.mart.next_nonce()
    outputs = [(bytes.fromhex(each["to"][2:]), int(each["amount"], 16)) for each in params[0]["outputs"]]
    second = market.mart.sign(market.mart.make_payment("purchase", *outputs, reference=file))
    for refusal in (
        market.mart.refuse("tally_sendPayment", *second),
        market.mart.refuse("tally_quote", "purchase", {"from": market.mart.name, "reference": show(file)}),
    ):
        assert (refusal["code"], refusal["payment"]) == ("already_purchased", receipts[0]["id"])
    assert (purse.compute_changes(), market.mart.next_nonce()) == (once, nonce)
    assert market.mart.get_file(file)["saleCount"] == "0x1"


def test_an_upload_sent_100_times_in_parallel_is_charged_once(market: Market) -> None:
    listing = market.validator.make_listing(market.owner)
    params = market.validator.sign_upload(listing, market.service_node)
    purse = Purse(market.validator, market.service_node)

    def send(_: int) -> Any:
        return market.network.call("tally_sendUpload", *params, session=requests.Session())

    with ThreadPoolExecutor(16) as threads:
        pairs = list(threads.map(send, range(100)))
    assert len({tuple([receipt["id"] for receipt in pair]) for pair in pairs}) == 1
    assert len({tuple([receipt["block"]["hash"] for receipt in pair]) for pair in pairs}) == 1
    assert purse.compute_changes() == [-1000 * TOKEN_RATE, 1000 * TOKEN_RATE]


# --- keys


def test_the_key_is_there_for_who_has_paid_and_opens_the_content(market: Market, tmp_path: Path) -> None:
    """From the listing on the validator does nothing any more: its key is not used, and it has no process."""
    network, mart, other = market.network, market.mart, market.other_mart
    content, encrypted, key = tmp_path / "content", tmp_path / "encrypted", generate_file_key()
    content.write_bytes(secrets.token_bytes(100_000))
    facts = encrypt_content(content, encrypted, key)
    file = secrets.token_bytes(32)
    validator = Party(network, "validator", tokens=10**22)
    validator.upload(
        Party(network),
        market.service_node,
        size=facts.size,
        content_hash=facts.content_hash,
        **validator.seal(file, key),
    )
    del validator

    assert mart.refuse("tally_getPurchase", show(file), mart.name)["code"] == "not_found"
    mart.pay("transfer", (market.service_node.address, 100), reference=file)
    assert mart.refuse("tally_getPurchase", show(file), mart.name)["code"] == "not_found", "paid for something else"
    receipt = mart.buy(file)
    bought = other.call("tally_getPurchase", show(file), mart.name)  # anybody may have it, and only the buyer open it
    assert bought["receipt"]["id"] == receipt["id"]
    sealed, context = bytes.fromhex(bought["sealedKey"][2:]), purchase_context(network.domain, file, mart.address)
    opened = open_sealed_key(sealed, mart.key.secret, context)
    shown = mart.get_file(file)
    decrypted = decrypt_content(encrypted, tmp_path / "bought", opened, bytes.fromhex(shown["contentHash"][2:]))
    assert decrypted == facts and (tmp_path / "bought").read_bytes() == content.read_bytes()
    with pytest.raises(Exception, match="sealed to another key"):
        open_sealed_key(sealed, other.key.secret, context)
    assert other.refuse("tally_getPurchase", show(file), other.name)["code"] == "not_found"


def test_a_sealed_key_copied_from_a_listing_opens_no_other(market: Market) -> None:
    """Neither another validator nor its own may list it again, to buy it from themselves."""
    key, file = generate_file_key(), secrets.token_bytes(32)
    sealed = market.validator.seal(file, key)
    market.validator.upload(market.owner, market.service_node, **sealed)
    thief = market.other_validator
    own = Party(market.network)
    own.register_under(thief)
    for party, owner, fields in (
        (thief, own, {**sealed, "file": secrets.token_bytes(32)}),
        (market.validator, market.owner, {**sealed, "file": secrets.token_bytes(32)}),
        (thief, own, {**thief.seal(file, generate_file_key()), "key_hash": sealed["key_hash"], "file": file[::-1]}),
    ):
        listing = party.make_listing(owner, **fields)
        assert party.refuse("tally_sendInstruction", *party.sign(listing))["code"] == "wrong_key"
        details = {"from": party.name, "to": market.service_node.name, "listing": wire.encode_instruction(listing)}
        assert party.refuse("tally_quote", "upload", details)["code"] == "wrong_key"
        assert party.refuse("tally_getFile", show(listing.file))["code"] == "not_found"


# --- storage


def test_an_extension_is_paid_to_the_node_and_moves_the_end(market: Market) -> None:
    validator, node = market.validator, market.service_node
    file = validator.upload(market.owner, node, size=2000, storage_days=5)
    before = int(validator.get_file(file)["keepUntil"], 16)
    listed_at = int(validator.get_file(file)["listedAt"], 16)
    assert before == listed_at // 1000 + 5 * DAY_SECONDS
    purse = Purse(validator, node)
    quote = validator.quote("extend", reference=show(file), days=3)
    assert int(quote["total"], 16) == 3 * 2000 * TOKEN_RATE

    form, signature = validator.sign_quote(quote)
    for params in ([form, market.mart.sign_quote(quote)[1]], [form, "0x" + "00" * 65], [form, signature[:-2] + "1d"]):
        assert validator.refuse("tally_sendPayment", *params)["code"] == "invalid_signature"
    day = 2000 * TOKEN_RATE
    for amount in (1, day - 1, 3 * day + 1):
        other = validator.sign(validator.make_payment("extend", (node.address, amount), reference=file))
        assert validator.refuse("tally_sendPayment", *other)["code"] == "wrong_outputs"
    assert purse.compute_changes() == [0, 0] and int(validator.get_file(file)["keepUntil"], 16) == before

    validator.call("tally_sendPayment", form, signature)
    assert purse.compute_changes() == [-3 * day, 3 * day]
    assert int(validator.get_file(file)["keepUntil"], 16) == before + 3 * DAY_SECONDS
    validator.pay_quote("extend", reference=show(file), days=1)
    assert int(validator.get_file(file)["keepUntil"], 16) == before + 4 * DAY_SECONDS


# --- what is refused


def test_whatever_the_rules_do_not_say_is_refused_by_name_and_moves_nothing(network: Network, market: Market) -> None:
    validator, mart, node, owner = market.validator, market.mart, market.service_node, market.owner
    other, stranger = market.other_validator, market.stranger
    file = validator.upload(owner, node, price=100)
    alone, sold = validator.list_alone(owner, price=100), validator.upload(owner, node, price=100)
    ended = validator.upload(owner, node, price=100)
    validator.instruct("Delist", file=ended)
    mart.buy(sold)
    shares = [(validator.address, 50), (owner.address, 45), (node.address, 5)]
    charge = 1000 * TOKEN_RATE
    unknown = secrets.token_bytes(32)
    under_other = Party(network)
    under_other.register_under(other)
    poor = Party(network, "mart")

    def pay(party: Party, kind: str, *outputs: tuple[bytes, int], **fields: Any) -> Callable[[], str]:
        params = party.sign(party.make_payment(kind, *outputs, **fields))
        return lambda: str(party.refuse("tally_sendPayment", *params)["code"])

    def buy(
        *outputs: tuple[bytes, int], party: Party = mart, reference: Hash = file, **fields: Any
    ) -> Callable[[], str]:
        return pay(party, "purchase", *(outputs or shares), reference=reference, **fields)

    def instruct(party: Party, type_: str, **fields: Any) -> Callable[[], str]:
        params = party.sign(party.make_instruction(type_, **fields))
        return lambda: str(party.refuse("tally_sendInstruction", *params)["code"])

    def list_file(party: Party, of: Party, **fields: Any) -> Callable[[], str]:
        params = party.sign(party.make_listing(of, **fields))
        return lambda: str(party.refuse("tally_sendInstruction", *params)["code"])

    def upload(party: Party, of: Party, to: Party, amount: int = charge, **fields: Any) -> Callable[[], str]:
        listing = party.make_listing(of, **fields)
        payment = party.make_payment("upload", (to.address, amount), reference=listing.file, nonce=listing.nonce + 1)
        params = [*party.sign(listing), *party.sign(payment)]
        return lambda: str(party.refuse("tally_sendUpload", *params)["code"])

    cases: list[tuple[str, Callable[[], str]]] = [
        # by whom
        ("wrong_role", buy(party=stranger)),
        ("wrong_role", buy(party=validator)),
        ("wrong_role", list_file(mart, owner)),
        ("wrong_role", list_file(validator, stranger)),
        ("wrong_role", upload(mart, stranger, node)),
        ("foreign_validator", list_file(validator, under_other)),
        ("foreign_validator", upload(other, owner, node)),
        ("foreign_validator", pay(other, "upload", (node.address, charge), reference=alone)),
        ("foreign_validator", pay(other, "extend", (node.address, charge), reference=file)),
        ("foreign_validator", pay(mart, "extend", (node.address, charge), reference=file)),
        ("foreign_validator", instruct(other, "UpdatePrice", file=file, price=1)),
        ("foreign_validator", instruct(owner, "Delist", file=file)),
        # how much, to whom
        ("wrong_price", buy((validator.address, 1))),
        ("wrong_price", buy((validator.address, 50), (owner.address, 45), (node.address, 4))),
        ("wrong_outputs", buy((validator.address, 49), (owner.address, 46), (node.address, 5))),
        ("wrong_outputs", buy((owner.address, 45), (validator.address, 50), (node.address, 5))),
        ("wrong_outputs", buy((validator.address, 55), (owner.address, 45))),
        ("wrong_outputs", buy((mart.address, 100))),
        ("wrong_outputs", buy(*[(validator.address, 25)] * 4)),
        ("wrong_service_node", buy(*shares[:2], (market.other_node.address, 5))),
        ("wrong_service_node", buy(*shares[:2], (stranger.address, 5))),
        ("wrong_asset", buy(asset=ETHER)),
        ("wrong_service_node", upload(validator, owner, stranger)),
        ("wrong_outputs", upload(validator, owner, node, charge - 1)),
        ("wrong_outputs", upload(validator, owner, node, 2 * charge)),
        ("wrong_service_node", pay(validator, "extend", (market.other_node.address, charge), reference=file)),
        ("wrong_outputs", pay(validator, "extend", (node.address, 1), reference=file)),
        ("wrong_outputs", pay(validator, "extend", (node.address, charge), (node.address, charge), reference=file)),
        # of what
        ("unknown_reference", buy(reference=unknown)),
        ("unknown_reference", pay(validator, "upload", (node.address, charge), reference=unknown)),
        ("unknown_reference", pay(validator, "extend", (node.address, charge), reference=unknown)),
        ("unknown_reference", instruct(validator, "UpdatePrice", file=unknown, price=1)),
        ("already_purchased", buy(reference=sold)),
        ("delisted", buy(reference=ended)),
        ("delisted", instruct(validator, "UpdatePrice", file=ended, price=1)),
        ("delisted", instruct(validator, "Delist", file=ended)),
        ("already_listed", list_file(validator, owner, file=file)),
        ("already_listed", upload(validator, owner, node, file=ended)),
        ("already_uploaded", pay(validator, "upload", (node.address, charge), reference=file)),
        ("not_uploaded", pay(validator, "extend", (node.address, charge), reference=alone)),
        # when
        ("expired", buy(valid_until=1)),
        ("expired", instruct(validator, "Delist", file=file, valid_until=1)),
        ("nonce_used", buy(nonce=0)),
        ("nonce_too_far", instruct(validator, "Delist", file=file, nonce=validator.next_nonce() + 256)),
        # whether there is the money
        ("insufficient_balance", buy(party=poor)),
    ]

    def look() -> Any:
        accounts = [party.get_account() for party in [*market.parties, poor, under_other]]
        files = [mart.get_file(each) for each in (file, alone, sold, ended)]
        return accounts, files, network.call("tally_getInfo")["headBlock"]

    before = look()
    for name, ask in cases:
        assert ask() == name
    assert look() == before


# --- finding


def test_a_listed_file_is_found_and_a_delisted_one_only_if_asked_for(market: Market) -> None:
    validator = market.validator
    word = "w" + secrets.token_hex(8)
    file = validator.upload(market.owner, market.service_node, name=f"A {word} of files", tags=("rare", word))
    for wanted in (
        {"text": word.upper()},
        {"tag": word},
        {"tag": ["rare", word]},
        {"text": word, "owner": market.owner.name},
    ):
        (item,) = market.mart.call("tally_listFiles", wanted)["items"]
        assert item["file"] == show(file)
    assert market.mart.call("tally_listFiles", {"tag": word, "validator": market.mart.name})["items"] == []
    validator.instruct("Delist", file=file)
    assert market.mart.call("tally_listFiles", {"tag": word})["items"] == []
    (item,) = market.mart.call("tally_listFiles", {"tag": word, "status": "all"})["items"]
    assert item["status"] == "delisted"
    types = [each["instruction"]["type"] for each in list_all(validator, "tally_listInstructions", file=show(file))]
    assert types == ["Delist", "ListFile"]


def test_pages_show_every_file_and_instruction_once(market: Market) -> None:
    validator = Party(market.network, "validator")
    owner = Party(market.network)
    owner.register_under(validator)
    files = [validator.list_alone(owner) for _ in range(20)]
    listed = list_all(validator, "tally_listFiles", validator=validator.name)
    assert [item["file"] for item in listed] == [show(file) for file in reversed(files)]
    instructions = list_all(validator, "tally_listInstructions", account=validator.name)
    assert [item["instruction"].get("file") for item in instructions] == [*map(show, reversed(files)), None]


# --- Ethereum


def test_roles_files_and_instructions_are_proven_against_ethereum(network: Network, market: Market) -> None:
    validator, mart = market.validator, market.mart
    operator = bytes.fromhex(network.facts["operator"][2:])
    file = validator.upload(market.owner, market.service_node, price=77)
    listing = validator.get_file(file)["listing"]
    bought = mart.buy(file)

    def is_committed() -> Any:
        receipt = validator.call("tally_getReceipt", bought["id"])
        return receipt if receipt["commitment"] else None

    paid: Any = wait_until(is_committed, "the commitment of a purchase")
    receipt = wire.decode_receipt(paid)
    check_receipt(receipt, network.domain, operator)
    assert receipt.inclusion is not None
    check_inclusion(receipt.header, receipt.inclusion, network.domain)
    instruction = wire.decode_instruction_receipt(validator.call("tally_getReceipt", listing))
    check_instruction_receipt(instruction, network.domain, operator)
    assert instruction.inclusion is not None
    check_inclusion(instruction.header, instruction.inclusion, network.domain)

    epoch = receipt.inclusion.commitment.epoch
    ethereum = Ethereum.at(network.facts["l1Url"])
    try:
        event = next(iter(SettlementReader(ethereum, network.domain.verifying_contract).read_committed(epoch, 0)))
    finally:
        ethereum.close()
    for proven in (
        validator.call("tally_getFileProof", show(file), epoch),
        validator.call("tally_getRolesProof", market.owner.name, epoch),
    ):
        commitment = wire.decode_commitment(proven["commitment"]["message"])
        assert hash_commitment(commitment, network.domain) == event.digest
        check_registry_proof(wire.decode_registry_proof(proven), commitment.extra_root)
    entry = validator.call("tally_getFileProof", show(file), epoch)["entry"]
    assert (entry["price"], entry["serviceNode"]) == (hex(77), market.service_node.name)


# --- in the end


def test_all_balances_are_deposits_less_withdrawals_and_every_upload_is_whole(network: Network) -> None:
    """After all that the tests before have done."""
    check_conservation(network)
    records = read_records(network)
    paid = [record["payment"]["reference"] for record in records if record.get("payment", {}).get("kind") == "upload"]
    assert len(paid) == len(set(paid)) > 10, "each paid for once"
    for record, following in itertools.pairwise(records):
        if following.get("payment", {}).get("kind") == "upload":
            assert record["instruction"]["file"] == following["payment"]["reference"]
            assert record["block"] == following["block"]


def test_the_ledger_replays_to_what_ethereum_has(network: Network, tmp_path: Path) -> None:
    audit = network.run_tally("audit", home=tmp_path)
    assert audit.status == 0, audit
