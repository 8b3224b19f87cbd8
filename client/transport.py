"""JSON-RPC 2.0 over HTTP: texts of requests, meaning of replies, and the two ways to carry them, blocking and async.

Every method that a client of ours calls may be repeated: reads change nothing, and a payment sent again is answered
with the receipt it has. So both carriers try again after an outside fault (no connection, no answer in time, HTTP 429
and 5xx), a bounded number of times.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, TypeAlias
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec
import requests
from requests.adapters import HTTPAdapter

from client.errors import BadReply, RpcError, Unreachable
from client.json_text import parse_json

MAX_REPLY_SIZE: Final = 256 << 20
"""Bytes. A batch of 1,000 receipts takes 2 MB; whoever sends more than this is not the node we know."""

RETRIED_STATUSES: Final = frozenset({429, 500, 502, 503, 504})

Request: TypeAlias = tuple[str, Sequence[Any]]
"""(method, positional parameters)"""

_HEADERS: Final = {"content-type": "application/json", "accept": "application/json"}
_WRONG_ADDRESS: Final = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)
_CHUNK_SIZE: Final = 1 << 16
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 3.0


class Reply(msgspec.Struct):
    """One JSON-RPC reply: a result, or an error as it came."""

    result: Any = None
    error: RpcError | None = None

    def unwrap(self) -> Any:
        """The result. Raises `RpcError`."""
        if self.error is not None:
            raise self.error
        return self.result


def encode_request(request: Request) -> bytes:
    return msgspec.json.encode(_describe(0, request))


def encode_batch(batch: Sequence[Request]) -> bytes:
    """Ids are the places in the batch."""
    return msgspec.json.encode([_describe(place, request) for place, request in enumerate(batch)])


def decode_reply(body: bytes) -> Reply:
    """Raises `BadReply` for what is not the JSON-RPC reply to `encode_request`."""
    form = _decode_json(body)
    if not isinstance(form, dict):
        raise BadReply("the reply to one request is not one object")
    return _read_reply(form)


def decode_batch(body: bytes, count: int) -> list[Reply]:
    """The replies in the order of the requests. Raises `BadReply` unless there is exactly one for each of them, and
    `RpcError` if the batch was refused as a whole."""
    form = _decode_json(body)
    if isinstance(form, dict):
        _read_reply(form).unwrap()
        raise BadReply("the reply to a batch is not a list")
    if not isinstance(form, list) or len(form) != count:
        raise BadReply(f"the reply to a batch of {count} is not a list of {count}")
    replies: list[Reply | None] = [None] * count
    for item in form:
        place = item.get("id") if isinstance(item, dict) else None
        if type(place) is not int or not 0 <= place < count or replies[place] is not None:
            raise BadReply("a reply in the batch belongs to no request of it")
        replies[place] = _read_reply(item)
    return [reply for reply in replies if reply is not None]


def compute_pause(attempt: int) -> float:
    """Seconds to wait after failed attempt `attempt`, from 0: doubling, bounded, scattered over its upper half."""
    return min(_FIRST_PAUSE_S * 2.0**attempt, _LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)


def name_endpoint(url: str) -> str:
    """Host and port. The rest of an address often holds a key, and stays out of messages."""
    parts = urlsplit(url)
    host = parts.hostname or "the address given"
    return host if parts.port is None else f"{host}:{parts.port}"


class HttpTransport:
    """Blocking. May be used by many threads at once; connections are kept alive and shared."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 30.0,
        attempts: int = 4,
        headers: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url
        self.name = name_endpoint(url)
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._sleep = sleep
        self._headers = {**_HEADERS, **(headers or {})}
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy or netrc of the environment sees what is sent to a node
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=64)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def post(self, body: bytes) -> bytes:
        """The reply's body. Raises `Unreachable` after the last attempt, `BadReply` for another HTTP status."""
        for attempt in range(self._attempts):
            if attempt:
                self._sleep(compute_pause(attempt - 1))
            try:
                with self._session.post(
                    self.url, data=body, headers=self._headers, timeout=self._timeout_s, stream=True
                ) as response:
                    if response.status_code not in RETRIED_STATUSES:
                        return self._read(response)
                    cause = f"HTTP status {response.status_code}"
            except _WRONG_ADDRESS:
                raise BadReply(f"{self.name} is not an HTTP address") from None
            except requests.exceptions.RequestException as error:
                cause = _describe_fault(error)
        raise Unreachable(f"{self.name} does not answer: {cause}")

    def call(self, method: str, *params: Any) -> Any:
        """Raises as `post` does, `BadReply`, or `RpcError`."""
        return decode_reply(self.post(encode_request((method, params)))).unwrap()

    def call_batch(self, batch: Sequence[Request]) -> list[Reply]:
        return decode_batch(self.post(encode_batch(batch)), len(batch)) if batch else []

    def read(self, path: str) -> bytes:
        """What stands at a path of the same server, whatever its HTTP status. Asked once. Raises `Unreachable`, and
        `BadReply` for what is no JSON."""
        try:
            with self._session.get(urljoin(self.url, path), timeout=self._timeout_s, stream=True) as response:
                return self._read(response)
        except _WRONG_ADDRESS:
            raise BadReply(f"{self.name} is not an HTTP address") from None
        except requests.exceptions.RequestException as error:
            raise Unreachable(f"{self.name} does not answer: {_describe_fault(error)}") from error

    def close(self) -> None:
        self._session.close()

    def _read(self, response: requests.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_content(_CHUNK_SIZE):
            body += chunk
            if len(body) > MAX_REPLY_SIZE:
                raise BadReply(f"{self.name} answers with more than {MAX_REPLY_SIZE} bytes")
        return _check_status(self.name, response.status_code, bytes(body))


class AsyncHttpTransport:
    """The same for asyncio. Opens its connections at first use; `async with`, or `aclose`, ends them."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 30.0,
        attempts: int = 4,
        headers: Mapping[str, str] | None = None,
        connections: int = 100,
    ) -> None:
        self.url = url
        self.name = name_endpoint(url)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._attempts = attempts
        self._headers = {**_HEADERS, **(headers or {})}
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes) -> bytes:
        """As `HttpTransport.post`."""
        session = self._open()
        for attempt in range(self._attempts):
            if attempt:
                await asyncio.sleep(compute_pause(attempt - 1))
            try:
                async with session.post(self.url, data=body, headers=self._headers) as response:
                    if response.status not in RETRIED_STATUSES:
                        return await self._read(response)
                    cause = f"HTTP status {response.status}"
            except aiohttp.InvalidURL:
                raise BadReply(f"{self.name} is not an HTTP address") from None
            except (aiohttp.ClientError, TimeoutError) as error:
                cause = _describe_fault(error)
        raise Unreachable(f"{self.name} does not answer: {cause}")

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> "AsyncHttpTransport":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._connections)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self._session

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_SIZE):
            body += chunk
            if len(body) > MAX_REPLY_SIZE:
                raise BadReply(f"{self.name} answers with more than {MAX_REPLY_SIZE} bytes")
        return _check_status(self.name, response.status, bytes(body))


def _check_status(name: str, status: int, body: bytes) -> bytes:
    """JSON-RPC errors may come under any status; what is not JSON is no reply of a node."""
    if status == 200 or body[:1] in (b"{", b"["):
        return body
    raise BadReply(f"{name} answers with HTTP status {status} and no JSON")


def _describe(place: int, request: Request) -> dict[str, Any]:
    method, params = request
    return {"jsonrpc": "2.0", "id": place, "method": method, "params": list(params)}


def _describe_fault(error: BaseException) -> str:
    """In our words: the libraries' own repeat the whole address."""
    if isinstance(error, requests.exceptions.Timeout | TimeoutError):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ConnectionError | aiohttp.ClientConnectionError):
        return "no connection"
    return type(error).__name__


def _decode_json(body: bytes) -> Any:
    try:
        return parse_json(body)
    except msgspec.DecodeError as error:
        raise BadReply(f"the reply is not JSON: {error}") from error


def _read_reply(form: dict[str, Any]) -> Reply:
    error = form.get("error")
    if error is None:
        if "result" not in form:
            raise BadReply("a reply with neither result nor error")
        return Reply(result=form["result"])
    if not isinstance(error, dict) or type(error.get("code")) is not int:
        raise BadReply("an error without a number")
    return Reply(error=RpcError(error["code"], str(error.get("message", "")), error.get("data")))
