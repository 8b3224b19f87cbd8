"""Every record in one line of plain words: exact, and the same words as text and with links."""

from typing import Any

import pytest
from msgspec.structs import replace

from chain.kinds import EXTEND, PURCHASE, TIP, TRANSFER, UPLOAD, WITHDRAW
from chain.params import Market
from chain.payment import Output
from chain.primitives import ETHER, MAX_U128, ZERO_HASH
from chain.wire import encode_address, encode_bytes
from explorer.files import find_roles
from explorer.formatting import NAME_SHOWN, Token, describe_token
from explorer.rendering import load_pages
from explorer.sentences import OUTPUTS_NAMED, PartyChange, describe_record, find_file, list_changes, tell
from node.index import IndexedDeposit, IndexedFile, IndexedInstruction, IndexedPayment, IndexedRecord
from node.ledger_info import ETHER_INFO, AssetInfo
from tests.unit.explorer.reading import Page

PAYER, *PAYEES = [bytes([number]) * 20 for number in range(1, 18)]
VALIDATOR, OWNER, NODE = PAYEES[:3]
REFERENCE = b"\xab" * 32
FILE_ID = b"\xcd" * 32
ASSET = b"\x77" * 20
TOKEN = describe_token(ASSET, AssetInfo("TOK", 6))
UNKNOWN = describe_token(ASSET, AssetInfo(None, None))
EMPTY = describe_token(ASSET, AssetInfo("TOK", None))
ETHER_TOKEN = describe_token(ETHER, ETHER_INFO)

P = "0x0101…0101"
A, B, C = "0x0202…0202", "0x0303…0303", "0x0404…0404"


def pay(*outputs: tuple[bytes, int], kind: str = TRANSFER, reference: bytes = ZERO_HASH) -> IndexedPayment:
    return IndexedPayment(
        id=b"\x09" * 32, block=5, record=1, timestamp=1, epoch=1, kind=kind, asset=ASSET, payer=PAYER, nonce=0,
        total=sum([amount for _, amount in outputs]), outputs=tuple([Output(to, amount) for to, amount in outputs]),
        reference=reference, memo="",
    )  # fmt: skip


def pay_for_file(kind: str, *outputs: tuple[bytes, int], payer: bytes = PAYER) -> IndexedPayment:
    return replace(pay(*outputs, kind=kind, reference=FILE_ID), payer=payer)


def make_file(name: str = "Weather, hourly", **changes: Any) -> IndexedFile:
    file = IndexedFile(
        id=FILE_ID, validator=VALIDATOR, owner=OWNER, asset=ASSET, price=2_000_000, size=1 << 20, storage_days=30,
        keep_until=9, service_node=NODE, listing=b"\x07" * 32, block=5, record=0, timestamp=1, epoch=1,
        content_hash=b"\x06" * 32, name=name, media_type="text/csv", tags=(), description="", key_hash=ZERO_HASH,
        has_sealed_key=False, is_delisted=False, sale_count=0, sold=0,
    )  # fmt: skip
    return replace(file, **changes)


def instruct(instruction_type: str, **fields: object) -> IndexedInstruction:
    nothing = {"file": None, "role": None, "validator": None, "price": None}
    return IndexedInstruction(
        id=b"\x05" * 32, block=5, record=0, timestamp=1, epoch=1, type=instruction_type, account=PAYER, nonce=0,
        **(nothing | fields),  # type: ignore[arg-type]
    )  # fmt: skip


DEPOSIT = IndexedDeposit(b"\x08" * 32, 1, 0, 1, 1, ASSET, 0, PAYEES[0], 1_000_000)

CASES = [
    ("one payee", pay((PAYEES[0], 2_500_000)), TOKEN, f"{P} paid 2.5 TOK to {A}"),
    ("two payees", pay((PAYEES[0], 1), (PAYEES[1], 2)), TOKEN, f"{P} paid 0.000003 TOK to {A} and {B}"),
    ("three payees", pay(*[(to, 10**6) for to in PAYEES[:3]]), TOKEN, f"{P} paid 3 TOK to {A}, {B} and {C}"),
    ("four payees", pay(*[(to, 10**6) for to in PAYEES[:4]]), TOKEN, f"{P} paid 4 TOK to {A}, {B} and 2 others"),
    ("sixteen payees", pay(*[(to, 10**6) for to in PAYEES]), TOKEN, f"{P} paid 16 TOK to {A}, {B} and 14 others"),
    ("a payee named twice", pay((PAYEES[0], 10**6), (PAYEES[0], 10**6)), TOKEN, f"{P} paid 2 TOK to {A}"),
    ("four outputs to three payees", pay(*[(to, 10**6) for to in (*PAYEES[:3], PAYEES[1])]), TOKEN,
     f"{P} paid 4 TOK to {A}, {B} and {C}"),
    ("itself", pay((PAYER, 10**6)), TOKEN, f"{P} paid 1 TOK to itself"),
    ("itself, twice", pay((PAYER, 10**6), (PAYER, 10**6)), TOKEN, f"{P} paid 2 TOK to itself"),
    ("itself and another", pay((PAYER, 10**6), (PAYEES[0], 10**6)), TOKEN, f"{P} paid 2 TOK to {P} and {A}"),
    ("a tip", pay((PAYEES[0], 10**6), kind=TIP), TOKEN, f"{P} tipped 1 TOK to {A}"),
    ("a withdrawal", pay((PAYEES[0], 10**6), kind=WITHDRAW), TOKEN, f"{P} withdrew 1 TOK for {A} to claim on Ethereum"),
    ("a withdrawal to its own address", pay((PAYER, 10**6), kind=WITHDRAW), TOKEN,
     f"{P} withdrew 1 TOK for {P} to claim on Ethereum"),
    ("a reference", pay((PAYEES[0], 10**6), reference=REFERENCE), TOKEN, f"{P} paid 1 TOK to {A} for 0xabab…abab"),
    ("a withdrawal with a reference", pay((PAYEES[0], 10**6), kind=WITHDRAW, reference=REFERENCE), TOKEN,
     f"{P} withdrew 1 TOK for {A} to claim on Ethereum, reference 0xabab…abab"),
    ("unknown decimals", pay((PAYEES[0], 1_500)), EMPTY, f"{P} paid 1,500 base units of TOK to {A}"),
    ("an unknown token", pay((PAYEES[0], 1_500)), UNKNOWN,
     f"{P} paid 1,500 base units of {encode_address(UNKNOWN.address)[:8]}… to {A}"),
    ("a huge amount", pay((PAYEES[0], MAX_U128)), TOKEN,
     f"{P} paid 340,282,366,920,938,463,463,374,607,431,768.211455 TOK to {A}"),
    ("the least of ether", pay((PAYEES[0], 1)), ETHER_TOKEN, f"{P} paid 0.000000000000000001 ETH to {A}"),
    ("a deposit", DEPOSIT, TOKEN, f"1 TOK came from Ethereum for {A}"),
    ("a deposit in base units", DEPOSIT, EMPTY, f"1,000,000 base units of TOK came from Ethereum for {A}"),
    ("a purchase", pay_for_file(PURCHASE, (VALIDATOR, 10**6), (OWNER, 10**6)), TOKEN,
     f"{P} bought “Weather, hourly” from {A} for 2 TOK"),
    ("a purchase of one's own", pay_for_file(PURCHASE, (VALIDATOR, 10**6), (OWNER, 10**6), payer=VALIDATOR), TOKEN,
     f"{A} bought “Weather, hourly” from itself for 2 TOK"),
    ("an upload", pay_for_file(UPLOAD, (NODE, 3_000_000), payer=VALIDATOR), TOKEN,
     f"{A} uploaded “Weather, hourly” to {C} for 3 TOK"),
    ("an extension", pay_for_file(EXTEND, (NODE, 1), payer=VALIDATOR), TOKEN,
     f"{A} extended the storage of “Weather, hourly” at {C} for 0.000001 TOK"),
    ("a tip for a file", pay_for_file(TIP, (OWNER, 10**6)), TOKEN, f"{P} tipped 1 TOK to {B} for “Weather, hourly”"),
    ("a withdrawal that names a file", pay_for_file(WITHDRAW, (OWNER, 10**6)), TOKEN,
     f"{P} withdrew 1 TOK for {B} to claim on Ethereum, reference “Weather, hourly”"),
    ("a validator", instruct("Register", role="validator"), TOKEN, f"{P} registered as a validator"),
    ("a mart", instruct("Register", role="mart"), TOKEN, f"{P} registered as a mart"),
    ("a service node", instruct("Register", role="service_node"), TOKEN, f"{P} registered as a service node"),
    ("an owner", instruct("RegisterOwner", role="owner", validator=VALIDATOR), TOKEN,
     f"{P} registered as an owner under {A}"),
    ("a listing", instruct("ListFile", file=FILE_ID, price=1_500_000), TOKEN,
     f"{P} listed “Weather, hourly” of {B} at 1.5 TOK"),
    ("a price", instruct("UpdatePrice", file=FILE_ID, price=1_500_000), TOKEN,
     f"{P} set the price of “Weather, hourly” to 1.5 TOK"),
    ("a delisting", instruct("Delist", file=FILE_ID), TOKEN, f"{P} delisted “Weather, hourly”"),
]  # fmt: skip

FILES = {FILE_ID: make_file()}


@pytest.mark.parametrize(("record", "token", "sentence"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_record_is_told_in_the_same_words_as_text_and_with_links(
    record: IndexedRecord, token: Token, sentence: str
) -> None:
    assert describe_record(record, {ASSET: token, ETHER: ETHER_TOKEN}, FILES) == sentence
    page = read_sentence(record, token, FILES)
    spoken = page.text
    for address in (PAYER, *PAYEES):
        spoken = spoken.replace(encode_address(address), f"0x{address[:2].hex()}…{address[:2].hex()}")
    assert spoken.replace(encode_bytes(REFERENCE), "0xabab…abab") == sentence
    for words, link in page.links:
        assert link in (f"/address/{words}", f"/payments?reference={words}", f"/file/{encode_bytes(FILE_ID)}")
        assert link.startswith("/file/") == (words == "“Weather, hourly”")
    if isinstance(record, IndexedPayment) and record.kind == WITHDRAW:
        linked = [words for words, _ in page.links]
        assert linked[:1] == [encode_address(PAYER)], "an address on Ethereum is no account of the ledger"
        assert len(linked) == 1 + (record.reference != ZERO_HASH)


def read_sentence(record: IndexedRecord, token: Token, files: dict[bytes, IndexedFile]) -> Page:
    module = load_pages()._environment.get_template("lists.html").module
    page = Page()
    page.feed(str(module.sentence(tell(record, files), {ASSET: token, ETHER: ETHER_TOKEN})))  # type: ignore[attr-defined]
    page.close()
    return page


@pytest.mark.parametrize("name", ["W" * 128, "\u202egnp.exe", "<b>bold</b>", "a\nb", "“quoted”", "é" * 64])
def test_the_name_of_a_file_is_text_and_no_longer_than_fits_a_line(name: str) -> None:
    files = {FILE_ID: make_file(name)}
    record = pay_for_file(TIP, (OWNER, 10**6))
    told = describe_record(record, {ASSET: TOKEN}, files)
    page = read_sentence(record, TOKEN, files)
    assert page.links[-1] == ("“" + told.partition(" for “")[2], f"/file/{encode_bytes(FILE_ID)}")
    assert not [tag for tag, _ in page.elements if tag == "b"] and told.isprintable()
    assert "\u202e" not in told and len(told) < 80 + NAME_SHOWN


def test_a_reference_that_became_a_file_later_is_none() -> None:
    """What is said of a payment never changes."""
    record = pay_for_file(TIP, (OWNER, 10**6))
    for block, place, is_before in ((4, 9, True), (5, 0, True), (5, 1, False), (5, 2, False), (6, 0, False)):
        files = {FILE_ID: make_file(block=block, record=place)}
        assert (find_file(record, files) is not None) == is_before
        assert ("Weather" in describe_record(record, {ASSET: TOKEN}, files)) == is_before
    assert find_file(DEPOSIT, FILES) is None


def test_no_sentence_names_more_payees_than_fit_a_line() -> None:
    for count in range(1, 17):
        told = describe_record(pay(*[(to, 1) for to in PAYEES[:count]]), {ASSET: TOKEN})
        named = told.split(" to ")[1].count("0x")
        assert named == (count if count <= OUTPUTS_NAMED else OUTPUTS_NAMED - 1)
        assert told.endswith(f" and {count - named} others") == (count > OUTPUTS_NAMED)


CHANGES = [
    ("one payee", pay((PAYEES[0], 7)), [(PAYER, "payer", -7), (PAYEES[0], "payee", 7)]),
    ("a payee named twice", pay((PAYEES[0], 7), (PAYEES[1], 1), (PAYEES[0], 2)),
     [(PAYER, "payer", -10), (PAYEES[0], "payee", 9), (PAYEES[1], "payee", 1)]),
    ("itself", pay((PAYER, 7)), [(PAYER, "payer and payee", 0)]),
    ("itself and another", pay((PAYEES[0], 7), (PAYER, 5)), [(PAYER, "payer and payee", -7), (PAYEES[0], "payee", 7)]),
    ("a withdrawal", pay((PAYEES[0], 7), kind=WITHDRAW), [(PAYER, "payer", -7)]),
    ("a withdrawal to its own address", pay((PAYER, 7), kind=WITHDRAW), [(PAYER, "payer", -7)]),
    ("a deposit", DEPOSIT, [(PAYEES[0], "depositor", 1_000_000)]),
    ("an instruction", instruct("Delist", file=FILE_ID), []),
    ("an upload", pay_for_file(UPLOAD, (NODE, 3), payer=VALIDATOR),
     [(VALIDATOR, "validator", -3), (NODE, "service node", 3)]),
    ("an upload to oneself", pay_for_file(UPLOAD, (VALIDATOR, 3), payer=VALIDATOR),
     [(VALIDATOR, "validator and service node", 0)]),
    ("an extension", pay_for_file(EXTEND, (NODE, 3), payer=VALIDATOR),
     [(VALIDATOR, "validator", -3), (NODE, "service node", 3)]),
    ("a tip for a file", pay_for_file(TIP, (OWNER, 3)), [(PAYER, "payer", -3), (OWNER, "payee", 3)]),
]  # fmt: skip


@pytest.mark.parametrize(("record", "changes"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_each_party_stands_there_once_with_what_it_gained_or_lost(
    record: IndexedRecord, changes: list[tuple[bytes, str, int]]
) -> None:
    roles = find_roles(record, find_file(record, FILES), Market())
    assert list_changes(record, roles) == [PartyChange(*change) for change in changes]


THIRDS = Market(validator_share=3_000, owner_share=5_000, commission=2_000)


@pytest.mark.parametrize(
    ("market", "file", "payer", "outputs", "changes"),
    [
        (THIRDS, {}, PAYER, [(VALIDATOR, 30), (OWNER, 50), (NODE, 20)],
         [(PAYER, "mart", -100), (VALIDATOR, "validator", 30), (OWNER, "owner", 50), (NODE, "service node", 20)]),
        # The file was sold before a service node kept it: its share was the owner's.
        (THIRDS, {}, PAYER, [(VALIDATOR, 30), (OWNER, 70)],
         [(PAYER, "mart", -100), (VALIDATOR, "validator", 30), (OWNER, "owner", 70)]),
        (THIRDS, {"service_node": VALIDATOR}, PAYER, [(VALIDATOR, 30), (OWNER, 70)],
         [(PAYER, "mart", -100), (VALIDATOR, "validator", 30), (OWNER, "owner", 70)]),
        (THIRDS, {"service_node": None}, PAYER, [(VALIDATOR, 30), (OWNER, 70)],
         [(PAYER, "mart", -100), (VALIDATOR, "validator", 30), (OWNER, "owner", 70)]),
        (THIRDS, {"owner": VALIDATOR, "service_node": VALIDATOR}, PAYER,
         [(VALIDATOR, 30), (VALIDATOR, 50), (VALIDATOR, 20)],
         [(PAYER, "mart", -100), (VALIDATOR, "validator, owner and service node", 100)]),
        (THIRDS, {"owner": PAYER}, PAYER, [(VALIDATOR, 30), (PAYER, 50), (NODE, 20)],
         [(PAYER, "mart and owner", -50), (VALIDATOR, "validator", 30), (NODE, "service node", 20)]),
        # One base unit: shares of zero are left out.
        (THIRDS, {}, PAYER, [(OWNER, 1)], [(PAYER, "mart", -1), (OWNER, "owner", 1)]),
        (Market(10_000, 0, 0), {}, PAYER, [(VALIDATOR, 7)], [(PAYER, "mart", -7), (VALIDATOR, "validator", 7)]),
        (Market(0, 0, 10_000), {"owner": NODE}, PAYER, [(NODE, 7)], [(PAYER, "mart", -7), (NODE, "service node", 7)]),
        (Market(0, 10_000, 0), {"validator": OWNER}, PAYER, [(OWNER, 7)], [(PAYER, "mart", -7), (OWNER, "owner", 7)]),
    ],
)  # fmt: skip
def test_the_parts_of_a_purchase_are_those_of_the_rules(
    market: Market,
    file: dict[str, object],
    payer: bytes,
    outputs: list[tuple[bytes, int]],
    changes: list[tuple[bytes, str, int]],
) -> None:
    """The price was what was paid, whatever it is now."""
    record = pay_for_file(PURCHASE, *outputs, payer=payer)
    roles = find_roles(record, make_file(**file), market)
    assert list_changes(record, roles) == [PartyChange(*change) for change in changes]
