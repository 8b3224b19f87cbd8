"""Several endpoints that answer as one, over scripted members. The clock is the test's, and so is the loop's time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.hashing import keccak
from node.app import check_endpoints
from node.ethereum.endpoint import EndpointHealth
from node.ethereum.endpoints import Endpoints, EndpointState, open_endpoints
from node.ethereum.faults import EthereumFault, FinalityWentBack, RpcError, WrongDeployment
from node.metrics import L1_ENDPOINT_FAULTS
from tests.simulation.virtual_time import VirtualLoop

CHAIN_ID = 5
SETTLEMENT = b"\x5e" * 20
ACCOUNT = "0x" + "11" * 20
CALL = {"to": ACCOUNT, "data": "0x1234"}
TRANSACTION = "0x" + "7a" * 32
Lie = Callable[[str, Sequence[Any], Any], Any]


pytestmark = pytest.mark.filterwarnings('ignore:Overriding the "event_loop_policy" fixture')


class _Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> VirtualLoop:
        return VirtualLoop()


@pytest.fixture(scope="module")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    return _Policy()


def to_hex(data: bytes) -> str:
    return "0x" + data.hex()


class Chain:
    """What is true. A branch is named by a byte string: another one has other blocks from its first number on."""

    def __init__(self, height: int = 100) -> None:
        self.height = height
        self.final = height - 20
        self.forks: list[tuple[int, bytes]] = []
        self.mined_at: int | None = 90

    def hash(self, number: int) -> str:
        branch = b"".join([name for first, name in self.forks if first <= number])
        return to_hex(keccak(b"%d/" % number + branch))

    def block(self, number: int) -> dict[str, Any]:
        return {
            "number": hex(number),
            "hash": self.hash(number),
            "timestamp": hex(1_000 + number),
            "baseFeePerGas": "0x7",
        }


class Scripted:
    """A member that answers from a chain as it likes. `lie` may change every answer, or raise."""

    def __init__(self, name: str, chain: Chain) -> None:
        self.name = name
        self.chain = chain
        self.lag = 0
        self.lie: Lie = lambda method, params, answer: answer
        self.down = ""
        """Why it does not answer."""
        self.is_hanging = False
        self.chain_id = CHAIN_ID
        self.code = "0x60"
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.is_closed = False

    @property
    def health(self) -> EndpointHealth:
        return EndpointHealth(self.name, len(self.asked), 0, 0, 0, None, None, None, "", None, "")

    @property
    def height(self) -> int:
        return self.chain.height - self.lag

    async def close(self) -> None:
        self.is_closed = True

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        self.asked.append(method)
        if self.is_hanging:
            await self.go.wait()
        if self.down:
            raise EthereumFault(f"{method}: {self.name}: {self.down}")
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method == "eth_getCode":
            return self.code
        return self.lie(method, params, self._answer(method, params))

    def _answer(self, method: str, params: Sequence[Any]) -> Any:
        match method:
            case "eth_blockNumber":
                return hex(self.height)
            case "eth_getBlockByNumber":
                number = {"latest": self.height, "finalized": min(self.chain.final, self.height)}.get(params[0])
                number = int(params[0], 16) if number is None else number
                return self.chain.block(number) if number <= self.height else None
            case "eth_getBalance" | "eth_getTransactionCount" | "eth_call":
                number = int(params[1], 16)
                if number > self.height:
                    raise RpcError(method, -32000, "header not found")
                data = keccak(f"{method}{params[0]}{self.chain.hash(number)}".encode())
                return to_hex(data) if method == "eth_call" else hex(int.from_bytes(data[:4]))
            case "eth_getLogs":
                last = min(int(params[0]["toBlock"], 16), self.height)
                return [self._log(number) for number in range(int(params[0]["fromBlock"], 16), last + 1)]
            case "eth_getTransactionReceipt":
                mined_at = self.chain.mined_at
                return None if mined_at is None or mined_at > self.height else self._receipt(mined_at)
            case "eth_estimateGas" | "eth_gasPrice" | "eth_maxPriorityFeePerGas":
                return "0x64"
            case "eth_sendRawTransaction":
                return TRANSACTION
        raise AssertionError(method)

    def _log(self, number: int) -> dict[str, Any]:
        return {
            "address": to_hex(SETTLEMENT),
            "topics": [to_hex(keccak(b"topic"))],
            "data": hex(0x1000 + number),
            "blockNumber": hex(number),
            "blockHash": self.chain.hash(number),
            "transactionHash": to_hex(keccak(b"%d" % number)),
            "logIndex": "0x0",
            "removed": False,
        }

    def _receipt(self, number: int) -> dict[str, Any]:
        return {
            "transactionHash": TRANSACTION,
            "blockNumber": hex(number),
            "blockHash": self.chain.hash(number),
            "status": "0x1",
            "gasUsed": "0x5208",
            "effectiveGasPrice": "0x7",
            "contractAddress": None,
        }


class Stage:
    """`a`, `b`, `c`, … over one chain, and what answers for them."""

    def __init__(self, count: int, quorum: int | None = None) -> None:
        self.now_ms = 1_700_000_000_000
        self.chain = Chain()
        self.members = [Scripted(f"{chr(97 + number)}.example", self.chain) for number in range(count)]
        self.endpoints = Endpoints(self.members, CHAIN_ID, SETTLEMENT, quorum, lambda: self.now_ms)

    def __getitem__(self, number: int) -> Scripted:
        return self.members[number]

    @property
    def states(self) -> list[str]:
        return [str(report.state) for report in self.endpoints.report()]

    def detail(self, number: int) -> str:
        return self.endpoints.report()[number].detail

    async def ask(self, method: str, *params: Any) -> Any:
        return await self.endpoints.call(method, list(params))

    async def get_latest(self, tag: str = "latest") -> int:
        block = await self.ask("eth_getBlockByNumber", tag, False)
        assert block == self.chain.block(int(block["number"], 16)), "a block that is none of the chain's"
        return int(block["number"], 16)

    async def get_balance(self, at: int = 50) -> str:
        balance: str = await self.ask("eth_getBalance", ACCOUNT, hex(at))
        return balance

    async def rest(self, seconds: float = 61) -> None:
        """Time goes by, and the probes that are due are through with it."""
        self.now_ms += int(seconds * 1000)
        await self.get_latest()
        await self.settle()

    async def settle(self) -> None:
        """What goes on beside the questions has ended, if it can."""
        while self.endpoints._tasks:
            await asyncio.wait(self.endpoints._tasks, timeout=30)

    def has_truth(self, balance: str, at: int = 50) -> bool:
        return balance == Scripted("truth", self.chain)._answer("eth_getBalance", [ACCOUNT, hex(at)])


@pytest.fixture
async def open_stage() -> AsyncIterator[Callable[..., Stage]]:
    opened: list[Stage] = []

    def open_it(count: int, quorum: int | None = None) -> Stage:
        opened.append(Stage(count, quorum))
        return opened[-1]

    yield open_it
    for stage in opened:
        await stage.endpoints.close()


def lie_about(method: str, answer: Any) -> Lie:
    return lambda asked, params, truth: answer if asked == method else truth


def fail_with(problem: Exception) -> Lie:
    def fail(method: str, params: Sequence[Any], answer: Any) -> Any:
        raise problem

    return fail


# --- the quorum


@pytest.mark.parametrize(("count", "majority"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_the_quorum_is_a_majority_unless_it_is_said(count: int, majority: int) -> None:
    assert Stage(count).endpoints.quorum == majority
    assert Stage(count, 1).endpoints.quorum == 1


@pytest.mark.parametrize(("count", "quorum"), [(0, None), (1, 0), (1, 2), (3, 4), (3, -1)])
def test_a_quorum_out_of_range_is_refused(count: int, quorum: int | None) -> None:
    with pytest.raises(ValueError):
        Stage(count, quorum)


async def test_one_endpoint_is_a_list_of_one(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(1)
    assert await stage.get_latest() == 100
    assert stage[0].asked == ["eth_chainId", "eth_getCode", "eth_getBlockByNumber"]
    stage[0].down = "connection refused"
    with pytest.raises(EthereumFault) as caught:
        await stage.get_balance()
    assert str(caught.value) == "eth_getBalance: a.example: connection refused"
    assert stage.states == ["failing"]
    stage[0].down = ""
    stage[0].asked.clear()
    assert stage.has_truth(await stage.get_balance())
    assert stage[0].asked == ["eth_chainId", "eth_getCode", "eth_getBalance"], "checked again after a fault"
    assert stage.states == ["ok"]


async def test_as_many_are_asked_as_must_agree_and_all_for_the_newest_block(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    assert stage.has_truth(await stage.get_balance())
    assert [len(member.asked) for member in stage.members] == [3, 3, 0]
    assert await stage.get_latest() == 100
    assert [member.asked.count("eth_getBlockByNumber") for member in stage.members] == [1, 1, 1]


async def test_two_endpoints_one_down_is_no_quorum(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(2)
    await stage.get_latest()
    stage[1].down = "connection refused"
    for _ in range(2):
        with pytest.raises(EthereumFault, match=r"^no quorum: 1 of 2 endpoints answer eth_getBalance, 2 must agree \("):
            await stage.get_balance()
    with pytest.raises(EthereumFault, match="no quorum: 1 of 2 endpoints answer eth_getBlockByNumber"):
        await stage.get_latest()
    assert stage.states == ["ok", "failing"]
    stage[1].down = ""
    assert stage.has_truth(await stage.get_balance()), "it is asked again where there is no other"
    assert stage.states == ["ok", "ok"]


async def test_two_endpoints_that_disagree_are_no_quorum_and_none_is_blamed(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(2)
    await stage.get_latest()
    stage[1].lie = lie_about("eth_getBalance", "0x1")
    with pytest.raises(EthereumFault, match="no quorum: 2 of 2 endpoints answer eth_getBalance, 2 must agree"):
        await stage.get_balance()
    assert stage.states == ["ok", "ok"]


# --- liars


LIES: list[tuple[str, list[Any], Any]] = [
    ("eth_getBalance", [ACCOUNT, "0x32"], "0x1"),
    ("eth_getTransactionCount", [ACCOUNT, "0x32"], "0x1"),
    ("eth_call", [CALL, "0x32"], "0x" + "01" * 32),
    ("eth_call", [CALL, "0x32"], RpcError("eth_call", 3, "execution reverted", "0x")),
    ("eth_getBlockByNumber", ["0x32", False], {**Chain().block(50), "timestamp": "0x1"}),
    ("eth_getBlockByNumber", ["0x32", False], {**Chain().block(50), "hash": "0x" + "00" * 32}),
    ("eth_getBlockByNumber", ["0x32", False], None),
    ("eth_getLogs", [{"fromBlock": "0x20", "toBlock": "0x32"}], []),
    ("eth_getTransactionReceipt", [TRANSACTION], None),
]


@pytest.mark.parametrize("liar", range(3))
@pytest.mark.parametrize(("method", "params", "lie"), LIES)
async def test_of_three_one_lies(
    open_stage: Callable[..., Stage], method: str, params: list[Any], lie: Any, liar: int
) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    truth = stage[0]._answer(method, params)
    stage.chain.height += 10  # the receipt's block is settled, too
    await stage.get_latest()
    stage[liar].lie = lambda asked, _, answer: answer if asked != method or answer != truth else _raise_or(lie)
    faults = _count_faults(stage[liar].name)
    with structlog.testing.capture_logs() as logs:
        assert await stage.ask(method, *params) == truth
        await stage.settle()
    if liar == 2:  # not asked while the others agree
        assert stage.states == ["ok", "ok", "ok"]
        return
    assert stage.states[liar] == "contradicting"
    assert stage.detail(liar).startswith(f"{method} at block ") and "the quorum" in stage.detail(liar)
    (line,) = logs
    assert (line["event"], line["endpoint"], line["state"]) == ("l1_endpoint_state", stage[liar].name, "contradicting")
    assert line["detail"] == stage.detail(liar)
    assert _count_faults(stage[liar].name) == faults + 1
    asked = len(stage[liar].asked)
    assert await stage.ask(method, *params) == truth
    assert len(stage[liar].asked) == asked, "it is left out"


def _raise_or(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def _count_faults(name: str) -> float:
    return L1_ENDPOINT_FAULTS.labels(name)._value.get()


async def test_what_is_not_decoded_may_differ(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(2)
    stage[1].lie = lambda method, params, answer: (
        {**answer, "blockHash": "0x" + answer["blockHash"][2:].upper(), "size": "0x1"}
        if method == "eth_getTransactionReceipt"
        else answer
    )
    assert await stage.get_latest() == 100
    assert await stage.ask("eth_getTransactionReceipt", TRANSACTION)
    assert stage.states == ["ok", "ok"]


async def test_a_log_less_is_outvoted(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    stage[0].lie = lambda method, params, answer: answer[1:] if method == "eth_getLogs" else answer
    logs = await stage.ask("eth_getLogs", {"fromBlock": "0x20", "toBlock": "0x32"})
    assert len(logs) == 19
    assert stage.states == ["contradicting", "ok", "ok"]
    assert stage.detail(0) == "eth_getLogs at block 50: it says 18 logs, the quorum 19 logs"


async def test_one_that_was_outvoted_is_tried_again_after_a_while(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    stage[0].lie = lie_about("eth_getBalance", "0x1")
    await stage.get_balance()
    await stage.rest(59)
    assert stage.states[0] == "contradicting"
    await stage.rest(2)
    assert stage.states[0] == "ok"
    await stage.get_balance()
    assert stage.states[0] == "contradicting"
    await stage.rest(61)
    assert stage.states[0] == "contradicting", "the second time it rests for longer"
    stage[0].lie = lie_about("", None)
    await stage.rest(60)
    assert stage.states[0] == "ok"
    await stage.get_balance()
    assert stage.states == ["ok", "ok", "ok"]


async def test_a_lie_that_comes_late_is_one_too(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    stage[0].lie = lie_about("eth_getBalance", "0x1")
    stage[0].is_hanging = True
    assert stage.has_truth(await stage.get_balance())
    assert stage.states == ["ok", "ok", "ok"]
    stage[0].go.set()
    await stage.settle()
    assert stage.states == ["contradicting", "ok", "ok"]
    stage[0].down = "gone"
    await stage.rest(61)
    assert stage.states == ["contradicting", "ok", "ok"], "to be silent does not clear it"


async def test_a_liar_may_name_any_height(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    stage[1].lag = 2
    stage[0].lie = lambda method, params, answer: (
        {**stage.chain.block(10**9), "number": hex(10**9) if params[0] == "latest" else params[0]}
        if method == "eth_getBlockByNumber"
        else answer
    )
    assert await stage.get_latest() == 98, "block 100 is only one honest member's"


# --- contracts' noes, and errors


async def test_a_contracts_no_is_an_answer_and_its_reason_the_most_common(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3, 3)
    reasons: list[Any] = ["0x", "0x12345678", "0x12345678"]
    for member, reason in zip(stage.members, reasons, strict=True):
        member.lie = lie_about_call(RpcError("eth_call", 3, "execution reverted", reason))
    with pytest.raises(RpcError) as caught:
        await stage.ask("eth_call", CALL, "0x32")
    assert caught.value.data == "0x12345678"
    assert stage.states == ["ok", "ok", "ok"]


def lie_about_call(answer: Any) -> Lie:
    return lambda method, params, truth: _raise_or(answer) if method == "eth_call" else truth


async def test_errors_of_as_many_as_must_agree_are_the_answer(open_stage: Callable[..., Stage]) -> None:
    """A range of logs that is too wide for them, say: who asks narrows it."""
    stage = open_stage(3)
    for member in stage.members[:2]:
        member.lie = fail_with(RpcError("eth_getLogs", -32005, "query returned more than 10000 results"))
    for _ in range(5):
        with pytest.raises(RpcError, match="10000"):
            await stage.ask("eth_getLogs", {"fromBlock": "0x20", "toBlock": "0x32"})
    assert "failing" not in stage.states


async def test_a_rate_limit_is_a_failing_member(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    stage[0].lie = fail_with(RpcError("m", -32005, "slow down"))
    for _ in range(3):
        assert stage.has_truth(await stage.get_balance())
    assert stage.states == ["failing", "ok", "ok"] and "slow down" in stage.detail(0)
    asked = len(stage[0].asked)
    assert stage.has_truth(await stage.get_balance())
    assert len(stage[0].asked) == asked, "it is spared"


@pytest.mark.parametrize("nonsense", [None, 1, "0x", "0xzz", [], {"number": "0x1"}, "<html>"])
async def test_nonsense_is_a_fault(open_stage: Callable[..., Stage], nonsense: Any) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    stage[0].lie = lie_about("eth_getBalance", nonsense)
    assert stage.has_truth(await stage.get_balance())
    assert stage.states == ["failing", "ok", "ok"]


async def test_another_block_than_was_asked_for_is_nonsense(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(1)
    stage[0].lie = lie_about("eth_getBlockByNumber", stage.chain.block(51))
    with pytest.raises(EthereumFault, match="block 51 for block 50"):
        await stage.ask("eth_getBlockByNumber", "0x32", False)


# --- lag, heads and finality


async def test_of_three_one_lags(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    stage[0].lag = 80
    with structlog.testing.capture_logs() as logs:
        assert await stage.get_latest() == 100
    assert stage.states == ["lagging", "ok", "ok"]
    assert stage.detail(0) == "its newest block is 20, 80 behind"
    assert [line["endpoint"] for line in logs if line["log_level"] == "error"] == ["a.example"]
    asked = len(stage[0].asked)
    assert stage.has_truth(await stage.get_balance(99), 99)
    assert len(stage[0].asked) == asked
    stage[2].down = "gone"
    assert stage.has_truth(await stage.get_balance(15), 15), "what it has, it may say"
    for _ in range(4):
        with pytest.raises(EthereumFault):
            await stage.get_balance(99)
    assert stage.states == ["lagging", "ok", "failing"], "not to have a block is no fault of its own"
    assert await stage.get_latest() == 20, "the newest that two have"
    assert stage.states == ["lagging", "ok", "failing"]
    assert check_endpoints(stage.endpoints).state == "no_quorum"
    stage[2].down = ""
    await stage.rest()
    assert stage.states == ["lagging", "ok", "ok"]
    assert await stage.get_latest() == 100
    stage[0].lag = 9
    await stage.rest()
    assert stage.states == ["lagging", "ok", "ok"]
    stage[0].lag = 8
    await stage.rest()
    assert stage.states == ["ok", "ok", "ok"]


async def test_a_null_for_a_new_block_is_no_contradiction(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    stage.chain.mined_at = 100
    stage[0].lag = 1
    assert (await stage.ask("eth_getBlockByNumber", "0x64", False)) == stage.chain.block(100)
    assert (await stage.ask("eth_getTransactionReceipt", TRANSACTION))["blockNumber"] == "0x64"
    stage.chain.height += 20
    await stage.rest()
    assert stage.states == ["ok", "ok", "ok"]


async def test_the_newest_block_is_the_highest_that_a_quorum_has(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(4)
    for member, lag in zip(stage.members, (0, 1, 2, 3), strict=True):
        member.lag = lag
    assert await stage.get_latest() == 98
    assert await stage.ask("eth_blockNumber") == hex(98)


async def test_two_sides_of_a_reorganisation_agree_below_it(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(2)
    other = Chain()
    other.forks.append((99, b"other"))
    stage[1].chain = other
    assert await stage.get_latest() == 98
    assert stage.states == ["ok", "ok"]
    other.forks.append((90, b"deeper"))
    with pytest.raises(EthereumFault, match="no quorum"):
        await stage.get_latest()
    stage[1].chain = stage.chain
    assert await stage.get_latest() == 100


async def test_another_head_for_a_moment_is_no_contradiction_but_for_good_it_is(
    open_stage: Callable[..., Stage],
) -> None:
    stage = open_stage(3)
    other = Chain()
    other.forks.append((100, b"other"))
    stage[0].chain = other
    assert await stage.get_latest() == 100
    assert stage.states == ["ok", "ok", "ok"]
    stage.chain.height = 108
    stage[0].chain = stage.chain  # it has come round
    await stage.rest()
    assert stage.states == ["ok", "ok", "ok"]

    fork = Chain(108)
    fork.forks.append((108, b"fork"))
    stage[0].chain = fork
    await stage.get_latest()
    stage.chain.height = fork.height = 115
    await stage.rest()
    assert stage.states == ["ok", "ok", "ok"]
    stage.chain.height = fork.height = 116
    await stage.rest()
    assert stage.states == ["contradicting", "ok", "ok"], "eight blocks later it must have come round"


async def test_what_was_final_stays_so(open_stage: Callable[..., Stage]) -> None:
    """Members call a block final at different moments, and come and go."""
    stage = open_stage(3)
    assert await stage.get_latest("finalized") == 80
    slow = Chain()
    stage[2].chain = slow
    stage.chain.final = 90
    assert await stage.get_latest("finalized") == 90
    stage[0].down = "gone"
    assert await stage.get_latest("finalized") == 90, "only one calls it final, but both have it"
    stage[0].down = ""
    slow.final = 95
    assert await stage.get_latest("finalized") == 90


async def test_a_final_block_that_is_gone_is_a_fault_by_name(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(2)
    assert await stage.get_latest("finalized") == 80
    stage.chain.height, stage.chain.final = 70, 60
    with pytest.raises(FinalityWentBack, match="block 80 was final, now block 60 is"):
        await stage.get_latest("finalized")
    stage.chain.height, stage.chain.final = 120, 100
    assert await stage.get_latest("finalized") == 100


async def test_no_final_block_yet_is_none(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    for member in stage.members:
        member.lie = lie_about("eth_getBlockByNumber", None)
    assert await stage.ask("eth_getBlockByNumber", "finalized", False) is None


# --- members that hang, fail and come back


@pytest.mark.parametrize("hanging", range(3))
async def test_one_that_hangs_costs_a_moment_once(open_stage: Callable[..., Stage], hanging: int) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    stage[hanging].is_hanging = True
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(20):
        assert stage.has_truth(await stage.get_balance())
        assert await stage.get_latest() == 100
    assert loop.time() - began == pytest.approx(1), "one of them waited for a second, none for the time-out"
    await stage.settle()
    assert stage.states[hanging] == "failing"
    assert "no answer in 25.0 s" in stage.detail(hanging)
    stage[hanging].is_hanging = False
    stage[hanging].go.set()
    await stage.rest()
    assert stage.states == ["ok", "ok", "ok"]


async def test_one_that_comes_back_is_used_again_by_itself(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    stage[0].down = "gone"
    await stage.get_latest()
    assert stage.states == ["failing", "ok", "ok"]
    assert stage.endpoints.report()[0].since == stage.now_ms
    gone_since = stage.now_ms
    tried = []
    for _ in range(130):
        before = len(stage[0].asked)
        await stage.rest(1)
        if len(stage[0].asked) != before:
            tried.append((stage.now_ms - gone_since) // 1000)
    assert tried == [1, 3, 7, 15, 31, 63, 123], "rarer and rarer, a minute at most"
    assert stage.endpoints.report()[0].since == gone_since
    stage[0].down = ""
    await stage.rest()
    assert stage.states == ["ok", "ok", "ok"]
    assert stage.endpoints.report()[0].l1_block == 100


async def test_one_that_comes_back_as_another_chain_is_left_out_alone(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    stage[0].down = "gone"
    await stage.get_latest()
    stage[0].down, stage[0].chain_id = "", 6
    with structlog.testing.capture_logs() as logs:
        await stage.rest(2)
    assert stage.states == ["wrong_chain", "ok", "ok"]
    assert stage.detail(0) == "a.example serves chain 6, not 5"
    assert [(line["state"], line["log_level"]) for line in logs] == [("wrong_chain", "error")]
    assert stage.has_truth(await stage.get_balance())
    stage[0].chain_id, stage[0].code = CHAIN_ID, "0x"
    await stage.rest()
    assert stage.states == ["no_contract", "ok", "ok"]
    stage[0].code = "0x60"
    await stage.rest()
    assert stage.states == ["ok", "ok", "ok"]


async def test_one_that_contradicts_because_it_is_another_chain_is_found_out(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    stage[0].lie, stage[0].chain_id = lie_about("eth_getBalance", "0x1"), 6
    await stage.get_balance()
    assert stage.states == ["contradicting", "ok", "ok"]
    await stage.rest(61)
    assert stage.states == ["wrong_chain", "ok", "ok"]


async def test_too_many_on_another_chain_is_the_wrong_deployment(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    for member in stage.members[:2]:
        member.down = "gone"
    with pytest.raises(EthereumFault):
        await stage.get_latest()
    stage[0].down, stage[0].chain_id = "", 6
    with pytest.raises(EthereumFault, match="no quorum: 1 of 3"):  # the other may still come back
        await stage.get_latest()
    stage[1].down, stage[1].chain_id = "", 7
    with pytest.raises(WrongDeployment) as caught:
        await stage.get_latest()
    assert caught.value.code == "wrong_chain"
    assert "chain 6" in str(caught.value) and "chain 7" in str(caught.value)


@pytest.mark.parametrize(("change", "code"), [({"chain_id": 6}, "wrong_chain"), ({"code": "0x"}, "no_contract")])
async def test_while_none_was_right_a_wrong_one_is_a_loud_stop(
    open_stage: Callable[..., Stage], change: dict[str, Any], code: str
) -> None:
    stage = open_stage(3)
    vars(stage[1]).update(change)
    stage[0].down = stage[2].down = "gone"
    with pytest.raises(WrongDeployment) as caught:
        await stage.endpoints.verify()
    assert caught.value.code == code
    stage[0].down = stage[2].down = ""
    await stage.endpoints.verify()
    assert stage.states == ["ok", code, "ok"], "with a quorum, it is left out from the start"


async def test_verifying_looks_at_all_and_once(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    await stage.endpoints.verify()
    asked = [list(member.asked) for member in stage.members]
    assert asked == [["eth_chainId", "eth_getCode", "eth_chainId"]] * 3
    await stage.endpoints.verify()
    assert [member.asked for member in stage.members] == asked


# --- sending and estimates


async def test_a_transaction_goes_to_all(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    stage[0].lie = fail_with(RpcError("eth_sendRawTransaction", -32000, "txpool is full"))
    stage[1].down = "gone"
    assert await stage.ask("eth_sendRawTransaction", "0x02") == TRANSACTION
    assert all("eth_sendRawTransaction" in member.asked for member in (stage[0], stage[2]))


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (("nonce too low", "nonce too low", "txpool is full"), "nonce too low"),
        (("txpool is full", "already known", "txpool is full"), "already known"),
        (("gone", "underpriced", "gone"), "underpriced"),
    ],
)
async def test_what_most_say_to_a_transaction_is_the_answer(
    open_stage: Callable[..., Stage], words: tuple[str, ...], chosen: str
) -> None:
    stage = open_stage(3)
    for member, word in zip(stage.members, words, strict=True):
        if word == "gone":
            member.down = word
        else:
            member.lie = fail_with(RpcError("eth_sendRawTransaction", -32000, word))
    with pytest.raises(RpcError) as caught:
        await stage.ask("eth_sendRawTransaction", "0x02")
    assert caught.value.message == chosen


async def test_nobody_to_send_to_is_a_fault(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(2)
    stage[0].down = stage[1].down = "gone"
    with pytest.raises(EthereumFault, match="no quorum: 0 of 2 endpoints answer eth_sendRawTransaction"):
        await stage.ask("eth_sendRawTransaction", "0x02")


@pytest.mark.parametrize(
    ("method", "answers", "expected"),
    [
        ("eth_gasPrice", (1, 5, 10**15), 5),
        ("eth_maxPriorityFeePerGas", (7, 10**15), 7),
        ("eth_maxPriorityFeePerGas", (7, None, None), 7),
        ("eth_estimateGas", (1, 100_000, 10**15), 100_000),
        ("eth_estimateGas", (1, 100_000), 100_000),
    ],
)
async def test_of_estimates_the_one_in_the_middle(
    open_stage: Callable[..., Stage], method: str, answers: tuple[int | None, ...], expected: int
) -> None:
    stage = open_stage(len(answers))
    for member, answer in zip(stage.members, answers, strict=True):
        if answer is None:
            member.down = "gone"
        else:
            member.lie = lie_about(method, hex(answer))
    assert int(await stage.ask(method, CALL), 16) == expected


async def test_one_no_to_an_estimate_is_outvoted_and_a_quorums_is_not(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    no = RpcError("eth_estimateGas", 3, "execution reverted", "0x12345678")
    stage[0].lie = fail_with(no)
    assert await stage.ask("eth_estimateGas", CALL, "latest") == "0x64"
    stage[1].lie = fail_with(no)
    with pytest.raises(RpcError, match="execution reverted"):
        await stage.ask("eth_estimateGas", CALL, "latest")


async def test_a_method_that_none_has_is_said_so(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    for member in stage.members:
        member.lie = fail_with(RpcError("eth_maxPriorityFeePerGas", -32601, "no such method"))
    with pytest.raises(RpcError) as caught:
        await stage.ask("eth_maxPriorityFeePerGas")
    assert caught.value.code == -32601


# --- what is shown


async def test_health_names_those_that_are_not_well_and_says_nothing_else(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    assert check_endpoints(stage.endpoints).is_ok, "not asked yet is no trouble"
    await stage.get_latest()
    assert (check_endpoints(stage.endpoints).state, check_endpoints(stage.endpoints).detail) == ("ok", "")
    stage[1].down = "https://b.example/secret is gone"
    await stage.get_latest()
    check = check_endpoints(stage.endpoints)
    assert (check.state, check.is_ok, check.detail) == ("failing", False, "b.example is failing")
    assert not check.is_vital
    stage[2].down = "gone"
    with pytest.raises(EthereumFault):
        await stage.get_latest()
    check = check_endpoints(stage.endpoints)
    assert (check.state, check.detail) == ("no_quorum", "b.example is failing, c.example is failing")


async def test_two_keys_of_one_host_are_told_apart() -> None:
    endpoints = open_endpoints(["https://l1.example/key-one", "https://l1.example/key-two", "http://c"], 5, SETTLEMENT)
    assert [report.name for report in endpoints.report()] == ["l1.example#1", "l1.example#2", "c"]
    await endpoints.close()


async def test_closing_ends_what_is_under_way_and_closes_all(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    stage[2].is_hanging = True
    await stage.get_latest()
    assert stage.endpoints._tasks
    await stage.endpoints.close()
    assert not stage.endpoints._tasks
    assert all(member.is_closed for member in stage.members)


async def test_a_bug_is_no_members_fault(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(3)
    await stage.get_latest()
    stage[0].lie = fail_with(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        await stage.get_balance()


# --- with a majority of honest members


@st.composite
def misdeeds(draw: st.DrawFn) -> tuple[int, list[tuple[str, int]]]:
    """How many members there are, and what is wrong with fewer than half of them."""
    count = draw(st.integers(1, 7))
    kinds = st.sampled_from(["lie", "lie_together", "null", "lag", "down", "hang", "nonsense", "error", "fork", "high"])
    wrong = draw(st.lists(kinds, max_size=(count - 1) // 2))
    places = draw(st.permutations(range(count)))
    return count, list(zip(wrong, places, strict=False))


def spoil(member: Scripted, kind: str) -> None:
    if kind == "lag":
        member.lag = 60
    elif kind == "down":
        member.down = "gone"
    elif kind == "hang":
        member.is_hanging = True
    elif kind == "fork":
        member.chain = Chain()
        member.chain.forks.append((40, b"fork"))
    else:
        member.lie = LIARS[kind](member)


def _lie(salt: bytes) -> Lie:
    def lie(method: str, params: Sequence[Any], answer: Any) -> Any:
        if isinstance(answer, dict) and "hash" in answer:
            return {**answer, "hash": to_hex(keccak(salt))}
        if isinstance(answer, dict):
            return {**answer, "status": "0x0", "gasUsed": hex(len(salt))}
        if isinstance(answer, list):
            return answer[1:]
        return to_hex(keccak(salt)) if method == "eth_call" else hex(len(salt))

    return lie


def _raise_height(method: str, params: Sequence[Any], answer: Any) -> Any:
    is_tagged = method == "eth_getBlockByNumber" and not params[0].startswith("0x")
    return {**answer, "number": hex(10**6)} if is_tagged else answer


LIARS: dict[str, Callable[[Scripted], Lie]] = {
    "lie": lambda member: _lie(member.name.encode()),
    "lie_together": lambda member: _lie(b"together"),
    "null": lambda member: lambda method, params, answer: None,
    "nonsense": lambda member: lambda method, params, answer: "<html>",
    "error": lambda member: fail_with(RpcError("m", -32005, "slow down")),
    "high": lambda member: _raise_height,
}

READS: list[tuple[str, list[Any]]] = [
    ("eth_getBalance", [ACCOUNT, "0x32"]),
    ("eth_getTransactionCount", [ACCOUNT, "0x64"]),
    ("eth_call", [CALL, "0x32"]),
    ("eth_getBlockByNumber", ["0x32", False]),
    ("eth_getBlockByNumber", ["latest", False]),
    ("eth_getBlockByNumber", ["finalized", False]),
    ("eth_getBlockByNumber", ["0x65", False]),
    ("eth_getLogs", [{"fromBlock": "0x20", "toBlock": "0x64"}]),
    ("eth_getTransactionReceipt", [TRANSACTION]),
]


@given(misdeeds(), st.lists(st.tuples(st.sampled_from(READS), st.sampled_from([0, 1, 61, 200])), max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_with_an_honest_majority_every_answer_is_an_honest_one(
    wrong: tuple[int, list[tuple[str, int]]], reads: list[tuple[tuple[str, list[Any]], int]]
) -> None:
    async def run() -> None:
        count, deeds = wrong
        stage = Stage(count)
        for kind, place in deeds:
            spoil(stage[place], kind)
        truth = Scripted("truth", stage.chain)
        try:
            for (method, params), seconds in reads:
                stage.now_ms += seconds * 1000
                assert await stage.ask(method, *params) == truth._answer(method, params)
            honest = set(range(count)) - {place for _, place in deeds}
            assert all(stage.states[number] in ("ok", "untried") for number in honest), stage.states
        finally:
            await stage.endpoints.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


def test_states_are_the_words_of_metrics_and_health() -> None:
    assert [str(state) for state in EndpointState] == [
        "untried", "ok", "lagging", "failing", "contradicting", "wrong_chain", "no_contract",
    ]  # fmt: skip
