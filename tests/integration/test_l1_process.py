"""The embedded Ethereum as a process: its clock, its end, and what survives a kill."""

import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from eth_account import Account
from eth_utils import keccak

from devnet.l1 import genesis
from devnet.l1.process import find_import_path, start_l1

GWEI = 10**9
TIMEOUT_S = 120.0
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(find_import_path())}


@pytest.fixture(scope="module")
def account():
    Account.enable_unaudited_hdwallet_features()
    return Account.from_mnemonic(genesis.MNEMONIC, account_path="m/44'/60'/0'/0/0")


def ask(port, method, *params):
    """The result; AssertionError for an error, OSError when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        connection.request("POST", "/", body, {"content-type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    assert "error" not in answer, answer
    return answer["result"]


def wait_until(condition, timeout_s=TIMEOUT_S):
    """The first true value of `condition`."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value


def sign_transfer(account, nonce):
    transaction = {
        "type": 2,
        "chainId": 31337,
        "nonce": nonce,
        "to": "0x" + "77" * 20,
        "value": 1,
        "gas": 21_000,
        "maxFeePerGas": 3 * GWEI,
        "maxPriorityFeePerGas": GWEI,
    }
    return "0x" + bytes(account.sign_transaction(transaction).raw_transaction).hex()


def is_alive(pid):
    """Of a process that is not our child, and so nobody of ours waits for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.timed
def test_blocks_come_by_the_clock_and_never_ahead_of_it(tmp_path):
    with start_l1(tmp_path) as l1:
        seen = {}

        def look():
            block = ask(l1.port, "eth_getBlockByNumber", "latest", False)
            assert int(block["timestamp"], 16) <= time.time()
            seen.setdefault(int(block["number"], 16), int(block["timestamp"], 16))
            return len(seen) >= 4

        wait_until(look)
        assert all(second == first + 1 for first, second in itertools.pairwise(list(seen.values())[1:]))


def test_an_idle_chain_costs_little(tmp_path):
    with start_l1(tmp_path) as l1:
        wait_until(lambda: ask(l1.port, "eth_blockNumber") != "0x0")

        def measure_cpu_s():
            fields = Path(f"/proc/{l1.process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        before = measure_cpu_s()
        head = int(ask(l1.port, "eth_blockNumber"), 16)
        wait_until(lambda: int(ask(l1.port, "eth_blockNumber"), 16) >= head + 3 or time.sleep(0.3))
        assert measure_cpu_s() - before < 0.3  # of about three seconds; it takes some hundredths


def test_a_chain_resumes_where_it_was(tmp_path, account):
    with start_l1(tmp_path, chain_id=31337) as l1:
        assert (l1.chain_id, l1.block) == (31337, 0)
        hash_ = ask(l1.port, "eth_sendRawTransaction", sign_transfer(account, 0))
        receipt = wait_until(lambda: ask(l1.port, "eth_getTransactionReceipt", hash_))
        waiting = ask(l1.port, "eth_sendRawTransaction", sign_transfer(account, 2))
    assert l1.process.returncode == 0
    with start_l1(tmp_path) as l1:
        assert l1.block >= int(receipt["blockNumber"], 16)
        assert ask(l1.port, "eth_getTransactionReceipt", hash_) == receipt
        assert ask(l1.port, "eth_getTransactionByHash", waiting)["blockHash"] is None


@pytest.mark.long
def test_kill_in_mid_flight_loses_nothing_that_was_answered(tmp_path, account):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    answered: list[str] = []
    blocks: dict[str, str] = {}
    nonces = itertools.count()
    unanswered: str | None = None
    for _ in range(5):
        with start_l1(tmp_path) as l1:
            for number, hash_ in blocks.items():
                assert ask(l1.port, "eth_getBlockByNumber", number, False)["hash"] == hash_
            for hash_ in answered:
                assert ask(l1.port, "eth_getTransactionByHash", hash_) is not None
            killer = threading.Timer(dice.uniform(0.2, 2.5), l1.process.kill)
            killer.start()
            try:
                for count in itertools.count():
                    if count < 50:
                        # The one whose answer was cut off may be there or not: it is sent again, and either is fine.
                        unanswered = unanswered or sign_transfer(account, next(nonces))
                        answered.append(send_or_recognise(l1.port, unanswered))
                        unanswered = None
                    block = ask(l1.port, "eth_getBlockByNumber", "latest", False)
                    blocks[block["number"]] = block["hash"]
            except (OSError, http.client.HTTPException):
                killer.join()
    with start_l1(tmp_path) as l1:
        wait_until(lambda: int(ask(l1.port, "eth_getTransactionCount", account.address, "latest"), 16) >= len(answered))
        receipts = [ask(l1.port, "eth_getTransactionReceipt", hash_) for hash_ in answered]
        assert all(receipt["status"] == "0x1" for receipt in receipts)
        assert int(ask(l1.port, "eth_getBalance", "0x" + "77" * 20, "latest"), 16) in (len(answered), len(answered) + 1)
    assert len(answered) >= 50


def send_or_recognise(port, raw):
    try:
        return ask(port, "eth_sendRawTransaction", raw)
    except AssertionError as refusal:
        assert "already known" in str(refusal) or "nonce too low" in str(refusal)
        return "0x" + keccak(hexstr=raw).hex()


# -- its end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp_path, signal_number):
    with start_l1(tmp_path) as l1:
        l1.process.send_signal(signal_number)
        assert l1.process.wait(TIMEOUT_S) == 0


def test_it_ends_with_a_parent_that_was_killed(tmp_path):
    launcher = (
        "import pathlib, sys, time\n"
        "from devnet.l1.process import start_l1\n"
        "with start_l1(pathlib.Path(sys.argv[1])) as l1:\n"
        "    print(l1.process.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", launcher, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as parent:
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    wait_until(lambda: not is_alive(pid))


def test_a_call_that_runs_for_long_holds_up_neither_blocks_nor_the_end(tmp_path):
    with start_l1(tmp_path) as l1:
        endless = {"data": "0x5b600056", "gas": hex(genesis.GAS_LIMIT)}

        def call_for_long():
            with pytest.raises((OSError, http.client.HTTPException, AssertionError)):
                ask(l1.port, "eth_call", endless)

        callers = [threading.Thread(target=call_for_long) for _ in range(2)]
        for caller in callers:
            caller.start()
        head = int(ask(l1.port, "eth_blockNumber"), 16)
        wait_until(lambda: int(ask(l1.port, "eth_blockNumber"), 16) >= head + 2)
        l1.process.terminate()
        assert l1.process.wait(TIMEOUT_S) == 0
        for caller in callers:
            caller.join()


def test_a_directory_in_use_is_refused(tmp_path):
    with start_l1(tmp_path):
        ended = run_to_its_end("--data-dir", str(tmp_path), "--port", "0")
    assert ended.returncode == 1
    assert b"cannot open" in ended.stderr


def test_another_chain_id_is_refused(tmp_path):
    with start_l1(tmp_path, chain_id=7):
        pass
    ended = run_to_its_end("--data-dir", str(tmp_path), "--port", "0", "--chain-id", "8")
    assert ended.returncode == 1
    assert b"has id 7, not 8" in ended.stderr


def test_a_port_in_use_is_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run_to_its_end("--data-dir", str(tmp_path), "--port", str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert b"Address already in use" in ended.stderr


def test_a_block_time_of_nothing_is_refused():
    assert run_to_its_end("--block-time", "0").returncode == 2


def run_to_its_end(*arguments):
    command = [sys.executable, "-m", "devnet.l1", *arguments]
    return subprocess.run(command, capture_output=True, env=ENVIRONMENT, timeout=TIMEOUT_S, check=False)


def test_without_a_directory_it_leaves_nothing_behind(tmp_path):
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "devnet.l1", "--port", "0", "--ready-fd", str(writer)],
        pass_fds=[writer],
        env={**ENVIRONMENT, "TMPDIR": str(tmp_path)},
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as ready:
        assert json.loads(ready.readline())["block"] == 0
    assert len(list(tmp_path.iterdir())) == 1
    process.terminate()
    assert process.wait(TIMEOUT_S) == 0
    assert list(tmp_path.iterdir()) == []
