"""What a deployment fixes. The bytes are vectors."""

import msgspec

from chain.params import Domain, compute_ledger_chain_id
from chain.wire import MAX_JSON_INTEGER
from tests.unit.chain.actors import DOMAIN, PARAMETERS, TOKEN


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
    assert len({other.genesis_hash for other in others}) == 5


def test_domains_differ_by_chain_and_contract() -> None:
    separators = {Domain.of(chain, contract).separator for chain in (1, 2) for contract in (TOKEN, b"\x01" * 20)}
    assert len(separators) == 4
    assert DOMAIN.prefix == b"\x19\x01" + DOMAIN.separator
    assert PARAMETERS.first_cut_at == PARAMETERS.deployed_at * 1000
