"""Sending a commitment to Ethereum oneself, in the operator's place.

Whoever submits a commitment that the operator has signed does the operator's work: the contract asks for the signature,
not for the sender. So a ledger whose node cannot pay, or does not, can be gone on with by anybody who has some ether.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from chain import wire
from chain.commitment import NO_COMMITMENT, Commitment, hash_commitment
from chain.errors import InvalidSignature
from chain.params import Domain
from chain.primitives import ZERO_HASH, Hash, Signature
from chain.signatures import check_signer
from client.errors import BadReply, ClientError
from client.ethereum import Quote, Reverted, SettlementUser, TxReceipt
from client.settlement import COMMITTED_TOPIC, Facts, Head, decode_committed, find_logs, is_stored


class NotSubmittable(ClientError):
    """The contract would not take the commitment, or not from a careful sender. Nothing was sent."""


class NotSigned(NotSubmittable):
    """The operator whom the contract knows has not signed it."""


class AlreadyIncluded(NotSubmittable):
    """The contract has a commitment of that epoch."""


class NotNext(NotSubmittable):
    """The contract waits for an earlier epoch first."""


class NotFollowing(NotSubmittable):
    """It names another commitment as the one before than the contract has."""


class ContractHalted(NotSubmittable):
    """The contract takes no commitments any more."""


class OutOfFunds(NotSubmittable):
    """The account has less ether than the transaction may cost."""


class SignedCommitment(msgspec.Struct, frozen=True):
    """What is needed of a commitment to submit it; wherever it comes from, it is checked."""

    commitment: Commitment
    signature: Signature

    @property
    def epoch(self) -> int:
        return self.commitment.epoch


class Submission(msgspec.Struct, frozen=True):
    """A commitment that the contract takes now, and what it costs to send it."""

    signed: SignedCommitment
    previous: Commitment
    digest: Hash
    quote: Quote
    balance: int
    """Wei: what the account that would send it has."""


def decode_signed_commitment(form: Any) -> SignedCommitment:
    """From what `tally_getCommitment` answers. Raises `MalformedRequest`; nothing is verified."""
    return SignedCommitment(
        wire.decode_commitment(wire.get_field(form, "message", "commitment")),
        wire.decode_signature(wire.get_field(form, "signature", "commitment"), "signature"),
    )


class Submitter:
    """Sends commitments of others, with one's own key. What is asked of the contract is of its newest L1 block."""

    def __init__(self, user: SettlementUser) -> None:
        """Raises `WrongLedger` if there is no Settlement of ours at that address."""
        self._user = user
        self.facts: Facts = user.reader.read_facts()
        self._domain = Domain.of(self.facts.l1_chain_id, user.settlement)

    def get_head(self) -> Head:
        """What the contract has; it waits for the epoch after `epoch`."""
        return self._user.reader.get_head()

    def prepare(self, signed: SignedCommitment, known: Iterable[Commitment] = ()) -> Submission:
        """Checks and simulates. `known`: commitments among which the previous one may be; if it is not, it is looked
        for in the contract's logs.

        Raises, in this order: `NotSigned`, `AlreadyIncluded`, `NotNext`, `NotFollowing`, `ContractHalted`, `Reverted`
        for all else that the contract says against it, `OutOfFunds`; and what asking raises.
        """
        epoch, digest = signed.epoch, hash_commitment(signed.commitment, self._domain)
        try:
            check_signer(digest, signed.signature, self.facts.operator)
        except InvalidSignature as error:
            operator = wire.encode_address(self.facts.operator)
            raise NotSigned(f"epoch {epoch} is not signed by the contract's operator {operator}") from error
        head = self.get_head()
        if epoch <= head.epoch:
            raise AlreadyIncluded(f"the contract has epoch {epoch} already: it waits for epoch {head.epoch + 1}")
        if epoch > head.epoch + 1:
            raise NotNext(f"the contract waits for epoch {head.epoch + 1}, and only then for epoch {epoch}")
        previous = self._find_previous(head, known)
        if signed.commitment.previous != (hash_commitment(previous, self._domain) if head.epoch else ZERO_HASH):
            raise NotFollowing(f"epoch {epoch} does not follow the epoch {head.epoch} that the contract has")
        try:
            quote = self._user.quote_commit(previous, signed.commitment, signed.signature)
        except Reverted as reverted:
            self._name_revert(epoch, reverted)
            raise
        balance = self._user.sender.get_balance()
        if balance < quote.most_cost:
            raise OutOfFunds(f"sending it may cost {quote.most_cost} wei, the account has {balance}")
        return Submission(signed, previous, digest, quote, balance)

    def send(self, submission: Submission) -> TxReceipt:
        """Returns once it is included. Raises `AlreadyIncluded` when somebody else was first, and what sending
        raises."""
        signed = submission.signed
        try:
            tx_receipt = self._user.commit(submission.previous, signed.commitment, signed.signature)
        except Reverted as reverted:
            self._name_revert(signed.epoch, reverted)
            raise
        logs = find_logs(tx_receipt.form, self._user.settlement, COMMITTED_TOPIC)
        if [decode_committed(log).digest for log in logs] != [submission.digest]:
            raise BadReply(f"transaction {wire.encode_bytes(tx_receipt.l1_transaction)} did not include the commitment")
        return tx_receipt

    def _find_previous(self, head: Head, known: Iterable[Commitment]) -> Commitment:
        if head.epoch == 0:
            return NO_COMMITMENT
        stored = self._user.reader.get_commitment_hash(head.epoch)
        for commitment in known:
            if is_stored(stored, hash_commitment(commitment, self._domain), head.included_at):
                return commitment
        for committed in self._user.reader.read_committed(head.epoch, self.facts.deployed_at):
            if committed.stored_hash == stored:
                return committed.commitment
        raise BadReply(f"the contract's logs lack the commitment of epoch {head.epoch}")

    def _name_revert(self, epoch: int, reverted: Reverted) -> None:
        """Raises what the contract's no means for the sender, where that has a name."""
        if "Halted(" in str(reverted):
            raise ContractHalted(f"the contract takes no commitments any more: {reverted}") from reverted
        # The simulation of the next block has what waits in the pool, too: there it is seen before the head has it.
        if f"EpochMismatch(expected={epoch + 1}," in str(reverted) or self.get_head().epoch >= epoch:
            raise AlreadyIncluded(f"somebody else was first with epoch {epoch}: {reverted}") from reverted
