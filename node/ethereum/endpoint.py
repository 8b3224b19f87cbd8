"""One JSON-RPC endpoint of an Ethereum client, over HTTP."""

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final, Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import aiohttp
import msgspec

from node.ethereum.faults import EthereumFault, RpcError

_KEEP_ALIVE_S: Final = 4.0
"""Below the 5 s after which common servers close an idle connection: closing it first loses no request to that race."""


_MIN_SECRET: Final = 6
"""Characters of a part of a URL that may be a key; `v3` and `rpc` are none."""
_MAX_PROBLEM: Final = 300
"""Characters of what is kept of an endpoint's own words."""
_MAX_WORDS: Final = 1_000
"""Characters of them that are looked at, and may come into a log: an answer may be as long as 32 MB."""


class EndpointHealth(msgspec.Struct, frozen=True):
    """How an endpoint has answered since the start. Times are milliseconds since 1970, None for what has not been."""

    name: str
    """Host and port."""
    call_count: int
    fault_count: int
    """Calls without an answer: no connection, too late, not JSON-RPC, …"""
    error_count: int
    """Calls answered with an error object. A contract's no comes so, and so does a rate limit."""
    faults_in_row: int
    """Calls since the last answer."""
    last_answer_at: int | None
    latency_us: int | None
    """Microseconds that the last answer took."""
    last_fault_at: int | None
    last_fault: str
    last_error_at: int | None
    last_error: str


class Transport(Protocol):
    """One question, one answer."""

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        """The `result`. Raises `RpcError` for an error object, `EthereumFault` for everything else that fails."""

    async def close(self) -> None: ...


class VerifiedTransport(Transport, Protocol):
    """What the gateway needs: a transport that answers of one chain and with one contract, or not at all."""

    async def verify(self) -> None:
        """Raises `EthereumFault` or `WrongDeployment`, as `call` does, too."""


class _Error(msgspec.Struct):
    code: int
    message: str = ""
    data: Any = None


class _Answer(msgspec.Struct):
    id: int | str | None = None
    result: Any = None
    error: _Error | None = None


def split_url(url: str) -> SplitResult:
    """Raises ValueError, which does not quote it, for a URL that no endpoint has."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # of a port that is no number, or brackets that do not match
        pass
    raise ValueError("an Ethereum endpoint is an http:// or https:// URL")


class Endpoint:
    """Every call is bounded in time, in size and in how many run at once. All methods asked may be repeated safely."""

    def __init__(
        self,
        url: str,
        *,
        timeout_ms: int = 10_000,
        max_concurrent: int = 16,
        max_answer_bytes: int = 32 << 20,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`clock_ns`: nanoseconds since 1970, for `health` alone."""
        parts = split_url(url)
        self._url = url
        host = parts.hostname or ""
        self.name = host if parts.port is None else f"{host}:{parts.port}"
        """Host and port. The rest of the URL often holds a key, and stays out of logs and messages."""
        self._secrets = _find_secrets(parts)
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1000)
        self._slots = asyncio.Semaphore(max_concurrent)
        self._max_answer_bytes = max_answer_bytes
        self._ids = count(1)
        self._decoder = msgspec.json.Decoder(_Answer)
        self._session: aiohttp.ClientSession | None = None
        self._clock_ns = clock_ns
        self.health = EndpointHealth(self.name, 0, 0, 0, 0, None, None, None, "", None, "")

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        request_id = next(self._ids)
        request = msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        async with self._slots:
            asked_ns = self._clock_ns()
            try:
                result = await self._ask(method, request_id, request)
            except EthereumFault as fault:
                self._note(asked_ns, fault)
                raise
            self._note(asked_ns, None)
            return result

    async def _ask(self, method: str, request_id: int, request: bytes) -> Any:
        status, body = await self._post(method, request)
        try:
            answer = self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise EthereumFault(f"{method}: {self.name} answered HTTP {status} without JSON-RPC") from error
        if answer.error is not None:
            words = self._hide(answer.error.message)[:_MAX_WORDS]
            raise RpcError(method, answer.error.code, words, answer.error.data)
        if status != 200 or answer.id != request_id:
            raise EthereumFault(f"{method}: {self.name} answered HTTP {status}, id {answer.id} to id {request_id}")
        return answer.result

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, method: str, request: bytes) -> tuple[int, bytes]:
        try:
            return await self._post_once(request)
        except aiohttp.ServerDisconnectedError:
            pass  # an idle connection that the server closed as we wrote to it; a fresh one settles it
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._fault(method, error) from error
        try:
            return await self._post_once(request)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._fault(method, error) from error

    async def _post_once(self, request: bytes) -> tuple[int, bytes]:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),  # another one would keep whatever an endpoint makes up
            )
        headers = {"content-type": "application/json"}
        async with self._session.post(self._url, data=request, headers=headers, allow_redirects=False) as response:
            parts: list[bytes] = []
            size = 0
            async for part in response.content.iter_any():
                size += len(part)
                if size > self._max_answer_bytes:
                    raise aiohttp.ClientPayloadError(f"an answer above {self._max_answer_bytes} bytes")
                parts.append(part)
            return response.status, b"".join(parts)

    def _note(self, asked_ns: int, fault: EthereumFault | None) -> None:
        now_ns, health = self._clock_ns(), self.health
        now_ms = now_ns // 1_000_000
        changes: dict[str, Any] = {"call_count": health.call_count + 1}
        if fault is None or isinstance(fault, RpcError):
            changes |= {
                "faults_in_row": 0,
                "last_answer_at": now_ms,
                "latency_us": max(0, now_ns - asked_ns) // 1000,  # a clock may be put back
            }
        else:
            changes |= {
                "fault_count": health.fault_count + 1,
                "faults_in_row": health.faults_in_row + 1,
                "last_fault_at": now_ms,
                "last_fault": str(fault)[:_MAX_PROBLEM],
            }
        if isinstance(fault, RpcError):
            changes |= {
                "error_count": health.error_count + 1,
                "last_error_at": now_ms,
                "last_error": str(fault)[:_MAX_PROBLEM],
            }
        self.health = msgspec.structs.replace(health, **changes)

    def _hide(self, words: str) -> str:
        """Providers like to quote the key that has reached its limit."""
        for secret in self._secrets:
            words = words.replace(secret, "…")
        return words

    def _fault(self, method: str, error: BaseException) -> EthereumFault:
        # The text of a ClientResponseError, of an answer that is not HTTP, holds the whole URL. Those of other errors
        # hold the host at most; that of InvalidURL is ruled out above.
        words = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
        return EthereumFault(f"{method}: {self.name}: {self._hide(words)[:_MAX_WORDS] or type(error).__name__}")


def _find_secrets(parts: SplitResult) -> tuple[str, ...]:
    """Whatever of a URL may be a key, the longest first."""
    found = [parts.username or "", parts.password or "", *parts.path.split("/")]
    found += [value for _, value in parse_qsl(parts.query)]
    found += [unquote(part) for part in found]
    return tuple(sorted({part for part in found if len(part) >= _MIN_SECRET}, key=len, reverse=True))
