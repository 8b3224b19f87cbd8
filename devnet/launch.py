"""`tally devnet`: a whole network on one machine. An Ethereum, the contract, a token, funded accounts, a node.

The launcher starts the others as processes of their own and watches them: a node that dies is started again, without
the embedded Ethereum the network ends, and when the launcher itself is gone, all of them do.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from chain import wire
from chain.params import compute_ledger_chain_id
from devnet.bootstrap import derive_accounts, open_keys, set_up
from devnet.demo import play
from devnet.l1.process import find_import_path, start_l1
from devnet.settings import DevnetOptions, DevnetProblem, Setup
from node.config import LOCAL_HOSTS
from node.ethereum.endpoint import Endpoint, split_url
from node.ethereum.faults import EthereumFault
from node.ethereum.gateway import decode_quantity

_READY_SECONDS: Final = 180
_STOP_SECONDS: Final = 20
_RESTART_SECONDS: Final = 1.0
_WATCH_SECONDS: Final = 0.5

_log = structlog.get_logger(__name__)


def run(options: DevnetOptions, on_ready: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Runs until SIGTERM or SIGINT. `on_ready` hears what is also written to the ready file.

    Raises `DevnetProblem`, `L1DidNotStart`, `EthereumFault` (a client that does not answer), `Reverted`, OSError.
    """
    options.data_dir.mkdir(parents=True, exist_ok=True)
    if options.ready_file is not None:
        options.ready_file.unlink(missing_ok=True)
    with _open_ethereum(options) as (l1_url, l1_process):
        asyncio.run(_Devnet(options, l1_url, l1_process, on_ready).run())


@contextlib.contextmanager
def _open_ethereum(options: DevnetOptions) -> Iterator[tuple[str, subprocess.Popen[bytes] | None]]:
    if options.l1_url is not None:
        yield options.l1_url, None
        return
    with start_l1(options.data_dir / "l1", port=options.l1_port) as l1:
        yield l1.url, l1.process


class _Devnet:
    def __init__(
        self,
        options: DevnetOptions,
        l1_url: str,
        l1_process: subprocess.Popen[bytes] | None,
        on_ready: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self._options = options
        self._l1_url = l1_url
        self._l1_process = l1_process
        self._on_ready = on_ready
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        running = asyncio.ensure_future(self._run())
        stopping = asyncio.ensure_future(self._stopping.wait())
        ending = [running, stopping, asyncio.ensure_future(self._watch_ethereum())]
        try:
            done, _ = await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
        for task in done:
            task.result()

    async def _watch_ethereum(self) -> None:
        """Raises `DevnetProblem` when the embedded one ends: it is not started again under a node that follows it."""
        while self._l1_process is None or self._l1_process.poll() is None:  # noqa: ASYNC110 (no event says it)
            await asyncio.sleep(_WATCH_SECONDS)
        raise DevnetProblem(f"the embedded Ethereum ended: exit status {self._l1_process.returncode}")

    async def _run(self) -> None:
        directory = self._options.data_dir
        keys = open_keys(directory / "keys")
        setup = await self._open_setup(keys)
        config = self._write_config(setup)
        async with self._supervise(config) as port:
            facts = await self._describe(setup, keys["operator"].address, await port)
            await _wait_for_balances(facts)
            self._announce(facts)
            if self._options.demo:
                await play(facts["rpcUrl"], setup.demo_keys)
            await asyncio.Event().wait()

    async def _open_setup(self, keys: dict[str, Any]) -> Setup:
        """What an earlier start left, or a new deployment."""
        path = self._options.data_dir / "devnet.json"
        if path.exists():
            setup = _read_setup(path)
            await self._check_setup(setup)
            return setup
        _log.info("deploying contract and token, funding accounts", l1_url=self._l1_url)
        setup = await set_up(self._options, self._l1_url, keys)
        _write_file(path, msgspec.json.encode(setup))
        return setup

    async def _check_setup(self, setup: Setup) -> None:
        endpoint = Endpoint(self._l1_url)
        try:
            chain_id = decode_quantity(await endpoint.call("eth_chainId", []))
            code = await endpoint.call("eth_getCode", [wire.encode_bytes(setup.settlement), "latest"])
        except EthereumFault as fault:
            raise DevnetProblem(f"{self._l1_url} does not answer: {fault}") from fault
        finally:
            await endpoint.close()
        if chain_id != setup.l1_chain_id or code == "0x":
            raise DevnetProblem(
                f"{self._options.data_dir} is of contract {wire.encode_address(setup.settlement)} on chain "
                f"{setup.l1_chain_id}, which is not at {self._l1_url}; take another --data-dir"
            )

    def _write_config(self, setup: Setup) -> Path:
        """The node's configuration: what `tally node --config` takes, too."""
        options, keys = self._options, self._options.data_dir / "keys"
        # Pages suggest it to browsers; one elsewhere is not shown to everybody unasked, for its URL may hold a key.
        is_local = split_url(self._l1_url).hostname in LOCAL_HOSTS
        sections: dict[str, dict[str, Any]] = {
            "": {
                "data_dir": str((options.data_dir / "node").resolve()),
                "host": options.host,
                "port": options.port,
                "epoch_seconds": options.epoch_seconds,
                "log_format": "console" if sys.stderr.isatty() else "json",
                "log_level": "warning",
            },
            "ethereum": {
                "url": self._l1_url,
                "chain_id": setup.l1_chain_id,
                "settlement": wire.encode_address(setup.settlement),
                "confirmations": 1,
                "poll_seconds": 0.5,
                "rebroadcast_seconds": 3,
                "bump_seconds": 12,
                "daily_budget_gwei": 10**12,
            },
            **{
                role: {
                    "keystore": str((keys / f"{role}.json").resolve()),
                    "password_file": str((keys / "password").resolve()),
                }
                for role in ("operator", "gas", "escrow")
            },
            "market": {
                "validator_share": setup.market.validator_share,
                "owner_share": setup.market.owner_share,
                "commission": setup.market.commission,
            },
            "market.storage_rates": dict(setup.market.storage_rates),
            "explorer": {"public_l1_url": self._l1_url} if is_local else {},
        }
        lines = ["# Written by `tally devnet` at every start.\n"]
        for section, values in sections.items():
            lines.append(f"\n[{section}]\n" if section else "")
            # JSON's strings and numbers are TOML's, too.
            lines += [f"{key} = {json.dumps(value)}\n" for key, value in values.items()]
        path = options.data_dir / "node.toml"
        _write_file(path, "".join(lines).encode())
        return path

    @contextlib.asynccontextmanager
    async def _supervise(self, config: Path) -> AsyncIterator["asyncio.Future[int]"]:
        """Keeps a node running. Yields its port, once it has one. Raises `DevnetProblem` when it has none."""
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        parent_reader, parent_writer = os.pipe()
        keeping = asyncio.ensure_future(self._keep_running(config, port, parent_reader))
        body = asyncio.current_task()
        assert body is not None

        def interrupt(_: object) -> None:
            body.cancel()

        keeping.add_done_callback(interrupt)
        try:
            yield port
        except asyncio.CancelledError:
            if keeping.done():
                keeping.result()  # raises what we were interrupted for
            raise
        finally:
            keeping.remove_done_callback(interrupt)
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            os.close(parent_reader)
            os.close(parent_writer)

    async def _keep_running(self, config: Path, port: "asyncio.Future[int]", parent_fd: int) -> None:
        while True:
            # Whoever was told a port finds the node there again, also when any free one was asked for.
            chosen = {"TALLYSTICK_PORT": str(port.result())} if port.done() else {}
            ready_reader, ready_writer = os.pipe()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "node", "--config", str(config),
                "--parent-fd", str(parent_fd), "--ready-fd", str(ready_writer),
                pass_fds=(parent_fd, ready_writer),
                stdin=subprocess.DEVNULL,
                env={**os.environ, **chosen, "PYTHONPATH": os.pathsep.join(find_import_path())},
            )  # fmt: skip
            os.close(ready_writer)
            try:
                line = await asyncio.to_thread(_read_line, ready_reader)
                if line and not port.done():
                    port.set_result(int(line))
                status = await process.wait()
            finally:
                if process.returncode is None:
                    process.terminate()
                    try:
                        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
                    except TimeoutError:
                        process.kill()
                        await process.wait()
            if not port.done():
                raise DevnetProblem(f"the node did not start: exit status {status}")
            _log.error("the node ended; starting it again", status=status)
            await asyncio.sleep(_RESTART_SECONDS)

    async def _describe(self, setup: Setup, operator: str, port: int) -> dict[str, Any]:
        """What the ready file holds."""
        url = f"http://{self._options.host}:{port}"
        return {
            "rpcUrl": url,
            "explorerUrl": url,
            "l1Url": self._l1_url,
            "settlement": wire.encode_address(setup.settlement),
            "token": wire.encode_address(setup.token),
            "ledgerChainId": compute_ledger_chain_id(setup.l1_chain_id, setup.settlement),
            "operator": operator,
            "accounts": [
                {"address": account.address, "privateKey": wire.encode_bytes(bytes(account.key))}
                for account in derive_accounts()
            ],
            "dataDir": str(self._options.data_dir.resolve()),
        }

    def _announce(self, facts: dict[str, Any]) -> None:
        if self._options.ready_file is not None:
            _write_file(self._options.ready_file, json.dumps(facts, indent=2).encode())
        if self._on_ready is not None:
            self._on_ready(facts)


async def _wait_for_balances(facts: dict[str, Any]) -> None:
    """Ready means that the ten accounts can pay: their deposits, made at the first start, are credited."""
    endpoint = Endpoint(facts["rpcUrl"])
    try:
        async with asyncio.timeout(_READY_SECONDS):
            for account in facts["accounts"]:
                while True:
                    answer = await endpoint.call("tally_getAccount", [account["address"]])
                    # Both assets are listed from the start; an account that has used nonces has had its money.
                    if answer["nextNonce"] != "0x0" or (
                        len(answer["balances"]) > 1 and all(line["balance"] != "0x0" for line in answer["balances"])
                    ):
                        break
                    await asyncio.sleep(0.2)
    except TimeoutError as error:
        raise DevnetProblem(f"the deposits were not credited within {_READY_SECONDS} s") from error
    finally:
        await endpoint.close()


def _read_setup(path: Path) -> Setup:
    """Raises `DevnetProblem` for that of a version with another set-up, whose ledger this one could not go on with."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Setup)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DevnetProblem(
            f"{path} was not written by this version ({error}): the ledger there has other parameters, or none. Take "
            "another --data-dir, or delete that one"
        ) from error


def _read_line(fd: int) -> str:
    with os.fdopen(fd) as pipe:
        return pipe.readline()


def _write_file(path: Path, content: bytes) -> None:
    """Whole or not at all, readable by the owner alone: it may hold keys."""
    unfinished = path.with_name(path.name + ".unfinished")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
