"""The catalogue: what the node can show of the data exchange. Reads only, of what is durable, in the forms of the
interface; lists come from the index, receipts and proofs from the archive."""

from collections.abc import Callable
from typing import Any, Final

from chain import wire
from chain.errors import NotFound
from chain.instruction import ListFile, SignedInstruction
from chain.market import File, compute_named_shares, encode_purchase_key
from chain.params import Market
from chain.payment import SignedPayment
from chain.primitives import ZERO_ADDRESS, ZERO_HASH, Address, Hash
from chain.registry import encode_account_key, encode_file_key
from chain.state import State
from node.archive import Archive
from node.escrow import Escrow
from node.index import FileFilter, IndexedFile, IndexReader, Page, PricePoint, Registration

_PRICES_SHOWN: Final = 100

LISTED: Final = "listed"
DELISTED: Final = "delisted"
EXPIRED: Final = "expired"


class Catalogue:
    def __init__(
        self, archive: Archive, index: IndexReader, state: State, escrow: Escrow, clock_ms: Callable[[], int]
    ) -> None:
        """`state` is asked only for what a purchase was paid with; that it is durable is seen in the archive."""
        self._archive = archive
        self._index = index
        self._state = state
        self._market = state.parameters.market
        self._escrow = escrow
        self._clock_ms = clock_ms

    async def get_file(self, file: Hash) -> dict[str, Any]:
        """A file, with what it cost when. Raises `NotFound`."""

        def read() -> tuple[IndexedFile | None, Page[PricePoint]]:
            with self._index.at_one_moment():
                return self._index.get_file(file), self._index.list_prices(file, None, _PRICES_SHOWN)

        found, prices = await self._archive.ask_index(read)
        if found is None:
            raise NotFound(f"file {wire.encode_bytes(file)}")
        return {**self.describe_file(found), "prices": [_describe_price(price) for price in prices.items]}

    async def list_files(self, wanted: FileFilter, cursor: str | None, limit: int) -> dict[str, Any]:
        """Newest first."""
        page = await self._archive.ask_index(lambda: self._index.list_files(wanted, cursor, limit))
        return {"items": [self.describe_file(file) for file in page.items], "cursor": page.cursor}

    async def get_purchase(self, file: Hash, buyer: Address) -> dict[str, Any]:
        """The receipt of a purchase, and the file's key if it is in escrow. Raises `NotFound`."""
        payment_id = self._state.purchases.get(encode_purchase_key(file, buyer))
        if payment_id is None:
            raise NotFound(f"a purchase of file {wire.encode_bytes(file)} by {wire.encode_address(buyer)}")
        receipt = await self._archive.get_receipt(payment_id)
        purchase = await self._archive.get_record(payment_id)
        listing = await self._archive.get_record(self._state.files[file].listing)
        assert isinstance(purchase, SignedPayment) and isinstance(listing, SignedInstruction)
        assert isinstance(listing.instruction, ListFile)
        sealed_key = self._escrow.seal_for_buyer(listing.instruction, purchase)
        return {
            "file": wire.encode_bytes(file),
            "buyer": wire.encode_address(buyer),
            "receipt": receipt,
            "keyHash": _encode_key_hash(listing.instruction.key_hash),
            "sealedKey": None if sealed_key is None else wire.encode_bytes(sealed_key),
        }

    async def list_registrations(
        self, role: str | None, validator: Address | None, cursor: str | None, limit: int
    ) -> dict[str, Any]:
        """Newest first, and how many there are in all."""

        def read() -> tuple[Page[Registration], int]:
            index = self._index
            with index.at_one_moment():
                page = index.list_registrations(role, validator, cursor, limit)
                return page, index.count_registrations(role, validator)

        page, count = await self._archive.ask_index(read)
        return {
            "items": [describe_registration(each) for each in page.items],
            "count": hex(count),
            "cursor": page.cursor,
        }

    async def list_instructions(
        self, account: Address | None, file: Hash | None, cursor: str | None, limit: int
    ) -> dict[str, Any]:
        """Receipts without siblings, newest first."""
        page = await self._archive.ask_index(lambda: self._index.list_instructions(account, file, cursor, limit))
        places = [(item.block, item.record, item.epoch) for item in page.items]
        return {"items": await self._archive.describe_items(places), "cursor": page.cursor}

    async def prove_file(self, file: Hash, epoch: int) -> dict[str, Any]:
        """A file as of the end of a sealed epoch. Raises `NotFound`."""
        return await self._archive.prove_entry(encode_file_key(file), epoch)

    async def prove_roles(self, account: Address, epoch: int) -> dict[str, Any]:
        """An account's roles as of the end of a sealed epoch. Raises `NotFound`."""
        return await self._archive.prove_entry(encode_account_key(account), epoch)

    def describe_file(self, file: IndexedFile) -> dict[str, Any]:
        return {
            "file": wire.encode_bytes(file.id),
            "name": file.name,
            "mediaType": file.media_type,
            "tags": list(file.tags),
            "description": file.description,
            "size": hex(file.size),
            "contentHash": wire.encode_bytes(file.content_hash),
            "keyHash": _encode_key_hash(file.key_hash),
            "isKeyInEscrow": file.has_sealed_key,
            "validator": wire.encode_address(file.validator),
            "owner": wire.encode_address(file.owner),
            "asset": wire.encode_address(file.asset),
            "price": hex(file.price),
            "shares": [
                {"role": role, "address": wire.encode_address(to), "amount": hex(amount)}
                for role, to, amount in compute_file_shares(file, self._market)
            ],
            "storageDays": hex(file.storage_days),
            "keepUntil": hex(file.keep_until),
            "serviceNode": None if file.service_node is None else wire.encode_address(file.service_node),
            "listing": wire.encode_bytes(file.listing),
            "listedAt": hex(file.timestamp),
            "block": hex(file.block),
            "index": hex(file.record),
            "status": compute_file_status(file, self._clock_ms()),
            "saleCount": hex(file.sale_count),
            "sold": hex(file.sold),
        }


def compute_file_status(file: IndexedFile, now_ms: int) -> str:
    if file.is_delisted:
        return DELISTED
    return EXPIRED if now_ms > file.keep_until * 1000 else LISTED


def compute_file_shares(file: IndexedFile, market: Market) -> list[tuple[str, Address, int]]:
    """(role, to, amount) that a purchase pays now."""
    priced = File(
        id=file.id,
        validator=file.validator,
        owner=file.owner,
        asset=file.asset,
        price=file.price,
        size=file.size,
        storage_days=file.storage_days,
        keep_until=file.keep_until,
        service_node=file.service_node or ZERO_ADDRESS,
        listing=file.listing,
    )
    return compute_named_shares(priced, market)


def describe_registration(registration: Registration) -> dict[str, Any]:
    validator = registration.validator
    return {
        "account": wire.encode_address(registration.account),
        "role": registration.role,
        "validator": None if validator is None else wire.encode_address(validator),
        "namedOnly": registration.is_named_only,
        "block": hex(registration.block),
        "timestamp": hex(registration.timestamp),
    }


def _describe_price(price: PricePoint) -> dict[str, Any]:
    return {"price": hex(price.price), "block": hex(price.block), "timestamp": hex(price.timestamp)}


def _encode_key_hash(key_hash: Hash) -> str | None:
    return None if key_hash == ZERO_HASH else wire.encode_bytes(key_hash)
