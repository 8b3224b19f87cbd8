"""What a running network says of its reserves, and to its operator of the node: as people read it, from the pages."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.network import Network, run_network, wait_until
from tests.unit.explorer.reading import Page

pytestmark = pytest.mark.long

TOKEN = "correct-horse-battery-staple"
READING_SECONDS = 60
"""For the next reading of the reserves, which are read twice a minute."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    directory = tmp_path_factory.mktemp("network")
    (directory / "token").write_text(TOKEN + "\n")
    token_file = {"TALLYSTICK_EXPLORER__OPERATOR_TOKEN_FILE": str(directory / "token")}
    with run_network(directory, "--epoch-seconds", "2", "--challenge-period", "2", **token_file) as running:
        yield running


def read(network: Network, path: str, status: int = 200, **headers: str) -> Page:
    answer = requests.get(network.facts["rpcUrl"] + path, headers=headers, timeout=30)
    assert answer.status_code == status, answer.text
    page = Page()
    page.feed(answer.text)
    return page


def test_reserves_follow_withdrawals_and_claims(network: Network, tmp_path: Path) -> None:
    ids = []
    for amount in ("2.25", "1"):
        withdrawn = network.run_tally("withdraw", amount, "--asset", "TOK", "--json", home=tmp_path, key=9)
        assert withdrawn.status == 0, withdrawn
        ids.append(json.loads(withdrawn.output)["id"])
    network.wait_for_status(ids[0], "final")
    claimed = network.run_tally("claim", ids[0], "--wait", home=tmp_path, key=9)
    assert claimed.status == 0, claimed

    def find_claim() -> Page | None:
        page = read(network, "/reserves")
        return page if "The contract has paid claims of 2.25 TOK; the ledger withdrew 3.25 TOK." in page.text else None

    page = wait_until(find_claim, "a reading after the claim", READING_SECONDS)
    assert page is not None
    assert "Assets covered 2 of 2" in page.text and "does not hold" not in page.text
    rows = {row[0]: row[1] for row in page.get_rows("asset-2")}
    assert rows["Withdrawals not claimed yet"] == "1" and rows["Deposits not credited yet"] == "0"
    assert rows["Owed"] == rows["Held, as the contract counts"] == rows["There, as the token counts"]


def test_the_operator_sees_the_node_and_nobody_else_does(network: Network) -> None:
    network.refuse("tally_getReceipt", "0x" + "00" * 32)
    read(network, "/operator", 401)
    read(network, "/operator", 401, authorization="Bearer " + TOKEN[:-1])
    page = read(network, "/operator", authorization="Bearer " + TOKEN)
    assert "State synced" in page.text and "Credited 48 deposits" in page.text
    (endpoint,) = page.get_rows("endpoints")
    assert endpoint[0] == network.facts["l1Url"].removeprefix("http://") and endpoint[1].startswith("ok entered")
    assert ["not_found", "1"] in page.get_rows("refusals")
    assert page.get_rows("last-commitments"), page.text
    assert "journal" in [row[0] for row in page.get_rows("disk")]
    assert TOKEN not in (network.directory / "log").read_text()
