"""`tally` as people and programs use it: what it prints, and how it ends."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from rich.text import Text

from chain import wire
from chain.payment import Output
from client.cli import app, books, options, output, run
from client.cli.exits import BadUsage
from client.ledgers import LedgerBook
from client.protocol import Asset
from client.receipts import Pending, ReceiptStore
from tests.unit.client.ledger_server import LedgerServer
from tests.unit.client.scene import (
    ALICE,
    ALICE_KEY,
    BOB,
    DOMAIN,
    LEDGER,
    OPERATOR,
    SETTLEMENT,
    TOKEN,
    Contract,
    Scene,
    make_payment,
    sign,
)
from tests.unit.client.servers import answer_json_rpc, serve

ETH = Asset(bytes(20), "ETH", 18, True)
TOK = Asset(TOKEN, "TOK", 2, False)
PRIVATE_KEY = "0x" + ALICE_KEY.secret.hex()


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TALLY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TALLY_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def network(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A node and an Ethereum, which the environment names. The machine's clock is that of the ledger."""
    contract = Contract(scene)
    handle_l1 = answer_json_rpc(lambda method, params: contract.call(method, *params))
    monkeypatch.setattr("time.time", lambda: scene.replay.state.timestamp / 1000 + 1)
    with serve(answer_json_rpc(LedgerServer(scene))) as node_url, serve(handle_l1) as l1_url:
        monkeypatch.setenv("TALLY_NODE_URL", node_url)
        monkeypatch.setenv("TALLY_L1_URL", l1_url)
        yield scene


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = run([*arguments, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out or err)


class TestUsage:
    @pytest.mark.parametrize(
        "arguments",
        [["nonsense"], ["send"], ["send", "0x12", "1"], ["verify"], ["verify", "missing.json"], ["keys", "new"],
         ["history", "0x12"], ["history", "--direction", "up"], ["history", "--limit", "0"],
         ["history", "--from", "soon"], ["history", "--reference", "0x12"], ["history", "--all", "--limit", "5"],
         ["history", "--csv", "f", "--json"], ["statement", "--csv", "f", "--json"],
         ["commitments", "first"], ["commitments", "1", "--cursor", "0x1"], ["commitments", "--limit", "0"],
         ["commitments", "--watch", "--json"], ["commit", "first"], ["commit", "--file", "f"],
         ["receipt", "0x12"], ["receipt", "0x" + "11" * 32, "--wait", "forever"], ["balance", "--bogus"]],
    )  # fmt: skip
    def test_a_wrong_use_ends_with_64(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert run(arguments) == 64
        assert capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [["--help"], ["send", "--help"], ["keys", "-h"], ["version"]])
    def test_help_and_version_end_with_0(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert run(arguments) == 0
        assert capsys.readouterr().out

    def test_all_commands_are_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        run(["--help"])
        out = capsys.readouterr().out
        for name in (
            "devnet", "node", "l1", "deploy", "keys", "balance", "deposit", "send", "tip", "withdraw", "claim",
            "receipt", "history", "statement", "verify", "audit", "version", "register", "upload", "list-file",
            "extend", "update-price", "delist", "purchase", "check-purchase", "files", "file", "roles", "commitments",
            "commit",
        ):  # fmt: skip
            assert f" {name} " in out

    def test_nobody_answering_ends_with_3_and_shows_no_secret(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["balance", "0x" + "11" * 20, "--node-url", "http://127.0.0.1:1/s3cr3t"]) == 3
        assert "s3cr3t" not in capsys.readouterr().err


class TestArguments:
    def test_assets_are_named_by_symbol_address_or_ether(self) -> None:
        assets = [ETH, TOK]
        assert options.choose_asset(None, assets) == ETH
        assert options.choose_asset("tok", assets) == TOK
        assert options.choose_asset("ether", assets) == ETH
        assert options.choose_asset("0x" + TOKEN.hex(), assets) == TOK
        for name in ("XYZ", "0x" + "11" * 20, ""):
            with pytest.raises(BadUsage):
                options.choose_asset(name, assets)

    def test_a_symbol_that_two_assets_share_must_be_an_address(self) -> None:
        with pytest.raises(BadUsage, match="more than one"):
            options.choose_asset("TOK", [TOK, Asset(b"\x01" * 20, "tok", 18, False)])

    def test_amounts_are_in_the_asset_s_units_or_in_base_units(self) -> None:
        assert options.read_amount("1.5", TOK, is_base_units=False) == 150
        assert options.read_amount("15", TOK, is_base_units=True) == 15
        for text in ("1.555", "-1", "1e3", "nan", "0", "0.00"):
            with pytest.raises(BadUsage):
                options.read_amount(text, TOK, is_base_units=False)
        with pytest.raises(BadUsage):
            options.read_amount("1.5", TOK, is_base_units=True)

    def test_without_decimals_amounts_are_in_base_units_alone(self) -> None:
        unknown = Asset(TOKEN, "TOK", None, False)
        assert options.read_amount("15", unknown, is_base_units=True) == 15
        with pytest.raises(BadUsage, match="decimals of TOK are not known"):
            options.read_amount("15", unknown, is_base_units=False)
        assert output.show_amount(15, unknown) == "15 base units of TOK"

    def test_a_checksum_that_is_wrong_is_a_typing_error(self) -> None:
        right = wire.encode_address(ALICE)
        for text in (right, right.lower(), "0x" + right[2:].upper()):
            assert options.parse_address(text, "it") == ALICE
        wrong = next(right[:at] + right[at].swapcase() + right[at + 1 :] for at in range(2, 42) if right[at].isalpha())
        with pytest.raises(BadUsage, match="checksum"):
            options.parse_address(wrong, "it")

    def test_valid_until_is_a_time_or_a_distance(self) -> None:
        assert options.parse_valid_until(None, 100) == 0
        assert options.parse_valid_until("150", 100) == 150
        assert options.parse_valid_until("+60", 100) == 160
        for text in ("99", "0", "-5", "soon", "+", "1.5", "9" * 30):
            with pytest.raises(BadUsage):
                options.parse_valid_until(text, 100)

    def test_a_moment_is_a_time_or_a_day_which_has_a_beginning_and_an_end(self) -> None:
        day = 1_795_564_800
        assert options.parse_moment(None, "--from") is None
        assert options.parse_moment("2026-11-25", "--from") == day
        assert options.parse_moment("2026-11-25", "--to", is_end=True) == day + 86_399
        for is_end in (False, True):
            assert options.parse_moment(str(day), "--to", is_end=is_end) == day
            assert options.parse_moment("2026-11-25T01:00:00", "--to", is_end=is_end) == day + 3600
            assert options.parse_moment("2026-11-25T01:00:00+01:00", "--to", is_end=is_end) == day
        for text in ("", "tomorrow", "-5", "2026-13-01", "1969-12-31", "9" * 13):
            with pytest.raises(BadUsage):
                options.parse_moment(text, "--from")

    def test_a_payment_is_named_by_its_id_or_by_a_file(self, tmp_path: Path) -> None:
        name = "0x" + "ab" * 32
        (tmp_path / "r.json").write_text(json.dumps({"id": name}))
        assert options.parse_payment_id(name) == options.parse_payment_id("r.json") == b"\xab" * 32
        (tmp_path / "odd.json").write_text("[]")
        for text in ("odd.json", "missing.json", "0x12"):
            with pytest.raises(BadUsage):
                options.parse_payment_id(text)


class TestKeys:
    def test_a_key_is_made_listed_shown_and_exported(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TALLY_PASSWORD", "password")
        code, made = run_json(capsys, "keys", "new", "alice")
        assert (code, made["name"]) == (0, "alice")
        assert run_json(capsys, "keys", "list") == (0, [made])
        assert run_json(capsys, "keys", "show", "alice") == (0, made)
        assert run(["keys", "export", "alice", "--yes"]) == 0
        assert options.parse_private_key(capsys.readouterr().out).address.hex() == made["address"][2:].lower()

    def test_a_key_comes_from_a_file(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        (tmp_path / "secret").write_text(PRIVATE_KEY + "\n")
        (tmp_path / "password").write_text("password\n")
        arguments = ["--private-key-file", "secret", "--password-file", "password"]
        code, made = run_json(capsys, "keys", "import", "alice", *arguments)
        assert (code, made["address"]) == (0, wire.encode_address(ALICE))
        assert run(["keys", "export", "alice", "--yes", "--password-file", "password"]) == 0
        assert capsys.readouterr().out.strip() == PRIVATE_KEY

    def test_without_a_password_or_anybody_to_ask_nothing_is_made(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["keys", "new", "alice"]) == 64
        assert "TALLY_PASSWORD" in capsys.readouterr().err

    def test_no_key_at_all_says_what_to_do(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["balance"]) == 1
        assert "tally keys new" in capsys.readouterr().err


class TestPaying:
    def test_a_payment_is_sent_kept_and_written_out(
        self, network: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        to = wire.encode_address(BOB)
        code, form = run_json(
            capsys,
            "send",
            to,
            "0.25",
            "--asset",
            "TOK",
            "--memo",
            "hi",
            "--private-key",
            PRIVATE_KEY,
            "--out",
            "r.json",
        )
        assert code == 0
        assert form["payment"]["outputs"] == [{"to": to, "amount": "0x19"}]
        assert json.loads((tmp_path / "r.json").read_text()) == form
        kept = ReceiptStore(DOMAIN.chain_id).find(bytes.fromhex(form["id"][2:]))
        assert kept is not None
        assert kept.form == form
        assert network.replay.state.get_balance(TOKEN, BOB) == 101 + 25

    def test_people_see_what_matters(self, network: Scene, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["send", wire.encode_address(BOB), "1", "--asset", "TOK", "--private-key", PRIVATE_KEY]) == 0
        out = capsys.readouterr().out
        for text in ("accepted", "transfer", "1 TOK", wire.encode_address(BOB), "receipt"):
            assert text in out

    def test_a_refusal_is_named_and_ends_with_1(self, network: Scene, capsys: pytest.CaptureFixture[str]) -> None:
        code, answer = run_json(
            capsys, "send", wire.encode_address(BOB), "9999", "--asset", "TOK", "--private-key", PRIVATE_KEY
        )
        assert code == 1
        assert answer["error"]["code"] == "insufficient_balance"
        assert answer["error"]["asset"] == wire.encode_address(TOKEN)

    def test_the_operator_is_pinned_from_the_contract_and_another_is_refused(
        self, network: Scene, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["send", wire.encode_address(BOB), "1", "--asset", "TOK", "--private-key", PRIVATE_KEY]
        assert run(arguments) == 0
        book = LedgerBook()
        pinned = book.find(DOMAIN.chain_id)
        assert pinned is not None
        assert (pinned.operator, pinned.source) == (OPERATOR, "contract")
        path = book.directory / f"{DOMAIN.chain_id}.json"
        path.write_text(path.read_text().replace(wire.encode_address(OPERATOR), wire.encode_address(BOB)))
        capsys.readouterr()
        assert run(arguments) == 1
        assert "wrong ledger" in capsys.readouterr().err

    def test_without_ethereum_the_node_s_word_is_pinned_and_said_to_be_so(
        self, network: Scene, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["--l1-url", "http://127.0.0.1:1", "--private-key", PRIVATE_KEY, "--asset", "TOK"]
        assert run(["send", wire.encode_address(BOB), "1", *arguments]) == 0
        assert "node's word is pinned" in capsys.readouterr().err

    def test_another_contract_than_the_one_given_is_refused(
        self, network: Scene, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["--settlement", "0x" + "11" * 20, "--private-key", PRIVATE_KEY]
        assert run(["send", wire.encode_address(BOB), "1", *arguments]) == 1
        assert "serves contract" in capsys.readouterr().err

    def test_balances(self, network: Scene, capsys: pytest.CaptureFixture[str]) -> None:
        code, answer = run_json(capsys, "balance", wire.encode_address(BOB))
        assert code == 0
        assert [line["balance"] for line in answer["balances"]] == ["0x0", hex(101)]
        assert run(["balance", wire.encode_address(BOB)]) == 0
        assert "1.01 TOK" in capsys.readouterr().out


class TestReceipts:
    def test_a_receipt_is_fetched_kept_and_shown_offline(
        self, network: Scene, capsys: pytest.CaptureFixture[str]
    ) -> None:
        name = wire.encode_bytes(network.first.id)
        code, form = run_json(capsys, "receipt", name, "--wait", "committed")
        assert (code, form["status"]) == (0, "committed")
        assert run_json(capsys, "receipt", name, "--offline", "--node-url", "http://127.0.0.1:1") == (0, form)

    def test_a_withdrawal_s_proof_is_kept_with_it(self, network: Scene) -> None:
        assert run(["receipt", wire.encode_bytes(network.withdrawal.id)]) == 0
        proof = ReceiptStore(DOMAIN.chain_id).find_proof(network.withdrawal.id)
        assert proof is not None
        assert proof.withdrawal is not None

    def test_waiting_ends_with_2_when_the_time_is_over(
        self, network: Scene, capsys: pytest.CaptureFixture[str]
    ) -> None:
        name = wire.encode_bytes(network.last.id)
        assert run(["receipt", name, "--wait", "committed", "--timeout", "0"]) == 2
        assert "accepted" in capsys.readouterr().err

    def test_a_payment_whose_outcome_is_not_known_is_settled_by_sending_it_again(
        self, network: Scene, capsys: pytest.CaptureFixture[str]
    ) -> None:
        signed = sign(make_payment(BOB, 7, 5), ALICE_KEY)
        store, now_ms = ReceiptStore(DOMAIN.chain_id), network.replay.state.timestamp
        store.save_pending(Pending((signed,), now_ms))
        name = wire.encode_bytes(signed.id)
        assert run(["receipt", name]) == 3
        assert "--resend" in capsys.readouterr().err
        code, form = run_json(capsys, "receipt", name, "--resend")
        assert (code, form["id"]) == (0, name)
        assert list(store.get_pending_ids()) == []
        assert run(["receipt", name, "--resend"]) == 0
        assert network.replay.state.get_balance(TOKEN, BOB) == 101 + 7

    def test_an_unknown_payment_ends_with_1(self, network: Scene, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["receipt", "0x" + "11" * 32]) == 1
        assert "not_found" in capsys.readouterr().err
        assert run(["receipt", "0x" + "11" * 32, "--offline"]) == 1


HOSTILE_MEMO = "=cmd|'/c calc'!A0, \"[bold]\"\x1b[31m\u202e"


class TestBooks:
    @pytest.fixture
    def paid(self, network: Scene) -> Scene:
        """Five more of Alice's payments, the last one to Bob and to herself."""
        self.others = [
            sign(make_payment(BOB, 5 + number, 10 + number, kind="tip", memo=HOSTILE_MEMO), ALICE_KEY)
            for number in range(4)
        ]
        split = make_payment(BOB, 1, 20, reference=b"\x42" * 32)
        split = msgspec.structs.replace(split, outputs=(Output(BOB, 3), Output(ALICE, 4), Output(BOB, 2)))
        self.split = sign(split, ALICE_KEY)
        for signed in (*self.others, self.split):
            network.add_block(signed)
        return network

    def run_history(self, capsys: pytest.CaptureFixture[str], who: bytes, *arguments: str) -> list[tuple[Any, ...]]:
        code, answer = run_json(capsys, "history", wire.encode_address(who), *arguments)
        assert (code, answer["address"]) == (0, wire.encode_address(who))
        return [(item["direction"], item["kind"], item["decimal"]) for item in answer["items"]]

    def test_what_came_and_went_is_shown_newest_first(self, paid: Scene, capsys: pytest.CaptureFixture[str]) -> None:
        tips = [("tip", f"0.0{8 - number}") for number in range(4)]
        assert self.run_history(capsys, BOB) == [
            ("in", "transfer", "0.03"),
            ("in", "transfer", "0.02"),
            *[("in", *tip) for tip in tips],
            ("in", "transfer", "0.01"),
            ("l1", "withdraw", "2"),
            ("in", "transfer", "0.3"),
            ("in", "transfer", "0.7"),
        ]
        assert self.run_history(capsys, ALICE) == [
            ("out", "transfer", "0.03"),
            ("self", "transfer", "0.04"),
            ("out", "transfer", "0.02"),
            *[("out", *tip) for tip in tips],
            ("out", "transfer", "0.01"),
            ("out", "withdraw", "2"),
            ("self", "transfer", "0.05"),
            ("out", "transfer", "0.3"),
            ("out", "transfer", "0.7"),
        ]

    @pytest.mark.parametrize(
        ("arguments", "count"),
        [
            ([], 12), (["--kind", "tip"], 4), (["--direction", "in"], 2), (["--direction", "out"], 12),
            (["--reference", "0x" + "42" * 32], 3), (["--counterparty", wire.encode_address(BOB)], 10),
            (["--counterparty", wire.encode_address(ALICE)], 2), (["--asset", "TOK"], 12), (["--asset", "ether"], 0),
            (["--counterparty", wire.encode_address(BOB), "--direction", "in"], 0), (["--limit", "2"], 4),
            (["--limit", "50"], 12), (["--all"], 12),
        ],
    )  # fmt: skip
    def test_filters_choose(
        self, paid: Scene, capsys: pytest.CaptureFixture[str], arguments: list[str], count: int
    ) -> None:
        assert len(self.run_history(capsys, ALICE, *arguments)) == count

    def test_all_pages_are_followed_and_a_limit_is_kept_over_them(
        self, paid: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = self.run_history(capsys, ALICE, "--all")
        monkeypatch.setattr(books, "_PAGE", 3)
        assert self.run_history(capsys, ALICE, "--all") == whole
        assert self.run_history(capsys, ALICE, "--limit", "7") == whole[:9]
        name = wire.encode_address(ALICE)
        assert run_json(capsys, "history", name, "--limit", "7")[1]["hasMore"] is True
        assert run_json(capsys, "history", name, "--all")[1]["hasMore"] is False

    def test_people_see_a_line_for_each_and_nothing_that_steers_their_terminal(
        self, paid: Scene, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["history", wire.encode_address(BOB), "--limit", "3"]) == 0
        out, err = capsys.readouterr()
        for text in ("+0.03 TOK", "+0.08 TOK", "tip", "accepted", wire.encode_address(ALICE), "=cmd|", '"[bold]"'):
            assert text in out
        assert "\x1b[31m" not in out and "\u202e" not in out
        assert len(out.splitlines()) == 2 + 4
        assert "there are more" in err
        assert run(["history", "0x" + "11" * 20]) == 0
        assert "no payments" in capsys.readouterr().err

    def test_a_csv_file_is_whole_exact_and_harmless(
        self, paid: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(books, "_PAGE", 3)
        assert run(["history", wire.encode_address(BOB), "--csv", "bob.csv", "--direction", "in"]) == 0
        assert "bob.csv: 10 rows" in capsys.readouterr().err
        text = (tmp_path / "bob.csv").read_bytes().decode()
        lines = text.split("\r\n")
        facts = [line for line in lines if line.startswith("# ")]
        assert facts[-1] == "# end of 10 rows" and "# filter: direction=in" in facts
        rows = list(csv.DictReader([line for line in lines if not line.startswith("# ")]))
        assert [row["amount"] for row in rows[:3]] == ["0.03", "0.02", "0.08"]
        assert [row["base_units"] for row in rows[:3]] == ["3", "2", "8"]
        assert rows[2]["memo"] == "'" + HOSTILE_MEMO
        assert rows[0]["time"].endswith("Z") and rows[0]["payment_id"] == wire.encode_bytes(self.split.id)
        assert run(["history", wire.encode_address(BOB), "--csv", "-", "--limit", "1"]) == 0
        out, err = capsys.readouterr()
        assert out.endswith("# end of 2 rows\r\n") and "# limit: the newest 1 payments" in out
        assert "there are more" in err

    def test_a_csv_file_that_cannot_be_whole_is_not_there(
        self, paid: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        assert run(["history", wire.encode_address(BOB), "--csv", "none/bob.csv"]) == 64
        block, signature = paid.blocks[1]
        forged = msgspec.structs.replace(paid.first, payment=msgspec.structs.replace(paid.first.payment, memo="other"))
        paid.blocks[1] = msgspec.structs.replace(block, records=(forged, *block.records[1:])), signature
        (tmp_path / "bob.csv").write_text("the one before")
        assert run(["history", wire.encode_address(BOB), "--csv", "bob.csv"]) == 1
        assert (tmp_path / "bob.csv").read_text() == "the one before"
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["bob.csv"]

    def test_a_payment_that_is_none_of_the_account_s_is_a_bad_reply(
        self, paid: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(LedgerServer, "_is_wanted", lambda *_: True)
        assert run(["history", "0x" + "11" * 20]) == 3
        assert "bad reply" in capsys.readouterr().err

    def test_a_statement_is_checked_from_the_opening_to_the_closing(
        self, paid: Scene, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, form = run_json(capsys, "statement", wire.encode_address(BOB), "--asset", "TOK")
        assert (code, form["opening"], form["closing"], form["cursor"]) == (0, hex(100), hex(100 + 1 + 26 + 5), None)
        assert [entry["amount"] for entry in form["credits"]] == [hex(each) for each in (1, 5, 6, 7, 8, 3, 2)]
        assert run(["statement", wire.encode_address(ALICE), "--asset", "TOK"]) == 0
        out = capsys.readouterr().out
        for text in ("opening", "closing", "-0.09 TOK", "+0.04 TOK"):
            assert text in out

    def test_a_statement_that_does_not_add_up_is_refused(
        self, paid: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        honest = LedgerServer.tally_getStatement

        def cheat(server: LedgerServer, *params: str) -> Any:
            form = honest(server, *params)
            for entry in form["credits"][:1]:
                entry["balance"] = hex(int(entry["balance"], 16) + 1)
            return form

        monkeypatch.setattr(LedgerServer, "tally_getStatement", cheat)
        for arguments in ([], ["--json"], ["--csv", "s.csv"]):
            assert run(["statement", wire.encode_address(BOB), "--asset", "TOK", *arguments]) == 1
            assert "invalid_proof" in capsys.readouterr().err
        assert not (tmp_path / "s.csv").exists()

    def test_a_statement_is_written_for_spreadsheets(self, paid: Scene, tmp_path: Path) -> None:
        assert run(["statement", wire.encode_address(ALICE), "--asset", "TOK", "--csv", "s.csv"]) == 0
        lines = (tmp_path / "s.csv").read_bytes().decode().split("\r\n")
        rows = list(csv.DictReader([line for line in lines if not line.startswith("# ")]))
        opening = next(line for line in lines if line.startswith("# opening: "))
        closing = next(line for line in lines if line.startswith("# closing: "))
        balance = int(opening.partition("(")[2].split()[0])
        for row in rows:
            balance += int(row["paid_in_base_units"] or 0) - int(row["paid_out_base_units"] or 0)
            assert int(row["balance_base_units"]) == balance
        assert balance == int(closing.partition("(")[2].split()[0])
        assert [row["kind"] for row in rows] == ["debit"] * 6 + ["credit"]
        assert (rows[-2]["paid_out"], rows[-1]["paid_in"]) == ("0.09", "0.04")


class TestChecking:
    def write(self, scene: Scene, form: Any) -> None:
        Path("r.json").write_text(json.dumps(form))

    @pytest.mark.parametrize(("name", "code", "verdict"), [("first", 0, "committed"), ("last", 2, "accepted")])
    def test_a_receipt_is_verified(
        self, network: Scene, capsys: pytest.CaptureFixture[str], name: str, code: int, verdict: str
    ) -> None:
        self.write(network, network.get_receipt(getattr(network, name)))
        assert run(["verify", "r.json"]) == code
        out = capsys.readouterr().out
        assert verdict.upper() in out
        assert wire.encode_address(SETTLEMENT) in out
        answered, report = run_json(capsys, "verify", "r.json", "--settlement", wire.encode_address(SETTLEMENT))
        assert (answered, report["verdict"], report["pinned"]) == (code, verdict, True)

    def test_a_cut_seen_on_ethereum_is_remembered_for_the_receipts_to_come(self, network: Scene) -> None:
        book = LedgerBook()
        book.pin(LEDGER)
        self.write(network, network.get_receipt(network.first))
        assert run(["verify", "r.json"]) == 0
        pinned = book.find(DOMAIN.chain_id)
        assert pinned is not None
        assert pinned.last_cut_at == network.sealed[0][0].cut_at

    def test_an_altered_one_ends_with_1_and_says_where(
        self, network: Scene, capsys: pytest.CaptureFixture[str]
    ) -> None:
        form = network.get_receipt(network.first)
        form["payment"]["memo"] = "other"
        self.write(network, form)
        assert run(["verify", "r.json"]) == 1
        out = capsys.readouterr().out
        assert "FAILED  payment id" in out.replace("\x1b", "")

    def test_what_is_no_json_is_a_wrong_use(self, network: Scene) -> None:
        Path("r.json").write_text("{")
        assert run(["verify", "r.json"]) == 64

    def test_an_ethereum_that_does_not_answer_ends_with_3(self, scene: Scene) -> None:
        self.write(scene, scene.get_receipt(scene.first))
        assert run(["verify", "r.json", "--l1-url", "http://127.0.0.1:1"]) == 3

    def test_a_ledger_is_audited(self, network: Scene, capsys: pytest.CaptureFixture[str]) -> None:
        code, summary = run_json(capsys, "audit")
        assert code == 0
        assert (summary["epochs"], summary["confirmedEpochs"], summary["disagreementCount"]) == (2, 2, 0)
        assert run(["audit"]) == 0
        assert "agrees" in capsys.readouterr().out

    def test_a_disagreement_ends_with_1_and_is_named(self, network: Scene, capsys: pytest.CaptureFixture[str]) -> None:
        block, signature = network.blocks[2]
        network.blocks[2] = block, bytes(65)
        assert run(["audit"]) == 1
        out, err = capsys.readouterr()
        assert "block 3: the operator's signature" in err
        assert "1 disagreements" in out
        network.blocks[2] = block, signature


def _walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    for below, each in getattr(command, "commands", {}).items():
        yield from _walk(each, f"{name} {below}")


def test_no_help_loses_what_stands_in_brackets() -> None:
    """Help is markup, in which `[none]` is a style, and not shown."""
    seen = 0
    for name, command in _walk(typer.main.get_command(app), "tally"):
        for text in (command.help, *(getattr(parameter, "help", None) for parameter in command.params)):
            if text:
                assert Text.from_markup(text).plain == text.replace("\\[", "["), name
                seen += "[" in text
    assert seen > 20
