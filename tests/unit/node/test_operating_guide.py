"""docs/operating.md: it knows every state, and its alerts ask for metrics that there are."""

import re
from pathlib import Path

import pytest

from node import metrics
from node.ethereum.commit_decision import ORDINARY, Situation
from node.ethereum.committer import FundsLevel
from node.ethereum.endpoints import EndpointState
from node.ethereum.watch_decision import WatcherSituation
from node.opening import Missing

GUIDE = (Path(__file__).parents[3] / "docs" / "operating.md").read_text()
RULES = GUIDE.partition("```yaml\n")[2].partition("```")[0]
ORDINARY_OF_WATCHER = {"starting", "waiting_for_finality", "catching_up", "synced"}


def get_section(title: str) -> str:
    return GUIDE.partition(f"\n## {title}")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Before it serves", set(Missing)),
        ("Commitments", set(Situation)),
        ("Deposits", set(WatcherSituation)),
        ("Endpoints and funds", {*EndpointState, *FundsLevel, "no_quorum"}),
    ],
)
def test_every_state_is_explained_and_no_other(title: str, words: set[str]) -> None:
    section = get_section(title)
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {word for row in rows for word in re.findall(r"`(\w+)`", row)} == {str(word) for word in words}


def test_alerts_ask_for_metrics_that_there_are() -> None:
    names = {sample.name for family in metrics.REGISTRY.collect() for sample in family.samples}
    names |= {family.name for family in metrics.REGISTRY.collect()}
    asked = set(re.findall(r"\btally_\w+", RULES))
    assert len(asked) >= 6 and asked <= names
    assert RULES.count("- alert:") == 3


def test_alerts_leave_out_what_is_ordinary_and_nothing_else() -> None:
    left_out = {
        name: set(states.split("|")) for name, states in re.findall(r'(tally_\w+_state)\{state!~"([\w|]+)"\}', RULES)
    }
    assert left_out == {
        "tally_committer_state": {str(word) for word in ORDINARY},
        "tally_watcher_state": ORDINARY_OF_WATCHER,
    }
    (low,) = re.findall(r'tally_funds_state\{state="(\w+)"\}', RULES)
    assert low == FundsLevel.LOW
