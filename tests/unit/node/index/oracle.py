"""The answers that the index must give, found by going through everything that happened."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from chain.block import Deposit, get_record_type
from chain.instruction import ListFile, RegisterOwner, SignedInstruction
from chain.kinds import KIND_CODES, PURCHASE, WITHDRAW
from chain.payment import SignedPayment
from chain.primitives import ZERO_ADDRESS, Address
from node.index import (
    Direction,
    FileFilter,
    IndexedDeposit,
    IndexedFile,
    IndexedInstruction,
    IndexedPayment,
    IndexedRecord,
    IndexReader,
    IndexWriter,
    Page,
    PaymentFilter,
    StatementEntry,
    TimeSpan,
)
from node.index.words import fold_text
from tests.unit.node.index.exchange import MEDIA_TYPES, TAGS, WORDS, RandomExchange
from tests.unit.node.index.history import PlacedRecord, RandomLedger, apply

Item = TypeVar("Item")


@contextmanager
def open_index(path: Path, history: RandomLedger) -> Iterator[tuple[IndexWriter, IndexReader]]:
    """A new index of everything so far."""
    writer = IndexWriter(path, history.parameters.genesis_hash)
    apply(writer, history.entries)
    reader = IndexReader(path)
    try:
        yield writer, reader
    finally:
        reader.close()
        writer.close()


def read_pages(get_page: Callable[[str | None], Page[Item]], limit: int) -> list[Item]:
    """All items, page after page; every page but the last is full."""
    items: list[Item] = []
    cursor = None
    for _ in range(2000):
        page = get_page(cursor)
        assert len(page.items) == limit or (page.cursor is None and len(page.items) < limit)
        items += page.items
        cursor = page.cursor
        if cursor is None:
            return items
    raise AssertionError(f"pages without end, the last at {cursor}")


def describe(placed: PlacedRecord) -> IndexedPayment:
    assert isinstance(placed.record, SignedPayment)
    payment = placed.record.payment
    return IndexedPayment(
        id=placed.record.id,
        block=placed.block,
        record=placed.index,
        timestamp=placed.timestamp,
        epoch=placed.epoch,
        kind=payment.kind,
        asset=payment.asset,
        payer=payment.payer,
        nonce=payment.nonce,
        total=payment.total,
        outputs=payment.outputs,
        reference=payment.reference,
        memo=payment.memo,
    )


def describe_deposit(placed: PlacedRecord) -> IndexedDeposit:
    deposit = placed.record
    assert isinstance(deposit, Deposit)
    return IndexedDeposit(
        id=deposit.id,
        block=placed.block,
        record=placed.index,
        timestamp=placed.timestamp,
        epoch=placed.epoch,
        asset=deposit.asset,
        index=deposit.index,
        account=deposit.account,
        amount=deposit.amount,
    )


def describe_instruction(placed: PlacedRecord) -> IndexedInstruction:
    assert isinstance(placed.record, SignedInstruction)
    instruction = placed.record.instruction
    is_owner = isinstance(instruction, RegisterOwner)
    return IndexedInstruction(
        id=placed.record.id,
        block=placed.block,
        record=placed.index,
        timestamp=placed.timestamp,
        epoch=placed.epoch,
        type=type(instruction).__name__,
        account=instruction.account,
        nonce=instruction.nonce,
        file=getattr(instruction, "file", None),
        role="owner" if is_owner else getattr(instruction, "role", None),
        validator=getattr(instruction, "validator", None),
        price=getattr(instruction, "price", None),
    )


def describe_record(placed: PlacedRecord) -> IndexedRecord:
    if isinstance(placed.record, SignedInstruction):
        return describe_instruction(placed)
    return describe(placed) if isinstance(placed.record, SignedPayment) else describe_deposit(placed)


def describe_file(history: RandomExchange, placed: PlacedRecord) -> IndexedFile:
    """As it stands now. What the rules know of it is taken from them, its sales from the payments."""
    listing = placed.record.instruction  # type: ignore[union-attr]
    assert isinstance(listing, ListFile)
    now = history.ledger.state.files[listing.file]
    sales = [
        other.record.payment.total  # type: ignore[union-attr]
        for other in history.payments
        if (other.record.payment.kind, other.record.payment.reference) == (PURCHASE, listing.file)  # type: ignore[union-attr]
    ]
    return IndexedFile(
        id=listing.file,
        validator=listing.account,
        owner=listing.owner,
        asset=listing.asset,
        price=now.price,
        size=listing.size,
        storage_days=listing.storage_days,
        keep_until=now.keep_until,
        service_node=None if now.service_node == ZERO_ADDRESS else now.service_node,
        listing=placed.record.id,
        block=placed.block,
        record=placed.index,
        timestamp=placed.timestamp,
        epoch=placed.epoch,
        content_hash=listing.content_hash,
        name=listing.name,
        media_type=listing.media_type,
        tags=listing.tags,
        description=listing.description,
        key_hash=listing.key_hash,
        has_sealed_key=listing.sealed_key != b"",
        is_delisted=now.is_delisted,
        sale_count=len(sales),
        sold=sum(sales),
    )


def list_all_files(history: RandomExchange) -> list[IndexedFile]:
    """Newest first."""
    return [
        describe_file(history, placed)
        for placed in reversed(history.instructions)
        if isinstance(placed.record.instruction, ListFile)
    ]


def is_file_wanted(file: IndexedFile, wanted: FileFilter) -> bool:
    fields = [fold_text(field) for field in (file.name, file.description, file.media_type, *file.tags)]
    kinds = [fold_text(file.media_type), fold_text(file.media_type).split("/")[0]]
    return (
        (wanted.is_all or not file.is_delisted)
        and all(any(term in field for field in fields) for term in fold_text(wanted.text or "").split()[:8])
        and all(fold_text(tag) in [fold_text(given) for given in file.tags] for tag in wanted.tags)
        and (wanted.media_type is None or fold_text(wanted.media_type) in kinds)
        and wanted.validator in (None, file.validator)
        and wanted.owner in (None, file.owner)
        and wanted.service_node in (None, file.service_node)
        and wanted.asset in (None, file.asset)
    )


def make_file_filter(history: RandomExchange, rng: random.Random) -> FileFilter:
    def sometimes(choices: Any, chance: float = 0.25) -> Any:
        return rng.choice(choices) if rng.random() < chance else None

    accounts = [*history.accounts, *history.bystanders, b"\x01" * 20]
    words = [word.swapcase() if rng.random() < 0.3 else word for word in rng.sample(WORDS, rng.choice((1, 1, 2, 3)))]
    words = [word[rng.randrange(len(word)) :] if rng.random() < 0.3 else word for word in words]
    return FileFilter(
        text=" ".join(words) if rng.random() < 0.5 else None,
        tags=tuple(rng.sample((*TAGS, "unknown"), rng.choice((0, 0, 0, 1, 1, 2)))),
        media_type=sometimes([*MEDIA_TYPES, "image", "TEXT", "nothing/of/it"]),
        validator=sometimes(accounts),
        owner=sometimes(accounts),
        service_node=sometimes(accounts),
        asset=sometimes([*history.assets, b"\x02" * 20]),
        is_all=rng.random() < 0.5,
    )


def is_wanted(placed: PlacedRecord, wanted: PaymentFilter) -> bool:
    assert isinstance(placed.record, SignedPayment)
    payment = placed.record.payment
    second = placed.timestamp // 1000
    payees = [output.to for output in payment.outputs]
    is_sent = payment.payer == wanted.account and (wanted.counterparty is None or wanted.counterparty in payees)
    is_received = wanted.account in payees and wanted.counterparty in (None, payment.payer)
    return (
        (
            wanted.account is None
            or (is_sent and wanted.direction != Direction.IN)
            or (is_received and wanted.direction != Direction.OUT)
        )
        and wanted.asset in (None, payment.asset)
        and wanted.kind in (None, payment.kind)
        and wanted.reference in (None, payment.reference)
        and (wanted.from_s is None or second >= wanted.from_s)
        and (wanted.to_s is None or second <= wanted.to_s)
        and (wanted.first_epoch is None or placed.epoch >= wanted.first_epoch)
        and (wanted.last_epoch is None or placed.epoch <= wanted.last_epoch)
    )


def list_wanted(history: RandomLedger, wanted: PaymentFilter) -> list[IndexedPayment]:
    """Newest first."""
    return [describe(placed) for placed in reversed(history.payments) if is_wanted(placed, wanted)]


def make_filter(history: RandomLedger, rng: random.Random) -> PaymentFilter:
    def sometimes(choices: Any, chance: float = 0.4) -> Any:
        return rng.choice(choices) if rng.random() < chance else None

    seconds = [header.timestamp // 1000 + step for header in history.headers for step in (-1, 0, 1)]
    addresses = [*history.accounts, *history.strangers, b"\x01" * 20]
    epochs = [-(2**64), 0, *range(1, history.epoch + 2), 2**64]
    account = sometimes(addresses, 0.6)
    return PaymentFilter(
        account=account,
        direction=None if account is None else sometimes(list(Direction)),
        counterparty=None if account is None else sometimes([*addresses, account, account]),
        asset=sometimes([*history.assets, b"\x02" * 20]),
        kind=sometimes(list(KIND_CODES)),
        reference=sometimes([*history.references, *history.ledger.state.files, b"\x03" * 32], 0.2),
        from_s=sometimes([0, *seconds, 2**64 - 1], 0.2),
        to_s=sometimes([0, *seconds, 2**64 - 1], 0.2),
        first_epoch=sometimes(epochs, 0.2),
        last_epoch=sometimes(epochs, 0.2),
    )


def make_span(history: RandomLedger, rng: random.Random) -> TimeSpan:
    """Any, now and then one that ends before it begins."""
    seconds = [None, 0, 2**64, *[header.timestamp // 1000 + step for header in history.headers for step in (-1, 0, 1)]]
    return TimeSpan(rng.choice(seconds), rng.choice(seconds))


def is_within(timestamp: int, span: TimeSpan) -> bool:
    second = timestamp // 1000
    return (span.from_s is None or second >= span.from_s) and (span.to_s is None or second <= span.to_s)


def make_entries(
    history: RandomLedger, account: Address, asset: Address
) -> Iterator[tuple[PlacedRecord, StatementEntry]]:
    """All entries of an account, each with the record that made it."""
    balance = 0
    for placed in history.records:
        record = placed.record
        entries: list[tuple[bool, int, int, int]] = []
        if isinstance(record, Deposit):
            if (record.account, record.asset) == (account, asset):
                entries.append((True, 0, record.index, record.amount))
        elif isinstance(record, SignedPayment) and record.payment.asset == asset:
            if record.payment.payer == account:
                entries.append((False, 0, record.payment.nonce, record.payment.total))
            if record.payment.kind != WITHDRAW:
                for index, output in enumerate(record.payment.outputs):
                    if output.to == account:
                        entries.append((True, index, record.payment.nonce, output.amount))
        for is_credit, output_index, number, amount in entries:
            balance += amount if is_credit else -amount
            yield (
                placed,
                StatementEntry(
                    is_credit=is_credit,
                    type=get_record_type(record),
                    block=placed.block,
                    record=placed.index,
                    output=output_index,
                    number=number,
                    id=record.id,
                    amount=amount,
                    balance=balance,
                ),
            )
