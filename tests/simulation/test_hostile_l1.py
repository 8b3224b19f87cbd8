"""Hundreds of hours of a hostile Ethereum, from seeds: whatever it does, every epoch gets onto it once and in order.

SIMULATION_HOURS=10000 make simulate      # longer
SIMULATION_SEED=17 make simulate          # one world again, to look at
"""

import asyncio
import logging
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.world import World

HOURS_A_WORLD = 100
_HOURS = int(os.environ.get("SIMULATION_HOURS", "300"))
_SEEDS = (
    [int(os.environ["SIMULATION_SEED"])]
    if "SIMULATION_SEED" in os.environ
    else list(range(1, 1 + max(1, _HOURS // HOURS_A_WORLD)))
)


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    before = structlog.get_config()
    if "SIMULATION_SEED" not in os.environ:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


def run_world(seed: int, directory: Path) -> Counter[str]:
    """Raises what went wrong, with a note of where."""

    async def live() -> Counter[str]:
        world = World(seed, directory)
        try:
            await world.run(HOURS_A_WORLD)
        except BaseException as error:
            error.add_note(f"SIMULATION_SEED={seed}, hour {world.hour}: {world.describe()}")
            raise
        print(f"seed {seed}: {dict(world.count())} {dict(world.situations)} {world.longest_ordinary:.0f} s")
        return world.count()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(live())


@pytest.mark.long
@pytest.mark.parametrize("seed", _SEEDS)
def test_whatever_ethereum_does(seed: int) -> None:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        counts = run_world(seed, Path(directory))
    assert counts["epochs"] > HOURS_A_WORLD // 4, counts
    sys.stdout.flush()
