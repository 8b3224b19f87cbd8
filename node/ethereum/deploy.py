"""Putting a Settlement contract on a chain, and the first money into it: `tally deploy` and the development network.

Everything is sent by one local key, a few transactions at a time, and awaited until mined. This is for set-up under
somebody's eyes: a fault ends it, and nothing is sent again. What runs for years is the committer.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from eth_account.signers.local import LocalAccount

from chain.primitives import ETHER, MAX_U64, Address, Hash
from contracts import load_artifact
from node.ethereum.abi import load_abi
from node.ethereum.endpoint import Transport
from node.ethereum.faults import EthereumFault, Reverted, RpcError
from node.ethereum.gateway import (
    decode_block,
    decode_quantity,
    decode_receipt,
    find_revert,
)
from node.ethereum.l1 import MAX_WEI_PER_GAS, L1Block, TxReceipt

_GAS_MARGIN_PERCENT: Final = 25


class SettlementParameters(msgspec.Struct, frozen=True):
    """The constructor's, in its order. Periods in seconds."""

    operator: Address
    cold_key: Address
    listing_key: Address
    native_asset: Address
    challenge_period: int
    answer_period: int
    follow_up: int
    min_interval: int
    max_silence: int
    listing_delay: int


class Deployed(msgspec.Struct, frozen=True):
    address: Address
    l1_transaction: Hash
    l1_block: int
    deployed_at: int
    """Seconds: the time of that block."""
    gas_used: int
    cost: int
    """Wei."""


class Call(msgspec.Struct, frozen=True):
    """One transaction to be sent."""

    to: Address | None
    """None creates a contract."""
    data: bytes = b""
    value: int = 0
    """Wei."""


class Sender:
    """Sends transactions of one local key, and waits for them. Nothing else may use the key meanwhile.

    Raises `Reverted` with the contract's error, or `EthereumFault`.
    """

    def __init__(
        self, transport: Transport, account: LocalAccount, *, poll_interval_ms: int = 250, timeout_ms: int = 180_000
    ) -> None:
        self.address: Address = bytes.fromhex(account.address[2:])
        self._transport = transport
        self._account = account
        self._poll_interval_ms = poll_interval_ms
        self._timeout_ms = timeout_ms

    async def estimate_cost(self, call: Call) -> int:
        """Wei that it may cost at most at the fees of now, `value` included."""
        return await self._estimate_gas(call) * (await self._suggest_fees())[0] + call.value

    async def send(self, call: Call) -> TxReceipt:
        return (await self.send_all([call]))[0]

    async def send_all(self, calls: Sequence[Call]) -> list[TxReceipt]:
        """In their order, without waiting in between: none of them may need an earlier one to be mined for its gas to
        be estimated."""
        chain_id = decode_quantity(await self._transport.call("eth_chainId", []), MAX_U64)
        first_nonce = decode_quantity(
            await self._transport.call("eth_getTransactionCount", [_to_hex(self.address), "pending"]), MAX_U64
        )
        max_fee, priority_fee = await self._suggest_fees()
        gas_limits = await asyncio.gather(*[self._estimate_gas(call) for call in calls])
        sent = []
        for nonce, (call, gas_limit) in enumerate(zip(calls, gas_limits, strict=True), first_nonce):
            signed = self._account.sign_transaction(
                {
                    "type": 2,
                    "chainId": chain_id,
                    "nonce": nonce,
                    "gas": gas_limit,
                    "maxFeePerGas": max_fee,
                    "maxPriorityFeePerGas": priority_fee,
                    "to": b"" if call.to is None else call.to,
                    "value": call.value,
                    "data": call.data,
                }
            )
            await self._transport.call("eth_sendRawTransaction", [_to_hex(bytes(signed.raw_transaction))])
            sent.append((bytes(signed.hash), call))
        return [await self._wait(l1_transaction, call) for l1_transaction, call in sent]

    async def get_block(self, at: int | str) -> L1Block:
        tag = hex(at) if isinstance(at, int) else at
        return decode_block(await self._transport.call("eth_getBlockByNumber", [tag, False]))

    async def _suggest_fees(self) -> tuple[int, int]:
        """(max fee, priority fee), wei per gas."""
        latest = await self.get_block("latest")
        priority_fee = decode_quantity(await self._transport.call("eth_maxPriorityFeePerGas", []), MAX_WEI_PER_GAS)
        return 2 * latest.base_fee + priority_fee, priority_fee

    async def _estimate_gas(self, call: Call) -> int:
        try:
            estimate = await self._transport.call("eth_estimateGas", [self._describe(call), "latest"])
        except RpcError as error:
            raise _explain(error) from error
        return decode_quantity(estimate, MAX_U64) * (100 + _GAS_MARGIN_PERCENT) // 100

    async def _wait(self, l1_transaction: Hash, call: Call) -> TxReceipt:
        deadline = asyncio.get_running_loop().time() + self._timeout_ms / 1000
        while asyncio.get_running_loop().time() < deadline:
            form = await self._transport.call("eth_getTransactionReceipt", [_to_hex(l1_transaction)])
            if form is not None:
                receipt = decode_receipt(form)
                if not receipt.is_success:
                    await self._explain_failure(call, receipt)
                return receipt
            await asyncio.sleep(self._poll_interval_ms / 1000)
        raise EthereumFault(f"{_to_hex(l1_transaction)} was not mined within {self._timeout_ms} ms")

    async def _explain_failure(self, call: Call, receipt: TxReceipt) -> None:
        try:
            await self._transport.call("eth_call", [self._describe(call), hex(receipt.l1_block)])
        except RpcError as error:
            raise _explain(error) from error
        raise EthereumFault(f"{_to_hex(receipt.l1_transaction)} failed; played again, it does not")

    def _describe(self, call: Call) -> dict[str, str]:
        form = {"from": _to_hex(self.address), "data": _to_hex(call.data), "value": hex(call.value)}
        return form if call.to is None else {**form, "to": _to_hex(call.to)}


# --- contracts


def make_settlement_call(parameters: SettlementParameters, assets: Sequence[Address]) -> Call:
    """What creates the contract, with `assets` listed at once."""
    values = tuple([getattr(parameters, field) for field in parameters.__struct_fields__])
    constructor = load_abi("Settlement").encode_constructor(values, list(assets))
    return Call(None, load_artifact("Settlement").bytecode + constructor)


async def deploy_settlement(sender: Sender, parameters: SettlementParameters, assets: Sequence[Address]) -> Deployed:
    return await _deploy(sender, make_settlement_call(parameters, assets))


async def deploy_test_token(sender: Sender) -> Deployed:
    """Tally Token: anybody may mint it, so it is worth nothing, anywhere."""
    return await _deploy(sender, Call(None, load_artifact("TestToken").bytecode))


async def _deploy(sender: Sender, call: Call) -> Deployed:
    receipt = await sender.send(call)
    if receipt.contract is None:
        raise EthereumFault(f"{_to_hex(receipt.l1_transaction)} created no contract")
    block = await sender.get_block(receipt.l1_block)
    return Deployed(
        address=receipt.contract,
        l1_transaction=receipt.l1_transaction,
        l1_block=receipt.l1_block,
        deployed_at=block.timestamp,
        gas_used=receipt.gas_used,
        cost=receipt.gas_used * receipt.effective_gas_price,
    )


# --- the first money


def make_mint(token: Address, to: Address, amount: int) -> Call:
    """Of the test token."""
    return Call(token, load_abi("TestToken").encode_call("mint", to, amount))


def make_approval(token: Address, spender: Address, amount: int) -> Call:
    return Call(token, load_abi("TestToken").encode_call("approve", spender, amount))


def make_deposit_call(settlement: Address, asset: Address, account: Address, amount: int) -> Call:
    """For `account`, paid by the sender; a token must have been approved before."""
    abi = load_abi("Settlement")
    if asset == ETHER:
        return Call(settlement, abi.encode_call("depositEther", account), value=amount)
    return Call(settlement, abi.encode_call("deposit", asset, account, amount))


def _explain(error: RpcError) -> Exception:
    """The contract's refusal, if it is one. The error as it came, if not."""
    revert = find_revert(error)
    return error if revert is None else Reverted(load_abi("Settlement").decode_error(revert))


def _to_hex(value: bytes) -> str:
    return "0x" + value.hex()
