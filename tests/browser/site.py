"""All pages of the explorer, by what they are called, for tests of what all of them have to be."""

from collections.abc import Callable
from typing import Any, Final

from chain import wire
from chain.kinds import PURCHASE
from tests.browser.conftest import OPERATOR_TOKEN
from tests.browser.past import HOSTILE_MEMOS, HOSTILE_NAMES, OWNERS, VALIDATORS, Listed, Past

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
    "purchase": lambda past: f"/tx/{name_purchase(past, find_best_seller(past))}",
    "receipt of a purchase": lambda past: f"/tx/{name_purchase(past, find_best_seller(past))}/receipt",
    "files": lambda past: "/files",
    "files with words and a tag": lambda past: "/files?q=rainfall&tag=csv",
    "files, filtered to nothing": lambda past: "/files?q=no+such+file&tag=csv",
    "file": lambda past: f"/file/{find_best_seller(past).name}",
    "file with a hostile name": lambda past: f"/file/{find_hostile(past).name}",
    "instructions": lambda past: "/instructions",
    "instruction": lambda past: f"/instruction/{wire.encode_bytes(find_hostile(past).listing_id)}",
    "participants": lambda past: "/participants",
    "owners": lambda past: "/participants?role=owner",
    "account": lambda past: f"/address/{name_account(past, 0)}",
    "account that is not there": lambda past: "/address/0x" + "ab" * 20,
    "statement": lambda past: f"/address/{name_account(past, 0)}/statement",
    "deposits": lambda past: f"/address/{name_account(past, 0)}/deposits",
    "proof of an account": lambda past: f"/address/{name_account(past, 0)}/proof",
    "validator's files": lambda past: f"/address/{name_account(past, VALIDATORS[0])}/files",
    "validator's uploads": lambda past: f"/address/{name_account(past, VALIDATORS[0])}/uploads",
    "validator's earnings": lambda past: f"/address/{name_account(past, VALIDATORS[0])}/earnings",
    "validator's owners": lambda past: f"/address/{name_account(past, VALIDATORS[0])}/owners",
    "validator's instructions": lambda past: f"/address/{name_account(past, VALIDATORS[0])}/instructions",
    "mart's purchases": lambda past: f"/address/{name_account(past, 5)}/purchases",
    "owner's sales": lambda past: f"/address/{name_account(past, OWNERS[0])}/sales",
    "owner's earnings": lambda past: f"/address/{name_account(past, OWNERS[0])}/earnings",
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
    "files found": lambda past: "/search?q=rainfall",
    "nothing found": lambda past: "/search?q=no+such+thing",
    "no such payment": lambda past: "/tx/0x" + "ab" * 32,
    "no such page": lambda past: "/no/such/page",
}

ERRORS: Final = {"nothing found", "no such payment", "no such page"}

OPERATOR: Final[dict[str, Any]] = {
    "http_credentials": {"username": "operator", "password": OPERATOR_TOKEN, "send": "always"}
}
"""Options of a context that knows the operator's token. Nothing but the operator's page asks for it."""


def find_best_seller(past: Past) -> Listed:
    return max(past.files.values(), key=lambda listed: listed.sale_count)


def find_hostile(past: Past) -> Listed:
    """The one with the longest name."""
    return next(listed for listed in past.files.values() if listed.listing.name == max(HOSTILE_NAMES, key=len))


def name_purchase(past: Past, listed: Listed) -> str:
    """The first one of the file."""
    file = listed.listing.file
    return next(sent.name for sent in past.sent if sent.payment.kind == PURCHASE and sent.payment.reference == file)


def name_account(past: Past, payer: int) -> str:
    return wire.encode_address(past.accounts[payer])
