"""Statements, checked: that the lines add up, and that the operator has committed to exactly these lines."""

from collections.abc import Sequence

from chain.commitment import hash_commitment
from chain.errors import InvalidProof
from chain.evidence import check_account_proof
from chain.primitives import Address
from chain.signatures import check_signer
from chain.statement import Credit, Debit, compute_credits_root, compute_debits_root
from client.ledgers import Ledger
from client.protocol import CommittedAccount, StatementPage


def check_sums(pages: Sequence[StatementPage]) -> None:
    """Whether opening, entries, running balances and closing agree. `pages`: all of one statement, in order.

    Raises `InvalidProof` naming the first line that does not.
    """
    balance = pages[0].opening
    last = (-1, -1, -1)
    for page in pages:
        for line in page.entries:
            place = line.block, line.record, line.output
            if place <= last:
                raise InvalidProof(f"entry {place} comes after {last}")
            last = place
            balance += line.entry.amount if isinstance(line.entry, Credit) else -line.entry.amount
            if balance != line.balance:
                raise InvalidProof(f"after entry {place} the balance is {balance}, the statement says {line.balance}")
    if balance != pages[0].closing:
        raise InvalidProof(f"the entries end in {balance}, the statement closes with {pages[0].closing}")


def check_commitment(
    pages: Sequence[StatementPage], committed: CommittedAccount, owner: Address, ledger: Ledger
) -> None:
    """Whether these are the very entries that the operator committed to for the account, in that epoch.

    Raises, in this order: `InvalidSignature` when the operator did not sign the commitment; `InvalidProof` when the
    leaf is of another account, asset or epoch, does not lead to the commitment, or holds other entries or balances.
    """
    check_signer(hash_commitment(committed.commitment, ledger.domain), committed.signature, ledger.operator)
    leaf, first = committed.proof.leaf, pages[0]
    if (leaf.owner, leaf.asset) != (owner, first.asset):
        raise InvalidProof("the leaf is of another account or asset")
    if not committed.epoch == committed.commitment.epoch == first.epoch:
        raise InvalidProof(f"the proof is of epoch {committed.commitment.epoch}, the statement of {first.epoch}")
    check_account_proof(committed.proof, committed.commitment)
    entries = [line.entry for page in pages for line in page.entries]
    if leaf.epoch != first.epoch:
        if entries or leaf.closing != first.closing:
            raise InvalidProof(f"the leaf has not changed since epoch {leaf.epoch}, the statement has entries")
        return
    debits = compute_debits_root(sorted([entry for entry in entries if isinstance(entry, Debit)]))
    credits = compute_credits_root([entry for entry in entries if isinstance(entry, Credit)])
    if (leaf.opening, leaf.closing) != (first.opening, first.closing):
        raise InvalidProof("the leaf has other balances than the statement")
    if (leaf.debits_root, leaf.debits) != debits:
        raise InvalidProof("the debits are not those of the leaf")
    if (leaf.credits_root, leaf.credits) != credits:
        raise InvalidProof("the credits are not those of the leaf")
