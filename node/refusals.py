"""What the service refuses, beside what the rules refuse (`chain.errors`)."""

from dataclasses import dataclass
from typing import Any

from chain.errors import Refusal


class Worded(Refusal):
    """A refusal that another process has put into the words of the interface already."""

    def __init__(self, code: str, message: str, values: dict[str, Any]) -> None:
        self.code = code  # type: ignore[misc]
        self._message = message
        self._values = values

    @property
    def message(self) -> str:
        return self._message

    @property
    def values(self) -> dict[str, Any]:
        return self._values


@dataclass(eq=False)
class Overloaded(Refusal):
    code = "overloaded"
    backlog: int

    @property
    def message(self) -> str:
        return "too much is waiting to be done; try again in a moment"


@dataclass(eq=False)
class Halted(Refusal):
    code = "halted"
    reason: str

    @property
    def message(self) -> str:
        return f"no payments are taken: {self.reason}"


@dataclass(eq=False)
class AnswerTooLarge(Refusal):
    code = "answer_too_large"
    limit: int

    @property
    def message(self) -> str:
        return f"the answers before this one in the batch are above {self.limit} bytes; ask in smaller batches"


@dataclass(eq=False)
class ConnectionRequired(Refusal):
    code = "connection_required"
    method: str

    @property
    def message(self) -> str:
        return f"{self.method} needs a connection to send on: it is answered over WebSocket, at /ws, and not over HTTP"


@dataclass(eq=False)
class TooManySubscriptions(Refusal):
    code = "too_many_subscriptions"
    limit: int

    @property
    def message(self) -> str:
        return f"this connection has {self.limit} subscriptions already; end one first"


@dataclass(eq=False)
class TooFarBack(Refusal):
    code = "too_far_back"
    from_block: int
    oldest: int

    @property
    def message(self) -> str:
        return (
            f"a subscription goes back to block {self.oldest} at most, not to {self.from_block}; what is older is read "
            "with tally_getBlock and tally_listPayments"
        )


@dataclass(eq=False)
class SubscriptionLagged(Refusal):
    """Ends a subscription whose client reads more slowly than the ledger grows."""

    code = "subscription_lagged"
    behind: int
    limit: int
    next_block: int | None
    """From where to go on; None where it is not blocks that are told."""

    @property
    def message(self) -> str:
        return f"ended: {self.behind} behind what there is to tell, {self.limit} are allowed"


@dataclass(eq=False)
class NoEscrow(Refusal):
    """Of a listing that brings a sealed key to a node that cannot open one."""

    code = "no_escrow"

    @property
    def message(self) -> str:
        return "this node takes no file keys in escrow; list the file without one, and hand the key out yourself"
