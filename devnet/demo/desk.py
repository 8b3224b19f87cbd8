"""The node, as those who play see it: what they ask, and where they hand in what they have signed."""

import secrets
from typing import Any, Final

import msgspec
from coincurve import PrivateKey

from chain import wire
from chain.errors import WrongKey
from chain.hashing import keccak
from chain.instruction import Instruction, ListFile, compute_instruction_id
from chain.kinds import UPLOAD
from chain.params import Domain
from chain.payment import Payment, compute_payment_id
from chain.primitives import MAX_U64, MAX_U128, Address, Hash, Signature
from chain.sealing import FILE_KEY_SIZE, escrow_context, open_sealed_key, purchase_context, seal_key
from chain.signatures import sign_digest
from devnet.demo.people import Person
from node.ethereum.endpoint import Transport
from node.ethereum.faults import EthereumFault

_SHOWN: Final = 50
"""Of a validator's files, the newest: what is older is looked for by nobody here."""


class Asset(msgspec.Struct, frozen=True):
    address: Address
    hundredth: int
    """Base units of a hundredth of it."""
    is_native: bool


class Terms(msgspec.Struct, frozen=True):
    """What stays the same as long as the ledger is."""

    domain: Domain
    assets: tuple[Asset, ...]
    escrow_key: bytes | None
    """Public, 33 bytes."""


class Standing(msgspec.Struct, frozen=True):
    """An account, now."""

    next_nonce: int
    balances: dict[Address, int]
    roles: tuple[str, ...]


class Offer(msgspec.Struct, frozen=True):
    """A listed file."""

    file: Hash
    validator: Address
    asset: Address
    price: int
    sale_count: int
    is_stored: bool
    """By a service node, which is paid for it."""
    is_key_in_escrow: bool


class Desk:
    """Raises everywhere `RpcError` for what the node refuses, `EthereumFault` when it does not answer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._terms: Terms | None = None

    async def get_terms(self) -> Terms:
        if self._terms is None:
            info = await self._transport.call("tally_getInfo", [])
            domain, escrow = info["domain"], info["escrow"]
            self._terms = Terms(
                domain=Domain(
                    wire.decode_quantity(domain["chainId"], "chainId", MAX_U64),
                    wire.decode_address(domain["verifyingContract"], "verifyingContract"),
                ),
                assets=tuple([_read_asset(asset) for asset in info["assets"]]),
                escrow_key=None if escrow is None else bytes.fromhex(escrow["publicKey"][2:]),
            )
        return self._terms

    async def get_standing(self, account: Address) -> Standing:
        form = await self._transport.call("tally_getAccount", [wire.encode_address(account)])
        return Standing(
            next_nonce=wire.decode_quantity(form["nextNonce"], "nextNonce", MAX_U64),
            balances={
                wire.decode_address(line["asset"], "asset"): wire.decode_quantity(line["balance"], "balance", MAX_U128)
                for line in form["balances"]
            },
            roles=tuple(form["roles"]),
        )

    async def list_offers(self, validator: Address) -> list[Offer]:
        """Newest first."""
        wanted = {"validator": wire.encode_address(validator), "limit": _SHOWN}
        page = await self._transport.call("tally_listFiles", [wanted])
        return [_read_offer(item) for item in page["items"] if item["status"] == "listed"]

    async def instruct(self, person: Person, instruction: Instruction) -> None:
        signature = await self._sign_instruction(person, instruction)
        await self._transport.call(
            "tally_sendInstruction", [wire.encode_instruction(instruction), wire.encode_bytes(signature)]
        )

    async def pay(self, person: Person, payment: Payment) -> None:
        signature = await self._sign_payment(person, payment)
        await self._transport.call("tally_sendPayment", [wire.encode_payment(payment), wire.encode_bytes(signature)])

    async def pay_quoted(self, person: Person, kind: str, details: dict[str, Any], most: int) -> None:
        """Pays what the node quotes, if it is of that kind, by this person, and `most` base units in all at most."""
        await self.pay(person, await self._ask_quote(person, kind, details, most))

    async def upload(self, person: Person, listing: ListFile, service_node: Address, most: int) -> None:
        """Lists a file, and pays a service node for keeping it: both or neither."""
        form = wire.encode_instruction(listing)
        details = {"to": wire.encode_address(service_node), "listing": form}
        payment = await self._ask_quote(person, UPLOAD, details, most)
        signatures = await self._sign_instruction(person, listing), await self._sign_payment(person, payment)
        listing_signature, payment_signature = [wire.encode_bytes(signature) for signature in signatures]
        await self._transport.call(
            "tally_sendUpload", [form, listing_signature, wire.encode_payment(payment), payment_signature]
        )

    async def seal_new_key(self, validator: Address, file: Hash) -> tuple[Hash, bytes]:
        """(hash, sealed) of a new file key; the sealed one is empty where the node has no escrow."""
        terms = await self.get_terms()
        key = secrets.token_bytes(FILE_KEY_SIZE)
        if terms.escrow_key is None:
            return keccak(key), b""
        context = escrow_context(terms.domain, validator, file)
        return keccak(key), seal_key(key, terms.escrow_key, context, PrivateKey().secret)

    async def check_key(self, person: Person, file: Hash) -> None:
        """Whether the key that comes with a purchase is the one that the listing promised. Raises `WrongKey`."""
        purchase = await self._transport.call(
            "tally_getPurchase", [wire.encode_bytes(file), wire.encode_address(person.address)]
        )
        if purchase["sealedKey"] is None:
            return
        context = purchase_context((await self.get_terms()).domain, file, person.address)
        key = open_sealed_key(bytes.fromhex(purchase["sealedKey"][2:]), person.key.secret, context)
        if wire.encode_bytes(keccak(key)) != purchase["keyHash"]:
            raise WrongKey("the key that was handed out is not the one whose hash the listing states")

    async def _ask_quote(self, person: Person, kind: str, details: dict[str, Any], most: int) -> Payment:
        quoted = await self._transport.call(
            "tally_quote", [kind, {"from": wire.encode_address(person.address), **details}]
        )
        payment = wire.decode_payment(msgspec.json.encode(quoted["payment"]))
        if payment.kind != kind or payment.payer != person.address or payment.total > most:
            raise EthereumFault(
                f"asked for a {kind} of at most {most}, the node would have a {payment.kind} of {payment.total}"
            )
        return payment

    async def _sign_payment(self, person: Person, payment: Payment) -> Signature:
        return sign_digest(person.key, compute_payment_id(payment, (await self.get_terms()).domain))

    async def _sign_instruction(self, person: Person, instruction: Instruction) -> Signature:
        return sign_digest(person.key, compute_instruction_id(instruction, (await self.get_terms()).domain))


def _read_asset(form: dict[str, Any]) -> Asset:
    decimals = 18 if form["decimals"] is None else wire.decode_quantity(form["decimals"], "decimals", 255)
    return Asset(wire.decode_address(form["address"], "address"), 10 ** max(decimals - 2, 0), form["native"])


def _read_offer(form: dict[str, Any]) -> Offer:
    return Offer(
        file=wire.decode_hash(form["file"], "file"),
        validator=wire.decode_address(form["validator"], "validator"),
        asset=wire.decode_address(form["asset"], "asset"),
        price=wire.decode_quantity(form["price"], "price", MAX_U128),
        sale_count=wire.decode_quantity(form["saleCount"], "saleCount", MAX_U64),
        is_stored=form["serviceNode"] is not None,
        is_key_in_escrow=form["isKeyInEscrow"],
    )
