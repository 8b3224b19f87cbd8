"""Snapshots: the ledger at the boundary of two epochs, on disk, so that a restart need not begin at block 1.

Derived: a snapshot that is damaged, foreign or ahead of the journal is passed over, and without any the whole journal
is replayed. Its trees' roots are held against the journal's seals by whoever restores them.
"""

from pathlib import Path
from typing import Final

import msgspec
import structlog

from chain.account import NonceWindow
from chain.block import decode_block, hash_header
from chain.hashing import keccak
from chain.ledger import AssetSnapshot, LedgerSnapshot
from chain.params import Parameters
from chain.primitives import MAX_U64, Address, Hash
from node.durable_file import write_durably
from node.entries import BLOCK_PREFIX, encode_cut
from node.journal import Journal

_SUFFIX: Final = ".snapshot"
_KEPT: Final = 2
_NONCES_SIZE: Final = 60
"""Bytes of one account's nonces: account 20 ‖ base u64 ‖ used u256."""
_PURCHASE_SIZE: Final = 84
"""Bytes of one purchase: file 32 ‖ buyer 20 ‖ payment 32."""

_log = structlog.get_logger(__name__)


class _File(msgspec.Struct, frozen=True):
    genesis_hash: Hash
    height: int
    epoch: int
    last_cut_at: int
    block_number: int
    block_hash: Hash
    timestamp: int
    previous: Hash
    nonces: bytes
    assets: tuple[AssetSnapshot, ...]
    registry: tuple[bytes, ...]
    purchases: bytes


def write_snapshot(directory: Path, parameters: Parameters, height: int, snapshot: LedgerSnapshot) -> None:
    """Writes the snapshot of a ledger that has seen all entries below `height`; keeps it and the one before it. Those
    of greater heights go: whoever writes here has not come so far, or they are of a history that a backup undid."""
    body = msgspec.msgpack.encode(
        _File(
            genesis_hash=parameters.genesis_hash,
            height=height,
            epoch=snapshot.epoch,
            last_cut_at=snapshot.last_cut_at,
            block_number=snapshot.block_number,
            block_hash=snapshot.block_hash,
            timestamp=snapshot.timestamp,
            previous=snapshot.previous,
            nonces=_pack_nonces(snapshot.nonces),
            assets=snapshot.assets,
            registry=snapshot.registry,
            purchases=b"".join([key + payment_id for key, payment_id in snapshot.purchases.items()]),
        )
    )
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{height:020d}{_SUFFIX}"
    write_durably(path, keccak(body) + body)
    present = _list_newest_first(directory)
    newest = present.index(path)
    for other in present[:newest] + present[newest + _KEPT :]:
        other.unlink()


def find_newest_snapshot(
    directory: Path, parameters: Parameters, journal: Journal, max_epoch: int = MAX_U64
) -> Path | None:
    """The newest snapshot that is whole, belongs to this journal, and has no sealed epoch above `max_epoch`."""
    for path in _list_newest_first(directory):
        try:
            file = _read(path)
        except (OSError, msgspec.DecodeError, ValueError) as error:
            _log.warning("snapshot passed over", file=path.name, reason=str(error))
            continue
        if not _is_of_journal(file, parameters, journal):
            _log.warning("snapshot passed over", file=path.name, reason="not of this journal")
        elif file.epoch - 1 <= max_epoch:
            return path
    return None


def read_snapshot(path: Path) -> tuple[int, LedgerSnapshot]:
    """The height from which to go on, and the ledger there. Raises ValueError for a damaged file."""
    file = _read(path)
    return file.height, LedgerSnapshot(
        epoch=file.epoch,
        last_cut_at=file.last_cut_at,
        block_number=file.block_number,
        block_hash=file.block_hash,
        timestamp=file.timestamp,
        previous=file.previous,
        nonces=_unpack_nonces(file.nonces),
        assets=file.assets,
        registry=file.registry,
        purchases=_unpack_purchases(file.purchases),
    )


def _read(path: Path) -> _File:
    data = path.read_bytes()
    if keccak(data[32:]) != data[:32]:
        raise ValueError(f"{path.name} is damaged")
    return msgspec.msgpack.decode(data[32:], type=_File)


def _is_of_journal(file: _File, parameters: Parameters, journal: Journal) -> bool:
    """Whether this journal leads to it: by the very cut that it was taken at, and the last block before."""
    if file.genesis_hash != parameters.genesis_hash or file.height > journal.height:
        return False
    if journal.get(file.height - 1) != encode_cut(file.epoch - 1, file.last_cut_at):
        return False
    if file.block_number == 0:
        return True
    height = journal.get_block_height(file.block_number)
    entry = None if height is None else journal.get(height)
    if entry is None or not entry.startswith(BLOCK_PREFIX):
        return False
    return hash_header(decode_block(entry[1:]).header, parameters.domain) == file.block_hash


def _list_newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("*" + _SUFFIX), reverse=True)


def _pack_nonces(nonces: dict[Address, NonceWindow]) -> bytes:
    return b"".join(
        [
            account + window.base.to_bytes(8, "big") + window.used.to_bytes(32, "big")
            for account, window in nonces.items()
        ]
    )


def _unpack_nonces(packed: bytes) -> dict[Address, NonceWindow]:
    return {
        packed[at : at + 20]: NonceWindow(
            int.from_bytes(packed[at + 20 : at + 28], "big"), int.from_bytes(packed[at + 28 : at + _NONCES_SIZE], "big")
        )
        for at in range(0, len(packed), _NONCES_SIZE)
    }


def _unpack_purchases(packed: bytes) -> dict[bytes, Hash]:
    return {packed[at : at + 52]: packed[at + 52 : at + _PURCHASE_SIZE] for at in range(0, len(packed), _PURCHASE_SIZE)}
