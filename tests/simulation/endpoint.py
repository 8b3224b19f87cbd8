"""One JSON-RPC endpoint of the simulated Ethereum, as the node sees it, and all that can be wrong with it."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import rlp

from chain.hashing import keccak
from node.ethereum.endpoint import EndpointHealth
from node.ethereum.faults import EthereumFault, RpcError
from tests.simulation.chain import GWEI, Block, Branch, Chain, Receipt, Transaction, make_transaction
from tests.simulation.settlement import Refused, call_view, check_commit, compute_commit_gas, decode_commit

Step = Callable[[], None]


class Trouble:
    """What is wrong with an endpoint just now. Chances are per call."""

    def __init__(self) -> None:
        self.lost_before = 0.0
        """The request never arrived."""
        self.lost_after = 0.0
        """It was done, but the answer was lost."""
        self.error = 0.0
        """An error object: a rate limit, an internal error."""
        self.malformed = 0.0
        self.duplicate = 0.0
        """It arrives twice."""
        self.slow = 0.0
        self.slowness = 0.0
        """Seconds that a slow call takes."""
        self.lag = 0
        """Blocks that it is behind."""
        self.is_flapping = False
        """Behind a balancer: each call meets another lag, up to that one."""
        self.frozen: Branch | None = None
        """It stands still, on a branch that need not be the true one any more."""
        self.is_wrong_chain = False
        self.is_lying = False
        self.is_not_gossiping = False
        """What it accepts, it keeps to itself."""
        self.vanishing = 0.0
        """Chance that a receipt is not there."""
        self.estimate = 1.0
        """What it makes of the gas that a commitment takes."""
        self.least_tip = 0
        """Wei per gas: what it does not take below."""


class SimulatedEndpoint:
    """A `Transport`, and a member of `Endpoints`."""

    def __init__(
        self,
        name: str,
        chain: Chain,
        chance: random.Random,
        settlement: bytes,
        chain_id: int,
        advance: Step,
        step: Step,
        see_raw: Callable[[bytes, Transaction], None],
    ) -> None:
        """`advance` brings the chain up to now; `step` is before and after every call, and may end the node's life;
        `see_raw` hears of each transaction that arrives."""
        self.name = name
        self.trouble = Trouble()
        self.call_count = 0
        self._chain = chain
        self._chance = chance
        self._settlement = "0x" + settlement.hex()
        self._chain_id = chain_id
        self._advance = advance
        self._step = step
        self._see_raw = see_raw
        self._kept: dict[int, Transaction] = {}
        """Accepted, and told nobody."""
        self._methods: dict[str, Callable[[Sequence[Any]], Any]] = {
            "eth_chainId": lambda _: hex(1 if self.trouble.is_wrong_chain else self._chain_id),
            "eth_getCode": self._get_code,
            "eth_blockNumber": lambda _: hex(self._height),
            "eth_getBlockByNumber": self._get_block,
            "eth_getTransactionCount": lambda params: hex(self._at(params[1]).state.nonce),
            "eth_getBalance": lambda params: hex(self._at(params[1]).state.balance),
            "eth_call": self._call_contract,
            "eth_getLogs": self._get_logs,
            "eth_getTransactionReceipt": self._get_receipt,
            "eth_estimateGas": self._estimate,
            "eth_maxPriorityFeePerGas": lambda _: hex(max(GWEI // 10, self.trouble.least_tip)),
            "eth_gasPrice": lambda _: hex(self._block.base_fee + GWEI // 10),
            "eth_sendRawTransaction": self._take_raw,
        }

    @property
    def health(self) -> EndpointHealth:
        return EndpointHealth(self.name, self.call_count, 0, 0, 0, None, None, None, "", None, "")

    async def close(self) -> None:
        return

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        trouble, chance = self.trouble, self._chance
        self._step()
        self.call_count += 1
        if trouble.slow and chance.random() < trouble.slow:
            await asyncio.sleep(trouble.slowness)
            if trouble.slowness >= 10:
                raise EthereumFault(f"{method}: {self.name}: too late")
        if trouble.lost_before and chance.random() < trouble.lost_before:
            raise EthereumFault(f"{method}: {self.name}: connection refused")
        if trouble.error and chance.random() < trouble.error:
            raise chance.choice(
                (
                    RpcError(method, 429, "Too Many Requests"),
                    RpcError(method, -32005, "daily request count exceeded, request rate limited"),
                    RpcError(method, -32603, "Internal error"),
                    RpcError(method, -32000, "missing trie node"),
                    RpcError(method, -32601, "the method does not exist/is not available"),
                    EthereumFault(f"{method}: {self.name} answered HTTP 503 without JSON-RPC"),
                )
            )
        self._advance()
        answer = self._answer(method, params)
        if trouble.duplicate and chance.random() < trouble.duplicate:
            answer = self._answer(method, params)
        self._step()
        if trouble.lost_after and chance.random() < trouble.lost_after:
            raise EthereumFault(f"{method}: {self.name}: connection reset")
        if trouble.malformed and chance.random() < trouble.malformed:
            return _spoil(answer, chance)
        return answer

    def _answer(self, method: str, params: Sequence[Any]) -> Any:
        trouble = self.trouble
        self._branch = trouble.frozen or self._chain.branch
        lag = self._chance.randint(0, trouble.lag) if trouble.is_flapping else trouble.lag
        self._height = max(0, len(self._branch.blocks) - 1 - lag)
        self._block = self._branch.blocks[self._height]
        answer = self._methods[method](params)
        return self._lie(method, answer) if trouble.is_lying else answer

    # ---------------------------------------------------------------------------------------------------------- answers

    def _at(self, tag: str) -> Block:
        if tag in ("latest", "pending"):
            return self._block
        number = int(tag, 16)
        if number > self._height:
            raise RpcError("eth", -32000, "header not found")
        return self._branch.blocks[number]

    def _get_code(self, params: Sequence[Any]) -> str:
        return "0x" if params[0] != self._settlement or self.trouble.is_wrong_chain else "0x60"

    def _get_block(self, params: Sequence[Any]) -> Any:
        tag = params[0]
        if tag == "finalized":
            block = self._branch.blocks[min(self._chain.finalized_number, self._height)]
        elif tag == "latest":
            block = self._block
        elif int(tag, 16) > self._height:
            return None
        else:
            block = self._branch.blocks[int(tag, 16)]
        return {
            "number": hex(block.number),
            "hash": "0x" + block.hash.hex(),
            "parentHash": "0x" + block.parent.hex(),
            "timestamp": hex(block.timestamp),
            "baseFeePerGas": hex(block.base_fee),
        }

    def _call_contract(self, params: Sequence[Any]) -> str:
        data = bytes.fromhex(params[0]["data"][2:])
        block = self._at(params[1])
        try:
            commit = decode_commit(data)
            if commit is not None:
                self._check_commit(data, block)
                return "0x"
            return "0x" + call_view(self._chain.terms, block.state, data).hex()
        except Refused as refused:
            raise RpcError("eth_call", 3, "execution reverted", "0x" + refused.data.hex()) from None

    def _check_commit(self, data: bytes, block: Block) -> None:
        commit = decode_commit(data)
        assert commit is not None
        if self._chain.is_reverting:
            raise Refused("ZeroAmount")
        # What is estimated on "latest" runs in a block of the newest one's time, on the clients that we know.
        check_commit(self._chain.terms, block.state, commit, block.timestamp)

    def _estimate(self, params: Sequence[Any]) -> str:
        data = bytes.fromhex(params[0]["data"][2:])
        try:
            self._check_commit(data, self._block)
        except Refused as refused:
            raise RpcError("eth_estimateGas", 3, "execution reverted", "0x" + refused.data.hex()) from None
        return hex(int(compute_commit_gas(data) * self.trouble.estimate))

    def _get_logs(self, params: Sequence[Any]) -> list[Any]:
        query = params[0]
        first, last = int(query["fromBlock"], 16), min(int(query["toBlock"], 16), self._height)
        topics = [bytes.fromhex(topic[2:]) for topic in query["topics"]]
        forms = []
        for block in self._branch.find_busy(first, last):
            index = 0
            for receipt in block.receipts:
                for log in receipt.logs:
                    if list(log.topics[: len(topics)]) == topics:
                        forms.append(self._form_log(block, receipt, log.topics, log.data, index))
                    index += 1
        return forms

    def _form_log(self, block: Block, receipt: Receipt, topics: Sequence[bytes], data: bytes, index: int) -> Any:
        return {
            "address": self._settlement,
            "topics": ["0x" + topic.hex() for topic in topics],
            "data": "0x" + data.hex(),
            "blockNumber": hex(block.number),
            "blockHash": "0x" + block.hash.hex(),
            "transactionHash": "0x" + receipt.transaction.hash.hex(),
            "logIndex": hex(index),
            "removed": False,
        }

    def _get_receipt(self, params: Sequence[Any]) -> Any:
        l1_hash = bytes.fromhex(params[0][2:])
        number = self._branch.places.get(l1_hash)
        if number is None or number > self._height:
            return None
        if self.trouble.vanishing and self._chance.random() < self.trouble.vanishing:
            return None
        block = self._branch.blocks[number]
        receipt = next(receipt for receipt in block.receipts if receipt.transaction.hash == l1_hash)
        return {
            "transactionHash": params[0],
            "blockNumber": hex(number),
            "blockHash": "0x" + block.hash.hex(),
            "status": hex(receipt.is_success),
            "gasUsed": hex(receipt.gas_used),
            "effectiveGasPrice": hex(receipt.price),
            "contractAddress": None,
        }

    def _take_raw(self, params: Sequence[Any]) -> str:
        raw = bytes.fromhex(params[0][2:])
        transaction = decode_raw(raw)
        self._see_raw(raw, transaction)
        chain, nonce = self._chain, transaction.nonce
        assert nonce is not None
        state = chain.top.state if self.trouble.frozen is None and not self.trouble.lag else self._block.state
        refusal = chain.pool.find_refusal(transaction, state, self.trouble.least_tip)
        kept = self._kept.get(nonce)
        is_known = kept is not None and kept.hash == transaction.hash
        if refusal is None and not self.trouble.is_not_gossiping:
            self._kept.pop(nonce, None)
            chain.pool.put(transaction)
        elif refusal is None:
            self._kept[nonce] = transaction
        if is_known:
            refusal = "already known"
        if refusal is not None:
            raise RpcError("eth_sendRawTransaction", -32000, refusal)
        return "0x" + transaction.hash.hex()

    # ------------------------------------------------------------------------------------------------------------- lies

    def _lie(self, method: str, answer: Any) -> Any:
        """Another answer of the right form."""
        chance = self._chance
        if answer is None or chance.random() < 0.3:
            return answer
        match method:
            case "eth_getBlockByNumber":
                field = chance.choice(("hash", "timestamp", "number", "baseFeePerGas"))
                return {**answer, field: _change_hex(answer[field], chance)}
            case "eth_getLogs":
                if chance.random() < 0.5 or not answer:
                    return []
                field = chance.choice(("blockHash", "transactionHash", "blockNumber"))
                return [{**log, field: _change_hex(log[field], chance)} for log in answer]
            case "eth_getTransactionReceipt":
                field = chance.choice(("status", "gasUsed", "blockHash", "effectiveGasPrice"))
                value = hex(int(answer[field], 16) ^ 1) if field == "status" else _change_hex(answer[field], chance)
                return None if chance.random() < 0.3 else {**answer, field: value}
            case "eth_call" if len(answer) > 2:
                words = [answer[at : at + 64] for at in range(2, len(answer), 64)]
                position = chance.randrange(len(words))
                value = int(words[position], 16)
                words[position] = f"{max(0, value + chance.choice((-1, 1, 1000))):064x}"
                return "0x" + "".join(words)
            case "eth_getTransactionCount" | "eth_getBalance" | "eth_estimateGas":
                return hex(max(0, int(answer, 16) + chance.choice((-1, 1, 3))))
            case "eth_maxPriorityFeePerGas":
                return hex(chance.choice((0, 1, 10**3 * GWEI)))
        return answer


def decode_raw(raw: bytes) -> Transaction:
    """A signed transaction of our node: EIP-1559's, or one from before EIP-2718."""
    if raw[0] >= 0xC0:
        nonce, price, gas_limit, _, _, data = [bytes(field) for field in rlp.decode(raw)[:6]]
        max_fee = priority_fee = price
    else:
        assert raw[0] == 2
        fields = rlp.decode(raw[1:])
        _, nonce, priority_fee, max_fee, gas_limit, _, _, data = [bytes(field) for field in fields[:8]]
    numbers = [int.from_bytes(field) for field in (nonce, gas_limit, max_fee, priority_fee)]
    return make_transaction(bytes(data), keccak(raw), *numbers)


def _change_hex(value: str, chance: random.Random) -> str:
    """As long, and another."""
    number = int(value, 16) ^ (1 << chance.randrange(max(1, 4 * len(value) - 9)))
    return hex(number) if len(value) < 66 else f"0x{number:064x}"


def _spoil(answer: Any, chance: random.Random) -> Any:
    """An answer that no client gives."""
    if isinstance(answer, dict) and chance.random() < 0.5:
        field = chance.choice(sorted(answer))
        if answer[field] is not None:
            return {**answer, field: chance.choice((None, 7, "0xzz", [], ""))}
    return chance.choice((7, "0xzz", "", True, ["0x"], {"result": "0x"}, 1.5))
