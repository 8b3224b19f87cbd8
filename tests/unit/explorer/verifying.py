"""The explorer's verifier, run by Node.js: a list of jobs goes in, the list of their results comes out."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_HARNESS = Path(__file__).with_name("verifier.cjs")
_PATIENCE_S = 240


def run_jobs(jobs: Sequence[dict[str, Any]]) -> list[Any]:
    """In order, by one process. A job that is refused has `error` and `message`; see verifier.cjs for the rest."""
    node = shutil.which("node")
    assert node is not None, "these tests need Node.js 18 or later"
    process = subprocess.run(
        [node, str(_HARNESS)],
        input=json.dumps(list(jobs)),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    results: list[Any] = json.loads(process.stdout)
    assert len(results) == len(jobs)
    return results
