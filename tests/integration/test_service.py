"""The whole network, used as its users use it: JSON-RPC, the `tally` command, Ethereum."""

import csv
import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from eth_account import Account
from eth_account.messages import encode_typed_data

from chain import wire
from chain.hashing import keccak
from chain.primitives import ETHER, ZERO_ADDRESS
from tests.exchange import Party, Purse, check_conservation
from tests.fault.processes import find_l1
from tests.integration.anvil import ask
from tests.network import Network, run_network, wait_until

EPOCH_SECONDS = 3
ATTEMPTS = 2
"""At what must come to its end within one epoch."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    directory = tmp_path_factory.mktemp("network")
    with run_network(directory, "--epoch-seconds", str(EPOCH_SECONDS), "--challenge-period", "4") as running:
        yield running


def make_address() -> bytes:
    return secrets.token_bytes(20)


# --- paying


def test_a_payment_signed_by_an_independent_signer_from_published_types_is_accepted(network: Network) -> None:
    info = network.call("tally_getInfo")
    payer = network.facts["accounts"][0]
    payee = wire.encode_address(make_address())
    payment = {
        "asset": network.facts["token"],
        "from": payer["address"],
        "nonce": network.next_nonce(0),
        "validUntil": 0,
        "kind": "transfer",
        "reference": "0x" + "5a" * 32,
        "memo": "für den Kaffee ☕",
        "outputs": [{"to": payee, "amount": "1500000000000000000"}],
    }
    typed = encode_typed_data(info["domain"], info["types"], payment)
    signed = Account.sign_message(typed, payer["privateKey"])
    receipt = network.call("tally_sendPayment", payment, "0x" + signed.signature.hex())
    assert receipt["id"] == "0x" + signed.message_hash.hex()
    assert receipt["status"] == "accepted"
    assert receipt["commitment"] is None
    assert network.get_balance(wire.decode_address(payee, "payee")) == 1_500_000_000_000_000_000


def test_a_quote_signed_as_it_came_is_accepted(network: Network) -> None:
    payer, payee = network.facts["accounts"][1], wire.encode_address(make_address())
    details = {"asset": network.facts["token"], "from": payer["address"], "to": payee, "amount": "7"}
    quote = network.call("tally_quote", "tip", details)
    info = network.call("tally_getInfo")
    typed = encode_typed_data(info["domain"], info["types"], quote["payment"])
    signed = Account.sign_message(typed, payer["privateKey"])
    assert network.call("tally_sendPayment", quote["payment"], "0x" + signed.signature.hex())["status"] == "accepted"


def test_the_same_payment_100_times_in_parallel_is_charged_once(network: Network) -> None:
    payee = make_address()
    params = network.sign(2, [(payee, 1000)])
    before = network.get_balance(network.addresses[2])

    def send(_: int) -> Any:
        return network.call("tally_sendPayment", *params, session=requests.Session())

    with ThreadPoolExecutor(16) as threads:
        receipts = list(threads.map(send, range(100)))
    assert all({**receipt, "status": "", "commitment": None} == {**receipts[0], "status": "", "commitment": None}
               for receipt in receipts)  # fmt: skip
    assert network.get_balance(payee) == 1000
    assert network.get_balance(network.addresses[2]) == before - 1000


def test_1000_concurrent_payments_keep_the_total(network: Network) -> None:
    def total() -> int:
        return sum([network.get_balance(address) for address in network.addresses])

    before, nonces = total(), [network.next_nonce(account) for account in range(10)]

    def pay(account: int) -> list[Any]:
        session = requests.Session()
        answers = []
        for number in range(100):
            outputs = [(network.addresses[(account + number) % 10], 1 + number)]
            params = network.sign(account, outputs, nonce=nonces[account] + number)
            answers.append(network.call("tally_sendPayment", *params, session=session))
        return answers

    with ThreadPoolExecutor(10) as threads:
        receipts = [receipt for answers in threads.map(pay, range(10)) for receipt in answers]
    assert len({receipt["id"] for receipt in receipts}) == 1000
    assert total() == before


def test_paying_oneself_changes_nothing_but_the_nonce(network: Network) -> None:
    before, nonce = network.get_balance(network.addresses[3]), network.next_nonce(3)
    network.call("tally_sendPayment", *network.sign(3, [(network.addresses[3], before)]))
    assert network.get_balance(network.addresses[3]) == before
    assert network.next_nonce(3) == nonce + 1


def test_a_batch_of_1000_is_answered_in_order_each_with_its_own_result(network: Network) -> None:
    payee, nonce = make_address(), network.next_nonce(4)
    calls: list[tuple[str, list[Any]]] = []
    for number in range(996):
        # Every seventh spends more than there is; its nonce stays free for the next.
        amount = 10**30 if number % 7 == 6 else 1
        calls.append(("tally_sendPayment", network.sign(4, [(payee, amount)], nonce=nonce)))
        nonce += amount == 1
    calls += [
        ("tally_noSuchMethod", []),
        ("tally_getAccount", [wire.encode_address(payee)]),
        ("tally_sendPayment", [{"asset": 1}, "0x"]),
        ("tally_getBlock", [10**9]),
    ]
    answers = network.batch(calls)
    assert [answer["id"] for answer in answers] == list(range(1000))
    for number, answer in enumerate(answers[:996]):
        if number % 7 == 6:
            assert answer["error"]["data"]["code"] == "insufficient_balance"
        else:
            assert answer["result"]["payment"]["nonce"] == calls[number][1][0]["nonce"]
    paid = 996 - 996 // 7
    assert answers[996]["error"]["code"] == -32601
    assert [line["balance"] for line in answers[997]["result"]["balances"]][1] == hex(paid)
    assert answers[998]["error"]["code"] == -32602
    assert answers[999]["error"]["code"] == -32001


def test_a_batch_of_1001_and_a_body_too_large_are_refused_whole(network: Network) -> None:
    answer = network.batch([("tally_getInfo", [])] * 1001)
    assert answer["error"]["code"] == -32600  # type: ignore[call-overload]
    response = network.post(b"[" + b" " * (9 << 20) + b"]")
    assert response.status_code == 413
    assert response.json()["error"]["code"] == -32600


def test_every_refusal_has_its_name_and_changes_nothing(network: Network) -> None:
    payee, account = make_address(), wire.encode_address(network.addresses[5])
    good = network.sign(5, [(payee, 1)])
    before = network.call("tally_getAccount", account)

    def changed(**changes: Any) -> list[Any]:
        return [{**good[0], **changes}, good[1]]

    other = network.sign(6, [(payee, 1)])
    cases = [
        ("malformed_payment", [[], {}]),
        ("malformed_payment", [good]),
        ("malformed_payment", changed(nonce=1.5)),
        ("malformed_payment", changed(nonce=-1)),
        ("malformed_payment", changed(nonce=True)),
        ("malformed_payment", changed(nonce="1e3")),
        ("malformed_payment", changed(nonce=2**53)),
        ("malformed_payment", changed(reference="0x00")),
        ("malformed_payment", changed(surplus=1)),
        ("malformed_payment", changed(outputs=[{"to": "0x12", "amount": "1"}])),
        ("malformed_payment", [good[0], good[1][:-2]]),
        ("unknown_kind", changed(kind="gift")),
        ("no_outputs", changed(outputs=[])),
        ("too_many_outputs", changed(outputs=[{"to": account, "amount": "1"}] * 17)),
        ("zero_address", changed(outputs=[{"to": wire.encode_address(ZERO_ADDRESS), "amount": "1"}])),
        ("zero_amount", changed(outputs=[{"to": account, "amount": "0x0"}])),
        ("amount_too_large", changed(outputs=[{"to": account, "amount": hex(2**128)}])),
        ("memo_too_long", changed(memo="é" * 129)),
        ("invalid_signature", changed(memo="another")),
        ("invalid_signature", [good[0], other[1]]),
        ("unknown_asset", network.sign(5, [(payee, 1)], asset=make_address())),
        ("expired", network.sign(5, [(payee, 1)], valid_until=1)),
        ("nonce_too_far", network.sign(5, [(payee, 1)], nonce=network.next_nonce(5) + 256)),
        ("wrong_outputs", network.sign(5, [(payee, 1), (payee, 1)], kind="tip")),
        ("wrong_outputs", network.sign(5, [(payee, 1), (payee, 1)], kind="withdraw")),
        ("insufficient_balance", network.sign(5, [(payee, 10**30)])),
    ]
    for name, params in cases:
        assert network.refuse("tally_sendPayment", *params) == name, params
    assert network.call("tally_getAccount", account) == before
    assert network.get_balance(payee) == 0

    network.call("tally_sendPayment", *good)
    assert network.refuse("tally_sendPayment", *network.sign(5, [(payee, 2)], nonce=int(good[0]["nonce"], 16))) == (
        "nonce_used"
    )
    assert network.refuse("tally_getReceipt", "0x" + "00" * 32) == "not_found"
    assert network.refuse("tally_getBlock", "0x" + "00" * 32) == "not_found"
    assert network.refuse("tally_getCommitment", 10**9) == "not_found"
    assert network.refuse("tally_getAccount", "0x00") == "malformed_request"
    assert network.refuse("tally_getAccount") == "malformed_request"


def test_an_expired_payment_sent_again_is_still_answered_with_its_receipt(network: Network) -> None:
    params = network.sign(7, [(make_address(), 1)], valid_until=int(time.time()) + 5)
    receipt = network.call("tally_sendPayment", *params)
    valid_until = int(params[0]["validUntil"], 16)
    fresh = network.sign(7, [(make_address(), 1)], valid_until=valid_until)
    wait_until(lambda: time.time() > valid_until + 1, "the payment's expiry")
    assert network.refuse("tally_sendPayment", *fresh) == "expired"
    again = network.call("tally_sendPayment", *params)
    assert (again["id"], again["block"]) == (receipt["id"], receipt["block"])


# --- the data exchange, as it is unless an operator says otherwise


@pytest.mark.parametrize("price, half, rest", [(2, 1, 1), (3, 1, 2), (10**18, 5 * 10**17, 5 * 10**17)])
def test_a_price_is_halved_between_validator_and_owner(network: Network, price: int, half: int, rest: int) -> None:
    validator, mart = Party(network, "validator", tokens=10**12), Party(network, "mart", tokens=price)
    node, owner = Party(network, "service_node"), Party(network)
    file = validator.upload(owner, node, price=price)
    purse = Purse(mart, validator, owner, node)
    mart.buy(file)
    assert purse.compute_changes() == [-price, half, rest, 0]


# --- reading


def test_lists_show_every_payment_once_and_statements_add_up(network: Network) -> None:
    payee = make_address()
    address = wire.encode_address(payee)
    nonce = network.next_nonce(8)
    sent = [
        network.call("tally_sendPayment", *network.sign(8, [(payee, number + 1)], nonce=nonce + number))
        for number in range(25)
    ]
    seen: list[str] = []
    cursor = None
    while True:
        page = network.call("tally_listPayments", {"account": address, "limit": 10, "cursor": cursor})
        seen += [item["id"] for item in page["items"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == [receipt["id"] for receipt in reversed(sent)]
    epochs = {int(network.call("tally_getPayment", receipt["id"])["epoch"], 16) for receipt in sent}
    total = 0
    for epoch in sorted(epochs):
        statement = network.call("tally_getStatement", address, network.facts["token"], epoch)
        assert int(statement["opening"], 16) == total
        assert [credit["balance"] for credit in statement["credits"]][-1] == statement["closing"]
        total = int(statement["closing"], 16)
    assert total == sum(range(1, 26)) == network.get_balance(payee)


def test_an_account_s_books_agree_with_the_ledger(network: Network, tmp_path: Path) -> None:
    payee, other = make_address(), make_address()
    who, token = wire.encode_address(payee), network.facts["token"]
    nonce = network.next_nonce(8)
    paid: list[list[tuple[bytes, int]]] = [[(payee, 7)], [(other, 5), (payee, 3), (payee, 2)], [(payee, 1)]]
    for number, outputs in enumerate(paid):
        memo = f"number {number}"
        receipt = network.call("tally_sendPayment", *network.sign(8, outputs, nonce=nonce + number, memo=memo))

    def read(*arguments: str) -> list[tuple[str, str, str]]:
        done = network.run_tally("history", who, "--json", *arguments, home=tmp_path)
        assert done.status == 0, done
        return [(item["direction"], item["amount"], item["memo"]) for item in json.loads(done.output)["items"]]

    whole = [
        ("in", "0x1", "number 2"),
        ("in", "0x3", "number 1"),
        ("in", "0x2", "number 1"),
        ("in", "0x7", "number 0"),
    ]
    assert read() == read("--all") == whole
    assert read("--counterparty", wire.encode_address(network.addresses[8]), "--direction", "in") == whole
    assert read("--counterparty", wire.encode_address(other)) == read("--direction", "out") == []
    assert read("--limit", "1") == whole[:1]
    network.wait_for_status(receipt["id"], "committed", "final")
    assert read("--status", "accepted") == [] and read("--asset", token, "--from", "2020-01-01") == whole
    epochs = {network.call("tally_getPayment", item["id"])["epoch"] for item in list_payments(network, who)}
    total = 0
    for epoch in sorted([int(epoch, 16) for epoch in epochs]):
        path = tmp_path / f"{epoch}.csv"
        arguments = ("--asset", token, "--epoch", str(epoch), "--csv", str(path))
        done = network.run_tally("statement", who, *arguments, home=tmp_path)
        assert done.status == 0, done
        lines = path.read_text().splitlines()
        assert "# committed: by the operator's signature" in lines
        rows = list(csv.DictReader([line for line in lines if not line.startswith("# ")]))
        assert lines[-1] == f"# end of {len(rows)} rows"
        total += sum([int(row["paid_in_base_units"]) for row in rows])
        assert int(rows[-1]["balance_base_units"]) == total
    assert total == 13 == network.get_balance(payee)


def list_payments(network: Network, account: str) -> list[Any]:
    items: list[Any] = network.call("tally_listPayments", {"account": account})["items"]
    return items


def test_a_block_is_found_by_number_and_by_hash(network: Network) -> None:
    latest = network.call("tally_getBlock", "latest")
    assert network.call("tally_getBlock", latest["header"]["number"]) == latest
    assert network.call("tally_getBlock", latest["header"]["hash"]) == latest


# --- Ethereum


def test_the_walk_through_deposit_pay_commit_verify_audit(network: Network, tmp_path: Path) -> None:
    """What `tally devnet` prints, one after another."""
    receipt = tmp_path / "receipt.json"
    before = network.get_balance(network.addresses[0])
    deposit = network.run_tally("deposit", "5", "--asset", "TOK", home=tmp_path, key=0)
    assert deposit.status == 0, deposit
    assert network.get_balance(network.addresses[0]) == before + 5 * 10**18
    payee = network.facts["accounts"][1]["address"]
    sent = network.run_tally("send", payee, "1.5", "--asset", "TOK", "--out", str(receipt), home=tmp_path, key=0)
    assert sent.status == 0, sent
    early = network.run_tally("verify", str(receipt), home=tmp_path)
    assert early.status == 2, early
    waited = network.run_tally(
        "receipt", str(receipt), "--wait", "committed", "--out", str(receipt), home=tmp_path, key=0
    )
    assert waited.status == 0, waited
    verified = network.run_tally("verify", str(receipt), home=tmp_path)
    assert verified.status == 0, verified
    assert network.facts["settlement"] in verified.output
    audit = network.run_tally("audit", home=tmp_path)
    assert audit.status == 0, audit

    form = json.loads(receipt.read_text())
    form = form.get("receipt", form)
    form["payment"]["outputs"][0]["amount"] = "0x2"
    receipt.write_text(json.dumps(form))
    forged = network.run_tally("verify", str(receipt), home=tmp_path)
    assert forged.status == 1, forged


def test_a_receipt_is_proven_against_an_l1_block_hash(network: Network, tmp_path: Path) -> None:
    sent = network.call("tally_sendPayment", *network.sign(0, [(make_address(), 1)]))
    receipt = network.wait_for_status(sent["id"], "committed", "final")
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(receipt))
    latest = ask_l1(network, "eth_getBlockByNumber", "latest", False)
    proven = network.run_tally("verify", str(path), "--l1-block", latest["hash"], home=tmp_path)
    assert proven.status == 0, proven
    wrong = network.run_tally("verify", str(path), "--l1-block", "0x" + "11" * 32, home=tmp_path)
    assert wrong.status not in (0, 2), wrong


def test_a_withdrawal_is_claimed_once_after_the_challenge_period(network: Network, tmp_path: Path) -> None:
    owner = network.facts["accounts"][9]["address"]
    before = read_token_balance(network, owner)
    withdrawn = network.run_tally("withdraw", "2.25", "--asset", "TOK", "--json", home=tmp_path, key=9)
    assert withdrawn.status == 0, withdrawn
    payment_id = json.loads(withdrawn.output)["id"]
    network.wait_for_status(payment_id, "final")
    claimed = network.run_tally("claim", payment_id, home=tmp_path, key=9)
    assert claimed.status == 0, claimed
    assert read_token_balance(network, owner) == before + 2_250_000_000_000_000_000
    again = network.run_tally("claim", payment_id, home=tmp_path, key=9)
    assert again.status != 0, again
    assert read_token_balance(network, owner) == before + 2_250_000_000_000_000_000


def test_10_and_10000_payments_each_make_one_transaction_of_the_same_gas(network: Network) -> None:
    def pay(count: int) -> int:
        """Pays within one epoch; its number. Ethereum stands still meanwhile: one epoch can end then, and no other."""
        l1 = find_l1(network)
        os.kill(l1, signal.SIGSTOP)
        try:
            return pay_in_one_epoch(count)
        finally:
            os.kill(l1, signal.SIGCONT)

    def pay_in_one_epoch(count: int) -> int:
        """All is signed before any of it is sent."""
        for _ in range(ATTEMPTS):
            nonces = [network.next_nonce(account) for account in range(10)]
            calls: list[tuple[str, list[Any]]] = []
            for number in range(count):
                account = number % 10
                outputs = [(network.addresses[(account + 1) % 10], 1)]
                params = network.sign(account, outputs, nonce=nonces[account] + number // 10)
                calls.append(("tally_sendPayment", params))
            batches = [network.batch(calls[at : at + 1000]) for at in range(0, count, 1000)]
            ids = [answer["result"]["id"] for answers in batches for answer in (answers[0], answers[-1])]
            epochs = {int(network.call("tally_getPayment", payment_id)["epoch"], 16) for payment_id in ids}
            if len(epochs) == 1:
                return epochs.pop()
        pytest.fail(f"{count} payments were in several epochs each time, of {ATTEMPTS}")

    gas = {}
    for count in (10, 10_000):
        epoch = pay(count)

        def find(number: int = epoch) -> Any:
            answer = network.ask("tally_getCommitment", number).get("result")
            return answer if answer and answer["l1Transaction"] else None

        mined = wait_until(find, f"the commitment of epoch {epoch}")
        assert len(mined["attempts"]) == 1
        gas[count] = int(mined["gasUsed"], 16)
        transactions = [
            log["transactionHash"]
            for log in ask_l1(
                network,
                "eth_getLogs",
                {"address": network.facts["settlement"], "fromBlock": "0x0", "topics": [None, hex_word(epoch)]},
            )
        ]
        assert transactions == [mined["l1Transaction"]]
    assert abs(gas[10_000] - gas[10]) <= gas[10] * 0.05


def test_balances_sum_to_what_the_contract_holds(network: Network) -> None:
    """Deposits − withdrawals, on both sides of the bridge; claims may be outstanding."""
    latest = network.call("tally_getCommitment", "latest")
    assert {line["asset"] for line in latest["message"]["assets"]} == {
        wire.encode_address(ETHER),
        network.facts["token"],
    }
    for line in latest["message"]["assets"]:
        data = "0x" + selector("held(address)") + hex_word(int(line["asset"], 16))[2:]
        held = int(ask_l1(network, "eth_call", {"to": network.facts["settlement"], "data": data}, "latest"), 16)
        assert held >= int(line["total"], 16)


def test_all_balances_are_deposits_less_withdrawals(network: Network) -> None:
    """After all that the tests before have done, account by account."""
    check_conservation(network)


# --- L1, asked directly


def ask_l1(network: Network, method: str, *params: Any) -> Any:
    return ask(network.facts["l1Url"], method, *params)


def read_token_balance(network: Network, owner: str) -> int:
    data = "0x" + selector("balanceOf(address)") + hex_word(int(owner, 16))[2:]
    return int(ask_l1(network, "eth_call", {"to": network.facts["token"], "data": data}, "latest"), 16)


def selector(signature: str) -> str:
    return keccak(signature.encode())[:4].hex()


def hex_word(value: int) -> str:
    return f"0x{value:064x}"
