"""Starting `devnet.l1` as a process that does not outlive the one that started it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 10.0
PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]


class L1DidNotStart(Exception):
    """It ended, or said nothing in time; its log on standard error says why."""


@dataclass(frozen=True, slots=True)
class L1Process:
    """A listening development Ethereum."""

    url: str
    port: int
    chain_id: int
    block: int
    """Number of the head when it started: 0 for a new chain."""
    process: subprocess.Popen[bytes]


@contextmanager
def start_l1(
    data_dir: Path, *, port: int = 0, chain_id: int | None = None, block_time_s: int = 1
) -> Iterator[L1Process]:
    """Runs it for the length of the block. It ends with this process even if that is killed. L1DidNotStart."""
    command = [sys.executable, "-m", "devnet.l1", "--data-dir", str(data_dir), "--port", str(port)]
    command += ["--block-time", str(block_time_s)]
    if chain_id is not None:
        command += ["--chain-id", str(chain_id)]
    with ExitStack() as resources:
        ready_reader, ready_writer = os.pipe()
        ready = resources.enter_context(os.fdopen(ready_reader, "rb"))
        # Nobody writes to this one: it comes to its end when we, the only holder of the writing end, are gone.
        parent_reader, parent_writer = os.pipe()
        resources.callback(os.close, parent_writer)
        try:
            process = subprocess.Popen(
                [*command, "--ready-fd", str(ready_writer), "--parent-fd", str(parent_reader)],
                pass_fds=(ready_writer, parent_reader),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(find_import_path())},
            )
        finally:
            os.close(ready_writer)
            os.close(parent_reader)
        resources.callback(stop, process)
        readable, _, _ = select.select([ready], [], [], START_TIMEOUT_S)
        line = ready.readline() if readable else b""
        if not line:
            raise L1DidNotStart(f"exit status {process.poll()}")
        told = msgspec.json.decode(line)
        yield L1Process(told["url"], told["port"], told["chainId"], told["block"], process)


def find_import_path() -> list[str]:
    """So that the child finds this package from any working directory, installed or not."""
    inherited = os.environ.get("PYTHONPATH")
    return [str(PACKAGE_ROOT), *([inherited] if inherited else [])]


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
