"""Random histories of the data exchange, beside payments: what `test_ledger` holds, held with roles, listings, uploads,
purchases and extensions in them.

Whatever is tried, by whomever, is refused for what the naive exchange names, or done by both alike. An upload that is
asked for as one is accepted exactly when its parts are, played one after the other as an audit plays them.
"""

from copy import deepcopy
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from chain.errors import Refusal
from chain.hashing import keccak
from chain.instruction import MEMBERS, Instruction, ListFile, check_signed_instruction, get_type
from chain.ledger import Ledger
from chain.market import File, Roles
from chain.payment import Payment
from chain.primitives import ZERO_ADDRESS
from chain.transition import apply_instruction, check_instruction, check_upload, replay_record
from tests.property.test_ledger import ASSETS, PEOPLE, LedgerMachine, people
from tests.unit.chain.actors import ALICE, BOB, CAROL, DOMAIN, ETHER, OPERATOR, TOKEN, make_payment
from tests.unit.chain.exchange import MARKET, PARAMETERS, make_instruction, sign
from tests.vectors import reference

UNKNOWN: Final = keccak(b"a file that nobody lists")
files = st.integers(0, 15)
"""Which of those that are listed, counted round; now and then none of them."""
aheads = st.sampled_from([0, 0, 0, 0, 1, 3, 255])
prices = st.one_of(st.integers(1, 5), st.integers(6, 1000), st.sampled_from([10**6, 2**127, 2**128 - 1]))
sizes = st.sampled_from([1, 1073, 1074, 5000])
"""Bytes: at the market's rate, a charge of 1, 1, 2 and 5 a day."""
validators = st.sampled_from([ALICE, ALICE, ALICE, *PEOPLE])
buyers = st.sampled_from([BOB, CAROL, *PEOPLE])
nodes = st.sampled_from([OPERATOR, OPERATOR, OPERATOR, *PEOPLE])
slips = st.sampled_from([*[0] * 8, 1, -1])


def to_message(instruction: Any) -> dict[str, Any]:
    """As the naive ledger takes it."""
    values = {name: getattr(instruction, attribute) for _, name, attribute in MEMBERS[get_type(instruction)]}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


class ExchangeMachine(LedgerMachine):
    parameters = PARAMETERS
    market = {  # noqa: RUF012  # never changed
        "validatorShare": MARKET.validator_share,
        "ownerShare": MARKET.owner_share,
        "commission": MARKET.commission,
        "storageRates": dict(MARKET.storage_rates),
    }

    def __init__(self) -> None:
        super().__init__()
        self.seen: tuple[dict[bytes, Roles], dict[bytes, File], dict[bytes, bytes]] = ({}, {}, {})
        """Roles, files and purchases, as they were before the last step."""

    # --- what happens

    @initialize()
    def begin(self) -> None:
        """Enough roles and files, besides money, that most things pass."""
        super().begin()
        for account, role in ((ALICE, "validator"), (BOB, "mart"), (CAROL, "mart"), (OPERATOR, "service_node")):
            self.instruct("Register", account, role=role)
        self.instruct("RegisterOwner", BOB, validator=ALICE)
        self.upload(ALICE, CAROL, OPERATOR, False, 100, 1074, 30, 0, None)
        self.upload(ALICE, OPERATOR, OPERATOR, False, 7, 1, 3, 0, None)
        self.list_file(ALICE, BOB, 0, 3, 0)

    @rule(account=people, role=st.sampled_from(["validator", "mart", "service_node"]), ahead=aheads)
    def register(self, account: bytes, role: str, ahead: int) -> None:
        self.instruct("Register", account, ahead, role=role)

    @rule(account=people, validator=people, ahead=aheads)
    def register_owner(self, account: bytes, validator: bytes, ahead: int) -> None:
        self.instruct("RegisterOwner", account, ahead, validator=validator)

    @rule(account=validators, owner=people, asset=st.integers(0, 2), price=prices, ahead=aheads)
    def list_file(self, account: bytes, owner: bytes, asset: int, price: int, ahead: int) -> None:
        """Alone: of a file that the validator keeps itself."""
        fields = {"owner": owner, "asset": ASSETS[asset], "price": price, "size": 1, "storage_days": 2}
        self.instruct("ListFile", account, ahead, file=self.make_file_id(), **fields)

    @rule(account=validators, owner=people, file=files)
    def list_again(self, account: bytes, owner: bytes, file: int) -> None:
        self.instruct("ListFile", account, file=self.find_file(file), owner=owner)

    @rule(
        account=validators,
        owner=people,
        node=nodes,
        is_again=st.sampled_from([False, False, False, True]),
        price=prices,
        size=sizes,
        days=st.sampled_from([1, 2, 30]),
        slip=slips,
        fault=st.sampled_from([None, None, None, None, "payer", "asset", "nonce", "expired", "outputs"]),
    )
    def upload(
        self,
        account: bytes,
        owner: bytes,
        node: bytes,
        is_again: bool,
        price: int,
        size: int,
        days: int,
        slip: int,
        fault: str | None,
    ) -> None:
        """A listing and its payment, both or neither."""
        file = self.find_file(0) if is_again else self.make_file_id()
        fields = {"file": file, "owner": owner, "asset": TOKEN, "price": price, "size": size, "storage_days": days}
        listing = make_instruction("ListFile", account=account, nonce=self.find_nonce(account, 0), **fields)
        nonce = self.find_nonce(account, 0)
        while nonce == listing.nonce or self.state.get_nonces(account).is_used(nonce):
            nonce += 1
        charge = days * reference.compute_daily_charge(size, 10**6) + slip
        given: dict[str, Any] = {"kind": "upload", "reference": file, "payer": account, "nonce": nonce}
        if fault == "payer":
            given["payer"] = owner
        elif fault == "asset":
            given["asset"] = ETHER
        elif fault == "nonce":
            given["nonce"] = listing.nonce
        elif fault == "expired":
            given["valid_until"] = self.timestamp // 1000 - 1
        outputs = [(node, charge or 1)] * (2 if fault == "outputs" else 1)
        self.submit_upload(listing, make_payment(*outputs, **given))

    @rule(file=files, account=st.none() | people, price=prices, ahead=aheads)
    def update_price(self, file: int, account: bytes | None, price: int, ahead: int) -> None:
        found = self.find_file(file)
        self.instruct("UpdatePrice", account or self.get_validator(found), ahead, file=found, price=price)

    @rule(place=files, account=st.none() | people, is_meant=st.sampled_from([False, False, True]))
    def delist(self, place: int, account: bytes | None, is_meant: bool) -> None:
        if is_meant:
            file = self.find_file(place)
            self.instruct("Delist", account or self.get_validator(file), file=file)

    @rule(place=files, node=nodes, payer=st.sampled_from([*[None] * 12, *PEOPLE]), slip=slips)
    def upload_later(self, place: int, node: bytes, payer: bytes | None, slip: int) -> None:
        file = self.find_file(place)
        listed = self.naive.exchange.find_file(file)
        charge = listed["storageDays"] * self.naive.exchange.daily_charge(listed, TOKEN) if listed else 1
        self.pay_for("upload", file, [(node, charge + slip or 1)], payer or self.get_validator(file))

    @rule(
        place=files,
        payer=buyers,
        fault=st.sampled_from([*[None] * 7, "price", "split", "node", "asset", "more", "order", "again"]),
    )
    def buy(self, place: int, payer: bytes, fault: str | None) -> None:
        """At its price and split, or nearly."""
        file = self.find_file(place)
        listed = self.naive.exchange.find_file(file)
        people = [listed[name] for name in ("validator", "owner", "serviceNode")] if listed else [ALICE, BOB, None]
        outputs = reference.compute_shares(listed["price"] if listed else 1, self.market, *people)
        shares = [(output["to"], output["amount"]) for output in outputs]
        (to, amount), last = shares[0], shares[-1]
        if fault == "price":
            shares[0] = (to, amount - 1 or 2)
        elif fault == "split":
            shares = [(to, amount + 1), *shares[1:-1], (last[0], last[1] - 1 or 5)]
        elif fault == "node":
            shares[-1] = (payer, last[1])
        elif fault == "more":
            shares = [(to, amount), *shares]
        elif fault == "order":
            shares.reverse()
        asset = ETHER if fault == "asset" else listed["asset"] if listed else TOKEN
        self.pay_for("purchase", file, shares[:16], payer, asset)
        if fault == "again":
            self.pay_for("purchase", file, shares, payer, asset)

    @rule(
        place=files,
        days=st.one_of(st.integers(1, 3), st.sampled_from([36_469, 36_470, 36_471, 36_496, 36_499, 36_500])),
        payer=st.sampled_from([*[None] * 12, *PEOPLE]),
        to=st.sampled_from([*[None] * 12, *PEOPLE]),
        slip=slips,
        asset=st.sampled_from([*[TOKEN] * 9, ETHER]),
    )
    def extend(self, place: int, days: int, payer: bytes | None, to: bytes | None, slip: int, asset: bytes) -> None:
        file = self.find_file(place)
        listed = self.naive.exchange.find_file(file)
        daily = self.naive.exchange.daily_charge(listed, TOKEN) if listed else 1
        node = (listed and listed["serviceNode"]) or OPERATOR
        self.pay_for("extend", file, [(to or node, days * daily + slip or 1)], payer or self.get_validator(file), asset)

    @rule(wait_ms=st.sampled_from([1_000_000, 10_000_000, 86_399_999, 86_400_000, 86_400_001]))
    def sleep(self, wait_ms: int) -> None:
        """So long that files expire, some to the millisecond."""
        self.end_block()
        self.clock += wait_ms

    @precondition(lambda self: self.state.files)
    @rule(data=st.data(), past_ms=st.sampled_from([0, 1]))
    def sleep_to_the_end_of_a_file(self, data: st.DataObject, past_ms: int) -> None:
        end = data.draw(st.sampled_from(list(self.state.files.values()))).keep_until * 1000 + past_ms
        if end < self.clock + 10 * 86_400_000:
            self.end_block()
            self.clock = max(self.clock, end)

    # --- what holds

    @invariant()
    def what_was_said_stays_said(self) -> None:
        """No role is taken away, no owner moves twice, no file changes hands, comes back or is kept for less, and what
        was bought stays bought."""
        roles, files, purchases = self.seen
        for account, before in roles.items():
            now = self.state.get_roles(account)
            assert now.bits & before.bits == before.bits
            if before.has("owner") and not before.is_named_only:
                assert (now.validator, now.is_named_only) == (before.validator, False)
        for file in files.values():
            listed = self.state.files[file.id]
            for name in ("validator", "owner", "asset", "size", "storage_days", "listing"):
                assert getattr(listed, name) == getattr(file, name)
            assert listed.is_delisted >= file.is_delisted
            assert listed.keep_until >= file.keep_until
            assert file.service_node in (ZERO_ADDRESS, listed.service_node)
        assert purchases.items() <= self.state.purchases.items()
        self.seen = (dict(self.state.roles), dict(self.state.files), dict(self.state.purchases))

    @invariant()
    def every_file_has_its_people(self) -> None:
        for file in self.state.files.values():
            assert self.state.get_roles(file.validator).has("validator")
            assert self.state.get_roles(file.owner).has("owner")
            assert file.service_node == ZERO_ADDRESS or self.state.get_roles(file.service_node).has("service_node")
            assert file.price > 0
        for account in self.state.roles:
            own = self.state.get_roles(account)
            assert own.has("owner") == (own.validator != ZERO_ADDRESS) >= own.is_named_only
            assert own.validator == ZERO_ADDRESS or self.state.get_roles(own.validator).has("validator")

    # --- how

    def instruct(self, name: str, account: bytes, ahead: int = 0, **fields: Any) -> None:
        instruction = make_instruction(name, account=account, nonce=self.find_nonce(account, ahead), **fields)
        before, expected = self.state.compute_fingerprint(), self.name_refusal_of(instruction)
        try:
            check_instruction(self.state, instruction, self.timestamp)
        except Refusal as refusal:
            assert refusal.code == expected
            assert self.state.compute_fingerprint() == before
            return
        assert expected is None
        self.enter_instruction(instruction)

    def name_refusal_of(self, instruction: Instruction, *, is_paid: bool = False) -> str | None:
        window = self.naive.nonces.get(instruction.account, (0, set[int]()))
        return self.name_untimely(
            instruction.valid_until, instruction.nonce, window
        ) or self.naive.exchange.name_refusal_of_instruction(
            get_type(instruction), to_message(instruction), self.naive.assets, is_paid
        )

    def enter_instruction(self, instruction: Instruction) -> None:
        """After it was checked."""
        signed = check_signed_instruction(instruction, sign(instruction).signature, DOMAIN)
        self.use_nonce(instruction.account, instruction.nonce)
        apply_instruction(self.state, signed, self.timestamp)
        message = to_message(instruction)
        assert self.naive.instruct(get_type(instruction), message, self.timestamp) == signed.id
        self.pending.append(signed)

    def pay_for(
        self, kind: str, file: bytes, outputs: list[tuple[bytes, int]], payer: bytes, asset: bytes = TOKEN
    ) -> None:
        fields = {"kind": kind, "reference": file, "payer": payer, "asset": asset}
        outputs = [(to, min(amount, 2**120)) for to, amount in outputs]
        self.submit(make_payment(*outputs, nonce=self.find_nonce(payer, 0), **fields))

    def submit_upload(self, listing: ListFile, payment: Payment) -> None:
        before, expected = self.state.compute_fingerprint(), self.name_refusal_of_upload(listing, payment)
        assert self.play_in_turn(listing, payment) == expected
        try:
            check_upload(self.state, listing, payment, self.timestamp)
        except Refusal as refusal:
            assert refusal.code == expected
            assert self.state.compute_fingerprint() == before
            return
        assert expected is None
        self.enter_instruction(listing)
        self.enter_payment(sign(payment))

    def name_refusal_of_upload(self, listing: ListFile, payment: Payment) -> str | None:
        """Of the listing, or else of the payment as it would come after it."""
        refused = self.name_refusal_of(listing, is_paid=True)
        if refused:
            return refused
        kept = self.naive.exchange, self.naive.nonces
        self.naive.exchange, self.naive.nonces = deepcopy(kept)
        try:
            self.naive.instruct("ListFile", to_message(listing), self.timestamp)
            return self.name_refusal(payment)
        finally:
            self.naive.exchange, self.naive.nonces = kept

    def play_in_turn(self, listing: ListFile, payment: Payment) -> str | None:
        """What an audit of the two says, on a copy."""
        state, records = deepcopy(self.state), (sign(listing), sign(payment))
        try:
            for index in range(2):
                replay_record(state, records, index, self.timestamp)
        except Refusal as refusal:
            return refusal.code
        return None

    def make_file_id(self) -> bytes:
        """One that was not given yet."""
        return keccak(len(self.state.files).to_bytes(2, "big"))

    def find_file(self, place: int) -> bytes:
        listed = list(self.state.files)
        return UNKNOWN if place == 15 or not listed else listed[place % len(listed)]

    def get_validator(self, file: bytes) -> bytes:
        listed = self.naive.exchange.find_file(file)
        return listed["validator"] if listed else ALICE


TestExchange = ExchangeMachine.TestCase
TestExchange.settings = settings(max_examples=100, stateful_step_count=60)


@given(st.lists(st.tuples(people, st.sampled_from(["validator", "mart", "service_node"])), max_size=12), st.randoms())
def test_the_order_of_registrations_changes_the_root_alone(registrations: list[tuple[bytes, str]], random: Any) -> None:
    """Who has which role does not depend on who came first; whose entry stands where does."""
    found = []
    for _ in range(2):
        ledger = Ledger(PARAMETERS)
        state, nonces = ledger.state, dict.fromkeys(PEOPLE, 0)
        for account, role in registrations:
            instruction = make_instruction("Register", account=account, role=role, nonce=nonces[account])
            try:
                replay_record(state, (sign(instruction),), 0, state.last_cut_at + 1)
            except Refusal as refusal:
                assert refusal.code == "already_registered"
                continue
            nonces[account] += 1
        root = ledger.cut(1, state.last_cut_at + 1).commitment.extra_root
        found.append((state.roles, state.nonces, list(state.roles), root))
        random.shuffle(registrations)
    assert found[0][:2] == found[1][:2]
    assert (found[0][2] == found[1][2]) == (found[0][3] == found[1][3])
