"""Instructions' receipts, and proofs of the registry and of balances, against Ethereum."""

from typing import Any

import pytest
from msgspec.structs import replace

from chain import wire
from chain.account import decode_account_leaf, hash_account_leaf
from chain.commitment import hash_commitment
from chain.evidence import AccountProof
from chain.ledger import Ledger as Replay
from chain.merkle import SumTree
from chain.signatures import sign_digest
from client import verifier
from client.settlement import Ethereum
from client.verifier import Outcome, Report, Verdict, is_proof, verify_proof, verify_receipt
from tests.unit.client.market_scene import FILE, MART, OWNER, VALIDATOR, MarketScene, MarketServer
from tests.unit.client.scene import (
    BOB_KEY,
    CHALLENGE_PERIOD,
    DOMAIN,
    OPERATOR,
    PARAMETERS,
    SETTLEMENT,
    TOKEN,
    Contract,
    ProvenContract,
)
from tests.unit.client.test_verifier import alter, change, find_branches, find_leaves, get_failed

SCENE = MarketScene()
RECEIPT = SCENE.get_receipt(SCENE.listing)
FILE_PROOF = MarketServer(SCENE).tally_getFileProof(wire.encode_bytes(FILE), "latest")
ROLES_PROOF = MarketServer(SCENE).tally_getRolesProof(wire.encode_address(OWNER), "latest")


def make_account_proof() -> dict[str, Any]:
    """Of the validator in TOKEN, at the end of the sealed epoch, from a replay of everything."""
    replay, leaves = Replay(PARAMETERS), dict[int, bytes]()
    for asset in SCENE.replay.state.assets:
        replay.list_asset(asset)
    for commitment, _, _ in SCENE.sealed:
        for block, _ in SCENE.blocks[commitment.first_block - 1 : commitment.last_block]:
            replay.apply_block(block)
        for part in replay.cut(commitment.epoch, commitment.cut_at).changes:
            if part.asset == TOKEN:
                leaves |= dict(part.leaves)
    found = [decode_account_leaf(leaves[index]) for index in range(len(leaves))]
    nodes = [(hash_account_leaf(leaves[index]), found[index].closing) for index in range(len(leaves))]
    index = next(index for index, leaf in enumerate(found) if leaf.owner == VALIDATOR)
    commitment, signature, _ = SCENE.sealed[-1]
    return {
        "epoch": hex(commitment.epoch),
        "commitment": {"message": wire.encode_commitment(commitment), "signature": wire.encode_bytes(signature)},
        "assetIndex": "0x1",
        **wire.encode_account_proof(AccountProof(found[index], index, tuple(SumTree(nodes).prove(index)))),
    }


ACCOUNT_PROOF = make_account_proof()
PROOFS = {"file": FILE_PROOF, "roles": ROLES_PROOF, "account": ACCOUNT_PROOF}


def verify(form: Any, contract: Contract, **options: Any) -> Report:
    return verify_proof(form, Ethereum(contract), SETTLEMENT, **options)


class TestInstructions:
    def test_one_of_a_mined_epoch_is_committed(self) -> None:
        report = verify_receipt(RECEIPT, Ethereum(Contract(SCENE)))
        assert (report.verdict, get_failed(report), report.record_id) == (Verdict.COMMITTED, [], SCENE.listing.id)
        assert [step.name for step in report.steps] == [
            "receipt", "domain", "contract", "ledger", "instruction id", "account signature", "time", "block hash",
            "record path", "operator signature", "block path", "commitment", "transaction", "finality", "status",
        ]  # fmt: skip
        assert report.steps[0].detail == f"instruction {wire.encode_bytes(SCENE.listing.id)}"

    def test_it_is_proven_from_a_block_hash(self) -> None:
        contract = ProvenContract(SCENE)
        report = verify_receipt(RECEIPT, Ethereum(contract), l1_block=contract.block_hash)
        assert (report.verdict, get_failed(report)) == (Verdict.COMMITTED, [])

    @pytest.mark.parametrize("path", sorted(find_leaves(RECEIPT), key=str), ids=lambda path: ".".join(map(str, path)))
    def test_every_altered_value_fails(self, path: tuple[Any, ...]) -> None:
        value: Any = RECEIPT
        for name in path:
            value = value[name]
        report = verify_receipt(alter(RECEIPT, path, change(value)), Ethereum(Contract(SCENE)))
        assert report.verdict is Verdict.FAILED, f"{path} was altered and nothing noticed"

    @pytest.mark.parametrize("value", [None, 7, {}, [], "0x"], ids=repr)
    def test_what_is_no_instruction_fails(self, value: Any) -> None:
        for path in [("instruction",), *[("instruction", name) for name in RECEIPT["instruction"]]]:
            if path == ("instruction", "tags") and value == []:
                continue
            report = verify_receipt(alter(RECEIPT, path, value), Ethereum(Contract(SCENE)))
            assert report.verdict is Verdict.FAILED

    def test_an_instruction_is_no_payment_of_the_same_id(self) -> None:
        """The record's type is in the tree, so one cannot be shown in the other's place."""
        upload = SCENE.get_receipt(SCENE.upload)
        mixed = {**RECEIPT, "payment": upload["payment"]}
        del mixed["instruction"]
        report = verify_receipt(mixed, Ethereum(Contract(SCENE)))
        assert get_failed(report) == ["payment id", "record path"]


class TestProofs:
    @pytest.mark.parametrize("name", PROOFS)
    def test_what_ethereum_has_is_committed_and_then_final(self, name: str) -> None:
        form = PROOFS[name]
        report = verify(form, Contract(SCENE))
        assert (report.verdict, get_failed(report)) == (Verdict.COMMITTED, [])
        assert (report.epoch, report.operator, report.record_id) == (3, OPERATOR, None)
        assert (report.settlement, report.is_pinned) == (SETTLEMENT, True)
        assert report.cut_at == SCENE.sealed[-1][0].cut_at
        assert verify(form, Contract(SCENE, final_epoch=3)).verdict is Verdict.FINAL
        end = SCENE.sealed[-1][2] + CHALLENGE_PERIOD
        assert verify(form, Contract(SCENE, now=end)).verdict is Verdict.COMMITTED
        assert verify(form, Contract(SCENE, now=end + 1)).verdict is Verdict.FINAL
        assert verify({"jsonrpc": "2.0", "id": 1, "result": form}, Contract(SCENE)).verdict is Verdict.COMMITTED

    @pytest.mark.parametrize("name", PROOFS)
    def test_one_of_an_epoch_that_is_not_mined_is_the_operator_s_word(self, name: str) -> None:
        contract = Contract(SCENE)
        contract.commitments.pop()
        report = verify(PROOFS[name], contract)
        assert (report.verdict, get_failed(report)) == (Verdict.ACCEPTED, [])
        assert [step.name for step in report.steps if step.outcome is Outcome.SKIPPED] == ["commitment"]

    @pytest.mark.parametrize("name", PROOFS)
    def test_it_is_proven_from_a_block_hash(self, name: str) -> None:
        contract = ProvenContract(SCENE)
        report = verify(PROOFS[name], contract, l1_block=contract.block_hash)
        assert (report.verdict, get_failed(report)) == (Verdict.COMMITTED, [])
        assert "eth_call" not in contract.asked

    def test_each_names_its_steps(self) -> None:
        named = {name: [step.name for step in verify(form, Contract(SCENE)).steps] for name, form in PROOFS.items()}
        assert named["file"] == named["roles"] == [
            "proof", "contract", "ledger", "registry path", "seal", "commitment", "finality",
        ]  # fmt: skip
        assert named["account"] == [
            "proof", "contract", "ledger", "leaf", "state path", "seal", "commitment", "finality",
        ]  # fmt: skip
        assert verify(FILE_PROOF, Contract(SCENE)).steps[0].detail.startswith(f"file {wire.encode_bytes(FILE)}")
        assert wire.encode_address(OWNER) in verify(ROLES_PROOF, Contract(SCENE)).steps[0].detail

    @pytest.mark.parametrize(
        ("name", "path"),
        [(name, path) for name, form in PROOFS.items() for path in sorted(find_leaves(form), key=str)],
        ids=lambda value: value if isinstance(value, str) else ".".join(map(str, value)),
    )
    def test_every_altered_value_fails(self, name: str, path: tuple[Any, ...]) -> None:
        value: Any = PROOFS[name]
        for part in path:
            value = value[part]
        if name == "account" and path in (("assetIndex",), ("leaf", "closing")):
            return  # they follow from the rest, and are not read
        altered = not value if isinstance(value, bool) else "0x" + "11" * 20 if value is None else change(value)
        report = verify(alter(PROOFS[name], path, altered), Contract(SCENE))
        assert report.verdict is Verdict.FAILED, f"{path} was altered and nothing noticed"

    @pytest.mark.parametrize("name", PROOFS)
    @pytest.mark.parametrize("value", [None, 7, -1, [], {}, "", "0x" + "f" * 64], ids=repr)
    def test_every_value_of_another_type_is_answered_with_a_verdict(self, name: str, value: Any) -> None:
        form = PROOFS[name]
        for path in [*find_leaves(form), *find_branches(form)]:
            report = verify(alter(form, path, value), Contract(SCENE))
            assert report.verdict in (Verdict.FAILED, Verdict.COMMITTED)
            place: Any = form
            for part in path:
                place = place[part]
            if report.verdict is Verdict.COMMITTED:
                assert place == value or path in (("assetIndex",), ("leaf", "closing"))

    @pytest.mark.parametrize("form", [None, 1, "text", [], {}, {"entry": {}}, {"leaf": 1, "siblings": []}], ids=repr)
    def test_what_is_no_proof_fails(self, form: Any) -> None:
        assert get_failed(verify(form, Contract(SCENE))) == ["proof"]

    def test_a_proof_of_one_does_not_serve_another(self) -> None:
        other = MarketServer(SCENE).tally_getRolesProof(wire.encode_address(MART), "latest")
        mixed = {**ROLES_PROOF, "entry": other["entry"]}
        assert get_failed(verify(mixed, Contract(SCENE))) == ["registry path"]

    def test_a_commitment_that_somebody_else_signed_fails(self) -> None:
        signature = sign_digest(BOB_KEY, hash_commitment(SCENE.sealed[-1][0], DOMAIN))
        form = alter(FILE_PROOF, ("commitment", "signature"), wire.encode_bytes(signature))
        assert get_failed(verify(form, Contract(SCENE))) == ["seal"]

    def test_a_commitment_that_the_operator_signed_and_the_contract_does_not_have_fails(self) -> None:
        """Two commitments for one epoch, both signed: only one of them is on Ethereum."""
        commitment, signature, included_at = SCENE.sealed[-1]
        contract = Contract(SCENE)
        contract.commitments[-1] = (replace(commitment, cut_at=commitment.cut_at - 1), signature, included_at)
        assert get_failed(verify(FILE_PROOF, contract)) == ["commitment"]

    def test_another_contract_or_chain_fails(self) -> None:
        report = verify_proof(FILE_PROOF, Ethereum(Contract(SCENE)), b"\x0b" * 20)
        assert get_failed(report) == ["contract"]
        contract = Contract(SCENE)
        contract.chain_id = 1
        assert {"ledger", "seal", "commitment"} <= set(get_failed(verify(FILE_PROOF, contract)))

    def test_the_search_for_the_time_of_inclusion_is_bounded(self) -> None:
        contract = Contract(SCENE, now=2**62)
        contract.commitments[-1] = (*SCENE.sealed[-1][:2], 2**40)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(verifier, "_LONGEST_SEARCH_S", 100)
            assert get_failed(verify(FILE_PROOF, contract)) == ["commitment"]


def test_proofs_and_receipts_are_told_apart() -> None:
    for form in PROOFS.values():
        assert is_proof(form) and is_proof({"jsonrpc": "2.0", "id": 1, "result": form})
    for other in (RECEIPT, SCENE.get_receipt(SCENE.upload), None, [], {}, {"receipt": RECEIPT}):
        assert not is_proof(other)
