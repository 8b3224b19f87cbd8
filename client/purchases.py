"""Proof of purchase: from the receipt of a payment whether somebody has bought a file, with nobody to ask.

That is what a validator decides by before handing out a key that is in no escrow. All that is needed is on his own
disk already: the pinned ledger (its domain, operator, parameters), and the receipts of his listing, of what changed its
price since, and of its upload. What the operator signed is believed here; that it is on Ethereum, too, is for
`client.verifier` to show.
"""

from collections.abc import Iterable

import msgspec

from chain.errors import InvalidProof, WrongAsset, WrongKey, WrongOutputs, WrongPrice, WrongServiceNode
from chain.hashing import keccak
from chain.instruction import ListFile, UpdatePrice
from chain.kinds import PURCHASE, UPLOAD
from chain.market import File, Shares, compute_shares
from chain.params import Domain, Market
from chain.payment import Payment
from chain.primitives import ZERO_ADDRESS, ZERO_HASH, Address, Hash
from chain.receipt import InstructionReceipt, Receipt, check_inclusion, check_instruction_receipt, check_receipt
from chain.sealing import open_sealed_key, purchase_context
from client.errors import ClientError, WrongLedger
from client.keys import SigningKey
from client.ledgers import Ledger
from client.market import Purchase
from client.protocol import HeldInstructionReceipt
from client.receipts import ReceiptStore


class Terms(msgspec.Struct, frozen=True):
    """What a purchase of a file had to pay, and to whom."""

    file: Hash
    validator: Address
    owner: Address
    asset: Address
    price: int
    """Base units."""
    service_node: Address | None
    """Zero: nobody keeps the file. None: not known; whoever got the commission is taken for the one."""
    market: Market
    """How the ledger splits a price."""

    def compute_shares(self, service_node: Address) -> Shares:
        """What the price is split into, if that one keeps the file."""
        priced = File(
            id=self.file,
            validator=self.validator,
            owner=self.owner,
            asset=self.asset,
            price=self.price,
            size=0,
            storage_days=0,
            keep_until=0,
            service_node=service_node,
            listing=ZERO_HASH,
        )
        return compute_shares(priced, self.market)


class NoFileKey(ClientError):
    """There is no key to be had from the node: the content is not encrypted, or its validator hands the key out."""


def check_purchase(
    receipt: Receipt, *, file: Hash, buyer: Address, domain: Domain, operator: Address, terms: Terms | None = None
) -> None:
    """Whether the receipt shows that `buyer` has bought `file` on the ledger of that domain and operator.

    Raises, in this order:
    - what `check_receipt` raises: the buyer's signature, the place in the block, the operator's signature;
    - `InvalidProof`, when it names a commitment that the block does not lead to;
    - `InvalidProof`, when the payment is of another kind, for another file, or from somebody else;
    - with `terms`, `WrongAsset`, `WrongPrice`, `WrongServiceNode`, `WrongOutputs` for a payment that is not exactly
      what they ask for.
    """
    check_receipt(receipt, domain, operator)
    if receipt.inclusion is not None:
        check_inclusion(receipt.header, receipt.inclusion, domain)
    payment = receipt.signed.payment
    if payment.kind != PURCHASE:
        raise InvalidProof(f"the payment is of kind {payment.kind}, not {PURCHASE}")
    if payment.reference != file:
        raise InvalidProof(f"file 0x{payment.reference.hex()} was bought, not 0x{file.hex()}")
    if payment.payer != buyer:
        raise InvalidProof(f"0x{payment.payer.hex()} has bought it, not 0x{buyer.hex()}")
    if terms is not None:
        _check_terms(payment, terms)


def _check_terms(payment: Payment, terms: Terms) -> None:
    if payment.asset != terms.asset:
        raise WrongAsset(terms.asset, payment.asset)
    if payment.total != terms.price:
        raise WrongPrice(terms.price, payment.total)
    got = [(output.to, output.amount) for output in payment.outputs]
    # A file that nobody keeps has no commission. Where it is not known who keeps it, somebody may, or nobody.
    keepers = [got[-1][0], ZERO_ADDRESS] if terms.service_node is None else [terms.service_node]
    expected = [terms.compute_shares(keeper) for keeper in keepers]
    if got in expected:
        return
    wanted = expected[0]
    if got[:-1] == wanted[:-1] and got[-1][1] == wanted[-1][1] and wanted[-1][0] == terms.service_node:
        raise WrongServiceNode(f"0x{terms.service_node.hex()}", got[-1][0])
    raise WrongOutputs(payment.kind, describe_shares(wanted), describe_shares(got))


def compute_terms(
    listing: InstructionReceipt,
    others: Iterable[InstructionReceipt | Receipt],
    *,
    place: tuple[int, int],
    domain: Domain,
    operator: Address,
    market: Market,
) -> Terms:
    """The terms of a purchase at `place` (block, record), from the receipts of the file's listing and of what came
    after it: changes of its price, and its upload. Whatever else is among them is passed over. That none is missing is
    the caller's to know: the price is the last one that is there, and without its upload nobody is known to keep it.

    Raises what `check_instruction_receipt` and `check_receipt` raise; `InvalidProof` for a listing that is none, or
    that comes after that place.
    """
    check_instruction_receipt(listing, domain, operator)
    listed = listing.signed.instruction
    if not isinstance(listed, ListFile):
        raise InvalidProof(f"instruction 0x{listing.signed.id.hex()} lists no file")
    if get_place(listing) >= place:
        raise InvalidProof(f"the file was listed after block {place[0]}, record {place[1]}")
    price, price_place = listed.price, get_place(listing)
    service_node: Address | None = None
    for other in others:
        if get_place(other) >= place:
            continue
        if isinstance(other, InstructionReceipt):
            update = other.signed.instruction
            if not isinstance(update, UpdatePrice) or (update.file, update.account) != (listed.file, listed.account):
                continue
            check_instruction_receipt(other, domain, operator)
            if get_place(other) > price_place:
                price, price_place = update.price, get_place(other)
        elif (other.signed.payment.kind, other.signed.payment.reference) == (UPLOAD, listed.file):
            check_receipt(other, domain, operator)
            service_node = other.signed.payment.outputs[0].to
    return Terms(listed.file, listed.account, listed.owner, listed.asset, price, service_node, market)


def find_terms(store: ReceiptStore, file: Hash, ledger: Ledger, *, place: tuple[int, int]) -> Terms | None:
    """From the receipts on disk. None if the file's listing is not among them.

    Raises as `compute_terms`; `DamagedFile`; and `WrongLedger` if the ledger was pinned without its parameters, which
    the next contact with its node amends.
    """
    if ledger.parameters is None:
        raise WrongLedger("the ledger's parameters are not known here yet; any command that asks its node keeps them")
    listing: InstructionReceipt | None = None
    others: list[InstructionReceipt | Receipt] = []
    for held in store.find_mentions(file):
        content = held.receipt.signed.instruction if isinstance(held, HeldInstructionReceipt) else None
        if isinstance(held, HeldInstructionReceipt) and isinstance(content, ListFile) and content.file == file:
            listing = held.receipt
        else:
            others.append(held.receipt)
    return (
        None
        if listing is None
        else compute_terms(
            listing,
            others,
            place=place,
            domain=ledger.domain,
            operator=ledger.operator,
            market=ledger.parameters.market,
        )
    )


def open_purchased_key(purchase: Purchase, key: SigningKey, domain: Domain, key_hash: Hash) -> bytes:
    """The file's key, 32 bytes, out of what the node gives who has bought it. `key`: the buyer's, who signed the
    purchase; `key_hash`: as the listing states it.

    Raises, in this order: `NoFileKey`; `WrongKey`, when it was sealed for somebody else or for another file, or is not
    the one that the listing names.
    """
    if key_hash == ZERO_HASH:
        raise NoFileKey(f"the content of file 0x{purchase.file.hex()} is not encrypted")
    if purchase.sealed_key is None:
        raise NoFileKey(f"the key of file 0x{purchase.file.hex()} is in no escrow: its validator hands it out")
    context = purchase_context(domain, purchase.file, key.address)
    opened = open_sealed_key(purchase.sealed_key, key.export_secret(), context)
    check_file_key(opened, key_hash)
    return opened


def check_file_key(file_key: bytes, key_hash: Hash) -> None:
    """Raises `WrongKey` unless it is the key whose hash the listing states."""
    if keccak(file_key) != key_hash:
        raise WrongKey(f"the key has hash 0x{keccak(file_key).hex()}, the listing says 0x{key_hash.hex()}")


def get_place(receipt: Receipt | InstructionReceipt) -> tuple[int, int]:
    """(block, record)"""
    return receipt.header.number, receipt.index


def describe_shares(shares: Shares) -> str:
    return ", ".join([f"{amount} to 0x{to.hex()}" for to, amount in shares])
