"""Every record in one line of plain words: exact, and the same words as text and with links."""

import pytest

from chain.kinds import TIP, TRANSFER, WITHDRAW
from chain.payment import Output
from chain.primitives import ETHER, MAX_U128, ZERO_HASH
from chain.wire import encode_address, encode_bytes
from explorer.formatting import Token, describe_token
from explorer.rendering import load_pages
from explorer.sentences import OUTPUTS_NAMED, PartyChange, describe_record, list_changes, tell
from node.index import IndexedDeposit, IndexedPayment, IndexedRecord
from node.ledger_info import ETHER_INFO, AssetInfo
from tests.unit.explorer.reading import Page

PAYER, *PAYEES = [bytes([number]) * 20 for number in range(1, 18)]
REFERENCE = b"\xab" * 32
TOKEN = describe_token(b"\x77" * 20, AssetInfo("TOK", 6))
UNKNOWN = describe_token(b"\x77" * 20, AssetInfo(None, None))
EMPTY = describe_token(b"\x77" * 20, AssetInfo("TOK", None))
ETHER_TOKEN = describe_token(ETHER, ETHER_INFO)

P = "0x0101…0101"
A, B, C = "0x0202…0202", "0x0303…0303", "0x0404…0404"


def pay(*outputs: tuple[bytes, int], kind: str = TRANSFER, reference: bytes = ZERO_HASH) -> IndexedPayment:
    return IndexedPayment(
        id=b"\x09" * 32, block=1, record=0, timestamp=1, epoch=1, kind=kind, asset=b"\x77" * 20, payer=PAYER, nonce=0,
        total=sum([amount for _, amount in outputs]), outputs=tuple([Output(to, amount) for to, amount in outputs]),
        reference=reference, memo="",
    )  # fmt: skip


DEPOSIT = IndexedDeposit(b"\x08" * 32, 1, 0, 1, 1, b"\x77" * 20, 0, PAYEES[0], 1_000_000)

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
]  # fmt: skip


@pytest.mark.parametrize(("record", "token", "sentence"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_record_is_told_in_the_same_words_as_text_and_with_links(
    record: IndexedRecord, token: Token, sentence: str
) -> None:
    assert describe_record(record, token) == sentence
    module = load_pages()._environment.get_template("lists.html").module
    page = Page()
    page.feed(str(module.sentence(tell(record), token)))  # type: ignore[attr-defined]
    page.close()
    spoken = page.text
    for address in (PAYER, *PAYEES):
        spoken = spoken.replace(encode_address(address), f"0x{address[:2].hex()}…{address[:2].hex()}")
    assert spoken.replace(encode_bytes(REFERENCE), "0xabab…abab") == sentence
    for words, link in page.links:
        assert link in (f"/address/{words}", f"/payments?reference={words}")
    if isinstance(record, IndexedPayment) and record.kind == WITHDRAW:
        linked = [words for words, _ in page.links]
        assert linked[:1] == [encode_address(PAYER)], "an address on Ethereum is no account of the ledger"
        assert len(linked) == 1 + (record.reference != ZERO_HASH)


def test_no_sentence_names_more_payees_than_fit_a_line() -> None:
    for count in range(1, 17):
        told = describe_record(pay(*[(to, 1) for to in PAYEES[:count]]), TOKEN)
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
]  # fmt: skip


@pytest.mark.parametrize(("record", "changes"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_each_party_stands_there_once_with_what_it_gained_or_lost(
    record: IndexedRecord, changes: list[tuple[bytes, str, int]]
) -> None:
    assert list_changes(record) == [PartyChange(*change) for change in changes]
