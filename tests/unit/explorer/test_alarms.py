"""What is wrong, in plain words: every state of every part has its sentence, and no page says what an endpoint said."""

from typing import Any

import pytest

from explorer.alarms import SENTENCES, TITLES, list_alarms
from explorer.formatting import format_age
from node.ethereum.commit_decision import Situation
from node.ethereum.committer import FundsLevel
from node.ethereum.endpoints import EndpointState
from node.ethereum.watch_decision import WatcherSituation
from tests.unit.explorer.conftest import World
from tests.unit.explorer.machines import fetch
from tests.unit.explorer.reading import Page
from tests.unit.node.index.history import RandomLedger

STATES = {
    "sequencer": {"running", "halted", "stopping"},
    "index": {"current", "behind"},
    "epochs": {"on_time", "late"},
    "watcher": set(WatcherSituation),
    "committer": set(Situation),
    "endpoints": {*EndpointState, "no_quorum"},
    "funds": set(FundsLevel),
}
RAW = "eth_call: 10.0.0.7:8545: <b>internal secret</b>"


def report(**checks: dict[str, Any]) -> dict[str, Any]:
    return {"status": "degraded", "checks": {"sequencer": {"state": "running", "ok": True, "detail": ""}, **checks}}


async def read(world: World, path: str) -> Page:
    answer = await fetch(world.explorer, path)
    assert answer.status == 200
    return answer.page


def test_every_state_has_its_sentence_and_no_other_has() -> None:
    assert {name: set(sentences) for name, sentences in SENTENCES.items()} == STATES
    assert set(TITLES) == set(STATES)
    for sentences in SENTENCES.values():
        for sentence in sentences.values():
            assert sentence[0].isupper() and sentence.endswith(".")
        assert len(set(sentences.values())) == len(sentences), "one meaning each"


def test_a_state_or_a_part_without_a_sentence_is_said_by_its_own_word() -> None:
    health = report(watcher={"state": "gone_for_lunch", "ok": False}, gate={"state": "shut", "ok": False, "since": 7})
    assert [(alarm.title, alarm.sentence, alarm.since) for alarm in list_alarms(health)] == [
        ("Deposits", "gone for lunch", None),
        ("gate", "shut", 7),
    ]


@pytest.mark.parametrize(
    "path", ["/", "/payments", "/blocks", "/epochs", "/epoch/3", "/files", "/charts", "/reserves", "/search?q=1"]
)
async def test_the_banner_comes_and_goes_with_the_state_on_every_page(
    world: World, history: RandomLedger, path: str
) -> None:
    assert (await read(world, path)).banner is None
    since = world.now - 3 * 60_000
    world.health = report(
        committer={"state": "l1_unreachable", "ok": False, "detail": RAW, "since": since},
        endpoints={"state": "no_quorum", "ok": False, "detail": RAW, "since": since},
        funds={"state": "low", "ok": False, "detail": RAW},
        watcher={"state": "synced", "ok": True, "detail": RAW, "since": since},
    )
    page = await read(world, path)
    ago = format_age(since, world.now)
    assert page.banner == [
        f"Commitments: {SENTENCES['committer']['l1_unreachable']} Began {ago}.",
        f"Ethereum's endpoints: {SENTENCES['endpoints']['no_quorum']} Began {ago}.",
        f"Ether for commitments: {SENTENCES['funds']['low']}",
    ]
    assert "10.0.0.7" not in page.text and "secret" not in page.text
    world.health = report(committer={"state": "in_flight", "ok": True, "detail": "", "since": world.now})
    world.health["status"] = "ready"
    assert (await read(world, path)).banner is None


@pytest.mark.parametrize(
    ("part", "state"), [(part, state) for part, states in STATES.items() for state in sorted(states)]
)
async def test_each_alarm_is_said_in_its_own_words(world: World, part: str, state: str) -> None:
    world.health = report(**{part: {"state": str(state), "ok": False, "detail": RAW}})
    (shown,) = (await read(world, "/developers")).banner or [""]
    assert shown == f"{TITLES[part]}: {SENTENCES[part][state]}"
