"""secp256k1 signatures over 32-byte digests, through libsecp256k1.

Only the canonical form counts: 65 bytes r ‖ s ‖ v with v 27 or 28 and s in the lower half of the order (EIP-2), so that
one authorisation has one encoding.
"""

from typing import Final

from coincurve import PrivateKey, PublicKey

from chain.errors import InvalidSignature
from chain.hashing import keccak
from chain.primitives import SIGNATURE_SIZE, Address, Hash, Signature

_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HALF_ORDER_BYTES: Final = (_ORDER // 2).to_bytes(32, "big")
_RECOVERY_IDS: Final = {27: b"\x00", 28: b"\x01"}


def recover_address(digest: Hash, signature: Signature) -> Address:
    """The address whose key made `signature` over `digest`. Raises what `recover_public_key` raises."""
    return compute_address(_recover(digest, signature))


def recover_public_key(digest: Hash, signature: Signature) -> bytes:
    """The public key, 33 bytes compressed, whose private key made `signature` over `digest`.

    Raises `InvalidSignature` for, in this order: a wrong length, a v other than 27 and 28, an s in the upper half, and
    numbers that recover to no key (r or s zero or above the order included).
    """
    return _recover(digest, signature).format()


def check_signer(digest: Hash, signature: Signature, signer: Address) -> None:
    """Raises `InvalidSignature` unless `signer` made `signature` over `digest`."""
    recovered = recover_address(digest, signature)
    if recovered != signer:
        raise InvalidSignature(f"signed by 0x{recovered.hex()}, not by 0x{signer.hex()}")


def sign_digest(key: PrivateKey, digest: Hash) -> Signature:
    """Deterministic (RFC 6979): the same key and digest give the same bytes, so a lost signature can be made again."""
    signature = key.sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes((27 + signature[64],))


def compute_address(key: PublicKey) -> Address:
    """The last 20 bytes of the keccak of the uncompressed key without its 0x04 prefix (Yellow Paper, appendix F)."""
    return keccak(key.format(compressed=False)[1:])[12:]


def _recover(digest: Hash, signature: Signature) -> PublicKey:
    if len(signature) != SIGNATURE_SIZE:
        raise InvalidSignature(f"a signature is {SIGNATURE_SIZE} bytes long, this one {len(signature)}")
    recovery_id = _RECOVERY_IDS.get(signature[64])
    if recovery_id is None:
        raise InvalidSignature(f"v is 27 or 28, here it is {signature[64]}")
    if signature[32:64] > _HALF_ORDER_BYTES:
        raise InvalidSignature("s lies in the upper half of the order")
    try:
        return PublicKey.from_signature_and_message(signature[:64] + recovery_id, digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception for what libsecp256k1 refuses
        raise InvalidSignature("the signature recovers to no key") from error
