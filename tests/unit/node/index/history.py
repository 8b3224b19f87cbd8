"""Ledgers made at random, once as journal entries and once as plain lists to hold the index against."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from chain.account import AccountLeaf, decode_account_leaf
from chain.block import Block, Deposit, Header, Record, build_records_tree, encode_block, encode_record, make_deposit
from chain.commitment import AssetCommitment
from chain.ledger import Ledger, SealedEpoch
from chain.params import Market, Parameters
from chain.payment import Output, Payment, SignedPayment, compute_payment_id
from chain.primitives import ETHER, MAX_U128, ZERO_HASH, Address, Hash, Signature
from node.entries import BLOCK_PREFIX, encode_asset, encode_cut, encode_genesis, encode_seal
from node.index import IndexWriter
from node.index.schema import TABLES

MEMOS = (
    "invoice 17",
    "rent, März 2026 ☂",
    '<script>alert(1)</script> & <b>"quoted"</b>',
    "'); DROP TABLE payments; --",
    '=HYPERLINK("http://example.org")',
    "lines\nand\ttabs\r\n",
    "nothing\0 behind a NUL is lost",
    "\0",
    "\u202eright to left\u202c\ufeff",
    " ",
    "m" * 256,
    "é" * 128,
    "\U0001f9fe" * 64,
)
"""Friendly ones and hostile ones; the last three have the 256 bytes that are allowed."""


class PlacedRecord(msgspec.Struct, frozen=True):
    block: int
    index: int
    timestamp: int
    epoch: int
    record: Record


class RandomLedger:
    """Everything that happened, in lists. The rules (`chain.ledger`) see to it that it could happen, and say what each
    account's leaf, each withdrawals tree and each commitment must be."""

    def __init__(self, seed: int, account_count: int = 8, market: Market | None = None) -> None:
        self.random = random.Random(seed)
        self._memos = random.Random(f"memos {seed}")  # of their own: they leave everything else as it is
        self.parameters = Parameters(31337, self._make_address(), ETHER, 1_700_000_000, market or Market())
        self.ledger = Ledger(self.parameters)
        self.entries: list[bytes] = [encode_genesis(self.parameters)]
        self.accounts = [self._make_address() for _ in range(account_count)]
        self.strangers = [self._make_address() for _ in range(3)]
        """Recipients on L1 that have no account."""
        self.references = [self.random.randbytes(32) for _ in range(4)]
        self.headers: list[Header] = []
        self.hashes: list[Hash] = []
        self.records: list[PlacedRecord] = []
        self.sealed: dict[int, tuple[SealedEpoch, Signature]] = {}
        self.waiting: list[tuple[SealedEpoch, Signature]] = []
        self.timestamp = self.parameters.first_cut_at + 1

    @property
    def assets(self) -> tuple[Address, ...]:
        return self.ledger.state.assets

    @property
    def epoch(self) -> int:
        return self.ledger.state.epoch

    @property
    def payments(self) -> list[PlacedRecord]:
        return [placed for placed in self.records if isinstance(placed.record, SignedPayment)]

    @property
    def deposits(self) -> list[PlacedRecord]:
        return [placed for placed in self.records if isinstance(placed.record, Deposit)]

    def get_leaves(self, epoch: int) -> Iterator[AccountLeaf]:
        """Those that changed in a sealed epoch."""
        for changes in self.sealed[epoch][0].changes:
            for _, leaf in changes.leaves:
                yield decode_account_leaf(leaf)

    def get_lines(self, epoch: int) -> tuple[AssetCommitment, ...]:
        return self.sealed[epoch][0].commitment.assets

    def run(self, block_count: int) -> None:
        """Assets are listed at the beginning and in between; epochs are cut now and then, one of them empty; seals
        follow some blocks after their cuts."""
        for number in range(block_count):
            if number in (0, block_count // 4):
                self.list_asset()
            if self.random.random() < 0.06:
                self.cut()
            if number == block_count // 2:
                self.cut()
                self.cut()
            if self.waiting and self.random.random() < 0.3:
                self.seal()
            self.add_block()

    def list_asset(self) -> None:
        self.add_asset(self._make_address() if self.assets else ETHER)

    def add_asset(self, asset: Address) -> None:
        self.ledger.list_asset(asset)
        self.entries.append(encode_asset(asset))

    def add_block(self, records: list[Record] | None = None) -> None:
        self.timestamp += self.random.choice((0, 0, 1, 400, 1500, 60_000))
        if records is None:
            records = self._make_records()
        state = self.ledger.state
        header = Header(
            number=len(self.headers) + 1,
            previous=state.block_hash,
            timestamp=self.timestamp,
            records_root=build_records_tree(records).root,
            record_count=len(records),
        )
        for index, record in enumerate(records):
            self.records.append(PlacedRecord(header.number, index, header.timestamp, state.epoch, record))
        self.headers.append(header)
        self.hashes.append(self.ledger.apply_block(Block(header, tuple(records))))
        self.entries.append(BLOCK_PREFIX + encode_block(header, [encode_record(record) for record in records]))

    def cut(self) -> None:
        epoch, self.timestamp = self.epoch, self.timestamp + 10
        self.waiting.append((self.ledger.cut(epoch, self.timestamp), self.random.randbytes(65)))
        self.entries.append(encode_cut(epoch, self.timestamp))
        self.timestamp += 1

    def seal(self) -> None:
        sealed, signature = self.waiting.pop(0)
        self.entries.append(encode_seal(sealed.commitment, signature))
        self.sealed[sealed.commitment.epoch] = sealed, signature

    def make_payment(
        self,
        payer: Address,
        nonce: int,
        outputs: list[Output],
        kind: str = "transfer",
        asset: Address = ETHER,
        memo: str | None = None,
    ) -> SignedPayment:
        """`memo`: None for one at random, or none."""
        reference = self.random.choice([ZERO_HASH, ZERO_HASH, *self.references])
        if memo is None:
            memo = self._memos.choice(MEMOS) if self._memos.random() < 0.4 else ""
        payment = Payment(asset, payer, nonce, 0, kind, reference, memo, tuple(outputs))
        payment_id = compute_payment_id(payment, self.parameters.domain)
        return SignedPayment(payment_id, payment, self.random.randbytes(65))

    def make_deposit(self, asset: Address, index: int, account: Address, amount: int) -> Deposit:
        return make_deposit(asset, index, account, amount, 7, self.random.randbytes(32), self.random.randbytes(32))

    def _make_records(self) -> list[Record]:
        """At most one payment of each payer, so that each is checked against the state before the block."""
        records: list[Record] = []
        counts = dict(self.ledger.state.deposit_counts)
        for payer in self.random.sample(self.accounts, self.random.randrange(0, 5)):
            payment = self._make_payment(payer)
            if payment is not None:
                records.append(payment)
        while not records or self.random.random() < 0.2:
            asset = self.random.choice(self.assets)
            records.append(
                self.make_deposit(asset, counts[asset], self.random.choice(self.accounts), self._make_amount())
            )
            counts[asset] += 1
        self.random.shuffle(records)
        first = dict(self.ledger.state.deposit_counts)
        for place, record in enumerate(records):
            if isinstance(record, Deposit):
                records[place] = self.make_deposit(record.asset, first[record.asset], record.account, record.amount)
                first[record.asset] += 1
        return records

    def _make_payment(self, payer: Address) -> SignedPayment | None:
        state = self.ledger.state
        asset = self.random.choice(self.assets)
        balance = state.get_balance(asset, payer)
        kind = self.random.choice(("transfer", "transfer", "transfer", "tip", "withdraw"))
        count = self.random.choice((1, 1, 2, 4)) if kind == "transfer" else 1
        if balance < 2 * count:
            return None
        payees = [*self.accounts, payer] if kind != "withdraw" else [*self.strangers, payer]
        most = balance // (2 * count)
        outputs = [
            Output(self.random.choice(payees), self.random.choice((1, most, self.random.randint(1, most))))
            for _ in range(count)
        ]
        if count > 1 and self.random.random() < 0.3:
            outputs[1] = Output(outputs[0].to, outputs[1].amount)
        window = state.get_nonces(payer)
        free = [nonce for nonce in range(window.base, window.base + 6) if not window.used >> nonce - window.base & 1]
        nonce = self.random.choice([*free, window.base + 255] if self.random.random() < 0.05 else free)
        return self.make_payment(payer, nonce, outputs, kind, asset)

    def _make_amount(self) -> int:
        return self.random.choice((1, 10**6, 10**18, 2**63, 2**64, 10**20, self.random.randrange(1, MAX_U128 >> 12)))

    def _make_address(self) -> Address:
        return self.random.randbytes(20)


def apply(writer: IndexWriter, entries: list[bytes], chunk_size: int = 50) -> None:
    """All that the index does not have yet."""
    waiting = list(enumerate(entries))[writer.height :]
    for start in range(0, len(waiting), chunk_size):
        writer.apply(waiting[start : start + chunk_size])


def dump(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, and under `words` every trigram with its file and place there."""
    db = sqlite3.connect(path)
    try:
        db.execute("CREATE VIRTUAL TABLE temp.word_places USING fts5vocab(main, words, instance)")
        rows = {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
        return rows | {"words": db.execute("SELECT term, doc, offset FROM temp.word_places").fetchall()}
    finally:
        db.close()


class ListJournal:
    """The reading half of a journal, over a list."""

    def __init__(self, entries: list[bytes]) -> None:
        self._entries = entries

    @property
    def height(self) -> int:
        return len(self._entries)

    def read(self, height: int) -> Iterator[tuple[int, bytes]]:
        yield from list(enumerate(self._entries))[height:]

    def get(self, height: int) -> bytes | None:
        return self._entries[height] if height < len(self._entries) else None
