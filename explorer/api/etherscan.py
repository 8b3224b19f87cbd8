"""`/api?module=&action=`: the calls of Etherscan that portfolio tools make, in Etherscan's forms.

Numbers are decimal strings, addresses and hashes are `0x` hex in lower case, an answer is `{"status", "message",
"result"}` with status "1" for what was found. What is refused is answered with HTTP 200, status "0" and "NOTOK", as
these tools expect; 429 when too much is being asked.

A ledger of payments is not a chain of transactions. What its things are called here:

- `txlist` lists payments in the native asset, `tokentx` those in tokens; one row for each output that concerns the
  account, so rows with the same hash are outputs of one payment. Nothing costs gas: it is "0".
- A withdrawal is a payment to the contract: that is where the balance goes. Who it is for on Ethereum is in the payment
  itself, and no row is listed for that address.
- A deposit comes from the contract: in the native asset it is a row of `txlistinternal`, in a token one of `tokentx`.
  So the rows of an account add up to its balance.
- `isError` is always "0" and a receipt's status "1" for all that is on the ledger: what is refused is never in it. That
  says nothing of Ethereum. `confirmations` does: it counts the commitments on Ethereum from the one that has the
  payment on; "0" until there is one. Whether that is final is told by `/api/v1/payments/{id}`.
- `tokensupply` and `ethsupply` are what the ledger owes in all: deposits less withdrawals.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from fastapi import APIRouter, Request, Response

from chain import wire
from chain.errors import MalformedRequest, Refusal
from chain.kinds import WITHDRAW
from chain.primitives import Address
from explorer.api.http import METHODS, answering, say_as, take_number
from explorer.download import Gate
from explorer.formatting import Token
from explorer.site import Site
from node.index import IndexedDeposit, IndexedPayment, IndexedRecord, IndexReader, Page, PaymentFilter
from node.index.cursors import decode_place, encode_place
from node.index.schema import pack_place
from node.payment_status import Commitments
from node.refusals import Overloaded

PATH: Final = "/api"

MAX_ROWS: Final = 10_000
"""page × offset, as on Etherscan; and what is answered when neither is given."""

MAX_ADDRESSES: Final = 20
"""Of `balancemulti`."""

MAX_LISTS: Final = 4
"""Lists that are being made at once."""

SLICE: Final = 100
"""Records read at a stretch: some 5 ms. Payments that are being made come first."""

MAX_SLICES: Final = 400
"""Read for one list. Most are full; few are, where what is no row stands between (withdrawals to the account, say)."""

_MAX_BLOCK: Final = 2**43 - 2

_Action: TypeAlias = Callable[[Site, dict[str, str]], Awaitable[Any]]
_List: TypeAlias = Callable[[Site, Request, dict[str, str]], Awaitable[list[msgspec.Raw]]]
_Row: TypeAlias = dict[str, str]

_Read: TypeAlias = Callable[..., Page[Any]]
"""(cursor, limit, is_ascending=…) → records"""

_Build: TypeAlias = Callable[[Any, str], Iterable[_Row]]
"""A record and its block's hash → its rows."""


def make_router(site: Site) -> APIRouter:
    router, gate = APIRouter(), Gate(MAX_LISTS)

    async def answer(request: Request) -> Response:
        # Parameters that mean nothing here (a key, a chain id) are passed over: tools send them to every such service.
        parameters = {name: text.strip() for name, text in request.query_params.items() if text.strip()}
        module, action = [parameters.get(name, "").lower() for name in ("module", "action")]
        if (module, action) in _LISTS:
            with gate.enter():
                await site.sources.settle()
                rows = await _LISTS[module, action](site, request, parameters)
            return _say("1", "OK", rows) if rows else _say("0", "No transactions found", [])
        if (module, action) not in _ACTIONS:
            raise MalformedRequest("Error! Missing Or invalid Action name")
        return _say("1", "OK", await _ACTIONS[module, action](site, parameters))

    router.add_route(PATH, answering(answer, _say_refusal), methods=METHODS)
    return router


def _say(status: str, message: str, result: Any, http_status: int = 200) -> Response:
    return say_as(http_status, {"status": status, "message": message, "result": result})


def _say_refusal(refusal: Refusal) -> Response:
    if isinstance(refusal, Overloaded):
        return _say("0", "NOTOK", "Max rate limit reached, please try again in a moment", 429)
    return _say("0", "NOTOK", refusal.message)


# --- accounts


async def _get_balance(site: Site, parameters: dict[str, str]) -> str:
    _check_tag(parameters)
    (balance,) = await _read_balances(site, [_take_address(parameters, "address")], site.sources.info.native_asset)
    return str(balance)


async def _get_balances(site: Site, parameters: dict[str, str]) -> list[_Row]:
    _check_tag(parameters)
    texts = parameters.get("address", "").split(",")
    if len(texts) > MAX_ADDRESSES:
        raise MalformedRequest(f"address: at most {MAX_ADDRESSES}")
    accounts = [wire.decode_address(text.strip(), "address") for text in texts]
    balances = await _read_balances(site, accounts, site.sources.info.native_asset)
    return [
        {"account": wire.encode_bytes(account), "balance": str(balance)}
        for account, balance in zip(accounts, balances, strict=True)
    ]


async def _get_token_balance(site: Site, parameters: dict[str, str]) -> str:
    _check_tag(parameters)
    account, asset = [_take_address(parameters, name) for name in ("address", "contractaddress")]
    (balance,) = await _read_balances(site, [account], asset)
    return str(balance)


async def _list_payments(site: Site, request: Request, parameters: dict[str, str]) -> list[msgspec.Raw]:
    account, asset = _take_address(parameters, "address"), site.sources.info.native_asset
    commitments, contract = site.sources.commitments, site.ledger.settlement.lower()

    def build(record: IndexedPayment, block_hash: str) -> Iterable[_Row]:
        for sender, recipient, amount in _list_moves(record, account, contract):
            yield {
                **_describe_place(record, block_hash, commitments),
                "nonce": str(record.nonce),
                "from": sender,
                "to": recipient,
                "value": str(amount),
                "isError": "0",
                "txreceipt_status": "1",
                "contractAddress": "",
                "methodId": "0x",
                "functionName": "",
            }

    read = partial(site.sources.index.list_payments, PaymentFilter(account=account, asset=asset))
    return await _list_rows(site, request, parameters, [read], build)


async def _list_native_deposits(site: Site, request: Request, parameters: dict[str, str]) -> list[msgspec.Raw]:
    account, asset = _take_address(parameters, "address"), site.sources.info.native_asset
    contract = site.ledger.settlement.lower()

    def build(record: IndexedDeposit, block_hash: str) -> Iterable[_Row]:
        yield {
            "blockNumber": str(record.block),
            "timeStamp": str(record.timestamp // 1000),
            "hash": wire.encode_bytes(record.id),
            "from": contract,
            "to": wire.encode_bytes(record.account),
            "value": str(record.amount),
            "contractAddress": "",
            "input": "",
            "type": "call",
            "gas": "0",
            "gasUsed": "0",
            "traceId": "0",
            "isError": "0",
            "errCode": "",
        }

    read = partial(site.sources.index.list_deposits, account, assets=(asset,))
    return await _list_rows(site, request, parameters, [read], build)


async def _list_token_moves(site: Site, request: Request, parameters: dict[str, str]) -> list[msgspec.Raw]:
    account, native = _take_address(parameters, "address"), site.sources.info.native_asset
    if "contractaddress" in parameters:
        listed = [_take_address(parameters, "contractaddress")]
    else:
        listed = [line.asset for line in (await site.ask(site.sources.index.get_counters)).assets]
    assets = [asset for asset in listed if asset != native]
    commitments, tokens, contract = site.sources.commitments, site.tokens, site.ledger.settlement.lower()

    def build(record: IndexedPayment | IndexedDeposit, block_hash: str) -> Iterable[_Row]:
        number = record.index if isinstance(record, IndexedDeposit) else record.nonce
        for sender, recipient, amount in _list_moves(record, account, contract):
            yield {
                **_describe_place(record, block_hash, commitments),
                "nonce": str(number),
                "from": sender,
                "contractAddress": wire.encode_bytes(record.asset),
                "to": recipient,
                "value": str(amount),
                **_describe_token(tokens[record.asset]),
            }

    index = site.sources.index
    # One list for each token, so that nothing of what the account did in the native asset is gone through.
    reads: list[_Read] = [
        *[partial(index.list_payments, PaymentFilter(account=account, asset=asset)) for asset in assets],
        partial(index.list_deposits, account, assets=assets),
    ]
    return await _list_rows(site, request, parameters, reads, build)


# --- the rest


async def _get_token_supply(site: Site, parameters: dict[str, str]) -> str:
    return await _read_supply(site, _take_address(parameters, "contractaddress"))


async def _get_native_supply(site: Site, parameters: dict[str, str]) -> str:
    return await _read_supply(site, site.sources.info.native_asset)


async def _get_receipt_status(site: Site, parameters: dict[str, str]) -> _Row:
    return {"status": "1" if await _is_known(site, parameters) else ""}


async def _get_status(site: Site, parameters: dict[str, str]) -> _Row:
    """What is not known here has no error either: Etherscan answers so."""
    await _is_known(site, parameters)
    return {"isError": "0", "errDescription": ""}


async def _get_block_by_time(site: Site, parameters: dict[str, str]) -> str:
    second = take_number(parameters, "timestamp", -1, 0, 2**43)
    if second < 0:
        raise MalformedRequest("timestamp: missing")
    closest = parameters.get("closest", "before")
    if closest not in ("before", "after"):
        raise MalformedRequest("closest: before or after")
    number = await site.ask(lambda: _find_block(site.sources.index, second, is_after=closest == "after"))
    if number is None:
        raise MalformedRequest("timestamp: there is no closest block")
    return str(number)


# --- lists


async def _list_rows(
    site: Site, request: Request, parameters: dict[str, str], reads: list[_Read], build: _Build
) -> list[msgspec.Raw]:
    """Of several lists as of one, in ledger order or against it. Raises `MalformedRequest`; `Overloaded` when the node
    stops, or when the caller has gone and nobody hears it."""
    first_block = _take_block(parameters, "startblock", 0)
    last_block = _take_block(parameters, "endblock", _MAX_BLOCK)
    order = parameters.get("sort", "asc").lower()
    if order not in ("asc", "desc"):
        raise MalformedRequest("sort: asc or desc")
    page, offset = [take_number(parameters, *known, 1, MAX_ROWS) for known in (("page", 1), ("offset", MAX_ROWS))]
    if page * offset > MAX_ROWS:
        raise MalformedRequest(f"Result window is too large, page x offset must be at most {MAX_ROWS}")
    walk = _Walk(site.sources.index, reads, build, max(first_block, 1), last_block, is_ascending=order == "asc")
    rows: list[msgspec.Raw] = []
    for _ in range(MAX_SLICES):
        rows += await site.ask(walk.read)
        if walk.is_over or len(rows) >= page * offset:
            return rows[(page - 1) * offset : page * offset]
        if site.stopping.is_set() or await request.is_disconnected():
            raise Overloaded(len(rows))
    raise MalformedRequest("too much stands between the rows: narrow startblock and endblock")


class _Walk:
    """Over the records of several lists between two blocks, both included; from slice to slice."""

    def __init__(
        self, index: IndexReader, reads: list[_Read], build: _Build, first: int, last: int, *, is_ascending: bool
    ) -> None:
        self._index, self._reads, self._build, self._is_ascending = index, reads, build, is_ascending
        self._low, self._high = pack_place(first, 0), pack_place(last + 1, 0)
        start = self._low - 1 if is_ascending else self._high
        self._looked: list[int | None] = [start if self._low < self._high else None] * len(reads)
        """Of each list, the place up to which it has been looked through; None when that is all of it."""
        self._waiting: list[list[IndexedRecord]] = [[] for _ in reads]
        """Found, but what comes before it in another list may not have been."""

    @property
    def is_over(self) -> bool:
        return not any(self._waiting) and all(looked is None for looked in self._looked)

    def read(self) -> list[msgspec.Raw]:
        """The rows that come next; may be empty, and go on."""
        empty = [number for number, found in enumerate(self._waiting) if not found and self._looked[number] is not None]
        for number in empty:
            self._fill(number, max(1, SLICE // len(empty)))
        ready = self._take_ready()
        hashes = {record.block: self._get_block_hash(record.block) for record in ready}
        rows = [row for record in ready for row in self._build(record, hashes[record.block])]
        return [msgspec.Raw(msgspec.json.encode(row)) for row in rows]

    def _fill(self, number: int, limit: int) -> None:
        looked = self._looked[number]
        assert looked is not None
        page = self._reads[number](encode_place(looked), limit, is_ascending=self._is_ascending)
        self._waiting[number] = [item for item in page.items if self._low <= _get_place(item) < self._high]
        place = None if page.cursor is None else decode_place(page.cursor)
        is_beyond = place is not None and (place >= self._high if self._is_ascending else place <= self._low)
        self._looked[number] = None if is_beyond else place

    def _take_ready(self) -> list[IndexedRecord]:
        limits = [looked for looked in self._looked if looked is not None]
        ready: list[IndexedRecord] = []
        for number, records in enumerate(self._waiting):
            if self._is_ascending:
                taken = [record for record in records if not limits or _get_place(record) <= min(limits)]
            else:
                taken = [record for record in records if not limits or _get_place(record) >= max(limits)]
            ready += taken
            self._waiting[number] = records[len(taken) :]
        return sorted(ready, key=_get_place, reverse=not self._is_ascending)

    def _get_block_hash(self, number: int) -> str:
        block = self._index.get_block(number)
        assert block is not None
        return wire.encode_bytes(block.hash)


def _get_place(record: IndexedRecord) -> int:
    return pack_place(record.block, record.record)


def _list_moves(
    record: IndexedPayment | IndexedDeposit, account: Address, contract: str
) -> Iterator[tuple[str, str, int]]:
    """(from, to, amount) of what a record is for an account on the ledger."""
    if isinstance(record, IndexedDeposit):
        yield contract, wire.encode_bytes(record.account), record.amount
        return
    for output in record.outputs:
        if record.kind == WITHDRAW:
            if record.payer == account:
                yield wire.encode_bytes(record.payer), contract, output.amount
        elif account in (record.payer, output.to):
            yield wire.encode_bytes(record.payer), wire.encode_bytes(output.to), output.amount


def _describe_place(record: IndexedRecord, block_hash: str, commitments: Commitments) -> _Row:
    return {
        "blockNumber": str(record.block),
        "timeStamp": str(record.timestamp // 1000),
        "hash": wire.encode_bytes(record.id),
        "blockHash": block_hash,
        "transactionIndex": str(record.record),
        "gas": "0",
        "gasPrice": "0",
        "gasUsed": "0",
        "cumulativeGasUsed": "0",
        "input": "0x",
        "confirmations": str(max(0, commitments.mined_epoch - record.epoch + 1)),
    }


def _describe_token(token: Token) -> _Row:
    """Etherscan has no way to say that decimals are not known: amounts are base units then, and "0" is right."""
    return {"tokenName": token.symbol, "tokenSymbol": token.symbol, "tokenDecimal": str(token.decimals)}


# --- parameters and look-ups


def _take_address(parameters: dict[str, str], name: str) -> Address:
    return wire.decode_address(parameters.get(name, ""), name)


def _take_block(parameters: dict[str, str], name: str, default: int) -> int:
    text = parameters.get(name, "")
    if not text or text == "latest":
        return default if not text else _MAX_BLOCK
    if not (text.isascii() and text.isdecimal() and len(text) < 40):
        raise MalformedRequest(f"{name}: the number of a block, or latest")
    return min(int(text), _MAX_BLOCK)


def _check_tag(parameters: dict[str, str]) -> None:
    """Balances are those of now. Of an epoch's end, `/api/v1/accounts/{address}/proof` proves one."""
    if parameters.get("tag", "latest") not in ("latest", "pending"):
        raise MalformedRequest("tag: latest")


async def _read_balances(site: Site, accounts: list[Address], asset: Address) -> list[int]:
    index = site.sources.index
    await site.sources.settle()

    def read() -> list[int]:
        return [
            sum([holding.balance for holding in index.get_holdings(account) if holding.asset == asset])
            for account in accounts
        ]

    return await site.ask(read)


async def _read_supply(site: Site, asset: Address) -> str:
    await site.sources.settle()
    counters = await site.ask(site.sources.index.get_counters)
    return str(sum([line.deposited - line.withdrawn for line in counters.assets if line.asset == asset]))


async def _is_known(site: Site, parameters: dict[str, str]) -> bool:
    record_id = wire.decode_hash(parameters.get("txhash", ""), "txhash")
    await site.sources.settle()
    return await site.ask(lambda: site.sources.index.locate(record_id)) is not None


def _find_block(index: IndexReader, second: int, *, is_after: bool) -> int | None:
    """The first block at this second or later, or the last at it or before. Their times never fall."""
    if is_after:
        return index.find_first_block(second)
    following = index.find_first_block(second + 1) or index.get_counters().block + 1
    return following - 1 or None


_LISTS: Final[dict[tuple[str, str], _List]] = {
    ("account", "txlist"): _list_payments,
    ("account", "txlistinternal"): _list_native_deposits,
    ("account", "tokentx"): _list_token_moves,
}
_ACTIONS: Final[dict[tuple[str, str], _Action]] = {
    ("account", "balance"): _get_balance,
    ("account", "balancemulti"): _get_balances,
    ("account", "tokenbalance"): _get_token_balance,
    ("stats", "tokensupply"): _get_token_supply,
    ("stats", "ethsupply"): _get_native_supply,
    ("transaction", "gettxreceiptstatus"): _get_receipt_status,
    ("transaction", "getstatus"): _get_status,
    ("block", "getblocknobytime"): _get_block_by_time,
}

ACTIONS: Final = (*_ACTIONS, *_LISTS)
"""(module, action)"""
