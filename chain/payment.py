"""A payment: one payer, one asset, one or more outputs, authorised by a signature.

The authorisation form today is EIP-712 typed data. A payment may come to be authorised in another way (an Ethereum
transaction for the ledger's chain id); everything that depends on the way is in this module and goes through
`Authorisation`: how the id is computed and how the signature is checked. The rules see only the `Payment`.
"""

import struct
from enum import IntEnum
from functools import lru_cache
from typing import Final

import msgspec

from chain.encoding import Reader, encode_address_word, encode_u128, encode_u256
from chain.errors import (
    AmountTooLarge,
    MalformedBytes,
    MemoTooLong,
    NoOutputs,
    TooManyOutputs,
    UnknownKind,
    ZeroAddress,
    ZeroAmount,
)
from chain.hashing import keccak
from chain.kinds import KIND_CODES
from chain.params import Domain
from chain.primitives import (
    ADDRESS_SIZE,
    MAX_MEMO_SIZE,
    MAX_OUTPUTS,
    MAX_U128,
    SIGNATURE_SIZE,
    ZERO_ADDRESS,
    Address,
    Hash,
    Signature,
)
from chain.signatures import check_signer

PAYMENT_TYPE: Final = (
    "Payment(address asset,address from,uint64 nonce,uint64 validUntil,string kind,bytes32 reference,string memo,"
    "Output[] outputs)"
)
OUTPUT_TYPE: Final = "Output(address to,uint128 amount)"

_PAYMENT_TYPE_HASH: Final = keccak((PAYMENT_TYPE + OUTPUT_TYPE).encode())
_OUTPUT_HEAD: Final = keccak(OUTPUT_TYPE.encode()) + bytes(12)
_WORD_HEAD: Final = bytes(12)
_U64_HEAD: Final = bytes(24)
_U128_HEAD: Final = bytes(16)

_FIXED: Final = struct.Struct(">B20s20sQQB32sBH")
"""form ‖ asset ‖ from ‖ nonce ‖ validUntil ‖ kind code ‖ reference ‖ output count ‖ memo size"""
_OUTPUT_SIZE: Final = ADDRESS_SIZE + 16
_SHOWN_KIND: Final = 32
"""Characters of an unknown kind that a refusal repeats."""


class Authorisation(IntEnum):
    """How a payment was authorised. Number 2 is kept for Ethereum transactions."""

    TYPED_DATA = 1


class Output(msgspec.Struct, frozen=True, gc=False):
    to: Address
    amount: int
    """Base units, 1 to 2^128 − 1."""


class Payment(msgspec.Struct, frozen=True, gc=False):
    """What the payer signs. Structure is checked by `check_structure`, everything else by `chain.transition`."""

    asset: Address
    payer: Address
    nonce: int
    valid_until: int
    """Unix seconds; 0 for no limit."""
    kind: str
    reference: Hash
    """What is paid for (a file, an order); zero if nothing is named."""
    memo: str
    outputs: tuple[Output, ...]

    @property
    def total(self) -> int:
        return sum([output.amount for output in self.outputs])


class SignedPayment(msgspec.Struct, frozen=True, gc=False):
    """A payment with its id and what authorises it, as it stands in a block."""

    id: Hash
    payment: Payment
    signature: Signature
    authorisation: Authorisation = Authorisation.TYPED_DATA


def check_structure(payment: Payment) -> None:
    """What can be said of a payment without knowing the ledger.

    Raises, in this order: `UnknownKind`, `NoOutputs`, `TooManyOutputs`, `ZeroAddress` (payer, then outputs),
    `ZeroAmount`, `AmountTooLarge` (an output, then their sum), `MemoTooLong`.
    """
    if payment.kind not in KIND_CODES:
        raise UnknownKind(payment.kind[:_SHOWN_KIND])
    outputs = payment.outputs
    if not outputs:
        raise NoOutputs()
    if len(outputs) > MAX_OUTPUTS:
        raise TooManyOutputs(len(outputs), MAX_OUTPUTS)
    if payment.payer == ZERO_ADDRESS:
        raise ZeroAddress("from")
    total = 0
    for index, output in enumerate(outputs):
        if output.to == ZERO_ADDRESS:
            raise ZeroAddress(f"outputs[{index}].to")
    for index, output in enumerate(outputs):
        if output.amount == 0:
            raise ZeroAmount(index)
        total += output.amount
    if total > MAX_U128:
        raise AmountTooLarge(next((output.amount for output in outputs if output.amount > MAX_U128), total), MAX_U128)
    if payment.memo and len(payment.memo.encode()) > MAX_MEMO_SIZE:
        raise MemoTooLong(len(payment.memo.encode()), MAX_MEMO_SIZE)


def compute_struct_hash(payment: Payment) -> Hash:
    """The EIP-712 struct hash. The payment must have passed `check_structure`."""
    outputs = b"".join(
        [
            keccak(_OUTPUT_HEAD + output.to + _U128_HEAD + output.amount.to_bytes(16, "big"))
            for output in payment.outputs
        ]
    )
    return keccak(
        b"".join(
            (
                _PAYMENT_TYPE_HASH,
                _WORD_HEAD,
                payment.asset,
                _WORD_HEAD,
                payment.payer,
                _U64_HEAD,
                payment.nonce.to_bytes(8, "big"),
                _U64_HEAD,
                payment.valid_until.to_bytes(8, "big"),
                _KIND_HASHES[payment.kind],
                payment.reference,
                _hash_text(payment.memo),
                keccak(outputs),
            )
        )
    )


def compute_payment_id(payment: Payment, domain: Domain) -> Hash:
    """The EIP-712 digest: it does not depend on the signature."""
    return keccak(domain.prefix + compute_struct_hash(payment))


def check_signed_payment(payment: Payment, signature: Signature, domain: Domain) -> SignedPayment:
    """The payment with its id, when it is well formed and its payer signed it.

    Raises what `check_structure` raises, then `InvalidSignature`.
    """
    check_structure(payment)
    payment_id = compute_payment_id(payment, domain)
    check_signer(payment_id, signature, payment.payer)
    return SignedPayment(payment_id, payment, signature)


def encode_signed_payment(signed: SignedPayment) -> bytes:
    """Journal form: id 32 ‖ signature 65 ‖ form u8 ‖ asset 20 ‖ from 20 ‖ nonce u64 ‖ validUntil u64 ‖ kind u8 ‖
    reference 32 ‖ output count u8 ‖ memo size u16 ‖ outputs (to 20 ‖ amount u128) ‖ memo."""
    payment = signed.payment
    memo = payment.memo.encode()
    return b"".join(
        (
            signed.id,
            signed.signature,
            _FIXED.pack(
                signed.authorisation,
                payment.asset,
                payment.payer,
                payment.nonce,
                payment.valid_until,
                KIND_CODES[payment.kind],
                payment.reference,
                len(payment.outputs),
                len(memo),
            ),
            *[output.to + encode_u128(output.amount) for output in payment.outputs],
            memo,
        )
    )


def decode_signed_payment(data: bytes) -> SignedPayment:
    """Inverse of `encode_signed_payment`; the id and the signature are taken as they stand, not checked.

    Raises `MalformedBytes` for any other bytes.
    """
    reader = Reader(data)
    payment_id = reader.take(32)
    signature = reader.take(SIGNATURE_SIZE)
    form, asset, payer, nonce, valid_until, kind_code, reference, count, memo_size = _FIXED.unpack(
        reader.take(_FIXED.size)
    )
    if form != Authorisation.TYPED_DATA:
        raise MalformedBytes(f"authorisation form {form} is not known")
    kind = _KINDS_BY_CODE.get(kind_code)
    if kind is None:
        raise MalformedBytes(f"kind code {kind_code} is not known")
    packed = reader.take(count * _OUTPUT_SIZE)
    outputs = tuple(
        [
            Output(packed[at : at + ADDRESS_SIZE], int.from_bytes(packed[at + ADDRESS_SIZE : at + _OUTPUT_SIZE], "big"))
            for at in range(0, len(packed), _OUTPUT_SIZE)
        ]
    )
    try:
        memo = reader.take(memo_size).decode()
    except UnicodeDecodeError as error:
        raise MalformedBytes("the memo is not UTF-8") from error
    reader.finish()
    payment = Payment(asset, payer, nonce, valid_until, kind, reference, memo, outputs)
    return SignedPayment(payment_id, payment, signature)


@lru_cache(maxsize=4096)
def _hash_text(text: str) -> Hash:
    return keccak(text.encode())


_KIND_HASHES: Final = {kind: keccak(kind.encode()) for kind in KIND_CODES}
_KINDS_BY_CODE: Final = {code: kind for kind, code in KIND_CODES.items()}

# Words of addresses and integers are joined in place above; this is what they stand for.
assert encode_address_word(bytes(20)) == _WORD_HEAD + bytes(20) and encode_u256(0) == _U64_HEAD + bytes(8)
