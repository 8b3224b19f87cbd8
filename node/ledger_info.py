"""What `tally_getInfo` says of the ledger: whom it settles with, what it holds, how far it is."""

from collections.abc import Callable
from typing import Any

import msgspec

from chain import wire
from chain.params import Domain, Parameters
from chain.primitives import ETHER, Address


class AssetInfo(msgspec.Struct, frozen=True):
    symbol: str | None
    """As the token says; None while Ethereum has not been asked."""
    decimals: int | None


ETHER_INFO = AssetInfo("ETH", 18)


class Position(msgspec.Struct, frozen=True):
    """How far the ledger is."""

    epoch: int
    head_block: int
    sealed_epoch: int
    mined_epoch: int
    final_epoch: int


class LedgerInfo:
    def __init__(self, parameters: Parameters, operator: Address, get_position: Callable[[], Position]) -> None:
        self._parameters = parameters
        self._operator = operator
        self._get_position = get_position
        self.assets: dict[Address, AssetInfo] = {}
        """In the contract's order."""

    @property
    def domain(self) -> Domain:
        return self._parameters.domain

    @property
    def native_asset(self) -> Address:
        return self._parameters.native_asset

    @property
    def position(self) -> Position:
        return self._get_position()

    def take_asset(self, asset: Address, info: AssetInfo | None = None) -> None:
        self.assets[asset] = ETHER_INFO if asset == ETHER else info or AssetInfo(None, None)

    def describe(self) -> dict[str, Any]:
        parameters, position = self._parameters, self.position
        return {
            "ledgerChainId": hex(parameters.domain.chain_id),
            "domain": wire.encode_domain(parameters.domain),
            "settlement": wire.encode_address(parameters.settlement),
            "l1ChainId": hex(parameters.l1_chain_id),
            "operator": wire.encode_address(self._operator),
            "assets": [
                {
                    "address": wire.encode_address(asset),
                    "symbol": info.symbol,
                    "decimals": None if info.decimals is None else hex(info.decimals),
                    "native": asset == parameters.native_asset,
                }
                for asset, info in self.assets.items()
            ],
            "epoch": hex(position.epoch),
            "headBlock": hex(position.head_block),
            "lastCommitment": {
                "sealed": hex(position.sealed_epoch),
                "mined": hex(position.mined_epoch),
                "final": hex(position.final_epoch),
            },
            "parameters": parameters.to_json(),
        }
