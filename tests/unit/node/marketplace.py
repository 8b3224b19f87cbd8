"""A sequencer at work on a ledger with a data exchange, and short ways to ask it.

Who is who stands in `tests.unit.chain.exchange`.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from coincurve import PrivateKey

from chain.instruction import Instruction, ListFile, SignedInstruction
from chain.payment import Payment, SignedPayment
from chain.state import State
from node.journal import Journal
from node.sequencer import Declined, Outcome, Placed
from node.verification import Verified
from tests.unit.chain.actors import ALICE, BOB, CAROL, ETHER, TOKEN, deposit, get_address, make_key
from tests.unit.chain.exchange import DORA, ERIK, NOW_MS, OPENING, PARAMETERS, list_file, sign, upload
from tests.unit.node.running import Clock, Desk, make_journal, read_blocks, running, soon, verified

PEOPLE: Final = (ALICE, BOB, CAROL, DORA, ERIK)
FUNDS: Final = 10**12

STRANGER_KEY: Final = make_key("somebody that the ledger has never heard of")
STRANGER: Final = get_address(STRANGER_KEY)


def order(what: Payment | Instruction, key: PrivateKey | None = None) -> Verified:
    """As a verifier lets it through."""
    return verified(sign(what, key))


def make_upload(
    file: bytes, nonce: int = 0, listing: dict[str, Any] | None = None, payment: dict[str, Any] | None = None
) -> tuple[Verified, Verified]:
    """Alice lists a file of a stranger's and pays Dora for it, with this nonce and the next, but for what is given."""
    return (
        order(list_file(file, nonce, **{"owner": STRANGER, **(listing or {})})),
        order(upload(file, nonce + 1, **(payment or {}))),
    )


async def submit(desk: Desk, *orders: Payment | Instruction) -> list[Outcome]:
    outcomes: list[Outcome] = await soon(desk.sequencer.submit([order(each) for each in orders]))
    return outcomes


async def place(desk: Desk, *orders: Payment | Instruction) -> list[Placed]:
    """None of them may be refused."""
    outcomes = await submit(desk, *orders)
    assert not [outcome.refusal for outcome in outcomes if isinstance(outcome, Declined)]
    return [outcome for outcome in outcomes if isinstance(outcome, Placed)]


def find_refusal(outcome: Any) -> str:
    """Its name."""
    assert isinstance(outcome, Declined), outcome
    return outcome.refusal.code


def list_uploads(journal: Journal) -> list[tuple[bytes, bool]]:
    """(file, whether its payment comes right after it in its block) of all listings."""
    found = []
    for block in read_blocks(journal):
        for record, following in zip(block.records, [*block.records[1:], None], strict=True):
            if isinstance(record, SignedInstruction) and isinstance(record.instruction, ListFile):
                is_paid = isinstance(following, SignedPayment) and following.payment.kind == "upload"
                reference = following.payment.reference if isinstance(following, SignedPayment) else b""
                found.append((record.instruction.file, is_paid and reference == record.instruction.file))
    return found


async def open_market(desk: Desk) -> None:
    """ETHER and TOKEN are listed, and everybody has `FUNDS` of both; then comes `OPENING`."""
    for asset in (ETHER, TOKEN):
        await soon(desk.sequencer.list_asset(asset))
    for asset in (ETHER, TOKEN):
        credits = [deposit(index, who, FUNDS, asset) for index, who in enumerate(PEOPLE)]
        await soon(desk.sequencer.credit_deposits(credits))
    await place(desk, *OPENING)


@contextlib.asynccontextmanager
async def open_exchange(inner: Journal | None = None) -> AsyncIterator[Desk]:
    """A desk at work on a new ledger, after its `OPENING`: blocks 1 to 3."""
    async with running(Desk(make_journal(inner, PARAMETERS), State(PARAMETERS), Clock(NOW_MS))) as desk:
        await open_market(desk)
        yield desk
