"""The archive: everything the node can show of what is durable. Reads only; nothing here knows what comes next.

Blocks and payments come from the journal, found through the index; proofs of accounts from what the sealer left; what
Ethereum has of it from the committer.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Final, TypeVar

import msgspec

from chain import wire
from chain.block import Block, Deposit, Header, Record, build_records_tree, decode_block, hash_header
from chain.commitment import Commitment
from chain.errors import InvalidProof, MalformedRequest, NotFound
from chain.evidence import WithdrawalClaim, build_withdrawal_claim, get_line
from chain.instruction import SignedInstruction
from chain.kinds import WITHDRAW
from chain.merkle import ListTree
from chain.params import Parameters
from chain.payment import SignedPayment
from chain.primitives import MAX_U64, Address, Hash, Signature
from chain.receipt import Inclusion
from chain.registry import RegistryKey
from node.epochs import EpochKeeper
from node.ethereum.committer import Committer
from node.ethereum.submission import Attempt, EpochState, EpochStatus
from node.follower import Progress
from node.index import IndexReader, Page, PaymentFilter, Seal, StatementEntry
from node.journal import Journal
from node.payment_status import Commitments, PaymentStatus, compute_payment_status
from node.proofs import ProofReader
from node.refusals import Overloaded
from node.sequencer import Placed, PublishedBlock, Sequencer
from node.verification import Verified

_CACHED_BLOCKS: Final = 256
_CACHED_RECORDS: Final = 100_000
"""Some 100 MB. Full blocks have 4,096."""

_MAX_LOADING: Final = 64
"""Who may wait for a block that is not at hand."""

_SLICE: Final = 256
"""Records shown at a stretch: a few milliseconds. Payments come first."""

_CACHED_TREES: Final = 4
_INDEX_PATIENCE_SECONDS: Final = 5.0
"""How long a look-up waits for the index to show what was durable when it was asked."""

_STATEMENT_PAGE: Final = 500

_Answer = TypeVar("_Answer")


class BlockView:
    """A durable block, with what is cut from it made when first asked for."""

    def __init__(
        self, header: Header, block_hash: Hash, signature: Signature, records: tuple[Record, ...] | list[Record]
    ) -> None:
        self.header = header
        self.hash = block_hash
        self.signature = signature
        self.records = records

    @classmethod
    def of(cls, block: PublishedBlock) -> "BlockView":
        view = cls(block.header, block.hash, block.signature, block.records)
        view.__dict__["tree"] = block.tree
        return view

    @cached_property
    def weight(self) -> int:
        """Records, each with its outputs."""
        return sum([len(record.payment.outputs) if type(record) is SignedPayment else 1 for record in self.records])

    @cached_property
    def tree(self) -> ListTree:
        return build_records_tree(self.records)

    @cached_property
    def json(self) -> msgspec.Raw:
        """The header as receipts show it."""
        return msgspec.Raw(msgspec.json.encode(wire.encode_header(self.header, self.hash, self.signature)))


class Archive:
    def __init__(
        self,
        parameters: Parameters,
        journal: Journal,
        durable: Progress,
        index: IndexReader,
        indexed: Progress,
        proofs: ProofReader,
        sequencer: Sequencer,
        committer: Committer,
        epochs: EpochKeeper,
    ) -> None:
        """`durable` and `indexed` are heights: of the journal, and of what the index has of it."""
        self._parameters = parameters
        self._journal = journal
        self._durable = durable
        self._index = index
        self._indexed = indexed
        self._proofs = proofs
        self._sequencer = sequencer
        self._committer = committer
        self._epochs = epochs
        self._domain_json = msgspec.Raw(msgspec.json.encode(wire.encode_domain(parameters.domain)))
        self._blocks: OrderedDict[int, BlockView] = OrderedDict()
        self._kept_records = 0
        self._block_trees: OrderedDict[int, ListTree] = OrderedDict()
        self._tree_lock = asyncio.Lock()
        self._index_threads = ThreadPoolExecutor(2, "index")
        self._proof_thread = ThreadPoolExecutor(1, "proofs")
        self._block_thread = ThreadPoolExecutor(1, "blocks")
        self._load_lock = asyncio.Lock()
        self._loading = 0

    def close(self) -> None:
        self._index_threads.shutdown()
        self._proof_thread.shutdown()
        self._block_thread.shutdown()

    # --- blocks

    def take_block(self, block: PublishedBlock) -> None:
        """Keeps a block that has just become durable at hand: its receipts are about to be cut."""
        self._keep(BlockView.of(block))

    def find_block_at_hand(self, number: int) -> BlockView | None:
        """None when it would have to be read."""
        return self._blocks.get(number)

    async def load_block(self, number: int, *, is_kept: bool = True) -> BlockView:
        """A durable block. What is not at hand is read and decoded in a thread, which for a full one takes a good part
        of a second: payments come first. `is_kept` is for those who will ask again; who reads block after block pushes
        nothing out that others need.

        Raises `NotFound`; `Overloaded` when too many wait for blocks already.
        """
        view = self._blocks.get(number)
        if view is not None:
            return view
        if self._loading >= _MAX_LOADING:
            raise Overloaded(self._loading)
        self._loading += 1
        try:
            async with self._load_lock:
                view = self._blocks.get(number)  # who waited before may have wanted the same
                if view is None:
                    view = await self._load(lambda: self._read_block(number))
                    if is_kept:
                        self._keep(view)
                return view
        finally:
            self._loading -= 1

    async def describe_block(self, number: int) -> dict[str, Any]:
        """Header, signature and records. Raises `NotFound`."""
        view = await self.load_block(number)
        records: list[dict[str, Any]] = []
        for at in range(0, len(view.records), _SLICE):
            records += [wire.encode_record(record) for record in view.records[at : at + _SLICE]]
            await asyncio.sleep(0)
        block = wire.encode_block(view.header, self._parameters.domain, view.signature, ())
        return {**block, "records": records}

    async def find_block(self, block_hash: Hash) -> int:
        """Raises `NotFound`."""
        block = await self.ask_index(lambda: self._index.find_block(block_hash))
        if block is None:
            raise NotFound(f"block {wire.encode_bytes(block_hash)}")
        return block.number

    # --- payments

    def encode_receipt(self, placed: Placed, verified: Verified) -> bytes:
        """The receipt of a payment or instruction that has just become durable, as JSON."""
        # At hand: it has become durable a moment ago. Under a load that pushes it out by then, it is read once more.
        view = self._blocks.get(placed.block) or self._read_block(placed.block)
        return encode_fresh_receipt(placed, verified, view, self._domain_json)

    async def get_receipt(self, record_id: Hash) -> dict[str, Any]:
        """Of a payment or an instruction. Raises `NotFound`."""
        block, index = await self._locate(record_id)
        return await self._build_receipt(block, index)

    async def get_record(self, record_id: Hash) -> SignedPayment | SignedInstruction:
        """A payment or instruction as it stands in its block. Raises `NotFound`."""
        return (await self._load_signed(*await self._locate(record_id)))[1]

    async def get_payment(self, payment_id: Hash) -> dict[str, Any]:
        """The payment and how far it has come. Raises `NotFound`."""
        block, index = await self._locate(payment_id)
        view, signed = await self._load_payment(block, index)
        epoch, status = await self._get_epoch_of(block)
        inclusion = status.inclusion if status is not None else None
        return {
            "id": wire.encode_bytes(signed.id),
            "status": compute_payment_status(status),
            "payment": wire.encode_payment(signed.payment),
            "signature": wire.encode_bytes(signed.signature),
            "block": hex(block),
            "index": hex(index),
            "timestamp": hex(view.header.timestamp),
            "epoch": hex(epoch),
            "l1Transaction": None if inclusion is None else wire.encode_bytes(inclusion.l1_transaction),
        }

    async def prove_payment(self, payment_id: Hash) -> dict[str, Any]:
        """The receipt, and what claims a withdrawal once its epoch is sealed. Raises `NotFound`."""
        block, index = await self._locate(payment_id)
        receipt = await self._build_receipt(block, index)
        signed = (await self._load_payment(block, index))[1]
        claim, asset_index = None, None
        if signed.payment.kind == WITHDRAW:
            epoch, status = await self._get_epoch_of(block)
            if status is not None:
                claim = await self._build_claim(payment_id, epoch, signed.payment.asset)
                seal = await self._get_seal(epoch)
                asset_index = get_line(seal.commitment, signed.payment.asset)[1]
        return {
            "receipt": receipt,
            "withdrawal": None if claim is None else wire.encode_withdrawal_claim(claim),
            "assetIndex": None if asset_index is None else hex(asset_index),
        }

    async def describe_record(self, block: int, index: int) -> dict[str, Any]:
        """A record as `tally_getBlock` lists it. Raises `NotFound`."""
        records = (await self.load_block(block)).records
        if index >= len(records):
            raise NotFound(f"record {index} of block {block}")
        return wire.encode_record(records[index])

    async def list_payments(self, wanted: PaymentFilter, cursor: str | None, limit: int) -> dict[str, Any]:
        """Receipts without siblings, newest first."""
        page = await self.ask_index(lambda: self._index.list_payments(wanted, cursor, limit))
        items = await self.describe_items([(item.block, item.record, item.epoch) for item in page.items])
        return {"items": items, "cursor": page.cursor}

    async def describe_items(self, places: Sequence[tuple[int, int, int]]) -> list[dict[str, Any]]:
        """Payments and instructions at (block, record, epoch), as lists show them."""
        # A page spans few epochs, and each costs several reads of the committer's file: asked once.
        statuses = {
            epoch: compute_payment_status(self._committer.get_epoch(epoch)) for epoch in {place[2] for place in places}
        }
        items = []
        for block, index, epoch in places:
            view, signed = await self._load_signed(block, index)
            items.append(self.describe_item(view, index, signed, statuses[epoch]))
            await asyncio.sleep(0)  # reading a block takes its time; payments come first
        return items

    def describe_item(
        self, view: BlockView, index: int, signed: SignedPayment | SignedInstruction, status: str
    ) -> dict[str, Any]:
        """A payment as lists show it: its receipt without siblings."""
        receipt = wire.encode_receipt(
            signed,
            status,
            self._domain_json,
            _encode_content(signed),
            view.json,
            index,
            (),
            None,
        )
        del receipt["siblings"]
        return receipt

    # --- epochs

    @property
    def commitments(self) -> Commitments:
        return Commitments(self._committer.mined_epoch, self._committer.final_epoch)

    @property
    def sealed_epoch(self) -> int:
        """0 for none."""
        return self._epochs.sealed_epoch

    @property
    def final_epoch(self) -> int:
        """0 for none."""
        return self._committer.final_epoch

    async def describe_commitment(self, epoch: int) -> dict[str, Any]:
        """A sealed epoch's commitment and its way to Ethereum. Raises `NotFound`."""
        seal = await self._get_seal(epoch)
        return _describe_commitment(seal.commitment, seal.signature, self._committer.get_epoch(epoch))

    async def list_commitments(self, cursor: str | None, limit: int) -> dict[str, Any]:
        """Those of sealed epochs, newest first, each as `describe_commitment` shows it. Raises `MalformedRequest`
        (cursor, limit) and `Overloaded`."""
        newest = self._epochs.sealed_epoch
        if cursor is not None:
            newest = min(newest, wire.decode_quantity(cursor, "cursor", MAX_U64))
            if newest < 1:
                raise MalformedRequest("cursor: take it from the page before")
        if limit < 1:
            raise MalformedRequest("limit: at least 1")
        oldest = max(1, newest - limit + 1)
        # One after the other: there is no hurry, and payments come between.
        items = [await self.describe_commitment(epoch) for epoch in range(newest, oldest - 1, -1)]
        return {"items": items, "cursor": hex(oldest - 1) if oldest > 1 else None}

    def describe_way(self, epoch: int) -> tuple[EpochStatus, dict[str, Any]] | None:
        """As `describe_commitment`, of what the committer has been given, and of this very moment. None before that."""
        seal, status = self._committer.get_commitment(epoch), self._committer.get_epoch(epoch)
        if seal is None or status is None:
            return None
        return status, _describe_commitment(seal.commitment, seal.signature, status)

    async def prove_entry(self, key: RegistryKey, epoch: int) -> dict[str, Any]:
        """A registry entry as of the end of a sealed epoch. Raises `NotFound`."""
        seal = await self._get_seal(epoch)
        proof = await self.ask_proofs(lambda: self._proofs.prove_entry(key, epoch))
        return {"epoch": hex(epoch), "commitment": _describe_seal(seal), **wire.encode_registry_proof(proof)}

    async def prove_account(self, account: Address, asset: Address, epoch: int) -> dict[str, Any]:
        """An account's leaf as of the end of a sealed epoch. Raises `NotFound`."""
        seal = await self._get_seal(epoch)
        try:
            line, asset_index = get_line(seal.commitment, asset)
        except InvalidProof as error:
            raise NotFound(str(error)) from error
        proof = await self.ask_proofs(lambda: self._proofs.prove_account(asset, account, epoch, line.account_count))
        return {
            "epoch": hex(epoch),
            "commitment": _describe_seal(seal),
            "assetIndex": hex(asset_index),
            **wire.encode_account_proof(proof),
        }

    async def describe_statement(
        self, account: Address, asset: Address, epoch: int, cursor: str | None
    ) -> dict[str, Any]:
        """A page of what went in and out, in ledger order. Roots are known once the epoch is sealed. Raises `NotFound`
        for an epoch that has not begun."""
        index = self._index
        totals = await self.ask_index(lambda: index.get_statement_totals(account, asset, epoch))
        if totals is None:
            raise NotFound(f"epoch {epoch}")
        page: Page[StatementEntry] = await self.ask_index(
            lambda: index.list_entries(account, asset, epoch, cursor, _STATEMENT_PAGE)
        )
        roots = await self._find_statement_roots(account, asset, epoch)
        return {
            "address": wire.encode_address(account),
            "asset": wire.encode_address(asset),
            "epoch": hex(epoch),
            "opening": hex(totals.opening),
            "closing": hex(totals.closing),
            "debitsSum": hex(totals.debits),
            "creditsSum": hex(totals.credits),
            "debitsRoot": None if roots is None else wire.encode_bytes(roots[0]),
            "creditsRoot": None if roots is None else wire.encode_bytes(roots[1]),
            "debits": [_describe_debit(entry) for entry in page.items if not entry.is_credit],
            "credits": [_describe_credit(entry) for entry in page.items if entry.is_credit],
            "cursor": page.cursor,
        }

    # --- how it is found

    def _keep(self, view: BlockView) -> None:
        before = self._blocks.pop(view.header.number, None)
        self._kept_records += view.weight - (0 if before is None else before.weight)
        self._blocks[view.header.number] = view
        while len(self._blocks) > 1 and (len(self._blocks) > _CACHED_BLOCKS or self._kept_records > _CACHED_RECORDS):
            self._kept_records -= self._blocks.popitem(last=False)[1].weight

    def _read_block(self, number: int) -> BlockView:
        height = self._journal.get_block_height(number) if number <= self._sequencer.durable_block else None
        entry = None if height is None else self._journal.get(height)
        signature = self._journal.get_signature(number)
        if entry is None or signature is None:
            raise NotFound(f"block {number}")
        block: Block = decode_block(entry[1:])
        return BlockView(block.header, hash_header(block.header, self._parameters.domain), signature, block.records)

    async def _load_payment(self, block: int, index: int) -> tuple[BlockView, SignedPayment]:
        view = await self.load_block(block)
        record = view.records[index]
        if not isinstance(record, SignedPayment):
            what = "a deposit's" if isinstance(record, Deposit) else "an instruction's"
            raise NotFound(f"a payment with the id {wire.encode_bytes(record.id)}, which is {what},")
        return view, record

    async def _load_signed(self, block: int, index: int) -> tuple[BlockView, SignedPayment | SignedInstruction]:
        view = await self.load_block(block)
        record = view.records[index]
        if isinstance(record, Deposit):
            raise NotFound(f"a receipt of {wire.encode_bytes(record.id)}, which is a deposit's,")
        return view, record

    async def _load(self, question: Callable[[], _Answer]) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._block_thread, question)

    async def _locate(self, record_id: Hash) -> tuple[int, int]:
        recent = self._sequencer.find_recent(record_id)
        if recent is not None:
            return recent.block, recent.index
        place = await self.ask_index(lambda: self._index.locate(record_id), is_patient=False)
        if place is None:
            raise NotFound(f"a payment or instruction {wire.encode_bytes(record_id)}")
        return place

    async def _build_receipt(self, block: int, index: int) -> dict[str, Any]:
        view, signed = await self._load_signed(block, index)
        if "tree" not in view.__dict__:  # thousands of hashes
            await self._load(lambda: view.tree)
        tree = view.tree
        epoch, status = await self._get_epoch_of(block)
        commitment = None
        if status is not None and status.inclusion is not None:
            commitment = wire.encode_inclusion(await self._build_inclusion(block, epoch, status))
        return wire.encode_receipt(
            signed,
            compute_payment_status(status),
            self._domain_json,
            _encode_content(signed),
            view.json,
            index,
            tree.prove(index),
            commitment,
        )

    async def _build_inclusion(self, block: int, epoch: int, status: EpochStatus) -> Inclusion:
        assert status.inclusion is not None
        seal, tree = await self._get_seal(epoch), await self._get_block_tree(epoch)
        place = block - seal.commitment.first_block
        return Inclusion(
            commitment=seal.commitment,
            index=place,
            siblings=tuple(tree.prove(place)),
            l1_transaction=status.inclusion.l1_transaction,
            included_at=status.inclusion.included_at,
        )

    async def _get_epoch_of(self, block: int) -> tuple[int, EpochStatus | None]:
        """The block's epoch, and what has become of it since it was sealed."""
        epoch = await self._ask_for_good(lambda: self._index.get_epoch_of_block(block))
        if epoch is None:
            raise NotFound(f"block {block}")
        return epoch, self._committer.get_epoch(epoch)

    async def _get_seal(self, epoch: int) -> Seal:
        seal = await self._ask_for_good(lambda: self._index.get_seal(epoch))
        if seal is None:
            raise NotFound(f"a commitment of epoch {epoch}")
        return seal

    async def _get_block_tree(self, epoch: int) -> ListTree:
        """Of an epoch whose seal the index has. Built once for all who ask as soon as it is committed."""
        async with self._tree_lock:
            tree = self._block_trees.get(epoch)
            if tree is None:
                hashes = await self.ask_index(
                    lambda: _read_all(lambda start: self._index.list_block_hashes(epoch, start)), is_patient=False
                )
                tree = self._block_trees[epoch] = ListTree(hashes)
                if len(self._block_trees) > _CACHED_TREES:
                    self._block_trees.popitem(last=False)
            return tree

    async def _build_claim(self, payment_id: Hash, epoch: int, asset: Address) -> WithdrawalClaim | None:
        def read() -> WithdrawalClaim | None:
            place = self._index.find_withdrawal(payment_id)
            if place is None:
                return None
            withdrawals = _read_all(lambda start: self._index.list_withdrawals(epoch, asset, start))
            return build_withdrawal_claim(asset, withdrawals, place.index)

        return await self.ask_index(read)

    async def _find_statement_roots(self, account: Address, asset: Address, epoch: int) -> tuple[Hash, Hash] | None:
        """None while the epoch is open, or when nothing of this account changed in it."""
        seal = await self.ask_index(lambda: self._index.get_seal(epoch))
        if seal is None:
            return None
        try:
            line, _ = get_line(seal.commitment, asset)
            proof = await self.ask_proofs(lambda: self._proofs.prove_account(asset, account, epoch, line.account_count))
        except (NotFound, InvalidProof):
            return None
        return (proof.leaf.debits_root, proof.leaf.credits_root) if proof.leaf.epoch == epoch else None

    async def ask_index(self, question: Callable[[], _Answer], *, is_patient: bool = True) -> _Answer:
        """Asks once the index shows all that is durable now. Raises `Overloaded` when that takes too long."""
        if is_patient:
            try:
                await asyncio.wait_for(self._indexed.reach(self._durable.value), _INDEX_PATIENCE_SECONDS)
            except TimeoutError as error:
                raise Overloaded(self._durable.value - self._indexed.value) from error
        return await asyncio.get_running_loop().run_in_executor(self._index_threads, question)

    async def _ask_for_good(self, question: Callable[[], _Answer | None]) -> _Answer | None:
        """What never changes once the index has it: waited for only while it is not there."""
        answer = await self.ask_index(question, is_patient=False)
        return await self.ask_index(question) if answer is None else answer

    async def ask_proofs(self, question: Callable[[], _Answer]) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._proof_thread, question)


def encode_fresh_receipt(placed: Placed, verified: Verified, view: BlockView, domain_json: Any) -> bytes:
    """The receipt of a payment or instruction that is durable and not committed yet, as JSON."""
    # Of two valid signatures over one payment, the first one is in the ledger: everybody gets the same receipt.
    signed = view.records[placed.index]
    assert not isinstance(signed, Deposit)
    return msgspec.json.encode(
        wire.encode_receipt(
            signed,
            PaymentStatus.ACCEPTED,
            domain_json,
            msgspec.Raw(verified.json),
            view.json,
            placed.index,
            view.tree.prove(placed.index),
            None,
        )
    )


def _encode_content(signed: SignedPayment | SignedInstruction) -> dict[str, Any]:
    if isinstance(signed, SignedPayment):
        return wire.encode_payment(signed.payment)
    return wire.encode_instruction(signed.instruction)


def _read_all(read: Callable[[int], list[_Answer]]) -> list[_Answer]:
    """All leaves of a tree, slice by slice."""
    leaves: list[_Answer] = []
    while part := read(len(leaves)):
        leaves += part
    return leaves


def _describe_seal(seal: Seal) -> dict[str, str | dict[str, Any]]:
    return {"message": wire.encode_commitment(seal.commitment), "signature": wire.encode_bytes(seal.signature)}


def _describe_commitment(commitment: Commitment, signature: Signature, status: EpochStatus | None) -> dict[str, Any]:
    inclusion = status.inclusion if status is not None else None
    final_at = None if status is None else status.final_at
    return {
        "epoch": hex(commitment.epoch),
        "message": wire.encode_commitment(commitment),
        "signature": wire.encode_bytes(signature),
        "status": EpochState.SEALED if status is None else status.state,
        "sealedAt": None if status is None else hex(status.sealed_at),
        "attempts": [] if status is None else [_describe_attempt(attempt) for attempt in status.attempts],
        "cost": hex(0 if status is None else status.cost),
        "l1Transaction": None if inclusion is None else wire.encode_bytes(inclusion.l1_transaction),
        "isOurs": None if status is None or inclusion is None else status.is_ours,
        "l1Block": None if inclusion is None else hex(inclusion.l1_block),
        "l1BlockHash": None if inclusion is None else wire.encode_bytes(inclusion.l1_block_hash),
        "includedAt": None if inclusion is None else hex(inclusion.included_at),
        "confirmations": None if status is None or inclusion is None else hex(status.confirmations),
        "finalAt": None if final_at is None else hex(final_at),
        "gasUsed": None if inclusion is None else hex(inclusion.gas_used),
        "effectiveGasPrice": None if inclusion is None else hex(inclusion.effective_gas_price),
    }


def _describe_attempt(attempt: Attempt) -> dict[str, Any]:
    gas_used, price = attempt.gas_used, attempt.effective_gas_price
    is_settled = gas_used is not None and price is not None
    return {
        "number": hex(attempt.number),
        "hash": wire.encode_bytes(attempt.hash),
        "nonce": hex(attempt.nonce),
        "type": "legacy" if attempt.is_legacy else "eip1559",
        "gasLimit": hex(attempt.gas_limit),
        "maxFeePerGas": hex(attempt.fees.max_fee),
        "maxPriorityFeePerGas": hex(attempt.fees.priority_fee),
        "sentAt": hex(attempt.sent_at),
        "outcome": attempt.outcome,
        "problem": attempt.problem or None,
        "gasUsed": None if gas_used is None else hex(gas_used),
        "effectiveGasPrice": None if price is None else hex(price),
        "cost": hex(attempt.cost) if is_settled else None,
    }


def _describe_debit(entry: StatementEntry) -> dict[str, Any]:
    return {**_describe_entry(entry), "number": hex(entry.number)}


def _describe_credit(entry: StatementEntry) -> dict[str, Any]:
    return {**_describe_entry(entry), "output": hex(entry.output)}


def _describe_entry(entry: StatementEntry) -> dict[str, Any]:
    return {
        "type": hex(entry.type),
        "block": hex(entry.block),
        "record": hex(entry.record),
        "id": wire.encode_bytes(entry.id),
        "amount": hex(entry.amount),
        "balance": hex(entry.balance),
    }
