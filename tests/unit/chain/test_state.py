"""Two states with one fingerprint behave alike, so whatever matters must change it."""

from collections.abc import Callable

import msgspec
import pytest

from chain.account import NonceWindow
from chain.errors import WrongRole
from chain.market import NO_ROLES, File, Roles
from chain.state import State
from tests.unit.chain.actors import ALICE, BOB, ETHER, PARAMETERS, TOKEN, UNLISTED, deposit, make_state, some_hash

FILE = File(some_hash("file"), ALICE, BOB, TOKEN, 5, 1, 30, 1_800_000_000, bytes(20), some_hash("listing"))

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
    "a role": lambda state: state.roles.update({ALICE: Roles(1)}),
    "an owner's validator": lambda state: state.roles.update({ALICE: Roles(8, BOB)}),
    "an owner who was only named": lambda state: state.roles.update({ALICE: Roles(8, BOB, True)}),
    "a file": lambda state: state.files.update({FILE.id: FILE}),
    "a purchase": lambda state: state.purchases.update({FILE.id + BOB: some_hash("payment")}),
    "what the epoch changed": lambda state: state.registry_changes.update({b"\x01" + ALICE: None}),
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


def test_the_order_of_entries_matters() -> None:
    first, second = make_state(), make_state()
    for state, accounts in ((first, (ALICE, BOB)), (second, (BOB, ALICE))):
        for account in accounts:
            state.put_roles(account, Roles(1))
    assert first.compute_fingerprint() != second.compute_fingerprint()


def test_every_value_of_a_file_matters() -> None:
    changes = {"price": 6, "keep_until": 5, "service_node": ALICE, "is_delisted": True, "owner": ALICE}
    prints = set()
    for fields in ({}, *[{name: value} for name, value in changes.items()]):
        state = make_state()
        state.put_file(msgspec.structs.replace(FILE, **fields))
        prints.add(state.compute_fingerprint())
    assert len(prints) == 1 + len(changes)


def test_roles_are_demanded_by_name() -> None:
    state = make_state()
    state.put_roles(ALICE, Roles(1 + 8, BOB))
    for role in ("validator", "owner"):
        state.check_role(ALICE, role)
    for account, role, got in ((ALICE, "mart", "validator owner"), (BOB, "owner", "none")):
        with pytest.raises(WrongRole) as caught:
            state.check_role(account, role)
        assert caught.value.values == {"account": account, "expected": role, "got": got}


def test_what_nobody_has() -> None:
    state = State(PARAMETERS)
    assert (state.get_roles(ALICE), state.roles, state.files, state.purchases) == (NO_ROLES, {}, {}, {})
    assert state.get_balance(UNLISTED, ALICE) == 0
    assert make_state().get_balance(TOKEN, ALICE) == 0
    assert state.get_nonces(ALICE) == NonceWindow(0, 0)
    assert (state.assets, state.epoch, state.block_number, state.timestamp) == ((), 1, 0, 0)
    assert state.block_hash == PARAMETERS.genesis_hash
    assert state.last_cut_at == PARAMETERS.deployed_at * 1000
