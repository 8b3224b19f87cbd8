"""What is written is there for the next process, and for the right deployment only."""

import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from node.ethereum.faults import WrongDeployment
from node.ethereum.store import NEWEST_CREDITED, EthereumStore
from node.ethereum.submission import Attempt, AttemptOutcome, Fees, Inclusion, Seal
from tests.unit.node.ethereum.simulated import GAS, GWEI, L1_CHAIN_ID, SETTLEMENT, SimulatedL1

Open = Callable[[], EthereumStore]
ATTEMPT = Attempt(
    epoch=1,
    number=1,
    hash=b"\xa1" * 32,
    nonce=0,
    gas_limit=GAS,
    fees=Fees(2**62, 1),
    raw=b"\x02\xff",
    sent_at=1_700_000_000_000,
    l1_block=12,
)
INCLUSION = Inclusion(1, b"\xd1" * 32, 1_700_000_012, ATTEMPT.hash, 13, b"\xb1" * 32, 90_000, GWEI)


@pytest.fixture
def seal(l1: SimulatedL1) -> Seal:
    commitment, signature = l1.seal()
    return Seal(commitment, signature, INCLUSION.digest, sealed_at=5)


def test_everything_is_there_again_after_reopening(open_store: Open, seal: Seal) -> None:
    store = open_store()
    store.put_seal(seal)
    store.add_attempt(ATTEMPT)
    store.set_cursor(7, b"\x07" * 32)
    store.set_final_epoch(3)
    again = open_store()
    assert again.get_seal(1) == seal and again.get_seal(2) is None
    assert again.get_newest_sealed_epoch() == 1
    assert again.get_attempts(1) == (ATTEMPT,) == again.get_open_attempts()
    assert again.get_cursor() == (7, b"\x07" * 32)
    assert again.get_final_epoch() == 3
    again.put_inclusion(INCLUSION, seal, now_ms=9)
    third = open_store()
    assert third.get_inclusion(1) == INCLUSION == third.get_newest_inclusion()
    (attempt,) = third.get_attempts(1)
    assert attempt == msgspec.structs.replace(
        ATTEMPT, outcome=AttemptOutcome.INCLUDED, gas_used=90_000, effective_gas_price=GWEI
    )
    assert third.get_open_attempts() == ()


def test_a_reorganisation_opens_what_it_took_back(store: EthereumStore, seal: Seal) -> None:
    store.add_attempt(ATTEMPT)
    store.put_inclusion(INCLUSION, seal, now_ms=9)
    store.reopen(2)
    assert store.get_inclusion(1) == INCLUSION
    store.reopen(1)
    assert store.get_inclusion(1) is None and store.get_newest_inclusion() is None
    assert store.get_open_attempts() == (ATTEMPT,)
    assert store.get_seal(1) == seal


def test_what_was_spent_is_exact_beyond_64_bits(store: EthereumStore) -> None:
    for number in range(1, 4):
        attempt = msgspec.structs.replace(ATTEMPT, number=number, hash=bytes((number,)) * 32)
        store.add_attempt(attempt)
        store.settle_attempt(attempt.hash, AttemptOutcome.REVERTED, 10**7, 2**62, now_ms=number)
    assert store.get_spent(0) == 3 * 10**7 * 2**62
    assert store.get_spent(2) == 2 * 10**7 * 2**62
    assert store.get_spent(4) == 0


def test_divergence_is_found_by_digest(store: EthereumStore, seal: Seal) -> None:
    store.put_inclusion(INCLUSION, seal, now_ms=9)
    assert store.get_diverged_epoch(0) is None
    store.put_seal(msgspec.structs.replace(seal, digest=b"\xee" * 32))
    assert store.get_diverged_epoch(0) == 1
    assert store.get_diverged_epoch(1) is None


@pytest.mark.parametrize(
    ("before_s", "l1_block", "epoch"),
    [(1_700_000_012, 100, 0), (1_700_000_013, 100, 1), (1_700_000_013, 12, 0), (1_700_000_013, 13, 1)],
)
def test_the_final_epoch_needs_its_window_over_and_its_block_final(
    store: EthereumStore, seal: Seal, before_s: int, l1_block: int, epoch: int
) -> None:
    store.put_inclusion(INCLUSION, seal, now_ms=9)
    assert store.find_final_epoch(before_s, l1_block) == epoch


def test_a_failed_write_leaves_nothing_behind(store: EthereumStore) -> None:
    store.add_attempt(ATTEMPT)
    with pytest.raises(sqlite3.IntegrityError):
        store.add_attempt(ATTEMPT)
    store.add_attempt(msgspec.structs.replace(ATTEMPT, number=2, hash=b"\x02" * 32))
    assert [attempt.number for attempt in store.get_attempts(1)] == [1, 2]


@pytest.mark.parametrize(("l1_chain_id", "settlement"), [(1, SETTLEMENT), (L1_CHAIN_ID, b"\x01" * 20)])
def test_the_file_of_another_deployment_is_refused(
    store: EthereumStore, tmp_path: Path, l1_chain_id: int, settlement: bytes
) -> None:
    with pytest.raises(WrongDeployment):
        EthereumStore(tmp_path / "ethereum.sqlite", l1_chain_id, settlement)


def test_the_file_of_a_later_version_is_refused(store: EthereumStore, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ethereum.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(WrongDeployment):
        EthereumStore(tmp_path / "ethereum.sqlite", L1_CHAIN_ID, SETTLEMENT)


def test_the_file_of_an_earlier_version_is_taken_over_with_its_attempts(tmp_path: Path, seal: Seal) -> None:
    path = tmp_path / "earlier.sqlite"
    earlier = EthereumStore(path, L1_CHAIN_ID, SETTLEMENT)
    earlier.put_seal(seal)
    earlier.add_attempt(ATTEMPT)
    earlier.close()
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE attempt DROP COLUMN problem")
        connection.execute("DROP TABLE credited")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    store = EthereumStore(path, L1_CHAIN_ID, SETTLEMENT)
    assert store.get_attempts(1) == (ATTEMPT,)
    store.settle_attempt(ATTEMPT.hash, AttemptOutcome.REVERTED, 50_000, 3, 9, "Halted()")
    (attempt,) = store.get_attempts(1)
    assert (attempt.problem, attempt.cost) == ("Halted()", 150_000)
    store.reopen(1)
    assert store.get_attempts(1) == (ATTEMPT,)
    assert store.get_newest_credited() is None
    store.close()
    fresh = EthereumStore(tmp_path / "fresh.sqlite", L1_CHAIN_ID, SETTLEMENT)
    fresh.close()
    assert _read_schema(path) == _read_schema(tmp_path / "fresh.sqlite"), "a migrated file is as a new one"


def _read_schema(path: Path) -> dict[str, list[tuple[str, ...]]]:
    """Of each table and index, its columns: a column that was added later has other words around it."""
    with sqlite3.connect(path) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
        schema = {name: connection.execute(f"PRAGMA table_xinfo('{name}')").fetchall() for name in names}
        schema |= {name + "*": connection.execute(f"PRAGMA index_xinfo('{name}')").fetchall() for name in names}
    connection.close()
    return schema


def test_the_newest_credited_block_is_found_without_a_look_at_all(store: EthereumStore) -> None:
    """It is asked for on the event loop, several times a look; there are thousands of each asset."""
    plan = store._read("EXPLAIN QUERY PLAN " + NEWEST_CREDITED)
    assert [row[-1] for row in plan] == ["SCAN credited USING INDEX credited_by_block"]


def test_what_was_written_survives_a_kill_at_once(tmp_path: Path) -> None:
    program = """
        import os, signal, sys
        from pathlib import Path
        from node.ethereum.store import NEWEST_CREDITED, EthereumStore
        from tests.unit.node.ethereum.test_store import ATTEMPT, L1_CHAIN_ID, SETTLEMENT
        EthereumStore(Path(sys.argv[1]), L1_CHAIN_ID, SETTLEMENT).add_attempt(ATTEMPT)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    path = tmp_path / "killed.sqlite"
    root = Path(__file__).parents[4]
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(path)], cwd=root, check=False)
    assert killed.returncode == -9
    store = EthereumStore(path, L1_CHAIN_ID, SETTLEMENT)
    assert store.get_open_attempts() == (ATTEMPT,)
    store.close()
