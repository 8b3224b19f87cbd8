"""An Ethereum in this process, with a clock that only moves when told, and refusals as typed exceptions."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from eth_abi import decode
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from eth_utils import keccak, to_canonical_address
from web3 import EthereumTesterProvider, Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.logs import DISCARD
from web3.types import TxReceipt

from contracts import ARTIFACTS, load_artifact

# Ahead of any wall clock, so that the chain never takes its time from that.
GENESIS_AT = 2**33
GAS_LIMIT = 6_000_000


class Refused(Exception):
    """A contract reverted with a custom error (or `Panic`, `Error`, or nothing: the empty name)."""

    def __init__(self, name: str, values: tuple[Any, ...]) -> None:
        super().__init__(name, values)
        self.name = name
        self.values = values


@contextmanager
def refused(name: str, *values: Any) -> Iterator[None]:
    """Passes iff what is inside is refused with exactly this error and these values; addresses in any case."""
    with pytest.raises(Refused) as caught:
        yield
    expected = tuple(value.lower() if isinstance(value, str) else value for value in values)
    assert (caught.value.name, caught.value.values) == (name, expected)


class Evm:
    def __init__(self) -> None:
        genesis = PyEVMBackend.generate_genesis_params({"timestamp": GENESIS_AT})
        self.tester = EthereumTester(PyEVMBackend(genesis_parameters=genesis))
        self.web3 = Web3(EthereumTesterProvider(self.tester))
        # It would ask for the chain id before each request.
        self.web3.middleware_onion.remove("validation")
        self.accounts: list[str] = list(self.web3.eth.accounts)

    @property
    def now(self) -> int:
        """Time of the latest block, which is also what calls see. Seconds."""
        return int(self.web3.eth.get_block("latest")["timestamp"])

    def travel(self, timestamp: int) -> None:
        """Makes `timestamp` the present."""
        if timestamp > self.now:
            self.tester.time_travel(timestamp)
            self.tester.mine_block()
        assert self.now == timestamp

    def set_storage(self, contract: Contract, slot: int, value: int) -> None:
        """Alters a word of storage, in a block of its own: for states that no call leads to."""
        chain = self.tester.backend.chain
        state = chain.get_vm().state
        state.set_storage(to_canonical_address(contract.address), slot, value)
        state.persist()
        chain.header = chain.header.copy(state_root=state.state_root)
        self.tester.mine_block()

    def deploy(self, name: str, *arguments: Any) -> Contract:
        artifact = load_artifact(name)
        factory = self.web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        constructor = factory.constructor(*plain(arguments))
        try:
            constructor.estimate_gas({"from": self.accounts[0], "gas": GAS_LIMIT})
        except TransactionFailed as failure:
            raise decode_refusal(failure) from None
        transaction = constructor.transact({"from": self.accounts[0], "gas": GAS_LIMIT})
        receipt = self.web3.eth.get_transaction_receipt(transaction)
        return self.web3.eth.contract(address=receipt["contractAddress"], abi=artifact.abi)

    def call(self, function: ContractFunction, sender: str | None = None, value: int = 0) -> Any:
        """Runs it on top of the latest block, at its time, and forgets the effects. Raises Refused."""
        try:
            return function.call({"from": sender or self.accounts[0], "value": value, "gas": GAS_LIMIT})
        except TransactionFailed as failure:
            raise decode_refusal(failure) from None

    def send(
        self, function: ContractFunction, sender: str | None = None, value: int = 0, at: int | None = None
    ) -> TxReceipt:
        """Mines it in a block of its own, at time `at`, else one second later than the last. Raises Refused."""
        if at is not None:
            self.travel(at - 1)
        transaction = {"from": sender or self.accounts[0], "value": value, "gas": GAS_LIMIT}
        hash_ = function.transact(transaction)
        receipt = self.web3.eth.get_transaction_receipt(hash_)
        if receipt["status"] == 1:
            return receipt
        self.call(function, sender, value)
        raise AssertionError("reverted when mined, but not when called")


def get_events(contract: Contract, name: str, receipt: TxReceipt) -> list[dict[str, Any]]:
    """Arguments of the events of that name which the contract emitted, in order."""
    logs = getattr(contract.events, name)().process_receipt(receipt, errors=DISCARD)
    return [dict(log["args"]) for log in logs if log["address"] == contract.address]


def plain(value: Any) -> Any:
    """Named tuples as bare ones: web3 rebuilds what it encodes by calling its type with one iterable."""
    return tuple(plain(item) for item in value) if isinstance(value, tuple | list) else value


@cache
def get_errors() -> dict[bytes, tuple[str, tuple[str, ...]]]:
    """Selector to name and argument types, of every custom error of every artifact."""
    errors = {}
    for path in ARTIFACTS.glob("*.json"):
        for entry in json.loads(path.read_bytes()).get("abi", []):  # what was compiled has none
            if entry["type"] == "error":
                types = tuple(item["type"] for item in entry["inputs"])
                errors[keccak(text=f"{entry['name']}({','.join(types)})")[:4]] = (entry["name"], types)
    errors[keccak(text="Panic(uint256)")[:4]] = ("Panic", ("uint256",))
    errors[keccak(text="Error(string)")[:4]] = ("Error", ("string",))
    return errors


def decode_refusal(failure: TransactionFailed) -> Exception:
    """Refused for a revert; the failure itself for anything else, such as running out of gas."""
    text = str(failure).removeprefix("execution reverted: ")
    if not text.startswith(("b'", 'b"')):
        return failure
    data = ast.literal_eval(text)
    if not data:
        return Refused("", ())
    name, types = get_errors()[data[:4]]
    return Refused(name, decode(types, data[4:]))
