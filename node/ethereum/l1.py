"""What is read from Ethereum: blocks, receipts, and what the Settlement contract says. Times are Unix seconds."""

from enum import StrEnum
from typing import Final

import msgspec

from chain.commitment import Commitment
from chain.params import Market, Parameters
from chain.primitives import Address, Hash, Signature

MAX_WEI_PER_GAS: Final = 2**63 - 1
"""Above it a fee is nonsense, and does not fit SQLite's integers either."""
MAX_NUMBER: Final = 2**63 - 1
"""Of a block, a nonce, an epoch, gas or seconds: the same."""


class L1Block(msgspec.Struct, frozen=True):
    number: int
    hash: Hash
    timestamp: int
    base_fee: int | None
    """Wei per gas; None on a chain without EIP-1559."""


class Deployment(msgspec.Struct, frozen=True):
    """What a Settlement contract was deployed with. Periods in seconds."""

    l1_chain_id: int
    settlement: Address
    ledger_chain_id: int
    domain_separator: Hash
    operator: Address
    cold_key: Address
    listing_key: Address
    native_asset: Address
    challenge_period: int
    answer_period: int
    follow_up: int
    min_interval: int
    max_silence: int
    listing_delay: int
    deployed_at: int

    def make_parameters(self, market: Market) -> Parameters:
        """Those of the ledger that settles here; what it pays for on the data exchange, the contract does not say."""
        return Parameters(self.l1_chain_id, self.settlement, self.native_asset, self.deployed_at, market)


class Head(msgspec.Struct, frozen=True):
    """The contract's: zeros before the first commitment."""

    epoch: int
    included_at: int
    final_epoch: int


class ListedAsset(msgspec.Struct, frozen=True):
    asset: Address
    listed_at: int
    """When it is in force; may be in the future."""


class QueuedDeposit(msgspec.Struct, frozen=True):
    """As it stands in the contract's queue."""

    asset: Address
    index: int
    account: Address
    amount: int
    cumulative: int
    timestamp: int


class DepositEvent(msgspec.Struct, frozen=True):
    asset: Address
    index: int
    account: Address
    amount: int
    l1_block: int
    l1_block_hash: Hash
    l1_transaction: Hash
    log_index: int


class CommittedEvent(msgspec.Struct, frozen=True):
    commitment: Commitment
    signature: Signature
    digest: Hash
    included_at: int
    l1_block: int
    l1_block_hash: Hash
    l1_transaction: Hash


class TxReceipt(msgspec.Struct, frozen=True):
    l1_transaction: Hash
    l1_block: int
    l1_block_hash: Hash
    is_success: bool
    gas_used: int
    effective_gas_price: int
    contract: Address | None
    """The address created, if one was."""


class SendOutcome(StrEnum):
    """What an endpoint said to a signed transaction."""

    ACCEPTED = "accepted"
    ALREADY_KNOWN = "already_known"
    NONCE_TOO_LOW = "nonce_too_low"
    UNDERPRICED = "underpriced"
    """Below the client's minimum, below the base fee, or too little above the one it would replace."""
    OUT_OF_FUNDS = "out_of_funds"
    REFUSED = "refused"
    """For any other reason; the message says which."""


class SendResult(msgspec.Struct, frozen=True):
    outcome: SendOutcome
    message: str = ""
    """The endpoint's own words, if it did not accept."""
