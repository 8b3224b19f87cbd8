"""The methods of the data exchange: see `node.rpc.methods`."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chain import wire
from chain.errors import MalformedRequest, Refusal
from chain.instruction import MAX_TAGS
from chain.market import ROLE_BITS, compute_daily_charge
from chain.primitives import MAX_STORAGE_DAYS, MAX_U64
from node.index import FileFilter
from node.refusals import Worded
from node.rpc.parameters import decode_cursor, load_filter, take_address, take_limit, take_params
from node.verification import Refused

if TYPE_CHECKING:
    from node.rpc.methods import Methods

MAX_TEXT_SIZE: Final = 256
"""Characters that are searched for."""


async def send_instruction(methods: "Methods", params: bytes) -> msgspec.Raw:
    """[instruction, signature] → its receipt, once it is durable. Raises what the ledger refuses it with."""
    answer = await methods.send_instruction(_encode_pair(*_take_raw(params, "instruction", "signature")))
    if isinstance(answer, Refused):
        raise _reword(answer)
    return msgspec.Raw(answer)


async def send_upload(methods: "Methods", params: bytes) -> list[msgspec.Raw]:
    """[listing, listingSignature, payment, paymentSignature] → the receipts of both, of one block: both are in the
    ledger or neither is. Raises what the ledger refuses either with."""
    names = "listing", "listingSignature", "payment", "paymentSignature"
    listing, listing_signature, payment, payment_signature = _take_raw(params, *names)
    answers = await methods.send_upload(
        _encode_pair(listing, listing_signature), _encode_pair(payment, payment_signature)
    )
    if isinstance(answers, Refused):
        raise _reword(answers)
    return [msgspec.Raw(answer) for answer in answers]


async def get_storage_charge(methods: "Methods", params: bytes) -> dict[str, Any]:
    """[size, days, asset] → what keeping so many bytes so long costs, {charge, dailyCharge}. Raises `NoStorageRate`."""
    size, days, asset = take_params(params, "size", "days", "asset")
    size, days = wire.decode_quantity(size, "size", MAX_U64), wire.decode_quantity(days, "days", MAX_STORAGE_DAYS)
    token = wire.decode_address(asset, "asset")
    daily = compute_daily_charge(size, token, methods.sequencer.state.parameters.market)
    return {"charge": hex(days * daily), "dailyCharge": hex(daily)}


async def get_file(methods: "Methods", params: bytes) -> dict[str, Any]:
    """[file] → what is listed, its price and shares, and what it cost before. Raises `NotFound`."""
    (file,) = take_params(params, "file")
    return await methods.catalogue.get_file(wire.decode_hash(file, "file"))


async def list_files(methods: "Methods", params: bytes) -> dict[str, Any]:
    """[{text, tag, mediaType, validator, owner, serviceNode, asset, status, cursor, limit}] → items, newest first, and
    the cursor of the next page. `tag` may be a list, of tags that a file must all have; `status` is `listed`, which
    leaves out what was delisted, or `all`."""
    known = {"text", "tag", "mediaType", "validator", "owner", "serviceNode", "asset", "status", "cursor", "limit"}
    filters = load_filter(params, known)
    status = filters.get("status", "listed")
    if status not in ("listed", "all"):
        raise MalformedRequest("status: one of: listed all")
    wanted = FileFilter(
        text=_take_text(filters, "text"),
        tags=_take_tags(filters),
        media_type=_take_text(filters, "mediaType"),
        validator=take_address(filters, "validator"),
        owner=take_address(filters, "owner"),
        service_node=take_address(filters, "serviceNode"),
        asset=take_address(filters, "asset"),
        is_all=status == "all",
    )
    return await methods.catalogue.list_files(wanted, decode_cursor(filters.get("cursor")), take_limit(filters))


async def get_purchase(methods: "Methods", params: bytes) -> dict[str, Any]:
    """[file, buyer] → the receipt of the purchase, and the file's key, sealed to the buyer, if it is in escrow. Raises
    `NotFound`."""
    file, buyer = take_params(params, "file", "buyer")
    return await methods.catalogue.get_purchase(wire.decode_hash(file, "file"), wire.decode_address(buyer, "buyer"))


async def list_registrations(methods: "Methods", params: bytes) -> dict[str, Any]:
    """[{role, validator, cursor, limit}] → who has which role, newest first, how many in all, and the cursor of the
    next page. With `validator`, its owners."""
    filters = load_filter(params, {"role", "validator", "cursor", "limit"})
    role = filters.get("role")
    if role is not None and (not isinstance(role, str) or role not in ROLE_BITS):
        raise MalformedRequest(f"role: one of: {' '.join(ROLE_BITS)}")
    return await methods.catalogue.list_registrations(
        role, take_address(filters, "validator"), decode_cursor(filters.get("cursor")), take_limit(filters)
    )


async def list_instructions(methods: "Methods", params: bytes) -> dict[str, Any]:
    """[{account, file, cursor, limit}] → receipts without siblings, newest first, and the cursor of the next page."""
    filters = load_filter(params, {"account", "file", "cursor", "limit"})
    file = filters.get("file")
    return await methods.catalogue.list_instructions(
        take_address(filters, "account"),
        None if file is None else wire.decode_hash(file, "file"),
        decode_cursor(filters.get("cursor")),
        take_limit(filters),
    )


async def get_file_proof(methods: "Methods", params: bytes) -> dict[str, Any]:
    """[file, epoch or `latest`] → the file's entry in the registry, its place, and the commitment. Raises
    `NotFound`."""
    file, epoch = take_params(params, "file", "epoch")
    return await methods.catalogue.prove_file(wire.decode_hash(file, "file"), _take_epoch(methods, epoch))


async def get_roles_proof(methods: "Methods", params: bytes) -> dict[str, Any]:
    """[account, epoch or `latest`] → the account's entry in the registry, its place, and the commitment. Raises
    `NotFound`."""
    account, epoch = take_params(params, "account", "epoch")
    return await methods.catalogue.prove_roles(wire.decode_address(account, "account"), _take_epoch(methods, epoch))


MARKET_METHODS: Final[dict[str, Callable[["Methods", bytes], Awaitable[Any]]]] = {
    "tally_sendInstruction": send_instruction,
    "tally_sendUpload": send_upload,
    "tally_getStorageCharge": get_storage_charge,
    "tally_getFile": get_file,
    "tally_listFiles": list_files,
    "tally_getPurchase": get_purchase,
    "tally_listRegistrations": list_registrations,
    "tally_listInstructions": list_instructions,
    "tally_getFileProof": get_file_proof,
    "tally_getRolesProof": get_roles_proof,
}


def _take_raw(params: bytes, *names: str) -> list[msgspec.Raw]:
    """The parameters as they came, by position or by name. Raises `MalformedRequest`."""
    try:
        if params.lstrip()[:1] == b"{":
            named = msgspec.json.decode(params, type=dict[str, msgspec.Raw])
            if set(named) != set(names):
                raise MalformedRequest(f"params: wanted are: {' '.join(names)}")
            return [named[name] for name in names]
        values = msgspec.json.decode(params, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedRequest(f"params: {error}") from error
    if len(values) != len(names):
        raise MalformedRequest(f"params: {len(values)} given, wanted are: {' '.join(names)}")
    return values


def _encode_pair(content: msgspec.Raw, signature: msgspec.Raw) -> bytes:
    return b"[" + bytes(content) + b"," + bytes(signature) + b"]"


def _reword(refused: Refused) -> Refusal:
    return Worded(refused.code, refused.message, refused.values)


def _take_epoch(methods: "Methods", epoch: Any) -> int:
    return methods.archive.sealed_epoch if epoch == "latest" else wire.decode_quantity(epoch, "epoch", MAX_U64)


def _take_text(filters: dict[str, Any], name: str) -> str | None:
    text = filters.get(name)
    if text is not None and not _is_text(text):
        raise MalformedRequest(f"{name}: text of at most {MAX_TEXT_SIZE} characters")
    return text


def _take_tags(filters: dict[str, Any]) -> tuple[str, ...]:
    tags = filters.get("tag")
    if tags is None:
        return ()
    tags = [tags] if isinstance(tags, str) else tags
    if not isinstance(tags, list) or len(tags) > MAX_TAGS or not all(_is_text(tag) for tag in tags):
        raise MalformedRequest(f"tag: text of at most {MAX_TEXT_SIZE} characters, or a list of at most {MAX_TAGS}")
    return tuple(tags)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT_SIZE
