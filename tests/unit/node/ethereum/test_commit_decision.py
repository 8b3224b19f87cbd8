"""What is decided, as a table and as properties: no chain, no store, no clock."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ethereum.commit_decision import (
    ORDINARY,
    Account,
    Adopt,
    CommitterSettings,
    Contract,
    Decision,
    LookAtAccount,
    LookAtContract,
    Observations,
    Reopen,
    Send,
    Settle,
    Sign,
    Simulate,
    Simulation,
    Situation,
    State,
    Undecided,
    Waiting,
    compute_bump,
    compute_fees,
    compute_gas_limit,
    compute_in_flight,
    compute_spent,
    decide,
)
from node.ethereum.faults import ContractError
from node.ethereum.l1 import MAX_WEI_PER_GAS, Head, L1Block, SendOutcome, SendResult, TxReceipt
from node.ethereum.submission import Attempt, AttemptOutcome, Fees, Inclusion

GWEI = 10**9
NOW = 1_700_000_000_000
LATEST = L1Block(100, b"\x64" * 32, NOW // 1000, 10 * GWEI)
NO_BASE_FEE = msgspec.structs.replace(LATEST, base_fee=None)
SETTINGS = CommitterSettings()
INCLUSION = Inclusion(1, b"\xd1" * 32, NOW // 1000 - 60, b"\xf0" * 32, 90, b"\x5a" * 32, 100_000, 11 * GWEI)
FIRST = Attempt(
    epoch=2,
    number=1,
    hash=b"\xa1" * 32,
    nonce=7,
    gas_limit=125_000,
    fees=Fees(21 * GWEI, GWEI),
    raw=b"\x02",
    sent_at=NOW - 1_000,
    l1_block=99,
)
STATE = State(
    settings=SETTINGS,
    inclusion=INCLUSION,
    diverged_epoch=None,
    waiting=Waiting(epoch=2, cut_at=NOW - 500, attempts=()),
    open_attempts=(),
    next_own_nonce=7,
    spent=0,
    last_broadcast={},
)
ACCOUNT = Account(nonce=7, final_nonce=7, balance=10**18, suggested_fees=Fees(0, GWEI), receipts={})
SEEN = Observations(
    now_ms=NOW,
    latest=LATEST,
    contract=Contract(Head(1, INCLUSION.included_at, 0), INCLUSION.l1_block_hash),
    account=ACCOUNT,
    simulation=Simulation(gas=100_000),
)
HALTED = Simulation(error=ContractError("Halted"))
REVERTED = TxReceipt(FIRST.hash, 100, LATEST.hash, False, 90_000, GWEI, None)
change = msgspec.structs.replace


def see_contract(**changes: Any) -> Observations:
    assert SEEN.contract is not None
    return change(SEEN, contract=change(SEEN.contract, **changes))


def fly(*attempts: Attempt) -> State:
    return change(
        STATE,
        waiting=change(STATE.waiting, attempts=attempts),
        open_attempts=tuple([attempt for attempt in attempts if attempt.outcome is None]),
        last_broadcast={attempt.hash: (NOW - 1_000, SendResult(SendOutcome.ACCEPTED)) for attempt in attempts},
    )


def test_what_is_spent_counts_each_revert_once_settled_or_not() -> None:
    receipt = TxReceipt(FIRST.hash, 100, b"\x01" * 32, False, 50_000, 20 * GWEI, None)
    account = change(ACCOUNT, receipts={FIRST.hash: receipt})
    assert compute_spent(5, (FIRST,), account) == 5 + 50_000 * 20 * GWEI
    assert compute_spent(5, (), account) == 5  # settled meanwhile: its cost is in the 5
    assert compute_spent(5, (FIRST,), ACCOUNT) == compute_spent(5, (FIRST,), None) == 5


def test_what_may_be_mined_on_another_nonce_counts_at_its_worst() -> None:
    cheap, dear = change(FIRST, nonce=9), change(FIRST, nonce=9, number=2, fees=Fees(40 * GWEI, GWEI))
    assert compute_in_flight((FIRST, cheap, dear), ACCOUNT, nonce=7) == dear.most_cost
    assert compute_in_flight((FIRST, cheap, dear), change(ACCOUNT, nonce=10), nonce=10) == 0
    state = change(STATE, open_attempts=(cheap, dear), spent=SETTINGS.daily_budget_wei - dear.most_cost - 1)
    decision = decide(state, SEEN)
    assert isinstance(decision, Decision) and decision.situation is Situation.OVER_BUDGET


def test_the_first_attempt() -> None:
    decision = decide(STATE, SEEN)
    assert decision == Decision(
        Situation.IN_FLIGHT, "epoch 2, attempt 1", (Sign(2, 1, 7, 125_000, Fees(21 * GWEI, GWEI)),)
    )


@pytest.mark.parametrize(
    ("state", "seen", "step"),
    [
        pytest.param(STATE, see_contract(head=Head(0, 0, 0)), Reopen(1), id="the head fell"),
        pytest.param(STATE, see_contract(inclusion_block_hash=b"\x01" * 32), Reopen(1), id="its block was replaced"),
        pytest.param(STATE, see_contract(inclusion_block_hash=b""), Reopen(1), id="its block is gone"),
        pytest.param(STATE, see_contract(head=Head(4, 5, 0)), Adopt(2, 4), id="the head is ahead"),
        pytest.param(STATE, change(SEEN, contract=None), LookAtContract(), id="nobody looked at the contract"),
        pytest.param(STATE, change(SEEN, account=None), LookAtAccount(), id="nobody looked at the account"),
        pytest.param(STATE, change(SEEN, simulation=None), Simulate(2), id="nobody asked what it would cost"),
        pytest.param(
            change(STATE, key_problem="not there"),
            change(SEEN, account=None, simulation=None),
            Simulate(2),
            id="nobody asked whether the contract has halted, key or not",
        ),
        pytest.param(
            STATE,
            change(SEEN, latest=change(LATEST, base_fee=SETTINGS.max_fee_wei + 1), simulation=None),
            Simulate(2),
            id="nor at a fee above the cap",
        ),
        pytest.param(
            fly(FIRST),
            change(SEEN, account=change(ACCOUNT, nonce=8, final_nonce=8)),
            Settle(FIRST, AttemptOutcome.REPLACED, None),
            id="a foreign transaction used the nonce, finally",
        ),
        pytest.param(
            fly(FIRST),
            change(
                SEEN,
                account=change(
                    ACCOUNT,
                    nonce=8,
                    final_nonce=8,
                    receipts={FIRST.hash: REVERTED},
                ),
            ),
            Settle(FIRST, AttemptOutcome.REVERTED, REVERTED),
            id="it reverted, finally",
        ),
    ],
)
def test_what_must_be_known_first(state: State, seen: Observations, step: Any) -> None:
    assert decide(state, seen) == Undecided((step,))


@pytest.mark.parametrize(
    ("state", "seen", "situation", "actions"),
    [
        pytest.param(change(STATE, waiting=None), change(SEEN, account=None), Situation.IDLE, (), id="nothing to do"),
        pytest.param(change(STATE, diverged_epoch=1), SEEN, Situation.DIVERGED, (), id="diverged"),
        pytest.param(
            change(STATE, waiting=change(STATE.waiting, is_seal_here=False)),
            SEEN,
            Situation.SEAL_MISSING,
            (),
            id="a gap",
        ),
        pytest.param(
            change(STATE, waiting=change(STATE.waiting, cut_at=LATEST.timestamp * 1000 + 1)),
            SEEN,
            Situation.WAITING_FOR_L1_TIME,
            (),
            id="a millisecond before its time",
        ),
        pytest.param(fly(FIRST), SEEN, Situation.IN_FLIGHT, (), id="just sent"),
        pytest.param(
            fly(FIRST), change(SEEN, now_ms=NOW + 11_000), Situation.IN_FLIGHT, (Send(FIRST),), id="12 s after sending"
        ),
        pytest.param(
            change(fly(FIRST), last_broadcast={}), SEEN, Situation.IN_FLIGHT, (Send(FIRST),), id="after a restart"
        ),
        pytest.param(
            fly(FIRST), change(SEEN, now_ms=NOW - 3_600_000), Situation.IN_FLIGHT, None, id="the clock was put back"
        ),
        pytest.param(
            change(fly(FIRST), last_broadcast={FIRST.hash: (NOW, SendResult(SendOutcome.REFUSED, "no"))}),
            SEEN,
            Situation.REFUSED,
            (),
            id="refused",
        ),
        pytest.param(STATE, change(SEEN, simulation=HALTED), Situation.HALTED, (), id="halted"),
        pytest.param(
            STATE,
            change(SEEN, simulation=Simulation(error=ContractError("NotConserved"))),
            Situation.REVERTING,
            (),
            id="reverting",
        ),
        pytest.param(STATE, change(SEEN, simulation=Simulation(problem="busy")), Situation.REFUSED, (), id="busy"),
        pytest.param(
            STATE,
            change(SEEN, latest=change(LATEST, base_fee=SETTINGS.max_fee_wei + 1)),
            Situation.FEE_CAP_REACHED,
            (),
            id="the base fee is above the cap",
        ),
        pytest.param(
            change(STATE, spent=SETTINGS.daily_budget_wei - 125_000 * 21 * GWEI + 1),
            SEEN,
            Situation.OVER_BUDGET,
            (),
            id="a wei over budget",
        ),
        pytest.param(
            STATE,
            change(SEEN, account=change(ACCOUNT, balance=125_000 * 21 * GWEI - 1)),
            Situation.OUT_OF_FUNDS,
            (),
            id="a wei short",
        ),
        pytest.param(
            fly(FIRST),
            change(SEEN, now_ms=NOW + 301_000, latest=change(LATEST, number=FIRST.l1_block)),
            Situation.L1_STALLED,
            (Send(FIRST),),
            id="no blocks for five minutes",
        ),
        pytest.param(
            change(STATE, key_problem="not there"),
            SEEN,
            Situation.KEY_MISSING,
            (),
            id="no key to sign with",
        ),
        pytest.param(
            change(fly(FIRST), key_problem="not there", last_broadcast={}),
            change(SEEN, account=None, simulation=HALTED),
            Situation.HALTED,
            (),
            id="the end does not wait for a key",
        ),
        pytest.param(
            STATE,
            change(SEEN, latest=change(LATEST, base_fee=SETTINGS.max_fee_wei + 1), simulation=HALTED),
            Situation.HALTED,
            (),
            id="nor for a fee that we may offer",
        ),
        pytest.param(
            change(fly(FIRST), key_problem="not there", last_broadcast={}),
            change(SEEN, account=None),
            Situation.KEY_MISSING,
            (Send(FIRST),),
            id="no key, but what it signed before",
        ),
        pytest.param(
            change(STATE, key_problem="not there", waiting=None),
            change(SEEN, account=None),
            Situation.KEY_MISSING,
            (),
            id="no key is no secret while nothing waits",
        ),
        pytest.param(
            change(STATE, newest_l1_time=LATEST.timestamp + 1),
            change(SEEN, contract=None),
            Situation.WAITING_FOR_L1_BLOCK,
            (),
            id="an endpoint that is a second behind",
        ),
        pytest.param(
            change(fly(FIRST), newest_l1_time=LATEST.timestamp + 1200, last_broadcast={}),
            change(SEEN, now_ms=NOW + 1_200_000, contract=None),
            Situation.L1_BEHIND,
            (Send(FIRST),),
            id="an endpoint that is a hundred blocks behind",
        ),
        pytest.param(
            change(STATE, inclusion=change(INCLUSION, included_at=LATEST.timestamp + 1)),
            change(SEEN, contract=None),
            Situation.WAITING_FOR_L1_BLOCK,
            (),
            id="after a restart, behind the inclusion",
        ),
        pytest.param(
            STATE,
            change(
                SEEN,
                latest=NO_BASE_FEE,
                account=change(ACCOUNT, suggested_fees=Fees(SETTINGS.max_fee_wei + 1, SETTINGS.max_fee_wei + 1)),
            ),
            Situation.FEE_CAP_REACHED,
            (),
            id="a gas price above the cap, without base fees",
        ),
    ],
)
def test_where_it_stands(state: State, seen: Observations, situation: Situation, actions: Any) -> None:
    decision = decide(state, seen)
    assert isinstance(decision, Decision)
    assert decision.situation is situation
    if actions is not None:
        assert decision.actions == actions
    assert decision.situation in ORDINARY or decision.detail, "an alarm without words"


@pytest.mark.parametrize(
    ("age_ms", "block", "is_bumped"),
    [(47_999, 150, False), (48_000, 150, True), (48_000, 100, True), (48_000, 99, False), (10**9, 99, False)],
)
def test_a_bump_needs_time_and_a_block_that_passed_it_over(age_ms: int, block: int, is_bumped: bool) -> None:
    seen = change(SEEN, now_ms=FIRST.sent_at + age_ms, latest=change(LATEST, number=block))
    decision = decide(fly(FIRST), seen)
    assert isinstance(decision, Decision)
    signed = [action for action in decision.actions if isinstance(action, Sign)]
    assert bool(signed) == is_bumped
    if signed:
        assert (signed[0].number, signed[0].nonce) == (2, FIRST.nonce)


def test_with_our_clock_put_back_an_endpoint_that_lags_for_long_is_still_named() -> None:
    state = change(STATE, newest_l1_time=LATEST.timestamp + 301)
    seen = change(SEEN, now_ms=NOW - 3_600_000, contract=None)
    decision = decide(state, seen)
    assert isinstance(decision, Decision) and decision.situation is Situation.L1_BEHIND
    decision = decide(change(STATE, newest_l1_time=LATEST.timestamp + 300), seen)
    assert isinstance(decision, Decision) and decision.situation is Situation.WAITING_FOR_L1_BLOCK


def test_a_lower_block_that_is_not_older_is_a_reorganisation() -> None:
    state = change(STATE, newest_l1_time=LATEST.timestamp)
    seen = change(see_contract(inclusion_block_hash=None), latest=change(LATEST, number=80))
    assert decide(state, seen) == Undecided((Reopen(1),))


def test_a_chain_without_base_fees_gets_legacy_transactions() -> None:
    seen = change(SEEN, latest=NO_BASE_FEE, account=change(ACCOUNT, suggested_fees=Fees(3 * GWEI, 3 * GWEI)))
    first = decide(STATE, seen)
    assert isinstance(first, Decision)
    assert first.actions == (Sign(2, 1, 7, 125_000, Fees(3 * GWEI, 3 * GWEI), is_legacy=True),)
    attempt = change(FIRST, fees=Fees(3 * GWEI, 3 * GWEI), raw=b"\xf8")
    assert attempt.is_legacy and not FIRST.is_legacy
    bumped = decide(fly(attempt), change(seen, now_ms=NOW + 60_000))
    assert isinstance(bumped, Decision)
    (action,) = bumped.actions
    assert isinstance(action, Sign) and action.is_legacy
    assert action.fees == Fees(compute_bump(3 * GWEI), compute_bump(3 * GWEI))


@given(
    suggested=st.integers(0, MAX_WEI_PER_GAS),
    floor=st.none()
    | st.tuples(st.integers(0, 300 * GWEI), st.integers(0, 300 * GWEI)).map(lambda pair: Fees(max(pair), min(pair))),
)
def test_a_gas_price_is_capped_and_always_enough_to_replace(suggested: int, floor: Fees | None) -> None:
    fees = compute_fees(None, Fees(suggested, suggested), floor, SETTINGS)
    if fees is None:
        assert floor is not None and compute_bump(floor.max_fee) > SETTINGS.max_fee_wei
        return
    assert SETTINGS.min_priority_fee_wei <= fees.max_fee == fees.priority_fee <= SETTINGS.max_fee_wei
    assert fees.max_fee >= min(suggested, SETTINGS.max_fee_wei)
    if floor is not None:
        assert 8 * fees.max_fee >= 9 * floor.max_fee and fees.max_fee > floor.max_fee


def test_a_bump_estimates_again() -> None:
    seen = change(SEEN, now_ms=NOW + 60_000, simulation=Simulation(gas=200_000))
    decision = decide(fly(FIRST), seen)
    assert isinstance(decision, Decision)
    (action,) = decision.actions
    assert isinstance(action, Sign) and action.gas_limit == 250_000


@pytest.mark.parametrize(
    ("gas_used", "gas_limit"),
    [pytest.param(125_000, 250_000, id="out of gas"), pytest.param(50_000, 125_000, id="for another reason")],
)
@pytest.mark.parametrize("is_settled", [True, False])
def test_one_that_ran_out_of_gas_is_followed_by_one_with_twice_as_much(
    gas_used: int, gas_limit: int, is_settled: bool
) -> None:
    """The client estimates the same again: trusting it would burn the day's budget, a block at a time."""
    receipt = change(REVERTED, gas_used=gas_used)
    account = change(ACCOUNT, nonce=8, receipts={} if is_settled else {FIRST.hash: receipt})
    reverted = change(FIRST, outcome=AttemptOutcome.REVERTED, gas_used=gas_used) if is_settled else FIRST
    decision = decide(fly(reverted), change(SEEN, account=account))
    assert isinstance(decision, Decision)
    (action,) = decision.actions
    assert isinstance(action, Sign) and (action.nonce, action.gas_limit) == (8, gas_limit)


def test_one_that_would_revert_is_not_sent_again() -> None:
    seen = change(SEEN, now_ms=NOW + 60_000, simulation=Simulation(error=ContractError("EpochMismatch")))
    assert decide(fly(FIRST), seen) == Decision(Situation.REVERTING, "EpochMismatch()")


@pytest.mark.parametrize("waiting_nonce", [6, 7, 8])
def test_the_nonce_is_ours_even_if_the_endpoint_lags(waiting_nonce: int) -> None:
    decision = decide(STATE, change(SEEN, account=change(ACCOUNT, nonce=waiting_nonce)))
    assert isinstance(decision, Decision)
    (action,) = decision.actions
    assert isinstance(action, Sign) and action.nonce == max(7, waiting_nonce)


def test_a_used_up_nonce_gives_way_to_the_next_while_it_is_not_final() -> None:
    decision = decide(fly(FIRST), change(SEEN, account=change(ACCOUNT, nonce=8)))
    assert isinstance(decision, Decision)
    (action,) = decision.actions
    assert isinstance(action, Sign) and (action.number, action.nonce) == (2, 8)


def test_a_stale_attempt_of_another_epoch_is_outbid() -> None:
    stale = change(FIRST, epoch=1, fees=Fees(50 * GWEI, 3 * GWEI))
    decision = decide(change(STATE, open_attempts=(stale,)), SEEN)
    assert isinstance(decision, Decision)
    (action,) = decision.actions
    assert isinstance(action, Sign)
    assert action.fees == Fees(compute_bump(50 * GWEI), compute_bump(3 * GWEI))


def test_a_stale_attempt_too_dear_to_be_outbid_does_not_block_for_ever() -> None:
    stale = change(FIRST, epoch=1, fees=Fees(SETTINGS.max_fee_wei - 1, 3 * GWEI))
    decision = decide(change(STATE, open_attempts=(stale,)), SEEN)
    assert isinstance(decision, Decision)
    (action,) = decision.actions
    assert isinstance(action, Sign) and action.fees.max_fee == SETTINGS.max_fee_wei


@pytest.mark.parametrize(("fee", "bumped"), [(0, 1), (1, 2), (7, 8), (8, 9), (9, 11), (100, 113), (8 * GWEI, 9 * GWEI)])
def test_an_eighth_more_rounded_up(fee: int, bumped: int) -> None:
    assert compute_bump(fee) == bumped


@given(
    base_fee=st.integers(0, MAX_WEI_PER_GAS),
    tip=st.integers(0, MAX_WEI_PER_GAS),
    floor=st.none()
    | st.tuples(st.integers(0, 300 * GWEI), st.integers(0, 300 * GWEI)).map(lambda pair: Fees(max(pair), min(pair))),
)
def test_fees_are_capped_and_always_enough_to_replace(base_fee: int, tip: int, floor: Fees | None) -> None:
    fees = compute_fees(base_fee, Fees(0, tip), floor, SETTINGS)
    if fees is None:
        assert floor is not None
        assert compute_bump(floor.max_fee) > SETTINGS.max_fee_wei or compute_bump(floor.priority_fee) > 200 * GWEI
        return
    assert 0 < fees.priority_fee <= fees.max_fee <= SETTINGS.max_fee_wei
    if floor is not None:
        assert 8 * fees.max_fee >= 9 * floor.max_fee and 8 * fees.priority_fee >= 9 * floor.priority_fee
        assert fees.max_fee > floor.max_fee and fees.priority_fee > floor.priority_fee


@given(
    now_ms=st.integers(NOW - 10**8, NOW + 10**8),
    base_fee=st.integers(0, 400 * GWEI),
    nonce=st.integers(5, 9),
    balance=st.integers(0, 10**17),
    spent=st.integers(0, 10**18),
    gas=st.integers(21_000, 30_000_000),
    block=st.integers(95, 105),
    is_flying=st.booleans(),
)
def test_nothing_is_signed_beyond_cap_budget_and_balance(
    now_ms: int, base_fee: int, nonce: int, balance: int, spent: int, gas: int, block: int, is_flying: bool
) -> None:
    state = change(fly(FIRST) if is_flying else STATE, spent=spent)
    seen = change(
        SEEN,
        now_ms=now_ms,
        latest=change(LATEST, base_fee=base_fee, number=block),
        account=change(ACCOUNT, nonce=nonce, balance=balance),
        simulation=Simulation(gas=gas),
    )
    decision = decide(state, seen)
    assert isinstance(decision, Decision)
    assert len(decision.actions) <= 1, "one thing at a time"
    for action in decision.actions:
        if isinstance(action, Sign):
            most_cost = action.gas_limit * action.fees.max_fee
            assert action.gas_limit == compute_gas_limit(gas)
            assert base_fee <= action.fees.max_fee <= SETTINGS.max_fee_wei
            assert most_cost <= balance and spent + most_cost <= SETTINGS.daily_budget_wei
            assert action.nonce >= 7
        else:
            assert action == Send(FIRST)


@pytest.mark.parametrize(
    "settings",
    [
        {"poll_interval_ms": 0},
        {"confirmations": 0},
        {"max_fee_wei": 2**63},
        {"max_fee_wei": 1},
        {"daily_budget_wei": -1},
        {"log_range": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        CommitterSettings(**settings)  # type: ignore[arg-type]
