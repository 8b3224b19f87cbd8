"""Everything the ledger says no with. One class a reason, one name a reason: the same in Python, JSON-RPC and Solidity.

A `Refusal` leaves the state as it was and goes to whoever asked. A `BrokenInvariant` is never anybody's input: it means
that the books contradict themselves, and the process that meets it stops.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar


class MalformedBytes(ValueError):
    """Stored or transmitted bytes that no encoder of ours made."""


class BrokenInvariant(RuntimeError):
    """The books contradict themselves. Not to be caught: stop, keep the journal, find out why."""


@dataclass(eq=False)
class Refusal(Exception):
    """A named no. Subclasses carry the values that explain it, in the order of their fields."""

    code: ClassVar[str]

    def __str__(self) -> str:
        return self.message

    @property
    def message(self) -> str:
        raise NotImplementedError

    @property
    def values(self) -> dict[str, Any]:
        """What the refusal was about: field name → integer, bytes or text."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(eq=False)
class MalformedRequest(Refusal):
    code = "malformed_request"
    problem: str

    @property
    def message(self) -> str:
        return self.problem


@dataclass(eq=False)
class MalformedPayment(Refusal):
    code = "malformed_payment"
    problem: str

    @property
    def message(self) -> str:
        return self.problem


@dataclass(eq=False)
class UnknownKind(Refusal):
    code = "unknown_kind"
    kind: str

    @property
    def message(self) -> str:
        return f"payments of kind {self.kind!r} are not known here"


@dataclass(eq=False)
class NoOutputs(Refusal):
    code = "no_outputs"

    @property
    def message(self) -> str:
        return "a payment needs at least one output"


@dataclass(eq=False)
class TooManyOutputs(Refusal):
    code = "too_many_outputs"
    count: int
    limit: int

    @property
    def message(self) -> str:
        return f"{self.count} outputs, at most {self.limit} are allowed"


@dataclass(eq=False)
class ZeroAddress(Refusal):
    code = "zero_address"
    field: str

    @property
    def message(self) -> str:
        return f"{self.field} is the zero address"


@dataclass(eq=False)
class ZeroAmount(Refusal):
    code = "zero_amount"
    output: int

    @property
    def message(self) -> str:
        return f"output {self.output} has amount zero"


@dataclass(eq=False)
class AmountTooLarge(Refusal):
    code = "amount_too_large"
    amount: int
    limit: int

    @property
    def message(self) -> str:
        return f"amount {self.amount} is above {self.limit}"


@dataclass(eq=False)
class MemoTooLong(Refusal):
    code = "memo_too_long"
    size: int
    limit: int

    @property
    def message(self) -> str:
        return f"the memo takes {self.size} bytes of UTF-8, at most {self.limit} are allowed"


@dataclass(eq=False)
class InvalidSignature(Refusal):
    code = "invalid_signature"
    problem: str

    @property
    def message(self) -> str:
        return self.problem


@dataclass(eq=False)
class UnknownAsset(Refusal):
    code = "unknown_asset"
    asset: bytes

    @property
    def message(self) -> str:
        return f"asset 0x{self.asset.hex()} is not listed"


@dataclass(eq=False)
class Expired(Refusal):
    code = "expired"
    valid_until: int
    timestamp: int

    @property
    def message(self) -> str:
        return f"valid until {self.valid_until} s, and the block's time is {self.timestamp} ms"


@dataclass(eq=False)
class NonceUsed(Refusal):
    code = "nonce_used"
    nonce: int
    next_nonce: int

    @property
    def message(self) -> str:
        return f"nonce {self.nonce} is used; {self.next_nonce} is above every used one"


@dataclass(eq=False)
class NonceTooFar(Refusal):
    code = "nonce_too_far"
    nonce: int
    limit: int

    @property
    def message(self) -> str:
        return f"nonce {self.nonce} is beyond the window, which ends before {self.limit}"


@dataclass(eq=False)
class WrongOutputs(Refusal):
    code = "wrong_outputs"
    kind: str
    expected: str
    got: str

    @property
    def message(self) -> str:
        return f"a payment of kind {self.kind} has {self.expected}, this one has {self.got}"


@dataclass(eq=False)
class InsufficientBalance(Refusal):
    code = "insufficient_balance"
    asset: bytes
    balance: int
    needed: int

    @property
    def message(self) -> str:
        return f"the balance is {self.balance}, the payment needs {self.needed}"


@dataclass(eq=False)
class EpochLimit(Refusal):
    code = "epoch_limit"
    account: bytes
    volume: int
    limit: int

    @property
    def message(self) -> str:
        return f"account 0x{self.account.hex()} would move {self.volume} in this epoch, at most {self.limit} is allowed"


# --- the data exchange


@dataclass(eq=False)
class MalformedInstruction(Refusal):
    code = "malformed_instruction"
    problem: str

    @property
    def message(self) -> str:
        return self.problem


@dataclass(eq=False)
class UnknownRole(Refusal):
    code = "unknown_role"
    role: str

    @property
    def message(self) -> str:
        return f"nobody registers as {self.role!r} by this instruction"


@dataclass(eq=False)
class AlreadyRegistered(Refusal):
    code = "already_registered"
    account: bytes
    role: str

    @property
    def message(self) -> str:
        return f"account 0x{self.account.hex()} is registered as {self.role} already"


@dataclass(eq=False)
class WrongRole(Refusal):
    code = "wrong_role"
    account: bytes
    expected: str
    """A role."""
    got: str
    """Roles, or that there are none."""

    @property
    def message(self) -> str:
        return f"account 0x{self.account.hex()} must be registered as {self.expected}, and its roles are: {self.got}"


@dataclass(eq=False)
class ForeignValidator(Refusal):
    """Of an account whose owner role, or a file that, belongs to another validator."""

    code = "foreign_validator"
    expected: bytes
    got: bytes

    @property
    def message(self) -> str:
        return f"this belongs to validator 0x{self.expected.hex()}, not to 0x{self.got.hex()}"


@dataclass(eq=False)
class UnknownReference(Refusal):
    code = "unknown_reference"
    reference: bytes

    @property
    def message(self) -> str:
        return f"no file 0x{self.reference.hex()} is listed"


@dataclass(eq=False)
class AlreadyListed(Refusal):
    code = "already_listed"
    file: bytes

    @property
    def message(self) -> str:
        return f"file 0x{self.file.hex()} has been listed already"


@dataclass(eq=False)
class Delisted(Refusal):
    code = "delisted"
    file: bytes

    @property
    def message(self) -> str:
        return f"file 0x{self.file.hex()} is no longer listed"


@dataclass(eq=False)
class FileExpired(Refusal):
    code = "file_expired"
    file: bytes
    keep_until: int
    timestamp: int

    @property
    def message(self) -> str:
        return (
            f"file 0x{self.file.hex()} is kept until {self.keep_until} s, and the block's time is {self.timestamp} ms"
        )


@dataclass(eq=False)
class AlreadyUploaded(Refusal):
    code = "already_uploaded"
    file: bytes

    @property
    def message(self) -> str:
        return f"the upload of file 0x{self.file.hex()} has been paid already"


@dataclass(eq=False)
class NotUploaded(Refusal):
    code = "not_uploaded"
    file: bytes

    @property
    def message(self) -> str:
        return f"no service node keeps file 0x{self.file.hex()}: its upload has not been paid"


@dataclass(eq=False)
class AlreadyPurchased(Refusal):
    code = "already_purchased"
    file: bytes
    buyer: bytes
    payment: bytes
    """Id of the first purchase."""

    @property
    def message(self) -> str:
        return f"0x{self.buyer.hex()} has bought file 0x{self.file.hex()} already, with payment 0x{self.payment.hex()}"


@dataclass(eq=False)
class NoStorageRate(Refusal):
    code = "no_storage_rate"
    asset: bytes

    @property
    def message(self) -> str:
        return f"storage is not paid for in asset 0x{self.asset.hex()} on this ledger"


@dataclass(eq=False)
class WrongAsset(Refusal):
    code = "wrong_asset"
    expected: bytes
    got: bytes

    @property
    def message(self) -> str:
        return f"the price is in asset 0x{self.expected.hex()}, the payment in 0x{self.got.hex()}"


@dataclass(eq=False)
class WrongPrice(Refusal):
    code = "wrong_price"
    expected: int
    got: int

    @property
    def message(self) -> str:
        return f"the price is {self.expected} now, the payment states {self.got}"


@dataclass(eq=False)
class WrongServiceNode(Refusal):
    code = "wrong_service_node"
    expected: str
    """The node's address, or what it must be."""
    got: bytes

    @property
    def message(self) -> str:
        return f"to be paid is {self.expected}, this payment pays 0x{self.got.hex()}"


@dataclass(eq=False)
class NotFound(Refusal):
    code = "not_found"
    what: str

    @property
    def message(self) -> str:
        return f"{self.what} is not known here"


@dataclass(eq=False)
class InvalidProof(Refusal):
    """A proof, receipt or preimage that does not show what it claims to show."""

    code = "invalid_proof"
    problem: str

    @property
    def message(self) -> str:
        return self.problem


@dataclass(eq=False)
class WrongKey(Refusal):
    """A sealed key that does not open, or a file key that is not the one its listing names."""

    code = "wrong_key"
    problem: str

    @property
    def message(self) -> str:
        return self.problem
