"""Roles, shares and charges. More of them are vectors; that nothing is lost over all prices is a property."""

from typing import Any

import msgspec
import pytest

from chain.errors import NoStorageRate
from chain.market import (
    NO_ROLES,
    ROLE_BITS,
    File,
    Roles,
    compute_daily_charge,
    compute_shares,
    compute_storage_charge,
    encode_purchase_key,
)
from chain.params import Market
from chain.primitives import MAX_STORAGE_DAYS, MAX_U64, MAX_U128, ZERO_ADDRESS
from tests.unit.chain.actors import ALICE, BOB, CAROL, ETHER, TOKEN, UNLISTED, some_hash
from tests.unit.chain.exchange import DORA, FILE, GIB, MARKET

# --- roles


def test_every_role_has_a_bit_of_its_own() -> None:
    assert ROLE_BITS == {"validator": 1, "mart": 2, "service_node": 4, "owner": 8}


@pytest.mark.parametrize("bits", range(16))
def test_an_account_has_the_roles_of_its_bits(bits: int) -> None:
    roles = Roles(bits)
    assert [role for role in ROLE_BITS if roles.has(role)] == roles.names
    assert sum(ROLE_BITS[role] for role in roles.names) == bits


def test_nobody_has_a_role_from_the_start() -> None:
    assert NO_ROLES.names == []
    assert (NO_ROLES.validator, NO_ROLES.is_named_only) == (ZERO_ADDRESS, False)


# --- shares


def make_file(price: int = 100, **fields: Any) -> File:
    file = File(FILE, ALICE, CAROL, TOKEN, price, GIB, 30, 0, DORA, some_hash("listing"))
    return msgspec.structs.replace(file, **fields)


def split(validator: int, owner: int, commission: int) -> Market:
    market = Market(validator, owner, commission)
    market.check()
    return market


def test_validator_owner_and_service_node_in_this_order() -> None:
    assert compute_shares(make_file(100), MARKET) == [(ALICE, 50), (CAROL, 45), (DORA, 5)]


@pytest.mark.parametrize(
    ("price", "shares"),
    [
        (1, [(CAROL, 1)]),
        (2, [(ALICE, 1), (CAROL, 1)]),
        (3, [(ALICE, 1), (CAROL, 2)]),
        (19, [(ALICE, 9), (CAROL, 10)]),
        (20, [(ALICE, 10), (CAROL, 9), (DORA, 1)]),
        (21, [(ALICE, 10), (CAROL, 10), (DORA, 1)]),
        (MAX_U128, [(ALICE, 2**127 - 1), (CAROL, MAX_U128 - (2**127 - 1) - MAX_U128 // 20), (DORA, MAX_U128 // 20)]),
    ],
)
def test_what_is_left_of_a_division_is_the_owner_s(price: int, shares: list[tuple[bytes, int]]) -> None:
    assert compute_shares(make_file(price), MARKET) == shares
    assert sum(amount for _, amount in shares) == price


def test_without_a_service_node_the_commission_is_the_owner_s() -> None:
    assert compute_shares(make_file(100, service_node=ZERO_ADDRESS), MARKET) == [(ALICE, 50), (CAROL, 50)]
    all_to_nobody = split(0, 0, 10_000)
    assert compute_shares(make_file(7, service_node=ZERO_ADDRESS), all_to_nobody) == [(CAROL, 7)]


def test_a_share_of_zero_is_left_out() -> None:
    assert compute_shares(make_file(7), split(10_000, 0, 0)) == [(ALICE, 7)]
    assert compute_shares(make_file(7), split(0, 10_000, 0)) == [(CAROL, 7)]
    assert compute_shares(make_file(7), split(0, 0, 10_000)) == [(DORA, 7)]
    assert compute_shares(make_file(7), split(9_999, 0, 1)) == [(ALICE, 6), (CAROL, 1)]


def test_who_has_two_parts_gets_two_shares() -> None:
    one = make_file(100, owner=ALICE, service_node=ALICE)
    assert compute_shares(one, MARKET) == [(ALICE, 50), (ALICE, 45), (ALICE, 5)]


# --- storage


@pytest.mark.parametrize(
    ("size", "rate", "charge"),
    [
        (GIB, 10**6, 10**6),
        (1, 1, 1),
        (1, GIB, 1),
        (2, GIB, 2),
        (1, GIB + 1, 2),
        (GIB - 1, 1, 1),
        (GIB + 1, 1, 2),
        (MAX_U64, MAX_U64, -(-(MAX_U64**2) // GIB)),
    ],
)
def test_a_day_is_rounded_up(size: int, rate: int, charge: int) -> None:
    market = Market(storage_rates=((TOKEN, rate),))
    assert compute_daily_charge(size, TOKEN, market) == charge
    for days in (1, 2, 365, MAX_STORAGE_DAYS):
        assert compute_storage_charge(size, days, TOKEN, market) == days * charge


def test_the_largest_charge_is_an_amount() -> None:
    market = Market(storage_rates=((TOKEN, MAX_U64),))
    assert compute_storage_charge(MAX_U64, MAX_STORAGE_DAYS, TOKEN, market) <= MAX_U128


def test_each_asset_has_its_rate_or_none() -> None:
    market = Market(storage_rates=((ETHER, 5), (TOKEN, 7)))
    assert [compute_daily_charge(GIB, asset, market) for asset in (ETHER, TOKEN)] == [5, 7]
    for compute in (
        lambda: compute_daily_charge(GIB, UNLISTED, market),
        lambda: compute_storage_charge(GIB, 1, ETHER, MARKET),
    ):
        with pytest.raises(NoStorageRate) as caught:
            compute()
        assert caught.value.values["asset"] in (UNLISTED, ETHER)


def test_a_purchase_is_known_by_file_and_buyer() -> None:
    keys = {encode_purchase_key(file, buyer) for file in (FILE, some_hash("x")) for buyer in (ALICE, BOB)}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {52}
