"""The paths, and what goes with every answer: headers, caching, errors."""

import asyncio
import json
import threading

import msgspec
import pytest
from starlette.types import Receive, Scope, Send

from explorer.app import Explorer
from explorer.headers import IMMUTABLE, LIVE, SECURITY_HEADERS, with_security_headers
from explorer.sources import Readers
from node.index import IndexReader
from tests.unit.explorer.conftest import World
from tests.unit.explorer.reading import ask, ask_failing

MEDIA_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
LIVE_PATHS = ["/", "/health/live", "/health/ready", "/metrics"]


@pytest.mark.parametrize("path", [*LIVE_PATHS, "/nothing", "/health/nothing", "/static/0/style.css"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_every_answer_is_guarded_and_not_kept(world: World, path: str, method: str) -> None:
    answer = await ask(world.explorer, path, method)
    for name, value in SECURITY_HEADERS:
        assert answer.headers[name] == value
    assert answer.headers["cache-control"] == LIVE
    assert "server" not in answer.headers


def test_the_policy_allows_our_own_files_and_the_readers_own_ethereum_node_alone() -> None:
    policy = dict(SECURITY_HEADERS)["content-security-policy"]
    assert policy == (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        "connect-src 'self' https: http://localhost:* http://127.0.0.1:*; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


async def test_a_page_may_bring_a_policy_of_its_own_but_drop_no_other_header() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"Content-Security-Policy", b"default-src 'none'"), (b"cache-control", IMMUTABLE.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    answer = await ask(with_security_headers(application), "/")
    assert answer.headers.pop("Content-Security-Policy") == "default-src 'none'"
    assert answer.headers == {
        **{name: value for name, value in SECURITY_HEADERS if name != "content-security-policy"},
        "cache-control": IMMUTABLE,
    }


@pytest.mark.parametrize("path", LIVE_PATHS)
async def test_head_is_answered_as_get_is(world: World, path: str) -> None:
    got, head = await ask(world.explorer, path), await ask(world.explorer, path, "HEAD")
    assert (got.status, got.headers) == (head.status, head.headers)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_pages_are_only_read(world: World, method: str) -> None:
    answer = await ask(world.explorer, "/", method)
    assert answer.status == 405
    assert set(answer.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/tx/0x12", "/docs", "/openapi.json", "//", "/..", "/static/", "/static/../app.py", "/metrics/"],
)
async def test_what_is_not_there_is_a_page_that_says_so(world: World, path: str) -> None:
    answer = await ask(world.explorer, path)
    assert answer.status == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "There is nothing at this address." in answer.page.text
    assert ("a", {"href": "/"}) in answer.page.elements


@pytest.mark.parametrize("path", ["/health", "/health/", "/health/nothing"])
async def test_below_health_errors_are_json(world: World, path: str) -> None:
    answer = await ask(world.explorer, path)
    assert answer.status == 404
    assert json.loads(answer.body) == {"status": 404, "detail": "Not Found"}


# --- files


async def test_what_the_page_refers_to_is_there_and_kept_for_good(world: World) -> None:
    page = (await ask(world.explorer, "/")).page
    paths = {attributes[name] for _, attributes in page.elements for name in ("href", "src") if name in attributes}
    files = sorted([path for path in paths if path is not None and path.startswith("/static/")])
    assert {path.rsplit("/", 1)[1] for path in files} == {
        "mark.svg", "style.css", "theme.js", "page.js", "live.js", "copy.js",
    }  # fmt: skip
    for path in files:
        answer = await ask(world.explorer, path)
        assert answer.status == 200 and answer.body
        assert answer.headers["cache-control"] == IMMUTABLE
        assert answer.headers["content-type"] == MEDIA_TYPES[path.rsplit(".", 1)[1]]
        # Another hash would be kept for good with these bytes.
        digest = path.split("/")[2]
        assert (await ask(world.explorer, path.replace(digest, digest[::-1]))).status == 404


# --- for machines


async def test_health_is_what_the_node_reports(world: World) -> None:
    live = await ask(world.explorer, "/health/live")
    assert (live.status, json.loads(live.body)) == (200, {"status": "live"})
    for status, code in (("ready", 200), ("degraded", 200), ("unready", 503)):
        world.fail(status, "watcher")
        answer = await ask(world.explorer, "/health/ready")
        assert (answer.status, json.loads(answer.body)) == (code, world.health)
        assert answer.headers["content-type"] == "application/json"


async def test_metrics_are_given_as_they_are(world: World) -> None:
    answer = await ask(world.explorer, "/metrics")
    assert (answer.status, answer.body) == (200, b"tallystick_blocks 7\n")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


# --- trouble


async def test_a_page_that_cannot_be_made_is_an_error_for_the_reader_and_for_the_log(world: World) -> None:
    def break_down() -> int:
        raise RuntimeError("the clock <stopped>")

    broken = Explorer(msgspec.structs.replace(world.sources, clock_ms=break_down))
    answer, error = await ask_failing(broken, "/")
    assert answer.status == 500
    assert answer.headers["cache-control"] == LIVE
    assert "content-security-policy" in answer.headers
    assert "stopped" not in answer.text
    assert isinstance(error, RuntimeError)


class _SlowIndex(IndexReader):
    """Answers nothing until it is let go."""

    gate: threading.Event

    def list_epochs(self, before: int | None = None, limit: int = 50) -> list:  # type: ignore[type-arg]
        self.gate.wait(10)
        return super().list_epochs(before, limit)


async def test_more_readers_than_can_wait_are_sent_away(world: World) -> None:
    slow = _SlowIndex(world.index._path)
    slow.gate = threading.Event()
    explorer = Explorer(msgspec.structs.replace(world.sources, index=slow, readers=Readers()))
    waiting = [asyncio.create_task(ask(explorer, "/epochs")) for _ in range(64)]
    try:
        for _ in range(1000):  # turns of the loop, until all of them wait
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            refused = await ask(explorer, "/epochs")
            assert refused.status == 503
            assert refused.headers["retry-after"] == "1"
            assert (await ask(explorer, "/health/ready")).status == 200, "what machines ask does not wait for pages"
    finally:
        slow.gate.set()
        answers = await asyncio.gather(*waiting)
    assert {answer.status for answer in answers} == {200}
    assert (await ask(explorer, "/")).status == 200
    explorer.close()
    slow.close()


async def test_the_index_is_read_beside_the_event_loop_with_few_connections(world: World) -> None:
    await asyncio.gather(*[ask(world.explorer, "/epochs") for _ in range(50)])
    # Its own, and one for each of the two threads.
    assert len(world.index._connections) <= 3
