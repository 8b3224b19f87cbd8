"""A receipt against Ethereum: what holds is said to hold as far as it does, and nothing else is."""

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from chain import wire
from chain.signatures import sign_digest
from client.errors import BadReply, RpcError
from client.settlement import Ethereum
from client.verifier import Outcome, Report, Verdict, verify_receipt
from tests.unit.client.scene import (
    ALICE,
    BOB,
    BOB_KEY,
    CHALLENGE_PERIOD,
    DOMAIN,
    OPERATOR,
    SETTLEMENT,
    Contract,
    ProvenContract,
    Scene,
)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


@pytest.fixture(scope="module")
def proven(scene: Scene) -> ProvenContract:
    return ProvenContract(scene)


def verify(form: Any, contract: Contract, **options: Any) -> Report:
    return verify_receipt(form, Ethereum(contract), **options)


def get_failed(report: Report) -> list[str]:
    return [step.name for step in report.steps if step.outcome is Outcome.FAILED]


class TestVerdicts:
    def test_a_payment_of_the_open_epoch_is_accepted(self, scene: Scene) -> None:
        report = verify(scene.get_receipt(scene.last), Contract(scene))
        assert report.verdict is Verdict.ACCEPTED
        assert get_failed(report) == []
        assert report.record_id == scene.last.id
        assert report.operator == OPERATOR
        assert report.epoch is None

    @pytest.mark.parametrize("name", ["first", "second", "withdrawal"])
    def test_a_payment_of_a_mined_epoch_is_committed(self, scene: Scene, name: str) -> None:
        report = verify(scene.get_receipt(getattr(scene, name)), Contract(scene))
        assert (report.verdict, get_failed(report)) == (Verdict.COMMITTED, [])

    def test_it_is_final_by_the_pointer(self, scene: Scene) -> None:
        report = verify(scene.get_receipt(scene.first), Contract(scene, final_epoch=1))
        assert report.verdict is Verdict.FINAL

    def test_it_is_final_once_the_window_is_over_by_l1_time(self, scene: Scene) -> None:
        end = scene.sealed[0][2] + CHALLENGE_PERIOD
        form = scene.get_receipt(scene.first)
        assert verify(form, Contract(scene, now=end)).verdict is Verdict.COMMITTED
        assert verify(form, Contract(scene, now=end + 1)).verdict is Verdict.FINAL

    def test_the_json_rpc_reply_and_the_payment_proof_are_taken_as_they_came(self, scene: Scene) -> None:
        form = scene.get_receipt(scene.first)
        assert verify({"jsonrpc": "2.0", "id": 1, "result": form}, Contract(scene)).verdict is Verdict.COMMITTED
        proof = {"receipt": form, "withdrawal": None, "assetIndex": None}
        assert verify(proof, Contract(scene)).verdict is Verdict.COMMITTED

    def test_a_void_payment_fails(self, scene: Scene) -> None:
        report = verify(scene.get_receipt(scene.first, "void"), Contract(scene))
        assert (report.verdict, get_failed(report)) == (Verdict.FAILED, ["status"])

    def test_a_status_may_lag_behind_ethereum_but_not_run_ahead(self, scene: Scene) -> None:
        form = scene.get_receipt(scene.first, "committed")
        assert verify(form, Contract(scene, final_epoch=1)).verdict is Verdict.FINAL
        report = verify(scene.get_receipt(scene.first, "final"), Contract(scene))
        assert get_failed(report) == ["status"]


class TestWhichContract:
    def test_the_receipt_names_it_unless_it_is_pinned(self, scene: Scene) -> None:
        form = scene.get_receipt(scene.first)
        named, pinned = verify(form, Contract(scene)), verify(form, Contract(scene), settlement=SETTLEMENT)
        assert (named.settlement, named.is_pinned) == (SETTLEMENT, False)
        assert (pinned.settlement, pinned.is_pinned, pinned.verdict) == (SETTLEMENT, True, Verdict.COMMITTED)

    def test_a_receipt_of_another_contract_than_the_pinned_one_fails(self, scene: Scene) -> None:
        contract = Contract(scene)
        contract.address = b"\x0a" * 20
        report = verify(scene.get_receipt(scene.first), contract, settlement=contract.address)
        assert report.verdict is Verdict.FAILED
        assert "ledger" in get_failed(report)

    def test_no_contract_at_the_address_fails(self, scene: Scene) -> None:
        report = verify(scene.get_receipt(scene.first), Contract(scene), settlement=b"\x0b" * 20)
        assert get_failed(report) == ["contract"]

    def test_another_l1_chain_fails(self, scene: Scene) -> None:
        contract = Contract(scene)
        contract.chain_id = 1
        assert "ledger" in get_failed(verify(scene.get_receipt(scene.first), contract))

    def test_another_operator_fails(self, scene: Scene) -> None:
        contract = Contract(scene)
        contract.operator = BOB
        assert get_failed(verify(scene.get_receipt(scene.first), contract)) == ["operator signature"]

    def test_an_epoch_that_the_contract_does_not_have_fails(self, scene: Scene) -> None:
        contract = Contract(scene)
        contract.commitments = contract.commitments[:1]
        assert "commitment" in get_failed(verify(scene.get_receipt(scene.withdrawal), contract))

    def test_an_endpoint_that_does_not_answer_is_no_verdict(self, scene: Scene) -> None:
        class Failing(Contract):
            def eth_getBlockByNumber(self, tag: str, full: bool) -> Any:
                raise RpcError(-32000, "internal error")

        with pytest.raises(RpcError):
            verify(scene.get_receipt(scene.first), Failing(scene))


def find_branches(form: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all objects and lists within a JSON document."""
    if isinstance(form, dict | list):
        if path:
            yield path
        for name, value in form.items() if isinstance(form, dict) else enumerate(form):
            yield from find_branches(value, (*path, name))


def find_leaves(form: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a JSON document."""
    if isinstance(form, dict):
        for name, value in form.items():
            yield from find_leaves(value, (*path, name))
    elif isinstance(form, list):
        for place, value in enumerate(form):
            yield from find_leaves(value, (*path, place))
    else:
        yield path


def alter(form: Any, path: tuple[Any, ...], value: Any) -> Any:
    altered = copy.deepcopy(form)
    place = altered
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return altered


def change(value: str) -> str:
    """Another value of the same form."""
    if not value.startswith("0x"):
        return value + "x"
    last = int(value[-1], 16)
    return value[:-1] + f"{last ^ 1:x}"


PATHS = sorted(find_leaves(Scene().get_receipt(Scene().first)), key=str)
BRANCHES = sorted(find_branches(Scene().get_receipt(Scene().first)), key=str)


class TestTampering:
    @pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
    def test_every_altered_value_fails(self, scene: Scene, path: tuple[Any, ...]) -> None:
        form = scene.get_receipt(scene.first)
        value: Any = form
        for name in path:
            value = value[name]
        report = verify(alter(form, path, change(value)), Contract(scene))
        assert report.verdict is Verdict.FAILED, f"{path} was altered and nothing noticed"
        assert get_failed(report)

    @pytest.mark.parametrize("path", PATHS + BRANCHES, ids=lambda path: ".".join(map(str, path)))
    @pytest.mark.parametrize("value", [None, 7, -1, 1.5, [], {}, "", "0x", "0x" + "f" * 64], ids=repr)
    def test_every_value_of_another_type_is_answered_with_a_verdict(
        self, scene: Scene, path: tuple[Any, ...], value: Any
    ) -> None:
        report = verify(alter(scene.get_receipt(scene.first), path, value), Contract(scene))
        assert report.verdict is Verdict.FAILED

    @pytest.mark.parametrize("name", ["id", "domain", "payment", "signature", "block", "index", "siblings", "status"])
    def test_every_missing_member_fails(self, scene: Scene, name: str) -> None:
        form = scene.get_receipt(scene.first)
        del form[name]
        assert verify(form, Contract(scene)).verdict is Verdict.FAILED

    @pytest.mark.parametrize("form", [None, 1, "text", [], {}, {"result": 1, "jsonrpc": "2.0"}], ids=repr)
    def test_what_is_no_receipt_fails(self, scene: Scene, form: Any) -> None:
        assert get_failed(verify(form, Contract(scene))) == ["receipt"]

    def test_a_signature_of_somebody_else_fails_for_payer_and_operator(self, scene: Scene) -> None:
        form = scene.get_receipt(scene.first)
        other = wire.encode_bytes(sign_digest(BOB_KEY, scene.first.id))
        assert get_failed(verify(alter(form, ("signature",), other), Contract(scene))) == ["payer signature"]
        stated = bytes.fromhex(form["block"]["hash"][2:])
        other = wire.encode_bytes(sign_digest(BOB_KEY, stated))
        report = verify(alter(form, ("block", "signature"), other), Contract(scene))
        assert get_failed(report) == ["operator signature"]

    def test_the_receipt_of_one_payment_does_not_serve_another(self, scene: Scene) -> None:
        form, other = scene.get_receipt(scene.first), scene.get_receipt(scene.second)
        mixed = {**form, **{name: other[name] for name in ("id", "payment", "signature")}}
        assert get_failed(verify(mixed, Contract(scene))) == ["record path"]

    def test_a_payment_expired_at_its_block_fails(self, scene: Scene) -> None:
        form = scene.get_receipt(scene.second)
        early = alter(form, ("payment", "validUntil"), "0x1")
        assert {"payment id", "time"} <= set(get_failed(verify(early, Contract(scene))))

    def test_dropping_the_commitment_leaves_what_was_accepted(self, scene: Scene) -> None:
        """It is a weaker statement, and a true one, only if the status does not claim more."""
        form = {**scene.get_receipt(scene.first), "commitment": None}
        assert get_failed(verify(form, Contract(scene))) == ["status"]
        assert verify({**form, "status": "accepted"}, Contract(scene)).verdict is Verdict.ACCEPTED


class TestProvenFromABlockHash:
    def test_all_of_it_is_proven(self, scene: Scene, proven: ProvenContract) -> None:
        report = verify(scene.get_receipt(scene.first), proven, l1_block=proven.block_hash)
        assert (report.verdict, get_failed(report)) == (Verdict.COMMITTED, [])
        assert report.operator == OPERATOR
        assert report.l1_block is not None
        assert report.l1_block.hash == proven.block_hash
        assert "eth_call" not in proven.asked

    def test_finality_is_proven_too(self, scene: Scene) -> None:
        contract = ProvenContract(scene, final_epoch=1)
        report = verify(scene.get_receipt(scene.first), contract, l1_block=contract.block_hash)
        assert report.verdict is Verdict.FINAL

    def test_an_endpoint_that_does_not_know_the_block_fails(self, scene: Scene, proven: ProvenContract) -> None:
        report = verify(scene.get_receipt(scene.first), proven, l1_block=bytes(32))
        assert get_failed(report) == ["contract"]

    @pytest.mark.parametrize("field", ["stateRoot", "timestamp", "number", "requestsHash", "extraData"])
    def test_another_header_than_that_of_the_hash_fails(self, scene: Scene, field: str) -> None:
        contract = ProvenContract(scene)
        wanted = contract.block_hash
        contract.header = {**contract.header, field: change(contract.header[field])}
        assert get_failed(verify(scene.get_receipt(scene.first), contract, l1_block=wanted)) == ["contract"]

    def test_a_header_without_its_last_fields_fails(self, scene: Scene) -> None:
        contract = ProvenContract(scene)
        wanted = contract.block_hash
        contract.header = {name: value for name, value in contract.header.items() if name != "requestsHash"}
        assert get_failed(verify(scene.get_receipt(scene.first), contract, l1_block=wanted)) == ["contract"]

    def test_a_lying_storage_fails(self, scene: Scene) -> None:
        honest, lying = ProvenContract(scene), ProvenContract(scene)
        lying.storage[next(iter([b"\x01" * 32]))] = b"\x07"
        lying.header, lying.state = honest.header, honest.state
        report = verify(scene.get_receipt(scene.first), lying, l1_block=honest.block_hash)
        assert get_failed(report) == ["contract"]

    def test_other_code_than_that_of_the_hash_fails(self, scene: Scene) -> None:
        contract = ProvenContract(scene)
        contract.code = contract.code[:-1] + b"\x00"
        report = verify(scene.get_receipt(scene.first), contract, l1_block=contract.block_hash)
        assert get_failed(report) == ["contract"]

    def test_another_operator_in_the_code_fails(self, scene: Scene) -> None:
        class Other(ProvenContract):
            pass

        contract = Other(scene)
        other = contract.code.replace(OPERATOR, ALICE)
        assert other != contract.code
        contract.code = other
        report = verify(scene.get_receipt(scene.first), contract, l1_block=contract.block_hash)
        assert get_failed(report) == ["contract"]

    @pytest.mark.parametrize("answer", [None, {}, {"accountProof": 1}, {"accountProof": ["0x01"]}], ids=repr)
    def test_an_answer_that_is_no_proof_is_no_verdict_or_a_failed_one(self, scene: Scene, answer: Any) -> None:
        class Odd(ProvenContract):
            def eth_getProof(self, address: str, slots: list[str], tag: str) -> Any:
                return answer

        contract = Odd(scene)
        try:
            report = verify(scene.get_receipt(scene.first), contract, l1_block=contract.block_hash)
        except BadReply:
            return
        assert report.verdict is Verdict.FAILED


def test_a_report_names_each_step_once(scene: Scene) -> None:
    names = [step.name for step in verify(scene.get_receipt(scene.first), Contract(scene)).steps]
    assert names == [
        "receipt", "domain", "contract", "ledger", "payment id", "payer signature", "time", "block hash",
        "record path", "operator signature", "block path", "commitment", "transaction", "finality", "status",
    ]  # fmt: skip


def test_receipts_survive_their_way_through_json(scene: Scene) -> None:
    form = msgspec.json.decode(msgspec.json.encode(scene.get_receipt(scene.first)))
    assert form["domain"]["chainId"] == hex(DOMAIN.chain_id)
    assert verify(form, Contract(scene)).verdict is Verdict.COMMITTED
