"""The node's methods of the data exchange, in the manner of `client.protocol`: what to ask, and what the answer means.

What is listed here is the node's word. What it rests on can be had and checked: the instruction that listed a file and
those that changed its price, each under its validator's signature, and the registry's entries, by proof.
"""

from typing import Any, Final

import msgspec

from chain import wire
from chain.commitment import Commitment
from chain.errors import InvalidProof
from chain.instruction import MAX_TAGS, SEALED_KEY_SIZE, Instruction, ListFile, SignedInstruction
from chain.instruction import check_signed_instruction as check_signed
from chain.market import File
from chain.params import Domain
from chain.payment import Payment
from chain.primitives import MAX_U32, MAX_U64, MAX_U128, MAX_U256, ZERO_ADDRESS, Address, Hash, Signature
from chain.registry import RegistryProof
from client.errors import BadReply
from client.protocol import (
    Call,
    HeldInstructionReceipt,
    HeldReceipt,
    decode_held_instruction_receipt,
    decode_held_receipt,
    decode_optional_address,
    decode_role,
    encode_place,
    take_cursor,
    take_list,
    take_object,
    take_text,
)

FILE_STATUSES: Final = ("listed", "delisted", "expired")

UploadReceipts = tuple[HeldInstructionReceipt, HeldReceipt]
"""Of the listing and of the payment for keeping it, one block's."""


class PricePoint(msgspec.Struct, frozen=True):
    price: int
    block: int
    timestamp: int
    """Milliseconds."""


class FileInfo(msgspec.Struct, frozen=True):
    """A file as the node shows it."""

    id: Hash
    name: str
    media_type: str
    tags: tuple[str, ...]
    description: str
    size: int
    """Bytes."""
    content_hash: Hash
    key_hash: Hash | None
    """None for content that is not encrypted."""
    is_key_in_escrow: bool
    validator: Address
    owner: Address
    asset: Address
    price: int
    """Base units, as of now."""
    storage_days: int
    keep_until: int
    """Unix seconds."""
    service_node: Address | None
    """Who keeps it; None until an upload is paid."""
    listing: Hash
    """Id of the instruction that listed it."""
    listed_at: int
    """Milliseconds."""
    block: int
    index: int
    """The listing's record in that block."""
    status: str
    sale_count: int
    sold: int
    """Base units that all sales brought."""
    prices: tuple[PricePoint, ...]
    """Newest first, at most 100; none in lists of files."""
    form: dict[str, Any]

    def as_file(self) -> File:
        """As the rules know it."""
        return File(
            id=self.id,
            validator=self.validator,
            owner=self.owner,
            asset=self.asset,
            price=self.price,
            size=self.size,
            storage_days=self.storage_days,
            keep_until=self.keep_until,
            service_node=self.service_node or ZERO_ADDRESS,
            listing=self.listing,
            is_delisted=self.status == "delisted",
        )


class FilesPage(msgspec.Struct, frozen=True):
    items: tuple[FileInfo, ...]
    """Newest first."""
    cursor: str | None


class Purchase(msgspec.Struct, frozen=True):
    """What a buyer has: the receipt of the purchase, and the file's key if the node keeps it."""

    file: Hash
    buyer: Address
    receipt: HeldReceipt
    key_hash: Hash | None
    """As the node says; the listing's word counts."""
    sealed_key: bytes | None
    """81 bytes: sealed to the key that signed the purchase. None if the validator hands the key out."""
    form: dict[str, Any]


class Registration(msgspec.Struct, frozen=True):
    account: Address
    role: str
    validator: Address | None
    """Of an owner."""
    is_named_only: bool
    block: int
    timestamp: int
    """Milliseconds."""


class RegistrationsPage(msgspec.Struct, frozen=True):
    items: tuple[Registration, ...]
    """Newest first."""
    count: int
    """Of all that fit."""
    cursor: str | None


class ListedInstruction(msgspec.Struct, frozen=True):
    """A receipt without its path: signed by its account, its place the node's word."""

    signed: SignedInstruction
    status: str
    block: int
    index: int
    timestamp: int
    """Milliseconds: the block's."""
    form: dict[str, Any]

    def check(self, domain: Domain) -> None:
        """Raises what `check_signed_instruction` raises, and `InvalidProof` when the id is not the instruction's."""
        computed = check_signed(self.signed.instruction, self.signed.signature, domain).id
        if computed != self.signed.id:
            raise InvalidProof(f"the instruction's id is 0x{computed.hex()}, the node says 0x{self.signed.id.hex()}")


class InstructionsPage(msgspec.Struct, frozen=True):
    items: tuple[ListedInstruction, ...]
    """Newest first."""
    cursor: str | None


class CommittedEntry(msgspec.Struct, frozen=True):
    """An entry of the registry with its path, and the commitment that it leads to."""

    epoch: int
    commitment: Commitment
    signature: Signature
    proof: RegistryProof
    form: dict[str, Any]


# --- calls


def send_instruction(instruction: Instruction, signature: Signature) -> Call[HeldInstructionReceipt]:
    params = (wire.encode_instruction(instruction), wire.encode_bytes(signature))
    return Call("tally_sendInstruction", params, decode_held_instruction_receipt)


def send_upload(
    listing: ListFile, listing_signature: Signature, payment: Payment, payment_signature: Signature
) -> Call[UploadReceipts]:
    """Both get into the ledger, one right after the other, or neither does."""
    params = (
        wire.encode_instruction(listing),
        wire.encode_bytes(listing_signature),
        wire.encode_payment(payment),
        wire.encode_bytes(payment_signature),
    )
    return Call("tally_sendUpload", params, _decode_upload)


def get_file(file: Hash) -> Call[FileInfo]:
    return Call("tally_getFile", (wire.encode_bytes(file),), _decode_file)


def list_files(
    *,
    text: str | None = None,
    tags: tuple[str, ...] = (),
    media_type: str | None = None,
    validator: Address | None = None,
    owner: Address | None = None,
    service_node: Address | None = None,
    asset: Address | None = None,
    status: str | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[FilesPage]:
    """`tags`: a file must have them all. `status`: `all` for those that are not on the market any more, too."""
    query = {
        "text": text,
        "tag": list(tags) or None,
        "mediaType": media_type,
        "validator": _encode_optional(validator),
        "owner": _encode_optional(owner),
        "serviceNode": _encode_optional(service_node),
        "asset": _encode_optional(asset),
        "status": status,
        "cursor": cursor,
        "limit": None if limit is None else hex(limit),
    }
    return Call("tally_listFiles", (_leave_out_none(query),), _decode_files_page)


def get_purchase(file: Hash, buyer: Address) -> Call[Purchase]:
    return Call("tally_getPurchase", (wire.encode_bytes(file), wire.encode_address(buyer)), decode_purchase)


def list_registrations(
    *,
    role: str | None = None,
    validator: Address | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[RegistrationsPage]:
    """`validator`: its owners."""
    query = {
        "role": role,
        "validator": _encode_optional(validator),
        "cursor": cursor,
        "limit": None if limit is None else hex(limit),
    }
    return Call("tally_listRegistrations", (_leave_out_none(query),), _decode_registrations_page)


def list_instructions(
    *,
    account: Address | None = None,
    file: Hash | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[InstructionsPage]:
    query = {
        "account": _encode_optional(account),
        "file": None if file is None else wire.encode_bytes(file),
        "cursor": cursor,
        "limit": None if limit is None else hex(limit),
    }
    return Call("tally_listInstructions", (_leave_out_none(query),), _decode_instructions_page)


def get_file_proof(file: Hash, epoch: int | str) -> Call[CommittedEntry]:
    """As of the end of an epoch, by number, or `latest` (sealed)."""
    return Call("tally_getFileProof", (wire.encode_bytes(file), encode_place(epoch)), decode_committed_entry)


def get_roles_proof(account: Address, epoch: int | str) -> Call[CommittedEntry]:
    return Call("tally_getRolesProof", (wire.encode_address(account), encode_place(epoch)), decode_committed_entry)


# --- decoders


def decode_purchase(form: Any) -> Purchase:
    """Raises `MalformedRequest`, `MalformedPayment` or `BadReply`; nothing is verified."""
    sealed_key = wire.get_field(form, "sealedKey", "purchase")
    return Purchase(
        file=wire.decode_hash(wire.get_field(form, "file", "purchase"), "file"),
        buyer=wire.decode_address(wire.get_field(form, "buyer", "purchase"), "buyer"),
        receipt=decode_held_receipt(wire.get_field(form, "receipt", "purchase")),
        key_hash=_take_optional_hash(form, "keyHash"),
        sealed_key=None if sealed_key is None else _decode_sealed_key(sealed_key),
        form=form,
    )


def decode_committed_entry(form: Any) -> CommittedEntry:
    """Raises `MalformedRequest`; nothing is verified."""
    signed = wire.get_field(form, "commitment", "proof")
    return CommittedEntry(
        epoch=wire.decode_quantity(wire.get_field(form, "epoch", "proof"), "epoch", MAX_U64),
        commitment=wire.decode_commitment(wire.get_field(signed, "message", "commitment")),
        signature=wire.decode_signature(wire.get_field(signed, "signature", "commitment"), "signature"),
        proof=wire.decode_registry_proof(form),
        form=form,
    )


def _decode_upload(form: Any) -> UploadReceipts:
    if not isinstance(form, list) or len(form) != 2:
        raise BadReply("an upload is answered with two receipts")
    return decode_held_instruction_receipt(form[0]), decode_held_receipt(form[1])


def _decode_file(form: Any) -> FileInfo:
    prices = form.get("prices", []) if isinstance(form, dict) else []
    if not isinstance(prices, list):
        raise BadReply("prices is not a list")
    status = take_text(form, "status")
    if status not in FILE_STATUSES:
        raise BadReply(f"file status {status!r} is not known")
    return FileInfo(
        id=wire.decode_hash(wire.get_field(form, "file", "file"), "file"),
        name=take_text(form, "name"),
        media_type=take_text(form, "mediaType"),
        tags=_decode_tags(take_list(form, "tags")),
        description=take_text(form, "description"),
        size=_take_number(form, "size", MAX_U64),
        content_hash=wire.decode_hash(wire.get_field(form, "contentHash", "file"), "contentHash"),
        key_hash=_take_optional_hash(form, "keyHash"),
        is_key_in_escrow=wire.get_field(form, "isKeyInEscrow", "file") is True,
        validator=wire.decode_address(wire.get_field(form, "validator", "file"), "validator"),
        owner=wire.decode_address(wire.get_field(form, "owner", "file"), "owner"),
        asset=wire.decode_address(wire.get_field(form, "asset", "file"), "asset"),
        price=_take_number(form, "price", MAX_U128),
        storage_days=_take_number(form, "storageDays", MAX_U32),
        keep_until=_take_number(form, "keepUntil", MAX_U64),
        service_node=decode_optional_address(form, "serviceNode"),
        listing=wire.decode_hash(wire.get_field(form, "listing", "file"), "listing"),
        listed_at=_take_number(form, "listedAt", MAX_U64),
        block=_take_number(form, "block", MAX_U64),
        index=_take_number(form, "index", MAX_U32),
        status=status,
        sale_count=_take_number(form, "saleCount", MAX_U64),
        sold=_take_number(form, "sold", MAX_U256),
        prices=tuple([_decode_price(price) for price in prices]),
        form=form,
    )


def _decode_price(form: Any) -> PricePoint:
    return PricePoint(
        price=_take_number(form, "price", MAX_U128),
        block=_take_number(form, "block", MAX_U64),
        timestamp=_take_number(form, "timestamp", MAX_U64),
    )


def _decode_files_page(form: Any) -> FilesPage:
    return FilesPage(tuple([_decode_file(item) for item in take_list(form, "items")]), take_cursor(form))


def _decode_registrations_page(form: Any) -> RegistrationsPage:
    return RegistrationsPage(
        items=tuple([_decode_registration(item) for item in take_list(form, "items")]),
        count=_take_number(form, "count", MAX_U64),
        cursor=take_cursor(form),
    )


def _decode_registration(form: Any) -> Registration:
    return Registration(
        account=wire.decode_address(wire.get_field(form, "account", "registration"), "account"),
        role=decode_role(wire.get_field(form, "role", "registration")),
        validator=decode_optional_address(form, "validator"),
        is_named_only=wire.get_field(form, "namedOnly", "registration") is True,
        block=_take_number(form, "block", MAX_U64),
        timestamp=_take_number(form, "timestamp", MAX_U64),
    )


def _decode_instructions_page(form: Any) -> InstructionsPage:
    items = [_decode_listed_instruction(item) for item in take_list(form, "items")]
    return InstructionsPage(tuple(items), take_cursor(form))


def _decode_listed_instruction(form: Any) -> ListedInstruction:
    header = wire.get_field(form, "block", "item")
    signed = SignedInstruction(
        id=wire.decode_hash(wire.get_field(form, "id", "item"), "id"),
        instruction=wire.decode_instruction(wire.get_field(form, "instruction", "item")),
        signature=wire.decode_signature(wire.get_field(form, "signature", "item"), "signature"),
    )
    return ListedInstruction(
        signed=signed,
        status=take_text(form, "status"),
        block=_take_number(header, "number", MAX_U64),
        index=_take_number(form, "index", MAX_U32),
        timestamp=_take_number(header, "timestamp", MAX_U64),
        form=take_object(form),
    )


def _decode_sealed_key(value: Any) -> bytes:
    try:
        sealed_key = bytes.fromhex(value[2:]) if isinstance(value, str) and value[:2] == "0x" else b""
    except ValueError:
        sealed_key = b""
    if len(sealed_key) != SEALED_KEY_SIZE:
        raise BadReply(f"sealedKey: 0x and the hex digits of {SEALED_KEY_SIZE} bytes")
    return sealed_key


def _decode_tags(form: list[Any]) -> tuple[str, ...]:
    if len(form) > MAX_TAGS or not all(isinstance(tag, str) for tag in form):
        raise BadReply(f"tags: text, at most {MAX_TAGS}")
    return tuple(form)


def _take_number(form: Any, name: str, limit: int) -> int:
    return wire.decode_quantity(wire.get_field(form, name, "reply"), name, limit)


def _take_optional_hash(form: Any, name: str) -> Hash | None:
    value = wire.get_field(form, name, "reply")
    return None if value is None else wire.decode_hash(value, name)


def _encode_optional(address: Address | None) -> str | None:
    return None if address is None else wire.encode_address(address)


def _leave_out_none(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
