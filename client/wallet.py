"""A wallet: one key on one ledger. It builds and signs payments, sends them, and reports only what it has checked and
has on disk.

The order of a payment, and what is true if we die in between:
1. a nonce is reserved that no other payment of this wallet uses or has used;
2. the signed payment is on disk among the pending ones: from here on it can be sent again as it is;
3. it is sent, and the receipt that comes back is checked: the payment we signed, the operator's signature, the clock;
4. the receipt is on disk, the pending copy is removed, and only now the caller hears of success.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, TypedDict, Unpack

from chain.errors import Expired, InvalidProof, InvalidSignature, NonceUsed, Refusal
from chain.kinds import SHAPES, TIP, TRANSFER, WITHDRAW
from chain.payment import Output, Payment, SignedPayment, check_structure, compute_payment_id
from chain.primitives import NONCE_WINDOW, ZERO_HASH, Address, Hash
from chain.receipt import check_receipt
from client.errors import BadReply, NonceWindowFull, OutcomeUnknown, RpcError, Unreachable, WrongReceipt
from client.keys import SigningKey
from client.ledgers import Ledger
from client.node import Node
from client.protocol import Account, HeldReceipt
from client.receipts import PendingPayment, ReceiptStore

MAX_CLOCK_DIFFERENCE_MS: Final = 30_000
"""How far a header's time may be off this machine's clock."""

NONCE_ATTEMPTS: Final = 8
"""New nonces tried when others that use the same key (another process, another machine) took the one we chose."""


class NonceReservations:
    """Which nonces to use next, so that payments under way at the same time never meet. Safe for many threads.

    Counts up from one above the highest used nonce; when the window's end is reached, takes the base, which is free by
    definition (the base slides over used nonces). A nonce once handed out is handed out again only if its payment was
    refused: what the node says of the account may be older than what this wallet has sent since, and two payments of
    the same content and nonce are one payment, paid once and answered twice.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reserved: set[int] = set()

    def reserve(self, account: Account) -> int:
        """`account` as the node has it, or had it a moment ago. Raises `NonceWindowFull`."""
        with self._lock:
            self._reserved = {nonce for nonce in self._reserved if nonce >= account.nonce_base}
            limit = account.nonce_base + NONCE_WINDOW
            nonce = account.next_nonce
            while nonce in self._reserved and nonce < limit:
                nonce += 1
            if nonce >= limit:
                nonce = account.nonce_base
            if nonce in self._reserved:
                raise NonceWindowFull(f"all nonces below {limit} are used or under way")
            self._reserved.add(nonce)
            return nonce

    def release(self, nonce: int) -> None:
        """The nonce's payment is not in the ledger, and will not be."""
        with self._lock:
            self._reserved.discard(nonce)


def sign_payment(payment: Payment, key: SigningKey, ledger: Ledger) -> SignedPayment:
    """Raises what `check_structure` raises, then what the kind's shape does: nothing is signed that the ledger must
    refuse whatever it holds."""
    check_structure(payment)
    SHAPES[payment.kind](payment)
    payment_id = compute_payment_id(payment, ledger.domain)
    return SignedPayment(payment_id, payment, key.sign(payment_id))


def check_answer(held: HeldReceipt, signed: SignedPayment, ledger: Ledger, sent_at_ms: int, now_ms: int) -> None:
    """Whether `held` is the operator's promise for the payment that was sent, in a block made while it was under way.

    Raises `WrongReceipt`: another payment, a status that is no promise, a proof or signature that does not hold, a
    block dated more than 30 s before it was first sent, or after now, or not after a cut already seen on Ethereum.
    """
    receipt = held.receipt
    if (receipt.signed.id, receipt.signed.payment) != (signed.id, signed.payment):
        raise WrongReceipt(f"payment 0x{signed.id.hex()} was sent, the receipt is of 0x{receipt.signed.id.hex()}")
    if held.status == "void":
        raise WrongReceipt(f"payment 0x{signed.id.hex()} is answered as void")
    try:
        check_receipt(receipt, ledger.domain, ledger.operator)
    except (InvalidProof, InvalidSignature) as error:
        raise WrongReceipt(f"the receipt of payment 0x{signed.id.hex()} does not hold: {error}") from error
    timestamp = receipt.header.timestamp
    if not sent_at_ms - MAX_CLOCK_DIFFERENCE_MS <= timestamp <= now_ms + MAX_CLOCK_DIFFERENCE_MS:
        raise WrongReceipt(
            f"block {receipt.header.number} is dated {timestamp} ms; by this machine's clock the payment was under way "
            f"from {sent_at_ms} to {now_ms}, and more than {MAX_CLOCK_DIFFERENCE_MS} ms off is refused"
        )
    if receipt.inclusion is None and timestamp <= ledger.last_cut_at:
        raise WrongReceipt(
            f"block {receipt.header.number} is dated {timestamp} ms, not after the cut at {ledger.last_cut_at} of an "
            "epoch already on Ethereum"
        )


class Details(TypedDict, total=False):
    """What any payment may carry besides kind, asset and outputs."""

    reference: Hash
    memo: str
    valid_until: int
    """Unix seconds."""


class Wallet:
    """Blocking, and safe for many threads: they share one wallet, and with it the reservations of nonces."""

    def __init__(
        self,
        node: Node,
        key: SigningKey,
        ledger: Ledger,
        receipts: ReceiptStore,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._node = node
        self._key = key
        self.ledger = ledger
        self.receipts = receipts
        self._clock = clock
        self._nonces = NonceReservations()

    @property
    def address(self) -> Address:
        return self._key.address

    def transfer(self, asset: Address, to: Address, amount: int, **details: Unpack[Details]) -> HeldReceipt:
        return self.pay(asset, [Output(to, amount)], kind=TRANSFER, **details)

    def tip(self, asset: Address, to: Address, amount: int, **details: Unpack[Details]) -> HeldReceipt:
        return self.pay(asset, [Output(to, amount)], kind=TIP, **details)

    def withdraw(self, asset: Address, to: Address, amount: int, **details: Unpack[Details]) -> HeldReceipt:
        """`to` is the recipient on Ethereum."""
        return self.pay(asset, [Output(to, amount)], kind=WITHDRAW, **details)

    def pay(
        self,
        asset: Address,
        outputs: Sequence[Output],
        *,
        kind: str = TRANSFER,
        reference: Hash = ZERO_HASH,
        memo: str = "",
        valid_until: int = 0,
    ) -> HeldReceipt:
        """Signs and sends a payment; amounts in base units, `valid_until` in Unix seconds, 0 for none.

        Returns its receipt, checked and on disk. Raises a `Refusal` (nothing was paid), `OutcomeUnknown` (kept as
        pending: `resend`), `WrongReceipt`, `NonceWindowFull`, and from before it was sent `Unreachable` or `BadReply`.
        """
        for _ in range(NONCE_ATTEMPTS):
            account = self._node.get_account(self.address)
            nonce = self._nonces.reserve(account)
            payment = Payment(asset, self.address, nonce, valid_until, kind, reference, memo, tuple(outputs))
            try:
                signed = sign_payment(payment, self._key, self.ledger)
                pending = self._keep_pending(signed)
                if pending is not None:
                    return deliver(self._node, self.ledger, self.receipts, pending, clock=self._clock)
            except NonceUsed:
                # A different payment has that nonce, so ours is not in the ledger and never will be: a new one is safe.
                # The nonce stays reserved: it is of no use to anybody.
                continue
            except Refusal:
                self._nonces.release(nonce)
                raise
        raise NonceUsed(nonce, account.next_nonce)

    def resend(self, payment_id: Hash) -> HeldReceipt | None:
        """Settles a pending payment. None if none is pending under that id; raises as `pay`."""
        return resend(self._node, self.ledger, self.receipts, payment_id, clock=self._clock)

    def _keep_pending(self, signed: SignedPayment) -> PendingPayment | None:
        """None if another process with this key and directory has sent, or is sending, this very payment: it would be
        answered with that one's receipt, and nothing would be paid."""
        pending = PendingPayment(signed.id, signed.payment, signed.signature, int(self._clock() * 1000))
        try:
            self.receipts.save_pending(pending)
        except FileExistsError:
            return None
        # Looked for after the pending copy is there: the other process saves its receipt before it removes its copy.
        if self.receipts.find(signed.id) is not None:
            self.receipts.remove_pending(signed.id)
            return None
        return pending


def resend(
    node: Node,
    ledger: Ledger,
    receipts: ReceiptStore,
    payment_id: Hash,
    *,
    clock: Callable[[], float] = time.time,
) -> HeldReceipt | None:
    """Sends a pending payment again, the very same, which needs no key. None if none is pending under that id."""
    pending = receipts.find_pending(payment_id)
    return None if pending is None else deliver(node, ledger, receipts, pending, clock=clock)


def deliver(
    node: Node,
    ledger: Ledger,
    receipts: ReceiptStore,
    pending: PendingPayment,
    *,
    clock: Callable[[], float] = time.time,
) -> HeldReceipt:
    """Sends a payment that is on disk as pending, and settles it there. Raises as `Wallet.pay`."""
    try:
        held = node.send_payment(pending.payment, pending.signature)
    except Refusal as refusal:
        if not is_settled(refusal):
            raise OutcomeUnknown(pending.id, str(refusal)) from refusal
        receipts.remove_pending(pending.id)
        raise
    except (Unreachable, BadReply, RpcError) as error:
        raise OutcomeUnknown(pending.id, str(error)) from error
    signed = SignedPayment(pending.id, pending.payment, pending.signature)
    try:
        check_answer(held, signed, ledger, pending.sent_at_ms, int(clock() * 1000))
    except WrongReceipt:
        receipts.save_disputed(pending.id, held)
        raise
    receipts.save(held)
    receipts.remove_pending(pending.id)
    return held


def is_settled(refusal: Refusal) -> bool:
    """Whether a refusal says that this payment is not in the ledger now and cannot get there unless it is sent again.

    The node answers a payment that it has with its receipt before any other check, so any of the ledger's own refusals
    says that; `expired` and `nonce_used` even for ever. A node that was only busy or stopping may have it under way.
    """
    return isinstance(refusal, (Expired, NonceUsed)) or refusal.code in _LEDGER_CODES


_LEDGER_CODES: Final = frozenset(
    {
        "malformed_payment",
        "unknown_kind",
        "no_outputs",
        "too_many_outputs",
        "zero_address",
        "zero_amount",
        "amount_too_large",
        "memo_too_long",
        "invalid_signature",
        "unknown_asset",
        "nonce_too_far",
        "wrong_outputs",
        "insufficient_balance",
        "epoch_limit",
    }
)
