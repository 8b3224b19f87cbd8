"""Quotes: the ledger accepts what is quoted, to the unit, and nothing else; what it would refuse is not quoted."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from chain import wire
from chain.errors import MalformedRequest, Refusal
from chain.hashing import keccak
from chain.instruction import ListFile
from chain.payment import Output, Payment
from chain.primitives import Address
from chain.sealing import escrow_context, seal_key
from node.escrow import Escrow
from node.rpc.methods import METHODS
from node.sequencer import Declined, Placed
from tests.unit.chain.actors import ALICE, BOB, CAROL, DOMAIN, ETHER, TOKEN, UNLISTED, make_key, make_payment, some_hash
from tests.unit.chain.exchange import (
    CHARGE,
    DAILY_CHARGE,
    DAY_MS,
    DORA,
    ERIK,
    FILE,
    GIB,
    NOW_S,
    STORAGE_DAYS,
    UNKNOWN,
    UNPAID,
    delist,
    list_file,
    purchase,
    update_price,
)
from tests.unit.node.marketplace import FUNDS, PEOPLE, STRANGER, find_refusal, open_exchange, order, place
from tests.unit.node.running import Desk, soon

ESCROW = Escrow(DOMAIN, make_key("escrow"))
NEW = some_hash("a file that is about to be listed")
NAMES = {ALICE: "alice", BOB: "bob", CAROL: "carol", DORA: "dora"}


class Counter:
    """Where quotes are asked for."""

    def __init__(self, desk: Desk, escrow: Escrow = ESCROW) -> None:
        self.desk = desk
        self.methods: Any = SimpleNamespace(sequencer=desk.sequencer, escrow=escrow)

    async def ask(self, kind: str, **details: Any) -> Any:
        """By Alice, unless `payer` says another. Bytes are written down as the interface has them."""
        form = {"from": details.pop("payer", ALICE), **details}
        shown = {name: show(value) for name, value in form.items()}
        return await soon(METHODS["tally_quote"](self.methods, msgspec.json.encode([kind, shown])))

    async def refuse(self, kind: str, **details: Any) -> str:
        with pytest.raises(Refusal) as refused:
            await self.ask(kind, **details)
        return refused.value.code

    async def pay(self, payment: Payment) -> Any:
        (outcome,) = await soon(self.desk.sequencer.submit([order(payment)]))
        return outcome

    def read_balances(self, asset: Address = TOKEN) -> dict[str, int]:
        return {wire.encode_address(who): self.desk.sequencer.get_balance(asset, who) for who in PEOPLE}


def show(value: Any) -> Any:
    if isinstance(value, bytes):
        return wire.encode_bytes(value)
    return wire.encode_instruction(value) if isinstance(value, ListFile) else value


def read_payment(quote: Any) -> Payment:
    return wire.decode_payment(msgspec.json.encode(quote["payment"]))


def change_amount(payment: Payment, index: int, change: int) -> Payment:
    outputs = list(payment.outputs)
    outputs[index] = Output(outputs[index].to, outputs[index].amount + change)
    return msgspec.structs.replace(payment, outputs=tuple(outputs))


def make_listing(**fields: Any) -> ListFile:
    """Of NEW, a stranger's, and its key in escrow."""
    key = some_hash("the file key")
    context = escrow_context(DOMAIN, ALICE, NEW)
    sealed = seal_key(key, ESCROW.public_key or b"", context, some_hash("ephemeral"))
    return list_file(NEW, **{"owner": STRANGER, "key_hash": keccak(key), "sealed_key": sealed, **fields})


@pytest.fixture
async def counter() -> AsyncIterator[Counter]:
    async with open_exchange() as desk:
        yield Counter(desk)


KINDS: dict[str, tuple[str, dict[str, Any], dict[str, int]]] = {
    "transfer to one": ("transfer", {"asset": TOKEN, "to": BOB, "amount": 7}, {"alice": -7, "bob": 7}),
    "transfer to several": (
        "transfer",
        {"asset": TOKEN, "outputs": [{"to": show(who), "amount": 5} for who in (BOB, CAROL, BOB)]},
        {"alice": -15, "bob": 10, "carol": 5},
    ),
    "transfer to oneself": ("transfer", {"asset": TOKEN, "to": ALICE, "amount": FUNDS - CHARGE}, {}),
    "tip": ("tip", {"asset": TOKEN, "to": CAROL, "amount": "0x9", "reference": FILE}, {"alice": -9, "carol": 9}),
    "withdraw": ("withdraw", {"asset": TOKEN, "to": BOB, "amount": "11"}, {"alice": -11}),
    "upload of a listed file": ("upload", {"to": DORA, "reference": UNPAID}, {"alice": -CHARGE, "dora": CHARGE}),
    "purchase": ("purchase", {"payer": BOB, "reference": FILE}, {"bob": -100, "alice": 50, "carol": 45, "dora": 5}),
    "purchase of a file that its validator keeps": (
        "purchase",
        {"payer": BOB, "reference": UNPAID, "price": 100},
        {"bob": -100, "alice": 50, "carol": 50},
    ),
    "extension": (
        "extend",
        {"reference": FILE, "days": 7, "asset": TOKEN},
        {"alice": -7 * DAILY_CHARGE, "dora": 7 * DAILY_CHARGE},
    ),
}


@pytest.mark.parametrize("kind, details, changes", KINDS.values(), ids=KINDS)
async def test_what_is_quoted_is_accepted_and_changes_what_it_says(
    counter: Counter, kind: str, details: dict[str, Any], changes: dict[str, int]
) -> None:
    before, state = counter.read_balances(), counter.desk.sequencer.state.compute_fingerprint()
    quote = await counter.ask(kind, **details)
    assert await counter.ask(kind, **details) == quote, "the same, asked again"
    assert counter.desk.sequencer.state.compute_fingerprint() == state, "and asking changes nothing"
    payment = read_payment(quote)
    assert int(quote["total"], 16) == payment.total
    assert isinstance(await counter.pay(payment), Placed)
    after = counter.read_balances()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {wire.encode_address(who): changes[name] for who, name in NAMES.items() if name in changes}
    said: dict[str, int] = {}
    for party in quote["parties"]:
        said[party["address"]] = said.get(party["address"], 0) + int(party["change"], 16)
    if kind != "withdraw":  # which pays somebody on Ethereum
        assert {name: change for name, change in said.items() if change} == changed


@pytest.mark.parametrize("change", [-1, 1])
@pytest.mark.parametrize("kind", ["upload of a listed file", "purchase", "extension"])
async def test_no_other_amount_than_the_quoted_one_is_accepted(counter: Counter, kind: str, change: int) -> None:
    payment = read_payment(await counter.ask(KINDS[kind][0], **KINDS[kind][1]))
    for index in range(len(payment.outputs)):
        refusal = find_refusal(await counter.pay(change_amount(payment, index, change)))
        assert refusal in ("wrong_outputs", "wrong_price")
    if len(payment.outputs) > 1:
        shifted = change_amount(change_amount(payment, 0, change), 1, -change)
        assert find_refusal(await counter.pay(shifted)) == "wrong_outputs"
    assert isinstance(await counter.pay(payment), Placed)


async def test_an_upload_is_quoted_with_its_listing_and_the_ledger_takes_both(counter: Counter) -> None:
    listing = make_listing(nonce=5)
    quote = await counter.ask("upload", to=DORA, listing=listing)
    payment = read_payment(quote)
    assert (payment.reference, payment.total) == (NEW, CHARGE)
    for change in (-1, 1):
        other = change_amount(payment, 0, change)
        declined = await soon(counter.desk.sequencer.submit_upload(order(listing), order(other)))
        assert find_refusal(declined) == "wrong_outputs"
    places = await soon(counter.desk.sequencer.submit_upload(order(listing), order(payment)))
    assert [each.index for each in places] == [0, 1]


async def use_nonces(counter: Counter, nonces: range) -> None:
    await place(counter.desk, *[make_payment((ALICE, 1), nonce=nonce) for nonce in nonces])


async def test_a_nonce_is_quoted_that_may_be_used(counter: Counter) -> None:
    """The one above all used ones; where the window ends there, the first that is free."""
    asked: dict[str, Any] = {"asset": TOKEN, "to": BOB, "amount": 1}
    assert read_payment(await counter.ask("tip", **asked)).nonce == 0, "the opening used the window's last ones"
    await use_nonces(counter, range(3))
    assert read_payment(await counter.ask("tip", **asked)).nonce == 256
    assert read_payment(await counter.ask("tip", **asked, nonce=5)).nonce == 5


@pytest.mark.parametrize(
    "used, listing_nonce, expected",
    [(0, 0, 256), (0, 7, 0), (100, 102, 256), (100, 256, 257), (252, 256, 257), (252, 300, 301), (252, 511, 256)],
)
async def test_an_upload_is_quoted_with_a_nonce_that_its_listing_leaves_free(
    counter: Counter, used: int, listing_nonce: int, expected: int
) -> None:
    await use_nonces(counter, range(used))
    listing = make_listing(nonce=listing_nonce)
    payment = read_payment(await counter.ask("upload", to=DORA, listing=listing))
    assert payment.nonce == expected
    places = await soon(counter.desk.sequencer.submit_upload(order(listing), order(payment)))
    assert not isinstance(places, Declined)


@pytest.mark.parametrize(
    "size, days, charge",
    [
        (GIB, 1, DAILY_CHARGE),
        (GIB, 30, 30 * DAILY_CHARGE),
        (2 * GIB, 30, 60 * DAILY_CHARGE),
        (1, 1, 1),  # rounded up, by the day
        (1, 30, 30),
        (1073, 1, 1),
        (1074, 1, 2),
        (1074, 30, 60),
        (GIB + 1, 2, 2 * DAILY_CHARGE + 2),
        (2**64 - 1, 1, 2**34 * DAILY_CHARGE),
    ],
)
async def test_storage_is_charged_by_size_and_days(counter: Counter, size: int, days: int, charge: int) -> None:
    params = msgspec.json.encode([hex(size), days, show(TOKEN)])
    answer: Any = await soon(METHODS["tally_getStorageCharge"](counter.methods, params))
    assert answer == {"charge": hex(charge), "dailyCharge": hex(charge // days)}
    listing = make_listing(size=size, storage_days=days)
    if charge <= FUNDS:
        assert int((await counter.ask("upload", to=DORA, listing=listing))["total"], 16) == charge
    else:
        assert await counter.refuse("upload", to=DORA, listing=listing) == "insufficient_balance"


async def test_storage_costs_nothing_that_has_no_rate(counter: Counter) -> None:
    for asset in (ETHER, UNLISTED):
        with pytest.raises(Refusal) as refused:
            await soon(METHODS["tally_getStorageCharge"](counter.methods, msgspec.json.encode([1, 1, show(asset)])))
        assert refused.value.code == "no_storage_rate"


async def test_a_quote_says_who_gets_what_as_what(counter: Counter) -> None:
    def say(quote: Any) -> list[tuple[str, str, str]]:
        addresses = {wire.encode_address(who): name for who, name in NAMES.items()}
        return [(party["role"], addresses[party["address"]], party["change"]) for party in quote["parties"]]

    bought = await counter.ask("purchase", payer=BOB, reference=FILE)
    assert say(bought) == [
        ("payer", "bob", "-0x64"),
        ("validator", "alice", "0x32"),
        ("owner", "carol", "0x2d"),
        ("service_node", "dora", "0x5"),
    ]
    await place(counter.desk, update_price(2))
    assert say(await counter.ask("purchase", payer=BOB, reference=FILE)) == [
        ("payer", "bob", "-0x2"),
        ("validator", "alice", "0x1"),
        ("owner", "carol", "0x1"),
    ]
    assert say(await counter.ask("extend", reference=FILE, days=1))[1] == ("service_node", "dora", hex(DAILY_CHARGE))
    assert say(await counter.ask("upload", to=DORA, reference=UNPAID))[1] == ("service_node", "dora", hex(CHARGE))
    tip = await counter.ask("tip", asset=TOKEN, to=CAROL, amount=1)
    assert say(tip) == [("payer", "alice", "-0x1"), ("payee", "carol", "0x1")]


async def test_what_the_payer_adds_is_in_the_payment(counter: Counter) -> None:
    for kind, details in (("purchase", {"payer": BOB, "reference": FILE}), ("extend", {"reference": FILE, "days": 1})):
        quote = await counter.ask(kind, **details, nonce=9, validUntil=hex(NOW_S + 5), memo="für dich")
        payment = read_payment(quote)
        assert (payment.nonce, payment.valid_until, payment.memo) == (9, NOW_S + 5, "für dich")
        assert isinstance(await counter.pay(payment), Placed)


REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("unknown_kind", "gift", {"asset": TOKEN, "to": BOB, "amount": 1}),
    ("no_outputs", "transfer", {"asset": TOKEN, "outputs": []}),
    ("zero_amount", "transfer", {"asset": TOKEN, "to": BOB, "amount": 0}),
    ("zero_address", "tip", {"asset": TOKEN, "to": bytes(20), "amount": 1}),
    ("amount_too_large", "tip", {"asset": TOKEN, "to": BOB, "amount": hex(2**128)}),
    ("memo_too_long", "purchase", {"payer": BOB, "reference": FILE, "memo": "é" * 129}),
    ("unknown_asset", "transfer", {"asset": UNLISTED, "to": BOB, "amount": 1}),
    ("insufficient_balance", "transfer", {"asset": TOKEN, "to": BOB, "amount": 10**13}),
    ("expired", "purchase", {"payer": BOB, "reference": FILE, "validUntil": 1}),
    ("nonce_used", "purchase", {"payer": BOB, "reference": FILE, "nonce": 255}),
    ("nonce_too_far", "extend", {"reference": FILE, "days": 1, "nonce": 256}),
    ("unknown_reference", "purchase", {"payer": BOB, "reference": UNKNOWN}),
    ("unknown_reference", "upload", {"to": DORA, "reference": UNKNOWN}),
    ("unknown_reference", "extend", {"reference": UNKNOWN, "days": 1}),
    ("wrong_role", "purchase", {"payer": CAROL, "reference": FILE}),
    ("wrong_price", "purchase", {"payer": BOB, "reference": FILE, "price": 99}),
    ("wrong_price", "purchase", {"payer": BOB, "reference": FILE, "price": 101}),
    ("foreign_validator", "upload", {"payer": ERIK, "to": DORA, "reference": UNPAID}),
    ("foreign_validator", "extend", {"payer": ERIK, "reference": FILE, "days": 1}),
    ("already_uploaded", "upload", {"to": DORA, "reference": FILE}),
    ("wrong_service_node", "upload", {"to": BOB, "reference": UNPAID}),
    ("no_storage_rate", "upload", {"to": DORA, "reference": UNPAID, "asset": ETHER}),
    ("no_storage_rate", "extend", {"reference": FILE, "days": 1, "asset": ETHER}),
    ("not_uploaded", "extend", {"reference": UNPAID, "days": 1}),
    ("zero_amount", "extend", {"reference": FILE, "days": 0}),
    ("wrong_outputs", "extend", {"reference": FILE, "days": 36_500}),
    ("already_listed", "upload", {"to": DORA, "listing": list_file(FILE, sealed_key=b"")}),
    ("wrong_role", "upload", {"payer": BOB, "to": DORA, "listing": list_file(NEW, account=BOB, sealed_key=b"")}),
    ("wrong_key", "upload", {"to": DORA, "listing": make_listing(key_hash=some_hash("another"))}),
    ("wrong_key", "upload", {"payer": ERIK, "to": DORA, "listing": make_listing(account=ERIK)}),
    ("malformed_instruction", "upload", {"to": DORA, "listing": make_listing(size=0)}),
    ("malformed_instruction", "upload", {"to": DORA, "listing": {"type": "ListFile"}}),
    ("zero_address", "upload", {"to": DORA, "listing": make_listing(owner=bytes(20))}),
    ("zero_address", "upload", {"to": bytes(20), "listing": make_listing()}),
    ("wrong_service_node", "upload", {"to": CAROL, "listing": make_listing()}),
    ("foreign_validator", "upload", {"payer": ERIK, "to": DORA, "listing": make_listing()}),
    ("nonce_used", "upload", {"to": DORA, "listing": make_listing(nonce=255)}),
    ("nonce_used", "upload", {"to": DORA, "listing": make_listing(nonce=3), "nonce": 3}),
    ("expired", "upload", {"to": DORA, "listing": make_listing(valid_until=1)}),
    ("unknown_asset", "upload", {"to": DORA, "listing": make_listing(asset=UNLISTED), "asset": TOKEN}),
]


@pytest.mark.parametrize("code, kind, details", REFUSED, ids=[f"{code}-{kind}" for code, kind, _ in REFUSED])
async def test_what_the_ledger_would_refuse_is_not_quoted(
    counter: Counter, code: str, kind: str, details: dict[str, Any]
) -> None:
    assert await counter.refuse(kind, **details) == code
    assert counter.desk.sequencer.durable_block == 3


async def test_what_happened_meanwhile_is_refused_by_the_next_quote(counter: Counter) -> None:
    asked: dict[str, Any] = {"payer": BOB, "reference": FILE}
    await place(counter.desk, purchase())
    assert await counter.refuse("purchase", **asked) == "already_purchased"
    await place(counter.desk, delist())
    assert await counter.refuse("purchase", payer=ERIK, reference=FILE) == "delisted"
    assert (await counter.ask("extend", reference=FILE, days=1))["total"] == hex(DAILY_CHARGE)
    counter.desk.clock.now += (STORAGE_DAYS + 1) * DAY_MS
    assert await counter.refuse("extend", reference=FILE, days=1) == "file_expired"
    assert await counter.refuse("purchase", payer=ERIK, reference=UNPAID) == "file_expired"


async def test_without_an_escrow_no_listing_with_a_key_is_quoted(counter: Counter) -> None:
    without = Counter(counter.desk, Escrow(DOMAIN, None))
    assert await without.refuse("upload", to=DORA, listing=make_listing()) == "no_escrow"
    assert await without.ask("upload", to=DORA, listing=make_listing(sealed_key=b""))


async def test_an_instruction_that_lists_nothing_is_no_listing(counter: Counter) -> None:
    with pytest.raises(MalformedRequest, match="ListFile"):
        await counter.ask("upload", to=DORA, listing=wire.encode_instruction(update_price(7)))


async def test_a_refused_quote_says_what_the_payment_would_be_refused_with(counter: Counter) -> None:
    await place(counter.desk, purchase())
    (outcome,) = await soon(counter.desk.sequencer.submit([order(purchase(nonce=1))]))
    assert isinstance(outcome, Declined)
    with pytest.raises(Refusal) as refused:
        await counter.ask("purchase", payer=BOB, reference=FILE)
    assert (refused.value.code, refused.value.values) == (outcome.refusal.code, outcome.refusal.values)
