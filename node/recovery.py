"""Coming back: from whatever is on disk to the state that the sequencer goes on from.

The same code that applies blocks in normal life applies them here, and everything is checked but the payers'
signatures, which this node checked before it wrote them. What does not fit stops the node: `BrokenInvariant`.
"""

from pathlib import Path

import msgspec
import structlog
from coincurve import PrivateKey

from chain.block import Header, decode_block, hash_header
from chain.errors import BrokenInvariant
from chain.ledger import restore_state
from chain.params import Parameters
from chain.signatures import sign_digest
from chain.state import State
from chain.transition import apply_cut, check_cut, list_asset, replay_block
from node.entries import (
    AssetEntry,
    BlockEntry,
    CutEntry,
    Entry,
    GenesisEntry,
    SealEntry,
    decode_entry,
    encode_genesis,
)
from node.journal import Journal
from node.snapshots import find_newest_snapshot, read_snapshot

_log = structlog.get_logger(__name__)


class DifferentLedger(RuntimeError):
    """The journal is of another deployment than the one configured."""


class Recovered(msgspec.Struct):
    state: State
    epoch_records: int = 0
    """Records in the open epoch."""
    sealed_epoch: int = 0
    """The last epoch whose seal is in the journal, 0 for none."""
    last_seal: SealEntry | None = None
    """The last seal, if it stands after the snapshot that recovery began from."""


def open_ledger(journal: Journal, parameters: Parameters) -> bytes:
    """Begins the journal if it is empty. Returns its first entry. Raises `DifferentLedger` for another's journal."""
    genesis = encode_genesis(parameters)
    if journal.height == 0:
        journal.append(0, genesis)
    first = journal.get(0)
    if first != genesis:
        raise DifferentLedger("the journal in this data directory belongs to another deployment or other parameters")
    return genesis


def recover(journal: Journal, snapshots: Path, parameters: Parameters, operator_key: PrivateKey) -> Recovered:
    """The state after all that the journal holds, and the block signatures that a crash may have lost made again."""
    recovered = Recovered(State(parameters))
    height = 1
    path = find_newest_snapshot(snapshots, parameters, journal)
    if path is not None:
        height, snapshot = read_snapshot(path)
        recovered.state = restore_state(parameters, snapshot)
        recovered.sealed_epoch = snapshot.epoch - 2  # the seal of the last epoch comes after the cut, and so after this
    _log.info("replaying the journal", from_height=height, to_height=journal.height)
    for _, entry in journal.read(height):
        _replay(recovered, decode_entry(entry))
    sign_missing(journal, parameters, operator_key, recovered.state.block_number)
    return recovered


def sign_missing(journal: Journal, parameters: Parameters, operator_key: PrivateKey, last_block: int) -> None:
    """Signs the last blocks again, back to the first one whose signature is on disk: signatures are written in order,
    so none before it can be missing."""
    number = last_block
    while number > 0 and journal.get_signature(number) is None:
        header = read_header(journal, number)
        journal.put_signature(number, sign_digest(operator_key, hash_header(header, parameters.domain)))
        number -= 1


def read_header(journal: Journal, number: int) -> Header:
    """Raises `BrokenInvariant` if the journal has no such block."""
    height = journal.get_block_height(number)
    entry = None if height is None else journal.get(height)
    if entry is None:
        raise BrokenInvariant(f"block {number} is missing from the journal")
    return decode_block(entry[1:]).header


def _replay(recovered: Recovered, entry: Entry) -> None:
    state = recovered.state
    if isinstance(entry, BlockEntry):
        replay_block(state, entry.block)
        recovered.epoch_records += len(entry.block.records)
    elif isinstance(entry, AssetEntry):
        list_asset(state, entry.asset)
    elif isinstance(entry, CutEntry):
        check_cut(state, entry.epoch, entry.cut_at)
        apply_cut(state, entry.cut_at)
        recovered.epoch_records = 0
    elif isinstance(entry, SealEntry):
        recovered.sealed_epoch = entry.commitment.epoch
        recovered.last_seal = entry
    elif isinstance(entry, GenesisEntry):
        raise BrokenInvariant("the journal begins twice")
