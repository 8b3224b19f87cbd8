"""Each refusal, its boundary, their order when several faults coincide, and that a refusal writes nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

import pytest

from chain.block import Deposit
from chain.errors import BrokenInvariant, EpochLimit, Refusal
from chain.payment import Output, Payment, check_signed_payment
from chain.primitives import MAX_EPOCH_VOLUME, MAX_MEMO_SIZE, MAX_OUTPUTS, MAX_U64, MAX_U128, ZERO_ADDRESS
from chain.signatures import sign_digest
from chain.state import State
from chain.transition import (
    apply_block_end,
    apply_cut,
    apply_deposit,
    apply_payment,
    check_cut,
    check_deposit,
    check_payment,
    compute_block_timestamp,
    list_asset,
)
from tests.unit.chain.actors import (
    ALICE,
    BOB,
    BOB_KEY,
    CAROL,
    ETHER,
    START_MS,
    TOKEN,
    UNLISTED,
    deposit,
    make_payment,
    make_state,
    sign,
    some_hash,
)

NOW_MS: Final = START_MS + 5000
NOW_S: Final = NOW_MS // 1000


def pay(state: State, *outputs: tuple[bytes, int], **fields: Any) -> Payment:
    payment = make_payment(*outputs, **fields)
    check_payment(state, payment, NOW_MS)
    apply_payment(state, sign(payment), NOW_MS)
    return payment


def assert_refused(state: State, payment: Payment, code: str, **values: Any) -> None:
    before = state.compute_fingerprint()
    with pytest.raises(Refusal) as caught:
        check_payment(state, payment, NOW_MS)
    assert caught.value.code == code
    assert {name: caught.value.values[name] for name in values} == values
    assert state.compute_fingerprint() == before


# --- the order of refusals


@dataclass
class Submission:
    """A payment on its way in, and the ledger it meets. Begins without fault; each fault spoils one thing."""

    state: State = field(default_factory=lambda: make_state(deposit(0, ALICE, 10**6)))
    fields: dict[str, Any] = field(default_factory=dict)
    outputs: list[tuple[bytes, int]] = field(default_factory=lambda: [(BOB, 1), (CAROL, 1), (BOB, 2)])
    is_forged: bool = False

    def submit(self) -> None:
        payment = make_payment(**self.fields, outputs=tuple(Output(*output) for output in self.outputs))
        checked = check_signed_payment(payment, self._sign(payment), self.state.parameters.domain)
        check_payment(self.state, checked.payment, NOW_MS)

    def _sign(self, payment: Payment) -> bytes:
        if self.is_forged:
            return sign_digest(BOB_KEY, some_hash("something else"))
        try:
            return sign(payment).signature
        except (KeyError, OverflowError):  # nobody's key, or numbers that cannot be encoded: no signature is right
            return bytes(65)


def set_field(name: str, value: Any) -> Callable[[Submission], None]:
    return lambda submission: submission.fields.__setitem__(name, value)


def set_output(place: int, to: bytes, amount: int) -> Callable[[Submission], None]:
    return lambda submission: submission.outputs.__setitem__(place, (to, amount))


def set_epoch_volume(submission: Submission) -> None:
    submission.state.debits[TOKEN][ALICE] = MAX_EPOCH_VOLUME


def set_balance(submission: Submission) -> None:
    submission.state.balances[TOKEN][ALICE] = 3


def use_nonces(submission: Submission) -> None:
    submission.state.nonces[ALICE] = submission.state.get_nonces(ALICE).use(0)


FAULTS: Final[list[tuple[str, Callable[[Submission], None]]]] = [
    ("unknown_kind", set_field("kind", "mint")),
    ("no_outputs", lambda submission: submission.outputs.clear()),
    ("too_many_outputs", lambda submission: submission.outputs.extend([(BOB, 1)] * 14)),
    ("zero_address", set_field("payer", ZERO_ADDRESS)),
    ("zero_address", set_output(1, ZERO_ADDRESS, 1)),
    ("zero_amount", set_output(2, BOB, 0)),
    ("amount_too_large", set_output(0, BOB, 2**128)),
    ("memo_too_long", set_field("memo", "é" * 128 + "x")),
    ("invalid_signature", lambda submission: setattr(submission, "is_forged", True)),
    ("unknown_asset", set_field("asset", UNLISTED)),
    ("expired", set_field("valid_until", NOW_S - 1)),
    ("nonce_used", use_nonces),
    ("nonce_too_far", set_field("nonce", 256 + 1)),
    ("wrong_outputs", set_field("kind", "tip")),
    ("insufficient_balance", set_balance),
    ("epoch_limit", set_epoch_volume),
]
"""In the documented order."""

IMPOSSIBLE_TOGETHER: Final = {("nonce_used", "nonce_too_far")}


def test_a_submission_without_fault_passes() -> None:
    Submission().submit()


@pytest.mark.parametrize("place", range(len(FAULTS)), ids=[f"{at}-{code}" for at, (code, _) in enumerate(FAULTS)])
def test_each_fault_alone(place: int) -> None:
    code, spoil = FAULTS[place]
    assert_submission_refused([spoil], code)


@pytest.mark.parametrize(
    ("first", "second"),
    [pair for pair in combinations(FAULTS, 2) if (pair[0][0], pair[1][0]) not in IMPOSSIBLE_TOGETHER],
    ids=lambda fault: fault[0],
)
def test_of_two_faults_the_first_is_named(
    first: tuple[str, Callable[[Submission], None]], second: tuple[str, Callable[[Submission], None]]
) -> None:
    # The first one last, so that where both spoil the same field it is there.
    assert_submission_refused([second[1], first[1]], first[0])


def test_of_all_faults_the_first_is_named() -> None:
    assert_submission_refused([spoil for _, spoil in reversed(FAULTS)], "unknown_kind")


def assert_submission_refused(spoils: list[Callable[[Submission], None]], code: str) -> None:
    submission = Submission()
    for spoil in spoils:
        spoil(submission)
    before = submission.state.compute_fingerprint()
    with pytest.raises(Refusal) as caught:
        submission.submit()
    assert caught.value.code == code
    assert submission.state.compute_fingerprint() == before


# --- boundaries of what depends on the state


def test_expiry_is_at_the_end_of_the_second_named() -> None:
    state = make_state(deposit(0))
    payment = make_payment(valid_until=NOW_S)
    check_payment(state, payment, NOW_S * 1000)
    with pytest.raises(Refusal, match=rf"valid until {NOW_S} s, and the block's time is {NOW_S * 1000 + 1} ms"):
        check_payment(state, payment, NOW_S * 1000 + 1)
    check_payment(state, make_payment(valid_until=0), 2**63)
    check_payment(state, make_payment(valid_until=MAX_U64), 2**63)


def test_the_whole_balance_may_leave_and_no_more() -> None:
    state = make_state(deposit(0, ALICE, 100))
    assert_refused(state, make_payment((BOB, 60), (CAROL, 41)), "insufficient_balance", balance=100, needed=101)
    pay(state, (BOB, 60), (CAROL, 40))
    assert state.balances[TOKEN] == {ALICE: 0, BOB: 60, CAROL: 40}
    assert_refused(state, make_payment(nonce=1), "insufficient_balance", balance=0, needed=1)


def test_balances_of_one_asset_do_not_pay_in_another() -> None:
    state = make_state(deposit(0, ALICE, 100))
    assert_refused(state, make_payment(asset=ETHER), "insufficient_balance", asset=ETHER, balance=0)


def test_incoming_money_of_the_same_payment_does_not_pay_for_it() -> None:
    state = make_state(deposit(0, ALICE, 100))
    assert_refused(state, make_payment((ALICE, 101)), "insufficient_balance", balance=100, needed=101)


@pytest.mark.parametrize("kind", ["tip", "withdraw"])
def test_one_output_only(kind: str) -> None:
    state = make_state(deposit(0))
    two = make_payment((BOB, 1), (BOB, 1), kind=kind)
    assert_refused(state, two, "wrong_outputs", kind=kind, expected="exactly 1 output", got="2 outputs")
    check_payment(state, make_payment(kind=kind), NOW_MS)


# --- nonces


def test_a_nonce_is_used_once_whatever_the_payment() -> None:
    state = make_state(deposit(0), deposit(0, ALICE, 5, ETHER))
    paid = pay(state)
    assert_refused(state, paid, "nonce_used", nonce=0, next_nonce=1)
    assert_refused(state, make_payment((CAROL, 2)), "nonce_used")
    assert_refused(state, make_payment(asset=ETHER), "nonce_used")
    assert_refused(state, make_payment(kind="withdraw"), "nonce_used")


def test_nonces_stay_used_in_the_next_epoch() -> None:
    state = make_state(deposit(0))
    paid = [pay(state, nonce=0), pay(state, nonce=7)]
    apply_cut(state, NOW_MS)
    for payment in paid:
        assert_refused(state, payment, "nonce_used", next_nonce=8)


def test_the_window() -> None:
    state = make_state(deposit(0))
    assert_refused(state, make_payment(nonce=256), "nonce_too_far", nonce=256, limit=256)
    assert_refused(state, make_payment(nonce=MAX_U64), "nonce_too_far", limit=256)
    pay(state, nonce=255)
    pay(state, nonce=1)
    assert_refused(state, make_payment(nonce=255), "nonce_used", next_nonce=256)
    assert_refused(state, make_payment(nonce=256), "nonce_too_far")
    pay(state, nonce=0)
    assert state.get_nonces(ALICE).base == 2
    pay(state, nonce=257)
    assert_refused(state, make_payment(nonce=258), "nonce_too_far", limit=258)


def test_a_refused_payment_leaves_its_nonce_free() -> None:
    state = make_state(deposit(0, ALICE, 1))
    assert_refused(state, make_payment((BOB, 2)), "insufficient_balance")
    pay(state, (BOB, 1))


def test_the_payee_s_nonces_are_untouched() -> None:
    state = make_state(deposit(0))
    pay(state)
    assert state.get_nonces(BOB).base == 0
    assert list(state.nonces) == [ALICE]


# --- what payments do


def test_paying_oneself_changes_only_the_nonce() -> None:
    state = make_state(deposit(0, ALICE, 100))
    pay(state, (ALICE, 100))
    pay(state, (ALICE, 30), (ALICE, 70), nonce=1)
    assert state.balances[TOKEN] == {ALICE: 100}
    assert state.totals[TOKEN] == 100
    assert (state.debits[TOKEN], state.credits[TOKEN]) == ({ALICE: 200}, {ALICE: 200})


def test_a_withdrawal_leaves_the_ledger() -> None:
    state = make_state(deposit(0, ALICE, 100))
    pay(state, (BOB, 30), kind="withdraw")
    assert state.balances[TOKEN] == {ALICE: 70}
    assert state.totals[TOKEN] == 70
    assert (state.debits[TOKEN], state.credits[TOKEN]) == ({ALICE: 30}, {})


def test_accounts_keep_the_order_of_their_first_credit() -> None:
    state = make_state(deposit(0, CAROL, 10))
    pay(state, (BOB, 1), (ALICE, 1), payer=CAROL)
    pay(state, (CAROL, 1), payer=BOB)
    assert list(state.balances[TOKEN]) == [CAROL, BOB, ALICE]
    assert state.get_balance(TOKEN, BOB) == 0


# --- the volume of an epoch


def test_debits_of_an_epoch_reach_the_limit_and_no_more() -> None:
    state = make_state(deposit(0, ALICE, MAX_U128))
    pay(state, (BOB, MAX_EPOCH_VOLUME - 1))
    over = make_payment((CAROL, 2), nonce=1)
    limits = {"account": ALICE, "volume": MAX_EPOCH_VOLUME + 1, "limit": MAX_EPOCH_VOLUME}
    assert_refused(state, over, "epoch_limit", **limits)
    pay(state, (CAROL, 1), nonce=1)
    assert_refused(state, make_payment((CAROL, 1), nonce=2), "epoch_limit", account=ALICE)
    apply_cut(state, NOW_MS)
    check_payment(state, make_payment((CAROL, 1), nonce=2), NOW_MS)


def test_withdrawals_count_as_debits_and_not_as_anybody_s_credits() -> None:
    state = make_state(deposit(0, ALICE, MAX_U128))
    pay(state, (BOB, MAX_EPOCH_VOLUME), kind="withdraw")
    assert_refused(state, make_payment(nonce=1), "epoch_limit", account=ALICE)
    assert state.credits[TOKEN] == {}
    state.debits[TOKEN].clear()
    state.credits[TOKEN][BOB] = MAX_EPOCH_VOLUME
    check_payment(state, make_payment(nonce=1, kind="withdraw"), NOW_MS)


def test_credits_of_an_epoch_reach_the_limit_and_no_more() -> None:
    state = make_state(deposit(0, ALICE, MAX_EPOCH_VOLUME), deposit(1, BOB, MAX_EPOCH_VOLUME - 1))
    pay(state, (CAROL, MAX_EPOCH_VOLUME - 5))
    check_payment(state, make_payment((CAROL, 5), payer=BOB), NOW_MS)
    # What goes to others in the same payment does not count against Carol.
    check_payment(state, make_payment((CAROL, 5), (ALICE, 100), payer=BOB), NOW_MS)
    split = make_payment((CAROL, 3), (ALICE, 100), (CAROL, 3), payer=BOB)
    assert_refused(state, split, "epoch_limit", account=CAROL, volume=MAX_EPOCH_VOLUME + 1)


def test_the_payer_s_limit_is_named_before_the_payee_s() -> None:
    state = make_state(deposit(0, ALICE, MAX_U128))
    state.debits[TOKEN][ALICE] = state.credits[TOKEN][BOB] = MAX_EPOCH_VOLUME
    assert_refused(state, make_payment(), "epoch_limit", account=ALICE)
    state.debits[TOKEN].clear()
    assert_refused(state, make_payment((CAROL, 1), (BOB, 1)), "epoch_limit", account=BOB)


def test_paying_oneself_counts_on_both_sides() -> None:
    state = make_state(deposit(0, ALICE, MAX_U128))
    pay(state, (ALICE, MAX_EPOCH_VOLUME))
    assert_refused(state, make_payment((ALICE, 1), nonce=1), "epoch_limit", account=ALICE)


def test_deposits_are_beyond_the_limit() -> None:
    state = make_state(deposit(0, ALICE, MAX_EPOCH_VOLUME), deposit(1, BOB, 5))
    pay(state, (BOB, MAX_EPOCH_VOLUME))
    record = deposit(2, BOB, 7)
    check_deposit(state, record)
    apply_deposit(state, record)
    assert state.credits[TOKEN] == {BOB: MAX_EPOCH_VOLUME}


# --- deposits


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (deposit(0, asset=UNLISTED), "which is not listed"),
        (deposit(0), "comes where 1 is next"),
        (deposit(2), "comes where 1 is next"),
        (deposit(1, amount=0), "has amount 0"),
        (deposit(1, amount=MAX_U128), "has amount"),
    ],
    ids=["unlisted", "twice", "gap", "nothing", "total of 2^128"],
)
def test_a_wrong_deposit_breaks_an_invariant(record: Deposit, problem: str) -> None:
    state = make_state(deposit(0, amount=1))
    before = state.compute_fingerprint()
    with pytest.raises(BrokenInvariant, match=problem):
        check_deposit(state, record)
    assert state.compute_fingerprint() == before


def test_deposits_are_counted_by_asset() -> None:
    state = make_state(deposit(0), deposit(0, BOB, 5, ETHER), deposit(1))
    assert state.deposit_counts == {ETHER: 1, TOKEN: 2}
    assert state.totals == {ETHER: 5, TOKEN: 2000}


def test_an_asset_is_listed_once() -> None:
    state = make_state()
    with pytest.raises(BrokenInvariant, match="listed twice"):
        list_asset(state, TOKEN)
    assert state.assets == (ETHER, TOKEN)


# --- time


def test_a_block_s_time_never_falls_and_lies_after_the_cut() -> None:
    state = make_state()
    assert compute_block_timestamp(state, 0) == START_MS + 1
    assert compute_block_timestamp(state, START_MS) == START_MS + 1
    assert compute_block_timestamp(state, NOW_MS) == NOW_MS
    apply_block_end(state, 1, some_hash("block 1"), NOW_MS)
    assert compute_block_timestamp(state, NOW_MS - 1) == NOW_MS
    apply_cut(state, NOW_MS)
    assert compute_block_timestamp(state, NOW_MS) == NOW_MS + 1


@pytest.mark.parametrize(
    ("epoch", "cut_at", "problem"),
    [
        (2, NOW_MS + 1, "cut of epoch 2 while 1 is open"),
        (0, NOW_MS + 1, "cut of epoch 0 while 1 is open"),
        (1, START_MS, "cut at"),
        (1, NOW_MS - 1, "a block of"),
    ],
)
def test_a_cut_out_of_place_breaks_an_invariant(epoch: int, cut_at: int, problem: str) -> None:
    state = make_state()
    apply_block_end(state, 1, some_hash("block 1"), NOW_MS)
    with pytest.raises(BrokenInvariant, match=problem):
        check_cut(state, epoch, cut_at)


def test_a_cut_may_be_at_the_last_block_s_time() -> None:
    state = make_state()
    apply_block_end(state, 1, some_hash("block 1"), NOW_MS)
    check_cut(state, 1, NOW_MS)
    apply_cut(state, NOW_MS)
    assert (state.epoch, state.last_cut_at) == (2, NOW_MS)
    with pytest.raises(BrokenInvariant):
        check_cut(state, 2, NOW_MS)


def test_the_bounds_that_the_interface_names() -> None:
    assert (MAX_OUTPUTS, MAX_MEMO_SIZE, MAX_EPOCH_VOLUME) == (16, 256, 2**127)
    assert EpochLimit.code == "epoch_limit"
