"""People of the data exchange, on a network in processes of its own: each with a key, and everything asked by JSON-RPC
and held against the interface's document."""

import json
import secrets
from typing import Any, Final

import requests
from coincurve import PrivateKey

from chain import wire
from chain.hashing import keccak
from chain.instruction import INSTRUCTIONS, Instruction, ListFile, compute_instruction_id
from chain.payment import Output, Payment, compute_payment_id
from chain.primitives import ZERO_HASH, Address, Hash
from chain.sealing import escrow_context, seal_key
from chain.signatures import compute_address, sign_digest
from node.rpc.openrpc import get_document
from tests.network import Network
from tests.openrpc import Interface

INTERFACE: Final = Interface(json.loads(bytes(get_document())))

COMMISSION: Final = {"TALLYSTICK_MARKET__OWNER_SHARE": "4500", "TALLYSTICK_MARKET__COMMISSION": "500"}
"""The environment of a network whose service nodes get a twentieth of every price, at the owners' cost."""


class Party:
    """Somebody with a key, and with money that account 0 of the network gave."""

    def __init__(self, network: Network, *roles: str, tokens: int = 0, wei: int = 0) -> None:
        self.network = network
        self.key = PrivateKey()
        self.address: Address = compute_address(self.key.public_key)
        self.name = wire.encode_address(self.address)
        self._session = requests.Session()
        for asset, amount in ((network.token, tokens), (bytes(20), wei)):
            if amount:
                network.call("tally_sendPayment", *network.sign(0, [(self.address, amount)], asset=asset))
        for role in roles:
            self.register(role)

    # --- what it asks

    def call(self, method: str, *params: Any) -> Any:
        """What is answered, which is as the document says."""
        INTERFACE.check_params(method, list(params))
        result = self.network.call(method, *params, session=self._session)
        INTERFACE.check_result(method, result)
        return result

    def refuse(self, method: str, *params: Any) -> dict[str, Any]:
        """The refusal's data; it is one that the document names."""
        answer = self.network.ask(method, *params, session=self._session)
        assert "error" in answer, answer
        data: dict[str, Any] = answer["error"]["data"]
        named = [error["$ref"].rpartition("/")[2] for error in INTERFACE.methods[method]["errors"]]
        assert data["code"] in named, data
        return data

    def get_account(self) -> Any:
        return self.call("tally_getAccount", self.name)

    def get_balance(self, asset: Address | None = None) -> int:
        return self.network.get_balance(self.address, asset)

    def next_nonce(self) -> int:
        return int(self.get_account()["nextNonce"], 16)

    # --- what it signs

    def sign(self, order: Payment | Instruction) -> list[Any]:
        """[form, signature], whoever's it is."""
        domain = self.network.domain
        if isinstance(order, Payment):
            form, digest = wire.encode_payment(order), compute_payment_id(order, domain)
        else:
            form, digest = wire.encode_instruction(order), compute_instruction_id(order, domain)
        return [form, wire.encode_bytes(sign_digest(self.key, digest))]

    def make_payment(
        self, kind: str, *outputs: tuple[Address, int], reference: Hash = ZERO_HASH, **fields: Any
    ) -> Payment:
        """Of tokens, with the next nonce, but for what is given; whatever the rules say."""
        given = {
            "asset": self.network.token,
            "payer": self.address,
            "nonce": fields["nonce"] if "nonce" in fields else self.next_nonce(),
            "valid_until": 0,
            "memo": "",
        }
        payment_outputs = tuple([Output(to, amount) for to, amount in outputs])
        return Payment(**{**given, **fields}, kind=kind, reference=reference, outputs=payment_outputs)

    def make_instruction(self, type_: str, **fields: Any) -> Any:
        given = {
            "account": self.address,
            "nonce": fields["nonce"] if "nonce" in fields else self.next_nonce(),
            "valid_until": 0,
        }
        return INSTRUCTIONS[type_](**{**given, **fields})

    def make_listing(self, owner: "Party", **fields: Any) -> ListFile:
        """Of an unencrypted file of its own id: 1,000 bytes for a day, for 100 base units of tokens, but for what is
        given."""
        given = {
            "file": secrets.token_bytes(32),
            "owner": owner.address,
            "asset": self.network.token,
            "price": 100,
            "size": 1000,
            "storage_days": 1,
            "content_hash": secrets.token_bytes(32),
            "name": "Rainfall 2025",
            "media_type": "text/csv",
            "tags": ("weather",),
            "description": "Daily, by station.",
            "key_hash": ZERO_HASH,
            "sealed_key": b"",
        }
        listing: ListFile = self.make_instruction("ListFile", **{**given, **fields})
        return listing

    def seal(self, file: Hash, key: bytes) -> dict[str, Any]:
        """The fields of a listing whose file is encrypted with this key, which the node's escrow can open."""
        public_key = bytes.fromhex(self.call("tally_getInfo")["escrow"]["publicKey"][2:])
        context = escrow_context(self.network.domain, self.address, file)
        sealed = seal_key(key, public_key, context, secrets.token_bytes(32))
        return {"file": file, "key_hash": keccak(key), "sealed_key": sealed}

    # --- what it does

    def instruct(self, type_: str, **fields: Any) -> Any:
        """The receipt."""
        return self.call("tally_sendInstruction", *self.sign(self.make_instruction(type_, **fields)))

    def register(self, role: str) -> Any:
        return self.instruct("Register", role=role)

    def register_under(self, validator: "Party") -> Any:
        return self.instruct("RegisterOwner", validator=validator.address)

    def pay(self, kind: str, *outputs: tuple[Address, int], **fields: Any) -> Any:
        """The receipt."""
        return self.call("tally_sendPayment", *self.sign(self.make_payment(kind, *outputs, **fields)))

    def quote(self, kind: str, **details: Any) -> Any:
        return self.call("tally_quote", kind, {"from": self.name, **details})

    def sign_quote(self, quote: Any) -> list[Any]:
        return self.sign(wire.decode_payment(json.dumps(quote["payment"]).encode()))

    def pay_quote(self, kind: str, **details: Any) -> Any:
        """The receipt of what was quoted."""
        return self.call("tally_sendPayment", *self.sign_quote(self.quote(kind, **details)))

    def sign_upload(self, listing: ListFile, service_node: "Party", **details: Any) -> list[Any]:
        """The parameters of `tally_sendUpload`, its payment as quoted."""
        form = wire.encode_instruction(listing)
        quote = self.quote("upload", to=service_node.name, listing=form, **details)
        return [*self.sign(listing), *self.sign_quote(quote)]

    def upload(self, owner: "Party", service_node: "Party", asset: Address | None = None, **fields: Any) -> Hash:
        """Lists a file and pays for it, as quoted. Its id."""
        listing = self.make_listing(owner, **fields)
        details = {} if asset is None else {"asset": wire.encode_address(asset)}
        self.call("tally_sendUpload", *self.sign_upload(listing, service_node, **details))
        return listing.file

    def list_alone(self, owner: "Party", **fields: Any) -> Hash:
        """Lists a file that it keeps itself. Its id."""
        listing = self.make_listing(owner, **fields)
        self.call("tally_sendInstruction", *self.sign(listing))
        return listing.file

    def buy(self, file: Hash) -> Any:
        """The receipt."""
        return self.pay_quote("purchase", reference=wire.encode_bytes(file))

    def get_file(self, file: Hash) -> Any:
        return self.call("tally_getFile", wire.encode_bytes(file))


class Purse:
    """What a few parties have in one asset, to be compared with what they have later."""

    def __init__(self, *parties: Party, asset: Address | None = None) -> None:
        self._parties = parties
        self._asset = asset
        self._before = [party.get_balance(asset) for party in parties]

    def compute_changes(self) -> list[int]:
        """Base units since then, in the order of the parties."""
        now = [party.get_balance(self._asset) for party in self._parties]
        return [later - before for later, before in zip(now, self._before, strict=True)]


class Market:
    """One of each, with money, and a stranger to all."""

    def __init__(self, network: Network) -> None:
        tokens, wei = 10**22, 10**18
        self.network = network
        self.validator = Party(network, "validator", tokens=tokens, wei=wei)
        self.other_validator = Party(network, "validator", tokens=tokens, wei=wei)
        self.mart = Party(network, "mart", tokens=tokens, wei=wei)
        self.other_mart = Party(network, "mart", tokens=tokens)
        self.service_node = Party(network, "service_node")
        self.other_node = Party(network, "service_node")
        self.stranger = Party(network, tokens=tokens)
        self.owner = Party(network)
        self.owner.register_under(self.validator)

    @property
    def parties(self) -> list[Party]:
        return [party for party in vars(self).values() if isinstance(party, Party)]


def list_all(party: Party, method: str, **wanted: Any) -> list[Any]:
    """The items of all pages, small ones."""
    items: list[Any] = []
    cursor = None
    while True:
        page = party.call(method, {**wanted, "limit": 7, **({} if cursor is None else {"cursor": cursor})})
        items += page["items"]
        cursor = page["cursor"]
        if cursor is None:
            return items


def read_records(network: Network) -> list[dict[str, Any]]:
    """Of all blocks, in order, each with the number of its `block`."""
    head = int(network.call("tally_getInfo")["headBlock"], 16)
    records: list[dict[str, Any]] = []
    for at in range(1, head + 1, 400):
        numbers = range(at, min(at + 400, head + 1))
        for number, answer in zip(
            numbers, network.batch([("tally_getBlock", [number]) for number in numbers]), strict=True
        ):
            records += [{"block": number, **record} for record in answer["result"]["records"]]
    return records


def list_accounts(records: list[dict[str, Any]]) -> set[str]:
    """Everybody whose money they may have moved."""
    accounts = set()
    for record in records:
        if record["type"] == "deposit":
            accounts.add(record["deposit"]["account"])
        elif record["type"] == "payment":
            accounts |= {record["payment"]["from"], *[output["to"] for output in record["payment"]["outputs"]]}
    return accounts


def check_conservation(network: Network) -> None:
    """Of each asset, all balances are deposits − withdrawals. Nothing may be paid meanwhile."""
    records = read_records(network)
    expected: dict[str, int] = {}
    for record in records:
        if record["type"] == "deposit":
            asset, amount = record["deposit"]["asset"], int(record["deposit"]["amount"], 16)
        elif record["type"] == "payment" and record["payment"]["kind"] == "withdraw":
            asset = record["payment"]["asset"]
            amount = -int(record["payment"]["outputs"][0]["amount"], 16)
        else:
            continue
        expected[asset] = expected.get(asset, 0) + amount
    found = dict.fromkeys(expected, 0)
    accounts = sorted(list_accounts(records))
    for at in range(0, len(accounts), 400):
        for answer in network.batch([("tally_getAccount", [account]) for account in accounts[at : at + 400]]):
            for line in answer["result"]["balances"]:
                found[line["asset"]] += int(line["balance"], 16)
    assert found == expected
