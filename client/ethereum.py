"""The user's side of Ethereum: putting money into the ledger, and taking it out.

Transactions are signed here with the wallet's key and sent as raw bytes; the endpoint never sees a key. Every call
waits until its transaction is mined, and raises if it was refused, with the contract's own name for the reason.
"""

import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import msgspec
from eth_abi.abi import decode as decode_abi
from eth_abi.abi import encode as encode_abi
from eth_abi.exceptions import DecodingError
from eth_account import Account

from chain import wire
from chain.commitment import AssetCommitment, Commitment, hash_commitment
from chain.errors import InvalidProof
from chain.evidence import WithdrawalClaim, check_withdrawal_claim, get_line
from chain.hashing import keccak
from chain.kinds import WITHDRAW
from chain.params import Domain
from chain.primitives import ETHER, MAX_U64, Address, Hash, Signature
from chain.receipt import Inclusion
from client.errors import BadReply, ClientError, RpcError, Unreachable
from client.keys import SigningKey
from client.protocol import PaymentProof
from client.settlement import (
    COMMITMENT_ABI,
    DEPOSITED_TOPIC,
    Deposited,
    Ethereum,
    Facts,
    SettlementReader,
    decode_deposited,
    decode_words,
    find_logs,
    is_stored,
    read_data,
    read_quantity,
)
from contracts import load_artifact

GAS_MARGIN_PERCENT: Final = 20
"""Added to what the endpoint estimates: state may change before the transaction is mined."""
DEFAULT_TIP_WEI: Final = 1_000_000_000
"""Where the endpoint does not suggest one."""
PERMIT_VALIDITY_S: Final = 3600
_POLL_S: Final = 0.5

_COMMIT: Final = f"commit({COMMITMENT_ABI},{COMMITMENT_ABI},bytes)"
_CLAIM: Final = f"claimWithdrawal({COMMITMENT_ABI},uint64,uint256,uint64,bytes32,address,uint128,(bytes32,uint128)[])"
_PERMIT_TYPE_HASH: Final = keccak(b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")


class Reverted(ClientError):
    """A contract said no: by the name of its custom error with its arguments, or in its own words."""


class NotMined(ClientError):
    """The transaction was sent and is not in a block yet. It may still get there."""

    def __init__(self, l1_transaction: Hash, timeout_s: float) -> None:
        super().__init__(f"transaction {wire.encode_bytes(l1_transaction)} is not mined after {timeout_s:g} s")
        self.l1_transaction = l1_transaction


class NotClaimable(ClientError):
    """The withdrawal cannot be claimed; with `is_early`, not yet, and `ready_at` (Unix seconds) if it is known when."""

    def __init__(self, message: str, *, is_early: bool = False, ready_at: int | None = None) -> None:
        super().__init__(message)
        self.is_early = is_early
        self.ready_at = ready_at


class TxReceipt(msgspec.Struct, frozen=True):
    l1_transaction: Hash
    l1_block: int
    gas_used: int
    form: dict[str, Any]


class Quote(msgspec.Struct, frozen=True):
    """What a transaction would take now. Wei per gas."""

    gas_limit: int
    max_fee: int
    base_fee: int | None
    """Of the newest L1 block; None on a chain without."""

    @property
    def most_cost(self) -> int:
        """Wei that it can cost at most."""
        return self.gas_limit * self.max_fee


class Sender:
    """Sends the transactions of one key through one endpoint, one after the other."""

    def __init__(
        self,
        ethereum: Ethereum,
        key: SigningKey,
        *,
        timeout_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.ethereum = ethereum
        self._key = key
        self._timeout_s = timeout_s
        self._clock = clock
        self._sleep = sleep

    @property
    def address(self) -> Address:
        return self._key.address

    def send(self, to: Address, data: bytes, value_wei: int = 0) -> TxReceipt:
        """Returns once it is mined. Raises `Reverted`, `NotMined`, `Unreachable`, `BadReply`, `RpcError`."""
        transaction = self._prepare(to, data, value_wei)
        signed = Account.sign_transaction(transaction, self._key.export_secret())
        l1_transaction = Hash(signed.hash)
        try:
            self.ethereum.ask("eth_sendRawTransaction", wire.encode_bytes(bytes(signed.raw_transaction)))
        except RpcError as error:
            # A retry after a lost answer finds its own transaction there: that is a success.
            if "already known" not in error.message.lower() and self.ethereum.get_tx_receipt(l1_transaction) is None:
                raise
        return self._wait(l1_transaction, to, data, value_wei)

    def quote(self, to: Address, data: bytes, value_wei: int = 0) -> Quote:
        """What `send` would take now, without sending. Raises `Reverted` for what the contract would not take."""
        call = {
            "from": wire.encode_address(self.address),
            "to": wire.encode_address(to),
            "data": wire.encode_bytes(data),
            "value": hex(value_wei),
        }
        self._ask_contract("eth_call", call, "latest")
        transaction = self._prepare(to, data, value_wei)
        base_fee = (self.ethereum.get_block_form("latest") or {}).get("baseFeePerGas")
        return Quote(
            gas_limit=transaction["gas"],
            max_fee=transaction.get("maxFeePerGas") or transaction["gasPrice"],
            base_fee=None if base_fee is None else read_quantity(base_fee, "baseFeePerGas"),
        )

    def get_balance(self) -> int:
        """Wei."""
        return get_balance(self.ethereum, ETHER, self.address)

    def sign(self, digest: Hash) -> tuple[int, Hash, Hash]:
        """(v, r, s)"""
        signature = self._key.sign(digest)
        return signature[64], signature[:32], signature[32:64]

    def _prepare(self, to: Address, data: bytes, value_wei: int) -> dict[str, Any]:
        call = {
            "from": wire.encode_address(self.address),
            "to": wire.encode_address(to),
            "data": wire.encode_bytes(data),
            "value": hex(value_wei),
        }
        gas = read_quantity(self._ask_contract("eth_estimateGas", call), "eth_estimateGas", MAX_U64)
        nonce = self.ethereum.ask("eth_getTransactionCount", wire.encode_address(self.address), "pending")
        return {
            "chainId": self.ethereum.get_chain_id(),
            "nonce": read_quantity(nonce, "nonce", MAX_U64),
            "to": wire.encode_address(to),
            "data": data,
            "value": value_wei,
            "gas": gas * (100 + GAS_MARGIN_PERCENT) // 100,
            **self._choose_fees(),
        }

    def _choose_fees(self) -> dict[str, int]:
        """Twice the base fee, so that it may double six times over; what is not needed is not paid (EIP-1559)."""
        block = self.ethereum.get_block_form("latest") or {}
        if block.get("baseFeePerGas") is None:
            return {"gasPrice": read_quantity(self.ethereum.ask("eth_gasPrice"), "eth_gasPrice")}
        try:
            tip = read_quantity(self.ethereum.ask("eth_maxPriorityFeePerGas"), "eth_maxPriorityFeePerGas")
        except RpcError:
            tip = DEFAULT_TIP_WEI
        base_fee = read_quantity(block["baseFeePerGas"], "baseFeePerGas")
        return {"maxFeePerGas": 2 * base_fee + tip, "maxPriorityFeePerGas": tip}

    def _wait(self, l1_transaction: Hash, to: Address, data: bytes, value_wei: int) -> TxReceipt:
        deadline = self._clock() + self._timeout_s
        while True:
            form = self.ethereum.get_tx_receipt(l1_transaction)
            if form is not None and form.get("blockNumber") is not None:
                break
            if self._clock() >= deadline:
                raise NotMined(l1_transaction, self._timeout_s)
            self._sleep(_POLL_S)
        receipt = TxReceipt(
            l1_transaction=l1_transaction,
            l1_block=read_quantity(form["blockNumber"], "blockNumber", MAX_U64),
            gas_used=read_quantity(form.get("gasUsed"), "gasUsed", MAX_U64),
            form=form,
        )
        if read_quantity(form.get("status"), "status", 1) == 0:
            raise Reverted(self._explain(receipt, to, data, value_wei))
        return receipt

    def _explain(self, receipt: TxReceipt, to: Address, data: bytes, value_wei: int) -> str:
        """Why a mined transaction failed: the same call on the state before its block says so, most often."""
        name = wire.encode_bytes(receipt.l1_transaction)
        call = {
            "from": wire.encode_address(self.address),
            "to": wire.encode_address(to),
            "data": wire.encode_bytes(data),
            "value": hex(value_wei),
        }
        try:
            self._ask_contract("eth_call", call, hex(receipt.l1_block - 1))
        except Reverted as reverted:
            return f"transaction {name} failed: {reverted}"
        except (RpcError, Unreachable, BadReply) as error:
            return f"transaction {name} failed; asking why failed too: {error}"
        return f"transaction {name} failed, though the same call succeeds on the block before"

    def _ask_contract(self, method: str, *params: Any) -> Any:
        try:
            return self.ethereum.ask(method, *params)
        except RpcError as error:
            reason = describe_revert(error)
            if reason is None:
                raise
            raise Reverted(reason) from error


class Token:
    """An ERC-20 token as a user needs it."""

    def __init__(self, ethereum: Ethereum, address: Address) -> None:
        self._ethereum = ethereum
        self.address = address

    def get_balance(self, owner: Address) -> int:
        return self._read_uint("balanceOf(address)", encode_abi(["address"], [owner]))

    def get_allowance(self, owner: Address, spender: Address) -> int:
        return self._read_uint("allowance(address,address)", encode_abi(["address", "address"], [owner, spender]))

    def get_permit_nonce(self, owner: Address) -> int:
        return self._read_uint("nonces(address)", encode_abi(["address"], [owner]))

    def get_decimals(self) -> int:
        return self._read_uint("decimals()")

    def compute_permit_digest(self, owner: Address, spender: Address, amount: int, nonce: int, deadline: int) -> Hash:
        """What EIP-2612 has the owner sign, for the domain that the token itself names."""
        separator = self._read("DOMAIN_SEPARATOR()")
        types = ["bytes32", "address", "address", "uint256", "uint256", "uint256"]
        struct_hash = keccak(encode_abi(types, [_PERMIT_TYPE_HASH, owner, spender, amount, nonce, deadline]))
        return keccak(b"\x19\x01" + separator + struct_hash)

    def _read_uint(self, signature: str, arguments: bytes = b"") -> int:
        (value,) = decode_words(["uint256"], self._read(signature, arguments))
        return int(value)

    def _read(self, signature: str, arguments: bytes = b"") -> bytes:
        data = wire.encode_bytes(keccak(signature.encode())[:4] + arguments)
        call = {"to": wire.encode_address(self.address), "data": data}
        return read_data(self._ethereum.ask("eth_call", call, "latest"), signature)


class SettlementUser:
    """One user of one Settlement contract. All amounts are base units."""

    def __init__(self, sender: Sender, settlement: Address, *, clock: Callable[[], float] = time.time) -> None:
        self.sender = sender
        self.reader = SettlementReader(sender.ethereum, settlement)
        self._clock = clock

    @property
    def settlement(self) -> Address:
        return self.reader.address

    def deposit(self, asset: Address, amount: int, account: Address | None = None) -> tuple[Deposited, TxReceipt]:
        """Pays `amount` into the ledger for `account` (None: the sender's own), approving the contract first if it may
        not take that much yet. Ether is an asset like any other."""
        account = account or self.sender.address
        if asset == ETHER:
            data = _encode("depositEther(address)", ["address"], [account])
            return self._read_deposit(self.sender.send(self.settlement, data, amount))
        token = Token(self.sender.ethereum, asset)
        allowance = token.get_allowance(self.sender.address, self.settlement)
        if allowance < amount:
            if allowance:  # some tokens change an allowance only from zero
                self._approve(asset, 0)
            self._approve(asset, amount)
        types = ["address", "address", "uint128"]
        data = _encode("deposit(address,address,uint128)", types, [asset, account, amount])
        return self._read_deposit(self.sender.send(self.settlement, data))

    def deposit_with_permit(
        self, asset: Address, amount: int, account: Address | None = None
    ) -> tuple[Deposited, TxReceipt]:
        """One transaction instead of two, for tokens that know EIP-2612."""
        account = account or self.sender.address
        token, owner = Token(self.sender.ethereum, asset), self.sender.address
        deadline = int(self._clock()) + PERMIT_VALIDITY_S
        digest = token.compute_permit_digest(owner, self.settlement, amount, token.get_permit_nonce(owner), deadline)
        data = _encode(
            "depositWithPermit(address,address,uint128,uint256,uint8,bytes32,bytes32)",
            ["address", "address", "uint128", "uint256", "uint8", "bytes32", "bytes32"],
            [asset, account, amount, deadline, *self.sender.sign(digest)],
        )
        return self._read_deposit(self.sender.send(self.settlement, data))

    def claim(self, proof: PaymentProof) -> TxReceipt:
        """Claims a withdrawal, moving `finalEpoch` up to its epoch where that is due. Needs no operator: the proof may
        come from the client's own disk, and what else is needed stands in the contract's logs.

        Raises `InvalidProof` for a proof that does not hold against the contract; `NotClaimable` when its epoch is not
        committed or may still be questioned, or it was paid already; and what sending raises.
        """
        facts = self.reader.read_facts()
        inclusion, claim, asset_index = self._check_claim(proof, facts)
        epoch = inclusion.commitment.epoch
        if self.reader.is_claimed(epoch, claim.asset, claim.index):
            raise NotClaimable(f"withdrawal {wire.encode_bytes(claim.withdrawal.id)} has been paid")
        self._make_final(epoch, facts)
        arguments = [
            _pack_commitment(inclusion.commitment),
            inclusion.included_at,
            asset_index,
            claim.index,
            claim.withdrawal.id,
            claim.withdrawal.recipient,
            claim.withdrawal.amount,
            list(claim.siblings),
        ]
        types = [COMMITMENT_ABI, "uint64", "uint256", "uint64", "bytes32", "address", "uint128", "(bytes32,uint128)[]"]
        return self.sender.send(self.settlement, _encode(_CLAIM, types, arguments))

    def quote_commit(self, previous: Commitment, commitment: Commitment, signature: Signature) -> Quote:
        """What `commit` would take now. Raises `Reverted` for what the contract would not take."""
        return self.sender.quote(self.settlement, _encode_commit(previous, commitment, signature))

    def commit(self, previous: Commitment, commitment: Commitment, signature: Signature) -> TxReceipt:
        """Submits a commitment that the operator has signed. Anybody may."""
        return self.sender.send(self.settlement, _encode_commit(previous, commitment, signature))

    def _check_claim(self, proof: PaymentProof, facts: Facts) -> tuple[Inclusion, WithdrawalClaim, int]:
        receipt, claim = proof.receipt.receipt, proof.withdrawal
        payment = receipt.signed.payment
        if payment.kind != WITHDRAW:
            raise InvalidProof(f"payment {wire.encode_bytes(receipt.signed.id)} is a {payment.kind}, not a withdrawal")
        if receipt.inclusion is None or claim is None:
            raise NotClaimable("the withdrawal is not committed to Ethereum yet", is_early=True)
        commitment = receipt.inclusion.commitment
        digest = hash_commitment(commitment, Domain.of(facts.l1_chain_id, self.settlement))
        stored = self.reader.get_commitment_hash(commitment.epoch)
        if not is_stored(stored, digest, receipt.inclusion.included_at):
            raise InvalidProof(f"the contract stores another commitment for epoch {commitment.epoch}")
        if claim.withdrawal.id != receipt.signed.id:
            raise InvalidProof("the claim is of another withdrawal")
        check_withdrawal_claim(claim, commitment)
        return receipt.inclusion, claim, get_line(commitment, claim.asset)[1]

    def _make_final(self, epoch: int, facts: Facts) -> None:
        head = self.reader.get_head()
        if head.final_epoch >= epoch:
            return
        latest = self.sender.ethereum.get_block("latest")
        now = latest.timestamp if latest else 0
        for committed in self.reader.read_committed(head.final_epoch + 1, facts.deployed_at):
            if committed.commitment.epoch > epoch:
                return
            ready_at = committed.included_at + facts.challenge_period + 1
            if now < ready_at:
                problem = f"epoch {committed.commitment.epoch} may be questioned for another {ready_at - now} s"
                raise NotClaimable(problem, is_early=True, ready_at=ready_at)
            data = _encode(
                "advanceFinalEpoch(bytes32,uint64)", ["bytes32", "uint64"], [committed.digest, committed.included_at]
            )
            self.sender.send(self.settlement, data)

    def _approve(self, asset: Address, amount: int) -> None:
        data = _encode("approve(address,uint256)", ["address", "uint256"], [self.settlement, amount])
        self.sender.send(asset, data)

    def _read_deposit(self, receipt: TxReceipt) -> tuple[Deposited, TxReceipt]:
        logs = find_logs(receipt.form, self.settlement, DEPOSITED_TOPIC)
        if len(logs) != 1:
            raise BadReply(f"transaction {wire.encode_bytes(receipt.l1_transaction)} emitted {len(logs)} deposits")
        return decode_deposited(logs[0]), receipt


def get_balance(ethereum: Ethereum, asset: Address, owner: Address) -> int:
    """Base units that an address holds on Ethereum itself; wei of ether."""
    if asset != ETHER:
        return Token(ethereum, asset).get_balance(owner)
    return read_quantity(ethereum.ask("eth_getBalance", wire.encode_address(owner), "latest"), "eth_getBalance")


def describe_revert(error: RpcError) -> str | None:
    """The reason in an endpoint's error; None if the error is not a revert.

    Endpoints put the revert's bytes into `data`, bare or within an object; some give words alone.
    """
    data = error.data.get("data") if isinstance(error.data, dict) else error.data
    if isinstance(data, str) and data.startswith("0x") and len(data) >= 10:
        return decode_revert(read_data(data, "revert data"))
    return error.message if "revert" in error.message.lower() else None


def decode_revert(data: bytes) -> str:
    """`Name(argument=value, …)` of a custom error of ours, the text of `Error(string)`, or the bytes in hex."""
    selector, arguments = data[:4], data[4:]
    for name, members in _collect_errors().get(selector, ()):
        try:
            values = decode_abi([kind for _, kind in members], arguments)
        except DecodingError:
            continue
        shown = [f"{member}={_show(value)}" for (member, _), value in zip(members, values, strict=True)]
        return f"{name}({', '.join(shown)})"
    return wire.encode_bytes(data)


@cache
def _collect_errors() -> dict[bytes, list[tuple[str, list[tuple[str, str]]]]]:
    """Selector → (name, [(argument, type)]) of every error of our contracts, and of the two built into Solidity."""
    found: dict[bytes, list[tuple[str, list[tuple[str, str]]]]] = {}
    for name, members in _iterate_errors():
        selector = keccak(f"{name}({','.join([kind for _, kind in members])})".encode())[:4]
        found.setdefault(selector, []).append((name, members))
    return found


def _iterate_errors() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    yield "Error", [("reason", "string")]
    yield "Panic", [("code", "uint256")]
    for contract in ("Settlement", "TestToken"):
        for item in load_artifact(contract).abi:
            if item["type"] == "error":
                yield item["name"], [(member["name"], member["type"]) for member in item["inputs"]]


def _show(value: Any) -> str:
    return wire.encode_bytes(value) if isinstance(value, bytes) else str(value)


def _encode(signature: str, types: list[str], arguments: list[Any]) -> bytes:
    return keccak(signature.encode())[:4] + encode_abi(types, arguments)


def _encode_commit(previous: Commitment, commitment: Commitment, signature: Signature) -> bytes:
    arguments = [_pack_commitment(previous), _pack_commitment(commitment), signature]
    return _encode(_COMMIT, [COMMITMENT_ABI, COMMITMENT_ABI, "bytes"], arguments)


def _pack_commitment(commitment: Commitment) -> tuple[Any, ...]:
    """In the order of the Solidity struct."""
    return (
        commitment.epoch,
        commitment.previous,
        commitment.first_block,
        commitment.last_block,
        commitment.cut_at,
        commitment.blocks_root,
        commitment.extra_root,
        [_pack_line(line) for line in commitment.assets],
    )


def _pack_line(line: AssetCommitment) -> tuple[Any, ...]:
    return (
        line.asset,
        line.state_root,
        line.total,
        line.account_count,
        line.deposit_count,
        line.forced_count,
        line.withdrawals_root,
        line.withdrawal_count,
        line.withdrawn,
    )
