"""The whole service under load: a development network in processes of its own, and clients on the same machine."""

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from coincurve import PrivateKey

from benchmarks.load import Load, encode_call, encode_http, make_load
from benchmarks.market import Stand, register_marts
from chain import wire
from chain.kinds import PURCHASE, TRANSFER
from chain.params import Domain
from chain.primitives import Address
from node.ethereum.endpoint import Endpoint

_START_SECONDS: Final = 120
_BATCH: Final = 200
_CONNECTIONS: Final = 5
_BATCHES: Final = 30
"""A connection."""

_TURNS: Final = 5
"""Of purchases and of transfers: so many times each, six batches a connection."""

_SEND_PAYMENT: Final = b"tally_sendPayment"
_SEND_INSTRUCTION: Final = b"tally_sendInstruction"

_SINGLE_CONNECTIONS: Final = 32
_SINGLE_SECONDS: Final = 5
_SINGLE_PAYMENTS: Final = 60_000

_WRK_SCRIPT: Final = """
local requests, at = {}, -1
function init(args)
  for line in io.lines(args[1]) do requests[#requests + 1] = line end
end
-- wrk asks once before it begins, and sends nothing: the first is given thrice, lest its nonce be missing.
function request()
  at = at + 1
  return wrk.format("POST", "/", {["Content-Type"] = "application/json"}, requests[math.max(at, 1)])
end
local bad = 0
function response(status, headers, body)
  if not string.find(body, '"status":"accepted"', 1, true) then
    bad = bad + 1
    if bad < 3 then print("not a receipt: " .. body) end
  end
end
"""


class Service:
    """A running network, and whose money it is."""

    def __init__(self, facts: dict[str, Any], domain: Domain) -> None:
        self.url: str = facts["rpcUrl"]
        self.token: Address = wire.decode_address(facts["token"], "token")
        self.keys = [PrivateKey(bytes.fromhex(account["privateKey"][2:])) for account in facts["accounts"]]
        self.domain = domain
        self.nonces: dict[Address, int] = {}

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def sign(self, keys: list[PrivateKey], count: int) -> Load:
        return make_load(keys, self.token, self.domain, count, self.nonces)


@contextlib.contextmanager
def start_service() -> Iterator[Service]:
    """A fresh network whose epoch outlasts the benchmark."""
    with tempfile.TemporaryDirectory() as directory:
        ready = Path(directory) / "ready.json"
        command = ["-m", "devnet", "--data-dir", directory, "--port", "0", "--l1-port", "0", "--epoch-seconds", "3600"]
        process = subprocess.Popen(
            [sys.executable, *command, "--ready-file", str(ready)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the development network did not start")
                time.sleep(0.1)
            facts = json.loads(ready.read_text())
            info = asyncio.run(_get_info(facts["rpcUrl"]))
            contract = wire.decode_address(info["settlement"], "settlement")
            yield Service(facts, Domain(int(info["ledgerChainId"], 16), contract))
        finally:
            process.terminate()
            process.wait(30)


async def _get_info(url: str) -> dict[str, Any]:
    endpoint = Endpoint(url)
    try:
        answer: dict[str, Any] = await endpoint.call("tally_getInfo", [])
        return answer
    finally:
        await endpoint.close()


def measure_batches(service: Service) -> tuple[float, Load]:
    """Payments a second: batches of 200 from 5 connections, each sending the next when the last is answered."""
    share = len(service.keys) // _CONNECTIONS
    loads = [
        service.sign(service.keys[place * share : (place + 1) * share], _BATCH * _BATCHES)
        for place in range(_CONNECTIONS)
    ]
    requests = [_make_batches(load.make_submissions()) for load in loads]
    elapsed = asyncio.run(_send_all(service.port, requests))
    return _BATCH * _BATCHES * _CONNECTIONS / elapsed, loads[0]


def measure_purchases(service: Service) -> tuple[float, float]:
    """(purchases a second, transfers a second), sent as `measure_batches` sends. They take turns, so that whatever else
    this machine does meets them alike."""
    share = len(service.keys) // _CONNECTIONS
    stands = [Stand(number, service.token, service.domain) for number in range(_CONNECTIONS)]
    groups = [service.keys[place * share : (place + 1) * share] for place in range(_CONNECTIONS)]
    marts = register_marts(service.keys, service.domain, service.nonces)
    asyncio.run(_send_all(service.port, [_make_batches(marts, _SEND_INSTRUCTION)]))
    opening = [_make_batches(stand.open(), _SEND_INSTRUCTION) for stand in stands]
    asyncio.run(_send_all(service.port, opening))
    listings = [_make_batches(stand.list_files(_BATCH * _BATCHES // share), _SEND_INSTRUCTION) for stand in stands]
    asyncio.run(_send_all(service.port, listings))
    elapsed = {PURCHASE: 0.0, TRANSFER: 0.0}
    size = _BATCH * _BATCHES // _TURNS
    for turn in range(_TURNS):
        files = slice(turn * size // share, (turn + 1) * size // share)
        loads = {
            PURCHASE: [
                stand.make_purchases(group, stand.files[files], service.nonces)
                for stand, group in zip(stands, groups, strict=True)
            ],
            TRANSFER: [service.sign(group, size) for group in groups],
        }
        for kind, sides in loads.items():
            requests = [_make_batches(load.make_submissions()) for load in sides]
            elapsed[kind] += asyncio.run(_send_all(service.port, requests))
    count = _BATCH * _BATCHES * _CONNECTIONS
    return count / elapsed[PURCHASE], count / elapsed[TRANSFER]


def _make_batches(submissions: list[bytes], method: bytes = _SEND_PAYMENT) -> list[bytes]:
    calls = [encode_call(submission, number, method) for number, submission in enumerate(submissions)]
    return [encode_http(b"[" + b",".join(calls[at : at + _BATCH]) + b"]") for at in range(0, len(calls), _BATCH)]


async def _send_all(port: int, requests: list[list[bytes]]) -> float:
    start = time.perf_counter()
    await asyncio.gather(*[_send(port, batches) for batches in requests])
    return time.perf_counter() - start


async def _send(port: int, batches: list[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=16 << 20)
    for batch in batches:
        count = batch.count(b'"jsonrpc"')
        writer.write(batch)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None
        body = await reader.readexactly(int(length.group(1)))
        receipts = body.count(b'"status":"accepted"')
        if receipts != count:
            raise RuntimeError(f"{receipts} receipts for {count} calls: {body[:300]!r}")
    writer.close()


def measure_single(service: Service) -> float | None:
    """Payments a second: one request each, 32 connections of wrk. None where wrk is not installed."""
    if shutil.which("wrk") is None:
        return None
    load = service.sign(service.keys, _SINGLE_PAYMENTS)
    with tempfile.TemporaryDirectory() as directory:
        script, bodies = Path(directory) / "payments.lua", Path(directory) / "bodies"
        script.write_text(_WRK_SCRIPT)
        calls = [encode_call(submission, number) for number, submission in enumerate(load.make_submissions())]
        bodies.write_bytes(b"\n".join(calls))
        command = ["wrk", "-t1", f"-c{_SINGLE_CONNECTIONS}", f"-d{_SINGLE_SECONDS}s", "-s", str(script)]
        output = subprocess.run(
            [*command, service.url, "--", str(bodies)], capture_output=True, text=True, check=True
        ).stdout
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", output)
    if rate is None or "not a receipt" in output or "Non-2xx" in output:
        raise RuntimeError(output)
    return float(rate.group(1))
