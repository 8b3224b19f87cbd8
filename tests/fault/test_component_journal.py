"""The journal under a process that is killed, and under a log file whose end was lost with the power."""

import asyncio
import sys
from pathlib import Path

import plyvel
import pytest

from node.journal import LevelDBJournal
from tests.unit.node.journals import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]

WRITER = """
import sys
from pathlib import Path
from node.journal import LevelDBJournal

journal = LevelDBJournal(Path(sys.argv[1]))
while True:
    height = journal.height
    journal.append(height, b"%d:" % height + bytes(height % 5000), height)
    print(height, flush=True)
    journal.put_signature(height, bytes(65))
"""


def check_entries(journal: LevelDBJournal) -> int:
    """Every entry up to the height is there, whole and in its place. Returns the height."""
    count = 0
    for height, entry in journal.read(0):
        assert entry == b"%d:" % height + bytes(height % 5000)
        assert journal.get_block_height(height) == height
        count += 1
    assert count == journal.height
    return count


@pytest.mark.parametrize("lives", [[1, 2, 3], [40, 1, 200]])
async def test_killed_at_any_moment_what_was_acknowledged_is_there(tmp_path: Path, lives: list[int]) -> None:
    """Each life is killed once it has acknowledged so many entries, wherever it is by then."""
    path = tmp_path / "journal"
    for count in lives:
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, str(path), cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert writer.stdout is not None
        acknowledged = -1
        for _ in range(count):
            acknowledged = int(await asyncio.wait_for(writer.stdout.readline(), PATIENCE_SECONDS * 4))
        writer.kill()
        rest = (await asyncio.wait_for(writer.stdout.read(), PATIENCE_SECONDS)).split()
        await writer.wait()
        journal = LevelDBJournal(path)
        assert check_entries(journal) > int(rest[-1] if rest else acknowledged)
        journal.close()


def test_a_log_cut_short_loses_its_last_entries_wholly_and_no_others(tmp_path: Path) -> None:
    """What a power cut leaves of writes that were never acknowledged: the front part of some."""
    whole = tmp_path / "whole"
    journal = LevelDBJournal(whole)
    ends = []
    (log,) = whole.glob("*.log")
    for height in range(30):
        journal.append(height, b"%d:" % height + bytes(height % 5000), height)
        ends.append(log.stat().st_size)
    journal.close()
    files = {path.name: path.read_bytes() for path in whole.iterdir()}
    for size in sorted({*ends, *[end - 1 for end in ends], *range(0, ends[-1], 97)}):
        copy = tmp_path / f"cut at {size}"
        copy.mkdir()
        for name, data in files.items():
            (copy / name).write_bytes(data[:size] if name == log.name else data)
        cut = LevelDBJournal(copy)
        assert check_entries(cut) == sum(end <= size for end in ends)
        cut.append(cut.height, b"and on")
        cut.close()


def test_damage_before_the_end_stops_the_journal_rather_than_shorten_it(tmp_path: Path) -> None:
    """Acknowledged entries must not go missing without a word, even if that means not to start."""
    path = tmp_path / "journal"
    journal = LevelDBJournal(path)
    for height in range(30):
        journal.append(height, b"%d:" % height + bytes(100), height)
    journal.close()
    (log,) = path.glob("*.log")
    intact = log.read_bytes()
    for place in range(10, len(intact) - 200, 331):
        log.write_bytes(intact[:place] + bytes((intact[place] ^ 0xFF,)) + intact[place + 1 :])
        with pytest.raises(plyvel.Error):
            LevelDBJournal(path)
    log.write_bytes(intact)
    whole = LevelDBJournal(path)
    assert whole.height == 30
    whole.close()
