"""The rules: what may happen to the state, and what it does.

Every rule has two halves. `check_*` reads and refuses; it writes nothing. `apply_*` follows a check that passed, and
cannot fail. Nothing else writes to a `State`.

The order in which a payment is refused is part of the protocol, so that every implementation gives the same answer:

1. `chain.payment.check_structure`: unknown_kind, no_outputs, too_many_outputs, zero_address, zero_amount,
   amount_too_large, memo_too_long
2. invalid_signature
3. (a payment already in the ledger is answered with its receipt)
4. `check_payment` here: unknown_asset, expired, nonce_used, nonce_too_far, the kind's own rule (wrong_outputs),
   insufficient_balance, epoch_limit
"""

from chain.block import Block, Deposit, build_records_tree, hash_header
from chain.errors import (
    BrokenInvariant,
    EpochLimit,
    Expired,
    InsufficientBalance,
    NonceTooFar,
    NonceUsed,
    Refusal,
    UnknownAsset,
)
from chain.kinds import KINDS, WITHDRAW
from chain.payment import Payment
from chain.primitives import MAX_EPOCH_VOLUME, MAX_U128, NONCE_WINDOW, Address, Hash
from chain.state import UNUSED_NONCES, State


def list_asset(state: State, asset: Address) -> None:
    """Takes the next asset of the contract's list. Raises `BrokenInvariant` if it is already there."""
    if asset in state.balances:
        raise BrokenInvariant(f"asset 0x{asset.hex()} is listed twice")
    state.balances[asset] = {}
    state.debits[asset] = {}
    state.credits[asset] = {}
    state.totals[asset] = 0
    state.deposit_counts[asset] = 0


def compute_block_timestamp(state: State, clock_ms: int) -> int:
    """The time of a block opened now: the clock's, but never before the last block's, and after the last cut."""
    return max(clock_ms, state.timestamp, state.last_cut_at + 1)


# --- payments


def check_payment(state: State, payment: Payment, timestamp: int) -> None:
    """Whether a payment of sound structure, signed by its payer, may enter a block of time `timestamp` (ms).

    Raises, in this order: `UnknownAsset`, `Expired`, `NonceUsed`, `NonceTooFar`, what the kind's rule raises
    (`WrongOutputs`), `InsufficientBalance`, `EpochLimit` (payer, then payees).
    """
    asset, payer = payment.asset, payment.payer
    balances = state.balances.get(asset)
    if balances is None:
        raise UnknownAsset(asset)
    if payment.valid_until and timestamp > payment.valid_until * 1000:
        raise Expired(payment.valid_until, timestamp)
    window = state.nonces.get(payer, UNUSED_NONCES)
    distance = payment.nonce - window.base
    if distance < 0 or (distance < NONCE_WINDOW and window.used >> distance & 1):
        raise NonceUsed(payment.nonce, window.next_nonce)
    if distance >= NONCE_WINDOW:
        raise NonceTooFar(payment.nonce, window.limit)
    KINDS[payment.kind](payment)
    total = payment.total
    balance = balances.get(payer, 0)
    if balance < total:
        raise InsufficientBalance(asset, balance, total)
    volume = state.debits[asset].get(payer, 0) + total
    if volume > MAX_EPOCH_VOLUME:
        raise EpochLimit(payer, volume, MAX_EPOCH_VOLUME)
    if payment.kind != WITHDRAW:
        _check_credit_volumes(state, payment, total)


def apply_payment(state: State, payment: Payment) -> None:
    """Moves the money and uses the nonce, after `check_payment` passed against this very state."""
    asset, payer = payment.asset, payment.payer
    state.nonces[payer] = state.nonces.get(payer, UNUSED_NONCES).use(payment.nonce)
    total = payment.total
    balances = state.balances[asset]
    balances[payer] -= total
    debits = state.debits[asset]
    debits[payer] = debits.get(payer, 0) + total
    if payment.kind == WITHDRAW:
        state.totals[asset] -= total
        return
    credits = state.credits[asset]
    for output in payment.outputs:
        to, amount = output.to, output.amount
        balances[to] = balances.get(to, 0) + amount
        credits[to] = credits.get(to, 0) + amount


def _check_credit_volumes(state: State, payment: Payment, total: int) -> None:
    credits = state.credits[payment.asset]
    for output in payment.outputs:
        # The whole payment bounds what any one payee gets of it, so the exact sum is needed only near the limit.
        if credits.get(output.to, 0) + total > MAX_EPOCH_VOLUME:
            share = sum([other.amount for other in payment.outputs if other.to == output.to])
            volume = credits.get(output.to, 0) + share
            if volume > MAX_EPOCH_VOLUME:
                raise EpochLimit(output.to, volume, MAX_EPOCH_VOLUME)


# --- deposits


def check_deposit(state: State, deposit: Deposit) -> None:
    """Whether this is the next deposit of its asset. Deposits are never refused: raises `BrokenInvariant` when the
    asset is not listed, the index is not the next one, or the money would not fit 128 bits."""
    count = state.deposit_counts.get(deposit.asset)
    if count is None:
        raise BrokenInvariant(f"deposit {deposit.index} of asset 0x{deposit.asset.hex()}, which is not listed")
    if deposit.index != count:
        raise BrokenInvariant(f"deposit {deposit.index} of asset 0x{deposit.asset.hex()} comes where {count} is next")
    if deposit.amount == 0 or state.totals[deposit.asset] + deposit.amount > MAX_U128:
        raise BrokenInvariant(f"deposit {deposit.index} of asset 0x{deposit.asset.hex()} has amount {deposit.amount}")


def apply_deposit(state: State, deposit: Deposit) -> None:
    balances = state.balances[deposit.asset]
    balances[deposit.account] = balances.get(deposit.account, 0) + deposit.amount
    state.totals[deposit.asset] += deposit.amount
    state.deposit_counts[deposit.asset] += 1


# --- blocks and epochs


def check_block(state: State, block: Block) -> None:
    """Whether a stored block is the next one and holds what its header says; its records are not looked into.

    Raises `BrokenInvariant`, in this order: number, previous, timestamp, record count, records root.
    """
    header = block.header
    if header.number != state.block_number + 1:
        raise BrokenInvariant(f"block {header.number} comes where {state.block_number + 1} is next")
    where = f"block {header.number}"
    if header.previous != state.block_hash:
        raise BrokenInvariant(f"{where} does not follow the block before it")
    if header.timestamp < state.timestamp or header.timestamp <= state.last_cut_at:
        raise BrokenInvariant(f"{where} is dated {header.timestamp}, before what it follows")
    if header.record_count != len(block.records) or not block.records:
        raise BrokenInvariant(f"{where} has {len(block.records)} records and says {header.record_count}")
    if build_records_tree(block.records).root != header.records_root:
        raise BrokenInvariant(f"the records of {where} do not lead to its records root")


def replay_block(state: State, block: Block) -> Hash:
    """Checks and applies a stored block, but for the payers' signatures. Returns its hash.

    Raises `BrokenInvariant` naming the block and what is wrong with it; the state is then of no more use.
    """
    check_block(state, block)
    header = block.header
    for index, record in enumerate(block.records):
        if isinstance(record, Deposit):
            check_deposit(state, record)
            apply_deposit(state, record)
            continue
        try:
            check_payment(state, record.payment, header.timestamp)
        except Refusal as refusal:
            raise BrokenInvariant(f"record {index} of block {header.number}: {refusal.code}: {refusal}") from refusal
        apply_payment(state, record.payment)
    block_hash = hash_header(header, state.parameters.domain)
    apply_block_end(state, header.number, block_hash, header.timestamp)
    return block_hash


def apply_block_end(state: State, number: int, block_hash: Hash, timestamp: int) -> None:
    """The block is closed: the next one hangs on it."""
    state.block_number = number
    state.block_hash = block_hash
    state.timestamp = timestamp


def check_cut(state: State, epoch: int, cut_at: int) -> None:
    """Whether the open epoch may be cut at `cut_at` (ms). Raises `BrokenInvariant` for another epoch's number, a time
    not after the last cut, or one before the last block."""
    if epoch != state.epoch:
        raise BrokenInvariant(f"cut of epoch {epoch} while {state.epoch} is open")
    if cut_at <= state.last_cut_at or cut_at < state.timestamp:
        raise BrokenInvariant(f"cut at {cut_at}, after a cut at {state.last_cut_at} and a block of {state.timestamp}")


def apply_cut(state: State, cut_at: int) -> None:
    """The open epoch ends here; the next begins with nothing moved."""
    state.epoch += 1
    state.last_cut_at = cut_at
    for asset in state.balances:
        state.debits[asset] = {}
        state.credits[asset] = {}
