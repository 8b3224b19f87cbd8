"""The rules of the ledger behind the methods that the demonstration calls: what is sent is checked and applied."""

from typing import Any

import msgspec
from coincurve import PrivateKey

from chain import wire
from chain.block import make_deposit
from chain.errors import NotFound, Refusal
from chain.instruction import Instruction, ListFile, SignedInstruction, check_signed_instruction
from chain.market import encode_purchase_key
from chain.params import Market, Parameters
from chain.payment import Payment, SignedPayment, check_signed_payment
from chain.primitives import ETHER, ZERO_ADDRESS, ZERO_HASH, Address, Hash
from chain.signatures import compute_address
from chain.state import State
from chain.transition import (
    apply_deposit,
    apply_instruction,
    apply_payment,
    check_instruction,
    check_payment,
    check_upload,
    list_asset,
)
from node.escrow import Escrow
from node.ethereum.faults import EthereumFault, RpcError
from node.rpc.quotes import quote

TOKEN = b"\x70" * 20
PARAMETERS = Parameters(
    31337, bytes(range(20)), ETHER, 1_700_000_000, Market(storage_rates=((ETHER, 2**30), (TOKEN, 10**8 * 2**30)))
)
FUNDS = 10**24


class RuleNode:
    """A `Transport`. `sent` holds all that was accepted, `listed` the files in their order."""

    def __init__(self, private_keys: tuple[bytes, ...], *, has_escrow: bool = True) -> None:
        self.state = State(PARAMETERS)
        self.escrow = Escrow(PARAMETERS.domain, PrivateKey(b"\x01" * 32) if has_escrow else None)
        self.now = 1_700_000_100_000
        self.sent: list[SignedPayment | SignedInstruction] = []
        self.listed: dict[Hash, ListFile] = {}
        self.is_away = False
        self.is_losing_answers = False
        accounts = [compute_address(PrivateKey(key).public_key) for key in private_keys]
        for asset in (ETHER, TOKEN):
            list_asset(self.state, asset)
            for index, account in enumerate(accounts):
                apply_deposit(self.state, make_deposit(asset, index, account, FUNDS, 1, ZERO_HASH, ZERO_HASH))

    async def call(self, method: str, params: Any) -> Any:
        if self.is_away:
            raise EthereumFault(f"{method}: no connection")
        self.now += 1_000
        try:
            answer = await getattr(self, method)(*params)
        except Refusal as refusal:
            raise RpcError(method, -32003, str(refusal), {"code": refusal.code}) from refusal
        if self.is_losing_answers and method.startswith("tally_send"):
            raise EthereumFault(f"{method}: connection closed")
        return msgspec.json.decode(msgspec.json.encode(answer))

    async def close(self) -> None: ...

    @property
    def payments(self) -> list[Payment]:
        return [signed.payment for signed in self.sent if isinstance(signed, SignedPayment)]

    @property
    def instructions(self) -> list[Instruction]:
        return [signed.instruction for signed in self.sent if isinstance(signed, SignedInstruction)]

    def count_sales(self, file: Hash) -> int:
        return sum(1 for key in self.state.purchases if key[:32] == file)

    # --- what is asked

    async def tally_getInfo(self) -> dict[str, Any]:
        key = self.escrow.public_key
        return {
            "domain": wire.encode_domain(PARAMETERS.domain),
            "assets": [
                {"address": wire.encode_address(ETHER), "decimals": "0x12", "native": True},
                {"address": wire.encode_address(TOKEN), "decimals": "0x12", "native": False},
            ],
            "escrow": None if key is None else {"publicKey": wire.encode_bytes(key)},
        }

    async def tally_getAccount(self, address: str) -> dict[str, Any]:
        account = wire.decode_address(address, "address")
        return {
            "nextNonce": hex(self.state.get_nonces(account).next_nonce),
            "balances": [
                {"asset": wire.encode_address(asset), "balance": hex(self.state.get_balance(asset, account))}
                for asset in self.state.assets
            ],
            "roles": self.state.get_roles(account).names,
        }

    async def tally_listFiles(self, wanted: dict[str, Any]) -> dict[str, Any]:
        files = [self.state.files[file] for file in reversed(self.listed)]
        return {
            "items": [
                {
                    "file": wire.encode_bytes(file.id),
                    "validator": wire.encode_address(file.validator),
                    "asset": wire.encode_address(file.asset),
                    "price": hex(file.price),
                    "saleCount": hex(self.count_sales(file.id)),
                    "serviceNode": None
                    if file.service_node == ZERO_ADDRESS
                    else wire.encode_address(file.service_node),
                    "isKeyInEscrow": bool(self.listed[file.id].sealed_key),
                    "status": "listed" if self.now <= file.keep_until * 1000 else "expired",
                }
                for file in files
                if not file.is_delisted and wire.encode_address(file.validator) == wanted["validator"]
            ][: wanted["limit"]]
        }

    async def tally_getPurchase(self, file: str, buyer: str) -> dict[str, Any]:
        key = encode_purchase_key(wire.decode_hash(file, "file"), wire.decode_address(buyer, "buyer"))
        purchase = next((each for each in self.sent if each.id == self.state.purchases.get(key)), None)
        if not isinstance(purchase, SignedPayment):
            raise NotFound("the purchase")
        listing = self.listed[purchase.payment.reference]
        sealed = self.escrow.seal_for_buyer(listing, purchase)
        return {
            "keyHash": wire.encode_bytes(listing.key_hash),
            "sealedKey": None if sealed is None else wire.encode_bytes(sealed),
        }

    async def tally_quote(self, kind: str, details: dict[str, Any]) -> dict[str, Any]:
        methods: Any = self
        return await quote(methods, msgspec.json.encode([kind, details]))

    # --- what is sent

    async def tally_sendPayment(self, form: Any, signature: str) -> None:
        signed = check_signed_payment(_decode_payment(form), bytes.fromhex(signature[2:]), PARAMETERS.domain)
        check_payment(self.state, signed.payment, self.now)
        self._apply_payment(signed)

    async def tally_sendInstruction(self, form: Any, signature: str) -> None:
        signed = self._check_instruction(form, signature)
        check_instruction(self.state, signed.instruction, self.now)
        self._apply_instruction(signed)

    async def tally_sendUpload(self, form: Any, signature: str, payment: Any, payment_signature: str) -> None:
        listing = self._check_instruction(form, signature)
        paid = check_signed_payment(_decode_payment(payment), bytes.fromhex(payment_signature[2:]), PARAMETERS.domain)
        assert isinstance(listing.instruction, ListFile)
        check_upload(self.state, listing.instruction, paid.payment, self.now)
        self._apply_instruction(listing)
        self._apply_payment(paid)

    def _check_instruction(self, form: Any, signature: str) -> SignedInstruction:
        instruction = wire.decode_instruction(form)
        if isinstance(instruction, ListFile):
            self.escrow.check_listing(instruction)
        return check_signed_instruction(instruction, bytes.fromhex(signature[2:]), PARAMETERS.domain)

    def _apply_payment(self, signed: SignedPayment) -> None:
        apply_payment(self.state, signed, self.now)
        self.sent.append(signed)

    def _apply_instruction(self, signed: SignedInstruction) -> None:
        apply_instruction(self.state, signed, self.now)
        if isinstance(signed.instruction, ListFile):
            self.listed[signed.instruction.file] = signed.instruction
        self.sent.append(signed)

    # --- as `tally_quote` sees it

    @property
    def sequencer(self) -> "RuleNode":
        return self

    def check(self, payment: Payment) -> None:
        check_payment(self.state, payment, self.now)

    def check_upload(self, listing: ListFile, payment: Payment) -> None:
        check_upload(self.state, listing, payment, self.now)

    def get_nonces(self, account: Address) -> Any:
        return self.state.get_nonces(account)


def _decode_payment(form: Any) -> Payment:
    return wire.decode_payment(msgspec.json.encode(form))
