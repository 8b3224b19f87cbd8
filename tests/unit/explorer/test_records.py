"""Every record of the ledger has a page, whatever stands in it."""

from chain.block import Deposit
from chain.payment import SignedPayment
from chain.wire import encode_address, encode_bytes
from node.ethereum.submission import EpochState
from tests.unit.explorer.conftest import World
from tests.unit.explorer.reading import ask
from tests.unit.node.index.history import RandomLedger


async def test_every_record_has_a_page(world: World, history: RandomLedger) -> None:
    for epoch in history.sealed:
        world.send(history, epoch, EpochState.FINAL if epoch <= 2 else EpochState.MINED)
    for placed in history.records[::3]:
        answer = await ask(world.explorer, f"/tx/{encode_bytes(placed.record.id)}")
        assert answer.status == 200
        assert answer.page.open == []
        assert encode_bytes(placed.record.id) in answer.text


async def test_a_deposit_says_where_on_ethereum_it_was_made(world: World, history: RandomLedger) -> None:
    deposit = history.deposits[0].record
    assert isinstance(deposit, Deposit)
    text = (await ask(world.explorer, f"/tx/{encode_bytes(deposit.id)}")).text
    assert encode_bytes(deposit.l1_transaction) in text
    assert encode_address(deposit.account) in text


async def test_every_payment_has_a_receipt_for_paper(world: World, history: RandomLedger) -> None:
    for placed in history.payments[::7]:
        assert isinstance(placed.record, SignedPayment)
        answer = await ask(world.explorer, f"/tx/{encode_bytes(placed.record.id)}/receipt")
        assert answer.status == 200
        assert encode_bytes(history.hashes[placed.block - 1]) in answer.text
    deposit = history.deposits[0].record
    assert (await ask(world.explorer, f"/tx/{encode_bytes(deposit.id)}/receipt")).status == 404
