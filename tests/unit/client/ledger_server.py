"""A node in miniature: a scene that goes on, behind the methods that a client calls. One payment, one block."""

from typing import Any

from chain import wire
from chain.errors import NotFound
from chain.evidence import build_withdrawal_claim
from chain.payment import SignedPayment, check_signed_payment
from chain.statement import Withdrawal
from chain.transition import check_payment
from client.protocol import decode_payment_form
from tests.unit.client.scene import DOMAIN, OPERATOR, PARAMETERS, SETTLEMENT, TOKEN, Scene, name_transaction


class LedgerServer:
    """Call it with a method and its parameters. Raises refusals as the node does; `asked` keeps what was asked."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.asked: list[str] = []
        self.sent: list[bytes] = []

    def __call__(self, method: str, params: list[Any]) -> Any:
        self.asked.append(method)
        return getattr(self, method)(*params)

    def tally_getInfo(self) -> dict[str, Any]:
        return {
            "name": "tallystick",
            "version": "0",
            "ledgerChainId": hex(DOMAIN.chain_id),
            "domain": wire.encode_domain(DOMAIN),
            "settlement": wire.encode_address(SETTLEMENT),
            "l1ChainId": hex(PARAMETERS.l1_chain_id),
            "operator": wire.encode_address(OPERATOR),
            "assets": [
                {"address": wire.encode_address(bytes(20)), "symbol": "ETH", "decimals": "0x12", "native": True},
                {"address": wire.encode_address(TOKEN), "symbol": "TOK", "decimals": "0x2", "native": False},
            ],
            "epoch": hex(self.scene.replay.state.epoch),
            "headBlock": hex(self.scene.replay.state.block_number),
            "lastCommitment": None,
            "parameters": PARAMETERS.to_json(),
        }

    def tally_getAccount(self, address: str) -> dict[str, Any]:
        state, account = self.scene.replay.state, wire.decode_address(address, "address")
        nonces = state.get_nonces(account)
        return {
            "address": address,
            "nonceBase": hex(nonces.base),
            "nextNonce": hex(nonces.next_nonce),
            "balances": [
                {"asset": wire.encode_address(asset), "balance": hex(state.get_balance(asset, account))}
                for asset in state.assets
            ],
            "roles": [],
        }

    def tally_sendPayment(self, payment: Any, signature: str) -> dict[str, Any]:
        signed = check_signed_payment(decode_payment_form(payment), bytes.fromhex(signature[2:]), DOMAIN)
        self.sent.append(signed.id)
        if self._find(signed.id) is None:
            check_payment(self.scene.replay.state, signed.payment, self.scene.replay.state.timestamp + 1_000)
            self.scene.add_block(signed)
        return self.scene.get_receipt(signed)

    def tally_getReceipt(self, payment_id: str) -> dict[str, Any]:
        return self.scene.get_receipt(self._get(payment_id))

    def tally_getPaymentProof(self, payment_id: str) -> dict[str, Any]:
        signed = self._get(payment_id)
        receipt = self.scene.get_receipt(signed)
        if signed.payment.kind != "withdraw" or receipt["commitment"] is None:
            return {"receipt": receipt, "withdrawal": None, "assetIndex": None}
        output = signed.payment.outputs[0]
        claim = build_withdrawal_claim(TOKEN, [Withdrawal(signed.id, output.to, output.amount)], 0)
        return {"receipt": receipt, "withdrawal": wire.encode_withdrawal_claim(claim), "assetIndex": "0x1"}

    def tally_getBlock(self, number: str) -> dict[str, Any]:
        place = len(self.scene.blocks) if number == "latest" else int(number, 16)
        if not 1 <= place <= len(self.scene.blocks):
            raise NotFound(f"block {number}")
        block, signature = self.scene.blocks[place - 1]
        return wire.encode_block(block.header, DOMAIN, signature, block.records)

    def tally_getCommitment(self, epoch: str) -> dict[str, Any]:
        place = len(self.scene.sealed) if epoch == "latest" else int(epoch, 16)
        if not 1 <= place <= len(self.scene.sealed):
            raise NotFound(f"epoch {epoch}")
        commitment, signature, included_at = self.scene.sealed[place - 1]
        return {
            "epoch": hex(place),
            "message": wire.encode_commitment(commitment),
            "signature": wire.encode_bytes(signature),
            "status": "mined",
            "attempts": [],
            "l1Transaction": wire.encode_bytes(name_transaction(place)),
            "l1Block": hex(100 + place),
            "includedAt": hex(included_at),
            "gasUsed": "0x1",
        }

    def _find(self, payment_id: bytes) -> SignedPayment | None:
        for block, _ in self.scene.blocks:
            for record in block.records:
                if isinstance(record, SignedPayment) and record.id == payment_id:
                    return record
        return None

    def _get(self, payment_id: str) -> SignedPayment:
        signed = self._find(wire.decode_hash(payment_id, "id"))
        if signed is None:
            raise NotFound(f"payment {payment_id}")
        return signed
