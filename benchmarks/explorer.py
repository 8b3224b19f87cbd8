"""The explorer over a million payments: how long each kind of page takes, and a file of all that one account did.

The read side is the node's own, in one process behind the node's HTTP server; a client in another asks page after page
over one connection, in random order. What Ethereum would say is made up: every sealed epoch is mined, all but the last
two are final.
"""

import contextlib
import http.client
import multiprocessing
import random
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import uvicorn
import uvloop

from benchmarks.ledger import BuiltLedger, LedgerBuilder
from chain.wire import encode_address, encode_bytes
from node.collector import relax_collector
from node.ethereum.submission import EpochState
from node.ledger_info import AssetInfo
from tests.unit.explorer.conftest import World
from tests.unit.node.index.history import RandomLedger

PAYMENT_COUNT: Final = 1_000_000
_ROUNDS: Final = 60
"""Requests of each kind of page, after one that is not counted."""

_START_SECONDS: Final = 60
_TIMEOUT_SECONDS: Final = 60
_SAMPLE_SECONDS: Final = 0.05
_READ_BYTES: Final = 1 << 16
_RECORD_BITS: Final = 20
"""Of a cursor: below the number of the block, the record."""

_MakePath = Callable[[], str]


class PageTimes(msgspec.Struct, frozen=True):
    """Milliseconds from the request to the last byte of the answer."""

    name: str
    is_bounded: bool
    """False for what is asked to give so much that no bound is promised."""
    p50: float
    p95: float


class ExportFigures(msgspec.Struct, frozen=True):
    row_count: int
    rows_per_second: float
    growth: int
    """Bytes that the server's own memory grew by at most while it sent the file."""


class ExplorerFigures(msgspec.Struct, frozen=True):
    build_seconds: float
    pages: list[PageTimes]
    export: ExportFigures


def measure_explorer(payment_count: int = PAYMENT_COUNT) -> ExplorerFigures:
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        ledger = LedgerBuilder(Path(directory), payment_count).build()
        build_seconds = time.perf_counter() - start
        with start_reading(Path(directory), ledger) as server:
            pages = measure_pages(server, ledger)
            return ExplorerFigures(build_seconds, pages, measure_export(server, ledger))


# --- the server


class Server(msgspec.Struct, frozen=True):
    port: int
    pid: int

    def read_memory(self) -> int:
        """Bytes that are its own. What it has mapped of the index's file is the kernel's to take back."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the kernel does not say what memory the server has")


@contextlib.contextmanager
def start_reading(directory: Path, ledger: BuiltLedger) -> Iterator[Server]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(directory, ledger, theirs))
    process.start()
    theirs.close()
    try:
        if not ours.poll(_START_SECONDS):
            raise RuntimeError("the explorer did not start")
        yield Server(ours.recv(), process.pid or 0)
    finally:
        ours.close()
        process.terminate()
        process.join()


def _serve(directory: Path, ledger: BuiltLedger, parent: Connection) -> None:
    world = World(directory, ledger.parameters, ledger.last_ms + 5_000)
    for asset, symbol in zip(ledger.assets, ("ETH", "TOK"), strict=True):
        world.info.take_asset(asset, AssetInfo(symbol, 18))
    # As far as the world looks: what was sealed, and for which domain.
    sealed = {commitment.epoch: (_Sealed(commitment), b"") for commitment in ledger.commitments}
    told = cast(RandomLedger, _Told(sealed, ledger.parameters))
    for epoch in sealed:
        world.send(told, epoch, EpochState.FINAL if epoch <= len(sealed) - 2 else EpochState.MINED)
    config = uvicorn.Config(
        world.explorer, interface="asgi3", http="httptools", lifespan="off", log_config=None, access_log=False
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        relax_collector()
        parent.send(listener.getsockname()[1])
        uvloop.run(uvicorn.Server(config).serve([listener]))


class _Sealed(msgspec.Struct, frozen=True):
    commitment: Any


class _Told(msgspec.Struct, frozen=True):
    sealed: dict[int, Any]
    parameters: Any


# --- pages


def measure_pages(server: Server, ledger: BuiltLedger, rounds: int = _ROUNDS) -> list[PageTimes]:
    kinds = make_questions(ledger, random.Random(7))
    asked = [name for name in kinds for _ in range(rounds)]
    random.Random(8).shuffle(asked)
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_SECONDS)
    for name in kinds:
        _ask(connection, kinds[name]())
    for name in asked:
        path = kinds[name]()
        start = time.perf_counter()
        _ask(connection, path)
        taken[name].append((time.perf_counter() - start) * 1000)
    connection.close()
    return [
        PageTimes(name, not name.startswith("*"), _find_percentile(times, 50), _find_percentile(times, 95))
        for name, times in taken.items()
    ]


def _ask(connection: http.client.HTTPConnection, path: str) -> None:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status not in (200, 303) or (path.startswith("/api?") and b'"NOTOK"' in body):
        raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")


def _find_percentile(times: list[float], percent: int) -> float:
    return sorted(times)[min(len(times) * percent // 100, len(times) - 1)]


def make_questions(ledger: BuiltLedger, rng: random.Random) -> dict[str, _MakePath]:
    """Kind of page → the path of any page of it. Whose name begins with `*` asks for very much."""
    busy, quiet = encode_address(ledger.busy), encode_address(ledger.quiet)
    ether, token = [encode_address(asset) for asset in ledger.assets]
    epoch_count = len(ledger.commitments)

    def pick(values: list[bytes]) -> str:
        return encode_bytes(rng.choice(values))

    def place() -> str:
        return f"{rng.randint(1, ledger.block_count) << _RECORD_BITS | rng.randrange(500):016x}"

    def block() -> int:
        return rng.randint(1, ledger.block_count)

    def epoch() -> int:
        return rng.randint(1, epoch_count)

    def span() -> str:
        first = rng.randint(ledger.first_ms // 1000, ledger.last_ms // 1000)
        return f"from={first}&to={first + rng.randint(1, 40_000)}"

    def account() -> str:
        return encode_address(rng.choice(ledger.accounts))

    direction = choose(rng, ("in", "out"))
    kind = choose(rng, ("transfer", "tip", "withdraw"))
    way = choose(rng, ("before", "after"))
    payments, of_busy, statement = "/payments", f"/address/{busy}", f"/address/{busy}/statement"
    rest, etherscan = "/api/v1", "/api?module"
    return {
        "nothing but the way there and back": lambda: "/health/live",
        "home": lambda: "/",
        "payments": lambda: payments,
        "payments, 100 on a page": lambda: f"{payments}?limit=100",
        "payments, deep": lambda: f"{payments}?{way()}={place()}",
        "payments of an asset, deep": lambda: f"{payments}?asset={rng.choice((ether, token))}&{way()}={place()}",
        "payments of a kind, deep": lambda: f"{payments}?kind={kind()}&{way()}={place()}",
        "payments of a kind and an asset": lambda: f"{payments}?kind={kind()}&asset={token}",
        "payments, accepted": lambda: f"{payments}?status=accepted",
        "payments, committed": lambda: f"{payments}?status=committed",
        "payments, final": lambda: f"{payments}?status=final",
        "payments within a time": lambda: f"{payments}?{span()}",
        "payments with a reference": lambda: f"{payments}?reference={pick(ledger.references)}",
        "payments of any account": lambda: f"{payments}?account={account()}",
        "payments of the busy one, both ways": lambda: f"{payments}?account={busy}&{way()}={place()}",
        "payments of the busy one, one way": lambda: f"{payments}?account={busy}&direction={direction()}&{span()}",
        "payments of the busy one, of a kind": lambda: f"{payments}?account={busy}&kind={kind()}&{way()}={place()}",
        "payments of the busy one, with another": lambda: f"{payments}?account={busy}&counterparty={account()}",
        "payments of the busy one, with nobody": lambda: f"{payments}?account={busy}&counterparty=0x{'77' * 20}",
        "payments, all filters at once": lambda: (
            f"{payments}?account={busy}&direction={direction()}&counterparty={account()}&asset={token}&kind=transfer"
            f"&status=final&{span()}"
        ),
        "a payment": lambda: f"/tx/{pick(ledger.payment_ids)}",
        "a payment's receipt": lambda: f"/tx/{pick(ledger.payment_ids)}/receipt",
        "a deposit": lambda: f"/tx/{pick(ledger.deposit_ids)}",
        "the busy account": lambda: of_busy,
        "the busy account, deep": lambda: f"{of_busy}?{way()}={place()}",
        "a quiet account": lambda: f"/address/{quiet}",
        "any account": lambda: f"/address/{account()}",
        "an account's deposits": lambda: f"/address/{account()}/deposits",
        "a statement of an epoch": lambda: f"{statement}?asset={ether}&epoch={epoch()}",
        "a statement of all time": lambda: f"{statement}?asset={ether}",
        "a statement of all time, deep": lambda: f"{statement}?asset={ether}&cursor={place()}{0:016x}",
        "a statement of a time": lambda: f"{statement}?asset={token}&{span()}",
        "a quiet statement": lambda: f"/address/{quiet}/statement?asset={ether}",
        "blocks": lambda: "/blocks",
        "blocks, deep": lambda: f"/blocks?before={block()}",
        "a block": lambda: f"/block/{block()}",
        "a block by its hash": lambda: f"/block/{pick(ledger.block_hashes)}",
        "epochs": lambda: "/epochs",
        "an epoch": lambda: f"/epoch/{epoch()}",
        "charts": lambda: f"/charts?span={rng.choice(('hour', 'day'))}",
        "reserves": lambda: "/reserves",
        "developers": lambda: "/developers",
        "search": lambda: "/search?q=" + rng.choice(
            (pick(ledger.payment_ids), pick(ledger.block_hashes), pick(ledger.references), account(), str(block()))
        ),
        "REST: the ledger": lambda: f"{rest}/ledger",
        "REST: payments, deep": lambda: f"{rest}/payments?limit=100&before={place()}",
        "REST: payments of the busy one": lambda: f"{rest}/payments?account={busy}&limit=100&{way()}={place()}",
        "REST: a payment": lambda: f"{rest}/payments/{pick(ledger.payment_ids)}",
        "REST: a receipt": lambda: f"{rest}/payments/{pick(ledger.payment_ids)}/receipt",
        "REST: an account": lambda: f"{rest}/accounts/{account()}",
        "REST: a statement": lambda: f"{rest}/accounts/{busy}/statement?asset={ether}&epoch={epoch()}&limit=100",
        "REST: blocks": lambda: f"{rest}/blocks?before={block() + 1}",
        "REST: a block's records": lambda: f"{rest}/blocks/{block()}/records?limit=100",
        "REST: an epoch": lambda: f"{rest}/epochs/{epoch()}",
        "REST: a commitment": lambda: f"{rest}/epochs/{epoch()}/commitment",
        "REST: activity": lambda: f"{rest}/activity?length=minute&since={ledger.first_ms // 1000}&limit=1000",
        "Etherscan: balance": lambda: f"{etherscan}=account&action=balance&address={account()}",
        "Etherscan: txlist, 100 rows": lambda: (
            f"{etherscan}=account&action=txlist&address={busy}&startblock={block()}&sort=desc&page=1&offset=100"
        ),
        "Etherscan: tokentx, 100 rows": lambda: (
            f"{etherscan}=account&action=tokentx&address={account()}&page=1&offset=100"
        ),
        "Etherscan: block by time": lambda: (
            f"{etherscan}=block&action=getblocknobytime&closest=before&timestamp={ledger.last_ms // 1000 - block()}"
        ),
        "* Etherscan: txlist, 10,000 rows": lambda: f"{etherscan}=account&action=txlist&address={busy}",
    }  # fmt: skip


def choose(rng: random.Random, values: tuple[str, ...]) -> _MakePath:
    return lambda: rng.choice(values)


# --- a file


def measure_export(server: Server, ledger: BuiltLedger) -> ExportFigures:
    """Of all payments of the busy account, as CSV; read as it comes."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_SECONDS)
    before = most = server.read_memory()
    start = sampled_at = time.perf_counter()
    connection.request("GET", f"/export/payments.csv?account={encode_address(ledger.busy)}")
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"the file was answered with {answer.status}")
    line_count, end = 0, b""
    while part := answer.read(_READ_BYTES):
        line_count += part.count(b"\n")
        end = (end + part)[-200:]
        if time.perf_counter() - sampled_at > _SAMPLE_SECONDS:
            most = max(most, server.read_memory())
            sampled_at = time.perf_counter()
    elapsed = time.perf_counter() - start
    connection.close()
    last_line = end.decode().splitlines()[-1]
    row_count = int(last_line.removeprefix("# end of ").removesuffix(" rows").replace(",", ""))
    if line_count < row_count:
        raise RuntimeError(f"{line_count} lines for {row_count} rows")
    return ExportFigures(row_count, row_count / elapsed, max(most, server.read_memory()) - before)
