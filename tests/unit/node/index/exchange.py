"""Ledgers of the data exchange made at random: what `history` makes, and between it registrations, listings in many
scripts, uploads, purchases, extensions, other prices and ends."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from chain.block import Record
from chain.errors import Refusal
from chain.hashing import keccak
from chain.instruction import (
    Delist,
    Instruction,
    ListFile,
    Register,
    RegisterOwner,
    SignedInstruction,
    UpdatePrice,
    check_structure,
    compute_instruction_id,
)
from chain.kinds import EXTEND, PURCHASE, UPLOAD
from chain.market import (
    MART,
    OWNER,
    SERVICE_NODE,
    VALIDATOR,
    File,
    compute_daily_charge,
    compute_shares,
    compute_storage_charge,
)
from chain.params import Market
from chain.payment import Output, Payment, SignedPayment, compute_payment_id
from chain.primitives import ETHER, ZERO_HASH, Address, Hash
from chain.state import State
from chain.transition import check_upload, make_file, replay_record
from tests.unit.node.index.history import RandomLedger

Order: TypeAlias = Payment | Instruction

WORDS: Final = (
    "Rainfall",
    "rain",
    "RAINFALL",
    "stations",
    "Märkte",
    "MÄRKTE",
    "Ma\u0308rkte",  # decomposed
    "Straße",
    "STRASSE",
    "İstanbul",
    "ISTANBUL",
    "ΟΔΟΣ",
    "οδός",
    "Погода",
    "погода",
    "天気予報",
    "天気",
    "ｗｅａｔｈｅｒ",
    "한국어",
    "الطقس",
    "मौसम",
    "🌧️",
    "👩‍👩‍👧‍👦",
    "AND",
    "OR",
    "NOT",
    "NEAR(",
    "rain*",
    "^rain",
    "name:rain",
    '"quoted"',
    "it's",
    "a-b",
    "(x)",
    "x",
    "yy",
    "<b>",
    "100%",
    "under_score",
    "ﬁne",
    "nul\0behind",
    "line\nbreak",
    "\u00a0",
    "\u202eright",
)
"""Of which names and descriptions are made: some that mean something to a full-text search, some in two cases."""

TAGS: Final = (
    "weather",
    "Weather",
    "rain",
    "RAIN",
    "straße",
    "Strasse",
    "STRASSE",
    "天気",
    "Σίσυφος",
    "ΣΊΣΥΦΟΣ",
    "İ",
    "🌧",
    "NOT",
    'quo"te',
    "two words",
    "nul\0",
    "a",
)
MEDIA_TYPES: Final = ("", "text/csv", "Text/CSV", "image/png", "image/jpeg", "imagery/x", "application/json")
PRICES: Final = (1, 2, 3, 7, 99, 10_000, 10**6, 10**18)
"""Some too low for every share to be one."""


class RandomExchange(RandomLedger):
    """What is tried, the rules take or refuse; what is taken is in the history."""

    def __init__(self, seed: int, account_count: int = 8) -> None:
        self._token = keccak(f"the token of {seed}".encode())[:20]
        rates = sorted([(ETHER, 10**6), (self._token, 12_345)])
        super().__init__(seed, account_count, Market(2500, 6800, 700, tuple(rates)))
        self._chance = random.Random(f"exchange {seed}")  # of its own: the payments between stay as they are
        self.bystanders = [self._chance.randbytes(20) for _ in range(3)]
        """Owners by an upload that names them, and nothing else."""
        self._tries: dict[Callable[[State], Sequence[Order]], int] = {
            self._try_register: 3,
            self._try_register_owner: 3,
            self._try_list: 3,
            self._try_upload: 5,
            self._try_upload_later: 3,
            self._try_purchase: 9,
            self._try_extend: 3,
            self._try_update_price: 3,
            self._try_delist: 1,
        }
        """What is tried → how often."""

    @property
    def instructions(self) -> list[Any]:
        return [placed for placed in self.records if isinstance(placed.record, SignedInstruction)]

    @property
    def files(self) -> list[Hash]:
        """In the order of their listings."""
        return list(self.ledger.state.files)

    def list_asset(self) -> None:
        self.add_asset(self._token if self.assets else ETHER)

    def sign(self, order: Order) -> SignedPayment | SignedInstruction:
        signature = self._chance.randbytes(65)
        if isinstance(order, Payment):
            return SignedPayment(compute_payment_id(order, self.parameters.domain), order, signature)
        return SignedInstruction(compute_instruction_id(order, self.parameters.domain), order, signature)

    def stock(self, shelf: Sequence[dict[str, Any]], validator: int = 0, owner: int = 1) -> list[Hash]:
        """Lists files, with what is given of each, of one account and owned by another (their places among the
        accounts), in one block. Their ids."""
        state, account = self.ledger.state, self.accounts[validator]
        nonce = state.get_nonces(account).base
        orders: list[Instruction] = []
        if not state.get_roles(account).has(VALIDATOR):
            orders.append(Register(account, nonce, 0, VALIDATOR))
        if not state.get_roles(self.accounts[owner]).has(OWNER):
            theirs = state.get_nonces(self.accounts[owner]).base
            orders.append(RegisterOwner(self.accounts[owner], theirs, 0, account))
        nonce += sum([order.account == account for order in orders])
        for place, fields in enumerate(shelf):
            listing = self._make_listing(state, account, self.accounts[owner])
            orders.append(msgspec.structs.replace(listing, nonce=nonce + place, **fields))
        self.add_block([self.sign(order) for order in orders])
        return [order.file for order in orders if isinstance(order, ListFile)]

    def make_listing(self, validator: Address, owner: Address, **fields: Any) -> ListFile:
        """At random, but for what is given."""
        return msgspec.structs.replace(self._make_listing(self.ledger.state, validator, owner), **fields)

    def make_upload(self, listing: ListFile, node: Address, asset: Address = ETHER) -> Payment:
        """With the nonce after the listing's."""
        charge = compute_storage_charge(listing.size, listing.storage_days, asset, self.parameters.market)
        outputs = (Output(node, charge),)
        return Payment(asset, listing.account, listing.nonce + 1, 0, UPLOAD, listing.file, "", outputs)

    def make_purchase(self, buyer: Address, file: Hash, nonce: int) -> Payment:
        listed = self.ledger.state.files[file]
        outputs = [Output(to, amount) for to, amount in compute_shares(listed, self.parameters.market)]
        return Payment(listed.asset, buyer, nonce, 0, PURCHASE, file, "", tuple(outputs))

    def make_extension(self, file: Hash, days: int, nonce: int, asset: Address = ETHER) -> Payment:
        listed = self.ledger.state.files[file]
        charge = days * compute_daily_charge(listed.size, asset, self.parameters.market)
        return Payment(asset, listed.validator, nonce, 0, EXTEND, file, "", (Output(listed.service_node, charge),))

    def _make_records(self) -> list[Record]:
        state = copy_state(self.ledger.state)
        records: list[Record] = []
        for record in super()._make_records():
            for _ in range(self._chance.choice((0, 1, 2))):
                (attempt,) = self._chance.choices(list(self._tries), list(self._tries.values()))
                self._take(state, records, attempt(state))
            self._replay(state, records, [record])
        while not records:
            asset = self._chance.choice(self.assets)
            deposit = self.make_deposit(asset, state.deposit_counts[asset], self.accounts[0], 10**18)
            self._replay(state, records, [deposit])
        return records

    def _take(self, state: State, records: list[Record], orders: Sequence[Order]) -> None:
        for order in orders:
            if not isinstance(order, Payment):
                check_structure(order)
        if len(orders) == 2:
            listing, payment = orders
            assert isinstance(listing, ListFile) and isinstance(payment, Payment)
            try:
                check_upload(state, listing, payment, self.timestamp)
            except Refusal:
                return
        self._replay(state, records, [self.sign(order) for order in orders])

    def _replay(self, state: State, records: list[Record], added: Sequence[Record]) -> None:
        """Adds those that the rules take: of an upload, which was checked as a whole, both."""
        for place, record in enumerate(added):
            following = added[place:]
            try:
                replay_record(state, [*records, *following], len(records), self.timestamp)
            except Refusal:
                assert place == 0
                return
            records.append(record)

    # --- what is tried

    def _try_register(self, state: State) -> list[Order]:
        account = self._chance.choice(self.accounts)
        role = self._chance.choice((VALIDATOR, VALIDATOR, MART, MART, MART, SERVICE_NODE))
        return [Register(account, self._find_nonce(state, account), 0, role)]

    def _try_register_owner(self, state: State) -> list[Order]:
        account, validator = self._chance.choice(self.accounts), self._choose(state, VALIDATOR)
        return [RegisterOwner(account, self._find_nonce(state, account), 0, validator)]

    def _try_list(self, state: State) -> list[Order]:
        validator = self._choose(state, VALIDATOR)
        owners = [account for account, roles in state.roles.items() if roles.validator == validator]
        return [self._make_listing(state, validator, self._chance.choice(owners or self.accounts))]

    def _try_upload(self, state: State) -> list[Order]:
        validator = self._choose(state, VALIDATOR)
        owners = [account for account, roles in state.roles.items() if roles.validator == validator]
        owner = self._chance.choice([*owners, *self.accounts, *self.bystanders])
        listing = self._make_listing(state, validator, owner)
        return [listing, self._make_upload(state, make_file(listing, ZERO_HASH, self.timestamp), listing.nonce + 1)]

    def _try_upload_later(self, state: State) -> list[Order]:
        return [self._make_upload(state, file) for file in self._choose_file(state)]

    def _try_purchase(self, state: State) -> list[Order]:
        return [
            self._pay(state, PURCHASE, self._choose(state, MART), file, compute_shares(file, self.parameters.market))
            for file in self._choose_file(state)
        ]

    def _try_extend(self, state: State) -> list[Order]:
        asset = self._chance.choice(self.assets)
        return [
            self._pay(
                state,
                EXTEND,
                file.validator,
                file,
                [(file.service_node, days * compute_daily_charge(file.size, asset, self.parameters.market))],
                asset,
            )
            for file in self._choose_file(state)
            for days in [self._chance.choice((1, 2, 30))]
        ]

    def _try_update_price(self, state: State) -> list[Order]:
        return [
            UpdatePrice(file.validator, self._find_nonce(state, file.validator), 0, file.id, self._choose_price())
            for file in self._choose_file(state)
        ]

    def _try_delist(self, state: State) -> list[Order]:
        return [
            Delist(file.validator, self._find_nonce(state, file.validator), 0, file.id)
            for file in self._choose_file(state)
        ]

    # --- with what

    def _choose(self, state: State, role: str) -> Address:
        """One that has the role, or any when there is none."""
        return self._chance.choice(
            [account for account, roles in state.roles.items() if roles.has(role)] or self.accounts
        )

    def _choose_file(self, state: State) -> list[File]:
        """One, or none when there is none; the last ones more often."""
        files = list(state.files.values())
        return [self._chance.choice([*files, *files[-4:], *files[-4:]])] if files else []

    def _choose_price(self) -> int:
        return self._chance.choice((*PRICES, self._chance.randrange(1, 10**9)))

    def _find_nonce(self, state: State, account: Address) -> int:
        window = state.get_nonces(account)
        nonce = window.base + self._chance.choice((0, 0, 0, 1, 5))
        while window.is_used(nonce):
            nonce += 1
        return nonce

    def _make_listing(self, state: State, validator: Address, owner: Address) -> ListFile:
        chance = self._chance
        is_encrypted = chance.random() < 0.7
        return ListFile(
            account=validator,
            nonce=self._find_nonce(state, validator),
            valid_until=0,
            file=chance.randbytes(32),
            owner=owner,
            asset=chance.choice(self.assets),
            price=self._choose_price(),
            size=chance.choice((1, 1000, 2**30, 2**30 + 1, chance.randrange(1, 2**40))),
            storage_days=chance.choice((1, 30, 365, 36_500)),
            content_hash=chance.randbytes(32),
            name=make_text(chance, chance.randrange(1, 4), 128),
            media_type=chance.choice(MEDIA_TYPES),
            tags=tuple(chance.sample(TAGS, chance.choice((0, 1, 2, 3, 8)))),
            description=make_text(chance, chance.choice((0, 3, 20)), 512),
            key_hash=chance.randbytes(32) if is_encrypted else ZERO_HASH,
            sealed_key=chance.randbytes(81) if is_encrypted and chance.random() < 0.5 else b"",
        )

    def _make_upload(self, state: State, file: File, nonce: int | None = None) -> Payment:
        asset = self._chance.choice(self.assets)
        charge = compute_storage_charge(file.size, file.storage_days, asset, self.parameters.market)
        node = self._choose(state, SERVICE_NODE)
        return self._pay(state, UPLOAD, file.validator, file, [(node, charge)], asset, nonce)

    def _pay(
        self,
        state: State,
        kind: str,
        payer: Address,
        file: File,
        shares: list[tuple[Address, int]],
        asset: Address | None = None,
        nonce: int | None = None,
    ) -> Payment:
        return Payment(
            file.asset if asset is None else asset,
            payer,
            self._find_nonce(state, payer) if nonce is None else nonce,
            0,
            kind,
            file.id,
            self._chance.choice(("", "", "for the file")),
            tuple([Output(to, amount) for to, amount in shares]),
        )


def make_text(chance: random.Random, word_count: int, max_size: int) -> str:
    """Words of `WORDS`, as many of those asked for as there is room for (bytes of UTF-8)."""
    words = [chance.choice(WORDS) for _ in range(word_count)]
    while len(" ".join(words).encode()) > max_size:
        words.pop()
    return " ".join(words)


def copy_state(state: State) -> State:
    """Its parts are frozen, and so can be shared; what holds them is not."""
    copied = State(state.parameters)
    for name in State.__slots__:
        value = getattr(state, name)
        if isinstance(value, dict):
            value = {key: dict(part) if isinstance(part, dict) else part for key, part in value.items()}
        setattr(copied, name, value)
    return copied
