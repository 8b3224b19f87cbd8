"""The process: listens, mines by the clock, and ends when it is told to or when its parent is gone."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NoReturn

import msgspec
import uvicorn

from devnet.l1 import genesis
from devnet.l1.chain import Chain
from devnet.l1.methods import Methods
from devnet.l1.rpc import RpcApplication
from devnet.l1.store import DataDirectoryError, Store

logger = logging.getLogger(__name__)

DEFAULT_PORT: Final = 8545
LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
READERS: Final = 4
"""Threads that answer requests. More would not answer faster: py-evm holds the interpreter's lock."""
MAX_CONNECTIONS: Final = 512
"""Beyond it the answer is 503."""
STACK_BYTES: Final = 256 << 20
"""Of address space, for each thread. The EVM nests calls up to 1,024 deep, and for that py-evm raises Python's
recursion limit to 12,288 for everything: JSON nested as deep takes 32 MiB of stack before it is refused."""
MAX_SLEEP_S: Final = 1.0
"""Between two looks at the clock: it may be set while we sleep."""
CLOCK_BEHIND_S: Final = 60
"""A longer wait for the next block than this is worth a warning: somebody has set the clock back."""
GRACE_S: Final = 3
"""For requests being answered when the process is told to end."""


def run(
    port: int = DEFAULT_PORT,
    data_dir: Path | None = None,
    chain_id: int | None = None,
    block_time_s: int = 1,
    parent_fd: int | None = None,
    ready_fd: int | None = None,
    host: str = "127.0.0.1",
) -> None:
    """Serves until SIGTERM, SIGINT, or end of file on `parent_fd`.

    port: 0 takes any free one. data_dir: resumed if it holds a chain; None is a temporary one. chain_id: None is the
    data directory's own, 31337 for a new one. parent_fd: the reading end of a pipe whose other end only the parent
    holds. ready_fd: once listening, one line of JSON `{"url", "port", "chainId", "block"}` is written there, and it is
    closed.

    DataDirectoryError, OSError (the port is taken)."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)  # unless the caller has set up its own
    threading.stack_size(STACK_BYTES)
    with ExitStack() as resources:
        temporary_dir = None if data_dir else resources.enter_context(tempfile.TemporaryDirectory(prefix="tally-l1-"))
        listener = resources.enter_context(socket.create_server((host, port)))
        # Accepted sockets inherit it. asyncio would set it for them, but not for those of a ready-made listener, and
        # then each answer waits 40 ms for an acknowledgement between its head and its body.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        store = Store(data_dir or Path(str(temporary_dir)))
        resources.callback(store.close)
        chain = Chain(store, chain_id, block_time_s=block_time_s)

        def announce() -> None:
            bound_port = listener.getsockname()[1]
            url = f"http://{host}:{bound_port}"
            if (wait_s := chain.compute_wait_s()) > CLOCK_BEHIND_S:
                logger.warning("the clock is behind the last block: the next one comes in %d s", wait_s)
            logger.info("chain %d at block %d, listening on %s", chain.chain_id, chain.head.block_number, url)
            if ready_fd is not None:
                ready = {"url": url, "port": bound_port, "chainId": chain.chain_id, "block": chain.head.block_number}
                with os.fdopen(ready_fd, "wb") as pipe:
                    pipe.write(msgspec.json.encode(ready) + b"\n")

        def abandon() -> NoReturn:
            # A call cannot be interrupted, and the store must not be closed under it. Everything that was answered is
            # on disk, so leaving like this loses nothing.
            logger.warning("a call is still running: leaving without it")
            if temporary_dir is not None:
                shutil.rmtree(temporary_dir, ignore_errors=True)
            os._exit(0)

        asyncio.run(serve(chain, listener, parent_fd, announce, abandon))


async def serve(
    chain: Chain,
    listener: socket.socket,
    parent_fd: int | None,
    announce: Callable[[], None],
    abandon: Callable[[], NoReturn],
) -> None:
    """Ends when told to; raises what ends the mining, or the server, before that.

    announce: called once listening. abandon: ends the process when requests outlive the grace."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    if parent_fd is not None:
        watch_parent(loop, parent_fd, stop)

    readers = ThreadPoolExecutor(READERS, thread_name_prefix="l1-reader")
    miner = ThreadPoolExecutor(1, thread_name_prefix="l1-miner")
    server = Server(RpcApplication(Methods(chain), readers), announce)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    mining = asyncio.create_task(mine_by_the_clock(chain, miner))
    stopping = asyncio.create_task(stop.wait())
    try:
        ended, _ = await asyncio.wait({serving, mining, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in ended - {stopping}:
            task.result()
    finally:
        server.should_exit = True
        mining.cancel()
        stopping.cancel()
        _, unfinished = await asyncio.wait({serving}, timeout=GRACE_S)
        miner.shutdown()  # waits for the block that is being built
        if unfinished:
            abandon()
        readers.shutdown()


async def mine_by_the_clock(chain: Chain, executor: Executor) -> None:
    loop = asyncio.get_running_loop()
    while True:
        wait_s = chain.compute_wait_s()
        if wait_s > 0:
            await asyncio.sleep(min(wait_s, MAX_SLEEP_S))
            continue
        block = await loop.run_in_executor(executor, chain.mine)
        if block is not None and block.transactions:
            count = len(block.transactions)
            logger.info("block %d: %d transactions, %d gas", block.number, count, block.header.gas_used)


def watch_parent(loop: asyncio.AbstractEventLoop, parent_fd: int, stop: asyncio.Event) -> None:
    """The kernel closes the other end when the parent dies, however it dies."""

    def look() -> None:
        if not os.read(parent_fd, 4096):
            loop.remove_reader(parent_fd)
            logger.info("the parent is gone")
            stop.set()

    loop.add_reader(parent_fd, look)


class Server(uvicorn.Server):
    """uvicorn, without its signal handlers: the process has its own, for it does more than serve."""

    def __init__(self, application: RpcApplication, announce: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=75,
            )
        )
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 after an orderly end, 1 if it cannot start."""
    parser = argparse.ArgumentParser(prog="tally l1", description="A development Ethereum that mines by the clock.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes any free one (%(default)s)")
    parser.add_argument("--data-dir", type=Path, help="resumed if it holds a chain; a temporary one if not given")
    parser.add_argument("--chain-id", type=int, help=f"of a new chain ({genesis.DEFAULT_CHAIN_ID})")
    parser.add_argument("--block-time", type=int, default=1, help="seconds from block to block (%(default)s)")
    parser.add_argument("--parent-fd", type=int, help="end when this file descriptor is closed at its other end")
    parser.add_argument("--ready-fd", type=int, help="write one line of JSON there once listening")
    options = parser.parse_args(arguments)
    if options.block_time < 1:
        parser.error("--block-time is at least 1: timestamps are whole seconds and must grow")
    try:
        run(
            port=options.port,
            data_dir=options.data_dir,
            chain_id=options.chain_id,
            block_time_s=options.block_time,
            parent_fd=options.parent_fd,
            ready_fd=options.ready_fd,
            host=options.host,
        )
    except (DataDirectoryError, OSError) as error:
        logger.error("%s", error)
        return 1
    return 0
