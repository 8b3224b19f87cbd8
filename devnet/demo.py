"""`--demo`: a few accounts that pay each other, at a human pace, so that there is something to look at."""

import asyncio
import random
from typing import Any, Final

import structlog
from coincurve import PrivateKey

from chain import wire
from chain.kinds import TIP, TRANSFER
from chain.params import Domain
from chain.payment import Output, Payment, compute_payment_id
from chain.primitives import ZERO_HASH
from chain.signatures import compute_address, sign_digest
from node.ethereum.endpoint import Endpoint
from node.ethereum.faults import EthereumFault

_PAUSE_SECONDS: Final = (1.0, 5.0)
_MEMOS: Final = (
    "coffee",
    "thanks!",
    "for the photos",
    "lunch on Friday",
    "great thread",
    "rent, second half",
    "merci ☕",
    "",
)
_CENT: Final = 10**16

_log = structlog.get_logger(__name__)


async def play(rpc_url: str, private_keys: tuple[bytes, ...]) -> None:
    """Transfers and tips between these accounts until cancelled. A node that is away is waited for."""
    keys = [PrivateKey(key) for key in private_keys]
    endpoint = Endpoint(rpc_url)
    chance = random.Random()
    try:
        while True:
            try:
                await _pay(endpoint, keys, chance)
            except EthereumFault as fault:
                _log.info("a demonstration payment was not made", reason=str(fault))
            await asyncio.sleep(chance.uniform(*_PAUSE_SECONDS))
    finally:
        await endpoint.close()


async def _pay(endpoint: Endpoint, keys: list[PrivateKey], chance: random.Random) -> None:
    info = await endpoint.call("tally_getInfo", [])
    payer, *payees = chance.sample(keys, 3)
    address = compute_address(payer.public_key)
    account = await endpoint.call("tally_getAccount", [wire.encode_address(address)])
    kind = chance.choice((TRANSFER, TIP))
    asset = chance.choice(info["assets"])
    scale = 1 if asset["native"] else 100
    count = 1 if kind == TIP else chance.choice((1, 1, 2))
    payment = Payment(
        asset=wire.decode_address(asset["address"], "asset"),
        payer=address,
        nonce=int(account["nextNonce"], 16),
        valid_until=0,
        kind=kind,
        reference=ZERO_HASH,
        memo=chance.choice(_MEMOS),
        outputs=tuple(
            [
                Output(compute_address(payee.public_key), chance.randint(1, 50) * scale * _CENT)
                for payee in payees[:count]
            ]
        ),
    )
    signature = sign_digest(payer, compute_payment_id(payment, _read_domain(info)))
    await endpoint.call("tally_sendPayment", [wire.encode_payment(payment), wire.encode_bytes(signature)])


def _read_domain(info: dict[str, Any]) -> Domain:
    domain = info["domain"]
    return Domain(int(domain["chainId"], 16), wire.decode_address(domain["verifyingContract"], "verifyingContract"))
