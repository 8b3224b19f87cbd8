"""Nothing is lost or made over any price, any split and any charge."""

from fractions import Fraction
from random import Random
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from chain.market import File, compute_daily_charge, compute_shares, compute_storage_charge
from chain.params import Market
from chain.primitives import MAX_STORAGE_DAYS, MAX_U64, MAX_U128, SHARES, ZERO_ADDRESS, ZERO_HASH
from tests.unit.chain.actors import ALICE, BOB, CAROL, TOKEN
from tests.vectors import reference

SEED: Final = 20_260_101
COUNT: Final = 100_000


def make_file(price: int, service_node: bytes) -> File:
    return File(ZERO_HASH, ALICE, BOB, TOKEN, price, 1, 1, 0, service_node, ZERO_HASH)


def check_shares(price: int, market: Market, service_node: bytes) -> None:
    market.check()
    shares = compute_shares(make_file(price, service_node), market)
    assert sum([amount for _, amount in shares]) == price
    assert all(0 < amount <= price for _, amount in shares)
    amounts = dict(shares)
    assert len(amounts) == len(shares)
    assert [account for account in (ALICE, BOB, CAROL) if account in amounts] == [account for account, _ in shares]
    # Of 10,000 parts each: rounded down for validator and node, so that the owner loses nothing and gains less than 2.
    assert amounts.get(ALICE, 0) * SHARES <= price * market.validator_share < (amounts.get(ALICE, 0) + 1) * SHARES
    commission = market.commission if service_node == CAROL else 0
    assert amounts.get(CAROL, 0) * SHARES <= price * commission < (amounts.get(CAROL, 0) + 1) * SHARES
    owner_share = SHARES - market.validator_share - commission
    assert 0 <= amounts.get(BOB, 0) * SHARES - price * owner_share < 2 * SHARES


def test_a_hundred_thousand_prices_and_splits() -> None:
    """Of all sizes, a half of them too small for a share of everybody."""
    random = Random(SEED)
    for _ in range(COUNT):
        price = random.randrange(1, 1 << random.choice((1, 2, 4, 8, 16, 32, 64, 96, 127, 128)))
        validator = random.choice((0, 1, SHARES, random.randrange(SHARES + 1)))
        commission = random.choice((0, SHARES - validator, random.randrange(SHARES - validator + 1)))
        market = Market(validator, SHARES - validator - commission, commission)
        check_shares(price, market, random.choice((CAROL, ZERO_ADDRESS)))


@given(st.integers(1, MAX_U128), st.integers(0, SHARES), st.integers(0, SHARES), st.sampled_from([CAROL, ZERO_ADDRESS]))
def test_any_price_and_split(price: int, first: int, second: int, service_node: bytes) -> None:
    low, high = sorted((first, second))
    market = Market(low, high - low, SHARES - high)
    check_shares(price, market, service_node)
    shares = {"validatorShare": low, "ownerShare": high - low, "commission": SHARES - high}
    node = None if service_node == ZERO_ADDRESS else service_node
    expected = reference.compute_shares(price, shares, ALICE, BOB, node)
    found = compute_shares(make_file(price, service_node), market)
    assert [{"to": to, "amount": amount} for to, amount in found] == expected


@given(st.integers(1, MAX_U64), st.integers(1, MAX_U64), st.integers(1, MAX_STORAGE_DAYS))
def test_an_amount_says_exactly_how_many_days_it_pays_for(size: int, rate: int, days: int) -> None:
    market = Market(storage_rates=((TOKEN, rate),))
    daily = compute_daily_charge(size, TOKEN, market)
    exact = Fraction(size * rate, 2**30)
    assert exact <= daily < exact + 1
    assert daily >= 1
    assert compute_storage_charge(size, days, TOKEN, market) == days * daily <= MAX_U128
    assert divmod(days * daily, daily) == (days, 0)


@given(st.integers(1, MAX_U64 - 1), st.integers(1, MAX_U64))
def test_more_is_never_cheaper(size: int, rate: int) -> None:
    market = Market(storage_rates=((TOKEN, rate),))
    assert compute_daily_charge(size, TOKEN, market) <= compute_daily_charge(size + 1, TOKEN, market)
