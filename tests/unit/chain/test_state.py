"""Two states with one fingerprint behave alike, so whatever matters must change it."""

from collections.abc import Callable

import pytest

from chain.account import NonceWindow
from chain.state import State
from tests.unit.chain.actors import ALICE, BOB, ETHER, PARAMETERS, TOKEN, UNLISTED, deposit, make_state, some_hash

CHANGES: dict[str, Callable[[State], object]] = {
    "a balance": lambda state: state.balances[TOKEN].update({ALICE: 1}),
    "an account of balance 0": lambda state: state.balances[TOKEN].update({BOB: 0}),
    "an account in another asset": lambda state: state.balances[ETHER].update({BOB: 0}),
    "an asset": lambda state: state.balances.update({UNLISTED: {}}),
    "a base": lambda state: state.nonces.update({ALICE: NonceWindow(1, 0)}),
    "a map": lambda state: state.nonces.update({ALICE: NonceWindow(0, 2)}),
    "a total": lambda state: state.totals.update({TOKEN: 5}),
    "a deposit count": lambda state: state.deposit_counts.update({TOKEN: 5}),
    "debits of the epoch": lambda state: state.debits[TOKEN].update({ALICE: 1}),
    "credits of the epoch": lambda state: state.credits[TOKEN].update({ALICE: 1}),
    "debits in another asset": lambda state: state.debits[ETHER].update({ALICE: 1}),
    "the epoch": lambda state: setattr(state, "epoch", 2),
    "the cut": lambda state: setattr(state, "last_cut_at", 0),
    "the block number": lambda state: setattr(state, "block_number", 1),
    "the block hash": lambda state: setattr(state, "block_hash", some_hash("x")),
    "the time": lambda state: setattr(state, "timestamp", 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_changes_the_fingerprint(change: Callable[[State], object]) -> None:
    state = make_state(deposit(0))
    before = state.compute_fingerprint()
    assert before == make_state(deposit(0)).compute_fingerprint()
    change(state)
    assert state.compute_fingerprint() != before


def test_the_order_of_leaves_matters() -> None:
    first, second = make_state(), make_state()
    first.balances[TOKEN] = {ALICE: 1, BOB: 1}
    second.balances[TOKEN] = {BOB: 1, ALICE: 1}
    assert first.compute_fingerprint() != second.compute_fingerprint()


def test_what_nobody_has() -> None:
    state = State(PARAMETERS)
    assert state.get_balance(UNLISTED, ALICE) == 0
    assert make_state().get_balance(TOKEN, ALICE) == 0
    assert state.get_nonces(ALICE) == NonceWindow(0, 0)
    assert (state.assets, state.epoch, state.block_number, state.timestamp) == ((), 1, 0, 0)
    assert state.block_hash == PARAMETERS.genesis_hash
    assert state.last_cut_at == PARAMETERS.deployed_at * 1000
