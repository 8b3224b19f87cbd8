"""The verifier of the reader's browser against the client's: one file, one Ethereum, one verdict.

The documents are true ones of a small ledger, and the Ethereum is a server of its contract. The jobs of all tests run
in one process; each test looks at its own.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any, Final, NamedTuple

import pytest

from chain import wire
from chain.account import decode_account_leaf, hash_account_leaf
from chain.commitment import hash_commitment
from chain.evidence import AccountProof, get_line
from chain.hashing import keccak
from chain.merkle import SumNode, SumTree
from chain.primitives import Address
from chain.signatures import sign_digest
from client.settlement import Ethereum
from client.transport import HttpTransport
from client.verifier import Outcome, verify_receipt
from tests.unit.client.ledger_server import LedgerServer
from tests.unit.client.scene import (
    ALICE,
    BOB,
    BOB_KEY,
    CHALLENGE_PERIOD,
    DOMAIN,
    OPERATOR,
    OPERATOR_KEY,
    SETTLEMENT,
    TOKEN,
    Contract,
    Scene,
)
from tests.unit.client.servers import answer_json_rpc, serve
from tests.unit.client.test_verifier import alter, change, find_branches, find_leaves
from tests.unit.explorer.verifying import run_jobs

MAX_SILENCE: Final = 7200
MAX_SILENCE_SELECTOR: Final = keccak(b"maxSilence()")[:4].hex()
NOWHERE: Final = "http://127.0.0.1:1/"


class ProvableScene(Scene):
    """One that also keeps the state trees, so that it can prove accounts."""

    def __init__(self) -> None:
        self.states: list[dict[Address, dict[int, bytes]]] = []
        super().__init__()

    def seal(self) -> None:
        kept = {asset: dict(leaves) for asset, leaves in self.states[-1].items()} if self.states else {}
        cut = self.replay.cut

        def keep(epoch: int, cut_at: int) -> Any:
            sealed = cut(epoch, cut_at)
            for part in sealed.changes:
                kept.setdefault(part.asset, {}).update(dict(part.leaves))
            return sealed

        self.replay.cut = keep  # type: ignore[method-assign]
        super().seal()
        self.replay.cut = cut  # type: ignore[method-assign]
        self.states.append(kept)

    def prove_account(self, owner: Address, asset: Address, epoch: int) -> dict[str, Any]:
        """In JSON, as the node gives it."""
        leaves = [decode_account_leaf(leaf) for _, leaf in sorted(self.states[epoch - 1][asset].items())]
        nodes: list[SumNode] = [
            (hash_account_leaf(leaf), decode_account_leaf(leaf).closing)
            for _, leaf in sorted(self.states[epoch - 1][asset].items())
        ]
        index = [leaf.owner for leaf in leaves].index(owner)
        proof = AccountProof(leaves[index], index, tuple(SumTree(nodes).prove(index)))
        commitment, signature, _ = self.sealed[epoch - 1]
        return {
            "epoch": hex(epoch),
            "commitment": {"message": wire.encode_commitment(commitment), "signature": wire.encode_bytes(signature)},
            "assetIndex": hex(get_line(commitment, asset)[1]),
            **wire.encode_account_proof(proof),
        }


class SilentContract(Contract):
    """One that is asked how long it may be without a commitment; what an account proof needs besides."""

    def eth_call(self, call: dict[str, str], tag: str) -> str:
        if call["data"] == "0x" + MAX_SILENCE_SELECTOR:
            return "0x" + MAX_SILENCE.to_bytes(32, "big").hex()
        return super().eth_call(call, tag)


@cache
def get_scene() -> ProvableScene:
    return ProvableScene()


def get_true_receipt() -> dict[str, Any]:
    return get_scene().get_receipt(get_scene().first)


def get_true_proof() -> dict[str, Any]:
    """Of a withdrawal."""
    server = LedgerServer(get_scene())
    return dict(server.tally_getPaymentProof(wire.encode_bytes(get_scene().withdrawal.id)))


def get_account(epoch: int = 1) -> dict[str, Any]:
    return get_scene().prove_account(ALICE, TOKEN, epoch)


PINNED: Final = {"settlement": wire.encode_address(SETTLEMENT), "l1ChainId": "31337"}


# --- Ethereums, by name


def make_contract(**changes: Any) -> Contract:
    contract = SilentContract(get_scene(), **{k: v for k, v in changes.items() if k in ("final_epoch", "now")})
    for name, value in changes.items():
        if name not in ("final_epoch", "now"):
            setattr(contract, name, value)
    return contract


CONTRACTS: Final[dict[str, Callable[[], Contract]]] = {
    "honest": make_contract,
    "final": lambda: make_contract(final_epoch=2),
    "window just open": lambda: make_contract(now=get_scene().sealed[0][2] + CHALLENGE_PERIOD),
    "window just over": lambda: make_contract(now=get_scene().sealed[0][2] + CHALLENGE_PERIOD + 1),
    "another chain": lambda: make_contract(chain_id=1),
    "another operator": lambda: make_contract(operator=BOB),
    "one epoch": lambda: make_contract(commitments=get_scene().sealed[:1]),
    "no epoch": lambda: make_contract(commitments=[], now=2_000_000_000),
    "elsewhere": lambda: make_contract(address=b"\x0a" * 20),
    "other commitments": lambda: make_contract(commitments=fork_commitments()),
}


def fork_commitments() -> list[Any]:
    """What the contract would hold if the operator had signed something else there than is in the proofs."""
    forked = []
    for commitment, _, included_at in get_scene().sealed:
        other = type(commitment)(
            **{name: getattr(commitment, name) for name in commitment.__struct_fields__ if name != "extra_root"},
            extra_root=b"\x01" * 32,
        )
        forked.append((other, sign_digest(OPERATOR_KEY, hash_commitment(other, DOMAIN)), included_at))
    return forked


class Question(NamedTuple):
    """A document and how it is looked at. `ethereum`: a name above, an address, or None for no endpoint."""

    form: Any
    ethereum: str | None = "honest"
    options: dict[str, Any] = {}  # noqa: RUF012  # never changed


def tamper(form: dict[str, Any], ethereum: str | None = "honest", **options: Any) -> dict[str, Question]:
    """Every value of a document, altered one at a time."""
    found = {}
    for path in sorted(find_leaves(form), key=str):
        value = form
        for name in path:
            value = value[name]
        if isinstance(value, str):
            found[".".join(map(str, path))] = Question(alter(form, path, change(value)), ethereum, options)
    return found


def distort(form: dict[str, Any]) -> dict[str, Question]:
    """Every value and every part replaced by what has no business there. No Ethereum is needed to see that."""
    found = {}
    for path in [*find_leaves(form), *find_branches(form)]:
        for value in (None, 7, {}, "", "0x01"):
            found[f"{'.'.join(map(str, path))} = {value!r}"] = Question(alter(form, path, value), None)
    return found


def swap_signature(path: tuple[str, ...], digest: bytes) -> Question:
    form = alter(get_true_receipt(), path, wire.encode_bytes(sign_digest(BOB_KEY, digest)))
    return Question(form)


def mix_receipts() -> dict[str, Any]:
    other = get_scene().get_receipt(get_scene().second)
    return {**get_true_receipt(), **{name: other[name] for name in ("id", "payment", "signature")}}


SCENE: Final = get_scene()
RECEIPT: Final = get_true_receipt()

SAME_AS_THE_CLIENT: Final[dict[str, Question]] = {
    "accepted": Question(SCENE.get_receipt(SCENE.last)),
    "committed": Question(RECEIPT),
    "committed, with a limit of time": Question(SCENE.get_receipt(SCENE.second)),
    "committed withdrawal": Question(SCENE.get_receipt(SCENE.withdrawal)),
    "final by the pointer": Question(RECEIPT, "final"),
    "final by time": Question(RECEIPT, "window just over"),
    "not final yet": Question(RECEIPT, "window just open"),
    "within a JSON-RPC reply": Question({"jsonrpc": "2.0", "id": 1, "result": RECEIPT}),
    "within a payment proof": Question({"receipt": RECEIPT, "withdrawal": None, "assetIndex": None}),
    "a payment proof with its claim": Question(get_true_proof()),
    "pinned": Question(RECEIPT, options=PINNED),
    "the status lags behind": Question(RECEIPT, "final"),
    "the status runs ahead": Question({**RECEIPT, "status": "final"}),
    "void": Question({**RECEIPT, "status": "void"}),
    "the commitment left out": Question({**RECEIPT, "commitment": None}),
    "the commitment left out, and said so": Question({**RECEIPT, "commitment": None, "status": "accepted"}),
    "two receipts mixed": Question(mix_receipts()),
    "somebody else's signature for the payer": swap_signature(("signature",), SCENE.first.id),
    "somebody else's signature for the operator": swap_signature(
        ("block", "signature"), bytes.fromhex(RECEIPT["block"]["hash"][2:])
    ),
    "expired": Question(alter(SCENE.get_receipt(SCENE.second), ("payment", "validUntil"), "0x1")),
    "another contract than the pinned one": Question(
        RECEIPT, "elsewhere", {"settlement": wire.encode_address(b"\x0a" * 20)}
    ),
    "another chain": Question(RECEIPT, "another chain"),
    "another operator": Question(RECEIPT, "another operator"),
    "an epoch that the contract does not have": Question(SCENE.get_receipt(SCENE.withdrawal), "one epoch"),
    "a contract without commitments": Question(RECEIPT, "no epoch"),
    "another commitment on Ethereum": Question(RECEIPT, "other commitments"),
    **{f"tampered: {name}": question for name, question in tamper(RECEIPT).items()},
    **{f"tampered: accepted {name}": question for name, question in tamper(SCENE.get_receipt(SCENE.last)).items()},
}

DISTORTED: Final = distort(RECEIPT) | {
    f"without {name}": Question({key: value for key, value in RECEIPT.items() if key != name}, None) for name in RECEIPT
}

ACCOUNTS: Final[dict[str, tuple[Question, str, list[str]]]] = {
    "committed": (Question(get_account(), options=PINNED), "committed", []),
    "committed, its inclusion known": (Question(get_account(2), options=PINNED), "committed", []),
    "final": (Question(get_account(), "final", PINNED), "final", []),
    "final by time": (Question(get_account(), "window just over", PINNED), "final", []),
    "sealed": (Question(get_account(2), "one epoch", PINNED), "accepted", []),
    "another operator": (Question(get_account(), "another operator", PINNED), "failed", ["seal"]),
    "another commitment on Ethereum": (Question(get_account(), "other commitments", PINNED), "failed", ["commitment"]),
    "another, the last one": (Question(get_account(2), "other commitments", PINNED), "failed", ["commitment"]),
    "no contract named": (Question(get_account()), "unchecked", []),
    "no endpoint": (Question(get_account(), None, PINNED), "unchecked", []),
    "nothing known": (Question(get_account(), None), "unchecked", []),
}

TAMPERED_ACCOUNT: Final = tamper(get_account(), **PINNED)
TAMPERED_CLAIM: Final = {
    name: question for name, question in tamper(get_true_proof()).items() if not name.startswith("receipt.")
}

WITHOUT_ETHEREUM: Final[dict[str, tuple[Question, str, list[str]]]] = {
    "a true receipt": (Question(RECEIPT, None), "unchecked", []),
    "accepted": (Question(SCENE.get_receipt(SCENE.last), None), "unchecked", []),
    "an endpoint out of reach": (Question(RECEIPT, NOWHERE), "unchecked", []),
    "an address that is none": (Question(RECEIPT, "not an address"), "unchecked", []),
    "an endpoint of another chain": (Question(RECEIPT, "another chain", PINNED), "unchecked", []),
    "pinned": (Question(RECEIPT, None, PINNED), "unchecked", []),
    "pinned to another contract": (
        Question(RECEIPT, None, {**PINNED, "settlement": wire.encode_address(b"\x0a" * 20)}),
        "failed",
        ["ledger", "payment id", "block hash", "block path"],
    ),
    "pinned to another chain": (
        Question(RECEIPT, None, {**PINNED, "l1ChainId": "1"}),
        "failed",
        ["ledger", "payment id", "block hash", "block path"],
    ),
    "void": (Question({**RECEIPT, "status": "void"}, None), "failed", ["status"]),
}

LOCAL: Final = {
    name: question
    for name, question in tamper(RECEIPT, None).items()
    # Without Ethereum nothing says which commitment is the true one, nor who signs blocks.
    if not name.startswith(("commitment.message", "commitment.includedAt", "commitment.l1Transaction"))
    and name not in ("block.signature", "domain.chainId", "domain.verifyingContract")
}

SUBJECTS: Final = {
    "the payment asked for": (f"/api/v1/payments/{RECEIPT['id']}/receipt", RECEIPT, []),
    "another payment": (f"/api/v1/payments/{'0x' + '1' * 64}/receipt", RECEIPT, ["subject"]),
    "the account asked for": (
        f"/api/v1/accounts/{wire.encode_address(ALICE)}/proof?asset={wire.encode_address(TOKEN)}&epoch=1",
        get_account(),
        [],
    ),
    "another account": (
        f"/api/v1/accounts/{wire.encode_address(BOB)}/proof?asset={wire.encode_address(TOKEN)}&epoch=1",
        get_account(),
        ["subject"],
    ),
    "another asset": (
        f"/api/v1/accounts/{wire.encode_address(ALICE)}/proof?asset={wire.encode_address(bytes(20))}&epoch=1",
        get_account(),
        ["subject"],
    ),
    "another epoch": (
        f"/api/v1/accounts/{wire.encode_address(ALICE)}/proof?asset={wire.encode_address(TOKEN)}&epoch=2",
        get_account(),
        ["subject"],
    ),
}

QUESTIONS: Final[dict[str, Question]] = {
    **{f"client/{name}": question for name, question in SAME_AS_THE_CLIENT.items()},
    **{f"distorted/{name}": question for name, question in DISTORTED.items()},
    **{f"account/{name}": question for name, (question, _, _) in ACCOUNTS.items()},
    **{f"tampered account/{name}": question for name, question in TAMPERED_ACCOUNT.items()},
    **{f"tampered claim/{name}": question for name, question in TAMPERED_CLAIM.items()},
    **{f"alone/{name}": question for name, (question, _, _) in WITHOUT_ETHEREUM.items()},
    **{f"tampered alone/{name}": question for name, question in LOCAL.items()},
    **{
        f"subject/{name}": Question(form, options={**PINNED, "source": source})
        for name, (source, form, _) in SUBJECTS.items()
    },
}


class World(NamedTuple):
    urls: dict[str, str]
    reports: dict[str, Any]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A server for each Ethereum, and what the browser's verifier says of every question."""
    with ExitStack() as stack:
        urls = {}
        for name, make in CONTRACTS.items():
            contract = make()
            handle = lambda method, params, contract=contract: contract.call(method, *params)  # noqa: E731
            urls[name] = stack.enter_context(serve(answer_json_rpc(handle)))
        jobs = []
        for question in QUESTIONS.values():
            url = urls.get(question.ethereum, question.ethereum) if question.ethereum else None
            jobs.append({"op": "verify", "form": question.form, "options": {**question.options, "l1Url": url}})
        yield World(urls, dict(zip(QUESTIONS, run_jobs(jobs), strict=True)))


def get_failed(report: dict[str, Any]) -> list[str]:
    return [step["name"] for step in report["steps"] if step["outcome"] == "failed"]


def get_skipped(report: dict[str, Any]) -> list[str]:
    return [step["name"] for step in report["steps"] if step["outcome"] == "skipped"]


class TestAgainstTheClient:
    @pytest.mark.parametrize("name", SAME_AS_THE_CLIENT)
    def test_both_come_to_the_same(self, world: World, name: str) -> None:
        question, found = SAME_AS_THE_CLIENT[name], world.reports[f"client/{name}"]
        assert question.ethereum is not None
        pinned = question.options.get("settlement")
        ethereum = Ethereum(HttpTransport(world.urls[question.ethereum], timeout_s=10.0, attempts=1))
        try:
            report = verify_receipt(question.form, ethereum, pinned and bytes.fromhex(pinned[2:]))
        finally:
            ethereum.close()
        assert found["verdict"] == report.verdict, found
        failed = [step.name for step in report.steps if step.outcome is Outcome.FAILED]
        if len(report.steps) <= 3:  # there the client stops; the browser shows all that can still be said
            assert set(failed) <= set(get_failed(found))
        elif (
            "ledger" in failed
        ):  # the client asks whether the transaction brought these values, the browser this digest
            assert set(get_failed(found)) - set(failed) <= {"transaction"}
        else:
            assert get_failed(found) == failed
        assert name.startswith("tampered: ") <= (found["verdict"] == "failed")

    def test_enough_of_it_is_tampered_with(self) -> None:
        assert len([name for name in SAME_AS_THE_CLIENT if name.startswith("tampered")]) > 60

    @pytest.mark.parametrize("name", ["committed", "accepted", "final by time", "expired"])
    def test_every_step_is_shown_in_the_same_order(self, world: World, name: str) -> None:
        question = SAME_AS_THE_CLIENT[name]
        ethereum = Ethereum(HttpTransport(world.urls[question.ethereum or ""], timeout_s=10.0, attempts=1))
        try:
            expected = [step.name for step in verify_receipt(question.form, ethereum).steps]
        finally:
            ethereum.close()
        shown = [step["name"] for step in world.reports[f"client/{name}"]["steps"]]
        assert [step for step in shown if step in expected] == expected
        assert set(shown) - set(expected) <= {"commitment"}

    def test_what_has_no_business_there_fails_and_breaks_nothing(self, world: World) -> None:
        wrong = [name for name in DISTORTED if world.reports[f"distorted/{name}"]["verdict"] != "failed"]
        assert wrong == []


class TestAccounts:
    @pytest.mark.parametrize("name", ACCOUNTS)
    def test_verdicts(self, world: World, name: str) -> None:
        _, verdict, failed = ACCOUNTS[name]
        report = world.reports[f"account/{name}"]
        assert (report["verdict"], get_failed(report)) == (verdict, failed)

    @pytest.mark.parametrize("name", TAMPERED_ACCOUNT)
    def test_every_altered_value_fails(self, world: World, name: str) -> None:
        assert world.reports[f"tampered account/{name}"]["verdict"] == "failed"

    def test_it_says_what_it_proves(self, world: World) -> None:
        subject = dict(world.reports["account/committed"]["subject"])
        assert subject["Account"] == wire.encode_address(ALICE)
        leaf = get_account()["leaf"]
        assert subject["Balance"] == f"{int(leaf['closing'], 16)} base units of {wire.encode_address(TOKEN)}"


class TestClaims:
    def test_a_true_one_holds(self, world: World) -> None:
        report = world.reports["client/a payment proof with its claim"]
        assert (report["kind"], report["verdict"]) == ("payment proof", "committed")
        assert [step["outcome"] for step in report["steps"] if step["name"] == "withdrawal"] == ["ok"]

    @pytest.mark.parametrize("name", TAMPERED_CLAIM)
    def test_every_altered_value_fails(self, world: World, name: str) -> None:
        assert get_failed(world.reports[f"tampered claim/{name}"]) == ["withdrawal"]


class TestWithoutEthereum:
    @pytest.mark.parametrize("name", WITHOUT_ETHEREUM)
    def test_no_more_is_said_than_is_known(self, world: World, name: str) -> None:
        _, verdict, failed = WITHOUT_ETHEREUM[name]
        report = world.reports[f"alone/{name}"]
        assert (report["verdict"], get_failed(report)) == (verdict, failed)
        assert {"contract", "operator signature"} <= set(get_skipped(report))
        assert report["l1"] is None

    def test_it_names_the_steps_that_were_not_checked(self, world: World) -> None:
        skipped = get_skipped(world.reports["alone/a true receipt"])
        assert skipped == [
            "contract", "ledger", "operator signature", "commitment", "transaction", "finality", "status",
        ]  # fmt: skip
        steps = {step["name"]: step for step in world.reports["alone/a true receipt"]["steps"]}
        assert steps["operator signature"]["computed"] == wire.encode_address(OPERATOR)

    @pytest.mark.parametrize("name", LOCAL)
    def test_what_the_file_itself_contradicts_still_fails(self, world: World, name: str) -> None:
        assert world.reports[f"tampered alone/{name}"]["verdict"] == "failed"


class TestSubject:
    @pytest.mark.parametrize("name", SUBJECTS)
    def test_the_answer_is_about_what_was_asked(self, world: World, name: str) -> None:
        assert get_failed(world.reports[f"subject/{name}"]) == SUBJECTS[name][2]


IDENTIFIED: Final = {
    "{}": "neither a receipt",
    "": "there is nothing in it",
    "hello": "it is not JSON",
    "[]": "not a JSON object",
    "null": "not a JSON object",
    "1e999": "not a JSON object",
    '{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"payment 0x1 is not known"}}': "0x1 is not known",
    '{"jsonrpc":"2.0","id":1,"result":{"jsonrpc":"2.0","result":{}}}': "neither a receipt",
    '{"payment":{},"signature":"0x","sentAt":"0x1"}': "no operator has promised",
    " " * (1 << 20) + "{}": "more than a megabyte",
}


def test_junk_is_named_for_what_it_is() -> None:
    results = run_jobs([{"op": "identify", "content": content} for content in IDENTIFIED])
    for result, problem in zip(results, IDENTIFIED.values(), strict=True):
        assert problem in result["message"]
