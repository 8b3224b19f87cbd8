"""A whole ledger, replayed: the state, the open statements, the state trees, and the commitments that follow from them.

This is what the node's sealer runs beside the sequencer and what an auditor runs beside nobody: both feed it the same
blocks and cuts, and both get the same roots, or it stops.
"""

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from chain import instruction, payment
from chain.account import AccountLeaf, NonceWindow, encode_account_leaf, hash_account_leaf
from chain.block import DEPOSIT, PAYMENT, Block, Deposit, Record, compute_request_id, hash_header
from chain.commitment import AssetCommitment, Commitment, hash_commitment
from chain.errors import BrokenInvariant, InvalidProof, Refusal
from chain.instruction import SignedInstruction
from chain.kinds import WITHDRAW
from chain.merkle import PACKED_SIZE, ListFrontier, SumFrontier, SumNode, SumTree
from chain.params import Parameters
from chain.payment import SignedPayment
from chain.primitives import ADDRESS_SIZE, ZERO_HASH, Address, Hash
from chain.registry import AccountEntry, Registry, RegistryChanges, decode_entry
from chain.signatures import check_signer
from chain.state import State
from chain.statement import Credit, Debit, OpenStatement, Withdrawal, hash_withdrawal
from chain.transition import (
    apply_block_end,
    apply_cut,
    check_block,
    check_cut,
    list_asset,
    replay_record,
)

LeafChange: TypeAlias = tuple[int, bytes]
"""(leaf index, the 208 bytes of the new leaf)"""

NodeChange: TypeAlias = tuple[int, int, bytes]
"""(level, index, packed sum node)"""


class AssetChanges(msgspec.Struct, frozen=True):
    """What one epoch wrote to the state tree of one asset: enough to prove any account as of any epoch."""

    asset: Address
    leaves: list[LeafChange]
    nodes: list[NodeChange]
    withdrawals: list[Withdrawal]


class SealedEpoch(msgspec.Struct, frozen=True):
    commitment: Commitment
    changes: tuple[AssetChanges, ...]
    registry: RegistryChanges


class AssetSnapshot(msgspec.Struct, frozen=True):
    asset: Address
    deposit_count: int
    accounts: bytes
    """20 bytes an account, in the order of leaf indexes."""
    leaves: bytes
    """48 bytes an account: leaf hash ‖ closing balance u128."""


class LedgerSnapshot(msgspec.Struct, frozen=True):
    """A ledger at the boundary of two epochs. All else that it knows follows from this."""

    epoch: int
    """The open one, in which nothing has happened yet."""
    last_cut_at: int
    block_number: int
    block_hash: Hash
    timestamp: int
    previous: Hash
    """Digest of the last commitment."""
    nonces: dict[Address, NonceWindow]
    assets: tuple[AssetSnapshot, ...]
    registry: tuple[bytes, ...]
    """Roles and listings: the entries as they are encoded, in the order of their indexes."""
    purchases: dict[bytes, Hash]


class _AssetBook:
    """One asset: its state tree, the accounts by leaf index, and what the open epoch has touched."""

    __slots__ = ("indexes", "open", "tree", "withdrawals", "withdrawn")

    def __init__(self, tree: SumTree, accounts: Iterable[Address] = ()) -> None:
        self.tree = tree
        """As of the end of the last sealed epoch."""
        self.indexes = {account: index for index, account in enumerate(accounts)}
        self.open: dict[Address, OpenStatement] = {}
        self.withdrawals: list[Withdrawal] = []
        self.withdrawn = SumFrontier()

    def get_statement(self, account: Address) -> OpenStatement:
        statement = self.open.get(account)
        if statement is None:
            statement = self.open[account] = OpenStatement()
            self.indexes.setdefault(account, len(self.indexes))
        return statement


class Ledger:
    """Feed it `list_asset`, `apply_block` and `cut` in the journal's order.

    With `is_auditing`, ids and payers' signatures are computed again; without, they are taken from a journal that this
    node wrote after checking them. Everything else is checked in both cases, and `BrokenInvariant` says what is wrong.
    """

    def __init__(self, parameters: Parameters, *, is_auditing: bool = False) -> None:
        self.state = State(parameters)
        self._is_auditing = is_auditing
        self._books: dict[Address, _AssetBook] = {}
        self._registry = Registry()
        self._blocks = ListFrontier()
        self._first_block = 1
        self._previous: Hash = ZERO_HASH

    def list_asset(self, asset: Address) -> None:
        list_asset(self.state, asset)
        self._books[asset] = _AssetBook(SumTree())

    def apply_block(self, block: Block) -> Hash:
        """Replays one block. Returns its hash. Raises `BrokenInvariant` naming the block and what is wrong with it."""
        header, state = block.header, self.state
        check_block(state, block)
        for index in range(len(block.records)):
            self._apply_record(block, index)
        block_hash = hash_header(header, state.parameters.domain)
        apply_block_end(state, header.number, block_hash, header.timestamp)
        self._blocks.append(block_hash)
        return block_hash

    def cut(self, epoch: int, cut_at: int) -> SealedEpoch:
        """Ends the open epoch at `cut_at` (ms) and says what is committed for it."""
        state = self.state
        check_cut(state, epoch, cut_at)
        changes = tuple([self._seal_asset(asset, book, epoch) for asset, book in self._books.items()])
        registry = self._registry.seal(state)
        commitment = Commitment(
            epoch=epoch,
            previous=self._previous,
            first_block=self._first_block,
            last_block=state.block_number,
            cut_at=cut_at,
            blocks_root=self._blocks.root,
            extra_root=self._registry.root,
            assets=tuple([self._commit_asset(change) for change in changes]),
        )
        self._check_conservation(commitment)
        for book in self._books.values():
            book.open, book.withdrawals, book.withdrawn = {}, [], SumFrontier()
        apply_cut(state, cut_at)
        self._blocks = ListFrontier()
        self._first_block = state.block_number + 1
        self._previous = hash_commitment(commitment, state.parameters.domain)
        return SealedEpoch(commitment, changes, registry)

    def take_snapshot(self) -> LedgerSnapshot:
        """Between a cut and what follows it. Raises `BrokenInvariant` when the open epoch has begun to fill."""
        state = self.state
        if self._blocks.count:
            raise BrokenInvariant("a snapshot is taken at the boundary of two epochs only")
        return LedgerSnapshot(
            epoch=state.epoch,
            last_cut_at=state.last_cut_at,
            block_number=state.block_number,
            block_hash=state.block_hash,
            timestamp=state.timestamp,
            previous=self._previous,
            nonces=dict(state.nonces),
            assets=tuple(
                [
                    AssetSnapshot(asset, state.deposit_counts[asset], b"".join(book.indexes), book.tree.packed_leaves)
                    for asset, book in self._books.items()
                ]
            ),
            registry=tuple(self._registry.encode_entries(state)),
            purchases=dict(state.purchases),
        )

    @classmethod
    def restore(cls, parameters: Parameters, snapshot: LedgerSnapshot) -> "Ledger":
        """The ledger that the snapshot was taken of. Whether its roots are the committed ones is for the caller to
        check: `get_root` tells them."""
        ledger = cls(parameters)
        ledger.state = restore_state(parameters, snapshot)
        ledger._registry = Registry(snapshot.registry)
        ledger._first_block = snapshot.block_number + 1
        ledger._previous = snapshot.previous
        for part in snapshot.assets:
            tree = SumTree.from_packed_leaves(part.leaves)
            ledger._books[part.asset] = _AssetBook(tree, _split_accounts(part))
        return ledger

    def get_root(self, asset: Address) -> SumNode:
        """Root and total of an asset's state tree at the end of the last sealed epoch."""
        return self._books[asset].tree.root

    @property
    def extra_root(self) -> Hash:
        """Of roles and listings, at the end of the last sealed epoch."""
        return self._registry.root

    def _apply_record(self, block: Block, index: int) -> None:
        header, record = block.header, block.records[index]
        try:
            if self._is_auditing:
                self._audit(record)
            replay_record(self.state, block.records, index, header.timestamp)
        except Refusal as refusal:
            where = f"record {index} of block {header.number}"
            raise BrokenInvariant(f"{where}: {refusal.code}: {refusal}") from refusal
        if isinstance(record, SignedPayment):
            self._enter_payment(record, header.number, index)
        elif isinstance(record, Deposit):
            credit = Credit(header.number, index, 0, DEPOSIT, record.id, record.amount)
            self._books[record.asset].get_statement(record.account).add_credit(credit)

    def _audit(self, record: Record) -> None:
        """What this node took from its journal as it stands: structure, id and signature."""
        domain = self.state.parameters.domain
        if isinstance(record, SignedPayment):
            payment.check_structure(record.payment)
            _check_id(record, payment.compute_payment_id(record.payment, domain))
            check_signer(record.id, record.signature, record.payment.payer)
        elif isinstance(record, SignedInstruction):
            instruction.check_structure(record.instruction)
            _check_id(record, instruction.compute_instruction_id(record.instruction, domain))
            check_signer(record.id, record.signature, record.instruction.account)
        else:
            _check_id(record, compute_request_id(DEPOSIT, record.asset, record.index))

    def _enter_payment(self, signed: SignedPayment, block: int, index: int) -> None:
        """Into the statements of payer and payees."""
        paid, book = signed.payment, self._books[signed.payment.asset]
        debit = Debit(PAYMENT, paid.nonce, signed.id, paid.total)
        book.get_statement(paid.payer).add_debit(debit, self.state.nonces[paid.payer].base)
        if paid.kind == WITHDRAW:
            withdrawal = Withdrawal(signed.id, paid.outputs[0].to, paid.outputs[0].amount)
            book.withdrawals.append(withdrawal)
            book.withdrawn.append(hash_withdrawal(withdrawal), withdrawal.amount)
            return
        for place, output in enumerate(paid.outputs):
            credit = Credit(block, index, place, PAYMENT, signed.id, output.amount)
            book.get_statement(output.to).add_credit(credit)

    def _seal_asset(self, asset: Address, book: _AssetBook, epoch: int) -> AssetChanges:
        leaves: list[LeafChange] = []
        hashes: list[tuple[int, tuple[Hash, int]]] = []
        for account, statement in book.open.items():
            statement.close()
            index = book.indexes[account]
            leaf = AccountLeaf(
                asset=asset,
                owner=account,
                epoch=epoch,
                nonces=self.state.get_nonces(account),
                opening=book.tree.get_leaf_sum(index),
                debits=statement.debits_total,
                credits=statement.credits_total,
                debit_count=statement.debits.count,
                credit_count=statement.credits.count,
                debits_root=statement.debits.root[0],
                credits_root=statement.credits.root[0],
            )
            encoded = encode_account_leaf(leaf)
            leaves.append((index, encoded))
            hashes.append((index, (hash_account_leaf(encoded), leaf.closing)))
        hashes.sort()
        leaves.sort()
        return AssetChanges(asset, leaves, book.tree.update(hashes), list(book.withdrawals))

    def _commit_asset(self, changes: AssetChanges) -> AssetCommitment:
        asset, book = changes.asset, self._books[changes.asset]
        state_root, total = book.tree.root
        withdrawals_root, withdrawn = book.withdrawn.root
        return AssetCommitment(
            asset=asset,
            state_root=state_root,
            total=total,
            account_count=book.tree.count,
            deposit_count=self.state.deposit_counts[asset],
            forced_count=0,
            withdrawals_root=withdrawals_root,
            withdrawal_count=book.withdrawn.count,
            withdrawn=withdrawn,
        )

    def _check_conservation(self, commitment: Commitment) -> None:
        """What the trees add up to is what the state counted, deposit by deposit and withdrawal by withdrawal."""
        for line in commitment.assets:
            if line.total != self.state.totals[line.asset]:
                raise BrokenInvariant(
                    f"epoch {commitment.epoch}: the leaves of asset 0x{line.asset.hex()} sum to {line.total}, "
                    f"the records to {self.state.totals[line.asset]}"
                )


def restore_state(parameters: Parameters, snapshot: LedgerSnapshot) -> State:
    """The state alone, without trees: what a sequencer goes on from."""
    state = State(parameters)
    for part in snapshot.assets:
        list_asset(state, part.asset)
        closings = [
            int.from_bytes(part.leaves[at + 32 : at + PACKED_SIZE], "big")
            for at in range(0, len(part.leaves), PACKED_SIZE)
        ]
        state.balances[part.asset] = dict(zip(_split_accounts(part), closings, strict=True))
        state.totals[part.asset] = sum(closings)
        state.deposit_counts[part.asset] = part.deposit_count
    state.nonces = dict(snapshot.nonces)
    for encoded in snapshot.registry:
        entry = decode_entry(encoded)
        if isinstance(entry, AccountEntry):
            state.roles[entry.account] = entry.roles
        else:
            state.files[entry.file.id] = entry.file
    state.purchases = dict(snapshot.purchases)
    state.epoch = snapshot.epoch
    state.last_cut_at = snapshot.last_cut_at
    state.block_number = snapshot.block_number
    state.block_hash = snapshot.block_hash
    state.timestamp = snapshot.timestamp
    return state


def _split_accounts(part: AssetSnapshot) -> list[Address]:
    return [part.accounts[at : at + ADDRESS_SIZE] for at in range(0, len(part.accounts), ADDRESS_SIZE)]


def _check_id(record: Record, expected: Hash) -> None:
    """Raises `InvalidProof`."""
    if record.id != expected:
        raise InvalidProof(f"its id is 0x{record.id.hex()}, its content gives 0x{expected.hex()}")
