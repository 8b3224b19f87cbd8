"""Sending a commitment in the operator's place: what is checked before, by which name it is refused, what is sent."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_abi.abi import decode as decode_abi
from eth_abi.abi import encode as encode_abi

from chain import wire
from chain.commitment import Commitment, hash_commitment
from chain.hashing import keccak
from chain.signatures import sign_digest
from client.cli import run
from client.errors import BadReply, RpcError, WrongLedger
from client.ethereum import Reverted, Sender, SettlementUser
from client.keys import SigningKey
from client.settlement import COMMITMENT_ABI, Ethereum
from client.submissions import (
    AlreadyIncluded,
    ContractHalted,
    NotFollowing,
    NotNext,
    NotSigned,
    OutOfFunds,
    SignedCommitment,
    Submitter,
    decode_signed_commitment,
)
from tests.unit.client.ledger_server import LedgerServer
from tests.unit.client.scene import ALICE_KEY, DOMAIN, OPERATOR_KEY, SETTLEMENT, Scene
from tests.unit.client.servers import answer_json_rpc, serve
from tests.unit.client.test_ethereum import Chain

COMMIT = keccak(f"commit({COMMITMENT_ABI},{COMMITMENT_ABI},bytes)".encode())[:4]
WEALTH = 10**18
PRIVATE_KEY = "0x" + ALICE_KEY.secret.hex()


def encode_error(signature: str, *values: int) -> str:
    types = signature.partition("(")[2].rstrip(")").split(",")
    return wire.encode_bytes(keccak(signature.encode())[:4] + encode_abi(types, values))


class CommitChain(Chain):
    """Includes the scene's commitments as they are sent, in order; it has the first `count` from the start."""

    def __init__(self, scene: Scene, count: int) -> None:
        super().__init__(scene)
        self.sealed = scene.sealed
        self.commitments = self.commitments[:count]
        self.balance = WEALTH
        self.revert: str | None = None
        self.is_overtaken = False
        """Whether somebody else's transaction comes right before ours."""

    def eth_getBalance(self, address: str, tag: str) -> str:
        return hex(self.balance)

    def eth_estimateGas(self, call: dict[str, str]) -> str:
        self._check(bytes.fromhex(call["data"][2:]))
        return super().eth_estimateGas(call)

    def eth_call(self, call: dict[str, str], tag: str) -> str:
        data = bytes.fromhex(call["data"][2:])
        if data[:4] != COMMIT:
            return super().eth_call(call, tag)
        self._check(data)
        return "0x"

    def eth_sendRawTransaction(self, raw: str) -> str:
        name = super().eth_sendRawTransaction(raw)
        data = bytes(self.transactions[-1]["data"])
        if self.is_overtaken:
            self.commitments.append(self.sealed[len(self.commitments)])
        receipt = self.receipts[name]
        receipt["effectiveGasPrice"] = hex(9)
        if self._find_revert(data) is None:
            self.commitments.append(self.sealed[len(self.commitments)])
            receipt["logs"].append(self._log_commitment(*self.commitments[-1]))
        else:
            receipt["status"] = "0x0"
        return name

    def _check(self, data: bytes) -> None:
        revert = self._find_revert(data)
        if revert is not None:
            raise RpcError(3, "execution reverted", revert)

    def _find_revert(self, data: bytes) -> str | None:
        if self.revert is not None:
            return self.revert
        previous, following, signature = decode_abi([COMMITMENT_ABI, COMMITMENT_ABI, "bytes"], data[4:])
        head = len(self.commitments)
        if following[0] != head + 1:
            return encode_error("EpochMismatch(uint64,uint64)", head + 1, following[0])
        assert previous[0] == head and signature == self.sealed[head][1]
        return None


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.seal()
    return made


def make_submitter(chain: CommitChain) -> Submitter:
    sender = Sender(Ethereum(chain), SigningKey(ALICE_KEY.secret), sleep=lambda _: None)
    return Submitter(SettlementUser(sender, SETTLEMENT))


def take(scene: Scene, epoch: int) -> SignedCommitment:
    commitment, signature, _ = scene.sealed[epoch - 1]
    return SignedCommitment(commitment, signature)


def sign(commitment: Commitment) -> SignedCommitment:
    """By the operator."""
    return SignedCommitment(commitment, sign_digest(OPERATOR_KEY, hash_commitment(commitment, DOMAIN)))


# --- what is taken


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("is_known", [True, False])
def test_the_next_commitment_is_simulated_and_sent(scene: Scene, count: int, is_known: bool) -> None:
    """The one before is taken from what is at hand, or from the contract's logs."""
    chain = CommitChain(scene, count)
    submitter = make_submitter(chain)
    known = [each for each, _, _ in scene.sealed] if is_known else []
    submission = submitter.prepare(take(scene, count + 1), known)
    assert not chain.transactions and ("eth_getLogs" in chain.asked) == (count > 0 and not is_known)
    assert (submission.quote.gas_limit, submission.quote.max_fee, submission.quote.base_fee) == (120_000, 17, 7)
    assert (submission.quote.most_cost, submission.balance) == (120_000 * 17, WEALTH)
    tx_receipt = submitter.send(submission)
    assert len(chain.commitments) == count + 1 and tx_receipt.gas_used == 21_000
    with pytest.raises(AlreadyIncluded, match=f"waits for epoch {count + 2}"):
        submitter.prepare(take(scene, count + 1))


# --- what is refused


def test_what_the_operator_has_not_signed_is_refused_before_anything_else(scene: Scene) -> None:
    chain = CommitChain(scene, 1)
    commitment, signature, _ = scene.sealed[0]
    forged = SignedCommitment(msgspec.structs.replace(commitment, extra_root=b"\x01" * 32), signature)
    foreign = SignedCommitment(commitment, sign_digest(ALICE_KEY, hash_commitment(commitment, DOMAIN)))
    for signed in (forged, foreign):
        with pytest.raises(NotSigned, match="epoch 1"):
            make_submitter(chain).prepare(signed)


def test_what_is_not_next_is_refused_by_name(scene: Scene) -> None:
    chain = CommitChain(scene, 1)
    with pytest.raises(AlreadyIncluded):
        make_submitter(chain).prepare(take(scene, 1))
    with pytest.raises(NotNext, match="waits for epoch 2"):
        make_submitter(chain).prepare(take(scene, 3))


def test_what_follows_another_commitment_is_refused(scene: Scene) -> None:
    signed = sign(msgspec.structs.replace(scene.sealed[1][0], previous=b"\x01" * 32))
    with pytest.raises(NotFollowing):
        make_submitter(CommitChain(scene, 1)).prepare(signed)
    first = sign(msgspec.structs.replace(scene.sealed[0][0], previous=b"\x01" * 32))
    with pytest.raises(NotFollowing):
        make_submitter(CommitChain(scene, 0)).prepare(first)


def test_what_the_contract_says_against_it_is_named(scene: Scene) -> None:
    chain = CommitChain(scene, 1)
    chain.revert = encode_error("Halted(uint256)", 1_700_000_000)
    with pytest.raises(ContractHalted, match="1700000000"):
        make_submitter(chain).prepare(take(scene, 2))
    chain.revert = encode_error("CutInFuture(uint256,uint64)", 1, 2)
    with pytest.raises(Reverted, match="CutInFuture"):
        make_submitter(chain).prepare(take(scene, 2))
    assert not chain.transactions


def test_who_cannot_pay_is_told_so_before_it_is_sent(scene: Scene) -> None:
    chain = CommitChain(scene, 1)
    chain.balance = 120_000 * 17 - 1
    with pytest.raises(OutOfFunds, match=str(chain.balance)):
        make_submitter(chain).prepare(take(scene, 2))
    chain.balance += 1
    assert make_submitter(chain).prepare(take(scene, 2)).balance == chain.balance


def test_who_is_overtaken_is_told_so(scene: Scene) -> None:
    chain = CommitChain(scene, 1)
    submitter = make_submitter(chain)
    submission = submitter.prepare(take(scene, 2))
    chain.is_overtaken = True
    with pytest.raises(AlreadyIncluded, match="somebody else was first"):
        submitter.send(submission)
    assert len(chain.transactions) == 1, "paid for, and refused by the contract"
    with pytest.raises(AlreadyIncluded, match="somebody else was first"):
        submitter.send(submission)
    assert len(chain.transactions) == 1, "seen before it was sent"


def test_who_would_come_right_after_another_in_the_pool_is_told_so(scene: Scene) -> None:
    """Two who send the same one in the same second: gas is estimated upon what waits, of which the head is silent."""
    chain = CommitChain(scene, 1)
    chain.revert = encode_error("EpochMismatch(uint64,uint64)", 3, 2)
    with pytest.raises(AlreadyIncluded, match="somebody else was first with epoch 2"):
        make_submitter(chain).prepare(take(scene, 2))
    assert not chain.transactions


def test_another_contract_is_none_of_ours(scene: Scene) -> None:
    chain = CommitChain(scene, 1)
    sender = Sender(Ethereum(chain), SigningKey(ALICE_KEY.secret), sleep=lambda _: None)
    with pytest.raises(WrongLedger):
        Submitter(SettlementUser(sender, b"\x66" * 20))


def test_logs_that_lack_the_one_before_are_a_bad_reply(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = CommitChain(scene, 1)
    monkeypatch.setattr(chain, "eth_getLogs", lambda query: [])
    with pytest.raises(BadReply, match="epoch 1"):
        make_submitter(chain).prepare(take(scene, 2))


# --- `tally commit`


class Stage:
    """A node and an Ethereum that has its first epoch, both named by the environment."""

    def __init__(self, scene: Scene, directory: Path) -> None:
        self.scene = scene
        self.server = LedgerServer(scene)
        self.chain = CommitChain(scene, 1)
        self.directory = directory

    def write(self, form: Any) -> str:
        path = self.directory / f"{len(list(self.directory.iterdir()))}.json"
        path.write_text(json.dumps(form))
        return str(path)


@pytest.fixture
def stage(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    for name in list(os.environ):
        if name.startswith("TALLY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TALLY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TALLY_PRIVATE_KEY", PRIVATE_KEY)
    made = Stage(scene, tmp_path)

    def answer_l1(body: bytes) -> bytes:
        """As `answer_json_rpc`, with reverts."""
        forms = msgspec.json.decode(body)

        def answer(form: Any) -> dict[str, Any]:
            reply = {"jsonrpc": "2.0", "id": form["id"]}
            try:
                return {**reply, "result": made.chain.call(form["method"], *form["params"])}
            except RpcError as error:
                return {**reply, "error": {"code": error.number, "message": error.message, "data": error.data}}

        return msgspec.json.encode([answer(form) for form in forms] if isinstance(forms, list) else answer(forms))

    with serve(answer_json_rpc(made.server)) as node_url, serve(answer_l1) as l1_url:
        monkeypatch.setenv("TALLY_NODE_URL", node_url)
        monkeypatch.setenv("TALLY_L1_URL", l1_url)
        yield made


def test_a_stranger_sends_what_is_next(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["commit", "--yes", "--json"]) == 0
    out, err = capsys.readouterr()
    shown = json.loads(out)
    assert (shown["epoch"], shown["gasUsed"], shown["cost"]) == ("0x2", "0x5208", hex(21_000 * 9))
    assert "cost, at most" in err and "0.00000000000204 ETH" in err
    assert len(stage.chain.commitments) == 2
    assert run(["commit", "3", "--yes"]) == 0
    assert "included" in capsys.readouterr().out
    assert run(["commit", "--yes"]) == 2
    assert "epoch 4 is not sealed yet" in capsys.readouterr().err


def test_nothing_is_sent_without_a_yes(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["commit"]) == 64
    assert not stage.chain.transactions and "cost, at most" in capsys.readouterr().err


def test_refusals_end_with_their_names_and_codes(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(*arguments: str) -> tuple[int, str]:
        code = run(["commit", "--yes", "--json", *arguments])
        return code, json.loads(capsys.readouterr().err.splitlines()[-1])["error"]["code"]

    assert refuse("0") == (64, "bad_usage")
    assert refuse("1") == (1, "already_included")
    assert refuse("3") == (2, "not_next")
    assert refuse("--settlement", "0x" + "66" * 20) == (1, "wrong_ledger")
    stage.chain.revert = encode_error("Halted(uint256)", 7)
    assert refuse() == (1, "contract_halted")
    stage.chain.revert, stage.chain.balance = None, 5
    assert refuse() == (1, "out_of_funds")
    forged = {
        **stage.server.tally_getCommitment("0x2"),
        "signature": stage.server.tally_getCommitment("0x1")["signature"],
    }
    pinned = wire.encode_address(SETTLEMENT)
    assert refuse("--settlement", pinned, "--file", stage.write(forged)) == (1, "not_signed")
    assert not stage.chain.transactions


def test_files_are_as_good_as_a_node(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the one before in another file, in the same one, or looked up in the contract's logs."""
    monkeypatch.setenv("TALLY_NODE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("TALLY_SETTLEMENT", wire.encode_address(SETTLEMENT))
    forms = [stage.server.tally_getCommitment(hex(epoch)) for epoch in (1, 2, 3)]
    assert run(["commit", "--yes", "--file", stage.write({"items": forms, "cursor": None})]) == 0
    assert len(stage.chain.commitments) == 2 and "eth_getLogs" not in stage.chain.asked
    assert run(["commit", "--yes", "--file", stage.write(forms[2])]) == 0
    assert len(stage.chain.commitments) == 3 and "eth_getLogs" in stage.chain.asked
    capsys.readouterr()
    for form in ({}, [], {"items": []}, {**forms[0], "message": 7}):
        assert run(["commit", "--yes", "--file", stage.write(form)]) == 64
    assert run(["commit", "2", "--yes", "--file", stage.write(forms[0])]) == 64
    assert run(["commit", "--yes", "--file", stage.write(forms[0])]) == 1
    assert "already included" in capsys.readouterr().err
    many = {"items": forms * 300, "cursor": None}
    assert len(json.dumps(many)) > 1 << 20, "more than a receipt may have"
    assert run(["commit", "--yes", "--file", stage.write(many)]) == 1
    assert "already included" in capsys.readouterr().err


def test_a_commitment_is_read_from_what_a_node_shows(stage: Stage) -> None:
    assert decode_signed_commitment(stage.server.tally_getCommitment("0x2")) == take(stage.scene, 2)
