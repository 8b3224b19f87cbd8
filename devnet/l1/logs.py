"""Finding logs: bloom filters first, so that only blocks that probably match are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from eth_bloom.bloom import BloomFilter

from devnet.l1.block import Block, Header, Log
from devnet.l1.chain import Chain

MAX_RESULTS: Final = 10_000


class TooManyResults(Exception):
    def __init__(self) -> None:
        super().__init__(f"query returned more than {MAX_RESULTS} results")


@dataclass(frozen=True, slots=True)
class FoundLog:
    """A log and its place."""

    log: Log
    header: Header
    transaction_hash: bytes
    transaction_index: int
    log_index: int
    """In the block."""


@dataclass(frozen=True, slots=True)
class LogFilter:
    """An empty set matches anything; a log must have at least as many topics as the filter has positions."""

    addresses: frozenset[bytes] = frozenset()
    topics: tuple[frozenset[bytes], ...] = ()

    def matches(self, log: Log) -> bool:
        if self.addresses and log.address not in self.addresses:
            return False
        if len(self.topics) > len(log.topics):
            return False
        return all(not wanted or topic in wanted for wanted, topic in zip(self.topics, log.topics, strict=False))

    def create_bloom_test(self) -> BloomTest:
        return BloomTest(tuple(compute_masks(wanted) for wanted in (self.addresses, *self.topics) if wanted))


@dataclass(frozen=True, slots=True)
class BloomTest:
    """For each constraint the bits of its alternatives; one alternative of each must be wholly in the bloom."""

    constraints: tuple[tuple[int, ...], ...]

    def __call__(self, bloom: int) -> bool:
        return all(any(bloom & mask == mask for mask in masks) for masks in self.constraints)


def compute_masks(values: Iterable[bytes]) -> tuple[int, ...]:
    return tuple(int(BloomFilter.from_iterable([value])) for value in values)


def find_logs(chain: Chain, wanted: LogFilter, first: int, last: int) -> list[FoundLog]:
    """Matching logs of the blocks from `first` to `last`, in order. TooManyResults."""
    found: list[FoundLog] = []
    for number in chain.find_blocks_with_logs(first, last, wanted.create_bloom_test()):
        if (header := chain.get_header(number)) is not None:
            found += [place for place in iterate_logs(chain.get_block(header)) if wanted.matches(place.log)]
        if len(found) > MAX_RESULTS:
            raise TooManyResults
    return found


def iterate_logs(block: Block) -> Iterator[FoundLog]:
    log_index = 0
    for transaction_index, mined in enumerate(block.transactions):
        for log in mined.logs:
            yield FoundLog(log, block.header, mined.hash, transaction_index, log_index)
            log_index += 1
