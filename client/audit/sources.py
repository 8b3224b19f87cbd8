"""Reading a ledger from a running node, in batches, as it was when the audit began."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from chain.block import Block
from chain.errors import NotFound, Refusal
from chain.params import Parameters
from chain.primitives import Address
from client import protocol
from client.audit.events import AssetListed, BlockRead, EpochCut, EpochSealed, Event, Unreadable
from client.errors import BadReply
from client.node import Node
from client.protocol import Call, EpochCommitment, NodeInfo

T = TypeVar("T")

_EPOCHS_AT_ONCE: Final = 100
_RECORDS_AT_ONCE: Final = 4_000
"""Records aimed at in one batch: about 3 MB of JSON."""
_MOST_BLOCKS_AT_ONCE: Final = 500


class NodeSource:
    """Epochs and blocks that the node had when this was made; what comes later is for the next audit."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.info: NodeInfo = node.get_info()
        self.sealed_epoch = self._get_sealed_epoch()
        self.last_block = self._get_last_block()
        self._listed: set[Address] = set()
        self._blocks_at_once = 16

    @property
    def parameters(self) -> Parameters:
        return self.info.parameters

    @property
    def operator(self) -> Address:
        return self.info.operator

    def read(self) -> Iterator[Event]:
        next_block = 1
        for first in range(1, self.sealed_epoch + 1, _EPOCHS_AT_ONCE):
            epochs = range(first, min(first + _EPOCHS_AT_ONCE, self.sealed_epoch + 1))
            answers = self._ask([protocol.get_commitment(epoch) for epoch in epochs])
            for epoch, answer in zip(epochs, answers, strict=True):
                if not isinstance(answer, EpochCommitment):
                    yield Unreadable(f"epoch {epoch}", f"the node does not give its commitment: {answer}")
                    continue
                yield from self._read_epoch(answer, next_block)
                next_block = max(next_block, answer.commitment.last_block + 1)
        yield from self._list([asset.address for asset in self.info.assets])
        yield from self._read_blocks(next_block, self.last_block)

    def _read_epoch(self, answer: EpochCommitment, next_block: int) -> Iterator[Event]:
        """Assets come with the first commitment that has a line for them: before that no record can name them."""
        commitment = answer.commitment
        yield from self._list([line.asset for line in commitment.assets])
        # However wrong a commitment's range may be, each block is read once, in order, and never beyond the last one.
        yield from self._read_blocks(next_block, min(commitment.last_block, self.last_block))
        yield EpochCut(commitment.epoch, commitment.cut_at)
        yield EpochSealed(commitment, answer.signature, answer.l1_transaction, answer.included_at)

    def _list(self, assets: list[Address]) -> Iterator[Event]:
        for asset in assets:
            if asset not in self._listed:
                self._listed.add(asset)
                yield AssetListed(asset)

    def _read_blocks(self, first: int, last: int) -> Iterator[Event]:
        while first <= last:
            numbers = range(first, min(first + self._blocks_at_once, last + 1))
            record_count = 0
            calls = [protocol.get_block(number) for number in numbers]
            answers = self._ask(calls)
            for number, answer in zip(numbers, answers, strict=True):
                if isinstance(answer, Refusal | BadReply):
                    yield Unreadable(f"block {number}", f"the node does not give it: {answer}")
                    continue
                record_count += len(answer.records)
                yield BlockRead(Block(answer.header, answer.records), answer.signature, answer.stated_hash)
            first = numbers[-1] + 1
            records_each = max(1, record_count // len(numbers))
            self._blocks_at_once = max(1, min(_RECORDS_AT_ONCE // records_each, _MOST_BLOCKS_AT_ONCE))

    def _ask(self, calls: Sequence[Call[T]]) -> list[T | Refusal | BadReply]:
        """As a batch; if an answer in it is malformed, one by one, so that only that one is lost."""
        try:
            return [*self._node.call_batch(calls)]
        except BadReply:
            answers: list[T | Refusal | BadReply] = []
            for call in calls:
                answer = self._ask_one(call)
                answers.append(answer)
            return answers

    def _ask_one(self, call: Call[T]) -> T | Refusal | BadReply:
        try:
            return self._node.call(call)
        except (Refusal, BadReply) as error:
            return error

    def _get_sealed_epoch(self) -> int:
        try:
            return self._node.get_commitment("latest").epoch
        except NotFound:
            return 0

    def _get_last_block(self) -> int:
        try:
            return self._node.get_block("latest").header.number
        except NotFound:
            return 0
