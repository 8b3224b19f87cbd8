"""Several endpoints before one real client, some of them bad. The test mines and holds the clock: nothing waits."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from node.ethereum.endpoints import Endpoints, EndpointState
from tests.integration.committing import Stand, open_stand
from tests.integration.line import Line


@pytest.fixture
async def stand(anvil_path: Path, tmp_path: Path) -> AsyncIterator[Stand]:
    async with open_stand(anvil_path, tmp_path) as stand:
        yield stand


@pytest.fixture
def lines(stand: Stand) -> list[Line]:
    return [Line(stand.anvil.endpoint, f"line-{number}") for number in (1, 2, 3)]


@pytest.fixture
async def endpoints(stand: Stand, lines: list[Line]) -> AsyncIterator[Endpoints]:
    """The committer asks all three, and believes two."""
    endpoints = stand.over(*lines)
    stand.start(endpoints)
    yield endpoints
    await endpoints.close()


async def grow(stand: Stand, blocks: int) -> None:
    await stand.anvil.call("anvil_mine", hex(blocks), hex(12))
    await stand.anvil.read_time()


def get_states(endpoints: Endpoints) -> list[EndpointState]:
    return [report.state for report in endpoints.report()]


def tell_lies(method: str, params: Sequence[Any], answer: Any) -> Any:
    """Another chain than there is: nothing was committed, our nonce is far on, all money is gone."""
    match method:
        case "eth_getBlockByNumber" if answer is not None:
            return {**answer, "hash": "0x" + "ab" * 32}
        case "eth_call":
            return "0x" + "00" * (len(answer) // 2 - 1)
        case "eth_getTransactionCount":
            return hex(int(answer, 16) + 24)
        case "eth_getBalance":
            return "0x0"
        case "eth_getLogs":
            return []
        case "eth_getTransactionReceipt" if answer is not None:
            return {**answer, "status": "0x0"}
        case "eth_estimateGas":
            return hex(21_000)
        case "eth_maxPriorityFeePerGas":
            return hex(10**15)
    return answer


def be_dead(line: Line) -> None:
    line.is_cut = True


def lag(line: Line) -> None:
    line.lag = 100


def lie(line: Line) -> None:
    line.lie = tell_lies


def be_well(line: Line) -> None:
    line.is_cut, line.lag, line.lie = False, 0, lambda method, params, answer: answer


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize(
    ("spoil", "state"),
    [(be_dead, EndpointState.FAILING), (lag, EndpointState.LAGGING), (lie, EndpointState.CONTRADICTING)],
)
async def test_one_of_three_is_bad(
    stand: Stand,
    lines: list[Line],
    endpoints: Endpoints,
    spoil: Callable[[Line], None],
    state: EndpointState,
    position: int,
) -> None:
    await grow(stand, 110)
    await stand.submit()
    await stand.tick()
    await stand.mine()
    spoil(lines[position])
    for _ in range(3):
        await stand.submit()
        await stand.tick()
        await stand.mine(4)
    assert stand.committer.mined_epoch == 4
    expected = [EndpointState.OK] * 3
    expected[position] = state
    assert get_states(endpoints) == expected
    await stand.check_committed()
    assert [stand.get_attempts(epoch)[0].nonce for epoch in range(1, 5)] == [0, 1, 2, 3]
    be_well(lines[position])
    stand.wait(960)  # the longest that one is left alone
    await stand.mine(4)
    assert get_states(endpoints) == [EndpointState.OK] * 3


async def test_one_dead_one_lagging_one_lying_is_no_quorum(
    stand: Stand, lines: list[Line], endpoints: Endpoints
) -> None:
    """Nothing is decided, and that has a name, until two are well again."""
    await grow(stand, 110)
    await stand.submit()
    await stand.tick()
    await stand.mine()
    await stand.submit()
    for spoil, line in zip((be_dead, lag, lie), lines, strict=True):
        spoil(line)
    known = stand.get_attempts(2)
    for _ in range(10):
        await stand.mine()
        assert stand.situation in ("l1_unreachable", "waiting_for_l1_block", "l1_behind"), stand.committer.status()
        assert stand.committer.mined_epoch == 1 and stand.get_attempts(2) == known
    assert not stand.committer.status()["is_ok"]
    assert await stand.count_mined() == 1
    be_well(lines[0])
    be_well(lines[1])
    await stand.mine(10)
    await stand.check_committed()


async def test_each_of_them_is_away_for_a_while(stand: Stand, lines: list[Line], endpoints: Endpoints) -> None:
    for line in [*lines, *lines]:
        be_dead(line)
        await stand.submit()
        assert await stand.tick() == "in_flight"
        await stand.mine(2)
        be_well(line)
    await stand.check_committed()


async def test_the_send_gets_through_one_of_them_only(stand: Stand, lines: list[Line], endpoints: Endpoints) -> None:
    for line in lines:
        line.refused = "eth_sendRawTransaction"
    await stand.submit()
    assert await stand.tick() == "l1_unreachable"
    lines[2].refused = ""
    await stand.mine()
    assert await stand.is_pooled(stand.get_attempts()[0].hash)
    await stand.mine()
    await stand.check_committed()
