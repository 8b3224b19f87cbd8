"""`python -m devnet`: what `tally devnet` starts, for programs."""

import argparse
import sys
from pathlib import Path

from devnet.l1.process import L1DidNotStart
from devnet.launch import run
from devnet.settings import DEFAULT_L1_PORT, DEFAULT_PORT, DevnetOptions, DevnetProblem
from node.ethereum.faults import EthereumFault, Reverted


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m devnet", description="Runs a development network.")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--l1-port", type=int, default=DEFAULT_L1_PORT)
    parser.add_argument("--l1-url")
    parser.add_argument("--epoch-seconds", type=int, default=10)
    parser.add_argument("--challenge-period", type=int, default=60)
    parser.add_argument("--ready-file", type=Path)
    parser.add_argument("--demo", action="store_true")
    try:
        run(DevnetOptions(**vars(parser.parse_args())))
    except (DevnetProblem, L1DidNotStart, EthereumFault, Reverted) as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
