"""A ledger of a million payments, as a node would have left it on disk, made in a minute: nothing in it is signed.

For reading only. Ids and signatures are random bytes, roots are zeros; places, balances, nonces, epochs and everything
else that the index is built from are sound, or its writer would refuse them.
"""

import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from chain.block import Deposit, Header, Record, encode_block, encode_record, hash_header, make_deposit
from chain.commitment import NO_COMMITMENT, AssetCommitment, Commitment, hash_commitment
from chain.params import Parameters
from chain.payment import Output, Payment, SignedPayment
from chain.primitives import ETHER, ZERO_HASH, Address, Hash, Signature
from node.entries import BLOCK_PREFIX, encode_asset, encode_cut, encode_genesis, encode_seal
from node.index import IndexWriter
from node.journal import LevelDBJournal

BLOCK_SIZE: Final = 500
EPOCH_COUNT: Final = 20
ACCOUNT_COUNT: Final = 1_000
BUSY_SHARE: Final = 0.12
"""Of all payments, those that one account makes or gets: half and half."""

_BLOCK_MS: Final = 60_000
"""From block to block, so that a million payments take more than a day, and charts have something to draw."""

_CHUNK_ENTRIES: Final = 16
"""Journal entries an index transaction."""

_DEPOSIT: Final = 10**30
_MEMOS: Final = ("invoice 2026-%d", "rent, März %d ☂", "<b>%d</b> & '\"=1+1", "for order %d, with many thanks", "%d")
_KINDS: Final = ("transfer",) * 26 + ("tip",) * 5 + ("withdraw",)
_SAMPLES: Final = 1_000


class BuiltLedger(msgspec.Struct, frozen=True):
    """What is in it, as far as readers need to know for their questions."""

    parameters: Parameters
    assets: tuple[Address, Address]
    accounts: list[Address]
    busy: Address
    quiet: Address
    """Has a hundred payments or so, none of them with `busy`."""
    payment_ids: list[Hash]
    deposit_ids: list[Hash]
    block_hashes: list[Hash]
    references: list[Hash]
    """Some of all, by chance."""
    commitments: list[Commitment]
    block_count: int
    first_ms: int
    last_ms: int


class LedgerBuilder:
    def __init__(self, directory: Path, payment_count: int) -> None:
        self._random = random.Random(2026)
        self._parameters = Parameters(31337, bytes(range(20)), ETHER, 1_700_000_000)
        self._assets = ETHER, self._random.randbytes(20)
        self._accounts = [self._random.randbytes(20) for _ in range(ACCOUNT_COUNT)]
        self._busy, self._quiet, *self._others = self._accounts
        self._nonces = dict.fromkeys(self._accounts, 0)
        self._block_count = -(-payment_count // BLOCK_SIZE)
        self._journal = LevelDBJournal(directory / "journal")
        self._index = IndexWriter(directory / "index.sqlite", self._parameters.genesis_hash)
        self._waiting: list[tuple[int, bytes]] = []
        self._thread = ThreadPoolExecutor(1, "journal")
        self._writing: list[Future[None]] = []
        self._number, self._previous = 0, self._parameters.genesis_hash
        self._timestamp = self._first_ms = self._parameters.first_cut_at + 1
        self._commitments: list[Commitment] = []
        self._samples: dict[str, list[Hash]] = {"payments": [], "deposits": [], "blocks": [], "references": []}

    def build(self) -> BuiltLedger:
        """Journal and index; both are closed then."""
        self._append(encode_genesis(self._parameters))
        for asset in self._assets:
            self._append(encode_asset(asset))
        self._add_block(self._make_deposits())
        epoch_size = max(self._block_count // EPOCH_COUNT, 1)
        for number in range(1, self._block_count + 1):
            self._add_block(list(self._make_payments()))
            if number % epoch_size == 0 and len(self._commitments) < EPOCH_COUNT:
                self._end_epoch()
        self._flush()
        self._index.close()
        self._thread.shutdown()
        self._journal.close()
        return BuiltLedger(
            parameters=self._parameters,
            assets=self._assets,
            accounts=self._accounts,
            busy=self._busy,
            quiet=self._quiet,
            payment_ids=self._samples["payments"],
            deposit_ids=self._samples["deposits"],
            block_hashes=self._samples["blocks"],
            references=self._samples["references"],
            commitments=self._commitments,
            block_count=self._number,
            first_ms=self._first_ms,
            last_ms=self._timestamp,
        )

    # --- records

    def _make_deposits(self) -> list[Record]:
        deposits: list[Record] = [
            make_deposit(asset, index, account, _DEPOSIT, 7, ZERO_HASH, ZERO_HASH)
            for asset in self._assets
            for index, account in enumerate(self._accounts)
        ]
        self._samples["deposits"] = [deposit.id for deposit in deposits if isinstance(deposit, Deposit)]
        return deposits

    def _make_payments(self) -> Iterator[Record]:
        rng = self._random
        for _ in range(BLOCK_SIZE):
            # One payer, three others: no two of them the same.
            place = int(rng.random() * (len(self._others) - 3))
            payer, *payees = self._others[place : place + 4]
            lot = rng.random()
            if lot < BUSY_SHARE / 2:
                payer = self._busy
            elif lot < BUSY_SHARE:
                payees[0] = self._busy
            elif lot < BUSY_SHARE + 0.0001:
                payer = self._quiet
            yield self._make_payment(payer, payees)

    def _make_payment(self, payer: Address, payees: list[Address]) -> SignedPayment:
        rng = self._random
        nonce = self._nonces[payer]
        self._nonces[payer] = nonce + 1
        kind = _KINDS[int(rng.random() * len(_KINDS))]
        output_count = 3 if kind == "transfer" and rng.random() < 0.05 else 1
        reference = rng.randbytes(32) if rng.random() < 0.05 else ZERO_HASH
        payment = Payment(
            asset=self._assets[rng.random() < 0.4],
            payer=payer,
            nonce=nonce,
            valid_until=0,
            kind=kind,
            reference=reference,
            memo=rng.choice(_MEMOS) % nonce if rng.random() < 0.1 else "",
            outputs=tuple([Output(payee, rng.randrange(1, 10**18)) for payee in payees[:output_count]]),
        )
        payment_id = rng.randbytes(32)
        self._take_sample("payments", payment_id)
        if reference != ZERO_HASH:
            self._take_sample("references", reference)
        return SignedPayment(payment_id, payment, _make_signature(rng))

    def _take_sample(self, name: str, value: Hash) -> None:
        """The first ones, then any in their stead, so that all times are among them."""
        samples = self._samples[name]
        if len(samples) < _SAMPLES:
            samples.append(value)
        elif self._random.random() < 0.01:
            samples[self._random.randrange(_SAMPLES)] = value

    # --- entries

    def _add_block(self, records: list[Record]) -> None:
        self._number += 1
        self._timestamp += _BLOCK_MS
        header = Header(self._number, self._previous, self._timestamp, ZERO_HASH, len(records))
        self._append(BLOCK_PREFIX + encode_block(header, [encode_record(record) for record in records]), self._number)
        self._previous = hash_header(header, self._parameters.domain)
        self._take_sample("blocks", self._previous)

    def _end_epoch(self) -> None:
        last = self._commitments[-1] if self._commitments else NO_COMMITMENT
        is_first = last is NO_COMMITMENT
        cut_at = self._timestamp + 1
        total, count = ACCOUNT_COUNT * _DEPOSIT, ACCOUNT_COUNT
        line = AssetCommitment(ETHER, ZERO_HASH, total, count, count, 0, ZERO_HASH, 0, 0)
        commitment = Commitment(
            epoch=last.epoch + 1,
            previous=ZERO_HASH if is_first else hash_commitment(last, self._parameters.domain),
            first_block=last.last_block + 1,
            last_block=self._number,
            cut_at=cut_at,
            blocks_root=ZERO_HASH,
            extra_root=ZERO_HASH,
            assets=tuple([msgspec.structs.replace(line, asset=asset) for asset in self._assets]),
        )
        self._append(encode_cut(commitment.epoch, cut_at))
        self._append(encode_seal(commitment, _make_signature(self._random)))
        self._commitments.append(commitment)

    def _append(self, entry: bytes, block_number: int | None = None) -> None:
        height = self._index.height + len(self._waiting)
        signature = _make_signature(self._random)
        self._waiting.append((height, entry))
        self._writing.append(self._thread.submit(self._write, height, entry, block_number, signature))
        if len(self._waiting) == _CHUNK_ENTRIES:
            self._flush()

    def _write(self, height: int, entry: bytes, block_number: int | None, signature: Signature) -> None:
        """In a thread: each append waits for the disk."""
        self._journal.append(height, entry, block_number)
        if block_number is not None:
            self._journal.put_signature(block_number, signature)

    def _flush(self) -> None:
        self._index.apply(self._waiting)
        self._waiting.clear()
        for written in self._writing:
            written.result()
        self._writing.clear()


def _make_signature(rng: random.Random) -> Signature:
    return rng.randbytes(64) + b"\x1b"
