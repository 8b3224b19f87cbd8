"""Journals written down record by record, as a sequencer would have, with the ledger that follows from them beside."""

from collections.abc import Iterator

from chain.block import Block, Record, encode_block, encode_record, hash_header
from chain.commitment import Commitment, hash_commitment
from chain.ledger import Ledger, SealedEpoch
from chain.params import Parameters
from chain.primitives import Address, Signature
from chain.signatures import sign_digest
from node.entries import BLOCK_PREFIX, encode_asset, encode_cut, encode_genesis, encode_seal
from node.journal import Journal
from tests.unit.chain.actors import DOMAIN, ETHER, OPERATOR_KEY, PARAMETERS, TOKEN, make_block
from tests.unit.node.journals import MemoryJournal


class WatchedJournal(MemoryJournal):
    """Notes from where it was read."""

    def __init__(self) -> None:
        super().__init__()
        self.read_from: list[int] = []

    def read(self, height: int) -> Iterator[tuple[int, bytes]]:
        self.read_from.append(height)
        return super().read(height)


class Chronicle:
    """ETHER and TOKEN are listed from the beginning."""

    def __init__(self, journal: Journal | None = None, parameters: Parameters = PARAMETERS) -> None:
        self.journal: Journal = WatchedJournal() if journal is None else journal
        self.ledger = Ledger(parameters, is_auditing=True)
        self.sealed: dict[int, SealedEpoch] = {}
        self.append(encode_genesis(parameters))
        for asset in (ETHER, TOKEN):
            self.list_asset(asset)

    def append(self, entry: bytes, block_number: int | None = None) -> int:
        """As it is, whatever it is. Returns its height."""
        height = self.journal.height
        self.journal.append(height, entry, block_number)
        return height

    def list_asset(self, asset: Address) -> None:
        self.ledger.list_asset(asset)
        self.append(encode_asset(asset))

    def add_block(self, *records: Record) -> Block:
        block = make_block(self.ledger, *records)
        self.ledger.apply_block(block)
        self.append(encode_block_entry(block), block.header.number)
        self.journal.put_signature(block.header.number, sign_block(block))
        return block

    def cut(self, cut_at: int | None = None) -> Commitment:
        state = self.ledger.state
        epoch = state.epoch
        cut_at = max(state.timestamp, state.last_cut_at) + 1000 if cut_at is None else cut_at
        self.sealed[epoch] = self.ledger.cut(epoch, cut_at)
        self.append(encode_cut(epoch, cut_at))
        return self.sealed[epoch].commitment

    def seal(self) -> None:
        """The commitment of the last cut, signed."""
        commitment = self.sealed[self.ledger.state.epoch - 1].commitment
        self.append(encode_seal(commitment, sign_commitment(commitment)))


def encode_block_entry(block: Block) -> bytes:
    return BLOCK_PREFIX + encode_block(block.header, [encode_record(record) for record in block.records])


def sign_block(block: Block) -> Signature:
    return sign_digest(OPERATOR_KEY, hash_header(block.header, DOMAIN))


def sign_commitment(commitment: Commitment) -> Signature:
    return sign_digest(OPERATOR_KEY, hash_commitment(commitment, DOMAIN))
