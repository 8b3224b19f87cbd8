"""A wallet: nonces that never meet, nothing reported that is not checked and kept, nothing lost on the way."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import wire
from chain.account import NonceWindow
from chain.block import hash_header
from chain.errors import Expired, InsufficientBalance, NonceUsed, Refusal, WrongOutputs, ZeroAmount
from chain.payment import Output, SignedPayment
from chain.primitives import NONCE_WINDOW, Address, Signature
from chain.signatures import sign_digest
from client import wallet as wallet_module
from client.errors import NonceWindowFull, OutcomeUnknown, RefusedByNode, Unreachable, WrongReceipt
from client.keys import SigningKey
from client.node import Node
from client.protocol import Account, HeldReceipt, decode_held_receipt
from client.receipts import Pending, ReceiptStore
from client.wallet import MAX_CLOCK_DIFFERENCE_MS, NonceReservations, Wallet, check_answer
from tests.unit.client.ledger_server import LedgerServer
from tests.unit.client.scene import (
    ALICE,
    ALICE_KEY,
    BOB,
    BOB_KEY,
    DOMAIN,
    LEDGER,
    TOKEN,
    Scene,
    make_payment,
    sign,
)
from tests.unit.client.servers import answer_json_rpc, serve


def make_account(base: int, next_nonce: int) -> Account:
    return Account(ALICE, base, next_nonce, {}, {})


class TestNonces:
    def test_they_count_up_from_above_the_highest_used_one(self) -> None:
        nonces = NonceReservations()
        account = make_account(3, 7)
        assert [nonces.reserve(account) for _ in range(3)] == [7, 8, 9]
        nonces.release(8)
        assert [nonces.reserve(account) for _ in range(2)] == [8, 10]

    def test_one_that_was_handed_out_is_not_handed_out_again_on_old_news(self) -> None:
        """Else two payments of the same content would be one: paid once, and reported as paid twice."""
        nonces, old = NonceReservations(), make_account(3, 3)
        assert nonces.reserve(old) == 3
        assert nonces.reserve(old) == 4
        assert nonces.reserve(make_account(4, 4)) == 5

    def test_at_the_window_s_end_the_base_is_used_which_is_always_free(self) -> None:
        nonces = NonceReservations()
        account = make_account(5, 5 + NONCE_WINDOW)
        assert nonces.reserve(account) == 5
        with pytest.raises(NonceWindowFull):
            nonces.reserve(account)

    def test_many_threads_never_get_the_same_one(self) -> None:
        nonces, account = NonceReservations(), make_account(0, 0)
        barrier = threading.Barrier(8)

        def reserve(_: int) -> list[int]:
            barrier.wait()
            return [nonces.reserve(account) for _ in range(32)]

        with ThreadPoolExecutor(8) as pool:
            taken = [nonce for part in pool.map(reserve, range(8)) for nonce in part]
        assert sorted(taken) == list(range(256))

    @given(st.sets(st.integers(0, NONCE_WINDOW - 1)), st.integers(0, 20))
    def test_what_is_reserved_is_free_in_the_account_s_window(self, used: set[int], count: int) -> None:
        window = NonceWindow()
        for nonce in sorted(used):
            window = window.use(nonce) if not window.is_used(nonce) and nonce < window.limit else window
        nonces, taken = NonceReservations(), set[int]()
        for _ in range(count):
            try:
                nonce = nonces.reserve(make_account(window.base, window.next_nonce))
            except NonceWindowFull:
                return
            assert window.base <= nonce < window.limit
            assert not window.is_used(nonce)
            assert nonce not in taken
            taken.add(nonce)


class Clock:
    """The time of the scene's next block, so that receipts are fresh."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.offset_s = 0.0

    def __call__(self) -> float:
        return self.scene.replay.state.timestamp / 1000 + 1 + self.offset_s


@pytest.fixture
def server() -> LedgerServer:
    return LedgerServer(Scene())


@pytest.fixture
def node(server: LedgerServer) -> Iterator[Node]:
    lock = threading.Lock()

    def handle(method: str, params: list[Any]) -> Any:
        with lock:
            return server(method, params)

    with serve(answer_json_rpc(handle)) as url, Node(url, sleep=lambda _: None) as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> ReceiptStore:
    return ReceiptStore(DOMAIN.chain_id, tmp_path)


@pytest.fixture
def clock(server: LedgerServer) -> Clock:
    return Clock(server.scene)


@pytest.fixture
def wallet(node: Node, store: ReceiptStore, clock: Clock) -> Wallet:
    return Wallet(node, SigningKey(ALICE_KEY.secret), LEDGER, store, clock=clock)


class TestPaying:
    def test_success_is_reported_with_the_receipt_on_disk(
        self, wallet: Wallet, store: ReceiptStore, server: LedgerServer
    ) -> None:
        held = wallet.transfer(TOKEN, BOB, 7, memo="for tea")
        assert held.receipt.signed.payment.memo == "for tea"
        assert server.scene.replay.state.get_balance(TOKEN, BOB) == 70 + 30 + 1 + 7
        found = store.find(held.id)
        assert found is not None
        assert found.form == held.form
        assert list(store.get_pending_ids()) == []

    @pytest.mark.parametrize("kind", ["tip", "withdraw"])
    def test_every_kind_has_its_way(self, wallet: Wallet, kind: str) -> None:
        held = getattr(wallet, kind)(TOKEN, BOB, 2)
        assert (held.receipt.signed.payment.kind, held.receipt.signed.payment.payer) == (kind, ALICE)

    def test_payments_of_many_threads_do_not_collide(self, wallet: Wallet, server: LedgerServer) -> None:
        with ThreadPoolExecutor(8) as pool:
            held = list(pool.map(lambda _: wallet.transfer(TOKEN, BOB, 1), range(24)))
        assert sorted(item.receipt.signed.payment.nonce for item in held) == list(range(5, 29))
        assert len(server.sent) == 24, "not one had to be signed again"

    def test_a_nonce_that_somebody_else_took_is_replaced(
        self, wallet: Wallet, server: LedgerServer, node: Node, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stale = [make_account(5, 5), make_account(5, 5)]
        server.tally_sendPayment(*_forms(sign(make_payment(BOB, 1, 5), ALICE_KEY)))
        fresh = node.get_account
        monkeypatch.setattr(node, "get_account", lambda who: stale.pop() if stale else fresh(who))
        assert wallet.transfer(TOKEN, BOB, 2).receipt.signed.payment.nonce == 6
        assert list(wallet.receipts.get_pending_ids()) == []

    def test_nonces_taken_again_and_again_are_a_refusal_in_the_end(
        self, wallet: Wallet, node: Node, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(node, "get_account", lambda _: make_account(0, 0))
        monkeypatch.setattr(wallet_module, "NONCE_ATTEMPTS", 3)
        with pytest.raises(NonceUsed):
            wallet.transfer(TOKEN, BOB, 2)
        assert list(wallet.receipts.get_pending_ids()) == []

    def test_the_same_payment_from_another_process_is_another_payment(
        self, wallet: Wallet, store: ReceiptStore, node: Node, clock: Clock, server: LedgerServer
    ) -> None:
        """Two processes choose the same nonce for the same content: were both sent as they are, one would be paid."""
        other = Wallet(node, SigningKey(ALICE_KEY.secret), LEDGER, store, clock=clock)
        old = node.get_account(ALICE)
        first = wallet.transfer(TOKEN, BOB, 4)
        with pytest.MonkeyPatch.context() as patch:
            answers = [old]
            fresh = node.get_account
            patch.setattr(node, "get_account", lambda who: answers.pop() if answers else fresh(who))
            second = other.transfer(TOKEN, BOB, 4)
        assert first.id != second.id
        assert server.scene.replay.state.get_balance(TOKEN, BOB) == 101 + 8

    def test_a_payment_that_another_process_is_just_sending_is_another_payment(
        self, wallet: Wallet, store: ReceiptStore
    ) -> None:
        theirs = sign(make_payment(BOB, 4, 5), ALICE_KEY)
        store.save_pending(Pending((theirs,), 0))
        assert wallet.transfer(TOKEN, BOB, 4).receipt.signed.payment.nonce == 6
        assert list(store.get_pending_ids()) == [theirs.id]

    def test_a_refused_payment_is_not_left_pending(self, wallet: Wallet, store: ReceiptStore) -> None:
        with pytest.raises(InsufficientBalance):
            wallet.transfer(TOKEN, BOB, 10**9)
        assert list(store.get_pending_ids()) == []
        assert wallet.transfer(TOKEN, BOB, 1).receipt.signed.payment.nonce == 5

    @pytest.mark.parametrize(
        ("outputs", "kind", "refusal"),
        [([Output(BOB, 0)], "transfer", ZeroAmount), ([Output(BOB, 1), Output(BOB, 1)], "tip", WrongOutputs)],
    )
    def test_what_the_rules_refuse_is_refused_before_it_is_signed(
        self, wallet: Wallet, server: LedgerServer, outputs: list[Output], kind: str, refusal: type[Refusal]
    ) -> None:
        with pytest.raises(refusal):
            wallet.pay(TOKEN, outputs, kind=kind)
        assert server.sent == []


def _forms(signed: SignedPayment) -> tuple[Any, str]:
    return wire.encode_payment(signed.payment), wire.encode_bytes(signed.signature)


class TestUnknownOutcomes:
    @pytest.mark.parametrize("is_lost_before", [True, False], ids=["lost on the way there", "lost on the way back"])
    @pytest.mark.parametrize(
        "fault", [Unreachable("gone"), RefusedByNode("overloaded", "busy", {}), RefusedByNode("halted", "no", {})]
    )
    def test_the_payment_is_kept_and_resending_charges_once(
        self,
        wallet: Wallet,
        server: LedgerServer,
        node: Node,
        store: ReceiptStore,
        monkeypatch: pytest.MonkeyPatch,
        is_lost_before: bool,
        fault: Exception,
    ) -> None:
        send = node.send_payment

        def lose(payment: Any, signature: Signature) -> HeldReceipt:
            if not is_lost_before:
                send(payment, signature)
            raise fault

        monkeypatch.setattr(node, "send_payment", lose)
        with pytest.raises(OutcomeUnknown) as raised:
            wallet.transfer(TOKEN, BOB, 9)
        monkeypatch.undo()
        payment_id = raised.value.record_id
        assert list(store.get_pending_ids()) == [payment_id]
        assert store.find(payment_id) is None
        held = wallet.resend(payment_id)
        assert held is not None
        assert [answer.id for answer in held] == [payment_id]
        assert server.scene.replay.state.get_balance(TOKEN, BOB) == 101 + 9
        assert list(store.get_pending_ids()) == []
        assert wallet.resend(payment_id) is None

    def test_it_is_on_disk_before_it_leaves(
        self, wallet: Wallet, node: Node, store: ReceiptStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pending: list[int] = []

        def look(payment: Any, signature: Signature) -> HeldReceipt:
            pending.append(len(list(store.get_pending_ids())))
            raise Expired(1, 2)

        monkeypatch.setattr(node, "send_payment", look)
        with pytest.raises(Expired):
            wallet.transfer(TOKEN, BOB, 1)
        assert pending == [1]

    def test_the_receipt_is_on_disk_before_the_pending_copy_goes(
        self, wallet: Wallet, store: ReceiptStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: HeldReceipt) -> Path:
            raise OSError("the disk is full")

        monkeypatch.setattr(store, "save", fail)
        with pytest.raises(OSError, match="full"):
            wallet.transfer(TOKEN, BOB, 1)
        assert len(list(store.get_pending_ids())) == 1


class TestAnswers:
    """What the node may answer, and is not believed."""

    @pytest.fixture
    def signed(self, server: LedgerServer) -> SignedPayment:
        signed = sign(make_payment(BOB, 1, 5), ALICE_KEY)
        server.scene.add_block(signed)
        return signed

    def check(self, form: Any, signed: SignedPayment, scene: Scene, **options: Any) -> None:
        now = scene.replay.state.timestamp
        given = {"sent_at_ms": now, "now_ms": now, "ledger": LEDGER, **options}
        check_answer(decode_held_receipt(form), signed, given["ledger"], given["sent_at_ms"], given["now_ms"])

    def test_the_true_receipt_is_believed(self, server: LedgerServer, signed: SignedPayment) -> None:
        self.check(server.scene.get_receipt(signed), signed, server.scene)

    def test_the_receipt_of_another_payment_is_not(self, server: LedgerServer, signed: SignedPayment) -> None:
        with pytest.raises(WrongReceipt, match="was sent"):
            self.check(server.scene.get_receipt(server.scene.last), signed, server.scene)

    def test_a_void_one_is_not(self, server: LedgerServer, signed: SignedPayment) -> None:
        with pytest.raises(WrongReceipt, match="void"):
            self.check(server.scene.get_receipt(signed, "void"), signed, server.scene)

    def test_one_that_another_key_signed_is_not(self, server: LedgerServer, signed: SignedPayment) -> None:
        form = server.scene.get_receipt(signed)
        header = server.scene.blocks[-1][0].header
        form["block"]["signature"] = wire.encode_bytes(sign_digest(BOB_KEY, hash_header(header, DOMAIN)))
        with pytest.raises(WrongReceipt, match="signed by"):
            self.check(form, signed, server.scene)

    def test_one_whose_path_leads_elsewhere_is_not(self, server: LedgerServer, signed: SignedPayment) -> None:
        form = {**server.scene.get_receipt(signed), "index": "0x1"}
        with pytest.raises(WrongReceipt, match="does not hold"):
            self.check(form, signed, server.scene)

    @pytest.mark.parametrize(("early_ms", "late_ms"), [(1, 0), (0, 1)])
    def test_a_header_more_than_30_s_off_this_clock_is_not(
        self, server: LedgerServer, signed: SignedPayment, early_ms: int, late_ms: int
    ) -> None:
        form, at = server.scene.get_receipt(signed), server.scene.replay.state.timestamp
        bound = MAX_CLOCK_DIFFERENCE_MS
        self.check(form, signed, server.scene, sent_at_ms=at + bound, now_ms=at + bound)
        self.check(form, signed, server.scene, sent_at_ms=at - bound, now_ms=at - bound)
        sent_at_ms = now_ms = at + bound + early_ms if early_ms else at - bound - late_ms
        with pytest.raises(WrongReceipt, match="clock"):
            self.check(form, signed, server.scene, sent_at_ms=sent_at_ms, now_ms=now_ms)

    def test_one_dated_before_a_cut_already_on_ethereum_is_not(
        self, server: LedgerServer, signed: SignedPayment
    ) -> None:
        form, at = server.scene.get_receipt(signed), server.scene.replay.state.timestamp
        self.check(form, signed, server.scene, ledger=msgspec.structs.replace(LEDGER, last_cut_at=at - 1))
        with pytest.raises(WrongReceipt, match="cut"):
            self.check(form, signed, server.scene, ledger=msgspec.structs.replace(LEDGER, last_cut_at=at))

    def test_a_wrong_receipt_leaves_the_payment_pending(
        self, wallet: Wallet, clock: Clock, store: ReceiptStore, address: Address = BOB
    ) -> None:
        clock.offset_s = 100
        with pytest.raises(WrongReceipt):
            wallet.transfer(TOKEN, address, 1)
        (pending,) = store.get_pending_ids()
        assert list(store.get_ids()) == []
        assert store.get_path(pending, "disputed").exists(), "the answer is evidence"
