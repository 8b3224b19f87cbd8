"""`python -m node`: the service as a process. People start it with `tally node`, launchers with the options below."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from node.app import JournalBehindChain, run
from node.config import ConfigurationError, load_config
from node.ethereum.faults import WrongDeployment
from node.recovery import DifferentLedger


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m node", description="Runs a Tallystick node.")
    parser.add_argument("--config", type=Path, help="TOML file; environment variables go over it")
    parser.add_argument("--ready-fd", type=int, help="the port is written here once requests are answered")
    parser.add_argument("--parent-fd", type=int, help="the node ends when this reaches its end of file")
    options = parser.parse_args()
    try:
        run(load_config(options.config), _make_announcement(options.ready_fd), options.parent_fd)
    except ConfigurationError as error:
        sys.exit(f"configuration: {error}")
    except (DifferentLedger, JournalBehindChain, WrongDeployment) as error:
        sys.exit(str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)


def _make_announcement(ready_fd: int | None) -> Callable[[int], None]:
    def announce(port: int) -> None:
        if ready_fd is not None:
            with os.fdopen(ready_fd, "w") as pipe:
                pipe.write(f"{port}\n")

    return announce


if __name__ == "__main__":
    main()
