"""Deployment and listing: what is fixed for ever, and the one thing the listing key can do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts import reference
from tests.contracts.evm import Evm, get_events, refused
from tests.contracts.ledger import COLD_KEY, LISTING_DELAY, MAX_SILENCE, OPERATOR, STRANGER, Ledger, Parameters
from tests.contracts.reference import ETHER, ZERO_ADDRESS

GOOD = Parameters(OPERATOR.address, COLD_KEY.address, STRANGER.address)


def test_deployment_fixes_its_parameters(evm: Evm) -> None:
    parameters = GOOD._replace(native_asset=STRANGER.address, answer_period=11, follow_up=12, listing_delay=13)
    functions = evm.deploy("Settlement", parameters, []).functions
    names = ["operator", "coldKey", "listingKey", "nativeAsset", "challengePeriod", "answerPeriod", "followUp"]
    names += ["minInterval", "maxSilence", "listingDelay"]
    assert tuple(getattr(functions, name)().call() for name in names) == tuple(parameters)
    assert functions.deployedAt().call() == evm.now
    assert functions.head().call() == [0, 0, 0]
    assert functions.commitmentHash(0).call() == functions.commitmentHash(1).call() == reference.ZERO_HASH
    assert functions.assetCount().call() == 0


def test_every_deployment_has_its_own_domain(evm: Evm) -> None:
    chain_id = evm.web3.eth.chain_id
    seen = set()
    for _ in range(2):
        settlement = evm.deploy("Settlement", GOOD, [])
        ledger_chain_id = settlement.functions.ledgerChainId().call()
        assert ledger_chain_id == reference.ledger_chain_id(chain_id, settlement.address)
        assert 2**40 <= ledger_chain_id < 2**41
        domain = reference.Domain(ledger_chain_id, settlement.address)
        assert settlement.functions.domainSeparator().call() == domain.separator
        seen.add(domain.separator)
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"operator": ZERO_ADDRESS}, ("ZeroAddress",)),
        ({"cold_key": ZERO_ADDRESS}, ("ZeroAddress",)),
        ({"listing_key": ZERO_ADDRESS}, ("ZeroAddress",)),
        ({"cold_key": GOOD.operator}, ("KeysNotApart",)),
        ({"listing_key": GOOD.operator}, ("KeysNotApart",)),
        ({"listing_key": GOOD.cold_key}, ("KeysNotApart",)),
        ({"challenge_period": 0}, ("ZeroPeriod",)),
        ({"max_silence": 0, "min_interval": 0}, ("ZeroPeriod",)),
        ({"min_interval": 26, "max_silence": 103}, ("MinIntervalTooLong", 26, 103)),
        ({"min_interval": 2**64 - 1, "max_silence": 2**64 - 1}, ("MinIntervalTooLong", 2**64 - 1, 2**64 - 1)),
    ],
)
def test_deployment_refuses(evm: Evm, changes: dict[str, Any], error: tuple[Any, ...]) -> None:
    with refused(*error):
        evm.deploy("Settlement", GOOD._replace(**changes), [])


def test_four_cuts_fit_into_the_longest_silence(evm: Evm) -> None:
    evm.deploy("Settlement", GOOD._replace(min_interval=26, max_silence=104), [])


def test_assets_of_the_constructor_are_in_force_at_once(ledger: Ledger) -> None:
    deployed_at = ledger.functions.deployedAt().call()
    assert ledger.functions.assetCount().call() == 2
    assert ledger.functions.assetAt(0).call() == [ETHER, deployed_at]
    assert ledger.functions.assetAt(1).call() == [ledger.token.address, deployed_at]
    with refused("AssetIndexOutOfRange", 2, 2):
        ledger.evm.call(ledger.functions.assetAt(2))


def test_constructor_refuses_what_listing_refuses(evm: Evm) -> None:
    token = evm.deploy("TestToken").address
    with refused("AssetAlreadyListed", token):
        evm.deploy("Settlement", GOOD, [token, token])
    with refused("AssetAlreadyListed", ETHER):
        evm.deploy("Settlement", GOOD, [ETHER, ETHER])
    with refused("NotAToken", STRANGER.address):
        evm.deploy("Settlement", GOOD, [STRANGER.address])


def test_listing_takes_force_after_its_delay(ledger: Ledger, evm: Evm) -> None:
    token = evm.deploy("TestToken").address
    receipt = evm.send(ledger.functions.listAsset(token), ledger.listing_key)
    listed_at = evm.now + LISTING_DELAY
    assert get_events(ledger.settlement, "AssetListed", receipt) == [
        {"asset": token, "index": 2, "listedAt": listed_at}
    ]
    assert ledger.functions.assetAt(2).call() == [token, listed_at]


@pytest.mark.parametrize("key", ["operator", "cold key", "user"])
def test_only_the_listing_key_lists(ledger: Ledger, evm: Evm, key: str) -> None:
    sender = {"operator": OPERATOR.address, "cold key": COLD_KEY.address, "user": ledger.users[0]}[key]
    with refused("NotListingKey", sender):
        evm.call(ledger.functions.listAsset(evm.deploy("TestToken").address), sender)


def test_an_asset_is_listed_once(ledger: Ledger, evm: Evm) -> None:
    for asset in (ETHER, ledger.token.address):
        with refused("AssetAlreadyListed", asset):
            evm.call(ledger.functions.listAsset(asset), ledger.listing_key)


def test_an_address_without_code_is_no_token(ledger: Ledger, evm: Evm) -> None:
    with refused("NotAToken", STRANGER.address):
        evm.call(ledger.functions.listAsset(STRANGER.address), ledger.listing_key)


def test_there_are_at_most_32_assets_and_all_of_them_can_be_committed(evm: Evm) -> None:
    tokens = [evm.deploy("SilentToken").address for _ in range(32)]
    parameters = Parameters(OPERATOR.address, COLD_KEY.address, evm.accounts[1])
    settlement = evm.deploy("Settlement", parameters, tokens)
    ledger = Ledger(evm, settlement, evm.deploy("TestToken"))
    with refused("TooManyAssets", 32):
        evm.call(settlement.functions.listAsset(ledger.token.address), ledger.listing_key)

    evm.travel(evm.now + MAX_SILENCE // 2)
    ledger.commit()
    ledger.wait()
    assert ledger.commit()["gasUsed"] < 600_000
