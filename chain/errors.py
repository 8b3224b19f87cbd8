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
