"""The methods of the interface, one function each: parameters in, what `tally_…` answers out.

Parameters may be a list or, by name, an object. Every function raises `MalformedRequest` before anything else.
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from chain import wire
from chain.block import BLOCK_TYPE
from chain.errors import MalformedInstruction, MalformedPayment, MalformedRequest, NotFound, Refusal, UnknownAsset
from chain.instruction import ListFile, SignedInstruction
from chain.kinds import UPLOAD
from chain.market import OWNER
from chain.payment import SignedPayment
from chain.primitives import MAX_U64
from node import __version__
from node.archive import Archive
from node.catalogue import Catalogue
from node.escrow import Escrow
from node.index import Direction, PaymentFilter
from node.ledger_info import LedgerInfo
from node.payment_status import PaymentStatus
from node.refusals import Halted, Overloaded
from node.rpc.market import MARKET_METHODS
from node.rpc.openrpc import get_document
from node.rpc.parameters import MAX_COMMITMENTS, decode_cursor, load_filter, take_address, take_limit, take_params
from node.rpc.quotes import quote
from node.sequencer import Declined, Outcome, Sequencer
from node.verification import Refused, Verified, VerifierPool
from node.workers.verifier import INSTRUCTION_MARK, encode_refusal

MAX_UNINDEXED: Final = 3_000_000
"""Payments that the sequencer remembers for an index that cannot keep up: some 600 MB. More than a start allows."""

Answer: TypeAlias = bytes | Refused
"""A receipt as JSON, or a refusal."""


class Methods:
    """What the functions below work on."""

    def __init__(
        self,
        sequencer: Sequencer,
        verifiers: VerifierPool,
        archive: Archive,
        info: LedgerInfo,
        max_backlog: int,
        find_halt: Callable[[], str | None],
        escrow: Escrow,
        catalogue: Catalogue,
    ) -> None:
        """`find_halt`: why no payment is taken now, if so."""
        self.sequencer = sequencer
        self.archive = archive
        self.info = info
        self.escrow = escrow
        self.catalogue = catalogue
        self._verifiers = verifiers
        self._max_backlog = max_backlog
        self._find_halt = find_halt

    @property
    def backlog(self) -> int:
        return self._verifiers.count + self.sequencer.backlog

    async def send_payments(self, submissions: list[bytes]) -> list[Answer]:
        """Verifies, orders and receipts payments, in their order. A submission is the JSON text of its parameters."""
        if self._is_overloaded(len(submissions)):
            return [Refused(*encode_refusal(Overloaded(self.backlog)))] * len(submissions)
        verdicts = await self._verifiers.verify([_to_list(params) for params in submissions])
        halt = self._find_halt()
        if halt is not None:
            return [
                verdict if isinstance(verdict, Refused) else await self._answer_again(verdict, Halted(halt))
                for verdict in verdicts
            ]
        verified = [verdict for verdict in verdicts if isinstance(verdict, Verified)]
        outcomes = iter(await self.sequencer.submit(verified) if verified else [])
        return [
            verdict if isinstance(verdict, Refused) else await self._answer(verdict, next(outcomes))
            for verdict in verdicts
        ]

    async def send_instruction(self, submission: bytes) -> Answer:
        """Verifies, orders and receipts an instruction, from the JSON text of `[instruction, signature]`."""
        if self._is_overloaded(1):
            return Refused(*encode_refusal(Overloaded(self.backlog)))
        (verdict,) = await self._verifiers.verify([INSTRUCTION_MARK + submission])
        if isinstance(verdict, Refused):
            return verdict
        refusal = self._find_refusal(verdict)
        if refusal is not None:
            return await self._answer_again(verdict, refusal)
        (outcome,) = await self.sequencer.submit([verdict])
        return await self._answer(verdict, outcome)

    async def send_upload(self, listing: bytes, payment: bytes) -> list[bytes] | Refused:
        """Verifies, orders and receipts a `ListFile` and the payment of its upload, both or neither. Each is the JSON
        text of itself and its signature, in a list."""
        if self._is_overloaded(2):
            return Refused(*encode_refusal(Overloaded(self.backlog)))
        verdicts = await self._verifiers.verify([INSTRUCTION_MARK + listing, payment])
        for verdict in verdicts:
            if isinstance(verdict, Refused):
                return verdict
        verified = [verdict for verdict in verdicts if isinstance(verdict, Verified)]
        problem = _find_mismatch(verified[0].signed, verified[1].signed)
        if problem is not None:
            return Refused(*encode_refusal(problem))
        refusal = self._find_refusal(verified[0])
        outcome = (
            await self.sequencer.submit_upload(*verified) if refusal is None else Declined(refusal, is_nonce_used=True)
        )
        if not isinstance(outcome, Declined):
            return [self.archive.encode_receipt(placed, each) for placed, each in zip(outcome, verified, strict=True)]
        if not outcome.is_nonce_used:
            return Refused(*encode_refusal(outcome.refusal))
        answers = [await self._answer_again(each, outcome.refusal) for each in verified]
        return next((answer for answer in answers if isinstance(answer, Refused)), None) or [
            answer for answer in answers if isinstance(answer, bytes)
        ]

    def _is_overloaded(self, count: int) -> bool:
        return self.backlog + count > self._max_backlog or self.sequencer.unindexed > MAX_UNINDEXED

    def _find_refusal(self, verified: Verified) -> Refusal | None:
        """What speaks against an instruction beside the rules."""
        halt = self._find_halt()
        if halt is not None:
            return Halted(halt)
        signed = verified.signed
        if isinstance(signed, SignedInstruction) and isinstance(signed.instruction, ListFile):
            try:
                self.escrow.check_listing(signed.instruction)
            except Refusal as refusal:
                return refusal
        return None

    async def _answer(self, verified: Verified, outcome: Outcome) -> Answer:
        if not isinstance(outcome, Declined):
            return self.archive.encode_receipt(outcome, verified)
        if outcome.is_nonce_used:
            return await self._answer_again(verified, outcome.refusal)
        return Refused(*encode_refusal(outcome.refusal))

    async def _answer_again(self, verified: Verified, refusal: Refusal) -> Answer:
        """The receipt of what is in the ledger already; else the refusal."""
        try:
            return msgspec.json.encode(await self.archive.get_receipt(verified.signed.id))
        except NotFound:
            return Refused(*encode_refusal(refusal))
        except Overloaded as overloaded:  # it cannot be said yet whether it is in the ledger
            return Refused(*encode_refusal(overloaded))


_Word = TypeVar("_Word", bound=StrEnum)

Method: TypeAlias = Callable[[Methods, bytes], Awaitable[Any]]


async def get_info(methods: Methods, params: bytes) -> dict[str, Any]:
    """Everything that a stranger needs to sign a payment for this ledger, and to check what it says."""
    take_params(params)
    public_key = methods.escrow.public_key
    return {
        "name": "tallystick",
        "version": __version__,
        **methods.info.describe(),
        "types": wire.PAYMENT_TYPES,
        "otherTypes": {
            "Block": wire.describe_types(BLOCK_TYPE),
            "Commitment": wire.COMMITMENT_TYPES,
            **wire.INSTRUCTION_EIP712_TYPES,
        },
        "escrow": None if public_key is None else {"publicKey": wire.encode_bytes(public_key)},
    }


async def get_receipt(methods: Methods, params: bytes) -> dict[str, Any]:
    """[id] → the receipt of a payment or an instruction. Raises `NotFound`."""
    (record_id,) = take_params(params, "id")
    return await methods.archive.get_receipt(wire.decode_hash(record_id, "id"))


async def get_payment(methods: Methods, params: bytes) -> dict[str, Any]:
    """[id] → {id, status, payment, signature, block, index, timestamp, epoch, l1Transaction}. Raises `NotFound`."""
    (payment_id,) = take_params(params, "id")
    return await methods.archive.get_payment(wire.decode_hash(payment_id, "id"))


async def get_account(methods: Methods, params: bytes) -> dict[str, Any]:
    """[address] → nonceBase, nextNonce, balances [{asset, balance}], roles, ownerUnder (a validator). An account that
    was never heard of has nothing, and may use nonce 0."""
    (address,) = take_params(params, "address")
    account = wire.decode_address(address, "address")
    sequencer = methods.sequencer
    nonces, roles = sequencer.get_nonces(account), sequencer.get_roles(account)
    return {
        "address": wire.encode_address(account),
        "nonceBase": hex(nonces.base),
        "nextNonce": hex(nonces.next_nonce),
        "balances": [
            {"asset": wire.encode_address(asset), "balance": hex(sequencer.get_balance(asset, account))}
            for asset in sequencer.state.assets
        ],
        "roles": roles.names,
        "ownerUnder": wire.encode_address(roles.validator) if roles.has(OWNER) else None,
    }


async def get_block(methods: Methods, params: bytes) -> dict[str, Any]:
    """[number, `latest` or hash] → header, signature, records. Raises `NotFound`."""
    (block,) = take_params(params, "block")
    archive = methods.archive
    if block == "latest":
        number = methods.sequencer.durable_block
    elif isinstance(block, str) and len(block) == 66:
        number = await archive.find_block(wire.decode_hash(block, "block"))
    else:
        number = wire.decode_quantity(block, "block", MAX_U64)
    return await archive.describe_block(number)


async def get_commitment(methods: Methods, params: bytes) -> dict[str, Any]:
    """[epoch, `latest` or `final`] → message, signature, status, attempts, l1Transaction, gas. Raises `NotFound`."""
    (epoch,) = take_params(params, "epoch")
    archive = methods.archive
    if epoch in ("latest", "final"):
        number = archive.sealed_epoch if epoch == "latest" else archive.final_epoch
    else:
        number = wire.decode_quantity(epoch, "epoch", MAX_U64)
    return await archive.describe_commitment(number)


async def list_commitments(methods: Methods, params: bytes) -> dict[str, Any]:
    """[{cursor, limit}] → items, newest first, each as `get_commitment` answers it, and the cursor of the next page,
    null on the last one."""
    filters = load_filter(params, {"cursor", "limit"})
    cursor, limit = decode_cursor(filters.get("cursor")), take_limit(filters, MAX_COMMITMENTS)
    return await methods.archive.list_commitments(cursor, limit)


async def get_payment_proof(methods: Methods, params: bytes) -> dict[str, Any]:
    """[id] → receipt, and for a withdrawal of a sealed epoch what claims it on L1. Raises `NotFound`."""
    (payment_id,) = take_params(params, "id")
    return await methods.archive.prove_payment(wire.decode_hash(payment_id, "id"))


async def get_account_proof(methods: Methods, params: bytes) -> dict[str, Any]:
    """[address, asset, epoch] → leaf, index, siblings with sums, and the commitment. Raises `NotFound`."""
    address, asset, epoch = take_params(params, "address", "asset", "epoch")
    archive = methods.archive
    number = archive.sealed_epoch if epoch == "latest" else wire.decode_quantity(epoch, "epoch", MAX_U64)
    return await archive.prove_account(
        wire.decode_address(address, "address"), wire.decode_address(asset, "asset"), number
    )


async def get_statement(methods: Methods, params: bytes) -> dict[str, Any]:
    """[address, asset, epoch, cursor?] → opening, closing, debits and credits with running balance, roots, sums.
    Raises `UnknownAsset`, `NotFound`."""
    address, asset, epoch, cursor = take_params(params, "address", "asset", "epoch", "cursor", optional=1)
    account, token = wire.decode_address(address, "address"), wire.decode_address(asset, "asset")
    number = wire.decode_quantity(epoch, "epoch", MAX_U64)
    _check_asset(methods, token)
    return await methods.archive.describe_statement(account, token, number, decode_cursor(cursor))


async def list_payments(methods: Methods, params: bytes) -> dict[str, Any]:
    """[{account, direction, counterparty, asset, kind, reference, status, from, to, cursor, limit}] → items, newest
    first, and the cursor of the next page, null on the last one."""
    known = {"account", "asset", "kind", "reference", "from", "to", "cursor", "limit"}
    known |= {"direction", "counterparty", "status"}
    filters = load_filter(params, known)

    def take(name: str, decode: Callable[..., Any], *arguments: Any) -> Any:
        value = filters.get(name)
        return None if value is None else decode(value, name, *arguments)

    limit = take_limit(filters)
    status = take("status", _decode_word, PaymentStatus)
    first_epoch, last_epoch = (None, None) if status is None else methods.archive.commitments.find_epochs(status)
    wanted = PaymentFilter(
        account=take_address(filters, "account"),
        direction=take("direction", _decode_word, Direction),
        counterparty=take_address(filters, "counterparty"),
        asset=take_address(filters, "asset"),
        kind=filters.get("kind"),
        reference=take("reference", wire.decode_hash),
        from_s=take("from", wire.decode_quantity, MAX_U64),
        to_s=take("to", wire.decode_quantity, MAX_U64),
        first_epoch=first_epoch,
        last_epoch=last_epoch,
    )
    if wanted.kind is not None and not isinstance(wanted.kind, str):
        raise MalformedRequest("kind: not text")
    cursor = decode_cursor(filters.get("cursor"))
    return await methods.archive.list_payments(wanted, cursor, limit)


async def discover(methods: Methods, params: bytes) -> msgspec.Raw:
    """The OpenRPC document."""
    take_params(params)
    return get_document()


METHODS: Final[dict[str, Method]] = {
    # `tally_sendPayment` is not here: payments of a batch go through `Methods.send_payments` together.
    "tally_getInfo": get_info,
    "tally_getReceipt": get_receipt,
    "tally_getPayment": get_payment,
    "tally_getAccount": get_account,
    "tally_getBlock": get_block,
    "tally_getCommitment": get_commitment,
    "tally_listCommitments": list_commitments,
    "tally_getPaymentProof": get_payment_proof,
    "tally_getAccountProof": get_account_proof,
    "tally_getStatement": get_statement,
    "tally_listPayments": list_payments,
    "tally_quote": quote,
    **MARKET_METHODS,
    "rpc.discover": discover,
}


def _decode_word(value: Any, name: str, words: type[_Word]) -> _Word:
    try:
        return words(value)
    except ValueError:  # also for what is no text
        raise MalformedRequest(f"{name}: one of: {' '.join(words)}") from None


def _check_asset(methods: Methods, asset: bytes) -> None:
    if asset not in methods.sequencer.state.balances:
        raise UnknownAsset(asset)


class _NamedSubmission(msgspec.Struct, forbid_unknown_fields=True):
    payment: msgspec.Raw
    signature: msgspec.Raw


def _find_mismatch(
    listing: SignedPayment | SignedInstruction, payment: SignedPayment | SignedInstruction
) -> Refusal | None:
    """What speaks against two submissions' being a listing and the payment of its upload."""
    if not isinstance(listing, SignedInstruction) or not isinstance(listing.instruction, ListFile):
        return MalformedInstruction("an upload begins with its listing, an instruction of type ListFile")
    if not isinstance(payment, SignedPayment) or payment.payment.kind != UPLOAD:
        return MalformedPayment("an upload is paid by a payment of kind upload")
    if payment.payment.reference != listing.instruction.file:
        return MalformedPayment("the payment's reference is not the file that the listing lists")
    return None


def _to_list(params: bytes) -> bytes:
    """The parameters of `tally_sendPayment` by position, however they came. What is neither is left for the verifier to
    refuse."""
    if params[:1] != b"{":
        return params
    try:
        named = msgspec.json.decode(params, type=_NamedSubmission)
    except (msgspec.DecodeError, RecursionError):
        return params
    return b"[" + bytes(named.payment) + b"," + bytes(named.signature) + b"]"
