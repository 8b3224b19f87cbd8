"""Statements that grow debit by debit have the roots of the sorted whole."""

from itertools import permutations

from chain.account import NonceWindow
from chain.block import DEPOSIT, FORCED_WITHDRAWAL, PAYMENT
from chain.merkle import EMPTY_SUM
from chain.statement import Credit, Debit, OpenStatement, compute_credits_root, compute_debits_root
from tests.unit.chain.actors import some_hash


def make_debit(nonce: int) -> Debit:
    return Debit(PAYMENT, nonce, some_hash(f"payment {nonce}"), nonce * 10 + 1)


def test_an_empty_statement_has_empty_roots() -> None:
    statement = OpenStatement()
    statement.close()
    assert (statement.debits.root, statement.credits.root) == (EMPTY_SUM, EMPTY_SUM)
    assert (statement.debits_total, statement.credits_total) == (0, 0)


def test_debits_in_any_order_end_ascending() -> None:
    for nonces in permutations((0, 1, 2, 4, 9)):
        statement, window = OpenStatement(), NonceWindow()
        for nonce in nonces:
            window = window.use(nonce)
            statement.add_debit(make_debit(nonce), window.base)
        statement.close()
        expected = compute_debits_root(make_debit(nonce) for nonce in sorted(nonces))
        assert statement.debits.root == expected
        assert (statement.debits.count, statement.debits_total) == (5, expected[1])


def test_debits_enter_the_tree_when_the_base_passes_them() -> None:
    statement = OpenStatement()
    statement.add_debit(make_debit(2), 0)
    assert (statement.debits.count, statement.debits_total) == (0, 21)
    statement.add_debit(make_debit(0), 1)
    assert statement.debits.count == 1
    statement.add_debit(make_debit(1), 3)
    assert statement.debits.count == 3


def test_the_base_may_pass_a_debit_by_payments_in_another_asset() -> None:
    statement = OpenStatement()
    statement.add_debit(make_debit(1), 0)
    statement.add_debit(make_debit(5), 5)  # 0, 2, 3 and 4 were used elsewhere
    assert statement.debits.count == 1
    statement.close()
    assert statement.debits.root == compute_debits_root([make_debit(1), make_debit(5)])


def test_order_of_debits_is_type_then_number_and_of_credits_the_place() -> None:
    forced = Debit(FORCED_WITHDRAWAL, 0, some_hash("request"), 5)
    assert sorted([forced, make_debit(300), make_debit(7)]) == [make_debit(7), make_debit(300), forced]
    places = [(1, 0, 0), (1, 0, 1), (1, 2, 0), (2, 0, 0)]
    credits = [Credit(*place, PAYMENT, some_hash(str(place)), 1) for place in places]
    assert sorted([credits[2], credits[0], credits[3], credits[1]]) == credits


def test_credits_enter_as_they_come() -> None:
    credits = [Credit(1, 0, 0, DEPOSIT, some_hash("d"), 50), Credit(1, 1, 3, PAYMENT, some_hash("p"), 7)]
    statement = OpenStatement()
    for credit in credits:
        statement.add_credit(credit)
    assert statement.credits.root == compute_credits_root(credits)
    assert (statement.credits.count, statement.credits_total) == (2, 57)
    assert compute_credits_root(credits) != compute_credits_root(credits[::-1])
