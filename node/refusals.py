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
