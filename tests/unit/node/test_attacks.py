"""What robbed ledgers like this one, tried from outside: the JSON of a payment goes through a verifier and the
sequencer, as it would for anybody, and then the whole journal through an audit."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain import wire
from chain.payment import SignedPayment, compute_payment_id
from chain.signatures import sign_digest
from node.sequencer import Placed
from node.verification import Refused, Verified, read_result
from node.workers.verifier import verify_submission
from tests.unit.chain.actors import (
    ALICE,
    ALICE_KEY,
    BOB,
    BOB_KEY,
    CAROL,
    DOMAIN,
    ETHER,
    PARAMETERS,
    TOKEN,
    UNLISTED,
    deposit,
    make_payment,
    sign,
)
from tests.unit.node.running import FUNDS, Desk, audit, list_payment_ids, open_desk, soon


def encode(signed: SignedPayment, **changes: Any) -> bytes:
    """As a client sends it; `changes` are made after signing."""
    form = {**wire.encode_payment(signed.payment), **changes}
    return msgspec.json.encode([form, wire.encode_bytes(signed.signature)])


async def send(desk: Desk, *submissions: bytes) -> list[str]:
    """ "placed", or the name of the refusal, for each."""
    verdicts = [read_result(verify_submission(params, DOMAIN)) for params in submissions]
    verified = [verdict for verdict in verdicts if isinstance(verdict, Verified)]
    outcomes = iter(await soon(desk.sequencer.submit(verified)))
    names = []
    for verdict in verdicts:
        if isinstance(verdict, Refused):
            names.append(verdict.code)
            continue
        outcome = next(outcomes)
        names.append("placed" if isinstance(outcome, Placed) else outcome.refusal.code)
    return names


def get_wealth(desk: Desk) -> dict[bytes, int]:
    return {who: desk.sequencer.get_balance(TOKEN, who) for who in (ALICE, BOB, CAROL)}


RICH = {ALICE: FUNDS, BOB: FUNDS, CAROL: 0}


def flip_s(signature: bytes) -> bytes:
    """The other signature that every ECDSA signature comes with."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = order - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes((55 - signature[64],))


# --- the same input twice, money from nowhere, a relabelled asset


async def test_one_payment_sent_twice_in_a_batch_pays_once(tmp_path: Path) -> None:
    async with open_desk() as desk:
        payment = encode(sign(make_payment((CAROL, 10))))
        assert await send(desk, payment, payment) == ["placed"] * 2
        assert get_wealth(desk) == {ALICE: FUNDS - 10, BOB: FUNDS, CAROL: 10}
    assert len(list_payment_ids(desk.journal)) == 1
    audit(desk.journal, tmp_path)


async def test_two_payments_on_one_nonce_are_one() -> None:
    async with open_desk() as desk:
        both = [encode(sign(make_payment((CAROL, amount)))) for amount in (10, 20)]
        assert await send(desk, *both) == ["placed", "nonce_used"]
        assert get_wealth(desk)[CAROL] == 10


async def test_two_assets_share_one_window_of_nonces() -> None:
    async with open_desk() as desk:
        await soon(desk.sequencer.credit_deposits([deposit(0, ALICE, 50, ETHER)]))
        both = [encode(sign(make_payment((CAROL, 1), asset=asset))) for asset in (TOKEN, ETHER)]
        assert await send(desk, *both) == ["placed", "nonce_used"]
        assert desk.sequencer.get_balance(ETHER, CAROL) == 0


@pytest.mark.parametrize(
    "submission",
    [
        msgspec.json.encode([wire.encode_deposit(deposit(2)), "0x" + "00" * 65]),
        msgspec.json.encode([wire.encode_record(deposit(2)), "0x" + "00" * 65]),
        encode(sign(make_payment((ALICE, 10**9), kind="transfer")), kind="deposit"),
        encode(sign(make_payment((ALICE, 10**9))), **{"from": "0x" + "00" * 20}),
    ],
)
async def test_what_looks_like_a_deposit_mints_nothing(submission: bytes) -> None:
    async with open_desk() as desk:
        (name,) = await send(desk, submission)
        assert name in ("malformed_payment", "unknown_kind", "zero_address")
        assert get_wealth(desk) == RICH


@pytest.mark.parametrize(
    "changes",
    [
        {"asset": wire.encode_address(ETHER)},
        {"from": wire.encode_address(BOB)},
        {"nonce": "0x1"},
        {"validUntil": "0x1"},
        {"kind": "withdraw"},
        {"reference": "0x" + "01" * 32},
        {"memo": " "},
        {"outputs": [{"to": wire.encode_address(BOB), "amount": "0x1"}]},
        {"outputs": [{"to": wire.encode_address(CAROL), "amount": "0xb"}]},
        {"outputs": [{"to": wire.encode_address(CAROL), "amount": "0xa"}] * 2},
    ],
)
async def test_nothing_of_a_payment_can_be_changed_after_it_was_signed(changes: dict[str, Any]) -> None:
    async with open_desk() as desk:
        await soon(desk.sequencer.credit_deposits([deposit(0, ALICE, 50, ETHER)]))
        assert await send(desk, encode(sign(make_payment((CAROL, 10))), **changes)) == ["invalid_signature"]
        assert get_wealth(desk) == RICH


@pytest.mark.parametrize(
    "spoil",
    [
        lambda signature: signature[:64] + bytes((signature[64] ^ 7,)),  # 27 ↔ 28
        lambda signature: signature[:64] + bytes((signature[64] - 27,)),
        lambda signature: signature[:64] + bytes((signature[64] + 8,)),
        lambda signature: bytes(64) + b"\x1b",
        lambda signature: signature[:32] + bytes(32) + signature[64:],
        lambda signature: bytes(32) + signature[32:],
        flip_s,
    ],
    ids=["other parity", "v 0 or 1", "v 35 or 36", "all zero", "s zero", "r zero", "high s"],
)
async def test_a_signature_has_one_form_and_another_is_none(spoil: Callable[[bytes], bytes]) -> None:
    async with open_desk() as desk:
        signed = sign(make_payment((CAROL, 10)))
        spoiled = msgspec.structs.replace(signed, signature=spoil(signed.signature))
        assert await send(desk, encode(spoiled)) == ["invalid_signature"]
        assert get_wealth(desk) == RICH


# --- replay


async def test_a_payment_is_charged_once_in_its_epoch_and_in_every_later_one() -> None:
    async with open_desk() as desk:
        payment = encode(sign(make_payment((CAROL, 10))))
        for _ in range(3):
            assert await send(desk, payment) == ["placed"]
            desk.clock.now += 1000
            await soon(desk.sequencer.cut(desk.clock))
        desk.sequencer.forget_until(desk.journal.height)  # the index is asked from here on
        assert await send(desk, payment) == ["nonce_used"]
        assert get_wealth(desk) == {ALICE: FUNDS - 10, BOB: FUNDS, CAROL: 10}


async def test_a_payment_for_an_unlisted_asset_waits_for_nothing() -> None:
    async with open_desk() as desk:
        payment = encode(sign(make_payment((CAROL, 10), asset=UNLISTED)))
        assert await send(desk, payment) == ["unknown_asset"]
        await soon(desk.sequencer.list_asset(UNLISTED))
        assert await send(desk, payment) == ["insufficient_balance"]


@pytest.mark.parametrize(
    "elsewhere",
    [
        msgspec.structs.replace(PARAMETERS, l1_chain_id=1),
        msgspec.structs.replace(PARAMETERS, settlement=b"\x5f" * 20),
    ],
    ids=["another chain", "another contract"],
)
async def test_a_payment_of_another_deployment_is_not_signed_here(elsewhere: Any) -> None:
    async with open_desk() as desk:
        payment = make_payment((CAROL, 10))
        signature = sign_digest(ALICE_KEY, compute_payment_id(payment, elsewhere.domain))
        signed = SignedPayment(compute_payment_id(payment, elsewhere.domain), payment, signature)
        assert await send(desk, encode(signed)) == ["invalid_signature"]


# --- payer = payee


@pytest.mark.parametrize(
    "outputs",
    [
        [(ALICE, FUNDS)],
        [(ALICE, 1)],
        [(ALICE, FUNDS - 1), (ALICE, 1)],
        [(ALICE, 1)] * 16,
    ],
)
async def test_paying_oneself_mints_nothing(tmp_path: Path, outputs: list[tuple[bytes, int]]) -> None:
    async with open_desk() as desk:
        assert await send(desk, encode(sign(make_payment(*outputs)))) == ["placed"]
        assert get_wealth(desk) == RICH
        assert await send(desk, encode(sign(make_payment((BOB, 1), nonce=1)))) == ["placed"]
    audit(desk.journal, tmp_path)


async def test_paying_oneself_needs_the_money() -> None:
    async with open_desk() as desk:
        assert await send(desk, encode(sign(make_payment((ALICE, FUNDS + 1))))) == ["insufficient_balance"]
        assert await send(desk, encode(sign(make_payment((ALICE, FUNDS), (ALICE, 1))))) == ["insufficient_balance"]


async def test_part_to_oneself_and_part_to_others_adds_up(tmp_path: Path) -> None:
    async with open_desk() as desk:
        payment = make_payment((ALICE, 10), (CAROL, 5), (ALICE, 10), (CAROL, 5))
        assert await send(desk, encode(sign(payment))) == ["placed"]
        assert get_wealth(desk) == {ALICE: FUNDS - 10, BOB: FUNDS, CAROL: 10}
    audit(desk.journal, tmp_path)


# --- spending more than there is


async def test_the_whole_balance_leaves_once_however_many_try(tmp_path: Path) -> None:
    """A hundred payments of all of it, on a hundred nonces, in parallel."""
    async with open_desk() as desk:
        all_of_it = [encode(sign(make_payment((CAROL, FUNDS), nonce=nonce))) for nonce in range(100)]
        answers = await asyncio.gather(*[send(desk, payment) for payment in all_of_it])
        assert sorted(name for (name,) in answers) == ["insufficient_balance"] * 99 + ["placed"]
        assert get_wealth(desk) == {ALICE: 0, BOB: FUNDS, CAROL: FUNDS}
    audit(desk.journal, tmp_path)


async def test_money_that_is_withdrawn_is_gone(tmp_path: Path) -> None:
    async with open_desk() as desk:
        withdrawal = sign(make_payment((ALICE, FUNDS), kind="withdraw"))
        assert await send(desk, encode(withdrawal), encode(sign(make_payment((BOB, 1), nonce=1)))) == [
            "placed",
            "insufficient_balance",
        ]
        assert get_wealth(desk) == {ALICE: 0, BOB: FUNDS, CAROL: 0}
        assert desk.sequencer.state.totals[TOKEN] == FUNDS
    audit(desk.journal, tmp_path)


async def test_sums_beyond_128_bits_are_refused_not_wrapped() -> None:
    async with open_desk() as desk:
        wrapping = make_payment((CAROL, 2**128 - 1), (BOB, 2))
        params = msgspec.json.encode([wire.encode_payment(wrapping), "0x" + "11" * 65])
        assert await send(desk, params) == ["amount_too_large"]
        too_much = sign(make_payment((CAROL, 2**127 + 1)))
        assert await send(desk, encode(too_much)) == ["insufficient_balance"]


async def test_another_payer_is_no_payer() -> None:
    async with open_desk() as desk:
        assert await send(desk, encode(sign(make_payment((BOB, 10)), BOB_KEY))) == ["invalid_signature"]
        assert get_wealth(desk) == RICH
