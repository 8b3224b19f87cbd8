"""A wallet: one key on one ledger. It builds and signs payments and instructions, sends them, and reports only what it
has checked and has on disk.

The order, and what is true if we die in between:
1. a nonce is reserved that nothing else of this wallet uses or has used;
2. what is signed is on disk among the pending: from here on it can be sent again as it is;
3. it is sent, and the receipt that comes back is checked: what we signed, the operator's signature, the clock;
4. the receipt is on disk, the pending copy is removed, and only now the caller hears of success.

An upload is a listing and the payment for keeping what it lists, sent together: two nonces, one pending file, two
receipts, and both are in the ledger or neither is.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, TypedDict, TypeVar, Unpack

from msgspec.structs import replace

from chain.errors import Expired, InvalidProof, InvalidSignature, NonceUsed, Refusal
from chain.instruction import (
    Instruction,
    ListFile,
    SignedInstruction,
    compute_instruction_id,
)
from chain.instruction import check_structure as check_instruction_structure
from chain.kinds import SHAPES, TIP, TRANSFER, UPLOAD, WITHDRAW
from chain.payment import Output, Payment, SignedPayment, check_structure, compute_payment_id
from chain.primitives import NONCE_WINDOW, ZERO_HASH, Address, Hash
from chain.receipt import check_instruction_receipt, check_receipt
from client.errors import BadReply, NonceWindowFull, OutcomeUnknown, RpcError, Unreachable, WrongReceipt
from client.keys import SigningKey
from client.ledgers import Ledger
from client.market import UploadReceipts
from client.node import Node
from client.protocol import Account, AnyHeldReceipt, HeldInstructionReceipt, HeldReceipt
from client.receipts import Pending, ReceiptStore, Signed

T = TypeVar("T")

MAX_CLOCK_DIFFERENCE_MS: Final = 30_000
"""How far a header's time may be off this machine's clock."""

NONCE_ATTEMPTS: Final = 8
"""New nonces tried when others that use the same key (another process, another machine) took the one we chose."""


class NonceReservations:
    """Which nonces to use next, so that payments under way at the same time never meet. Safe for many threads.

    Counts up from one above the highest used nonce; when the window's end is reached, takes the base, which is free by
    definition (the base slides over used nonces). A nonce once handed out is handed out again only if what it was for
    was refused: what the node says of the account may be older than what this wallet has sent since, and two payments
    of the same content and nonce are one payment, paid once and answered twice.
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
        """What the nonce was for is not in the ledger, and will not be."""
        with self._lock:
            self._reserved.discard(nonce)


def sign_payment(payment: Payment, key: SigningKey, ledger: Ledger) -> SignedPayment:
    """Raises what `check_structure` raises, then what the kind's shape does: nothing is signed that the ledger must
    refuse whatever it holds."""
    check_structure(payment)
    SHAPES[payment.kind](payment)
    payment_id = compute_payment_id(payment, ledger.domain)
    return SignedPayment(payment_id, payment, key.sign(payment_id))


def sign_instruction(instruction: Instruction, key: SigningKey, ledger: Ledger) -> SignedInstruction:
    """Raises what `chain.instruction.check_structure` raises."""
    check_instruction_structure(instruction)
    instruction_id = compute_instruction_id(instruction, ledger.domain)
    return SignedInstruction(instruction_id, instruction, key.sign(instruction_id))


def check_answer(held: AnyHeldReceipt, signed: Signed, ledger: Ledger, sent_at_ms: int, now_ms: int) -> None:
    """Whether `held` is the operator's promise for what was sent, in a block made while it was under way.

    Raises `WrongReceipt`: something else, a status that is no promise, a proof or signature that does not hold, a block
    dated more than 30 s before it was first sent, or after now, or not after a cut already seen on Ethereum.
    """
    receipt, name = held.receipt, f"{_get_word(signed)} 0x{signed.id.hex()}"
    if (receipt.signed.id, _get_content(receipt.signed)) != (signed.id, _get_content(signed)):
        raise WrongReceipt(f"{name} was sent, the receipt is of 0x{receipt.signed.id.hex()}")
    if held.status == "void":
        raise WrongReceipt(f"{name} is answered as void")
    try:
        if isinstance(held, HeldReceipt):
            check_receipt(held.receipt, ledger.domain, ledger.operator)
        else:
            check_instruction_receipt(held.receipt, ledger.domain, ledger.operator)
    except (InvalidProof, InvalidSignature) as error:
        raise WrongReceipt(f"the receipt of {name} does not hold: {error}") from error
    timestamp = receipt.header.timestamp
    if not sent_at_ms - MAX_CLOCK_DIFFERENCE_MS <= timestamp <= now_ms + MAX_CLOCK_DIFFERENCE_MS:
        raise WrongReceipt(
            f"block {receipt.header.number} is dated {timestamp} ms; by this machine's clock {_get_word(signed)} was "
            f"under way from {sent_at_ms} to {now_ms}, and more than {MAX_CLOCK_DIFFERENCE_MS} ms off is refused"
        )
    if receipt.inclusion is None and timestamp <= ledger.last_cut_at:
        raise WrongReceipt(
            f"block {receipt.header.number} is dated {timestamp} ms, not after the cut at {ledger.last_cut_at} of an "
            "epoch already on Ethereum"
        )


def check_answers(held: Sequence[AnyHeldReceipt], pending: Pending, ledger: Ledger, now_ms: int) -> None:
    """Whether there is a receipt that `check_answer` takes for each record, and, of an upload, whether they are of one
    block and follow each other. Raises `WrongReceipt`."""
    if len(held) != len(pending.records):
        raise WrongReceipt(f"{len(pending.records)} records were sent, {len(held)} receipts came back")
    for answer, signed in zip(held, pending.records, strict=True):
        check_answer(answer, signed, ledger, pending.sent_at_ms, now_ms)
    places = [(answer.receipt.header, answer.receipt.index) for answer in held]
    header, first = places[0]
    if places != [(header, first + offset) for offset in range(len(places))]:
        raise WrongReceipt(f"the listing and the payment of upload 0x{pending.id.hex()} do not follow each other")


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
        """Signs and sends a payment; amounts in base units, `valid_until` in Unix seconds, 0 for none. Raises as
        `send`."""
        return self.send(Payment(asset, self.address, 0, valid_until, kind, reference, memo, tuple(outputs)))

    def send(self, payment: Payment) -> HeldReceipt:
        """Signs and sends a payment of this wallet's; its nonce is chosen here.

        Returns its receipt, checked and on disk. Raises ValueError for another's payment, a `Refusal` (nothing was
        paid), `OutcomeUnknown` (kept as pending: `resend`), `WrongReceipt`, `NonceWindowFull`, and from before it was
        sent `Unreachable` or `BadReply`.
        """
        self._check_own(payment.payer)
        (held,) = self._sign_and_deliver(1, lambda nonces: (self._sign_payment(payment, nonces[0]),))
        return _take(held, HeldReceipt)

    def instruct(self, instruction: Instruction) -> HeldInstructionReceipt:
        """Signs and sends an instruction of this wallet's; its nonce is chosen here. Returns and raises as `send`."""
        self._check_own(instruction.account)
        (held,) = self._sign_and_deliver(1, lambda nonces: (self._sign_instruction(instruction, nonces[0]),))
        return _take(held, HeldInstructionReceipt)

    def upload(self, listing: ListFile, payment: Payment) -> UploadReceipts:
        """Signs and sends a listing and the payment for keeping what it lists, both or neither; their nonces are chosen
        here. Returns both receipts, and raises as `send`; also ValueError for a payment that is not of that upload."""
        self._check_own(listing.account)
        self._check_own(payment.payer)
        if payment.kind != UPLOAD or payment.reference != listing.file:
            raise ValueError("the payment is not for the upload of the file that is listed")
        listed, paid = self._sign_and_deliver(
            2, lambda nonces: (self._sign_instruction(listing, nonces[0]), self._sign_payment(payment, nonces[1]))
        )
        return _take(listed, HeldInstructionReceipt), _take(paid, HeldReceipt)

    def resend(self, record_id: Hash) -> tuple[AnyHeldReceipt, ...] | None:
        """Settles what is pending. None if nothing is under that id; raises as `send`."""
        return resend(self._node, self.ledger, self.receipts, record_id, clock=self._clock)

    def _sign_and_deliver(
        self, nonce_count: int, sign: Callable[[list[int]], tuple[Signed, ...]]
    ) -> tuple[AnyHeldReceipt, ...]:
        for _ in range(NONCE_ATTEMPTS):
            account = self._node.get_account(self.address)
            nonces = self._reserve(account, nonce_count)
            try:
                pending = self._keep_pending(sign(nonces))
                if pending is not None:
                    return deliver(self._node, self.ledger, self.receipts, pending, clock=self._clock)
            except NonceUsed:
                # Something different has that nonce, so ours is not in the ledger and never will be: to sign anew is
                # safe. The nonces stay reserved: they are of no use to anybody, or one of them may not be.
                continue
            except Refusal:
                self._release(nonces)
                raise
        raise NonceUsed(nonces[0], account.next_nonce)

    def _reserve(self, account: Account, count: int) -> list[int]:
        nonces: list[int] = []
        try:
            for _ in range(count):
                nonces.append(self._nonces.reserve(account))
        except NonceWindowFull:
            self._release(nonces)
            raise
        return nonces

    def _release(self, nonces: Sequence[int]) -> None:
        for nonce in nonces:
            self._nonces.release(nonce)

    def _sign_payment(self, payment: Payment, nonce: int) -> SignedPayment:
        return sign_payment(replace(payment, nonce=nonce), self._key, self.ledger)

    def _sign_instruction(self, instruction: Instruction, nonce: int) -> SignedInstruction:
        return sign_instruction(replace(instruction, nonce=nonce), self._key, self.ledger)

    def _check_own(self, account: Address) -> None:
        if account != self.address:
            raise ValueError(f"to be signed by 0x{account.hex()}, and this is the wallet of 0x{self.address.hex()}")

    def _keep_pending(self, records: tuple[Signed, ...]) -> Pending | None:
        """None if another process with this key and directory has sent, or is sending, this very thing: it would be
        answered with that one's receipt, and nothing would be paid."""
        pending = Pending(records, int(self._clock() * 1000))
        try:
            self.receipts.save_pending(pending)
        except FileExistsError:
            return None
        # Looked for after the pending copy is there: the other process saves its receipt before it removes its copy.
        if self.receipts.find(pending.id) is not None:
            self.receipts.remove_pending(pending.id)
            return None
        return pending


def resend(
    node: Node,
    ledger: Ledger,
    receipts: ReceiptStore,
    record_id: Hash,
    *,
    clock: Callable[[], float] = time.time,
) -> tuple[AnyHeldReceipt, ...] | None:
    """Sends what is pending again, the very same, which needs no key. Returns a receipt for each of its records; None
    if nothing is pending under that id."""
    pending = receipts.find_pending(record_id)
    return None if pending is None else deliver(node, ledger, receipts, pending, clock=clock)


def deliver(
    node: Node,
    ledger: Ledger,
    receipts: ReceiptStore,
    pending: Pending,
    *,
    clock: Callable[[], float] = time.time,
) -> tuple[AnyHeldReceipt, ...]:
    """Sends what is on disk as pending, and settles it there. Returns a receipt for each of its records, in order, and
    raises as `Wallet.send`."""
    try:
        held = _send(node, pending)
    except Refusal as refusal:
        if not is_settled(refusal):
            raise OutcomeUnknown(pending.id, str(refusal)) from refusal
        receipts.remove_pending(pending.id)
        raise
    except (Unreachable, BadReply, RpcError) as error:
        raise OutcomeUnknown(pending.id, str(error)) from error
    try:
        check_answers(held, pending, ledger, int(clock() * 1000))
    except WrongReceipt:
        for answer, signed in zip(held, pending.records, strict=False):
            receipts.save_disputed(signed.id, answer)
        raise
    for answer in held:
        receipts.save(answer)
    receipts.remove_pending(pending.id)
    return held


def is_settled(refusal: Refusal) -> bool:
    """Whether a refusal says that what was sent is not in the ledger now and cannot get there unless it is sent again.

    The node answers what it has with its receipt before any other check, so any of the ledger's own refusals says that;
    `expired` and `nonce_used` even for ever. A node that was only busy or stopping may have it under way.
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
        # the data exchange's, of payments and instructions
        "malformed_instruction",
        "unknown_role",
        "already_registered",
        "wrong_role",
        "foreign_validator",
        "unknown_reference",
        "already_listed",
        "delisted",
        "file_expired",
        "already_uploaded",
        "not_uploaded",
        "already_purchased",
        "no_storage_rate",
        "wrong_asset",
        "wrong_price",
        "wrong_service_node",
        # of a listing whose key the node's escrow does not take
        "wrong_key",
        "no_escrow",
    }
)


def _send(node: Node, pending: Pending) -> tuple[AnyHeldReceipt, ...]:
    match pending.records:
        case (SignedPayment() as paid,):
            return (node.send_payment(paid.payment, paid.signature),)
        case (SignedInstruction() as instructed,):
            return (node.send_instruction(instructed.instruction, instructed.signature),)
        case (SignedInstruction(instruction=ListFile() as listing) as listed, SignedPayment() as paid):
            return node.send_upload(listing, listed.signature, paid.payment, paid.signature)
    raise ValueError("neither a payment, nor an instruction, nor an upload")


def _get_content(signed: Signed) -> Payment | Instruction:
    return signed.payment if isinstance(signed, SignedPayment) else signed.instruction


def _get_word(signed: Signed) -> str:
    return "payment" if isinstance(signed, SignedPayment) else "instruction"


def _take(held: AnyHeldReceipt, kind: type[T]) -> T:
    """`check_answer` has compared what was sent with what is in the receipt, so it is of that kind."""
    if not isinstance(held, kind):
        raise WrongReceipt(f"a receipt of another kind than what was sent: 0x{held.id.hex()}")
    return held
