"""Asks as programs do: with a query, with headers, and now and then hanging up; and filters as they stand in a URL."""

import asyncio
import random
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.types import ASGIApp, Message

from chain.wire import encode_address, encode_bytes
from node.ethereum.submission import EpochState
from node.index import IndexedPayment, PaymentFilter
from node.payment_status import Commitments, PaymentStatus
from tests.unit.explorer.conftest import World
from tests.unit.explorer.reading import Answer
from tests.unit.node.index.history import RandomLedger
from tests.unit.node.index.oracle import list_wanted, make_filter

_PATIENCE_SECONDS: Final = 30


class Line:
    """A connection: what was sent on it, and the reader at its end."""

    def __init__(self, hang_up_after: int | None = None) -> None:
        """`hang_up_after`: messages; None for a reader who stays."""
        self.sent: list[Message] = []
        self._hang_up_after = hang_up_after
        self._is_asked = False
        self._gone = asyncio.Event()

    async def receive(self) -> Message:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if len(self.sent) == self._hang_up_after:
            self._gone.set()

    def hang_up(self) -> None:
        self._gone.set()

    @property
    def is_whole(self) -> bool:
        """Whether the end of the answer was sent: without it the server closes the connection in the middle."""
        return bool(self.sent) and self.sent[-1]["type"] == "http.response.body" and not self.sent[-1].get("more_body")

    @property
    def answer(self) -> Answer:
        names = [name for name, _ in self.sent[0]["headers"]]
        assert len(names) == len(set(names)), f"a header is given twice: {names}"
        return Answer(
            self.sent[0]["status"],
            {name.decode(): value.decode() for name, value in self.sent[0]["headers"]},
            b"".join([message.get("body", b"") for message in self.sent[1:]]),
        )


async def call(application: ASGIApp, path: str, line: Line, method: str = "GET", **headers: str) -> None:
    """`path`: with its query, in which lone surrogates stand for bytes that are no UTF-8. Whatever the application
    raises is raised here."""
    bare, _, query = path.partition("?")
    asked = query.encode(errors="surrogateescape")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": bare, "raw_path": bare.encode(), "query_string": asked, "root_path": "",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    await asyncio.wait_for(application(scope, line.receive, line.send), _PATIENCE_SECONDS)


async def fetch(application: ASGIApp, path: str, method: str = "GET", **headers: str) -> Answer:
    line = Line()
    await call(application, path, line, method, **headers)
    assert line.is_whole
    return line.answer


async def fetch_json(application: ASGIApp, path: str, status: int = 200) -> Any:
    answer = await fetch(application, path)
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return msgspec.json.decode(answer.body)


def commit(world: World, history: RandomLedger) -> Commitments:
    """Half of the sealed epochs are on Ethereum, half of those are final."""
    mined = len(history.sealed) // 2
    for epoch in range(1, mined + 1):
        world.send(history, epoch, EpochState.FINAL if epoch <= mined // 2 else EpochState.MINED)
    return Commitments(mined, mined // 2)


def make_queries(history: RandomLedger, commitments: Commitments, count: int) -> list[tuple[str, list[IndexedPayment]]]:
    """Filters at random, as a query string, with the payments that they let through, newest first."""
    rng = random.Random(41)
    queries: list[tuple[str, list[IndexedPayment]]] = [("", list_wanted(history, PaymentFilter()))]
    while len(queries) < count:
        wanted = make_filter(history, rng)
        if max(wanted.from_s or 0, wanted.to_s or 0) >= 2**43 or min(wanted.from_s or 0, wanted.to_s or 0) < 0:
            continue  # no such time can be asked for
        wanted = msgspec.structs.replace(wanted, first_epoch=None, last_epoch=None)
        status = rng.choice([None, None, *PaymentStatus])
        payments = list_wanted(history, wanted)
        if status is not None:
            payments = [payment for payment in payments if commitments.compute_status(payment.epoch) is status]
        queries.append((_encode_filter(wanted, status, rng), payments))
    return queries


def _encode_filter(wanted: PaymentFilter, status: PaymentStatus | None, rng: random.Random) -> str:
    def write(value: Any) -> str:
        if not isinstance(value, bytes):
            return str(value)
        return (
            rng.choice([encode_bytes(value), encode_bytes(value).upper().replace("0X", "0x")])
            if len(value) == 32
            else rng.choice([encode_address(value), encode_bytes(value)])
        )

    texts = {
        "account": wanted.account, "direction": wanted.direction, "counterparty": wanted.counterparty,
        "asset": wanted.asset, "kind": wanted.kind, "reference": wanted.reference, "status": status,
        "from": wanted.from_s, "to": wanted.to_s,
    }  # fmt: skip
    return urlencode({name: write(value) for name, value in texts.items() if value is not None})
