"""The operator's page: for nobody without the token, and for who has it the report as it is."""

import base64
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from explorer.app import Explorer
from explorer.pages.operator import view_operations
from node.ethereum.committer import Funds
from node.ethereum.endpoint import EndpointHealth
from node.ethereum.endpoints import EndpointReport, EndpointState
from node.ethereum.reserves import Fault, FaultKind, Reserves
from node.ethereum.submission import Attempt, AttemptOutcome, EpochState, EpochStatus, Fees, Inclusion
from node.operations import (
    Backlog,
    CommitterReport,
    DepositsWaiting,
    DiskUse,
    Lag,
    OpenEpoch,
    OperationsReport,
    WatcherReport,
)
from tests.unit.explorer.reading import Answer, Page, _collect, ask
from tests.unit.explorer.stage import TOKEN, Stage, open_stage

GWEI = 10**9
ACCOUNT = "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture
def stage(opened: Stage) -> Stage:
    opened.reset()
    opened.operations = make_report(opened)
    return opened


def make_attempt(epoch: int, number: int, sent_at: int, **fields: Any) -> Attempt:
    return Attempt(
        epoch=epoch, number=number, hash=bytes([epoch, number]) * 16, nonce=1000 + epoch, gas_limit=125_000,
        fees=Fees(21 * GWEI + 1, GWEI), raw=b"\xf3", sent_at=sent_at, l1_block=99, **fields,
    )  # fmt: skip


def make_report(stage: Stage) -> OperationsReport:
    now = stage.now
    included = make_attempt(
        2, 1, now - 60_000, outcome=AttemptOutcome.INCLUDED, gas_used=98_352, effective_gas_price=GWEI + 7
    )
    inclusion = Inclusion(
        2, bytes(32), now // 1000 - 30, included.hash, 1_234, bytes(32), 98_352, GWEI + 7
    )  # fmt: skip
    flying = make_attempt(3, 1, now - 5_000)
    return OperationsReport(
        read_at=now,
        started_at=now - 3_600_000,
        version="1.2.3",
        backlog=Backlog(verifying=1_200, ordering=34, limit=50_000),
        lag=Lag(index=3, sealer=1),
        epoch=OpenEpoch(4, 1_500, now + 5_000, "the last commitment is not mined yet"),
        committer=CommitterReport(
            state="in_flight",
            is_ok=True,
            since=now - 5_000,
            detail="epoch 3, attempt 1",
            account=ACCOUNT,
            sealed_epoch=3,
            mined_epoch=2,
            final_epoch=1,
            lag_epochs=1,
            lag_ms=5_200,
            l1_block=1_240,
            l1_timestamp=now - 4_000,
            funds=Funds(10**18 + 1, 1_240, 5 * 10**17, 123 * 10**15, 500 * GWEI, 10 * GWEI),
            in_flight=(flying,),
            last=(
                EpochStatus(3, EpochState.SENT, bytes(32), now - 5_200, (flying,), None, 0, None, False),
                EpochStatus(2, EpochState.MINED, bytes(32), now - 61_000, (included,), inclusion, 6, now, True),
            ),
        ),
        watcher=WatcherReport(
            state="l1_unreachable",
            is_ok=False,
            since=now - 120_000,
            detail="eth_getBlockByNumber: 127.0.0.1:1: no answer",
            l1_block=1_230,
            l1_timestamp=now - 130_000,
            credited_count=17,
            deep_reorgs=0,
            deposits=tuple([DepositsWaiting(asset, 5, 6, 9) for asset in stage.ledger.assets]),
        ),
        refusals=(("insufficient_balance", 12_345), ("nonce_used", 1)),
        endpoints=(
            EndpointReport(
                "l1.example:443",
                EndpointState.FAILING,
                now - 1_000,
                "no answer",
                1_240,
                EndpointHealth(
                    "l1.example:443", 900, 2, 7, 2, now - 9_000, 3_400, now - 1_000, "no answer", now, "limit"
                ),
            ),
            EndpointReport(
                "127.0.0.1:8545",
                EndpointState.UNTRIED,
                now,
                "",
                None,
                EndpointHealth("127.0.0.1:8545", 0, 0, 0, 0, None, None, None, "", None, ""),
            ),
        ),
        quorum=2,
        disk=DiskUse((("index.sqlite", 1_048_576), ("journal", 5)), 10**9),
    )


async def ask_as(explorer: Explorer, authorization: str | None, path: str = "/operator", method: str = "GET") -> Answer:
    sent: list[Any] = []
    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path.partition("?")[0], "raw_path": path.encode(), "query_string": path.partition("?")[2].encode(),
        "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await explorer(scope, receive, send)
    return _collect(sent)


async def read(stage: Stage) -> Page:
    answer = await ask_as(stage.guarded, f"Bearer {TOKEN}")
    assert answer.status == 200, answer.text
    return answer.page


def change(stage: Stage, part: str, **fields: Any) -> None:
    assert stage.operations is not None
    changed = msgspec.structs.replace(getattr(stage.operations, part), **fields)
    stage.operations = msgspec.structs.replace(stage.operations, **{part: changed})


# --- the token


@pytest.mark.parametrize("authorization", [None, f"Bearer {TOKEN}", "Bearer None", "Bearer "])
async def test_without_a_token_configured_there_is_no_such_page(stage: Stage, authorization: str | None) -> None:
    explorer = stage.explorer
    answer = await ask_as(explorer, authorization)
    nothing = await ask_as(explorer, authorization, "/operators")
    assert (answer.status, answer.headers) == (404, nothing.headers)
    assert answer.body == nothing.body.replace(b"/operators", b"/operator")
    assert "www-authenticate" not in answer.headers and stage.reports == 0


@pytest.mark.parametrize("authorization", [None, "", "Bearer wrong", "Basic wrong", f"Bearer {TOKEN}x"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_with_the_wrong_one_it_asks_and_shows_nothing(
    stage: Stage, authorization: str | None, method: str
) -> None:
    answer = await ask_as(stage.guarded, authorization, method=method)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="operator", charset="UTF-8"'
    assert answer.headers["cache-control"] == "no-store"
    assert ACCOUNT not in answer.text and TOKEN not in answer.text and stage.reports == 0
    if method == "GET":
        assert "This page is the operator's." in answer.page.text


async def test_a_token_in_the_address_opens_nothing(stage: Stage) -> None:
    for query in (f"token={TOKEN}", f"access_token={TOKEN}", TOKEN):
        assert (await ask_as(stage.guarded, None, f"/operator?{query}")).status == 401


@pytest.mark.parametrize(
    "authorization", [f"Bearer {TOKEN}", "Basic " + base64.b64encode(f"anybody:{TOKEN}".encode()).decode()]
)
async def test_with_the_right_one_it_is_shown_and_never_kept(stage: Stage, authorization: str) -> None:
    answer = await ask_as(stage.guarded, authorization)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert "etag" not in answer.headers and "access-control-allow-origin" not in answer.headers
    assert TOKEN not in answer.text and TOKEN not in str(answer.headers)
    assert stage.reports == 1


async def test_no_other_page_leads_there(stage: Stage) -> None:
    answer = await ask(stage.guarded, "/reserves")
    assert "/operator" not in answer.text


# --- what it shows


async def test_the_report_is_shown_as_it_is(stage: Stage) -> None:
    page = await read(stage)
    for words in (
        "Open epoch 4 1,500 records, due in 5 s",
        "Payments waiting 1,234 1,200 being verified, 34 to be ordered; limit 50,000",
        "Commitments behind 1 the oldest has waited 5.2 s",
        "Spent in 24 hours 24.6 % 0.123 ETH of 0.5 ETH",
        "waits the last commitment is not mined yet",
        "Index 3 journal entries behind",
        "Sealer 1 journal entry behind",
        "version 1.2.3",
        "in flight entered 5 s ago epoch 3, attempt 1",
        "sealed up to 3, mined up to 2, final up to 1",
        f"Account {ACCOUNT}",
        "1.000000000000000001 ETH as of L1 block 1,240 pays for 50,000,000 gas at twice the base fee",
        "500 gwei; the base fee is 10 gwei",
        "l1 unreachable entered 2 min ago eth_getBlockByNumber: 127.0.0.1:1: no answer",
        "Credited 17 deposits",
    ):
        assert words in page.text, words
    assert page.get_rows("in-flight")[0][-4:] == ["5 s ago", "1,003", "21.000000001 gwei", "0.002625000000125 ETH"]
    commitments = page.get_rows("last-commitments")
    assert commitments[0][:4] == ["3", "sent", "5 s ago", "1"]
    assert commitments[0][4:] == ["not mined yet", "–", "0 ETH"]
    assert commitments[1][:4] == ["2", "mined", "1 min ago", "1"]
    assert commitments[1][-1] == "0.000098352000688464 ETH"
    assert page.get_rows("deposits-waiting")[0] == ["ETH", "3", "1", "5"]
    assert page.get_rows("endpoints") == [
        [
            "l1.example:443", "failing entered 1 s ago no answer", "1,240", "900", "9 s ago", "3 ms",
            "1 s ago of 2 no answer", "now of 7 limit",
        ],
        ["127.0.0.1:8545", "untried entered now", "–", "0", "never", "–", "never", "never"],
    ]  # fmt: skip
    assert "What matters is believed when 2 of the 2 say the same." in page.text
    assert page.get_rows("refusals") == [["insufficient_balance", "12,345"], ["nonce_used", "1"], ["All", "12,346"]]
    assert page.get_rows("disk") == [
        ["index.sqlite", "1,048,576"], ["journal", "5"], ["All", "1,048,581"], ["Free on the disk", "1,000,000,000"],
    ]  # fmt: skip


async def test_a_node_that_has_just_begun_has_little_to_say(stage: Stage) -> None:
    change(
        stage, "committer", in_flight=(), last=(), l1_block=None, l1_timestamp=None, detail="", lag_epochs=0, lag_ms=0,
        funds=Funds(None, 0, 5 * 10**17, 0, 500 * GWEI, None), account=None,
    )  # fmt: skip
    change(stage, "watcher", l1_block=None, l1_timestamp=None, deposits=(), detail="")
    change(stage, "epoch", obstacle=None)
    change(stage, "disk", parts=(), problem="[Errno 13] Permission denied")
    assert stage.operations is not None
    stage.operations = msgspec.structs.replace(stage.operations, refusals=())
    page = await read(stage)
    for words in (
        "everything sealed is on Ethereum",
        "Account its key is not there",
        "Balance not asked for yet",
        "Newest L1 block none seen yet",
        "None: nothing that was sent is still open.",
        "None: no epoch has been sealed yet.",
        "Read up to nothing yet",
        "No assets are listed yet.",
        "None: nothing has been refused since the start.",
        "could not be measured: [Errno 13] Permission denied",
        "0.0 %",
    ):
        assert words in page.text, words


async def test_deep_reorganisations_and_strangers_submissions_are_named(stage: Stage) -> None:
    assert stage.operations is not None
    last = stage.operations.committer.last
    change(stage, "watcher", deep_reorgs=2)
    change(stage, "committer", last=(last[0], msgspec.structs.replace(last[1], is_ours=False)))
    page = await read(stage)
    assert "Deep reorganisations 2 final L1 blocks were replaced by others" in page.text
    assert "sent by others" in page.text


async def test_an_endpoints_own_words_are_text(stage: Stage) -> None:
    assert stage.operations is not None
    words = "<script>alert(1)</script>{{ 7*7 }}"
    first = stage.operations.endpoints[0]
    health = msgspec.structs.replace(first.health, last_fault=words, last_error=words)
    faulty = msgspec.structs.replace(first, name="<b>", detail=words, health=health)
    stage.operations = msgspec.structs.replace(stage.operations, endpoints=(faulty,))
    change(stage, "committer", detail=words)
    stage.reserves = Reserves(None, Fault(FaultKind.REFUSED, words, stage.now - 90_000, 3))
    answer = await ask_as(stage.guarded, f"Bearer {TOKEN}")
    assert words not in answer.text and answer.text.count("&lt;script&gt;alert(1)") == 5
    assert "The reserves have not been read since 1 min ago: <script>" in answer.page.text
    assert "{{ 7*7 }}" in answer.page.text


async def test_it_works_without_scripts_and_style_attributes(stage: Stage) -> None:
    page = await read(stage)
    assert [attributes for _, attributes in page.elements if "style" in attributes] == []
    names = [attributes["data-live"] for _, attributes in page.elements if "data-live" in attributes]
    assert len(names) == len(set(names))


# --- what follows from the report


@pytest.mark.parametrize(
    ("spent", "budget", "words"),
    [(0, 1, "0.0 %"), (1, 3, "33.3 %"), (2, 3, "66.6 %"), (999_999, 10**6, "99.9 %"), (3, 2, "150.0 %")],
)
def test_the_budget_is_never_said_to_be_used_up_before_it_is(stage: Stage, spent: int, budget: int, words: str) -> None:
    change(stage, "committer", funds=Funds(None, 0, budget, spent, 1, None))
    assert stage.operations is not None
    view = view_operations(stage.operations)
    assert (view.budget_used, view.affordable_gas) == (words, None)


def test_a_commitment_included_by_a_clock_that_is_behind_took_no_time(stage: Stage) -> None:
    assert stage.operations is not None
    mined = stage.operations.committer.last[1]
    view = view_operations(stage.operations)
    assert [line.took_ms for line in view.commitments] == [
        None,
        (mined.inclusion or mined).included_at * 1000 - mined.sealed_at,
    ]  # type: ignore[union-attr]
    late = msgspec.structs.replace(mined, sealed_at=stage.now + 10**6)
    change(stage, "committer", last=(late,))
    assert [line.took_ms for line in view_operations(stage.operations).commitments] == [0]
