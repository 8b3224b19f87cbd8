"""The Settlement contract, as far as the committer and the watcher meet it: its state, its rules, its views, its logs.

Written from `contracts/src/Settlement.sol`, not from what the node expects of it. Times are Unix seconds.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec
from eth_abi.abi import decode, encode

from chain.commitment import NO_COMMITMENT, AssetCommitment, Commitment, compute_stored_hash, hash_commitment
from chain.hashing import keccak
from chain.params import Domain
from chain.primitives import ZERO_HASH, Address, Hash, Signature
from chain.signatures import recover_address
from node.ethereum.abi import load_abi

_ABI: Final = load_abi("Settlement")
_SELECTORS: Final = {item.id[:4]: name for name, item in _ABI._functions.items()}
_COMMIT: Final = _ABI._functions["commit"]
_COMMITTED: Final = _ABI._events["Committed"]
_COMMITTED_TYPES: Final = [parameter.type for parameter in _COMMITTED.inputs if not parameter.is_indexed]
_COMMIT_TYPES: Final = [parameter.type for parameter in _COMMIT.inputs]
TOPIC_COMMITTED: Final = _COMMITTED.id
TOPIC_DEPOSITED: Final = _ABI._events["Deposited"].id

COMMIT_GAS: Final = 90_000


class Terms(msgspec.Struct, frozen=True):
    """What the contract was deployed with."""

    domain: Domain
    operator: Address
    min_interval: int
    max_silence: int
    challenge_period: int
    deployed_at: int


class Deposited(msgspec.Struct, frozen=True):
    account: Address
    amount: int
    cumulative: int
    timestamp: int


class State(msgspec.Struct, frozen=True):
    """After a block. The last two are those of our account."""

    assets: tuple[tuple[Address, int], ...] = ()
    """(asset, when it is in force)"""
    deposits: tuple[tuple[Deposited, ...], ...] = ()
    """Of each asset."""
    commitments: tuple[tuple[Hash, int], ...] = ()
    """(digest, included at) of epochs 1, 2, …"""
    final_epoch: int = 0
    first_deposit_at: int = 0
    nonce: int = 0
    balance: int = 0

    @property
    def epoch(self) -> int:
        return len(self.commitments)

    @property
    def included_at(self) -> int:
        return self.commitments[-1][1] if self.commitments else 0


class Log(msgspec.Struct, frozen=True):
    topics: tuple[bytes, ...]
    data: bytes


class Refused(Exception):
    """The contract reverts. `data` is the error as the ABI encodes it."""

    def __init__(self, name: str, *arguments: int | bytes) -> None:
        super().__init__(name)
        self.name = name
        for item in _ABI._errors.values():
            if item.name == name:
                self.data = item.id[:4] + encode([parameter.type for parameter in item.inputs], arguments)
                return
        raise AssertionError(f"the contract has no error {name}")


# --------------------------------------------------------------------------------------------------------------- calls


class Commit(msgspec.Struct, frozen=True):
    previous: Commitment
    next: Commitment
    signature: Signature


class Deposit(msgspec.Struct, frozen=True):
    asset_index: int
    account: Address
    amount: int


class ListAsset(msgspec.Struct, frozen=True):
    asset: Address
    delay: int


class AdvanceFinalEpoch(msgspec.Struct, frozen=True):
    pass


Call = Commit | Deposit | ListAsset | AdvanceFinalEpoch


def apply_call(terms: Terms, state: State, call: Call, timestamp: int) -> tuple[State, tuple[Log, ...]]:
    """The state after it, and what it logs. Raises `Refused`."""
    match call:
        case Commit():
            check_commit(terms, state, call, timestamp)
            digest = hash_commitment(call.next, terms.domain)
            log = Log(
                (TOPIC_COMMITTED, _word(call.next.epoch), digest),
                encode(_COMMITTED_TYPES, (timestamp, _to_tuple(call.next), call.signature)),
            )
            commitments = (*state.commitments, (digest, timestamp))
            return msgspec.structs.replace(state, commitments=commitments), (log,)
        case Deposit(index, account, amount):
            _check_not_halted(terms, state, timestamp)
            asset = state.assets[index][0]
            queue = state.deposits[index]
            cumulative = amount + (queue[-1].cumulative if queue else 0)
            log = Log(
                (TOPIC_DEPOSITED, _word(asset), _word(len(queue)), _word(account)), _word(account) + _word(amount)
            )
            queue = (*queue, Deposited(account, amount, cumulative, timestamp))
            deposits = (*state.deposits[:index], queue, *state.deposits[index + 1 :])
            first = state.first_deposit_at or timestamp
            return msgspec.structs.replace(state, deposits=deposits, first_deposit_at=first), (log,)
        case ListAsset(asset, delay):
            assets = (*state.assets, (asset, timestamp + delay))
            return msgspec.structs.replace(state, assets=assets, deposits=(*state.deposits, ())), ()
        case AdvanceFinalEpoch():
            if state.final_epoch == state.epoch:
                raise Refused("CommitmentMismatch", state.final_epoch + 1, ZERO_HASH, ZERO_HASH)
            end = state.commitments[state.final_epoch][1] + terms.challenge_period
            if timestamp <= end:
                raise Refused("ChallengePeriodRunning", state.final_epoch + 1, end)
            return msgspec.structs.replace(state, final_epoch=state.final_epoch + 1), ()


def check_commit(terms: Terms, state: State, call: Commit, timestamp: int) -> None:
    previous, following = call.previous, call.next
    _check_not_halted(terms, state, timestamp)
    if following.epoch != state.epoch + 1:
        raise Refused("EpochMismatch", state.epoch + 1, following.epoch)
    previous_digest = ZERO_HASH
    if state.epoch == 0:
        if previous != NO_COMMITMENT:
            raise Refused("CommitmentMismatch", 0, ZERO_HASH, b"\xff" * 32)
    else:
        previous_digest = hash_commitment(previous, terms.domain)
        if previous_digest != state.commitments[-1][0]:
            raise Refused("CommitmentMismatch", state.epoch, state.commitments[-1][0], previous_digest)
    if following.previous != previous_digest:
        raise Refused("PreviousMismatch", previous_digest, following.previous)
    signer = _recover(hash_commitment(following, terms.domain), call.signature)
    if signer != terms.operator:
        raise Refused("InvalidSignature", signer)
    if following.first_block != previous.last_block + 1:
        raise Refused("FirstBlockMismatch", previous.last_block + 1, following.first_block)
    previous_cut_at = 1000 * terms.deployed_at if state.epoch == 0 else previous.cut_at
    earliest = previous_cut_at + 1000 * terms.min_interval
    if following.cut_at < earliest:
        raise Refused("CutTooEarly", earliest, following.cut_at)
    if following.cut_at > 1000 * timestamp:
        raise Refused("CutInFuture", 1000 * timestamp, following.cut_at)
    if following.cut_at + 1000 * terms.max_silence < 1000 * timestamp:
        raise Refused("CutTooOld", 1000 * (timestamp - terms.max_silence), following.cut_at)
    _check_assets(state, previous_cut_at, previous.assets, following.assets, timestamp)


def _check_not_halted(terms: Terms, state: State, timestamp: int) -> None:
    if state.first_deposit_at:
        end = max(state.included_at, state.first_deposit_at) + terms.max_silence
        if timestamp > end:
            raise Refused("Halted", end)


def _check_assets(
    state: State,
    previous_cut_at: int,
    previous: tuple[AssetCommitment, ...],
    following: tuple[AssetCommitment, ...],
    timestamp: int,
) -> None:
    least = len(previous)
    while least < len(state.assets) and 1000 * state.assets[least][1] < previous_cut_at:
        least += 1
    if not least <= len(following) <= len(state.assets):
        raise Refused("AssetCountMismatch", least, len(state.assets), len(following))
    for index, line in enumerate(following):
        asset, listed_at = state.assets[index]
        queue = state.deposits[index]
        before_count, before_total = (
            (previous[index].deposit_count, previous[index].total) if index < len(previous) else (0, 0)
        )
        if line.asset != asset:
            raise Refused("AssetMismatch", index, line.asset)
        if timestamp < listed_at:
            raise Refused("AssetNotInForce", asset, listed_at)
        if not before_count <= line.deposit_count <= len(queue):
            raise Refused("DepositCountMismatch", asset, before_count, len(queue), line.deposit_count)
        if line.deposit_count < len(queue):
            first_left_out = queue[line.deposit_count].timestamp
            if 1000 * first_left_out < previous_cut_at:
                raise Refused("DepositLeftOut", asset, line.deposit_count, first_left_out)
        expected = before_total + _sum(queue, line.deposit_count) - _sum(queue, before_count)
        if line.total + line.withdrawn != expected:
            raise Refused("NotConserved", asset, expected, line.total + line.withdrawn)


def _sum(queue: tuple[Deposited, ...], count: int) -> int:
    return queue[count - 1].cumulative if count else 0


@lru_cache(maxsize=256)
def _recover(digest: Hash, signature: Signature) -> Address:
    return recover_address(digest, signature)


@lru_cache(maxsize=256)
def decode_commit(data: bytes) -> Commit | None:
    """None for call data of anything else."""
    if data[:4] != _COMMIT.id[:4]:
        return None
    previous, following, signature = decode(_COMMIT_TYPES, data[4:])
    return Commit(_from_tuple(previous), _from_tuple(following), signature)


# --------------------------------------------------------------------------------------------------------------- views


def call_view(terms: Terms, state: State, data: bytes) -> bytes:
    """What `eth_call` returns. Raises `Refused`, KeyError for a function that the contract does not have."""
    name = _SELECTORS[data[:4]]
    arguments = [data[at : at + 32] for at in range(4, len(data), 32)]
    return _VIEWS[name](terms, state, arguments)


def _view_stored_hash(terms: Terms, state: State, arguments: list[bytes]) -> bytes:
    epoch = int.from_bytes(arguments[0])
    return compute_stored_hash(*state.commitments[epoch - 1]) if 0 < epoch <= state.epoch else ZERO_HASH


def _view_deposit(terms: Terms, state: State, arguments: list[bytes]) -> bytes:
    queue, index = _queue(state, arguments[0][12:]), int.from_bytes(arguments[1])
    if index >= len(queue):
        return bytes(128)
    entry = queue[index]
    return _word(entry.account) + _word(entry.amount) + _word(entry.cumulative) + _word(entry.timestamp)


def _view_asset(terms: Terms, state: State, arguments: list[bytes]) -> bytes:
    index = int.from_bytes(arguments[0])
    if index >= len(state.assets):
        raise Refused("AssetIndexOutOfRange", index, len(state.assets))
    asset, listed_at = state.assets[index]
    return _word(asset) + _word(listed_at)


def _queue(state: State, asset: Address) -> tuple[Deposited, ...]:
    return next((queue for (listed, _), queue in zip(state.assets, state.deposits, strict=True) if listed == asset), ())


_VIEWS: Final[dict[str, Callable[[Terms, State, list[bytes]], bytes]]] = {
    "head": lambda terms, state, _: _word(state.epoch) + _word(state.included_at) + _word(state.final_epoch),
    "commitmentHash": _view_stored_hash,
    "assetCount": lambda terms, state, _: _word(len(state.assets)),
    "assetAt": _view_asset,
    "depositCount": lambda terms, state, arguments: _word(len(_queue(state, arguments[0][12:]))),
    "depositAt": _view_deposit,
}


def _word(value: int | bytes) -> bytes:
    return value.to_bytes(32) if isinstance(value, int) else value.rjust(32, b"\x00")


def _to_tuple(commitment: Commitment) -> tuple[object, ...]:
    lines = [tuple([getattr(line, field) for field in line.__struct_fields__]) for line in commitment.assets]
    return (*[getattr(commitment, field) for field in commitment.__struct_fields__[:-1]], lines)


def _from_tuple(values: tuple[object, ...]) -> Commitment:
    lines = [AssetCommitment(bytes.fromhex(line[0][2:]), *line[1:]) for line in values[-1]]  # type: ignore[attr-defined]
    return Commitment(*values[:-1], tuple(lines))  # type: ignore[arg-type]


def compute_commit_gas(data: bytes) -> int:
    """Some amount that differs from one commitment to the next."""
    return COMMIT_GAS + keccak(data)[0] * 100
