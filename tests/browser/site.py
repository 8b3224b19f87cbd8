"""All pages of the explorer, by what they are called, for tests of what all of them have to be."""

from collections.abc import Callable
from typing import Any, Final

from chain import wire
from tests.browser.conftest import OPERATOR_TOKEN
from tests.browser.past import HOSTILE_MEMOS, Past

PATHS: Final[dict[str, Callable[[Past], str]]] = {
    "home": lambda past: "/",
    "payments": lambda past: "/payments",
    "payments, filtered to nothing": lambda past: "/payments?from=2001-01-01&to=2001-01-02&kind=tip",
    "payment": lambda past: f"/tx/{past.sent[5].name}",
    "payment of many outputs": lambda past: (
        f"/tx/{max(past.sent[:1000], key=lambda sent: len(sent.payment.outputs)).name}"
    ),
    "payment with a hostile memo": lambda past: (
        f"/tx/{next(sent for sent in past.sent if sent.payment.memo == max(HOSTILE_MEMOS, key=len)).name}"
    ),
    "receipt to print": lambda past: f"/tx/{past.sent[5].name}/receipt",
    "account": lambda past: f"/address/{name_account(past, 0)}",
    "account that is not there": lambda past: "/address/0x" + "ab" * 20,
    "statement": lambda past: f"/address/{name_account(past, 0)}/statement",
    "deposits": lambda past: f"/address/{name_account(past, 0)}/deposits",
    "proof of an account": lambda past: f"/address/{name_account(past, 0)}/proof",
    "blocks": lambda past: "/blocks",
    "block": lambda past: f"/block/{past.sent[5].block}",
    "epochs": lambda past: "/epochs",
    "epoch": lambda past: "/epoch/2",
    "charts": lambda past: "/charts",
    "reserves": lambda past: "/reserves",
    "verify": lambda past: "/verify",
    "developers": lambda past: "/developers",
    "operator": lambda past: "/operator",
    "two things found": lambda past: "/search?q=1",
    "nothing found": lambda past: "/search?q=no+such+thing",
    "no such payment": lambda past: "/tx/0x" + "ab" * 32,
    "no such page": lambda past: "/no/such/page",
}

ERRORS: Final = {"nothing found", "no such payment", "no such page"}

OPERATOR: Final[dict[str, Any]] = {
    "http_credentials": {"username": "operator", "password": OPERATOR_TOKEN, "send": "always"}
}
"""Options of a context that knows the operator's token. Nothing but the operator's page asks for it."""


def name_account(past: Past, payer: int) -> str:
    return wire.encode_address(past.accounts[payer])
