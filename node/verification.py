"""The pool of verifiers: submissions go to whichever is least busy, verdicts come back in the order of the asking."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from chain.block import PAYMENT
from chain.instruction import SignedInstruction, decode_signed_instruction
from chain.params import Domain
from chain.payment import SignedPayment, decode_signed_payment
from node.framing import ChannelClosed
from node.process import WorkerProcess
from node.refusals import Halted
from node.workers.verifier import INSTRUCTION_MARK

_CHUNK_SIZE: Final = 64
"""Submissions in one message: few enough to spread a batch over all verifiers, many enough to pay for the trip."""

MAX_SUBMISSION_SIZE: Final = 16 << 10
"""Bytes of JSON. The longest payment takes less than 6,000, the longest instruction less than 10,000, with every
character of their texts escaped. The bound keeps a message to a verifier far below `node.framing.MAX_FRAME_SIZE`,
whatever is asked, and the work on one submission small."""

_MIN_SHARE: Final = 4
"""Submissions that are not worth a second message: they take a verifier a fifth of a millisecond."""

_MAX_IN_FLIGHT: Final = 2
"""Messages a verifier has at once: one in work, and the next at hand when it is done."""

_RECORD_HEAD: Final = 3
"""Bytes before the payment in an encoded record: type u8 ‖ size u16."""


class Verified(msgspec.Struct, frozen=True, gc=False):
    """A payment or instruction whose structure and signature are right, ready to be ordered."""

    signed: SignedPayment | SignedInstruction
    record: bytes
    """As it will stand in the journal."""
    json: bytes
    """The payment or instruction as receipts show it."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """A refusal as the interface words it."""

    code: str
    message: str
    values: dict[str, object]


Verdict: TypeAlias = Verified | Refused
_Job: TypeAlias = "tuple[list[bytes], asyncio.Future[list[Verdict]]]"


class VerifierPool:
    def __init__(self, workers: list[WorkerProcess]) -> None:
        self._workers = workers
        self._waiting: deque[_Job] = deque()
        self._in_flight: list[deque[list[_Job]]] = [deque() for _ in workers]
        self._count = 0
        self._has_ended = False
        self._is_dispatching = False

    @classmethod
    async def start(cls, count: int, domain: Domain) -> "VerifierPool":
        workers = await asyncio.gather(*[WorkerProcess.start("verifier") for _ in range(count)])
        for worker in workers:
            worker.send((domain.chain_id, domain.verifying_contract))
        return cls(list(workers))

    @property
    def count(self) -> int:
        """Submissions that have been asked about and not answered."""
        return self._count

    async def verify(self, submissions: Sequence[bytes]) -> list[Verdict]:
        """One verdict for each, in order. Each is the JSON text of `[payment, signature]`, or of
        `[instruction, signature]` after `INSTRUCTION_MARK`.

        Raises `Halted` when a verifier has ended, and the node with it.
        """
        if any(len(submission) > MAX_SUBMISSION_SIZE for submission in submissions):
            return await self._verify_all_but_oversized(submissions)
        loop = asyncio.get_running_loop()
        jobs = []
        for at in range(0, len(submissions), _CHUNK_SIZE):
            future: asyncio.Future[list[Verdict]] = loop.create_future()
            chunk = list(submissions[at : at + _CHUNK_SIZE])
            self._waiting.append((chunk, future))
            self._count += len(chunk)
            jobs.append(future)
        if self._has_ended:
            self._end()
        elif not self._is_dispatching:
            # Not at once: what other requests ask in this turn of the loop travels along.
            self._is_dispatching = True
            loop.call_soon(self._dispatch)
        if len(jobs) == 1:
            return await jobs[0]
        return [verdict for verdicts in await asyncio.gather(*jobs) for verdict in verdicts]

    async def run(self) -> None:
        """Receives verdicts until cancelled. Raises a group with `ChannelClosed` when a verifier ends: the node cannot
        go on."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(len(self._workers)):
                    group.create_task(self._receive(number))
        finally:
            self._end()

    async def stop(self) -> None:
        await asyncio.gather(*[worker.stop() for worker in self._workers])

    async def _verify_all_but_oversized(self, submissions: Sequence[bytes]) -> list[Verdict]:
        others = iter(await self.verify([each for each in submissions if len(each) <= MAX_SUBMISSION_SIZE]))
        return [
            next(others) if len(submission) <= MAX_SUBMISSION_SIZE else _refuse_oversized(submission)
            for submission in submissions
        ]

    def _dispatch(self) -> None:
        self._is_dispatching = False
        try:
            self._send_waiting()
        except ChannelClosed:
            self._end()  # `run` hears of it, too, and says so

    def _end(self) -> None:
        """Leaves nobody waiting: no verdicts come any more."""
        for job in [*self._waiting, *[job for jobs in self._in_flight for sent in jobs for job in sent]]:
            if not job[1].done():
                job[1].set_exception(Halted("a verifier has ended"))
        self._waiting.clear()
        self._has_ended = True

    def _send_waiting(self) -> None:
        share = self._compute_share()
        while self._waiting:
            number = min(range(len(self._workers)), key=lambda candidate: len(self._in_flight[candidate]))
            if len(self._in_flight[number]) >= _MAX_IN_FLIGHT:
                return
            jobs = [self._waiting.popleft()]
            size = len(jobs[0][0])
            # Single requests travel together: under load the trip costs more than the work of queueing.
            while self._waiting and size + len(self._waiting[0][0]) <= share:
                jobs.append(self._waiting.popleft())
                size += len(jobs[-1][0])
            self._in_flight[number].append(jobs)
            self._workers[number].send([params for job in jobs for params in job[0]])

    def _compute_share(self) -> int:
        """Submissions of single requests in one message: what waits is spread over the verifiers that have nothing to
        do, but not so thinly that the trips cost more than the work."""
        idle = sum([not jobs for jobs in self._in_flight])
        waiting = sum([len(submissions) for submissions, _ in self._waiting])
        return min(_CHUNK_SIZE, max(_MIN_SHARE, -(-waiting // max(1, idle))))

    async def _receive(self, number: int) -> None:
        worker, in_flight = self._workers[number], self._in_flight[number]
        while True:
            results = await worker.receive()
            jobs = in_flight.popleft()
            self._dispatch()
            at = 0
            for submissions, future in jobs:
                verdicts = [read_result(result) for result in results[at : at + len(submissions)]]
                at += len(submissions)
                self._count -= len(submissions)
                if not future.done():  # the asker may have gone
                    future.set_result(verdicts)


def read_result(result: Sequence[object]) -> Verdict:
    """The verdict from what `node.workers.verifier` answers."""
    if len(result) == 2:
        record, json = result
        assert isinstance(record, bytes) and isinstance(json, bytes)
        decode = decode_signed_payment if record[0] == PAYMENT else decode_signed_instruction
        return Verified(decode(record[_RECORD_HEAD:]), record, json)
    code, message, values = result
    assert isinstance(code, str) and isinstance(message, str) and isinstance(values, dict)
    return Refused(code, message, values)


def _refuse_oversized(submission: bytes) -> Refused:
    what = "instruction" if submission.startswith(INSTRUCTION_MARK) else "payment"
    problem = f"{len(submission)} bytes of JSON, no {what} takes more than {MAX_SUBMISSION_SIZE}"
    return Refused(f"malformed_{what}", problem, {"problem": problem})
