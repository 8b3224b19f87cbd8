"""Instructions and uploads of a wallet: the same discipline as payments, and of an upload both or neither."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain import errors, wire
from chain.errors import (
    AlreadyListed,
    AlreadyRegistered,
    MalformedInstruction,
    NonceUsed,
    Refusal,
    UnknownRole,
    WrongOutputs,
)
from chain.instruction import Delist, Register, RegisterOwner, UpdatePrice
from chain.kinds import UPLOAD
from chain.primitives import ZERO_HASH, Hash
from client.errors import OutcomeUnknown, RefusedByNode, Unreachable, WrongReceipt
from client.keys import SigningKey
from client.market import UploadReceipts
from client.node import Node
from client.protocol import Account, AnyHeldReceipt, HeldInstructionReceipt, decode_any_receipt
from client.receipts import DamagedFile, Pending, ReceiptStore
from client.wallet import Wallet, check_answers, is_settled, sign_instruction
from tests.unit.client.market_scene import (
    FILE,
    KEEPER,
    MART,
    STORAGE_CHARGE,
    VALIDATOR,
    VALIDATOR_KEY,
    MarketScene,
    MarketServer,
    make_listing,
    make_market_payment,
)
from tests.unit.client.scene import ALICE, BOB, DOMAIN, LEDGER, TOKEN
from tests.unit.client.servers import answer_json_rpc, serve

OTHER: Hash = b"\x42" * 32
LISTING = make_listing(file=OTHER, owner=BOB, name="sea.csv")
PAYMENT = make_market_payment(UPLOAD, VALIDATOR, (KEEPER, STORAGE_CHARGE), reference=OTHER)


@pytest.fixture
def server() -> MarketServer:
    return MarketServer(MarketScene())


@pytest.fixture
def node(server: MarketServer) -> Iterator[Node]:
    with serve(answer_json_rpc(server)) as url, Node(url, sleep=lambda _: None) as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> ReceiptStore:
    return ReceiptStore(DOMAIN.chain_id, tmp_path)


@pytest.fixture
def wallet(node: Node, store: ReceiptStore, server: MarketServer) -> Wallet:
    def clock() -> float:
        return server.scene.replay.state.timestamp / 1000 + 1

    return Wallet(node, SigningKey(VALIDATOR_KEY.secret), LEDGER, store, clock=clock)


class TestInstructions:
    def test_success_is_reported_with_the_receipt_on_disk(
        self, wallet: Wallet, store: ReceiptStore, server: MarketServer
    ) -> None:
        held = wallet.instruct(Register(VALIDATOR, 0, 0, "mart"))
        assert held.receipt.signed.instruction == Register(VALIDATOR, 3, 0, "mart"), "its nonce is the wallet's"
        assert server.scene.replay.state.get_roles(VALIDATOR).names == ["validator", "mart"]
        found = store.find(held.id)
        assert isinstance(found, HeldInstructionReceipt) and found.form == held.form
        assert list(store.get_pending_ids()) == []

    @pytest.mark.parametrize(
        "instruction",
        [
            Register(VALIDATOR, 0, 0, "service_node"),
            RegisterOwner(VALIDATOR, 0, 0, VALIDATOR),
            make_listing(file=OTHER),
            UpdatePrice(VALIDATOR, 0, 0, FILE, 5),
            Delist(VALIDATOR, 0, 0, FILE),
        ],
        ids=lambda instruction: type(instruction).__name__,
    )
    def test_every_type_is_sent(self, wallet: Wallet, instruction: Any) -> None:
        held = wallet.instruct(instruction)
        assert held.receipt.signed.instruction == msgspec.structs.replace(instruction, nonce=3)

    def test_instructions_and_payments_share_the_nonces(self, wallet: Wallet) -> None:
        assert wallet.instruct(Register(VALIDATOR, 0, 0, "mart")).receipt.signed.instruction.nonce == 3
        assert wallet.transfer(TOKEN, BOB, 1).receipt.signed.payment.nonce == 4
        assert wallet.instruct(Delist(VALIDATOR, 0, 0, FILE)).receipt.signed.instruction.nonce == 5

    def test_a_refused_one_is_not_left_pending_and_its_nonce_is_free(self, wallet: Wallet, store: ReceiptStore) -> None:
        with pytest.raises(AlreadyRegistered):
            wallet.instruct(Register(VALIDATOR, 0, 0, "validator"))
        assert list(store.get_pending_ids()) == []
        assert wallet.transfer(TOKEN, BOB, 1).receipt.signed.payment.nonce == 3

    @pytest.mark.parametrize(
        ("instruction", "refusal"),
        [
            (Register(VALIDATOR, 0, 0, "owner"), UnknownRole),
            (make_listing(file=OTHER, name=""), MalformedInstruction),
            (UpdatePrice(VALIDATOR, 0, 0, FILE, 0), MalformedInstruction),
        ],
    )
    def test_what_the_rules_refuse_is_refused_before_it_is_signed(
        self, wallet: Wallet, server: MarketServer, instruction: Any, refusal: type[Refusal]
    ) -> None:
        with pytest.raises(refusal):
            wallet.instruct(instruction)
        assert server.sent == []

    def test_nobody_else_s_is_signed(self, wallet: Wallet, server: MarketServer) -> None:
        for send in (
            lambda: wallet.instruct(Register(MART, 0, 0, "validator")),
            lambda: wallet.send(make_market_payment("transfer", MART, (BOB, 1), reference=ZERO_HASH)),
            lambda: wallet.upload(make_listing(file=OTHER, account=MART), PAYMENT),
            lambda: wallet.upload(LISTING, msgspec.structs.replace(PAYMENT, payer=MART)),
        ):
            with pytest.raises(ValueError, match="to be signed by"):
                send()
        assert server.sent == []

    @pytest.mark.parametrize("is_lost_before", [True, False], ids=["lost on the way there", "lost on the way back"])
    def test_one_whose_outcome_is_not_known_is_kept_and_resent(
        self,
        wallet: Wallet,
        node: Node,
        store: ReceiptStore,
        monkeypatch: pytest.MonkeyPatch,
        is_lost_before: bool,
    ) -> None:
        send = node.send_instruction

        def lose(*arguments: Any) -> HeldInstructionReceipt:
            if not is_lost_before:
                send(*arguments)
            raise Unreachable("gone")

        monkeypatch.setattr(node, "send_instruction", lose)
        with pytest.raises(OutcomeUnknown) as raised:
            wallet.instruct(Register(VALIDATOR, 0, 0, "mart"))
        monkeypatch.undo()
        assert list(store.get_pending_ids()) == [raised.value.record_id]
        held = wallet.resend(raised.value.record_id)
        assert held is not None
        assert [answer.id for answer in held] == [raised.value.record_id]
        assert store.find(raised.value.record_id) == held[0]
        assert list(store.get_pending_ids()) == []
        assert wallet.resend(raised.value.record_id) is None

    def test_a_receipt_of_another_instruction_is_kept_as_evidence(
        self, wallet: Wallet, store: ReceiptStore, server: MarketServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            server, "tally_sendInstruction", lambda *_: server.scene.get_receipt(server.scene.listing), raising=False
        )
        with pytest.raises(WrongReceipt, match=r"instruction 0x[0-9a-f]{64} was sent"):
            wallet.instruct(Register(VALIDATOR, 0, 0, "mart"))
        (pending,) = store.get_pending_ids()
        assert store.get_path(pending, "disputed").exists()
        assert list(store.get_ids()) == []


class TestUploads:
    def test_both_receipts_are_on_disk_and_of_one_block(
        self, wallet: Wallet, store: ReceiptStore, server: MarketServer
    ) -> None:
        listed, paid = wallet.upload(LISTING, PAYMENT)
        assert listed.receipt.signed.instruction == msgspec.structs.replace(LISTING, nonce=3)
        assert paid.receipt.signed.payment == msgspec.structs.replace(PAYMENT, nonce=4)
        assert (listed.receipt.header, listed.receipt.index + 1) == (paid.receipt.header, paid.receipt.index)
        assert (store.find(listed.id), store.find(paid.id)) == (listed, paid)
        assert list(store.get_pending_ids()) == []
        state = server.scene.replay.state
        assert state.files[OTHER].service_node == KEEPER
        assert state.get_roles(BOB).is_named_only

    @pytest.mark.parametrize(
        ("fields", "refusal"),
        [({}, None), ({"file": FILE}, AlreadyListed), ({"size": 5_000}, WrongOutputs)],
        ids=["good", "listing refused", "payment refused"],
    )
    def test_a_refused_one_moves_and_leaves_nothing(
        self,
        wallet: Wallet,
        store: ReceiptStore,
        server: MarketServer,
        fields: dict[str, Any],
        refusal: type[Refusal] | None,
    ) -> None:
        listing = make_listing(**{"file": OTHER, "owner": BOB, **fields})
        payment = msgspec.structs.replace(PAYMENT, reference=listing.file)
        before = server.scene.replay.state.compute_fingerprint()
        if refusal is None:
            wallet.upload(listing, payment)
            assert server.scene.replay.state.compute_fingerprint() != before
            return
        with pytest.raises(refusal):
            wallet.upload(listing, payment)
        assert server.scene.replay.state.compute_fingerprint() == before
        assert list(store.get_pending_ids()) == list(store.get_ids()) == []
        assert wallet.upload(LISTING, PAYMENT)[1].receipt.signed.payment.nonce == 4, "both nonces are free again"

    def test_only_the_payment_of_that_upload_is_taken(self, wallet: Wallet) -> None:
        for payment in (
            msgspec.structs.replace(PAYMENT, reference=FILE),
            msgspec.structs.replace(PAYMENT, kind="transfer"),
        ):
            with pytest.raises(ValueError, match="not for the upload"):
                wallet.upload(LISTING, payment)

    @pytest.mark.parametrize("is_lost_before", [True, False], ids=["lost on the way there", "lost on the way back"])
    @pytest.mark.parametrize("fault", [Unreachable("gone"), RefusedByNode("halted", "no", {})])
    def test_one_whose_outcome_is_not_known_is_kept_whole_and_charged_once(
        self,
        wallet: Wallet,
        node: Node,
        store: ReceiptStore,
        server: MarketServer,
        monkeypatch: pytest.MonkeyPatch,
        is_lost_before: bool,
        fault: Exception,
    ) -> None:
        send = node.send_upload

        def lose(*arguments: Any) -> UploadReceipts:
            assert len(list(store.get_pending_ids())) == 1, "on disk before it leaves"
            if not is_lost_before:
                send(*arguments)
            raise fault

        monkeypatch.setattr(node, "send_upload", lose)
        with pytest.raises(OutcomeUnknown) as raised:
            wallet.upload(LISTING, PAYMENT)
        monkeypatch.undo()
        (pending,) = store.get_pending_ids()
        assert pending == raised.value.record_id
        held = wallet.resend(pending)
        assert held is not None
        assert [store.find(answer.id) for answer in held] == list(held)
        assert (held[0].id, held[1].id) == (server.scene.replay.state.files[OTHER].listing, pending)
        assert server.scene.replay.state.get_balance(TOKEN, KEEPER) == 2 * STORAGE_CHARGE
        assert list(store.get_pending_ids()) == []

    def test_receipts_are_on_disk_before_the_pending_copy_goes(
        self, wallet: Wallet, store: ReceiptStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save, saved = store.save, []

        def fail_at_the_second(held: AnyHeldReceipt) -> Path:
            saved.append(held)
            if len(saved) == 2:
                raise OSError("the disk is full")
            return save(held)

        monkeypatch.setattr(store, "save", fail_at_the_second)
        with pytest.raises(OSError, match="full"):
            wallet.upload(LISTING, PAYMENT)
        (pending,) = store.get_pending_ids()
        monkeypatch.undo()
        held = wallet.resend(pending)
        assert held is not None and len(list(store.get_ids())) == 2

    @pytest.mark.parametrize(
        ("stale", "is_fourth_taken", "nonces"), [(1, False, (3, 4)), (3, True, (5, 6))], ids=["listing's", "payment's"]
    )
    def test_a_nonce_that_somebody_else_took_is_replaced(
        self,
        wallet: Wallet,
        node: Node,
        store: ReceiptStore,
        server: MarketServer,
        monkeypatch: pytest.MonkeyPatch,
        stale: int,
        is_fourth_taken: bool,
        nonces: tuple[int, int],
    ) -> None:
        if is_fourth_taken:
            taken = server.scene.sign(make_market_payment("transfer", VALIDATOR, (BOB, 1), nonce=4))
            server.scene.add_block(taken)
        answers, fresh = [Account(VALIDATOR, stale, stale, {}, {})], node.get_account
        monkeypatch.setattr(node, "get_account", lambda who: answers.pop() if answers else fresh(who))
        listed, paid = wallet.upload(LISTING, PAYMENT)
        assert (listed.receipt.signed.instruction.nonce, paid.receipt.signed.payment.nonce) == nonces
        assert list(store.get_pending_ids()) == []

    def test_nonces_taken_again_and_again_are_a_refusal_in_the_end(
        self, wallet: Wallet, node: Node, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any) -> UploadReceipts:
            raise NonceUsed(1, 2)

        monkeypatch.setattr(node, "send_upload", refuse)
        with pytest.raises(NonceUsed):
            wallet.upload(LISTING, PAYMENT)

    def test_receipts_that_do_not_belong_together_are_no_promise(
        self, wallet: Wallet, node: Node, store: ReceiptStore, server: MarketServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A node that lists the file in one block and takes the money in another has not done what was asked."""

        def split(listing: Any, listing_signature: str, payment: Any, payment_signature: str) -> list[Any]:
            return [
                server.tally_sendInstruction(listing, listing_signature),
                server.tally_sendPayment(payment, payment_signature),
            ]

        # An owner who is registered, so that the rules take a listing without the payment after it.
        monkeypatch.setattr(server, "tally_sendUpload", split, raising=False)
        with pytest.raises(WrongReceipt, match="do not follow each other"):
            wallet.upload(make_listing(file=OTHER), PAYMENT)
        (pending,) = store.get_pending_ids()
        assert list(store.get_ids()) == []
        disputed = list((store.directory / "disputed").iterdir())
        assert len(disputed) == 2 and store.get_path(pending, "disputed") in disputed


def test_answers_are_one_for_each_record_in_their_order() -> None:
    scene = MarketScene()
    now = scene.replay.state.timestamp
    pending = Pending((scene.listing, scene.upload), now)
    held = [decode_any_receipt(scene.get_receipt(record)) for record in pending.records]
    check_answers(held, pending, LEDGER, now)
    for wrong in ([], held[:1], held[::-1], [held[1], held[1]], [*held, held[1]]):
        with pytest.raises(WrongReceipt):
            check_answers(wrong, pending, LEDGER, now)


def test_every_refusal_of_the_ledger_settles_what_was_sent() -> None:
    """A new one must be thought about: is it certain then that what was sent is not in the ledger?"""
    names = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Refusal)
             and kind is not Refusal}  # fmt: skip
    unsettled = {code for code in names if not is_settled(RefusedByNode(code, "", {}))}
    assert unsettled == {"malformed_request", "not_found", "invalid_proof", "expired", "nonce_used"}
    assert is_settled(errors.Expired(1, 2)) and is_settled(NonceUsed(1, 2))
    assert is_settled(RefusedByNode("no_escrow", "", {}))
    for code in ("overloaded", "rate_limited", "halted", "some_new_one"):
        assert not is_settled(RefusedByNode(code, "", {}))


class TestPendingFiles:
    def test_they_come_back_as_they_were_signed(self, store: ReceiptStore) -> None:
        scene = MarketScene()
        register = sign_instruction(Register(VALIDATOR, 7, 5, "mart"), SigningKey(VALIDATOR_KEY.secret), LEDGER)
        for pending in (
            Pending((register,), 1_700_000_000_123),
            Pending((scene.upload,), 5),
            Pending((scene.listing, scene.upload), 6),
        ):
            store.save_pending(pending)
            assert store.find_pending(pending.id) == pending
            with pytest.raises(FileExistsError):
                store.save_pending(pending)
            store.remove_pending(pending.id)
            assert store.find_pending(pending.id) is None

    @pytest.mark.parametrize(
        "change",
        [{"listing": None}, {"listingId": "0x12"}, {"listingSignature": 7}, {"payment": {}}, {"sentAt": -1},
         {"signature": None}, {"instruction": {"type": "Nothing"}}],
    )  # fmt: skip
    def test_a_damaged_one_is_named(self, store: ReceiptStore, change: dict[str, Any]) -> None:
        scene = MarketScene()
        path = store.save_pending(Pending((scene.listing, scene.upload), 6))
        form = {**msgspec.json.decode(path.read_bytes()), **change}
        path.write_bytes(msgspec.json.encode(form))
        with pytest.raises(DamagedFile, match=path.name):
            store.find_pending(scene.upload.id)

    def test_a_listing_pending_with_its_payment_is_no_payment_alone(self, store: ReceiptStore) -> None:
        """Sent alone, the payment would be refused or, worse, pay for another's listing."""
        scene = MarketScene()
        store.save_pending(Pending((scene.listing, scene.upload), 6))
        found = store.find_pending(scene.upload.id)
        assert found is not None
        assert [wire.encode_bytes(record.id) for record in found.records] == [
            wire.encode_bytes(scene.listing.id),
            wire.encode_bytes(scene.upload.id),
        ]
        assert store.find_pending(scene.listing.id) is None
        assert ALICE != VALIDATOR
