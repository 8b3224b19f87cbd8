"""The reserves' page: the numbers as they were read, what the checks say, and what is shown without a reading."""

from collections.abc import Iterator

import msgspec
import pytest

from chain.primitives import ETHER
from explorer.pages.reserves import BAR_WIDTH, Segment, view_reserves
from node.ethereum.l1 import L1Block
from node.ethereum.reserves import AssetReserves, Fault, FaultKind, Reading, Reserves
from node.ledger_info import AssetInfo
from tests.unit.explorer.reading import Page, ask
from tests.unit.explorer.stage import Stage, open_stage

UNIT = 10**6
"""Of the stage's tokens."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture
def stage(opened: Stage) -> Stage:
    opened.reset()
    return opened


def line(stage: Stage, **changes: int | None) -> AssetReserves:
    """9 credited in 2 deposits, 3 withdrawn of which 1 is claimed, 2 more on their way in."""
    token = next(asset for asset in stage.ledger.assets if asset != ETHER)
    made = AssetReserves(
        token, 2, 9 * UNIT, 3 * UNIT, 4, 11 * UNIT + 1, 9 * UNIT, 10 * UNIT + 1, 10 * UNIT + 1,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def read(stage: Stage, *lines: AssetReserves) -> Reading:
    return Reading(stage.now - 20_000, L1Block(1234, b"\x01" * 32, stage.now // 1000 - 30, 7), 6, stage.now - 1, lines)


async def ask_page(stage: Stage) -> Page:
    answer = await ask(stage.explorer, "/reserves")
    assert answer.status == 200 and answer.headers["cache-control"] == "no-store"
    return answer.page


async def test_before_the_first_reading_it_says_so(stage: Stage) -> None:
    page = await ask_page(stage)
    assert "The contract has not been read yet." in page.text
    assert ("a", {"href": "/reserves", "aria-current": "page"}) in page.elements
    stage.reserves = Reserves(None, Fault(FaultKind.OUT_OF_REACH, "127.0.0.1:1: no answer", stage.now - 90_000, 3))
    page = await ask_page(stage)
    assert "The last 3 readings of Ethereum failed, the first 1 min ago: Ethereum is out of reach." in page.text


async def test_the_numbers_are_those_that_were_read(stage: Stage) -> None:
    stage.reserves = Reserves(read(stage, line(stage)))
    page = await ask_page(stage)
    assert page.get_rows("asset-1") == [
        ["Balances of all accounts", "6"],
        ["Withdrawals not claimed yet", "2"],
        ["Deposits not credited yet (2)", "2.000001"],
        ["Owed", "10.000001"],
        ["Held, as the contract counts", "10.000001"],
        ["There, as the token counts", "10.000001"],
    ]
    for words in (
        "Assets covered 1 of 1",
        "block 1,234",
        "20 s ago",
        "The ledger credited 9 TOK1 for 2 deposits; the contract's queue says 9 TOK1.",
        "The contract has paid claims of 1 TOK1; the ledger withdrew 3 TOK1.",
        "The contract has 10.000001 TOK1, and counts 10.000001 TOK1 as held.",
        "covered",
    ):
        assert words in page.text, words
    assert page.text.count("holds Th") == 3 and "does not hold" not in page.text
    contract = "0x" + stage.ledger.parameters.settlement.hex()
    links = [attributes["href"] or "" for tag, attributes in page.elements if tag == "a"]
    assert f"https://l1.example/address/{contract}" in [link.lower() for link in links]


async def test_what_is_missing_is_said_first_and_what_was_sent_is_no_help(stage: Stage) -> None:
    stage.reserves = Reserves(read(stage, line(stage, balance=10 * UNIT)))
    page = await ask_page(stage)
    assert "0.000001 TOK1 are missing: the contract can pay out less than is owed." in page.text
    assert page.get_rows("asset-1")[-1] == ["Missing", "0.000001"]
    assert "There is what is counted does not hold" in page.text and "Assets covered 0 of 1" in page.text
    stage.reserves = Reserves(read(stage, line(stage, withdrawn=0, balance=99 * UNIT)))
    page = await ask_page(stage)
    assert "Claimed no more than withdrawn does not hold" in page.text
    rows = page.get_rows("asset-1")
    assert ["Withdrawals not claimed yet", "−1"] in rows and ["Missing", "1"] in rows
    assert ["Sent to the contract without a deposit", "88.999999"] in rows


async def test_the_verdict_is_a_word_and_no_shortened_value(stage: Stage) -> None:
    """`short` is also the class of what is shortened, which gets a button to copy it."""
    stage.reserves = Reserves(read(stage, line(stage, balance=0)))
    page = await ask_page(stage)
    assert [attributes["class"] for _, attributes in page.elements if "chip" in (attributes.get("class") or "")] == [
        "chip bad"
    ]


async def test_books_that_do_not_agree_are_no_cover(stage: Stage) -> None:
    stage.reserves = Reserves(read(stage, line(stage, queued_as_credited=9 * UNIT + 1)))
    page = await ask_page(stage)
    assert "The books do not agree" in page.text and "Credited as deposited does not hold" in page.text
    stage.reserves = Reserves(read(stage, line(stage, credited_count=5, queued_as_credited=None)))
    page = await ask_page(stage)
    assert "for 5 deposits; the contract's queue says that there are only 4." in page.text


async def test_a_token_that_says_nothing_is_not_called_covered(stage: Stage) -> None:
    made = line(stage, balance=None)
    stage.reserves = Reserves(read(stage, made))
    stage.info.assets[made.asset] = AssetInfo(None, None)
    page = await ask_page(stage)
    assert ["There, as the token counts", "not known"] in page.get_rows("asset-1")
    assert "There is what is counted not known" in page.text and "Assets covered 0 of 1" in page.text
    assert "amounts are in base units" in page.text
    assert ["Held, as the contract counts", "10,000,001"] in page.get_rows("asset-1")


async def test_after_a_fault_the_last_reading_is_shown_with_its_age(stage: Stage) -> None:
    fault = Fault(FaultKind.ENDPOINT_BEHIND, "l1.example/key", stage.now - 3_600_000, 120)
    stage.reserves = Reserves(read(stage, line(stage)), fault)
    answer = await ask(stage.explorer, "/reserves")
    assert (
        "The last 120 readings of Ethereum failed, the first 1 h ago: the Ethereum endpoint lags." in answer.page.text
    )
    assert "What follows was read before." in answer.page.text
    assert answer.page.get_rows("asset-1")[3] == ["Owed", "10.000001"]


@pytest.mark.parametrize("kind", FaultKind)
async def test_what_the_endpoint_said_is_for_the_operator_alone(stage: Stage, kind: FaultKind) -> None:
    words = "https://l1.example/v3/s3cret answered nonsense"
    stage.reserves = Reserves(None, Fault(kind, words, stage.now, 1))
    answers = [await ask(stage.explorer, path) for path in ("/reserves", "/api/v1/reserves", "/")]
    assert not any("s3cret" in answer.text or "nonsense" in answer.text for answer in answers)
    assert "The last reading of Ethereum failed, the first now: " in answers[0].page.text


async def test_it_needs_no_script_and_draws_without_style_attributes(stage: Stage) -> None:
    stage.reserves = Reserves(read(stage, line(stage)))
    page = await ask_page(stage)
    assert [attributes for _, attributes in page.elements if "style" in attributes] == []
    assert len([tag for tag, _ in page.elements if tag == "svg"]) == 2


# --- the bars


def test_a_bar_shows_its_parts_to_scale(stage: Stage) -> None:
    (asset,) = view_reserves(Reserves(read(stage, line(stage, balance=20 * UNIT + 2)))).assets
    assert asset.owed == (Segment("balances", 0, 299), Segment("unclaimed", 299, 100), Segment("uncredited", 399, 101))
    assert asset.there == (Segment("held", 0, 500), Segment("surplus", 500, 500))


@pytest.mark.parametrize("balance", [None, 0, 1, 10 * UNIT, 10 * UNIT + 1, 2**128])
def test_both_bars_of_an_asset_fit_one_scale(stage: Stage, balance: int | None) -> None:
    made = line(stage, balance=balance)
    (asset,) = view_reserves(Reserves(read(stage, made))).assets
    for segments in (asset.owed, asset.there):
        end = 0
        for segment in segments:
            assert segment.start == end and segment.width > 0
            end += segment.width
        assert end <= BAR_WIDTH
    assert (made.shortfall > 0) == any(segment.name == "missing" for segment in asset.there)


def test_nothing_owed_and_nothing_there_is_an_empty_bar(stage: Stage) -> None:
    empty = AssetReserves(ETHER, 0, 0, 0, 0, 0, 0, 0, 0)
    (asset,) = view_reserves(Reserves(read(stage, empty))).assets
    assert (asset.owed, asset.there) == ((), ())
