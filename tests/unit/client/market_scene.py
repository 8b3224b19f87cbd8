"""The data exchange in a small ledger: a validator with an owner, a mart, a service node, and a node with an escrow.

`MarketScene` is made by the rules alone; `MarketServer` is the node in miniature behind it.
"""

import hashlib
from typing import Any, Final

from chain import wire
from chain.block import Record
from chain.errors import NotFound, UnknownReference, WrongPrice
from chain.hashing import keccak
from chain.instruction import (
    Instruction,
    ListFile,
    Register,
    RegisterOwner,
    SignedInstruction,
    UpdatePrice,
    check_signed_instruction,
)
from chain.kinds import EXTEND, PURCHASE, UPLOAD
from chain.market import (
    File,
    compute_named_shares,
    compute_shares,
    compute_storage_charge,
    encode_purchase_key,
)
from chain.merkle import ListTree
from chain.payment import Output, Payment, SignedPayment, check_signed_payment, check_structure
from chain.primitives import MAX_U64, MAX_U128, ZERO_ADDRESS, ZERO_HASH, Address, Hash
from chain.registry import AccountEntry, FileEntry, RegistryEntry, RegistryProof, decode_entry, encode_entry
from chain.sealing import escrow_context, open_sealed_key, purchase_context, seal_key
from chain.signatures import recover_public_key
from chain.transition import check_instruction, check_payment, check_upload
from client.protocol import decode_payment_form
from tests.unit.client.ledger_server import LedgerServer
from tests.unit.client.scene import (
    DOMAIN,
    MARKET,
    TOKEN,
    Scene,
    encode_content,
    get_address,
    make_key,
    sign,
    sign_instruction,
)

VALIDATOR_KEY, OWNER_KEY, MART_KEY, SERVICE_NODE_KEY, ESCROW_KEY = (
    make_key(name) for name in ("validator", "owner", "mart", "service node", "escrow")
)
VALIDATOR, OWNER, MART, KEEPER = (get_address(key) for key in (VALIDATOR_KEY, OWNER_KEY, MART_KEY, SERVICE_NODE_KEY))
KEYS: Final = {VALIDATOR: VALIDATOR_KEY, OWNER: OWNER_KEY, MART: MART_KEY, KEEPER: SERVICE_NODE_KEY}
ESCROW: Final = ESCROW_KEY.public_key.format()

CONTENT: Final = b"temperatures of a lake, one a minute\n" * 30
FILE_KEY: Final = keccak(b"file key")
FILE: Final = keccak(b"the file")
PRICE: Final = 200
STORAGE_CHARGE: Final = 60
"""30 days of 2 base units: 1,110 bytes at 2^20 for a GiB and day."""
EPHEMERAL: Final = keccak(b"ephemeral secret")


def make_listing(**fields: Any) -> ListFile:
    """By the validator, of the owner's content, in TOKEN, its key in escrow."""
    given = {
        "account": VALIDATOR,
        "nonce": 0,
        "valid_until": 0,
        "file": FILE,
        "owner": OWNER,
        "asset": TOKEN,
        "price": PRICE,
        "size": len(CONTENT),
        "storage_days": 30,
        "content_hash": hashlib.sha256(CONTENT).digest(),
        "name": "lake.csv",
        "media_type": "text/csv",
        "tags": ("lake", "weather"),
        "description": "Temperatures of a lake.",
        "key_hash": keccak(FILE_KEY),
    }
    given |= fields
    context = escrow_context(DOMAIN, given["account"], given["file"])
    sealed_key = b"" if given["key_hash"] == ZERO_HASH else seal_key(FILE_KEY, ESCROW, context, EPHEMERAL)
    return ListFile(**{"sealed_key": sealed_key, **given})


def make_market_payment(kind: str, payer: Address, *outputs: tuple[Address, int], **fields: Any) -> Payment:
    """Of FILE, in TOKEN."""
    given = {"asset": TOKEN, "nonce": 0, "valid_until": 0, "reference": FILE, "memo": "", **fields}
    return Payment(payer=payer, kind=kind, outputs=tuple(Output(*output) for output in outputs), **given)


class MarketScene(Scene):
    """Deposits for validator and mart, everybody registered, and FILE listed with its upload. An epoch of it is sealed,
    the next one is open."""

    def __init__(self) -> None:
        super().__init__()
        self.add_block(self._deposit(10_000, VALIDATOR), self._deposit(10_000, MART))
        self.add_block(
            self.sign(Register(VALIDATOR, 0, 0, "validator")),
            self.sign(Register(MART, 0, 0, "mart")),
            self.sign(Register(KEEPER, 0, 0, "service_node")),
        )
        self.add_block(self.sign(RegisterOwner(OWNER, 0, 0, VALIDATOR)))
        self.listing = self.sign(make_listing(nonce=1))
        self.upload = self.sign(make_market_payment(UPLOAD, VALIDATOR, (KEEPER, STORAGE_CHARGE), nonce=2))
        self.add_block(self.listing, self.upload)
        self.seal()

    def sign(self, content: Payment | Instruction) -> Any:
        if isinstance(content, Payment):
            return sign(content, KEYS[content.payer])
        return sign_instruction(content, KEYS[content.account])

    def buy(self, nonce: int = 1) -> SignedPayment:
        """The mart buys FILE."""
        shares = compute_shares(self.replay.state.files[FILE], MARKET)
        purchase: SignedPayment = self.sign(make_market_payment(PURCHASE, MART, *shares, nonce=nonce))
        self.add_block(purchase)
        return purchase

    def reprice(self, price: int, nonce: int) -> SignedInstruction:
        update: SignedInstruction = self.sign(UpdatePrice(VALIDATOR, nonce, 0, FILE, price))
        self.add_block(update)
        return update

    def list_records(self) -> list[tuple[Record, int, int, int]]:
        """(record, block, index, timestamp in ms), in order."""
        return [
            (record, block.header.number, index, block.header.timestamp)
            for block, _ in self.blocks
            for index, record in enumerate(block.records)
        ]

    def prove_entry(self, entry: RegistryEntry) -> RegistryProof:
        """As of now, which must be the end of a sealed epoch."""
        entries = list(self.replay._registry.encode_entries(self.replay.state))
        index = entries.index(encode_entry(entry))
        tree = ListTree(entries)
        return RegistryProof(decode_entry(entries[index]), index, len(entries), tuple(tree.prove(index)))


class MarketServer(LedgerServer):
    """With the methods of the data exchange."""

    scene: MarketScene

    def __init__(self, scene: MarketScene) -> None:
        super().__init__(scene)
        self.escrow_key = ESCROW_KEY

    def tally_getInfo(self) -> dict[str, Any]:
        return {**super().tally_getInfo(), "escrow": {"publicKey": wire.encode_bytes(ESCROW)}}

    def tally_sendInstruction(self, instruction: Any, signature: str) -> dict[str, Any]:
        signed = self._check_instruction(instruction, signature)
        if self._find(signed.id) is None:
            check_instruction(self.scene.replay.state, signed.instruction, self._next_timestamp)
            self.scene.add_block(signed)
        return self.scene.get_receipt(signed)

    def tally_sendUpload(
        self, listing: Any, listing_signature: str, payment: Any, payment_signature: str
    ) -> list[dict[str, Any]]:
        listed = self._check_instruction(listing, listing_signature)
        paid = check_signed_payment(decode_payment_form(payment), bytes.fromhex(payment_signature[2:]), DOMAIN)
        self.sent.append(paid.id)
        if self._find(paid.id) is None:
            assert isinstance(listed.instruction, ListFile)
            check_upload(self.scene.replay.state, listed.instruction, paid.payment, self._next_timestamp)
            self.scene.add_block(listed, paid)
        return [self.scene.get_receipt(listed), self.scene.get_receipt(paid)]

    def tally_quote(self, kind: str, details: dict[str, Any]) -> dict[str, Any]:
        state = self.scene.replay.state
        payer = wire.decode_address(details["from"], "from")
        memo, valid_until = details.get("memo", ""), int(details.get("validUntil", "0x0"), 16)
        reference = wire.decode_hash(details.get("reference", wire.encode_bytes(ZERO_HASH)), "reference")
        nonce = state.get_nonces(payer).next_nonce
        listing = wire.decode_instruction(details["listing"]) if "listing" in details else None
        if kind == UPLOAD and isinstance(listing, ListFile):
            asset = wire.decode_address(details.get("asset", details["listing"]["asset"]), "asset")
            charge = compute_storage_charge(listing.size, listing.storage_days, asset, MARKET)
            outputs = [(wire.decode_address(details["to"], "to"), charge)]
            reference, nonce = listing.file, listing.nonce + 1
        elif kind in (UPLOAD, PURCHASE, EXTEND):
            file = state.files.get(reference)
            if file is None:
                raise UnknownReference(reference)
            asset = wire.decode_address(details["asset"], "asset") if "asset" in details else file.asset
            if kind == PURCHASE:
                if "price" in details and int(details["price"], 16) != file.price:
                    raise WrongPrice(file.price, int(details["price"], 16))
                outputs = compute_shares(file, MARKET)
            elif kind == EXTEND:
                days = wire.decode_quantity(details["days"], "days", MAX_U64)
                outputs = [(file.service_node, compute_storage_charge(file.size, days, asset, MARKET))]
            else:
                charge = compute_storage_charge(file.size, file.storage_days, asset, MARKET)
                outputs = [(wire.decode_address(details["to"], "to"), charge)]
        else:
            asset = wire.decode_address(details["asset"], "asset")
            outputs = [
                (wire.decode_address(details["to"], "to"), wire.decode_quantity(details["amount"], "amount", MAX_U128))
            ]
        payment = Payment(
            asset, payer, nonce, valid_until, kind, reference, memo, tuple(Output(*output) for output in outputs)
        )
        check_structure(payment)
        if listing is not None:
            assert isinstance(listing, ListFile)
            check_upload(state, listing, payment, self._next_timestamp)
        else:
            check_payment(state, payment, self._next_timestamp)
        return {"payment": wire.encode_payment(payment), "total": hex(payment.total), "parties": []}

    def tally_getFile(self, file: str) -> dict[str, Any]:
        wanted = wire.decode_hash(file, "file")
        for record, block, index, timestamp in self.scene.list_records():
            content = record.instruction if isinstance(record, SignedInstruction) else None
            if isinstance(record, SignedInstruction) and isinstance(content, ListFile) and content.file == wanted:
                return {**self._describe_file(record, block, index, timestamp), "prices": self._list_prices(wanted)}
        raise NotFound(f"file {file}")

    def tally_listFiles(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Newest first, one a page; of the filters: text (in the name), tag, status."""
        found = [
            self._describe_file(record, block, index, timestamp)
            for record, block, index, timestamp in reversed(self.scene.list_records())
            if isinstance(record, SignedInstruction) and isinstance(record.instruction, ListFile)
        ]
        found = [
            item
            for item in found
            if wanted.get("text", "") in item["name"]
            and set(wanted.get("tag", [])) <= set(item["tags"])
            and (wanted.get("status") == "all" or item["status"] == "listed")
        ]
        start = int(wanted.get("cursor", "0"))
        return {"items": found[start : start + 1], "cursor": str(start + 1) if start + 1 < len(found) else None}

    def tally_getPurchase(self, file: str, buyer: str) -> dict[str, Any]:
        wanted, account = wire.decode_hash(file, "file"), wire.decode_address(buyer, "buyer")
        payment_id = self.scene.replay.state.purchases.get(encode_purchase_key(wanted, account))
        if payment_id is None:
            raise NotFound(f"a purchase of file {file} by {buyer}")
        purchase = self._find(payment_id)
        listing = self._find(self.scene.replay.state.files[wanted].listing)
        assert isinstance(purchase, SignedPayment)
        assert isinstance(listing, SignedInstruction) and isinstance(listing.instruction, ListFile)
        sealed = None
        if listing.instruction.sealed_key:
            context = escrow_context(DOMAIN, listing.instruction.account, wanted)
            key = open_sealed_key(listing.instruction.sealed_key, self.escrow_key.secret, context)
            public_key = recover_public_key(purchase.id, purchase.signature)
            sealed = seal_key(key, public_key, purchase_context(DOMAIN, wanted, account), EPHEMERAL)
        return {
            "file": file,
            "buyer": buyer,
            "receipt": self.scene.get_receipt(purchase),
            "keyHash": encode_key_hash(listing.instruction),
            "sealedKey": None if sealed is None else wire.encode_bytes(sealed),
        }

    def tally_listRegistrations(self, wanted: dict[str, Any]) -> dict[str, Any]:
        state = self.scene.replay.state
        items = [
            {
                "account": wire.encode_address(account),
                "role": role,
                "validator": wire.encode_address(roles.validator) if role == "owner" else None,
                "namedOnly": roles.is_named_only and role == "owner",
                "block": "0x5",
                "timestamp": "0x1",
            }
            for account, roles in reversed(state.roles.items())
            for role in roles.names
            if role == wanted.get("role", role)
            and wanted.get("validator") in (None, wire.encode_address(roles.validator))
        ]
        return {"items": items, "count": hex(len(items)), "cursor": None}

    def tally_listInstructions(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Newest first, two a page."""
        items = []
        for record, *_ in reversed(self.scene.list_records()):
            if isinstance(record, SignedInstruction):
                form = encode_content(record)
                if form["account"] != wanted.get("account", form["account"]):
                    continue
                if "file" in wanted and form.get("file") != wanted["file"]:
                    continue
                item = self.scene.get_receipt(record)
                del item["siblings"]
                items.append(item)
        start = int(wanted.get("cursor", "0"))
        return {"items": items[start : start + 2], "cursor": str(start + 2) if start + 2 < len(items) else None}

    def tally_getFileProof(self, file: str, epoch: str) -> dict[str, Any]:
        found = self.scene.replay.state.files.get(wire.decode_hash(file, "file"))
        if found is None:
            raise NotFound(f"file {file}")
        return self._prove(FileEntry(found), epoch)

    def tally_getRolesProof(self, account: str, epoch: str) -> dict[str, Any]:
        address = wire.decode_address(account, "account")
        return self._prove(AccountEntry(address, self.scene.replay.state.get_roles(address)), epoch)

    @property
    def _next_timestamp(self) -> int:
        state = self.scene.replay.state
        return max(state.timestamp, state.last_cut_at) + 1_000

    def _prove(self, entry: RegistryEntry, epoch: str) -> dict[str, Any]:
        commitment, signature, _ = self.scene.sealed[-1]
        if epoch not in ("latest", hex(commitment.epoch)):
            raise NotFound(f"epoch {epoch}")
        return {
            "epoch": hex(commitment.epoch),
            "commitment": {"message": wire.encode_commitment(commitment), "signature": wire.encode_bytes(signature)},
            **wire.encode_registry_proof(self.scene.prove_entry(entry)),
        }

    def _check_instruction(self, form: Any, signature: str) -> SignedInstruction:
        instruction = wire.decode_instruction(form)
        signed = check_signed_instruction(instruction, bytes.fromhex(signature[2:]), DOMAIN)
        self.sent.append(signed.id)
        if isinstance(instruction, ListFile) and instruction.sealed_key:
            context = escrow_context(DOMAIN, instruction.account, instruction.file)
            open_sealed_key(instruction.sealed_key, self.escrow_key.secret, context)
        return signed

    def _describe_file(self, signed: SignedInstruction, block: int, index: int, timestamp: int) -> dict[str, Any]:
        listing = signed.instruction
        assert isinstance(listing, ListFile)
        state = self.scene.replay.state
        file: File = state.files[listing.file]
        sales = [
            record.payment.total
            for record, *_ in self.scene.list_records()
            if isinstance(record, SignedPayment)
            and (record.payment.kind, record.payment.reference) == (PURCHASE, listing.file)
        ]
        is_expired = state.timestamp > file.keep_until * 1000
        return {
            "file": wire.encode_bytes(file.id),
            "name": listing.name,
            "mediaType": listing.media_type,
            "tags": list(listing.tags),
            "description": listing.description,
            "size": hex(file.size),
            "contentHash": wire.encode_bytes(listing.content_hash),
            "keyHash": encode_key_hash(listing),
            "isKeyInEscrow": bool(listing.sealed_key),
            "validator": wire.encode_address(file.validator),
            "owner": wire.encode_address(file.owner),
            "asset": wire.encode_address(file.asset),
            "price": hex(file.price),
            "shares": [
                {"role": role, "address": wire.encode_address(to), "amount": hex(amount)}
                for role, to, amount in compute_named_shares(file, MARKET)
            ],
            "storageDays": hex(file.storage_days),
            "keepUntil": hex(file.keep_until),
            "serviceNode": None if file.service_node == ZERO_ADDRESS else wire.encode_address(file.service_node),
            "listing": wire.encode_bytes(signed.id),
            "listedAt": hex(timestamp),
            "block": hex(block),
            "index": hex(index),
            "status": "delisted" if file.is_delisted else "expired" if is_expired else "listed",
            "saleCount": hex(len(sales)),
            "sold": hex(sum(sales)),
        }

    def _list_prices(self, file: Hash) -> list[dict[str, Any]]:
        return [
            {"price": hex(record.instruction.price), "block": hex(block), "timestamp": hex(timestamp)}
            for record, block, _, timestamp in reversed(self.scene.list_records())
            if isinstance(record, SignedInstruction)
            and isinstance(record.instruction, ListFile | UpdatePrice)
            and record.instruction.file == file
        ]


def encode_key_hash(listing: ListFile) -> str | None:
    return None if listing.key_hash == ZERO_HASH else wire.encode_bytes(listing.key_hash)
