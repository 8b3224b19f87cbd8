"""The sealer: follows the journal with a whole ledger of its own, and says what each cut epoch commits to.

It replays every record through the rules that the sequencer went through, so a sequencer that erred is found here
within moments: a `BrokenInvariant` ends this process, and with it the node.
"""

from pathlib import Path

from chain.commitment import Commitment, encode_commitment, hash_commitment
from chain.errors import BrokenInvariant
from chain.ledger import Ledger
from chain.primitives import Hash
from node.entries import AssetEntry, BlockEntry, CutEntry, Entry, GenesisEntry, SealEntry, decode_entry
from node.framing import WorkerChannel
from node.proofs import ProofWriter
from node.snapshots import read_snapshot, write_snapshot


def run_sealer(channel: WorkerChannel, proofs_path: str, snapshots_path: str) -> None:
    """First message: the journal's first entry, and the file name of the snapshot to begin from, or None. Answered with
    the height from which entries are wanted. Then lists of (height, entry), each answered with (next height,
    commitments of the epochs that ended in it)."""
    first, snapshot = channel.receive()
    genesis = decode_entry(first)
    if not isinstance(genesis, GenesisEntry):
        raise BrokenInvariant("the journal does not begin with its parameters")
    sealer = Sealer(genesis, Path(proofs_path), Path(snapshots_path), snapshot)
    channel.send(sealer.height)
    while True:
        sealed: list[bytes] = []
        for height, entry in channel.receive():
            commitment = sealer.apply(height, decode_entry(entry))
            if commitment is not None:
                sealed.append(encode_commitment(commitment))
        channel.send((sealer.height, sealed))


class Sealer:
    def __init__(self, genesis: GenesisEntry, proofs_path: Path, snapshots: Path, snapshot: str | None) -> None:
        self._parameters = genesis.parameters
        self._proofs = ProofWriter(proofs_path, genesis.parameters.genesis_hash)
        self._snapshots = snapshots
        self._unsealed: dict[int, Hash] = {}
        """Epoch → digest of its commitment, until its seal comes by in the journal."""
        self.height = 1
        self._ledger = Ledger(genesis.parameters)
        if snapshot is not None:
            self.height, restored = read_snapshot(snapshots / snapshot)
            self._ledger = Ledger.restore(genesis.parameters, restored)
            self._unsealed[restored.epoch - 1] = restored.previous

    def apply(self, height: int, entry: Entry) -> Commitment | None:
        """Replays one entry. Returns the commitment of the epoch that it ended, if it did.

        Raises `BrokenInvariant` when the journal contradicts itself.
        """
        if height != self.height:
            raise BrokenInvariant(f"journal entry {height} comes where {self.height} is next")
        self.height += 1
        ledger = self._ledger
        if isinstance(entry, BlockEntry):
            ledger.apply_block(entry.block)
        elif isinstance(entry, AssetEntry):
            ledger.list_asset(entry.asset)
        elif isinstance(entry, CutEntry):
            return self._seal(entry)
        elif isinstance(entry, SealEntry):
            self._check_seal(entry.commitment)
        else:
            raise BrokenInvariant(f"journal entry {height} is a second beginning")
        return None

    def _seal(self, cut: CutEntry) -> Commitment:
        sealed = self._ledger.cut(cut.epoch, cut.cut_at)
        # Proofs first: a snapshot says that what came before it is done.
        self._proofs.write(sealed)
        write_snapshot(self._snapshots, self._parameters, self.height, self._ledger.take_snapshot())
        self._unsealed[cut.epoch] = hash_commitment(sealed.commitment, self._parameters.domain)
        return sealed.commitment

    def _check_seal(self, commitment: Commitment) -> None:
        """What was signed is what follows from the records: replay must reproduce every root. A seal comes before the
        next cut, so the trees, which may have been read from a snapshot, are still those that it commits to."""
        digest = self._unsealed.pop(commitment.epoch, None)
        roots = [self._ledger.get_root(line.asset) == line.state for line in commitment.assets]
        roots.append(self._ledger.extra_root == commitment.extra_root)
        if digest != hash_commitment(commitment, self._parameters.domain) or not all(roots):
            raise BrokenInvariant(f"the seal of epoch {commitment.epoch} is not what its records lead to")
