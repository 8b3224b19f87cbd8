"""The methods of the interface, one function each: parameters in, what `tally_…` answers out.

Parameters may be a list or, by name, an object. Every function raises `MalformedRequest` before anything else.
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from chain import wire
from chain.block import BLOCK_TYPE
from chain.errors import MalformedRequest, NotFound, Refusal, UnknownAsset
from chain.payment import Output, Payment, check_structure
from chain.primitives import MAX_U64, MAX_U256, ZERO_HASH
from node import __version__
from node.archive import Archive
from node.index import Direction, PaymentFilter
from node.ledger_info import LedgerInfo
from node.payment_status import PaymentStatus
from node.refusals import Halted, Overloaded
from node.rpc.openrpc import get_document
from node.rpc.parameters import load_params, take_params
from node.sequencer import Declined, Outcome, Sequencer
from node.verification import Refused, Verified, VerifierPool
from node.workers.verifier import encode_refusal

MAX_PAGE: Final = 1000
_DEFAULT_PAGE: Final = 50

MAX_UNINDEXED: Final = 3_000_000
"""Payments that the sequencer remembers for an index that cannot keep up: some 600 MB. More than a start allows."""

PaymentAnswer: TypeAlias = bytes | Refused
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
    ) -> None:
        """`find_halt`: why no payment is taken now, if so."""
        self.sequencer = sequencer
        self.archive = archive
        self.info = info
        self._verifiers = verifiers
        self._max_backlog = max_backlog
        self._find_halt = find_halt

    @property
    def backlog(self) -> int:
        return self._verifiers.count + self.sequencer.backlog

    async def send_payments(self, submissions: list[bytes]) -> list[PaymentAnswer]:
        """Verifies, orders and receipts payments, in their order. A submission is the JSON text of its parameters."""
        if self.backlog + len(submissions) > self._max_backlog or self.sequencer.unindexed > MAX_UNINDEXED:
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
            verdict if isinstance(verdict, Refused) else await self._answer_payment(verdict, next(outcomes))
            for verdict in verdicts
        ]

    async def _answer_payment(self, verified: Verified, outcome: Outcome) -> PaymentAnswer:
        if not isinstance(outcome, Declined):
            return self.archive.encode_receipt(outcome, verified)
        if outcome.is_nonce_used:
            return await self._answer_again(verified, outcome.refusal)
        return Refused(*encode_refusal(outcome.refusal))

    async def _answer_again(self, verified: Verified, refusal: Refusal) -> PaymentAnswer:
        """The receipt of a payment that is in the ledger already; else the refusal."""
        try:
            return msgspec.json.encode(await self.archive.get_receipt(verified.signed.id))
        except NotFound:
            return Refused(*encode_refusal(refusal))
        except Overloaded as overloaded:  # it cannot be said yet whether the payment is in the ledger
            return Refused(*encode_refusal(overloaded))


_Word = TypeVar("_Word", bound=StrEnum)

Method: TypeAlias = Callable[[Methods, bytes], Awaitable[Any]]


async def get_info(methods: Methods, params: bytes) -> dict[str, Any]:
    """Everything that a stranger needs to sign a payment for this ledger, and to check what it says."""
    take_params(params)
    return {
        "name": "tallystick",
        "version": __version__,
        **methods.info.describe(),
        "types": wire.PAYMENT_TYPES,
        "otherTypes": {
            "Block": wire.describe_types(BLOCK_TYPE),
            "Commitment": wire.COMMITMENT_TYPES,
        },
    }


async def get_receipt(methods: Methods, params: bytes) -> dict[str, Any]:
    """[id] → the receipt. Raises `NotFound`."""
    (payment_id,) = take_params(params, "id")
    return await methods.archive.get_receipt(wire.decode_hash(payment_id, "id"))


async def get_payment(methods: Methods, params: bytes) -> dict[str, Any]:
    """[id] → {id, status, payment, signature, block, index, timestamp, epoch, l1Transaction}. Raises `NotFound`."""
    (payment_id,) = take_params(params, "id")
    return await methods.archive.get_payment(wire.decode_hash(payment_id, "id"))


async def get_account(methods: Methods, params: bytes) -> dict[str, Any]:
    """[address] → nonceBase, nextNonce, balances [{asset, balance}], roles. An account that was never heard of has
    nothing, and may use nonce 0."""
    (address,) = take_params(params, "address")
    account = wire.decode_address(address, "address")
    sequencer = methods.sequencer
    nonces = sequencer.get_nonces(account)
    return {
        "address": wire.encode_address(account),
        "nonceBase": hex(nonces.base),
        "nextNonce": hex(nonces.next_nonce),
        "balances": [
            {"asset": wire.encode_address(asset), "balance": hex(sequencer.get_balance(asset, account))}
            for asset in sequencer.state.assets
        ],
        "roles": [],
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
    return await methods.archive.describe_statement(account, token, number, _decode_cursor(cursor))


async def list_payments(methods: Methods, params: bytes) -> dict[str, Any]:
    """[{account, direction, counterparty, asset, kind, reference, status, from, to, cursor, limit}] → items, newest
    first, and the cursor of the next page, null on the last one."""
    (filters,) = take_params(params, "filter", optional=1) if params.strip()[:1] == b"[" else (load_params(params),)
    filters = {} if filters is None else filters
    known = {"account", "asset", "kind", "reference", "from", "to", "cursor", "limit"}
    known |= {"direction", "counterparty", "status"}
    if not isinstance(filters, dict) or not known.issuperset(filters):
        raise MalformedRequest("the filter is an object with keys out of: " + " ".join(sorted(known)))

    def take(name: str, decode: Callable[..., Any], *arguments: Any) -> Any:
        value = filters.get(name)
        return None if value is None else decode(value, name, *arguments)

    limit = take("limit", wire.decode_quantity, MAX_PAGE)
    status = take("status", _decode_word, PaymentStatus)
    first_epoch, last_epoch = (None, None) if status is None else methods.archive.commitments.find_epochs(status)
    wanted = PaymentFilter(
        account=take("account", wire.decode_address),
        direction=take("direction", _decode_word, Direction),
        counterparty=take("counterparty", wire.decode_address),
        asset=take("asset", wire.decode_address),
        kind=filters.get("kind"),
        reference=take("reference", wire.decode_hash),
        from_s=take("from", wire.decode_quantity, MAX_U64),
        to_s=take("to", wire.decode_quantity, MAX_U64),
        first_epoch=first_epoch,
        last_epoch=last_epoch,
    )
    if wanted.kind is not None and not isinstance(wanted.kind, str):
        raise MalformedRequest("kind: not text")
    cursor = _decode_cursor(filters.get("cursor"))
    return await methods.archive.list_payments(wanted, cursor, _DEFAULT_PAGE if limit is None else limit)


async def quote(methods: Methods, params: bytes) -> dict[str, Any]:
    """[kind, {asset, from, to | outputs, amount, reference?, memo?, validUntil?}] → the unsigned payment that the
    ledger will accept, and what each party gets. Raises what the ledger would refuse it with."""
    kind, details = take_params(params, "kind", "details")
    known = {"asset", "from", "to", "amount", "outputs", "nonce", "validUntil", "reference", "memo"}
    if not isinstance(kind, str) or not isinstance(details, dict) or not known.issuperset(details):
        raise MalformedRequest("a kind, and an object with keys out of: " + " ".join(sorted(known)))
    payer = wire.decode_address(wire.get_field(details, "from", "details"), "from")
    asset = wire.decode_address(wire.get_field(details, "asset", "details"), "asset")
    payment = Payment(
        asset=asset,
        payer=payer,
        nonce=_take_nonce(methods, details, payer),
        valid_until=wire.decode_quantity(details.get("validUntil", 0), "validUntil", MAX_U64),
        kind=kind,
        reference=wire.decode_hash(details["reference"], "reference") if "reference" in details else ZERO_HASH,
        memo=_take_memo(details),
        outputs=_take_outputs(details),
    )
    check_structure(payment)
    methods.sequencer.check(payment)
    return {
        "payment": wire.encode_payment(payment),
        "total": hex(payment.total),
        "parties": [
            {"address": wire.encode_address(payer), "change": f"-{hex(payment.total)}"},
            *[{"address": wire.encode_address(output.to), "change": hex(output.amount)} for output in payment.outputs],
        ],
    }


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
    "tally_getPaymentProof": get_payment_proof,
    "tally_getAccountProof": get_account_proof,
    "tally_getStatement": get_statement,
    "tally_listPayments": list_payments,
    "tally_quote": quote,
    "rpc.discover": discover,
}


def _decode_word(value: Any, name: str, words: type[_Word]) -> _Word:
    try:
        return words(value)
    except ValueError:  # also for what is no text
        raise MalformedRequest(f"{name}: one of: {' '.join(words)}") from None


def _take_nonce(methods: Methods, details: dict[str, Any], payer: bytes) -> int:
    if "nonce" in details:
        return wire.decode_quantity(details["nonce"], "nonce", MAX_U64)
    return methods.sequencer.get_nonces(payer).next_nonce


def _take_memo(details: dict[str, Any]) -> str:
    memo = details.get("memo", "")
    if not isinstance(memo, str):
        raise MalformedRequest("memo: not text")
    return memo


def _take_outputs(details: dict[str, Any]) -> tuple[Output, ...]:
    """From `outputs`, or from `to` and `amount` for a single one."""
    outputs = details.get("outputs")
    if outputs is None:
        outputs = [{name: wire.get_field(details, name, "details") for name in ("to", "amount")}]
    elif "to" in details or "amount" in details:
        raise MalformedRequest("either outputs, or to and amount")
    if not isinstance(outputs, list):
        raise MalformedRequest("outputs: not a list")
    return tuple(
        [
            Output(
                wire.decode_address(wire.get_field(output, "to", "outputs"), "to"),
                wire.decode_quantity(wire.get_field(output, "amount", "outputs"), "amount", MAX_U256),
            )
            for output in outputs
        ]
    )


def _check_asset(methods: Methods, asset: bytes) -> None:
    if asset not in methods.sequencer.state.balances:
        raise UnknownAsset(asset)


def _decode_cursor(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and len(value) <= 64):
        return value
    raise MalformedRequest("cursor: take it from the page before")


class _NamedSubmission(msgspec.Struct, forbid_unknown_fields=True):
    payment: msgspec.Raw
    signature: msgspec.Raw


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
