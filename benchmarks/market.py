"""A data exchange made ready before the clock starts: marts, files that are listed, and purchases of them, signed."""

from collections.abc import Sequence
from typing import Final

import msgspec
from coincurve import PrivateKey

from benchmarks.load import Load
from chain import wire
from chain.hashing import keccak
from chain.instruction import Instruction, ListFile, Register, RegisterOwner, compute_instruction_id
from chain.kinds import PURCHASE
from chain.market import MART, VALIDATOR
from chain.params import Domain
from chain.payment import Output, Payment, compute_payment_id
from chain.primitives import ZERO_HASH, Address, Hash
from chain.signatures import compute_address, sign_digest

_PRICE: Final = 2
"""Base units: one to the validator, one to the owner."""


class Stand:
    """A validator and one of its owners, who list files of a kind."""

    def __init__(self, number: int, asset: Address, domain: Domain) -> None:
        self._validator, self._owner = [PrivateKey(keccak(b"stand%d%s" % (number, who))) for who in (b"v", b"o")]
        self._asset = asset
        self._domain = domain
        self._next_nonce = 0
        self.shares = (
            Output(compute_address(self._validator.public_key), _PRICE // 2),
            Output(compute_address(self._owner.public_key), _PRICE // 2),
        )
        self.files: list[Hash] = []

    def open(self) -> list[bytes]:
        """Submissions that give both their roles."""
        validator, owner = [output.to for output in self.shares]
        self._next_nonce = 1
        return [
            _encode(self._validator, Register(validator, 0, 0, VALIDATOR), self._domain),
            _encode(self._owner, RegisterOwner(owner, 0, 0, validator), self._domain),
        ]

    def list_files(self, count: int) -> list[bytes]:
        """Submissions that list so many files more."""
        validator, owner = [output.to for output in self.shares]
        submissions = []
        for _ in range(count):
            file = keccak(validator + self._next_nonce.to_bytes(8, "big"))
            listing = ListFile(
                account=validator,
                nonce=self._next_nonce,
                valid_until=0,
                file=file,
                owner=owner,
                asset=self._asset,
                price=_PRICE,
                size=1,
                storage_days=1,
                content_hash=file,
                name="measurements.csv",
                media_type="text/csv",
                tags=(),
                description="",
                key_hash=ZERO_HASH,
                sealed_key=b"",
            )
            self.files.append(file)
            self._next_nonce += 1
            submissions.append(_encode(self._validator, listing, self._domain))
        return submissions

    def make_purchases(self, keys: Sequence[PrivateKey], files: Sequence[Hash], nonces: dict[Address, int]) -> Load:
        """Each file bought once with each key, in turn. `nonces` is brought forward."""
        marts = [compute_address(key.public_key) for key in keys]
        payments, signatures = [], []
        for file in files:
            for key, mart in zip(keys, marts, strict=True):
                nonce = nonces.get(mart, 0)
                nonces[mart] = nonce + 1
                payment = Payment(self._asset, mart, nonce, 0, PURCHASE, file, "", self.shares)
                digest = compute_payment_id(payment, self._domain)
                payments.append(payment)
                signatures.append((digest, sign_digest(key, digest)))
        return Load(payments, signatures)


def register_marts(keys: Sequence[PrivateKey], domain: Domain, nonces: dict[Address, int]) -> list[bytes]:
    """Submissions. `nonces` is brought forward."""
    submissions = []
    for key in keys:
        mart = compute_address(key.public_key)
        nonce = nonces.get(mart, 0)
        nonces[mart] = nonce + 1
        submissions.append(_encode(key, Register(mart, nonce, 0, MART), domain))
    return submissions


def _encode(key: PrivateKey, instruction: Instruction, domain: Domain) -> bytes:
    """The JSON of `[instruction, signature]`."""
    signature = sign_digest(key, compute_instruction_id(instruction, domain))
    return msgspec.json.encode([wire.encode_instruction(instruction), wire.encode_bytes(signature)])
