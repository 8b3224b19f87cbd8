"""The demonstration against the rules of the ledger, without clock and network."""

import random
from collections import Counter

import pytest
from coincurve import PrivateKey
from structlog.testing import capture_logs

from chain.instruction import ListFile, Register, RegisterOwner, UpdatePrice, check_structure, get_type
from chain.market import MART, OWNER, SERVICE_NODE, VALIDATOR
from chain.payment import SignedPayment
from chain.primitives import ETHER
from chain.sealing import purchase_context, seal_key
from chain.signatures import compute_address, recover_public_key
from devnet.demo.desk import Desk
from devnet.demo.goods import compute_new_price, make_goods
from devnet.demo.market import Market
from devnet.demo.people import MIN_PEOPLE, Cast, make_cast
from tests.unit.devnet.rule_node import FUNDS, PARAMETERS, TOKEN, RuleNode

KEYS = tuple([number.to_bytes(32, "big") for number in range(1, 15)])
MAX_OPENING_ACTS = 20
"""At most 0.6 s of rest after each: well within 20 s."""


def open_market(node: RuleNode, keys: tuple[bytes, ...] = KEYS, seed: int = 1) -> Market:
    return Market(Desk(node), make_cast(keys), random.Random(seed))


async def play(market: Market, count: int) -> None:
    for _ in range(count):
        await market.act()


async def play_opening(market: Market) -> None:
    for _ in range(100):
        if not market.is_opening:
            return
        await market.act()
    pytest.fail("the market does not open")


# --- who plays


def describe(cast: Cast) -> Counter[str | None]:
    return Counter([person.role for person in cast.people])


@pytest.mark.parametrize("count", range(MIN_PEOPLE, 17))
def test_any_number_of_accounts_has_one_of_each_role(count: int) -> None:
    keys = tuple([number.to_bytes(32, "big") for number in range(1, count + 1)])
    cast = make_cast(keys)
    assert len(cast.people) == count
    assert {VALIDATOR, MART, SERVICE_NODE, OWNER} <= set(describe(cast))
    assert any(cast.get_owners(validator) for validator in cast.validators)


def test_the_same_keys_play_the_same_parts() -> None:
    assert describe(make_cast(KEYS)) == {VALIDATOR: 3, SERVICE_NODE: 2, MART: 3, OWNER: 5, None: 1}
    first, second = make_cast(KEYS), make_cast(KEYS)
    assert [(person.address, person.role, person.validator) for person in first.people] == [
        (person.address, person.role, person.validator) for person in second.people
    ]


def test_too_few_accounts_are_refused() -> None:
    with pytest.raises(ValueError, match="takes 4 accounts, here are 3"):
        make_cast(KEYS[:3])


# --- what is sold


def test_goods_fit_into_a_listing_and_are_not_all_alike() -> None:
    chance = random.Random(2)
    names = set()
    for number in range(1, 501):
        goods = make_goods(chance)
        file = number.to_bytes(32, "big")
        listing = ListFile(
            account=b"\x01" * 20,
            nonce=0,
            valid_until=0,
            file=file,
            owner=b"\x02" * 20,
            asset=ETHER,
            price=goods.price,
            size=goods.size,
            storage_days=goods.storage_days,
            content_hash=file,
            name=goods.name,
            media_type=goods.media_type,
            tags=goods.tags,
            description=goods.description,
            key_hash=file,
            sealed_key=b"",
        )
        check_structure(listing)
        assert "{" not in goods.name + goods.description + "".join(goods.tags)
        names.add(goods.name)
    assert len(names) > 350


@pytest.mark.parametrize("price", [1, 2, 3, 7, 10, 99, 640 * 10**16, 2**127])
def test_a_new_price_is_another_one_of_at_least_2(price: int) -> None:
    chance = random.Random(3)
    prices = {compute_new_price(price, chance) for _ in range(100)}
    assert price not in prices
    assert all(2 <= new <= max(price * 4 // 3, price + 1) for new in prices)


# --- what happens


async def test_the_first_purchase_comes_soon_and_the_right_key_with_it() -> None:
    node = RuleNode(KEYS)
    market = open_market(node)
    count = 0
    with capture_logs() as logs:
        while not node.state.purchases and count < MAX_OPENING_ACTS:
            assert market.is_opening
            await market.act()
            count += 1
    assert node.state.purchases
    assert logs == []


async def test_the_market_is_what_the_rules_know_and_nothing_is_refused() -> None:
    node = RuleNode(KEYS)
    market = open_market(node)
    with capture_logs() as logs:
        await play_opening(market)
        await play(market, 600)
    assert logs == []
    assert set(Counter([payment.kind for payment in node.payments])) == {
        "upload",
        "purchase",
        "extend",
        "tip",
        "transfer",
    }
    assert set(Counter([get_type(instruction) for instruction in node.instructions])) == {
        "Register",
        "RegisterOwner",
        "ListFile",
        "UpdatePrice",
        "Delist",
    }
    prices = [each.price for each in node.instructions if isinstance(each, ListFile | UpdatePrice)]
    assert min(prices) >= 2
    assert {payment.asset for payment in node.payments if payment.kind == "purchase"} == {ETHER, TOKEN}
    assert any(roles.is_named_only for roles in node.state.roles.values())
    for asset in (ETHER, TOKEN):
        assert sum(node.state.balances[asset].values()) == FUNDS * len(KEYS)


async def test_files_are_encrypted_or_not_and_their_keys_in_escrow_or_not() -> None:
    node = RuleNode(KEYS)
    market = open_market(node)
    await play_opening(market)
    await play(market, 300)
    listings = list(node.listed.values())
    assert any(listing.sealed_key for listing in listings)
    assert any(listing.key_hash == bytes(32) for listing in listings)
    assert len({listing.key_hash for listing in listings}) > len(listings) // 2


async def test_where_there_is_no_escrow_validators_keep_their_keys() -> None:
    node = RuleNode(KEYS, has_escrow=False)
    with capture_logs() as logs:
        market = open_market(node)
        await play_opening(market)
        await play(market, 50)
    assert logs == []
    assert not any(listing.sealed_key for listing in node.listed.values())
    assert node.state.purchases


@pytest.mark.parametrize("count", [4, 5, 8, 13])
async def test_fewer_accounts_make_do(count: int) -> None:
    node = RuleNode(KEYS[:count])
    with capture_logs() as logs:
        market = open_market(node, KEYS[:count])
        await play_opening(market)
        await play(market, 150)
    assert logs == []
    assert node.state.purchases


async def test_a_restart_goes_on_with_the_roles_and_files_that_are_there() -> None:
    node = RuleNode(KEYS)
    first = open_market(node)
    await play_opening(first)
    await play(first, 40)
    files, sent = len(node.listed), len(node.instructions)
    second = open_market(node, seed=2)
    with capture_logs() as logs:
        await second.act()
        assert not second.is_opening
        await play(second, 60)
    assert logs == []
    assert not any(isinstance(each, Register | RegisterOwner) for each in node.instructions[sent:])
    assert len(node.listed) > files
    assert any(payment.reference in list(node.listed)[:files] for payment in node.payments[-40:])


async def test_a_restart_in_the_middle_of_the_opening_does_what_is_missing() -> None:
    node = RuleNode(KEYS)
    await play(open_market(node), 5)
    assert len(node.state.roles) == 5
    with capture_logs() as logs:
        await play_opening(open_market(node))
    assert logs == []
    assert len(node.state.roles) >= 11
    assert node.state.purchases


async def test_a_node_that_is_away_is_waited_for() -> None:
    node = RuleNode(KEYS)
    market = open_market(node)
    node.is_away = True
    with capture_logs() as logs:
        await play(market, 3)
        node.is_away = False
        await play(market, 4)
        node.is_away = True
        await play(market, 2)
        node.is_away = False
        await play_opening(market)
    assert [log["event"] for log in logs] == ["the demonstration waits for the node"] * 5
    assert len(node.state.roles) >= 11
    assert node.state.purchases


async def test_a_registration_whose_answer_was_lost_is_no_error() -> None:
    node = RuleNode(KEYS)
    market = open_market(node)
    with capture_logs() as logs:
        node.is_losing_answers = True
        await market.act()
        node.is_losing_answers = False
        await play_opening(market)
    assert [log["log_level"] for log in logs] == ["info"]
    assert [each.role for each in node.instructions if isinstance(each, Register)].count(VALIDATOR) == 3


async def test_a_refusal_is_told_and_does_not_end_the_play() -> None:
    node = RuleNode(KEYS)
    market = open_market(node)
    await play_opening(market)
    for balances in node.state.balances.values():
        balances.update(dict.fromkeys(balances, 0))
    with capture_logs() as logs:
        await play(market, 20)
    codes = {log["data"]["code"] for log in logs if log["log_level"] == "warning"}
    assert codes == {"insufficient_balance"}


async def test_a_wrong_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    node = RuleNode(KEYS)
    market = open_market(node)

    def seal_another(listing: ListFile, purchase: SignedPayment) -> bytes:
        buyer = recover_public_key(purchase.id, purchase.signature)
        context = purchase_context(PARAMETERS.domain, listing.file, purchase.payment.payer)
        return seal_key(b"\x11" * 32, buyer, context, b"\x22" * 32)

    monkeypatch.setattr(node.escrow, "seal_for_buyer", seal_another)
    with capture_logs() as logs:
        await play_opening(market)
        await play(market, 50)
    assert logs
    assert all(log["log_level"] == "error" and "its key is wrong" in log["event"] for log in logs)


async def test_what_others_list_is_left_to_others() -> None:
    stranger = PrivateKey(b"\x33" * 32)
    keys = (*KEYS, stranger.secret)
    node = RuleNode(keys)
    others = open_market(node, (stranger.secret, *[bytes([number]) * 32 for number in (0x34, 0x35, 0x36)]))
    with capture_logs():
        await play(others, 8)
    address = compute_address(stranger.public_key)
    foreign = {file for file, listing in node.listed.items() if listing.account == address}
    market = open_market(node)
    await play_opening(market)
    await play(market, 200)
    assert foreign
    assert not any(node.count_sales(file) for file in foreign)
