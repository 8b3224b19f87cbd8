"""The sequencer: the single writer. It orders what arrives, applies it, makes it durable, and only then answers.

One block is a group commit: while the last block is being written, whatever arrives is checked and applied into the
next; when the disk is done, that one is closed and written. With no load a block holds one payment and leaves at once.

What holds if we die here:
- before the append: nothing happened; nobody was told anything;
- after the append, before the answer: the payment is in the ledger, and sending it again is answered with its receipt;
- after the append, before the block's signature is stored: recovery signs again, and gets the same bytes (RFC 6979).
A header is never signed before its block is durable: a signed header of a lost block would contradict its successor.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

import msgspec
from coincurve import PrivateKey

from chain.account import NonceWindow
from chain.block import (
    Deposit,
    Header,
    Record,
    build_records_tree,
    encode_block,
    encode_record,
    hash_header,
)
from chain.commitment import Commitment
from chain.errors import Refusal
from chain.instruction import Instruction, ListFile, SignedInstruction
from chain.market import Roles
from chain.merkle import ListTree
from chain.payment import Payment, SignedPayment
from chain.primitives import Address, Hash, Signature
from chain.signatures import sign_digest
from chain.state import State
from chain.transition import (
    apply_block_end,
    apply_cut,
    apply_deposit,
    apply_instruction,
    apply_payment,
    check_cut,
    check_deposit,
    check_instruction,
    check_payment,
    check_upload,
    compute_block_timestamp,
    list_asset,
)
from node.entries import BLOCK_PREFIX, encode_asset, encode_cut, encode_seal
from node.journal import Journal
from node.verification import Verified

MAX_BLOCK_RECORDS: Final = 4096
"""Records of one block: bounds the memory, the time to hash it, and the length of every receipt's proof (12)."""


class SequencerStopped(RuntimeError):
    """The node is stopping, or its journal failed: nothing more is ordered."""


class PublishedBlock(msgspec.Struct, frozen=True):
    """A durable block with what receipts are cut from."""

    header: Header
    hash: Hash
    signature: Signature
    records: list[Record]
    tree: ListTree


class Placed(msgspec.Struct, frozen=True, gc=False):
    """A payment or instruction is in the ledger, durably, at this place."""

    block: int
    index: int


class Declined(msgspec.Struct, frozen=True):
    """A payment or instruction was refused. If its nonce is used, it may itself be what used it, long ago."""

    refusal: Refusal
    is_nonce_used: bool


Outcome: TypeAlias = Placed | Declined


class _Submission(msgspec.Struct):
    orders: list[Verified]
    done: "asyncio.Future[list[Outcome]]"
    outcomes: list[Outcome] = []
    next: int = 0
    """How many have been ordered: a long one may take several blocks."""


class _Upload(msgspec.Struct):
    """A listing and the payment of its upload: both or neither."""

    listing: Verified
    payment: Verified
    done: "asyncio.Future[list[Placed] | Declined]"
    outcome: list[Placed] | Declined | None = None


class _Deposits(msgspec.Struct):
    deposits: list[Deposit]
    done: "asyncio.Future[None]"


class _Event(msgspec.Struct):
    """An entry of its own, between blocks. `apply` writes to the state and returns the entry."""

    apply: Callable[[], bytes]
    done: "asyncio.Future[None]"


_Records: TypeAlias = _Submission | _Upload | _Deposits
_Request: TypeAlias = _Records | _Event


class _Draft:
    """A block being filled."""

    __slots__ = ("encoded", "records", "timestamp", "waiting")

    def __init__(self, timestamp: int) -> None:
        self.timestamp = timestamp
        self.records: list[Record] = []
        self.encoded: list[bytes] = []
        self.waiting: list[_Records] = []
        """Answered when this block is durable."""


class _Undo:
    """What a draft changed, as it was before."""

    __slots__ = ("balances", "nonces", "roles")

    def __init__(self) -> None:
        self.balances: dict[tuple[Address, Address], int] = {}
        """(asset, account) → base units."""
        self.nonces: dict[Address, NonceWindow] = {}
        self.roles: dict[Address, Roles] = {}


class Sequencer:
    """`submit`, `submit_upload`, `credit_deposits`, `list_asset`, `cut` and `append_seal` take their turns in one
    queue."""

    def __init__(
        self,
        state: State,
        journal: Journal,
        operator_key: PrivateKey,
        clock_ms: Callable[[], int],
        on_durable: Callable[[PublishedBlock | None], None],
        min_interval_s: float = 0.0,
    ) -> None:
        """`on_durable` hears of every entry once it is durable: the block, or None for entries that are none.
        `min_interval_s` passes between the beginnings of two blocks' writes, unless the second one is full."""
        self.state = state
        self._journal = journal
        self._key = operator_key
        self._clock_ms = clock_ms
        self._on_durable = on_durable
        self._min_interval_s = min_interval_s
        self._next_write_at = 0.0
        """The loop's time before which a draft that has room is left to fill."""
        self._is_waking = False
        self._queue: deque[_Request] = deque()
        self._arrived = asyncio.Event()
        self._writer = ThreadPoolExecutor(1, "journal")
        self._draft: _Draft | None = None
        self._is_writing = False
        self._in_flight: Sequence[_Request] = ()
        """Whom the write that is under way will answer."""
        self._undo: deque[_Undo] = deque([_Undo()])
        self._recent: dict[Hash, Placed] = {}
        self._recent_blocks: deque[tuple[int, list[Hash]]] = deque()
        self._queued_orders = 0
        self._failure: BaseException | None = None
        self.durable_block = state.block_number
        self.durable_epoch = state.epoch
        self.epoch_records = 0
        """Records in the open epoch, durable or about to be."""

    # --- what others ask of it

    @property
    def backlog(self) -> int:
        """Payments and instructions that wait to be ordered."""
        return self._queued_orders

    @property
    def unindexed(self) -> int:
        """Payments remembered here because the index has not reached them yet."""
        return len(self._recent)

    async def submit(self, orders: list[Verified]) -> list[Outcome]:
        """Orders payments and instructions as one after another. Returns when everything that the outcomes rest on is
        durable. Raises `SequencerStopped`."""
        submission = _Submission(orders, asyncio.get_running_loop().create_future(), [])
        self._queued_orders += len(orders)
        self._put(submission)
        return await submission.done

    async def submit_upload(self, listing: Verified, payment: Verified) -> list[Placed] | Declined:
        """Orders a `ListFile` and the payment of its upload, one right after the other in one block, or neither.
        Returns their places when they are durable. Raises `SequencerStopped`."""
        upload = _Upload(listing, payment, asyncio.get_running_loop().create_future())
        self._queued_orders += 2
        self._put(upload)
        return await upload.done

    async def credit_deposits(self, deposits: list[Deposit]) -> None:
        """Credits the next deposits of their assets; returns when that is durable. Those already credited are passed
        over. Raises `SequencerStopped`."""
        for at in range(0, len(deposits), MAX_BLOCK_RECORDS):
            request = _Deposits(deposits[at : at + MAX_BLOCK_RECORDS], asyncio.get_running_loop().create_future())
            self._put(request)
            await request.done

    async def list_asset(self, asset: Address) -> None:
        """Takes the next asset of the contract's list; returns when that is durable. Raises `SequencerStopped`."""

        def apply() -> bytes:
            list_asset(self.state, asset)
            return encode_asset(asset)

        await self._put_event(apply)

    async def cut(self, choose_cut_at: Callable[[], int]) -> int:
        """Ends the open epoch at the next block boundary. Returns its cutAt (ms), durable. Raises `SequencerStopped`.

        `choose_cut_at` is called at the boundary; what it returns is raised to the last block's time if that is later.
        """
        chosen: list[int] = []

        def apply() -> bytes:
            state = self.state
            cut_at = max(choose_cut_at(), state.timestamp, state.last_cut_at + 1)
            epoch = state.epoch
            check_cut(state, epoch, cut_at)
            apply_cut(state, cut_at)
            self.epoch_records = 0
            chosen.append(cut_at)
            return encode_cut(epoch, cut_at)

        await self._put_event(apply)
        return chosen[0]

    async def append_seal(self, commitment: Commitment, signature: Signature) -> None:
        """Records the signed commitment of an epoch that was cut; returns when that is durable."""
        await self._put_event(lambda: encode_seal(commitment, signature))

    def get_balance(self, asset: Address, account: Address) -> int:
        """The durable balance: what is applied but not on disk yet is not seen."""
        for undo in self._undo:
            before = undo.balances.get((asset, account))
            if before is not None:
                return before
        return self.state.get_balance(asset, account)

    def get_nonces(self, account: Address) -> NonceWindow:
        """The durable nonce window."""
        for undo in self._undo:
            before = undo.nonces.get(account)
            if before is not None:
                return before
        return self.state.get_nonces(account)

    def get_roles(self, account: Address) -> Roles:
        """The durable roles."""
        for undo in self._undo:
            before = undo.roles.get(account)
            if before is not None:
                return before
        return self.state.get_roles(account)

    @property
    def next_timestamp(self) -> int:
        """Milliseconds: of a block opened now."""
        return compute_block_timestamp(self.state, self._clock_ms())

    def check(self, payment: Payment) -> None:
        """Raises the refusal that the payment would meet if it came now; its structure must have been checked."""
        check_payment(self.state, payment, self.next_timestamp)

    def check_upload(self, listing: ListFile, payment: Payment) -> None:
        """Likewise of a listing and the payment of its upload."""
        check_upload(self.state, listing, payment, self.next_timestamp)

    def find_recent(self, record_id: Hash) -> Placed | None:
        """Where a payment or instruction stands, if its block is durable and the index may not know it yet."""
        placed = self._recent.get(record_id)
        return placed if placed is not None and placed.block <= self.durable_block else None

    async def drain(self) -> None:
        """Returns when all that was asked until now is durable and answered. Raises `SequencerStopped`."""
        if self._queue or self._draft is not None or self._is_writing:
            barrier = _Deposits([], asyncio.get_running_loop().create_future())
            self._put(barrier)
            await barrier.done

    def forget_until(self, height: int) -> None:
        """The index has every journal entry below `height`."""
        while self._recent_blocks and self._recent_blocks[0][0] < height:
            for record_id in self._recent_blocks.popleft()[1]:
                del self._recent[record_id]

    def remember(self, height: int, block: int, record_ids: list[Hash]) -> None:
        """At start-up, in order: a block at this height of the journal, which the index has not reached."""
        for index, record_id in enumerate(record_ids):
            self._recent[record_id] = Placed(block, index)
        self._recent_blocks.append((height, record_ids))

    # --- the loop

    async def run(self) -> None:
        """Runs until cancelled. Any failure is final: the journal's state is unknown, and replay is the way back."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                if self._failure is not None:
                    raise self._failure
                self._fill()
                if not self._is_writing and not self._is_held() and self._write_next():
                    self._arrived.set()  # the disk is busy: fill the next block meanwhile
        finally:
            self._stop()

    def _fill(self) -> None:
        """CHECK and APPLY, as long as the draft has room and blocks are what comes next."""
        while self._queue:
            request = self._queue[0]
            if isinstance(request, _Event):
                return
            if self._draft is None:
                self._draft = _Draft(self.next_timestamp)
            draft = self._draft
            if isinstance(request, _Submission):
                if not self._order(request, draft):
                    return
            elif isinstance(request, _Upload):
                if len(draft.records) + 2 > MAX_BLOCK_RECORDS:
                    return
                self._order_upload(request, draft)
            else:
                if len(draft.records) + len(request.deposits) > MAX_BLOCK_RECORDS:
                    return
                for deposit in request.deposits:
                    self._credit(deposit, draft)
            # Answered with the draft, even if it added nothing to it: its outcomes may rest on the write under way.
            self._queue.popleft()
            draft.waiting.append(request)

    def _order(self, submission: _Submission, draft: _Draft) -> bool:
        """Whether all of it has been ordered; False when the draft is full."""
        records, outcomes = draft.records, submission.outcomes
        for position in range(submission.next, len(submission.orders)):
            verified = submission.orders[position]
            signed = verified.signed
            placed = self._recent.get(signed.id)
            if placed is not None:
                outcomes.append(placed)
                continue
            if len(records) >= MAX_BLOCK_RECORDS:
                submission.next = position
                return False
            try:
                if isinstance(signed, SignedPayment):
                    check_payment(self.state, signed.payment, draft.timestamp)
                else:
                    check_instruction(self.state, signed.instruction, draft.timestamp)
            except Refusal as refusal:
                outcomes.append(Declined(refusal, self._is_nonce_used(signed)))
                continue
            outcomes.append(self._enter(verified, draft))
        self._queued_orders -= len(submission.orders)
        return True

    def _order_upload(self, upload: _Upload, draft: _Draft) -> None:
        self._queued_orders -= 2
        listing, payment = upload.listing.signed, upload.payment.signed
        assert isinstance(listing, SignedInstruction) and isinstance(payment, SignedPayment)
        known = [self._recent.get(listing.id), self._recent.get(payment.id)]
        places = [place for place in known if place is not None]
        if len(places) == len(known):
            upload.outcome = places
            return
        assert isinstance(listing.instruction, ListFile)
        try:
            check_upload(self.state, listing.instruction, payment.payment, draft.timestamp)
        except Refusal as refusal:
            is_used = self._is_nonce_used(listing) or self._is_nonce_used(payment)
            upload.outcome = Declined(refusal, is_used)
        else:
            upload.outcome = [self._enter(upload.listing, draft), self._enter(upload.payment, draft)]

    def _enter(self, verified: Verified, draft: _Draft) -> Placed:
        """Applies what has just been checked, and gives it its place."""
        state, signed = self.state, verified.signed
        if isinstance(signed, SignedPayment):
            self._note_payment(signed.payment)
            apply_payment(state, signed, draft.timestamp)
        else:
            self._note_instruction(signed.instruction)
            apply_instruction(state, signed, draft.timestamp)
        placed = self._recent[signed.id] = Placed(state.block_number + 1, len(draft.records))
        draft.records.append(signed)
        draft.encoded.append(verified.record)
        return placed

    def _note_payment(self, payment: Payment) -> None:
        """As things are before it, for those who must not see it until it is durable."""
        undo, asset, payer = self._undo[-1], payment.asset, payment.payer
        balances = self.state.balances[asset]
        undo.nonces.setdefault(payer, self.state.get_nonces(payer))
        undo.balances.setdefault((asset, payer), balances[payer])
        for output in payment.outputs:
            undo.balances.setdefault((asset, output.to), balances.get(output.to, 0))

    def _note_instruction(self, instruction: Instruction) -> None:
        undo, account = self._undo[-1], instruction.account
        undo.nonces.setdefault(account, self.state.get_nonces(account))
        changed = instruction.owner if isinstance(instruction, ListFile) else account
        undo.roles.setdefault(changed, self.state.get_roles(changed))

    def _is_nonce_used(self, signed: SignedPayment | SignedInstruction) -> bool:
        if isinstance(signed, SignedPayment):
            return self.state.get_nonces(signed.payment.payer).is_used(signed.payment.nonce)
        return self.state.get_nonces(signed.instruction.account).is_used(signed.instruction.nonce)

    def _credit(self, deposit: Deposit, draft: _Draft) -> None:
        if deposit.index < self.state.deposit_counts.get(deposit.asset, 0):
            return  # told twice; the contract's queue index makes that harmless
        check_deposit(self.state, deposit)
        key = (deposit.asset, deposit.account)
        self._undo[-1].balances.setdefault(key, self.state.get_balance(*key))
        apply_deposit(self.state, deposit)
        draft.records.append(deposit)
        draft.encoded.append(encode_record(deposit))

    def _is_held(self) -> bool:
        """Whether the draft is left to fill a little longer. A block costs as much as several payments (a signature, a
        trip to the disk's thread, a row of each follower), so under load a few payments wait for each other."""
        draft = self._draft
        if draft is None:
            return False
        loop = asyncio.get_running_loop()
        remaining_s = self._next_write_at - loop.time()
        # What is still queued did not fit, or ends the block.
        if self._queue or len(draft.records) >= MAX_BLOCK_RECORDS or remaining_s <= 0:
            return False
        if not self._is_waking:
            self._is_waking = True
            loop.call_later(remaining_s, self._wake)
        return True

    def _wake(self) -> None:
        self._is_waking = False
        self._arrived.set()

    def _write_next(self) -> bool:
        """Closes the draft, or takes the event that is next, and starts writing it. Whether there was any to take."""
        draft = self._draft
        if draft is not None:
            if draft.records:
                self._write_block(draft)
            else:
                self._answer_all(draft.waiting)
            self._draft = None
            return True
        if self._queue and isinstance(event := self._queue[0], _Event):
            entry = event.apply()
            self._queue.popleft()
            self._write(entry, None, [event], lambda: self._publish_event(event))
            return True
        return False

    def _write_block(self, draft: _Draft) -> None:
        state = self.state
        tree = build_records_tree(draft.records)
        header = Header(state.block_number + 1, state.block_hash, draft.timestamp, tree.root, len(draft.records))
        block_hash = hash_header(header, state.parameters.domain)
        apply_block_end(state, header.number, block_hash, draft.timestamp)
        self.epoch_records += len(draft.records)
        self._next_write_at = asyncio.get_running_loop().time() + self._min_interval_s
        entry = BLOCK_PREFIX + encode_block(header, draft.encoded)
        self._write(entry, header.number, draft.waiting, lambda: self._publish_block(header, block_hash, draft, tree))

    def _write(
        self, entry: bytes, block_number: int | None, waiting: Sequence[_Request], publish: Callable[[], None]
    ) -> None:
        height = self._journal.height
        self._is_writing = True
        self._in_flight = waiting
        self._undo.append(_Undo())
        writing = asyncio.get_running_loop().run_in_executor(
            self._writer, self._journal.append, height, entry, block_number
        )
        writing.add_done_callback(lambda done: self._finish_write(done, publish))

    def _finish_write(self, done: "asyncio.Future[None]", publish: Callable[[], None]) -> None:
        """Publishes what is durable now. A failure, also of whoever hears of it, is for `run` to raise."""
        if self._failure is not None:
            return  # stopped while the disk was busy; recovery takes it from here
        try:
            done.result()
            self._undo.popleft()
            publish()
        except BaseException as error:  # noqa: BLE001
            self._failure = error
        else:
            self._is_writing = False
            self._in_flight = ()
        self._arrived.set()

    def _publish_block(self, header: Header, block_hash: Hash, draft: _Draft, tree: ListTree) -> None:
        signature = sign_digest(self._key, block_hash)
        self._journal.put_signature(header.number, signature)
        self.durable_block = header.number
        ids = [record.id for record in draft.records if type(record) is not Deposit]
        self._recent_blocks.append((self._journal.height - 1, ids))
        self._on_durable(PublishedBlock(header, block_hash, signature, draft.records, tree))
        self._answer_all(draft.waiting)

    def _publish_event(self, event: _Event) -> None:
        self.durable_epoch = self.state.epoch
        self._on_durable(None)
        if not event.done.done():
            event.done.set_result(None)

    def _answer_all(self, requests: Iterable[_Records]) -> None:
        for request in requests:
            self._answer(request)

    @staticmethod
    def _answer(request: _Records) -> None:
        if request.done.done():  # the asker has gone
            return
        if isinstance(request, _Submission):
            request.done.set_result(request.outcomes)
        elif isinstance(request, _Upload):
            assert request.outcome is not None
            request.done.set_result(request.outcome)
        else:
            request.done.set_result(None)

    def _put(self, request: _Request) -> None:
        if self._failure is not None:
            raise SequencerStopped("the sequencer has stopped")
        self._queue.append(request)
        self._arrived.set()

    async def _put_event(self, apply: Callable[[], bytes]) -> None:
        event = _Event(apply, asyncio.get_running_loop().create_future())
        self._put(event)
        await event.done

    def _stop(self) -> None:
        self._failure = self._failure or SequencerStopped("the sequencer has stopped")
        self._writer.shutdown(wait=True)
        drafted = self._draft.waiting if self._draft else ()
        for request in [*self._in_flight, *drafted, *self._queue]:
            if not request.done.done():
                request.done.set_exception(SequencerStopped("the sequencer has stopped"))
        self._queue.clear()
