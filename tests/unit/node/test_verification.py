"""The pool of verifiers, with verifiers whose answers come when the test wants, and the verdicts of a single one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from chain import wire
from chain.block import Block, Header, decode_block, encode_block, encode_record
from chain.instruction import (
    MAX_DESCRIPTION_SIZE,
    MAX_MEDIA_TYPE_SIZE,
    MAX_NAME_SIZE,
    MAX_TAG_SIZE,
    MAX_TAGS,
    MEMBERS,
    Instruction,
    SignedInstruction,
)
from chain.primitives import MAX_MEMO_SIZE
from node.framing import MAX_FRAME_SIZE, ChannelClosed, encode_frame
from node.refusals import Halted
from node.verification import MAX_SUBMISSION_SIZE, Refused, Verified, VerifierPool, read_result
from node.workers.verifier import INSTRUCTION_MARK, verify_submission
from tests.unit.chain import exchange
from tests.unit.chain.actors import BOB, BOB_KEY, CAROL, DOMAIN, PARAMETERS, make_payment, sign
from tests.unit.node.running import settle, soon


class FakeWorker:
    """Stands in for a `WorkerProcess`: keeps what it is sent, answers when told to, each submission by its own text."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        self.is_stopped = False

    def send(self, message: list[bytes]) -> None:
        assert len(encode_frame(message)) < MAX_FRAME_SIZE
        self.sent.append(message)

    async def receive(self) -> Any:
        answer = await self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answer(self) -> int:
        """The oldest message. Returns how many submissions it had."""
        message = self.sent.pop(0)
        self._answers.put_nowait([["echo", params.decode(), {}] for params in message])
        return len(message)

    def end(self) -> None:
        self._answers.put_nowait(ChannelClosed("a worker has ended"))

    async def stop(self) -> None:
        self.is_stopped = True


@contextlib.asynccontextmanager
async def open_pool(*workers: FakeWorker) -> AsyncIterator[VerifierPool]:
    pool = VerifierPool(list(workers))  # type: ignore[arg-type]
    task = asyncio.create_task(pool.run())
    try:
        yield pool
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def ask(pool: VerifierPool, *texts: str) -> "asyncio.Task[Any]":
    return asyncio.create_task(pool.verify([text.encode() for text in texts]))


def echo(*texts: str) -> list[Refused]:
    return [Refused("echo", text, {}) for text in texts]


async def answer_all(*workers: FakeWorker) -> None:
    while any(worker.sent for worker in workers):
        for worker in workers:
            if worker.sent:
                worker.answer()
        await settle()


# --- dispatch


async def test_nothing_asked_is_answered_at_once() -> None:
    async with open_pool(FakeWorker()) as pool:
        assert await soon(pool.verify([])) == []


async def test_a_single_submission_leaves_at_once() -> None:
    worker = FakeWorker()
    async with open_pool(worker) as pool:
        asked = ask(pool, "a")
        await settle()
        assert worker.sent == [[b"a"]] and pool.count == 1
        worker.answer()
        assert await soon(asked) == echo("a")
        assert pool.count == 0


async def test_a_batch_is_spread_over_all_verifiers_and_comes_back_in_order() -> None:
    workers = [FakeWorker(), FakeWorker(), FakeWorker()]
    texts = [str(number) for number in range(64 * 5 + 7)]
    async with open_pool(*workers) as pool:
        asked = ask(pool, *texts)
        await settle()
        assert [[len(message) for message in worker.sent] for worker in workers] == [[64, 64], [64, 64], [64, 7]]
        for worker in reversed(workers):  # the last ones first
            await answer_all(worker)
        assert await soon(asked) == echo(*texts)


async def test_a_verifier_has_two_messages_at_most_and_the_rest_goes_to_whoever_is_free() -> None:
    workers = [FakeWorker(), FakeWorker()]
    async with open_pool(*workers) as pool:
        asked = ask(pool, *[str(number) for number in range(64 * 7)])
        await settle()
        assert [len(worker.sent) for worker in workers] == [2, 2]
        workers[1].answer()
        await settle()
        assert [len(worker.sent) for worker in workers] == [2, 2]
        workers[1].answer()
        workers[1].answer()
        await settle()
        assert [len(worker.sent) for worker in workers] == [2, 2]
        await answer_all(*workers)
        assert len(await soon(asked)) == 64 * 7


async def test_single_requests_travel_together_while_the_verifiers_are_busy() -> None:
    worker = FakeWorker()
    async with open_pool(worker) as pool:
        busy = []
        for name in ("busy 1", "busy 2"):  # in two turns of the loop, so in two messages
            busy.append(ask(pool, name))
            await settle()
        singles = [ask(pool, str(number)) for number in range(70)]
        large = ask(pool, *[f"large {number}" for number in range(60)])
        await settle()
        assert [len(message) for message in worker.sent] == [1, 1]
        worker.answer()
        await settle()
        assert [len(message) for message in worker.sent] == [1, 64], "a full message, and not one more"
        worker.answer()
        await settle()
        assert [len(message) for message in worker.sent] == [64, 6], "a request of several chunks is not torn"
        await answer_all(worker)
        for number, single in enumerate(singles):
            assert await soon(single) == echo(str(number))
        assert await soon(large) == echo(*[f"large {number}" for number in range(60)])
        await soon(asyncio.gather(*busy))


async def test_requests_of_one_turn_of_the_loop_travel_together() -> None:
    worker = FakeWorker()
    async with open_pool(worker) as pool:
        tasks = [ask(pool, str(number)) for number in range(5)]
        await settle()
        assert [len(message) for message in worker.sent] == [5]
        await answer_all(worker)
        for number, task in enumerate(tasks):
            assert await soon(task) == echo(str(number))


async def test_an_asker_who_goes_leaves_the_others_their_own_verdicts() -> None:
    worker = FakeWorker()
    async with open_pool(worker) as pool:
        tasks = [ask(pool, "a", "b"), ask(pool, "c"), ask(pool, "d"), ask(pool, "e")]
        await settle()
        tasks[0].cancel()
        tasks[2].cancel()
        await settle()
        await answer_all(worker)
        assert await soon(tasks[1]) == echo("c")
        assert await soon(tasks[3]) == echo("e")
        assert pool.count == 0


async def test_what_no_payment_takes_is_refused_here_in_its_place() -> None:
    """Without the bound, a few large bodies would make a message that no verifier reads: it would end, and the node."""
    worker = FakeWorker()
    async with open_pool(worker) as pool:
        oversized = b"x" * (MAX_SUBMISSION_SIZE + 1)
        asked = asyncio.create_task(pool.verify([oversized, b"a", oversized, b"y" * MAX_SUBMISSION_SIZE]))
        await settle()
        assert [[len(params) for params in message] for message in worker.sent] == [[1, MAX_SUBMISSION_SIZE]]
        worker.answer()
        first, second, third, fourth = await soon(asked)
        assert (first.code, first.values["problem"]) == ("malformed_payment", first.message)
        assert (second.message, third, len(fourth.message)) == ("a", first, MAX_SUBMISSION_SIZE)
        (alone,) = await soon(pool.verify([oversized]))
        assert alone == first


async def test_without_a_verifier_there_is_no_going_on() -> None:
    workers = [FakeWorker(), FakeWorker()]
    pool = VerifierPool(workers)  # type: ignore[arg-type]
    task = asyncio.create_task(pool.run())
    await settle()
    workers[1].end()
    with pytest.raises(ExceptionGroup) as raised:
        await soon(task)
    assert raised.group_contains(ChannelClosed)


async def test_stopping_stops_every_verifier() -> None:
    workers = [FakeWorker(), FakeWorker()]
    await VerifierPool(workers).stop()  # type: ignore[arg-type]
    assert all(worker.is_stopped for worker in workers)


# --- verdicts


def submit(**changes: Any) -> bytes:
    """The JSON text of a good submission, but for what is given."""
    signed = sign(make_payment())
    form: dict[str, Any] = {**wire.encode_payment(signed.payment), **changes}
    return msgspec.json.encode([form, wire.encode_bytes(signed.signature)])


def test_a_good_submission_becomes_the_record_of_a_block() -> None:
    signed = sign(make_payment((BOB, 2**128 - 1), memo="für dich", valid_until=7))
    params = msgspec.json.encode([wire.encode_payment(signed.payment), wire.encode_bytes(signed.signature)])
    record, json = verify_submission(params, DOMAIN)
    header = Header(1, bytes(32), 1, bytes(32), 1)
    assert decode_block(encode_block(header, [record])) == Block(header, (signed,))
    assert wire.decode_payment(json) == signed.payment


def test_the_longest_payment_fits_its_bound() -> None:
    signed = sign(make_payment(*[(BOB, 2**124 - number) for number in range(16)], memo="\x01" * MAX_MEMO_SIZE))
    form = wire.encode_payment(signed.payment)
    form["outputs"] = [{**output, "amount": str(int(output["amount"], 16))} for output in form["outputs"]]
    params = msgspec.json.format(msgspec.json.encode([form, wire.encode_bytes(signed.signature)]), indent=8)
    assert len(params) < MAX_SUBMISSION_SIZE / 2
    assert len(verify_submission(params, DOMAIN)) == 2


MALFORMED = {
    "nothing": b"",
    "no JSON": b"[",
    "null": b"null",
    "an object": b"{}",
    "an empty list": b"[]",
    "a payment without signature": b"[{}]",
    "three parameters": submit()[:-1] + b",1]",
    "an unknown field": submit(fee="0x1"),
    "a missing field": submit().replace(b'"memo":"",', b""),
    "nonce is a float": submit(nonce=1.0),
    "nonce is true": submit(nonce=True),
    "nonce is negative": submit(nonce=-1),
    "nonce is beyond 2^53 as a number": submit(nonce=2**53),
    "nonce is beyond u64": submit(nonce=str(2**64)),
    "nonce has a sign": submit(nonce="+1"),
    "nonce has an underscore": submit(nonce="1_0"),
    "nonce has a space": submit(nonce=" 1"),
    "nonce in other digits": submit(nonce="١"),
    "amount is beyond u256": submit(outputs=[{"to": wire.encode_address(BOB), "amount": str(2**256)}]),
    "an address too short": submit(asset="0x" + "7e" * 19),
    "an address without 0x": submit(asset="7e" * 20),
    "a reference of 31 bytes": submit(reference="0x" + "00" * 31),
    "outputs are an object": submit(outputs={}),
    "memo is a number": submit(memo=1),
    "memo is not UTF-8": submit().replace(b'"memo":""', b'"memo":"\xff"'),
    "memo is a lone surrogate": submit().replace(b'"memo":""', b'"memo":"\\ud800"'),
    "memo is an encoded surrogate": submit().replace(b'"memo":""', b'"memo":"\xed\xa0\x80"'),
    "a field name is not UTF-8": submit().replace(b'"memo"', b'"\xff"'),
    "a number of 5,000 digits": submit().replace(b'"nonce":"0x0"', b'"nonce":' + b"9" * 5000),
    "lists in lists": b"[" * 10_000,
    "objects in objects": b'[{"asset":' * 5_000,
    "a signature of 64 bytes": msgspec.json.encode([wire.encode_payment(make_payment()), "0x" + "11" * 64]),
    "a signature of 66 bytes": msgspec.json.encode([wire.encode_payment(make_payment()), "0x" + "11" * 66]),
}


@pytest.mark.parametrize("params", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_submission_is_refused_by_name(params: bytes) -> None:
    code, message, values = verify_submission(params, DOMAIN)
    assert code == "malformed_payment"
    assert values == {"problem": message}


OTHER_DEPLOYMENT = msgspec.structs.replace(PARAMETERS, settlement=BOB).domain


@pytest.mark.parametrize(
    "signed, code",
    [
        (sign(make_payment(), BOB_KEY), "invalid_signature"),
        (sign(make_payment((BOB, 0))), "zero_amount"),
        (sign(make_payment(*[(BOB, 1)] * 17)), "too_many_outputs"),
        (sign(make_payment((bytes(20), 1))), "zero_address"),
        (sign(make_payment(memo="é" * 129)), "memo_too_long"),
        (sign(make_payment((BOB, 2**127), (CAROL, 2**127))), "amount_too_large"),
    ],
)
def test_what_is_wrong_without_the_state_is_refused_here(signed: Any, code: str) -> None:
    params = msgspec.json.encode([wire.encode_payment(signed.payment), wire.encode_bytes(signed.signature)])
    assert verify_submission(params, DOMAIN)[0] == code


def test_a_payment_signed_for_another_deployment_is_not_signed_for_this() -> None:
    params = submit()
    assert len(verify_submission(params, DOMAIN)) == 2
    assert verify_submission(params, OTHER_DEPLOYMENT)[0] == "invalid_signature"


def test_an_unknown_kind_is_refused_before_its_signature() -> None:
    code, _, values = verify_submission(submit(kind="gift"), DOMAIN)
    assert (code, values) == ("unknown_kind", {"kind": "gift"})


def test_a_refusal_carries_its_values_in_the_forms_of_the_interface() -> None:
    signed = sign(make_payment((BOB, 2**128 - 1), (BOB, 1)))
    params = msgspec.json.encode([wire.encode_payment(signed.payment), wire.encode_bytes(signed.signature)])
    assert verify_submission(params, DOMAIN) == (
        "amount_too_large",
        f"amount {2**128} is above {2**128 - 1}",
        {"amount": hex(2**128), "limit": hex(2**128 - 1)},
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(verify_submission(params, DOMAIN)))[0] == "amount_too_large"


# --- instructions

EVERY_TYPE = [exchange.make_instruction(name) for name in MEMBERS]


def instruct(instruction: Instruction | None = None, **changes: Any) -> bytes:
    """The submission of an instruction, a listing unless another is given, its form changed."""
    signed = exchange.sign(exchange.list_file() if instruction is None else instruction)
    assert isinstance(signed, SignedInstruction)
    form = {**wire.encode_instruction(signed.instruction), **changes}
    return INSTRUCTION_MARK + msgspec.json.encode([form, wire.encode_bytes(signed.signature)])


@pytest.mark.parametrize("instruction", EVERY_TYPE, ids=MEMBERS)
def test_a_good_instruction_becomes_the_record_of_a_block(instruction: Instruction) -> None:
    signed = exchange.sign(instruction)
    result = verify_submission(instruct(instruction), DOMAIN)
    verdict = read_result(result)
    assert isinstance(verdict, Verified)
    assert (verdict.signed, verdict.record) == (signed, encode_record(signed))
    assert wire.decode_instruction(msgspec.json.decode(verdict.json)) == instruction
    header = Header(1, bytes(32), 1, bytes(32), 1)
    assert decode_block(encode_block(header, [verdict.record])) == Block(header, (signed,))


def test_the_longest_instruction_fits_its_bound() -> None:
    listing = exchange.list_file(
        price=2**128 - 1,
        size=2**64 - 1,
        storage_days=36_500,
        name="\x01" * MAX_NAME_SIZE,
        media_type="\x01" * MAX_MEDIA_TYPE_SIZE,
        tags=tuple([chr(number) * MAX_TAG_SIZE for number in range(1, MAX_TAGS + 1)]),
        description="\x01" * MAX_DESCRIPTION_SIZE,
    )
    signed = exchange.sign(listing)
    form = [wire.encode_instruction(listing), wire.encode_bytes(signed.signature)]
    params = INSTRUCTION_MARK + msgspec.json.format(msgspec.json.encode(form), indent=8)
    assert len(params) < MAX_SUBMISSION_SIZE
    assert len(verify_submission(params, DOMAIN)) == 2


@pytest.mark.parametrize(
    "params",
    [
        b"",
        b"[",
        b"null",
        b"{}",
        b"[]",
        b"[{}]",
        instruct()[1:-1] + b",1]",
        instruct(fee="0x1")[1:],
        instruct(type="Donate")[1:],
        instruct(type=["ListFile"])[1:],
        instruct(nonce=1.0)[1:],
        instruct(tags="rain")[1:],
        instruct(sealedKey="0x1")[1:],
        instruct(name="x")[1:].replace(b'"x"', b'"\xff"'),
        instruct(name="x")[1:].replace(b'"x"', b'"\\ud800"'),
        b"[" * 10_000,
        b'[{"type":' * 5_000,
        msgspec.json.encode([wire.encode_instruction(exchange.delist()), "0x" + "11" * 64]),
    ],
)
def test_what_is_no_instruction_is_refused_by_name(params: bytes) -> None:
    code, message, values = verify_submission(INSTRUCTION_MARK + params, DOMAIN)
    assert code == "malformed_instruction"
    assert values == {"problem": message}


def test_a_payment_is_no_instruction_and_an_instruction_no_payment() -> None:
    assert verify_submission(INSTRUCTION_MARK + submit(), DOMAIN)[0] == "malformed_instruction"
    assert verify_submission(instruct()[len(INSTRUCTION_MARK) :], DOMAIN)[0] == "malformed_payment"
    assert verify_submission(INSTRUCTION_MARK * 2 + instruct()[1:], DOMAIN)[0] == "malformed_instruction"


@pytest.mark.parametrize(
    "params, code",
    [
        (instruct(exchange.register(exchange.ALICE, "owner")), "unknown_role"),
        (instruct(exchange.register(exchange.ALICE, "king")), "unknown_role"),
        (instruct(exchange.register_owner(exchange.ALICE, bytes(20))), "zero_address"),
        (instruct(exchange.list_file(owner=bytes(20))), "zero_address"),
        (instruct(exchange.list_file(name="")), "malformed_instruction"),
        (instruct(exchange.list_file(storage_days=36_501)), "malformed_instruction"),
        (instruct(exchange.update_price(0)), "malformed_instruction"),
        (instruct(price="0x1"), "invalid_signature"),
        (instruct(account=wire.encode_address(BOB)), "invalid_signature"),
        (instruct(name="", price="0x1"), "malformed_instruction"),  # which comes before the signature
    ],
)
def test_what_is_wrong_with_an_instruction_without_the_state_is_refused_here(params: bytes, code: str) -> None:
    assert verify_submission(params, DOMAIN)[0] == code


@pytest.mark.parametrize("instruction", EVERY_TYPE, ids=MEMBERS)
def test_an_instruction_signed_for_another_deployment_is_not_signed_for_this(instruction: Instruction) -> None:
    assert verify_submission(instruct(instruction), OTHER_DEPLOYMENT)[0] == "invalid_signature"


async def test_an_oversized_instruction_is_named_as_one() -> None:
    worker = FakeWorker()
    async with open_pool(worker) as pool:
        refused = await soon(
            pool.verify([INSTRUCTION_MARK + b" " * MAX_SUBMISSION_SIZE, b" " * MAX_SUBMISSION_SIZE * 2])
        )
    assert [verdict.code for verdict in refused] == ["malformed_instruction", "malformed_payment"]
    assert worker.sent == []


async def test_nobody_is_left_waiting_when_a_verifier_ends() -> None:
    worker = FakeWorker()
    pool = VerifierPool([worker])  # type: ignore[list-item]
    running = asyncio.create_task(pool.run())
    asking = asyncio.create_task(pool.verify([b"[%d]" % number for number in range(500)]))  # in flight, and waiting
    await settle()
    worker.end()
    with pytest.raises(ExceptionGroup):
        await soon(running)
    with pytest.raises(Halted):
        await soon(asking)
    with pytest.raises(Halted):
        await soon(pool.verify([b"[1]"]))


async def test_a_verifier_that_is_known_to_have_ended_is_not_asked() -> None:
    worker = FakeWorker()
    worker.send = refuse_to_send  # type: ignore[method-assign]
    pool = VerifierPool([worker])  # type: ignore[list-item]
    with pytest.raises(Halted):
        await soon(pool.verify([b"[1]"] * 200))


def refuse_to_send(message: list[bytes]) -> None:
    del message
    raise ChannelClosed("the verifier has ended")
