"""What becomes of payments while none are taken."""

from typing import Any

import msgspec
import pytest

from chain.errors import NotFound
from chain.primitives import Hash
from node.rpc.methods import Methods
from node.sequencer import Placed
from node.verification import Refused, Verified
from tests.unit.node.running import pay

FIRST, SECOND = pay(0), pay(1)


class FakeLedger:
    """Sequencer, verifiers and archive in one: it knows the first payment, and orders whatever it is given."""

    def __init__(self) -> None:
        self.count = self.backlog = self.unindexed = 0
        self.ordered: list[Hash] = []

    async def verify(self, submissions: list[bytes]) -> list[Verified | Refused]:
        known = {b'["first"]': FIRST, b'["second"]': SECOND}
        return [known.get(submission, Refused("malformed_payment", "", {})) for submission in submissions]

    async def submit(self, verified: list[Verified]) -> list[Placed]:
        self.ordered += [payment.signed.id for payment in verified]
        return [Placed(1, 0)] * len(verified)

    def encode_receipt(self, placed: Placed, verified: Verified) -> bytes:
        return b"receipt"

    async def get_receipt(self, payment_id: Hash) -> dict[str, Any]:
        if payment_id != FIRST.signed.id:
            raise NotFound("the payment")
        return {"id": "first"}


async def test_a_halted_ledger_orders_nothing_and_still_answers_for_what_it_has() -> None:
    ledger: Any = FakeLedger()
    halts: list[str | None] = ["the contract has halted"]
    methods = Methods(ledger, ledger, ledger, ledger, 100, lambda: halts[0])
    submissions = [b'["first"]', b'["second"]', b'["junk"]']
    known, unknown, junk = await methods.send_payments(submissions)
    assert isinstance(known, bytes) and msgspec.json.decode(known) == {"id": "first"}
    assert isinstance(unknown, Refused) and unknown.code == "halted"
    assert unknown.message == "no payments are taken: the contract has halted"
    assert isinstance(junk, Refused) and junk.code == "malformed_payment"
    assert ledger.ordered == []
    halts[0] = None
    assert (await methods.send_payments(submissions))[:2] == [b"receipt", b"receipt"]
    assert ledger.ordered == [FIRST.signed.id, SECOND.signed.id]


async def test_what_the_index_lacks_is_bounded_as_what_waits_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sequencer remembers it all."""
    monkeypatch.setattr("node.rpc.methods.MAX_UNINDEXED", 1000)
    ledger: Any = FakeLedger()
    methods = Methods(ledger, ledger, ledger, ledger, 100, lambda: None)
    ledger.unindexed = 1000
    assert await methods.send_payments([b'["first"]']) == [b"receipt"]
    ledger.unindexed = 1001
    (refused,) = await methods.send_payments([b'["first"]'])
    assert isinstance(refused, Refused) and refused.code == "overloaded"
