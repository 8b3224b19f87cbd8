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
from chain.errors import MalformedPayment, MalformedRequest, Refusal
from chain.evidence import AccountProof, WithdrawalClaim
from chain.primitives import MAX_U32, MAX_U64, MAX_U128, MAX_U256, ZERO_HASH
from chain.receipt import Inclusion, Receipt
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
    for record in (deposit(3), sign(make_payment(memo="Grüße"))):
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
            assert refusal.code in ("malformed_request", "malformed_payment")
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
    for record_type in ("payments", "Deposit", "", None, 2):
        with pytest.raises(MalformedRequest, match="record type"):
            wire.decode_record({**form, "type": record_type})


def test_published_types_are_exactly_the_signed_ones() -> None:
    assert list(wire.PAYMENT_TYPES) == ["Payment", "Output"]
    assert wire.PAYMENT_TYPES["Output"] == [{"name": "to", "type": "address"}, {"name": "amount", "type": "uint128"}]
    assert [member["name"] for member in wire.PAYMENT_TYPES["Payment"]] == list(wire.encode_payment(make_payment()))
    assert list(wire.COMMITMENT_TYPES) == ["Commitment", "AssetCommitment"]
