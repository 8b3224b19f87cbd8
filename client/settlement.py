"""Reading the Settlement contract over any Ethereum endpoint: eth_call, logs, and what they say in our types.

Written against plain JSON-RPC, so that verifying and auditing pull in no more code than they use. Nothing here signs or
sends; `client.ethereum` does.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec
from eth_abi.abi import decode as decode_abi
from eth_abi.abi import encode as encode_abi
from eth_abi.exceptions import DecodingError

from chain import wire
from chain.commitment import AssetCommitment, Commitment, compute_stored_hash
from chain.encoding import encode_u64
from chain.errors import MalformedRequest
from chain.hashing import keccak
from chain.primitives import MAX_U64, MAX_U256, ZERO_HASH, Address, Hash, Signature
from client.errors import BadReply, RpcError, WrongLedger
from client.transport import HttpTransport, Reply, Request

_ASSET_COMMITMENT_ABI: Final = "(address,bytes32,uint128,uint64,uint64,uint64,bytes32,uint64,uint128)"
COMMITMENT_ABI: Final = f"(uint64,bytes32,uint64,uint64,uint64,bytes32,bytes32,{_ASSET_COMMITMENT_ABI}[])"
COMMITTED_TOPIC: Final = keccak(f"Committed(uint64,bytes32,uint64,{COMMITMENT_ABI},bytes)".encode())
DEPOSITED_TOPIC: Final = keccak(b"Deposited(address,uint64,address,address,uint128)")

_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)

_BATCH_SIZE: Final = 100
"""Calls in one JSON-RPC batch: what public endpoints still take."""
_TOO_MANY_BLOCKS: Final = 1_000_000_000


class L1Block(msgspec.Struct, frozen=True):
    number: int
    hash: Hash
    timestamp: int
    """Unix seconds."""


class Facts(msgspec.Struct, frozen=True):
    """What the contract was deployed with. Periods and times in seconds."""

    l1_chain_id: int
    settlement: Address
    operator: Address
    native_asset: Address
    challenge_period: int
    deployed_at: int
    ledger_chain_id: int


class Head(msgspec.Struct, frozen=True):
    epoch: int
    """The last one committed, 0 for none."""
    included_at: int
    final_epoch: int


class QueuedDeposit(msgspec.Struct, frozen=True):
    account: Address
    amount: int
    cumulative: int
    timestamp: int


class Committed(msgspec.Struct, frozen=True):
    """A commitment as the contract emitted it."""

    commitment: Commitment
    signature: Signature
    digest: Hash
    included_at: int
    l1_block: int
    l1_transaction: Hash

    @property
    def stored_hash(self) -> Hash:
        return compute_stored_hash(self.digest, self.included_at)


class Deposited(msgspec.Struct, frozen=True):
    asset: Address
    index: int
    account: Address
    amount: int
    l1_block: int


class Caller(Protocol):
    """How an endpoint is reached: `client.transport.HttpTransport`, or anything that answers alike."""

    @property
    def name(self) -> str: ...

    def call(self, method: str, *params: Any) -> Any: ...

    def call_batch(self, batch: Sequence[Request]) -> list[Reply]: ...

    def close(self) -> None: ...


class Ethereum:
    """One endpoint. Raises `Unreachable`, `BadReply` or `RpcError`."""

    def __init__(self, caller: Caller) -> None:
        self._transport = caller

    @classmethod
    def at(cls, url: str, *, timeout_s: float = 30.0, attempts: int = 4) -> "Ethereum":
        return cls(HttpTransport(url, timeout_s=timeout_s, attempts=attempts))

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return self._transport.name

    def ask(self, method: str, *params: Any) -> Any:
        return self._transport.call(method, *params)

    def ask_many(self, batch: Sequence[Request]) -> Iterator[Reply]:
        """In order, in batches of 100."""
        for at in range(0, len(batch), _BATCH_SIZE):
            yield from self._transport.call_batch(batch[at : at + _BATCH_SIZE])

    def get_chain_id(self) -> int:
        return read_quantity(self.ask("eth_chainId"), "eth_chainId", MAX_U64)

    def get_block(self, place: int | str | Hash = "latest") -> L1Block | None:
        """By number, tag or hash. None if the endpoint has no such block."""
        form = self.get_block_form(place)
        if form is None:
            return None
        return L1Block(
            number=read_quantity(form.get("number"), "number", MAX_U64),
            hash=read_hash(form.get("hash"), "hash"),
            timestamp=read_quantity(form.get("timestamp"), "timestamp", MAX_U64),
        )

    def get_block_form(self, place: int | str | Hash) -> dict[str, Any] | None:
        """The header's JSON, as it came."""
        if isinstance(place, bytes):
            form = self.ask("eth_getBlockByHash", wire.encode_bytes(place), False)
        else:
            form = self.ask("eth_getBlockByNumber", encode_tag(place), False)
        if form is not None and not isinstance(form, dict):
            raise BadReply("a block that is no object")
        return form

    def get_code(self, address: Address, tag: int | str = "latest") -> bytes:
        return read_data(self.ask("eth_getCode", wire.encode_address(address), encode_tag(tag)), "eth_getCode")

    def get_tx_receipt(self, l1_transaction: Hash) -> dict[str, Any] | None:
        form = self.ask("eth_getTransactionReceipt", wire.encode_bytes(l1_transaction))
        if form is not None and not isinstance(form, dict):
            raise BadReply("a transaction receipt that is no object")
        return form

    def close(self) -> None:
        self._transport.close()


class SettlementReader:
    """The contract's views and logs."""

    def __init__(self, ethereum: Ethereum, address: Address) -> None:
        self.ethereum = ethereum
        self.address = address

    def read_facts(self) -> Facts:
        """Raises `WrongLedger` if there is no Settlement of ours at the address."""
        names = ("operator", "nativeAsset", "challengePeriod", "deployedAt", "ledgerChainId")
        try:
            operator, native_asset, challenge_period, deployed_at, ledger_chain_id = [
                read_word(read_data(reply.unwrap(), name))
                for name, reply in zip(
                    names, self.ethereum.ask_many([self.encode_call(f"{name}()") for name in names]), strict=True
                )
            ]
        except (BadReply, RpcError) as error:
            where = wire.encode_address(self.address)
            raise WrongLedger(f"there is no Settlement contract at {where} on {self.ethereum.name}: {error}") from error
        return Facts(
            l1_chain_id=self.ethereum.get_chain_id(),
            settlement=self.address,
            operator=operator[12:],
            native_asset=native_asset[12:],
            challenge_period=int.from_bytes(challenge_period, "big"),
            deployed_at=int.from_bytes(deployed_at, "big"),
            ledger_chain_id=int.from_bytes(ledger_chain_id, "big"),
        )

    def get_head(self, tag: int | str = "latest") -> Head:
        return Head(*self._call("head()", ["uint64", "uint64", "uint64"], tag=tag))

    def get_commitment_hash(self, epoch: int, tag: int | str = "latest") -> Hash:
        """What the contract stores for the epoch; zero for nothing."""
        data = encode_u256_words(epoch)
        return read_word(read_data(self._ask("commitmentHash(uint64)", data, tag), "commitmentHash"))

    def get_assets(self) -> list[tuple[Address, int]]:
        """(asset, when it is in force), in the order of listing."""
        (count,) = self._call("assetCount()", ["uint256"])
        batch = [self.encode_call("assetAt(uint256)", encode_u256_words(index)) for index in range(count)]
        found = []
        for reply in self.ethereum.ask_many(batch):
            asset, listed_at = decode_words(["address", "uint64"], read_data(reply.unwrap(), "assetAt"))
            found.append((_to_address(asset), listed_at))
        return found

    def get_deposit_count(self, asset: Address) -> int:
        (count,) = self._call("depositCount(address)", ["uint64"], encode_abi(["address"], [asset]))
        return int(count)

    def get_held(self, asset: Address) -> int:
        (held,) = self._call("held(address)", ["uint256"], encode_abi(["address"], [asset]))
        return int(held)

    def is_claimed(self, epoch: int, asset: Address, index: int) -> bool:
        data = encode_abi(["uint64", "address", "uint64"], [epoch, asset, index])
        (claimed,) = self._call("isClaimed(uint64,address,uint64)", ["bool"], data)
        return bool(claimed)

    def get_deposits(self, places: Sequence[tuple[Address, int]]) -> list[QueuedDeposit]:
        """By (asset, index). One that does not exist has amount 0."""
        batch = [
            self.encode_call("depositAt(address,uint64)", encode_abi(["address", "uint64"], list(place)))
            for place in places
        ]
        found = []
        for reply in self.ethereum.ask_many(batch):
            data = read_data(reply.unwrap(), "depositAt")
            account, amount, cumulative, timestamp = decode_words(["address", "uint128", "uint128", "uint64"], data)
            found.append(QueuedDeposit(_to_address(account), amount, cumulative, timestamp))
        return found

    def read_committed(self, first_epoch: int, deployed_at: int) -> Iterator[Committed]:
        """Every `Committed` log from that epoch on, ascending. `deployed_at` bounds how far back the search goes."""
        topics: list[Any] = [wire.encode_bytes(COMMITTED_TOPIC)]
        for log in self._read_logs(topics, self.find_block_at(deployed_at)):
            committed = decode_committed(log)
            if committed.commitment.epoch >= first_epoch:
                yield committed

    def encode_call(self, signature: str, arguments: bytes = b"", tag: int | str = "latest") -> Request:
        """An eth_call of a view, `name(types)`, with its arguments already encoded."""
        data = keccak(signature.encode())[:4] + arguments
        return "eth_call", [{"to": wire.encode_address(self.address), "data": wire.encode_bytes(data)}, encode_tag(tag)]

    def _ask(self, signature: str, arguments: bytes, tag: int | str) -> Any:
        method, params = self.encode_call(signature, arguments, tag)
        return self.ethereum.ask(method, *params)

    def _call(self, signature: str, types: list[str], arguments: bytes = b"", tag: int | str = "latest") -> Any:
        return decode_words(types, read_data(self._ask(signature, arguments, tag), signature))

    def find_block_at(self, timestamp: int) -> int:
        """The first L1 block whose time is not before `timestamp`, by halving."""
        latest = self.ethereum.get_block("latest")
        if latest is None:
            raise BadReply("the endpoint has no latest block")
        low, high = 0, latest.number
        while low < high:
            middle = (low + high) // 2
            block = self.ethereum.get_block(middle)
            # A block that this endpoint does not have any more is too old to be it.
            if block is None or block.timestamp < timestamp:
                low = middle + 1
            else:
                high = middle
        return low

    def _read_logs(self, topics: list[Any], first_block: int) -> Iterator[dict[str, Any]]:
        """To the latest block, in ascending ranges: halved where the endpoint finds one too large, then widened."""
        latest = self.ethereum.get_block("latest")
        last_block = 0 if latest is None else latest.number
        span = last_block + 1
        while first_block <= last_block:
            to_block = min(first_block + span - 1, last_block)
            query = {
                "address": wire.encode_address(self.address),
                "topics": topics,
                "fromBlock": hex(first_block),
                "toBlock": hex(to_block),
            }
            try:
                logs = self.ethereum.ask("eth_getLogs", query)
            except (RpcError, BadReply):
                if to_block == first_block:
                    raise
                span = (to_block - first_block + 1) // 2
                continue
            if not isinstance(logs, list):
                raise BadReply("eth_getLogs answers with no list")
            yield from logs
            first_block, span = to_block + 1, min(span * 2, _TOO_MANY_BLOCKS)


def decode_committed(log: Any) -> Committed:
    """Raises `BadReply` for anything but a `Committed` log."""
    topics, data = _read_log(log, COMMITTED_TOPIC, 3)
    try:
        included_at, commitment, signature = decode_abi(["uint64", COMMITMENT_ABI, "bytes"], data)
    except DecodingError as error:
        raise BadReply(f"a Committed log that is not encoded as one: {error}") from error
    epoch, previous, first_block, last_block, cut_at, blocks_root, extra_root, lines = commitment
    assets = tuple([AssetCommitment(_to_address(line[0]), *line[1:]) for line in lines])
    return Committed(
        commitment=Commitment(epoch, previous, first_block, last_block, cut_at, blocks_root, extra_root, assets),
        signature=signature,
        digest=topics[2],
        included_at=included_at,
        l1_block=read_quantity(log.get("blockNumber"), "blockNumber", MAX_U64),
        l1_transaction=read_hash(log.get("transactionHash"), "transactionHash"),
    )


def decode_deposited(log: Any) -> Deposited:
    """Raises `BadReply` for anything but a `Deposited` log."""
    topics, data = _read_log(log, DEPOSITED_TOPIC, 4)
    _, amount = decode_words(["address", "uint128"], data)
    return Deposited(
        asset=topics[1][12:],
        index=int.from_bytes(topics[2], "big"),
        account=topics[3][12:],
        amount=amount,
        l1_block=read_quantity(log.get("blockNumber"), "blockNumber", MAX_U64),
    )


def find_logs(tx_receipt: dict[str, Any], settlement: Address, topic: Hash) -> list[Any]:
    """The logs of one kind that the contract emitted in a transaction."""
    found = []
    for log in tx_receipt.get("logs") or []:
        try:
            is_ours = wire.decode_address(log.get("address"), "address") == settlement
            topics = [read_hash(item, "topic") for item in log.get("topics") or []]
        except (MalformedRequest, BadReply):
            continue  # some other contract's log, in whatever form this endpoint gives it
        if is_ours and topics[:1] == [topic]:
            found.append(log)
    return found


# --- values of Ethereum's JSON-RPC


def encode_tag(place: int | str) -> str:
    return place if isinstance(place, str) else hex(place)


def encode_u256_words(*values: int) -> bytes:
    return b"".join([value.to_bytes(32, "big") for value in values])


def decode_words(types: list[str], data: bytes) -> Any:
    """Raises `BadReply` for what is not encoded as these types."""
    try:
        return decode_abi(types, data)
    except DecodingError as error:
        raise BadReply(f"not an answer of the Settlement contract: {error}") from error


def read_quantity(value: object, what: str, limit: int = MAX_U256) -> int:
    try:
        return wire.decode_quantity(value, what, limit)
    except MalformedRequest as error:
        raise BadReply(str(error)) from error


def read_hash(value: object, what: str) -> Hash:
    try:
        return wire.decode_hash(value, what)
    except MalformedRequest as error:
        raise BadReply(str(error)) from error


def read_data(value: object, what: str) -> bytes:
    """Raises `BadReply` for anything but `0x` and two hex digits a byte."""
    if isinstance(value, str) and _DATA.fullmatch(value):
        return bytes.fromhex(value[2:])
    raise BadReply(f"{what}: not 0x and hex digits")


def read_word(data: bytes) -> Hash:
    if len(data) != 32:
        raise BadReply(f"an answer of {len(data)} bytes where 32 are expected")
    return data


def is_stored(stored: Hash, digest: Hash, included_at: int) -> bool:
    """Whether the contract stores exactly this commitment, included at that time."""
    return stored != ZERO_HASH and stored == keccak(digest + encode_u64(included_at))


def _read_log(log: Any, topic: Hash, count: int) -> tuple[list[Hash], bytes]:
    if not isinstance(log, dict):
        raise BadReply("a log that is no object")
    topics = [read_hash(item, "topic") for item in log.get("topics") or []]
    if len(topics) != count or topics[0] != topic:
        raise BadReply("a log of another kind")
    return topics, read_data(log.get("data"), "data")


def _to_address(text: str) -> Address:
    return bytes.fromhex(text.removeprefix("0x"))
