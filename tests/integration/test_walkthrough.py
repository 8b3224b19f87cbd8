"""What `tally devnet` prints is pasted into another terminal, line after line, and works."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.network import PATIENCE_SECONDS, ROOT, START_SECONDS, wait_until

PRINTED_BELOW = "try, in another terminal"


def test_the_printed_commands_deposit_pay_commit_verify_and_audit(tmp_path: Path) -> None:
    ready, log = tmp_path / "ready.json", tmp_path / "log"
    options = ["--port", "0", "--l1-port", "0", "--epoch-seconds", "3", "--ready-file", str(ready)]
    # A name that is not on the search path, so that the printed commands must say where `tally` is.
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    with log.open("w") as output:
        network = subprocess.Popen(
            [sys.executable, "-m", "client.cli", "devnet", "--data-dir", str(tmp_path / "data"), *options],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: ready.exists() and "tally audit" in log.read_text(), "the start", START_SECONDS)
        lines = log.read_text().split(PRINTED_BELOW, 1)[1].splitlines()
        commands = [line.strip() for line in lines if line.startswith("  ")]
        assert any(command.startswith("tally verify") for command in commands), commands
        pasted = subprocess.run(
            ["bash", "-e"],
            input="\n".join(commands),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert pasted.returncode == 0, pasted.stdout + pasted.stderr
        assert "COMMITTED" in pasted.stdout
        assert "every root, total and signature agrees" in pasted.stdout
    finally:
        network.send_signal(signal.SIGTERM)
        assert network.wait(PATIENCE_SECONDS) == 0
