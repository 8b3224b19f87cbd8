"""Instructions: what an account tells the ledger beside its payments. They move no money and touch no account leaf, but
use a nonce of the account's one window, stand in blocks, and change who takes part in the data exchange and what is
listed there.

Each is an EIP-712 message of its own type. All begin `address account,uint64 nonce`, and every other member encodes to
one word of 32 bytes, so that a contract can rebuild an id from type hash, account, nonce and the words that follow,
whatever the type. Everything that depends on the members of a type (digest, journal form, JSON form in `chain.wire`)
follows from one description of them, `MEMBERS`.
"""

from typing import Any, Final, TypeAlias

import msgspec

from chain.encoding import Reader, encode_address_word, encode_u16, encode_u256
from chain.errors import MalformedBytes, MalformedInstruction, UnknownRole, ZeroAddress
from chain.hashing import keccak
from chain.market import MART, SERVICE_NODE, VALIDATOR
from chain.params import Domain
from chain.primitives import (
    MAX_STORAGE_DAYS,
    SIGNATURE_SIZE,
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Hash,
    Signature,
)
from chain.signatures import check_signer

MAX_NAME_SIZE: Final = 128
MAX_MEDIA_TYPE_SIZE: Final = 64
MAX_TAG_SIZE: Final = 32
MAX_DESCRIPTION_SIZE: Final = 512
"""Bytes of UTF-8, like the three before it."""
MAX_TAGS: Final = 8
SEALED_KEY_SIZE: Final = 81
"""Bytes: of a file key sealed to one public key, see `chain.sealing`."""

REGISTERED_ROLES: Final = (VALIDATOR, MART, SERVICE_NODE)
"""What `Register` is for; an owner registers under a validator."""


class Register(msgspec.Struct, frozen=True):
    """The account takes a role."""

    account: Address
    nonce: int
    valid_until: int
    """Unix seconds; 0 for no limit."""
    role: str


class RegisterOwner(msgspec.Struct, frozen=True):
    """The account becomes an owner under a validator."""

    account: Address
    nonce: int
    valid_until: int
    validator: Address


class ListFile(msgspec.Struct, frozen=True):
    """The account, a validator, offers a file of one of its owners for sale."""

    account: Address
    nonce: int
    valid_until: int
    file: Hash
    """Its id, of the validator's choice; never given twice, and not zero, by which a payment refers to nothing."""
    owner: Address
    asset: Address
    price: int
    size: int
    """Bytes, as stored."""
    storage_days: int
    """What the upload pays for; the file is kept so long from the time of the block."""
    content_hash: Hash
    """SHA-256 of the content, unencrypted."""
    name: str
    media_type: str
    """As in `Content-Type` (RFC 6838), or empty."""
    tags: tuple[str, ...]
    description: str
    key_hash: Hash
    """keccak-256 of the key that the content is encrypted with; zero for content that is not."""
    sealed_key: bytes
    """That key, sealed to the node's escrow; empty when the validator hands it out."""


class UpdatePrice(msgspec.Struct, frozen=True):
    """The file's validator asks another price from now on, in the same asset."""

    account: Address
    nonce: int
    valid_until: int
    file: Hash
    price: int


class Delist(msgspec.Struct, frozen=True):
    """The file's validator takes it off the market, for good. Who has bought it has bought it."""

    account: Address
    nonce: int
    valid_until: int
    file: Hash


Instruction: TypeAlias = Register | RegisterOwner | ListFile | UpdatePrice | Delist

Member: TypeAlias = tuple[str, str, str]
"""(EIP-712 type, EIP-712 and JSON name, attribute)"""

_HEAD: Final[tuple[Member, ...]] = (
    ("address", "account", "account"),
    ("uint64", "nonce", "nonce"),
    ("uint64", "validUntil", "valid_until"),
)

MEMBERS: Final[dict[str, tuple[Member, ...]]] = {
    "Register": (*_HEAD, ("string", "role", "role")),
    "RegisterOwner": (*_HEAD, ("address", "validator", "validator")),
    "ListFile": (
        *_HEAD,
        ("bytes32", "file", "file"),
        ("address", "owner", "owner"),
        ("address", "asset", "asset"),
        ("uint128", "price", "price"),
        ("uint64", "size", "size"),
        ("uint32", "storageDays", "storage_days"),
        ("bytes32", "contentHash", "content_hash"),
        ("string", "name", "name"),
        ("string", "mediaType", "media_type"),
        ("string[]", "tags", "tags"),
        ("string", "description", "description"),
        ("bytes32", "keyHash", "key_hash"),
        ("bytes", "sealedKey", "sealed_key"),
    ),
    "UpdatePrice": (*_HEAD, ("bytes32", "file", "file"), ("uint128", "price", "price")),
    "Delist": (*_HEAD, ("bytes32", "file", "file")),
}
"""Type → its members, in order."""

INSTRUCTIONS: Final[dict[str, type[Instruction]]] = {
    "Register": Register,
    "RegisterOwner": RegisterOwner,
    "ListFile": ListFile,
    "UpdatePrice": UpdatePrice,
    "Delist": Delist,
}

_CODES: Final = {"Register": 1, "RegisterOwner": 2, "ListFile": 3, "UpdatePrice": 4, "Delist": 5}
"""Type → its number in the journal. Never reused."""
_TYPES_BY_CODE: Final = {code: name for name, code in _CODES.items()}

UINT_SIZES: Final = {"uint32": 4, "uint64": 8, "uint128": 16}
"""Bytes."""

INSTRUCTION_TYPES: Final = {
    name: f"{name}({','.join([f'{kind} {member}' for kind, member, _ in members])})"
    for name, members in MEMBERS.items()
}
"""Type → its EIP-712 type string."""

_TYPE_HASHES: Final = {name: keccak(text.encode()) for name, text in INSTRUCTION_TYPES.items()}


class SignedInstruction(msgspec.Struct, frozen=True, gc=False):
    """An instruction with its id and what authorises it, as it stands in a block."""

    id: Hash
    instruction: Instruction
    signature: Signature


def get_type(instruction: Instruction) -> str:
    """The name of its EIP-712 type."""
    return type(instruction).__name__


def check_structure(instruction: Instruction) -> None:
    """What can be said of an instruction without knowing the ledger.

    Raises, in this order: `ZeroAddress` (account, then others in the order of the members, but for an asset, where zero
    is ether), then by type: `UnknownRole` (Register); `MalformedInstruction` for a price of zero (UpdatePrice,
    ListFile), and for a listing of file zero, with a size of 0, days outside 1 … 36,500, a name that is empty or too
    long, other text that is too long, tags that are empty, twice there or too many, or a sealed key that is not
    `SEALED_KEY_SIZE` bytes long or has no key hash.
    """
    for kind, name, attribute in MEMBERS[get_type(instruction)]:
        if kind == "address" and name != "asset" and getattr(instruction, attribute) == ZERO_ADDRESS:
            raise ZeroAddress(name)
    if isinstance(instruction, Register) and instruction.role not in REGISTERED_ROLES:
        raise UnknownRole(instruction.role[:32])
    if isinstance(instruction, ListFile | UpdatePrice) and instruction.price == 0:
        raise MalformedInstruction("price: at least one base unit")
    if isinstance(instruction, ListFile):
        _check_listing(instruction)


def compute_instruction_id(instruction: Instruction, domain: Domain) -> Hash:
    """The EIP-712 digest: it does not depend on the signature."""
    name = get_type(instruction)
    words = [_encode_word(kind, getattr(instruction, attribute)) for kind, _, attribute in MEMBERS[name]]
    return domain.compute_digest(keccak(_TYPE_HASHES[name] + b"".join(words)))


def check_signed_instruction(instruction: Instruction, signature: Signature, domain: Domain) -> SignedInstruction:
    """The instruction with its id, when it is well formed and its account signed it.

    Raises what `check_structure` raises, then `InvalidSignature`.
    """
    check_structure(instruction)
    instruction_id = compute_instruction_id(instruction, domain)
    check_signer(instruction_id, signature, instruction.account)
    return SignedInstruction(instruction_id, instruction, signature)


def encode_signed_instruction(signed: SignedInstruction) -> bytes:
    """Journal form: id 32 ‖ signature 65 ‖ type u8 ‖ the members in order: addresses, hashes and integers in their
    width, text and bytes after their size u16, lists of text after their count u16."""
    name = get_type(signed.instruction)
    members = [_encode_member(kind, getattr(signed.instruction, attribute)) for kind, _, attribute in MEMBERS[name]]
    return b"".join((signed.id, signed.signature, bytes((_CODES[name],)), *members))


def decode_signed_instruction(data: bytes) -> SignedInstruction:
    """Inverse of `encode_signed_instruction`; the id and the signature are taken as they stand, not checked.

    Raises `MalformedBytes` for any other bytes.
    """
    reader = Reader(data)
    instruction_id, signature, code = reader.take(32), reader.take(SIGNATURE_SIZE), reader.take_uint(1)
    name = _TYPES_BY_CODE.get(code)
    if name is None:
        raise MalformedBytes(f"instruction type {code} is not known")
    try:
        values = {attribute: _decode_member(kind, reader) for kind, _, attribute in MEMBERS[name]}
    except UnicodeDecodeError as error:
        raise MalformedBytes("text of an instruction is not UTF-8") from error
    reader.finish()
    return SignedInstruction(instruction_id, INSTRUCTIONS[name](**values), signature)


def _check_listing(listing: ListFile) -> None:
    if listing.file == ZERO_HASH:
        raise MalformedInstruction("file: zero is what payments refer to that are for nothing")
    if listing.size == 0:
        raise MalformedInstruction("size: a file has at least one byte")
    if not 1 <= listing.storage_days <= MAX_STORAGE_DAYS:
        raise MalformedInstruction(f"storageDays: from 1 to {MAX_STORAGE_DAYS}")
    if not listing.name:
        raise MalformedInstruction("name: a file has one")
    _check_size("name", listing.name, MAX_NAME_SIZE)
    _check_size("mediaType", listing.media_type, MAX_MEDIA_TYPE_SIZE)
    if len(listing.tags) > MAX_TAGS or len(set(listing.tags)) != len(listing.tags) or "" in listing.tags:
        raise MalformedInstruction(f"tags: at most {MAX_TAGS}, none empty, none twice")
    for tag in listing.tags:
        _check_size("tags", tag, MAX_TAG_SIZE)
    _check_size("description", listing.description, MAX_DESCRIPTION_SIZE)
    if listing.sealed_key and len(listing.sealed_key) != SEALED_KEY_SIZE:
        raise MalformedInstruction(f"sealedKey: a sealed key takes {SEALED_KEY_SIZE} bytes")
    if listing.sealed_key and listing.key_hash == ZERO_HASH:
        raise MalformedInstruction("keyHash: zero, and there is a sealed key")


def _check_size(name: str, text: str, limit: int) -> None:
    size = len(text.encode())
    if size > limit:
        raise MalformedInstruction(f"{name}: {size} bytes of UTF-8, at most {limit} are allowed")


def _encode_word(kind: str, value: Any) -> bytes:
    """A member's word of the EIP-712 struct hash."""
    if kind == "address":
        return encode_address_word(value)
    if kind == "bytes32":
        return bytes(value)
    if kind == "string":
        return keccak(value.encode())
    if kind == "string[]":
        return keccak(b"".join([keccak(text.encode()) for text in value]))
    return keccak(value) if kind == "bytes" else encode_u256(value)


def _encode_member(kind: str, value: Any) -> bytes:
    if kind in ("address", "bytes32"):
        return bytes(value)
    if kind == "string":
        return _encode_sized(value.encode())
    if kind == "string[]":
        return encode_u16(len(value)) + b"".join([_encode_sized(text.encode()) for text in value])
    return _encode_sized(value) if kind == "bytes" else value.to_bytes(UINT_SIZES[kind], "big")


def _decode_member(kind: str, reader: Reader) -> Any:
    if kind == "address":
        return reader.take(20)
    if kind == "bytes32":
        return reader.take(32)
    if kind == "string":
        return _take_sized(reader).decode()
    if kind == "string[]":
        return tuple([_take_sized(reader).decode() for _ in range(reader.take_uint(2))])
    return _take_sized(reader) if kind == "bytes" else reader.take_uint(UINT_SIZES[kind])


def _encode_sized(data: bytes) -> bytes:
    return encode_u16(len(data)) + data


def _take_sized(reader: Reader) -> bytes:
    return reader.take(reader.take_uint(2))
