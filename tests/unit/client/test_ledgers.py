"""Pins: which ledger, whose promises, and since when."""

import json
from pathlib import Path

import msgspec
import pytest

from chain.params import Market
from client import protocol
from client.errors import WrongLedger
from client.ledgers import FROM_NODE, Ledger, LedgerBook, check_info
from client.protocol import NodeInfo
from tests.unit.client.ledger_server import LedgerServer
from tests.unit.client.scene import BOB, DOMAIN, LEDGER, PARAMETERS, SETTLEMENT, Scene


@pytest.fixture
def book(tmp_path: Path) -> LedgerBook:
    return LedgerBook(tmp_path)


@pytest.fixture(scope="module")
def info() -> NodeInfo:
    return protocol.get_info().read(LedgerServer(Scene()).tally_getInfo())


def test_a_pin_is_found_again_by_the_ledger_s_chain_id(book: LedgerBook) -> None:
    assert book.find(DOMAIN.chain_id) is None
    book.pin(LEDGER)
    assert book.find(DOMAIN.chain_id) == LEDGER
    assert LEDGER.domain == DOMAIN


def test_the_latest_cut_seen_only_moves_forward(book: LedgerBook) -> None:
    noted = book.note_mined(LEDGER, 1000)
    assert noted.last_cut_at == 1000
    assert book.note_mined(noted, 999) == noted
    assert book.find(DOMAIN.chain_id) == noted


@pytest.mark.parametrize(
    "change",
    [
        {"source": "hearsay"},
        {"operator": "0x12"},
        {"l1ChainId": "0x1"},
        {"settlement": "0x" + "11" * 20},
        {"source": None},
    ],
)
def test_a_pin_that_was_tampered_with_is_refused(book: LedgerBook, change: dict[str, str]) -> None:
    path = book.pin(LEDGER)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(WrongLedger):
        book.find(DOMAIN.chain_id)


def test_a_node_of_this_ledger_and_operator_is_right(info: NodeInfo) -> None:
    check_info(info, LEDGER)


def test_a_node_that_names_another_operator_is_refused(info: NodeInfo) -> None:
    with pytest.raises(WrongLedger, match="operator"):
        check_info(msgspec.structs.replace(info, operator=BOB), LEDGER)


def test_a_node_of_another_ledger_is_refused(info: NodeInfo) -> None:
    for other in (Ledger(1, SETTLEMENT, LEDGER.operator, FROM_NODE), Ledger(31337, BOB, LEDGER.operator, FROM_NODE)):
        with pytest.raises(WrongLedger, match="serves ledger"):
            check_info(info, other)


def test_parameters_are_pinned_and_never_change(book: LedgerBook, info: NodeInfo) -> None:
    pinned = msgspec.structs.replace(LEDGER, parameters=PARAMETERS)
    book.pin(pinned)
    assert book.find(DOMAIN.chain_id) == pinned
    check_info(info, pinned)
    others = msgspec.structs.replace(PARAMETERS, market=Market())
    with pytest.raises(WrongLedger, match="never change"):
        check_info(msgspec.structs.replace(info, parameters=others), pinned)


@pytest.mark.parametrize("parameters", [7, {}, {**PARAMETERS.to_json(), "commission": "501"},
                                        {**PARAMETERS.to_json(), "l1ChainId": "1"}])  # fmt: skip
def test_damaged_parameters_are_no_pin(book: LedgerBook, parameters: object) -> None:
    path = book.pin(LEDGER)
    path.write_text(json.dumps({**json.loads(path.read_text()), "parameters": parameters}))
    with pytest.raises(WrongLedger):
        book.find(DOMAIN.chain_id)


def test_a_pin_of_an_older_version_has_none(book: LedgerBook) -> None:
    path = book.pin(LEDGER)
    form = json.loads(path.read_text())
    del form["parameters"]
    path.write_text(json.dumps(form))
    assert book.find(DOMAIN.chain_id) == LEDGER
