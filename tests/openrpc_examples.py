"""Writes the examples of `rpc.discover`, as a development network answers: `python -m tests.openrpc_examples`."""

import json
import tempfile
from pathlib import Path
from typing import Any

from chain import wire
from chain.hashing import keccak
from tests.network import ROOT, Network, run_network, wait_until

PATH = ROOT / "node" / "rpc" / "examples.json"


def make_examples(network: Network) -> dict[str, list[tuple[list[Any], Any]]]:
    """method → (parameters, result). A payment that is committed, and a withdrawal that can be claimed."""
    alice, bob = [wire.encode_address(address) for address in network.addresses[:2]]
    token = network.facts["token"]
    file = keccak(b"an example's file")
    sent = network.sign(0, [(network.addresses[1], 25 * 10**17)], reference=file, memo="for the file", kind="tip")
    receipt = network.call("tally_sendPayment", *sent)
    withdrawal = network.call("tally_sendPayment", *network.sign(1, [(network.addresses[1], 10**18)], kind="withdraw"))
    for each in (receipt, withdrawal):
        network.wait_for_status(each["id"], "committed", "final")
    payment = network.call("tally_getPayment", receipt["id"])
    epoch = payment["epoch"]
    wait_until(lambda: network.call("tally_getCommitment", epoch)["status"] == "final", "the epoch becoming final")

    def ask(method: str, *params: Any) -> tuple[list[Any], Any]:
        return list(params), network.call(method, *params)

    details = {"asset": token, "from": alice, "to": bob, "amount": "1000000000000000000"}
    return {
        "tally_getInfo": [ask("tally_getInfo")],
        "tally_sendPayment": [(sent, receipt)],
        "tally_getReceipt": [ask("tally_getReceipt", receipt["id"])],
        "tally_getPayment": [ask("tally_getPayment", receipt["id"])],
        "tally_getAccount": [ask("tally_getAccount", bob)],
        "tally_getBlock": [ask("tally_getBlock", payment["block"])],
        "tally_getCommitment": [ask("tally_getCommitment", epoch)],
        "tally_getPaymentProof": [ask("tally_getPaymentProof", withdrawal["id"])],
        "tally_getAccountProof": [ask("tally_getAccountProof", alice, token, epoch)],
        "tally_getStatement": [ask("tally_getStatement", alice, token, epoch)],
        "tally_listPayments": [ask("tally_listPayments", {"account": bob, "kind": "tip", "limit": 1})],
        "tally_quote": [ask("tally_quote", "transfer", details)],
        "tally_subscribe": [(["payments", {"account": bob, "fromBlock": payment["block"]}], "0x" + "5b" * 16)],
        "tally_unsubscribe": [(["0x" + "5b" * 16], True)],
    }


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        run_network(Path(directory), "--epoch-seconds", "3", "--challenge-period", "4") as network,
    ):
        examples = make_examples(network)
    PATH.write_text(json.dumps(examples, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
