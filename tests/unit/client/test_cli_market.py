"""The data exchange from a shell: what is shown before it is signed, what is on disk after, and how it ends."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from coincurve import PrivateKey

from chain import wire
from chain.hashing import keccak
from chain.instruction import ListFile
from chain.market import compute_shares
from chain.primitives import ZERO_HASH
from chain.sealing import escrow_context, open_sealed_key
from client.cli import run
from client.content import encrypt_content
from client.file_keys import FileKeyStore
from client.ledgers import LedgerBook
from client.receipts import ReceiptStore
from client.transport import HttpTransport
from tests.unit.client.market_scene import (
    CONTENT,
    ESCROW_KEY,
    FILE,
    FILE_KEY,
    KEEPER,
    MART,
    MART_KEY,
    OWNER,
    OWNER_KEY,
    PRICE,
    STORAGE_CHARGE,
    VALIDATOR,
    VALIDATOR_KEY,
    MarketScene,
    MarketServer,
    make_listing,
)
from tests.unit.client.scene import ALICE, ALICE_KEY, BOB, DOMAIN, LEDGER, MARKET, OPERATOR, SETTLEMENT, TOKEN, Contract
from tests.unit.client.servers import answer_json_rpc, serve

FILE_ID = wire.encode_bytes(FILE)


class Network:
    def __init__(self) -> None:
        self.scene = MarketScene()
        self.server = MarketServer(self.scene)
        self.contract = Contract(self.scene)

    @property
    def state(self) -> Any:
        return self.scene.replay.state


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TALLY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TALLY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TALLY_ASSET", "TOK")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """A node and an Ethereum, which the environment names. The machine's clock is that of the ledger."""
    network = Network()
    handle_l1 = answer_json_rpc(lambda method, params: network.contract.call(method, *params))
    monkeypatch.setattr("time.time", lambda: network.state.timestamp / 1000 + 1)
    with serve(answer_json_rpc(network.server)) as node_url, serve(handle_l1) as l1_url:
        monkeypatch.setenv("TALLY_NODE_URL", node_url)
        monkeypatch.setenv("TALLY_L1_URL", l1_url)
        yield network


def sign_with(key: PrivateKey) -> list[str]:
    return ["--private-key", "0x" + key.secret.hex()]


AS_VALIDATOR, AS_MART = sign_with(VALIDATOR_KEY), sign_with(MART_KEY)


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = run([*arguments, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out or err.splitlines()[-1])


class TestConsent:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["register", "mart", *AS_VALIDATOR],
            ["update-price", FILE_ID, "3", *AS_VALIDATOR],
            ["delist", FILE_ID, *AS_VALIDATOR],
            ["extend", FILE_ID, "--days", "5", *AS_VALIDATOR],
            ["purchase", FILE_ID, *AS_MART],
            ["tip", wire.encode_address(BOB), "1", *AS_MART],
            ["upload", "sea.csv", "--price", "3", "--owner", wire.encode_address(BOB), "--days", "30", *AS_VALIDATOR],
            ["list-file", "sea.csv", "--price", "3", "--owner", wire.encode_address(OWNER), "--days", "30",
             *AS_VALIDATOR],
        ],
        ids=lambda arguments: arguments[0],
    )  # fmt: skip
    @pytest.mark.parametrize("answer", ["nobody there", "no", "yes", "--yes"])
    def test_nothing_is_signed_without_a_yes(
        self,
        network: Network,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        arguments: list[str],
        answer: str,
    ) -> None:
        Path("sea.csv").write_bytes(b"salty")
        monkeypatch.setattr("sys.stdin.isatty", lambda: answer != "nobody there")
        asked: list[str] = []

        def confirm(question: str, *, abort: bool, err: bool) -> None:
            asked.append(question)
            assert abort and err
            if answer == "no":
                raise KeyboardInterrupt

        monkeypatch.setattr("typer.confirm", confirm)
        before = network.state.compute_fingerprint()
        code = run([*arguments, *([answer] if answer == "--yes" else [])])
        out, err = capsys.readouterr()
        assert code == {"nobody there": 64, "no": 130, "yes": 0, "--yes": 0}[answer]
        assert len(asked) == (answer in ("no", "yes"))
        assert "--yes" in err or answer != "nobody there"
        for shown in ("0x", "from" if "payment" in err else "instruction"):
            assert shown in err, "what it is about is shown before anybody is asked"
        is_done = answer in ("yes", "--yes")
        assert (network.state.compute_fingerprint() != before) == is_done
        assert (network.server.sent != []) == is_done
        assert bool(out) == is_done
        if not is_done:
            assert not Path("sea.csv.encrypted").exists()
            assert not FileKeyStore(DOMAIN.chain_id).directory.exists()

    def test_a_quote_that_is_another_payment_is_not_signed(
        self, network: Network, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        honest = network.server.tally_quote

        def cheat(kind: str, details: dict[str, Any]) -> dict[str, Any]:
            form = honest(kind, details)
            form["payment"]["outputs"][0]["to"] = wire.encode_address(BOB)
            return form

        monkeypatch.setattr(network.server, "tally_quote", cheat, raising=False)
        for arguments in (
            ["purchase", FILE_ID, *AS_MART],
            ["extend", FILE_ID, "--days", "5", *AS_VALIDATOR],
            ["tip", wire.encode_address(ALICE), "1", *AS_MART],
        ):
            code, answer = run_json(capsys, *arguments, "--yes")
            assert (code, answer["error"]["code"]) == (1, "wrong_quote")
        assert network.server.sent == []

    def test_a_file_that_is_not_what_its_validator_signed_is_not_paid_for(
        self, network: Network, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        honest = network.server.tally_getFile
        changed = {"owner": wire.encode_address(BOB)}
        monkeypatch.setattr(network.server, "tally_getFile", lambda file: {**honest(file), **changed}, raising=False)
        for arguments in (["purchase", FILE_ID, "--yes", *AS_MART], ["file", FILE_ID]):
            code, answer = run_json(capsys, *arguments)
            assert (code, answer["error"]["code"]) == (1, "wrong_listing")
        assert network.server.sent == []


class TestTakingPart:
    def test_roles_are_taken_and_shown(self, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
        alice = wire.encode_address(ALICE)
        code, form = run_json(capsys, "register", "service-node", "--yes", *sign_with(ALICE_KEY))
        assert (code, form["instruction"]["type"], form["instruction"]["role"]) == (0, "Register", "service_node")
        assert ReceiptStore(DOMAIN.chain_id).find(wire.decode_hash(form["id"], "id")) is not None
        validator = wire.encode_address(VALIDATOR)
        code, form = run_json(capsys, "register", "owner", "--validator", validator, "--yes", *sign_with(ALICE_KEY))
        assert (code, form["instruction"]["validator"]) == (0, validator)
        assert run_json(capsys, "roles", alice) == (
            0, {"address": alice, "roles": ["service_node", "owner"], "ownerUnder": validator},
        )  # fmt: skip
        code, answer = run_json(capsys, "roles", validator, "--owners")
        assert (answer["ownerCount"], [owner["account"] for owner in answer["owners"]]) == (
            "0x2", [alice, wire.encode_address(OWNER)],
        )  # fmt: skip
        assert run_json(capsys, "balance", alice)[1]["roles"] == ["service_node", "owner"]
        assert run(["balance", alice]) == 0
        assert f"service node, owner under {validator}" in capsys.readouterr().out
        assert run(["roles", validator, "--owners"]) == 0
        out = capsys.readouterr().out
        assert "2 owners" in out and alice in out

    def test_a_second_registration_is_refused_by_name(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, answer = run_json(capsys, "register", "validator", "--yes", *AS_VALIDATOR)
        assert (code, answer["error"]["code"]) == (1, "already_registered")

    @pytest.mark.parametrize(
        "arguments",
        [["register", "king"], ["register", "owner"], ["register", "mart", "--validator", "0x" + "11" * 20],
         ["update-price", "0x12", "1"], ["delist", "lake"], ["extend", FILE_ID, "--days", "0"], ["extend", FILE_ID],
         ["purchase", FILE_ID, "--decrypt", "x"], ["purchase", FILE_ID, "--output", "x"],
         ["purchase", FILE_ID, "--decrypt", "missing", "--output", "x"], ["purchase", FILE_ID, "--file-key", "missing"],
         ["upload", "missing", "--price", "1", "--owner", "0x" + "11" * 20, "--days", "1"],
         ["upload", "missing", "--price", "1", "--days", "1"], ["files", "--limit", "0"], ["file", "0x"],
         ["check-purchase", "missing", "--file", FILE_ID, "--buyer", "0x" + "11" * 20]],
        ids=" ".join,
    )  # fmt: skip
    def test_a_wrong_use_ends_with_64(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        signs = arguments[0] not in ("files", "file", "check-purchase")
        assert run([*arguments, *(AS_VALIDATOR if signs else [])]) == 64
        out, err = capsys.readouterr()
        assert err and not out

    def test_prices_change_and_files_go(self, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["update-price", FILE_ID, "4.5", "--yes", *AS_VALIDATOR]) == 0
        out, err = capsys.readouterr()
        for text in ("lake.csv", "2 TOK", "4.5 TOK", "UpdatePrice"):
            assert text in err
        assert "UpdatePrice" in out and "accepted" in out
        assert network.state.files[FILE].price == 450
        assert run(["delist", FILE_ID, "--yes", *AS_VALIDATOR]) == 0
        assert network.state.files[FILE].is_delisted
        capsys.readouterr()
        code, answer = run_json(capsys, "delist", FILE_ID, "--yes", *AS_VALIDATOR)
        assert (code, answer["error"]["code"]) == (1, "delisted")

    def test_another_s_file_is_refused_by_name(self, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
        for arguments in (["update-price", FILE_ID, "1"], ["delist", FILE_ID], ["extend", FILE_ID, "--days", "5"]):
            code, answer = run_json(capsys, *arguments, "--yes", *AS_MART)
            assert (code, answer["error"]["code"]) == (1, "foreign_validator")

    def test_a_file_is_kept_longer(self, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
        before = network.state.files[FILE].keep_until
        assert run(["extend", FILE_ID, "--days", "5", "--yes", *AS_VALIDATOR]) == 0
        out, err = capsys.readouterr()
        assert "0.1 TOK" in err and "to service node" in err and "extend" in out
        assert network.state.files[FILE].keep_until == before + 5 * 86_400
        assert network.state.get_balance(TOKEN, KEEPER) == STORAGE_CHARGE + 10


class TestSelling:
    @pytest.fixture(autouse=True)
    def _content(self) -> None:
        Path("sea.csv").write_bytes(CONTENT)

    def upload(self, *more: str, command: str = "upload", owner: bytes = BOB) -> list[str]:
        who = wire.encode_address(owner)
        return [command, "sea.csv", "--price", "3", "--owner", who, "--days", "30", *more, "--yes", *AS_VALIDATOR]

    def get_listing(self, form: dict[str, Any]) -> ListFile:
        listing = wire.decode_instruction(form["instruction"])
        assert isinstance(listing, ListFile)
        return listing

    def test_an_upload_lists_pays_encrypts_and_keeps_the_key(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, answer = run_json(
            capsys, *self.upload("--tag", "sea", "--tag", "salt", "--description", "Salty.", "--name", "Sea.csv")
        )
        assert code == 0
        listing = self.get_listing(answer["listing"])
        content_hash = hashlib.sha256(CONTENT).digest()
        file = keccak(VALIDATOR + content_hash)
        assert (listing.file, listing.content_hash, listing.size) == (file, content_hash, len(CONTENT))
        assert (listing.name, listing.media_type, listing.tags) == ("Sea.csv", "text/csv", ("sea", "salt"))
        assert (listing.price, listing.asset, listing.owner, listing.storage_days) == (300, TOKEN, BOB, 30)
        kept = FileKeyStore(DOMAIN.chain_id).find(file)
        assert kept is not None and keccak(kept.key) == listing.key_hash
        assert stat.S_IMODE(Path(answer["key"]).stat().st_mode) == 0o600
        context = escrow_context(DOMAIN, VALIDATOR, file)
        assert open_sealed_key(listing.sealed_key, ESCROW_KEY.secret, context) == kept.key
        assert Path(answer["encrypted"]) == Path("sea.csv.encrypted")
        encrypt_content(Path("sea.csv"), Path("again"), kept.key)
        assert Path("again").read_bytes() == Path("sea.csv.encrypted").read_bytes() != CONTENT
        payment = answer["payment"]["payment"]
        assert (payment["kind"], payment["outputs"]) == (
            "upload", [{"to": wire.encode_address(KEEPER), "amount": hex(STORAGE_CHARGE)}],
        )  # fmt: skip
        assert network.state.files[file].service_node == KEEPER
        store = ReceiptStore(DOMAIN.chain_id)
        assert len(list(store.get_ids())) == 2 and list(store.get_pending_ids()) == []

    def test_people_see_all_of_it_before_and_where_things_are_after(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(self.upload()) == 0
        out, err = capsys.readouterr()
        for text in ("ListFile", "sea.csv", "3 TOK", "0.6 TOK", "to service node", "escrow", wire.encode_address(BOB)):
            assert text in err
        for text in ("ListFile", "upload", "accepted", "sea.csv.encrypted", "file-keys"):
            assert text in out

    @pytest.mark.parametrize(
        ("more", "has_key_hash", "has_sealed_key", "is_encrypted"),
        [((), True, True, True), (("--keep-key",), True, False, True), (("--plain",), False, False, False)],
    )
    def test_the_key_is_in_escrow_kept_or_not_needed(
        self,
        network: Network,
        capsys: pytest.CaptureFixture[str],
        more: tuple[str, ...],
        has_key_hash: bool,
        has_sealed_key: bool,
        is_encrypted: bool,
    ) -> None:
        code, answer = run_json(capsys, *self.upload(*more))
        listing = self.get_listing(answer["listing"])
        assert code == 0
        assert (listing.key_hash != ZERO_HASH, listing.sealed_key != b"") == (has_key_hash, has_sealed_key)
        assert Path("sea.csv.encrypted").exists() == (answer["key"] is not None) == is_encrypted

    def test_a_node_without_an_escrow_is_given_no_key(
        self, network: Network, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        honest = network.server.tally_getInfo
        monkeypatch.setattr(network.server, "tally_getInfo", lambda: {**honest(), "escrow": None}, raising=False)
        code, answer = run_json(capsys, *self.upload())
        assert (code, self.get_listing(answer["listing"]).sealed_key) == (0, b"")
        assert answer["key"] is not None

    def test_a_file_that_one_keeps_oneself_is_listed_without_paying(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = network.state.get_balance(TOKEN, VALIDATOR)
        code, form = run_json(capsys, *self.upload(command="list-file", owner=OWNER))
        assert (code, form["instruction"]["type"]) == (0, "ListFile")
        assert network.state.get_balance(TOKEN, VALIDATOR) == before
        assert Path("sea.csv.encrypted").exists()
        code, answer = run_json(capsys, *self.upload("--id", "0x" + "42" * 32, command="list-file"))
        assert (code, answer["error"]["code"]) == (64, "bad_usage"), "the encrypted file is that of the first"
        Path("sea.csv.encrypted").unlink()
        code, answer = run_json(capsys, *self.upload("--id", "0x" + "42" * 32, command="list-file"))
        assert (code, answer["error"]["code"]) == (1, "wrong_role"), "such an owner must be registered"

    def test_what_was_refused_is_tried_again_with_the_same_key(
        self, network: Network, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Refused after the key was made: a second attempt encrypts nothing anew."""
        honest = network.server.tally_sendUpload

        def lose(*arguments: Any) -> Any:
            return None

        monkeypatch.setattr(network.server, "tally_sendUpload", lose, raising=False)
        assert run(self.upload()) == 3
        encrypted = Path("sea.csv.encrypted").read_bytes()
        monkeypatch.setattr(network.server, "tally_sendUpload", honest, raising=False)
        capsys.readouterr()
        (pending,) = ReceiptStore(DOMAIN.chain_id).get_pending_ids()
        assert run(["receipt", wire.encode_bytes(pending), "--resend"]) == 0
        assert len(list(ReceiptStore(DOMAIN.chain_id).get_ids())) == 2
        capsys.readouterr()
        code, answer = run_json(capsys, *self.upload())
        assert (code, answer["error"]["code"]) == (1, "already_listed")
        assert Path("sea.csv.encrypted").read_bytes() == encrypted

    def test_one_key_never_encrypts_two_contents(self, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(self.upload("--id", "0x" + "42" * 32)) == 0
        Path("sea.csv").write_bytes(b"other content")
        Path("sea.csv.encrypted").unlink()
        capsys.readouterr()
        code, answer = run_json(capsys, *self.upload("--id", "0x" + "42" * 32))
        assert (code, answer["error"]["code"]) == (64, "bad_usage")
        assert not Path("sea.csv.encrypted").exists()

    def test_another_file_of_that_name_is_not_touched(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("sea.csv.encrypted").write_bytes(b"mine")
        for _ in range(2):
            assert run(self.upload()) == 64
        assert Path("sea.csv.encrypted").read_bytes() == b"mine"
        assert network.server.sent == []

    def test_content_that_changes_meanwhile_is_not_sold(
        self, network: Network, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for more, name in (((), "encrypt_content"), (("--plain",), "measure_content")):
            from client.cli import uploads

            honest, calls = getattr(uploads, name), []

            def change(path: Path, *rest: Any, honest: Any = honest, calls: list[int] = calls) -> Any:
                calls.append(1)
                if len(calls) > 1 or rest:
                    path.write_bytes(b"other")
                return honest(path, *rest)

            Path("sea.csv").write_bytes(CONTENT)
            with monkeypatch.context() as patch:
                patch.setattr(uploads, name, change)
                code, answer = run_json(capsys, *self.upload(*more))
            assert (code, answer["error"]["code"]) == (1, "wrong_content")
            assert not Path("sea.csv.encrypted").exists()
        assert network.server.sent == []

    @pytest.mark.parametrize(
        ("more", "code", "error"),
        [(["--name", "x" * 129], 1, "malformed_instruction"),
         (["--tag", "a", "--tag", "a"], 1, "malformed_instruction"),
         (["--asset", "ether"], 1, "no_storage_rate"), (["--plain", "--keep-key"], 64, "bad_usage"),
         (["--service-node", wire.encode_address(BOB)], 1, "wrong_service_node")],
    )  # fmt: skip
    def test_what_is_refused_is_refused_before_anything_is_written(
        self, network: Network, capsys: pytest.CaptureFixture[str], more: list[str], code: int, error: str
    ) -> None:
        ended, answer = run_json(capsys, *self.upload(*more))
        assert (ended, answer["error"]["code"]) == (code, error)
        assert not Path("sea.csv.encrypted").exists() and not FileKeyStore(DOMAIN.chain_id).directory.exists()
        assert network.server.sent == []

    def test_an_empty_file_is_none(self, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
        Path("sea.csv").write_bytes(b"")
        code, answer = run_json(capsys, *self.upload())
        assert (code, answer["error"]["code"]) == (1, "malformed_instruction")

    def test_of_many_service_nodes_one_must_be_named(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["register", "service-node", "--yes", *sign_with(ALICE_KEY)]) == 0
        capsys.readouterr()
        code, answer = run_json(capsys, *self.upload())
        assert code == 64 and "--service-node" in answer["error"]["message"]
        code, answer = run_json(capsys, *self.upload("--service-node", wire.encode_address(ALICE)))
        assert (code, answer["payment"]["payment"]["outputs"][0]["to"]) == (0, wire.encode_address(ALICE))


class TestBuying:
    def encrypt(self) -> None:
        Path("plain").write_bytes(CONTENT)
        encrypt_content(Path("plain"), Path("lake.encrypted"), FILE_KEY)

    def buy(self, *more: str) -> list[str]:
        return ["purchase", FILE_ID, *more, "--yes", *AS_MART]

    def test_a_file_is_bought_and_decrypted_to_its_content(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.encrypt()
        arguments = self.buy("--price", "2", "--decrypt", "lake.encrypted", "--output", "lake.csv", "--out", "r.json")
        code, answer = run_json(capsys, *arguments)
        assert (code, answer["paid"], answer["output"]) == (0, True, "lake.csv")
        assert Path("lake.csv").read_bytes() == CONTENT
        shares = compute_shares(network.state.files[FILE], MARKET)
        assert [(output["to"], int(output["amount"], 16)) for output in answer["receipt"]["payment"]["outputs"]] == [
            (wire.encode_address(to), amount) for to, amount in shares
        ]
        assert network.state.get_balance(TOKEN, MART) == 10_000 - PRICE
        assert json.loads(Path("r.json").read_text()) == answer["receipt"]
        kept = FileKeyStore(DOMAIN.chain_id).find(FILE)
        assert kept is not None and kept.key == FILE_KEY

    def test_people_see_who_gets_what(self, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(self.buy()) == 0
        out, err = capsys.readouterr()
        for text in ("lake.csv", "to validator", "1 TOK", "to owner", "0.9 TOK", "to service node", "0.1 TOK", "2 TOK"):
            assert text in err
        assert "purchase" in out and "accepted" in out and "file-keys" in out

    def test_another_price_than_expected_is_refused(self, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
        code, answer = run_json(capsys, *self.buy("--price", "1.99"))
        assert (code, answer["error"]["code"], answer["error"]["expected"]) == (1, "wrong_price", str(PRICE))
        assert network.server.sent == []

    def test_it_is_bought_once_and_its_key_had_again(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.encrypt()
        assert run(self.buy()) == 0
        network.scene.reprice(300, 3)
        capsys.readouterr()
        code, answer = run_json(capsys, *self.buy())
        assert (code, answer["error"]["code"]) == (1, "already_purchased")
        code, answer = run_json(capsys, *self.buy("--decrypt", "lake.encrypted", "--output", "lake.csv"))
        assert (code, answer["paid"]) == (0, False)
        assert Path("lake.csv").read_bytes() == CONTENT
        assert network.state.get_balance(TOKEN, MART) == 10_000 - PRICE

    def test_content_that_is_not_the_listing_s_is_not_written(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("lake.encrypted").write_bytes(b"something else")
        code, answer = run_json(capsys, *self.buy("--decrypt", "lake.encrypted", "--output", "lake.csv"))
        assert (code, answer["error"]["code"]) == (1, "wrong_content")
        assert not Path("lake.csv").exists()
        assert list(ReceiptStore(DOMAIN.chain_id).get_ids()), "what was paid is on disk all the same"

    def test_what_is_there_is_not_written_over_and_nothing_is_paid(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.encrypt()
        code, _ = run_json(capsys, *self.buy("--decrypt", "lake.encrypted", "--output", "plain"))
        assert code == 64
        assert network.server.sent == []

    def test_a_key_that_the_validator_hands_out_is_checked(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other = make_listing(nonce=3, file=b"\x42" * 32, sealed_key=b"")
        network.scene.add_block(network.scene.sign(other))
        self.encrypt()
        arguments = ["purchase", "0x" + "42" * 32, "--yes", *AS_MART]
        assert run(arguments) == 0
        assert "validator hands out the key" in capsys.readouterr().err
        decrypting = [*arguments, "--decrypt", "lake.encrypted", "--output", "lake.csv"]
        assert run_json(capsys, *decrypting)[0] == 64
        Path("key").write_text("0x" + "11" * 32 + "\n")
        assert run_json(capsys, *decrypting, "--file-key", "key")[1]["error"]["code"] == "wrong_key"
        Path("key").write_text(json.dumps({"key": "0x" + FILE_KEY.hex()}))
        assert run_json(capsys, *decrypting, "--file-key", "key")[0] == 0
        assert Path("lake.csv").read_bytes() == CONTENT

    def test_a_wrong_key_from_the_node_is_named(
        self, network: Network, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        honest = network.server.tally_getPurchase

        def cheat(file: str, buyer: str) -> dict[str, Any]:
            return {**honest(file, buyer), "sealedKey": "0x" + "02" * 81}

        monkeypatch.setattr(network.server, "tally_getPurchase", cheat, raising=False)
        code, answer = run_json(capsys, *self.buy())
        assert (code, answer["error"]["code"]) == (1, "wrong_key")

    def test_who_is_no_mart_is_refused_by_name(self, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
        code, answer = run_json(capsys, "purchase", FILE_ID, "--yes", *sign_with(OWNER_KEY))
        assert (code, answer["error"]["code"]) == (1, "wrong_role")


class TestLooking:
    def test_files_are_found(self, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
        for number in range(3):
            listing = make_listing(nonce=3 + number, file=bytes([number]) * 32, name=f"sea {number}", tags=("sea",))
            network.scene.add_block(network.scene.sign(listing))
        code, answer = run_json(capsys, "files", "sea")
        assert (code, [item["name"] for item in answer["items"]]) == (0, ["sea 2", "sea 1", "sea 0"])
        assert answer["hasMore"] is False
        code, answer = run_json(capsys, "files", "--tag", "sea", "--limit", "2")
        assert ([item["name"] for item in answer["items"]], answer["hasMore"]) == (["sea 2", "sea 1"], True)
        assert run(["files", "--limit", "2"]) == 0
        out, err = capsys.readouterr()
        assert "sea 2" in out and "2 TOK" in out and "there are more" in err
        assert run(["files", "nothing of the kind"]) == 0
        assert "no files" in capsys.readouterr().err

    def test_what_others_wrote_does_not_steer_a_terminal(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hostile = make_listing(nonce=3, file=b"\x42" * 32, name="\x1b[31m[bold]x\u202e", description="\x1b[2J")
        network.scene.add_block(network.scene.sign(hostile))
        for arguments in (["files"], ["file", "0x" + "42" * 32]):
            assert run(arguments) == 0
            out = capsys.readouterr().out
            assert "[bold]x" in out and "\x1b[31m" not in out and "\u202e" not in out and "\x1b[2J" not in out

    def test_a_file_is_shown_with_its_shares_and_what_it_cost(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        network.scene.buy()
        network.scene.reprice(300, 3)
        code, form = run_json(capsys, "file", FILE_ID)
        assert (code, form["price"], len(form["prices"])) == (0, hex(300), 2)
        assert run(["file", FILE_ID]) == 0
        out = capsys.readouterr().out
        for text in ("lake.csv", "3 TOK", "1.5 TOK", "1.35 TOK", "0.15 TOK", "2 TOK  since", "sold", "1 times",
                     "text/csv", "lake, weather", "from the node"):  # fmt: skip
            assert text in out
        assert run_json(capsys, "file", "0x" + "99" * 32)[1]["error"]["code"] == "not_found"

    def test_an_instruction_s_receipt_is_fetched_and_shown(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        name = wire.encode_bytes(network.scene.listing.id)
        code, form = run_json(capsys, "receipt", name, "--wait", "committed")
        assert (code, form["instruction"]["type"], form["status"]) == (0, "ListFile", "committed")
        assert run(["receipt", name, "--offline"]) == 0
        out = capsys.readouterr().out
        for text in ("instruction", "ListFile", "lake.csv", "on Ethereum since"):
            assert text in out


class TestCheckingPurchases:
    """A validator at his desk: no node answers."""

    @pytest.fixture
    def form(self, network: Network, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
        """Sold through this very machine, so that listing and upload are among its receipts."""
        for record in (network.scene.listing, network.scene.upload):
            assert run(["receipt", wire.encode_bytes(record.id)]) == 0
        bought = network.scene.buy()
        capsys.readouterr()

        def refuse(*_: Any) -> Any:
            raise AssertionError("a node was asked")

        monkeypatch.setenv("TALLY_NODE_URL", "http://127.0.0.1:1")
        return network.scene.get_receipt(bought)

    def check(self, form: Any, *more: str) -> list[str]:
        Path("r.json").write_text(json.dumps(form))
        return ["check-purchase", "r.json", "--file", FILE_ID, "--buyer", wire.encode_address(MART), *more]

    def test_a_true_receipt_is_enough(
        self, form: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(HttpTransport, "post", lambda *_: pytest.fail("somebody was asked"))
        code, answer = run_json(capsys, *self.check(form))
        assert (code, answer["bought"], answer["checkedPrice"], answer["verdict"]) == (0, True, True, None)
        assert (answer["payment"], answer["total"]) == (form["id"], hex(PRICE))
        assert run(self.check({"receipt": form, "file": FILE_ID})) == 0
        assert "BOUGHT" in capsys.readouterr().out
        assert run(self.check({"jsonrpc": "2.0", "id": 1, "result": form})) == 0

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"signature": "0x" + "11" * 65}, "invalid_signature"),
            ({"index": "0x1"}, "invalid_proof"),
            ({"payment": None}, "invalid_proof"),
            ({"domain": None}, "invalid_proof"),
        ],
    )
    def test_an_altered_one_is_refused(
        self, form: Any, capsys: pytest.CaptureFixture[str], change: dict[str, Any], error: str
    ) -> None:
        code, answer = run_json(capsys, *self.check({**form, **change}))
        assert (code, answer["error"]["code"]) == (1, error)

    def test_another_payment_buyer_or_file_is_none(
        self, network: Network, form: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        upload = network.scene.get_receipt(network.scene.upload)
        assert run_json(capsys, *self.check(upload))[1]["error"]["code"] == "invalid_proof"
        arguments = self.check(form)
        for name, value in (("--file", "0x" + "42" * 32), ("--buyer", wire.encode_address(BOB))):
            changed = [value if before == name else item for before, item in zip(["", *arguments], arguments,
                                                                                 strict=False)]  # fmt: skip
            assert run_json(capsys, *changed)[1]["error"]["code"] == "invalid_proof"

    def test_the_price_is_the_listing_s_or_the_one_given(self, form: Any, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(self.check(form, "--price", str(PRICE))) == 0
        capsys.readouterr()
        code, answer = run_json(capsys, *self.check(form, "--price", "300"))
        assert (code, answer["error"]["code"]) == (1, "wrong_price")
        assert run(self.check(form, "--price", "3.5")) == 64

    def test_the_listing_may_come_from_a_file(
        self, network: Network, form: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in ReceiptStore(DOMAIN.chain_id).directory.glob("*.json"):
            path.unlink()
        code, answer = run_json(capsys, *self.check(form))
        assert (code, answer["checkedPrice"]) == (0, False)
        Path("listing.json").write_text(json.dumps(network.scene.get_receipt(network.scene.listing)))
        code, answer = run_json(capsys, *self.check(form, "--listing", "listing.json"))
        assert (code, answer["checkedPrice"]) == (0, True)
        assert run(self.check(form, "--listing", "r.json")) == 64

    def test_a_ledger_that_is_not_known_needs_an_operator(self, form: Any, capsys: pytest.CaptureFixture[str]) -> None:
        (LedgerBook().directory / f"{DOMAIN.chain_id}.json").unlink()
        assert run(self.check(form)) == 64
        capsys.readouterr()
        assert run(self.check(form, "--operator", wire.encode_address(OPERATOR))) == 0
        err = capsys.readouterr().err
        assert "operator's word" in err and "compare it with the address you know" in err
        code, answer = run_json(capsys, *self.check(form, "--operator", wire.encode_address(BOB)))
        assert (code, answer["error"]["code"]) == (1, "invalid_signature")
        code, answer = run_json(capsys, *self.check(form, "--settlement", "0x" + "11" * 20))
        assert (code, answer["error"]["code"]) == (1, "wrong_ledger")

    def test_ethereum_is_asked_when_it_is_named(
        self, network: Network, form: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        l1_url = os.environ["TALLY_L1_URL"]
        code, answer = run_json(capsys, *self.check(form, "--l1-url", l1_url))
        assert (code, answer["verdict"]) == (2, "accepted")
        network.scene.seal()
        network.contract.__init__(network.scene)  # type: ignore[misc]
        committed = network.scene.get_receipt(network.server._get(form["id"]))
        code, answer = run_json(
            capsys, *self.check(committed, "--l1-url", l1_url, "--settlement", wire.encode_address(SETTLEMENT))
        )
        assert (code, answer["verdict"]) == (0, "committed")
        network.contract.commitments.pop()
        code, answer = run_json(capsys, *self.check(committed, "--l1-url", l1_url))
        assert (code, answer["error"]["code"]) == (1, "invalid_proof")
        assert "commitment" in answer["error"]["message"]


class TestVerifying:
    def test_an_instruction_s_receipt_is_verified(self, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
        Path("r.json").write_text(json.dumps(network.scene.get_receipt(network.scene.listing)))
        assert run(["verify", "r.json"]) == 0
        out = capsys.readouterr().out
        assert "instruction id" in out and "COMMITTED" in out

    def test_proofs_are_verified_of_the_contract_that_is_named(
        self, network: Network, capsys: pytest.CaptureFixture[str]
    ) -> None:
        settlement = wire.encode_address(SETTLEMENT)
        for form in (
            network.server.tally_getFileProof(FILE_ID, "latest"),
            network.server.tally_getRolesProof(wire.encode_address(OWNER), "latest"),
        ):
            Path("p.json").write_text(json.dumps(form))
            assert run(["verify", "p.json"]) == 64
            assert "--settlement" in capsys.readouterr().err
            code, report = run_json(capsys, "verify", "p.json", "--settlement", settlement)
            assert (code, report["verdict"], report["id"], report["epoch"]) == (0, "committed", None, "0x3")
            form["index"] = "0x0"
            Path("p.json").write_text(json.dumps(form))
            assert run(["verify", "p.json", "--settlement", settlement]) == 1
            assert "FAILED  registry path" in capsys.readouterr().out

    def test_instructions_are_counted_by_the_audit(self, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
        code, summary = run_json(capsys, "audit")
        assert (code, summary["instructions"], summary["disagreementCount"]) == (0, 5, 0)
        assert run(["audit"]) == 0
        assert "instructions" in capsys.readouterr().out


def test_the_pin_keeps_the_parameters(network: Network) -> None:
    assert run(["tip", wire.encode_address(BOB), "1", "--yes", *AS_MART]) == 0
    pinned = LedgerBook().find(DOMAIN.chain_id)
    assert pinned is not None and pinned.parameters is not None
    assert msgspec.structs.replace(pinned, parameters=None, last_cut_at=0) == LEDGER
