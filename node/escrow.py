"""The escrow: file keys that listings bring, sealed to this node, and that it hands to whoever has bought the file.

A listing's key is opened before the listing is ordered, so that a file whose key is in escrow is never sold without one
that fits the listing's `keyHash`; and the escrow key that was used once is demanded at every later start. What is
handed out is sealed to the key that signed the purchase: anybody may fetch it, only the buyer can open it.
"""

from pathlib import Path

from coincurve import PrivateKey

from chain.errors import WrongKey
from chain.hashing import keccak
from chain.instruction import ListFile
from chain.params import Domain
from chain.payment import SignedPayment
from chain.sealing import PUBLIC_KEY_SIZE, escrow_context, open_sealed_key, purchase_context, seal_key
from chain.signatures import recover_public_key
from node.config import ConfigurationError
from node.durable_file import write_durably
from node.refusals import NoEscrow


class Escrow:
    def __init__(self, domain: Domain, key: PrivateKey | None) -> None:
        self._domain = domain
        self._key = key

    @property
    def public_key(self) -> bytes | None:
        """33 bytes, compressed; None when this node takes no keys."""
        return None if self._key is None else self._key.public_key.format()

    def check_listing(self, listing: ListFile) -> None:
        """Whether the key that the listing brings, if any, opens and is the one whose hash it states.

        Raises `NoEscrow`, `WrongKey`.
        """
        if listing.sealed_key:
            self._open(listing)

    def seal_for_buyer(self, listing: ListFile, purchase: SignedPayment) -> bytes | None:
        """The file's key for who signed the purchase: 81 bytes as `chain.sealing` makes them; None when the validator
        kept the key. Raises `NoEscrow`, `WrongKey`."""
        if not listing.sealed_key:
            return None
        buyer = recover_public_key(purchase.id, purchase.signature)
        context = purchase_context(self._domain, listing.file, purchase.payment.payer)
        return seal_key(self._open(listing), buyer, context, PrivateKey().secret)

    def _open(self, listing: ListFile) -> bytes:
        if self._key is None:
            raise NoEscrow()
        context = escrow_context(self._domain, listing.account, listing.file)
        key = open_sealed_key(listing.sealed_key, self._key.secret, context)
        if keccak(key) != listing.key_hash:
            raise WrongKey("the sealed key is not the one whose hash the listing states")
        return key


def confirm_escrow(path: Path, escrow: Escrow) -> None:
    """Holds the key against the one that this ledger's listings were sealed to, which `path` remembers from the first
    start with one: without it, buyers would pay for keys that nobody can hand out.

    Raises `ConfigurationError` for another key or none, and for a file that holds no key.
    """
    if not path.exists():
        if escrow.public_key is not None:
            write_durably(path, escrow.public_key.hex().encode() + b"\n")
        return
    known = _read(path)
    if escrow.public_key != known:
        raise ConfigurationError(
            f"escrow: this ledger's file keys are sealed to 0x{known.hex()}; its keystore is missing here"
        )


def _read(path: Path) -> bytes:
    """33 bytes. Raises `ConfigurationError`."""
    try:
        key = bytes.fromhex(path.read_bytes().decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != PUBLIC_KEY_SIZE:
        raise ConfigurationError(f"escrow: {path} holds no public key")
    return key
