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
from chain.errors import MalformedRequest
from node.archive import Archive
from node.ethereum.submission import Attempt, AttemptOutcome, EpochState, EpochStatus, Fees, Inclusion
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


# --- commitments


REVERTED = Attempt(
    epoch=7, number=1, hash=b"\x01" * 32, nonce=4, gas_limit=125_000, fees=Fees(30, 2), raw=b"\x02", sent_at=1_005,
    l1_block=11, outcome=AttemptOutcome.REVERTED, gas_used=40_000, effective_gas_price=20, problem="NotNext(epoch=7)",
)  # fmt: skip
INCLUDED = Attempt(
    epoch=7, number=2, hash=b"\x02" * 32, nonce=5, gas_limit=125_000, fees=Fees(9, 9), raw=b"\xf8", sent_at=1_006,
    l1_block=12, outcome=AttemptOutcome.INCLUDED, gas_used=90_000, effective_gas_price=9,
)  # fmt: skip
IN_FLIGHT = Attempt(
    epoch=8, number=1, hash=b"\x03" * 32, nonce=6, gas_limit=125_000, fees=Fees(30, 2), raw=b"\x02", sent_at=1_007,
    l1_block=13,
)  # fmt: skip
STATUSES = {
    7: EpochStatus(
        epoch=7, state=EpochState.MINED, digest=b"\x07" * 32, sealed_at=1_000, attempts=(REVERTED, INCLUDED),
        inclusion=Inclusion(7, b"\x07" * 32, 2, INCLUDED.hash, 13, b"\x0d" * 32, 90_000, 9), confirmations=3,
        final_at=62, is_ours=True,
    ),
    8: EpochStatus(8, EpochState.SENT, b"\x08" * 32, 1_001, (IN_FLIGHT,), None, 0, None, False),
}  # fmt: skip


class Commits:
    """Index, committer and epochs: nine epochs are sealed, the committer has heard of two."""

    sealed_epoch = 9

    def get_seal(self, epoch: int) -> Seal | None:
        return Seal(msgspec.structs.replace(NO_COMMITMENT, epoch=epoch), SIGNATURE) if epoch <= 9 else None

    def get_epoch(self, epoch: int) -> EpochStatus | None:
        return STATUSES.get(epoch)


@pytest.fixture
async def commits() -> AsyncIterator[Archive]:
    fake = Commits()
    fakes: Any = (NoJournal(), Progress(1), fake, Progress(1), None, FakeSequencer(), fake, fake)
    made = Archive(PARAMETERS, *fakes)
    yield made
    made.close()


async def test_commitments_are_listed_newest_first_each_as_it_is_shown_alone(commits: Archive) -> None:
    shown = [await soon(commits.describe_commitment(epoch)) for epoch in range(9, 0, -1)]
    assert await soon(commits.list_commitments(None, 100)) == {"items": shown, "cursor": None}
    pages, cursor = [], None
    for size in (4, 4, 1):
        page = await soon(commits.list_commitments(cursor, 4))
        assert len(page["items"]) == size
        pages += page["items"]
        cursor = page["cursor"]
    assert (pages, cursor) == (shown, None)
    assert (await soon(commits.list_commitments("0xffff", 1)))["items"] == shown[:1]


@pytest.mark.parametrize("cursor, limit", [("0x0", 1), ("x", 1), ("", 1), (None, 0)])
async def test_a_page_of_commitments_from_nowhere_is_refused(commits: Archive, cursor: str | None, limit: int) -> None:
    with pytest.raises(MalformedRequest):
        await soon(commits.list_commitments(cursor, limit))


async def test_a_commitment_is_shown_with_all_that_was_tried_and_paid(commits: Archive) -> None:
    mined = await soon(commits.describe_commitment(7))
    del mined["message"], mined["signature"]
    first, second = mined.pop("attempts")
    assert mined == {
        "epoch": "0x7",
        "status": "mined",
        "sealedAt": hex(1_000),
        "cost": hex(40_000 * 20 + 90_000 * 9),
        "l1Transaction": wire.encode_bytes(INCLUDED.hash),
        "isOurs": True,
        "l1Block": "0xd",
        "l1BlockHash": "0x" + "0d" * 32,
        "includedAt": "0x2",
        "confirmations": "0x3",
        "finalAt": hex(62),
        "gasUsed": hex(90_000),
        "effectiveGasPrice": "0x9",
    }
    assert first == {
        "number": "0x1",
        "hash": "0x" + "01" * 32,
        "nonce": "0x4",
        "type": "eip1559",
        "gasLimit": hex(125_000),
        "maxFeePerGas": hex(30),
        "maxPriorityFeePerGas": "0x2",
        "sentAt": hex(1_005),
        "outcome": "reverted",
        "problem": "NotNext(epoch=7)",
        "gasUsed": hex(40_000),
        "effectiveGasPrice": hex(20),
        "cost": hex(800_000),
    }
    assert (second["type"], second["outcome"], second["problem"]) == ("legacy", "included", None)


async def test_what_has_not_happened_to_a_commitment_is_null(commits: Archive) -> None:
    sent, sealed = [await soon(commits.describe_commitment(epoch)) for epoch in (8, 9)]
    unknown = ("l1Transaction", "isOurs", "l1Block", "l1BlockHash", "includedAt", "confirmations", "finalAt", "gasUsed")
    for form in (sent, sealed):
        assert [form[name] for name in unknown] == [None] * len(unknown) and form["cost"] == "0x0"
    (attempt,) = sent["attempts"]
    assert [attempt[name] for name in ("outcome", "problem", "gasUsed", "effectiveGasPrice", "cost")] == [None] * 5
    assert (sealed["status"], sealed["sealedAt"], sealed["attempts"]) == ("sealed", None, [])
