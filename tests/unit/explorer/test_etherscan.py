"""The calls of portfolio tools: in the forms that they take apart, and right to the last unit."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from chain.block import Deposit
from chain.payment import Output
from chain.primitives import ETHER, Address
from chain.wire import encode_bytes
from explorer.api import etherscan
from explorer.headers import LIVE
from node.index import IndexedPayment, PaymentFilter
from node.refusals import Overloaded
from tests.unit.explorer.conftest import World
from tests.unit.explorer.machines import Line, call, commit, fetch
from tests.unit.node.index.history import RandomLedger
from tests.unit.node.index.oracle import describe, list_wanted, make_entries

DECIMAL = {"type": "string", "pattern": "^(0|[1-9][0-9]*)$"}
ADDRESS = {"type": "string", "pattern": "^0x[0-9a-f]{40}$"}
HASH = {"type": "string", "pattern": "^0x[0-9a-f]{64}$"}
TEXT = {"type": "string"}


def form(**properties: Any) -> dict[str, Any]:
    """An object with just these, as Etherscan documents it."""
    names = {"from_": "from"}
    properties = {names.get(name, name): schema for name, schema in properties.items()}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


PLACE = {
    "blockNumber": DECIMAL, "timeStamp": DECIMAL, "hash": HASH, "nonce": DECIMAL, "blockHash": HASH,
    "transactionIndex": DECIMAL, "from_": ADDRESS, "to": ADDRESS, "value": DECIMAL, "gas": DECIMAL,
    "gasPrice": DECIMAL, "input": TEXT, "cumulativeGasUsed": DECIMAL, "gasUsed": DECIMAL, "confirmations": DECIMAL,
}  # fmt: skip
FORMS: dict[str, dict[str, Any]] = {
    "balance": DECIMAL,
    "balancemulti": {"type": "array", "items": form(account=ADDRESS, balance=DECIMAL)},
    "tokenbalance": DECIMAL,
    "txlist": {
        "type": "array",
        "items": form(
            **PLACE, isError={"const": "0"}, txreceipt_status={"const": "1"}, contractAddress={"const": ""},
            methodId={"const": "0x"}, functionName={"const": ""},
        ),
    },
    "txlistinternal": {
        "type": "array",
        "items": form(
            blockNumber=DECIMAL, timeStamp=DECIMAL, hash=HASH, from_=ADDRESS, to=ADDRESS, value=DECIMAL,
            contractAddress={"const": ""}, input={"const": ""}, type={"const": "call"}, gas=DECIMAL, gasUsed=DECIMAL,
            traceId=TEXT, isError={"const": "0"}, errCode={"const": ""},
        ),
    },
    "tokentx": {
        "type": "array",
        "items": form(**PLACE, contractAddress=ADDRESS, tokenName=TEXT, tokenSymbol=TEXT, tokenDecimal=DECIMAL),
    },
    "tokensupply": DECIMAL,
    "ethsupply": DECIMAL,
    "gettxreceiptstatus": form(status={"enum": ["1", ""]}),
    "getstatus": form(isError={"const": "0"}, errDescription={"const": ""}),
    "getblocknobytime": DECIMAL,
}  # fmt: skip
MODULES = {action: module for module, action in etherscan.ACTIONS}


async def ask(world: World, action: str, **parameters: Any) -> Any:
    """The result, of the form that it should have."""
    answer = await fetch_answer(world, action, **parameters)
    assert (answer["status"], answer["message"]) == ("1", "OK"), answer
    Draft202012Validator(FORMS[action]).validate(answer["result"])
    return answer["result"]


async def fetch_answer(world: World, action: str, **parameters: Any) -> Any:
    texts = {
        name: encode_bytes(value) if isinstance(value, bytes) else str(value) for name, value in parameters.items()
    }
    query = "&".join([f"module={MODULES[action]}&action={action}", *[f"{name}={text}" for name, text in texts.items()]])
    answer = await fetch(world.explorer, f"/api?{query}")
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == LIVE
    found = msgspec.json.decode(answer.body)
    assert list(found) == ["status", "message", "result"]
    return found


async def list_or_nothing(world: World, action: str, **parameters: Any) -> list[Any]:
    answer = await fetch_answer(world, action, **parameters)
    if answer["status"] == "0":
        assert answer == {"status": "0", "message": "No transactions found", "result": []}
    Draft202012Validator(FORMS[action]).validate(answer["result"])
    rows: list[Any] = answer["result"]
    return rows


def find_moves(payment: IndexedPayment, account: Address, contract: str) -> list[tuple[str, str, str, str]]:
    """(hash, from, to, value) of the rows that a payment is."""
    moves = []
    for output in payment.outputs:
        if payment.kind == "withdraw":
            if payment.payer == account:
                moves.append((payment.payer, bytes.fromhex(contract[2:]), output.amount))
        elif account in (payment.payer, output.to):
            moves.append((payment.payer, output.to, output.amount))
    return [
        (encode_bytes(payment.id), encode_bytes(sender), encode_bytes(to), str(value)) for sender, to, value in moves
    ]


def take(row: dict[str, str]) -> tuple[str, str, str, str]:
    return row["hash"], row["from"], row["to"], row["value"]


async def test_balances_and_supplies_are_the_ledgers(world: World, history: RandomLedger) -> None:
    token = history.assets[1]
    balances = {
        asset: {account: history.ledger.state.get_balance(asset, account) for account in history.accounts}
        for asset in history.assets
    }
    for account in history.accounts:
        assert await ask(world, "balance", address=account, tag="latest") == str(balances[ETHER][account])
        assert await ask(world, "tokenbalance", address=account, contractaddress=token) == str(balances[token][account])
    several = ",".join([encode_bytes(account) for account in history.accounts])
    assert await ask(world, "balancemulti", address=several) == [
        {"account": encode_bytes(account), "balance": str(balances[ETHER][account])} for account in history.accounts
    ]
    assert await ask(world, "ethsupply") == str(sum(balances[ETHER].values()))
    assert await ask(world, "tokensupply", contractaddress=token) == str(sum(balances[token].values()))
    assert await ask(world, "balance", address=b"\x01" * 20) == "0"
    assert await ask(world, "tokenbalance", address=history.accounts[0], contractaddress=b"\x02" * 20) == "0"


@pytest.mark.parametrize("sort", ["asc", "desc"])
async def test_payments_are_listed_in_order_one_row_for_each_output(
    world: World, history: RandomLedger, sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etherscan, "SLICE", 5)
    contract = world.sources.info.describe()["settlement"].lower()
    for account in [*history.accounts, *history.strangers]:
        payments = list_wanted(history, PaymentFilter(account=account, asset=ETHER))
        if sort == "asc":
            payments.reverse()
        wanted = [move for payment in payments for move in find_moves(payment, account, contract)]
        rows = await list_or_nothing(world, "txlist", address=account, sort=sort)
        assert [take(row) for row in rows] == wanted
        pages = []
        for page in range(1, 1000):
            part = await list_or_nothing(world, "txlist", address=account, sort=sort, page=page, offset=3)
            pages += part
            if len(part) < 3:
                break
        assert pages == rows


async def test_rows_stand_where_the_payment_stands(world: World, history: RandomLedger) -> None:
    commitments = commit(world, history)
    account = history.accounts[0]
    places = {encode_bytes(placed.record.id): placed for placed in history.payments}
    confirmations = set()
    for action in ("txlist", "tokentx"):
        for row in await ask(world, action, address=account):
            placed = places.get(row["hash"])
            if placed is None:
                continue
            assert row["blockNumber"] == str(placed.block)
            assert row["transactionIndex"] == str(placed.index)
            assert row["timeStamp"] == str(placed.timestamp // 1000)
            assert row["blockHash"] == encode_bytes(history.hashes[placed.block - 1])
            assert row["nonce"] == str(describe(placed).nonce)
            is_committed = placed.epoch <= commitments.mined_epoch
            assert row["confirmations"] == str(commitments.mined_epoch - placed.epoch + 1 if is_committed else 0), (
                "commitments on Ethereum since, this one included"
            )
            confirmations.add(row["confirmations"] == "0")
    assert confirmations == {True, False}


@pytest.mark.parametrize("sort", ["asc", "desc"])
async def test_the_rows_of_an_account_add_up_to_its_balance(
    world: World, history: RandomLedger, sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a portfolio tool does it: what came in less what went out, whoever it was."""
    monkeypatch.setattr(etherscan, "SLICE", 7)
    for account in history.accounts:
        text = encode_bytes(account)
        sums: Counter[str] = Counter()
        places: list[tuple[int, int]] = []
        for action in ("txlist", "txlistinternal", "tokentx"):
            rows = await list_or_nothing(world, action, address=account, sort=sort)
            places = [(int(row["blockNumber"]), int(row.get("transactionIndex", 0))) for row in rows]
            if action != "txlistinternal":
                assert places == sorted(places, reverse=sort == "desc")
            for row in rows:
                asset = row["contractAddress"] or encode_bytes(ETHER)
                sums[asset] += int(row["value"]) * ((row["to"] == text) - (row["from"] == text))
        for asset in history.assets:
            assert sums[encode_bytes(asset)] == history.ledger.state.get_balance(asset, account)
            entries = list(make_entries(history, account, asset))
            assert (entries[-1][1].balance if entries else 0) == sums[encode_bytes(asset)]


async def test_deposits_come_from_the_contract(world: World, history: RandomLedger) -> None:
    contract = world.sources.info.describe()["settlement"].lower()
    account, token = history.accounts[0], history.assets[1]
    deposits = [
        placed.record
        for placed in history.deposits
        if isinstance(placed.record, Deposit) and placed.record.account == account
    ]
    for action, asset in (("txlistinternal", ETHER), ("tokentx", token)):
        rows = [row for row in await ask(world, action, address=account) if row["from"] == contract]
        assert [take(row) for row in rows] == [
            (encode_bytes(deposit.id), contract, encode_bytes(account), str(deposit.amount))
            for deposit in deposits
            if deposit.asset == asset
        ]
    assert {row["tokenSymbol"] for row in await ask(world, "tokentx", address=account)} == {"TOK1"}
    assert await list_or_nothing(world, "tokentx", address=account, contractaddress=b"\x02" * 20) == []
    assert await ask(world, "tokentx", address=account, contractaddress=token) == await ask(
        world, "tokentx", address=account
    )


@pytest.mark.parametrize("sort", ["asc", "desc"])
async def test_a_span_of_blocks(world: World, history: RandomLedger, sort: str) -> None:
    account, last = history.accounts[0], len(history.headers)
    for action in ("txlist", "tokentx", "txlistinternal"):
        rows = await list_or_nothing(world, action, address=account, sort=sort)
        for start, end in [
            (0, last),
            (5, 40),
            (40, 40),
            (last, "latest"),
            (41, 40),
            (10**9, 10**12),
            (0, 10**30 // 10**11),
        ]:
            high = last if end == "latest" else int(end)
            part = await list_or_nothing(world, action, address=account, sort=sort, startblock=start, endblock=end)
            assert part == [row for row in rows if start <= int(row["blockNumber"]) <= high]


async def test_the_status_says_only_whether_it_is_on_the_ledger(world: World, history: RandomLedger) -> None:
    for records in (history.payments, history.deposits):
        assert await ask(world, "gettxreceiptstatus", txhash=records[0].record.id) == {"status": "1"}
        await ask(world, "getstatus", txhash=records[0].record.id)
    assert await ask(world, "gettxreceiptstatus", txhash=b"\x07" * 32) == {"status": ""}


async def test_the_block_closest_to_a_time(world: World, history: RandomLedger) -> None:
    seconds = [header.timestamp // 1000 for header in history.headers]
    for second in sorted({second + step for second in seconds for step in (-1, 0, 1)} | {0, 2**40}):
        before = [number for number, at in enumerate(seconds, 1) if at <= second]
        after = [number for number, at in enumerate(seconds, 1) if at >= second]
        for closest, numbers, place in (("before", before, -1), ("after", after, 0)):
            answer = await fetch_answer(world, "getblocknobytime", timestamp=second, closest=closest)
            if numbers:
                assert answer["result"] == str(numbers[place])
                Draft202012Validator(DECIMAL).validate(answer["result"])
            else:
                assert answer["status"] == "0"
    assert await ask(world, "getblocknobytime", timestamp=seconds[-1]) == str(len(seconds))


async def test_keys_and_chains_are_passed_over(world: World, history: RandomLedger) -> None:
    plain = await ask(world, "balance", address=history.accounts[0])
    assert plain == await ask(world, "balance", address=history.accounts[0], apikey="K", chainid=1, foo="bar")
    answer = await fetch(
        world.explorer, f"/api?module=Account&action=BALANCE&address={encode_bytes(history.accounts[0])}"
    )
    assert msgspec.json.decode(answer.body)["result"] == plain


ACCOUNT = "0x" + "1" * 40


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("", "Action"),
        ("module=account", "Action"),
        ("module=account&action=zz", "Action"),
        ("module=account&action=balance", "address"),
        ("module=account&action=balance&address=0x12", "address"),
        (f"module=account&action=balance&address={ACCOUNT}&tag=0x10", "tag"),
        (f"module=account&action=balancemulti&address={','.join([ACCOUNT] * 21)}", "address"),
        (f"module=account&action=balancemulti&address={ACCOUNT},", "address"),
        (f"module=account&action=tokenbalance&address={ACCOUNT}", "contractaddress"),
        ("module=account&action=txlist", "address"),
        (f"module=account&action=txlist&address={ACCOUNT}&sort=up", "sort"),
        (f"module=account&action=txlist&address={ACCOUNT}&page=0", "page"),
        (f"module=account&action=txlist&address={ACCOUNT}&offset=x", "offset"),
        (f"module=account&action=txlist&address={ACCOUNT}&offset=10001", "offset"),
        (f"module=account&action=txlist&address={ACCOUNT}&page=11&offset=1000", "10000"),
        (f"module=account&action=txlist&address={ACCOUNT}&startblock=-1", "startblock"),
        (f"module=account&action=txlist&address={ACCOUNT}&endblock=zz", "endblock"),
        ("module=stats&action=tokensupply", "contractaddress"),
        ("module=transaction&action=gettxreceiptstatus&txhash=0x12", "txhash"),
        ("module=block&action=getblocknobytime", "timestamp"),
        ("module=block&action=getblocknobytime&timestamp=1&closest=near", "closest"),
    ],
)
async def test_what_is_refused_is_said_as_these_tools_expect(world: World, query: str, word: str) -> None:
    answer = await fetch(world.explorer, f"/api?{query}")
    assert answer.status == 200
    found = msgspec.json.decode(answer.body)
    assert (found["status"], found["message"]) == ("0", "NOTOK")
    assert word in found["result"]


async def test_too_many_lists_at_once_are_asked_to_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(question: Any) -> Any:
        raise Overloaded(64)

    monkeypatch.setattr(world.sources.readers, "work", refuse)
    answer = await fetch(world.explorer, f"/api?module=account&action=txlist&address={ACCOUNT}")
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    found = msgspec.json.decode(answer.body)
    assert (found["status"], found["message"]) == ("0", "NOTOK")
    assert "rate limit" in found["result"]


async def test_what_would_be_looked_through_for_too_long_is_refused(
    world: World, history: RandomLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etherscan, "SLICE", 1)
    monkeypatch.setattr(etherscan, "MAX_SLICES", 3)
    answer = await fetch_answer(world, "txlist", address=history.accounts[0])
    assert answer["status"] == "0" and "narrow" in answer["result"]


async def test_what_stands_between_costs_no_slices(
    make_world: Callable[[RandomLedger | None], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account that has done much in one asset, and little in others."""
    monkeypatch.setattr(etherscan, "SLICE", 4)
    monkeypatch.setattr(etherscan, "MAX_SLICES", 3)
    ledger = RandomLedger(17, account_count=2)
    for _ in range(3):
        ledger.list_asset()
    account, other = ledger.accounts
    tokens = [asset for asset in ledger.assets if asset != ETHER]
    ledger.add_block([ledger.make_deposit(ETHER, index, account, 100) for index in range(50)])
    ledger.add_block([ledger.make_deposit(token, 0, account, 100) for token in tokens])
    ledger.add_block([ledger.make_payment(account, nonce, [Output(other, 1)], asset=ETHER) for nonce in range(50)])
    for nonce, token in enumerate(tokens, 50):
        ledger.add_block([ledger.make_payment(account, nonce, [Output(other, 1)], asset=token)])
    world = make_world(ledger)
    for sort in ("asc", "desc"):
        rows = await ask(world, "tokentx", address=account, sort=sort)
        moved = [row["contractAddress"] for row in rows if row["to"] == encode_bytes(other)]
        assert (moved if sort == "asc" else moved[::-1]) == [encode_bytes(token) for token in tokens]
        assert len(rows) == 2 * len(tokens)
        for token in tokens:
            assert len(await ask(world, "tokentx", address=account, sort=sort, contractaddress=token)) == 2
    assert len(await ask(world, "txlistinternal", address=account, offset=12)) == 12


async def test_many_tokens_are_one_list(
    make_world: Callable[[RandomLedger | None], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etherscan, "SLICE", 6)
    ledger = RandomLedger(19, account_count=6)
    for _ in range(12):
        ledger.list_asset()
    ledger.run(60)
    world = make_world(ledger)
    for account in ledger.accounts:
        contract = world.sources.info.describe()["settlement"].lower()
        wanted = [
            (placed.block, placed.index, move)
            for placed in ledger.payments
            if describe(placed).asset != ETHER
            for move in find_moves(describe(placed), account, contract)
        ]
        for sort in ("asc", "desc"):
            rows = await list_or_nothing(world, "tokentx", address=account, sort=sort)
            found = [
                (int(row["blockNumber"]), int(row["transactionIndex"]), take(row))
                for row in rows
                if row["from"] != contract
            ]
            assert sorted(found) == sorted(wanted)
            places = [(int(row["blockNumber"]), int(row["transactionIndex"])) for row in rows]
            assert places == sorted(places, reverse=sort == "desc")


@pytest.mark.parametrize("is_caller_gone", [True, False])
async def test_a_list_ends_when_nobody_waits_for_it_and_when_the_node_stops(
    world: World, history: RandomLedger, monkeypatch: pytest.MonkeyPatch, is_caller_gone: bool
) -> None:
    monkeypatch.setattr(etherscan, "SLICE", 1)
    line, work, slices = Line(), world.sources.readers.work, 0

    async def work_and_end(question: Any) -> Any:
        nonlocal slices
        slices += 1
        if slices == 3:
            line.hang_up() if is_caller_gone else world.explorer.stop()
        return await work(question)

    monkeypatch.setattr(world.sources.readers, "work", work_and_end)
    query = f"module=account&action=txlist&address={encode_bytes(history.accounts[0])}"
    await call(world.explorer, f"/api?{query}", line)
    assert slices == 3
    assert line.answer.status == 429


async def test_only_reading_is_answered(world: World) -> None:
    query = f"/api?module=account&action=balance&address={ACCOUNT}"
    got, head = await fetch(world.explorer, query), await fetch(world.explorer, query, "HEAD")
    assert (got.status, got.headers) == (head.status, head.headers)
    assert (await fetch(world.explorer, query, "POST")).status == 405
    assert (await fetch(world.explorer, query, "OPTIONS")).status == 204
