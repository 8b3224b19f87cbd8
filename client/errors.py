"""What can go wrong on the client's side. A refusal is raised as the class of `chain.errors` that has its name."""

from typing import Any

from chain.errors import Refusal
from chain.primitives import Hash


class ClientError(Exception):
    """Base of all below but `RefusedByNode`, which is a `Refusal`."""


class Unreachable(ClientError):
    """An outside fault: nobody answered, in time or at all, after all attempts. Trying again later is safe."""


class BadReply(ClientError):
    """What was answered is not what the interface says. Not retried: the other side is broken, or another thing."""


class RpcError(ClientError):
    """A JSON-RPC error without a refusal's name: `number` and `message` as they came, `data` if there was any."""

    def __init__(self, number: int, message: str, data: Any = None) -> None:
        super().__init__(f"{message} ({number})")
        self.number = number
        self.message = message
        self.data = data


class OutcomeUnknown(ClientError):
    """A payment or an instruction was sent and nothing came back: it may be in the ledger or not.

    It is kept among the pending ones. Sending the very same again is safe and settles it; a new payment in its stead
    might pay twice.
    """

    def __init__(self, record_id: Hash, cause: str) -> None:
        super().__init__(f"whether 0x{record_id.hex()} was accepted is not known: {cause}")
        self.record_id = record_id


class WrongReceipt(ClientError):
    """The node answered with a receipt that does not hold. The money may have moved: what was sent stays pending, the
    answer is kept as evidence, and the operator has something to explain."""


class WrongLedger(ClientError):
    """Node, contract, and what was pinned at first contact speak of different ledgers, or of another operator."""


class NonceWindowFull(ClientError):
    """Every nonce that this wallet could use is used, or under way."""


class RefusedByNode(Refusal):
    """A refusal whose name `chain.errors` does not know: `rate_limited`, `overloaded`, or one of a later version."""

    def __init__(self, code: str, message: str, values: dict[str, Any]) -> None:
        super().__init__()
        self.code = code  # type: ignore[misc]  # the base keeps it by class; here the node chose it
        self._message = message
        self._values = values

    @property
    def message(self) -> str:
        return self._message

    @property
    def values(self) -> dict[str, Any]:
        return dict(self._values)
