"""What becomes of payments, instructions and uploads before they are ordered, and while none are taken."""

from typing import Any

import msgspec
import pytest

from chain.errors import NonceUsed, NotFound, WrongKey, WrongRole
from chain.instruction import ListFile
from chain.primitives import Hash
from node.refusals import Overloaded
from node.rpc.methods import METHODS, Methods
from node.sequencer import Declined, Placed
from node.verification import Refused, Verified
from node.workers.verifier import INSTRUCTION_MARK
from tests.unit.chain.actors import ALICE, CAROL, make_payment, some_hash
from tests.unit.chain.exchange import register, update_price, upload
from tests.unit.node.marketplace import make_upload, order
from tests.unit.node.running import pay, soon

FIRST, SECOND = pay(0), pay(1)
REGISTRATION = order(register(CAROL, "mart"))
LISTING, PAYMENT = make_upload(some_hash("a file"))

SUBMISSIONS = {
    b'["first"]': FIRST,
    b'["second"]': SECOND,
    INSTRUCTION_MARK + b'["registration"]': REGISTRATION,
    INSTRUCTION_MARK + b'["listing"]': LISTING,
    b'["payment"]': PAYMENT,
    INSTRUCTION_MARK + b'["price"]': order(update_price(7)),
    b'["tip"]': order(make_payment(kind="tip")),
    b'["another upload"]': order(upload(some_hash("another file"), 1)),
}


class FakeLedger:
    """Sequencer, verifiers, archive and escrow in one. It orders whatever it is given unless it is to decline."""

    def __init__(self, *known: Verified) -> None:
        self.count = self.backlog = self.unindexed = 0
        self.known = {verified.signed.id for verified in known}
        self.ordered: list[Hash] = []
        self.declined: Declined | None = None
        self.opened: list[Hash] = []
        self.wrong_key: WrongKey | None = None
        self.is_index_behind = False

    async def verify(self, submissions: list[bytes]) -> list[Verified | Refused]:
        return [SUBMISSIONS.get(submission, Refused("malformed_payment", "", {})) for submission in submissions]

    async def submit(self, verified: list[Verified]) -> list[Placed | Declined]:
        if self.declined is not None:
            return [self.declined] * len(verified)
        self.ordered += [each.signed.id for each in verified]
        return [Placed(1, 0)] * len(verified)

    async def submit_upload(self, listing: Verified, payment: Verified) -> list[Placed] | Declined:
        if self.declined is not None:
            return self.declined
        self.ordered += [listing.signed.id, payment.signed.id]
        return [Placed(1, 0), Placed(1, 1)]

    def encode_receipt(self, placed: Placed, verified: Verified) -> bytes:
        return b"receipt %d" % placed.index

    async def get_receipt(self, record_id: Hash) -> dict[str, Any]:
        if self.is_index_behind:
            raise Overloaded(7)
        if record_id not in self.known:
            raise NotFound("that")
        return {"id": record_id.hex()}

    def check_listing(self, listing: ListFile) -> None:
        self.opened.append(listing.file)
        if self.wrong_key is not None:
            raise self.wrong_key


def make_methods(ledger: Any, halts: list[str | None] | None = None, max_backlog: int = 100) -> Methods:
    return Methods(
        sequencer=ledger,
        verifiers=ledger,
        archive=ledger,
        info=ledger,
        max_backlog=max_backlog,
        find_halt=lambda: halts[0] if halts else None,
        escrow=ledger,
        catalogue=ledger,
    )


def is_receipt_of(answer: Any, verified: Verified) -> bool:
    """The one that is in the ledger already."""
    return isinstance(answer, bytes) and msgspec.json.decode(answer) == {"id": verified.signed.id.hex()}


def get_code(answer: Any) -> str:
    assert isinstance(answer, Refused), answer
    return answer.code


# --- payments


async def test_a_halted_ledger_orders_nothing_and_still_answers_for_what_it_has() -> None:
    ledger = FakeLedger(FIRST)
    halts: list[str | None] = ["the contract has halted"]
    methods = make_methods(ledger, halts)
    submissions = [b'["first"]', b'["second"]', b'["junk"]']
    known, unknown, junk = await methods.send_payments(submissions)
    assert is_receipt_of(known, FIRST)
    assert isinstance(unknown, Refused) and unknown.code == "halted"
    assert unknown.message == "no payments are taken: the contract has halted"
    assert isinstance(junk, Refused) and junk.code == "malformed_payment"
    assert ledger.ordered == []
    halts[0] = None
    assert (await methods.send_payments(submissions))[:2] == [b"receipt 0", b"receipt 0"]
    assert ledger.ordered == [FIRST.signed.id, SECOND.signed.id]


async def test_what_the_index_lacks_is_bounded_as_what_waits_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sequencer remembers it all."""
    monkeypatch.setattr("node.rpc.methods.MAX_UNINDEXED", 1000)
    ledger = FakeLedger()
    methods = make_methods(ledger)
    ledger.unindexed = 1000
    assert await methods.send_payments([b'["first"]']) == [b"receipt 0"]
    ledger.unindexed = 1001
    (refused,) = await methods.send_payments([b'["first"]'])
    assert isinstance(refused, Refused) and refused.code == "overloaded"


# --- instructions


async def test_an_instruction_is_verified_as_one_and_ordered() -> None:
    ledger = FakeLedger()
    methods = make_methods(ledger)
    assert await methods.send_instruction(b'["registration"]') == b"receipt 0"
    assert await methods.send_instruction(b'["listing"]') == b"receipt 0"
    assert ledger.ordered == [REGISTRATION.signed.id, LISTING.signed.id]
    assert ledger.opened == [some_hash("a file")], "the key that a listing brings, before it is ordered"
    assert get_code(await methods.send_instruction(b'["first"]')) == "malformed_payment", "a payment is none"


@pytest.mark.parametrize("is_nonce_used", [False, True])
@pytest.mark.parametrize("is_known", [False, True])
async def test_an_instruction_whose_nonce_is_used_may_be_in_the_ledger_itself(
    is_nonce_used: bool, is_known: bool
) -> None:
    ledger = FakeLedger(*[REGISTRATION] * is_known)
    ledger.declined = Declined(NonceUsed(0, 1), is_nonce_used)
    answer = await make_methods(ledger).send_instruction(b'["registration"]')
    if is_nonce_used and is_known:
        assert is_receipt_of(answer, REGISTRATION)
    else:
        assert get_code(answer) == "nonce_used"


async def test_a_halted_ledger_takes_no_instructions_and_answers_for_those_it_has() -> None:
    ledger = FakeLedger(LISTING)
    methods = make_methods(ledger, ["the contract has halted"])
    assert get_code(await methods.send_instruction(b'["registration"]')) == "halted"
    assert is_receipt_of(await methods.send_instruction(b'["listing"]'), LISTING)
    assert get_code(await methods.send_instruction(b'["junk"]')) == "malformed_payment"
    assert ledger.ordered == ledger.opened == []


async def test_a_listing_whose_key_does_not_open_is_not_ordered_and_found_if_it_was() -> None:
    ledger = FakeLedger()
    ledger.wrong_key = WrongKey("sealed to another")
    methods = make_methods(ledger)
    refused = await methods.send_instruction(b'["listing"]')
    assert isinstance(refused, Refused) and (refused.code, refused.values) == (
        "wrong_key",
        {"problem": "sealed to another"},
    )
    assert await methods.send_instruction(b'["registration"]') == b"receipt 0", "which brings no key"
    assert ledger.ordered == [REGISTRATION.signed.id]
    ledger.known.add(LISTING.signed.id)
    assert is_receipt_of(await methods.send_instruction(b'["listing"]'), LISTING)


@pytest.mark.parametrize("waiting, allowed_instructions, allowed_uploads", [(98, 1, 1), (99, 1, 0), (100, 0, 0)])
async def test_instructions_and_uploads_wait_in_the_same_bounds(
    waiting: int, allowed_instructions: int, allowed_uploads: int
) -> None:
    ledger = FakeLedger()
    ledger.backlog = waiting
    methods = make_methods(ledger)
    answers = [
        await methods.send_instruction(b'["registration"]'),
        await methods.send_upload(b'["listing"]', b'["payment"]'),
    ]
    codes = [answer.code if isinstance(answer, Refused) else None for answer in answers]
    assert codes == [
        None if allowed_instructions else "overloaded",
        None if allowed_uploads else "overloaded",
    ]
    assert len(ledger.ordered) == allowed_instructions + 2 * allowed_uploads


# --- uploads


async def test_an_upload_is_verified_and_ordered_as_one() -> None:
    ledger = FakeLedger()
    answer = await make_methods(ledger).send_upload(b'["listing"]', b'["payment"]')
    assert answer == [b"receipt 0", b"receipt 1"]
    assert ledger.ordered == [LISTING.signed.id, PAYMENT.signed.id]
    assert ledger.opened == [some_hash("a file")]


@pytest.mark.parametrize(
    "listing, payment, code",
    [
        (b'["junk"]', b'["payment"]', "malformed_payment"),
        (b'["listing"]', b'["junk"]', "malformed_payment"),
        (b'["registration"]', b'["payment"]', "malformed_instruction"),
        (b'["price"]', b'["payment"]', "malformed_instruction"),
        (b'["payment"]', b'["payment"]', "malformed_payment"),
        (b'["listing"]', b'["listing"]', "malformed_payment"),
        (b'["listing"]', b'["first"]', "malformed_payment"),
        (b'["listing"]', b'["tip"]', "malformed_payment"),
        (b'["listing"]', b'["another upload"]', "malformed_payment"),
        (b'["price"]', b'["tip"]', "malformed_instruction"),
    ],
)
async def test_what_is_no_listing_with_its_payment_is_no_upload(listing: bytes, payment: bytes, code: str) -> None:
    ledger = FakeLedger()
    assert get_code(await make_methods(ledger).send_upload(listing, payment)) == code
    assert ledger.ordered == ledger.opened == []


@pytest.mark.parametrize(
    "known, is_found",
    [([LISTING, PAYMENT], True), ([LISTING], False), ([PAYMENT], False), ([], False)],
    ids=["both", "the listing", "the payment", "neither"],
)
@pytest.mark.parametrize("reason", ["nonce_used", "halted", "wrong_key"])
async def test_an_upload_is_answered_again_only_if_both_are_in_the_ledger(
    known: list[Verified], is_found: bool, reason: str
) -> None:
    ledger = FakeLedger(*known)
    ledger.declined = Declined(NonceUsed(0, 1), is_nonce_used=True)
    if reason == "wrong_key":
        ledger.wrong_key = WrongKey("not this one")
    methods = make_methods(ledger, ["the end"] if reason == "halted" else None)
    answer = await methods.send_upload(b'["listing"]', b'["payment"]')
    if is_found:
        assert isinstance(answer, list)
        assert [is_receipt_of(*each) for each in zip(answer, (LISTING, PAYMENT), strict=True)] == [True, True]
    else:
        assert get_code(answer) == reason


async def test_an_upload_is_refused_with_what_the_ledger_refused_either_with() -> None:
    ledger = FakeLedger(LISTING, PAYMENT)
    ledger.declined = Declined(WrongRole(ALICE, "validator", "none"), is_nonce_used=False)
    answer = await make_methods(ledger).send_upload(b'["listing"]', b'["payment"]')
    assert get_code(answer) == "wrong_role"


async def test_an_upload_that_may_be_in_what_the_index_lacks_is_neither_found_nor_refused() -> None:
    ledger = FakeLedger()
    ledger.declined = Declined(NonceUsed(0, 1), is_nonce_used=True)
    ledger.is_index_behind = True
    assert get_code(await make_methods(ledger).send_upload(b'["listing"]', b'["payment"]')) == "overloaded"


# --- the parameters as they came


class Sent:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, ...]] = []
        self.refused: Refused | None = None

    async def send_instruction(self, submission: bytes) -> Any:
        self.sent.append((submission,))
        return self.refused or b'"receipt"'

    async def send_upload(self, listing: bytes, payment: bytes) -> Any:
        self.sent.append((listing, payment))
        return self.refused or [b'"one"', b'"other"']


@pytest.mark.parametrize(
    "method, params, sent",
    [
        ("tally_sendInstruction", b'[{"nonce": 1.50}, "0x"]', (b'[{"nonce": 1.50},"0x"]',)),
        ("tally_sendInstruction", b' {"signature": "0x", "instruction": []}', (b'[[],"0x"]',)),
        ("tally_sendUpload", b"[1, 2, 3, 4]", (b"[1,2]", b"[3,4]")),
        (
            "tally_sendUpload",
            b'{"payment": 3, "listingSignature": 2, "listing": 1, "paymentSignature": 4}',
            (b"[1,2]", b"[3,4]"),
        ),
    ],
)
async def test_what_is_signed_reaches_the_verifiers_as_it_came(
    method: str, params: bytes, sent: tuple[bytes, ...]
) -> None:
    methods: Any = Sent()
    answer = await soon(METHODS[method](methods, params))
    assert msgspec.json.decode(msgspec.json.encode(answer)) == ("receipt" if len(sent) == 1 else ["one", "other"])
    assert methods.sent == [sent]


@pytest.mark.parametrize("method, params", [("tally_sendInstruction", b"[1,2]"), ("tally_sendUpload", b"[1,2,3,4]")])
async def test_a_refusal_keeps_its_name_and_values(method: str, params: bytes) -> None:
    methods: Any = Sent()
    methods.refused = Refused("wrong_price", "the price is 7 now", {"expected": "0x7"})
    with pytest.raises(Exception, match="the price is 7 now") as refused:
        await soon(METHODS[method](methods, params))
    error: Any = refused.value
    assert (error.code, error.values) == ("wrong_price", {"expected": "0x7"})
