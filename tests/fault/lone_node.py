"""A node without its launcher, so that nobody starts it again; and its Ethereum as a process apart from both."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devnet.l1.process import L1Process, start_l1
from tests.network import PATIENCE_SECONDS, ROOT, Network, run_network, wait_until


class LoneNode(Network):
    """The node of a network that was set up, and has been stopped. Started by `start`, as `python -m node`."""

    def __init__(self, network: Network) -> None:
        super().__init__(network.directory)
        self.facts = dict(network.facts)
        self.keys, self.addresses = network.keys, network.addresses
        self.token, self.domain = network.token, network.domain
        self.data_dir = network.directory / "node"
        self._announcement = -1
        """The pipe on which the node says its port."""

    def start(self, *options: str, **environment: str) -> None:
        """Returns once it answers. Fails the test when it ends instead."""
        if not self.try_to_start(*options, **environment):
            pytest.fail(f"the node ended: {self.read_log()[-3000:]}")

    def try_to_start(self, *options: str, **environment: str) -> bool:
        """Whether it answers; False when it ended, with an exit status and a log that say why."""
        self.start_silently(*options, **environment)
        return self.read_port()

    def start_silently(self, *options: str, **environment: str) -> None:
        """Does not wait for anything."""
        self._announcement, writer = os.pipe()
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "node", "--config", str(self.directory / "node.toml")),
                    *("--ready-fd", str(writer), *options),
                ],
                cwd=ROOT, env={**os.environ, **environment}, pass_fds=(writer,), stdout=log, stderr=log,
            )  # fmt: skip
        os.close(writer)

    def read_port(self) -> bool:
        """Waits until it answers; False when it ended instead."""
        assert self.process is not None
        with os.fdopen(self._announcement) as pipe:
            line = pipe.readline()
        if not line:
            self.process.wait(PATIENCE_SECONDS)
            return False
        self.facts["rpcUrl"] = self.facts["explorerUrl"] = f"http://127.0.0.1:{int(line)}"
        wait_until(self.is_serving, "the node's answer")
        return True

    def read_log(self) -> str:
        return (self.directory / "log").read_text()

    @contextlib.contextmanager
    def running(self, **environment: str) -> Iterator["LoneNode"]:
        self.start(**environment)
        try:
            yield self
        finally:
            if self.process is not None and self.process.poll() is None:
                self.stop()


@contextlib.contextmanager
def run_l1(directory: Path, port: int = 0) -> Iterator[L1Process]:
    """Started again with the same port, it goes on where it was."""
    with start_l1(directory, port=port) as l1:
        yield l1


@contextlib.contextmanager
def set_up_network(directory: Path, l1: L1Process, *options: str) -> Iterator[Network]:
    """With the Ethereum given, which stays when the network is stopped."""
    with run_network(directory, "--l1-url", l1.url, *options) as network:
        yield network
