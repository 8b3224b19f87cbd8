"""File keys sealed to a public key, so that only the holder of its private key reads them: a validator's to the node's
escrow, and the node's to a buyer.

ECIES (SEC 1 version 2, section 5.1) over secp256k1, with these parts:

- key agreement: ECDH in constant time, as libsecp256k1 does it: the SHA-256 of the compressed shared point;
- key derivation: HKDF-SHA256 (RFC 5869), salt ephemeral key 33 ‖ recipient's key 33, info `_INFO` ‖ context, 44 bytes:
  AES key 32 ‖ GCM nonce 12. Salt and info stand for SEC 1's shared info: who agrees, and on what;
- encryption: AES-256-GCM (NIST SP 800-38D), tag 16 bytes, the context as associated data.

A sealed key is 81 bytes: ephemeral public key, compressed, 33 ‖ ciphertext 32 ‖ tag 16.

The context says what a key is sealed for, and a key sealed for one thing opens for no other: nobody can take another's
sealed key out of a public listing, list it as his own, and have it opened by buying from himself.

Nothing here is random: the ephemeral secret comes from the caller. Made anew for every sealing, or derived from a
secret and everything that goes into the sealing, it is never used twice for different keys in one context; that is all
that GCM asks of its nonce here. That a sealed key is *right* is shown by its hash in the listing, not by the tag.
"""

import hmac
from typing import Final

from coincurve import PrivateKey, PublicKey
from Crypto.Cipher import AES
from Crypto.Cipher._mode_gcm import GcmMode

from chain.errors import WrongKey
from chain.instruction import SEALED_KEY_SIZE
from chain.params import Domain
from chain.primitives import Address, Hash

FILE_KEY_SIZE: Final = 32
"""Bytes: an AES-256 key."""
PUBLIC_KEY_SIZE: Final = 33
"""Bytes: compressed (SEC 1, section 2.3.3)."""

_TAG_SIZE: Final = 16
_NONCE_SIZE: Final = 12
_INFO: Final = b"Tallystick sealed key 1"
_ESCROW: Final = b"escrow"
_PURCHASE: Final = b"purchase"


def escrow_context(domain: Domain, validator: Address, file: Hash) -> bytes:
    """90 bytes: domain separator 32 ‖ "escrow" 6 ‖ validator 20 ‖ file 32. What a listing's sealed key is for."""
    return domain.separator + _ESCROW + validator + file


def purchase_context(domain: Domain, file: Hash, buyer: Address) -> bytes:
    """92 bytes: domain separator 32 ‖ "purchase" 8 ‖ file 32 ‖ buyer 20. What a buyer's sealed key is for."""
    return domain.separator + _PURCHASE + file + buyer


def seal_key(key: bytes, recipient_public_key: bytes, context: bytes, ephemeral_secret: bytes) -> bytes:
    """The 81 bytes that `open_sealed_key` opens with the recipient's private key and the same context.

    `key`: 32 bytes. `recipient_public_key`: 33 bytes, compressed. `ephemeral_secret`: 32 bytes, a private key of
    secp256k1 that nobody else knows, see the module. Raises ValueError for anything else: these are the caller's own.
    """
    if len(key) != FILE_KEY_SIZE:
        raise ValueError(f"a file key is {FILE_KEY_SIZE} bytes long, this one {len(key)}")
    if len(recipient_public_key) != PUBLIC_KEY_SIZE:
        raise ValueError(f"a public key is {PUBLIC_KEY_SIZE} bytes long, this one {len(recipient_public_key)}")
    if len(ephemeral_secret) != 32:
        raise ValueError(f"a private key is 32 bytes long, this one {len(ephemeral_secret)}")
    PublicKey(recipient_public_key)  # raises ValueError for what is no point
    ephemeral = PrivateKey(ephemeral_secret)
    ephemeral_public_key = ephemeral.public_key.format()
    shared = ephemeral.ecdh(recipient_public_key)
    cipher = _make_cipher(shared, ephemeral_public_key, recipient_public_key, context)
    ciphertext, tag = cipher.encrypt_and_digest(key)
    return ephemeral_public_key + ciphertext + tag


def open_sealed_key(sealed: bytes, recipient_secret: bytes, context: bytes) -> bytes:
    """The 32 bytes of the key in `sealed`.

    `recipient_secret`: 32 bytes, a private key of secp256k1; ValueError for anything else.
    Raises `WrongKey`, in this order: another length, no point of the curve where the ephemeral key is, and whatever was
    sealed to another key, for another context, or altered.
    """
    if len(recipient_secret) != 32:
        raise ValueError(f"a private key is 32 bytes long, this one {len(recipient_secret)}")
    recipient = PrivateKey(recipient_secret)
    if len(sealed) != SEALED_KEY_SIZE:
        raise WrongKey(f"a sealed key is {SEALED_KEY_SIZE} bytes long, this one {len(sealed)}")
    ephemeral_public_key = sealed[:PUBLIC_KEY_SIZE]
    ciphertext, tag = sealed[PUBLIC_KEY_SIZE:-_TAG_SIZE], sealed[-_TAG_SIZE:]
    try:
        PublicKey(ephemeral_public_key)
    except ValueError as error:
        raise WrongKey("the sealed key does not begin with a point of the curve") from error
    shared = recipient.ecdh(ephemeral_public_key)
    cipher = _make_cipher(shared, ephemeral_public_key, recipient.public_key.format(), context)
    try:
        return bytes(cipher.decrypt_and_verify(ciphertext, tag))
    except ValueError as error:
        raise WrongKey("the key was sealed to another key, for another purpose, or has been altered") from error


def _make_cipher(shared: bytes, ephemeral_public_key: bytes, recipient_public_key: bytes, context: bytes) -> GcmMode:
    derived = _derive(shared, ephemeral_public_key + recipient_public_key, _INFO + context)
    key, nonce = derived[:FILE_KEY_SIZE], derived[FILE_KEY_SIZE : FILE_KEY_SIZE + _NONCE_SIZE]
    return AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=_TAG_SIZE).update(context)


def _derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """The first 64 bytes of HKDF-SHA256: extract (RFC 5869, section 2.2) and two blocks of expand (2.3)."""
    extracted = hmac.digest(salt, secret, "sha256")
    first = hmac.digest(extracted, info + b"\x01", "sha256")
    return first + hmac.digest(extracted, first + info + b"\x02", "sha256")
