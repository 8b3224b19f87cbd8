"""The rules: what may happen to the state, and what it does.

Every rule has two halves. `check_*` reads and refuses; it writes nothing. `apply_*` follows a check that passed, and
cannot fail. Nothing else writes to a `State`.

The order in which a payment is refused is part of the protocol, so that every implementation gives the same answer:

1. `chain.payment.check_structure`: unknown_kind, no_outputs, too_many_outputs, zero_address, zero_amount,
   amount_too_large, memo_too_long
2. invalid_signature
3. (a payment already in the ledger is answered with its receipt)
4. `check_payment` here: unknown_asset, expired, nonce_used, nonce_too_far, the kind's own rule (`chain.kinds`),
   insufficient_balance, epoch_limit

And instructions likewise: `chain.instruction.check_structure`, invalid_signature, then `check_instruction` here.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from chain.account import NonceWindow
from chain.block import Block, Deposit, Record, build_records_tree, hash_header
from chain.errors import (
    AlreadyListed,
    AlreadyRegistered,
    BrokenInvariant,
    Delisted,
    EpochLimit,
    Expired,
    ForeignValidator,
    InsufficientBalance,
    NonceTooFar,
    NonceUsed,
    Refusal,
    UnknownAsset,
    UnknownReference,
)
from chain.instruction import (
    Delist,
    Instruction,
    ListFile,
    Register,
    RegisterOwner,
    SignedInstruction,
    UpdatePrice,
)
from chain.kinds import EFFECTS, RULES, UPLOAD, WITHDRAW, check_upload_of
from chain.market import DAY_SECONDS, OWNER, ROLE_BITS, VALIDATOR, File, Roles
from chain.payment import Payment, SignedPayment
from chain.primitives import MAX_EPOCH_VOLUME, MAX_U128, NONCE_WINDOW, ZERO_ADDRESS, ZERO_HASH, Address, Hash
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

    Raises, in this order: `UnknownAsset`, `Expired`, `NonceUsed`, `NonceTooFar`, what the kind's rule raises (see
    `chain.kinds`), `InsufficientBalance`, `EpochLimit` (payer, then payees).
    """
    balances = state.balances.get(payment.asset)
    if balances is None:
        raise UnknownAsset(payment.asset)
    _check_time(payment.valid_until, timestamp)
    _check_nonce(state.nonces.get(payment.payer, UNUSED_NONCES), payment.nonce)
    RULES[payment.kind](state, payment, timestamp)
    _check_money(state, payment, balances)


def apply_payment(state: State, signed: SignedPayment, timestamp: int) -> None:
    """Moves the money, uses the nonce and does what the kind is for, after `check_payment` passed against this very
    state and time."""
    payment = signed.payment
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
    effect = EFFECTS.get(payment.kind)
    if effect is not None:
        effect(state, payment, signed.id, timestamp)


def _check_time(valid_until: int, timestamp: int) -> None:
    if valid_until and timestamp > valid_until * 1000:
        raise Expired(valid_until, timestamp)


def _check_nonce(window: NonceWindow, nonce: int) -> None:
    distance = nonce - window.base
    if distance < 0 or (distance < NONCE_WINDOW and window.used >> distance & 1):
        raise NonceUsed(nonce, window.next_nonce)
    if distance >= NONCE_WINDOW:
        raise NonceTooFar(nonce, window.limit)


def _check_money(state: State, payment: Payment, balances: dict[Address, int]) -> None:
    asset, payer, total = payment.asset, payment.payer, payment.total
    balance = balances.get(payer, 0)
    if balance < total:
        raise InsufficientBalance(asset, balance, total)
    volume = state.debits[asset].get(payer, 0) + total
    if volume > MAX_EPOCH_VOLUME:
        raise EpochLimit(payer, volume, MAX_EPOCH_VOLUME)
    if payment.kind != WITHDRAW:
        _check_credit_volumes(state, payment, total)


def _check_credit_volumes(state: State, payment: Payment, total: int) -> None:
    credits = state.credits[payment.asset]
    for output in payment.outputs:
        # The whole payment bounds what any one payee gets of it, so the exact sum is needed only near the limit.
        if credits.get(output.to, 0) + total > MAX_EPOCH_VOLUME:
            share = sum([other.amount for other in payment.outputs if other.to == output.to])
            volume = credits.get(output.to, 0) + share
            if volume > MAX_EPOCH_VOLUME:
                raise EpochLimit(output.to, volume, MAX_EPOCH_VOLUME)


# --- instructions


def check_instruction(state: State, instruction: Instruction, timestamp: int, *, is_paid: bool = False) -> None:
    """Whether an instruction of sound structure, signed by its account, may enter a block of time `timestamp` (ms).

    `is_paid`: a listing that its upload's payment follows at once. Only with it may a listing name an owner who is not
    registered yet.

    Raises, in this order: `Expired`, `NonceUsed`, `NonceTooFar`, then by type:
    - `Register`: `AlreadyRegistered`;
    - `RegisterOwner`: `WrongRole` (of the validator), `AlreadyRegistered`;
    - `ListFile`: `WrongRole` (of the account), `AlreadyListed`, `UnknownAsset`, `ForeignValidator` (the owner's),
      `WrongRole` (of the owner);
    - `UpdatePrice`, `Delist`: `UnknownReference`, `ForeignValidator`, `Delisted`.
    """
    _check_time(instruction.valid_until, timestamp)
    _check_nonce(state.nonces.get(instruction.account, UNUSED_NONCES), instruction.nonce)
    if isinstance(instruction, Register):
        if state.get_roles(instruction.account).has(instruction.role):
            raise AlreadyRegistered(instruction.account, instruction.role)
    elif isinstance(instruction, RegisterOwner):
        _check_owner_registration(state, instruction)
    elif isinstance(instruction, ListFile):
        _check_listing(state, instruction, is_paid=is_paid)
    else:
        file = state.files.get(instruction.file)
        if file is None:
            raise UnknownReference(instruction.file)
        if file.validator != instruction.account:
            raise ForeignValidator(file.validator, instruction.account)
        if file.is_delisted:
            raise Delisted(file.id)


def apply_instruction(state: State, signed: SignedInstruction, timestamp: int) -> None:
    """Uses the nonce and does what the instruction says, after `check_instruction` passed against this very state."""
    instruction = signed.instruction
    account = instruction.account
    state.nonces[account] = state.nonces.get(account, UNUSED_NONCES).use(instruction.nonce)
    if isinstance(instruction, Register):
        roles = state.get_roles(account)
        state.put_roles(account, replace(roles, bits=roles.bits | ROLE_BITS[instruction.role]))
    elif isinstance(instruction, RegisterOwner):
        _register_owner(state, account, instruction.validator, is_named_only=False)
    elif isinstance(instruction, ListFile):
        if not state.get_roles(instruction.owner).has(OWNER):
            _register_owner(state, instruction.owner, account, is_named_only=True)
        state.put_file(make_file(instruction, signed.id, timestamp))
    elif isinstance(instruction, UpdatePrice):
        state.put_file(replace(state.files[instruction.file], price=instruction.price))
    elif isinstance(instruction, Delist):
        state.put_file(replace(state.files[instruction.file], is_delisted=True))


def check_upload(state: State, listing: ListFile, payment: Payment, timestamp: int) -> None:
    """Whether a listing and the payment of its upload (of that kind and file), both of sound structure and signed, may
    enter one block, one right after the other: both or neither.

    Raises what `check_instruction` raises of the listing, then what `check_payment` would of the payment after it.
    """
    check_instruction(state, listing, timestamp, is_paid=True)
    balances = state.balances.get(payment.asset)
    if balances is None:
        raise UnknownAsset(payment.asset)
    _check_time(payment.valid_until, timestamp)
    window = state.nonces.get(payment.payer, UNUSED_NONCES)
    _check_nonce(window.use(listing.nonce) if payment.payer == listing.account else window, payment.nonce)
    check_upload_of(state, payment, make_file(listing, ZERO_HASH, timestamp))
    _check_money(state, payment, balances)


def is_upload(records: Sequence[Record], index: int) -> bool:
    """Whether record `index` of a block is a listing that its upload's payment follows at once."""
    record = records[index]
    following = records[index + 1] if index + 1 < len(records) else None
    return (
        isinstance(record, SignedInstruction)
        and isinstance(record.instruction, ListFile)
        and isinstance(following, SignedPayment)
        and following.payment.kind == UPLOAD
        and following.payment.reference == record.instruction.file
    )


def make_file(listing: ListFile, listing_id: Hash, timestamp: int) -> File:
    """As it is listed in a block of time `timestamp` (ms)."""
    return File(
        id=listing.file,
        validator=listing.account,
        owner=listing.owner,
        asset=listing.asset,
        price=listing.price,
        size=listing.size,
        storage_days=listing.storage_days,
        keep_until=timestamp // 1000 + listing.storage_days * DAY_SECONDS,
        service_node=ZERO_ADDRESS,
        listing=listing_id,
    )


def _check_owner_registration(state: State, instruction: RegisterOwner) -> None:
    state.check_role(instruction.validator, VALIDATOR)
    roles = state.get_roles(instruction.account)
    if roles.has(OWNER) and not (roles.is_named_only and roles.validator != instruction.validator):
        raise AlreadyRegistered(instruction.account, OWNER)


def _check_listing(state: State, listing: ListFile, *, is_paid: bool) -> None:
    state.check_role(listing.account, VALIDATOR)
    if listing.file in state.files:
        raise AlreadyListed(listing.file)
    if listing.asset not in state.balances:
        raise UnknownAsset(listing.asset)
    owner = state.get_roles(listing.owner)
    if owner.has(OWNER) and owner.validator != listing.account:
        raise ForeignValidator(owner.validator, listing.account)
    if not is_paid:
        state.check_role(listing.owner, OWNER)


def _register_owner(state: State, account: Address, validator: Address, *, is_named_only: bool) -> None:
    bits = state.get_roles(account).bits | ROLE_BITS[OWNER]
    state.put_roles(account, Roles(bits, validator, is_named_only))


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
    for index in range(len(block.records)):
        try:
            replay_record(state, block.records, index, header.timestamp)
        except Refusal as refusal:
            raise BrokenInvariant(f"record {index} of block {header.number}: {refusal.code}: {refusal}") from refusal
    block_hash = hash_header(header, state.parameters.domain)
    apply_block_end(state, header.number, block_hash, header.timestamp)
    return block_hash


def replay_record(state: State, records: Sequence[Record], index: int, timestamp: int) -> None:
    """Checks and applies record `index` of a block of time `timestamp` (ms), after those before it.

    Raises what `check_payment`, `check_instruction` and `check_deposit` raise.
    """
    record = records[index]
    if isinstance(record, SignedPayment):
        check_payment(state, record.payment, timestamp)
        apply_payment(state, record, timestamp)
    elif isinstance(record, SignedInstruction):
        check_instruction(state, record.instruction, timestamp, is_paid=is_upload(records, index))
        apply_instruction(state, record, timestamp)
    else:
        check_deposit(state, record)
        apply_deposit(state, record)


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
    state.registry_changes = {}
