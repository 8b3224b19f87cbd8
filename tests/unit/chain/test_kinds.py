"""Each kind of payment: what it demands, in which order it is refused, and what it changes beside balances.

The Python side of the documented rules: every refusal by its name, with what was expected and what was got, and nothing
changed by it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

import msgspec
import pytest

from chain.errors import Refusal, WrongOutputs
from chain.kinds import EFFECTS, KIND_CODES, RULES, SHAPES
from chain.market import DAY_SECONDS, encode_purchase_key
from chain.params import Market
from chain.payment import Output, Payment
from chain.primitives import (
    MAX_EPOCH_VOLUME,
    MAX_OUTPUTS,
    MAX_STORAGE_DAYS,
    MAX_U128,
    ZERO_ADDRESS,
    ZERO_HASH,
)
from chain.state import State
from chain.transition import apply_payment, check_payment
from tests.unit.chain.actors import ALICE, BOB, CAROL, ETHER, TOKEN, make_payment, some_hash
from tests.unit.chain.exchange import (
    CHARGE,
    DAILY_CHARGE,
    DAY_MS,
    DORA,
    ERIK,
    FILE,
    GIB,
    MARKET,
    NOW_MS,
    NOW_S,
    PARAMETERS,
    STORAGE_DAYS,
    UNKNOWN,
    UNPAID,
    change_file,
    delist,
    extend,
    list_file,
    make_empty_exchange,
    make_exchange,
    play,
    purchase,
    register,
    register_owner,
    sign,
    update_price,
    upload,
)

KEEP_UNTIL: Final = NOW_S + STORAGE_DAYS * DAY_SECONDS


def pay(state: State, payment: Payment, timestamp: int = NOW_MS) -> None:
    check_payment(state, payment, timestamp)
    apply_payment(state, sign(payment), timestamp)


def assert_refused(state: State, payment: Payment, code: str, timestamp: int = NOW_MS, /, **values: Any) -> None:
    """With exactly these values."""
    before = state.compute_fingerprint()
    with pytest.raises(Refusal) as caught:
        check_payment(state, payment, timestamp)
    assert (caught.value.code, caught.value.values) == (code, values)
    assert state.compute_fingerprint() == before


def describe(*shares: tuple[bytes, int]) -> str:
    return ", ".join(f"{amount} to 0x{to.hex()}" for to, amount in shares)


# --- shapes


@pytest.mark.parametrize(
    ("kind", "most"), {"transfer": 16, "upload": 1, "purchase": 3, "extend": 1, "tip": 1, "withdraw": 1}.items()
)
def test_how_many_outputs_a_kind_has(kind: str, most: int) -> None:
    assert set(SHAPES) == set(RULES) == set(KIND_CODES)
    for count in range(1, MAX_OUTPUTS + 1):
        payment = make_payment(*[(BOB, 1)] * count, kind=kind)
        if count <= most:
            SHAPES[kind](payment)
            continue
        with pytest.raises(WrongOutputs) as caught:
            SHAPES[kind](payment)
        expected = "exactly 1 output" if most == 1 else f"at most {most} outputs"
        assert caught.value.values == {"kind": kind, "expected": expected, "got": f"{count} outputs"}


# --- the order of refusals


@dataclass
class Attempt:
    """A payment, and the exchange that it meets. Begins without fault; each fault spoils one thing."""

    payment: Payment
    file: bytes
    state: State = field(default_factory=make_exchange)

    def change(self, **fields: Any) -> None:
        self.payment = msgspec.structs.replace(self.payment, **fields)

    def change_output(self, place: int, **fields: Any) -> None:
        outputs = list(self.payment.outputs)
        outputs[place] = msgspec.structs.replace(outputs[place], **fields)
        self.change(outputs=tuple(outputs))


Spoil = Callable[[Attempt], Any]


def set_field(**fields: Any) -> Spoil:
    return lambda attempt: attempt.change(**fields)


def set_file(**fields: Any) -> Spoil:
    return lambda attempt: change_file(attempt.state, attempt.file, **fields)


def set_output(place: int, **fields: Any) -> Spoil:
    return lambda attempt: attempt.change_output(place, **fields)


def add_outputs(attempt: Attempt) -> None:
    attempt.change(outputs=attempt.payment.outputs + (Output(BOB, 1),) * 15)


def take_balances(attempt: Attempt) -> None:
    for balances in attempt.state.balances.values():
        balances.update(dict.fromkeys(balances, 1))


def fill_epoch(attempt: Attempt) -> None:
    for asset, debits in attempt.state.debits.items():
        debits.update(dict.fromkeys(attempt.state.balances[asset], MAX_EPOCH_VOLUME))


def buy_before(attempt: Attempt) -> None:
    payer = attempt.payment.payer
    attempt.state.purchases[encode_purchase_key(attempt.file, payer)] = some_hash("the first purchase")
    attempt.state.purchases[encode_purchase_key(attempt.file, CAROL)] = some_hash("the first purchase")


FIRST: Final[list[tuple[str, Spoil]]] = [
    ("unknown_asset", set_field(asset=b"\x66" * 20)),
    ("expired", set_field(valid_until=NOW_S - 1)),
    ("nonce_used", set_field(nonce=255)),
]
LAST: Final[list[tuple[str, Spoil]]] = [("insufficient_balance", take_balances), ("epoch_limit", fill_epoch)]

FAULTS: Final[dict[str, list[tuple[str, Spoil]]]] = {
    "upload": [
        *FIRST,
        ("unknown_reference", set_field(reference=UNKNOWN)),
        ("foreign_validator", set_field(payer=ERIK)),
        ("delisted", set_file(is_delisted=True)),
        ("already_uploaded", set_file(service_node=DORA)),
        ("no_storage_rate", set_field(asset=ETHER)),
        ("wrong_outputs", add_outputs),
        ("wrong_service_node", set_output(0, to=CAROL)),
        ("wrong_outputs", set_output(0, amount=CHARGE + 1)),
        *LAST,
    ],
    "purchase": [
        *FIRST,
        ("unknown_reference", set_field(reference=UNKNOWN)),
        ("wrong_role", set_field(payer=CAROL)),
        ("already_purchased", buy_before),
        ("delisted", set_file(is_delisted=True)),
        ("file_expired", set_file(keep_until=NOW_S - 1)),
        ("wrong_asset", set_field(asset=ETHER)),
        ("wrong_price", set_output(1, amount=44)),
        ("wrong_service_node", set_output(2, to=ERIK)),
        *LAST,
    ],
    "extend": [
        *FIRST,
        ("unknown_reference", set_field(reference=UNKNOWN)),
        ("foreign_validator", set_field(payer=ERIK)),
        ("not_uploaded", set_file(service_node=ZERO_ADDRESS)),
        ("file_expired", set_file(keep_until=NOW_S - 1)),
        ("no_storage_rate", set_field(asset=ETHER)),
        ("wrong_outputs", add_outputs),
        ("wrong_service_node", set_output(0, to=ERIK)),
        ("wrong_outputs", set_output(0, amount=DAILY_CHARGE + 1)),
        *LAST,
    ],
}
"""In the documented order."""

SOUND: Final[dict[str, Callable[[], Attempt]]] = {
    "upload": lambda: Attempt(upload(UNPAID), UNPAID),
    "purchase": lambda: Attempt(purchase(), FILE),
    "extend": lambda: Attempt(extend(3), FILE),
}

ALONE: Final = [(kind, fault) for kind, faults in FAULTS.items() for fault in faults]
PAIRS: Final = [(kind, *pair) for kind, faults in FAULTS.items() for pair in combinations(faults, 2)]


def name_case(value: Any) -> str:
    return value if isinstance(value, str) else value[0]


def assert_attempt_refused(kind: str, code: str, *spoils: Spoil) -> None:
    attempt = SOUND[kind]()
    for spoil in spoils:
        spoil(attempt)
    before = attempt.state.compute_fingerprint()
    with pytest.raises(Refusal) as caught:
        check_payment(attempt.state, attempt.payment, NOW_MS)
    assert caught.value.code == code
    assert attempt.state.compute_fingerprint() == before


@pytest.mark.parametrize("kind", SOUND)
def test_an_attempt_without_fault_passes(kind: str) -> None:
    attempt = SOUND[kind]()
    check_payment(attempt.state, attempt.payment, NOW_MS)


@pytest.mark.parametrize(("kind", "fault"), ALONE, ids=name_case)
def test_each_fault_alone(kind: str, fault: tuple[str, Spoil]) -> None:
    assert_attempt_refused(kind, fault[0], fault[1])


@pytest.mark.parametrize(("kind", "first", "second"), PAIRS, ids=name_case)
def test_of_two_faults_the_first_is_named(kind: str, first: tuple[str, Spoil], second: tuple[str, Spoil]) -> None:
    # The first one last, so that where both spoil the same thing it is there.
    assert_attempt_refused(kind, first[0], second[1], first[1])


@pytest.mark.parametrize("kind", SOUND)
def test_of_all_faults_the_first_is_named(kind: str) -> None:
    assert_attempt_refused(kind, "unknown_asset", *[spoil for _, spoil in reversed(FAULTS[kind])])


# --- uploads


def test_an_upload_pays_for_the_days_of_its_listing() -> None:
    state = make_exchange()
    pay(state, upload(UNPAID), NOW_MS + 7999)
    file = state.files[UNPAID]
    assert (file.service_node, file.keep_until) == (DORA, NOW_S + 7 + STORAGE_DAYS * DAY_SECONDS)
    assert state.get_balance(TOKEN, DORA) == 10**12 + 2 * CHARGE  # that of FILE, too


def test_an_upload_moves_exactly_its_charge() -> None:
    """1.000001 of a token with 6 decimals."""
    market = Market(storage_rates=((TOKEN, 1_000_001),))
    state = make_empty_exchange(msgspec.structs.replace(PARAMETERS, market=market))
    play(state, register(ALICE, "validator"), register(DORA, "service_node"))
    before = dict(state.balances[TOKEN])
    play(state, list_file(nonce=1, storage_days=1), upload(nonce=2, amount=1_000_001))
    moved = {account: balance - before[account] for account, balance in state.balances[TOKEN].items()}
    assert {account: change for account, change in moved.items() if change} == {ALICE: -1_000_001, DORA: 1_000_001}


def test_refused_uploads() -> None:
    state = make_exchange()
    assert_refused(state, upload(UNKNOWN), "unknown_reference", reference=UNKNOWN)
    assert_refused(state, upload(ZERO_HASH), "unknown_reference", reference=ZERO_HASH)
    assert_refused(state, upload(UNPAID, payer=ERIK), "foreign_validator", expected=ALICE, got=ERIK)
    assert_refused(state, upload(UNPAID, payer=CAROL), "foreign_validator", expected=ALICE, got=CAROL)
    assert_refused(state, upload(FILE), "already_uploaded", file=FILE)
    assert_refused(state, upload(UNPAID, asset=ETHER), "no_storage_rate", asset=ETHER)
    two = make_payment((DORA, CHARGE), (DORA, 1), kind="upload", reference=UNPAID)
    assert_refused(state, two, "wrong_outputs", kind="upload", expected="exactly 1 output", got="2 outputs")
    for to in (ALICE, BOB, CAROL, b"\x99" * 20):
        expected = "an account registered as service_node"
        assert_refused(state, upload(UNPAID, to=to), "wrong_service_node", expected=expected, got=to)
    for amount in (1, DAILY_CHARGE, CHARGE - 1, CHARGE + 1, 2 * CHARGE, MAX_U128):
        values = {"kind": "upload", "expected": f"{CHARGE} for {STORAGE_DAYS} days", "got": str(amount)}
        assert_refused(state, upload(UNPAID, amount=amount), "wrong_outputs", **values)
    play(state, delist(file=UNPAID))
    assert_refused(state, upload(UNPAID, nonce=1), "delisted", file=UNPAID)


def test_any_service_node_may_be_paid_for_it() -> None:
    state = make_exchange()
    pay(state, upload(UNPAID, to=ERIK))
    assert state.files[UNPAID].service_node == ERIK


def test_a_file_whose_time_has_passed_may_still_be_uploaded() -> None:
    """Its listing was not paid for: it begins anew."""
    state, late = make_exchange(), NOW_MS + 90 * DAY_MS
    assert_refused(
        state,
        purchase(UNPAID, 0, (ALICE, 50), (CAROL, 50)),
        "file_expired",
        late,
        file=UNPAID,
        keep_until=KEEP_UNTIL,
        timestamp=late,
    )
    pay(state, upload(UNPAID), late)
    assert state.files[UNPAID].keep_until == KEEP_UNTIL + 90 * DAY_SECONDS
    pay(state, purchase(UNPAID), late)


def test_only_balances_and_the_file_are_changed_by_an_upload() -> None:
    state = make_exchange()
    before = state.files[UNPAID]
    pay(state, upload(UNPAID))
    assert state.files[UNPAID] == msgspec.structs.replace(before, service_node=DORA)
    assert (state.purchases, state.totals[TOKEN]) == ({}, 5 * 10**12)


# --- purchases


def test_a_purchase_pays_validator_owner_and_service_node() -> None:
    state = make_exchange()
    before = dict(state.balances[TOKEN])
    pay(state, purchase())
    moved = {account: balance - before[account] for account, balance in state.balances[TOKEN].items()}
    assert moved == {ALICE: 50, BOB: -100, CAROL: 45, DORA: 5, ERIK: 0}
    assert state.purchases == {encode_purchase_key(FILE, BOB): sign(purchase()).id}


def test_halves_of_two() -> None:
    state = make_empty_exchange(msgspec.structs.replace(PARAMETERS, market=Market()))
    play(state, register(ALICE, "validator"), register_owner(CAROL, ALICE), register(BOB, "mart"))
    play(state, list_file(nonce=1, price=2))
    before = dict(state.balances[TOKEN])
    pay(state, purchase(FILE, 1, (ALICE, 1), (CAROL, 1)))
    moved = {account: balance - before[account] for account, balance in state.balances[TOKEN].items()}
    assert moved == {ALICE: 1, BOB: -2, CAROL: 1, DORA: 0, ERIK: 0}


def test_refused_purchases() -> None:
    state = make_exchange()
    assert_refused(state, purchase(UNKNOWN), "unknown_reference", reference=UNKNOWN)
    for payer, roles in ((ALICE, "validator"), (CAROL, "owner"), (DORA, "service_node"), (b"\x99" * 20, "none")):
        assert_refused(state, purchase(payer=payer), "wrong_role", account=payer, expected="mart", got=roles)
    assert_refused(state, purchase(asset=ETHER), "wrong_asset", expected=TOKEN, got=ETHER)
    one = purchase(FILE, 0, (ALICE, 1))
    assert_refused(state, one, "wrong_price", expected=100, got=1)
    tail = (CAROL, 45), (DORA, 5)
    assert_refused(state, purchase(FILE, 0, (ALICE, 49), *tail), "wrong_price", expected=100, got=99)
    assert_refused(state, purchase(FILE, 0, (ALICE, 51), *tail), "wrong_price", expected=100, got=101)
    play(state, delist())
    assert_refused(state, purchase(), "delisted", file=FILE)


RIGHT: Final = ((ALICE, 50), (CAROL, 45), (DORA, 5))


@pytest.mark.parametrize(
    "shares",
    [
        ((ALICE, 100),),
        ((CAROL, 100),),
        ((DORA, 100),),
        ((BOB, 100),),
        ((ALICE, 50), (CAROL, 50)),
        ((ALICE, 51), (CAROL, 44), (DORA, 5)),
        ((ALICE, 50), (CAROL, 44), (DORA, 6)),
        ((CAROL, 45), (ALICE, 50), (DORA, 5)),
        ((DORA, 5), (CAROL, 45), (ALICE, 50)),
        ((ALICE, 45), (CAROL, 50), (DORA, 5)),
        ((BOB, 50), (CAROL, 45), (DORA, 5)),
        ((ALICE, 50), (BOB, 45), (DORA, 5)),
        ((ALICE, 50), (BOB, 45), (ERIK, 5)),
        ((ALICE, 50), (CAROL, 45), (DORA, 4), (DORA, 1)),
        ((ALICE, 50), (CAROL, 45), (DORA, 4), (BOB, 1)),
        ((ALICE, 25), (ALICE, 25), (CAROL, 45), (DORA, 5)),
        ((ALICE, 95), (DORA, 5)),
    ],
)
def test_no_other_split_of_the_price(shares: tuple[tuple[bytes, int], ...]) -> None:
    values = {"kind": "purchase", "expected": describe(*RIGHT), "got": describe(*shares)}
    assert_refused(make_exchange(), purchase(FILE, 0, *shares), "wrong_outputs", **values)


def test_a_commission_for_another_service_node() -> None:
    state = make_exchange()
    for to in (ERIK, ALICE, BOB):
        payment = purchase(FILE, 0, (ALICE, 50), (CAROL, 45), (to, 5))
        assert_refused(state, payment, "wrong_service_node", expected=f"0x{DORA.hex()}", got=to)


def test_an_owner_s_share_is_no_commission_whoever_the_owner_is() -> None:
    """Dora owns what she keeps, and of a price of 3 there is no commission."""
    state = make_exchange()
    change_file(state, owner=DORA, price=3)
    values = {"kind": "purchase", "expected": describe((ALICE, 1), (DORA, 2)), "got": describe((ALICE, 1), (ERIK, 2))}
    assert_refused(state, purchase(FILE, 0, (ALICE, 1), (ERIK, 2)), "wrong_outputs", **values)
    pay(state, purchase(FILE, 0, (ALICE, 1), (DORA, 2)))


@pytest.mark.parametrize(
    ("price", "shares"),
    [
        (1, ((CAROL, 1),)),
        (3, ((ALICE, 1), (CAROL, 2))),
        (20, ((ALICE, 10), (CAROL, 9), (DORA, 1))),
        (MAX_EPOCH_VOLUME, ((ALICE, 2**126), (CAROL, 2**127 - 2**126 - 2**127 // 20), (DORA, 2**127 // 20))),
    ],
)
def test_prices_of_all_sizes(price: int, shares: tuple[tuple[bytes, int], ...]) -> None:
    state = make_exchange()
    play(state, update_price(price))
    state.balances[TOKEN][BOB] = price
    pay(state, purchase(FILE, 0, *shares))
    assert state.get_balance(TOKEN, BOB) == 0


def test_what_nobody_keeps_has_no_commission() -> None:
    state = make_exchange()
    three, two = purchase(UNPAID), purchase(UNPAID, 0, (ALICE, 50), (CAROL, 50))
    expected, got = describe((ALICE, 50), (CAROL, 50)), describe(*RIGHT)
    assert_refused(state, three, "wrong_outputs", kind="purchase", expected=expected, got=got)
    pay(state, two)


def test_a_file_is_bought_once_by_each_buyer() -> None:
    state = make_exchange()
    pay(state, purchase())
    first = {"file": FILE, "buyer": BOB, "payment": sign(purchase()).id}
    assert_refused(state, purchase(FILE, 1), "already_purchased", **first)
    play(state, update_price(7))
    assert_refused(state, purchase(FILE, 1, (ALICE, 3), (CAROL, 4)), "already_purchased", **first)
    pay(state, purchase(FILE, 1, (ALICE, 3), (CAROL, 4), payer=ERIK))
    play(state, delist(nonce=1))
    assert_refused(state, purchase(FILE, 1), "already_purchased", **first)
    pay(state, purchase(UNPAID, 1, (ALICE, 50), (CAROL, 50)))
    assert len(state.purchases) == 3


def test_the_price_is_the_one_of_now() -> None:
    state = make_exchange()
    play(state, update_price(101))
    assert_refused(state, purchase(), "wrong_price", expected=101, got=100)
    pay(state, purchase(FILE, 0, (ALICE, 50), (CAROL, 46), (DORA, 5)))


def test_a_file_is_sold_to_the_end_of_its_last_second() -> None:
    state = make_exchange()
    end = KEEP_UNTIL * 1000
    values = {"file": FILE, "keep_until": KEEP_UNTIL, "timestamp": end + 1}
    assert_refused(state, purchase(), "file_expired", end + 1, **values)
    pay(state, purchase(), end)


def test_who_lists_may_buy() -> None:
    """Validator, owner and mart may be one; what they pay themselves changes nothing."""
    state = make_empty_exchange()
    play(state, register(ALICE, "validator"), register(ALICE, "mart", 1), register_owner(ALICE, ALICE, 2))
    play(state, list_file(nonce=3, owner=ALICE))
    before = dict(state.balances[TOKEN])
    pay(state, purchase(FILE, 4, (ALICE, 50), (ALICE, 50), payer=ALICE))
    assert state.balances[TOKEN] == before
    assert encode_purchase_key(FILE, ALICE) in state.purchases


# --- extensions


def test_an_extension_is_paid_by_the_day() -> None:
    state = make_exchange()
    before = state.files[FILE]
    pay(state, extend(3))
    assert state.files[FILE] == msgspec.structs.replace(before, keep_until=KEEP_UNTIL + 3 * DAY_SECONDS)
    assert state.get_balance(TOKEN, DORA) == 10**12 + CHARGE + 3 * DAILY_CHARGE
    pay(state, extend(1, nonce=1), KEEP_UNTIL * 1000)
    assert state.files[FILE].keep_until == KEEP_UNTIL + 4 * DAY_SECONDS


def test_refused_extensions() -> None:
    state = make_exchange()
    assert_refused(state, extend(1, UNKNOWN), "unknown_reference", reference=UNKNOWN)
    for payer in (BOB, CAROL, DORA, ERIK):
        assert_refused(state, extend(1, payer=payer), "foreign_validator", expected=ALICE, got=payer)
    assert_refused(state, extend(1, UNPAID), "not_uploaded", file=UNPAID)
    assert_refused(state, extend(1, asset=ETHER), "no_storage_rate", asset=ETHER)
    two = make_payment((DORA, DAILY_CHARGE), (DORA, DAILY_CHARGE), kind="extend", reference=FILE)
    assert_refused(state, two, "wrong_outputs", kind="extend", expected="exactly 1 output", got="2 outputs")
    for to in (ERIK, ALICE, BOB):
        assert_refused(state, extend(1, to=to), "wrong_service_node", expected=f"0x{DORA.hex()}", got=to)
    for amount in (1, DAILY_CHARGE - 1, DAILY_CHARGE + 1, 10 * DAILY_CHARGE - 1):
        payment = make_payment((DORA, amount), kind="extend", reference=FILE)
        expected = f"a multiple of {DAILY_CHARGE}, which is a day"
        assert_refused(state, payment, "wrong_outputs", kind="extend", expected=expected, got=str(amount))
    end = KEEP_UNTIL * 1000
    values = {"file": FILE, "keep_until": KEEP_UNTIL, "timestamp": end + 1}
    assert_refused(state, extend(1), "file_expired", end + 1, **values)
    pay(state, extend(1), end)


def test_nobody_pays_for_more_than_a_hundred_years_ahead() -> None:
    state = make_exchange()
    rest = MAX_STORAGE_DAYS - STORAGE_DAYS
    for days in (rest + 1, MAX_STORAGE_DAYS, MAX_U128 // DAILY_CHARGE):
        values = {"kind": "extend", "expected": f"at most {MAX_STORAGE_DAYS} days to come"}
        assert_refused(state, extend(days), "wrong_outputs", **values, got=str(STORAGE_DAYS + days))
    # A day that has begun to pass leaves room for none more; one that has passed does.
    assert_refused(
        state,
        extend(rest + 1),
        "wrong_outputs",
        NOW_MS + DAY_MS - 1,
        kind="extend",
        expected=f"at most {MAX_STORAGE_DAYS} days to come",
        got=str(MAX_STORAGE_DAYS + 1),
    )
    pay(state, extend(rest + 1), NOW_MS + DAY_MS)
    assert state.files[FILE].keep_until == NOW_S + (1 + MAX_STORAGE_DAYS) * DAY_SECONDS


def test_what_is_off_the_market_may_be_kept_longer() -> None:
    """For those who have bought it."""
    state = make_exchange()
    play(state, delist())
    pay(state, extend(1, nonce=1))
    assert state.files[FILE].is_delisted
    assert state.files[FILE].keep_until == KEEP_UNTIL + DAY_SECONDS


def test_an_extension_is_charged_by_the_rate_of_its_asset() -> None:
    market = msgspec.structs.replace(MARKET, storage_rates=((ETHER, 3), (TOKEN, 10**6)))
    state = make_empty_exchange(msgspec.structs.replace(PARAMETERS, market=market))
    play(state, register(ALICE, "validator"), register(DORA, "service_node"))
    play(state, list_file(nonce=1, size=2 * GIB), upload(nonce=2, amount=2 * CHARGE))
    pay(state, make_payment((DORA, 12), kind="extend", reference=FILE, asset=ETHER, nonce=3))
    assert state.files[FILE].keep_until == KEEP_UNTIL + 2 * DAY_SECONDS


# --- other kinds


@pytest.mark.parametrize("kind", ["transfer", "tip", "withdraw"])
def test_other_kinds_may_refer_to_anything_and_change_nothing_of_it(kind: str) -> None:
    state = make_exchange()
    before = dict(state.files)
    for nonce, reference in enumerate((FILE, UNKNOWN, ZERO_HASH)):
        pay(state, make_payment((BOB, 1), kind=kind, reference=reference, nonce=nonce))
    assert (state.files, state.purchases) == (before, {})
    assert kind not in EFFECTS
