"""What the archive keeps at hand, what it waits for, and what it does once for many."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

import node.archive
from chain import wire
from chain.block import Header, build_records_tree, hash_header
from chain.commitment import NO_COMMITMENT
from node.archive import Archive
from node.ethereum.submission import EpochState, EpochStatus, Inclusion
from node.follower import Progress
from node.index import Seal
from node.refusals import Overloaded
from node.sequencer import PublishedBlock
from tests.unit.chain.actors import DOMAIN, PARAMETERS, make_payment, sign
from tests.unit.node.running import soon

SIGNATURE = bytes(65)
EPOCH = 3
PAYMENTS = [sign(make_payment(nonce=nonce)) for nonce in range(3)]


def publish(number: int) -> PublishedBlock:
    tree = build_records_tree(PAYMENTS)
    header = Header(number, bytes(32), 1_000 * number, tree.root, len(PAYMENTS))
    return PublishedBlock(header, hash_header(header, DOMAIN), SIGNATURE, list(PAYMENTS), tree)


class FakeIndex:
    """Block 1, the one block of a sealed epoch, with three payments."""

    def __init__(self) -> None:
        self.tree_reads = 0

    def locate(self, payment_id: bytes) -> tuple[int, int] | None:
        ids = [payment.id for payment in PAYMENTS]
        return (1, ids.index(payment_id)) if payment_id in ids else None

    def get_epoch_of_block(self, number: int) -> int | None:
        return EPOCH if number == 1 else None

    def get_seal(self, epoch: int) -> Seal | None:
        return Seal(msgspec.structs.replace(NO_COMMITMENT, first_block=1), SIGNATURE) if epoch == EPOCH else None

    def list_block_hashes(self, epoch: int, start: int) -> list[bytes]:
        self.tree_reads += start == 0
        return [publish(1).hash][start:]


class FakeSequencer:
    durable_block = 300

    def find_recent(self, payment_id: bytes) -> None:
        return None


class FakeCommitter:
    def get_epoch(self, epoch: int) -> EpochStatus:
        inclusion = Inclusion(epoch, bytes(32), 1, bytes(32), 1, bytes(32), 1, 1)
        return EpochStatus(epoch, EpochState.MINED, bytes(32), 0, (), inclusion, 1, None, False)


class NoJournal:
    """Has nothing: what is asked of it was not at hand."""

    def get_block_height(self, number: int) -> None:
        return None

    def get_signature(self, number: int) -> None:
        return None


@pytest.fixture
def index() -> FakeIndex:
    return FakeIndex()


@pytest.fixture
async def archive(index: FakeIndex, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Archive]:
    """The index is behind, and stays so."""
    monkeypatch.setattr(node.archive, "_INDEX_PATIENCE_SECONDS", 0.01)
    fakes: Any = (NoJournal(), Progress(10), index, Progress(9), None, FakeSequencer(), FakeCommitter(), None)
    made = Archive(PARAMETERS, *fakes)
    made.take_block(publish(1))
    yield made
    made.close()


async def test_what_cannot_change_is_shown_while_the_index_is_behind(archive: Archive) -> None:
    receipt = await soon(archive.get_receipt(PAYMENTS[2].id))
    assert receipt["status"] == "committed" and receipt["commitment"]["message"]
    with pytest.raises(Overloaded):
        await soon(archive.find_block(publish(2).hash))


async def test_the_tree_of_an_epochs_blocks_is_built_once_for_all_who_ask(archive: Archive, index: FakeIndex) -> None:
    await soon(asyncio.gather(*[archive.get_receipt(payment.id) for payment in PAYMENTS]))
    assert index.tree_reads == 1


async def test_no_more_records_are_kept_at_hand_than_are_allowed(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.archive, "_CACHED_RECORDS", 7)
    for number in range(2, 7):
        archive.take_block(publish(number))
    assert list(archive._blocks) == [5, 6]
    archive.take_block(publish(6))
    assert list(archive._blocks) == [5, 6]


async def test_the_newest_block_is_kept_whatever_its_size(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.archive, "_CACHED_RECORDS", 2)
    archive.take_block(publish(2))
    assert list(archive._blocks) == [2]


async def test_a_block_is_shown_with_its_signature_and_all_its_records(archive: Archive) -> None:
    shown = await soon(archive.describe_block(1))
    block = publish(1)
    assert shown["header"] == wire.encode_header(block.header, block.hash, SIGNATURE)
    assert shown["signature"] == wire.encode_bytes(SIGNATURE)
    assert shown["records"] == [wire.encode_record(payment) for payment in PAYMENTS]
