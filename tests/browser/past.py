"""A ledger with a past: payments of every kind, with all that payers may put into them, and a list of what was sent;
and a data exchange, with all that validators may write into a listing."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chain import wire
from chain.instruction import (
    Delist,
    Instruction,
    ListFile,
    Register,
    RegisterOwner,
    UpdatePrice,
    compute_instruction_id,
)
from chain.kinds import EXTEND, PURCHASE, UPLOAD
from chain.market import MART, SERVICE_NODE, VALIDATOR, File, compute_shares, compute_storage_charge
from chain.params import Market
from chain.payment import Output, Payment, compute_payment_id
from chain.primitives import ETHER, MAX_MEMO_SIZE, MAX_OUTPUTS, ZERO_ADDRESS, ZERO_HASH, Address, Hash
from chain.signatures import sign_digest
from node.rpc.envelope import MAX_BATCH
from tests.network import Network, wait_until

SEED: Final = 20_261_125
"""Fixed, and printed: the same ledger every time, but for the times."""

SHARES: Final = {
    "TALLYSTICK_MARKET__VALIDATOR_SHARE": "5000",
    "TALLYSTICK_MARKET__OWNER_SHARE": "4500",
    "TALLYSTICK_MARKET__COMMISSION": "500",
}
"""The environment of the network: three parties have a share of every sale."""

PAYMENTS: Final = 1_040
"""And the first uploads."""
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

HOSTILE_NAMES: Final = {text: shown for text, shown in HOSTILE_MEMOS.items() if len(text.encode()) <= 128} | {
    "W" * 128: "W" * 128,
    "e" + "\u0301" * 63: "e" + "\u0301" * 63,
}
"""What validators may write into a name, and what of it has to be seen."""

_NAMES: Final = ("Rainfall, hourly", "Traffic in Zürich", "Weather 2025", "Harbour log", "Prices of wheat", "Maps")
_TAGS: Final = ("weather", "traffic", "csv", "maps")

VALIDATORS, OWNERS, _NODES, _MARTS = (0, 1), (2, 3, 4), (8, 9), range(8)
"""Accounts by what they are. The last owner is the second validator's, who names another one, 7, in listings."""

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


@dataclass
class Listed:
    """A file of the data exchange, as it is now."""

    listing: ListFile
    listing_id: Hash
    price: int
    service_node: Address | None = None
    sale_count: int = 0
    is_delisted: bool = False

    @property
    def name(self) -> str:
        return wire.encode_bytes(self.listing.file)

    def to_rules(self) -> File:
        listing = self.listing
        return File(
            id=listing.file,
            validator=listing.account,
            owner=listing.owner,
            asset=listing.asset,
            price=self.price,
            size=listing.size,
            storage_days=listing.storage_days,
            keep_until=0,
            service_node=self.service_node or ZERO_ADDRESS,
            listing=self.listing_id,
        )


class Past:
    """Also sends more: whoever does goes on being in the list."""

    def __init__(self, network: Network) -> None:
        self.sent: list[Sent] = []
        self.files: dict[Hash, Listed] = {}
        """In the order in which they were listed."""
        self.parties: dict[Hash, dict[Address, str]] = {}
        """Of payments of the data exchange: what each party is."""
        self._bought: set[tuple[Hash, Address]] = set()
        self.references: list[Hash] = []
        self.accounts = network.addresses
        self.assets = (ETHER, network.token)
        self._network = network
        self._nonces = [network.next_nonce(payer) for payer in range(len(network.keys))]
        rates = network.call("tally_getInfo")["parameters"]["storageRates"]
        self._rates = {bytes.fromhex(asset[2:]): int(rate) for asset, rate in rates.items()}

    def send(self, *payments: Payment) -> list[Sent]:
        """In one batch; returns when all are durable."""
        network = self._network
        ids = [compute_payment_id(payment, network.domain) for payment in payments]
        calls = [("tally_sendPayment", self._sign(payment)) for payment in payments]
        done = []
        for answer, payment, payment_id in zip(network.batch(calls), payments, ids, strict=True):
            assert "result" in answer, answer
            block = answer["result"]["block"]
            assert answer["result"]["id"] == wire.encode_bytes(payment_id)
            done.append(Sent(payment_id, payment, int(block["number"], 16), int(block["timestamp"], 16)))
        self.sent += done
        return done

    def instruct(self, *instructions: Instruction) -> list[Hash]:
        """In one batch; their ids, when all are durable."""
        ids = [compute_instruction_id(instruction, self._network.domain) for instruction in instructions]
        calls: list[tuple[str, list[Any]]] = [
            ("tally_sendInstruction", self._sign(instruction)) for instruction in instructions
        ]
        for answer, instruction_id in zip(self._network.batch(calls), ids, strict=True):
            assert answer["result"]["id"] == wire.encode_bytes(instruction_id), answer
        return ids

    def list_file(self, listing: ListFile) -> Listed:
        """A file that its validator keeps itself."""
        listed = Listed(listing, self.instruct(listing)[0], listing.price)
        self.files[listing.file] = listed
        return listed

    def upload(self, listing: ListFile, node: Address) -> Listed:
        """Lists a file and pays for its storage, both or neither."""
        listed = Listed(listing, compute_instruction_id(listing, self._network.domain), listing.price)
        self.files[listing.file] = listed
        payment = self.write_upload(listed, node)
        receipts = self._network.call("tally_sendUpload", *self._sign(listing), *self._sign(payment))
        block = receipts[1]["block"]
        payment_id = compute_payment_id(payment, self._network.domain)
        self.sent.append(Sent(payment_id, payment, int(block["number"], 16), int(block["timestamp"], 16)))
        return listed

    def set_price(self, listed: Listed, price: int) -> None:
        listed.price = price
        self.instruct(UpdatePrice(*self._begin(listed), price))

    def delist(self, listed: Listed) -> None:
        listed.is_delisted = True
        self.instruct(Delist(*self._begin(listed)))

    def get_nonce(self, account: int) -> int:
        """The next one, which is used by that."""
        nonce = self._nonces[account]
        self._nonces[account] += 1
        return nonce

    def write_upload(self, listed: Listed, node: Address, **fields: object) -> Payment:
        """To be sent, after which the file has a node."""
        listing = listed.listing
        charge = compute_storage_charge(listing.size, listing.storage_days, self._network.token, self.market)
        listed.service_node = node
        return self._write_for(listed, UPLOAD, listing.account, [(node, charge)], ["service node"], **fields)

    def write_extension(self, listed: Listed, days: int, **fields: object) -> Payment:
        assert listed.service_node is not None
        charge = compute_storage_charge(listed.listing.size, days, self._network.token, self.market)
        outputs = [(listed.service_node, charge)]
        return self._write_for(listed, EXTEND, listed.listing.account, outputs, ["service node"], **fields)

    def write_purchase(self, listed: Listed, buyer: int, **fields: object) -> Payment:
        """To be sent, after which the file is bought."""
        address = self.accounts[buyer]
        self._bought.add((listed.listing.file, address))
        listed.sale_count += 1
        outputs = compute_shares(listed.to_rules(), self.market)
        roles = {
            listed.listing.account: "validator",
            listed.listing.owner: "owner",
            listed.service_node: "service node",
        }
        return self._write_for(
            listed, PURCHASE, address, outputs, [roles[to] for to, _ in outputs], asset=listed.listing.asset, **fields
        )

    def _begin(self, listed: Listed) -> tuple[Address, int, int, Hash]:
        """What instructions about a file have in common."""
        validator = listed.listing.account
        return validator, self.get_nonce(self.accounts.index(validator)), 0, listed.listing.file

    def has_bought(self, listed: Listed, buyer: int) -> bool:
        return (listed.listing.file, self.accounts[buyer]) in self._bought

    @property
    def market(self) -> Market:
        shares = [
            int(SHARES[f"TALLYSTICK_MARKET__{name}"]) for name in ("VALIDATOR_SHARE", "OWNER_SHARE", "COMMISSION")
        ]
        return Market(*shares, storage_rates=tuple(sorted(self._rates.items())))

    def _write_for(
        self,
        listed: Listed,
        kind: str,
        payer: Address,
        outputs: list[tuple[Address, int]],
        roles: list[str],
        **fields: object,
    ) -> Payment:
        values = {"kind": kind, "reference": listed.listing.file} | fields
        payment = self.write(self.accounts.index(payer), *outputs, **values)
        parties = {payer: ["mart" if kind == PURCHASE else "validator"]}
        for (to, _), role in zip(outputs, roles, strict=True):
            parties.setdefault(to, []).append(role)
        said = {
            party: " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"
            for party, words in parties.items()
        }
        self.parties[compute_payment_id(payment, self._network.domain)] = said
        return payment

    def _sign(self, order: Payment | Instruction) -> list[Any]:
        domain = self._network.domain
        if isinstance(order, Payment):
            signer, form, digest = order.payer, wire.encode_payment(order), compute_payment_id(order, domain)
        else:
            signer, form = order.account, wire.encode_instruction(order)
            digest = compute_instruction_id(order, domain)
        key = self._network.keys[self.accounts.index(signer)]
        return [form, wire.encode_bytes(sign_digest(key, digest))]

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
        return Payment(
            payer=self._network.addresses[payer],
            nonce=self.get_nonce(payer),
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
    _open_market(past, network, rng)
    memos = list(HOSTILE_MEMOS)
    for phase in range(_PHASES):
        left = PAYMENTS // _PHASES
        _reprice(past, rng)
        while left:
            size = min(_BATCH, left)
            # Every hostile memo is there at least once, and then at random.
            payments = [_draw(past, network, rng, memos.pop() if memos else None) for _ in range(size)]
            past.send(*payments)
            left -= size
        if phase < _PHASES - 1:
            past.wait_for_cut()
    return past


def _open_market(past: Past, network: Network, rng: random.Random) -> None:
    """Who takes part, and a file for every name: some kept by a node from the beginning, some by their validators."""
    roles = [(VALIDATOR, VALIDATORS), (SERVICE_NODE, _NODES), (MART, _MARTS)]
    past.instruct(
        *[
            Register(past.accounts[account], past.get_nonce(account), 0, role)
            for role, accounts in roles
            for account in accounts
        ]
    )
    owners = tuple(zip(OWNERS, (0, 0, 1), strict=True))
    past.instruct(
        *[
            RegisterOwner(past.accounts[owner], past.get_nonce(owner), 0, past.accounts[validator])
            for owner, validator in owners
        ]
    )
    for number, name in enumerate([*HOSTILE_NAMES, *_NAMES * 4]):
        owner, validator = rng.choice(owners)
        is_uploaded = rng.random() < 0.7
        if is_uploaded and validator == 1 and rng.random() < 0.3:
            owner = 7
        listing = _write_listing(past, network, rng, number, name, validator, owner)
        if is_uploaded:
            past.upload(listing, past.accounts[rng.choice(_NODES)])
        else:
            past.list_file(listing)


def _write_listing(
    past: Past, network: Network, rng: random.Random, number: int, name: str, validator: int, owner: int
) -> ListFile:
    is_hostile = name in HOSTILE_NAMES
    tags = (name.encode()[:32].decode(errors="ignore"), "csv") if is_hostile else tuple(rng.sample(_TAGS, 2))
    return ListFile(
        account=past.accounts[validator],
        nonce=past.get_nonce(validator),
        valid_until=0,
        file=rng.randbytes(32),
        owner=past.accounts[owner],
        asset=rng.choice((network.token, ETHER)),
        price=rng.choice((1, 10**15, 3 * 10**15, rng.randint(1, 10**16))),
        size=rng.randint(1, 1 << 20),
        storage_days=rng.choice((1, 30, 365)),
        content_hash=rng.randbytes(32),
        name=name,
        media_type=name.encode()[:64].decode(errors="ignore") if is_hostile else "text/csv",
        tags=tags,
        description=(name * 8).encode()[:512].decode(errors="ignore") if is_hostile else f"{name}, file {number}",
        key_hash=ZERO_HASH,
        sealed_key=b"",
    )


def _reprice(past: Past, rng: random.Random) -> None:
    for listed in rng.sample(list(past.files.values()), 5):
        past.set_price(listed, rng.randint(1, 10**16))


def _draw_for_file(past: Past, rng: random.Random, payer: int, memo: str) -> Payment | None:
    """A purchase by the payer, or what a validator pays for storage; None when there is nothing left to buy."""
    waiting = [listed for listed in past.files.values() if listed.service_node is None]
    if waiting and rng.random() < 0.04:
        return past.write_upload(rng.choice(waiting), past.accounts[rng.choice(_NODES)], memo=memo)
    if rng.random() < 0.3:
        kept = [listed for listed in past.files.values() if listed.service_node is not None]
        return past.write_extension(rng.choice(kept), rng.choice((1, 7, 30)), memo=memo)
    wanted = [listed for listed in past.files.values() if not past.has_bought(listed, payer)]
    return past.write_purchase(rng.choice(wanted), payer, memo=memo) if payer in _MARTS and wanted else None


def _draw(past: Past, network: Network, rng: random.Random, memo: str | None) -> Payment:
    # The first account has a long statement, the last ones short ones.
    payer = min(rng.randrange(10), rng.randrange(10))
    if memo is None and rng.random() < 0.35:
        payment = _draw_for_file(past, rng, payer, rng.choice(("", "", *_PLAIN_MEMOS)))
        if payment is not None:
            return payment
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
