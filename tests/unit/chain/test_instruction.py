"""The structure of instructions, their ids, and their bytes in the journal. More ids and bytes are vectors."""

from itertools import combinations
from typing import Any, Final

import msgspec
import pytest

from chain.errors import InvalidSignature, MalformedBytes, Refusal
from chain.instruction import (
    INSTRUCTION_TYPES,
    INSTRUCTIONS,
    MEMBERS,
    Instruction,
    SignedInstruction,
    check_signed_instruction,
    check_structure,
    compute_instruction_id,
    decode_signed_instruction,
    encode_signed_instruction,
    get_type,
)
from chain.payment import compute_payment_id, decode_signed_payment, encode_signed_payment
from chain.primitives import MAX_STORAGE_DAYS, MAX_U64, MAX_U128, ZERO_ADDRESS, ZERO_HASH
from tests.unit.chain.actors import ALICE, BOB, BOB_KEY, DOMAIN, ETHER, PARAMETERS, make_payment, some_hash
from tests.unit.chain.exchange import ERIK, make_instruction, sign
from tests.vectors import reference

TYPES: Final = tuple(INSTRUCTIONS)


def refuse(instruction: Instruction) -> Refusal:
    with pytest.raises(Refusal) as caught:
        check_structure(instruction)
    return caught.value


def change(instruction: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(instruction, **fields)


# --- types


def test_the_signed_types() -> None:
    assert INSTRUCTION_TYPES == {
        "Register": "Register(address account,uint64 nonce,uint64 validUntil,string role)",
        "RegisterOwner": "RegisterOwner(address account,uint64 nonce,uint64 validUntil,address validator)",
        "ListFile": (
            "ListFile(address account,uint64 nonce,uint64 validUntil,bytes32 file,address owner,address asset,"
            "uint128 price,uint64 size,uint32 storageDays,bytes32 contentHash,string name,string mediaType,"
            "string[] tags,string description,bytes32 keyHash,bytes sealedKey)"
        ),
        "UpdatePrice": "UpdatePrice(address account,uint64 nonce,uint64 validUntil,bytes32 file,uint128 price)",
        "Delist": "Delist(address account,uint64 nonce,uint64 validUntil,bytes32 file)",
    }


@pytest.mark.parametrize("name", TYPES)
def test_members_are_the_fields_in_their_order(name: str) -> None:
    """A contract rebuilds an id from account, nonce and the words that follow, whatever the type."""
    assert [attribute for _, _, attribute in MEMBERS[name]] == list(INSTRUCTIONS[name].__struct_fields__)
    assert MEMBERS[name][:2] == (("address", "account", "account"), ("uint64", "nonce", "nonce"))
    assert get_type(make_instruction(name)) == name


# --- structure


@pytest.mark.parametrize("name", TYPES)
def test_what_is_sound(name: str) -> None:
    check_structure(make_instruction(name))
    check_structure(make_instruction(name, nonce=MAX_U64, valid_until=MAX_U64))


@pytest.mark.parametrize("name", TYPES)
def test_nobody_instructs(name: str) -> None:
    refusal = refuse(make_instruction(name, account=ZERO_ADDRESS))
    assert (refusal.code, refusal.values) == ("zero_address", {"field": "account"})


def test_refusals_carry_what_they_are_about() -> None:
    refusal = refuse(make_instruction("RegisterOwner", validator=ZERO_ADDRESS))
    assert (refusal.code, refusal.values) == ("zero_address", {"field": "validator"})
    refusal = refuse(make_instruction("ListFile", owner=ZERO_ADDRESS))
    assert (refusal.code, refusal.values) == ("zero_address", {"field": "owner"})
    refusal = refuse(make_instruction("Register", role="admin" * 20))
    assert (refusal.code, refusal.values) == ("unknown_role", {"role": ("admin" * 20)[:32]})
    for name in ("UpdatePrice", "ListFile"):
        refusal = refuse(make_instruction(name, price=0))
        assert (refusal.code, refusal.values) == ("malformed_instruction", {"problem": "price: at least one base unit"})


@pytest.mark.parametrize("role", ["", "Validator", "MART", "mart ", "mart\x00", "service node", "owner", "operator"])
def test_roles_are_exact(role: str) -> None:
    assert refuse(make_instruction("Register", role=role)).code == "unknown_role"


@pytest.mark.parametrize("role", ["validator", "mart", "service_node"])
def test_what_one_registers_as(role: str) -> None:
    check_structure(make_instruction("Register", role=role))


LISTING_FAULTS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("account", {"account": ZERO_ADDRESS}),
    ("owner", {"owner": ZERO_ADDRESS}),
    ("price: at least one base unit", {"price": 0}),
    ("file: zero is what payments refer to that are for nothing", {"file": ZERO_HASH}),
    ("size: a file has at least one byte", {"size": 0}),
    ("storageDays: from 1 to 36500", {"storage_days": 36_501}),
    ("name: 129 bytes of UTF-8, at most 128 are allowed", {"name": "é" * 64 + "n"}),
    ("mediaType: 65 bytes of UTF-8, at most 64 are allowed", {"media_type": "m" * 65}),
    ("tags: at most 8, none empty, none twice", {"tags": tuple("abcdefghi")}),
    ("tags: 33 bytes of UTF-8, at most 32 are allowed", {"tags": ("é" * 16 + "t",)}),
    ("description: 513 bytes of UTF-8, at most 512 are allowed", {"description": "🪵" * 128 + "d"}),
    ("sealedKey: a sealed key takes 81 bytes", {"sealed_key": bytes(82)}),
    ("keyHash: zero, and there is a sealed key", {"key_hash": ZERO_HASH}),
]
"""In their order; the problem, or the field that is the zero address."""


def name_fault(fault: tuple[str, dict[str, Any]]) -> str:
    return fault[0].partition(":")[0]


def assert_listing_refused(problem: str, **fields: Any) -> None:
    refusal = refuse(make_instruction("ListFile", **fields))
    code = "malformed_instruction" if ":" in problem else "zero_address"
    assert (refusal.code, list(refusal.values.values())) == (code, [problem])


@pytest.mark.parametrize("fault", LISTING_FAULTS, ids=name_fault)
def test_each_fault_of_a_listing_alone(fault: tuple[str, dict[str, Any]]) -> None:
    assert_listing_refused(fault[0], **fault[1])


@pytest.mark.parametrize(("first", "second"), list(combinations(LISTING_FAULTS, 2)), ids=name_fault)
def test_of_two_faults_the_first_is_named(first: tuple[str, dict[str, Any]], second: tuple[str, Any]) -> None:
    # The first one last, so that where both spoil the same field it is there.
    assert_listing_refused(first[0], **{**second[1], **first[1]})


@pytest.mark.parametrize(
    ("problem", "fields"),
    [
        ("storageDays: from 1 to 36500", {"storage_days": 0}),
        ("storageDays: from 1 to 36500", {"storage_days": 2**32 - 1}),
        ("name: a file has one", {"name": ""}),
        ("tags: at most 8, none empty, none twice", {"tags": ("rain", "")}),
        ("tags: at most 8, none empty, none twice", {"tags": ("rain", "weather", "rain")}),
        ("sealedKey: a sealed key takes 81 bytes", {"sealed_key": bytes(80)}),
        ("sealedKey: a sealed key takes 81 bytes", {"sealed_key": b"\0"}),
        ("sealedKey: a sealed key takes 81 bytes", {"sealed_key": bytes(80), "key_hash": ZERO_HASH}),
    ],
)
def test_other_faults_of_a_listing(problem: str, fields: dict[str, Any]) -> None:
    assert_listing_refused(problem, **fields)


def test_what_a_listing_may_be() -> None:
    for fields in (
        {"asset": ETHER},
        {"owner": ALICE},
        {"price": 1, "size": 1, "storage_days": 1},
        {"price": MAX_U128, "size": MAX_U64, "storage_days": MAX_STORAGE_DAYS},
        {"name": "é" * 64, "media_type": "m" * 64, "description": "🪵" * 128},
        {"tags": tuple("é" * 15 + f"{number:02}" for number in range(8))},
        {"tags": ("Rain", "rain")},
        {"media_type": "", "tags": (), "description": ""},
        {"sealed_key": b""},
        {"sealed_key": b"", "key_hash": ZERO_HASH},
        {"content_hash": ZERO_HASH},
    ):
        check_structure(make_instruction("ListFile", **fields))


# --- ids and signatures


def make_message(instruction: Any) -> dict[str, Any]:
    """As signers take it."""
    values = {name: getattr(instruction, attribute) for _, name, attribute in MEMBERS[get_type(instruction)]}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


CHANGES: Final[dict[str, dict[str, Any]]] = {
    "Register": {"role": "mart"},
    "RegisterOwner": {"validator": BOB},
    "ListFile": {
        "file": some_hash("x"),
        "owner": BOB,
        "asset": ETHER,
        "price": 101,
        "size": 5,
        "storage_days": 31,
        "content_hash": some_hash("x"),
        "name": "x",
        "media_type": "x",
        "tags": ("rain", "weather"),
        "description": "x",
        "key_hash": some_hash("x"),
        "sealed_key": b"x" * 81,
    },
    "UpdatePrice": {"file": some_hash("x"), "price": 8},
    "Delist": {"file": some_hash("x")},
}
"""Another value for every member but the three that all have."""


def list_changes(name: str) -> list[Any]:
    plain = make_instruction(name)
    fields = {"account": BOB, "nonce": 1, "valid_until": 1, **CHANGES[name]}
    return [plain, *[change(plain, **{attribute: value}) for attribute, value in fields.items()]]


@pytest.mark.parametrize("name", TYPES)
def test_ids_are_those_of_other_signers(name: str) -> None:
    domain = reference.make_domain(DOMAIN.chain_id, DOMAIN.verifying_contract)
    for instruction in list_changes(name):
        assert compute_instruction_id(instruction, DOMAIN) == reference.digest(name, make_message(instruction), domain)


@pytest.mark.parametrize("name", TYPES)
def test_everything_but_the_signature_is_in_the_id(name: str) -> None:
    instructions = list_changes(name)
    assert len(instructions) == 1 + len(MEMBERS[name])
    assert len({compute_instruction_id(instruction, DOMAIN) for instruction in instructions}) == len(instructions)
    signature = sign(instructions[0]).signature
    for instruction in instructions[1:]:
        with pytest.raises(InvalidSignature):
            check_signed_instruction(instruction, signature, DOMAIN)


@pytest.mark.parametrize("name", TYPES)
def test_only_the_account_signs(name: str) -> None:
    instruction = make_instruction(name)
    assert check_signed_instruction(instruction, sign(instruction).signature, DOMAIN) == sign(instruction)
    with pytest.raises(InvalidSignature, match=f"not by 0x{ALICE.hex()}"):
        check_signed_instruction(instruction, sign(instruction, BOB_KEY).signature, DOMAIN)


def test_a_role_under_a_validator_is_given_by_the_owner_alone() -> None:
    """Neither the validator nor anybody else signs it for the owner."""
    instruction = make_instruction("RegisterOwner", account=BOB, validator=ERIK)
    for key in (sign(make_instruction("Register")).signature, sign(change(instruction, account=ERIK)).signature):
        with pytest.raises(InvalidSignature):
            check_signed_instruction(instruction, key, DOMAIN)


def test_structure_is_looked_at_before_the_signature() -> None:
    with pytest.raises(Refusal) as caught:
        check_signed_instruction(make_instruction("Register", role="x"), bytes(65), DOMAIN)
    assert caught.value.code == "unknown_role"


def test_no_signed_message_passes_for_another() -> None:
    """Types that share all their members' types, payments, and other deployments."""
    delisting, pricing = make_instruction("Delist"), make_instruction("UpdatePrice")
    other = msgspec.structs.replace(PARAMETERS, settlement=b"\x11" * 20).domain
    ids = [compute_instruction_id(make_instruction(name), domain) for name in TYPES for domain in (DOMAIN, other)]
    ids.append(compute_payment_id(make_payment(), DOMAIN))
    assert len(set(ids)) == len(ids)
    for signature in (
        sign(pricing).signature,
        sign(make_payment()).signature,
        sign(change(delisting, nonce=1)).signature,
    ):
        with pytest.raises(InvalidSignature):
            check_signed_instruction(delisting, signature, DOMAIN)


# --- the journal's form

SIGNED: Final[dict[str, SignedInstruction]] = {
    **{name: sign(make_instruction(name, nonce=9, valid_until=7)) for name in TYPES},
    "without text": sign(make_instruction("ListFile", media_type="", tags=(), description="", sealed_key=b"")),
    "beyond ASCII": sign(make_instruction("ListFile", name="Grüße 🪵", tags=("é", "\x00"), description='"\\\n')),
}
CODE_AT: Final = 97
NAME_AT: Final = CODE_AT + 1 + 20 + 8 + 8 + 32 + 20 + 20 + 16 + 8 + 4 + 32


def alter(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


def test_it_comes_back_as_it_went() -> None:
    for code, name in enumerate(TYPES, 1):
        encoded = encode_signed_instruction(SIGNED[name])
        assert encoded[CODE_AT] == code
        assert encoded.startswith(SIGNED[name].id + SIGNED[name].signature)
    for signed in SIGNED.values():
        assert decode_signed_instruction(encode_signed_instruction(signed)) == signed
    assert len(encode_signed_instruction(SIGNED["Register"])) == 98 + 36 + 2 + len("validator")
    assert len(encode_signed_instruction(SIGNED["RegisterOwner"])) == 98 + 36 + 20
    assert len(encode_signed_instruction(SIGNED["Delist"])) == 98 + 36 + 32
    assert len(encode_signed_instruction(SIGNED["UpdatePrice"])) == 98 + 36 + 48
    assert len(encode_signed_instruction(SIGNED["without text"])) == NAME_AT + 2 + 13 + 3 * 2 + 32 + 2


def test_a_record_of_the_largest_fits_its_size() -> None:
    tags = tuple("é" * 15 + f"{number:02}" for number in range(8))
    largest = make_instruction("ListFile", name="n" * 128, media_type="m" * 64, tags=tags, description="d" * 512)
    check_structure(largest)
    assert len(encode_signed_instruction(sign(largest))) < 2**16


@pytest.mark.parametrize("signed", SIGNED.values(), ids=SIGNED)
def test_no_byte_may_be_missing_or_added(signed: SignedInstruction) -> None:
    encoded = encode_signed_instruction(signed)
    for size in range(len(encoded)):
        with pytest.raises(MalformedBytes):
            decode_signed_instruction(encoded[:size])
    for more in (b"\x00", b"\xff", encoded):
        with pytest.raises(MalformedBytes, match="left over"):
            decode_signed_instruction(encoded + more)


@pytest.mark.parametrize("code", [0, 6, 7, 255])
def test_other_types_are_not_known_yet(code: int) -> None:
    encoded = encode_signed_instruction(SIGNED["Delist"])
    with pytest.raises(MalformedBytes, match=f"instruction type {code} is not known"):
        decode_signed_instruction(alter(encoded, CODE_AT, code))


@pytest.mark.parametrize("signed", SIGNED.values(), ids=SIGNED)
def test_every_other_byte_means_something(signed: SignedInstruction) -> None:
    """No two encodings of one instruction: turn any bit, and it is refused or another one."""
    encoded = encode_signed_instruction(signed)
    for at in range(len(encoded)):
        for bit in range(8):
            turned = alter(encoded, at, encoded[at] ^ 1 << bit)
            try:
                found = decode_signed_instruction(turned)
            except MalformedBytes:
                continue
            assert found != signed
            assert encode_signed_instruction(found) == turned


@pytest.mark.parametrize(
    "text", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe4\xb8"], ids=["byte", "overlong", "surrogate", "cut"]
)
def test_text_that_is_no_utf_8(text: bytes) -> None:
    encoded = encode_signed_instruction(SIGNED["ListFile"])
    assert encoded[NAME_AT : NAME_AT + 2] == b"\x00\x0d"
    broken = encoded[:NAME_AT] + len(text).to_bytes(2, "big") + text + encoded[NAME_AT + 2 + 13 :]
    with pytest.raises(MalformedBytes, match="text of an instruction is not UTF-8"):
        decode_signed_instruction(broken)


@pytest.mark.parametrize("count", [1, 3, 255])
def test_a_false_count_of_tags(count: int) -> None:
    encoded = encode_signed_instruction(SIGNED["ListFile"])
    at = NAME_AT + 2 + 13 + 2 + len("text/csv")
    assert encoded[at : at + 2] == b"\x00\x02"
    with pytest.raises(MalformedBytes):
        decode_signed_instruction(alter(encoded, at + 1, count))
    with pytest.raises(MalformedBytes):
        decode_signed_instruction(alter(encoded, at, 255))


@pytest.mark.parametrize("signed", SIGNED.values(), ids=SIGNED)
def test_an_instruction_is_no_payment(signed: SignedInstruction) -> None:
    with pytest.raises(MalformedBytes):
        decode_signed_payment(encode_signed_instruction(signed))


def test_a_payment_is_no_instruction() -> None:
    with pytest.raises(MalformedBytes):
        decode_signed_instruction(encode_signed_payment(sign(make_payment(memo="Grüße"))))
