"""What the REST interface answers with, field for field. The OpenAPI document is made from these types.

Names are those of JSON-RPC where it has the same thing. Integers are `0x` hex quantities, times are milliseconds since
1970 unless a field says seconds, amounts are base units of the asset.
"""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from chain.params import Market
from chain.primitives import Hash
from chain.wire import encode_address, encode_bytes
from explorer.files import FileLine, compute_days_paid, find_roles
from explorer.sentences import NO_FILES, Named, describe_record, find_file, list_changes
from explorer.status import EpochStage, compute_epoch_stage
from node.ethereum.reserves import AssetReserves, Fault, FaultKind, Reading, Reserves, Verdict
from node.ethereum.submission import EpochStatus
from node.index import (
    Activity,
    AssetCounters,
    Counters,
    Earnings,
    Holding,
    IndexedBlock,
    IndexedDeposit,
    IndexedEpoch,
    IndexedFile,
    IndexedInstruction,
    IndexedPayment,
    IndexedRecord,
    PricePoint,
    Registration,
    StatementEntry,
    StatementTotals,
)
from node.payment_status import Commitments, PaymentStatus

Quantity: TypeAlias = Annotated[str, Meta(pattern="^0x(0|[1-9a-f][0-9a-f]*)$", examples=["0x2a"])]
Change: TypeAlias = Annotated[str, Meta(pattern="^-?0x(0|[1-9a-f][0-9a-f]*)$", examples=["-0x2a"])]
HexAddress: TypeAlias = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{40}$", description="With its EIP-55 checksum.")]
HexHash: TypeAlias = Annotated[str, Meta(pattern="^0x[0-9a-f]{64}$")]
HexBytes: TypeAlias = Annotated[str, Meta(pattern="^0x([0-9a-f]{2})*$")]
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
    file_name: Annotated[str | None, Meta(description="Of the file that the reference is; null if it is none.")]
    sentence: Annotated[str, Meta(description="The payment in plain words.")]


class Party(Form, frozen=True):
    address: HexAddress
    role: Annotated[str, Meta(description="In plain words: of the data exchange mart, validator, owner, service node.")]
    change: Annotated[Change, Meta(description="Of the account's balance by this payment.")]


class PaymentAnswer(PaymentItem, frozen=True):
    valid_until: Annotated[Quantity, Meta(description="Unix seconds, 0x0 for no end.")]
    signature: HexSignature
    l1_transaction: Annotated[HexHash | None, Meta(description="That committed its epoch; null before.")]
    parties: Annotated[tuple[Party, ...], Meta(description="The payer first.")]
    storage_days: Annotated[Quantity | None, Meta(description="That an upload or an extension pays for; else null.")]


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


class InstructionItem(Form, frozen=True):
    """What an account told the ledger beside its payments. All that was signed is in its receipt."""

    id: HexHash
    status: PaymentStatus
    block: Quantity
    index: Annotated[Quantity, Meta(description="Of the record in its block.")]
    timestamp: Quantity
    epoch: Quantity
    type: Annotated[str, Meta(description="Register, RegisterOwner, ListFile, UpdatePrice or Delist.")]
    account: HexAddress
    nonce: Quantity
    role: Annotated[str | None, Meta(description="That is registered.")]
    validator: Annotated[HexAddress | None, Meta(description="Under whom an owner is registered.")]
    file: HexHash | None
    price: Annotated[Quantity | None, Meta(description="That is asked from now on, in the file's asset.")]
    sentence: Annotated[str, Meta(description="The instruction in plain words.")]


class InstructionAnswer(InstructionItem, frozen=True):
    valid_until: Annotated[Quantity, Meta(description="Unix seconds, 0x0 for no end.")]
    signature: HexSignature
    l1_transaction: Annotated[HexHash | None, Meta(description="That committed its epoch; null before.")]


class InstructionList(Form, frozen=True):
    """Newest first; `older` and `newer` as for payments."""

    items: tuple[InstructionItem, ...]
    newer: str | None
    older: str | None


class PaymentRecord(Form, frozen=True, tag="payment"):
    payment: PaymentItem


class DepositRecord(Form, frozen=True, tag="deposit"):
    deposit: DepositItem


class InstructionRecord(Form, frozen=True, tag="instruction"):
    instruction: InstructionItem


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

    items: tuple[PaymentRecord | DepositRecord | InstructionRecord, ...]
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
    roles: Annotated[tuple[str, ...], Meta(description="In the data exchange.")]
    owner_under: Annotated[HexAddress | None, Meta(description="The validator to whom an owner belongs.")]


class RegistrationItem(Form, frozen=True):
    account: HexAddress
    role: Annotated[str, Meta(description="validator, mart, service_node or owner.")]
    validator: Annotated[HexAddress | None, Meta(description="To whom an owner belongs.")]
    named_only: Annotated[
        bool, Meta(description="Named by that validator in a listing: the owner's own signature may choose another.")
    ]
    block: Quantity
    timestamp: Quantity


class RegistrationList(Form, frozen=True):
    """Newest first; `older` and `newer` as for payments."""

    items: tuple[RegistrationItem, ...]
    count: Annotated[Quantity, Meta(description="How many there are in all.")]
    newer: str | None
    older: str | None


class RolesAnswer(Form, frozen=True):
    address: HexAddress
    roles: tuple[RegistrationItem, ...]
    owner_count: Annotated[Quantity, Meta(description="Of owners who belong to the account, as their validator.")]


class EarningsItem(Form, frozen=True):
    asset: HexAddress
    part: Annotated[
        str,
        Meta(description="validator, owner, service_node: of sales; storage: of uploads and extensions."),
    ]
    count: Annotated[Quantity, Meta(description="Of payments.")]
    amount: Quantity


class EarningsAnswer(Form, frozen=True):
    """What the data exchange has paid an account since the ledger began."""

    address: HexAddress
    items: tuple[EarningsItem, ...]


# --- files


class ShareForm(Form, frozen=True):
    role: Annotated[str, Meta(description="validator, owner or service_node.")]
    address: HexAddress
    amount: Quantity


class FileItem(Form, frozen=True):
    """What `tally_getFile` answers, but for the prices."""

    file: Annotated[HexHash, Meta(description="Its id.")]
    name: str
    media_type: str
    tags: tuple[str, ...]
    description: str
    size: Annotated[Quantity, Meta(description="Bytes, as stored.")]
    content_hash: Annotated[HexHash, Meta(description="SHA-256 of the content, unencrypted.")]
    key_hash: Annotated[HexHash | None, Meta(description="keccak-256 of the key; null for content without one.")]
    is_key_in_escrow: Annotated[bool, Meta(description="Whether this node gives the key to whoever has bought.")]
    validator: HexAddress
    owner: HexAddress
    asset: HexAddress
    price: Quantity
    shares: Annotated[tuple[ShareForm, ...], Meta(description="Who gets what of a sale.")]
    storage_days: Annotated[Quantity, Meta(description="That its upload pays for.")]
    keep_until: Annotated[Quantity, Meta(description="Unix seconds.")]
    service_node: HexAddress | None
    listing: Annotated[HexHash, Meta(description="Id of the instruction that listed it.")]
    listed_at: Quantity
    block: Quantity
    index: Annotated[Quantity, Meta(description="Of the listing in its block.")]
    status: Annotated[str, Meta(description="listed, delisted or expired.")]
    sale_count: Quantity
    sold: Annotated[Quantity, Meta(description="Of all sales.")]


class FileList(Form, frozen=True):
    """Newest first; `older` and `newer` as for payments. A list may be short, even empty, and go on."""

    items: tuple[FileItem, ...]
    newer: str | None
    older: str | None


class PriceItem(Form, frozen=True):
    price: Quantity
    block: Quantity
    index: Annotated[Quantity, Meta(description="Of the instruction in its block.")]
    timestamp: Quantity


class PriceList(Form, frozen=True):
    """Newest first, and only read from there: `older` is the `before` of the list that follows; null at the end."""

    items: tuple[PriceItem, ...]
    older: str | None


class TagItem(Form, frozen=True):
    tag: Annotated[str, Meta(description="Case folded: tags are the same whatever their case.")]
    file_count: Annotated[Quantity, Meta(description="Without those that were delisted.")]


class TagList(Form, frozen=True):
    """The most used first."""

    items: tuple[TagItem, ...]


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
    cost: Annotated[Quantity, Meta(description="Wei, of all that this node sent to commit it, as far as it is known.")]


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
    files: Annotated[
        tuple[Match, ...], Meta(description="Where nothing is named exactly: a few files that have the words.")
    ]


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


class RegisterForm(Form, frozen=True, tag_field="type", tag="Register"):
    account: HexAddress
    nonce: Quantity
    valid_until: Quantity
    role: str


class RegisterOwnerForm(Form, frozen=True, tag_field="type", tag="RegisterOwner"):
    account: HexAddress
    nonce: Quantity
    valid_until: Quantity
    validator: HexAddress


class ListFileForm(Form, frozen=True, tag_field="type", tag="ListFile"):
    account: HexAddress
    nonce: Quantity
    valid_until: Quantity
    file: HexHash
    owner: HexAddress
    asset: HexAddress
    price: Quantity
    size: Quantity
    storage_days: Quantity
    content_hash: HexHash
    name: str
    media_type: str
    tags: tuple[str, ...]
    description: str
    key_hash: HexHash
    sealed_key: HexBytes


class UpdatePriceForm(Form, frozen=True, tag_field="type", tag="UpdatePrice"):
    account: HexAddress
    nonce: Quantity
    valid_until: Quantity
    file: HexHash
    price: Quantity


class DelistForm(Form, frozen=True, tag_field="type", tag="Delist"):
    account: HexAddress
    nonce: Quantity
    valid_until: Quantity
    file: HexHash


class InstructionReceiptAnswer(Form, frozen=True):
    """What `tally_getReceipt` answers of an instruction: with every member that was signed."""

    id: HexHash
    status: PaymentStatus
    domain: Domain
    instruction: RegisterForm | RegisterOwnerForm | ListFileForm | UpdatePriceForm | DelistForm
    signature: HexSignature
    block: HeaderForm
    index: Quantity
    siblings: tuple[HexHash, ...]
    commitment: InclusionForm | None


class PurchaseAnswer(Form, frozen=True):
    """What `tally_getPurchase` answers."""

    file: HexHash
    buyer: HexAddress
    receipt: ReceiptAnswer
    key_hash: HexHash | None
    sealed_key: Annotated[
        HexBytes | None,
        Meta(description="The file's key, which only the buyer can open; null when the validator hands it out."),
    ]


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
    type: Annotated[str, Meta(description="`legacy`, whose one gas price both fees show, or `eip1559`.")]
    gas_limit: Quantity
    max_fee_per_gas: Quantity
    max_priority_fee_per_gas: Quantity
    sent_at: Quantity
    outcome: Annotated[str | None, Meta(description="`included`, `reverted` or `replaced`; null while it is open.")]
    problem: Annotated[str | None, Meta(description="Why it was reverted, in the contract's words.")]
    gas_used: Quantity | None
    effective_gas_price: Annotated[Quantity | None, Meta(description="Wei per gas.")]
    cost: Annotated[Quantity | None, Meta(description="Wei; null while it is not known.")]


class CommitmentAnswer(Form, frozen=True):
    """What `tally_getCommitment` answers."""

    epoch: Quantity
    message: CommitmentForm
    signature: HexSignature
    status: EpochStage
    sealed_at: Quantity | None
    attempts: tuple[AttemptForm, ...]
    cost: Annotated[Quantity, Meta(description="Wei, of all attempts of which it is known what they cost.")]
    l1_transaction: HexHash | None
    is_ours: Annotated[bool | None, Meta(description="Whether this node sent what is included, and not somebody else.")]
    l1_block: Quantity | None
    l1_block_hash: HexHash | None
    included_at: Annotated[Quantity | None, Meta(description="Unix seconds.")]
    confirmations: Quantity | None
    final_at: Annotated[Quantity | None, Meta(description="Unix seconds, when its challenge period is over.")]
    gas_used: Quantity | None
    effective_gas_price: Annotated[Quantity | None, Meta(description="Wei per gas.")]


class CommitmentList(Form, frozen=True):
    """Newest first, from the last one that is sealed; `older` and `newer` as for payments."""

    items: tuple[CommitmentAnswer, ...]
    newer: str | None
    older: str | None


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


class AccountEntryForm(Form, frozen=True):
    account: HexAddress
    roles: tuple[str, ...]
    validator: HexAddress | None
    named_only: bool


class FileEntryForm(Form, frozen=True):
    file: HexHash
    validator: HexAddress
    owner: HexAddress
    asset: HexAddress
    price: Quantity
    size: Quantity
    storage_days: Quantity
    keep_until: Quantity
    service_node: HexAddress | None
    listing: HexHash
    delisted: bool


class RolesProofAnswer(Form, frozen=True):
    """What `tally_getRolesProof` answers."""

    epoch: Quantity
    commitment: SignedCommitment
    entry: AccountEntryForm
    index: Quantity
    count: Quantity
    siblings: tuple[HexHash, ...]


class FileProofAnswer(Form, frozen=True):
    """What `tally_getFileProof` answers."""

    epoch: Quantity
    commitment: SignedCommitment
    entry: FileEntryForm
    index: Quantity
    count: Quantity
    siblings: tuple[HexHash, ...]


# --- from the index to the forms


def build_payment(
    payment: IndexedPayment, commitments: Commitments, tokens: Named, files: Mapping[Hash, IndexedFile]
) -> PaymentItem:
    return PaymentItem(**_describe_payment(payment, commitments, tokens, files))


def build_payment_answer(
    payment: IndexedPayment,
    commitments: Commitments,
    tokens: Named,
    files: Mapping[Hash, IndexedFile],
    market: Market,
    details: dict[str, Any],
) -> PaymentAnswer:
    """`details`: what `tally_getPayment` answers, for what the index does not have."""
    fields = _describe_payment(payment, commitments, tokens, files)
    file = find_file(payment, files)
    days = compute_days_paid(payment, file, market)
    return PaymentAnswer(
        **(fields | {"status": PaymentStatus(details["status"])}),
        valid_until=details["payment"]["validUntil"],
        signature=details["signature"],
        l1_transaction=details["l1Transaction"],
        parties=tuple(
            [
                Party(address=encode_address(party.account), role=party.role, change=hex(party.change))
                for party in list_changes(payment, find_roles(payment, file, market))
            ]
        ),
        storage_days=None if days is None else hex(days),
    )


def build_instruction(
    instruction: IndexedInstruction, commitments: Commitments, tokens: Named, files: Mapping[Hash, IndexedFile]
) -> InstructionItem:
    return InstructionItem(**_describe_instruction(instruction, commitments, tokens, files))


def build_instruction_answer(
    instruction: IndexedInstruction,
    commitments: Commitments,
    tokens: Named,
    files: Mapping[Hash, IndexedFile],
    receipt: dict[str, Any],
) -> InstructionAnswer:
    """`receipt`: for what the index does not have."""
    fields = _describe_instruction(instruction, commitments, tokens, files)
    inclusion = receipt["commitment"]
    return InstructionAnswer(
        **(fields | {"status": PaymentStatus(receipt["status"])}),
        valid_until=receipt["instruction"]["validUntil"],
        signature=receipt["signature"],
        l1_transaction=None if inclusion is None else inclusion["l1Transaction"],
    )


def build_deposit(deposit: IndexedDeposit, commitments: Commitments, tokens: Named) -> DepositItem:
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
        sentence=describe_record(deposit, tokens),
    )


def build_record(
    record: IndexedRecord, commitments: Commitments, tokens: Named, files: Mapping[Hash, IndexedFile] = NO_FILES
) -> PaymentRecord | DepositRecord | InstructionRecord:
    if isinstance(record, IndexedPayment):
        return PaymentRecord(payment=build_payment(record, commitments, tokens, files))
    if isinstance(record, IndexedInstruction):
        return InstructionRecord(instruction=build_instruction(record, commitments, tokens, files))
    return DepositRecord(deposit=build_deposit(record, commitments, tokens))


def build_file(line: FileLine) -> FileItem:
    file = line.file
    return FileItem(
        file=encode_bytes(file.id),
        name=file.name,
        media_type=file.media_type,
        tags=file.tags,
        description=file.description,
        size=hex(file.size),
        content_hash=encode_bytes(file.content_hash),
        key_hash=encode_bytes(file.key_hash) if line.is_encrypted else None,
        is_key_in_escrow=file.has_sealed_key,
        validator=encode_address(file.validator),
        owner=encode_address(file.owner),
        asset=encode_address(file.asset),
        price=hex(file.price),
        shares=tuple(
            [
                ShareForm(role=share.role, address=encode_address(share.account), amount=hex(share.amount))
                for share in line.shares
            ]
        ),
        storage_days=hex(file.storage_days),
        keep_until=hex(file.keep_until),
        service_node=None if file.service_node is None else encode_address(file.service_node),
        listing=encode_bytes(file.listing),
        listed_at=hex(file.timestamp),
        block=hex(file.block),
        index=hex(file.record),
        status=line.status,
        sale_count=hex(file.sale_count),
        sold=hex(file.sold),
    )


def build_price(price: PricePoint) -> PriceItem:
    return PriceItem(
        price=hex(price.price), block=hex(price.block), index=hex(price.record), timestamp=hex(price.timestamp)
    )


def build_registration(registration: Registration) -> RegistrationItem:
    validator = registration.validator
    return RegistrationItem(
        account=encode_address(registration.account),
        role=registration.role,
        validator=None if validator is None else encode_address(validator),
        named_only=registration.is_named_only,
        block=hex(registration.block),
        timestamp=hex(registration.timestamp),
    )


def build_earnings(earnings: Earnings) -> EarningsItem:
    return EarningsItem(
        asset=encode_address(earnings.asset),
        part=earnings.part,
        count=hex(earnings.count),
        amount=hex(earnings.amount),
    )


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


def _describe_instruction(
    instruction: IndexedInstruction, commitments: Commitments, tokens: Named, files: Mapping[Hash, IndexedFile]
) -> dict[str, Any]:
    validator, file, price = instruction.validator, instruction.file, instruction.price
    return {
        "id": encode_bytes(instruction.id),
        "status": commitments.compute_status(instruction.epoch),
        "block": hex(instruction.block),
        "index": hex(instruction.record),
        "timestamp": hex(instruction.timestamp),
        "epoch": hex(instruction.epoch),
        "type": instruction.type,
        "account": encode_address(instruction.account),
        "nonce": hex(instruction.nonce),
        "role": instruction.role,
        "validator": None if validator is None else encode_address(validator),
        "file": None if file is None else encode_bytes(file),
        "price": None if price is None else hex(price),
        "sentence": describe_record(instruction, tokens, files),
    }


def _describe_payment(
    payment: IndexedPayment, commitments: Commitments, tokens: Named, files: Mapping[Hash, IndexedFile]
) -> dict[str, Any]:
    file = find_file(payment, files)
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
        "file_name": None if file is None else file.name,
        "sentence": describe_record(payment, tokens, files),
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
        "cost": hex(0 if status is None else status.cost),
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
