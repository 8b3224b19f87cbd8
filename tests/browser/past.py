"""A ledger with a past: payments of every kind, with all that payers may put into them, and a list of what was sent."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chain import wire
from chain.payment import Output, Payment, compute_payment_id
from chain.primitives import ETHER, MAX_MEMO_SIZE, MAX_OUTPUTS, ZERO_HASH, Address, Hash
from chain.signatures import sign_digest
from node.rpc.envelope import MAX_BATCH
from tests.network import Network, wait_until

SEED: Final = 20_261_125
"""Fixed, and printed: the same ledger every time, but for the times."""

PAYMENTS: Final = 1_040
_PHASES: Final = 4
"""Each in an epoch of its own."""
_BATCH: Final = 130

STATUSES: Final = ("accepted", "committed", "final")
"""In their order: a payment's only ever moves on."""

HOSTILE_MEMOS: Final = {
    "<script>alert(1)</script>": "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>': '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)": "' onmouseover='alert(1)",
    "</td></tr></table><h1>final</h1>": "</td></tr></table><h1>final</h1>",
    "{{ 7 * 7 }} ${7 * 7} &lt;b&gt;": "{{ 7 * 7 }} ${7 * 7} &lt;b&gt;",
    "javascript:alert(1)": "javascript:alert(1)",
    "paid \u202e000,1 uoy\u202c": "paid ⟨U+202E⟩000,1 uoy⟨U+202C⟩",
    "\u2066\u2067\u200f\u200b": "⟨U+2066⟩⟨U+2067⟩⟨U+200F⟩⟨U+200B⟩",
    "\x00\x07\x1b[31m\r\n\t\x7f": "⟨U+0000⟩⟨U+0007⟩⟨U+001B⟩[31m⟨U+000D⟩⟨U+000A⟩⟨U+0009⟩⟨U+007F⟩",
    '=HYPERLINK("http://evil.example","receipt")': '=HYPERLINK("http://evil.example","receipt")',
    '+1,"a""b",;\'@SUM(A1)': '+1,"a""b",;\'@SUM(A1)',
    "💸" * (MAX_MEMO_SIZE // 4): "💸" * (MAX_MEMO_SIZE // 4),
    "W" * MAX_MEMO_SIZE: "W" * MAX_MEMO_SIZE,
    "مرحبا بالعالم": "مرحبا بالعالم",
}
"""What payers may write into a memo, and what of it has to be seen."""

_PLAIN_MEMOS: Final = ("lunch", "for the file", "thank you!", "rent, November", "naïve café №5")


@dataclass(frozen=True)
class Sent:
    """A payment that the ledger has taken."""

    id: Hash
    payment: Payment
    block: int
    timestamp: int
    """Of the block, in milliseconds."""

    @property
    def name(self) -> str:
        return wire.encode_bytes(self.id)


class Past:
    """Also sends more: whoever does goes on being in the list."""

    def __init__(self, network: Network) -> None:
        self.sent: list[Sent] = []
        self.references: list[Hash] = []
        self.accounts = network.addresses
        self.assets = (ETHER, network.token)
        self._network = network
        self._nonces = [network.next_nonce(payer) for payer in range(len(network.keys))]

    def send(self, *payments: Payment) -> list[Sent]:
        """In one batch; returns when all are durable."""
        network = self._network
        ids = [compute_payment_id(payment, network.domain) for payment in payments]
        payers = [network.addresses.index(payment.payer) for payment in payments]
        calls = [
            (
                "tally_sendPayment",
                [
                    wire.encode_payment(payment),
                    wire.encode_bytes(sign_digest(network.keys[payer], payment_id)),
                ],
            )
            for payment, payment_id, payer in zip(payments, ids, payers, strict=True)
        ]
        done = []
        for answer, payment, payment_id in zip(network.batch(calls), payments, ids, strict=True):
            assert "result" in answer, answer
            block = answer["result"]["block"]
            assert answer["result"]["id"] == wire.encode_bytes(payment_id)
            done.append(Sent(payment_id, payment, int(block["number"], 16), int(block["timestamp"], 16)))
        self.sent += done
        return done

    def wait_for_cut(self) -> None:
        """Returns when the epoch has just ended, so that the next one has all its time before it. Something must be in
        the epoch."""
        before = self._get_epoch()
        wait_until(lambda: self._get_epoch() > before, "the cut of the epoch")

    def _get_epoch(self) -> int:
        return int(self._network.call("tally_getInfo")["epoch"], 16)

    def get_statuses(self, sent: Sequence[Sent]) -> dict[str, str]:
        """As their receipts say: name → status."""
        answers: list[Any] = []
        for start in range(0, len(sent), MAX_BATCH):
            part = sent[start : start + MAX_BATCH]
            answers += self._network.batch([("tally_getReceipt", [payment.name]) for payment in part])
        return {payment.name: answer["result"]["status"] for payment, answer in zip(sent, answers, strict=True)}

    def write(self, payer: int, *outputs: tuple[Address, int], **fields: object) -> Payment:
        """A payment with the next nonce of an account; `fields` are those of `Payment`."""
        values = {
            "asset": self._network.token,
            "kind": "transfer",
            "reference": ZERO_HASH,
            "memo": "",
            "valid_until": 0,
        }
        nonce = self._nonces[payer]
        self._nonces[payer] += 1
        return Payment(
            payer=self._network.addresses[payer],
            nonce=nonce,
            outputs=tuple([Output(to, amount) for to, amount in outputs]),
            **{**values, **fields},  # type: ignore[arg-type]
        )

    def pay(self, payer: int, *outputs: tuple[Address, int], **fields: object) -> Sent:
        return self.send(self.write(payer, *outputs, **fields))[0]


def make_past(network: Network) -> Past:
    print(f"the ledger's past: seed {SEED}")
    rng = random.Random(SEED)
    past = Past(network)
    past.references = [rng.randbytes(32) for _ in range(20)]
    memos = list(HOSTILE_MEMOS)
    for phase in range(_PHASES):
        left = PAYMENTS // _PHASES
        while left:
            size = min(_BATCH, left)
            # Every hostile memo is there at least once, and then at random.
            payments = [_draw(past, network, rng, memos.pop() if memos else None) for _ in range(size)]
            past.send(*payments)
            left -= size
        if phase < _PHASES - 1:
            past.wait_for_cut()
    return past


def _draw(past: Past, network: Network, rng: random.Random, memo: str | None) -> Payment:
    # The first account has a long statement, the last ones short ones.
    payer = min(rng.randrange(10), rng.randrange(10))
    kind = rng.choices(("transfer", "tip", "withdraw"), (7, 2, 1))[0]
    count = 1 if kind != "transfer" else rng.choice((1, 1, 1, 2, 3, rng.randint(4, MAX_OUTPUTS)))
    outputs = [(_draw_payee(network, rng, payer), _draw_amount(rng)) for _ in range(count)]
    if memo is None:
        memo = rng.choices(("", rng.choice(_PLAIN_MEMOS), rng.choice(list(HOSTILE_MEMOS))), (6, 3, 1))[0]
    return past.write(
        payer,
        *outputs,
        asset=rng.choices((network.token, ETHER), (7, 3))[0],
        kind=kind,
        reference=rng.choice(past.references) if rng.random() < 0.3 else ZERO_HASH,
        memo=memo,
        valid_until=rng.choice((0, 0, 4_000_000_000)),
    )


def _draw_payee(network: Network, rng: random.Random, payer: int) -> Address:
    """A known account, the payer itself, or somebody new."""
    choice = rng.random()
    if choice < 0.05:
        return network.addresses[payer]
    return rng.choice(network.addresses) if choice < 0.85 else rng.randbytes(20)


def _draw_amount(rng: random.Random) -> int:
    """From one base unit to a hundredth of a token: of ether, too, every account has enough for all its payments."""
    return rng.choice((1, 10**16, 10 ** rng.randint(1, 16), rng.randint(1, 10**16)))
