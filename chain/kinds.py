"""The kinds of payment, and what each demands. A new kind begins here: a number, a shape, a rule, and what it changes
beside balances.

- A *shape* is what the kind demands of any payment, whatever the ledger holds.
- A *rule* sees a payment only after its structure, signature, asset, time and nonce have been found right, and refuses
  by name, with what was expected and what was got, whatever is not exactly what the kind is for. It reads the state
  and writes nothing; the order of its refusals is the order in which its docstring names them.
- An *effect* is what an accepted payment changes beside balances. It cannot fail.

What the money does is the same for all kinds, but for `withdraw`, whose one output leaves the ledger (see
`chain.transition`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec.structs import replace

from chain.errors import (
    AlreadyPurchased,
    AlreadyUploaded,
    Delisted,
    FileExpired,
    ForeignValidator,
    NotUploaded,
    UnknownReference,
    WrongAsset,
    WrongOutputs,
    WrongPrice,
    WrongServiceNode,
)
from chain.market import (
    DAY_SECONDS,
    MART,
    SERVICE_NODE,
    File,
    Shares,
    compute_daily_charge,
    compute_named_shares,
    compute_storage_charge,
    encode_purchase_key,
)
from chain.primitives import MAX_STORAGE_DAYS, ZERO_ADDRESS, Address, Hash

if TYPE_CHECKING:
    from chain.payment import Payment
    from chain.state import State

Shape: TypeAlias = "Callable[[Payment], None]"
Rule: TypeAlias = "Callable[[State, Payment, int], None]"
"""(state, payment, the block's time in ms)"""
Effect: TypeAlias = "Callable[[State, Payment, Hash, int], None]"
"""(state, payment, its id, the block's time in ms)"""

TRANSFER: Final = "transfer"
UPLOAD: Final = "upload"
PURCHASE: Final = "purchase"
EXTEND: Final = "extend"
TIP: Final = "tip"
WITHDRAW: Final = "withdraw"

KIND_CODES: Final = {TRANSFER: 1, UPLOAD: 2, PURCHASE: 3, EXTEND: 4, TIP: 5, WITHDRAW: 6}
"""Kind → its number in the journal. Never reused."""

_MAX_SHARES: Final = 3


# --- shapes


def check_any_outputs(payment: "Payment") -> None:
    """1 to 16 outputs: what the structure of every payment already guarantees."""


def check_single_output(payment: "Payment") -> None:
    """Raises `WrongOutputs`."""
    if len(payment.outputs) != 1:
        raise WrongOutputs(payment.kind, "exactly 1 output", f"{len(payment.outputs)} outputs")


def check_share_outputs(payment: "Payment") -> None:
    """Raises `WrongOutputs`."""
    if len(payment.outputs) > _MAX_SHARES:
        raise WrongOutputs(payment.kind, f"at most {_MAX_SHARES} outputs", f"{len(payment.outputs)} outputs")


SHAPES: Final[dict[str, Shape]] = {
    TRANSFER: check_any_outputs,
    UPLOAD: check_single_output,
    PURCHASE: check_share_outputs,
    EXTEND: check_single_output,
    TIP: check_single_output,
    WITHDRAW: check_single_output,
}


# --- rules


def check_transfer(state: "State", payment: "Payment", timestamp: int) -> None:
    """Anyone, to 1 to 16 recipients."""


def check_tip(state: "State", payment: "Payment", timestamp: int) -> None:
    """Anyone, to one recipient. Raises `WrongOutputs`."""
    check_single_output(payment)


def check_withdraw(state: "State", payment: "Payment", timestamp: int) -> None:
    """Anyone, to one recipient on L1. Raises `WrongOutputs`."""
    check_single_output(payment)


def check_upload(state: "State", payment: "Payment", timestamp: int) -> None:
    """The file's validator pays a service node for keeping it as long as its listing says.

    Raises `UnknownReference`, then what `check_upload_of` raises.
    """
    check_upload_of(state, payment, _get_file(state, payment.reference))


def check_upload_of(state: "State", payment: "Payment", file: File) -> None:
    """The rule of an upload, of a file that may be about to be listed.

    Raises, in this order: `ForeignValidator`, `Delisted`, `AlreadyUploaded`, `NoStorageRate`, `WrongOutputs` (their
    number), `WrongServiceNode`, `WrongOutputs` (the amount).
    """
    _check_validator(file, payment.payer)
    _check_listed(file)
    if file.service_node != ZERO_ADDRESS:
        raise AlreadyUploaded(file.id)
    charge = compute_storage_charge(file.size, file.storage_days, payment.asset, state.parameters.market)
    check_single_output(payment)
    output = payment.outputs[0]
    if not state.get_roles(output.to).has(SERVICE_NODE):
        raise WrongServiceNode("an account registered as service_node", output.to)
    if output.amount != charge:
        raise WrongOutputs(payment.kind, f"{charge} for {file.storage_days} days", str(output.amount))


def check_purchase(state: "State", payment: "Payment", timestamp: int) -> None:
    """A mart pays the price of a file, split as the chain parameters say: validator, owner, service node.

    Raises, in this order: `UnknownReference`, `WrongRole`, `AlreadyPurchased`, `Delisted`, `FileExpired`, `WrongAsset`,
    `WrongPrice`, `WrongServiceNode`, `WrongOutputs`.
    """
    file, payer = _get_file(state, payment.reference), payment.payer
    state.check_role(payer, MART)
    first = state.purchases.get(encode_purchase_key(file.id, payer))
    if first is not None:
        raise AlreadyPurchased(file.id, payer, first)
    _check_listed(file)
    _check_kept(file, timestamp)
    if payment.asset != file.asset:
        raise WrongAsset(file.asset, payment.asset)
    total = payment.total
    if total != file.price:
        raise WrongPrice(file.price, total)
    shares = compute_named_shares(file, state.parameters.market)
    expected = [(to, amount) for _, to, amount in shares]
    got = [(output.to, output.amount) for output in payment.outputs]
    if got != expected:
        if shares[-1][0] == SERVICE_NODE and got[:-1] == expected[:-1] and got[-1][1] == expected[-1][1]:
            raise WrongServiceNode(f"0x{file.service_node.hex()}", got[-1][0])
        raise WrongOutputs(payment.kind, _describe(expected), _describe(got))


def check_extend(state: "State", payment: "Payment", timestamp: int) -> None:
    """The file's validator pays its service node for keeping it some days longer: the amount says how many.

    Raises, in this order: `UnknownReference`, `ForeignValidator`, `NotUploaded`, `FileExpired`, `NoStorageRate`,
    `WrongOutputs` (their number), `WrongServiceNode`, `WrongOutputs` (the amount).
    """
    file = _get_file(state, payment.reference)
    _check_validator(file, payment.payer)
    if file.service_node == ZERO_ADDRESS:
        raise NotUploaded(file.id)
    _check_kept(file, timestamp)
    charge = compute_daily_charge(file.size, payment.asset, state.parameters.market)
    check_single_output(payment)
    output = payment.outputs[0]
    if output.to != file.service_node:
        raise WrongServiceNode(f"0x{file.service_node.hex()}", output.to)
    days, rest = divmod(output.amount, charge)
    if rest:
        raise WrongOutputs(payment.kind, f"a multiple of {charge}, which is a day", str(output.amount))
    kept_days = -(-(file.keep_until * 1000 - timestamp) // (DAY_SECONDS * 1000)) + days
    if kept_days > MAX_STORAGE_DAYS:
        raise WrongOutputs(payment.kind, f"at most {MAX_STORAGE_DAYS} days to come", f"{kept_days}")


RULES: Final[dict[str, Rule]] = {
    TRANSFER: check_transfer,
    UPLOAD: check_upload,
    PURCHASE: check_purchase,
    EXTEND: check_extend,
    TIP: check_tip,
    WITHDRAW: check_withdraw,
}


# --- effects


def apply_upload(state: "State", payment: "Payment", payment_id: Hash, timestamp: int) -> None:
    """The service node keeps the file from now on, for the days paid."""
    file = state.files[payment.reference]
    keep_until = timestamp // 1000 + file.storage_days * DAY_SECONDS
    state.put_file(replace(file, service_node=payment.outputs[0].to, keep_until=keep_until))


def apply_purchase(state: "State", payment: "Payment", payment_id: Hash, timestamp: int) -> None:
    """The payer has bought the file."""
    state.purchases[encode_purchase_key(payment.reference, payment.payer)] = payment_id


def apply_extend(state: "State", payment: "Payment", payment_id: Hash, timestamp: int) -> None:
    """The file is kept longer."""
    file = state.files[payment.reference]
    charge = compute_daily_charge(file.size, payment.asset, state.parameters.market)
    days = payment.outputs[0].amount // charge
    state.put_file(replace(file, keep_until=file.keep_until + days * DAY_SECONDS))


EFFECTS: Final[dict[str, Effect]] = {UPLOAD: apply_upload, PURCHASE: apply_purchase, EXTEND: apply_extend}


# --- what several kinds ask


def _get_file(state: "State", reference: Hash) -> File:
    file = state.files.get(reference)
    if file is None:
        raise UnknownReference(reference)
    return file


def _check_validator(file: File, payer: Address) -> None:
    if payer != file.validator:
        raise ForeignValidator(file.validator, payer)


def _check_listed(file: File) -> None:
    if file.is_delisted:
        raise Delisted(file.id)


def _check_kept(file: File, timestamp: int) -> None:
    if timestamp > file.keep_until * 1000:
        raise FileExpired(file.id, file.keep_until, timestamp)


def _describe(shares: Shares) -> str:
    return ", ".join([f"{amount} to 0x{to.hex()}" for to, amount in shares])
