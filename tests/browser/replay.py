"""The ledger replayed from its public blocks, by additions alone, without the node's code: what payments really did."""

from collections import defaultdict
from typing import Any

from tests.network import Network

_BATCH = 100


class Replay:
    """Addresses and ids are strings, as the interface gives them: addresses with their checksum."""

    def __init__(self) -> None:
        self.balances: dict[tuple[str, str], int] = defaultdict(int)
        """By (account, asset)."""
        self.changes: dict[str, dict[str, int]] = {}
        """What a payment did: its id → account → balance after, less balance before. No change, no line, but that
        whoever takes part has one."""
        self.head = 0

    def apply(self, number: int, block: dict[str, Any]) -> None:
        assert int(block["header"]["number"], 16) == number == self.head + 1
        self.head = number
        for record in block["records"]:
            if record["type"] == "deposit":
                deposit = record["deposit"]
                self.balances[deposit["account"], deposit["asset"]] += int(deposit["amount"], 16)
            elif record["type"] == "payment":
                self.changes[record["id"]] = self._pay(record["payment"])

    def _pay(self, payment: dict[str, Any]) -> dict[str, int]:
        asset = payment["asset"]
        outputs = [(output["to"], int(output["amount"], 16)) for output in payment["outputs"]]
        # What is withdrawn leaves the ledger: its recipient is an account of Ethereum's.
        credited = [] if payment["kind"] == "withdraw" else outputs
        parties = {payment["from"], *[to for to, _ in credited]}
        before = {party: self.balances[party, asset] for party in parties}
        self.balances[payment["from"], asset] -= sum([amount for _, amount in outputs])
        for to, amount in credited:
            self.balances[to, asset] += amount
        assert self.balances[payment["from"], asset] >= 0
        return {party: self.balances[party, asset] - before[party] for party in parties}


def replay(network: Network) -> Replay:
    """Up to the head as it is when asked."""
    done = Replay()
    head = int(network.call("tally_getBlock", "latest")["header"]["number"], 16)
    for first in range(1, head + 1, _BATCH):
        numbers = range(first, min(first + _BATCH, head + 1))
        answers = network.batch([("tally_getBlock", [number]) for number in numbers])
        for number, answer in zip(numbers, answers, strict=True):
            done.apply(number, answer["result"])
    return done
