"""The Solidity libraries against the vectors that every implementation reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account
from eth_utils import to_checksum_address
from web3.contract import Contract

from tests.contracts.evm import Evm, Refused
from tests.vectors import Case, load_cases, to_bytes


class Libraries:
    """The harness contract, called with what JSON holds: `0x` hex and decimal strings."""

    def __init__(self, evm: Evm) -> None:
        self.evm = evm
        self.harness: Contract = evm.deploy("VectorHarness")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            abi = self.harness.get_function_by_name(name).abi
            values = [to_abi(type_, value) for type_, value in zip(abi["inputs"], arguments, strict=True)]
            return self.evm.call(getattr(self.harness.functions, name)(*values))

        return call


def to_abi(type_: dict[str, Any], value: Any) -> Any:
    """A value of a vector as the ABI wants it. Members of structs are found by name."""
    name = type_["type"]
    if name.endswith("[]"):
        return [to_abi({**type_, "type": name[:-2]}, item) for item in value]
    if name == "tuple":
        return tuple(to_abi(member, value[member["name"].rstrip("_")]) for member in type_["components"])
    if name.startswith("uint"):
        return int(value)
    if name.startswith("bytes") and isinstance(value, str):
        return to_bytes(value)
    if name == "address":
        return to_checksum_address(value)
    return value


def to_hex(value: bytes) -> str:
    return "0x" + bytes(value).hex()


@pytest.fixture(scope="module")
def libraries() -> Libraries:
    return Libraries(Evm())


def test_list_trees(libraries: Libraries) -> None:
    for case in load_cases("list_tree"):
        assert case.want is not None
        assert [to_hex(libraries.listLeaf(item)) for item in case.input["items"]] == case.want["leaves"], case.desc


@pytest.mark.parametrize("layout", ["list_proof", "sum_proof"])
def test_proofs(libraries: Libraries, layout: str) -> None:
    for case in load_cases(layout):
        shape = case.input["index"], case.input["count"], case.input["siblings"]
        if layout == "list_proof":
            leaf = to_hex(libraries.listLeaf(case.input["item"]))
            outcome = decide(lambda leaf=leaf, shape=shape: to_hex(libraries.listRoot(leaf, *shape)), case)
        else:
            outcome = decide(
                lambda case=case, shape=shape: to_node(libraries.sumRoot(case.input["leaf"], *shape)), case
            )
        assert outcome == case.error, case.desc


def decide(compute_root: Callable[[], Any], case: Case) -> str | None:
    """The ledger's name for how a proof fails, if it does."""
    try:
        root = compute_root()
    except Refused as refusal:
        return to_snake_case(refusal.name)
    return None if root == case.input["root"] else "root_mismatch"


def to_node(node: tuple[bytes, int]) -> dict[str, str]:
    return {"hash": to_hex(node[0]), "sum": str(node[1])}


def to_snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("_")


def test_withdrawal_claims(libraries: Libraries) -> None:
    for case in load_cases("withdrawal_claim"):
        claim, lines = case.input["claim"], case.input["commitment"]["assets"]
        matching = [line for line in lines if line["asset"] == claim["asset"]]
        if not matching:
            assert case.error == "asset_not_in_commitment"
            continue
        (line,) = matching
        leaf = libraries.withdrawalLeaf(claim["id"], claim["recipient"], claim["amount"])
        node = {"hash": to_hex(leaf), "sum": claim["amount"]}
        shape = claim["index"], line["withdrawalCount"], claim["siblings"]
        try:
            root = to_node(libraries.sumRoot(node, *shape))
        except Refused as refusal:
            outcome: str | None = to_snake_case(refusal.name)
        else:
            committed = {"hash": line["withdrawalsRoot"], "sum": line["withdrawn"]}
            outcome = None if root == committed else "root_mismatch"
        assert outcome == case.error, case.desc


def test_signatures(libraries: Libraries) -> None:
    for case in load_cases("signature"):
        try:
            libraries.checkSigner(case.input["digest"], case.input["signature"], case.input["signer"])
        except Refused as refusal:
            assert case.error == to_snake_case(refusal.name), case.desc
        else:
            assert case.error is None, case.desc


@pytest.mark.parametrize(
    ("layout", "message", "function", "wanted"),
    [
        ("payment", "payment", "paymentDigest", "id"),
        ("header", "header", "blockDigest", "hash"),
        ("commitment", "commitment", "commitmentDigest", "digest"),
    ],
)
def test_typed_data(libraries: Libraries, layout: str, message: str, function: str, wanted: str) -> None:
    for case in load_cases(layout):
        if case.want is None:
            continue  # refused for what it says, which is none of the contract's business
        domain = case.input["domain"]
        separator = to_hex(libraries.domainSeparator(domain["chainId"], domain["verifyingContract"]))
        digest = to_hex(getattr(libraries, function)(separator, case.input[message]))
        assert digest == case.want[wanted], case.desc
        signer = Account.from_key(case.input["privateKey"]).address
        assert libraries.recover(digest, case.want["signature"]) == signer


@pytest.mark.parametrize(
    ("layout", "function", "members", "wanted"),
    [
        ("domain", "ledgerChainId", "l1ChainId settlement", "ledgerChainId"),
        ("debit", "debitLeaf", "type number id amount", "hash"),
        ("credit", "creditLeaf", "block record output type id amount", "hash"),
        ("withdrawal", "withdrawalLeaf", "id recipient amount", "hash"),
        ("request_id", "requestId", "type asset index", "id"),
        ("stored_hash", "commitmentHash", "digest includedAt", "hash"),
    ],
)
def test_layouts(libraries: Libraries, layout: str, function: str, members: str, wanted: str) -> None:
    for case in load_cases(layout):
        assert case.want is not None
        result = getattr(libraries, function)(*(case.input[member] for member in members.split()))
        assert (str(result) if isinstance(result, int) else to_hex(result)) == case.want[wanted], case.desc


def test_domains(libraries: Libraries) -> None:
    for case in load_cases("domain"):
        assert case.want is not None
        separator = libraries.domainSeparator(case.want["ledgerChainId"], case.input["settlement"])
        assert to_hex(separator) == case.want["domainSeparator"], case.desc


def test_account_leaves(libraries: Libraries) -> None:
    for case in load_cases("account_leaf"):
        assert case.want is not None
        assert to_hex(libraries.accountLeaf(case.input)) == case.want["hash"], case.desc
