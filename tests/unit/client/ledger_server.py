"""A node in miniature: a scene that goes on, behind the methods that a client calls. One payment, one block."""

from typing import Any

from chain import wire
from chain.block import DEPOSIT, PAYMENT, Deposit, Record
from chain.errors import NotFound
from chain.evidence import build_withdrawal_claim
from chain.instruction import SignedInstruction
from chain.kinds import WITHDRAW
from chain.market import OWNER
from chain.payment import SignedPayment, check_signed_payment
from chain.primitives import Address
from chain.statement import Withdrawal
from chain.transition import check_payment
from client.protocol import decode_payment_form
from client.receipts import Signed
from tests.unit.client.scene import DOMAIN, OPERATOR, PARAMETERS, SETTLEMENT, TOKEN, Scene, name_block, name_transaction


class LedgerServer:
    """Call it with a method and its parameters. Raises refusals as the node does; `asked` keeps what was asked."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.asked: list[str] = []
        self.sent: list[bytes] = []
        self.attempts: dict[int, list[dict[str, Any]]] = {}
        """Epoch → what this node tried for it, as JSON. What it did not try was sent by somebody else."""

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
            "escrow": None,
        }

    def tally_getAccount(self, address: str) -> dict[str, Any]:
        state, account = self.scene.replay.state, wire.decode_address(address, "address")
        nonces, roles = state.get_nonces(account), state.get_roles(account)
        return {
            "address": address,
            "nonceBase": hex(nonces.base),
            "nextNonce": hex(nonces.next_nonce),
            "balances": [
                {"asset": wire.encode_address(asset), "balance": hex(state.get_balance(asset, account))}
                for asset in state.assets
            ],
            "roles": roles.names,
            "ownerUnder": wire.encode_address(roles.validator) if roles.has(OWNER) else None,
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
        assert isinstance(signed, SignedPayment)
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
            "sealedAt": hex(commitment.cut_at + 1),
            "attempts": self.attempts.get(place, []),
            "cost": hex(sum(int(attempt["cost"] or "0x0", 16) for attempt in self.attempts.get(place, []))),
            "l1Transaction": wire.encode_bytes(name_transaction(place)),
            "isOurs": place in self.attempts,
            "l1Block": hex(100 + place),
            "l1BlockHash": wire.encode_bytes(name_block(100 + place)),
            "includedAt": hex(included_at),
            "confirmations": "0x3",
            "finalAt": hex(included_at + 3600),
            "gasUsed": hex(90_000),
            "effectiveGasPrice": hex(1_500_000_000),
        }

    def tally_listCommitments(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Newest first; the cursor is the epoch to begin with."""
        newest = int(wanted.get("cursor", hex(len(self.scene.sealed))), 16)
        oldest = max(1, newest - int(wanted["limit"], 16) + 1)
        items = [self.tally_getCommitment(hex(epoch)) for epoch in range(newest, oldest - 1, -1)]
        return {"items": items, "cursor": hex(oldest - 1) if oldest > 1 else None}

    def tally_listPayments(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Newest first; the cursor is how many were passed over. Of the filters, those of `_is_wanted`."""
        known = [
            record
            for block, _ in reversed(self.scene.blocks)
            for record in reversed(block.records)
            if isinstance(record, SignedPayment) and self._is_wanted(record, wanted)
        ]
        start = int(wanted.get("cursor", "0"))
        end = start + int(wanted["limit"], 16)
        items = [self.scene.get_receipt(record) for record in known[start:end]]
        for item in items:
            del item["siblings"]
        return {"items": items, "cursor": str(end) if end < len(known) else None}

    def tally_getStatement(self, address: str, asset: str, epoch: str, cursor: str | None = None) -> dict[str, Any]:
        """Of the open epoch, with two entries a page: its roots are not known yet."""
        assert int(epoch, 16) == self.scene.replay.state.epoch
        account, token = wire.decode_address(address, "address"), wire.decode_address(asset, "asset")
        first_open = self.scene.sealed[-1][0].last_block + 1 if self.scene.sealed else 1
        balance = opening = 0
        lines: list[tuple[str, dict[str, Any]]] = []
        for block, _ in self.scene.blocks:
            if block.header.number == first_open:
                opening = balance
            for index, record in enumerate(block.records):
                place = {"block": hex(block.header.number), "record": hex(index), "id": wire.encode_bytes(record.id)}
                for side, kind, amount, more in list_changes(record, account, token):
                    balance += amount if side == "credits" else -amount
                    entry = {**place, "type": hex(kind), "amount": hex(amount), "balance": hex(balance), **more}
                    if block.header.number >= first_open:
                        lines.append((side, entry))
        start = int(cursor or "0")
        page = lines[start : start + 2]
        return {
            "address": address,
            "asset": asset,
            "epoch": epoch,
            "opening": hex(opening),
            "closing": hex(balance),
            "debitsSum": hex(sum([int(entry["amount"], 16) for side, entry in lines if side == "debits"])),
            "creditsSum": hex(sum([int(entry["amount"], 16) for side, entry in lines if side == "credits"])),
            "debitsRoot": None,
            "creditsRoot": None,
            "debits": [entry for side, entry in page if side == "debits"],
            "credits": [entry for side, entry in page if side == "credits"],
            "cursor": str(start + 2) if start + 2 < len(lines) else None,
        }

    def _is_wanted(self, signed: SignedPayment, wanted: dict[str, Any]) -> bool:
        payment = signed.payment
        payees = [wire.encode_address(output.to) for output in payment.outputs]
        payer, account = wire.encode_address(payment.payer), wanted["account"]
        other = wanted.get("counterparty")
        is_out = payer == account and (other is None or other in payees)
        is_in = account in payees and (other is None or other == payer)
        return (
            {"out": is_out, "in": is_in, None: is_out or is_in}[wanted.get("direction")]
            and wanted.get("kind", payment.kind) == payment.kind
            and wanted.get("asset", wire.encode_address(payment.asset)) == wire.encode_address(payment.asset)
            and wanted.get("reference", wire.encode_bytes(payment.reference)) == wire.encode_bytes(payment.reference)
        )

    def _find(self, record_id: bytes) -> Signed | None:
        for block, _ in self.scene.blocks:
            for record in block.records:
                if not isinstance(record, Deposit) and record.id == record_id:
                    return record
        return None

    def _get(self, record_id: str) -> Signed:
        signed = self._find(wire.decode_hash(record_id, "id"))
        if signed is None:
            raise NotFound(f"payment or instruction {record_id}")
        return signed


def list_changes(record: Record, account: Address, asset: Address) -> list[tuple[str, int, int, dict[str, str]]]:
    """(side, type, amount, what else an entry of that side has), the debit first."""
    if isinstance(record, Deposit):
        is_ours = (record.account, record.asset) == (account, asset)
        return [("credits", DEPOSIT, record.amount, {"output": "0x0"})] if is_ours else []
    if isinstance(record, SignedInstruction):
        return []
    payment = record.payment
    if payment.asset != asset:
        return []
    changes = []
    if payment.payer == account:
        changes.append(("debits", PAYMENT, payment.total, {"number": hex(payment.nonce)}))
    if payment.kind != WITHDRAW:
        for index, output in enumerate(payment.outputs):
            if output.to == account:
                changes.append(("credits", PAYMENT, output.amount, {"output": hex(index)}))
    return changes
