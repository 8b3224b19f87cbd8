"""The structure of payments, and their bytes in the journal. Ids and signatures are vectors."""

import pytest

from chain.errors import InvalidSignature, MalformedBytes, Refusal
from chain.kinds import EFFECTS, KIND_CODES, RULES, SHAPES
from chain.payment import (
    Output,
    Payment,
    check_signed_payment,
    check_structure,
    compute_payment_id,
    decode_signed_payment,
    encode_signed_payment,
)
from chain.primitives import MAX_U64, MAX_U128, ZERO_ADDRESS
from tests.unit.chain.actors import ALICE, BOB, BOB_KEY, CAROL, DOMAIN, ETHER, TOKEN, make_payment, sign, some_hash


def refuse(payment: Payment) -> Refusal:
    with pytest.raises(Refusal) as caught:
        check_structure(payment)
    return caught.value


# --- structure


def test_refusals_carry_what_they_are_about() -> None:
    assert refuse(make_payment(kind="mint")).values == {"kind": "mint"}
    assert refuse(make_payment(*[(BOB, 1)] * 17)).values == {"count": 17, "limit": 16}
    assert refuse(make_payment(payer=ZERO_ADDRESS)).values == {"field": "from"}
    assert refuse(make_payment((BOB, 1), (ZERO_ADDRESS, 1))).values == {"field": "outputs[1].to"}
    assert refuse(make_payment((BOB, 1), (CAROL, 0))).values == {"output": 1}
    assert refuse(make_payment((BOB, 1), (CAROL, 2**128))).values == {"amount": 2**128, "limit": MAX_U128}
    assert refuse(make_payment((BOB, MAX_U128), (CAROL, 1))).values == {"amount": 2**128, "limit": MAX_U128}
    assert refuse(make_payment(memo="é" * 129)).values == {"size": 258, "limit": 256}


@pytest.mark.parametrize(
    "kind", ["", "Transfer", "TIP", "transfer ", "transfer\x00", "Upload", "purchases", "extend ", "mint"]
)
def test_kinds_are_exact(kind: str) -> None:
    assert refuse(make_payment(kind=kind)).code == "unknown_kind"


def test_what_is_allowed() -> None:
    check_structure(make_payment(*[(BOB, 1)] * 16))
    check_structure(make_payment((ALICE, 1)))
    check_structure(make_payment(asset=ETHER))
    check_structure(make_payment((BOB, 2**127), (CAROL, 2**127 - 1)))
    check_structure(make_payment(memo="é" * 128))
    check_structure(make_payment(nonce=MAX_U64, valid_until=MAX_U64))


def test_every_kind_has_a_rule_and_a_number_of_its_own() -> None:
    assert KIND_CODES == {"transfer": 1, "upload": 2, "purchase": 3, "extend": 4, "tip": 5, "withdraw": 6}
    assert set(RULES) == set(SHAPES) == set(KIND_CODES)
    assert set(EFFECTS) == {"upload", "purchase", "extend"}


# --- signatures


def test_only_the_payer_signs() -> None:
    payment = make_payment()
    assert check_signed_payment(payment, sign(payment).signature, DOMAIN) == sign(payment)
    with pytest.raises(InvalidSignature, match=f"not by 0x{ALICE.hex()}"):
        check_signed_payment(payment, sign(payment, BOB_KEY).signature, DOMAIN)


def test_everything_but_the_signature_is_in_the_id() -> None:
    changes = [
        {},
        {"asset": ETHER},
        {"payer": BOB},
        {"nonce": 1},
        {"valid_until": 1},
        {"kind": "tip"},
        {"reference": some_hash("x")},
        {"memo": "x"},
        {"outputs": (Output(CAROL, 1),)},
        {"outputs": (Output(BOB, 2),)},
        {"outputs": (Output(BOB, 1), Output(BOB, 1))},
    ]
    payments = [make_payment(**change) for change in changes]
    assert len({compute_payment_id(payment, DOMAIN) for payment in payments}) == len(changes)
    signature = sign(payments[0]).signature
    for payment in payments[1:]:
        with pytest.raises(InvalidSignature):
            check_signed_payment(payment, signature, DOMAIN)


# --- the journal's form


SIGNED = sign(
    make_payment((BOB, 5), (CAROL, MAX_U128 - 5), nonce=9, valid_until=7, memo="Grüße", reference=some_hash("r"))
)
ENCODED = encode_signed_payment(SIGNED)
FORM_AT, KIND_AT, COUNT_AT, MEMO_SIZE_AT = 97, 97 + 1 + 20 + 20 + 8 + 8, 97 + 90, 97 + 91


def alter(at: int, value: int) -> bytes:
    return ENCODED[:at] + bytes([value]) + ENCODED[at + 1 :]


def test_it_comes_back_as_it_went() -> None:
    assert decode_signed_payment(ENCODED) == SIGNED
    assert len(ENCODED) == 32 + 65 + 93 + 2 * 36 + len("Grüße".encode())
    assert (ENCODED[FORM_AT], ENCODED[KIND_AT], ENCODED[COUNT_AT]) == (1, 1, 2)
    assert ENCODED[MEMO_SIZE_AT : MEMO_SIZE_AT + 2] == b"\x00\x07"
    assert SIGNED.payment.asset == TOKEN


def test_no_byte_may_be_missing_or_added() -> None:
    for size in range(len(ENCODED)):
        with pytest.raises(MalformedBytes):
            decode_signed_payment(ENCODED[:size])
    for more in (b"\x00", b"\xff", ENCODED):
        with pytest.raises(MalformedBytes, match="left over"):
            decode_signed_payment(ENCODED + more)


@pytest.mark.parametrize("form", [0, 2, 3, 255])
def test_other_forms_of_authorisation_are_not_known_yet(form: int) -> None:
    with pytest.raises(MalformedBytes, match=f"authorisation form {form} is not known"):
        decode_signed_payment(alter(FORM_AT, form))


@pytest.mark.parametrize("code", [0, 7, 8, 255])
def test_other_kinds_are_not_known_yet(code: int) -> None:
    with pytest.raises(MalformedBytes, match=f"kind code {code} is not known"):
        decode_signed_payment(alter(KIND_AT, code))


@pytest.mark.parametrize("count", [0, 1, 3, 16, 255])
def test_a_false_count_of_outputs(count: int) -> None:
    with pytest.raises(MalformedBytes):
        decode_signed_payment(alter(COUNT_AT, count))


@pytest.mark.parametrize(
    "memo", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe4\xb8"], ids=["byte", "overlong", "surrogate", "cut"]
)
def test_a_memo_that_is_no_utf_8(memo: bytes) -> None:
    padded = memo.ljust(7, b"a")
    with pytest.raises(MalformedBytes, match="the memo is not UTF-8"):
        decode_signed_payment(ENCODED[:-7] + padded if memo[-1:] != b"\xb8" else ENCODED[:-7] + padded[2:] + memo)


def test_every_other_byte_means_something() -> None:
    """No two encodings of one payment: turn any bit, and it is refused or another payment."""
    for at in range(len(ENCODED)):
        for bit in range(8):
            try:
                found = decode_signed_payment(alter(at, ENCODED[at] ^ 1 << bit))
            except MalformedBytes:
                continue
            assert found != SIGNED
            assert encode_signed_payment(found) == alter(at, ENCODED[at] ^ 1 << bit)
