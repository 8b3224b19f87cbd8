"""What the index answers with. Amounts are base units, times are milliseconds, blocks and epochs count from 1."""

from typing import Generic, TypeAlias, TypeVar

import msgspec

from chain.commitment import Commitment
from chain.payment import Output
from chain.primitives import Address, Hash, Signature

Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True):
    items: tuple[Item, ...]
    cursor: str | None
    """Where the next page begins; None when nothing follows. A page may be short, even empty, and go on: a rare thing
    is sought among many for so long and no longer."""


class TimeSpan(msgspec.Struct, frozen=True):
    """Blocks by their time, in whole Unix seconds, both ends included; None for no end."""

    from_s: int | None = None
    to_s: int | None = None


Period: TypeAlias = int | TimeSpan
"""What a statement covers: an epoch, by its number, or a span of time."""


class IndexedPayment(msgspec.Struct, frozen=True):
    """A payment without what only its receipt needs (validity, signature: those are in the journal)."""

    id: Hash
    block: int
    record: int
    timestamp: int
    epoch: int
    kind: str
    asset: Address
    payer: Address
    nonce: int
    total: int
    outputs: tuple[Output, ...]
    reference: Hash
    """Zero if nothing is named."""
    memo: str


class IndexedDeposit(msgspec.Struct, frozen=True):
    """A deposit without where it was made on L1 (that is in the journal)."""

    id: Hash
    block: int
    record: int
    timestamp: int
    epoch: int
    asset: Address
    index: int
    """In the contract's queue of the asset."""
    account: Address
    amount: int


class IndexedInstruction(msgspec.Struct, frozen=True):
    """An instruction without what only its receipt needs."""

    id: Hash
    block: int
    record: int
    timestamp: int
    epoch: int
    type: str
    """The name of its EIP-712 type."""
    account: Address
    nonce: int
    file: Hash | None
    role: str | None
    """Of a registration."""
    validator: Address | None
    """Under whom an owner registers."""
    price: int | None
    """Of a listing, and of a change of price."""


IndexedRecord: TypeAlias = IndexedPayment | IndexedDeposit | IndexedInstruction


class Registration(msgspec.Struct, frozen=True):
    """That an account has a role, and since when."""

    account: Address
    role: str
    validator: Address | None
    """Whom an owner belongs to."""
    is_named_only: bool
    """Named by that validator with an upload, and not signed for by the owner."""
    block: int
    record: int
    timestamp: int


class IndexedFile(msgspec.Struct, frozen=True):
    """A file that is, or was, listed."""

    id: Hash
    validator: Address
    owner: Address
    asset: Address
    price: int
    size: int
    """Bytes."""
    storage_days: int
    keep_until: int
    """Unix seconds."""
    service_node: Address | None
    """None until the upload is paid."""
    listing: Hash
    """Id of the instruction that listed it."""
    block: int
    record: int
    timestamp: int
    epoch: int
    """Where and when it was listed."""
    content_hash: Hash
    name: str
    media_type: str
    tags: tuple[str, ...]
    description: str
    key_hash: Hash
    """Zero for content that is not encrypted."""
    has_sealed_key: bool
    is_delisted: bool
    sale_count: int
    sold: int
    """Base units that all purchases paid."""


class PricePoint(msgspec.Struct, frozen=True):
    """What a file costs from this record on."""

    price: int
    block: int
    record: int
    timestamp: int


class Earnings(msgspec.Struct, frozen=True):
    """What an account got in one asset for one thing since the ledger began."""

    asset: Address
    part: str
    """One of `PARTS`."""
    count: int
    """Outputs."""
    amount: int


class TagCount(msgspec.Struct, frozen=True):
    tag: str
    count: int
    """Files that are not delisted."""


class Holding(msgspec.Struct, frozen=True):
    """What one account has done in one asset since the ledger began."""

    asset: Address
    debited: int
    credited: int
    debit_count: int
    credit_count: int
    """Deposits included; a payment with two outputs to the account counts twice."""

    @property
    def balance(self) -> int:
        return self.credited - self.debited


class StatementEntry(msgspec.Struct, frozen=True):
    """A debit or a credit in ledger order. At one place the debit comes before the credits: paying oneself."""

    is_credit: bool
    type: int
    """Of the record, as in `chain.block`."""
    block: int
    record: int
    output: int
    """0 for a debit and for a deposit."""
    number: int
    """The payment's nonce, or the deposit's index in the contract's queue."""
    id: Hash
    amount: int
    balance: int
    """Of the account in this asset, after this entry."""


class StatementTotals(msgspec.Struct, frozen=True):
    opening: int
    debits: int
    credits: int
    debit_count: int
    credit_count: int

    @property
    def closing(self) -> int:
        return self.opening + self.credits - self.debits


class IndexedBlock(msgspec.Struct, frozen=True):
    number: int
    hash: Hash
    timestamp: int
    record_count: int
    epoch: int


class IndexedEpoch(msgspec.Struct, frozen=True):
    number: int
    first_block: int
    last_block: int
    """first_block − 1 when there are none; of the open epoch: so far."""
    record_count: int
    payment_count: int
    cut_at: int | None
    """None while the epoch is open."""
    is_sealed: bool


class Seal(msgspec.Struct, frozen=True):
    commitment: Commitment
    signature: Signature


class WithdrawalPlace(msgspec.Struct, frozen=True):
    """Where a withdrawal stands: the leaf `index` of the withdrawals tree of (epoch, asset)."""

    epoch: int
    asset: Address
    index: int


class AssetCounters(msgspec.Struct, frozen=True):
    asset: Address
    payment_count: int
    volume: int
    """The sum of all payments' totals, withdrawals included."""
    deposit_count: int
    deposited: int
    withdrawal_count: int
    withdrawn: int


class Activity(msgspec.Struct, frozen=True):
    """Payments of one asset in one span of time that had any."""

    start: int
    """Milliseconds."""
    asset: Address
    payment_count: int
    volume: int


class Counters(msgspec.Struct, frozen=True):
    """Since the ledger began."""

    height: int
    """Journal entries that are in the index."""
    block: int
    """The last one, 0 for none: blocks count from 1, so also how many there are."""
    timestamp: int
    """Of the last block, 0 for none."""
    epoch: int
    """The open one."""
    sealed_epoch: int
    """The last that is sealed, 0 for none."""
    record_count: int
    payment_count: int
    account_count: int
    """Accounts that have an entry or an instruction, or are named in one."""
    assets: tuple[AssetCounters, ...]
    """In the order of the contract's list."""
