"""The committed artifacts: what the rest of the project reads of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from eth_abi import encode
from eth_utils import keccak

from contracts import ARTIFACTS, compute_commit_gas, load_artifact, load_gas, load_standard_input
from contracts.build import COMPILER_VERSION, NODE_MODULES, SETTINGS, SOURCES, normalise_layout, resolve
from tests.contracts import reference
from tests.contracts.ledger import Ledger

# Every signature that node and client call or follow. The ABI may grow; these stay.
FUNCTIONS = [
    "deposit(address,address,uint128)",
    "depositWithPermit(address,address,uint128,uint256,uint8,bytes32,bytes32)",
    "depositEther(address)",
    "listAsset(address)",
    "commit(COMMITMENT,COMMITMENT,bytes)",
    "advanceFinalEpoch(bytes32,uint64)",
    "claimWithdrawal(COMMITMENT,uint64,uint256,uint64,bytes32,address,uint128,(bytes32,uint128)[])",
    "ledgerChainId()",
    "domainSeparator()",
    "operator()",
    "coldKey()",
    "listingKey()",
    "nativeAsset()",
    "challengePeriod()",
    "answerPeriod()",
    "followUp()",
    "minInterval()",
    "maxSilence()",
    "listingDelay()",
    "deployedAt()",
    "head()",
    "commitmentHash(uint64)",
    "assetCount()",
    "assetAt(uint256)",
    "depositCount(address)",
    "depositAt(address,uint64)",
    "held(address)",
    "isClaimed(uint64,address,uint64)",
]
EVENTS = [
    "Deposited(address,uint64,address,address,uint128)",
    "Committed(uint64,bytes32,uint64,COMMITMENT,bytes)",
    "AssetListed(address,uint256,uint64)",
    "FinalEpochAdvanced(uint64)",
    "WithdrawalClaimed(uint64,address,uint64,bytes32,address,uint128)",
]
LINE = "(address,bytes32,uint128,uint64,uint64,uint64,bytes32,uint64,uint128)"
COMMITMENT = f"(uint64,bytes32,uint64,uint64,uint64,bytes32,bytes32,{LINE}[])"


def collapse(type_: dict[str, object]) -> str:
    name = str(type_["type"])
    if not name.startswith("tuple"):
        return name
    members = ",".join(collapse(member) for member in type_["components"])  # type: ignore[attr-defined]
    return f"({members}){name.removeprefix('tuple')}"


@pytest.mark.parametrize(("kind", "expected"), [("function", FUNCTIONS), ("event", EVENTS)])
def test_the_interface_is_exactly_this(kind: str, expected: list[str]) -> None:
    abi = load_artifact("Settlement").abi
    given = {
        f"{entry['name']}({','.join(collapse(item) for item in entry['inputs'])})"
        for entry in abi
        if entry["type"] == kind
    }
    assert given == {signature.replace("COMMITMENT", COMMITMENT) for signature in expected}


def test_artifacts_say_how_they_were_made() -> None:
    for name in find_names():
        artifact = load_artifact(name)
        assert artifact.name == name
        assert artifact.compiler["version"].startswith(f"{COMPILER_VERSION}+commit.")
        assert artifact.compiler["settings"] == SETTINGS
        assert artifact.bytecode and artifact.deployed_bytecode
    with pytest.raises(FileNotFoundError):
        load_artifact("Nonsense")


def test_every_contract_of_the_sources_is_there() -> None:
    names = set()
    for path in SOURCES.rglob("*.sol"):
        names |= set(re.findall(r"^contract (\w+)", path.read_text(), re.MULTILINE))
    assert names == find_names()


def test_the_source_to_publish_is_all_that_the_contract_is_made_of_and_nothing_else() -> None:
    """`make check-contracts` compiles just this, and compares."""
    given = load_standard_input("Settlement")
    for name, source in given["sources"].items():
        ours = SOURCES.parent / name
        path = ours if name.startswith("src/") else NODE_MODULES / name
        assert source == {"content": path.read_text()}
        assert "SPDX-License-Identifier: " in source["content"]
        assert name.startswith(("src/", "@openzeppelin/contracts/")) and not name.startswith("src/test/")
    assert {"src/Settlement.sol", "@openzeppelin/contracts/utils/math/Math.sol"} <= given["sources"].keys()
    assert given["language"] == "Solidity"
    settings = {key: value for key, value in given["settings"].items() if key != "outputSelection"}
    assert settings == load_artifact("Settlement").compiler["settings"]
    with pytest.raises(FileNotFoundError):
        load_standard_input("TestToken")


def test_immutables_are_named_and_their_places_empty() -> None:
    artifact = load_artifact("Settlement")
    declared = set(re.findall(r"immutable override (\w+);", (SOURCES / "Settlement.sol").read_text()))
    assert artifact.immutables.keys() == declared
    for places in artifact.immutables.values():
        assert places
        for place in places:
            assert artifact.deployed_bytecode[place : place + 32] == bytes(32)
            assert artifact.deployed_bytecode[place - 1] == 0x7F  # PUSH32


@pytest.mark.parametrize("asset_count", [1, 2, 3, 4, 9, 32])
def test_a_commitment_costs_what_was_measured_or_lies_on_the_line_between(asset_count: int) -> None:
    measured = {1: "commit, 1 asset", 2: "commit, 2 assets", 4: "commit, 4 assets"}
    gas = compute_commit_gas(asset_count)
    if asset_count in measured:
        assert gas == load_gas()[measured[asset_count]]
    else:
        slope = (compute_commit_gas(4) - compute_commit_gas(2)) / 2
        assert abs(gas - (compute_commit_gas(2) + slope * (asset_count - 2))) <= 1


def find_names() -> set[str]:
    return {path.stem for path in ARTIFACTS.glob("*.json") if not path.stem.endswith(".input")}


def test_artifacts_name_no_place_on_a_machine() -> None:
    for path in ARTIFACTS.glob("*.json"):
        assert str(Path.home()) not in path.read_text() or str(Path.home()) == "/"
        assert "node_modules" not in path.read_text()


def test_storage_is_found_by_its_labels(final: Ledger) -> None:
    """What a client proves by eth_getProof: the slot of a commitment's hash, and the head."""
    artifact, address = load_artifact("Settlement"), final.settlement.address
    slot = keccak(encode(["uint64", "uint256"], [1, artifact.get_slot("commitmentHash")]))
    stored = final.evm.web3.eth.get_storage_at(address, int.from_bytes(slot, "big"))
    included = final.included[0]
    assert stored == reference.commitment_hash(included.digest, included.included_at)

    word = int.from_bytes(final.evm.web3.eth.get_storage_at(address, artifact.get_slot("_head")), "big")
    (members,) = (
        type_["members"]
        for type_ in artifact.storage_layout["types"].values()
        if type_["label"] == "struct Settlement.Head"
    )
    sizes = {key: int(type_["numberOfBytes"]) for key, type_ in artifact.storage_layout["types"].items()}
    values = {
        member["label"]: word >> 8 * member["offset"] & (1 << 8 * sizes[member["type"]]) - 1 for member in members
    }
    assert values == {
        "epoch": 1,
        "includedAt": included.included_at,
        "finalEpoch": 1,
        "firstDepositAt": final.functions.depositAt(reference.ETHER, 0).call()[3] - 1,
        "assetCount": 2,
    }
    with pytest.raises(KeyError):
        artifact.get_slot("nonsense")


def test_layouts_lose_the_numbers_of_syntax_trees() -> None:
    layout = {
        "storage": [
            {"astId": 7, "contract": "src/A.sol:A", "label": "a", "type": "t_mapping(t_uint64,t_struct(B)12_storage)"}
        ],
        "types": {"t_struct(B)12_storage": {"members": [{"astId": 9, "label": "c"}]}},
    }
    assert normalise_layout(layout) == {
        "storage": [{"label": "a", "type": "t_mapping(t_uint64,t_struct(B)_storage)"}],
        "types": {"t_struct(B)_storage": {"members": [{"label": "c"}]}},
    }


@pytest.mark.parametrize(
    ("importer", "imported", "unit"),
    [
        ("src/Settlement.sol", "./libraries/A.sol", "src/libraries/A.sol"),
        ("src/test/B.sol", "../interfaces/I.sol", "src/interfaces/I.sol"),
        ("src/test/B.sol", "@openzeppelin/contracts/C.sol", "@openzeppelin/contracts/C.sol"),
        ("@openzeppelin/contracts/utils/D.sol", "../E.sol", "@openzeppelin/contracts/E.sol"),
    ],
)
def test_imports_are_resolved_as_the_compiler_does(importer: str, imported: str, unit: str) -> None:
    assert resolve(importer, imported) == unit
