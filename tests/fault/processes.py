"""The processes of a running network, as the kernel lists them."""

import os
import signal
from pathlib import Path

from tests.network import Network, wait_until


def list_children(parent: int) -> dict[int, list[str]]:
    """Process id → command line, of one that lives now."""
    found = {}
    for task in _read(Path(f"/proc/{parent}/task"), is_directory=True):
        for child in _read(Path(f"/proc/{parent}/task/{task}/children")):
            command = _read(Path(f"/proc/{child}/cmdline"), separator="\0")
            if command:
                found[int(child)] = command
    return found


def list_descendants(parent: int) -> dict[int, list[str]]:
    found = list_children(parent)
    for child in list(found):
        found |= list_descendants(child)
    return found


def find_worker(network: Network, role: str) -> int:
    """One of the node's worker processes."""
    node = network.find_node()
    assert node is not None
    return next(pid for pid, command in list_children(node).items() if "node.workers" in command and role in command)


def find_l1(network: Network) -> int:
    """The embedded Ethereum."""
    assert network.process is not None
    return next(pid for pid, command in list_children(network.process.pid).items() if "devnet.l1" in command)


def is_alive(pid: int) -> bool:
    """A process that ended and was not waited for yet is not alive."""
    state = _read(Path(f"/proc/{pid}/stat"), separator=") ")
    return bool(state) and state[-1][0] != "Z"


def kill_node(network: Network, ending: signal.Signals = signal.SIGCONT) -> None:
    """kill -9, and until the launcher has another one that answers. `ending` goes to the node's workers after it:
    one that was stopped would not see that its parent is gone."""
    node = network.find_node()
    assert node is not None
    workers = list_children(node)
    os.kill(node, signal.SIGKILL)
    for worker in workers:
        if is_alive(worker):
            os.kill(worker, ending)
    wait_until(lambda: not is_alive(node), "the node's end")
    wait_until(lambda: not any(is_alive(worker) for worker in workers), "the end of the node's workers")
    wait_for_another(network, node)


def wait_for_another(network: Network, node: int) -> None:
    """Until the launcher runs a node that answers, other than this one."""
    wait_until(lambda: network.find_node() not in (None, node) and network.is_serving(), "another node serving")


def _read(path: Path, *, separator: str | None = None, is_directory: bool = False) -> list[str]:
    """Empty when the process has gone."""
    try:
        return [entry.name for entry in path.iterdir()] if is_directory else path.read_text().split(separator)
    except (FileNotFoundError, ProcessLookupError):
        return []
