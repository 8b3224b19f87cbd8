"""What is wrong, in plain words: what each state of the node's parts means for who reads a page.

The health report says more than this (`/health/ready`), and the operator's page all of it. What an endpoint of Ethereum
said is on no page that everybody sees.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

TITLES: Final[Mapping[str, str]] = {
    "sequencer": "Payments",
    "index": "These pages",
    "epochs": "Epochs",
    "watcher": "Deposits",
    "committer": "Commitments",
    "endpoints": "Ethereum's endpoints",
    "funds": "Ether for commitments",
}
"""Health check → what of the ledger it is about."""

_CONFIGURED_WRONG: Final = "the operator has to mend the configuration"

SENTENCES: Final[Mapping[str, Mapping[str, str]]] = {
    "sequencer": {
        "running": "Payments are taken.",
        "halted": "None are taken: what is ordered now could not be committed to Ethereum, or not in time.",
        "stopping": "None are taken: the node is being stopped.",
    },
    "index": {
        "current": "They show what the ledger has.",
        "behind": "They are behind the ledger: what happened last does not show yet.",
    },
    "epochs": {
        "on_time": "They end when they are due.",
        "late": "The open one should have ended, and has not: its payments are committed later than usual.",
    },
    "watcher": {
        "starting": "Ethereum has not been looked at yet.",
        "waiting_for_finality": "The contract is younger than the newest final block of Ethereum.",
        "catching_up": "Deposits made while the node was away are being credited.",
        "synced": "All that are final on Ethereum are credited.",
        "wrong_chain": f"None are credited: the node is shown another chain than the ledger's; {_CONFIGURED_WRONG}.",
        "no_contract": f"None are credited: the contract is not where it should be; {_CONFIGURED_WRONG}.",
        "wrong_contract": f"None are credited: the contract shown is not the ledger's; {_CONFIGURED_WRONG}.",
        "deposits_vanished": "One was credited that Ethereum does not hold any more, or holds otherwise.",
        "l1_unreachable": "Ethereum is out of reach: new deposits are credited when it is back.",
        "logs_contradict": "Ethereum's endpoint contradicts itself about them: they are credited when that ends.",
        "logs_incomplete": "Ethereum's endpoint keeps some of them back: they are credited when it shows them.",
        "l1_behind": "Ethereum is shown as it was before: new deposits are credited when it has caught up.",
        "l1_stalled": "Ethereum has no new blocks: new deposits are credited when it goes on.",
        "finality_lags": "Ethereum calls its blocks final late, so they are credited earlier, at a greater risk.",
        "final_block_replaced": "Ethereum replaced blocks that were final: what was credited is being compared.",
    },
    "committer": {
        "starting": "Ethereum has not been looked at yet.",
        "idle": "Every sealed epoch is on Ethereum.",
        "adopting": "What was committed while the node was away is being read.",
        "waiting_for_l1_time": "The next one waits until Ethereum's clock has passed the end of its epoch.",
        "waiting_for_l1_block": "The next one waits for Ethereum's next block.",
        "in_flight": "One is on its way to Ethereum.",
        "fee_cap_reached": "They wait: Ethereum's fees are above what the operator lets the node pay.",
        "over_budget": "They wait: they have cost what the operator allows for a day.",
        "out_of_funds": "They wait: the node has too little ether to pay for them. Anybody may send them instead.",
        "underpriced": "They wait: Ethereum wants a higher fee than was offered; the next offer is higher.",
        "refused": "They wait: Ethereum's endpoint does not take the node's transaction.",
        "reverting": "They wait: the contract would refuse the next one, so it is not sent.",
        "halted": "There are none any more: the contract heard of none for too long, and has halted for good.",
        "seal_missing": "They wait: the next one is not at hand, though a later one is.",
        "diverged": "The contract has another one than this node's: nothing that follows here can be committed.",
        "key_missing": "They wait: the key that pays for them is not there. Anybody may send them instead.",
        "l1_stalled": "They wait: Ethereum has no new blocks.",
        "l1_behind": "They wait: Ethereum is shown as it was before.",
        "l1_unreachable": "They wait: Ethereum is out of reach. How far epochs have come there may be out of date.",
        "wrong_chain": f"They wait: the node is shown another chain than the ledger's; {_CONFIGURED_WRONG}.",
        "no_contract": f"They wait: the contract is not where it should be; {_CONFIGURED_WRONG}.",
        "wrong_contract": f"They wait: the contract shown is not the ledger's; {_CONFIGURED_WRONG}.",
    },
    "endpoints": {
        "untried": "None has been asked yet.",
        "ok": "All of them answer, and agree.",
        "lagging": "One is behind the others, which are enough.",
        "failing": "One does not answer; the others are enough.",
        "contradicting": "One contradicts the others, which are enough.",
        "wrong_chain": "One shows another chain than the ledger's; the others are enough.",
        "no_contract": "One does not know the ledger's contract; the others are enough.",
        "no_quorum": "Too few of them answer and agree: what Ethereum says is not known, and nothing is done with it.",
    },
    "funds": {
        "unknown": "How far it reaches is not known yet.",
        "low": "It is running out: at the fees of now it does not last for two days.",
        "enough": "It lasts.",
    },
}
"""Health check → state → what that means, ordinary or not."""


class Alarm(msgspec.Struct, frozen=True):
    title: str
    sentence: str
    since: int | None
    """Milliseconds since 1970, if it is known."""


def list_alarms(health: Mapping[str, Any]) -> list[Alarm]:
    """Of a health report: what is not as it should be. A state without a sentence is said by its own word."""
    return [
        Alarm(TITLES.get(name, name), _describe(name, check["state"]), check.get("since"))
        for name, check in health["checks"].items()
        if not check["ok"]
    ]


def _describe(name: str, state: str) -> str:
    return SENTENCES.get(name, {}).get(state) or state.replace("_", " ")
