"""The JSON forms: what comes out, and how strictly they are read."""

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from eth_utils import to_checksum_address

from chain import wire
from chain.account import AccountLeaf, NonceWindow
from chain.block import Header, hash_header
from chain.commitment import Commitment
from chain.errors import MalformedInstruction, MalformedPayment, MalformedRequest, Refusal
from chain.evidence import AccountProof, WithdrawalClaim
from chain.instruction import INSTRUCTIONS, MEMBERS
from chain.market import ROLE_BITS, File, Roles
from chain.primitives import MAX_U32, MAX_U64, MAX_U128, MAX_U256, ZERO_ADDRESS, ZERO_HASH
from chain.receipt import Inclusion, InstructionReceipt, Receipt
from chain.registry import AccountEntry, FileEntry, RegistryEntry, RegistryProof
from chain.statement import Withdrawal
from tests.unit.chain.actors import (
    ALICE,
    BOB,
    CAROL,
    DOMAIN,
    ETHER,
    TOKEN,
    deposit,
    make_empty_line,
    make_payment,
    sign,
    some_hash,
)
from tests.unit.chain.exchange import DORA, ERIK, FILE, make_instruction
from tests.unit.chain.exchange import sign as sign_instruction

PAYMENT_FORM: Final[dict[str, Any]] = {
    "asset": "0x" + TOKEN.hex(),
    "from": "0x" + ALICE.hex(),
    "nonce": 7,
    "validUntil": "0",
    "kind": "transfer",
    "reference": "0x" + "00" * 32,
    "memo": "",
    "outputs": [{"to": "0x" + BOB.hex(), "amount": "0x5"}],
}
SIGNATURE_TEXT: Final = "0x" + "1b" * 65

NOT_QUANTITIES: Final[dict[str, Any]] = {
    "float": 1.0,
    "negative": -1,
    "truth": True,
    "null": None,
    "2^53 as a number": 2**53,
    "2^64 as a number": 2**64,
    "2^300 as a number": 2**300,
    "empty": "",
    "no digits": "0x",
    "no number": "ten",
    "hex without prefix": "ff",
    "negative text": "-1",
    "plus": "+1",
    "point": "1.0",
    "exponent": "1e3",
    "underscore": "1_000",
    "underscore in hex": "0x1_0",
    "space before": " 1",
    "space after": "1 ",
    "newline after": "1\n",
    "newline after hex": "0x1\n",
    "digits beyond ASCII": "١٢",
    "full width digits": "１２",
    "superscript": "2²",
    "octal": "0o7",
    "binary": "0b1",
    "79 digits": "1" * 79,
    "5,000 digits": "1" * 5000,
    "65 hex digits": "0x" + "1" * 65,
    "list": [1],
    "object": {"value": 1},
}


def decode_text(text: str | bytes) -> Any:
    return wire.decode_payment(text.encode() if isinstance(text, str) else text)


def decode_form(**fields: Any) -> Any:
    return decode_text(json.dumps({**PAYMENT_FORM, **fields}))


# --- values


@pytest.mark.parametrize("value", NOT_QUANTITIES.values(), ids=NOT_QUANTITIES)
def test_what_is_no_quantity(value: Any) -> None:
    with pytest.raises(MalformedRequest, match=r"^nonce: "):
        wire.decode_quantity(value, "nonce", MAX_U256)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        ("0", 0),
        ("0x0", 0),
        ("007", 7),
        ("0x0007", 7),
        ("0XfF", 255),
        (2**53 - 1, 2**53 - 1),
        (str(2**53), 2**53),
        (hex(MAX_U256), MAX_U256),
        (str(MAX_U256), MAX_U256),
    ],
)
def test_what_is_a_quantity(value: Any, number: int) -> None:
    assert wire.decode_quantity(value, "nonce", MAX_U256) == number


@pytest.mark.parametrize("limit", [0, 1, MAX_U32, MAX_U64, MAX_U128])
def test_quantities_are_bounded(limit: int) -> None:
    assert wire.decode_quantity(hex(limit), "it", limit) == limit
    with pytest.raises(MalformedRequest, match=f"^it: {limit + 1} is above {limit}$"):
        wire.decode_quantity(str(limit + 1), "it", limit)


@pytest.mark.parametrize(
    ("decode", "size"), [(wire.decode_address, 20), (wire.decode_hash, 32), (wire.decode_signature, 65)]
)
def test_bytes_have_one_length(decode: Callable[[object, str], bytes], size: int) -> None:
    value = bytes(range(0xA0 - size, 0xA0))
    for text in ("0x" + value.hex(), "0X" + value.hex().upper()):
        assert decode(text, "it") == value
    digits = value.hex()
    for text in (
        digits,
        "0x" + digits[:-2],
        "0x" + digits[:-1],
        "0x" + digits + "00",
        "0x" + digits + "\n",
        "0x" + digits[:-1] + "g",
        "0x" + digits[:-1] + "١",
        "0x" + digits[:-2] + " 0",
        " 0x" + digits,
        "",
        "0x",
    ):
        with pytest.raises(MalformedRequest, match=r"^it: "):
            decode(text, "it")
    for other in (value, None, 5, [digits]):
        with pytest.raises(MalformedRequest, match=r"^it: "):
            decode(other, "it")


def test_addresses_go_out_with_their_checksum_and_come_in_in_any_case() -> None:
    for address in (ALICE, BOB, CAROL, ETHER, b"\xff" * 20, b"\xab" * 20):
        text = wire.encode_address(address)
        assert text == to_checksum_address(address)
        assert {wire.decode_address(form, "it") for form in (text, text.lower(), text.swapcase())} == {address}


# --- payments


def test_a_payment_in_all_forms_of_its_integers() -> None:
    expected = make_payment((BOB, 5), nonce=7)
    for nonce, amount in ((7, 5), ("7", "5"), ("0x7", "0x05"), ("07", 5)):
        assert decode_form(nonce=nonce, outputs=[{"to": "0x" + BOB.hex(), "amount": amount}]) == expected


def test_payments_come_back_as_they_went() -> None:
    for payment in (
        make_payment(),
        make_payment((BOB, MAX_U128), nonce=MAX_U64, valid_until=MAX_U64, kind="tip", reference=some_hash("x")),
        make_payment(*[(ALICE, 1)] * 16, memo='Grüße 🪵 \x00"\\\n'),
    ):
        form = wire.encode_payment(payment)
        assert wire.decode_payment(msgspec.json.encode(form)) == payment
        assert wire.decode_payment(json.dumps(form).encode()) == payment


@pytest.mark.parametrize("name", ["nonce", "validUntil"])
@pytest.mark.parametrize("value", NOT_QUANTITIES.values(), ids=NOT_QUANTITIES)
def test_a_payment_s_integers_are_strict(name: str, value: Any) -> None:
    with pytest.raises(MalformedPayment):
        decode_form(**{name: value})


@pytest.mark.parametrize("value", NOT_QUANTITIES.values(), ids=NOT_QUANTITIES)
def test_amounts_are_strict(value: Any) -> None:
    with pytest.raises(MalformedPayment):
        decode_form(outputs=[{"to": "0x" + BOB.hex(), "amount": value}])


def test_integers_beyond_their_width() -> None:
    for name in ("nonce", "validUntil"):
        decode_form(**{name: str(MAX_U64)})
        with pytest.raises(MalformedPayment, match=f"^{name}: {2**64} is above"):
            decode_form(**{name: str(2**64)})


def test_amounts_of_more_than_128_bits_pass_here_to_be_refused_by_their_own_name() -> None:
    payment = decode_form(outputs=[{"to": "0x" + BOB.hex(), "amount": str(MAX_U256)}])
    assert payment.outputs[0].amount == MAX_U256


@pytest.mark.parametrize("name", PAYMENT_FORM)
def test_no_field_may_be_missing(name: str) -> None:
    with pytest.raises(MalformedPayment, match=name):
        decode_text(json.dumps({key: value for key, value in PAYMENT_FORM.items() if key != name}))


@pytest.mark.parametrize("name", ["extra", "payer", "valid_until", "Nonce", "signature", ""])
def test_no_field_may_be_added(name: str) -> None:
    with pytest.raises(MalformedPayment, match="unknown field"):
        decode_form(**{name: 1})
    with pytest.raises(MalformedPayment, match="unknown field"):
        decode_form(outputs=[{**PAYMENT_FORM["outputs"][0], name: 1}])


@pytest.mark.parametrize("name", PAYMENT_FORM)
@pytest.mark.parametrize("value", [None, 1.5, True, {}, [], ["x"], [[]]], ids=repr)
def test_no_field_may_be_of_another_type(name: str, value: Any) -> None:
    if name == "outputs" and value == []:
        assert decode_form(outputs=[]).outputs == ()  # refused by its own name later
        return
    with pytest.raises(MalformedPayment):
        decode_form(**{name: value})


PAYMENT_TEXT: Final = json.dumps(PAYMENT_FORM).encode()
NOT_PAYMENTS: Final[dict[str, bytes]] = {
    "nothing": b"",
    "a space": b" ",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"payment"',
    "cut off": PAYMENT_TEXT[:-1],
    "trailing word": PAYMENT_TEXT + b" x",
    "trailing object": PAYMENT_TEXT + b"{}",
    "trailing zero byte": PAYMENT_TEXT + b"\x00",
    "byte order mark": b"\xef\xbb\xbf" + PAYMENT_TEXT,
    "UTF-16": json.dumps(PAYMENT_FORM).encode("utf-16"),
    "single quotes": PAYMENT_TEXT.replace(b'"', b"'"),
    "comment": PAYMENT_TEXT + b"// comment",
    "trailing comma": PAYMENT_TEXT[:-1] + b",}",
    "not a number": PAYMENT_TEXT.replace(b": 7", b": NaN"),
    "infinity": PAYMENT_TEXT.replace(b": 7", b": 1e999"),
    "negative zero point zero": PAYMENT_TEXT.replace(b": 7", b": -0.0"),
    "5,000 digits": PAYMENT_TEXT.replace(b": 7", b": " + b"7" * 5000),
    "invalid UTF-8 in memo": PAYMENT_TEXT.replace(b'"memo": ""', b'"memo": "\xff"'),
    "overlong UTF-8 in memo": PAYMENT_TEXT.replace(b'"memo": ""', b'"memo": "\xc0\x80"'),
    "surrogate as UTF-8 in memo": PAYMENT_TEXT.replace(b'"memo": ""', b'"memo": "\xed\xa0\x80"'),
    "cut UTF-8 in memo": PAYMENT_TEXT.replace(b'"memo": ""', b'"memo": "\xe4\xb8"'),
    "invalid UTF-8 in kind": PAYMENT_TEXT.replace(b"transfer", b"\xff"),
    "invalid UTF-8 in address": PAYMENT_TEXT.replace(b"0x7e", b"\xff\xfe"),
    "invalid UTF-8 in a key": PAYMENT_TEXT.replace(b'"memo"', b'"\xff"'),
    "lone surrogate in memo": PAYMENT_TEXT.replace(b'"memo": ""', b'"memo": "\\ud800"'),
    "low surrogate in memo": PAYMENT_TEXT.replace(b'"memo": ""', b'"memo": "\\udc00"'),
    "lone surrogate in kind": PAYMENT_TEXT.replace(b"transfer", b"\\ud800"),
    "raw newline in memo": PAYMENT_TEXT.replace(b'"memo": ""', b'"memo": "\n"'),
    "nested without end": b'{"memo": ' + b"[" * 100_000,
    "nested without end in an unknown field": b'{"x": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("text", NOT_PAYMENTS.values(), ids=NOT_PAYMENTS)
def test_what_is_no_payment(text: bytes) -> None:
    with pytest.raises(MalformedPayment):
        wire.decode_payment(text)
    with pytest.raises(MalformedPayment):
        wire.decode_submission(b"[" + text + b', "' + SIGNATURE_TEXT.encode() + b'"]')


def test_a_submission() -> None:
    text = b"[" + PAYMENT_TEXT + b', "' + SIGNATURE_TEXT.encode() + b'"]'
    assert wire.decode_submission(text) == (make_payment((BOB, 5), nonce=7), b"\x1b" * 65)
    for other in (b"[]", b"[" + PAYMENT_TEXT + b"]", text[:-1] + b", 1]", text + b"x", PAYMENT_TEXT, b"{}"):
        with pytest.raises(MalformedPayment):
            wire.decode_submission(other)
    for signature in ('"0x"', '"0x' + "00" * 64 + '"', '"0x' + "00" * 66 + '"', "5", "null", '"\\ud800"'):
        with pytest.raises(MalformedPayment):
            wire.decode_submission(b"[" + PAYMENT_TEXT + b", " + signature.encode() + b"]")


def test_escaped_surrogate_pairs_are_one_character() -> None:
    assert decode_form(memo="🪵").memo == "🪵"
    assert decode_text(PAYMENT_TEXT.replace(b'"memo": ""', b'"memo": "\\ud83e\\udeb5"')).memo == "🪵"


# --- instructions

INSTRUCTION_FORMS: Final = {name: wire.encode_instruction(make_instruction(name)) for name in INSTRUCTIONS}


def decode_instruction(form: Any) -> Any:
    """Both ways in: parsed already, and as text beside a signature."""
    instruction = wire.decode_instruction(form)
    text = json.dumps([form, SIGNATURE_TEXT]).encode()
    assert wire.decode_instruction_submission(text) == (instruction, b"\x1b" * 65)
    return instruction


def assert_malformed(form: Any, problem: str | None = None) -> None:
    with pytest.raises(MalformedInstruction, match=problem):
        wire.decode_instruction(form)
    with pytest.raises(MalformedInstruction):
        wire.decode_instruction_submission(json.dumps([form, SIGNATURE_TEXT]).encode())


def list_members(*kinds: str) -> list[tuple[str, str, str]]:
    """(type, member, its EIP-712 type) of these types, or of those that begin like them."""
    return [
        (name, member, kind)
        for name, members in MEMBERS.items()
        for kind, member, _ in members
        if kind.startswith(kinds)
    ]


def test_an_instruction_in_json() -> None:
    assert INSTRUCTION_FORMS["RegisterOwner"] == {
        "type": "RegisterOwner",
        "account": to_checksum_address(ALICE),
        "nonce": "0x0",
        "validUntil": "0x0",
        "validator": to_checksum_address(ERIK),
    }
    listing = INSTRUCTION_FORMS["ListFile"]
    assert list(listing) == ["type", *[member for _, member, _ in MEMBERS["ListFile"]]]
    assert (listing["price"], listing["storageDays"], listing["tags"]) == ("0x64", "0x1e", ["weather", "rain"])
    assert listing["sealedKey"] == "0x" + bytes(range(81)).hex()


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_instructions_come_back_as_they_went(name: str) -> None:
    for instruction in (make_instruction(name), make_instruction(name, nonce=MAX_U64, valid_until=MAX_U64)):
        assert decode_instruction(wire.encode_instruction(instruction)) == instruction


def test_listings_come_back_as_they_went() -> None:
    for listing in (
        make_instruction("ListFile", price=MAX_U128, size=MAX_U64, storage_days=MAX_U32),
        make_instruction("ListFile", tags=(), sealed_key=b"", media_type="", description=""),
        make_instruction("ListFile", name='Grüße 🪵 \x00"\\\n', tags=("", "", "é")),
    ):
        assert decode_instruction(wire.encode_instruction(listing)) == listing


@pytest.mark.parametrize(("name", "member", "kind"), list_members("uint"))
def test_an_instruction_s_integers(name: str, member: str, kind: str) -> None:
    limit = 2 ** int(kind.removeprefix("uint")) - 1
    forms: tuple[Any, ...] = (7, "7", "0x7", "0x007", "007")
    assert len({decode_instruction({**INSTRUCTION_FORMS[name], member: form}) for form in forms}) == 1
    decode_instruction({**INSTRUCTION_FORMS[name], member: str(limit)})
    assert_malformed({**INSTRUCTION_FORMS[name], member: str(limit + 1)}, f"^{member}: {limit + 1} is above {limit}$")
    for value in NOT_QUANTITIES.values():
        assert_malformed({**INSTRUCTION_FORMS[name], member: value}, f"^{member}: ")


@pytest.mark.parametrize(("name", "member", "kind"), list_members("address", "bytes"))
def test_an_instruction_s_bytes(name: str, member: str, kind: str) -> None:
    form, text = INSTRUCTION_FORMS[name], INSTRUCTION_FORMS[name][member]
    assert decode_instruction({**form, member: "0X" + text[2:].upper()}) == make_instruction(name)
    wrong = [text[2:], text[:-1], text + "\n", text[:-1] + "g", text[:-2] + " 0", " " + text, "", 5, None, [text]]
    if kind != "bytes":
        wrong += [text[:-2], text + "00", "0x"]
    for value in wrong:
        assert_malformed({**form, member: value}, f"^{member}: ")


def test_sealed_keys_of_any_length_pass_here_to_be_refused_by_their_own_name() -> None:
    form = INSTRUCTION_FORMS["ListFile"]
    for size in (0, 1, 80, 82, 1024):
        assert decode_instruction({**form, "sealedKey": "0x" + "ab" * size}).sealed_key == b"\xab" * size
    assert_malformed({**form, "sealedKey": "0x" + "ab" * 1025}, "^sealedKey: not 0x and the hex digits of at most 1024")


@pytest.mark.parametrize(("name", "member", "kind"), list_members("string"))
def test_an_instruction_s_text(name: str, member: str, kind: str) -> None:
    form = INSTRUCTION_FORMS[name]
    wrong: list[Any] = [None, 5, True, {}, {"x": "y"}, "\ud800", "\udc00"]
    wrong = [[value] for value in [*wrong, ["x"]]] if kind == "string[]" else [*wrong, [], ["x"]]
    if kind == "string[]":
        wrong += [None, "rain", 5, {}, {"0": "rain"}]
    for value in wrong:
        assert_malformed({**form, member: value})


def test_lists_of_text_are_bounded() -> None:
    form = INSTRUCTION_FORMS["ListFile"]
    assert len(decode_instruction({**form, "tags": ["x"] * 64}).tags) == 64  # refused by its own name later
    assert_malformed({**form, "tags": ["x"] * 65}, "^tags: not a list of at most 64$")


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_an_instruction_has_exactly_its_members(name: str) -> None:
    form = INSTRUCTION_FORMS[name]
    for member in form:
        without = {key: value for key, value in form.items() if key != member}
        assert_malformed(
            without, "an instruction is an object whose type" if member == "type" else f"a {name} has exactly"
        )
    for member in ("extra", "Nonce", "valid_until", "signature", "id", ""):
        assert_malformed({**form, member: 1}, f"a {name} has exactly")
    for other in INSTRUCTIONS:
        if other != name:
            assert_malformed({**form, "type": other})


@pytest.mark.parametrize(
    "value", [None, "", "register", "Payment", "Block", "Commitment", 1, [], ["Register"], {}, True]
)
def test_types_are_exact(value: Any) -> None:
    assert_malformed({**INSTRUCTION_FORMS["Register"], "type": value}, "whose type is one of: Register RegisterOwner")


@pytest.mark.parametrize("form", [None, 5, "Register", [], [1], True, {}], ids=repr)
def test_what_is_no_instruction(form: Any) -> None:
    assert_malformed(form, "an instruction is an object")


INSTRUCTION_TEXT: Final = json.dumps(INSTRUCTION_FORMS["ListFile"]).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"[" + INSTRUCTION_TEXT + b"]",
        INSTRUCTION_TEXT,
        b"[" + INSTRUCTION_TEXT + b', "0x"]',
        b"[" + INSTRUCTION_TEXT + b", 5]",
        b"[" + INSTRUCTION_TEXT + b', "' + SIGNATURE_TEXT.encode() + b'", 1]',
        b"[" + INSTRUCTION_TEXT + b', "' + SIGNATURE_TEXT.encode() + b'"]x',
        b'["' + SIGNATURE_TEXT.encode() + b'", ' + INSTRUCTION_TEXT + b"]",
        b"[" + INSTRUCTION_TEXT.replace(b"Rainfall", b"\xff") + b', "' + SIGNATURE_TEXT.encode() + b'"]',
        b"[" + INSTRUCTION_TEXT.replace(b"Rainfall", b"\\ud800") + b', "' + SIGNATURE_TEXT.encode() + b'"]',
        b"[" + INSTRUCTION_TEXT.replace(b'"0x64"', b"1e2") + b', "' + SIGNATURE_TEXT.encode() + b'"]',
        b"[" + INSTRUCTION_TEXT.replace(b'"0x64"', b"9" * 5000) + b', "' + SIGNATURE_TEXT.encode() + b'"]',
        b"[" * 100_000,
        b'[{"type": ' + b"[" * 100_000,
    ],
    ids=lambda text: f"{len(text)} bytes: {text[:12]!r} … {text[-12:]!r}",
)
def test_what_is_no_submission_of_an_instruction(text: bytes) -> None:
    with pytest.raises(MalformedInstruction):
        wire.decode_instruction_submission(text)


# --- what others show us


def make_receipt() -> Receipt:
    commitment = Commitment(3, some_hash("p"), 4, 9, 10**12, some_hash("b"), ZERO_HASH, (make_empty_line(TOKEN),))
    header = Header(5, some_hash("previous"), 10**12, some_hash("records"), 4)
    siblings = (some_hash("a"), some_hash("b"))
    inclusion = Inclusion(commitment, 1, siblings, some_hash("L1 transaction"), 1_800_000_000)
    return Receipt(sign(make_payment(memo="Grüße")), header, b"\x1c" * 65, 2, siblings, inclusion)


def encode_receipt(receipt: Receipt) -> dict[str, Any]:
    header_form = wire.encode_header(receipt.header, hash_header(receipt.header, DOMAIN), receipt.header_signature)
    return wire.encode_receipt(
        receipt.signed,
        "accepted",
        wire.encode_domain(DOMAIN),
        wire.encode_payment(receipt.signed.payment),
        header_form,
        receipt.index,
        receipt.siblings,
        wire.encode_inclusion(receipt.inclusion) if receipt.inclusion else None,
    )


def make_instruction_receipt() -> InstructionReceipt:
    receipt = make_receipt()
    signed = sign_instruction(make_instruction("ListFile"))
    siblings = receipt.siblings
    return InstructionReceipt(signed, receipt.header, receipt.header_signature, 2, siblings, receipt.inclusion)


def encode_instruction_receipt(receipt: InstructionReceipt) -> dict[str, Any]:
    return wire.encode_receipt(
        receipt.signed,
        "accepted",
        wire.encode_domain(DOMAIN),
        wire.encode_instruction(receipt.signed.instruction),
        wire.encode_header(receipt.header, hash_header(receipt.header, DOMAIN), receipt.header_signature),
        receipt.index,
        receipt.siblings,
        wire.encode_inclusion(receipt.inclusion) if receipt.inclusion else None,
    )


def test_receipts_of_instructions_come_back_as_they_went() -> None:
    receipt = make_instruction_receipt()
    for each in (receipt, msgspec.structs.replace(receipt, inclusion=None)):
        form = json.loads(json.dumps(encode_instruction_receipt(each)))
        assert wire.decode_instruction_receipt(form) == each
        assert list(form) == [
            "id", "status", "domain", "instruction", "signature", "block", "index", "siblings", "commitment",
        ]  # fmt: skip
        with pytest.raises(MalformedRequest, match="payment is missing"):
            wire.decode_receipt(form)
    with pytest.raises(MalformedRequest, match="instruction is missing"):
        wire.decode_instruction_receipt(encode_receipt(make_receipt()))


def make_file(**fields: Any) -> File:
    file = File(FILE, ALICE, CAROL, TOKEN, 100, 5, 30, 1_800_000_000, DORA, some_hash("listing"))
    return msgspec.structs.replace(file, **fields)


ENTRIES: Final[dict[str, RegistryEntry]] = {
    "a validator": AccountEntry(ALICE, Roles(1)),
    "all roles": AccountEntry(CAROL, Roles(15, ALICE)),
    "a named owner": AccountEntry(CAROL, Roles(8, ALICE, True)),
    "a file": FileEntry(make_file()),
    "a file that nobody keeps": FileEntry(make_file(service_node=ZERO_ADDRESS, asset=ETHER, is_delisted=True)),
    "a large file": FileEntry(make_file(price=MAX_U128, size=MAX_U64, storage_days=MAX_U32, keep_until=MAX_U64)),
}


def make_registry_proof(entry: RegistryEntry) -> RegistryProof:
    return RegistryProof(entry, 2, 5, (some_hash("a"), some_hash("b"), some_hash("c")))


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_registry_proofs_come_back_as_they_went(entry: RegistryEntry) -> None:
    proof = make_registry_proof(entry)
    assert wire.decode_registry_proof(json.loads(json.dumps(wire.encode_registry_proof(proof)))) == proof


def test_registry_entries_in_json() -> None:
    assert wire.encode_registry_entry(ENTRIES["a named owner"]) == {
        "account": to_checksum_address(CAROL),
        "roles": ["owner"],
        "validator": to_checksum_address(ALICE),
        "namedOnly": True,
    }
    assert wire.encode_registry_entry(ENTRIES["a validator"])["validator"] is None
    assert wire.encode_registry_entry(ENTRIES["all roles"])["roles"] == list(ROLE_BITS)
    assert wire.encode_registry_entry(ENTRIES["a file that nobody keeps"]) == {
        "file": "0x" + FILE.hex(),
        "validator": to_checksum_address(ALICE),
        "owner": to_checksum_address(CAROL),
        "asset": "0x" + "00" * 20,
        "price": "0x64",
        "size": "0x5",
        "storageDays": "0x1e",
        "keepUntil": hex(1_800_000_000),
        "serviceNode": None,
        "listing": "0x" + some_hash("listing").hex(),
        "delisted": True,
    }


def test_an_entry_is_of_one_thing() -> None:
    both = {name: value for entry in ENTRIES.values() for name, value in wire.encode_registry_entry(entry).items()}
    for form in (both, {"roles": []}, {}):
        with pytest.raises(MalformedRequest, match="it is of an account or of a file"):
            wire.decode_registry_entry(form)


def test_roles_of_an_entry_are_known_ones() -> None:
    form = wire.encode_registry_entry(ENTRIES["all roles"])
    for roles in (["admin"], ["owner", "Mart"], "owner", None, [8], [["owner"]], {"owner": True}):
        with pytest.raises(MalformedRequest, match=r"^entry\.roles: a list of: validator mart service_node owner$"):
            wire.decode_registry_entry({**form, "roles": roles})


def test_receipts_come_back_as_they_went() -> None:
    receipt = make_receipt()
    for each in (receipt, msgspec.structs.replace(receipt, inclusion=None)):
        assert wire.decode_receipt(json.loads(json.dumps(encode_receipt(each)))) == each


def make_account_proof() -> AccountProof:
    leaf = AccountLeaf(TOKEN, ALICE, 3, NonceWindow(9, 4), 100, 50, 7, 2, 1, some_hash("d"), some_hash("c"))
    return AccountProof(leaf, 3, ((some_hash("a"), 5), (ZERO_HASH, 0)))


def test_proofs_claims_and_records_come_back_as_they_went() -> None:
    proof = make_account_proof()
    assert wire.decode_account_proof(json.loads(json.dumps(wire.encode_account_proof(proof)))) == proof
    claim = WithdrawalClaim(TOKEN, 1, Withdrawal(some_hash("w"), BOB, 5), ((some_hash("a"), MAX_U128),))
    assert wire.decode_withdrawal_claim(json.loads(json.dumps(wire.encode_withdrawal_claim(claim)))) == claim
    instructions = [sign_instruction(make_instruction(name)) for name in INSTRUCTIONS]
    for record in (deposit(3), sign(make_payment(memo="Grüße")), *instructions):
        assert wire.decode_record(json.loads(json.dumps(wire.encode_record(record)))) == record


def test_commitments_come_back_as_they_went() -> None:
    receipt = make_receipt()
    assert receipt.inclusion is not None
    form = json.loads(json.dumps(wire.encode_commitment(receipt.inclusion.commitment)))
    assert wire.decode_commitment(form) == receipt.inclusion.commitment


DECODERS: Final[dict[str, tuple[Callable[[Any], Any], dict[str, Any]]]] = {
    "receipt": (wire.decode_receipt, encode_receipt(make_receipt())),
    "account proof": (wire.decode_account_proof, wire.encode_account_proof(make_account_proof())),
    "payment record": (wire.decode_record, wire.encode_record(sign(make_payment()))),
    "deposit record": (wire.decode_record, wire.encode_record(deposit(0))),
    **{
        f"{name} record": (wire.decode_record, wire.encode_record(sign_instruction(make_instruction(name))))
        for name in INSTRUCTIONS
    },
    "receipt of an instruction": (
        wire.decode_instruction_receipt,
        encode_instruction_receipt(make_instruction_receipt()),
    ),
    "proof of roles": (
        wire.decode_registry_proof,
        wire.encode_registry_proof(make_registry_proof(ENTRIES["all roles"])),
    ),
    "proof of a file": (wire.decode_registry_proof, wire.encode_registry_proof(make_registry_proof(ENTRIES["a file"]))),
    "claim": (
        wire.decode_withdrawal_claim,
        wire.encode_withdrawal_claim(
            WithdrawalClaim(TOKEN, 0, Withdrawal(some_hash("w"), BOB, 5), ((some_hash("a"), 1),))
        ),
    ),
}
DERIVED: Final = {("status",), ("domain",), ("block", "hash"), ("commitment", "epoch"), ("leaf", "closing")}
"""Shown for the reader; they follow from the rest, and nobody believes them."""


def is_derived(path: tuple[Any, ...]) -> bool:
    return any(path[: len(derived)] == derived for derived in DERIVED)


@pytest.mark.parametrize(("decode", "form"), DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize("value", [None, 1.5, True, -1, "\ud800", "0x", [], [1], {}, {"\ud800": 1}, 2**600], ids=repr)
def test_what_others_show_us_is_read_strictly(decode: Callable[[Any], Any], form: dict[str, Any], value: Any) -> None:
    """Every place of the form, one after another, holds something else: it is refused by name, or it changes nothing
    but what it says. No other error comes out, whatever comes in."""
    expected = decode(form)
    for path in list_paths(form):
        try:
            found = decode(replace_at(form, path, value))
        except Refusal as refusal:
            assert refusal.code in ("malformed_request", "malformed_payment", "malformed_instruction")
            continue
        assert is_derived(path) or found != expected, f"{path} was not read"
    with pytest.raises(MalformedRequest):
        decode(value)


def list_paths(form: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = form.items() if isinstance(form, dict) else enumerate(form) if isinstance(form, list) else ()
    paths = [path] if path else []
    for name, member in members:
        paths += list_paths(member, (*path, name))
    return paths


def replace_at(form: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    name, rest = path[0], path[1:]
    copy = form.copy()
    copy[name] = replace_at(form[name], rest, value)
    return copy


@pytest.mark.parametrize(("decode", "form"), DECODERS.values(), ids=DECODERS)
def test_whatever_is_missing_is_named(decode: Callable[[Any], Any], form: dict[str, Any]) -> None:
    for path in list_paths(form):
        if not isinstance(path[-1], str) or is_derived(path):
            continue
        holder = form
        for name in path[:-1]:
            holder = holder[name]
        without = {name: member for name, member in holder.items() if name != path[-1]}
        with pytest.raises(Refusal, match=path[-1]):
            decode(replace_at(form, path[:-1], without))


@pytest.mark.parametrize("name", ["kind", "memo"])
def test_half_a_surrogate_pair_is_no_text(name: str) -> None:
    decode, form = DECODERS["payment record"]
    with pytest.raises(MalformedPayment, match="surrogates not allowed"):
        decode(replace_at(form, ("payment", name), "\ud800"))


def test_lists_are_bounded() -> None:
    decode, form = DECODERS["receipt"]
    with pytest.raises(MalformedRequest, match="at most 64"):
        decode(replace_at(form, ("siblings",), ["0x" + "00" * 32] * 65))
    with pytest.raises(MalformedRequest, match="at most 64"):
        decode(replace_at(form, ("commitment", "siblings"), ["0x" + "00" * 32] * 65))
    lines = form["commitment"]["message"]["assets"]
    assert (
        len(decode(replace_at(form, ("commitment", "message", "assets"), lines * 32)).inclusion.commitment.assets) == 32
    )
    with pytest.raises(MalformedRequest, match="at most 32"):
        decode(replace_at(form, ("commitment", "message", "assets"), lines * 33))
    decode, form = DECODERS["account proof"]
    with pytest.raises(MalformedRequest, match="at most 64"):
        decode(replace_at(form, ("siblings",), form["siblings"] * 33))


def test_record_types_are_exact() -> None:
    form = wire.encode_record(deposit(0))
    for record_type in ("payments", "Deposit", "Register", "", None, 2, 4):
        with pytest.raises(MalformedRequest, match="record type"):
            wire.decode_record({**form, "type": record_type})


def test_published_types_are_exactly_the_signed_ones() -> None:
    assert list(wire.PAYMENT_TYPES) == ["Payment", "Output"]
    assert wire.PAYMENT_TYPES["Output"] == [{"name": "to", "type": "address"}, {"name": "amount", "type": "uint128"}]
    assert [member["name"] for member in wire.PAYMENT_TYPES["Payment"]] == list(wire.encode_payment(make_payment()))
    assert list(wire.COMMITMENT_TYPES) == ["Commitment", "AssetCommitment"]
    for name, types in wire.INSTRUCTION_EIP712_TYPES.items():
        assert types == {name: [{"name": member, "type": kind} for kind, member, _ in MEMBERS[name]]}
        assert [member["name"] for member in types[name]] == list(INSTRUCTION_FORMS[name])[1:]
    assert list(wire.INSTRUCTION_EIP712_TYPES) == list(INSTRUCTIONS)
