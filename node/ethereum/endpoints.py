"""Several endpoints that answer as one: what matters is believed when a quorum of them says the same.

Every member is checked by itself: its chain id and the contract's code before its answers count, and again after each
fault. One that is outvoted at a block that is settled, that lags, that fails or serves another chain is named as such,
asked last, and tried again after a while; one that comes back is used again by itself. A slow member delays a question
by a moment only: then the next one is asked.

With a quorum above half of the members, and more than half of them honest and in step, what is answered is an honest
member's answer, whatever the others do: two quorums share a member. Estimates and suggested fees are the exception:
honest members differ there, so the one in the middle is taken.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec
import structlog

from chain.primitives import Address
from node.ethereum.answers import (
    ESTIMATES,
    EXECUTING,
    GET_BLOCK,
    NULL,
    REFUSED,
    REVERTED,
    SEND,
    SENT,
    TAGS,
    describe_answer,
    find_block,
    read_answer,
)
from node.ethereum.endpoint import Endpoint, EndpointHealth
from node.ethereum.faults import EthereumFault, FinalityWentBack, RpcError, WrongDeployment
from node.ethereum.gateway import classify_send_refusal, decode_data, decode_quantity, find_revert
from node.ethereum.l1 import MAX_NUMBER, L1Block, SendOutcome
from node.metrics import L1_ENDPOINT_FAULTS

MAX_LAG: Final = 8
"""L1 blocks that a member may be behind the quorum's newest; and how deep a block lies before members must agree on it:
above that, honest ones may be on two sides of a reorganisation for a moment."""

_MAX_ERRORS: Final = 3
"""Error objects in a row that are an answer of no kind, before a member counts as failing: a rate limit, say."""
_MAX_STEPS_BACK: Final = 3
"""Blocks below the newest that are tried when the members disagree there."""
_RETRY_MS: Final = 1_000
_MAX_RETRY_MS: Final = 60_000
"""How long a member rests after a failure: doubled by each one more that follows within two minutes."""
_CONTRADICTING_MS: Final = 60_000
_MAX_CONTRADICTING_MS: Final = 960_000
"""And after it was outvoted, doubled each time."""
_MAX_DETAIL: Final = 300

_log = structlog.get_logger("node.ethereum.endpoints")


class EndpointState(StrEnum):
    UNTRIED = "untried"
    OK = "ok"

    # What follows needs somebody's eyes.
    LAGGING = "lagging"
    """Its newest block is far behind the quorum's."""
    FAILING = "failing"
    """No answers, or none that can be read, or errors only."""
    CONTRADICTING = "contradicting"
    """It was outvoted about a block that all have."""
    WRONG_CHAIN = "wrong_chain"
    NO_CONTRACT = "no_contract"


ORDINARY: Final = frozenset((EndpointState.UNTRIED, EndpointState.OK))
"""Everything else is an alarm."""

_RANKS: Final = {state: rank for rank, state in enumerate(EndpointState)} | {EndpointState.UNTRIED: 1}
"""Who is asked first: the lowest."""
_GOOD: Final = frozenset((EndpointState.UNTRIED, EndpointState.OK, EndpointState.LAGGING))
_WRONG: Final = frozenset((EndpointState.WRONG_CHAIN, EndpointState.NO_CONTRACT))


class Member(Protocol):
    """One endpoint, as `Endpoint` is."""

    @property
    def name(self) -> str:
        """Fit for logs: no secrets of the URL."""

    @property
    def health(self) -> EndpointHealth: ...

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        """Raises `RpcError` for an error object, `EthereumFault` for everything else that fails."""

    async def close(self) -> None: ...


class EndpointReport(msgspec.Struct, frozen=True):
    name: str
    state: EndpointState
    since: int
    """Milliseconds since 1970."""
    detail: str
    """For the operator alone: an endpoint may say anything."""
    l1_block: int | None
    """The newest that it has shown."""
    health: EndpointHealth

    @property
    def is_ok(self) -> bool:
        return self.state in ORDINARY


class _Member:
    def __init__(self, endpoint: Member, name: str, now: int) -> None:
        self.endpoint = endpoint
        self.name = name
        self.state = EndpointState.UNTRIED
        self.since = now
        self.detail = ""
        self.l1_block: int | None = None
        self.is_confirmed = False
        self.confirming = asyncio.Lock()
        self.is_probing = False
        self.is_slow = False
        """Its last answer took longer than the others' patience."""
        self.tried_at = now
        """When it last failed; it rests from then."""
        self.failures = 0
        self.contradictions = 0
        self.errors_in_row = 0
        self.dispute: tuple[_Question, int] | None = None
        """What it was outvoted on, about a block that was not settled: asked again once that is."""

    @property
    def rest_ms(self) -> int:
        if self.state is EndpointState.CONTRADICTING:
            return min(_CONTRADICTING_MS << min(self.contradictions - 1, 16), _MAX_CONTRADICTING_MS)
        return min(_RETRY_MS << min(max(0, self.failures - 1), 16), _MAX_RETRY_MS)


class _Vote(msgspec.Struct, frozen=True):
    member: _Member
    key: Hashable | None = None
    """What is compared; None if it is no answer."""
    form: Any = None
    problem: EthereumFault | WrongDeployment | None = None
    """What was raised: also by a contract's no, which is an answer."""

    @property
    def complaint(self) -> str:
        problem = str(self.problem)[:_MAX_DETAIL]
        return problem if self.member.name in problem else f"{self.member.name}: {problem}"


class _Question:
    def __init__(self, method: str, params: Sequence[Any]) -> None:
        self.method = method
        self.params = params
        self.votes: list[_Vote] = []
        self.winner: Hashable | None = None

    @property
    def answers(self) -> list[_Vote]:
        return [vote for vote in self.votes if vote.key is not None]

    def count(self) -> tuple[Hashable | None, int]:
        """The answer that most give, and how many do."""
        counts = Counter([vote.key for vote in self.answers])
        return counts.most_common(1)[0] if counts else (None, 0)


class Endpoints:
    """A `Transport` over its members, in the order of preference. Belongs to one event loop.

    Every method raises `EthereumFault` when there is no quorum, and `WrongDeployment` when that is so because members
    serve another chain or have no contract: while none has ever been seen to be right, or if those that are left could
    not make a quorum. `RpcError` is raised as an endpoint's answer: a contract's no, what is said to a transaction, or
    an error object where answers are lacking.
    """

    def __init__(
        self,
        endpoints: Sequence[Member],
        l1_chain_id: int,
        settlement: Address,
        quorum: int | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        *,
        hedge_ms: int = 1_000,
        timeout_ms: int = 25_000,
        max_lag: int = MAX_LAG,
    ) -> None:
        """`quorum`: equal answers that are needed; None: more than half. `clock`: milliseconds since 1970. `hedge_ms`:
        how long a member is waited for before the next one is asked, too. `timeout_ms`: how long at most; an endpoint's
        own bound on one request is below it. Raises ValueError for a quorum out of range."""
        self.quorum = len(endpoints) // 2 + 1 if quorum is None else quorum
        if not 1 <= self.quorum <= len(endpoints):
            raise ValueError(f"a quorum of {self.quorum} of {len(endpoints)} endpoints")
        self._l1_chain_id = l1_chain_id
        self._settlement = "0x" + settlement.hex()
        self._clock = clock
        self._hedge_s = hedge_ms / 1000
        self._timeout_s = timeout_ms / 1000
        self._max_lag = max_lag
        now = clock()
        names = _make_names([endpoint.name for endpoint in endpoints])
        self._members = [_Member(endpoint, name, now) for endpoint, name in zip(endpoints, names, strict=True)]
        self._tasks: set[asyncio.Task[None]] = set()
        self._bug: BaseException | None = None
        self._was_confirmed = False
        self._height: int | None = None
        """Number of the newest block that a quorum has reached."""
        self._final_height = 0
        """Of the blocks given out as finalized, the highest number."""

    def report(self) -> tuple[EndpointReport, ...]:
        return tuple(
            [
                EndpointReport(
                    member.name, member.state, member.since, member.detail, member.l1_block, member.endpoint.health
                )
                for member in self._members
            ]
        )

    @property
    def has_quorum(self) -> bool:
        """Whether as many members as must agree are well, as far as is known. One that lags may be asked, too, but can
        not say what is new."""
        return sum([member.state in ORDINARY for member in self._members]) >= self.quorum

    async def close(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for member in self._members:
            await member.endpoint.close()

    async def verify(self) -> None:
        """Returns when a quorum serves the chain and has the contract; all that answer are looked at.

        Raises `WrongDeployment` for, in this order: another chain id, no code at the contract's address.
        """
        if sum([member.is_confirmed for member in self._members]) < self.quorum:
            await self._agree("eth_chainId", [], is_for_all=True)

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        if method == "eth_blockNumber":
            return (await self._get_tagged_block("latest"))["number"]
        if method == GET_BLOCK and params[0] in TAGS:
            return await self._get_tagged_block(params[0])
        if method == SEND:
            return await self._send(params)
        if method in ESTIMATES:
            return await self._estimate(method, params)
        return await self._agree(method, params)

    # ------------------------------------------------------------------------------------------------ kinds of question

    async def _agree(self, method: str, params: Sequence[Any], *, is_for_all: bool = False) -> Any:
        """What a quorum answers."""
        question = _Question(method, params)
        await self._put(question, lambda: self.quorum - question.count()[1], is_for_all)
        winner, count = question.count()
        if count < self.quorum:
            raise self._explain(question)
        self._close_vote(question, winner)
        if winner == REVERTED:
            raise _find_common_revert(question)
        return next(vote.form for vote in question.votes if vote.key == winner)

    async def _get_tagged_block(self, tag: str) -> Any:
        """The highest block that a quorum has reached and agrees on. A few below are tried, too: at the head, a
        reorganisation may be under way."""
        question = _Question(GET_BLOCK, [tag, False])

        def count_missing() -> int:
            nulls = sum([vote.key == NULL for vote in question.votes])
            return self.quorum - max(nulls, len(question.answers) - nulls)

        await self._put(question, count_missing, is_for_all=True)
        heights = sorted([vote.key.number for vote in question.votes if isinstance(vote.key, L1Block)], reverse=True)
        if len(heights) < self.quorum:
            if question.count() == (NULL, len(question.answers)) and len(question.answers) >= self.quorum:
                return None
            raise self._explain(question)
        if tag == "latest":
            self._take_height(heights[self.quorum - 1], are_all=len(heights) == len(self._members))
        form = self._find_common_block(question, heights[self.quorum - 1])
        if form is None:
            form = await self._search_common_block(heights[self.quorum - 1 :])
        if tag == "finalized":
            number = decode_quantity(form["number"])
            if number < self._final_height:
                return await self._keep_final(number)
            self._final_height = number
        return form

    async def _keep_final(self, offered: int) -> Any:
        """Members call a block final at different moments. What a quorum once did stays so while a quorum has it."""
        form = await self._agree(GET_BLOCK, [hex(self._final_height), False])
        if form is None:
            raise FinalityWentBack(
                f"block {self._final_height} was final, now block {offered} is, and there is no block "
                f"{self._final_height}"
            )
        return form

    def _find_common_block(self, question: _Question, height: int) -> Any:
        """What a quorum has answered already; None if there is no such block."""
        answers = [vote for vote in question.votes if isinstance(vote.key, L1Block) and vote.key.number == height]
        counts = Counter([vote.key for vote in answers])
        for vote in answers:
            if counts[vote.key] >= self.quorum:
                self._close_vote(_with_votes(GET_BLOCK, [hex(height), False], answers), vote.key)
                return vote.form
        return None

    async def _search_common_block(self, heights: list[int]) -> Any:
        lowest = heights[-1]
        steps = range(lowest - 1, max(-1, lowest - 1 - _MAX_STEPS_BACK), -1)
        fault = EthereumFault(f"no quorum: {self.quorum} of {len(self._members)} endpoints have no block in common")
        for height in dict.fromkeys([*heights, *steps]):
            try:
                form = await self._agree(GET_BLOCK, [hex(height), False])
            except EthereumFault as error:
                fault = error
                continue
            if form is not None:
                return form
        raise fault

    async def _estimate(self, method: str, params: Sequence[Any]) -> str:
        """The value in the middle: of two, the lower price, but the more gas, since a transaction that runs out of it
        is paid for in vain."""
        question = _Question(method, params)

        def get_values() -> list[int]:
            return sorted([vote.key for vote in question.votes if isinstance(vote.key, int)])

        def count_reverts() -> int:
            return sum([vote.key == REVERTED for vote in question.votes])

        await self._put(question, lambda: int(not get_values() and count_reverts() < self.quorum), is_for_all=True)
        if count_reverts() >= self.quorum:
            raise _find_common_revert(question)
        values = get_values()
        if not values:
            raise self._explain(question)
        return hex(values[len(values) // 2 if method == "eth_estimateGas" else (len(values) - 1) // 2])

    async def _send(self, params: Sequence[Any]) -> Any:
        """To all. Accepted if one accepts; otherwise raises the `RpcError` with what most say to it."""
        question = _Question(SEND, params)
        await self._put(question, lambda: int(all(vote.key != SENT for vote in question.votes)), is_for_all=True)
        for vote in question.votes:
            if vote.key == SENT:
                return vote.form
        refusals = [vote.problem for vote in question.votes if isinstance(vote.problem, RpcError)]
        if not refusals:
            raise self._explain(question)
        outcomes = [classify_send_refusal(refusal.message) for refusal in refusals]
        if SendOutcome.ALREADY_KNOWN in outcomes:
            raise refusals[outcomes.index(SendOutcome.ALREADY_KNOWN)]
        raise refusals[outcomes.index(Counter(outcomes).most_common(1)[0][0])]

    # -------------------------------------------------------------------------------------------------- asking members

    async def _put(self, question: _Question, count_missing: Callable[[], int], is_for_all: bool) -> None:
        """Asks members until no vote is missing, or all have been asked. `is_for_all`: those in good standing are asked
        at once, and waited for as long as they are not slow. What comes later is heard, too."""
        waiting = deque(sorted(self._members, key=lambda member: (_RANKS[member.state], member.is_slow)))
        running: dict[asyncio.Task[None], _Member] = {}

        def ask_next() -> None:
            member = waiting.popleft()
            running[self._start(self._ask(member, question))] = member

        while is_for_all and waiting and waiting[0].state in _GOOD:
            ask_next()
        while True:
            while waiting and len(running) < count_missing():
                ask_next()
            self._probe_due(waiting)
            is_waiting = is_for_all and any(not member.is_slow for member in running.values())
            if not running or (count_missing() <= 0 and not is_waiting):
                return
            done, _ = await asyncio.wait(running, timeout=self._hedge_s, return_when=asyncio.FIRST_COMPLETED)
            if self._bug is not None:
                raise self._bug
            for task in done:
                del running[task]
            if not done:
                for member in running.values():
                    member.is_slow = True
                if waiting:
                    ask_next()

    async def _ask(self, member: _Member, question: _Question) -> None:
        """Adds its vote. Members' faults are votes, too."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        method = question.method
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._confirm(member)
                form = await member.endpoint.call(method, question.params)
            vote = _Vote(member, read_answer(method, question.params, form), form)
        except RpcError as error:
            is_no = method in EXECUTING and find_revert(error) is not None
            vote = _Vote(member, REVERTED if is_no else REFUSED if method == SEND else None, problem=error)
        except (EthereumFault, WrongDeployment) as problem:
            vote = _Vote(member, problem=problem)
        except TimeoutError:
            vote = _Vote(member, problem=EthereumFault(f"{method}: {member.name}: no answer in {self._timeout_s} s"))
        member.is_slow = loop.time() - asked_at > self._hedge_s
        self._judge(vote, question)
        question.votes.append(vote)
        if question.winner is not None:
            self._compare(question, vote)

    async def _confirm(self, member: _Member) -> None:
        async with member.confirming:
            if member.is_confirmed:
                return
            try:
                chain_id = decode_quantity(await member.endpoint.call("eth_chainId", []))
                if chain_id != self._l1_chain_id:
                    raise WrongDeployment(
                        "wrong_chain", f"{member.name} serves chain {chain_id}, not {self._l1_chain_id}"
                    )
                code = decode_data(await member.endpoint.call("eth_getCode", [self._settlement, "latest"]))
            except RpcError as error:  # what is said to this question is no answer to the next
                raise EthereumFault(str(error)) from error
            if not code:
                raise WrongDeployment("no_contract", f"{member.name}: there is no contract at {self._settlement}")
            member.is_confirmed = self._was_confirmed = True
            if member.state in _WRONG:
                self._enter(member, EndpointState.OK)

    def _probe_due(self, unasked: Iterable[_Member]) -> None:
        """Those that have rested are tried, beside what goes on."""
        now = self._clock()
        for member in unasked:
            if member.state in _GOOD or member.is_probing or 0 <= now - member.tried_at < member.rest_ms:
                continue
            member.is_probing = True
            self._start(self._probe(member))

    async def _probe(self, member: _Member) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._confirm(member)
                member.l1_block = decode_quantity(await member.endpoint.call("eth_blockNumber", []), MAX_NUMBER)
        except (EthereumFault, WrongDeployment) as problem:
            self._fail(member, problem)
        except TimeoutError:
            self._fail(member, EthereumFault(f"{member.name}: no answer in {self._timeout_s} s"))
        else:
            member.errors_in_row = 0
            self._enter(member, EndpointState.OK)
            self._take_lag(member)
        finally:
            member.is_probing = False

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._bug = task.exception()

    # ------------------------------------------------------------------------------------------------ judging members

    def _judge(self, vote: _Vote, question: _Question) -> None:
        """What its answer, or the lack of one, says about a member by itself."""
        member = vote.member
        if vote.key is not None:
            member.errors_in_row = 0
            if isinstance(vote.key, L1Block) and question.params[0] == "latest":
                member.l1_block = vote.key.number
            if member.state in (EndpointState.UNTRIED, EndpointState.FAILING):
                self._enter(member, EndpointState.OK)
                self._take_lag(member)
        elif not isinstance(vote.problem, RpcError):
            assert vote.problem is not None
            self._fail(member, vote.problem)
        else:
            if question.method == "eth_getLogs":
                return  # how wide a range may be is each endpoint's own; who asks narrows it
            block = find_block(question.method, question.params)
            if block is not None and member.l1_block is not None and block > member.l1_block:
                return  # "header not found": it lags, and that is known
            member.errors_in_row += 1
            if member.errors_in_row >= _MAX_ERRORS:
                self._fail(member, vote.problem)

    def _fail(self, member: _Member, problem: EthereumFault | WrongDeployment) -> None:
        member.is_confirmed = False
        L1_ENDPOINT_FAULTS.labels(member.name).inc()
        now = self._clock()
        rested_ms = now - member.tried_at
        if member.state in _GOOD or not 0 <= rested_ms < member.rest_ms:  # questions put side by side fail together
            member.failures = 1 + (member.failures if 0 <= rested_ms <= 2 * _MAX_RETRY_MS else 0)
            member.tried_at = now
        if isinstance(problem, WrongDeployment):
            self._enter(member, EndpointState(problem.code), str(problem))
        elif member.state is not EndpointState.CONTRADICTING:
            self._enter(member, EndpointState.FAILING, str(problem))

    def _close_vote(self, question: _Question, winner: Hashable) -> None:
        question.winner = winner
        for vote in question.votes:
            self._compare(question, vote)

    def _compare(self, question: _Question, vote: _Vote) -> None:
        """What a vote that differs from the quorum's says about its member."""
        member = vote.member
        if vote.key is None or vote.key == question.winner or member.state not in _GOOD:
            return
        block = find_block(question.method, question.params, (vote.key, question.winner))
        if block is None:
            return
        if not self._is_settled(member, block):
            if member.dispute is None:
                member.dispute = (question, block)
            return
        L1_ENDPOINT_FAULTS.labels(member.name).inc()
        member.is_confirmed = False
        member.tried_at = self._clock()
        member.contradictions += 1
        self._enter(
            member,
            EndpointState.CONTRADICTING,
            f"{question.method} at block {block}: it says {describe_answer(vote.key)}, "
            f"the quorum {describe_answer(question.winner)}",
        )

    def _is_settled(self, member: _Member, block: int) -> bool:
        """Whether both have left the block so far behind that they must agree on it."""
        if self._height is None or member.l1_block is None:
            return False
        return min(self._height, member.l1_block) >= block + self._max_lag

    def _take_height(self, height: int, *, are_all: bool) -> None:
        """Lower than before it counts only if all have answered: while one that is up to date is away, those that lag
        do not catch up by that."""
        if are_all or self._height is None or height > self._height:
            self._height = height
        for member in self._members:
            self._take_lag(member)
            if member.dispute is not None and self._is_settled(member, member.dispute[1]):
                question, member.dispute = member.dispute[0], None
                self._start(self._ask_again(question))

    def _take_lag(self, member: _Member) -> None:
        if member.state not in _GOOD or member.l1_block is None or self._height is None:
            return
        lag = self._height - member.l1_block
        if lag > self._max_lag:
            self._enter(member, EndpointState.LAGGING, f"its newest block is {member.l1_block}, {lag} behind")
        elif member.state is EndpointState.LAGGING:
            self._enter(member, EndpointState.OK)

    async def _ask_again(self, question: _Question) -> None:
        """What was in dispute at the head is settled now, one way or the other."""
        try:
            await self._agree(question.method, question.params, is_for_all=True)
        except (EthereumFault, WrongDeployment):
            return  # a contract's no; or no quorum, which says nothing about one member

    def _enter(self, member: _Member, state: EndpointState, detail: str = "") -> None:
        member.detail = detail[:_MAX_DETAIL]
        if state is member.state:
            return
        log = _log.info if state in ORDINARY else _log.error
        log("l1_endpoint_state", endpoint=member.name, state=str(state), detail=member.detail, before=str(member.state))
        member.state, member.since = state, self._clock()

    def _explain(self, question: _Question) -> Exception:
        """Why there is no quorum."""
        wrong = [vote.problem for vote in question.votes if isinstance(vote.problem, WrongDeployment)]
        if wrong and (not self._was_confirmed or len(self._members) - len(wrong) < self.quorum):
            return WrongDeployment(wrong[0].code, "; ".join([str(problem) for problem in wrong]))
        mute = [vote for vote in question.votes if vote.key is None]
        if len(self._members) == 1 and mute and mute[0].problem is not None:
            return mute[0].problem
        errors = [vote.problem for vote in mute if isinstance(vote.problem, RpcError)]
        if errors and question.count()[1] + len(errors) >= self.quorum:
            return errors[0]
        text = f"no quorum: {len(question.answers)} of {len(self._members)} endpoints answer {question.method}"
        text += f", {self.quorum} must agree"
        if mute:
            text += f" ({'; '.join([vote.complaint for vote in mute])})"
        return EthereumFault(text)


def _find_common_revert(question: _Question) -> RpcError:
    """All noes count as the same, since not every client says why; the reason is the one that most give."""
    noes = [vote.problem for vote in question.votes if vote.key == REVERTED and isinstance(vote.problem, RpcError)]
    reasons = [find_revert(no) for no in noes]
    given = [reason for reason in reasons if reason]
    return noes[reasons.index(Counter(given).most_common(1)[0][0])] if given else noes[0]


def _with_votes(method: str, params: Sequence[Any], votes: list[_Vote]) -> _Question:
    question = _Question(method, params)
    question.votes = votes
    return question


def _make_names(names: list[str]) -> list[str]:
    """Two keys of one provider are two members with one host."""
    counts = Counter(names)
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if counts[name] == 1 else f"{name}#{seen[name]}")
    return made


def open_endpoints(urls: Sequence[str], l1_chain_id: int, settlement: Address, quorum: int | None = None) -> Endpoints:
    """Raises ValueError for a URL that no endpoint has, and for a quorum out of range."""
    return Endpoints([Endpoint(url) for url in urls], l1_chain_id, settlement, quorum)
