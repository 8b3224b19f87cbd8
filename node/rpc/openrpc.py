"""`rpc.discover`: the interface as an OpenRPC document, for programs that read interfaces. https://spec.open-rpc.org

The forms of what goes in and comes out are in `node.rpc.schemas`; what is real in the examples was answered by a
development network (`tests/openrpc_examples.py` writes them).
"""

from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from chain.primitives import MAX_MEMO_SIZE, MAX_OUTPUTS, MAX_STORAGE_DAYS
from node import __version__
from node.rpc.envelope import get_number
from node.rpc.schemas import KIND, NUMBER_OR_LATEST, SCHEMAS, Schema, enum, ref, resolve
from node.rpc.subscriptions import MAX_BLOCKS_BACK, MAX_LAG_BLOCKS, MAX_SUBSCRIPTIONS, TOPICS

OPENRPC_VERSION: Final = "1.3.2"

_EXAMPLES: Final = Path(__file__).with_name("examples.json")


@cache
def get_document() -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(build_document()))


def build_document() -> dict[str, Any]:
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "Tallystick",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "methods": [_describe_method(*method) for method in _METHODS],
        "components": {
            "schemas": {name: {"title": name, **schema} for name, schema in SCHEMAS.items()},
            "errors": {name: _describe_error(name, meaning) for name, meaning in ERRORS.items()},
        },
    }


_DESCRIPTION: Final = (
    "JSON-RPC 2.0 by POST to `/` or `/rpc`, or over WebSocket at `/ws`; batches of up to 1,000 calls. Quantities go "
    "out as 0x hex without leading zeros and come in as that, as decimal strings, or as JSON integers up to 2^53 - 1. "
    "A refusal is an error whose `data.code` is its name."
)


# --- refusals

ERRORS: Final[dict[str, str]] = {
    "malformed_request": "The parameters are not what the method takes.",
    "malformed_payment": "What was sent is no payment with a signature, or not the one that an upload needs.",
    "malformed_instruction": "What was sent is no instruction with a signature, or has members that none may have.",
    "unknown_kind": "There are no payments of that kind.",
    "no_outputs": "The payment has no outputs.",
    "too_many_outputs": f"The payment has more than {MAX_OUTPUTS} outputs.",
    "zero_address": "The payment or instruction names the zero address where an account must be.",
    "zero_amount": "An output has the amount zero.",
    "amount_too_large": "An amount, or the sum of all, is above 2^128 - 1.",
    "memo_too_long": f"The memo takes more than {MAX_MEMO_SIZE} bytes.",
    "invalid_signature": "The payer, or the account that instructs, has not signed this.",
    "unknown_asset": "The asset is not listed.",
    "expired": "The payment or instruction was valid until a time that has passed.",
    "nonce_used": "The nonce is used by another payment or instruction.",
    "nonce_too_far": "The nonce is beyond the account's window of 256.",
    "wrong_outputs": "A payment of this kind has other outputs.",
    "unknown_role": "Nobody registers in that role by this instruction.",
    "already_registered": "The account has that role already.",
    "wrong_role": "The account is not registered in the role that this needs.",
    "foreign_validator": "The file or the owner belongs to another validator.",
    "unknown_reference": "No file of that id is listed.",
    "already_listed": "A file of that id has been listed before.",
    "delisted": "The file is no longer listed.",
    "file_expired": "The file was kept until a time that has passed.",
    "already_uploaded": "The file's upload has been paid already.",
    "not_uploaded": "The file's upload has not been paid: no service node keeps it.",
    "already_purchased": "The payer has bought the file already; `payment` is the id of that purchase.",
    "no_storage_rate": "Storage is not paid for in that asset here.",
    "wrong_asset": "The file's price is in another asset.",
    "wrong_price": "The file's price is another one now.",
    "wrong_service_node": "Whom the payment pays is not the file's service node, or none at all.",
    "no_escrow": "This node takes no file keys in escrow.",
    "wrong_key": "The sealed key does not open here, or is not the one whose hash the listing states.",
    "insufficient_balance": "The payer has less than the payment needs.",
    "epoch_limit": "An account would move more than an epoch can commit.",
    "not_found": "There is no such thing here.",
    "overloaded": "Too much is waiting to be done; try again in a moment.",
    "halted": "Nothing is ordered: it could not be committed any more, or not in time.",
    "answer_too_large": "The answers before this one fill a batch.",
    "connection_required": "Only over WebSocket can subscriptions be told of anything.",
    "too_many_subscriptions": f"The connection has {MAX_SUBSCRIPTIONS} subscriptions already.",
    "too_far_back": f"fromBlock is more than {MAX_BLOCKS_BACK:,} blocks before the newest.",
    "subscription_lagged": f"Ends a subscription that fell more than {MAX_LAG_BLOCKS:,} blocks further behind; "
    "`nextBlock` says from where to go on.",
}

_STRUCTURE: Final = (
    "unknown_kind", "no_outputs", "too_many_outputs", "zero_address", "zero_amount", "amount_too_large",
    "memo_too_long",
)  # fmt: skip
_RULES: Final = (
    "unknown_asset", "expired", "nonce_used", "nonce_too_far",
    "unknown_reference", "wrong_role", "foreign_validator", "already_purchased", "not_uploaded", "delisted",
    "already_uploaded", "file_expired", "no_storage_rate", "wrong_asset", "wrong_price", "wrong_service_node",
    "wrong_outputs", "insufficient_balance", "epoch_limit",
)  # fmt: skip
_ESCROW: Final = ("no_escrow", "wrong_key")
_INSTRUCTION_STRUCTURE: Final = ("zero_address", "unknown_role", "malformed_instruction")
_INSTRUCTION_RULES: Final = (
    "expired", "nonce_used", "nonce_too_far", "unknown_reference", "wrong_role", "already_registered", "already_listed",
    "unknown_asset", "foreign_validator", "delisted",
)  # fmt: skip
"""All in the order in which they are looked for; a payment or instruction of one sort can meet only some of them."""


def _join(*parts: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, where it comes first."""
    return tuple(dict.fromkeys([code for part in parts for code in part]))


def _describe_error(name: str, meaning: str) -> dict[str, Any]:
    return {"code": get_number(name), "message": meaning, "data": {"code": name}}


# --- methods

_Parameter: TypeAlias = tuple[str, Schema | str]
"""Name, and its form; a name that ends in a question mark may be left out."""

_Method: TypeAlias = tuple[str, str, tuple[_Parameter, ...], tuple[str, Schema | str], tuple[str, ...]]
"""Name, what it does, parameters, result, refusals beside `malformed_request` and `answer_too_large`."""

_ID: Final[tuple[_Parameter, ...]] = (("id", "AnyHash"),)
_TOPIC: Final[Schema] = {**enum(*TOPICS), "description": "what to hear of: see the method's description"}

_METHODS: Final[tuple[_Method, ...]] = (
    (
        "tally_getInfo",
        "Everything that a stranger needs to sign a payment for this ledger, and to check what it says.",
        (),
        ("info", "Info"),
        (),
    ),
    (
        "tally_sendPayment",
        "Orders a signed payment, makes it durable, and answers with its receipt. The same payment again is answered "
        "with the same receipt.",
        (("payment", "AnyPayment"), ("signature", "AnySignature")),
        ("receipt", "Receipt"),
        ("malformed_payment", *_STRUCTURE, "invalid_signature", *_RULES, "overloaded", "halted"),
    ),
    (
        "tally_getReceipt",
        "A payment's or an instruction's receipt; once its epoch is committed, with the path to what Ethereum holds.",
        _ID,
        ("receipt", {"oneOf": [ref("Receipt"), ref("InstructionReceipt")]}),
        ("not_found", "overloaded"),
    ),
    (
        "tally_getPayment",
        "A payment, and how far it has come.",
        _ID,
        ("payment", "PaymentStatus"),
        ("not_found", "overloaded"),
    ),
    (
        "tally_getAccount",
        "An account's balances, nonces and roles. One that was never heard of has nothing, and may use nonce 0.",
        (("address", "AnyAddress"),),
        ("account", "Account"),
        (),
    ),
    (
        "tally_getBlock",
        "A block by its number, its hash, or `latest`.",
        (("block", NUMBER_OR_LATEST),),
        ("block", "Block"),
        ("not_found", "overloaded"),
    ),
    (
        "tally_getCommitment",
        "An epoch's commitment and its way to Ethereum, by number, or of the `latest` sealed or the last `final` one.",
        (("epoch", {"oneOf": [ref("AnyQuantity"), enum("latest", "final")]}),),
        ("commitment", "Commitment"),
        ("not_found", "overloaded"),
    ),
    (
        "tally_listCommitments",
        "The commitments of all sealed epochs, newest first, page by page: how each came to Ethereum, what was tried, "
        "and what it cost. By name, the filter's members are the parameters.",
        (("filter?", "CommitmentsFilter?"),),
        ("page", "CommitmentsPage"),
        ("overloaded",),
    ),
    (
        "tally_getPaymentProof",
        "A receipt, and for a withdrawal of a sealed epoch what claims it on Ethereum.",
        _ID,
        ("proof", "PaymentProof"),
        ("not_found", "overloaded"),
    ),
    (
        "tally_getAccountProof",
        "An account's state at the end of a sealed epoch, with the path to its commitment.",
        (
            ("address", "AnyAddress"),
            ("asset", "AnyAddress"),
            ("epoch", NUMBER_OR_LATEST),
        ),
        ("proof", "AccountProof"),
        ("not_found", "overloaded"),
    ),
    (
        "tally_getStatement",
        "What went out of an account and came in, in one asset and epoch, in ledger order and with the balance after "
        "each entry. Roots are there once the epoch is sealed.",
        (("address", "AnyAddress"), ("asset", "AnyAddress"), ("epoch", "AnyQuantity"), ("cursor?", "Cursor?")),
        ("statement", "Statement"),
        ("unknown_asset", "not_found", "overloaded"),
    ),
    (
        "tally_listPayments",
        "Payments that fit a filter, newest first, page by page. By name, the filter's members are the parameters.",
        (("filter?", "PaymentsFilter?"),),
        ("page", "PaymentsPage"),
        ("unknown_kind", "overloaded"),
    ),
    (
        "tally_quote",
        "The unsigned payment that the ledger would accept now, and what each party gets.",
        (("kind", KIND), ("details", "QuoteDetails")),
        ("quote", "Quote"),
        _join(_INSTRUCTION_STRUCTURE, _ESCROW, _STRUCTURE, _INSTRUCTION_RULES, _RULES),
    ),
    (
        "tally_sendInstruction",
        "Orders a signed instruction: a registration, a listing, a new price, the end of a listing. Makes it durable, "
        "and answers with its receipt. The same instruction again is answered with the same receipt.",
        (("instruction", "AnyInstruction"), ("signature", "AnySignature")),
        ("receipt", "InstructionReceipt"),
        _join(_INSTRUCTION_STRUCTURE, ("invalid_signature",), _ESCROW, _INSTRUCTION_RULES, ("overloaded", "halted")),
    ),
    (
        "tally_sendUpload",
        "Orders a listing and the payment of its upload, one right after the other in one block: both are in the "
        "ledger, or neither. Only so may a listing name an owner who is not registered. The same two again are "
        "answered with the same receipts.",
        (
            ("listing", "AnyListing"),
            ("listingSignature", "AnySignature"),
            ("payment", "AnyPayment"),
            ("paymentSignature", "AnySignature"),
        ),
        (
            "receipts",
            {
                "type": "array",
                "items": [ref("InstructionReceipt"), ref("Receipt")],
                "additionalItems": False,
                "minItems": 2,
            },
        ),
        _join(
            _INSTRUCTION_STRUCTURE,
            ("malformed_payment",),
            _STRUCTURE,
            ("invalid_signature",),
            _ESCROW,
            _INSTRUCTION_RULES,
            _RULES,
            ("overloaded", "halted"),
        ),
    ),
    (
        "tally_getStorageCharge",
        "What it costs to keep so many bytes for so many days.",
        (
            ("size", {**ref("AnyQuantity"), "description": "bytes"}),
            ("days", {**ref("AnyQuantity"), "description": f"at most {MAX_STORAGE_DAYS:,}"}),
            ("asset", "AnyAddress"),
        ),
        ("charge", "StorageCharge"),
        ("no_storage_rate",),
    ),
    (
        "tally_getFile",
        "A file that was ever listed: what it is, what a purchase pays to whom now, and what it cost before.",
        (("file", "AnyHash"),),
        ("file", "File"),
        ("not_found", "overloaded"),
    ),
    (
        "tally_listFiles",
        "Files that fit a filter, newest first, page by page. By name, the filter's members are the parameters.",
        (("filter?", "FilesFilter?"),),
        ("page", "FilesPage"),
        ("overloaded",),
    ),
    (
        "tally_getPurchase",
        "What shows that an account has bought a file; and the file's key, sealed to that account, if it is in escrow.",
        (("file", "AnyHash"), ("buyer", "AnyAddress")),
        ("purchase", "Purchase"),
        ("not_found", "overloaded", *_ESCROW),
    ),
    (
        "tally_listRegistrations",
        "Who has which role, newest first, page by page, and how many in all; with `validator`, its owners. By name, "
        "the filter's members are the parameters.",
        (("filter?", "RegistrationsFilter?"),),
        ("page", "RegistrationsPage"),
        ("overloaded",),
    ),
    (
        "tally_listInstructions",
        "Instructions that fit a filter, newest first, page by page. By name, the filter's members are the parameters.",
        (("filter?", "InstructionsFilter?"),),
        ("page", "InstructionsPage"),
        ("overloaded",),
    ),
    (
        "tally_getRolesProof",
        "An account's roles at the end of a sealed epoch, with the path to its commitment.",
        (("account", "AnyAddress"), ("epoch", NUMBER_OR_LATEST)),
        ("proof", "RolesProof"),
        ("not_found", "overloaded"),
    ),
    (
        "tally_getFileProof",
        "A file as it was listed at the end of a sealed epoch, with the path to its commitment.",
        (("file", "AnyHash"), ("epoch", NUMBER_OR_LATEST)),
        ("proof", "FileProof"),
        ("not_found", "overloaded"),
    ),
    (
        "tally_subscribe",
        "Over WebSocket: from now on, or from a block on, whatever becomes durable is told in notifications "
        "`tally_subscription` with `{subscription, result}`. Results are, of `blocks`, each one's Header; of "
        "`payments`, each that fits as a ListedPayment, accepted; of `commitments`, an epoch's Commitment whenever its "
        "way to Ethereum changes. A subscription that cannot go on ends with `{subscription, error}`.",
        (("topic", _TOPIC), ("filter?", "SubscriptionFilter?")),
        ("subscription", "SubscriptionId"),
        ("unknown_kind", "too_far_back", "too_many_subscriptions", "overloaded", "connection_required"),
    ),
    (
        "tally_unsubscribe",
        "Ends a subscription of this connection. Whether there was one; once this is answered, it is told no more.",
        (("subscription", "SubscriptionId"),),
        ("ended", {"type": "boolean"}),
        ("connection_required",),
    ),
    (
        "rpc.discover",
        "This document.",
        (),
        ("document", {"type": "object", "required": ["openrpc", "info", "methods"]}),
        (),
    ),
)


def _describe_method(
    name: str,
    summary: str,
    parameters: tuple[_Parameter, ...],
    result: tuple[str, Schema | str],
    errors: tuple[str, ...],
) -> dict[str, Any]:
    codes = ("malformed_request", *errors, "answer_too_large")
    if name == "tally_sendPayment":  # which is made in any case
        codes = errors
    return {
        "name": name,
        "summary": summary.partition(". ")[0].rstrip("."),
        "description": summary,
        "paramStructure": "either",
        "params": [_describe_parameter(*parameter) for parameter in parameters],
        "result": {"name": result[0], "schema": resolve(result[1])},
        "errors": [{"$ref": f"#/components/errors/{code}"} for code in codes],
        "examples": [_describe_example(name, *example) for example in _read_examples().get(name, ())],
    }


def _describe_parameter(name: str, form: Schema | str) -> dict[str, Any]:
    return {"name": name.rstrip("?"), "required": not name.endswith("?"), "schema": resolve(form)}


def _describe_example(method: str, params: list[Any], result: Any) -> dict[str, Any]:
    names = next(
        [name.rstrip("?") for name, _ in parameters] for named, _, parameters, *_ in _METHODS if named == method
    )
    return {
        "name": method,
        "params": [{"name": name, "value": value} for name, value in zip(names, params, strict=False)],
        "result": {"name": "result", "value": result},
    }


@cache
def _read_examples() -> dict[str, list[tuple[list[Any], Any]]]:
    """method → (parameters, result) of a development network."""
    return msgspec.json.decode(_EXAMPLES.read_bytes(), type=dict[str, list[tuple[list[Any], Any]]])
