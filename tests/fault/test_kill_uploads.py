"""kill -9 of a node under uploads: after every restart a listing and its payment are both there or both not, and so are
the owner that it names and the money. Nothing that was answered is lost or doubled."""

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from chain import wire
from chain.instruction import compute_instruction_id
from chain.payment import compute_payment_id
from tests.exchange import Party, check_conservation, read_records
from tests.fault.processes import kill_node
from tests.network import PATIENCE_SECONDS, Network, run_network, wait_until

SEED = int(os.environ.get("TALLY_TEST_SEED", "0")) or time.time_ns() % 2**32
"""Another one at every run; a failing one is run again by setting it."""

KILLS = 10
UPLOADERS = 4
SIZE = 1000
CHARGE = SIZE * 10**8
"""Base units of tokens, for a day, at a development network's rate."""
FUNDS = 10**22
_LOOKED_AT = 5
"""Of each uploader's answered uploads, after each kill; all of them in the end."""

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    print(f"TALLY_TEST_SEED={SEED}")
    directory = tmp_path_factory.mktemp("network")
    with run_network(directory, "--epoch-seconds", "2", "--challenge-period", "3600") as running:
        yield running


class Upload:
    """One file of an owner whom nobody has heard of, signed and perhaps sent."""

    def __init__(self, validator: Party, node: Party, nonce: int) -> None:
        domain = validator.network.domain
        owner = Party(validator.network)
        self.owner = owner.name
        listing = validator.make_listing(owner, size=SIZE, nonce=nonce)
        payment = validator.make_payment("upload", (node.address, CHARGE), reference=listing.file, nonce=nonce + 1)
        self.params = [*validator.sign(listing), *validator.sign(payment)]
        self.file = wire.encode_bytes(listing.file)
        self.ids = [
            wire.encode_bytes(compute_instruction_id(listing, domain)),
            wire.encode_bytes(compute_payment_id(payment, domain)),
        ]
        self.receipts: list[Any] | None = None

    def is_there(self, network: Network) -> bool:
        """Whether the ledger has it, by everything that shows it; which must all say the same."""
        receipts = [network.ask("tally_getReceipt", each) for each in self.ids]
        shown = [*receipts, network.ask("tally_getFile", self.file)]
        found = {"result" in answer for answer in shown}
        found.add(network.call("tally_getAccount", self.owner)["roles"] == ["owner"])
        assert len(found) == 1, (self.file, shown)
        if self.receipts is not None:
            assert found == {True}, "answered, and lost"
        if found == {True}:
            places = [(answer["result"]["block"]["hash"], int(answer["result"]["index"], 16)) for answer in receipts]
            assert places[1] == (places[0][0], places[0][1] + 1)
            for answer, receipt in zip(receipts, self.receipts or [], strict=False):
                assert (answer["result"]["block"], answer["result"]["index"]) == (receipt["block"], receipt["index"])
        return found.pop()


class Uploader(threading.Thread):
    """Sends one upload after the other, each once, until the node dies under one; then waits to be told to go on."""

    def __init__(self, network: Network, node: Party) -> None:
        super().__init__(daemon=True)
        self.validator = Party(network, "validator", tokens=FUNDS)
        self._node = node
        self._session = requests.Session()
        self.uploads: list[Upload] = []
        self.nonce = 1
        self.is_resting = threading.Event()
        self.may_go_on = threading.Event()
        self.is_over = False
        self.problems: list[str] = []

    def run(self) -> None:
        try:
            self._go_on_uploading()
        except BaseException as error:
            self.problems.append(repr(error))
            raise

    def _go_on_uploading(self) -> None:
        while not self.is_over:
            upload = Upload(self.validator, self._node, self.nonce)
            self.uploads.append(upload)
            if self._send(upload):
                self.nonce += 2
                continue
            self.is_resting.set()
            self.may_go_on.wait()
            self.may_go_on.clear()

    def _send(self, upload: Upload) -> bool:
        """Whether it was answered with receipts."""
        try:
            answer = self.validator.network.ask("tally_sendUpload", *upload.params, session=self._session)
        except requests.RequestException:
            return False
        if "result" in answer:
            upload.receipts = answer["result"]
            return True
        if answer["error"]["data"]["code"] != "halted":  # the node is ending; any other refusal is a fault of its
            self.problems.append(f"{answer}")
        return False

    def look(self, network: Network) -> bool:
        """After a kill, before anything is sent again: whether the last upload, which was not answered, is there."""
        assert not self.problems, self.problems
        *answered, last = self.uploads
        assert last.receipts is None
        for upload in answered[-_LOOKED_AT:]:
            if upload.receipts is not None:
                assert upload.is_there(network)
        is_there = last.is_there(network)
        if is_there:
            self.nonce += 2
        return is_there


def test_an_upload_survives_a_kill_whole_or_not_at_all(network: Network, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    node = Party(network, "service_node")
    uploaders = [Uploader(network, node) for _ in range(UPLOADERS)]
    for uploader in uploaders:
        uploader.start()
    found = lost = 0
    for number in range(KILLS):
        wait_for_uploads(uploaders, chance.randint(UPLOADERS, 60))
        time.sleep(chance.uniform(0, 0.02))  # some other place within the writing of a block
        kill_node(network)
        for uploader in uploaders:
            assert uploader.is_resting.wait(PATIENCE_SECONDS)
            uploader.is_resting.clear()
            is_there = uploader.look(network)
            found += is_there
            lost += not is_there
            if number == KILLS - 1:
                uploader.is_over = True
            uploader.may_go_on.set()
        print(f"kill {number}: of what was not answered, {found} found and {lost} not there")
    for uploader in uploaders:
        uploader.join(60)
        assert not uploader.is_alive() and not uploader.problems
    check_books(network, node, uploaders)
    check_conservation(network)
    audit = network.run_tally("audit", home=tmp_path)
    assert audit.status == 0, audit


def wait_for_uploads(uploaders: list[Uploader], count: int) -> None:
    """Until that many more have been tried."""

    def sum_up() -> int:
        assert not (problems := [problem for uploader in uploaders for problem in uploader.problems]), problems
        return sum([len(uploader.uploads) for uploader in uploaders])

    wanted = sum_up() + count
    wait_until(lambda: sum_up() >= wanted, f"{count} more uploads")


def check_books(network: Network, node: Party, uploaders: list[Uploader]) -> None:
    """All that is in the blocks is whole and there once; every balance follows from it."""
    records = read_records(network)
    listed: dict[str, list[str]] = {}
    for record, following in zip(records, [*records[1:], {}], strict=True):
        if record["type"] == "instruction" and record["instruction"]["type"] == "ListFile":
            assert following["type"] == "payment" and following["block"] == record["block"]
            assert following["payment"]["reference"] == record["instruction"]["file"]
            listed.setdefault(record["instruction"]["account"], []).append(record["instruction"]["file"])
    for uploader in uploaders:
        mine = listed.get(uploader.validator.name, [])
        assert len(mine) == len(set(mine))
        answered = {upload.file for upload in uploader.uploads if upload.receipts is not None}
        assert answered <= set(mine) <= {upload.file for upload in uploader.uploads}
        assert uploader.validator.get_balance() == FUNDS - CHARGE * len(mine)
        page = network.call("tally_listRegistrations", {"validator": uploader.validator.name, "limit": 1})
        assert int(page["count"], 16) == len(mine), "an owner for each"
    paid = [record for record in records if record.get("payment", {}).get("kind") == "upload"]
    assert len(paid) == sum([len(files) for files in listed.values()])
    assert node.get_balance() == CHARGE * len(paid)
