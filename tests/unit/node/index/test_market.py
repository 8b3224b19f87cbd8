"""Roles, instructions, prices, purchases and earnings, against the rules' state and the same question put to plain
lists."""

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from chain.errors import MalformedRequest, UnknownRole
from chain.instruction import ListFile, Register, RegisterOwner, UpdatePrice
from chain.kinds import EXTEND, PURCHASE, UPLOAD
from chain.market import MART, OWNER, ROLE_BITS, SERVICE_NODE, VALIDATOR, compute_shares
from chain.payment import SignedPayment
from chain.primitives import ETHER, ZERO_ADDRESS, Address, Hash
from node.index import (
    PARTS,
    Earnings,
    FileFilter,
    IndexReader,
    IndexWriter,
    Page,
    PaymentFilter,
    PricePoint,
    Registration,
    encode_instruction_cursor,
    encode_registration_cursor,
)
from tests.unit.node.index.exchange import RandomExchange
from tests.unit.node.index.history import PlacedRecord, apply
from tests.unit.node.index.oracle import (
    describe_instruction,
    is_wanted,
    list_all_files,
    open_index,
    read_pages,
)

UNKNOWN = b"\x01" * 20


def list_everybody(history: RandomExchange) -> list[Address]:
    return [*history.accounts, *history.bystanders, *history.strangers, UNKNOWN]


# --- who takes part


def collect_registrations(history: RandomExchange) -> list[Registration]:
    """What each was said last, newest first."""
    found: dict[tuple[Address, str], Registration] = {}

    def say(placed: PlacedRecord, account: Address, role: str, validator: Address | None, is_named_only: bool) -> None:
        found[account, role] = Registration(
            account, role, validator, is_named_only, placed.block, placed.index, placed.timestamp
        )

    for placed in history.instructions:
        instruction = placed.record.instruction
        if isinstance(instruction, Register):
            say(placed, instruction.account, instruction.role, None, False)
        elif isinstance(instruction, RegisterOwner):
            say(placed, instruction.account, OWNER, instruction.validator, False)
        elif isinstance(instruction, ListFile) and (instruction.owner, OWNER) not in found:
            say(placed, instruction.owner, OWNER, instruction.account, True)
    return sorted(found.values(), key=lambda each: (each.block, each.record), reverse=True)


def test_an_accounts_roles_are_those_of_the_rules(history: RandomExchange, reader: IndexReader) -> None:
    registrations, state = collect_registrations(history), history.ledger.state
    for account in list_everybody(history):
        roles = reader.get_registrations(account)
        assert sorted(roles, key=repr) == sorted([each for each in registrations if each.account == account], key=repr)
        known = state.get_roles(account)
        assert [each.role for each in roles] == known.names
        for each in roles:
            if each.role == OWNER:
                assert (each.validator, each.is_named_only) == (known.validator, known.is_named_only)
            else:
                assert (each.validator, each.is_named_only) == (None, False)
    assert {each.is_named_only for each in registrations if each.role == OWNER} == {True, False}
    assert len(registrations) > 15


@pytest.mark.parametrize("role", [None, *ROLE_BITS])
def test_registrations_are_listed_and_counted(role: str | None, history: RandomExchange, reader: IndexReader) -> None:
    registrations = collect_registrations(history)
    for validator in (None, *list_everybody(history)):
        expected = [each for each in registrations if role in (None, each.role) and validator in (None, each.validator)]
        assert reader.count_registrations(role, validator) == len(expected)
        for limit, is_ascending in itertools.product((1, 3, 1000), (False, True)):
            listed = read_pages(
                lambda cursor: reader.list_registrations(role, validator, cursor, limit, is_ascending=is_ascending),  # noqa: B023
                limit,
            )
            assert listed == (expected[::-1] if is_ascending else expected)
        for place, each in enumerate(expected):
            cursor = encode_registration_cursor(each)
            older, newer = expected[place + 1 :][:2], expected[:place][-2:][::-1]
            assert list(reader.list_registrations(role, validator, cursor, 2).items) == older
            assert list(reader.list_registrations(role, validator, cursor, 2, is_ascending=True).items) == newer


def test_an_owner_who_moves_is_counted_where_it_is(tmp_path: Path) -> None:
    """Named by one validator with an upload, and signing for another; and counted once whatever the chunks are."""
    history = RandomExchange(41, account_count=6)
    first, second, owner, node, *_ = history.accounts
    history.list_asset()
    history.add_block([history.make_deposit(ETHER, 0, first, 10**18)])
    roles = [(first, VALIDATOR), (second, VALIDATOR), (node, SERVICE_NODE), (owner, MART)]
    history.add_block([history.sign(Register(account, 0, 0, role)) for account, role in roles])
    listing = history.make_listing(first, owner, nonce=1)
    history.add_block([history.sign(order) for order in (listing, history.make_upload(listing, node))])
    steps = [len(history.entries)]
    history.add_block([history.sign(RegisterOwner(owner, 1, 0, second))])
    steps.append(len(history.entries))
    path = tmp_path / "index.sqlite"
    for step, (under, is_named_only) in zip(steps, ((first, True), (second, False)), strict=True):
        writer = IndexWriter(path, history.parameters.genesis_hash)
        apply(writer, history.entries[:step])
        writer.close()
        reader = IndexReader(path)
        mart, owned = reader.get_registrations(owner)
        assert (mart.role, mart.validator) == (MART, None)
        assert (owned.role, owned.validator, owned.is_named_only) == (OWNER, under, is_named_only)
        counts = {validator: reader.count_registrations(OWNER, validator) for validator in (first, second, None)}
        assert counts == {first: int(under == first), second: int(under == second), None: 1}
        assert reader.list_registrations(OWNER).items == reader.list_registrations(None, under).items == (owned,)
        assert reader.count_registrations() == 5
        reader.close()


def test_what_is_no_sound_question_is_refused(reader: IndexReader) -> None:
    for role in ("", "Owner", "validators"):
        with pytest.raises(UnknownRole):
            reader.list_registrations(role)
        with pytest.raises(UnknownRole):
            reader.count_registrations(role)
        with pytest.raises(UnknownRole):
            reader.list_registrations(role, UNKNOWN)
        with pytest.raises(UnknownRole):
            reader.count_registrations(role, UNKNOWN)
    lists: list[Any] = [
        reader.list_registrations,
        reader.list_instructions,
        lambda **given: reader.list_prices(b"\x01" * 32, **given),
    ]
    for list_page in lists:
        for limit in (0, 1001):
            with pytest.raises(MalformedRequest, match="limit"):
                list_page(limit=limit)
        for cursor in ("", "7", "8" + "0" * 15):
            with pytest.raises(MalformedRequest, match="cursor"):
                list_page(cursor=cursor)


# --- what they said


def test_instructions_are_listed_of_accounts_and_files(history: RandomExchange, reader: IndexReader) -> None:
    everything = [describe_instruction(placed) for placed in reversed(history.instructions)]
    assert {each.type for each in everything} == {"Register", "RegisterOwner", "ListFile", "UpdatePrice", "Delist"}
    for account in (None, *list_everybody(history)):
        for file in (None, *history.files[:12], b"\x09" * 32):
            expected = [each for each in everything if account in (None, each.account) and file in (None, each.file)]
            for limit, is_ascending in itertools.product((2, 1000), (False, True)):
                listed = read_pages(
                    lambda cursor: reader.list_instructions(account, file, cursor, limit, is_ascending=is_ascending),  # noqa: B023
                    limit,
                )
                assert listed == (expected[::-1] if is_ascending else expected)
    for place, each in enumerate(everything):
        cursor = encode_instruction_cursor(each)
        older, newer = everything[place + 1 :][:2], everything[:place][-2:][::-1]
        assert list(reader.list_instructions(cursor=cursor, limit=2).items) == older
        assert list(reader.list_instructions(cursor=cursor, limit=2, is_ascending=True).items) == newer


# --- prices


def collect_prices(history: RandomExchange, file: Hash) -> list[PricePoint]:
    """Newest first."""
    return [
        PricePoint(placed.record.instruction.price, placed.block, placed.index, placed.timestamp)
        for placed in reversed(history.instructions)
        if isinstance(placed.record.instruction, ListFile | UpdatePrice) and placed.record.instruction.file == file
    ]


def test_what_a_file_cost_is_listed(history: RandomExchange, reader: IndexReader) -> None:
    counts = set()
    for file in history.files:
        expected = collect_prices(history, file)
        for limit in (1, 2, 1000):
            assert read_pages(lambda cursor: reader.list_prices(file, cursor, limit), limit) == expected  # noqa: B023
        assert expected[0].price == history.ledger.state.files[file].price
        counts.add(len(expected))
    assert len(counts) > 2
    assert reader.list_prices(b"\x09" * 32) == Page((), None)


# --- sales


def test_every_purchase_is_found_by_file_and_buyer(history: RandomExchange, reader: IndexReader) -> None:
    places = {placed.record.id: (placed.block, placed.index) for placed in history.payments}
    bought = history.ledger.state.purchases
    for file in (*history.files, b"\x09" * 32):
        for account in list_everybody(history):
            payment = bought.get(file + account)
            assert reader.find_purchase(file, account) == (None if payment is None else places[payment])
    assert len(bought) > 30


def test_a_files_sales_are_the_purchases_that_name_it(history: RandomExchange, reader: IndexReader) -> None:
    for file in list_all_files(history):
        wanted = PaymentFilter(reference=file.id, kind=PURCHASE)
        sales = reader.list_payments(wanted, limit=1000).items
        assert [sale.id for sale in sales] == [
            placed.record.id for placed in reversed(history.payments) if is_wanted(placed, wanted)
        ]
        assert (len(sales), sum([sale.total for sale in sales])) == (file.sale_count, file.sold)
        assert file.sale_count == len([key for key in history.ledger.state.purchases if key.startswith(file.id)])


def collect_earnings(history: RandomExchange, account: Address) -> list[Earnings]:
    """By going through the ledger once more, a record after the other: a share is what the price was at the time."""
    found: dict[tuple[Address, str], Earnings] = {}

    def earn(asset: Address, part: str, amount: int) -> None:
        before = found.get((asset, part), Earnings(asset, part, 0, 0))
        found[asset, part] = Earnings(asset, part, before.count + 1, before.amount + amount)

    files = history.ledger.state.files
    for placed in history.payments:
        assert isinstance(placed.record, SignedPayment)
        payment = placed.record.payment
        if payment.kind in (UPLOAD, EXTEND):
            if payment.outputs[0].to == account:
                earn(payment.asset, "storage", payment.total)
        elif payment.kind == PURCHASE:
            for role, amount in name_shares(history, files[payment.reference], payment.outputs):
                if role[1] == account:
                    earn(payment.asset, role[0], amount)
    return sorted(found.values(), key=lambda each: (history.assets.index(each.asset), PARTS.index(each.part)))


def name_shares(history: RandomExchange, file: Any, outputs: Any) -> list[tuple[tuple[str, Address], int]]:
    """Which output was whose: those of a price too low for all of them are told by what they would be of this one."""
    market, price = history.parameters.market, sum([output.amount for output in outputs])
    parts = [
        (("validator", file.validator), price * market.validator_share // 10_000),
        (("owner", file.owner), None),
        (("service_node", outputs[-1].to), price * market.commission // 10_000),
    ]
    shares, rest = [], list(outputs)
    for name, amount in parts:
        if rest and amount != 0 and (amount is None or amount == rest[0].amount) and rest[0].to == name[1]:
            shares.append((name, rest.pop(0).amount))
    assert not rest
    return shares


def test_earnings_are_what_the_outputs_were(history: RandomExchange, reader: IndexReader) -> None:
    parts = set()
    for account in list_everybody(history):
        expected = collect_earnings(history, account)
        assert list(reader.get_earnings(account)) == expected
        parts |= {each.part for each in expected}
    assert parts == set(PARTS)


def test_one_account_in_several_parts_earns_in_each(tmp_path: Path) -> None:
    """A validator that owns the file and keeps it, of a price whose every share is rounded."""
    history = RandomExchange(42, account_count=3)
    both, buyer, _ = history.accounts
    history.list_asset()
    history.add_block([history.make_deposit(ETHER, place, who, 10**30) for place, who in enumerate((both, buyer))])
    orders = [
        Register(both, 0, 0, VALIDATOR),
        Register(both, 1, 0, SERVICE_NODE),
        Register(buyer, 0, 0, MART),
        RegisterOwner(both, 2, 0, both),
        history.make_listing(both, both, nonce=3, price=1001, asset=ETHER, storage_days=2, size=2**30),
    ]
    listing = orders[-1]
    assert isinstance(listing, ListFile)
    history.add_block([history.sign(order) for order in (*orders, history.make_upload(listing, both))])
    file = history.ledger.state.files[listing.file]
    shares = compute_shares(file, history.parameters.market)
    history.add_block([history.sign(history.make_purchase(buyer, listing.file, 1))])
    history.add_block([history.sign(history.make_extension(listing.file, 3, 5))])
    validator, owner, node = [amount for _, amount in shares]
    assert (validator, owner, node) == (250, 681, 70)
    with open_index(tmp_path / "index.sqlite", history) as (_, reader):
        assert reader.get_earnings(both) == (
            Earnings(ETHER, "validator", 1, 250),
            Earnings(ETHER, "owner", 1, 681),
            Earnings(ETHER, "service_node", 1, 70),
            Earnings(ETHER, "storage", 2, (2 + 3) * 10**6),
        )
        (found,) = reader.list_files(FileFilter()).items
        assert (found.sale_count, found.sold, found.service_node) == (1, 1001, both)
        assert found.keep_until == history.ledger.state.files[file.id].keep_until


# --- all of it


def test_the_index_derives_the_state_of_the_rules(history: RandomExchange, reader: IndexReader) -> None:
    state = history.ledger.state
    for file in state.files.values():
        found = reader.get_file(file.id)
        assert found is not None
        for name in ("validator", "owner", "asset", "price", "size", "storage_days", "keep_until", "listing"):
            assert getattr(found, name) == getattr(file, name)
        assert (found.service_node or ZERO_ADDRESS, found.is_delisted) == (file.service_node, file.is_delisted)
    everything = reader.list_files(FileFilter(is_all=True), limit=1000)
    assert (len(everything.items), everything.cursor) == (len(state.files), None)
    assert reader.count_registrations() == sum([len(roles.names) for roles in state.roles.values()])


def test_the_index_derives_it_at_every_step(tmp_path: Path) -> None:
    """While it follows: after some blocks, and by a writer that begins anew each time or remembers."""
    rng = random.Random(43)
    history = RandomExchange(43)
    paths = [tmp_path / "begins.sqlite", tmp_path / "remembers.sqlite"]
    remembering = IndexWriter(paths[1], history.parameters.genesis_hash)
    history.list_asset()
    history.list_asset()
    for _ in range(12):
        for _ in range(rng.choice((4, 10))):
            history.add_block()
        history.cut()
        beginning = IndexWriter(paths[0], history.parameters.genesis_hash)
        apply(beginning, history.entries, rng.choice((1, 3, 100)))
        beginning.close()
        apply(remembering, history.entries, rng.choice((1, 3, 100)))
        for path in paths:
            reader = IndexReader(path)
            test_the_index_derives_the_state_of_the_rules(history, reader)
            assert list(reader.list_files(FileFilter(is_all=True), limit=1000).items) == list_all_files(history)
            reader.close()
    remembering.close()
    assert len(history.files) > 5
