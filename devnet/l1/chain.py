"""The chain: its head, its pool, and the step from one block to the next.

Durability: a transaction's hash is answered, and a block is visible, only once it is on disk. A block, its state and
the pool without its transactions are one synced batch: a kill at any moment leaves either the old head or the new one.

Threads: any number may read and submit; one calls `mine`. The lock covers the head together with the pool and is held
for checks and one synced write, never while the machine runs.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final, cast

import rlp
from eth.vm.forks.prague.state import PragueState
from eth_hash.auto import keccak
from eth_typing import Address
from eth_utils.exceptions import ValidationError

from devnet.l1 import genesis
from devnet.l1.block import Block, Header, decode_body, decode_header, encode_body, get_base_fee
from devnet.l1.execution import BlockBuilder, Call, StateOverlay, build_genesis, call, estimate_gas, open_vm
from devnet.l1.pool import Candidates, Pool, PooledTransaction, Refusal, check_transaction
from devnet.l1.store import FORMAT, Batch, DataDirectoryError, Store

logger = logging.getLogger(__name__)

CHECKED_HEADERS: Final = 256
"""At a start, so many blocks back from the head are checked to hang together: as far as BLOCKHASH reaches."""
CACHED_HEADERS: Final = 2_048
BUILD_SHARE: Final = 0.5
"""Of the block time, that filling a block may take before it is sealed; the rest waits for the next one."""


class Chain:
    def __init__(
        self,
        store: Store,
        chain_id: int | None = None,
        *,
        block_time_s: int = 1,
        clock: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        """Resumes what `store` holds, or begins a chain there (`chain_id` None: the store's own, or the default).

        clock: Unix seconds, for timestamps; stopwatch: seconds, for how long building takes.
        DataDirectoryError."""
        self._store = store
        self._block_time_s = block_time_s
        self._clock = clock
        self._stopwatch = stopwatch
        self._lock = threading.Lock()
        self._recall_header: Callable[[bytes], Header] = lru_cache(CACHED_HEADERS)(self._load_header)
        self._head_state: PragueState | None = None
        self._pool = Pool()

        head_number = store.get_head_number()
        if head_number is None:
            self.chain_id = genesis.DEFAULT_CHAIN_ID if chain_id is None else chain_id
            self._head = self._begin()
        else:
            self.chain_id = self._check_meta(chain_id)
            self._head = self._check_head(head_number)
            self._restore_pool()

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def head(self) -> Header:
        return self._head

    @property
    def next_block_due(self) -> int:
        """Unix seconds. Two blocks are at least a block time apart, and a timestamp is never ahead of the clock."""
        return int(self._head.timestamp) + self._block_time_s

    def compute_wait_s(self) -> float:
        """Until the next block is due; not positive if it is."""
        return self.next_block_due - self._clock()

    def get_header(self, number: int) -> Header | None:
        hash_ = self._store.get_block_hash(number) if 0 <= number <= self._head.block_number else None
        return None if hash_ is None else self.get_header_by_hash(hash_)

    def get_header_by_hash(self, hash_: bytes) -> Header | None:
        try:
            return self._recall_header(hash_)
        except LookupError:
            return None

    def get_block(self, header: Header) -> Block:
        return Block(header, decode_body(self._store.get_body(header.block_number)))

    def find_transaction(self, hash_: bytes) -> tuple[Block, int] | None:
        """(block, index) of a mined transaction."""
        place = self._store.get_transaction_place(hash_)
        if place is None or (header := self.get_header(place[0])) is None:
            return None
        return self.get_block(header), place[1]

    def find_blocks_with_logs(self, first: int, last: int, is_candidate: Callable[[int], bool]) -> list[int]:
        """Numbers of the blocks in the range whose logs bloom passes, ascending."""
        last = min(last, self._head.block_number)
        return [number for number, bloom in self._store.iterate_logs_blooms(first, last) if is_candidate(bloom)]

    def get_pooled(self, hash_: bytes) -> PooledTransaction | None:
        with self._lock:
            return self._pool.get(hash_)

    def get_pending_nonce(self, address: Address) -> int:
        with self._lock:
            return self._pool.compute_next_nonce(address, self._get_head_state().get_nonce(address))

    def list_executable(self) -> list[PooledTransaction]:
        """The pool's transactions in the order they would be tried for the next block."""
        with self._lock:
            candidates = self._pool.snapshot()
        return candidates.list_in_order(self.open_state(self._head), get_base_fee(self._head))

    def open_state(self, header: Header) -> PragueState:
        """The state after that block, for one thread."""
        return cast(PragueState, open_vm(self.open_database(), self.chain_id, header).state)

    def open_database(self) -> StateOverlay:
        """All trie nodes by their hash."""
        return StateOverlay(self._store)

    def call(self, request: Call, header: Header) -> bytes:
        """`execution.call` after that block."""
        return call(self.open_database(), self.chain_id, header, request)

    def estimate_gas(self, request: Call, header: Header) -> int:
        """`execution.estimate_gas` after that block."""
        return estimate_gas(self.open_database(), self.chain_id, header, request)

    # -- writing -------------------------------------------------------------------------------------------------------

    def submit(self, raw: bytes) -> bytes:
        """The hash of a transaction that is now in the pool and on disk. `pool.Refusal`."""
        candidate = check_transaction(raw, self.chain_id, genesis.GAS_LIMIT)
        with self._lock:
            replaced = self._pool.check(candidate, self._get_head_state())
            sequence = self._pool.next_sequence
            batch = Batch()
            batch.put_pooled(sequence, raw)
            if replaced is not None:
                batch.delete_pooled(self._pool.get_sequence(replaced.hash))
            self._store.write(batch)
            if replaced is not None:
                self._pool.remove(replaced)
            self._pool.add(candidate, sequence)
        return candidate.hash

    def mine(self) -> Block | None:
        """The next block, with whatever of the pool is executable and fits; None before it is due."""
        timestamp = int(self._clock())
        if timestamp < self.next_block_due:
            return None
        with self._lock:
            candidates = self._pool.snapshot()
        builder = BlockBuilder(self._store, self.chain_id, self._head, timestamp)
        rejected = self._fill(builder, candidates)
        block, content = builder.seal()
        nonces = {mined.sender: builder.get_nonce(mined.sender) for mined in block.transactions}
        self._commit(block, content, nonces, rejected)
        return block

    def _fill(self, builder: BlockBuilder, candidates: Candidates) -> list[PooledTransaction]:
        """Executes candidates until gas or time run out; returns those that the state refuses."""
        stop_at = self._stopwatch() + self._block_time_s * BUILD_SHARE
        rejected = []
        for candidate in candidates.iterate(builder, builder.base_fee_wei):
            if candidate.transaction.gas > builder.gas_left:
                continue
            try:
                builder.apply(candidate.transaction)
            except ValidationError as error:
                # The pool's rules leave no room for this; if they do after all, it must not stop the chain.
                logger.warning("dropped transaction 0x%s: %s", candidate.hash.hex(), error)
                rejected.append(candidate)
            if self._stopwatch() >= stop_at:
                break
        return rejected

    def _commit(
        self,
        block: Block,
        content: dict[bytes, bytes],
        nonces: dict[Address, int],
        rejected: list[PooledTransaction],
    ) -> None:
        """nonces: of the senders in the block, after it."""
        header = block.header
        batch = Batch()
        for hash_, value in content.items():
            batch.put_content(hash_, value)
        batch.put_content(header.hash, rlp.encode(header))
        batch.put_block(
            header.block_number, header.hash, encode_body(block.transactions), header.bloom.to_bytes(256, "big")
        )
        for index, mined in enumerate(block.transactions):
            batch.put_transaction(mined.hash, header.block_number, index)
        with self._lock:
            # A transaction may have been replaced while it was being mined: its nonce is used all the same.
            leaving = {gone.hash: gone for gone in rejected if self._pool.get(gone.hash) is not None}
            for sender, nonce in nonces.items():
                leaving |= {stale.hash: stale for stale in self._pool.find_stale(sender, nonce)}
            for gone in leaving.values():
                batch.delete_pooled(self._pool.get_sequence(gone.hash))
            self._store.write(batch)
            for gone in leaving.values():
                self._pool.remove(gone)
            self._head = header
            self._head_state = None

    # -- starting ------------------------------------------------------------------------------------------------------

    def _begin(self) -> Header:
        overlay = StateOverlay(self._store)
        header = build_genesis(overlay, self.chain_id, int(self._clock()), secrets.token_bytes(32))
        batch = Batch()
        for hash_, value in overlay.writes.items():
            batch.put_content(hash_, value)
        batch.put_content(header.hash, rlp.encode(header))
        batch.put_block(0, header.hash, b"", bytes(256))
        batch.put_meta("format", FORMAT)
        batch.put_meta("chain_id", self.chain_id)
        self._store.write(batch)
        return header

    def _check_meta(self, wanted_chain_id: int | None) -> int:
        found_format, chain_id = self._store.get_meta("format"), self._store.get_meta("chain_id")
        if found_format != FORMAT or chain_id is None:
            raise DataDirectoryError(f"the chain on disk has format {found_format}, this program knows {FORMAT}")
        if wanted_chain_id not in (None, chain_id):
            raise DataDirectoryError(f"the chain on disk has id {chain_id}, not {wanted_chain_id}")
        return chain_id

    def _check_head(self, head_number: int) -> Header:
        """The head, once it is certain that its state and the blocks below it are there and hang together."""
        head = child = self._check_header(head_number)
        if self._store.get_content(head.state_root) is None:
            raise DataDirectoryError(f"the state after block {head_number} is missing")
        for number in range(head_number - 1, max(head_number - CHECKED_HEADERS, 0) - 1, -1):
            header = self._check_header(number)
            if child.parent_hash != header.hash:
                raise DataDirectoryError(f"block {number + 1} is not a child of block {number}")
            child = header
        return head

    def _check_header(self, number: int) -> Header:
        hash_ = self._store.get_block_hash(number)
        encoded = None if hash_ is None else self._store.get_content(hash_)
        if encoded is None or keccak(encoded) != hash_:
            raise DataDirectoryError(f"block {number} is missing or damaged")
        header = decode_header(encoded)
        if header.block_number != number:
            raise DataDirectoryError(f"block {header.block_number} is stored as number {number}")
        return header

    def _restore_pool(self) -> None:
        forgotten = Batch()
        for sequence, raw in self._store.iterate_pooled():
            try:
                candidate = check_transaction(raw, self.chain_id, genesis.GAS_LIMIT)
                self._pool.check(candidate, self._get_head_state())
            except Refusal as refusal:
                logger.warning("a transaction of the pool is not valid any more: %s", refusal)
                forgotten.delete_pooled(sequence)
            else:
                self._pool.add(candidate, sequence)
        if forgotten.deletes:
            self._store.write(forgotten)

    def _get_head_state(self) -> PragueState:
        """For use under the lock only: py-evm's state is not made for several threads."""
        if self._head_state is None:
            self._head_state = self.open_state(self._head)
        return self._head_state

    def _load_header(self, hash_: bytes) -> Header:
        """LookupError for anything but the hash of a block of this chain: state nodes and code are content as well."""
        try:
            header = decode_header(self._store.get_content(hash_) or b"")
        except rlp.exceptions.RLPException as error:
            raise LookupError(hash_) from error
        if self._store.get_block_hash(header.block_number) != hash_:
            raise LookupError(hash_)
        return header
