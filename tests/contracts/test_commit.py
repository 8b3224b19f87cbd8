"""Commitments: every check, one by one, and what an honest operator may always do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_tester.exceptions import TransactionFailed
from eth_utils import keccak

from contracts import load_artifact
from tests.contracts import reference
from tests.contracts.evm import GAS_LIMIT, Evm, Refused, get_events, plain, refused
from tests.contracts.ledger import (
    COLD_KEY,
    HOUR,
    LISTING_DELAY,
    MAX_SILENCE,
    MIN_INTERVAL,
    OPERATOR,
    STRANGER,
    Ledger,
    sign,
)
from tests.contracts.reference import ETHER, NONE, ZERO_HASH, Commitment, Line

ORDER_OF_SECP256K1 = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def check(ledger: Ledger, commitment: Commitment, **arguments: Any) -> None:
    """Submits it to the present state, and forgets the effect."""
    ledger.evm.call(ledger.commit_function(commitment, **arguments))


def change_line(commitment: Commitment, index: int, **changes: Any) -> Commitment:
    lines = list(commitment.assets)
    lines[index] = lines[index]._replace(**changes)
    return commitment._replace(assets=tuple(lines))


def stored_hash(commitment: Commitment, ledger: Ledger, included_at: int) -> bytes:
    return reference.commitment_hash(ledger.domain.commitment_digest(commitment), included_at)


# ---- what an honest operator does ------------------------------------------------------------------------------------


def test_commitments_are_stored_and_emitted_whole(running: Ledger) -> None:
    commitment = running.draft()
    receipt = running.commit(commitment)
    digest = running.domain.commitment_digest(commitment)
    included_at = running.evm.now
    assert running.functions.head().call() == [3, included_at, 0]
    assert running.functions.commitmentHash(3).call() == reference.commitment_hash(digest, included_at)
    (event,) = get_events(running.settlement, "Committed", receipt)
    emitted = event.pop("commitment")
    assert tuple(emitted[field] for field in [*emitted][:-1]) == plain(commitment)[:-1]
    assert [tuple(line.values()) for line in emitted["assets"]] == [plain(line) for line in commitment.assets]
    assert event == {
        "epoch": 3,
        "digest": digest,
        "includedAt": included_at,
        "signature": sign(digest),
    }


def test_anybody_submits_what_the_operator_signed(running: Ledger) -> None:
    running.evm.call(running.commit_function(running.draft()), sender=STRANGER.address)


def test_first_commitment_may_come_at_any_time_before_the_first_deposit(ledger: Ledger) -> None:
    """Silence is counted from the first deposit: a chain must not die before its first use."""
    ledger.wait(10 * MAX_SILENCE)
    ledger.deposit(1)
    ledger.wait(MAX_SILENCE - 1)
    ledger.commit()
    ledger.wait(MAX_SILENCE)
    check(ledger, ledger.draft())


def test_without_deposits_no_silence_is_too_long(ledger: Ledger) -> None:
    ledger.wait(10 * MAX_SILENCE)
    ledger.commit()
    ledger.wait(10 * MAX_SILENCE)
    ledger.commit()


def test_epoch_without_blocks(running: Ledger) -> None:
    last = running.last.last_block
    running.commit(running.draft(first_block=last + 1, last_block=last, blocks_root=ZERO_HASH))
    running.wait()
    assert running.draft().first_block == last + 1
    running.commit()


def test_new_deposits_do_not_strand_a_signed_commitment(running: Ledger) -> None:
    signed = running.draft()
    running.deposit(12)
    running.deposit(13, ETHER)
    running.wait()
    check(running, signed)


def test_new_asset_does_not_strand_a_signed_commitment(running: Ledger, evm: Evm) -> None:
    signed = running.draft()
    evm.send(running.functions.listAsset(evm.deploy("TestToken").address), running.listing_key)
    running.wait(LISTING_DELAY)
    check(running, signed)


def test_deposits_may_be_left_for_later_until_the_next_cut(running: Ledger) -> None:
    """The last commitment's cut is the line: what came after it may wait."""
    old = running.draft()
    assert old.assets[1].deposit_count == 3
    waiting = change_line(old, 1, deposit_count=2, total=old.assets[1].total - 70)
    running.commit(waiting)
    running.wait()
    token = running.token.address
    timestamp = running.functions.depositAt(token, 2).call()[3]
    again = running.draft()
    with refused("DepositLeftOut", token, 2, timestamp):
        check(running, change_line(again, 1, deposit_count=2, total=again.assets[1].total - 70))
    check(running, again)


@pytest.mark.parametrize("cut_after_deposit_ms", [0, 1])
def test_only_what_came_before_the_last_cut_must_be_counted(ledger: Ledger, cut_after_deposit_ms: int) -> None:
    ledger.wait()
    ledger.deposit(10)
    deposited_at, token = ledger.evm.now, ledger.token.address
    draft = ledger.draft(cut_at=1000 * deposited_at + cut_after_deposit_ms)
    ledger.commit(change_line(draft, 1, deposit_count=0, total=0))
    ledger.wait()
    waiting = change_line(ledger.draft(), 1, deposit_count=0, total=0)
    if cut_after_deposit_ms:
        with refused("DepositLeftOut", token, 0, deposited_at):
            check(ledger, waiting)
    else:
        check(ledger, waiting)


# ---- compare and swap ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [0, 1, 2, 4, 2**64 - 1])
def test_epochs_are_consecutive(running: Ledger, epoch: int) -> None:
    with refused("EpochMismatch", 3, epoch):
        check(running, running.draft(epoch=epoch))


def test_a_second_submitter_changes_nothing(running: Ledger) -> None:
    before = running.last
    commitment = running.draft()
    running.commit(commitment)
    with refused("EpochMismatch", 4, 3):
        check(running, commitment, previous=before)
    with refused("EpochMismatch", 4, 3):
        check(running, commitment._replace(extra_root=keccak(b"another")), previous=before)


def test_previous_is_what_was_included_last(running: Ledger) -> None:
    last = running.included[-1]
    stored = reference.commitment_hash(last.digest, last.included_at)
    assert running.functions.commitmentHash(2).call() == stored
    lies = [
        NONE,
        running.included[0].commitment,
        last.commitment._replace(last_block=last.commitment.last_block + 1),
        last.commitment._replace(cut_at=last.commitment.cut_at - 1),
        last.commitment._replace(assets=()),
        change_line(last.commitment, 1, total=10**30),
        change_line(last.commitment, 1, deposit_count=1),
    ]
    for lie in lies:
        with refused("CommitmentMismatch", 2, stored, stored_hash(lie, running, last.included_at)):
            check(running, running.draft(), previous=lie)


def test_before_the_first_epoch_there_is_nothing(ledger: Ledger) -> None:
    ledger.deposit(100)
    ledger.wait()
    encode = ledger.evm.web3.codec.encode
    type_ = load_artifact("Settlement").get_function("commit")["inputs"][0]
    signature = collapse(type_)
    empty = keccak(encode([signature], [plain(NONE)]))
    for lie in (
        NONE._replace(epoch=1),
        NONE._replace(last_block=7),
        NONE._replace(cut_at=1),
        NONE._replace(extra_root=keccak(b"x")),
        NONE._replace(assets=(Line(ETHER),)),
        NONE._replace(assets=(Line(ETHER, total=10**20),)),
    ):
        given = keccak(encode([signature], [plain(lie)]))
        with refused("CommitmentMismatch", 0, empty, given):
            check(ledger, ledger.draft(), previous=lie)
    with refused("PreviousMismatch", ZERO_HASH, keccak(b"x")):
        check(ledger, ledger.draft(previous=keccak(b"x")))
    check(ledger, ledger.draft())


def collapse(type_: dict[str, Any]) -> str:
    """An ABI type as the codec wants it, tuples written out."""
    if not type_["type"].startswith("tuple"):
        return str(type_["type"])
    members = ",".join(collapse(member) for member in type_["components"])
    return f"({members}){type_['type'].removeprefix('tuple')}"


def test_the_new_one_names_the_last(running: Ledger) -> None:
    digest = running.included[-1].digest
    for other in (ZERO_HASH, running.included[0].digest, keccak(b"fork")):
        with refused("PreviousMismatch", digest, other):
            check(running, running.draft(previous=other))


def test_a_fork_of_the_chain_cannot_be_mixed_in(running: Ledger) -> None:
    """Two commitments signed for one epoch: one can be included, and nothing can follow the other."""
    first, second = running.draft(), running.draft(extra_root=keccak(b"second"))
    running.commit(first)
    running.wait()
    follower = running.draft(previous=running.domain.commitment_digest(second))
    with refused("PreviousMismatch", running.included[-1].digest, follower.previous):
        check(running, follower)
    stored = running.functions.commitmentHash(3).call()
    with refused("CommitmentMismatch", 3, stored, stored_hash(second, running, running.included[-1].included_at)):
        check(running, follower, previous=second)


def test_a_reorg_that_takes_a_deposit_away_takes_the_commitment_with_it(running: Ledger) -> None:
    tester = running.evm.tester
    before = tester.take_snapshot()
    running.deposit(55)
    running.wait()
    commitment = running.draft()
    check(running, commitment)

    tester.revert_to_snapshot(before)
    running.wait(2 * HOUR)
    token = running.token.address
    with refused("DepositCountMismatch", token, 2, 3, 4):
        check(running, commitment)
    running.deposit(54)
    with refused("NotConserved", token, commitment.assets[1].total - 1, commitment.assets[1].total):
        check(running, commitment)

    tester.revert_to_snapshot(before)
    running.wait(2 * HOUR)
    running.deposit(55)
    check(running, commitment)


def test_a_reorg_that_takes_the_last_commitment_away_keeps_out_its_successor(running: Ledger) -> None:
    tester = running.evm.tester
    before = tester.take_snapshot()
    kept = running.draft()
    running.commit(kept)
    running.wait()
    successor = running.draft()
    last = running.last

    tester.revert_to_snapshot(before)
    running.wait(2 * HOUR)
    running.included.pop()
    with refused("EpochMismatch", 3, 4):
        check(running, successor, previous=last)
    running.commit(kept)
    running.wait()
    check(running, successor)


def test_messages_have_one_encoding(running: Ledger) -> None:
    """Bits that the type of a field has no room for are refused; what trails after a message is not part of it."""
    transaction = {"from": running.users[0], "to": running.settlement.address, "gas": GAS_LIMIT}
    call = running.evm.web3.eth.call
    commitment = running.draft()
    signature = sign(running.domain.commitment_digest(commitment))
    arguments = [plain(running.last), plain(commitment), signature]
    data = bytes.fromhex(running.settlement.encode_abi("commit", arguments).removeprefix("0x"))
    call({**transaction, "data": data})
    call({**transaction, "data": data + b"trailing"})

    start = 4 + int.from_bytes(data[36:68], "big")
    lines = start + 9 * 32
    narrow_words = {"epoch": start, "cutAt": start + 4 * 32, "asset": lines, "total": lines + 2 * 32}
    for offset in narrow_words.values():
        assert data[offset] == 0
        with pytest.raises(TransactionFailed):
            call({**transaction, "data": data[:offset] + b"\x01" + data[offset + 1 :]})


# ---- signature -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [STRANGER, COLD_KEY])
def test_only_the_operator_key_signs(running: Ledger, key: Any) -> None:
    commitment = running.draft()
    signature = sign(running.domain.commitment_digest(commitment), key)
    with refused("InvalidSignature", key.address):
        check(running, commitment, signature=signature)
    with refused("InvalidSignature", key.address):
        running.evm.call(running.commit_function(commitment, signature=signature), sender=OPERATOR.address)


def test_signatures_have_one_form(running: Ledger) -> None:
    commitment = running.draft()
    good = sign(running.domain.commitment_digest(commitment))
    r, s, v = good[:32], int.from_bytes(good[32:64], "big"), good[64]
    high_s = (ORDER_OF_SECP256K1 - s).to_bytes(32, "big")
    malformed = {
        "empty": b"",
        "64 bytes": good[:64],
        "66 bytes": good + b"\x00",
        "compact (EIP-2098)": r + (s | (v - 27) << 255).to_bytes(32, "big"),
        "high s": r + high_s + bytes([55 - v]),
        "v 0 or 1": good[:64] + bytes([v - 27]),
        "v 29": good[:64] + bytes([29]),
        "v 255": good[:64] + bytes([255]),
        "zero": bytes(64) + bytes([27]),
        "r zero": bytes(32) + good[32:],
        "s zero": r + bytes(32) + bytes([v]),
        "r above the order": ORDER_OF_SECP256K1.to_bytes(32, "big") + good[32:],
    }
    for signature in malformed.values():
        with refused("InvalidSignature", reference.ZERO_ADDRESS):
            check(running, commitment, signature=signature)
    check(running, commitment, signature=good)


def test_a_signature_for_something_else_is_none(running: Ledger) -> None:
    """Other contract, other chain, other message: never the operator's."""
    commitment = running.draft()
    chain_id = running.domain.chain_id
    digests = [
        running.domain._replace(chain_id=chain_id + 1).commitment_digest(commitment),
        running.domain._replace(chain_id=running.evm.web3.eth.chain_id).commitment_digest(commitment),
        running.domain._replace(settlement=running.token.address).commitment_digest(commitment),
        running.domain.commitment_digest(commitment._replace(extra_root=keccak(b"x"))),
        running.domain.digest(reference.BLOCK_TYPES, BLOCK),
        running.domain.digest(reference.PAYMENT_TYPES, PAYMENT),
        running.included[-1].digest,
    ]
    for digest in digests:
        with pytest.raises(Refused, match="InvalidSignature") as caught:
            check(running, commitment, signature=sign(digest))
        assert caught.value.values != (OPERATOR.address.lower(),)


BLOCK = {"number": 3, "previous": ZERO_HASH, "timestamp": 1, "recordsRoot": ZERO_HASH, "recordCount": 0}
PAYMENT = {
    "asset": ETHER,
    "from": OPERATOR.address,
    "nonce": 3,
    "validUntil": 0,
    "kind": "transfer",
    "reference": ZERO_HASH,
    "memo": "",
    "outputs": [{"to": STRANGER.address, "amount": 1}],
}


def test_every_signed_field_is_bound(running: Ledger) -> None:
    """A bit flipped anywhere in what was signed is never accepted."""
    commitment = running.draft()
    signature = sign(running.domain.commitment_digest(commitment))
    for field, value in commitment._asdict().items():
        if field != "assets":
            changed = flip(value)
            with pytest.raises(Refused, match=r"Mismatch|InvalidSignature"):
                check(running, commitment._replace(**{field: changed}), signature=signature)
    for field, value in commitment.assets[1]._asdict().items():
        with pytest.raises(Refused, match="InvalidSignature"):
            check(running, change_line(commitment, 1, **{field: flip(value)}), signature=signature)


def flip(value: Any) -> Any:
    if isinstance(value, int):
        return value ^ 1
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    return STRANGER.address


# ---- blocks and time -------------------------------------------------------------------------------------------------


def test_blocks_continue(running: Ledger) -> None:
    expected = running.last.last_block + 1
    for first in (0, expected - 1, expected + 1, 2**64 - 1):
        with refused("FirstBlockMismatch", expected, first):
            check(running, running.draft(first_block=first, last_block=max(first, 1)))
    for last in (0, expected - 2):
        with refused("LastBlockTooLow", expected, last):
            check(running, running.draft(last_block=last))
    check(running, running.draft(last_block=expected - 1))
    check(running, running.draft(last_block=2**64 - 1))


def test_first_epoch_begins_at_block_one(ledger: Ledger) -> None:
    ledger.wait()
    with refused("FirstBlockMismatch", 1, 0):
        check(ledger, ledger.draft(first_block=0))
    with refused("FirstBlockMismatch", 1, 2):
        check(ledger, ledger.draft(first_block=2))


def test_cuts_are_apart(running: Ledger) -> None:
    earliest = running.last.cut_at + 1000 * MIN_INTERVAL
    for cut_at in (0, running.last.cut_at, earliest - 1):
        with refused("CutTooEarly", earliest, cut_at):
            check(running, running.draft(cut_at=cut_at))
    check(running, running.draft(cut_at=earliest))


def test_the_first_cut_is_counted_from_deployment(ledger: Ledger) -> None:
    earliest = 1000 * (ledger.functions.deployedAt().call() + MIN_INTERVAL)
    ledger.wait()
    with refused("CutTooEarly", earliest, earliest - 1):
        check(ledger, ledger.draft(cut_at=earliest - 1))
    check(ledger, ledger.draft(cut_at=earliest))


def test_a_cut_is_not_in_the_future(running: Ledger) -> None:
    now_ms = 1000 * running.evm.now
    check(running, running.draft(cut_at=now_ms))
    for cut_at in (now_ms + 1, 2**64 - 1):
        with refused("CutInFuture", now_ms, cut_at):
            check(running, running.draft(cut_at=cut_at))


def test_a_cut_is_not_older_than_the_longest_silence(ledger: Ledger) -> None:
    ledger.wait()
    cut_at = 1000 * ledger.evm.now
    commitment = ledger.draft(cut_at=cut_at)
    ledger.wait(MAX_SILENCE)
    check(ledger, commitment)
    ledger.wait(1)
    with refused("CutTooOld", cut_at + 1000, cut_at):
        check(ledger, commitment)


def test_silence_ends_the_ledger(running: Ledger) -> None:
    halted_at = running.included[-1].included_at + MAX_SILENCE
    running.evm.travel(halted_at)
    check(running, running.draft())
    running.wait(1)
    with refused("Halted", halted_at):
        check(running, running.draft())
    running.wait(1000 * HOUR)
    with refused("Halted", halted_at):
        check(running, running.draft())


# ---- assets ----------------------------------------------------------------------------------------------------------


def test_assets_come_in_the_order_of_listing(running: Ledger) -> None:
    """An asset listed twice, left out, brought back or swapped mints its deposits again."""
    commitment = running.draft()
    ether, token = commitment.assets
    stranger = token._replace(asset=STRANGER.address)
    for assets, index in [
        ((token, ether), 0),
        ((ether, ether), 1),
        ((token, token), 0),
        ((ether, stranger), 1),
        ((stranger, token), 0),
    ]:
        with refused("AssetMismatch", index, assets[index].asset):
            check(running, commitment._replace(assets=assets))


def test_the_list_of_assets_never_shrinks(running: Ledger) -> None:
    commitment = running.draft()
    ether, token = commitment.assets
    for assets in ((), (ether,), (token,), (ether, token, token), (ether, token, Line(STRANGER.address))):
        with refused("AssetCountMismatch", 2, 2, len(assets)):
            check(running, commitment._replace(assets=assets))


def test_assets_listed_before_the_last_cut_are_covered(ledger: Ledger, evm: Evm) -> None:
    """The first commitment may leave out what was listed at deployment, the second may not."""
    ledger.deposit(10)
    ledger.wait()
    ledger.commit(ledger.draft(assets=()))
    ledger.wait()
    with refused("AssetCountMismatch", 2, 2, 0):
        check(ledger, ledger.draft(assets=()))
    with refused("AssetCountMismatch", 2, 2, 1):
        check(ledger, ledger.draft(assets=ledger.draft().assets[:1]))
    ledger.commit()


def test_a_new_asset_may_wait_until_a_cut_after_its_listing(running: Ledger, evm: Evm) -> None:
    token = evm.deploy("TestToken").address
    evm.send(running.functions.listAsset(token), running.listing_key)
    listed_at = evm.now + LISTING_DELAY
    evm.travel(listed_at)
    without = running.draft().assets[:2]
    check(running, running.draft())
    running.commit(running.draft(assets=without, cut_at=1000 * listed_at))
    running.wait()
    check(running, running.draft(assets=running.draft().assets[:2]))
    running.commit(running.draft(assets=running.draft().assets[:2]))
    running.wait()
    with refused("AssetCountMismatch", 3, 3, 2):
        check(running, running.draft(assets=running.draft().assets[:2]))
    running.commit()


def test_an_asset_is_not_committed_before_it_is_in_force(running: Ledger, evm: Evm) -> None:
    """By the clock of Ethereum: an operator's that is behind must not make a commitment that is never accepted."""
    token = evm.deploy("TestToken").address
    evm.send(running.functions.listAsset(token), running.listing_key)
    listed_at = evm.now + LISTING_DELAY
    commitment = running.draft(assets=(*running.draft().assets, Line(token)))
    evm.travel(listed_at - 1)
    with refused("AssetNotInForce", token, listed_at):
        check(running, commitment)
    evm.travel(listed_at)
    check(running, commitment)


Liar = Callable[[Line, Line], tuple[dict[str, int], tuple[Any, ...]]]


LIES: dict[str, Liar] = {
    "fewer accounts": lambda last, line: (
        {"account_count": last.account_count - 1},
        ("AccountCountFell", last.account_count, last.account_count - 1),
    ),
    "fewer deposits": lambda last, line: (
        {"deposit_count": last.deposit_count - 1},
        ("DepositCountMismatch", last.deposit_count, line.deposit_count, last.deposit_count - 1),
    ),
    "no deposits": lambda last, line: (
        {"deposit_count": 0},
        ("DepositCountMismatch", last.deposit_count, line.deposit_count, 0),
    ),
    "deposits that were not made": lambda last, line: (
        {"deposit_count": line.deposit_count + 1},
        ("DepositCountMismatch", last.deposit_count, line.deposit_count, line.deposit_count + 1),
    ),
    "deposits without end": lambda last, line: (
        {"deposit_count": 2**64 - 1},
        ("DepositCountMismatch", last.deposit_count, line.deposit_count, 2**64 - 1),
    ),
    "requests that were not made": lambda last, line: ({"forced_count": 1}, ("ForcedCountMismatch", 0, 0, 1)),
    "one unit too much": lambda last, line: (
        {"total": line.total + 1},
        ("NotConserved", line.total, line.total + 1),
    ),
    "one unit too little": lambda last, line: (
        {"total": line.total - 1},
        ("NotConserved", line.total, line.total - 1),
    ),
    "withdrawn without debit": lambda last, line: ({"withdrawn": 5}, ("NotConserved", line.total, line.total + 5)),
    "a sum beyond 128 bits": lambda last, line: (
        {"total": 2**128 - 1, "withdrawn": line.total + 1},
        ("NotConserved", line.total, 2**128 + line.total),
    ),
    "the sum of deposits twice": lambda last, line: (
        {"total": 2 * line.total},
        ("NotConserved", line.total, 2 * line.total),
    ),
    "deposits counted and not credited": lambda last, line: (
        {"total": last.total},
        ("NotConserved", line.total, last.total),
    ),
    "deposits credited and not counted": lambda last, line: (
        {"deposit_count": last.deposit_count},
        ("NotConserved", last.total, line.total),
    ),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("index", [0, 1])
def test_lies_about_an_asset(running: Ledger, lie: str, index: int) -> None:
    honest = running.draft()
    line = honest.assets[index]
    assert line.deposit_count > running.last.assets[index].deposit_count
    changes, (error, *values) = LIES[lie](running.last.assets[index], line)
    with refused(error, line.asset, *values):
        check(running, change_line(honest, index, **changes))


def test_withdrawn_leaves_the_total(running: Ledger) -> None:
    honest = running.draft()
    total = honest.assets[1].total
    check(running, change_line(honest, 1, total=0, withdrawn=total))
    check(running, change_line(honest, 1, total=total - 1, withdrawn=1))


def test_a_new_line_starts_from_nothing(ledger: Ledger) -> None:
    ledger.deposit(1000)
    ledger.wait()
    honest = ledger.draft()
    token = ledger.token.address
    with refused("NotConserved", token, 1000, 1001):
        check(ledger, change_line(honest, 1, total=1001))
    with refused("NotConserved", ETHER, 0, 1):
        check(ledger, change_line(honest, 0, total=1))
    check(ledger, honest)


def test_donations_do_not_cover_a_false_total(running: Ledger, evm: Evm) -> None:
    evm.send(running.token.functions.transfer(running.settlement.address, 10**9), running.users[0])
    honest = running.draft()
    token, total = running.token.address, honest.assets[1].total
    with refused("NotConserved", token, total, total + 10**9):
        check(running, change_line(honest, 1, total=total + 10**9))


def test_refusals_in_their_order(running: Ledger) -> None:
    """Each candidate mends the fault that was refused, and keeps all that come after it."""
    last, now_ms = running.last, 1000 * running.evm.now
    ether, token = running.draft().assets
    faulty = Commitment(epoch=9, previous=keccak(b"x"), first_block=1, last_block=0, cut_at=1, assets=(token,))
    mends: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        (("EpochMismatch", 3, 9), {"epoch": 3}),
        (("PreviousMismatch", running.included[-1].digest, keccak(b"x")), {"previous": running.included[-1].digest}),
        (("InvalidSignature", STRANGER.address), {}),
        (("FirstBlockMismatch", last.last_block + 1, 1), {"first_block": last.last_block + 1}),
        (("LastBlockTooLow", last.last_block + 1, 0), {"last_block": last.last_block}),
        (("CutTooEarly", last.cut_at + 1000 * MIN_INTERVAL, 1), {"cut_at": now_ms + 1}),
        (("CutInFuture", now_ms, now_ms + 1), {"cut_at": now_ms}),
        (("AssetCountMismatch", 2, 2, 1), {"assets": (token, token)}),
        (("AssetMismatch", 0, token.asset), {"assets": (ether, token._replace(account_count=0, deposit_count=9))}),
        (("AccountCountFell", token.asset, 2, 0), {"assets": (ether, token._replace(deposit_count=9, forced_count=9))}),
        (("DepositCountMismatch", token.asset, 2, 3, 9), {"assets": (ether, token._replace(forced_count=9, total=0))}),
        (("ForcedCountMismatch", token.asset, 0, 0, 9), {"assets": (ether, token._replace(total=0))}),
        (("NotConserved", token.asset, token.total, 0), {"assets": (ether, token)}),
    ]
    key = STRANGER
    for error, mend in mends:
        with refused(*error):
            check(running, faulty, signature=sign(running.domain.commitment_digest(faulty), key))
        faulty = faulty._replace(**mend)
        if error[0] == "InvalidSignature":
            key = OPERATOR
    check(running, faulty)
