"""`rpc.discover`: the interface as an OpenRPC document, for programs that read interfaces. https://spec.open-rpc.org

Forms are listed as data, in the order in which the answers have them; what is real in the examples was answered by a
development network (`tests/openrpc_examples.py` writes them).
"""

from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from chain.kinds import KIND_CODES
from chain.primitives import MAX_MEMO_SIZE, MAX_OUTPUTS
from node import __version__
from node.index import Direction
from node.payment_status import PaymentStatus
from node.rpc.envelope import get_number
from node.rpc.subscriptions import MAX_BLOCKS_BACK, MAX_LAG_BLOCKS, MAX_SUBSCRIPTIONS, TOPICS

OPENRPC_VERSION: Final = "1.3.2"

Schema: TypeAlias = dict[str, Any]

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


# --- how forms are written down below


def _text(pattern: str, description: str = "") -> Schema:
    schema = {"type": "string", "pattern": pattern}
    return schema | ({"description": description} if description else {})


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _or_null(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


def _enum(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _object(members: dict[str, Schema | str], optional: tuple[str, ...] = ()) -> Schema:
    """Exactly these members. A name stands for the schema of that name; with a question mark, or for null."""
    return {
        "type": "object",
        "properties": {name: _resolve(member) for name, member in members.items()},
        "required": [name for name in members if name not in optional],
        "additionalProperties": False,
    }


def _any_of(members: dict[str, Schema | str]) -> Schema:
    """An object with some of these members, or none."""
    schema = _object(members)
    del schema["required"]
    return schema


def _resolve(member: Schema | str) -> Schema:
    if not isinstance(member, str):
        return member
    return _or_null(_ref(member[:-1])) if member.endswith("?") else _ref(member)


# --- forms

_TEXT: Final[Schema] = {"type": "string"}
_TYPES: Final[Schema] = {
    "description": "EIP-712 types, as signers take them",
    "type": "object",
    "additionalProperties": _list(_object({"name": _TEXT, "type": _TEXT})),
}
_STATUS: Final = _enum(*PaymentStatus, "void")
_KIND: Final = _enum(*KIND_CODES)
_NODES: Final = _list(_ref("SumNode"))
_ENTRY: Final[dict[str, Schema | str]] = {
    "type": {**_ref("Quantity"), "description": "of the record: 0x1 payment, 0x2 deposit"},
    "block": "Quantity",
    "record": "Quantity",
    "id": "Hash",
    "amount": "Quantity",
    "balance": {**_ref("Quantity"), "description": "of the account in this asset, after this entry"},
}
_LISTED: Final[dict[str, Schema | str]] = {
    "id": "Hash",
    "status": _STATUS,
    "domain": "Domain",
    "payment": "Payment",
    "signature": "Signature",
    "block": "Header",
    "index": {**_ref("Quantity"), "description": "the payment's place in the block, from 0"},
    "commitment": "Inclusion?",
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Quantity": _text("^0x(0|[1-9a-f][0-9a-f]*)$", "an integer in hex, without leading zeros"),
    "Address": _text("^0x[0-9a-fA-F]{40}$", "20 bytes; the case of its letters is its checksum (EIP-55)"),
    "Hash": _text("^0x[0-9a-f]{64}$", "32 bytes"),
    "Signature": _text("^0x[0-9a-f]{130}$", "r, s and v, 65 bytes"),
    "Cursor": {"type": "string", "maxLength": 64, "description": "where the next page begins: hand it back as it came"},
    "AnyQuantity": {
        "description": "an integer: 0x hex, a decimal string, or a JSON integer up to 2^53 - 1",
        "oneOf": [
            _text("^(0[xX][0-9a-fA-F]{1,64}|[0-9]{1,78})$"),
            {"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
        ],
    },
    "AnyAddress": _text("^0[xX][0-9a-fA-F]{40}$", "an address, its letters in any case"),
    "AnyHash": _text("^0[xX][0-9a-fA-F]{64}$", "32 bytes, letters in any case"),
    "AnySignature": _text("^0[xX][0-9a-fA-F]{130}$", "65 bytes, letters in any case"),
    "Domain": _object(
        {"name": _TEXT, "version": _TEXT, "chainId": "Quantity", "verifyingContract": "Address"},
    ),
    "Output": _object({"to": "Address", "amount": "Quantity"}),
    "Payment": _object(
        {
            "asset": "Address",
            "from": "Address",
            "nonce": "Quantity",
            "validUntil": {**_ref("Quantity"), "description": "Unix seconds; 0x0 for no limit"},
            "kind": _KIND,
            "reference": "Hash",
            "memo": _TEXT,
            "outputs": _list(_ref("Output")),
        }
    ),
    "AnyOutput": _object({"to": "AnyAddress", "amount": "AnyQuantity"}),
    "AnyPayment": _object(
        {
            "asset": "AnyAddress",
            "from": "AnyAddress",
            "nonce": "AnyQuantity",
            "validUntil": "AnyQuantity",
            "kind": _KIND,
            "reference": "AnyHash",
            "memo": {"type": "string", "description": f"at most {MAX_MEMO_SIZE} bytes of UTF-8"},
            "outputs": {**_list(_ref("AnyOutput")), "minItems": 1, "maxItems": MAX_OUTPUTS},
        }
    ),
    "Header": _object(
        {
            "number": "Quantity",
            "previous": "Hash",
            "timestamp": {**_ref("Quantity"), "description": "milliseconds"},
            "recordsRoot": "Hash",
            "recordCount": "Quantity",
            "hash": "Hash",
            "signature": "Signature",
        }
    ),
    "Deposit": _object(
        {
            "asset": "Address",
            "index": "Quantity",
            "account": "Address",
            "amount": "Quantity",
            "l1Block": "Quantity",
            "l1BlockHash": "Hash",
            "l1Transaction": "Hash",
        }
    ),
    "Record": {
        "oneOf": [
            _object({"type": {"const": "payment"}, "id": "Hash", "payment": "Payment", "signature": "Signature"}),
            _object({"type": {"const": "deposit"}, "id": "Hash", "deposit": "Deposit"}),
        ]
    },
    "Block": _object({"header": "Header", "signature": "Signature", "records": _list(_ref("Record"))}),
    "AssetCommitment": _object(
        {
            "asset": "Address",
            "stateRoot": "Hash",
            "total": "Quantity",
            "accountCount": "Quantity",
            "depositCount": "Quantity",
            "forcedCount": "Quantity",
            "withdrawalsRoot": "Hash",
            "withdrawalCount": "Quantity",
            "withdrawn": "Quantity",
        }
    ),
    "CommitmentMessage": _object(
        {
            "epoch": "Quantity",
            "previous": "Hash",
            "firstBlock": "Quantity",
            "lastBlock": "Quantity",
            "cutAt": {**_ref("Quantity"), "description": "milliseconds"},
            "blocksRoot": "Hash",
            "extraRoot": "Hash",
            "assets": _list(_ref("AssetCommitment")),
        }
    ),
    "Attempt": _object(
        {
            "number": "Quantity",
            "hash": "Hash",
            "nonce": "Quantity",
            "maxFeePerGas": "Quantity",
            "maxPriorityFeePerGas": "Quantity",
            "sentAt": {**_ref("Quantity"), "description": "milliseconds"},
            "outcome": _or_null(_enum("included", "reverted", "replaced")),
        }
    ),
    "Commitment": _object(
        {
            "epoch": "Quantity",
            "message": "CommitmentMessage",
            "signature": "Signature",
            "status": _enum("sealed", "sent", "mined", "final"),
            "attempts": _list(_ref("Attempt")),
            "l1Transaction": "Hash?",
            "l1Block": "Quantity?",
            "includedAt": "Quantity?",
            "confirmations": "Quantity?",
            "gasUsed": "Quantity?",
            "effectiveGasPrice": "Quantity?",
        }
    ),
    "Inclusion": _object(
        {
            "epoch": "Quantity",
            "index": {**_ref("Quantity"), "description": "the block's place in the epoch, from 0"},
            "siblings": _list(_ref("Hash")),
            "l1Transaction": "Hash",
            "includedAt": {**_ref("Quantity"), "description": "Unix seconds"},
            "message": "CommitmentMessage",
        }
    ),
    "Receipt": _object({**_LISTED, "siblings": _list(_ref("Hash"))}),
    "ListedPayment": {**_object(_LISTED), "description": "a receipt without siblings"},
    "Info": _object(
        {
            "name": _TEXT,
            "version": _TEXT,
            "ledgerChainId": "Quantity",
            "domain": "Domain",
            "settlement": "Address",
            "l1ChainId": "Quantity",
            "operator": "Address",
            "assets": _list(
                _object(
                    {
                        "address": "Address",
                        "symbol": _or_null(_TEXT),
                        "decimals": "Quantity?",
                        "native": {"type": "boolean"},
                    }
                )
            ),
            "epoch": "Quantity",
            "headBlock": "Quantity",
            "lastCommitment": _object({"sealed": "Quantity", "mined": "Quantity", "final": "Quantity"}),
            "parameters": {"type": "object", "additionalProperties": _TEXT},
            "types": _TYPES,
            "otherTypes": {"type": "object", "additionalProperties": _TYPES},
        }
    ),
    "PaymentStatus": _object(
        {
            "id": "Hash",
            "status": _STATUS,
            "payment": "Payment",
            "signature": "Signature",
            "block": "Quantity",
            "index": "Quantity",
            "timestamp": {**_ref("Quantity"), "description": "milliseconds"},
            "epoch": "Quantity",
            "l1Transaction": "Hash?",
        }
    ),
    "Account": _object(
        {
            "address": "Address",
            "nonceBase": "Quantity",
            "nextNonce": {**_ref("Quantity"), "description": "one above the highest used one"},
            "balances": _list(_object({"asset": "Address", "balance": "Quantity"})),
            "roles": _list(_TEXT),
        }
    ),
    "SumNode": _object({"hash": "Hash", "sum": "Quantity"}),
    "WithdrawalClaim": _object(
        {
            "asset": "Address",
            "index": "Quantity",
            "id": "Hash",
            "recipient": "Address",
            "amount": "Quantity",
            "siblings": _NODES,
        }
    ),
    "PaymentProof": _object({"receipt": "Receipt", "withdrawal": "WithdrawalClaim?", "assetIndex": "Quantity?"}),
    "AccountLeaf": _object(
        {
            "asset": "Address",
            "owner": "Address",
            "epoch": "Quantity",
            "nonceBase": "Quantity",
            "nonceMap": "Quantity",
            "opening": "Quantity",
            "debits": "Quantity",
            "credits": "Quantity",
            "closing": "Quantity",
            "debitCount": "Quantity",
            "creditCount": "Quantity",
            "debitsRoot": "Hash",
            "creditsRoot": "Hash",
        }
    ),
    "AccountProof": _object(
        {
            "epoch": "Quantity",
            "commitment": _object({"message": "CommitmentMessage", "signature": "Signature"}),
            "assetIndex": "Quantity",
            "leaf": "AccountLeaf",
            "index": "Quantity",
            "siblings": _NODES,
        }
    ),
    "Statement": _object(
        {
            "address": "Address",
            "asset": "Address",
            "epoch": "Quantity",
            "opening": "Quantity",
            "closing": "Quantity",
            "debitsSum": "Quantity",
            "creditsSum": "Quantity",
            "debitsRoot": "Hash?",
            "creditsRoot": "Hash?",
            "debits": _list(_object({**_ENTRY, "number": "Quantity"})),
            "credits": _list(_object({**_ENTRY, "output": "Quantity"})),
            "cursor": "Cursor?",
        }
    ),
    "PaymentsPage": _object({"items": _list(_ref("ListedPayment")), "cursor": "Cursor?"}),
    "PaymentsFilter": _any_of(
        {
            "account": {**_ref("AnyAddress"), "description": "the payer or a payee"},
            "direction": {**_enum(*Direction), "description": "only what the account paid, or what was paid to it"},
            "counterparty": {**_ref("AnyAddress"), "description": "who is on the other side of the account's payments"},
            "asset": "AnyAddress",
            "kind": _KIND,
            "reference": "AnyHash",
            "status": _enum(*PaymentStatus),
            "from": {**_ref("AnyQuantity"), "description": "Unix seconds, included"},
            "to": {**_ref("AnyQuantity"), "description": "Unix seconds, included"},
            "cursor": "Cursor",
            "limit": {**_ref("AnyQuantity"), "description": "items of a page, at most 1,000; 50 unless given"},
        }
    ),
    "QuoteDetails": _object(
        {
            "asset": "AnyAddress",
            "from": "AnyAddress",
            "to": "AnyAddress",
            "amount": "AnyQuantity",
            "outputs": _list(_ref("AnyOutput")),
            "nonce": "AnyQuantity",
            "validUntil": "AnyQuantity",
            "reference": "AnyHash",
            "memo": _TEXT,
        },
        optional=("to", "amount", "outputs", "nonce", "validUntil", "reference", "memo"),
    )
    | {"description": "`to` and `amount`, or `outputs`"},
    "Quote": _object(
        {
            "payment": "Payment",
            "total": "Quantity",
            "parties": _list(
                _object({"address": "Address", "change": _text("^-?0x(0|[1-9a-f][0-9a-f]*)$", "with its sign")})
            ),
        }
    ),
    "SubscriptionId": _text("^0x[0-9a-f]{32}$"),
    "SubscriptionFilter": _any_of(
        {
            "account": {**_ref("AnyAddress"), "description": "the payer or a payee; payments only, as the next three"},
            "asset": "AnyAddress",
            "kind": _KIND,
            "reference": "AnyHash",
            "fromBlock": {
                **_ref("AnyQuantity"),
                "description": "the first block to be told of, blocks and payments only: "
                f"at most {MAX_BLOCKS_BACK:,} before the newest. To miss nothing after a connection has ended: the "
                "last one heard of, whose payments may be told again",
            },
        }
    ),
}


# --- refusals

ERRORS: Final[dict[str, str]] = {
    "malformed_request": "The parameters are not what the method takes.",
    "malformed_payment": "What was sent is no payment with a signature.",
    "unknown_kind": "There are no payments of that kind.",
    "no_outputs": "The payment has no outputs.",
    "too_many_outputs": f"The payment has more than {MAX_OUTPUTS} outputs.",
    "zero_address": "The payment is from or to the zero address.",
    "zero_amount": "An output has the amount zero.",
    "amount_too_large": "An amount, or the sum of all, is above 2^128 - 1.",
    "memo_too_long": f"The memo takes more than {MAX_MEMO_SIZE} bytes.",
    "invalid_signature": "The payer has not signed this payment.",
    "unknown_asset": "The asset is not listed.",
    "expired": "The payment was valid until a time that has passed.",
    "nonce_used": "The nonce is used by another payment.",
    "nonce_too_far": "The nonce is beyond the account's window of 256.",
    "wrong_outputs": "A payment of this kind has other outputs.",
    "insufficient_balance": "The payer has less than the payment needs.",
    "epoch_limit": "An account would move more than an epoch can commit.",
    "not_found": "There is no such thing here.",
    "overloaded": "Too much is waiting to be done; try again in a moment.",
    "halted": "No payments are taken: nothing could be committed any more, or not in time.",
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
    "unknown_asset", "expired", "nonce_used", "nonce_too_far", "wrong_outputs", "insufficient_balance", "epoch_limit",
)  # fmt: skip
"""Both in the order in which they are looked for."""


def _describe_error(name: str, meaning: str) -> dict[str, Any]:
    return {"code": get_number(name), "message": meaning, "data": {"code": name}}


# --- methods

_Parameter: TypeAlias = tuple[str, Schema | str]
"""Name, and its form; a name that ends in a question mark may be left out."""

_Method: TypeAlias = tuple[str, str, tuple[_Parameter, ...], tuple[str, Schema | str], tuple[str, ...]]
"""Name, what it does, parameters, result, refusals beside `malformed_request` and `answer_too_large`."""

_ID: Final[tuple[_Parameter, ...]] = (("id", "AnyHash"),)
_TOPIC: Final[Schema] = {**_enum(*TOPICS), "description": "what to hear of: see the method's description"}

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
        "A payment's receipt; once its epoch is committed, with the path to what Ethereum holds.",
        _ID,
        ("receipt", "Receipt"),
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
        "An account's balances and nonces. One that was never heard of has nothing, and may use nonce 0.",
        (("address", "AnyAddress"),),
        ("account", "Account"),
        (),
    ),
    (
        "tally_getBlock",
        "A block by its number, its hash, or `latest`.",
        (("block", {"oneOf": [_ref("AnyQuantity"), {"const": "latest"}]}),),
        ("block", "Block"),
        ("not_found", "overloaded"),
    ),
    (
        "tally_getCommitment",
        "An epoch's commitment and its way to Ethereum, by number, or of the `latest` sealed or the last `final` one.",
        (("epoch", {"oneOf": [_ref("AnyQuantity"), _enum("latest", "final")]}),),
        ("commitment", "Commitment"),
        ("not_found", "overloaded"),
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
            ("epoch", {"oneOf": [_ref("AnyQuantity"), {"const": "latest"}]}),
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
        (("kind", _KIND), ("details", "QuoteDetails")),
        ("quote", "Quote"),
        (*_STRUCTURE, *_RULES),
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
        "result": {"name": result[0], "schema": _resolve(result[1])},
        "errors": [{"$ref": f"#/components/errors/{code}"} for code in codes],
        "examples": [_describe_example(name, *example) for example in _read_examples().get(name, ())],
    }


def _describe_parameter(name: str, form: Schema | str) -> dict[str, Any]:
    return {"name": name.rstrip("?"), "required": not name.endswith("?"), "schema": _resolve(form)}


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
