"""What the REST interface answers with, field for field. The OpenAPI document is made from these types.

Names are those of JSON-RPC where it has the same thing. Integers are `0x` hex quantities, times are milliseconds since
1970 unless a field says seconds, amounts are base units of the asset.
"""

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from chain.wire import encode_address, encode_bytes
from explorer.formatting import Token
from explorer.sentences import describe_record, list_changes
from explorer.status import EpochStage, compute_epoch_stage
from node.ethereum.reserves import AssetReserves, Fault, FaultKind, Reading, Reserves, Verdict
from node.ethereum.submission import EpochStatus
from node.index import (
    Activity,
    AssetCounters,
    Counters,
    Holding,
    IndexedBlock,
    IndexedDeposit,
    IndexedEpoch,
    IndexedPayment,
    IndexedRecord,
    StatementEntry,
    StatementTotals,
)
from node.payment_status import Commitments, PaymentStatus

Quantity: TypeAlias = Annotated[str, Meta(pattern="^0x(0|[1-9a-f][0-9a-f]*)$", examples=["0x2a"])]
Change: TypeAlias = Annotated[str, Meta(pattern="^-?0x(0|[1-9a-f][0-9a-f]*)$", examples=["-0x2a"])]
HexAddress: TypeAlias = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{40}$", description="With its EIP-55 checksum.")]
HexHash: TypeAlias = Annotated[str, Meta(pattern="^0x[0-9a-f]{64}$")]
HexSignature: TypeAlias = Annotated[str, Meta(pattern="^0x[0-9a-f]{130}$")]


class Form(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    pass


class Problem(Form, frozen=True):
    code: Annotated[str, Meta(description="The name of the refusal, the same as in JSON-RPC.")]
    message: str


class Failure(Form, frozen=True):
    error: Problem


# --- the ledger


class AssetTotals(Form, frozen=True):
    asset: HexAddress
    payment_count: Quantity
    volume: Annotated[Quantity, Meta(description="Of all payments, withdrawals included.")]
    deposit_count: Quantity
    deposited: Quantity
    withdrawal_count: Quantity
    withdrawn: Quantity


class Totals(Form, frozen=True):
    """What the index has counted since the ledger began."""

    height: Annotated[Quantity, Meta(description="Entries of the journal that the index has.")]
    block: Annotated[Quantity, Meta(description="The newest that the index has, 0x0 for none.")]
    timestamp: Quantity
    epoch: Quantity
    sealed_epoch: Quantity
    record_count: Quantity
    payment_count: Quantity
    account_count: Quantity
    assets: tuple[AssetTotals, ...]


class Domain(Form, frozen=True):
    name: str
    version: str
    chain_id: Quantity
    verifying_contract: HexAddress


class Asset(Form, frozen=True):
    address: HexAddress
    symbol: str | None
    decimals: Quantity | None
    native: bool


class LastCommitment(Form, frozen=True):
    """Epochs; 0x0 for none."""

    sealed: Quantity
    mined: Quantity
    final: Quantity


class LedgerAnswer(Form, frozen=True):
    """What `tally_getInfo` says of the ledger, and what the index has counted."""

    name: str
    version: str
    ledger_chain_id: Quantity
    domain: Domain
    settlement: HexAddress
    l1_chain_id: Quantity
    operator: HexAddress
    assets: tuple[Asset, ...]
    epoch: Quantity
    head_block: Quantity
    last_commitment: LastCommitment
    parameters: dict[str, Any]
    status: Annotated[str, Meta(description="ready, degraded or unready, as /health/ready says")]
    counters: Totals


# --- records


class OutputForm(Form, frozen=True):
    to: HexAddress
    amount: Quantity


class PaymentItem(Form, frozen=True):
    id: HexHash
    status: PaymentStatus
    block: Quantity
    index: Annotated[Quantity, Meta(description="Of the record in its block.")]
    timestamp: Quantity
    epoch: Quantity
    kind: str
    asset: HexAddress
    from_: HexAddress = msgspec.field(name="from")
    nonce: Quantity
    total: Quantity
    outputs: tuple[OutputForm, ...]
    reference: Annotated[HexHash, Meta(description="What is paid for; zeros if nothing is named.")]
    memo: str
    sentence: Annotated[str, Meta(description="The payment in plain words.")]


class Party(Form, frozen=True):
    address: HexAddress
    role: str
    change: Annotated[Change, Meta(description="Of the account's balance by this payment.")]


class PaymentAnswer(PaymentItem, frozen=True):
    valid_until: Annotated[Quantity, Meta(description="Unix seconds, 0x0 for no end.")]
    signature: HexSignature
    l1_transaction: Annotated[HexHash | None, Meta(description="That committed its epoch; null before.")]
    parties: Annotated[tuple[Party, ...], Meta(description="The payer first.")]


class DepositItem(Form, frozen=True):
    id: HexHash
    status: PaymentStatus
    block: Quantity
    record: Annotated[Quantity, Meta(description="Its index in the block.")]
    timestamp: Quantity
    epoch: Quantity
    asset: HexAddress
    index: Annotated[Quantity, Meta(description="In the contract's queue of the asset.")]
    account: HexAddress
    amount: Quantity
    sentence: str


class PaymentRecord(Form, frozen=True, tag="payment"):
    payment: PaymentItem


class DepositRecord(Form, frozen=True, tag="deposit"):
    deposit: DepositItem


class PaymentList(Form, frozen=True):
    """Newest first. `older` is the `before` of the list that follows, `newer` the `after` of the one before; null at
    the ends. A list may be short, even empty, and go on: a rare thing is sought for so long and no longer."""

    items: tuple[PaymentItem, ...]
    newer: str | None
    older: str | None


class DepositList(Form, frozen=True):
    """Newest first; `older` and `newer` as for payments."""

    items: tuple[DepositItem, ...]
    newer: str | None
    older: str | None


class RecordList(Form, frozen=True):
    """In the block's order."""

    items: tuple[PaymentRecord | DepositRecord, ...]
    next: Annotated[Quantity | None, Meta(description="The `start` of what follows; null at the end.")]


# --- accounts


class HoldingForm(Form, frozen=True):
    asset: HexAddress
    balance: Quantity
    sent: Quantity
    received: Annotated[Quantity, Meta(description="Deposits included.")]
    debit_count: Quantity
    credit_count: Quantity


class AccountAnswer(Form, frozen=True):
    address: HexAddress
    holdings: Annotated[tuple[HoldingForm, ...], Meta(description="Assets in which the account has an entry.")]


class EntryForm(Form, frozen=True):
    is_credit: bool
    type: Annotated[Quantity, Meta(description="Of the record: 0x1 payment, 0x2 deposit.")]
    block: Quantity
    record: Quantity
    output: Quantity
    number: Annotated[Quantity, Meta(description="The payment's nonce, or the deposit's index in the queue.")]
    id: HexHash
    timestamp: Quantity
    amount: Quantity
    balance: Annotated[Quantity, Meta(description="After this entry.")]


class StatementAnswer(Form, frozen=True):
    """Debits and credits of one account in one asset, in ledger order. Sums are of the whole span, so far."""

    address: HexAddress
    asset: HexAddress
    epoch: Quantity | None
    from_: Annotated[Quantity | None, Meta(description="Unix seconds, included.")] = msgspec.field(name="from")
    to: Annotated[Quantity | None, Meta(description="Unix seconds, included.")]
    opening: Quantity
    closing: Quantity
    debits_sum: Quantity
    credits_sum: Quantity
    debit_count: Quantity
    credit_count: Quantity
    entries: tuple[EntryForm, ...]
    cursor: Annotated[str | None, Meta(description="Of the page that follows; null at the end.")]


# --- blocks and epochs


class BlockItem(Form, frozen=True):
    number: Quantity
    hash: HexHash
    timestamp: Quantity
    record_count: Quantity
    epoch: Quantity
    status: Annotated[PaymentStatus, Meta(description="Of everything in the block.")]


class BlockList(Form, frozen=True):
    """Newest first; `older` and `newer` as for payments."""

    items: tuple[BlockItem, ...]
    newer: str | None
    older: str | None


class EpochItem(Form, frozen=True):
    epoch: Quantity
    stage: EpochStage
    first_block: Quantity
    last_block: Annotated[Quantity, Meta(description="firstBlock − 1 if there are none; so far, while it is open.")]
    record_count: Quantity
    payment_count: Quantity
    cut_at: Quantity | None
    l1_transaction: HexHash | None
    l1_block: Quantity | None
    included_at: Annotated[Quantity | None, Meta(description="Unix seconds.")]
    gas_used: Quantity | None
    effective_gas_price: Annotated[Quantity | None, Meta(description="Wei per gas.")]


class EpochList(Form, frozen=True):
    """Newest first, the open one before all; `older` and `newer` as for payments."""

    items: tuple[EpochItem, ...]
    newer: str | None
    older: str | None


class EpochAnswer(EpochItem, frozen=True):
    attempt_count: Annotated[Quantity, Meta(description="Transactions of this node that tried to commit it.")]
    digest: Annotated[HexHash | None, Meta(description="Of the commitment (EIP-712); null before it is sealed.")]
    assets: Annotated[tuple[AssetTotals, ...], Meta(description="What the epoch moved.")]


# --- reserves and activity


class ReservesLine(Form, frozen=True):
    asset: HexAddress
    verdict: Verdict
    credited: Annotated[Quantity, Meta(description="Deposits in the ledger.")]
    withdrawn: Quantity
    queued: Annotated[Quantity, Meta(description="Deposits in the contract.")]
    held: Annotated[Quantity, Meta(description="What the contract counts as its own.")]
    balance: Annotated[Quantity | None, Meta(description="What it really has; null if the token does not say.")]
    balances: Annotated[Change, Meta(description="Of all accounts on the ledger.")]
    uncredited: Annotated[Change, Meta(description="Deposits on the way to the ledger.")]
    unclaimed: Annotated[Change, Meta(description="Withdrawals on the way to their recipients.")]
    owed: Change
    payable: Quantity
    shortfall: Quantity
    surplus: Quantity


class ReservesReading(Form, frozen=True):
    read_at: Quantity
    l1_block: Quantity
    l1_block_hash: HexHash
    ledger_block: Quantity
    ledger_time: Quantity
    assets: tuple[ReservesLine, ...]


class ReservesFault(Form, frozen=True):
    kind: FaultKind
    since: Quantity
    count: Annotated[Quantity, Meta(description="Readings that have failed in a row.")]


class ReservesAnswer(Form, frozen=True):
    """`reading` is the last that was made, null before the first; `fault` says why there is no newer one."""

    reading: ReservesReading | None
    fault: ReservesFault | None


class ActivityItem(Form, frozen=True):
    start: Quantity
    asset: HexAddress
    payment_count: Quantity
    volume: Quantity


class ActivityAnswer(Form, frozen=True):
    """Spans of time that had payments, in order."""

    length: Annotated[Quantity, Meta(description="Of a span, milliseconds.")]
    items: tuple[ActivityItem, ...]
    next: Annotated[Quantity | None, Meta(description="The `since` (seconds) of what follows; null at the end.")]


# --- search


class Match(Form, frozen=True):
    name: Annotated[str, Meta(description="In plain words.")]
    path: Annotated[str, Meta(description="Of its page in the explorer.")]


class SearchAnswer(Form, frozen=True):
    query: str
    matches: tuple[Match, ...]


# --- evidence, as JSON-RPC gives it


class PaymentForm(Form, frozen=True):
    asset: HexAddress
    from_: HexAddress = msgspec.field(name="from")
    nonce: Quantity
    valid_until: Quantity
    kind: str
    reference: HexHash
    memo: str
    outputs: tuple[OutputForm, ...]


class HeaderForm(Form, frozen=True):
    number: Quantity
    previous: HexHash
    timestamp: Quantity
    records_root: HexHash
    record_count: Quantity
    hash: HexHash
    signature: HexSignature


class LineForm(Form, frozen=True):
    asset: HexAddress
    state_root: HexHash
    total: Quantity
    account_count: Quantity
    deposit_count: Quantity
    forced_count: Quantity
    withdrawals_root: HexHash
    withdrawal_count: Quantity
    withdrawn: Quantity


class CommitmentForm(Form, frozen=True):
    """Every field of the EIP-712 message."""

    epoch: Quantity
    previous: HexHash
    first_block: Quantity
    last_block: Quantity
    cut_at: Quantity
    blocks_root: HexHash
    extra_root: HexHash
    assets: tuple[LineForm, ...]


class InclusionForm(Form, frozen=True):
    epoch: Quantity
    index: Quantity
    siblings: tuple[HexHash, ...]
    l1_transaction: HexHash
    included_at: Quantity
    message: CommitmentForm


class ReceiptAnswer(Form, frozen=True):
    """What `tally_getReceipt` answers."""

    id: HexHash
    status: PaymentStatus
    domain: Domain
    payment: PaymentForm
    signature: HexSignature
    block: HeaderForm
    index: Quantity
    siblings: tuple[HexHash, ...]
    commitment: InclusionForm | None


class SumNode(Form, frozen=True):
    hash: HexHash
    sum: Quantity


class WithdrawalForm(Form, frozen=True):
    asset: HexAddress
    index: Quantity
    id: HexHash
    recipient: HexAddress
    amount: Quantity
    siblings: tuple[SumNode, ...]


class PaymentProofAnswer(Form, frozen=True):
    """What `tally_getPaymentProof` answers."""

    receipt: ReceiptAnswer
    withdrawal: WithdrawalForm | None
    asset_index: Quantity | None


class AttemptForm(Form, frozen=True):
    number: Quantity
    hash: HexHash
    nonce: Quantity
    max_fee_per_gas: Quantity
    max_priority_fee_per_gas: Quantity
    sent_at: Quantity
    outcome: str | None


class CommitmentAnswer(Form, frozen=True):
    """What `tally_getCommitment` answers."""

    epoch: Quantity
    message: CommitmentForm
    signature: HexSignature
    status: EpochStage
    attempts: tuple[AttemptForm, ...]
    l1_transaction: HexHash | None
    l1_block: Quantity | None
    included_at: Quantity | None
    confirmations: Quantity | None
    gas_used: Quantity | None
    effective_gas_price: Quantity | None


class SignedCommitment(Form, frozen=True):
    message: CommitmentForm
    signature: HexSignature


class LeafForm(Form, frozen=True):
    asset: HexAddress
    owner: HexAddress
    epoch: Quantity
    nonce_base: Quantity
    nonce_map: Quantity
    opening: Quantity
    debits: Quantity
    credits: Quantity
    closing: Quantity
    debit_count: Quantity
    credit_count: Quantity
    debits_root: HexHash
    credits_root: HexHash


class AccountProofAnswer(Form, frozen=True):
    """What `tally_getAccountProof` answers."""

    epoch: Quantity
    commitment: SignedCommitment
    asset_index: Quantity
    leaf: LeafForm
    index: Quantity
    siblings: tuple[SumNode, ...]


# --- from the index to the forms


def build_payment(payment: IndexedPayment, commitments: Commitments, token: Token) -> PaymentItem:
    return PaymentItem(**_describe_payment(payment, commitments, token))


def build_payment_answer(
    payment: IndexedPayment, commitments: Commitments, token: Token, details: dict[str, Any]
) -> PaymentAnswer:
    """`details`: what `tally_getPayment` answers, for what the index does not have."""
    fields = _describe_payment(payment, commitments, token)
    return PaymentAnswer(
        **(fields | {"status": PaymentStatus(details["status"])}),
        valid_until=details["payment"]["validUntil"],
        signature=details["signature"],
        l1_transaction=details["l1Transaction"],
        parties=tuple(
            [
                Party(address=encode_address(party.account), role=party.role, change=hex(party.change))
                for party in list_changes(payment)
            ]
        ),
    )


def build_deposit(deposit: IndexedDeposit, commitments: Commitments, token: Token) -> DepositItem:
    return DepositItem(
        id=encode_bytes(deposit.id),
        status=commitments.compute_status(deposit.epoch),
        block=hex(deposit.block),
        record=hex(deposit.record),
        timestamp=hex(deposit.timestamp),
        epoch=hex(deposit.epoch),
        asset=encode_address(deposit.asset),
        index=hex(deposit.index),
        account=encode_address(deposit.account),
        amount=hex(deposit.amount),
        sentence=describe_record(deposit, token),
    )


def build_record(record: IndexedRecord, commitments: Commitments, token: Token) -> PaymentRecord | DepositRecord:
    if isinstance(record, IndexedPayment):
        return PaymentRecord(payment=build_payment(record, commitments, token))
    return DepositRecord(deposit=build_deposit(record, commitments, token))


def build_totals(counters: Counters) -> Totals:
    return Totals(
        height=hex(counters.height),
        block=hex(counters.block),
        timestamp=hex(counters.timestamp),
        epoch=hex(counters.epoch),
        sealed_epoch=hex(counters.sealed_epoch),
        record_count=hex(counters.record_count),
        payment_count=hex(counters.payment_count),
        account_count=hex(counters.account_count),
        assets=build_asset_totals(counters.assets),
    )


def build_asset_totals(assets: tuple[AssetCounters, ...]) -> tuple[AssetTotals, ...]:
    return tuple(
        [
            AssetTotals(
                asset=encode_address(line.asset),
                payment_count=hex(line.payment_count),
                volume=hex(line.volume),
                deposit_count=hex(line.deposit_count),
                deposited=hex(line.deposited),
                withdrawal_count=hex(line.withdrawal_count),
                withdrawn=hex(line.withdrawn),
            )
            for line in assets
        ]
    )


def build_holding(holding: Holding) -> HoldingForm:
    return HoldingForm(
        asset=encode_address(holding.asset),
        balance=hex(holding.balance),
        sent=hex(holding.debited),
        received=hex(holding.credited),
        debit_count=hex(holding.debit_count),
        credit_count=hex(holding.credit_count),
    )


def build_entry(entry: StatementEntry, timestamp: int) -> EntryForm:
    return EntryForm(
        is_credit=entry.is_credit,
        type=hex(entry.type),
        block=hex(entry.block),
        record=hex(entry.record),
        output=hex(entry.output),
        number=hex(entry.number),
        id=encode_bytes(entry.id),
        timestamp=hex(timestamp),
        amount=hex(entry.amount),
        balance=hex(entry.balance),
    )


def describe_statement_sums(totals: StatementTotals) -> dict[str, str]:
    return {
        "opening": hex(totals.opening),
        "closing": hex(totals.closing),
        "debits_sum": hex(totals.debits),
        "credits_sum": hex(totals.credits),
        "debit_count": hex(totals.debit_count),
        "credit_count": hex(totals.credit_count),
    }


def build_block(block: IndexedBlock, commitments: Commitments) -> BlockItem:
    return BlockItem(
        number=hex(block.number),
        hash=encode_bytes(block.hash),
        timestamp=hex(block.timestamp),
        record_count=hex(block.record_count),
        epoch=hex(block.epoch),
        status=commitments.compute_status(block.epoch),
    )


def build_epoch(epoch: IndexedEpoch, status: EpochStatus | None) -> EpochItem:
    return EpochItem(**_describe_epoch(epoch, status))


def build_epoch_answer(
    epoch: IndexedEpoch, status: EpochStatus | None, assets: tuple[AssetCounters, ...]
) -> EpochAnswer:
    return EpochAnswer(
        **_describe_epoch(epoch, status),
        attempt_count=hex(0 if status is None else len(status.attempts)),
        digest=None if status is None else encode_bytes(status.digest),
        assets=build_asset_totals(assets),
    )


def build_reserves(reserves: Reserves) -> ReservesAnswer:
    return ReservesAnswer(
        reading=None if reserves.reading is None else _build_reading(reserves.reading),
        fault=None if reserves.fault is None else _build_fault(reserves.fault),
    )


def build_activity(activity: Activity) -> ActivityItem:
    return ActivityItem(
        start=hex(activity.start),
        asset=encode_address(activity.asset),
        payment_count=hex(activity.payment_count),
        volume=hex(activity.volume),
    )


def _describe_payment(payment: IndexedPayment, commitments: Commitments, token: Token) -> dict[str, Any]:
    return {
        "id": encode_bytes(payment.id),
        "status": commitments.compute_status(payment.epoch),
        "block": hex(payment.block),
        "index": hex(payment.record),
        "timestamp": hex(payment.timestamp),
        "epoch": hex(payment.epoch),
        "kind": payment.kind,
        "asset": encode_address(payment.asset),
        "from_": encode_address(payment.payer),
        "nonce": hex(payment.nonce),
        "total": hex(payment.total),
        "outputs": tuple(
            [OutputForm(to=encode_address(output.to), amount=hex(output.amount)) for output in payment.outputs]
        ),
        "reference": encode_bytes(payment.reference),
        "memo": payment.memo,
        "sentence": describe_record(payment, token),
    }


def _describe_epoch(epoch: IndexedEpoch, status: EpochStatus | None) -> dict[str, Any]:
    inclusion = None if status is None else status.inclusion
    return {
        "epoch": hex(epoch.number),
        "stage": compute_epoch_stage(epoch, status),
        "first_block": hex(epoch.first_block),
        "last_block": hex(epoch.last_block),
        "record_count": hex(epoch.record_count),
        "payment_count": hex(epoch.payment_count),
        "cut_at": None if epoch.cut_at is None else hex(epoch.cut_at),
        "l1_transaction": None if inclusion is None else encode_bytes(inclusion.l1_transaction),
        "l1_block": None if inclusion is None else hex(inclusion.l1_block),
        "included_at": None if inclusion is None else hex(inclusion.included_at),
        "gas_used": None if inclusion is None else hex(inclusion.gas_used),
        "effective_gas_price": None if inclusion is None else hex(inclusion.effective_gas_price),
    }


def _build_reading(reading: Reading) -> ReservesReading:
    return ReservesReading(
        read_at=hex(reading.read_at),
        l1_block=hex(reading.l1_block.number),
        l1_block_hash=encode_bytes(reading.l1_block.hash),
        ledger_block=hex(reading.ledger_block),
        ledger_time=hex(reading.ledger_time),
        assets=tuple([_build_reserves_line(line) for line in reading.lines]),
    )


def _build_reserves_line(line: AssetReserves) -> ReservesLine:
    return ReservesLine(
        asset=encode_address(line.asset),
        verdict=line.verdict,
        credited=hex(line.credited),
        withdrawn=hex(line.withdrawn),
        queued=hex(line.queued),
        held=hex(line.held),
        balance=None if line.balance is None else hex(line.balance),
        balances=hex(line.balances),
        uncredited=hex(line.uncredited),
        unclaimed=hex(line.unclaimed),
        owed=hex(line.owed),
        payable=hex(line.payable),
        shortfall=hex(line.shortfall),
        surplus=hex(line.surplus),
    )


def _build_fault(fault: Fault) -> ReservesFault:
    return ReservesFault(kind=fault.kind, since=hex(fault.since), count=hex(fault.count))
