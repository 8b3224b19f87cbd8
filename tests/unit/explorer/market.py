"""A ledger with a data exchange, made at random: everything that happened in lists, and what the index must know of it,
found by going through them."""

import random
from collections import Counter
from typing import Final

from coincurve import PrivateKey
from msgspec.structs import replace

from chain.hashing import keccak
from chain.instruction import (
    Delist,
    Instruction,
    ListFile,
    Register,
    RegisterOwner,
    SignedInstruction,
    UpdatePrice,
    compute_instruction_id,
    get_type,
)
from chain.kinds import EXTEND, PURCHASE, UPLOAD
from chain.ledger import Ledger
from chain.market import (
    DAY_SECONDS,
    MART,
    OWNER,
    SERVICE_NODE,
    VALIDATOR,
    File,
    compute_daily_charge,
    compute_named_shares,
    compute_shares,
    compute_storage_charge,
    encode_purchase_key,
)
from chain.params import Market
from chain.payment import Output, Payment, SignedPayment, compute_payment_id
from chain.primitives import ETHER, ZERO_ADDRESS, ZERO_HASH, Address, Hash
from chain.sealing import escrow_context, seal_key
from chain.signatures import compute_address, sign_digest
from node.entries import encode_asset, encode_genesis
from node.index import (
    Earnings,
    IndexedFile,
    IndexedInstruction,
    IndexedPayment,
    PricePoint,
    Registration,
)
from tests.unit.node.index.history import PlacedRecord, RandomLedger
from tests.unit.node.index.oracle import describe

SPLITS: Final = Market(validator_share=4_000, owner_share=5_500, commission=500)
ETHER_RATE, TOKEN_RATE = 10**15, 3

HOSTILE: Final = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</td></tr></table><h1>final</h1>",
    "{{ 7 * 7 }} ${7 * 7} &lt;b&gt;",
    "javascript:alert(1)",
    "paid \u202e000,1 uoy\u202c",
    "\u2066\u2067\u200f\u200b",
    "\x00\x07\x1b[31m\r\n\t\x7f",
    '=HYPERLINK("http://evil.example","x")',
    "'); DROP TABLE files; --",
    "%_\\",
    "مرحبا بالعالم",
    "💸" * 32,
    "W" * 128,
    "e" + "\u0301" * 63,
    "\u2028\u3164\ufeff",
)
"""What a validator may write: markup, controls, marks that turn the direction of writing, as long as is allowed."""

_TAGS: Final = ("weather", "traffic", "Zürich", "csv", "2025", "health", "maps")
_WORDS: Final = ("Weather", "Traffic", "Rainfall", "Harbour", "of", "Zürich", "2024", "2025", "hourly", "daily")
_TYPES: Final = ("text/csv", "application/json", "image/png", "")


class MarketLedger(RandomLedger):
    """Everybody signs with a key of their own. Files and roles come with the first blocks and go on coming."""

    def __init__(self, seed: int, market: Market = SPLITS) -> None:
        super().__init__(seed, account_count=2)
        self.keys: dict[Address, PrivateKey] = {}
        self.validators, self.marts, self.nodes, self.owners = [
            [self._make_person() for _ in range(count)] for count in (3, 4, 2, 6)
        ]
        self.accounts = [*self.keys]
        self.token = self._make_address()
        self.escrow = PrivateKey(self.random.randbytes(32))
        rates = tuple(sorted([(ETHER, ETHER_RATE), (self.token, TOKEN_RATE)]))
        self.parameters = replace(self.parameters, market=replace(market, storage_rates=rates))
        self.ledger = Ledger(self.parameters)
        self.entries = [encode_genesis(self.parameters)]
        self._hostile = list(HOSTILE)

    @property
    def market(self) -> Market:
        return self.parameters.market

    @property
    def instructions(self) -> list[PlacedRecord]:
        return [placed for placed in self.records if isinstance(placed.record, SignedInstruction)]

    def open(self) -> None:
        """Assets, money for everybody, and who takes part from the beginning."""
        for asset in (ETHER, self.token):
            self.ledger.list_asset(asset)
            self.entries.append(encode_asset(asset))
            self.add_block(
                [self.make_deposit(asset, place, account, 10**24) for place, account in enumerate(self.accounts)]
            )
        roles = [(VALIDATOR, self.validators[:2]), (MART, self.marts), (SERVICE_NODE, self.nodes)]
        self.add_block(
            [
                self.sign(Register(account, self.get_nonce(account), 0, role))
                for role, accounts in roles
                for account in accounts
            ]
        )
        for owner in self.owners[:3]:
            validator = self.random.choice(self.validators[:2])
            self.add_block([self.sign(RegisterOwner(owner, self.get_nonce(owner), 0, validator))])

    def play(self, steps: int) -> None:
        """A block each; now and then an epoch ends, or days go by."""
        for _ in range(steps):
            if self.random.random() < 0.03:
                self.cut()
            if self.waiting and self.random.random() < 0.3:
                self.seal()
            if self.random.random() < 0.02:
                self.timestamp += DAY_SECONDS * 1000 * self.random.choice((1, 3))
            # In this order of likelihood; what is not possible at the moment gives way to a plain payment.
            step = self.random.choices(
                (
                    self._pay,
                    self._buy,
                    self._upload,
                    self._extend,
                    self._reprice,
                    self._list,
                    self._register,
                    self._delist,
                ),
                (8, 10, 3, 4, 2, 1, 1, 0.5),
            )[0]
            if not step():
                self._pay()

    # --- what is signed

    def sign(self, instruction: Instruction) -> SignedInstruction:
        digest = compute_instruction_id(instruction, self.parameters.domain)
        return SignedInstruction(digest, instruction, sign_digest(self.keys[instruction.account], digest))

    def pay(
        self, kind: str, payer: Address, asset: Address, outputs: list[tuple[Address, int]], file: Hash, nonce: int
    ) -> SignedPayment:
        payment = Payment(asset, payer, nonce, 0, kind, file, "", tuple([Output(*output) for output in outputs]))
        digest = compute_payment_id(payment, self.parameters.domain)
        return SignedPayment(digest, payment, sign_digest(self.keys[payer], digest))

    def get_nonce(self, account: Address, used: int | None = None) -> int:
        """The first that is free, once `used` is not any more."""
        window = self.ledger.state.get_nonces(account)
        return window.base if used is None else window.use(used).base

    def make_listing(self, validator: Address, owner: Address, nonce: int, **fields: object) -> ListFile:
        """One at random; `fields` stand over it."""
        rng, file = self.random, self.random.randbytes(32)
        name, description, tags, media_type = self._write()
        has_key, is_encrypted = rng.choice(((True, True), (False, True), (False, False)))
        key = rng.randbytes(32)
        context = escrow_context(self.parameters.domain, validator, file)
        ephemeral = rng.randbytes(32)
        values = {
            "account": validator,
            "nonce": nonce,
            "valid_until": 0,
            "file": file,
            "owner": owner,
            "asset": rng.choice((ETHER, self.token)),
            "price": rng.choice((1, 2, 3, 10**18, 19 * 10**17, rng.randrange(1, 10**20))),
            "size": rng.choice((1, 1023, 1 << 20, 3 << 30, rng.randrange(1, 1 << 40))),
            "storage_days": rng.choice((1, 5, 30, 365)),
            "content_hash": rng.randbytes(32),
            "name": name,
            "media_type": media_type,
            "tags": tags,
            "description": description,
            "key_hash": keccak(key) if is_encrypted else ZERO_HASH,
            "sealed_key": seal_key(key, self.escrow.public_key.format(), context, ephemeral) if has_key else b"",
        }
        return ListFile(**(values | fields))  # type: ignore[arg-type]

    def _write(self) -> tuple[str, str, tuple[str, ...], str]:
        """Name, description, tags, media type: every hostile text once in each, then plain ones."""
        rng = self.random
        if self._hostile and rng.random() < 0.5:
            text = self._hostile.pop(0)
            return text, (text * 4)[:128], (_cut(text, 32), rng.choice(_TAGS)), _cut(text, 64)
        name = " ".join(rng.sample(_WORDS, rng.randint(1, 5)))
        description = rng.choice(("", f"{name}, measured and checked", "Every hour.\nWith units."))
        return name, description, tuple(rng.sample(_TAGS, rng.randrange(4))), rng.choice(_TYPES)

    # --- steps; each says whether it was possible

    def _pay(self) -> bool:
        self.add_block()
        return True

    def _register(self) -> bool:
        state, rng = self.ledger.state, self.random
        signing = self.owners[:-1]  # the last one never does
        free = [owner for owner in signing if not state.get_roles(owner).has(OWNER)]
        named = [owner for owner in signing if state.get_roles(owner).is_named_only]
        if not state.get_roles(self.validators[2]).has(VALIDATOR):
            self.add_block([self.sign(Register(self.validators[2], self.get_nonce(self.validators[2]), 0, VALIDATOR))])
        elif named or free:
            owner = rng.choice(named or free)
            validator = rng.choice([each for each in self.validators if each != state.get_roles(owner).validator])
            self.add_block([self.sign(RegisterOwner(owner, self.get_nonce(owner), 0, validator))])
        else:
            second = [account for account in self.marts if not state.get_roles(account).has(SERVICE_NODE)]
            if not second:
                return False
            self.add_block([self.sign(Register(second[0], self.get_nonce(second[0]), 0, SERVICE_NODE))])
        return True

    def _list(self) -> bool:
        """Without an upload: its owner has to be there, and it may be paid for later."""
        pair = self._pick_owner(is_registered=True)
        if pair is None:
            return False
        validator, owner = pair
        self.add_block([self.sign(self.make_listing(validator, owner, self.get_nonce(validator)))])
        return True

    def _upload(self) -> bool:
        waiting = [file for file in self._list_live() if file.service_node == ZERO_ADDRESS]
        if waiting and self.random.random() < 0.3:
            file = self.random.choice(waiting)
            nonce = self.get_nonce(file.validator)
            self.add_block([self._pay_upload(file.validator, file.id, file.size, file.storage_days, nonce)])
            return True
        pair = self._pick_owner(is_registered=False)
        if pair is None:
            return False
        validator, owner = pair
        nonce = self.get_nonce(validator)
        listing = self.make_listing(validator, owner, nonce)
        payment = self._pay_upload(
            validator, listing.file, listing.size, listing.storage_days, self.get_nonce(validator, nonce)
        )
        self.add_block([self.sign(listing), payment])
        return True

    def _buy(self) -> bool:
        state = self.ledger.state
        mart = self.random.choice(self.marts)
        wanted = [
            file
            for file in self._list_live()
            if encode_purchase_key(file.id, mart) not in state.purchases
            and self.timestamp + 60_000 <= file.keep_until * 1000
            and state.get_balance(file.asset, mart) >= file.price
        ]
        if not wanted:
            return False
        file = self.random.choice(wanted)
        shares = compute_shares(file, self.market)
        self.add_block([self.pay(PURCHASE, mart, file.asset, shares, file.id, self.get_nonce(mart))])
        return True

    def _extend(self) -> bool:
        kept = [
            file
            for file in self.ledger.state.files.values()
            if file.service_node != ZERO_ADDRESS and self.timestamp + 60_000 <= file.keep_until * 1000
        ]
        if not kept:
            return False
        file = self.random.choice(kept)
        asset = self.random.choice((ETHER, self.token))
        amount = self.random.choice((1, 7, 30)) * compute_daily_charge(file.size, asset, self.market)
        if self.ledger.state.get_balance(asset, file.validator) < amount:
            return False
        output = file.service_node, amount
        self.add_block([self.pay(EXTEND, file.validator, asset, [output], file.id, self.get_nonce(file.validator))])
        return True

    def _reprice(self) -> bool:
        live = self._list_live()
        if not live:
            return False
        file = self.random.choice(live)
        price = self.random.choice((1, 7, 10**17, self.random.randrange(1, 10**20)))
        self.add_block([self.sign(UpdatePrice(file.validator, self.get_nonce(file.validator), 0, file.id, price))])
        return True

    def _delist(self) -> bool:
        live = self._list_live()
        if len(live) < 4:
            return False
        file = self.random.choice(live)
        self.add_block([self.sign(Delist(file.validator, self.get_nonce(file.validator), 0, file.id))])
        return True

    # --- who and what

    def _list_live(self) -> list[File]:
        return [file for file in self.ledger.state.files.values() if not file.is_delisted]

    def _pick_owner(self, *, is_registered: bool) -> tuple[Address, Address] | None:
        """(validator, owner)"""
        state = self.ledger.state
        validator = self.random.choice([each for each in self.validators if state.get_roles(each).has(VALIDATOR)])
        owners = [
            owner
            for owner in self.owners
            if state.get_roles(owner).validator == validator
            or (not is_registered and not state.get_roles(owner).has(OWNER))
        ]
        return (validator, self.random.choice(owners)) if owners else None

    def _pay_upload(self, validator: Address, file: Hash, size: int, days: int, nonce: int) -> SignedPayment:
        asset = self.random.choice((ETHER, self.token))
        charge = compute_storage_charge(size, days, asset, self.market)
        node = self.random.choice(self.nodes)
        return self.pay(UPLOAD, validator, asset, [(node, charge)], file, nonce)

    def _make_person(self) -> Address:
        key = PrivateKey(self.random.randbytes(32))
        address = compute_address(key.public_key)
        self.keys[address] = key
        return address


def make_market(seed: int, steps: int) -> MarketLedger:
    """Sealed as far as it was cut; the last epoch is open."""
    print(f"a data exchange: seed {seed}")
    ledger = MarketLedger(seed)
    ledger.open()
    ledger.play(steps)
    ledger.cut()
    while ledger.waiting:
        ledger.seal()
    ledger.play(5)
    while ledger.waiting:
        ledger.seal()
    return ledger


def _cut(text: str, size: int) -> str:
    """To so many bytes of UTF-8; of nothing, a word."""
    return text.encode()[:size].decode(errors="ignore") or "none"


# --- what the index must know of it


def describe_instruction(placed: PlacedRecord) -> IndexedInstruction:
    signed = placed.record
    assert isinstance(signed, SignedInstruction)
    instruction = signed.instruction
    role, validator = None, None
    if isinstance(instruction, Register):
        role = instruction.role
    elif isinstance(instruction, RegisterOwner):
        role, validator = OWNER, instruction.validator
    return IndexedInstruction(
        id=signed.id,
        block=placed.block,
        record=placed.index,
        timestamp=placed.timestamp,
        epoch=placed.epoch,
        type=get_type(instruction),
        account=instruction.account,
        nonce=instruction.nonce,
        file=instruction.file if isinstance(instruction, ListFile | UpdatePrice | Delist) else None,
        role=role,
        validator=validator,
        price=instruction.price if isinstance(instruction, ListFile | UpdatePrice) else None,
    )


def list_files(ledger: MarketLedger) -> list[IndexedFile]:
    """As they are now, newest first."""
    files: dict[Hash, IndexedFile] = {}
    for placed in ledger.records:
        record = placed.record
        if isinstance(record, SignedInstruction):
            _apply_instruction(files, placed, record)
        elif isinstance(record, SignedPayment) and record.payment.reference in files:
            _apply_payment(files, placed, record.payment, ledger.market)
    return list(files.values())[::-1]


def _apply_instruction(files: dict[Hash, IndexedFile], placed: PlacedRecord, signed: SignedInstruction) -> None:
    instruction = signed.instruction
    if isinstance(instruction, ListFile):
        files[instruction.file] = IndexedFile(
            id=instruction.file,
            validator=instruction.account,
            owner=instruction.owner,
            asset=instruction.asset,
            price=instruction.price,
            size=instruction.size,
            storage_days=instruction.storage_days,
            keep_until=placed.timestamp // 1000 + instruction.storage_days * DAY_SECONDS,
            service_node=None,
            listing=signed.id,
            block=placed.block,
            record=placed.index,
            timestamp=placed.timestamp,
            epoch=placed.epoch,
            content_hash=instruction.content_hash,
            name=instruction.name,
            media_type=instruction.media_type,
            tags=instruction.tags,
            description=instruction.description,
            key_hash=instruction.key_hash,
            has_sealed_key=bool(instruction.sealed_key),
            is_delisted=False,
            sale_count=0,
            sold=0,
        )
    elif isinstance(instruction, UpdatePrice):
        files[instruction.file] = replace(files[instruction.file], price=instruction.price)
    elif isinstance(instruction, Delist):
        files[instruction.file] = replace(files[instruction.file], is_delisted=True)


def _apply_payment(files: dict[Hash, IndexedFile], placed: PlacedRecord, payment: Payment, market: Market) -> None:
    file = files[payment.reference]
    if payment.kind == PURCHASE:
        file = replace(file, sale_count=file.sale_count + 1, sold=file.sold + payment.total)
    elif payment.kind == UPLOAD:
        keep_until = placed.timestamp // 1000 + file.storage_days * DAY_SECONDS
        file = replace(file, service_node=payment.outputs[0].to, keep_until=keep_until)
    elif payment.kind == EXTEND:
        days = payment.total // compute_daily_charge(file.size, payment.asset, market)
        file = replace(file, keep_until=file.keep_until + days * DAY_SECONDS)
    files[file.id] = file


def list_prices(ledger: MarketLedger, file: Hash) -> list[PricePoint]:
    """Newest first."""
    return [
        PricePoint(price=each.price, block=each.block, record=each.record, timestamp=each.timestamp)
        for each in reversed([describe_instruction(placed) for placed in ledger.instructions])
        if each.file == file and each.price is not None
    ]


def list_registrations(ledger: MarketLedger) -> list[Registration]:
    """As they are now, newest first: an owner's is where it last was."""
    found: dict[tuple[Address, str], Registration] = {}

    def put(placed: PlacedRecord, account: Address, role: str, validator: Address | None, is_named_only: bool) -> None:
        found.pop((account, role), None)
        found[account, role] = Registration(
            account, role, validator, is_named_only, placed.block, placed.index, placed.timestamp
        )

    for placed in ledger.instructions:
        signed = placed.record
        assert isinstance(signed, SignedInstruction)
        instruction = signed.instruction
        if isinstance(instruction, Register):
            put(placed, instruction.account, instruction.role, None, False)
        elif isinstance(instruction, RegisterOwner):
            put(placed, instruction.account, OWNER, instruction.validator, False)
        elif isinstance(instruction, ListFile) and (instruction.owner, OWNER) not in found:
            put(placed, instruction.owner, OWNER, instruction.account, True)
    return list(found.values())[::-1]


def sum_earnings(ledger: MarketLedger, account: Address) -> set[Earnings]:
    """By the rules' own words for who gets what."""
    amounts: Counter[tuple[Address, str]] = Counter()
    counts: Counter[tuple[Address, str]] = Counter()
    for payment, parts in list_parts(ledger):
        for part, to, amount in parts:
            if to == account:
                amounts[payment.asset, part] += amount
                counts[payment.asset, part] += 1
    return {Earnings(asset, part, counts[asset, part], amount) for (asset, part), amount in amounts.items()}


def list_parts(ledger: MarketLedger) -> list[tuple[IndexedPayment, list[tuple[str, Address, int]]]]:
    """Each payment of the data exchange, with (part, to, amount) of what it paid."""
    files: dict[Hash, IndexedFile] = {}
    found = []
    for placed in ledger.records:
        record = placed.record
        if isinstance(record, SignedInstruction):
            _apply_instruction(files, placed, record)
        elif isinstance(record, SignedPayment) and record.payment.kind in (UPLOAD, PURCHASE, EXTEND):
            payment, file = record.payment, files[record.payment.reference]
            if payment.kind == PURCHASE:
                parts = compute_named_shares(_to_rules(file), ledger.market)
            else:
                parts = [("storage", payment.outputs[0].to, payment.total)]
            found.append((describe(placed), parts))
            _apply_payment(files, placed, payment, ledger.market)
    return found


def _to_rules(file: IndexedFile) -> File:
    return File(
        id=file.id,
        validator=file.validator,
        owner=file.owner,
        asset=file.asset,
        price=file.price,
        size=file.size,
        storage_days=file.storage_days,
        keep_until=file.keep_until,
        service_node=file.service_node or ZERO_ADDRESS,
        listing=file.listing,
    )


def make_rng(seed: int) -> random.Random:
    print(f"seed {seed}")
    return random.Random(seed)
