"""Writes the examples of `rpc.discover`, as a development network answers: `python -m tests.openrpc_examples`."""

import json
import tempfile
from pathlib import Path
from typing import Any

from chain import wire
from chain.hashing import keccak
from chain.primitives import Hash
from tests.exchange import Market, Party
from tests.network import ROOT, Network, run_network, wait_until

PATH = ROOT / "node" / "rpc" / "examples.json"


Example = tuple[list[Any], Any]
"""(parameters, result)"""


def make_examples(network: Network) -> dict[str, list[Example]]:
    """By method: a payment that is committed, a withdrawal that can be claimed, a file that was uploaded and sold."""
    alice, bob = [wire.encode_address(address) for address in network.addresses[:2]]
    token = network.facts["token"]
    file = keccak(b"an example's file")
    sent = network.sign(0, [(network.addresses[1], 25 * 10**17)], reference=file, memo="for the file", kind="tip")
    receipt = network.call("tally_sendPayment", *sent)
    withdrawal = network.call("tally_sendPayment", *network.sign(1, [(network.addresses[1], 10**18)], kind="withdraw"))
    trade = make_trade_examples(network, file)
    for each in (receipt, withdrawal, trade["tally_sendUpload"][0][1][0]):
        network.wait_for_status(each["id"], "committed", "final")
    payment = network.call("tally_getPayment", receipt["id"])
    epoch = payment["epoch"]
    wait_until(lambda: network.call("tally_getCommitment", epoch)["status"] == "final", "the epoch becoming final")

    def ask(method: str, *params: Any) -> Example:
        return list(params), network.call(method, *params)

    listed = trade["tally_getFile"][0][1]
    details = {"asset": token, "from": alice, "to": bob, "amount": "1000000000000000000"}
    return {
        "tally_getInfo": [ask("tally_getInfo")],
        "tally_sendPayment": [(sent, receipt)],
        "tally_getReceipt": [ask("tally_getReceipt", receipt["id"]), ask("tally_getReceipt", listed["listing"])],
        "tally_getPayment": [ask("tally_getPayment", receipt["id"])],
        "tally_getAccount": [ask("tally_getAccount", bob), ask("tally_getAccount", listed["owner"])],
        "tally_getBlock": [ask("tally_getBlock", payment["block"]), ask("tally_getBlock", listed["block"])],
        "tally_getCommitment": [ask("tally_getCommitment", epoch)],
        "tally_listCommitments": [ask("tally_listCommitments", {"limit": 1})],
        "tally_getPaymentProof": [ask("tally_getPaymentProof", withdrawal["id"])],
        "tally_getAccountProof": [ask("tally_getAccountProof", alice, token, epoch)],
        "tally_getStatement": [ask("tally_getStatement", alice, token, epoch)],
        "tally_listPayments": [ask("tally_listPayments", {"account": bob, "kind": "tip", "limit": 1})],
        "tally_quote": [ask("tally_quote", "transfer", details), *trade.pop("tally_quote")],
        **trade,
        "tally_getFileProof": [ask("tally_getFileProof", listed["file"], "latest")],
        "tally_getRolesProof": [ask("tally_getRolesProof", listed["owner"], "latest")],
        "tally_subscribe": [(["payments", {"account": bob, "fromBlock": payment["block"]}], "0x" + "5b" * 16)],
        "tally_unsubscribe": [(["0x" + "5b" * 16], True)],
    }


def make_trade_examples(network: Network, file: Hash) -> dict[str, list[Example]]:
    """One file is uploaded, which makes its owner one, offered for less, and bought."""
    market = Market(network)
    validator, mart, owner = market.validator, market.mart, market.stranger
    name = wire.encode_bytes(file)
    listing = validator.make_listing(
        owner, name="Rainfall 2025, by station", price=25 * 10**17, size=1 << 20, storage_days=30,
        **validator.seal(file, keccak(b"an example's key")),
    )  # fmt: skip
    uploading: dict[str, Any] = {"from": validator.name, "to": market.service_node.name}
    uploading["listing"] = wire.encode_instruction(listing)
    examples = {"tally_quote": [ask_as(validator, "tally_quote", "upload", uploading)]}
    upload = validator.sign_upload(listing, market.service_node)
    examples["tally_sendUpload"] = [ask_as(validator, "tally_sendUpload", *upload)]
    price = validator.sign(validator.make_instruction("UpdatePrice", file=file, price=2 * 10**18))
    examples["tally_sendInstruction"] = [ask_as(validator, "tally_sendInstruction", *price)]
    examples["tally_quote"] += [
        ask_as(mart, "tally_quote", "purchase", {"from": mart.name, "reference": name}),
        ask_as(validator, "tally_quote", "extend", {"from": validator.name, "reference": name, "days": 30}),
    ]
    mart.buy(file)
    reads = {
        "tally_getStorageCharge": [1 << 30, 30, network.facts["token"]],
        "tally_getFile": [name],
        "tally_listFiles": [{"text": "rainfall", "tag": ["weather"], "limit": 1}],
        "tally_getPurchase": [name, mart.name],
        "tally_listRegistrations": [{"validator": validator.name, "limit": 1}],
        "tally_listInstructions": [{"file": name, "limit": 1}],
    }
    return examples | {method: [ask_as(mart, method, *params)] for method, params in reads.items()}


def ask_as(party: Party, method: str, *params: Any) -> Example:
    return list(params), party.call(method, *params)


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        run_network(Path(directory), "--epoch-seconds", "3", "--challenge-period", "4") as network,
    ):
        examples = make_examples(network)
    PATH.write_text(json.dumps(examples, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
