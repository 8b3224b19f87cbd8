"""The verifier of the reader's browser on the data exchange: receipts of instructions, proofs of roles and of files.

The documents are true ones of a small ledger with a market in it, and the Ethereum is a server of its contract. Every
value of every document is altered, one at a time, and each must be noticed. The jobs of all tests run in one process.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any, Final, NamedTuple

import pytest

from chain import wire
from chain.errors import Refusal
from chain.instruction import Delist, SignedInstruction
from chain.receipt import check_instruction_receipt
from chain.registry import AccountEntry, FileEntry, RegistryEntry
from chain.signatures import sign_digest
from client.settlement import Ethereum
from client.transport import HttpTransport
from client.verifier import Outcome, Report, verify_proof, verify_receipt
from tests.unit.client.market_scene import FILE, KEEPER, MART, OWNER, PRICE, VALIDATOR, MarketScene
from tests.unit.client.scene import BOB_KEY, DOMAIN, OPERATOR, SETTLEMENT, TOKEN
from tests.unit.client.servers import answer_json_rpc, serve
from tests.unit.client.test_verifier import alter, change, find_branches, find_leaves
from tests.unit.explorer.test_verifier import SilentContract, get_failed, get_skipped
from tests.unit.explorer.verifying import run_jobs

PINNED: Final = {"settlement": wire.encode_address(SETTLEMENT), "l1ChainId": "31337"}
NOBODY: Final = wire.encode_address(b"\x0a" * 20)


class Market(MarketScene):
    """One whose every type of instruction has been given: the last two in the open epoch."""

    def __init__(self) -> None:
        super().__init__()
        roles, files = self.replay.state.roles, self.replay.state.files
        self.entries: dict[str, RegistryEntry] = {
            "a validator": AccountEntry(VALIDATOR, roles[VALIDATOR]),
            "an owner": AccountEntry(OWNER, roles[OWNER]),
            "a file": FileEntry(files[FILE]),
        }
        self.proofs = {name: self._make_proof(entry) for name, entry in self.entries.items()}
        self.purchase = self.buy()
        self.update = self.reprice(PRICE + 1, 3)
        self.end: SignedInstruction = self.sign(Delist(VALIDATOR, 4, 0, FILE))
        self.add_block(self.end)

    @property
    def instructions(self) -> dict[str, SignedInstruction]:
        """The first of every type."""
        found: dict[str, SignedInstruction] = {}
        for record, *_ in self.list_records():
            if isinstance(record, SignedInstruction):
                found.setdefault(type(record.instruction).__name__, record)
        return found

    def _make_proof(self, entry: RegistryEntry) -> dict[str, Any]:
        """In JSON, as the node gives it. As of the epoch that has just been sealed."""
        commitment, signature, _ = self.sealed[-1]
        return {
            "epoch": hex(commitment.epoch),
            "commitment": {"message": wire.encode_commitment(commitment), "signature": wire.encode_bytes(signature)},
            **wire.encode_registry_proof(self.prove_entry(entry)),
        }


@cache
def get_market() -> Market:
    return Market()


class Question(NamedTuple):
    form: Any
    ethereum: str | None = "honest"
    options: dict[str, Any] = {}  # noqa: RUF012  # never changed


MARKET: Final = get_market()
RECEIPTS: Final = {name: MARKET.get_receipt(record) for name, record in MARKET.instructions.items()}
PROOFS: Final = MARKET.proofs
COMMITTED: Final = ("Register", "RegisterOwner", "ListFile")


def change_anything(value: Any) -> Any:
    """Another value that may stand in its place."""
    if isinstance(value, bool):
        return not value
    if value is None:
        return NOBODY
    roles = {"validator": "mart", "mart": "owner", "owner": "service_node", "service_node": "validator"}
    return roles.get(value) or change(value)


def tamper(form: dict[str, Any]) -> dict[str, Any]:
    """Every value of a document, altered one at a time."""
    found = {}
    for path in sorted(find_leaves(form), key=str):
        value = form
        for name in path:
            value = value[name]
        found[".".join(map(str, path))] = alter(form, path, change_anything(value))
    return found


def distort(form: dict[str, Any]) -> dict[str, Any]:
    """Every value and every part replaced by what has no business there."""
    found = {}
    for path in [*find_leaves(form), *find_branches(form)]:
        for value in (None, 7, {}, "", "0x1", "\ud800", ["x"], True):
            altered = alter(form, path, value)
            if altered != form:
                found[f"{'.'.join(map(str, path))} = {value!r}"] = altered
    return found


def swap(form: dict[str, Any], path: tuple[str, ...], digest: bytes) -> dict[str, Any]:
    """Somebody else signed."""
    altered: dict[str, Any] = alter(form, path, wire.encode_bytes(sign_digest(BOB_KEY, digest)))
    return altered


LISTING: Final = RECEIPTS["ListFile"]
FALSE: Final = {
    "somebody else's signature": swap(LISTING, ("signature",), bytes.fromhex(LISTING["id"][2:])),
    "a member more": {**LISTING, "instruction": {**LISTING["instruction"], "extra": "0x1"}},
    "a member less": {
        **LISTING,
        "instruction": {name: value for name, value in LISTING["instruction"].items() if name != "tags"},
    },
    "of another type": {**LISTING, "instruction": {**LISTING["instruction"], "type": "UpdatePrice"}},
    "of a type that is no type": {**LISTING, "instruction": {**LISTING["instruction"], "type": ["ListFile"]}},
    "of an inherited type": {**LISTING, "instruction": {**LISTING["instruction"], "type": "constructor"}},
    "another instruction in it": {**LISTING, "instruction": RECEIPTS["Register"]["instruction"]},
    "a payment's record": {
        **LISTING,
        **{name: MARKET.get_receipt(MARKET.upload)[name] for name in ("index", "siblings")},
    },
    "expired": alter(LISTING, ("instruction", "validUntil"), "0x1"),
    "the status runs ahead": {**LISTING, "status": "final"},
    "void": {**LISTING, "status": "void"},
    "the commitment left out": {**LISTING, "commitment": None},
}
FALSE_PROOFS: Final = {
    "another operator's seal": swap(PROOFS["a file"], ("commitment", "signature"), b"\x05" * 32),
    "another index": {**PROOFS["a file"], "index": "0x0"},
    "a count of the same depth": {**PROOFS["a validator"], "count": hex(int(PROOFS["a validator"]["count"], 16) + 1)},
    "another entry's path": {**PROOFS["a file"], "siblings": PROOFS["an owner"]["siblings"]},
    "another entry": {**PROOFS["a file"], "entry": PROOFS["an owner"]["entry"]},
    "an entry of both": {**PROOFS["a file"], "entry": {**PROOFS["a file"]["entry"], **PROOFS["an owner"]["entry"]}},
    "a role more": alter(PROOFS["an owner"], ("entry", "roles"), ["owner", "mart"]),
    "no role": alter(PROOFS["an owner"], ("entry", "roles"), []),
    "nobody keeps it": alter(PROOFS["a file"], ("entry", "serviceNode"), None),
    "too few siblings": {**PROOFS["a file"], "siblings": PROOFS["a file"]["siblings"][:-1]},
    "too many siblings": {**PROOFS["a file"], "siblings": [*PROOFS["a file"]["siblings"], "0x" + "00" * 32]},
}

SUBJECTS: Final[dict[str, tuple[str, Any, list[str]]]] = {
    "the instruction asked for": (f"/api/v1/instructions/{LISTING['id']}/receipt", LISTING, []),
    "another instruction": (f"/api/v1/instructions/{LISTING['id']}/receipt", RECEIPTS["Register"], ["subject"]),
    "a payment for an instruction": (
        f"/api/v1/instructions/{LISTING['id']}/receipt",
        MARKET.get_receipt(MARKET.upload),
        ["subject"],
    ),
    "the file asked for": (f"/api/v1/files/{wire.encode_bytes(FILE)}/proof?epoch=3", PROOFS["a file"], []),
    "another file": (f"/api/v1/files/{'0x' + '1' * 64}/proof?epoch=3", PROOFS["a file"], ["subject"]),
    "another epoch of a file": (
        f"/api/v1/files/{wire.encode_bytes(FILE)}/proof?epoch=2",
        PROOFS["a file"],
        ["subject"],
    ),
    "roles for a file": (f"/api/v1/files/{wire.encode_bytes(FILE)}/proof?epoch=3", PROOFS["an owner"], ["subject"]),
    "the roles asked for": (
        f"/api/v1/accounts/{wire.encode_address(OWNER)}/roles/proof?epoch=3",
        PROOFS["an owner"],
        [],
    ),
    "the roles of another": (
        f"/api/v1/accounts/{wire.encode_address(MART)}/roles/proof?epoch=3",
        PROOFS["an owner"],
        ["subject"],
    ),
    "roles for a balance": (
        f"/api/v1/accounts/{wire.encode_address(OWNER)}/proof?asset={wire.encode_address(TOKEN)}&epoch=3",
        PROOFS["an owner"],
        ["subject"],
    ),
    "a receipt for a file": (f"/api/v1/files/{wire.encode_bytes(FILE)}/proof?epoch=3", LISTING, ["subject"]),
}

TAMPERED: Final = {
    f"{name} {path}": form
    for name in ("Register", "ListFile", "UpdatePrice")
    for path, form in tamper(RECEIPTS[name]).items()
}
TAMPERED_PROOFS: Final = {
    f"{name} {path}": form for name in ("an owner", "a file") for path, form in tamper(PROOFS[name]).items()
}
DISTORTED: Final = {
    f"{name} {path}": form
    for name, document in (("receipt", LISTING), ("owner", PROOFS["an owner"]), ("file", PROOFS["a file"]))
    for path, form in distort(document).items()
}

QUESTIONS: Final[dict[str, Question]] = {
    **{f"receipt/{name}": Question(form) for name, form in RECEIPTS.items()},
    **{f"final/{name}": Question(RECEIPTS[name], "final") for name in COMMITTED},
    **{f"reply/{name}": Question({"jsonrpc": "2.0", "id": 1, "result": form}) for name, form in RECEIPTS.items()},
    **{f"alone/{name}": Question(form, None) for name, form in RECEIPTS.items()},
    **{f"proof/{name}": Question(form, options=PINNED) for name, form in PROOFS.items()},
    **{f"final proof/{name}": Question(form, "final", PINNED) for name, form in PROOFS.items()},
    **{f"sealed proof/{name}": Question(form, "two epochs", PINNED) for name, form in PROOFS.items()},
    **{f"other proof/{name}": Question(form, "others", PINNED) for name, form in PROOFS.items()},
    **{f"lone proof/{name}": Question(form, None, PINNED) for name, form in PROOFS.items()},
    **{f"false/{name}": Question(form) for name, form in FALSE.items()},
    **{f"false proof/{name}": Question(form, options=PINNED) for name, form in FALSE_PROOFS.items()},
    **{f"tampered/{name}": Question(form) for name, form in TAMPERED.items()},
    **{f"tampered proof/{name}": Question(form, options=PINNED) for name, form in TAMPERED_PROOFS.items()},
    **{f"distorted/{name}": Question(form, None) for name, form in DISTORTED.items()},
    **{
        f"subject/{name}": Question(form, options={**PINNED, "source": source})
        for name, (source, form, _) in SUBJECTS.items()
    },
    "upload": Question(MARKET.get_receipt(MARKET.upload)),
    "purchase": Question(MARKET.get_receipt(MARKET.purchase)),
    "a withdrawal's claim of an instruction": Question({"receipt": LISTING, "withdrawal": {}, "assetIndex": "0x0"}),
}


class World(NamedTuple):
    urls: dict[str, str]
    reports: dict[str, Any]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A server for each Ethereum, and what the browser's verifier says of every question."""
    contracts = {"honest": SilentContract(MARKET), "final": SilentContract(MARKET, final_epoch=3)}
    contracts["two epochs"], contracts["others"] = SilentContract(MARKET), SilentContract(MARKET)
    contracts["two epochs"].commitments = MARKET.sealed[:2]
    contracts["others"].commitments = [*MARKET.sealed[:2], (*MARKET.sealed[2][:2], MARKET.sealed[2][2] + 1)]
    contracts["others"].commitments[2] = (
        wire.decode_commitment({**wire.encode_commitment(MARKET.sealed[2][0]), "extraRoot": "0x" + "01" * 32}),
        *MARKET.sealed[2][1:],
    )
    with ExitStack() as stack:
        urls = {}
        for name, contract in contracts.items():
            handle = lambda method, params, contract=contract: contract.call(method, *params)  # noqa: E731
            urls[name] = stack.enter_context(serve(answer_json_rpc(handle)))
        jobs = []
        for question in QUESTIONS.values():
            url = urls[question.ethereum] if question.ethereum else None
            jobs.append({"op": "verify", "form": question.form, "options": {**question.options, "l1Url": url}})
        yield World(urls, dict(zip(QUESTIONS, run_jobs(jobs), strict=True)))


# --- against the client

SAME: Final = [
    *[name for name in QUESTIONS if name.split("/")[0] in ("receipt", "final", "reply", "false", "tampered")],
    *[name for name in QUESTIONS if name.split("/")[0].endswith("proof") and not name.startswith("lone")],
    "upload",
    "purchase",
]


def ask_client(world: World, question: Question) -> Report:
    assert question.ethereum is not None
    ethereum = Ethereum(HttpTransport(world.urls[question.ethereum], timeout_s=10.0, attempts=1))
    try:
        if question.options:
            return verify_proof(question.form, ethereum, SETTLEMENT)
        return verify_receipt(question.form, ethereum)
    finally:
        ethereum.close()


@pytest.mark.parametrize("name", SAME)
def test_both_come_to_the_same(world: World, name: str) -> None:
    report, found = ask_client(world, QUESTIONS[name]), world.reports[name]
    assert found["verdict"] == report.verdict, found
    failed = [step.name for step in report.steps if step.outcome is Outcome.FAILED]
    if len(report.steps) <= 3:  # there the client stops; the browser shows all that can still be said
        assert set(failed) <= set(get_failed(found))
    elif "ledger" in failed:  # the client asks whether the transaction brought these values, the browser this digest
        assert set(get_failed(found)) - set(failed) <= {"transaction"}
    else:
        assert get_failed(found) == failed
    shown = [step["name"] for step in found["steps"]]
    if report.verdict != "failed":
        assert set(shown) - {step.name for step in report.steps} <= {"commitment", "finality"}


# --- receipts


@pytest.mark.parametrize("name", RECEIPTS)
def test_true_receipts(world: World, name: str) -> None:
    assert list(RECEIPTS) == ["Register", "RegisterOwner", "ListFile", "UpdatePrice", "Delist"]
    expected = "committed" if name in COMMITTED else "accepted"
    for question in ("receipt", "reply"):
        report = world.reports[f"{question}/{name}"]
        assert (report["kind"], report["verdict"], get_failed(report)) == ("receipt", expected, [])
        assert report["summary"].startswith(
            "This instruction is in the commitment of epoch 3"
            if name in COMMITTED
            else "The operator has signed for this"
        )
    check_instruction_receipt(wire.decode_instruction_receipt(RECEIPTS[name]), DOMAIN, OPERATOR)


@pytest.mark.parametrize("name", COMMITTED)
def test_final_receipts(world: World, name: str) -> None:
    assert world.reports[f"final/{name}"]["verdict"] == "final"


@pytest.mark.parametrize("name", RECEIPTS)
def test_without_ethereum_no_more_is_said_than_is_known(world: World, name: str) -> None:
    report = world.reports[f"alone/{name}"]
    assert (report["verdict"], get_failed(report)) == ("unchecked", [])
    assert {"contract", "operator signature"} <= set(get_skipped(report))


def test_every_step_has_its_name(world: World) -> None:
    steps = {step["name"]: step for step in world.reports["receipt/ListFile"]["steps"]}
    assert list(steps) == [
        "receipt", "domain", "contract", "ledger", "instruction id", "account signature", "time", "block hash",
        "record path", "operator signature", "block path", "commitment", "transaction", "finality", "status",
    ]  # fmt: skip
    titles = {name: steps[name]["title"] for name in ("instruction id", "account signature", "time", "record path")}
    assert titles == {
        "instruction id": "The instruction’s fields give its id",
        "account signature": "The account signed the instruction",
        "time": "The instruction had not expired",
        "record path": "The instruction stands in the block",
    }
    assert steps["instruction id"]["computed"] == LISTING["id"]
    assert steps["account signature"]["computed"] == wire.encode_address(VALIDATOR)


def test_it_says_what_the_instruction_says(world: World) -> None:
    listing = MARKET.listing.instruction
    subject = world.reports["receipt/ListFile"]["subject"]
    found = dict(subject)
    assert len(found) == len(subject)
    assert found == {
        "Instruction": LISTING["id"],
        "Type": "ListFile",
        "Account": wire.encode_address(VALIDATOR),
        "File": wire.encode_bytes(FILE),
        "Owner": wire.encode_address(OWNER),
        "Price": f"{PRICE} base units of {wire.encode_address(TOKEN)}",
        "Size": str(listing.size),
        "Storage days": "30",
        "Content hash": wire.encode_bytes(listing.content_hash),
        "Name": "lake.csv",
        "Media type": "text/csv",
        "Tags": "lake, weather",
        "Description": "Temperatures of a lake.",
        "Key hash": wire.encode_bytes(listing.key_hash),
        "Sealed key": wire.encode_bytes(listing.sealed_key),
        "Block": found["Block"],
        "Epoch": "3",
    }
    assert dict(world.reports["receipt/Register"]["subject"])["Role"] == "validator"
    assert dict(world.reports["receipt/UpdatePrice"]["subject"])["Price"] == f"{PRICE + 1} base units"


@pytest.mark.parametrize("name", TAMPERED)
def test_every_altered_value_of_a_receipt_fails(world: World, name: str) -> None:
    report = world.reports[f"tampered/{name}"]
    assert report["verdict"] == "failed", f"{name} was altered and nothing noticed"
    assert get_failed(report)


@pytest.mark.parametrize("name", FALSE)
def test_false_receipts(world: World, name: str) -> None:
    assert world.reports[f"false/{name}"]["verdict"] == "failed"


@pytest.mark.parametrize("name", [*TAMPERED, *FALSE])
def test_what_the_rules_refuse_the_browser_refuses(world: World, name: str) -> None:
    """The same receipts, held against the ledger's own check of the part before the commitment."""
    form = TAMPERED.get(name) or FALSE[name]
    try:
        check_instruction_receipt(wire.decode_instruction_receipt(form), DOMAIN, OPERATOR)
    except Refusal:
        report = world.reports[f"tampered/{name}" if name in TAMPERED else f"false/{name}"]
        promises = {"receipt", "instruction id", "account signature", "time", "record path", "operator signature"}
        assert promises & set(get_failed(report))


def test_enough_is_tampered_with() -> None:
    assert len(TAMPERED) > 100
    assert len(TAMPERED_PROOFS) > 75
    assert len(DISTORTED) > 400


def test_a_claim_of_a_withdrawal_is_of_no_instruction(world: World) -> None:
    assert get_failed(world.reports["a withdrawal's claim of an instruction"]) == ["withdrawal"]


@pytest.mark.parametrize(("name", "verdict"), [("upload", "committed"), ("purchase", "accepted")])
def test_payments_of_the_exchange_are_payments(world: World, name: str, verdict: str) -> None:
    ethereum = Ethereum(HttpTransport(world.urls["honest"], timeout_s=10.0, attempts=1))
    try:
        assert verify_receipt(QUESTIONS[name].form, ethereum).verdict == verdict
    finally:
        ethereum.close()
    report = world.reports[name]
    assert (report["verdict"], get_failed(report)) == (verdict, [])
    assert dict(report["subject"])["Kind"] == name
    assert dict(report["subject"])["Reference"] == wire.encode_bytes(FILE)


# --- proofs of the registry


@pytest.mark.parametrize("name", PROOFS)
def test_true_proofs(world: World, name: str) -> None:
    thing = "file’s entry" if name == "a file" else "account’s entry"
    for question, verdict in (("proof", "committed"), ("final proof", "final"), ("sealed proof", "accepted")):
        report = world.reports[f"{question}/{name}"]
        assert (report["kind"], report["verdict"], get_failed(report)) == ("registry proof", verdict, [])
        assert thing in report["summary"]
    report = world.reports[f"lone proof/{name}"]
    assert (report["verdict"], get_failed(report)) == ("unchecked", [])
    assert {"contract", "seal", "commitment", "finality"} <= set(get_skipped(report))


@pytest.mark.parametrize("name", PROOFS)
def test_another_commitment_on_ethereum(world: World, name: str) -> None:
    report = world.reports[f"other proof/{name}"]
    assert (report["verdict"], get_failed(report)) == ("failed", ["commitment"])


def test_it_says_what_it_proves(world: World) -> None:
    account = dict(world.reports["proof/an owner"]["subject"])
    assert account == {
        "Account": wire.encode_address(OWNER),
        "Roles": "owner",
        "Validator": wire.encode_address(VALIDATOR),
        "Epoch": "3",
    }
    file = dict(world.reports["proof/a file"]["subject"])
    assert (file["File"], file["Service node"]) == (wire.encode_bytes(FILE), wire.encode_address(KEEPER))
    assert file["Price"] == f"{PRICE} base units of {wire.encode_address(TOKEN)}"
    assert file["Keep until"].endswith(" UTC")
    (path,) = [step for step in world.reports["proof/a file"]["steps"] if step["name"] == "registry path"]
    assert path["computed"] == path["expected"] == PROOFS["a file"]["commitment"]["message"]["extraRoot"]
    assert len(path["path"]) == len(PROOFS["a file"]["siblings"]) + 2


@pytest.mark.parametrize("name", TAMPERED_PROOFS)
def test_every_altered_value_of_a_proof_fails(world: World, name: str) -> None:
    report = world.reports[f"tampered proof/{name}"]
    assert report["verdict"] == "failed", f"{name} was altered and nothing noticed"
    assert get_failed(report)


@pytest.mark.parametrize("name", FALSE_PROOFS)
def test_false_proofs(world: World, name: str) -> None:
    assert world.reports[f"false proof/{name}"]["verdict"] == "failed"


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_answer_is_about_what_was_asked(world: World, name: str) -> None:
    assert get_failed(world.reports[f"subject/{name}"]) == SUBJECTS[name][2]


def test_what_has_no_business_there_breaks_nothing(world: World) -> None:
    wrong = [name for name in DISTORTED if world.reports[f"distorted/{name}"]["verdict"] not in ("failed", "unchecked")]
    assert wrong == []


def test_junk_is_named_for_what_it_is() -> None:
    forms = {
        '{"instruction":{},"signature":"0x","sentAt":"0x1"}': "a signed instruction without a block",
        '{"entry":{}}': "neither a receipt",
    }
    results = run_jobs([{"op": "identify", "content": content} for content in forms])
    for result, problem in zip(results, forms.values(), strict=True):
        assert problem in result["message"]
