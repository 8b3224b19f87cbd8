"""Replaying a ledger: what a sound history gives, and that every tampering stops the replay by name."""

from collections.abc import Callable

import msgspec
import pytest

from chain.account import AccountLeaf, NonceWindow, continues, decode_account_leaf
from chain.block import Block, Deposit
from chain.commitment import hash_commitment
from chain.errors import BrokenInvariant
from chain.ledger import Ledger, SealedEpoch
from chain.merkle import EMPTY_SUM
from chain.payment import SignedPayment
from chain.primitives import ZERO_HASH
from chain.transition import replay_block
from tests.unit.chain.actors import (
    ALICE,
    BOB,
    BOB_KEY,
    CAROL,
    DOMAIN,
    ETHER,
    PARAMETERS,
    START_MS,
    TOKEN,
    UNLISTED,
    deposit,
    make_block,
    make_empty_line,
    make_ledger,
    make_payment,
    make_state,
    sign,
    some_hash,
)


def get_leaf(sealed: SealedEpoch, asset: bytes, owner: bytes) -> AccountLeaf:
    """The leaf as this epoch wrote it."""
    (change,) = [change for change in sealed.changes if change.asset == asset]
    (leaf,) = [leaf for _, data in change.leaves if (leaf := decode_account_leaf(data)).owner == owner]
    return leaf


# --- a sound history


def test_blocks_and_epochs_count_from_one_and_hang_together() -> None:
    ledger = make_ledger()
    assert ledger.state.block_hash == PARAMETERS.genesis_hash
    first = ledger.apply_block(make_block(ledger, deposit(0)))
    second = make_block(ledger, sign(make_payment()))
    assert second.header.previous == first
    ledger.apply_block(second)
    sealed = ledger.cut(1, START_MS + 1000)
    assert (sealed.commitment.epoch, sealed.commitment.previous) == (1, ZERO_HASH)
    assert (sealed.commitment.first_block, sealed.commitment.last_block) == (1, 2)
    empty = ledger.cut(2, START_MS + 2000)
    assert empty.commitment.previous == hash_commitment(sealed.commitment, DOMAIN)
    assert (empty.commitment.first_block, empty.commitment.last_block) == (3, 2)
    assert (empty.commitment.block_count, empty.commitment.blocks_root) == (0, ZERO_HASH)


def test_an_epoch_without_anything_commits_zeros() -> None:
    sealed = make_ledger().cut(1, START_MS + 1)
    assert sealed.commitment.assets == (make_empty_line(ETHER), make_empty_line(TOKEN))
    assert [(change.leaves, change.nodes, change.withdrawals) for change in sealed.changes] == [([], [], [])] * 2


def test_an_untouched_leaf_is_carried_over_byte_for_byte() -> None:
    ledger = make_ledger(deposit(0, ALICE, 10), deposit(1, BOB, 10))
    before = ledger.cut(1, START_MS + 1000)
    ledger.apply_block(make_block(ledger, deposit(2, BOB, 1)))
    after = ledger.cut(2, START_MS + 2000)
    (change,) = [change for change in after.changes if change.asset == TOKEN]
    assert [index for index, _ in change.leaves] == [1]
    assert after.commitment.assets[1].account_count == 2
    assert get_leaf(before, TOKEN, ALICE).closing + get_leaf(after, TOKEN, BOB).closing == 21


def test_what_an_epoch_wrote_is_in_the_order_of_leaves() -> None:
    ledger = make_ledger(deposit(0, ALICE), deposit(1, BOB), deposit(2, CAROL))
    ledger.cut(1, START_MS + 1000)
    touched = deposit(3, CAROL), deposit(4, BOB), deposit(5, ALICE)
    ledger.apply_block(make_block(ledger, *touched))
    changes = ledger.cut(2, START_MS + 2000).changes[1]
    assert [index for index, _ in changes.leaves] == [0, 1, 2]
    assert [(level, index) for level, index, _ in changes.nodes] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]


def test_a_nonce_used_elsewhere_does_not_touch_a_leaf() -> None:
    ledger = make_ledger(deposit(0, ALICE, 10), deposit(0, ALICE, 10, ETHER))
    ledger.cut(1, START_MS + 1000)
    ledger.apply_block(make_block(ledger, sign(make_payment(asset=ETHER))))
    sealed = ledger.cut(2, START_MS + 2000)
    assert [change.asset for change in sealed.changes if change.leaves] == [ETHER]
    assert get_leaf(sealed, ETHER, ALICE).nonces == NonceWindow(1, 0)


def test_the_first_leaf_in_a_second_asset_carries_the_window() -> None:
    ledger = make_ledger(deposit(0, ALICE, 10, ETHER))
    payments = [sign(make_payment(asset=ETHER, nonce=nonce)) for nonce in (0, 2)]
    ledger.apply_block(make_block(ledger, *payments))
    ledger.cut(1, START_MS + 1000)
    ledger.apply_block(make_block(ledger, deposit(0, ALICE, 5)))
    leaf = get_leaf(ledger.cut(2, START_MS + 2000), TOKEN, ALICE)
    assert (leaf.nonces, leaf.opening, leaf.debit_count) == (NonceWindow(1, 0b10), 0, 0)


def test_leaves_continue() -> None:
    ledger = make_ledger(deposit(0, ALICE, 100))
    leaves = [get_leaf(ledger.cut(1, START_MS + 1000), TOKEN, ALICE)]
    for epoch in (2, 3, 4):
        ledger.apply_block(make_block(ledger, sign(make_payment(nonce=2 * epoch))))
        leaves.append(get_leaf(ledger.cut(epoch, START_MS + epoch * 1000), TOKEN, ALICE))
    for earlier in range(1, 5):
        for later in range(earlier + 1, 5):
            assert continues(leaves[later - 1], later, leaves[earlier - 1], earlier)
            assert not continues(leaves[earlier - 1], later, leaves[later - 1], earlier)


def test_withdrawals_are_of_their_epoch_only() -> None:
    ledger = make_ledger(deposit(0, ALICE, 100))
    ledger.apply_block(make_block(ledger, sign(make_payment((BOB, 30), kind="withdraw"))))
    line = ledger.cut(1, START_MS + 1000).commitment.assets[1]
    assert (line.total, line.withdrawn, line.withdrawal_count, line.account_count) == (70, 30, 1, 1)
    line = ledger.cut(2, START_MS + 2000).commitment.assets[1]
    assert (line.total, line.withdrawals, line.withdrawal_count) == (70, EMPTY_SUM, 0)


def test_auditing_and_replaying_give_the_same() -> None:
    blocks: list[Block] = []
    auditing, replaying = make_ledger(), make_ledger(is_auditing=False)
    for records in ((deposit(0),), (sign(make_payment(nonce=3)), sign(make_payment(nonce=1)))):
        blocks.append(make_block(auditing, *records))
        assert auditing.apply_block(blocks[-1]) == replaying.apply_block(blocks[-1])
    assert auditing.cut(1, START_MS + 1000) == replaying.cut(1, START_MS + 1000)
    assert auditing.state.compute_fingerprint() == replaying.state.compute_fingerprint()


# --- tampering


def change_header(**fields: object) -> Callable[[Ledger], Block]:
    return lambda ledger: make_block(ledger, deposit(1), **fields)


def add(*records: SignedPayment | Deposit) -> Callable[[Ledger], Block]:
    return lambda ledger: make_block(ledger, *records)


def alter_header(block: Block, **fields: object) -> Block:
    return msgspec.structs.replace(block, header=msgspec.structs.replace(block.header, **fields))


PAYMENT = sign(make_payment())
TAMPERINGS: dict[str, tuple[Callable[[Ledger], Block], str]] = {
    "a block again": (change_header(number=1), "block 1 comes where 2 is next"),
    "a block left out": (change_header(number=3), "block 3 comes where 2 is next"),
    "another predecessor": (change_header(previous=PARAMETERS.genesis_hash), "block 2 does not follow"),
    "time that falls": (change_header(timestamp=START_MS + 9), "block 2 is dated"),
    "a record that is not counted": (change_header(record_count=0), "block 2 has 1 records and says 0"),
    "a record too many counted": (change_header(record_count=2), "block 2 has 1 records and says 2"),
    "no records": (add(), "block 2 has 0 records and says 0"),
    "another records root": (change_header(records_root=some_hash("x")), "the records of block 2 do not lead"),
    "a deposit again, minting it twice": (add(deposit(0)), "deposit 0 of asset 0x7e.* comes where 1 is next"),
    "a deposit from the future": (add(deposit(2)), "deposit 2 of asset 0x7e.* comes where 1 is next"),
    "a deposit twice in a block": (add(deposit(1), deposit(1)), "deposit 1 of asset 0x7e.* comes where 2 is next"),
    "a deposit of an unlisted asset": (add(deposit(0, asset=UNLISTED)), "0x6666.* is not listed"),
    "a deposit of nothing": (add(deposit(1, amount=0)), "has amount 0"),
    "a payment twice in a block": (add(PAYMENT, PAYMENT), "record 1 of block 2: nonce_used"),
    "two payments on one nonce": (
        add(PAYMENT, sign(make_payment((CAROL, 1)))),
        "record 1 of block 2: nonce_used",
    ),
    "two payments on one nonce, across assets": (
        add(PAYMENT, sign(make_payment(asset=ETHER))),
        "record 1 of block 2: nonce_used",
    ),
    "money that is not there": (add(sign(make_payment((BOB, 1001)))), "record 0 of block 2: insufficient_balance"),
    "a late payment": (
        add(sign(make_payment(valid_until=START_MS // 1000 - 1))),
        "record 0 of block 2: expired",
    ),
    "an unlisted asset": (add(sign(make_payment(asset=UNLISTED))), "record 0 of block 2: unknown_asset"),
    "a nonce beyond the window": (add(sign(make_payment(nonce=256))), "record 0 of block 2: nonce_too_far"),
    "outputs that its kind does not have": (
        add(sign(make_payment((BOB, 1), (CAROL, 1), kind="withdraw"))),
        "record 0 of block 2: wrong_outputs",
    ),
}


@pytest.mark.parametrize("is_auditing", [True, False], ids=["auditing", "replaying"])
@pytest.mark.parametrize(("make", "problem"), TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampering_stops_the_replay(make: Callable[[Ledger], Block], problem: str, is_auditing: bool) -> None:
    ledger = make_ledger(deposit(0), is_auditing=is_auditing)
    with pytest.raises(BrokenInvariant, match=problem):
        ledger.apply_block(make(ledger))


REDIRECTED = msgspec.structs.replace(PAYMENT, payment=make_payment((CAROL, 1)))
AUDITED: dict[str, tuple[SignedPayment | Deposit, str]] = {
    "another's signature": (sign(make_payment(), BOB_KEY), "record 0 of block 2: invalid_signature"),
    "no signature": (msgspec.structs.replace(PAYMENT, signature=bytes(65)), "record 0 of block 2: invalid_signature"),
    "content under another's id": (
        REDIRECTED,
        "record 0 of block 2: invalid_proof: its id is 0x.*, its content gives 0x",
    ),
    "another id": (
        msgspec.structs.replace(PAYMENT, id=some_hash("x")),
        "record 0 of block 2: invalid_proof: its id is 0x.*, its content gives 0x",
    ),
    "a structure that signing does not mend": (
        sign(make_payment(*[(BOB, 1)] * 17)),
        "record 0 of block 2: too_many_outputs",
    ),
    "money out of nothing, as an output of zero": (
        sign(make_payment((BOB, 0))),
        "record 0 of block 2: zero_amount",
    ),
    "a deposit under another id": (
        msgspec.structs.replace(deposit(1), id=some_hash("x")),
        "record 0 of block 2: invalid_proof: its id is 0x.*, its content gives 0x",
    ),
    "a deposit under a payment's id": (
        msgspec.structs.replace(deposit(1), id=PAYMENT.id),
        "record 0 of block 2: invalid_proof: its id is 0x.*, its content gives 0x",
    ),
}


@pytest.mark.parametrize(("record", "problem"), AUDITED.values(), ids=AUDITED)
def test_an_audit_computes_ids_and_signatures_again(record: SignedPayment | Deposit, problem: str) -> None:
    ledger = make_ledger(deposit(0))
    with pytest.raises(BrokenInvariant, match=problem):
        ledger.apply_block(make_block(ledger, record))


def test_records_may_not_change_under_their_header() -> None:
    ledger = make_ledger(deposit(0))
    sound = make_block(ledger, PAYMENT, deposit(1))
    swapped = Block(sound.header, sound.records[::-1])
    with pytest.raises(BrokenInvariant, match="the records of block 2 do not lead to its records root"):
        ledger.apply_block(swapped)


def test_payment_and_deposit_of_one_id_are_two_records() -> None:
    ledger = make_ledger(deposit(0))
    other = msgspec.structs.replace(deposit(1), id=PAYMENT.id)
    header = make_block(ledger, PAYMENT).header
    with pytest.raises(BrokenInvariant, match="do not lead to its records root"):
        ledger.apply_block(Block(header, (other,)))


def test_a_block_at_or_before_the_last_cut_stops_the_replay() -> None:
    ledger = make_ledger(deposit(0))
    ledger.cut(1, START_MS + 1000)
    with pytest.raises(BrokenInvariant, match="block 2 is dated"):
        ledger.apply_block(make_block(ledger, deposit(1), timestamp=START_MS + 1000))
    ledger.apply_block(make_block(ledger, deposit(1), timestamp=START_MS + 1001))


def test_the_first_block_lies_after_deployment() -> None:
    ledger = make_ledger()
    with pytest.raises(BrokenInvariant, match="block 1 is dated"):
        ledger.apply_block(make_block(ledger, deposit(0), timestamp=START_MS))


def test_a_signed_header_changes_nothing_by_itself() -> None:
    ledger = make_ledger(deposit(0))
    block = make_block(ledger, PAYMENT)
    other = alter_header(block, timestamp=block.header.timestamp + 1)
    first, second = make_ledger(deposit(0)), make_ledger(deposit(0))
    assert first.apply_block(block) != second.apply_block(other)
    assert first.state.balances == second.state.balances


def test_leaves_that_do_not_sum_to_what_was_counted_stop_the_cut() -> None:
    ledger = make_ledger(deposit(0))
    ledger.state.totals[TOKEN] += 1
    with pytest.raises(BrokenInvariant, match=r"the leaves of asset 0x7e.* sum to 1000, the records to 1001"):
        ledger.cut(1, START_MS + 1000)


@pytest.mark.parametrize(("epoch", "cut_at"), [(0, 1000), (2, 1000), (1, 0), (1, 5)])
def test_a_cut_out_of_place(epoch: int, cut_at: int) -> None:
    ledger = make_ledger(deposit(0))
    with pytest.raises(BrokenInvariant):
        ledger.cut(epoch, START_MS + cut_at)


def test_an_asset_listed_twice() -> None:
    with pytest.raises(BrokenInvariant, match="listed twice"):
        make_ledger().list_asset(TOKEN)


def test_a_payment_for_another_deployment_does_not_count_here() -> None:
    elsewhere = msgspec.structs.replace(PARAMETERS, settlement=b"\x11" * 20)
    ledger = Ledger(elsewhere, is_auditing=True)
    ledger.list_asset(TOKEN)
    ledger.apply_block(make_block(ledger, deposit(0)))
    with pytest.raises(BrokenInvariant, match="its content gives 0x"):
        ledger.apply_block(make_block(ledger, PAYMENT))


def test_another_ledger_s_blocks_do_not_hang_on_this_one() -> None:
    block = make_block(make_ledger(), deposit(0))
    later = msgspec.structs.replace(PARAMETERS, deployed_at=PARAMETERS.deployed_at - 1)
    with pytest.raises(BrokenInvariant, match="block 1 does not follow"):
        Ledger(later).apply_block(block)


# --- snapshots


def test_a_restored_ledger_goes_on_as_if_it_had_never_stopped() -> None:
    ledger = make_ledger(deposit(0), deposit(0, BOB, 9, ETHER))
    ledger.apply_block(make_block(ledger, *[sign(make_payment(nonce=nonce)) for nonce in (0, 5, 3)]))
    ledger.cut(1, START_MS + 1000)
    restored = Ledger.restore(PARAMETERS, ledger.take_snapshot())
    assert restored.state.compute_fingerprint() == ledger.state.compute_fingerprint()
    assert [restored.get_root(asset) for asset in (ETHER, TOKEN)] == [
        ledger.get_root(asset) for asset in (ETHER, TOKEN)
    ]
    block = make_block(ledger, sign(make_payment((CAROL, 2), nonce=1)), deposit(1, CAROL))
    assert restored.apply_block(block) == ledger.apply_block(block)
    assert restored.cut(2, START_MS + 2000) == ledger.cut(2, START_MS + 2000)
    assert restored.take_snapshot() == ledger.take_snapshot()


def test_a_snapshot_stays_what_it_was() -> None:
    ledger = make_ledger(deposit(0))
    ledger.cut(1, START_MS + 1000)
    snapshot = ledger.take_snapshot()
    before = msgspec.json.encode((sorted(snapshot.nonces.items()), snapshot.assets))
    ledger.apply_block(make_block(ledger, sign(make_payment()), deposit(1, CAROL)))
    ledger.cut(2, START_MS + 2000)
    assert msgspec.json.encode((sorted(snapshot.nonces.items()), snapshot.assets)) == before


def test_snapshots_are_taken_between_epochs_only() -> None:
    ledger = make_ledger(deposit(0))
    with pytest.raises(BrokenInvariant, match="boundary of two epochs"):
        ledger.take_snapshot()
    ledger.cut(1, START_MS + 1000)
    ledger.take_snapshot()
    ledger.apply_block(make_block(ledger, deposit(1)))
    with pytest.raises(BrokenInvariant, match="boundary of two epochs"):
        ledger.take_snapshot()


def test_replaying_a_state_alone_gives_the_same_state() -> None:
    ledger, state = make_ledger(), make_state()
    for records in ((deposit(0),), (PAYMENT, deposit(1, CAROL))):
        block = make_block(ledger, *records)
        assert replay_block(state, block) == ledger.apply_block(block)
        assert state.compute_fingerprint() == ledger.state.compute_fingerprint()


@pytest.mark.parametrize(("make", "problem"), TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampering_stops_the_replay_of_a_state_alone(make: Callable[[Ledger], Block], problem: str) -> None:
    ledger, state = make_ledger(), make_state()
    block = make_block(ledger, deposit(0))
    ledger.apply_block(block)
    replay_block(state, block)
    with pytest.raises(BrokenInvariant, match=problem):
        replay_block(state, make(ledger))
