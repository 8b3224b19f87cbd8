"""The user's transactions, against a contract that is only pretended: what is sent, when, and what is said of failures.

Deposits and claims on a real chain are tests of `tests/integration`.
"""

from typing import Any

import msgspec
import pytest
import rlp
from eth_abi.abi import encode as encode_abi
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from chain import wire
from chain.errors import InvalidProof
from chain.hashing import keccak
from chain.primitives import ETHER
from client.errors import BadReply, RpcError
from client.ethereum import (
    NotClaimable,
    NotMined,
    Reverted,
    Sender,
    SettlementUser,
    Token,
    decode_revert,
    describe_revert,
    get_balance,
)
from client.keys import SigningKey
from client.protocol import PaymentProof, decode_payment_proof
from client.settlement import Ethereum
from tests.unit.client.ledger_server import LedgerServer
from tests.unit.client.scene import ALICE, ALICE_KEY, BOB, CHALLENGE_PERIOD, SETTLEMENT, TOKEN, Contract, Scene


class Chain(Contract):
    """Takes transactions, and mines each at once; what their calls do is not played, but for deposits' logs."""

    def __init__(self, scene: Scene, **options: Any) -> None:
        super().__init__(scene, **options)
        self.transactions: list[dict[str, Any]] = []
        self.receipts: dict[str, dict[str, Any]] = {}
        self.status = 1
        self.allowance = 0
        self.base_fee: int | None = 7
        self.is_mining = True

    def eth_getBlockByNumber(self, tag: str, full: bool) -> Any:
        block = super().eth_getBlockByNumber(tag, full)
        return {**block, **({} if self.base_fee is None else {"baseFeePerGas": hex(self.base_fee)})}

    def eth_getTransactionCount(self, address: str, tag: str) -> str:
        assert tag == "pending"
        return hex(len(self.transactions))

    def eth_estimateGas(self, call: dict[str, str]) -> str:
        return hex(100_000)

    def eth_maxPriorityFeePerGas(self) -> str:
        return hex(3)

    def eth_gasPrice(self) -> str:
        return hex(11)

    def eth_getBalance(self, address: str, tag: str) -> str:
        return hex(5)

    def eth_call(self, call: dict[str, str], tag: str) -> str:
        if bytes.fromhex(call["to"][2:]) != TOKEN:
            return super().eth_call(call, tag)
        selector = call["data"][:10]
        values = {"allowance(address,address)": self.allowance, "balanceOf(address)": 9, "nonces(address)": 4}
        for signature, value in values.items():
            if selector == "0x" + keccak(signature.encode())[:4].hex():
                return hex(value).replace("0x", "0x" + "0" * (64 - len(hex(value)) + 2))
        return "0x" + "07" * 32

    def eth_sendRawTransaction(self, raw: str) -> str:
        data = HexBytes(raw)
        assert wire.encode_address(ALICE) == Account.recover_transaction(raw)
        sent = TypedTransaction.from_bytes(data).as_dict() if data[0] == 2 else _read_legacy(data)
        self.transactions.append(sent)
        name = "0x" + keccak(bytes(data)).hex()
        logs = []
        if sent["value"] or bytes(sent["data"])[:4] == keccak(b"deposit(address,address,uint128)")[:4]:
            logs.append(self._log_deposit(self.deposits[0]))
        self.receipts[name] = {
            "transactionHash": name,
            "status": hex(self.status),
            "blockNumber": "0x10",
            "gasUsed": "0x5208",
            "logs": logs,
        }
        return name

    def eth_getTransactionReceipt(self, name: str) -> Any:
        return self.receipts.get(name) if self.is_mining else None

    def get_calls(self) -> list[str]:
        """The functions called, by name."""
        names = {
            keccak(signature.encode())[:4]: signature.partition("(")[0]
            for signature in (
                "deposit(address,address,uint128)",
                "depositEther(address)",
                "approve(address,uint256)",
                "advanceFinalEpoch(bytes32,uint64)",
                "depositWithPermit(address,address,uint128,uint256,uint8,bytes32,bytes32)",
            )
        }
        return [names.get(bytes(sent["data"])[:4], "claimWithdrawal") for sent in self.transactions]


def _read_legacy(data: bytes) -> dict[str, Any]:
    fields = rlp.decode(data)
    return {"gasPrice": int.from_bytes(fields[1], "big"), "value": int.from_bytes(fields[4], "big"), "data": fields[5]}


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def chain(scene: Scene) -> Chain:
    return Chain(scene)


def make_user(chain: Chain, **options: Any) -> SettlementUser:
    sender = Sender(Ethereum(chain), SigningKey(ALICE_KEY.secret), sleep=lambda _: None, **options)
    return SettlementUser(sender, SETTLEMENT, clock=lambda: 1_700_000_000)


class TestDeposits:
    def test_ether_goes_as_value(self, chain: Chain) -> None:
        deposited, receipt = make_user(chain).deposit(ETHER, 1000)
        assert chain.get_calls() == ["depositEther"]
        assert chain.transactions[0]["value"] == 1000
        assert (deposited.account, receipt.gas_used) == (ALICE, 21_000)

    def test_a_token_is_approved_first_exactly_as_far_as_needed(self, chain: Chain) -> None:
        make_user(chain).deposit(TOKEN, 1000, BOB)
        assert chain.get_calls() == ["approve", "deposit"]
        assert int.from_bytes(bytes(chain.transactions[0]["data"])[-32:], "big") == 1000

    def test_an_allowance_that_is_too_small_is_first_taken_back(self, chain: Chain) -> None:
        chain.allowance = 1
        make_user(chain).deposit(TOKEN, 1000)
        assert chain.get_calls() == ["approve", "approve", "deposit"]
        assert int.from_bytes(bytes(chain.transactions[0]["data"])[-32:], "big") == 0

    def test_an_allowance_that_suffices_is_left(self, chain: Chain) -> None:
        chain.allowance = 1000
        make_user(chain).deposit(TOKEN, 1000)
        assert chain.get_calls() == ["deposit"]

    def test_fees_leave_room_for_the_base_fee_to_double(self, chain: Chain) -> None:
        make_user(chain).deposit(ETHER, 1)
        sent = chain.transactions[0]
        assert (sent["maxFeePerGas"], sent["maxPriorityFeePerGas"], sent["gas"]) == (17, 3, 120_000)

    def test_a_chain_without_base_fee_gets_legacy_transactions(self, chain: Chain) -> None:
        chain.base_fee = None
        make_user(chain).deposit(ETHER, 1)
        assert chain.transactions[0]["gasPrice"] == 11

    def test_a_transaction_without_the_deposit_in_its_logs_is_said_to_be_wrong(self, chain: Chain) -> None:
        with pytest.raises(BadReply, match="emitted 0 deposits"):
            make_user(chain).deposit_with_permit(TOKEN, 1)
        assert chain.get_calls() == ["depositWithPermit"]

    def test_balances_on_ethereum(self, chain: Chain) -> None:
        assert get_balance(Ethereum(chain), ETHER, ALICE) == 5
        assert get_balance(Ethereum(chain), TOKEN, ALICE) == 9
        assert Token(Ethereum(chain), TOKEN).get_permit_nonce(ALICE) == 4


class TestFailures:
    def test_a_refused_transaction_is_not_sent(self, scene: Scene) -> None:
        class Refusing(Chain):
            def eth_estimateGas(self, call: dict[str, str]) -> str:
                data = keccak(b"Halted(uint256)")[:4] + encode_abi(["uint256"], [7])
                raise RpcError(3, "execution reverted", wire.encode_bytes(data))

        chain = Refusing(scene)
        with pytest.raises(Reverted, match=r"Halted\(haltedAt=7\)"):
            make_user(chain).deposit(ETHER, 1)
        assert chain.transactions == []

    def test_a_mined_failure_is_raised_with_what_the_same_call_says_before_its_block(self, scene: Scene) -> None:
        class Late(Chain):
            def eth_call(self, call: dict[str, str], tag: str) -> str:
                assert tag == hex(0x10 - 1)
                raise RpcError(3, "execution reverted", wire.encode_bytes(keccak(b"ZeroAmount()")[:4]))

        chain = Late(scene)
        chain.status = 0
        with pytest.raises(Reverted, match=r"failed: ZeroAmount\(\)"):
            make_user(chain).deposit(ETHER, 1)

    def test_one_that_is_never_mined_is_given_up_with_its_name(self, chain: Chain) -> None:
        chain.is_mining = False
        ticks = iter(range(100))
        with pytest.raises(NotMined) as raised:
            make_user(chain, timeout_s=10, clock=lambda: float(next(ticks))).deposit(ETHER, 1)
        assert wire.encode_bytes(raised.value.l1_transaction) in chain.receipts

    def test_a_retry_that_finds_its_own_transaction_there_has_succeeded(self, scene: Scene) -> None:
        class Twice(Chain):
            def eth_sendRawTransaction(self, raw: str) -> str:
                super().eth_sendRawTransaction(raw)
                raise RpcError(-32000, "already known")

        make_user(Twice(scene)).deposit(ETHER, 1)

    def test_a_transaction_that_is_not_taken_is_raised(self, scene: Scene) -> None:
        class Poor(Chain):
            def eth_sendRawTransaction(self, raw: str) -> str:
                raise RpcError(-32000, "insufficient funds")

        with pytest.raises(RpcError, match="insufficient funds"):
            make_user(Poor(scene)).deposit(ETHER, 1)

    def test_reasons_are_read_in_all_the_forms_that_endpoints_give_them(self) -> None:
        data = keccak(b"EpochNotFinal(uint64,uint64)")[:4] + encode_abi(["uint64", "uint64"], [2, 1])
        shown = "EpochNotFinal(epoch=2, finalEpoch=1)"
        assert decode_revert(data) == shown
        text = wire.encode_bytes(data)
        assert describe_revert(RpcError(3, "execution reverted", text)) == shown
        assert describe_revert(RpcError(-32000, "VM Exception", {"data": text})) == shown
        assert describe_revert(RpcError(3, "execution reverted: no", "0x")) == "execution reverted: no"
        assert describe_revert(RpcError(-32000, "insufficient funds")) is None
        error = keccak(b"Error(string)")[:4] + encode_abi(["string"], ["why"])
        assert decode_revert(error) == "Error(reason=why)"
        assert decode_revert(b"\x01\x02\x03\x04\x05") == "0x0102030405"
        assert decode_revert(keccak(b"Panic(uint256)")[:4]) == wire.encode_bytes(keccak(b"Panic(uint256)")[:4])


class TestClaims:
    @pytest.fixture
    def proof(self, scene: Scene) -> PaymentProof:
        return decode_payment_proof(LedgerServer(scene).tally_getPaymentProof(wire.encode_bytes(scene.withdrawal.id)))

    def test_finality_is_moved_up_to_the_epoch_and_the_withdrawal_claimed(
        self, scene: Scene, proof: PaymentProof
    ) -> None:
        chain = Chain(scene, now=scene.sealed[1][2] + CHALLENGE_PERIOD + 1)
        make_user(chain).claim(proof)
        assert chain.get_calls() == ["advanceFinalEpoch", "advanceFinalEpoch", "claimWithdrawal"]

    def test_a_final_epoch_needs_no_moving(self, scene: Scene, proof: PaymentProof) -> None:
        chain = Chain(scene, final_epoch=2)
        make_user(chain).claim(proof)
        assert chain.get_calls() == ["claimWithdrawal"]

    def test_too_early_says_when(self, scene: Scene, proof: PaymentProof) -> None:
        ready_at = scene.sealed[0][2] + CHALLENGE_PERIOD + 1
        chain = Chain(scene, now=ready_at - 5)
        with pytest.raises(NotClaimable, match="another 5 s") as raised:
            make_user(chain).claim(proof)
        assert (raised.value.is_early, raised.value.ready_at) == (True, ready_at)
        assert chain.transactions == []

    def test_one_that_was_paid_is_refused_for_good(self, scene: Scene, proof: PaymentProof) -> None:
        chain = Chain(scene, final_epoch=2)
        chain.view_isClaimed = lambda *_: (["bool"], [True])  # type: ignore[method-assign]
        with pytest.raises(NotClaimable, match="has been paid") as raised:
            make_user(chain).claim(proof)
        assert not raised.value.is_early

    def test_one_that_is_not_committed_is_too_early(self, scene: Scene, proof: PaymentProof) -> None:
        form = {**proof.form, "receipt": {**proof.form["receipt"], "commitment": None}, "withdrawal": None}
        with pytest.raises(NotClaimable) as raised:
            make_user(Chain(scene)).claim(decode_payment_proof(form))
        assert raised.value.is_early

    def test_no_gas_is_spent_on_a_proof_that_does_not_hold(self, scene: Scene, proof: PaymentProof) -> None:
        assert proof.withdrawal is not None
        claim = proof.withdrawal
        more = msgspec.structs.replace(claim.withdrawal, amount=claim.withdrawal.amount + 1)
        other = msgspec.structs.replace(claim.withdrawal, id=bytes(32))
        for forged in (
            msgspec.structs.replace(claim, withdrawal=more),
            msgspec.structs.replace(claim, withdrawal=other),
            msgspec.structs.replace(claim, index=1),
        ):
            chain = Chain(scene, final_epoch=2)
            with pytest.raises(InvalidProof):
                make_user(chain).claim(msgspec.structs.replace(proof, withdrawal=forged))
            assert chain.transactions == []

    def test_a_commitment_that_the_contract_does_not_have_is_refused(self, scene: Scene, proof: PaymentProof) -> None:
        chain = Chain(scene, final_epoch=2)
        chain.get_stored_hash = lambda epoch: b"\x01" * 32  # type: ignore[method-assign]
        with pytest.raises(InvalidProof, match="another commitment"):
            make_user(chain).claim(proof)

    def test_a_payment_that_is_no_withdrawal_is_refused(self, scene: Scene) -> None:
        form = {"receipt": scene.get_receipt(scene.first), "withdrawal": None, "assetIndex": None}
        with pytest.raises(InvalidProof, match="is a transfer"):
            make_user(Chain(scene)).claim(decode_payment_proof(form))
