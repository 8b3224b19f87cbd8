"""Putting a Settlement contract on a chain, and the first money into it: `tally deploy` and the development network.

Everything is sent by one local key, a few transactions at a time, and awaited until mined. This is for set-up under
somebody's eyes: what is not mined in time is explained, and left to them. What runs for years is the committer.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import rlp
from eth_account.signers.local import LocalAccount

from chain.hashing import keccak
from chain.primitives import ETHER, MAX_U64, Address, Hash
from contracts import load_artifact
from node.ethereum.abi import load_abi
from node.ethereum.endpoint import Transport
from node.ethereum.faults import EthereumFault, Reverted, RpcError
from node.ethereum.gateway import (
    classify_send_refusal,
    decode_block,
    decode_quantity,
    decode_receipt,
    find_revert,
)
from node.ethereum.l1 import MAX_WEI_PER_GAS, L1Block, SendOutcome, SendResult, TxReceipt
from node.ethereum.submission import Fees

_GAS_MARGIN_PERCENT: Final = 25
_REBROADCAST_S: Final = 12
_DEFAULT_PRIORITY_FEE: Final = 10**9
"""Wei per gas."""


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


class Quote(msgspec.Struct, frozen=True):
    """What a transaction of a key would take, as of one L1 block. All fees in wei per gas."""

    l1_chain_id: int
    nonce: int
    """The key's next, after those of its transactions that still wait."""
    waiting_count: int
    balance: int
    """Wei."""
    value: int
    """Wei that go along."""
    gas_estimate: int
    gas_limit: int
    base_fee: int | None
    """None on a chain without EIP-1559, where `fees` are of a legacy transaction."""
    fees: Fees

    @property
    def gas_price(self) -> int:
        """What is paid if the base fee stays as it is."""
        return (
            self.fees.max_fee
            if self.base_fee is None
            else min(self.fees.max_fee, self.base_fee + self.fees.priority_fee)
        )

    @property
    def most_cost(self) -> int:
        """Wei that it can cost at most, `value` included."""
        return self.gas_limit * self.fees.max_fee + self.value

    @property
    def is_payable(self) -> bool:
        """Whether the fees are enough for the block after that one."""
        return self.base_fee is None or self.fees.max_fee >= self.base_fee


class Signed(msgspec.Struct, frozen=True):
    """A transaction that anybody can send."""

    hash: Hash
    raw: bytes
    nonce: int
    fees: Fees


class NotMined(EthereumFault):
    """A transaction was sent and waited for in vain; it may still be mined."""


class Sender:
    """Sends transactions of one local key, and waits for them. Nothing else may use the key meanwhile.

    Raises `Reverted` with the contract's error, or `EthereumFault`.
    """

    def __init__(
        self,
        transport: Transport,
        account: LocalAccount,
        *,
        poll_interval_ms: int = 250,
        timeout_ms: int = 180_000,
        max_fee: int | None = None,
    ) -> None:
        """`max_fee`: cap of what is offered, wei per gas."""
        self.address: Address = bytes.fromhex(account.address[2:])
        self._transport = transport
        self._account = account
        self._poll_interval_ms = poll_interval_ms
        self._timeout_ms = timeout_ms
        self._max_fee = max_fee

    async def quote(self, call: Call) -> Quote:
        """At the fees of now. The gas is estimated first, so what the contract would refuse is refused at once."""
        gas_estimate = await self._estimate_gas(call)
        base_fee, fees = await self.suggest_fees()
        nonce, mined_nonce = [await self.get_nonce(tag) for tag in ("pending", "latest")]
        return Quote(
            l1_chain_id=await self._get_chain_id(),
            nonce=nonce,
            waiting_count=max(0, nonce - mined_nonce),
            balance=decode_quantity(await self._transport.call("eth_getBalance", [_to_hex(self.address), "latest"])),
            value=call.value,
            gas_estimate=gas_estimate,
            gas_limit=_add_margin(gas_estimate),
            base_fee=base_fee,
            fees=fees,
        )

    def sign(self, call: Call, quote: Quote) -> Signed:
        """Sends nothing."""
        fees = quote.fees
        offered = (
            {"gasPrice": fees.max_fee}
            if quote.base_fee is None
            else {"type": 2, "maxFeePerGas": fees.max_fee, "maxPriorityFeePerGas": fees.priority_fee}
        )
        signed = self._account.sign_transaction(
            {
                "chainId": quote.l1_chain_id,
                "nonce": quote.nonce,
                "gas": quote.gas_limit,
                "to": b"" if call.to is None else call.to,
                "value": call.value,
                "data": call.data,
                **offered,
            }
        )
        return Signed(bytes(signed.hash), bytes(signed.raw_transaction), quote.nonce, fees)

    async def send(self, call: Call) -> TxReceipt:
        return (await self.send_all([call]))[0]

    async def send_all(self, calls: Sequence[Call]) -> list[TxReceipt]:
        """In their order, without waiting in between: none of them may need an earlier one to be mined for its gas to
        be estimated."""
        if not calls:
            return []
        first = await self.quote(calls[0])
        estimates = await asyncio.gather(*[self._estimate_gas(call) for call in calls[1:]])
        sent = []
        for place, (call, gas_estimate) in enumerate(zip(calls, [first.gas_estimate, *estimates], strict=True)):
            signed = self.sign(
                call, msgspec.structs.replace(first, nonce=first.nonce + place, gas_limit=_add_margin(gas_estimate))
            )
            await self._transport.call("eth_sendRawTransaction", [_to_hex(signed.raw)])
            sent.append((signed, call))
        return [await self.wait([signed], call) for signed, call in sent]

    async def broadcast(self, signed: Signed) -> SendResult:
        """What the endpoint says to it is a result, not an error."""
        try:
            await self._transport.call("eth_sendRawTransaction", [_to_hex(signed.raw)])
        except RpcError as error:
            return SendResult(classify_send_refusal(error.message), error.message)
        return SendResult(SendOutcome.ACCEPTED)

    async def find_receipt(self, transactions: Sequence[Signed]) -> TxReceipt | None:
        """Of whichever of them is mined; they have one nonce."""
        for signed in transactions:
            form = await self._transport.call("eth_getTransactionReceipt", [_to_hex(signed.hash)])
            if form is not None:
                return decode_receipt(form)
        return None

    async def wait(
        self, transactions: Sequence[Signed], call: Call, report: Callable[[int, str], None] | None = None
    ) -> TxReceipt:
        """The receipt of whichever is mined of transactions that all make `call` and have one nonce.

        The last of them is sent again now and then, as endpoints forget what waits for long; an endpoint that does not
        answer is asked again. `report` hears, as often, for how many seconds it has been, and the last fault or "".
        Raises `NotMined`, `Reverted`, and `EthereumFault` for one that failed for no reason.
        """
        clock = asyncio.get_running_loop().time
        begun = said_at = clock()
        while clock() < begun + self._timeout_ms / 1000:
            receipt, problem = None, ""
            is_time_to_say = clock() >= said_at + _REBROADCAST_S
            try:
                receipt = await self.find_receipt(transactions)
                if receipt is None and is_time_to_say:
                    problem = (await self.broadcast(transactions[-1])).message
            except EthereumFault as fault:
                problem = str(fault)
            if receipt is not None:
                if not receipt.is_success:
                    await self._explain_failure(call, receipt)
                return receipt
            if is_time_to_say:
                said_at = clock()
                if report is not None:
                    report(int(said_at - begun), problem)
            await asyncio.sleep(self._poll_interval_ms / 1000)
        raise NotMined(f"{_to_hex(transactions[-1].hash)} was not mined within {self._timeout_ms // 1000} s")

    async def explain_wait(self, signed: Signed) -> str:
        """Why a transaction may not be mined yet."""
        mined_nonce = await self.get_nonce("latest")
        if mined_nonce > signed.nonce:
            return f"its nonce {signed.nonce} was used by another transaction of the key, so it can never be mined"
        if mined_nonce < signed.nonce:
            return f"{signed.nonce - mined_nonce} earlier transactions of the key must be mined before it"
        base_fee = (await self.get_block("latest")).base_fee
        if base_fee is not None and base_fee > signed.fees.max_fee:
            return f"it offers at most {signed.fees.max_fee} wei per gas, and a block asks for {base_fee} now"
        if await self._transport.call("eth_getTransactionByHash", [_to_hex(signed.hash)]) is None:
            return "the endpoint does not have it any more"
        return f"others may offer more to who makes the blocks than its {signed.fees.priority_fee} wei per gas"

    async def get_nonce(self, tag: str) -> int:
        nonce = await self._transport.call("eth_getTransactionCount", [_to_hex(self.address), tag])
        return decode_quantity(nonce, MAX_U64)

    async def get_block(self, at: int | str) -> L1Block:
        tag = hex(at) if isinstance(at, int) else at
        return decode_block(await self._transport.call("eth_getBlockByNumber", [tag, False]))

    async def suggest_fees(self) -> tuple[int | None, Fees]:
        """(base fee, what to offer), wei per gas, never above the cap. Twice the base fee, so that it may double: what
        is not needed of it is not paid."""
        base_fee = (await self.get_block("latest")).base_fee
        if base_fee is None:
            gas_price = decode_quantity(await self._transport.call("eth_gasPrice", []), MAX_WEI_PER_GAS)
            return None, self._cap(Fees(gas_price, gas_price))
        try:
            priority_fee = decode_quantity(await self._transport.call("eth_maxPriorityFeePerGas", []), MAX_WEI_PER_GAS)
        except RpcError:  # a client that has no opinion
            priority_fee = _DEFAULT_PRIORITY_FEE
        return base_fee, self._cap(Fees(2 * base_fee + priority_fee, priority_fee))

    def _cap(self, fees: Fees) -> Fees:
        if self._max_fee is None:
            return fees
        max_fee = min(fees.max_fee, self._max_fee)
        return Fees(max_fee, min(fees.priority_fee, max_fee))

    async def _get_chain_id(self) -> int:
        return decode_quantity(await self._transport.call("eth_chainId", []), MAX_U64)

    async def _estimate_gas(self, call: Call) -> int:
        try:
            estimate = await self._transport.call("eth_estimateGas", [self._describe(call), "latest"])
        except RpcError as error:
            raise _explain(error) from error
        return decode_quantity(estimate, MAX_U64)

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
    return Call(None, load_artifact("Settlement").bytecode + encode_constructor(parameters, assets))


def encode_constructor(parameters: SettlementParameters, assets: Sequence[Address]) -> bytes:
    """The constructor's arguments, as they follow the code."""
    values = tuple([getattr(parameters, field) for field in parameters.__struct_fields__])
    return load_abi("Settlement").encode_constructor(values, list(assets))


def compute_contract_address(creator: Address, nonce: int) -> Address:
    """Of the contract that its creator's transaction of that nonce makes, so transactions of one nonce make one at most
    (Yellow Paper, section 7)."""
    return keccak(rlp.encode([creator, nonce]))[12:]


async def deploy_settlement(sender: Sender, parameters: SettlementParameters, assets: Sequence[Address]) -> Deployed:
    return await _deploy(sender, make_settlement_call(parameters, assets))


async def deploy_test_token(sender: Sender) -> Deployed:
    """Tally Token: anybody may mint it, so it is worth nothing, anywhere."""
    return await _deploy(sender, Call(None, load_artifact("TestToken").bytecode))


async def _deploy(sender: Sender, call: Call) -> Deployed:
    return await describe_deployed(sender, await sender.send(call))


async def describe_deployed(sender: Sender, receipt: TxReceipt) -> Deployed:
    """What a creating transaction made."""
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


def _add_margin(gas: int) -> int:
    return gas * (100 + _GAS_MARGIN_PERCENT) // 100


def _to_hex(value: bytes) -> str:
    return "0x" + value.hex()
