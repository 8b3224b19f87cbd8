"""`python -m node.workers ROLE FD [ARGUMENT…]`: started by the node only."""

import os
import signal
import socket
import sys

from node.collector import relax_collector
from node.framing import ChannelClosed, WorkerChannel


def main() -> None:
    role, fd, *arguments = sys.argv[1:]
    # Ctrl-C reaches the whole group, systemd's SIGTERM the whole unit: the node decides when its workers end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    channel = WorkerChannel(socket.socket(fileno=int(fd)))
    relax_collector()
    try:
        if role == "verifier":
            from node.workers.verifier import run_verifier

            run_verifier(channel)
        elif role == "indexer":
            from node.workers.indexer import run_indexer

            os.nice(5)  # what waits for a receipt comes first
            run_indexer(channel, *arguments)
        elif role == "sealer":
            from node.workers.sealer import run_sealer

            os.nice(5)
            run_sealer(channel, *arguments)
        else:
            raise SystemExit(f"no worker has the role {role!r}")
    except ChannelClosed:
        return


if __name__ == "__main__":
    main()
