"""The replay. Everything follows from parameters and records; what the operator signed and published is compared.

As long as the records make sense, a `chain.ledger.Ledger` replays them, recovering every signature, and its commitments
must be the published ones. After the first record that does not, balances and state roots cannot be recomputed any
more; what can be checked of a block, a commitment, or Ethereum by itself still is, to the end.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from chain import wire
from chain.block import DEPOSIT, Block, Deposit, build_records_tree, compute_request_id, hash_header
from chain.commitment import NO_COMMITMENT, Commitment, hash_commitment
from chain.errors import BrokenInvariant, Refusal
from chain.instruction import SignedInstruction, compute_instruction_id
from chain.instruction import check_structure as check_instruction_structure
from chain.ledger import Ledger
from chain.merkle import ListFrontier
from chain.params import Parameters
from chain.payment import SignedPayment, check_structure, compute_payment_id
from chain.primitives import ZERO_HASH, Address, Hash, Signature
from chain.signatures import check_signer
from client.audit.ethereum import ContractAudit
from client.audit.events import AssetListed, BlockRead, EpochCut, EpochSealed, Event, Unreadable
from client.audit.findings import Findings

_PROGRESS_EVERY: Final = 100
"""Blocks."""


class AuditReport(msgspec.Struct, frozen=True):
    blocks: int
    payments: int
    instructions: int
    deposits: int
    epochs: int
    confirmed_epochs: int
    """Of those, the ones whose commitment the contract stores."""
    confirmed_deposits: int
    totals: dict[Address, int]
    """asset → base units that all accounts hold after the last block; empty if the replay could not be finished."""
    is_replayed: bool
    """Whether every balance and root was recomputed."""


class Auditor:
    """Feed it the events of one ledger in order, then `finish`."""

    def __init__(
        self,
        parameters: Parameters,
        operator: Address,
        findings: Findings,
        contract: ContractAudit | None = None,
        on_block: Callable[[int], None] | None = None,
    ) -> None:
        self._domain = parameters.domain
        self._operator = operator
        self._findings = findings
        self._contract = contract
        self._on_block = on_block
        self._ledger: Ledger | None = Ledger(parameters, is_auditing=True)
        self._computed: dict[int, Commitment] = {}
        """Commitments of epochs that were cut and whose publication is still to come: one, or a few."""
        self._published = NO_COMMITMENT
        self._published_digest: Hash = ZERO_HASH
        self._number = 0
        self._hash: Hash = parameters.genesis_hash
        self._timestamp = 0
        self._cut_at = parameters.first_cut_at
        self._first_block = 1
        self._blocks = ListFrontier()
        self._cuts: dict[int, tuple[int, int, int, Hash]] = {}
        """epoch → (first block, last block, cutAt, blocks root), until it is published."""
        self._asset_count = 0
        self._payment_count = 0
        self._instruction_count = 0
        self._deposit_count = 0
        self._epoch_count = 0
        if contract is not None:
            contract.check_parameters(parameters, operator)

    def run(self, events: Iterable[Event]) -> AuditReport:
        for event in events:
            self.take(event)
        return self.finish()

    def take(self, event: Event) -> None:
        if isinstance(event, BlockRead):
            self._take_block(event)
        elif isinstance(event, EpochCut):
            self._take_cut(event)
        elif isinstance(event, EpochSealed):
            self._take_sealed(event)
        elif isinstance(event, AssetListed):
            self._take_asset(event)
        else:
            self._take_unreadable(event)

    def finish(self) -> AuditReport:
        if self._contract is not None:
            self._contract.finish(self._published.epoch)
        return AuditReport(
            blocks=self._number,
            payments=self._payment_count,
            instructions=self._instruction_count,
            deposits=self._deposit_count,
            epochs=self._epoch_count,
            confirmed_epochs=self._contract.confirmed_epochs if self._contract else 0,
            confirmed_deposits=self._contract.confirmed_deposits if self._contract else 0,
            totals=dict(self._ledger.state.totals) if self._ledger else {},
            is_replayed=self._ledger is not None,
        )

    # --- blocks

    def _take_block(self, event: BlockRead) -> None:
        block = event.block
        header, where = block.header, f"block {block.header.number}"
        block_hash = hash_header(header, self._domain)
        self._check_signature(block_hash, event.signature, where)
        if event.stated_hash is not None and event.stated_hash != block_hash:
            self._findings.add(where, f"its hash is {wire.encode_bytes(block_hash)}, not the one stated")
        if self._ledger is None:
            self._examine(block)
        else:
            self._replay(self._ledger, block)
        for index, record in enumerate(block.records):
            if isinstance(record, Deposit):
                self._deposit_count += 1
                if self._contract is not None:
                    self._contract.check_deposit(record, f"record {index} of {where}")
            elif isinstance(record, SignedInstruction):
                self._instruction_count += 1
            else:
                self._payment_count += 1
        self._number, self._hash = header.number, block_hash
        self._timestamp = max(self._timestamp, header.timestamp)
        self._blocks.append(block_hash)
        if self._on_block is not None and self._number % _PROGRESS_EVERY == 0:
            self._on_block(self._number)

    def _replay(self, ledger: Ledger, block: Block) -> None:
        try:
            ledger.apply_block(block)
        except BrokenInvariant as error:
            if not self._examine(block):
                self._findings.add(f"block {block.header.number}", str(error))
            self._stop_replay(f"block {block.header.number}")

    def _examine(self, block: Block) -> bool:
        """What can be said of a block without the state. Names everything that is wrong; says whether anything was."""
        header, where, found = block.header, f"block {block.header.number}", self._findings.count
        add = self._findings.add
        if header.number != self._number + 1:
            add(where, f"it comes where block {self._number + 1} is next")
        if header.previous != self._hash:
            add(where, "it does not name the block before it")
        if header.timestamp < self._timestamp or header.timestamp <= self._cut_at:
            add(where, f"it is dated {header.timestamp} ms, before what it follows")
        if header.record_count != len(block.records) or not block.records:
            add(where, f"it has {len(block.records)} records and says {header.record_count}")
        if build_records_tree(block.records).root != header.records_root:
            add(where, "its records do not lead to its records root")
        for index, record in enumerate(block.records):
            if isinstance(record, SignedPayment | SignedInstruction):
                self._examine_signed(record, f"record {index} of {where}")
            elif record.id != compute_request_id(DEPOSIT, record.asset, record.index):
                add(f"record {index} of {where}", "a deposit without the id of its place in the contract's queue")
        return self._findings.count > found

    def _examine_signed(self, signed: SignedPayment | SignedInstruction, where: str) -> None:
        """A payment or an instruction by itself: its structure, its id, its signature."""
        is_payment = isinstance(signed, SignedPayment)
        name = f"{'payment' if is_payment else 'instruction'} {wire.encode_bytes(signed.id)}"
        try:
            computed = self._compute_id(signed)
            if computed != signed.id:
                self._findings.add(where, f"{name}: its content gives id {wire.encode_bytes(computed)}")
            signer = signed.payment.payer if isinstance(signed, SignedPayment) else signed.instruction.account
            check_signer(signed.id, signed.signature, signer)
        except Refusal as refusal:
            self._findings.add(where, f"{name}: {refusal.code}: {refusal}")

    def _compute_id(self, signed: SignedPayment | SignedInstruction) -> Hash:
        """Raises what the structure is refused for."""
        if isinstance(signed, SignedPayment):
            check_structure(signed.payment)
            return compute_payment_id(signed.payment, self._domain)
        check_instruction_structure(signed.instruction)
        return compute_instruction_id(signed.instruction, self._domain)

    def _check_signature(self, digest: Hash, signature: Signature | None, where: str) -> None:
        if signature is None:
            return
        try:
            check_signer(digest, signature, self._operator)
        except Refusal as refusal:
            self._findings.add(where, f"the operator's signature: {refusal}")

    # --- epochs

    def _take_asset(self, event: AssetListed) -> None:
        if self._contract is not None:
            self._contract.check_asset(self._asset_count, event.asset)
        self._asset_count += 1
        if self._ledger is None:
            return
        try:
            self._ledger.list_asset(event.asset)
        except BrokenInvariant as error:
            self._findings.add(f"asset {wire.encode_address(event.asset)}", str(error))

    def _take_cut(self, event: EpochCut) -> None:
        where = f"epoch {event.epoch}"
        if event.cut_at <= self._cut_at or event.cut_at < self._timestamp:
            self._findings.add(where, f"it is cut at {event.cut_at} ms, before what it follows")
        if self._ledger is not None:
            try:
                self._computed[event.epoch] = self._ledger.cut(event.epoch, event.cut_at).commitment
            except BrokenInvariant as error:
                self._findings.add(where, str(error))
                self._stop_replay(where)
        self._cuts[event.epoch] = (self._first_block, self._number, event.cut_at, self._blocks.root)
        self._cut_at = max(self._cut_at, event.cut_at)
        self._first_block, self._blocks = self._number + 1, ListFrontier()

    def _take_sealed(self, event: EpochSealed) -> None:
        published = event.commitment
        where = f"epoch {published.epoch}"
        digest = hash_commitment(published, self._domain)
        self._check_signature(digest, event.signature, where)
        self._check_follows(published, where)
        computed, cut = self._computed.pop(published.epoch, None), self._cuts.pop(published.epoch, None)
        if computed is not None:
            self._compare(published, computed, where)
        elif cut is not None:
            self._compare_range(published, cut, where)
        else:
            self._findings.add(where, "a commitment of an epoch that was not cut")
        if self._contract is not None:
            self._contract.check_sealed(event, self._published, digest)
        self._published, self._published_digest = published, digest
        self._epoch_count += 1

    def _check_follows(self, published: Commitment, where: str) -> None:
        """What must hold between two commitments, whatever the records say."""
        last, add = self._published, self._findings.add
        if published.epoch != last.epoch + 1:
            add(where, f"it comes after epoch {last.epoch}")
        if published.previous != self._published_digest:
            add(where, "it does not name the commitment before it")
        if [line.asset for line in published.assets[: len(last.assets)]] != [line.asset for line in last.assets]:
            add(where, "its assets do not continue those of the commitment before it")
        for before, line in zip(last.assets, published.assets, strict=False):
            for name in ("account_count", "deposit_count", "forced_count"):
                if getattr(line, name) < getattr(before, name):
                    add(where, f"asset {wire.encode_address(line.asset)}: {name} falls")

    def _compare(self, published: Commitment, computed: Commitment, where: str) -> None:
        """Field by field, but `previous`, which hangs on what was published and not on what we computed."""
        theirs, ours = wire.encode_commitment(published), wire.encode_commitment(computed)
        for name in theirs:
            if name not in ("previous", "assets") and theirs[name] != ours[name]:
                self._findings.add(where, f"{name} is {theirs[name]}, the records give {ours[name]}")
        if len(published.assets) != len(computed.assets):
            self._findings.add(where, f"it has {len(published.assets)} assets, the records give {len(computed.assets)}")
        for their_line, our_line in zip(theirs["assets"], ours["assets"], strict=False):
            for name in their_line:
                if their_line[name] != our_line[name]:
                    self._findings.add(
                        where,
                        f"asset {our_line['asset']}: {name} is {their_line[name]}, the records give {our_line[name]}",
                    )

    def _compare_range(self, published: Commitment, cut: tuple[int, int, int, Hash], where: str) -> None:
        stated = published.first_block, published.last_block, published.cut_at, published.blocks_root
        for name, theirs, ours in zip(("firstBlock", "lastBlock", "cutAt", "blocksRoot"), stated, cut, strict=True):
            if theirs != ours:
                shown = [wire.encode_bytes(value) if isinstance(value, bytes) else value for value in (theirs, ours)]
                self._findings.add(where, f"{name} is {shown[0]}, the blocks give {shown[1]}")

    def _take_unreadable(self, event: Unreadable) -> None:
        self._findings.add(event.where, event.what)
        self._stop_replay(event.where)

    def _stop_replay(self, where: str) -> None:
        if self._ledger is not None:
            self._ledger = None
            self._computed.clear()
            self._findings.remark(f"balances and state roots could not be recomputed from {where} on")
