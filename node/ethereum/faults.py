"""What can be wrong with Ethereum, seen from here. Refusals and broken invariants are `chain.errors`."""

from typing import Any, Literal

import msgspec


class EthereumFault(Exception):
    """An outside fault: no answer, a late or malformed one, one that contradicts another. Its owner tries again."""


class RpcError(EthereumFault):
    """The endpoint answered, with an error object of JSON-RPC 2.0."""

    def __init__(self, method: str, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{method}: {message} ({code})")
        self.code = code
        self.message = message
        self.data = data


class FinalityWentBack(EthereumFault):
    """A block that was final is not even there any more, for as many endpoints as must agree."""


class WrongDeployment(Exception):
    """The endpoint serves another chain, or the contract is not there or not the one this ledger was begun with.

    No retry heals it, nothing may be sent or credited while it lasts: somebody must look at the configuration.
    """

    def __init__(self, code: Literal["wrong_chain", "no_contract", "wrong_contract"], problem: str) -> None:
        super().__init__(problem)
        self.code = code


class Reverted(Exception):
    """The contract said no. An answer, not a fault."""

    def __init__(self, error: "ContractError") -> None:
        super().__init__(str(error))
        self.error = error


class ContractError(msgspec.Struct, frozen=True):
    """A decoded revert: a custom error of the contract, or `Error(string)`, `Panic(uint256)`, `unknown`."""

    name: str
    arguments: tuple[tuple[str, str], ...] = ()
    """(argument name, its value as text)"""

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in self.arguments)})"
