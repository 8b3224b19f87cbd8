"""Payments signed before the clock starts."""

from collections.abc import Sequence

import msgspec
from coincurve import PrivateKey

from chain import wire
from chain.kinds import TRANSFER
from chain.params import Domain
from chain.payment import Output, Payment, compute_payment_id
from chain.primitives import ZERO_HASH, Address, Hash, Signature
from chain.signatures import compute_address, sign_digest


class Load(msgspec.Struct, frozen=True):
    """Payments in the order in which they must arrive: each account's nonces ascend."""

    payments: list[Payment]
    signatures: list[tuple[Hash, Signature]]

    def make_submissions(self) -> list[bytes]:
        """The JSON of `[payment, signature]`, each."""
        return [
            msgspec.json.encode([wire.encode_payment(payment), wire.encode_bytes(signature)])
            for payment, (_, signature) in zip(self.payments, self.signatures, strict=True)
        ]


def make_load(
    keys: Sequence[PrivateKey], asset: Address, domain: Domain, count: int, nonces: dict[Address, int]
) -> Load:
    """`count` transfers of one base unit from each key in turn to the next one. `nonces` is brought forward."""
    addresses = [compute_address(key.public_key) for key in keys]
    payments, signatures = [], []
    for number in range(count):
        place = number % len(keys)
        payer = addresses[place]
        nonce = nonces.get(payer, 0)
        nonces[payer] = nonce + 1
        payee = addresses[(place + 1) % len(keys)]
        payment = Payment(asset, payer, nonce, 0, TRANSFER, ZERO_HASH, "", (Output(payee, 1),))
        digest = compute_payment_id(payment, domain)
        payments.append(payment)
        signatures.append((digest, sign_digest(keys[place], digest)))
    return Load(payments, signatures)


def encode_call(submission: bytes, number: int, method: bytes = b"tally_sendPayment") -> bytes:
    """A JSON-RPC call."""
    return b'{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s}' % (number, method, submission)


def encode_http(body: bytes) -> bytes:
    """A request that keeps its connection."""
    return b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
