"""What is decided, as tables: no chain, no store, no clock."""

from typing import Any

import msgspec
import pytest

from node.ethereum.credited import Anchor, CreditedDeposit
from node.ethereum.l1 import DepositEvent, L1Block, ListedAsset, QueuedDeposit
from node.ethereum.watch_decision import (
    LAGGING_CONFIRMATIONS,
    Advance,
    Credit,
    CreditRequest,
    Decision,
    ListAssets,
    LookAtAnchors,
    LookAtConfirmed,
    LookAtDoubtful,
    LookAtList,
    LookAtQueues,
    Observations,
    Problem,
    Rewind,
    State,
    Trust,
    Undecided,
    WatcherSettings,
    WatcherSituation,
    compute_lost_count,
    decide,
    match_deposits,
    name_fault,
)

NOW = 1_700_000_000_000
SETTINGS = WatcherSettings(batch_size=10, max_batches=3)
A, B, C = b"\xaa" * 20, b"\xbb" * 20, b"\xcc" * 20
USER = b"\x77" * 20


def make_block(number: int, salt: int = 0) -> L1Block:
    """The newest, 200, is of now; a block takes 12 s."""
    return L1Block(number, bytes((salt,)) * 24 + number.to_bytes(8), NOW // 1000 - 12 * (200 - number), 7)


def make_anchor(number: int, salt: int = 0) -> Anchor:
    return Anchor(number, make_block(number, salt).hash)


def make_queued(index: int, block: int = 150, asset: bytes = A, **changes: Any) -> QueuedDeposit:
    queued = QueuedDeposit(asset, index, USER, 100 + index, 0, make_block(block).timestamp)
    return msgspec.structs.replace(queued, **changes)


def make_credited(index: int, block: int = 110, asset: bytes = A) -> CreditedDeposit:
    return CreditedDeposit(asset, index, USER, 100 + index, make_anchor(block))


FINAL = make_block(160)
STATE = State(
    settings=SETTINGS,
    deployed_at=make_block(10).timestamp,
    max_silence=3_600,
    assets=(A, B),
    credited_counts={A: 5, B: 7},
    cursor=make_anchor(120),
    newest_credited=make_anchor(110),
    doubtful=(),
    highest_final=make_block(120),
    is_highest_by_confirmations=False,
    complete=make_block(120),
    vanished=(),
    behind_since=None,
    replaced="",
    caught_up=0,
    is_list_checked=True,
)
SEEN = Observations(
    now_ms=NOW,
    latest=make_block(200),
    final=FINAL,
    hashes={120: make_block(120).hash, 110: make_block(110).hash},
    listed=(),
    counts={A: 5, B: 7},
)
change = msgspec.structs.replace


def get_decision(state: State, seen: Observations) -> Decision:
    decision = decide(state, seen)
    assert isinstance(decision, Decision), decision
    return decision


def get_situations(decision: Decision) -> list[str]:
    return [str(problem.situation) for problem in decision.problems]


def test_nothing_is_missing() -> None:
    assert decide(STATE, SEEN) == Decision(WatcherSituation.SYNCED, "", (), Advance(FINAL, True), FINAL)


@pytest.mark.parametrize(
    ("state", "seen", "step"),
    [
        pytest.param(
            STATE,
            change(SEEN, final=make_block(40)),
            LookAtConfirmed(LAGGING_CONFIRMATIONS),
            id="finality is older than half of the silence",
        ),
        pytest.param(STATE, change(SEEN, hashes=None), LookAtAnchors((110, 120)), id="is what was final still there"),
        pytest.param(
            change(STATE, cursor=None), change(SEEN, hashes=None), LookAtAnchors((110,)), id="the cursor was lost"
        ),
        pytest.param(
            STATE,
            change(SEEN, hashes={120: make_block(120, 1).hash, 110: make_block(110).hash}),
            Rewind(make_anchor(120)),
            id="the cursor's block was replaced",
        ),
        pytest.param(
            change(STATE, newest_credited=make_anchor(130)),
            change(SEEN, hashes={120: make_block(120).hash, 130: make_block(130, 1).hash}),
            Rewind(make_anchor(130)),
            id="the block of a credited deposit was replaced, above the cursor",
        ),
        pytest.param(
            change(STATE, newest_credited=make_anchor(150)),
            SEEN,
            None,
            id="what this look has credited is not asked for",
        ),
        pytest.param(STATE, change(SEEN, listed=None), LookAtList(2, FINAL), id="are there new assets"),
        pytest.param(
            change(STATE, is_list_checked=False), change(SEEN, listed=None), LookAtList(0, FINAL), id="the whole list"
        ),
        pytest.param(
            STATE,
            change(SEEN, listed=(ListedAsset(C, FINAL.timestamp), ListedAsset(USER, FINAL.timestamp + 1))),
            ListAssets((C,), FINAL),
            id="an asset is in force, the next is not",
        ),
        pytest.param(
            change(STATE, is_list_checked=False, assets=(A,)),
            change(SEEN, listed=(ListedAsset(A, 0), ListedAsset(B, 0))),
            ListAssets((B,), FINAL),
            id="beyond the list that was checked",
        ),
        pytest.param(STATE, change(SEEN, counts={B: 7}), LookAtQueues((A,), FINAL), id="nobody counted one queue"),
        pytest.param(
            STATE,
            change(SEEN, counts={A: 30, B: 8}),
            Credit((CreditRequest(A, 5, 10), CreditRequest(B, 7, 1)), FINAL),
            id="deposits are missing, of each asset a batch",
        ),
        pytest.param(
            STATE,
            change(SEEN, counts={A: 30, B: 8}, problems={A: Problem(WatcherSituation.LOGS_INCOMPLETE, "")}),
            Credit((CreditRequest(B, 7, 1),), FINAL),
            id="an asset that can not be read keeps back no other",
        ),
        pytest.param(
            STATE,
            change(SEEN, counts={A: 4, B: 9}),
            Credit((CreditRequest(B, 7, 2),), FINAL),
            id="an asset whose deposits vanished keeps back no other",
        ),
        pytest.param(
            change(STATE, doubtful=(make_credited(3), make_credited(4), make_credited(9, asset=B))),
            SEEN,
            LookAtDoubtful((make_credited(3), make_credited(4)), FINAL),
            id="deposits in doubt that the queue can be asked about",
        ),
        pytest.param(
            change(STATE, doubtful=(make_credited(3), make_credited(4))),
            change(SEEN, queued={(A, 3): make_queued(3), (A, 4): make_queued(4, amount=1)}),
            Trust((make_credited(3),), FINAL),
            id="one is back",
        ),
    ],
)
def test_what_must_be_known_or_done_first(state: State, seen: Observations, step: Any) -> None:
    decision = decide(state, seen)
    assert (decision.step if isinstance(decision, Undecided) else None) == step


@pytest.mark.parametrize("final", range(111, 120))
def test_nothing_is_decided_from_below_what_was_final(final: int) -> None:
    """By the durable cursor, or by what this life has read, or by what was credited from."""
    seen = change(SEEN, final=make_block(final), counts={A: 30, B: 30}, hashes=None)
    in_this_life = change(STATE, cursor=None, newest_credited=None)
    in_an_earlier_life = change(STATE, highest_final=None, complete=None, newest_credited=None)
    as_credited = change(in_an_earlier_life, cursor=None, newest_credited=make_anchor(120))
    for state in (STATE, in_this_life, in_an_earlier_life, as_credited):
        decision = get_decision(state, seen)
        assert decision == Decision(
            WatcherSituation.L1_BEHIND, f"final is block {final}, read was up to block 120", (), None, None
        )


@pytest.mark.parametrize(
    ("behind_since", "is_alarm"),
    [
        (None, False),
        (NOW, False),
        (NOW - SETTINGS.stall_after_ms, False),
        (NOW - SETTINGS.stall_after_ms - 1, True),
        (NOW + 1, True),
    ],
    ids=["new", "just now", "as long as may be", "too long", "the clock was put back"],
)
def test_to_be_behind_is_an_alarm_once_it_lasts(behind_since: int | None, is_alarm: bool) -> None:
    decision = get_decision(change(STATE, behind_since=behind_since), change(SEEN, final=make_block(119)))
    assert decision.situation is decision.progress is WatcherSituation.L1_BEHIND
    assert get_situations(decision) == ["l1_behind"] * is_alarm


def test_going_ahead_of_finality_is_not_the_endpoint_going_back() -> None:
    """While finality lagged, confirmations counted; it is back, and not yet where they were."""
    decision = get_decision(change(STATE, is_highest_by_confirmations=True), change(SEEN, final=make_block(119)))
    assert get_situations(decision) == ["finality_lags"] and decision.advance is None


@pytest.mark.parametrize(
    ("age_ms", "is_stalled"), [(0, False), (-5_000, False), (SETTINGS.stall_after_ms, False), (300_001, True)]
)
def test_no_new_block_for_long_is_an_alarm_and_keeps_nothing_back(age_ms: int, is_stalled: bool) -> None:
    decision = get_decision(STATE, change(SEEN, now_ms=NOW + age_ms))
    assert get_situations(decision) == ["l1_stalled"] * is_stalled
    assert decision.advance == Advance(FINAL, True)


def test_the_contract_is_younger_than_the_newest_final_block() -> None:
    state = change(STATE, cursor=None, newest_credited=None, highest_final=None, complete=None)
    decision = get_decision(state, change(SEEN, final=make_block(10), latest=make_block(20), now_ms=0))
    assert decision.situation is WatcherSituation.WAITING_FOR_FINALITY and decision.advance is None


def test_the_same_final_block_is_read_once() -> None:
    state = change(STATE, complete=FINAL, highest_final=FINAL)
    unseen = Observations(now_ms=NOW, latest=make_block(200), final=FINAL)
    assert decide(state, unseen) == Decision(WatcherSituation.SYNCED, "", (), None, FINAL)
    vanished = Problem(WatcherSituation.DEPOSITS_VANISHED, "one")
    assert decide(change(state, vanished=(vanished,)), unseen) == Decision(
        WatcherSituation.SYNCED, "", (vanished,), None, FINAL
    )


def test_a_replaced_block_is_named_until_a_later_look_is_complete() -> None:
    state = change(STATE, replaced="block 120")
    assert get_situations(get_decision(state, change(SEEN, is_rewound=True))) == ["final_block_replaced"]
    assert get_situations(get_decision(state, SEEN)) == []
    fault = {A: Problem(WatcherSituation.LOGS_INCOMPLETE, "")}
    unread = get_decision(state, change(SEEN, problems=fault))
    assert get_situations(unread) == ["logs_incomplete", "final_block_replaced"]


def test_another_block_at_the_height_of_the_last_final_one_is_not_the_same() -> None:
    state = change(STATE, complete=FINAL, highest_final=FINAL, cursor=make_anchor(160))
    seen = Observations(now_ms=NOW, latest=make_block(200), final=make_block(160, 1))
    assert decide(state, seen) == Undecided(LookAtAnchors((110, 160)))


@pytest.mark.parametrize(("finalized", "is_lagging"), [(50, False), (49, True)])
def test_finality_older_than_half_of_the_silence_gives_way_to_confirmations(finalized: int, is_lagging: bool) -> None:
    state = change(STATE, cursor=None, newest_credited=None, highest_final=None)
    seen = change(SEEN, final=make_block(finalized), confirmed=make_block(137))
    decision = get_decision(state, seen)
    assert decision.advance == Advance(make_block(137 if is_lagging else 50), True)
    assert get_situations(decision) == ["finality_lags"] * is_lagging
    chosen = change(state, settings=WatcherSettings(confirmations=150))
    assert get_decision(chosen, seen).advance == Advance(make_block(finalized), True)


def test_another_list_of_assets_is_another_contract() -> None:
    state = change(STATE, is_list_checked=False)
    for listed in ((), (ListedAsset(A, 0),), (ListedAsset(B, 0), ListedAsset(A, 0))):
        decision = get_decision(state, change(SEEN, listed=listed))
        assert get_situations(decision) == ["wrong_contract"] and decision.advance is None


def test_a_catch_up_says_how_far_it_is() -> None:
    decision = decide(change(STATE, caught_up=1_500), change(SEEN, counts={A: 30_000, B: 8_512}))
    assert isinstance(decision, Undecided) and decision.meanwhile is not None
    assert decision.meanwhile.situation is WatcherSituation.CATCHING_UP
    assert decision.meanwhile.detail == "catching up: 1,500 of 40,000 deposits"
    few = decide(STATE, change(SEEN, counts={A: 15, B: 7}))
    assert isinstance(few, Undecided) and few.meanwhile is None


def test_a_look_ends_after_so_many_batches() -> None:
    seen = change(SEEN, counts={A: 30_000, B: 7}, batches=3)
    decision = get_decision(change(STATE, caught_up=30), seen)
    assert (decision.situation, decision.problems, decision.advance) == (WatcherSituation.CATCHING_UP, (), None)
    assert decision.detail == "catching up: 30 of 30,025 deposits"


@pytest.mark.parametrize("situation", ["l1_unreachable", "logs_contradict", "logs_incomplete"])
def test_deposits_that_could_not_be_read_are_not_passed_over(situation: str) -> None:
    problem = Problem(WatcherSituation(situation), "why")
    decision = get_decision(STATE, change(SEEN, counts={A: 6, B: 7}, problems={A: problem}))
    assert decision.problems == (problem,) and decision.advance is None
    uncounted = get_decision(STATE, change(SEEN, counts={B: 7}, problems={A: problem}))
    assert uncounted.problems == (problem,) and uncounted.advance is None


def test_fewer_deposits_than_are_credited_have_vanished() -> None:
    decision = get_decision(STATE, change(SEEN, counts={A: 4, B: 7}))
    (problem,) = decision.problems
    assert problem.situation is WatcherSituation.DEPOSITS_VANISHED
    assert problem.detail == f"5 deposits of 0x{A.hex()} are credited, 4 are final at block 160"
    assert decision.advance == Advance(FINAL, is_synced=False)
    assert compute_lost_count(STATE, {A: 4, B: 7}) == 1


def test_another_deposit_in_the_place_of_a_credited_one_is_named_for_as_long() -> None:
    state = change(STATE, doubtful=(make_credited(3), make_credited(4)))
    seen = change(SEEN, queued={(A, 3): make_queued(3, account=B), (A, 4): make_queued(4, amount=1)})
    decision = get_decision(state, seen)
    (problem,) = decision.problems
    assert problem.situation is WatcherSituation.DEPOSITS_VANISHED
    assert problem.detail.startswith(
        f"2 deposits of 0x{A.hex()} were replaced by others, the first is 3, credited from"
    )
    assert decision.advance == Advance(FINAL, is_synced=True)  # what follows them is credited all the same
    assert compute_lost_count(state, SEEN.counts) == 2


def test_all_that_is_wrong_is_named_the_worst_first() -> None:
    state = change(
        STATE,
        assets=(A, B, C),
        credited_counts={A: 5, B: 7, C: 1},
        replaced="block 120",
        cursor=make_anchor(20),
        newest_credited=None,
        highest_final=None,
        complete=None,
    )
    seen = change(
        SEEN,
        now_ms=NOW + 400_000,
        final=make_block(40),
        confirmed=make_block(137),
        hashes={20: make_block(20).hash},
        counts={A: 4, B: 9, C: 2},
        problems={
            B: Problem(WatcherSituation.L1_UNREACHABLE, "B"),
            C: Problem(WatcherSituation.LOGS_CONTRADICT, "C"),
        },
    )
    decision = get_decision(state, seen)
    assert get_situations(decision) == [
        "deposits_vanished",
        "l1_unreachable",
        "logs_contradict",
        "l1_stalled",
        "finality_lags",
        "final_block_replaced",
    ]
    assert decision.situation is WatcherSituation.DEPOSITS_VANISHED and decision.advance is None


def test_a_fault_does_not_hide_what_vanished() -> None:
    before = get_decision(change(STATE, replaced="block 120"), change(SEEN, counts={A: 4, B: 7}, is_rewound=True))
    fault = Problem(WatcherSituation.L1_UNREACHABLE, "no answer")
    after = name_fault(before, fault)
    assert get_situations(after) == ["deposits_vanished", "l1_unreachable", "final_block_replaced"]
    assert get_situations(name_fault(after, fault)) == get_situations(after)
    assert name_fault(get_decision(STATE, SEEN), fault).problems == (fault,)


# ------------------------------------------------------------------------------------------------------ queue and logs

QUEUED = (make_queued(0), make_queued(1, block=151))
EVENTS = tuple(
    [
        DepositEvent(A, queued.index, USER, queued.amount, block, make_block(block).hash, b"\xee" * 32, queued.index)
        for queued, block in zip(QUEUED, (150, 151), strict=True)
    ]
)
BLOCKS = {number: make_block(number) for number in (149, 150, 151)}
LIE = {"account": B, "amount": 9, "l1_block_hash": b"\x01" * 32, "l1_block": 149, "asset": B, "index": 7}


def test_the_logs_say_where_a_deposit_happened() -> None:
    for events in (EVENTS, EVENTS[::-1], EVENTS * 5):
        found = match_deposits(QUEUED, events, BLOCKS)
        assert isinstance(found, list)
        assert [(f.deposit.index, f.deposit.l1_block, f.log_index) for f in found] == [(0, 150, 0), (1, 151, 1)]
        assert [f.deposit.l1_block_hash for f in found] == [make_block(150).hash, make_block(151).hash]


@pytest.mark.parametrize("field", LIE)
def test_a_lie_beside_the_truth_does_no_harm(field: str) -> None:
    lie = change(EVENTS[0], **{field: LIE[field]})
    assert match_deposits(QUEUED, (lie, *EVENTS), BLOCKS) == match_deposits(QUEUED, EVENTS, BLOCKS)


@pytest.mark.parametrize(
    ("events", "situation"),
    [
        pytest.param((), "logs_incomplete", id="none"),
        pytest.param(EVENTS[1:], "logs_incomplete", id="one is missing"),
        pytest.param((change(EVENTS[0], asset=B), EVENTS[1]), "logs_incomplete", id="of another asset"),
        pytest.param((change(EVENTS[0], index=7), EVENTS[1]), "logs_incomplete", id="of another index"),
        pytest.param((change(EVENTS[0], amount=9), EVENTS[1]), "logs_contradict", id="another amount"),
        pytest.param((change(EVENTS[0], account=B), EVENTS[1]), "logs_contradict", id="another account"),
        pytest.param((change(EVENTS[0], l1_block_hash=b"\x01" * 32), EVENTS[1]), "logs_contradict", id="of a fork"),
        pytest.param((change(EVENTS[0], l1_block=149), EVENTS[1]), "logs_contradict", id="the hash of another number"),
        pytest.param(
            (change(EVENTS[0], l1_block=149, l1_block_hash=make_block(149).hash), EVENTS[1]),
            "logs_contradict",
            id="a block of another time than the queue has",
        ),
        pytest.param((change(EVENTS[0], l1_block=3), EVENTS[1]), "logs_contradict", id="a block nobody read"),
        pytest.param(
            (*EVENTS, change(EVENTS[0], l1_transaction=b"\x01" * 32)), "logs_contradict", id="two transactions for one"
        ),
    ],
)
def test_logs_that_are_wrong_are_named(events: tuple[DepositEvent, ...], situation: str) -> None:
    problem = match_deposits(QUEUED, events, BLOCKS)
    assert isinstance(problem, Problem) and problem.situation == situation
    assert "deposit 0 of 0xaaaa" in problem.detail


@pytest.mark.parametrize(
    "wrong", [{"log_range": 0}, {"batch_size": 0}, {"max_batches": 0}, {"stall_after_ms": 0}, {"confirmations": 0}]
)
def test_settings_that_make_no_sense(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WatcherSettings(**wrong)
