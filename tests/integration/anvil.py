"""Anvil as a process beside programs of ours, and what is asked of any Ethereum over HTTP."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from tests.network import wait_until


@contextlib.contextmanager
def start_anvil(program: Path, directory: Path, *options: str) -> Iterator[str]:
    """On a port of its own choice, its log in `directory`: its URL. Killed at the end."""
    log = directory / "anvil.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(program), "--port", "0", *options],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        found = wait_until(lambda: re.search(r"Listening on (127\.0\.0\.1:\d+)", log.read_text()), "anvil's start")
        yield f"http://{found[1]}"
    finally:
        # npm's program starts the real one, and does not take it along.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(l1_url: str, method: str, *params: Any) -> Any:
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    answer = requests.post(l1_url, json=call, timeout=30).json()
    assert "result" in answer, answer
    return answer["result"]
