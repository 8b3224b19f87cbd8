"""The collector's settings of the processes on the hot path."""

import subprocess
import sys


def test_a_process_that_relaxed_it_looks_seldom_and_not_at_what_was_there() -> None:
    program = (
        "import gc; from node.collector import relax_collector; relax_collector(); "
        "print(gc.get_threshold()[0] >= 10_000, gc.get_freeze_count() > 0, gc.isenabled())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]
