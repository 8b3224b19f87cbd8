"""What a deployment fixes. The bytes are vectors."""

from typing import Any

import msgspec
import pytest

from chain.params import Domain, Market, compute_ledger_chain_id
from chain.primitives import MAX_ASSETS, MAX_U64
from chain.wire import MAX_JSON_INTEGER
from tests.unit.chain.actors import DOMAIN, ETHER, PARAMETERS, TOKEN, UNLISTED


def test_ledger_chain_ids_lie_above_every_known_one_and_fit_a_json_number() -> None:
    for l1_chain_id in (1, 10, 31337, 11155111, 2**256 - 1):
        chain_id = compute_ledger_chain_id(l1_chain_id, TOKEN)
        assert 2**40 <= chain_id < 2**41 < MAX_JSON_INTEGER


def test_every_parameter_is_in_the_genesis_hash() -> None:
    others = [PARAMETERS]
    for name in ("l1_chain_id", "deployed_at"):
        others.append(msgspec.structs.replace(PARAMETERS, **{name: getattr(PARAMETERS, name) + 1}))
    for name in ("settlement", "native_asset"):
        others.append(msgspec.structs.replace(PARAMETERS, **{name: b"\x01" * 20}))
    markets: list[dict[str, Any]] = [
        {"validator_share": 4999, "owner_share": 5001},
        {"validator_share": 5001, "owner_share": 4999},
        {"validator_share": 4999, "commission": 1},
        {"owner_share": 4999, "commission": 1},
        {"storage_rates": ((TOKEN, 1),)},
        {"storage_rates": ((TOKEN, 2),)},
        {"storage_rates": ((ETHER, 1),)},
        {"storage_rates": ((ETHER, 1), (TOKEN, 1))},
    ]
    others += [msgspec.structs.replace(PARAMETERS, market=Market(**fields)) for fields in markets]
    assert len({other.genesis_hash for other in others}) == 5 + len(markets)


def test_domains_differ_by_chain_and_contract() -> None:
    separators = {Domain.of(chain, contract).separator for chain in (1, 2) for contract in (TOKEN, b"\x01" * 20)}
    assert len(separators) == 4
    assert DOMAIN.prefix == b"\x19\x01" + DOMAIN.separator
    assert PARAMETERS.first_cut_at == PARAMETERS.deployed_at * 1000


# --- the market

ASSETS = [bytes([number]) * 20 for number in range(MAX_ASSETS + 1)]

SOUND: dict[str, dict[str, Any]] = {
    "as it begins": {},
    "a commission": {"validator_share": 5000, "owner_share": 4500, "commission": 500},
    "thirds": {"validator_share": 3333, "owner_share": 3333, "commission": 3334},
    "all to the validator": {"validator_share": 10_000, "owner_share": 0},
    "all to the owner": {"validator_share": 0, "owner_share": 10_000},
    "all to the service node": {"validator_share": 0, "owner_share": 0, "commission": 10_000},
    "the lowest rate": {"storage_rates": ((ETHER, 1),)},
    "the highest rate": {"storage_rates": ((TOKEN, MAX_U64),)},
    "32 rates": {"storage_rates": tuple((asset, 5) for asset in ASSETS[:32])},
}

SHARES_RANGE, RATES, RATE_RANGE = (
    "a share is from 0",
    "storage rates are of at most 32 assets",
    "a storage rate is from 1",
)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "99.99 %": ({"validator_share": 4999}, "sum to 9999 hundredths of a percent, they must sum to 10000"),
    "100.01 %": ({"owner_share": 5001}, "sum to 10001 hundredths of a percent, they must sum to 10000"),
    "a commission on top": ({"commission": 500}, "sum to 10500 hundredths of a percent"),
    "nothing": ({"validator_share": 0, "owner_share": 0}, "sum to 0 hundredths of a percent"),
    "a negative share": ({"validator_share": 10_001, "owner_share": -1}, SHARES_RANGE),
    "a negative commission": ({"validator_share": 5001, "commission": -1}, SHARES_RANGE),
    "more than all": ({"validator_share": 10_001, "owner_share": 0, "commission": -1}, SHARES_RANGE),
    "a rate of nothing": ({"storage_rates": ((TOKEN, 0),)}, RATE_RANGE),
    "a negative rate": ({"storage_rates": ((TOKEN, -1),)}, RATE_RANGE),
    "a rate of 2^64": ({"storage_rates": ((TOKEN, MAX_U64 + 1),)}, RATE_RANGE),
    "one rate of two": ({"storage_rates": ((ETHER, 5), (TOKEN, 0))}, RATE_RANGE),
    "an asset twice": ({"storage_rates": ((TOKEN, 5), (TOKEN, 5))}, RATES),
    "an asset twice, at two rates": ({"storage_rates": ((TOKEN, 5), (TOKEN, 6))}, RATES),
    "out of order": ({"storage_rates": ((TOKEN, 5), (ETHER, 5))}, RATES),
    "33 rates": ({"storage_rates": tuple((asset, 5) for asset in ASSETS)}, RATES),
}


@pytest.mark.parametrize("fields", SOUND.values(), ids=SOUND)
def test_markets_that_add_up(fields: dict[str, Any]) -> None:
    Market(**fields).check()


@pytest.mark.parametrize(("fields", "problem"), WRONG.values(), ids=WRONG)
def test_markets_that_do_not(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Market(**fields).check()


def test_storage_rates_are_by_asset() -> None:
    market = Market(storage_rates=((ETHER, 5), (TOKEN, 7)))
    assert [market.get_storage_rate(asset) for asset in (ETHER, TOKEN, UNLISTED)] == [5, 7, None]
    assert Market().get_storage_rate(ETHER) is None


def test_the_published_form_is_the_hashed_one() -> None:
    market = Market(5000, 4500, 500, ((ETHER, MAX_U64), (TOKEN, 7)))
    assert msgspec.structs.replace(PARAMETERS, market=market).to_json() == {
        "commission": "500",
        "deployedAt": "1800000000",
        "l1ChainId": "31337",
        "nativeAsset": "0x" + "00" * 20,
        "ownerShare": "4500",
        "protocol": "1",
        "settlement": "0x" + "5e" * 20,
        "storageRates": {"0x" + "00" * 20: str(MAX_U64), "0x" + "7e" * 20: "7"},
        "validatorShare": "5000",
    }
