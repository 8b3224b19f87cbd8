"""What is answered on the node's port before it can open."""

import asyncio
import socket

import aiohttp
import pytest

from node.health import UNREADY
from node.opening import Missing, Opening


class Late:
    """Not there until it is put there."""

    def __init__(self) -> None:
        self.is_there = False
        self.asked = asyncio.Event()

    async def find(self) -> str:
        self.asked.set()
        if not self.is_there:
            raise FileNotFoundError("/secret/path/operator.json")
        return "key"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.opening._RETRY_SECONDS", 0.01)


async def test_what_is_there_is_not_waited_for() -> None:
    late = Late()
    late.is_there = True
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert await Opening(listener).wait_for(Missing.OPERATOR_KEY, late.find, FileNotFoundError) == "key"


@pytest.mark.usefixtures("quick")
async def test_what_is_missing_is_named_until_it_comes() -> None:
    late = Late()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        waiting = asyncio.ensure_future(Opening(listener).wait_for(Missing.OPERATOR_KEY, late.find, FileNotFoundError))
        async with aiohttp.ClientSession() as session:
            async with session.get(url + "/health/ready") as answer:
                assert answer.status == 503
                report = await answer.json()
            assert report["status"] == UNREADY
            assert (
                report["checks"]["opening"]["state"] == "operator_key_missing" and report["checks"]["opening"]["detail"]
            )
            async with session.get(url + "/health/live") as answer:
                assert (answer.status, await answer.json()) == (200, {"status": "live"})
            async with session.get(url + "/metrics") as answer:
                assert 'tally_opening{state="operator_key_missing"} 1.0' in await answer.text()
            async with session.get(url + "/payments") as answer:
                page = await answer.text()
                assert answer.status == 503 and "the operator&#x27;s key" in page and "secret" not in page
            call = {"jsonrpc": "2.0", "id": 1, "method": "tally_getInfo", "params": []}
            async with session.post(url, json=call) as answer:
                refused = await answer.json()
                assert answer.status == 503
            assert refused["error"]["data"]["code"] == "halted"
            assert refused["error"]["data"]["state"] == "operator_key_missing"
        late.is_there = True
        assert await asyncio.wait_for(waiting, 10) == "key"
        # The port is still ours, for the node that opens now.
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.close()
        await writer.wait_closed()


@pytest.mark.usefixtures("quick")
async def test_another_problem_ends_the_wait() -> None:
    problems = [FileNotFoundError("not yet"), ValueError("not a key")]

    async def find() -> str:
        raise problems.pop(0)

    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ValueError, match="not a key"):
        await Opening(listener).wait_for(Missing.OPERATOR_KEY, find, FileNotFoundError)


@pytest.mark.usefixtures("quick")
async def test_a_wait_can_be_given_up() -> None:
    late = Late()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        waiting = asyncio.ensure_future(Opening(listener).wait_for(Missing.DEPLOYMENT, late.find, FileNotFoundError))
        await late.asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 10)
