"""The forms of the interface, as JSON Schema: what goes in and comes out, for `rpc.discover`.

They are listed as data, in the order in which the answers have them. What is signed follows from the description of it
that its digest follows from.
"""

from typing import Any, Final, TypeAlias

from chain.instruction import (
    MAX_DESCRIPTION_SIZE,
    MAX_MEDIA_TYPE_SIZE,
    MAX_NAME_SIZE,
    MAX_TAG_SIZE,
    MAX_TAGS,
    MEMBERS,
    REGISTERED_ROLES,
    SEALED_KEY_SIZE,
)
from chain.kinds import EXTEND, KIND_CODES, PURCHASE, TIP, TRANSFER, UPLOAD, WITHDRAW
from chain.market import ROLE_BITS
from chain.primitives import MAX_MEMO_SIZE, MAX_OUTPUTS, MAX_STORAGE_DAYS
from node.catalogue import DELISTED, EXPIRED, LISTED
from node.index import Direction
from node.payment_status import PaymentStatus
from node.rpc.market import MAX_TEXT_SIZE
from node.rpc.parameters import MAX_COMMITMENTS
from node.rpc.subscriptions import MAX_BLOCKS_BACK

Schema: TypeAlias = dict[str, Any]


# --- how forms are written down below


def _text(pattern: str, description: str = "") -> Schema:
    schema = {"type": "string", "pattern": pattern}
    return schema | ({"description": description} if description else {})


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _or_null(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


def enum(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _object(members: dict[str, Schema | str], optional: tuple[str, ...] = ()) -> Schema:
    """Exactly these members. A name stands for the schema of that name; with a question mark, or for null."""
    return {
        "type": "object",
        "properties": {name: resolve(member) for name, member in members.items()},
        "required": [name for name in members if name not in optional],
        "additionalProperties": False,
    }


def _any_of(members: dict[str, Schema | str]) -> Schema:
    """An object with some of these members, or none."""
    schema = _object(members)
    del schema["required"]
    return schema


def resolve(member: Schema | str) -> Schema:
    if not isinstance(member, str):
        return member
    return _or_null(ref(member[:-1])) if member.endswith("?") else ref(member)


# --- forms

_TEXT: Final[Schema] = {"type": "string"}
_TYPES: Final[Schema] = {
    "description": "EIP-712 types, as signers take them",
    "type": "object",
    "additionalProperties": _list(_object({"name": _TEXT, "type": _TEXT})),
}
_STATUS: Final = enum(*PaymentStatus, "void")
_ROLE: Final = enum(*ROLE_BITS)
_FILE_STATUS: Final = enum(LISTED, DELISTED, EXPIRED)
KIND: Final = enum(*KIND_CODES)
NUMBER_OR_LATEST: Final[Schema] = {"oneOf": [ref("AnyQuantity"), {"const": "latest"}]}
_NODES: Final = _list(ref("SumNode"))
_ENTRY: Final[dict[str, Schema | str]] = {
    "type": {**ref("Quantity"), "description": "of the record: 0x1 payment, 0x2 deposit"},
    "block": "Quantity",
    "record": "Quantity",
    "id": "Hash",
    "amount": "Quantity",
    "balance": {**ref("Quantity"), "description": "of the account in this asset, after this entry"},
}


def _list_record(name: str, form: str) -> dict[str, Schema | str]:
    """A receipt's members but for the siblings; `name` is what was signed."""
    return {
        "id": "Hash",
        "status": _STATUS,
        "domain": "Domain",
        name: form,
        "signature": "Signature",
        "block": "Header",
        "index": {**ref("Quantity"), "description": "its place in the block, from 0"},
        "commitment": "Inclusion?",
    }


_LISTED: Final = _list_record("payment", "Payment")
_LISTED_INSTRUCTION: Final = _list_record("instruction", "Instruction")


# --- what accounts sign beside payments

_OUT: Final[dict[str, Schema | str]] = {
    "address": "Address",
    "bytes32": "Hash",
    "bytes": _text(f"^0x([0-9a-f]{{{2 * SEALED_KEY_SIZE}}})?$"),
    "string": _TEXT,
    "string[]": _list(_TEXT),
}
_IN: Final[dict[str, Schema | str]] = {
    "address": "AnyAddress",
    "bytes32": "AnyHash",
    "bytes": _text(f"^0[xX]([0-9a-fA-F]{{{2 * SEALED_KEY_SIZE}}})?$"),
    "string": _TEXT,
    "string[]": _list(_TEXT),
}
"""EIP-712 type → its form in an answer, and in what comes in. Those that are missing are integers."""


def _size(limit: int) -> str:
    return f"at most {limit} bytes of UTF-8"


_NOTES: Final = {
    "validUntil": "Unix seconds; 0x0 for no limit",
    "price": "base units of the asset, at least one",
    "size": "bytes, as stored",
    "storageDays": f"from 1 to {MAX_STORAGE_DAYS:,}: what the upload pays for",
    "contentHash": "SHA-256 of the content, unencrypted",
    "name": f"not empty; {_size(MAX_NAME_SIZE)}",
    "mediaType": f"as in Content-Type, or empty; {_size(MAX_MEDIA_TYPE_SIZE)}",
    "tags": f"at most {MAX_TAGS}, each different and not empty; each {_size(MAX_TAG_SIZE)}",
    "description": _size(MAX_DESCRIPTION_SIZE),
    "keyHash": "keccak-256 of the key that the content is encrypted with; zero for content that is not",
    "sealedKey": "that key, sealed to the node's escrow; 0x when the validator hands it out",
}
_ENUMS: Final = {"role": enum(*REGISTERED_ROLES)}


def _describe_instruction(name: str, forms: dict[str, Schema | str], integer: str) -> Schema:
    members: dict[str, Schema | str] = {"type": {"const": name}}
    for kind, member, _ in MEMBERS[name]:
        form = resolve(_ENUMS.get(member, forms.get(kind, integer)))
        members[member] = form | ({"description": _NOTES[member]} if member in _NOTES else {})
    return _object(members)


def _describe_file(**more: Schema | str) -> Schema:
    return _object(
        {
            "file": "Hash",
            "name": _TEXT,
            "mediaType": _TEXT,
            "tags": _list(_TEXT),
            "description": _TEXT,
            "size": {**ref("Quantity"), "description": "bytes"},
            "contentHash": {**ref("Hash"), "description": "SHA-256 of the content, unencrypted"},
            "keyHash": {**resolve("Hash?"), "description": "keccak-256 of the key; null for content in the clear"},
            "isKeyInEscrow": {"type": "boolean", "description": "whether this node hands the key to who has bought it"},
            "validator": "Address",
            "owner": "Address",
            "asset": "Address",
            "price": "Quantity",
            "shares": {**_list(ref("Share")), "description": "what a purchase pays now, in its order"},
            "storageDays": "Quantity",
            "keepUntil": {**ref("Quantity"), "description": "Unix seconds"},
            "serviceNode": {**resolve("Address?"), "description": "who keeps it; null while no upload is paid"},
            "listing": {**ref("Hash"), "description": "id of the instruction that listed it"},
            "listedAt": {**ref("Quantity"), "description": "milliseconds"},
            "block": "Quantity",
            "index": "Quantity",
            "status": _FILE_STATUS,
            "saleCount": "Quantity",
            "sold": {**ref("Quantity"), "description": "base units that buyers have paid for it"},
            **more,
        }
    )


def _describe_entry_proof(entry: str) -> Schema:
    return _object(
        {
            "epoch": "Quantity",
            "commitment": _object({"message": "CommitmentMessage", "signature": "Signature"}),
            "entry": entry,
            "index": "Quantity",
            "count": "Quantity",
            "siblings": _list(ref("Hash")),
        }
    )


def _describe_details(members: dict[str, Schema | str], optional: tuple[str, ...], what: str) -> Schema:
    """Of a quote: with what every kind of payment may be given."""
    common: dict[str, Schema | str] = {
        "from": "AnyAddress",
        "nonce": "AnyQuantity",
        "validUntil": "AnyQuantity",
        "memo": _TEXT,
    }
    details = _object({**members, **common}, ("nonce", "validUntil", "memo", *optional))
    return {**details, "description": what}


_LIMIT: Final = {**ref("AnyQuantity"), "description": "items of a page, at most 1,000; 50 unless given"}


# --- all of them

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
            "validUntil": {**ref("Quantity"), "description": "Unix seconds; 0x0 for no limit"},
            "kind": KIND,
            "reference": "Hash",
            "memo": _TEXT,
            "outputs": _list(ref("Output")),
        }
    ),
    "AnyOutput": _object({"to": "AnyAddress", "amount": "AnyQuantity"}),
    "AnyPayment": _object(
        {
            "asset": "AnyAddress",
            "from": "AnyAddress",
            "nonce": "AnyQuantity",
            "validUntil": "AnyQuantity",
            "kind": KIND,
            "reference": "AnyHash",
            "memo": {"type": "string", "description": f"at most {MAX_MEMO_SIZE} bytes of UTF-8"},
            "outputs": {**_list(ref("AnyOutput")), "minItems": 1, "maxItems": MAX_OUTPUTS},
        }
    ),
    "Header": _object(
        {
            "number": "Quantity",
            "previous": "Hash",
            "timestamp": {**ref("Quantity"), "description": "milliseconds"},
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
    "Instruction": {"oneOf": [_describe_instruction(name, _OUT, "Quantity") for name in MEMBERS]},
    "AnyInstruction": {"oneOf": [_describe_instruction(name, _IN, "AnyQuantity") for name in MEMBERS]},
    "AnyListing": _describe_instruction("ListFile", _IN, "AnyQuantity"),
    "Record": {
        "oneOf": [
            _object({"type": {"const": "payment"}, "id": "Hash", "payment": "Payment", "signature": "Signature"}),
            _object(
                {"type": {"const": "instruction"}, "id": "Hash", "instruction": "Instruction", "signature": "Signature"}
            ),
            _object({"type": {"const": "deposit"}, "id": "Hash", "deposit": "Deposit"}),
        ]
    },
    "Block": _object({"header": "Header", "signature": "Signature", "records": _list(ref("Record"))}),
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
            "cutAt": {**ref("Quantity"), "description": "milliseconds"},
            "blocksRoot": "Hash",
            "extraRoot": "Hash",
            "assets": _list(ref("AssetCommitment")),
        }
    ),
    "Attempt": _object(
        {
            "number": "Quantity",
            "hash": "Hash",
            "nonce": "Quantity",
            "type": {
                **enum("legacy", "eip1559"),
                "description": "a legacy transaction has one gas price, which both fees show",
            },
            "gasLimit": "Quantity",
            "maxFeePerGas": "Quantity",
            "maxPriorityFeePerGas": "Quantity",
            "sentAt": {**ref("Quantity"), "description": "milliseconds"},
            "outcome": {
                **_or_null(enum("included", "reverted", "replaced")),
                "description": "null while it may still be mined",
            },
            "problem": {**_or_null(_TEXT), "description": "why it was reverted, in the contract's words"},
            "gasUsed": "Quantity?",
            "effectiveGasPrice": "Quantity?",
            "cost": {**resolve("Quantity?"), "description": "wei; null while it is not known"},
        }
    ),
    "Commitment": _object(
        {
            "epoch": "Quantity",
            "message": "CommitmentMessage",
            "signature": "Signature",
            "status": enum("sealed", "sent", "mined", "final"),
            "sealedAt": {**resolve("Quantity?"), "description": "milliseconds"},
            "attempts": _list(ref("Attempt")),
            "cost": {**ref("Quantity"), "description": "wei: of all attempts of which it is known what they cost"},
            "l1Transaction": "Hash?",
            "isOurs": {
                **_or_null({"type": "boolean"}),
                "description": "whether this node sent the transaction that is included, and not somebody else",
            },
            "l1Block": "Quantity?",
            "l1BlockHash": "Hash?",
            "includedAt": {**resolve("Quantity?"), "description": "Unix seconds"},
            "confirmations": "Quantity?",
            "finalAt": {
                **resolve("Quantity?"),
                "description": "Unix seconds: when its challenge period is over",
            },
            "gasUsed": "Quantity?",
            "effectiveGasPrice": "Quantity?",
        }
    ),
    "CommitmentsPage": _object({"items": _list(ref("Commitment")), "cursor": "Cursor?"}),
    "CommitmentsFilter": _any_of(
        {
            "cursor": "Cursor",
            "limit": {
                **ref("AnyQuantity"),
                "description": f"items of a page, at most {MAX_COMMITMENTS}; 50 unless given",
            },
        }
    ),
    "Inclusion": _object(
        {
            "epoch": "Quantity",
            "index": {**ref("Quantity"), "description": "the block's place in the epoch, from 0"},
            "siblings": _list(ref("Hash")),
            "l1Transaction": "Hash",
            "includedAt": {**ref("Quantity"), "description": "Unix seconds"},
            "message": "CommitmentMessage",
        }
    ),
    "Receipt": _object({**_LISTED, "siblings": _list(ref("Hash"))}),
    "ListedPayment": {**_object(_LISTED), "description": "a receipt without siblings"},
    "InstructionReceipt": _object({**_LISTED_INSTRUCTION, "siblings": _list(ref("Hash"))}),
    "ListedInstruction": {**_object(_LISTED_INSTRUCTION), "description": "a receipt without siblings"},
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
            "parameters": _object(
                {
                    "commission": {
                        **_TEXT,
                        "description": "hundredths of a percent, as the other shares",
                    },
                    "deployedAt": _TEXT,
                    "l1ChainId": _TEXT,
                    "nativeAsset": _TEXT,
                    "ownerShare": _TEXT,
                    "protocol": _TEXT,
                    "settlement": _TEXT,
                    "storageRates": {
                        "description": "asset → base units for keeping one GiB for a day",
                        "type": "object",
                        "additionalProperties": _TEXT,
                    },
                    "validatorShare": _TEXT,
                }
            ),
            "types": _TYPES,
            "otherTypes": {"type": "object", "additionalProperties": _TYPES},
            "escrow": {
                **_or_null(_object({"publicKey": _text("^0x0[23][0-9a-f]{64}$", "compressed, 33 bytes")})),
                "description": "what file keys are sealed to; null when this node takes none",
            },
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
            "timestamp": {**ref("Quantity"), "description": "milliseconds"},
            "epoch": "Quantity",
            "l1Transaction": "Hash?",
        }
    ),
    "Account": _object(
        {
            "address": "Address",
            "nonceBase": "Quantity",
            "nextNonce": {**ref("Quantity"), "description": "one above the highest used one"},
            "balances": _list(_object({"asset": "Address", "balance": "Quantity"})),
            "roles": _list(_ROLE),
            "ownerUnder": {**resolve("Address?"), "description": "the validator that the account is an owner under"},
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
    "PaymentsPage": _object({"items": _list(ref("ListedPayment")), "cursor": "Cursor?"}),
    "PaymentsFilter": _any_of(
        {
            "account": {**ref("AnyAddress"), "description": "the payer or a payee"},
            "direction": {**enum(*Direction), "description": "only what the account paid, or what was paid to it"},
            "counterparty": {**ref("AnyAddress"), "description": "who is on the other side of the account's payments"},
            "asset": "AnyAddress",
            "kind": KIND,
            "reference": "AnyHash",
            "status": enum(*PaymentStatus),
            "from": {**ref("AnyQuantity"), "description": "Unix seconds, included"},
            "to": {**ref("AnyQuantity"), "description": "Unix seconds, included"},
            "cursor": "Cursor",
            "limit": _LIMIT,
        }
    ),
    "QuoteDetails": {
        "anyOf": [
            _describe_details(
                {
                    "asset": "AnyAddress",
                    "to": "AnyAddress",
                    "amount": "AnyQuantity",
                    "outputs": _list(ref("AnyOutput")),
                    "reference": "AnyHash",
                },
                ("to", "amount", "outputs", "reference"),
                f"of {TRANSFER}, {TIP} and {WITHDRAW}: `to` and `amount`, or `outputs`",
            ),
            _describe_details(
                {
                    "to": {**ref("AnyAddress"), "description": "the service node"},
                    "asset": "AnyAddress",
                    "reference": "AnyHash",
                    "listing": "AnyListing",
                },
                ("asset", "reference", "listing"),
                f"of {UPLOAD}: the `reference` of a listed file, or the `listing` that the payment follows",
            ),
            _describe_details(
                {
                    "reference": "AnyHash",
                    "price": {**ref("AnyQuantity"), "description": "what the payer expects; refused if it is another"},
                },
                ("price",),
                f"of {PURCHASE}",
            ),
            _describe_details(
                {"reference": "AnyHash", "days": "AnyQuantity", "asset": "AnyAddress"}, ("asset",), f"of {EXTEND}"
            ),
        ]
    },
    "Quote": _object(
        {
            "payment": "Payment",
            "total": "Quantity",
            "parties": _list(
                _object(
                    {
                        "address": "Address",
                        "role": enum("payer", "payee", "validator", "owner", "service_node"),
                        "change": _text("^-?0x(0|[1-9a-f][0-9a-f]*)$", "with its sign"),
                    }
                )
            ),
        }
    ),
    "StorageCharge": _object({"charge": "Quantity", "dailyCharge": "Quantity"}),
    "Share": _object({"role": enum("validator", "owner", "service_node"), "address": "Address", "amount": "Quantity"}),
    "ListedFile": _describe_file(),
    "File": _describe_file(
        prices={
            **_list(
                _object(
                    {
                        "price": "Quantity",
                        "block": "Quantity",
                        "timestamp": {**ref("Quantity"), "description": "milliseconds"},
                    }
                )
            ),
            "maxItems": 100,
            "description": "what it cost, and from when on; newest first",
        }
    ),
    "FilesPage": _object({"items": _list(ref("ListedFile")), "cursor": "Cursor?"}),
    "FilesFilter": _any_of(
        {
            "text": {**_TEXT, "maxLength": MAX_TEXT_SIZE, "description": "words of names, tags and descriptions"},
            "tag": {
                "oneOf": [_TEXT, {**_list(_TEXT), "maxItems": MAX_TAGS}],
                "description": "a tag, or a list of tags that a file must all have",
            },
            "mediaType": {**_TEXT, "maxLength": MAX_TEXT_SIZE},
            "validator": "AnyAddress",
            "owner": "AnyAddress",
            "serviceNode": "AnyAddress",
            "asset": "AnyAddress",
            "status": {**enum("listed", "all"), "description": "`listed`, unless given, leaves out what was delisted"},
            "cursor": "Cursor",
            "limit": _LIMIT,
        }
    ),
    "Purchase": _object(
        {
            "file": "Hash",
            "buyer": "Address",
            "receipt": "Receipt",
            "keyHash": "Hash?",
            "sealedKey": _or_null(
                _text(f"^0x[0-9a-f]{{{2 * SEALED_KEY_SIZE}}}$", "the file's key, for the buyer alone to open")
            ),
        }
    ),
    "RegistrationsPage": _object(
        {
            "items": _list(
                _object(
                    {
                        "account": "Address",
                        "role": _ROLE,
                        "validator": {**resolve("Address?"), "description": "of an owner"},
                        "namedOnly": {
                            "type": "boolean",
                            "description": "whether the owner was named with an upload, and has not signed for it",
                        },
                        "block": "Quantity",
                        "timestamp": {**ref("Quantity"), "description": "milliseconds"},
                    }
                )
            ),
            "count": {**ref("Quantity"), "description": "of all pages"},
            "cursor": "Cursor?",
        }
    ),
    "RegistrationsFilter": _any_of(
        {
            "role": _ROLE,
            "validator": {**ref("AnyAddress"), "description": "whose owners"},
            "cursor": "Cursor",
            "limit": _LIMIT,
        }
    ),
    "InstructionsPage": _object({"items": _list(ref("ListedInstruction")), "cursor": "Cursor?"}),
    "InstructionsFilter": _any_of(
        {"account": "AnyAddress", "file": "AnyHash", "cursor": "Cursor", "limit": _LIMIT},
    ),
    "AccountEntry": _object(
        {"account": "Address", "roles": _list(_ROLE), "validator": "Address?", "namedOnly": {"type": "boolean"}}
    ),
    "FileEntry": _object(
        {
            "file": "Hash",
            "validator": "Address",
            "owner": "Address",
            "asset": "Address",
            "price": "Quantity",
            "size": "Quantity",
            "storageDays": "Quantity",
            "keepUntil": "Quantity",
            "serviceNode": "Address?",
            "listing": "Hash",
            "delisted": {"type": "boolean"},
        }
    ),
    "RolesProof": _describe_entry_proof("AccountEntry"),
    "FileProof": _describe_entry_proof("FileEntry"),
    "SubscriptionId": _text("^0x[0-9a-f]{32}$"),
    "SubscriptionFilter": _any_of(
        {
            "account": {**ref("AnyAddress"), "description": "the payer or a payee; payments only, as the next three"},
            "asset": "AnyAddress",
            "kind": KIND,
            "reference": "AnyHash",
            "fromBlock": {
                **ref("AnyQuantity"),
                "description": "the first block to be told of, blocks and payments only: "
                f"at most {MAX_BLOCKS_BACK:,} before the newest. To miss nothing after a connection has ended: the "
                "last one heard of, whose payments may be told again",
            },
        }
    ),
}
