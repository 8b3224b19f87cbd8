"""Listed files, checked: what the node shows of a file against what its validator signed.

Before money is paid for a file, everything that the node says of it must be under the validator's signature: the
listing, in a receipt of the operator's; the price, in the listing or in a later change; and who keeps the file, in the
payment of its upload. What a node can still do is leave out the newest change of a price; then the ledger refuses the
purchase, and nothing is paid.
"""

from typing import Any, Final

import msgspec

from chain import wire
from chain.instruction import ListFile, UpdatePrice
from chain.kinds import UPLOAD
from chain.payment import check_signed_payment
from chain.primitives import ZERO_HASH, Address, Hash
from chain.receipt import check_instruction_receipt
from client.errors import ClientError
from client.ledgers import Ledger
from client.market import FileInfo
from client.node import Node
from client.protocol import HeldInstructionReceipt, decode_payment_form

_PAGE: Final = 500
_MOST_PAGES: Final = 20
"""Of instructions that concern one file: 10,000 changes of its price."""


class WrongListing(ClientError):
    """What the node shows of a file is not what its validator signed."""


class CheckedFile(msgspec.Struct, frozen=True):
    info: FileInfo
    listing: ListFile
    receipt: HeldInstructionReceipt
    """Of the listing."""


def fetch_file(node: Node, file: Hash, ledger: Ledger) -> CheckedFile:
    """A file as the node shows it, every part of it under its validator's signature.

    Raises `WrongListing`; what `check_instruction_receipt` raises of the listing's receipt; `NotFound` and what else a
    node answers.
    """
    info = node.get_file(file)
    held = node.get_any_receipt(info.listing)
    listing = held.receipt.signed.instruction if isinstance(held, HeldInstructionReceipt) else None
    if not isinstance(held, HeldInstructionReceipt) or not isinstance(listing, ListFile):
        raise WrongListing(f"0x{info.listing.hex()} lists no file")
    check_instruction_receipt(held.receipt, ledger.domain, ledger.operator)
    _check_listing(info, listing, file)
    if info.price != listing.price:
        _check_price(node, info, ledger)
    if info.service_node is not None:
        _check_upload(node, info, info.service_node, ledger)
    return CheckedFile(info, listing, held)


def _check_listing(info: FileInfo, listing: ListFile, file: Hash) -> None:
    shown: dict[str, Any] = {
        "file": info.id,
        "account": info.validator,
        "owner": info.owner,
        "asset": info.asset,
        "size": info.size,
        "storage_days": info.storage_days,
        "content_hash": info.content_hash,
        "name": info.name,
        "media_type": info.media_type,
        "tags": info.tags,
        "description": info.description,
        "key_hash": info.key_hash or ZERO_HASH,
    }
    if info.id != file:
        raise WrongListing(f"file 0x{file.hex()} was asked for, the node shows 0x{info.id.hex()}")
    for name, value in shown.items():
        if getattr(listing, name) != value:
            raise WrongListing(f"the node shows another {name} of file 0x{file.hex()} than its listing has")
    if info.is_key_in_escrow != bool(listing.sealed_key):
        raise WrongListing(f"the node shows of the key of file 0x{file.hex()} something else than its listing has")


def _check_price(node: Node, info: FileInfo, ledger: Ledger) -> None:
    """Whether the validator has signed that price at some time."""
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = node.list_instructions(file=info.id, cursor=cursor, limit=_PAGE)
        for item in page.items:
            update = item.signed.instruction
            wanted = UpdatePrice(info.validator, update.nonce, update.valid_until, info.id, info.price)
            if update == wanted:
                item.check(ledger.domain)
                return
        cursor = page.cursor
        if cursor is None:
            break
    raise WrongListing(f"the node shows a price of {info.price} that the validator of file 0x{info.id.hex()} never set")


def _check_upload(node: Node, info: FileInfo, service_node: Address, ledger: Ledger) -> None:
    """Whether the validator has paid that service node for keeping the file."""
    page = node.list_payments(account=info.validator, kind=UPLOAD, reference=info.id, limit=1)
    for item in page.items:
        payment = decode_payment_form(wire.get_field(item, "payment", "item"))
        signature = wire.decode_signature(wire.get_field(item, "signature", "item"), "signature")
        check_signed_payment(payment, signature, ledger.domain)
        is_upload = (payment.kind, payment.reference, payment.payer) == (UPLOAD, info.id, info.validator)
        if is_upload and payment.outputs[0].to == service_node:
            return
    raise WrongListing(f"no payment shows that 0x{service_node.hex()} keeps file 0x{info.id.hex()}")
