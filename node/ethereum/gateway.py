"""The only module that speaks to Ethereum: what the node asks of it, in the node's words.

What it is answered is decoded strictly but otherwise believed: whom to ask, of which chain they speak, and how many
must say the same is the affair of `node.ethereum.endpoints`.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from chain.commitment import AssetCommitment, Commitment, hash_commitment
from chain.params import Domain
from chain.primitives import ADDRESS_SIZE, HASH_SIZE, MAX_ASSETS, MAX_U256, Address, Hash, Signature
from node.ethereum.abi import encode_topic, load_abi
from node.ethereum.endpoint import VerifiedTransport
from node.ethereum.faults import ContractError, EthereumFault, Reverted, RpcError, WrongDeployment
from node.ethereum.l1 import (
    MAX_NUMBER,
    MAX_WEI_PER_GAS,
    CommittedEvent,
    Deployment,
    DepositEvent,
    Head,
    L1Block,
    ListedAsset,
    QueuedDeposit,
    SendOutcome,
    SendResult,
    TxReceipt,
)

_QUANTITY: Final = re.compile(r"0x[0-9a-f]{1,64}", re.ASCII | re.IGNORECASE)
_DATA: Final = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII | re.IGNORECASE)
_REVERT_DATA: Final = re.compile(r"0x[0-9a-f]*", re.ASCII | re.IGNORECASE)
_METHOD_NOT_FOUND: Final = -32601
_EXECUTION_REVERTED: Final = 3
MAX_LOGS: Final = 50_000
"""In one answer; more is an endpoint that ignores the filter."""

_CONSTANTS: Final = (
    "ledgerChainId",
    "domainSeparator",
    "operator",
    "coldKey",
    "listingKey",
    "nativeAsset",
    "challengePeriod",
    "answerPeriod",
    "followUp",
    "minInterval",
    "maxSilence",
    "listingDelay",
    "deployedAt",
)

_SEND_WORDS: Final = (
    # geth, reth and anvil; Erigon; Nethermind; Besu: each has words of its own, and the codes say even less.
    (
        SendOutcome.ALREADY_KNOWN,
        ("already known", "already imported", "alreadyknown", "known transaction", "existing tx with same hash"),
    ),
    (SendOutcome.NONCE_TOO_LOW, ("nonce too low", "oldnonce", "nonce is too low", "nonce has already been used")),
    (
        SendOutcome.UNDERPRICED,
        (
            "underpriced",
            "could not replace existing",
            "replacementnotallowed",
            "less than block base fee",
            "fee too low",
            "feetoolow",
            "gas price below",
        ),
    ),
    (SendOutcome.OUT_OF_FUNDS, ("insufficient funds", "insufficientfunds", "upfront cost exceeds")),
)


_MAX_SYMBOL: Final = 32


class Gateway:
    """Raises `EthereumFault` or `WrongDeployment` from every method that asks, unless it says otherwise."""

    def __init__(self, transport: VerifiedTransport, l1_chain_id: int, settlement: Address) -> None:
        self.l1_chain_id = l1_chain_id
        self.settlement = settlement
        self.domain = Domain.of(l1_chain_id, settlement)
        self._transport = transport
        self._abi = load_abi("Settlement")

    async def close(self) -> None:
        await self._transport.close()

    # -------------------------------------------------------------------------------------------------- what is served

    async def verify(self) -> None:
        """Raises `WrongDeployment` for, in this order: another chain id, no code at the contract's address."""
        await self._transport.verify()

    async def check_deployment(self, deployed_at: int, native_asset: Address, operator: Address | None) -> Deployment:
        """The contract's constants, which must be those that the ledger was begun with. `operator`: who signs here.

        Raises `WrongDeployment` for, in this order: what `verify` raises, what `get_deployment` raises, another
        deployment time, another native asset, another operator.
        """
        deployment = await self.get_deployment()
        if deployment.deployed_at != deployed_at:
            raise WrongDeployment(
                "wrong_contract", f"deployed at {deployment.deployed_at} s, the ledger began with {deployed_at} s"
            )
        if deployment.native_asset != native_asset:
            raise WrongDeployment(
                "wrong_contract",
                f"the native asset is {_to_hex(deployment.native_asset)}, the ledger's is {_to_hex(native_asset)}",
            )
        if operator is not None and deployment.operator != operator:
            raise WrongDeployment(
                "wrong_contract", f"the operator is {_to_hex(deployment.operator)}, the key here is {_to_hex(operator)}"
            )
        return deployment

    async def get_deployment(self) -> Deployment:
        """Raises `WrongDeployment` if the contract is none of ours: no such functions, or made for another chain."""
        values = await self._read_constants()
        if values["ledgerChainId"] != self.domain.chain_id or values["domainSeparator"] != self.domain.separator:
            raise WrongDeployment("wrong_contract", f"its ledger chain id is {values['ledgerChainId']}")
        return Deployment(
            l1_chain_id=self.l1_chain_id,
            settlement=self.settlement,
            ledger_chain_id=values["ledgerChainId"],
            domain_separator=values["domainSeparator"],
            operator=values["operator"],
            cold_key=values["coldKey"],
            listing_key=values["listingKey"],
            native_asset=values["nativeAsset"],
            challenge_period=values["challengePeriod"],
            answer_period=values["answerPeriod"],
            follow_up=values["followUp"],
            min_interval=values["minInterval"],
            max_silence=values["maxSilence"],
            listing_delay=values["listingDelay"],
            deployed_at=values["deployedAt"],
        )

    async def _read_constants(self) -> dict[str, Any]:
        results = await asyncio.gather(*[self._view("latest", name) for name in _CONSTANTS])
        return {name: result[0] for name, result in zip(_CONSTANTS, results, strict=True)}

    # ---------------------------------------------------------------------------------------------------------- blocks

    async def get_block(self, at: int | str) -> L1Block:
        """By number or tag. A block that is not there is an `EthereumFault`."""
        block = await self.find_block(at)
        if block is None:
            raise EthereumFault(f"there is no block {at}")
        return block

    async def find_block(self, at: int | str) -> L1Block | None:
        form = await self._ask("eth_getBlockByNumber", [_encode_tag(at), False])
        return None if form is None else decode_block(form)

    async def get_final_block(self, latest: L1Block, confirmations: int | None) -> L1Block:
        """The newest block that counts as final: with N confirmations, the Nth from the top (1 is `latest` itself);
        with None, what the chain itself calls finalized. The first block, while there are too few."""
        if confirmations is None:
            return await self.get_block("finalized")
        if confirmations == 1:
            return latest
        return await self.get_block(max(0, latest.number - (confirmations - 1)))

    async def find_block_at(
        self, timestamp: int, low: int, high: int, get_block: Callable[[int], Awaitable[L1Block]] | None = None
    ) -> int:
        """Number of the first block from `low` to `high` that is not earlier than `timestamp`; `high` if none is.
        `get_block`: of who keeps blocks that were read."""
        get_block = get_block or self.get_block
        while low < high:
            middle = (low + high) // 2
            if (await get_block(middle)).timestamp < timestamp:
                low = middle + 1
            else:
                high = middle
        return low

    # ------------------------------------------------------------------------------------- the contract, as of a block

    async def get_head(self, at: int) -> Head:
        head = await self._view(at, "head")
        if max(head) > MAX_NUMBER:
            raise EthereumFault(f"the contract's head is nonsense: {head}")
        return Head(*head)

    async def get_commitment_hash(self, epoch: int, at: int) -> Hash:
        """keccak256(digest ‖ includedAt u64), zero if there is none."""
        result: Hash = (await self._view(at, "commitmentHash", epoch))[0]
        return result

    async def get_assets(self, first: int, at: int) -> list[ListedAsset]:
        """From the `first`-th listed one on, in the contract's order."""
        listed: int = (await self._view(at, "assetCount"))[0]
        if listed > MAX_ASSETS:
            raise EthereumFault(f"the contract lists {listed} assets, it never does above {MAX_ASSETS}")
        results = await asyncio.gather(*[self._view(at, "assetAt", index) for index in range(first, listed)])
        return [ListedAsset(*result) for result in results]

    async def get_deposit_count(self, asset: Address, at: int) -> int:
        result: int = (await self._view(at, "depositCount", asset))[0]
        return result

    async def get_deposits(self, asset: Address, first: int, count: int, at: int) -> list[QueuedDeposit]:
        """`count` deposits of the queue, which must be there."""
        indexes = range(first, first + count)
        results = await asyncio.gather(*[self._view(at, "depositAt", asset, index) for index in indexes])
        deposits = [QueuedDeposit(asset, index, *result) for index, result in zip(indexes, results, strict=True)]
        for deposit in deposits:
            if not deposit.amount:
                raise EthereumFault(f"deposit {deposit.index} of {_to_hex(asset)} is not there at block {at}")
        return deposits

    async def get_held(self, asset: Address, at: int) -> int:
        """What the contract counts as its own: all deposits less all claims paid. Not the same as what it has."""
        result: int = (await self._view(at, "held", asset))[0]
        return result

    # ---------------------------------------------------------------------------------------------------------- events

    async def get_deposit_events(self, asset: Address, first: int, last: int) -> list[DepositEvent]:
        """In the order of the chain, from block `first` to block `last`, both included."""
        logs = await self._get_logs("Deposited", first, last, [encode_topic(asset)])
        return [
            DepositEvent(
                asset=values["asset"],
                index=values["index"],
                account=values["account"],
                amount=values["amount"],
                l1_block=decode_quantity(log.get("blockNumber"), MAX_NUMBER),
                l1_block_hash=decode_data(log.get("blockHash"), HASH_SIZE),
                l1_transaction=decode_data(log.get("transactionHash"), HASH_SIZE),
                log_index=decode_quantity(log.get("logIndex"), MAX_NUMBER),
            )
            for log, values in logs
        ]

    async def get_committed_events(self, first: int, last: int) -> list[CommittedEvent]:
        """In the order of the chain, from block `first` to block `last`. The digest is of the commitment shown."""
        events = []
        for log, values in await self._get_logs("Committed", first, last, []):
            commitment = _make_commitment(values["commitment"])
            if values["epoch"] != commitment.epoch or values["digest"] != hash_commitment(commitment, self.domain):
                raise EthereumFault(f"the log of epoch {values['epoch']} shows another commitment than its digest says")
            if values["includedAt"] > MAX_NUMBER:
                raise EthereumFault(f"the log of epoch {values['epoch']} is of no time: {values['includedAt']}")
            events.append(
                CommittedEvent(
                    commitment=commitment,
                    signature=values["signature"],
                    digest=values["digest"],
                    included_at=values["includedAt"],
                    l1_block=decode_quantity(log.get("blockNumber"), MAX_NUMBER),
                    l1_block_hash=decode_data(log.get("blockHash"), HASH_SIZE),
                    l1_transaction=decode_data(log.get("transactionHash"), HASH_SIZE),
                )
            )
        return events

    async def _get_logs(
        self, event: str, first: int, last: int, topics: Sequence[str]
    ) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        query = {
            "address": _to_hex(self.settlement),
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "topics": [_to_hex(self._abi.get_topic(event)), *topics],
        }
        decoded = []
        for log in take_logs(await self._ask("eth_getLogs", [query])):
            if decode_data(log.get("address"), ADDRESS_SIZE) != self.settlement or log.get("removed"):
                raise EthereumFault("eth_getLogs: a log of another contract, or one that was removed")
            log_topics = [decode_data(topic, HASH_SIZE) for topic in log["topics"]]
            decoded.append((log, self._abi.decode_event(event, log_topics, decode_data(log.get("data")))))
        return decoded

    # --------------------------------------------------------------------------------------------------------- sending

    async def get_nonce(self, account: Address, at: int) -> int:
        """Transactions of `account` mined up to and with block `at`."""
        return decode_quantity(await self._ask("eth_getTransactionCount", [_to_hex(account), hex(at)]), MAX_NUMBER)

    async def get_balance(self, account: Address, at: int) -> int:
        return decode_quantity(await self._ask("eth_getBalance", [_to_hex(account), hex(at)]))

    async def get_suggested_tip(self) -> int:
        """Wei per gas that the client would offer now; 0 if it does not say."""
        try:
            return decode_quantity(await self._ask("eth_maxPriorityFeePerGas", []), MAX_WEI_PER_GAS)
        except RpcError as error:
            if error.code == _METHOD_NOT_FOUND:
                return 0
            raise

    async def get_suggested_gas_price(self) -> int:
        """Wei per gas that the client would offer in a legacy transaction now."""
        return decode_quantity(await self._ask("eth_gasPrice", []), MAX_WEI_PER_GAS)

    def encode_commit(self, previous: Commitment, commitment: Commitment, signature: Signature) -> bytes:
        """The call data of `commit`."""
        return self._abi.encode_call("commit", _make_tuple(previous), _make_tuple(commitment), signature)

    async def estimate_commit_gas(self, sender: Address, data: bytes) -> int:
        """Raises `Reverted` with the contract's error, besides the usual."""
        call = {"from": _to_hex(sender), "to": _to_hex(self.settlement), "data": _to_hex(data)}
        return decode_quantity(await self._ask_contract("eth_estimateGas", [call, "latest"]), MAX_NUMBER)

    async def explain_commit(self, sender: Address, data: bytes, at: int) -> ContractError | None:
        """What the contract says to the call after block `at`; None if it would take it."""
        call = {"from": _to_hex(sender), "to": _to_hex(self.settlement), "data": _to_hex(data)}
        try:
            await self._ask_contract("eth_call", [call, hex(at)])
        except Reverted as reverted:
            return reverted.error
        return None

    async def send(self, raw: bytes) -> SendResult:
        """Broadcasts a signed transaction. What the endpoint says to it is a result, not an error."""
        try:
            await self._ask("eth_sendRawTransaction", [_to_hex(raw)])
        except RpcError as error:
            return SendResult(classify_send_refusal(error.message), error.message)
        return SendResult(SendOutcome.ACCEPTED)

    async def get_receipt(self, l1_transaction: Hash) -> TxReceipt | None:
        """None while it is not mined, or not known."""
        form = await self._ask("eth_getTransactionReceipt", [_to_hex(l1_transaction)])
        return None if form is None else decode_receipt(form)

    # ---------------------------------------------------------------------------------------------------------- tokens

    async def get_token(self, asset: Address) -> tuple[str | None, int | None]:
        """(symbol, decimals) as the ERC-20 says; None for what it does not say in the standard's form, and for a symbol
        that is empty, unprintable or longer than 32 characters: it is shown to people."""
        symbol = await self._read_token("latest", asset, "symbol")
        decimals = await self._read_token("latest", asset, "decimals")
        is_fit = symbol is not None and 0 < len(symbol) <= _MAX_SYMBOL and symbol.isprintable()
        return symbol if is_fit else None, decimals

    async def get_token_balance(self, asset: Address, account: Address, at: int) -> int | None:
        """What the ERC-20 says that `account` has; None if it does not say it in the standard's form."""
        balance: int | None = await self._read_token(at, asset, "balanceOf", account)
        return balance

    async def _read_token(self, at: int | str, asset: Address, function: str, *arguments: Any) -> Any:
        abi = load_abi("TestToken")  # any ERC-20 with the optional functions will do
        try:
            call = {"to": _to_hex(asset), "data": _to_hex(abi.encode_call(function, *arguments))}
            data = decode_data(await self._ask_contract("eth_call", [call, _encode_tag(at)]))
        except Reverted:
            return None
        try:
            return abi.decode_result(function, data)[0]
        except EthereumFault:
            return None

    async def _view(self, at: int | str, function: str, *arguments: Any) -> tuple[Any, ...]:
        """A read of the contract as it stood at a block. None of the functions read here ever refuses."""
        call = {"to": _to_hex(self.settlement), "data": _to_hex(self._abi.encode_call(function, *arguments))}
        problem = "nothing"
        try:
            data = decode_data(await self._ask_contract("eth_call", [call, _encode_tag(at)]))
            if data:
                return self._abi.decode_result(function, data)
        except Reverted as error:
            problem = str(error)
        if at == "latest":
            raise WrongDeployment("wrong_contract", f"the contract answers {function} with {problem}")
        # A block from before the contract, or one that a reorganisation replaced between two questions.
        raise EthereumFault(f"{function} at block {at}: the contract answers {problem}")

    async def _ask_contract(self, method: str, params: Sequence[Any]) -> Any:
        try:
            return await self._ask(method, params)
        except RpcError as error:
            revert = find_revert(error)
            if revert is None:
                raise
            raise Reverted(self._abi.decode_error(revert)) from error

    async def _ask(self, method: str, params: Sequence[Any]) -> Any:
        return await self._transport.call(method, params)


# ------------------------------------------------------------------------------------------------ the endpoint's words


def classify_send_refusal(message: str) -> SendOutcome:
    words = message.lower()
    for outcome, phrases in _SEND_WORDS:
        if any(phrase in words for phrase in phrases):
            return outcome
    return SendOutcome.REFUSED


def find_revert(error: RpcError) -> bytes | None:
    """What the contract reverted with; None if the error is something else. Clients put it under `data` as hex, as hex
    after a word, or one level deeper."""
    if error.code != _EXECUTION_REVERTED and "revert" not in error.message.lower():
        return None
    data = error.data.get("data") if isinstance(error.data, dict) else error.data
    found = _REVERT_DATA.search(data) if isinstance(data, str) else None
    return b"" if found is None or len(found[0]) % 2 else bytes.fromhex(found[0][2:])


def decode_quantity(value: object, limit: int = MAX_U256) -> int:
    """Raises `EthereumFault` for anything but 0x hex of an integer up to `limit`."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value) or int(value, 16) > limit:
        raise EthereumFault(f"not a quantity up to {limit}: {str(value)[:80]}")
    return int(value, 16)


def decode_data(value: object, size: int | None = None) -> bytes:
    """Raises `EthereumFault` for anything but 0x hex of whole bytes, `size` of them."""
    if not isinstance(value, str) or not _DATA.fullmatch(value) or (size is not None and len(value) != 2 + 2 * size):
        raise EthereumFault(f"not {'bytes' if size is None else f'{size} bytes'} in hex: {str(value)[:80]}")
    return bytes.fromhex(value[2:])


def take_logs(form: Any) -> list[dict[str, Any]]:
    """Raises `EthereumFault` for anything but a list, not too long, of objects with topics."""
    if not isinstance(form, list) or len(form) > MAX_LOGS:
        raise EthereumFault(f"eth_getLogs: not a list of at most {MAX_LOGS} logs")
    for log in form:
        if not isinstance(log, dict) or not isinstance(log.get("topics"), list):
            raise EthereumFault("eth_getLogs: a log that is not an object with topics")
    return form


def decode_receipt(form: Any) -> TxReceipt:
    if not isinstance(form, dict):
        raise EthereumFault("a transaction receipt that is not an object")
    contract = form.get("contractAddress")
    return TxReceipt(
        l1_transaction=decode_data(form.get("transactionHash"), HASH_SIZE),
        l1_block=decode_quantity(form.get("blockNumber"), MAX_NUMBER),
        l1_block_hash=decode_data(form.get("blockHash"), HASH_SIZE),
        is_success=decode_quantity(form.get("status"), 1) == 1,
        gas_used=decode_quantity(form.get("gasUsed"), MAX_NUMBER),
        effective_gas_price=decode_quantity(form.get("effectiveGasPrice"), MAX_WEI_PER_GAS),
        contract=None if contract is None else decode_data(contract, ADDRESS_SIZE),
    )


def decode_block(form: Any) -> L1Block:
    if not isinstance(form, dict):
        raise EthereumFault("a block that is not an object")
    base_fee = form.get("baseFeePerGas")
    return L1Block(
        number=decode_quantity(form.get("number"), MAX_NUMBER),
        hash=decode_data(form.get("hash"), HASH_SIZE),
        timestamp=decode_quantity(form.get("timestamp"), MAX_NUMBER),
        base_fee=None if base_fee is None else decode_quantity(base_fee, MAX_WEI_PER_GAS),
    )


def _make_tuple(commitment: Commitment) -> tuple[Any, ...]:
    """In the order of the ABI's fields, which is the order of ours."""
    lines = [tuple([getattr(line, field) for field in line.__struct_fields__]) for line in commitment.assets]
    return (*[getattr(commitment, field) for field in commitment.__struct_fields__[:-1]], lines)


def _make_commitment(values: tuple[Any, ...]) -> Commitment:
    epoch, previous, first_block, last_block, cut_at, blocks_root, extra_root, lines = values
    assets = tuple([AssetCommitment(*line) for line in lines])
    return Commitment(epoch, previous, first_block, last_block, cut_at, blocks_root, extra_root, assets)


def _encode_tag(at: int | str) -> str:
    return hex(at) if isinstance(at, int) else at


def _to_hex(value: bytes) -> str:
    return "0x" + value.hex()
