"""The demonstration on a whole network: a market soon after the start, which outlives kills and restarts."""

from pathlib import Path
from typing import Any

import pytest

from tests.network import Network, run_network, wait_until

pytestmark = pytest.mark.long

FIRST_PURCHASE_SECONDS = 20


def count(network: Network, **wanted: Any) -> int:
    return len(network.call("tally_listPayments", {**wanted, "limit": 1000})["items"])


def count_roles(network: Network) -> int:
    return int(network.call("tally_listRegistrations", {})["count"], 16)


def test_the_market_opens_soon_and_goes_on_after_a_kill_and_a_restart(tmp_path: Path) -> None:
    with run_network(tmp_path / "data", "--demo", "--epoch-seconds", "3", "--challenge-period", "4") as network:
        wait_until(lambda: count(network, kind="purchase"), "the first purchase", FIRST_PURCHASE_SECONDS)
        wait_until(lambda: network.call("tally_getCommitment", "latest")["status"] in ("mined", "final"), "an epoch")
        wait_until(lambda: count(network, kind="upload") >= 6, "the uploads of the opening")
        roles, paid = count_roles(network), count(network)
        assert roles >= 11

        network.kill_node()
        wait_until(network.is_serving, "the node's return")
        wait_until(lambda: count(network) > paid, "a payment after the kill")

        network.stop()
        network.start()
        paid = count(network)
        wait_until(lambda: count(network) > paid, "a payment after the restart")
        files = network.call("tally_listFiles", {"status": "all", "limit": 1000})["items"]
        assert all(int(file["price"], 16) >= 2 for file in files)
        assert count_roles(network) <= roles + 2, "owners may be named later; everybody else is there already"
        assert all(network.next_nonce(account) == 0 for account in range(10))
        audit = network.run_tally("audit", home=tmp_path)
        assert audit.status == 0, audit.output + audit.errors
    log = (tmp_path / "data" / "log").read_text()
    assert "was refused" not in log
    assert "its key is wrong" not in log
