"""The kinds of payment and what each demands of its outputs. A new kind begins here: a number, and a rule.

A rule sees the payment only after its structure, signature, asset, time and nonce have been found right, and says no
with `WrongOutputs` (or a refusal of its own) when the outputs are not exactly what the kind is for. What the money does
then is the same for all kinds, but for `withdraw`, whose one output leaves the ledger (see `chain.transition`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from chain.errors import WrongOutputs

if TYPE_CHECKING:
    from chain.payment import Payment

KindRule: TypeAlias = "Callable[[Payment], None]"

TRANSFER: Final = "transfer"
TIP: Final = "tip"
WITHDRAW: Final = "withdraw"

KIND_CODES: Final = {TRANSFER: 1, TIP: 5, WITHDRAW: 6}
"""Kind → its number in the journal. Never reused; 2, 3 and 4 are kept for `upload`, `purchase` and `extend`."""


def check_transfer(payment: "Payment") -> None:
    """1 to 16 outputs: what the structure of every payment already guarantees."""


def check_tip(payment: "Payment") -> None:
    """One recipient."""
    _check_single_output(payment)


def check_withdraw(payment: "Payment") -> None:
    """One output: the recipient on L1."""
    _check_single_output(payment)


KINDS: Final[dict[str, KindRule]] = {TRANSFER: check_transfer, TIP: check_tip, WITHDRAW: check_withdraw}


def _check_single_output(payment: "Payment") -> None:
    if len(payment.outputs) != 1:
        raise WrongOutputs(payment.kind, "exactly 1 output", f"{len(payment.outputs)} outputs")
