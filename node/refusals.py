"""What the service refuses, beside what the rules refuse (`chain.errors`)."""

from dataclasses import dataclass

from chain.errors import Refusal


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
