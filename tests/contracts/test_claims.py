"""Finality, and withdrawals paid by proof: each once, to its recipient, whatever else happens."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from contracts import load_artifact
from tests.contracts import reference
from tests.contracts.evm import Evm, Refused, get_events, refused
from tests.contracts.ledger import CHALLENGE_PERIOD, MAX_SILENCE, Claim, Ledger, withdrawal
from tests.contracts.reference import EMPTY, ETHER, ZERO_HASH, SumNode, Withdrawal

COUNTS = [1, 2, 3, 5, 8]


def claim(ledger: Ledger, claim: Claim, sender: str | None = None) -> None:
    """Tries it, and forgets the effect."""
    ledger.evm.call(ledger.claim_function(claim), sender)


def get_balance(ledger: Ledger, asset: str, owner: str) -> int:
    if asset == ETHER:
        return int(ledger.evm.web3.eth.get_balance(owner))
    return int(ledger.token.functions.balanceOf(owner).call())


# ---- finality --------------------------------------------------------------------------------------------------------


def test_an_epoch_is_final_after_its_challenge_period(withdrawn: Ledger) -> None:
    _, digest, included_at = withdrawn.included[0]
    advance = withdrawn.functions.advanceFinalEpoch(digest, included_at)
    end = included_at + CHALLENGE_PERIOD
    withdrawn.evm.travel(end)
    with refused("ChallengePeriodRunning", 1, end):
        withdrawn.evm.call(advance)
    receipt = withdrawn.evm.send(advance, withdrawn.users[9 % len(withdrawn.users)], at=end + 1)
    assert withdrawn.functions.head().call() == [1, included_at, 1]
    assert get_events(withdrawn.settlement, "FinalEpochAdvanced", receipt) == [{"epoch": 1}]


def test_the_period_runs_from_each_inclusion(withdrawn: Ledger) -> None:
    """A commitment at the very end of a window must leave the whole time to look at it."""
    first = withdrawn.included[0]
    withdrawn.evm.travel(first.included_at + MAX_SILENCE - 1)
    withdrawn.commit()
    second = withdrawn.included[1]
    withdrawn.evm.travel(first.included_at + CHALLENGE_PERIOD + 1)
    withdrawn.evm.send(withdrawn.functions.advanceFinalEpoch(first.digest, first.included_at))
    with refused("ChallengePeriodRunning", 2, second.included_at + CHALLENGE_PERIOD):
        withdrawn.evm.call(withdrawn.functions.advanceFinalEpoch(second.digest, second.included_at))


def test_finality_moves_one_epoch_at_a_time_and_needs_the_preimage(withdrawn: Ledger) -> None:
    withdrawn.wait()
    withdrawn.commit()
    first, second = withdrawn.included
    withdrawn.wait(2 * CHALLENGE_PERIOD)
    stored = withdrawn.functions.commitmentHash(1).call()
    for digest, included_at in [
        (second.digest, second.included_at),
        (first.digest, first.included_at - 1),
        (first.digest, 0),
        (keccak(b"x"), first.included_at),
    ]:
        given = reference.commitment_hash(digest, included_at)
        with refused("CommitmentMismatch", 1, stored, given):
            withdrawn.evm.call(withdrawn.functions.advanceFinalEpoch(digest, included_at))
    withdrawn.finalise()
    for digest, included_at in [(ZERO_HASH, 0), (second.digest, second.included_at)]:
        with refused("CommitmentMismatch", 3, ZERO_HASH, reference.commitment_hash(digest, included_at)):
            withdrawn.evm.call(withdrawn.functions.advanceFinalEpoch(digest, included_at))


def test_silence_stops_neither_finality_nor_claims(withdrawn: Ledger) -> None:
    withdrawn.wait(MAX_SILENCE + 1)
    with pytest.raises(Refused, match="Halted"):
        withdrawn.evm.call(withdrawn.commit_function(withdrawn.draft()))
    withdrawn.finalise()
    claim(withdrawn, withdrawn.claim_for(1, ETHER, 0))


# ---- claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asset", ["ether", "token"])
def test_claims_pay_the_recipient_once(final: Ledger, asset: str) -> None:
    address = ETHER if asset == "ether" else final.token.address
    items = final.withdrawals[1, address]
    held = final.functions.held(address).call()
    for index in reversed(range(len(items))):
        id_, recipient, amount = items[index]
        before = get_balance(final, address, recipient)
        arguments = final.claim_for(1, address, index)
        receipt = final.evm.send(final.claim_function(arguments), final.users[5])
        assert get_balance(final, address, recipient) == before + amount
        held -= amount
        assert final.functions.held(address).call() == held
        assert final.functions.isClaimed(1, address, index).call() is True
        assert get_events(final.settlement, "WithdrawalClaimed", receipt) == [
            {"epoch": 1, "asset": address, "index": index, "id": id_, "recipient": recipient, "amount": amount}
        ]
        with refused("AlreadyClaimed", 1, address, index):
            claim(final, arguments)
    assert held == 10_000 - sum(item.amount for item in items)


def test_claims_wait_for_finality(withdrawn: Ledger) -> None:
    included_at = withdrawn.included[0].included_at
    withdrawn.evm.travel(included_at + CHALLENGE_PERIOD + 1)
    with refused("EpochNotFinal", 1, 0):
        claim(withdrawn, withdrawn.claim_for(1, ETHER, 0))
    withdrawn.finalise()
    claim(withdrawn, withdrawn.claim_for(1, ETHER, 0))


def test_the_commitment_is_the_one_that_was_included(final: Ledger) -> None:
    good = final.claim_for(1, final.token.address, 0)
    stored = final.functions.commitmentHash(1).call()
    line = good.commitment.assets[1]
    rich = line._replace(
        withdrawn=10_000, withdrawals_root=reference.withdrawal_leaf(withdrawal(1, good.recipient, 10_000)).hash
    )
    lies = [
        good._replace(included_at=good.included_at + 1),
        good._replace(commitment=good.commitment._replace(extra_root=keccak(b"x"))),
        good._replace(commitment=good.commitment._replace(assets=(rich, rich))),
        good._replace(commitment=good.commitment._replace(assets=good.commitment.assets[:1])),
    ]
    for lie in lies:
        given = reference.commitment_hash(final.domain.commitment_digest(lie.commitment), lie.included_at)
        with refused("CommitmentMismatch", 1, stored, given):
            claim(final, lie)
    for epoch in (0, 2, 2**64 - 1):
        lie = good._replace(commitment=good.commitment._replace(epoch=epoch))
        given = reference.commitment_hash(final.domain.commitment_digest(lie.commitment), lie.included_at)
        with refused("CommitmentMismatch", epoch, ZERO_HASH, given):
            claim(final, lie)


def test_asset_index_is_within_the_commitment(final: Ledger) -> None:
    good = final.claim_for(1, final.token.address, 0)
    for index in (2, 2**256 - 1):
        with refused("AssetIndexOutOfRange", index, 2):
            claim(final, good._replace(asset_index=index))
    with pytest.raises(Refused, match=r"RootMismatch|ProofLengthMismatch"):
        claim(final, good._replace(asset_index=0))


@pytest.mark.parametrize(
    "change",
    [
        {"id": keccak(b"x")},
        {"recipient": "0x" + "11" * 20},
        {"amount": 1},
        {"amount": 10_000},
    ],
)
def test_the_leaf_is_the_one_that_was_committed(final: Ledger, change: dict[str, Any]) -> None:
    good = final.claim_for(1, final.token.address, 2)
    with pytest.raises(Refused, match="RootMismatch"):
        claim(final, good._replace(**change))


def test_no_more_is_paid_than_is_held(final: Ledger) -> None:
    """No history leads here, as sums of trees are checked all the way: the counter is the second lock on the door."""
    token, artifact = final.token.address, load_artifact("Settlement")
    first = int.from_bytes(keccak(encode(["address", "uint256"], [token, artifact.get_slot("_assetStates")])), "big")
    good = final.claim_for(1, token, 3)
    for paid in (10_000 - good.amount, 10_000 - good.amount + 1):
        final.evm.set_storage(final.settlement, first + 1, paid)
        assert final.functions.held(token).call() == 10_000 - paid
        if paid + good.amount > 10_000:
            with refused("InsufficientHeld", token, good.amount - 1, good.amount):
                claim(final, good)
        else:
            claim(final, good)


def test_amounts_at_the_limit_do_not_wrap(final: Ledger) -> None:
    good = final.claim_for(1, final.token.address, 2)
    with pytest.raises(Refused, match="SumTooLarge"):
        claim(final, good._replace(amount=2**128 - 1))


def test_each_index_is_its_own(final: Ledger) -> None:
    """Elsewhere one output was paid under two indexes, and one burn 223 times: index + k * 2^depth."""
    token = final.token.address
    count = 5
    for true_index in range(count):
        good = final.claim_for(1, token, true_index)
        claim(final, good)
        for index in range(count):
            if index != true_index:
                with pytest.raises(Refused, match=r"RootMismatch|PaddingNotEmpty"):
                    claim(final, good._replace(index=index))
        for index in (count, 7, 8 + true_index, 16 + true_index, 2**32 + true_index, 2**63 + true_index):
            with refused("IndexOutOfRange", index, count):
                claim(final, good._replace(index=index))


def test_proofs_have_one_length(final: Ledger) -> None:
    good = final.claim_for(1, final.token.address, 4)
    for siblings in ([], good.siblings[:-1], [*good.siblings, EMPTY], [EMPTY, *good.siblings], [EMPTY] * 200):
        with refused("ProofLengthMismatch", 3, len(siblings)):
            claim(final, good._replace(siblings=siblings))


def test_nothing_hides_in_the_padding(ledger: Ledger) -> None:
    """A lying operator's tree of two leaves is committed as one of a single leaf; the second cannot be claimed."""
    token, user = ledger.token.address, ledger.users[0]
    ledger.deposit(1000)
    ledger.wait()
    shown, hidden = withdrawal(1, user, 10), withdrawal(2, user, 20)
    leaves = [reference.withdrawal_leaf(shown), reference.withdrawal_leaf(shown), reference.withdrawal_leaf(hidden)]
    root = reference.sum_root(leaves)
    honest = ledger.draft(withdrawals={token: [shown, shown]})
    lines = (
        honest.assets[0],
        honest.assets[1]._replace(
            withdrawals_root=root.hash, withdrawn=root.sum, withdrawal_count=2, total=1000 - root.sum
        ),
    )
    ledger.commit(honest._replace(assets=lines))
    ledger.finalise()
    commitment, _, included_at = ledger.included[0]
    proof = reference.sum_proof(leaves, 2)
    arguments = Claim(commitment, included_at, 1, 2, *hidden, proof)
    with refused("IndexOutOfRange", 2, 2):
        claim(ledger, arguments)
    with refused("ProofLengthMismatch", 1, 2):
        claim(ledger, arguments._replace(index=1))
    with refused("ProofLengthMismatch", 1, 2):
        claim(ledger, arguments._replace(index=0, id=shown.id, amount=10, siblings=reference.sum_proof(leaves, 0)))


def test_padding_with_money_in_it_spoils_the_proofs_beside_it(ledger: Ledger) -> None:
    """The operator commits a count of 3 over four leaves: the fourth is out of range, the third has a false sibling."""
    token, user = ledger.token.address, ledger.users[0]
    ledger.deposit(1000)
    ledger.wait()
    items = [withdrawal(i, user, 10) for i in range(4)]
    honest = ledger.draft(withdrawals={token: items})
    ledger.commit(honest._replace(assets=(honest.assets[0], honest.assets[1]._replace(withdrawal_count=3))))
    ledger.withdrawals[1, token] = items
    ledger.finalise()
    with refused("IndexOutOfRange", 3, 3):
        claim(ledger, ledger.claim_for(1, token, 3))
    with refused("PaddingNotEmpty", 0):
        claim(ledger, ledger.claim_for(1, token, 2))
    claim(ledger, ledger.claim_for(1, token, 1))


def test_inner_nodes_are_no_leaves(final: Ledger) -> None:
    """The node over two withdrawals, shown as one withdrawal of their sum."""
    token = final.token.address
    leaves = [reference.withdrawal_leaf(item) for item in final.withdrawals[1, token]]
    node = reference.sum_levels(leaves)[1][0]
    good = final.claim_for(1, token, 0)
    with refused("ProofLengthMismatch", 3, 2):
        claim(final, good._replace(id=node.hash, amount=node.sum, siblings=good.siblings[1:]))
    with pytest.raises(Refused, match="RootMismatch"):
        claim(final, good._replace(id=node.hash, amount=node.sum, siblings=[EMPTY, *good.siblings[1:]]))


def test_sums_are_bound_on_the_way(final: Ledger) -> None:
    good = final.claim_for(1, final.token.address, 0)
    for level, sibling in enumerate(good.siblings):
        for forged in (SumNode(sibling.hash, sibling.sum + 1), SumNode(keccak(sibling.hash), sibling.sum)):
            siblings = [*good.siblings[:level], forged, *good.siblings[level + 1 :]]
            with pytest.raises(Refused, match=r"RootMismatch|PaddingNotEmpty"):
                claim(final, good._replace(siblings=siblings))
    first = good.siblings[0]
    moved = [SumNode(first.hash, first.sum - 1), *good.siblings[1:]]
    with pytest.raises(Refused, match="RootMismatch"):
        claim(final, good._replace(amount=good.amount + 1, siblings=moved))


@pytest.mark.parametrize("difference", [-1, 1])
def test_the_sum_is_what_was_withdrawn(ledger: Ledger, difference: int) -> None:
    """A root whose sum is not `withdrawn` pays nobody: the tree would owe what the total does not back."""
    token, user = ledger.token.address, ledger.users[0]
    ledger.deposit(1000)
    ledger.wait()
    honest = ledger.draft(withdrawals={token: [withdrawal(1, user, 100), withdrawal(2, user, 50)]})
    line = honest.assets[1]
    line = line._replace(withdrawn=line.withdrawn + difference, total=line.total - difference)
    ledger.commit(honest._replace(assets=(honest.assets[0], line)))
    ledger.withdrawals[1, token] = [withdrawal(1, user, 100), withdrawal(2, user, 50)]
    ledger.finalise()
    root = reference.sum_root([reference.withdrawal_leaf(item) for item in ledger.withdrawals[1, token]])
    with refused("RootMismatch", *root):
        claim(ledger, ledger.claim_for(1, token, 0))


def test_nothing_is_withdrawn_from_a_count_of_zero(ledger: Ledger) -> None:
    user = ledger.users[0]
    ledger.deposit(1000)
    ledger.wait()
    leaf = reference.withdrawal_leaf(withdrawal(1, user, 100))
    honest = ledger.draft()
    line = honest.assets[1]._replace(withdrawals_root=leaf.hash, withdrawn=100, total=900)
    ledger.commit(honest._replace(assets=(honest.assets[0], line)))
    ledger.finalise()
    commitment, _, included_at = ledger.included[0]
    with refused("IndexOutOfRange", 0, 0):
        claim(ledger, Claim(commitment, included_at, 1, 0, *withdrawal(1, user, 100), []))


def test_a_decoy_with_the_same_id_blocks_nobody(ledger: Ledger) -> None:
    """Markers are by place and not by id: the operator's own withdrawal under somebody's id is just another one."""
    token = ledger.token.address
    ledger.deposit(1002)
    ledger.wait()
    decoy = Withdrawal(keccak(b"one id"), ledger.users[5], 1)
    real = Withdrawal(keccak(b"one id"), ledger.users[0], 500)
    ledger.commit(withdrawals={token: [decoy, decoy, real]})
    ledger.wait()
    ledger.commit(withdrawals={token: [real]})
    ledger.finalise()
    before = get_balance(ledger, token, ledger.users[0])
    for epoch, index in [(1, 0), (1, 1), (1, 2), (2, 0)]:
        assert not ledger.functions.isClaimed(epoch, token, index).call()
        ledger.evm.send(ledger.claim_function(ledger.claim_for(epoch, token, index)))
    assert get_balance(ledger, token, ledger.users[0]) == before + 2 * 500
    assert ledger.functions.held(token).call() == 0


def test_markers_of_neighbours_are_apart(ledger: Ledger) -> None:
    """256 markers share a word of storage; epochs and assets share none."""
    token, user = ledger.token.address, ledger.users[0]
    ledger.deposit(10_000)
    ledger.deposit(10_000, ETHER)
    ledger.wait()
    items = [withdrawal(i, user, 1 + i % 3) for i in range(300)]
    ledger.commit(withdrawals={token: items, ETHER: items})
    ledger.wait()
    ledger.commit(withdrawals={token: items})
    ledger.finalise()
    for index in (0, 255, 256):
        ledger.evm.send(ledger.claim_function(ledger.claim_for(1, token, index)))
    claimed = {index for index in range(300) if ledger.functions.isClaimed(1, token, index).call()}
    assert claimed == {0, 255, 256}
    for epoch, asset in [(1, ETHER), (2, token), (0, token), (3, token)]:
        assert not any(ledger.functions.isClaimed(epoch, asset, index).call() for index in (0, 255, 256))
    with refused("AlreadyClaimed", 1, token, 255):
        claim(ledger, ledger.claim_for(1, token, 255))
    for index in (1, 254, 257, 299):
        claim(ledger, ledger.claim_for(1, token, index))


@pytest.mark.parametrize("count", COUNTS)
def test_every_withdrawal_of_trees_of_all_shapes_is_paid(ledger: Ledger, evm: Evm, count: int) -> None:
    ledger.deposit(10_000)
    ledger.wait()
    token = ledger.token.address
    items = [withdrawal(i, ledger.users[1], 10 + i) for i in range(count)]
    ledger.commit(withdrawals={token: items})
    ledger.finalise()
    for index in range(count):
        evm.send(ledger.claim_function(ledger.claim_for(1, token, index)))
    assert ledger.functions.held(token).call() == 10_000 - sum(item.amount for item in items)


def test_withdrawing_everything_leaves_nothing(ledger: Ledger) -> None:
    ledger.deposit(777)
    ledger.deposit(888, ETHER)
    ledger.wait()
    user = ledger.users[2]
    ledger.commit(withdrawals={ledger.token.address: [withdrawal(1, user, 777)], ETHER: [withdrawal(2, user, 888)]})
    assert [line.total for line in ledger.last.assets] == [0, 0]
    ledger.finalise()
    for asset in (ETHER, ledger.token.address):
        ledger.evm.send(ledger.claim_function(ledger.claim_for(1, asset, 0)))
        assert ledger.functions.held(asset).call() == get_balance(ledger, asset, ledger.settlement.address) == 0
