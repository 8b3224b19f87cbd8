"""Instructions and atomic uploads against the state: each refusal, their order, what they change and what not."""

from collections.abc import Callable
from copy import deepcopy
from itertools import combinations
from typing import Any, Final

import msgspec
import pytest

from chain.block import Record
from chain.errors import Refusal
from chain.instruction import Instruction, ListFile, SignedInstruction
from chain.market import DAY_SECONDS, ROLE_BITS, Roles
from chain.payment import Payment
from chain.primitives import MAX_EPOCH_VOLUME, MAX_U64, ZERO_ADDRESS
from chain.state import ACCOUNT_ENTRY, FILE_ENTRY, State
from chain.transition import (
    apply_cut,
    check_instruction,
    check_payment,
    check_upload,
    is_upload,
    make_file,
    replay_record,
)
from tests.unit.chain.actors import ALICE, BOB, CAROL, ETHER, TOKEN, UNLISTED, deposit, make_payment, some_hash
from tests.unit.chain.exchange import (
    CHARGE,
    DORA,
    ERIK,
    FILE,
    GIB,
    NOW_MS,
    NOW_S,
    STORAGE_DAYS,
    UNKNOWN,
    UNPAID,
    delist,
    extend,
    list_file,
    make_empty_exchange,
    make_exchange,
    make_instruction,
    play,
    purchase,
    register,
    register_owner,
    sign,
    sign_all,
    update_price,
    upload,
)

NEW: Final = some_hash("a new file")
FRANK: Final = b"\xf4" * 20
"""Of whom nobody has heard."""


def change(order: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(order, **fields)


def assert_refused(state: State, instruction: Instruction, code: str, **values: Any) -> None:
    """With exactly these values."""
    before = state.compute_fingerprint()
    with pytest.raises(Refusal) as caught:
        check_instruction(state, instruction, NOW_MS)
    assert (caught.value.code, caught.value.values) == (code, values)
    assert state.compute_fingerprint() == before


# --- the order of refusals

Fault = tuple[str, dict[str, Any]]
"""(code, what it changes of the instruction)"""

TIMELY: Final[list[Fault]] = [
    ("expired", {"valid_until": NOW_S - 1}),
    ("nonce_used", {"nonce": 255}),
    ("nonce_too_far", {"nonce": 256}),
]
SOUND: Final[dict[str, Instruction]] = {
    "Register": register(ALICE, "mart"),
    "RegisterOwner": register_owner(BOB, ALICE),
    "ListFile": list_file(NEW),
    "UpdatePrice": update_price(7),
    "Delist": delist(),
}
FAULTS: Final[dict[str, list[Fault]]] = {
    "Register": [*TIMELY, ("already_registered", {"role": "validator"})],
    "RegisterOwner": [*TIMELY, ("wrong_role", {"validator": CAROL}), ("already_registered", {"account": CAROL})],
    "ListFile": [
        *TIMELY,
        ("wrong_role", {"account": BOB}),
        ("already_listed", {"file": FILE}),
        ("unknown_asset", {"asset": UNLISTED}),
        ("foreign_validator", {"account": ERIK}),
        ("wrong_role", {"owner": FRANK}),
    ],
    "UpdatePrice": [*TIMELY, ("unknown_reference", {"file": UNKNOWN}), ("foreign_validator", {"account": ERIK})],
    "Delist": [*TIMELY, ("unknown_reference", {"file": UNKNOWN}), ("foreign_validator", {"account": ERIK})],
}
"""In the documented order. The last two of a listing exclude each other."""

PAIRS: Final = [
    (name, first, second)
    for name, faults in FAULTS.items()
    for first, second in combinations(faults, 2)
    if not set(first[1]) & set(second[1]) and (first[1], second[1]) != ({"account": ERIK}, {"owner": FRANK})
]


def name_case(value: Any) -> str:
    return value if isinstance(value, str) else value[0]


@pytest.mark.parametrize("name", SOUND)
def test_an_instruction_without_fault_passes(name: str) -> None:
    check_instruction(make_exchange(), SOUND[name], NOW_MS)


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name, faults in FAULTS.items() for fault in faults], ids=name_case
)
def test_each_fault_alone(name: str, fault: Fault) -> None:
    assert_code(SOUND[name], fault[0], fault[1])


@pytest.mark.parametrize(("name", "first", "second"), PAIRS, ids=name_case)
def test_of_two_faults_the_first_is_named(name: str, first: Fault, second: Fault) -> None:
    assert_code(SOUND[name], first[0], {**second[1], **first[1]})


def assert_code(sound: Instruction, code: str, fields: dict[str, Any]) -> None:
    state = make_exchange()
    before = state.compute_fingerprint()
    with pytest.raises(Refusal) as caught:
        check_instruction(state, change(sound, **fields), NOW_MS)
    assert caught.value.code == code
    assert state.compute_fingerprint() == before


# --- nonces and time: of payments and instructions alike


def test_payments_and_instructions_share_one_window() -> None:
    state = make_exchange()
    play(state, update_price(5, nonce=3))
    for order in (make_payment(nonce=3), make_payment(nonce=3, asset=ETHER)):
        with pytest.raises(Refusal) as caught:
            check_payment(state, order, NOW_MS)
        assert caught.value.code == "nonce_used"
    play(state, make_payment(nonce=4))
    assert_refused(state, update_price(6, nonce=4), "nonce_used", nonce=4, next_nonce=256)
    assert_refused(state, update_price(6, nonce=256), "nonce_too_far", nonce=256, limit=256)
    assert_refused(state, update_price(6, nonce=MAX_U64), "nonce_too_far", nonce=MAX_U64, limit=256)
    play(state, delist(nonce=0))
    assert state.get_nonces(ALICE).base == 1
    check_payment(state, make_payment(nonce=256), NOW_MS)


@pytest.mark.parametrize("name", SOUND)
def test_an_instruction_passes_once(name: str) -> None:
    state = make_exchange()
    play(state, SOUND[name])
    assert_refused(
        state, SOUND[name], "nonce_used", nonce=0, next_nonce=state.get_nonces(SOUND[name].account).next_nonce
    )
    apply_cut(state, NOW_MS)
    with pytest.raises(Refusal, match="nonce 0 is used"):
        check_instruction(state, SOUND[name], NOW_MS + 1)


@pytest.mark.parametrize("name", SOUND)
def test_expiry_is_at_the_end_of_the_second_named(name: str) -> None:
    state, instruction = make_exchange(), change(SOUND[name], valid_until=NOW_S)
    check_instruction(state, instruction, NOW_S * 1000)
    with pytest.raises(Refusal) as caught:
        check_instruction(state, instruction, NOW_S * 1000 + 1)
    assert caught.value.values == {"valid_until": NOW_S, "timestamp": NOW_S * 1000 + 1}


@pytest.mark.parametrize("name", SOUND)
def test_no_money_moves(name: str) -> None:
    state = make_exchange()
    before = (deepcopy(state.balances), deepcopy(state.debits), deepcopy(state.credits), dict(state.totals))
    play(state, SOUND[name])
    assert (state.balances, state.debits, state.credits, state.totals) == before
    assert state.purchases == {}


def test_who_has_no_money_may_instruct() -> None:
    state = State(make_exchange().parameters)
    play(state, register(ALICE, "validator"), register(BOB, "mart"), register_owner(CAROL, ALICE))
    assert [state.get_roles(account).names for account in (ALICE, BOB, CAROL)] == [["validator"], ["mart"], ["owner"]]
    assert_refused(state, list_file(nonce=1), "unknown_asset", asset=TOKEN)


# --- registrations


@pytest.mark.parametrize("role", ["validator", "mart", "service_node"])
def test_each_role_is_registered_once(role: str) -> None:
    state = make_empty_exchange()
    play(state, register(ALICE, role))
    assert state.get_roles(ALICE) == Roles(ROLE_BITS[role])
    assert_refused(state, register(ALICE, role, 1), "already_registered", account=ALICE, role=role)
    for nonce, other in enumerate({"validator", "mart", "service_node"} - {role}, 1):
        play(state, register(ALICE, other, nonce))
    play(state, register_owner(ALICE, ALICE, 3))
    assert state.get_roles(ALICE) == Roles(15, ALICE)
    assert_refused(state, register(ALICE, role, 4), "already_registered", account=ALICE, role=role)


def test_an_owner_registers_once() -> None:
    state = make_exchange()
    for validator in (ALICE, ERIK):
        assert_refused(state, register_owner(CAROL, validator), "already_registered", account=CAROL, role="owner")
    assert state.get_roles(CAROL) == Roles(ROLE_BITS["owner"], ALICE)


def test_an_owner_registers_under_a_validator_only() -> None:
    state = make_exchange()
    for account, roles in ((BOB, "mart"), (CAROL, "owner"), (DORA, "service_node"), (FRANK, "none")):
        values = {"account": account, "expected": "validator", "got": roles}
        assert_refused(state, register_owner(BOB, account), "wrong_role", **values)
    play(state, register_owner(BOB, ERIK))
    assert state.get_roles(BOB) == Roles(ROLE_BITS["mart"] | ROLE_BITS["owner"], ERIK)


def test_roles_of_another_kind_leave_the_validator_of_an_owner_alone() -> None:
    state = make_exchange()
    play(state, register(CAROL, "mart"))
    assert state.get_roles(CAROL) == Roles(ROLE_BITS["owner"] | ROLE_BITS["mart"], ALICE)
    play(state, list_file(NEW, 0, owner=FRANK), upload(NEW, 1))
    named = state.get_roles(FRANK)
    assert named == Roles(ROLE_BITS["owner"], ALICE, True)


# --- listings


def test_what_a_listing_lists() -> None:
    state = make_exchange()
    listing = list_file(NEW, price=5, size=7, storage_days=2, asset=ETHER)
    (record,) = play(state, listing, timestamp=NOW_MS + 1999)
    file = state.files[NEW]
    assert file == make_file(listing, record.id, NOW_MS + 1999)
    assert (file.id, file.validator, file.owner, file.asset, file.price) == (NEW, ALICE, CAROL, ETHER, 5)
    assert (file.size, file.storage_days, file.keep_until) == (7, 2, NOW_S + 1 + 2 * DAY_SECONDS)
    assert (file.service_node, file.listing, file.is_delisted) == (ZERO_ADDRESS, record.id, False)


def test_refused_listings() -> None:
    state = make_exchange()
    for account, roles in ((BOB, "mart"), (CAROL, "owner"), (DORA, "service_node"), (FRANK, "none")):
        values = {"account": account, "expected": "validator", "got": roles}
        assert_refused(state, list_file(NEW, account=account), "wrong_role", **values)
    assert_refused(state, list_file(FILE), "already_listed", file=FILE)
    assert_refused(state, list_file(FILE, account=ERIK), "already_listed", file=FILE)
    assert_refused(state, list_file(NEW, asset=UNLISTED), "unknown_asset", asset=UNLISTED)
    assert_refused(state, list_file(NEW, account=ERIK), "foreign_validator", expected=ALICE, got=ERIK)
    for owner, roles in ((BOB, "mart"), (ALICE, "validator"), (FRANK, "none")):
        values = {"account": owner, "expected": "owner", "got": roles}
        assert_refused(state, list_file(NEW, owner=owner), "wrong_role", **values)
    play(state, delist())
    assert_refused(state, list_file(FILE, 1), "already_listed", file=FILE)


def test_a_price_is_changed_by_the_file_s_validator() -> None:
    state = make_exchange()
    before = state.files[FILE]
    for account in (BOB, CAROL, DORA, ERIK):
        assert_refused(state, update_price(7, account=account), "foreign_validator", expected=ALICE, got=account)
    assert_refused(state, update_price(7, file=UNKNOWN), "unknown_reference", reference=UNKNOWN)
    play(state, update_price(7), update_price(9, nonce=1))
    assert state.files[FILE] == change(before, price=9)


def test_a_listing_ends_for_good() -> None:
    state = make_exchange()
    before = state.files[FILE]
    for account in (BOB, CAROL, DORA, ERIK):
        assert_refused(state, delist(account=account), "foreign_validator", expected=ALICE, got=account)
    assert_refused(state, delist(file=UNKNOWN), "unknown_reference", reference=UNKNOWN)
    play(state, delist())
    assert state.files[FILE] == change(before, is_delisted=True)
    assert_refused(state, delist(nonce=1), "delisted", file=FILE)
    assert_refused(state, update_price(7, nonce=1), "delisted", file=FILE)
    assert_refused(state, list_file(FILE, 1), "already_listed", file=FILE)


# --- owners who are named with an upload


def test_an_upload_makes_the_owner_that_it_names() -> None:
    state = make_exchange()
    play(state, list_file(NEW, 0, owner=FRANK), upload(NEW, 1))
    assert state.get_roles(FRANK) == Roles(ROLE_BITS["owner"], ALICE, True)
    assert (state.files[NEW].owner, state.files[NEW].service_node) == (FRANK, DORA)
    play(state, list_file(some_hash("another"), 2, owner=FRANK))
    assert state.get_roles(FRANK).is_named_only


def test_a_listing_alone_makes_no_owner() -> None:
    state = make_exchange()
    values = {"account": FRANK, "expected": "owner", "got": "none"}
    assert_refused(state, list_file(NEW, owner=FRANK), "wrong_role", **values)
    assert state.get_roles(FRANK) == Roles()


def test_who_was_only_named_may_choose_another_validator() -> None:
    state = make_exchange()
    play(state, list_file(NEW, 0, owner=BOB), upload(NEW, 1))
    bits = ROLE_BITS["owner"] | ROLE_BITS["mart"]
    assert state.get_roles(BOB) == Roles(bits, ALICE, True)
    assert_refused(state, register_owner(BOB, ALICE), "already_registered", account=BOB, role="owner")
    play(state, register_owner(BOB, ERIK))
    assert state.get_roles(BOB) == Roles(bits, ERIK)
    for validator in (ALICE, ERIK):
        assert_refused(state, register_owner(BOB, validator, 1), "already_registered", account=BOB, role="owner")
    # What was listed stays listed, and pays as it did; new files come from the new validator.
    assert (state.files[NEW].validator, state.files[NEW].owner) == (ALICE, BOB)
    play(state, purchase(NEW, 2, (ALICE, 50), (BOB, 45), (DORA, 5), payer=ERIK))
    other = some_hash("another")
    assert_refused(state, list_file(other, 2, owner=BOB), "foreign_validator", expected=ERIK, got=ALICE)
    play(state, list_file(other, 3, owner=BOB, account=ERIK))


def test_a_named_owner_is_nobody_else_s_to_name() -> None:
    state = make_exchange()
    play(state, list_file(NEW, 0, owner=FRANK), upload(NEW, 1))
    other = some_hash("another")
    listing, payment = list_file(other, account=ERIK, owner=FRANK), upload(other, 1, payer=ERIK)
    assert_upload_refused(state, listing, payment, "foreign_validator", expected=ALICE, got=ERIK)


def test_naming_takes_no_role_away() -> None:
    state = make_exchange()
    play(state, list_file(NEW, 0, owner=ERIK), upload(NEW, 1))
    assert state.get_roles(ERIK) == Roles(15, ALICE, True)
    play(state, register_owner(ERIK, ERIK))
    assert state.get_roles(ERIK) == Roles(15, ERIK)


def test_a_validator_may_name_itself() -> None:
    state = make_exchange()
    play(state, list_file(NEW, 0, owner=ALICE), upload(NEW, 1))
    assert state.get_roles(ALICE) == Roles(ROLE_BITS["validator"] | ROLE_BITS["owner"], ALICE, True)
    play(state, list_file(some_hash("another"), 2, owner=ALICE))


# --- uploads: a listing and its payment, both or neither


def assert_upload_refused(state: State, listing: ListFile, payment: Payment, code: str, **values: Any) -> None:
    before = state.compute_fingerprint()
    with pytest.raises(Refusal) as caught:
        check_upload(state, listing, payment, NOW_MS)
    assert caught.value.code == code
    assert {name: caught.value.values[name] for name in values} == values
    assert state.compute_fingerprint() == before


def play_in_turn(state: State, listing: ListFile, payment: Payment) -> str | None:
    """What a replay of the two says, one after the other; the refusal's code, if one is refused."""
    records = sign_all((listing, payment))
    try:
        for index in range(2):
            replay_record(state, records, index, NOW_MS)
    except Refusal as refusal:
        return refusal.code
    return None


def test_an_upload_lists_and_pays() -> None:
    state = make_exchange()
    listing, payment = list_file(NEW, 0, owner=FRANK), upload(NEW, 1)
    check_upload(state, listing, payment, NOW_MS)
    play(state, listing, payment)
    assert state.files[NEW].service_node == DORA
    assert state.get_nonces(ALICE).is_used(0)
    assert state.get_nonces(ALICE).is_used(1)


def take_balance(state: State) -> None:
    state.balances[TOKEN][ALICE] = CHARGE - 1


def fill_epoch(state: State) -> None:
    state.debits[TOKEN][ALICE] = MAX_EPOCH_VOLUME


UPLOADS: Final[dict[str, tuple[dict[str, Any], dict[str, Any], Callable[[State], None] | None, str | None]]] = {
    "sound": ({}, {}, None, None),
    "the payment's nonce first": ({"nonce": 1}, {"nonce": 0}, None, None),
    "an owner of its own": ({"owner": CAROL}, {}, None, None),
    "for ether": ({"asset": ETHER}, {}, None, None),
    "the base slides by the listing": ({"nonce": 0}, {"nonce": 251}, None, None),
    "valid to this second": ({"valid_until": NOW_S}, {"valid_until": NOW_S}, None, None),
    "the listing has expired": ({"valid_until": NOW_S - 1}, {}, None, "expired"),
    "its nonce is used": ({"nonce": 255}, {}, None, "nonce_used"),
    "its nonce is too far": ({"nonce": 256}, {}, None, "nonce_too_far"),
    "by a mart": ({"account": BOB}, {"payer": BOB}, None, "wrong_role"),
    "listed before": ({"file": FILE}, {"reference": FILE}, None, "already_listed"),
    "for an unlisted asset": ({"asset": UNLISTED}, {}, None, "unknown_asset"),
    "another validator's owner": ({"account": ERIK, "owner": CAROL}, {"payer": ERIK}, None, "foreign_validator"),
    "paid in an unlisted asset": ({}, {"asset": UNLISTED}, None, "unknown_asset"),
    "the payment has expired": ({}, {"valid_until": NOW_S - 1}, None, "expired"),
    "one nonce for both": ({}, {"nonce": 0}, None, "nonce_used"),
    "the payment's nonce is used": ({}, {"nonce": 255}, None, "nonce_used"),
    "the payment's nonce is too far": ({}, {"nonce": 257}, None, "nonce_too_far"),
    "paid by another": ({}, {"payer": ERIK}, None, "foreign_validator"),
    "paid by the owner": ({"owner": CAROL}, {"payer": CAROL}, None, "foreign_validator"),
    "paid in an asset without a rate": ({}, {"asset": ETHER}, None, "no_storage_rate"),
    "paid twice over": ({}, {"outputs": upload().outputs * 2}, None, "wrong_outputs"),
    "paid to no service node": ({}, {"outputs": upload(to=BOB).outputs}, None, "wrong_service_node"),
    "paid to the owner it names": ({}, {"outputs": upload(to=FRANK).outputs}, None, "wrong_service_node"),
    "one too few": ({}, {"outputs": upload(amount=CHARGE - 1).outputs}, None, "wrong_outputs"),
    "one too many": ({}, {"outputs": upload(amount=CHARGE + 1).outputs}, None, "wrong_outputs"),
    "a byte more than paid for": ({"size": GIB + 1}, {}, None, "wrong_outputs"),
    "a day more than paid for": ({"storage_days": STORAGE_DAYS + 1}, {}, None, "wrong_outputs"),
    "money that is not there": ({}, {}, take_balance, "insufficient_balance"),
    "too much for an epoch": ({}, {}, fill_epoch, "epoch_limit"),
}


@pytest.mark.parametrize(("listed", "paid", "spoil", "code"), UPLOADS.values(), ids=UPLOADS)
def test_both_or_neither(
    listed: dict[str, Any], paid: dict[str, Any], spoil: Callable[[State], None] | None, code: str | None
) -> None:
    """The sequencer asks once for both, an audit plays one after the other: they agree, and a refused upload leaves
    neither file nor owner."""
    state = make_exchange()
    listing: ListFile = change(list_file(NEW, 0, owner=FRANK), **listed)
    payment: Payment = change(upload(NEW, 1), **paid)
    if spoil is not None:
        spoil(state)
    if code is None:
        check_upload(state, listing, payment, NOW_MS)
    else:
        assert_upload_refused(state, listing, payment, code)
        assert NEW not in state.files
        assert state.get_roles(FRANK) == Roles()
    assert play_in_turn(deepcopy(state), listing, payment) == code


def test_of_two_faults_of_an_upload_the_first_is_named() -> None:
    refused = [(listed, paid, spoil, code) for listed, paid, spoil, code in UPLOADS.values() if code is not None]
    for (first_listed, first_paid, _, _), (listed, paid, spoil, _) in combinations(refused, 2):
        state = make_exchange()
        listing: ListFile = change(list_file(NEW, 0, owner=FRANK), **{**listed, **first_listed})
        payment: Payment = change(upload(listing.file, 1), **{**paid, **first_paid})
        if spoil is not None:
            spoil(state)
        if payment.reference != listing.file:
            continue
        with pytest.raises(Refusal) as caught:
            check_upload(state, listing, payment, NOW_MS)
        assert play_in_turn(deepcopy(state), listing, payment) == caught.value.code


def test_what_is_paid_for_alone() -> None:
    """A validator lists what it keeps itself, and has it kept later."""
    state = make_exchange()
    play(state, list_file(NEW, 0))
    play(state, upload(NEW, 1, to=ERIK))
    assert state.files[NEW].service_node == ERIK


# --- which listings are paid for at once

LISTING, PAYMENT = sign(list_file(NEW, 0)), sign(upload(NEW, 1))


@pytest.mark.parametrize(
    ("records", "index", "expected"),
    [
        ((LISTING, PAYMENT), 0, True),
        ((deposit(0), LISTING, PAYMENT), 1, True),
        ((LISTING, sign(upload(NEW, 1, payer=ERIK))), 0, True),
        ((LISTING, PAYMENT), 1, False),
        ((LISTING,), 0, False),
        ((PAYMENT, LISTING), 0, False),
        ((PAYMENT, LISTING), 1, False),
        ((LISTING, deposit(0), PAYMENT), 0, False),
        ((LISTING, sign(make_payment()), PAYMENT), 0, False),
        ((LISTING, LISTING), 0, False),
        ((LISTING, sign(upload(FILE, 1))), 0, False),
        ((LISTING, sign(extend(1, NEW, 1))), 0, False),
        ((LISTING, sign(make_payment(kind="tip", reference=NEW))), 0, False),
        ((LISTING, sign(delist(file=NEW))), 0, False),
        ((sign(update_price(5, file=NEW)), PAYMENT), 0, False),
        ((sign(delist(file=NEW)), PAYMENT), 0, False),
        ((deposit(0), PAYMENT), 0, False),
    ],
)
def test_what_is_an_upload(records: tuple[Record, ...], index: int, expected: bool) -> None:
    assert is_upload(records, index) is expected


def test_a_replay_lets_no_listing_name_an_owner_whose_upload_comes_later() -> None:
    """Not in another block, and not after anything else."""
    listing, payment = list_file(NEW, 0, owner=FRANK), upload(NEW, 1)
    for orders in ((listing,), (listing, make_payment(payer=BOB), payment), (payment, listing)):
        state = make_exchange()
        with pytest.raises(Refusal) as caught:
            play(state, *orders)
        assert caught.value.code == ("wrong_role" if orders[0] is listing else "unknown_reference")


# --- what the registry hears of


@pytest.mark.parametrize(
    ("orders", "keys"),
    [
        ((register(BOB, "validator"),), [ACCOUNT_ENTRY + BOB]),
        ((register_owner(BOB, ALICE),), [ACCOUNT_ENTRY + BOB]),
        ((list_file(NEW),), [FILE_ENTRY + NEW]),
        ((list_file(NEW, 0, owner=FRANK), upload(NEW, 1)), [ACCOUNT_ENTRY + FRANK, FILE_ENTRY + NEW]),
        ((update_price(5), update_price(6, nonce=1)), [FILE_ENTRY + FILE]),
        ((delist(file=UNPAID), update_price(5, nonce=1)), [FILE_ENTRY + UNPAID, FILE_ENTRY + FILE]),
        ((upload(UNPAID),), [FILE_ENTRY + UNPAID]),
        ((extend(1),), [FILE_ENTRY + FILE]),
        ((purchase(),), []),
        ((make_payment(),), []),
    ],
)
def test_what_changes_is_noted_once_in_its_order(orders: tuple[Payment | Instruction, ...], keys: list[bytes]) -> None:
    state = make_exchange()
    apply_cut(state, NOW_MS)
    play(state, *orders, timestamp=NOW_MS + 1)
    assert list(state.registry_changes) == keys


@pytest.mark.parametrize("name", SOUND)
def test_instructions_are_no_payments(name: str) -> None:
    record = sign(make_instruction(name))
    assert isinstance(record, SignedInstruction)
    assert not is_upload((record,), 0)
