"""Payers who go on paying while the node dies under them, and who remember every word that they were told."""

import itertools
import random
import threading
import time
from typing import Any

import requests

from chain import wire
from chain.primitives import Address
from tests.network import PATIENCE_SECONDS, Network, wait_until

PAYEE_COUNT = 40
_MOST_IN_BATCH = 25
_AT_ONCE = 400
_RETRY_SECONDS = 0.2
_PAUSE_SECONDS = 0.05
"""Between two requests: the processors are for the node."""


class Load:
    """Several payers, each a thread with an account of its own: the even ones send single payments, the odd ones
    batches. A payment that was not answered is sent again, the very same, until it is; so nonces have no gaps, and
    what was paid in the end is known to the last unit.

    The payees follow from `seed`, and are nobody else's.
    """

    def __init__(self, network: Network, seed: str, payers: range) -> None:
        self._network = network
        self._random = random.Random(seed)
        self.payees: list[Address] = [self._random.randbytes(20) for _ in range(PAYEE_COUNT)]
        self.receipts: dict[str, dict[str, Any]] = {}
        """id → the first receipt that left the node for it."""
        self.repeated = 0
        """Payments sent again because nobody answered."""
        self._lock = threading.Lock()
        self._payers = [_Payer(self, network, account, f"{seed} {account}") for account in payers]
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.problems: list[str] = []

    # --- while it runs

    def __enter__(self) -> "Load":
        self._stop.clear()
        self._threads = [threading.Thread(target=self._run, args=(payer,)) for payer in self._payers]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS * 2)
        assert not any(thread.is_alive() for thread in self._threads)
        assert not self.problems, self.problems[:5]

    def wait_for_receipts(self, count: int) -> None:
        """Until that many more have come."""
        wanted = len(self.receipts) + count
        wait_until(
            lambda: len(self.receipts) >= wanted or self.problems, f"{count} more receipts", PATIENCE_SECONDS * 2
        )

    def take(self, receipt: dict[str, Any]) -> None:
        with self._lock:
            known = self.receipts.setdefault(receipt["id"], receipt)
        if _get_place(known) != _get_place(receipt):
            self.problems.append(f"{receipt['id']} was at {_get_place(known)}, and is at {_get_place(receipt)}")

    def note_repeat(self, count: int) -> None:
        with self._lock:
            self.repeated += count

    def _run(self, payer: "_Payer") -> None:
        try:
            payer.run(self._stop)
        except BaseException as error:
            self.problems.append(f"payer {payer.account}: {error!r}")
            raise

    # --- the books, held against the node's

    def check_receipts(self, since: int = 0) -> None:
        """Every receipt that ever left the node, or all but the first ones, is as it was: block hash, signature, place,
        path."""
        for receipts in _split(list(self.receipts.values())[since:]):
            answers = self._network.batch([("tally_getReceipt", [receipt["id"]]) for receipt in receipts])
            for receipt, answer in zip(receipts, answers, strict=True):
                assert "result" in answer, (receipt, answer)
                assert _get_place(answer["result"]) == _get_place(receipt)
                for name in ("payment", "signature", "block", "siblings"):
                    assert answer["result"][name] == receipt[name], name

    def check_ledger(self, balances_before: dict[Address, int]) -> None:
        """All that was paid is in the blocks once, and nothing else; every balance and nonce follows from it.

        `balances_before`: of all payers. Call it after the load has ended.
        """
        network = self._network
        paid = dict.fromkeys(balances_before, 0)
        received = dict.fromkeys(self.payees, 0)
        for receipt in self.receipts.values():
            payment = receipt["payment"]
            for output in payment["outputs"]:
                paid[wire.decode_address(payment["from"], "from")] += int(output["amount"], 16)
                received[wire.decode_address(output["to"], "to")] += int(output["amount"], 16)
        for payee, amount in received.items():
            assert network.get_balance(payee) == amount
        for payer, before in balances_before.items():
            assert network.get_balance(payer) == before - paid[payer]
        for payer in self._payers:
            assert network.next_nonce(payer.account) == payer.nonce
        accounts = {wire.encode_address(network.addresses[payer.account]) for payer in self._payers}
        payees = {wire.encode_address(payee) for payee in self.payees}
        listed = [
            record["id"]
            for block in read_blocks(network)
            for record in block["records"]
            if record["type"] == "payment"
            and record["payment"]["from"] in accounts
            and record["payment"]["outputs"][0]["to"] in payees
        ]
        assert len(listed) == len(set(listed))
        assert set(listed) == set(self.receipts)

    def read_balances(self) -> dict[Address, int]:
        """Of all payers, now."""
        addresses = [self._network.addresses[payer.account] for payer in self._payers]
        return {address: self._network.get_balance(address) for address in addresses}


class _Payer:
    def __init__(self, load: Load, network: Network, account: int, seed: str) -> None:
        self.account = account
        self.nonce = network.next_nonce(account)
        """Of the next new payment: every nonce below it has its receipt."""
        self._load = load
        self._network = network
        self._random = random.Random(seed)
        self._session = requests.Session()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            count = self._random.randint(2, _MOST_IN_BATCH) if self.account % 2 else 1
            payments = [self._make_payment(self.nonce + number) for number in range(count)]
            self._send(payments)
            self.nonce += count
            time.sleep(_PAUSE_SECONDS)

    def _make_payment(self, nonce: int) -> list[Any]:
        outputs = [
            (self._random.choice(self._load.payees), self._random.randint(1, 1000))
            for _ in range(self._random.choice((1, 1, 1, 2, 16)))
        ]
        return self._network.sign(self.account, outputs, nonce=nonce, kind="transfer")

    def _send(self, payments: list[list[Any]]) -> None:
        """Until every one of them has its receipt."""

        def is_answered() -> bool:
            answers = self._ask(payments)
            if answers is None:
                self._load.note_repeat(len(payments))
                time.sleep(_RETRY_SECONDS)
                return False
            refused = [answer for answer in answers if "error" in answer]
            for answer in answers:
                if "result" in answer:
                    self._load.take(answer["result"])
            # `halted`: the node is ending. Any other refusal of an honest payment is a fault of the node.
            assert all(answer["error"]["data"]["code"] == "halted" for answer in refused), refused[:1]
            return not refused

        wait_until(is_answered, f"an answer to payer {self.account}", PATIENCE_SECONDS)

    def _ask(self, payments: list[list[Any]]) -> list[dict[str, Any]] | None:
        """None if no whole answer came."""
        try:
            if len(payments) == 1:
                return [self._network.ask("tally_sendPayment", *payments[0], session=self._session)]
            return self._network.batch([("tally_sendPayment", params) for params in payments], self._session)
        except requests.RequestException:
            return None


def read_blocks(network: Network) -> list[dict[str, Any]]:
    """All, in order, each naming the one before it."""
    head = int(network.call("tally_getInfo")["headBlock"], 16)
    blocks: list[dict[str, Any]] = []
    for numbers in _split(list(range(1, head + 1))):
        answers = network.batch([("tally_getBlock", [number]) for number in numbers])
        blocks += [answer["result"] for answer in answers]
    for before, block in itertools.pairwise(blocks):
        assert block["header"]["previous"] == before["header"]["hash"]
    return blocks


def _get_place(receipt: dict[str, Any]) -> tuple[str, str, str]:
    return receipt["block"]["hash"], receipt["block"]["number"], receipt["index"]


def _split(items: list[Any]) -> list[list[Any]]:
    return [items[at : at + _AT_ONCE] for at in range(0, len(items), _AT_ONCE)]
