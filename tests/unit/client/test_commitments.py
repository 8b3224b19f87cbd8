"""How commitments come to Ethereum, as a node tells of it and as `tally commitments` shows it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain import wire
from client import commitments
from client.cli import commitments as cli_commitments
from client.cli import run
from client.errors import BadReply, Unreachable
from client.node import AsyncNode, Node
from tests.unit.client.ledger_server import LedgerServer
from tests.unit.client.scene import Scene, name_block, name_transaction
from tests.unit.client.servers import answer_json_rpc, serve

REVERTED = {
    "number": "0x1",
    "hash": "0x" + "0a" * 32,
    "nonce": "0x7",
    "type": "eip1559",
    "gasLimit": hex(125_000),
    "maxFeePerGas": hex(3_000_000_001),
    "maxPriorityFeePerGas": hex(10**9),
    "sentAt": hex(1_700_000_000_123),
    "outcome": "reverted",
    "problem": "CutInFuture(nowMs=1, cutAt=2)",
    "gasUsed": hex(40_000),
    "effectiveGasPrice": hex(2 * 10**9),
    "cost": hex(80_000 * 10**9),
}
WAITING = {
    **REVERTED, "number": "0x2", "hash": "0x" + "0b" * 32, "nonce": "0x8", "type": "legacy", "outcome": None,
    "problem": None, "gasUsed": None, "effectiveGasPrice": None, "cost": None,
}  # fmt: skip


class Health:
    """What is answered at /health/ready; None: nothing that could be read."""

    def __init__(self) -> None:
        self.status = 200
        self.committer: dict[str, Any] | None = {"state": "idle", "ok": True, "detail": ""}

    def show(self, path: str) -> tuple[int, bytes]:
        assert path == "/health/ready"
        if self.committer is None:
            return 404, b"<html>"
        checks = {"sequencer": {"state": "running", "ok": True, "detail": ""}, "committer": self.committer}
        return self.status, msgspec.json.encode({"status": "degraded", "checks": checks})


@pytest.fixture
def server() -> LedgerServer:
    made = LedgerServer(Scene())
    made.attempts[2] = [REVERTED, WAITING]
    return made


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def url(server: LedgerServer, health: Health, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in list(os.environ):
        if name.startswith("TALLY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TALLY_HOME", str(tmp_path / "home"))
    with serve(answer_json_rpc(server), health.show) as address:
        monkeypatch.setenv("TALLY_NODE_URL", address)
        yield address


# --- what the node says


def test_a_commitment_is_read_with_all_that_was_tried(url: str) -> None:
    with Node(url) as node:
        way, other = node.get_way(2), node.get_way(1)
    first, second = way.attempts
    assert (first.outcome, first.problem, first.cost) == ("reverted", "CutInFuture(nowMs=1, cutAt=2)", 80_000 * 10**9)
    assert (second.type, second.outcome, second.gas_used, second.cost) == ("legacy", None, None, None)
    assert (way.cost, way.is_ours, way.fee) == (80_000 * 10**9, True, 90_000 * 1_500_000_000)
    assert (way.confirmations, way.l1_block_hash) == (3, name_block(102))
    assert (other.attempts, other.cost, other.is_ours) == ((), 0, False)


async def test_both_nodes_list_commitments_page_by_page(url: str) -> None:
    with Node(url) as node:
        page = node.list_commitments(limit=1)
        assert ([way.signed.epoch for way in page.items], page.cursor) == ([2], "0x1")
        last = node.list_commitments(page.cursor, 1)
        assert ([way.signed.epoch for way in last.items], last.cursor) == ([1], None)
    async with AsyncNode(url) as other:
        assert await other.list_commitments(limit=1) == page
        assert await other.get_way(2) == page.items[0]


@pytest.mark.parametrize(
    "change",
    [
        {"isOurs": 1},
        {"cost": None},
        {"cost": "x"},
        {"attempts": None},
        {"attempts": [{**REVERTED, "type": "blob"}]},
        {"attempts": [{**REVERTED, "outcome": "lost"}]},
        {"attempts": [{**REVERTED, "problem": 7}]},
        {"attempts": [{**REVERTED, "hash": "0x"}]},
        {"attempts": [{**REVERTED, "gasUsed": -1}]},
    ],
)
def test_what_is_no_way_to_ethereum_is_a_bad_reply(server: LedgerServer, change: dict[str, Any]) -> None:
    form = {**server.tally_getCommitment("0x2"), **change}
    with pytest.raises(BadReply):
        commitments.get_way(2).read(form)
    with pytest.raises(BadReply):
        commitments.list_commitments().read({"items": [form], "cursor": None})


@pytest.mark.parametrize("form", [None, [], {}, {"items": None, "cursor": None}, {"items": [], "cursor": 7}])
def test_what_is_no_page_is_a_bad_reply(form: Any) -> None:
    with pytest.raises(BadReply):
        commitments.list_commitments().read(form)


def test_health_is_read_whatever_its_status_and_nothing_else_is(url: str, health: Health) -> None:
    health.status, health.committer = 503, {"state": "out_of_funds", "ok": False, "detail": "0 wei", "more": 1}
    with Node(url + "/rpc") as node:
        found = node.get_health()["committer"]
        assert (found.state, found.is_ok, found.detail) == ("out_of_funds", False, "0 wei")
        health.committer = None
        with pytest.raises(BadReply):
            node.get_health()
    with Node("http://127.0.0.1:1") as node, pytest.raises(Unreachable):
        node.get_health()


# --- `tally commitments`


@pytest.mark.usefixtures("url")
def test_epochs_are_shown_with_what_they_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["commitments"]) == 0
    out, err = capsys.readouterr()
    second, first = out.splitlines()[1:]
    assert second.split() == [
        "2", "mined", "4-4", "2", wire.encode_bytes(name_transaction(2)), "102", "3", "90000", "0.000135", "ETH",
        "0.00008", "ETH",
    ]  # fmt: skip
    assert "  1  mined, by somebody else  " in first and first.endswith("  0 ETH")
    assert err == "", "all is ordinary"
    assert run(["commitments", "--limit", "1"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2 and "--cursor 0x1" in err
    assert run(["commitments", "--cursor", "0x1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.usefixtures("url")
def test_more_than_a_page_is_fetched_in_pages(
    server: LedgerServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli_commitments, "_PAGE", 1)
    assert run(["commitments", "--json"]) == 0
    assert [item["epoch"] for item in json.loads(capsys.readouterr().out)["items"]] == ["0x2", "0x1"]
    assert server.asked == ["tally_listCommitments"] * 2


@pytest.mark.usefixtures("url")
def test_one_epoch_is_shown_with_all_its_attempts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["commitments", "2"]) == 0
    out, err = capsys.readouterr()
    words = " ".join(out.split())
    assert " sent by the node " in words and " cost to the node 0.00008 ETH " in words
    rows = out.splitlines()[-2:]
    assert "reverted: CutInFuture(nowMs=1, cutAt=2)" in rows[0] and "3.000000001" in rows[0]
    assert " legacy " in rows[1] and " waits " in rows[1]
    assert "gwei" in err
    assert run(["commitments", "1"]) == 0
    out, err = capsys.readouterr()
    assert " sent by somebody else " in " ".join(out.split()) and "no attempt" in err
    assert run(["commitments", "9"]) == 1
    assert "not_found" in capsys.readouterr().err


@pytest.mark.usefixtures("url")
def test_what_needs_somebody_is_said_in_one_line(health: Health, capsys: pytest.CaptureFixture[str]) -> None:
    health.committer = {"state": "fee_cap_reached", "ok": False, "detail": "the cap\u202e is 1 gwei"}
    assert run(["commitments"]) == 0
    assert "the committer needs somebody: fee_cap_reached: the cap� is 1 gwei" in capsys.readouterr().err
    assert run(["commitments", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["committer"]
    assert (shown["state"], shown["ok"]) == ("fee_cap_reached", False)
    health.committer = None
    assert run(["commitments"]) == 0
    assert "how the node's committer is" in capsys.readouterr().err


@pytest.mark.usefixtures("url")
def test_watching_shows_what_changes_until_it_is_interrupted(
    server: LedgerServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            server.attempts[1] = [WAITING]
        if looks == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("client.cli.commitments.time.sleep", sleep)
    assert run(["commitments", "--watch"]) == 130
    assert capsys.readouterr().out.count("l1 transaction") == 2
